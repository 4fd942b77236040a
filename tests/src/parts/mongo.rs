//! Real MongoDB replica sets whose members can be killed, frozen and started again.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use mongodb::{Client, options::ClientOptions};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::{
    cut::Party,
    given, net,
    process::{Group, Process},
};
use crate::wait;

mod admin;

pub use self::admin::{ask, look};

const NAME: &str = "rs";
const ELECTION_TIMEOUT_MS: i32 = 2000;
const PATIENCE: Duration = Duration::from_secs(40);
/// The group of the first member of a set whose members can be cut off from each other.
const FIRST_GROUP: u32 = 54_000;

/// A replica set of one or three members.
#[derive(Debug)]
pub struct ReplicaSet {
    members: Vec<Member>,
    dir: TempDir,
}

#[derive(Debug)]
struct Member {
    address: SocketAddr,
    group: Group,
    /// None while it is killed.
    process: Option<Process>,
}

/// Whether the members of a set can be told apart by a packet filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Apart {
    Yes,
    No,
}

/// The address of a set that tests share when they break none: the one given, or one member
/// that is started once per test process and ends with it.
///
/// # Errors
/// When neither is to be had.
pub async fn shared() -> Result<String> {
    static SET: OnceCell<ReplicaSet> = OnceCell::const_new();
    if let Some(uri) = given::mongodb_uri() {
        return Ok(uri);
    }
    sweep();
    let set = SET
        .get_or_try_init(|| async {
            let name = format!("{SHARED_PREFIX}{}-", std::process::id());
            let dir = tempfile::Builder::new().prefix(&name).tempdir()?;
            ReplicaSet::start_in(1, Apart::No, dir).await
        })
        .await?;
    Ok(set.uri())
}

impl ReplicaSet {
    /// Starts so many members, and waits until one is primary and the others follow.
    ///
    /// # Errors
    /// When a member does not start or the set does not come about.
    pub async fn start(members: usize) -> Result<Self> {
        Self::start_in(members, Apart::No, tempdir()?).await
    }

    /// The same with members that can be [cut off](super::cut) from each other. It takes root.
    ///
    /// # Errors
    /// When a member does not start or the set does not come about.
    pub async fn start_apart(members: usize) -> Result<Self> {
        Self::start_in(members, Apart::Yes, tempdir()?).await
    }

    async fn start_in(count: usize, apart: Apart, dir: TempDir) -> Result<Self> {
        let mut set = Self { members: Vec::new(), dir };
        for _ in 0..count {
            let member = set.add_member()?;
            if apart == Apart::Yes {
                set.members[member].group = Group::Own(FIRST_GROUP + u32::try_from(member)?);
            }
        }
        for n in 0..count {
            set.launch(n)?;
        }
        set.initiate().await?;
        set.settled().await?;
        Ok(set)
    }

    /// The address of the set.
    #[must_use]
    pub fn uri(&self) -> String {
        let hosts: Vec<String> = self.members.iter().map(|m| m.address.to_string()).collect();
        format!("mongodb://{}/?replicaSet={NAME}", hosts.join(","))
    }

    /// The address of one member.
    #[must_use]
    pub fn address(&self, member: usize) -> SocketAddr {
        self.members[member].address
    }

    /// One member, for whoever cuts ways to it or from it.
    ///
    /// # Errors
    /// When the set was not started with members [apart](Self::start_apart).
    pub fn party(&self, member: usize) -> Result<Party> {
        let Member { address, group, .. } = &self.members[member];
        let Group::Own(group) = *group else { bail!("it is in the group of the test") };
        Ok(Party { group, port: Some(address.port()) })
    }

    /// All of them, likewise.
    ///
    /// # Errors
    /// The same.
    pub fn parties(&self) -> Result<Vec<Party>> {
        (0..self.members.len()).map(|member| self.party(member)).collect()
    }

    /// The other members.
    #[must_use]
    pub fn others(&self, member: usize) -> Vec<usize> {
        (0..self.members.len()).filter(|n| *n != member).collect()
    }

