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
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use portcall_shared::{
    domain::{ids::SubmissionId, submission::Submission},
    ops::{Readiness, Ready},
    retry::{self, Again},
    store::{
        Store,
        queue::{Claimant, Lease, Queue},
    },
};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    fleet::{Fleet, FleetError, Slot, SlotHealth},
    grade::Grader,
    lease::LeaseTimes,
    one,
    wake::{self, Pace},
};

/// How often an idle slot is looked at.
const IDLE_LOOK: Duration = Duration::from_secs(5);
/// How long gradings may go on after the worker was told to stop, before they are handed back.
pub const FINISH: Duration = Duration::from_secs(20);

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

type Offer = oneshot::Sender<Submission>;

impl Worker {
    /// Works until `stop`, then finishes or hands back what runs, and closes the slots.
    pub async fn run(&self, stop: CancellationToken) {
        let finish = CancellationToken::new();
        let (offers, offered) = mpsc::channel::<Offer>(self.slots as usize);
        let open = Arc::new(AtomicU32::new(0));
        let wake = Arc::new(Notify::new());
        let tasks = TaskTracker::new();
        for number in 0..self.slots {
            let (worker, offers, open) = (self.clone(), offers.clone(), Arc::clone(&open));
            let (stop, finish) = (stop.clone(), finish.clone());
            tasks.spawn(async move { worker.tend(number, offers, &open, stop, finish).await });
        }
        drop(offers);
        let (worker, woken, stopped) = (self.clone(), Arc::clone(&wake), stop.clone());
        tasks.spawn(async move { worker.dispatch(offered, &woken, stopped).await });
        let (store, stopped) = (self.store.clone(), stop.clone());
        tasks.spawn(async move { wake::listen(store, &wake, stopped).await });
        let (worker, stopped) = (self.clone(), stop.clone());
        tasks.spawn(async move { worker.beat(stopped).await });
        let (worker, stopped) = (self.clone(), stop.clone());
        tasks.spawn(async move { crate::reaper::Reaper::new(worker).run(stopped).await });
        tasks.close();

        stop.cancelled().await;
        self.ready.set(Readiness::NotReady("stopping".to_owned()));
        if tokio::time::timeout(FINISH, tasks.wait()).await.is_err() {
            tracing::warn!(finish_s = FINISH.as_secs(), "handing back what is still being graded");
            finish.cancel();
            tasks.wait().await;
        }
        if let Err(error) = self.store.forget_worker(self.claimant.id).await {
            tracing::warn!(%error, "cannot take this worker off the list");
        }
    }

    /// Shows that this worker lives.
    async fn beat(&self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(self.times.beat);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.cancelled() => return,
            }
            if let Err(error) = self.store.beat(&self.claimant, self.slots).await {
                tracing::warn!(%error, "cannot beat");
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
        let Err(submission) = offer.send(submission) else { return };
        let lease = self.lease(&submission);
        if let Err(error) = self.store.give_back(lease, &one::handed_back()).await {
            tracing::warn!(%error, "cannot give a lease back; it will expire");
        }
    }

    pub(crate) fn lease(&self, submission: &Submission) -> Lease {
        Lease {
            submission: submission.id,
            worker: self.claimant.id,
            generation: submission.life.generation,
        }
    }

    /// Keeps one slot, and grades in it what it is given.
    async fn tend(
        &self,
        number: u32,
        offers: mpsc::Sender<Offer>,
        open: &AtomicU32,
        stop: CancellationToken,
        finish: CancellationToken,
    ) {
        while let Some(slot) = self.open(number, &stop).await {
            self.count(open.fetch_add(1, Ordering::Relaxed) + 1);
            let slot = self.serve(slot, &offers, &stop, &finish).await;
            self.count(open.fetch_sub(1, Ordering::Relaxed) - 1);
            if let Err(error) = self.grader.fleet.close_slot(slot).await {
                tracing::warn!(slot.number = number, %error, "a slot is left to the reaper");
            }
            if stop.is_cancelled() {
                return;
            }
        }
    }

    fn count(&self, open: u32) {
        metrics::gauge!("portcall_slots_open").set(open);
        self.ready.set(match open {
            0 => Readiness::NotReady("no slot is open at the Docker endpoint".to_owned()),
            _ => Readiness::Ready,
        });
    }

    /// Opens a slot, however long it takes; none when the worker is stopping.
    async fn open(&self, number: u32, stop: &CancellationToken) -> Option<Slot> {
        let mut pauses = retry::RECONNECT.pauses();
        loop {
            if stop.is_cancelled() {
                return None;
            }
            match self.grader.fleet.open_slot(number).await {
                Ok(slot) => {
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
            let (offer, mut given) = oneshot::channel();
            if offers.send(offer).await.is_err() {
                break;
            }
            let submission = loop {
                tokio::select! {
                    given = &mut given => break given.ok(),
                    () = stop.cancelled() => {
                        given.close();
                        break given.await.ok();
                    }
                    () = tokio::time::sleep(IDLE_LOOK) => {}
                }
                if !self.alive(&slot).await {
                    // From here on nothing can be given; what was given just before is taken.
                    given.close();
                    break given.await.ok();
                }
            };
            if let Some(submission) = submission {
                self.one(&slot, submission, finish).await;
            }
        }
        slot
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

    /// The fleet.
    pub(crate) fn fleet(&self) -> &Fleet {
        &self.grader.fleet
    }
}

fn tell(number: u32, error: &FleetError) {
    tracing::warn!(slot.number = number, error = %error, "cannot open a slot");
}
