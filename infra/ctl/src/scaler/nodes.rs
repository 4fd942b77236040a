//! The grader nodes as the scaler sees them, and which of them are to go.
//!
//! A node that an operator drained is the operator's: it counts for nothing here, and stays. A node that
//! the scaler drained goes when every worker says that nothing runs on it any more, and if its name can be
//! believed to be its machine's: a node called by its id has none.

use std::collections::BTreeMap;

use portcall_shared::{
    domain::host_name::HostName,
    store::{
        nodes::{NodeDuty, NodeEntry, NodeState},
        orders::Orders,
    },
};

/// Who the scaler is in orders.
pub(crate) const BY: &str = "portcall scaler";

/// How a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    /// It takes work.
    Working,
    /// It was not examined yet: it soon takes work.
    Coming,
    /// It takes none, by a fault of its own.
    Unfit,
    /// The scaler drained it, and something still runs there.
    Draining,
    /// The scaler drained it, and nothing runs there.
    Drained,
    /// It is an operator's affair: drained by hand, or its endpoint cannot reach it.
    Away,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Its name.
    pub(crate) name: String,
    /// The machine that it is, if that can be told.
    pub(crate) machine: Option<HostName>,
    /// How it stands.
    pub(crate) stands: Stands,
    /// Its slots for all workers together.
    pub(crate) slots: u32,
    /// How many submissions are graded there.
    pub(crate) busy: u32,
}

/// The nodes by name; several workers speak of each.
pub(crate) fn see(entries: &[NodeEntry], orders: &Orders) -> Vec<Node> {
    let mut by_name: BTreeMap<&str, Vec<&NodeEntry>> = BTreeMap::new();
    for entry in entries {
        by_name.entry(&entry.node.name).or_default().push(entry);
    }
    let node = |(name, said): (&str, Vec<&NodeEntry>)| Node {
        name: name.to_owned(),
        machine: machine(name, said.iter().map(|n| n.post.as_str())),
        stands: stands(name, &said, orders),
        slots: said.iter().find_map(|n| n.room).unwrap_or(said.iter().map(|n| n.slots).sum()),
        busy: said.iter().map(|n| n.busy).sum(),
    };
    by_name.into_iter().map(node).collect()
}

/// Workers call a node by the name of its machine, unless that is no plain one or another's too.
fn machine<'a>(name: &str, mut ids: impl Iterator<Item = &'a str>) -> Option<HostName> {
    let by_id = ids.any(|id| id == name);
    name.parse().ok().filter(|_| !by_id)
}

fn stands(name: &str, said: &[&NodeEntry], orders: &Orders) -> Stands {
    let every = |duty: NodeDuty| said.iter().all(|node| node.duty == duty);
    match orders.drained(name) {
        Some(order) if order.by != BY => Stands::Away,
        Some(_) if every(NodeDuty::Drained) => Stands::Drained,
        Some(_) => Stands::Draining,
        None if said.iter().any(|node| node.takes_work()) => Stands::Working,
        None if every(NodeDuty::Down) => Stands::Away,
        // The workers have not heard yet that it may work again.
        None if said.iter().any(|n| matches!(n.duty, NodeDuty::Draining | NodeDuty::Drained)) => {
            Stands::Coming
        }
        None if said.iter().any(|node| node.state == NodeState::Unchecked) => Stands::Coming,
        None => Stands::Unfit,
    }
}

/// What is to be ordered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Orderly {
    /// Nodes that are to be drained.
    pub(crate) drain: Vec<String>,
    /// Nodes that are to work again.
    pub(crate) undrain: Vec<String>,
    /// Names that were drained, of nodes that are gone: whoever comes by them is to work.
    pub(crate) forget: Vec<String>,
}

/// Brings the nodes that work to so many, as far as draining does. `offered` are those that the
/// operator's command was told that it may remove: they do not come back.
pub(crate) fn bring(nodes: &[Node], orders: &Orders, wanted: u32, offered: &[HostName]) -> Orderly {
    let serving: Vec<&Node> = nodes
        .iter()
        .filter(|n| matches!(n.stands, Stands::Working | Stands::Coming | Stands::Unfit))
        .collect();
    let useful = serving.iter().filter(|n| n.stands != Stands::Unfit).count();
    let (useful, wanted) = (u32::try_from(useful).unwrap_or(u32::MAX), wanted);
    let mut orderly = Orderly { forget: gone(nodes, orders), ..Orderly::default() };
    if wanted > useful {
        let back = nodes
            .iter()
            .filter(|n| matches!(n.stands, Stands::Draining | Stands::Drained))
            .filter(|n| n.machine.as_ref().is_none_or(|machine| !offered.contains(machine)));
        orderly.undrain = back.map(|n| n.name.clone()).take((wanted - useful) as usize).collect();
        return orderly;
    }
    let mut first_to_go = serving;
    // What takes no work goes first, then what does least; of equals the one that came last by name.
    first_to_go.sort_by(|a, b| {
        let rank = |n: &Node| match n.stands {
            Stands::Unfit => 0,
            Stands::Coming => 1,
            _ => 2,
        };
        (rank(a), a.busy).cmp(&(rank(b), b.busy)).then_with(|| b.name.cmp(&a.name))
    });
    let too_many = first_to_go.len().saturating_sub(wanted as usize);
    orderly.drain = first_to_go.into_iter().take(too_many).map(|n| n.name.clone()).collect();
    orderly
}

