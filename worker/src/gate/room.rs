//! Room on the node: looked at before a slot offers itself, and made by taking strangers' images
//! off it that were not used for the longest time. Nothing is removed for a submission that was
//! claimed already: by then its images may be counted on.
//!
//! Only images are touched that are copies anyway: those of the platform's own registry, and those
//! that this process fetched itself. What was used since the oldest grading under way began stays,
//! as does what a container uses. When this process asked for an image last is known. One that it
//! did not ask for may be what another worker on the same engine has just pulled: only when this
//! process has seen it there for longer than a pull and a grading can take it goes, and first then.
//! What was not asked for in a day goes even where there is room.
//!
//! What of ours is in an idle slot on the node says how full the disk is. Should a stranger have taken
//! it over, it can make this worker fetch images anew, or stop, and nothing else.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use portcall_shared::store::nodes::NodeDisk;
use tokio::{sync::Mutex, time::Instant};

use super::Gate;
use crate::{
    fleet::{Eviction, Fleet, FleetError, Slot, UsedImage},
    probe::{client::ProberError, wire::DiskSpace},
};

/// For so long a look at the disk is believed, unless something was graded since.
pub const LOOK: Duration = Duration::from_secs(10);
/// An image that was not asked for in so long goes.
pub const IDLE: Duration = Duration::from_secs(24 * 3600);
/// An image that this process did not ask for is another worker's for so long after it was first
/// seen: no pull and grading take longer.
pub const OTHERS: Duration = crate::quarantine::RECENT;
/// Between two looks at which images there are.
const NAMES: Duration = Duration::from_secs(60);
/// Between two rounds for images that were not asked for in a day.
const ROUND: Duration = Duration::from_secs(600);
/// Between two looks at what the platform's own registry holds.
const REGISTRY: Duration = Duration::from_secs(60);
/// One in so many of the files that there may be must be free, where they are counted.
const INODES: u64 = 50;
const MIB: u64 = 1024 * 1024;

/// Whether a slot may offer itself, as far as the disk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// It may.
    Enough,
    /// It may not.
    Lacking,
}

/// What holds images, and the disk under them.
pub trait Storage: Sync {
    /// What time it is there.
    fn now(&self) -> Instant;
    /// How full the disk is.
    fn space(&self) -> impl Future<Output = Result<DiskSpace, ProberError>> + Send;
    /// The names with a digest of all images.
    fn names(&self) -> impl Future<Output = Result<Vec<String>, FleetError>> + Send;
    /// What this process asked for.
    fn used(&self) -> Vec<UsedImage>;
    /// Removes an image, unless it is or was used since.
    fn evict(
        &self,
        name: &str,
        idle_since: Instant,
    ) -> impl Future<Output = Result<Eviction, FleetError>> + Send;
}

/// Looks after the room on a node. Shared by the slots that a worker has there.
#[derive(Debug)]
pub struct Housekeeper {
    /// How much must be free, in bytes.
    least: u64,
    /// What the names of images begin with that come from the platform's own registry.
    ours: Option<String>,
    /// Something was graded since the last look.
    stale: AtomicBool,
    look: Mutex<Look>,
}

/// When it is time to make room in the platform's own registry: that is the same one for all nodes.
/// Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct RegistryTurn(Arc<std::sync::Mutex<Option<Instant>>>);

impl RegistryTurn {
    /// Whether it is: for the first who asks in a while, and then for nobody.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now.duration_since(last) >= REGISTRY);
        if due {
            *last = Some(now);
        }
        due
    }
}

#[derive(Debug)]
struct Look {
    at: Option<Instant>,
    room: Room,
    round: Instant,
    seen: Seen,
}

/// Since when images are known to be there.
#[derive(Debug, Default)]
struct Seen {
    at: Option<Instant>,
    first: HashMap<String, Instant>,
}

impl Seen {
    /// These are there now, and no others.
    fn note(&mut self, names: Vec<String>, now: Instant) {
        let first = names.into_iter().map(|name| {
            let first = self.first.get(&name).copied().unwrap_or(now);
            (name, first)
        });
        self.first = first.collect();
        self.at = Some(now);
    }

