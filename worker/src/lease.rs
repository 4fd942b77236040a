//! Holding a lease while the grading beside it works.
//!
//! The keeper renews on its own; the grading asks before each side effect. A holder whose last
//! renewal is older than the stall time starts nothing more, long before anybody else could take
//! over; one that is told it is stale stops at once.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use portcall_shared::{
    domain::{
        state::Step,
        submission::{StepTime, SubmittedImage},
        verdict::Fault,
    },
    store::queue::{Lease, Queue, Write},
};
use time::OffsetDateTime;
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// The three times of a lease. `beat < stall < lease`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    /// Between two renewals.
    pub beat: Duration,
    /// Age of the last renewal beyond which the holder starts no side effect.
    pub stall: Duration,
    /// Silence after which an observer ends the lease.
    pub lease: Duration,
}

/// Why a grading stops without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// The lease is lost, or may be.
    #[error("the lease is lost")]
    LeaseLost,
    /// The node went away under it, perhaps by what was graded.
    #[error("the node went away")]
    NodeLost,
    /// The worker is stopping.
    #[error("the worker is stopping")]
    Stopping,
}

/// Who may end a grading from outside.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    /// The worker is stopping, or the node is being emptied.
    pub stopping: CancellationToken,
    /// The node went away.
    pub node_lost: CancellationToken,
}

impl Ends {
    /// For gradings that end when this does, at the latest.
    #[must_use]
    pub fn under(stopping: &CancellationToken) -> Self {
        Self { stopping: stopping.child_token(), node_lost: CancellationToken::new() }
    }

    /// Why a grading is to end now, if it is. A node that went away is told even then when the worker
    /// is stopping as well.
    #[must_use]
    pub fn told(&self) -> Option<Stop> {
        if self.node_lost.is_cancelled() {
            Some(Stop::NodeLost)
        } else {
            self.stopping.is_cancelled().then_some(Stop::Stopping)
        }
    }

    /// Completes when a grading is to end.
    pub async fn until_told(&self) -> Stop {
        tokio::select! {
            biased;
            () = self.node_lost.cancelled() => Stop::NodeLost,
            () = self.stopping.cancelled() => Stop::Stopping,
        }
    }
}

/// What the grading story tells as it goes on, and is told.
pub trait Progress: Sync {
    /// Goes on to a step.
    fn step(&self, step: Step) -> impl Future<Output = Result<(), Stop>> + Send;

    /// Goes on to a step, and does what it is made of while that is told. The work ends by itself when the
    /// lease is lost.
    fn during<T: Send, E: From<Stop> + Send>(
        &self,
        step: Step,
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> impl Future<Output = Result<T, E>> + Send {
        async move {
            let (told, done) = tokio::join!(self.step(step), work);
            told?;
            done
        }
    }

    /// What the names of the images stand for.
    fn pinned(&self, images: &[SubmittedImage]) -> impl Future<Output = Result<(), Stop>> + Send;

    /// Whether these images may be graded here and now. It may take until other gradings have ended.
    fn let_in(&self, _images: &[SubmittedImage]) -> impl Future<Output = Result<(), Fault>> + Send {
        std::future::ready(Ok(()))
    }

    /// Completes when the grading must stop.
    fn stopped(&self) -> impl Future<Output = Stop> + Send;
}

/// How long a step lasts at least for it to be told while it does. What is over before that is told with
/// the end, and costs the store nothing.
const TOLD: Duration = Duration::from_millis(25);

#[derive(Debug)]
struct Shared {
    renewed: Mutex<Instant>,
    lost: CancellationToken,
    /// The result is being written: from then on a renewal that matches nothing is no loss.
    concluding: AtomicBool,
}

/// What renews a lease, beside whoever works under it.
pub type Keeper = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A lease that is being held.
#[derive(Debug)]
pub struct Holder<Q> {
    queue: Q,
    lease: Lease,
    times: LeaseTimes,
    began: Instant,
    shared: Arc<Shared>,
    ends: Ends,
    steps: Mutex<Vec<(StepTime, Instant)>>,
    _keeper: AbortOnDropHandle<()>,
}

impl<Q: Queue> Holder<Q> {
    /// Begins to hold a lease that was claimed just now.
    pub fn hold(queue: Q, lease: Lease, times: LeaseTimes, ends: Ends) -> Self {
        Self::hold_beside(queue, lease, times, ends, tokio::spawn)
    }

