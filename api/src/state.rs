//! The one bag of what the api's parts share: built in one place, cheap to clone, handed in.

use std::{sync::Arc, time::Duration};

use portcall_shared::{
    domain::ids::EventSlug,
    registry::Registry,
    shutdown::Stop,
    store::{
        Store, StoreError,
        doors::Closing,
        events::EventVersion,
        stats::{Pace, Stats, StepTimes},
    },
};

use tokio::sync::Semaphore;

use crate::{
    cache::Brief,
    client::Proxies,
    live::Hub,
    map::{index::MapIndex, replays::Replays},
    problem::ApiError,
    queue::Queue,
    rates::Rates,
    settings::Settings,
    webhooks::Webhooks,
};

/// How long the list of events stays good.
const EVENTS_GOOD: Duration = Duration::from_secs(1);
/// How long the numbers of an event stay good.
const STATS_GOOD: Duration = Duration::from_secs(1);
/// How long the pace of the machinery stays good.
const PACE_GOOD: Duration = Duration::from_secs(2);
/// How long the step times of an event stay good.
const STEP_TIMES_GOOD: Duration = Duration::from_secs(10);
/// How long a version of an event stays in memory; it never changes.
const VERSION_GOOD: Duration = Duration::from_secs(600);

/// How many look through all submissions of an event at once, so that there are connections to the store
/// for everybody else.
const SEARCHES: usize = 3;

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
    /// The pins, in memory.
    pub map: MapIndex,
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
    stats: Brief<EventSlug, Arc<Stats>>,
    pace: Brief<(), Arc<Pace>>,
    step_times: Brief<EventSlug, Arc<[StepTimes]>>,
    versions: Brief<(EventSlug, i32), Option<EventVersion>>,
    seen: Brief<EventSlug, ()>,
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
            map: MapIndex::counting_from(started.unsigned_abs()),
            replays: Replays::default(),
            hub,
            webhooks: Webhooks::default(),
            queue: Queue::default(),
            rates,
            searches: Semaphore::new(SEARCHES),
            proxies,
            stop,
            events: Brief::new(EVENTS_GOOD),
            stats: Brief::new(STATS_GOOD),
            pace: Brief::new(PACE_GOOD),
            step_times: Brief::new(STEP_TIMES_GOOD),
            versions: Brief::new(VERSION_GOOD),
            seen: Brief::new(VERSION_GOOD),
        }))
    }
}

impl Shared {
    /// The current version of an event.
    ///
    /// # Errors
    /// When there is none, or the store cannot say.
    pub async fn event(&self, slug: &EventSlug) -> Result<EventVersion, ApiError> {
        let event = self.store.event(slug).await?.ok_or(ApiError::NotFound("event"))?;
        self.seen.keep(slug, ()).await;
        Ok(event)
    }

    /// The current version of every event, at most a second old.
    ///
    /// # Errors
    /// When the store cannot say.
    pub async fn events(&self) -> Result<Arc<[EventVersion]>, StoreError> {
        self.events.get(&(), async { self.store.events().await.map(Arc::from) }).await
    }

    /// Reads the pins and which events there are into memory.
    ///
    /// # Errors
    /// When the store cannot say.
    pub async fn read_map(&self) -> Result<Vec<EventSlug>, StoreError> {
        let (pins, events) = tokio::try_join!(self.store.pins(), self.store.events())?;
        for version in events {
            self.seen.keep(&version.event.slug, ()).await;
        }
        Ok(self.map.replace(pins))
    }

    /// That there is such an event. Once it was seen the store is not asked again: the map goes on
    /// from memory while the store is away.
    ///
    /// # Errors
    /// When there is none, or the store cannot say.
    pub async fn is_event(&self, slug: &EventSlug) -> Result<(), ApiError> {
        if self.map.summary(slug).pins > 0 || self.seen.last(slug).await.is_some() {
            return Ok(());
        }
        self.event(slug).await.map(drop)
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

    /// The numbers of an event, at most a second old.
    ///
    /// # Errors
    /// When the store cannot say.
    pub async fn stats(&self, event: &EventSlug) -> Result<Arc<Stats>, StoreError> {
        self.stats.get(event, async { self.store.stats(event).await.map(Arc::new) }).await
    }

    /// The numbers of an event as they are now.
    ///
    /// # Errors
    /// When the store cannot say.
    pub async fn stats_now(&self, event: &EventSlug) -> Result<Arc<Stats>, StoreError> {
        self.stats.renew(event, async { self.store.stats(event).await.map(Arc::new) }).await
    }

    /// How long the steps of an event's gradings take, at most ten seconds old.
    ///
    /// # Errors
    /// When the store cannot say.
    pub async fn step_times(&self, event: &EventSlug) -> Result<Arc<[StepTimes]>, StoreError> {
        let read = async { self.store.step_times(event).await.map(Arc::from) };
        self.step_times.get(event, read).await
    }

    /// The pace of the machinery, at most two seconds old.
    ///
    /// # Errors
    /// When the store cannot say.
    pub async fn pace(&self) -> Result<Arc<Pace>, StoreError> {
        self.pace.get(&(), async { self.store.pace().await.map(Arc::new) }).await
    }
}
