//! Slots on a swarm: an internal overlay on a subnet of our own, a prober on a manager, and an anchor on
//! the grader node.

use std::{
    fmt,
    net::Ipv4Addr,
    sync::{Arc, OnceLock, PoisonError},
    time::Duration,
};

use bollard::{
    Docker,
    models::{NetworkCreateRequest, NetworkInspect},
    query_parameters::{InspectNetworkOptions, ListNetworksOptions},
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    LEFT, READ, Swarm, SwarmFleet, WRITE, Watch, request,
    tasks::{Stage, StartTimes},
    watch::FRESH,
};
use crate::{
    fleet::{
        engine::{creation::CreateFailure, prober::Post},
        error::FleetError,
        facts::NodeFacts,
        given_id::GivenId,
        labels::{Identity, Kind},
        own_image::OwnImage,
        readback,
        request::NodeSettings,
        slot::{
            FIRST_PROBER_UID, FIRST_STRICT_UID, Side, Slot, SlotHealth, SlotName, Tenancy, UIDS,
        },
        subnet::Subnet,
    },
    probe::{anchor::Word, client::ProberClient},
};

/// How many subnets are tried when others take them from under our hands.
const SUBNET_TRIES: usize = 16;
/// For the anchor: its image is small, and there after the first time.
const ANCHOR: StartTimes =
    StartTimes { pull: Duration::from_secs(60), start: Duration::from_secs(30) };
/// From the anchor's start to its first word.
const FIRST_WORD: Duration = Duration::from_secs(15);
/// For the leader to furnish a network.
const ALLOCATED: Duration = Duration::from_secs(15);
/// Between two looks at one.
const LOOK: Duration = Duration::from_millis(50);
/// For the first packet that goes all the way: engines tell each other of a new network by gossip.
const FIRST_WAY: Duration = Duration::from_secs(20);
/// For a packet on a way that was clear before.
const WAY: Duration = Duration::from_secs(2);
/// For a sign of life of the prober.
const PING: Duration = Duration::from_secs(5);

/// The strangers' side of a slot.
pub(in crate::fleet) struct Far {
    /// On which manager the prober is.
    manager: usize,
    /// The anchor's service.
    anchor: GivenId,
    anchor_name: String,
    /// Where the anchor is in the slot's network.
    at: Ipv4Addr,
    pub(in crate::fleet) watch: Watch,
}

impl fmt::Debug for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Far").field("anchor", &self.anchor_name).finish_non_exhaustive()
    }
}

/// A slot's network, and which place of the pool it has.
struct Network {
    place: u32,
    subnet: Subnet,
    id: String,
    name: String,
    /// The anchor in it, once there is one.
    anchor: OnceLock<GivenId>,
}

/// What was put into it.
struct Furniture {
    prober_id: String,
    prober: ProberClient,
    tenancy: Tenancy,
    far: Far,
    word: Word,
}

impl SwarmFleet {
    pub(in crate::fleet) async fn open_slot(&self, slot: &SlotName) -> Result<Slot, FleetError> {
        self.require_cleared().await?;
        let node = self.facts().await?;
        let swarm = &self.swarm;
        swarm.endpoint.answering().await?;
        let manager = swarm.endpoint.last();
        let there = swarm.managers[manager].facts().await?;
        let prober = swarm.managers[manager].own_image(OwnImage::Prober, &there).await?;
        let anchor = swarm.own.put(OwnImage::Prober, &node.os, &node.arch).await?;
        let network = self.make_network(slot.network()).await?;
        let furnished = async {
            let (prober, far) = tokio::try_join!(
                self.make_prober(manager, &prober, &network, &there),
                self.make_anchor(&anchor, &network, &node),
            )?;
            let ((prober_id, prober, tenancy), (anchor, word)) = (prober, far);
            let (service, at, watch) = anchor;
            let anchor_name = anchor_name(&network.name);
            let far = Far { manager, anchor: service, anchor_name, at, watch };
            tenancy.anchored(at);
            until_clear(&prober, at).await?;
            Ok(Furniture { prober_id, prober, tenancy, far, word })
        };
        match furnished.await {
            Ok(Furniture { prober_id, prober, tenancy, far, word }) => {
                self.tell(word);
                Ok(Slot {
                    number: slot.number,
                    uid: FIRST_STRICT_UID + network.place % UIDS,
                    subnet: network.subnet,
                    network: network.id,
                    network_name: network.name,
                    prober_id,
                    prober,
                    node: Arc::new(node.with(word)),
                    tenancy,
                    side: Side::Far(far),
                })
            }
            Err(error) => {
                if let Err(left) = self.clear(manager, &network).await {
                    let network = network.name;
                    tracing::warn!(network, error = %left, "half a slot is left to the reaper");
                }
                Err(error)
            }
        }
    }

