//! A post: one node of the worker's endpoint, and what the worker does there.
//!
//! ```text
//!   charge: so many slots, serving or not ──► seats: one task for each slot ──► dispatcher
//!                                              ▲
//!   gate: canary and disk of this node ────────┘
//! ```
//!
//! What a post is [charged](Charge) with follows from the endpoint, from the orders of operators
//! and from who else works there ([`posts`](crate::posts)); it is told so at any time. A slot that
//! is given up, for whatever reason, finishes what it grades first. On a node that is drained what
//! still runs after a while is handed back, and others begin with it. On one that is down it ends at
//! once, as an attempt that is lost with the node: nobody is charged for what was seen there, but what
//! takes nodes down goes from one to the next only so often.
//!
//! A node that was down or drained takes work again after a new canary.

use std::sync::{Arc, Mutex, PoisonError};

use portcall_shared::store::nodes::{NodeDuty, NodeState};
use tokio::{
    sync::{mpsc, watch as channel},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    dispatch::Offer,
    fleet::{Availability, Fleet, FleetError, Slot},
    gate::{Gate, Standing, Verdict, room::Housekeeper, watch::watch},
    grade::Grader,
    lease::Ends,
    run::FINISH,
    seat::Seat,
    share::Part,
    worker::{Busy, OpenSlots, SlotUse, Worker},
};

/// What a worker does on one node.
pub struct Post {
    pub(crate) worker: Worker,
    /// What tells the node from the others of its endpoint.
    pub(crate) id: String,
    /// Its name, where the endpoint tells it.
    name: Option<String>,
    pub(crate) grader: Grader,
    /// Whether work may be taken on the node.
    pub(crate) gate: Gate,
    /// Who looks after the room on it.
    pub(crate) room: Housekeeper,
    /// The slots that are open there: the reaper leaves them alone.
    pub(crate) open_slots: OpenSlots,
    /// What is being graded or cleaned there now: likewise.
    pub(crate) busy: Busy,
    charge: channel::Sender<Charge>,
    /// The end of the post.
    pub(crate) close: CancellationToken,
    /// What is still being written of gradings that are over.
    pub(crate) notes: TaskTracker,
    /// What ends the gradings there; others each time that the node comes back.
    ends: Mutex<Ends>,
}

/// What a post is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Charge {
    /// How many slots it keeps, when it keeps any.
    pub(crate) slots: u32,
    /// How many the node has for all workers together, if they share it.
    pub(crate) room: Option<u32>,
    /// Which part of the node is this worker's; none for the same as before.
    pub(crate) part: Option<Part>,
    /// Whether orders are known. Until then slots are opened and offered to nobody.
    pub(crate) known: bool,
    /// The newest order for a canary.
    pub(crate) canary: u64,
    /// Why the node is to take no work and what runs there may end well, if so.
    pub(crate) drained: Option<String>,
    /// Why what runs there is lost, if so.
    pub(crate) down: Option<String>,
}

impl Charge {
    /// Whether a slot of this number is to be there.
    pub(crate) fn keeps(&self, number: u32) -> bool {
        self.kept() > number
    }

    /// How many slots are to be there now.
    pub(crate) fn kept(&self) -> u32 {
        if self.is_away() { 0 } else { self.slots }
    }

    /// Whether its slots may be offered.
    pub(crate) fn serves(&self) -> bool {
        self.known && !self.is_away()
    }

    /// Whether other workers keep all of the node's slots: this one is there for when they go.
    pub(crate) fn is_spare(&self) -> bool {
        self.serves() && self.slots == 0 && self.room.is_some_and(|room| room > 0)
    }

    /// Whether nothing is to be there.
    pub(crate) fn is_away(&self) -> bool {
        self.drained.is_some() || self.down.is_some()
    }
}

