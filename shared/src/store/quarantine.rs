//! What the platform's own registry holds: the facts of each blob that was looked at, and when
//! each image was used last.
//!
//! The registry itself is the truth about what is there; this is the truth about what it is. A
//! blob of which nothing is known here is copied and looked at again. Times are the database's own
//! (`$currentDate`, `$$NOW`), so that workers whose clocks differ agree on what is old.
//!
//! ```text
//!   blob:  kept ──given up──► unswept ──the registry has it no longer──► forgotten
//!            ▲                   │
//!            └──── used again ───┘
//!   image: `coming` has each copy under way, with the bytes that it still has to bring
//! ```

mod copies;

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use bson::{DateTime, Document, doc};
use futures::TryStreamExt;
use mongodb::options::{ReturnDocument, UpdateModifications};

pub use self::copies::{CopyEnd, Held};
use super::{Store, StoreError};
use crate::{domain::image::Digest, retry};

/// What is known of a layer that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerFacts {
    /// Its size as it is kept, in bytes.
    pub bytes: u64,
    /// Its size when unpacked, in bytes.
    pub unpacked: u64,
    /// How many entries its archive has.
    pub entries: u64,
    /// The digest of the unpacked archive.
    pub diff_id: Digest,
}

/// The blobs of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageBlobs {
    /// Its configuration.
    pub config: Digest,
    /// Its layers from the lowest up; one may occur more than once.
    pub layers: Vec<Digest>,
}

/// A blob as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenBlob {
    /// What it is.
    pub kind: BlobKind,
    /// Its digest.
    pub digest: Digest,
    used_at: DateTime,
}

/// An image that was not used for some time, as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdleImage {
    /// The digest of its manifest.
    pub digest: Digest,
    /// Its blobs, if it was ever whole.
    pub blobs: Option<ImageBlobs>,
    used_at: DateTime,
}

/// What kind of blob: a configuration is never taken for a layer that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobKind {
    /// A layer.
    Layer,
    /// A configuration.
    Config,
}

impl BlobKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Layer => "layer",
            Self::Config => "config",
        }
    }
}

const IMAGE: &str = "image";
/// How many old images or blobs are looked at in one go; the next one finds the others.
const AT_ONCE: i64 = 500;
fn key(kind: &str, digest: &Digest) -> String {
    format!("{kind} {digest}")
}

