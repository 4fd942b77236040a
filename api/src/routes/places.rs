//! `GET /api/v1/places?q=`: names of places, for the form.

use axum::response::Response;
use http::HeaderMap;
use portcall_shared::gazetteer;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use crate::{extract::ValidQuery, problem::ApiError, reply::Reply};

/// Most places of an answer.
const MOST: usize = 8;

/// What is asked for.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct PlacesQuery {
    /// What has been typed.
    #[validate(length(max = 480, code = "too_long", message = "This is too long for a place."))]
    q: String,
}

/// Places that may be meant.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PlacesView {
    /// The likeliest first.
    #[schema(max_items = 8)]
    pub places: Vec<FoundView>,
}

/// A place.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = FoundPlace)]
pub struct FoundView {
    /// What it is called.
    pub label: String,
    /// Degrees north.
    #[schema(minimum = -90, maximum = 90)]
    pub lat: f64,
    /// Degrees east.
    #[schema(minimum = -180, maximum = 180)]
    pub lng: f64,
    /// The country's code.
    pub country: &'static str,
    /// How many people live there.
    pub population: u32,
}

/// Places that what has been typed may mean.
///
/// # Errors
/// When the query is not valid.
#[utoipa::path(
    get,
    path = "/api/v1/places",
    operation_id = "findPlaces",
    description = "For a form that completes what is typed: at most eight places, the likeliest \
        first.",
    params((
        "q" = String,
        Query,
        description = "What has been typed.",
        max_length = 480,
        example = "san fr",
    )),
    responses(
        (status = 200, description = "Places.", body = PlacesView),
        (status = 304, description = "The client has them already."),
    )
)]
pub async fn find(
    ValidQuery(query): ValidQuery<PlacesQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let view = |place: gazetteer::Found| FoundView {
        label: place.label,
        lat: place.lat,
        lng: place.lng,
        country: place.country,
        population: place.population,
    };
    let found = gazetteer::suggest(&query.q, MOST);
    let view = PlacesView { places: found.into_iter().map(view).collect() };
    Ok(Reply::ok(view).tagged(&headers))
}
