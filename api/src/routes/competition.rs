//! The 2016 contract: `POST /competition`, `GET /competition/{id}`, `GET /competition/stats`.

use axum::{extract::State, response::IntoResponse};
use portcall_shared::domain::ids::{EventSlug, SubmissionId};

use super::status;
use crate::{
    extract::{Id, ValidForm},
    intake::{self, Incoming, Same},
    problem::ApiError,
    reply::Reply,
    state::{AppState, Shared},
    views::{
        competition::{
            CompetitionBody, CompetitionResponse, CompetitionStatsView, CompetitionView, link,
            translated,
        },
        stats::TotalsView,
    },
};

/// Takes a submission in as it was sent in 2016.
///
/// # Errors
/// Why it is not taken in.
#[utoipa::path(
    post,
    path = "/competition",
    operation_id = "submitAsIn2016",
    description = "As JSON or as form fields. It goes to the one event that this Portcall takes \
        such submissions for.",
    request_body(content(
        (CompetitionBody = "application/json"),
        (CompetitionBody = "application/x-www-form-urlencoded"),
    )),
    responses(
        (status = 200, description = "It is accepted.", body = CompetitionResponse),
        (status = 404, description = "This Portcall takes no such submissions."),
        (status = 409, description = "The event takes nothing yet, or nothing any more."),
    )
)]
pub async fn submit(
    State(app): State<AppState>,
    ValidForm(body): ValidForm<CompetitionBody>,
) -> Result<impl IntoResponse, ApiError> {
    let slug = event(&app)?;
    let body = body.today(&app.event(slug).await?.event);
    let incoming = Incoming { event: slug, body: &body, idempotency: None, same: Same::Show };
    let taken = intake::take_in(&app, incoming).await.map_err(|error| match error {
        ApiError::Invalid(errors) => {
            ApiError::Invalid(errors.into_iter().map(translated).collect())
        }
        other => other,
    })?;
    let response = link(&taken.submission, &app.settings.public_url);
    Ok(Reply::ok(CompetitionResponse { response }))
}

/// Where a submission stands.
///
/// # Errors
/// When there is no such submission, or the store cannot say.
#[utoipa::path(
    get,
    path = "/competition/{id}",
    operation_id = "getSubmissionAsIn2016",
    description = "In the words of 2016; `/api/v1/submissions/{id}` tells more.",
    responses((status = 200, description = "The submission.", body = CompetitionView))
)]
pub async fn show(
    State(app): State<AppState>,
    Id(id): Id<SubmissionId>,
) -> Result<impl IntoResponse, ApiError> {
    let submission = status::find(&app, id).await?;
    Ok(Reply::ok(CompetitionView::of(&submission, &app.settings.public_url)))
}

/// The numbers of the event.
///
/// # Errors
/// When there is no such event, or the store cannot say.
#[utoipa::path(
    get,
    path = "/competition/stats",
    operation_id = "getStatsAsIn2016",
    description = "Of the event that such submissions go to.",
    responses(
        (status = 200, description = "The numbers.", body = CompetitionStatsView),
        (status = 404, description = "This Portcall takes no such submissions."),
    )
)]
pub async fn stats(State(app): State<AppState>) -> Result<impl IntoResponse, ApiError> {
    let slug = event(&app)?;
    app.is_event(slug).await?;
    let (stats, map) = (app.numbers.of(slug), app.map.summary(slug));
    Ok(Reply::ok(CompetitionStatsView {
        totals: TotalsView::of(&stats.states),
        participants: stats.participants,
        pins: map.pins,
        places: map.places,
    }))
}

/// The event that the contract is about here.
fn event(app: &Shared) -> Result<&EventSlug, ApiError> {
    app.settings.competition_event.as_ref().ok_or(ApiError::NotFound("event"))
}
