//! Grading on a swarm, against bare services of the same swarm: a lab of one manager and one grader.
//!
//! The bare service is the very request that the worker made for a submission, caught at the manager while
//! one was graded, in an overlay of the lane's own. It is made with its task at once, awaited at the
//! manager, asked once from a prober there, and removed until its container is gone. Something else stays
//! in the overlay on the grader, as a slot's anchor does; without it the overlay comes and goes with each.

use std::{collections::HashMap, net::Ipv4Addr, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use bollard::{
    Docker,
    models::{
        ContainerCreateBody, HostConfig, Ipam, IpamConfig, NetworkAttachmentConfig,
        NetworkCreateRequest, ServiceSpec, ServiceSpecMode, ServiceSpecModeReplicated, TaskState,
    },
    query_parameters::{
        AttachContainerOptionsBuilder, CreateContainerOptions, ListContainersOptionsBuilder,
        ListServicesOptions, ListTasksOptionsBuilder, RemoveContainerOptionsBuilder,
    },
};
use futures::StreamExt as _;
use portcall_tests::{
    Lab, Recipe,
    lab::{Plan as LabPlan, world::Portcall},
    parts::process::Ended,
    wait,
};
use portcall_worker::probe::{
    client::ProberClient,
    wire::{AskLimits, Method, Observation, Question},
};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::io::StreamReader;

use crate::{
    Size,
    bare::QUESTION,
    grading::{Crowd, Floor, beside, event},
    load::Act,
    report::Report,
    stock::driver,
};

const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at what is on its way.
const LOOK: Duration = Duration::from_millis(20);
const MANAGER: &str = "m1";
const GRADER: &str = "g1";
/// As [`Portcall`] calls it.
const DATABASE: &str = "portcall";
const KIND: &str = "portcall.kind";

/// How many slots there are, gradings of each a round has, and rounds. Each container reserves half a
/// processor of the grader, so more slots than these are for larger machines.
fn plan(size: Size) -> (&'static [usize], [usize; 2]) {
    match size {
        Size::Tiny => (&[1], [1, 1]),
        Size::Usual => (&[1, 2], [3, 5]),
    }
}

/// A lane: an overlay with a prober on the manager and something that stays on the grader.
struct Lane {
    manager: Docker,
    grader: Docker,
    spec: ServiceSpec,
    network: String,
    prober_id: String,
    prober: ProberClient,
    anchor: String,
    made: usize,
    answered_ms: Vec<f64>,
}

fn one() -> Option<ServiceSpecMode> {
    let replicated = ServiceSpecModeReplicated { replicas: Some(1) };
    Some(ServiceSpecMode { replicated: Some(replicated), ..Default::default() })
}

/// The worker's request for a submission's service, caught while one is graded.
async fn caught(manager: &Docker, crowd: &mut Crowd) -> Result<ServiceSpec> {
    let catch = async {
        loop {
            for service in manager.list_services(None::<ListServicesOptions>).await? {
                let spec = service.spec.unwrap_or_default();
                let labels = spec.labels.as_ref();
                if labels.and_then(|l| l.get(KIND)).is_some_and(|kind| kind == "workload") {
                    return anyhow::Ok(spec);
                }
            }
            sleep(LOOK / 4).await;
        }
    };
    let (spec, graded) = tokio::join!(timeout(PATIENCE, catch), crowd.grade(2));
    graded?;
    spec.context("no service was seen")?
}

/// The image and the command of the probers that the worker has on the manager.
async fn prober_image(manager: &Docker) -> Result<String> {
    let filters = HashMap::from([("label".to_owned(), vec![format!("{KIND}=prober")])]);
    let options = ListContainersOptionsBuilder::new().filters(&filters).build();
    let found = manager.list_containers(Some(options)).await?.into_iter().next();
    found.and_then(|container| container.image_id).context("no prober on the manager")
}

async fn overlay(manager: &Docker, number: usize) -> Result<(String, String)> {
    let subnet = format!("10.211.{number}.0/24");
    let config = IpamConfig { subnet: Some(subnet.clone()), ..Default::default() };
    let request = NetworkCreateRequest {
        name: format!("bench-{number}"),
        driver: Some("overlay".to_owned()),
        internal: Some(true),
        attachable: Some(true),
        ipam: Some(Ipam { config: Some(vec![config]), ..Default::default() }),
        ..Default::default()
    };
    Ok((manager.create_network(request).await?.id, subnet))
}

/// A prober in the overlay: its container, and the way to it.
async fn prober(manager: &Docker, network: &str, subnet: &str) -> Result<(String, ProberClient)> {
    let gateway = subnet.replace(".0/24", ".1");
    let command = ["--within", subnet, "--except", &gateway].map(str::to_owned);
    let body = ContainerCreateBody {
        image: Some(prober_image(manager).await?),
        cmd: Some(command.into()),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        open_stdin: Some(true),
        stdin_once: Some(true),
        host_config: Some(HostConfig {
            network_mode: Some(network.to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let id = manager.create_container(None::<CreateContainerOptions>, body).await?.id;
    let options = AttachContainerOptionsBuilder::new().stdin(true).stdout(true).stream(true);
    let streams = manager.attach_container(&id, Some(options.build())).await?;
    let said = streams.output.map(|piece| {
        piece.map(bollard::container::LogOutput::into_bytes).map_err(std::io::Error::other)
    });
    let client = ProberClient::new(StreamReader::new(Box::pin(said)), streams.input, |_| true);
    manager.start_container(&id, None).await?;
    client.ping().await?;
    Ok((id, client))
}

impl Lane {
    async fn open(lab: &Lab, number: usize, like: &ServiceSpec) -> Result<Self> {
        let (manager, grader) = (lab.docker(MANAGER)?, lab.docker(GRADER)?);
        let (network, subnet) = overlay(&manager, number).await?;
        let mut spec = ServiceSpec { labels: None, mode: one(), ..like.clone() };
        let task = spec.task_template.as_mut().context("a service without a task")?;
        let attached = NetworkAttachmentConfig {
            target: Some(network.clone()),
            aliases: Some(vec!["app".to_owned()]),
            ..Default::default()
        };
        task.networks = Some(vec![attached]);
        if let Some(container) = task.container_spec.as_mut() {
            container.labels = None;
        }
        // What stays takes nothing from those that come and go.
        let mut anchor =
            ServiceSpec { name: Some(format!("bench-anchor-{number}")), ..spec.clone() };
        if let Some(task) = anchor.task_template.as_mut() {
            task.resources = None;
        }
        let made = manager.create_service(anchor, None).await?;
        let anchor = made.id.context("a service without an id")?;
        let (prober_id, prober) = prober(&manager, &network, &subnet).await?;
        let lane = Self {
            manager,
            grader,
            spec,
            network,
            prober_id,
            prober,
            anchor,
            made: number * 1_000_000,
            answered_ms: Vec::new(),
        };
        timeout(PATIENCE, lane.running(&lane.anchor)).await.context("no anchor runs")??;
        Ok(lane)
    }

    async fn close(self) -> Result<()> {
        let Self { manager, prober, prober_id, anchor, network, .. } = self;
        drop(prober);
        let force = RemoveContainerOptionsBuilder::new().force(true).build();
        manager.remove_container(&prober_id, Some(force)).await?;
        manager.delete_service(&anchor).await?;
        wait::until("the overlay is free", PATIENCE, || async {
            Ok(manager.remove_network(&network).await.ok())
        })
        .await
    }

    /// Waits until the manager says that its task runs.
    async fn running(&self, service: &str) -> Result<()> {
        let filters = HashMap::from([("service".to_owned(), vec![service.to_owned()])]);
        let options = ListTasksOptionsBuilder::new().filters(&filters).build();
        loop {
            for task in self.manager.list_tasks(Some(options.clone())).await? {
                let status = task.status.unwrap_or_default();
                match status.state {
                    Some(TaskState::RUNNING) => return Ok(()),
                    Some(TaskState::FAILED | TaskState::REJECTED) => bail!("{status:?}"),
                    _ => {}
                }
            }
            sleep(LOOK).await;
        }
    }

    /// The service's containers on the grader.
    async fn containers(&self, service: &str) -> Result<Vec<String>> {
        let label = format!("com.docker.swarm.service.id={service}");
        let filters = HashMap::from([("label".to_owned(), vec![label])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let found = self.grader.list_containers(Some(options)).await?;
        Ok(found.into_iter().filter_map(|container| container.id).collect())
    }

    /// Where it is: a manager's answer has it too, but the library does not show it.
    async fn address(&self, service: &str) -> Result<Ipv4Addr> {
        let id = self.containers(service).await?.pop().context("no container on the grader")?;
        let there = self.grader.inspect_container(&id, None).await?;
        let networks = there.network_settings.and_then(|s| s.networks).unwrap_or_default();
        let own = networks.into_values().find(|end| end.network_id.as_ref() == Some(&self.network));
        Ok(own.and_then(|end| end.ip_address).context("it has no address")?.parse()?)
    }

    async fn ask(&self, address: Ipv4Addr) -> Result<()> {
        loop {
            let question = Question {
                id: 1,
                address: (address, 80).into(),
                host: "app".to_owned(),
                method: Method::Get,
                path: QUESTION.to_owned(),
                headers: Vec::new(),
                body: None,
                limits: AskLimits::default(),
            };
            match self.prober.ask(question).await? {
                Observation::Answer { status: 200, .. } => return Ok(()),
                Observation::Failed { .. } => sleep(LOOK).await,
                other => bail!("{other:?}"),
            }
        }
    }

    async fn started_and_asked(&self, service: &str) -> Result<()> {
        let asked = async {
            self.running(service).await?;
            self.ask(self.address(service).await?).await
        };
        timeout(PATIENCE, asked).await.context("it does not answer")?
    }
}

impl Act for Lane {
    async fn act(&mut self, _: usize) -> Result<()> {
        self.made += 1;
        let spec = ServiceSpec { name: Some(format!("bench-{}", self.made)), ..self.spec.clone() };
        let began = Instant::now();
        let service = self.manager.create_service(spec, None).await?.id.context("no id")?;
        let asked = self.started_and_asked(&service).await;
        self.answered_ms.push(began.elapsed().as_secs_f64() * 1000.0);
        self.manager.delete_service(&service).await?;
        let gone = async {
            while !self.containers(&service).await?.is_empty() {
                sleep(LOOK).await;
            }
            anyhow::Ok(())
        };
        timeout(PATIENCE, gone).await.context("its container stays")??;
        asked
    }
}

impl Floor for Lane {
    fn answered(&mut self) -> Vec<f64> {
        std::mem::take(&mut self.answered_ms)
    }
}

/// Another worker with so many slots, in place of the one before.
async fn with_slots(world: &mut Portcall, slots: usize) -> Result<()> {
    for mut worker in std::mem::take(&mut world.workers) {
        worker.process.terminate()?;
        let ended = worker.process.wait(PATIENCE).await?;
        ensure!(ended == Ended::Code(0), "a worker ended: {ended:?}\n{}", worker.process.log());
    }
    world.start_worker(u32::try_from(slots)?).await?;
    wait::until(format!("{slots} slots are open"), PATIENCE, || async {
        let nodes = world.nodes().await?;
        let entries = nodes.get(GRADER).map(Vec::as_slice).unwrap_or_default();
        let open: u64 = entries.iter().filter_map(|entry| entry["open"].as_u64()).sum();
        Ok((open == slots as u64).then_some(()))
    })
    .await
}

/// Measures it on a swarm.
///
/// # Errors
/// When a part does not do what it should.
pub async fn run(size: Size) -> Result<Report> {
    let (all_slots, much) = plan(size);
    let mut report = Report::new("swarm");
    // By itself a grader of two processors has one slot: something is left for a canary.
    let most = all_slots.last().map(|slots| u32::try_from(*slots)).transpose()?;
    let plan = LabPlan { managers: 1, graders: 1, slots: most, ..LabPlan::default() };
    let lab = Lab::of(plan).await?;
    let uri = lab.database()?;
    let first = u32::try_from(all_slots.first().copied().unwrap_or(1))?;
    let mut world = Portcall::start(lab, &event(), first, &[GRADER]).await?;
    let image = world.push("app", &Recipe::app("ok")?).await?;
    let client = driver(&uri).await?;
    let submissions = client.database(DATABASE).collection("submissions");
    let mut crowd = Crowd::of(world.client.clone(), image, submissions);
    let like = caught(&world.lab.docker(MANAGER)?, &mut crowd).await?;
    for (n, &slots) in all_slots.iter().enumerate() {
        if n > 0 {
            with_slots(&mut world, slots).await?;
        }
        let mut lanes = Vec::with_capacity(slots);
        for lane in 0..slots {
            lanes.push(Lane::open(&world.lab, n * 16 + lane + 1, &like).await?);
        }
        for lane in beside("swarm", &mut crowd, lanes, much, &mut report).await? {
            lane.close().await?;
        }
    }
    client.shutdown().await;
    world.finish().await?;
    Ok(report)
}
