//! One submission: graded under its lease, settled or given back, then cleaned up.
//!
//! The story is told on a [`Stage`]: a slot of a post, or one of the simulation's
//! (`worker/tests/simulation`).

use std::time::Duration;

use portcall_shared::{
    chance,
    domain::{
        evidence::Evidence,
        state::{Loss, Pass, Step},
        submission::{StepTime, Submission},
        verdict::{Disposition, Fault, PlatformCode, PlatformFault},
    },
    store::{
        StoreError,
        queue::{Lease, Queue, Record, Release, Settlement, Write},
    },
    telemetry::traces,
};
use time::OffsetDateTime;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::{
    dispatch::hand_back,
    fleet::{Owner, Slot},
    gate::Mark,
    grade::{Ended, Graded, InSlot, Steps, grade},
    hold,
    judge::Judgement,
    lease::{Ends, Holder, Stop, fenced, millis},
    post::Post,
    stage::{OnSlot, Remains, Stage, Watch},
    suspects::NodeThen,
};

/// What a lease is given back with that nothing was done under.
pub fn handed_back(at: OffsetDateTime) -> Release {
    let record =
        Record { at, node: None, grading_ms: 0, steps: Vec::new(), evidence: Evidence::default() };
    given_back(record)
}

impl Post {
    /// Grades one submission that was claimed just now: a span of its trace, with one for each step.
    pub(crate) async fn one(&self, slot: &Slot, submission: Submission, mark: Mark, ends: &Ends) {
        let (id, generation) = (submission.id, submission.life.generation.0);
        let span = tracing::info_span!(
            "grading", submission.id = %id, submission.generation = generation,
        );
        traces::continue_from(&span, submission.marks.trace.as_deref());
        let stage = OnSlot { post: self, ground: InSlot { grader: &self.grader, slot }, mark };
        Story(&stage).tell(submission, ends).instrument(span).await;
    }
}

/// The story of one submission that was claimed just now.
pub struct Story<'a, S>(pub &'a S);

