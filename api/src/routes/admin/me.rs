//! `GET /api/v1/admin/me`: what a token is.

use axum::response::IntoResponse;

use crate::{auth::Organiser, problem::ApiError, reply::Reply, views::admin::me::MeView};

/// Whose the token is and what it allows.
///
/// # Errors
/// When it is not a good one, or the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/admin/me",
    operation_id = "getToken",
    description = "Whose it is, and whether it is for one event or for all.",
    security(("bearer" = [])),
    responses((status = 200, description = "The token.", body = MeView))
)]
pub async fn show(organiser: Organiser) -> Result<impl IntoResponse, ApiError> {
    Ok(Reply::ok(MeView::of(&organiser.0)))
}
