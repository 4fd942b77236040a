//! The one bag of what the api's parts share: built in one place, cheap to clone, handed in.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use portcall_shared::{
    domain::ids::EventSlug,
    registry::Registry,
    shutdown::Stop,
    store::{
        Store, StoreError,
        doors::{Closing, Door},
        events::EventVersion,
        stats::{Pace, StepTimes},
        suspects::Suspect,
    },
};

use tokio::sync::Semaphore;

use crate::{
    away::Away,
    cache::Brief,
    client::Proxies,
    lately::Lately,
    live::Hub,
    map::{index::MapIndex, reading::Reading, replays::Replays},
    numbers::Numbers,
    problem::ApiError,
    queue::Queue,
    rates::Rates,
    settings::Settings,
    webhooks::Webhooks,
};

/// How long the list of events stays good.
const EVENTS_GOOD: Duration = Duration::from_secs(1);
/// How long the pace of the machinery stays good.
const PACE_GOOD: Duration = Duration::from_secs(2);
/// How long the step times of an event stay good.
const STEP_TIMES_GOOD: Duration = Duration::from_secs(10);
/// How long the list of refused images stays good.
const POISON_GOOD: Duration = Duration::from_secs(2);
/// How long a version of an event stays in memory; it never changes.
const VERSION_GOOD: Duration = Duration::from_secs(600);

/// How many look through all submissions of an event at once, so that there are connections to the store
/// for everybody else.
const SEARCHES: usize = 3;

/// Which events are closed by their organisers, by slug.
pub type Closings = BTreeMap<String, Closing>;

/// What the api's parts share.
#[derive(Clone, Debug)]
pub struct AppState(Arc<Shared>);

/// The things in the bag.
#[derive(Debug)]
pub struct Shared {
    /// The settings.
    pub settings: Settings,
    /// The store.
    pub store: Store,
    /// Asks registries.
    pub registry: Registry,
    /// Whether the store answers.
    pub away: Away,
    /// Submissions that somebody asked for lately, in memory.
    pub lately: Lately,
    /// The pins, in memory.
    pub map: MapIndex,
    /// The numbers of the events, in memory.
    pub numbers: Numbers,
    /// Whether the store is being read into both.
    pub reading: Reading,
    /// How the pins came along the time, kept ready.
    pub replays: Replays,
    /// Who follows what.
    pub hub: Hub,
    /// Who waits for a turn.
    pub queue: Queue,
    /// Tells organisers' own addresses.
    pub webhooks: Webhooks,
    /// How much one may ask.
    pub rates: Rates,
    /// For whoever has the store look through all submissions of an event.
    pub searches: Semaphore,
    /// Whom it believes about who asks.
    pub proxies: Proxies,
    /// The end of the process.
    pub stop: Stop,
    events: Brief<(), Arc<[EventVersion]>>,
    pace: Brief<(), Arc<Pace>>,
    step_times: Brief<EventSlug, Arc<[StepTimes]>>,
    versions: Brief<(EventSlug, i32), Option<EventVersion>>,
    seen: Brief<EventSlug, EventVersion>,
    closings: Brief<(), Arc<Closings>>,
    poison: Brief<(), Arc<[Suspect]>>,
    doors: Brief<EventSlug, Option<Door>>,
}

impl std::ops::Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl AppState {
    /// The bag of one process.
    #[must_use]
    pub fn new(settings: Settings, store: Store, stop: Stop) -> Self {
        let common = &settings.common;
        let (plain, private) = (common.http_registries.clone(), common.private_registries.clone());
        let registry = Registry::with_private(plain, private);
        let started = time::OffsetDateTime::now_utc().unix_timestamp() * 1000;
        let rates = Rates::new(&settings.rates);
        let proxies = Proxies::new(settings.trusted_proxies.clone());
        let hub = Hub::new(stop.closing.clone(), settings.streams);
        Self(Arc::new(Shared {
            settings,
            store,
            registry,
            away: Away::default(),
            lately: Lately::default(),
            map: MapIndex::counting_from(started.unsigned_abs()),
            numbers: Numbers::default(),
            reading: Reading::default(),
            replays: Replays::default(),
            hub,
            webhooks: Webhooks::default(),
            queue: Queue::default(),
            rates,
            searches: Semaphore::new(SEARCHES),
            proxies,
            stop,
            events: Brief::new(EVENTS_GOOD),
            pace: Brief::new(PACE_GOOD),
            step_times: Brief::new(STEP_TIMES_GOOD),
            versions: Brief::new(VERSION_GOOD),
            seen: Brief::new(VERSION_GOOD),
            closings: Brief::new(EVENTS_GOOD),
            poison: Brief::new(POISON_GOOD),
            doors: Brief::new(EVENTS_GOOD),
        }))
    }
}

impl Shared {
    /// The current version of an event.
    ///
    /// # Errors
    /// When there is none, or the store cannot say.
    pub async fn event(&self, slug: &EventSlug) -> Result<EventVersion, ApiError> {
        let none = ApiError::NotFound("event");
        let Some(version) = self.store.current_version(slug).await? else { return Err(none) };
        let event = self.event_version(slug, version).await?.ok_or(none)?;
        self.seen.keep(slug, event.clone());
        Ok(event)
    }

    /// The current version of an event, and whether it is closed by its organisers: as it is, read once
    /// for all who ask meanwhile.
    ///
    /// # Errors
    /// When there is none, or the store cannot say.
    pub async fn door(
        &self,
        slug: &EventSlug,
    ) -> Result<(EventVersion, Option<Closing>), ApiError> {
        let none = ApiError::NotFound("event");
        let Some(door) = self.doors.now(slug, self.store.door(slug)).await? else {
            return Err(none);
        };
        let event = self.event_version(slug, door.version).await?.ok_or(none)?;
        self.seen.keep(slug, event.clone());
        Ok((event, door.closing))
    }

