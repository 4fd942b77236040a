//! `GET /api/v1/admin/events/{event}/history`: what came and what was judged, along the time.

use axum::{extract::State, response::IntoResponse};
use portcall_shared::{domain::ids::EventSlug, store::history::Span};
use serde::Deserialize;
use time::OffsetDateTime;
use validator::Validate;

use crate::{
    auth::Organiser,
    extract::{Id, ValidQuery},
    problem::ApiError,
    reply::Reply,
    routes::number::number,
    state::AppState,
    views::admin::history::HistoryView,
};

/// Which times are asked for.
#[derive(Debug, Deserialize, Validate, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// How long a step is, in seconds: 60 to 86,400; 3,600 without it.
    #[validate(length(max = 8, code = "too_long", message = "This is too long for a number."))]
    #[param(value_type = Option<u32>, minimum = 60, maximum = 86_400)]
    step_s: Option<String>,
    /// How many steps: 1 to 200; 48 without it.
    #[validate(length(max = 8, code = "too_long", message = "This is too long for a number."))]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    buckets: Option<String>,
}

/// An event along the time.
///
/// # Errors
/// When the token does not extend to the event, the query is not valid, there is no such event, or
/// the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/admin/events/{event}/history",
    operation_id = "getHistory",
    description = "How many submissions came and how many were judged, and how, in each of the last \
        steps of time; the last of them is the one that is under way. Counted by the verdict that a \
        submission has now: one that is tried again leaves the step of its old one.",
    params(HistoryQuery),
    security(("bearer" = [])),
    responses((status = 200, description = "The steps.", body = HistoryView))
)]
pub async fn show(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(event): Id<EventSlug>,
    ValidQuery(query): ValidQuery<HistoryQuery>,
) -> Result<impl IntoResponse, ApiError> {
    organiser.of(&event)?;
    let step_s = number("step_s", query.step_s.as_deref(), 60..=86_400, 3_600)?;
    let buckets = number("buckets", query.buckets.as_deref(), 1..=200, 48)?;
    app.is_event(&event).await?;
    let span = Span::until(OffsetDateTime::now_utc(), step_s, buckets);
    let all = app.store.history(&event, span).await?;
    Ok(Reply::ok(HistoryView::of(&event, step_s, span, all)))
}
