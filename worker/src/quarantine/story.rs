//! The copying of one image, as a story: is it there, what is it made of, which layers are missing,
//! copy them, store the manifest.
//!
//! The image is marked as used before anything is asked, so that nobody takes it away meanwhile.
//! What the registry says it has is asked each time: its garbage may have been collected.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::{StreamExt, stream};
use portcall_shared::{
    domain::{
        image::{Digest, ImageRef},
        verdict::Fault,
    },
    registry::{
        RawImage, Registry,
        manifest::{self, Compression},
        push::{OwnRegistry, Put},
    },
    store::{
        Store,
        quarantine::{ImageBlobs, LayerFacts},
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::{
    copy::{self, Layer},
    deadline::Deadline,
    fault::{self, Over},
    inspect::{LayerFault, Spent},
    limits::CopyLimits,
    room::Keeper,
};

/// How many layers of one image are copied at once.
const LAYERS: usize = 2;

/// What is told of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copied {
    /// It was all there.
    Nothing,
    /// So many layers were copied, so many were there.
    Layers { copied: usize, reused: usize },
}

/// One image on its way.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) image: ImageRef,
    pub(super) digest: Digest,
    pub(super) limits: CopyLimits,
    pub(super) deadline: Deadline,
    pub(super) source: Registry,
    pub(super) own: OwnRegistry,
    pub(super) store: Store,
    pub(super) keeper: Keeper,
    /// A name of this copy's own.
    pub(super) name: String,
    /// Who is waited for.
    pub(super) waits: Arc<Waits>,
    /// Turns of all copies of this process.
    pub(super) all: Arc<Semaphore>,
    /// Turns of those from this registry.
    pub(super) host: Arc<Semaphore>,
    /// One layer of it was refused: the others need not go on.
    pub(super) given_up: CancellationToken,
}

/// How many parts of a copy wait for whom.
#[derive(Debug, Default)]
pub(super) struct Waits {
    for_a_turn: AtomicUsize,
    have_one: AtomicUsize,
}

impl Waits {
    /// Whether the copy does nothing but wait for its turn.
    pub(super) fn for_us(&self) -> bool {
        self.for_a_turn.load(Ordering::Relaxed) > 0 && self.have_one.load(Ordering::Relaxed) == 0
    }
}

/// One of how many something is, while it lasts.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn among(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A part's turn, while it lasts.
pub(super) struct Turn<'a> {
    _permits: [OwnedSemaphorePermit; 2],
    _counted: Counted<'a>,
}

/// What an image consists of.
struct Parts {
    raw: RawImage,
    config: Vec<u8>,
    diff_ids: Vec<Digest>,
}

impl Story {
    /// Sees to it that the image is in our registry.
    pub(super) async fn tell(&self) -> Result<Copied, Fault> {
        let known = self.store.use_image(&self.digest).await.map_err(|e| fault::stored(&e))?;
        if let Some(blobs) = known
            && self.is_there(&blobs).await?
        {
            return Ok(Copied::Nothing);
        }
        let parts = self.parts().await?;
        let layers: Vec<Digest> =
            parts.raw.manifest.layers.iter().map(|l| l.digest.clone()).collect();
        let blobs = ImageBlobs { config: parts.raw.manifest.config.clone(), layers };
        let noted = self.store.image_consists(&self.digest, &blobs, &self.name).await;
        noted.map_err(|e| fault::stored(&e))?;
        // A blob may be taken away between the question and the manifest: once more then.
        for _ in 0..2 {
            let copied = self.layers(&parts).await?;
            self.config(&parts).await?;
            let (media_type, body) = (&parts.raw.media_type, parts.raw.body.clone());
            let put = self.own.put_manifest(&self.digest, media_type, body).await;
            match put.map_err(|e| fault::own(&e))? {
                Put::Stored => return Ok(copied),
                Put::BlobUnknown => {}
                Put::Invalid => {
                    return Err(fault::invalid(
                        "the image's manifest is one that registries refuse",
                    ));
                }
            }
        }
        Err(fault::lost())
    }

    /// Whether the whole image is there and within these limits.
    async fn is_there(&self, blobs: &ImageBlobs) -> Result<bool, Fault> {
        let there = self.own.has_manifest(&self.digest).await.map_err(|e| fault::own(&e))?
            && self.own.has_blob(&blobs.config).await.map_err(|e| fault::own(&e))?;
        if !there {
            return Ok(false);
        }
        let facts = self.facts(&blobs.layers).await?;
        let spent = Spent::default();
        for layer in &blobs.layers {
            match facts.get(layer) {
                None => return Ok(false),
                Some(facts) => self.spend(layer, facts, 1, &spent)?,
            }
        }
        metrics::counter!("portcall_quarantine_reused_total").increment(facts.len() as u64);
        Ok(true)
    }

    /// What is known of those of the layers that are there.
    async fn facts(&self, layers: &[Digest]) -> Result<HashMap<Digest, LayerFacts>, Fault> {
        let known = self.store.layer_facts(layers).await.map_err(|e| fault::stored(&e))?;
        let asked = known.into_iter().map(|(layer, facts)| async {
            let there = self.own.has_blob(&layer).await.map_err(|e| fault::own(&e))?;
            Ok::<_, Fault>(there.then_some((layer, facts)))
        });
        let mut there = HashMap::new();
        let mut answers = stream::iter(asked).buffer_unordered(LAYERS);
        while let Some(answer) = answers.next().await {
            there.extend(answer?);
        }
        Ok(there)
    }