impl<S: Stage> Story<'_, S> {
    /// Tells it to its end.
    pub async fn tell(&self, mut submission: Submission, ends: &Ends) {
        let Self(stage) = *self;
        let lease = Lease {
            submission: submission.id,
            worker: stage.worker(),
            generation: submission.life.generation,
        };
        let Some(_member) = stage.enter() else {
            return hand_back(stage.queue(), lease).await;
        };
        let _busy = stage.begin(lease);
        let (queue, times) = (stage.queue().clone(), stage.times());
        let spawn = |keeper| stage.spawn(keeper);
        let holder = Holder::hold_beside(queue, lease, times, ends.clone(), spawn);
        let watched = stage.watch(&holder);
        let owner = Owner {
            submission: lease.submission,
            generation: lease.generation,
            worker: lease.worker,
        };
        let graded = match stage.rules(&submission).await {
            Ok(Some(event)) => {
                grade(stage.ground(), &mut submission, &event, owner, &watched).await
            }
            Ok(None) => without_rules("its rules are not in the store"),
            Err(error) => {
                tracing::error!(%error, "cannot read an event's rules");
                without_rules("its rules cannot be read")
            }
        };
        let Graded { ended, evidence, workload, admitted } = graded;
        // Before anybody is charged for what was seen: a node that is being emptied ends what runs
        // on it, and one that went away does not answer.
        let stands = !charges(&ended) || stage.stands().await;
        // What ends because the node is being emptied is not lost with it.
        let node_then = match stands || stage.is_emptied() {
            true => NodeThen::Standing,
            false => NodeThen::Gone,
        };
        let (ended, evidence) = match stands && stage.is_trusted() {
            true => (ended, evidence),
            false => distrusted(ended, evidence),
        };
        let (ended, _alone) = watched.over(ended, node_then).await;
        holder.conclude();
        self.conclude(&submission, &holder, &ended, evidence).await;
        drop(holder);
        hold::point("settled").await;
        self.clean(lease, workload).await;
        drop(admitted);
        stage.used();
        hold::point("cleaned").await;
    }

    /// Writes what the grading came to.
    async fn conclude(
        &self,
        submission: &Submission,
        holder: &Holder<S::Queue>,
        ended: &Ended,
        evidence: Evidence,
    ) {
        let queue = self.0.queue();
        let record = Record {
            at: queue.now(),
            node: Some(self.0.node()),
            grading_ms: millis(holder.held_for()),
            steps: holder.steps(),
            evidence,
        };
        for step in &record.steps {
            let seconds = Duration::from_millis(step.ms.unwrap_or_default()).as_secs_f64();
            metrics::histogram!("portcall_step_seconds", "step" => step.step.as_str())
                .record(seconds);
            self.0.trace(step);
        }
        let lease = holder.lease();
        let (write, outcome) = match ended {
            Ended::Judged(Judgement { outcome: Ok(()), .. }) => {
                (self.settle(lease, None, record).await, "passed")
            }
            Ended::Judged(Judgement { outcome: Err(fault), .. }) => {
                (self.settle(lease, Some(fault.clone().into()), record).await, "failed")
            }
            Ended::Faulted(fault) => self.faulted(lease, fault, submission, record).await,
            Ended::Stopped(Stop::NodeLost) => {
                self.faulted(lease, &node_lost(), submission, record).await
            }
            Ended::Stopped(Stop::Stopping) => {
                (queue.release(lease, &given_back(record)).await, "handed_back")
            }
            // Perhaps the store was only away for a while: if the lease is still ours, nobody needs
            // to wait until it expires. If it is not, this writes nothing.
            Ended::Stopped(Stop::LeaseLost) => {
                (queue.release(lease, &given_back(record)).await, "lost")
            }
        };
        metrics::counter!("portcall_gradings_total", "outcome" => outcome).increment(1);
        match write {
            Ok(Write::Applied) => {
                let grading_ms = millis(holder.held_for());
                tracing::info!(outcome, grading_ms, event.slug = %submission.event, "graded");
            }
            Ok(Write::Stale | Write::Missing) if outcome == "lost" => {
                tracing::warn!("stopped: the lease is lost");
            }
            Ok(Write::Stale | Write::Missing) => fenced(lease, "write the verdict"),
            Err(error) => {
                tracing::error!(%error, outcome, "cannot write the result; the lease will expire");
            }
        }
    }

    /// Settles or releases, as the fault wants it.
    async fn faulted(
        &self,
        lease: Lease,
        fault: &Fault,
        submission: &Submission,
        record: Record,
    ) -> (Result<Write, StoreError>, &'static str) {
        match fault.disposition(submission.life.lost + 1) {
            Disposition::Fail(_) => {
                (self.settle(lease, Some(fault.clone()), record).await, "failed")
            }
            Disposition::Release { after, loss } => {
                let after = spread(after, loss);
                tracing::warn!(%fault, after_s = after.as_secs(), ?loss, "released");
                let back = Release { fault: Some(fault.reason()), loss, after, record };
                (self.0.queue().release(lease, &back).await, "released")
            }
        }
    }

    async fn settle(
        &self,
        lease: Lease,
        fault: Option<Fault>,
        record: Record,
    ) -> Result<Write, StoreError> {
        let pass = if fault.is_none() { Pass::Yes } else { Pass::No };
        let reason = fault.map(|fault| fault.reason());
        self.0.queue().settle(lease, &Settlement { pass, reason, record }).await
    }

    /// Removes what ran. What cannot be seen to be gone makes the slot doubtful, and the reaper
    /// finds it by its labels.
    async fn clean(&self, lease: Lease, workload: Option<<S::Ground as Steps>::Workload>) {
        let Some(workload) = workload else { return };
        let (began, at) = (Instant::now(), self.0.queue().now());
        if let Err(error) = workload.remove().await {
            metrics::counter!("portcall_leaks_total").increment(1);
            tracing::error!(%error, "containers are left to the reaper");
        }
        let took = began.elapsed();
        metrics::histogram!("portcall_step_seconds", "step" => Step::Cleaning.as_str())
            .record(took.as_secs_f64());
        let step = StepTime { step: Step::Cleaning, at, ms: Some(millis(took)) };
        self.0.trace(&step);
        self.0.cleaned(lease, step).await;
    }
}

/// A lease that is given back by nobody's fault.
fn given_back(record: Record) -> Release {
    Release { fault: None, loss: Loss::Waived, after: Duration::ZERO, record }
}

