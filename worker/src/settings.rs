//! The worker's settings.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use portcall_shared::{
    domain::{ids::WorkerId, image::RegistryHost},
    settings::{Common, InvalidSettings, Reader},
};

use crate::{
    fleet::{
        DiskThrottle, EngineSettings, FleetError, Images, LabelKey, NodeSettings, Nodes, RootQuota,
        SubnetPool, SwarmSettings,
    },
    lease::LeaseTimes,
};

/// Everything that a worker can be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What both processes need.
    pub common: Common,
    /// What stands at the Docker endpoint.
    pub fleet: FleetKind,
    /// The Docker endpoint: one engine, or a swarm's managers.
    pub docker_hosts: Vec<String>,
    /// The folder with what mutual TLS takes, where `tcp://` addresses are spoken to so.
    pub docker_certs: Option<PathBuf>,
    /// How many submissions are graded at once.
    pub slots: u32,
    /// What it is called.
    pub name: String,
    /// The static prober binary.
    pub prober: PathBuf,
    /// Where `/metrics` and the like are.
    pub ops_addr: SocketAddr,
    /// Where the subnets of slots come from.
    pub pool: SubnetPool,
    /// What the operator of the node decides about strangers' containers.
    pub node: NodeSettings,
    /// The static canary binary.
    pub canary: PathBuf,
    /// How often the canary is run again on a node.
    pub canary_every: Duration,
    /// How much free disk a node must have to take work, in bytes.
    pub node_free: u64,
    /// The platform's own registry, if nodes pull from nowhere else.
    pub quarantine: Option<QuarantineSettings>,
    /// The times of a lease.
    pub times: LeaseTimes,
    /// How many times machines may go down under an image before it is quarantined.
    pub suspect_losses: u32,
}

/// What stands at the Docker endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FleetKind {
    /// One engine.
    Engine,
    /// A swarm's managers.
    Swarm,
}

/// What is told of the platform's own registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineSettings {
    /// The registry, as worker and nodes reach it.
    pub host: RegistryHost,
    /// How much it may hold, in bytes.
    pub budget: u64,
    /// What an image may be when unpacked, in bytes.
    pub unpacked: u64,
}

const MIB: u64 = 1024 * 1024;

impl Settings {
    /// Reads them whole.
    ///
    /// # Errors
    /// Every mistake, each with its variable.
    pub fn read(reader: Reader) -> Result<(Self, Vec<(String, String)>), InvalidSettings> {
        let unspecified = SocketAddr::from(([127, 0, 0, 1], 0));
        let whole = SubnetPool::default();
        let times = LeaseTimes {
            beat: reader.millis("PORTCALL_BEAT_MS", 100..=60_000),
            stall: reader.millis("PORTCALL_STALL_MS", 200..=120_000),
            lease: reader.millis("PORTCALL_LEASE_MS", 500..=180_000),
        };
        if times.beat >= times.stall {
            let message = "it must be more than PORTCALL_BEAT_MS, or every lease is lost";
            reader.contradiction("PORTCALL_STALL_MS", message);
        }
        if times.stall >= times.lease {
            let message = "it must be more than PORTCALL_STALL_MS, or two workers may act at once";
            reader.contradiction("PORTCALL_LEASE_MS", message);
        }
        let prober = static_program(&reader, "PORTCALL_PROBER_BIN", "prober");
        let canary = static_program(&reader, "PORTCALL_CANARY_BIN", "canary");
        let kinds = [("engine", FleetKind::Engine), ("swarm", FleetKind::Swarm)];
        let fleet = reader.one_of("PORTCALL_FLEET", &kinds, FleetKind::Engine);
        let (docker_hosts, docker_certs) = endpoint(&reader, fleet);
        let quarantine = quarantine(&reader);
        if fleet == FleetKind::Swarm {
            check_swarm(&reader, quarantine.is_some());
        }
        let settings = Self {
            common: Common::read(&reader),
            fleet,
            docker_hosts,
            docker_certs,
            slots: reader.number("PORTCALL_SLOTS", 1..=64),
            name: reader.optional("PORTCALL_WORKER_NAME").unwrap_or_else(host_name),
            prober,
            ops_addr: reader.parsed("PORTCALL_WORKER_OPS_ADDR", unspecified),
            pool: reader.parsed("PORTCALL_SLOT_POOL", whole),
            node: NodeSettings {
                runtime: reader.optional("PORTCALL_RUNTIME"),
                cgroup_parent: reader.optional("PORTCALL_CGROUP_PARENT"),
                cpuset: reader.optional("PORTCALL_CPUSET"),
                throttle: reader.optional("PORTCALL_THROTTLED_DISK").map(DiskThrottle::of),
                root_quota: reader.parsed("PORTCALL_ROOT_QUOTA", RootQuota::Watched),
            },
            canary,
            canary_every: Duration::from_secs(reader.number("PORTCALL_CANARY_EVERY_S", 1..=86_400)),
            node_free: reader.number::<u64>("PORTCALL_NODE_FREE_MIB", 0..=1_048_576) * MIB,
            quarantine,
            times,
            suspect_losses: reader.number("PORTCALL_SUSPECT_LOSSES", 1..=1000),
        };
        Ok((settings, reader.finish()?))
    }

