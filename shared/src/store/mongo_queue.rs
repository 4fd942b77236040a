//! The queue in MongoDB.
//!
//! The submission document is the queue entry: there is no second place that could disagree. A
//! claim is one `findOneAndUpdate` along the partial index (`ready`, `order`). What a grading waits
//! for as it goes on is one conditional update: its filter names the generation, and of a step those
//! that [`Lifecycle::apply`] lets it come after. Every other write reads the document, lets
//! [`Lifecycle::apply`] decide, and updates under a filter that names the state and the generation
//! it read. What matches nothing is looked at: the same write done by an earlier try counts as
//! applied, anything else is [`Write::Stale`].
//!
//! All of that stands on [`Entries`], and is the same whoever keeps them.

mod outside;
mod transition;

use bson::{Bson, Document, Uuid, doc};
use time::OffsetDateTime;

pub use self::outside::{cancel, requeue};
use self::transition::{Ending, transition, unreadable_reason};
pub(super) use self::transition::{lost_reason, undetermined, waited_reason};
use super::{
    StoreError, decode,
    documents::{SubmissionDoc, set_pinned, step_doc, stored, uuid},
    encode_value,
    entries::{Entries, Find, persist},
    life::{self, LifeDoc},
    queue::{Claimant, Expiry, InFlight, Lease, Queue, Release, Settlement, Swept, Write},
};
use crate::{
    domain::{
        ids::{Generation, SubmissionId, WorkerId},
        state::{Event, Lifecycle, Pass, Refusal, State, Step},
        submission::{AttemptOutcome, StepTime, Submission, SubmittedImage},
    },
    retry::{self, Policy},
};

/// Until what cannot be read is looked at again.
const UNREADABLE: time::Duration = time::Duration::seconds(30);

/// The protocol, on whatever holds the entries.
struct On<'a, E>(&'a E);

impl<E: Entries> On<'_, E> {
    async fn read(
        &self,
        policy: Policy,
        doing: &'static str,
        find: Find,
    ) -> Result<Vec<Document>, StoreError> {
        persist(policy, doing, || self.0.read(doing, find.clone())).await
    }

    async fn document(&self, id: SubmissionId) -> Result<Option<LifeDoc>, StoreError> {
        let found = self.read(retry::LEASED, "read a submission", life_of(id)).await?;
        found.into_iter().next().map(decode).transpose()
    }

    /// With what an earlier try of a write may have done to it.
    async fn document_after(&self, id: SubmissionId) -> Result<Option<LifeDoc>, StoreError> {
        let (doing, find) = ("read a submission", life_of(id));
        let found =
            persist(retry::LEASED, doing, || self.0.read_after(doing, find.clone())).await?;
        found.into_iter().next().map(decode).transpose()
    }

    async fn update(
        &self,
        doing: &'static str,
        filter: Document,
        update: Document,
    ) -> Result<bool, StoreError> {
        let updated = || self.0.change(doing, filter.clone(), update.clone());
        Ok(persist(retry::LEASED, doing, updated).await? == 1)
    }

    /// Why a write of a holder's matched nothing.
    async fn stale_or_missing(&self, lease: Lease) -> Result<Write, StoreError> {
        let there = self.document(lease.submission).await?;
        Ok(there.map_or(Write::Missing, |_| Write::Stale))
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
        let now = self.0.now();
        let ending = Ending {
            at: now,
            reason: Some(unreadable_reason()),
            record: None,
            not_before: Some(now + UNREADABLE),
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
        let now = self.0.now();
        let life = match document.life()?.apply(event, now) {
            Ok(life) => life,
            Err(refusal) => return Ok(already(&document, lease, ended.map(|e| e.0), refusal)),
        };
        let attempt = attempt_index(&document, lease.generation);
        let update = transition(&document, life, now, attempt, ended)?;
        let filter = doc! {
            "_id": uuid(lease.submission),
            "state": "grading",
            "generation": lease.generation.0,
        };
        if self.update("write what became of a submission", filter, update).await? {
            return Ok(Write::Applied);
        }
        match self.document_after(lease.submission).await? {
            Some(d) => Ok(already(&d, lease, ended.map(|e| e.0), Refusal::NotGrading)),
            None => Ok(Write::Missing),
        }
    }
}

fn life_of(id: SubmissionId) -> Find {
    Find { filter: doc! { "_id": uuid(id) }, fields: Some(life::fields()), limit: Some(1) }
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

/// The words of the steps that a holder does not go on from to this one, because they come after it
/// or are it.
fn not_before(step: Step) -> Vec<&'static str> {
    let (generation, worker, at) = (Generation(1), WorkerId::new(), OffsetDateTime::UNIX_EPOCH);
    let goes = |from: &Step| {
        let state = State::Grading { worker, step: *from };
        let life = Lifecycle { state, generation, ..Lifecycle::submitted(at) };
        life.apply(Event::Advance { generation, step }, at).is_ok_and(|after| after != life)
    };
    Step::ALL.into_iter().filter(|from| !goes(from)).map(Step::as_str).collect()
}

fn attempt_index(document: &LifeDoc, generation: Generation) -> Option<usize> {
    document.attempts.iter().position(|a| a.generation == generation.0)
}

impl<E: Entries> Queue for E {
    fn now(&self) -> OffsetDateTime {
        Entries::now(self)
    }

