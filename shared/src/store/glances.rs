//! Glances: of every submission what the map and the numbers of its event are made of, and how they are
//! read from the store: all of them, page by page, or those that changed lately.

use bson::{Bson, DateTime, Document, Uuid, doc};
use futures::{StreamExt as _, TryStreamExt as _};
use mongodb::{Cursor, options::Hint};
use serde::Deserialize;
use time::OffsetDateTime;

use super::{
    Store, StoreError, decode,
    documents::{PlaceDoc, corrupt, restored, stored, submission_id},
    pins::Pin,
};
use crate::{
    domain::{
        ids::{EventSlug, SubmissionId},
        place::LatLng,
        state::State,
        submission::Submission,
    },
    retry,
};

/// How many are read at once: far fewer than one call has time for.
const PAGE: i64 = 5_000;
/// So many are decoded and handed out before others have their turn.
const AT_ONCE: usize = 250;
const DOING: &str = "read what the map and the numbers are made of";
const SHOWN: [&str; 14] = [
    "schema",
    "event",
    "participant.key",
    "participant.name",
    "participant.handle",
    "place",
    "state",
    "revision",
    "created_at",
    "delay.next_try",
    "verdict.at",
    "verdict.reason.code",
    "hidden_at",
    "erased_at",
];

/// The words of the states, in the order of a submission's life.
pub(super) const STATES: [&str; 6] =
    ["queued", "grading", "passed", "failed", "undetermined", "cancelled"];

/// What of a submission counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Glance {
    /// Which.
    pub id: SubmissionId,
    /// Of which event.
    pub event: EventSlug,
    /// Counts its changes.
    pub revision: i64,
    /// What makes the participant one.
    pub participant: String,
    /// Where it stands: one of the words of [`State`].
    pub state: &'static str,
    /// Whether it waits for something else than its turn.
    pub delayed: bool,
    /// When it came.
    pub created_at: OffsetDateTime,
    /// With which reason it ended.
    pub reason: Option<String>,
    /// The country of its place.
    pub country: Option<String>,
    /// Its pin, if it is one.
    pub pin: Option<Pin>,
}

impl Glance {
    /// Of a submission. The trials of re-grades are nobody's, and count nowhere.
    #[must_use]
    pub fn of(submission: &Submission) -> Option<Self> {
        let ended = submission.verdict.as_ref();
        submission.marks.trial_of.is_none().then(|| Self {
            id: submission.id,
            event: submission.event.clone(),
            revision: submission.revision,
            participant: submission.participant.key(),
            state: submission.life.state.as_str(),
            delayed: submission.delay.is_some(),
            created_at: submission.created_at,
            reason: ended.and_then(|ended| ended.reason.as_ref()).map(|reason| reason.code.clone()),
            country: submission.place.country.clone(),
            pin: Pin::of(submission),
        })
    }
}

#[derive(Deserialize)]
struct GlanceDoc {
    #[serde(rename = "_id")]
    id: Uuid,
    schema: i32,
    event: String,
    participant: WhoDoc,
    place: PlaceDoc,
    state: String,
    revision: i64,
    created_at: DateTime,
    delay: Option<Document>,
    verdict: Option<EndDoc>,
    hidden_at: Option<DateTime>,
    erased_at: Option<DateTime>,
}

#[derive(Deserialize)]
struct WhoDoc {
    key: String,
    name: String,
    handle: Option<String>,
}

#[derive(Deserialize)]
struct EndDoc {
    at: DateTime,
    reason: Option<CodeDoc>,
}

#[derive(Deserialize)]
struct CodeDoc {
    code: String,
}

impl GlanceDoc {
    fn into_glance(self) -> Result<Glance, StoreError> {
        let bad = |what: &'static str| corrupt(self.id, self.schema, what);
        let id = submission_id(self.id);
        let state = STATES.into_iter().find(|word| *word == self.state);
        let state = state.ok_or_else(|| bad("state"))?;
        let event: EventSlug = self.event.parse().map_err(|_| bad("event"))?;
        let taken_off = self.hidden_at.is_some() || self.erased_at.is_some();
        let point = match (self.place.lat, self.place.lng) {
            (Some(lat), Some(lng)) => Some(LatLng::new(lat, lng).map_err(|_| bad("place"))?),
            _ => None,
        };
        let pin = match (point, &self.verdict) {
            (Some(point), Some(verdict)) if state == State::Passed.as_str() && !taken_off => {
                Some(Pin {
                    submission: id,
                    event: event.clone(),
                    participant: self.participant.key.clone(),
                    name: self.participant.name,
                    handle: self.participant.handle,
                    place: self.place.label,
                    country: self.place.country.clone(),
                    point,
                    at: restored(verdict.at),
                })
            }
            _ => None,
        };
        Ok(Glance {
            id,
            event,
            revision: self.revision,
            participant: self.participant.key,
            state,
            delayed: self.delay.is_some(),
            created_at: restored(self.created_at),
            reason: self.verdict.and_then(|verdict| verdict.reason).map(|reason| reason.code),
            country: self.place.country,
            pin,
        })
    }
}

