//! Re-grades in the store: made, looked at, ordered about. What they are is told in
//! [`crate::domain::regrade`].
//!
//! A re-grade is one document in `regrades`, which names its trials before there are any, so that
//! every step of it can be done again: [`trials`] are inserted under their ids, and [`verdicts`] are
//! taken over and put back by conditional updates that know what they wrote. A document in a state of
//! work under way is finished by whoever looks at it next ([`Store::regrade`]).

mod trials;
mod verdicts;

use std::collections::HashMap;

use bson::{DateTime, Document, Uuid, doc};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use self::trials::UNDER_WAY;
use super::{
    Store, StoreError, decode,
    documents::{VerdictDoc, restored, stored, submission_id, uuid},
    encode,
    life::{self, LifeDoc},
};
use crate::{
    domain::{
        ids::{EventSlug, RegradeId, SubmissionId},
        regrade::{Answer, Before, Change, Fate, Item, Order, Regrade, RegradeState},
        state::{Graded, State},
    },
    retry,
};

/// How many submissions are worked on at once.
const AT_ONCE: usize = 8;

/// Which submissions of an event.
#[derive(Clone, Copy, Debug)]
pub enum Selection<'a> {
    /// These.
    These(&'a [SubmissionId]),
    /// All that ended like this.
    Where {
        /// In one of these states; any, if none is named.
        states: &'a [Graded],
        /// With one of these reason codes; any or none, if none is named.
        reasons: &'a [String],
    },
}

/// A submission that can be graded anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub submission: SubmissionId,
    /// What its verdict is.
    pub before: Before,
}

/// A re-grade to be made.
#[derive(Clone, Debug)]
pub struct NewRegrade<'a> {
    /// Its id.
    pub id: RegradeId,
    /// In which event.
    pub event: &'a EventSlug,
    /// The version of the rules.
    pub version: i32,
    /// The name of the token that makes it.
    pub by: &'a str,
    /// Why.
    pub note: Option<&'a str>,
    /// What it grades.
    pub candidates: Vec<Candidate>,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ordered {
    /// It is done, perhaps by an earlier order.
    Done(Box<Regrade>),
    /// It does not fit the state.
    Refused(RegradeState),
    /// There is no such re-grade.
    Missing,
}

