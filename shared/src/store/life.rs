//! What of a submission's document decides about its life, and nothing else of it.
//!
//! Leases are renewed, given back, ended and taken back by processes of two versions side by side.
//! So whoever does it reads these fields only: words that it does not know anywhere else in the
//! document, such as in an attempt of a newer worker's, do not keep it from moving on.

use bson::{DateTime, Document, Uuid, doc};
use serde::Deserialize;

use super::{
    StoreError,
    documents::{DelayDoc, SubmissionDoc, corrupt, restored, worker_id},
};
use crate::domain::{
    ids::Generation,
    state::{Lifecycle, State, Step},
    verdict::Reason,
};

/// The part of a submission that its lifecycle is made from.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct LifeDoc {
    #[serde(rename = "_id")]
    pub(super) id: Uuid,
    schema: i32,
    pub(super) state: String,
    pub(super) step: Option<String>,
    pub(super) worker: Option<Uuid>,
    pub(super) generation: i64,
    lost: u32,
    since: DateTime,
    deadline: Option<DateTime>,
    #[serde(default)]
    delay: Option<Document>,
    #[serde(default)]
    pub(super) attempts: Vec<AttemptHead>,
}

/// Whose an attempt was, and how it ended.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct AttemptHead {
    pub(super) number: u32,
    pub(super) worker: Uuid,
    pub(super) generation: i64,
    pub(super) outcome: Option<String>,
}

/// The fields of it.
pub(super) fn fields() -> Document {
    doc! {
        "schema": 1, "state": 1, "step": 1, "worker": 1, "generation": 1, "lost": 1, "since": 1,
        "deadline": 1, "delay": 1, "attempts.number": 1, "attempts.worker": 1,
        "attempts.generation": 1, "attempts.outcome": 1,
    }
}

impl LifeDoc {
    /// The state with what decides about the next one. A step that this version does not know is
    /// taken for the first: which one it is decides only about what its holder does next.
    pub(super) fn life(&self) -> Result<Lifecycle, StoreError> {
        let bad = |what| corrupt(self.id, self.schema, what);
        let state = match self.state.as_str() {
            "queued" => State::Queued,
            "grading" => {
                let step = self.step.as_deref().ok_or_else(|| bad("step"))?;
                State::Grading {
                    worker: self.worker.map(worker_id).ok_or_else(|| bad("worker"))?,
                    step: Step::from_word(step).unwrap_or(Step::Resolving),
                }
            }
            "passed" => State::Passed,
            "failed" => State::Failed,
            "undetermined" => State::Undetermined,
            "cancelled" => State::Cancelled,
            _ => return Err(bad("state")),
        };
        Ok(Lifecycle {
            state,
            generation: Generation(self.generation),
            lost: self.lost,
            since: restored(self.since),
            deadline: self.deadline.map(restored),
        })
    }

    /// Why it waits, as far as this version can read it.
    pub(super) fn delayed_for(&self) -> Option<Reason> {
        let delay = self.delay.clone()?;
        super::decode::<DelayDoc>(delay).ok().map(|delay| delay.reason)
    }
}

impl From<&SubmissionDoc> for LifeDoc {
    fn from(document: &SubmissionDoc) -> Self {
        Self {
            id: document.id,
            schema: document.schema,
            state: document.state.clone(),
            step: document.step.clone(),
            worker: document.worker,
            generation: document.generation,
            lost: document.lost,
            since: document.since,
            deadline: document.deadline,
            delay: None,
            attempts: Vec::new(),
        }
    }
}
