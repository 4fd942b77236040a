//! The numbers of every event, in memory: whoever asks for them costs the store nothing.
//!
//! They are counted when the process starts, follow the change stream, and are looked over like the map
//! ([`crate::map::reading`]). What a request of this process read or wrote is counted at once, so that whoever
//! was answered does not find numbers from before.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use portcall_shared::{
    domain::{ids::EventSlug, submission::Submission},
    store::{glances::Glance, stats::Stats, tally::Tally},
};
use time::OffsetDateTime;

/// The numbers of every event.
#[derive(Debug, Default)]
pub struct Numbers(RwLock<HashMap<EventSlug, Tally>>);

impl Numbers {
    fn read(&self) -> RwLockReadGuard<'_, HashMap<EventSlug, Tally>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<EventSlug, Tally>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in how a submission is now.
    pub fn saw(&self, submission: &Submission) {
        if let Some(glance) = Glance::of(submission) {
            self.put(&glance);
        }
    }

    /// The same of a glance at it.
    pub fn put(&self, glance: &Glance) {
        let mut events = self.write();
        match events.get_mut(&glance.event) {
            Some(tally) => tally.put(glance),
            None => events.entry(glance.event.clone()).or_default().put(glance),
        };
    }

    /// Forgets all submissions but those whose keys ([`Tally::key`]) are among them; how many there were.
    pub fn keep_only(&self, those: impl Fn(u64) -> bool) -> usize {
        self.write().values_mut().map(|tally| tally.keep_only(&those)).sum()
    }

    /// The numbers of an event.
    #[must_use]
    pub fn of(&self, event: &EventSlug) -> Stats {
        self.read().get(event).map(Tally::stats).unwrap_or_default()
    }

    /// How many of an event's submissions are in each state.
    #[must_use]
    pub fn states(&self, event: &EventSlug) -> BTreeMap<String, u64> {
        self.read().get(event).map(Tally::states).unwrap_or_default()
    }

    /// How many submissions came to an event before the hour that a time lies in.
    #[must_use]
    pub fn came_before_the_hour_of(&self, event: &EventSlug, at: OffsetDateTime) -> u64 {
        self.read().get(event).map_or(0, |tally| tally.came_before_the_hour_of(at))
    }
}
