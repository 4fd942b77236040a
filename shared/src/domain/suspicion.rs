//! Images that are under suspicion of taking down the machines that they are graded on.
//!
//! ```text
//!                 lost                  lost, as often as the limit          lost while alone
//!   (nothing) ───────────► suspected ─────────────────────────► quarantined ──────────────► poison
//!                           │   ▲                                │      ▲                     │
//!                  graded   │   │ lost                  graded    │      │ operator            │ operator,
//!                           ▼   │                       alone    ▼      │                     ▼ graded alone
//!                          cleared ◄────────────────────────── cleared ─┘                   cleared
//! ```
//!
//! A machine that goes down takes along whatever was graded there, so to have been there is little
//! evidence. What tells the guilty from those that stood by:
//!
//! - only what had its containers started counts;
//! - each grading that comes to a verdict takes one loss off those that count;
//! - what was lost as often as the limit is not condemned but *quarantined*: it is graded once more,
//!   by one worker that does nothing else meanwhile, if possible where it was never lost. Only a loss
//!   there condemns, and only if a second machine has gone down under it, or the one that did loses
//!   nothing else: a machine that loses everything is at fault itself;
//! - of images that were always lost together, none is refused without the others: with others it is
//!   graded alone first.
//!
//! Nobody is charged: a submission with a poison image ends as undetermined.

use std::collections::BTreeSet;

use time::{Duration, OffsetDateTime};

use super::{
    ids::{Generation, SubmissionId, WorkerId},
    image::Digest,
    verdict::{Fault, PlatformCode, PlatformFault},
};

/// How many losses quarantine an image, unless it is set otherwise.
pub const QUARANTINE_AFTER: u32 = 2;
/// How many losses of an image are kept.
pub const KEPT_LOSSES: usize = 20;
/// What a machine lost within so long of each other, it lost at once.
pub const AT_ONCE: Duration = Duration::minutes(2);

/// What is done with an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// It was lost, less often than the limit: it is graded like any other.
    Suspected,
    /// It is graded alone, elsewhere.
    Quarantined,
    /// It is not graded.
    Poison,
    /// It was suspected: it is graded like any other.
    Cleared,
}

impl Standing {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Suspected, Self::Quarantined, Self::Poison, Self::Cleared];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Suspected => "suspected",
            Self::Quarantined => "quarantined",
            Self::Poison => "poison",
            Self::Cleared => "cleared",
        }
    }

    /// The one of that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| standing.as_str() == word)
    }
}

/// One try at grading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attempt {
    /// Of which submission.
    pub submission: SubmissionId,
    /// The generation that it was claimed with.
    pub generation: Generation,
}

/// An attempt under which a machine went down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Which.
    pub attempt: Attempt,
    /// When that was found.
    pub at: OffsetDateTime,
    /// What went down: `worker NAME` or `node NAME`.
    pub machine: String,
    /// The worker, by its name.
    pub worker: String,
    /// The node, as far as it is known.
    pub node: Option<String>,
    /// The other images of the submission.
    pub with: BTreeSet<Digest>,
    /// Whether nothing else was graded beside it.
    pub alone: bool,
}

/// Who grades a quarantined image now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Under which attempt.
    pub attempt: Attempt,
    /// Which worker.
    pub worker: WorkerId,
}

/// How a machine is with other images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// It lost none at other times.
    Sound,
    /// It lost some at other times.
    Doubtful,
}

/// Where something is graded, by names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Where {
    /// The worker.
    pub worker: String,
    /// The node.
    pub node: Option<String>,
}

/// What is known of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// What is done with it.
    pub standing: Standing,
    /// What was lost under it, the newest last; at most [`KEPT_LOSSES`].
    pub losses: Vec<Loss>,
    /// Which of the losses count.
    pub counting: Vec<Attempt>,
    /// Who grades it now, if it is quarantined.
    pub turn: Option<Turn>,
}

/// What happens to what is known of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An attempt was lost, on a machine that is so with others.
    Lost(Loss, Machine),
    /// It was not lost, after all.
    Retracted(Attempt),
    /// An attempt is to be the one under which it is graded alone.
    Turned(Turn),
    /// An attempt ended without telling anything of it.
    Ended(Attempt),
    /// An attempt came to a verdict.
    Graded(Attempt),
    /// An operator says what it is.
    Ordered(Standing),
}

/// What is done with a submission, by its images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Treatment {
    /// It is graded like any other.
    Ordinary,
    /// It is graded alone.
    Alone,
    /// It is not graded.
    Never,
}

impl Default for Suspicion {
    fn default() -> Self {
        Self { standing: Standing::Cleared, losses: Vec::new(), counting: Vec::new(), turn: None }
    }
}

impl Suspicion {
    /// What is known after an event; none if it changes nothing. What is lost `limit` times is
    /// quarantined.
    #[must_use]
    pub fn apply(&self, event: &Event, limit: u32) -> Option<Self> {
        let mut next = self.clone();
        match event {
            Event::Lost(loss, machine) => next.lost(loss, *machine, limit),
            Event::Retracted(attempt) => next.retract(*attempt, limit),
            Event::Turned(turn) => {
                if self.turn.as_ref().is_none_or(|held| held.attempt == turn.attempt) {
                    next.turn = Some(turn.clone());
                }
            }
            Event::Ended(attempt) => next.end_turn(*attempt),
            Event::Graded(attempt) => next.graded(*attempt),
            Event::Ordered(standing) => {
                next.standing = *standing;
                next.turn = None;
                if *standing == Standing::Cleared {
                    next.counting.clear();
                }
            }
        }
        (next != *self).then_some(next)
    }

