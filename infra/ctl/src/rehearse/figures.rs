//! The arithmetic of a rehearsal: rates and times as they are typed, percentiles, and how many nodes a
//! crowd needs. Whole numbers wherever a limit is decided.

use std::{fmt, str::FromStr, time::Duration};

/// The share of the slots that may be busy in the rush: with more, those who wait grow without end.
const BUSY_PERCENT: u128 = 80;
/// The fastest that is sent, in submissions a minute.
const FASTEST: u64 = 60_000;
/// The longest time that may be given.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// So many submissions in a minute, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    thousandths: u64,
}

impl Rate {
    /// The time between two of them.
    pub(crate) fn between(self) -> Duration {
        Duration::from_nanos(60_000_000_000_000 / self.thousandths)
    }

    /// How many are sent in a time.
    pub(crate) fn within(self, time: Duration) -> usize {
        let count = time.as_millis() * u128::from(self.thousandths) / 60_000_000;
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    #[expect(clippy::cast_precision_loss, reason = "for people")]
    pub(crate) fn per_minute(self) -> f64 {
        self.thousandths as f64 / 1000.0
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no rate: write 2/s or 90/min");
        let (number, unit) = text.split_once('/').ok_or_else(wrong)?;
        let a_minute = match unit {
            "s" => 60.0,
            "m" | "min" => 1.0,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let per_minute = number * a_minute;
        if !(per_minute.is_finite() && per_minute >= 1.0 && per_minute <= FASTEST as f64) {
            return Err(format!("a rate is from 1/min to {}/s", FASTEST / 60));
        }
        Ok(Self { thousandths: (per_minute * 1000.0).round() as u64 })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} a minute", tenth(self.per_minute()))
    }
}

/// A time as it is typed: `90s`, `2m`, `1h`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time: write 90s, 2m or 1h");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    let time = Duration::from_secs(number.saturating_mul(seconds));
    match time.is_zero() || time > LONGEST {
        true => Err("a time is from 1s to 24h".to_owned()),
        false => Ok(time),
    }
}

/// A share from 0 to 1.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    match (0.0..=1.0).contains(&share) {
        true => Ok(share),
        false => Err("a share is from 0 to 1".to_owned()),
    }
}

/// How long half, nineteen of twenty, and ninety-nine of a hundred took at most, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spread {
    pub(crate) measured: usize,
    pub(crate) p50: u64,
    pub(crate) p95: u64,
    pub(crate) p99: u64,
    pub(crate) most: u64,
}

impl Spread {
    /// Of these times, in any order: each percentile is a time that was measured (nearest rank). None
    /// of no times.
    pub(crate) fn of(mut times: Vec<u64>) -> Option<Self> {
        times.sort_unstable();
        let rank =
            |percent: usize| times.get((times.len() * percent).div_ceil(100).checked_sub(1)?);
        Some(Self {
            measured: times.len(),
            p50: *rank(50)?,
            p95: *rank(95)?,
            p99: *rank(99)?,
            most: *times.last()?,
        })
    }
}

/// Whom an organiser expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crowd {
    pub(crate) people: u64,
    pub(crate) within: Duration,
}

/// What a crowd needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) slots: u64,
    pub(crate) nodes: u64,
}

impl Crowd {
    /// What it needs where a submission holds a slot so many milliseconds on average, and a node has so
    /// many slots: `slots = people / within × held / 0.8`, `nodes = slots / slots of a node`, both
    /// rounded up.
    pub(crate) fn needs(self, held_ms: u64, slots_of_a_node: u64) -> Need {
        let busy = u128::from(self.people) * u128::from(held_ms);
        let busy = busy.saturating_mul(100);
        let slots = busy.div_ceil(self.within.as_millis().max(1) * BUSY_PERCENT).max(1);
        let slots = u64::try_from(slots).unwrap_or(u64::MAX);
        Need { slots, nodes: slots.div_ceil(slots_of_a_node.max(1)) }
    }

    /// How many come in a minute.
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    pub(crate) fn per_minute(self) -> f64 {
        self.people as f64 * 60.0 / self.within.as_secs_f64()
    }

    /// How long so many slots need for all of them, if none is ever without work.
    pub(crate) fn through(self, held_ms: u64, slots: u64) -> Duration {
        let all = u128::from(self.people) * u128::from(held_ms) / u128::from(slots.max(1));
        Duration::from_millis(u64::try_from(all).unwrap_or(u64::MAX))
    }
}

