//! Which posts there are, and what each is charged with.
//!
//! ```text
//!   endpoint: nodes ───────────────────┐
//!   store: orders, workers, their slots ├──► known ──► charges ──► posts, opened and closed
//!   a post: its node's name ────────────┘
//! ```
//!
//! The endpoint and the store are asked on timers of their own, so that one that does not answer
//! keeps nobody from the news of the other; what cannot be asked stays as it was last known. A post
//! is opened when its node is first seen, and closed when the node is no longer there and nothing
//! of the worker's is left on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use portcall_shared::{
    domain::ids::{SubmissionId, WorkerId},
    store::{
        StoreError,
        nodes::{NodeDuty, NodeEntry},
        orders::{MOST_SLOTS, Orders, Withheld},
    },
};
use tokio::sync::{Notify, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    dispatch::Offer,
    fleet::{Availability, FleetError, Node},
    post::{Charge, Post},
    share::{Part, Wanted, share, spread, within},
    worker::Worker,
};

/// Between two looks at the endpoint's nodes, and at what is ordered.
const LOOK: Duration = Duration::from_secs(5);
/// Until what the endpoint was told shows there.
const SOON: Duration = Duration::from_millis(500);

/// The posts of a worker. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct Posts(Arc<Inner>);

#[derive(Default)]
struct Inner {
    posts: Mutex<BTreeMap<String, Arc<Post>>>,
    known: Mutex<Known>,
    /// Something is known that was not.
    learned: Notify,
    /// The endpoint is to be looked at before its time.
    look: Notify,
    /// Something changed that others should see.
    news: Notify,
}

/// What is known; none where nothing was ever heard.
#[derive(Debug, Default)]
struct Known {
    nodes: Option<Vec<Node>>,
    orders: Option<Orders>,
    /// Those that the store lists.
    workers: BTreeSet<WorkerId>,
    /// What other workers say of nodes.
    others: Vec<NodeEntry>,
}

/// What posts need to begin their work.
pub(crate) struct Context {
    pub(crate) offers: mpsc::Sender<Offer>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) finish: CancellationToken,
}

