//! How much of a node's memory gradings take together. Each container keeps to its own limit; all
//! of them at their limits at once must still leave the node its own share, or the kernel ends
//! whoever is largest, and that may be an honest one.

use std::sync::{Arc, OnceLock};

use portcall_shared::domain::verdict::{PlatformCode, PlatformFault};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{Break, Grader, prepare::Prepared};
use crate::{fleet::Slot, lease::Progress};

/// What strangers may have of a node's memory, in per cent (`infra/nodes/grader.slice` bounds it
/// likewise).
const SHARE: u64 = 80;
const MIB: u64 = 1024 * 1024;

/// The memory of the node, in MiB, as far as strangers may have it: known when the first slot is.
#[derive(Clone, Debug, Default)]
pub struct NodeMemory(Arc<OnceLock<Strangers>>);

#[derive(Debug)]
struct Strangers {
    mib: u32,
    free: Arc<Semaphore>,
}

/// Memory that a grading has until this is dropped.
#[derive(Debug)]
pub struct MemoryTaken(
    #[expect(dead_code, reason = "it is given back by its drop")] OwnedSemaphorePermit,
);

/// A node that never has so much.
#[derive(Debug, PartialEq, Eq)]
struct TooSmall {
    mib: u32,
}

impl NodeMemory {
    /// Takes so many MiB of a node with so many bytes, as soon as they are free.
    async fn take(&self, node: u64, wanted: u32) -> Result<MemoryTaken, TooSmall> {
        let strangers = self.0.get_or_init(|| Strangers::of(node));
        if wanted > strangers.mib {
            return Err(TooSmall { mib: strangers.mib });
        }
        let taken = Arc::clone(&strangers.free).acquire_many_owned(wanted).await;
        taken.map(MemoryTaken).map_err(|_| TooSmall { mib: 0 })
    }
}

impl Strangers {
    fn of(node: u64) -> Self {
        let mib = u32::try_from(node / MIB * SHARE / 100).unwrap_or(u32::MAX);
        let most = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
        let mib = mib.min(most);
        Self { mib, free: Arc::new(Semaphore::new(mib as usize)) }
    }
}

impl Grader {
    /// Waits until the node has the memory that all containers of a submission may use.
    pub(super) async fn memory(
        &self,
        slot: &Slot,
        prepared: &Prepared,
        progress: &impl Progress,
        until: Instant,
    ) -> Result<MemoryTaken, Break> {
        let wanted = prepared.specs.iter().map(|spec| spec.limits.memory_mib).sum();
        let taken = timeout_at(until, self.memory.take(slot.node().memory, wanted));
        let taken = tokio::select! {
            taken = taken => taken,
            stop = progress.stopped() => return Err(stop.into()),
        };
        let message = match taken {
            Ok(Ok(taken)) => return Ok(taken),
            Ok(Err(TooSmall { mib })) => {
                tracing::error!(wanted_mib = wanted, node_mib = mib, "the node is too small");
                format!("no machine has the {wanted} MiB that its containers may use together")
            }
            Err(_) => format!("no {wanted} MiB of memory became free for its containers"),
        };
        Err(PlatformFault::new(PlatformCode::NoCapacity, message).into())
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn strangers_share_four_fifths_and_wait_for_each_other() {
        let (memory, node) = (NodeMemory::default(), 1000 * MIB);
        let first = memory.take(node, 500).await.unwrap();
        let second = memory.take(node, 300).await.unwrap();
        assert!(memory.take(node, 1).now_or_never().is_none(), "nothing is left");
        drop(second);
        assert!(memory.take(node, 301).now_or_never().is_none());
        assert!(memory.take(node, 300).now_or_never().is_some_and(|taken| taken.is_ok()));
        drop(first);
        assert!(memory.take(node, 800).now_or_never().is_some_and(|taken| taken.is_ok()));
        assert_eq!(memory.take(node, 801).await.unwrap_err(), TooSmall { mib: 800 });
    }
}