/// A number with one digit behind the point, unless that is nought.
pub(crate) fn tenth(number: f64) -> String {
    format!("{number:.1}").trim_end_matches(".0").to_owned()
}

/// Milliseconds for people.
pub(crate) fn ms(ms: u64) -> String {
    match ms {
        0..=9_999 => format!("{ms} ms"),
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        _ => format!("{:.1} s", ms as f64 / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn rates_are_read_as_they_are_typed() {
        let rate = |text: &str| text.parse::<Rate>();
        assert_eq!(rate("2/s").unwrap().between(), SECOND / 2);
        assert_eq!(rate("90/min").unwrap(), rate("1.5/s").unwrap());
        assert_eq!(rate("1/m").unwrap().between(), SECOND * 60);
        assert_eq!(rate("90/min").unwrap().to_string(), "90 a minute");
        for (text, fits) in
            [("1/min", true), ("0.9/min", false), ("1000/s", true), ("1001/s", false)]
        {
            assert_eq!(rate(text).is_ok(), fits, "{text}");
        }
        for wrong in ["", "2", "2/h", "x/s", "-1/s", "NaN/s", "inf/s", "2/s/s"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rate_gives_as_many_as_fit_into_the_time() {
        let rate: Rate = "2/s".parse().unwrap();
        assert_eq!(rate.within(SECOND * 15), 30);
        assert_eq!(rate.within(Duration::from_millis(14_999)), 29);
        assert_eq!("1/min".parse::<Rate>().unwrap().within(SECOND * 59), 0);
    }

    #[test]
    fn times_and_shares_have_two_limits() {
        assert_eq!(time("90s"), Ok(SECOND * 90));
        assert_eq!((time("2m"), time("24h")), (Ok(SECOND * 120), Ok(SECOND * 86_400)));
        for wrong in ["", "s", "0s", "25h", "86401s", "2", "2d", "1.5m", "-1s", "2é"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
        assert_eq!((share("0"), share("1"), share("0.2")), (Ok(0.0), Ok(1.0), Ok(0.2)));
        for wrong in ["-0.1", "1.01", "NaN", "x"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        assert_eq!(Spread::of(vec![]), None);
        let of = |times: Vec<u64>| Spread::of(times).map(|s| (s.p50, s.p95, s.p99, s.most));
        assert_eq!(of(vec![7]), Some((7, 7, 7, 7)));
        assert_eq!(of((1..=100).rev().collect()), Some((50, 95, 99, 100)));
        assert_eq!(of((1..=101).collect()), Some((51, 96, 100, 101)));
        // Of twenty, the slowest is beyond the 95th percentile; of nineteen it is not.
        assert_eq!(of((1..=20).collect()), Some((10, 19, 20, 20)));
        assert_eq!(of((1..=19).collect()), Some((10, 19, 19, 19)));
    }

    #[test]
    fn nodes_are_as_many_as_the_crowd_needs_and_no_more() {
        let crowd = |people, seconds| Crowd { people, within: SECOND * seconds };
        // One a second, each for 4 s: four are busy, and four are four fifths of five.
        assert_eq!(crowd(60, 60).needs(4000, 5), Need { slots: 5, nodes: 1 });
        assert_eq!(crowd(60, 60).needs(4001, 5), Need { slots: 6, nodes: 2 });
        assert_eq!(crowd(1180, 600).needs(1627, 2), Need { slots: 4, nodes: 2 });
        assert_eq!(crowd(1180, 600).needs(1628, 2), Need { slots: 5, nodes: 3 });
        assert_eq!(crowd(1, 86_400).needs(1, 64), Need { slots: 1, nodes: 1 }, "never none");
        assert_eq!(crowd(u64::MAX, 1).needs(u64::MAX, 0).nodes, u64::MAX, "nothing overflows");
    }

    #[test]
    fn the_slots_that_there_are_need_so_long() {
        let crowd = Crowd { people: 1180, within: SECOND * 600 };
        assert_eq!(crowd.through(2000, 4), SECOND * 590);
        assert_eq!((crowd.through(2000, 0), crowd.per_minute()), (SECOND * 2360, 118.0));
    }

    #[test]
    fn numbers_are_as_people_say_them() {
        assert_eq!((tenth(3.0), tenth(3.12)), ("3".to_owned(), "3.1".to_owned()));
        assert_eq!((ms(9_999), ms(10_000)), ("9999 ms".to_owned(), "10.0 s".to_owned()));
    }
}