fn number(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn read_number(document: &Document, field: &str) -> Option<u64> {
    u64::try_from(document.get_i64(field).ok()?).ok()
}

fn read_digest(document: &Document, field: &str) -> Option<Digest> {
    document.get_str(field).ok()?.parse().ok()
}

fn read_blobs(document: &Document) -> Option<ImageBlobs> {
    let layers = document.get_array("layers").ok()?.iter();
    let layers = layers.map(|layer| layer.as_str()?.parse().ok()).collect::<Option<Vec<_>>>()?;
    Some(ImageBlobs { config: read_digest(document, "config")?, layers })
}

fn read_facts(document: &Document) -> Option<(Digest, LayerFacts)> {
    let facts = LayerFacts {
        bytes: read_number(document, "bytes")?,
        unpacked: read_number(document, "unpacked")?,
        entries: read_number(document, "entries")?,
        diff_id: read_digest(document, "diff_id")?,
    };
    Some((read_digest(document, "digest")?, facts))
}

fn read_idle(document: &Document) -> Option<IdleImage> {
    Some(IdleImage {
        digest: read_digest(document, "digest")?,
        blobs: read_blobs(document),
        used_at: *document.get_datetime("used_at").ok()?,
    })
}

fn read_seen(document: &Document) -> Option<SeenBlob> {
    let kinds = [BlobKind::Layer, BlobKind::Config];
    let kind = document.get_str("kind").ok()?;
    Some(SeenBlob {
        kind: kinds.into_iter().find(|known| known.as_str() == kind)?,
        digest: read_digest(document, "digest")?,
        used_at: *document.get_datetime("used_at").ok()?,
    })
}

fn ago(time: Duration) -> Document {
    let ms = number(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    doc! { "$subtract": ["$$NOW", ms] }
}

/// What was not used for so long, by the database's clock.
fn unused(kinds: &[&str], recent: Duration) -> Document {
    doc! {
        "kind": { "$in": kinds.to_vec() },
        "unswept": { "$ne": true },
        "$expr": { "$lt": ["$used_at", ago(recent)] },
    }
}

impl Store {
    /// Notes that an image is used now, before anything is asked of the registry: from here on it
    /// is not taken away. Answers its blobs, if it was ever whole.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn use_image(&self, digest: &Digest) -> Result<Option<ImageBlobs>, StoreError> {
        let set = doc! { "kind": IMAGE, "digest": digest.as_str() };
        let update = doc! { "$set": set, "$currentDate": { "used_at": true } };
        self.note_image(digest, update).await.map(|found| found.as_ref().and_then(read_blobs))
    }

    async fn note_image(
        &self,
        digest: &Digest,
        update: impl Into<UpdateModifications>,
    ) -> Result<Option<Document>, StoreError> {
        let update = update.into();
        let (quarantine, filter) = (self.quarantine.clone(), doc! { "_id": key(IMAGE, digest) });
        self.persist(retry::LEASED, "note an image of the quarantine", move || {
            let (quarantine, filter, update) = (quarantine.clone(), filter.clone(), update.clone());
            async move {
                quarantine
                    .find_one_and_update(filter, update)
                    .upsert(true)
                    .return_document(ReturnDocument::After)
                    .await
            }
        })
        .await
    }

    /// What is known of these layers. Those that are asked for count as used now, and as kept.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn layer_facts(
        &self,
        layers: &[Digest],
    ) -> Result<HashMap<Digest, LayerFacts>, StoreError> {
        let keys: Vec<String> = layers.iter().map(|l| key(BlobKind::Layer.as_str(), l)).collect();
        let (quarantine, filter) = (self.quarantine.clone(), doc! { "_id": { "$in": keys } });
        let found: Vec<Document> = self
            .persist(retry::LEASED, "read what is known of layers", move || {
                let (quarantine, filter) = (quarantine.clone(), filter.clone());
                async move {
                    let kept = doc! { "unswept": "" };
                    let used = doc! { "$currentDate": { "used_at": true }, "$unset": kept };
                    quarantine.update_many(filter.clone(), used).await?;
                    quarantine.find(filter).await?.try_collect().await
                }
            })
            .await?;
        Ok(found.iter().filter_map(read_facts).collect())
    }

    /// Keeps what was found out about a layer, once it is in the registry.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn keep_layer(&self, digest: &Digest, facts: &LayerFacts) -> Result<(), StoreError> {
        let set = doc! {
            "unpacked": number(facts.unpacked),
            "entries": number(facts.entries),
            "diff_id": facts.diff_id.as_str(),
        };
        self.keep_blob(BlobKind::Layer, digest, facts.bytes, set).await
    }

    /// Keeps the size of a configuration, once it is in the registry.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn keep_config(&self, digest: &Digest, bytes: u64) -> Result<(), StoreError> {
        self.keep_blob(BlobKind::Config, digest, bytes, Document::new()).await
    }

    async fn keep_blob(
        &self,
        kind: BlobKind,
        digest: &Digest,
        bytes: u64,
        mut set: Document,
    ) -> Result<(), StoreError> {
        let own = doc! { "kind": kind.as_str(), "digest": digest.as_str(), "bytes": number(bytes) };
        set.extend(own);
        let kept = doc! { "unswept": "" };
        let update = doc! { "$set": set, "$currentDate": { "used_at": true }, "$unset": kept };
        let filter = doc! { "_id": key(kind.as_str(), digest) };
        let quarantine = self.quarantine.clone();
        self.persist(retry::LEASED, "keep what is known of a blob", move || {
            let (quarantine, filter, update) = (quarantine.clone(), filter.clone(), update.clone());
            async move { quarantine.update_one(filter, update).upsert(true).await }
        })
        .await
        .map(drop)
    }

    /// The images that were not used for so long, the longest unused first.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn idle_images(&self, recent: Duration) -> Result<Vec<IdleImage>, StoreError> {
        let found = self.unused(&[IMAGE], recent).await?;
        Ok(found.iter().filter_map(read_idle).collect())
    }

    /// The blobs that were not used for so long and belong to no image.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn stray_blobs(&self, recent: Duration) -> Result<Vec<SeenBlob>, StoreError> {
        let kinds = [BlobKind::Layer, BlobKind::Config].map(BlobKind::as_str);
        let found = self.unused(&kinds, recent).await?;
        self.unwanted(found.iter().filter_map(read_seen).collect()).await
    }

    /// Those of an image's blobs that belong to no other.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn blobs_of(&self, image: &ImageBlobs) -> Result<Vec<SeenBlob>, StoreError> {
        let layers = image.layers.iter().map(|layer| key(BlobKind::Layer.as_str(), layer));
        let config = key(BlobKind::Config.as_str(), &image.config);
        let keys: Vec<String> = layers.chain([config]).collect();
        let found = self.blobs(doc! { "_id": { "$in": keys }, "unswept": { "$ne": true } }).await?;
        self.unwanted(found).await
    }

    /// The blobs that were given up and of which it is not known whether their disk came back.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn unswept_blobs(&self) -> Result<Vec<SeenBlob>, StoreError> {
        self.blobs(doc! { "unswept": true }).await
    }

    async fn blobs(&self, filter: Document) -> Result<Vec<SeenBlob>, StoreError> {
        let quarantine = self.quarantine.clone();
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "look for blobs of the quarantine", move || {
                let (quarantine, filter) = (quarantine.clone(), filter.clone());
                async move { quarantine.find(filter).limit(AT_ONCE).await?.try_collect().await }
            })
            .await?;
        Ok(found.iter().filter_map(read_seen).collect())
    }

    /// They were seen before it is asked who wants them: who uses one after that is noticed when
    /// it is to be given up.
    async fn unwanted(&self, mut seen: Vec<SeenBlob>) -> Result<Vec<SeenBlob>, StoreError> {
        let digests: Vec<Digest> = seen.iter().map(|blob| blob.digest.clone()).collect();
        let wanted = self.wanted_blobs(&digests).await?;
        seen.retain(|blob| !wanted.contains(&blob.digest));
        Ok(seen)
    }

    async fn unused(&self, kinds: &[&str], recent: Duration) -> Result<Vec<Document>, StoreError> {
        let (quarantine, filter) = (self.quarantine.clone(), unused(kinds, recent));
        self.persist(retry::INTERACTIVE, "look for what is not used", move || {
            let (quarantine, filter) = (quarantine.clone(), filter.clone());
            async move {
                let oldest = quarantine.find(filter).sort(doc! { "used_at": 1 }).limit(AT_ONCE);
                oldest.await?.try_collect().await
            }
        })
        .await
    }

    /// Which of these blobs belong to an image.
    async fn wanted_blobs(&self, blobs: &[Digest]) -> Result<HashSet<Digest>, StoreError> {
        let digests: Vec<&str> = blobs.iter().map(Digest::as_str).collect();
        let among = doc! { "$in": digests };
        let filter = doc! { "kind": IMAGE, "$or": [{ "layers": &among }, { "config": &among }] };
        let quarantine = self.quarantine.clone();
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "look for images with these blobs", move || {
                let (quarantine, filter) = (quarantine.clone(), filter.clone());
                async move { quarantine.find(filter).await?.try_collect().await }
            })
            .await?;
        let whole = found.iter().filter_map(read_blobs);
        let wanted: HashSet<Digest> =
            whole.flat_map(|image| image.layers.into_iter().chain([image.config])).collect();
        Ok(blobs.iter().filter(|blob| wanted.contains(blob)).cloned().collect())
    }

    /// Forgets an image, if it was not used since it was seen and nobody copies it; answers whether
    /// it was so.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn forget_image(&self, seen: &IdleImage) -> Result<bool, StoreError> {
        let quarantine = self.quarantine.clone();
        let nobody_copies = doc! { "$eq": [{ "$size": copies::under_way() }, 0] };
        let filter = doc! {
            "_id": key(IMAGE, &seen.digest), "used_at": seen.used_at, "$expr": nobody_copies,
        };
        let gone = async move { quarantine.delete_one(filter).await };
        Ok(self.call("forget an image of the quarantine", gone).await?.deleted_count == 1)
    }

    /// Takes back that an image was forgotten: it is still there, and as old as it was.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn remember_image(&self, image: &IdleImage) -> Result<(), StoreError> {
        let mut new = doc! {
            "kind": IMAGE, "digest": image.digest.as_str(), "used_at": image.used_at,
        };
        if let Some(blobs) = &image.blobs {
            let layers: Vec<&str> = blobs.layers.iter().map(Digest::as_str).collect();
            new.extend(doc! { "config": blobs.config.as_str(), "layers": layers, "whole": true });
        }
        self.note_image(&image.digest, doc! { "$setOnInsert": new }).await.map(drop)
    }

    /// Forgets the images of which it never became known of what they consist, if they were not
    /// used for so long; answers how many they were.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn forget_unknown(&self, recent: Duration) -> Result<u64, StoreError> {
        let mut filter = unused(&[IMAGE], recent);
        filter.insert("config", doc! { "$exists": false });
        let quarantine = self.quarantine.clone();
        let gone = async move { quarantine.delete_many(filter).await };
        Ok(self.call("forget images that never came", gone).await?.deleted_count)
    }

    /// Gives a blob up, if it was not used since it was seen; answers whether it was so. Its bytes
    /// count until the registry has it no longer.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn give_up_blob(&self, seen: &SeenBlob) -> Result<bool, StoreError> {
        let (quarantine, filter) = (self.quarantine.clone(), as_seen(seen));
        let update = doc! { "$set": { "unswept": true } };
        let given_up = async move { quarantine.update_one(filter, update).await };
        Ok(self.call("give a blob up", given_up).await?.modified_count == 1)
    }

    /// Forgets a blob, if it was not used since it was seen; answers whether it was so.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn forget_blob(&self, seen: &SeenBlob) -> Result<bool, StoreError> {
        let (quarantine, filter) = (self.quarantine.clone(), as_seen(seen));
        let gone = async move { quarantine.delete_one(filter).await };
        Ok(self.call("forget a blob of the quarantine", gone).await?.deleted_count == 1)
    }
}

fn as_seen(seen: &SeenBlob) -> Document {
    doc! { "_id": key(seen.kind.as_str(), &seen.digest), "used_at": seen.used_at }
}
