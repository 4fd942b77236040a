//! A worker of the simulation: the real dispatcher, story, lease keeper and reaper, with slots and
//! nodes that are simulated.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bson::doc;
use portcall_shared::{
    domain::{
        event::Event,
        ids::{Generation, SubmissionId, WorkerId},
    },
    store::{
        StoreError,
        entries::{Entries, Find},
        queue::{Claimant, Expiry, InFlight, Lease, Queue},
        workers::WorkerEntry,
    },
};
use portcall_worker::{
    company::Company,
    dispatch::{Dispatcher, Offer},
    fleet::{FleetError, Found, Removal, Sweep},
    lease::{Ends, LeaseTimes},
    one::Story,
    reaper::{Realm, Reaper},
    run::FINISH,
    worker::Busy,
};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    database::Client,
    endpoint::Endpoint,
    history::key,
    process::Process,
    scene::Scene,
    weather::{Plan, Plant, Truth},
};

/// The times of a lease, as they are by default.
pub(crate) const TIMES: LeaseTimes = LeaseTimes {
    beat: Duration::from_secs(10),
    stall: Duration::from_secs(20),
    lease: Duration::from_secs(30),
};
/// Between two looks at the endpoint's nodes.
const LOOK: Duration = Duration::from_secs(5);
/// Until a slot that could not be opened is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// A node as one worker sees it.
#[derive(Debug)]
pub(crate) struct Seat {
    /// How often it was lost.
    pub(crate) lost: u64,
    ends: Ends,
}

/// What the tasks of one worker share. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct Hands {
    pub(crate) who: Process,
    pub(crate) store: Client,
    pub(crate) endpoint: Endpoint,
    pub(crate) event: Arc<Event>,
    pub(crate) truths: Arc<Vec<Truth>>,
    pub(crate) busy: Busy,
    pub(crate) company: Company,
    nodes: Arc<Mutex<Vec<Seat>>>,
    slots: Arc<Mutex<BTreeSet<String>>>,
    names: Arc<AtomicU64>,
    stop: CancellationToken,
    finish: CancellationToken,
    /// It beats no more. One who is about to holds the other.
    ended: CancellationToken,
    beating: Arc<tokio::sync::Mutex<()>>,
}

impl Hands {
    pub(crate) fn new(
        who: Process,
        store: Client,
        endpoint: Endpoint,
        truths: Arc<Vec<Truth>>,
        event: Arc<Event>,
        nodes: usize,
    ) -> Self {
        let finish = CancellationToken::new();
        let seats = (0..nodes).map(|_| Seat { lost: 0, ends: Ends::under(&finish) }).collect();
        Self {
            who,
            store,
            endpoint,
            event,
            truths,
            busy: Busy::default(),
            company: Company::default(),
            nodes: Arc::new(Mutex::new(seats)),
            slots: Arc::default(),
            names: Arc::default(),
            stop: CancellationToken::new(),
            finish,
            ended: CancellationToken::new(),
            beating: Arc::default(),
        }
    }

