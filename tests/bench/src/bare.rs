//! The engine underneath, by raw calls of its API: a container is made, started, asked once and removed,
//! on a network as slots have, from the image and within the limits of a submission.
//!
//! What is left out is all that Portcall adds: reading back, a prober, labels that are signed, a lease,
//! a second question. The network differs in one thing: the host has an address in it, so that whoever
//! measures can ask without anything between.

use std::{collections::HashMap, net::Ipv4Addr, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use bollard::{
    Docker,
    models::{ContainerCreateBody, NetworkCreateRequest},
    query_parameters::{CreateContainerOptions, RemoveContainerOptionsBuilder},
};
use bson::Uuid;
use portcall_shared::domain::ids::WorkerId;
use portcall_tests::parts::given;
use portcall_worker::fleet::{
    ContainerSpec, EngineSettings, Fleet, ImageDeclares, Images, LabelKey, Limits, NodeFacts,
    NodeSettings, Profile, Role, SubnetPool,
    request::{self, Place},
    subnet::Subnet,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::{grading::Floor, load::Act};

/// For a container to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries to connect; what listens does so within a few milliseconds.
const AGAIN: Duration = Duration::from_millis(1);
/// How many subnets are tried before one is free.
const SUBNETS: usize = 20;
/// For one piece of an answer, which has a few hundred bytes.
const ANSWER: usize = 4096;

/// What is asked of every container.
pub const QUESTION: &str = "/getconfig";

/// One lane: a network in which one container runs at a time.
#[derive(Debug)]
pub struct Lane {
    docker: Docker,
    network: String,
    body: ContainerCreateBody,
    answered_ms: Vec<f64>,
}

/// What the engine says of itself, as the worker reads it.
async fn facts(host: &str) -> Result<NodeFacts> {
    let fleet = Fleet::engine(EngineSettings {
        host: host.to_owned(),
        certs: None,
        worker: WorkerId::new(),
        key: LabelKey([7; 32]),
        prober: given::static_program("prober")?,
        canary: given::static_program("canary")?,
        pool: SubnetPool::default(),
        node: NodeSettings::default(),
        images: Images::Pinned,
    })?;
    Ok(fleet.facts().await?)
}

fn labels() -> HashMap<String, String> {
    [("portcall.bench".to_owned(), "1".to_owned())].into()
}

/// The worker's own request for a submission's container.
fn container(image: &str, network: &str, node: &NodeFacts) -> ContainerCreateBody {
    let spec = ContainerSpec {
        role: Role::Image,
        index: 0,
        alias: "app".to_owned(),
        image: image.to_owned(),
        profile: Profile::Ordinary,
        limits: Limits::of(Profile::Ordinary),
        declared: ImageDeclares::default(),
    };
    let settings = NodeSettings::default();
    request::container(&spec, &Place { network, uid: 20_000, node, settings: &settings }, labels())
}

/// The worker's own request for a slot's network, with an address of the host's in it.
async fn network(docker: &Docker, node: &NodeFacts) -> Result<String> {
    for _ in 0..SUBNETS {
        let [third, fourth, ..] = Uuid::new().bytes();
        let subnet: Subnet = format!("10.212.{third}.{}/28", fourth & 0xF0).parse()?;
        let name = format!("portcall-bench-{third}-{fourth}-{}", std::process::id());
        let request = request::network(&name, &subnet, node, labels());
        let request = NetworkCreateRequest { options: None, ..request };
        match docker.create_network(request).await {
            Ok(made) => return Ok(made.id),
            Err(error) if error.to_string().contains("overlap") => {}
            Err(error) => return Err(error.into()),
        }
    }
    bail!("no free subnet")
}

impl Lane {
    /// So many of them, for containers of this image, which is on the engine.
    ///
    /// # Errors
    /// When the engine does not make them.
    pub async fn several(count: usize, image: &str) -> Result<Vec<Self>> {
        let host = given::docker_host()?;
        let (docker, node) = (Docker::connect_with_host(&host)?, facts(&host).await?);
        let mut lanes = Vec::with_capacity(count);
        for _ in 0..count {
            let network = network(&docker, &node).await?;
            let body = container(image, &network, &node);
            lanes.push(Self { docker: docker.clone(), network, body, answered_ms: Vec::new() });
        }
        Ok(lanes)
    }

    /// Removes their networks.
    ///
    /// # Errors
    /// When the engine does not.
    pub async fn close(lanes: Vec<Self>) -> Result<()> {
        for lane in lanes {
            lane.docker.remove_network(&lane.network).await?;
        }
        Ok(())
    }

    /// Where the container is.
    async fn address(&self, id: &str) -> Result<Ipv4Addr> {
        let there = self.docker.inspect_container(id, None).await?;
        let networks = there.network_settings.and_then(|s| s.networks).unwrap_or_default();
        let address = networks.into_values().find_map(|endpoint| endpoint.ip_address);
        Ok(address.context("a container without an address")?.parse()?)
    }

    async fn started_and_asked(&self, id: &str) -> Result<()> {
        self.docker.start_container(id, None).await?;
        let address = self.address(id).await?;
        timeout(PATIENCE, ask(address)).await.context("it does not answer")?
    }
}

impl Act for Lane {
    async fn act(&mut self, _: usize) -> Result<()> {
        let began = Instant::now();
        let body = self.body.clone();
        let id = self.docker.create_container(None::<CreateContainerOptions>, body).await?.id;
        let asked = self.started_and_asked(&id).await;
        self.answered_ms.push(began.elapsed().as_secs_f64() * 1000.0);
        let force = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        self.docker.remove_container(&id, Some(force)).await?;
        asked
    }
}

impl Floor for Lane {
    fn answered(&mut self) -> Vec<f64> {
        std::mem::take(&mut self.answered_ms)
    }
}

/// Asks once, as soon as somebody listens.
async fn ask(address: Ipv4Addr) -> Result<()> {
    let mut stream = loop {
        match TcpStream::connect((address, 80)).await {
            Ok(stream) => break stream,
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    };
    let question = format!("GET {QUESTION} HTTP/1.1\r\nhost: app\r\nconnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).await?;
    let mut answer = Vec::with_capacity(ANSWER);
    stream.read_to_end(&mut answer).await?;
    let told = String::from_utf8_lossy(&answer);
    ensure!(told.starts_with("HTTP/1.1 200"), "it answers {told}");
    Ok(())
}
