//! The reaper: repairs what nobody else will.
//!
//! It takes no input, always runs on its timer, and doing it twice is the same as once. Every
//! round it
//!
//! 1. ends leases that it has itself observed not to be renewed (never by comparing clocks), and
//!    gradings that take longer than any may; hands back its own that nothing works under;
//! 2. wakes what was delayed and ends what waited too long;
//! 3. takes workers off the list that it has observed to be silent, and their nodes;
//! 4. removes containers, probers and networks at its endpoint whose worker or lease is gone.
//!
//! ```text
//!    found by label ── mac does not verify ──────────────► foreign: never touched
//!          ├── slot, prober, canary: worker on the list ─► left alone (if it is this worker:
//!          │                                               only those of its open slots)
//!          ├── workload: lease held, or busy here ───────► left alone
//!          └── otherwise: an orphan; seen so twice in a row ─► removed
//! ```
//!
//! Every worker runs one, and goes a last round for its own things when it ends. Two that do the same
//! at the same time do it once: leases end by a conditional write, and what is gone already is counted
//! as gone.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use futures::{StreamExt, stream};
use portcall_shared::{
    domain::{
        ids::{Generation, SubmissionId, WorkerId},
        state::{GRADING_LIMIT, GRADING_SLACK},
    },
    retry::RECONNECT,
    store::{
        Store, StoreError,
        observer::Observer,
        queue::{InFlight, Lease, Queue, Write},
        workers::{WorkerEntry, WorkerObserver},
    },
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    fleet::{FleetError, Found, Kind, Object, Removal, Sweep},
    hold,
    one::handed_back,
    worker::Worker,
};

/// What a reaper looks after: the store, the endpoint, and what this very worker is busy with.
pub trait Realm: Send + Sync {
    /// The queue.
    type Queue: Queue;

    /// The queue.
    fn queue(&self) -> &Self::Queue;

    /// Whose reaper it is.
    fn own(&self) -> WorkerId;

    /// Silence after which a lease ends, and a worker is dead.
    fn lease(&self) -> Duration;

    /// Whether anything of that submission is being graded or cleaned here.
    fn has(&self, submission: SubmissionId) -> bool;

    /// Whether an object of that name may belong to a slot that is in use here.
    fn may_use(&self, name: &str) -> bool;

    /// Shows people how old the queue is.
    fn gauge(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Every worker on the list.
    fn workers(&self) -> impl Future<Output = Result<Vec<WorkerEntry>, StoreError>> + Send;

    /// Takes one off it that is still as it was seen; whether it was.
    fn forget_silent(
        &self,
        seen: &WorkerEntry,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Takes the nodes of all others off their list.
    fn forget_nodes_without(
        &self,
        live: &HashSet<WorkerId>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Everything of ours at the endpoint.
    fn look_over(&self) -> impl Future<Output = Result<Sweep, FleetError>> + Send;

    /// Removes something that was found there.
    fn remove(&self, found: &Found) -> impl Future<Output = Result<Removal, FleetError>> + Send;
}

/// What one reaper knows from its earlier rounds.
pub struct Reaper<R = Worker> {
    realm: R,
    leases: Observer,
    workers: WorkerObserver,
    suspects: HashSet<String>,
    strays: BTreeSet<Lease>,
    /// Nodes of workers that are not on the list were forgotten.
    nodes_told: bool,
}

/// How many orphans are removed at once.
const REMOVALS: usize = 8;
/// How many looks the last round has, as far as there is time for them.
const LAST_LOOKS: usize = 3;

impl<R: Realm> Reaper<R> {
    /// A reaper that has seen nothing yet.
    #[must_use]
    pub fn new(realm: R) -> Self {
        let longest = (GRADING_LIMIT + GRADING_SLACK).unsigned_abs();
        let lease = realm.lease();
        Self {
            leases: Observer::new(lease, longest),
            workers: WorkerObserver::new(lease),
            suspects: HashSet::new(),
            strays: BTreeSet::new(),
            nodes_told: false,
            realm,
        }
    }

    /// Goes its rounds until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let every =
            (self.realm.lease() / 6).clamp(Duration::from_millis(200), Duration::from_secs(5));
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            self.repair().await;
        }
    }

    /// The last round, when nothing works here any more: what is still there of this worker's own
    /// goes, since no other worker may be there to find it. There is no next round either, so this
    /// one looks again: what was still going away could not be removed at once, and what was asked
    /// for without an answer may have come only now.
    pub async fn leave(self) {
        let mut pauses = RECONNECT.pauses();
        for _ in 0..LAST_LOOKS {
            match self.realm.look_over().await {
                Ok(sweep) => {
                    let own = |found: &&Found| found.worker == self.realm.own();
                    if !sweep.found.iter().any(|found| own(&found)) {
                        return;
                    }
                    self.remove_all(sweep.found.iter().filter(own)).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot look for what is left here");
                }
            }
            pauses.wait().await;
        }
    }

    /// Each part for itself: one that fails does not keep the others from their work.
    async fn repair(&mut self) {
        let told = |part: &'static str, result: Result<(), StoreError>| {
            if let Err(error) = result {
                tracing::warn!(part, %error, "the reaper could not finish");
            }
        };
        told("leases", self.end_leases().await);
        told("queue", self.sweep().await);
        match self.live_workers().await {
            Ok(live) => told("engine", self.remove_orphans(&live).await),
            Err(error) => told("workers", Err(error)),
        }
    }

