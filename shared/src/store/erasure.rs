//! Erasure: what is personal leaves a submission; that it was there, and how it ended, stays.
//!
//! Name, handle, contact, place, free-text answers, image names, evidence, and every sentence that may
//! quote an image or an answer are overwritten; digests, times, codes and states stay. The same goes
//! for the trials of re-grades, and the notes about the submission in the audit log, and of re-grades that
//! it was part of, are taken away. The
//! hash of the secret stays, so that whoever has it is told the same again. A backup that was made
//! before keeps what it has.

use bson::{Bson, Document, Uuid, doc};
use futures::TryStreamExt as _;
use serde::Deserialize;
use time::OffsetDateTime;

use super::{
    Store, StoreError, decode,
    documents::{stored, submission_id, uuid},
    queue::Write,
};
use crate::{domain::ids::SubmissionId, retry};

/// What stands where a name or a place was.
pub const ERASED: &str = "(erased)";
/// What stands where an image's name was: at a host that there cannot be (RFC 2606 §2).
pub const ERASED_IMAGE: &str = "erased.invalid/erased";
/// What stands where a sentence was.
const SENTENCE: &str = "The details were erased with the submission.";
/// What such a participant's key begins with; the rest is random, so that two erased submissions are
/// not to be seen to be of one participant.
const KEY: &str = "erased:";
/// The act whose note says why something was erased, and stays.
pub const ACT: &str = "erase";

/// How far whoever has the secret takes a submission back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawal {
    /// Only if it has not ended.
    Cancel,
    /// If it has not ended it is cancelled; if it has, it is erased. One that was cancelled stays so:
    /// to ask for the same twice does not do more than to ask once.
    TakeBack,
    /// It is erased, whether or not it has ended.
    Erase,
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "_id")]
    id: Uuid,
}

impl Store {
    /// Takes a submission back. [`Write::Stale`]: it has ended, and was only to be cancelled.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn withdraw(&self, id: SubmissionId, how: Withdrawal) -> Result<Write, StoreError> {
        if how == Withdrawal::Erase {
            return self.erase(id).await;
        }
        match self.cancel(id).await? {
            Write::Stale => {}
            other => return Ok(other),
        }
        let document = self.whole(uuid(id), doc! { "state": 1 }).await?;
        let Some(document) = document else { return Ok(Write::Missing) };
        match (document.get_str("state"), how) {
            (Ok("cancelled"), _) => Ok(Write::Applied),
            (_, Withdrawal::TakeBack) => self.erase(id).await,
            (_, Withdrawal::Cancel | Withdrawal::Erase) => Ok(Write::Stale),
        }
    }

    /// Takes a submission back if it has not ended, and erases what is personal in it, in its trials
    /// and in the notes about it. To do it again is harmless, and finishes what was not finished.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn erase(&self, id: SubmissionId) -> Result<Write, StoreError> {
        let own = doc! { "trial_of": 1 };
        match self.whole(uuid(id), own).await? {
            Some(document) if document.get("trial_of").is_none() => {}
            _ => return Ok(Write::Missing),
        }
        // Its own mark comes after what is around it: one that has it was erased whole. What a re-grade
        // made meanwhile is looked for once more.
        self.erase_around(id).await?;
        self.erase_one(id).await?;
        self.erase_around(id).await?;
        Ok(Write::Applied)
    }

    async fn erase_around(&self, id: SubmissionId) -> Result<(), StoreError> {
        for trial in self.trials_of(uuid(id)).await? {
            self.erase_one(submission_id(trial)).await?;
        }
        self.erase_notes(doc! { "submission": uuid(id), "what": { "$ne": ACT } }).await?;
        let regrades = self.hush_regrades(uuid(id)).await?;
        self.erase_notes(doc! { "detail.regrade": { "$in": regrades } }).await
    }

    /// The same for one document.
    pub(super) async fn erase_one(&self, id: SubmissionId) -> Result<(), StoreError> {
        loop {
            let Some(document) = self.whole(uuid(id), doc! {}).await? else { return Ok(()) };
            if document.get_datetime("erased_at").is_ok() {
                return Ok(());
            }
            let state = document.get_str("state").unwrap_or_default();
            if !["passed", "failed", "undetermined", "cancelled"].contains(&state) {
                self.cancel(id).await?;
                continue;
            }
            // Nothing is written into it meanwhile that would not be erased.
            let filter = doc! {
                "_id": uuid(id),
                "state": state,
                "revision": document.get("revision").cloned(),
            };
            let kept = self.harmless_answers(&document).await?;
            let update = wipe(&document, kept);
            let submissions = self.submissions.clone();
            let result = self.persist(retry::INTERACTIVE, "erase a submission", move || {
                let (submissions, filter, update) =
                    (submissions.clone(), filter.clone(), update.clone());
                async move { submissions.update_one(filter, update).await }
            });
            result.await?;
        }
    }

    /// The answers that were a choice among those of the event; none where its rules are not known.
    async fn harmless_answers(&self, document: &Document) -> Result<Document, StoreError> {
        let slug = document.get_str("event").ok().and_then(|slug| slug.parse().ok());
        let version = document.get_i32("event_version").ok();
        let Some((slug, version)) = slug.zip(version) else { return Ok(doc! {}) };
        let rules = match self.event_version(&slug, version).await {
            Ok(rules) => rules,
            Err(error @ (StoreError::Event { .. } | StoreError::Newer { .. })) => {
                tracing::warn!(%error, "all answers are erased: the rules cannot be read");
                None
            }
            Err(error) => return Err(error),
        };
        let Some(rules) = rules else { return Ok(doc! {}) };
        let chosen = |name: &str, answer: &Bson| {
            let rule = rules.event.answers.iter().find(|rule| rule.name == name);
            let allowed = rule.and_then(|rule| rule.one_of.as_ref());
            allowed.is_some_and(|all| all.iter().any(|one| answer.as_str() == Some(one.as_str())))
        };
        let answers = document.get_document("answers").cloned().unwrap_or_default();
        Ok(answers.into_iter().filter(|(name, answer)| chosen(name, answer)).collect())
    }

    /// Takes the notes off the re-grades of a submission; their ids as texts.
    async fn hush_regrades(&self, id: Uuid) -> Result<Vec<String>, StoreError> {
        let (regrades, filter) = (self.regrades.clone(), doc! { "items.submission": id });
        let update = doc! { "$set": { "note": Bson::Null } };
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "erase notes of re-grades", move || {
                let (regrades, filter, update) = (regrades.clone(), filter.clone(), update.clone());
                async move {
                    regrades.update_many(filter.clone(), update).await?;
                    let ids = regrades.find(filter).projection(doc! { "_id": 1 });
                    ids.await?.try_collect().await
                }
            })
            .await?;
        let text = |one: Document| decode::<Head>(one).map(|head| head.id.to_string());
        found.into_iter().map(text).collect()
    }

    /// Takes away the notes of lines of the audit log.
    async fn erase_notes(&self, mut filter: Document) -> Result<(), StoreError> {
        filter.insert("note", doc! { "$ne": Bson::Null });
        let (audit, update) = (self.audit.clone(), doc! { "$set": { "note": Bson::Null } });
        self.persist(retry::INTERACTIVE, "erase notes about a submission", move || {
            let (audit, filter, update) = (audit.clone(), filter.clone(), update.clone());
            async move { audit.update_many(filter, update).await }
        })
        .await
        .map(drop)
    }
}

