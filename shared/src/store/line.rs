//! The line: who waits for a turn, in the order of the claims, and who has had it; and how far the
//! documents are that somebody follows. Each is one projected query, however many want to know.

use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use time::OffsetDateTime;

use super::{
    Store, StoreError,
    documents::{restored, stored, submission_id, uuid},
};
use crate::{
    domain::{ids::SubmissionId, state::State, submission::Submission},
    retry,
};

/// How many places of the queue are counted before the answer is "more than that".
pub const COUNTED: usize = 10_000;
/// Most submissions that are being graded and are looked at: far more than there are slots.
const RUNNING: i64 = 2000;

/// A place in the fair order. What is less has its turn sooner: claims go by the same two fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    /// When it is deemed to be sent, in milliseconds.
    pub order: i64,
    /// The submission.
    pub id: SubmissionId,
}

impl Turn {
    /// Of a submission.
    #[must_use]
    pub fn of(submission: &Submission) -> Self {
        Self { order: stored(submission.order).timestamp_millis(), id: submission.id }
    }

    /// Of a submission, if it waits for nothing but its turn.
    #[must_use]
    pub fn awaited(submission: &Submission) -> Option<Self> {
        let waits = submission.life.state == State::Queued && submission.delay.is_none();
        waits.then(|| Self::of(submission))
    }
}

/// Who waits and who is being graded, of all events: they share the slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The first of those that wait, [`COUNTED`] at most, in order.
    pub ready: Vec<Turn>,
    /// Whether more wait than that.
    pub more: bool,
    /// Those that are being graded, each with when its attempt began.
    pub running: Vec<(SubmissionId, OffsetDateTime)>,
}

impl Store {
    /// Who waits and who is being graded.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn line(&self) -> Result<Line, StoreError> {
        let (waiting, running) = tokio::try_join!(self.ready_turns(), self.begun())?;
        let mut ready: Vec<Turn> = waiting.iter().filter_map(turn).collect();
        let more = ready.len() > COUNTED;
        ready.truncate(COUNTED);
        let running = running.iter().filter_map(last_begun).collect();
        Ok(Line { ready, more, running })
    }

    /// Answered from the index of the claims alone.
    async fn ready_turns(&self) -> Result<Vec<Document>, StoreError> {
        let submissions = self.submissions.clone();
        self.persist(retry::INTERACTIVE, "read the line", move || {
            let submissions = submissions.clone();
            async move {
                let waiting = submissions
                    .find(doc! { "ready": true })
                    .sort(doc! { "order": 1, "_id": 1 })
                    .projection(doc! { "order": 1 })
                    .limit(COUNTED as i64 + 1)
                    .batch_size(COUNTED as u32 + 1);
                waiting.await?.try_collect().await
            }
        })
        .await
    }

    async fn begun(&self) -> Result<Vec<Document>, StoreError> {
        let submissions = self.submissions.clone();
        self.persist(retry::INTERACTIVE, "read what is being graded", move || {
            let submissions = submissions.clone();
            async move {
                let running = submissions
                    .find(doc! { "state": "grading" })
                    .projection(doc! { "attempts.started_at": 1 })
                    .limit(RUNNING);
                running.await?.try_collect().await
            }
        })
        .await
    }

    /// The revisions of these submissions, of those that are there.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn revisions(
        &self,
        ids: &[SubmissionId],
    ) -> Result<Vec<(SubmissionId, i64)>, StoreError> {
        let submissions = self.submissions.clone();
        let ids: Vec<Bson> = ids.iter().map(|id| uuid(*id).into()).collect();
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "read revisions", move || {
                let (submissions, filter) = (submissions.clone(), doc! { "_id": { "$in": &ids } });
                async move {
                    let found = submissions.find(filter).projection(doc! { "revision": 1 });
                    found.await?.try_collect().await
                }
            })
            .await?;
        let revision = |d: &Document| Some((id_of(d)?, d.get_i64("revision").ok()?));
        Ok(found.iter().filter_map(revision).collect())
    }
}

fn id_of(document: &Document) -> Option<SubmissionId> {
    let Some(Bson::Binary(id)) = document.get("_id") else { return None };
    id.to_uuid().ok().map(submission_id)
}

fn turn(document: &Document) -> Option<Turn> {
    let order = document.get_datetime("order").ok()?.timestamp_millis();
    Some(Turn { order, id: id_of(document)? })
}

fn last_begun(document: &Document) -> Option<(SubmissionId, OffsetDateTime)> {
    let last = document.get_array("attempts").ok()?.last()?.as_document()?;
    Some((id_of(document)?, restored(*last.get_datetime("started_at").ok()?)))
}
