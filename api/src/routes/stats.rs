//! `GET /api/v1/events/{event}/stats`: the numbers of an event.

use axum::{extract::State, response::Response};
use http::HeaderMap;
use portcall_shared::domain::ids::EventSlug;
use time::OffsetDateTime;

use crate::{
    extract::Id,
    problem::ApiError,
    reply::Reply,
    state::AppState,
    views::{moment, stats::StatsView},
};

/// The numbers of an event.
///
/// # Errors
/// When there is no such event, or the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/events/{event}/stats",
    operation_id = "getStats",
    description = "From memory, as far as this api has heard; the times of this event's steps are at \
        most ten seconds old.",
    responses(
        (status = 200, description = "The numbers.", body = StatsView),
        (status = 304, description = "The client has them already."),
    )
)]
pub async fn show(
    State(app): State<AppState>,
    Id(slug): Id<EventSlug>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    app.is_event(&slug).await?;
    let (pace, times) = tokio::try_join!(app.pace_or_seen(), app.step_times_or_seen(&slug))?;
    let stats = app.numbers.of(&slug);
    let (map, now) = (app.map.summary(&slug), OffsetDateTime::now_utc());
    let mut view = StatsView::of(slug.as_str(), &stats, map, &pace, &times, now);
    view.as_of = app.away.since().map(moment);
    Ok(Reply::ok(view).tagged(&headers))
}
