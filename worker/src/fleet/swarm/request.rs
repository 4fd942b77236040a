//! What a swarm is asked for: pure functions from a spec, its limits and its place to the whole
//! request for a service or network. The snapshots beside this file show every field; `readback`
//! compares what the swarm stored.
//!
//! A service's spec cannot carry all that a container's can ([`super::super::request`]). What it
//! lacks at API 1.41 is the node's to give, by `infra/nodes/daemon.json`, and the canary's to prove
//! there: no-new-privileges and the filter of system calls (a spec has them from 1.44 on, and then
//! says them too), the namespaces of IPC and cgroups, the cgroup's parent, no swap. Nobody gives the
//! number of files in a tmpfs, which the limit of memory bounds, the paths that are masked beyond
//! the engine's own list, and the order in which the kernel ends processes; what follows from that is
//! in `crate::canary::table`.
//!
//! Texts of strangers' are in no field that the swarm takes for a template (environment, host name,
//! mounts' sources); the environment is the image's own and is not passed at all.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bollard::models::{
    EndpointSpec, EndpointSpecModeEnum, HealthConfig, Ipam, IpamConfig, Limit, Mount,
    MountTmpfsOptions, MountType, NetworkAttachmentConfig, NetworkCreateRequest, ResourceObject,
    ServiceSpec, ServiceSpecMode, ServiceSpecModeReplicated, TaskSpec, TaskSpecContainerSpec,
    TaskSpecContainerSpecDnsConfig, TaskSpecContainerSpecPrivileges,
    TaskSpecContainerSpecPrivilegesSeccomp, TaskSpecContainerSpecPrivilegesSeccompModeEnum,
    TaskSpecLogDriver, TaskSpecPlacement, TaskSpecResources, TaskSpecRestartPolicy,
    TaskSpecRestartPolicyConditionEnum,
};

use super::super::{
    endpoint::version::Version,
    facts::PRIVILEGES,
    limits::{Limits, Profile},
    request::{
        LOG_DRIVER, MIB, NO_RESOLVER, ORDINARY_CAPABILITIES, log_options, our_limits, owned, rooms,
        sysctls, ulimits,
    },
    seccomp,
    subnet::Subnet,
    workload::ContainerSpec,
};

/// Everybody may make files, and remove only his own.
const STICKY: i64 = 0o1777;
/// What the label of a grader node is called.
pub(super) const GRADER: &str = "portcall.grader";

/// What an anchor may use of a processor, in thousandths.
pub(super) const ANCHOR_MILLI_CPUS: i64 = 50;

/// Where a service's task runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The slot's network, by its id.
    pub(super) network: &'a str,
    /// A user and group id that no other slot has.
    pub(super) uid: u32,
    /// The node, by its id.
    pub(super) node: &'a str,
    /// The newest API that both the manager and the node speak.
    pub(super) api: Version,
}

/// The request for a stranger's service, or for one that the event gives: with no task yet.
pub(super) fn service(
    name: &str,
    spec: &ContainerSpec,
    place: &Place<'_>,
    labels: &HashMap<String, String>,
) -> ServiceSpec {
    let strict = spec.profile == Profile::Strict;
    let container = TaskSpecContainerSpec {
        image: Some(spec.image.clone()),
        hostname: Some(spec.alias.clone()),
        user: strict.then(|| own_user(place)),
        init: Some(strict),
        read_only: Some(strict),
        capability_add: (!strict).then(|| owned(&ORDINARY_CAPABILITIES)),
        mounts: Some(mounts(spec)),
        ..container(&spec.limits, spec.profile, place, labels)
    };
    outline(name, container, &spec.limits, vec![spec.alias.clone()], place, labels)
}

/// The request for a slot's anchor: our own process on the grader node, which keeps the network
/// there.
pub(super) fn anchor(
    name: &str,
    image: &str,
    place: &Place<'_>,
    labels: &HashMap<String, String>,
) -> ServiceSpec {
    // It mostly sleeps, and what it has reserved no stranger gets.
    let limits = Limits {
        memory_mib: 16,
        cpus: ANCHOR_MILLI_CPUS as f64 / 1000.0,
        log_kib: 64,
        ..our_limits()
    };
    let container = TaskSpecContainerSpec {
        image: Some(image.to_owned()),
        hostname: Some("anchor".to_owned()),
        args: Some(owned(&["--anchor"])),
        user: Some(own_user(place)),
        init: Some(false),
        read_only: Some(true),
        mounts: Some(vec![tmpfs("/dev/shm", limits.shm_mib)]),
        ..container(&limits, Profile::Strict, place, labels)
    };
    outline(name, container, &limits, Vec::new(), place, labels)
}

/// The request for a slot's network: internal, open to our prober on a manager, without IPv6, on
/// addresses of our choice.
pub(super) fn network(
    name: &str,
    subnet: &Subnet,
    labels: HashMap<String, String>,
) -> NetworkCreateRequest {
    NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("overlay".to_owned()),
        internal: Some(true),
        attachable: Some(true),
        ingress: Some(false),
        enable_ipv6: Some(false),
        ipam: Some(Ipam {
            driver: Some("default".to_owned()),
            config: Some(vec![IpamConfig {
                subnet: Some(subnet.to_string()),
                gateway: Some(subnet.gateway().to_string()),
                ..Default::default()
            }]),
            ..Default::default()
        }),
        labels: Some(labels),
        ..Default::default()
    }
}

