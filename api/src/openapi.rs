//! The document that describes the api (OpenAPI 3.1).
//!
//! Nobody writes it: an address gets into the router and into the document by the same line of the
//! table ([`crate::router`]), and what stands there comes from the `#[utoipa::path]` of its handler
//! and the types that it reads and answers. What all operations have in common, such as the answers
//! to requests that are refused before a handler sees them, is added in [`finish`].

mod finish;

use std::sync::LazyLock;

use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;

use crate::{etag, router};

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

struct Described {
    document: Value,
    written: Bytes,
    tag: String,
}

static DESCRIBED: LazyLock<Described> = LazyLock::new(|| {
    let table = router::table().into_openapi();
    // Neither can fail: all keys are texts, and nothing in it writes itself.
    let mut document = serde_json::to_value(&table).unwrap_or_default();
    finish::finish(&mut document);
    let written = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
    let tag = etag::of(&written);
    Described { document, written, tag }
});

/// The document.
#[must_use]
pub fn document() -> &'static Value {
    &DESCRIBED.document
}

/// `GET /openapi.json`; 304 if the client has it.
pub async fn show(headers: HeaderMap) -> Response {
    if etag::matches(&headers, &DESCRIBED.tag) {
        return etag::unchanged(&DESCRIBED.tag);
    }
    let answer = ([(header::CONTENT_TYPE, JSON)], DESCRIBED.written.clone());
    etag::tagged(&DESCRIBED.tag, answer)
}

#[cfg(test)]
mod tests;
