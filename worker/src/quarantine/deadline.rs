//! Until when a copy may take that several may wait for: the latest of their times.

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// A time that can move away, never nearer.
#[derive(Clone, Debug)]
pub(super) struct Deadline {
    at: watch::Sender<Instant>,
}

impl Deadline {
    pub(super) fn at(at: Instant) -> Self {
        Self { at: watch::Sender::new(at) }
    }

    /// Moves it to this time, if that is later.
    pub(super) fn extend(&self, to: Instant) {
        self.at.send_if_modified(|at| {
            let later = to > *at;
            *at = (*at).max(to);
            later
        });
    }

    /// How long there is still time.
    pub(super) fn left(&self) -> std::time::Duration {
        self.at.borrow().saturating_duration_since(Instant::now())
    }

    /// Waits until it has passed.
    pub(super) async fn passed(&self) {
        loop {
            let at = *self.at.borrow();
            sleep_until(at).await;
            if *self.at.borrow() == at {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_moves_away_and_never_nearer() {
        let start = Instant::now();
        let [soon, later] = [100, 300].map(|ms| start + Duration::from_millis(ms));
        let deadline = Deadline::at(soon);
        deadline.extend(start);
        assert!(deadline.left() > Duration::ZERO);
        let waits = {
            let deadline = deadline.clone();
            async move { deadline.passed().await }
        };
        let waits = tokio::spawn(waits);
        deadline.extend(later);
        waits.await.expect("no panic");
        assert!(Instant::now() >= later);
        assert_eq!(deadline.left(), Duration::ZERO);
    }
}
