//! Nodes: what each worker says of the machine that it runs strangers' containers on.
//!
//! One document per worker and node, rewritten whole by its worker and by nobody else. It is for
//! people to look at; workers decide two things by it: with how many slots of its share a newcomer
//! may begin while others still finish in theirs, and when a node that is drained is idle. It goes
//! with its worker; what a worker left behind that nobody took off the list in time is not shown,
//! and removed by any reaper.

use std::collections::HashSet;

use bson::{DateTime, Document, Uuid, doc};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{
    Store, StoreError, decode,
    documents::{restored, stored, uuid, worker_id},
    encode,
};
use crate::{domain::ids::WorkerId, retry};

/// The most differences of a canary that are kept.
pub const DIFFERENCES: usize = 64;

/// What a node is good for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Its canary passed and there is room: it takes work.
    Fit,
    /// Its canary failed: it takes no work.
    Unfit,
    /// No canary could be run for too long: it takes no work.
    Unchecked,
    /// Its disk is full: it takes no work.
    Full,
    /// What a newer version calls by a word of its own: not [`NodeState::Fit`].
    #[serde(other)]
    Other,
}

impl NodeState {
    /// The word for it, everywhere.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fit => "fit",
            Self::Unfit => "unfit",
            Self::Unchecked => "unchecked",
            Self::Full => "full",
            Self::Other => "other",
        }
    }
}

/// What its worker does with a node, whatever that is good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeDuty {
    /// It uses it, as far as its state lets it.
    #[default]
    Serving,
    /// An operator drained it, and something of the worker's still runs there.
    Draining,
    /// An operator drained it, and nothing of the worker's runs there.
    Drained,
    /// Its endpoint cannot reach it.
    Down,
    /// What a newer version calls by a word of its own: not [`NodeDuty::Serving`].
    #[serde(other)]
    Other,
}

impl NodeDuty {
    /// The word for it, everywhere.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Down => "down",
            Self::Other => "other",
        }
    }
}

/// How the last canary ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CanaryOutcome {
    /// Everything that must not work did not.
    Passed,
    /// Something did that must not, or the other way round.
    Failed,
    /// There was none, or it could not be run; also what a newer version calls by a word of its own.
    #[serde(other)]
    Unknown,
}

impl CanaryOutcome {
    /// The word for it, everywhere.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// One thing that the canary tried and that did not go as it must.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryDifference {
    /// Under which profile.
    pub profile: String,
    /// What was tried.
    pub attempt: String,
    /// What must come of it.
    pub expected: String,
    /// What came of it.
    pub got: String,
}

/// What is known from the canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryEntry {
    /// How the last one ended.
    pub outcome: CanaryOutcome,
    /// When, by the worker's clock.
    pub at: Option<OffsetDateTime>,
    /// What did not go as it must; at most [`DIFFERENCES`] of it.
    pub differences: Vec<CanaryDifference>,
    /// Why the newest could not be run, if it could not.
    pub trouble: Option<String>,
    /// The number of the last order for one ([`super::orders`]) that was carried out; 0 if there
    /// was none.
    pub ordered: u64,
}

/// What the engine and its machine are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeDescription {
    /// The machine's name.
    pub name: String,
    /// The engine's own id.
    pub id: String,
    /// The engine's version.
    pub engine: String,
    /// The newest version of its API, such as `1.47`.
    pub api: String,
    /// The system and architecture of images, such as `linux/amd64`.
    pub platform: String,
    /// Processors.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// The version of the cgroup interface.
    pub cgroup: u32,
    /// The runtime of strangers' containers.
    pub runtime: String,
    /// The runtimes that there are.
    pub runtimes: Vec<String>,
    /// The engine's security options.
    pub security: Vec<String>,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

impl NodeDescription {
    /// Of a node that has not said anything yet.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            name: "?".to_owned(),
            id: String::new(),
            engine: String::new(),
            api: String::new(),
            platform: String::new(),
            cpus: 0,
            memory: 0,
            cgroup: 0,
            runtime: String::new(),
            runtimes: Vec::new(),
            security: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// How full the disk with the engine's data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeDisk {
    /// Free bytes.
    pub free: u64,
    /// All bytes.
    pub total: u64,
    /// Files that may still be made.
    pub free_inodes: u64,
    /// All files; 0 where they are not counted.
    pub total_inodes: u64,
}

/// A node as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEntry {
    /// Whose it is.
    pub worker: WorkerId,
    /// What that is called.
    pub worker_name: String,
    /// What tells the node from the others of the worker's Docker endpoint.
    pub post: String,
    /// How many slots the worker keeps there.
    pub slots: u32,
    /// How many of its slots are there now, those included that it is giving up.
    pub open: u32,
    /// How many submissions it grades there now.
    pub busy: u32,
    /// How many slots the node has for all workers together; none if each keeps its own.
    pub room: Option<u32>,
    /// What the worker does with it.
    pub duty: NodeDuty,
    /// The machine.
    pub node: NodeDescription,
    /// Its disk, once it was looked at.
    pub disk: Option<NodeDisk>,
    /// Its canary.
    pub canary: CanaryEntry,
    /// What it is good for.
    pub state: NodeState,
    /// Why it takes no work, if it takes none.
    pub why: Option<String>,
    /// When this was written, by the worker's clock.
    pub seen_at: OffsetDateTime,
}