/// The update that overwrites what is personal.
fn wipe(document: &Document, kept: Document) -> Document {
    let now = stored(OffsetDateTime::now_utc());
    let mut set = doc! {
        "participant.key": format!("{KEY}{}", uuid::Uuid::new_v4()),
        "participant.name": ERASED,
        "participant.handle": Bson::Null,
        "participant.contact": Bson::Null,
        "place.label": ERASED,
        "place.lat": Bson::Null,
        "place.lng": Bson::Null,
        "place.country": Bson::Null,
        "answers": kept,
        "delay": Bson::Null,
        "erased_at": now,
        "updated_at": now,
    };
    let all = |name| document.get_array(name).map(Vec::as_slice).unwrap_or_default();
    for index in 0..all("images").len() {
        set.insert(format!("images.{index}.ref"), ERASED_IMAGE);
    }
    for (index, attempt) in all("attempts").iter().enumerate() {
        set.insert(format!("attempts.{index}.evidence"), Bson::Null);
        hush(&mut set, attempt.as_document(), &format!("attempts.{index}"));
    }
    hush(&mut set, document.get_document("verdict").ok(), "verdict");
    for (index, entry) in all("regraded").iter().enumerate() {
        let before = entry.as_document().and_then(|entry| entry.get_document("before").ok());
        let verdict = before.and_then(|before| before.get_document("verdict").ok());
        hush(&mut set, verdict, &format!("regraded.{index}.before.verdict"));
    }
    doc! {
        "$set": set,
        "$unset": { "idempotency": "", "trace": "" },
        "$inc": { "revision": 1_i64 },
    }
}

/// Takes the words out of a reason; its code, its owner and its limit stay.
fn hush(set: &mut Document, of: Option<&Document>, path: &str) {
    if of.is_some_and(|of| of.get_document("reason").is_ok()) {
        set.insert(format!("{path}.reason.message"), SENTENCE);
        set.insert(format!("{path}.reason.hint"), Bson::Null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        image::ImageRef,
        place::Place,
        text::{Name, PlaceLabel},
    };

    #[test]
    fn what_stands_in_its_place_can_be_read_again() {
        assert!(ERASED.parse::<Name>().is_ok() && ERASED.parse::<PlaceLabel>().is_ok());
        let image: ImageRef = ERASED_IMAGE.parse().unwrap();
        assert_eq!(image.host().as_str(), "erased.invalid");
        let label = ERASED.parse().unwrap();
        assert_eq!(Place { label, point: None, country: None }.point, None);
    }
}
