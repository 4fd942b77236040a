//! The life of a submission: one enum, one pure [`Lifecycle::apply`], a name for every refusal.
//!
//! ```text
//!            submit               claim                 settle(pass)
//!   ·  ────────────────►  queued ───────►  grading  ───────────────►  passed ■
//!                          ▲  │             │ │ │
//!                          │  │   release   │ │ └── settle(fail) ──►  failed ■
//!                          ├──┼─────────────┘ │
//!                          │  │ lease expired │
//!                          ├──┼───────────────┤
//!                          │  │               ├── attempts or age used up ──►  undetermined ■
//!                          │  │               └── given up ─────────────────►  undetermined ■
//!                          │  └── overdue ──────────────────────────────────►  undetermined ■
//!                          │  └── cancel (also while grading) ──────────────►  cancelled ■
//!                          └───── requeue (operator) ── from undetermined
//!
//!   passed ■  failed ■  undetermined ■  ── regrade ──►  passed ■  failed ■
//!   passed ■  failed ■                  ── restore ──►  passed ■  failed ■  undetermined ■
//! ```
//!
//! A final state has two ways on, both an organiser's and both audited: an undetermined submission
//! is queued again, and a re-grade ([`Event::Regrade`], undone by [`Event::Restore`]) puts another
//! verdict in the place of the one there is. What was taken back stays so.
//!
//! A claim is a lease with a generation, not a lock: each claim adds one to the generation, and
//! whatever a worker does names the generation that it holds. An event of another generation is
//! [`Refusal::Stale`]; that is how a worker that slept through the loss of its lease finds out.
//!
//! `now` comes in as a value: nothing in here reads a clock, and no lease ends by comparing times.
//! A lease ends when an observer has seen the same generation and beat for long enough on its own
//! monotonic clock (`store::observer`), and says so with [`Event::LeaseExpired`].

use time::{Duration, OffsetDateTime};

use super::ids::{Generation, WorkerId};

/// Attempts that may be lost to the platform or a registry before the verdict is `undetermined`.
pub const MAX_LOST: u32 = 3;
/// Age beyond which a submission is not tried again.
pub const MAX_AGE: Duration = Duration::hours(2);
/// Longest time from claim to verdict, cleaning not counted.
pub const GRADING_LIMIT: Duration = Duration::seconds(180);
/// What is allowed beyond [`GRADING_LIMIT`] before an observer calls the grading overdue.
pub const GRADING_SLACK: Duration = Duration::seconds(60);

/// What a worker is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Asking the registry what the name stands for.
    Resolving,
    /// Fetching the image.
    Pulling,
    /// Making and starting the containers.
    Starting,
    /// Waiting for port 80 and asking the questions.
    Probing,
    /// Holding the answers against the rules.
    Judging,
    /// Removing what ran. The verdict is already known then.
    Cleaning,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Self; 6] = [
        Self::Resolving,
        Self::Pulling,
        Self::Starting,
        Self::Probing,
        Self::Judging,
        Self::Cleaning,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resolving => "resolving",
            Self::Pulling => "pulling",
            Self::Starting => "starting",
            Self::Probing => "probing",
            Self::Judging => "judging",
            Self::Cleaning => "cleaning",
        }
    }

    /// The step of that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == word)
    }
}

/// Where a submission stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Waiting for a slot.
    Queued,
    /// A worker holds the lease.
    Grading {
        /// Which worker.
        worker: WorkerId,
        /// What it is busy with.
        step: Step,
    },
    /// Every check held. Final.
    Passed,
    /// The participant has something to mend. Final.
    Failed,
    /// We could not find out. Final, unless an operator queues it again.
    Undetermined,
    /// Taken back. Final.
    Cancelled,
}

impl State {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Grading { .. } => "grading",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Undetermined => "undetermined",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing happens any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Grading { .. } => false,
            Self::Passed | Self::Failed | Self::Undetermined | Self::Cancelled => true,
        }
    }
}

