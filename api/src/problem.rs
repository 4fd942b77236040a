//! What is answered when something is not answered: problem documents (RFC 9457).
//!
//! One error type for every route, one way to a response. Each variant has a stable `code` and a
//! status; a fault in what was sent names the field by JSON pointer. Nothing internal leaves: the
//! cause of a fault of ours travels beside the response to the log line of its request.

use std::{borrow::Cow, error::Error as StdError, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use portcall_shared::{
    domain::verdict::{Limit, ParticipantFault},
    store::{StoreError, submissions::MAX_PENDING},
};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

tokio::task_local! {
    /// The id of the request that this task answers.
    pub(crate) static REQUEST_ID: Uuid;
}

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// One field of what was sent, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where: a JSON pointer into the body; for a query, `/` and the parameter's name.
    pub pointer: String,
    /// The stable code.
    pub code: Cow<'static, str>,
    /// One plain sentence.
    pub detail: String,
    /// What helps to mend it.
    #[serde(flatten)]
    pub help: Option<Box<Help>>,
}

/// What helps to mend a field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Help {
    /// What to try next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The limit that was hit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
}

impl FieldError {
    /// A field's fault.
    pub fn new(
        pointer: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        let (pointer, code, detail) = (pointer.into(), code.into(), detail.into());
        Self { pointer, code, detail, help: None }
    }

    /// A participant's fault at a field.
    #[must_use]
    pub fn of(pointer: impl Into<String>, fault: ParticipantFault) -> Self {
        let help = Help { hint: fault.hint, limit: fault.limit };
        let help = (help != Help::default()).then(|| Box::new(help));
        let (pointer, code) = (pointer.into(), fault.code.as_str().into());
        Self { pointer, code, detail: fault.message, help }
    }

    fn limited(mut self, limit: Limit) -> Self {
        self.help.get_or_insert_default().limit = Some(limit);
        self
    }
}

/// Every way in which a request is not done.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// What was sent cannot be read as what the route takes.
    #[error("the request cannot be read")]
    Malformed(Vec<FieldError>),
    /// What was sent is readable and not acceptable.
    #[error("the request is not acceptable")]
    Invalid(Vec<FieldError>),
    /// There is no such thing.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// There is such a thing, but not with that method.
    #[error("that method is not for this address")]
    MethodNotAllowed,
    /// The body is not of a type that is read here.
    #[error("the body is not of a type that is read here")]
    MediaType,
    /// The body is larger than is read.
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge {
        /// What is read, in bytes.
        limit: usize,
    },
    /// The body did not come in time.
    #[error("the body did not come in time")]
    BodyTooSlow,
    /// The connection broke within the body.
    #[error("the body ended early")]
    BodyBroken,
    /// The event takes nothing yet.
    #[error("the event has not opened")]
    NotYetOpen(OffsetDateTime),
    /// The event takes nothing any more.
    #[error("the event has closed")]
    Closed(OffsetDateTime),
    /// The participant has as many unfinished submissions as one may have.
    #[error("the participant has too many pending submissions")]
    TooManyPending,
    /// An idempotency key came again with another body.
    #[error("the idempotency key came before with another body")]
    KeyReused,
    /// An idempotency key is not one.
    #[error("the idempotency key is not valid")]
    KeyInvalid,
    /// The participant's secret is needed and did not come.
    #[error("the secret is needed")]
    SecretNeeded,
    /// It is not the participant's secret.
    #[error("the secret is not the one of this submission")]
    SecretWrong,
    /// An organiser's token is needed, and none that is good came.
    #[error("a token is needed")]
    TokenNeeded,
    /// The token does not extend to that.
    #[error("the token does not extend to that")]
    NotYours,
    /// It has ended already.
    #[error("the submission has ended already")]
    AlreadyFinal,
    /// As many streams are open as may be.
    #[error("too many live streams are open")]
    TooManyStreams,
    /// The store did not answer.
    #[error("the store did not answer")]
    Unavailable(#[source] StoreError),
    /// There was no answer for as long as a request is held.
    #[error("there was no answer within {} s", .0.as_secs())]
    Held(Duration),
    /// A fault of ours.
    #[error("{0}")]
    Internal(Cow<'static, str>, #[source] Option<StoreError>),
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            // What a newer version wrote is answered by an api of that version.
            StoreError::Driver { .. }
            | StoreError::Timeout { .. }
            | StoreError::Task { .. }
            | StoreError::Newer { .. }
            | StoreError::TooOld { .. }
            | StoreError::Unprepared { .. }
            | StoreError::Behind { .. }
            | StoreError::Restoring => Self::Unavailable(error),
            StoreError::Address(_)
            | StoreError::Corrupt { .. }
            | StoreError::Decode(_)
            | StoreError::Event { .. } => {
                Self::Internal("the store holds something unreadable".into(), Some(error))
            }
        }
    }
}