    /// The nodes at the Docker endpoint, for a worker that makes slots there. Nothing is connected
    /// yet.
    ///
    /// # Errors
    /// [`FleetError`] if an address or the certificates cannot be used.
    pub fn nodes(&self, worker: WorkerId, key: LabelKey) -> Result<Nodes, FleetError> {
        let (prober, canary) = (self.prober.clone(), self.canary.clone());
        let certs = self.docker_certs.clone();
        match (self.fleet, &self.quarantine) {
            (FleetKind::Swarm, Some(own)) => Nodes::swarm(SwarmSettings {
                hosts: self.docker_hosts.clone(),
                certs,
                worker,
                key,
                prober,
                canary,
                pool: self.pool,
                root_quota: self.node.root_quota,
                quarantine: own.host.clone(),
                http_registries: self.common.http_registries.clone(),
            }),
            (FleetKind::Swarm, None) => {
                Err(FleetError::Unfit("a swarm's nodes pull from the quarantine alone".to_owned()))
            }
            (FleetKind::Engine, _) => Nodes::engine(EngineSettings {
                host: self.docker_hosts.first().cloned().unwrap_or_default(),
                certs,
                worker,
                key,
                prober,
                canary,
                pool: self.pool,
                node: self.node.clone(),
                images: Images::Pinned,
            }),
        }
    }
}

/// The endpoint's addresses, and the folder with the certificates for them.
fn endpoint(reader: &Reader, fleet: FleetKind) -> (Vec<String>, Option<PathBuf>) {
    const HOST: &str = "PORTCALL_DOCKER_HOST";
    const CERTS: &str = "PORTCALL_DOCKER_CERTS";
    let hosts: Vec<String> = reader.list(HOST);
    let schemes = ["unix://", "tcp://", "http://"];
    let known = |host: &String| {
        schemes.iter().any(|scheme| host.strip_prefix(scheme).is_some_and(|at| !at.is_empty()))
    };
    if hosts.is_empty() || !hosts.iter().all(known) {
        reader.contradiction(HOST, "each must begin with unix://, tcp:// or http://");
    }
    if fleet == FleetKind::Engine && hosts.len() > 1 {
        let message = "an engine has one address; several are a swarm's (PORTCALL_FLEET=swarm)";
        reader.contradiction(HOST, message);
    }
    let certs = reader.optional(CERTS).map(PathBuf::from);
    if let Some(folder) = &certs {
        for name in ["ca.pem", "cert.pem", "key.pem"] {
            let file = folder.join(name);
            if !file.is_file() {
                reader.contradiction(CERTS, &format!("there is no file {}", file.display()));
            }
        }
        if !hosts.iter().any(|host| host.starts_with("tcp://")) {
            let message = "they are for tcp:// addresses, and PORTCALL_DOCKER_HOST has none";
            reader.contradiction(CERTS, message);
        }
        if hosts.iter().any(|host| host.starts_with("http://")) {
            let message = "PORTCALL_DOCKER_HOST has an http:// address, which is never spoken to \
                           over TLS";
            reader.contradiction(CERTS, message);
        }
    }
    (hosts, certs)
}

/// What a swarm needs, and what it cannot do.
fn check_swarm(reader: &Reader, has_quarantine: bool) {
    if !has_quarantine {
        let message = "a swarm needs PORTCALL_QUARANTINE: its nodes pull from there alone";
        reader.contradiction("PORTCALL_FLEET", message);
    }
    let of_the_node = [
        "PORTCALL_RUNTIME",
        "PORTCALL_CGROUP_PARENT",
        "PORTCALL_CPUSET",
        "PORTCALL_THROTTLED_DISK",
    ];
    for variable in of_the_node {
        if reader.optional(variable).is_some() {
            let message = "no service of a swarm can carry it: it is for the node's own settings \
                           (infra/nodes)";
            reader.contradiction(variable, message);
        }
    }
}

fn quarantine(reader: &Reader) -> Option<QuarantineSettings> {
    let budget = reader.number::<u64>("PORTCALL_QUARANTINE_MIB", 1..=67_108_864) * MIB;
    let unpacked = reader.number::<u64>("PORTCALL_QUARANTINE_UNPACKED_MIB", 1..=1_048_576) * MIB;
    let host = reader.optional("PORTCALL_QUARANTINE")?;
    match host.parse() {
        Ok(host) => Some(QuarantineSettings { host, budget, unpacked }),
        Err(_) => {
            let message =
                format!("`{host}` is not the address of a registry, such as 127.0.0.1:5000");
            reader.contradiction("PORTCALL_QUARANTINE", &message);
            None
        }
    }
}

