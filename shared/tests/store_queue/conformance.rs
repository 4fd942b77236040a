//! What every queue does.

use std::time::Duration;

use portcall_shared::{
    domain::{
        evidence::{CheckEvidence, Evidence},
        ids::{Generation, SubmissionId, WorkerId},
        state::{Event, Loss, MAX_AGE, MAX_LOST, Pass, State, Step},
        submission::{AttemptOutcome, StepTime, Submission},
        verdict::{Fault, Outcome, ParticipantCode, ParticipantFault, PlatformCode, PlatformFault},
    },
    store::queue::{Claimant, Expiry, InFlight, Lease, Queue, Record, Release, Settlement, Write},
};

use crate::subject::{Subject, now, submission};

fn claimant() -> Claimant {
    Claimant { id: WorkerId::new(), name: "w1".into() }
}

fn lease(submission: &Submission) -> Lease {
    let State::Grading { worker, .. } = submission.life.state else { panic!("not claimed") };
    Lease { submission: submission.id, worker, generation: submission.life.generation }
}

fn record() -> Record {
    let checks = vec![CheckEvidence { name: "config".into(), ..CheckEvidence::default() }];
    Record {
        at: now(),
        node: Some("node-1".into()),
        grading_ms: 1234,
        steps: vec![StepTime { step: Step::Pulling, at: now(), ms: Some(5) }],
        evidence: Evidence { checks, ..Evidence::default() },
    }
}

fn passed() -> Settlement {
    Settlement { pass: Pass::Yes, reason: None, record: record() }
}

fn failed() -> Settlement {
    let fault = ParticipantFault::new(ParticipantCode::Exited, "it ended");
    let reason = Some(Fault::from(fault).reason());
    Settlement { pass: Pass::No, reason, record: record() }
}

fn released(after: Duration) -> Release {
    let fault = PlatformFault::new(PlatformCode::NodeLost, "the node went away");
    let fault = Some(Fault::from(fault).reason());
    Release { fault, loss: Loss::Counted, after, record: record() }
}

async fn claim<S: Subject>(subject: &S) -> Submission {
    subject.queue().claim(&claimant()).await.unwrap().expect("there is one")
}

pub(crate) async fn an_empty_queue_gives_nothing(subject: &impl Subject) {
    assert!(subject.queue().claim(&claimant()).await.unwrap().is_none());
    assert!(subject.queue().in_flight().await.unwrap().is_empty());
}

pub(crate) async fn claims_come_in_fair_order(subject: &impl Subject) {
    let start = now();
    let mut expected = Vec::new();
    for i in (0..4i64).rev() {
        let name = format!("somebody {i}");
        let one = submission(&name, start + time::Duration::seconds(i));
        expected.push(subject.put(one).await.id);
    }
    expected.reverse();
    let mut got = Vec::new();
    for _ in 0..4 {
        got.push(claim(subject).await.id);
    }
    assert_eq!(got, expected);
}

pub(crate) async fn a_submission_is_claimed_once(subject: &impl Subject) {
    for i in 0..10 {
        subject.put(submission(&format!("p{i}"), now())).await;
    }
    let claims = (0..20).map(|_| {
        let queue = subject.queue().clone();
        tokio::spawn(async move { queue.claim(&claimant()).await.unwrap().map(|s| s.id) })
    });
    let mut got: Vec<SubmissionId> = Vec::new();
    for one in claims.collect::<Vec<_>>() {
        got.extend(one.await.unwrap());
    }
    got.sort_unstable();
    let count = got.len();
    got.dedup();
    assert_eq!((count, got.len()), (10, 10));
}

pub(crate) async fn a_passing_grading_leaves_its_record(subject: &impl Subject) {
    subject.put(submission("a", now())).await;
    let claimed = claim(subject).await;
    assert_eq!(claimed.life.generation, Generation(1));
    assert!(claimed.life.deadline.is_some());
    let lease = lease(&claimed);
    assert!(subject.queue().holds(lease).await.unwrap());
    assert_eq!(subject.queue().settle(lease, &passed()).await.unwrap(), Write::Applied);
    assert!(!subject.queue().holds(lease).await.unwrap());
    let done = subject.get(claimed.id).await;
    assert_eq!((done.life.state, done.life.deadline), (State::Passed, None));
    let verdict = done.verdict.expect("a verdict");
    assert_eq!((verdict.outcome, verdict.attempt, verdict.grading_ms), (Outcome::Passed, 1, 1234));
    let attempt = &done.attempts[0];
    assert_eq!(attempt.outcome, Some(AttemptOutcome::Passed));
    assert_eq!(attempt.node.as_deref(), Some("node-1"));
    assert_eq!(attempt.steps[0].ms, Some(5));
    assert_eq!(attempt.evidence.as_ref().map(|e| e.checks.len()), Some(1));
    assert!(done.revision > claimed.revision);
}

