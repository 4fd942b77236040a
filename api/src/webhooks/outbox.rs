//! From changes to deliveries: every end of a submission becomes one delivery to each webhook of its
//! event that wants to hear of it.

use std::{collections::BTreeMap, time::Duration};

use portcall_shared::{
    domain::{ids::EventSlug, submission::Submission},
    store::{StoreError, deliveries::NewDelivery, webhooks::Webhook},
};
use time::OffsetDateTime;
use tokio::{sync::mpsc, time::MissedTickBehavior};

use super::message::Ending;
use crate::{
    problem::chain,
    state::{AppState, Shared},
};

/// How often it is looked for what the feed missed.
const LOOK: Duration = Duration::from_secs(60);
/// How far clocks may be apart.
const CLOCKS: time::Duration = time::Duration::minutes(5);
/// How far a process that starts looks back: for so long all of them may have been away. Less than
/// deliveries are kept, or what was told would be told again.
const BACK: time::Duration = time::Duration::days(3);
/// How many submissions are looked at at once.
const PAGE: usize = 200;

type Hooks = BTreeMap<EventSlug, Vec<Webhook>>;

/// Takes in changes until the process closes.
pub(super) async fn run(app: &AppState, mut changed: mpsc::Receiver<Submission>) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Up to when everything was seen.
    let mut seen = OffsetDateTime::now_utc() - BACK;
    loop {
        let done = tokio::select! {
            () = app.stop.closing.cancelled() => return,
            one = changed.recv() => match one {
                Some(submission) => take_in(app, submission).await,
                None => return,
            },
            () = app.webhooks.gap.notified() => look_back(app, &mut seen).await,
            _ = look.tick() => look_back(app, &mut seen).await,
        };
        if let Err(error) = done {
            tracing::warn!(error = chain(&error), "cannot note what webhooks are to be told");
        }
    }
}

async fn take_in(app: &Shared, submission: Submission) -> Result<(), StoreError> {
    if submission.marks.erased_at.is_some() {
        return app.store.forget_deliveries_of(submission.id).await;
    }
    let mut hooks = app.store.webhooks(&submission.event).await?;
    hooks.retain(|webhook| webhook.disabled_at.is_none());
    tell(app, &hooks, &[submission]).await
}

async fn look_back(app: &Shared, seen: &mut OffsetDateTime) -> Result<(), StoreError> {
    let (now, mut hooks) = (OffsetDateTime::now_utc(), Hooks::new());
    for webhook in app.store.enabled_webhooks().await? {
        hooks.entry(webhook.event.clone()).or_default().push(webhook);
    }
    for (event, hooks) in hooks {
        let mut after = None;
        loop {
            let most = i64::try_from(PAGE).unwrap_or(i64::MAX);
            let page = app.store.ended_since(&event, *seen, after, most).await?;
            let Some(last) = page.last() else { break };
            after = Some((last.updated_at, last.id));
            for erased in page.iter().filter(|one| one.marks.erased_at.is_some()) {
                app.store.forget_deliveries_of(erased.id).await?;
            }
            tell(app, &hooks, &page).await?;
        }
    }
    *seen = now - CLOCKS;
    app.store.remove_old_deliveries(now).await
}

/// What happened before a webhook was made is not told to it, nor what happened long ago and only
/// changed lately.
async fn tell(app: &Shared, hooks: &[Webhook], ended: &[Submission]) -> Result<(), StoreError> {
    let oldest = OffsetDateTime::now_utc() - BACK;
    let mut new: Vec<NewDelivery> = Vec::new();
    for submission in ended {
        let Some(ending) = Ending::of(submission) else { continue };
        let wants = |webhook: &&Webhook| {
            webhook.on.contains(&ending.topic)
                && ending.at >= webhook.created_at
                && ending.at >= oldest
        };
        let wanting = hooks.iter().filter(wants);
        new.extend(wanting.map(|webhook| ending.delivery(submission, webhook)));
    }
    if app.store.tell_webhooks(&new).await? > 0 {
        app.webhooks.something_is_due();
    }
    Ok(())
}
