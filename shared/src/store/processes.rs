//! Processes: which apis and workers use the database, and what version each of them is.
//!
//! One entry for each, renewed while it lives and taken away when it ends. An entry that was not
//! renewed for [`GONE`], by the database's own clock, no longer counts. Nothing is claimed, ended or
//! graded by this list; it says who would be hurt if something were taken away from the database.

use std::time::Duration;

use bson::{Bson, Document, Uuid, doc};
use futures::TryStreamExt;
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    Store, StoreError,
    documents::{restored, uuid},
};
use crate::{domain::ids::WorkerId, retry};

/// How often a process says that it is there.
const EVERY: Duration = Duration::from_secs(20);
/// Without a word for so long, a process is gone.
pub const GONE: Duration = Duration::from_secs(90);

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The public side.
    Api,
    /// The side that grades.
    Worker,
}

impl Kind {
    /// The word for it, everywhere.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Worker => "worker",
        }
    }
}

/// A process that wants to be listed.
#[derive(Clone, Debug)]
pub struct Process {
    id: Uuid,
    kind: Kind,
    name: String,
    build: String,
}

impl Process {
    /// An api on this machine, by its build's name.
    #[must_use]
    pub fn api(build: &str) -> Self {
        let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
        let name = name.trim().chars().take(60).collect();
        Self { id: Uuid::new(), kind: Kind::Api, name, build: build.to_owned() }
    }

    /// A worker, by its id, its name and its build's name.
    #[must_use]
    pub fn worker(id: WorkerId, name: &str, build: &str) -> Self {
        let (name, build) = (name.to_owned(), build.to_owned());
        Self { id: uuid(id), kind: Kind::Worker, name, build }
    }
}

/// A process on the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessEntry {
    /// What it is: a [`Kind`]'s word, or one of a newer version's.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its build's name.
    pub build: String,
    /// Its version; 0 of a worker that is too old to say.
    pub schema: i32,
    /// When it was last heard of, by the database's clock.
    pub seen_at: OffsetDateTime,
}

/// A process stays on the list while it has this.
#[derive(Debug)]
pub struct Listed {
    store: Store,
    id: Uuid,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Listed {
    /// Takes the process off the list, once it has ended its work.
    pub async fn leave(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the task that lists this process ended early");
        }
        let processes = self.store.processes.clone();
        let gone = async move { processes.delete_one(doc! { "_id": self.id }).await };
        if let Err(error) = self.store.call("take a process off the list", gone).await {
            tracing::warn!(%error, "this process stays on the list until it is forgotten");
        }
    }
}

impl Store {
    /// Lists a process, until it leaves.
    ///
    /// # Errors
    /// When the store cannot, or the database is no longer for this version.
    pub async fn list_process(&self, process: Process) -> Result<Listed, StoreError> {
        self.announce(&process).await?;
        // In this order: whoever takes something away says so first and reads the list afterwards.
        self.check_floor().await?;
        let (stop, id, store) = (CancellationToken::new(), process.id, self.clone());
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            loop {
                if stopped.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
                    return;
                }
                if let Err(error) = store.announce(&process).await {
                    tracing::warn!(%error, "cannot stay on the list of processes");
                }
            }
        });
        Ok(Listed { store: self.clone(), id, stop, task })
    }

    async fn announce(&self, process: &Process) -> Result<(), StoreError> {
        let filter = doc! { "_id": process.id };
        let update = doc! {
            "$set": {
                "kind": process.kind.as_str(),
                "name": &process.name,
                "build": &process.build,
                "schema": self.schema,
            },
            "$currentDate": { "seen_at": true },
        };
        let processes = self.processes.clone();
        self.persist(retry::INTERACTIVE, "list a process", move || {
            let (processes, filter, update) = (processes.clone(), filter.clone(), update.clone());
            async move {
                processes.update_one(filter, update).upsert(true).await?;
                processes.delete_many(gone()).await
            }
        })
        .await
        .map(drop)
    }

    /// Every api and worker that is there, the oldest versions first.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn processes(&self) -> Result<Vec<ProcessEntry>, StoreError> {
        let processes = self.processes.clone();
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "list the processes", move || {
                let processes = processes.clone();
                async move {
                    let there = processes.find(doc! { "$nor": [gone()] });
                    there.await?.try_collect().await
                }
            })
            .await?;
        let known: Vec<Option<&Bson>> = found.iter().map(|d| d.get("_id")).collect();
        // A worker that is on the workers' list only is of a version before there was this one.
        let silent = self.workers().await?.into_iter().filter(|worker| {
            let id = Bson::from(uuid(worker.id));
            !known.contains(&Some(&id))
        });
        let mut all: Vec<ProcessEntry> = found.iter().map(entry).collect();
        all.extend(silent.map(|worker| ProcessEntry {
            kind: Kind::Worker.as_str().to_owned(),
            name: worker.name,
            build: "?".to_owned(),
            schema: 0,
            seen_at: worker.seen_at,
        }));
        all.sort_by(|a, b| (a.schema, &a.kind, &a.name).cmp(&(b.schema, &b.kind, &b.name)));
        Ok(all)
    }
}

/// What was not renewed for long.
fn gone() -> Document {
    let ms = i64::try_from(GONE.as_millis()).unwrap_or(i64::MAX);
    doc! { "$expr": { "$lt": ["$seen_at", { "$subtract": ["$$NOW", ms] }] } }
}

fn entry(document: &Document) -> ProcessEntry {
    let text = |field| document.get_str(field).unwrap_or("?").to_owned();
    let seen_at = document.get_datetime("seen_at").map(|at| restored(*at));
    ProcessEntry {
        kind: text("kind"),
        name: text("name"),
        build: text("build"),
        schema: document.get_i32("schema").unwrap_or(0),
        seen_at: seen_at.unwrap_or(OffsetDateTime::UNIX_EPOCH),
    }
}
