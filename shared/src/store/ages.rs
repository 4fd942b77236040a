//! How old the oldest submission is in each state that is not final.

use bson::{Document, doc};
use futures::TryStreamExt;
use time::{Duration, OffsetDateTime};

use super::{Store, StoreError, documents::restored};
use crate::retry;

/// The age of the oldest of each; none where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ages {
    /// Of those that wait for their turn, since they came.
    pub queued: Option<Duration>,
    /// Of those that wait for a registry or for us, since they came.
    pub delayed: Option<Duration>,
    /// Of those that are being graded, since they came.
    pub grading: Option<Duration>,
}

impl Store {
    /// How old the oldest of each state is.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn ages(&self, now: OffsetDateTime) -> Result<Ages, StoreError> {
        let kind = doc! { "$cond": [{ "$eq": ["$ready", true] }, "ready", "$state"] };
        let pipeline = vec![
            doc! { "$match": { "state": { "$in": ["queued", "grading"] } } },
            doc! { "$group": { "_id": kind, "oldest": { "$min": "$created_at" } } },
        ];
        let submissions = self.submissions.clone();
        let found: Vec<Document> = self
            .persist(retry::INTERACTIVE, "look for the oldest of each state", move || {
                let (submissions, pipeline) = (submissions.clone(), pipeline.clone());
                async move { submissions.aggregate(pipeline).await?.try_collect().await }
            })
            .await?;
        let mut ages = Ages::default();
        for group in found {
            let oldest = group.get_datetime("oldest").ok().map(|at| now - restored(*at));
            match group.get_str("_id") {
                Ok("ready") => ages.queued = oldest,
                Ok("queued") => ages.delayed = oldest,
                Ok("grading") => ages.grading = oldest,
                _ => {}
            }
        }
        Ok(ages)
    }
}
