//! `GET /api/v1/submissions/{id}`: where a submission stands.

use axum::{extract::State, response::Response};
use http::HeaderMap;
use portcall_shared::domain::{ids::SubmissionId, submission::Submission};
use time::OffsetDateTime;

use crate::{
    etag,
    extract::Id,
    problem::ApiError,
    reply::Reply,
    state::{AppState, Shared},
    views::{
        moment,
        submission::{QueueView, SubmissionView},
    },
    waiting,
};

/// The document of a submission; 304 if the client has it.
///
/// # Errors
/// When there is no such submission, or the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/submissions/{id}",
    operation_id = "getSubmission",
    summary = "The document of a submission",
    description = "Everything that anybody may know about it; nothing about a person that is not \
        on the pin.",
    responses(
        (status = 200, description = "The document.", body = SubmissionView, links(
            ("event" = (operation_id = "getEvent", parameters(
                ("event" = "$response.body#/event"),
            ))),
            ("live" = (operation_id = "followSubmission", parameters(
                ("id" = "$response.body#/id"),
            ))),
        )),
        (status = 304, description = "The client has it already."),
    )
)]
pub async fn show(
    State(app): State<AppState>,
    Id(id): Id<SubmissionId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let submission = find(&app, id).await?;
    let queue = waiting::place(&app, &submission).await?;
    let tag = tag(&submission, queue, app.away.since());
    if etag::matches(&headers, &tag) {
        return Ok(etag::unchanged(&tag));
    }
    Ok(etag::tagged(&tag, Reply::ok(document(&app, &submission, queue).await?)))
}

/// A submission that must be there; while the store is away, as it is remembered. The trials of re-grades are nobody's.
///
/// # Errors
/// When it is not, or the store cannot say.
pub(super) async fn find(app: &Shared, id: SubmissionId) -> Result<Submission, ApiError> {
    let remembered = || app.lately.get(id).map(|kept| Some((*kept).clone()));
    let found = app.or_remembered(app.store.submission(id), remembered).await?;
    let found = found.filter(|found| found.marks.trial_of.is_none());
    let found = found.ok_or(ApiError::NotFound("submission"))?;
    app.numbers.saw(&found);
    app.lately.asked_for(&found);
    Ok(found)
}

/// The document of a submission with its place in the queue.
///
/// # Errors
/// When the store cannot say.
pub(super) async fn document(
    app: &Shared,
    submission: &Submission,
    queue: Option<QueueView>,
) -> Result<SubmissionView, ApiError> {
    let version = app.event_version_or_seen(&submission.event, submission.event_version).await?;
    let event = version.as_ref().map(|version| &*version.event);
    let mut view = SubmissionView::of(submission, event, queue, &app.settings.public_url);
    view.as_of = app.away.since().map(moment);
    Ok(view)
}

/// What the document depends on: the revision, where it stands in the queue, and as of when it is.
fn tag(submission: &Submission, queue: Option<QueueView>, as_of: Option<OffsetDateTime>) -> String {
    let revision = submission.revision;
    if let Some(at) = as_of {
        return format!("\"{revision}-of-{}\"", at.unix_timestamp());
    }
    match queue {
        None => format!("\"{revision}\""),
        Some(QueueView { position, eta: None, .. }) => format!("\"{revision}-{position}\""),
        Some(QueueView { position, eta: Some(eta), .. }) => {
            format!("\"{revision}-{position}-{}-{}\"", eta.p50_s, eta.p90_s)
        }
    }
}
