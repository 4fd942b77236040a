//! `GET /api/v1/submissions/{id}/live`: a submission as it changes, as server-sent events.
//!
//! An event's id is the revision of the document in it, which the store counts, so it means the
//! same to every process: whoever comes back to another one gets the document as it is now, and so
//! misses nothing; whoever has the last of a submission that has ended is told so (204, after which
//! an `EventSource` does not come back).

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::stream;
use http::{HeaderMap, HeaderName, StatusCode};
use portcall_shared::{
    domain::{ids::SubmissionId, submission::Submission},
    store::line::Turn,
};
use rand::Rng as _;
use time::OffsetDateTime;
use tokio::{
    sync::watch,
    time::{Interval, MissedTickBehavior},
};

use super::status;
use crate::{
    extract::Id,
    live::{self, News, SubmissionStream},
    peer::Client,
    problem::ApiError,
    state::AppState,
    views::{schemas::StreamEvent, submission::QueueView},
    waiting,
};

/// How often a comment shows that the stream lives.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often the place in the queue is looked up while it waits, or the store asked again that could
/// not say. More often than this nobody is told of the queue.
const LOOK: Duration = Duration::from_secs(2);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The document now and after every change, until the submission has ended.
///
/// # Errors
/// When there is no such submission, too many streams are open, or the store cannot say.
#[utoipa::path(
    get,
    path = "/api/v1/submissions/{id}/live",
    operation_id = "followSubmission",
    description = "Server-sent events: `submission` with the whole document, now and after every \
        change, until it has ended. The id of an event is the revision of its document. A comment \
        every 15 seconds shows that the stream lives.",
    params((
        "Last-Event-ID" = Option<String>,
        Header,
        description = "The id of the last event that the client has; an `EventSource` sends it by \
            itself when it comes back.",
        example = "3",
    )),
    responses(
        (
            status = 200,
            description = "A stream that ends with the submission.",
            body = StreamEvent,
            content_type = "text/event-stream",
        ),
        (status = 204, description = "The client has the last document of one that has ended."),
    )
)]
pub async fn follow(
    State(app): State<AppState>,
    client: Client,
    Id(id): Id<SubmissionId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    // Followed before it is read, so that no change falls between the two.
    let news = app.hub.follow_submission(id, client)?;
    let submission = status::find(&app, id).await?;
    let seen = last_seen(&headers).and_then(|seen| seen.parse().ok());
    if submission.life.state.is_final() && seen == Some(submission.revision) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let follower = Follower::new(app, news, submission);
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response())
}

/// The id of what the client saw last, if it says.
pub(super) fn last_seen(headers: &HeaderMap) -> Option<&str> {
    headers.get(LAST_EVENT_ID)?.to_str().ok()
}

struct Follower {
    app: AppState,
    news: SubmissionStream,
    submission: Arc<Submission>,
    look: Interval,
    sent: Option<Sent>,
    /// Whether the store could not say how it is now.
    behind: bool,
    away: watch::Receiver<Option<OffsetDateTime>>,
    ended: bool,
}

/// What the client has.
#[derive(Clone, Copy)]
struct Sent {
    revision: i64,
    queue: Option<QueueView>,
    at: Instant,
    as_of: Option<OffsetDateTime>,
}

impl Follower {
    fn new(app: AppState, news: SubmissionStream, submission: Submission) -> Self {
        // Those of a crowd that came at once do not all look at once.
        let first = LOOK.mul_f64(rand::rng().random_range(0.5..1.0));
        let mut look = tokio::time::interval_at(tokio::time::Instant::now() + first, LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let submission = Arc::new(submission);
        let away = app.away.changes();
        Self { app, news, submission, look, sent: None, behind: false, away, ended: false }
    }

    /// The next event; the farewell when the process closes, whatever is being waited for; nothing
    /// after that, or after a final state.
    async fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        let closing = self.app.stop.closing.clone();
        tokio::select! {
            biased;
            () = closing.cancelled() => {
                self.ended = true;
                Some(live::farewell())
            }
            event = self.news() => event,
        }
    }

    async fn news(&mut self) -> Option<Event> {
        loop {
            // Most of the time nothing of this runs: only what waits for a change lies in the stream.
            if let Some(event) = Box::pin(self.due()).await {
                return Some(event);
            }
            if self.change().await? == Look::Again {
                Box::pin(self.reread()).await;
            }
        }
    }

    /// What the client does not have yet, if that is worth an event. What the store cannot say now
    /// it may say at the next look.
    async fn due(&mut self) -> Option<Event> {
        let Ok(queue) = waiting::place(&self.app, &self.submission).await else {
            self.behind = true;
            return None;
        };
        let (revision, as_of) = (self.submission.revision, *self.away.borrow_and_update());
        let silent = queue.is_none() && Turn::awaited(&self.submission).is_some();
        if silent && as_of.is_none() && self.sent.is_some() {
            self.behind = true;
            return None;
        }
        let same = |sent: &Sent| sent.revision == revision && sent.as_of == as_of;
        let told =
            |sent: &Sent| same(sent) && !waiting::is_news(sent.queue, queue, sent.at.elapsed());
        if self.sent.as_ref().is_some_and(told) {
            return None;
        }
        let Ok(document) = status::document(&self.app, &self.submission, queue).await else {
            self.behind = true;
            return None;
        };
        let mut event = Event::default();
        if self.sent.is_none() {
            event = event.retry(live::come_back());
        }
        event = event.event("submission").id(revision.to_string());
        self.sent = Some(Sent { revision, queue, at: Instant::now(), as_of });
        self.ended = self.submission.life.state.is_final();
        event.json_data(document).ok()
    }

    /// Waits until there may be something to send; nothing when the process stops.
    async fn change(&mut self) -> Option<Look> {
        let looks = self.behind || Turn::awaited(&self.submission).is_some();
        loop {
            tokio::select! {
                news = self.news.next() => match news? {
                    News::Changed(submission) if submission.revision > self.submission.revision => {
                        self.submission = submission;
                        return Some(Look::Here);
                    }
                    News::Revision(revision) if revision > self.submission.revision => {
                        return Some(Look::Again);
                    }
                    News::Nothing | News::Changed(_) | News::Revision(_) => {}
                },
                // It is gone when the process ends, which is told otherwise.
                Ok(()) = self.away.changed() => return Some(Look::Here),
                _ = self.look.tick(), if looks => {
                    return Some(if self.behind { Look::Again } else { Look::Here });
                }
            }
        }
    }

    async fn reread(&mut self) {
        match self.app.store.submission(self.submission.id).await {
            Ok(Some(submission)) => {
                self.submission = Arc::new(submission);
                self.behind = false;
            }
            Ok(None) => self.behind = false,
            Err(_) => self.behind = true,
        }
    }
}

/// Where to look for what is new.
#[derive(PartialEq)]
enum Look {
    /// In what is known here.
    Here,
    /// In the store.
    Again,
}
