//! The prober against hostile servers: each row of the corpus that one server can play, with
//! the exact failure; the limits from both sides; and the prober as a real process.

#![expect(clippy::unwrap_used, reason = "the servers of these tests are tests too")]

mod answers;
#[cfg(feature = "worker")]
mod controls;
mod hostile;
#[cfg(feature = "worker")]
mod judged;
#[cfg(feature = "worker")]
mod lies;
mod limits;
mod process;
#[cfg(feature = "worker")]
mod rows;
mod server;
#[cfg(feature = "worker")]
mod shown;