    /// Those that were there at this time already, and are.
    fn since(&self, then: Option<Instant>) -> Vec<String> {
        let old = self.first.iter().filter(|(_, first)| then.is_some_and(|then| **first <= then));
        old.map(|(name, _)| name.clone()).collect()
    }
}

impl Housekeeper {
    /// So many bytes must be free; names of images that begin so are those of the platform's own
    /// registry. It begins now.
    #[must_use]
    pub fn new(least: u64, ours: Option<String>, began: Instant) -> Self {
        let seen = Seen::default();
        let look = Mutex::new(Look { at: None, room: Room::Enough, round: began, seen });
        Self { least, ours, stale: AtomicBool::new(false), look }
    }

    /// Something was graded: the next look is a fresh one.
    pub fn used(&self) {
        self.stale.store(true, Ordering::Relaxed);
    }

    /// Looks at the disk, unless that was done just now, and makes room if there is too little.
    /// Images that were asked for since `idle_since` stay.
    pub async fn keep(&self, storage: &impl Storage, idle_since: Instant, gate: &Gate) -> Room {
        let mut look = self.look.lock().await;
        let now = storage.now();
        let fresh = look.at.is_some_and(|at| now.duration_since(at) < LOOK);
        let stale = self.stale.swap(false, Ordering::Relaxed);
        if fresh && !stale {
            return look.room;
        }
        if look.seen.at.is_none_or(|at| now.duration_since(at) >= NAMES) {
            self.note_names(storage, &mut look.seen).await;
        }
        let space = match self.make(storage, idle_since, &mut look.seen).await {
            Ok(space) => space,
            Err(error) => {
                // A slot whose prober does not answer is replaced, and the next one asked.
                tracing::warn!(%error, "cannot look at the node's disk");
                return look.room;
            }
        };
        let lacking = self.lacking(space);
        look.room = if lacking.is_some() { Room::Lacking } else { Room::Enough };
        look.at = Some(storage.now());
        gate.disk(space, lacking);
        if now.duration_since(look.round) >= ROUND {
            look.round = now;
            self.remove_idle(storage, idle_since, now, &mut look.seen).await;
        }
        look.room
    }

    /// Only looks, and less often: for a slot that has offered itself, for which something may be
    /// claimed at any moment.
    pub async fn look(&self, storage: &impl Storage) -> Room {
        let mut look = self.look.lock().await;
        let now = storage.now();
        if look.at.is_some_and(|at| now.duration_since(at) < LOOK) {
            return look.room;
        }
        match storage.space().await {
            Ok(space) if self.lacking(space).is_some() => {
                // Whoever makes room looks for himself.
                look.at = None;
                Room::Lacking
            }
            Ok(_) => {
                look.at = Some(now);
                look.room
            }
            Err(_) => look.room,
        }
    }

    /// Removes images until there is room, or none is left to remove; the disk after that.
    async fn make(
        &self,
        storage: &impl Storage,
        idle_since: Instant,
        seen: &mut Seen,
    ) -> Result<DiskSpace, ProberError> {
        let mut space = storage.space().await?;
        if self.lacking(space).is_none() {
            return Ok(space);
        }
        let long_there = storage.now().checked_sub(OTHERS);
        for name in self.candidates(storage, idle_since, long_there, seen).await {
            if self.remove(storage, &name, idle_since).await == Eviction::Removed {
                space = storage.space().await?;
                if self.lacking(space).is_none() {
                    break;
                }
            }
        }
        Ok(space)
    }

    async fn remove_idle(
        &self,
        storage: &impl Storage,
        idle_since: Instant,
        now: Instant,
        seen: &mut Seen,
    ) {
        let Some(day_ago) = now.checked_sub(IDLE) else { return };
        let idle_since = idle_since.min(day_ago);
        for name in self.candidates(storage, idle_since, Some(day_ago), seen).await {
            self.remove(storage, &name, idle_since).await;
        }
    }

