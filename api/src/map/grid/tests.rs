//! Every zoom counts every pin, and a box finds what stands in it.

use std::collections::BTreeMap;

use portcall_shared::domain::place::LatLng;
use proptest::prelude::*;

use super::{super::rows::hundredths, *};

fn point(lat: f64, lng: f64) -> [i16; 2] {
    hundredths(LatLng::new(lat, lng).unwrap())
}

impl Grid {
    /// Adds a pin that stands in its order by its number.
    fn add(&mut self, number: u32, point: [i16; 2]) {
        self.insert(number, point, |other| other.cmp(&number));
    }

    fn take(&mut self, number: u32, point: [i16; 2]) {
        self.remove(number, point, |other| other.cmp(&number));
    }
}

#[test]
fn a_box_across_the_antimeridian_has_both_sides() {
    let mut grid = Grid::default();
    for (number, lng) in [(0, 178.0), (1, -178.0), (2, 0.0)] {
        grid.add(number, point(-17.0, lng));
    }
    let bbox = Bbox { west: 170.0, south: -40.0, east: -170.0, north: 10.0 };
    for zoom in 3..=DEEPEST {
        assert_eq!(grid.within(&bbox, zoom).len(), 2, "zoom {zoom}");
    }
    assert_eq!(grid.within(&Bbox::WORLD, 5).len(), 3);
}

#[test]
fn a_point_with_two_pins_is_known_as_one() {
    let mut grid = Grid::default();
    grid.add(9, point(48.86, 2.35));
    grid.add(4, point(48.86, 2.35));
    for zoom in 0..=DEEPEST {
        let [(_, tally)] = grid.within(&Bbox::WORLD, zoom)[..] else { panic!("one cell") };
        assert_eq!((tally.count, tally.one_point, tally.centre()), (2, true, [2.35, 48.86]));
        assert!(grid.members(&tally).eq([4, 9]));
    }
    grid.add(5, point(48.86, 2.36));
    let [(_, tally)] = grid.within(&Bbox::WORLD, 3)[..] else { panic!("one cell") };
    assert_eq!((tally.count, tally.one_point, grid.members(&tally).count()), (3, false, 0));
}

#[test]
fn more_than_fits_is_shown_from_further_away() {
    let mut grid = Grid::default();
    for n in 0..100 {
        grid.add(n, point(f64::from(n % 10), f64::from(n / 10)));
    }
    let most = |most: usize| grid.fitting(&Bbox::WORLD, DEEPEST, |parts| parts.len() <= most);
    for limit in [1, 4, 30, 99] {
        let cells = most(limit);
        let zoom = cells[0].0.zoom;
        assert!(zoom < DEEPEST && cells.len() <= limit.max(16), "{limit}: {}", cells.len());
        assert_eq!(cells, grid.within(&Bbox::WORLD, zoom));
        assert!(grid.within(&Bbox::WORLD, zoom + 1).len() > limit, "{limit}: nearer fits too");
    }
    assert_eq!(most(100).len(), 100);
    assert_eq!(most(100)[0].0.zoom, DEEPEST);
}

/// The naive one: every pin is asked where it stands.
fn counted(there: &BTreeMap<u32, [i16; 2]>, bbox: &Bbox, zoom: u8) -> BTreeMap<Cell, Vec<u32>> {
    let rows = mercator::row(zoom, bbox.north)..=mercator::row(zoom, bbox.south);
    let columns = (mercator::column(zoom, bbox.west), mercator::column(zoom, bbox.east));
    let inside = |x: u32| match bbox.west <= bbox.east {
        true => columns.0 <= x && x <= columns.1,
        false => columns.0 <= x || x <= columns.1,
    };
    let mut cells: BTreeMap<Cell, Vec<u32>> = BTreeMap::new();
    for (number, [lat, lng]) in there {
        let at = LatLng::new(f64::from(*lat) / 100.0, f64::from(*lng) / 100.0).unwrap();
        let cell = Cell::deepest(at).at(zoom);
        if rows.contains(&cell.y) && inside(cell.x) {
            cells.entry(cell).or_default().push(*number);
        }
    }
    cells
}

/// Whether the grid finds the same, with the same middles.
fn finds_the_same(grid: &Grid, there: &BTreeMap<u32, [i16; 2]>, bbox: &Bbox, zoom: u8) {
    let (found, counted) = (grid.within(bbox, zoom), counted(there, bbox, zoom));
    assert!(found.iter().map(|(cell, _)| cell).eq(counted.keys()), "{bbox:?} at {zoom}");
    for ((_, tally), numbers) in found.iter().zip(counted.values()) {
        let points: Vec<[i16; 2]> = numbers.iter().map(|number| there[number]).collect();
        let sum = |of: usize| points.iter().map(|point| i64::from(point[of])).sum::<i64>();
        assert_eq!((tally.count, tally.lat, tally.lng), (numbers.len(), sum(0), sum(1)));
        let one = points.iter().all(|point| mercator::code(*point) == mercator::code(points[0]));
        assert_eq!(tally.one_point, one);
        let members: Vec<u32> = grid.members(tally).collect();
        assert_eq!(&members, if one { numbers } else { &[][..] });
    }
}

/// Most anywhere, some at the poles and the antimeridian, many on few points.
fn anywhere() -> impl Strategy<Value = [i16; 2]> {
    prop_oneof![
        4 => (-9_000i16..=9_000, -18_000i16..=18_000).prop_map(|(lat, lng)| [lat, lng]),
        4 => (0i16..4, 0i16..4).prop_map(|(lat, lng)| [lat * 3 + 4_886, lng * 700 + 235]),
        1 => (8_400i16..=9_000, 17_990i16..=18_000).prop_map(|(lat, lng)| [lat, lng]),
        1 => (-9_000i16..=-8_400, -18_000i16..=-17_990).prop_map(|(lat, lng)| [lat, lng]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_box_of_every_zoom_finds_what_stands_in_it(
        steps in proptest::collection::vec((0u32..60, anywhere()), 0..200),
        boxes in proptest::collection::vec(
            (-180.0f64..=180.0, -180.0f64..=180.0, -90.0f64..=90.0, -90.0f64..=90.0), 1..4),
    ) {
        let (mut grid, mut there) = (Grid::default(), BTreeMap::new());
        for (number, point) in steps {
            // What is there goes, or moves.
            let was = there.remove(&number);
            if let Some(was) = was {
                grid.take(number, was);
            }
            if was.is_none() || point[1] % 2 == 0 {
                grid.add(number, point);
                there.insert(number, point);
            }
        }
        prop_assert_eq!(grid.total(), there.len());
        for zoom in 0..=DEEPEST {
            finds_the_same(&grid, &there, &Bbox::WORLD, zoom);
            let cells = grid.within(&Bbox::WORLD, zoom);
            let sum: usize = cells.iter().map(|(_, tally)| tally.count).sum();
            prop_assert_eq!(sum, there.len());
            prop_assert!(cells.len() <= 40 || grid.deepest_with(40) < zoom);
            for (west, east, a, b) in &boxes {
                let (south, north) = (a.min(*b), a.max(*b));
                finds_the_same(&grid, &there, &Bbox { west: *west, south, east: *east, north }, zoom);
            }
        }
        for (number, point) in there {
            grid.take(number, point);
        }
        prop_assert_eq!((grid.total(), grid.within(&Bbox::WORLD, 0).len()), (0, 0));
    }
}
