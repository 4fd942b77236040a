//! The gate: whether this worker may take work on its node.
//!
//! ```text
//!                       canary passed
//!      unchecked ─────────────────────────► fit ◄───────── room was made ── full
//!         ▲  ▲                             │ │ │                             ▲
//!         │  └── engine lost, or another ──┘ │ └── little free disk ─────────┘
//!         │      not to be checked any more  │
//!         │                                  ▼ canary failed
//!         └───────────────────────────── unfit        (from anywhere; mended: fit again)
//! ```
//!
//! Two things keep it shut, each for itself:
//!
//! - **The canary** ([`examine`](crate::examine)), our own image that tries what no stranger's may do. It is run in
//!   every profile before the first claim, again on a timer, after the engine was lost, and when the
//!   engine is another one or of another version. One difference in one profile shuts the gate for
//!   all. A canary that could not be run is not one that failed: the node stays as it was while its
//!   last pass is recent, and otherwise takes no work. A node that failed is tried again, so that a
//!   mended one comes back by itself. An operator may want it at any time.
//! - **The disk** ([`room`]): with too little of it, images go that were not used for the longest
//!   time, before anything is claimed and never after it.
//!
//! While the gate is shut no slot offers itself, so nothing is claimed, and what waits in the queue
//! is left to other workers. What was being graded when a canary failed is not believed either: it
//! is given back as the platform's fault ([`Mark`]), since a wall with a hole may have let anybody
//! change what was seen. The same goes for a node that went away.
//!
//! The rules are [`Standing`], a pure function of what happened and when.

pub mod room;
mod standing;
pub mod watch;

use std::{sync::Arc, time::Duration};

use portcall_shared::store::nodes::CanaryDifference;
use time::OffsetDateTime;
use tokio::{
    sync::{Notify, watch as channel},
    time::Instant,
};

pub use standing::{Last, Standing, Verdict};

use crate::{fleet::NodeFacts, probe::wire::DiskSpace};

/// The longest that one examination may take, its slot included. It is a few seconds on a machine
/// that is not busy; every call in it has a limit of its own.
pub const LONGEST: Duration = Duration::from_secs(90);

/// How an examination of the node ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything went as it must, in every profile.
    Passed,
    /// This did not.
    Failed(Vec<CanaryDifference>),
    /// It could not be carried out, for this reason.
    Impossible(String),
}

/// An examination that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// The node, if it could be asked.
    pub node: Option<Arc<NodeFacts>>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How often the canary had failed at some time, or the node was lost; see
/// [`Gate::trusted_since`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

/// Whether work may be taken. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    standing: channel::Sender<Standing>,
    /// An examination is wanted before its time.
    again: Notify,
}

impl Gate {
    /// A gate that is shut until the first canary passed. A pass is good for twice the time between
    /// two canaries.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self::of(Standing::new(every))
    }

    /// The same for a node of which so much is known already.
    #[must_use]
    pub fn of(standing: Standing) -> Self {
        let standing = channel::Sender::new(standing);
        Self(Arc::new(Inner { standing, again: Notify::new() }))
    }

    /// As it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.0.standing.borrow().clone()
    }

    /// Whether work may be taken now.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.0.standing.borrow().verdict(Instant::now())
    }

    /// Whether the canary would let work be taken, whatever the disk is like.
    #[must_use]
    pub fn examined(&self) -> bool {
        self.0.standing.borrow().canary(Instant::now()) == Verdict::Fit
    }

    /// Completes when the canary lets work be taken.
    pub async fn opened(&self) {
        self.until(|standing| standing.canary(Instant::now()) == Verdict::Fit).await;
    }

    /// Completes when the canary lets no work be taken.
    pub async fn shut(&self) {
        self.until(|standing| standing.canary(Instant::now()) != Verdict::Fit).await;
    }

    /// Hears of every change from now on.
    #[must_use]
    pub fn changes(&self) -> channel::Receiver<Standing> {
        self.0.standing.subscribe()
    }

    /// For a grading that begins.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.0.standing.borrow().doubts())
    }

    /// Whether no canary failed since, and the node was not lost.
    #[must_use]
    pub fn trusted_since(&self, mark: Mark) -> bool {
        self.0.standing.borrow().doubts() == mark.0
    }

    /// An operator wants the node examined; orders have growing numbers, and one that was given
    /// already is none.
    pub fn order(&self, number: u64) {
        if self.0.standing.send_if_modified(|standing| standing.order(number)) {
            self.0.again.notify_one();
        }
    }

    /// The node is not to be reached, and what ran on it is lost.
    pub fn node_lost(&self) {
        self.0.standing.send_modify(Standing::node_lost);
        self.0.again.notify_one();
    }

    /// The engine could not be reached: it may come back as another one.
    pub fn engine_lost(&self) {
        self.0.standing.send_if_modified(Standing::engine_lost);
        // Also when nothing changes by it: a node that failed may have been mended meanwhile.
        self.0.again.notify_one();
    }

    /// The node spoke for itself as a slot was opened on it.
    pub fn seen(&self, node: &NodeFacts) {
        if self.0.standing.send_if_modified(|standing| standing.seen(node)) {
            self.0.again.notify_one();
        }
    }

    /// A slot was lost: perhaps the engine was away for a moment.
    pub fn slot_lost(&self) {
        self.0.again.notify_one();
    }

    /// What a look at the disk found, and why that is not enough, if it is not.
    pub fn disk(&self, space: DiskSpace, lacking: Option<String>) {
        self.0.standing.send_if_modified(|standing| standing.disk(space, lacking));
    }

    fn begin(&self) -> standing::Epoch {
        self.0.standing.borrow().epoch()
    }

    fn note(&self, examined: Examined, begun: standing::Epoch) {
        let (now, at) = (Instant::now(), OffsetDateTime::now_utc());
        self.0.standing.send_modify(|standing| standing.note(examined, begun, now, at));
    }

    async fn until(&self, is: impl FnMut(&Standing) -> bool) {
        let mut changes = self.0.standing.subscribe();
        // The sender is here, so it is there.
        let _ = changes.wait_for(is).await;
    }
}
