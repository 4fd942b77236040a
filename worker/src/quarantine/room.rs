//! Making room: what was not used for the longest time goes first.
//!
//! Several workers may do it at once. Each image is first forgotten by a conditional write, which
//! one of them wins and which fails if somebody used it meanwhile; only then is it deleted.

use std::time::Duration;

use portcall_shared::{
    domain::image::Digest,
    registry::push::{OwnRegistry, PushError},
    store::{
        Store, StoreError,
        quarantine::{BlobKind, IdleImage},
    },
};

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// How many bytes all blobs have together now.
    pub held: u64,
    /// How many images were taken away.
    pub images: u64,
    /// How many blobs.
    pub blobs: u64,
}

/// Why no room could be made.
#[derive(Debug, thiserror::Error)]
pub enum NoRoom {
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] PushError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(super) async fn make(
    own: &OwnRegistry,
    store: &Store,
    budget: u64,
    recent: Duration,
) -> Result<Room, NoRoom> {
    let mut room = Room { held: store.quarantine_bytes().await?, ..Room::default() };
    if room.held > budget {
        // Layers of images that were refused, and of those whose worker died.
        let strays = store.stray_blobs(recent).await?;
        take_away(own, store, strays, &mut room).await?;
        for image in store.idle_images(recent).await? {
            if room.held <= budget {
                break;
            }
            evict(own, store, &image, &mut room).await?;
        }
        if room.held > budget {
            tracing::warn!(
                held_bytes = room.held,
                budget_bytes = budget,
                "the quarantine is over its budget: all that it holds was used lately"
            );
        }
    }
    metrics::gauge!("portcall_quarantine_held_bytes").set(room.held as f64);
    Ok(room)
}

async fn evict(
    own: &OwnRegistry,
    store: &Store,
    image: &IdleImage,
    room: &mut Room,
) -> Result<(), NoRoom> {
    if !store.forget_image(image).await? {
        return Ok(());
    }
    own.delete_manifest(&image.digest).await?;
    let blobs = image.blobs.iter().flat_map(|blobs| {
        let layers = blobs.layers.iter().map(|layer| (BlobKind::Layer, layer.clone()));
        layers.chain([(BlobKind::Config, blobs.config.clone())])
    });
    let mut blobs: Vec<(BlobKind, Digest)> = blobs.collect();
    let digests: Vec<Digest> = blobs.iter().map(|(_, digest)| digest.clone()).collect();
    let wanted = store.wanted_blobs(&digests).await?;
    blobs.retain(|(_, digest)| !wanted.contains(digest));
    take_away(own, store, blobs, room).await?;
    room.images += 1;
    metrics::counter!("portcall_quarantine_evictions_total").increment(1);
    tracing::info!(image.digest = %image.digest, held_bytes = room.held, "evicted from quarantine");
    Ok(())
}

async fn take_away(
    own: &OwnRegistry,
    store: &Store,
    mut blobs: Vec<(BlobKind, Digest)>,
    room: &mut Room,
) -> Result<(), NoRoom> {
    blobs.sort_by(|(_, one), (_, other)| one.cmp(other));
    blobs.dedup();
    if blobs.is_empty() {
        return Ok(());
    }
    // What is not known is copied again, so this comes first.
    store.forget_blobs(&blobs).await?;
    for (_, digest) in &blobs {
        own.delete_blob(digest).await?;
    }
    room.blobs += blobs.len() as u64;
    room.held = store.quarantine_bytes().await?;
    Ok(())
}
