//! `portcall scale`: how many slots workers keep, and how many workers there are.

use std::collections::BTreeMap;

use clap::Args;
use portcall_shared::{
    settings::Reader,
    store::{
        Store,
        nodes::NodeEntry,
        orders::{MOST_SLOTS, Orders, SlotsOrder, Whom},
    },
};

use crate::{
    database::{For, with},
    deploy::{self, WorkersArgs},
    failure::Failure,
    orders::{known, say, who},
};

#[derive(Args)]
pub(crate) struct ScaleArgs {
    /// So many slots on each node, for all workers of a swarm together (no more than it has room
    /// for), and for each worker of a plain engine; 0 for as many as there would be without an
    /// order. Workers follow within seconds; a slot that goes finishes what it grades first.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=64))]
    slots: Option<u32>,
    /// Only on the node of this name; what is said of a node counts more than what is said of all.
    #[arg(long, value_name = "NAME", requires = "slots")]
    node: Option<String>,
    #[command(flatten)]
    workers: WorkersArgs,
}

pub(crate) async fn run(args: ScaleArgs, reader: Reader) -> Result<(), Failure> {
    match args.workers.workers {
        Some(count) => deploy::workers(count, args.workers, reader).await,
        None => with(reader, For::Use, async |store| slots(args, store).await).await,
    }
}

async fn slots(args: ScaleArgs, store: &Store) -> Result<(), Failure> {
    // Clap's bound is written out.
    const { assert!(MOST_SLOTS == 64) };
    if let Some(slots) = args.slots {
        let whom = match &args.node {
            Some(name) => {
                known(store, name).await?;
                Whom::Node(name)
            }
            None => Whom::All,
        };
        store.order_slots(whom, slots, &who()).await?;
    }
    say(&table(&store.nodes().await?, &store.orders().await?));
    Ok(())
}

/// What is ordered, and what there is.
fn table(nodes: &[NodeEntry], orders: &Orders) -> String {
    let mut by_name: BTreeMap<&str, Vec<&NodeEntry>> = BTreeMap::new();
    for node in nodes {
        by_name.entry(&node.node.name).or_default().push(node);
    }
    let mut lines = vec![format!("all nodes: {}", ordered(orders.slots.as_ref(), "no order"))];
    for (name, entries) in &by_name {
        let own = orders.nodes.get(*name).and_then(|node| node.slots.as_ref());
        let sum = |of: fn(&NodeEntry) -> u32| entries.iter().map(|entry| of(entry)).sum::<u32>();
        let (open, kept, busy) = (sum(|e| e.open), sum(|e| e.slots), sum(|e| e.busy));
        let workers = entries.len();
        let room = entries.iter().find_map(|entry| entry.room);
        let room = room.map(|room| format!(", room for {room}")).unwrap_or_default();
        let ordered = ordered(own, "as all");
        lines.push(format!(
            "{name}: {ordered}; {open} of {kept} slots open, {busy} busy, workers: {workers}{room}"
        ));
    }
    for (name, node) in orders.nodes.iter().filter(|(name, _)| !by_name.contains_key(name.as_str()))
    {
        if let Some(order) = &node.slots {
            lines.push(format!("{name}: {}; no worker has it", ordered(Some(order), "")));
        }
    }
    lines.join("\n")
}

fn ordered(order: Option<&SlotsOrder>, none: &str) -> String {
    match order {
        None => none.to_owned(),
        Some(SlotsOrder { slots: 0, order }) => format!("by capacity, said {}", order.by),
        Some(SlotsOrder { slots, order }) => format!("{slots} slots, said {}", order.by),
    }
}

#[cfg(test)]
mod tests {
    use portcall_shared::store::orders::{NodeOrders, Order};
    use time::OffsetDateTime;

    use super::*;
    use crate::nodes::tests::node;

    #[test]
    fn what_is_ordered_stands_beside_what_there_is() {
        let order = || Order { by: "ann@m1".to_owned(), at: OffsetDateTime::UNIX_EPOCH };
        let of = |slots| NodeOrders {
            slots: Some(SlotsOrder { slots, order: order() }),
            ..NodeOrders::default()
        };
        let mut second = node();
        (second.slots, second.open, second.busy, second.room) = (1, 0, 0, Some(3));
        let orders = Orders {
            slots: Some(SlotsOrder { slots: 3, order: order() }),
            nodes: BTreeMap::from([("n1".to_owned(), of(0)), ("n7".to_owned(), of(2))]),
        };
        assert_eq!(
            table(&[node(), second], &orders),
            "all nodes: 3 slots, said ann@m1\n\
             n1: by capacity, said ann@m1; 2 of 3 slots open, 1 busy, workers: 2, room for 3\n\
             n7: 2 slots, said ann@m1; no worker has it"
        );
        assert_eq!(table(&[], &Orders::default()), "all nodes: no order");
    }
}
