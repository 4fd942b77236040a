//! What organisers and operators do, under `/api/v1/admin`, each with a bearer token.
//!
//! A token comes before everything else: a request without a good one learns nothing, not even
//! which addresses take what. Acts, which change something, run to their end whether or not whoever
//! asked still waits, and each has a line in the audit log, also one that was not allowed.

pub mod audit;
pub mod doors;
pub mod erase;
pub mod export;
pub mod fleet;
pub mod history;
mod listing;
pub mod me;
pub mod moderation;
mod note;
pub mod regrades;
pub mod rules;
pub mod submissions;
pub mod suspects;
pub mod webhooks;

use portcall_shared::domain::{ids::SubmissionId, submission::Submission};

use crate::{
    auth::Organiser,
    problem::{ApiError, REQUEST_ID},
    state::Shared,
};

/// A submission that the token extends to. Any other is like one that is not there, and so is a
/// trial, which is nobody's.
///
/// # Errors
/// When there is none, or the store cannot say.
async fn own(app: &Shared, by: &Organiser, id: SubmissionId) -> Result<Submission, ApiError> {
    let found = app.store.submission(id).await?;
    let own = |s: &Submission| s.marks.trial_of.is_none() && by.0.role.covers(&s.event);
    found.filter(own).ok_or(ApiError::NotFound("submission"))
}

/// Has something done to its end, in a task of its own: whoever asked may hang up.
///
/// # Errors
/// The work's, or when it ended in a panic.
pub(in crate::routes) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    let request = REQUEST_ID.try_with(|id| *id).unwrap_or_default();
    let done = tokio::spawn(REQUEST_ID.scope(request, work)).await;
    done.unwrap_or_else(|_| Err(ApiError::Internal("an act ended in a panic".into(), None)))
}
