//! Rehearsals: shadows of events, on which load is tried before the doors open.
//!
//! A shadow is an event of its own, with rules, submissions, a map and numbers of its own, so that
//! nothing of it is ever on the map or among the numbers of the event that it rehearses. Two things
//! make it one, and both are in the mark that its versions carry: apis do not list it, and its
//! submissions stand behind all others in the line ([`turn`]), so that nobody waits longer for it than
//! for what is being graded already. It is taken away whole.

use bson::{Document, doc};
use futures::TryStreamExt;
use mongodb::Collection;
use time::{Duration, OffsetDateTime};

use super::{
    Store, StoreError,
    events::{EventVersion, Inserted},
    search::Detail,
};
use crate::{
    domain::{event::Event, ids::EventSlug, state::State},
    retry,
};

/// How much later than they are sent the submissions of a shadow are deemed to be sent: later than any
/// that waits.
pub const BEHIND_ALL: Duration = Duration::days(3650);
/// How many submissions are looked at together.
const PAGE: u32 = 500;

/// When a submission that is sent now is deemed to be sent.
#[must_use]
pub fn turn(event: &EventVersion, now: OffsetDateTime) -> OffsetDateTime {
    match event.shadow_of {
        Some(_) => now + BEHIND_ALL,
        None => now,
    }
}

/// What became of a new shadow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It is there.
    New,
    /// There is an event of that name, and it was left alone.
    Taken,
}

/// What was taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A shadow with so many submissions.
    Shadow {
        /// How many.
        submissions: u64,
    },
    /// Nothing: that event is no shadow, or there is none of that name.
    Nothing,
}

impl Store {
    /// Makes a shadow of an event.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn make_shadow(
        &self,
        event: &Event,
        source: &str,
        of: &EventSlug,
    ) -> Result<Made, StoreError> {
        match self.insert_version(event, source, 1, Some(of)).await? {
            Inserted::Now => Ok(Made::New),
            Inserted::Before => Ok(Made::Taken),
        }
    }

    /// The shadows of an event that are there.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn shadows(&self, of: &EventSlug) -> Result<Vec<EventVersion>, StoreError> {
        let mut all = self.events().await?;
        all.retain(|version| version.shadow_of.as_ref() == Some(of));
        Ok(all)
    }

    /// Takes back what of a shadow has not ended: no worker begins with it any more, and those that
    /// have begun notice it at their next beat. How many there were.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn cancel_shadow(&self, shadow: &EventSlug) -> Result<u64, StoreError> {
        if !self.is_shadow(shadow).await? {
            return Ok(0);
        }
        let (mut after, mut cancelled) = (None, 0);
        loop {
            let page = self.all_of_event(shadow, Detail::Heads, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(cancelled) };
            after = Some(last.id());
            for entry in &page {
                let over = matches!(entry, super::search::Entry::Read(one)
                    if !matches!(one.life.state, State::Queued | State::Grading { .. }));
                if !over {
                    self.cancel(entry.id()).await?;
                    cancelled += 1;
                }
            }
        }
    }

    /// Takes a shadow away with all that belongs to it; an event that is none is left alone. What of
    /// it is being graded is ended by its worker, which finds that its lease is gone. To do it again is
    /// harmless, and finishes what was not finished.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn remove_shadow(&self, shadow: &EventSlug) -> Result<Removed, StoreError> {
        if !self.is_shadow(shadow).await? {
            return Ok(Removed::Nothing);
        }
        let slug = shadow.as_str();
        let mut submissions = self.delete(&self.submissions, doc! { "event": slug }).await?;
        for collection in [&self.regrades, &self.webhooks, &self.deliveries, &self.audit] {
            self.delete(collection, doc! { "event": slug }).await?;
        }
        self.delete(&self.doors, doc! { "_id": slug }).await?;
        // Its mark goes last, and what came in meanwhile after it: then nothing more can.
        self.delete(&self.events, doc! { "slug": slug }).await?;
        submissions += self.delete(&self.submissions, doc! { "event": slug }).await?;
        Ok(Removed::Shadow { submissions })
    }

    async fn is_shadow(&self, slug: &EventSlug) -> Result<bool, StoreError> {
        let (events, filter) = (self.events.clone(), doc! { "slug": slug.as_str() });
        let marks: Vec<Document> = self
            .persist(retry::INTERACTIVE, "look whether an event is a rehearsal", move || {
                let (events, filter) = (events.clone(), filter.clone());
                async move {
                    let found = events.find(filter).projection(doc! { "shadow_of": 1 });
                    found.await?.try_collect().await
                }
            })
            .await?;
        Ok(!marks.is_empty() && marks.iter().all(|mark| mark.get_str("shadow_of").is_ok()))
    }

    async fn delete(
        &self,
        collection: &Collection<Document>,
        filter: Document,
    ) -> Result<u64, StoreError> {
        let collection = collection.clone();
        let deleted = self
            .persist(retry::INTERACTIVE, "take a rehearsal away", move || {
                let (collection, filter) = (collection.clone(), filter.clone());
                async move { collection.delete_many(filter).await }
            })
            .await?;
        Ok(deleted.deleted_count)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use time::macros::datetime;

    use super::*;
    use crate::domain::event_file;

    #[test]
    fn a_rehearsal_stands_behind_everybody_and_an_event_does_not() {
        let source = "slug = \"e\"\ntitle = \"E\"\n[[checks]]\nname = \"c\"\nget = \"/\"\n";
        let now = datetime!(2026-03-20 12:00 UTC);
        let of = |shadow_of: Option<&str>| EventVersion {
            version: 1,
            applied_at: now,
            event: Arc::new(event_file::parse(source).unwrap()),
            source: source.to_owned(),
            schema: 1,
            shadow_of: shadow_of.map(|of| of.parse().unwrap()),
        };
        assert_eq!(turn(&of(None), now), now);
        assert_eq!(turn(&of(Some("e")), now), now + Duration::days(3650));
    }
}