impl Post {
    /// A post on a node that has nothing to do yet; it ends with `stop` at the latest.
    pub(crate) fn new(
        worker: &Worker,
        id: String,
        name: Option<String>,
        fleet: Fleet,
        stop: &CancellationToken,
        finish: &CancellationToken,
    ) -> Self {
        Self {
            worker: worker.clone(),
            id,
            grader: worker.grader(fleet),
            gate: Gate::of(Standing::new(worker.canary_every).called(name.clone())),
            name,
            room: Housekeeper::new(worker.node_free, worker.ours.clone(), Instant::now()),
            open_slots: OpenSlots::default(),
            busy: Busy::default(),
            charge: channel::Sender::new(Charge::default()),
            close: stop.child_token(),
            notes: TaskTracker::new(),
            ends: Mutex::new(Ends::under(finish)),
        }
    }

    /// The node's name for people, once it is known.
    pub(crate) fn name(&self) -> Option<String> {
        let told = || self.gate.standing().node().map(|node| node.name.clone());
        self.name.clone().or_else(told)
    }

    /// The way to the node.
    pub(crate) fn fleet(&self) -> &Fleet {
        &self.grader.fleet
    }

    /// What it is to do now.
    pub(crate) fn charge(&self) -> Charge {
        self.charge.borrow().clone()
    }

    /// Tells it what to do from now on.
    pub(crate) fn appoint(&self, charge: Charge) {
        let before = self.charge();
        self.gate.order(charge.canary);
        if before == charge {
            return;
        }
        if let Some(part) = charge.part {
            self.grader.admission.share(part);
        }
        // The gate first: a node that comes back must not look fit by what was known of it before.
        if charge.down.is_some() && before.down.is_none() {
            // Nobody can say what of the things seen there was still true.
            self.gate.node_lost();
        } else if before.is_away() && !charge.is_away() {
            self.gate.engine_lost();
        }
        tracing::info!(
            node.name = self.name(),
            slots = charge.kept(),
            away = charge.down.as_ref().or(charge.drained.as_ref()),
            "a post is charged"
        );
        self.charge.send_replace(charge);
        self.worker.posts.tell_news();
    }

    /// Completes when its charge is such.
    pub(crate) async fn until(&self, is: impl FnMut(&Charge) -> bool) {
        let mut charges = self.charge.subscribe();
        // The sender is here, so it is there.
        let _ = charges.wait_for(is).await;
    }

    /// What ends the gradings that begin now.
    pub(crate) fn ends(&self) -> Ends {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether nothing of this worker's is there or on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.open_slots.is_idle() && self.busy.count() == 0
    }

    /// What the worker does with the node, as others see it.
    pub(crate) fn duty(&self) -> NodeDuty {
        let charge = self.charge.borrow();
        match (&charge.drained, &charge.down) {
            (Some(_), _) if self.is_idle() => NodeDuty::Drained,
            (Some(_), None) => NodeDuty::Draining,
            (_, Some(_)) => NodeDuty::Down,
            (None, None) => NodeDuty::Serving,
        }
    }

    /// What the node is good for, and why it takes no work if it takes none.
    pub(crate) fn state(&self) -> (NodeState, Option<String>) {
        let verdict = self.gate.verdict();
        let state = match &verdict {
            Verdict::Fit => NodeState::Fit,
            Verdict::Unfit(_) => NodeState::Unfit,
            Verdict::Unchecked(_) => NodeState::Unchecked,
            Verdict::Full(_) => NodeState::Full,
        };
        let charge = self.charge.borrow();
        let away = charge.drained.as_ref().or(charge.down.as_ref());
        (state, away.cloned().or_else(|| verdict.why().map(str::to_owned)))
    }

    /// Why nothing can be graded there now, if nothing can.
    pub(crate) fn obstacle(&self) -> Option<String> {
        let (_, why) = self.state();
        if why.is_some() {
            return why;
        }
        if self.open_slots.count() == 0 && !self.charge.borrow().is_spare() {
            return Some(match &self.name {
                Some(name) => format!("no slot is open on node {name}"),
                None => "no slot is open at the Docker endpoint".to_owned(),
            });
        }
        let known = self.charge.borrow().known;
        (!known).then(|| "it is not known yet what operators want of the node".to_owned())
    }

