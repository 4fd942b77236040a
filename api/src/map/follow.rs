//! What keeps the map, the waiting line and the live streams up to date.
//!
//! The change stream is a hint: after every gap in it, and from time to time anyway, the store is read
//! ([`super::reading`]), and asked for the revisions of what is followed.

use std::time::Duration;

use portcall_shared::{
    domain::{ids::EventSlug, submission::Submission},
    store::{
        StoreError,
        feed::{Feed, Interest},
    },
};
use tokio::{
    sync::mpsc,
    time::{Interval, MissedTickBehavior},
};

use super::{
    index::{Change, Shown},
    reading,
};
use crate::{
    live::audience::Topic,
    problem::chain,
    state::AppState,
    views::{
        map::Feature,
        moment,
        stats::{LiveStatsView, TotalsView},
    },
};

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
        loop {
            tokio::select! {
                () = app.stop.closing.cancelled() => return,
                news = from.recv() => match news {
                    None => return,
                    Some(Feed::Changed(submission)) => changed(&app, *submission),
                    Some(Feed::Gap) => {
                        app.reading.missed_something();
                        app.hub.missed_something();
                        app.webhooks.missed_something();
                    }
                },
            }
        }
    };
    tokio::join!(
        feed,
        take_in,
        reading::run(&app),
        compare(&app),
        send_numbers(&app),
        send_resets(&app)
    );
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
    let change = app.reading.tell(submission.id, || {
        app.numbers.saw(&submission);
        app.lately.changed(&submission);
        app.map.observe(&submission)
    });
    match change {
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
    reading::count(app);
    app.webhooks.observe(&submission);
    app.hub.submission_changed(submission);
}

/// Whether somebody took its pin off the map.
fn is_taken_off(submission: &Submission) -> bool {
    submission.marks.hidden || submission.marks.erased_at.is_some()
}

/// Tells whoever watches a map of one more pin.
pub(super) fn tell_pin(app: &AppState, event: &EventSlug, pin: &Shown) {
    app.hub.tell(event, Topic::Pin, || json(&Feature::pin(pin)));
}

fn json<T: serde::Serialize>(what: &T) -> Option<String> {
    let written = serde_json::to_string(what);
    written.inspect_err(|error| tracing::error!(%error, "cannot write live news")).ok()
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
    let mut away = app.away.changes();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            Ok(()) = away.changed() => app.hub.numbers_changed(),
            () = app.stop.closing.cancelled() => return,
        }
        for event in app.hub.stale_stats() {
            let (states, pins) = (app.numbers.states(&event), app.map.summary(&event).pins);
            let as_of = app.away.since().map(moment);
            let view = LiveStatsView { totals: TotalsView::of(&states), pins, as_of };
            app.hub.tell(&event, Topic::Stats, || json(&view));
        }
    }
}
