//! What a run has measured: rows with a figure, the floor under it, their ratio, and what was wanted;
//! as a table for people, which is also the README's.

use std::fmt;

use crate::rounds::{Pairs, Spread, median};

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Events in a second: more is better.
    PerSecond,
    /// Milliseconds: less is better.
    Millis,
    /// Bytes: less is better.
    Bytes,
    /// Seconds: less is better.
    Seconds,
}

/// A number with what it counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure(pub f64, pub Unit);

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wanted {
    /// Nothing: it is told for its own sake.
    Nothing,
    /// The ratio is at least this.
    RatioAtLeast(f64),
    /// The ratio is at most this.
    RatioAtMost(f64),
    /// What was measured is at most this.
    AtMost(Figure),
    /// What was measured is at most so much more than the floor.
    OverFloor(Figure),
}

/// One thing that was measured.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which.
    pub what: String,
    /// How it came out: the median of the rounds.
    pub measured: Figure,
    /// The floor in the same rounds, where there is one.
    pub floor: Option<Figure>,
    /// Measured by floor, round for round, where there is a floor.
    pub ratio: Option<Spread>,
    /// What is to be reached.
    pub wanted: Wanted,
}

/// All that one benchmark found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its name.
    pub name: &'static str,
    /// What was measured.
    pub rows: Vec<Row>,
    /// What belongs to it, as sentences.
    pub notes: Vec<String>,
}

impl Row {
    /// Of measurements that were taken in turns with those of the floor.
    #[must_use]
    pub fn of(what: impl Into<String>, pairs: &Pairs, unit: Unit, wanted: Wanted) -> Self {
        Self {
            what: what.into(),
            measured: Figure(median(&pairs.ours), unit),
            floor: Some(Figure(median(&pairs.floor), unit)),
            ratio: Some(pairs.ratio()),
            wanted,
        }
    }

    /// Of measurements for which there is no floor.
    #[must_use]
    pub fn alone(what: impl Into<String>, measured: Figure, wanted: Wanted) -> Self {
        Self { what: what.into(), measured, floor: None, ratio: None, wanted }
    }

    /// Whether what is wanted was reached; none where nothing is.
    #[must_use]
    pub fn reached(&self) -> Option<bool> {
        let ratio = self.ratio.map(|ratio| ratio.median);
        match self.wanted {
            Wanted::Nothing => None,
            Wanted::RatioAtLeast(least) => Some(ratio.is_some_and(|ratio| ratio >= least)),
            Wanted::RatioAtMost(most) => Some(ratio.is_some_and(|ratio| ratio <= most)),
            Wanted::AtMost(most) => Some(self.measured.0 <= most.0),
            Wanted::OverFloor(most) => {
                Some(self.floor.is_some_and(|floor| self.measured.0 - floor.0 <= most.0))
            }
        }
    }

    fn cells(&self) -> [String; 6] {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        let reached = match self.reached() {
            None => "",
            Some(true) => "yes",
            Some(false) => "**no**",
        };
        [
            self.what.clone(),
            self.measured.to_string(),
            or_dash(self.floor.map(|floor| floor.to_string())),
            or_dash(self.ratio.map(|ratio| ratio.to_string())),
            self.wanted.to_string(),
            reached.to_owned(),
        ]
    }
}

impl Report {
    /// An empty one.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a sentence.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The table with its notes.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = table([self]);
        for note in &self.notes {
            text.push_str(&format!("\n- {note}"));
        }
        text
    }
}

