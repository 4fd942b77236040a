//! How a suspect lies in MongoDB. A word that only a newer version knows is taken for *quarantined*:
//! it is neither graded beside others nor refused.

use std::collections::BTreeSet;

use bson::{DateTime, Document, Uuid, doc};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    domain::{
        ids::Generation,
        image::Digest,
        suspicion::{Attempt, KEPT_LOSSES, Loss, Standing, Suspicion, Turn},
    },
    store::{
        StoreError,
        documents::{restored, stored, submission_id, uuid, worker_id},
        encode_value,
    },
};

/// How many orders are kept.
const KEPT_ORDERS: i64 = 20;

/// What an operator said of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// What it is to be.
    pub standing: String,
    /// Who said so.
    pub by: String,
    /// When.
    pub at: OffsetDateTime,
    /// Why, in their own words.
    pub note: Option<String>,
}

/// An image of which something is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Which.
    pub digest: Digest,
    /// What is known.
    pub suspicion: Suspicion,
    /// When that changed last.
    pub changed_at: OffsetDateTime,
    /// What operators said of it, the newest last.
    pub orders: Vec<Order>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct SuspectDoc {
    #[serde(rename = "_id")]
    digest: Digest,
    standing: String,
    #[serde(default)]
    losses: Vec<LossDoc>,
    #[serde(default)]
    counting: Vec<AttemptDoc>,
    turn: Option<TurnDoc>,
    #[serde(default)]
    orders: Vec<OrderDoc>,
    changed_at: DateTime,
    revision: i64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct AttemptDoc {
    submission: Uuid,
    generation: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct LossDoc {
    #[serde(flatten)]
    attempt: AttemptDoc,
    at: DateTime,
    machine: String,
    worker: String,
    node: Option<String>,
    with: BTreeSet<Digest>,
    alone: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct TurnDoc {
    #[serde(flatten)]
    attempt: AttemptDoc,
    worker: Uuid,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct OrderDoc {
    standing: String,
    by: String,
    at: DateTime,
    note: Option<String>,
}

/// Of an image that nothing is known of.
pub(super) fn first(digest: &Digest) -> SuspectDoc {
    SuspectDoc {
        digest: digest.clone(),
        standing: Standing::Cleared.as_str().to_owned(),
        losses: Vec::new(),
        counting: Vec::new(),
        turn: None,
        orders: Vec::new(),
        changed_at: stored(OffsetDateTime::now_utc()),
        revision: 0,
    }
}

impl SuspectDoc {
    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    pub(super) fn suspicion(&self) -> Suspicion {
        Suspicion {
            standing: Standing::from_word(&self.standing).unwrap_or(Standing::Quarantined),
            losses: self.losses.iter().map(loss).collect(),
            counting: self.counting.iter().copied().map(attempt).collect(),
            turn: self.turn.as_ref().map(|turn| Turn {
                attempt: attempt(turn.attempt),
                worker: worker_id(turn.worker),
            }),
        }
    }

    pub(super) fn suspect(self) -> Suspect {
        Suspect {
            suspicion: self.suspicion(),
            changed_at: restored(self.changed_at),
            orders: self.orders.into_iter().map(order).collect(),
            digest: self.digest,
        }
    }
}

/// The update that makes a document say what is known next. Losses and orders are added and taken
/// away one by one, so that what a newer version noted of the others stays.
pub(super) fn change(
    known: &Suspicion,
    next: &Suspicion,
    order: Option<&Order>,
) -> Result<Document, StoreError> {
    let counting: Vec<AttemptDoc> = next.counting.iter().copied().map(attempt_doc).collect();
    let turn = next
        .turn
        .as_ref()
        .map(|turn| TurnDoc { attempt: attempt_doc(turn.attempt), worker: uuid(turn.worker) });
    let set = doc! {
        "standing": next.standing.as_str(),
        "counting": encode_value(&counting)?,
        "turn": encode_value(&turn)?,
        "changed_at": stored(OffsetDateTime::now_utc()),
    };
    let mut update = doc! { "$set": set, "$inc": { "revision": 1_i64 } };
    let added = next.losses.iter().filter(|loss| !has(known, loss)).map(loss_doc);
    let added: Vec<LossDoc> = added.collect();
    let kept = i64::try_from(KEPT_LOSSES).unwrap_or(i64::MAX);
    let mut push = doc! {};
    if !added.is_empty() {
        push.insert("losses", doc! { "$each": encode_value(&added)?, "$slice": -kept });
    } else if let Some(gone) = known.losses.iter().find(|loss| !has(next, loss)) {
        let gone = encode_value(&attempt_doc(gone.attempt))?;
        update.insert("$pull", doc! { "losses": gone });
    }
    if let Some(order) = order {
        let order = encode_value(&[order_doc(order)])?;
        push.insert("orders", doc! { "$each": order, "$slice": -KEPT_ORDERS });
    }
    if !push.is_empty() {
        update.insert("$push", push);
    }
    Ok(update)
}

fn has(known: &Suspicion, loss: &Loss) -> bool {
    known.losses.iter().any(|other| other.attempt == loss.attempt)
}

fn attempt(doc: AttemptDoc) -> Attempt {
    Attempt { submission: submission_id(doc.submission), generation: Generation(doc.generation) }
}

fn attempt_doc(attempt: Attempt) -> AttemptDoc {
    AttemptDoc { submission: uuid(attempt.submission), generation: attempt.generation.0 }
}

fn loss(doc: &LossDoc) -> Loss {
    Loss {
        attempt: attempt(doc.attempt),
        at: restored(doc.at),
        machine: doc.machine.clone(),
        worker: doc.worker.clone(),
        node: doc.node.clone(),
        with: doc.with.clone(),
        alone: doc.alone,
    }
}

fn loss_doc(loss: &Loss) -> LossDoc {
    LossDoc {
        attempt: attempt_doc(loss.attempt),
        at: stored(loss.at),
        machine: loss.machine.clone(),
        worker: loss.worker.clone(),
        node: loss.node.clone(),
        with: loss.with.clone(),
        alone: loss.alone,
    }
}

fn order(doc: OrderDoc) -> Order {
    Order { standing: doc.standing, by: doc.by, at: restored(doc.at), note: doc.note }
}

fn order_doc(order: &Order) -> OrderDoc {
    OrderDoc {
        standing: order.standing.clone(),
        by: order.by.clone(),
        at: stored(order.at),
        note: order.note.clone(),
    }
}