impl ApiError {
    /// One field cannot be accepted.
    pub fn invalid(
        pointer: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        Self::Invalid(vec![FieldError::new(pointer, code, detail)])
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) | Self::BodyBroken | Self::KeyInvalid => StatusCode::BAD_REQUEST,
            Self::Invalid(_) | Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NotYetOpen(_) | Self::Closed(_) | Self::AlreadyFinal => StatusCode::CONFLICT,
            Self::TooManyPending => StatusCode::TOO_MANY_REQUESTS,
            Self::SecretNeeded | Self::TokenNeeded => StatusCode::UNAUTHORIZED,
            Self::SecretWrong | Self::NotYours => StatusCode::FORBIDDEN,
            Self::TooManyStreams | Self::Unavailable(_) | Self::Held(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal(..) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable code. A request with one kind of fault in its fields has that fault's code.
    #[must_use]
    pub fn code(&self) -> Cow<'static, str> {
        match self {
            Self::Malformed(errors) => only_code(errors).unwrap_or("malformed_request".into()),
            Self::Invalid(errors) => only_code(errors).unwrap_or("invalid_request".into()),
            Self::NotFound(_) => "not_found".into(),
            Self::MethodNotAllowed => "method_not_allowed".into(),
            Self::MediaType => "media_type_unsupported".into(),
            Self::BodyTooLarge { .. } => "body_too_large".into(),
            Self::BodyTooSlow => "body_too_slow".into(),
            Self::BodyBroken => "body_incomplete".into(),
            Self::NotYetOpen(_) => "event_not_open".into(),
            Self::Closed(_) => "event_closed".into(),
            Self::TooManyPending => "too_many_pending".into(),
            Self::KeyReused => "idempotency_key_reused".into(),
            Self::KeyInvalid => "idempotency_key_invalid".into(),
            Self::SecretNeeded => "secret_needed".into(),
            Self::SecretWrong => "secret_wrong".into(),
            Self::TokenNeeded => "token_needed".into(),
            Self::NotYours => "not_yours".into(),
            Self::AlreadyFinal => "already_final".into(),
            Self::TooManyStreams => "too_many_streams".into(),
            Self::Unavailable(_) | Self::Held(_) => "unavailable".into(),
            Self::Internal(..) => "internal".into(),
        }
    }

    /// What happened and what to do, for people.
    fn detail(&self) -> String {
        match self {
            Self::Malformed(errors) | Self::Invalid(errors) => match errors.as_slice() {
                [one] => one.detail.clone(),
                all => format!("{} fields have to be mended; `errors` names each.", all.len()),
            },
            Self::NotFound(what) => format!("There is no such {what} here."),
            Self::MethodNotAllowed => {
                "The `Allow` header lists the methods that this address answers.".into()
            }
            Self::MediaType => {
                "Send the body as `Content-Type: application/json`, in UTF-8, not compressed."
                    .into()
            }
            Self::BodyTooLarge { limit } => format!("At most {limit} bytes of body are read."),
            Self::BodyTooSlow => "Send the whole body within 10 seconds.".into(),
            Self::BodyBroken => "The connection broke before the body was complete.".into(),
            Self::NotYetOpen(opens) => format!("The event opens at {}.", moment(*opens)),
            Self::Closed(closed) => format!("The event closed at {}.", moment(*closed)),
            Self::TooManyPending => format!(
                "{MAX_PENDING} submissions of this participant are not graded yet. Wait for one."
            ),
            Self::KeyReused => "This Idempotency-Key came before with another body. Use a new key \
                                for a new submission."
                .into(),
            Self::KeyInvalid => {
                "An Idempotency-Key has 1 to 64 visible ASCII characters, once.".into()
            }
            Self::SecretNeeded => "Send the secret that came with the answer to the submission: \
                                   `Authorization: Bearer <secret>`."
                .into(),
            Self::SecretWrong => "The secret is not the one of this submission.".into(),
            Self::TokenNeeded => "Send an organiser's token that is good: `Authorization: Bearer \
                                  <token>`. `portcall token create` makes one."
                .into(),
            Self::NotYours => "This token is for another event.".into(),
            Self::AlreadyFinal => {
                "The submission has its verdict; nothing is left to cancel.".into()
            }
            Self::TooManyStreams => {
                "Too many live streams are open here. Ask again later, or poll the document.".into()
            }
            Self::Unavailable(_) | Self::Held(_) => {
                "Portcall cannot reach its store right now. Nothing is lost; try again.".into()
            }
            Self::Internal(..) => {
                "Something went wrong on our side. It is in the log under the request id.".into()
            }
        }
    }

    fn errors(&self) -> Cow<'_, [FieldError]> {
        match self {
            Self::Malformed(errors) | Self::Invalid(errors) => Cow::Borrowed(errors),
            Self::TooManyPending => {
                let limit =
                    Limit::new("pending submissions", u64::from(MAX_PENDING), "submissions");
                let error = FieldError::new("/participant", "too_many_pending", self.detail());
                Cow::Owned(vec![error.limited(limit)])
            }
            _ => Cow::Borrowed(&[]),
        }
    }

    /// When to try again, in seconds, if that is worth saying.
    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::TooManyPending | Self::TooManyStreams => Some(10),
            Self::Unavailable(_) | Self::Held(_) => Some(5),
            _ => None,
        }
    }

    /// For the log line of the request: the whole chain of a fault of ours.
    fn cause(&self) -> Option<String> {
        match self {
            Self::Unavailable(_) | Self::Held(_) | Self::Internal(..) => Some(chain(self)),
            _ => None,
        }
    }
}

