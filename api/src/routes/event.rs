//! `GET /api/v1/events/{event}`: its public rules.

use axum::{extract::State, response::Response};
use http::HeaderMap;
use portcall_shared::domain::ids::EventSlug;
use time::OffsetDateTime;

use crate::{
    extract::Id, problem::ApiError, reply::Reply, state::AppState, views::event::EventView,
};

/// An event with its rules.
///
/// # Errors
/// When there is none, or the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/events/{event}",
    operation_id = "getEvent",
    description = "What it takes, what it asks of participants, what must hold, and how much a \
        submission may use.",
    responses(
        (status = 200, description = "The event.", body = EventView, links(
            ("submit" = (operation_id = "submit", parameters(("event" = "$response.body#/slug")))),
            ("stats" = (operation_id = "getStats", parameters(
                ("event" = "$response.body#/slug"),
            ))),
        )),
        (status = 304, description = "The client has it already."),
    )
)]
pub async fn show(
    State(app): State<AppState>,
    Id(slug): Id<EventSlug>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (event, closing) = tokio::try_join!(app.event_or_seen(&slug), app.closings_or_seen())?;
    let closing = closing.get(slug.as_str());
    let view = EventView::of(&event, closing, OffsetDateTime::now_utc());
    Ok(Reply::ok(view).tagged(&headers))
}
