//! Places: where on the map a submission stands.

use serde::{Deserialize, Serialize};

use super::text::PlaceLabel;

/// A point on the earth, WGS 84 degrees, rounded to 0.01° (about a kilometre) so that nobody's
/// home is on the map.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawPoint", into = "RawPoint")]
pub struct LatLng {
    lat: f64,
    lng: f64,
}

/// Why two numbers are not a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPoint {
    /// Not within -90 to 90.
    #[error("the latitude must be a number from -90 to 90")]
    Latitude,
    /// Not within -180 to 180.
    #[error("the longitude must be a number from -180 to 180")]
    Longitude,
}

impl LatLng {
    /// Checks and rounds.
    ///
    /// # Errors
    /// When a number is not finite or out of its range.
    pub fn new(lat: f64, lng: f64) -> Result<Self, InvalidPoint> {
        if !(lat.is_finite() && (-90.0..=90.0).contains(&lat)) {
            return Err(InvalidPoint::Latitude);
        }
        if !(lng.is_finite() && (-180.0..=180.0).contains(&lng)) {
            return Err(InvalidPoint::Longitude);
        }
        // Adding zero turns -0.0 into 0.0.
        let round = |v: f64| (v * 100.0).round() / 100.0 + 0.0;
        Ok(Self { lat: round(lat), lng: round(lng) })
    }

    /// Degrees north.
    #[must_use]
    pub fn lat(self) -> f64 {
        self.lat
    }

    /// Degrees east.
    #[must_use]
    pub fn lng(self) -> f64 {
        self.lng
    }
}

#[derive(Serialize, Deserialize)]
struct RawPoint {
    lat: f64,
    lng: f64,
}

impl TryFrom<RawPoint> for LatLng {
    type Error = InvalidPoint;

    fn try_from(raw: RawPoint) -> Result<Self, InvalidPoint> {
        Self::new(raw.lat, raw.lng)
    }
}

impl From<LatLng> for RawPoint {
    fn from(point: LatLng) -> Self {
        Self { lat: point.lat, lng: point.lng }
    }
}

/// A place: what it is called, and where it is if that is known. A place without a point is
/// counted but is no pin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// What people call it.
    pub label: PlaceLabel,
    /// Where it is.
    pub point: Option<LatLng>,
    /// ISO 3166-1 alpha-2 code of its country.
    pub country: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_every_border() {
        assert!(LatLng::new(90.0, 180.0).is_ok());
        assert!(LatLng::new(-90.0, -180.0).is_ok());
        assert_eq!(LatLng::new(90.01, 0.0), Err(InvalidPoint::Latitude));
        assert_eq!(LatLng::new(f64::NAN, 0.0), Err(InvalidPoint::Latitude));
        assert_eq!(LatLng::new(0.0, 180.01), Err(InvalidPoint::Longitude));
        assert_eq!(LatLng::new(0.0, f64::INFINITY), Err(InvalidPoint::Longitude));
    }

    #[test]
    fn points_are_coarse() {
        let point = LatLng::new(37.774_929, -122.419_416).unwrap();
        assert_eq!((point.lat(), point.lng()), (37.77, -122.42));
        assert!(LatLng::new(-0.001, -0.0).unwrap().lat().is_sign_positive());
    }
}
