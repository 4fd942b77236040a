//! What can go wrong with a fleet, by whose fault: [`FleetError`] is the platform's own,
//! [`PullFailure`] and [`StartFailure`] separate it from the participant's and the registry's.
//! Deciding what follows from a fault is left to the grading story.

use std::{io, path::PathBuf, time::Duration};

use bollard::errors::Error as Bollard;
use portcall_shared::domain::text::is_hidden;

/// The platform's fault: the engine, the node or ourselves.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The engine could not be reached, or the connection broke.
    #[error("engine unreachable while {doing}: {detail}")]
    Unreachable {
        /// What was being done.
        doing: &'static str,
        /// What the connection said.
        detail: String,
    },
    /// The engine did not answer in time.
    #[error("engine took longer than {after:?} while {doing}")]
    Deadline {
        /// What was being done.
        doing: &'static str,
        /// The deadline of that call.
        after: Duration,
    },
    /// The engine answered with a refusal.
    #[error("engine refused {doing} (status {status}): {message}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// The HTTP status; 0 when the refusal came inside a stream.
        status: u16,
        /// The engine's words, cut.
        message: String,
    },
    /// The engine's answer lacks what every engine says.
    #[error("engine's answer while {doing} makes no sense: {detail}")]
    Answer {
        /// What was being done.
        doing: &'static str,
        /// What is missing or wrong.
        detail: String,
    },
    /// The node lacks something without which nothing may run on it.
    #[error("this engine cannot be used: {0}")]
    Unfit(String),
    /// An object with the name that we need is not ours.
    #[error("the name {name} is taken by an object that is not ours")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// No subnet of the pool could be had.
    #[error("no free subnet in {pool}")]
    NoSubnet {
        /// The pool.
        pool: String,
    },
    /// Something that was to be removed is still there, or could not be seen to be gone.
    #[error("clean-up could not be verified: {detail}")]
    LeftOver {
        /// What is left, and why.
        detail: String,
    },
    /// A static program of ours could not be read.
    #[error("reading the program {}", path.display())]
    OwnBinary {
        /// Where it should be.
        path: PathBuf,
        /// Why it could not be read.
        #[source]
        source: io::Error,
    },
    /// An image that is not named by its digest was to be used.
    #[error("image {0} is not pinned by a digest")]
    NotPinned(String),
    /// The engine's address is not one that we can speak to.
    #[error("not an engine address (unix://, tcp:// or http://): {0}")]
    Address(String),
    /// The certificates for mutual TLS cannot be used.
    #[error("the certificates in {} cannot be used: {detail}", folder.display())]
    Certificates {
        /// Where they are.
        folder: PathBuf,
        /// What is wrong with them.
        detail: String,
    },
    /// The platform's own registry did not do what it should.
    #[error("the platform's own registry failed while {doing}: {detail}")]
    Registry {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        detail: String,
    },
    /// The scheduler found no node for a task in time.
    #[error("no node took the task of {name} within {} s: {detail}", after.as_secs())]
    Unplaced {
        /// The service.
        name: String,
        /// How long was waited.
        after: Duration,
        /// The scheduler's own words.
        detail: String,
    },
    /// A node that has a task does not get on with it, or is not to be reached.
    #[error("the task of {name} was still {state} after {} s: {detail}", after.as_secs())]
    Stuck {
        /// The service.
        name: String,
        /// The state that it did not leave.
        state: &'static str,
        /// How long was waited.
        after: Duration,
        /// The scheduler's own words.
        detail: String,
    },
    /// A node refused a task, or somebody else ended it.
    #[error("the task of {name} is {state}: {detail}")]
    Ended {
        /// The service.
        name: String,
        /// The state that it is in.
        state: &'static str,
        /// The scheduler's own words.
        detail: String,
    },
}

