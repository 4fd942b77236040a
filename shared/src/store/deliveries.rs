//! Deliveries: what webhooks are told, as an outbox.
//!
//! ```text
//!   a change ──► pending ── claimed (due_at moves on: a lease) ──► delivered ■
//!                   ▲            │
//!                   └── retried ─┴── given up ──► failed ■     not wanted any more ──► dropped ■
//! ```
//!
//! The id of a delivery follows from what it tells and to whom, so that any number of processes that
//! see the same change insert it once. Whoever finds it due claims it; should that process die, it is
//! due again after [`LEASE`], and the receiver sees the same id a second time: at least once.
//!
//! A delivery names the submission and holds nothing of it; what is sent is read when it is sent. The
//! [`KEPT`] days over, it is removed.

use bson::{Bson, DateTime, Document, Uuid, doc};
use futures::TryStreamExt;
use mongodb::{
    error::{Error as DriverError, ErrorKind},
    options::ReturnDocument,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime};

use super::{
    Store, StoreError, decode,
    documents::{SubmissionDoc, restored, stored, uuid},
};
use crate::{
    domain::{
        ids::{EventSlug, SubmissionId, WebhookId},
        submission::Submission,
    },
    retry,
};

/// How long a delivery belongs to whoever claimed it: more than a call and its noting take.
pub const LEASE: Duration = Duration::seconds(60);
/// How long deliveries are kept.
pub const KEPT: Duration = Duration::days(7);
/// Most that are removed at once.
const REMOVED: i64 = 500;
/// The server's word for what is there already.
const DUPLICATE: i32 = 11000;

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// Its id, which is also what its receiver knows it by.
    pub id: uuid::Uuid,
    /// To which webhook.
    pub webhook: WebhookId,
    /// What happened: the `type` of the message.
    pub what: String,
    /// To which submission; none for a trial of the webhook.
    pub submission: Option<SubmissionId>,
    /// When it happened.
    pub at: OffsetDateTime,
}

impl NewDelivery {
    /// Of what happened to a submission; `mark` tells it apart from all else that ever happens to it.
    #[must_use]
    pub fn of(
        webhook: WebhookId,
        submission: SubmissionId,
        what: &str,
        mark: &str,
        at: OffsetDateTime,
    ) -> Self {
        let words = format!("{webhook}\n{submission}\n{what}\n{mark}");
        let mut id = [0; 16];
        id.copy_from_slice(&Sha256::digest(words.as_bytes())[..16]);
        let id = uuid::Builder::from_bytes(id)
            .with_variant(uuid::Variant::RFC4122)
            .with_version(uuid::Version::Custom);
        let (id, what) = (id.into_uuid(), what.to_owned());
        Self { id, webhook, what, submission: Some(submission), at }
    }
}

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It will be sent, perhaps again.
    Pending,
    /// It was taken.
    Delivered,
    /// It was given up.
    Failed,
    /// It is not wanted any more.
    Dropped,
}

impl Standing {
    const ALL: [Self; 4] = [Self::Pending, Self::Delivered, Self::Failed, Self::Dropped];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// A delivery as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// What, and to whom.
    pub new: NewDelivery,
    /// When it was found.
    pub created_at: OffsetDateTime,
    /// How it stands.
    pub standing: Standing,
    /// How often it was tried, the try that is under way included.
    pub tries: i32,
    /// When it is tried next, if it is.
    pub due_at: Option<OffsetDateTime>,
    /// How the last try went.
    pub last: Option<Tried>,
}

/// How a try went.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Tried {
    /// The status of the answer, if there was one.
    pub code: Option<i32>,
    /// What is to be known beside that: why there was none, or why it is not tried any more.
    pub why: Option<String>,
    /// The beginning of the answer's body, defused.
    pub excerpt: String,
    /// How long it took, in milliseconds.
    pub ms: i64,
}

/// What follows from a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It ends so.
    End(Standing),
    /// It is due again then.
    Again(OffsetDateTime),
}

/// A place in the list of deliveries: those before it are older.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    /// When the one at that place was found.
    pub at: OffsetDateTime,
    /// Its id.
    pub id: uuid::Uuid,
}

