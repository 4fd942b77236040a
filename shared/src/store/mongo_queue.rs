//! The queue in MongoDB.
//!
//! The submission document is the queue entry: there is no second place that could disagree. A
//! claim is one `findOneAndUpdate` along the partial index (`ready`, `order`); every other write
//! reads the document, lets [`Lifecycle::apply`] decide, and updates under a filter that names the
//! state and the generation it read. What matches nothing is looked at again: the same write done
//! by an earlier try counts as applied, anything else is [`Write::Stale`].

mod outside;
mod transition;

use bson::{Bson, Document, Uuid, doc};
use mongodb::options::ReturnDocument;
use time::OffsetDateTime;

use self::transition::{Ending, now, transition, unreadable_reason};
pub(super) use self::transition::{lost_reason, undetermined, waited_reason};
use super::{
    Store, StoreError, decode,
    documents::{SubmissionDoc, set_pinned, step_doc, stored, uuid},
    encode_value,
    life::{self, LifeDoc},
    queue::{Claimant, Expiry, InFlight, Lease, Queue, Release, Settlement, Swept, Write},
};
use crate::{
    domain::{
        ids::{Generation, SubmissionId},
        state::{Event, Pass, Refusal, State, Step},
        submission::{AttemptOutcome, StepTime, Submission, SubmittedImage},
    },
    retry,
};

/// Until what cannot be read is looked at again.
const UNREADABLE: time::Duration = time::Duration::seconds(30);

impl Store {
    async fn document(&self, id: SubmissionId) -> Result<Option<LifeDoc>, StoreError> {
        let submissions = self.submissions.clone();
        let found = self
            .persist(retry::LEASED, "read a submission", move || {
                let submissions = submissions.clone();
                async move {
                    let found = submissions.find_one(doc! { "_id": uuid(id) });
                    found.projection(life::fields()).await
                }
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

    /// Gives back what was claimed and cannot be read, as a fault of ours: others are graded
    /// meanwhile, and it ends like whatever is lost too often.
    async fn put_off_unreadable(&self, id: Option<Bson>, by: &Claimant) -> Result<(), StoreError> {
        let Some(Bson::Binary(id)) = id else { return Ok(()) };
        let Ok(id) = id.to_uuid() else { return Ok(()) };
        let id = SubmissionId::from(uuid::Uuid::from_bytes(id.bytes()));
        let Some(document) = self.document(id).await? else { return Ok(()) };
        let generation = Generation(document.generation);
        let lease = Lease { submission: id, worker: by.id, generation };
        let ending = Ending {
            at: now(),
            reason: Some(unreadable_reason()),
            record: None,
            not_before: Some(now() + UNREADABLE),
        };
        let ended = Some((AttemptOutcome::Released, &ending));
        self.happen(lease, Event::Release { generation }, ended).await.map(drop)
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

/// Whether a refused write is our own earlier success, seen again.
fn already(
    document: &LifeDoc,
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

fn attempt_index(document: &LifeDoc, generation: Generation) -> Option<usize> {
    document.attempts.iter().position(|a| a.generation == generation.0)
}

impl Queue for Store {
    async fn claim(&self, by: &Claimant) -> Result<Option<Submission>, StoreError> {
        let token = Uuid::new();
        let at = now();
        let submissions = self.submissions.clone();
        let worker = uuid(by.id);
        let deadline = at + crate::domain::state::GRADING_LIMIT;
        // What only a newer version can grade is left to it.
        let claimable =
            doc! { "ready": true, "state": "queued", "schema": { "$lte": self.schema } };
        let first_step =
            doc! { "step": Step::Resolving.as_str(), "at": stored(at), "ms": Bson::Null };
        let attempt = doc! {
            "number": { "$add": [{ "$size": "$attempts" }, 1] },
            "worker": worker,
            "worker_name": { "$literal": by.name.clone() },
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
                let claimable = claimable.clone();
                async move {
                    // An earlier try whose answer was lost may have claimed one already.
                    let ours = doc! { "worker": worker, "state": "grading", "claim": token };
                    if let Some(found) = submissions.find_one(ours).await? {
                        return Ok(Some(found));
                    }
                    submissions
                        .find_one_and_update(claimable, update)
                        .sort(doc! { "order": 1, "_id": 1 })
                        .return_document(ReturnDocument::After)
                        .await
                }
            })
            .await?;
        let Some(document) = claimed else { return Ok(None) };
        let id = document.get("_id").cloned();
        let read = decode::<SubmissionDoc>(document).and_then(SubmissionDoc::into_domain);
        let submission = match (read, id) {
            (Ok(submission), _) => submission,
            (Err(error), id) => {
                self.put_off_unreadable(id, by).await?;
                return Err(error);
            }
        };
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
        let count = i32::try_from(images.len()).unwrap_or(i32::MAX);
        let filter = doc! {
            "_id": uuid(lease.submission),
            "state": "grading",
            "generation": lease.generation.0,
            "images": { "$size": count },
        };
        let mut set = doc! { "updated_at": stored(now()) };
        for (index, image) in images.iter().enumerate() {
            set.extend(set_pinned(index, image));
        }
        let update = doc! { "$set": set, "$inc": { "revision": 1_i64 } };
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

    async fn release(&self, lease: Lease, back: &Release) -> Result<Write, StoreError> {
        let (event, outcome) = back.event(lease.generation);
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
        self.list_in_flight().await
    }

    async fn expire(&self, seen: InFlight, scope: Expiry) -> Result<Write, StoreError> {
        self.end_lease(seen, scope).await
    }

    async fn sweep(&self, now: OffsetDateTime) -> Result<Swept, StoreError> {
        Ok(Swept { woken: self.wake_delayed(now).await?, overdue: self.end_overdue(now).await? })
    }
}
