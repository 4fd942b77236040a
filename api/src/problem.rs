//! What is answered when something is not answered: problem documents (RFC 9457).
//!
//! One error type for every route, one way to a response. Each variant has a stable `code` and a
//! status; a fault in what was sent names the field by JSON pointer. Nothing internal leaves: the
//! cause of a fault of ours travels beside the response to the log line of its request.

use std::{borrow::Cow, error::Error as StdError, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use portcall_shared::{
    domain::{
        regrade::RegradeState,
        verdict::{Limit, ParticipantFault},
    },
    store::{StoreError, submissions::MAX_PENDING, webhooks::MOST},
};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    listen::heads::{COUNT, FIELDS, PATH},
    rates::{Refused, Whose},
    views::schemas::LimitSchema,
};

mod words;

tokio::task_local! {
    /// The id of the request that this task answers.
    pub(crate) static REQUEST_ID: Uuid;
}

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// One field of what was sent, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where: a JSON pointer into the body; for a query, `/` and the parameter's name.
    pub pointer: String,
    /// The stable code.
    #[schema(value_type = String, example = "required")]
    pub code: Cow<'static, str>,
    /// One plain sentence.
    pub detail: String,
    /// What helps to mend it.
    #[serde(flatten)]
    #[schema(value_type = Option<Help>)]
    pub help: Option<Box<Help>>,
}

/// What helps to mend a field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Help {
    /// What to try next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The limit that was hit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<LimitSchema>)]
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
    /// The path is longer than is read.
    #[error("the path is longer than {PATH} bytes")]
    PathTooLong,
    /// The head of the request is larger than is read.
    #[error("the head of the request is too large")]
    HeadTooLarge,
    /// What was sent is not HTTP.
    #[error("it is not HTTP")]
    NotHttp,
    /// What was asked for is not told in plain HTTP.
    #[error("HTTPS is required")]
    HttpsRequired,
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
    /// More than one may ask in a while.
    #[error("there are too many {}", .0.whose.what())]
    TooManyRequests(Refused),
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
    /// A token came in the address, where it does not belong.
    #[error("a token came in the query")]
    TokenInQuery,
    /// The token does not extend to that.
    #[error("the token does not extend to that")]
    NotYours,
    /// The organisers closed the event.
    #[error("the organisers closed the event")]
    ClosedByOrganisers(OffsetDateTime),
    /// Only what nobody could determine is tried again.
    #[error("the submission is not undetermined")]
    NotUndetermined,
    /// There is no key to seal secrets with.
    #[error("there is no key to seal secrets with")]
    SealKeyMissing,
    /// The event has as many webhooks as one may have.
    #[error("the event has too many webhooks")]
    TooManyWebhooks,
    /// The webhook is told nothing any more.
    #[error("the webhook is told nothing any more")]
    WebhookDisabled,
    /// The event has as many re-grades under way as one may have.
    #[error("the event has too many re-grades under way")]
    TooManyRegrades,
    /// The event has as many versions of its rules as one may have.
    #[error("the event has {0} versions of its rules")]
    TooManyVersions(i32),
    /// A re-grade is not where that could be done to it.
    #[error("the re-grade is {}", .0.as_str())]
    RegradeIs(RegradeState),
    /// It has ended already.
    #[error("the submission has ended already")]
    AlreadyFinal,
    /// As many streams are open as may be.
    #[error("too many live streams are open")]
    TooManyStreams,
    /// As many streams are open from one address as may be.
    #[error("too many live streams are open from this address")]
    TooManyStreamsHere,
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
            | StoreError::Busy { .. }
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
            Self::Malformed(_) | Self::BodyBroken | Self::KeyInvalid | Self::TokenInQuery => {
                StatusCode::BAD_REQUEST
            }
            Self::Invalid(_) | Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::PathTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::NotHttp => StatusCode::BAD_REQUEST,
            Self::HttpsRequired => StatusCode::FORBIDDEN,
            Self::ClosedByOrganisers(_) | Self::NotUndetermined => StatusCode::CONFLICT,
            Self::SealKeyMissing | Self::TooManyWebhooks | Self::WebhookDisabled => {
                StatusCode::CONFLICT
            }
            Self::TooManyRegrades | Self::TooManyVersions(_) => StatusCode::CONFLICT,
            Self::NotYetOpen(_) | Self::Closed(_) | Self::RegradeIs(_) | Self::AlreadyFinal => {
                StatusCode::CONFLICT
            }
            Self::TooManyPending | Self::TooManyRequests(_) | Self::TooManyStreamsHere => {
                StatusCode::TOO_MANY_REQUESTS
            }
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
            Self::PathTooLong => "path_too_long".into(),
            Self::HeadTooLarge => "head_too_large".into(),
            Self::NotHttp => "not_http".into(),
            Self::HttpsRequired => "https_required".into(),
            Self::BodyBroken => "body_incomplete".into(),
            Self::NotYetOpen(_) => "event_not_open".into(),
            Self::Closed(_) | Self::ClosedByOrganisers(_) => "event_closed".into(),
            Self::TooManyPending => "too_many_pending".into(),
            Self::TooManyRequests(_) => "too_many_requests".into(),
            Self::KeyReused => "idempotency_key_reused".into(),
            Self::KeyInvalid => "idempotency_key_invalid".into(),
            Self::SecretNeeded => "secret_needed".into(),
            Self::SecretWrong => "secret_wrong".into(),
            Self::TokenNeeded => "token_needed".into(),
            Self::TokenInQuery => "token_in_query".into(),
            Self::NotYours => "not_yours".into(),
            Self::NotUndetermined => "not_undetermined".into(),
            Self::SealKeyMissing => "seal_key_missing".into(),
            Self::TooManyWebhooks => "too_many_webhooks".into(),
            Self::WebhookDisabled => "webhook_disabled".into(),
            Self::TooManyRegrades => "too_many_regrades".into(),
            Self::TooManyVersions(_) => "too_many_versions".into(),
            Self::RegradeIs(_) => "regrade_state".into(),
            Self::AlreadyFinal => "already_final".into(),
            Self::TooManyStreams => "too_many_streams".into(),
            Self::TooManyStreamsHere => "too_many_streams_here".into(),
            Self::Unavailable(_) | Self::Held(_) => "unavailable".into(),
            Self::Internal(..) => "internal".into(),
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
            Self::TooManyRequests(Refused { whose, per_minute, .. }) => {
                let limit = Limit::new(whose.what(), u64::from(*per_minute), "a minute");
                let pointer = if *whose == Whose::Participant { "/participant" } else { "" };
                let error = FieldError::new(pointer, whose.code(), self.detail());
                Cow::Owned(vec![error.limited(limit)])
            }
            _ => Cow::Borrowed(&[]),
        }
    }

    /// When to try again, in seconds, if that is worth saying.
    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::TooManyPending | Self::TooManyStreams | Self::TooManyStreamsHere => Some(10),
            // Whole seconds, rounded up: whoever comes back then is let through.
            Self::TooManyRequests(Refused { wait, .. }) => {
                Some(u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1))
            }
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