/// A grading under which the node went away is an attempt that was lost, unlike one that is handed
/// back: the node may have gone by it, and the others must not follow at once.
fn node_lost() -> Fault {
    let message = "the machine went away while it was graded there";
    PlatformFault::new(PlatformCode::NodeLost, message).into()
}

/// When to try again: those that found no room because of each other come back one after the other.
fn spread(after: Duration, loss: Loss) -> Duration {
    match loss {
        Loss::Counted | Loss::Final => after,
        Loss::Waived => after.mul_f64(chance::between(1.0..1.5)),
    }
}

/// Whether a participant would be charged by it.
fn charges(ended: &Ended) -> bool {
    match ended {
        Ended::Judged(judgement) => judgement.outcome.is_err(),
        Ended::Faulted(Fault::Participant(_)) => true,
        Ended::Faulted(Fault::Registry(_) | Fault::Platform(_)) | Ended::Stopped(_) => false,
    }
}

/// What a grading came to on a node whose canary failed since it was offered, or that went away:
/// somebody may have changed what was seen, so nobody is charged for it and nobody passes by it.
fn distrusted(ended: Ended, evidence: Evidence) -> (Ended, Evidence) {
    match ended {
        Ended::Judged(_) | Ended::Faulted(Fault::Participant(_)) => {
            let message = "the machine was taken out of service";
            let fault = PlatformFault::new(PlatformCode::PlatformError, message);
            (Ended::Faulted(fault.into()), Evidence::default())
        }
        Ended::Faulted(Fault::Registry(_) | Fault::Platform(_)) | Ended::Stopped(_) => {
            (ended, evidence)
        }
    }
}

fn without_rules<W, A>(message: &str) -> Graded<W, A> {
    let fault = PlatformFault::new(PlatformCode::PlatformError, message);
    Graded {
        ended: Ended::Faulted(fault.into()),
        evidence: Evidence::default(),
        workload: None,
        admitted: None,
    }
}

#[cfg(test)]
mod tests {
    use portcall_shared::domain::verdict::{
        ParticipantCode, ParticipantFault, RegistryCode, RegistryFault,
    };

    use super::*;

    #[test]
    fn what_a_node_went_away_under_has_lost_an_attempt_and_waits() {
        let Disposition::Release { after, loss } = node_lost().disposition(1) else { panic!() };
        assert_eq!(loss, Loss::Counted);
        assert!(!after.is_zero());
        assert_eq!(spread(after, loss), after);
    }

    #[test]
    fn those_without_room_do_not_all_come_back_at_once() {
        let after = Duration::from_secs(30);
        let all: Vec<Duration> = (0..20).map(|_| spread(after, Loss::Waived)).collect();
        assert!(all.iter().all(|it| (after..after * 3 / 2).contains(it)), "{all:?}");
        assert!(all.iter().any(|it| *it != all[0]));
    }

    #[test]
    fn what_a_failing_node_saw_is_charged_to_nobody() {
        let evidence = || Evidence { reproduce: vec!["docker run".to_owned()], ..<_>::default() };
        let fault = || ParticipantFault::new(ParticipantCode::Exited, "it ended");
        let judged = |outcome| Ended::Judged(Judgement { outcome, checks: Vec::new() });
        let charged =
            [judged(Ok(())), judged(Err(fault())), Ended::Faulted(Fault::Participant(fault()))];
        for ended in charged {
            let (ended, evidence) = distrusted(ended, evidence());
            let Ended::Faulted(Fault::Platform(fault)) = ended else { panic!("{ended:?}") };
            assert_eq!(fault.message, "the machine was taken out of service");
            assert_eq!(evidence, Evidence::default());
        }
        // What is nobody's fault, or not over, stays what it was.
        let down = RegistryFault {
            code: RegistryCode::RegistryDown,
            message: "it is away".to_owned(),
            retry_after: None,
        };
        let kept = [Ended::Faulted(Fault::Registry(down)), Ended::Stopped(Stop::LeaseLost)];
        for ended in kept {
            let before = format!("{ended:?}");
            let (ended, kept) = distrusted(ended, evidence());
            assert_eq!((format!("{ended:?}"), kept), (before, evidence()));
        }
    }
}
