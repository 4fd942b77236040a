//! The worker's loop: N slots, one dispatcher that claims for whoever is free, the reaper beside.
//!
//! ```text
//!   feed ─► wake ─► dispatcher ── claim ──► a free slot's task ── grade ─► settle ─► clean
//!                       ▲                          │
//!                       └────── "I am free" ◄──────┘
//! ```
//!
//! A slot's task says that it is free only with a slot that has just been seen alive, and while the
//! [`gate`](crate::gate) is open: when the engine is away or its node not fit, nothing is claimed,
//! and what waits is not harmed. Both the engine and the database may go away and come back at any
//! time.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::FutureExt;
use portcall_shared::{
    domain::submission::Submission,
    ops::Readiness,
    retry::{self, Again},
    store::queue::Queue,
};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    fleet::{FleetError, Slot, SlotHealth},
    gate::{
        Mark, Verdict,
        room::{OnNode, Room},
        watch::watch,
    },
    notes::NodeNotes,
    one,
    wake::{self, Pace},
    worker::{SlotUse, Worker},
};

/// How often an idle slot is looked at.
const IDLE_LOOK: Duration = Duration::from_secs(5);
/// How long gradings may go on after the worker was told to stop, before they are handed back.
pub const FINISH: Duration = Duration::from_secs(20);
/// How long handing back and cleaning may take after that.
const HAND_BACK: Duration = Duration::from_secs(60);

type Offer = oneshot::Sender<Submission>;

/// What a waiting slot is given.
enum Given {
    /// A submission to grade.
    One(Box<Submission>),
    /// A submission, when the slot is no longer good: somebody else shall grade it.
    Late(Box<Submission>),
    /// Nothing any more.
    None,
}

impl Worker {
    /// Works until `stop`, then finishes or hands back what runs, and closes the slots.
    pub async fn run(&self, stop: CancellationToken) {
        let finish = CancellationToken::new();
        let (offers, offered) = mpsc::channel::<Offer>(self.slots as usize);
        let wake = Arc::new(Notify::new());
        let tasks = TaskTracker::new();
        for number in 0..self.slots {
            let (worker, offers) = (self.clone(), offers.clone());
            let (stop, finish) = (stop.clone(), finish.clone());
            tasks.spawn(async move { worker.tend(number, offers, stop, finish).await });
        }
        drop(offers);
        let (worker, woken, stopped) = (self.clone(), Arc::clone(&wake), stop.clone());
        tasks.spawn(async move { worker.dispatch(offered, &woken, stopped).await });
        let (worker, stopped) = (self.clone(), stop.clone());
        tasks.spawn(async move {
            watch(&worker.gate, &worker, worker.canary_every, &stopped).await;
        });
        let (worker, stopped) = (self.clone(), stop.clone());
        tasks.spawn(async move { worker.follow_gate(stopped).await });
        let (store, stopped) = (self.store.clone(), stop.clone());
        tasks.spawn(async move { wake::listen(store, &wake, stopped).await });
        // It beats until the last grading has ended: others take a worker without a beat for dead.
        let ended = CancellationToken::new();
        let (worker, stopped, last) = (self.clone(), stop.clone(), ended.clone());
        let beating = tokio::spawn(async move { worker.beat(stopped, last).await });
        let (worker, stopped) = (self.clone(), stop.clone());
        tasks.spawn(async move { crate::reaper::Reaper::new(worker).run(stopped).await });
        tasks.close();

        stop.cancelled().await;
        self.ready.set(Readiness::NotReady("stopping".to_owned()));
        if tokio::time::timeout(FINISH, tasks.wait()).await.is_err() {
            tracing::warn!(finish_s = FINISH.as_secs(), "handing back what is still being graded");
            finish.cancel();
            if tokio::time::timeout(HAND_BACK, tasks.wait()).await.is_err() {
                tracing::error!("stopping with gradings unfinished: their leases will expire");
            }
        }
        ended.cancel();
        if let Err(error) = beating.await {
            tracing::error!(%error, "the task that beats ended early");
        }
        if let Err(error) = self.store.forget_worker(self.claimant.id).await {
            tracing::warn!(%error, "cannot take this worker off the list");
        }
        if let Err(error) = self.store.forget_nodes(self.claimant.id).await {
            tracing::warn!(%error, "cannot take this worker's node off the list");
        }
    }