/// The rows of several benchmarks as one table in Markdown.
pub fn table<'a>(reports: impl IntoIterator<Item = &'a Report>) -> String {
    let head = ["what", "measured", "floor", "ratio (of the rounds)", "wanted", "reached"];
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(reports.into_iter().flat_map(|report| report.rows.iter().map(Row::cells)));
    let width = |column: usize| {
        lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or_default()
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for (n, cells) in lines.iter().enumerate() {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!(" {cell:width$} "));
        text.push_str(&format!("|{}|\n", padded.collect::<Vec<_>>().join("|")));
        if n == 0 {
            let rule = widths.map(|width| "-".repeat(width + 2));
            text.push_str(&format!("|{}|\n", rule.join("|")));
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// What was wanted and not reached, as one sentence each.
pub fn missed<'a>(reports: impl IntoIterator<Item = &'a Report>) -> Vec<String> {
    let rows = reports.into_iter().flat_map(|report| report.rows.iter());
    rows.filter(|row| row.reached() == Some(false))
        .map(|row| {
            let [what, measured, floor, ratio, wanted, _] = row.cells();
            format!("{what}: {measured} (floor {floor}, ratio {ratio}), wanted {wanted}")
        })
        .collect()
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value, unit) = self;
        // Three digits say all that such a measurement knows.
        let digits = match value.abs() {
            value if value >= 99.5 => 0,
            value if value >= 9.95 => 1,
            value if value >= 0.995 => 2,
            _ => 3,
        };
        match unit {
            Unit::PerSecond => write!(f, "{value:.digits$}/s"),
            Unit::Millis => write!(f, "{value:.digits$} ms"),
            Unit::Bytes => write!(f, "{value:.0} B"),
            Unit::Seconds => write!(f, "{value:.digits$} s"),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::RatioAtLeast(least) => write!(f, "ratio ≥ {least}"),
            Self::RatioAtMost(most) => write!(f, "ratio ≤ {most}"),
            Self::AtMost(most) => write!(f, "≤ {}", whole(*most)),
            Self::OverFloor(most) => write!(f, "≤ floor + {}", whole(*most)),
        }
    }
}

/// A bound is a round number.
fn whole(Figure(value, unit): Figure) -> String {
    match unit {
        Unit::PerSecond => format!("{value}/s"),
        Unit::Millis => format!("{value} ms"),
        Unit::Bytes => format!("{value} B"),
        Unit::Seconds => format!("{value} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(ours: &[f64], floor: &[f64]) -> Pairs {
        Pairs { ours: ours.to_vec(), floor: floor.to_vec() }
    }

    #[test]
    fn what_is_wanted_is_judged_by_the_median() {
        let pairs = pairs(&[90.0, 99.0, 60.0], &[100.0, 100.0, 100.0]);
        for (wanted, reached) in [
            (Wanted::Nothing, None),
            (Wanted::RatioAtLeast(0.8), Some(true)),
            (Wanted::RatioAtLeast(0.95), Some(false)),
            (Wanted::RatioAtMost(0.8), Some(false)),
            (Wanted::AtMost(Figure(90.0, Unit::Millis)), Some(true)),
            (Wanted::AtMost(Figure(89.0, Unit::Millis)), Some(false)),
            (Wanted::OverFloor(Figure(-10.0, Unit::Millis)), Some(true)),
            (Wanted::OverFloor(Figure(-11.0, Unit::Millis)), Some(false)),
        ] {
            assert_eq!(Row::of("a", &pairs, Unit::Millis, wanted).reached(), reached, "{wanted}");
        }
        let alone = Row::alone("a", Figure(1.0, Unit::Bytes), Wanted::RatioAtMost(1.0));
        assert_eq!(alone.reached(), Some(false), "without a floor no ratio is reached");
    }

    #[test]
    fn the_table_is_markdown_and_tells_what_is_missed() {
        let mut report = Report::new("a");
        let pairs = pairs(&[50.0, 60.0, 70.0], &[100.0, 100.0, 100.0]);
        report.rows.push(Row::of("fast", &pairs, Unit::PerSecond, Wanted::RatioAtLeast(0.8)));
        report.rows.push(Row::alone("small", Figure(0.01234, Unit::Millis), Wanted::Nothing));
        let told = table([&report]);
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 4, "{told}");
        assert!(lines[1].starts_with("|---"), "{told}");
        assert!(lines[2].contains("| 60.0/s ") && lines[2].contains("0.60 (0.50–0.70)"), "{told}");
        assert!(lines[2].contains("ratio ≥ 0.8 ") && lines[2].contains("**no**"), "{told}");
        assert!(lines[3].contains("0.012 ms") && lines[3].contains(" – "), "{told}");
        assert!(lines.iter().all(|line| line.chars().count() == lines[0].chars().count()));
        assert_eq!(missed([&report]).len(), 1);
    }
}
