//! `GET /api/v1/admin/events/{event}/audit`: who did what.

use axum::{extract::State, response::IntoResponse};
use portcall_shared::domain::ids::EventSlug;
use serde::Deserialize;
use validator::Validate;

use super::listing;
use crate::{
    auth::Organiser,
    extract::{Id, ValidQuery},
    problem::ApiError,
    reply::Reply,
    state::AppState,
    views::admin::audit::{AuditPageView, AuditView},
};

/// Which lines are asked for.
#[derive(Debug, Deserialize, Validate, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// The `next` of the page before.
    #[validate(length(max = 100, code = "too_long", message = "This is too long for a cursor."))]
    #[param(max_length = 100)]
    before: Option<String>,
    /// 1 to 200; 50 without it.
    #[validate(length(max = 8, code = "too_long", message = "This is too long for a limit."))]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
}

/// The audit log of an event, the newest line first.
///
/// # Errors
/// When the token does not extend to the event, the query is not valid, there is no such event, or
/// the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/admin/events/{event}/audit",
    operation_id = "listAudit",
    description = "Every act of an organiser or operator, also those that were refused or failed.",
    params(AuditQuery),
    security(("bearer" = [])),
    responses((status = 200, description = "Lines of the log.", body = AuditPageView))
)]
pub async fn list(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(event): Id<EventSlug>,
    ValidQuery(query): ValidQuery<AuditQuery>,
) -> Result<impl IntoResponse, ApiError> {
    organiser.of(&event)?;
    let before = listing::behind("/before", query.before.as_deref())?;
    let length = listing::length(query.limit.as_deref())?;
    app.is_event(&event).await?;
    // One more, to know whether there is one.
    let mut lines = app.store.audit_lines(&event, None, before, i64::from(length) + 1).await?;
    let wanted = usize::try_from(length).unwrap_or(usize::MAX);
    let more = lines.len() > wanted;
    lines.truncate(wanted);
    let next = lines.last().filter(|_| more).map(|line| listing::cursor(line.id));
    Ok(Reply::ok(AuditPageView { items: lines.iter().map(AuditView::of).collect(), next }))
}
