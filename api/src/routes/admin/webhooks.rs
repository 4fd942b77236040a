//! `/api/v1/admin/events/{event}/webhooks` and `/api/v1/admin/webhooks/{id}`: where organisers want to
//! be told, and what was told to them.

use axum::{extract::State, response::IntoResponse};
use http::StatusCode;
use portcall_shared::{
    domain::ids::{EventSlug, WebhookId},
    outbound::Target,
    store::{
        audit::Act,
        deliveries::NewDelivery,
        webhooks::{Made, Webhook},
    },
};
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;
use utoipa::IntoParams;
use uuid::Uuid;
use validator::Validate;

use super::to_the_end;
use crate::{
    auth::Organiser,
    extract::{Id, ValidJson, ValidQuery},
    problem::ApiError,
    reply::Reply,
    state::{AppState, Shared},
    views::admin::webhooks::{
        DeliveriesView, NewWebhookBody, NewWebhookView, PingView, WebhookView, WebhooksView,
        bad_host, bad_url, place,
    },
    webhooks::{PING, purpose, sign},
};

/// The acts.
const CREATE: &str = "create_webhook";
const DELETE: &str = "delete_webhook";
const PING_IT: &str = "ping_webhook";
/// Most deliveries of a page, and how many come without a limit.
const PAGE: (i64, i64) = (100, 50);

/// The webhooks of an event.
///
/// # Errors
/// When the token is not for it, there is no such event, or the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/admin/events/{event}/webhooks",
    operation_id = "listWebhooks",
    description = "Without their secrets.",
    responses((status = 200, description = "Webhooks.", body = WebhooksView))
)]
pub async fn list(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(event): Id<EventSlug>,
) -> Result<impl IntoResponse, ApiError> {
    organiser.of(&event)?;
    app.event(&event).await?;
    let webhooks = app.store.webhooks(&event).await?.iter().map(WebhookView::of).collect();
    Ok(Reply::ok(WebhooksView { webhooks }))
}

/// Makes a webhook. The secret in the answer is not shown again.
///
/// # Errors
/// When the token is not for the event, there is no such event, the address is not one that may be
/// called, the event has as many as one may have, or there is no key to seal the secret with.
#[utoipa::path(
    post,
    path = "/api/v1/admin/events/{event}/webhooks",
    operation_id = "createWebhook",
    description = "What it is told is signed with that secret.",
    request_body = NewWebhookBody,
    responses(
        (status = 201, description = "It is made.", body = NewWebhookView, links(
            ("webhook" = (operation_id = "getWebhook", parameters(
                ("id" = "$response.body#/id"),
            ))),
            ("ping" = (operation_id = "pingWebhook", parameters(("id" = "$response.body#/id")))),
            ("deliveries" = (operation_id = "listDeliveries", parameters(
                ("id" = "$response.body#/id"),
            ))),
            ("delete" = (operation_id = "deleteWebhook", parameters(
                ("id" = "$response.body#/id"),
            ))),
        )),
        (status = 409, description = "The event has as many as one may have, or this Portcall has \
            no key to seal the secret with."),
    )
)]
pub async fn create(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(event): Id<EventSlug>,
    ValidJson { value: body, .. }: ValidJson<NewWebhookBody>,
) -> Result<impl IntoResponse, ApiError> {
    to_the_end(async move {
        organiser.may(&app, &organiser.act(&event, CREATE, None, None)).await?;
        app.event(&event).await?;
        let (webhook, secret) = new(&app, &organiser, event, body).await?;
        let store = async {
            match app.store.create_webhook(&webhook).await? {
                Made::Stored => Ok(()),
                Made::TooMany => Err(ApiError::TooManyWebhooks),
            }
        };
        app.store.audited(act(&organiser, CREATE, &webhook), store).await?;
        Ok(Reply::created(NewWebhookView { webhook: WebhookView::of(&webhook), secret }))
    })
    .await
}

/// What is wished for, checked; beside it the secret.
async fn new(
    app: &Shared,
    organiser: &Organiser,
    event: EventSlug,
    body: NewWebhookBody,
) -> Result<(Webhook, String), ApiError> {
    let topics = body.topics();
    let target = Target::parse(&body.url, &app.settings.private_webhooks);
    let (on, target) = match (topics, target) {
        (Ok(on), Ok(target)) => (on, target),
        (topics, target) => {
            let mut errors = topics.err().unwrap_or_default();
            errors.extend(target.err().map(bad_url));
            return Err(ApiError::Invalid(errors));
        }
    };
    let sealer = app.settings.sealer.as_ref().ok_or(ApiError::SealKeyMissing)?;
    let checked = app.webhooks.outbound.check(&target).await;
    checked.map_err(|_| ApiError::Invalid(vec![bad_host()]))?;
    let (id, secret) = (WebhookId::new(), sign::secret());
    let sealed = sealer.seal(&purpose(id), &secret);
    let sealed = sealed.map_err(|_| ApiError::Internal("cannot seal a secret".into(), None))?;
    let webhook = Webhook {
        id,
        event,
        url: body.url,
        on,
        sealed,
        created_at: OffsetDateTime::now_utc(),
        created_by: organiser.0.name.clone(),
        disabled_at: None,
    };
    Ok((webhook, sign::written(&secret)))
}

