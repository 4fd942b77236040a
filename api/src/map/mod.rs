//! The map: every pin in memory, so that a viewport is answered without the store.
//!
//! ```text
//!   store ── change stream ──► follow ───► index ──► GET …/pins
//!     └───── at start, after a gap, every minute ──► reading ──┘ └──► live streams
//! ```
//!
//! [`mercator`] is the arithmetic of cells, [`grid`] where the pins stand, counted for every cell and zoom,
//! [`index`] the pins of every event, [`event`] those of one, [`rows`] and [`places`] what is kept of each,
//! [`ranked`] the lists that they are found by, [`course`] how they came along the time, [`replays`] what of
//! that is kept ready, [`follow`] and [`reading`] what keeps them up to date, and the numbers of the events
//! with them.

pub mod course;
mod event;
pub mod follow;
pub mod grid;
pub mod index;
pub mod mercator;
mod places;
mod ranked;
pub mod reading;
pub mod replays;
mod rows;
