//! `GET /api/v1/submissions/{id}`: where a submission stands.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use portcall_shared::{
    domain::{ids::SubmissionId, submission::Submission},
    store::StoreError,
};

use crate::{
    extract::Id,
    problem::ApiError,
    reply::Reply,
    state::{AppState, Shared},
    views::submission::{QueueView, SubmissionView},
    waiting,
};

/// The document of a submission; 304 if the client has it.
///
/// # Errors
/// When there is no such submission, or the store cannot say.
pub async fn show(
    State(app): State<AppState>,
    Id(id): Id<SubmissionId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let submission = find(&app, id).await?;
    let queue = waiting::place(&app, &submission).await?;
    let tag = tag(&submission, queue);
    let mut response = if matches(&headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Reply::ok(document(&app, &submission, queue).await?).into_response()
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
        // It may be kept, if it is asked for each time whether it still holds.
        let kept = HeaderValue::from_static("private, no-cache");
        response.headers_mut().insert(header::CACHE_CONTROL, kept);
    }
    Ok(response)
}

/// A submission that must be there.
///
/// # Errors
/// When it is not, or the store cannot say.
pub(super) async fn find(app: &Shared, id: SubmissionId) -> Result<Submission, ApiError> {
    app.store.submission(id).await?.ok_or(ApiError::NotFound("submission"))
}

/// The document of a submission with its place in the queue.
///
/// # Errors
/// When the store cannot say.
pub(super) async fn document(
    app: &Shared,
    submission: &Submission,
    queue: Option<QueueView>,
) -> Result<SubmissionView, StoreError> {
    let version = app.event_version(&submission.event, submission.event_version).await?;
    let event = version.as_ref().map(|version| &*version.event);
    Ok(SubmissionView::of(submission, event, queue, &app.settings.public_url))
}

/// What the document depends on: the revision, and where it stands in the queue.
fn tag(submission: &Submission, queue: Option<QueueView>) -> String {
    let revision = submission.revision;
    match queue {
        None => format!("\"{revision}\""),
        Some(QueueView { position, eta: None }) => format!("\"{revision}-{position}\""),
        Some(QueueView { position, eta: Some(eta) }) => {
            format!("\"{revision}-{position}-{}-{}\"", eta.p50_s, eta.p90_s)
        }
    }
}

/// Whether one of the tags that the client has is this one (RFC 9110 §13.1.2, weak comparison).
fn matches(headers: &HeaderMap, tag: &str) -> bool {
    let given = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    given
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared() {
        let given = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static(value));
            matches(&headers, "\"3-1\"")
        };
        assert!(given("\"3-1\"") && given("W/\"3-1\"") && given("\"2\", \"3-1\"") && given("*"));
        assert!(!given("\"3\"") && !given("3-1") && !matches(&HeaderMap::new(), "\"3-1\""));
    }
}
