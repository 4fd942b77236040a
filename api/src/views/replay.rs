//! How an event's pins came along the time.

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::moment;
use crate::map::course::Replay;

/// How an event's pins came along the time.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ReplayView {
    /// The event's slug.
    pub event: String,
    /// When the first pin came; none of no pins.
    #[schema(format = DateTime)]
    pub from: Option<String>,
    /// When the last came.
    #[schema(format = DateTime)]
    pub to: Option<String>,
    /// Into how many parts of equal length the time between them is cut.
    #[schema(minimum = 10, maximum = 600)]
    pub steps: u32,
    /// All pins.
    pub total: usize,
    /// Squares of the map, each as the middle of its pins: longitude and latitude, in this order.
    #[schema(max_items = 5000)]
    pub places: Vec<[f64; 2]>,
    /// What came when and where: the step, counted from 0; the place, as an index into `places`; and how
    /// many pins. By step, then by place. The sum of the numbers is `total`. Where this would be too long,
    /// a place's pins come in bunches, each in the step of its last one.
    #[schema(max_items = 100_000)]
    pub pins: Vec<[u32; 3]>,
}

impl ReplayView {
    /// Of what the map says.
    #[must_use]
    pub fn of(event: String, steps: u32, replay: Replay) -> Self {
        let time = |ms: i64| {
            let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
            moment(at.unwrap_or(OffsetDateTime::UNIX_EPOCH))
        };
        Self {
            event,
            from: replay.between.map(|(from, _)| time(from)),
            to: replay.between.map(|(_, to)| time(to)),
            steps,
            total: replay.total,
            places: replay.places,
            pins: replay.pins,
        }
    }
}