pub(crate) async fn a_failing_grading_leaves_its_reason(subject: &impl Subject) {
    subject.put(submission("a", now())).await;
    let claimed = claim(subject).await;
    subject.queue().settle(lease(&claimed), &failed()).await.unwrap();
    let done = subject.get(claimed.id).await;
    assert_eq!(done.life.state, State::Failed);
    assert_eq!(done.verdict.and_then(|v| v.reason).map(|r| r.code), Some("exited".to_owned()));
}

pub(crate) async fn settling_again_is_applied_and_changes_nothing(subject: &impl Subject) {
    subject.put(submission("a", now())).await;
    let claimed = claim(subject).await;
    let lease = lease(&claimed);
    let settlement = passed();
    subject.queue().settle(lease, &settlement).await.unwrap();
    let once = subject.get(claimed.id).await;
    assert_eq!(subject.queue().settle(lease, &settlement).await.unwrap(), Write::Applied);
    assert_eq!(subject.get(claimed.id).await, once);
    assert_eq!(subject.queue().settle(lease, &failed()).await.unwrap(), Write::Stale);
    assert_eq!(subject.get(claimed.id).await, once);
}

pub(crate) async fn a_stale_holder_changes_nothing(subject: &impl Subject) {
    subject.put(submission("a", now())).await;
    let old = lease(&claim(subject).await);
    let seen = InFlight { lease: old, beat: 0 };
    assert_eq!(subject.queue().expire(seen, Expiry::Silent).await.unwrap(), Write::Applied);
    assert_eq!(subject.queue().expire(seen, Expiry::Silent).await.unwrap(), Write::Stale);
    let new = lease(&claim(subject).await);
    assert_eq!(new.generation, old.generation.next());
    let before = subject.get(old.submission).await;
    let queue = subject.queue();
    assert_eq!(queue.renew(old).await.unwrap(), Write::Stale);
    assert_eq!(queue.advance(old, Step::Probing, now()).await.unwrap(), Write::Stale);
    assert_eq!(queue.pin(old, &before.images).await.unwrap(), Write::Stale);
    assert_eq!(queue.settle(old, &failed()).await.unwrap(), Write::Stale);
    assert_eq!(queue.release(old, &released(Duration::ZERO)).await.unwrap(), Write::Stale);
    assert_eq!(subject.get(old.submission).await, before);
    assert_eq!(before.attempts[0].outcome, Some(AttemptOutcome::Lost));
    assert_eq!(queue.settle(new, &passed()).await.unwrap(), Write::Applied);
}

pub(crate) async fn a_released_one_waits_and_is_woken(subject: &impl Subject) {
    subject.put(submission("a", now())).await;
    let claimed = claim(subject).await;
    let back = released(Duration::from_secs(60));
    let lease = lease(&claimed);
    assert_eq!(subject.queue().release(lease, &back).await.unwrap(), Write::Applied);
    assert_eq!(subject.queue().release(lease, &back).await.unwrap(), Write::Applied);
    let waiting = subject.get(claimed.id).await;
    assert_eq!((waiting.life.state, waiting.life.lost), (State::Queued, 1));
    let delay = waiting.delay.expect("it waits");
    assert_eq!(delay.reason.code, "node_lost");
    assert!(subject.queue().claim(&claimant()).await.unwrap().is_none());
    assert_eq!(subject.queue().sweep(now()).await.unwrap().woken, 0);
    let later = delay.next_try + time::Duration::milliseconds(1);
    assert_eq!(subject.queue().sweep(later).await.unwrap().woken, 1);
    assert_eq!(claim(subject).await.life.generation, Generation(2));
}

