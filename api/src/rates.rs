//! How much one may ask: token buckets for the network of a client and for a participant.
//!
//! Each process counts for itself and forgets when it ends: N apis behind one balancer let N times as
//! much through. What must hold exactly, the cap on pending submissions, is an index of the
//! store. The buckets are written out here because a refused submission is to cost its participant
//! nothing: one must be able to look into a bucket without taking from it, which `governor` cannot.

use std::{
    collections::{HashMap, hash_map::RandomState},
    fmt,
    hash::{BuildHasher as _, Hash},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::Method;
use portcall_shared::domain::ids::EventSlug;
use uuid::Uuid;

use crate::{peer::Client, problem::ApiError, settings::RateSettings, state::AppState};

/// Most buckets of a kind that are kept. Whoever comes when all are in use is not counted: that takes as many
/// networks as nobody could be kept out of anyway.
const MOST: usize = 100_000;
/// How many of a participant's submissions may come at once.
const BURST: u32 = 5;
/// How many wrong tokens and secrets may come from one network in a minute.
pub const FAILURES: u32 = 5;

/// Whose limit was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The submissions from an address.
    Address,
    /// Any other request from an address.
    Reads,
    /// The submissions of a participant.
    Participant,
    /// Wrong tokens and secrets from an address.
    Failures,
}

impl Whose {
    /// The stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Address => "address_rate",
            Self::Reads => "address_read_rate",
            Self::Participant => "participant_rate",
            Self::Failures => "failure_rate",
        }
    }

    /// What is counted.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Self::Address => "submissions from one address",
            Self::Reads => "requests from one address",
            Self::Participant => "submissions of one participant",
            Self::Failures => "wrong tokens and secrets from one address",
        }
    }
}

/// A limit that was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Whose it is.
    pub whose: Whose,
    /// How many a minute are let through.
    pub per_minute: u32,
    /// Until when there is room again.
    pub wait: Duration,
}

/// Buckets by key, each of which holds `burst` tokens and gets `per_minute` of them back in a minute.
///
/// Of a bucket only the time is kept at which it will be full again (the generic cell rate algorithm); one
/// that is full is forgotten.
struct Buckets<K> {
    whose: Whose,
    per_minute: u32,
    burst: u32,
    most: usize,
    full_at: Mutex<HashMap<K, Instant>>,
}

impl<K> fmt::Debug for Buckets<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {} a minute, {} at once", self.whose, self.per_minute, self.burst)
    }
}

impl<K: Eq + Hash> Buckets<K> {
    /// None where any number may come.
    fn new(whose: Whose, per_minute: u32, burst: u32) -> Option<Self> {
        let full_at = Mutex::default();
        (per_minute > 0).then_some(Self { whose, per_minute, burst, most: MOST, full_at })
    }

    /// The time after which one token is back.
    fn one(&self) -> Duration {
        Duration::from_secs(60) / self.per_minute
    }

    /// Whether there is a token.
    fn look(&self, key: &K, now: Instant) -> Result<(), Refused> {
        let full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        self.room(full_at.get(key).copied(), now).map(drop)
    }

    /// Takes a token, if there is one.
    fn take(&self, key: K, now: Instant) -> Result<(), Refused> {
        let mut kept = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = self.room(kept.get(&key).copied(), now)?;
        if kept.len() >= self.most && !kept.contains_key(&key) {
            kept.retain(|_, full_at| *full_at > now);
            kept.shrink_to(self.most);
            if kept.len() >= self.most {
                return Ok(());
            }
        }
        kept.insert(key, full_at);
        Ok(())
    }

    /// When a bucket will be full again if a token is taken from it now.
    fn room(&self, full_at: Option<Instant>, now: Instant) -> Result<Instant, Refused> {
        let full_at = full_at.map_or(now, |at| at.max(now));
        let missing = full_at.saturating_duration_since(now);
        let most = self.one() * self.burst.saturating_sub(1);
        match missing.checked_sub(most) {
            Some(wait) if !wait.is_zero() => {
                Err(Refused { whose: self.whose, per_minute: self.per_minute, wait })
            }
            _ => Ok(full_at + self.one()),
        }
    }
}

/// All limits of a process.
#[derive(Debug)]
pub struct Rates {
    posts: Option<Buckets<IpAddr>>,
    reads: Option<Buckets<IpAddr>>,
    participants: Option<Buckets<u64>>,
    strays: Option<Buckets<u64>>,
    hasher: RandomState,
    /// Wrong tokens and secrets.
    pub failures: Failures,
}

