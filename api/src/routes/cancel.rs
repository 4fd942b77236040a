//! `DELETE /api/v1/submissions/{id}`: a participant takes a submission back.

use axum::extract::State;
use http::{HeaderMap, StatusCode};
use portcall_shared::{domain::ids::SubmissionId, store::queue::Write};

use super::status;
use crate::{auth::bearer, extract::Id, problem::ApiError, state::AppState};

/// Cancels a submission that has no verdict yet, for whoever has its secret.
///
/// # Errors
/// When there is no such submission, the secret is not there or not the one, the submission has
/// ended, or the store cannot say.
pub async fn cancel(
    State(app): State<AppState>,
    Id(id): Id<SubmissionId>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    status::find(&app, id).await?;
    let secret = bearer(&headers).ok_or(ApiError::SecretNeeded)?;
    if !app.store.knows_secret(id, secret).await? {
        return Err(ApiError::SecretWrong);
    }
    match app.store.cancel(id).await? {
        Write::Applied => Ok(StatusCode::NO_CONTENT),
        Write::Stale => Err(ApiError::AlreadyFinal),
        Write::Missing => Err(ApiError::NotFound("submission")),
    }
}
