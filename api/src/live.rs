//! Who follows what, live.
//!
//! A follower of a submission only ever needs its latest state, so each one holds a `watch`: a slow
//! reader skips what came in between, and nothing piles up. Followers of an event need every pin, so
//! they share a bounded `broadcast`: a reader that falls behind by more than its length is dropped,
//! and goes on from the last that it saw when it comes back ([`audience`]). Neither holds anything
//! for a reader that never reads but what the connection has taken already, and the accept loop
//! closes that.
//!
//! How many streams there are is bounded, in the process and from one address: whoever is one too
//! many is told so, and asks from time to time instead. When the process closes, every stream ends
//! with [`farewell`]: come back, not all at once.

pub mod audience;

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::response::sse;
use portcall_shared::domain::{
    ids::{EventSlug, SubmissionId},
    submission::Submission,
};
use rand::Rng as _;
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;

use self::audience::{Audience, EventNews, Topic};
use crate::{peer::Client, problem::ApiError};

/// When followers are told to come back, in milliseconds: spread, so that those of one process do
/// not all fall upon the next at once.
const COME_BACK_MS: RangeInclusive<u64> = 500..=2500;
/// When those come back whose process is gone without a word.
const COME_BACK_UNTOLD_MS: RangeInclusive<u64> = 1000..=5000;
/// So many events are remembered without followers.
const EVENTS: usize = 64;

/// How many streams may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// In this process.
    pub all: usize,
    /// From one address; an IPv6 network of a subscriber counts as one.
    pub address: usize,
}

/// What a follower of a submission is told.
#[derive(Clone, Debug)]
pub enum News {
    /// Nothing yet.
    Nothing,
    /// It is now like this.
    Changed(Arc<Submission>),
    /// The store has this revision; how it is there, the store knows.
    Revision(i64),
}

/// The followers of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    caps: Caps,
    submissions: Mutex<HashMap<SubmissionId, watch::Sender<News>>>,
    events: Mutex<Events>,
    open: AtomicUsize,
    addresses: Mutex<HashMap<IpAddr, usize>>,
    missed: Notify,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Events {
    /// What this process's numbers are told from those of another by.
    epoch: u64,
    /// The number of the last news.
    last: u64,
    audiences: HashMap<EventSlug, Audience>,
}

/// One open stream, counted while it lives.
#[derive(Debug)]
pub struct Stream {
    hub: Hub,
    address: Option<IpAddr>,
}

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
    /// How it begins.
    pub begins: Begins,
    epoch: u64,
    from: u64,
    missed: VecDeque<EventNews>,
    news: broadcast::Receiver<EventNews>,
    stream: Stream,
}

/// How a stream of an event begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// Whoever follows saw nothing before.
    Fresh,
    /// With what came after what they saw last.
    Resumed,
    /// What they saw last is of another process, or too long ago: they have to read everything again.
    Again,
}

/// The last of a stream that ends before what it follows does: when to come back.
pub fn farewell() -> sse::Event {
    sse::Event::default().retry(spread(COME_BACK_MS)).comment("come back")
}

/// When whoever follows should come back if the stream breaks: for each of them another time.
#[must_use]
pub fn come_back() -> Duration {
    spread(COME_BACK_UNTOLD_MS)
}

