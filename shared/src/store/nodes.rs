//! Nodes: what each worker says of the machine that it runs strangers' containers on.
//!
//! One document per worker and node, rewritten whole by its worker and by nobody else, for people
//! to look at: nothing is decided by it. It goes with its worker; what a worker left behind that
//! nobody took off the list in time is not shown, and removed by any reaper.

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
    /// There was none, or it could not be run.
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
    /// How many submissions it grades at once.
    pub slots: u32,
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

#[derive(Serialize, Deserialize)]
struct NodeDoc {
    #[serde(rename = "_id")]
    id: String,
    worker: Uuid,
    worker_name: String,
    slots: u32,
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

fn document(entry: &NodeEntry) -> NodeDoc {
    let canary = &entry.canary;
    NodeDoc {
        // The engine's id, since two machines may have one name.
        id: format!("{} {}", entry.worker, entry.node.id),
        worker: uuid(entry.worker),
        worker_name: entry.worker_name.clone(),
        slots: entry.slots,
        node: entry.node.clone(),
        disk: entry.disk,
        canary: CanaryDoc {
            outcome: canary.outcome,
            at: canary.at.map(stored),
            differences: canary.differences.iter().take(DIFFERENCES).cloned().collect(),
            trouble: canary.trouble.clone(),
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
        slots: doc.slots,
        node: doc.node,
        disk: doc.disk,
        canary: CanaryEntry {
            outcome: doc.canary.outcome,
            at: doc.canary.at.map(restored),
            differences: doc.canary.differences,
            trouble: doc.canary.trouble,
        },
        state: doc.state,
        why: doc.why,
        seen_at: restored(doc.seen_at),
    }
}
