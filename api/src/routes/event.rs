//! `GET /api/v1/events/{event}`: its public rules.

use axum::{extract::State, response::IntoResponse};
use portcall_shared::domain::ids::EventSlug;
use time::OffsetDateTime;

use crate::{
    extract::Id, problem::ApiError, reply::Reply, state::AppState, views::event::EventView,
};

/// An event with its rules.
///
/// # Errors
/// When there is none, or the store cannot say.
pub async fn show(
    State(app): State<AppState>,
    Id(slug): Id<EventSlug>,
) -> Result<impl IntoResponse, ApiError> {
    let event = app.event(&slug).await?;
    Ok(Reply::ok(EventView::of(&event, OffsetDateTime::now_utc())))
}
