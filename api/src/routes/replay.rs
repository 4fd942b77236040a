//! `GET /api/v1/events/{event}/replay`: how its pins came along the time.

use axum::{extract::State, response::Response};
use http::{HeaderMap, HeaderValue, header};
use portcall_shared::domain::ids::EventSlug;
use serde::Deserialize;
use validator::Validate;

use super::number::number;
use crate::{
    etag,
    extract::{Id, ValidQuery},
    map::course::MOST_STEPS,
    problem::ApiError,
    state::AppState,
    views::replay::ReplayView,
};

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// What is asked for.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ReplayQuery {
    /// 10 to 600; 240 without it.
    #[validate(length(max = 8, code = "too_long", message = "This is too long for a number."))]
    steps: Option<String>,
}

/// How an event's pins came along the time.
///
/// # Errors
/// When the query is not valid, there is no such event, or the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/events/{event}/replay",
    operation_id = "getReplay",
    description = "Everything that a replay of the event takes: how many pins came when and where, in \
        steps of time and squares of the map that are coarse enough for an answer of at most two \
        megabytes. While pins come it may be a few seconds old.",
    params((
        "steps" = Option<u32>,
        Query,
        description = "Into how many steps the time is cut; 240 without it.",
        minimum = 10,
        maximum = 600,
        example = 240,
    )),
    responses(
        (status = 200, description = "The replay.", body = ReplayView),
        (status = 304, description = "The client has it already."),
    )
)]
pub async fn show(
    State(app): State<AppState>,
    Id(slug): Id<EventSlug>,
    ValidQuery(query): ValidQuery<ReplayQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let steps = number("steps", query.steps.as_deref(), 10..=MOST_STEPS, 240)?;
    app.is_event(&slug).await?;
    let written = app.replays.get(&app, &slug, steps).await?;
    if etag::matches(&headers, &written.tag) {
        return Ok(etag::unchanged(&written.tag));
    }
    Ok(etag::tagged(&written.tag, ([(header::CONTENT_TYPE, JSON)], written.body)))
}
