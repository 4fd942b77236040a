//! Pins: what of a submission stands on the map.

use bson::{Document, doc};
use futures::TryStreamExt;

use super::{Store, StoreError, decode, documents::SubmissionDoc};
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

impl Store {
    /// Every pin of every event, by the time it passed. A document that cannot be read is left out
    /// and logged.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn pins(&self) -> Result<Vec<Pin>, StoreError> {
        let submissions = self.submissions.clone();
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "read the pins", move || {
                let submissions = submissions.clone();
                async move {
                    submissions
                        .find(doc! { "state": "passed", "place.lat": { "$ne": null } })
                        .projection(doc! { "attempts.evidence": 0, "attempts.steps": 0 })
                        .await?
                        .try_collect()
                        .await
                }
            })
            .await?;
        let mut pins = Vec::with_capacity(found.len());
        for mut document in found {
            document.insert("attempts", bson::Bson::Array(Vec::new()));
            match decode::<SubmissionDoc>(document).and_then(SubmissionDoc::into_domain) {
                Ok(submission) => pins.extend(Pin::of(&submission)),
                Err(error) => tracing::warn!(%error, "left out a pin"),
            }
        }
        pins.sort_by_key(|pin| pin.at);
        Ok(pins)
    }
}