/// A static program that is given, or lies where it was built.
fn static_program(reader: &Reader, variable: &'static str, name: &str) -> PathBuf {
    let given = reader.optional(variable).map(PathBuf::from);
    let file = given.unwrap_or_else(|| program_beside(name));
    if !file.is_file() {
        reader.contradiction(variable, &format!("there is no file {}", file.display()));
    }
    file
}

/// A static program that was built with this binary: beside it, or where the build of the static
/// target puts it.
#[must_use]
pub fn program_beside(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let folder = own.parent().map(PathBuf::from).unwrap_or_default();
    // target/debug/portcall-worker → target/x86_64-unknown-linux-gnu/debug/prober: the one there
    // is static, the one beside a development build is not.
    let profile = folder.file_name().unwrap_or_default();
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let built = folder.parent().map(|t| t.join(triple).join(profile).join(name));
    match built.filter(|b| b.is_file()) {
        Some(built) => built,
        None => folder.join(name),
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "worker".to_owned() } else { name.chars().take(60).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(given: &[(&str, &str)]) -> String {
        let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        let mut map: std::collections::BTreeMap<_, _> = given.iter().map(own).collect();
        for name in ["PORTCALL_PROBER_BIN", "PORTCALL_CANARY_BIN"] {
            map.entry(name.to_owned()).or_insert_with(|| "/proc/self/exe".to_owned());
        }
        match Settings::read(Reader::from_map(map)) {
            Ok(_) => String::new(),
            Err(mistakes) => mistakes.to_string(),
        }
    }

    #[test]
    fn the_defaults_are_fine() {
        assert_eq!(mistakes(&[]), "");
    }

    #[test]
    fn contradictions_are_refused() {
        let stall = [("PORTCALL_BEAT_MS", "5000"), ("PORTCALL_STALL_MS", "5000")];
        assert!(mistakes(&stall).contains("PORTCALL_STALL_MS"), "{}", mistakes(&stall));
        let lease = [("PORTCALL_STALL_MS", "30000")];
        assert!(mistakes(&lease).contains("PORTCALL_LEASE_MS"));
        assert!(mistakes(&[("PORTCALL_DOCKER_HOST", "docker")]).contains("unix://"));
        assert!(mistakes(&[("PORTCALL_DOCKER_HOST", "tcp://a:1,unix://")]).contains("unix://"));
        assert!(mistakes(&[("PORTCALL_PROBER_BIN", "/nowhere")]).contains("no file"));
        assert!(mistakes(&[("PORTCALL_CANARY_BIN", "/nowhere")]).contains("PORTCALL_CANARY_BIN"));
        assert!(
            mistakes(&[("PORTCALL_QUARANTINE", "http://x/")]).contains("address of a registry")
        );
        assert_eq!(mistakes(&[("PORTCALL_QUARANTINE", "127.0.0.1:5000")]), "");
        assert!(mistakes(&[("PORTCALL_ROOT_QUOTA", "xfs")]).contains("`watched` or `project`"));
        assert_eq!(mistakes(&[("PORTCALL_ROOT_QUOTA", "project")]), "");
    }

    #[test]
    fn an_endpoint_is_one_engine_or_the_managers_of_a_swarm() {
        let managers = ("PORTCALL_DOCKER_HOST", "tcp://m1:2376, tcp://m2:2376");
        let (swarm, own) = (("PORTCALL_FLEET", "swarm"), ("PORTCALL_QUARANTINE", "127.0.0.1:5000"));
        assert_eq!(mistakes(&[managers, swarm, own]), "");
        assert!(mistakes(&[managers]).contains("PORTCALL_FLEET=swarm"));
        assert!(mistakes(&[managers, swarm]).contains("PORTCALL_QUARANTINE"));
        assert!(mistakes(&[("PORTCALL_FLEET", "kubernetes")]).contains("engine, swarm"));
        for variable in [
            "PORTCALL_RUNTIME",
            "PORTCALL_CGROUP_PARENT",
            "PORTCALL_CPUSET",
            "PORTCALL_THROTTLED_DISK",
        ] {
            assert_eq!(mistakes(&[(variable, "x")]), "", "on an engine");
            let refused = mistakes(&[managers, swarm, own, (variable, "x")]);
            assert!(refused.contains(variable), "{refused}");
        }
        assert_eq!(mistakes(&[managers, swarm, own, ("PORTCALL_ROOT_QUOTA", "project")]), "");
    }

    #[test]
    fn certificates_are_whole_and_for_addresses_that_take_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let given =
            |host| mistakes(&[("PORTCALL_DOCKER_CERTS", path), ("PORTCALL_DOCKER_HOST", host)]);
        for name in ["ca.pem", "cert.pem", "key.pem"] {
            assert!(given("tcp://m1:2376").contains(name), "{name}");
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(given("tcp://m1:2376"), "");
        assert!(given("unix:///run/docker.sock").contains("has none"));
        assert!(given("http://m1:2375").contains("never spoken to over TLS"));
    }
}
