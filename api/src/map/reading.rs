//! What is in memory, the map and the numbers, read from the store: when the process starts, after a gap in
//! the change stream, and every minute anyway.
//!
//! ```text
//!   start ───────────────────────────────► whole: every submission, page by page
//!   gap, every minute ──► recent: what changed lately, by its time
//!   every minute ──► agrees? as many came as there are here ── no ──► whole
//!   an hour, or longer where that takes long ────────────────────────► whole
//! ```
//!
//! So an event with a million submissions in which all is well costs the store a count in an index, and what
//! changed. The change stream goes on while the store is read: of whatever it told meanwhile, what was read
//! is older news and is left aside.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcall_shared::{
    domain::ids::{EventSlug, SubmissionId},
    retry,
    store::{StoreError, glances::Glance, tally::Tally},
};
use time::OffsetDateTime;
use tokio::{sync::Notify, time::Instant};

use super::{follow::tell_pin, index::Change};
use crate::{problem::chain, state::AppState};

/// How often it is looked what changed lately.
const EVERY: Duration = Duration::from_secs(60);
/// Or, if that takes long, once in so many times as long.
const RARELY: u32 = 20;
/// How often everything is read though nothing seems to be wrong.
const WHOLE: Duration = Duration::from_secs(3600);
/// Or, if that takes long, once in so many times as long.
const SELDOM: u32 = 100;
/// How far the clocks of those who change submissions may be behind, and how long a write may be under way.
const SLACK: time::Duration = time::Duration::minutes(15);
/// How young a submission may be that is not counted everywhere yet.
const YOUNG: time::Duration = time::Duration::minutes(2);

/// What the reading and the change stream know of each other.
#[derive(Debug, Default)]
pub struct Reading {
    /// While the store is being read: what the change stream told of.
    told: Mutex<Option<HashSet<SubmissionId>>>,
    gap: Notify,
}

impl Reading {
    fn told(&self) -> MutexGuard<'_, Option<HashSet<SubmissionId>>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what the change stream tells of a submission.
    pub fn tell<T>(&self, id: SubmissionId, take_in: impl FnOnce() -> T) -> T {
        let mut told = self.told();
        if let Some(told) = told.as_mut() {
            told.insert(id);
        }
        take_in()
    }

    /// That something may have been missed.
    pub fn missed_something(&self) {
        self.gap.notify_one();
    }
}

/// Keeps what is in memory in line with the store, until the process stops.
pub async fn run(app: &AppState) {
    let mut since = OffsetDateTime::now_utc();
    let (mut pause, mut whole_after) = (EVERY, Instant::now() + WHOLE);
    loop {
        let after_a_gap = tokio::select! {
            () = app.reading.gap.notified() => true,
            () = tokio::time::sleep(pause) => false,
            () = app.stop.closing.cancelled() => return,
        };
        let (began, now) = (Instant::now(), OffsetDateTime::now_utc());
        let from = since.min(now) - SLACK;
        if insist(app, || recent(app, from)).await.is_none() {
            return;
        }
        since = now;
        let due = Instant::now() >= whole_after;
        if !after_a_gap && (due || insist(app, || agrees(app)).await == Some(false)) {
            let (began, whole) = (Instant::now(), insist(app, || whole(app)).await);
            let Some(()) = whole else { return };
            whole_after = Instant::now() + WHOLE.max(began.elapsed() * SELDOM);
        }
        pause = EVERY.max(began.elapsed() * RARELY);
    }
}

/// Reads everything, until that succeeds or the process stops.
pub async fn whole_at_last(app: &AppState) {
    insist(app, || whole(app)).await;
}

/// Does something until it succeeds; nothing when the process stops.
async fn insist<T, F: Future<Output = Result<T, StoreError>>>(
    app: &AppState,
    act: impl Fn() -> F,
) -> Option<T> {
    let mut pauses = retry::RECONNECT.pauses();
    loop {
        let done = tokio::select! {
            done = act() => done,
            () = app.stop.closing.cancelled() => return None,
        };
        match done {
            Ok(done) => return Some(done),
            Err(error) => tracing::warn!(error = chain(&error), "cannot read the pins, will retry"),
        }
        tokio::select! {
            _ = pauses.wait() => {}
            () = app.stop.closing.cancelled() => return None,
        }
    }
}

/// Reads every submission, and forgets what is not there any more.
///
/// # Errors
/// When the store cannot say.
pub async fn whole(app: &AppState) -> Result<(), StoreError> {
    app.read_events().await?;
    *app.reading.told() = Some(HashSet::new());
    let (mut seen, mut changed) = (HashSet::new(), BTreeSet::new());
    let read = app.store.glances(None, |page| {
        seen.extend(page.iter().map(|glance| Tally::key(glance.id)));
        take_in(app, page, &mut changed);
    });
    let read = read.await;
    let told = app.reading.told().take().unwrap_or_default();
    read?;
    seen.extend(told.into_iter().map(Tally::key));
    changed.extend(app.map.keep_only(|id| seen.contains(&Tally::key(id))));
    app.numbers.keep_only(|key| seen.contains(&key));
    tell(app, &changed);
    Ok(())
}

