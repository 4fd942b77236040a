//! The submission document: everything that anybody may know about a submission.

use std::collections::BTreeMap;

use portcall_shared::{
    domain::{
        event::Event,
        evidence::Evidence,
        place::Place,
        state::State,
        submission::{Attempt, Participant, StepTime, Submission, SubmittedImage},
        verdict::{Outcome, Reason, Verdict},
    },
    store::pins::Pin,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    moment,
    schemas::{AttemptWord, EvidenceSchema, OutcomeWord, ReasonSchema, StateWord, StepWord},
};

/// The document. It holds nothing about a person that is not on the pin.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SubmissionView {
    /// Its id.
    #[schema(format = Uuid)]
    pub id: String,
    /// The event's slug.
    pub event: String,
    /// The event's name for people.
    pub event_title: String,
    /// Where it stands.
    #[schema(value_type = StateWord)]
    pub state: &'static str,
    /// While grading: at what.
    #[schema(value_type = Option<StepWord>)]
    pub step: Option<&'static str>,
    /// When it came.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When anything about it changed last.
    #[schema(format = DateTime)]
    pub updated_at: String,
    /// When something happens at the latest.
    #[schema(format = DateTime)]
    pub deadline: Option<String>,
    /// Whether it has a pin; a later one of the same participant takes its place on the map.
    pub on_map: bool,
    /// Whether organisers keep it off the map.
    pub hidden: bool,
    /// When what is personal in it was erased.
    #[schema(format = DateTime)]
    pub erased_at: Option<String>,
    /// When a re-grade was applied to it, or undone, last.
    #[schema(format = DateTime)]
    pub regraded_at: Option<String>,
    /// While it waits for its turn.
    pub queue: Option<QueueView>,
    /// While it waits for something else.
    pub delayed: Option<DelayedView>,
    /// Who sent it.
    pub participant: ParticipantView,
    /// Where it stands on the map.
    pub place: PlaceView,
    /// What is run.
    pub images: Vec<ImageView>,
    /// The answers to the event's questions.
    pub answers: BTreeMap<String, String>,
    /// How it ended.
    pub verdict: Option<VerdictView>,
    /// Every try.
    pub attempts: Vec<AttemptView>,
    /// Where to find it.
    pub links: LinksView,
    /// There while the store is away: as of when this is.
    #[schema(format = DateTime)]
    pub as_of: Option<String>,
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct QueueView {
    /// From 1.
    pub position: u64,
    /// There if it may be further back than that: so far nobody counts.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub at_least: bool,
    /// Until the verdict; none while nothing has been measured or nobody grades.
    pub eta: Option<EtaView>,
}

/// An estimate in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EtaView {
    /// As likely sooner as later.
    pub p50_s: u64,
    /// Later only one time in ten.
    pub p90_s: u64,
}

/// Why it is not tried before a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DelayedView {
    /// The reason's code.
    pub reason: String,
    /// One plain sentence.
    pub detail: String,
    /// Until when.
    #[schema(format = DateTime)]
    pub next_try: String,
}

/// Who submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ParticipantView {
    /// The name.
    pub name: String,
    /// The handle.
    pub handle: Option<String>,
}

/// Where on the map.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PlaceView {
    /// What people call it.
    pub label: String,
    /// Degrees north.
    #[schema(minimum = -90, maximum = 90)]
    pub lat: Option<f64>,
    /// Degrees east.
    #[schema(minimum = -180, maximum = 180)]
    pub lng: Option<f64>,
    /// The country's code.
    pub country: Option<String>,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ImageView {
    /// As written.
    #[serde(rename = "ref")]
    pub reference: String,
    /// What it stood for: what is run.
    pub digest: Option<String>,
    /// Such as `linux/amd64`.
    pub platform: Option<String>,
    /// Compressed, in bytes.
    pub size: Option<u64>,
    /// What the others reach it by.
    pub alias: Option<String>,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct VerdictView {
    /// How.
    #[schema(value_type = OutcomeWord)]
    pub outcome: Outcome,
    /// Why, unless it passed.
    #[schema(value_type = Option<ReasonSchema>)]
    pub reason: Option<Reason>,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// By which attempt; 0 if there was none.
    pub attempt: u32,
    /// How long that took, in milliseconds.
    pub grading_ms: u64,
}

/// One try.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AttemptView {
    /// From 1.
    pub n: u32,
    /// Who graded.
    pub worker: String,
    /// Where the containers ran.
    pub node: Option<String>,
    /// The fencing number of the lease.
    pub generation: i64,
    /// From when.
    #[schema(format = DateTime)]
    pub started_at: String,
    /// Until when.
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
    /// The steps with their times.
    pub steps: Vec<StepView>,
    /// How it ended.
    #[schema(value_type = Option<AttemptWord>)]
    pub outcome: Option<&'static str>,
    /// Why it did not pass.
    #[schema(value_type = Option<ReasonSchema>)]
    pub reason: Option<Reason>,
    /// What was seen.
    #[schema(value_type = Option<EvidenceSchema>)]
    pub evidence: Option<Evidence>,
}

