//! Webhooks: where organisers want to be told. What is told to them is in [`super::deliveries`].
//!
//! An event has at most [`MOST`] of them, and that is a unique index: each holds one of as many lanes.
//! The secret that they are signed with is kept sealed ([`crate::seal`]).

use bson::{Binary, Bson, DateTime, Document, Uuid, doc, spec::BinarySubtype};
use futures::TryStreamExt;
use serde::Deserialize;
use time::OffsetDateTime;

use super::{
    Store, StoreError, decode,
    documents::{restored, stored, uuid},
};
use crate::{
    domain::ids::{EventSlug, WebhookId},
    retry,
};

/// Most webhooks of one event.
pub const MOST: i32 = 10;

/// What somebody wants to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// A submission passed, failed, or could not be determined.
    Verdict,
    /// A submission was taken back.
    Cancelled,
    /// A re-grade, or undoing one, changed how a submission ended.
    Regrade,
}

impl Topic {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Verdict, Self::Cancelled, Self::Regrade];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Cancelled => "cancelled",
            Self::Regrade => "regrade",
        }
    }

    /// The one of that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.as_str() == word)
    }
}

/// One webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// The event that it is about.
    pub event: EventSlug,
    /// Where it is told.
    pub url: String,
    /// What it is told of.
    pub on: Vec<Topic>,
    /// The secret, sealed.
    pub sealed: Vec<u8>,
    /// When it was made: what happened before is not told.
    pub created_at: OffsetDateTime,
    /// The name of the token that it was made with.
    pub created_by: String,
    /// Since when it is told nothing any more, because it said that it is gone.
    pub disabled_at: Option<OffsetDateTime>,
}

/// What became of a new webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It is there.
    Stored,
    /// The event has [`MOST`] of them.
    TooMany,
}

#[derive(Deserialize)]
struct WebhookDoc {
    #[serde(rename = "_id")]
    id: Uuid,
    event: String,
    url: String,
    on: Vec<String>,
    secret: Binary,
    created_at: DateTime,
    created_by: String,
    disabled_at: Option<DateTime>,
}

impl WebhookDoc {
    fn webhook(self) -> Result<Webhook, StoreError> {
        let id = uuid::Uuid::from_bytes(self.id.bytes());
        let corrupt = |_| StoreError::Corrupt { id: id.to_string(), what: "event" };
        Ok(Webhook {
            id: id.into(),
            event: self.event.parse().map_err(corrupt)?,
            url: self.url,
            // A newer version's word is nothing that this one could tell of.
            on: self.on.iter().filter_map(|word| Topic::from_word(word)).collect(),
            sealed: self.secret.bytes,
            created_at: restored(self.created_at),
            created_by: self.created_by,
            disabled_at: self.disabled_at.map(restored),
        })
    }
}

fn document(webhook: &Webhook, lane: i32) -> Document {
    let on: Vec<&str> = webhook.on.iter().map(|topic| topic.as_str()).collect();
    let secret = Binary { subtype: BinarySubtype::Generic, bytes: webhook.sealed.clone() };
    doc! {
        "_id": uuid(webhook.id),
        "event": webhook.event.as_str(),
        "lane": lane,
        "url": &webhook.url,
        "on": on,
        "secret": secret,
        "created_at": stored(webhook.created_at),
        "created_by": &webhook.created_by,
        "disabled_at": webhook.disabled_at.map(stored),
    }
}

impl Store {
    /// Stores a new webhook, if the event has room for it.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn create_webhook(&self, webhook: &Webhook) -> Result<Made, StoreError> {
        loop {
            let taken = self.webhook_lanes(&webhook.event).await?;
            let Some(lane) = (1..=MOST).find(|lane| !taken.contains(lane)) else {
                return Ok(Made::TooMany);
            };
            let (webhooks, document) = (self.webhooks.clone(), document(webhook, lane));
            let insert = self.persist(retry::INTERACTIVE, "store a webhook", move || {
                let (webhooks, document) = (webhooks.clone(), document.clone());
                async move { webhooks.insert_one(document).await }
            });
            match insert.await {
                Ok(_) => return Ok(Made::Stored),
                // An earlier try of this very insert, or somebody was faster with that lane.
                Err(error) if error.is_duplicate() => {
                    if self.webhook(webhook.id).await?.is_some() {
                        return Ok(Made::Stored);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn webhook_lanes(&self, event: &EventSlug) -> Result<Vec<i32>, StoreError> {
        let filter = doc! { "event": event.as_str(), "lane": { "$exists": true } };
        let found = self.find_webhooks(filter).await?;
        Ok(found.iter().filter_map(|webhook| webhook.get_i32("lane").ok()).collect())
    }

    /// The webhooks of an event, the oldest first.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn webhooks(&self, event: &EventSlug) -> Result<Vec<Webhook>, StoreError> {
        // As the index has it.
        let filter = doc! { "event": event.as_str(), "lane": { "$exists": true } };
        self.find_webhooks(filter).await?.into_iter().map(read).collect()
    }

    /// Every webhook that is told of something, of all events.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn enabled_webhooks(&self) -> Result<Vec<Webhook>, StoreError> {
        let filter = doc! { "disabled_at": Bson::Null };
        self.find_webhooks(filter).await?.into_iter().map(read).collect()
    }

    async fn find_webhooks(&self, filter: Document) -> Result<Vec<Document>, StoreError> {
        let webhooks = self.webhooks.clone();
        self.persist(retry::INTERACTIVE, "list the webhooks", move || {
            let (webhooks, filter) = (webhooks.clone(), filter.clone());
            async move { webhooks.find(filter).sort(doc! { "_id": 1 }).await?.try_collect().await }
        })
        .await
    }

    /// A webhook by its id.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn webhook(&self, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        let (webhooks, filter) = (self.webhooks.clone(), doc! { "_id": uuid(id) });
        let found = self
            .persist(retry::INTERACTIVE, "read a webhook", move || {
                let (webhooks, filter) = (webhooks.clone(), filter.clone());
                async move { webhooks.find_one(filter).await }
            })
            .await?;
        found.map(read).transpose()
    }

    /// Removes a webhook with all that was or would have been told to it.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn delete_webhook(&self, id: WebhookId) -> Result<(), StoreError> {
        let (webhooks, filter) = (self.webhooks.clone(), doc! { "_id": uuid(id) });
        self.persist(retry::INTERACTIVE, "remove a webhook", move || {
            let (webhooks, filter) = (webhooks.clone(), filter.clone());
            async move { webhooks.delete_one(filter).await }
        })
        .await?;
        self.delete_deliveries(doc! { "webhook": uuid(id) }).await
    }

    /// Tells a webhook nothing any more; also not what was on its way.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn disable_webhook(&self, id: WebhookId, why: &str) -> Result<(), StoreError> {
        let (webhooks, filter) = (self.webhooks.clone(), doc! { "_id": uuid(id) });
        let now = stored(OffsetDateTime::now_utc());
        let update = vec![doc! { "$set": { "disabled_at": { "$ifNull": ["$disabled_at", now] } } }];
        self.persist(retry::INTERACTIVE, "disable a webhook", move || {
            let (webhooks, filter, update) = (webhooks.clone(), filter.clone(), update.clone());
            async move { webhooks.update_one(filter, update).await }
        })
        .await?;
        self.drop_deliveries(id, why).await
    }
}

fn read(document: Document) -> Result<Webhook, StoreError> {
    decode::<WebhookDoc>(document)?.webhook()
}
