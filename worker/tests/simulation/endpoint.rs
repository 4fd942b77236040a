//! A Docker endpoint in memory: nodes that come and go, containers that appear after nobody waits for
//! them any more, removals that fail.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use portcall_shared::domain::ids::WorkerId;
use portcall_worker::{
    fleet::{FleetError, Found, Kind, Object, Owner, Removal, Sweep, labels::Identity},
    stage::Remains,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    process::Process,
    weather::{Plan, Plant, Weather},
};

/// How long a client waits for an answer.
const CALL: Duration = Duration::from_secs(10);

/// The endpoint. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct Endpoint(Arc<Mutex<Inner>>);

struct Inner {
    rng: StdRng,
    weather: Weather,
    plant: Option<Plant>,
    nodes: Vec<Node>,
    /// By their names.
    objects: BTreeMap<String, Thing>,
    made: u64,
}

#[derive(Clone, Copy, Default)]
struct Node {
    is_away: bool,
    /// When it came back last.
    back: Option<Instant>,
}

struct Thing {
    found: Found,
    node: usize,
    /// Its answer was lost, and with it everybody's knowledge of it.
    is_hidden: bool,
}

fn unreachable(doing: &'static str) -> FleetError {
    FleetError::Unreachable { doing, detail: "the connection broke".to_owned() }
}

impl Inner {
    fn chance(&mut self, in_a_thousand: u32) -> bool {
        self.rng.random_range(0..1000) < in_a_thousand
    }

    fn make(&mut self, name: &str, identity: Identity, node: usize, object: Object) {
        if self.objects.contains_key(name) {
            return;
        }
        self.made += 1;
        let id = format!("{:08x}", self.made);
        let found = Found::new(object, &identity, name.to_owned(), id);
        self.objects.insert(name.to_owned(), Thing { found, node, is_hidden: false });
    }
}

/// What a call does on its way there and back.
struct Fate {
    there: Duration,
    fails: bool,
    loses: bool,
}

