//! From deliveries to receivers: whatever is due is claimed, sent, and noted.
//!
//! A receiver that is slow holds up nobody but itself: it is called at most [`EACH`] times at once by
//! a process, and what waits for it is passed over meanwhile. The same goes for an event with many such.

use std::{collections::HashMap, time::Duration};

use portcall_shared::{
    domain::{
        ids::{EventSlug, WebhookId},
        text::defused,
    },
    outbound::{Answer, Target},
    seal::Sealer,
    store::{
        StoreError,
        deliveries::{Delivery, Standing, Then, Tried},
    },
};
use rand::Rng as _;
use time::OffsetDateTime;
use tokio::{task::JoinSet, time::MissedTickBehavior};

use super::{message, schedule, sign};
use crate::{
    problem::chain,
    state::{AppState, Shared},
};

/// Calls at once, by this process.
const AT_ONCE: usize = 16;
/// Of these, to one webhook.
const EACH: usize = 2;
/// And to those of one event, so that there is room for others' however slow they are.
const OF_EVENT: usize = 8;
/// How often it is looked for what is due.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is measured for how long something is due.
const MEASURE: Duration = Duration::from_secs(15);
/// How much of an answer is kept, in bytes.
const EXCERPT: usize = 500;
/// What came of a try whose receiver said that it is not there any more.
const GONE: &str = "gone";

/// What a secret is sealed for.
#[must_use]
pub(crate) fn purpose(webhook: WebhookId) -> String {
    format!("webhook {webhook}")
}

/// Sends what is due until the process closes, and what it began by then to its end.
pub(super) async fn run(app: &AppState) {
    // Without the key nothing can be signed; other processes may have it.
    let Some(sealer) = app.settings.sealer.clone() else { return };
    let mut calls: JoinSet<WebhookId> = JoinSet::new();
    let mut seats = Seats::default();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut measure = tokio::time::interval(MEASURE);
    measure.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = app.stop.closing.cancelled() => break,
            _ = look.tick() => seats.learn(app).await,
            () = app.webhooks.due.notified() => {}
            _ = measure.tick() => {
                measured(app).await;
                continue;
            }
            Some(ended) = calls.join_next() => seats.freed(ended),
        }
        while let Some(ended) = calls.try_join_next() {
            seats.freed(ended);
        }
        while calls.len() < AT_ONCE && !app.stop.closing.is_cancelled() {
            let delivery = match claimed(app, &seats).await {
                Ok(Some(delivery)) => delivery,
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(error = chain(&error), "cannot look for due deliveries");
                    break;
                }
            };
            let (app, sealer, webhook) = (app.clone(), sealer.clone(), delivery.new.webhook);
            if !seats.events.contains_key(&webhook) {
                seats.learn(&app).await;
            }
            *seats.calls.entry(webhook).or_default() += 1;
            calls.spawn(async move {
                deliver(&app, &sealer, &delivery).await;
                webhook
            });
        }
    }
    while calls.join_next().await.is_some() {}
}

/// What is due: of events that are not called at all first, so that a backlog of one keeps no other
/// waiting.
async fn claimed(app: &Shared, seats: &Seats) -> Result<Option<Delivery>, StoreError> {
    let busy = seats.webhooks_of(1);
    if !busy.is_empty()
        && let Some(delivery) = app.store.claim_delivery(&busy).await?
    {
        return Ok(Some(delivery));
    }
    let mut full = seats.webhooks_of(OF_EVENT);
    full.extend(seats.calls.iter().filter(|(_, calls)| **calls >= EACH).map(|(id, _)| *id));
    app.store.claim_delivery(&full).await
}

/// The calls that are under way, and whose webhooks there are.
#[derive(Debug, Default)]
struct Seats {
    calls: HashMap<WebhookId, usize>,
    events: HashMap<WebhookId, EventSlug>,
}