    /// Looks at which images there are; those that it cannot list are no longer known to be there.
    async fn note_names(&self, storage: &impl Storage, seen: &mut Seen) {
        let names = match self.ours {
            None => Ok(Vec::new()),
            Some(_) => storage.names().await,
        };
        let names = names.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot list the node's images");
            Vec::new()
        });
        seen.note(names, storage.now());
    }

    /// What may go, the first first. Of what was not asked for, that which was there at
    /// `long_there` and has not gone since.
    async fn candidates(
        &self,
        storage: &impl Storage,
        idle_since: Instant,
        long_there: Option<Instant>,
        seen: &mut Seen,
    ) -> Vec<String> {
        self.note_names(storage, seen).await;
        evictable(seen.since(long_there), storage.used(), self.ours.as_deref(), idle_since)
    }

    async fn remove(&self, storage: &impl Storage, name: &str, idle_since: Instant) -> Eviction {
        match storage.evict(name, idle_since).await {
            Ok(Eviction::Removed) => {
                metrics::counter!("portcall_images_evicted_total").increment(1);
                tracing::info!(image.ref = name, "removed an image from the node");
                Eviction::Removed
            }
            Ok(other) => other,
            Err(error) => {
                tracing::warn!(image.ref = name, %error, "cannot remove an image from the node");
                Eviction::InUse
            }
        }
    }

    /// In what way there is too little room, if there is.
    fn lacking(&self, space: DiskSpace) -> Option<String> {
        let DiskSpace { free_bytes, free_inodes, total_inodes, .. } = space;
        if free_bytes < self.least {
            let (free, least) = (free_bytes / MIB, self.least / MIB);
            return Some(format!("has {free} MiB of free disk, and {least} are needed"));
        }
        if self.least > 0 && free_inodes < total_inodes / INODES {
            return Some(format!("has room for {free_inodes} of {total_inodes} files"));
        }
        None
    }
}

/// Strangers' images of these names, and those that were not asked for since `idle_since`.
fn evictable(
    names: Vec<String>,
    used: Vec<UsedImage>,
    ours: Option<&str>,
    idle_since: Instant,
) -> Vec<String> {
    let is_ours = |name: &str| ours.is_some_and(|prefix| name.starts_with(prefix));
    let known: HashSet<String> = used.iter().map(|image| image.name.clone()).collect();
    let mut unknown: Vec<String> =
        names.into_iter().filter(|name| is_ours(name) && !known.contains(name)).collect();
    unknown.sort();
    let mut old: Vec<UsedImage> = used
        .into_iter()
        .filter(|image| (image.fetched || is_ours(&image.name)) && image.last < idle_since)
        .collect();
    old.sort_by(|a, b| (a.last, &a.name).cmp(&(b.last, &b.name)));
    unknown.into_iter().chain(old.into_iter().map(|image| image.name)).collect()
}

/// A node, asked through one of its slots.
#[derive(Clone, Copy, Debug)]
pub struct OnNode<'a> {
    /// The way to its engine.
    pub fleet: &'a Fleet,
    /// A slot in which nobody is.
    pub slot: &'a Slot,
}

impl Storage for OnNode<'_> {
    fn now(&self) -> Instant {
        Instant::now()
    }

    async fn space(&self) -> Result<DiskSpace, ProberError> {
        self.fleet.disk(self.slot).await
    }

    async fn names(&self) -> Result<Vec<String>, FleetError> {
        self.fleet.image_names().await
    }

    fn used(&self) -> Vec<UsedImage> {
        self.fleet.used_images()
    }

    async fn evict(&self, name: &str, idle_since: Instant) -> Result<Eviction, FleetError> {
        self.fleet.evict(name, idle_since).await
    }
}

/// As it is stored.
#[must_use]
pub fn stored(space: DiskSpace) -> NodeDisk {
    NodeDisk {
        free: space.free_bytes,
        total: space.total_bytes,
        free_inodes: space.free_inodes,
        total_inodes: space.total_inodes,
    }
}

#[cfg(test)]
mod tests;
