//! The engine itself, asked for what the fleet never asks for: containers and networks without one
//! of their walls. Everything made here is removed here, and wears a label by which a leftover is
//! seen.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result, bail};
use bollard::{
    API_DEFAULT_VERSION, Docker,
    container::LogOutput,
    models::{ContainerCreateBody, NetworkCreateRequest},
    query_parameters::{
        CreateContainerOptions, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
        StartContainerOptions, WaitContainerOptions,
    },
};
use futures::StreamExt;
use portcall_worker::fleet::{NodeFacts, request, subnet::Subnet};
use tokio::time::timeout;

use crate::world::engine_host;

/// For a container to say what it has to say.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many subnets are tried before one is free.
const SUBNETS: usize = 20;

pub(crate) struct RawEngine(Docker);

/// A network that is removed by [`RawEngine::remove_network`].
pub(crate) struct RawNetwork {
    pub(crate) id: String,
    pub(crate) subnet: Subnet,
}

pub(crate) fn labels() -> HashMap<String, String> {
    [("portcall.control".to_owned(), "1".to_owned())].into()
}

impl RawEngine {
    pub(crate) fn new() -> Result<Self> {
        let host = engine_host()?;
        Ok(Self(match host.strip_prefix("unix://") {
            Some(path) => Docker::connect_with_unix(path, 60, API_DEFAULT_VERSION)?,
            None => Docker::connect_with_http(&host, 60, API_DEFAULT_VERSION)?,
        }))
    }

    /// A slot's network with something of it changed, on a subnet beside those of slots.
    pub(crate) async fn network(
        &self,
        node: &NodeFacts,
        change: impl Fn(&mut NetworkCreateRequest),
    ) -> Result<RawNetwork> {
        for _ in 0..SUBNETS {
            let (third, fourth) = (rand::random::<u8>(), rand::random::<u8>() & 0xF0);
            let subnet: Subnet = format!("10.212.{third}.{fourth}/28").parse()?;
            let name = format!("portcall-control-{third}-{fourth}");
            let mut request = request::network(&name, &subnet, node, labels());
            change(&mut request);
            match self.0.create_network(request).await {
                Ok(made) => return Ok(RawNetwork { id: made.id, subnet }),
                Err(error) if error.to_string().contains("overlap") => {}
                Err(error) => return Err(error.into()),
            }
        }
        bail!("no free subnet")
    }

    pub(crate) async fn remove_network(&self, network: RawNetwork) -> Result<()> {
        Ok(self.0.remove_network(&network.id).await?)
    }

    /// The first line that a container writes to its output, or if it ends without one, to its
    /// standard error.
    ///
    /// # Errors
    /// If it cannot be made, started or removed, or says nothing.
    pub(crate) async fn first_line(&self, body: ContainerCreateBody) -> Result<String> {
        self.with(body, async |id| self.says(id).await).await
    }

    /// Something while a container runs, from its first line on.
    ///
    /// # Errors
    /// If that cannot be made, started or removed, or says nothing; and that thing's own.
    pub(crate) async fn beside<T>(
        &self,
        body: ContainerCreateBody,
        something: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.with(body, async |id| {
            self.says(id).await?;
            something.await
        })
        .await
    }

    async fn says(&self, id: &str) -> Result<String> {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).follow(true).build();
        let mut pieces = self.0.logs(id, Some(options));
        let (mut said, mut complained) = (Vec::new(), Vec::new());
        while !said.contains(&b'\n')
            && let Some(piece) = pieces.next().await
        {
            match piece? {
                LogOutput::StdErr { message } => complained.extend_from_slice(&message),
                piece => said.extend_from_slice(&piece.into_bytes()),
            }
        }
        let words = String::from_utf8(if said.is_empty() { complained } else { said })?;
        Ok(words.lines().next().context("it said nothing")?.to_owned())
    }

    /// All that a container writes until it ends.
    pub(crate) async fn all_words(&self, body: ContainerCreateBody) -> Result<String> {
        self.with(body, async |id| {
            let mut ends = self.0.wait_container(id, None::<WaitContainerOptions>);
            ends.next().await.context("it did not end")??;
            let options = LogsOptionsBuilder::new().stdout(true).build();
            let mut pieces = self.0.logs(id, Some(options));
            let mut said = Vec::new();
            while let Some(piece) = pieces.next().await {
                said.extend_from_slice(&piece?.into_bytes());
            }
            Ok(String::from_utf8_lossy(&said).into_owned())
        })
        .await
    }

    async fn with<T>(
        &self,
        body: ContainerCreateBody,
        hear: impl AsyncFnOnce(&str) -> Result<T>,
    ) -> Result<T> {
        let id = self.0.create_container(None::<CreateContainerOptions>, body).await?.id;
        let heard = async {
            self.0.start_container(&id, None::<StartContainerOptions>).await?;
            timeout(PATIENCE, hear(&id)).await.context("it took too long")?
        };
        let heard = heard.await;
        let force = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        self.0.remove_container(&id, Some(force)).await?;
        heard
    }
}
