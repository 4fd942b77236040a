//! The disk under the containers: what each wrote to its root, and what is left of the node's.
//!
//! Where the engine's storage bounds no writable root, the grading does: it has the engine count
//! once a second, and once more after the last answer, since an image may write and answer between
//! two looks. The engine counts what it finds by walking through names. It does not see a file that
//! has lost its name, nor count empty ones; so the disk itself is looked at, too, which costs
//! nothing: before a node has none left, the gradings on it end, and the room keeper
//! (`gate::room`) sees to it that nothing new begins there.

use std::time::Duration;

use portcall_shared::domain::verdict::{Fault, ParticipantFault, PlatformCode, PlatformFault};

use super::{Break, Grader, prepare::Prepared};
use crate::{
    fleet::{Profile, RootQuota, Slot, Workload},
    judge::{self, Presence, Seen},
    lease::Progress,
    probe::wire::DiskSpace,
};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// For the last look, while somebody waits for his verdict. A small root takes milliseconds.
const LAST: Duration = Duration::from_secs(10);
/// For finding out who filled the disk, while it fills on.
const WHOSE: Duration = Duration::from_secs(2);
/// One in so many of the files that there may be must be free, where they are counted. Half of what
/// a node needs to take work, as for the bytes.
const INODES: u64 = 100;
const MIB: u64 = 1024 * 1024;

/// How little may be left of a node's disk before the gradings on it end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskFloor {
    /// In bytes; none at 0.
    bytes: u64,
}

impl DiskFloor {
    /// For a node that must have so many bytes free to take work: half of it. At 0 the disk is
    /// nobody's concern.
    #[must_use]
    pub fn under(node_free: u64) -> Self {
        Self { bytes: node_free.div_ceil(2) }
    }

    fn is_broken(self, space: DiskSpace) -> bool {
        let DiskSpace { free_bytes, free_inodes, total_inodes, .. } = space;
        self.bytes > 0 && (free_bytes < self.bytes || free_inodes < total_inodes / INODES)
    }
}

/// Completes once the disk is too full; a look that fails says nothing.
async fn low<F>(floor: DiskFloor, every: Duration, look: impl Fn() -> F) -> DiskSpace
where
    F: Future<Output = Option<DiskSpace>>,
{
    loop {
        tokio::time::sleep(every).await;
        if let Some(space) = look().await.filter(|space| floor.is_broken(*space)) {
            return space;
        }
    }
}

/// What two looks, one after the other, say of a root that may hold so much.
fn presence(limit_mib: u32, before: Option<u64>, now: Option<u64>) -> Option<Presence> {
    match (before, now) {
        (_, Some(bytes)) if bytes > u64::from(limit_mib) * MIB => {
            Some(Presence::DiskFull { limit_mib })
        }
        // Once may be chance: somebody removed what was being counted.
        (None, None) => Some(Presence::DiskUncounted { limit_mib }),
        _ => None,
    }
}

impl Prepared {
    fn is_ordinary(&self) -> bool {
        self.specs.iter().any(|spec| spec.profile == Profile::Ordinary)
    }

    /// What two looks say of the images: the fault of the first that wrote too much.
    fn beyond(&self, before: &[Option<u64>], now: &[Option<u64>]) -> Option<ParticipantFault> {
        self.images().find_map(|(position, alias)| {
            let (before, now) = (before.get(position)?, now.get(position)?);
            let presence = presence(self.specs[position].limits.root_mib, *before, *now)?;
            let seen = Seen { alias: alias.to_owned(), presence, answers: Vec::new() };
            Some(judge::absent(&seen, ""))
        })
    }
}

impl Grader {
    /// Completes when an image wrote more to its root than it may, or the node's disk is nearly
    /// full.
    pub(super) async fn watch_disk(
        &self,
        slot: &Slot,
        workload: &Workload,
        prepared: &Prepared,
    ) -> Fault {
        if !prepared.is_ordinary() {
            // Nobody can write anything but its own memory.
            return std::future::pending().await;
        }
        // Apart from each other: counting takes as long as a stranger makes it take.
        tokio::select! {
            fault = self.watch_roots(workload, prepared) => fault.into(),
            fault = self.watch_node(slot, workload, prepared) => fault,
        }
    }

    fn bounds_roots(&self, prepared: &Prepared) -> bool {
        prepared.is_ordinary()
            && self.fleet.counts_roots()
            && self.fleet.node_settings().root_quota == RootQuota::Watched
    }

