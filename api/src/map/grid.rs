//! How many pins are in each cell of each zoom, kept up to date pin by pin.
//!
//! The sum of all cells of any zoom is the number of pins, after any sequence of insertions and
//! removals: sums are in whole hundredths of a degree, so nothing drifts.

use std::collections::HashMap;

use portcall_shared::domain::{ids::SubmissionId, place::LatLng};

use super::mercator::{self, Cell, DEEPEST};

/// What is known about the pins of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many there are.
    pub count: usize,
    /// On how many points.
    pub points: usize,
    lat: i64,
    lng: i64,
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

type Column = (u32, u32);

/// The counts.
#[derive(Debug, Default)]
pub struct Grid {
    tallies: [HashMap<Column, Tally>; DEEPEST as usize + 1],
    points: HashMap<Column, Vec<SubmissionId>>,
}

fn hundredths(degrees: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "at most 18,000")]
    let hundredths = (degrees * 100.0).round() as i64;
    hundredths
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

impl Grid {
    /// Adds a pin.
    pub fn insert(&mut self, id: SubmissionId, point: LatLng) {
        let cell = Cell::deepest(point);
        let here = self.points.entry((cell.x, cell.y)).or_default();
        let new_point = usize::from(here.is_empty());
        here.push(id);
        for zoom in 0..=DEEPEST {
            let at = cell.at(zoom);
            let tally = self.tallies[usize::from(zoom)].entry((at.x, at.y)).or_default();
            tally.count += 1;
            tally.points += new_point;
            tally.lat += hundredths(point.lat());
            tally.lng += hundredths(point.lng());
        }
    }

    /// Takes a pin away that was added with this point.
    pub fn remove(&mut self, id: SubmissionId, point: LatLng) {
        let cell = Cell::deepest(point);
        let Some(here) = self.points.get_mut(&(cell.x, cell.y)) else { return };
        let Some(index) = here.iter().position(|member| *member == id) else { return };
        here.remove(index);
        let gone_point = usize::from(here.is_empty());
        if here.is_empty() {
            self.points.remove(&(cell.x, cell.y));
        }
        for zoom in 0..=DEEPEST {
            let at = cell.at(zoom);
            let tallies = &mut self.tallies[usize::from(zoom)];
            let Some(tally) = tallies.get_mut(&(at.x, at.y)) else { continue };
            tally.count -= 1;
            tally.points -= gone_point;
            tally.lat -= hundredths(point.lat());
            tally.lng -= hundredths(point.lng());
            if tally.count == 0 {
                tallies.remove(&(at.x, at.y));
            }
        }
    }

    /// How many pins there are.
    #[must_use]
    pub fn total(&self) -> usize {
        self.tallies[0].values().map(|tally| tally.count).sum()
    }

    /// The deepest zoom that has no more cells than that, if any has.
    #[must_use]
    pub fn deepest_with(&self, most: usize) -> u8 {
        let fits = |zoom: &u8| self.tallies[usize::from(*zoom)].len() <= most;
        (0..=DEEPEST).rev().find(fits).unwrap_or_default()
    }

    /// The pins of the one point of a cell, in the order they came; none where it has several.
    #[must_use]
    pub fn members(&self, tally: &Tally) -> &[SubmissionId] {
        if tally.points != 1 {
            return &[];
        }
        let [lng, lat] = tally.centre();
        let Ok(point) = LatLng::new(lat, lng) else { return &[] };
        let cell = Cell::deepest(point);
        self.points.get(&(cell.x, cell.y)).map(Vec::as_slice).unwrap_or_default()
    }

