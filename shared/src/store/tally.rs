//! The numbers of an event in memory: counted once, and then kept as its submissions change.
//!
//! Of every submission so much is kept as it takes to take it out of the counts again, about forty bytes.
//! One that is older than what was seen of it changes nothing, so that it does not matter in which order
//! the change stream, a page of the store and a request tell of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher as _, RandomState},
};

use time::OffsetDateTime;

use super::{
    glances::{Glance, STATES},
    stats::Stats,
};
use crate::domain::ids::SubmissionId;

const HOUR: u32 = 3600;
/// Most reasons that are told, and most that are told apart.
const REASONS: usize = 50;
const MOST_REASONS: usize = 4000;
/// Most hours that are told.
const HOURS: usize = 168;
/// Most countries that are told.
const COUNTRIES: usize = 300;

/// The numbers of one event.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    rows: BTreeMap<u64, Row>,
    states: [u64; STATES.len()],
    delayed: u64,
    /// The codes by number, from 1.
    codes: Vec<String>,
    reasons: BTreeMap<u16, u64>,
    /// How many came in an hour, and how many of these passed.
    hours: BTreeMap<u32, (u64, u64)>,
    countries: BTreeMap<[u8; 2], u64>,
    participants: BTreeMap<u64, u32>,
    queued: BTreeSet<(u32, u64)>,
    hasher: RandomState,
}

/// What a submission was counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    participant: u64,
    /// In seconds since 1970.
    created: u32,
    revision: u32,
    country: Option<[u8; 2]>,
    /// 0: none.
    reason: u16,
    state: u8,
    delayed: bool,
}

/// The random part of an id: that two of them share it is less likely than a fault of the memory.
fn key(id: SubmissionId) -> u64 {
    id.uuid().as_u64_pair().1
}

fn passed(row: &Row) -> bool {
    STATES[usize::from(row.state)] == "passed"
}

impl Tally {
    /// Takes in how a submission is now. Answers whether that changed anything.
    pub fn put(&mut self, glance: &Glance) -> bool {
        let key = key(glance.id);
        let row = self.row(glance);
        match self.rows.get(&key) {
            Some(known) if known.revision > row.revision || *known == row => return false,
            Some(known) => {
                let known = *known;
                self.count(key, known, Sign::Minus);
            }
            None => {}
        }
        self.rows.insert(key, row);
        self.count(key, row, Sign::Plus);
        true
    }

    /// Forgets all that are not among those. Answers how many there were.
    pub fn keep_only(&mut self, those: impl Fn(u64) -> bool) -> usize {
        let gone: Vec<u64> = self.rows.keys().copied().filter(|key| !those(*key)).collect();
        for key in &gone {
            if let Some(row) = self.rows.remove(key) {
                self.count(*key, row, Sign::Minus);
            }
        }
        gone.len()
    }

    /// What stands for an id in [`Self::keep_only`].
    #[must_use]
    pub fn key(id: SubmissionId) -> u64 {
        key(id)
    }

    /// How many came before the hour that a time lies in.
    #[must_use]
    pub fn came_before_the_hour_of(&self, at: OffsetDateTime) -> u64 {
        self.hours.range(..seconds(at) / HOUR).map(|(_, (came, _))| came).sum()
    }

    fn row(&mut self, glance: &Glance) -> Row {
        let state = STATES.iter().position(|word| *word == glance.state).unwrap_or_default();
        Row {
            participant: self.hasher.hash_one(&glance.participant),
            created: seconds(glance.created_at),
            revision: u32::try_from(glance.revision).unwrap_or_default(),
            country: glance.country.as_ref().and_then(|c| c.as_bytes().try_into().ok()),
            reason: glance.reason.as_ref().map_or(0, |code| self.number_of(code)),
            state: u8::try_from(state).unwrap_or_default(),
            delayed: glance.delayed,
        }
    }

