//! The arithmetic of cells: Web Mercator, cut into squares.
//!
//! A cell is a quarter of a map tile wide (64 pixels), so a screen shows at most a few hundred. The
//! cells of a zoom are the unions of four cells of the next one. At [`DEEPEST`] a cell is narrower
//! than the hundredth of a degree that points are rounded to, so its pins share one point.

use std::{ops::Range, sync::LazyLock};

use portcall_shared::domain::place::LatLng;

/// The deepest zoom.
pub const DEEPEST: u8 = 14;
/// The latitude at which the square map ends.
const EDGE: f64 = 85.051_128_779_8;

/// Which cell of a zoom: column from the west, row from the north.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell {
    /// The zoom.
    pub zoom: u8,
    /// The column.
    pub x: u32,
    /// The row.
    pub y: u32,
}

/// How many columns, and rows, a zoom has.
#[must_use]
pub fn side(zoom: u8) -> u32 {
    1 << (u32::from(zoom) + 2)
}

/// The column of a longitude.
#[must_use]
pub fn column(zoom: u8, lng: f64) -> u32 {
    index((lng + 180.0) / 360.0, zoom)
}

/// The row of a latitude; beyond the edge of the map it is the outermost one.
#[must_use]
pub fn row(zoom: u8, lat: f64) -> u32 {
    let sin = lat.clamp(-EDGE, EDGE).to_radians().sin();
    index(0.5 - ((1.0 + sin) / (1.0 - sin)).ln() / (4.0 * std::f64::consts::PI), zoom)
}

/// A share of the map as an index; the far edge belongs to the last cell.
fn index(share: f64, zoom: u8) -> u32 {
    let side = side(zoom);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the indices of the zoom, which fit"
    )]
    let index = (share * f64::from(side)).floor().clamp(0.0, f64::from(side - 1)) as u32;
    index
}

/// The column of every longitude and the row of every latitude that points are rounded to, at the deepest
/// zoom, each already spread to every other bit.
static SPREAD: LazyLock<(Vec<u32>, Vec<u32>)> = LazyLock::new(|| {
    let degrees = |hundredths: i32| f64::from(hundredths) / 100.0;
    let columns = (-18_000..=18_000).map(|lng| spread(column(DEEPEST, degrees(lng))));
    let rows = (-9_000..=9_000).map(|lat| spread(row(DEEPEST, degrees(lat))) << 1);
    (columns.collect(), rows.collect())
});

/// Sixteen bits, each with a zero before it.
fn spread(bits: u32) -> u32 {
    [(8, 0x00FF_00FF), (4, 0x0F0F_0F0F), (2, 0x3333_3333), (1, 0x5555_5555)]
        .into_iter()
        .fold(bits, |bits, (shift, mask)| (bits | (bits << shift)) & mask)
}

/// How far along the curve through the cells of the deepest zoom a point lies: latitude and longitude in
/// hundredths of a degree.
#[must_use]
pub(super) fn code([lat, lng]: [i16; 2]) -> u32 {
    let (columns, rows) = &*SPREAD;
    let of = |table: &[u32], index: i32| {
        usize::try_from(index).ok().and_then(|index| table.get(index)).copied().unwrap_or_default()
    };
    of(columns, i32::from(lng) + 18_000) | of(rows, i32::from(lat) + 9_000)
}

impl Cell {
    /// The part of the curve that runs through it.
    #[must_use]
    pub(super) fn codes(self) -> Range<u64> {
        let within = 2 * u32::from(DEEPEST - self.zoom.min(DEEPEST));
        let code = u64::from(spread(self.x) | spread(self.y) << 1);
        code << within..(code + 1) << within
    }

    /// In which of its quarters a part of the curve lies that runs through it; none has quarters at the
    /// deepest zoom.
    #[must_use]
    pub(super) fn quarter_of(self, code: u32) -> usize {
        let below = 2 * u32::from(DEEPEST.saturating_sub(self.zoom + 1));
        (code >> below & 3) as usize
    }

    /// The cell of the deepest zoom that a point lies in.
    #[must_use]
    pub fn deepest(point: LatLng) -> Self {
        Self { zoom: DEEPEST, x: column(DEEPEST, point.lng()), y: row(DEEPEST, point.lat()) }
    }