/// Reads what changed since then.
///
/// # Errors
/// When the store cannot say.
pub async fn recent(app: &AppState, since: OffsetDateTime) -> Result<(), StoreError> {
    *app.reading.told() = Some(HashSet::new());
    let mut changed = BTreeSet::new();
    let read = async {
        for event in app.read_events().await? {
            let take = |page| take_in(app, page, &mut changed);
            app.store.glances_since(&event, since, take).await?;
        }
        Ok(())
    };
    let read = read.await;
    *app.reading.told() = None;
    tell(app, &changed);
    read
}

/// Whether as many came to every event as are known here. Such as are very young are not asked about.
///
/// # Errors
/// When the store cannot say.
pub async fn agrees(app: &AppState) -> Result<bool, StoreError> {
    let until = OffsetDateTime::now_utc() - YOUNG;
    let hour = until.replace_minute(0).and_then(|hour| hour.replace_second(0));
    let hour = hour.and_then(|hour| hour.replace_nanosecond(0)).unwrap_or(until);
    for event in app.read_events().await? {
        let there = app.store.came_before(&event, hour).await?;
        let here = app.numbers.came_before_the_hour_of(&event, hour);
        if here != there {
            tracing::warn!(event.slug = %event, here, there, "others came than are counted");
            return Ok(false);
        }
    }
    Ok(true)
}

/// Takes in what was read, but for what the change stream told of meanwhile. It has its turn between any
/// two of them, and says nothing more of a pin that was found here before.
fn take_in(app: &AppState, page: Vec<Glance>, changed: &mut BTreeSet<EventSlug>) {
    for mut glance in page {
        let told = app.reading.told();
        if told.as_ref().is_some_and(|told| told.contains(&glance.id)) {
            continue;
        }
        app.numbers.put(&glance);
        app.lately.forget_older(glance.id, glance.revision);
        let pin = glance.pin.take();
        match app.map.settle(glance.id, &glance.event, pin) {
            Change::None => {}
            Change::Added(pin) => tell_pin(app, &glance.event, &pin),
            Change::Replaced(_) | Change::Removed => {
                changed.insert(glance.event);
            }
        }
    }
}

/// Tells whoever watches that the map is another one.
fn tell(app: &AppState, changed: &BTreeSet<EventSlug>) {
    changed.iter().for_each(|event| app.hub.map_changed(event));
    count(app);
}

/// Shows how many pins there are.
pub(super) fn count(app: &AppState) {
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 pins")]
    metrics::gauge!("portcall_map_pins").set(app.map.total() as f64);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use portcall_shared::{
        domain::place::LatLng,
        settings::Reader,
        shutdown::Stop,
        store::{Store, pins::Pin},
    };

    use super::*;
    use crate::{live::audience::Topic, peer::Client, settings::Settings};

    fn glance(id: SubmissionId, revision: i64) -> Glance {
        let event: EventSlug = "e".parse().unwrap();
        let at = OffsetDateTime::UNIX_EPOCH;
        let pin = Pin {
            submission: id,
            event: event.clone(),
            participant: id.to_string(),
            name: "Ann".to_owned(),
            handle: None,
            place: "Here".to_owned(),
            country: None,
            point: LatLng::new(1.0, 2.0).unwrap(),
            at,
        };
        Glance {
            id,
            event,
            revision,
            participant: id.to_string(),
            state: "passed",
            delayed: false,
            created_at: at,
            reason: None,
            country: None,
            pin: Some(pin),
        }
    }

    async fn app() -> AppState {
        let (settings, _) = Settings::read(Reader::from_map(BTreeMap::new())).unwrap();
        // Nothing listens there, and nothing here asks it.
        let uri = "mongodb://127.0.0.1:1/?replicaSet=rs";
        let store = Store::open(uri, "test", "test").await.unwrap();
        AppState::new(settings, store, Stop::default())
    }

    /// It was taken off the map while a page was on its way on which it still stands there.
    #[tokio::test]
    async fn what_the_change_stream_told_meanwhile_is_not_undone() {
        let app = app().await;
        let (taken_off, other) = (SubmissionId::new(), SubmissionId::new());
        let (event, mut changed) = (glance(other, 1).event, BTreeSet::new());
        let mut page = || take_in(&app, vec![glance(taken_off, 1), glance(other, 1)], &mut changed);

        *app.reading.told() = Some(HashSet::new());
        app.reading.tell(taken_off, || app.map.settle(taken_off, &event, None));
        page();
        assert_eq!(app.map.total(), 1);
        assert_eq!(app.map.recent(&event, 9)[0].submission, other);
        // The control: outside of a reading it is news.
        *app.reading.told() = None;
        page();
        assert_eq!((app.map.total(), changed.len()), (2, 0));
    }

    /// The change stream says nothing of it any more when it comes second.
    #[tokio::test]
    async fn a_pin_that_a_reading_finds_first_is_told_as_well() {
        let app = app().await;
        let (id, mut changed) = (SubmissionId::new(), BTreeSet::new());
        let event = glance(id, 1).event;
        let mut watching = app.hub.follow_event(&event, Client::default(), None).unwrap();
        take_in(&app, vec![glance(id, 1)], &mut changed);
        let news = watching.next().await.unwrap();
        assert_eq!(news.topic, Topic::Pin);
        assert!(news.data.contains(&id.to_string()), "{news:?}");
        // The control: more than are told one by one are a map to be read again.
        assert_eq!(app.hub.stale_maps(), []);
        take_in(&app, (0..50).map(|_| glance(SubmissionId::new(), 1)).collect(), &mut changed);
        assert_eq!(app.hub.stale_maps(), [event]);
    }
}
