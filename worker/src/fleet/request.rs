//! What the engine is asked for: pure functions from a spec, its limits and its place to the
//! whole request for a container or network. No code path makes a container in another way, and
//! the snapshots beside this file show every field. `readback` compares what the engine stored.
//!
//! Where a field is left out, the engine's default is meant, and `readback` knows it.

use std::{
    collections::{BTreeMap, HashMap},
    str::FromStr,
};

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum,
    HostConfigLogConfig, Ipam, IpamConfig, NetworkCreateRequest, NetworkingConfig,
    ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum, ThrottleDevice,
};

use super::{
    facts::{CgroupVersion, NodeFacts},
    limits::{Limits, Profile},
    seccomp,
    subnet::Subnet,
    workload::ContainerSpec,
};

/// What the operator of a node decides for every stranger's container on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSettings {
    /// The runtime (`runsc`, `crun`); the engine's default if none.
    pub runtime: Option<String>,
    /// A cgroup that holds all containers under one ceiling, such as `/grader.slice`.
    pub cgroup_parent: Option<String>,
    /// The processors to run on, such as `2-7`.
    pub cpuset: Option<String>,
    /// The disk whose use is slowed down, where the operator names one.
    pub throttle: Option<DiskThrottle>,
    /// Whether the engine's storage can bound a writable root.
    pub root_quota: RootQuota,
}

impl NodeSettings {
    /// Whether containers here speak to gVisor's kernel instead of the node's.
    #[must_use]
    pub fn is_gvisor(&self, node: &NodeFacts) -> bool {
        self.runtime.as_deref().unwrap_or(&node.default_runtime).contains("runsc")
    }
}

/// How fast one container may read and write a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskThrottle {
    /// The device, such as `/dev/vda`.
    pub device: String,
    /// Bytes per second in each direction; 20 MB/s is a good value.
    pub bytes_per_s: i64,
    /// Operations per second in each direction; 500 is a good value.
    pub operations_per_s: i64,
}

impl DiskThrottle {
    /// 20 MB and 500 operations a second on this device.
    #[must_use]
    pub fn of(device: String) -> Self {
        Self { device, bytes_per_s: 20_000_000, operations_per_s: 500 }
    }
}

/// Whether the engine's storage can bound a writable root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RootQuota {
    /// It cannot: somebody watches what is written.
    #[default]
    Watched,
    /// overlay2 over XFS with project quotas (`pquota`): the engine bounds it.
    Project,
}

/// A word that names nobody who could bound a writable root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be `watched` or `project`")]
pub struct InvalidRootQuota;

impl FromStr for RootQuota {
    type Err = InvalidRootQuota;

    fn from_str(text: &str) -> Result<Self, InvalidRootQuota> {
        match text {
            "watched" => Ok(Self::Watched),
            "project" => Ok(Self::Project),
            _ => Err(InvalidRootQuota),
        }
    }
}

/// Where a container runs.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The slot's network, by its id, since names need not be unique.
    pub network: &'a str,
    /// A user and group id that no other slot of this node uses.
    pub uid: u32,
    /// The node.
    pub node: &'a NodeFacts,
    /// What its operator decided.
    pub settings: &'a NodeSettings,
}

pub(super) const MIB: i64 = 1024 * 1024;

/// Resolvers are asked from inside the container, which has no way there (TEST-NET-1): an
/// engine that asks on the container's behalf would carry names out (CVE-2024-29018).
pub(super) const NO_RESOLVER: &str = "192.0.2.1";

/// What images that start as root and bind port 80 need, and no more.
pub(super) const ORDINARY_CAPABILITIES: [&str; 5] =
    ["CHOWN", "DAC_OVERRIDE", "NET_BIND_SERVICE", "SETGID", "SETUID"];

/// The engine's own list (a given list replaces it), what it lacks in older versions, and what it
/// leaves to be read by whoever is root inside: how the machine uses each page of its memory, and
/// where the kernel keeps what.
const MASKED_PATHS: [&str; 22] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/latency_stats",
    "/proc/pressure",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/vmallocinfo",
    "/proc/zoneinfo",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/kernel/debug",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
];