/// Why an image could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PullFailure {
    /// The registry has no such image (the participant's).
    #[error("image not found: {detail}")]
    NotFound {
        /// The engine's words, cut.
        detail: String,
    },
    /// The registry does not give it without credentials (the participant's).
    #[error("access to the image denied: {detail}")]
    Denied {
        /// The engine's words, cut.
        detail: String,
    },
    /// The image is there but cannot be unpacked (the participant's).
    #[error("image broken: {detail}")]
    Broken {
        /// The engine's words, cut.
        detail: String,
    },
    /// The image is for another kind of machine (the participant's).
    #[error("image is for another platform: {detail}")]
    WrongPlatform {
        /// The engine's words, cut.
        detail: String,
    },
    /// The registry asks us to come later (the registry's).
    #[error("registry limits us: {detail}")]
    Limited {
        /// The engine's words, cut.
        detail: String,
    },
    /// The registry did not deliver in time (the registry's).
    #[error("pull took longer than {after:?}")]
    Slow {
        /// How long was waited.
        after: Duration,
    },
    /// The registry cannot be reached or is ill (the registry's).
    #[error("registry down: {detail}")]
    RegistryDown {
        /// The engine's words, cut.
        detail: String,
    },
    /// The platform's fault.
    #[error(transparent)]
    Engine(#[from] FleetError),
}

/// Why a workload did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartFailure {
    /// The image's command cannot be started: no such file, not executable, another
    /// architecture, an unknown user (the participant's).
    #[error("container {index} did not start: {detail}")]
    StartFailed {
        /// The position in the list of specs.
        index: usize,
        /// The engine's words without its own noise, cut.
        detail: String,
    },
    /// The image's configuration asks for what no image may have (the participant's).
    #[error("the configuration of image {index} is refused: {detail}")]
    ConfigRefused {
        /// The position in the list of specs.
        index: usize,
        /// What is refused.
        detail: String,
    },
    /// The engine stored something other than what was asked for (the platform's). Nothing was
    /// started.
    #[error("the engine dropped or changed {}", fields.join(", "))]
    LimitDropped {
        /// The fields that differ.
        fields: Vec<String>,
    },
    /// The platform's fault.
    #[error(transparent)]
    Engine(#[from] FleetError),
}

impl FleetError {
    /// Sorts what the client library says.
    pub(super) fn from_client(doing: &'static str, error: Bollard) -> Self {
        match error {
            Bollard::DockerResponseServerError { status_code, message } => {
                Self::Refused { doing, status: status_code, message: cut(&message) }
            }
            Bollard::DockerStreamError { error } => {
                Self::Refused { doing, status: 0, message: cut(&error) }
            }
            Bollard::RequestTimeoutError => {
                Self::Deadline { doing, after: super::endpoint::CLIENT_TIMEOUT }
            }
            error @ (Bollard::JsonDataError { .. } | Bollard::JsonSerdeError { .. }) => {
                Self::Answer { doing, detail: cut(&error.to_string()) }
            }
            error => Self::Unreachable { doing, detail: cut(&with_sources(&error)) },
        }
    }

    /// Whether the engine says that there is no such thing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether the call may have taken effect although we saw no answer.
    #[must_use]
    pub fn is_answer_lost(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Deadline { .. })
    }
}

/// The most that is kept of a message that a stranger may have had a hand in.
const MESSAGE_CHARS: usize = 400;

/// A message as it may be kept: one line, without hidden characters, of bounded length.
pub(super) fn cut(message: &str) -> String {
    let printable = |c: char| if is_hidden(c) { ' ' } else { c };
    let mut kept: String = message.trim().chars().map(printable).take(MESSAGE_CHARS).collect();
    if message.trim().chars().nth(MESSAGE_CHARS).is_some() {
        kept.push('…');
    }
    kept
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_bounded_line() {
        assert_eq!(cut(" a\nb\u{1b}[31m "), "a b [31m");
        assert_eq!(cut("a\u{202e}b\u{85}c\u{200b}d"), "a b c d");
        assert_eq!(cut(&"x".repeat(400)).chars().count(), 400);
        assert_eq!(cut(&"é".repeat(401)).chars().count(), 401);
    }
}