fn gone(nodes: &[Node], orders: &Orders) -> Vec<String> {
    let ours = |name: &str| orders.drained(name).is_some_and(|order| order.by == BY);
    let there = |name: &str| nodes.iter().any(|node| node.name == name);
    orders.nodes.keys().filter(|name| ours(name) && !there(name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use portcall_shared::store::orders::{NodeOrders, Order};
    use time::OffsetDateTime;

    use super::*;

    fn node(name: &str, stands: Stands, busy: u32) -> Node {
        Node { name: name.to_owned(), machine: name.parse().ok(), stands, slots: 2, busy }
    }

    fn drained(by: &str, names: &[&str]) -> Orders {
        let order = || Order { by: by.to_owned(), at: OffsetDateTime::UNIX_EPOCH };
        let of = |name: &&str| {
            let orders = NodeOrders { drained: Some(order()), ..NodeOrders::default() };
            ((*name).to_owned(), orders)
        };
        Orders { slots: None, nodes: names.iter().map(of).collect() }
    }

    #[test]
    fn the_useless_and_the_idle_go_first() {
        use Stands::{Away, Coming, Unfit, Working};
        let nodes = [
            node("a", Working, 2),
            node("b", Working, 0),
            node("c", Working, 0),
            node("d", Unfit, 0),
            node("e", Coming, 0),
            node("f", Away, 0),
        ];
        for (wanted, go) in [
            (4, vec!["d"]),
            (3, vec!["d", "e"]),
            (2, vec!["d", "e", "c"]),
            (1, vec!["d", "e", "c", "b"]),
            (0, vec!["d", "e", "c", "b", "a"]),
        ] {
            let orderly = bring(&nodes, &Orders::default(), wanted, &[]);
            assert_eq!(orderly.drain, go, "{wanted} wanted");
            assert!(orderly.undrain.is_empty());
        }
        // None that works goes when there are as many of them as are wanted, or fewer.
        assert!(bring(&nodes, &Orders::default(), 5, &[]).drain.is_empty());
    }

    #[test]
    fn what_was_drained_comes_back_before_a_new_one_is_wanted() {
        use Stands::{Away, Drained, Draining, Working};
        let nodes = [
            node("a", Working, 1),
            node("b", Draining, 1),
            node("c", Drained, 0),
            node("d", Drained, 0),
            node("e", Away, 0),
        ];
        let orders = drained(BY, &["b", "c", "d"]);
        for (wanted, offered, back) in [
            (1, vec![], vec![]),
            (2, vec![], vec!["b"]),
            (3, vec![], vec!["b", "c"]),
            (9, vec![], vec!["b", "c", "d"]),
            (9, vec!["c".parse().unwrap()], vec!["b", "d"]),
        ] {
            let orderly = bring(&nodes, &orders, wanted, &offered);
            assert_eq!(orderly.undrain, back, "{wanted} wanted");
            assert!(orderly.drain.is_empty());
        }
    }

    #[test]
    fn a_machine_is_told_by_a_plain_name_that_is_no_id() {
        for (name, ids, told) in [
            ("portcall-g1", &["n1", "n1"][..], true),
            ("n1", &["n1"], false),
            ("n1", &["n2", "n1"], false),
            ("x portcall-g1", &["n1"], false),
        ] {
            let machine = machine(name, ids.iter().copied());
            assert_eq!(machine.as_ref().map(HostName::as_str), told.then_some(name), "{name}");
        }
    }

    #[test]
    fn a_name_is_free_again_when_its_node_is_gone() {
        let nodes = [node("a", Stands::Working, 0), node("b", Stands::Drained, 0)];
        let orderly = bring(&nodes, &drained(BY, &["b", "c"]), 1, &[]);
        assert_eq!(orderly.forget, ["c"]);
        let by_hand = bring(&nodes, &drained("somebody", &["b", "c"]), 1, &[]);
        assert!(by_hand.forget.is_empty(), "an operator's order outlives the node");
    }
}
