//! Workers: who is there, with how many slots.
//!
//! A worker shows that it lives by a beat, as a lease does; who fell silent is found out by
//! observation, never by comparing clocks.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use time::OffsetDateTime;

use super::{
    Store, StoreError,
    documents::{restored, stored, uuid},
    queue::Claimant,
};
use crate::{domain::ids::WorkerId, retry};

/// Without a beat for so long by the database's times, a worker no longer counts as live in
/// numbers that people see. (What is done about it is decided by observation.)
pub const SHOWN: time::Duration = time::Duration::seconds(45);

/// A worker as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerEntry {
    /// Its id.
    pub id: WorkerId,
    /// Its name.
    pub name: String,
    /// How many submissions it grades at once.
    pub slots: u32,
    /// Grows with every beat.
    pub beat: i64,
    /// When it beat last, by its own clock.
    pub seen_at: OffsetDateTime,
}

impl Store {
    /// Shows that a worker is there. Returns its beat.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn beat(&self, by: &Claimant, slots: u32) -> Result<(), StoreError> {
        let workers = self.workers.clone();
        let filter = doc! { "_id": uuid(by.id) };
        let seen_at = stored(OffsetDateTime::now_utc());
        let update = doc! {
            "$set": { "name": &by.name, "slots": i64::from(slots), "seen_at": seen_at },
            "$inc": { "beat": 1_i64 },
        };
        self.call("beat", async move { workers.update_one(filter, update).upsert(true).await })
            .await
            .map(drop)
    }

    /// Takes a worker off the list that was observed to be silent; answers whether it was still as
    /// it was observed.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn forget_silent(&self, seen: &WorkerEntry) -> Result<bool, StoreError> {
        let workers = self.workers.clone();
        let filter = doc! { "_id": uuid(seen.id), "beat": seen.beat };
        let gone = async move { workers.delete_one(filter).await };
        let gone = self.call("take a silent worker off the list", gone).await?;
        Ok(gone.deleted_count == 1)
    }

    /// Takes a worker off the list.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn forget_worker(&self, id: WorkerId) -> Result<(), StoreError> {
        let workers = self.workers.clone();
        let gone = async move { workers.delete_one(doc! { "_id": uuid(id) }).await };
        self.call("take a worker off the list", gone).await.map(drop)
    }

    /// Every worker on the list.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn workers(&self) -> Result<Vec<WorkerEntry>, StoreError> {
        let workers = self.workers.clone();
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "list the workers", move || {
                let workers = workers.clone();
                async move { workers.find(doc! {}).await?.try_collect().await }
            })
            .await?;
        Ok(found.iter().filter_map(entry).collect())
    }
}

fn entry(document: &Document) -> Option<WorkerEntry> {
    let Some(Bson::Binary(id)) = document.get("_id") else { return None };
    Some(WorkerEntry {
        id: WorkerId::from(uuid::Uuid::from_bytes(id.to_uuid().ok()?.bytes())),
        name: document.get_str("name").ok()?.to_owned(),
        slots: document.get_i64("slots").ok().and_then(|s| u32::try_from(s).ok())?,
        beat: document.get_i64("beat").ok()?,
        seen_at: restored(*document.get_datetime("seen_at").ok()?),
    })
}

/// Finds out which workers fell silent, by watching.
#[derive(Debug)]
pub struct WorkerObserver {
    silence: Duration,
    seen: HashMap<WorkerId, (i64, Instant)>,
}

impl WorkerObserver {
    /// An observer that calls a worker dead after so long without a new beat.
    #[must_use]
    pub fn new(silence: Duration) -> Self {
        Self { silence, seen: HashMap::new() }
    }

    /// Takes in the list as read at `now`, and tells who is dead.
    pub fn observe(&mut self, all: &[WorkerEntry], now: Instant) -> Vec<WorkerEntry> {
        self.seen.retain(|id, _| all.iter().any(|w| w.id == *id));
        let mut dead = Vec::new();
        for worker in all {
            let seen = self.seen.entry(worker.id).or_insert((worker.beat, now));
            if seen.0 != worker.beat {
                *seen = (worker.beat, now);
            }
            if now.duration_since(seen.1) >= self.silence {
                dead.push(worker.clone());
            }
        }
        dead
    }
}
