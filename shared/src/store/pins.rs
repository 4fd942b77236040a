//! Pins: what of a submission stands on the map.

use super::{Store, StoreError, glances::Glance};
use crate::domain::{
    ids::{EventSlug, SubmissionId},
    place::LatLng,
    state::State,
    submission::{Marks, Submission},
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
        let mut pins = Vec::new();
        let take = |page: Vec<Glance>| pins.extend(page.into_iter().filter_map(|one| one.pin));
        self.glances(None, take).await?;
        pins.sort_by_key(|pin| pin.at);
        Ok(pins)
    }
}
