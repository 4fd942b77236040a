//! Where the pins stand, so that those of every cell of every zoom are counted at once.
//!
//! The pins are one list in the order of a curve that runs through the cells of the deepest zoom, each
//! quarter of a cell after the other (Morton's). So the pins of any cell of any zoom follow each other, and
//! to find them takes two searches: there is no table of cells. The sum of all cells of any zoom is the
//! number of pins, after any sequence of insertions and removals; sums are in whole hundredths of a
//! degree, so nothing drifts.

use std::{cmp::Ordering, ops::RangeInclusive};

use super::{
    mercator::{self, Cell, DEEPEST},
    ranked::{Entry, Position, Ranked},
};

/// What is known about the pins of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How many there are.
    pub count: usize,
    /// Whether they share one point.
    pub one_point: bool,
    lat: i64,
    lng: i64,
    part: Part,
}

/// A box of the map in degrees; where west is greater than east it crosses the antimeridian.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bbox {
    /// West.
    pub west: f64,
    /// South.
    pub south: f64,
    /// East.
    pub east: f64,
    /// North.
    pub north: f64,
}

impl Bbox {
    /// Everything.
    pub const WORLD: Self = Self { west: -180.0, south: -90.0, east: 180.0, north: 90.0 };
}

/// Which pins there are and where.
#[derive(Debug, Default)]
pub struct Grid {
    pins: Ranked<Standing>,
}

/// A pin: where it stands, latitude and longitude in hundredths of a degree, and its number.
#[derive(Clone, Copy, Debug)]
struct Standing {
    point: [i16; 2],
    number: u32,
}

impl Entry for Standing {
    fn weight(&self) -> [i32; 2] {
        self.point.map(i32::from)
    }
}

/// A cell that is not empty, with the positions of its pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    cell: Cell,
    from: Position,
    to: Position,
}

impl Tally {
    /// The middle of its pins: longitude, latitude.
    #[must_use]
    pub fn centre(&self) -> [f64; 2] {
        #[expect(clippy::cast_precision_loss, reason = "sums stay far below 2^52")]
        let mean = |sum: i64| mercator::rounded(sum as f64 / self.count.max(1) as f64 / 100.0);
        [mean(self.lng), mean(self.lat)]
    }
}

impl Part {
    /// Of which zoom it is.
    #[must_use]
    pub fn zoom(&self) -> u8 {
        self.cell.zoom
    }
}

impl Grid {
    /// Adds a pin, by its number, where it stands. Of pins of one point `rank` tells how another one
    /// stands to it in their order.
    pub fn insert(&mut self, number: u32, point: [i16; 2], rank: impl Fn(u32) -> Ordering) {
        let position = self.position(point, rank);
        self.pins.insert(position, Standing { point, number });
    }

    /// Takes a pin away that was added with this point.
    pub fn remove(&mut self, number: u32, point: [i16; 2], rank: impl Fn(u32) -> Ordering) {
        let position = self.position(point, rank);
        if self.pins.get(position).is_some_and(|standing| standing.number == number) {
            self.pins.remove(position);
        }
    }

    fn position(&self, point: [i16; 2], rank: impl Fn(u32) -> Ordering) -> Position {
        let code = mercator::code(point);
        let before = |other: &Standing| {
            let ordering = mercator::code(other.point).cmp(&code);
            ordering.then_with(|| rank(other.number)).is_lt()
        };
        self.pins.first_not(before)
    }

    /// How many pins there are.
    #[must_use]
    pub fn total(&self) -> usize {
        self.pins.len()
    }

    /// The deepest zoom that has no more cells than that, if any has.
    #[must_use]
    pub fn deepest_with(&self, most: usize) -> u8 {
        let parts = self.parts(&Bbox::WORLD, DEEPEST, |parts| parts.len() <= most);
        parts.first().map_or(DEEPEST, Part::zoom)
    }

