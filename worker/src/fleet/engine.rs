//! A plain engine: connecting, asking with a deadline, and what it is. The parts of the work are
//! in files of their own: [`slots`], [`images`], [`workloads`] and [`removal`].

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bollard::Docker;
use portcall_shared::domain::ids::WorkerId;
use tokio::sync::{OnceCell, RwLock};

use super::{
    endpoint::{Address, within},
    error::FleetError,
    facts::NodeFacts,
    image_uses::ImageUses,
    labels::LabelKey,
    request::NodeSettings,
    subnet::SubnetPool,
};

pub(super) mod creation;
mod eviction;
mod images;
pub(super) mod prober;
mod removal;
mod slots;
mod workloads;

/// Reading: inspect, list, version. Answered from the engine's memory.
const READ: Duration = Duration::from_secs(10);
/// Making a container or network, without starting it.
const CREATE: Duration = Duration::from_secs(15);
/// Starting one container. The platform promises 15 s for a start.
const START: Duration = Duration::from_secs(15);
/// Removing one container or network, killing included.
const REMOVE: Duration = Duration::from_secs(20);
/// Loading an image of ours.
const LOAD: Duration = Duration::from_secs(60);
/// Reading a container's log.
const LOGS: Duration = Duration::from_secs(10);
/// Counting what a container wrote: the engine walks over its files.
const COUNT: Duration = Duration::from_secs(30);
/// From the first question to a new prober to its answer.
const FIRST_WORD: Duration = Duration::from_secs(10);

/// What a fleet on a plain engine must know.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// The engine: `unix:///var/run/docker.sock`, `tcp://host:port` or `http://host:port`.
    pub host: String,
    /// A folder with `ca.pem`, `cert.pem` and `key.pem`: a `tcp://` address is then spoken to over
    /// mutual TLS.
    pub certs: Option<PathBuf>,
    /// The worker that makes slots here.
    pub worker: WorkerId,
    /// The key that labels are signed with.
    pub key: LabelKey,
    /// The static prober binary.
    pub prober: PathBuf,
    /// The static canary binary; read when the first canary is started.
    pub canary: PathBuf,
    /// Where the subnets of slots come from.
    pub pool: SubnetPool,
    /// What the operator of the node decides.
    pub node: NodeSettings,
    /// Which images may be started.
    pub images: Images,
}

/// Which images may be started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Images {
    /// Only those pinned by a manifest's digest, as a registry gives them.
    #[default]
    Pinned,
    /// Also those that are on the machine, by their id: for a check on a participant's own machine,
    /// never for submissions, where an id could be somebody else's image.
    LocalToo,
}

/// A plain engine.
#[derive(Debug)]
pub struct EngineFleet {
    pub(super) settings: EngineSettings,
    address: Arc<Address>,
    /// The names of our own images; they follow from the binaries alone.
    prober_tag: OnceCell<String>,
    canary_tag: OnceCell<String>,
    /// Which strangers' images were asked for.
    uses: ImageUses,
    /// Held while an image is looked for, and alone while one is removed.
    looking: RwLock<()>,
    /// What the engine said of itself last. It is asked anew whenever a slot is opened; for every image
    /// it would cost more than the look at the image.
    told: Mutex<Option<Arc<NodeFacts>>>,
}

impl EngineFleet {
    pub(super) fn new(settings: EngineSettings) -> Result<Self, FleetError> {
        let address = Address::parse(&settings.host, settings.certs.as_deref())?;
        Ok(Self::at(Arc::new(address), settings))
    }

    /// The same at an address that others speak to, too.
    pub(super) fn at(address: Arc<Address>, settings: EngineSettings) -> Self {
        Self {
            settings,
            address,
            prober_tag: OnceCell::new(),
            canary_tag: OnceCell::new(),
            uses: ImageUses::default(),
            looking: RwLock::default(),
            told: Mutex::default(),
        }
    }

    pub(super) async fn facts(&self) -> Result<NodeFacts, FleetError> {
        let docker = self.docker()?;
        let doing = "reading facts";
        let (version, info) = tokio::try_join!(
            within(READ, doing, docker.version()),
            within(READ, doing, docker.info()),
        )?;
        let node = NodeFacts::read(version, info)?;
        self.address.speaks(node.api);
        node.check_runtime(self.settings.node.runtime.as_deref())?;
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(node.clone()));
        Ok(node)
    }

    /// What it said of itself last.
    async fn known_facts(&self) -> Result<Arc<NodeFacts>, FleetError> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match told {
            Some(told) => Ok(told),
            None => self.facts().await.map(Arc::new),
        }
    }

    /// A client. It holds no connection, so making one is how a lost engine is found again.
    fn docker(&self) -> Result<Docker, FleetError> {
        self.address.docker()
    }
}

/// A value that every engine gives.
fn given<T>(value: Option<T>, doing: &'static str, what: &str) -> Result<T, FleetError> {
    value.ok_or_else(|| FleetError::Answer { doing, detail: format!("no {what} in it") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(host: &str) -> EngineSettings {
        EngineSettings {
            host: host.into(),
            certs: None,
            worker: WorkerId::new(),
            key: LabelKey([0; 32]),
            prober: PathBuf::new(),
            canary: PathBuf::new(),
            pool: SubnetPool::default(),
            node: NodeSettings::default(),
            images: Images::Pinned,
        }
    }

    #[test]
    fn only_addresses_of_engines_are_taken() {
        for good in ["unix:///var/run/docker.sock", "tcp://127.0.0.1:2375", "http://node:2375"] {
            assert!(EngineFleet::new(settings(good)).is_ok(), "{good}");
        }
        for bad in ["", "unix://", "/var/run/docker.sock", "ssh://node", "https://node"] {
            assert!(EngineFleet::new(settings(bad)).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_the_platforms_fault() {
        for host in ["unix:///nonexistent/docker.sock", "tcp://127.0.0.1:1"] {
            let fleet = EngineFleet::new(settings(host)).unwrap();
            let error = fleet.facts().await.unwrap_err();
            assert!(matches!(error, FleetError::Unreachable { .. }), "{error:?}");
        }
    }
}
