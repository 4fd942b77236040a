//! What organisers do to a submission that is not about its verdict: its pin is taken off the map,
//! and put back.
//!
//! Only a mark on the document: the maps of all apis follow by the change stream, and the numbers
//! stay what they are.

use bson::{Bson, Document, doc};
use time::OffsetDateTime;

use super::{
    Store, StoreError,
    documents::{stored, uuid},
    queue::Write,
};
use crate::{domain::ids::SubmissionId, retry};

/// Whether a pin may be on the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// An organiser took it off.
    Hidden,
    /// Nobody did.
    Shown,
}

impl Visibility {
    /// What documents that have it look like.
    pub(super) fn condition(self) -> Document {
        match self {
            Self::Hidden => doc! { "hidden_at": { "$ne": Bson::Null } },
            Self::Shown => doc! { "hidden_at": Bson::Null },
        }
    }

    /// What gives it to those that have the other.
    fn change(self, now: OffsetDateTime) -> (Document, Document) {
        let (at, revision) = (stored(now), doc! { "revision": 1_i64 });
        match self {
            Self::Hidden => {
                let set = doc! { "hidden_at": at, "updated_at": at };
                (Self::Shown.condition(), doc! { "$set": set, "$inc": revision })
            }
            Self::Shown => {
                let (set, unset) = (doc! { "updated_at": at }, doc! { "hidden_at": "" });
                let update = doc! { "$set": set, "$unset": unset, "$inc": revision };
                (Self::Hidden.condition(), update)
            }
        }
    }
}

impl Store {
    /// Hides the pin of a submission, or shows it again. One that is so already stays as it is, and
    /// that counts as applied. A trial is nobody's submission.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn show_as(
        &self,
        id: SubmissionId,
        visibility: Visibility,
    ) -> Result<Write, StoreError> {
        let own = doc! { "_id": uuid(id), "trial_of": Bson::Null };
        let (other, update) = visibility.change(OffsetDateTime::now_utc());
        let submissions = self.submissions.clone();
        let filter = doc! { "$and": [own.clone(), other] };
        let changed = self
            .persist(retry::INTERACTIVE, "hide or show a submission", move || {
                let (submissions, filter) = (submissions.clone(), filter.clone());
                let update = update.clone();
                async move { submissions.update_one(filter, update).await }
            })
            .await?;
        if changed.matched_count == 1 {
            return Ok(Write::Applied);
        }
        let submissions = self.submissions.clone();
        let there = self
            .persist(retry::INTERACTIVE, "read a submission", move || {
                let (submissions, own) = (submissions.clone(), own.clone());
                async move { submissions.count_documents(own).limit(1).await }
            })
            .await?;
        Ok(if there == 1 { Write::Applied } else { Write::Missing })
    }
}
