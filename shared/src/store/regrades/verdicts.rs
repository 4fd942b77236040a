//! Verdicts of a re-grade: taken over, and put back.
//!
//! Each submission is changed by one conditional update that names the verdict it replaces: by its
//! attempt, which is never reused since attempts are only added, and by its time. With the update the
//! trial's attempt becomes one of the submission's and `regraded` says what was there before, so a
//! repetition finds what it did. What matches nothing has changed in between, and is left alone.

use bson::{Bson, DateTime, Document, Uuid, doc};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use time::OffsetDateTime;

use super::{AT_ONCE, BeforeDoc, ItemDoc, RegradeDoc};
use crate::{
    domain::{
        regrade::Fate,
        state::{Event, Graded, Pass},
    },
    retry,
    store::{Store, StoreError, decode, documents::stored, life::LifeDoc},
};

/// How often an update is tried that others keep getting before.
const TRIES: usize = 8;

/// What is stored in a submission's `regraded`, as far as it is read.
#[derive(Clone, Debug, Deserialize)]
struct RegradedDoc {
    id: Uuid,
    /// The attempt that was added.
    attempt: u32,
    before: OldDoc,
    undone_at: Option<DateTime>,
}

#[derive(Clone, Debug, Deserialize)]
struct OldDoc {
    state: String,
    verdict: Document,
    event_version: i32,
}

/// What of a submission decides about its re-grades.
struct Subject {
    life: LifeDoc,
    rest: SubjectDoc,
}

#[derive(Deserialize)]
struct SubjectDoc {
    event_version: i32,
    verdict: Option<Document>,
    erased_at: Option<DateTime>,
    #[serde(default)]
    regraded: Vec<RegradedDoc>,
}

impl Subject {
    fn attempt(&self) -> Option<i64> {
        number(self.rest.verdict.as_ref()?.get("attempt"))
    }

    fn has(&self, before: &BeforeDoc) -> bool {
        let at = self.rest.verdict.as_ref().and_then(|verdict| verdict.get_datetime("at").ok());
        self.life.state == before.state
            && self.attempt() == Some(i64::from(before.attempt))
            && at == Some(&before.at)
    }

    fn by(&self, regrade: Uuid) -> Option<&RegradedDoc> {
        self.rest.regraded.iter().find(|entry| entry.id == regrade)
    }
}

/// What a trial came to.
struct Found {
    pass: Pass,
    verdict: Document,
    attempt: Document,
}

impl Store {
    /// Takes over every verdict that there is; what became of the items, to be set in the document.
    pub(super) async fn take_over(&self, regrade: &RegradeDoc) -> Result<Document, StoreError> {
        let all: Vec<_> = regrade.items.iter().map(|i| self.take_over_one(regrade, i)).collect();
        let fates: Vec<Fate> = stream::iter(all).buffered(AT_ONCE).try_collect().await?;
        let set = fates.into_iter().enumerate();
        Ok(set.map(|(n, fate)| (format!("items.{n}.applied"), fate.as_str().into())).collect())
    }

    /// Puts back every verdict that was taken over; what became of the items.
    pub(super) async fn put_back(&self, regrade: &RegradeDoc) -> Result<Document, StoreError> {
        let taken = |item: &ItemDoc| item.applied.as_deref() == Some(Fate::Applied.as_str());
        let items = regrade.items.iter().enumerate().filter(|(_, item)| taken(item));
        let (places, all): (Vec<_>, Vec<_>) =
            items.map(|(n, item)| (n, self.put_back_one(regrade, item))).unzip();
        let fates: Vec<Fate> = stream::iter(all).buffered(AT_ONCE).try_collect().await?;
        let set = places.into_iter().zip(fates);
        Ok(set.map(|(n, fate)| (format!("items.{n}.undone"), fate.as_str().into())).collect())
    }

    async fn take_over_one(
        &self,
        regrade: &RegradeDoc,
        item: &ItemDoc,
    ) -> Result<Fate, StoreError> {
        let Some(found) = self.found(item.trial).await? else { return Ok(Fate::Left) };
        for _ in 0..TRIES {
            let Some(subject) = self.subject(item.submission).await? else {
                return Ok(Fate::Conflict);
            };
            if subject.by(regrade.id).is_some() {
                return Ok(Fate::Applied);
            }
            if subject.rest.erased_at.is_some() || !subject.has(&item.before) {
                return Ok(Fate::Conflict);
            }
            let Some((filter, update)) = taken_over(regrade, item, &subject, &found)? else {
                return Ok(Fate::Conflict);
            };
            if self.replace_verdict("apply a re-grade", filter, update).await? {
                return Ok(Fate::Applied);
            }
        }
        Ok(Fate::Conflict)
    }

    async fn put_back_one(&self, regrade: &RegradeDoc, item: &ItemDoc) -> Result<Fate, StoreError> {
        for _ in 0..TRIES {
            let Some(subject) = self.subject(item.submission).await? else {
                return Ok(Fate::Conflict);
            };
            let Some(entry) = subject.by(regrade.id) else { return Ok(Fate::Conflict) };
            if entry.undone_at.is_some() {
                return Ok(Fate::Undone);
            }
            let current = subject.attempt() == Some(i64::from(entry.attempt));
            if subject.rest.erased_at.is_some() || !current {
                return Ok(Fate::Conflict);
            }
            let Some((filter, update)) = put_back(regrade, &subject, entry)? else {
                return Ok(Fate::Conflict);
            };
            if self.replace_verdict("undo a re-grade", filter, update).await? {
                return Ok(Fate::Undone);
            }
        }
        Ok(Fate::Conflict)
    }

