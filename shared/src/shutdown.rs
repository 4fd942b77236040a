//! The end of a process: told by a signal, carried by a token, bounded by a grace period.
//!
//! What others send requests to ends in two steps ([`Stop`]): first it is told, says so to whoever
//! asks for its readiness, and goes on; then, once balancers have seen that, it closes.

use std::{future::Future, process, time::Duration};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a shell adds to the number of the signal by which a program ended.
const BY_SIGNAL: i32 = 128;

/// A token that SIGTERM or SIGINT cancels.
///
/// # Errors
/// When the signals cannot be watched.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut signals = Signals::watch()?;
    let told = stop.clone();
    tokio::spawn(async move {
        signals.next().await;
        told.cancel();
    });
    Ok(stop)
}

/// The end of a process that others send requests to, in two steps.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// It was told to stop. It is not ready any more, and goes on.
    pub told: CancellationToken,
    /// It takes nothing new, and ends what it has begun.
    pub closing: CancellationToken,
}

impl Stop {
    /// Told by SIGTERM or SIGINT. A second one ends the process at once, with the exit code that
    /// shells have for it (143, 130).
    ///
    /// # Errors
    /// When the signals cannot be watched.
    pub fn on_signals() -> std::io::Result<Self> {
        let stop = Self::default();
        let mut signals = Signals::watch()?;
        let told = stop.told.clone();
        tokio::spawn(async move {
            signals.next().await;
            told.cancel();
            let again = signals.next().await;
            tracing::warn!("told to stop a second time: ends at once");
            process::exit(BY_SIGNAL + again.as_raw_value());
        });
        Ok(stop)
    }

    /// Waits until it was told, goes on for a while, so that those who send requests learn that it
    /// is not ready, and closes.
    pub async fn linger(&self, delay: Duration) {
        self.told.cancelled().await;
        tokio::time::sleep(delay).await;
        tracing::info!("closing");
        self.closing.cancel();
    }
}

/// The signals that tell a process to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn watch() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> SignalKind {
        let (name, kind) = tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", SignalKind::terminate()),
            _ = self.interrupt.recv() => ("SIGINT", SignalKind::interrupt()),
        };
        tracing::info!(signal = name, "stopping");
        kind
    }
}

/// Whether the work ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Within the grace period.
    InTime,
    /// The grace period ran out.
    CutShort,
}

/// Waits for work to end after `stop`, at most for a grace period.
pub async fn drain(
    work: impl Future<Output = ()>,
    stop: CancellationToken,
    grace: Duration,
) -> Drained {
    tokio::pin!(work);
    tokio::select! {
        () = &mut work => return Drained::InTime,
        () = stop.cancelled() => {}
    }
    match tokio::time::timeout(grace, work).await {
        Ok(()) => Drained::InTime,
        Err(_) => {
            let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(grace_ms, "the grace period ran out with work unfinished");
            Drained::CutShort
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures::poll;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn it_closes_after_the_delay_and_not_before() {
        let stop = Stop::default();
        {
            let mut untold = std::pin::pin!(stop.linger(Duration::ZERO));
            assert!(poll!(&mut untold).is_pending() && !stop.closing.is_cancelled());
        }
        stop.told.cancel();
        {
            let mut lingers = std::pin::pin!(stop.linger(HOUR));
            assert!(poll!(&mut lingers).is_pending() && !stop.closing.is_cancelled());
        }
        stop.linger(Duration::ZERO).await;
        assert!(stop.closing.is_cancelled());
    }

    #[tokio::test]
    async fn work_may_end_within_the_grace_period() {
        let stop = CancellationToken::new();
        assert_eq!(drain(ready(()), stop.clone(), Duration::ZERO).await, Drained::InTime);
        stop.cancel();
        assert_eq!(drain(tokio::task::yield_now(), stop.clone(), HOUR).await, Drained::InTime);
        assert_eq!(drain(pending(), stop, Duration::ZERO).await, Drained::CutShort);
    }
}
