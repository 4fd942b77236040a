//! What a canary must tell on a node, made from [`table`](super::table), and in what a report
//! differs from it.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive};

use super::{
    report::Report,
    scene::Scene,
    table::{ROWS, Want},
};
use crate::fleet::{Limits, NodeFacts, NodeSettings, Profile, Requests};

/// What one attempt must come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// One of these outcomes.
    AnyOf(Vec<&'static str>),
    /// A number from this range.
    Within(RangeInclusive<i64>),
    /// Whatever it is, it is no matter of the node's.
    Anything,
}

impl Wanted {
    fn is_met(&self, report: &Report, name: &str) -> bool {
        match self {
            Self::AnyOf(words) => {
                report.attempts.get(name).is_some_and(|got| words.contains(&got.as_str()))
            }
            Self::Within(range) => {
                report.numbers.get(name).is_some_and(|number| range.contains(number))
            }
            Self::Anything => report.outcome(name).is_some(),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnyOf(words) => f.write_str(&words.join("|")),
            Self::Within(range) if range.start() == range.end() => write!(f, "{}", range.start()),
            Self::Within(range) => write!(f, "{}..{}", range.start(), range.end()),
            Self::Anything => f.write_str("anything"),
        }
    }
}

/// What a canary must tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected(BTreeMap<&'static str, Wanted>);

impl Expected {
    /// Of a canary that was started under a profile with its usual limits.
    #[must_use]
    pub fn of(profile: Profile, node: &NodeFacts, settings: &NodeSettings) -> Self {
        let scene = Scene { profile, limits: Limits::of(profile), node, settings };
        Self(ROWS.iter().map(|row| (row.name, row.wanted(&scene))).collect())
    }

    /// What one attempt must come to.
    #[must_use]
    pub fn wanted(&self, name: &str) -> Option<&Wanted> {
        self.0.get(name)
    }
}

/// An attempt that came to something else than it must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The attempt.
    pub attempt: String,
    /// What it must come to; `unknown` if this worker knows no such attempt.
    pub expected: String,
    /// What it came to; `missing` if the report does not say.
    pub got: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} instead of {}", self.attempt, self.got, self.expected)
    }
}

/// In what a report differs from what it must be, by name. An attempt that is missing differs, and
/// so does one that nobody knows: canary and worker are then not of one build.
#[must_use]
pub fn differences(report: &Report, expected: &Expected) -> Vec<Difference> {
    let mut found: Vec<Difference> = Vec::new();
    for (name, wanted) in &expected.0 {
        if !wanted.is_met(report, name) {
            found.push(Difference {
                attempt: (*name).to_owned(),
                expected: wanted.to_string(),
                got: report.outcome(name).unwrap_or_else(|| "missing".to_owned()),
            });
        }
    }
    let unknown = |name: &&str| !expected.0.contains_key(name);
    found.extend(report.names().filter(unknown).map(|name| Difference {
        attempt: name.to_owned(),
        expected: "unknown".to_owned(),
        got: report.outcome(name).unwrap_or_default(),
    }));
    found.sort_by(|one, other| one.attempt.cmp(&other.attempt));
    found
}

impl super::table::Row {
    fn wanted(&self, scene: &Scene<'_>) -> Wanted {
        let gvisor = scene.settings.is_gvisor(scene.node).then(|| self.under_gvisor()).flatten();
        let task = match scene.node.requests {
            Requests::Services => self.in_tasks(),
            Requests::Containers => None,
        };
        let want = gvisor.or(task).unwrap_or(match scene.profile {
            Profile::Ordinary => self.ordinary,
            Profile::Strict => self.strict,
        });
        match want {
            Want::Said(words) => Wanted::AnyOf(words.split('|').collect()),
            Want::SaidIn(words) => Wanted::AnyOf(words(scene).split('|').collect()),
            Want::Counted(range) => Wanted::Within(range(scene)),
            Want::Anything => Wanted::Anything,
        }
    }
}

#[cfg(test)]
mod tests;
