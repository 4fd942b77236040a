//! `DELETE /api/v1/submissions/{id}`: a participant takes a submission back.

use axum::extract::State;
use http::{HeaderMap, StatusCode};
use portcall_shared::{
    domain::ids::SubmissionId,
    store::{erasure::Withdrawal, queue::Write},
};
use serde::Deserialize;
use utoipa::IntoParams;
use validator::Validate;

use super::{admin::to_the_end, status};
use crate::{
    auth::bearer,
    extract::{Id, ValidQuery},
    peer::Client,
    problem::ApiError,
    state::AppState,
};

/// How far it is taken back.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TakeBackQuery {
    /// `true`: what is personal is erased, also of one that has not ended. `false`: one that has
    /// ended is left as it is. Without it, one that has ended is erased, another one cancelled.
    #[param(value_type = Option<bool>)]
    erase: Option<String>,
}

/// Cancels a submission that has no verdict yet; takes one that has off the map and erases what is
/// personal in it. For whoever has its secret.
///
/// # Errors
/// When there is no such submission, the secret is not there or not the one, the submission has
/// ended and was only to be cancelled, or the store cannot say.
#[utoipa::path(
    delete,
    path = "/api/v1/submissions/{id}",
    operation_id = "cancelSubmission",
    summary = "Cancels a submission, or erases what is personal in it",
    description = "The bearer token is the secret that came with the answer to the submission. One \
        that has not ended is cancelled. One that has a verdict leaves the map, and names, place, \
        free-text answers, image names and what was seen of them are erased for good; the document \
        stays without them. To ask again is the same.",
    params(TakeBackQuery),
    security(("bearer" = [])),
    responses(
        (status = 204, description = "It is cancelled, or erased."),
        (status = 409, description = "With `erase=false`: it has ended already."),
    )
)]
pub async fn cancel(
    State(app): State<AppState>,
    Id(id): Id<SubmissionId>,
    ValidQuery(query): ValidQuery<TakeBackQuery>,
    client: Client,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let how = query.how()?;
    status::find(&app, id).await?;
    let secret = bearer(&headers).ok_or(ApiError::SecretNeeded)?;
    let of = Some(id.uuid());
    app.rates.failures.check(client, of)?;
    if !app.store.knows_secret(id, secret).await? {
        app.rates.failures.record(client, of)?;
        return Err(ApiError::SecretWrong);
    }
    // Half of an erasure would look like a whole one.
    match to_the_end(async move { Ok(app.store.withdraw(id, how).await?) }).await? {
        Write::Applied => Ok(StatusCode::NO_CONTENT),
        Write::Stale => Err(ApiError::AlreadyFinal),
        Write::Missing => Err(ApiError::NotFound("submission")),
    }
}

impl TakeBackQuery {
    fn how(&self) -> Result<Withdrawal, ApiError> {
        match self.erase.as_deref() {
            None => Ok(Withdrawal::TakeBack),
            Some("true") => Ok(Withdrawal::Erase),
            Some("false") => Ok(Withdrawal::Cancel),
            Some(_) => {
                Err(ApiError::invalid("/erase", "invalid_value", "This is `true` or `false`."))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far() {
        let read = |erase: Option<&str>| TakeBackQuery { erase: erase.map(str::to_owned) }.how();
        assert_eq!(read(None).unwrap(), Withdrawal::TakeBack);
        assert_eq!(read(Some("true")).unwrap(), Withdrawal::Erase);
        assert_eq!(read(Some("false")).unwrap(), Withdrawal::Cancel);
        for bad in ["", "1", "TRUE"] {
            assert_eq!(read(Some(bad)).unwrap_err().code(), "invalid_value", "{bad}");
        }
    }
}
