//! Where on earth a typed place is, without asking anybody: an index of the cities with 15,000
//! people or more, of the countries and of the divisions that addresses carry.
//!
//! The data is embedded (made by `infra/places`; GeoNames, CC BY 4.0: whoever shows the places
//! shows the attribution) and unpacked at the first question, or by [`warm`]. Both questions cut
//! what they are given to a fixed length, so any input costs a bounded amount of work.
//!
//! A match by a city's own name weighs its population, by another name an eighth of it, and as
//! the largest city of a division that the label names a quarter of it. A label that only names a
//! country stands for the capital. Places that would carry the same label are shown as one, the
//! most populous.
//!
//! Keeping places, and the map, are left to others.

mod find;
mod fold;
mod index;
mod label;
mod suggest;
#[cfg(test)]
mod tests;

use index::{INDEX, PlaceId};

pub use find::locate;
pub use suggest::suggest;

/// What the places are made from; to be shown wherever they are.
pub const ATTRIBUTION: &str = "Places by GeoNames (geonames.org), CC BY 4.0";

/// A place of the gazetteer.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Name, division (where known and different from the name) and country code:
    /// `San Francisco, California, US`.
    pub label: String,
    /// Degrees north, to a hundredth.
    pub lat: f64,
    /// Degrees east, to a hundredth.
    pub lng: f64,
    /// ISO 3166 code of the country, two capital letters.
    pub country: &'static str,
    /// People who live there.
    pub population: u32,
}

/// What a typed label stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum Located {
    /// One place, or one that outweighs every other at least four to one.
    One(Found),
    /// Several places, the weightiest first, at most eight: somebody has to choose.
    Many(Vec<Found>),
    /// No place that the gazetteer knows.
    None,
}

/// Unpacks the data now instead of at the first question; answers how many places there are.
pub fn warm() -> usize {
    INDEX.places.len()
}

impl Found {
    fn new(id: PlaceId) -> Self {
        let place = INDEX.place(id);
        let country = INDEX.area(place.country).code;
        let region = place.region.map(|region| INDEX.area(region).name);
        let label = match region.filter(|region| *region != place.name) {
            Some(region) => format!("{}, {region}, {country}", place.name),
            None => format!("{}, {country}", place.name),
        };
        let (lat, lng, population) = (place.lat, place.lng, place.population);
        Self { label, lat, lng, country, population }
    }
}
