//! Re-grades: a set of submissions graded again under the current rules, looked at, and only then
//! taken over.
//!
//! ```text
//!   preparing ──► grading ──► ready ── apply ──► applying ──► applied ■
//!       │            │          │                                │ undo
//!       └────────────┴──────────┴─ discard ──► discarded ■       ▼
//!                                                undoing ──► undone ■
//! ```
//!
//! What is graded is a trial: a copy that nobody sees. The states that end in `-ing` are work under
//! way; whoever looks at a re-grade next finishes what a process that died has left.

use time::OffsetDateTime;

use super::{
    ids::{EventSlug, RegradeId, SubmissionId},
    state::{Graded, State},
};

/// Most submissions of one re-grade.
pub const MOST: usize = 1000;

/// Where a re-grade stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegradeState {
    /// Its trials are put into the queue.
    Preparing,
    /// They are graded.
    Grading,
    /// All have ended; nothing has changed yet.
    Ready,
    /// The new verdicts are taken over.
    Applying,
    /// They have been.
    Applied,
    /// The old ones are put back.
    Undoing,
    /// They have been. Final.
    Undone,
    /// It was given up without a change. Final.
    Discarded,
}

/// What an organiser orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Take the new verdicts over.
    Apply,
    /// Put the old ones back.
    Undo,
    /// Give it up.
    Discard,
}

/// What becomes of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It goes on to this state.
    Begin(RegradeState),
    /// That is done, or under way.
    Already,
    /// It does not fit.
    Refused,
}

impl RegradeState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Preparing,
        Self::Grading,
        Self::Ready,
        Self::Applying,
        Self::Applied,
        Self::Undoing,
        Self::Undone,
        Self::Discarded,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Grading => "grading",
            Self::Ready => "ready",
            Self::Applying => "applying",
            Self::Applied => "applied",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
            Self::Discarded => "discarded",
        }
    }

    /// The state of that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// What becomes of an order in this state.
    #[must_use]
    pub fn ordered(self, order: Order) -> Answer {
        match (order, self) {
            (Order::Apply, Self::Ready) => Answer::Begin(Self::Applying),
            (Order::Undo, Self::Applied) => Answer::Begin(Self::Undoing),
            (Order::Discard, Self::Preparing | Self::Grading | Self::Ready) => {
                Answer::Begin(Self::Discarded)
            }
            (Order::Apply, Self::Applying | Self::Applied)
            | (Order::Undo, Self::Undoing | Self::Undone)
            | (Order::Discard, Self::Discarded) => Answer::Already,
            _ => Answer::Refused,
        }
    }
}

/// What an item's verdict was when the re-grade was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// How it had ended.
    pub state: Graded,
    /// The code of the reason.
    pub reason: Option<String>,
    /// The attempt that the verdict came from; 0 if there was none.
    pub attempt: u32,
    /// When the verdict was reached.
    pub at: OffsetDateTime,
    /// The version of the rules.
    pub event_version: i32,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Its new verdict was taken over.
    Applied,
    /// Its trial came to no verdict, so it was left as it is.
    Left,
    /// It had changed in between, or was erased, so it was left as it is.
    Conflict,
    /// Its old verdict was put back.
    Undone,
}

impl Fate {
    /// Every fate.
    pub const ALL: [Self; 4] = [Self::Applied, Self::Left, Self::Conflict, Self::Undone];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Left => "left",
            Self::Conflict => "conflict",
            Self::Undone => "undone",
        }
    }

    /// The fate of that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fate| fate.as_str() == word)
    }
}

/// One submission of a re-grade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Which.
    pub submission: SubmissionId,
    /// The copy that is graded.
    pub trial: SubmissionId,
    /// What its verdict was.
    pub before: Before,
    /// What became of it when the re-grade was applied.
    pub applied: Option<Fate>,
    /// What became of it when that was undone.
    pub undone: Option<Fate>,
}

