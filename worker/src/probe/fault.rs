//! Why a question has no answer, as every reader of an answer's parts says it.

use super::wire::{AskFailure, DETAIL_CHARS, Observation};

/// Why there is no answer: the code and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct AskFault {
    /// What went wrong.
    pub failure: AskFailure,
    /// A sentence about it, lower case; holds no bytes of the answer.
    pub detail: String,
}

impl AskFault {
    /// As it is reported, with the question's id and the time that it took in milliseconds.
    #[must_use]
    pub fn observed(self, id: u64, ms: u64) -> Observation {
        let detail = self.detail.chars().take(DETAIL_CHARS).collect();
        Observation::Failed { id, failure: self.failure, detail, ms }
    }
}
