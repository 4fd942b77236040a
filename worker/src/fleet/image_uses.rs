//! How an image came, and when which was last asked for here, in memory: what goes first when a node is full.
//!
//! What was used before this process began is not known; whoever asks takes it for the oldest.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use super::workload::ImageDeclares;

/// A stranger's image that this fleet may have to do with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedImage {
    /// Its name with a digest, by which it was asked for.
    pub name: String,
    /// When it was asked for last.
    pub last: Instant,
    /// Whether it was this fleet that brought it onto the node.
    pub fetched: bool,
}

/// An image that can be started.
#[derive(Debug)]
pub struct Pulled {
    /// How it came.
    pub came: Came,
    /// What its configuration says.
    pub declares: ImageDeclares,
}

/// How an image came to be on the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// It was there.
    AlreadyThere,
    /// It was fetched from its registry.
    Fetched,
    /// A swarm's node fetches it when its task is started; see [`Fleet::start_within`](super::Fleet::start_within).
    WhenStarted,
}

/// What became of an image that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// It was there and is gone, or at least its name is.
    Removed,
    /// It was gone before.
    AlreadyGone,
    /// Something uses it, or may be about to.
    InUse,
}

/// The uses, by name.
#[derive(Debug, Default)]
pub(super) struct ImageUses(Mutex<HashMap<String, (Instant, bool)>>);

impl ImageUses {
    /// It is asked for now.
    pub(super) fn used(&self, name: &str) {
        let now = Instant::now();
        self.lock().entry(name.to_owned()).or_insert((now, false)).0 = now;
    }

    /// It was brought onto the node just now.
    pub(super) fn fetched(&self, name: &str) {
        self.lock().insert(name.to_owned(), (Instant::now(), true));
    }

    /// It is on the node no more.
    pub(super) fn gone(&self, name: &str) {
        self.lock().remove(name);
    }

    /// When it was asked for last.
    pub(super) fn last(&self, name: &str) -> Option<Instant> {
        self.lock().get(name).map(|(last, _)| *last)
    }

    /// All of them, in no order.
    pub(super) fn all(&self) -> Vec<UsedImage> {
        let used = |(name, (last, fetched)): (&String, &(Instant, bool))| UsedImage {
            name: name.clone(),
            last: *last,
            fetched: *fetched,
        };
        self.lock().iter().map(used).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Instant, bool)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_the_last_one_and_what_was_fetched_stays_so() {
        let uses = ImageUses::default();
        uses.used("a@sha256:1");
        uses.fetched("b@sha256:2");
        let between = Instant::now();
        uses.used("b@sha256:2");
        let mut all = uses.all();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        assert!(all[0].last <= between && !all[0].fetched);
        assert!(all[1].last >= between && all[1].fetched);
        uses.gone("b@sha256:2");
        assert_eq!(uses.last("b@sha256:2"), None);
        assert_eq!(uses.last("a@sha256:1"), Some(all[0].last));
    }
}