    /// The cells of a zoom that touch a box, in a fixed order.
    #[must_use]
    pub fn within(&self, bbox: &Bbox, zoom: u8) -> Vec<(Cell, Tally)> {
        let zoom = zoom.min(DEEPEST);
        let tallies = &self.tallies[usize::from(zoom)];
        let rows = mercator::row(zoom, bbox.north)..=mercator::row(zoom, bbox.south);
        let (west, east) = (mercator::column(zoom, bbox.west), mercator::column(zoom, bbox.east));
        let columns = match bbox.west <= bbox.east {
            true => vec![west..=east],
            false if west <= east => vec![0..=mercator::side(zoom) - 1],
            false => vec![0..=east, west..=mercator::side(zoom) - 1],
        };
        let inside = |x: u32, y: u32| rows.contains(&y) && columns.iter().any(|c| c.contains(&x));
        let size =
            |range: &std::ops::RangeInclusive<u32>| u64::from(range.end() - range.start()) + 1;
        let cells = columns.iter().map(size).sum::<u64>() * size(&rows);
        let mut found: Vec<(Cell, Tally)> = if cells <= tallies.len() as u64 {
            let all = columns.iter().cloned().flatten();
            let all = all.flat_map(|x| rows.clone().map(move |y| (x, y)));
            all.filter_map(|(x, y)| Some((Cell { zoom, x, y }, *tallies.get(&(x, y))?))).collect()
        } else {
            let all = tallies.iter().filter(|((x, y), _)| inside(*x, *y));
            all.map(|((x, y), tally)| (Cell { zoom, x: *x, y: *y }, *tally)).collect()
        };
        found.sort_unstable_by_key(|(cell, _)| *cell);
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(lat: f64, lng: f64) -> LatLng {
        LatLng::new(lat, lng).unwrap()
    }

    #[test]
    fn a_box_across_the_antimeridian_has_both_sides() {
        let mut grid = Grid::default();
        grid.insert(SubmissionId::new(), point(-17.0, 178.0));
        grid.insert(SubmissionId::new(), point(-17.0, -178.0));
        grid.insert(SubmissionId::new(), point(-17.0, 0.0));
        let bbox = Bbox { west: 170.0, south: -40.0, east: -170.0, north: 10.0 };
        for zoom in 3..=DEEPEST {
            assert_eq!(grid.within(&bbox, zoom).len(), 2, "zoom {zoom}");
        }
        assert_eq!(grid.within(&Bbox::WORLD, 5).len(), 3);
    }

    #[test]
    fn a_point_with_two_pins_is_known_as_one() {
        let (first, second) = (SubmissionId::new(), SubmissionId::new());
        let mut grid = Grid::default();
        grid.insert(first, point(48.86, 2.35));
        grid.insert(second, point(48.86, 2.35));
        for zoom in 0..=DEEPEST {
            let [(_, tally)] = grid.within(&Bbox::WORLD, zoom)[..] else { panic!("one cell") };
            assert_eq!((tally.count, tally.points, tally.centre()), (2, 1, [2.35, 48.86]));
            assert_eq!(grid.members(&tally), [first, second]);
        }
    }

    proptest! {
        #[test]
        fn the_cells_of_every_zoom_sum_up_to_the_pins(
            steps in proptest::collection::vec((0usize..12, -90.0f64..=90.0, -180.0f64..=180.0), 0..80)
        ) {
            let ids: Vec<SubmissionId> = (0..12).map(|_| SubmissionId::new()).collect();
            let mut there: HashMap<usize, LatLng> = HashMap::new();
            let mut grid = Grid::default();
            for (who, lat, lng) in steps {
                match there.remove(&who) {
                    Some(at) => grid.remove(ids[who], at),
                    None => {
                        let at = point(lat, lng);
                        grid.insert(ids[who], at);
                        there.insert(who, at);
                    }
                }
                prop_assert_eq!(grid.total(), there.len());
                for zoom in 0..=DEEPEST {
                    let cells = grid.within(&Bbox::WORLD, zoom);
                    let sum: usize = cells.iter().map(|(_, tally)| tally.count).sum();
                    prop_assert_eq!(sum, there.len());
                }
            }
            for (who, at) in there {
                grid.remove(ids[who], at);
            }
            prop_assert!(grid.tallies.iter().all(HashMap::is_empty));
            prop_assert!(grid.points.is_empty());
        }

        #[test]
        fn counting_cells_or_looking_them_up_finds_the_same(
            points in proptest::collection::vec((-80.0f64..=80.0, -180.0f64..=180.0), 1..60),
            west in -180.0f64..=180.0, east in -180.0f64..=180.0, zoom in 0u8..=14,
        ) {
            let mut grid = Grid::default();
            for (lat, lng) in &points {
                grid.insert(SubmissionId::new(), point(*lat, *lng));
            }
            let bbox = Bbox { west, south: -60.0, east, north: 60.0 };
            let found = grid.within(&bbox, zoom);
            let all = grid.within(&Bbox::WORLD, zoom);
            prop_assert!(found.iter().all(|cell| all.contains(cell)));
            for (lat, lng) in &points {
                let at = point(*lat, *lng);
                let across = match west <= east {
                    true => (west..=east).contains(&at.lng()),
                    false => at.lng() >= west || at.lng() <= east,
                };
                if across && (-60.0..=60.0).contains(&at.lat()) {
                    let cell = Cell::deepest(at).at(zoom);
                    prop_assert!(found.iter().any(|(c, _)| *c == cell));
                }
            }
        }
    }
}
