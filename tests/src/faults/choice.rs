//! Which rows run when nobody names any: eight, chosen by a seed, that fit in the time there is. Also
//! the ids that the specification lists, and what of them has no row.

use std::collections::BTreeSet;

use super::row::{Ground, Row};

/// How many.
pub const ROWS: usize = 8;
/// What they may take together, in seconds: some are slower than they say.
pub const TOGETHER_S: u64 = 320;

/// The rows of the specification, by number.
const LISTED: &[u8] = &[
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 20, 21, 22, 23, 24, 25, 26, 27, 29,
    30, 31, 32, 35, 36, 37, 38, 39, 40, 41, 42, 44, 46, 47,
];

/// Every id that must have a row.
#[must_use]
pub fn listed() -> BTreeSet<String> {
    LISTED.iter().map(|number| format!("K{number:02}")).collect()
}

/// The ids without a row.
#[must_use]
pub fn missing(rows: &[Row]) -> Vec<String> {
    let there: BTreeSet<&str> = rows.iter().map(|row| row.id).collect();
    listed().into_iter().filter(|id| !there.contains(id.as_str())).collect()
}

/// Eight of these, in the order in which they run.
#[must_use]
pub fn eight(rows: &[Row], seed: u64) -> Vec<Row> {
    let mut random = Random::new(seed);
    let short = |row: &&Row| matches!(row.ground, Ground::World | Ground::Apis);
    let mut rows: Vec<&Row> = rows.iter().filter(short).collect();
    for n in (1..rows.len()).rev() {
        rows.swap(n, random.below(n + 1));
    }
    let (mut chosen, mut takes): (Vec<Row>, _) = (Vec::new(), 0);
    for (n, row) in rows.iter().enumerate() {
        // So long that there is still time for as many others as are wanted, it may take.
        let mut others: Vec<u64> = rows[n + 1..].iter().map(|row| row.takes_s).collect();
        others.sort_unstable();
        let wanted = ROWS.saturating_sub(chosen.len() + 1);
        let shortest: u64 = others.iter().take(wanted).sum();
        if chosen.len() < ROWS && takes + row.takes_s + shortest <= TOGETHER_S {
            takes += row.takes_s;
            chosen.push((*row).clone());
        }
    }
    chosen
}

/// Numbers that a seed decides (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next one.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next one, below that.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.number() % (end.max(1) as u64)).unwrap_or_default()
    }

    /// One between these.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.number() % (to - from).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{
        evidence::Permits,
        row::{Ctx, Running},
    };

    fn never(_: Ctx) -> Running {
        Box::pin(std::future::pending())
    }

    fn row(id: &'static str, ground: Ground, takes_s: u64) -> Row {
        Row { id, what: "", ground, takes_s, permits: Permits::NONE, how: never }
    }

    #[test]
    fn eight_are_chosen_that_fit_and_the_same_again() {
        let ids: Vec<&'static str> =
            listed().into_iter().map(|id| &*Box::leak(id.into_boxed_str())).collect();
        let mut rows: Vec<Row> = ids.iter().map(|id| row(id, Ground::World, 34)).collect();
        rows[0].ground = Ground::Lab;
        rows[1].takes_s = TOGETHER_S + 1;
        // One that takes the time of two.
        rows[2].takes_s = 80;
        let mut once = BTreeSet::new();
        for seed in 0..200 {
            let chosen = eight(&rows, seed);
            let names: Vec<&str> = chosen.iter().map(|row| row.id).collect();
            let again: Vec<&str> = eight(&rows, seed).iter().map(|row| row.id).collect();
            assert_eq!(names, again);
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), ROWS, "{names:?}");
            assert!(chosen.iter().map(|row| row.takes_s).sum::<u64>() <= TOGETHER_S);
            once.extend(names);
        }
        assert!(!once.contains(rows[0].id) && !once.contains(rows[1].id));
        assert_eq!(once.len(), rows.len() - 2, "every other row is chosen by some seed");
    }

    #[test]
    fn a_row_that_is_not_there_is_missing() {
        assert_eq!(listed().len(), 40);
        let missing = missing(&[row("K01", Ground::World, 1), row("K47", Ground::Lab, 1)]);
        assert_eq!(missing.len(), 38);
        assert!(!missing.iter().any(|id| id == "K01" || id == "K47"));
    }
}
