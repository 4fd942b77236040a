//! A swarm: grader nodes behind managers.
//!
//! ```text
//!   worker ── TLS ──► a manager that answers ── swarm ──► a grader node (worker, portcall.grader=1)
//!      │              ┌─────────┐                         ┌─────────────────────────────────┐
//!      └─ attached ──►│ prober  │◄── overlay, internal ──►│ anchor   vote   result   redis  │
//!                     └─────────┘    10.213.x.y/28        └─────────────────────────────────┘
//! ```
//!
//! A slot is an overlay of its own. Its prober is a plain container on the manager that answered when
//! it was opened: managers have to be active for that (an engine 20.10 lets no container into an overlay
//! on a drained node), and strangers are kept from them by each service's constraints. On the grader node
//! the anchor, a service of ours, keeps the overlay there: an engine takes a network down when its last
//! container leaves, and a start at that moment fails. Strangers' containers are services with one task
//! each: made without one, read back whole, and only then given it.
//!
//! The scheduler decides nothing: every service names its node. What it says when that node cannot take
//! a task becomes the platform's fault, in its own words ([`tasks`]).
//!
//! What is of a manager that died is found by [`Swarm::sweep`] when it is back; what is of the swarm,
//! through any other.

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use portcall_shared::domain::{ids::WorkerId, image::RegistryHost};

use super::{
    EngineSettings, Images,
    endpoint::Endpoint,
    engine::EngineFleet,
    error::FleetError,
    facts::NodeFacts,
    given_id::GivenId,
    labels::LabelKey,
    own_image::OwnImage,
    request::{NodeSettings, RootQuota},
    subnet::SubnetPool,
    sweep::{Found, Removal, Sweep},
};
use crate::probe::anchor::Word;

mod nodes;
mod own;
mod processors;
mod readback;
mod removal;
mod request;
mod services;
mod slots;
mod tasks;
mod watch;
mod workloads;

use self::own::OwnImages;
pub use self::{processors::Processors, tasks::StartTimes};
pub(super) use self::{slots::Far, watch::Watch};

/// Reading what managers have in memory.
const READ: Duration = Duration::from_secs(6);
/// Making, changing and removing: managers agree on it first.
const WRITE: Duration = Duration::from_secs(10);
/// Reading a service's log.
const LOGS: Duration = Duration::from_secs(10);
/// From a removal until it is seen to be done.
const GONE: Duration = Duration::from_secs(30);
/// The same for what was left behind: where its node or manager is down it stays for now, and is
/// looked for again.
const LEFT: Duration = Duration::from_secs(8);

/// What a fleet on a swarm must know.
#[derive(Clone, Debug)]
pub struct SwarmSettings {
    /// The managers: `unix:///var/run/docker.sock`, `tcp://host:port` or `http://host:port`.
    pub hosts: Vec<String>,
    /// A folder with `ca.pem`, `cert.pem` and `key.pem`: `tcp://` addresses are then spoken to over
    /// mutual TLS.
    pub certs: Option<PathBuf>,
    /// The worker that makes slots here.
    pub worker: WorkerId,
    /// The key that labels are signed with.
    pub key: LabelKey,
    /// The static prober binary.
    pub prober: PathBuf,
    /// The static canary binary.
    pub canary: PathBuf,
    /// Where the subnets of slots come from.
    pub pool: SubnetPool,
    /// Whether the grader nodes' storage bounds writable roots (`overlay2.size` in their
    /// `daemon.json`): a swarm cannot be asked what a container wrote.
    pub root_quota: RootQuota,
    /// The platform's own registry, from which alone the nodes pull.
    pub quarantine: RegistryHost,
    /// Which registries are spoken to in plain HTTP.
    pub http_registries: Vec<RegistryHost>,
}