    pub(crate) fn nodes<T>(&self, with: impl FnOnce(&mut Vec<Seat>) -> T) -> T {
        with(&mut self.nodes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn slots<T>(&self, with: impl FnOnce(&mut BTreeSet<String>) -> T) -> T {
        with(&mut self.slots.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The names of the slots that it has open.
    pub(crate) fn open_slots(&self) -> BTreeSet<String> {
        self.slots(|slots| slots.clone())
    }

    fn claimant(&self) -> Claimant {
        Claimant { id: self.who.id(), name: "simulated".to_owned() }
    }

    /// Begins to work.
    pub(crate) fn begin(&self, plan: &Plan) {
        let (offers, offered) = mpsc::channel(16);
        let dispatcher = Dispatcher {
            queue: self.store.clone(),
            claimant: self.claimant(),
            company: self.company.clone(),
        };
        let stop = self.stop.clone();
        self.who.spawn(async move { dispatcher.run(offered, &Notify::new(), stop).await });
        for seat in 0..plan.seats {
            let (hands, offers, node) = (self.clone(), offers.clone(), seat % plan.nodes);
            self.who.spawn(async move { hands.sit(node, offers).await });
        }
        let hands = self.clone();
        self.who.spawn(async move { hands.watch_nodes().await });
        let hands = self.clone();
        self.who.spawn(async move { hands.beat().await });
        let (hands, stop) = (self.clone(), self.stop.clone());
        self.who.spawn(async move { Reaper::new(hands).run(stop).await });
        if plan.plant == Some(Plant::ExpireByWallClock) {
            let hands = self.clone();
            self.who.spawn(async move { hands.compare_clocks().await });
        }
    }

    /// Ends as a worker does that is told to.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
        let hands = self.clone();
        self.who.spawn(async move {
            sleep(FINISH).await;
            hands.finish.cancel();
            while hands.busy.count() > 0 {
                sleep(AGAIN).await;
            }
            hands.slots(BTreeSet::clear);
            Reaper::new(hands.clone()).leave().await;
            hands.ended.cancel();
            let _nobody_beats = hands.beating.lock().await;
            _ = hands.store.forget(hands.who.id(), None).await;
        });
    }

    /// Keeps one slot on a node, and grades in it.
    async fn sit(&self, node: usize, offers: mpsc::Sender<Offer>) {
        let mut slot = None;
        while !self.stop.is_cancelled() {
            let is_alive = slot.as_ref().is_some_and(|name: &String| self.endpoint.runs(name));
            if !is_alive {
                if let Some(lost) = slot.take() {
                    _ = self.endpoint.remove(&self.who, &lost).await;
                    self.slots(|slots| slots.remove(&lost));
                }
                slot = self.open(node).await;
                if slot.is_none() {
                    sleep(AGAIN).await;
                }
                continue;
            }
            let mark = self.nodes(|nodes| nodes[node].lost);
            let (offer, given) = oneshot::channel();
            if offers.send(offer).await.is_err() {
                return;
            }
            let given = tokio::select! {
                biased;
                given = given => given,
                () = self.stop.cancelled() => return,
            };
            let Ok(submission) = given else { continue };
            let ends = self.nodes(|nodes| nodes[node].ends.clone());
            let scene = Scene { hands: self.clone(), node, mark };
            Story(&scene).tell(submission, &ends).await;
        }
    }

    async fn open(&self, node: usize) -> Option<String> {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        let name = format!("portcall-{}-{number}", self.who.id());
        self.slots(|slots| slots.insert(name.clone()));
        match self.endpoint.open(&self.who, self.who.id(), &name, node).await {
            Ok(()) => Some(name),
            Err(_) => {
                self.slots(|slots| slots.remove(&name));
                None
            }
        }
    }

    /// Tells gradings when their node is away, as a post does.
    async fn watch_nodes(&self) {
        loop {
            if let Ok(there) = self.endpoint.nodes(&self.who).await {
                self.nodes(|nodes| {
                    for (node, is_there) in nodes.iter_mut().zip(there) {
                        let was_lost = node.ends.node_lost.is_cancelled();
                        if !is_there && !was_lost {
                            node.lost += 1;
                            node.ends.node_lost.cancel();
                        } else if is_there && was_lost {
                            node.ends = Ends::under(&self.finish);
                        }
                    }
                });
            }
            sleep(LOOK).await;
        }
    }

    /// Whoever beats is on the list, also if it was just taken off.
    async fn beat(&self) {
        loop {
            let beating = self.beating.lock().await;
            if self.ended.is_cancelled() {
                return;
            }
            _ = self.store.beat(&self.claimant()).await;
            drop(beating);
            tokio::select! {
                () = sleep(TIMES.beat) => {}
                () = self.ended.cancelled() => {}
            }
        }
    }

    /// What must not be: ends leases of those who were not heard of lately, by this worker's clock.
    async fn compare_clocks(&self) {
        loop {
            sleep(LOOK).await;
            let filter = doc! { "state": "grading" };
            let find = Find { filter, fields: None, limit: None };
            for document in self.store.read("compare clocks", find).await.unwrap_or_default() {
                let heard = document.get_datetime("updated_at").expect("a time").timestamp_millis();
                let now = Entries::now(&self.store).unix_timestamp() * 1000;
                let id = |name| key(document.get(name)).map(uuid::Uuid::from_bytes);
                let lease = Lease {
                    submission: SubmissionId::from(id("_id").expect("an id")),
                    worker: WorkerId::from(id("worker").expect("a worker")),
                    generation: Generation(document.get_i64("generation").expect("a token")),
                };
                if now - heard > 30_000 {
                    _ = self.store.expire(InFlight { lease, beat: 0 }, Expiry::Overdue).await;
                }
            }
        }
    }
}

impl Realm for Hands {
    type Queue = Client;

    fn queue(&self) -> &Client {
        &self.store
    }

    fn own(&self) -> WorkerId {
        self.who.id()
    }

    fn lease(&self) -> Duration {
        TIMES.lease
    }

    fn has(&self, submission: SubmissionId) -> bool {
        self.busy.has(submission)
    }

    fn may_use(&self, name: &str) -> bool {
        self.slots(|slots| slots.contains(name))
    }

    async fn gauge(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn workers(&self) -> Result<Vec<WorkerEntry>, StoreError> {
        self.store.workers().await
    }

    async fn forget_silent(&self, seen: &WorkerEntry) -> Result<bool, StoreError> {
        self.store.forget(seen.id, Some(seen.beat)).await
    }

    async fn forget_nodes_without(&self, _: &HashSet<WorkerId>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn look_over(&self) -> Result<Sweep, FleetError> {
        self.endpoint.sweep(&self.who).await
    }

    async fn remove(&self, found: &Found) -> Result<Removal, FleetError> {
        self.endpoint.remove(&self.who, &found.name).await
    }
}
