//! `POST /api/v1/admin/submissions/{id}/…`: what organisers do to one submission. The answer is the
//! submission as it is then.

use axum::{extract::State, response::IntoResponse};
use portcall_shared::{
    domain::ids::SubmissionId,
    store::{Store, moderation::Visibility, queue::Write},
};

use super::{note::Note, own, submissions::document, to_the_end};
use crate::{
    auth::Organiser,
    extract::Id,
    problem::ApiError,
    reply::Reply,
    state::AppState,
    views::admin::{note::NoteBody, submission::AdminSubmissionView},
};

/// Takes the pin of a submission off the map. An earlier success of its participant shows again.
///
/// # Errors
/// When there is no such submission for this token, the note is not acceptable, or the store cannot.
#[utoipa::path(
    post,
    path = "/api/v1/admin/submissions/{id}/hide",
    operation_id = "hideSubmission",
    description = "Takes its pin off the map; an earlier success of its participant shows again. Doing it twice changes nothing.",
    request_body = Option<NoteBody>,
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The submission as it is now.", body = AdminSubmissionView),
    )
)]
pub async fn hide(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(id): Id<SubmissionId>,
    Note(note): Note,
) -> Result<impl IntoResponse, ApiError> {
    change(app, organiser, id, note, Change::Hide).await
}

/// Puts it back.
///
/// # Errors
/// As those of hiding.
#[utoipa::path(
    post,
    path = "/api/v1/admin/submissions/{id}/unhide",
    operation_id = "unhideSubmission",
    summary = "Puts the pin of a hidden submission back",
    description = "Puts its pin back. Doing it twice changes nothing.",
    request_body = Option<NoteBody>,
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The submission as it is now.", body = AdminSubmissionView),
    )
)]
pub async fn unhide(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(id): Id<SubmissionId>,
    Note(note): Note,
) -> Result<impl IntoResponse, ApiError> {
    change(app, organiser, id, note, Change::Unhide).await
}

/// Ends a submission that has no verdict yet, also while it is graded.
///
/// # Errors
/// As those of hiding, and when it has ended already.
#[utoipa::path(
    post,
    path = "/api/v1/admin/submissions/{id}/cancel",
    operation_id = "cancelForOrganisers",
    description = "Ends a submission that has no verdict yet, also while it is graded.",
    request_body = Option<NoteBody>,
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The submission as it is now.", body = AdminSubmissionView),
        (status = 409, description = "It has ended already."),
    )
)]
pub async fn cancel(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(id): Id<SubmissionId>,
    Note(note): Note,
) -> Result<impl IntoResponse, ApiError> {
    change(app, organiser, id, note, Change::Cancel).await
}

/// Has a submission tried again that nobody could determine.
///
/// # Errors
/// As those of hiding, and when it is not undetermined or was erased.
#[utoipa::path(
    post,
    path = "/api/v1/admin/submissions/{id}/requeue",
    operation_id = "requeueSubmission",
    description = "Has a submission tried again that nobody could determine, with all attempts before it.",
    request_body = Option<NoteBody>,
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The submission as it is now.", body = AdminSubmissionView),
        (status = 409, description = "It is not undetermined, or was erased."),
    )
)]
pub async fn requeue(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(id): Id<SubmissionId>,
    Note(note): Note,
) -> Result<impl IntoResponse, ApiError> {
    change(app, organiser, id, note, Change::Requeue).await
}

#[derive(Clone, Copy)]
enum Change {
    Hide,
    Unhide,
    Cancel,
    Requeue,
}

impl Change {
    /// The word for it in the audit log.
    fn word(self) -> &'static str {
        match self {
            Self::Hide => "hide",
            Self::Unhide => "unhide",
            Self::Cancel => "cancel",
            Self::Requeue => "requeue",
        }
    }

    async fn make(self, store: &Store, id: SubmissionId) -> Result<(), ApiError> {
        let (write, stale) = match self {
            Self::Hide => (store.show_as(id, Visibility::Hidden).await?, ApiError::AlreadyFinal),
            Self::Unhide => (store.show_as(id, Visibility::Shown).await?, ApiError::AlreadyFinal),
            Self::Cancel => (store.cancel(id).await?, ApiError::AlreadyFinal),
            Self::Requeue => (store.requeue(id).await?, ApiError::NotUndetermined),
        };
        match write {
            Write::Applied => Ok(()),
            Write::Stale => Err(stale),
            Write::Missing => Err(ApiError::NotFound("submission")),
        }
    }
}

async fn change(
    app: AppState,
    organiser: Organiser,
    id: SubmissionId,
    note: Option<String>,
    change: Change,
) -> Result<Reply<AdminSubmissionView>, ApiError> {
    to_the_end(async move {
        let found = app.store.submission(id).await?;
        let found = found.filter(|found| found.marks.trial_of.is_none());
        let submission = found.ok_or(ApiError::NotFound("submission"))?;
        let act = organiser.act(&submission.event, change.word(), Some(id), note);
        // What is another event's is like what is not there.
        let may = organiser.may(&app, &act).await;
        may.map_err(|error| match error {
            ApiError::NotYours => ApiError::NotFound("submission"),
            other => other,
        })?;
        app.store.audited(act, change.make(&app.store, id)).await?;
        let changed = own(&app, &organiser, id).await?;
        Ok(Reply::ok(document(&app, &changed).await?))
    })
    .await
}
