//! The key that workers sign the labels of all their objects with: made once, by whoever prepares the
//! database, or where everybody may do everything, by whichever worker asks first. Whoever has it can pass off as ours what is not, and the reaper would remove it.
//!
//! It lies in a collection of its own, `keys`, which the api's user cannot read. Versions before
//! [`MOVED`] know it in `meta` only, which every user reads, and make it there. So until those are
//! contracted away it lies in both, and `meta` decides:
//!
//! ```text
//!   meta   nothing ── who is first ──► key ── contract ──► moved
//!                                       │                    │
//!                                copied │                    │ a fresh one,
//!                                       ▼                    │ if it was never made
//!   keys   nothing ──────────────────► key ◄─────────────────┘
//! ```
//!
//! Each arrow is one write to one document, and none leads back. `meta` is asked before anything is
//! written to `keys`, so whichever version asks first, the key is the same for both; and contracting
//! copies it before it takes it out. After that `keys` alone decides: what is in `meta` then says that
//! it has moved, and keeps an older version from making another one there.

use bson::{Binary, Bson, Document, doc, spec::BinarySubtype};
use mongodb::{Collection, Database, error::Error as DriverError, options::ReturnDocument::After};
use rand::RngCore;

use super::{Store, StoreError};
use crate::retry;

/// The first version that looks for it in `keys`.
pub(super) const MOVED: i32 = 2;
/// Its id, in both collections.
const ID: &str = "label-key";

impl Store {
    /// The key of the message authentication code on everything that workers make at an engine.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn label_key(&self) -> Result<[u8; 32], StoreError> {
        let keys = self.keys.clone();
        let kept = self
            .persist(retry::INTERACTIVE, "read the label key", move || {
                let keys = keys.clone();
                async move { keys.find_one(doc! { "_id": ID }).await }
            })
            .await?;
        if let Some(kept) = kept {
            return read(kept.get("key"));
        }
        self.check_rights("key for the labels of workers").await?;
        let fresh = fresh();
        let decided = self.first_of(&self.meta, fresh.clone()).await?;
        let key = decided.get("key").cloned().unwrap_or(fresh);
        let kept = self.first_of(&self.keys, key).await?;
        read(kept.get("key"))
    }

    /// What is there, or else this key.
    async fn first_of(
        &self,
        collection: &Collection<Document>,
        key: Bson,
    ) -> Result<Document, StoreError> {
        let collection = collection.clone();
        let made = self
            .persist(retry::INTERACTIVE, "make the label key", move || {
                let (collection, made) = (collection.clone(), doc! { "key": key.clone() });
                async move {
                    let (entry, unless_there) = (doc! { "_id": ID }, doc! { "$setOnInsert": made });
                    let entry = collection.find_one_and_update(entry, unless_there);
                    entry.upsert(true).return_document(After).await
                }
            })
            .await?;
        made.ok_or_else(corrupt)
    }
}

/// Takes it out of `meta`, once it is in `keys`.
pub(super) async fn leave_meta(database: &Database) -> Result<(), DriverError> {
    let collection = |name| database.collection::<Document>(name);
    let (meta, keys, entry) = (collection("meta"), collection("keys"), doc! { "_id": ID });
    let found = meta.find_one(entry.clone()).await?;
    if let Some(key) = found.as_ref().and_then(|found| found.get("key")) {
        let unless_there = doc! { "$setOnInsert": { "key": key } };
        keys.update_one(entry.clone(), unless_there).upsert(true).await?;
    }
    let moved = doc! { "$unset": { "key": "" }, "$set": { "moved": true } };
    meta.update_one(entry, moved).upsert(true).await.map(drop)
}

fn fresh() -> Bson {
    let mut bytes = vec![0; 32];
    rand::rng().fill_bytes(&mut bytes);
    Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes })
}

fn read(key: Option<&Bson>) -> Result<[u8; 32], StoreError> {
    match key {
        Some(Bson::Binary(key)) => key.bytes.as_slice().try_into().map_err(|_| corrupt()),
        _ => Err(corrupt()),
    }
}

fn corrupt() -> StoreError {
    StoreError::Corrupt { id: ID.to_owned(), what: "key" }
}
