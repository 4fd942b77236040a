//! Whether the store answers, and if not, as of when what is in memory is.
//!
//! While it does not, what only reads is answered from memory and says so: with the time it is of, in the
//! answer and by its `Age`. Whoever waits for the store meanwhile and has something in memory stops waiting.

use std::{
    pin::pin,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use portcall_shared::store::StoreError;
use time::OffsetDateTime;
use tokio::{sync::watch, time::timeout};

use crate::{problem::ApiError, state::Shared};

/// How long the store may be silent before it is taken for being away: longer than most elections, so that
/// nobody is told of those, and shorter than people wait.
pub const SILENT: Duration = Duration::from_secs(6);

/// When the store was heard last.
#[derive(Debug)]
pub struct Away {
    heard: Mutex<(Instant, OffsetDateTime)>,
    since: watch::Sender<Option<OffsetDateTime>>,
}

impl Default for Away {
    fn default() -> Self {
        let heard = Mutex::new((Instant::now(), OffsetDateTime::now_utc()));
        Self { heard, since: watch::Sender::new(None) }
    }
}

impl Away {
    /// That the store answered just now.
    pub fn heard(&self) {
        let now = (Instant::now(), OffsetDateTime::now_utc());
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = now;
        self.tell(None);
    }

    /// That it did not: it is away once that has been so for long enough.
    pub fn not_heard(&self) {
        let (at, time) = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if at.elapsed() >= SILENT {
            self.tell(Some(time));
        }
    }

    fn tell(&self, now: Option<OffsetDateTime>) {
        self.since.send_if_modified(|since| {
            let other = *since != now;
            if other {
                let stale = if now.is_some() { 1.0 } else { 0.0 };
                metrics::gauge!("portcall_store_away").set(stale);
                tracing::warn!(away = now.is_some(), "whether the store is away has changed");
            }
            *since = now;
            other
        });
    }

    /// As of when what is in memory is, if the store is away.
    #[must_use]
    pub fn since(&self) -> Option<OffsetDateTime> {
        *self.since.borrow()
    }

    /// Tells of every change of that.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Option<OffsetDateTime>> {
        self.since.subscribe()
    }
}

impl Away {
    /// What the store says; nothing if it is away, or found to be while it is asked.
    async fn ask<T>(
        &self,
        read: impl Future<Output = Result<T, StoreError>>,
    ) -> Option<Result<T, StoreError>> {
        let mut changes = self.changes();
        tokio::select! {
            biased;
            _ = changes.wait_for(Option::is_some) => None,
            read = read => Some(read),
        }
    }

    async fn or_remembered<T>(
        &self,
        read: impl Future<Output = Result<T, StoreError>>,
        remembered: impl Fn() -> Option<T>,
    ) -> Result<T, ApiError> {
        let mut asked = pin!(self.ask(read));
        let asked = match timeout(SILENT, &mut asked).await {
            Ok(asked) => asked,
            Err(_) => match remembered() {
                Some(remembered) => return Ok(remembered),
                None => asked.await,
            },
        };
        let error = match asked {
            Some(Ok(read)) => return Ok(read),
            Some(Err(error)) => ApiError::from(error),
            None => ApiError::Held(SILENT),
        };
        match error {
            ApiError::Unavailable(_) | ApiError::Held(_) => remembered().ok_or(error),
            other => Err(other),
        }
    }
}

impl Shared {
    /// What the store says; what is remembered, if anything is, when it fails or was silent for
    /// [`SILENT`].
    ///
    /// # Errors
    /// When the store cannot say, and nothing is remembered.
    pub async fn or_remembered<T>(
        &self,
        read: impl Future<Output = Result<T, StoreError>>,
        remembered: impl Fn() -> Option<T>,
    ) -> Result<T, ApiError> {
        self.away.or_remembered(read, remembered).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_away_once_it_was_silent_for_long_enough() {
        let away = Away::default();
        let changes = away.changes();
        away.not_heard();
        assert_eq!(away.since(), None, "an election");
        let long_ago = Instant::now().checked_sub(SILENT).unwrap();
        let time = OffsetDateTime::UNIX_EPOCH;
        *away.heard.lock().unwrap() = (long_ago, time);
        away.not_heard();
        assert_eq!((away.since(), changes.has_changed().unwrap()), (Some(time), true));
        away.heard();
        assert_eq!(away.since(), None);
        away.not_heard();
        assert_eq!(away.since(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_something_in_memory_waits_no_longer_than_the_silence() {
        let away = Away::default();
        let slow = |after| async move {
            tokio::time::sleep(after).await;
            Ok::<_, StoreError>("said")
        };
        let begun = tokio::time::Instant::now();
        let got = away.or_remembered(slow(SILENT * 2), || Some("kept")).await;
        assert_eq!((got.unwrap(), begun.elapsed()), ("kept", SILENT));
        let in_time = slow(SILENT - Duration::from_millis(1));
        assert_eq!(away.or_remembered(in_time, || Some("kept")).await.unwrap(), "said");
        assert_eq!(away.or_remembered(slow(SILENT * 2), || None).await.unwrap(), "said");

        let busy = || async { Err(StoreError::Busy { doing: "read" }) };
        assert_eq!(away.or_remembered(busy(), || Some("kept")).await.unwrap(), "kept");
        assert!(away.or_remembered(busy(), || None::<&str>).await.is_err());
        let corrupt = async { Err(StoreError::Corrupt { id: "x".to_owned(), what: "state" }) };
        assert!(away.or_remembered(corrupt, || Some("kept")).await.is_err(), "that is told");
    }
}
