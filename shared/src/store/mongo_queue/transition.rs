//! What a change of state writes: the fields that make a document say what its lifecycle says.

use bson::{Bson, Document, doc};
use time::OffsetDateTime;

use crate::{
    domain::{
        state::{Lifecycle, MAX_AGE, State},
        submission::AttemptOutcome,
        verdict::{Fault, Outcome, Owner, PlatformCode, PlatformFault, Reason, Verdict},
    },
    store::{
        StoreError,
        documents::{DelayDoc, VerdictDoc, step_and_worker, step_doc, stored, verdict_doc},
        encode_value,
        life::LifeDoc,
        queue::Record,
    },
};

/// The verdict of a submission that nobody could determine.
pub(in crate::store) fn undetermined(
    reason: Option<Reason>,
    at: OffsetDateTime,
    attempt: u32,
) -> Verdict {
    let reason = reason.unwrap_or_else(|| {
        let message = "the platform could not grade this submission";
        Fault::Platform(PlatformFault::new(PlatformCode::PlatformError, message)).reason()
    });
    Verdict { outcome: Outcome::Undetermined, reason: Some(reason), at, attempt, grading_ms: 0 }
}

/// Why an attempt whose worker fell silent did not come to a verdict.
pub(in crate::store) fn lost_reason() -> Reason {
    Reason {
        code: PlatformCode::NodeLost.as_str().to_owned(),
        owner: Owner::Platform,
        message: "the worker that was grading this fell silent; another one takes over".to_owned(),
        hint: None,
        limit: None,
    }
}

/// Why an attempt ended whose submission this version could not read.
pub(super) fn unreadable_reason() -> Reason {
    let message = "the platform could not read what it had stored of this submission";
    Fault::Platform(PlatformFault::new(PlatformCode::PlatformError, message)).reason()
}

/// Why a submission ended that waited longer than anything may.
pub(in crate::store) fn waited_reason() -> Reason {
    Reason {
        code: PlatformCode::NoCapacity.as_str().to_owned(),
        owner: Owner::Platform,
        message: format!("no machine was free within {} hours", MAX_AGE.whole_hours()),
        hint: None,
        limit: None,
    }
}

/// What an attempt ends with.
pub(super) struct Ending {
    pub(super) at: OffsetDateTime,
    pub(super) reason: Option<Reason>,
    pub(super) record: Option<Record>,
    pub(super) not_before: Option<OffsetDateTime>,
}

/// The update that makes a document say what the lifecycle says, from `at` on.
pub(super) fn transition(
    document: &LifeDoc,
    life: Lifecycle,
    at: OffsetDateTime,
    attempt: Option<usize>,
    ended: Option<(AttemptOutcome, &Ending)>,
) -> Result<Document, StoreError> {
    let (step, worker) = step_and_worker(life.state);
    let mut set = doc! {
        "state": life.state.as_str(),
        "step": step,
        "worker": worker,
        "generation": life.generation.0,
        "lost": life.lost,
        "since": stored(life.since),
        "deadline": life.deadline.map(stored),
        "updated_at": stored(at),
        "delay": Bson::Null,
    };
    let mut unset = doc! {};
    if life.state.is_final() {
        unset.insert("lane", "");
    }
    if life.state == State::Queued {
        let not_before = ended.and_then(|(_, e)| e.not_before).filter(|t| *t > at);
        match (not_before, ended.and_then(|(_, e)| e.reason.clone())) {
            (Some(next_try), reason) => {
                let reason = reason.unwrap_or_else(lost_reason);
                let delay = DelayDoc { reason, next_try: stored(next_try) };
                set.insert("delay", encode_value(&delay)?);
                unset.insert("ready", "");
            }
            (None, _) => {
                set.insert("ready", true);
            }
        }
    } else {
        unset.insert("ready", "");
    }
    if let (Some(index), Some((outcome, ending))) = (attempt, ended) {
        end_attempt(&mut set, index, outcome, ending)?;
    }
    if life.state.is_final() {
        set.insert("verdict", encode_value(&verdict(document, life.state, at, attempt, ended))?);
    }
    let mut update = doc! { "$set": set, "$inc": { "revision": 1_i64 } };
    if !unset.is_empty() {
        update.insert("$unset", unset);
    }
    Ok(update)
}

fn end_attempt(
    set: &mut Document,
    index: usize,
    outcome: AttemptOutcome,
    ending: &Ending,
) -> Result<(), StoreError> {
    let field = |name: &str| format!("attempts.{index}.{name}");
    set.insert(field("ended_at"), stored(ending.at));
    set.insert(field("outcome"), outcome.as_str());
    set.insert(field("reason"), encode_value(&ending.reason)?);
    if let Some(record) = &ending.record {
        let steps: Vec<_> = record.steps.iter().map(step_doc).collect();
        set.insert(field("node"), record.node.clone());
        set.insert(field("steps"), encode_value(&steps)?);
        set.insert(field("evidence"), encode_value(&record.evidence)?);
    }
    Ok(())
}

fn verdict(
    document: &LifeDoc,
    state: State,
    at: OffsetDateTime,
    attempt: Option<usize>,
    ended: Option<(AttemptOutcome, &Ending)>,
) -> VerdictDoc {
    let number = attempt.map_or(0, |i| document.attempts[i].number);
    let at = ended.map_or(at, |(_, e)| e.at);
    let reason = ended.and_then(|(_, e)| e.reason.clone());
    let grading_ms = ended.and_then(|(_, e)| e.record.as_ref()).map_or(0, |r| r.grading_ms);
    let outcome = match state {
        State::Passed => Outcome::Passed,
        State::Failed => Outcome::Failed,
        State::Cancelled => Outcome::Cancelled,
        State::Undetermined | State::Queued | State::Grading { .. } => {
            return verdict_doc(&undetermined(reason, at, number));
        }
    };
    let verdict = Verdict { outcome, reason, at, attempt: number, grading_ms };
    verdict_doc(&verdict)
}
