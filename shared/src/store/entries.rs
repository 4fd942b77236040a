//! Where the queue's entries lie: the documents of submissions.
//!
//! [`Entries`] is all that the protocol of the queue (`mongo_queue`) asks of a database: calls on
//! single documents, each of them one try. [`Store`] makes them to MongoDB. The simulation of the
//! grading core (`worker/tests/simulation`) answers them from memory, and loses, delays and takes
//! back what a database may. What is tried again, and what a lost answer means, is left to the
//! protocol, which is one for both.

use std::{
    future::{self, Future},
    time::Duration,
};

use bson::{Document, doc};
use futures::TryStreamExt;
use mongodb::options::{ReadConcern, ReturnDocument};
use time::OffsetDateTime;

use super::{Store, StoreError, counted, queue::Lease};
pub use super::{
    mongo_queue::{cancel, requeue},
    submissions::take,
};
use crate::{domain::verdict::Reason, retry::Policy};

/// How long the server may take to claim one. Shorter than whoever waits for it does: what is claimed
/// later is claimed for nobody.
const CLAIM: Duration = Duration::from_secs(8);

/// Which documents are looked for, and what of them.
#[derive(Clone, Debug)]
pub struct Find {
    /// Which.
    pub filter: Document,
    /// The fields that are read; none for all.
    pub fields: Option<Document>,
    /// How many at the most.
    pub limit: Option<i64>,
}

/// What became of a new document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is stored.
    New,
    /// Another one has its id, its lane or its key: nothing is stored.
    Taken,
}

/// The documents of submissions, as the queue asks for them. Each call is one try.
pub trait Entries: Clone + Send + Sync + 'static {
    /// What time it is, by the clock of the process that asks.
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    /// The version that the process speaks.
    fn schema(&self) -> i32;

    /// Notes that a worker fell silent with the images that it was grading; why they are not to be
    /// graded any more, if so. Nothing is known of images where nobody keeps note of them.
    fn lost_with_worker(
        &self,
        _lease: Lease,
    ) -> impl Future<Output = Result<Option<Reason>, StoreError>> + Send {
        future::ready(Ok(None))
    }

    /// Takes back what was noted so: the lease has not ended by that.
    fn not_lost(&self, _lease: Lease) -> impl Future<Output = Result<(), StoreError>> + Send {
        future::ready(Ok(()))
    }

    /// Reads what is safe from being rolled back.
    fn read(
        &self,
        doing: &'static str,
        find: Find,
    ) -> impl Future<Output = Result<Vec<Document>, StoreError>> + Send;

    /// The same with what an earlier try of this process did: a majority may not have it yet, and who
    /// reads what is safe would take it for not done. It is safe when this answers.
    fn read_after(
        &self,
        doing: &'static str,
        find: Find,
    ) -> impl Future<Output = Result<Vec<Document>, StoreError>> + Send {
        self.read(doing, find)
    }

    /// Stores a new one.
    fn insert(
        &self,
        doing: &'static str,
        document: Document,
    ) -> impl Future<Output = Result<Inserted, StoreError>> + Send;

    /// Updates the one document that matches; how many did.
    fn change(
        &self,
        doing: &'static str,
        filter: Document,
        update: Document,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Updates all that match; how many changed.
    fn change_all(
        &self,
        doing: &'static str,
        filter: Document,
        update: Document,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Updates the first that matches, in fair order; the document as it is then.
    fn take_next(
        &self,
        doing: &'static str,
        filter: Document,
        update: Vec<Document>,
    ) -> impl Future<Output = Result<Option<Document>, StoreError>> + Send;
}

/// A call that is repeated by a policy while it may go better.
pub(super) async fn persist<T, Fut>(
    policy: Policy,
    doing: &'static str,
    call: impl FnMut() -> Fut,
) -> Result<T, StoreError>
where
    Fut: Future<Output = Result<T, StoreError>>,
{
    policy.run(|error: &StoreError| counted(policy, doing, error), call).await
}

impl Entries for Store {
    fn schema(&self) -> i32 {
        self.schema
    }

    async fn lost_with_worker(&self, lease: Lease) -> Result<Option<Reason>, StoreError> {
        Self::lost_with_worker(self, lease).await
    }

    async fn not_lost(&self, lease: Lease) -> Result<(), StoreError> {
        Self::not_lost(self, lease).await
    }

    async fn read(&self, doing: &'static str, find: Find) -> Result<Vec<Document>, StoreError> {
        self.read_by(ReadConcern::majority(), doing, find).await
    }

    async fn read_after(
        &self,
        doing: &'static str,
        find: Find,
    ) -> Result<Vec<Document>, StoreError> {
        self.read_by(ReadConcern::linearizable(), doing, find).await
    }

    async fn insert(
        &self,
        doing: &'static str,
        document: Document,
    ) -> Result<Inserted, StoreError> {
        let submissions = self.submissions.clone();
        let inserted = async move { submissions.insert_one(document).await };
        match self.call(doing, inserted).await {
            Ok(_) => Ok(Inserted::New),
            Err(error) if error.is_duplicate() => Ok(Inserted::Taken),
            Err(error) => Err(error),
        }
    }

    async fn change(
        &self,
        doing: &'static str,
        filter: Document,
        update: Document,
    ) -> Result<u64, StoreError> {
        let submissions = self.submissions.clone();
        let updated = async move { submissions.update_one(filter, update).await };
        Ok(self.call(doing, updated).await?.matched_count)
    }

    async fn change_all(
        &self,
        doing: &'static str,
        filter: Document,
        update: Document,
    ) -> Result<u64, StoreError> {
        let submissions = self.submissions.clone();
        let updated = async move { submissions.update_many(filter, update).await };
        Ok(self.call(doing, updated).await?.modified_count)
    }

    async fn take_next(
        &self,
        doing: &'static str,
        filter: Document,
        update: Vec<Document>,
    ) -> Result<Option<Document>, StoreError> {
        let submissions = self.submissions.clone();
        let taken = async move {
            submissions
                .find_one_and_update(filter, update)
                .sort(doc! { "order": 1, "_id": 1 })
                .return_document(ReturnDocument::After)
                .max_time(CLAIM)
                .await
        };
        self.call(doing, taken).await
    }
}

impl Store {
    async fn read_by(
        &self,
        concern: ReadConcern,
        doing: &'static str,
        find: Find,
    ) -> Result<Vec<Document>, StoreError> {
        let submissions = self.submissions.clone();
        let found = async move {
            let mut looked = submissions.find(find.filter).read_concern(concern);
            if let Some(fields) = find.fields {
                looked = looked.projection(fields);
            }
            if let Some(limit) = find.limit {
                looked = looked.limit(limit);
            }
            looked.await?.try_collect().await
        };
        self.call(doing, found).await
    }
}
