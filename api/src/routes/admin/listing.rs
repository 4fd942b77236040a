//! Lists in pages: how long a page is, and where the next one begins.
//!
//! A cursor is the id of the last item of a page, written so that nobody is tempted to make one.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::problem::ApiError;

/// Most items of a page.
const MOST: u32 = 200;
/// Items of a page of which no length is asked for.
const USUAL: u32 = 50;

/// How long a page is to be.
pub(super) fn length(asked: Option<&str>) -> Result<u32, ApiError> {
    let Some(text) = asked else { return Ok(USUAL) };
    let detail = format!("A limit is a whole number from 1 to {MOST}.");
    let length = text.parse::<u32>().ok().filter(|length| (1..=MOST).contains(length));
    length.ok_or_else(|| ApiError::invalid("/limit", "limit_invalid", detail))
}

/// The cursor behind an item.
pub(super) fn cursor(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

/// The item that a cursor is behind.
pub(super) fn behind(pointer: &str, cursor: Option<&str>) -> Result<Option<Uuid>, ApiError> {
    let Some(text) = cursor else { return Ok(None) };
    let id = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| Uuid::from_slice(&bytes).ok());
    let detail = "This is not a cursor. Take the `next` of the page before, as it is.";
    id.map(Some).ok_or_else(|| ApiError::invalid(pointer, "cursor_invalid", detail))
}

/// A choice of the query that is on or off.
pub(super) fn truth(pointer: &str, asked: Option<&str>) -> Result<Option<bool>, ApiError> {
    match asked {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => Err(ApiError::invalid(pointer, "invalid_value", "Say true or false.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        let read = |text| length(text).ok();
        assert_eq!(
            (read(None), read(Some("1")), read(Some("200"))),
            (Some(50), Some(1), Some(200))
        );
        for bad in ["", "0", "201", "-1", "1.0", "x", "99999999999"] {
            assert_eq!(length(Some(bad)).unwrap_err().code(), "limit_invalid", "{bad}");
        }
    }

    #[test]
    fn cursors() {
        let id = Uuid::now_v7();
        assert_eq!(behind("/after", Some(&cursor(id))).unwrap(), Some(id));
        assert_eq!(behind("/after", None).unwrap(), None);
        let id = id.to_string();
        for bad in ["", "a", "AAAA", &id, "{\"$gt\":\"\"}", &"A".repeat(23)] {
            assert_eq!(behind("/after", Some(bad)).unwrap_err().code(), "cursor_invalid", "{bad}");
        }
    }

    #[test]
    fn truths() {
        let read = |text| truth("/hidden", text).ok();
        assert_eq!((read(None), read(Some("true"))), (Some(None), Some(Some(true))));
        assert_eq!((read(Some("false")), read(Some("1"))), (Some(Some(false)), None));
    }
}
