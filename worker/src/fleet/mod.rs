//! Where strangers' containers run.
//!
//! ```text
//!   node ─────────────────────────────────────────────────────────────
//!    slot 0: internal network 10.213.x.y/28     slot 1: …
//!    ┌────────────────────────────────────┐    ┌──────────────────┐
//!    │ prober ──► vote ◄──► result, redis │    │ prober           │
//!    └───▲────────────────────────────────┘    └───▲──────────────┘
//!        │ stdin, stdout (attached)                │
//!   ─────┼─────────────────────────────────────────┼──────────────────
//!      worker: open_slot · pull · start → Workload · remove · close_slot
//! ```
//!
//! A [`Fleet`] is one way to a Docker endpoint. It hands out [`Slot`]s, private networks with a
//! prober in them, and starts [`Workload`]s in them, the containers of one submission:
//!
//! ```ignore
//! fleet.pull(&image, within).await?;
//! let workload = fleet.start(&slot, &owner, &specs).await?;
//! let observation = slot.prober().ask(question).await?;
//! let states = fleet.states(&workload).await?;
//! workload.remove().await?;
//! ```
//!
//! What holds for everything in here:
//! - The request for a container is a pure function ([`request`]) of its spec, its [`limits`] and
//!   its place; what the engine stored is read back whole ([`readback`]) before it is started.
//! - Nothing is ever executed inside a container, copied in or out of it, mounted from the node
//!   or published from it.
//! - Every object of ours wears signed [`labels`]; what is not ours is never touched.
//! - Every call has a deadline. No state of the engine is kept that could not be made again, and
//!   each call connects anew: an engine that was away is found again by the next call.
//! - A removal is finished when the object was seen to be gone.
//!
//! Deciding what a failure means for a submission is left to the grading story, deciding what is
//! an orphan to the reaper. `bollard` is known only here.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

mod endpoint;
mod engine;
pub mod error;
pub mod facts;
mod given_id;
mod image_uses;
pub mod labels;
pub mod limits;
mod log;
pub mod nodes;
mod own_image;
pub mod readback;
pub mod request;
pub mod seccomp;
pub mod slot;
mod start;
pub mod subnet;
mod swarm;
pub mod sweep;
mod words;
pub mod workload;

pub use engine::{EngineSettings, Images};
pub use error::{FleetError, PullFailure, StartFailure};
pub use facts::{CgroupVersion, NodeFacts, Requests};
pub use image_uses::{Came, Eviction, Pulled, UsedImage};
pub use labels::{Kind, LabelKey, Owner};
pub use limits::{Limits, Profile};
pub use nodes::{Availability, Node, Nodes};
pub use request::{DiskThrottle, NodeSettings, RootQuota};
pub use slot::{Slot, SlotHealth, SlotName};
pub use subnet::SubnetPool;
pub use swarm::{Processors, StartTimes, SwarmSettings};
pub use sweep::{Found, Object, Removal, Sweep};
pub use workload::{ContainerSpec, ContainerState, ImageDeclares, Phase, Role, Workload};

use engine::EngineFleet;
use given_id::GivenId;
use labels::Tenant;
use own_image::OwnImage;
use start::Order;
use swarm::SwarmFleet;

use crate::probe::{client::ProberError, wire::DiskSpace};

/// How many tasks gVisor may take for the canary; how many its container may is not asked there.
const GVISOR_CANARY_PIDS: u32 = 512;

/// One way to run containers. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Fleet {
    /// A plain engine: containers on internal bridges of one machine.
    Engine(Arc<EngineFleet>),
    /// One grader node of a swarm: services on an overlay, asked from a manager.
    Swarm(Arc<SwarmFleet>),
}

/// For an image of ours, and for whoever says nothing else.
const USUAL_START: StartTimes =
    StartTimes { pull: Duration::from_secs(60), start: Duration::from_secs(15) };

impl Fleet {
    /// A fleet on a plain engine. Nothing is connected yet: the engine may come later.
    ///
    /// # Errors
    /// [`FleetError::Address`] if the engine's address is none.
    pub fn engine(settings: EngineSettings) -> Result<Self, FleetError> {
        Ok(Self::Engine(Arc::new(EngineFleet::new(settings)?)))
    }

    /// What the node says of itself now.
    ///
    /// # Errors
    /// [`FleetError::Unfit`] if nothing may run there; others if it cannot be asked.
    pub async fn facts(&self) -> Result<NodeFacts, FleetError> {
        match self {
            Self::Engine(engine) => engine.facts().await,
            Self::Swarm(node) => node.facts().await,
        }
    }

