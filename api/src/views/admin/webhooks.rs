//! Webhooks and what was told to them, as organisers see it.

use portcall_shared::{
    outbound::BadTarget,
    store::{
        deliveries::{Before, Delivery},
        webhooks::{Topic, Webhook},
    },
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::{
    problem::FieldError,
    views::{Findings, moment},
};

/// A new webhook.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhookBody {
    /// Where messages are posted to: an address that begins with `https://`.
    #[schema(max_length = 2048, example = "https://hooks.example/portcall")]
    pub url: String,
    /// What it is told of: `verdict` (passed, failed, undetermined), `cancelled`, `regrade`. All of
    /// them without this.
    #[schema(example = json!(["verdict", "regrade"]))]
    pub on: Option<Vec<String>>,
}

impl NewWebhookBody {
    /// What it is to be told of, each once.
    ///
    /// # Errors
    /// What is wrong with that.
    pub fn topics(&self) -> Result<Vec<Topic>, Vec<FieldError>> {
        let Some(words) = &self.on else { return Ok(Topic::ALL.to_vec()) };
        if words.is_empty() || words.len() > Topic::ALL.len() {
            let detail = "Name one to three of them, or leave the field out for all.";
            return Err(vec![FieldError::new("/on", "webhook_topics_invalid", detail)]);
        }
        let mut findings = Findings::default();
        let mut topics = Vec::new();
        for (n, word) in words.iter().enumerate() {
            let topic = Topic::from_word(word).ok_or_else(|| {
                let all = Topic::ALL.map(Topic::as_str).join(", ");
                let detail = format!("Expected one of {all}.");
                FieldError::new(format!("/on/{n}"), "webhook_topic_unknown", detail)
            });
            topics.extend(findings.keep(topic));
        }
        topics.sort_unstable();
        topics.dedup();
        if findings.0.is_empty() { Ok(topics) } else { Err(findings.0) }
    }
}

/// Why the text is no address of a webhook.
#[must_use]
pub fn bad_url(error: BadTarget) -> FieldError {
    let mut detail = error.to_string();
    if let Some(first) = detail.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    FieldError::new("/url", "webhook_url_invalid", format!("{detail}."))
}

/// That the host cannot be called. Which names there are inside is nobody's business: one that leads
/// there is answered like one that leads nowhere.
#[must_use]
pub fn bad_host() -> FieldError {
    FieldError::new(
        "/url",
        "webhook_host_denied",
        "This host cannot be called: its name is not known right now, or has no address on the \
         internet. Look whether it is written correctly. The operator can allow hosts of their own \
         (PORTCALL_PRIVATE_WEBHOOKS).",
    )
}

/// A webhook. Its secret is not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct WebhookView {
    /// Its id.
    #[schema(format = Uuid)]
    pub id: String,
    /// The event's slug.
    pub event: String,
    /// Where messages are posted to.
    pub url: String,
    /// What it is told of.
    #[schema(value_type = Vec<String>)]
    pub on: Vec<&'static str>,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// The name of the token that it was made with.
    pub created_by: String,
    /// Since when nothing is sent to it, because it answered that it is gone (410).
    #[schema(format = DateTime)]
    pub disabled_at: Option<String>,
}

impl WebhookView {
    /// Of a webhook.
    #[must_use]
    pub fn of(webhook: &Webhook) -> Self {
        Self {
            id: webhook.id.to_string(),
            event: webhook.event.to_string(),
            url: webhook.url.clone(),
            on: webhook.on.iter().map(|topic| topic.as_str()).collect(),
            created_at: moment(webhook.created_at),
            created_by: webhook.created_by.clone(),
            disabled_at: webhook.disabled_at.map(moment),
        }
    }
}

/// The answer to a new webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct NewWebhookView {
    /// The webhook.
    #[serde(flatten)]
    pub webhook: WebhookView,
    /// What its messages are signed with (Standard Webhooks, `v1`). It is shown this once.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    pub secret: String,
}

/// The webhooks of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct WebhooksView {
    /// The oldest first.
    pub webhooks: Vec<WebhookView>,
}

/// A message that is on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PingView {
    /// The delivery's id, which the message has as its `webhook-id`.
    #[schema(format = Uuid)]
    pub delivery: String,
}