/// A state with what decides about the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    /// Where it stands.
    pub state: State,
    /// The generation of the last claim.
    pub generation: Generation,
    /// Attempts lost to the platform or a registry so far.
    pub lost: u32,
    /// When it was submitted, or queued again by an operator.
    pub since: OffsetDateTime,
    /// When something happens at the latest; none for a final state.
    pub deadline: Option<OffsetDateTime>,
}

/// What can happen to a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A worker takes it.
    Claim {
        /// Which one.
        worker: WorkerId,
    },
    /// The holder goes on to a step.
    Advance {
        /// The generation that it holds.
        generation: Generation,
        /// The step.
        step: Step,
    },
    /// The holder knows the verdict.
    Settle {
        /// The generation that it holds.
        generation: Generation,
        /// The verdict.
        pass: Pass,
    },
    /// The holder gives it back after a fault of the platform or a registry.
    Release {
        /// The generation that it holds.
        generation: Generation,
    },
    /// The holder gives it back because it is stopping, or had no room for it. Nothing is lost by
    /// that ([`Loss::Waived`]); [`Event::Overdue`] bounds it.
    HandBack {
        /// The generation that it holds.
        generation: Generation,
    },
    /// The holder found what makes that nobody is to try it again ([`Loss::Final`]), and it is not
    /// the participant's to mend.
    GiveUp {
        /// The generation that it holds.
        generation: Generation,
    },
    /// An observer saw no beat of this generation for as long as a lease lasts.
    LeaseExpired {
        /// The generation that it observed.
        generation: Generation,
    },
    /// It waited longer than [`MAX_AGE`].
    Overdue,
    /// The participant or an organiser takes it back.
    Cancel,
    /// An operator has it tried again.
    Requeue,
    /// An organiser has the verdict of a trial under other rules take the place of its own. The
    /// trial's attempt becomes one of its own, with the next generation.
    Regrade {
        /// The verdict.
        pass: Pass,
    },
    /// An organiser undoes a re-grade.
    Restore {
        /// What it was before.
        to: Graded,
    },
}

/// A final state that a grading came to, which is all that re-grades change and restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Graded {
    /// Every check held.
    Passed,
    /// Not every check held.
    Failed,
    /// Nobody could find out.
    Undetermined,
}

impl Graded {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Passed, Self::Failed, Self::Undetermined];

    /// The state that it is.
    #[must_use]
    pub fn state(self) -> State {
        match self {
            Self::Passed => State::Passed,
            Self::Failed => State::Failed,
            Self::Undetermined => State::Undetermined,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.state().as_str()
    }

    /// The one of that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|graded| graded.as_str() == word)
    }
}

/// Whether an attempt that came to no verdict counts towards [`MAX_LOST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It does.
    Counted,
    /// It does not: nothing went wrong, it only has to wait.
    Waived,
    /// It is the last: nobody is to try it again.
    Final,
}

/// The two verdicts that a grading can come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Every check held.
    Yes,
    /// Not every check held, by the participant's fault.
    No,
}

impl Pass {
    /// The state that it is.
    #[must_use]
    pub fn state(self) -> State {
        match self {
            Self::Yes => State::Passed,
            Self::No => State::Failed,
        }
    }
}

/// Why an event changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not in the queue.
    #[error("it is not queued")]
    NotQueued,
    /// Nobody is grading it.
    #[error("it is not being graded")]
    NotGrading,
    /// Somebody else holds it by now.
    #[error("generation {held} has been succeeded by {current}")]
    Stale {
        /// What the event named.
        held: Generation,
        /// What is current.
        current: Generation,
    },
    /// Steps do not go backwards.
    #[error("steps do not go backwards")]
    StepBackwards,
    /// It has ended.
    #[error("it has ended already")]
    Final,
    /// It is not yet as old as that.
    #[error("it is not overdue")]
    NotOverdue,
    /// Only what is undetermined can be queued again.
    #[error("only an undetermined submission can be queued again")]
    NotUndetermined,
    /// Only what was graded can be graded anew, and only what a re-grade may have written undone.
    #[error("it has no verdict that a re-grade could change")]
    NotGraded,
}

