//! Who follows what, live.
//!
//! A follower of a submission only ever needs its latest state, so each one holds a `watch`: a slow
//! reader skips what came in between, and nothing piles up. Followers of an event need every pin,
//! so they share a bounded `broadcast`: a reader that falls behind by more than its length is
//! dropped, and reads the map again when it comes back.
//!
//! When the process closes, every stream ends with [`farewell`]: come back, not all at once.

use std::{
    collections::HashMap,
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::response::sse;
use portcall_shared::domain::{
    ids::{EventSlug, SubmissionId},
    submission::Submission,
};
use rand::Rng as _;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::problem::ApiError;

/// Most streams of one process.
pub const MOST_STREAMS: usize = 10_000;
/// When followers are told to come back, in milliseconds: spread, so that those of one process do
/// not all fall upon the next at once.
const COME_BACK_MS: RangeInclusive<u64> = 500..=2500;
/// How many news a reader of an event may fall behind.
const BEHIND: usize = 256;

/// What a follower of a submission is told.
#[derive(Clone, Debug)]
pub enum News {
    /// Nothing yet.
    Nothing,
    /// It is now like this.
    Changed(Arc<Submission>),
    /// Something may have been missed: the store knows.
    Reread,
}

/// What a follower of an event is told: the name of a server-sent event and its data.
#[derive(Clone, Debug)]
pub struct EventNews {
    /// The name.
    pub name: &'static str,
    /// JSON, on one line.
    pub data: Arc<str>,
}

/// The followers of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    submissions: Mutex<HashMap<SubmissionId, watch::Sender<News>>>,
    events: Mutex<HashMap<EventSlug, Audience>>,
    open: AtomicUsize,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Audience {
    sender: broadcast::Sender<EventNews>,
    /// Whether the numbers changed since they were sent.
    stale: AtomicBool,
}

/// One open stream, counted while it lives.
#[derive(Debug)]
pub struct Stream(Hub);

/// A stream that follows a submission.
#[derive(Debug)]
pub struct SubmissionStream {
    id: SubmissionId,
    news: watch::Receiver<News>,
    stream: Stream,
}

/// A stream that follows an event.
#[derive(Debug)]
pub struct EventStream {
    event: EventSlug,
    news: broadcast::Receiver<EventNews>,
    stream: Stream,
}

/// The last of a stream that ends before what it follows does: when to come back.
pub fn farewell() -> sse::Event {
    let pause = rand::rng().random_range(COME_BACK_MS);
    sse::Event::default().retry(Duration::from_millis(pause)).comment("come back")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// A hub without followers, whose streams end at `stop`.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        Self(Arc::new(Inner {
            submissions: Mutex::default(),
            events: Mutex::default(),
            open: AtomicUsize::new(0),
            stop,
        }))
    }

    fn open(&self) -> Result<Stream, ApiError> {
        let more = |open| (open < MOST_STREAMS).then_some(open + 1);
        let opened = self.0.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        opened.map_err(|_| ApiError::TooManyStreams)?;
        metrics::gauge!("portcall_live_streams").increment(1);
        Ok(Stream(self.clone()))
    }

    /// Begins to follow a submission.
    ///
    /// # Errors
    /// When as many streams are open as may be.
    pub fn follow_submission(&self, id: SubmissionId) -> Result<SubmissionStream, ApiError> {
        let stream = self.open()?;
        let mut submissions = lock(&self.0.submissions);
        let sender = submissions.entry(id).or_insert_with(|| watch::Sender::new(News::Nothing));
        Ok(SubmissionStream { id, news: sender.subscribe(), stream })
    }

    /// Begins to follow an event.
    ///
    /// # Errors
    /// When as many streams are open as may be.
    pub fn follow_event(&self, event: EventSlug) -> Result<EventStream, ApiError> {
        let stream = self.open()?;
        let mut events = lock(&self.0.events);
        let audience = events.entry(event.clone()).or_insert_with(|| Audience {
            sender: broadcast::Sender::new(BEHIND),
            stale: AtomicBool::new(false),
        });
        Ok(EventStream { event, news: audience.sender.subscribe(), stream })
    }

    /// Tells the followers of a submission how it is now, and those of its event that the numbers
    /// changed.
    pub fn submission_changed(&self, submission: Submission) {
        if let Some(audience) = lock(&self.0.events).get(&submission.event) {
            audience.stale.store(true, Ordering::Relaxed);
        }
        if let Some(sender) = lock(&self.0.submissions).get(&submission.id) {
            sender.send_replace(News::Changed(Arc::new(submission)));
        }
    }

    /// Tells everybody that something may have been missed.
    pub fn missed_something(&self) {
        for sender in lock(&self.0.submissions).values() {
            sender.send_replace(News::Reread);
        }
        for audience in lock(&self.0.events).values() {
            audience.stale.store(true, Ordering::Relaxed);
        }
    }

    /// Tells the followers of an event.
    pub fn tell(&self, event: &EventSlug, news: EventNews) {
        if let Some(audience) = lock(&self.0.events).get(event) {
            // With nobody listening there is nothing to tell.
            let _ = audience.sender.send(news);
        }
    }

    /// The events with followers whose numbers changed since this was asked last.
    #[must_use]
    pub fn stale_events(&self) -> Vec<EventSlug> {
        let events = lock(&self.0.events);
        let stale = events.iter().filter(|(_, a)| a.stale.swap(false, Ordering::Relaxed));
        stale.map(|(slug, _)| slug.clone()).collect()
    }

    /// How many streams are open.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("portcall_live_streams").decrement(1);
    }
}

