//! The header fields of a registry that are read.

use std::{collections::BTreeMap, time::Duration};

use reqwest::{Response, header::RETRY_AFTER};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use crate::domain::verdict::LONGEST_DELAY;

/// A field, if it is there and is text.
pub(super) fn header(response: &Response, name: &str) -> Option<String> {
    Some(response.headers().get(name)?.to_str().ok()?.to_owned())
}

/// How long it asks us to wait (RFC 9110 §10.2.3), at most [`LONGEST_DELAY`].
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    let text = header(response, RETRY_AFTER.as_str())?;
    wait(text.trim(), OffsetDateTime::now_utc())
}

fn wait(text: &str, now: OffsetDateTime) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number beyond all counting is a long time.
        let seconds = text.parse().map_or(LONGEST_DELAY, Duration::from_secs);
        return Some(seconds.min(LONGEST_DELAY));
    }
    let at = OffsetDateTime::parse(text, &Rfc2822).ok()?;
    let left = Duration::try_from(at - now).unwrap_or_default();
    Some(left.min(LONGEST_DELAY))
}

/// The fields of a `Bearer` challenge (RFC 6750 §3).
pub(super) fn challenge(text: &str) -> Option<BTreeMap<String, String>> {
    let (scheme, rest) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut fields = BTreeMap::new();
    let mut rest = rest;
    while let Some((name, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"')?;
        fields.insert(name.trim_matches([' ', ',']).to_lowercase(), value.to_owned());
        rest = after;
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn challenges_are_read() {
        let fields = challenge(r#"Bearer realm="https://a.test/t",service="s",scope="x:y:pull""#);
        let fields = fields.unwrap();
        assert_eq!(fields["realm"], "https://a.test/t");
        assert_eq!(fields["service"], "s");
        assert_eq!(challenge("Basic realm=\"x\""), None);
        assert_eq!(challenge("Bearer realm=\"x"), None);
    }

    #[rstest]
    #[case("0", Some(0))]
    #[case("60", Some(60))]
    #[case("900", Some(900))]
    #[case("901", Some(900))]
    #[case("3600", Some(900))]
    #[case("99999999999999999999999", Some(900))]
    #[case("Wed, 21 Oct 2026 07:28:30 GMT", Some(30))]
    #[case("Wed, 21 Oct 2026 07:00:00 GMT", Some(0))]
    #[case("Wed, 21 Oct 2099 07:00:00 GMT", Some(900))]
    #[case("-1", None)]
    #[case("1.5", None)]
    #[case("", None)]
    #[case("soon", None)]
    fn a_wish_to_wait_is_clipped(#[case] text: &str, #[case] seconds: Option<u64>) {
        let now = datetime!(2026-10-21 07:28 UTC);
        assert_eq!(wait(text, now).map(|wait| wait.as_secs()), seconds);
    }
}
