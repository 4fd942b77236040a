//! `GET /api/v1/events/{event}/pins`: what a viewport of the map shows.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::HeaderMap;
use portcall_shared::domain::ids::EventSlug;
use serde::Deserialize;
use validator::Validate;

use crate::{
    etag,
    extract::{Id, ValidQuery},
    map::{grid::Bbox, mercator::DEEPEST},
    problem::ApiError,
    reply::Reply,
    state::AppState,
    views::{map::PinsView, moment},
};

/// What is asked for.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct PinsQuery {
    /// `west,south,east,north` in degrees; everything without it.
    #[validate(length(max = 200, code = "too_long", message = "This is too long for a box."))]
    bbox: Option<String>,
    /// 0 to 14; 2 without it.
    #[validate(length(max = 8, code = "too_long", message = "This is too long for a zoom."))]
    zoom: Option<String>,
}

/// Cells and pins of a box.
///
/// # Errors
/// When the query is not valid, there is no such event, or the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/events/{event}/pins",
    operation_id = "listPins",
    description = "GeoJSON (RFC 7946): pins that stand alone, and cells with a count where there \
        are several.",
    params(
        (
            "bbox" = Option<String>,
            Query,
            description = "`west,south,east,north` in degrees; everything without it. A box whose \
                west is greater than its east crosses the antimeridian.",
            max_length = 200,
            pattern = r"^ *[^ ,]+ *(, *[^ ,]+ *){3}$",
            example = "-10,35,30,60",
        ),
        (
            "zoom" = Option<u8>,
            Query,
            description = "How near the viewport is; 2 without it.",
            minimum = 0,
            maximum = 14,
            example = 4,
        ),
    ),
    responses(
        (
            status = 200,
            description = "What the box shows.",
            body = PinsView,
            content_type = "application/geo+json",
        ),
        (status = 304, description = "The client has it already."),
    )
)]
pub async fn show(
    State(app): State<AppState>,
    Id(slug): Id<EventSlug>,
    ValidQuery(query): ValidQuery<PinsQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let bbox = query.bbox.as_deref().map_or(Ok(Bbox::WORLD), bbox)?;
    let zoom = query.zoom.as_deref().map_or(Ok(2), zoom)?;
    app.is_event(&slug).await?;
    // The revision is read first: should a pin come meanwhile, the client is only told too much.
    let (revision, as_of) = (app.map.revision(&slug), app.away.since());
    let tag = match as_of {
        None => format!("\"{revision}\""),
        Some(at) => format!("\"{revision}-of-{}\"", at.unix_timestamp()),
    };
    if etag::matches(&headers, &tag) {
        return Ok(etag::unchanged(&tag));
    }
    let mut view = PinsView::of(&app.map.view(&slug, &bbox, zoom));
    view.as_of = as_of.map(moment);
    Ok(etag::tagged(&tag, Reply::geo(view).into_response()))
}

fn zoom(text: &str) -> Result<u8, ApiError> {
    let zoom = text.parse::<u8>().ok().filter(|zoom| *zoom <= DEEPEST);
    let detail = "The zoom is a whole number from 0 to 14.";
    zoom.ok_or_else(|| ApiError::invalid("/zoom", "zoom_invalid", detail))
}

fn bbox(text: &str) -> Result<Bbox, ApiError> {
    let invalid = |detail: &str| ApiError::invalid("/bbox", "bbox_invalid", detail);
    let numbers: Option<Vec<f64>> = text.split(',').map(|n| n.trim().parse().ok()).collect();
    let Some([west, south, east, north]) = numbers.as_deref().map(<[f64]>::to_vec).and_then(four)
    else {
        return Err(invalid("A box is four numbers: west,south,east,north."));
    };
    let within = |degrees: f64, most: f64| (-most..=most).contains(&degrees);
    if !(within(west, 180.0) && within(east, 180.0)) {
        return Err(invalid("West and east are from -180 to 180."));
    }
    if !(within(south, 90.0) && within(north, 90.0)) || south > north {
        return Err(invalid("South and north are from -90 to 90, and south is not above north."));
    }
    Ok(Bbox { west, south, east, north })
}

fn four(numbers: Vec<f64>) -> Option<[f64; 4]> {
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_and_zooms() {
        assert_eq!(bbox("-180,-85,180,85").unwrap().east, 180.0);
        assert_eq!(bbox("170, -40, -170, 10").unwrap().west, 170.0);
        for bad in
            ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "NaN,0,1,1", "0,inf,1,1", "0,5,1,4", "0,0,181,1"]
        {
            assert_eq!(bbox(bad).unwrap_err().code(), "bbox_invalid", "{bad}");
        }
        assert_eq!((zoom("0").unwrap(), zoom("14").unwrap()), (0, 14));
        for bad in ["", "15", "-1", "1.5", "x"] {
            assert_eq!(zoom(bad).unwrap_err().code(), "zoom_invalid", "{bad}");
        }
    }
}
