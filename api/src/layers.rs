//! What every request goes through on its way in and every answer on its way out.

use std::{
    any::Any,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::Limited;
use portcall_shared::telemetry::{TRACE_ONLY, traces};
use tracing::{Instrument as _, Span, field};
use uuid::Uuid;

use crate::{
    extract::BodyLimit,
    problem::{ApiError, Logged, REQUEST_ID},
    routes::admin::rules,
    state::AppState,
};

/// How long a request is held while the store does not answer: longer than an election with
/// MongoDB's defaults (12 s), shorter than what balancers and people wait.
pub const HELD: Duration = Duration::from_secs(20);

/// The content security policy of every answer: the page brings everything along, and nothing else
/// runs or is framed.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
    style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; \
    base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'";

const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Headers that every answer carries, problems and panics included.
const SECURITY: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "geolocation=(), camera=(), microphone=()"),
];

/// Puts the security headers on an answer, and forbids to cache it unless the route decided
/// otherwise.
pub async fn secure(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in SECURITY {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Asks whoever keeps a connection to let go of it once the process was told to stop, so that none
/// is cut under a request when it closes.
pub async fn let_go(State(app): State<AppState>, mut response: Response) -> Response {
    if app.stop.told.is_cancelled() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Says of what is answered from memory how old it is, while the store is away.
pub async fn age(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let reads = *request.method() == Method::GET;
    let told = reads && (path.starts_with("/api/v1/") || path.starts_with("/competition/"));
    let mut response = next.run(request).await;
    if told && let Some(since) = app.away.since() {
        let good = response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED;
        let age = (time::OffsetDateTime::now_utc() - since).whole_seconds().max(0);
        if good {
            response.headers_mut().insert(header::AGE, HeaderValue::from(age));
        }
    }
    response
}

/// Ends a request that could not be answered for too long. What it asked of the store goes on in a
/// task of its own, so a repetition with the same `Idempotency-Key` finds what came of it.
pub async fn hold(request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(HELD, next.run(request)).await;
    answer.unwrap_or_else(|_| ApiError::Held(HELD).into_response())
}

/// Gives the request an id of ours, measures it, and writes its one log line.
pub async fn observe(request: Request, next: Next) -> Response {
    let id = Uuid::now_v7();
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_else(|| "unmatched".to_owned());
    let method = request.method().clone();
    let span = span(&request, id, &route);
    let mut response = REQUEST_ID.scope(id, next.run(request).instrument(span.clone())).await;
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    let took = started.elapsed();
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(REQUEST_ID_HEADER, value);
    }
    let labels = [("route", route.clone()), ("status", status.as_u16().to_string())];
    metrics::counter!("portcall_http_requests_total", &labels).increment(1);
    metrics::histogram!("portcall_http_request_duration_seconds", "route" => route.clone())
        .record(took);
    let trace = traces::trace_id(&span);
    let ms = took.as_millis();
    log(&Line { id, trace, method: &method, route: &route, status, ms }, &response);
    response
}

/// What traces show of a request that changes something (the names are those of OpenTelemetry's
/// semantic conventions); reading leaves none.
fn span(request: &Request, id: Uuid, route: &str) -> Span {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return Span::none();
    }
    let span = tracing::info_span!(
        target: TRACE_ONLY,
        "request",
        otel.name = format!("{} {route}", request.method()),
        otel.kind = "server",
        otel.status_code = field::Empty,
        http.request.method = %request.method(),
        http.route = route,
        http.response.status_code = field::Empty,
        request.id = %id,
    );
    let given = request.headers().get(traces::TRACEPARENT).and_then(|value| value.to_str().ok());
    traces::continue_from(&span, given);
    span
}

struct Line<'a> {
    id: Uuid,
    trace: String,
    method: &'a Method,
    route: &'a str,
    status: StatusCode,
    ms: u128,
}

/// Faults of ours are errors, what changes something is worth a line, reading is not.
fn log(line: &Line<'_>, response: &Response) {
    let logged = response.extensions().get::<Logged>();
    let code = logged.map(|l| l.code.as_ref());
    let cause = logged.and_then(|l| l.cause.as_deref());
    let Line { id, trace, method, route, status, ms } = line;
    let trace = (!trace.is_empty()).then_some(trace);
    let (status, ms) = (status.as_u16(), u64::try_from(*ms).unwrap_or(u64::MAX));
    // Method and route are ours or plain ASCII tokens; nothing a stranger wrote stands in the line.
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                request.id = %id, trace.id = trace, http.method = %method, http.route = *route,
                http.status = status, duration_ms = ms, problem.code = code, cause, "request"
            )
        };
    }
    if status >= 500 {
        line!(error);
    } else if **method == Method::POST || **method == Method::DELETE {
        line!(info);
    } else {
        line!(debug);
    }
}

/// The answer after a panic: a plain 500. The text of the panic stays in the log.
pub fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a panic without a text".to_owned(),
    };
    ApiError::Internal(text.into(), None).into_response()
}

/// Refuses a body that says that it is too large, and stops reading one that turns out to be.
pub async fn limit_body(request: Request, next: Next) -> Response {
    let declared = request.headers().get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    let limit = body_limit(&request);
    if declared.is_some_and(|length| length > limit.0 as u64) {
        return ApiError::BodyTooLarge { limit: limit.0 }.into_response();
    }
    let mut request = request.map(|body| Body::new(Limited::new(body, limit.0)));
    request.extensions_mut().insert(limit);
    next.run(request).await
}

/// How much of a body is read: an event file is longer than what participants send.
fn body_limit(request: &Request) -> BodyLimit {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    match (request.method(), route) {
        (&Method::PUT, Some(rules::ADDRESS)) => BodyLimit(rules::BODY_LIMIT),
        _ => BodyLimit::default(),
    }
}
