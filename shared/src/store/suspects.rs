//! Suspects: what is known of images that machines went down under, one document for each, by its
//! digest. What may come of what is [`crate::domain::suspicion`]'s to say; here it is kept.
//!
//! ```text
//!   lease expired, node lost ─► suspects ◄─ graded        worker, before containers are made:
//!                                  │                        ordinary · alone (takes the turn) · never
//!   operator (portcall, api) ──────┘──► api: refuses what is poison
//! ```
//!
//! Each change reads the document, lets [`Suspicion::apply`] decide, and writes what changed under a
//! filter that names the revision it read: who loses the race begins again. A loss is noted *before*
//! the lease is given back or ended, so that whoever claims next knows of it; if the lease turns out
//! to be held after all, it is taken back.

mod document;
mod lost;

use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use mongodb::options::ReturnDocument;
use time::OffsetDateTime;

pub use self::document::{Order, Suspect};
use self::document::{SuspectDoc, change, first};
use super::{
    Store, StoreError, decode,
    queue::{Lease, Queue as _},
};
use crate::{
    domain::{
        image::Digest,
        suspicion::{Attempt, Event, Standing, Turn},
    },
    retry,
};

/// How often a change is begun again that others came before.
const RACES: usize = 50;
/// How many are listed.
const LISTED: i64 = 500;

/// What became of the wish for the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// It is this attempt's.
    Ours,
    /// Another attempt grades it now.
    Theirs,
}

impl Store {
    /// Quarantines what was lost so often, instead of what is usual.
    #[must_use]
    pub fn quarantining_after(self, losses: u32) -> Self {
        Self { quarantine_after: losses, ..self }
    }