    pub(in crate::fleet) async fn slot_alive(&self, slot: &Slot) -> SlotHealth {
        let lost = |why: String| SlotHealth::Lost { why };
        let Side::Far(far) = &slot.side else { return lost("it is none of a swarm".to_owned()) };
        if slot.tenancy.is_doubted() {
            return lost("something may be left in it".to_owned());
        }
        if let Some(error) = slot.prober.over() {
            return lost(error.to_string());
        }
        match timeout(PING, slot.prober.ping()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return lost(error.to_string()),
            Err(_) => return lost("the prober does not answer".to_owned()),
        }
        match far.watch.word() {
            Ok(word) => self.tell(word),
            Err(why) => return lost(why),
        }
        if !self.is_clear(slot).await {
            return lost("nothing passes between its prober and its node".to_owned());
        }
        let manager = &self.swarm.managers[far.manager];
        let inhabitants = manager.inhabitants(&slot.network).await.map(|mut ids| {
            // The engine's own end of the network, for names with several addresses.
            ids.retain(|id| !id.starts_with("lb-"));
            ids
        });
        match inhabitants {
            Ok(ids) if ids == [slot.prober_id.clone()] => {}
            Ok(ids) => return lost(format!("{} containers are beside the prober", ids.len())),
            Err(error) => return lost(error.to_string()),
        }
        match self.swarm.services_in(&slot.network).await {
            Ok(names) if names == [far.anchor_name.clone()] => SlotHealth::Alive,
            Ok(names) => lost(format!("{} services are in it besides the anchor", names.len())),
            Err(error) => lost(error.to_string()),
        }
    }

    pub(in crate::fleet) async fn close_slot(&self, slot: Slot) -> Result<(), FleetError> {
        let (prober_id, network) = (slot.prober_id.clone(), slot.network.clone());
        let Side::Far(far) = &slot.side else { return Ok(()) };
        let (manager, anchor) = (far.manager, far.anchor.clone());
        // Ends the conversation first, so that nothing is said about a prober that is removed.
        drop(slot);
        let (prober, anchor) = tokio::join!(
            self.swarm.managers[manager].remove_container(&prober_id),
            self.remove_anchor(anchor),
        );
        prober?;
        anchor?;
        self.swarm.remove_network(&network).await?;
        Ok(())
    }

    /// Takes away what there is of a slot that could not be opened.
    async fn clear(&self, manager: usize, network: &Network) -> Result<(), FleetError> {
        let prober = prober_name(&network.name);
        let manager = &self.swarm.managers[manager];
        let (prober, anchor) = tokio::join!(
            manager.remove_ours(std::slice::from_ref(&prober)),
            self.clear_anchor(network),
        );
        prober?;
        anchor?;
        self.swarm.remove_network(&network.id).await?;
        Ok(())
    }

    async fn clear_anchor(&self, network: &Network) -> Result<(), FleetError> {
        if let Some(anchor) = network.anchor.get() {
            return self.remove_anchor(anchor.clone()).await;
        }
        // The answer that it was made may be lost.
        for anchor in self.swarm.ours_named(&[anchor_name(&network.name)]).await? {
            self.remove_anchor(anchor).await?;
        }
        Ok(())
    }

    /// Removes an anchor, and remembers one that could not be seen to be gone.
    async fn remove_anchor(&self, anchor: GivenId) -> Result<(), FleetError> {
        let removed = self.remove_services(std::slice::from_ref(&anchor)).await;
        if removed.is_err() {
            self.left.lock().unwrap_or_else(PoisonError::into_inner).insert(anchor);
        }
        removed
    }

    /// Refuses a new slot while an anchor of an earlier one may be left on the node: there each try
    /// would leave one more, and its overlay with it.
    async fn require_cleared(&self) -> Result<(), FleetError> {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let left: Vec<GivenId> = left.into_iter().collect();
        self.swarm.end_services(&left, Some(&self.node), LEFT).await?;
        let mut still = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        still.retain(|anchor| !left.contains(anchor));
        Ok(())
    }

    async fn make_prober(
        &self,
        manager: usize,
        image: &str,
        network: &Network,
        there: &NodeFacts,
    ) -> Result<(String, ProberClient, Tenancy), FleetError> {
        let post = Post {
            name: &prober_name(&network.name),
            image,
            network: &network.id,
            subnet: &network.subnet,
            uid: FIRST_PROBER_UID + network.place % UIDS,
            node: there,
            settings: &NodeSettings::default(),
        };
        self.swarm.managers[manager].make_prober(&post).await
    }