impl Seats {
    /// The webhooks of all events to which so many calls are under way. One that was made a moment ago
    /// may not be among them: it is known once it is called.
    fn webhooks_of(&self, calls: usize) -> Vec<WebhookId> {
        let mut of_event: HashMap<&EventSlug, usize> = HashMap::new();
        for (webhook, calls) in &self.calls {
            if let Some(event) = self.events.get(webhook) {
                *of_event.entry(event).or_default() += calls;
            }
        }
        let many = |event| of_event.get(event).is_some_and(|all| *all >= calls);
        self.events.iter().filter(|(_, event)| many(*event)).map(|(id, _)| *id).collect()
    }

    /// Learns whose webhooks there are.
    async fn learn(&mut self, app: &Shared) {
        match app.store.enabled_webhooks().await {
            Ok(all) => self.events = all.into_iter().map(|one| (one.id, one.event)).collect(),
            Err(error) => tracing::debug!(error = chain(&error), "cannot read the webhooks"),
        }
    }

    /// A call that ended in a panic frees every place: better too many calls than none.
    fn freed(&mut self, ended: Result<WebhookId, tokio::task::JoinError>) {
        match ended {
            Ok(webhook) => {
                let calls = self.calls.entry(webhook).or_default();
                *calls = calls.saturating_sub(1);
                if *calls == 0 {
                    self.calls.remove(&webhook);
                }
            }
            Err(error) => {
                tracing::error!(%error, "a call of a webhook ended early");
                self.calls.clear();
            }
        }
    }
}

async fn measured(app: &Shared) {
    match app.store.oldest_due_delivery().await {
        Ok(since) => {
            let age =
                since.map_or(0.0, |since| (OffsetDateTime::now_utc() - since).as_seconds_f64());
            metrics::gauge!("portcall_webhook_oldest_due_age_seconds").set(age.max(0.0));
        }
        Err(error) => tracing::debug!(error = chain(&error), "cannot measure what is due"),
    }
}

/// What came of a try.
struct Came {
    tried: Tried,
    then: Then,
    outcome: &'static str,
}

impl Came {
    fn dropped(why: &str) -> Self {
        let tried = Tried { code: None, why: Some(why.to_owned()), excerpt: String::new(), ms: 0 };
        Self { tried, then: Then::End(Standing::Dropped), outcome: "dropped" }
    }

    /// It is tried again, as long as it is worth it.
    fn again(delivery: &Delivery, tried: Tried, asked: Option<Duration>) -> Self {
        match schedule::pause(delivery.tries, asked, rand::rng().random()) {
            Some(pause) => {
                let then = Then::Again(OffsetDateTime::now_utc() + pause);
                Self { tried, then, outcome: "retried" }
            }
            None => Self { tried, then: Then::End(Standing::Failed), outcome: "failed" },
        }
    }
}

/// One try of one delivery, to its note in the store. What the store cannot do now is done by whoever
/// claims the delivery when the lease is over.
async fn deliver(app: &Shared, sealer: &Sealer, delivery: &Delivery) {
    let noted = async {
        let came = tried(app, sealer, delivery).await?;
        app.store.end_try(delivery, &came.tried, came.then).await?;
        if came.outcome == GONE {
            tracing::info!(webhook.id = %delivery.new.webhook, "a webhook says that it is gone");
            app.store
                .disable_webhook(delivery.new.webhook, "the webhook said that it is gone")
                .await?;
        }
        Ok::<_, StoreError>(came)
    };
    match noted.await {
        Ok(came) => {
            metrics::counter!("portcall_webhook_deliveries_total", "outcome" => came.outcome)
                .increment(1);
            let (code, why) = (came.tried.code, came.tried.why.as_deref());
            tracing::debug!(
                webhook.id = %delivery.new.webhook, delivery.id = %delivery.new.id,
                delivery.outcome = came.outcome, delivery.tries = delivery.tries, http.status = code,
                why, duration_ms = came.tried.ms, "webhook called"
            );
            if came.outcome == "failed" {
                tracing::warn!(
                    webhook.id = %delivery.new.webhook, delivery.id = %delivery.new.id,
                    delivery.tries = delivery.tries, http.status = code, why,
                    "gave up a webhook's delivery"
                );
            }
        }
        Err(error) => tracing::warn!(
            webhook.id = %delivery.new.webhook, delivery.id = %delivery.new.id,
            error = chain(&error), "cannot deliver to a webhook now"
        ),
    }
}

