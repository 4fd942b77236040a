//! The worker's loop: N slots, one dispatcher that claims for whoever is free, the reaper beside.
//!
//! ```text
//!   feed ─► wake ─► dispatcher ── claim ──► a free slot's task ── grade ─► settle ─► clean
//!                       ▲                          │
//!                       └────── "I am free" ◄──────┘
//! ```
//!
//! A slot's task says that it is free only with a slot that has just been seen alive: when the
//! engine is away nothing is claimed, and what waits is not harmed. Both the engine and the
//! database may go away and come back at any time.

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
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    fleet::{FleetError, Slot, SlotHealth},
    one,
    wake::{self, Pace},
    worker::Worker,
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
    }

    /// Shows that this worker lives.
    async fn beat(&self, stop: CancellationToken, ended: CancellationToken) {
        let mut tick = tokio::time::interval(self.times.beat);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = ended.cancelled() => return,
            }
            let beat = self.store.beat(&self.claimant, self.slots).await;
            if let Err(error) = &beat {
                tracing::warn!(%error, "cannot beat");
            }
            self.store_answers.store(beat.is_ok(), Ordering::Relaxed);
            self.tell_readiness(&stop);
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
            let name = slot.network_name().to_owned();
            let closed = self.grader.fleet.close_slot(slot).await;
            self.open_slots.change(|slots| _ = slots.open.remove(&name));
            self.tell_readiness(&stop);
            if let Err(error) = closed {
                tracing::warn!(slot.number = number, %error, "a slot is left to the reaper");
            }
            if stop.is_cancelled() {
                return;
            }
        }
    }

    fn tell_readiness(&self, stop: &CancellationToken) {
        let open = self.open_slots.count();
        metrics::gauge!("portcall_slots_open").set(u32::try_from(open).unwrap_or(u32::MAX));
        let answers = self.store_answers.load(Ordering::Relaxed);
        if stop.is_cancelled() {
            return;
        }
        self.ready.set(match (open, answers) {
            (0, _) => Readiness::NotReady("no slot is open at the Docker endpoint".to_owned()),
            (_, false) => Readiness::NotReady("the database does not answer".to_owned()),
            (_, true) => Readiness::Ready,
        });
    }

    /// Opens a slot, however long it takes; none when the worker is stopping.
    async fn open(&self, number: u32, stop: &CancellationToken) -> Option<Slot> {
        let mut pauses = retry::RECONNECT.pauses();
        loop {
            if stop.is_cancelled() {
                return None;
            }
            self.open_slots.change(|slots| slots.opening += 1);
            let opened = self.grader.fleet.open_slot(number).await;
            self.open_slots.change(|slots| {
                slots.opening -= 1;
                slots.open.extend(opened.as_ref().ok().map(|slot| slot.network_name().to_owned()));
            });
            match opened {
                Ok(slot) => {
                    // Once for the worker is enough.
                    if let Some(warning) = self.fleet().warning(slot.node()).filter(|_| number == 0)
                    {
                        tracing::warn!(node.name = slot.node().name, "{warning}");
                    }
                    tracing::info!(slot.number = number, slot.subnet = %slot.subnet(), "slot open");
                    return Some(slot);
                }
                Err(error) => tell(number, &error),
            }
            tokio::select! {
                again = pauses.wait() => if again == Again::No { return None },
                () = stop.cancelled() => return None,
            }
        }
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
                Given::One(submission) => self.guarded(&slot, *submission, finish).await,
                Given::Late(submission) => self.hand_back(&submission).await,
                Given::None => {}
            }
        }
        slot
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
                    Ok(one) if slot.prober().over().is_none() => return Given::One(Box::new(one)),
                    Ok(one) => return Given::Late(Box::new(one)),
                    Err(_) => return Given::None,
                },
                () = stop.cancelled() => break,
                () = tokio::time::sleep(IDLE_LOOK) => {}
            }
            if !self.alive(slot).await {
                break;
            }
        }
        // From here on nothing can be given; what was given just before must not be lost.
        given.close();
        given.await.map_or(Given::None, |one| Given::Late(Box::new(one)))
    }

    /// Grades one submission; a panic of ours costs the slot, not the worker.
    async fn guarded(&self, slot: &Slot, submission: Submission, finish: &CancellationToken) {
        let id = submission.id;
        let one = AssertUnwindSafe(self.one(slot, submission, finish)).catch_unwind();
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
                false
            }
        }
    }
}

fn tell(number: u32, error: &FleetError) {
    tracing::warn!(slot.number = number, error = %error, "cannot open a slot");
}