    /// Whether the endpoint says, asked anew, that the node is there to be used, and something is
    /// heard from it in that slot.
    pub(crate) async fn stands(&self, slot: &Slot) -> bool {
        let (nodes, is_heard) = tokio::join!(self.worker.nodes.list(), self.fleet().hears(slot));
        let is_active = match nodes {
            Ok(nodes) => nodes
                .iter()
                .any(|node| node.id == self.id && node.availability == Availability::Active),
            Err(error) => {
                tracing::warn!(%error, "it cannot be told whether the node stands");
                false
            }
        };
        is_active && is_heard
    }

    /// Serves until it is closed.
    pub(crate) async fn run(
        self: Arc<Self>,
        offers: mpsc::Sender<Offer>,
        finish: CancellationToken,
    ) {
        let tasks = TaskTracker::new();
        let this = Arc::clone(&self);
        tasks.spawn(async move {
            watch(&this.gate, &*this, this.worker.canary_every, &this.close).await;
        });
        let this = Arc::clone(&self);
        tasks.spawn(async move { this.follow_gate().await });
        let mut charges = self.charge.subscribe();
        let (mut seats, mut patience) = (0, None);
        while !self.close.is_cancelled() {
            let charge = charges.borrow_and_update().clone();
            for number in seats..charge.kept() {
                tasks.spawn(Seat::new(Arc::clone(&self), number, offers.clone()).keep());
            }
            seats = seats.max(charge.kept());
            patience = self.ease(&charge, patience, &finish);
            tokio::select! {
                _ = charges.changed() => {}
                () = sleep_until(patience) => self.ends().stopping.cancel(),
                () = self.close.cancelled() => {}
            }
        }
        for tracker in [&tasks, &self.notes] {
            tracker.close();
            tracker.wait().await;
        }
    }

    /// Until when gradings may go on before they are handed back; none for as long as they take.
    fn ease(
        &self,
        charge: &Charge,
        patience: Option<Instant>,
        finish: &CancellationToken,
    ) -> Option<Instant> {
        let mut own = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        if charge.down.is_some() {
            own.node_lost.cancel();
        } else if charge.drained.is_none() && own.told().is_some() {
            *own = Ends::under(finish);
        }
        match charge.drained {
            Some(_) if own.told().is_none() => patience.or_else(|| Some(Instant::now() + FINISH)),
            _ => None,
        }
    }

    /// Tells what the gate has come to, whenever that changes.
    async fn follow_gate(&self) {
        let mut changes = self.gate.changes();
        loop {
            self.worker.tell_readiness(&self.close);
            self.worker.posts.tell_news();
            tokio::select! {
                _ = changes.changed() => {}
                () = self.close.cancelled() => return,
            }
        }
    }

    /// Opens a slot, or does not.
    pub(crate) async fn open_once(&self, number: u32, used: SlotUse) -> Result<Slot, FleetError> {
        let name = self.fleet().slot_name(number);
        self.open_slots.change(|slots| _ = slots.opening.insert(name.network().to_owned()));
        let opened = self.fleet().open_slot_as(&name).await;
        self.open_slots.change(|slots| {
            slots.opening.remove(name.network());
            if let Ok(slot) = &opened {
                slots.open.insert(slot.network_name().to_owned(), used);
            }
        });
        opened
    }

    /// Closes a slot; what is left of it is the reaper's.
    pub(crate) async fn close_slot(&self, slot: Slot) -> Result<(), FleetError> {
        let name = slot.network_name().to_owned();
        let closed = self.fleet().close_slot(slot).await;
        self.open_slots.change(|slots| _ = slots.open.remove(&name));
        closed
    }
}

/// Never, for none.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