impl Lifecycle {
    /// A fresh submission.
    #[must_use]
    pub fn submitted(now: OffsetDateTime) -> Self {
        Self {
            state: State::Queued,
            generation: Generation::ZERO,
            lost: 0,
            since: now,
            deadline: Some(now + MAX_AGE),
        }
    }

    /// What becomes of it, or why nothing does.
    ///
    /// # Errors
    /// The [`Refusal`], when the event does not fit the state.
    pub fn apply(self, event: Event, now: OffsetDateTime) -> Result<Self, Refusal> {
        match event {
            Event::Claim { worker } => self.claimed(worker, now),
            Event::Advance { generation, step } => self.advanced(generation, step),
            Event::Settle { generation, pass } => {
                self.held(generation)?;
                Ok(self.ended(pass.state()))
            }
            Event::Release { generation } | Event::LeaseExpired { generation } => {
                self.held(generation)?;
                Ok(self.lost_one(now))
            }
            Event::HandBack { generation } => {
                self.held(generation)?;
                Ok(self.waiting())
            }
            Event::GiveUp { generation } => {
                self.held(generation)?;
                Ok(self.ended(State::Undetermined))
            }
            Event::Overdue => match self.state {
                State::Queued if now - self.since > MAX_AGE => Ok(self.ended(State::Undetermined)),
                State::Queued | State::Grading { .. } => Err(Refusal::NotOverdue),
                _ => Err(Refusal::Final),
            },
            Event::Cancel if self.state.is_final() => Err(Refusal::Final),
            Event::Cancel => Ok(self.ended(State::Cancelled)),
            Event::Requeue if self.state == State::Undetermined => {
                Ok(Self { since: now, lost: 0, ..self }.waiting())
            }
            Event::Requeue => Err(Refusal::NotUndetermined),
            Event::Regrade { pass } => match self.state {
                State::Passed | State::Failed | State::Undetermined => {
                    Ok(Self { generation: self.generation.next(), ..self.ended(pass.state()) })
                }
                State::Queued | State::Grading { .. } | State::Cancelled => Err(Refusal::NotGraded),
            },
            Event::Restore { to } => match self.state {
                State::Passed | State::Failed => Ok(self.ended(to.state())),
                State::Queued | State::Grading { .. } | State::Undetermined | State::Cancelled => {
                    Err(Refusal::NotGraded)
                }
            },
        }
    }

    fn claimed(self, worker: WorkerId, now: OffsetDateTime) -> Result<Self, Refusal> {
        match self.state {
            State::Queued => Ok(Self {
                state: State::Grading { worker, step: Step::Resolving },
                generation: self.generation.next(),
                deadline: Some(now + GRADING_LIMIT),
                ..self
            }),
            _ => Err(Refusal::NotQueued),
        }
    }

    fn advanced(self, generation: Generation, step: Step) -> Result<Self, Refusal> {
        let (worker, current) = self.held(generation)?;
        if step < current {
            return Err(Refusal::StepBackwards);
        }
        Ok(Self { state: State::Grading { worker, step }, ..self })
    }

    /// Refuses whoever does not hold the lease.
    fn held(self, generation: Generation) -> Result<(WorkerId, Step), Refusal> {
        match self.state {
            State::Grading { worker, step } if self.generation == generation => Ok((worker, step)),
            State::Queued | State::Grading { .. } if self.generation != generation => {
                Err(Refusal::Stale { held: generation, current: self.generation })
            }
            State::Queued | State::Grading { .. } => Err(Refusal::NotGrading),
            State::Passed | State::Failed | State::Undetermined | State::Cancelled => {
                Err(Refusal::Final)
            }
        }
    }