    /// The number of a reason's code. There are some dozens; should somebody make them up, those that come
    /// late are not told apart from none.
    fn number_of(&mut self, code: &str) -> u16 {
        let at = self.codes.iter().position(|known| known == code);
        let at = at.or_else(|| {
            (self.codes.len() < MOST_REASONS).then(|| {
                self.codes.push(code.to_owned());
                self.codes.len() - 1
            })
        });
        at.and_then(|at| u16::try_from(at + 1).ok()).unwrap_or(0)
    }

    fn count(&mut self, key: u64, row: Row, sign: Sign) {
        let by = |count: &mut u64| match sign {
            Sign::Plus => *count += 1,
            Sign::Minus => *count = count.saturating_sub(1),
        };
        by(&mut self.states[usize::from(row.state)]);
        if row.delayed {
            by(&mut self.delayed);
        }
        if row.reason > 0 {
            by(self.reasons.entry(row.reason).or_default());
        }
        let (came, of_these) = self.hours.entry(row.created / HOUR).or_default();
        by(came);
        if passed(&row) {
            by(of_these);
            row.country.iter().for_each(|country| by(self.countries.entry(*country).or_default()));
        }
        if *came == 0 {
            self.hours.remove(&(row.created / HOUR));
        }
        self.count_participant(row.participant, sign);
        let waits = (row.created, key);
        match sign {
            _ if STATES[usize::from(row.state)] != "queued" => {}
            Sign::Plus => _ = self.queued.insert(waits),
            Sign::Minus => _ = self.queued.remove(&waits),
        }
    }

    fn count_participant(&mut self, participant: u64, sign: Sign) {
        let theirs = self.participants.entry(participant).or_default();
        *theirs = match sign {
            Sign::Plus => theirs.saturating_add(1),
            Sign::Minus => theirs.saturating_sub(1),
        };
        if *theirs == 0 {
            self.participants.remove(&participant);
        }
    }

    /// How many submissions are in each state, of those that any is in.
    #[must_use]
    pub fn states(&self) -> BTreeMap<String, u64> {
        let counted = STATES.iter().zip(self.states).filter(|(_, count)| *count > 0);
        counted.map(|(word, count)| ((*word).to_owned(), count)).collect()
    }

    /// All the numbers.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let at = |s: u32| OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(i64::from(s));
        let code = |number: &u16| self.codes.get(usize::from(*number) - 1).cloned();
        let reasons = self.reasons.iter().filter_map(|(number, n)| Some((code(number)?, *n)));
        let word = |country: &[u8; 2]| str::from_utf8(country).ok().map(str::to_owned);
        let countries = self.countries.iter().filter_map(|(country, n)| Some((word(country)?, *n)));
        let mut hours: Vec<_> = self.hours.iter().rev().take(HOURS).collect();
        hours.reverse();
        Stats {
            states: self.states(),
            delayed: self.delayed,
            reasons: the_most(reasons, REASONS),
            hours: hours
                .into_iter()
                .map(|(h, (all, passed))| (at(h * HOUR), *all, *passed))
                .collect(),
            participants: self.participants.len() as u64,
            oldest: self.queued.first().map(|(created, _)| at(*created)),
            countries: the_most(countries, COUNTRIES),
        }
    }
}

#[derive(Clone, Copy)]
enum Sign {
    Plus,
    Minus,
}

fn seconds(at: OffsetDateTime) -> u32 {
    u32::try_from(at.unix_timestamp()).unwrap_or_default()
}