impl Rates {
    /// As they are set.
    #[must_use]
    pub fn new(settings: &RateSettings) -> Self {
        let RateSettings { per_address, per_participant, reads } = *settings;
        Self {
            posts: Buckets::new(Whose::Address, per_address, per_address),
            reads: Buckets::new(Whose::Reads, reads, reads),
            participants: Buckets::new(Whose::Participant, per_participant, BURST),
            strays: Buckets::new(Whose::Failures, 1, 1),
            hasher: RandomState::new(),
            failures: Failures(Buckets::new(Whose::Failures, FAILURES, FAILURES)),
        }
    }

    /// Counts a request: a submission, or another one to what is counted at all. The page and its files
    /// are not.
    ///
    /// # Errors
    /// When it is one too many.
    pub fn request(&self, method: &Method, path: &str, client: Client) -> Result<(), ApiError> {
        let ours = path.starts_with("/api/") || path == "/competition";
        if !ours && !path.starts_with("/competition/") {
            return Ok(());
        }
        // Organisers' posts are no submissions; wrong tokens of theirs are counted elsewhere.
        let submits = *method == Method::POST && !path.starts_with("/api/v1/admin");
        let buckets = if submits { &self.posts } else { &self.reads };
        let taken = buckets.as_ref().map(|b| b.take(client.network(), Instant::now()));
        counted(taken.unwrap_or(Ok(())))
    }

    /// Whether it is worth a line that somebody's token was used for this act in an event that it does not
    /// extend to: once a minute.
    pub fn strayed(&self, token: Uuid, event: &EventSlug, what: &str) -> bool {
        let key = self.hasher.hash_one((token, event.as_str(), what));
        self.strays.as_ref().is_none_or(|b| b.take(key, Instant::now()).is_ok())
    }

    /// Whether the participant may submit now.
    ///
    /// # Errors
    /// When not.
    pub fn may_submit(&self, event: &EventSlug, participant: &str) -> Result<(), ApiError> {
        let key = self.hasher.hash_one((event.as_str(), participant));
        let room = self.participants.as_ref().map(|b| b.look(&key, Instant::now()));
        counted(room.unwrap_or(Ok(())))
    }

    /// Counts a submission of a participant that was taken in.
    pub fn submitted(&self, event: &EventSlug, participant: &str) {
        let key = self.hasher.hash_one((event.as_str(), participant));
        // Several at once may each have found room; the cap on pending ones is exact.
        let _ = self.participants.as_ref().map(|b| b.take(key, Instant::now()));
    }
}

/// Wrong tokens and secrets, by network, and by what they are said to open. Whoever sent too many for one
/// thing is told so whatever they send for it, so that the answer says nothing about it. Others behind
/// the same address, and with other tokens, are not kept out.
#[derive(Debug)]
pub struct Failures(Option<Buckets<(IpAddr, Option<Uuid>)>>);

impl Failures {
    /// That a token or secret of this client may be looked at: for the token or submission of this id, or
    /// for none.
    ///
    /// # Errors
    /// When too many were wrong.
    pub fn check(&self, client: Client, of: Option<Uuid>) -> Result<(), ApiError> {
        let room = self.0.as_ref().map(|b| b.look(&(client.network(), of), Instant::now()));
        counted(room.unwrap_or(Ok(())))
    }

    /// Counts a wrong one.
    ///
    /// # Errors
    /// When too many of this client were wrong before, for whatever.
    pub fn record(&self, client: Client, of: Option<Uuid>) -> Result<(), ApiError> {
        tracing::warn!(client.network = %client.network(), "a token or secret was wrong");
        let Some(buckets) = &self.0 else { return Ok(()) };
        let (network, now) = (client.network(), Instant::now());
        if of.is_some() {
            // Several at once may each have been looked at; then the bucket is empty already.
            let _ = buckets.take((network, of), now);
        }
        counted(buckets.take((network, None), now))
    }
}

fn counted(outcome: Result<(), Refused>) -> Result<(), ApiError> {
    outcome.map_err(|refused| {
        let labels = [("limit", refused.whose.code())];
        metrics::counter!("portcall_http_limited_total", &labels).increment(1);
        ApiError::TooManyRequests(refused)
    })
}