    /// An anchor that has said a word: its service, who follows it, and the word.
    async fn make_anchor(
        &self,
        image: &str,
        network: &Network,
        node: &NodeFacts,
    ) -> Result<((GivenId, Ipv4Addr, Watch), Word), FleetError> {
        let swarm = &self.swarm;
        let name = anchor_name(&network.name);
        let place = request::Place {
            network: &network.id,
            uid: FIRST_PROBER_UID + network.place % UIDS,
            node: &self.node,
            api: self.api(node),
        };
        let identity = Identity::of_slot(Kind::Prober, swarm.settings.worker);
        let spec = request::anchor(&name, image, &place, &swarm.settings.key.sign(&identity));
        let service = swarm.make_service(&spec).await.map_err(|failure| match failure {
            CreateFailure::Engine(error) => error,
            CreateFailure::Differs(fields) => FleetError::Unfit(format!(
                "it dropped or changed {} of the anchor",
                fields.join(", ")
            )),
        })?;
        let service = network.anchor.get_or_init(|| service);
        swarm.give_task(service, &spec).await?;
        let task = swarm.until_it_runs(service, &name, &ANCHOR).await?;
        if task.stage != Stage::Running {
            return Err(task.stage.instead(&name, &task.words));
        }
        let Some(at) = task.address(&network.id) else {
            let detail = "it has no address in its slot's network".to_owned();
            return Err(FleetError::Answer { doing: "looking for the anchor", detail });
        };
        let watch = Watch::follow(Arc::clone(swarm), service.to_string());
        match watch.next(FIRST_WORD).await {
            Some(word) => Ok(((service.clone(), at, watch), word)),
            None => {
                let detail = watch.word().err().unwrap_or_default();
                Err(FleetError::Answer { doing: "listening to the anchor", detail })
            }
        }
    }

    /// The newest API that both the manager which answers and the node speak.
    pub(super) fn api(&self, node: &NodeFacts) -> (u32, u32) {
        let endpoint = &self.swarm.endpoint;
        endpoint.managers()[endpoint.last()].api().min(node.api)
    }

    /// A network on a subnet that nothing in the swarm uses. It begins at a random place of the pool,
    /// so that workers rarely meet, and a subnet is not soon used again.
    async fn make_network(&self, name: &str) -> Result<Network, FleetError> {
        let swarm = &self.swarm;
        let (pool, worker) = (swarm.settings.pool, swarm.settings.worker);
        let used: Vec<Subnet> = swarm.subnets().await?.into_iter().map(|(_, it)| it).collect();
        let first = rand::random_range(0..pool.len());
        let labels = swarm.settings.key.sign(&Identity::of_slot(Kind::Slot, worker));
        for place in pool.free(first, &used).take(SUBNET_TRIES) {
            let subnet = pool.nth(place);
            let request = request::network(name, &subnet, labels.clone());
            let id = swarm.create_network(name, &request).await?;
            match swarm.check_network(&id, &subnet, &request).await {
                Ok(Claim::Ours) => {
                    let (name, anchor) = (name.to_owned(), OnceLock::new());
                    return Ok(Network { place, subnet, id, name, anchor });
                }
                Ok(Claim::Anothers) => {
                    swarm.remove_network(&id).await?;
                }
                Err(error) => {
                    if let Err(left) = swarm.remove_network(&id).await {
                        tracing::warn!(network = name, error = %left, "left to the reaper");
                    }
                    return Err(error);
                }
            }
        }
        Err(FleetError::NoSubnet { pool: pool.to_string() })
    }
}

/// Whose a subnet is.
enum Claim {
    Ours,
    /// Somebody else made a network on it at the same time, and was first.
    Anothers,
}

impl Swarm {
    /// Makes a network. One that has its name already is ours, made when an answer was lost: the name
    /// was drawn for this one slot.
    async fn create_network(
        &self,
        name: &str,
        request: &NetworkCreateRequest,
    ) -> Result<String, FleetError> {
        let create = |docker: Docker| {
            let request = request.clone();
            async move { docker.create_network(request).await }
        };
        match self.endpoint.ask(WRITE, "making a network", create).await {
            Ok(made) => Ok(made.id),
            Err(FleetError::Refused { status: 409, .. }) => {
                let there = self.inspect_network(name).await?;
                let labels = there.labels.unwrap_or_default();
                let taken = || FleetError::NameTaken { name: name.to_owned() };
                self.settings.key.verify(&labels).ok_or_else(taken)?;
                there.id.ok_or_else(taken)
            }
            Err(error) => Err(error),
        }
    }

