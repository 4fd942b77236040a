//! Events in the store: every version of every event file, as its text.
//!
//! Each is stamped with the lowest version of Portcall that can read it, and so is every submission
//! made under it: apply a file that uses something new when the deploy that brought it is over.

use std::{collections::BTreeSet, sync::Arc};

use bson::{Bson, Document, doc};
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
    /// The event that it is a rehearsal of, if it is one ([`super::rehearsals`]).
    pub shadow_of: Option<EventSlug>,
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

/// Most versions of an event's rules that organisers make, and most that are listed.
pub const MAX_VERSIONS: i32 = 500;

/// The lowest version that can read an event: it grows with the first key that older ones refuse.
const LOWEST: i32 = 1;

/// The field of a rehearsal's versions that names the event they rehearse. Versions of Portcall that
/// do not know it take the shadow for an event like any other.
const SHADOW_OF: &str = "shadow_of";

/// Whether a version was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inserted {
    /// It was.
    Now,
    /// There is one of that number.
    Before,
}

/// What applying an event file did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppliedEvent {
    /// It is a new version.
    Version(i32),
    /// It is what the current version has already.
    Unchanged(i32),
}

impl Store {
    /// Makes a file the current version of its event, also after one that cannot be read any more.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn apply_event(
        &self,
        event: &Event,
        source: &str,
    ) -> Result<AppliedEvent, StoreError> {
        loop {
            let (next, shadow_of) = match self.event(&event.slug).await {
                Ok(Some(current)) if current.source == source => {
                    return Ok(AppliedEvent::Unchanged(current.version));
                }
                Ok(Some(current)) => (current.version + 1, current.shadow_of),
                Err(StoreError::Event { version, .. }) => (version + 1, None),
                Ok(None) => (1, None),
                Err(error) => return Err(error),
            };
            if self.insert_version(event, source, next, shadow_of.as_ref()).await? == Inserted::Now
            {
                return Ok(AppliedEvent::Version(next));
            }
        }
    }

    /// Stores a version, if there is none of that number.
    pub(super) async fn insert_version(
        &self,
        event: &Event,
        source: &str,
        version: i32,
        shadow_of: Option<&EventSlug>,
    ) -> Result<Inserted, StoreError> {
        let questions: Vec<&str> = event.answers.iter().map(|a| a.name.as_str()).collect();
        let mut document = doc! {
            "slug": event.slug.as_str(),
            "version": version,
            "title": &event.title,
            "source": source,
            "questions": questions,
            "schema": LOWEST,
            "applied_at": stored(OffsetDateTime::now_utc()),
        };
        if let Some(of) = shadow_of {
            document.insert(SHADOW_OF, of.as_str());
        }
        let events = self.events.clone();
        let inserted =
            self.call("apply an event", async move { events.insert_one(document).await }).await;
        match inserted {
            Ok(_) => Ok(Inserted::Now),
            Err(error) if error.is_duplicate() => Ok(Inserted::Before),
            Err(error) => Err(error),
        }
    }

    /// The current version of an event.
    ///
    /// # Errors
    /// When the store cannot, or what it holds is not valid to this version.
    pub async fn event(&self, slug: &EventSlug) -> Result<Option<EventVersion>, StoreError> {
        self.find_event(doc! { "slug": slug.as_str() }).await
    }

    /// The number of an event's current version; answered from an index alone.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn current_version(&self, slug: &EventSlug) -> Result<Option<i32>, StoreError> {
        let (events, filter) = (self.events.clone(), doc! { "slug": slug.as_str() });
        let found =
            self.persist(retry::INTERACTIVE, "read which version an event has", move || {
                let (events, filter) = (events.clone(), filter.clone());
                async move {
                    let head = doc! { "_id": 0, "version": 1 };
                    events.find_one(filter).projection(head).sort(doc! { "version": -1 }).await
                }
            });
        Ok(found.await?.and_then(|head| head.get_i32("version").ok()))
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

    /// The versions of an event, the current one first, also those that this version cannot read:
    /// the newest [`MAX_VERSIONS`].
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
                    let heads = versions.projection(doc! { "source": 0, "questions": 0 });
                    heads.limit(MAX_VERSIONS.into()).await?.try_collect().await
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

    /// The names of an event's questions, in the newest [`MAX_VERSIONS`] of its versions. One that
    /// this version cannot read is left out and logged.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn event_questions(&self, slug: &EventSlug) -> Result<BTreeSet<String>, StoreError> {
        let (events, filter) = (self.events.clone(), doc! { "slug": slug.as_str() });
        // Versions that were stored before their questions were have them in the file only.
        let needed = doc! { "$cond": [{ "$isArray": "$questions" }, "$$REMOVE", "$source"] };
        let needed = doc! { "slug": 1, "version": 1, "questions": 1, "source": needed };
        self.persist(retry::INTERACTIVE, "list the questions of an event", move || {
            let (events, filter, needed) = (events.clone(), filter.clone(), needed.clone());
            async move {
                let versions = events.find(filter).sort(doc! { "version": -1 }).projection(needed);
                let mut versions = versions.limit(MAX_VERSIONS.into()).await?;
                let mut names = BTreeSet::new();
                while let Some(version) = versions.try_next().await? {
                    names.extend(questions_of(&version));
                }
                Ok(names)
            }
        })
        .await
    }

    /// The current version of every event, by slug. One that this version cannot read is left out
    /// and logged.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn events(&self) -> Result<Vec<EventVersion>, StoreError> {
        let events = self.events.clone();
        // The index has them in this order, so of each event one file is read, whatever came before.
        let newest = [
            doc! { "$sort": { "slug": 1, "version": -1 } },
            doc! { "$group": { "_id": "$slug", "newest": { "$first": "$$ROOT" } } },
            doc! { "$replaceRoot": { "newRoot": "$newest" } },
            doc! { "$sort": { "slug": 1 } },
        ];
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "list the events", move || {
                let (events, newest) = (events.clone(), newest.clone());
                async move { events.aggregate(newest).await?.try_collect().await }
            })
            .await?;
        let mut current = Vec::with_capacity(found.len());
        for document in &found {
            match version_from(document) {
                Ok(version) => current.push(version),
                Err(error) => {
                    let slug = document.get_str("slug").unwrap_or_default();
                    tracing::warn!(event.slug = slug, %error, "left out an event");
                }
            }
        }
        Ok(current)
    }
}

/// The names of a version's questions, as they are stored or as its file has them.
fn questions_of(version: &Document) -> Vec<String> {
    if let Ok(names) = version.get_array("questions") {
        return names.iter().filter_map(Bson::as_str).map(str::to_owned).collect();
    }
    match event_file::parse(version.get_str("source").unwrap_or_default()) {
        Ok(event) => event.answers.into_iter().map(|rule| rule.name).collect(),
        Err(error) => {
            let slug = version.get_str("slug").unwrap_or_default();
            let version = version.get_i32("version").unwrap_or_default();
            tracing::warn!(event.slug = slug, version, %error, "left out a version's questions");
            Vec::new()
        }
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
    let shadow_of = document.get_str(SHADOW_OF).ok().and_then(|of| of.parse().ok());
    Ok(EventVersion { version, applied_at, event, source, schema, shadow_of })
}
