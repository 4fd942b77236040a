//! All that a row has at its end to be judged by: the history, what lies in the database and on the
//! engines, what processes counted, and what the row permits.

use std::{ops::RangeInclusive, time::Duration};

use super::history::Entry;

/// A submission as it lies in the database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    /// Its id.
    pub id: String,
    /// The `Idempotency-Key` that it came with.
    pub key: Option<String>,
    /// The word for its state.
    pub state: String,
    /// The generation of the last claim.
    pub generation: i64,
    /// Every try.
    pub attempts: Vec<StoredAttempt>,
    /// The outcome of its verdict.
    pub outcome: Option<String>,
    /// The code of the verdict's reason.
    pub reason: Option<String>,
    /// The number of the attempt that the verdict is of.
    pub by_attempt: Option<i64>,
    /// When it came, in milliseconds of the wall clock.
    pub created_ms: i64,
    /// Whether a re-grade changed its verdict: its line in the audit log is there too.
    pub regraded: bool,
}

/// A try as it lies in the database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredAttempt {
    /// From 1.
    pub number: i64,
    /// The worker's id.
    pub worker: String,
    /// The generation of the lease.
    pub generation: i64,
    /// How it ended, if it did.
    pub outcome: Option<String>,
    /// From when, in milliseconds of the wall clock.
    pub started_ms: i64,
}

/// Something of ours on an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// What it is for: `workload`, `service`, `prober`, `canary`, `slot`, or what kind of thing it is.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The id of the worker that made it.
    pub worker: String,
    /// The submission that it is for, and the generation under which it was made.
    pub tenant: Option<(String, i64)>,
    /// Whether it runs, and so could answer.
    pub runs: bool,
}

/// What was on the engines at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Since the history began.
    pub at: Duration,
    /// What was there.
    pub objects: Vec<Object>,
}

/// A fault that was brought about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What it was.
    pub what: String,
    /// Since the history began.
    pub from: Duration,
    /// When it was over; none if it was not.
    pub to: Option<Duration>,
}

/// Something that must be as it was once all is quiet again (I13).
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// What, and of whom.
    pub what: String,
    /// Before.
    pub before: f64,
    /// Afterwards.
    pub after: f64,
    /// What is allowed beyond a tenth.
    pub slack: f64,
}

/// What a process may hold open beyond what it held at its start: the driver keeps up to 50 connections to
/// the database that a burst of requests has opened, and then there are followers.
pub const OPEN_FILES: f64 = 70.0;

impl Bound {
    /// Whether it is about as it was.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.after <= self.before * 1.1 + self.slack
    }
}

/// Writes that were kept out, by worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fenced {
    /// The name of the worker.
    pub worker: String,
    /// How many.
    pub writes: u64,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// What the client saw.
    pub history: Vec<Entry>,
    /// What lies in the database at the end.
    pub stored: Vec<Stored>,
    /// What was on the engines, from time to time.
    pub looks: Vec<Look>,
    /// What is still there when everything has ended.
    pub left: Vec<Object>,
    /// The faults.
    pub faults: Vec<Fault>,
    /// Workers that died, by id, and when.
    pub deaths: Vec<(String, Duration)>,
    /// Writes that were kept out.
    pub fenced: Vec<Fenced>,
    /// What is to be as before.
    pub bounds: Vec<Bound>,
    /// Connections that lures took.
    pub lured: Vec<String>,
    /// Panics and the like in logs.
    pub wrong: Vec<String>,
    /// What the row itself expected and did not find.
    pub unmet: Vec<String>,
    /// Figures, for people.
    pub figures: Vec<String>,
    /// Whether the row follows an event on its map, so that I8 can be judged.
    pub map: MapSeen,
}

/// Whether the map was looked at when all was quiet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapSeen {
    /// It was not, and I8 is not judged.
    #[default]
    No,
    /// It was.
    Yes,
}

/// Whether submissions may end undetermined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undetermined {
    /// None may.
    Never,
    /// After so many attempts that were lost to the platform.
    AfterLosses,
}

/// What a row permits, beside what the invariants permit anyhow.
#[derive(Clone, Debug)]
pub struct Permits {
    /// How many posts may fail although they were tried again (I11).
    pub posts: usize,
    /// How many reads may fail although they were tried again (I11).
    pub reads: usize,
    /// How long after the last fault every submission has ended at the latest (I2).
    pub ends_within: Duration,
    /// How long what belongs to a grading may stay on an engine after it was seen to have ended (I6).
    pub left_within: Duration,
    /// The same of a worker that died (I6).
    pub dead_left_within: Duration,
    /// Undetermined.
    pub undetermined: Undetermined,
    /// How many writes are kept out, over all workers (I4).
    pub fenced: RangeInclusive<u64>,
    /// How much longer than twice the median of its neighbours one may wait (I9); none: not judged, as
    /// where clocks disagree.
    pub unfair: Option<Duration>,
}

impl Permits {
    /// Nothing: what a single fault permits.
    pub const NONE: Self = Self {
        posts: 0,
        reads: 0,
        ends_within: Duration::from_mins(10),
        left_within: Duration::from_secs(30),
        dead_left_within: Duration::from_secs(90),
        undetermined: Undetermined::Never,
        fenced: 0..=u64::MAX,
        unfair: Some(Duration::from_secs(90)),
    };
}

impl Evidence {
    /// When the last fault was over, if there was one.
    #[must_use]
    pub fn last_fault(&self) -> Duration {
        self.faults.iter().map(|fault| fault.to.unwrap_or(fault.from)).max().unwrap_or_default()
    }
}
