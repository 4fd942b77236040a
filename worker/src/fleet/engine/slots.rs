//! Slots on a plain engine: an internal bridge on a subnet of our own, with a prober in it.

use std::sync::Arc;

use bollard::{
    models::{NetworkCreateRequest, NetworkInspect},
    query_parameters::{InspectNetworkOptions, ListNetworksOptions},
};
use tokio::time::timeout;

use super::{CREATE, EngineFleet, FIRST_WORD, READ, prober::Post};
use crate::fleet::{
    endpoint::within,
    error::FleetError,
    facts::NodeFacts,
    labels::{Identity, Kind},
    own_image::OwnImage,
    readback, request,
    slot::{FIRST_PROBER_UID, FIRST_STRICT_UID, Side, Slot, SlotHealth, SlotName, UIDS},
    subnet::Subnet,
};

/// How many subnets are tried when others take them from under our hands.
const SUBNET_TRIES: usize = 16;

/// A slot's network, and which place of the pool it has.
struct Network {
    place: u32,
    subnet: Subnet,
    id: String,
    name: String,
}

impl EngineFleet {
    pub(in crate::fleet) async fn open_slot(&self, slot: &SlotName) -> Result<Slot, FleetError> {
        let node = Arc::new(self.facts().await?);
        let image = self.own_image(OwnImage::Prober, &node).await?;
        let (network, request) = self.make_network(slot.network(), &node).await?;
        let name = format!("{}-prober", network.name);
        let furnished = async {
            self.check_network(&network, &request).await?;
            let post = Post {
                name: &name,
                image: &image,
                network: &network.id,
                subnet: &network.subnet,
                uid: FIRST_PROBER_UID + network.place % UIDS,
                node: &node,
                settings: &self.settings.node,
            };
            self.make_prober(&post).await
        };
        match furnished.await {
            Ok((prober_id, prober, tenancy)) => Ok(Slot {
                side: Side::Near,
                number: slot.number,
                uid: FIRST_STRICT_UID + network.place % UIDS,
                subnet: network.subnet,
                network: network.id,
                network_name: network.name,
                prober_id,
                prober,
                node,
                tenancy,
            }),
            Err(error) => {
                let cleared = async {
                    self.remove_ours(std::slice::from_ref(&name)).await?;
                    self.remove_network(&network.id).await
                };
                if let Err(left) = cleared.await {
                    let network = network.name;
                    tracing::warn!(network, error = %left, "half a slot is left to the reaper");
                }
                Err(error)
            }
        }
    }

    pub(in crate::fleet) async fn slot_alive(&self, slot: &Slot) -> SlotHealth {
        let lost = |why: String| SlotHealth::Lost { why };
        if slot.tenancy.is_doubted() {
            return lost("something may be left in it".to_owned());
        }
        if let Some(error) = slot.prober.over() {
            return lost(error.to_string());
        }
        match timeout(FIRST_WORD, slot.prober.ping()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return lost(error.to_string()),
            Err(_) => return lost("the prober does not answer".to_owned()),
        }
        match self.inhabitants(&slot.network).await {
            Ok(ids) if ids == [slot.prober_id.clone()] => SlotHealth::Alive,
            Ok(ids) => lost(format!("{} containers are in it besides the prober", ids.len())),
            Err(error) => lost(error.to_string()),
        }
    }

    pub(in crate::fleet) async fn close_slot(&self, slot: Slot) -> Result<(), FleetError> {
        let (prober_id, network) = (slot.prober_id.clone(), slot.network.clone());
        // Ends the conversation first, so that nothing is said about a prober that is removed.
        drop(slot);
        self.remove_container(&prober_id).await?;
        self.remove_network(&network).await?;
        Ok(())
    }

    /// The containers that are attached to a network.
    pub(in crate::fleet) async fn inhabitants(
        &self,
        network: &str,
    ) -> Result<Vec<String>, FleetError> {
        let found = self.inspect_network(network).await?;
        Ok(found.containers.unwrap_or_default().into_keys().collect())
    }

    /// A network on a subnet that nothing on the node uses. It begins at a random place of the
    /// pool, so that workers rarely meet, and a subnet is not soon used again.
    async fn make_network(
        &self,
        name: &str,
        node: &NodeFacts,
    ) -> Result<(Network, NetworkCreateRequest), FleetError> {
        let (pool, worker) = (self.settings.pool, self.settings.worker);
        let docker = self.docker()?;
        let used = self.used_subnets().await?;
        let first = rand::random_range(0..pool.len());
        let labels = self.settings.key.sign(&Identity::of_slot(Kind::Slot, worker));
        for place in pool.free(first, &used).take(SUBNET_TRIES) {
            let subnet = pool.nth(place);
            let request = request::network(name, &subnet, node, labels.clone());
            let call = docker.create_network(request.clone());
            match within(CREATE, "making a network", call).await {
                Ok(made) => {
                    let (id, name) = (made.id, name.to_owned());
                    return Ok((Network { place, subnet, id, name }, request));
                }
                Err(error) if is_overlap(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(FleetError::NoSubnet { pool: pool.to_string() })
    }

    async fn check_network(
        &self,
        network: &Network,
        request: &NetworkCreateRequest,
    ) -> Result<(), FleetError> {
        let stored = self.inspect_network(&network.id).await?;
        let differing = readback::network_differences(request, &stored);
        if differing.is_empty() {
            return Ok(());
        }
        Err(FleetError::Unfit(format!("it dropped or changed {}", differing.join(", "))))
    }

    pub(in crate::fleet) async fn inspect_network(
        &self,
        id: &str,
    ) -> Result<NetworkInspect, FleetError> {
        let docker = self.docker()?;
        let look = docker.inspect_network(id, None::<InspectNetworkOptions>);
        within(READ, "inspecting a network", look).await
    }

    async fn used_subnets(&self) -> Result<Vec<Subnet>, FleetError> {
        let docker = self.docker()?;
        let list = docker.list_networks(None::<ListNetworksOptions>);
        let networks = within(READ, "listing networks", list).await?;
        Ok(networks
            .into_iter()
            .flat_map(|network| network.ipam.and_then(|ipam| ipam.config).unwrap_or_default())
            .filter_map(|config| config.subnet?.parse().ok())
            .collect())
    }
}

/// "Pool overlaps with other one on this address space", and its later wordings.
fn is_overlap(error: &FleetError) -> bool {
    matches!(error, FleetError::Refused { message, .. }
        if message.to_lowercase().contains("overlap"))
}
