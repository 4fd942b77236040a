//! `POST /api/v1/events/{event}/submissions`: a participant submits.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use portcall_shared::{domain::ids::EventSlug, store::submissions::Idempotency};
use serde::Deserialize;
use utoipa::IntoParams;
use validator::Validate;

use super::status;
use crate::{
    extract::{Id, ValidJson, ValidQuery},
    intake::{self, Incoming, Origin, Same, TakenIn},
    problem::ApiError,
    reply::Reply,
    state::{AppState, Shared},
    views::{
        submission::{AcceptedView, SubmissionView},
        submit::NewSubmissionBody,
    },
    waiting,
};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAY: HeaderName = HeaderName::from_static("idempotent-replay");
const DUPLICATE: HeaderName = HeaderName::from_static("duplicate-of");
/// Said where an earlier submission is shown.
const NOTE: &str = "This is what you submitted before; nothing new was taken in. POST it with \
                    ?again=true to have it graded again.";
/// Most characters of an `Idempotency-Key`.
const KEY_LIMIT: usize = 64;

/// How a submission is to be taken.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SubmitQuery {
    /// `true`: it is graded even if the same was sent before.
    #[param(value_type = Option<bool>)]
    again: Option<String>,
}

/// Takes a submission in; or shows the one that the participant sent before, if it is the same.
///
/// # Errors
/// Why it is not taken in.
#[utoipa::path(
    post,
    path = "/api/v1/events/{event}/submissions",
    operation_id = "submit",
    summary = "Takes a submission in",
    description = "The images are looked at before the answer, as far as the registry answers in \
        time: what the participant can mend is said at once, with the field. What is accepted is \
        graded in its turn. Send an `Idempotency-Key`, and it is safe to send the same again. Where the \
        participant sent the same before (name, place, answers, images with the same digests, under \
        the same rules), that is shown instead.",
    params(SubmitQuery, (
        "Idempotency-Key" = Option<String>,
        Header,
        description = "Any text of the client's own; the same key with the same body is the same \
            submission, for as long as that is kept.",
        min_length = 1,
        max_length = 64,
        pattern = "^[!-~]+$",
        example = "5c1f0c9e",
    )),
    request_body(content = NewSubmissionBody, description = "What to run, who sends it, and where \
        on the map."),
    responses(
        (
            status = 202,
            description = "It is accepted, or was by an earlier request with this key.",
            body = AcceptedView,
            headers(
                ("Location" = String, description = "The address of the document."),
                (
                    "Idempotent-Replay" = Option<String>,
                    description = "`true` when an earlier request with this key was accepted; \
                        then there is no secret in the answer."
                ),
            ),
            links(
                ("document" = (operation_id = "getSubmission", parameters(
                    ("id" = "$response.body#/id"),
                ))),
                ("live" = (operation_id = "followSubmission", parameters(
                    ("id" = "$response.body#/id"),
                ))),
                ("cancel" = (operation_id = "cancelSubmission", parameters(
                    ("id" = "$response.body#/id"),
                ))),
            )
        ),
        (
            status = 200,
            description = "The same was sent before: this is that, and nothing was taken in. There \
                is no secret in the answer; `note` says how to have it graded again.",
            body = AcceptedView,
            headers(
                ("Location" = String, description = "The address of the document."),
                ("Content-Location" = String, description = "The same."),
                ("Duplicate-Of" = String, description = "The id of the earlier submission."),
            ),
        ),
        (status = 409, description = "The event takes nothing yet, or nothing any more."),
    )
)]
pub async fn submit(
    State(app): State<AppState>,
    Id(event): Id<EventSlug>,
    ValidQuery(query): ValidQuery<SubmitQuery>,
    headers: HeaderMap,
    ValidJson { value: body, digest }: ValidJson<NewSubmissionBody>,
) -> Result<Response, ApiError> {
    let key = idempotency_key(&headers)?;
    let idempotency = key.map(|key| Idempotency { key, body: digest });
    let same = match query.again.as_deref() {
        None | Some("false") => Same::Show,
        Some("true") => Same::Again,
        Some(_) => {
            return Err(ApiError::invalid("/again", "invalid_value", "Say true or false."));
        }
    };
    let incoming = Incoming { event: &event, body: &body, idempotency, same };
    accepted(&app, intake::take_in(&app, incoming).await?).await
}

/// 202 with the document, and where to find it; 200 with an earlier one. The submission is stored by
/// now: an estimate that cannot be made is left out rather than answered with an error.
async fn accepted(app: &Shared, taken: TakenIn) -> Result<Response, ApiError> {
    let TakenIn { submission, event, origin } = taken;
    let queue = waiting::place(app, &submission).await.unwrap_or_default();
    let submission = match &event {
        None => status::document(app, &submission, queue).await?,
        Some(event) => {
            SubmissionView::of(&submission, Some(&event.event), queue, &app.settings.public_url)
        }
    };
    let location = HeaderValue::from_str(&submission.links.document).ok();
    let id = HeaderValue::from_str(&submission.id).ok();
    let (secret, note) = match &origin {
        Origin::New { secret } => (Some(secret.clone()), None),
        Origin::Replayed => (None, None),
        Origin::Earlier => (None, Some(NOTE)),
    };
    let view = AcceptedView { submission, secret, note };
    let mut response = match origin {
        Origin::Earlier => Reply::ok(view).into_response(),
        Origin::New { .. } | Origin::Replayed => Reply::accepted(view).into_response(),
    };
    let headers = response.headers_mut();
    match origin {
        Origin::New { .. } => {}
        Origin::Replayed => drop(headers.insert(REPLAY, HeaderValue::from_static("true"))),
        Origin::Earlier => {
            headers.extend(id.map(|id| (DUPLICATE, id)));
            headers.extend(location.clone().map(|at| (header::CONTENT_LOCATION, at)));
        }
    }
    headers.extend(location.map(|at| (header::LOCATION, at)));
    Ok(response)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut given = headers.get_all(KEY).iter();
    let Some(value) = given.next() else { return Ok(None) };
    let text = value.to_str().map_err(|_| ApiError::KeyInvalid)?;
    let visible = text.bytes().all(|b| b.is_ascii_graphic());
    let good = given.next().is_none() && visible && (1..=KEY_LIMIT).contains(&text.len());
    if good { Ok(Some(text.to_owned())) } else { Err(ApiError::KeyInvalid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idempotency_keys() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(KEY, HeaderValue::from_str(value).unwrap());
            }
            idempotency_key(&headers)
        };
        assert_eq!(read(&[]).unwrap(), None);
        assert_eq!(read(&["a-1"]).unwrap().as_deref(), Some("a-1"));
        assert!(read(&[&"k".repeat(64)]).is_ok());
        for bad in [&["", ""][..], &["a b"], &["a", "b"], &[&"k".repeat(65)], &["ké"]] {
            assert_eq!(read(bad).unwrap_err().code(), "idempotency_key_invalid", "{bad:?}");
        }
    }
}
