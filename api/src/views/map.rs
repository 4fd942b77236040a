//! The map as GeoJSON (RFC 7946): cells with counts, and single pins.

use serde::Serialize;
use utoipa::ToSchema;

use super::moment;
use crate::map::index::{Found, Shown, Spot, View};

/// What a viewport shows.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PinsView {
    #[schema(value_type = String, pattern = "^FeatureCollection$")]
    r#type: &'static str,
    /// Cells and pins.
    pub features: Vec<Feature>,
    /// All pins of the event, inside the viewport or not.
    pub total: usize,
    /// Counts the changes of the event's map.
    pub revision: u64,
    /// There while the store is away: as of when this is.
    #[schema(format = DateTime)]
    pub as_of: Option<String>,
}

/// The newest pins.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RecentView {
    /// The newest first.
    #[schema(max_items = 50)]
    pub items: Vec<Feature>,
}

/// One thing on the map.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Feature {
    #[schema(value_type = String, pattern = "^Feature$")]
    r#type: &'static str,
    /// A cell's `zoom/x/y`, or the submission of a pin.
    pub id: String,
    geometry: Geometry,
    /// What it is.
    pub properties: Properties,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
struct Geometry {
    #[schema(value_type = String, pattern = "^Point$")]
    r#type: &'static str,
    /// Longitude and latitude, in this order.
    coordinates: [f64; 2],
}

/// What stands there.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Properties {
    /// Several pins.
    Cell {
        /// How many.
        count: usize,
        /// Where to zoom: the cell, or the one point that all of its pins share.
        bbox: [f64; 4],
        /// For pins of one point: some of them, the newest first.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        members: Vec<Member>,
    },
    /// One pin.
    Pin {
        /// Always 1.
        count: usize,
        /// The participant's name.
        name: String,
        /// The participant's handle.
        handle: Option<String>,
        /// What the place is called.
        place: String,
        /// The submission that passed.
        #[schema(format = Uuid)]
        submission: String,
        /// When it passed.
        #[schema(format = DateTime)]
        at: String,
    },
}

/// One of the pins of a point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Member {
    /// The participant's name.
    pub name: String,
    /// The submission that passed.
    #[schema(format = Uuid)]
    pub submission: String,
}

impl PinsView {
    /// Of what the index found.
    #[must_use]
    pub fn of(view: &View) -> Self {
        Self {
            r#type: "FeatureCollection",
            features: view.found.iter().map(Feature::of).collect(),
            total: view.total,
            revision: view.revision,
            as_of: None,
        }
    }
}

impl RecentView {
    /// Of these pins.
    #[must_use]
    pub fn of(pins: &[Shown]) -> Self {
        Self { items: pins.iter().map(Feature::pin).collect() }
    }
}

impl Feature {
    fn of(found: &Found) -> Self {
        match found {
            Found::Pin(pin) => Self::pin(pin),
            Found::Spot(spot) => Self::cell(spot),
        }
    }

    fn cell(spot: &Spot) -> Self {
        let member =
            |pin: &Shown| Member { name: pin.name.clone(), submission: pin.submission.to_string() };
        Self {
            r#type: "Feature",
            id: spot.id.clone(),
            geometry: Geometry { r#type: "Point", coordinates: spot.centre },
            properties: Properties::Cell {
                count: spot.count,
                bbox: spot.bbox,
                members: spot.members.iter().map(member).collect(),
            },
        }
    }

    /// A single pin.
    #[must_use]
    pub fn pin(pin: &Shown) -> Self {
        Self {
            r#type: "Feature",
            id: pin.submission.to_string(),
            geometry: Geometry { r#type: "Point", coordinates: [pin.point.lng(), pin.point.lat()] },
            properties: Properties::Pin {
                count: 1,
                name: pin.name.clone(),
                handle: pin.handle.clone(),
                place: pin.place.to_string(),
                submission: pin.submission.to_string(),
                at: moment(pin.at),
            },
        }
    }
}
