//! Entity tags: an answer that a client has already is not sent again.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use portcall_shared::store::submissions::sha256_hex;

/// An answer with its tag. It may be kept, if it is asked for each time whether it still holds.
pub fn tagged(tag: &str, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, tag);
        let kept = HeaderValue::from_static("private, no-cache");
        response.headers_mut().insert(header::CACHE_CONTROL, kept);
    }
    response
}

/// What a client is told that has it already.
#[must_use]
pub fn unchanged(tag: &str) -> Response {
    tagged(tag, StatusCode::NOT_MODIFIED)
}

/// The tag of what has no revision: its bytes tell it.
#[must_use]
pub fn of(bytes: &[u8]) -> String {
    format!("\"{}\"", &sha256_hex(bytes)[..32])
}

/// Whether one of the tags that the client has is this one (RFC 9110 §13.1.2, weak comparison).
#[must_use]
pub fn matches(headers: &HeaderMap, tag: &str) -> bool {
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

    #[test]
    fn equal_bytes_have_equal_tags() {
        assert_eq!(of(b"a"), of(b"a"));
        assert_ne!(of(b"a"), of(b"b"));
        assert!(HeaderValue::from_str(&of(b"a")).is_ok());
        let response = unchanged(&of(b"a"));
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(response.headers()[header::ETAG], of(b"a").as_str());
    }
}
