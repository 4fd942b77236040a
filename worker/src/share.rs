//! Who keeps which slots: pure, and the same for every worker that sees the same nodes and workers.
//!
//! The slots of a node are dealt out to the workers one after the other until none is left, so no
//! two workers' shares differ by more than one. In which order the workers come is another one on
//! each node, by a hash of both names: otherwise the first of two workers would have every node
//! with a single slot. A worker that comes takes from the others only what it has itself then, and
//! what one leaves goes to the others, who give up nothing for it.

use std::collections::BTreeSet;

use portcall_shared::domain::ids::WorkerId;
use sha2::{Digest, Sha256};

/// The workers in the order in which slots of a node are dealt to them.
fn in_turn(node: &str, workers: &BTreeSet<WorkerId>) -> Vec<WorkerId> {
    let mut workers: Vec<WorkerId> = workers.iter().copied().collect();
    workers.sort_by_cached_key(|worker| (place(node, *worker), *worker));
    workers
}

/// Where a worker stands on a node.
fn place(node: &str, worker: WorkerId) -> [u8; 32] {
    Sha256::digest(format!("{worker} {node}")).into()
}

/// The worker that keeps a slot of a node; none if there is no worker.
#[must_use]
pub fn owner(node: &str, workers: &BTreeSet<WorkerId>, slot: u32) -> Option<WorkerId> {
    let workers = in_turn(node, workers);
    let turn = (slot as usize).checked_rem(workers.len())?;
    Some(workers[turn])
}

/// How many of a node's slots a worker keeps; none if it is not among the workers.
#[must_use]
pub fn share(node: &str, workers: &BTreeSet<WorkerId>, own: WorkerId, slots: u32) -> u32 {
    let workers = in_turn(node, workers);
    let turn = |slot: &u32| (*slot as usize).checked_rem(workers.len());
    let own = |slot: &u32| turn(slot).is_some_and(|turn| workers[turn] == own);
    u32::try_from((0..slots).filter(own).count()).unwrap_or(slots)
}

/// A worker's part of what a node has for strangers, which is dealt out as its slots are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its share of the slots.
    pub slots: u32,
    /// How many the node has for all workers together.
    pub room: u32,
}

impl Part {
    /// All of it: nobody else is there.
    pub const WHOLE: Self = Self { slots: 1, room: 1 };

    /// So much of so much.
    #[must_use]
    pub fn of(self, whole: u64) -> u64 {
        let part = u128::from(whole) * u128::from(self.slots);
        let part = part.checked_div(u128::from(self.room)).unwrap_or(0);
        u64::try_from(part).unwrap_or(whole).min(whole)
    }
}

impl Default for Part {
    fn default() -> Self {
        Self::WHOLE
    }
}

/// How many slots a worker may keep now: its share, but nothing beyond what the node has room for
/// while others still finish in slots that are no longer theirs.
#[must_use]
pub fn within(room: u32, share: u32, own_open: u32, others_open: u32) -> u32 {
    share.min(own_open.max(room.saturating_sub(others_open)))
}

/// A node on which a worker would keep slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What tells it from the others.
    pub node: String,
    /// How many.
    pub slots: u32,
}

