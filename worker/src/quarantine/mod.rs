//! The quarantine: the platform's own registry, from which alone nodes pull.
//!
//! The worker copies a pinned image into it, under limits, looking at every byte while it passes.
//! What is there is not copied again, and submissions of the same image at the same time share one
//! copy. So no node ever speaks with a registry that a stranger chose, and none unpacks a layer
//! that was not looked at.
//!
//! All images lie in one repository, so that they share blobs; manifests are there by digest alone.
//! A copy goes on when those who waited for it have gone: whoever comes next finds it done.

mod copy;
mod deadline;
mod fault;
pub mod inspect;
pub mod limits;
mod rate;
mod room;
pub mod scan;
mod story;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use portcall_shared::{
    domain::{
        image::{Digest, ImageRef, RegistryHost},
        state::{GRADING_LIMIT, GRADING_SLACK},
        submission::Pinned,
        verdict::Fault,
    },
    registry::{Registry, push::OwnRegistry},
    store::{Store, quarantine::CopyEnd},
};
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use self::{
    deadline::Deadline,
    fault::Over,
    room::Keeper,
    story::{Copied, Story, Waits},
};
pub use self::{
    limits::CopyLimits,
    room::{NoRoom, Room},
};
use crate::settings::QuarantineSettings;

/// The one repository in which everything lies.
const REPOSITORY: &str = "strangers";
/// How many blobs a worker copies at once.
const AT_ONCE: usize = 4;
/// How many of them from the same registry.
const FROM_ONE: usize = 2;
/// How long a copy that ran out of time may take to cancel its uploads and end.
const ENDING: Duration = Duration::from_secs(10);
/// What was used within this time is not taken away: the longest grading with the copy that it may
/// have waited for, and some slack.
pub const RECENT: Duration = Duration::from_secs(
    2 * (GRADING_LIMIT.whole_seconds() + GRADING_SLACK.whole_seconds()).unsigned_abs(),
);

/// The quarantine as one worker sees it. Cheap to clone.
#[derive(Clone)]
pub struct Quarantine {
    shared: Arc<Inner>,
}

struct Inner {
    own: OwnRegistry,
    source: Registry,
    store: Store,
    unpacked: u64,
    keeper: Keeper,
    all: Arc<Semaphore>,
    hosts: Mutex<HashMap<RegistryHost, Arc<Semaphore>>>,
    flights: Mutex<HashMap<String, Flight>>,
}

/// A copy that is under way.
#[derive(Clone)]
struct Flight {
    deadline: Deadline,
    /// It is put off no further, whoever comes.
    last: Instant,
    waits: Arc<Waits>,
    ended: Shared<BoxFuture<'static, Result<(), Fault>>>,
}

impl fmt::Debug for Quarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quarantine").field("own", &self.shared.own).finish_non_exhaustive()
    }
}

impl Quarantine {
    /// The quarantine of these settings. `source` asks strangers' registries; `plain_http` are the
    /// hosts that are spoken to without TLS, of which ours may be one.
    #[must_use]
    pub fn new(
        settings: &QuarantineSettings,
        plain_http: &[RegistryHost],
        source: Registry,
        store: Store,
    ) -> Self {
        Self::keeping(settings, plain_http, source, store, RECENT)
    }