    async fn claim(&self, by: &Claimant) -> Result<Option<Submission>, StoreError> {
        let token = Uuid::new();
        let at = Entries::now(self);
        let worker = uuid(by.id);
        let deadline = at + crate::domain::state::GRADING_LIMIT;
        // What only a newer version can grade is left to it.
        let claimable =
            doc! { "ready": true, "state": "queued", "schema": { "$lte": self.schema() } };
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
        let doing = "claim a submission";
        // By its deadline it is found in an index, however many are being graded. It is looked for by
        // a write: a read of what a majority has may miss what was written a moment ago.
        let ours = doc! {
            "state": "grading", "deadline": stored(deadline), "worker": worker, "claim": token,
        };
        let same = vec![doc! { "$set": { "claim": token } }];
        let mut tries = 0;
        let claimed = persist(retry::LEASED, doing, || {
            tries += 1;
            let again = tries > 1;
            let look = self.take_next(doing, ours.clone(), same.clone());
            let take = self.take_next(doing, claimable.clone(), update.clone());
            async move {
                // An earlier try whose answer was lost may have claimed one already.
                match if again { look.await? } else { None } {
                    Some(found) => Ok(Some(found)),
                    None => take.await,
                }
            }
        });
        let claimed = claimed.await?;
        let Some(document) = claimed else { return Ok(None) };
        let id = document.get("_id").cloned();
        let read = decode::<SubmissionDoc>(document).and_then(SubmissionDoc::into_domain);
        let submission = match (read, id) {
            (Ok(submission), _) => submission,
            (Err(error), id) => {
                On(self).put_off_unreadable(id, by).await?;
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
        match On(self).update("renew a lease", filter, update).await? {
            true => Ok(Write::Applied),
            false => On(self).stale_or_missing(lease).await,
        }
    }

    async fn advance(
        &self,
        lease: Lease,
        step: Step,
        at: OffsetDateTime,
    ) -> Result<Write, StoreError> {
        let entry = step_doc(&StepTime { step, at, ms: None });
        let filter = doc! {
            "_id": uuid(lease.submission),
            "state": "grading",
            "generation": lease.generation.0,
            "step": { "$nin": not_before(step) },
            "attempts": { "$elemMatch": { "generation": lease.generation.0 } },
        };
        let update = doc! {
            "$set": { "step": step.as_str(), "updated_at": stored(at) },
            "$push": { "attempts.$.steps": encode_value(&entry)? },
            "$inc": { "revision": 1_i64 },
        };
        if On(self).update("note a step", filter, update).await? {
            return Ok(Write::Applied);
        }
        let Some(document) = On(self).document(lease.submission).await? else {
            return Ok(Write::Missing);
        };
        let event = Event::Advance { generation: lease.generation, step };
        let stands = document.life()?.apply(event, at).is_ok();
        match stands && attempt_index(&document, lease.generation).is_some() {
            // It is there already: by our own earlier try.
            true => Ok(Write::Applied),
            false => Ok(Write::Stale),
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
        let mut set = doc! { "updated_at": stored(Entries::now(self)) };
        for (index, image) in images.iter().enumerate() {
            set.extend(set_pinned(index, image));
        }
        let update = doc! { "$set": set, "$inc": { "revision": 1_i64 } };
        match On(self).update("note what the images are", filter, update).await? {
            true => Ok(Write::Applied),
            false => On(self).stale_or_missing(lease).await,
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
        On(self).happen(lease, Event::Settle { generation, pass }, Some((outcome, &ending))).await
    }

    async fn release(&self, lease: Lease, back: &Release) -> Result<Write, StoreError> {
        let (event, outcome) = back.event(lease.generation);
        let ending = Ending {
            at: back.record.at,
            reason: back.fault.clone(),
            record: Some(back.record.clone()),
            not_before: back.fault.as_ref().map(|_| Entries::now(self) + back.after),
        };
        On(self).happen(lease, event, Some((outcome, &ending))).await
    }

    async fn cleaned(&self, lease: Lease, step: &StepTime) -> Result<Write, StoreError> {
        let attempt = doc! {
            "generation": lease.generation.0,
            "steps.step": { "$ne": step.step.as_str() },
        };
        let filter = doc! {
            "_id": uuid(lease.submission),
            "attempts": { "$elemMatch": attempt },
        };
        let update = doc! {
            "$push": { "attempts.$.steps": encode_value(&step_doc(step))? },
            "$inc": { "revision": 1_i64 },
        };
        match On(self).update("note the cleaning", filter, update).await? {
            true => Ok(Write::Applied),
            false => On(self).stale_or_missing(lease).await,
        }
    }

    async fn holds(&self, lease: Lease) -> Result<bool, StoreError> {
        let document = On(self).document(lease.submission).await?;
        Ok(document.is_some_and(|d| {
            d.state == "grading"
                && d.generation == lease.generation.0
                && d.worker == Some(uuid(lease.worker))
        }))
    }

    async fn in_flight(&self) -> Result<Vec<InFlight>, StoreError> {
        On(self).list_in_flight().await
    }

    async fn expire(&self, seen: InFlight, scope: Expiry) -> Result<Write, StoreError> {
        On(self).end_lease(seen, scope).await
    }

    async fn sweep(&self, now: OffsetDateTime) -> Result<Swept, StoreError> {
        let on = On(self);
        Ok(Swept { woken: on.wake_delayed(now).await?, overdue: on.end_overdue(now).await? })
    }
}
