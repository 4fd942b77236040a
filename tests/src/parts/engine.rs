//! The Docker engine as a witness: what of a world's is there, and away with it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
    path::PathBuf,
};

use anyhow::{Context, Result};
use bollard::{
    Docker,
    errors::Error as Bollard,
    models::{ContainerCreateBody, HostConfig, NetworkCreateRequest},
    query_parameters::{
        CreateContainerOptions, ImportImageOptionsBuilder, ListContainersOptions,
        ListImagesOptions, ListNetworksOptions, ListVolumesOptions, RemoveContainerOptions,
        RemoveImageOptions,
    },
};
use futures::TryStreamExt;

use super::{given, net::Range};
use crate::image::Recipe;

/// The label that names the worker by its id.
const WORKER_LABEL: &str = "portcall.worker";
/// The label that says what a container is for.
const KIND_LABEL: &str = "portcall.kind";

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

/// What there is on an engine at one moment, whoever made it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Names of containers, with what they are for where they are Portcall's.
    pub containers: BTreeSet<String>,
    /// Names of networks.
    pub networks: BTreeSet<String>,
    /// Names of volumes.
    pub volumes: BTreeSet<String>,
    /// Names with tags.
    pub tags: BTreeSet<String>,
    /// Ids of images, with and without names.
    pub images: BTreeSet<String>,
    /// All names of each, with tags and with digests.
    pub names: BTreeMap<String, BTreeSet<String>>,
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

    /// Whether it answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<()> {
        self.docker.ping().await?;
        Ok(())
    }

    /// The subnets of its networks.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn subnets(&self) -> Result<Vec<String>> {
        let networks = self.docker.list_networks(None::<ListNetworksOptions>).await?.into_iter();
        let configs = networks.filter_map(|network| network.ipam?.config).flatten();
        Ok(configs.filter_map(|config| config.subnet).collect())
    }

    /// Where it keeps its data.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn folder(&self) -> Result<PathBuf> {
        let info = self.docker.info().await?;
        Ok(info.docker_root_dir.context("an engine without a folder")?.into())
    }

    /// All that there is on it.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn inventory(&self) -> Result<Inventory> {
        let mut found = Inventory::default();
        let all = ListContainersOptions { all: true, ..Default::default() };
        for container in self.docker.list_containers(Some(all)).await? {
            let names = container.names.unwrap_or_default().join(" ");
            let kind = container.labels.unwrap_or_default().remove(KIND_LABEL).unwrap_or_default();
            found.containers.insert(format!("{kind} {names}").trim().to_owned());
        }
        for network in self.docker.list_networks(None::<ListNetworksOptions>).await? {
            found.networks.insert(network.name.unwrap_or_default());
        }
        let volumes = self.docker.list_volumes(None::<ListVolumesOptions>).await?.volumes;
        found.volumes.extend(volumes.unwrap_or_default().into_iter().map(|volume| volume.name));
        let all = ListImagesOptions { all: true, ..Default::default() };
        for image in self.docker.list_images(Some(all)).await? {
            let real = |names: Vec<String>| names.into_iter().filter(|n| !n.contains("<none>"));
            let tags: Vec<String> = real(image.repo_tags).collect();
            let names = tags.iter().cloned().chain(real(image.repo_digests)).collect();
            found.names.insert(image.id.clone(), names);
            found.tags.extend(tags);
            found.images.insert(image.id);
        }
        Ok(found)
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

    /// The id of the worker that runs the image of that id at the moment, if one does.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn worker_of(&self, image_id: &str) -> Result<Option<String>> {
        let running = self.docker.list_containers(None::<ListContainersOptions>).await?;
        let of_it = running.into_iter().find(|c| c.image_id.as_deref() == Some(image_id));
        Ok(of_it.and_then(|container| container.labels?.remove(WORKER_LABEL)))
    }

    /// Puts an image on the engine that no registry has; its id.
    ///
    /// # Errors
    /// When the engine does not take it.
    pub async fn load(&self, name: &str, recipe: &Recipe) -> Result<String> {
        let packed = recipe.pack()?;
        let archive = bollard::body_full(packed.archive(name).await?.into());
        let options = ImportImageOptionsBuilder::new().quiet(true).build();
        let lines = self.docker.import_image(options, archive, None);
        let _: Vec<_> = lines.try_collect().await.with_context(|| format!("loading {name}"))?;
        let found = self.image_id(name).await?;
        found.filter(|id| id == packed.id()).with_context(|| format!("{name} is not there"))
    }

    /// The id of an image by its name or id, if it is on the engine.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn image_id(&self, name: &str) -> Result<Option<String>> {
        match self.docker.inspect_image(name).await {
            Ok(image) => Ok(image.id),
            Err(Bollard::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes an image off the engine.
    ///
    /// # Errors
    /// When it is not there or in use.
    pub async fn forget(&self, image: &str) -> Result<()> {
        let options = RemoveImageOptions { force: true, ..Default::default() };
        self.docker.remove_image(image, Some(options), None).await?;
        Ok(())
    }

    /// A network with a way out, for what runs without Portcall's walls.
    ///
    /// # Errors
    /// When the engine does not make it.
    pub async fn open_network(&self, name: &str) -> Result<()> {
        let request = NetworkCreateRequest { name: name.to_owned(), ..Default::default() };
        self.docker.create_network(request).await?;
        Ok(())
    }

    /// Starts a container as anybody would, without any of Portcall's walls but a bound on its
    /// memory and tasks; its address.
    ///
    /// # Errors
    /// When the engine does not start it.
    pub async fn start_open(
        &self,
        name: &str,
        image: &str,
        network: &str,
        env: &[String],
        resolvers: &[&str],
    ) -> Result<IpAddr> {
        let host = HostConfig {
            network_mode: Some(network.to_owned()),
            memory: Some(256 * 1024 * 1024),
            pids_limit: Some(256),
            dns: Some(resolvers.iter().map(|&resolver| resolver.to_owned()).collect()),
            ..Default::default()
        };
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            env: Some(env.to_vec()),
            host_config: Some(host),
            ..Default::default()
        };
        let options = CreateContainerOptions { name: Some(name.to_owned()), ..Default::default() };
        self.docker.create_container(Some(options), body).await?;
        self.docker.start_container(name, None).await?;
        let there = self.docker.inspect_container(name, None).await?;
        let networks = there.network_settings.and_then(|s| s.networks).unwrap_or_default();
        let address = networks.into_values().find_map(|endpoint| endpoint.ip_address);
        Ok(address.context("a container without an address")?.parse()?)
    }

    /// Removes a container that was made so, if it is there.
    pub async fn remove_open(&self, name: &str) {
        let options = RemoveContainerOptions { force: true, v: true, link: false };
        // It may never have been made.
        let _ = self.docker.remove_container(name, Some(options)).await;
    }

    /// Removes containers and a network that were made so, as far as they are there.
    pub async fn close(&self, containers: &[&str], network: &str) {
        for name in containers {
            self.remove_open(name).await;
        }
        let _ = self.docker.remove_network(network).await;
    }

    /// Takes an image off the engine, by its id and with all its names, unless it is in use.
    ///
    /// # Errors
    /// When it is in use or gone.
    pub async fn forget_unused(&self, id: &str) -> Result<()> {
        let names = self.docker.inspect_image(id).await?;
        let tags = names.repo_tags.unwrap_or_default();
        for name in tags.into_iter().chain(names.repo_digests.unwrap_or_default()) {
            // The last name takes the image with it.
            self.docker.remove_image(&name, None::<RemoveImageOptions>, None).await?;
        }
        match self.docker.remove_image(id, None::<RemoveImageOptions>, None).await {
            Ok(_) | Err(Bollard::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
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
