//! A stranger's running containers: what to start, what is running, and the guard that sees to
//! their removal.

use std::{
    net::Ipv4Addr,
    sync::{Arc, OnceLock},
};

use super::{
    Fleet,
    error::FleetError,
    given_id::GivenId,
    labels::{Kind, Owner, Tenant},
    limits::{Limits, Profile},
    request::plain_path,
    slot::{Slot, Tenancy},
    swarm::Watch,
};

/// Whose image a container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A participant's.
    Image,
    /// One that the organiser chose for the event.
    Service,
}

/// A container to start.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerSpec {
    /// Whose image it is.
    pub role: Role,
    /// Its position among the submission's images, or among the event's services.
    pub index: usize,
    /// The name by which the other containers of the submission reach it, and its host name. A
    /// DNS label.
    pub alias: String,
    /// The image, pinned: `name@sha256:…`.
    pub image: String,
    /// How tightly it is held.
    pub profile: Profile,
    /// How much it may use.
    pub limits: Limits,
    /// What its image declares; see [`Fleet::image_declares`].
    pub declared: ImageDeclares,
}

/// What the configuration of an image says, as far as it matters for a start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageDeclares {
    /// Paths that would become anonymous volumes.
    pub volumes: Vec<String>,
    /// The user; none means root.
    pub user: Option<String>,
    /// The working directory.
    pub working_dir: Option<String>,
    /// Ports such as `80/tcp`; for hints only, nothing is published.
    pub exposed_ports: Vec<String>,
    /// Entry point and arguments.
    pub command: Vec<String>,
}

/// The most volumes that an image may declare.
const MOST_VOLUMES: usize = 16;

/// The greatest user or group id; larger ones were read as 0 by some engines (CVE-2024-40635).
const GREATEST_ID: u64 = i32::MAX as u64;

impl ImageDeclares {
    /// What in the configuration no image may have, in one sentence for its author.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let kernel = |path: &str| {
            let path = plain_path(path);
            ["/proc", "/sys", "/dev"].iter().any(|root| {
                path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        let climbs =
            |path: &str| !path.starts_with('/') || path.split('/').any(|part| part == "..");
        if let Some(dir) = self.working_dir.as_deref().filter(|dir| !dir.is_empty())
            && (kernel(dir) || climbs(dir))
        {
            return Some(format!("WORKDIR {} is not a plain directory", shown(dir)));
        }
        if self.volumes.len() > MOST_VOLUMES {
            return Some(format!(
                "it declares {} volumes, at most {MOST_VOLUMES} are allowed",
                self.volumes.len()
            ));
        }
        for volume in &self.volumes {
            if kernel(volume) || climbs(volume) || plain_path(volume) == "/" || volume.contains(':')
            {
                return Some(format!("VOLUME {} is not a plain directory", shown(volume)));
            }
        }
        let ids = self.user.as_deref().unwrap_or_default().split(':');
        ids.filter(|id| id.bytes().all(|byte| byte.is_ascii_digit()) && !id.is_empty())
            .find(|id| id.parse::<u64>().map_or(true, |id| id > GREATEST_ID))
            .map(|id| format!("USER {} is beyond {GREATEST_ID}", shown(id)))
    }
}

fn shown(text: &str) -> String {
    super::error::cut(text).chars().take(100).collect()
}

/// One container of a workload, as it was seen last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerState {
    /// Whose image it runs.
    pub role: Role,
    /// Its position among the submission's images, or among the event's services.
    pub index: usize,
    /// Its name in the slot's network.
    pub alias: String,
    /// Whether it runs, or how it ended.
    pub phase: Phase,
    /// Whether the kernel ended a process in it for want of memory.
    pub oom_killed: bool,
    /// Its address in the slot's network; none once it has ended.
    pub address: Option<Ipv4Addr>,
    /// When it started, by the node's clock (RFC 3339).
    pub started_at: Option<String>,
}

/// Where a container is in its short life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It was made and has not started.
    Created,
    /// It runs.
    Running,
    /// Its command could not be executed at all (the participant's).
    NotStarted {
        /// The exit code of the init that tried.
        exit_code: i64,
        /// Why, in one line.
        detail: String,
    },
    /// It ended.
    Exited {
        /// The exit code; 128 and the signal's number if a signal ended it.
        exit_code: i64,
    },
    /// Somebody else removed it (the platform's).
    Missing,
}

impl ContainerState {
    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }
}

/// One container that was started.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) role: Role,
    pub(super) index: usize,
    pub(super) alias: String,
    pub(super) name: String,
    pub(super) id: GivenId,
    pub(super) address: Option<Ipv4Addr>,
    /// Of a task: who tells that its node is there.
    pub(super) watch: Option<Watch>,
    /// Of a task: how it ended, once that is certain.
    pub(super) ended: Arc<OnceLock<Phase>>,
}

