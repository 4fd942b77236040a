//! The feed: every change of a submission, as it happens, by a change stream.
//!
//! A feed is a hint, never the truth: when the stream was lost the follower is told with
//! [`Feed::Gap`] and reads the store again. Losing the stream loses nothing.

use bson::{Document, doc};
use mongodb::{
    change_stream::{ChangeStream, event::ChangeStreamEvent},
    error::Error as DriverError,
    options::{ChangeStreamOptions, FullDocumentType},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{CALL, Store, StoreError, decode, documents::SubmissionDoc};
use crate::{domain::submission::Submission, retry};

const DOING: &str = "follow the change stream";

type Change = ChangeStreamEvent<Document>;

/// What a follower is told.
#[derive(Clone, Debug)]
pub enum Feed {
    /// The stream begins, or begins again: what happened before may have been missed.
    Gap,
    /// A submission is now like this.
    Changed(Box<Submission>),
}

/// What a follower wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Every change.
    All,
    /// Only what may be claimed.
    Claimable,
}

impl Store {
    /// Follows the submissions until `stop`, through any number of lost streams.
    pub async fn follow(
        &self,
        interest: Interest,
        to: mpsc::Sender<Feed>,
        stop: CancellationToken,
    ) {
        // The stream lives in a task of its own, which is told to stop; what it was waiting for then
        // is an idle read of its own connection.
        let store = self.clone();
        let task = tokio::spawn(async move {
            let mut pauses = retry::RECONNECT.pauses();
            while !stop.is_cancelled() && !to.is_closed() {
                match store.follow_once(interest, &to, &stop, &mut pauses).await {
                    Ok(()) => return,
                    Err(error) => {
                        metrics::counter!("portcall_feed_lost_total").increment(1);
                        tracing::warn!(%error, "lost the change stream, opening it again");
                    }
                }
                tokio::select! {
                    _ = pauses.wait() => {}
                    () = stop.cancelled() => {}
                }
            }
        });
        if let Err(error) = task.await {
            tracing::error!(%error, "the change stream's task ended early");
        }
    }

    async fn follow_once(
        &self,
        interest: Interest,
        to: &mpsc::Sender<Feed>,
        stop: &CancellationToken,
        pauses: &mut retry::Pauses,
    ) -> Result<(), StoreError> {
        let pipeline: Vec<Document> = match interest {
            Interest::All => vec![],
            Interest::Claimable => vec![doc! { "$match": { "$or": [
                { "operationType": "insert" },
                { "updateDescription.updatedFields.ready": true },
            ] } }],
        };
        let options =
            ChangeStreamOptions::builder().full_document(Some(FullDocumentType::UpdateLookup));
        let submissions = self.submissions.clone();
        let open = async move {
            submissions.watch().pipeline(pipeline).with_options(options.build()).await
        };
        let stream = self.call(DOING, open).await?;
        pauses.reset();
        if to.send(Feed::Gap).await.is_err() {
            return Ok(());
        }
        // In a task of its own: a call that nobody waits for any more is still not dropped half-way.
        let (answers, mut heard) = mpsc::channel(1);
        tokio::spawn(listen(stream, answers, stop.clone()));
        loop {
            // The server answers every second, if only that there is nothing new: one that says nothing
            // at all for as long as any call may take is at the end of a line that is broken.
            let answer = tokio::time::timeout(CALL, heard.recv()).await;
            let answer = answer.map_err(|_| StoreError::Timeout { doing: DOING })?;
            let Some(answer) = answer else {
                return match stop.is_cancelled() {
                    true => Ok(()),
                    false => Err(StoreError::Task { doing: DOING }),
                };
            };
            let event = answer.map_err(|source| StoreError::Driver { doing: DOING, source })?;
            let Some(submission) = event.and_then(read) else { continue };
            if to.send(Feed::Changed(Box::new(submission))).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// What the server answers, of which most is nothing, as long as the stream lasts and anybody listens.
async fn listen(
    mut stream: ChangeStream<Change>,
    answers: mpsc::Sender<Result<Option<Change>, DriverError>>,
    stop: CancellationToken,
) {
    while stream.is_alive() {
        let answer = tokio::select! {
            answer = stream.next_if_any() => answer,
            () = stop.cancelled() => return,
        };
        let failed = answer.is_err();
        if answers.send(answer).await.is_err() || failed {
            return;
        }
    }
}

fn read(event: Change) -> Option<Submission> {
    let document = event.full_document?;
    match decode::<SubmissionDoc>(document).and_then(SubmissionDoc::into_domain) {
        Ok(submission) => Some(submission),
        Err(error) => {
            tracing::warn!(%error, "a change could not be read");
            None
        }
    }
}