    fn spend(
        &self,
        layer: &Digest,
        facts: &LayerFacts,
        times: u64,
        spent: &Spent,
    ) -> Result<(), Fault> {
        spent
            .add(facts.unpacked, facts.entries, times, &self.limits)
            .map_err(|f| fault::layer(layer, &f, &self.limits))
    }

    /// Asks the image's registry what it is made of.
    async fn parts(&self) -> Result<Parts, Fault> {
        let (within, limits) = (self.deadline.left(), &self.limits.image);
        let raw = self.source.manifest(&self.image, &self.digest, limits, within).await?;
        let zstd = |layer: &&manifest::LayerEntry| layer.compression == Compression::Zstd;
        if let Some(layer) = raw.manifest.layers.iter().find(zstd) {
            let fault = LayerFault::Compression("zstd");
            return Err(fault::layer(&layer.digest, &fault, &self.limits));
        }
        let _turn = self.turn().await?;
        let (digest, size) = (&raw.manifest.config, raw.manifest.config_size);
        let config = self.small(digest, size).await?;
        let diff_ids = manifest::check_config(&config, limits)?.diff_ids;
        if diff_ids.len() != raw.manifest.layers.len() {
            return Err(fault::invalid("the image's configuration has another number of layers"));
        }
        Ok(Parts { raw, config, diff_ids })
    }

    /// Copies the layers that are not there.
    async fn layers(&self, parts: &Parts) -> Result<Copied, Fault> {
        let mut missing = wanted(parts)?;
        let digests: Vec<Digest> = missing.keys().cloned().collect();
        let known = self.facts(&digests).await?;
        let spent = Arc::new(Spent::default());
        for (digest, facts) in &known {
            let Some(layer) = missing.remove(digest) else { continue };
            self.spend(digest, facts, layer.times, &spent)?;
            if facts.diff_id != layer.diff_id {
                return Err(copy::other_content(digest));
            }
        }
        self.room(parts, missing.values()).await?;
        let first = Mutex::new(None);
        let mut copies = Vec::with_capacity(missing.len());
        for layer in missing.values() {
            copies.push(self.copy_unless_given_up(layer, &spent, &first));
        }
        // To the end of each: an upload that is only dropped would stay.
        stream::iter(copies).buffer_unordered(LAYERS).collect::<()>().await;
        metrics::counter!("portcall_quarantine_reused_total").increment(known.len() as u64);
        match first.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(fault) => Err(fault),
            None => Ok(Copied::Layers { copied: missing.len(), reused: known.len() }),
        }
    }

    /// Sees to it that there is room for what is missing. What is noted as coming counts for
    /// everybody, so it is noted first.
    async fn room<'a>(
        &self,
        parts: &Parts,
        missing: impl Iterator<Item = &'a Layer>,
    ) -> Result<(), Fault> {
        let config = parts.raw.manifest.config_size;
        let bytes = missing.fold(config, |sum, layer| sum.saturating_add(layer.size));
        let noted = self.store.copy_brings(&self.digest, &self.name, bytes).await;
        noted.map_err(|e| fault::stored(&e))?;
        match self.keeper.has_room().await.map_err(|e| fault::no_room(&e))? {
            true => Ok(()),
            false => Err(fault::full()),
        }
    }

    /// Copies a layer; the first fault of all is the image's, and ends the others.
    async fn copy_unless_given_up(
        &self,
        layer: &Layer,
        spent: &Arc<Spent>,
        first: &Mutex<Option<Fault>>,
    ) {
        if self.given_up.is_cancelled() {
            return;
        }
        if let Err(fault) = self.copy(layer, spent).await {
            first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
            self.given_up.cancel();
        }
    }

    async fn config(&self, parts: &Parts) -> Result<(), Fault> {
        let digest = &parts.raw.manifest.config;
        if !self.own.has_blob(digest).await.map_err(|e| fault::own(&e))? {
            let body = parts.config.clone();
            self.own.put_blob(digest, body).await.map_err(|e| fault::own(&e))?;
        }
        let size = parts.config.len() as u64;
        self.store.keep_config(digest, size).await.map_err(|e| fault::stored(&e))
    }

    /// Waits until it is this copy's turn: first among those from the same registry, so that one
    /// that stalls holds no more than its share. How long that takes is not the registry's matter.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, Fault> {
        let waiting = Counted::among(&self.waits.for_a_turn);
        let turns = async {
            let host = Arc::clone(&self.host).acquire_owned().await;
            (host, Arc::clone(&self.all).acquire_owned().await)
        };
        let turns = tokio::select! {
            biased;
            () = self.deadline.passed() => return Err(fault::over(&self.image, Over::Ours)),
            turns = turns => turns,
        };
        drop(waiting);
        let counted = Counted::among(&self.waits.have_one);
        match turns {
            (Ok(host), Ok(all)) => Ok(Turn { _permits: [host, all], _counted: counted }),
            // Nobody closes them.
            _ => Err(fault::broken()),
        }
    }
}

/// Each layer once, with what it must be.
fn wanted(parts: &Parts) -> Result<BTreeMap<Digest, Layer>, Fault> {
    let mut layers: BTreeMap<Digest, Layer> = BTreeMap::new();
    for (entry, diff_id) in parts.raw.manifest.layers.iter().zip(&parts.diff_ids) {
        let (digest, size) = (entry.digest.clone(), entry.size);
        let new = Layer { digest: digest.clone(), size, diff_id: diff_id.clone(), times: 0 };
        let layer = layers.entry(digest).or_insert(new);
        if layer.size != size || layer.diff_id != *diff_id {
            return Err(copy::other_content(&entry.digest));
        }
        layer.times += 1;
    }
    Ok(layers)
}
