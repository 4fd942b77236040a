//! The queue in MongoDB.
//!
//! The submission document is the queue entry: there is no second place that could disagree. A
//! claim is one `findOneAndUpdate` along the partial index (`ready`, `order`); every other write
//! reads the document, lets [`Lifecycle::apply`] decide, and updates under a filter that names the
//! state and the generation it read. What matches nothing is looked at again: the same write done
//! by an earlier try counts as applied, anything else is [`Write::Stale`].

use bson::{Bson, Document, Uuid, doc};
use futures::TryStreamExt;
use mongodb::options::ReturnDocument;
use time::OffsetDateTime;

use super::{
    Store, StoreError, decode,
    documents::{
        DelayDoc, SubmissionDoc, VerdictDoc, image_doc, step_and_worker, step_doc, stored, uuid,
    },
    encode_value,
    queue::{Claimant, Expiry, InFlight, Lease, Queue, Return, Settlement, Swept, Write},
};
use crate::{
    domain::{
        ids::{Generation, SubmissionId, WorkerId},
        state::{Event, Lifecycle, MAX_AGE, Pass, Refusal, State, Step},
        submission::{AttemptOutcome, StepTime, Submission, SubmittedImage},
        verdict::{Outcome, Owner, PlatformCode, PlatformFault, Reason, Verdict},
    },
    retry,
};

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// The verdict of a submission that nobody could determine.
pub(super) fn undetermined(reason: Option<Reason>, at: OffsetDateTime, attempt: u32) -> Verdict {
    let reason = reason.unwrap_or_else(|| {
        let message = "the platform could not grade this submission";
        crate::domain::verdict::Fault::Platform(PlatformFault::new(
            PlatformCode::PlatformError,
            message,
        ))
        .reason()
    });
    Verdict { outcome: Outcome::Undetermined, reason: Some(reason), at, attempt, grading_ms: 0 }
}

/// Why an attempt whose worker fell silent did not come to a verdict.
pub(super) fn lost_reason() -> Reason {
    Reason {
        code: PlatformCode::NodeLost.as_str().to_owned(),
        owner: Owner::Platform,
        message: "the worker that was grading this fell silent; another one takes over".to_owned(),
        hint: None,
        limit: None,
    }
}

/// Why a submission ended that waited longer than anything may.
pub(super) fn waited_reason() -> Reason {
    Reason {
        code: PlatformCode::NoCapacity.as_str().to_owned(),
        owner: Owner::Platform,
        message: format!("no machine was free within {} hours", MAX_AGE.whole_hours()),
        hint: None,
        limit: None,
    }
}

impl Store {
    async fn document(&self, id: SubmissionId) -> Result<Option<SubmissionDoc>, StoreError> {
        let submissions = self.submissions.clone();
        let found = self
            .persist(retry::LEASED, "read a submission", move || {
                let submissions = submissions.clone();
                async move { submissions.find_one(doc! { "_id": uuid(id) }).await }
            })
            .await?;
        found.map(decode).transpose()
    }

    async fn update(
        &self,
        doing: &'static str,
        filter: Document,
        update: Document,
    ) -> Result<bool, StoreError> {
        let submissions = self.submissions.clone();
        let result = self
            .persist(retry::LEASED, doing, move || {
                let (submissions, filter, update) =
                    (submissions.clone(), filter.clone(), update.clone());
                async move { submissions.update_one(filter, update).await }
            })
            .await?;
        Ok(result.matched_count == 1)
    }

    /// Lets an event of the holder happen: `set` is written beside the new state.
    async fn happen(
        &self,
        lease: Lease,
        event: Event,
        ended: Option<(AttemptOutcome, &Ending)>,
    ) -> Result<Write, StoreError> {
        let Some(document) = self.document(lease.submission).await? else {
            return Ok(Write::Missing);
        };
        let life = match document.life()?.apply(event, now()) {
            Ok(life) => life,
            Err(refusal) => return Ok(already(&document, lease, ended.map(|e| e.0), refusal)),
        };
        let attempt = attempt_index(&document, lease.generation);
        let update = transition(&document, life, attempt, ended)?;
        let filter = doc! {
            "_id": uuid(lease.submission),
            "state": "grading",
            "generation": lease.generation.0,
        };
        if self.update("write what became of a submission", filter, update).await? {
            return Ok(Write::Applied);
        }
        match self.document(lease.submission).await? {
            Some(d) => Ok(already(&d, lease, ended.map(|e| e.0), Refusal::NotGrading)),
            None => Ok(Write::Missing),
        }
    }
}

