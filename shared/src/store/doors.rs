//! Doors: events that organisers closed, whatever their rules say about when they are open.
//!
//! One document for each event that was ever closed so: `{_id: slug, closed, at, by}`. It is beside
//! the rules because it is no part of them: closing makes no version, and applying another version
//! opens nothing.

use std::collections::BTreeMap;

use bson::{Document, doc};
use futures::TryStreamExt;
use time::OffsetDateTime;

use super::{
    Store, StoreError,
    documents::{restored, stored},
    tokens::Token,
};
use crate::{domain::ids::EventSlug, retry};

/// That an event is closed by its organisers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Since when.
    pub at: OffsetDateTime,
    /// By whom: the name of a token.
    pub by: String,
}

/// What stands at an event's door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// The number of the current version of its rules.
    pub version: i32,
    /// That it is closed by its organisers, if it is.
    pub closing: Option<Closing>,
}

/// What is done to a door.
#[derive(Clone, Copy)]
enum Turn {
    Close,
    Reopen,
}

impl Store {
    /// Closes an event. One that is closed stays so, since when it is.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn close_event(&self, event: &EventSlug, by: &Token) -> Result<(), StoreError> {
        self.turn("close an event", event, Turn::Close, by).await
    }

    /// Takes the closing of an event back. Its rules may still say that it is closed.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn reopen_event(&self, event: &EventSlug, by: &Token) -> Result<(), StoreError> {
        self.turn("reopen an event", event, Turn::Reopen, by).await
    }

    async fn turn(
        &self,
        doing: &'static str,
        event: &EventSlug,
        turn: Turn,
        by: &Token,
    ) -> Result<(), StoreError> {
        let closed = matches!(turn, Turn::Close);
        let unless_so = doc! { "_id": event.as_str(), "closed": { "$ne": closed } };
        let now = stored(OffsetDateTime::now_utc());
        let update = doc! { "$set": { "closed": closed, "at": now, "by": &by.name } };
        let doors = self.doors.clone();
        let turned = self.persist(retry::INTERACTIVE, doing, move || {
            let (doors, filter, update) = (doors.clone(), unless_so.clone(), update.clone());
            async move { doors.update_one(filter, update).upsert(true).await.map(drop) }
        });
        match turned.await {
            // It is there, and so already.
            Err(error) if error.is_duplicate() => Ok(()),
            turned => turned,
        }
    }

    /// What stands at an event's door, in one question; none if there is no such event.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn door(&self, event: &EventSlug) -> Result<Option<Door>, StoreError> {
        let closed = doc! { "$match": { "_id": event.as_str(), "closed": true } };
        // The first part is answered from an index alone.
        let asked = [
            doc! { "$match": { "slug": event.as_str() } },
            doc! { "$sort": { "version": -1 } },
            doc! { "$limit": 1 },
            doc! { "$project": { "_id": 0, "version": 1 } },
            doc! { "$unionWith": { "coll": self.doors.name(), "pipeline": [closed] } },
        ];
        let events = self.events.clone();
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "read what stands at an event's door", move || {
                let (events, asked) = (events.clone(), asked.clone());
                async move { events.aggregate(asked).await?.try_collect().await }
            })
            .await?;
        let version = found.iter().find_map(|one| one.get_i32("version").ok());
        let closing = found.iter().find_map(closing);
        Ok(version.map(|version| Door { version, closing }))
    }

    /// Whether an event is closed by its organisers.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn event_closing(&self, event: &EventSlug) -> Result<Option<Closing>, StoreError> {
        let found = self.closed(doc! { "_id": event.as_str(), "closed": true }).await?;
        Ok(found.iter().find_map(closing))
    }

    /// Every event that is, by its slug.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn event_closings(&self) -> Result<BTreeMap<String, Closing>, StoreError> {
        let found = self.closed(doc! { "closed": true }).await?;
        let named = |door: &Document| Some((door.get_str("_id").ok()?.to_owned(), closing(door)?));
        Ok(found.iter().filter_map(named).collect())
    }

    async fn closed(&self, filter: Document) -> Result<Vec<Document>, StoreError> {
        let doors = self.doors.clone();
        self.persist(retry::INTERACTIVE, "read which events are closed", move || {
            let (doors, filter) = (doors.clone(), filter.clone());
            async move { doors.find(filter).await?.try_collect().await }
        })
        .await
    }
}

fn closing(door: &Document) -> Option<Closing> {
    let at = restored(*door.get_datetime("at").ok()?);
    Some(Closing { at, by: door.get_str("by").unwrap_or_default().to_owned() })
}
