//! The reaper: repairs what nobody else will.
//!
//! It takes no input, always runs on its timer, and doing it twice is the same as once. Every
//! round it
//!
//! 1. ends leases that it has itself observed not to be renewed (never by comparing clocks), and
//!    gradings that take longer than any may;
//! 2. wakes what was delayed and ends what waited too long;
//! 3. takes workers off the list that it has observed to be silent;
//! 4. removes containers, probers and networks at its engine whose worker or lease is gone.
//!
//! ```text
//!    found by label ── mac does not verify ──────────────► foreign: never touched
//!          ├── slot, prober: worker on the list ─────────► left alone
//!          ├── workload: lease held, or busy here ───────► left alone
//!          └── otherwise: an orphan; seen so twice in a row ─► removed
//! ```
//!
//! Every worker runs one. Two that do the same at the same time do it once: leases end by a
//! conditional write, and what is gone already is counted as gone.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use portcall_shared::{
    domain::{
        ids::{Generation, SubmissionId, WorkerId},
        state::{GRADING_LIMIT, GRADING_SLACK},
    },
    store::{
        StoreError,
        observer::Observer,
        queue::{Queue, Write},
        workers::WorkerObserver,
    },
};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::{
    fleet::{Found, Kind, Removal},
    run::Worker,
};

/// What one reaper knows from its earlier rounds.
pub struct Reaper {
    worker: Worker,
    leases: Observer,
    workers: WorkerObserver,
    suspects: HashSet<String>,
}

impl Reaper {
    /// A reaper that has seen nothing yet.
    #[must_use]
    pub fn new(worker: Worker) -> Self {
        let longest = (GRADING_LIMIT + GRADING_SLACK).unsigned_abs();
        let lease = worker.times.lease;
        Self {
            leases: Observer::new(lease, longest),
            workers: WorkerObserver::new(lease),
            suspects: HashSet::new(),
            worker,
        }
    }

    /// Goes its rounds until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let every =
            (self.worker.times.lease / 6).clamp(Duration::from_millis(200), Duration::from_secs(5));
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.cancelled() => return,
            }
            if let Err(error) = self.repair().await {
                tracing::warn!(%error, "the reaper could not finish its round");
            }
        }
    }

    async fn repair(&mut self) -> Result<(), StoreError> {
        self.end_leases().await?;
        let swept = self.worker.store.sweep(OffsetDateTime::now_utc()).await?;
        count("woken", swept.woken);
        count("overdue", swept.overdue);
        let live = self.live_workers().await?;
        self.remove_orphans(&live).await
    }

    async fn end_leases(&mut self) -> Result<(), StoreError> {
        let flying = self.worker.store.in_flight().await?;
        metrics::gauge!("portcall_grading").set(u32::try_from(flying.len()).unwrap_or(u32::MAX));
        for (seen, why) in self.leases.observe(&flying, Instant::now()) {
            if self.worker.store.expire(seen, why).await? == Write::Applied {
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
        Ok(())
    }

    async fn live_workers(&mut self) -> Result<HashSet<WorkerId>, StoreError> {
        let listed = self.worker.store.workers().await?;
        let dead = self.workers.observe(&listed, Instant::now());
        for id in &dead {
            if *id != self.worker.claimant.id {
                tracing::warn!(worker.id = %id, "a worker fell silent");
                self.worker.store.forget_worker(*id).await?;
                count("worker", 1);
            }
        }
        let own = [self.worker.claimant.id];
        Ok(listed.iter().map(|w| w.id).filter(|id| !dead.contains(id)).chain(own).collect())
    }

    async fn remove_orphans(&mut self, live: &HashSet<WorkerId>) -> Result<(), StoreError> {
        let sweep = match self.worker.fleet().sweep().await {
            Ok(sweep) => sweep,
            Err(error) => {
                tracing::debug!(%error, "the engine cannot be looked over now");
                return Ok(());
            }
        };
        // Read after the look at the engine: what was started before it is held by now.
        let held: HashSet<(SubmissionId, Generation)> = self
            .worker
            .store
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
        for found in orphans.into_iter().filter(|found| before.contains(&found.id)) {
            self.remove(found).await;
        }
        Ok(())
    }

    fn is_orphan(
        &self,
        found: &Found,
        live: &HashSet<WorkerId>,
        held: &HashSet<(SubmissionId, Generation)>,
    ) -> bool {
        match (found.kind, found.submission) {
            (Kind::Slot | Kind::Prober, _) => !live.contains(&found.worker),
            (Kind::Workload | Kind::Service, Some(lease)) => {
                let busy = found.worker == self.worker.claimant.id && self.worker.busy.has(lease.0);
                !busy && !held.contains(&lease)
            }
            (Kind::Workload | Kind::Service, None) => true,
        }
    }

    async fn remove(&self, found: &Found) {
        match self.worker.fleet().remove_found(found).await {
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

fn count(what: &'static str, times: u64) {
    metrics::counter!("portcall_reaped_total", "what" => what).increment(times);
}
