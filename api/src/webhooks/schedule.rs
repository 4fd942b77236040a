//! When a delivery that was not taken is tried again: nine tries within a day, further and further
//! apart, each a little off its time so that a receiver that comes back is not stormed.

use std::time::Duration;

use time::{OffsetDateTime, format_description::well_known::Rfc2822};

/// The pauses after the first try, the second, and so on; after the last there is no other.
const PAUSES: [Duration; 8] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(3 * 60 * 60),
    Duration::from_secs(6 * 60 * 60),
    Duration::from_secs(12 * 60 * 60),
];
/// The longest that a receiver may ask us to wait.
const LONGEST_ASKED: Duration = Duration::from_secs(60 * 60);
/// How far off a pause may be, as a part of it.
const JITTER: f64 = 0.2;

/// How long until the next try, after so many of them; none if that was the last. `chance` is from 0
/// to 1; `asked` is what the receiver wants at least.
#[must_use]
pub fn pause(tries: i32, asked: Option<Duration>, chance: f64) -> Option<Duration> {
    let index = usize::try_from(tries.max(1) - 1).ok()?;
    let pause = PAUSES.get(index)?.mul_f64(1.0 + JITTER * (2.0 * chance - 1.0));
    Some(pause.max(asked.unwrap_or_default().min(LONGEST_ASKED)))
}

/// What a `Retry-After` asks for (RFC 9110 §10.2.3): seconds, or a date.
#[must_use]
pub fn asked(text: &str, now: OffsetDateTime) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number beyond all counting is a long time.
        return Some(text.parse().map_or(LONGEST_ASKED, Duration::from_secs));
    }
    let at = OffsetDateTime::parse(text, &Rfc2822).ok()?;
    Some(Duration::try_from(at - now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_after_a_day() {
        let mut sum = Duration::ZERO;
        for tries in 1..=8 {
            let (least, most) =
                (pause(tries, None, 0.0).unwrap(), pause(tries, None, 1.0).unwrap());
            let middle = pause(tries, None, 0.5).unwrap();
            assert!(least < middle && middle < most, "{tries}");
            assert!(pause(tries + 1, None, 0.0).is_none_or(|next| next > most), "{tries}");
            sum += middle;
        }
        assert_eq!(pause(1, None, 0.5), Some(Duration::from_secs(5)));
        assert!((20..=24).contains(&(sum.as_secs() / 3600)));
        assert_eq!(pause(9, None, 0.5), None);
        assert_eq!(pause(9, Some(Duration::from_secs(1)), 0.5), None, "asking is no other try");
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_up_to_an_hour() {
        let after = |seconds| pause(1, Some(Duration::from_secs(seconds)), 0.5).unwrap().as_secs();
        assert_eq!([after(0), after(5), after(6), after(3600), after(3601)], [5, 5, 6, 3600, 3600]);
    }

    #[test]
    fn what_is_asked_is_read() {
        let now = OffsetDateTime::from_unix_timestamp(1_445_412_480).unwrap();
        let read = |text| asked(text, now).map(|time| time.as_secs());
        assert_eq!(read(" 120 "), Some(120));
        assert_eq!(read("99999999999999999999999"), Some(3600));
        assert_eq!(read("Wed, 21 Oct 2015 07:28:10 GMT"), Some(10));
        assert_eq!(read("Wed, 21 Oct 2015 07:27:00 GMT"), Some(0));
        assert_eq!([read(""), read("-1"), read("soon")], [None; 3]);
    }
}
