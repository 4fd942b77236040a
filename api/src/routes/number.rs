//! Whole numbers in queries, each within its bounds.

use std::ops::RangeInclusive;

use crate::problem::ApiError;

/// The number that was asked for, or the usual one.
///
/// # Errors
/// When it is no whole number, or out of its bounds.
pub(super) fn number(
    parameter: &str,
    asked: Option<&str>,
    bounds: RangeInclusive<u32>,
    usual: u32,
) -> Result<u32, ApiError> {
    let Some(text) = asked else { return Ok(usual) };
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse::<u32>().ok().filter(|number| digits && bounds.contains(number));
    number.ok_or_else(|| {
        let (least, most) = (bounds.start(), bounds.end());
        let detail = format!("{parameter} is a whole number from {least} to {most}.");
        ApiError::invalid(format!("/{parameter}"), format!("{parameter}_invalid"), detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_within_their_bounds() {
        let read = |asked| number("limit", asked, 1..=50, 20);
        assert_eq!(read(None).unwrap(), 20);
        for (asked, expected) in [("1", 1), ("50", 50), ("07", 7)] {
            assert_eq!(read(Some(asked)).unwrap(), expected);
        }
        for bad in ["", "0", "51", "-1", "+5", "1.0", "1e1", " 5", "x", "99999999999"] {
            assert_eq!(read(Some(bad)).unwrap_err().code(), "limit_invalid", "{bad}");
        }
    }
}
