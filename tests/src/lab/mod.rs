//! Several machines on this one, driven from a test: what `tests/lab` makes, which says what there is.
//!
//! [`Lab::up`] starts one of the test's own: managers and graders of a swarm, registries, a replica
//! set, a host for Portcall's processes, and a lure that takes whatever is sent to somewhere else. It
//! ends with [`Lab::down`], which fails when anything is left; a test that fails, or is killed, takes
//! it down all the same. The test's own network gets an address of the lab, so that clients of this
//! process reach the api, the registries and the managers directly.

mod acts;
mod hosts;
mod left;
mod lures;
pub mod world;

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

pub use hosts::{Host, NodeState};
pub use lures::Touch;

use crate::parts::{
    given,
    process::{self, Ended},
};

/// All of it, on a machine that is busy with other tests.
const UP: Duration = Duration::from_secs(180);
const DOWN: Duration = Duration::from_secs(60);

/// How large a lab is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Managers, 1 to 3.
    pub managers: u8,
    /// Graders that join at once, 1 to 3.
    pub graders: u8,
    /// The replica set.
    pub database: Database,
    /// What the graders' label `portcall.slots` says, if they get one.
    pub slots: Option<u32>,
    /// The packet filter of the graders.
    pub filter: Filter,
}

/// Whether graders have the packet filter of `infra/nodes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// They have none, so that what keeps strangers in is the internal overlay alone.
    None,
    /// They have it, and no way out but to the swarm and the quarantine.
    Closed,
}

/// The replica set of a lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// There is none.
    None,
    /// Three members that anybody may use.
    Open,
    /// Three members that know each other by a key and their clients by a password.
    WithUsers,
}

/// A lab that is up.
#[derive(Debug)]
pub struct Lab {
    id: String,
    folder: PathBuf,
    /// Logs of what a test runs on hosts.
    logs: TempDir,
    finished: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            managers: 3,
            graders: 2,
            database: Database::Open,
            slots: None,
            filter: Filter::None,
        }
    }
}