    /// What the operator must know of this node; see [`NodeFacts::warnings`].
    #[must_use]
    pub fn warnings(&self, facts: &NodeFacts) -> Vec<String> {
        match self {
            Self::Engine(engine) => facts.warnings(engine.settings.node.runtime.as_deref()),
            Self::Swarm(node) => facts.warnings(node.settings.runtime.as_deref()),
        }
    }

    /// Makes a slot: a network on a subnet that nothing else uses, and a prober in it that has
    /// answered.
    ///
    /// # Errors
    /// [`FleetError`]; what was made by then was removed, or is left to the reaper.
    pub async fn open_slot(&self, number: u32) -> Result<Slot, FleetError> {
        self.open_slot_as(&self.slot_name(number)).await
    }

    /// The same under a name that is known before anything is made under it, for whoever must tell
    /// what is being made from what was left behind.
    ///
    /// # Errors
    /// As for [`Fleet::open_slot`].
    pub async fn open_slot_as(&self, name: &SlotName) -> Result<Slot, FleetError> {
        match self {
            Self::Engine(engine) => engine.open_slot(name).await,
            Self::Swarm(node) => node.open_slot(name).await,
        }
    }

    /// A name for a slot that is to be opened: no other slot has it, had it or gets it.
    #[must_use]
    pub fn slot_name(&self, number: u32) -> SlotName {
        let worker = match self {
            Self::Engine(engine) => engine.settings.worker,
            Self::Swarm(node) => node.worker(),
        };
        SlotName::new(worker, number)
    }

    /// Whether the slot's network and prober are there and answer, and nothing else is in it.
    pub async fn slot_alive(&self, slot: &Slot) -> SlotHealth {
        match self {
            Self::Engine(engine) => engine.slot_alive(slot).await,
            Self::Swarm(node) => node.slot_alive(slot).await,
        }
    }

    /// Removes the slot's prober and network, and looks that they are gone.
    ///
    /// # Errors
    /// [`FleetError`] if that could not be verified; the rest is left to the reaper.
    pub async fn close_slot(&self, slot: Slot) -> Result<(), FleetError> {
        match self {
            Self::Engine(engine) => engine.close_slot(slot).await,
            Self::Swarm(node) => node.close_slot(slot).await,
        }
    }

    /// Brings an image, pinned by its digest (`name@sha256:…`), onto the node, and reads what it declares.
    ///
    /// # Errors
    /// [`PullFailure`] says whose fault it is.
    pub async fn pull(&self, image: &str, within: Duration) -> Result<Pulled, PullFailure> {
        match self {
            Self::Engine(engine) => engine.pull(image, within).await,
            Self::Swarm(node) => {
                let declares = node.image_declares(image).await?;
                Ok(Pulled { came: Came::WhenStarted, declares })
            }
        }
    }

    /// What was asked for by [`Fleet::pull`] since this process began, in no order.
    #[must_use]
    pub fn used_images(&self) -> Vec<UsedImage> {
        match self {
            Self::Engine(engine) => engine.used_images(),
            Self::Swarm(_) => Vec::new(),
        }
    }

    /// The names with a digest of every image on the node.
    ///
    /// # Errors
    /// [`FleetError`] if the engine cannot be asked.
    pub async fn image_names(&self) -> Result<Vec<String>, FleetError> {
        match self {
            Self::Engine(engine) => engine.image_names().await,
            Self::Swarm(_) => Ok(Vec::new()),
        }
    }

    /// Removes an image from the node, unless a container uses it or it was asked for since
    /// `idle_since`. Nobody can reach the images of a swarm's node from here: that is the node's own
    /// timer's.
    ///
    /// # Errors
    /// [`FleetError`] if the engine cannot be asked, or will not.
    pub async fn evict(&self, name: &str, idle_since: Instant) -> Result<Eviction, FleetError> {
        match self {
            Self::Engine(engine) => engine.evict(name, idle_since).await,
            Self::Swarm(_) => Ok(Eviction::InUse),
        }
    }

    /// The id of an image that is on the machine under a name; none if there is none, or if only
    /// pinned images may be started here ([`Images`]).
    ///
    /// # Errors
    /// [`FleetError`] if the engine cannot be asked.
    pub async fn local_image(&self, name: &str) -> Result<Option<String>, FleetError> {
        match self {
            Self::Engine(engine) => engine.local_image(name).await,
            Self::Swarm(_) => Ok(None),
        }
    }