/// What an attempt ends with.
struct Ending {
    at: OffsetDateTime,
    reason: Option<Reason>,
    record: Option<super::queue::Record>,
    not_before: Option<OffsetDateTime>,
}

/// Whether a refused write is our own earlier success, seen again.
fn already(
    document: &SubmissionDoc,
    lease: Lease,
    outcome: Option<AttemptOutcome>,
    refusal: Refusal,
) -> Write {
    let ours = document
        .attempts
        .iter()
        .find(|a| a.generation == lease.generation.0 && a.worker == uuid(lease.worker));
    match (ours.and_then(|a| a.outcome.as_deref()), outcome) {
        (Some(word), Some(outcome)) if word == outcome.as_str() => Write::Applied,
        _ => {
            tracing::debug!(submission.id = %lease.submission, %refusal, "stale write");
            Write::Stale
        }
    }
}

fn attempt_index(document: &SubmissionDoc, generation: Generation) -> Option<usize> {
    document.attempts.iter().position(|a| a.generation == generation.0)
}

/// The update that makes a document say what the lifecycle says.
fn transition(
    document: &SubmissionDoc,
    life: Lifecycle,
    attempt: Option<usize>,
    ended: Option<(AttemptOutcome, &Ending)>,
) -> Result<Document, StoreError> {
    let at = now();
    let (step, worker) = step_and_worker(life.state);
    let mut set = doc! {
        "state": life.state.as_str(),
        "step": step,
        "worker": worker,
        "generation": life.generation.0,
        "lost": life.lost,
        "since": stored(life.since),
        "deadline": life.deadline.map(stored),
        "updated_at": stored(at),
        "delay": Bson::Null,
    };
    let mut unset = doc! {};
    if life.state.is_final() {
        unset.insert("lane", "");
    }
    if life.state == State::Queued {
        let not_before = ended.and_then(|(_, e)| e.not_before).filter(|t| *t > at);
        match (not_before, ended.and_then(|(_, e)| e.reason.clone())) {
            (Some(next_try), reason) => {
                let reason = reason.unwrap_or_else(lost_reason);
                let delay = DelayDoc { reason, next_try: stored(next_try) };
                set.insert("delay", encode_value(&delay)?);
                unset.insert("ready", "");
            }
            (None, _) => {
                set.insert("ready", true);
            }
        }
    } else {
        unset.insert("ready", "");
    }
    if let (Some(index), Some((outcome, ending))) = (attempt, ended) {
        end_attempt(&mut set, index, outcome, ending)?;
    }
    if life.state.is_final() {
        set.insert("verdict", encode_value(&verdict(document, life.state, attempt, ended))?);
    }
    let mut update = doc! { "$set": set, "$inc": { "revision": 1_i64 } };
    if !unset.is_empty() {
        update.insert("$unset", unset);
    }
    Ok(update)
}

fn end_attempt(
    set: &mut Document,
    index: usize,
    outcome: AttemptOutcome,
    ending: &Ending,
) -> Result<(), StoreError> {
    let field = |name: &str| format!("attempts.{index}.{name}");
    set.insert(field("ended_at"), stored(ending.at));
    set.insert(field("outcome"), outcome.as_str());
    set.insert(field("reason"), encode_value(&ending.reason)?);
    if let Some(record) = &ending.record {
        let steps: Vec<_> = record.steps.iter().map(step_doc).collect();
        set.insert(field("node"), record.node.clone());
        set.insert(field("steps"), encode_value(&steps)?);
        set.insert(field("evidence"), encode_value(&record.evidence)?);
    }
    Ok(())
}