    /// The cell of another, less deep zoom that it lies in.
    #[must_use]
    pub fn at(self, zoom: u8) -> Self {
        let shift = u32::from(self.zoom.saturating_sub(zoom));
        Self { zoom: zoom.min(self.zoom), x: self.x >> shift, y: self.y >> shift }
    }

    /// The four cells of the next zoom that it consists of.
    #[must_use]
    pub fn quarters(self) -> [Self; 4] {
        let quarter =
            |right, down| Self { zoom: self.zoom + 1, x: self.x * 2 + right, y: self.y * 2 + down };
        [quarter(0, 0), quarter(1, 0), quarter(0, 1), quarter(1, 1)]
    }

    /// West, south, east, north, in degrees.
    #[must_use]
    pub fn bounds(self) -> [f64; 4] {
        let side = f64::from(side(self.zoom));
        let lng = |x: u32| f64::from(x) / side * 360.0 - 180.0;
        let lat = |y: u32| {
            let n = std::f64::consts::PI * (1.0 - 2.0 * f64::from(y) / side);
            n.sinh().atan().to_degrees()
        };
        [lng(self.x), lat(self.y + 1), lng(self.x + 1), lat(self.y)].map(rounded)
    }

    /// As it stands in an answer: `zoom/x/y`.
    #[must_use]
    pub fn id(self) -> String {
        format!("{}/{}/{}", self.zoom, self.x, self.y)
    }
}

/// Degrees to about a tenth of a metre: what an answer needs.
pub(super) fn rounded(degrees: f64) -> f64 {
    (degrees * 1e6).round() / 1e6
}

/// Degrees to about a hundred metres: enough for a dot.
pub(super) fn thousandths(degrees: f64) -> f64 {
    (degrees * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_corners_of_the_world() {
        assert_eq!((column(0, -180.0), column(0, 180.0)), (0, 3));
        assert_eq!((row(0, 90.0), row(0, -90.0)), (0, 3));
        assert_eq!(Cell { zoom: 0, x: 0, y: 0 }.bounds(), [-180.0, 66.513_26, -90.0, 85.051_129]);
    }

    proptest! {
        #[test]
        fn the_curve_runs_through_the_cells_of_every_zoom(
            lat in -9000i16..=9000, lng in -18000i16..=18000, zoom in 0u8..=14,
            other in (-9000i16..=9000, -18000i16..=18000),
        ) {
            let cell = |lat: i16, lng: i16| {
                let degrees = |hundredths: i16| f64::from(hundredths) / 100.0;
                Cell::deepest(LatLng::new(degrees(lat), degrees(lng)).unwrap()).at(zoom)
            };
            let codes = cell(lat, lng).codes();
            prop_assert!(codes.contains(&u64::from(code([lat, lng]))));
            let inside = codes.contains(&u64::from(code([other.0, other.1])));
            prop_assert_eq!(inside, cell(other.0, other.1) == cell(lat, lng));
        }

        #[test]
        fn a_point_lies_in_its_cell(lat in -85.0f64..=85.0, lng in -180.0f64..=180.0, zoom in 0u8..=14) {
            let point = LatLng::new(lat, lng).unwrap();
            let cell = Cell::deepest(point).at(zoom);
            prop_assert_eq!(cell.x, column(zoom, point.lng()));
            prop_assert_eq!(cell.y, row(zoom, point.lat()));
            let [west, south, east, north] = cell.bounds();
            prop_assert!(west - 1e-5 <= point.lng() && point.lng() <= east + 1e-5);
            prop_assert!(south - 1e-5 <= point.lat() && point.lat() <= north + 1e-5);
        }

        #[test]
        fn two_points_never_share_a_deepest_cell(
            lat in -8400i32..=8400, lng in -18000i32..=17998, right in 0i32..=1, up in 0i32..=1,
        ) {
            prop_assume!((right, up) != (0, 0));
            let at = |lat: i32, lng: i32| {
                Cell::deepest(LatLng::new(f64::from(lat) / 100.0, f64::from(lng) / 100.0).unwrap())
            };
            prop_assert_ne!(at(lat, lng), at(lat + up, lng + right));
        }
    }
}
