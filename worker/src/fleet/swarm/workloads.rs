//! Workloads on a swarm: making, reading back and starting their services, and looking at their tasks
//! while they run.

use std::time::Duration;

use bollard::{Docker, query_parameters::LogsOptionsBuilder};
use futures::future::{join_all, try_join_all};

use super::{
    LOGS, SwarmFleet, request,
    tasks::{Stage, Task},
};
use crate::fleet::{
    engine::creation::CreateFailure,
    error::{FleetError, StartFailure},
    given_id::GivenId,
    labels::Tenant,
    log::{self, LINES},
    own_image::OwnImage,
    slot::Side,
    start::{Ground, Order},
    words::{WHY_BYTES, sort, why_not_executed},
    workload::{ContainerState, Member, Phase, Role, Workload, name},
};

/// How long a node has to show that it is there, after it told that a container ended. Its anchor
/// speaks every second.
const STILL_THERE: Duration = Duration::from_secs(5);

impl Ground for SwarmFleet {
    /// Only what is pinned in the platform's own registry is startable, and our own canary as a
    /// canary only.
    async fn require_startable(&self, image: &str, tenant: &Tenant) -> Result<(), FleetError> {
        let is_canary = self.swarm.own.is(OwnImage::Canary, image).await;
        let host = self.swarm.settings.quarantine.as_str();
        let of_ours = image.strip_prefix(host).is_some_and(|rest| rest.starts_with('/'));
        let startable = match tenant {
            Tenant::Submission(_) => of_ours && !is_canary && image.contains("@sha256:"),
            Tenant::Canary(_) => is_canary,
        };
        if startable { Ok(()) } else { Err(FleetError::NotPinned(image.to_owned())) }
    }

    async fn bring_up(
        &self,
        order: &Order<'_>,
        made: &mut Vec<Member>,
    ) -> Result<(), StartFailure> {
        let Order { slot, tenant, specs, times } = *order;
        let place = request::Place {
            network: &slot.network,
            uid: slot.uid,
            node: &self.node,
            api: self.api(&slot.node),
        };
        let mut services = Vec::with_capacity(specs.len());
        for (index, spec) in specs.iter().enumerate() {
            let name = name(slot, tenant, spec);
            let labels = self.swarm.settings.key.sign(&tenant.identity(spec.role.kind()));
            let service = request::service(&name, spec, &place, &labels);
            let id = self.swarm.make_service(&service).await.map_err(|failure| match failure {
                CreateFailure::Differs(fields) => StartFailure::LimitDropped { fields },
                CreateFailure::Engine(error) => sort(error, index),
            })?;
            let mut member = Member::new(spec, name, id);
            if let Side::Far(far) = &slot.side {
                member.watch = Some(far.watch.clone());
            }
            made.push(member);
            services.push(service);
        }
        // What the event provides is there before what relies on it.
        for role in [Role::Service, Role::Image] {
            let all = made.iter_mut().zip(&services).enumerate();
            let mine = all.filter(|(_, (member, _))| member.role == role);
            let started = mine.map(|(index, (member, service))| async move {
                self.swarm.give_task(&member.id, service).await?;
                let task = self.swarm.until_it_runs(&member.id, &member.name, times).await?;
                member.address = task.address(&slot.network);
                self.started(member, &task, index).await
            });
            // All of them are waited for: which failed is told by the first in the list.
            join_all(started).await.into_iter().collect::<Result<(), StartFailure>>()?;
        }
        Ok(())
    }

    /// Tasks know the id of their service alone, also when its name is gone with it.
    async fn take_away(&self, names: &[String], made: &[Member]) -> Result<(), FleetError> {
        let mut ids: Vec<GivenId> = made.iter().map(|member| member.id.clone()).collect();
        let named = self.swarm.ours_named(names).await;
        let others = named.as_ref().map(Vec::as_slice).unwrap_or_default();
        ids.extend(others.iter().filter(|id| made.iter().all(|it| it.id != **id)).cloned());
        self.remove_services(&ids).await?;
        named.map(drop)
    }
}

