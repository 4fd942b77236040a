//! The grader nodes before and after: which take work, how many slots they have, and whether their
//! walls still stand.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use portcall_shared::store::{
    Store,
    nodes::{CanaryOutcome, NodeDuty, NodeEntry},
};
use tokio::time::{Instant, sleep};

use crate::{failure::Failure, orders::who};

/// How long the canary may take.
const CANARY: Duration = Duration::from_secs(300);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// The nodes that take work, each with its slots, of all workers together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fleet {
    pub(super) nodes: BTreeMap<String, u64>,
}

impl Fleet {
    pub(super) async fn of(store: &Store) -> Result<Self, Failure> {
        Ok(Self::among(&store.nodes().await?))
    }

    fn among(entries: &[NodeEntry]) -> Self {
        let mut nodes = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.takes_work()) {
            *nodes.entry(entry.node.name.clone()).or_default() += u64::from(entry.slots);
        }
        Self { nodes }
    }

    /// All slots.
    pub(super) fn slots(&self) -> u64 {
        self.nodes.values().sum()
    }

    /// The slots of the smallest node.
    pub(super) fn slots_of_a_node(&self) -> u64 {
        self.nodes.values().copied().min().unwrap_or(1).max(1)
    }

    /// Has the canary examine every node once more; what is wrong with those that were fit.
    pub(super) async fn examine(&self, store: &Store) -> Result<Vec<String>, Failure> {
        let mut ordered = BTreeMap::new();
        for name in self.nodes.keys() {
            ordered.insert(name.clone(), store.order_canary(name, &who()).await?);
        }
        let until = Instant::now() + CANARY;
        loop {
            let entries = store.nodes().await?;
            let waiting = |entry: &&NodeEntry| {
                let number = ordered.get(&entry.node.name);
                let serving = entry.duty == NodeDuty::Serving;
                serving && number.is_some_and(|number| entry.canary.ordered < *number)
            };
            let late = entries.iter().find(waiting).map(|entry| entry.node.name.clone());
            match late {
                Some(name) if Instant::now() >= until => {
                    let mut wrong = self.broken(&entries);
                    wrong.push(format!(
                        "{name}: the canary did not end within {} s",
                        CANARY.as_secs()
                    ));
                    return Ok(wrong);
                }
                Some(_) => sleep(LOOK).await,
                None => return Ok(self.broken(&entries)),
            }
        }
    }

    /// What is wrong now with the nodes that were fit before.
    fn broken(&self, entries: &[NodeEntry]) -> Vec<String> {
        let mut wrong = Vec::new();
        let now: BTreeSet<&str> = entries
            .iter()
            .filter(|entry| entry.takes_work())
            .map(|entry| entry.node.name.as_str())
            .collect();
        for name in self.nodes.keys() {
            let own = || entries.iter().filter(|entry| entry.node.name == *name);
            for entry in own().filter(|entry| entry.canary.outcome == CanaryOutcome::Failed) {
                let differences = entry.canary.differences.iter();
                let told: Vec<String> =
                    differences.map(|d| format!("{} {}", d.attempt, d.got)).collect();
                wrong.push(format!("{name}: the canary got out: {}", told.join(", ")));
            }
            if let Some(trouble) = own().find_map(|entry| entry.canary.trouble.as_ref()) {
                wrong.push(format!("{name}: the canary could not be run: {trouble}"));
            } else if !now.contains(name.as_str()) {
                let why = own().find_map(|entry| entry.why.clone());
                let why = why.unwrap_or_else(|| "nobody has it any more".to_owned());
                wrong.push(format!("{name} took work before, and does not now: {why}"));
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use portcall_shared::store::nodes::{CanaryDifference, NodeState};

    use super::*;
    use crate::nodes::tests::node;

    #[test]
    fn slots_are_those_of_nodes_that_take_work() {
        let (mut away, mut other) = (node(), node());
        away.state = NodeState::Unfit;
        other.node.name = "n2".to_owned();
        other.slots = 3;
        let fleet = Fleet::among(&[node(), node(), away, other]);
        assert_eq!((fleet.slots(), fleet.slots_of_a_node(), fleet.nodes.len()), (7, 3, 2));
        assert_eq!(Fleet::among(&[]).slots_of_a_node(), 1);
    }

    #[test]
    fn what_broke_is_told() {
        let fleet = Fleet::among(&[node()]);
        assert_eq!(fleet.broken(&[node()]), Vec::<String>::new());
        assert_eq!(
            fleet.broken(&[]),
            ["n1 took work before, and does not now: nobody has it any more"]
        );
        let mut open = node();
        open.state = NodeState::Unfit;
        open.why = Some("its canary failed".to_owned());
        open.canary.outcome = CanaryOutcome::Failed;
        open.canary.differences = vec![CanaryDifference {
            profile: "strict".to_owned(),
            attempt: "mount".to_owned(),
            expected: "EPERM".to_owned(),
            got: "DONE".to_owned(),
        }];
        assert_eq!(
            fleet.broken(&[open]),
            [
                "n1: the canary got out: mount DONE",
                "n1 took work before, and does not now: its canary failed"
            ]
        );
        let mut sick = node();
        sick.canary.trouble = Some("no room".to_owned());
        assert_eq!(fleet.broken(&[sick]), ["n1: the canary could not be run: no room"]);
    }
}