    async fn watch_roots(&self, workload: &Workload, prepared: &Prepared) -> ParticipantFault {
        if !self.bounds_roots(prepared) {
            return std::future::pending().await;
        }
        let mut before = vec![Some(0); prepared.specs.len()];
        loop {
            tokio::time::sleep(LOOK).await;
            let Ok(now) = self.fleet.written(workload).await else { continue };
            if let Some(fault) = prepared.beyond(&before, &now) {
                return fault;
            }
            before = now;
        }
    }

    async fn watch_node(&self, slot: &Slot, workload: &Workload, prepared: &Prepared) -> Fault {
        let space = low(self.floor, LOOK, || async { self.fleet.disk(slot).await.ok() }).await;
        tracing::error!(
            free_bytes = space.free_bytes,
            free_inodes = space.free_inodes,
            "the node's disk is nearly full: what is graded on it ends"
        );
        let guilty = match self.fleet.counts_roots() {
            true => {
                let written = tokio::time::timeout(WHOSE, self.fleet.written(workload)).await;
                written.ok().and_then(Result::ok).and_then(|now| prepared.beyond(&now, &now))
            }
            false => None,
        };
        guilty.map_or_else(
            || {
                let message = "the machine's disk is nearly full";
                PlatformFault::new(PlatformCode::PlatformError, message).into()
            },
            Fault::from,
        )
    }

    /// Looks once more what the images wrote, when nobody asks them anything any more.
    ///
    /// No verdict without it: a look that fails is the platform's fault.
    pub(super) async fn last_look(
        &self,
        workload: &Workload,
        prepared: &Prepared,
        progress: &impl Progress,
    ) -> Result<Option<ParticipantFault>, Break> {
        if !self.bounds_roots(prepared) {
            return Ok(None);
        }
        let looks = async {
            let before = self.fleet.written(workload).await?;
            if before.iter().all(Option::is_some) {
                return Ok(prepared.beyond(&before, &before));
            }
            let now = self.fleet.written(workload).await?;
            Ok(prepared.beyond(&before, &now))
        };
        let looked = tokio::select! {
            looked = tokio::time::timeout(LAST, looks) => looked,
            stop = progress.stopped() => return Err(stop.into()),
        };
        match looked {
            Ok(looked) => looked
                .map_err(|e| Break::Fault(super::platform("count what the containers wrote", &e))),
            Err(_) => {
                let message = "the platform could not count in time what the containers wrote";
                Err(PlatformFault::new(PlatformCode::PlatformError, message).into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const FREE: u64 = 1024 * MIB;

    fn space(free_bytes: u64, free_inodes: u64) -> DiskSpace {
        DiskSpace { free_bytes, total_bytes: 100 * FREE, free_inodes, total_inodes: 10_000 }
    }

    #[test]
    fn the_floor_is_half_of_what_a_node_needs() {
        let floor = DiskFloor::under(FREE);
        assert!(!floor.is_broken(space(FREE / 2, 100)));
        assert!(floor.is_broken(space(FREE / 2 - 1, 100)));
        assert!(floor.is_broken(space(FREE / 2, 99)));
        let uncounted = DiskSpace { total_inodes: 0, ..space(FREE, 0) };
        assert!(!floor.is_broken(uncounted), "where files are not counted");
        assert!(DiskFloor::under(1).is_broken(space(0, 100)), "rounded to be one");
        for none in [DiskFloor::under(0), DiskFloor::default()] {
            assert!(!none.is_broken(space(0, 0)), "nobody's concern");
        }
    }

    #[tokio::test]
    async fn the_disk_is_looked_at_until_it_is_too_full() {
        let full = space(1, 1);
        // The last one first.
        let looks = RefCell::new(vec![Some(full), None, Some(space(FREE, 100)), None]);
        let look = || std::future::ready(looks.borrow_mut().pop().expect("one more look"));
        assert_eq!(low(DiskFloor::under(FREE), Duration::ZERO, look).await, full);
        assert!(looks.borrow().is_empty());
    }

    #[test]
    fn a_root_may_be_full_and_no_fuller() {
        let full = Some(Presence::DiskFull { limit_mib: 256 });
        let uncounted = Some(Presence::DiskUncounted { limit_mib: 256 });
        for (before, now, said) in [
            (Some(0), Some(256 * MIB), None),
            (Some(0), Some(256 * MIB + 1), full.clone()),
            (Some(300 * MIB), Some(0), None),
            (None, Some(0), None),
            (None, Some(256 * MIB + 1), full),
            (Some(0), None, None),
            (None, None, uncounted),
        ] {
            assert_eq!(presence(256, before, now), said, "{before:?} {now:?}");
        }
    }
}
