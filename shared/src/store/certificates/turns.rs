//! Whose turn it is to order a certificate.
//!
//! One process orders at a time. Its turn is a document with a generation and a beat; the others watch
//! them on their own monotonic clocks, as of any lease here ([`crate::store::observer`]), and one that stands
//! still is taken over. What must not come too soon, the next try after one that failed, is written when a
//! turn is taken and by the database's clock: a process that dies at every try does not try more often.
//!
//! ```text
//!   free ── take (generation + 1, tries + 1, not before now + pause) ──► held ── beat ──► held
//!     ▲                                                                  │  │
//!     └─────────────── end (issued: tries 0; failed; given back) ◄───────┘  │ silent for a lease
//!                                                                           ▼
//!                                                          take, by another ──► held
//! ```

use std::time::Duration;

use bson::{Bson, DateTime, Document, Uuid, doc};
use serde::Deserialize;

use super::{CertificateSet, TURN};
use crate::{
    retry,
    store::{Store, StoreError, decode, documents::uuid},
};

/// Whose turn it is, as it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Who orders, if anybody does.
    pub holder: Option<uuid::Uuid>,
    /// How many turns there were.
    pub generation: i64,
    /// How often the holder said that it is there.
    pub beat: i64,
    /// How many turns ended without a certificate since there was one.
    pub tries: i32,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnEnd {
    /// With a certificate.
    Issued,
    /// Without one.
    Failed,
    /// It was given back: the process ends.
    GivenBack,
}

#[derive(Deserialize)]
struct TurnDoc {
    holder: Option<Uuid>,
    generation: i64,
    beat: i64,
    tries: i32,
}

impl Turn {
    pub(super) fn read(document: Document) -> Result<Self, StoreError> {
        let TurnDoc { holder, generation, beat, tries } = decode(document)?;
        let holder = holder.map(|id| uuid::Uuid::from_bytes(id.bytes()));
        Ok(Self { holder, generation, beat, tries })
    }
}

impl Store {
    /// Takes the turn as it was seen; its generation, unless somebody else was first or the pause after
    /// the try before is not over. After this one the pause is `pause`.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn take_turn(
        &self,
        set: &CertificateSet,
        me: uuid::Uuid,
        seen: Option<Turn>,
        pause: Duration,
    ) -> Result<Option<i64>, StoreError> {
        let seen = match seen {
            Some(seen) => seen,
            None => self.first_turn(set).await?,
        };
        let next = seen.generation + 1;
        let filter = doc! {
            "_id": set.turn(),
            "generation": seen.generation,
            "beat": seen.beat,
            "$expr": { "$lte": [{ "$ifNull": ["$not_before", DateTime::MIN] }, "$$NOW"] },
        };
        let pause = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        let update = vec![doc! { "$set": {
            "holder": uuid(me),
            "generation": next,
            "beat": 0_i64,
            "tries": { "$add": ["$tries", 1] },
            "not_before": { "$add": ["$$NOW", pause] },
        } }];
        let certificates = self.certificates.clone();
        let taken = self
            .persist(retry::INTERACTIVE, "take a turn", move || {
                let (certificates, filter, update) =
                    (certificates.clone(), filter.clone(), update.clone());
                async move { certificates.update_one(filter, update).await }
            })
            .await?;
        if taken.matched_count == 1 {
            return Ok(Some(next));
        }
        // An earlier try may have done it, whose answer was lost.
        let turn = self.certificate_state(set).await?.turn.unwrap_or_default();
        Ok((turn.holder == Some(me) && turn.generation == next).then_some(next))
    }

    async fn first_turn(&self, set: &CertificateSet) -> Result<Turn, StoreError> {
        let (certificates, filter) = (self.certificates.clone(), doc! { "_id": set.turn() });
        let fresh = doc! { "$setOnInsert": {
            "kind": TURN, "holder": Bson::Null, "generation": 0_i64, "beat": 0_i64, "tries": 0_i32,
        } };
        self.persist(retry::INTERACTIVE, "begin with turns", move || {
            let (certificates, filter, fresh) =
                (certificates.clone(), filter.clone(), fresh.clone());
            async move { certificates.update_one(filter, fresh).upsert(true).await }
        })
        .await?;
        Ok(Turn::default())
    }

    /// Says that the holder of a turn is there; whether it still is the holder.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn beat_turn(
        &self,
        set: &CertificateSet,
        me: uuid::Uuid,
        generation: i64,
    ) -> Result<bool, StoreError> {
        self.update_turn(set, me, generation, doc! { "$inc": { "beat": 1_i64 } }).await
    }

    /// Ends a turn, for others to take one; whether it was still the holder's.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn end_turn(
        &self,
        set: &CertificateSet,
        me: uuid::Uuid,
        generation: i64,
        end: TurnEnd,
    ) -> Result<bool, StoreError> {
        let mut update = doc! { "$set": { "holder": Bson::Null } };
        match end {
            TurnEnd::Issued => {
                drop(update.insert("$set", doc! { "holder": Bson::Null, "tries": 0 }))
            }
            TurnEnd::Failed => {}
            TurnEnd::GivenBack => {
                update.insert("$inc", doc! { "tries": -1 });
                update.insert("$unset", doc! { "not_before": "" });
            }
        }
        self.update_turn(set, me, generation, update).await
    }

    async fn update_turn(
        &self,
        set: &CertificateSet,
        me: uuid::Uuid,
        generation: i64,
        update: Document,
    ) -> Result<bool, StoreError> {
        let filter = doc! { "_id": set.turn(), "holder": uuid(me), "generation": generation };
        let certificates = self.certificates.clone();
        let updated = self
            .persist(retry::INTERACTIVE, "keep a turn", move || {
                let (certificates, filter, update) =
                    (certificates.clone(), filter.clone(), update.clone());
                async move { certificates.update_one(filter, update).await }
            })
            .await?;
        Ok(updated.matched_count == 1)
    }
}