impl Member {
    pub(super) fn new(spec: &ContainerSpec, name: String, id: GivenId) -> Self {
        Self {
            role: spec.role,
            index: spec.index,
            alias: spec.alias.clone(),
            name,
            id,
            address: None,
            watch: None,
            ended: Arc::default(),
        }
    }
}

impl Role {
    /// What the labels of such a container say.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Image => Kind::Workload,
            Self::Service => Kind::Service,
        }
    }
}

/// Found again by this name if the engine's answer is lost.
pub(super) fn name(slot: &Slot, tenant: &Tenant, spec: &ContainerSpec) -> String {
    let Tenant::Submission(Owner { submission, generation, .. }) = tenant else {
        return format!("{}-canary", slot.network_name);
    };
    match spec.role {
        Role::Image => format!("portcall-{submission}-{generation}-{}", spec.index),
        Role::Service => format!("portcall-{submission}-{generation}-s{}", spec.index),
    }
}

/// The running containers of one tenant of a slot. [`Workload::remove`] is its normal end; if it is
/// dropped before, it stays on the node until the reaper finds it by its labels.
#[derive(Debug)]
pub struct Workload {
    fleet: Fleet,
    tenant: Tenant,
    network: String,
    tenancy: Tenancy,
    members: Vec<Member>,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Running,
    Removed,
}

impl Workload {
    pub(super) fn new(fleet: Fleet, tenant: Tenant, slot: &Slot, members: Vec<Member>) -> Self {
        let tenancy = slot.tenancy.clone();
        tenancy.report(members.iter().filter_map(|member| member.address));
        Self { fleet, tenant, network: slot.network.clone(), tenancy, members, end: End::Running }
    }

    /// The addresses that the fleet reported at the start, in the order of the specs.
    #[must_use]
    pub fn addresses(&self) -> Vec<Option<Ipv4Addr>> {
        self.members.iter().map(|member| member.address).collect()
    }

    /// Kills and removes every container, and looks that none is left.
    ///
    /// # Errors
    /// [`FleetError`] if the removal could not be verified; the slot must then not be used again.
    pub async fn remove(mut self) -> Result<(), FleetError> {
        self.tenancy.report([]);
        let names: Vec<String> = self.members.iter().map(|member| member.name.clone()).collect();
        let ids: Vec<GivenId> = self.members.iter().map(|member| member.id.clone()).collect();
        self.fleet.remove_containers(&ids).await.inspect_err(|error| {
            tracing::error!(
                tenant = %self.tenant,
                containers = ?names,
                error = %error,
                "workload not removed, left to the reaper"
            );
        })?;
        self.end = End::Removed;
        Ok(())
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    pub(super) fn network(&self) -> &str {
        &self.network
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        if self.end == End::Running {
            self.tenancy.report([]);
            self.tenancy.doubt();
            tracing::warn!(
                tenant = %self.tenant,
                containers = self.members.len(),
                "workload dropped without being removed, left to the reaper"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_images_are_taken() {
        for (volumes, user, dir) in [
            (vec![], None, None),
            (vec!["/data"], Some("redis"), Some("/data")),
            (vec!["/var/lib/x/"], Some("1000:1000"), Some("")),
            (vec![], Some("2147483647"), Some("/")),
            (vec!["/development"], Some(""), Some("/process/x")),
        ] {
            let declares = ImageDeclares {
                volumes: volumes.into_iter().map(str::to_owned).collect(),
                user: user.map(str::to_owned),
                working_dir: dir.map(str::to_owned),
                ..Default::default()
            };
            assert_eq!(declares.refusal(), None, "{declares:?}");
        }
    }

    #[test]
    fn tricks_are_refused_by_name() {
        let dir = |dir: &str| ImageDeclares { working_dir: Some(dir.into()), ..Default::default() };
        let volume =
            |path: &str| ImageDeclares { volumes: vec![path.into()], ..Default::default() };
        let user = |user: &str| ImageDeclares { user: Some(user.into()), ..Default::default() };
        for bad in [
            dir("/proc/self/fd/7"),
            dir("/proc"),
            dir("//proc/./self"),
            dir("/a/../proc"),
            dir("relative"),
            dir("/dev/shm"),
            dir("/sys"),
            volume("/"),
            volume("//"),
            volume("/proc"),
            volume("/dev/x"),
            volume("data"),
            volume("/a/../../b"),
            volume("/a:/b"),
            user("2147483648"),
            user("0:99999999999999999999999"),
            ImageDeclares { volumes: vec!["/v".into(); 17], ..Default::default() },
        ] {
            assert!(bad.refusal().is_some(), "{bad:?}");
        }
    }
}
