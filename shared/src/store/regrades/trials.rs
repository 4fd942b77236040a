//! Trials: the copies that are graded for a re-grade.
//!
//! To a worker a trial is a submission like any other. To everybody else it is none: it has no
//! secret, no lane, no point on the map (an api of an earlier version makes no pin of it either), a
//! participant's key of its own, so that it counts for no cap and is nobody's earlier submission, and
//! `trial_of`, by which it is left out of what is shown and counted.

use std::collections::HashMap;

use bson::{Document, Uuid, doc};
use futures::{StreamExt, TryStreamExt, stream};
use mongodb::error::ErrorKind;
use time::OffsetDateTime;

use super::{AT_ONCE, ItemDoc, RegradeDoc};
use crate::{
    domain::{
        ids::EventSlug,
        place::Place,
        regrade::RegradeState,
        state::Lifecycle,
        submission::{Marks, Participant, Submission},
    },
    retry,
    store::{
        Store, StoreError, decode,
        documents::{SubmissionDoc, restored, submission_id, uuid},
        encode,
        queue::Write,
        submissions::FAIR_STEP,
    },
};

/// Most re-grades of an event that are graded at once: each takes its part of the line.
pub const UNDER_WAY: usize = 3;
/// How many are inserted at once.
const BATCH: usize = 100;
/// What a trial's participant's key begins with.
const KEY: &str = "trial:";

impl Store {
    /// How many re-grades of an event are under way, at most [`UNDER_WAY`]. Those that have ended
    /// meanwhile are moved on.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn regrades_under_way(&self, event: &EventSlug) -> Result<usize, StoreError> {
        let open = [RegradeState::Preparing.as_str(), RegradeState::Grading.as_str()];
        let filter = doc! { "event": event.as_str(), "state": { "$in": open.to_vec() } };
        let (regrades, limit) = (self.regrades.clone(), UNDER_WAY as i64);
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "count the re-grades", move || {
                let (regrades, filter) = (regrades.clone(), filter.clone());
                async move { regrades.find(filter).limit(limit).await?.try_collect().await }
            })
            .await?;
        let mut open = 0;
        for one in found {
            let state = self.finish_regrade(decode(one)?).await?.state()?;
            open += usize::from(matches!(state, RegradeState::Preparing | RegradeState::Grading));
        }
        Ok(open)
    }

    /// The place in the fair order of the last trial that waits, of whatever re-grade.
    async fn last_trial(&self) -> Result<Option<OffsetDateTime>, StoreError> {
        let submissions = self.submissions.clone();
        let filter = doc! { "ready": true, "trial_of": { "$exists": true } };
        let found: Option<Document> = self
            .persist(retry::INTERACTIVE, "look at the line", move || {
                let (submissions, filter) = (submissions.clone(), filter.clone());
                async move {
                    let found = submissions.find_one(filter).sort(doc! { "order": -1 });
                    found.projection(doc! { "order": 1 }).await
                }
            })
            .await?;
        Ok(found.and_then(|one| one.get_datetime("order").ok().copied()).map(restored))
    }

    /// Puts the trials into the queue that are not there. Each is deemed to be sent a step of the
    /// fair order after the one before, those of other re-grades included, so that submissions which
    /// come meanwhile are graded first, however many re-grades there are.
    pub(super) async fn insert_trials(&self, regrade: &RegradeDoc) -> Result<(), StoreError> {
        let event = regrade.event.parse().map_err(|_| regrade.corrupt("event"))?;
        let rules = self.event_version(&event, regrade.version).await?;
        let schema = rules.ok_or_else(|| regrade.corrupt("version"))?.schema;
        let now = OffsetDateTime::now_utc();
        let mut order = self.last_trial().await?.map_or(now, |last| last.max(now));
        for items in regrade.items.chunks(BATCH) {
            let mut originals = self.originals(items).await?;
            let mut trials = Vec::with_capacity(items.len());
            for item in items {
                order += FAIR_STEP;
                let Some(original) = originals.remove(&item.submission) else { continue };
                if original.erased_at.is_none() {
                    trials.push(trial(original, item, regrade.version, schema, (now, order))?);
                }
            }
            self.insert_new(trials).await?;
            self.follow_erasures(items).await?;
        }
        Ok(())
    }

    /// Whoever erased a submission before its trial was there could not erase that.
    async fn follow_erasures(&self, items: &[ItemDoc]) -> Result<(), StoreError> {
        let ids: Vec<Uuid> = items.iter().map(|item| item.submission).collect();
        let erased = doc! { "_id": { "$in": ids }, "erased_at": { "$exists": true } };
        for head in self.heads(erased, doc! { "_id": 1 }, None).await? {
            let of = |item: &&ItemDoc| head.get("_id") == Some(&item.submission.into());
            if let Some(item) = items.iter().find(|item| of(item)) {
                self.erase_one(submission_id(item.trial)).await?;
            }
        }
        Ok(())
    }

    async fn originals(
        &self,
        items: &[ItemDoc],
    ) -> Result<HashMap<Uuid, SubmissionDoc>, StoreError> {
        let ids: Vec<Uuid> = items.iter().map(|item| item.submission).collect();
        let submissions = self.submissions.clone();
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "read submissions", move || {
                let (submissions, ids) = (submissions.clone(), ids.clone());
                async move {
                    let found = submissions.find(doc! { "_id": { "$in": ids } });
                    let found = found.projection(doc! { "attempts.evidence": 0 });
                    found.await?.try_collect().await
                }
            })
            .await?;
        let read = |document| decode(document).map(|one: SubmissionDoc| (one.id, one));
        found.into_iter().map(read).collect()
    }

    /// Inserts what is not there yet.
    async fn insert_new(&self, trials: Vec<Document>) -> Result<(), StoreError> {
        if trials.is_empty() {
            return Ok(());
        }
        let submissions = self.submissions.clone();
        let inserted = self
            .persist(retry::INTERACTIVE, "store trials", move || {
                let (submissions, trials) = (submissions.clone(), trials.clone());
                async move { submissions.insert_many(trials).ordered(false).await.map(drop) }
            })
            .await;
        match inserted {
            Err(error) if only_duplicates(&error) => Ok(()),
            other => other,
        }
    }

    /// The trials that have not ended.
    pub(super) async fn pending_trials(
        &self,
        regrade: &RegradeDoc,
    ) -> Result<Vec<Uuid>, StoreError> {
        let ids: Vec<Uuid> = regrade.items.iter().map(|item| item.trial).collect();
        let ended = ["passed", "failed", "undetermined", "cancelled"];
        let filter = doc! { "_id": { "$in": ids }, "state": { "$nin": ended } };
        let found = self.heads(filter, doc! { "_id": 1 }, None).await?;
        Ok(found.into_iter().filter_map(|head| decode::<Head>(head).ok()).map(|h| h.id).collect())
    }

    /// Takes back the trials that have not ended.
    pub(super) async fn cancel_trials(&self, regrade: &RegradeDoc) -> Result<(), StoreError> {
        let pending = self.pending_trials(regrade).await?;
        let all: Vec<_> = pending.into_iter().map(|id| self.cancel(submission_id(id))).collect();
        let done: Vec<Write> = stream::iter(all).buffer_unordered(AT_ONCE).try_collect().await?;
        tracing::debug!(trials = done.len(), "trials are given up");
        Ok(())
    }

    /// The trials of a submission in all re-grades.
    pub(in crate::store) async fn trials_of(&self, id: Uuid) -> Result<Vec<Uuid>, StoreError> {
        let found = self.heads(doc! { "trial_of": id }, doc! { "_id": 1 }, None).await?;
        Ok(found.into_iter().filter_map(|head| decode::<Head>(head).ok()).map(|h| h.id).collect())
    }
}