    async fn sweep(&self) -> Result<(), StoreError> {
        let queue = self.realm.queue();
        let swept = queue.sweep(queue.now()).await?;
        count("woken", swept.woken);
        count("overdue", swept.overdue);
        self.realm.gauge().await
    }

    async fn end_leases(&mut self) -> Result<(), StoreError> {
        let flying = self.realm.queue().in_flight().await?;
        metrics::gauge!("portcall_grading").set(u32::try_from(flying.len()).unwrap_or(u32::MAX));
        for (seen, why) in self.leases.observe(&flying, Instant::now().into_std()) {
            hold::point("expiring").await;
            let ended = self.realm.queue().expire(seen, why).await;
            if let Err(error) = &ended {
                // One that cannot be ended must not keep the others.
                tracing::error!(submission.id = %seen.lease.submission, %error, "cannot end a lease");
            }
            if matches!(ended, Ok(Write::Applied)) {
                count("lease", 1);
                tracing::warn!(
                    submission.id = %seen.lease.submission,
                    submission.generation = seen.lease.generation.0,
                    worker.id = %seen.lease.worker,
                    ?why,
                    "ended a lease"
                );
            }
        }
        self.hand_back_strays(&flying).await;
        Ok(())
    }

    /// Hands back leases of this very worker that nothing here works under: a claim whose answer was
    /// lost, or a result that could not be written. Seen so twice in a row.
    async fn hand_back_strays(&mut self, flying: &[InFlight]) {
        let own = self.realm.own();
        let stray = |f: &&InFlight| f.lease.worker == own && !self.realm.has(f.lease.submission);
        let strays: BTreeSet<Lease> = flying.iter().filter(stray).map(|f| f.lease).collect();
        let before = std::mem::replace(&mut self.strays, strays);
        for lease in self.strays.intersection(&before) {
            let queue = self.realm.queue();
            match queue.release(*lease, &handed_back(queue.now())).await {
                Ok(_) => count("stray", 1),
                Err(error) => tracing::warn!(%error, "cannot hand a lease back"),
            }
        }
    }

    async fn live_workers(&mut self) -> Result<HashSet<WorkerId>, StoreError> {
        let listed = self.realm.workers().await?;
        let dead = self.workers.observe(&listed, Instant::now().into_std());
        let own = self.realm.own();
        let mut live: HashSet<WorkerId> = listed.iter().map(|w| w.id).chain([own]).collect();
        for worker in dead.iter().filter(|worker| worker.id != own) {
            // One that beat meanwhile stays.
            if self.realm.forget_silent(worker).await? {
                tracing::warn!(worker.id = %worker.id, worker.name, "a worker fell silent");
                live.remove(&worker.id);
                count("worker", 1);
                self.nodes_told = false;
            }
        }
        // What people see of nodes goes with its worker, also if whoever took that off the list died
        // over it.
        if !self.nodes_told {
            self.realm.forget_nodes_without(&live).await?;
            self.nodes_told = true;
        }
        Ok(live)
    }