    /// The pins of a cell, in their order, where they share one point; none where they do not.
    pub fn members(&self, tally: &Tally) -> impl DoubleEndedIterator<Item = u32> + '_ {
        let Part { from, to, .. } = tally.part;
        let to = if tally.one_point { to } else { from };
        self.pins.between(from, to).map(|standing| standing.number)
    }

    /// How many pins a cell has.
    #[must_use]
    pub fn count(&self, part: &Part) -> usize {
        self.pins.count(part.from, part.to)
    }

    /// The cells of a zoom that touch a box, in a fixed order.
    #[must_use]
    pub fn within(&self, bbox: &Bbox, zoom: u8) -> Vec<(Cell, Tally)> {
        self.fitting(bbox, zoom, |_| true)
    }

    /// The cells that touch a box, in a fixed order, of the deepest zoom up to this one at which they
    /// still fit. Each zoom is looked for in the cells of the one before, so that a box of which far
    /// too much is asked costs no more than what fits, however many pins there are.
    #[must_use]
    pub fn fitting(
        &self,
        bbox: &Bbox,
        zoom: u8,
        fit: impl Fn(&[Part]) -> bool,
    ) -> Vec<(Cell, Tally)> {
        let parts = self.parts(bbox, zoom, fit);
        let mut cells: Vec<(Cell, Tally)> =
            parts.iter().map(|part| (part.cell, self.tally(*part))).collect();
        cells.sort_unstable_by_key(|(cell, _)| *cell);
        cells
    }

    fn parts(&self, bbox: &Bbox, zoom: u8, fit: impl Fn(&[Part]) -> bool) -> Vec<Part> {
        let (all, side) = (self.pins.end(), mercator::side(0));
        let window = Window::of(bbox, 0);
        let cells = (0..side).flat_map(|y| (0..side).map(move |x| Cell { zoom: 0, x, y }));
        let inside = cells.filter(|cell| window.holds(cell.x, cell.y));
        let within = |cell: Cell| self.of_cell(cell, Position::default(), all);
        let mut parts: Vec<Part> = inside.map(within).filter(|part| part.from < part.to).collect();
        for zoom in 1..=zoom.min(DEEPEST) {
            let window = Window::of(bbox, zoom);
            let mut nearer = Vec::with_capacity(parts.len() * 2);
            for part in &parts {
                self.quarter(*part, &window, &mut nearer);
            }
            if !fit(&nearer) {
                break;
            }
            parts = nearer;
        }
        parts
    }

    /// The pins of a cell, which lie somewhere between two positions.
    fn of_cell(&self, cell: Cell, from: Position, to: Position) -> Part {
        let codes = cell.codes();
        let below = |code: u64| move |pin: &Standing| u64::from(mercator::code(pin.point)) < code;
        let from = self.pins.first_not_in(from, to, below(codes.start));
        Part { cell, from, to: self.pins.first_not_in(from, to, below(codes.end)) }
    }

    /// The quarters of a cell that touch the window and have pins.
    fn quarter(&self, part: Part, window: &Window, found: &mut Vec<Part>) {
        let Part { cell, mut from, to } = part;
        let within =
            |pin: Option<Standing>| pin.map(|pin| cell.quarter_of(mercator::code(pin.point)));
        let (first, last) = (within(self.pins.get(from)), within(self.pins.before(to)));
        let (Some(first), Some(last)) = (first, last) else { return };
        for (number, quarter) in (0..).zip(cell.quarters()).skip(first).take(last + 1 - first) {
            // Those of a quarter follow those of the one before.
            let end = quarter.codes().end;
            let below = |pin: &Standing| u64::from(mercator::code(pin.point)) < end;
            let next = if number == last { to } else { self.pins.first_not_in(from, to, below) };
            if from < next && window.holds(quarter.x, quarter.y) {
                found.push(Part { cell: quarter, from, to: next });
            }
            from = next;
        }
    }

    fn tally(&self, part: Part) -> Tally {
        let Part { from, to, .. } = part;
        let sum = self.pins.sum(from, to);
        let code = |pin: Option<Standing>| pin.map(|pin| mercator::code(pin.point));
        Tally {
            count: sum.count,
            one_point: code(self.pins.get(from)) == code(self.pins.before(to)),
            lat: sum.weight[0],
            lng: sum.weight[1],
            part,
        }
    }

    /// How much memory it takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.pins.bytes()
    }
}

/// The cells of a zoom that a box touches: its rows, and its columns on either side of the antimeridian.
struct Window {
    rows: RangeInclusive<u32>,
    columns: Vec<RangeInclusive<u32>>,
}

impl Window {
    fn of(bbox: &Bbox, zoom: u8) -> Self {
        let rows = mercator::row(zoom, bbox.north)..=mercator::row(zoom, bbox.south);
        let (west, east) = (mercator::column(zoom, bbox.west), mercator::column(zoom, bbox.east));
        let columns = match bbox.west <= bbox.east {
            true => vec![west..=east],
            false if west <= east => vec![0..=mercator::side(zoom) - 1],
            false => vec![0..=east, west..=mercator::side(zoom) - 1],
        };
        Self { rows, columns }
    }

    fn holds(&self, x: u32, y: u32) -> bool {
        self.rows.contains(&y) && self.columns.iter().any(|columns| columns.contains(&x))
    }
}

#[cfg(test)]
mod tests;
