//! When the node is examined: before the first claim, on a timer, whenever it may have become
//! another one, and when an operator wants it.

use std::{future::Future, time::Duration};

use portcall_shared::retry::{self, Pauses};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Examined, Gate, Outcome, Standing, Verdict};

/// The least time between two examinations that were asked for because a slot was lost: a stranger
/// who brings probers down must not keep the node busy with canaries.
pub const LEAST: Duration = Duration::from_secs(60);
/// The timer is off by up to this part of it, so that the workers of one node do not all examine it
/// at once.
const JITTER: f64 = 0.1;

/// Whoever can examine the node.
pub trait Examiner: Sync {
    /// Completes when it may be examined; it may unless something else is wanted of it.
    fn allowed(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Examines it; bounded in time by itself.
    fn examine(&self) -> impl Future<Output = Examined> + Send;
}

/// Examines the node until `stop`. An examination that has begun is carried through, so that
/// nothing of it is left on the node.
pub async fn watch(
    gate: &Gate,
    examiner: &impl Examiner,
    every: Duration,
    stop: &CancellationToken,
) {
    let mut schedule = Schedule::new(every, Instant::now());
    loop {
        tokio::select! {
            () = examiner.allowed() => {}
            () = stop.cancelled() => {}
        }
        if stop.is_cancelled() {
            return;
        }
        let (begun, began) = (gate.begin(), Instant::now());
        let examined = examiner.examine().await;
        tell(&examined, began.elapsed());
        let outcome = examined.outcome.clone();
        gate.note(examined, begun);
        schedule.ended(&outcome, &gate.standing(), Instant::now());
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(schedule.due) => break,
                () = gate.0.again.notified() => schedule.asked(&gate.standing(), Instant::now()),
                () = stop.cancelled() => return,
            }
        }
    }
}

/// When the next examination begins, by how the last one ended and what happened since.
struct Schedule {
    every: Duration,
    ended: Instant,
    due: Instant,
    unfit: Pauses,
    away: Pauses,
}

impl Schedule {
    fn new(every: Duration, now: Instant) -> Self {
        let (unfit, away) = (retry::UNFIT.pauses(), retry::RECONNECT.pauses());
        Self { every, ended: now, due: now, unfit, away }
    }

    fn ended(&mut self, outcome: &Outcome, standing: &Standing, now: Instant) {
        self.ended = now;
        self.due = match standing.is_ordered() {
            true => now,
            false => now + self.pause(outcome, standing, now),
        };
    }

    fn pause(&mut self, outcome: &Outcome, standing: &Standing, now: Instant) -> Duration {
        match outcome {
            Outcome::Passed => {
                self.unfit.reset();
                self.away.reset();
                // It was lost while it was examined.
                if standing.is_suspended() {
                    return Duration::ZERO;
                }
                self.every.mul_f64(1.0 + rand::random_range(-JITTER..=JITTER))
            }
            Outcome::Failed(_) => {
                self.away.reset();
                self.unfit.next_pause()
            }
            Outcome::Impossible(_) => match standing.canary(now) {
                // A node that failed is not asked more often because it cannot be asked.
                Verdict::Unfit(_) => self.unfit.next_pause(),
                _ => self.away.next_pause(),
            },
        }
    }

    /// An examination is wanted before its time: at once where no work is taken without it, or
    /// somebody waits for it.
    fn asked(&mut self, standing: &Standing, now: Instant) {
        let at_once = standing.is_suspended() || standing.is_ordered();
        let wanted = if at_once { now } else { now.max(self.ended + LEAST) };
        self.due = self.due.min(wanted);
    }
}

fn tell(examined: &Examined, took: Duration) {
    let node = examined.node.as_ref().map_or("?", |node| node.name.as_str());
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match &examined.outcome {
        Outcome::Passed => {
            metrics::histogram!("portcall_canary_seconds").record(took.as_secs_f64());
            tracing::info!(node.name = node, took_ms, "the canary passed");
        }
        Outcome::Failed(differences) => {
            metrics::histogram!("portcall_canary_seconds").record(took.as_secs_f64());
            metrics::counter!("portcall_canary_failures_total").increment(1);
            for difference in differences {
                tracing::error!(
                    node.name = node,
                    profile = difference.profile,
                    attempt = difference.attempt,
                    expected = difference.expected,
                    got = difference.got,
                    "the canary failed"
                );
            }
        }
        Outcome::Impossible(why) => {
            tracing::warn!(node.name = node, why, took_ms, "the canary could not be run");
        }
    }
}

#[cfg(test)]
mod tests;