    async fn replace_verdict(
        &self,
        doing: &'static str,
        filter: Document,
        update: Document,
    ) -> Result<bool, StoreError> {
        let submissions = self.submissions.clone();
        let result = self
            .persist(retry::INTERACTIVE, doing, move || {
                let (submissions, filter, update) =
                    (submissions.clone(), filter.clone(), update.clone());
                async move { submissions.update_one(filter, update).await }
            })
            .await?;
        Ok(result.matched_count == 1)
    }

    /// What a trial came to, if that is a verdict.
    async fn found(&self, trial: Uuid) -> Result<Option<Found>, StoreError> {
        let Some(document) = self.whole(trial, doc! {}).await? else { return Ok(None) };
        let pass = match document.get_str("state") {
            Ok("passed") => Pass::Yes,
            Ok("failed") => Pass::No,
            _ => return Ok(None),
        };
        let Ok(verdict) = document.get_document("verdict") else { return Ok(None) };
        let from = number(verdict.get("attempt"));
        let attempts = document.get_array("attempts").map(Vec::as_slice).unwrap_or_default();
        let mut attempts = attempts.iter().filter_map(Bson::as_document);
        let attempt = attempts.find(|attempt| number(attempt.get("number")) == from);
        let found = attempt.map(|attempt| (verdict.clone(), attempt.clone()));
        Ok(found.map(|(verdict, attempt)| Found { pass, verdict, attempt }))
    }

    async fn subject(&self, id: Uuid) -> Result<Option<Subject>, StoreError> {
        let fields = doc! { "attempts.evidence": 0, "attempts.steps": 0 };
        let Some(document) = self.whole(id, fields).await? else { return Ok(None) };
        Ok(Some(Subject { life: decode(document.clone())?, rest: decode(document)? }))
    }

    /// A submission's document as it is, past what this version knows of it.
    pub(in crate::store) async fn whole(
        &self,
        id: Uuid,
        fields: Document,
    ) -> Result<Option<Document>, StoreError> {
        let submissions = self.submissions.clone();
        self.persist(retry::INTERACTIVE, "read a submission", move || {
            let (submissions, fields) = (submissions.clone(), fields.clone());
            async move { submissions.find_one(doc! { "_id": id }).projection(fields).await }
        })
        .await
    }
}

/// The update that takes a trial's verdict over, under the filter that it still may; none where the
/// lifecycle refuses.
fn taken_over(
    regrade: &RegradeDoc,
    item: &ItemDoc,
    subject: &Subject,
    found: &Found,
) -> Result<Option<(Document, Document)>, StoreError> {
    let now = OffsetDateTime::now_utc();
    let before = subject.life.life()?;
    let Ok(life) = before.apply(Event::Regrade { pass: found.pass }, now) else { return Ok(None) };
    let attempts = i32::try_from(subject.life.attempts.len()).unwrap_or(i32::MAX - 1);
    let number = attempts + 1;
    let (mut attempt, mut verdict) = (found.attempt.clone(), found.verdict.clone());
    attempt.insert("number", number);
    attempt.insert("generation", life.generation.0);
    verdict.insert("attempt", number);
    // A verdict that stays what it was keeps its time: the pin of nobody's earlier success comes
    // before that of a later one by it.
    let same = life.state.as_str() == item.before.state;
    verdict.insert("at", if same { item.before.at } else { stored(now) });
    let filter = doc! {
        "_id": item.submission,
        "state": &item.before.state,
        "generation": before.generation.0,
        "verdict.attempt": i64::from(item.before.attempt),
        "verdict.at": item.before.at,
        "attempts": { "$size": attempts },
        "erased_at": { "$exists": false },
        "trial_of": { "$exists": false },
        "regraded.id": { "$ne": regrade.id },
    };
    let entry = doc! {
        "id": regrade.id,
        "at": stored(now),
        "by": regrade.ordered_by.clone(),
        "attempt": number,
        "before": {
            "state": &item.before.state,
            "verdict": subject.rest.verdict.clone(),
            "event_version": subject.rest.event_version,
        },
    };
    let update = doc! {
        "$set": {
            "state": life.state.as_str(),
            "generation": life.generation.0,
            "event_version": regrade.version,
            "verdict": verdict,
            "updated_at": stored(now),
        },
        "$push": { "attempts": attempt, "regraded": entry },
        "$inc": { "revision": 1_i64 },
    };
    Ok(Some((filter, update)))
}

/// The update that puts the old verdict back, under the filter that the one of the re-grade still
/// stands; none where the lifecycle refuses.
fn put_back(
    regrade: &RegradeDoc,
    subject: &Subject,
    entry: &RegradedDoc,
) -> Result<Option<(Document, Document)>, StoreError> {
    let now = OffsetDateTime::now_utc();
    let Some(to) = Graded::from_word(&entry.before.state) else { return Ok(None) };
    let Ok(life) = subject.life.life()?.apply(Event::Restore { to }, now) else { return Ok(None) };
    let filter = doc! {
        "_id": subject.life.id,
        "state": &subject.life.state,
        "verdict.attempt": i64::from(entry.attempt),
        "erased_at": { "$exists": false },
        "regraded": { "$elemMatch": { "id": regrade.id, "undone_at": { "$exists": false } } },
    };
    let update = doc! {
        "$set": {
            "state": life.state.as_str(),
            "verdict": entry.before.verdict.clone(),
            "event_version": entry.before.event_version,
            "updated_at": stored(now),
            "regraded.$.undone_at": stored(now),
            "regraded.$.undone_by": regrade.ordered_by.clone(),
        },
        "$inc": { "revision": 1_i64 },
    };
    Ok(Some((filter, update)))
}

fn number(value: Option<&Bson>) -> Option<i64> {
    match value? {
        Bson::Int32(n) => Some(i64::from(*n)),
        Bson::Int64(n) => Some(*n),
        _ => None,
    }
}