/// A re-grade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regrade {
    /// Its name.
    pub id: RegradeId,
    /// In which event.
    pub event: EventSlug,
    /// The version of the rules that it grades by.
    pub version: i32,
    /// The name of the token that made it.
    pub by: String,
    /// Why, in their own words.
    pub note: Option<String>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it changed last.
    pub updated_at: OffsetDateTime,
    /// Where it stands.
    pub state: RegradeState,
    /// What it grades.
    pub items: Vec<Item>,
}

/// What a trial says about its submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// Nothing yet.
    Waiting,
    /// It would stay what it is.
    Unchanged,
    /// It would pass.
    WouldPass,
    /// It would fail.
    WouldFail,
    /// Nobody could find out: it would stay what it is.
    Undetermined,
}

impl Change {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::Waiting, Self::Unchanged, Self::WouldPass, Self::WouldFail, Self::Undetermined];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Unchanged => "unchanged",
            Self::WouldPass => "would_pass",
            Self::WouldFail => "would_fail",
            Self::Undetermined => "undetermined",
        }
    }

    /// From what it was to what its trial is; one without a trial comes to no verdict.
    #[must_use]
    pub fn between(before: Graded, trial: Option<State>) -> Self {
        match (before, trial) {
            (_, Some(State::Queued | State::Grading { .. })) => Self::Waiting,
            (Graded::Passed, Some(State::Passed)) | (Graded::Failed, Some(State::Failed)) => {
                Self::Unchanged
            }
            (_, Some(State::Passed)) => Self::WouldPass,
            (_, Some(State::Failed)) => Self::WouldFail,
            (_, None | Some(State::Undetermined | State::Cancelled)) => Self::Undetermined,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back() {
        for state in RegradeState::ALL {
            assert_eq!(RegradeState::from_word(state.as_str()), Some(state));
        }
        for fate in Fate::ALL {
            assert_eq!(Fate::from_word(fate.as_str()), Some(fate));
        }
        assert_eq!((RegradeState::from_word("x"), Fate::from_word("")), (None, None));
    }

    #[test]
    fn nothing_is_applied_before_it_was_to_be_seen_or_after_it_was_given_up() {
        use RegradeState as S;
        let begins = |order| {
            let begin = |state: S| match state.ordered(order) {
                Answer::Begin(next) => Some((state, next)),
                Answer::Already | Answer::Refused => None,
            };
            S::ALL.into_iter().filter_map(begin).collect::<Vec<_>>()
        };
        assert_eq!(begins(Order::Apply), [(S::Ready, S::Applying)]);
        assert_eq!(begins(Order::Undo), [(S::Applied, S::Undoing)]);
        let discarded = [S::Preparing, S::Grading, S::Ready].map(|state| (state, S::Discarded));
        assert_eq!(begins(Order::Discard), discarded);
        for (order, state) in [
            (Order::Apply, S::Grading),
            (Order::Apply, S::Undone),
            (Order::Apply, S::Discarded),
            (Order::Undo, S::Ready),
            (Order::Undo, S::Discarded),
            (Order::Discard, S::Applied),
            (Order::Discard, S::Undone),
        ] {
            assert_eq!(state.ordered(order), Answer::Refused, "{order:?} {state:?}");
        }
        for (order, state) in
            [(Order::Apply, S::Applied), (Order::Undo, S::Undone), (Order::Discard, S::Discarded)]
        {
            assert_eq!(state.ordered(order), Answer::Already, "{order:?} again");
        }
    }

    #[test]
    fn what_a_trial_says() {
        let says = |before, trial| Change::between(before, Some(trial));
        for before in Graded::ALL {
            assert_eq!(says(before, State::Queued), Change::Waiting);
            assert_eq!(says(before, State::Undetermined), Change::Undetermined);
            assert_eq!(says(before, State::Cancelled), Change::Undetermined);
            assert_eq!(Change::between(before, None), Change::Undetermined);
        }
        assert_eq!(says(Graded::Passed, State::Passed), Change::Unchanged);
        assert_eq!(says(Graded::Failed, State::Failed), Change::Unchanged);
        assert_eq!(says(Graded::Undetermined, State::Failed), Change::WouldFail);
        assert_eq!(says(Graded::Failed, State::Passed), Change::WouldPass);
        assert_eq!(says(Graded::Passed, State::Failed), Change::WouldFail);
    }
}