    /// What the configuration of an image says that is there already.
    ///
    /// # Errors
    /// [`FleetError`]; not found if it is not on the node.
    pub async fn image_declares(&self, image: &str) -> Result<ImageDeclares, FleetError> {
        match self {
            Self::Engine(engine) => engine.image_declares(image).await,
            Self::Swarm(node) => node.image_declares(image).await,
        }
    }

    /// Makes every container, reads every one back, and only then starts them in order. If
    /// anything fails, what was made is removed; if that could not be verified, the slot is
    /// marked ([`Slot::doubt`]).
    ///
    /// # Errors
    /// [`StartFailure`] says whose fault it is.
    pub async fn start(
        &self,
        slot: &Slot,
        owner: &Owner,
        specs: &[ContainerSpec],
    ) -> Result<Workload, StartFailure> {
        self.start_within(slot, owner, specs, &USUAL_START).await
    }

    /// The same, with times of their own for what a swarm's node does one after the other: fetching
    /// the images, and starting. A plain engine has deadlines of its own for each step, and has the
    /// images already.
    ///
    /// # Errors
    /// [`StartFailure`] says whose fault it is.
    pub async fn start_within(
        &self,
        slot: &Slot,
        owner: &Owner,
        specs: &[ContainerSpec],
        times: &StartTimes,
    ) -> Result<Workload, StartFailure> {
        let tenant = Tenant::Submission(*owner);
        self.start_all(&Order { slot, tenant: &tenant, specs, times }).await
    }

    async fn start_all(&self, order: &Order<'_>) -> Result<Workload, StartFailure> {
        let members = match self {
            Self::Engine(engine) => start::start(&**engine, order).await?,
            Self::Swarm(node) => start::start(&**node, order).await?,
        };
        Ok(Workload::new(self.clone(), *order.tenant, order.slot, members))
    }

    /// How long [`Fleet::start_within`] may take with these times, before what it does is in vain.
    #[must_use]
    pub fn longest_start(&self, times: &StartTimes) -> Duration {
        match self {
            Self::Engine(_) => times.start,
            // Placing, fetching and starting, each within its own.
            Self::Swarm(_) => times.pull + times.start * 2,
        }
    }

    /// What strangers may reserve of the processors of a node with so many slots; none where nothing
    /// is reserved: on a plain engine they share what there is.
    #[must_use]
    pub fn processors(&self, node: &NodeFacts, slots: u32) -> Option<Processors> {
        match self {
            Self::Engine(_) => None,
            Self::Swarm(_) => Some(Processors::of(node.cpus, slots)),
        }
    }

    /// Starts our canary in a slot, as a stranger's container under this profile is started: the
    /// same request, read back in the same way. Its image is loaded if the node lacks it.
    ///
    /// # Errors
    /// [`StartFailure`], as for any container.
    pub async fn start_canary(
        &self,
        slot: &Slot,
        profile: Profile,
    ) -> Result<Workload, StartFailure> {
        let mut limits = Limits::of(profile);
        if self.node_settings().is_gvisor(&slot.node) {
            // gVisor takes tasks of the machine's for those of the container, and keeps
            // them: the canary's hundreds of short-lived ones are more than a server's.
            limits.pids = GVISOR_CANARY_PIDS;
        }
        let (image, tenant) = match self {
            Self::Engine(engine) => {
                let image = engine.own_image(OwnImage::Canary, &slot.node).await?;
                (image, Tenant::Canary(engine.settings.worker))
            }
            Self::Swarm(node) => {
                let image = node.own_image(OwnImage::Canary, &slot.node).await?;
                (image, Tenant::Canary(node.worker()))
            }
        };
        let specs = [ContainerSpec {
            role: Role::Image,
            index: 0,
            alias: "canary".to_owned(),
            declared: self.image_declares(&image).await?,
            image,
            profile,
            limits,
        }];
        let times = &USUAL_START;
        self.start_all(&Order { slot, tenant: &tenant, specs: &specs, times }).await
    }

    /// What the operator of the node decided for every container.
    #[must_use]
    pub fn node_settings(&self) -> &NodeSettings {
        match self {
            Self::Engine(engine) => &engine.settings.node,
            Self::Swarm(node) => &node.settings,
        }
    }

    /// How the containers are, in the order of the specs.
    ///
    /// # Errors
    /// [`FleetError`] if the engine cannot be asked.
    pub async fn states(&self, workload: &Workload) -> Result<Vec<ContainerState>, FleetError> {
        match self {
            Self::Engine(engine) => engine.states(workload).await,
            Self::Swarm(node) => node.states(workload).await,
        }
    }

