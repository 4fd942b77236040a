//! Workloads on a plain engine: making, reading back and starting their containers, and looking
//! at them while they run.

use std::net::Ipv4Addr;

use bollard::{
    models::{ContainerInspectResponse, ContainerStateStatusEnum},
    query_parameters::{InspectContainerOptionsBuilder, LogsOptionsBuilder},
};
use futures::future::try_join_all;

use super::{COUNT, EngineFleet, LOGS, creation::CreateFailure};
use crate::fleet::{
    endpoint::within,
    error::{FleetError, StartFailure},
    given_id::GivenId,
    labels::Tenant,
    log::{self, LINES},
    request::{self, Place},
    start::{Ground, Order},
    words::{WHY_BYTES, sort, why_not_executed},
    workload::{ContainerSpec, ContainerState, Member, Phase, Role, Workload, name},
};

impl Ground for EngineFleet {
    async fn require_startable(&self, image: &str, tenant: &Tenant) -> Result<(), FleetError> {
        self.check_startable(image, tenant)
    }

    async fn bring_up(
        &self,
        order: &Order<'_>,
        made: &mut Vec<Member>,
    ) -> Result<(), StartFailure> {
        for (index, spec) in order.specs.iter().enumerate() {
            made.push(self.make_member(order, spec, index).await?);
        }
        // What the event provides is there before what relies on it.
        let (services, images): (Vec<_>, Vec<_>) =
            made.iter().enumerate().partition(|(_, member)| member.role == Role::Service);
        for (index, member) in services.into_iter().chain(images) {
            let id = member.id.as_str();
            self.start_container(id).await.map_err(|error| sort(error, index))?;
        }
        for (index, member) in made.iter_mut().enumerate() {
            let seen = self.inspect(member.id.as_str()).await?;
            member.address = address(&seen, &order.slot.network);
            if let Phase::NotStarted { detail, .. } = self.phase(&seen).await? {
                return Err(StartFailure::StartFailed { index, detail });
            }
        }
        Ok(())
    }

    async fn take_away(&self, names: &[String], _: &[Member]) -> Result<(), FleetError> {
        // A container has its name for as long as it is there.
        self.remove_ours(names).await
    }
}

impl EngineFleet {
    async fn make_member(
        &self,
        order: &Order<'_>,
        spec: &ContainerSpec,
        index: usize,
    ) -> Result<Member, StartFailure> {
        let Order { slot, tenant, .. } = *order;
        let place = Place {
            network: &slot.network,
            uid: slot.uid,
            node: &slot.node,
            settings: &self.settings.node,
        };
        let labels = self.settings.key.sign(&tenant.identity(spec.role.kind()));
        let name = name(slot, tenant, spec);
        let body = request::container(spec, &place, labels);
        let id = self.create(&name, &body).await.map_err(|failure| match failure {
            CreateFailure::Differs(fields) => StartFailure::LimitDropped { fields },
            CreateFailure::Engine(error) => sort(error, index),
        })?;
        Ok(Member::new(spec, name, GivenId::of(id)))
    }

    pub(in crate::fleet) async fn states(
        &self,
        workload: &Workload,
    ) -> Result<Vec<ContainerState>, FleetError> {
        let network = workload.network();
        try_join_all(workload.members().iter().map(|member| self.state(member, network))).await
    }

    async fn state(&self, member: &Member, network: &str) -> Result<ContainerState, FleetError> {
        let (phase, seen) = match self.inspect(member.id.as_str()).await {
            Ok(seen) => (self.phase(&seen).await?, seen),
            Err(error) if error.is_not_found() => (Phase::Missing, Default::default()),
            Err(error) => return Err(error),
        };
        let state = seen.state.clone().unwrap_or_default();
        Ok(ContainerState {
            role: member.role,
            index: member.index,
            alias: member.alias.clone(),
            phase,
            oom_killed: state.oom_killed == Some(true),
            address: address(&seen, network),
            started_at: state.started_at.filter(|at| !at.starts_with("0001-")),
        })
    }

    async fn phase(&self, seen: &ContainerInspectResponse) -> Result<Phase, FleetError> {
        let state = seen.state.clone().unwrap_or_default();
        match state.status {
            Some(ContainerStateStatusEnum::CREATED) => return Ok(Phase::Created),
            // Somebody else is removing it.
            Some(ContainerStateStatusEnum::DEAD | ContainerStateStatusEnum::REMOVING) => {
                return Ok(Phase::Missing);
            }
            Some(ContainerStateStatusEnum::EXITED) => {}
            _ if state.running == Some(true) => return Ok(Phase::Running),
            _ => {}
        }
        let exit_code = state.exit_code.unwrap_or(-1);
        // The codes with which a runtime or an init ends that could not execute the command.
        if matches!(exit_code, 1 | 126 | 127)
            && let Some(id) = &seen.id
            && let Some(detail) = why_not_executed(&self.log(id, WHY_BYTES).await?)
        {
            return Ok(Phase::NotStarted { exit_code, detail });
        }
        Ok(Phase::Exited { exit_code })
    }

    pub(in crate::fleet) async fn logs(
        &self,
        workload: &Workload,
        index: usize,
        max_bytes: usize,
    ) -> Result<String, FleetError> {
        match workload.members().get(index) {
            Some(member) => self.log(member.id.as_str(), max_bytes).await,
            None => Ok(String::new()),
        }
    }

    /// The end of a container's output.
    async fn log(&self, id: &str, max_bytes: usize) -> Result<String, FleetError> {
        let docker = self.docker()?;
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(LINES).build();
        log::end_of(docker.logs(id, Some(options)), LOGS, max_bytes).await
    }

    pub(in crate::fleet) async fn written(
        &self,
        workload: &Workload,
    ) -> Result<Vec<Option<u64>>, FleetError> {
        let docker = self.docker()?;
        let looks = workload.members().iter().map(|member| {
            let options = InspectContainerOptionsBuilder::new().size(true).build();
            let look = docker.inspect_container(member.id.as_str(), Some(options));
            within(COUNT, "counting what a container wrote", look)
        });
        let seen = try_join_all(looks).await?;
        let bytes = |seen: ContainerInspectResponse| {
            // Engines say -1 when their walk through its files failed.
            u64::try_from(seen.size_rw.unwrap_or(0)).ok()
        };
        Ok(seen.into_iter().map(bytes).collect())
    }
}

fn address(seen: &ContainerInspectResponse, network: &str) -> Option<Ipv4Addr> {
    let networks = seen.network_settings.as_ref()?.networks.as_ref()?;
    let endpoint = networks.values().find(|end| end.network_id.as_deref() == Some(network))?;
    endpoint.ip_address.as_deref()?.parse().ok()
}
