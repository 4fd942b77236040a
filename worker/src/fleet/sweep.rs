//! Everything of ours that is on a node, found by its labels. Deciding what of it is an orphan
//! is the reaper's; here it is listed and removed, and removing twice is the same as once.

use portcall_shared::domain::ids::{Generation, SubmissionId, WorkerId};

use super::labels::{Identity, Kind};

/// Which sort of object was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// A service of a swarm, with its task.
    Service,
    /// A container.
    Container,
    /// A network.
    Network,
}

/// An object of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which sort of object it is.
    pub object: Object,
    /// What it is for.
    pub kind: Kind,
    /// The worker that made it.
    pub worker: WorkerId,
    /// For which submission and generation; none for slots, probers and canaries.
    pub submission: Option<(SubmissionId, Generation)>,
    /// Its name.
    pub name: String,
    /// The engine's id.
    pub id: String,
    /// Of several managers, the one at which it is.
    pub(super) manager: Option<usize>,
}

impl Found {
    /// One with these labels.
    #[must_use]
    pub fn new(object: Object, identity: &Identity, name: String, id: String) -> Self {
        let Identity { kind, worker, submission } = *identity;
        Self { object, kind, worker, submission, name, id, manager: None }
    }
}

/// What a look over a node found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Ours: services and containers before networks, so that removing them in this order
    /// succeeds.
    pub found: Vec<Found>,
    /// How many objects wear our labels without a good MAC. They are never touched.
    pub foreign: usize,
}

/// What became of an object that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It was there and is gone.
    Removed,
    /// It was gone before.
    AlreadyGone,
}