impl Posts {
    /// Every post, in the order of their nodes' ids.
    pub(crate) fn all(&self) -> Vec<Arc<Post>> {
        self.0.posts.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// How many slots are to be kept now, over all of them.
    pub(crate) fn kept(&self) -> u32 {
        self.all().iter().map(|post| post.charge().kept()).sum()
    }

    /// Whether an object of that name may belong to a slot that is in use on any node.
    pub(crate) fn may_use(&self, name: &str) -> bool {
        self.all().iter().any(|post| post.open_slots.may_use(name))
    }

    /// Whether anything of that submission is being graded or cleaned on any node.
    pub(crate) fn has(&self, submission: SubmissionId) -> bool {
        self.all().iter().any(|post| post.busy.has(submission))
    }

    /// A node has told its name, or something else that charges follow from.
    pub(crate) fn tell_learned(&self) {
        self.0.learned.notify_one();
    }

    /// The endpoint is to be looked at before its time: a slot was lost, and perhaps its node.
    pub(crate) fn look_again(&self) {
        self.0.look.notify_one();
    }

    /// Something changed that others should see.
    pub(crate) fn tell_news(&self) {
        self.0.news.notify_one();
    }

    /// Completes when something changed that others should see.
    pub(crate) async fn news(&self) {
        self.0.news.notified().await;
    }

    /// Forgets all of them, when the worker has ended.
    pub(crate) fn clear(&self) {
        self.0.posts.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn learn(&self, learn: impl FnOnce(&mut Known)) {
        learn(&mut self.0.known.lock().unwrap_or_else(PoisonError::into_inner));
        self.tell_learned();
    }
}

impl Worker {
    /// Has posts as there are nodes, until the worker stops.
    pub(crate) async fn keep_posts(&self, context: &Context) {
        loop {
            tokio::select! {
                () = self.posts.0.learned.notified() => self.appoint(context),
                () = context.stop.cancelled() => return,
            }
        }
    }

    /// Asks the endpoint for its nodes, until `stop`.
    pub(crate) async fn watch_endpoint(&self, stop: &CancellationToken) {
        loop {
            match self.nodes.list().await {
                Ok(nodes) => self.posts.learn(|known| known.nodes = Some(nodes)),
                Err(error) => {
                    tracing::warn!(%error, "cannot ask the endpoint for its nodes: they stay as \
                        they were");
                }
            }
            let pause = match self.withhold().await {
                Told::Something => SOON,
                Told::Nothing => LOOK,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.posts.0.look.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Asks the store for what is ordered and who else is there, until `stop`.
    pub(crate) async fn watch_orders(&self, stop: &CancellationToken) {
        loop {
            if let Err(error) = self.read_orders().await {
                tracing::warn!(%error, "cannot read the orders: they stay as they were");
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn read_orders(&self) -> Result<(), StoreError> {
        let orders = self.store.orders().await?;
        let workers: BTreeSet<WorkerId> =
            self.store.workers().await?.iter().map(|worker| worker.id).collect();
        let mut others = self.store.nodes().await?;
        others.retain(|entry| entry.worker != self.claimant.id);
        let mut is_new = false;
        self.posts.learn(|known| {
            is_new = known.orders.as_ref() != Some(&orders);
            (known.orders, known.workers, known.others) = (Some(orders), workers, others);
        });
        if is_new {
            self.posts.look_again();
        }
        Ok(())
    }

    /// Opens a post for each node that is new, charges every one, and closes those that are over.
    fn appoint(&self, context: &Context) {
        let known = self.posts.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(nodes) = &known.nodes else { return };
        let mut posts = self.posts.0.posts.lock().unwrap_or_else(PoisonError::into_inner);
        for node in nodes.iter().filter(|_| !context.stop.is_cancelled()) {
            posts.entry(node.id.clone()).or_insert_with(|| self.open_post(node, context));
        }
        let sights: Vec<Sight> = nodes.iter().map(|node| sight(node, &posts)).collect();
        let charges = charges(&sights, &known, self.claimant.id, self.slots);
        for (sight, charge) in sights.iter().zip(charges) {
            if let Some(post) = posts.get(&sight.id) {
                post.appoint(charge);
            }
        }
        posts.retain(|id, post| {
            if nodes.iter().any(|node| node.id == *id) {
                return true;
            }
            post.appoint(gone(post));
            let over = post.is_idle();
            if over {
                tracing::info!(node.name = post.name(), "a post is closed");
                post.close.cancel();
            }
            !over
        });
        drop((posts, known));
        self.posts.tell_news();
        self.tell_readiness(&context.stop);
    }

    fn open_post(&self, node: &Node, context: &Context) -> Arc<Post> {
        let (fleet, name) = (node.fleet.clone(), node.name.clone());
        let Context { offers, tasks, stop, finish } = context;
        let post = Arc::new(Post::new(self, node.id.clone(), name, fleet, stop, finish));
        tracing::info!(node.id, node.name, "a post is opened");
        tasks.spawn(Arc::clone(&post).run(offers.clone(), finish.clone()));
        post
    }

    /// Tells the endpoint what operators ordered: to keep other work away from a node that is
    /// drained, once no worker has anything there, and no longer from one that is not.
    async fn withhold(&self) -> Told {
        let mut told = Told::Nothing;
        for (node, wish) in self.wishes() {
            match self.carry_out(&node, &wish).await {
                Ok(()) => told = Told::Something,
                Err(error) => {
                    tracing::warn!(node.name = wish.name, %error, "cannot carry out an order");
                }
            }
        }
        told
    }

    async fn carry_out(&self, node: &str, wish: &Wish) -> Result<(), Undone> {
        let active = wish.withheld == Withheld::NotByWorker;
        if !active && !wish.noted {
            self.store.note_withheld(&wish.name, wish.withheld).await?;
        }
        let availability = if active { Availability::Active } else { Availability::Drained };
        self.nodes.set_availability(node, &availability).await?;
        if active {
            self.store.note_withheld(&wish.name, wish.withheld).await?;
        }
        self.posts.learn(|known| {
            let nodes = known.orders.as_mut().map(|orders| &mut orders.nodes);
            if let Some(node) = nodes.and_then(|nodes| nodes.get_mut(&wish.name)) {
                node.withheld = !active;
            }
        });
        Ok(())
    }

    /// What is still to be told the endpoint, by the nodes' ids.
    fn wishes(&self) -> Vec<(String, Wish)> {
        let known = self.posts.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let posts = self.posts.0.posts.lock().unwrap_or_else(PoisonError::into_inner);
        let nodes = known.nodes.iter().flatten();
        let wish = |node: &Node| {
            let idle = posts.get(&node.id).is_none_or(|post| post.is_idle());
            Some((node.id.clone(), wish(&sight(node, &posts), idle, &known)?))
        };
        nodes.filter_map(wish).collect()
    }
}

/// Whether the endpoint was told something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Something,
    Nothing,
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
enum Undone {
    #[error("the store cannot")]
    Store(#[from] StoreError),
    #[error("the endpoint does not")]
    Endpoint(#[from] FleetError),
}

/// What the endpoint is to be told of a node.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    name: String,
    withheld: Withheld,
    /// The store has it already.
    noted: bool,
}

/// Only of nodes whose room is shared: to a plain engine the endpoint brings nothing by itself.
fn wish(node: &Sight, own_idle: bool, known: &Known) -> Option<Wish> {
    node.room?;
    let (name, orders) = (node.name.as_ref()?, known.orders.as_ref()?);
    let wish = |withheld, noted| Some(Wish { name: name.clone(), withheld, noted });
    let noted = orders.withheld(name);
    match (orders.drained(name), &node.availability) {
        (Some(_), Availability::Active) => {
            let mut others = known.others.iter().filter(|entry| entry.post == node.id);
            let idle = own_idle && others.all(|entry| entry.duty == NodeDuty::Drained);
            wish(Withheld::ByWorker, noted).filter(|_| idle)
        }
        (None, _) if noted => wish(Withheld::NotByWorker, noted),
        _ => None,
    }
}

/// A node, as far as charges follow from it.
#[derive(Clone, Debug)]
struct Sight {
    id: String,
    name: Option<String>,
    room: Option<u32>,
    availability: Availability,
    /// How many slots this worker has open there.
    open: u32,
}

fn sight(node: &Node, posts: &BTreeMap<String, Arc<Post>>) -> Sight {
    let post = posts.get(&node.id);
    Sight {
        id: node.id.clone(),
        name: post.and_then(|post| post.name()).or_else(|| node.name.clone()),
        room: node.slots,
        availability: node.availability.clone(),
        open: post.map_or(0, |post| u32::try_from(post.open_slots.count()).unwrap_or(u32::MAX)),
    }
}

/// What each post is to do.
fn charges(sights: &[Sight], known: &Known, own: WorkerId, most: u32) -> Vec<Charge> {
    let mut charges: Vec<Charge> = sights.iter().map(|sight| charge(sight, known)).collect();
    let mut workers = known.workers.clone();
    workers.insert(own);
    let mut shared = Vec::new();
    for (at, (sight, charge)) in sights.iter().zip(&mut charges).enumerate() {
        let ordered = known.orders.as_ref().zip(sight.name.as_ref());
        let ordered = ordered.and_then(|(orders, name)| orders.slots(name));
        match sight.room {
            None => {
                charge.slots = ordered.unwrap_or(most).min(MOST_SLOTS);
                charge.part = Some(Part::WHOLE);
            }
            Some(room) => {
                let room = ordered.map_or(room, |ordered| room.min(ordered)).min(MOST_SLOTS);
                charge.room = Some(room);
                if charge.serves() {
                    let share = share(&sight.id, &workers, own, room);
                    // Its share, and not what it keeps: what it does not want nobody else gets.
                    charge.part = Some(Part { slots: share, room });
                    let others = known.others.iter().filter(|entry| entry.post == sight.id);
                    let others = others.map(|entry| entry.open).sum();
                    let slots = within(room, share, sight.open, others);
                    shared.push((at, Wanted { node: sight.id.clone(), slots }));
                }
            }
        }
    }
    let (places, wanted): (Vec<usize>, Vec<Wanted>) = shared.into_iter().unzip();
    for (at, slots) in places.into_iter().zip(spread(own, &wanted, most)) {
        charges[at].slots = slots;
    }
    charges
}

/// What a post is to do, but for the number of its slots.
fn charge(sight: &Sight, known: &Known) -> Charge {
    let named = known.orders.as_ref().zip(sight.name.as_ref());
    let name = sight.name.as_deref().unwrap_or("at the Docker endpoint");
    let ordered = named.and_then(|(orders, name)| orders.drained(name));
    let ordered = ordered.map(|order| format!("node {name} was drained by {}", order.by));
    let (elsewhere, down) = match &sight.availability {
        Availability::Active => (None, None),
        Availability::Drained => (Some(format!("node {name} is drained at its endpoint")), None),
        Availability::Down { why } => {
            (None, Some(format!("node {name} is not to be reached: {why}")))
        }
    };
    Charge {
        slots: 0,
        room: None,
        part: None,
        known: named.is_some(),
        canary: named.map_or(0, |(orders, name)| orders.canary(name)),
        drained: ordered.or(elsewhere),
        down,
    }
}

/// What a post is to do whose node is no longer there.
fn gone(post: &Post) -> Charge {
    let name = post.name();
    let name = name.as_deref().unwrap_or(&post.id);
    let why = format!("node {name} is no grader node any more");
    Charge { drained: Some(why), ..post.charge() }
}

#[cfg(test)]
mod tests;
