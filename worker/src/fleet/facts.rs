//! What a node says of itself, and what follows: too old or too bare an engine is refused, one
//! without a second wall around containers is warned about.

use bollard::models::{
    Runtime, SystemInfo, SystemInfoCgroupVersionEnum, SystemVersion, SystemVersionComponents,
};

use super::{endpoint::version::within_bounds, error::FleetError};

mod task_node;
mod versions;

pub use versions::Component;

/// From this version of the API on, a bridge can be told to have no address of the host's.
const ISOLATED_GATEWAYS_API: (u32, u32) = (1, 48);

/// From this version of the API on, a service carries no-new-privileges and a filter of system calls.
pub(super) const PRIVILEGES: (u32, u32) = (1, 44);

/// Which interface the kernel limits resources by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupVersion {
    /// Version 1, or the hybrid of both.
    V1,
    /// Version 2.
    V2,
}

/// What containers are asked for with on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requests {
    /// With requests of their own, which carry everything.
    Containers,
    /// With services of a swarm, which carry less; the rest is the node's own settings.
    Services,
}

/// What the engine and its machine can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// The machine's name.
    pub name: String,
    /// The engine's own id, which it keeps over restarts.
    pub id: String,
    /// The engine's version.
    pub engine: String,
    /// The engine's parts and their versions.
    pub components: Vec<Component>,
    /// The newest version of the API that the engine speaks.
    pub api: (u32, u32),
    /// The operating system of images, as in their configuration (`linux`).
    pub os: String,
    /// The architecture of images, as in their configuration (`amd64`, `arm64`).
    pub arch: String,
    /// Processors.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// The cgroup interface.
    pub cgroup: CgroupVersion,
    /// The runtimes that a container can ask for.
    pub runtimes: Vec<String>,
    /// Those of them that the engine starts with `--ignore-cgroups`, so that they keep no limit. A
    /// wrapper around a runtime could hide it; the canary's numbers show it.
    pub limitless: Vec<String>,
    /// The runtime of a container that asks for none.
    pub default_runtime: String,
    /// The engine's security options by name (`seccomp`, `apparmor`, `userns`, `rootless` …).
    pub security: Vec<String>,
    /// What containers are asked for with.
    pub requests: Requests,
    /// How much the machine may swap out, in bytes, where that matters: with services.
    pub swap: Option<u64>,
}

impl NodeFacts {
    /// Reads the engine's two answers.
    pub(super) fn read(version: SystemVersion, info: SystemInfo) -> Result<Self, FleetError> {
        let missing = |what: &str| FleetError::Answer {
            doing: "reading facts",
            detail: format!("it does not say its {what}"),
        };
        let api = within_bounds(&version)?;
        refuse_bare(&info)?;
        let components =
            version.components.unwrap_or_default().into_iter().map(component).collect();
        let known = info.runtimes.unwrap_or_default();
        let mut limitless: Vec<String> = known
            .iter()
            .filter(|(_, it)| ignores_cgroups(it))
            .map(|(name, _)| name.clone())
            .collect();
        limitless.sort();
        let mut runtimes: Vec<String> = known.into_keys().collect();
        runtimes.sort();
        Ok(Self {
            name: info.name.unwrap_or_default(),
            id: info.id.unwrap_or_default(),
            engine: version.version.ok_or_else(|| missing("version"))?,
            components,
            api,
            os: version.os.ok_or_else(|| missing("system"))?,
            arch: version.arch.ok_or_else(|| missing("architecture"))?,
            cpus: info.ncpu.and_then(|n| u32::try_from(n).ok()).unwrap_or(1).clamp(1, 1024),
            memory: info.mem_total.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            cgroup: match info.cgroup_version {
                Some(SystemInfoCgroupVersionEnum::_2) => CgroupVersion::V2,
                _ => CgroupVersion::V1,
            },
            runtimes,
            limitless,
            default_runtime: info.default_runtime.unwrap_or_default(),
            security: security_names(info.security_options.unwrap_or_default()),
            requests: Requests::Containers,
            swap: None,
        })
    }

    /// Whether root inside a container is nobody on the machine.
    #[must_use]
    pub fn remaps_users(&self) -> bool {
        self.security.iter().any(|name| name == "userns" || name == "rootless")
    }

    /// Whether the engine wears AppArmor's default profile.
    #[must_use]
    pub fn has_apparmor(&self) -> bool {
        self.security.iter().any(|name| name == "apparmor")
    }

    /// Whether a service for this node carries its own filter of system calls. Whether the manager
    /// let it through is read back.
    #[must_use]
    pub fn services_filter_calls(&self) -> bool {
        self.api >= PRIVILEGES
    }

