//! The queue: claims that are leases with a generation.
//!
//! [`Queue`] is what the worker sees. MongoDB implements it on [`super::Store`]; [`super::memory`]
//! is a twin in memory that passes the same conformance suite (`shared/tests/store_queue`).
//!
//! Every write by a worker names the generation that it holds, and answers with a [`Write`]: a lost
//! race is a value, not an error. A write that is repeated answers as it did the first time.

use std::{future::Future, time::Duration};

use time::OffsetDateTime;

use super::StoreError;
use crate::domain::{
    evidence::Evidence,
    ids::{Generation, SubmissionId, WorkerId},
    state::{Event, Loss, Pass, Step},
    submission::{AttemptOutcome, StepTime, Submission, SubmittedImage},
    verdict::Reason,
};

/// What became of a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// It is written (perhaps by an earlier try of the same write).
    Applied,
    /// The lease has gone to somebody else, or the submission has ended: nothing was written.
    Stale,
    /// There is no such submission.
    Missing,
}

/// Who claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimant {
    /// The worker's id.
    pub id: WorkerId,
    /// The worker's name, for people.
    pub name: String,
}

/// The right to grade one submission, until somebody else has observed that it is no longer
/// renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lease {
    /// Of which submission.
    pub submission: SubmissionId,
    /// Whose.
    pub worker: WorkerId,
    /// The fencing number.
    pub generation: Generation,
}

/// A submission that is being graded, as an observer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// The lease.
    pub lease: Lease,
    /// Grows with every renewal.
    pub beat: i64,
}

/// What a grading came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    /// Whether it passed.
    pub pass: Pass,
    /// Why not.
    pub reason: Option<Reason>,
    /// What the attempt was.
    pub record: Record,
}

/// What an attempt leaves behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When it ended.
    pub at: OffsetDateTime,
    /// Where the containers ran.
    pub node: Option<String>,
    /// From claim to end, in milliseconds, on the worker's monotonic clock.
    pub grading_ms: u64,
    /// The steps with their times.
    pub steps: Vec<StepTime>,
    /// What was seen.
    pub evidence: Evidence,
}

/// Why a lease is given back, and for how long nobody else should try.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    /// The fault; none when the worker is stopping.
    pub fault: Option<Reason>,
    /// Whether it counts as a lost attempt. One without a fault never does.
    pub loss: Loss,
    /// Not before so long from now.
    pub after: Duration,
    /// What the attempt was.
    pub record: Record,
}

impl Release {
    /// What happens by it, and how the attempt ended.
    pub(super) fn event(&self, generation: Generation) -> (Event, AttemptOutcome) {
        match (&self.fault, self.loss) {
            (Some(_), Loss::Counted) => (Event::Release { generation }, AttemptOutcome::Released),
            (Some(_), Loss::Waived) => (Event::HandBack { generation }, AttemptOutcome::Released),
            (Some(_), Loss::Final) => (Event::GiveUp { generation }, AttemptOutcome::Released),
            (None, _) => (Event::HandBack { generation }, AttemptOutcome::HandedBack),
        }
    }
}

/// What a sweep moved on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Delayed ones whose time has come.
    pub woken: u64,
    /// Ones that waited too long.
    pub overdue: u64,
}

/// The queue as a worker sees it.
pub trait Queue: Clone + Send + Sync + 'static {
    /// What time it is, by the clock of the process that asks.
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    /// Takes the next submission in fair order, if there is one.
    fn claim(
        &self,
        by: &Claimant,
    ) -> impl Future<Output = Result<Option<Submission>, StoreError>> + Send;

    /// Shows observers that the holder is alive.
    fn renew(&self, lease: Lease) -> impl Future<Output = Result<Write, StoreError>> + Send;

    /// Goes on to a step.
    fn advance(
        &self,
        lease: Lease,
        step: Step,
        at: OffsetDateTime,
    ) -> impl Future<Output = Result<Write, StoreError>> + Send;

    /// Notes what the names of the images stand for.
    fn pin(
        &self,
        lease: Lease,
        images: &[SubmittedImage],
    ) -> impl Future<Output = Result<Write, StoreError>> + Send;

    /// Writes the verdict.
    fn settle(
        &self,
        lease: Lease,
        settlement: &Settlement,
    ) -> impl Future<Output = Result<Write, StoreError>> + Send;

    /// Gives the lease back.
    fn release(
        &self,
        lease: Lease,
        back: &Release,
    ) -> impl Future<Output = Result<Write, StoreError>> + Send;

    /// Notes how long cleaning took, after the verdict.
    fn cleaned(
        &self,
        lease: Lease,
        step: &StepTime,
    ) -> impl Future<Output = Result<Write, StoreError>> + Send;

    /// Whether the lease is still held.
    fn holds(&self, lease: Lease) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Everything that is being graded.
    fn in_flight(&self) -> impl Future<Output = Result<Vec<InFlight>, StoreError>> + Send;

    /// Ends a lease from outside; for [`Expiry::Silent`] only if it was not renewed since it was
    /// observed.
    fn expire(
        &self,
        seen: InFlight,
        scope: Expiry,
    ) -> impl Future<Output = Result<Write, StoreError>> + Send;

    /// Wakes what was delayed, ends what waited too long.
    fn sweep(&self, now: OffsetDateTime) -> impl Future<Output = Result<Swept, StoreError>> + Send;
}

/// Why a lease is ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// The holder fell silent: only if the beat is still the one observed.
    Silent,
    /// The grading takes longer than any may, though the holder is alive.
    Overdue,
}
