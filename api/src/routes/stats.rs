//! `GET /api/v1/events/{event}/stats`: the numbers of an event.

use axum::{extract::State, response::Response};
use http::HeaderMap;
use portcall_shared::domain::ids::EventSlug;
use time::OffsetDateTime;

use crate::{
    extract::Id, problem::ApiError, reply::Reply, state::AppState, views::stats::StatsView,
};

/// The numbers of an event.
///
/// # Errors
/// When there is no such event, or the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/events/{event}/stats",
    operation_id = "getStats",
    description = "At most a second old; the times of this event's steps at most ten.",
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
    app.event(&slug).await?;
    let (stats, pace, times) =
        tokio::try_join!(app.stats(&slug), app.pace(), app.step_times(&slug))?;
    let (map, now) = (app.map.summary(&slug), OffsetDateTime::now_utc());
    let view = StatsView::of(slug.as_str(), &stats, map, &pace, &times, now);
    Ok(Reply::ok(view).tagged(&headers))
}