    /// The same, that takes nothing away which was used within `recent`.
    #[must_use]
    pub fn keeping(
        settings: &QuarantineSettings,
        plain_http: &[RegistryHost],
        source: Registry,
        store: Store,
        recent: Duration,
    ) -> Self {
        let own = OwnRegistry::new(&settings.host, REPOSITORY, plain_http);
        let keeper = Keeper {
            own: own.clone(),
            store: store.clone(),
            budget: settings.budget,
            recent,
            alone: Arc::default(),
        };
        let shared = Inner {
            own,
            source,
            store,
            unpacked: settings.unpacked,
            keeper,
            all: Arc::new(Semaphore::new(AT_ONCE)),
            hosts: Mutex::default(),
            flights: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// What an image may be when it is unpacked, in bytes.
    #[must_use]
    pub fn unpacked(&self) -> u64 {
        self.shared.unpacked
    }

    /// Sees to it that the image is here, and gives the name by which nodes pull it.
    ///
    /// # Errors
    /// What is wrong with the image, that its registry did not deliver it, that there is no room
    /// for it now, or that our own registry did not take it; each with its owner.
    pub async fn admit(
        &self,
        image: &ImageRef,
        pinned: &Pinned,
        limits: &CopyLimits,
        by: Instant,
    ) -> Result<String, Fault> {
        let flight = self.join(image, &pinned.digest, limits, by);
        let Flight { deadline, waits, mut ended, .. } = flight;
        let mut copied = timeout_at(by, &mut ended).await;
        if copied.is_err() && deadline.left().is_zero() {
            // It ends just now, and says itself why.
            copied = timeout_at(by + ENDING, ended).await;
        }
        match copied {
            Ok(Ok(())) => Ok(self.shared.own.pinned(&pinned.digest)),
            Ok(Err(fault)) => Err(fault),
            // It goes on for somebody who has more time.
            Err(_) => {
                let how = if waits.for_us() { Over::Ours } else { Over::Dripping };
                Err(fault::over(image, how))
            }
        }
    }

    /// Takes the longest unused images away until what is kept leaves a quarter of the budget for
    /// what comes. Nothing that was used lately is taken, nor anything that belongs to another
    /// image. The disk is given back when the registry collects its garbage
    /// (`infra/quarantine/sweep`), and counts as taken until then.
    ///
    /// # Errors
    /// When the registry or the store do not answer.
    pub async fn make_room(&self) -> Result<Room, NoRoom> {
        self.shared.keeper.make().await
    }

    /// The copy of this image that is under way, or a new one. It is of one source: a registry that
    /// stalls must not hold up those who have the same image from elsewhere. Those who join it give
    /// it more time, at most as much again as the first one had.
    fn join(&self, image: &ImageRef, digest: &Digest, limits: &CopyLimits, by: Instant) -> Flight {
        let key = format!("{} {limits:?}", image.pinned(digest));
        let mut flights = locked(&self.shared.flights);
        if let Some(flight) = flights.get(&key) {
            flight.deadline.extend(by.min(flight.last));
            return flight.clone();
        }
        let deadline = Deadline::at(by);
        let last = by + by.saturating_duration_since(Instant::now());
        let waits = Arc::<Waits>::default();
        let host = Arc::clone(
            locked(&self.shared.hosts)
                .entry(image.host().clone())
                .or_insert_with(|| Arc::new(Semaphore::new(FROM_ONE))),
        );
        let story = Story {
            image: image.clone(),
            digest: digest.clone(),
            limits: limits.clone(),
            deadline: deadline.clone(),
            source: self.shared.source.clone(),
            own: self.shared.own.clone(),
            store: self.shared.store.clone(),
            keeper: self.shared.keeper.clone(),
            name: uuid::Uuid::new_v4().simple().to_string(),
            waits: Arc::clone(&waits),
            all: Arc::clone(&self.shared.all),
            host,
            given_up: CancellationToken::new(),
        };
        let (quarantine, own_key) = (self.clone(), key.clone());
        let copying = tokio::spawn(async move {
            let ended = told(&story).await;
            locked(&quarantine.shared.flights).remove(&own_key);
            ended
        });
        let lost = (self.clone(), key.clone());
        let ended = copying.map(move |ended| {
            ended.unwrap_or_else(|_| {
                // It panicked, or the process ends.
                locked(&lost.0.shared.flights).remove(&lost.1);
                Err(fault::broken())
            })
        });
        let flight = Flight { deadline, last, waits, ended: ended.boxed().shared() };
        flights.insert(key, flight.clone());
        flight
    }
}

/// Copies an image and tells of it.
async fn told(story: &Story) -> Result<(), Fault> {
    let began = Instant::now();
    let copied = story.tell().await;
    note_end(story, &copied).await;
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (image, digest) = (&story.image, &story.digest);
    let outcome = match &copied {
        Ok(Copied::Nothing) => "there",
        Ok(Copied::Layers { .. }) => "copied",
        Err(Fault::Participant(_)) => "refused",
        Err(Fault::Registry(_)) => "registry",
        Err(Fault::Platform(_)) => "platform",
    };
    metrics::counter!("portcall_quarantine_copies_total", "outcome" => outcome).increment(1);
    match copied {
        Ok(Copied::Nothing) => {
            tracing::debug!(image.ref = %image, image.digest = %digest, duration_ms = ms, "in quarantine already");
        }
        Ok(Copied::Layers { copied, reused }) => {
            tracing::info!(
                image.ref = %image, image.digest = %digest, layers.copied = copied,
                layers.reused = reused, duration_ms = ms, "copied into quarantine"
            );
        }
        Err(fault) => {
            let reason = fault.reason();
            tracing::info!(
                image.ref = %image, image.digest = %digest, reason = reason.code,
                duration_ms = ms, "not copied into quarantine: {}", reason.message
            );
            return Err(fault);
        }
    }
    Ok(())
}

/// Gives the room back that was kept for the copy.
async fn note_end(story: &Story, copied: &Result<Copied, Fault>) {
    let end = match copied {
        Ok(Copied::Nothing) => return,
        Ok(Copied::Layers { .. }) => CopyEnd::Whole,
        Err(Fault::Participant(_)) => CopyEnd::Refused,
        Err(Fault::Registry(_) | Fault::Platform(_)) => CopyEnd::Failed,
    };
    if let Err(error) = story.store.copy_ended(&story.digest, &story.name, end).await {
        tracing::warn!(%error, image.digest = %story.digest, "a copy that ended is still noted");
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn digest_of(bytes: &[u8]) -> Digest {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}").parse().expect("64 hex digits are a digest")
}
