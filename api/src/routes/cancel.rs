//! `DELETE /api/v1/submissions/{id}`: a participant takes a submission back.

use axum::extract::State;
use http::{HeaderMap, StatusCode, header};
use portcall_shared::{domain::ids::SubmissionId, store::queue::Write};

use super::status;
use crate::{extract::Id, problem::ApiError, state::AppState};

/// Cancels a submission that has no verdict yet, for whoever has its secret.
///
/// # Errors
/// When there is no such submission, the secret is not there or not the one, the submission has
/// ended, or the store cannot say.
pub async fn cancel(
    State(app): State<AppState>,
    Id(id): Id<SubmissionId>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    status::find(&app, id).await?;
    let secret = bearer(&headers).ok_or(ApiError::SecretNeeded)?;
    if !app.store.knows_secret(id, secret).await? {
        return Err(ApiError::SecretWrong);
    }
    match app.store.cancel(id).await? {
        Write::Applied => Ok(StatusCode::NO_CONTENT),
        Write::Stale => Err(ApiError::AlreadyFinal),
        Write::Missing => Err(ApiError::NotFound("submission")),
    }
}

/// The token of `Authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
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