/// Why a request is not done (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Document<'a> {
    /// The code as a URI.
    #[schema(example = "urn:portcall:problem:not_found")]
    r#type: String,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// The stable code. Programs decide by it.
    #[schema(pattern = "^[a-z_]+(:.+)?$", example = "not_found")]
    code: &'a str,
    /// What happened and what to do, in a sentence for people.
    detail: String,
    /// Every field that has to be mended.
    #[schema(value_type = Vec<FieldError>)]
    errors: Cow<'a, [FieldError]>,
    /// The id of the request, as in `X-Request-Id`; the log has it too.
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

    fn refused(whose: Whose, wait: Duration) -> Refused {
        Refused { whose, per_minute: 6, wait }
    }

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
            ApiError::PathTooLong,
            ApiError::HeadTooLarge,
            ApiError::NotHttp,
            ApiError::HttpsRequired,
            ApiError::BodyBroken,
            ApiError::NotYetOpen(datetime!(2026-03-20 0:00 UTC)),
            ApiError::Closed(datetime!(2026-03-27 0:00 UTC)),
            ApiError::TooManyPending,
            ApiError::TooManyRequests(refused(Whose::Address, Duration::from_millis(1))),
            ApiError::TooManyRequests(refused(Whose::Participant, Duration::from_millis(9_001))),
            ApiError::KeyReused,
            ApiError::KeyInvalid,
            ApiError::SecretNeeded,
            ApiError::SecretWrong,
            ApiError::TokenNeeded,
            ApiError::TokenInQuery,
            ApiError::NotYours,
            ApiError::ClosedByOrganisers(datetime!(2026-03-21 0:00 UTC)),
            ApiError::NotUndetermined,
            ApiError::SealKeyMissing,
            ApiError::TooManyWebhooks,
            ApiError::WebhookDisabled,
            ApiError::TooManyRegrades,
            ApiError::TooManyVersions(500),
            ApiError::RegradeIs(RegradeState::Grading),
            ApiError::AlreadyFinal,
            ApiError::TooManyStreams,
            ApiError::TooManyStreamsHere,
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
            (414, "path_too_long"),
            (431, "head_too_large"),
            (400, "not_http"),
            (403, "https_required"),
            (400, "body_incomplete"),
            (409, "event_not_open"),
            (409, "event_closed"),
            (429, "too_many_pending"),
            (429, "too_many_requests"),
            (429, "too_many_requests"),
            (422, "idempotency_key_reused"),
            (400, "idempotency_key_invalid"),
            (401, "secret_needed"),
            (403, "secret_wrong"),
            (401, "token_needed"),
            (400, "token_in_query"),
            (403, "not_yours"),
            (409, "event_closed"),
            (409, "not_undetermined"),
            (409, "seal_key_missing"),
            (409, "too_many_webhooks"),
            (409, "webhook_disabled"),
            (409, "too_many_regrades"),
            (409, "too_many_versions"),
            (409, "regrade_state"),
            (409, "already_final"),
            (503, "too_many_streams"),
            (429, "too_many_streams_here"),
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