async fn tried(app: &Shared, sealer: &Sealer, delivery: &Delivery) -> Result<Came, StoreError> {
    let webhook = app.store.webhook(delivery.new.webhook).await?;
    let Some(webhook) = webhook.filter(|webhook| webhook.disabled_at.is_none()) else {
        return Ok(Came::dropped("the webhook is not told anything any more"));
    };
    let Some(body) = message::body(app, &webhook, delivery).await? else {
        return Ok(Came::dropped("the submission was erased, or has ended otherwise meanwhile"));
    };
    let not_sent = |why: String| {
        let tried = Tried { code: None, why: Some(why), excerpt: String::new(), ms: 0 };
        Ok(Came::again(delivery, tried, None))
    };
    let target = match Target::parse(&webhook.url, &app.settings.private_webhooks) {
        Ok(target) => target,
        Err(error) => return not_sent(error.to_string()),
    };
    let secret = match sealer.open(&purpose(webhook.id), &webhook.sealed) {
        Ok(secret) => secret,
        Err(error) => {
            tracing::error!(webhook.id = %webhook.id, %error, "cannot sign for a webhook");
            return not_sent("it could not be signed".to_owned());
        }
    };
    let headers = headers(&secret, delivery, &body);
    let (answer, took) = app.webhooks.outbound.post(&target, &headers, body).await;
    let ms = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
    match answer {
        Ok(answer) => Ok(answered(delivery, answer, ms)),
        Err(error) => {
            let why = Some(error.to_string());
            let tried = Tried { code: None, why, excerpt: String::new(), ms };
            Ok(Came::again(delivery, tried, None))
        }
    }
}

fn headers(secret: &[u8], delivery: &Delivery, body: &[u8]) -> [(&'static str, String); 5] {
    let (id, now) = (delivery.new.id.to_string(), OffsetDateTime::now_utc().unix_timestamp());
    [
        ("webhook-signature", sign::signature(secret, &id, now, body)),
        ("webhook-id", id),
        ("webhook-timestamp", now.to_string()),
        ("content-type", "application/json".to_owned()),
        ("accept-encoding", "identity".to_owned()),
    ]
}

fn answered(delivery: &Delivery, answer: Answer, ms: i64) -> Came {
    let excerpt = defused(&answer.body, EXCERPT);
    let tried = Tried { code: Some(i32::from(answer.status)), why: None, excerpt, ms };
    match answer.status {
        200..=299 => Came { tried, then: Then::End(Standing::Delivered), outcome: "delivered" },
        // The receiver is not there any more (RFC 9110 §15.5.11).
        410 => Came { tried, then: Then::End(Standing::Failed), outcome: GONE },
        _ => {
            let now = OffsetDateTime::now_utc();
            let asked = answer.retry_after.and_then(|text| schedule::asked(&text, now));
            Came::again(delivery, tried, asked)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_left_out_as_a_whole() {
        let (own, own_too, other) = (WebhookId::new(), WebhookId::new(), WebhookId::new());
        let (one, another): (EventSlug, EventSlug) =
            ("one".parse().unwrap(), "another".parse().unwrap());
        let events = [(own, one.clone()), (own_too, one), (other, another)].into();
        let seats = Seats { calls: [(own, 2), (own_too, 1)].into(), events };
        let sorted = |mut ids: Vec<WebhookId>| {
            ids.sort_unstable_by_key(ToString::to_string);
            ids
        };
        let both = sorted(vec![own, own_too]);
        assert_eq!(sorted(seats.webhooks_of(1)), both);
        assert_eq!(sorted(seats.webhooks_of(3)), both);
        assert!(seats.webhooks_of(4).is_empty());
    }
}
