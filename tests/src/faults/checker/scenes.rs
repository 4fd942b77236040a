//! Good runs, from which the planted bad ones are made by one change each.

use std::time::Duration;

use crate::faults::{
    checker::{Invariant, check},
    evidence::{Evidence, Fault, Look, MapSeen, Object, Permits, Stored, StoredAttempt},
    history::{Entry, Seen, Truth, What},
};

pub(super) fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What is found, without words.
pub(super) fn found(evidence: &Evidence) -> Vec<Invariant> {
    found_with(evidence, &Permits::NONE)
}

pub(super) fn found_with(evidence: &Evidence, permits: &Permits) -> Vec<Invariant> {
    let mut all: Vec<Invariant> = check(evidence, permits).iter().map(|one| one.of).collect();
    all.dedup();
    all
}

pub(super) fn entry(at: u64, op: u64, what: What) -> Entry {
    Entry { at: s(at), op, what }
}

pub(super) fn post(key: &str, truth: Truth) -> What {
    What::Post { key: key.to_owned(), truth }
}

pub(super) fn accepted(id: &str) -> What {
    What::Accepted { id: id.to_owned() }
}

pub(super) fn read(id: &str) -> What {
    What::Read { id: id.to_owned() }
}

pub(super) fn saw(id: &str, state: &str, attempts: usize) -> What {
    let verdict = crate::faults::history::is_final(state).then(|| format!("{state} at noon"));
    let (id, state) = (id.to_owned(), state.to_owned());
    What::Saw(Seen { id, state, attempts, verdict, revision: None })
}

pub(super) fn told(connection: u32, number: u64, topic: &str) -> What {
    What::Told { by: "Ann".to_owned(), connection, number: Some(number), topic: topic.to_owned() }
}

pub(super) fn map(by: &str, pins: usize) -> What {
    What::Map { by: by.to_owned(), pins }
}

pub(super) fn attempt(number: i64, generation: i64, worker: &str, outcome: &str) -> StoredAttempt {
    StoredAttempt {
        number,
        worker: worker.to_owned(),
        generation,
        outcome: Some(outcome.to_owned()),
        started_ms: 1000 + number * 500,
    }
}

pub(super) fn stored(id: &str, key: &str, state: &str, attempts: Vec<StoredAttempt>) -> Stored {
    let last = attempts.last();
    Stored {
        id: id.to_owned(),
        key: Some(key.to_owned()),
        state: state.to_owned(),
        generation: last.map_or(0, |last| last.generation),
        outcome: Some(state.to_owned()),
        reason: (state == "failed").then(|| "answer_mismatch".to_owned()),
        by_attempt: last.map(|last| last.number),
        created_ms: 1000,
        regraded: false,
        attempts,
    }
}

pub(super) fn container(submission: &str, generation: i64, worker: &str) -> Object {
    Object {
        kind: "workload".to_owned(),
        name: format!("portcall-{submission}-{generation}-0"),
        worker: worker.to_owned(),
        tenant: Some((submission.to_owned(), generation)),
        runs: true,
    }
}

pub(super) fn slot(worker: &str) -> Object {
    Object {
        kind: "slot".to_owned(),
        name: format!("portcall-{worker}-0-7"),
        worker: worker.to_owned(),
        tenant: None,
        runs: false,
    }
}

pub(super) fn look(at: u64, objects: Vec<Object>) -> Look {
    Look { at: s(at), objects }
}

/// One that passes, and one that deserves to fail, while a worker is killed: the first is graded
/// twice. Worker `v` dies, `w` goes on.
pub(super) fn good() -> Evidence {
    Evidence {
        history: vec![
            entry(1, 1, post("k1", Truth::Passes)),
            entry(2, 1, accepted("one")),
            entry(2, 2, post("k2", Truth::Fails)),
            entry(3, 2, What::Unknown { why: "it broke".to_owned() }),
            entry(4, 2, accepted("two")),
            entry(5, 3, told(0, 0, "hello")),
            entry(6, 4, read("one")),
            entry(7, 4, saw("one", "grading", 1)),
            entry(20, 5, read("one")),
            entry(21, 5, saw("one", "passed", 2)),
            entry(21, 3, told(0, 1, "pin")),
            entry(22, 6, read("two")),
            entry(23, 6, saw("two", "failed", 1)),
            entry(24, 3, told(0, 2, "stats")),
            entry(30, 7, map("map", 1)),
            entry(30, 8, map("Ann", 1)),
        ],
        stored: vec![
            stored(
                "one",
                "k1",
                "passed",
                vec![attempt(1, 1, "v", "lost"), attempt(2, 2, "w", "passed")],
            ),
            stored("two", "k2", "failed", vec![attempt(1, 1, "w", "failed")]),
        ],
        looks: vec![
            look(6, vec![container("one", 1, "v"), slot("v"), slot("w")]),
            look(12, vec![container("one", 1, "v"), slot("v"), container("two", 1, "w")]),
            look(19, vec![container("one", 2, "w"), slot("w")]),
            look(31, vec![slot("w")]),
        ],
        faults: vec![Fault { what: "killed".to_owned(), from: s(8), to: Some(s(9)) }],
        deaths: vec![("v".to_owned(), s(8))],
        map: MapSeen::Yes,
        ..Evidence::default()
    }
}
