//! What goes over the wire: the shapes of requests and responses, apart from the domain and from
//! what is stored.

pub mod admin;
pub mod competition;
pub mod event;
pub mod image;
pub mod map;
pub mod replay;
pub mod schemas;
pub mod stats;
pub mod submission;
pub mod submit;

use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// A time as it is written: RFC 3339 in UTC, to the millisecond. One that UTC has no year for stays
/// in its own zone.
pub(crate) fn moment(at: OffsetDateTime) -> String {
    let at = at.checked_to_offset(UtcOffset::UTC).unwrap_or(at);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_and_never_breaks_what_it_stands_in() {
        let read = |text: &str| OffsetDateTime::parse(text, &Rfc3339).unwrap();
        for (at, written) in [
            ("2026-03-20T01:00:00.1239+01:00", "2026-03-20T00:00:00.123Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
            ("9999-12-31T23:59:59-01:00", "9999-12-31T23:59:59-01:00"),
            ("9999-12-31T23:59:59+01:00", "9999-12-31T22:59:59Z"),
        ] {
            assert_eq!(moment(read(at)), written);
        }
        assert_eq!(moment(read("0000-01-01T00:00:00+01:00")), "", "there is no way to write it");
    }
}
