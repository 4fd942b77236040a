//! What the tasks of one worker share: handed in, cheap to clone, never global.
//!
//! A worker is one process: it has the store, a name by which it claims, and [posts](crate::post),
//! one for each node of its Docker endpoint.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use portcall_shared::{
    domain::ids::SubmissionId,
    ops::Ready,
    registry::Registry,
    store::{
        Store,
        queue::{Claimant, Lease},
    },
    telemetry::traces::Traces,
};

use tokio::time::Instant;

use crate::{
    company::Company,
    fleet::{Fleet, Nodes},
    gate::room::RegistryTurn,
    grade::{Admission, DiskFloor, Grader},
    lease::LeaseTimes,
    posts::Posts,
    quarantine::Quarantine,
};

/// What the tasks of a worker share.
#[derive(Clone)]
pub struct Worker {
    /// The store.
    pub store: Store,
    /// The Docker endpoint, and the nodes behind it.
    pub nodes: Nodes,
    /// Who is asked what a name stands for.
    pub registry: Registry,
    /// Where nodes pull from, if not from the images' own registries.
    pub quarantine: Option<Quarantine>,
    /// What the names of images begin with on a node that come from there.
    pub ours: Option<String>,
    /// Who claims.
    pub claimant: Claimant,
    /// How many slots it keeps: on a plain engine so many, on a swarm so many at the most, over all
    /// nodes.
    pub slots: u32,
    /// The times of a lease.
    pub times: LeaseTimes,
    /// How often the canary is run again on a node.
    pub canary_every: Duration,
    /// How much free disk a node must have to take work, in bytes.
    pub node_free: u64,
    /// The process's readiness.
    pub ready: Ready,
    /// Whether the store answered the last beat.
    pub store_answers: Answers,
    /// Whom it grades beside whom.
    pub company: Company,
    /// Its posts.
    pub posts: Posts,
    /// When it is time to make room in the platform's own registry.
    pub registry_turn: RegistryTurn,
    /// Where what it does is recorded.
    pub traces: Traces,
}

/// Whether somebody answered when last asked. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Answers(Arc<AtomicBool>);

impl Answers {
    pub(crate) fn note<T, E>(&self, answer: &Result<T, E>) {
        self.0.store(answer.is_ok(), Ordering::Relaxed);
    }

    pub(crate) fn did(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The leases under which there is something running or to remove.
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

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
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

/// The slots that are open on a node, by the name of their network: what else of this worker's is
/// there is a leftover of a slot that was lost.
#[derive(Clone, Debug, Default)]
pub struct OpenSlots(Arc<Mutex<SlotNames>>);

#[derive(Debug, Default)]
pub(crate) struct SlotNames {
    /// The networks of open slots, and what each is for.
    pub(crate) open: HashMap<String, SlotUse>,
    /// The networks of slots that are being opened.
    pub(crate) opening: HashSet<String>,
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

    /// Whether an object of that name may belong to a slot in use or being opened: its network, or
    /// what is named after it.
    #[must_use]
    pub fn may_use(&self, name: &str) -> bool {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of = |network: &String| {
            let rest = name.strip_prefix(network.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        names.opening.iter().chain(names.open.keys()).any(is_of)
    }

    /// How many are open for submissions.
    #[must_use]
    pub fn count(&self) -> usize {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.open.values().filter(|used| **used == SlotUse::Grading).count()
    }

    /// Whether none is open or being opened, for whatever.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.open.is_empty() && names.opening.is_empty()
    }
}

impl Worker {
    /// A grader for a node.
    pub(crate) fn grader(&self, fleet: Fleet) -> Grader {
        Grader {
            fleet,
            registry: self.registry.clone(),
            quarantine: self.quarantine.clone(),
            floor: DiskFloor::under(self.node_free),
            admission: Admission::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_after_an_open_slot_belongs_to_it() {
        let slots = OpenSlots::default();
        slots.change(|slots| _ = slots.open.insert("p-slot1-12".to_owned(), SlotUse::Grading));
        for name in ["p-slot1-12", "p-slot1-12-prober", "p-slot1-12-canary-0"] {
            assert!(slots.may_use(name), "{name}");
        }
        for name in ["p-slot1-1", "p-slot1-123", "p-slot1-123-prober", "p-slot2-12"] {
            assert!(!slots.may_use(name), "{name}");
        }
        slots.change(|slots| _ = slots.opening.insert("p-slot2-12".to_owned()));
        for (name, its) in [
            ("p-slot2-12", true),
            ("p-slot2-12-anchor", true),
            ("p-slot1-12", true),
            // What another try left behind is not protected by this one.
            ("p-slot2-11", false),
            ("p-slot2-11-anchor", false),
        ] {
            assert_eq!(slots.may_use(name), its, "{name}");
        }
    }

    #[test]
    fn idle_is_a_node_without_any_slot() {
        let slots = OpenSlots::default();
        assert!(slots.is_idle());
        slots.change(|slots| _ = slots.opening.insert("a".to_owned()));
        assert!(!slots.is_idle());
        slots.change(|slots| {
            slots.opening.remove("a");
            slots.open.insert("a".to_owned(), SlotUse::Canary);
        });
        assert!(!slots.is_idle());
        assert_eq!(slots.count(), 0, "the canary's is not one for submissions");
    }
}
