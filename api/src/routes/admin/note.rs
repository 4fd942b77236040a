//! What an organiser may say about an act: a body with a note, or no body at all.

use axum::extract::{FromRequest, Request};
use http::header;
use hyper::body::Body as _;
use portcall_shared::domain::text;

use crate::{
    extract::ValidJson, problem::ApiError, views::admin::note::NoteBody, views::submit::refused,
};

/// Most characters of a note.
const LONGEST: usize = 500;

/// Why something is done, if that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note(pub Option<String>);

impl<S: Send + Sync> FromRequest<S> for Note {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let silent = request.body().is_end_stream();
        if silent && !request.headers().contains_key(header::CONTENT_TYPE) {
            return Ok(Self(None));
        }
        let body: ValidJson<NoteBody> = ValidJson::from_request(request, state).await?;
        body.value.note.as_deref().map(checked).transpose().map(Self)
    }
}

/// A note as it may be kept.
///
/// # Errors
/// When it may not.
pub(super) fn checked(note: &str) -> Result<String, ApiError> {
    text::checked(note, LONGEST).map_err(|error| ApiError::Invalid(vec![refused("/note", &error)]))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    async fn read(content_type: Option<&str>, body: &str) -> Result<Option<String>, String> {
        let mut request = Request::post("/");
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let note = Note::from_request(request, &()).await;
        note.map(|note| note.0).map_err(|error| error.code().into_owned())
    }

    #[tokio::test]
    async fn notes() {
        let json = Some("application/json");
        let said = |note: &str| format!("{{\"note\":\"{note}\"}}");
        assert_eq!(read(None, "").await, Ok(None));
        assert_eq!(read(json, "{}").await, Ok(None));
        assert_eq!(read(json, "{\"note\":null}").await, Ok(None));
        assert_eq!(read(json, &said("spam")).await, Ok(Some("spam".to_owned())));
        assert!(read(json, &said(&"é".repeat(500))).await.is_ok());
        // People count one where there are two code points: the document allows for as many as four.
        assert!(read(json, &said(&"x\u{301}".repeat(500))).await.is_ok());
        for (body, code) in [
            (said(&"é".repeat(501)), "too_long"),
            (said(&"x\u{301}".repeat(501)), "too_long"),
            (said(""), "empty"),
            (said("a\\u0000b"), "character_not_allowed"),
            (said("a\\u202eb"), "character_not_allowed"),
            ("{\"why\":\"x\"}".to_owned(), "unknown_field"),
            ("{\"note\":{\"$ne\":1}}".to_owned(), "wrong_type"),
            (String::new(), "json_malformed"),
        ] {
            assert_eq!(read(json, &body).await, Err(code.to_owned()), "{body}");
        }
        assert_eq!(read(None, "{}").await, Err("media_type_unsupported".to_owned()));
    }
}
