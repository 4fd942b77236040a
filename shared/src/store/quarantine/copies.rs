//! Copies under way: what they are of, and the room that they take before it is filled.
//!
//! A copy notes what it has to bring before it looks at what is held altogether. So of several that
//! look at the same time each sees all the others, whichever worker they are of: it may be that
//! none goes on, but never that too many do.

use std::time::Duration;

use bson::{Bson, Document, doc};
use futures::TryStreamExt;

use super::{IMAGE, ImageBlobs, Store, StoreError, ago, key, number, read_number};
use crate::{domain::image::Digest, retry};

/// No copy takes longer; one that was not ended by then died with its worker.
const LONGEST_COPY: Duration = Duration::from_secs(600);

/// How many bytes lie in the registry, or will.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Of blobs that are kept.
    pub kept: u64,
    /// Of blobs that were given up, and whose disk the registry has not given back.
    pub unswept: u64,
    /// What copies under way still have to bring.
    pub coming: u64,
}

impl Held {
    /// All of it.
    #[must_use]
    pub fn total(self) -> u64 {
        self.kept.saturating_add(self.unswept).saturating_add(self.coming)
    }
}

/// How the copy of an image ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyEnd {
    /// All of it is there.
    Whole,
    /// There is something wrong with the image.
    Refused,
    /// It could not be copied this time.
    Failed,
}

/// The copies of an image that are under way, without those of workers that died.
pub(super) fn under_way() -> Document {
    let alive = doc! { "$gt": ["$$this.at", ago(LONGEST_COPY)] };
    doc! { "$filter": { "input": { "$ifNull": ["$coming", []] }, "cond": alive } }
}

impl Store {
    /// Notes of what an image consists and who copies it, before anything is asked of its blobs:
    /// from here on none of them is taken away. Each copy has a name of its own.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn image_consists(
        &self,
        digest: &Digest,
        blobs: &ImageBlobs,
        copy: &str,
    ) -> Result<(), StoreError> {
        let layers: Vec<&str> = blobs.layers.iter().map(Digest::as_str).collect();
        let others = doc! { "$filter": {
            "input": under_way(), "cond": { "$ne": ["$$this.by", copy] },
        } };
        let own = doc! { "by": copy, "bytes": Bson::Int64(0), "at": "$$NOW" };
        let set = doc! {
            "kind": IMAGE, "digest": digest.as_str(),
            "config": blobs.config.as_str(), "layers": layers,
            "coming": { "$concatArrays": [others, [own]] }, "used_at": "$$NOW",
        };
        self.note_image(digest, vec![doc! { "$set": set }]).await.map(drop)
    }

    /// Notes how many bytes a copy has to bring.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn copy_brings(
        &self,
        digest: &Digest,
        copy: &str,
        bytes: u64,
    ) -> Result<(), StoreError> {
        let update = doc! { "$set": { "coming.$.bytes": number(bytes) } };
        self.note_copy(digest, copy, update).await
    }

    /// Notes that so many of them are there, and counted as those of a blob.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn copy_brought(
        &self,
        digest: &Digest,
        copy: &str,
        bytes: u64,
    ) -> Result<(), StoreError> {
        let update = doc! { "$inc": { "coming.$.bytes": -number(bytes) } };
        self.note_copy(digest, copy, update).await
    }

    async fn note_copy(
        &self,
        digest: &Digest,
        copy: &str,
        update: Document,
    ) -> Result<(), StoreError> {
        let filter = doc! { "_id": key(IMAGE, digest), "coming.by": copy };
        let quarantine = self.quarantine.clone();
        let noted = async move { quarantine.update_one(filter, update).await };
        self.call("note the progress of a copy", noted).await.map(drop)
    }

    /// Notes that a copy is over. An image that was refused is forgotten, so that its layers belong
    /// to nobody: unless somebody else copies it just now, or it was whole before.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn copy_ended(
        &self,
        digest: &Digest,
        copy: &str,
        end: CopyEnd,
    ) -> Result<(), StoreError> {
        let id = doc! { "_id": key(IMAGE, digest) };
        if end == CopyEnd::Refused {
            let mut alone = id.clone();
            alone.insert("whole", doc! { "$ne": true });
            alone.insert("coming", doc! { "$not": { "$elemMatch": { "by": { "$ne": copy } } } });
            let quarantine = self.quarantine.clone();
            let gone = async move { quarantine.delete_one(alone).await };
            if self.call("forget a refused image", gone).await?.deleted_count == 1 {
                return Ok(());
            }
        }
        let mut update = doc! { "$pull": { "coming": { "by": copy } } };
        if end == CopyEnd::Whole {
            update.insert("$set", doc! { "whole": true });
            update.insert("$currentDate", doc! { "used_at": true });
        }
        let quarantine = self.quarantine.clone();
        self.persist(retry::LEASED, "note the end of a copy", move || {
            let (quarantine, filter, update) = (quarantine.clone(), id.clone(), update.clone());
            async move { quarantine.update_one(filter, update).await }
        })
        .await
        .map(drop)
    }

    /// How many bytes there are, of which kind.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn quarantine_bytes(&self) -> Result<Held, StoreError> {
        let quarantine = self.quarantine.clone();
        let is = |given_up: bool| doc! { "$eq": [{ "$eq": ["$unswept", true] }, given_up] };
        let of = |given_up: bool| doc! { "$cond": [is(given_up), "$bytes", Bson::Int64(0)] };
        // What more came than was announced is no room.
        let bytes = doc! { "$max": ["$$this.bytes", Bson::Int64(0)] };
        let coming = doc! { "$sum": { "$map": { "input": under_way(), "in": bytes } } };
        let pipeline = vec![doc! { "$group": {
            "_id": Bson::Null,
            "kept": { "$sum": of(false) },
            "unswept": { "$sum": of(true) },
            "coming": { "$sum": coming },
        } }];
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "sum up the quarantine", move || {
                let (quarantine, pipeline) = (quarantine.clone(), pipeline.clone());
                async move { quarantine.aggregate(pipeline).await?.try_collect().await }
            })
            .await?;
        let sum = |field| found.first().and_then(|sum| read_number(sum, field)).unwrap_or(0);
        Ok(Held { kept: sum("kept"), unswept: sum("unswept"), coming: sum("coming") })
    }
}
