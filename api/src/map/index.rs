//! The pins of every event: one for each participant, the latest success.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
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

use super::{
    course::{MOST_PLACES, Sketch, milliseconds},
    grid::{Bbox, Grid, Tally},
    mercator::{Cell, DEEPEST},
};

/// Most cells and pins of one answer; a box that holds more is answered at a lesser zoom.
const MOST_FOUND: usize = 10_000;
/// So many pins are put in their places before others may look.
const AT_ONCE: usize = 1_000;
/// At the deepest zoom so many pins of one point are shown one by one.
const FANNED_OUT: usize = 200;
/// So many pins of a point are named in its cell.
const NAMED: usize = 20;

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
    Added(Arc<Pin>),
    /// A pin in another's place.
    Replaced(Arc<Pin>),
    /// A pin less.
    Removed,
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
    Pin(Arc<Pin>),
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
    pub members: Vec<Arc<Pin>>,
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

#[derive(Debug, Default)]
struct EventMap {
    /// Every success, also those that a later one of the same participant hides.
    known: HashMap<SubmissionId, Arc<Pin>>,
    of_participant: HashMap<String, BTreeSet<(OffsetDateTime, SubmissionId)>>,
    grid: Grid,
    /// The pins that are shown, in the order of time: when each passed, in milliseconds, and where.
    order: BTreeMap<(i64, SubmissionId), LatLng>,
    places: HashMap<String, usize>,
    countries: HashMap<String, usize>,
    revision: u64,
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
        let mut events = self.write();
        match Pin::of(submission) {
            Some(pin) => events.entry(pin.event.clone()).or_default().put(pin),
            None => match events.get_mut(&submission.event) {
                Some(map) => map.take(submission.id),
                None => Change::None,
            },
        }
    }

    /// Makes these all the pins there are. Answers in which events that changed anything. Whoever asks
    /// meanwhile waits for a few changes at most.
    pub fn replace(&self, pins: Vec<Pin>) -> Vec<EventSlug> {
        let (gone, others) = self.difference(pins);
        let mut changed = BTreeSet::new();
        for some in gone.chunks(AT_ONCE) {
            let mut events = self.write();
            for (slug, id) in some {
                let taken = events.get_mut(slug).map(|map| map.take(*id));
                if taken.is_some_and(|change| change != Change::None) {
                    changed.insert(slug.clone());
                }
            }
        }
        let mut others = others.into_iter().peekable();
        while others.peek().is_some() {
            let mut events = self.write();
            for pin in others.by_ref().take(AT_ONCE) {
                let slug = pin.event.clone();
                if events.entry(slug.clone()).or_default().put(pin) != Change::None {
                    changed.insert(slug);
                }
            }
        }
        changed.into_iter().collect()
    }

    /// What is here and not among these, and which of these are not here as they are.
    fn difference(&self, pins: Vec<Pin>) -> (Vec<(EventSlug, SubmissionId)>, Vec<Pin>) {
        let events = self.read();
        let kept: HashSet<SubmissionId> = pins.iter().map(|pin| pin.submission).collect();
        let gone = events.iter().flat_map(|(slug, map)| {
            let ids = map.known.keys().filter(|id| !kept.contains(id));
            ids.map(|id| (slug.clone(), *id))
        });
        let known = |pin: &Pin| {
            let map = events.get(&pin.event);
            map.and_then(|map| map.known.get(&pin.submission)).is_some_and(|known| **known == *pin)
        };
        (gone.collect(), pins.into_iter().filter(|pin| !known(pin)).collect())
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
    pub fn recent(&self, event: &EventSlug, most: usize) -> Vec<Arc<Pin>> {
        let events = self.read();
        let Some(map) = events.get(event) else { return Vec::new() };
        let newest = map.order.keys().rev().take(most);
        newest.filter_map(|(_, id)| map.known.get(id).cloned()).collect()
    }

    /// When and where the pins of an event came, in the order of time. What is held meanwhile is held
    /// for as long as it takes to copy so many numbers, and no longer.
    #[must_use]
    pub fn sketch(&self, event: &EventSlug) -> Sketch {
        let events = self.read();
        let Some(map) = events.get(event) else {
            return Sketch { revision: self.base, ..Sketch::default() };
        };
        let mut pins = Vec::with_capacity(map.order.len());
        pins.extend(map.order.iter().map(|((at, _), point)| (*at, *point)));
        let zoom = map.grid.deepest_with(MOST_PLACES);
        Sketch { revision: self.base + map.revision, zoom, pins }
    }

    /// An event's map in numbers.
    #[must_use]
    pub fn summary(&self, event: &EventSlug) -> MapSummary {
        self.read().get(event).map(EventMap::summary).unwrap_or_default()
    }

    /// The revision of an event's map.
    #[must_use]
    pub fn revision(&self, event: &EventSlug) -> u64 {
        self.base + self.read().get(event).map_or(0, |map| map.revision)
    }

    /// All pins of all events.
    #[must_use]
    pub fn total(&self) -> usize {
        self.read().values().map(|map| map.grid.total()).sum()
    }
}

