//! `POST /api/v1/events/{event}/submissions`: a participant submits.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use portcall_shared::{domain::ids::EventSlug, store::submissions::Idempotency};

use super::status;
use crate::{
    extract::{Id, ValidJson},
    intake::{self, Incoming, TakenIn},
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
/// Most characters of an `Idempotency-Key`.
const KEY_LIMIT: usize = 64;

/// Takes a submission in.
///
/// # Errors
/// Why it is not taken in.
pub async fn submit(
    State(app): State<AppState>,
    Id(event): Id<EventSlug>,
    headers: HeaderMap,
    ValidJson { value: body, digest }: ValidJson<NewSubmissionBody>,
) -> Result<Response, ApiError> {
    let key = idempotency_key(&headers)?;
    let idempotency = key.map(|key| Idempotency { key, body: digest });
    let incoming = Incoming { event: &event, body: &body, idempotency };
    accepted(&app, intake::take_in(&app, incoming).await?).await
}

/// 202 with the document, and where to find it. The submission is stored by now: an estimate that
/// cannot be made is left out rather than answered with an error.
async fn accepted(app: &Shared, taken: TakenIn) -> Result<Response, ApiError> {
    let TakenIn { submission, event, secret } = taken;
    let queue = waiting::place(app, &submission).await.unwrap_or_default();
    let replayed = secret.is_none();
    let submission = match &event {
        None => status::document(app, &submission, queue).await?,
        Some(event) => {
            SubmissionView::of(&submission, Some(&event.event), queue, &app.settings.public_url)
        }
    };
    let location = HeaderValue::from_str(&submission.links.document);
    let mut response = Reply::accepted(AcceptedView { submission, secret }).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if replayed {
        response.headers_mut().insert(REPLAY, HeaderValue::from_static("true"));
    }
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
