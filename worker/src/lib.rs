//! Portcall's grader. It claims submissions, runs them in slots of a fleet, probes and judges
//! them, settles the verdict and cleans up; and it repairs what others left behind.
//!
//! The prober (`src/bin/prober.rs`) is built from [`probe`] alone, without the feature `worker`.

pub mod probe;

#[cfg(feature = "worker")]
pub mod canary;
#[cfg(feature = "worker")]
pub mod check;
#[cfg(feature = "worker")]
pub mod company;
#[cfg(feature = "worker")]
pub mod dispatch;
#[cfg(feature = "worker")]
pub mod examine;
#[cfg(feature = "worker")]
pub mod fleet;
#[cfg(feature = "worker")]
pub mod gate;
#[cfg(feature = "worker")]
pub mod grade;
#[cfg(feature = "worker")]
pub mod hold;
#[cfg(feature = "worker")]
pub mod judge;
#[cfg(feature = "worker")]
pub mod lease;
#[cfg(feature = "worker")]
mod notes;
#[cfg(feature = "worker")]
pub mod one;
#[cfg(feature = "worker")]
pub mod post;
#[cfg(feature = "worker")]
pub mod posts;
#[cfg(feature = "worker")]
pub mod quarantine;
#[cfg(feature = "worker")]
pub mod reaper;
#[cfg(feature = "worker")]
pub mod run;
#[cfg(feature = "worker")]
mod seat;
#[cfg(feature = "worker")]
pub mod settings;
#[cfg(feature = "worker")]
pub mod share;
#[cfg(feature = "worker")]
pub mod stage;
#[cfg(feature = "worker")]
pub mod suspects;
#[cfg(feature = "worker")]
pub mod wake;
#[cfg(feature = "worker")]
pub mod worker;
