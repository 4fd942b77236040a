//! `POST /api/v1/admin/submissions/{id}/erase`: for a participant who asks an organiser for it.

use axum::extract::State;
use http::StatusCode;
use portcall_shared::{
    domain::ids::SubmissionId,
    store::{erasure, queue::Write},
};

use super::{note::Note, to_the_end};
use crate::{
    auth::Organiser, extract::Id, problem::ApiError, routes::status, state::AppState,
    views::admin::note::NoteBody,
};

/// Erases what is personal in a submission.
///
/// # Errors
/// When there is no such submission for this token, the note is not acceptable, or the store cannot.
#[utoipa::path(
    post,
    path = "/api/v1/admin/submissions/{id}/erase",
    operation_id = "eraseSubmission",
    description = "One that has not ended is cancelled first. Its state, its times, the codes of its \
        reasons and the digests of its images stay; all else about it is gone for good, the notes about \
        it in the audit log too, except the one of this act: name nobody in that. To ask again is the \
        same.",
    request_body = Option<NoteBody>,
    security(("bearer" = [])),
    responses((status = 204, description = "It is erased."))
)]
pub async fn erase(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(id): Id<SubmissionId>,
    Note(note): Note,
) -> Result<StatusCode, ApiError> {
    to_the_end(erased(app, organiser, id, note)).await
}

async fn erased(
    app: AppState,
    organiser: Organiser,
    id: SubmissionId,
    note: Option<String>,
) -> Result<StatusCode, ApiError> {
    let submission = status::find(&app, id).await?;
    let act = organiser.act(&submission.event, erasure::ACT, Some(id), note);
    organiser.may(&app, &act).await.map_err(|_| ApiError::NotFound("submission"))?;
    match app.store.audited(act, app.store.erase(id)).await? {
        Write::Applied | Write::Stale => Ok(StatusCode::NO_CONTENT),
        Write::Missing => Err(ApiError::NotFound("submission")),
    }
}
