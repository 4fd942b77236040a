//! What there is in the model's world: documents, those who write them, and what they are about.

use portcall_shared::domain::{
    ids::{Generation, WorkerId},
    state::{Event, Graded, Lifecycle, Pass, State},
};

/// Where a verdict came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Passed,
    Failed,
    /// The attempt of a re-grade.
    Regraded,
}

/// A submission's document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doc {
    pub(crate) life: Lifecycle,
    pub(crate) beat: u8,
    /// How many attempts came to a verdict.
    pub(crate) judged: u8,
    /// Where the last verdict came from, and with which generation.
    pub(crate) verdict: Option<(Generation, Origin)>,
}

/// Why a document was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Claim(usize),
    End(usize),
    Expiry,
    /// Ends what is not final.
    Ending,
    /// Changes what is final; audited.
    Audited,
}

/// A document as the majority has it, and as the primary has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kept: Doc,
    pub(crate) primary: Doc,
    /// Why these differ.
    pub(crate) unacknowledged: Option<Cause>,
    /// The generation of the last claim that was answered.
    pub(crate) told: Option<Generation>,
    /// What a re-grade has taken the place of.
    pub(crate) before: Option<Graded>,
}

/// How a worker ends its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Settle(Graded),
    Release,
    HandBack,
    GiveUp,
}

impl End {
    /// Those that a holder may come to. Attempts that follow each other come to opposite verdicts.
    pub(crate) fn of(generation: Generation) -> [Self; 4] {
        let verdict = if generation.0 % 2 == 0 { Graded::Failed } else { Graded::Passed };
        [Self::Settle(verdict), Self::Release, Self::HandBack, Self::GiveUp]
    }

    pub(crate) fn event(self, generation: Generation) -> Event {
        match self {
            Self::Settle(Graded::Passed) => Event::Settle { generation, pass: Pass::Yes },
            Self::Settle(_) => Event::Settle { generation, pass: Pass::No },
            Self::Release => Event::Release { generation },
            Self::HandBack => Event::HandBack { generation },
            Self::GiveUp => Event::GiveUp { generation },
        }
    }

    pub(crate) fn verdict(self) -> Option<Origin> {
        match self {
            Self::Settle(Graded::Passed) => Some(Origin::Passed),
            Self::Settle(_) => Some(Origin::Failed),
            Self::Release | Self::HandBack | Self::GiveUp => None,
        }
    }
}

/// What a worker is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    Idle,
    /// It waits for the answer to a claim.
    Claiming(usize),
    Holding(usize, Generation),
    /// It has read the document, and is about to write this.
    Ending(usize, Generation, End, Lifecycle),
    /// It waits for the answer.
    Ended(usize, Generation, End),
    /// There was none: it begins again with the same.
    Again(usize, Generation, End),
}

/// Somebody without the lease who has read a document and is about to write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outside {
    pub(crate) submission: usize,
    /// What it read, as far as its filter names it.
    pub(crate) state: &'static str,
    pub(crate) generation: Generation,
    pub(crate) beat: Option<u8>,
    pub(crate) next: Lifecycle,
    pub(crate) brings: Option<Origin>,
    pub(crate) cause: Cause,
}

pub(crate) fn id(worker: usize) -> WorkerId {
    WorkerId::from(uuid::Uuid::from_u128(worker as u128))
}

pub(crate) fn place(generation: Generation) -> usize {
    usize::try_from(generation.0).unwrap_or_default()
}

pub(crate) fn graded(state: State) -> Option<Graded> {
    Graded::ALL.into_iter().find(|graded| graded.state() == state)
}

impl Entry {
    /// Whether it waits, and has been claimed less often than that.
    pub(crate) fn may_be_claimed(&self, claims: usize) -> bool {
        let life = self.primary.life;
        life.state == State::Queued && place(life.generation) < claims
    }
}

impl Doc {
    /// Whose lease it is, and of which generation.
    pub(crate) fn holder(&self) -> Option<(WorkerId, Generation)> {
        match self.life.state {
            State::Grading { worker, .. } => Some((worker, self.life.generation)),
            _ => None,
        }
    }

    /// Writes down a verdict.
    pub(crate) fn judge(&mut self, generation: Generation, origin: Origin) {
        self.judged += u8::from(origin != Origin::Regraded);
        self.verdict = Some((generation, origin));
    }

    /// A verdict is of one attempt, or of a re-grade.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.judged > 1 {
            return Err("I2: two attempts came to a verdict");
        }
        let own = self.verdict.filter(|(of, _)| *of == self.life.generation);
        let fits = match (self.life.state, own.map(|(_, origin)| origin)) {
            (State::Passed, Some(Origin::Passed | Origin::Regraded)) => true,
            (State::Failed, Some(Origin::Failed | Origin::Regraded)) => true,
            (State::Passed | State::Failed, _) => false,
            _ => true,
        };
        if fits { Ok(()) } else { Err("I2: a verdict is not the one of its attempt") }
    }
}
