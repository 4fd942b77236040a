//! `GET /api/v1/admin/fleet`: who grades, on which machines.

use axum::{extract::State, response::IntoResponse};
use time::OffsetDateTime;

use crate::{
    auth::Organiser, problem::ApiError, reply::Reply, state::AppState,
    views::admin::fleet::FleetView,
};

/// Who grades, on which machines.
///
/// # Errors
/// When the token is not a good one, or the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/admin/fleet",
    operation_id = "getFleet",
    description = "Slots, workers and machines, of all events together: they are shared. For any \
        token, so no address of a machine is in it.",
    security(("bearer" = [])),
    responses((status = 200, description = "The fleet.", body = FleetView))
)]
pub async fn show(
    State(app): State<AppState>,
    _organiser: Organiser,
) -> Result<impl IntoResponse, ApiError> {
    let fleet = app.store.fleet().await?;
    Ok(Reply::ok(FleetView::of(&fleet, OffsetDateTime::now_utc())))
}