pub(crate) async fn a_handed_back_one_costs_no_attempt(subject: &impl Subject) {
    subject.put(submission("a", now())).await;
    let claimed = claim(subject).await;
    let after = Duration::ZERO;
    let back = Release { fault: None, loss: Loss::Waived, after, record: record() };
    subject.queue().release(lease(&claimed), &back).await.unwrap();
    let waiting = subject.get(claimed.id).await;
    assert_eq!((waiting.life.state, waiting.life.lost), (State::Queued, 0));
    assert_eq!(waiting.delay, None);
    assert_eq!(waiting.attempts[0].outcome, Some(AttemptOutcome::HandedBack));
    claim(subject).await;
}

pub(crate) async fn one_without_room_loses_no_attempt_and_does_not_wait_for_ever(
    subject: &impl Subject,
) {
    let id = subject.put(submission("a", now())).await.id;
    let fault = Fault::from(PlatformFault::new(PlatformCode::NoCapacity, "no room became free"));
    let back = |after| Release {
        fault: Some(fault.reason()),
        loss: Loss::Waived,
        after,
        record: record(),
    };
    for attempt in 0..=MAX_LOST as usize {
        let lease = lease(&claim(subject).await);
        let back = back(Duration::ZERO);
        assert_eq!(subject.queue().release(lease, &back).await.unwrap(), Write::Applied);
        assert_eq!(subject.queue().release(lease, &back).await.unwrap(), Write::Applied);
        let waiting = subject.get(id).await;
        assert_eq!((waiting.life.state, waiting.life.lost), (State::Queued, 0));
        assert_eq!(waiting.attempts[attempt].outcome, Some(AttemptOutcome::Released));
    }
    let lease = lease(&claim(subject).await);
    subject.queue().release(lease, &back(Duration::from_secs(60))).await.unwrap();
    let delay = subject.get(id).await.delay.expect("it waits, and says why");
    assert_eq!(delay.reason.code, "no_capacity");
    assert_eq!(subject.queue().sweep(now() + MAX_AGE * 2).await.unwrap().overdue, 1);
    let done = subject.get(id).await;
    assert_eq!((done.life.state, done.life.lost), (State::Undetermined, 0));
    assert_eq!(done.verdict.and_then(|v| v.reason).map(|r| r.code), Some("no_capacity".into()));
}

pub(crate) async fn three_lost_attempts_are_undetermined(subject: &impl Subject) {
    subject.put(submission("a", now())).await;
    for lost in 1..=MAX_LOST {
        let claimed = claim(subject).await;
        subject.queue().release(lease(&claimed), &released(Duration::ZERO)).await.unwrap();
        let state = subject.get(claimed.id).await.life.state;
        assert_eq!(state.is_final(), lost == MAX_LOST, "after {lost}");
        if lost == MAX_LOST {
            let done = subject.get(claimed.id).await;
            assert_eq!(done.life.state, State::Undetermined);
            let verdict = done.verdict.expect("a verdict");
            assert_eq!(verdict.outcome, Outcome::Undetermined);
            assert_eq!(verdict.reason.map(|r| r.code), Some("node_lost".to_owned()));
            assert_eq!(done.attempts.len(), 3);
        }
    }
    assert!(subject.queue().claim(&claimant()).await.unwrap().is_none());
}

pub(crate) async fn a_beat_saves_a_lease_and_overdue_ends_it_all_the_same(subject: &impl Subject) {
    subject.put(submission("a", now())).await;
    let lease = lease(&claim(subject).await);
    let seen = subject.queue().in_flight().await.unwrap()[0];
    assert_eq!(seen.lease, lease);
    assert_eq!(subject.queue().renew(lease).await.unwrap(), Write::Applied);
    assert_eq!(subject.queue().expire(seen, Expiry::Silent).await.unwrap(), Write::Stale);
    assert_eq!(subject.queue().in_flight().await.unwrap()[0].beat, seen.beat + 1);
    assert_eq!(subject.queue().expire(seen, Expiry::Overdue).await.unwrap(), Write::Applied);
    assert_eq!(subject.queue().renew(lease).await.unwrap(), Write::Stale);
}

pub(crate) async fn steps_go_forward_only(subject: &impl Subject) {
    subject.put(submission("a", now())).await;
    let lease = lease(&claim(subject).await);
    let queue = subject.queue();
    assert_eq!(queue.advance(lease, Step::Starting, now()).await.unwrap(), Write::Applied);
    assert_eq!(queue.advance(lease, Step::Pulling, now()).await.unwrap(), Write::Stale);
    let one = subject.get(lease.submission).await;
    let steps: Vec<Step> = one.attempts[0].steps.iter().map(|s| s.step).collect();
    assert_eq!(steps, [Step::Resolving, Step::Starting]);
}