/// Refuses what is too much from one address, before anything of it is read.
pub async fn limit(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let client = request.extensions().get::<Client>().copied().unwrap_or_default();
    match app.rates.request(request.method(), request.uri().path(), client) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(per_minute: u32, burst: u32) -> Buckets<u32> {
        Buckets::new(Whose::Address, per_minute, burst).unwrap()
    }

    #[test]
    fn a_burst_then_one_at_a_time() {
        let (buckets, start) = (buckets(6, 5), Instant::now());
        for _ in 0..5 {
            buckets.take(1, start).unwrap();
        }
        let refused = buckets.take(1, start).unwrap_err();
        assert_eq!((refused.wait, refused.per_minute), (Duration::from_secs(10), 6));
        buckets.take(2, start).expect("others have their own");
        let later = start + Duration::from_millis(9_999);
        assert_eq!(buckets.take(1, later).unwrap_err().wait, Duration::from_millis(1));
        buckets.take(1, start + Duration::from_secs(10)).unwrap();
        buckets.take(1, start + Duration::from_secs(10)).unwrap_err();
        for _ in 0..5 {
            buckets.take(1, start + Duration::from_secs(70)).unwrap();
        }
        buckets.take(1, start + Duration::from_secs(70)).unwrap_err();
    }

    #[test]
    fn looking_takes_nothing_and_neither_does_a_refusal() {
        let (buckets, start) = (buckets(60, 1), Instant::now());
        for _ in 0..10 {
            buckets.look(&1, start).unwrap();
        }
        buckets.take(1, start).unwrap();
        for _ in 0..10 {
            buckets.look(&1, start).unwrap_err();
            buckets.take(1, start).unwrap_err();
        }
        buckets.take(1, start + Duration::from_secs(1)).unwrap();
    }

    #[test]
    fn no_more_than_so_many_are_kept() {
        let mut buckets = buckets(60, 60);
        buckets.most = 100;
        let start = Instant::now();
        for key in 0..1000 {
            buckets.take(key, start).expect("whoever finds no room is not counted");
        }
        assert_eq!(buckets.full_at.lock().unwrap().len(), 100);
        for _ in 0..59 {
            buckets.take(1, start).unwrap();
        }
        buckets.take(1, start).expect_err("those that are kept still count");
        // Those that are full again make room.
        buckets.take(1000, start + Duration::from_secs(2)).unwrap();
        let kept: Vec<u32> = buckets.full_at.lock().unwrap().keys().copied().collect();
        assert_eq!((kept.len(), kept.contains(&1000)), (2, true), "{kept:?}");
    }

    #[test]
    fn off_is_off() {
        let rates = Rates::new(&RateSettings { per_address: 0, per_participant: 0, reads: 0 });
        for _ in 0..1000 {
            rates.request(&Method::POST, "/api/v1/x", Client::default()).unwrap();
            rates.request(&Method::GET, "/api/v1/x", Client::default()).unwrap();
        }
    }

    #[test]
    fn what_is_counted_as_what() {
        let rates = Rates::new(&RateSettings { per_address: 1, per_participant: 1, reads: 1 });
        let ask = |method: Method, path: &str, client: &str| {
            let client = Client(client.parse().unwrap());
            rates.request(&method, path, client).err().map(|error| error.status().as_u16())
        };
        assert_eq!(ask(Method::POST, "/api/v1/events/a/submissions", "2001:db8:1::1"), None);
        assert_eq!(ask(Method::POST, "/competition", "2001:db8:1::2"), Some(429), "one /64");
        assert_eq!(ask(Method::POST, "/competition", "2001:db8:1:1::2"), None, "another");
        assert_eq!(ask(Method::POST, "/api/v1/admin/x", "2001:db8:1::1"), None, "no submission");
        assert_eq!(ask(Method::GET, "/api/v1/events", "2001:db8:1::1"), Some(429));
        for _ in 0..5 {
            assert_eq!(ask(Method::GET, "/assets/a.js", "2001:db8:1::1"), None, "the page");
        }
    }

    #[test]
    fn five_wrong_ones() {
        let rates = Rates::new(&RateSettings { per_address: 0, per_participant: 0, reads: 0 });
        let (guesser, other) =
            (Client("192.0.2.1".parse().unwrap()), Client("192.0.2.2".parse().unwrap()));
        let (one, another) = (Some(Uuid::from_u128(1)), Some(Uuid::from_u128(2)));
        let code = |outcome: Result<(), ApiError>| outcome.unwrap_err().code().into_owned();
        for _ in 0..FAILURES {
            rates.failures.check(guesser, one).unwrap();
            rates.failures.record(guesser, one).unwrap();
        }
        assert_eq!(code(rates.failures.check(guesser, one)), "too_many_requests");
        rates.failures.check(other, one).unwrap();
        // What is good is taken from the same network, what is wrong is not counted out in private.
        rates.failures.check(guesser, another).unwrap();
        assert_eq!(code(rates.failures.record(guesser, another)), "too_many_requests");
        assert_eq!(code(rates.failures.check(guesser, None)), "too_many_requests");
        rates.failures.record(other, None).unwrap();
    }

    #[test]
    fn who_strays_is_noted_once_a_minute() {
        let rates = Rates::new(&RateSettings { per_address: 0, per_participant: 0, reads: 0 });
        let (token, event) = (Uuid::from_u128(1), "a".parse().unwrap());
        assert!(rates.strayed(token, &event, "hide") && !rates.strayed(token, &event, "hide"));
        assert!(rates.strayed(token, &event, "close"));
        assert!(rates.strayed(Uuid::from_u128(2), &event, "hide"));
    }
}
