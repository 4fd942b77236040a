//! `GET /api/v1/events`: what is on.

use axum::{extract::State, response::Response};
use http::HeaderMap;
use time::OffsetDateTime;

use crate::{problem::ApiError, reply::Reply, state::AppState, views::event::EventsView};

/// Every event, in short.
///
/// # Errors
/// When the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    operation_id = "listEvents",
    description = "Open ones first, then by when they open, the newest first.",
    responses(
        (status = 200, description = "Every event.", body = EventsView, links(
            ("event" = (operation_id = "getEvent", parameters(
                ("event" = "$response.body#/events/0/slug"),
            ))),
            ("pins" = (operation_id = "listPins", parameters(
                ("event" = "$response.body#/events/0/slug"),
            ))),
        )),
        (status = 304, description = "The client has it already."),
    )
)]
pub async fn list(State(app): State<AppState>, headers: HeaderMap) -> Result<Response, ApiError> {
    let (events, closings) = tokio::try_join!(app.events_or_seen(), app.closings_or_seen())?;
    let view = EventsView::of(&events, &closings, OffsetDateTime::now_utc());
    Ok(Reply::ok(view).tagged(&headers))
}