/// Spreads at most so many slots over nodes, as evenly as what is wanted of each allows; in the
/// order of what is wanted.
#[must_use]
pub fn spread(own: WorkerId, wanted: &[Wanted], most: u32) -> Vec<u32> {
    let mut turns: Vec<usize> = (0..wanted.len()).collect();
    turns.sort_by_cached_key(|at| place(&wanted[*at].node, own));
    let (mut given, mut left) = (vec![0; wanted.len()], most);
    loop {
        let before = left;
        for at in &turns {
            if left > 0 && given[*at] < wanted[*at].slots {
                given[*at] += 1;
                left -= 1;
            }
        }
        if left == before {
            return given;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn workers() -> impl Strategy<Value = BTreeSet<WorkerId>> {
        prop::collection::btree_set(any::<u128>(), 1..9).prop_map(|ids| {
            ids.into_iter().map(|id| WorkerId::from(uuid::Uuid::from_u128(id))).collect()
        })
    }

    fn shares(node: &str, workers: &BTreeSet<WorkerId>, slots: u32) -> Vec<u32> {
        workers.iter().map(|worker| share(node, workers, *worker, slots)).collect()
    }

    proptest! {
        #[test]
        fn every_slot_has_one_owner_and_shares_are_fair(
            workers in workers(), node in "[a-z0-9]{1,8}", slots in 0_u32..40,
        ) {
            for slot in 0..slots {
                let owner = owner(&node, &workers, slot);
                prop_assert!(owner.is_some_and(|owner| workers.contains(&owner)));
            }
            let shares = shares(&node, &workers, slots);
            prop_assert_eq!(shares.iter().sum::<u32>(), slots);
            let (least, most) = (shares.iter().min(), shares.iter().max());
            prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1));
        }

        #[test]
        fn a_worker_that_comes_or_goes_moves_only_its_own_slots(
            workers in workers(), node in "[a-z0-9]{1,8}", slots in 0_u32..40, newcomer: u128,
        ) {
            let newcomer = WorkerId::from(uuid::Uuid::from_u128(newcomer));
            prop_assume!(!workers.contains(&newcomer));
            let mut more = workers.clone();
            more.insert(newcomer);
            for worker in &workers {
                let before = share(&node, &workers, *worker, slots);
                let after = share(&node, &more, *worker, slots);
                prop_assert!(after <= before, "nobody gets more when one comes");
            }
            prop_assert_eq!(share(&node, &workers, newcomer, slots), 0);
        }

        #[test]
        fn the_parts_of_all_workers_are_never_more_than_there_is(
            workers in workers(), node in "[a-z0-9]{1,8}", room in 0_u32..40, whole: u64,
        ) {
            let shares = shares(&node, &workers, room);
            let parts = shares.iter().map(|slots| Part { slots: *slots, room }.of(whole));
            prop_assert!(parts.map(u128::from).sum::<u128>() <= u128::from(whole));
            prop_assert_eq!(Part::WHOLE.of(whole), whole);
        }

        #[test]
        fn what_is_spread_is_all_that_may_be_and_as_even_as_can_be(
            own: u128, wanted in prop::collection::vec(0_u32..9, 0..9), most in 0_u32..40,
        ) {
            let own = WorkerId::from(uuid::Uuid::from_u128(own));
            let named = |(at, slots): (usize, &u32)| Wanted {
                node: format!("n{at}"),
                slots: *slots,
            };
            let named: Vec<Wanted> = wanted.iter().enumerate().map(named).collect();
            let given = spread(own, &named, most);
            prop_assert_eq!(given.iter().sum::<u32>(), wanted.iter().sum::<u32>().min(most));
            for (one, wants) in given.iter().zip(&wanted) {
                prop_assert!(one <= wants);
                // Whoever has less than another by more than one wanted no more.
                let most = given.iter().max().copied().unwrap_or(0);
                prop_assert!(one + 1 >= most || one == wants, "{:?} of {:?}", given, wanted);
            }
        }

        #[test]
        fn nobody_takes_more_than_there_is_room_for_nor_gives_up_what_is_his(
            room in 0_u32..20, share in 0_u32..20, own in 0_u32..20, others in 0_u32..20,
        ) {
            let kept = within(room, share, own, others);
            prop_assert!(kept <= share);
            prop_assert!(kept >= share.min(own));
            prop_assert!(kept <= own || kept + others <= room);
        }
    }

    #[test]
    fn nodes_with_one_slot_do_not_all_go_to_the_same_worker() {
        let workers: BTreeSet<WorkerId> =
            (1..=2).map(|id| WorkerId::from(uuid::Uuid::from_u128(id))).collect();
        let of: BTreeSet<Option<WorkerId>> =
            (0..8).map(|node| owner(&format!("g{node}"), &workers, 0)).collect();
        assert_eq!(of.len(), 2);
        assert_eq!(owner("g0", &BTreeSet::new(), 0), None);
    }
}