/// Something that was told to a webhook, or will be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeliveryView {
    /// Its id, which the message has as its `webhook-id`.
    #[schema(format = Uuid)]
    pub id: String,
    /// The type of the message.
    pub r#type: String,
    /// The submission that it is about.
    #[schema(format = Uuid)]
    pub submission: Option<String>,
    /// When it was found that there is something to tell.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// `pending`, `delivered`, `failed` (given up) or `dropped` (not wanted any more).
    #[schema(value_type = String)]
    pub state: &'static str,
    /// How often it was sent.
    pub tries: i32,
    /// When it is sent next, if it is.
    #[schema(format = DateTime)]
    pub next_try: Option<String>,
    /// How the last try went.
    pub last: Option<TriedView>,
}

/// How a try went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TriedView {
    /// The status that it was answered with; none if there was no answer.
    pub code: Option<i32>,
    /// Why there was no answer, or why it is not sent any more.
    pub detail: Option<String>,
    /// The beginning of the answer.
    pub excerpt: String,
    /// How long it took.
    pub ms: i64,
}

impl DeliveryView {
    /// Of a delivery.
    #[must_use]
    pub fn of(delivery: &Delivery) -> Self {
        let last = delivery.last.as_ref().map(|tried| TriedView {
            code: tried.code,
            detail: tried.why.clone(),
            excerpt: tried.excerpt.clone(),
            ms: tried.ms,
        });
        Self {
            id: delivery.new.id.to_string(),
            r#type: delivery.new.what.clone(),
            submission: delivery.new.submission.map(|id| id.to_string()),
            created_at: moment(delivery.created_at),
            state: delivery.standing.as_str(),
            tries: delivery.tries,
            next_try: delivery.due_at.map(moment),
            last,
        }
    }
}

/// A page of deliveries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeliveriesView {
    /// The newest first.
    pub deliveries: Vec<DeliveryView>,
    /// With this as `before` the next page comes; none on the last.
    pub next: Option<String>,
}

impl DeliveriesView {
    /// Of as many as were asked for, or of fewer where there are no more.
    #[must_use]
    pub fn of(deliveries: &[Delivery], asked: usize) -> Self {
        let last = deliveries.last().filter(|_| deliveries.len() >= asked);
        Self {
            deliveries: deliveries.iter().map(DeliveryView::of).collect(),
            next: last.map(|one| cursor(Before { at: one.created_at, id: one.new.id })),
        }
    }
}

/// A place in the list as text.
fn cursor(before: Before) -> String {
    let ms = before.at.unix_timestamp_nanos() / 1_000_000;
    format!("{ms}-{}", before.id.simple())
}

/// The place that a text stands for.
#[must_use]
pub fn place(text: &str) -> Option<Before> {
    let (ms, id) = text.split_once('-')?;
    let plain = (1..=15).contains(&ms.len()) && ms.bytes().all(|byte| byte.is_ascii_digit());
    let nanos = ms.parse::<i128>().ok().filter(|_| plain)?.checked_mul(1_000_000)?;
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
    let id = Uuid::try_parse(id).ok().filter(|_| id.len() == 32)?;
    Some(Before { at, id })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(on: Option<&[&str]>) -> NewWebhookBody {
        let on = on.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
        NewWebhookBody { url: String::new(), on }
    }

    #[test]
    fn what_it_is_told_of() {
        assert_eq!(body(None).topics().unwrap(), Topic::ALL);
        let twice = body(Some(&["regrade", "verdict", "regrade"])).topics();
        assert_eq!(twice.unwrap(), [Topic::Verdict, Topic::Regrade]);
        for (on, pointer) in [
            (&[][..], "/on"),
            (&["verdict", "verdict", "verdict", "verdict"], "/on"),
            (&["verdict", "verdicts"], "/on/1"),
        ] {
            assert_eq!(body(Some(on)).topics().unwrap_err()[0].pointer, pointer, "{on:?}");
        }
    }

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let at = OffsetDateTime::from_unix_timestamp_nanos(1_700_000_000_123_000_000).unwrap();
        let before = Before { at, id: Uuid::from_u128(7) };
        let text = cursor(before);
        assert_eq!(
            (text.as_str(), place(&text)),
            ("1700000000123-00000000000000000000000000000007", Some(before))
        );
        for bad in [
            "",
            "-",
            "1-",
            "x-00000000000000000000000000000007",
            &text[..text.len() - 1],
            "9999999999999999-00000000000000000000000000000007",
            &format!("+{text}"),
        ] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }

    #[test]
    fn reasons_are_sentences() {
        let error = bad_url(BadTarget::Plain);
        assert_eq!(error.detail, "Expected an address that begins with https://.");
    }
}