/// The code that all of them share, if they do.
fn only_code(errors: &[FieldError]) -> Option<Cow<'static, str>> {
    let (first, rest) = errors.split_first()?;
    rest.iter().all(|e| e.code == first.code).then(|| first.code.clone())
}

fn moment(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_else(|_| at.to_string())
}

/// An error with its sources, as one line.
pub fn chain(error: &dyn StdError) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        line.push_str(": ");
        line.push_str(&error.to_string());
        source = error.source();
    }
    line
}

/// What the log line of a request is told about its problem.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) code: Cow<'static, str>,
    pub(crate) cause: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    code: &'a str,
    detail: String,
    errors: Cow<'a, [FieldError]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<Uuid>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = (self.status(), self.code());
        let document = Document {
            r#type: format!("urn:portcall:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Problem"),
            status: status.as_u16(),
            code: &code,
            detail: self.detail(),
            errors: self.errors(),
            request_id: REQUEST_ID.try_with(|id| *id).ok(),
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        match self {
            Self::SecretNeeded | Self::SecretWrong | Self::TokenNeeded => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            // What was not read would be taken for the next request.
            Self::BodyTooLarge { .. } | Self::BodyTooSlow | Self::BodyBroken => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        let cause = self.cause();
        response.extensions_mut().insert(Logged { code, cause });
        response
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use time::macros::datetime;

    use super::*;

    fn every() -> Vec<ApiError> {
        let field =
            |pointer: &str, code: &'static str| FieldError::new(pointer, code, "A sentence.");
        vec![
            ApiError::Malformed(vec![field("/state", "unknown_field")]),
            ApiError::Invalid(vec![field("/images/0", "image_not_found")]),
            ApiError::Invalid(vec![
                field("/images/0", "image_not_found"),
                field("/place", "empty"),
            ]),
            ApiError::NotFound("event"),
            ApiError::MethodNotAllowed,
            ApiError::MediaType,
            ApiError::BodyTooLarge { limit: 16384 },
            ApiError::BodyTooSlow,
            ApiError::BodyBroken,
            ApiError::NotYetOpen(datetime!(2026-03-20 0:00 UTC)),
            ApiError::Closed(datetime!(2026-03-27 0:00 UTC)),
            ApiError::TooManyPending,
            ApiError::KeyReused,
            ApiError::KeyInvalid,
            ApiError::SecretNeeded,
            ApiError::SecretWrong,
            ApiError::AlreadyFinal,
            ApiError::TooManyStreams,
            ApiError::Unavailable(StoreError::Timeout { doing: "read a submission" }),
            ApiError::Held(Duration::from_secs(20)),
            ApiError::Internal("a secret thing".into(), None),
        ]
    }

    #[tokio::test]
    async fn every_problem_as_it_is_sent() {
        let mut sent = Vec::new();
        for error in every() {
            let response = error.into_response();
            let header =
                |name| response.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
            let retry_after = header(header::RETRY_AFTER);
            assert_eq!(header(header::CONTENT_TYPE).as_deref(), Some(MEDIA_TYPE));
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert!(!body.to_string().contains("secret thing"));
            sent.push(serde_json::json!({ "retry_after": retry_after, "body": body }));
        }
        insta::assert_json_snapshot!(sent);
    }

    #[test]
    fn codes_and_statuses() {
        let table: Vec<(u16, String)> =
            every().iter().map(|e| (e.status().as_u16(), e.code().into_owned())).collect();
        let expected = [
            (400, "unknown_field"),
            (422, "image_not_found"),
            (422, "invalid_request"),
            (404, "not_found"),
            (405, "method_not_allowed"),
            (415, "media_type_unsupported"),
            (413, "body_too_large"),
            (408, "body_too_slow"),
            (400, "body_incomplete"),
            (409, "event_not_open"),
            (409, "event_closed"),
            (429, "too_many_pending"),
            (422, "idempotency_key_reused"),
            (400, "idempotency_key_invalid"),
            (401, "secret_needed"),
            (403, "secret_wrong"),
            (409, "already_final"),
            (503, "too_many_streams"),
            (503, "unavailable"),
            (503, "unavailable"),
            (500, "internal"),
        ];
        let expected: Vec<(u16, String)> =
            expected.iter().map(|(status, code)| (*status, (*code).to_owned())).collect();
        assert_eq!(table, expected);
    }

    #[test]
    fn the_cause_goes_beside_the_answer() {
        let error = ApiError::from(StoreError::Timeout { doing: "read a submission" });
        let response = error.into_response();
        let logged = response.extensions().get::<Logged>().unwrap();
        let cause = logged.cause.as_deref().unwrap();
        assert!(cause.contains("read a submission"), "{cause}");
    }
}