    /// Which member is primary; waits for one.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn primary(&self) -> Result<usize> {
        wait::until("a primary", PATIENCE, || async {
            let running = self.members.iter().enumerate().filter(|(_, m)| m.process.is_some());
            for (n, member) in running {
                let hello = look(member.address, doc! { "hello": 1 }).await;
                if hello.is_ok_and(|h| h.get_bool("isWritablePrimary").unwrap_or(false)) {
                    return Ok(Some(n));
                }
            }
            Ok(None)
        })
        .await
    }

    /// Waits until one member is primary and every other that runs follows it.
    ///
    /// # Errors
    /// When they do not in time.
    pub async fn settled(&self) -> Result<()> {
        let running = self.members.iter().filter(|m| m.process.is_some()).count();
        wait::until("a primary and its followers", PATIENCE, || async {
            let address = self.members[self.primary().await?].address;
            let Ok(status) = look(address, doc! { "replSetGetStatus": 1 }).await else {
                return Ok(None);
            };
            let members = status.get_array("members").context("a status without members")?;
            let states = members.iter().filter_map(|m| m.as_document()?.get_i32("state").ok());
            Ok((states.filter(|state| matches!(state, 1 | 2)).count() >= running).then_some(()))
        })
        .await
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When it is dead already.
    pub fn kill(&mut self, member: usize) -> Result<()> {
        let mut process = self.members[member].process.take().context("it is dead already")?;
        process.kill()
    }

    /// Freezes a member.
    ///
    /// # Errors
    /// When it is dead.
    pub fn stop(&self, member: usize) -> Result<()> {
        self.members[member].process.as_ref().context("it is dead")?.stop()
    }

    /// Lets a frozen member go on.
    ///
    /// # Errors
    /// When it is dead.
    pub fn resume(&self, member: usize) -> Result<()> {
        self.members[member].process.as_ref().context("it is dead")?.resume()
    }

    /// Starts a killed member again, on its own data.
    ///
    /// # Errors
    /// When it runs, or cannot be started.
    pub fn restart(&mut self, member: usize) -> Result<()> {
        if self.members[member].process.is_some() {
            bail!("member {member} runs");
        }
        self.launch(member)
    }

    /// Takes a killed member's data away, as the loss of its machine does.
    ///
    /// # Errors
    /// When it runs.
    pub fn wipe(&mut self, member: usize) -> Result<()> {
        if self.members[member].process.is_some() {
            bail!("member {member} runs");
        }
        fs::remove_dir_all(self.dir.path().join(member.to_string()))?;
        Ok(())
    }

    /// Starts a program on an address of its own, with nothing in it and in no set yet; which member
    /// it would be.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn add_empty(&mut self) -> Result<usize> {
        let member = self.add_member()?;
        self.launch(member)?;
        self.answers(member).await?;
        Ok(member)
    }

    /// Makes the members a set for the first time, after every one of them was wiped.
    ///
    /// # Errors
    /// When the set does not come about.
    pub async fn begin_anew(&mut self) -> Result<()> {
        self.initiate().await?;
        self.settled().await
    }

    fn add_member(&mut self) -> Result<usize> {
        let address = net::free_address()?;
        self.members.push(Member { address, group: Group::Same, process: None });
        Ok(self.members.len() - 1)
    }

    async fn answers(&mut self, member: usize) -> Result<()> {
        let address = self.members[member].address;
        let answers = wait::until(format!("mongod at {address}"), PATIENCE, || async {
            Ok(look(address, doc! { "ping": 1 }).await.ok())
        });
        if let Err(error) = answers.await {
            let process = self.members[member].process.as_ref().context("just started")?;
            bail!("{error}; its log ends with {}", tail(&process.log()));
        }
        Ok(())
    }

    /// The same by another program than the `mongod` that is given, such as one with a clock of its own.
    ///
    /// # Errors
    /// When it runs, or cannot be started.
    pub fn restart_by(&mut self, member: usize, program: &Path) -> Result<()> {
        if self.members[member].process.is_some() {
            bail!("member {member} runs");
        }
        self.launch_by(member, program)
    }

    fn launch(&mut self, n: usize) -> Result<()> {
        self.launch_by(n, &given::mongod()?)
    }

    fn launch_by(&mut self, n: usize, program: &Path) -> Result<()> {
        let data = self.dir.path().join(n.to_string());
        fs::create_dir_all(&data)?;
        let port = self.members[n].address.port().to_string();
        let arguments = [
            "--replSet",
            NAME,
            "--dbpath",
            path(&data)?,
            "--port",
            &port,
            "--bind_ip",
            "127.0.0.1",
            "--nounixsocket",
            "--wiredTigerCacheSizeGB",
            "0.25",
            "--oplogSize",
            "128",
            "--setParameter",
            "shutdownTimeoutMillisForSignaledShutdown=0",
            "--setParameter",
            "diagnosticDataCollectionEnabled=false",
            "--setParameter",
            "enableTestCommands=1",
        ];
        let (name, group, dir) = (format!("mongod-{n}"), self.members[n].group, self.dir.path());
        let process = Process::start_in_group(&name, group, program, &arguments, &[], dir)?;
        self.members[n].process = Some(process);
        Ok(())
    }

    async fn initiate(&mut self) -> Result<()> {
        let members: Vec<Document> = (0_i32..)
            .zip(&self.members)
            .map(|(id, member)| doc! { "_id": id, "host": member.address.to_string() })
            .collect();
        let config = doc! {
            "_id": NAME,
            "members": members,
            "settings": { "electionTimeoutMillis": ELECTION_TIMEOUT_MS },
        };
        for member in 0..self.members.len() {
            self.answers(member).await?;
        }
        ask(self.members[0].address, doc! { "replSetInitiate": config }).await?;
        Ok(())
    }
}

fn tempdir() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("portcall-set-").tempdir()?)
}

