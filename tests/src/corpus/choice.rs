//! Which rows run: all, those that are named, or a third that a seed chooses.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use super::{row::Row, run::Case};
use crate::parts::given;

/// Rows that are always among a third: what is asserted about the largest log, about live streams and
/// about what is copied once would otherwise be asserted of nothing.
const ALWAYS: [&str; 3] = ["A11", "C09", "F30"];

/// A choice of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Every row.
    All,
    /// Those of these ids.
    Named(Vec<String>),
    /// Every row that takes no engine, a third of the others, and the few that are always there.
    Third(u64),
}

impl Choice {
    /// As the run of the tests asks for it.
    #[must_use]
    pub fn given() -> Self {
        match given::corpus().as_str() {
            "all" => Self::All,
            "third" => Self::Third(given::seed()),
            ids => Self::Named(ids.split_whitespace().map(str::to_owned).collect()),
        }
    }

    /// Whether a case is among them. Rows that belong together are chosen together.
    #[must_use]
    pub fn has(&self, (row, profile): &Case) -> bool {
        match self {
            Self::All => true,
            Self::Named(ids) => ids.iter().any(|id| id == row.id),
            Self::Third(_) if !row.needs_engine() || ALWAYS.contains(&row.id) => true,
            Self::Third(seed) => {
                let mut hasher = DefaultHasher::new();
                (seed, name(row), profile.as_str()).hash(&mut hasher);
                hasher.finish().is_multiple_of(3)
            }
        }
    }

    /// What is promised: how long it takes at most, where that is promised at all.
    #[must_use]
    pub fn at_most(&self) -> Option<Duration> {
        match self {
            Self::All => Some(Duration::from_mins(15)),
            Self::Third(_) => Some(Duration::from_mins(6)),
            Self::Named(_) => None,
        }
    }

    /// As it can be given again.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::All => "all rows".to_owned(),
            Self::Named(ids) => ids.join(" "),
            Self::Third(seed) => {
                format!("a third of the rows that take an engine (PORTCALL_TEST_SEED={seed})")
            }
        }
    }
}

fn name(row: &Row) -> &'static str {
    match row.stage {
        super::Stage::Any => row.what,
        super::Stage::Together(name) => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::{rows, run::cases};

    #[test]
    fn a_third_is_about_a_third_and_the_same_again() {
        let all = cases(&rows::all());
        let (engine, others): (Vec<_>, Vec<_>) = all.iter().partition(|case| case.0.needs_engine());
        let mut chosen_once = vec![false; engine.len()];
        for seed in 0..40 {
            let third = Choice::Third(seed);
            assert!(others.iter().all(|case| third.has(case)));
            for id in ALWAYS {
                let mut of_it = all.iter().filter(|case| case.0.id == id).peekable();
                assert!(of_it.peek().is_some() && of_it.all(|case| third.has(case)), "{id}");
            }
            let chosen = engine.iter().filter(|case| third.has(case)).count();
            assert!((engine.len() / 5..engine.len() / 2).contains(&chosen), "{chosen}");
            for (case, once) in engine.iter().zip(&mut chosen_once) {
                *once |= third.has(case);
                assert_eq!(third.has(case), Choice::Third(seed).has(case));
            }
        }
        assert!(chosen_once.iter().all(|once| *once), "every row is chosen by some seed");
    }
}
