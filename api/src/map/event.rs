//! The pins of one event: one for each participant, the latest success.
//!
//! A pin is a row with its texts ([`super::rows`]), and its number stands in a list for each question that
//! is asked of them ([`super::ranked`]): which submission, whose, when, and where ([`super::grid`]). That
//! takes about sixty bytes and the texts; a change or a search costs the logarithm of how many there are.

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    hash::{BuildHasher as _, RandomState},
    mem::size_of,
    sync::Arc,
};

use portcall_shared::{domain::ids::SubmissionId, store::pins::Pin};

use super::{
    course::{MOST_PLACES, Sketch},
    grid::{Bbox, Grid, Part, Tally},
    index::{Change, Found, MapSummary, Memory, Shown, Spot, View},
    mercator::{Cell, DEEPEST},
    places::Places,
    ranked::{Entry, Position, Ranked},
    rows::{Row, Rows, Texts, degrees},
};

/// Most cells and pins of one answer; a box that holds more is answered at a lesser zoom.
pub(super) const MOST_FOUND: usize = 10_000;
/// At the deepest zoom so many pins of one point are shown one by one.
const FANNED_OUT: usize = 200;
/// So many pins of a point are named in its cell.
pub(super) const NAMED: usize = 20;

/// The pins.
#[derive(Debug, Default)]
pub(super) struct EventMap {
    /// Every success, also those that a later one of the same participant hides.
    rows: Rows,
    places: Places,
    by_id: Ranked<u32>,
    /// Those of a participant follow each other, the latest last.
    by_participant: Ranked<Theirs>,
    /// The pins that are shown, by where they stand.
    grid: Grid,
    /// And in the order of time.
    order: Ranked<u32>,
    countries: BTreeMap<[u8; 2], usize>,
    revision: u64,
    hasher: RandomState,
}

/// A success under the hash of its participant. That two share one is seldom, and noticed.
#[derive(Clone, Copy, Debug)]
struct Theirs {
    participant: u32,
    number: u32,
}

impl Entry for Theirs {
    fn weight(&self) -> [i32; 2] {
        [0, 0]
    }
}

impl EventMap {
    /// All pins that are shown.
    pub(super) fn total(&self) -> usize {
        self.grid.total()
    }

