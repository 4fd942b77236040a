//! `GET /api/v1/events/{event}/stats`: the numbers of an event.

use axum::{extract::State, response::IntoResponse};
use portcall_shared::domain::ids::EventSlug;
use time::OffsetDateTime;

use crate::{
    extract::Id, problem::ApiError, reply::Reply, state::AppState, views::stats::StatsView,
};

/// The numbers of an event.
///
/// # Errors
/// When there is no such event, or the store cannot say.
pub async fn show(
    State(app): State<AppState>,
    Id(slug): Id<EventSlug>,
) -> Result<impl IntoResponse, ApiError> {
    app.event(&slug).await?;
    let (stats, pace) = tokio::try_join!(app.stats(&slug), app.pace())?;
    let (map, now) = (app.map.summary(&slug), OffsetDateTime::now_utc());
    Ok(Reply::ok(StatsView::of(slug.as_str(), &stats, map, &pace, now)))
}
