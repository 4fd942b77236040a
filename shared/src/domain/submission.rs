//! What a participant sends, and what becomes of it.

use std::collections::BTreeMap;

use time::OffsetDateTime;
use unicode_normalization::UnicodeNormalization;

use super::{
    evidence::Evidence,
    ids::{EventSlug, Generation, SubmissionId, WorkerId},
    image::{Digest, ImageRef},
    place::Place,
    state::{Lifecycle, Step},
    text::{Answer, Contact, Handle, Name},
    verdict::{Reason, Verdict},
};

/// Who submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// As shown on the map.
    pub name: Name,
    /// As shown on the map.
    pub handle: Option<Handle>,
    /// For the organiser only.
    pub contact: Option<Contact>,
}

impl Participant {
    /// What makes two submissions those of one participant: the handle, or without one the name;
    /// folded (NFKC, lower case, white space and a leading `@` aside).
    #[must_use]
    pub fn key(&self) -> String {
        Self::key_of(self.name.as_str(), self.handle.as_ref().map(Handle::as_str))
    }

    /// The same of a name and a handle.
    #[must_use]
    pub fn key_of(name: &str, handle: Option<&str>) -> String {
        let (kind, text) = match handle {
            Some(handle) => ("handle", handle.trim_start_matches('@')),
            None => ("name", name),
        };
        let folded: String =
            text.nfkc().flat_map(char::to_lowercase).filter(|c| !c.is_whitespace()).collect();
        format!("{kind}:{folded}")
    }
}

/// An image as it was found at its registry: what was checked is what is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// The digest of the platform's manifest.
    pub digest: Digest,
    /// Such as `linux/amd64`.
    pub platform: String,
    /// Compressed size of all layers, in bytes, as the manifest declares it.
    pub size: u64,
    /// How many layers.
    pub layers: u32,
}

/// One image of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmittedImage {
    /// As written.
    pub image: ImageRef,
    /// As found; none until a registry that was away has been asked.
    pub pinned: Option<Pinned>,
}

/// One try at grading. Attempts are only ever added.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// Who graded.
    pub worker: WorkerId,
    /// What the worker is called.
    pub worker_name: String,
    /// Where the containers ran.
    pub node: Option<String>,
    /// The generation of the lease.
    pub generation: Generation,
    /// From when.
    pub started_at: OffsetDateTime,
    /// Until when.
    pub ended_at: Option<OffsetDateTime>,
    /// The steps that were reached, with the times.
    pub steps: Vec<StepTime>,
    /// How it ended.
    pub outcome: Option<AttemptOutcome>,
    /// Why it did not pass.
    pub reason: Option<Reason>,
    /// What was seen.
    pub evidence: Option<Evidence>,
}

/// When a step was reached and how long it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepTime {
    /// Which.
    pub step: Step,
    /// When it began.
    pub at: OffsetDateTime,
    /// How long it took, in milliseconds, once it is over.
    pub ms: Option<u64>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// It passed.
    Passed,
    /// It failed by the participant's fault.
    Failed,
    /// It was given back after a fault that is not the participant's.
    Released,
    /// It was given back by a worker that stopped.
    HandedBack,
    /// Its worker fell silent.
    Lost,
    /// The submission was taken back meanwhile.
    Cancelled,
}

impl AttemptOutcome {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Released => "released",
            Self::HandedBack => "handed_back",
            Self::Lost => "lost",
            Self::Cancelled => "cancelled",
        }
    }

    /// The outcome of that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Passed, Self::Failed, Self::Released, Self::HandedBack, Self::Lost, Self::Cancelled]
            .into_iter()
            .find(|outcome| outcome.as_str() == word)
    }
}

/// Why a queued submission is not tried before a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Delay {
    /// Why.
    pub reason: Reason,
    /// Until when.
    pub next_try: OffsetDateTime,
}

/// What was decided about a submission beside its verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// An organiser took its pin off the map.
    pub hidden: bool,
    /// The participant took it back and had what is personal in it erased.
    pub erased_at: Option<OffsetDateTime>,
    /// It is the trial of a re-grade: nobody's submission, graded like one, of the one named here.
    pub trial_of: Option<SubmissionId>,
    /// When a re-grade last changed its verdict, or was undone.
    pub regraded_at: Option<OffsetDateTime>,
    /// The `traceparent` of the request that brought it (W3C Trace Context), for the spans of its
    /// grading.
    pub trace: Option<String>,
}

/// A submission, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// Its public name.
    pub id: SubmissionId,
    /// The event it belongs to.
    pub event: EventSlug,
    /// The version of the rules that it is graded by.
    pub event_version: i32,
    /// Who sent it.
    pub participant: Participant,
    /// Where it stands on the map.
    pub place: Place,
    /// What to run.
    pub images: Vec<SubmittedImage>,
    /// The answers to the event's questions.
    pub answers: BTreeMap<String, Answer>,
    /// Where it stands in its life.
    pub life: Lifecycle,
    /// When it came.
    pub created_at: OffsetDateTime,
    /// When anything about it changed last.
    pub updated_at: OffsetDateTime,
    /// Counts the changes.
    pub revision: i64,
    /// Its place in the fair order: virtual time.
    pub order: OffsetDateTime,
    /// Why it waits, if not for its turn.
    pub delay: Option<Delay>,
    /// Every try.
    pub attempts: Vec<Attempt>,
    /// How it ended.
    pub verdict: Option<Verdict>,
    /// What was decided about it beside that.
    pub marks: Marks,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn participant(name: &str, handle: Option<&str>) -> Participant {
        Participant {
            name: name.parse().unwrap(),
            handle: handle.map(|h| h.parse().unwrap()),
            contact: None,
        }
    }

    #[test]
    fn one_person_has_one_key() {
        let key = participant("Gordon", Some("@Docker")).key();
        assert_eq!(key, "handle:docker");
        assert_eq!(participant("Someone else", Some("docker")).key(), key);
        assert_eq!(participant("GORDON T", None).key(), participant("gordon  t", None).key());
        assert_ne!(participant("docker", None).key(), key);
    }
}