    /// The last part of what a container wrote to its output, at most `max_bytes`, with what is
    /// not UTF-8 replaced. Control characters are in it: whoever shows it escapes it. `index` is
    /// the position in the list of specs.
    ///
    /// # Errors
    /// [`FleetError`] if the engine cannot be asked.
    pub async fn logs(
        &self,
        workload: &Workload,
        index: usize,
        max_bytes: usize,
    ) -> Result<String, FleetError> {
        match self {
            Self::Engine(engine) => engine.logs(workload, index, max_bytes).await,
            Self::Swarm(node) => node.logs(workload, index, max_bytes).await,
        }
    }

    /// Whether [`Fleet::written`] can be asked: a swarm cannot tell what a task wrote. There the
    /// node's own setting bounds it (`overlay2.size`, where its storage has project quotas, which
    /// `PORTCALL_ROOT_QUOTA=project` says), and what is left of the disk is watched
    /// ([`Fleet::disk`]).
    #[must_use]
    pub fn counts_roots(&self) -> bool {
        match self {
            Self::Engine(_) => true,
            Self::Swarm(_) => false,
        }
    }

    /// Whether the strangers' side of a slot is heard from now: where that is another machine than
    /// the prober's, a stranger's silence may be the machine's. On a plain engine it is the same one.
    pub async fn hears(&self, slot: &Slot) -> bool {
        match self {
            Self::Engine(_) => true,
            Self::Swarm(node) => node.hears(slot).await,
        }
    }

    /// Whether what the prober of a slot sends arrives on the strangers' side. On a plain engine there is
    /// no way between.
    pub async fn is_clear(&self, slot: &Slot) -> bool {
        match self {
            Self::Engine(_) => true,
            Self::Swarm(node) => node.is_clear(slot).await,
        }
    }

    /// How long nothing was heard from the strangers' side of a slot, if that was too long at some
    /// moment since then: what did not reach the prober meanwhile may have been lost on the way. On a
    /// plain engine there is no way.
    pub async fn silence(&self, slot: &Slot, since: Instant) -> Option<Duration> {
        match self {
            Self::Engine(_) => None,
            Self::Swarm(node) => node.silence(slot, since).await,
        }
    }

    /// How full the disk is under the containers of a slot: the one that holds the engine's data.
    ///
    /// # Errors
    /// [`ProberError`] if nobody there can say.
    pub async fn disk(&self, slot: &Slot) -> Result<DiskSpace, ProberError> {
        match self {
            Self::Engine(_) => slot.prober().disk().await,
            Self::Swarm(node) => match node.disk(slot) {
                Ok(word) => Ok(word.disk),
                Err(detail) => Err(ProberError::Refused { detail }),
            },
        }
    }

    /// How many bytes each container has written to its root, in the order of the specs; none where
    /// that is not counted at all ([`Fleet::counts_roots`]), or where the engine cannot count, as below a tree that is deeper than a path may be long. The
    /// engine walks through all names for it: not to be asked all the time. Files without a name
    /// it does not find.
    ///
    /// # Errors
    /// [`FleetError`] if the engine cannot be asked.
    pub async fn written(&self, workload: &Workload) -> Result<Vec<Option<u64>>, FleetError> {
        match self {
            Self::Engine(engine) => engine.written(workload).await,
            Self::Swarm(_) => Ok(vec![None; workload.members().len()]),
        }
    }

    /// Everything of ours on the node; of a swarm, at its whole endpoint.
    ///
    /// # Errors
    /// [`FleetError`] if the engine cannot be asked.
    pub async fn sweep(&self) -> Result<Sweep, FleetError> {
        match self {
            Self::Engine(engine) => engine.sweep().await,
            Self::Swarm(node) => node.sweep().await,
        }
    }

    /// Removes what a sweep found, and looks that it is gone.
    ///
    /// # Errors
    /// [`FleetError`] if that could not be verified.
    pub async fn remove_found(&self, found: &Found) -> Result<Removal, FleetError> {
        match self {
            Self::Engine(engine) => engine.remove_found(found).await,
            Self::Swarm(node) => node.remove_found(found).await,
        }
    }

    async fn remove_containers(&self, ids: &[GivenId]) -> Result<(), FleetError> {
        match self {
            Self::Engine(engine) => engine.remove_containers(ids).await,
            Self::Swarm(node) => node.remove_services(ids).await,
        }
    }
}