fn spread(within: RangeInclusive<u64>) -> Duration {
    Duration::from_millis(rand::rng().random_range(within))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// A hub without followers, whose streams end at `stop`.
    #[must_use]
    pub fn new(stop: CancellationToken, caps: Caps) -> Self {
        let epoch = rand::rng().random();
        Self(Arc::new(Inner {
            caps,
            submissions: Mutex::default(),
            events: Mutex::new(Events { epoch, last: 0, audiences: HashMap::new() }),
            open: AtomicUsize::new(0),
            addresses: Mutex::default(),
            missed: Notify::new(),
            stop,
        }))
    }

    fn open(&self, client: Client) -> Result<Stream, ApiError> {
        let refused = |by: &'static str| {
            metrics::counter!("portcall_live_streams_refused_total", "by" => by).increment(1);
        };
        let all = self.0.caps.all;
        let more = |open| (open < all).then_some(open + 1);
        let opened = self.0.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        opened.map_err(|_| {
            refused("process");
            ApiError::TooManyStreams
        })?;
        metrics::gauge!("portcall_live_streams").increment(1);
        // From here on it is counted, so that dropping it is right.
        let mut stream = Stream { hub: self.clone(), address: None };
        // Who cannot be told from others is not counted with them.
        if client != Client::default() {
            let address = client.network();
            let mut addresses = lock(&self.0.addresses);
            let open = addresses.entry(address).or_default();
            if *open >= self.0.caps.address {
                drop(addresses);
                refused("address");
                return Err(ApiError::TooManyStreamsHere);
            }
            *open += 1;
            stream.address = Some(address);
        }
        Ok(stream)
    }

    /// Begins to follow a submission.
    ///
    /// # Errors
    /// When as many streams are open as may be, here or from that address.
    pub fn follow_submission(
        &self,
        id: SubmissionId,
        client: Client,
    ) -> Result<SubmissionStream, ApiError> {
        let stream = self.open(client)?;
        let mut submissions = lock(&self.0.submissions);
        let sender = submissions.entry(id).or_insert_with(|| watch::Sender::new(News::Nothing));
        Ok(SubmissionStream { id, news: sender.subscribe(), stream })
    }

    /// Begins to follow an event, or goes on after the last that was seen.
    ///
    /// # Errors
    /// When as many streams are open as may be, here or from that address.
    pub fn follow_event(
        &self,
        event: &EventSlug,
        client: Client,
        seen: Option<&str>,
    ) -> Result<EventStream, ApiError> {
        let stream = self.open(client)?;
        let mut events = lock(&self.0.events);
        let Events { epoch, last, audiences } = &mut *events;
        if audiences.len() >= EVENTS && !audiences.contains_key(event) {
            audiences.retain(|_, audience| audience.is_listening());
        }
        let audience =
            audiences.entry(event.clone()).or_insert_with(|| Audience::new(*last, Instant::now()));
        let number = seen.map(|id| number_of(id, *epoch).filter(|number| *number <= *last));
        let missed = number.map(|number| number.and_then(|number| audience.since(number)));
        let (begins, missed) = match missed {
            None => (Begins::Fresh, VecDeque::new()),
            Some(Some(missed)) => (Begins::Resumed, missed),
            Some(None) => (Begins::Again, VecDeque::new()),
        };
        let news = audience.listen();
        Ok(EventStream { begins, epoch: *epoch, from: *last, missed, news, stream })
    }

    /// Tells the followers of a submission how it is now, and those of its event that the numbers
    /// changed.
    pub fn submission_changed(&self, submission: Submission) {
        if let Some(audience) = lock(&self.0.events).audiences.get_mut(&submission.event) {
            audience.stats_changed();
        }
        if let Some(sender) = lock(&self.0.submissions).get(&submission.id) {
            sender.send_replace(News::Changed(Arc::new(submission)));
        }
    }

    /// Tells the followers of a submission which revision the store has, unless they were told of it.
    pub fn submission_is_at(&self, id: SubmissionId, revision: i64) {
        if let Some(sender) = lock(&self.0.submissions).get(&id) {
            sender.send_if_modified(|news| {
                let told = match news {
                    News::Nothing => None,
                    News::Changed(submission) => Some(submission.revision),
                    News::Revision(told) => Some(*told),
                };
                let is_new = told.is_none_or(|told| told < revision);
                if is_new {
                    *news = News::Revision(revision);
                }
                is_new
            });
        }
    }

    /// The submissions that are followed.
    #[must_use]
    pub fn followed(&self) -> Vec<SubmissionId> {
        lock(&self.0.submissions).keys().copied().collect()
    }

    /// That something may have been missed: nobody goes on from what they saw last, and whoever
    /// waits for [`Self::missed`] looks at the store.
    pub fn missed_something(&self) {
        let mut events = lock(&self.0.events);
        let Events { last, audiences, .. } = &mut *events;
        audiences.values_mut().for_each(|audience| audience.missed(*last));
        self.0.missed.notify_one();
    }

    /// Waits until something may have been missed.
    pub async fn missed(&self) {
        self.0.missed.notified().await;
    }

    /// Tells the followers of an event; what `data` gives is asked for only if there are any.
    pub fn tell(&self, event: &EventSlug, topic: Topic, data: impl FnOnce() -> Option<String>) {
        let mut events = lock(&self.0.events);
        let Events { last, audiences, .. } = &mut *events;
        let Some(audience) = audiences.get_mut(event) else { return };
        if topic == Topic::Pin && !audience.takes_pin(Instant::now()) {
            return;
        }
        let Some(data) = data() else { return };
        *last += 1;
        audience.tell(EventNews { number: *last, topic, data: data.into() });
    }

    /// The map of an event is another one than the pins that its followers were told of make up.
    pub fn map_changed(&self, event: &EventSlug) {
        if let Some(audience) = lock(&self.0.events).audiences.get_mut(event) {
            audience.map_changed();
        }
    }

    /// The numbers of all events are other ones: as of when they are has changed.
    pub fn numbers_changed(&self) {
        lock(&self.0.events).audiences.values_mut().for_each(Audience::stats_changed);
    }

    /// The events with followers whose numbers changed since this was asked last.
    #[must_use]
    pub fn stale_stats(&self) -> Vec<EventSlug> {
        self.those(Audience::take_stale_stats)
    }

    /// The events whose followers are to be told now that the map changed.
    #[must_use]
    pub fn stale_maps(&self) -> Vec<EventSlug> {
        let now = Instant::now();
        self.those(|audience| audience.take_stale_map(now))
    }

    fn those(&self, are: impl Fn(&mut Audience) -> bool) -> Vec<EventSlug> {
        let mut events = lock(&self.0.events);
        let those = events
            .audiences
            .iter_mut()
            .filter_map(|(slug, audience)| are(audience).then(|| slug.clone()));
        those.collect()
    }

    /// How many streams are open.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }
}