/// Hands out those of a page that can be read; the others are left out and logged. Between some and the next
/// others have their turn.
async fn hand_out(page: Vec<Document>, take: &mut impl FnMut(Vec<Glance>)) {
    let mut left = page.into_iter().peekable();
    while left.peek().is_some() {
        let read = |document| {
            let read = decode::<GlanceDoc>(document).and_then(GlanceDoc::into_glance);
            let left_out = |error| tracing::warn!(%error, "left a submission out of the numbers");
            read.map_err(left_out).ok()
        };
        take(left.by_ref().take(AT_ONCE).filter_map(read).collect());
        tokio::task::yield_now().await;
    }
}

fn shown() -> Document {
    SHOWN.into_iter().map(|field| (field.to_owned(), Bson::Int32(1))).collect()
}

impl Store {
    /// A glance at every submission, of one event or of all, page by page in the order of their ids. One
    /// that cannot be read is left out and logged. What happens meanwhile is the change stream's to tell.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn glances(
        &self,
        event: Option<&EventSlug>,
        mut take: impl FnMut(Vec<Glance>),
    ) -> Result<(), StoreError> {
        let mut after = Bson::MinKey;
        loop {
            let page = self.glances_after(event, after).await?;
            let Some(last) = page.last().and_then(|document| document.get("_id")) else { break };
            after = last.clone();
            hand_out(page, &mut take).await;
        }
        Ok(())
    }

    async fn glances_after(
        &self,
        event: Option<&EventSlug>,
        after: Bson,
    ) -> Result<Vec<Document>, StoreError> {
        let submissions = self.submissions.clone();
        let mut which = doc! { "_id": { "$gt": after }, "trial_of": null };
        // In the order of ids without sorting: a page costs as much as it has.
        let mut by = doc! { "_id": 1 };
        if let Some(event) = event {
            which.insert("event", event.as_str());
            by = doc! { "event": 1, "_id": -1 };
        }
        self.persist(retry::INTERACTIVE, DOING, move || {
            let (submissions, which, by) = (submissions.clone(), which.clone(), by.clone());
            async move {
                let found = submissions.find(which).projection(shown()).sort(doc! { "_id": 1 });
                found.hint(Hint::Keys(by)).limit(PAGE).await?.try_collect().await
            }
        })
        .await
    }

    /// A glance at every submission of an event that changed after a time, by the clock of whoever changed
    /// it; in any order, and without the trials of re-grades.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn glances_since(
        &self,
        event: &EventSlug,
        since: OffsetDateTime,
        mut take: impl FnMut(Vec<Glance>),
    ) -> Result<(), StoreError> {
        let which = doc! {
            "event": event.as_str(), "updated_at": { "$gte": stored(since) }, "trial_of": null,
        };
        let submissions = self.submissions.clone();
        let opened = self.persist(retry::INTERACTIVE, DOING, move || {
            let (submissions, which) = (submissions.clone(), which.clone());
            async move {
                let by = Hint::Keys(doc! { "event": 1, "updated_at": 1 });
                let found = submissions.find(which).projection(shown()).hint(by);
                found.batch_size(PAGE as u32).await
            }
        });
        let mut cursor: Cursor<Document> = opened.await?;
        loop {
            let next = async move {
                let page = cursor.by_ref().take(PAGE as usize);
                let page: Vec<Document> = page.try_collect().await?;
                Ok((cursor, page))
            };
            let page;
            (cursor, page) = self.call(DOING, next).await?;
            if page.is_empty() {
                return Ok(());
            }
            hand_out(page, &mut take).await;
        }
    }

    /// How many submissions of an event came before a time; answered from an index alone.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn came_before(
        &self,
        event: &EventSlug,
        before: OffsetDateTime,
    ) -> Result<u64, StoreError> {
        let pipeline = vec![
            doc! { "$match": {
                "event": event.as_str(),
                "created_at": { "$gte": DateTime::MIN, "$lt": stored(before) },
            } },
            // A trial is told apart here and not by the filter, which would have to read each submission
            // to tell `null` from what is not there.
            doc! { "$group": {
                "_id": { "$gt": ["$trial_of", Bson::Null] }, "n": { "$sum": 1_i64 },
            } },
        ];
        let groups = self.aggregate("count what came", pipeline).await?;
        let own = groups.iter().find(|group| group.get_bool("_id").is_ok_and(|trial| !trial));
        Ok(own.and_then(|group| group.get_i64("n").ok()).unwrap_or(0).unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        ids::WorkerId,
        state::{State, Step},
    };

    #[test]
    fn every_state_has_its_word() {
        let grading = State::Grading { worker: WorkerId::new(), step: Step::Pulling };
        let all = [
            State::Queued,
            grading,
            State::Passed,
            State::Failed,
            State::Undetermined,
            State::Cancelled,
        ];
        assert_eq!(all.map(|state| state.as_str()), STATES);
    }
}
