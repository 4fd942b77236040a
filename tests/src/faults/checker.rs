//! What is wrong with a run of faults: a pure function of the [`Evidence`] and of what the row
//! permits. The invariants are those of the specification, I1 to I13; each of them has planted bad
//! histories in `checker/planted.rs` that it must find, and good ones in which it must find nothing.
//!
//! An operation that ended without an answer may have been done or not, so nothing is concluded from
//! it alone. A read is held against what was told before it *began*: what was under way at the same
//! time has no order.

mod clients;
mod engines;
mod life;
#[cfg(test)]
mod planted;
#[cfg(test)]
mod planted_engines;
#[cfg(test)]
mod scenes;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use super::{
    evidence::{Evidence, Permits, Stored},
    history::{Seen, Truth, What, is_final},
};

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// What was acknowledged is in the database.
    I1Durable,
    /// Each ends exactly once, and in time.
    I2OneEnd,
    /// A final state stays.
    I3Immutable,
    /// The verdict is that of the current lease; late writers are kept out.
    I4OneResult,
    /// Generations only grow, and each has one worker.
    I5Generations,
    /// Nothing is left on an engine.
    I6NoLeak,
    /// One key, one submission.
    I7Idempotent,
    /// The map shows what passed.
    I8Map,
    /// Nobody waits much longer than the neighbours.
    I9Fair,
    /// Nobody is charged for the platform's faults.
    I10Blame,
    /// Whoever tries again once is served.
    I11Available,
    /// What was told is found again, and is never older than before.
    I12Reads,
    /// Processes are as before when all is quiet.
    I13Bounded,
    /// Something reached a lure.
    Escape,
    /// A process panicked, or ended in another way than it should.
    Process,
    /// What the row itself expects.
    Row,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Which invariant.
    pub of: Invariant,
    /// What exactly.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.of, self.what)
    }
}

/// Everything that is wrong, in the order of the invariants.
#[must_use]
pub fn check(evidence: &Evidence, permits: &Permits) -> Vec<Violation> {
    let run = Run::of(evidence, permits);
    let mut found = Found::default();
    life::durable(&run, &mut found);
    life::one_end(&run, &mut found);
    life::immutable(&run, &mut found);
    life::one_result(&run, &mut found);
    life::generations(&run, &mut found);
    life::fair(&run, &mut found);
    life::blame(&run, &mut found);
    engines::one_holder(&run, &mut found);
    engines::no_leak(&run, &mut found);
    clients::idempotent(&run, &mut found);
    clients::map(&run, &mut found);
    clients::available(&run, &mut found);
    clients::reads(&run, &mut found);
    others(&run, &mut found);
    found.0.sort();
    found.0.dedup();
    found.0
}

/// What is found so far.
#[derive(Default)]
struct Found(Vec<Violation>);

impl Found {
    fn add(&mut self, of: Invariant, what: impl Into<String>) {
        self.0.push(Violation { of, what: what.into() });
    }
}

/// One look at a submission: by which operation, begun when, at what time.
struct Sight<'a> {
    op: u64,
    begun: Duration,
    at: Duration,
    seen: &'a Seen,
}

/// An id that was acknowledged.
struct Acknowledged<'a> {
    key: &'a str,
    truth: Truth,
    /// When first.
    at: Duration,
}

/// The evidence, put in order once.
struct Run<'a> {
    evidence: &'a Evidence,
    permits: &'a Permits,
    /// By id.
    acknowledged: BTreeMap<&'a str, Acknowledged<'a>>,
    /// By id.
    stored: BTreeMap<&'a str, &'a Stored>,
    /// By id, in the order in which they ended.
    sights: BTreeMap<&'a str, Vec<Sight<'a>>>,
    /// When operations began, and as what.
    begun: BTreeMap<u64, (Duration, &'a What)>,
}

impl<'a> Run<'a> {
    fn of(evidence: &'a Evidence, permits: &'a Permits) -> Self {
        let mut begun: BTreeMap<u64, (Duration, &What)> = BTreeMap::new();
        let mut acknowledged = BTreeMap::new();
        let mut sights: BTreeMap<&str, Vec<Sight<'_>>> = BTreeMap::new();
        for entry in &evidence.history {
            let (began, first) = *begun.entry(entry.op).or_insert((entry.at, &entry.what));
            match (&entry.what, first) {
                (What::Accepted { id }, What::Post { key, truth }) => {
                    let new = Acknowledged { key, truth: *truth, at: entry.at };
                    acknowledged.entry(id.as_str()).or_insert(new);
                }
                (What::Saw(seen), _) => {
                    let sight = Sight { op: entry.op, begun: began, at: entry.at, seen };
                    sights.entry(&seen.id).or_default().push(sight);
                }
                _ => {}
            }
        }
        let stored = evidence.stored.iter().map(|stored| (stored.id.as_str(), stored)).collect();
        Self { evidence, permits, acknowledged, stored, sights, begun }
    }

    /// When a submission was first seen to have ended.
    fn ended(&self, id: &str) -> Option<Duration> {
        let sights = self.sights.get(id)?;
        sights.iter().find(|sight| is_final(&sight.seen.state)).map(|sight| sight.at)
    }

    /// The acknowledged that are in the database.
    fn known(&self) -> impl Iterator<Item = (&'a str, &Acknowledged<'a>, &'a Stored)> {
        self.acknowledged.iter().filter_map(|(id, told)| Some((*id, told, *self.stored.get(id)?)))
    }
}

/// What needs no order: lures, processes, figures, the row's own words.
fn others(run: &Run<'_>, found: &mut Found) {
    let evidence = run.evidence;
    for touch in &evidence.lured {
        found.add(Invariant::Escape, format!("a lure was reached: {touch}"));
    }
    for wrong in &evidence.wrong {
        found.add(Invariant::Process, wrong.as_str());
    }
    for unmet in &evidence.unmet {
        found.add(Invariant::Row, unmet.as_str());
    }
    if evidence.faults.is_empty() {
        found.add(Invariant::Row, "no fault was brought about");
    }
    if run.acknowledged.is_empty() {
        found.add(Invariant::Row, "nothing was acknowledged, so nothing was tried");
    }
    for bound in &evidence.bounds {
        if !bound.holds() {
            let told = format!("{}: {} before, {} after", bound.what, bound.before, bound.after);
            found.add(Invariant::I13Bounded, told);
        }
    }
    let fenced: u64 = evidence.fenced.iter().map(|fenced| fenced.writes).sum();
    if !run.permits.fenced.contains(&fenced) {
        let told = format!(
            "{fenced} late writes were kept out, not {:?}: {:?}",
            run.permits.fenced, evidence.fenced
        );
        found.add(Invariant::I4OneResult, told);
    }
}

/// The keys that stand more than once, each once.
fn repeated<T: Ord>(all: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    let (mut once, mut twice) = (BTreeSet::new(), BTreeSet::new());
    for one in all {
        if once.contains(&one) {
            twice.insert(one);
        } else {
            once.insert(one);
        }
    }
    twice
}
