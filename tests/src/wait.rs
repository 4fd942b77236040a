//! Waiting for other processes: the one place that polls.

use std::{
    fmt::Display,
    future::Future,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Looks until there is something, and says what was awaited when the time is over.
///
/// # Errors
/// When the time is over or the look itself fails.
pub async fn until<T, F, Fut>(what: impl Display, within: Duration, mut look: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Option<T>>>,
{
    let started = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if started.elapsed() > within {
            bail!("still not after {within:?}: {what}");
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}
