//! From which nodes a worker told the Docker endpoint to keep work away: so much of the orders' doing
//! is noted by workers, and in a collection of its own, `withheld`, since their user may not give
//! orders. Whoever stole it could otherwise undrain nodes.
//!
//! Versions before [`APART`] note it in `orders`, with what is ordered. What they noted there counts
//! until something is said of the node in `withheld`, or [contracting](super::contract) moves it; they
//! read nothing of what is noted here. So a node that a worker of this version withheld is, after a
//! return to one of them, given back at the endpoint itself.

use std::collections::BTreeMap;

use bson::{Document, doc};
use futures::TryStreamExt;
use mongodb::{Database, error::Error as DriverError};

use super::{
    Store, StoreError,
    orders::{NODE, Whom},
};
use crate::retry;

/// The first version that notes it in `withheld`.
pub(super) const APART: i32 = 2;

/// Whose word keeps work away from a node at its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// A worker's, for an operator's order.
    ByWorker,
    /// Nobody's, or somebody's at the endpoint itself.
    NotByWorker,
}

impl Store {
    /// Notes whether it was a worker that told the endpoint to keep work away from a node: before
    /// it is told so, and after it was told otherwise.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn note_withheld(&self, node: &str, by: Withheld) -> Result<(), StoreError> {
        let (withheld, filter) = (self.withheld.clone(), doc! { "_id": Whom::Node(node).key() });
        let update = doc! { "$set": { "withheld": by == Withheld::ByWorker } };
        let write = async move { withheld.update_one(filter, update).upsert(true).await };
        self.call("note what was told of a node", write).await.map(drop)
    }

    /// What is noted, by the nodes' names.
    pub(super) async fn withheld(&self) -> Result<BTreeMap<String, Withheld>, StoreError> {
        let withheld = self.withheld.clone();
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "read what was told of nodes", move || {
                let withheld = withheld.clone();
                async move { withheld.find(doc! {}).await?.try_collect().await }
            })
            .await?;
        Ok(found.iter().filter_map(read).collect())
    }
}

fn read(document: &Document) -> Option<(String, Withheld)> {
    let node = document.get_str("_id").ok()?.strip_prefix(NODE)?;
    let by = match document.get_bool("withheld").ok()? {
        true => Withheld::ByWorker,
        false => Withheld::NotByWorker,
    };
    Some((node.to_owned(), by))
}

/// Moves what is in `orders`.
pub(super) async fn leave_orders(database: &Database) -> Result<(), DriverError> {
    let collection = |name| database.collection::<Document>(name);
    let (orders, withheld) = (collection("orders"), collection("withheld"));
    let mut found = orders.find(doc! { "withheld": true }).await?;
    while let Some(order) = found.try_next().await? {
        let (node, unless_there) =
            (order.get("_id"), doc! { "$setOnInsert": { "withheld": true } });
        withheld.update_one(doc! { "_id": node }, unless_there).upsert(true).await?;
    }
    let (there, gone) =
        (doc! { "withheld": { "$exists": true } }, doc! { "$unset": { "withheld": "" } });
    orders.update_many(there, gone).await.map(drop)
}
