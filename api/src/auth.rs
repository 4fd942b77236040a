//! Who may run an event: the bearer token of an organiser or operator.

use axum::extract::FromRequestParts;
use http::{HeaderMap, header, request::Parts};
use portcall_shared::{
    domain::ids::{EventSlug, SubmissionId},
    store::{
        audit::Act,
        tokens::{self, Token},
    },
};
use uuid::Uuid;

use crate::{
    peer::Client,
    problem::{ApiError, REQUEST_ID, chain},
    state::{AppState, Shared},
};

/// Whoever holds a good token.
#[derive(Clone, Debug)]
pub struct Organiser(pub Token);

impl FromRequestParts<AppState> for Organiser {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let client = parts.extensions.get::<Client>().copied().unwrap_or_default();
        let recognised = recognise(parts, app, client).await;
        if let Err(error) = &recognised
            && error.status().is_client_error()
        {
            note_failure(client, &error.code());
        }
        recognised
    }
}

async fn recognise(parts: &Parts, app: &AppState, client: Client) -> Result<Organiser, ApiError> {
    // Addresses are logged along the way, remembered and passed on; a token that came in one may be
    // good, and must not be taken for something that works.
    if parts.uri.query().is_some_and(has_token) {
        return Err(ApiError::TokenInQuery);
    }
    if !parts.headers.contains_key(header::AUTHORIZATION) {
        return Err(ApiError::TokenNeeded);
    }
    let text = bearer(&parts.headers);
    let named = text.and_then(tokens::named);
    app.rates.failures.check(client, named)?;
    let found = match text.filter(|_| named.is_some()) {
        Some(text) => app.store.token(text).await?,
        None => None,
    };
    if found.is_none() {
        app.rates.failures.record(client, named)?;
    }
    found.map(Organiser).ok_or(ApiError::TokenNeeded)
}

/// One line for each attempt that came to nothing, with nothing of what was sent.
fn note_failure(client: Client, code: &str) {
    let request = REQUEST_ID.try_with(Uuid::to_string).unwrap_or_default();
    let address = client.0;
    tracing::warn!(request.id = request, client.address = %address, code, "no token was accepted");
}

/// Whether a query has a parameter that is meant for a token.
fn has_token(query: &str) -> bool {
    let names = ["token", "access_token"];
    url::form_urlencoded::parse(query.as_bytes())
        .any(|(name, _)| names.iter().any(|token| name.eq_ignore_ascii_case(token)))
}

impl Organiser {
    /// That the token extends to an event.
    ///
    /// # Errors
    /// When it does not.
    pub fn of(&self, event: &EventSlug) -> Result<(), ApiError> {
        if self.0.role.covers(event) { Ok(()) } else { Err(ApiError::NotYours) }
    }

    /// That an act is within what the token extends to. One that is not is noted in the audit log of
    /// its event.
    ///
    /// # Errors
    /// When it is not.
    pub async fn may(&self, app: &Shared, act: &Act<'_>) -> Result<(), ApiError> {
        let Err(refusal) = self.of(act.event) else { return Ok(()) };
        // Nothing that they say is written into another's log, and of events that there are.
        let act = Act { note: None, ..act.clone() };
        if app.is_event(act.event).await.is_ok()
            && app.rates.strayed(self.0.id, act.event, act.what)
            && let Err(error) = app.store.refused_act(&act).await
        {
            tracing::error!(error = chain(&error), "cannot note an act that was refused");
        }
        Err(refusal)
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

/// The token of `Authorization: Bearer …` (RFC 6750 §2.1), if that stands there once.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let value = all.next().filter(|_| all.next().is_none())?.to_str().ok()?;
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
        let mut twice = HeaderMap::new();
        twice.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer abc"));
        assert_eq!(bearer(&twice), Some("abc"));
        twice.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer abc"));
        assert_eq!(bearer(&twice), None);
    }

    #[test]
    fn tokens_in_queries_are_seen() {
        for query in ["token=a", "q=x&access_token=", "%74oken=a", "Token=a", "a&token"] {
            assert!(has_token(query), "{query}");
        }
        for query in ["", "q=token", "tokens=1", "x=access_token"] {
            assert!(!has_token(query), "{query}");
        }
    }
}
