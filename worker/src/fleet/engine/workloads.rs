//! Workloads on a plain engine: making, reading back and starting their containers, and looking
//! at them while they run.

use std::net::Ipv4Addr;

use bollard::{
    models::{ContainerInspectResponse, ContainerStateStatusEnum},
    query_parameters::{InspectContainerOptionsBuilder, LogsOptionsBuilder},
};
use futures::{StreamExt, future::try_join_all};
use tokio::time::timeout;

use super::{COUNT, EngineFleet, LOGS, creation::CreateFailure, within};
use crate::fleet::{
    error::{FleetError, StartFailure, cut},
    labels::{Kind, Owner, Tenant},
    request::{self, Place},
    slot::Slot,
    workload::{ContainerSpec, ContainerState, Member, Phase, Role, Workload},
};

/// What is read of a log at most, to find its end: more than the engine keeps of one.
const LOG_READ_BYTES: usize = 8 * 1024 * 1024;
/// Lines of a log that are asked for, from the end.
const LOG_LINES: &str = "2000";
/// How much of a log is looked at to see why a command was not executed.
const WHY_BYTES: usize = 2048;

impl EngineFleet {
    pub(in crate::fleet) async fn start(
        &self,
        slot: &Slot,
        tenant: &Tenant,
        specs: &[ContainerSpec],
    ) -> Result<Vec<Member>, StartFailure> {
        for (index, spec) in specs.iter().enumerate() {
            self.require_startable(&spec.image, tenant)?;
            if let Some(detail) = spec.declared.refusal() {
                return Err(StartFailure::ConfigRefused { index, detail });
            }
        }
        if slot.tenancy.is_doubted() {
            let detail = format!("slot {} may hold something of another", slot.number);
            return Err(FleetError::LeftOver { detail }.into());
        }
        // Until it is known to be otherwise; so it also stays if this future is dropped.
        slot.tenancy.doubt();
        match self.bring_up(slot, tenant, specs).await {
            Ok(members) => {
                slot.tenancy.trust();
                Ok(members)
            }
            Err(failure) => {
                let names: Vec<String> =
                    specs.iter().map(|spec| name(slot, tenant, spec)).collect();
                let lost = matches!(&failure, StartFailure::Engine(e) if e.is_answer_lost());
                match self.remove_ours(&names).await {
                    // What was asked for without an answer may still appear.
                    Ok(()) if !lost => slot.tenancy.trust(),
                    Ok(()) => {}
                    Err(error) => {
                        tracing::error!(%tenant, error = %error, "half a workload is left to the reaper");
                    }
                }
                Err(failure)
            }
        }
    }

    /// Everything is made and read back before anything is started.
    async fn bring_up(
        &self,
        slot: &Slot,
        tenant: &Tenant,
        specs: &[ContainerSpec],
    ) -> Result<Vec<Member>, StartFailure> {
        let mut members = Vec::with_capacity(specs.len());
        for (index, spec) in specs.iter().enumerate() {
            members.push(self.make_member(slot, tenant, spec, index).await?);
        }
        // What the event provides is there before what relies on it.
        let (services, images): (Vec<_>, Vec<_>) =
            members.iter().enumerate().partition(|(_, member)| member.role == Role::Service);
        for (index, member) in services.into_iter().chain(images) {
            self.start_container(&member.id).await.map_err(|error| sort(error, index))?;
        }
        for (index, member) in members.iter_mut().enumerate() {
            let seen = self.inspect(&member.id).await?;
            member.address = address(&seen, &slot.network);
            if let Phase::NotStarted { detail, .. } = self.phase(&seen).await? {
                return Err(StartFailure::StartFailed { index, detail });
            }
        }
        Ok(members)
    }

    async fn make_member(
        &self,
        slot: &Slot,
        tenant: &Tenant,
        spec: &ContainerSpec,
        index: usize,
    ) -> Result<Member, StartFailure> {
        let kind = match spec.role {
            Role::Image => Kind::Workload,
            Role::Service => Kind::Service,
        };
        let place = Place {
            network: &slot.network,
            uid: slot.uid,
            node: &slot.node,
            settings: &self.settings.node,
        };
        let labels = self.settings.key.sign(&tenant.identity(kind));
        let name = name(slot, tenant, spec);
        let body = request::container(spec, &place, labels);
        let id = self.create(&name, &body).await.map_err(|failure| match failure {
            CreateFailure::Differs(fields) => StartFailure::LimitDropped { fields },
            CreateFailure::Engine(error) => sort(error, index),
        })?;
        let (role, alias) = (spec.role, spec.alias.clone());
        Ok(Member { role, index: spec.index, alias, name, id, address: None })
    }

