//! Whether an event takes submissions, as organisers see it.

use portcall_shared::{
    domain::event::Door,
    store::{doors::Closing, events::EventVersion},
};
use serde::Serialize;
use time::OffsetDateTime;

use crate::views::moment;

/// Whether an event takes submissions, and why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DoorView {
    /// The event's slug.
    pub event: String,
    /// The version of its rules.
    pub version: i32,
    /// Whether it takes submissions now.
    pub open: bool,
    /// That its organisers closed it.
    pub closed: Option<ClosingView>,
    /// From when it takes submissions by its rules.
    #[schema(format = DateTime)]
    pub opens: Option<String>,
    /// Until when it takes submissions by its rules.
    #[schema(format = DateTime)]
    pub closes: Option<String>,
}

/// That an event is closed by its organisers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ClosingView {
    /// Since when.
    #[schema(format = DateTime)]
    pub at: String,
    /// By whom: the name of a token.
    pub by: String,
}

impl DoorView {
    /// Of an event.
    #[must_use]
    pub fn of(version: &EventVersion, closing: Option<&Closing>, now: OffsetDateTime) -> Self {
        let event = &version.event;
        Self {
            event: event.slug.to_string(),
            version: version.version,
            open: closing.is_none() && event.door(now) == Door::Open,
            closed: closing.map(|c| ClosingView { at: moment(c.at), by: c.by.clone() }),
            opens: event.opens.map(moment),
            closes: event.closes.map(moment),
        }
    }
}