    fn lost(&mut self, loss: &Loss, machine: Machine, limit: u32) {
        if self.losses.iter().any(|known| known.attempt == loss.attempt) {
            return self.end_turn(loss.attempt);
        }
        let alone = self.turn.as_ref().is_some_and(|turn| turn.attempt == loss.attempt);
        self.end_turn(loss.attempt);
        self.losses.push(Loss { alone, ..loss.clone() });
        self.counting.push(loss.attempt);
        self.keep_newest();
        let condemned = alone
            && self.counted() > limit as usize
            && (self.machines() > 1 || machine == Machine::Sound);
        self.standing = match self.standing {
            Standing::Poison => Standing::Poison,
            Standing::Quarantined if condemned => Standing::Poison,
            Standing::Quarantined => Standing::Quarantined,
            Standing::Suspected | Standing::Cleared if self.counted() >= limit as usize => {
                Standing::Quarantined
            }
            Standing::Suspected | Standing::Cleared => Standing::Suspected,
        };
    }

    fn keep_newest(&mut self) {
        let surplus = self.losses.len().saturating_sub(KEPT_LOSSES);
        self.losses.drain(..surplus);
        let (losses, counting) = (&self.losses, &mut self.counting);
        counting.retain(|attempt| losses.iter().any(|loss| loss.attempt == *attempt));
    }

    fn retract(&mut self, attempt: Attempt, limit: u32) {
        let before = self.losses.len();
        self.losses.retain(|loss| loss.attempt != attempt);
        self.counting.retain(|counted| *counted != attempt);
        if self.losses.len() == before {
            return;
        }
        self.standing = match self.standing {
            // What an operator said, or another loss has shown, is not taken back by this.
            Standing::Poison | Standing::Cleared => self.standing,
            Standing::Quarantined if self.counted() >= limit as usize => Standing::Quarantined,
            Standing::Quarantined | Standing::Suspected if self.counting.is_empty() => {
                Standing::Cleared
            }
            Standing::Quarantined | Standing::Suspected => Standing::Suspected,
        };
    }

    fn graded(&mut self, attempt: Attempt) {
        let alone = self.turn.as_ref().is_some_and(|turn| turn.attempt == attempt);
        self.end_turn(attempt);
        match self.standing {
            _ if alone => {
                self.standing = Standing::Cleared;
                self.counting.clear();
            }
            Standing::Suspected => {
                if !self.counting.is_empty() {
                    self.counting.remove(0);
                }
                if self.counting.is_empty() {
                    self.standing = Standing::Cleared;
                }
            }
            // It may have begun before: only a grading alone tells anything now.
            Standing::Quarantined | Standing::Poison | Standing::Cleared => {}
        }
    }

    fn end_turn(&mut self, attempt: Attempt) {
        self.turn.take_if(|turn| turn.attempt == attempt);
    }

    fn counted_losses(&self) -> impl Iterator<Item = &Loss> {
        self.losses.iter().filter(|loss| self.counting.contains(&loss.attempt))
    }

    /// How many losses count.
    #[must_use]
    pub fn counted(&self) -> usize {
        self.counting.len()
    }

    /// How many machines went down by those.
    #[must_use]
    pub fn machines(&self) -> usize {
        self.counted_losses().map(|loss| &loss.machine).collect::<BTreeSet<_>>().len()
    }

    /// How a machine is with other images, by when it lost those.
    #[must_use]
    pub fn machine(&self, loss: &Loss, others: &[OffsetDateTime]) -> Machine {
        let own = || self.losses.iter().chain([loss]).map(|loss| loss.at);
        match others.iter().any(|other| own().all(|at| (at - *other).abs() > AT_ONCE)) {
            true => Machine::Doubtful,
            false => Machine::Sound,
        }
    }

    /// What is done with a submission of these images, as far as it is for this one to say.
    #[must_use]
    pub fn treatment(&self, images: &[Digest]) -> Treatment {
        match self.standing {
            Standing::Suspected | Standing::Cleared => Treatment::Ordinary,
            Standing::Quarantined => Treatment::Alone,
            Standing::Poison if self.always_with().iter().all(|with| images.contains(with)) => {
                Treatment::Never
            }
            Standing::Poison => Treatment::Alone,
        }
    }

    /// The other images without which it was never lost.
    fn always_with(&self) -> BTreeSet<Digest> {
        let mut sets = self.counted_losses().map(|loss| loss.with.clone());
        let first = sets.next().unwrap_or_default();
        sets.fold(first, |common, with| common.intersection(&with).cloned().collect())
    }

    /// Whether it may be graded alone here: no other place is left that it took down less of.
    #[must_use]
    pub fn suits(&self, here: &Where, places: &[Where]) -> bool {
        places.iter().all(|place| self.rank(here) <= self.rank(place))
    }

    fn rank(&self, place: &Where) -> u8 {
        let worker = self.counted_losses().any(|loss| loss.worker == place.worker);
        let node =
            place.node.is_some() && self.counted_losses().any(|loss| loss.node == place.node);
        2 * u8::from(worker) + u8::from(node)
    }
}

/// Why a submission waits with an image that is to be graded alone.
#[must_use]
pub fn waits_alone(why: &str) -> Fault {
    let message = format!(
        "machines went down under an image of this submission; it is tried once more, alone, if \
         possible on another machine: {why}"
    );
    PlatformFault::new(PlatformCode::NoCapacity, message).into()
}

/// Why a submission with such an image is not graded.
#[must_use]
pub fn refused(digest: &Digest) -> Fault {
    let message = format!(
        "the image {digest} is not graded: machines went down under it again and again, the last \
         time with nothing else on it"
    );
    PlatformFault::new(PlatformCode::QuarantinedImage, message).into()
}

#[cfg(test)]
mod tests;
