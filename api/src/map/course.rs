//! How an event's pins came along the time: what a replay of it is made of.
//!
//! The time from the first pin to the last is cut into steps of equal length, the map into squares, and
//! told is how many pins came in which step into which square. Both are coarse enough that the answer
//! stays small however many pins there are: there are at most [`MOST_PLACES`] squares, and where the
//! pairs of step and square would be more than [`MOST_PAIRS`], larger squares are taken. The counts
//! always sum up to the pins.
//!
//! Nothing of this is done while the map is held: [`super::index::MapIndex::sketch`] copies what it
//! takes, [`Course::of`] orders it once, and [`Course::replay`] counts it for as many steps as asked.

use std::collections::HashMap;

use portcall_shared::domain::place::LatLng;
use time::OffsetDateTime;

use super::mercator::{Cell, thousandths};

/// Most squares of an answer.
pub const MOST_PLACES: usize = 5_000;
/// Most pairs of step and square of an answer: at most 1.5 MB of JSON.
pub const MOST_PAIRS: usize = 100_000;
/// Most steps of an answer.
pub const MOST_STEPS: u32 = 600;

/// What of a map is copied for it.
#[derive(Clone, Debug, Default)]
pub struct Sketch {
    /// Of which revision of the map it is.
    pub revision: u64,
    /// The deepest zoom at which there are few enough squares.
    pub zoom: u8,
    /// When each pin came, in milliseconds since 1970, and where; in the order of time.
    pub pins: Vec<(i64, LatLng)>,
}

/// The pins of an event in the order of time, each in its square.
#[derive(Clone, Debug, Default)]
pub struct Course {
    /// Of which revision of the map it is.
    pub revision: u64,
    times: Vec<i64>,
    /// The square of each, as an index.
    places: Vec<u16>,
    squares: Vec<Square>,
}

/// How the pins came, counted by step and square.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replay {
    /// When the first came, in milliseconds since 1970, and when the last; none of no pins.
    pub between: Option<(i64, i64)>,
    /// All pins.
    pub total: usize,
    /// The middle of the pins of each square: longitude, latitude.
    pub places: Vec<[f64; 2]>,
    /// Step, place and how many pins came then and there; by step, then by place.
    pub pins: Vec<[u32; 3]>,
}

#[derive(Clone, Copy, Debug)]
struct Square {
    cell: Cell,
    count: u32,
    lat: f64,
    lng: f64,
}

/// A time in milliseconds since 1970, as the store has it.
pub(super) fn milliseconds(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
}

impl Square {
    fn none_of(cell: Cell) -> Self {
        Self { cell, count: 0, lat: 0.0, lng: 0.0 }
    }

    fn add(&mut self, count: u32, lat: f64, lng: f64) {
        self.count += count;
        self.lat += lat;
        self.lng += lng;
    }

    fn centre(&self) -> [f64; 2] {
        let mean = |sum: f64| thousandths(sum / f64::from(self.count.max(1)));
        [mean(self.lng), mean(self.lat)]
    }
}

/// Squares that are numbered as they come.
#[derive(Default)]
struct Numbered {
    squares: Vec<Square>,
    known: HashMap<Cell, u16>,
}

impl Numbered {
    fn number(&mut self, cell: Cell) -> u16 {
        let next = u16::try_from(self.squares.len()).unwrap_or(u16::MAX);
        *self.known.entry(cell).or_insert_with(|| {
            self.squares.push(Square::none_of(cell));
            next
        })
    }

    fn add(&mut self, cell: Cell, count: u32, lat: f64, lng: f64) -> u16 {
        let number = self.number(cell);
        if let Some(square) = self.squares.get_mut(usize::from(number)) {
            square.add(count, lat, lng);
        }
        number
    }
}

impl Course {
    /// Of what was copied.
    #[must_use]
    pub fn of(sketch: &Sketch) -> Self {
        let mut squares = Numbered::default();
        let place = |(_, point): &(i64, LatLng)| {
            let cell = Cell::deepest(*point).at(sketch.zoom);
            squares.add(cell, 1, point.lat(), point.lng())
        };
        let places = sketch.pins.iter().map(place).collect();
        let times = sketch.pins.iter().map(|(at, _)| *at).collect();
        Self { revision: sketch.revision, times, places, squares: squares.squares }
    }

    /// Counted for so many steps, at most [`MOST_STEPS`].
    #[must_use]
    pub fn replay(&self, steps: u32) -> Replay {
        let (Some(first), Some(last)) = (self.times.first(), self.times.last()) else {
            return Replay::default();
        };
        let steps =
            Steps { first: *first, length: last - first, count: steps.clamp(1, MOST_STEPS) };
        let mut zoom = self.squares.first().map_or(0, |square| square.cell.zoom);
        loop {
            let (squares, place_of) = self.at(zoom);
            // Of zoom 0 there are sixteen squares, which cannot be too many.
            let most = if zoom == 0 { usize::MAX } else { MOST_PAIRS };
            if let Some(pins) = self.pairs(steps, &place_of, squares.len(), most) {
                return Replay {
                    between: Some((*first, *last)),
                    total: self.times.len(),
                    places: squares.iter().map(Square::centre).collect(),
                    pins,
                };
            }
            zoom = zoom.saturating_sub(1);
        }
    }

    /// The squares of a lesser zoom, and which of them each of ours lies in.
    fn at(&self, zoom: u8) -> (Vec<Square>, Vec<u16>) {
        let mut larger = Numbered::default();
        let into = |square: &Square| {
            larger.add(square.cell.at(zoom), square.count, square.lat, square.lng)
        };
        let place_of = self.squares.iter().map(into).collect();
        (larger.squares, place_of)
    }

    /// The pairs of step and square with their counts; none where there are more than so many.
    fn pairs(
        &self,
        steps: Steps,
        place_of: &[u16],
        places: usize,
        most: usize,
    ) -> Option<Vec<[u32; 3]>> {
        let mut counted =
            Counted { counts: vec![0; places], touched: Vec::new(), pairs: Vec::new() };
        let mut step = 0;
        for (at, square) in self.times.iter().zip(&self.places) {
            let this = steps.number_of(*at);
            if this != step {
                counted.close(step);
                if counted.pairs.len() > most {
                    return None;
                }
            }
            step = this;
            counted.count(place_of[usize::from(*square)]);
        }
        counted.close(step);
        (counted.pairs.len() <= most).then_some(counted.pairs)
    }
}

/// Equal parts of a time.
#[derive(Clone, Copy)]
struct Steps {
    first: i64,
    length: i64,
    count: u32,
}

impl Steps {
    /// In which a time lies, counted from 0; the last one has its end too.
    fn number_of(self, at: i64) -> u32 {
        if self.length <= 0 {
            return 0;
        }
        let number = i128::from(at - self.first) * i128::from(self.count) / i128::from(self.length);
        u32::try_from(number).unwrap_or_default().min(self.count - 1)
    }
}

/// The counts of one step after the other.
struct Counted {
    counts: Vec<u32>,
    /// Which of the counts are not 0.
    touched: Vec<u16>,
    pairs: Vec<[u32; 3]>,
}

impl Counted {
    fn count(&mut self, place: u16) {
        let count = &mut self.counts[usize::from(place)];
        if *count == 0 {
            self.touched.push(place);
        }
        *count += 1;
    }

    /// Ends a step.
    fn close(&mut self, step: u32) {
        self.touched.sort_unstable();
        for place in self.touched.drain(..) {
            let count = std::mem::take(&mut self.counts[usize::from(place)]);
            self.pairs.push([step, u32::from(place), count]);
        }
    }
}

#[cfg(test)]
mod tests;
