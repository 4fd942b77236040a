//! A queue in memory: the twin of MongoDB's, for tests of the worker's loop and as the model that
//! the real one is held against (`shared/tests/store_queue` runs one suite on both), and the queue of
//! `portcall check`, which grades without a database.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use time::OffsetDateTime;

use super::{
    StoreError,
    mongo_queue::{lost_reason, undetermined, waited_reason},
    queue::{Claimant, Expiry, InFlight, Lease, Queue, Release, Settlement, Swept, Write},
};
use crate::domain::{
    ids::SubmissionId,
    state::{Event, Lifecycle, Pass, State, Step},
    submission::{Attempt, AttemptOutcome, Delay, StepTime, Submission, SubmittedImage},
    verdict::{Outcome, Reason, Verdict},
};

struct Entry {
    submission: Submission,
    beat: i64,
}

/// A queue that lives as long as the process.
#[derive(Clone, Default)]
pub struct MemoryQueue {
    entries: Arc<Mutex<BTreeMap<SubmissionId, Entry>>>,
}

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

impl MemoryQueue {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<SubmissionId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a submission in.
    pub fn put(&self, submission: Submission) {
        self.entries().insert(submission.id, Entry { submission, beat: 0 });
    }

    /// A submission as it is now.
    #[must_use]
    pub fn get(&self, id: SubmissionId) -> Option<Submission> {
        self.entries().get(&id).map(|entry| entry.submission.clone())
    }

    /// Changes what a holder of the lease may change.
    fn change(
        &self,
        lease: Lease,
        event: Option<Event>,
        outcome: Option<AttemptOutcome>,
        apply: impl FnOnce(&mut Submission, Option<Lifecycle>),
    ) -> Write {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(&lease.submission) else { return Write::Missing };
        let submission = &mut entry.submission;
        let ours = submission.attempts.iter().find(|a| {
            a.generation == lease.generation && a.worker == lease.worker && a.outcome.is_some()
        });
        if outcome.is_some() && ours.is_some_and(|a| a.outcome == outcome) {
            return Write::Applied;
        }
        let life = match event {
            Some(event) => match submission.life.apply(event, now()) {
                Ok(life) => Some(life),
                Err(_) => return Write::Stale,
            },
            None if held(submission, lease) => None,
            None => return Write::Stale,
        };
        apply(submission, life);
        if let Some(life) = life {
            submission.life = life;
        }
        submission.revision += 1;
        submission.updated_at = now();
        Write::Applied
    }
}

fn held(submission: &Submission, lease: Lease) -> bool {
    submission.life.generation == lease.generation
        && matches!(submission.life.state, State::Grading { worker, .. } if worker == lease.worker)
}

fn attempt_of(submission: &mut Submission, lease: Lease) -> Option<&mut Attempt> {
    submission.attempts.iter_mut().find(|a| a.generation == lease.generation)
}

fn end(
    submission: &mut Submission,
    lease: Lease,
    outcome: AttemptOutcome,
    reason: Option<Reason>,
    record: Option<super::queue::Record>,
) {
    let Some(attempt) = attempt_of(submission, lease) else { return };
    attempt.outcome = Some(outcome);
    attempt.reason = reason;
    attempt.ended_at = Some(record.as_ref().map_or_else(now, |r| r.at));
    if let Some(record) = record {
        attempt.node = record.node;
        attempt.steps = record.steps;
        attempt.evidence = Some(record.evidence);
    }
}

fn number_of(submission: &Submission, lease: Lease) -> u32 {
    let attempt = submission.attempts.iter().find(|a| a.generation == lease.generation);
    attempt.map_or(0, |a| a.number)
}

impl Queue for MemoryQueue {
    async fn claim(&self, by: &Claimant) -> Result<Option<Submission>, StoreError> {
        let mut entries = self.entries();
        let ready = |e: &&mut Entry| {
            e.submission.life.state == State::Queued && e.submission.delay.is_none()
        };
        let next = entries
            .values_mut()
            .filter(ready)
            .min_by_key(|e| (e.submission.order, e.submission.id));
        let Some(entry) = next else { return Ok(None) };
        let at = now();
        let submission = &mut entry.submission;
        let Ok(life) = submission.life.apply(Event::Claim { worker: by.id }, at) else {
            return Ok(None);
        };
        submission.life = life;
        submission.revision += 1;
        submission.attempts.push(Attempt {
            number: u32::try_from(submission.attempts.len()).unwrap_or(u32::MAX) + 1,
            worker: by.id,
            worker_name: by.name.clone(),
            node: None,
            generation: life.generation,
            started_at: at,
            ended_at: None,
            steps: vec![StepTime { step: Step::Resolving, at, ms: None }],
            outcome: None,
            reason: None,
            evidence: None,
        });
        entry.beat = 0;
        Ok(Some(entry.submission.clone()))
    }

    async fn renew(&self, lease: Lease) -> Result<Write, StoreError> {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(&lease.submission) else { return Ok(Write::Missing) };
        if !held(&entry.submission, lease) {
            return Ok(Write::Stale);
        }
        entry.beat += 1;
        Ok(Write::Applied)
    }