    pub(in crate::fleet) async fn states(
        &self,
        workload: &Workload,
    ) -> Result<Vec<ContainerState>, FleetError> {
        let network = workload.network();
        try_join_all(workload.members().iter().map(|member| self.state(member, network))).await
    }

    async fn state(&self, member: &Member, network: &str) -> Result<ContainerState, FleetError> {
        let (phase, seen) = match self.inspect(&member.id).await {
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
            Some(member) => self.log(&member.id, max_bytes).await,
            None => Ok(String::new()),
        }
    }

    /// The end of a container's output. What is read is bounded, not only what is kept.
    async fn log(&self, id: &str, max_bytes: usize) -> Result<String, FleetError> {
        let doing = "reading a log";
        let docker = self.docker()?;
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(LOG_LINES).build();
        let mut pieces = docker.logs(id, Some(options)).boxed();
        let (mut kept, mut read) = (Vec::new(), 0);
        let reading = async {
            while let Some(piece) = pieces.next().await {
                let piece = piece.map_err(|error| FleetError::from_client(doing, error))?;
                let piece = piece.into_bytes();
                read += piece.len();
                kept.extend_from_slice(&piece);
                if kept.len() > 2 * max_bytes {
                    kept.drain(..kept.len() - max_bytes);
                }
                if read > LOG_READ_BYTES {
                    break;
                }
            }
            Ok(())
        };
        match timeout(LOGS, reading).await {
            // A log that goes on and on is shown as far as it was read.
            Err(_) | Ok(Ok(())) => {}
            Ok(Err(FleetError::Refused { status: 404, .. })) => return Ok(String::new()),
            Ok(Err(error)) => return Err(error),
        }
        kept.drain(..kept.len().saturating_sub(max_bytes));
        Ok(String::from_utf8_lossy(&kept).into_owned())
    }

