//! The worker's settings.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use portcall_shared::{
    domain::image::RegistryHost,
    settings::{Common, InvalidSettings, Reader},
};

use crate::{
    fleet::{DiskThrottle, NodeSettings, RootQuota, SubnetPool},
    lease::LeaseTimes,
};

/// Everything that a worker can be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What both processes need.
    pub common: Common,
    /// The Docker endpoint.
    pub docker_host: String,
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
        let docker_host = reader.text("PORTCALL_DOCKER_HOST");
        let schemes = ["unix://", "tcp://", "http://"];
        if !schemes.iter().any(|scheme| docker_host.starts_with(scheme)) {
            let message = "it must begin with unix://, tcp:// or http://";
            reader.contradiction("PORTCALL_DOCKER_HOST", message);
        }
        let settings = Self {
            common: Common::read(&reader),
            docker_host,
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
            quarantine: quarantine(&reader),
            times,
        };
        Ok((settings, reader.finish()?))
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
        assert!(mistakes(&[("PORTCALL_PROBER_BIN", "/nowhere")]).contains("no file"));
        assert!(mistakes(&[("PORTCALL_CANARY_BIN", "/nowhere")]).contains("PORTCALL_CANARY_BIN"));
        assert!(
            mistakes(&[("PORTCALL_QUARANTINE", "http://x/")]).contains("address of a registry")
        );
        assert_eq!(mistakes(&[("PORTCALL_QUARANTINE", "127.0.0.1:5000")]), "");
        assert!(mistakes(&[("PORTCALL_ROOT_QUOTA", "xfs")]).contains("`watched` or `project`"));
        assert_eq!(mistakes(&[("PORTCALL_ROOT_QUOTA", "project")]), "");
    }
}
