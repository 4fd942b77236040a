//! Pins: what of a submission stands on the map.

use bson::{Bson, DateTime, Document, Uuid, doc};
use futures::TryStreamExt;
use mongodb::options::Hint;
use serde::Deserialize;

use super::{
    Store, StoreError, decode,
    documents::{ParticipantDoc, PlaceDoc, corrupt, restored, submission_id},
};
use crate::{
    domain::{
        ids::{EventSlug, SubmissionId},
        place::LatLng,
        state::State,
        submission::{Marks, Submission},
    },
    retry,
};

/// A success on the map: one for each participant and event, the latest.
#[derive(Clone, Debug, PartialEq)]
pub struct Pin {
    /// The submission that passed.
    pub submission: SubmissionId,
    /// Its event.
    pub event: EventSlug,
    /// What makes the participant one.
    pub participant: String,
    /// The participant's name.
    pub name: String,
    /// The participant's handle.
    pub handle: Option<String>,
    /// The place's name.
    pub place: String,
    /// The place's country.
    pub country: Option<String>,
    /// Where it stands.
    pub point: LatLng,
    /// When it passed.
    pub at: time::OffsetDateTime,
}

impl Pin {
    /// The pin of a submission, if it is one: it passed, its place is known, and nobody took it off
    /// the map.
    #[must_use]
    pub fn of(submission: &Submission) -> Option<Self> {
        let Marks { hidden, erased_at, trial_of, regraded_at: _, trace: _ } = &submission.marks;
        let taken_off = *hidden || erased_at.is_some() || trial_of.is_some();
        if submission.life.state != State::Passed || taken_off {
            return None;
        }
        Some(Self {
            submission: submission.id,
            event: submission.event.clone(),
            participant: submission.participant.key(),
            name: submission.participant.name.to_string(),
            handle: submission.participant.handle.as_ref().map(ToString::to_string),
            place: submission.place.label.to_string(),
            country: submission.place.country.clone(),
            point: submission.place.point?,
            at: submission.verdict.as_ref()?.at,
        })
    }
}

/// How many are read at once: far fewer than one call has time for.
const PAGE: i64 = 5_000;
/// After so many that were decoded, others have their turn.
const AT_ONCE: usize = 250;

/// Of a submission's document, what its pin is made of.
#[derive(Deserialize)]
struct PinDoc {
    #[serde(rename = "_id")]
    id: Uuid,
    schema: i32,
    event: String,
    participant: ParticipantDoc,
    place: PlaceDoc,
    verdict: VerdictDoc,
}

#[derive(Deserialize)]
struct VerdictDoc {
    at: DateTime,
}

impl PinDoc {
    fn into_pin(self) -> Result<Option<Pin>, StoreError> {
        let bad = |what: &'static str| corrupt(self.id, self.schema, what);
        let (Some(lat), Some(lng)) = (self.place.lat, self.place.lng) else { return Ok(None) };
        Ok(Some(Pin {
            submission: submission_id(self.id),
            event: self.event.parse().map_err(|_| bad("event"))?,
            participant: self.participant.key,
            name: self.participant.name,
            handle: self.participant.handle,
            place: self.place.label,
            country: self.place.country,
            point: LatLng::new(lat, lng).map_err(|_| bad("place"))?,
            at: restored(self.verdict.at),
        }))
    }
}

impl Store {
    /// Every pin of every event, by the time it passed. A document that cannot be read is left out
    /// and logged. They are read page by page: what happens meanwhile is the change stream's to tell.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn pins(&self) -> Result<Vec<Pin>, StoreError> {
        let mut pins = Vec::new();
        let mut after = Bson::MinKey;
        loop {
            let page = self.pins_after(after).await?;
            let Some(last) = page.last().and_then(|document| document.get("_id")) else { break };
            after = last.clone();
            for (index, document) in page.into_iter().enumerate() {
                match decode::<PinDoc>(document).and_then(PinDoc::into_pin) {
                    Ok(pin) => pins.extend(pin),
                    Err(error) => tracing::warn!(%error, "left out a pin"),
                }
                if index % AT_ONCE == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
        pins.sort_by_key(|pin| pin.at);
        Ok(pins)
    }

    async fn pins_after(&self, after: Bson) -> Result<Vec<Document>, StoreError> {
        let submissions = self.submissions.clone();
        let on_map = doc! {
            "_id": { "$gt": after },
            "state": State::Passed.as_str(),
            "place.lat": { "$ne": null },
            "hidden_at": null,
            "erased_at": null,
            "trial_of": null,
        };
        let shown = doc! {
            "schema": 1, "event": 1, "participant": 1, "place": 1, "verdict.at": 1,
        };
        self.persist(retry::INTERACTIVE, "read the pins", move || {
            let (submissions, on_map, shown) = (submissions.clone(), on_map.clone(), shown.clone());
            async move {
                // In the order of ids without sorting: a page costs as much as it has.
                let found = submissions.find(on_map).projection(shown).sort(doc! { "_id": 1 });
                found.hint(Hint::Keys(doc! { "_id": 1 })).limit(PAGE).await?.try_collect().await
            }
        })
        .await
    }
}
