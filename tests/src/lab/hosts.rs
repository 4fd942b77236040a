//! The hosts of a lab, their engines, and what the swarm says of them.

use std::{net::Ipv4Addr, path::PathBuf};

use anyhow::{Context, Result};
use bollard::{Docker, models::Node, query_parameters::ListNodesOptions};
use serde_json::Value;

use super::{Lab, text};
use crate::parts::engine::Engine;

/// A host, as it is at the moment.
#[derive(Clone, Debug)]
pub struct Host {
    /// `m1`, `g2`, `d3`, `q`, `f`, `x`.
    pub name: String,
    /// Its only address.
    pub address: Ipv4Addr,
    /// Its network namespace.
    pub namespace: PathBuf,
    /// The socket of its engine, if it is one that has an engine.
    pub socket: Option<PathBuf>,
    /// Its first process, while it is on.
    pub pid: Option<u32>,
    /// Whether it joined the swarm.
    pub joined: bool,
}

/// What the swarm says of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeState {
    /// `ready`, `down`, …
    pub state: String,
    /// `active`, `pause`, `drain`.
    pub availability: String,
    /// Whether it leads the managers.
    pub leads: bool,
    /// Its labels, as `name=value`, sorted.
    pub labels: Vec<String>,
    /// The swarm's id of it.
    pub id: String,
}

impl Lab {
    /// A host by its name.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn host(&self, name: &str) -> Result<Host> {
        let described = self.described()?;
        Host::read(&described["hosts"][name]).with_context(|| format!("the host {name}"))
    }

    /// All hosts, in the order of their names.
    ///
    /// # Errors
    /// When the lab does not say.
    pub fn hosts(&self) -> Result<Vec<Host>> {
        let described = self.described()?;
        let hosts = described["hosts"].as_object().context("a lab without hosts")?;
        let mut hosts = hosts.values().map(Host::read).collect::<Result<Vec<_>>>()?;
        hosts.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(hosts)
    }

    /// The engine of a host, as its own processes reach it; whether it answers is not asked.
    ///
    /// # Errors
    /// When the host has no engine, or it was never on.
    pub fn docker(&self, host: &str) -> Result<Docker> {
        Ok(Docker::connect_with_host(&self.engine_address(host)?)?)
    }

    /// The same engine as a witness.
    ///
    /// # Errors
    /// When the host has no engine, or it was never on.
    pub fn engine(&self, host: &str) -> Result<Engine> {
        Engine::connect(&self.engine_address(host)?)
    }

    fn engine_address(&self, host: &str) -> Result<String> {
        let socket = self.host(host)?.socket.with_context(|| format!("{host} has no engine"))?;
        Ok(format!("unix://{}", socket.display()))
    }

    /// What the swarm says of a host; nothing while no manager answers, or none knows it.
    ///
    /// # Errors
    /// When the lab does not say what there is.
    pub async fn node(&self, host: &str) -> Result<Option<NodeState>> {
        let nodes = self.nodes().await?;
        Ok(nodes.into_iter().find(|(name, _)| name == host).map(|(_, state)| state))
    }

    /// What the swarm says of its nodes, by their names; nothing while no manager answers.
    ///
    /// # Errors
    /// When the lab does not say what there is.
    pub async fn nodes(&self) -> Result<Vec<(String, NodeState)>> {
        for host in self.hosts()? {
            if !host.name.starts_with('m') || host.pid.is_none() {
                continue;
            }
            let Ok(docker) = self.docker(&host.name) else { continue };
            if let Ok(nodes) = docker.list_nodes(None::<ListNodesOptions>).await {
                return Ok(nodes.into_iter().filter_map(said).collect());
            }
        }
        Ok(Vec::new())
    }
}

impl Host {
    fn read(value: &Value) -> Result<Self> {
        let path = |name: &str| value[name].as_str().map(PathBuf::from);
        Ok(Self {
            name: text(&value["name"])?,
            address: text(&value["address"])?.parse()?,
            namespace: path("namespace").context("no namespace")?,
            socket: path("socket"),
            pid: value["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()),
            joined: value["joined"] == true,
        })
    }
}

fn said(node: Node) -> Option<(String, NodeState)> {
    let (spec, description) = (node.spec?, node.description?);
    let labels = spec.labels.unwrap_or_default().into_iter();
    let mut labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
    labels.sort();
    let state = NodeState {
        state: node.status?.state?.to_string(),
        availability: spec.availability?.to_string(),
        leads: node.manager_status.is_some_and(|status| status.leader == Some(true)),
        labels,
        id: node.id?,
    };
    Some((description.hostname?, state))
}
