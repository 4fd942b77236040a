//! The pins of every event: one for each participant, the latest success.
//!
//! What is kept of an event is [`super::event`]'s. Whoever asks and whoever tells have it in turns, each for
//! about as long as it takes to answer one viewport.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use portcall_shared::{
    domain::{
        ids::{EventSlug, SubmissionId},
        place::LatLng,
        submission::Submission,
    },
    store::pins::Pin,
};
use time::OffsetDateTime;

use super::{course::Sketch, event::EventMap, grid::Bbox};

/// The pins of every event, in memory.
#[derive(Debug, Default)]
pub struct MapIndex {
    events: RwLock<HashMap<EventSlug, EventMap>>,
    /// What revisions are counted from.
    base: u64,
}

/// What a change of a submission did to its event's map.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Nothing.
    None,
    /// A pin more.
    Added(Shown),
    /// A pin in another's place.
    Replaced(Shown),
    /// A pin less.
    Removed,
}

/// What a map shows of a pin.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The submission that passed.
    pub submission: SubmissionId,
    /// The participant's name.
    pub name: String,
    /// The participant's handle.
    pub handle: Option<String>,
    /// The place's name.
    pub place: Arc<str>,
    /// Where it stands.
    pub point: LatLng,
    /// When it passed.
    pub at: OffsetDateTime,
}

/// What a box of the map holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// Cells and pins.
    pub found: Vec<Found>,
    /// All pins of the event.
    pub total: usize,
    /// Counts the changes of the event's map.
    pub revision: u64,
}

/// One thing on the map.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// A pin that stands alone.
    Pin(Shown),
    /// Several.
    Spot(Spot),
}

/// Several pins.
#[derive(Clone, Debug, PartialEq)]
pub struct Spot {
    /// `zoom/x/y`.
    pub id: String,
    /// How many.
    pub count: usize,
    /// Their middle: longitude, latitude.
    pub centre: [f64; 2],
    /// West, south, east, north: the cell, or the one point that they share.
    pub bbox: [f64; 4],
    /// If they share one point: some of them, the newest first.
    pub members: Vec<Shown>,
}

/// An event's map in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapSummary {
    /// Its pins.
    pub pins: usize,
    /// The names of places among them.
    pub places: usize,
    /// Countries with their pins, the most first.
    pub countries: Vec<(String, usize)>,
}

/// How much memory the pins take, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The rows, and the lists that they are found by.
    pub index: usize,
    /// The names and handles, and the names of places.
    pub texts: usize,
}

impl Change {
    /// This one and then that one.
    pub(super) fn and_then(self, then: Self) -> Self {
        match (self, then) {
            (Self::None, then) => then,
            (first, Self::None) => first,
            (_, Self::Added(pin) | Self::Replaced(pin)) => Self::Replaced(pin),
            (_, Self::Removed) => Self::Removed,
        }
    }
}

impl Shown {
    /// Of a pin.
    #[must_use]
    pub fn of(pin: &Pin) -> Self {
        Self {
            submission: pin.submission,
            name: pin.name.clone(),
            handle: pin.handle.clone(),
            place: Arc::from(&*pin.place),
            point: pin.point,
            at: pin.at,
        }
    }
}

impl MapIndex {
    /// An empty index. A base that is different in every process, such as the time of its start,
    /// keeps a client that comes from another process from taking its revision for one of ours.
    #[must_use]
    pub fn counting_from(base: u64) -> Self {
        Self { events: RwLock::default(), base }
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<EventSlug, EventMap>> {
        self.events.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<EventSlug, EventMap>> {
        self.events.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what a submission is now.
    pub fn observe(&self, submission: &Submission) -> Change {
        self.settle(submission.id, &submission.event, Pin::of(submission))
    }

    /// Takes in which pin a submission is now, if any.
    pub fn settle(&self, id: SubmissionId, event: &EventSlug, pin: Option<Pin>) -> Change {
        let mut events = self.write();
        match pin {
            Some(pin) => events.entry(pin.event.clone()).or_default().put(&pin),
            None => events.get_mut(event).map_or(Change::None, |map| map.take(id)),
        }
    }

    /// Takes away all pins but those. Answers in which events that changed anything. Whoever asks meanwhile
    /// waits for a few changes at most.
    pub fn keep_only(&self, those: impl Fn(SubmissionId) -> bool) -> BTreeSet<EventSlug> {
        let gone: Vec<(EventSlug, SubmissionId)> = {
            let events = self.read();
            let gone = events.iter().flat_map(|(slug, map)| {
                map.ids().filter(|id| !those(*id)).map(|id| (slug.clone(), id))
            });
            gone.collect()
        };
        let taken = |(slug, id): &(EventSlug, SubmissionId)| {
            (self.settle(*id, slug, None) != Change::None).then(|| slug.clone())
        };
        gone.iter().filter_map(taken).collect()
    }

    /// Makes these all the pins there are. Answers in which events that changed anything.
    pub fn replace(&self, pins: Vec<Pin>) -> Vec<EventSlug> {
        let kept: HashSet<SubmissionId> = pins.iter().map(|pin| pin.submission).collect();
        let mut changed = self.keep_only(|id| kept.contains(&id));
        for pin in pins {
            let event = pin.event.clone();
            if self.settle(pin.submission, &event, Some(pin)) != Change::None {
                changed.insert(event);
            }
        }
        changed.into_iter().collect()
    }

    /// What a box of an event's map holds at a zoom.
    #[must_use]
    pub fn view(&self, event: &EventSlug, bbox: &Bbox, zoom: u8) -> View {
        let mut view = self.read().get(event).map(|map| map.view(bbox, zoom)).unwrap_or_default();
        view.revision += self.base;
        view
    }

    /// The newest pins of an event, the newest first.
    #[must_use]
    pub fn recent(&self, event: &EventSlug, most: usize) -> Vec<Shown> {
        let events = self.read();
        events.get(event).map(|map| map.recent(most)).unwrap_or_default()
    }

    /// When and where the pins of an event came, in the order of time. What is held meanwhile is held
    /// for as long as it takes to copy so many numbers, and no longer.
    #[must_use]
    pub fn sketch(&self, event: &EventSlug) -> Sketch {
        let events = self.read();
        let mut sketch = events.get(event).map(EventMap::sketch).unwrap_or_default();
        sketch.revision += self.base;
        sketch
    }

    /// An event's map in numbers.
    #[must_use]
    pub fn summary(&self, event: &EventSlug) -> MapSummary {
        self.read().get(event).map(EventMap::summary).unwrap_or_default()
    }

    /// The revision of an event's map.
    #[must_use]
    pub fn revision(&self, event: &EventSlug) -> u64 {
        self.base + self.read().get(event).map_or(0, EventMap::revision)
    }

    /// All pins of all events.
    #[must_use]
    pub fn total(&self) -> usize {
        self.read().values().map(EventMap::total).sum()
    }

    /// How much memory all of them take.
    #[must_use]
    pub fn memory(&self) -> Memory {
        self.read().values().map(EventMap::memory).fold(Memory::default(), |sum, one| Memory {
            index: sum.index + one.index,
            texts: sum.texts + one.texts,
        })
    }
}

#[cfg(test)]
mod tests;
