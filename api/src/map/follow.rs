//! What keeps the map and the live streams up to date.
//!
//! The change stream is a hint: after every gap in it, and once a minute anyway, all pins are read
//! from the store and the difference is taken over.

use std::time::Duration;

use portcall_shared::{
    domain::{ids::EventSlug, submission::Submission},
    retry,
    store::feed::{Feed, Interest},
};
use tokio::sync::mpsc;

use super::index::Change;
use crate::{
    live::EventNews,
    problem::chain,
    state::AppState,
    views::{
        map::Feature,
        stats::{LiveStatsView, TotalsView},
    },
};

/// How often all pins are read again.
const RECONCILE: Duration = Duration::from_secs(60);
/// How often the numbers of an event are sent at most.
const NUMBERS: Duration = Duration::from_secs(1);
/// How many changes may wait to be taken in.
const WAITING: usize = 1024;

/// Follows the store until the process stops.
pub async fn run(app: AppState) {
    let (to, mut from) = mpsc::channel(WAITING);
    let feed = app.store.follow(Interest::All, to, app.stop.closing.clone());
    let take_in = async {
        let mut reconcile = tokio::time::interval(RECONCILE);
        reconcile.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        reconcile.reset();
        loop {
            tokio::select! {
                () = app.stop.closing.cancelled() => return,
                news = from.recv() => match news {
                    None => return,
                    Some(Feed::Changed(submission)) => changed(&app, *submission),
                    Some(Feed::Gap) => {
                        reload(&app).await;
                        app.hub.missed_something();
                    }
                },
                _ = reconcile.tick() => reload(&app).await,
            }
        }
    };
    let numbers = send_numbers(&app);
    tokio::join!(feed, take_in, numbers);
}

fn changed(app: &AppState, submission: Submission) {
    let event = submission.event.clone();
    match app.map.observe(&submission) {
        Change::None => {}
        Change::Added(pin) => tell(app, &event, "pin", &Feature::pin(&pin)),
        Change::Replaced(pin) => {
            tell(app, &event, "pin", &Feature::pin(&pin));
            reset(app, &event);
        }
        Change::Removed => reset(app, &event),
    }
    count(app);
    app.hub.submission_changed(submission);
}

fn reset(app: &AppState, event: &EventSlug) {
    let revision = app.map.revision(event);
    tell(app, event, "reset", &serde_json::json!({ "revision": revision }));
}

fn tell<T: serde::Serialize>(app: &AppState, event: &EventSlug, name: &'static str, what: &T) {
    match serde_json::to_string(what) {
        Ok(data) => app.hub.tell(event, EventNews { name, data: data.into() }),
        Err(error) => tracing::error!(%error, "cannot write live news"),
    }
}

fn count(app: &AppState) {
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 pins")]
    metrics::gauge!("portcall_map_pins").set(app.map.total() as f64);
}

/// Reads all pins, until that succeeds or the process stops.
pub async fn reload(app: &AppState) {
    let mut pauses = retry::RECONNECT.pauses();
    loop {
        let read = tokio::select! {
            read = app.read_map() => read,
            () = app.stop.closing.cancelled() => return,
        };
        match read {
            Ok(changed) => {
                for event in changed {
                    reset(app, &event);
                }
                count(app);
                return;
            }
            Err(error) => tracing::warn!(error = chain(&error), "cannot read the pins, will retry"),
        }
        tokio::select! {
            _ = pauses.wait() => {}
            () = app.stop.closing.cancelled() => return,
        }
    }
}

/// Sends the numbers of events that are followed, when they changed.
async fn send_numbers(app: &AppState) {
    let mut tick = tokio::time::interval(NUMBERS);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = app.stop.closing.cancelled() => return,
        }
        for event in app.hub.stale_events() {
            match app.stats_now(&event).await {
                Ok(stats) => {
                    let pins = app.map.summary(&event).pins;
                    let view = LiveStatsView { totals: TotalsView::of(&stats), pins };
                    tell(app, &event, "stats", &view);
                }
                Err(error) => {
                    tracing::warn!(error = chain(&error), "cannot read an event's numbers")
                }
            }
        }
    }
}
