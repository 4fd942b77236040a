//! The end of a process: told by a signal, carried by a token, bounded by a grace period.

use std::{future::Future, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that SIGTERM or SIGINT cancels.
///
/// # Errors
/// When the signals cannot be watched.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let told = stop.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = term.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "stopping");
        told.cancel();
    });
    Ok(stop)
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
            let grace_s = grace.as_secs();
            tracing::warn!(grace_s, "the grace period ran out with work unfinished");
            Drained::CutShort
        }
    }
}