impl NodeEntry {
    /// Whether it takes work.
    #[must_use]
    pub fn takes_work(&self) -> bool {
        self.state == NodeState::Fit && self.duty == NodeDuty::Serving
    }
}

/// What has a default came with a later version than the first.
#[derive(Serialize, Deserialize)]
struct NodeDoc {
    #[serde(rename = "_id")]
    id: String,
    worker: Uuid,
    worker_name: String,
    #[serde(default)]
    post: String,
    slots: u32,
    #[serde(default)]
    open: u32,
    #[serde(default)]
    busy: u32,
    #[serde(default)]
    room: Option<u32>,
    #[serde(default)]
    duty: NodeDuty,
    node: NodeDescription,
    disk: Option<NodeDisk>,
    canary: CanaryDoc,
    state: NodeState,
    why: Option<String>,
    seen_at: DateTime,
}

#[derive(Serialize, Deserialize)]
struct CanaryDoc {
    outcome: CanaryOutcome,
    at: Option<DateTime>,
    differences: Vec<CanaryDifference>,
    trouble: Option<String>,
    #[serde(default)]
    ordered: u64,
}

impl Store {
    /// Writes down what a worker knows of a node, in place of what it wrote before.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn note_node(&self, entry: &NodeEntry) -> Result<(), StoreError> {
        let nodes = self.nodes.clone();
        let document = document(entry);
        let filter = doc! { "_id": &document.id };
        let document = encode(&document)?;
        let write = async move { nodes.replace_one(filter, document).upsert(true).await };
        self.call("note a node", write).await.map(drop)
    }

    /// Forgets a node that a worker no longer has.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn forget_node(&self, worker: WorkerId, post: &str) -> Result<(), StoreError> {
        let (nodes, filter) = (self.nodes.clone(), doc! { "_id": key(worker, post) });
        let gone = async move { nodes.delete_one(filter).await };
        self.call("forget a node", gone).await.map(drop)
    }

    /// Forgets the nodes of a worker that is gone.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn forget_nodes(&self, worker: WorkerId) -> Result<(), StoreError> {
        let nodes = self.nodes.clone();
        let gone = async move { nodes.delete_many(doc! { "worker": uuid(worker) }).await };
        self.call("forget a worker's nodes", gone).await.map(drop)
    }

    /// Forgets the nodes of every worker that is not among these; how many that were. One that is
    /// forgotten too early, since its worker is new, is back with its next beat.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn forget_nodes_without(
        &self,
        workers: &HashSet<WorkerId>,
    ) -> Result<u64, StoreError> {
        let nodes = self.nodes.clone();
        let known: Vec<Uuid> = workers.iter().map(|worker| uuid(*worker)).collect();
        let gone = async move { nodes.delete_many(doc! { "worker": { "$nin": known } }).await };
        Ok(self.call("forget lost workers' nodes", gone).await?.deleted_count)
    }

    /// The nodes of every worker on the list, by the names of node and worker.
    ///
    /// # Errors
    /// When the store cannot, or finds what this version does not write.
    pub async fn nodes(&self) -> Result<Vec<NodeEntry>, StoreError> {
        let nodes = self.nodes.clone();
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "list the nodes", move || {
                let nodes = nodes.clone();
                async move { nodes.find(doc! {}).await?.try_collect().await }
            })
            .await?;
        let listed: HashSet<WorkerId> = self.workers().await?.iter().map(|w| w.id).collect();
        let mut entries = Vec::with_capacity(found.len());
        for document in found {
            let entry = entry(decode(document)?);
            if listed.contains(&entry.worker) {
                entries.push(entry);
            }
        }
        entries.sort_by(|a, b| (&a.node.name, &a.worker_name).cmp(&(&b.node.name, &b.worker_name)));
        Ok(entries)
    }
}

/// Not by the node's name, since two machines may have one.
fn key(worker: WorkerId, post: &str) -> String {
    format!("{worker} {post}")
}

fn document(entry: &NodeEntry) -> NodeDoc {
    let canary = &entry.canary;
    NodeDoc {
        id: key(entry.worker, &entry.post),
        worker: uuid(entry.worker),
        worker_name: entry.worker_name.clone(),
        post: entry.post.clone(),
        slots: entry.slots,
        open: entry.open,
        busy: entry.busy,
        room: entry.room,
        duty: entry.duty,
        node: entry.node.clone(),
        disk: entry.disk,
        canary: CanaryDoc {
            outcome: canary.outcome,
            at: canary.at.map(stored),
            differences: canary.differences.iter().take(DIFFERENCES).cloned().collect(),
            trouble: canary.trouble.clone(),
            ordered: canary.ordered,
        },
        state: entry.state,
        why: entry.why.clone(),
        seen_at: stored(entry.seen_at),
    }
}

fn entry(doc: NodeDoc) -> NodeEntry {
    NodeEntry {
        worker: worker_id(doc.worker),
        worker_name: doc.worker_name,
        post: doc.post,
        slots: doc.slots,
        open: doc.open,
        busy: doc.busy,
        room: doc.room,
        duty: doc.duty,
        node: doc.node,
        disk: doc.disk,
        canary: CanaryEntry {
            outcome: doc.canary.outcome,
            at: doc.canary.at.map(restored),
            differences: doc.canary.differences,
            trouble: doc.canary.trouble,
            ordered: doc.canary.ordered,
        },
        state: doc.state,
        why: doc.why,
        seen_at: restored(doc.seen_at),
    }
}
