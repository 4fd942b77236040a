//! When to look into the queue: a hint wakes at once, an adaptive poll is the truth.

use std::time::Duration;

use portcall_shared::store::{
    Store,
    feed::{Feed, Interest},
};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// The shortest and the longest time between two looks.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// The time between two looks: halved by a find, doubled by none.
#[derive(Clone, Copy, Debug)]
pub struct Pace(Duration);

impl Default for Pace {
    fn default() -> Self {
        Self(SHORTEST)
    }
}

impl Pace {
    /// Something was there.
    pub fn found(&mut self) {
        self.0 = (self.0 / 2).max(SHORTEST);
    }

    /// Nothing was there.
    pub fn nothing(&mut self) {
        self.0 = (self.0 * 2).min(LONGEST);
    }

    /// Until the next look.
    #[must_use]
    pub fn pause(&self) -> Duration {
        self.0
    }
}

/// Turns the store's feed into wake-ups until `stop`.
pub async fn listen(store: Store, wake: &Notify, stop: CancellationToken) {
    let (to, mut from) = mpsc::channel(64);
    let follow = store.follow(Interest::Claimable, to, stop);
    let pass_on = async {
        while let Some(feed) = from.recv().await {
            match feed {
                Feed::Gap | Feed::Changed(_) => wake.notify_one(),
            }
        }
    };
    tokio::join!(follow, pass_on);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_stays_within_its_bounds() {
        let mut pace = Pace::default();
        for _ in 0..20 {
            pace.nothing();
        }
        assert_eq!(pace.pause(), LONGEST);
        for _ in 0..20 {
            pace.found();
        }
        assert_eq!(pace.pause(), SHORTEST);
    }
}