fn verdict(
    document: &SubmissionDoc,
    state: State,
    attempt: Option<usize>,
    ended: Option<(AttemptOutcome, &Ending)>,
) -> VerdictDoc {
    let number = attempt.map_or(0, |i| document.attempts[i].number);
    let at = ended.map_or_else(now, |(_, e)| e.at);
    let reason = ended.and_then(|(_, e)| e.reason.clone());
    let grading_ms = ended.and_then(|(_, e)| e.record.as_ref()).map_or(0, |r| r.grading_ms);
    let outcome = match state {
        State::Passed => Outcome::Passed,
        State::Failed => Outcome::Failed,
        State::Cancelled => Outcome::Cancelled,
        State::Undetermined | State::Queued | State::Grading { .. } => {
            return super::documents::verdict_doc(&undetermined(reason, at, number));
        }
    };
    let verdict = Verdict { outcome, reason, at, attempt: number, grading_ms };
    super::documents::verdict_doc(&verdict)
}

impl Queue for Store {
    async fn claim(&self, by: &Claimant) -> Result<Option<Submission>, StoreError> {
        let token = Uuid::new();
        let at = now();
        let submissions = self.submissions.clone();
        let worker = uuid(by.id);
        let deadline = at + crate::domain::state::GRADING_LIMIT;
        let first_step =
            doc! { "step": Step::Resolving.as_str(), "at": stored(at), "ms": Bson::Null };
        let attempt = doc! {
            "number": { "$add": [{ "$size": "$attempts" }, 1] },
            "worker": worker,
            "worker_name": by.name.clone(),
            "node": Bson::Null,
            "generation": { "$add": ["$generation", 1_i64] },
            "started_at": stored(at),
            "ended_at": Bson::Null,
            "steps": [first_step],
            "outcome": Bson::Null,
            "reason": Bson::Null,
            "evidence": Bson::Null,
        };
        let update = vec![
            doc! { "$set": {
                "state": "grading",
                "step": Step::Resolving.as_str(),
                "worker": worker,
                "claim": token,
                "beat": 0_i64,
                "deadline": stored(deadline),
                "updated_at": stored(at),
                "delay": Bson::Null,
                "attempts": { "$concatArrays": ["$attempts", [attempt]] },
                "generation": { "$add": ["$generation", 1_i64] },
                "revision": { "$add": ["$revision", 1_i64] },
            } },
            doc! { "$unset": "ready" },
        ];
        let claimed = self
            .persist(retry::LEASED, "claim a submission", move || {
                let (submissions, update) = (submissions.clone(), update.clone());
                async move {
                    // An earlier try whose answer was lost may have claimed one already.
                    let ours = doc! { "worker": worker, "state": "grading", "claim": token };
                    if let Some(found) = submissions.find_one(ours).await? {
                        return Ok(Some(found));
                    }
                    submissions
                        .find_one_and_update(doc! { "ready": true, "state": "queued" }, update)
                        .sort(doc! { "order": 1, "_id": 1 })
                        .return_document(ReturnDocument::After)
                        .await
                }
            })
            .await?;
        let Some(document) = claimed else { return Ok(None) };
        let submission = decode::<SubmissionDoc>(document)?.into_domain()?;
        debug_assert!(
            matches!(submission.life.state, State::Grading { worker, .. } if worker == by.id)
        );
        Ok(Some(submission))
    }

    async fn renew(&self, lease: Lease) -> Result<Write, StoreError> {
        let filter = doc! {
            "_id": uuid(lease.submission),
            "state": "grading",
            "worker": uuid(lease.worker),
            "generation": lease.generation.0,
        };
        let update = doc! { "$inc": { "beat": 1_i64 } };
        match self.update("renew a lease", filter, update).await? {
            true => Ok(Write::Applied),
            false => {
                Ok(self.document(lease.submission).await?.map_or(Write::Missing, |_| Write::Stale))
            }
        }
    }