/// What a trial says about its submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The submission.
    pub item: Item,
    /// What would change.
    pub change: Change,
    /// The state and the reason's code of the trial, once it has ended.
    pub after: Option<(State, Option<String>)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct RegradeDoc {
    #[serde(rename = "_id")]
    id: Uuid,
    event: String,
    version: i32,
    by: String,
    note: Option<String>,
    created_at: DateTime,
    updated_at: DateTime,
    state: String,
    items: Vec<ItemDoc>,
    /// Who ordered what is under way, or was done last.
    ordered_by: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ItemDoc {
    submission: Uuid,
    trial: Uuid,
    before: BeforeDoc,
    applied: Option<String>,
    undone: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct BeforeDoc {
    state: String,
    reason: Option<String>,
    attempt: u32,
    at: DateTime,
    event_version: i32,
}

impl RegradeDoc {
    fn of(new: &NewRegrade<'_>) -> Self {
        let at = stored(OffsetDateTime::now_utc());
        let item = |candidate: &Candidate| ItemDoc {
            submission: uuid(candidate.submission),
            trial: uuid(SubmissionId::new()),
            before: BeforeDoc {
                state: candidate.before.state.as_str().to_owned(),
                reason: candidate.before.reason.clone(),
                attempt: candidate.before.attempt,
                at: stored(candidate.before.at),
                event_version: candidate.before.event_version,
            },
            applied: None,
            undone: None,
        };
        Self {
            id: key(new.id),
            event: new.event.to_string(),
            version: new.version,
            by: new.by.to_owned(),
            note: new.note.map(str::to_owned),
            created_at: at,
            updated_at: at,
            state: RegradeState::Preparing.as_str().to_owned(),
            items: new.candidates.iter().map(item).collect(),
            ordered_by: None,
        }
    }

    fn corrupt(&self, what: &'static str) -> StoreError {
        StoreError::Corrupt { id: self.id.to_string(), what }
    }

    fn state(&self) -> Result<RegradeState, StoreError> {
        RegradeState::from_word(&self.state).ok_or_else(|| self.corrupt("state"))
    }

    fn regrade(&self) -> Result<Regrade, StoreError> {
        let item = |item: &ItemDoc| {
            let fate = |word: &Option<String>| word.as_deref().and_then(Fate::from_word);
            let before = &item.before;
            let state = Graded::from_word(&before.state);
            Ok(Item {
                submission: submission_id(item.submission),
                trial: submission_id(item.trial),
                before: Before {
                    state: state.ok_or_else(|| self.corrupt("state of an item"))?,
                    reason: before.reason.clone(),
                    attempt: before.attempt,
                    at: restored(before.at),
                    event_version: before.event_version,
                },
                applied: fate(&item.applied),
                undone: fate(&item.undone),
            })
        };
        Ok(Regrade {
            id: RegradeId::from(uuid::Uuid::from_bytes(self.id.bytes())),
            event: self.event.parse().map_err(|_| self.corrupt("event"))?,
            version: self.version,
            by: self.by.clone(),
            note: self.note.clone(),
            created_at: restored(self.created_at),
            updated_at: restored(self.updated_at),
            state: self.state()?,
            items: self.items.iter().map(item).collect::<Result<_, StoreError>>()?,
        })
    }
}

fn key(id: RegradeId) -> Uuid {
    Uuid::from_bytes(id.uuid().into_bytes())
}

impl Store {
    /// The submissions of an event that can be graded anew and are selected, by their age: at most
    /// so many. Those that are not final, were taken back or erased, and trials are not among them.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn regradable(
        &self,
        event: &EventSlug,
        selection: Selection<'_>,
        most: usize,
    ) -> Result<Vec<Candidate>, StoreError> {
        let mut states: Vec<&str> = Graded::ALL.map(Graded::as_str).to_vec();
        let mut filter = doc! {
            "event": event.as_str(),
            "erased_at": { "$exists": false },
            "trial_of": { "$exists": false },
        };
        match selection {
            Selection::These(ids) => {
                let ids: Vec<Uuid> = ids.iter().map(|id| uuid(*id)).collect();
                filter.insert("_id", doc! { "$in": ids });
            }
            Selection::Where { states: wanted, reasons } => {
                if !wanted.is_empty() {
                    states = wanted.iter().map(|graded| graded.as_str()).collect();
                }
                if !reasons.is_empty() {
                    filter.insert("verdict.reason.code", doc! { "$in": reasons });
                }
            }
        }
        filter.insert("state", doc! { "$in": states });
        let fields = doc! { "state": 1, "verdict": 1, "event_version": 1 };
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let found = self.heads(filter, fields, Some(limit)).await?;
        let candidates = found.into_iter().map(|head| {
            let head: HeadDoc = decode(head)?;
            let before =
                Graded::from_word(&head.state).zip(head.verdict).map(|(state, verdict)| {
                    let reason = verdict.reason.map(|reason| reason.code);
                    let (attempt, at) = (verdict.attempt, restored(verdict.at));
                    Before { state, reason, attempt, at, event_version: head.event_version }
                });
            Ok(before.map(|before| Candidate { submission: submission_id(head.id), before }))
        });
        candidates.filter_map(Result::transpose).collect()
    }

    /// Makes a re-grade and puts its trials into the queue. When that does not end, the next look at
    /// it goes on.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn begin_regrade(&self, new: NewRegrade<'_>) -> Result<Regrade, StoreError> {
        let document = RegradeDoc::of(&new);
        let (regrades, entry) = (self.regrades.clone(), encode(&document)?);
        let inserted = self
            .persist(retry::INTERACTIVE, "store a re-grade", move || {
                let (regrades, entry) = (regrades.clone(), entry.clone());
                async move { regrades.insert_one(entry).await.map(drop) }
            })
            .await;
        match inserted {
            // An earlier try of this very insert, whose answer was lost.
            Err(error) if error.is_duplicate() => {}
            other => other?,
        }
        self.finish_regrade(document).await?.regrade()
    }

    /// The event of a re-grade; nothing is done to it.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn event_of_regrade(&self, id: RegradeId) -> Result<Option<EventSlug>, StoreError> {
        let found = self.regrade_document(key(id)).await?;
        Ok(found.and_then(|regrade| regrade.event.parse().ok()))
    }

    /// A re-grade; what a process that died has left of it is finished.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn regrade(&self, id: RegradeId) -> Result<Option<Regrade>, StoreError> {
        match self.regrade_document(key(id)).await? {
            Some(document) => self.finish_regrade(document).await?.regrade().map(Some),
            None => Ok(None),
        }
    }

    /// The re-grades of an event as they are stored, the newest first: at most so many, older than
    /// the one named.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn regrades(
        &self,
        event: &EventSlug,
        before: Option<RegradeId>,
        most: i64,
    ) -> Result<Vec<Regrade>, StoreError> {
        let mut filter = doc! { "event": event.as_str() };
        if let Some(before) = before {
            filter.insert("_id", doc! { "$lt": key(before) });
        }
        let regrades = self.regrades.clone();
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "list the re-grades", move || {
                let (regrades, filter) = (regrades.clone(), filter.clone());
                async move {
                    let found = regrades.find(filter).sort(doc! { "_id": -1 }).limit(most);
                    found.await?.try_collect().await
                }
            })
            .await?;
        found.into_iter().map(|one| decode::<RegradeDoc>(one)?.regrade()).collect()
    }

    /// What the trials say, in the order of the items.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn preview(&self, regrade: &Regrade) -> Result<Vec<Row>, StoreError> {
        let ids: Vec<Uuid> = regrade.items.iter().map(|item| uuid(item.trial)).collect();
        let mut fields = life::fields();
        fields.insert("verdict.reason.code", 1);
        let mut ended = HashMap::new();
        for head in self.heads(doc! { "_id": { "$in": ids } }, fields, None).await? {
            let reason = head.get_document("verdict").and_then(|v| v.get_document("reason"));
            let code = reason.and_then(|reason| reason.get_str("code")).ok().map(str::to_owned);
            let life: LifeDoc = decode(head)?;
            ended.insert(submission_id(life.id), (life.life()?.state, code));
        }
        let row = |item: &Item| {
            let trial = ended.get(&item.trial).cloned();
            let state = trial.as_ref().map(|(state, _)| *state);
            let change = match (state, regrade.state) {
                (None, RegradeState::Preparing) => Change::Waiting,
                _ => Change::between(item.before.state, state),
            };
            let after = trial.filter(|(state, _)| state.is_final());
            Row { item: item.clone(), change, after }
        };
        Ok(regrade.items.iter().map(row).collect())
    }

    /// Has a re-grade applied, undone or given up. To order the same again is done already.
    ///
    /// # Errors
    /// When the store cannot; what was not finished is finished by the next look at it.
    pub async fn order_regrade(
        &self,
        id: RegradeId,
        order: Order,
        by: &str,
    ) -> Result<Ordered, StoreError> {
        loop {
            let Some(document) = self.regrade_document(key(id)).await? else {
                return Ok(Ordered::Missing);
            };
            // What is given up is not prepared first.
            let document = match order {
                Order::Discard => document,
                Order::Apply | Order::Undo => self.finish_regrade(document).await?,
            };
            let state = document.state()?;
            match state.ordered(order) {
                Answer::Refused => return Ok(Ordered::Refused(state)),
                Answer::Already => {
                    let done = self.finish_regrade(document).await?;
                    return Ok(Ordered::Done(Box::new(done.regrade()?)));
                }
                // Whether or not it was this process that moved it on: it is looked at again.
                Answer::Begin(next) => {
                    self.move_on(&document, next, doc! { "ordered_by": by }).await?;
                }
            }
        }
    }

    /// Does what is under way in a re-grade, until it waits for something else.
    async fn finish_regrade(&self, mut document: RegradeDoc) -> Result<RegradeDoc, StoreError> {
        loop {
            let (next, set) = match document.state()? {
                RegradeState::Preparing => {
                    self.insert_trials(&document).await?;
                    (RegradeState::Grading, doc! {})
                }
                RegradeState::Grading => match self.pending_trials(&document).await?.is_empty() {
                    true => (RegradeState::Ready, doc! {}),
                    false => return Ok(document),
                },
                RegradeState::Applying => (RegradeState::Applied, self.take_over(&document).await?),
                RegradeState::Undoing => (RegradeState::Undone, self.put_back(&document).await?),
                RegradeState::Discarded => {
                    self.cancel_trials(&document).await?;
                    return Ok(document);
                }
                RegradeState::Ready | RegradeState::Applied | RegradeState::Undone => {
                    return Ok(document);
                }
            };
            self.move_on(&document, next, set).await?;
            document = match self.regrade_document(document.id).await? {
                Some(document) => document,
                None => return Ok(document),
            };
        }
    }

    /// To another state, unless somebody else was faster.
    async fn move_on(
        &self,
        from: &RegradeDoc,
        to: RegradeState,
        mut set: Document,
    ) -> Result<(), StoreError> {
        set.insert("state", to.as_str());
        set.insert("updated_at", stored(OffsetDateTime::now_utc()));
        let filter = doc! { "_id": from.id, "state": &from.state };
        let (regrades, update) = (self.regrades.clone(), doc! { "$set": set });
        self.persist(retry::INTERACTIVE, "move a re-grade on", move || {
            let (regrades, filter, update) = (regrades.clone(), filter.clone(), update.clone());
            async move { regrades.update_one(filter, update).await }
        })
        .await
        .map(drop)
    }

    async fn regrade_document(&self, id: Uuid) -> Result<Option<RegradeDoc>, StoreError> {
        let regrades = self.regrades.clone();
        let found = self
            .persist(retry::INTERACTIVE, "read a re-grade", move || {
                let regrades = regrades.clone();
                async move { regrades.find_one(doc! { "_id": id }).await }
            })
            .await?;
        found.map(decode).transpose()
    }

    /// Some fields of submissions, in the order of their ids.
    async fn heads(
        &self,
        filter: Document,
        fields: Document,
        most: Option<i64>,
    ) -> Result<Vec<Document>, StoreError> {
        let submissions = self.submissions.clone();
        self.persist(retry::INTERACTIVE, "look at submissions", move || {
            let (submissions, filter, fields) =
                (submissions.clone(), filter.clone(), fields.clone());
            async move {
                let mut found = submissions.find(filter).projection(fields).sort(doc! { "_id": 1 });
                if let Some(most) = most {
                    found = found.limit(most);
                }
                found.await?.try_collect().await
            }
        })
        .await
    }
}

#[derive(Deserialize)]
struct HeadDoc {
    #[serde(rename = "_id")]
    id: Uuid,
    state: String,
    event_version: i32,
    verdict: Option<VerdictDoc>,
}