    /// Counts its changes.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Every success, also those that are not shown.
    pub(super) fn ids(&self) -> impl Iterator<Item = SubmissionId> + '_ {
        self.by_id.iter().map(|number| self.rows.get(number).id())
    }

    /// The newest pins, the newest first.
    pub(super) fn recent(&self, most: usize) -> Vec<Shown> {
        self.order.iter().rev().take(most).filter_map(|number| self.pin(number)).collect()
    }

    /// When and where they came, in the order of time.
    pub(super) fn sketch(&self) -> Sketch {
        let mut pins = Vec::with_capacity(self.order.len());
        let rows = self.order.iter().map(|number| self.rows.get(number));
        pins.extend(rows.filter_map(|row| Some((row.at(), degrees(row.point)?))));
        Sketch { revision: self.revision, zoom: self.grid.deepest_with(MOST_PLACES), pins }
    }

    /// Takes in a success, as it is now.
    pub(super) fn put(&mut self, pin: &Pin) -> Change {
        let texts = Texts::of(pin).written();
        match self.find(pin.submission) {
            Some(known) if self.is(known, pin, &texts) => Change::None,
            Some(_) => self.take(pin.submission).and_then(self.add(pin, &texts)),
            None => self.add(pin, &texts),
        }
    }

    fn add(&mut self, pin: &Pin, texts: &[u8]) -> Change {
        let place = self.places.take(&pin.place);
        let row = Row::of(pin, place);
        let theirs = self.hash(&pin.participant);
        let before = self.shown(theirs, &pin.participant);
        let number = self.rows.add(row, texts);
        self.by_id.insert(self.id_position(pin.submission), number);
        let position = self.position_of_theirs(theirs, &row);
        self.by_participant.insert(position, Theirs { participant: theirs, number });
        let after = self.shown(theirs, &pin.participant);
        self.show(before, after)
    }

    /// Forgets a success.
    pub(super) fn take(&mut self, id: SubmissionId) -> Change {
        let Some(number) = self.find(id) else { return Change::None };
        let (row, participant) = (*self.rows.get(number), self.rows.texts(number).participant());
        let theirs = self.hash(&participant);
        let before = self.shown(theirs, &participant);
        self.by_participant.remove(self.position_of_theirs(theirs, &row));
        self.by_id.remove(self.id_position(id));
        let after = self.shown(theirs, &participant);
        let change = self.show(before, after);
        self.places.let_go(row.place);
        self.rows.remove(number);
        change
    }

    /// The number of a submission's row.
    fn find(&self, id: SubmissionId) -> Option<u32> {
        let number = self.by_id.get(self.id_position(id))?;
        (self.rows.get(number).id() == id).then_some(number)
    }

    /// Whether a row is just this pin.
    fn is(&self, number: u32, pin: &Pin, texts: &[u8]) -> bool {
        let row = self.rows.get(number);
        let place = self.places.text(row.place);
        **place == *pin.place && *row == Row::of(pin, row.place) && self.rows.are(number, texts)
    }

    fn id_position(&self, id: SubmissionId) -> Position {
        self.by_id.first_not(|number| self.rows.get(*number).id() < id)
    }

    fn position_of_theirs(&self, participant: u32, row: &Row) -> Position {
        let rank = row.rank();
        self.by_participant.first_not(|other| {
            let ordering = other.participant.cmp(&participant);
            ordering.then_with(|| self.rows.get(other.number).rank().cmp(&rank)).is_lt()
        })
    }

    fn position_in_time(&self, row: &Row) -> Position {
        let rank = row.rank();
        self.order.first_not(|number| self.rows.get(*number).rank() < rank)
    }

    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
    fn hash(&self, participant: &str) -> u32 {
        self.hasher.hash_one(participant) as u32
    }

    /// The pin of a participant: the latest.
    fn shown(&self, hash: u32, participant: &str) -> Option<u32> {
        let list = &self.by_participant;
        let from = list.first_not(|other| other.participant < hash);
        let to = list.first_not_in(from, list.end(), |other| other.participant <= hash);
        let numbers = list.between(from, to).rev().map(|theirs| theirs.number);
        { numbers }.find(|number| self.rows.texts(*number).participant() == participant)
    }

    /// Brings what is shown in line after a participant's pins changed.
    fn show(&mut self, before: Option<u32>, after: Option<u32>) -> Change {
        if before == after {
            return Change::None;
        }
        self.revision += 1;
        if let Some(number) = before {
            let row = *self.rows.get(number);
            self.grid.remove(number, row.point, rank(&self.rows, &row));
            self.order.remove(self.position_in_time(&row));
            self.places.hide(row.place);
            row.country().iter().for_each(|country| subtract(&mut self.countries, *country));
        }
        if let Some(number) = after {
            let row = *self.rows.get(number);
            self.grid.insert(number, row.point, rank(&self.rows, &row));
            self.order.insert(self.position_in_time(&row), number);
            self.places.show(row.place);
            if let Some(country) = row.country() {
                *self.countries.entry(country).or_default() += 1;
            }
        }
        match (before, after.and_then(|number| self.pin(number))) {
            (None, Some(pin)) => Change::Added(pin),
            (Some(_), Some(pin)) => Change::Replaced(pin),
            (_, None) => Change::Removed,
        }
    }

    /// What is shown of a row.
    fn pin(&self, number: u32) -> Option<Shown> {
        let (row, texts) = (self.rows.get(number), self.rows.texts(number));
        Some(Shown {
            submission: row.id(),
            name: texts.name.to_owned(),
            handle: texts.handle.map(ToOwned::to_owned),
            place: Arc::clone(self.places.text(row.place)),
            point: degrees(row.point)?,
            at: row.time(),
        })
    }

    /// What a box holds at a zoom.
    pub(super) fn view(&self, bbox: &Bbox, zoom: u8) -> View {
        let cells = self.grid.fitting(bbox, zoom, |parts| self.fits(parts));
        let mut found = Vec::with_capacity(cells.len());
        for (cell, tally) in &cells {
            self.describe(*cell, tally, &mut found);
        }
        View { found, total: self.grid.total(), revision: self.revision }
    }

    fn fits(&self, parts: &[Part]) -> bool {
        let fan_out = parts.first().is_some_and(|part| part.zoom() == DEEPEST);
        // At the deepest zoom all pins of a cell share one point.
        let size = |part: &Part| match self.grid.count(part) {
            count if count <= FANNED_OUT => count,
            _ => 1,
        };
        parts.len() <= MOST_FOUND
            && (!fan_out || parts.iter().map(size).sum::<usize>() <= MOST_FOUND)
    }

    fn describe(&self, cell: Cell, tally: &Tally, found: &mut Vec<Found>) {
        let pins = self.grid.members(tally).rev().filter_map(|number| self.pin(number));
        if fans_out(cell, tally) {
            found.extend(pins.map(Found::Pin));
            return;
        }
        let [lng, lat] = tally.centre();
        let bbox = if tally.one_point { [lng, lat, lng, lat] } else { cell.bounds() };
        found.push(Found::Spot(Spot {
            id: cell.id(),
            count: tally.count,
            centre: [lng, lat],
            bbox,
            members: pins.take(NAMED).collect(),
        }));
    }

    /// It in numbers.
    pub(super) fn summary(&self) -> MapSummary {
        let name = |country: &[u8; 2]| String::from_utf8_lossy(country).into_owned();
        let mut countries: Vec<(String, usize)> =
            self.countries.iter().map(|(country, pins)| (name(country), *pins)).collect();
        countries.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        MapSummary { pins: self.grid.total(), places: self.places.shown(), countries }
    }

    /// How much memory it takes.
    pub(super) fn memory(&self) -> Memory {
        let (rows, texts) = self.rows.bytes();
        let lists = self.by_id.bytes() + self.by_participant.bytes() + self.order.bytes();
        Memory {
            index: size_of::<Self>() + rows + lists + self.grid.bytes(),
            texts: texts + self.places.bytes(),
        }
    }
}

/// How other rows stand to this one in the order of time.
fn rank(rows: &Rows, row: &Row) -> impl Fn(u32) -> Ordering {
    let rank = row.rank();
    move |other| rows.get(other).rank().cmp(&rank)
}

/// Whether a cell's pins are shown one by one: a lone one always, and at the deepest zoom, where
/// they share one point and zooming in would not part them.
fn fans_out(cell: Cell, tally: &Tally) -> bool {
    tally.count == 1 || (cell.zoom == DEEPEST && tally.one_point && tally.count <= FANNED_OUT)
}

fn subtract(counts: &mut BTreeMap<[u8; 2], usize>, country: [u8; 2]) {
    if let Some(count) = counts.get_mut(&country) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&country);
        }
    }
}
