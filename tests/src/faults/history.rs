//! What a client of ours asked and was told, with the times of one clock: the history that the
//! checker judges. An operation is begun, and ends well, is refused, or is left unknown, as when
//! the connection broke; nothing is guessed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What an image truly deserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It passes.
    Passes,
    /// It fails, by its own fault.
    Fails,
    /// It may be either: the verdict of the current attempt decides, and stays.
    Either,
}

/// A submission as somebody saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its id.
    pub id: String,
    /// The word for its state.
    pub state: String,
    /// How many attempts there were.
    pub attempts: usize,
    /// The verdict as it was told, if there was one.
    pub verdict: Option<String>,
    /// The revision, where it is told: by live streams.
    pub revision: Option<i64>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A submission is posted with this key.
    Post {
        /// The `Idempotency-Key`.
        key: String,
        /// What the image deserves.
        truth: Truth,
    },
    /// The post was answered with 2xx and this id.
    Accepted {
        /// The id.
        id: String,
    },
    /// It was answered with something else.
    Refused {
        /// The status.
        status: u16,
        /// The problem's code.
        code: String,
    },
    /// Nothing was answered: it may have been done or not.
    Unknown {
        /// What went wrong.
        why: String,
    },
    /// The client tried once more after the given pause, and has no third try.
    GaveUp,
    /// A submission is read.
    Read {
        /// Its id.
        id: String,
    },
    /// It was read.
    Saw(Seen),
    /// It was answered that there is none.
    Absent {
        /// The id that was asked for.
        id: String,
    },
    /// The map is asked, or its stream looked at, for the last time: so many pins are on it.
    Map {
        /// Who looks: `map` for a snapshot, the name of a follower otherwise.
        by: String,
        /// How many pins.
        pins: usize,
    },
    /// A follower of the event was told something.
    Told {
        /// Which follower.
        by: String,
        /// Of which connection of it.
        connection: u32,
        /// The number in the event's id, where it has one.
        number: Option<u64>,
        /// `hello`, `pin`, `stats` or `reset`.
        topic: String,
    },
}

/// Something that happened, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Since the history began.
    pub at: Duration,
    /// Which operation: its begin and its end have the same number.
    pub op: u64,
    /// What.
    pub what: What,
}

/// A history in the making. Cheap to clone.
#[derive(Clone, Debug)]
pub struct History(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    begun: Instant,
    entries: Mutex<(u64, Vec<Entry>)>,
}

impl Default for History {
    fn default() -> Self {
        Self(Arc::new(Inner { begun: Instant::now(), entries: Mutex::default() }))
    }
}

impl History {
    /// How long it has been going on.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.0.begun.elapsed()
    }

    /// Begins an operation; its number.
    pub fn begin(&self, what: What) -> u64 {
        let mut entries = self.0.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.0 += 1;
        let op = entries.0;
        // Under the lock, so that the entries are in the order of their times.
        let at = self.now();
        entries.1.push(Entry { at, op, what });
        op
    }

    /// Notes what came of an operation.
    pub fn note(&self, op: u64, what: What) {
        let mut entries = self.0.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let at = self.now();
        entries.1.push(Entry { at, op, what });
    }

    /// All of it so far.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// The ids that were answered with 2xx, in that order, each once.
    #[must_use]
    pub fn accepted(&self) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        for entry in self.entries() {
            if let What::Accepted { id } = entry.what
                && !ids.contains(&id)
            {
                ids.push(id);
            }
        }
        ids
    }

    /// How many of them were seen to have ended.
    #[must_use]
    pub fn ended(&self) -> usize {
        let mut ids: Vec<String> = Vec::new();
        for entry in self.entries() {
            if let What::Saw(seen) = entry.what
                && is_final(&seen.state)
                && !ids.contains(&seen.id)
            {
                ids.push(seen.id);
            }
        }
        ids.len()
    }
}

/// Whether nothing follows a state of this word.
#[must_use]
pub fn is_final(state: &str) -> bool {
    matches!(state, "passed" | "failed" | "undetermined" | "cancelled")
}
