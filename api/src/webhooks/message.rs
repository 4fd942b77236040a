//! What a webhook is told: `{type, timestamp, data}`, where data is the submission's public document,
//! with no more about a person than stands on the pin.

use portcall_shared::{
    domain::{submission::Submission, verdict::Outcome},
    store::{
        StoreError,
        deliveries::{Delivery, NewDelivery},
        webhooks::{Topic, Webhook},
    },
};
use serde::Serialize;
use time::OffsetDateTime;

use crate::{
    state::Shared,
    views::{moment, submission::SubmissionView},
};

/// The type of a message that only tries a webhook.
pub const PING: &str = "webhook.ping";

#[derive(Serialize)]
struct Message<'a, T> {
    r#type: &'a str,
    timestamp: String,
    data: T,
}

#[derive(Serialize)]
struct Ping {
    webhook: String,
    event: String,
}

/// How a submission ended, as webhooks are told of it.
pub(super) struct Ending {
    pub(super) topic: Topic,
    what: &'static str,
    /// Tells it apart from every other end of the same submission, and is the same for whoever looks.
    mark: String,
    /// When.
    pub(super) at: OffsetDateTime,
}

impl Ending {
    /// None while it has not ended, of a trial, and of what was erased.
    pub(super) fn of(submission: &Submission) -> Option<Self> {
        let marks = &submission.marks;
        if marks.trial_of.is_some() || marks.erased_at.is_some() {
            return None;
        }
        let verdict = submission.verdict.as_ref()?;
        submission.life.state.is_final().then_some(())?;
        let (topic, what) = match verdict.outcome {
            _ if marks.regraded_at.is_some() => (Topic::Regrade, "submission.regraded"),
            Outcome::Passed => (Topic::Verdict, "submission.passed"),
            Outcome::Failed => (Topic::Verdict, "submission.failed"),
            Outcome::Undetermined => (Topic::Verdict, "submission.undetermined"),
            Outcome::Cancelled => (Topic::Cancelled, "submission.cancelled"),
        };
        let at = marks.regraded_at.map_or(verdict.at, |at| at.max(verdict.at));
        let ms = at.unix_timestamp_nanos() / 1_000_000;
        let mark = format!("{} {} {ms}", submission.life.state.as_str(), verdict.attempt);
        Some(Self { topic, what, mark, at })
    }

    /// Its delivery to a webhook.
    pub(super) fn delivery(&self, submission: &Submission, webhook: &Webhook) -> NewDelivery {
        NewDelivery::of(webhook.id, submission.id, self.what, &self.mark, self.at)
    }
}

/// The body of a delivery; none if there is nothing to tell any more: the submission was erased, or
/// has ended otherwise meanwhile, which is a delivery of its own.
///
/// # Errors
/// When the store cannot say.
pub(super) async fn body(
    app: &Shared,
    webhook: &Webhook,
    delivery: &Delivery,
) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(id) = delivery.new.submission else {
        let (webhook, event) = (webhook.id.to_string(), webhook.event.to_string());
        return Ok(written(PING, delivery.new.at, Ping { webhook, event }));
    };
    let Some(submission) = app.store.submission(id).await? else { return Ok(None) };
    let current = Ending::of(&submission).map(|ending| ending.delivery(&submission, webhook));
    if current.is_none_or(|current| current.id != delivery.new.id) {
        return Ok(None);
    }
    let version = app.event_version(&submission.event, submission.event_version).await?;
    let event = version.as_ref().map(|version| &*version.event);
    let document = SubmissionView::of(&submission, event, None, &app.settings.public_url);
    Ok(written(&delivery.new.what, delivery.new.at, document))
}

fn written<T: Serialize>(what: &str, at: OffsetDateTime, data: T) -> Option<Vec<u8>> {
    let message = Message { r#type: what, timestamp: moment(at), data };
    serde_json::to_vec(&message)
        .inspect_err(|error| tracing::error!(%error, "cannot write a webhook's message"))
        .ok()
}
