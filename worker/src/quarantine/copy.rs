//! One blob, from a stranger's registry into ours: read, looked at and sent at the same time.
//!
//! ```text
//!   source ── piece ──┬──► upload to our registry ──► kept, if all is well; else cancelled
//!                     └──► inspect (a thread)     ──► what it is, or what is wrong with it
//! ```
//!
//! No more than a few pieces are in memory, and nothing is written to the worker's disk.

use std::sync::Arc;

use bytes::Bytes;
use portcall_shared::{
    domain::{image::Digest, verdict::Fault},
    registry::{
        Blob,
        push::{Fed, Upload},
    },
    store::quarantine::LayerFacts,
};
use tokio::{
    sync::mpsc,
    time::{Duration, Instant, sleep},
};

use super::{
    fault::{self, Over},
    inspect::{Inspected, Spent, inspect},
    rate::{Flow, Watch},
    story::Story,
};

/// How many pieces wait to be looked at.
const PIECES: usize = 4;
/// How often a registry that sends nothing is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A layer that is to be copied.
#[derive(Debug)]
pub(super) struct Layer {
    /// Its digest.
    pub(super) digest: Digest,
    /// Its size in bytes, as its manifest says.
    pub(super) size: u64,
    /// What its archive must be, unpacked.
    pub(super) diff_id: Digest,
    /// How often the image has it.
    pub(super) times: u64,
}

/// How the reading of a layer ended.
enum Read {
    /// All of it came.
    Whole { bytes: u64 },
    /// Whoever looks at it has seen enough.
    Enough,
}

impl Story {
    /// Copies a layer and keeps what was found out about it.
    pub(super) async fn copy(
        &self,
        layer: &Layer,
        spent: &Arc<Spent>,
    ) -> Result<LayerFacts, Fault> {
        let _turn = self.turn().await?;
        let mut blob = self.blob(&layer.digest).await?;
        if blob.size().is_some_and(|size| size > layer.size) {
            return Err(other_size(layer));
        }
        let mut upload = self.own.begin().await.map_err(|e| fault::own(&e))?;
        let copied = self.send(layer, spent, &mut blob, &mut upload).await;
        let facts = match copied {
            Ok(facts) => facts,
            Err(fault) => {
                if let Err(error) = upload.cancel().await {
                    tracing::warn!(%error, blob = %layer.digest, "an upload is left to the registry");
                }
                return Err(fault);
            }
        };
        upload.commit(&layer.digest).await.map_err(|e| fault::own(&e))?;
        metrics::counter!("portcall_quarantine_copied_bytes_total").increment(facts.bytes);
        self.store.keep_layer(&layer.digest, &facts).await.map_err(|e| fault::stored(&e))?;
        let brought = self.store.copy_brought(&self.digest, &self.name, facts.bytes).await;
        brought.map_err(|e| fault::stored(&e))?;
        Ok(facts)
    }

    async fn send(
        &self,
        layer: &Layer,
        spent: &Arc<Spent>,
        blob: &mut Blob,
        upload: &mut Upload,
    ) -> Result<LayerFacts, Fault> {
        let (pieces, mut waiting) = mpsc::channel::<Bytes>(PIECES);
        let (limits, spent, times) = (self.limits.clone(), Arc::clone(spent), layer.times);
        let looking = tokio::task::spawn_blocking(move || {
            inspect(std::iter::from_fn(|| waiting.blocking_recv()), times, &limits, &spent)
        });
        let read = self.read(layer, blob, upload, pieces).await;
        // The channel is closed: the thread ends soon, whatever happened here.
        let inspected = looking.await.map_err(|_| fault::broken())?;
        self.judge(layer, read?, inspected)
    }

