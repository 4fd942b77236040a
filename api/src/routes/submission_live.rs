//! `GET /api/v1/submissions/{id}/live`: a submission as it changes, as server-sent events.
//!
//! An event's id is the revision of the document in it, which the store counts, so it means the
//! same to every process: whoever comes back to another one gets the document as it is now, and so
//! misses nothing; whoever has the last of a submission that has ended is told so (204, after which
//! an `EventSource` does not come back).

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::stream;
use http::{HeaderMap, HeaderName, StatusCode};
use portcall_shared::domain::{ids::SubmissionId, submission::Submission};
use tokio::time::{Interval, MissedTickBehavior};

use super::status;
use crate::{
    extract::Id,
    live::{self, News, SubmissionStream},
    problem::ApiError,
    state::AppState,
    views::submission::QueueView,
    waiting,
};

/// How often a comment shows that the stream lives.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often the place in the queue is looked up.
const LOOK: Duration = Duration::from_secs(5);
/// So many looks pass until the store is read even without news: news are a hint.
const LOOKS: u32 = 3;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The document now and after every change, until the submission has ended.
///
/// # Errors
/// When there is no such submission, too many streams are open, or the store cannot say.
pub async fn follow(
    State(app): State<AppState>,
    Id(id): Id<SubmissionId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    // Followed before it is read, so that no change falls between the two.
    let news = app.hub.follow_submission(id)?;
    let submission = status::find(&app, id).await?;
    if submission.life.state.is_final() && last_seen(&headers) == Some(submission.revision) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look.reset();
    let follower = Follower { app, news, submission, look, looks: 0, sent: Sent::Nothing };
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response())
}

/// The revision that the client saw last, if it says.
fn last_seen(headers: &HeaderMap) -> Option<i64> {
    headers.get(LAST_EVENT_ID)?.to_str().ok()?.parse().ok()
}

struct Follower {
    app: AppState,
    news: SubmissionStream,
    submission: Submission,
    look: Interval,
    looks: u32,
    sent: Sent,
}

/// What the client has.
#[derive(PartialEq)]
enum Sent {
    /// Nothing yet.
    Nothing,
    /// This revision, at this place in the queue.
    This(i64, Option<QueueView>),
    /// Something older than what is known here.
    Unknown,
    /// A final state, or the farewell.
    End,
}

impl Follower {
    /// The next event; the farewell when the process closes, whatever is being waited for; nothing
    /// after that, or after a final state.
    async fn next(&mut self) -> Option<Event> {
        if self.sent == Sent::End {
            return None;
        }
        let closing = self.app.stop.closing.clone();
        tokio::select! {
            biased;
            () = closing.cancelled() => {
                self.sent = Sent::End;
                Some(live::farewell())
            }
            event = self.news() => event,
        }
    }

    async fn news(&mut self) -> Option<Event> {
        loop {
            if self.sent != Sent::Nothing {
                self.change().await?;
            }
            let now = match waiting::place(&self.app, &self.submission).await {
                Ok(queue) => Sent::This(self.submission.revision, queue),
                Err(_) => Sent::Unknown,
            };
            if self.sent == now {
                continue;
            }
            // What the store cannot say now it may say at the next look.
            let Some(event) = self.event(&now).await else {
                self.sent = Sent::Unknown;
                continue;
            };
            self.sent = if self.submission.life.state.is_final() { Sent::End } else { now };
            return Some(event);
        }
    }

    async fn event(&self, now: &Sent) -> Option<Event> {
        let Sent::This(revision, queue) = now else { return None };
        let document = status::document(&self.app, &self.submission, *queue).await.ok()?;
        let event = Event::default().json_data(document).ok()?;
        Some(event.event("submission").id(revision.to_string()))
    }

    /// Waits until there may be something to send; nothing when the process stops.
    async fn change(&mut self) -> Option<()> {
        let reread = tokio::select! {
            news = self.news.next() => match news? {
                News::Nothing => false,
                News::Reread => true,
                News::Changed(submission) => {
                    if submission.revision > self.submission.revision {
                        self.submission = Submission::clone(&submission);
                    }
                    false
                }
            },
            _ = self.look.tick() => {
                self.looks += 1;
                self.looks.is_multiple_of(LOOKS)
            }
        };
        if reread && let Ok(Some(submission)) = self.app.store.submission(self.submission.id).await
        {
            self.submission = submission;
        }
        Some(())
    }
}