impl Lab {
    /// Three managers, two graders, a replica set, and what belongs to every lab.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn up() -> Result<Self> {
        Self::of(Plan::default()).await
    }

    /// Starts a lab of that size, and waits until all of it works.
    ///
    /// # Errors
    /// When it does not come up; then nothing of it is left.
    pub async fn of(plan: Plan) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("portcall-lab-").tempdir()?.keep();
        let managers = plan.managers.to_string();
        let graders = plan.graders.to_string();
        let pid = std::process::id().to_string();
        let slots = plan.slots.map(|slots| slots.to_string());
        let mut arguments = vec!["up", "--door", "--with", &pid];
        arguments.extend(["--managers", &managers, "--graders", &graders]);
        match plan.database {
            Database::None => arguments.push("--no-mongo"),
            Database::Open => {}
            Database::WithUsers => arguments.push("--mongo-auth"),
        }
        if plan.filter == Filter::Closed {
            arguments.push("--filter");
        }
        if let Some(slots) = &slots {
            arguments.extend(["--slots", slots]);
        }
        let (id, logs) = (String::new(), tempfile::tempdir()?);
        // From here on it is taken down, whatever happens.
        let mut lab = Self { id, folder, logs, finished: false };
        lab.script(&arguments, UP).await?;
        lab.id = text(&lab.described()?["id"])?;
        Ok(lab)
    }

    /// What its namespaces, cgroups and interfaces are called by.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where all of it lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a worker finds the managers: `tcp://…,tcp://…`.
    ///
    /// # Errors
    /// When the lab does not say.
    pub fn endpoints(&self) -> Result<String> {
        let list = self.described()?["endpoints"].take();
        let list = list.as_array().context("no endpoints")?.iter().map(text);
        Ok(list.collect::<Result<Vec<_>>>()?.join(","))
    }

    /// The folder with `ca.pem`, `cert.pem` and `key.pem` of a client of the engines.
    ///
    /// # Errors
    /// When the lab does not say.
    pub fn certificates(&self) -> Result<PathBuf> {
        Ok(text(&self.described()?["certificates"])?.into())
    }

    /// Host and port of the registry that strangers push to.
    ///
    /// # Errors
    /// When the lab does not say.
    pub fn public(&self) -> Result<String> {
        text(&self.described()?["public"])
    }

    /// Host and port of the platform's own registry.
    ///
    /// # Errors
    /// When the lab does not say.
    pub fn quarantine(&self) -> Result<String> {
        text(&self.described()?["quarantine"])
    }

    /// The address of the replica set.
    ///
    /// # Errors
    /// When the lab has none.
    pub fn database(&self) -> Result<String> {
        text(&self.described()?["database"])
    }

    /// The settings by which a worker finds all of it, as `tests/lab env` prints them.
    ///
    /// # Errors
    /// When the lab does not say.
    pub fn worker_settings(&self) -> Result<Vec<(String, String)>> {
        let (public, quarantine) = (self.public()?, self.quarantine()?);
        let mut settings = vec![
            ("PORTCALL_FLEET", "swarm".to_owned()),
            ("PORTCALL_DOCKER_HOST", self.endpoints()?),
            ("PORTCALL_DOCKER_CERTS", self.certificates()?.display().to_string()),
            ("PORTCALL_HTTP_REGISTRIES", format!("{public},{quarantine}")),
            ("PORTCALL_QUARANTINE", quarantine),
        ];
        if let Ok(uri) = self.database() {
            settings.push(("PORTCALL_MONGODB_URI", uri));
        }
        Ok(settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// The address by which the lab's hosts would reach this process.
    ///
    /// # Errors
    /// When the lab does not say.
    pub fn door(&self) -> Result<Ipv4Addr> {
        let mut octets = self.host("x")?.address.octets();
        octets[3] = 254;
        Ok(octets.into())
    }

    /// Takes it down, and fails when anything of it is left on the machine.
    ///
    /// # Errors
    /// When something is.
    pub async fn down(mut self) -> Result<()> {
        self.take_down().await
    }

    /// The same for whoever only has it lent; it is over all the same.
    pub(crate) async fn take_down(&mut self) -> Result<()> {
        self.finished = true;
        self.script(&["down"], DOWN).await?;
        ensure!(!self.folder.exists(), "{} is left", self.folder.display());
        Ok(())
    }

    /// What `lab.json` says at the moment.
    fn described(&self) -> Result<Value> {
        let file = self.folder.join("lab.json");
        let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Runs `tests/lab`; what it printed.
    async fn script(&self, arguments: &[&str], within: Duration) -> Result<String> {
        let done = process::ask(&program(), arguments, &self.environment(), within).await?;
        ensure!(done.ended == Ended::Code(0), "tests/lab {arguments:?}: {done:#?}");
        Ok(done.stdout)
    }

    fn environment(&self) -> Vec<(String, String)> {
        let mut environment =
            vec![("PORTCALL_TEST_LAB".to_owned(), self.folder.display().to_string())];
        if let Ok(mongod) = given::mongod() {
            environment.push(("PORTCALL_TEST_MONGOD".to_owned(), mongod.display().to_string()));
        }
        environment
    }
}

impl Drop for Lab {
    /// A test that failed: nothing is left for the next one.
    fn drop(&mut self) {
        if !self.finished {
            // What cannot be cleared is not this test's failure.
            let _ = Command::new(program())
                .arg("down")
                .envs(self.environment())
                .stdin(Stdio::null())
                .status();
            let _ = std::fs::remove_dir(&self.folder);
        }
    }
}

/// The script.
#[must_use]
pub fn program() -> PathBuf {
    given::checkout().join("tests/lab")
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().with_context(|| format!("{value} where a text belongs"))?.to_owned())
}
