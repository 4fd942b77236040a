//! What happens to a submission from outside its lease: observers end leases and waiting, people
//! cancel, and have tried again what nobody could determine.

use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use time::OffsetDateTime;

use super::{
    attempt_index,
    transition::{Ending, lost_reason, now, transition, waited_reason},
};
use crate::{
    domain::{
        ids::{Generation, SubmissionId, WorkerId},
        state::Event,
        submission::AttemptOutcome,
    },
    retry,
    store::{
        Store, StoreError, decode,
        documents::{stored, uuid},
        life::{self, LifeDoc},
        queue::{Expiry, InFlight, Lease, Write},
    },
};

impl Store {
    pub(super) async fn list_in_flight(&self) -> Result<Vec<InFlight>, StoreError> {
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

    pub(super) async fn end_lease(
        &self,
        seen: InFlight,
        scope: Expiry,
    ) -> Result<Write, StoreError> {
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

    pub(super) async fn wake_delayed(&self, now: OffsetDateTime) -> Result<u64, StoreError> {
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
            .await?;
        Ok(woken.modified_count)
    }

    pub(super) async fn end_overdue(&self, now: OffsetDateTime) -> Result<u64, StoreError> {
        let submissions = self.submissions.clone();
        let filter = doc! { "state": "queued", "deadline": { "$lt": stored(now) } };
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "look for overdue submissions", move || {
                let (submissions, filter) = (submissions.clone(), filter.clone());
                async move {
                    let overdue = submissions.find(filter).projection(life::fields()).limit(1000);
                    overdue.await?.try_collect().await
                }
            })
            .await?;
        let mut ended = 0;
        for document in found {
            // One that this version cannot read must not keep the others waiting.
            let read = decode::<LifeDoc>(document).and_then(|d| Ok((d.life()?, d)));
            let (life, document) = match read {
                Ok(read) => read,
                Err(error) => {
                    tracing::error!(%error, "an overdue submission cannot be read");
                    continue;
                }
            };
            let Ok(life) = life.apply(Event::Overdue, now) else { continue };
            let reason = document.delayed_for().unwrap_or_else(waited_reason);
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
        let mut tried = false;
        loop {
            let Some(document) = self.document(id).await? else { return Ok(Write::Missing) };
            let Ok(life) = document.life()?.apply(Event::Cancel, now()) else {
                let ours = tried && document.state == "cancelled";
                return Ok(if ours { Write::Applied } else { Write::Stale });
            };
            tried = true;
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

    /// Has an undetermined submission tried again, as an operator may. It goes back to its place in
    /// the queue, with two hours and all attempts before it again; what was tried stays noted. It
    /// counts to none of its participant's places: who is at fault is not the participant. What was
    /// erased, and a trial, are not tried again.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn requeue(&self, id: SubmissionId) -> Result<Write, StoreError> {
        let mut tried = false;
        loop {
            let Some(document) = self.document(id).await? else { return Ok(Write::Missing) };
            let Ok(life) = document.life()?.apply(Event::Requeue, now()) else {
                let ours = tried && !document.life()?.state.is_final();
                return Ok(if ours { Write::Applied } else { Write::Stale });
            };
            if tried {
                // It is undetermined, and the filter does not let it through.
                return Ok(Write::Stale);
            }
            tried = true;
            let mut update = transition(&document, life, None, None)?;
            if let Ok(set) = update.get_document_mut("$set") {
                // The verdict is the one of the attempt that is to come.
                set.insert("verdict", Bson::Null);
            }
            let filter = doc! {
                "_id": uuid(id),
                "state": &document.state,
                "generation": document.generation,
                "erased_at": Bson::Null,
                "trial_of": Bson::Null,
            };
            if self.update("queue a submission again", filter, update).await? {
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
