//! The audit log: every act of an organiser or operator over HTTP, one document each.
//!
//! An act is noted before it is done, and how it ended after that, so that nothing is done without a
//! line, even if the process dies in between. A line names submissions by their ids and holds no
//! personal data but what somebody typed as a `note`; erasing a submission takes the notes about it
//! along.

use std::future::Future;

use bson::{DateTime, Document, Uuid, doc};
use futures::TryStreamExt;
use serde::Deserialize;
use time::OffsetDateTime;

use super::{
    Store, StoreError, decode,
    documents::{restored, stored, uuid},
    encode_value,
    tokens::Token,
};
use crate::{
    domain::ids::{EventSlug, SubmissionId},
    retry,
};

/// What somebody is about to do.
#[derive(Clone, Debug)]
pub struct Act<'a> {
    /// By whom.
    pub by: &'a Token,
    /// In which event.
    pub event: &'a EventSlug,
    /// What, in a word such as `hide`.
    pub what: &'static str,
    /// To which submission.
    pub submission: Option<SubmissionId>,
    /// Why, in their own words.
    pub note: Option<String>,
    /// What else there is to know; no personal data.
    pub detail: serde_json::Value,
    /// The id of the request.
    pub request: Option<uuid::Uuid>,
}

/// A line of the audit log.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditLine {
    /// Its id, by which lines are in order.
    pub id: uuid::Uuid,
    /// When.
    pub at: OffsetDateTime,
    /// The name of the token that was used.
    pub by: String,
    /// The id of that token.
    pub token: uuid::Uuid,
    /// Its role.
    pub role: String,
    /// In which event.
    pub event: String,
    /// What was done.
    pub what: String,
    /// To which submission.
    pub submission: Option<SubmissionId>,
    /// Why.
    pub note: Option<String>,
    /// What else there is to know.
    pub detail: serde_json::Value,
    /// The id of the request.
    pub request: Option<uuid::Uuid>,
    /// How it ended: `done`, `failed`, or `refused` where it was not allowed; none while it is under way, or if the process died.
    pub outcome: Option<String>,
}

#[derive(Deserialize)]
struct AuditDoc {
    #[serde(rename = "_id")]
    id: Uuid,
    at: DateTime,
    by: String,
    token: Uuid,
    role: String,
    event: String,
    what: String,
    submission: Option<Uuid>,
    note: Option<String>,
    #[serde(default)]
    detail: serde_json::Value,
    request: Option<Uuid>,
    outcome: Option<String>,
}

fn plain(id: Uuid) -> uuid::Uuid {
    uuid::Uuid::from_bytes(id.bytes())
}

impl AuditDoc {
    fn line(self) -> AuditLine {
        AuditLine {
            id: plain(self.id),
            at: restored(self.at),
            by: self.by,
            token: plain(self.token),
            role: self.role,
            event: self.event,
            what: self.what,
            submission: self.submission.map(|id| SubmissionId::from(plain(id))),
            note: self.note,
            detail: self.detail,
            request: self.request.map(plain),
            outcome: self.outcome,
        }
    }
}

impl Store {
    /// Does something, with a line in the audit log.
    ///
    /// # Errors
    /// When the line cannot be written, and then nothing is done; or the work's own.
    pub async fn audited<T, E: From<StoreError>>(
        &self,
        act: Act<'_>,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let id = self.begin_act(&act).await?;
        let done = work.await;
        let outcome = if done.is_ok() { "done" } else { "failed" };
        if let Err(error) = self.end_act(id, outcome).await {
            tracing::error!(audit.id = %id, %error, "cannot note how an act ended");
        }
        done
    }

    /// Notes an act that was not allowed.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn refused_act(&self, act: &Act<'_>) -> Result<(), StoreError> {
        self.note_act(act, Some("refused")).await.map(drop)
    }

    async fn begin_act(&self, act: &Act<'_>) -> Result<uuid::Uuid, StoreError> {
        self.note_act(act, None).await
    }

    async fn note_act(
        &self,
        act: &Act<'_>,
        outcome: Option<&'static str>,
    ) -> Result<uuid::Uuid, StoreError> {
        let id = uuid::Uuid::now_v7();
        let document = doc! {
            "_id": uuid(id),
            "at": stored(OffsetDateTime::now_utc()),
            "by": &act.by.name,
            "token": uuid(act.by.id),
            "role": act.by.role.as_str(),
            "event": act.event.as_str(),
            "what": act.what,
            "submission": act.submission.map(uuid),
            "note": &act.note,
            "detail": encode_value(&act.detail)?,
            "request": act.request.map(uuid),
            "outcome": outcome,
        };
        let audit = self.audit.clone();
        self.call("write the audit log", async move { audit.insert_one(document).await }).await?;
        Ok(id)
    }

    async fn end_act(&self, id: uuid::Uuid, outcome: &'static str) -> Result<(), StoreError> {
        let (audit, filter) = (self.audit.clone(), doc! { "_id": uuid(id) });
        let update = doc! { "$set": { "outcome": outcome } };
        self.persist(retry::INTERACTIVE, "write the audit log", move || {
            let (audit, filter, update) = (audit.clone(), filter.clone(), update.clone());
            async move { audit.update_one(filter, update).await }
        })
        .await
        .map(drop)
    }

    /// Lines about an event, the newest first: at most so many, older than the one named.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn audit_lines(
        &self,
        event: &EventSlug,
        submission: Option<SubmissionId>,
        before: Option<uuid::Uuid>,
        most: i64,
    ) -> Result<Vec<AuditLine>, StoreError> {
        let mut filter = doc! { "event": event.as_str() };
        if let Some(submission) = submission {
            filter.insert("submission", uuid(submission));
        }
        if let Some(before) = before {
            filter.insert("_id", doc! { "$lt": uuid(before) });
        }
        let audit = self.audit.clone();
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "read the audit log", move || {
                let (audit, filter) = (audit.clone(), filter.clone());
                async move {
                    let lines = audit.find(filter).sort(doc! { "_id": -1 }).limit(most);
                    lines.await?.try_collect().await
                }
            })
            .await?;
        found.into_iter().map(|line| decode::<AuditDoc>(line).map(AuditDoc::line)).collect()
    }
}
