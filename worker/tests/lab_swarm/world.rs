//! What every test stands on: a lab, the way to its swarm, and images in its quarantine. A test ends
//! with [`World::end`], which fails if anything of it is left anywhere in the lab.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use portcall_shared::domain::ids::{Generation, SubmissionId, WorkerId};
use portcall_tests::{
    Lab,
    lab::{Database, Plan},
    parts::given,
    wait,
};
use portcall_worker::{
    fleet::{
        Availability, ContainerSpec, ContainerState, Fleet, ImageDeclares, LabelKey, Limits, Node,
        Nodes, Owner, Phase, Profile, Role, RootQuota, Slot, SubnetPool, SwarmSettings, Workload,
    },
    probe::wire::{AskLimits, Method, Observation, Question},
};
use serde_json::{Value, json};

use crate::{
    program::app,
    push::{File, push},
};

const KEY: LabelKey = LabelKey([9; 32]);
/// For what a swarm does by itself, on a machine that is busy with other tests.
pub(crate) const SOON: Duration = Duration::from_secs(90);

pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) nodes: Nodes,
    pub(crate) worker: WorkerId,
    app: Vec<u8>,
}

impl World {
    pub(crate) async fn of(managers: u8, graders: u8) -> Result<Self> {
        portcall_shared::tls::install_provider();
        let app = app()?;
        let plan =
            Plan { managers, graders, database: Database::None, slots: Some(3), ..Plan::default() };
        let lab = Lab::of(plan).await?;
        let worker = WorkerId::new();
        let nodes = Nodes::swarm(settings(&lab, worker)?)?;
        Ok(Self { lab, nodes, worker, app })
    }

    /// The node of that name, which may be used.
    pub(crate) async fn node(&self, name: &str) -> Result<Node> {
        let nodes = self.nodes.list().await?;
        let node = nodes.into_iter().find(|node| node.name.as_deref() == Some(name));
        let node = node.with_context(|| format!("no node {name}"))?;
        ensure!(node.availability == Availability::Active, "{:?}", node.availability);
        Ok(node)
    }

    pub(crate) async fn fleet(&self, name: &str) -> Result<Fleet> {
        Ok(self.node(name).await?.fleet)
    }

    pub(crate) fn owner(&self) -> Owner {
        let submission = SubmissionId::new();
        Owner { submission, generation: Generation(1), worker: self.worker }
    }

    /// An image that runs `/app` with these arguments, in the quarantine.
    pub(crate) async fn image(&self, arguments: &[&str]) -> Result<String> {
        let command: Vec<&str> = ["/app"].iter().chain(arguments).copied().collect();
        self.image_with(json!({ "Entrypoint": command, "Volumes": { "/data": {} } })).await
    }

    pub(crate) async fn image_with(&self, config: Value) -> Result<String> {
        let files = [
            File { path: "app", bytes: &self.app, mode: 0o755 },
            File { path: "garbage", bytes: b"not a program", mode: 0o755 },
        ];
        push(&self.lab.quarantine()?, "strangers", "amd64", config, &files).await
    }

    pub(crate) async fn spec(
        &self,
        fleet: &Fleet,
        alias: &str,
        image: &str,
    ) -> Result<ContainerSpec> {
        let declared = fleet.image_declares(image).await?;
        Ok(ContainerSpec { declared, ..bare(alias, image, Profile::Ordinary) })
    }

    /// Nothing of this world's is left in the lab.
    pub(crate) async fn left_clean(&self) -> Result<()> {
        let found = self.nodes.sweep().await?.found;
        ensure!(found.is_empty(), "left behind: {found:#?}");
        wait::until("nothing left in the lab", SOON, || async {
            Ok(self.lab.left_over().await?.is_empty().then_some(()))
        })
        .await
    }

    /// The same, and the lab goes without leaving anything.
    pub(crate) async fn end(self) -> Result<()> {
        self.left_clean().await?;
        self.lab.down().await
    }
}

pub(crate) fn settings(lab: &Lab, worker: WorkerId) -> Result<SwarmSettings> {
    let registry = lab.quarantine()?.parse().map_err(|_| anyhow::anyhow!("no registry"))?;
    Ok(SwarmSettings {
        hosts: lab.endpoints()?.split(',').map(str::to_owned).collect(),
        certs: Some(lab.certificates()?),
        worker,
        key: KEY,
        prober: given::static_program("prober")?,
        canary: given::static_program("canary")?,
        pool: SubnetPool::default(),
        root_quota: RootQuota::Watched,
        http_registries: vec![registry],
        quarantine: lab.quarantine()?.parse().map_err(|_| anyhow::anyhow!("no registry"))?,
    })
}

/// A container of an image of which nothing is known.
pub(crate) fn bare(alias: &str, image: &str, profile: Profile) -> ContainerSpec {
    ContainerSpec {
        role: Role::Image,
        index: 0,
        alias: alias.to_owned(),
        image: image.to_owned(),
        profile,
        limits: Limits::of(profile),
        declared: ImageDeclares::default(),
    }
}

/// Asks a path of the container that is `index`-th in the workload, once it listens.
pub(crate) async fn ask(
    slot: &Slot,
    workload: &Workload,
    index: usize,
    path: &str,
) -> Result<String> {
    let address = workload.addresses()[index].context("the container has no address")?;
    wait::until(format!("an answer to {path}"), SOON, || async {
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
            Observation::Answer { status: 200, body, .. } => Ok(Some(String::from_utf8(body)?)),
            Observation::Failed { .. } => Ok(None),
            other => bail!("unexpected observation {other:?}"),
        }
    })
    .await
}

/// Waits until no container runs any more.
pub(crate) async fn ended(fleet: &Fleet, workload: &Workload) -> Result<Vec<ContainerState>> {
    wait::until("the containers' end", SOON, || async {
        let states = fleet.states(workload).await?;
        let over = |s: &ContainerState| !matches!(s.phase, Phase::Running | Phase::Created);
        Ok(states.iter().all(over).then_some(states))
    })
    .await
}
