//! Taking away, and looking that it is gone; and finding what was left behind, at every manager that
//! answers. Idempotent: what is not there counts as removed.
//!
//! A service is gone when its tasks are over, which the store of the managers tells; how it tells that
//! of one which is not there any more is in [`ending`].

use std::collections::HashMap;

use bollard::{
    Docker,
    query_parameters::{
        InspectNetworkOptions, ListNetworksOptionsBuilder, ListServicesOptionsBuilder,
    },
};
use serde_json::Value;
use tokio::time::{Duration, Instant, sleep};

use super::{GONE, LEFT, READ, Swarm, SwarmFleet, WRITE};
use crate::fleet::{
    error::FleetError,
    given_id::GivenId,
    labels::MAC,
    sweep::{Found, Object, Removal, Sweep},
};

mod ending;

/// Between two looks whether something is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl SwarmFleet {
    /// Removes services, and looks that their tasks are over.
    pub(in crate::fleet) async fn remove_services(
        &self,
        ids: &[GivenId],
    ) -> Result<(), FleetError> {
        self.swarm.remove_services(ids, Some(&self.node)).await
    }
}

impl Swarm {
    /// Removes services, at the same time, and looks that their tasks are over: on one node, if it is
    /// known which.
    pub(super) async fn remove_services(
        &self,
        ids: &[GivenId],
        node: Option<&str>,
    ) -> Result<(), FleetError> {
        self.end_services(ids, node, GONE).await.map(drop)
    }

    /// Takes a service away; its task ends after that.
    pub(super) async fn delete_service(&self, id: &GivenId) -> Result<Removal, FleetError> {
        let id = id.as_str();
        let delete = |docker: Docker| async move { docker.delete_service(id).await };
        match self.endpoint.ask(WRITE, "removing a service", delete).await {
            Ok(()) => Ok(Removal::Removed),
            Err(error) if error.is_not_found() => Ok(Removal::AlreadyGone),
            Err(error) => Err(error),
        }
    }

    /// Takes a network away, and looks that it is gone. What was in it may take a moment to leave.
    pub(super) async fn remove_network(&self, id: &str) -> Result<Removal, FleetError> {
        self.remove_network_within(id, GONE).await
    }

    async fn remove_network_within(
        &self,
        id: &str,
        within: Duration,
    ) -> Result<Removal, FleetError> {
        let until = Instant::now() + within;
        let mut removal = Removal::AlreadyGone;
        loop {
            let remove = |docker: Docker| async move { docker.remove_network(id).await };
            match self.endpoint.ask(WRITE, "removing a network", remove).await {
                Ok(()) => removal = Removal::Removed,
                Err(error) if error.is_not_found() => {}
                Err(error) if is_in_use(&error) && Instant::now() < until => {
                    sleep(LOOK_AGAIN).await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            let look = |docker: Docker| async move {
                docker.inspect_network(id, None::<InspectNetworkOptions>).await
            };
            match self.endpoint.ask(READ, "looking for a removed network", look).await {
                Err(error) if error.is_not_found() => return Ok(removal),
                Err(error) => return Err(error),
                Ok(_) if Instant::now() >= until => {
                    return Err(FleetError::LeftOver { detail: format!("{id} is still there") });
                }
                Ok(_) => sleep(LOOK_AGAIN).await,
            }
        }
    }

    /// Everything of ours: the swarm's services and networks, and containers on every manager that
    /// answers.
    pub(in crate::fleet) async fn sweep(&self) -> Result<Sweep, FleetError> {
        let mut sweep = Sweep::default();
        for (name, id, labels) in self.labelled_services().await? {
            self.note(&mut sweep, Object::Service, &labels, name, id);
        }
        for (which, manager) in self.managers.iter().enumerate() {
            let containers = match manager.labelled_containers().await {
                Ok(containers) => containers,
                Err(error) => {
                    let manager = self.endpoint.managers()[which].to_string();
                    tracing::debug!(manager, %error, "a manager cannot be looked over now");
                    continue;
                }
            };
            for container in containers {
                let labels = container.labels.unwrap_or_default();
                // On a grader's own engine tasks wear them too; a manager has none.
                if labels.contains_key("com.docker.swarm.task.id") {
                    continue;
                }
                let name = container.names.into_iter().flatten().next().unwrap_or_default();
                let name = name.trim_start_matches('/').to_owned();
                let id = container.id.unwrap_or_default();
                if let Some(found) = self.note(&mut sweep, Object::Container, &labels, name, id) {
                    found.manager = Some(which);
                }
            }
        }
        let filters = HashMap::from([("label", vec![MAC])]);
        let list = |docker: Docker| {
            let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
            async move { docker.list_networks(Some(options)).await }
        };
        for network in self.endpoint.ask(READ, "listing networks", list).await? {
            if network.scope.as_deref() != Some("swarm") {
                continue;
            }
            let (name, id) = (network.name.unwrap_or_default(), network.id.unwrap_or_default());
            let labels = network.labels.unwrap_or_default();
            self.note(&mut sweep, Object::Network, &labels, name, id);
        }
        Ok(sweep)
    }

    fn note<'a>(
        &self,
        sweep: &'a mut Sweep,
        object: Object,
        labels: &HashMap<String, String>,
        name: String,
        id: String,
    ) -> Option<&'a mut Found> {
        match self.settings.key.verify(labels) {
            Some(identity) => {
                sweep.found.push(Found::new(object, &identity, name, id));
                sweep.found.last_mut()
            }
            None => {
                sweep.foreign += 1;
                None
            }
        }
    }

