//! `GET /api/v1/events/{event}/recent`: the newest pins.

use axum::{extract::State, response::Response};
use http::HeaderMap;
use portcall_shared::domain::ids::EventSlug;
use serde::Deserialize;
use validator::Validate;

use super::number::number;
use crate::{
    extract::{Id, ValidQuery},
    problem::ApiError,
    reply::Reply,
    state::AppState,
    views::map::RecentView,
};

/// What is asked for.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct RecentQuery {
    /// 1 to 50; 20 without it.
    #[validate(length(max = 8, code = "too_long", message = "This is too long for a limit."))]
    limit: Option<String>,
}

/// The newest pins of an event.
///
/// # Errors
/// When the query is not valid, there is no such event, or the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/events/{event}/recent",
    operation_id = "listRecent",
    description = "The newest first, each as the map has it.",
    params((
        "limit" = Option<u32>,
        Query,
        description = "How many at most; 20 without it.",
        minimum = 1,
        maximum = 50,
        example = 20,
    )),
    responses(
        (status = 200, description = "The newest pins.", body = RecentView),
        (status = 304, description = "The client has it already."),
    )
)]
pub async fn list(
    State(app): State<AppState>,
    Id(slug): Id<EventSlug>,
    ValidQuery(query): ValidQuery<RecentQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let limit = number("limit", query.limit.as_deref(), 1..=50, 20)?;
    app.is_event(&slug).await?;
    let newest = app.map.recent(&slug, usize::try_from(limit).unwrap_or_default());
    Ok(Reply::ok(RecentView::of(&newest)).tagged(&headers))
}