    /// The same, with the keeper's task begun by somebody else.
    pub fn hold_beside(
        queue: Q,
        lease: Lease,
        times: LeaseTimes,
        ends: Ends,
        spawn: impl FnOnce(Keeper) -> JoinHandle<()>,
    ) -> Self {
        let began = Instant::now();
        let lost = CancellationToken::new();
        let concluding = AtomicBool::new(false);
        let shared = Arc::new(Shared { renewed: Mutex::new(began), lost, concluding });
        let keeper = spawn(Box::pin(keep(queue.clone(), lease, times, Arc::clone(&shared))));
        let first = StepTime { step: Step::Resolving, at: queue.now(), ms: None };
        Self {
            queue,
            lease,
            times,
            began,
            shared,
            ends,
            steps: Mutex::new(vec![(first, began)]),
            _keeper: AbortOnDropHandle::new(keeper),
        }
    }

    /// The lease.
    pub fn lease(&self) -> Lease {
        self.lease
    }

    /// How long it has been held.
    pub fn held_for(&self) -> Duration {
        self.began.elapsed()
    }

    /// Says that the result is about to be written, which ends the lease.
    pub fn conclude(&self) {
        self.shared.concluding.store(true, Ordering::Relaxed);
    }

    /// Whether the lease may still be acted under.
    fn check(&self) -> Result<(), Stop> {
        let renewed = *self.shared.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shared.lost.is_cancelled() || renewed.elapsed() >= self.times.stall {
            return Err(Stop::LeaseLost);
        }
        self.ends.told().map_or(Ok(()), Err)
    }

    /// The steps so far, the last one ended now.
    pub fn steps(&self) -> Vec<StepTime> {
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = steps.iter().skip(1).map(|(_, at)| *at).chain([Instant::now()]);
        let ended = |((step, at), end): (&(StepTime, Instant), Instant)| StepTime {
            ms: Some(millis(end.duration_since(*at))),
            ..step.clone()
        };
        steps.iter().zip(ends).map(ended).collect()
    }

    /// Begins a step, if the lease is still good; when.
    fn enter(&self, step: Step) -> Result<OffsetDateTime, Stop> {
        self.check()?;
        let at = self.queue.now();
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if steps.last().is_none_or(|(last, _)| last.step != step) {
            steps.push((StepTime { step, at, ms: None }, Instant::now()));
        }
        Ok(at)
    }

    async fn note(&self, step: Step, at: OffsetDateTime) -> Result<(), Stop> {
        match self.queue.advance(self.lease, step, at).await {
            Ok(write) => self.written(write, "note a step"),
            // Steps are for people: a store that is away for a moment does not end a grading.
            Err(error) => {
                tracing::warn!(submission.id = %self.lease.submission, %error, "cannot note a step");
                self.check()
            }
        }
    }

    fn written(&self, write: Write, doing: &'static str) -> Result<(), Stop> {
        match write {
            Write::Applied => Ok(()),
            Write::Stale | Write::Missing => {
                fenced(self.lease, doing);
                self.shared.lost.cancel();
                Err(Stop::LeaseLost)
            }
        }
    }
}

/// Counts a write that the generation kept out.
pub fn fenced(lease: Lease, doing: &'static str) {
    metrics::counter!("portcall_fenced_writes_total").increment(1);
    tracing::warn!(
        submission.id = %lease.submission,
        submission.generation = lease.generation.0,
        doing,
        "this worker no longer holds the lease"
    );
}

/// A time in whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl<Q: Queue> Progress for Holder<Q> {
    async fn step(&self, step: Step) -> Result<(), Stop> {
        let at = self.enter(step)?;
        self.note(step, at).await
    }