    async fn labelled_services(
        &self,
    ) -> Result<Vec<(String, String, HashMap<String, String>)>, FleetError> {
        let filters = HashMap::from([("label", vec![MAC])]);
        let list = |docker: Docker| {
            let options = ListServicesOptionsBuilder::new().filters(&filters).build();
            async move { docker.list_services(Some(options)).await }
        };
        let services = self.endpoint.ask(READ, "listing services", list).await?;
        let told = services.into_iter().map(|service| {
            let spec = service.spec.unwrap_or_default();
            let (name, labels) = (spec.name.unwrap_or_default(), spec.labels.unwrap_or_default());
            (name, service.id.unwrap_or_default(), labels)
        });
        Ok(told.collect())
    }

    /// Removes what a sweep found, and looks that it is gone.
    pub(in crate::fleet) async fn remove_found(
        &self,
        found: &Found,
    ) -> Result<Removal, FleetError> {
        match (found.object, found.manager) {
            (Object::Service, _) => {
                let id = GivenId::of(found.id.clone());
                self.end_services(std::slice::from_ref(&id), None, LEFT).await
            }
            (Object::Network, _) => self.remove_network_within(&found.id, LEFT).await,
            (Object::Container, Some(which)) => match self.managers.get(which) {
                Some(manager) => manager.remove_container(&found.id).await,
                None => Ok(Removal::AlreadyGone),
            },
            (Object::Container, None) => Ok(Removal::AlreadyGone),
        }
    }

    /// The services that are attached to a network, by name.
    pub(super) async fn services_in(&self, network: &str) -> Result<Vec<String>, FleetError> {
        let filters = HashMap::from([("label", vec![MAC])]);
        let filters = serde_json::to_string(&filters).unwrap_or_default();
        let escaped: String = filters.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let path = format!("/services?filters={escaped}");
        let services = self.endpoint.read(READ, "listing services", &path).await?;
        let inside = |service: &&Value| {
            let networks = service.pointer("/Spec/TaskTemplate/Networks");
            let mut networks = networks.and_then(Value::as_array).into_iter().flatten();
            networks.any(|attached| attached["Target"] == network)
        };
        let all = services.as_array().into_iter().flatten().filter(inside);
        Ok(all.filter_map(|it| Some(it.pointer("/Spec/Name")?.as_str()?.to_owned())).collect())
    }
}

/// "network … is in use by task …", "… by service …", "has active endpoints".
fn is_in_use(error: &FleetError) -> bool {
    let FleetError::Refused { message, .. } = error else { return false };
    message.contains("in use") || message.contains("active endpoints")
}