/// The request for a stranger's container, or for one that the event gives.
#[must_use]
pub fn container(
    spec: &ContainerSpec,
    place: &Place<'_>,
    labels: HashMap<String, String>,
) -> ContainerCreateBody {
    let strict = spec.profile == Profile::Strict;
    let uid = place.uid;
    let mut host = host_config(&spec.limits, spec.profile, place);
    // An ordinary image is started as a plain `docker run` starts it: some insist on being the
    // first process, and the engine itself says when a command cannot be executed. Removal kills
    // the whole process tree either way.
    host.init = Some(strict);
    host.tmpfs = Some(tmpfs(spec).into_iter().collect());
    host.log_config = Some(bounded_log(spec.limits.log_kib));
    host.runtime = place.settings.runtime.clone();
    host.cap_add = if strict { None } else { Some(owned(&ORDINARY_CAPABILITIES)) };
    host.readonly_rootfs = Some(strict);
    host.storage_opt = match place.settings.root_quota {
        RootQuota::Project if !strict => {
            Some([("size".to_owned(), format!("{}m", spec.limits.root_mib))].into())
        }
        RootQuota::Project | RootQuota::Watched => None,
    };
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        hostname: Some(spec.alias.clone()),
        user: strict.then(|| format!("{uid}:{uid}")),
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..Default::default()
        }),
        attach_stdin: Some(false),
        attach_stdout: Some(false),
        attach_stderr: Some(false),
        open_stdin: Some(false),
        stdin_once: Some(false),
        ..outline(host, place.network, vec![spec.alias.clone()], labels)
    }
}

/// What our own process beside strangers may use.
pub(super) fn our_limits() -> Limits {
    Limits { memory_mib: 64, pids: 32, nofile: 256, ..Limits::of(Profile::Strict) }
}

/// The request for a slot's prober. Its standard streams are its only openings.
#[must_use]
pub fn prober(
    image: &str,
    within: &Subnet,
    place: &Place<'_>,
    labels: HashMap<String, String>,
) -> ContainerCreateBody {
    let uid = place.uid;
    let limits = our_limits();
    let mut host = host_config(&limits, Profile::Strict, place);
    host.init = Some(false);
    host.readonly_rootfs = Some(true);
    // It alone: by an echo it finds out whether there is a way to the strangers' side.
    let group = ("net.ipv4.ping_group_range".to_owned(), format!("{uid} {uid}"));
    host.sysctls.get_or_insert_default().extend([group]);
    // What it says is attached to; keeping it on the node would keep strangers' bytes there.
    host.log_config =
        Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: Some(HashMap::new()) });
    let gateway = within.gateway().to_string();
    ContainerCreateBody {
        image: Some(image.to_owned()),
        hostname: Some("prober".to_owned()),
        user: Some(format!("{uid}:{uid}")),
        cmd: Some(owned(&["--within", &within.to_string(), "--except", &gateway])),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(true),
        // Its standard input ends with the worker's connection, and it ends with its input.
        stdin_once: Some(true),
        ..outline(host, place.network, vec![], labels)
    }
}

/// The request for a slot's network: internal, without IPv6, on addresses of our choice.
#[must_use]
pub fn network(
    name: &str,
    subnet: &Subnet,
    node: &NodeFacts,
    labels: HashMap<String, String>,
) -> NetworkCreateRequest {
    // The host must not be reachable through its side of the bridge. Older engines can leave
    // the bridge without the address; newer ones have a mode for it.
    let gateway = if node.isolates_gateways() {
        ("com.docker.network.bridge.gateway_mode_ipv4", "isolated")
    } else {
        ("com.docker.network.bridge.inhibit_ipv4", "true")
    };
    NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        internal: Some(true),
        attachable: Some(false),
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
        options: Some([(gateway.0.to_owned(), gateway.1.to_owned())].into()),
        labels: Some(labels),
        ..Default::default()
    }
}

/// What all containers have in common outside their host configuration.
fn outline(
    host: HostConfig,
    network: &str,
    aliases: Vec<String>,
    labels: HashMap<String, String>,
) -> ContainerCreateBody {
    let endpoint = EndpointSettings { aliases: Some(aliases), ..Default::default() };
    ContainerCreateBody {
        domainname: Some(String::new()),
        tty: Some(false),
        network_disabled: Some(false),
        stop_signal: Some("SIGKILL".to_owned()),
        stop_timeout: Some(1),
        labels: Some(labels),
        host_config: Some(host),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some([(network.to_owned(), endpoint)].into()),
        }),
        ..Default::default()
    }
}

/// The walls that every container has, ours and strangers', in either profile.
fn host_config(limits: &Limits, profile: Profile, place: &Place<'_>) -> HostConfig {
    let memory = i64::from(limits.memory_mib) * MIB;
    HostConfig {
        cap_drop: Some(owned(&["ALL"])),
        security_opt: Some(security_options(profile, place.node)),
        privileged: Some(false),
        publish_all_ports: Some(false),
        memory: Some(memory),
        // As much as the memory: no swap.
        memory_swap: Some(memory),
        memory_swappiness: (place.node.cgroup == CgroupVersion::V1).then_some(0),
        oom_kill_disable: Some(false),
        // Dies before the engine does.
        oom_score_adj: Some(500),
        nano_cpus: Some((limits.cpus * 1e9) as i64),
        cpuset_cpus: place.settings.cpuset.clone(),
        pids_limit: Some(limits.pids.into()),
        ulimits: Some(ulimits(limits)),
        shm_size: Some(i64::from(limits.shm_mib) * MIB),
        ipc_mode: Some("private".to_owned()),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        cgroup_parent: place.settings.cgroup_parent.clone(),
        network_mode: Some(place.network.to_owned()),
        dns: Some(owned(&[NO_RESOLVER])),
        dns_search: Some(owned(&["."])),
        dns_options: Some(owned(&["attempts:1", "timeout:1"])),
        sysctls: Some(sysctls()),
        masked_paths: Some(masked_paths(place.node.cpus)),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        // Exit code and cause are read first.
        auto_remove: Some(false),
        ..throttled(place.settings.throttle.as_ref())
    }
}

