//! Orders: what operators want of nodes, by the nodes' names. Workers read them every few seconds
//! and follow; whether they have, they say with their [nodes](super::nodes).
//!
//! ```text
//!   portcall ──► orders ──► every worker with a slot on that node ──► nodes ──► portcall
//! ```
//!
//! One document for each node that was ever spoken of, and one for all nodes. Each order is written
//! for itself, with who gave it and when, and leaves everything else in its document as it is. An
//! order for a node outlives it: a machine that comes back by its name is still drained. Workers write
//! none of it: what they note of their following is in [`withheld`](super::withheld).

use std::collections::BTreeMap;

use bson::{Bson, DateTime, Document, doc};
use futures::TryStreamExt;
use mongodb::options::ReturnDocument;
use serde::Deserialize;
use time::OffsetDateTime;

pub use super::withheld::Withheld;
use super::{
    Store, StoreError, decode,
    documents::{restored, stored},
};
use crate::retry;

/// The most slots that can be ordered for a node.
pub const MOST_SLOTS: u32 = 64;

/// Who gave an order, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Who, for people.
    pub by: String,
    /// When, by the clock of whoever gave it.
    pub at: OffsetDateTime,
}

/// How many slots there are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotsOrder {
    /// So many on a node, for all workers of a swarm together and for each worker of a plain
    /// engine; 0 for as many as there would be without an order.
    pub slots: u32,
    /// Whose order it is.
    pub order: Order,
}

/// The wish for an examination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryOrder {
    /// Grows with every such order for the node; the first is 1.
    pub number: u64,
    /// Whose order it is.
    pub order: Order,
}

/// What is wanted of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeOrders {
    /// It is to take no work.
    pub drained: Option<Order>,
    /// It is to be examined.
    pub canary: Option<CanaryOrder>,
    /// How many slots there are to be on it.
    pub slots: Option<SlotsOrder>,
    /// It was a worker, for such an order, that told the Docker endpoint to keep work away from it;
    /// nobody else's word there is ever taken back.
    pub withheld: bool,
}

/// What is wanted of all nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// How many slots there are to be on each, where nothing is said of it.
    pub slots: Option<SlotsOrder>,
    /// By the names of the nodes.
    pub nodes: BTreeMap<String, NodeOrders>,
}

impl Orders {
    /// The order that drained a node, if one did.
    #[must_use]
    pub fn drained(&self, node: &str) -> Option<&Order> {
        self.nodes.get(node)?.drained.as_ref()
    }

    /// The number of the newest order to examine a node; 0 if there is none.
    #[must_use]
    pub fn canary(&self, node: &str) -> u64 {
        let order = self.nodes.get(node).and_then(|node| node.canary.as_ref());
        order.map_or(0, |order| order.number)
    }

    /// How many slots were ordered for a node, for itself or with all; none for as many as there
    /// would be without an order.
    #[must_use]
    pub fn slots(&self, node: &str) -> Option<u32> {
        let own = self.nodes.get(node).and_then(|node| node.slots.as_ref());
        own.or(self.slots.as_ref()).map(|order| order.slots).filter(|slots| *slots > 0)
    }

    /// Whether a worker told the endpoint to keep work away from a node.
    #[must_use]
    pub fn withheld(&self, node: &str) -> bool {
        self.nodes.get(node).is_some_and(|node| node.withheld)
    }
}

/// Of which nodes an order speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom<'a> {
    /// Of every one that no order speaks of by name.
    All,
    /// Of the one with this name.
    Node(&'a str),
}

const ALL: &str = "all";
pub(super) const NODE: &str = "node ";

impl Whom<'_> {
    pub(super) fn key(self) -> String {
        match self {
            Self::All => ALL.to_owned(),
            Self::Node(name) => format!("{NODE}{name}"),
        }
    }
}

#[derive(Deserialize)]
struct OrdersDoc {
    drained: Option<OrderDoc>,
    canary: Option<CanaryDoc>,
    slots: Option<SlotsDoc>,
    /// Of a version that noted it here.
    #[serde(default)]
    withheld: bool,
}

#[derive(Deserialize)]
struct OrderDoc {
    by: String,
    at: DateTime,
}

#[derive(Deserialize)]
struct CanaryDoc {
    number: u64,
    by: String,
    at: DateTime,
}

#[derive(Deserialize)]
struct SlotsDoc {
    slots: u32,
    by: String,
    at: DateTime,
}