    pub(super) fn isolates_gateways(&self) -> bool {
        self.api >= ISOLATED_GATEWAYS_API
    }

    /// Refuses a node that lacks the runtime which its operator wants, or whose runtime keeps no
    /// limits.
    ///
    /// # Errors
    /// [`FleetError::Unfit`] says what is there instead.
    pub(super) fn check_runtime(&self, wanted: Option<&str>) -> Result<(), FleetError> {
        let runtime = wanted.unwrap_or(&self.default_runtime);
        if self.limitless.iter().any(|name| name == runtime) {
            return Err(FleetError::Unfit(format!(
                "its runtime {runtime} is started with --ignore-cgroups, so no limit of memory, \
                 tasks or processor time would hold"
            )));
        }
        if wanted.is_some() && !self.runtimes.iter().any(|name| name == runtime) {
            return Err(FleetError::Unfit(format!(
                "it has no runtime {runtime}, which PORTCALL_RUNTIME asks for; it has {}",
                self.runtimes.join(", ")
            )));
        }
        Ok(())
    }

    /// What an operator must know of this node, one sentence each: whether a second wall stands
    /// behind containers under `runtime` (the engine's default if none), and which mended holes the
    /// engine's parts may still have.
    #[must_use]
    pub fn warnings(&self, runtime: Option<&str>) -> Vec<String> {
        let named = |warning: String| format!("node {}: {warning}", self.name);
        let versions = versions::warnings(&self.components);
        self.one_wall(runtime).into_iter().chain(versions).map(named).collect()
    }

    fn one_wall(&self, runtime: Option<&str>) -> Option<String> {
        let runtime = runtime.unwrap_or(&self.default_runtime);
        let second_wall = ["runsc", "kata"].iter().any(|name| runtime.contains(name));
        if self.remaps_users() || second_wall {
            return None;
        }
        Some(
            "root inside an ordinary container is root on this machine, since the engine has \
             neither userns-remap nor the runtime runsc; only the profile's limits and the kernel \
             stand between a stranger and this machine"
                .to_owned(),
        )
    }
}

/// Limits that the kernel or the engine cannot keep would be dropped with a warning that nobody
/// reads.
fn refuse_bare(info: &SystemInfo) -> Result<(), FleetError> {
    let cannot = [
        ("memory", info.memory_limit),
        ("swap", info.swap_limit),
        ("tasks", info.pids_limit),
        ("processor time", info.cpu_cfs_quota),
    ];
    let cannot: Vec<&str> =
        cannot.into_iter().filter(|(_, can)| *can == Some(false)).map(|(what, _)| what).collect();
    if !cannot.is_empty() {
        return Err(FleetError::Unfit(format!("it cannot limit {}", cannot.join(", "))));
    }
    let security = security_names(info.security_options.clone().unwrap_or_default());
    if !security.iter().any(|name| name == "seccomp") {
        return Err(FleetError::Unfit("it cannot filter system calls (seccomp)".to_owned()));
    }
    Ok(())
}

fn component(said: SystemVersionComponents) -> Component {
    // Debian builds say here which package they are, where others have a hash.
    let said_of_build = said.details.as_ref().and_then(|details| details.get("GitCommit"));
    let package = said_of_build.map(String::as_str);
    let package = package.filter(|text| text.starts_with(&said.version) && *text != said.version);
    Component {
        package: package.filter(|_| !said.version.is_empty()).map(str::to_owned),
        name: said.name,
        version: said.version,
    }
}

fn ignores_cgroups(runtime: &Runtime) -> bool {
    runtime.runtime_args.iter().flatten().any(|argument| {
        let argument = argument.trim_start_matches('-');
        argument == "ignore-cgroups" || argument == "ignore-cgroups=true"
    })
}

