//! Events in the store: every version of every event file, as its text.
//!
//! Each is stamped with the lowest version of Portcall that can read it, and so is every submission
//! made under it: apply a file that uses something new when the deploy that brought it is over.

use std::sync::Arc;

use bson::{Document, doc};
use futures::TryStreamExt;
use time::OffsetDateTime;

use super::{
    Store, StoreError,
    documents::{SCHEMA, restored, stored},
};
use crate::{
    domain::{event::Event, event_file, ids::EventSlug},
    retry,
};

/// One version of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct EventVersion {
    /// From 1.
    pub version: i32,
    /// When it was applied.
    pub applied_at: OffsetDateTime,
    /// The rules.
    pub event: Arc<Event>,
    /// The file it was read from.
    pub source: String,
    /// The lowest version of documents that it can be read with.
    pub schema: i32,
}

/// What is told of a version in a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionHead {
    /// From 1.
    pub version: i32,
    /// When it was applied.
    pub applied_at: OffsetDateTime,
    /// The event's name for people, as it was then.
    pub title: String,
}

/// The lowest version that can read an event: it grows with the first key that older ones refuse.
const LOWEST: i32 = 1;

/// What applying an event file did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppliedEvent {
    /// It is a new version.
    Version(i32),
    /// It is what the current version has already.
    Unchanged(i32),
}

impl Store {
    /// Makes a file the current version of its event.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn apply_event(
        &self,
        event: &Event,
        source: &str,
    ) -> Result<AppliedEvent, StoreError> {
        loop {
            let current = self.event(&event.slug).await?;
            let next = match current {
                Some(current) if current.source == source => {
                    return Ok(AppliedEvent::Unchanged(current.version));
                }
                Some(current) => current.version + 1,
                None => 1,
            };
            let document = doc! {
                "slug": event.slug.as_str(),
                "version": next,
                "title": &event.title,
                "source": source,
                "schema": LOWEST,
                "applied_at": stored(OffsetDateTime::now_utc()),
            };
            let events = self.events.clone();
            let inserted =
                self.call("apply an event", async move { events.insert_one(document).await }).await;
            match inserted {
                Ok(_) => return Ok(AppliedEvent::Version(next)),
                Err(error) if error.is_duplicate() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The current version of an event.
    ///
    /// # Errors
    /// When the store cannot, or what it holds is not valid to this version.
    pub async fn event(&self, slug: &EventSlug) -> Result<Option<EventVersion>, StoreError> {
        self.find_event(doc! { "slug": slug.as_str() }).await
    }

    /// A given version of an event.
    ///
    /// # Errors
    /// When the store cannot, or what it holds is not valid to this version.
    pub async fn event_version(
        &self,
        slug: &EventSlug,
        version: i32,
    ) -> Result<Option<EventVersion>, StoreError> {
        self.find_event(doc! { "slug": slug.as_str(), "version": version }).await
    }

    async fn find_event(&self, filter: Document) -> Result<Option<EventVersion>, StoreError> {
        let events = self.events.clone();
        let found = self
            .persist(retry::INTERACTIVE, "read an event", move || {
                let (events, filter) = (events.clone(), filter.clone());
                async move { events.find_one(filter).sort(doc! { "version": -1 }).await }
            })
            .await?;
        found.as_ref().map(version_from).transpose()
    }

    /// Every version of an event, the current one first, also those that this version cannot read.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn event_versions(&self, slug: &EventSlug) -> Result<Vec<VersionHead>, StoreError> {
        let (events, filter) = (self.events.clone(), doc! { "slug": slug.as_str() });
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "list the versions of an event", move || {
                let (events, filter) = (events.clone(), filter.clone());
                async move {
                    let versions = events.find(filter).sort(doc! { "version": -1 });
                    let heads = versions.projection(doc! { "source": 0 });
                    heads.await?.try_collect().await
                }
            })
            .await?;
        let head = |document: &Document| {
            Some(VersionHead {
                version: document.get_i32("version").ok()?,
                applied_at: restored(*document.get_datetime("applied_at").ok()?),
                title: document.get_str("title").unwrap_or_default().to_owned(),
            })
        };
        Ok(found.iter().filter_map(head).collect())
    }

    /// The current version of every event, by slug. One that this version cannot read is left out
    /// and logged.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn events(&self) -> Result<Vec<EventVersion>, StoreError> {
        let events = self.events.clone();
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "list the events", move || {
                let events = events.clone();
                async move {
                    let all = events.find(doc! {}).sort(doc! { "slug": 1, "version": -1 });
                    all.await?.try_collect().await
                }
            })
            .await?;
        let mut current: Vec<EventVersion> = Vec::new();
        for document in &found {
            let slug = document.get_str("slug").unwrap_or_default();
            if current.last().is_some_and(|e| e.event.slug.as_str() == slug) {
                continue;
            }
            match version_from(document) {
                Ok(version) => current.push(version),
                Err(error) => tracing::warn!(event.slug = slug, %error, "left out an event"),
            }
        }
        Ok(current)
    }
}

fn version_from(document: &Document) -> Result<EventVersion, StoreError> {
    let slug = document.get_str("slug").unwrap_or_default();
    let corrupt = |what| StoreError::Corrupt { id: slug.to_owned(), what };
    let version = document.get_i32("version").map_err(|_| corrupt("version"))?;
    let source = document.get_str("source").map_err(|_| corrupt("source"))?.to_owned();
    // Events that were stored before there was a stamp have none.
    let schema = document.get_i32("schema").unwrap_or(LOWEST);
    let event = event_file::parse(&source).map_err(|source| match schema > SCHEMA {
        true => StoreError::Newer { id: slug.to_owned(), schema },
        false => StoreError::Event { slug: slug.to_owned(), version, source },
    })?;
    let applied_at = document.get_datetime("applied_at").map_err(|_| corrupt("applied_at"))?;
    let (applied_at, event) = (restored(*applied_at), Arc::new(event));
    Ok(EventVersion { version, applied_at, event, source, schema })
}
