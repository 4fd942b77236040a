//! Pages of others: nobody's, unless the settings name their origins.
//!
//! An origin is on the list exactly or not at all. Theirs may read and submit, as anybody may with
//! `curl`; nothing here comes with cookies, so there are no credentials to allow. What organisers do
//! is not for pages of others.

use std::{fmt, str::FromStr};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use url::Url;

use crate::state::AppState;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
const ASKED: HeaderValue =
    HeaderValue::from_static("content-type, idempotency-key, if-none-match, last-event-id");
const SHOWN: HeaderValue = HeaderValue::from_static(
    "location, content-location, retry-after, etag, idempotent-replay, duplicate-of, x-request-id",
);
/// How long a browser may remember what it may do, in seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// An origin: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "expected an origin such as https://club.example";
        let url = Url::parse(text).map_err(|_| WRONG)?;
        // A browser writes it in one way only: nothing else would ever match.
        let exact = url.origin().ascii_serialization() == text;
        let web = matches!(url.scheme(), "http" | "https");
        match HeaderValue::from_str(text) {
            Ok(value) if exact && web => Ok(Self(value)),
            _ => Err(WRONG),
        }
    }
}

/// Answers what a browser asks before it lets a page post, and says whose pages may read an answer.
pub async fn share(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let listed = &app.settings.cors_origins;
    if listed.is_empty() || request.uri().path().starts_with("/api/v1/admin") {
        return next.run(request).await;
    }
    let origin = allowed(listed, request.headers());
    let preflight = *request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match (&origin, preflight) {
        (Some(_), true) => preflighted(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, SHOWN);
    }
    response
}

/// The origin of the page that asks, if it is one and on the list.
fn allowed(listed: &[Origin], headers: &HeaderMap) -> Option<HeaderValue> {
    let mut given = headers.get_all(header::ORIGIN).iter();
    let (Some(origin), None) = (given.next(), given.next()) else { return None };
    listed.iter().any(|listed| listed.0 == origin).then(|| origin.clone())
}

fn preflighted() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, ASKED),
        (header::ACCESS_CONTROL_MAX_AGE, REMEMBERED),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://club.example", true)]
    #[case("http://127.0.0.1:8080", true)]
    #[case("https://club.example/", false)]
    #[case("https://club.example:443", false)]
    #[case("https://Club.example", false)]
    #[case("https://club.example/page", false)]
    #[case("https://u@club.example", false)]
    #[case("club.example", false)]
    #[case("*", false)]
    #[case("null", false)]
    #[case("file:///tmp/x", false)]
    fn what_is_an_origin(#[case] text: &str, #[case] good: bool) {
        assert_eq!(text.parse::<Origin>().is_ok(), good);
    }

    #[rstest]
    #[case(&["https://club.example"], true)]
    #[case(&["https://evil.club.example"], false)]
    #[case(&["https://club.example.evil.example"], false)]
    #[case(&["http://club.example"], false)]
    #[case(&["null"], false)]
    #[case(&["https://club.example", "https://evil.example"], false)]
    #[case(&[], false)]
    fn origins_are_compared_whole(#[case] given: &[&'static str], #[case] good: bool) {
        let mut headers = HeaderMap::new();
        for origin in given {
            headers.append(header::ORIGIN, HeaderValue::from_static(origin));
        }
        let listed = ["https://club.example".parse().unwrap()];
        assert_eq!(allowed(&listed, &headers).is_some(), good);
    }
}