    /// The current version of an event; while the store is away, the one that was seen last.
    ///
    /// # Errors
    /// When there is none, or the store cannot say and none was seen.
    pub async fn event_or_seen(&self, slug: &EventSlug) -> Result<EventVersion, ApiError> {
        let read = async {
            match self.event(slug).await {
                Err(ApiError::Unavailable(error)) => Err(error),
                said => Ok(said),
            }
        };
        self.or_remembered(read, || self.seen.last(slug).map(Ok)).await?
    }

    /// The current version of every event but rehearsals, at most a second old.
    ///
    /// # Errors
    /// When the store cannot say.
    pub async fn events(&self) -> Result<Arc<[EventVersion]>, StoreError> {
        let fetch = async {
            let mut events = self.store.events().await?;
            events.retain(|event| event.shadow_of.is_none());
            Ok(Arc::from(events))
        };
        self.events.get(&(), fetch).await
    }

    /// The same; while the store is away, as it was seen last.
    ///
    /// # Errors
    /// When the store cannot say and none were seen.
    pub async fn events_or_seen(&self) -> Result<Arc<[EventVersion]>, ApiError> {
        self.or_remembered(self.events(), || self.events.last(&())).await
    }

    /// Which events are closed by their organisers, at most a second ago; while the store is away, as it was
    /// seen last.
    ///
    /// # Errors
    /// When the store cannot say and it was never seen.
    pub async fn closings_or_seen(&self) -> Result<Arc<Closings>, ApiError> {
        let read = async { self.store.event_closings().await.map(Arc::new) };
        let read = self.closings.get(&(), read);
        self.or_remembered(read, || self.closings.last(&())).await
    }

    /// Which events there are.
    ///
    /// # Errors
    /// When the store cannot say.
    pub async fn read_events(&self) -> Result<Vec<EventSlug>, StoreError> {
        let events = self.store.events().await?;
        for version in &events {
            self.seen.keep(&version.event.slug, version.clone());
        }
        let closings = self.store.event_closings().await?;
        self.closings.keep(&(), Arc::new(closings));
        self.events.keep(&(), events.clone().into());
        Ok(events.into_iter().map(|version| version.event.slug.clone()).collect())
    }

    /// That there is such an event. Once it was seen the store is not asked again: the map goes on
    /// from memory while the store is away.
    ///
    /// # Errors
    /// When there is none, or the store cannot say.
    pub async fn is_event(&self, slug: &EventSlug) -> Result<(), ApiError> {
        if self.map.summary(slug).pins > 0 || self.seen.last(slug).is_some() {
            return Ok(());
        }
        self.event_or_seen(slug).await.map(drop)
    }

    /// Whether an event is closed by its organisers.
    ///
    /// # Errors
    /// When the store cannot say.
    pub async fn event_closed(&self, slug: &EventSlug) -> Result<Option<Closing>, ApiError> {
        Ok(self.store.event_closing(slug).await?)
    }

    /// The version of an event that a submission is graded by.
    ///
    /// # Errors
    /// When the store cannot say.
    pub async fn event_version(
        &self,
        slug: &EventSlug,
        version: i32,
    ) -> Result<Option<EventVersion>, StoreError> {
        let key = (slug.clone(), version);
        self.versions.get(&key, self.store.event_version(slug, version)).await
    }

    /// How long the steps of an event's gradings take, at most ten seconds old.
    ///
    /// # Errors
    /// When the store cannot say.
    pub async fn step_times(&self, event: &EventSlug) -> Result<Arc<[StepTimes]>, StoreError> {
        let read = async { self.store.step_times(event).await.map(Arc::from) };
        self.step_times.get(event, read).await
    }

    /// The same; while the store is away, as they were measured last, if they were.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn step_times_or_seen(
        &self,
        event: &EventSlug,
    ) -> Result<Arc<[StepTimes]>, ApiError> {
        let seen = || Some(self.step_times.last(event).unwrap_or_default());
        self.or_remembered(self.step_times(event), seen).await
    }

    /// The pace of the machinery; while the store is away, as it was measured last, if it was.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn pace_or_seen(&self) -> Result<Arc<Pace>, ApiError> {
        let seen = || Some(self.pace.last(&()).unwrap_or_default());
        self.or_remembered(self.pace(), seen).await
    }

    /// The version of an event that a submission is graded by; while the store is away, if it was seen.
    ///
    /// # Errors
    /// When the store cannot say.
    pub async fn event_version_or_seen(
        &self,
        slug: &EventSlug,
        version: i32,
    ) -> Result<Option<EventVersion>, ApiError> {
        let seen = || self.versions.last(&(slug.clone(), version));
        self.or_remembered(self.event_version(slug, version), seen).await
    }

    /// The images that are refused, at most two seconds old.
    ///
    /// # Errors
    /// When the store cannot say.
    pub async fn poison(&self) -> Result<Arc<[Suspect]>, StoreError> {
        self.poison.get(&(), async { self.store.poison().await.map(Arc::from) }).await
    }

    /// The pace of the machinery, at most two seconds old.
    ///
    /// # Errors
    /// When the store cannot say.
    pub async fn pace(&self) -> Result<Arc<Pace>, StoreError> {
        self.pace.get(&(), async { self.store.pace().await.map(Arc::new) }).await
    }
}