/// A step's time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct StepView {
    /// Which.
    #[schema(value_type = StepWord)]
    pub step: &'static str,
    /// When it began.
    #[schema(format = DateTime)]
    pub at: String,
    /// How long it took.
    pub ms: Option<u64>,
}

/// Where to find it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LinksView {
    /// This document.
    #[serde(rename = "self")]
    pub document: String,
    /// The same, live.
    pub live: String,
    /// The page for people.
    pub page: String,
}

/// The answer to a POST: the document, and what only the participant gets.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AcceptedView {
    /// The document.
    #[serde(flatten)]
    pub submission: SubmissionView,
    /// With it the participant can cancel. It is shown once: a replayed answer has none.
    pub secret: Option<String>,
    /// Said where an earlier submission is shown instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
}

impl SubmissionView {
    /// The document of a submission; `event` is the version that it is graded by.
    #[must_use]
    pub fn of(
        submission: &Submission,
        event: Option<&Event>,
        queue: Option<QueueView>,
        public_url: &str,
    ) -> Self {
        let step = match submission.life.state {
            State::Grading { step, .. } => Some(step.as_str()),
            _ => None,
        };
        let image = |(index, image)| ImageView::of(image, event.map(|event| event.alias(index)));
        let delayed = submission.delay.as_ref().map(|delay| DelayedView {
            reason: delay.reason.code.clone(),
            detail: delay.reason.message.clone(),
            next_try: moment(delay.next_try),
        });
        Self {
            id: submission.id.to_string(),
            event: submission.event.to_string(),
            event_title: event.map_or_else(|| submission.event.to_string(), |e| e.title.clone()),
            state: submission.life.state.as_str(),
            step,
            created_at: moment(submission.created_at),
            updated_at: moment(submission.updated_at),
            deadline: submission.life.deadline.map(moment),
            on_map: Pin::of(submission).is_some(),
            hidden: submission.marks.hidden,
            erased_at: submission.marks.erased_at.map(moment),
            regraded_at: submission.marks.regraded_at.map(moment),
            queue,
            delayed,
            participant: ParticipantView::of(&submission.participant),
            place: PlaceView::of(&submission.place),
            images: submission.images.iter().enumerate().map(image).collect(),
            answers: submission.answers.iter().map(|(k, v)| (k.clone(), v.to_string())).collect(),
            verdict: submission.verdict.as_ref().map(VerdictView::of),
            attempts: submission.attempts.iter().map(AttemptView::of).collect(),
            links: LinksView {
                document: format!("/api/v1/submissions/{}", submission.id),
                live: format!("/api/v1/submissions/{}/live", submission.id),
                page: format!("{public_url}/submissions/{}", submission.id),
            },
            as_of: None,
        }
    }
}

impl ParticipantView {
    /// What everybody sees of a participant.
    #[must_use]
    pub fn of(participant: &Participant) -> Self {
        Self {
            name: participant.name.to_string(),
            handle: participant.handle.as_ref().map(ToString::to_string),
        }
    }
}

impl PlaceView {
    /// Of a place.
    #[must_use]
    pub fn of(place: &Place) -> Self {
        Self {
            label: place.label.to_string(),
            lat: place.point.map(|p| p.lat()),
            lng: place.point.map(|p| p.lng()),
            country: place.country.clone(),
        }
    }
}

impl ImageView {
    fn of(image: &SubmittedImage, alias: Option<String>) -> Self {
        let pinned = image.pinned.as_ref();
        Self {
            reference: image.image.as_written().to_owned(),
            digest: pinned.map(|p| p.digest.to_string()),
            platform: pinned.map(|p| p.platform.clone()),
            size: pinned.map(|p| p.size),
            alias,
        }
    }
}

impl VerdictView {
    fn of(verdict: &Verdict) -> Self {
        Self {
            outcome: verdict.outcome,
            reason: verdict.reason.clone(),
            at: moment(verdict.at),
            attempt: verdict.attempt,
            grading_ms: verdict.grading_ms,
        }
    }
}

impl AttemptView {
    fn of(attempt: &Attempt) -> Self {
        Self {
            n: attempt.number,
            worker: attempt.worker_name.clone(),
            node: attempt.node.clone(),
            generation: attempt.generation.0,
            started_at: moment(attempt.started_at),
            ended_at: attempt.ended_at.map(moment),
            steps: attempt.steps.iter().map(StepView::of).collect(),
            outcome: attempt.outcome.map(|outcome| outcome.as_str()),
            reason: attempt.reason.clone(),
            evidence: attempt.evidence.clone(),
        }
    }
}

impl StepView {
    fn of(time: &StepTime) -> Self {
        Self { step: time.step.as_str(), at: moment(time.at), ms: time.ms }
    }
}
