//! What the tasks of one worker share: handed in, cheap to clone, never global.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use portcall_shared::{
    domain::{ids::SubmissionId, submission::Submission},
    ops::Ready,
    store::{
        Store,
        queue::{Claimant, Lease},
    },
};

use tokio::time::Instant;

use crate::{
    fleet::Fleet,
    gate::{Gate, room::Housekeeper},
    grade::Grader,
    lease::LeaseTimes,
};

/// What the tasks of a worker share.
#[derive(Clone)]
pub struct Worker {
    /// The store.
    pub store: Store,
    /// The grading story.
    pub grader: Grader,
    /// Who claims.
    pub claimant: Claimant,
    /// How many submissions at once.
    pub slots: u32,
    /// The times of a lease.
    pub times: LeaseTimes,
    /// The process's readiness.
    pub ready: Ready,
    /// What is being graded or cleaned here now: the reaper leaves it alone.
    pub busy: Busy,
    /// The slots that are open: likewise.
    pub open_slots: OpenSlots,
    /// Whether the store answered the last beat.
    pub store_answers: Arc<AtomicBool>,
    /// Whether work may be taken on the node.
    pub gate: Gate,
    /// How often the canary is run again.
    pub canary_every: Duration,
    /// Who looks after the room on the node.
    pub room: Arc<Housekeeper>,
}

/// The leases under which this process has something running or to remove.
#[derive(Clone, Debug, Default)]
pub struct Busy(Arc<Mutex<HashMap<Lease, Instant>>>);

impl Busy {
    /// Adds one, until the guard is dropped.
    #[must_use]
    pub fn enter(&self, lease: Lease) -> BusyGuard {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(lease, Instant::now());
        BusyGuard(self.clone(), lease)
    }

    /// Whether anything of that submission is.
    #[must_use]
    pub fn has(&self, submission: SubmissionId) -> bool {
        let leases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        leases.keys().any(|lease| lease.submission == submission)
    }

    /// Since when the oldest of them has been: now if there is none.
    #[must_use]
    pub fn since(&self) -> Instant {
        let leases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        leases.values().min().copied().unwrap_or_else(Instant::now)
    }
}

/// Takes its lease off the list of what is busy.
#[derive(Debug)]
pub struct BusyGuard(Busy, Lease);

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// The slots that this process has open, by the name of their network: what else of its own is at
/// the engine is a leftover of a slot that was lost.
#[derive(Clone, Debug, Default)]
pub struct OpenSlots(Arc<Mutex<SlotNames>>);

#[derive(Debug, Default)]
pub(crate) struct SlotNames {
    /// The networks of open slots, and what each is for.
    pub(crate) open: HashMap<String, SlotUse>,
    /// How many slots are being opened.
    pub(crate) opening: u32,
}

/// What a slot is open for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotUse {
    /// For submissions.
    Grading,
    /// For the canary alone.
    Canary,
}

impl OpenSlots {
    pub(crate) fn change(&self, change: impl FnOnce(&mut SlotNames)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether an object of that name may belong to a slot in use: its network, or what is named
    /// after it. While a slot is being opened its name is not known yet, so anything may.
    #[must_use]
    pub fn may_use(&self, name: &str) -> bool {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fellow = ["-prober", "-canary"].iter().find_map(|end| name.strip_suffix(end));
        let network = fellow.unwrap_or(name);
        names.opening > 0 || names.open.contains_key(network)
    }

    /// How many are open for submissions.
    #[must_use]
    pub fn count(&self) -> usize {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.open.values().filter(|used| **used == SlotUse::Grading).count()
    }
}

impl Worker {
    /// The lease that a submission claimed by this worker is held under.
    pub(crate) fn lease(&self, submission: &Submission) -> Lease {
        Lease {
            submission: submission.id,
            worker: self.claimant.id,
            generation: submission.life.generation,
        }
    }

    /// The fleet.
    pub(crate) fn fleet(&self) -> &Fleet {
        &self.grader.fleet
    }
}
