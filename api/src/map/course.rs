//! How an event's pins came along the time: what a replay of it is made of.
//!
//! The time from the first pin to the last is cut into steps of equal length, the map into squares, and
//! told is how many pins came in which step into which square. The answer stays small however many pins
//! there are: there are at most [`MOST_PLACES`] squares, and where the pairs of step and square would be
//! more than [`MOST_PAIRS`], the pins of a square are told in bunches, each with the step of its last
//! one. The counts always sum up to the pins.
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

#[derive(Clone, Copy, Debug, Default)]
struct Square {
    count: u32,
    lat: f64,
    lng: f64,
}

/// A time in milliseconds since 1970, as the store has it.
pub(super) fn milliseconds(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
}

impl Square {
    fn add(&mut self, point: LatLng) {
        self.count += 1;
        self.lat += point.lat();
        self.lng += point.lng();
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
    /// Adds a pin; the number of its square.
    fn add(&mut self, cell: Cell, point: LatLng) -> u16 {
        let next = u16::try_from(self.squares.len()).unwrap_or(u16::MAX);
        let number = *self.known.entry(cell).or_insert(next);
        if usize::from(number) == self.squares.len() {
            self.squares.push(Square::default());
        }
        if let Some(square) = self.squares.get_mut(usize::from(number)) {
            square.add(point);
        }
        number
    }
}

impl Course {
    /// Of what was copied.
    #[must_use]
    pub fn of(sketch: &Sketch) -> Self {
        let mut squares = Numbered::default();
        let place =
            |(_, point): &(i64, LatLng)| squares.add(Cell::deepest(*point).at(sketch.zoom), *point);
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
        let count = steps.clamp(1, MOST_STEPS);
        let steps = Steps { first: *first, length: last - first, count };
        let one_by_one = self.pairs(steps, 1, MOST_PAIRS);
        let pins = one_by_one.or_else(|| self.pairs(steps, self.bunch(), usize::MAX));
        Replay {
            between: Some((*first, *last)),
            total: self.times.len(),
            places: self.squares.iter().map(Square::centre).collect(),
            pins: pins.unwrap_or_default(),
        }
    }

    /// How many pins make a bunch, so that there are no more pairs than there may be: every pair has so
    /// many, but for the last of each square.
    fn bunch(&self) -> u32 {
        let room = MOST_PAIRS.saturating_sub(self.squares.len()).max(1);
        u32::try_from(self.times.len().div_ceil(room)).unwrap_or(u32::MAX)
    }

    /// The pairs of step and square with their counts; none where there are more than so many.
    fn pairs(&self, steps: Steps, bunch: u32, most: usize) -> Option<Vec<[u32; 3]>> {
        let mut counted =
            Counted { bunch, open: vec![(0, 0); self.squares.len()], ..Counted::default() };
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
            counted.count(*square, step);
        }
        counted.close(step);
        let pairs = counted.end();
        (pairs.len() <= most).then_some(pairs)
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
#[derive(Default)]
struct Counted {
    bunch: u32,
    /// Of each square what is not told yet: how many, and in which step the last of them came.
    open: Vec<(u32, u32)>,
    /// The squares into which something came in this step.
    touched: Vec<u16>,
    pairs: Vec<[u32; 3]>,
}

impl Counted {
    fn count(&mut self, square: u16, step: u32) {
        let (count, last) = &mut self.open[usize::from(square)];
        if *count == 0 || *last != step {
            self.touched.push(square);
        }
        *count += 1;
        *last = step;
    }

    /// Ends a step: what has become a bunch is told.
    fn close(&mut self, step: u32) {
        self.touched.sort_unstable();
        for square in self.touched.drain(..) {
            let (count, _) = &mut self.open[usize::from(square)];
            if *count >= self.bunch {
                self.pairs.push([step, u32::from(square), std::mem::take(count)]);
            }
        }
    }

    /// Ends the last one: the rest is told, with the steps that it came in.
    fn end(mut self) -> Vec<[u32; 3]> {
        let rest = (0..).zip(&self.open).filter(|(_, (count, _))| *count > 0);
        self.pairs.extend(rest.map(|(square, (count, last))| [*last, square, *count]));
        self.pairs.sort_unstable();
        self.pairs
    }
}

#[cfg(test)]
mod tests;
