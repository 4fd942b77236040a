//! What keeps the map, the waiting line and the live streams up to date.
//!
//! The change stream is a hint: after every gap in it, and once a minute anyway, all pins are read
//! from the store and the difference is taken over; and after every gap, and every few seconds
//! anyway, the store is asked for the revisions of what is followed.

use std::time::Duration;

use portcall_shared::{
    domain::{ids::EventSlug, submission::Submission},
    retry,
    store::{
        StoreError,
        feed::{Feed, Interest},
        pins::Pin,
    },
};
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior},
};

use super::index::Change;
use crate::{
    live::audience::Topic,
    problem::chain,
    state::AppState,
    views::{
        map::Feature,
        stats::{LiveStatsView, TotalsView},
    },
};

/// How often all pins are read again.
const RECONCILE: Duration = Duration::from_secs(60);
/// Or, if that takes long, once in so many times as long.
const RARELY: u32 = 20;
/// How often the store is asked for the revisions of what is followed: news are a hint.
const COMPARE: Duration = Duration::from_secs(15);
/// For how many submissions at once.
const COMPARED: usize = 1000;
/// How often the numbers of an event are sent at most.
const NUMBERS: Duration = Duration::from_secs(1);
/// How soon those who watch a map are told that it changed.
const MAPS: Duration = Duration::from_millis(200);
/// How many changes may wait to be taken in.
const WAITING: usize = 1024;

/// Follows the store until the process stops.
pub async fn run(app: AppState) {
    let (to, mut from) = mpsc::channel(WAITING);
    let feed = app.store.follow(Interest::All, to, app.stop.closing.clone());
    let take_in = async {
        let mut reconcile = every(RECONCILE);
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
                        app.webhooks.missed_something();
                    }
                },
                _ = reconcile.tick() => {
                    let began = Instant::now();
                    reload(&app).await;
                    // A store that takes long to read is read less often.
                    reconcile.reset_after(RECONCILE.max(began.elapsed() * RARELY));
                }
            }
        }
    };
    tokio::join!(feed, take_in, compare(&app), send_numbers(&app), send_resets(&app));
}

fn every(period: Duration) -> Interval {
    let mut tick = tokio::time::interval(period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

fn changed(app: &AppState, submission: Submission) {
    app.queue.saw(&submission);
    // The trial of a re-grade takes its turn like others, and nobody is told of it.
    if submission.marks.trial_of.is_some() {
        return;
    }
    let event = &submission.event;
    match app.map.observe(&submission) {
        // One that was hidden behind a later one may have been told of when it was new.
        Change::None if is_taken_off(&submission) => app.hub.map_changed(event),
        Change::None => {}
        Change::Added(pin) => tell_pin(app, event, &pin),
        Change::Replaced(pin) => {
            tell_pin(app, event, &pin);
            app.hub.map_changed(event);
        }
        Change::Removed => app.hub.map_changed(event),
    }
    count(app);
    app.webhooks.observe(&submission);
    app.hub.submission_changed(submission);
}

/// Whether somebody took its pin off the map.
fn is_taken_off(submission: &Submission) -> bool {
    submission.marks.hidden || submission.marks.erased_at.is_some()
}

fn tell_pin(app: &AppState, event: &EventSlug, pin: &Pin) {
    app.hub.tell(event, Topic::Pin, || json(&Feature::pin(pin)));
}

fn json<T: serde::Serialize>(what: &T) -> Option<String> {
    let written = serde_json::to_string(what);
    written.inspect_err(|error| tracing::error!(%error, "cannot write live news")).ok()
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
                changed.iter().for_each(|event| app.hub.map_changed(event));
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

/// Tells followers what the store has that the change stream did not bring, until the process stops.
async fn compare(app: &AppState) {
    let mut tick = every(COMPARE);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = app.hub.missed() => {}
            () = app.stop.closing.cancelled() => return,
        }
        if let Err(error) = compare_once(app).await {
            tracing::warn!(error = chain(&error), "cannot read how far submissions are");
        }
    }
}

async fn compare_once(app: &AppState) -> Result<(), StoreError> {
    for ids in app.hub.followed().chunks(COMPARED) {
        for (id, revision) in app.store.revisions(ids).await? {
            app.hub.submission_is_at(id, revision);
        }
    }
    Ok(())
}

/// Tells those who watch a map that it is to be read again, when it changed.
async fn send_resets(app: &AppState) {
    let mut tick = every(MAPS);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = app.stop.closing.cancelled() => return,
        }
        for event in app.hub.stale_maps() {
            let revision = app.map.revision(&event);
            let data = || json(&serde_json::json!({ "revision": revision }));
            app.hub.tell(&event, Topic::Reset, data);
        }
    }
}

/// Sends the numbers of events that are followed, when they changed.
async fn send_numbers(app: &AppState) {
    let mut tick = every(NUMBERS);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = app.stop.closing.cancelled() => return,
        }
        for event in app.hub.stale_stats() {
            match app.stats_now(&event).await {
                Ok(stats) => {
                    let pins = app.map.summary(&event).pins;
                    let view = LiveStatsView { totals: TotalsView::of(&stats), pins };
                    app.hub.tell(&event, Topic::Stats, || json(&view));
                }
                Err(error) => {
                    tracing::warn!(error = chain(&error), "cannot read an event's numbers");
                }
            }
        }
    }
}