    async fn during<T: Send, E: From<Stop> + Send>(
        &self,
        step: Step,
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let at = self.enter(step)?;
        let mut work = pin!(work);
        if let Ok(done) = timeout(TOLD, &mut work).await {
            return done;
        }
        let (noted, done) = tokio::join!(self.note(step, at), work);
        noted?;
        done
    }

    async fn pinned(&self, images: &[SubmittedImage]) -> Result<(), Stop> {
        self.check()?;
        match self.queue.pin(self.lease, images).await {
            Ok(write) => self.written(write, "note what the images are"),
            Err(error) => {
                tracing::warn!(submission.id = %self.lease.submission, %error, "cannot pin images");
                self.check()
            }
        }
    }

    async fn stopped(&self) -> Stop {
        tokio::select! {
            biased;
            () = self.shared.lost.cancelled() => Stop::LeaseLost,
            stop = self.ends.until_told() => stop,
        }
    }
}

/// Renews until it is told that the lease is lost, or has not got through for the stall time.
async fn keep<Q: Queue>(queue: Q, lease: Lease, times: LeaseTimes, shared: Arc<Shared>) {
    let mut beat = tokio::time::interval(times.beat);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    beat.tick().await;
    while !shared.lost.is_cancelled() {
        beat.tick().await;
        let asked = Instant::now();
        match timeout(times.beat, queue.renew(lease)).await {
            Ok(Ok(Write::Applied)) => {
                *shared.renewed.lock().unwrap_or_else(PoisonError::into_inner) = asked;
            }
            Ok(Ok(Write::Stale | Write::Missing)) => {
                if !shared.concluding.load(Ordering::Relaxed) {
                    fenced(lease, "renew");
                }
                shared.lost.cancel();
            }
            Ok(Err(error)) => {
                tracing::warn!(submission.id = %lease.submission, %error, "cannot renew");
            }
            Err(_) => tracing::warn!(submission.id = %lease.submission, "renewing takes too long"),
        }
        let renewed = *shared.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        if renewed.elapsed() >= times.stall {
            shared.lost.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use portcall_shared::{
        domain::ids::{Generation, SubmissionId, WorkerId},
        store::memory::MemoryQueue,
    };

    use super::*;

    /// Of a submission that is not in the queue: whatever is written matches nothing.
    fn holder(ends: &Ends) -> Holder<MemoryQueue> {
        let lease = Lease {
            submission: SubmissionId::new(),
            worker: WorkerId::new(),
            generation: Generation(1),
        };
        let minute = Duration::from_secs(60);
        let times = LeaseTimes { beat: minute, stall: minute * 2, lease: minute * 3 };
        Holder::hold(MemoryQueue::default(), lease, times, ends.clone())
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_lasts_is_told_while_it_does() {
        let ends = Ends::default();
        let holder = holder(&ends);
        let work = |time| async move {
            tokio::time::sleep(time).await;
            Ok::<_, Stop>(())
        };
        let short = TOLD - Duration::from_millis(1);
        assert_eq!(holder.during(Step::Pulling, work(short)).await, Ok(()), "nothing is written");
        let told = |holder: &Holder<_>| {
            holder.steps().into_iter().map(|it| (it.step, it.ms)).collect::<Vec<_>>()
        };
        let pulling = (Step::Pulling, Some(24));
        assert_eq!(told(&holder), [(Step::Resolving, Some(0)), pulling]);
        let long = TOLD + Duration::from_millis(1);
        assert_eq!(holder.during(Step::Probing, work(long)).await, Err(Stop::LeaseLost));
        assert_eq!(told(&holder)[1..], [pulling, (Step::Probing, Some(26))]);
    }

    #[tokio::test]
    async fn nothing_begins_when_it_must_stop() {
        let ends = Ends::default();
        let holder = holder(&ends);
        ends.stopping.cancel();
        let mut begun = false;
        let work = async {
            begun = true;
            Ok::<_, Stop>(())
        };
        assert_eq!(holder.during(Step::Probing, work).await, Err(Stop::Stopping));
        assert!(!begun && holder.steps().len() == 1, "it is at its first step");
    }
}