#[derive(Deserialize)]
struct DeliveryDoc {
    #[serde(rename = "_id")]
    id: Uuid,
    webhook: Uuid,
    what: String,
    submission: Option<Uuid>,
    at: DateTime,
    created_at: DateTime,
    standing: String,
    tries: i32,
    due_at: Option<DateTime>,
    last: Option<Tried>,
}

impl DeliveryDoc {
    fn delivery(self) -> Delivery {
        let plain = |id: Uuid| uuid::Uuid::from_bytes(id.bytes());
        let new = NewDelivery {
            id: plain(self.id),
            webhook: plain(self.webhook).into(),
            what: self.what,
            submission: self.submission.map(|id| plain(id).into()),
            at: restored(self.at),
        };
        let standing = Standing::ALL.into_iter().find(|one| one.as_str() == self.standing);
        Delivery {
            new,
            created_at: restored(self.created_at),
            // A newer version's word is for an end that this one does not know.
            standing: standing.unwrap_or(Standing::Dropped),
            tries: self.tries,
            due_at: self.due_at.map(restored),
            last: self.last,
        }
    }
}

fn document(new: &NewDelivery, now: OffsetDateTime) -> Document {
    doc! {
        "_id": uuid(new.id),
        "webhook": uuid(new.webhook),
        "what": &new.what,
        "submission": new.submission.map(uuid),
        "at": stored(new.at),
        "created_at": stored(now),
        "standing": Standing::Pending.as_str(),
        "tries": 0,
        "due_at": stored(now),
        "last": Bson::Null,
    }
}