/// The same request, with its one task.
pub(super) fn with_its_task(spec: &ServiceSpec) -> ServiceSpec {
    ServiceSpec { mode: Some(replicated(1)), ..spec.clone() }
}

fn replicated(replicas: i64) -> ServiceSpecMode {
    let replicated = ServiceSpecModeReplicated { replicas: Some(replicas) };
    ServiceSpecMode { replicated: Some(replicated), ..Default::default() }
}

/// What all services have in common outside their container.
fn outline(
    name: &str,
    container: TaskSpecContainerSpec,
    limits: &Limits,
    aliases: Vec<String>,
    place: &Place<'_>,
    labels: &HashMap<String, String>,
) -> ServiceSpec {
    let constraints = [
        "node.role==worker".to_owned(),
        format!("node.labels.{GRADER}==1"),
        format!("node.id=={}", place.node),
    ];
    let network = NetworkAttachmentConfig {
        target: Some(place.network.to_owned()),
        aliases: Some(aliases),
        ..Default::default()
    };
    ServiceSpec {
        name: Some(name.to_owned()),
        labels: Some(labels.clone()),
        mode: Some(replicated(0)),
        endpoint_spec: Some(EndpointSpec { mode: Some(EndpointSpecModeEnum::DNSRR), ports: None }),
        task_template: Some(TaskSpec {
            container_spec: Some(container),
            resources: Some(resources(limits)),
            restart_policy: Some(TaskSpecRestartPolicy {
                condition: Some(TaskSpecRestartPolicyConditionEnum::NONE),
                max_attempts: Some(0),
                ..Default::default()
            }),
            placement: Some(TaskSpecPlacement {
                constraints: Some(constraints.into()),
                ..Default::default()
            }),
            networks: Some(vec![network]),
            log_driver: Some(TaskSpecLogDriver {
                name: Some(LOG_DRIVER.to_owned()),
                options: Some(log_options(limits.log_kib)),
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The walls that every container has, ours and strangers'.
fn container(
    limits: &Limits,
    profile: Profile,
    place: &Place<'_>,
    labels: &HashMap<String, String>,
) -> TaskSpecContainerSpec {
    TaskSpecContainerSpec {
        labels: Some(labels.clone()),
        tty: Some(false),
        open_stdin: Some(false),
        stop_signal: Some("SIGKILL".to_owned()),
        stop_grace_period: Some(1_000_000_000),
        health_check: Some(HealthConfig { test: Some(owned(&["NONE"])), ..Default::default() }),
        dns_config: Some(TaskSpecContainerSpecDnsConfig {
            nameservers: Some(owned(&[NO_RESOLVER])),
            search: Some(owned(&["."])),
            options: Some(owned(&["attempts:1", "timeout:1"])),
        }),
        privileges: (place.api >= PRIVILEGES).then(|| privileges(profile)),
        capability_drop: Some(owned(&["ALL"])),
        ulimits: Some(ulimits(limits)),
        sysctls: Some(sysctls()),
        ..Default::default()
    }
}

fn privileges(profile: Profile) -> TaskSpecContainerSpecPrivileges {
    TaskSpecContainerSpecPrivileges {
        no_new_privileges: Some(true),
        seccomp: Some(TaskSpecContainerSpecPrivilegesSeccomp {
            mode: Some(TaskSpecContainerSpecPrivilegesSeccompModeEnum::CUSTOM),
            profile: Some(STANDARD.encode(seccomp::profile(profile))),
        }),
        ..Default::default()
    }
}

/// What is reserved is what may be used, so that no node is promised more than it has.
fn resources(limits: &Limits) -> TaskSpecResources {
    let memory_bytes = Some(i64::from(limits.memory_mib) * MIB);
    let nano_cpus = Some((limits.cpus * 1e9) as i64);
    TaskSpecResources {
        limits: Some(Limit { nano_cpus, memory_bytes, pids: Some(limits.pids.into()) }),
        reservations: Some(ResourceObject { nano_cpus, memory_bytes, generic_resources: None }),
        ..Default::default()
    }
}

/// A spec has no field for the size of `/dev/shm`; an engine leaves a mount there alone.
fn mounts(spec: &ContainerSpec) -> Vec<Mount> {
    let rooms = rooms(spec).into_iter().map(|(path, (mib, _))| tmpfs(&path, mib));
    rooms.chain([tmpfs("/dev/shm", spec.limits.shm_mib)]).collect()
}

fn tmpfs(path: &str, mib: u32) -> Mount {
    Mount {
        target: Some(path.to_owned()),
        typ: Some(MountType::TMPFS),
        tmpfs_options: Some(MountTmpfsOptions {
            size_bytes: Some(i64::from(mib) * MIB),
            mode: Some(STICKY),
            options: None,
        }),
        ..Default::default()
    }
}

fn own_user(place: &Place<'_>) -> String {
    format!("{}:{}", place.uid, place.uid)
}

#[cfg(test)]
pub(super) mod tests;