/// A webhook.
///
/// # Errors
/// When the token extends to no such webhook, or the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/admin/webhooks/{id}",
    operation_id = "getWebhook",
    description = "Without its secret.",
    responses((status = 200, description = "The webhook.", body = WebhookView))
)]
pub async fn show(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(id): Id<WebhookId>,
) -> Result<impl IntoResponse, ApiError> {
    let webhook = find(&app, &organiser, id).await?;
    Ok(Reply::ok(WebhookView::of(&webhook)))
}

/// Deletes a webhook, with all that was or would have been told to it.
///
/// # Errors
/// When the token extends to no such webhook, or the store cannot.
#[utoipa::path(
    delete,
    path = "/api/v1/admin/webhooks/{id}",
    operation_id = "deleteWebhook",
    responses((status = 204, description = "It is gone."))
)]
pub async fn delete(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(id): Id<WebhookId>,
) -> Result<StatusCode, ApiError> {
    to_the_end(async move {
        let webhook = find(&app, &organiser, id).await?;
        let delete = async { app.store.delete_webhook(id).await.map_err(ApiError::from) };
        app.store.audited(act(&organiser, DELETE, &webhook), delete).await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// Sends a message of type `webhook.ping`, to try the webhook.
///
/// # Errors
/// When the token extends to no such webhook, nothing is sent to it any more, or the store cannot.
#[utoipa::path(
    post,
    path = "/api/v1/admin/webhooks/{id}/ping",
    operation_id = "pingWebhook",
    responses(
        (status = 202, description = "It will be sent.", body = PingView),
        (status = 409, description = "Nothing is sent to it any more."),
    )
)]
pub async fn ping(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(id): Id<WebhookId>,
) -> Result<impl IntoResponse, ApiError> {
    to_the_end(async move {
        let webhook = find(&app, &organiser, id).await?;
        if webhook.disabled_at.is_some() {
            return Err(ApiError::WebhookDisabled);
        }
        let (delivery, at) = (Uuid::now_v7(), OffsetDateTime::now_utc());
        let what = PING.to_owned();
        let new = [NewDelivery { id: delivery, webhook: id, what, submission: None, at }];
        let tell = async { app.store.tell_webhooks(&new).await.map_err(ApiError::from) };
        app.store.audited(act(&organiser, PING_IT, &webhook), tell).await?;
        app.webhooks.something_is_due();
        Ok(Reply::accepted(PingView { delivery: delivery.to_string() }))
    })
    .await
}

/// Which of a webhook's deliveries.
#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeliveriesQuery {
    /// Those before this place: `next` of the page before.
    #[param(pattern = "^[0-9]{1,15}-[0-9a-fA-F]{32}$")]
    before: Option<String>,
    /// How many, from 1 to 100; 50 without it.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 100)]
    limit: Option<String>,
}

/// What was told to a webhook, or will be, the newest first. It is kept for seven days.
///
/// # Errors
/// When the query is not valid, the token extends to no such webhook, or the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/admin/webhooks/{id}/deliveries",
    operation_id = "listDeliveries",
    params(DeliveriesQuery),
    responses((status = 200, description = "Deliveries.", body = DeliveriesView))
)]
pub async fn deliveries(
    State(app): State<AppState>,
    organiser: Organiser,
    Id(id): Id<WebhookId>,
    ValidQuery(query): ValidQuery<DeliveriesQuery>,
) -> Result<impl IntoResponse, ApiError> {
    find(&app, &organiser, id).await?;
    let before = query.before.as_deref().map(|text| {
        let detail = "This is no place in the list: send `next` of the page before.";
        place(text).ok_or_else(|| ApiError::invalid("/before", "cursor_invalid", detail))
    });
    let before = before.transpose()?;
    let most = limit(query.limit.as_deref())?;
    let found = app.store.deliveries(id, before, most).await?;
    Ok(Reply::ok(DeliveriesView::of(&found, usize::try_from(most).unwrap_or(usize::MAX))))
}

fn limit(text: Option<&str>) -> Result<i64, ApiError> {
    let (most, usual) = PAGE;
    let Some(text) = text else { return Ok(usual) };
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let limit = text.parse().ok().filter(|limit| plain && (1..=most).contains(limit));
    limit.ok_or_else(|| {
        let detail = format!("Expected a whole number from 1 to {most}.");
        ApiError::invalid("/limit", "number_out_of_range", detail)
    })
}

/// A webhook that the token extends to. Any other is like one that is not there.
async fn find(app: &Shared, organiser: &Organiser, id: WebhookId) -> Result<Webhook, ApiError> {
    let found = app.store.webhook(id).await?;
    let own = |webhook: &Webhook| organiser.0.role.covers(&webhook.event);
    found.filter(own).ok_or(ApiError::NotFound("webhook"))
}

/// What the audit log says of an act: which webhook, and not where it leads, since an address may be
/// its receiver's secret.
fn act<'a>(organiser: &'a Organiser, what: &'static str, webhook: &'a Webhook) -> Act<'a> {
    let detail = json!({ "webhook": webhook.id.to_string() });
    Act { detail, ..organiser.act(&webhook.event, what, None, None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_bounds() {
        assert_eq!(limit(None).unwrap(), 50);
        assert_eq!((limit(Some("1")).unwrap(), limit(Some("100")).unwrap()), (1, 100));
        for bad in ["", "0", "101", "-1", "+1", "1.0", "x", "99999999999999999999"] {
            assert_eq!(limit(Some(bad)).unwrap_err().code(), "number_out_of_range", "{bad}");
        }
    }
}