    pub(in crate::fleet) async fn written(
        &self,
        workload: &Workload,
    ) -> Result<Vec<Option<u64>>, FleetError> {
        let docker = self.docker()?;
        let looks = workload.members().iter().map(|member| {
            let options = InspectContainerOptionsBuilder::new().size(true).build();
            let look = docker.inspect_container(&member.id, Some(options));
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

/// Found again by this name if the engine's answer is lost.
fn name(slot: &Slot, tenant: &Tenant, spec: &ContainerSpec) -> String {
    let Tenant::Submission(Owner { submission, generation, .. }) = tenant else {
        return format!("{}-canary", slot.network_name);
    };
    match spec.role {
        Role::Image => format!("portcall-{submission}-{generation}-{}", spec.index),
        Role::Service => format!("portcall-{submission}-{generation}-s{}", spec.index),
    }
}

fn address(seen: &ContainerInspectResponse, network: &str) -> Option<Ipv4Addr> {
    let networks = seen.network_settings.as_ref()?.networks.as_ref()?;
    let endpoint = networks.values().find(|end| end.network_id.as_deref() == Some(network))?;
    endpoint.ip_address.as_deref()?.parse().ok()
}

/// Whose fault it is that a container was not made or started: what the engine says of the
/// image's command, user and directory is the participant's.
fn sort(error: FleetError, index: usize) -> StartFailure {
    let FleetError::Refused { message, .. } = &error else { return error.into() };
    // Messages quote the image's own words in their middle: what is ours stands at an end.
    let begins = ["exec: \"docker-init\"", "No such image"];
    let ends = ["no space left on device", "cannot allocate memory", "disk quota exceeded"];
    let rest = message.trim_end().trim_end_matches(": unknown");
    if begins.iter().any(|words| message.starts_with(words))
        || ends.iter().any(|words| rest.ends_with(words))
    {
        return error.into();
    }
    let participant = [
        "exec format error",
        "executable file not found",
        "No command specified",
        "no command specified",
        "unable to find user",
        "unable to find group",
        "no matching entries in passwd file",
        "no matching entries in group file",
        "chdir to cwd",
        "mkdir cwd",
        "Cannot mkdir",
        "not a directory",
        "exec: ",
        // Every container is given the same mounts: where one does not fit, the image lies in its
        // way, with a link or a folder.
        "error mounting",
        "error closing exec fds",
        "open /proc/sys/net/",
    ];
    if !participant.iter().any(|words| message.contains(words)) {
        return error.into();
    }
    // "failed to create shim task: OCI runtime create failed: container_linux.go:380: starting
    // container process caused: exec: …": only the end is about the image.
    let start = ["caused: ", "process: ", "create failed: "]
        .iter()
        .filter_map(|noise| message.rfind(noise).map(|at| at + noise.len()))
        .max()
        .unwrap_or(0);
    StartFailure::StartFailed { index, detail: cut(&message[start..]) }
}

/// Some commands turn out not to be executable only when everything else is set up; then the
/// engine's runtime, or the init of a strict container, says so where the command would have
/// written: `exec /app: exec format error`, `[FATAL tini (7)] exec /app failed: No such file or
/// directory`. Whoever writes such a line himself says no more than that his own image is broken.
fn why_not_executed(log: &str) -> Option<String> {
    let mut lines = log.lines().filter(|line| !line.trim().is_empty());
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    let by_init = line.split_once("[FATAL tini (").and_then(|(_, said)| said.split_once(")] "));
    if let Some((_, said)) = by_init {
        return said.starts_with("exec ").then(|| cut(said));
    }
    let by_runtime = line.starts_with("exec ") && line.contains(": ")
        || line.contains("exec user process caused");
    let errors = ["exec format error", "no such file or directory", "permission denied"];
    let known = errors.iter().any(|error| line.trim_end().trim_matches('"').ends_with(error));
    (by_runtime && known).then(|| cut(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_words_about_an_image_are_the_participants() {
        let sorted = |message: &str| {
            let message = message.to_owned();
            sort(FleetError::Refused { doing: "starting a container", status: 400, message }, 1)
        };
        for (message, shown) in [
            (
                "OCI runtime create failed: runc create failed: unable to start container process: \
                 exec: \"/app\": stat /app: no such file or directory: unknown",
                "exec: \"/app\": stat /app: no such file or directory: unknown",
            ),
            (
                "unable to find user web: no matching entries in passwd file",
                "unable to find user web: no matching entries in passwd file",
            ),
            ("No command specified", "No command specified"),
            (
                "OCI runtime create failed: runc create failed: unable to start container process: \
                 exec: \"/no space left on device\": stat /no space left on device: no such file or \
                 directory: unknown",
                "exec: \"/no space left on device\": stat /no space left on device: no such file or \
                 directory: unknown",
            ),
        ] {
            let StartFailure::StartFailed { index: 1, detail } = sorted(message) else {
                panic!("{message}")
            };
            assert_eq!(detail, shown);
        }
        for message in [
            "exec: \"docker-init\": executable file not found in $PATH",
            "network 0123 not found",
            "OCI runtime create failed: write cgroup.procs: no space left on device: unknown",
            "something new",
        ] {
            assert!(matches!(sorted(message), StartFailure::Engine(_)), "{message}");
        }
    }

    #[test]
    fn the_last_words_of_init_and_runtime_are_found() {
        for (log, why) in [
            (
                "[FATAL tini (7)] exec /app failed: Exec format error\n",
                Some("exec /app failed: Exec format error"),
            ),
            ("exec /app: exec format error\n", Some("exec /app: exec format error")),
            (
                "standard_init_linux.go:228: exec user process caused: exec format error",
                Some("standard_init_linux.go:228: exec user process caused: exec format error"),
            ),
            ("", None),
            ("exec /app failed", None),
            ("hello\nexec /app: exec format error\n", None),
            ("[FATAL tini (7)] something else", None),
            ("open /config: no such file or directory", None),
        ] {
            assert_eq!(why_not_executed(log).as_deref(), why, "{log}");
        }
    }
}
