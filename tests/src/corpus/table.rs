//! What came out, for people.

use std::{fmt::Write as _, time::Duration};

use super::run::Outcome;

/// One line for each row and profile, by their ids; `!` marks those that are not as they must be.
#[must_use]
pub fn of(outcomes: &[Outcome]) -> String {
    let mut outcomes: Vec<&Outcome> = outcomes.iter().collect();
    outcomes.sort_by_key(|outcome| (outcome.id.clone(), outcome.what.clone(), outcome.profile));
    let width = |of: fn(&Outcome) -> &str, least: usize| {
        outcomes.iter().map(|o| of(o).chars().count()).max().unwrap_or(0).max(least)
    };
    let (what, expected, got) =
        (width(|o| &o.what, 4), width(|o| &o.expected, 8), width(|o| &o.got, 3));
    let id = width(|o| &o.id, 3);
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "  {:id$}  {:what$}  {:8}  {:expected$}  {:got$}  {:>6}  harm",
        "row", "what", "profile", "expected", "got", "ms"
    );
    for outcome in outcomes {
        let _ = writeln!(
            text,
            "{} {:id$}  {:what$}  {:8}  {:expected$}  {:got$}  {:>6}  {}",
            if outcome.holds() && outcome.harm == 0 { ' ' } else { '!' },
            outcome.id,
            outcome.what,
            outcome.profile,
            outcome.expected,
            outcome.got,
            outcome.took.as_millis(),
            outcome.harm,
        );
    }
    text
}

/// How long it took, beside what is promised. It is told and not asserted: how long depends on what
/// else the machine does, and how often a test fails must not.
#[must_use]
pub fn took(took: Duration, at_most: Option<Duration>) -> String {
    let shown = |time: Duration| match (time.as_secs() / 60, time.as_secs() % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    };
    match at_most {
        Some(at_most) => format!("took {} of at most {}", shown(took), shown(at_most)),
        None => format!("took {}", shown(took)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_beside_its_promise() {
        let six = Some(Duration::from_mins(6));
        assert_eq!(took(Duration::from_secs(166), six), "took 2 min 46 s of at most 6 min");
        assert_eq!(took(Duration::from_millis(2900), None), "took 2 s");
    }
}
