//! The worker's loop: [posts](crate::post) on nodes, each with slots; one dispatcher that claims for
//! whichever slot is free; the reaper beside.
//!
//! ```text
//!   feed ─► wake ─► dispatcher ── claim ──► a free slot's task ── grade ─► settle ─► clean
//!                       ▲                          │
//!                       └────── "I am free" ◄──────┘
//! ```
//!
//! When no node is there or none is fit, nothing is claimed, and what waits is not harmed. Nodes,
//! endpoint and database may go away and come back at any time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use portcall_shared::{
    ops::Readiness,
    store::{Store, nodes::NodeDuty},
};
use tokio::sync::{Notify, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    dispatch::{Dispatcher, Offer},
    gate::Verdict,
    notes::{NodeNotes, What},
    posts::Context,
    reaper::Reaper,
    wake,
    worker::Worker,
};

/// How often an idle slot is looked at.
pub(crate) const IDLE_LOOK: Duration = Duration::from_secs(5);
/// How long gradings may go on after the worker was told to stop, or a node was drained, before
/// they are handed back.
pub const FINISH: Duration = Duration::from_secs(20);
/// How long handing back and cleaning may take after that.
const HAND_BACK: Duration = Duration::from_secs(60);
/// How long looking for what is left of this worker's own may take, and removing it.
const LAST_ROUND: Duration = Duration::from_secs(20);
/// How many offers may wait: more than there are slots.
const OFFERS: usize = 256;

impl Worker {
    /// Works until `stop`, then finishes or hands back what runs, and closes the slots.
    pub async fn run(&self, stop: CancellationToken) {
        let finish = CancellationToken::new();
        let (offers, offered) = mpsc::channel::<Offer>(OFFERS);
        let wake = Arc::new(Notify::new());
        let tasks = TaskTracker::new();
        let (worker, finishing) = (self.clone(), finish.clone());
        let context =
            Context { offers, tasks: tasks.clone(), stop: stop.clone(), finish: finishing };
        tasks.spawn(async move { worker.keep_posts(&context).await });
        let (worker, stopped) = (self.clone(), stop.clone());
        tasks.spawn(async move { worker.watch_endpoint(&stopped).await });
        let (worker, stopped) = (self.clone(), stop.clone());
        tasks.spawn(async move { worker.watch_orders(&stopped).await });
        let (dispatcher, woken, stopped) = (self.dispatcher(), Arc::clone(&wake), stop.clone());
        tasks.spawn(async move { dispatcher.run(offered, &woken, stopped).await });
        let (store, stopped) = (self.store.clone(), stop.clone());
        tasks.spawn(async move { wake::listen(store, &wake, stopped).await });
        // It beats until the last grading has ended: others take a worker without a beat for dead.
        let ended = CancellationToken::new();
        let (worker, stopped, last) = (self.clone(), stop.clone(), ended.clone());
        let beating = tokio::spawn(async move { worker.beat(stopped, last).await });
        let (worker, stopped) = (self.clone(), stop.clone());
        tasks.spawn(async move { Reaper::new(worker).run(stopped).await });
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
        if tokio::time::timeout(LAST_ROUND, Reaper::new(self.clone()).leave()).await.is_err() {
            tracing::warn!("stopping with something left at the endpoint: other workers remove it");
        }
        ended.cancel();
        if let Err(error) = beating.await {
            tracing::error!(%error, "the task that beats ended early");
        }
        if let Err(error) = self.store.forget_worker(self.claimant.id).await {
            tracing::warn!(%error, "cannot take this worker off the list");
        }
        if let Err(error) = self.store.forget_nodes(self.claimant.id).await {
            tracing::warn!(%error, "cannot take this worker's nodes off the list");
        }
        self.posts.clear();
    }

    /// Shows that this worker lives, and what it knows of its nodes.
    async fn beat(&self, stop: CancellationToken, ended: CancellationToken) {
        let mut tick = tokio::time::interval(self.times.beat);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut nodes, mut shown) = (NodeNotes::default(), None);
        loop {
            let what = tokio::select! {
                _ = tick.tick() => What::All,
                () = self.posts.news() => What::Changed,
                () = ended.cancelled() => return,
            };
            let slots = self.posts.kept();
            if what == What::All || shown != Some(slots) {
                let beat = self.store.beat(&self.claimant, slots).await;
                if let Err(error) = &beat {
                    tracing::warn!(%error, "cannot beat");
                }
                self.store_answers.note(&beat);
                self.tell_readiness(&stop);
                shown = beat.is_ok().then_some(slots);
            }
            if shown.is_some() {
                nodes.write(self, what).await;
            }
        }
    }

    /// Who claims for this worker's slots.
    pub(crate) fn dispatcher(&self) -> Dispatcher<Store> {
        Dispatcher {
            queue: self.store.clone(),
            claimant: self.claimant.clone(),
            company: self.company.clone(),
        }
    }

    /// Tells how the posts stand: it is ready with one that can grade.
    pub(crate) fn tell_readiness(&self, stop: &CancellationToken) {
        let posts = self.posts.all();
        metrics::gauge!("portcall_posts").set(count(posts.len()));
        let (mut can, mut obstacles) = (false, Vec::new());
        let mut states: BTreeMap<&str, u32> = STATES.map(|state| (state, 0)).into();
        for post in &posts {
            match post.obstacle() {
                None => can = true,
                Some(why) => obstacles.push(why),
            }
            let state = match post.duty() {
                NodeDuty::Serving => post.state().0.as_str(),
                away => away.as_str(),
            };
            *states.entry(state).or_default() += 1;
            let Some(node) = post.name() else { continue };
            let fit = post.gate.verdict() == Verdict::Fit && post.charge().serves();
            metrics::gauge!("portcall_node_fit", "node" => node.clone()).set(u32::from(fit));
            metrics::gauge!("portcall_slots_open", "node" => node.clone())
                .set(count(post.open_slots.count()));
            metrics::gauge!("portcall_slots_busy", "node" => node).set(count(post.busy.count()));
        }
        for (state, nodes) in states {
            metrics::gauge!("portcall_nodes", "state" => state).set(nodes);
        }
        if stop.is_cancelled() {
            return;
        }
        self.ready.set(match (can, self.store_answers.did()) {
            (false, _) if obstacles.is_empty() => {
                Readiness::NotReady("there is no node to grade on".to_owned())
            }
            (false, _) => Readiness::NotReady(obstacles.join("; ")),
            (true, false) => Readiness::NotReady("the database does not answer".to_owned()),
            (true, true) => Readiness::Ready,
        });
    }
}

/// The states of nodes that are counted, also where there are none.
const STATES: [&str; 7] = ["fit", "unfit", "unchecked", "full", "draining", "drained", "down"];

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
