//! What goes over the wire: the shapes of requests and responses, apart from the domain and from
//! what is stored.

pub mod admin;
pub mod competition;
pub mod event;
pub mod map;
pub mod schemas;
pub mod stats;
pub mod submission;
pub mod submit;

use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// A time as it is written: RFC 3339 in UTC, to the millisecond.
pub(crate) fn moment(at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    let at = at.replace_millisecond(at.millisecond()).unwrap_or(at);
    at.format(&Rfc3339).unwrap_or_default()
}

/// The field errors that come together while a request is read.
#[derive(Debug, Default)]
pub(crate) struct Findings(pub(crate) Vec<crate::problem::FieldError>);

impl Findings {
    /// Keeps the value or notes the fault.
    pub(crate) fn keep<T>(&mut self, result: Result<T, crate::problem::FieldError>) -> Option<T> {
        result.map_err(|error| self.0.push(error)).ok()
    }
}
