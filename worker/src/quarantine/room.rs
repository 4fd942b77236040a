//! Room: what may still be copied, and what goes for it.
//!
//! The budget is of the disk. Counted are the blobs that are kept, those that were given up until
//! the registry has them no longer (only `infra/quarantine/sweep` gives their disk back), and what
//! copies under way still have to bring. Where that would be more than the budget nothing is
//! copied. What is kept is held below three quarters of it, so that there is room between sweeps.
//!
//! What was not used for the longest time goes first. Several workers may make room at once. Each
//! image is first forgotten by a conditional write, which one of them wins and which fails if
//! somebody used it meanwhile; only then is its manifest deleted. A blob is given up in the same
//! way, and is deleted by the sweep alone, when no manifest names it.

use std::{sync::Arc, time::Duration};

use portcall_shared::{
    registry::push::{OwnRegistry, PushError},
    store::{
        Store, StoreError,
        quarantine::{Held, IdleImage, SeenBlob},
    },
};
use tokio::sync::Mutex;

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// How many bytes of the budget are taken now.
    pub held: u64,
    /// How many of these were given up and wait for the sweep.
    pub unswept: u64,
    /// How many images were taken away.
    pub images: u64,
    /// How many blobs were given up.
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

/// Keeps the registry to its budget. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    pub(super) own: OwnRegistry,
    pub(super) store: Store,
    /// In bytes of the disk.
    pub(super) budget: u64,
    /// What was used within this time stays.
    pub(super) recent: Duration,
    /// In one process one makes room at a time.
    pub(super) alone: Arc<Mutex<()>>,
}

impl Keeper {
    /// Whether what is noted as coming has room. Makes some if not.
    pub(super) async fn has_room(&self) -> Result<bool, NoRoom> {
        if self.store.quarantine_bytes().await?.total() <= self.budget {
            return Ok(true);
        }
        let room = self.make().await?;
        if room.held <= self.budget {
            return Ok(true);
        }
        metrics::counter!("portcall_quarantine_full_total").increment(1);
        tracing::warn!(
            held_bytes = room.held,
            unswept_bytes = room.unswept,
            budget_bytes = self.budget,
            "the quarantine is full: an image is not copied now"
        );
        Ok(false)
    }

    /// Takes away what was not used for the longest time, as far as it must.
    pub(super) async fn make(&self) -> Result<Room, NoRoom> {
        let _alone = self.alone.lock().await;
        let mut room = Room::default();
        self.store.forget_unknown(self.recent).await?;
        self.notice_sweeps().await?;
        let mut held = self.store.quarantine_bytes().await?;
        if self.is_much(held) {
            // Layers of images that were refused, and of those whose worker died.
            let strays = self.store.stray_blobs(self.recent).await?;
            held = self.give_up(&strays, &mut room).await?;
            for image in self.store.idle_images(self.recent).await? {
                if !self.is_much(held) {
                    break;
                }
                held = self.evict(&image, held, &mut room).await?;
            }
        }
        (room.held, room.unswept) = (held.total(), held.unswept);
        metrics::gauge!("portcall_quarantine_held_bytes").set(room.held as f64);
        metrics::gauge!("portcall_quarantine_unswept_bytes").set(room.unswept as f64);
        Ok(room)
    }

    /// Whether something must go. What was given up already is a matter of the sweep.
    fn is_much(&self, held: Held) -> bool {
        held.kept.saturating_add(held.coming) > self.budget / 4 * 3
    }

    /// What was given up and is there no longer has given its disk back.
    async fn notice_sweeps(&self) -> Result<(), NoRoom> {
        for blob in self.store.unswept_blobs().await? {
            if !self.own.has_blob(&blob.digest).await? {
                self.store.forget_blob(&blob).await?;
            }
        }
        Ok(())
    }

    async fn evict(&self, image: &IdleImage, held: Held, room: &mut Room) -> Result<Held, NoRoom> {
        if !self.store.forget_image(image).await? {
            return Ok(held);
        }
        if let Err(error) = self.own.delete_manifest(&image.digest).await {
            // A manifest that nobody knows of would keep its blobs from every sweep.
            self.store.remember_image(image).await?;
            return Err(error.into());
        }
        let held = match &image.blobs {
            Some(blobs) => {
                let blobs = self.store.blobs_of(blobs).await?;
                self.give_up(&blobs, room).await?
            }
            None => held,
        };
        room.images += 1;
        metrics::counter!("portcall_quarantine_evictions_total").increment(1);
        let kept = held.kept;
        tracing::info!(image.digest = %image.digest, kept_bytes = kept, "evicted from quarantine");
        Ok(held)
    }

    async fn give_up(&self, blobs: &[SeenBlob], room: &mut Room) -> Result<Held, NoRoom> {
        for blob in blobs {
            if self.store.give_up_blob(blob).await? {
                room.blobs += 1;
            }
        }
        Ok(self.store.quarantine_bytes().await?)
    }
}