fn throttled(throttle: Option<&DiskThrottle>) -> HostConfig {
    let Some(throttle) = throttle else { return HostConfig::default() };
    let at =
        |rate| Some(vec![ThrottleDevice { path: Some(throttle.device.clone()), rate: Some(rate) }]);
    HostConfig {
        blkio_device_read_bps: at(throttle.bytes_per_s),
        blkio_device_write_bps: at(throttle.bytes_per_s),
        blkio_device_read_iops: at(throttle.operations_per_s),
        blkio_device_write_iops: at(throttle.operations_per_s),
        ..Default::default()
    }
}

fn security_options(profile: Profile, node: &NodeFacts) -> Vec<String> {
    let mut options =
        vec!["no-new-privileges".to_owned(), format!("seccomp={}", seccomp::profile(profile))];
    if node.has_apparmor() {
        options.push("apparmor=docker-default".to_owned());
    }
    options
}

/// Never `nproc`: it is counted per user over the whole machine. Nor `fsize`: it holds for files in
/// memory and for sparse ones, too, and .NET 7 to 9 makes one of 2 TiB when it starts, to die of it
/// (dotnet/runtime 117819); it would bound each file, and not their number.
pub(super) fn ulimits(limits: &Limits) -> Vec<ResourcesUlimits> {
    [
        ("core", 0),
        ("locks", 64),
        ("memlock", 0),
        ("msgqueue", 0),
        ("nofile", limits.nofile.into()),
        ("sigpending", 128),
    ]
    .map(|(name, most)| ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(most),
        hard: Some(most),
    })
    .into()
}

pub(super) fn sysctls() -> HashMap<String, String> {
    [
        // Port 80 without a capability.
        ("net.ipv4.ip_unprivileged_port_start", "0"),
        // No stranger may open ping sockets.
        ("net.ipv4.ping_group_range", "1 0"),
        ("net.ipv6.conf.all.disable_ipv6", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// Wildcards do not exist here, hence one entry for each processor.
fn masked_paths(cpus: u32) -> Vec<String> {
    let thermal = |cpu| format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle");
    owned(&MASKED_PATHS).into_iter().chain((0..cpus).map(thermal)).collect()
}

/// `/tmp`, `/run` where the root is read-only, and every volume that the image declares: an
/// anonymous volume would be room on the node's disk without a bound. By path, with MiB and files.
pub(super) fn rooms(spec: &ContainerSpec) -> BTreeMap<String, (u32, u32)> {
    let limits = &spec.limits;
    let mut rooms = BTreeMap::new();
    for volume in &spec.declared.volumes {
        rooms.insert(plain_path(volume), (limits.volume_mib, limits.volume_inodes));
    }
    if spec.profile == Profile::Strict {
        rooms.insert("/run".to_owned(), (1, 64));
    }
    rooms.insert("/tmp".to_owned(), (limits.tmp_mib, limits.tmp_inodes));
    rooms
}

fn tmpfs(spec: &ContainerSpec) -> BTreeMap<String, String> {
    // A writable root can be executed from anyway, and some runtimes unpack libraries into
    // `/tmp`.
    let exec = match spec.profile {
        Profile::Ordinary => "exec",
        Profile::Strict => "noexec",
    };
    let options = |(mib, inodes): (u32, u32)| {
        format!("rw,{exec},nosuid,nodev,size={mib}m,nr_inodes={inodes},mode=1777")
    };
    rooms(spec).into_iter().map(|(path, room)| (path, options(room))).collect()
}

/// A declared path as the engine will understand it.
pub(super) fn plain_path(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    format!("/{}", parts.join("/"))
}

fn bounded_log(kib: u32) -> HostConfigLogConfig {
    HostConfigLogConfig { typ: Some(LOG_DRIVER.to_owned()), config: Some(log_options(kib)) }
}

/// How containers' output is kept: bounded, in the engine's own format.
pub(super) const LOG_DRIVER: &str = "local";

/// The options of [`LOG_DRIVER`] that keep so much.
pub(super) fn log_options(kib: u32) -> HashMap<String, String> {
    [
        ("max-size", format!("{kib}k")),
        ("max-file", "1".to_owned()),
        ("compress", "false".to_owned()),
        ("mode", "blocking".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

pub(super) fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[cfg(test)]
pub(super) mod tests;
