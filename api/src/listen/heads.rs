//! The head of a request: how long its path may be, how many fields it may have, how large they may
//! be. What hyper reads at most is a little more than that ([`READ`]), so that whoever is slightly
//! above is answered like anybody else; beyond it hyper refuses by itself, and [`answer`] says so in
//! our words.

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::FutureExt as _;
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, Collected};

use crate::{layers, problem::ApiError};

/// Longest path with its query, in bytes.
pub const PATH: usize = 8 * 1024;
/// Largest list of fields: names and values and four bytes each, as HTTP/1.1 writes them.
pub const FIELDS: usize = 32 * 1024;
/// Most fields.
pub const COUNT: usize = 64;
/// How much of a head is read at most.
pub(super) const READ: usize = 48 * 1024;

/// Refuses a head that is too large.
pub async fn limit(request: Request, next: Next) -> Response {
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    if path > PATH {
        return ApiError::PathTooLong.into_response();
    }
    let headers = request.headers();
    if headers.len() > COUNT || size(headers) > FIELDS {
        return ApiError::HeadTooLarge.into_response();
    }
    next.run(request).await
}

fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// Whether so much of a first line, without its end, is that of a path that is too long.
pub(super) fn is_long_path(line: usize) -> bool {
    line > PATH
}

/// What is answered, as it stands on the line, where hyper would answer with a bare status.
pub(super) fn answer(status: u16, long_path: bool, tls: bool) -> Bytes {
    let error = match status {
        414 => ApiError::PathTooLong,
        431 if long_path => ApiError::PathTooLong,
        431 => ApiError::HeadTooLarge,
        _ => ApiError::NotHttp,
    };
    let status = error.status();
    // Neither of these waits for anything: the body is in memory.
    let response = layers::secure(error.into_response()).now_or_never();
    let (mut parts, body) = response.unwrap_or_default().into_parts();
    let body = body.collect().now_or_never().and_then(Result::ok);
    let body = body.map(Collected::to_bytes).unwrap_or_default();
    let headers = &mut parts.headers;
    headers.remove(header::CONNECTION);
    if tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, super::service::HSTS);
    }
    let reason = status.canonical_reason().unwrap_or_default();
    let mut out = format!("HTTP/1.1 {} {reason}\r\nconnection: close\r\n", status.as_u16());
    out.push_str(&format!("content-length: {}\r\n", body.len()));
    let mut out = out.into_bytes();
    for (name, value) in headers.iter().filter(|(name, _)| **name != header::CONTENT_LENGTH) {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&body);
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware, routing::get};
    use rstest::rstest;
    use tower::ServiceExt as _;

    use super::*;

    async fn asked(request: Request) -> u16 {
        let router = Router::new().fallback(get(async || "here")).layer(middleware::from_fn(limit));
        router.oneshot(request).await.unwrap().status().as_u16()
    }

    #[rstest]
    #[case(PATH, 200)]
    #[case(PATH + 1, 414)]
    #[tokio::test]
    async fn paths(#[case] length: usize, #[case] status: u16) {
        let path = format!("/?{}", "x".repeat(length - 2));
        assert_eq!(asked(Request::get(path).body(Body::empty()).unwrap()).await, status);
    }

    #[rstest]
    #[case(COUNT, 200)]
    #[case(COUNT + 1, 431)]
    #[tokio::test]
    async fn numbers_of_fields(#[case] count: usize, #[case] status: u16) {
        // The same name or not: each line counts.
        for same in [true, false] {
            let mut request = Request::get("/");
            for n in 0..count {
                let name = if same { "x-0".to_owned() } else { format!("x-{n}") };
                request = request.header(name, "v");
            }
            assert_eq!(asked(request.body(Body::empty()).unwrap()).await, status, "{same}");
        }
    }

    #[rstest]
    #[case(FIELDS, 200)]
    #[case(FIELDS + 1, 431)]
    #[tokio::test]
    async fn sizes_of_fields(#[case] size: usize, #[case] status: u16) {
        let request = Request::get("/").header("cookie", "x".repeat(size - 10));
        assert_eq!(asked(request.body(Body::empty()).unwrap()).await, status);
    }

    #[rstest]
    #[case(400, false, "400 Bad Request", "not_http")]
    #[case(431, false, "431 Request Header Fields Too Large", "head_too_large")]
    #[case(431, true, "414 URI Too Long", "path_too_long")]
    #[case(414, false, "414 URI Too Long", "path_too_long")]
    fn answers_on_the_line(
        #[case] status: u16,
        #[case] long_path: bool,
        #[case] first: &str,
        #[case] code: &str,
    ) {
        let answer = answer(status, long_path, false);
        let text = std::str::from_utf8(&answer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {first}\r\n")), "{head}");
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{head}");
        for name in ["content-security-policy", "x-content-type-options", "cache-control"] {
            assert_eq!(head.matches(&format!("\r\n{name}: ")).count(), 1, "{head}");
        }
        assert!(head.contains("\r\ncontent-type: application/problem+json\r\n"), "{head}");
        assert!(!head.contains("strict-transport-security"), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["code"], code);
    }
}
