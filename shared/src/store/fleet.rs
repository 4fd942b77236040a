//! The fleet at a glance: who grades, on which machines, and with how much of it they are busy.
//!
//! Put together from what the workers' list, the nodes' list and the list of processes have, and from
//! the submissions that are being graded. It is for people to look at; nothing is decided by it.

use std::collections::HashMap;

use bson::{Bson, Document, doc};
use futures::TryStreamExt;

use super::{
    Store, StoreError,
    documents::worker_id,
    nodes::{NodeDuty, NodeEntry},
    workers::WorkerEntry,
};
use crate::{domain::ids::WorkerId, retry};

/// Who grades, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// Every worker on the list, by name.
    pub workers: Vec<FleetWorker>,
    /// What each of them says of each of its nodes.
    pub nodes: Vec<NodeEntry>,
}

/// A worker of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetWorker {
    /// As it is listed.
    pub entry: WorkerEntry,
    /// How many submissions it grades now.
    pub busy: u32,
    /// Its build's name, if it said so.
    pub build: Option<String>,
    /// Whether it takes no more work, since all of its nodes are drained.
    pub draining: bool,
}

impl Store {
    /// Who grades, on which machines, and how busy they are.
    ///
    /// # Errors
    /// When the store cannot, or finds what this version cannot read.
    pub async fn fleet(&self) -> Result<Fleet, StoreError> {
        let (listed, nodes, busy, builds) =
            tokio::try_join!(self.workers(), self.nodes(), self.grading_by(), self.builds())?;
        let mut workers: Vec<FleetWorker> = listed
            .into_iter()
            .map(|entry| FleetWorker {
                busy: busy.get(&entry.id).copied().unwrap_or_default(),
                build: builds.get(&entry.id).cloned(),
                draining: is_draining(&entry, &nodes),
                entry,
            })
            .collect();
        workers.sort_by(|a, b| (&a.entry.name, a.entry.id).cmp(&(&b.entry.name, b.entry.id)));
        Ok(Fleet { workers, nodes })
    }

    /// How many submissions each worker grades now, by its leases.
    async fn grading_by(&self) -> Result<HashMap<WorkerId, u32>, StoreError> {
        let pipeline = vec![
            doc! { "$match": { "state": "grading" } },
            doc! { "$group": { "_id": "$worker", "n": { "$sum": 1_i64 } } },
        ];
        let submissions = self.submissions.clone();
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "count what each worker grades", move || {
                let (submissions, pipeline) = (submissions.clone(), pipeline.clone());
                async move { submissions.aggregate(pipeline).await?.try_collect().await }
            })
            .await?;
        let read = |group: &Document| {
            Some((whose(group)?, u32::try_from(group.get_i64("n").ok()?).unwrap_or(u32::MAX)))
        };
        Ok(found.iter().filter_map(read).collect())
    }

    /// The names of the workers' builds.
    async fn builds(&self) -> Result<HashMap<WorkerId, String>, StoreError> {
        let processes = self.processes.clone();
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "list the workers' builds", move || {
                let processes = processes.clone();
                async move { processes.find(doc! { "kind": "worker" }).await?.try_collect().await }
            })
            .await?;
        let read =
            |process: &Document| Some((whose(process)?, process.get_str("build").ok()?.to_owned()));
        Ok(found.iter().filter_map(read).collect())
    }
}

/// The worker that a document has the id of.
fn whose(document: &Document) -> Option<WorkerId> {
    match document.get("_id") {
        Some(Bson::Binary(id)) => Some(worker_id(id.to_uuid().ok()?)),
        _ => None,
    }
}

fn is_draining(worker: &WorkerEntry, nodes: &[NodeEntry]) -> bool {
    let mut own = nodes.iter().filter(|node| node.worker == worker.id).peekable();
    let away = |duty| matches!(duty, NodeDuty::Draining | NodeDuty::Drained);
    own.peek().is_some() && own.all(|node| away(node.duty))
}
