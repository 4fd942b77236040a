//! The map: every pin in memory, so that a viewport is answered without the store.
//!
//! ```text
//!   store ── change stream ──► follow ──► index ──► GET …/pins
//!     └───── all pins, at start, after a gap and every minute ──┘ └──► live streams
//! ```
//!
//! [`mercator`] is the arithmetic of cells, [`grid`] the counts per cell and zoom, [`index`] the
//! pins of every event, [`course`] how they came along the time, [`replays`] what of that is kept
//! ready, [`follow`] what keeps them up to date.

pub mod course;
pub mod follow;
pub mod grid;
pub mod index;
pub mod mercator;
pub mod replays;
