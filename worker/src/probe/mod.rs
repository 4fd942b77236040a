//! Asking strangers' containers questions, from inside their private network.
//!
//! ```text
//!  worker                                   container of ours in the slot's network
//!  ┌──────────────────┐   Request lines    ┌─────────┐   TCP    ┌───────────────────┐
//!  │ client::         │ ─────────────────► │ serve:: │ ───────► │ a stranger's       │
//!  │   ProberClient   │ ◄───────────────── │  ask::  │ ◄─────── │ container, port 80 │
//!  └──────────────────┘  Observation lines └─────────┘          └───────────────────┘
//!        json::parse (the body, on the worker's side)      answer:: (the stranger's HTTP)
//! ```
//!
//! The prober holds no credentials and no opinion: it reports what came back, and the worker
//! judges. Both sides treat the other as hostile: the prober dials only addresses of its slot,
//! the worker believes nothing that is longer, later or other than what it asked for.
//!
//! Everything but [`client`], [`asking`] and [`json`] is also built without the feature `worker`, for the static prober.

pub mod address;
pub mod anchor;
pub mod answer;
pub mod ask;
#[cfg(feature = "worker")]
pub mod asking;
#[cfg(feature = "worker")]
pub mod client;
pub mod fault;
#[cfg(feature = "worker")]
pub mod json;
pub mod serve;
pub mod wire;

mod base64;
mod body;
mod head;
mod knock;
mod lines;
mod path;
