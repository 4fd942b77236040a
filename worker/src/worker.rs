//! What the tasks of one worker share: handed in, cheap to clone, never global.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
};

use portcall_shared::{
    domain::{ids::SubmissionId, submission::Submission},
    ops::Ready,
    store::{
        Store,
        queue::{Claimant, Lease},
    },
};

use crate::{fleet::Fleet, grade::Grader, lease::LeaseTimes};

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
}

/// The leases under which this process has something running or to remove.
#[derive(Clone, Debug, Default)]
pub struct Busy(Arc<Mutex<HashSet<Lease>>>);

impl Busy {
    /// Adds one, until the guard is dropped.
    #[must_use]
    pub fn enter(&self, lease: Lease) -> BusyGuard {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(lease);
        BusyGuard(self.clone(), lease)
    }

    /// Whether anything of that submission is.
    #[must_use]
    pub fn has(&self, submission: SubmissionId) -> bool {
        let leases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        leases.iter().any(|lease| lease.submission == submission)
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
    /// The networks of open slots.
    pub(crate) open: HashSet<String>,
    /// How many slots are being opened.
    pub(crate) opening: u32,
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
        let network = name.strip_suffix("-prober").unwrap_or(name);
        names.opening > 0 || names.open.contains(network)
    }

    /// How many are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).open.len()
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
