//! The worker's settings.

use std::{net::SocketAddr, path::PathBuf};

use portcall_shared::settings::{Common, InvalidSettings, Reader};

use crate::{
    fleet::{NodeSettings, SubnetPool},
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
    /// The times of a lease.
    pub times: LeaseTimes,
}

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
        let prober = reader.optional("PORTCALL_PROBER_BIN").map(PathBuf::from);
        let prober = prober.unwrap_or_else(prober_beside);
        if !prober.is_file() {
            let message = format!("there is no file {}", prober.display());
            reader.contradiction("PORTCALL_PROBER_BIN", &message);
        }
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
                ..NodeSettings::default()
            },
            times,
        };
        Ok((settings, reader.finish()?))
    }
}

/// The prober that was built with this binary: beside it, or where the build of the static target
/// puts it.
#[must_use]
pub fn prober_beside() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let folder = own.parent().map(PathBuf::from).unwrap_or_default();
    // target/debug/portcall-worker → target/x86_64-unknown-linux-gnu/debug/prober: the one there
    // is static, the one beside a development build is not.
    let profile = folder.file_name().unwrap_or_default();
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let built = folder.parent().map(|t| t.join(triple).join(profile).join("prober"));
    match built.filter(|b| b.is_file()) {
        Some(built) => built,
        None => folder.join("prober"),
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
        map.entry("PORTCALL_PROBER_BIN".to_owned()).or_insert_with(|| "/proc/self/exe".to_owned());
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
    }
}