impl Store {
    /// Everything that is ordered.
    ///
    /// # Errors
    /// When the store cannot, or what is said of all nodes cannot be read.
    pub async fn orders(&self) -> Result<Orders, StoreError> {
        let orders = self.orders.clone();
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "read the orders", move || {
                let orders = orders.clone();
                async move { orders.find(doc! {}).await?.try_collect().await }
            })
            .await?;
        let mut orders = Orders::default();
        for document in found {
            let id = document.get_str("_id").unwrap_or_default().to_owned();
            match id.strip_prefix(NODE) {
                Some(name) => _ = orders.nodes.insert(name.to_owned(), node_orders(document)),
                None if id == ALL => {
                    let all: OrdersDoc = decode(document)?;
                    orders.slots = all.slots.map(slots);
                }
                // What a newer version orders otherwise.
                None => {}
            }
        }
        for (name, by) in self.withheld().await? {
            match (orders.nodes.get_mut(&name), by == Withheld::ByWorker) {
                (Some(node), withheld) => node.withheld = withheld,
                (None, true) => orders.nodes.entry(name).or_default().withheld = true,
                (None, false) => {}
            }
        }
        Ok(orders)
    }

    /// Has a node take no work.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn order_drain(&self, node: &str, by: &str) -> Result<(), StoreError> {
        let update = doc! { "$set": { "drained": order_doc(by) } };
        self.order(Whom::Node(node), update).await.map(drop)
    }

    /// Has a node take work again.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn order_undrain(&self, node: &str, by: &str) -> Result<(), StoreError> {
        let update = doc! { "$unset": { "drained": "" }, "$set": { "undrained": order_doc(by) } };
        self.order(Whom::Node(node), update).await.map(drop)
    }

    /// Has every worker on a node examine it now; the number of this order.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn order_canary(&self, node: &str, by: &str) -> Result<u64, StoreError> {
        let at = stored(OffsetDateTime::now_utc());
        let update = doc! {
            "$set": { "canary.by": by, "canary.at": at },
            "$inc": { "canary.number": 1_i64 },
        };
        let written = self.order(Whom::Node(node), update).await?;
        let corrupt = || StoreError::Corrupt { id: Whom::Node(node).key(), what: "canary" };
        let document: OrdersDoc = decode(written.ok_or_else(corrupt)?)?;
        document.canary.map(|canary| canary.number).ok_or_else(corrupt)
    }

    /// Has workers keep so many slots, at most [`MOST_SLOTS`], on a node or on each; 0 for as many
    /// as they would without an order.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn order_slots(
        &self,
        whom: Whom<'_>,
        slots: u32,
        by: &str,
    ) -> Result<(), StoreError> {
        let mut order = order_doc(by);
        order.insert("slots", i64::from(slots.min(MOST_SLOTS)));
        self.order(whom, doc! { "$set": { "slots": order } }).await.map(drop)
    }

    async fn order(
        &self,
        whom: Whom<'_>,
        update: Document,
    ) -> Result<Option<Document>, StoreError> {
        let (orders, filter) = (self.orders.clone(), doc! { "_id": whom.key() });
        let write = async move {
            let after = ReturnDocument::After;
            orders.find_one_and_update(filter, update).upsert(true).return_document(after).await
        };
        // Not repeated by us: an examination more than was asked for would do no harm, but whoever
        // gave an order hears whether it was taken.
        self.call("write an order", write).await
    }
}

fn order_doc(by: &str) -> Document {
    doc! { "by": by, "at": stored(OffsetDateTime::now_utc()) }
}

fn order(by: String, at: DateTime) -> Order {
    Order { by, at: restored(at) }
}

fn slots(doc: SlotsDoc) -> SlotsOrder {
    SlotsOrder { slots: doc.slots, order: order(doc.by, doc.at) }
}

fn canary(doc: CanaryDoc) -> CanaryOrder {
    CanaryOrder { number: doc.number, order: order(doc.by, doc.at) }
}

/// A node of which something is said that cannot be read is left alone if that may be that it is
/// drained.
fn node_orders(document: Document) -> NodeOrders {
    let is_drained = matches!(document.get("drained"), Some(drained) if *drained != Bson::Null);
    let doc: OrdersDoc = match decode(document) {
        Ok(doc) => doc,
        Err(error) => {
            tracing::error!(%error, "an order cannot be read");
            let unread = Order { by: "?".to_owned(), at: OffsetDateTime::UNIX_EPOCH };
            return NodeOrders { drained: is_drained.then_some(unread), ..NodeOrders::default() };
        }
    };
    NodeOrders {
        drained: doc.drained.map(|drained| order(drained.by, drained.at)),
        canary: doc.canary.map(canary),
        slots: doc.slots.map(slots),
        withheld: doc.withheld,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Order {
        Order { by: "somebody".to_owned(), at: OffsetDateTime::UNIX_EPOCH }
    }

    #[test]
    fn what_is_said_of_a_node_counts_more_than_what_is_said_of_all() {
        let slots = |slots| Some(SlotsOrder { slots, order: order() });
        let of = |all, own| {
            let node = NodeOrders { slots: own, ..NodeOrders::default() };
            Orders { slots: all, nodes: BTreeMap::from([("n1".to_owned(), node)]) }
        };
        for (all, own, said) in [
            (None, None, None),
            (slots(3), None, Some(3)),
            (slots(3), slots(5), Some(5)),
            (slots(3), slots(0), None),
            (slots(0), None, None),
            (None, slots(1), Some(1)),
        ] {
            assert_eq!(of(all.clone(), own.clone()).slots("n1"), said, "{all:?} {own:?}");
        }
        assert_eq!(of(slots(3), slots(5)).slots("n2"), Some(3), "of others nothing is said");
    }

    #[test]
    fn nothing_is_ordered_of_a_node_that_was_not_spoken_of() {
        let drained = NodeOrders { drained: Some(order()), ..NodeOrders::default() };
        let orders = Orders { slots: None, nodes: BTreeMap::from([("n1".to_owned(), drained)]) };
        assert_eq!(orders.drained("n1"), Some(&order()));
        assert_eq!((orders.drained("n2"), orders.canary("n2")), (None, 0));
        assert!(!orders.withheld("n1") && !orders.withheld("n2"));
    }
}
