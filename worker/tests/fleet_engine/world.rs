//! What every test stands on: a fleet of its own on the engine under test, a registry, and the
//! images of `app.rs`. A test ends with [`World::end`], which fails if anything of its is left.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use portcall_shared::domain::ids::{Generation, SubmissionId, WorkerId};
use portcall_worker::{
    fleet::{
        ContainerSpec, ContainerState, EngineSettings, Fleet, Images, LabelKey, Limits,
        NodeSettings, Owner, Phase, Profile, Role, Slot, SubnetPool, Workload,
    },
    probe::wire::{AskLimits, Method, Observation, Question},
};
use serde_json::{Value, json};

use crate::{
    program::app,
    push::{File, push},
};

const KEY: LabelKey = LabelKey([9; 32]);

pub(crate) struct World {
    pub(crate) fleet: Fleet,
    pub(crate) worker: WorkerId,
    pub(crate) registry: String,
    app: Vec<u8>,
}

impl World {
    pub(crate) fn new() -> Result<Self> {
        Self::with(NodeSettings::default())
    }

    /// On a node whose operator decided this.
    pub(crate) fn with(node: NodeSettings) -> Result<Self> {
        let worker = WorkerId::new();
        let fleet = open(engine_host()?, worker, KEY, node)?;
        let registry = variable("PORTCALL_TEST_REGISTRY", "host:port of a local registry")?;
        Ok(Self { fleet, worker, registry, app: app()? })
    }

    pub(crate) fn owner(&self) -> Owner {
        let submission = SubmissionId::new();
        Owner { submission, generation: Generation(1), worker: self.worker }
    }

    /// An image that runs `/app` with these arguments, pulled.
    pub(crate) async fn image(&self, arguments: &[&str]) -> Result<String> {
        let command: Vec<&str> = ["/app"].iter().chain(arguments).copied().collect();
        self.image_with(json!({ "Entrypoint": command, "Volumes": { "/data": {} } })).await
    }

    pub(crate) async fn image_with(&self, config: Value) -> Result<String> {
        let image = self.push("amd64", config).await?;
        self.fleet.pull(&image, Duration::from_secs(60)).await?;
        Ok(image)
    }

    pub(crate) async fn push(&self, arch: &str, config: Value) -> Result<String> {
        let files = [
            File { path: "app", bytes: &self.app, mode: 0o755 },
            File { path: "garbage", bytes: b"not a program", mode: 0o755 },
            File { path: "plain", bytes: b"not executable", mode: 0o644 },
        ];
        push(&self.registry, "fleet/app", arch, config, &files).await
    }

    pub(crate) async fn spec(
        &self,
        alias: &str,
        image: &str,
        profile: Profile,
    ) -> Result<ContainerSpec> {
        Ok(ContainerSpec {
            role: Role::Image,
            index: 0,
            alias: alias.to_owned(),
            image: image.to_owned(),
            profile,
            limits: Limits::of(profile),
            declared: self.fleet.image_declares(image).await?,
        })
    }

    /// Nothing of this world's is left on the engine.
    pub(crate) async fn end(self) -> Result<()> {
        let mut left = self.fleet.sweep().await?.found;
        left.retain(|found| found.worker == self.worker);
        ensure!(left.is_empty(), "left behind: {left:#?}");
        Ok(())
    }
}

pub(crate) fn engine_host() -> Result<String> {
    variable("PORTCALL_TEST_DOCKER_HOST", "address of an engine")
}

pub(crate) fn fleet(worker: WorkerId, key: LabelKey) -> Result<Fleet> {
    open(engine_host()?, worker, key, NodeSettings::default())
}

/// The same installation over another address.
pub(crate) fn fleet_at(host: &str, worker: WorkerId) -> Result<Fleet> {
    open(host.to_owned(), worker, KEY, NodeSettings::default())
}

fn open(host: String, worker: WorkerId, key: LabelKey, node: NodeSettings) -> Result<Fleet> {
    let prober = variable("PORTCALL_PROBER_BIN", "path of the static prober")?.into();
    let canary = variable("PORTCALL_CANARY_BIN", "path of the static canary")?.into();
    let pool = SubnetPool::default();
    Ok(Fleet::engine(EngineSettings {
        host,
        certs: None,
        worker,
        key,
        prober,
        canary,
        pool,
        node,
        images: Images::Pinned,
    })?)
}

/// Asks a path of the container that is `index`-th in the workload, once it listens.
pub(crate) async fn ask(
    slot: &Slot,
    workload: &Workload,
    index: usize,
    path: &str,
) -> Result<String> {
    let address = workload.addresses()[index].context("the container has no address")?;
    for _ in 0..100 {
        let question = Question {
            id: 1,
            address: (address, 80).into(),
            host: "app".into(),
            method: Method::Get,
            path: path.to_owned(),
            headers: vec![],
            body: None,
            limits: AskLimits { headers_ms: 20_000, total_ms: 20_000, ..AskLimits::default() },
        };
        match slot.prober().ask(question).await? {
            Observation::Answer { status: 200, body, .. } => return Ok(String::from_utf8(body)?),
            Observation::Failed { .. } => tokio::time::sleep(Duration::from_millis(50)).await,
            other => bail!("unexpected observation {other:?}"),
        }
    }
    bail!("{path} was never answered")
}

/// Waits until no container runs any more.
pub(crate) async fn ended(fleet: &Fleet, workload: &Workload) -> Result<Vec<ContainerState>> {
    for _ in 0..400 {
        let states = fleet.states(workload).await?;
        if states.iter().all(|state| !matches!(state.phase, Phase::Running | Phase::Created)) {
            return Ok(states);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("the containers did not end")
}

pub(crate) fn variable(name: &str, what: &str) -> Result<String> {
    std::env::var_os(name)
        .and_then(|value| value.into_string().ok())
        .with_context(|| format!("these tests need {name}, the {what}"))
}