/// A swarm, as one worker sees it.
#[derive(Debug)]
pub struct Swarm {
    settings: SwarmSettings,
    endpoint: Endpoint,
    /// The managers as engines, for the probers' containers; in the order of the endpoint.
    managers: Vec<EngineFleet>,
    own: OwnImages,
    /// The ways to the nodes that were seen so far.
    fleets: Mutex<HashMap<String, Arc<SwarmFleet>>>,
}

/// One grader node of a swarm.
#[derive(Debug)]
pub struct SwarmFleet {
    swarm: Arc<Swarm>,
    node: String,
    /// What stands for the node's own settings here.
    pub(super) settings: NodeSettings,
    /// What an anchor said last of it.
    told: Mutex<Option<Word>>,
    /// Anchors that were to go and were not seen to be gone.
    left: Mutex<BTreeSet<GivenId>>,
}

impl Swarm {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// [`FleetError::Address`] if an address is none, [`FleetError::Certificates`].
    pub(super) fn new(settings: SwarmSettings) -> Result<Self, FleetError> {
        let endpoint = Endpoint::new(&settings.hosts, settings.certs.as_deref())?;
        let managers = endpoint.managers().iter().map(|address| {
            let own = EngineSettings {
                host: address.to_string(),
                certs: settings.certs.clone(),
                worker: settings.worker,
                key: settings.key.clone(),
                prober: settings.prober.clone(),
                canary: settings.canary.clone(),
                pool: settings.pool,
                // What an operator decides for strangers' containers is no matter of a manager's.
                node: NodeSettings::default(),
                images: Images::Pinned,
            };
            EngineFleet::at(Arc::clone(address), own)
        });
        let own = OwnImages::new(
            &settings.quarantine,
            &settings.http_registries,
            settings.prober.clone(),
            settings.canary.clone(),
        );
        Ok(Self { managers: managers.collect(), endpoint, own, fleets: Mutex::default(), settings })
    }

    /// The way to a node: always the same one, so that what was learned of it stays known.
    pub(super) fn fleet(self: &Arc<Self>, node: &str) -> Arc<SwarmFleet> {
        let mut fleets = self.fleets.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            Arc::new(SwarmFleet {
                swarm: Arc::clone(self),
                node: node.to_owned(),
                settings: NodeSettings {
                    root_quota: self.settings.root_quota,
                    ..NodeSettings::default()
                },
                told: Mutex::default(),
                left: Mutex::default(),
            })
        };
        Arc::clone(fleets.entry(node.to_owned()).or_insert_with(new))
    }
}

impl SwarmFleet {
    /// What the swarm says of the node, and what an anchor said last.
    pub(super) async fn facts(&self) -> Result<NodeFacts, FleetError> {
        let told = *self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (node, name) = self.swarm.named_node(&self.node).await?;
        NodeFacts::of_task_node(node, name, told)
    }

    fn tell(&self, word: Word) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(word);
    }

    /// What an image declares, as the platform's own registry has it.
    pub(super) async fn image_declares(
        &self,
        image: &str,
    ) -> Result<super::ImageDeclares, FleetError> {
        let arch = self.facts().await?.arch;
        self.swarm.own.declares(image, &arch).await
    }

    /// Sees to it that the nodes can pull an image of ours; gives its name.
    pub(super) async fn own_image(
        &self,
        own: OwnImage,
        node: &NodeFacts,
    ) -> Result<String, FleetError> {
        self.swarm.own.put(own, &node.os, &node.arch).await
    }

    /// The worker that makes slots here.
    pub(super) fn worker(&self) -> WorkerId {
        self.swarm.settings.worker
    }

    /// Everything of ours at the whole endpoint.
    pub(super) async fn sweep(&self) -> Result<Sweep, FleetError> {
        self.swarm.sweep().await
    }

    /// Removes what a sweep found.
    pub(super) async fn remove_found(&self, found: &Found) -> Result<Removal, FleetError> {
        self.swarm.remove_found(found).await
    }
}

#[cfg(test)]
mod tests;
