//! Taking away, and looking that it is gone. Idempotent: what is not there counts as removed.

use std::{collections::HashMap, time::Duration};

use bollard::{
    models::{ContainerSummary, Network, NetworkDisconnectRequest},
    query_parameters::{
        InspectContainerOptions, InspectNetworkOptions, ListContainersOptionsBuilder,
        ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder,
    },
};
use futures::future::join_all;
use tokio::time::{Instant, sleep};

use super::{EngineFleet, READ, REMOVE};
use crate::fleet::{
    endpoint::within,
    error::FleetError,
    given_id::GivenId,
    labels::MAC,
    sweep::{Found, Object, Removal, Sweep},
};

/// Between two looks whether something is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl EngineFleet {
    /// Kills and removes containers, at the same time, and looks that they are gone.
    pub(in crate::fleet) async fn remove_containers(
        &self,
        ids: &[GivenId],
    ) -> Result<(), FleetError> {
        let removals = ids.iter().map(|id| self.remove_container(id.as_str()));
        let left: Vec<String> = ids
            .iter()
            .zip(join_all(removals).await)
            .filter_map(|(id, removal)| removal.err().map(|error| format!("{id}: {error}")))
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        Err(FleetError::LeftOver { detail: left.join("; ") })
    }

    /// The same for one, by id or name.
    pub(in crate::fleet) async fn remove_container(
        &self,
        name: &str,
    ) -> Result<Removal, FleetError> {
        let docker = self.docker()?;
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let doing = "removing a container";
        let removed = within(REMOVE, doing, docker.remove_container(name, Some(options))).await;
        let removal = match removed {
            Ok(()) => Removal::Removed,
            Err(error) if error.is_not_found() => return Ok(Removal::AlreadyGone),
            // Somebody else is at it: 409 "removal of container … is already in progress".
            Err(FleetError::Refused { status: 409, .. }) => Removal::Removed,
            Err(error) => return Err(error),
        };
        self.until_gone(name, || async {
            let look = docker.inspect_container(name, None::<InspectContainerOptions>);
            within(READ, "looking for a removed container", look).await.map(drop)
        })
        .await?;
        Ok(removal)
    }

    pub(super) async fn remove_network(&self, id: &str) -> Result<Removal, FleetError> {
        let docker = self.docker()?;
        let doing = "removing a network";
        let mut removed = within(REMOVE, doing, docker.remove_network(id)).await;
        if matches!(removed, Err(FleetError::Refused { status: 403 | 409, .. })) {
            // "has active endpoints": the engine lost track of one that is no container any more.
            self.disconnect_all(id).await?;
            removed = within(REMOVE, doing, docker.remove_network(id)).await;
        }
        match removed {
            Ok(()) => {}
            Err(error) if error.is_not_found() => return Ok(Removal::AlreadyGone),
            Err(error) => return Err(error),
        }
        self.until_gone(id, || async {
            let look = docker.inspect_network(id, None::<InspectNetworkOptions>);
            within(READ, "looking for a removed network", look).await.map(drop)
        })
        .await?;
        Ok(Removal::Removed)
    }

    async fn disconnect_all(&self, id: &str) -> Result<(), FleetError> {
        let docker = self.docker()?;
        let look = docker.inspect_network(id, None::<InspectNetworkOptions>);
        let network = match within(READ, "inspecting a network", look).await {
            Err(error) if error.is_not_found() => return Ok(()),
            answer => answer?,
        };
        for container in network.containers.unwrap_or_default().into_keys() {
            let request = NetworkDisconnectRequest { container, force: Some(true) };
            let doing = "disconnecting from a network";
            match within(REMOVE, doing, docker.disconnect_network(id, request)).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Looks until the answer is "not found".
    async fn until_gone<F>(&self, name: &str, look: impl Fn() -> F) -> Result<(), FleetError>
    where
        F: Future<Output = Result<(), FleetError>>,
    {
        let until = Instant::now() + REMOVE;
        loop {
            match look().await {
                Err(error) if error.is_not_found() => return Ok(()),
                Err(error) => return Err(error),
                Ok(()) if Instant::now() >= until => {
                    return Err(FleetError::LeftOver { detail: format!("{name} is still there") });
                }
                Ok(()) => sleep(LOOK_AGAIN).await,
            }
        }
    }

    pub(in crate::fleet) async fn sweep(&self) -> Result<Sweep, FleetError> {
        let (containers, networks) =
            tokio::try_join!(self.labelled_containers(), self.labelled_networks())?;
        let mut sweep = Sweep::default();
        let mut note =
            |object, labels: &HashMap<String, String>, name: String, id: String| match self
                .settings
                .key
                .verify(labels)
            {
                Some(identity) => sweep.found.push(Found::new(object, &identity, name, id)),
                None => sweep.foreign += 1,
            };
        for container in containers {
            let name = container.names.into_iter().flatten().next().unwrap_or_default();
            let name = name.trim_start_matches('/').to_owned();
            let labels = container.labels.unwrap_or_default();
            note(Object::Container, &labels, name, container.id.unwrap_or_default());
        }
        for network in networks {
            let (name, id) = (network.name.unwrap_or_default(), network.id.unwrap_or_default());
            note(Object::Network, &network.labels.unwrap_or_default(), name, id);
        }
        Ok(sweep)
    }

    pub(in crate::fleet) async fn remove_found(
        &self,
        found: &Found,
    ) -> Result<Removal, FleetError> {
        match found.object {
            Object::Container => self.remove_container(&found.id).await,
            Object::Network => self.remove_network(&found.id).await,
            // A plain engine has none.
            Object::Service => Ok(Removal::AlreadyGone),
        }
    }

    pub(in crate::fleet) async fn labelled_containers(
        &self,
    ) -> Result<Vec<ContainerSummary>, FleetError> {
        let filters = HashMap::from([("label", vec![MAC])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let docker = self.docker()?;
        within(READ, "listing containers", docker.list_containers(Some(options))).await
    }

    async fn labelled_networks(&self) -> Result<Vec<Network>, FleetError> {
        let filters = HashMap::from([("label", vec![MAC])]);
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let docker = self.docker()?;
        within(READ, "listing networks", docker.list_networks(Some(options))).await
    }
}