/// The number in an id that this process gave.
fn number_of(id: &str, epoch: u64) -> Option<u64> {
    let (process, number) = id.split_once('-')?;
    (u64::from_str_radix(process, 16) == Ok(epoch)).then(|| number.parse().ok())?
}

impl Drop for Stream {
    fn drop(&mut self) {
        let inner = &self.hub.0;
        inner.open.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("portcall_live_streams").decrement(1);
        let Some(address) = self.address else { return };
        let mut addresses = lock(&inner.addresses);
        if let Some(open) = addresses.get_mut(&address) {
            *open -= 1;
            if *open == 0 {
                addresses.remove(&address);
            }
        }
    }
}

impl SubmissionStream {
    /// The next news, or nothing when the process stops. May be dropped half-way.
    pub async fn next(&mut self) -> Option<News> {
        tokio::select! {
            () = self.stream.hub.0.stop.cancelled() => None,
            changed = self.news.changed() => {
                changed.ok()?;
                Some(self.news.borrow_and_update().clone())
            }
        }
    }
}

impl EventStream {
    /// The id that says: nothing was seen after the stream began.
    #[must_use]
    pub fn first_id(&self) -> String {
        self.id_of(self.from)
    }

    /// The id of one of its news.
    #[must_use]
    pub fn id(&self, news: &EventNews) -> String {
        self.id_of(news.number)
    }

    fn id_of(&self, number: u64) -> String {
        format!("{:x}-{number}", self.epoch)
    }

    /// The next news; nothing when the process stops or the reader fell too far behind. May be
    /// dropped half-way.
    pub async fn next(&mut self) -> Option<EventNews> {
        if let Some(missed) = self.missed.pop_front() {
            return Some(missed);
        }
        tokio::select! {
            () = self.stream.hub.0.stop.cancelled() => None,
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
        let mut submissions = lock(&self.stream.hub.0.submissions);
        if submissions.get(&self.id).is_some_and(|sender| sender.receiver_count() <= 1) {
            submissions.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests;
