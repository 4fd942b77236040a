//! What happened to each submission: every change that a majority has, and what broke an invariant.

use std::{
    collections::BTreeMap,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use bson::{Bson, DateTime, Document, Uuid};

use crate::invariants;

/// A submission's or worker's id, as it is stored.
pub(crate) type Key = [u8; 16];

/// Where a submission stands, as its document says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stand {
    Queued,
    Grading,
    Passed,
    Failed,
    Undetermined,
    Cancelled,
}

impl Stand {
    pub(crate) fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Grading)
    }

    fn of(word: &str) -> Self {
        match word {
            "queued" => Self::Queued,
            "grading" => Self::Grading,
            "passed" => Self::Passed,
            "failed" => Self::Failed,
            "undetermined" => Self::Undetermined,
            "cancelled" => Self::Cancelled,
            other => panic!("no state is called {other}"),
        }
    }
}

/// One try, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Try {
    pub(crate) generation: i64,
    pub(crate) worker: Key,
    pub(crate) outcome: Option<String>,
}

/// What a document says that invariants are about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Facts {
    pub(crate) stand: Stand,
    /// What its participant's client calls the POST that it came by.
    pub(crate) posted: String,
    /// Whether it may be claimed.
    pub(crate) ready: bool,
    /// Its place in the line: whose is less has its turn sooner.
    pub(crate) order: DateTime,
    pub(crate) worker: Option<Key>,
    pub(crate) generation: i64,
    pub(crate) beat: i64,
    pub(crate) revision: i64,
    pub(crate) tries: Vec<Try>,
    pub(crate) verdict: Option<String>,
}

impl Facts {
    pub(crate) fn of(document: &Document) -> Self {
        let attempts = document.get_array("attempts").expect("attempts");
        let tries = attempts.iter().map(|attempt| {
            let attempt = attempt.as_document().expect("an attempt");
            Try {
                generation: attempt.get_i64("generation").expect("a generation"),
                worker: key(attempt.get("worker")).expect("a worker"),
                outcome: attempt.get_str("outcome").ok().map(str::to_owned),
            }
        });
        let verdict = document.get_document("verdict").ok();
        let posted = document.get_document("idempotency").and_then(|it| it.get_str("key"));
        Self {
            stand: Stand::of(document.get_str("state").expect("a state")),
            posted: posted.expect("an idempotency key").to_owned(),
            ready: document.get_bool("ready").unwrap_or_default(),
            order: *document.get_datetime("order").expect("a place in the line"),
            worker: key(document.get("worker")),
            generation: document.get_i64("generation").expect("a generation"),
            beat: document.get_i64("beat").expect("a beat"),
            revision: document.get_i64("revision").expect("a revision"),
            tries: tries.collect(),
            verdict: verdict.map(|it| it.get_str("outcome").expect("an outcome").to_owned()),
        }
    }
}

/// The bytes of an id.
pub(crate) fn key(value: Option<&Bson>) -> Option<Key> {
    match value {
        Some(Bson::Binary(binary)) => binary.to_uuid().ok().map(Uuid::bytes),
        _ => None,
    }
}

/// One change of one submission, once a majority has it.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// Since the beginning.
    pub(crate) at: Duration,
    pub(crate) id: Key,
    /// What whoever wrote it was doing.
    pub(crate) doing: &'static str,
    /// None for one that is new.
    pub(crate) before: Option<Facts>,
    pub(crate) after: Facts,
    /// For how long the holder's beat had been the same when it was carried out, if it was held.
    pub(crate) silent: Option<Duration>,
    /// For how long it had been held.
    pub(crate) held: Option<Duration>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |key: &Key| format!("{:02x}{:02x}", key[14], key[15]);
        let Facts { stand, worker, generation, beat, revision, tries, .. } = &self.after;
        let worker = worker.as_ref().map(short).unwrap_or_default();
        let outcomes: Vec<_> = tries
            .iter()
            .map(|it| format!("{}@{}", it.outcome.as_deref().unwrap_or("-"), short(&it.worker)))
            .collect();
        let (at, id) = (self.at.as_secs_f64(), short(&self.id));
        write!(f, "{at:8.3} {id} {}: {stand:?} by {worker} ", self.doing)?;
        write!(f, "generation {generation} beat {beat} revision {revision} {outcomes:?}")
    }
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The invariant's number in the list of them.
    pub(crate) invariant: &'static str,
    /// What is the matter.
    pub(crate) what: String,
}

/// All that happened in one run.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) changes: Vec<Change>,
    /// Other things, for people.
    pub(crate) notes: Vec<(Duration, String)>,
    pub(crate) violations: Vec<Violation>,
    /// Which submission came by which POST.
    posts: BTreeMap<String, Key>,
    /// Who held which token.
    holders: BTreeMap<(Key, i64), Key>,
    hasher: DefaultHasher,
}

impl History {
    /// Takes in a change and holds every invariant against it, with how all of them stand then.
    pub(crate) fn add(&mut self, change: Change, all: &BTreeMap<Key, Facts>) {
        (change.at, change.id, change.doing, &change.after).hash(&mut self.hasher);
        for (name, check) in invariants::OF_EACH_CHANGE {
            if let Err(what) = check(&change) {
                self.violate(name, format!("{what}: {change}"));
            }
        }
        if let Err(what) = invariants::one_holder_of_each_token(&mut self.holders, &change) {
            self.violate("I5", format!("{what}: {change}"));
        }
        if let Err(what) = invariants::one_submission_of_each_post(&mut self.posts, &change) {
            self.violate("I7", format!("{what}: {change}"));
        }
        if let Err(what) = invariants::nobody_is_passed_over(&change, all) {
            self.violate("I9", format!("{what}: {change}"));
        }
        self.changes.push(change);
    }

    /// Takes in what whoever posted was told.
    pub(crate) fn answered(&mut self, posted: &str, id: Key) {
        let stored = self.posts.get(posted);
        if stored != Some(&id) {
            self.violate("I7", format!("{posted} was told {id:02x?}, and {stored:02x?} is stored"));
        }
    }

    pub(crate) fn note(&mut self, at: Duration, note: String) {
        (at, &note).hash(&mut self.hasher);
        self.notes.push((at, note));
    }

    pub(crate) fn violate(&mut self, invariant: &'static str, what: String) {
        self.violations.push(Violation { invariant, what });
    }

    /// The same for the same history.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.hasher.finish()
    }

    /// All of it in order, for people.
    pub(crate) fn told(&self) -> String {
        let changes = self.changes.iter().map(|change| (change.at, change.to_string()));
        let notes = self
            .notes
            .iter()
            .map(|(at, note)| (*at, format!("{:8.3} --- {note}", at.as_secs_f64())));
        let mut all: Vec<_> = changes.chain(notes).collect();
        all.sort_by_key(|(at, _)| *at);
        all.into_iter().map(|(_, line)| line + "\n").collect()
    }
}