/// Every document of a database, with the name of its collection.
///
/// # Errors
/// When the database does not answer.
pub async fn dump(uri: &str, database: &str) -> Result<Vec<(String, Document)>> {
    let database = connect(uri).await?.database(database);
    let mut all = Vec::new();
    for name in database.list_collection_names().await? {
        let documents: Vec<Document> =
            database.collection(&name).find(doc! {}).await?.try_collect().await?;
        all.extend(documents.into_iter().map(|document| (name.clone(), document)));
    }
    Ok(all)
}

/// Lets every submission of a database that waits for its next try be tried now.
///
/// # Errors
/// When the set does not answer.
pub async fn hurry(uri: &str, database: &str) -> Result<()> {
    let submissions = connect(uri).await?.database(database).collection::<Document>("submissions");
    let waiting = doc! { "delay.next_try": { "$exists": true } };
    let now = doc! { "$set": { "delay.next_try": bson::DateTime::now() } };
    submissions.update_many(waiting, now).await?;
    Ok(())
}

/// Writes something else into a field of every submission.
///
/// # Errors
/// When the set does not answer.
pub async fn spoil(uri: &str, database: &str, field: &str, value: &str) -> Result<()> {
    let submissions = connect(uri).await?.database(database).collection::<Document>("submissions");
    submissions.update_many(doc! {}, doc! { "$set": { field: value } }).await?;
    Ok(())
}

/// What [`settle`] says of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It passed.
    Passed,
    /// It failed, with this sentence.
    Failed(String),
}

impl Said {
    /// The state's word, and the reason as it lies in a document.
    fn stored(self) -> (&'static str, Bson) {
        let Self::Failed(message) = self else { return ("passed", Bson::Null) };
        let reason = doc! {
            "code": "exited", "owner": "participant", "message": message,
            "hint": Bson::Null, "limit": Bson::Null,
        };
        ("failed", reason.into())
    }
}

/// Stands for workers: writes a verdict for every submission of a database that waits, with an
/// attempt and its evidence, as they lie in the documents. How many these were.
///
/// # Errors
/// When the set does not answer.
pub async fn settle(uri: &str, database: &str, judge: impl Fn(&Document) -> Said) -> Result<usize> {
    let submissions = connect(uri).await?.database(database).collection::<Document>("submissions");
    let waiting = submissions.find(doc! { "state": "queued" }).await?;
    let waiting: Vec<Document> = waiting.try_collect().await?;
    for one in &waiting {
        let (state, reason) = judge(one).stored();
        let number = i64::try_from(one.get_array("attempts")?.len())? + 1;
        let (now, generation) = (bson::DateTime::now(), one.get_i64("generation")? + 1);
        let container = doc! { "alias": "app", "oom_killed": false, "log": "what it wrote" };
        let evidence = doc! { "checks": [], "containers": [container], "reproduce": [] };
        let attempt = doc! {
            "number": number, "worker": bson::Uuid::new(), "worker_name": "nobody",
            "node": Bson::Null, "generation": generation, "started_at": now, "ended_at": now,
            "steps": [], "outcome": state, "reason": reason.clone(), "evidence": evidence,
        };
        let verdict = doc! {
            "outcome": state, "reason": reason, "at": now, "attempt": number, "grading_ms": 5_i64,
        };
        let update = doc! {
            "$set": {
                "state": state, "deadline": Bson::Null, "delay": Bson::Null, "updated_at": now,
                "generation": generation, "verdict": verdict,
            },
            "$push": { "attempts": attempt },
            "$unset": { "ready": "", "lane": "" },
            "$inc": { "revision": 1_i64 },
        };
        let this = doc! { "_id": one.get("_id").cloned(), "state": "queued" };
        submissions.update_one(this, update).await?;
    }
    Ok(waiting.len())
}

/// Removes a test's database.
///
/// # Errors
/// When the set does not answer.
pub async fn drop_database(uri: &str, name: &str) -> Result<()> {
    Ok(connect(uri).await?.database(name).drop().await?)
}

/// The id under which a worker of that name is in the world's list, once it is.
///
/// # Errors
/// When the set does not answer.
pub async fn worker_id(uri: &str, database: &str, name: &str) -> Result<Option<String>> {
    let workers = connect(uri).await?.database(database).collection::<Document>("workers");
    let found = workers.find_one(doc! { "name": name }).await?;
    Ok(found.as_ref().and_then(|d| d.get("_id")).and_then(|id| match id {
        Bson::Binary(binary) => Some(binary.to_uuid().ok()?.to_string()),
        _ => None,
    }))
}

async fn connect(uri: &str) -> Result<Client> {
    Ok(Client::with_options(ClientOptions::parse(uri).await?)?)
}

const SHARED_PREFIX: &str = "portcall-shared-";

/// Removes the data of shared sets whose test process is gone: a static is never dropped.
fn sweep() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|n| n.strip_prefix(SHARED_PREFIX)?.split('-').next());
        if pid.is_some_and(|pid| !PathBuf::from("/proc").join(pid).exists()) {
            // Another test may be at it.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