    async fn remove_orphans(&mut self, live: &HashSet<WorkerId>) -> Result<(), StoreError> {
        let sweep = match self.realm.look_over().await {
            Ok(sweep) => sweep,
            Err(error) => {
                tracing::debug!(%error, "the engine cannot be looked over now");
                return Ok(());
            }
        };
        // Read after the look at the engine: what was started before it is held by now.
        let held: HashSet<(SubmissionId, Generation)> = self
            .realm
            .queue()
            .in_flight()
            .await?
            .iter()
            .map(|f| (f.lease.submission, f.lease.generation))
            .collect();
        metrics::gauge!("portcall_foreign_objects")
            .set(u32::try_from(sweep.foreign).unwrap_or(u32::MAX));
        let orphans: Vec<&Found> =
            sweep.found.iter().filter(|found| self.is_orphan(found, live, &held)).collect();
        let suspects = orphans.iter().map(|found| found.id.clone()).collect();
        let before = std::mem::replace(&mut self.suspects, suspects);
        let certain = orphans.into_iter().filter(|found| before.contains(&found.id));
        self.remove_all(certain).await;
        Ok(())
    }

    async fn remove_all(&self, certain: impl Iterator<Item = &Found>) {
        // Networks last: one with something in it cannot be removed.
        let (networks, others): (Vec<_>, Vec<_>) =
            certain.partition(|found| found.object == Object::Network);
        for kind in [others, networks] {
            stream::iter(kind).for_each_concurrent(REMOVALS, |found| self.remove(found)).await;
        }
    }

    fn is_orphan(
        &self,
        found: &Found,
        live: &HashSet<WorkerId>,
        held: &HashSet<(SubmissionId, Generation)>,
    ) -> bool {
        match (found.kind, found.submission) {
            (Kind::Slot | Kind::Prober | Kind::Canary, _) if found.worker == self.realm.own() => {
                !self.realm.may_use(&found.name)
            }
            (Kind::Slot | Kind::Prober | Kind::Canary, _) => !live.contains(&found.worker),
            (Kind::Workload | Kind::Service, Some(lease)) => {
                let busy = found.worker == self.realm.own() && self.realm.has(lease.0);
                !busy && !held.contains(&lease)
            }
            (Kind::Workload | Kind::Service, None) => true,
        }
    }

    async fn remove(&self, found: &Found) {
        match self.realm.remove(found).await {
            Ok(Removal::Removed) => {
                count("object", 1);
                tracing::warn!(object.name = found.name, kind = ?found.kind, "removed an orphan");
            }
            Ok(Removal::AlreadyGone) => count("gone", 1),
            Err(error) => {
                count("failed", 1);
                tracing::warn!(object.name = found.name, %error, "cannot remove an orphan");
            }
        }
    }
}

impl Realm for Worker {
    type Queue = Store;

    fn queue(&self) -> &Store {
        &self.store
    }

    fn own(&self) -> WorkerId {
        self.claimant.id
    }

    fn lease(&self) -> Duration {
        self.times.lease
    }

    fn has(&self, submission: SubmissionId) -> bool {
        self.posts.has(submission)
    }

    fn may_use(&self, name: &str) -> bool {
        self.posts.may_use(name)
    }

    async fn gauge(&self) -> Result<(), StoreError> {
        let overdue = self.store.overdue().await?;
        metrics::gauge!("portcall_overdue").set(u32::try_from(overdue).unwrap_or(u32::MAX));
        self.tell_suspects().await?;
        let ages = self.store.ages(self.store.now()).await?;
        let states =
            [("queued", ages.queued), ("delayed", ages.delayed), ("grading", ages.grading)];
        for (state, age) in states {
            let age = age.unwrap_or_default().as_seconds_f64().max(0.0);
            metrics::gauge!("portcall_oldest_age_seconds", "state" => state).set(age);
        }
        Ok(())
    }

    async fn workers(&self) -> Result<Vec<WorkerEntry>, StoreError> {
        self.store.workers().await
    }

    async fn forget_silent(&self, seen: &WorkerEntry) -> Result<bool, StoreError> {
        self.store.forget_silent(seen).await
    }

    async fn forget_nodes_without(&self, live: &HashSet<WorkerId>) -> Result<(), StoreError> {
        self.store.forget_nodes_without(live).await.map(drop)
    }

    async fn look_over(&self) -> Result<Sweep, FleetError> {
        self.nodes.sweep().await
    }

    async fn remove(&self, found: &Found) -> Result<Removal, FleetError> {
        self.nodes.remove_found(found).await
    }
}

fn count(what: &'static str, times: u64) {
    metrics::counter!("portcall_reaped_total", "what" => what).increment(times);
}
