//! `/api/v1/admin/…/regrades`: submissions graded anew under the current rules, looked at, and only
//! then taken over.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use portcall_shared::{
    domain::{
        ids::{EventSlug, RegradeId},
        regrade::{MOST, Order, Regrade},
    },
    store::regrades::{NewRegrade, Ordered, UNDER_WAY},
};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;
use validator::Validate;

use super::{note, to_the_end};
use crate::{
    auth::Organiser,
    extract::{Id, Named, ValidJson, ValidQuery},
    problem::ApiError,
    reply::Reply,
    state::{AppState, Shared},
    views::admin::regrades::{MOST_ROWS, RegradeBody, RegradeHead, RegradeView, RegradesView},
};

/// Most re-grades of one list; each is read whole.
const MOST_LISTED: usize = 20;
const WHAT: &str = "re-grade";

impl Named for RegradeId {
    const WHAT: &'static str = WHAT;
}

/// Which rows.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RowsQuery {
    /// The `next` of the rows before.
    #[validate(length(max = 8, code = "too_long", message = "This is too long for a number."))]
    #[param(pattern = "^[0-9]{1,4}$")]
    after: Option<String>,
    /// How many: 1 to 200; 100 without it.
    #[validate(length(max = 8, code = "too_long", message = "This is too long for a number."))]
    #[param(pattern = "^[0-9]{1,3}$")]
    limit: Option<String>,
}

/// Which re-grades.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// The `next` of the ones before.
    #[validate(length(max = 36, code = "too_long", message = "This is too long for an id."))]
    #[param(format = "uuid")]
    before: Option<String>,
}

/// Grades a set of submissions anew, without changing anything about them.
///
/// # Errors
/// When the set is not acceptable, the token does not extend to the event, or the store cannot.
#[utoipa::path(
    post,
    path = "/api/v1/admin/events/{event}/regrades",
    operation_id = "createRegrade",
    description = "Each submission is graded by the current rules as a copy that nobody sees, after \
        what participants send meanwhile. At most 1,000 at once, of those that passed, failed, or are \
        undetermined.",
    request_body = RegradeBody,
    security(("bearer" = [])),
    responses(
        (status = 202, description = "It is under way; `Location` says where to look at it.",
            body = RegradeHead,
            headers(("Location" = String, description = "Where the re-grade is.")),
            links(
                ("preview" = (operation_id = "getRegrade", parameters(
                    ("id" = "$response.body#/id"),
                ))),
                ("apply" = (operation_id = "applyRegrade", parameters(
                    ("id" = "$response.body#/id"),
                ))),
                ("undo" = (operation_id = "undoRegrade", parameters(
                    ("id" = "$response.body#/id"),
                ))),
                ("discard" = (operation_id = "discardRegrade", parameters(
                    ("id" = "$response.body#/id"),
                ))),
            )),
    )
)]
pub async fn create(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(event): Id<EventSlug>,
    ValidJson { value: body, .. }: ValidJson<RegradeBody>,
) -> Result<Response, ApiError> {
    let head = to_the_end(made(app, organiser, event, body)).await?;
    let location = HeaderValue::from_str(&head.link);
    let mut response = Reply::accepted(head).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

async fn made(
    app: AppState,
    organiser: Organiser,
    event: EventSlug,
    body: RegradeBody,
) -> Result<RegradeHead, ApiError> {
    let note = body.note.as_deref().map(note::checked).transpose()?;
    let mut act = organiser.act(&event, "regrade", None, note.clone());
    organiser.may(&app, &act).await?;
    let version = app.event(&event).await?.version;
    let wanted = body.wanted()?;
    // Several at once may each find room; that is a few more, not many.
    if app.store.regrades_under_way(&event).await? >= UNDER_WAY {
        return Err(ApiError::TooManyRegrades);
    }
    let candidates = app.store.regradable(&event, wanted.selection(), MOST + 1).await?;
    wanted.check(&candidates)?;
    let (id, by, note) = (RegradeId::new(), &organiser.0.name, note.as_deref());
    act.detail = json!({ "regrade": id, "version": version, "submissions": candidates.len() });
    let new = NewRegrade { id, event: &event, version, by, note, candidates };
    let regrade = app.store.audited(act, app.store.begin_regrade(new)).await?;
    Ok(RegradeHead::of(&regrade))
}

/// The re-grades of an event, the newest first.
///
/// # Errors
/// When the token does not extend to the event, the query is not valid, or the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/admin/events/{event}/regrades",
    operation_id = "listRegrades",
    description = "The newest first, 20 at once.",
    params(ListQuery),
    security(("bearer" = [])),
    responses((status = 200, description = "Re-grades.", body = RegradesView))
)]
pub async fn list(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(event): Id<EventSlug>,
    ValidQuery(query): ValidQuery<ListQuery>,
) -> Result<impl IntoResponse, ApiError> {
    organiser.of(&event)?;
    let detail = "This is not the id of a re-grade.";
    let before = query.before.as_deref().map(str::parse).transpose();
    let before = before.map_err(|_| ApiError::invalid("/before", "invalid_value", detail))?;
    // One more tells whether there are others.
    let most = i64::try_from(MOST_LISTED + 1).unwrap_or(i64::MAX);
    let mut found = app.store.regrades(&event, before, most).await?;
    let more = found.len() > MOST_LISTED;
    found.truncate(MOST_LISTED);
    let next = found.last().filter(|_| more).map(|last| last.id.to_string());
    let regrades = found.iter().map(RegradeHead::of).collect();
    Ok(Reply::ok(RegradesView { regrades, next }))
}