#[derive(serde::Deserialize)]
struct Head {
    #[serde(rename = "_id")]
    id: Uuid,
}

fn trial(
    original: SubmissionDoc,
    item: &ItemDoc,
    version: i32,
    schema: i32,
    (now, order): (OffsetDateTime, OffsetDateTime),
) -> Result<Document, StoreError> {
    // What only a newer version can read of the submission, only it can grade.
    let schema = schema.max(original.schema);
    let original = original.into_domain()?;
    let id = submission_id(item.trial);
    let copy = Submission {
        id,
        event: original.event,
        event_version: version,
        participant: Participant { contact: None, ..original.participant },
        place: Place { point: None, country: None, ..original.place },
        images: original.images,
        answers: original.answers,
        life: Lifecycle::submitted(now),
        created_at: now,
        updated_at: now,
        revision: 1,
        order,
        delay: None,
        attempts: Vec::new(),
        verdict: None,
        marks: Marks { trial_of: Some(original.id), ..Marks::default() },
    };
    let mut document = SubmissionDoc::from_domain(&copy, schema, String::new());
    document.participant.key = format!("{KEY}{id}");
    debug_assert_eq!(document.id, uuid(id));
    encode(&document)
}

/// Whether all that kept documents from being inserted is that they are there.
fn only_duplicates(error: &StoreError) -> bool {
    let StoreError::Driver { source, .. } = error else { return false };
    let ErrorKind::InsertMany(failed) = source.kind.as_ref() else { return false };
    let duplicates =
        failed.write_errors.as_ref().is_some_and(|all| all.iter().all(|one| one.code == 11000));
    duplicates && failed.write_concern_error.is_none()
}
