//! Hold points: where a fault test stops a grading to kill its worker there.
//!
//! Compiled to nothing without the feature `faults`, which no released binary has. With it, the
//! first grading that reaches a point named in `PORTCALL_HOLD_AT` stops there for good, or until there is a file
//! at the path in `PORTCALL_HOLD_UNTIL`. A reaper is held at `expiring`.

/// The points, in the order that a grading reaches them, and that of a reaper.
pub const POINTS: [&str; 11] = [
    "claimed", "resolved", "pulled", "admitted", "started", "ready", "probed", "judged", "settled",
    "cleaned", "expiring",
];

/// Stops here if a test asked for it.
#[cfg(not(feature = "faults"))]
pub async fn point(_name: &'static str) {}

/// Stops here if a test asked for it.
#[cfg(feature = "faults")]
pub async fn point(name: &'static str) {
    use std::{
        collections::BTreeSet,
        sync::{LazyLock, Mutex, PoisonError},
    };

    static ASKED: LazyLock<Mutex<BTreeSet<String>>> = LazyLock::new(|| {
        #[expect(clippy::disallowed_methods, reason = "only in builds for fault tests")]
        let asked = std::env::var("PORTCALL_HOLD_AT").unwrap_or_default();
        let known = asked.split(',').filter(|n| POINTS.contains(n)).map(str::to_owned);
        Mutex::new(known.collect())
    });
    let asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    if asked {
        tracing::warn!(point = name, "holding");
        #[expect(clippy::disallowed_methods, reason = "only in builds for fault tests")]
        let until = std::env::var("PORTCALL_HOLD_UNTIL").unwrap_or_default();
        while until.is_empty() || !std::path::Path::new(&until).exists() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        tracing::warn!(point = name, "let go");
    }
}