    /// Shows that this worker lives.
    async fn beat(&self, stop: CancellationToken, ended: CancellationToken) {
        let mut tick = tokio::time::interval(self.times.beat);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut node, mut gate) = (NodeNotes::default(), self.gate.changes());
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                _ = gate.changed() => {
                    node.write(self).await;
                    continue;
                }
                () = ended.cancelled() => return,
            }
            let beat = self.store.beat(&self.claimant, self.slots).await;
            if let Err(error) = &beat {
                tracing::warn!(%error, "cannot beat");
            }
            self.store_answers.store(beat.is_ok(), Ordering::Relaxed);
            self.tell_readiness(&stop);
            if beat.is_ok() {
                node.write(self).await;
            }
        }
    }

    /// Claims for whoever is free.
    async fn dispatch(
        &self,
        mut offered: mpsc::Receiver<Offer>,
        wake: &Notify,
        stop: CancellationToken,
    ) {
        let mut pace = Pace::default();
        loop {
            let offer = tokio::select! {
                offer = offered.recv() => offer,
                () = stop.cancelled() => return,
            };
            let Some(offer) = offer else { return };
            // A slot that went away meanwhile must not be claimed for.
            while !offer.is_closed() && !stop.is_cancelled() {
                match self.store.claim(&self.claimant).await {
                    Ok(Some(submission)) => {
                        pace.found();
                        metrics::counter!("portcall_claims_total").increment(1);
                        self.hand(offer, submission).await;
                        break;
                    }
                    Ok(None) => pace.nothing(),
                    Err(error) => {
                        tracing::warn!(%error, "cannot claim");
                        pace.nothing();
                    }
                }
                tokio::select! {
                    () = tokio::time::sleep(pace.pause()) => {}
                    () = wake.notified() => {}
                    () = stop.cancelled() => return,
                }
            }
        }
    }

    /// Hands a submission to the slot that it was claimed for; if that went away just then, the
    /// lease is given back.
    async fn hand(&self, offer: Offer, submission: Submission) {
        if let Err(submission) = offer.send(submission) {
            self.hand_back(&submission).await;
        }
    }

    async fn hand_back(&self, submission: &Submission) {
        let lease = self.lease(submission);
        if let Err(error) = self.store.release(lease, &one::handed_back()).await {
            tracing::warn!(%error, "cannot give a lease back; it will expire");
        }
    }

    /// Keeps one slot, and grades in it what it is given.
    async fn tend(
        &self,
        number: u32,
        offers: mpsc::Sender<Offer>,
        stop: CancellationToken,
        finish: CancellationToken,
    ) {
        while let Some(slot) = self.open(number, &stop).await {
            self.tell_readiness(&stop);
            let slot = self.serve(slot, &offers, &stop, &finish).await;
            let closed = self.close_slot(slot).await;
            self.tell_readiness(&stop);
            if let Err(error) = closed {
                tracing::warn!(slot.number = number, %error, "a slot is left to the reaper");
            }
            if stop.is_cancelled() {
                return;
            }
        }
    }

    /// Tells what the gate has come to, whenever that changes.
    async fn follow_gate(&self, stop: CancellationToken) {
        let mut changes = self.gate.changes();
        loop {
            self.tell_readiness(&stop);
            tokio::select! {
                _ = changes.changed() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn tell_readiness(&self, stop: &CancellationToken) {
        let open = self.open_slots.count();
        metrics::gauge!("portcall_slots_open").set(u32::try_from(open).unwrap_or(u32::MAX));
        let answers = self.store_answers.load(Ordering::Relaxed);
        let gate = self.gate.verdict();
        metrics::gauge!("portcall_node_fit").set(if gate == Verdict::Fit { 1 } else { 0 });
        if stop.is_cancelled() {
            return;
        }
        self.ready.set(match (gate.why(), open, answers) {
            (Some(why), ..) => Readiness::NotReady(why.to_owned()),
            (None, 0, _) => {
                Readiness::NotReady("no slot is open at the Docker endpoint".to_owned())
            }
            (None, _, false) => Readiness::NotReady("the database does not answer".to_owned()),
            (None, _, true) => Readiness::Ready,
        });
    }

    /// Opens a slot, however long it takes; none when the worker is stopping.
    async fn open(&self, number: u32, stop: &CancellationToken) -> Option<Slot> {
        let mut pauses = retry::RECONNECT.pauses();
        loop {
            if stop.is_cancelled() {
                return None;
            }
            match self.open_once(number, SlotUse::Grading).await {
                Ok(slot) => {
                    self.gate.seen(slot.node());
                    // Once for the worker is enough.
                    let warnings = self.fleet().warnings(slot.node());
                    for warning in warnings.iter().filter(|_| number == 0) {
                        tracing::warn!(node.name = slot.node().name, "{warning}");
                    }
                    tracing::info!(slot.number = number, slot.subnet = %slot.subnet(), "slot open");
                    return Some(slot);
                }
                Err(error) => {
                    tracing::warn!(slot.number = number, %error, "cannot open a slot");
                    if matches!(error, FleetError::Unreachable { .. }) {
                        self.gate.engine_lost();
                    }
                }
            }
            tokio::select! {
                again = pauses.wait() => if again == Again::No { return None },
                () = stop.cancelled() => return None,
            }
        }
    }

    /// Opens a slot, or does not.
    pub(crate) async fn open_once(&self, number: u32, used: SlotUse) -> Result<Slot, FleetError> {
        self.open_slots.change(|slots| slots.opening += 1);
        let opened = self.fleet().open_slot(number).await;
        self.open_slots.change(|slots| {
            slots.opening -= 1;
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

    /// Grades in a slot until it is no longer good or the worker is stopping.
    async fn serve(
        &self,
        slot: Slot,
        offers: &mpsc::Sender<Offer>,
        stop: &CancellationToken,
        finish: &CancellationToken,
    ) -> Slot {
        while !stop.is_cancelled() && self.alive(&slot).await {
            let mark = self.gate.mark();
            if !self.admitted(&slot, stop).await {
                continue;
            }
            let permit = tokio::select! {
                permit = offers.reserve() => permit,
                // Behind other offers: look at the slot again before it is offered.
                () = tokio::time::sleep(IDLE_LOOK) => continue,
                () = stop.cancelled() => break,
            };
            let Ok(permit) = permit else { break };
            let (offer, given) = oneshot::channel();
            permit.send(offer);
            match self.wait(&slot, given, stop).await {
                Given::One(submission) => self.guarded(&slot, *submission, mark, finish).await,
                Given::Late(submission) => self.hand_back(&submission).await,
                Given::None => {}
            }
        }
        slot
    }

    /// Whether a slot may offer itself; if not, a while has passed.
    async fn admitted(&self, slot: &Slot, stop: &CancellationToken) -> bool {
        tokio::select! {
            () = self.gate.opened() => {}
            // The slot itself is to be looked at now and then.
            () = tokio::time::sleep(IDLE_LOOK) => return false,
            () = stop.cancelled() => return false,
        }
        let node = OnNode { fleet: self.fleet(), slot };
        let room = async {
            self.make_room_in_registry().await;
            self.room.keep(&node, self.busy.since(), &self.gate).await
        };
        let room = tokio::select! {
            room = room => room,
            () = stop.cancelled() => return false,
        };
        if room == Room::Lacking {
            tokio::select! {
                () = tokio::time::sleep(IDLE_LOOK) => {}
                () = stop.cancelled() => {}
            }
        }
        room == Room::Enough
    }

    /// What the platform's own registry holds is bounded before anything is claimed that would add
    /// to it.
    async fn make_room_in_registry(&self) {
        let Some(quarantine) = &self.grader.quarantine else { return };
        if !self.room.registry_is_due(Instant::now()) {
            return;
        }
        match quarantine.make_room().await {
            Ok(made) if made.images + made.blobs > 0 => tracing::info!(
                images = made.images,
                blobs = made.blobs,
                held_bytes = made.held,
                "made room in the quarantine"
            ),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "cannot make room in the quarantine"),
        }
    }

    /// Waits for a submission while the slot is good.
    async fn wait(
        &self,
        slot: &Slot,
        mut given: oneshot::Receiver<Submission>,
        stop: &CancellationToken,
    ) -> Given {
        loop {
            tokio::select! {
                given = &mut given => match given {
                    Ok(one) if slot.prober().over().is_none() && self.gate.examined() => {
                        return Given::One(Box::new(one));
                    }
                    Ok(one) => return Given::Late(Box::new(one)),
                    Err(_) => return Given::None,
                },
                () = stop.cancelled() => break,
                () = self.gate.shut() => break,
                () = tokio::time::sleep(IDLE_LOOK) => {}
            }
            let node = OnNode { fleet: self.fleet(), slot };
            if !self.alive(slot).await || self.room.look(&node).await == Room::Lacking {
                break;
            }
        }
        // From here on nothing can be given; what was given just before must not be lost.
        given.close();
        given.await.map_or(Given::None, |one| Given::Late(Box::new(one)))
    }

    /// Grades one submission; a panic of ours costs the slot, not the worker.
    async fn guarded(
        &self,
        slot: &Slot,
        submission: Submission,
        mark: Mark,
        finish: &CancellationToken,
    ) {
        let id = submission.id;
        let one = AssertUnwindSafe(self.one(slot, submission, mark, finish)).catch_unwind();
        if one.await.is_err() {
            slot.doubt();
            tracing::error!(submission.id = %id, "a grading panicked; the reaper hands its lease back");
        }
    }

    async fn alive(&self, slot: &Slot) -> bool {
        match self.grader.fleet.slot_alive(slot).await {
            SlotHealth::Alive => true,
            SlotHealth::Lost { why } => {
                tracing::warn!(slot.number = slot.number(), why, "a slot is lost");
                metrics::counter!("portcall_slots_lost_total").increment(1);
                if slot.prober().over().is_some() {
                    self.gate.slot_lost();
                }
                false
            }
        }
    }
}
