//! The Docker engine as a witness: what of a world's is there, and away with it.

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use bollard::{
    Docker,
    query_parameters::{ListContainersOptions, ListNetworksOptions, RemoveContainerOptions},
};

use super::{given, net::Range};

/// The label that names the worker by its id.
const WORKER_LABEL: &str = "portcall.worker";

/// Whose objects are looked for.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'a> {
    /// Ids of workers.
    pub workers: &'a [String],
    /// Addresses that nobody else uses.
    pub range: Option<&'a Range>,
}

/// The engine that was given.
#[derive(Clone, Debug)]
pub struct Engine {
    docker: Docker,
    /// Its address.
    pub host: String,
}

/// A container or network of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A container: id, and name with image.
    Container(String, String),
    /// A network: id and name.
    Network(String, String),
}

impl Engine {
    /// Connects to the engine that was given.
    ///
    /// # Errors
    /// When none is given or it does not answer.
    pub async fn given() -> Result<Self> {
        let engine = Self::connect(&given::docker_host()?)?;
        engine.docker.ping().await?;
        Ok(engine)
    }

    /// An engine at that address, which is not asked yet.
    ///
    /// # Errors
    /// When the address is of no kind that is known.
    pub fn connect(host: &str) -> Result<Self> {
        Ok(Self { docker: Docker::connect_with_host(host)?, host: host.to_owned() })
    }

    /// What there is of a world: containers (running or not) and networks that are labelled
    /// with one of its workers, every network in its range, and what hangs on those.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn find(&self, whose: &Whose<'_>) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        let mut networks = HashSet::new();
        for network in self.docker.list_networks(None::<ListNetworksOptions>).await? {
            let configs = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
            let subnets = configs.iter().filter_map(|config| config.subnet.as_deref());
            let near = whose.range.is_some_and(|range| subnets.into_iter().any(|s| range.holds(s)));
            if near || whose.labelled(network.labels.as_ref()) {
                let (id, name) = (network.id.unwrap_or_default(), network.name.unwrap_or_default());
                networks.insert(id.clone());
                found.push(Found::Network(id, name));
            }
        }
        let all = ListContainersOptions { all: true, ..Default::default() };
        for container in self.docker.list_containers(Some(all)).await? {
            let attached = container.network_settings.and_then(|s| s.networks).unwrap_or_default();
            let ids = attached.into_values().filter_map(|endpoint| endpoint.network_id);
            let near = ids.into_iter().any(|id| networks.contains(&id));
            if near || whose.labelled(container.labels.as_ref()) {
                let name = container.names.unwrap_or_default().join(" ");
                let image = container.image.unwrap_or_default();
                let state = container.status.unwrap_or_default();
                let id = container.id.unwrap_or_default();
                found.push(Found::Container(id, format!("{name} of {image} ({state})")));
            }
        }
        Ok(found)
    }

    /// Removes it, as far as that goes: for a test that failed.
    pub async fn clear(&self, whose: &Whose<'_>) {
        let mut found = self.find(whose).await.unwrap_or_default();
        // Containers first: a network that is in use stays.
        found.sort_by_key(|found| matches!(found, Found::Network(..)));
        for found in found {
            // The next one may go all the same.
            let _ = match found {
                Found::Container(id, _) => {
                    let options = RemoveContainerOptions { force: true, v: true, link: false };
                    self.docker.remove_container(&id, Some(options)).await
                }
                Found::Network(id, _) => self.docker.remove_network(&id).await,
            };
        }
    }
}

impl Whose<'_> {
    fn labelled(&self, labels: Option<&HashMap<String, String>>) -> bool {
        let worker = labels.and_then(|labels| labels.get(WORKER_LABEL));
        worker.is_some_and(|worker| self.workers.contains(worker))
    }
}