impl SubmissionStream {
    /// The next news, or nothing when the process stops. May be dropped half-way.
    pub async fn next(&mut self) -> Option<News> {
        tokio::select! {
            () = self.stream.0.0.stop.cancelled() => None,
            changed = self.news.changed() => {
                changed.ok()?;
                Some(self.news.borrow_and_update().clone())
            }
        }
    }
}

impl EventStream {
    /// The next news; nothing when the process stops or the reader fell too far behind. May be
    /// dropped half-way.
    pub async fn next(&mut self) -> Option<EventNews> {
        tokio::select! {
            () = self.stream.0.0.stop.cancelled() => None,
            news = self.news.recv() => match news {
                Ok(news) => Some(news),
                Err(broadcast::error::RecvError::Closed) => None,
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    metrics::counter!("portcall_live_streams_dropped_total").increment(1);
                    None
                }
            },
        }
    }
}

impl Drop for SubmissionStream {
    /// The last follower takes the entry along. Nobody can begin to follow meanwhile: that needs
    /// the same lock.
    fn drop(&mut self) {
        let mut submissions = lock(&self.stream.0.0.submissions);
        if submissions.get(&self.id).is_some_and(|sender| sender.receiver_count() <= 1) {
            submissions.remove(&self.id);
        }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        let mut events = lock(&self.stream.0.0.events);
        if events.get(&self.event).is_some_and(|a| a.sender.receiver_count() <= 1) {
            events.remove(&self.event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub() -> (Hub, CancellationToken) {
        let stop = CancellationToken::new();
        (Hub::new(stop.clone()), stop)
    }

    fn news(name: &'static str) -> EventNews {
        EventNews { name, data: "{}".into() }
    }

    #[tokio::test]
    async fn streams_are_counted_and_forgotten() {
        let (hub, _stop) = hub();
        let id = SubmissionId::new();
        let (first, second) = (hub.follow_submission(id), hub.follow_submission(id));
        assert_eq!(hub.streams(), 2);
        drop(first);
        assert_eq!(lock(&hub.0.submissions).len(), 1);
        drop(second);
        assert_eq!((lock(&hub.0.submissions).len(), hub.streams()), (0, 0));
    }

    #[tokio::test]
    async fn a_reader_that_falls_behind_is_dropped() {
        let (hub, _stop) = hub();
        let event: EventSlug = "birthday-3".parse().unwrap();
        let mut slow = hub.follow_event(event.clone()).unwrap();
        hub.tell(&event, news("pin"));
        assert_eq!(slow.next().await.unwrap().name, "pin");
        for _ in 0..=BEHIND {
            hub.tell(&event, news("pin"));
        }
        assert!(slow.next().await.is_none());
    }

    #[tokio::test]
    async fn streams_end_with_the_process() {
        let (hub, stop) = hub();
        let mut stream = hub.follow_submission(SubmissionId::new()).unwrap();
        let mut other = hub.follow_event("e".parse().unwrap()).unwrap();
        stop.cancel();
        assert!(stream.next().await.is_none() && other.next().await.is_none());
    }

    #[tokio::test]
    async fn only_events_with_followers_get_stale_and_only_once() {
        let (hub, _stop) = hub();
        let _stream = hub.follow_event("e".parse().unwrap()).unwrap();
        hub.missed_something();
        assert_eq!(hub.stale_events(), ["e".parse().unwrap()]);
        assert!(hub.stale_events().is_empty());
    }
}