    async fn advance(
        &self,
        lease: Lease,
        step: Step,
        at: OffsetDateTime,
    ) -> Result<Write, StoreError> {
        let event = Event::Advance { generation: lease.generation, step };
        let life = self.get(lease.submission).map(|submission| submission.life);
        if life.is_some_and(|life| life.apply(event, at) == Ok(life)) {
            // It is there already: by an earlier try.
            return Ok(Write::Applied);
        }
        Ok(self.change(lease, Some(event), None, |submission, _| {
            if let Some(attempt) = attempt_of(submission, lease) {
                attempt.steps.push(StepTime { step, at, ms: None });
            }
        }))
    }

    async fn pin(&self, lease: Lease, images: &[SubmittedImage]) -> Result<Write, StoreError> {
        Ok(self.change(lease, None, None, |submission, _| submission.images = images.to_vec()))
    }

    async fn settle(&self, lease: Lease, settlement: &Settlement) -> Result<Write, StoreError> {
        let event = Event::Settle { generation: lease.generation, pass: settlement.pass };
        let (outcome, verdict) = match settlement.pass {
            Pass::Yes => (AttemptOutcome::Passed, Outcome::Passed),
            Pass::No => (AttemptOutcome::Failed, Outcome::Failed),
        };
        Ok(self.change(lease, Some(event), Some(outcome), |submission, _| {
            let (reason, record) = (settlement.reason.clone(), settlement.record.clone());
            submission.verdict = Some(Verdict {
                outcome: verdict,
                reason: reason.clone(),
                at: record.at,
                attempt: number_of(submission, lease),
                grading_ms: record.grading_ms,
            });
            end(submission, lease, outcome, reason, Some(record));
        }))
    }

    async fn release(&self, lease: Lease, back: &Release) -> Result<Write, StoreError> {
        let (event, outcome) = back.event(lease.generation);
        Ok(self.change(lease, Some(event), Some(outcome), |submission, life| {
            end(submission, lease, outcome, back.fault.clone(), Some(back.record.clone()));
            match (life.map(|l| l.state), &back.fault) {
                (Some(State::Queued), Some(reason)) if !back.after.is_zero() => {
                    let next_try = now() + back.after;
                    submission.delay = Some(Delay { reason: reason.clone(), next_try });
                }
                (Some(State::Undetermined), _) => {
                    let number = number_of(submission, lease);
                    submission.verdict = Some(undetermined(back.fault.clone(), now(), number));
                }
                _ => {}
            }
        }))
    }

    async fn cleaned(&self, lease: Lease, step: &StepTime) -> Result<Write, StoreError> {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(&lease.submission) else { return Ok(Write::Missing) };
        let Some(attempt) = attempt_of(&mut entry.submission, lease) else {
            return Ok(Write::Stale);
        };
        if attempt.steps.iter().any(|s| s.step == step.step) {
            return Ok(Write::Stale);
        }
        attempt.steps.push(step.clone());
        entry.submission.revision += 1;
        Ok(Write::Applied)
    }

    async fn holds(&self, lease: Lease) -> Result<bool, StoreError> {
        Ok(self.entries().get(&lease.submission).is_some_and(|e| held(&e.submission, lease)))
    }

    async fn in_flight(&self) -> Result<Vec<InFlight>, StoreError> {
        let flight = |e: &Entry| match e.submission.life.state {
            State::Grading { worker, .. } => Some(InFlight {
                lease: Lease {
                    submission: e.submission.id,
                    worker,
                    generation: e.submission.life.generation,
                },
                beat: e.beat,
            }),
            _ => None,
        };
        Ok(self.entries().values().filter_map(flight).collect())
    }

    async fn expire(&self, seen: InFlight, scope: Expiry) -> Result<Write, StoreError> {
        let beat = self.entries().get(&seen.lease.submission).map(|e| e.beat);
        match (beat, scope) {
            (None, _) => return Ok(Write::Missing),
            (Some(beat), Expiry::Silent) if beat != seen.beat => return Ok(Write::Stale),
            _ => {}
        }
        let event = Event::LeaseExpired { generation: seen.lease.generation };
        Ok(self.change(seen.lease, Some(event), None, |submission, life| {
            end(submission, seen.lease, AttemptOutcome::Lost, Some(lost_reason()), None);
            if life.is_some_and(|l| l.state == State::Undetermined) {
                let number = number_of(submission, seen.lease);
                submission.verdict = Some(undetermined(Some(lost_reason()), now(), number));
            }
        }))
    }

    async fn sweep(&self, now: OffsetDateTime) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        for entry in self.entries().values_mut() {
            let submission = &mut entry.submission;
            let reason = submission.delay.as_ref().map_or_else(waited_reason, |d| d.reason.clone());
            if submission.delay.as_ref().is_some_and(|d| d.next_try <= now) {
                submission.delay = None;
                swept.woken += 1;
            }
            if let Ok(life) = submission.life.apply(Event::Overdue, now) {
                submission.life = life;
                submission.verdict = Some(undetermined(Some(reason), now, 0));
                swept.overdue += 1;
            }
        }
        Ok(swept)
    }
}
