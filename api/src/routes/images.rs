//! `GET /api/v1/events/{event}/images/check?ref=`: what an image's name stands for, while it is typed.

use axum::{extract::State, response::IntoResponse};
use portcall_shared::domain::ids::EventSlug;
use serde::Deserialize;
use validator::Validate;

use crate::{
    extract::{Id, ValidQuery},
    problem::ApiError,
    reply::Reply,
    state::AppState,
    views::image::ImageNameView,
};

/// Most characters that are looked at. A name is shorter, and told so by its own rules.
const LONGEST: usize = 1000;

/// What is asked for.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ImageQuery {
    /// What has been typed.
    #[serde(rename = "ref")]
    text: String,
}

/// What an image's name stands for, and whether the event takes it.
///
/// # Errors
/// When the query is not valid, there is no such event, or the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/events/{event}/images/check",
    operation_id = "checkImageName",
    description = "For a form that tells while it is typed what a submission with this name would be \
        told: by the same rules, without asking the registry whether there is such an image.",
    params((
        "ref" = String,
        Query,
        description = "What has been typed.",
        max_length = 1000,
        example = "nginx:1.27",
    )),
    responses((status = 200, description = "What it stands for.", body = ImageNameView))
)]
pub async fn check(
    State(app): State<AppState>,
    Id(slug): Id<EventSlug>,
    ValidQuery(query): ValidQuery<ImageQuery>,
) -> Result<impl IntoResponse, ApiError> {
    if query.text.chars().count() > LONGEST {
        let detail = "This is too long for the name of an image.";
        return Err(ApiError::invalid("/ref", "too_long", detail));
    }
    let version = app.event(&slug).await?;
    Ok(Reply::ok(ImageNameView::of(query.text, &version.event)))
}
