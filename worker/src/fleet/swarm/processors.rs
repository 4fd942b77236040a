//! What strangers may reserve of a node's processors. Every service reserves what it may use
//! ([`request`](super::request)), ours and theirs; a task for which too little is left is placed
//! nowhere.

use super::request::ANCHOR_MILLI_CPUS;
use crate::fleet::{Limits, Profile};

/// So many containers of ours an examination starts, each beside an anchor of its own.
const CANARIES: u64 = 2;

/// What strangers may reserve of a node's processors together, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processors {
    /// All but what the anchors of its slots have: nobody ever gets more.
    pub ever: u64,
    /// What is given out: an examination finds its own beside it, unless an operator wants so many
    /// slots that nothing is left for it.
    pub usual: u64,
}

impl Processors {
    /// Of a node with so many processors, which has so many slots.
    pub(in crate::fleet) fn of(cpus: u32, slots: u32) -> Self {
        let (slots, anchor) = (u64::from(slots), ANCHOR_MILLI_CPUS.unsigned_abs());
        let each = (Limits::of(Profile::Ordinary).cpus * 1000.0) as u64;
        let ever = (u64::from(cpus) * 1000).saturating_sub(anchor * slots);
        let beside_canaries = ever.saturating_sub((each + anchor) * CANARIES);
        Self { ever, usual: beside_canaries.max(each * slots).min(ever) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_get_leaves_room_for_the_anchors_and_for_an_examination() {
        let of = |cpus, slots| {
            let Processors { ever, usual } = Processors::of(cpus, slots);
            (ever, usual)
        };
        // As many slots as fit by themselves: one usual container in each.
        assert_eq!(of(8, 12), (7400, 6300));
        assert_eq!(of(4, 5), (3750, 2650));
        assert_eq!(of(1, 1), (950, 500));
        // An operator's word counts more than the examination's ease.
        assert_eq!(of(2, 2), (1900, 1000));
        assert_eq!(of(2, 4), (1800, 1800));
        assert_eq!(of(1, 64), (0, 0));
    }
}