    /// A network once its leader has furnished it; none if that does not happen, as when its subnet is
    /// another's. Managers answer before, with less than was asked for.
    async fn allocated(&self, id: &str) -> Result<Option<NetworkInspect>, FleetError> {
        let until = Instant::now() + ALLOCATED;
        loop {
            let stored = self.inspect_network(id).await?;
            let furnished = stored.driver.as_ref().is_some_and(|driver| !driver.is_empty());
            if furnished || Instant::now() >= until {
                return Ok(furnished.then_some(stored));
            }
            sleep(LOOK).await;
        }
    }

    /// Whether a network was stored as it was asked for, and its subnet is nobody else's: a swarm
    /// does not refuse a second network on it, it never gets to furnishing it.
    async fn check_network(
        &self,
        id: &str,
        subnet: &Subnet,
        request: &NetworkCreateRequest,
    ) -> Result<Claim, FleetError> {
        let Some(stored) = self.allocated(id).await? else { return Ok(Claim::Anothers) };
        let mut differing = readback::network_differences(request, &stored);
        if stored.scope.as_deref() != Some("swarm") {
            differing.push("Network.Scope".to_owned());
        }
        if !differing.is_empty() {
            return Err(FleetError::Unfit(format!(
                "it dropped or changed {}",
                differing.join(", ")
            )));
        }
        let others = self.subnets().await?;
        let mut others = others.iter().filter(|(other, _)| other != id);
        let first = |(other, its): &(String, Subnet)| its.overlaps(subnet) && other.as_str() < id;
        Ok(if others.any(first) { Claim::Anothers } else { Claim::Ours })
    }

    async fn inspect_network(&self, id: &str) -> Result<NetworkInspect, FleetError> {
        let look = |docker: Docker| async move {
            docker.inspect_network(id, None::<InspectNetworkOptions>).await
        };
        self.endpoint.ask(READ, "inspecting a network", look).await
    }

    /// Every network's subnets, by its id: the swarm's, and those of the manager that answers.
    async fn subnets(&self) -> Result<Vec<(String, Subnet)>, FleetError> {
        let list =
            |docker: Docker| async move { docker.list_networks(None::<ListNetworksOptions>).await };
        let networks = self.endpoint.ask(READ, "listing networks", list).await?;
        let subnets = networks.into_iter().flat_map(|network| {
            let id = network.id.unwrap_or_default();
            let config = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
            config
                .into_iter()
                .filter_map(move |config| Some((id.clone(), config.subnet?.parse().ok()?)))
        });
        Ok(subnets.collect())
    }
}

impl SwarmFleet {
    /// How full the grader node's disk is, as its anchor said last.
    pub(in crate::fleet) fn disk(&self, slot: &Slot) -> Result<Word, String> {
        match &slot.side {
            Side::Far(far) => far.watch.word(),
            Side::Near => Err("it is none of a swarm".to_owned()),
        }
    }

    /// Whether the anchor says something from now on.
    pub(in crate::fleet) async fn hears(&self, slot: &Slot) -> bool {
        match &slot.side {
            Side::Far(far) => far.watch.next(FRESH).await.is_some(),
            Side::Near => false,
        }
    }

    /// Whether what the prober sends arrives on the strangers' side, large packets too.
    pub(in crate::fleet) async fn is_clear(&self, slot: &Slot) -> bool {
        match &slot.side {
            Side::Far(far) => slot.prober.is_clear(far.at.into(), WAY).await == Ok(true),
            Side::Near => true,
        }
    }

    /// How long the anchor said nothing, if too long at some moment since then.
    pub(in crate::fleet) async fn silence(&self, slot: &Slot, since: Instant) -> Option<Duration> {
        match &slot.side {
            Side::Far(far) => far.watch.silence(since).await,
            Side::Near => None,
        }
    }
}

/// Waits until the first packet went all the way to the anchor.
async fn until_clear(prober: &ProberClient, anchor: Ipv4Addr) -> Result<(), FleetError> {
    let until = Instant::now() + FIRST_WAY;
    let doing = "trying the way from the prober to the anchor";
    loop {
        let detail = match prober.is_clear(anchor.into(), WAY).await {
            Ok(true) => return Ok(()),
            Ok(false) => format!("nothing arrived within {} s", FIRST_WAY.as_secs()),
            Err(error) => return Err(FleetError::Answer { doing, detail: error.to_string() }),
        };
        if Instant::now() >= until {
            return Err(FleetError::Answer { doing, detail });
        }
    }
}

fn prober_name(network: &str) -> String {
    format!("{network}-prober")
}

fn anchor_name(network: &str) -> String {
    format!("{network}-anchor")
}