    async fn advance(
        &self,
        lease: Lease,
        step: Step,
        at: OffsetDateTime,
    ) -> Result<Write, StoreError> {
        let Some(document) = self.document(lease.submission).await? else {
            return Ok(Write::Missing);
        };
        let event = Event::Advance { generation: lease.generation, step };
        if document.life()?.apply(event, at).is_err() {
            return Ok(Write::Stale);
        }
        let Some(index) = attempt_index(&document, lease.generation) else {
            return Ok(Write::Stale);
        };
        let entry = step_doc(&StepTime { step, at, ms: None });
        let filter = doc! {
            "_id": uuid(lease.submission),
            "state": "grading",
            "generation": lease.generation.0,
            "step": document.step.clone(),
        };
        let update = doc! {
            "$set": { "step": step.as_str(), "updated_at": stored(at) },
            "$push": { format!("attempts.{index}.steps"): encode_value(&entry)? },
            "$inc": { "revision": 1_i64 },
        };
        match self.update("note a step", filter, update).await? {
            true => Ok(Write::Applied),
            // Our own earlier try, or the lease is gone.
            false => match self.holds(lease).await? {
                true => Ok(Write::Applied),
                false => Ok(Write::Stale),
            },
        }
    }

    async fn pin(&self, lease: Lease, images: &[SubmittedImage]) -> Result<Write, StoreError> {
        let images: Vec<_> = images.iter().map(image_doc).collect();
        let filter = doc! {
            "_id": uuid(lease.submission),
            "state": "grading",
            "generation": lease.generation.0,
        };
        let update = doc! {
            "$set": { "images": encode_value(&images)?, "updated_at": stored(now()) },
            "$inc": { "revision": 1_i64 },
        };
        match self.update("note what the images are", filter, update).await? {
            true => Ok(Write::Applied),
            false => Ok(Write::Stale),
        }
    }

    async fn settle(&self, lease: Lease, settlement: &Settlement) -> Result<Write, StoreError> {
        let (generation, pass) = (lease.generation, settlement.pass);
        let outcome = match pass {
            Pass::Yes => AttemptOutcome::Passed,
            Pass::No => AttemptOutcome::Failed,
        };
        let ending = Ending {
            at: settlement.record.at,
            reason: settlement.reason.clone(),
            record: Some(settlement.record.clone()),
            not_before: None,
        };
        self.happen(lease, Event::Settle { generation, pass }, Some((outcome, &ending))).await
    }

    async fn give_back(&self, lease: Lease, back: &Return) -> Result<Write, StoreError> {
        let generation = lease.generation;
        let (event, outcome) = match back.fault {
            Some(_) => (Event::Release { generation }, AttemptOutcome::Released),
            None => (Event::HandBack { generation }, AttemptOutcome::HandedBack),
        };
        let ending = Ending {
            at: back.record.at,
            reason: back.fault.clone(),
            record: Some(back.record.clone()),
            not_before: back.fault.as_ref().map(|_| now() + back.after),
        };
        self.happen(lease, event, Some((outcome, &ending))).await
    }

    async fn cleaned(&self, lease: Lease, step: &StepTime) -> Result<Write, StoreError> {
        let Some(document) = self.document(lease.submission).await? else {
            return Ok(Write::Missing);
        };
        let Some(index) = attempt_index(&document, lease.generation) else {
            return Ok(Write::Stale);
        };
        let filter = doc! {
            "_id": uuid(lease.submission),
            format!("attempts.{index}.generation"): lease.generation.0,
            format!("attempts.{index}.steps.step"): { "$ne": step.step.as_str() },
        };
        let update = doc! {
            "$push": { format!("attempts.{index}.steps"): encode_value(&step_doc(step))? },
            "$inc": { "revision": 1_i64 },
        };
        match self.update("note the cleaning", filter, update).await? {
            true => Ok(Write::Applied),
            false => Ok(Write::Stale),
        }
    }

    async fn holds(&self, lease: Lease) -> Result<bool, StoreError> {
        let document = self.document(lease.submission).await?;
        Ok(document.is_some_and(|d| {
            d.state == "grading"
                && d.generation == lease.generation.0
                && d.worker == Some(uuid(lease.worker))
        }))
    }