    /// Reads the layer from its registry and hands it to both.
    async fn read(
        &self,
        layer: &Layer,
        blob: &mut Blob,
        upload: &mut Upload,
        pieces: mpsc::Sender<Bytes>,
    ) -> Result<Read, Fault> {
        let mut watch = Watch::new(self.limits.rate);
        let mut bytes = 0_u64;
        while let Some(piece) = self.piece(blob, &mut watch).await? {
            bytes += piece.len() as u64;
            if bytes > layer.size {
                return Err(other_size(layer));
            }
            let sent = async {
                let fed = upload.feed(piece.clone()).await;
                (fed, pieces.send(piece).await.is_ok())
            };
            let sent = tokio::select! {
                sent = sent => sent,
                () = self.deadline.passed() => return Err(fault::over(&self.image, Over::Ours)),
            };
            match sent {
                (Fed::Taken, true) => {}
                (Fed::Over, _) => return Err(fault::own(&upload.failure().await)),
                (Fed::Taken, false) => return Ok(Read::Enough),
            }
        }
        Ok(Read::Whole { bytes })
    }

    /// The next piece from the registry, while it delivers fast enough.
    async fn piece(&self, blob: &mut Blob, watch: &mut Watch) -> Result<Option<Bytes>, Fault> {
        let next = blob.chunk();
        tokio::pin!(next);
        let mut since = Instant::now();
        loop {
            let piece = tokio::select! {
                biased;
                () = self.given_up.cancelled() => return Err(fault::broken()),
                piece = &mut next => Some(piece?),
                () = self.deadline.passed() => {
                    let how = if watch.drips() { Over::Dripping } else { Over::Stalled };
                    return Err(fault::over(&self.image, how));
                }
                () = sleep(LOOK) => None,
            };
            let bytes = piece.iter().flatten().map(Bytes::len).sum::<usize>();
            watch.saw(since.elapsed(), bytes as u64);
            since = Instant::now();
            match watch.flow() {
                Flow::Fine => {}
                Flow::Slow => return Err(fault::slow(&self.image, &self.limits)),
                Flow::None => return Err(fault::silent(&self.image)),
            }
            if let Some(piece) = piece {
                return Ok(piece);
            }
        }
    }

    /// Whose the fault is, if there is one. A registry that sends other bytes than it was asked
    /// for is not the participant's, so the digest is looked at before the damage.
    fn judge(&self, layer: &Layer, read: Read, seen: Inspected) -> Result<LayerFacts, Fault> {
        if let (Read::Whole { bytes }, Some(digest)) = (read, &seen.digest) {
            if *digest != layer.digest {
                return Err(fault::other_blob(&self.image));
            }
            if bytes != layer.size {
                return Err(other_size(layer));
            }
        }
        let facts = seen.layer.map_err(|f| fault::layer(&layer.digest, &f, &self.limits))?;
        match facts.diff_id == layer.diff_id {
            true => Ok(facts),
            false => Err(other_content(&layer.digest)),
        }
    }

    /// Asks for a blob of the image.
    async fn blob(&self, digest: &Digest) -> Result<Blob, Fault> {
        tokio::select! {
            blob = self.source.blob(&self.image, digest) => Ok(blob?),
            () = self.deadline.passed() => Err(fault::over(&self.image, Over::Stalled)),
        }
    }

    /// A small blob whole: the image's configuration.
    pub(super) async fn small(&self, digest: &Digest, size: u64) -> Result<Vec<u8>, Fault> {
        let other = || fault::invalid("the manifest gives the configuration another size");
        let mut blob = self.blob(digest).await?;
        let mut watch = Watch::new(self.limits.rate);
        let mut whole = Vec::new();
        while let Some(piece) = self.piece(&mut blob, &mut watch).await? {
            if (whole.len() + piece.len()) as u64 > size {
                return Err(other());
            }
            whole.extend_from_slice(&piece);
        }
        if super::digest_of(&whole) != *digest {
            return Err(fault::other_blob(&self.image));
        }
        if whole.len() as u64 == size { Ok(whole) } else { Err(other()) }
    }
}

fn other_size(layer: &Layer) -> Fault {
    let name = fault::short(&layer.digest);
    fault::invalid(format!("layer {name} has another size than the manifest says"))
}

pub(super) fn other_content(layer: &Digest) -> Fault {
    let name = fault::short(layer);
    fault::invalid(format!("layer {name} is not what the image's configuration says"))
}