impl Endpoint {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            rng: StdRng::seed_from_u64(plan.seed ^ 0xF1EE7),
            weather: plan.weather,
            plant: plan.plant,
            nodes: vec![Node::default(); plan.nodes],
            objects: BTreeMap::new(),
            made: 0,
        })))
    }

    fn with<T>(&self, with: impl FnOnce(&mut Inner) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Draws for whoever else needs chance at a node: whether something happens.
    pub(crate) fn chance(&self, of: impl FnOnce(&Weather) -> u32) -> bool {
        self.with(|inner| {
            let in_a_thousand = of(&inner.weather);
            inner.chance(in_a_thousand)
        })
    }

    /// Draws a time.
    pub(crate) fn millis(&self, range: std::ops::Range<u64>) -> Duration {
        self.with(|inner| Duration::from_millis(inner.rng.random_range(range)))
    }

    /// From now on nothing goes wrong.
    pub(crate) fn calm(&self) {
        self.with(|inner| inner.weather = Weather::default());
        (0..self.with(|inner| inner.nodes.len())).for_each(|node| self.bring_back(node));
    }

    pub(crate) fn take_away(&self, node: usize) {
        self.with(|inner| inner.nodes[node].is_away = true);
    }

    pub(crate) fn bring_back(&self, node: usize) {
        self.with(|inner| {
            let node = &mut inner.nodes[node];
            if node.is_away {
                *node = Node { is_away: false, back: Some(Instant::now()) };
            }
        });
    }

    /// Whether a node was away at some time since then.
    pub(crate) fn was_away(&self, node: usize, since: Instant) -> bool {
        self.with(|inner| {
            let node = inner.nodes[node];
            node.is_away || node.back.is_some_and(|back| back >= since)
        })
    }

    /// What is there that is none of these.
    pub(crate) fn beside(&self, names: &BTreeSet<String>) -> Vec<String> {
        self.with(|inner| inner.objects.keys().filter(|it| !names.contains(*it)).cloned().collect())
    }

    async fn call<T: Send + 'static>(
        &self,
        who: &Process,
        doing: &'static str,
        operation: impl FnOnce(&mut Endpoint) -> Result<T, FleetError> + Send + 'static,
    ) -> Result<T, FleetError> {
        let (mut endpoint, who) = (self.clone(), who.clone());
        let exchange = async move {
            let fate = endpoint.with(|inner| {
                let weather = inner.weather;
                let slow = inner.chance(weather.fleet_slow);
                let most = if slow { 14_000 } else { 30 };
                let there = Duration::from_millis(inner.rng.random_range(1..most));
                let fails = inner.chance(weather.fleet_fails);
                Fate { there, fails, loses: inner.chance(weather.fleet_loses) }
            });
            sleep(fate.there).await;
            if !who.reaches_fleet() {
                sleep(CALL).await;
                return Err(unreachable(doing));
            }
            if fate.fails {
                let message = "something is wrong with it".to_owned();
                return Err(FleetError::Refused { doing, status: 500, message });
            }
            let done = operation(&mut endpoint);
            if fate.loses || !who.reaches_fleet() {
                return Err(unreachable(doing));
            }
            done
        };
        match timeout(CALL, tokio::spawn(exchange)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(unreachable(doing)),
            Err(_) => Err(FleetError::Deadline { doing, after: CALL }),
        }
    }

    /// The nodes, and whether each is there.
    pub(crate) async fn nodes(&self, who: &Process) -> Result<Vec<bool>, FleetError> {
        let list = |it: &mut Self| it.with(|i| Ok(i.nodes.iter().map(|n| !n.is_away).collect()));
        self.call(who, "list the nodes", list).await
    }

    /// Starts a container for a submission.
    pub(crate) async fn start(
        &self,
        who: &Process,
        owner: Owner,
        node: usize,
    ) -> Result<Workload, FleetError> {
        let name = format!("portcall-{}-{}-0", owner.submission, owner.generation);
        let identity = Identity::of_workload(Kind::Workload, &owner);
        let workload = Workload { endpoint: self.clone(), who: who.clone(), name: name.clone() };
        let made = self.make(who, &name, identity, node, Object::Container).await;
        let Err(error) = made else { return Ok(workload) };
        // As the real one does: half a workload is taken away again.
        let plant = self.with(|inner| inner.plant);
        if plant == Some(Plant::LostCreateStays) && error.is_answer_lost() {
            self.with(|inner| {
                if let Some(thing) = inner.objects.get_mut(&name) {
                    thing.is_hidden = true;
                }
            });
        } else {
            _ = self.remove(who, &name).await;
        }
        Err(error)
    }

    /// Opens a slot on a node.
    pub(crate) async fn open(
        &self,
        who: &Process,
        worker: WorkerId,
        name: &str,
        node: usize,
    ) -> Result<(), FleetError> {
        let identity = Identity::of_slot(Kind::Slot, worker);
        self.make(who, name, identity, node, Object::Network).await
    }

    async fn make(
        &self,
        who: &Process,
        name: &str,
        identity: Identity,
        node: usize,
        object: Object,
    ) -> Result<(), FleetError> {
        let made = name.to_owned();
        let make = move |it: &mut Self| {
            it.with(|inner| match inner.nodes[node].is_away {
                true => {
                    let (after, detail) = (CALL, "the node is down".to_owned());
                    Err(FleetError::Stuck { name: made, state: "pending", after, detail })
                }
                false => {
                    inner.make(&made, identity, node, object);
                    Ok(())
                }
            })
        };
        self.call(who, "make a container", make).await
    }

    /// Removes what has this name, and looks that it is gone.
    pub(crate) async fn remove(&self, who: &Process, name: &str) -> Result<Removal, FleetError> {
        let name = name.to_owned();
        let remove = move |it: &mut Self| {
            it.with(|inner| {
                let Some(thing) = inner.objects.get(&name) else {
                    return Ok(Removal::AlreadyGone);
                };
                if inner.nodes[thing.node].is_away {
                    return Err(FleetError::LeftOver { detail: name });
                }
                inner.objects.remove(&name);
                Ok(Removal::Removed)
            })
        };
        self.call(who, "remove a container", remove).await
    }

    /// Everything on the nodes that are there.
    pub(crate) async fn sweep(&self, who: &Process) -> Result<Sweep, FleetError> {
        let sweep = |it: &mut Self| {
            it.with(|inner| {
                let seen = |thing: &&Thing| !inner.nodes[thing.node].is_away && !thing.is_hidden;
                let found = inner.objects.values().filter(seen);
                Ok(Sweep { found: found.map(|thing| thing.found.clone()).collect(), foreign: 0 })
            })
        };
        self.call(who, "look over the endpoint", sweep).await
    }

    /// Whether something is there and on a node that is.
    pub(crate) fn runs(&self, name: &str) -> bool {
        self.with(|inner| {
            let thing = inner.objects.get(name);
            thing.is_some_and(|thing| !inner.nodes[thing.node].is_away)
        })
    }

    /// Whether it is there at all.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.with(|inner| inner.objects.contains_key(name))
    }
}

/// A container that was started.
pub(crate) struct Workload {
    endpoint: Endpoint,
    who: Process,
    pub(crate) name: String,
}

impl Remains for Workload {
    async fn remove(self) -> Result<(), FleetError> {
        self.endpoint.remove(&self.who, &self.name).await.map(drop)
    }
}