    /// What is known of these images; nothing of most.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn suspects_among(&self, images: &[Digest]) -> Result<Vec<Suspect>, StoreError> {
        let ids: Vec<&str> = images.iter().map(Digest::as_str).collect();
        self.find_suspects(doc! { "_id": { "$in": ids } }).await
    }

    /// Every image of which something is known, what is newest first; at most [`LISTED`].
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn suspects(&self) -> Result<Vec<Suspect>, StoreError> {
        self.find_suspects(doc! {}).await
    }

    /// Every image that is not graded.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn poison(&self) -> Result<Vec<Suspect>, StoreError> {
        self.find_suspects(doc! { "standing": Standing::Poison.as_str() }).await
    }

    /// How many there are of each standing.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn count_suspects(&self) -> Result<[(Standing, u64); 4], StoreError> {
        let mut counts = Standing::ALL.map(|standing| (standing, 0));
        for (standing, count) in &mut counts {
            let (suspects, filter) =
                (self.suspects.clone(), doc! { "standing": standing.as_str() });
            *count = self
                .persist(retry::INTERACTIVE, "count suspected images", move || {
                    let (suspects, filter) = (suspects.clone(), filter.clone());
                    async move { suspects.count_documents(filter).await }
                })
                .await?;
        }
        Ok(counts)
    }

    /// Takes the turn to grade an image alone. A turn whose lease is no longer held is over.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn turn_alone(&self, image: &Digest, lease: Lease) -> Result<Turned, StoreError> {
        let attempt = attempt(lease);
        if let Some(turn) = self.turn_of(image).await?
            && turn.attempt != attempt
        {
            let held = Lease {
                submission: turn.attempt.submission,
                generation: turn.attempt.generation,
                worker: turn.worker,
            };
            if self.holds(held).await? {
                return Ok(Turned::Theirs);
            }
            self.happens(image, &Event::Ended(turn.attempt), None).await?;
        }
        let wanted = Event::Turned(Turn { attempt, worker: lease.worker });
        self.happens(image, &wanted, None).await?;
        let turn = self.turn_of(image).await?;
        let ours = turn.is_some_and(|turn| turn.attempt == attempt);
        Ok(if ours { Turned::Ours } else { Turned::Theirs })
    }

    async fn turn_of(&self, image: &Digest) -> Result<Option<Turn>, StoreError> {
        let known = self.suspects_among(std::slice::from_ref(image)).await?;
        Ok(known.into_iter().find_map(|suspect| suspect.suspicion.turn))
    }

    /// Notes that a grading of these images came to a verdict.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn graded(&self, images: &[Digest], lease: Lease) -> Result<(), StoreError> {
        self.happens_to_all(images, &Event::Graded(attempt(lease))).await
    }

    /// Notes that a grading of these images ended, and told nothing of them.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn turn_over(&self, images: &[Digest], lease: Lease) -> Result<(), StoreError> {
        self.happens_to_all(images, &Event::Ended(attempt(lease))).await
    }

    /// Does with an image what an operator says.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn order_standing(
        &self,
        image: &Digest,
        standing: Standing,
        by: &str,
        note: Option<&str>,
    ) -> Result<Suspect, StoreError> {
        let order = Order {
            standing: standing.as_str().to_owned(),
            by: by.to_owned(),
            at: OffsetDateTime::now_utc(),
            note: note.map(str::to_owned),
        };
        self.happens(image, &Event::Ordered(standing), Some(&order)).await
    }

    async fn happens_to_all(&self, images: &[Digest], event: &Event) -> Result<(), StoreError> {
        for image in images {
            self.happens(image, event, None).await?;
        }
        Ok(())
    }

    /// Lets something happen to what is known of an image; what is known then.
    async fn happens(
        &self,
        image: &Digest,
        event: &Event,
        order: Option<&Order>,
    ) -> Result<Suspect, StoreError> {
        let again = |error: &StoreError| error.again();
        retry::LEASED.run(again, || self.happens_once(image, event, order)).await
    }

    async fn happens_once(
        &self,
        image: &Digest,
        event: &Event,
        order: Option<&Order>,
    ) -> Result<Suspect, StoreError> {
        for _ in 0..RACES {
            let found = self.suspect_document(image).await?;
            let known = found.as_ref().map(SuspectDoc::suspicion).unwrap_or_default();
            let next = match (known.apply(event, self.quarantine_after), order) {
                (Some(next), _) => next,
                // Who said so once more is noted.
                (None, Some(_)) => known.clone(),
                (None, None) => {
                    return Ok(found.map_or_else(|| first(image).suspect(), SuspectDoc::suspect));
                }
            };
            let update = change(&known, &next, order)?;
            let revision = found.map(|found| found.revision());
            if let Some(written) = self.write_suspect(image, revision, update).await? {
                return Ok(written.suspect());
            }
        }
        Err(StoreError::Timeout { doing: "note what is known of an image" })
    }

    async fn suspect_document(&self, image: &Digest) -> Result<Option<SuspectDoc>, StoreError> {
        let (suspects, filter) = (self.suspects.clone(), doc! { "_id": image.as_str() });
        let found = self
            .persist(retry::LEASED, "read what is known of an image", move || {
                let (suspects, filter) = (suspects.clone(), filter.clone());
                async move { suspects.find_one(filter).await }
            })
            .await?;
        found.map(decode).transpose()
    }

    /// Writes it, unless somebody else has in the meantime.
    async fn write_suspect(
        &self,
        image: &Digest,
        revision: Option<i64>,
        update: Document,
    ) -> Result<Option<SuspectDoc>, StoreError> {
        let suspects = self.suspects.clone();
        // What is not there has no revision; if it is there by now, it is a duplicate.
        let named = revision.map_or_else(|| doc! { "$exists": false }.into(), Bson::from);
        let filter = doc! { "_id": image.as_str(), "revision": named };
        let write = async move {
            let update = suspects.find_one_and_update(filter, update).upsert(revision.is_none());
            update.return_document(ReturnDocument::After).await
        };
        match self.call("note what is known of an image", write).await {
            Ok(written) => written.map(decode).transpose(),
            Err(error) if error.is_duplicate() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn find_suspects(&self, filter: Document) -> Result<Vec<Suspect>, StoreError> {
        let suspects = self.suspects.clone();
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "read what is known of images", move || {
                let (suspects, filter) = (suspects.clone(), filter.clone());
                let newest = doc! { "changed_at": -1, "_id": 1 };
                async move {
                    suspects.find(filter).sort(newest).limit(LISTED).await?.try_collect().await
                }
            })
            .await?;
        let read = |document| match decode::<SuspectDoc>(document) {
            Ok(document) => Some(document.suspect()),
            Err(error) => {
                tracing::error!(%error, "what is known of an image cannot be read");
                None
            }
        };
        Ok(found.into_iter().filter_map(read).collect())
    }
}

fn attempt(lease: Lease) -> Attempt {
    Attempt { submission: lease.submission, generation: lease.generation }
}