    async fn in_flight(&self) -> Result<Vec<InFlight>, StoreError> {
        let submissions = self.submissions.clone();
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "list what is being graded", move || {
                let submissions = submissions.clone();
                async move {
                    submissions
                        .find(doc! { "state": "grading" })
                        .projection(doc! { "worker": 1, "generation": 1, "beat": 1 })
                        .await?
                        .try_collect()
                        .await
                }
            })
            .await?;
        Ok(found.iter().filter_map(in_flight).collect())
    }

    async fn expire(&self, seen: InFlight, scope: Expiry) -> Result<Write, StoreError> {
        let id = seen.lease.submission;
        let Some(document) = self.document(id).await? else { return Ok(Write::Missing) };
        let generation = seen.lease.generation;
        let Ok(life) = document.life()?.apply(Event::LeaseExpired { generation }, now()) else {
            return Ok(Write::Stale);
        };
        let mut filter = doc! { "_id": uuid(id), "state": "grading", "generation": generation.0 };
        if scope == Expiry::Silent {
            filter.insert("beat", seen.beat);
        }
        let ending =
            Ending { at: now(), reason: Some(lost_reason()), record: None, not_before: None };
        let attempt = attempt_index(&document, generation);
        let ended = Some((AttemptOutcome::Lost, &ending));
        let update = transition(&document, life, attempt, ended)?;
        match self.update("end a lease", filter, update).await? {
            true => Ok(Write::Applied),
            false => Ok(Write::Stale),
        }
    }

    async fn sweep(&self, now: OffsetDateTime) -> Result<Swept, StoreError> {
        let submissions = self.submissions.clone();
        let due = doc! { "state": "queued", "delay.next_try": { "$lte": stored(now) } };
        let wake = doc! {
            "$set": { "ready": true, "delay": Bson::Null, "updated_at": stored(now) },
            "$inc": { "revision": 1_i64 },
        };
        let woken = self
            .persist(retry::INTERACTIVE, "wake what was delayed", move || {
                let (submissions, due, wake) = (submissions.clone(), due.clone(), wake.clone());
                async move { submissions.update_many(due, wake).await }
            })
            .await?
            .modified_count;
        Ok(Swept { woken, overdue: self.end_overdue(now).await? })
    }
}

impl Store {
    async fn end_overdue(&self, now: OffsetDateTime) -> Result<u64, StoreError> {
        let submissions = self.submissions.clone();
        let filter = doc! { "state": "queued", "deadline": { "$lt": stored(now) } };
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "look for overdue submissions", move || {
                let (submissions, filter) = (submissions.clone(), filter.clone());
                async move { submissions.find(filter).limit(1000).await?.try_collect().await }
            })
            .await?;
        let mut ended = 0;
        for document in found {
            let document: SubmissionDoc = decode(document)?;
            let Ok(life) = document.life()?.apply(Event::Overdue, now) else { continue };
            let reason = document.delay.as_ref().map_or_else(waited_reason, |d| d.reason.clone());
            let ending = Ending { at: now, reason: Some(reason), record: None, not_before: None };
            let update =
                transition(&document, life, None, Some((AttemptOutcome::Released, &ending)))?;
            let filter = doc! {
                "_id": document.id,
                "state": "queued",
                "generation": document.generation,
            };
            ended += u64::from(self.update("end an overdue submission", filter, update).await?);
        }
        Ok(ended)
    }

    /// Takes a submission back.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn cancel(&self, id: SubmissionId) -> Result<Write, StoreError> {
        loop {
            let Some(document) = self.document(id).await? else { return Ok(Write::Missing) };
            let Ok(life) = document.life()?.apply(Event::Cancel, now()) else {
                return Ok(Write::Stale);
            };
            let attempt = match document.state.as_str() {
                "grading" => attempt_index(&document, Generation(document.generation)),
                _ => None,
            };
            let ending = Ending { at: now(), reason: None, record: None, not_before: None };
            let ended = Some((AttemptOutcome::Cancelled, &ending));
            let update = transition(&document, life, attempt, ended)?;
            let filter = doc! {
                "_id": uuid(id),
                "state": &document.state,
                "generation": document.generation,
            };
            if self.update("cancel a submission", filter, update).await? {
                return Ok(Write::Applied);
            }
        }
    }
}

fn in_flight(document: &Document) -> Option<InFlight> {
    let id = |key| match document.get(key) {
        Some(Bson::Binary(b)) => b.to_uuid().ok().map(|u| uuid::Uuid::from_bytes(u.bytes())),
        _ => None,
    };
    Some(InFlight {
        lease: Lease {
            submission: SubmissionId::from(id("_id")?),
            worker: WorkerId::from(id("worker")?),
            generation: Generation(document.get_i64("generation").ok()?),
        },
        beat: document.get_i64("beat").ok()?,
    })
}
