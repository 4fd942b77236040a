//! Whose it is that something did not arrive. The prober and what it asks may be on two machines, and
//! an app is not slow for a network that was away between them.
//!
//! ```text
//!    failed ── by what was seen: an answer, an exit code ───────────────► charged
//!      └────── by what was not: a port, an answer or its end
//!                 ├── the node was heard from all the time, and what
//!                 │   is sent to it arrives there ──────────────────────► charged
//!                 └── there was a silence, or nothing arrives ──────────► the platform's: another try
//! ```
//!
//! Nothing is excused for ever: like whatever is the platform's, a submission is tried so often
//! ([`MAX_LOST`](portcall_shared::domain::state::MAX_LOST)) and is then undetermined. Whoever could
//! bring silences about would win no more than that.

use std::time::Duration;

use portcall_shared::domain::{
    event::{Event, Target},
    verdict::{PlatformCode, PlatformFault},
};

use crate::{
    judge::{Judgement, Presence, Seen},
    probe::wire::{AskFailure, Observation},
};

/// What may explain that something did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unheard {
    /// The node was not heard from for so long.
    Silence(Duration),
    /// What the prober sends does not arrive at our own process beside the stranger's either.
    NoWay,
}

impl Unheard {
    /// As it is told.
    fn message(self) -> String {
        match self {
            Self::Silence(lasted) => {
                let seconds = lasted.as_secs();
                format!("the machine was not heard from for {seconds} s around this grading")
            }
            Self::NoWay => "nothing passes any more between the machine and its prober".to_owned(),
        }
    }
}

/// The judgement, unless it charges somebody with what was lost on the way. Whether something may have
/// been is asked only if it matters.
pub(super) async fn charged(
    judgement: Judgement,
    event: &Event,
    seen: &[Seen],
    unheard: impl Future<Output = Option<Unheard>>,
) -> Result<Judgement, PlatformFault> {
    let mut images = seen.iter().enumerate();
    if judgement.outcome.is_ok() || !images.any(|(image, one)| lacks(event, image, one)) {
        return Ok(judgement);
    }
    let Some(unheard) = unheard.await else { return Ok(judgement) };
    let would_be = judgement.outcome.err().map(|fault| fault.code.as_str());
    tracing::warn!(
        ?unheard,
        would_be,
        "something may have been lost on the way: nobody is charged"
    );
    Err(PlatformFault::new(PlatformCode::NodeLost, unheard.message()))
}

/// Whether something did not come from an image that should have.
fn lacks(event: &Event, image: usize, seen: &Seen) -> bool {
    match &seen.presence {
        Presence::Silent { .. } => true,
        Presence::Listening => event.checks.iter().enumerate().any(|(index, check)| {
            let is_asked = match check.target {
                Target::Any | Target::All => true,
                Target::Index(target) => target == image,
            };
            let answers = seen.answers.iter().find(|(of, _)| *of == index).map(|(_, it)| it);
            // One that was not asked had no time left for it.
            is_asked && answers.is_none_or(|them| them.is_empty() || them.iter().any(is_lost))
        }),
        // What its own node tells of it, whatever was seen from elsewhere.
        Presence::Exited { .. }
        | Presence::OutOfMemory { .. }
        | Presence::Killed { .. }
        | Presence::DiskFull { .. }
        | Presence::DiskUncounted { .. }
        | Presence::NotStarted { .. }
        | Presence::NotAwaited => false,
    }
}

/// Whether an answer, or its end, may have been lost on the way.
fn is_lost(observation: &Observation) -> bool {
    let Observation::Failed { failure, .. } = observation else { return false };
    match failure {
        AskFailure::ConnectRefused
        | AskFailure::ConnectTimeout
        | AskFailure::ConnectReset
        | AskFailure::HeadersTimeout
        | AskFailure::BodyTimeout
        | AskFailure::Truncated
        | AskFailure::Unreachable => true,
        // That much did arrive.
        AskFailure::BodyTooLarge
        | AskFailure::HeadersTooLarge
        | AskFailure::TooManyFields
        | AskFailure::NotHttp
        | AskFailure::Encoding => false,
    }
}

#[cfg(test)]
mod tests;