impl EventMap {
    fn put(&mut self, pin: Pin) -> Change {
        match self.known.get(&pin.submission) {
            Some(known) if **known == pin => return Change::None,
            Some(_) => drop(self.take(pin.submission)),
            None => {}
        }
        let pin = Arc::new(pin);
        self.known.insert(pin.submission, Arc::clone(&pin));
        let before = self.shown(&pin.participant);
        let theirs = self.of_participant.entry(pin.participant.clone()).or_default();
        theirs.insert((pin.at, pin.submission));
        self.show(before, &pin.participant)
    }

    fn take(&mut self, id: SubmissionId) -> Change {
        let Some(pin) = self.known.get(&id).cloned() else { return Change::None };
        let before = self.shown(&pin.participant);
        if let Some(theirs) = self.of_participant.get_mut(&pin.participant) {
            theirs.remove(&(pin.at, id));
            if theirs.is_empty() {
                self.of_participant.remove(&pin.participant);
            }
        }
        self.known.remove(&id);
        self.show(before, &pin.participant)
    }

    /// The pin of a participant: the latest.
    fn shown(&self, participant: &str) -> Option<Arc<Pin>> {
        let (_, id) = self.of_participant.get(participant)?.last()?;
        self.known.get(id).cloned()
    }

    /// Brings the grid in line after a participant's pins changed.
    fn show(&mut self, before: Option<Arc<Pin>>, participant: &str) -> Change {
        let after = self.shown(participant);
        if before == after {
            return Change::None;
        }
        self.revision += 1;
        if let Some(pin) = &before {
            self.grid.remove(pin.submission, pin.point);
            self.order.remove(&(milliseconds(pin.at), pin.submission));
            subtract(&mut self.places, &pin.place);
            pin.country.iter().for_each(|country| subtract(&mut self.countries, country));
        }
        if let Some(pin) = &after {
            self.grid.insert(pin.submission, pin.point);
            self.order.insert((milliseconds(pin.at), pin.submission), pin.point);
            *self.places.entry(pin.place.clone()).or_default() += 1;
            if let Some(country) = &pin.country {
                *self.countries.entry(country.clone()).or_default() += 1;
            }
        }
        match (before, after) {
            (None, Some(pin)) => Change::Added(pin),
            (Some(_), Some(pin)) => Change::Replaced(pin),
            (_, None) => Change::Removed,
        }
    }

    fn view(&self, bbox: &Bbox, zoom: u8) -> View {
        let mut zoom = zoom.min(DEEPEST);
        let mut cells = self.grid.within(bbox, zoom);
        while zoom > 0 && self.size(&cells) > MOST_FOUND {
            zoom -= 1;
            cells = self.grid.within(bbox, zoom);
        }
        let mut found = Vec::with_capacity(cells.len());
        for (cell, tally) in &cells {
            self.describe(*cell, tally, &mut found);
        }
        View { found, total: self.grid.total(), revision: self.revision }
    }

    fn size(&self, cells: &[(Cell, Tally)]) -> usize {
        cells.iter().map(|(cell, tally)| if fans_out(*cell, tally) { tally.count } else { 1 }).sum()
    }

    fn describe(&self, cell: Cell, tally: &Tally, found: &mut Vec<Found>) {
        let members = self.grid.members(tally);
        let pins = members.iter().rev().filter_map(|id| self.known.get(id).cloned());
        if fans_out(cell, tally) && !members.is_empty() {
            found.extend(pins.map(Found::Pin));
            return;
        }
        let [lng, lat] = tally.centre();
        let bbox = if tally.points == 1 { [lng, lat, lng, lat] } else { cell.bounds() };
        found.push(Found::Spot(Spot {
            id: cell.id(),
            count: tally.count,
            centre: [lng, lat],
            bbox,
            members: pins.take(NAMED).collect(),
        }));
    }

    fn summary(&self) -> MapSummary {
        let mut countries: Vec<(String, usize)> =
            self.countries.iter().map(|(country, pins)| (country.clone(), *pins)).collect();
        countries.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        MapSummary { pins: self.grid.total(), places: self.places.len(), countries }
    }
}

/// Whether a cell's pins are shown one by one: a lone one always, and at the deepest zoom, where
/// they share one point and zooming in would not part them.
fn fans_out(cell: Cell, tally: &Tally) -> bool {
    tally.count == 1 || (cell.zoom == DEEPEST && tally.points == 1 && tally.count <= FANNED_OUT)
}

fn subtract(counts: &mut HashMap<String, usize>, key: &str) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
