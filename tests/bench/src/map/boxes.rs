//! What viewports show, from the api's index and from a static one of a well-known library (`rstar`):
//! an R*-tree for each zoom, bulk-loaded with the very cells that are to be found. It can neither add
//! nor take away a pin.

use std::{collections::HashMap, hint::black_box, time::Instant};

use anyhow::{Result, ensure};
use portcall_api::map::{
    grid::Bbox,
    index::{Found, MapIndex},
    mercator::{Cell, column, row},
};
use portcall_shared::domain::{ids::EventSlug, place::LatLng};
use rstar::{AABB, RTree, primitives::GeomWithData};

/// A viewport with its zoom, as a screen has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Viewport {
    /// What it shows.
    pub(super) name: &'static str,
    /// Which part of the map.
    pub(super) bbox: Bbox,
    /// How near.
    pub(super) zoom: u8,
}

const fn viewport(name: &'static str, zoom: u8, sides: [f64; 4]) -> Viewport {
    let [west, south, east, north] = sides;
    Viewport { name, bbox: Bbox { west, south, east, north }, zoom }
}

/// From the whole world to a street. None crosses the antimeridian, which is two boxes to a tree.
pub(super) const VIEWPORTS: [Viewport; 6] = [
    viewport("the world", 2, [-180.0, -85.0, 180.0, 85.0]),
    viewport("a continent", 4, [-25.0, 34.0, 45.0, 72.0]),
    viewport("a country", 6, [5.8, 47.2, 15.1, 55.1]),
    viewport("a region", 8, [8.0, 48.0, 12.0, 50.0]),
    viewport("a town", 10, [11.2, 47.9, 12.0, 48.4]),
    viewport("a street", 13, [11.50, 48.10, 11.60, 48.16]),
];

/// Boxes that no page asks for: far more than fits is in them.
pub(super) const CROWDED: [Viewport; 2] = [
    viewport("the world as if it were a street", 14, [-180.0, -85.0, 180.0, 85.0]),
    viewport("a continent as if it were a street", 14, [-25.0, 34.0, 45.0, 72.0]),
];

type Tree = RTree<GeomWithData<[f64; 2], usize>>;

/// The static index.
#[derive(Debug, Default)]
pub(super) struct Trees(HashMap<u8, Tree>);

impl Trees {
    /// Of these pins, for the zooms of all viewports.
    #[must_use]
    pub(super) fn of(points: &[LatLng]) -> Self {
        let of_zoom = |zoom: u8| {
            let mut cells: HashMap<(u32, u32), usize> = HashMap::new();
            for point in points {
                let cell = Cell::deepest(*point).at(zoom);
                *cells.entry((cell.x, cell.y)).or_default() += 1;
            }
            let cell = |((x, y), count): ((u32, u32), usize)| {
                GeomWithData::new([f64::from(x), f64::from(y)], count)
            };
            (zoom, RTree::bulk_load(cells.into_iter().map(cell).collect()))
        };
        Self(VIEWPORTS.iter().map(|view| of_zoom(view.zoom)).collect())
    }

    /// The cells of a viewport with what is in them.
    #[must_use]
    pub(super) fn view(&self, view: &Viewport) -> Vec<([f64; 2], usize)> {
        let Viewport { bbox, zoom, .. } = *view;
        let Some(tree) = self.0.get(&zoom) else { return Vec::new() };
        let corner = |lng, lat| [f64::from(column(zoom, lng)), f64::from(row(zoom, lat))];
        let envelope =
            AABB::from_corners(corner(bbox.west, bbox.north), corner(bbox.east, bbox.south));
        let found = tree.locate_in_envelope(envelope);
        found.map(|cell| (*cell.geom(), cell.data)).collect()
    }
}

/// How many cells and how many pins the api's index finds, and that the other finds the same.
///
/// # Errors
/// When it does not.
pub(super) fn agree(map: &MapIndex, trees: &Trees, event: &EventSlug) -> Result<()> {
    for view in &VIEWPORTS {
        let found = map.view(event, &view.bbox, view.zoom).found;
        let count = |one: &Found| match one {
            Found::Pin(_) => 1,
            Found::Spot(spot) => spot.count,
        };
        let ours = (found.len(), found.iter().map(count).sum::<usize>());
        let others = trees.view(view);
        let theirs = (others.len(), others.iter().map(|(_, count)| count).sum::<usize>());
        ensure!(ours == theirs, "{}: {ours:?} here and {theirs:?} there", view.name);
    }
    Ok(())
}

/// How long one takes in milliseconds, over so many.
pub(super) fn timed<T>(times: u32, mut look: impl FnMut() -> T) -> f64 {
    let began = Instant::now();
    for _ in 0..times {
        black_box(look());
    }
    began.elapsed().as_secs_f64() * 1000.0 / f64::from(times)
}