    fn lost_one(self, now: OffsetDateTime) -> Self {
        let next = Self { lost: self.lost + 1, ..self };
        if next.lost >= MAX_LOST || now - self.since > MAX_AGE {
            next.ended(State::Undetermined)
        } else {
            next.waiting()
        }
    }

    fn waiting(self) -> Self {
        Self { state: State::Queued, deadline: Some(self.since + MAX_AGE), ..self }
    }

    fn ended(self, state: State) -> Self {
        Self { state, deadline: None, ..self }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn claimed() -> (Lifecycle, WorkerId) {
        let worker = WorkerId::new();
        let fresh = Lifecycle::submitted(START);
        (fresh.apply(Event::Claim { worker }, START).unwrap(), worker)
    }

    #[test]
    fn a_submission_that_passes() {
        let (life, worker) = claimed();
        assert_eq!(life.generation, Generation(1));
        assert_eq!(life.deadline, Some(START + GRADING_LIMIT));
        let step = Event::Advance { generation: life.generation, step: Step::Probing };
        let life = life.apply(step, START).unwrap();
        assert_eq!(life.state, State::Grading { worker, step: Step::Probing });
        let back = Event::Advance { generation: life.generation, step: Step::Pulling };
        assert_eq!(life.apply(back, START), Err(Refusal::StepBackwards));
        let settle = Event::Settle { generation: life.generation, pass: Pass::Yes };
        let life = life.apply(settle, START).unwrap();
        assert_eq!((life.state, life.deadline), (State::Passed, None));
        assert_eq!(life.apply(settle, START), Err(Refusal::Final));
    }

    #[test]
    fn a_worker_that_slept_is_stale() {
        let (life, _) = claimed();
        let old = life.generation;
        let life = life.apply(Event::LeaseExpired { generation: old }, START).unwrap();
        assert_eq!((life.state, life.lost), (State::Queued, 1));
        let late = Event::Settle { generation: old, pass: Pass::No };
        assert_eq!(life.apply(late, START), Err(Refusal::NotGrading));
        let life = life.apply(Event::Claim { worker: WorkerId::new() }, START).unwrap();
        let current = old.next();
        assert_eq!(life.apply(late, START), Err(Refusal::Stale { held: old, current }));
    }

    #[test]
    fn three_lost_attempts_are_the_end_and_a_hand_back_is_none() {
        let mut life = Lifecycle::submitted(START);
        for lost in 1..=MAX_LOST {
            life = life.apply(Event::Claim { worker: WorkerId::new() }, START).unwrap();
            let generation = life.generation;
            life = life.apply(Event::HandBack { generation }, START).unwrap();
            assert_eq!(life.lost, lost - 1);
            life = life.apply(Event::Claim { worker: WorkerId::new() }, START).unwrap();
            let generation = life.generation;
            life = life.apply(Event::Release { generation }, START).unwrap();
        }
        assert_eq!(life.state, State::Undetermined);
        let again = life.apply(Event::Requeue, START).unwrap();
        assert_eq!((again.state, again.lost), (State::Queued, 0));
    }

    #[test]
    fn whoever_holds_it_may_give_it_up() {
        let (life, _) = claimed();
        let generation = life.generation;
        let after = life.apply(Event::GiveUp { generation }, START).unwrap();
        assert_eq!((after.state, after.lost, after.deadline), (State::Undetermined, 0, None));
        assert_eq!(after.apply(Event::Requeue, START).unwrap().state, State::Queued);
        let other = Event::GiveUp { generation: generation.next() };
        assert!(matches!(life.apply(other, START), Err(Refusal::Stale { .. })));
    }

    #[test]
    fn age_is_exact() {
        let life = Lifecycle::submitted(START);
        assert_eq!(life.apply(Event::Overdue, START + MAX_AGE), Err(Refusal::NotOverdue));
        let late = START + MAX_AGE + Duration::milliseconds(1);
        assert_eq!(life.apply(Event::Overdue, late).unwrap().state, State::Undetermined);
        let (grading, _) = claimed();
        let released = Event::Release { generation: grading.generation };
        assert_eq!(grading.apply(released, late).unwrap().state, State::Undetermined);
    }

    fn any_event() -> impl Strategy<Value = Event> {
        let worker = WorkerId::new();
        let generation = (0i64..6).prop_map(Generation);
        prop_oneof![
            Just(Event::Claim { worker }),
            (generation.clone(), 0usize..6)
                .prop_map(|(generation, s)| Event::Advance { generation, step: Step::ALL[s] }),
            (generation.clone(), any::<bool>()).prop_map(|(generation, yes)| Event::Settle {
                generation,
                pass: if yes { Pass::Yes } else { Pass::No },
            }),
            generation.clone().prop_map(|generation| Event::Release { generation }),
            generation.clone().prop_map(|generation| Event::HandBack { generation }),
            generation.clone().prop_map(|generation| Event::GiveUp { generation }),
            generation.prop_map(|generation| Event::LeaseExpired { generation }),
            Just(Event::Overdue),
            Just(Event::Cancel),
            Just(Event::Requeue),
            any::<bool>()
                .prop_map(|yes| Event::Regrade { pass: if yes { Pass::Yes } else { Pass::No } }),
            (0usize..3).prop_map(|n| Event::Restore { to: Graded::ALL[n] }),
        ]
    }

    #[test]
    fn a_regrade_changes_what_was_graded_and_nothing_else() {
        let (grading, _) = claimed();
        let generation = grading.generation;
        let end = |pass| grading.apply(Event::Settle { generation, pass }, START).unwrap();
        let undetermined = Lifecycle { state: State::Undetermined, ..end(Pass::No) };
        let cancelled = grading.apply(Event::Cancel, START).unwrap();
        let regrade = Event::Regrade { pass: Pass::Yes };
        for graded in [end(Pass::Yes), end(Pass::No), undetermined] {
            let after = graded.apply(regrade, START).unwrap();
            assert_eq!((after.state, after.deadline), (State::Passed, None));
            // What is claimed after it must not have the generation of the attempt that it brought.
            assert_eq!(after.generation, generation.next());
            for to in Graded::ALL {
                let restored = after.apply(Event::Restore { to }, START).unwrap();
                assert_eq!((restored.state, restored.generation), (to.state(), after.generation));
            }
        }
        for other in [Lifecycle::submitted(START), grading, cancelled] {
            assert_eq!(other.apply(regrade, START), Err(Refusal::NotGraded), "{other:?}");
            let restore = Event::Restore { to: Graded::Passed };
            assert_eq!(other.apply(restore, START), Err(Refusal::NotGraded), "{other:?}");
        }
        let restore = Event::Restore { to: Graded::Failed };
        assert_eq!(undetermined.apply(restore, START), Err(Refusal::NotGraded));
    }

    proptest! {
        #[test]
        fn whatever_happens(events in proptest::collection::vec((any_event(), 0i64..4000), 0..60)) {
            let mut life = Lifecycle::submitted(START);
            let mut now = START;
            for (event, seconds) in events {
                now += Duration::seconds(seconds);
                let before = life;
                if let Ok(after) = life.apply(event, now) {
                    prop_assert!(after.generation >= before.generation);
                    let regraded =
                        matches!(event, Event::Regrade { .. } | Event::Restore { .. });
                    if before.state.is_final() {
                        prop_assert!(regraded || event == Event::Requeue);
                        prop_assert!(before.state != State::Cancelled);
                    } else {
                        prop_assert!(!regraded);
                    }
                    prop_assert!(!regraded || after.state.is_final());
                    prop_assert_eq!(after.state.is_final(), after.deadline.is_none());
                    if matches!(event, Event::Claim { .. } | Event::Regrade { .. }) {
                        prop_assert_eq!(after.generation, before.generation.next());
                    } else {
                        prop_assert_eq!(after.generation, before.generation);
                    }
                    prop_assert!(after.lost <= MAX_LOST);
                    life = after;
                }
            }
        }
    }
}
