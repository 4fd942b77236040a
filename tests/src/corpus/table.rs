//! What came out, for people.

use std::fmt::Write as _;

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
