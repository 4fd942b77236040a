//! Contracting: taking away what only older versions need, once none of them is there.
//!
//! ```text
//!   this version                     one that is older
//!   raises the floor                 lists itself
//!   reads the list                   reads the floor
//!   anybody older? lowers it again   is it above me? does not start
//! ```
//!
//! Whichever comes first, one of the two sees the other.

use bson::{Bson, Document, doc};
use mongodb::{Database, error::Error as DriverError, error::ErrorKind};

use super::{Store, StoreError, backup::RESTORING, label_key, processes::ProcessEntry, withheld};
use crate::retry;

/// Something that this version and later ones do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Superseded {
    /// An index.
    Index {
        /// Of which collection.
        collection: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// A field at the top of a collection's documents.
    Field {
        /// Of which collection.
        collection: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// The copy of the workers' key in `meta`, which every user reads.
    LabelKeyInMeta,
    /// What workers noted in `orders`, which they may not write.
    WithheldInOrders,
}

/// What is taken away together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contraction {
    /// The lowest version that does without.
    pub needs: i32,
    /// What goes.
    pub gone: &'static [Superseded],
}

/// Every contraction, oldest first. What is taken away is needed by nobody from that version on; when,
/// is for the operator to say.
pub const CONTRACTIONS: &[Contraction] = &[
    Contraction { needs: label_key::MOVED, gone: &[Superseded::LabelKeyInMeta] },
    Contraction { needs: withheld::APART, gone: &[Superseded::WithheldInOrders] },
];

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contracted {
    /// It is gone; from now on no version lower than this starts.
    Done {
        /// The lowest version that may use the database.
        floor: i32,
    },
    /// These processes would miss it; nothing was taken away.
    Refused(Vec<ProcessEntry>),
}

impl Store {
    /// Takes away what these name, unless a process is listed that needs it.
    ///
    /// # Errors
    /// When the store cannot. What was not finished is finished by the next call.
    pub async fn contract(&self, what: &[Contraction]) -> Result<Contracted, StoreError> {
        let before = self.floor().await?;
        let needs = what.iter().map(|one| one.needs).max().unwrap_or(0).max(before);
        self.set_floor(needs).await?;
        let older: Vec<ProcessEntry> =
            self.processes().await?.into_iter().filter(|p| p.schema < needs).collect();
        if !older.is_empty() {
            self.set_floor(before).await?;
            return Ok(Contracted::Refused(older));
        }
        for one in what.iter().flat_map(|one| one.gone) {
            let (database, one) = (self.database.clone(), *one);
            self.persist(retry::INTERACTIVE, "take away what is superseded", move || {
                take_away(database.clone(), one)
            })
            .await?;
        }
        Ok(Contracted::Done { floor: needs })
    }

    /// The lowest version that may use the database; 0 while nothing was taken away.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn floor(&self) -> Result<i32, StoreError> {
        let meta = self.meta.clone();
        let found = self
            .persist(retry::INTERACTIVE, "read who may use the database", move || {
                let meta = meta.clone();
                async move { meta.find_one(doc! { "_id": "floor" }).await }
            })
            .await?;
        Ok(found.and_then(|floor| floor.get_i32("schema").ok()).unwrap_or(0))
    }

    /// That the database is whole, and for this version.
    pub(super) async fn check_floor(&self) -> Result<(), StoreError> {
        let meta = self.meta.clone();
        let marked = self
            .persist(retry::INTERACTIVE, "read whether the database is whole", move || {
                let meta = meta.clone();
                async move { meta.find_one(doc! { "_id": RESTORING }).await }
            })
            .await?;
        if marked.is_some() {
            return Err(StoreError::Restoring);
        }
        let needs = self.floor().await?;
        match needs > self.schema {
            true => Err(StoreError::TooOld { needs, own: self.schema }),
            false => Ok(()),
        }
    }

    async fn set_floor(&self, schema: i32) -> Result<(), StoreError> {
        let meta = self.meta.clone();
        self.persist(retry::INTERACTIVE, "note who may use the database", move || {
            let meta = meta.clone();
            async move {
                let update = doc! { "$set": { "schema": schema } };
                meta.update_one(doc! { "_id": "floor" }, update).upsert(true).await
            }
        })
        .await
        .map(drop)
    }
}

async fn take_away(database: Database, what: Superseded) -> Result<(), DriverError> {
    match what {
        Superseded::Index { collection, name } => {
            match database.collection::<Document>(collection).drop_index(name).await {
                Err(error) if is_missing(&error) => Ok(()),
                dropped => dropped,
            }
        }
        Superseded::Field { collection, name } => {
            let (there, none) = (doc! { name: { "$exists": true } }, doc! { name: Bson::Null });
            let gone = doc! { "$unset": none };
            database.collection::<Document>(collection).update_many(there, gone).await.map(drop)
        }
        Superseded::LabelKeyInMeta => label_key::leave_meta(&database).await,
        Superseded::WithheldInOrders => withheld::leave_orders(&database).await,
    }
}

fn is_missing(error: &DriverError) -> bool {
    matches!(error.kind.as_ref(), ErrorKind::Command(e)
        if e.code_name == "IndexNotFound" || e.code_name == "NamespaceNotFound")
}