impl Store {
    /// Stores what is to be told, each once, however often and by whomever it is stored; how many were
    /// not there.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn tell_webhooks(&self, all: &[NewDelivery]) -> Result<usize, StoreError> {
        if all.is_empty() {
            return Ok(0);
        }
        let ids: Vec<Uuid> = all.iter().map(|one| uuid(one.id)).collect();
        let deliveries = self.deliveries.clone();
        let there: Vec<Document> = self
            .persist(retry::INTERACTIVE, "look for deliveries", move || {
                let (deliveries, ids) = (deliveries.clone(), ids.clone());
                async move {
                    let found = deliveries.find(doc! { "_id": { "$in": ids } });
                    found.projection(doc! { "_id": 1 }).await?.try_collect().await
                }
            })
            .await?;
        let there: Vec<Option<&Bson>> = there.iter().map(|one| one.get("_id")).collect();
        let now = OffsetDateTime::now_utc();
        let lacks = |one: &&NewDelivery| !there.contains(&Some(&Bson::from(uuid(one.id))));
        let new: Vec<Document> = all.iter().filter(lacks).map(|one| document(one, now)).collect();
        if new.is_empty() {
            return Ok(0);
        }
        let (deliveries, count) = (self.deliveries.clone(), new.len());
        self.persist(retry::INTERACTIVE, "store deliveries", move || {
            let (deliveries, new) = (deliveries.clone(), new.clone());
            async move {
                match deliveries.insert_many(new).ordered(false).await {
                    Err(error) if is_there_already(&error) => Ok(()),
                    inserted => inserted.map(drop),
                }
            }
        })
        .await?;
        Ok(count)
    }

    /// Takes the delivery that is due for longest, other than to these webhooks, for as long as
    /// [`LEASE`].
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn claim_delivery(
        &self,
        other_than: &[WebhookId],
    ) -> Result<Option<Delivery>, StoreError> {
        let now = OffsetDateTime::now_utc();
        let busy: Vec<Uuid> = other_than.iter().map(|id| uuid(*id)).collect();
        let filter = doc! { "due_at": { "$lte": stored(now) }, "webhook": { "$nin": busy } };
        let update = doc! {
            "$set": { "due_at": stored(now + LEASE) },
            "$inc": { "tries": 1 },
        };
        let deliveries = self.deliveries.clone();
        // Not repeated when its answer is lost: then the lease ends, and somebody takes it again.
        let claim = async move {
            let claim = deliveries.find_one_and_update(filter, update).sort(doc! { "due_at": 1 });
            claim.return_document(ReturnDocument::After).await
        };
        let found = self.call("claim a delivery", claim).await?;
        found.map(|found| decode::<DeliveryDoc>(found).map(DeliveryDoc::delivery)).transpose()
    }

    /// Notes how a try went, if the delivery is still with whoever made it.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn end_try(
        &self,
        delivery: &Delivery,
        tried: &Tried,
        then: Then,
    ) -> Result<(), StoreError> {
        let last = doc! {
            "code": tried.code, "why": &tried.why, "excerpt": &tried.excerpt, "ms": tried.ms,
        };
        let update = match then {
            Then::End(standing) => doc! {
                "$set": { "last": last, "standing": standing.as_str() },
                "$unset": { "due_at": "" },
            },
            Then::Again(at) => doc! { "$set": { "last": last, "due_at": stored(at) } },
        };
        let filter = doc! {
            "_id": uuid(delivery.new.id),
            "tries": delivery.tries,
            "due_at": { "$exists": true },
        };
        let deliveries = self.deliveries.clone();
        self.persist(retry::INTERACTIVE, "note a delivery", move || {
            let (deliveries, filter, update) = (deliveries.clone(), filter.clone(), update.clone());
            async move { deliveries.update_one(filter, update).await }
        })
        .await
        .map(drop)
    }

    /// The deliveries of a webhook, the newest first: at most so many, older than that place.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn deliveries(
        &self,
        webhook: WebhookId,
        before: Option<Before>,
        most: i64,
    ) -> Result<Vec<Delivery>, StoreError> {
        let mut filter = doc! { "webhook": uuid(webhook) };
        if let Some(before) = before {
            let older = doc! { "created_at": { "$lt": stored(before.at) } };
            let beside =
                doc! { "created_at": stored(before.at), "_id": { "$lt": uuid(before.id) } };
            filter.insert("$or", vec![older, beside]);
        }
        let deliveries = self.deliveries.clone();
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "list deliveries", move || {
                let (deliveries, filter) = (deliveries.clone(), filter.clone());
                async move {
                    let newest = doc! { "created_at": -1, "_id": -1 };
                    deliveries.find(filter).sort(newest).limit(most).await?.try_collect().await
                }
            })
            .await?;
        let read = |one| decode::<DeliveryDoc>(one).map(DeliveryDoc::delivery);
        found.into_iter().map(read).collect()
    }

    /// Since when the delivery is due that is due for longest.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn oldest_due_delivery(&self) -> Result<Option<OffsetDateTime>, StoreError> {
        let deliveries = self.deliveries.clone();
        let found = self
            .persist(retry::INTERACTIVE, "look for due deliveries", move || {
                let deliveries = deliveries.clone();
                async move {
                    let all = doc! { "due_at": { "$exists": true } };
                    deliveries.find_one(all).sort(doc! { "due_at": 1 }).await
                }
            })
            .await?;
        Ok(found.and_then(|one| one.get_datetime("due_at").ok().map(|at| restored(*at))))
    }

    /// Removes some of those that were kept for [`KEPT`].
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn remove_old_deliveries(&self, now: OffsetDateTime) -> Result<(), StoreError> {
        let (deliveries, old) =
            (self.deliveries.clone(), doc! { "created_at": { "$lt": stored(now - KEPT) } });
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "look for old deliveries", move || {
                let (deliveries, old) = (deliveries.clone(), old.clone());
                async move {
                    let some = deliveries.find(old).projection(doc! { "_id": 1 }).limit(REMOVED);
                    some.await?.try_collect().await
                }
            })
            .await?;
        let ids: Vec<Bson> = found.into_iter().filter_map(|mut one| one.remove("_id")).collect();
        if ids.is_empty() {
            return Ok(());
        }
        self.delete_deliveries(doc! { "_id": { "$in": ids } }).await
    }

    /// Removes whatever was or would be told of a submission: it was erased.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn forget_deliveries_of(&self, id: SubmissionId) -> Result<(), StoreError> {
        self.delete_deliveries(doc! { "submission": uuid(id) }).await
    }

    pub(super) async fn delete_deliveries(&self, filter: Document) -> Result<(), StoreError> {
        let deliveries = self.deliveries.clone();
        self.persist(retry::INTERACTIVE, "remove deliveries", move || {
            let (deliveries, filter) = (deliveries.clone(), filter.clone());
            async move { deliveries.delete_many(filter).await }
        })
        .await
        .map(drop)
    }

    /// Ends whatever a webhook would still be told.
    pub(super) async fn drop_deliveries(&self, id: WebhookId, why: &str) -> Result<(), StoreError> {
        let filter = doc! { "webhook": uuid(id), "standing": Standing::Pending.as_str() };
        let update = doc! {
            "$set": {
                "standing": Standing::Dropped.as_str(),
                "last": { "code": Bson::Null, "why": why, "excerpt": "", "ms": 0_i64 },
            },
            "$unset": { "due_at": "" },
        };
        let deliveries = self.deliveries.clone();
        self.persist(retry::INTERACTIVE, "drop deliveries", move || {
            let (deliveries, filter, update) = (deliveries.clone(), filter.clone(), update.clone());
            async move { deliveries.update_many(filter, update).await }
        })
        .await
        .map(drop)
    }

    /// Submissions of an event that have ended and changed at or after a time, in the order in which
    /// they changed: at most so many, after that place. One that cannot be read is left out.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn ended_since(
        &self,
        event: &EventSlug,
        since: OffsetDateTime,
        after: Option<(OffsetDateTime, SubmissionId)>,
        most: i64,
    ) -> Result<Vec<Submission>, StoreError> {
        let mut filter = doc! {
            "event": event.as_str(),
            "updated_at": { "$gte": stored(since) },
            "state": { "$in": ["passed", "failed", "undetermined", "cancelled"] },
        };
        if let Some((at, id)) = after {
            let later = doc! { "updated_at": { "$gt": stored(at) } };
            let beside = doc! { "updated_at": stored(at), "_id": { "$gt": uuid(id) } };
            filter.insert("$or", vec![later, beside]);
        }
        let submissions = self.submissions.clone();
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "look for what has ended", move || {
                let (submissions, filter) = (submissions.clone(), filter.clone());
                async move {
                    let order = doc! { "updated_at": 1, "_id": 1 };
                    let some = submissions.find(filter).sort(order).limit(most);
                    some.projection(doc! { "attempts.evidence": 0 }).await?.try_collect().await
                }
            })
            .await?;
        let mut all = Vec::with_capacity(found.len());
        for document in found {
            match decode::<SubmissionDoc>(document).and_then(SubmissionDoc::into_domain) {
                Ok(submission) => all.push(submission),
                Err(error) => tracing::warn!(%error, "left out what has ended"),
            }
        }
        Ok(all)
    }
}

/// Whether all that was not inserted was there already.
fn is_there_already(error: &DriverError) -> bool {
    let ErrorKind::InsertMany(many) = error.kind.as_ref() else { return false };
    let all = many.write_errors.as_ref();
    many.write_concern_error.is_none()
        && all.is_some_and(|all| all.iter().all(|one| one.code == DUPLICATE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_follows_from_what_is_told_to_whom() {
        let (webhook, submission) = (WebhookId::new(), SubmissionId::new());
        let now = OffsetDateTime::now_utc();
        let id = |webhook, submission, what, mark, at| {
            NewDelivery::of(webhook, submission, what, mark, at).id
        };
        let one = id(webhook, submission, "a", "1", now);
        assert_eq!(one, id(webhook, submission, "a", "1", OffsetDateTime::UNIX_EPOCH));
        assert_eq!(one.get_version_num(), 8);
        for other in [
            id(WebhookId::new(), submission, "a", "1", now),
            id(webhook, SubmissionId::new(), "a", "1", now),
            id(webhook, submission, "b", "1", now),
            id(webhook, submission, "a", "2", now),
        ] {
            assert_ne!(one, other);
        }
    }
}
