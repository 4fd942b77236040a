//! `GET /api/v1/events`: what is on.

use axum::{extract::State, response::IntoResponse};
use time::OffsetDateTime;

use crate::{problem::ApiError, reply::Reply, state::AppState, views::event::EventsView};

/// Every event, in short.
///
/// # Errors
/// When the store cannot say.
pub async fn list(State(app): State<AppState>) -> Result<impl IntoResponse, ApiError> {
    let events = app.store.events().await?;
    Ok(Reply::ok(EventsView::of(&events, OffsetDateTime::now_utc())))
}
