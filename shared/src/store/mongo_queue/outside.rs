//! What happens to a submission from outside its lease: observers end leases and waiting, people
//! cancel, and have tried again what nobody could determine.

use bson::{Bson, Document, doc};
use time::OffsetDateTime;

use super::{
    On, attempt_index,
    transition::{Ending, lost_reason, transition, waited_reason},
};
use crate::{
    domain::{
        ids::{Generation, SubmissionId, WorkerId},
        state::Event,
        submission::AttemptOutcome,
        verdict::Reason,
    },
    retry,
    store::{
        Store, StoreError, decode,
        documents::{stored, uuid},
        entries::{Entries, Find, persist},
        life::{self, LifeDoc},
        queue::{Expiry, InFlight, Lease, Write},
    },
};

impl<E: Entries> On<'_, E> {
    pub(super) async fn list_in_flight(&self) -> Result<Vec<InFlight>, StoreError> {
        let find = Find {
            filter: doc! { "state": "grading" },
            fields: Some(doc! { "worker": 1, "generation": 1, "beat": 1 }),
            limit: None,
        };
        let found = self.read(retry::INTERACTIVE, "list what is being graded", find).await?;
        Ok(found.iter().filter_map(in_flight).collect())
    }

    pub(super) async fn end_lease(
        &self,
        seen: InFlight,
        scope: Expiry,
    ) -> Result<Write, StoreError> {
        let (id, now) = (seen.lease.submission, self.0.now());
        let Some(document) = self.document(id).await? else { return Ok(Write::Missing) };
        let generation = seen.lease.generation;
        let Ok(life) = document.life()?.apply(Event::LeaseExpired { generation }, now) else {
            return Ok(Write::Stale);
        };
        let mut filter = doc! { "_id": uuid(id), "state": "grading", "generation": generation.0 };
        if scope == Expiry::Silent {
            filter.insert("beat", seen.beat);
        }
        let refused = self.suspect(seen, scope).await;
        let reason = refused.filter(|_| life.state.is_final()).or_else(|| Some(lost_reason()));
        let ending = Ending { at: now, reason, record: None, not_before: None };
        let attempt = attempt_index(&document, generation);
        let ended = Some((AttemptOutcome::Lost, &ending));
        let update = transition(&document, life, now, attempt, ended)?;
        match self.update("end a lease", filter, update).await? {
            true => Ok(Write::Applied),
            false => {
                self.unsuspect(seen, scope).await;
                Ok(Write::Stale)
            }
        }
    }

    /// Notes a silent worker with the images that it was grading, before anybody claims them again;
    /// why they are not to be graded any more, if so. That it cannot be noted ends no lease later.
    async fn suspect(&self, seen: InFlight, scope: Expiry) -> Option<Reason> {
        if scope != Expiry::Silent {
            return None;
        }
        let noted = self.0.lost_with_worker(seen.lease).await;
        noted.unwrap_or_else(|error| {
            tracing::error!(submission.id = %seen.lease.submission, %error, "cannot suspect images");
            None
        })
    }

    async fn unsuspect(&self, seen: InFlight, scope: Expiry) {
        if scope == Expiry::Silent
            && let Err(error) = self.0.not_lost(seen.lease).await
        {
            tracing::error!(submission.id = %seen.lease.submission, %error, "cannot clear images");
        }
    }

    pub(super) async fn wake_delayed(&self, now: OffsetDateTime) -> Result<u64, StoreError> {
        let due = doc! { "state": "queued", "delay.next_try": { "$lte": stored(now) } };
        let wake = doc! {
            "$set": { "ready": true, "delay": Bson::Null, "updated_at": stored(now) },
            "$inc": { "revision": 1_i64 },
        };
        let doing = "wake what was delayed";
        let woken = || self.0.change_all(doing, due.clone(), wake.clone());
        persist(retry::INTERACTIVE, doing, woken).await
    }

    pub(super) async fn end_overdue(&self, now: OffsetDateTime) -> Result<u64, StoreError> {
        let filter = doc! { "state": "queued", "deadline": { "$lt": stored(now) } };
        let find = Find { filter, fields: Some(life::fields()), limit: Some(1000) };
        let found = self.read(retry::INTERACTIVE, "look for overdue submissions", find).await?;
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
                transition(&document, life, now, None, Some((AttemptOutcome::Released, &ending)))?;
            let filter = doc! {
                "_id": document.id,
                "state": "queued",
                "generation": document.generation,
            };
            ended += u64::from(self.update("end an overdue submission", filter, update).await?);
        }
        Ok(ended)
    }

    async fn cancel(&self, id: SubmissionId) -> Result<Write, StoreError> {
        let mut tried = false;
        loop {
            let now = self.0.now();
            let Some(document) = self.document(id).await? else { return Ok(Write::Missing) };
            let Ok(life) = document.life()?.apply(Event::Cancel, now) else {
                let ours = tried && document.state == "cancelled";
                return Ok(if ours { Write::Applied } else { Write::Stale });
            };
            tried = true;
            let attempt = match document.state.as_str() {
                "grading" => attempt_index(&document, Generation(document.generation)),
                _ => None,
            };
            let ending = Ending { at: now, reason: None, record: None, not_before: None };
            let ended = Some((AttemptOutcome::Cancelled, &ending));
            let update = transition(&document, life, now, attempt, ended)?;
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

    async fn requeue(&self, id: SubmissionId) -> Result<Write, StoreError> {
        let mut tried = false;
        loop {
            let now = self.0.now();
            let Some(document) = self.document(id).await? else { return Ok(Write::Missing) };
            let Ok(life) = document.life()?.apply(Event::Requeue, now) else {
                let ours = tried && !document.life()?.state.is_final();
                return Ok(if ours { Write::Applied } else { Write::Stale });
            };
            if tried {
                // It is undetermined, and the filter does not let it through.
                return Ok(Write::Stale);
            }
            tried = true;
            let mut update = transition(&document, life, now, None, None)?;
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

/// Takes a submission back.
///
/// # Errors
/// When the store cannot.
pub async fn cancel(entries: &impl Entries, id: SubmissionId) -> Result<Write, StoreError> {
    On(entries).cancel(id).await
}

/// Has an undetermined submission tried again, as an operator may. It goes back to its place in
/// the queue, with two hours and all attempts before it again; what was tried stays noted. It
/// counts to none of its participant's places: who is at fault is not the participant. What was
/// erased, and a trial, are not tried again.
///
/// # Errors
/// When the store cannot.
pub async fn requeue(entries: &impl Entries, id: SubmissionId) -> Result<Write, StoreError> {
    On(entries).requeue(id).await
}

impl Store {
    /// Takes a submission back: [`cancel`].
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn cancel(&self, id: SubmissionId) -> Result<Write, StoreError> {
        cancel(self, id).await
    }

    /// Has an undetermined submission tried again: [`requeue`].
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn requeue(&self, id: SubmissionId) -> Result<Write, StoreError> {
        requeue(self, id).await
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
