//! Submissions as organisers see them.

use portcall_shared::{domain::submission::Submission, store::audit::AuditLine};
use serde::Serialize;

use super::audit::AuditView;
use crate::views::{
    moment,
    schemas::StateWord,
    submission::{ParticipantView, PlaceView, SubmissionView},
};

/// Submissions in short, the newest first.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct FoundPageView {
    /// Those of this page.
    pub items: Vec<FoundView>,
    /// What to ask for as `after` to go on, if there is more.
    pub next: Option<String>,
}

/// A submission in short.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct FoundView {
    /// Its id.
    pub id: uuid::Uuid,
    /// Where it stands.
    #[schema(value_type = StateWord)]
    pub state: &'static str,
    /// The code of the reason why it did not pass.
    pub reason: Option<String>,
    /// When it came.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When anything about it changed last.
    #[schema(format = DateTime)]
    pub updated_at: String,
    /// The version of the rules that it is graded by.
    pub event_version: i32,
    /// Who sent it.
    pub participant: ParticipantView,
    /// Where it stands on the map.
    pub place: PlaceView,
    /// What is run, as written.
    pub images: Vec<String>,
    /// Whether an organiser took its pin off the map.
    pub hidden: bool,
    /// When the participant had what is personal in it erased.
    #[schema(format = DateTime)]
    pub erased_at: Option<String>,
}

/// A submission, whole: what everybody sees, and what only organisers do.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct WholeView {
    /// What everybody sees.
    #[serde(flatten)]
    pub submission: SubmissionView,
    /// The version of the rules that it is graded by.
    pub event_version: i32,
    /// How the participant may be reached.
    pub contact: Option<String>,
    /// Counts its changes.
    pub revision: i64,
}

/// A submission, whole, and what was done to it.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct AdminSubmissionView {
    /// It.
    #[serde(flatten)]
    pub whole: WholeView,
    /// What organisers did to it, the newest first, at most a hundred.
    pub audit: Vec<AuditView>,
}

impl FoundPageView {
    /// Of these.
    #[must_use]
    pub fn of(found: &[Submission], next: Option<String>) -> Self {
        Self { items: found.iter().map(FoundView::of).collect(), next }
    }
}

impl FoundView {
    fn of(submission: &Submission) -> Self {
        let verdict = submission.verdict.as_ref();
        let image = |image: &portcall_shared::domain::submission::SubmittedImage| {
            image.image.as_written().to_owned()
        };
        Self {
            id: submission.id.uuid(),
            state: submission.life.state.as_str(),
            reason: verdict.and_then(|v| v.reason.as_ref()).map(|reason| reason.code.clone()),
            created_at: moment(submission.created_at),
            updated_at: moment(submission.updated_at),
            event_version: submission.event_version,
            participant: ParticipantView::of(&submission.participant),
            place: PlaceView::of(&submission.place),
            images: submission.images.iter().map(image).collect(),
            hidden: submission.marks.hidden,
            erased_at: submission.marks.erased_at.map(moment),
        }
    }
}

impl WholeView {
    /// Of a submission, with what everybody sees of it.
    #[must_use]
    pub fn of(submission: &Submission, public: SubmissionView) -> Self {
        let contact = submission.participant.contact.as_ref();
        Self {
            submission: public,
            event_version: submission.event_version,
            contact: contact.map(ToString::to_string),
            revision: submission.revision,
        }
    }
}

impl AdminSubmissionView {
    /// Of a submission, with its lines of the audit log.
    #[must_use]
    pub fn of(whole: WholeView, lines: &[AuditLine]) -> Self {
        Self { whole, audit: lines.iter().map(AuditView::of).collect() }
    }
}
