//! Chance, where it keeps many from doing the same at the same moment.
//!
//! What nobody may guess is not drawn here. A simulation gives its thread a seed, and everything that
//! is drawn on it is the same every time.

use std::{cell::RefCell, ops::Range};

use rand::{Rng, SeedableRng, rngs::StdRng};

thread_local! {
    static CHANCE: RefCell<StdRng> = RefCell::new(StdRng::from_os_rng());
}

/// Draws a number of this range.
#[must_use]
pub fn between(range: Range<f64>) -> f64 {
    CHANCE.with_borrow_mut(|chance| chance.random_range(range))
}

/// From now on this thread draws what this seed gives.
pub fn seed(seed: u64) {
    CHANCE.set(StdRng::seed_from_u64(seed));
}