/// A re-grade with what would change by it.
///
/// # Errors
/// When there is none, or none of an event that the token extends to, or the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/admin/regrades/{id}",
    operation_id = "getRegrade",
    description = "What would change: before, after, and how often. Nothing has changed before it \
        is applied.",
    params(RowsQuery),
    security(("bearer" = [])),
    responses((status = 200, description = "The re-grade.", body = RegradeView))
)]
pub async fn show(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(id): Id<RegradeId>,
    ValidQuery(query): ValidQuery<RowsQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let from = number("/after", query.after.as_deref(), 0, 0..=MOST)?;
    let most = number("/limit", query.limit.as_deref(), MOST_ROWS / 2, 1..=MOST_ROWS)?;
    let regrade = find(&app, &organiser, id).await?;
    view(&app, &regrade, from, most).await
}

/// Takes the new verdicts over.
///
/// # Errors
/// When there is no such re-grade, not all of its trials have ended, it was undone or given up, or
/// the store cannot.
#[utoipa::path(
    post,
    path = "/api/v1/admin/regrades/{id}/apply",
    operation_id = "applyRegrade",
    description = "Every submission whose trial passed or failed gets that verdict; its own stays in \
        its history. What changed since the re-grade was made is left alone and told as `conflict`.",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "It is applied.", body = RegradeView),
        (status = 409, description = "It is not ready, or no longer."),
    )
)]
pub async fn apply(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(id): Id<RegradeId>,
) -> Result<impl IntoResponse, ApiError> {
    to_the_end(ordered(app, organiser, id, Order::Apply)).await
}

/// Puts the old verdicts back.
///
/// # Errors
/// When there is no such re-grade, it was not applied, or the store cannot.
#[utoipa::path(
    post,
    path = "/api/v1/admin/regrades/{id}/undo",
    operation_id = "undoRegrade",
    description = "Where the verdict is still the one of this re-grade. The attempts stay.",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "It is undone.", body = RegradeView),
        (status = 409, description = "It was not applied."),
    )
)]
pub async fn undo(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(id): Id<RegradeId>,
) -> Result<impl IntoResponse, ApiError> {
    to_the_end(ordered(app, organiser, id, Order::Undo)).await
}

/// Gives a re-grade up.
///
/// # Errors
/// When there is no such re-grade, it was applied, or the store cannot.
#[utoipa::path(
    post,
    path = "/api/v1/admin/regrades/{id}/discard",
    operation_id = "discardRegrade",
    description = "What is not graded yet will not be.",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "It is given up.", body = RegradeView),
        (status = 409, description = "It was applied."),
    )
)]
pub async fn discard(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(id): Id<RegradeId>,
) -> Result<impl IntoResponse, ApiError> {
    to_the_end(ordered(app, organiser, id, Order::Discard)).await
}

async fn ordered(
    app: AppState,
    organiser: Organiser,
    id: RegradeId,
    order: Order,
) -> Result<Reply<RegradeView>, ApiError> {
    let event = app.store.event_of_regrade(id).await?.ok_or(ApiError::NotFound(WHAT))?;
    let what = match order {
        Order::Apply => "apply_regrade",
        Order::Undo => "undo_regrade",
        Order::Discard => "discard_regrade",
    };
    let mut act = organiser.act(&event, what, None, None);
    act.detail = json!({ "regrade": id });
    organiser.may(&app, &act).await.map_err(|_| ApiError::NotFound(WHAT))?;
    let regrade = app.store.regrade(id).await?.ok_or(ApiError::NotFound(WHAT))?;
    act.detail = json!({ "regrade": id, "version": regrade.version });
    let work = async {
        match app.store.order_regrade(id, order, &organiser.0.name).await? {
            Ordered::Done(regrade) => Ok(regrade),
            Ordered::Refused(state) => Err(ApiError::RegradeIs(state)),
            Ordered::Missing => Err(ApiError::NotFound(WHAT)),
        }
    };
    let regrade = app.store.audited(act, work).await?;
    view(&app, &regrade, 0, MOST_ROWS / 2).await
}

async fn view(
    app: &Shared,
    regrade: &Regrade,
    from: usize,
    most: usize,
) -> Result<Reply<RegradeView>, ApiError> {
    let rows = app.store.preview(regrade).await?;
    Ok(Reply::ok(RegradeView::of(regrade, &rows, from, most)))
}

/// A re-grade of an event that the token extends to. One of another event is not told from none.
async fn find(app: &Shared, organiser: &Organiser, id: RegradeId) -> Result<Regrade, ApiError> {
    // Looking at one goes on with it, so the event comes first.
    let event = app.store.event_of_regrade(id).await?.ok_or(ApiError::NotFound(WHAT))?;
    organiser.of(&event).map_err(|_| ApiError::NotFound(WHAT))?;
    app.store.regrade(id).await?.ok_or(ApiError::NotFound(WHAT))
}

fn number(
    pointer: &'static str,
    text: Option<&str>,
    without: usize,
    range: std::ops::RangeInclusive<usize>,
) -> Result<usize, ApiError> {
    let Some(text) = text else { return Ok(without) };
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| {
        let detail = format!("This is a whole number from {} to {}.", range.start(), range.end());
        ApiError::invalid(pointer, "invalid_value", detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_ends() {
        let read = |text| number("/limit", text, 100, 1..=MOST_ROWS);
        assert_eq!(read(None).unwrap(), 100);
        assert_eq!((read(Some("1")).unwrap(), read(Some("200")).unwrap()), (1, 200));
        for bad in ["0", "201", "-1", "x", ""] {
            assert_eq!(read(Some(bad)).unwrap_err().code(), "invalid_value", "{bad}");
        }
    }
}
