//! Who may run an event: the bearer token of an organiser or operator.

use axum::extract::FromRequestParts;
use http::{HeaderMap, header, request::Parts};
use portcall_shared::{
    domain::ids::{EventSlug, SubmissionId},
    store::{audit::Act, tokens::Token},
};

use crate::{
    problem::{ApiError, REQUEST_ID},
    state::AppState,
};

/// Whoever holds a good token.
#[derive(Clone, Debug)]
pub struct Organiser(pub Token);

impl FromRequestParts<AppState> for Organiser {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let text = bearer(&parts.headers).ok_or(ApiError::TokenNeeded)?;
        app.store.token(text).await?.map(Self).ok_or(ApiError::TokenNeeded)
    }
}

impl Organiser {
    /// That the token extends to an event.
    ///
    /// # Errors
    /// When it does not.
    pub fn of(&self, event: &EventSlug) -> Result<(), ApiError> {
        if self.0.role.covers(event) { Ok(()) } else { Err(ApiError::NotYours) }
    }

    /// An act of theirs, for the audit log.
    #[must_use]
    pub fn act<'a>(
        &'a self,
        event: &'a EventSlug,
        what: &'static str,
        submission: Option<SubmissionId>,
        note: Option<String>,
    ) -> Act<'a> {
        let request = REQUEST_ID.try_with(|id| *id).ok();
        let detail = serde_json::Value::Null;
        Act { by: &self.0, event, what, submission, note, detail, request }
    }
}

/// The token of `Authorization: Bearer …` (RFC 6750 §2.1).
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && (1..=256).contains(&token.len())).then_some(token)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn bearer_tokens() {
        let read = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(read("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(read("bearer  abc").as_deref(), Some("abc"));
        assert_eq!((read("Basic abc"), read("Bearer "), read("abc")), (None, None, None));
    }
}
