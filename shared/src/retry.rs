//! Retry policies, named after the situations they are for.
//!
//! The one home of `backoff`: it is unmaintained (RUSTSEC-2025-0012) but asked for; replacing it is
//! a matter of this file.

use std::{future::Future, time::Duration};

use backoff::{
    Clock,
    backoff::Backoff,
    exponential::{ExponentialBackoff, ExponentialBackoffBuilder},
};
use tokio::time::Instant;

use crate::chance;

/// How an operation is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// When to give up, counted from the first try; none for never.
    pub give_up: Option<Duration>,
}

/// A store operation that a person waits for: long enough for an election (12 s by MongoDB's
/// defaults), short enough that nobody thinks it hangs.
pub const INTERACTIVE: Policy = Policy {
    first: Duration::from_millis(50),
    longest: Duration::from_secs(1),
    give_up: Some(Duration::from_secs(20)),
};

/// A store operation of a worker that holds a lease: longer than an election, and no longer than
/// the lease is likely to last without being renewed.
pub const LEASED: Policy = Policy {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(2),
    give_up: Some(Duration::from_secs(18)),
};

/// Something that must be there again some time: the engine, the database, the change stream.
pub const RECONNECT: Policy =
    Policy { first: Duration::from_millis(100), longest: Duration::from_secs(5), give_up: None };

/// A node that failed its examination: somebody has to mend it, which takes minutes at least.
pub const UNFIT: Policy =
    Policy { first: Duration::from_secs(30), longest: Duration::from_secs(600), give_up: None };

/// Whether a failed try is worth another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It may go better next time.
    Yes,
    /// It will go the same way.
    No,
}

/// Pauses between tries, growing with some jitter.
#[derive(Debug)]
pub struct Pauses(ExponentialBackoff<Monotonic>);

/// The clock that pauses are waited by.
#[derive(Debug, Default)]
struct Monotonic;

impl Clock for Monotonic {
    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

impl Policy {
    /// The pauses of one series of tries.
    #[must_use]
    pub fn pauses(self) -> Pauses {
        let mut pauses = Pauses(
            ExponentialBackoffBuilder::new()
                .with_initial_interval(self.first)
                .with_max_interval(self.longest)
                .with_max_elapsed_time(self.give_up)
                // The jitter is ours: see `jittered`.
                .with_randomization_factor(0.0)
                .build(),
        );
        // Its first instant is otherwise not by our clock.
        pauses.reset();
        pauses
    }

    /// Tries until it succeeds, is not worth another try, or time is up; then the last error.
    ///
    /// # Errors
    /// The error of the last try.
    pub async fn run<T, E, F, Fut>(self, again: impl Fn(&E) -> Again, mut op: F) -> Result<T, E>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let mut pauses = self.pauses();
        loop {
            let error = match op().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if again(&error) == Again::No || pauses.wait().await == Again::No {
                return Err(error);
            }
        }
    }
}

impl Pauses {
    /// Waits for the next pause; [`Again::No`] when time is up.
    pub async fn wait(&mut self) -> Again {
        match self.0.next_backoff() {
            Some(pause) => {
                tokio::time::sleep(jittered(pause)).await;
                Again::Yes
            }
            None => Again::No,
        }
    }

    /// The next pause, for whoever waits for other things beside it; the longest when time is up.
    pub fn next_pause(&mut self) -> Duration {
        self.0.next_backoff().map_or(self.0.max_interval, jittered)
    }

    /// Begins again with the first pause, after a success.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

/// Half of a pause to one and a half, so that those who failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(chance::between(0.5..1.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stops_at_what_is_not_worth_another_try() {
        let mut tries = 0;
        let result: Result<(), &str> = RECONNECT
            .run(
                |e| if *e == "never" { Again::No } else { Again::Yes },
                || {
                    tries += 1;
                    let error = if tries < 3 { "again" } else { "never" };
                    async move { Err(error) }
                },
            )
            .await;
        assert_eq!((result, tries), (Err("never"), 3));
    }

    #[tokio::test]
    async fn gives_up_with_the_last_error() {
        let policy = Policy {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(2),
            give_up: Some(Duration::from_millis(20)),
        };
        let result: Result<(), &str> = policy.run(|_| Again::Yes, || async { Err("down") }).await;
        assert_eq!(result, Err("down"));
    }
}
