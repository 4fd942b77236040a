//! Documents: how submissions lie in MongoDB, and the way to and from the domain.
//!
//! The rule for two versions side by side is in [`super`]. What it means here: a field that is not
//! known is ignored; a word that is not known is shown as what is nearest to it and harmless (a
//! step of an attempt is left out, an attempt's end is "given back"); only a state that is not
//! known leaves nothing to show.

use std::collections::BTreeMap;

use bson::{DateTime, Document, Uuid, doc};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{StoreError, life::LifeDoc};
use crate::domain::{
    evidence::Evidence,
    ids::{Generation, SubmissionId, WebhookId, WorkerId},
    image::Digest,
    place::{LatLng, Place},
    state::{State, Step},
    submission::{
        Attempt, AttemptOutcome, Delay, Marks, Participant, Pinned, StepTime, Submission,
        SubmittedImage,
    },
    verdict::{Outcome, Reason, Verdict},
};

/// The version of documents that this build reads, and grades.
///
/// 2: the key of the workers' labels has a collection of its own ([`super::label_key`]), and so has what
/// workers withheld ([`super::withheld`]); documents are as those of 1.
pub const SCHEMA: i32 = 2;
/// The lowest version that can grade what this build writes: it grows only with a submission that
/// needs more (see [`super`]).
pub(super) const LOWEST: i32 = 1;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SubmissionDoc {
    #[serde(rename = "_id")]
    pub(super) id: Uuid,
    pub(super) schema: i32,
    pub(super) event: String,
    pub(super) event_version: i32,
    pub(super) participant: ParticipantDoc,
    pub(super) place: PlaceDoc,
    pub(super) images: Vec<ImageDoc>,
    pub(super) answers: BTreeMap<String, String>,
    pub(super) state: String,
    pub(super) step: Option<String>,
    pub(super) worker: Option<Uuid>,
    pub(super) generation: i64,
    pub(super) beat: i64,
    pub(super) lost: u32,
    pub(super) since: DateTime,
    pub(super) deadline: Option<DateTime>,
    /// There only while it may be claimed: the claim index holds nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ready: Option<bool>,
    /// There only until it is final: one of the participant's places in the queue, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lane: Option<i32>,
    pub(super) order: DateTime,
    pub(super) created_at: DateTime,
    pub(super) updated_at: DateTime,
    pub(super) revision: i64,
    pub(super) delay: Option<DelayDoc>,
    pub(super) attempts: Vec<AttemptDoc>,
    pub(super) verdict: Option<VerdictDoc>,
    /// SHA-256 of the participant's secret, in hex.
    pub(super) secret: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idempotency: Option<IdempotencyDoc>,
    /// There if an organiser took its pin off the map: when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hidden_at: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) erased_at: Option<DateTime>,
    /// There in the trials of re-grades.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trial_of: Option<Uuid>,
    /// The `traceparent` of the request that brought it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trace: Option<String>,
    /// Its re-grades, as far as they are read here ([`super::regrades`] writes them).
    #[serde(default, skip_serializing)]
    pub(super) regraded: Vec<RegradedDoc>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RegradedDoc {
    at: Option<DateTime>,
    undone_at: Option<DateTime>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ParticipantDoc {
    pub(super) key: String,
    pub(super) name: String,
    pub(super) handle: Option<String>,
    pub(super) contact: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PlaceDoc {
    pub(super) label: String,
    pub(super) lat: Option<f64>,
    pub(super) lng: Option<f64>,
    pub(super) country: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ImageDoc {
    pub(super) r#ref: String,
    pub(super) digest: Option<String>,
    pub(super) platform: Option<String>,
    pub(super) size: Option<i64>,
    pub(super) layers: Option<u32>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct DelayDoc {
    pub(super) reason: Reason,
    pub(super) next_try: DateTime,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct AttemptDoc {
    pub(super) number: u32,
    pub(super) worker: Uuid,
    pub(super) worker_name: String,
    pub(super) node: Option<String>,
    pub(super) generation: i64,
    pub(super) started_at: DateTime,
    pub(super) ended_at: Option<DateTime>,
    pub(super) steps: Vec<StepDoc>,
    pub(super) outcome: Option<String>,
    pub(super) reason: Option<Reason>,
    pub(super) evidence: Option<Evidence>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StepDoc {
    pub(super) step: String,
    pub(super) at: DateTime,
    pub(super) ms: Option<i64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct VerdictDoc {
    pub(super) outcome: Outcome,
    pub(super) reason: Option<Reason>,
    pub(super) at: DateTime,
    pub(super) attempt: u32,
    pub(super) grading_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IdempotencyDoc {
    pub(super) key: String,
    pub(super) body: String,
}

/// A domain time as it is stored: milliseconds.
pub(super) fn stored(at: OffsetDateTime) -> DateTime {
    DateTime::from_millis(i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX))
}

/// A stored time as the domain has it.
pub(super) fn restored(at: DateTime) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.timestamp_millis()) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

pub(super) fn uuid(id: impl Into<uuid::Uuid>) -> Uuid {
    Uuid::from_bytes(id.into().into_bytes())
}

impl From<SubmissionId> for uuid::Uuid {
    fn from(id: SubmissionId) -> Self {
        id.uuid()
    }
}

impl From<WebhookId> for uuid::Uuid {
    fn from(id: WebhookId) -> Self {
        id.uuid()
    }
}

impl From<WorkerId> for uuid::Uuid {
    fn from(id: WorkerId) -> Self {
        id.uuid()
    }
}

pub(super) fn submission_id(id: Uuid) -> SubmissionId {
    SubmissionId::from(uuid::Uuid::from_bytes(id.bytes()))
}

pub(super) fn worker_id(id: Uuid) -> WorkerId {
    WorkerId::from(uuid::Uuid::from_bytes(id.bytes()))
}

/// What this version cannot read, or, if a newer one wrote it, cannot read yet.
pub(super) fn corrupt(id: Uuid, schema: i32, what: &'static str) -> StoreError {
    let id = id.to_string();
    match schema > SCHEMA {
        true => StoreError::Newer { id, schema },
        false => StoreError::Corrupt { id, what },
    }
}

impl SubmissionDoc {
    pub(super) fn from_domain(submission: &Submission, schema: i32, secret: String) -> Self {
        let life = &submission.life;
        let (step, worker) = step_and_worker(life.state);
        let queued = life.state == State::Queued;
        Self {
            id: uuid(submission.id),
            schema: schema.max(LOWEST),
            event: submission.event.to_string(),
            event_version: submission.event_version,
            participant: ParticipantDoc {
                key: submission.participant.key(),
                name: submission.participant.name.to_string(),
                handle: submission.participant.handle.as_ref().map(ToString::to_string),
                contact: submission.participant.contact.as_ref().map(ToString::to_string),
            },
            place: place_doc(&submission.place),
            images: submission.images.iter().map(image_doc).collect(),
            answers: submission.answers.iter().map(|(k, v)| (k.clone(), v.to_string())).collect(),
            state: life.state.as_str().to_owned(),
            step,
            worker,
            generation: life.generation.0,
            beat: 0,
            lost: life.lost,
            since: stored(life.since),
            deadline: life.deadline.map(stored),
            ready: (queued && submission.delay.is_none()).then_some(true),
            lane: None,
            order: stored(submission.order),
            created_at: stored(submission.created_at),
            updated_at: stored(submission.updated_at),
            revision: submission.revision,
            delay: submission.delay.as_ref().map(delay_doc),
            attempts: submission.attempts.iter().map(attempt_doc).collect(),
            verdict: submission.verdict.as_ref().map(verdict_doc),
            secret,
            idempotency: None,
            hidden_at: submission.marks.hidden.then(|| stored(submission.updated_at)),
            erased_at: submission.marks.erased_at.map(stored),
            trial_of: submission.marks.trial_of.map(uuid),
            trace: submission.marks.trace.clone(),
            regraded: Vec::new(),
        }
    }

    pub(super) fn into_domain(self) -> Result<Submission, StoreError> {
        let life = LifeDoc::from(&self).life()?;
        let (id, schema) = (self.id, self.schema);
        let bad = |what: &'static str| corrupt(id, schema, what);
        Ok(Submission {
            id: submission_id(self.id),
            event: self.event.parse().map_err(|_| bad("event"))?,
            event_version: self.event_version,
            participant: Participant {
                name: self.participant.name.parse().map_err(|_| bad("participant.name"))?,
                handle: optional(self.participant.handle).map_err(|()| bad("handle"))?,
                contact: optional(self.participant.contact).map_err(|()| bad("contact"))?,
            },
            place: Place {
                label: self.place.label.parse().map_err(|_| bad("place.label"))?,
                point: match (self.place.lat, self.place.lng) {
                    (Some(lat), Some(lng)) => {
                        Some(LatLng::new(lat, lng).map_err(|_| bad("place"))?)
                    }
                    _ => None,
                },
                country: self.place.country,
            },
            images: self
                .images
                .into_iter()
                .map(|i| image_from(i).ok_or_else(|| bad("images")))
                .collect::<Result<_, _>>()?,
            answers: self
                .answers
                .into_iter()
                .map(|(k, v)| Ok((k, v.parse().map_err(|_| bad("answers"))?)))
                .collect::<Result<_, StoreError>>()?,
            life,
            created_at: restored(self.created_at),
            updated_at: restored(self.updated_at),
            revision: self.revision,
            order: restored(self.order),
            delay: self.delay.map(|d| Delay { reason: d.reason, next_try: restored(d.next_try) }),
            attempts: self.attempts.into_iter().map(attempt_from).collect(),
            verdict: self.verdict.map(verdict_from),
            marks: Marks {
                hidden: self.hidden_at.is_some(),
                erased_at: self.erased_at.map(restored),
                trial_of: self.trial_of.map(submission_id),
                regraded_at: self
                    .regraded
                    .iter()
                    .filter_map(|r| r.undone_at.max(r.at))
                    .max()
                    .map(restored),
                trace: self.trace,
            },
        })
    }
}

pub(super) fn step_and_worker(state: State) -> (Option<String>, Option<Uuid>) {
    match state {
        State::Grading { worker, step } => (Some(step.as_str().to_owned()), Some(uuid(worker))),
        _ => (None, None),
    }
}

fn optional<T: std::str::FromStr>(text: Option<String>) -> Result<Option<T>, ()> {
    text.map(|t| t.parse().map_err(|_| ())).transpose()
}

pub(super) fn place_doc(place: &Place) -> PlaceDoc {
    PlaceDoc {
        label: place.label.to_string(),
        lat: place.point.map(LatLng::lat),
        lng: place.point.map(LatLng::lng),
        country: place.country.clone(),
    }
}

/// What an image is pinned to, set field by field: what a newer version wrote beside it stays.
pub(super) fn set_pinned(index: usize, image: &SubmittedImage) -> Document {
    let ImageDoc { r#ref: _, digest, platform, size, layers } = image_doc(image);
    let field = |name: &str| format!("images.{index}.{name}");
    doc! {
        field("digest"): digest,
        field("platform"): platform,
        field("size"): size,
        field("layers"): layers,
    }
}

fn image_doc(image: &SubmittedImage) -> ImageDoc {
    let pinned = image.pinned.as_ref();
    ImageDoc {
        r#ref: image.image.as_written().to_owned(),
        digest: pinned.map(|p| p.digest.to_string()),
        platform: pinned.map(|p| p.platform.clone()),
        size: pinned.and_then(|p| i64::try_from(p.size).ok()),
        layers: pinned.map(|p| p.layers),
    }
}

fn image_from(doc: ImageDoc) -> Option<SubmittedImage> {
    let pinned = match doc.digest {
        None => None,
        Some(digest) => Some(Pinned {
            digest: digest.parse::<Digest>().ok()?,
            platform: doc.platform.unwrap_or_default(),
            size: doc.size.map_or(0, i64::unsigned_abs),
            layers: doc.layers.unwrap_or_default(),
        }),
    };
    Some(SubmittedImage { image: doc.r#ref.parse().ok()?, pinned })
}

pub(super) fn delay_doc(delay: &Delay) -> DelayDoc {
    DelayDoc { reason: delay.reason.clone(), next_try: stored(delay.next_try) }
}

pub(super) fn step_doc(step: &StepTime) -> StepDoc {
    StepDoc {
        step: step.step.as_str().to_owned(),
        at: stored(step.at),
        ms: step.ms.and_then(|ms| i64::try_from(ms).ok()),
    }
}

pub(super) fn attempt_doc(attempt: &Attempt) -> AttemptDoc {
    AttemptDoc {
        number: attempt.number,
        worker: uuid(attempt.worker),
        worker_name: attempt.worker_name.clone(),
        node: attempt.node.clone(),
        generation: attempt.generation.0,
        started_at: stored(attempt.started_at),
        ended_at: attempt.ended_at.map(stored),
        steps: attempt.steps.iter().map(step_doc).collect(),
        outcome: attempt.outcome.map(|o| o.as_str().to_owned()),
        reason: attempt.reason.clone(),
        evidence: attempt.evidence.clone(),
    }
}

fn attempt_from(doc: AttemptDoc) -> Attempt {
    let step = |s: StepDoc| {
        Some(StepTime {
            step: Step::from_word(&s.step)?,
            at: restored(s.at),
            ms: s.ms.map(i64::unsigned_abs),
        })
    };
    // An end that is not known is none that a verdict came from.
    let outcome =
        |word: String| AttemptOutcome::from_word(&word).unwrap_or(AttemptOutcome::Released);
    Attempt {
        number: doc.number,
        worker: worker_id(doc.worker),
        worker_name: doc.worker_name,
        node: doc.node,
        generation: Generation(doc.generation),
        started_at: restored(doc.started_at),
        ended_at: doc.ended_at.map(restored),
        steps: doc.steps.into_iter().filter_map(step).collect(),
        outcome: doc.outcome.map(outcome),
        reason: doc.reason,
        evidence: doc.evidence,
    }
}

pub(super) fn verdict_doc(verdict: &Verdict) -> VerdictDoc {
    VerdictDoc {
        outcome: verdict.outcome,
        reason: verdict.reason.clone(),
        at: stored(verdict.at),
        attempt: verdict.attempt,
        grading_ms: i64::try_from(verdict.grading_ms).unwrap_or(i64::MAX),
    }
}

fn verdict_from(doc: VerdictDoc) -> Verdict {
    Verdict {
        outcome: doc.outcome,
        reason: doc.reason,
        at: restored(doc.at),
        attempt: doc.attempt,
        grading_ms: doc.grading_ms.unsigned_abs(),
    }
}