impl SwarmFleet {
    /// Whether a task that is not on its way any more was started.
    async fn started(
        &self,
        member: &Member,
        task: &Task,
        index: usize,
    ) -> Result<(), StartFailure> {
        match self.phase(member, task).await? {
            Phase::NotStarted { detail, .. } => Err(StartFailure::StartFailed { index, detail }),
            Phase::Missing => Err(refused(member, task, index)),
            Phase::Created | Phase::Running | Phase::Exited { .. } => Ok(()),
        }
    }

    pub(in crate::fleet) async fn states(
        &self,
        workload: &Workload,
    ) -> Result<Vec<ContainerState>, FleetError> {
        let network = workload.network();
        try_join_all(workload.members().iter().map(|member| self.state(member, network))).await
    }

    async fn state(&self, member: &Member, network: &str) -> Result<ContainerState, FleetError> {
        let task = self.swarm.task_of(&member.id).await?;
        let phase = match &task {
            Some(task) => self.phase(member, task).await?,
            None => Phase::Missing,
        };
        let running = phase == Phase::Running;
        Ok(ContainerState {
            role: member.role,
            index: member.index,
            alias: member.alias.clone(),
            phase,
            // A task does not tell; the exit code does ([`crate::judge::Presence::Killed`]).
            oom_killed: false,
            address: task.as_ref().filter(|_| running).and_then(|task| task.address(network)),
            started_at: task.filter(|_| running).and_then(|task| task.since),
        })
    }

    /// How a container is. One that ended is the stranger's own doing only if its node went on: when
    /// an engine is restarted, or a machine, all of its tasks end, and the anchor with them.
    async fn phase(&self, member: &Member, task: &Task) -> Result<Phase, FleetError> {
        let code = match task.stage {
            Stage::Running => return Ok(Phase::Running),
            Stage::Unplaced | Stage::Assigned | Stage::Preparing | Stage::Starting => {
                return Ok(Phase::Created);
            }
            Stage::Refused | Stage::Taken => return Ok(Phase::Missing),
            Stage::Exited { code } => code,
        };
        if let Some(phase) = member.ended.get() {
            return Ok(phase.clone());
        }
        let phase = if !goes_on(member).await {
            Phase::Missing
        } else if matches!(code, 1 | 126 | 127)
            && let Some(detail) = why_not_executed(&self.log(&member.id, WHY_BYTES).await?)
        {
            Phase::NotStarted { exit_code: code, detail }
        } else {
            Phase::Exited { exit_code: code }
        };
        Ok(member.ended.get_or_init(|| phase).clone())
    }

    pub(in crate::fleet) async fn logs(
        &self,
        workload: &Workload,
        index: usize,
        max_bytes: usize,
    ) -> Result<String, FleetError> {
        match workload.members().get(index) {
            Some(member) => self.log(&member.id, max_bytes).await,
            None => Ok(String::new()),
        }
    }

    /// The end of a task's output.
    async fn log(&self, id: &GivenId, max_bytes: usize) -> Result<String, FleetError> {
        let docker: Docker = self.swarm.endpoint.answering().await?;
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(LINES).build();
        log::end_of(docker.service_logs(id.as_str(), Some(options)), LOGS, max_bytes).await
    }
}

/// Whether a container's node goes on without it. One word of the anchor may have been on its way when
/// it ended together with the container; a second one was not.
async fn goes_on(member: &Member) -> bool {
    let Some(watch) = &member.watch else { return false };
    for _ in 0..2 {
        if watch.next(STILL_THERE).await.is_none() {
            return false;
        }
    }
    true
}

/// Why a task never ran: what the node says of the image's command, user and directory is the
/// participant's, everything else the platform's.
fn refused(member: &Member, task: &Task, index: usize) -> StartFailure {
    let words = task.words.strip_prefix("starting container failed: ").unwrap_or(&task.words);
    let said =
        FleetError::Refused { doing: "starting a container", status: 0, message: words.to_owned() };
    match sort(said, index) {
        StartFailure::Engine(_) if task.stage == Stage::Taken => {
            Stage::Taken.instead(&member.name, &task.words).into()
        }
        StartFailure::Engine(_) => Stage::Refused.instead(&member.name, &task.words).into(),
        participants => participants,
    }
}