/// From every step to every other, by whoever holds the lease, held it, or will: what is written is
/// what the lifecycle says.
pub(crate) async fn a_step_is_noted_where_the_lifecycle_lets_it_be(subject: &impl Subject) {
    let queue = subject.queue();
    let mut at = now();
    for (from, to) in Step::ALL.iter().flat_map(|from| Step::ALL.map(|to| (*from, to))) {
        at += time::Duration::MILLISECOND;
        subject.put(submission(&format!("{from:?} {to:?}"), at)).await;
        let lease = lease(&claim(subject).await);
        assert_eq!(queue.advance(lease, from, at).await.unwrap(), Write::Applied);
        for (generation, twice) in [(0, false), (2, false), (1, false), (1, true)] {
            let case = format!("from {from:?} to {to:?} by {generation}, again: {twice}");
            let before = subject.get(lease.submission).await;
            let by = Lease { generation: Generation(generation), ..lease };
            let event = Event::Advance { generation: by.generation, step: to };
            let (life, write) = match before.life.apply(event, at) {
                Ok(life) => (life, Write::Applied),
                Err(_) => (before.life, Write::Stale),
            };
            assert_eq!(queue.advance(by, to, at).await.unwrap(), write, "{case}");
            let after = subject.get(lease.submission).await;
            assert_eq!(after.life, life, "{case}");
            let steps = |of: &Submission| of.attempts[0].steps.len();
            assert_eq!(steps(&after) - steps(&before), usize::from(life != before.life), "{case}");
        }
        queue.settle(lease, &passed()).await.unwrap();
        let settled = subject.get(lease.submission).await;
        assert_eq!(queue.advance(lease, Step::Cleaning, at).await.unwrap(), Write::Stale);
        assert_eq!(subject.get(lease.submission).await, settled);
    }
}

pub(crate) async fn what_waited_too_long_is_ended(subject: &impl Subject) {
    let old = subject.put(submission("a", now() - MAX_AGE - time::Duration::SECOND)).await;
    let fresh = subject.put(submission("b", now())).await;
    let swept = subject.queue().sweep(now()).await.unwrap();
    assert_eq!(swept.overdue, 1);
    let done = subject.get(old.id).await;
    assert_eq!(done.life.state, State::Undetermined);
    assert_eq!(done.verdict.and_then(|v| v.reason).map(|r| r.code), Some("no_capacity".into()));
    assert_eq!(subject.get(fresh.id).await.life.state, State::Queued);
    assert_eq!(claim(subject).await.id, fresh.id);
}

pub(crate) async fn cleaning_is_noted_once(subject: &impl Subject) {
    subject.put(submission("a", now())).await;
    let lease = lease(&claim(subject).await);
    subject.queue().settle(lease, &passed()).await.unwrap();
    let step = StepTime { step: Step::Cleaning, at: now(), ms: Some(7) };
    assert_eq!(subject.queue().cleaned(lease, &step).await.unwrap(), Write::Applied);
    assert_eq!(subject.queue().cleaned(lease, &step).await.unwrap(), Write::Stale);
    let steps = subject.get(lease.submission).await.attempts[0].steps.clone();
    assert_eq!(steps.last().map(|s| (s.step, s.ms)), Some((Step::Cleaning, Some(7))));
}

pub(crate) async fn a_stranger_to_the_queue_is_missing(subject: &impl Subject) {
    let lease = Lease {
        submission: SubmissionId::new(),
        worker: WorkerId::new(),
        generation: Generation(1),
    };
    let queue = subject.queue();
    assert_eq!(queue.renew(lease).await.unwrap(), Write::Missing);
    assert_eq!(queue.advance(lease, Step::Probing, now()).await.unwrap(), Write::Missing);
    assert_eq!(queue.pin(lease, &[]).await.unwrap(), Write::Missing);
    let step = StepTime { step: Step::Cleaning, at: now(), ms: None };
    assert_eq!(queue.cleaned(lease, &step).await.unwrap(), Write::Missing);
    assert_eq!(queue.settle(lease, &passed()).await.unwrap(), Write::Missing);
    let seen = InFlight { lease, beat: 0 };
    assert_eq!(queue.expire(seen, Expiry::Silent).await.unwrap(), Write::Missing);
}