/// Those that there are, the most frequent first.
fn the_most(counted: impl Iterator<Item = (String, u64)>, most: usize) -> Vec<(String, u64)> {
    let mut all: Vec<_> = counted.filter(|(_, count)| *count > 0).collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all.truncate(most);
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::{Duration, macros::datetime};

    use super::*;

    const START: OffsetDateTime = datetime!(2026-03-20 12:00 UTC);

    fn glance(n: u64, revision: i64, state: &'static str) -> Glance {
        let id = uuid::Uuid::from_u64_pair(0x0190_0000_0000_7000, n | 1 << 63);
        Glance {
            id: SubmissionId::from(id),
            event: "e".parse().unwrap(),
            revision,
            participant: format!("p{}", n % 7),
            state,
            delayed: state == "queued" && n.is_multiple_of(2),
            created_at: START + Duration::minutes(i64::try_from(n).unwrap()),
            reason: (state == "failed").then(|| format!("reason{}", n % 3)),
            country: (!n.is_multiple_of(5)).then(|| "DE".to_owned()),
            pin: None,
        }
    }

    fn of(glances: &[Glance]) -> Stats {
        let mut tally = Tally::default();
        for glance in glances {
            tally.put(glance);
        }
        tally.stats()
    }

    #[test]
    fn of_a_submission_little_is_kept() {
        assert_eq!(size_of::<Row>() + size_of::<u64>(), 32);
    }

    #[test]
    fn what_is_counted() {
        let all = [glance(1, 1, "queued"), glance(2, 1, "queued"), glance(63, 4, "passed")];
        let stats = of(&all);
        assert_eq!((stats.states["queued"], stats.states["passed"]), (2, 1));
        assert_eq!((stats.delayed, stats.participants), (1, 3));
        assert_eq!(stats.oldest, Some(START + Duration::minutes(1)));
        assert_eq!(stats.hours, [(START, 2, 0), (START + Duration::HOUR, 1, 1)]);
        assert_eq!(stats.countries, [("DE".to_owned(), 1)]);
        assert_eq!(stats.reasons, []);
        let failed = of(&[glance(3, 2, "failed"), glance(6, 2, "failed"), glance(4, 2, "failed")]);
        assert_eq!(failed.reasons, [("reason0".to_owned(), 2), ("reason1".to_owned(), 1)]);
        assert_eq!((failed.states.len(), failed.oldest), (1, None));
    }

    #[test]
    fn what_is_older_than_what_was_seen_changes_nothing() {
        let mut tally = Tally::default();
        assert!(tally.put(&glance(1, 3, "passed")));
        assert!(!tally.put(&glance(1, 2, "grading")), "an older one");
        assert!(!tally.put(&glance(1, 3, "passed")), "the same");
        assert_eq!(tally.stats(), of(&[glance(1, 3, "passed")]));
        assert!(tally.put(&glance(1, 4, "failed")), "a re-grade");
        assert_eq!(tally.stats(), of(&[glance(1, 4, "failed")]));
    }

    #[test]
    fn hours_are_counted_up_to_the_present_one() {
        let mut tally = Tally::default();
        for n in [0, 59, 60, 119] {
            tally.put(&glance(n, 1, "queued"));
        }
        let before = |minutes| tally.came_before_the_hour_of(START + Duration::minutes(minutes));
        assert_eq!((before(0), before(59), before(60), before(120)), (0, 0, 2, 4));
    }

    proptest! {
        /// However it came to be, a tally says what one says that saw the end only.
        #[test]
        fn only_how_it_is_now_counts(
            seen in prop::collection::vec((0_u64..40, 1_i64..6), 0..200),
            kept in 0_u64..40,
        ) {
            let mut tally = Tally::default();
            let mut last = BTreeMap::new();
            for (n, revision) in seen {
                // One revision is always the same.
                let state = (n + revision.unsigned_abs()) % STATES.len() as u64;
                let one = glance(n, revision, STATES[usize::try_from(state).unwrap()]);
                tally.put(&one);
                let known = last.entry(n).or_insert_with(|| one.clone());
                if known.revision <= revision {
                    *known = one;
                }
            }
            let all: Vec<_> = last.values().cloned().collect();
            prop_assert_eq!(tally.stats(), of(&all));
            let least = key(glance(kept, 1, "queued").id);
            let gone = tally.keep_only(|key| key >= least);
            let rest: Vec<_> = all.iter().filter(|one| key(one.id) >= least).cloned().collect();
            prop_assert_eq!(gone, all.len() - rest.len());
            prop_assert_eq!(tally.stats(), of(&rest));
        }
    }
}
