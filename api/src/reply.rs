//! JSON answers.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::{etag, problem::ApiError};

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const GEO_JSON: HeaderValue = HeaderValue::from_static("application/geo+json; charset=utf-8");

/// A value as a JSON answer.
#[derive(Debug)]
pub struct Reply<T> {
    status: StatusCode,
    media_type: HeaderValue,
    value: T,
}

impl<T: Serialize> Reply<T> {
    /// With status 200.
    pub fn ok(value: T) -> Self {
        Self { status: StatusCode::OK, media_type: JSON, value }
    }

    /// With status 201.
    pub fn created(value: T) -> Self {
        Self { status: StatusCode::CREATED, media_type: JSON, value }
    }

    /// With status 202.
    pub fn accepted(value: T) -> Self {
        Self { status: StatusCode::ACCEPTED, media_type: JSON, value }
    }

    /// GeoJSON (RFC 7946), with status 200.
    pub fn geo(value: T) -> Self {
        Self { status: StatusCode::OK, media_type: GEO_JSON, value }
    }

    /// With a tag made of what is in it; 304 if the client has it.
    pub fn tagged(self, headers: &HeaderMap) -> Response {
        let Ok(body) = serde_json::to_vec(&self.value) else { return self.into_response() };
        let tag = etag::of(&body);
        if etag::matches(headers, &tag) {
            return etag::unchanged(&tag);
        }
        etag::tagged(&tag, (self.status, [(header::CONTENT_TYPE, self.media_type)], body))
    }
}

impl<T: Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.value) {
            Ok(body) => {
                (self.status, [(header::CONTENT_TYPE, self.media_type)], body).into_response()
            }
            Err(error) => {
                ApiError::Internal(format!("cannot write the answer: {error}").into(), None)
                    .into_response()
            }
        }
    }
}
