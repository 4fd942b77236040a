//! The database as one process sees it: the calls that the queue's protocol makes, and a few of the
//! simulation's own.

use bson::{Bson, Document, doc};
use portcall_shared::{
    domain::ids::WorkerId,
    store::{
        StoreError,
        entries::{Entries, Find, Inserted},
        queue::Claimant,
        workers::WorkerEntry,
    },
};
use time::OffsetDateTime;

use super::{Database, Inner};
use crate::{
    documents,
    history::{Key, key},
    process::Process,
    weather::Plant,
};

/// The database, and who makes calls to it.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) database: Database,
    pub(crate) who: Process,
}

impl Client {
    pub(crate) async fn beat(&self, by: &Claimant) -> Result<(), StoreError> {
        let (by, seen_at) = (by.clone(), self.who.wall());
        let beat = move |inner: &mut Inner| {
            let fresh = WorkerEntry { id: by.id, name: by.name, slots: 1, beat: 0, seen_at };
            inner.roster.entry(by.id).or_insert(fresh).beat += 1;
            ((), None)
        };
        self.database.call(&self.who, "beat", beat).await
    }

    pub(crate) async fn workers(&self) -> Result<Vec<WorkerEntry>, StoreError> {
        let list = |inner: &mut Inner| (inner.roster.values().cloned().collect(), None);
        self.database.call(&self.who, "list the workers", list).await
    }

    pub(crate) async fn forget(&self, id: WorkerId, beat: Option<i64>) -> Result<bool, StoreError> {
        let forget = move |inner: &mut Inner| {
            let is_as_seen = |entry: &WorkerEntry| beat.is_none_or(|beat| entry.beat == beat);
            let goes = inner.roster.get(&id).is_some_and(is_as_seen);
            if goes {
                inner.roster.remove(&id);
            }
            (goes, None)
        };
        self.database.call(&self.who, "take a worker off the list", forget).await
    }
}

impl Entries for Client {
    fn now(&self) -> OffsetDateTime {
        self.who.wall()
    }

    fn schema(&self) -> i32 {
        portcall_shared::store::SCHEMA
    }

    async fn read(&self, doing: &'static str, find: Find) -> Result<Vec<Document>, StoreError> {
        let Find { filter, fields, limit } = find;
        let most = limit.map_or(usize::MAX, |limit| usize::try_from(limit).expect("a number"));
        let look = move |inner: &mut Inner| {
            let found = Inner::matching(&inner.majority, &filter).take(most);
            let shown = found.map(|(_, it)| match &fields {
                Some(fields) => documents::project(it, fields),
                None => it.clone(),
            });
            (shown.collect(), None)
        };
        self.database.call(&self.who, doing, look).await
    }

    async fn insert(
        &self,
        doing: &'static str,
        document: Document,
    ) -> Result<Inserted, StoreError> {
        let id = key(document.get("_id")).expect("an id");
        let insert = move |inner: &mut Inner| {
            if inner.is_taken(&document) {
                return (Inserted::Taken, None);
            }
            inner.write(doing, id, document);
            (Inserted::New, inner.revision(Some(&id)))
        };
        self.database.call(&self.who, doing, insert).await
    }

    async fn change(
        &self,
        doing: &'static str,
        mut filter: Document,
        mut update: Document,
    ) -> Result<u64, StoreError> {
        let change = move |inner: &mut Inner| {
            inner.planted(doing, &mut filter, &mut update);
            let changed = inner.update(doing, &filter, 1, |it| {
                documents::update(it, &filter, &update);
            });
            (changed.len() as u64, inner.revision(changed.first()))
        };
        self.database.call(&self.who, doing, change).await
    }

    async fn change_all(
        &self,
        doing: &'static str,
        filter: Document,
        update: Document,
    ) -> Result<u64, StoreError> {
        let change = move |inner: &mut Inner| {
            let all = usize::MAX;
            let changed = inner.update(doing, &filter, all, |it| {
                documents::update(it, &filter, &update);
            });
            (changed.len() as u64, None)
        };
        self.database.call(&self.who, doing, change).await
    }

    async fn take_next(
        &self,
        doing: &'static str,
        filter: Document,
        mut update: Vec<Document>,
    ) -> Result<Option<Document>, StoreError> {
        let take = move |inner: &mut Inner| {
            if inner.plant == Some(Plant::ClaimWithoutGeneration)
                && let Ok(set) = update[0].get_document_mut("$set")
            {
                set.remove("generation");
            }
            let found = Inner::matching(&inner.primary, &filter);
            let order = |it: &Document| it.get_datetime("order").copied().expect("an order");
            let place = |(id, it): &(Key, &Document)| (order(it), *id);
            let first = match inner.plant {
                Some(Plant::ClaimTheLast) => found.max_by_key(place),
                _ => found.min_by_key(place),
            };
            let first = first.map(|(id, _)| id);
            let Some(id) = first else { return (None, None) };
            let one = doc! { "_id": Bson::from(bson::Uuid::from_bytes(id)) };
            inner.update(doing, &one, 1, |it| documents::pipe(it, &update));
            (inner.primary.get(&id).cloned(), inner.revision(Some(&id)))
        };
        self.database.call(&self.who, doing, take).await
    }
}
