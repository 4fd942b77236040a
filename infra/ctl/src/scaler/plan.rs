//! How many grader nodes are wanted: a pure function of what is seen, the rules, and what was
//! decided before.
//!
//! Work is what waits and what is being graded, times what a grading takes. The nodes must be able
//! to do all of it within the longest wait. If somebody waits longer all the same, the estimate was too
//! low, and one more node is wanted than there is. More are wanted at once; fewer only when a quarter
//! more work would still not need them, for a while, and then one at a time, so that a queue that
//! breathes does not make nodes come and go. When nothing is left to do and no event is open, they all
//! go, but for the fewest.

use std::time::Duration;

/// How much more work must fit before a node is given up, in per cent.
const SLACK: u64 = 25;

/// What the operator wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The fewest nodes.
    pub(crate) min: u32,
    /// The most nodes.
    pub(crate) max: u32,
    /// How long a submission may wait, and be graded.
    pub(crate) wait: Duration,
    /// After more were wanted: so long not yet more.
    pub(crate) up_every: Duration,
    /// Fewer only when they were enough for so long.
    pub(crate) down_after: Duration,
    /// Slots of a node, while there is none to look at.
    pub(crate) slots: u32,
    /// What a grading takes, while none was measured.
    pub(crate) grading: Duration,
}

/// What is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// Submissions that wait.
    pub(crate) waiting: u64,
    /// How long the oldest of these has waited.
    pub(crate) oldest: Duration,
    /// Submissions that are being graded.
    pub(crate) grading: u64,
    /// What a grading takes, if any was measured.
    pub(crate) takes: Option<Duration>,
    /// Nodes that take work or soon will.
    pub(crate) nodes: u32,
    /// The slots of those that do.
    pub(crate) slots: u32,
    /// How many of the nodes have these slots.
    pub(crate) with_slots: u32,
    /// Whether an event takes submissions.
    pub(crate) open: bool,
}

/// What was decided before; times since the scaler began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Past {
    wanted: Option<u32>,
    grown: Option<Duration>,
    enough: Option<Duration>,
}

/// Why so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// As many as before are right.
    Enough,
    /// The work needs more.
    Work,
    /// Somebody waits too long.
    Waiting,
    /// More are needed, but more were wanted just now.
    GrowingAlready,
    /// Fewer would do, but not for long enough.
    PerhapsFewer,
    /// Fewer do.
    Fewer,
    /// Nothing is left to do and no event is open.
    Over,
}

impl Why {
    /// For people and for the operator's command.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Enough => "these are enough",
            Self::Work => "the work needs more",
            Self::Waiting => "somebody waits too long",
            Self::GrowingAlready => "more are needed, and more were wanted just now",
            Self::PerhapsFewer => "fewer would do, if it stays so",
            Self::Fewer => "fewer do",
            Self::Over => "nothing is left to do and no event is open",
        }
    }
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// So many nodes that take work.
    pub(crate) nodes: u32,
    /// For this reason.
    pub(crate) why: Why,
}

/// How many nodes are wanted at `now`, counted from when the scaler began.
pub(crate) fn decide(look: &Look, rules: &Rules, past: Past, now: Duration) -> (Wanted, Past) {
    let clamp = |nodes: u32| nodes.clamp(rules.min, rules.max.max(rules.min));
    let before = clamp(past.wanted.unwrap_or(look.nodes));
    let work = clamp(for_work(look, rules, 100));
    let too_long = look.waiting > 0 && look.oldest > rules.wait;
    let needed = if too_long { work.max(clamp(look.nodes.saturating_add(1))) } else { work };
    let since = |then: Option<Duration>| then.map(|then| now.saturating_sub(then));
    let mut after = Past { wanted: Some(before), ..past };
    let (nodes, why) = if needed > before {
        after.enough = None;
        match since(past.grown) {
            Some(ago) if ago < rules.up_every => (before, Why::GrowingAlready),
            _ => {
                after.grown = Some(now);
                (needed, if needed > work { Why::Waiting } else { Why::Work })
            }
        }
    } else {
        let roomy = needed.max(clamp(for_work(look, rules, 100 + SLACK)));
        let over = !look.open && look.waiting == 0 && look.grading == 0;
        if roomy >= before {
            after.enough = None;
            (before, Why::Enough)
        } else if now.saturating_sub(*after.enough.get_or_insert(now)) < rules.down_after {
            (before, Why::PerhapsFewer)
        } else {
            after.enough = Some(now);
            match over {
                true => (clamp(0), Why::Over),
                false => (roomy.max(before - 1), Why::Fewer),
            }
        }
    };
    after.wanted = Some(nodes);
    (Wanted { nodes, why }, after)
}

/// The nodes that do this many per cent of the work in time.
fn for_work(look: &Look, rules: &Rules, percent: u64) -> u32 {
    let work = u128::from(look.waiting.saturating_add(look.grading));
    let takes = look.takes.unwrap_or(rules.grading).as_millis().max(1);
    let per_node = match (look.slots, look.with_slots) {
        (0, _) | (_, 0) => rules.slots,
        (slots, nodes) => slots / nodes,
    };
    let wait = rules.wait.as_millis().max(1);
    let slots = (work * takes * u128::from(percent)).div_ceil(wait * 100);
    let nodes = slots.div_ceil(u128::from(per_node.max(1)));
    u32::try_from(nodes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