/// `name=seccomp,profile=default` → `seccomp`.
fn security_names(options: Vec<String>) -> Vec<String> {
    let name = |option: &String| {
        let first = option.split(',').next().unwrap_or_default();
        first.strip_prefix("name=").unwrap_or(first).to_owned()
    };
    options.iter().map(name).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A node as the tests' snapshots want it.
    pub(crate) fn node() -> NodeFacts {
        let (version, info) = answers();
        NodeFacts::read(version, info).unwrap()
    }

    fn answers() -> (SystemVersion, SystemInfo) {
        let version = SystemVersion {
            version: Some("20.10.24".into()),
            api_version: Some("1.41".into()),
            os: Some("linux".into()),
            arch: Some("amd64".into()),
            components: Some(
                [("Engine", "20.10.24"), ("runc", "1.3.3"), ("containerd", "1.7.27")]
                    .map(|(name, version)| SystemVersionComponents {
                        name: name.into(),
                        version: version.into(),
                        details: None,
                    })
                    .into(),
            ),
            ..Default::default()
        };
        let info = SystemInfo {
            name: Some("n1".into()),
            ncpu: Some(2),
            memory_limit: Some(true),
            swap_limit: Some(true),
            pids_limit: Some(true),
            cpu_cfs_quota: Some(true),
            cgroup_version: Some(SystemInfoCgroupVersionEnum::_1),
            default_runtime: Some("runc".into()),
            security_options: Some(vec!["name=seccomp,profile=default".into()]),
            ..Default::default()
        };
        (version, info)
    }

    #[test]
    fn old_and_bare_engines_are_refused() {
        let read = |change: fn(&mut SystemVersion, &mut SystemInfo)| {
            let (mut version, mut info) = answers();
            change(&mut version, &mut info);
            NodeFacts::read(version, info).map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(read(|_, _| ()), Ok(()));
        let refused = |why: &str| Err(format!("this engine cannot be used: {why}"));
        assert_eq!(
            read(|version, _| version.api_version = Some("1.40".into())),
            refused("it speaks API 1.40, at least 1.41 is needed")
        );
        assert_eq!(read(|version, _| version.api_version = Some("2.0".into())), Ok(()));
        assert!(read(|version, _| version.api_version = None).is_err());
        assert_eq!(
            read(|_, info| {
                info.swap_limit = Some(false);
                info.pids_limit = Some(false);
            }),
            refused("it cannot limit swap, tasks")
        );
        assert!(read(|_, info| info.security_options = None).is_err());
    }

    #[test]
    fn a_node_with_one_wall_is_warned_about() {
        let mut node = node();
        assert!(node.warnings(None)[0].starts_with("node n1: root inside an ordinary container"));
        assert_eq!(node.warnings(Some("runsc")), [""; 0]);
        node.security.push("userns".into());
        assert_eq!(node.warnings(None), [""; 0]);
    }

    #[test]
    fn old_parts_of_an_engine_are_warned_about() {
        let (mut version, info) = answers();
        let parts = version.components.as_mut().unwrap();
        parts[1].version = "1.1.5+ds1".into();
        parts[1].details =
            Some(serde_json::from_str(r#"{"GitCommit": "1.1.5+ds1-1+deb12u1"}"#).unwrap());
        let node = NodeFacts::read(version, info).unwrap();
        let warnings = node.warnings(Some("runsc"));
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        let named =
            "node n1: runc 1.1.5+ds1 (package 1.1.5+ds1-1+deb12u1) is older than 1.1.12 and";
        assert!(warnings[0].starts_with(named), "{warnings:?}");
        assert!(warnings[1].contains("CVE-2025-31133"), "{warnings:?}");
    }

    #[test]
    fn a_runtime_that_is_missing_or_keeps_no_limits_is_refused() {
        let arguments = |arguments: &[&str]| {
            let (version, mut info) = answers();
            let runtime = Runtime {
                path: Some("/usr/bin/runsc".into()),
                runtime_args: Some(arguments.iter().map(|&word| word.to_owned()).collect()),
                ..Default::default()
            };
            info.runtimes =
                Some([("runc".into(), Runtime::default()), ("runsc".into(), runtime)].into());
            NodeFacts::read(version, info).unwrap()
        };
        let refused = |node: &NodeFacts, wanted| {
            node.check_runtime(wanted).map_err(|error| error.to_string())
        };
        let node = arguments(&["--platform=ptrace"]);
        assert_eq!(refused(&node, None), Ok(()));
        assert_eq!(refused(&node, Some("runsc")), Ok(()));
        assert_eq!(
            refused(&node, Some("kata")),
            Err("this engine cannot be used: it has no runtime kata, which PORTCALL_RUNTIME asks \
                 for; it has runc, runsc"
                .to_owned())
        );
        for spelling in ["--ignore-cgroups", "-ignore-cgroups", "--ignore-cgroups=true"] {
            let mut node = arguments(&["--platform=ptrace", spelling]);
            assert_eq!(refused(&node, None), Ok(()));
            assert!(refused(&node, Some("runsc")).unwrap_err().contains("no limit of memory"));
            node.default_runtime = "runsc".into();
            assert!(refused(&node, None).is_err());
        }
        assert_eq!(refused(&arguments(&["--ignore-cgroups=false"]), Some("runsc")), Ok(()));
    }
}
