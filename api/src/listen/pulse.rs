//! The clock of one connection: what it is waiting for, since when, and how long that may take.
//!
//! ```text
//!            a byte             a request             its last answer
//!  Fresh ───────────► Head ───────────────► Busy ───────────────────► Idle
//!   5 s               10 s        ▲         no limit here              60 s
//!                       ▲         └──────────────────────────────────── │
//!                       └──────────────────── a byte (HTTP/1) ──────────┘
//! ```
//!
//! While requests are being answered, who is slow is either Portcall, which bounds itself, or the
//! client, who reads 30 seconds nothing of an answer that is ready. Over HTTP/2 bytes alone prove
//! nothing, since pings are bytes: there a connection without requests stays idle whatever comes.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::Version;
use tokio::time::Instant;

use super::bucket::Bucket;

/// Until the first byte of a new connection.
const FIRST_BYTE: Duration = Duration::from_secs(5);
/// Until the head of a request is whole, from its first byte.
const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may be kept without a request.
const IDLE: Duration = Duration::from_secs(60);
/// How long a client may take nothing of what is ready for it.
const STALLED: Duration = Duration::from_secs(30);
/// How long a connection may take to end.
const LEAVING: Duration = Duration::from_secs(2);
/// What may come over HTTP/2 beyond requests, in bytes: at once, with each request, each second. A
/// request is a head of at most 32 KiB and a body of at most 16, an organiser's rules are 513 KiB;
/// news of a stream that is followed are acknowledged with 13 bytes each.
const NOTHING: (u32, u32, u32) = (1024 * 1024, 64 * 1024, 4 * 1024);
/// How many requests may be given up before they are answered: at once, and each second.
const GIVEN_UP: (u32, u32) = (200, 5);

/// Why a connection was ended from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// It said nothing.
    Silent,
    /// The head of a request did not come in time.
    SlowHead,
    /// There was nothing to do for too long.
    Idle,
    /// It does not read what it asked for.
    Stalled,
    /// It sends what means nothing, or gives up all that it asks for.
    Flood,
    /// It was told to end and did not.
    Leaving,
}

impl Cut {
    /// For the metric.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::SlowHead => "slow_head",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::Flood => "flood",
            Self::Leaving => "leaving",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Fresh,
    Head,
    Busy,
    Idle,
    Leaving,
}

/// The clock. Its times come from whoever reads, writes and answers.
#[derive(Debug)]
pub(super) struct Pulse(Mutex<State>);

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    version: Option<Version>,
    /// Requests that are being answered.
    open: usize,
    next: u64,
    /// Answers of which a part is ready and not taken, each since when.
    untaken: HashMap<u64, Instant>,
    /// Since when the socket takes nothing.
    blocked: Option<Instant>,
    /// Whether the last request had more to say than was read.
    unread: bool,
    flood: bool,
    nothing: Bucket,
    given_up: Bucket,
}

impl Pulse {
    /// The clock of a connection that has just begun.
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            phase: Phase::Fresh,
            since: Instant::now(),
            version: None,
            open: 0,
            next: 0,
            untaken: HashMap::new(),
            blocked: None,
            unread: false,
            flood: false,
            nothing: Bucket::new(NOTHING.0, NOTHING.2),
            given_up: Bucket::new(GIVEN_UP.0, GIVEN_UP.1),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It begins as HTTP/2 does.
    pub(super) fn speaks_two(&self) {
        self.state().version = Some(Version::HTTP_2);
    }

    /// So many bytes came.
    pub(super) fn came(&self, bytes: usize) {
        let mut state = self.state();
        let many = state.version == Some(Version::HTTP_2);
        if many && !state.nothing.take(bytes) {
            state.flood = true;
        }
        if state.phase == Phase::Fresh || (state.phase == Phase::Idle && !many) {
            state.enter(Phase::Head);
        }
    }

    /// The socket took something.
    pub(super) fn went(&self) {
        self.state().blocked = None;
    }

    /// The socket takes nothing.
    pub(super) fn blocked(&self) {
        self.state().blocked.get_or_insert_with(Instant::now);
    }

    /// A request begins; its number.
    pub(super) fn begins(&self, version: Version) -> u64 {
        let mut state = self.state();
        state.version = Some(version);
        state.open += 1;
        state.unread = false;
        state.nothing.give(NOTHING.1);
        if state.phase != Phase::Leaving {
            state.enter(Phase::Busy);
        }
        state.next += 1;
        state.next
    }

    /// A part of its answer is ready.
    pub(super) fn ready(&self, request: u64) {
        self.state().untaken.insert(request, Instant::now());
    }

    /// All of its answer that there is was taken.
    pub(super) fn taken(&self, request: u64) {
        self.state().untaken.remove(&request);
    }

    /// A request ended.
    pub(super) fn ends(&self, request: u64, answered: bool) {
        let mut state = self.state();
        state.untaken.remove(&request);
        state.open = state.open.saturating_sub(1);
        if !answered {
            state.gives_up();
        }
        if state.open == 0 && state.phase == Phase::Busy {
            state.enter(Phase::Idle);
        }
    }

    /// A request was given up within its body.
    pub(super) fn breaks_off(&self) {
        self.state().gives_up();
    }

    /// Something that was sent will not be read.
    pub(super) fn leaves_unread(&self) {
        self.state().unread = true;
    }

    /// Whether something that was sent was not read.
    pub(super) fn unread(&self) -> bool {
        self.state().unread
    }

    /// Whether the head of a request is being waited for.
    pub(super) fn in_head(&self) -> bool {
        self.state().phase == Phase::Head
    }

    /// Whether a request is being answered.
    pub(super) fn answering(&self) -> bool {
        self.state().open > 0
    }

    /// The connection is about to end.
    pub(super) fn leave(&self) {
        let mut state = self.state();
        if state.phase != Phase::Leaving {
            state.enter(Phase::Leaving);
        }
    }

    /// When the connection has to end if nothing changes, and why.
    pub(super) fn due(&self) -> Option<(Instant, Cut)> {
        let state = self.state();
        if state.flood {
            return Some((state.since, Cut::Flood));
        }
        let phase = match state.phase {
            Phase::Fresh => Some((state.since + FIRST_BYTE, Cut::Silent)),
            Phase::Head => Some((state.since + HEAD, Cut::SlowHead)),
            Phase::Busy => None,
            Phase::Idle => Some((state.since + IDLE, Cut::Idle)),
            Phase::Leaving => Some((state.since + LEAVING, Cut::Leaving)),
        };
        let stalled = state.untaken.values().chain(&state.blocked).min();
        let stalled = stalled.map(|since| (*since + STALLED, Cut::Stalled));
        phase.into_iter().chain(stalled).min_by_key(|(at, _)| *at)
    }
}

impl State {
    fn gives_up(&mut self) {
        if !self.given_up.take(1) {
            self.flood = true;
        }
    }

    fn enter(&mut self, phase: Phase) {
        (self.phase, self.since) = (phase, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    async fn pass(time: Duration) {
        tokio::time::advance(time).await;
    }

    /// What is due right now, if anything.
    fn now(pulse: &Pulse) -> Option<Cut> {
        pulse.due().filter(|(at, _)| *at <= Instant::now()).map(|(_, cut)| cut)
    }

    /// That the pulse has nothing against it just before a time, and something at it.
    async fn due_after(pulse: &Pulse, time: Duration, cut: Cut) {
        pass(time - Duration::from_millis(1)).await;
        assert_eq!(now(pulse), None, "{cut:?} too early");
        pass(Duration::from_millis(1)).await;
        assert_eq!(now(pulse), Some(cut));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_waited_for_for_long() {
        due_after(&Pulse::new(), FIRST_BYTE, Cut::Silent).await;
        let pulse = Pulse::new();
        pass(Duration::from_secs(4)).await;
        pulse.came(1);
        for _ in 0..9 {
            pass(Duration::from_secs(1)).await;
            pulse.came(1);
        }
        due_after(&pulse, Duration::from_secs(1), Cut::SlowHead).await;
    }

    #[rstest]
    #[case(Version::HTTP_11, Duration::from_secs(10), Cut::SlowHead)]
    #[case(Version::HTTP_2, Duration::from_secs(60), Cut::Idle)]
    #[tokio::test(start_paused = true)]
    async fn after_an_answer_bytes_are_a_head_or_prove_nothing(
        #[case] version: Version,
        #[case] time: Duration,
        #[case] cut: Cut,
    ) {
        let pulse = Pulse::new();
        pulse.came(100);
        let request = pulse.begins(version);
        pass(Duration::from_secs(3600)).await;
        assert_eq!(now(&pulse), None, "an answer may take its time");
        pulse.ends(request, true);
        pulse.came(17);
        due_after(&pulse, time, cut).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_kept_for_a_while() {
        let pulse = Pulse::new();
        pulse.came(1);
        let (one, two) = (pulse.begins(Version::HTTP_2), pulse.begins(Version::HTTP_2));
        pulse.ends(one, true);
        pass(IDLE * 2).await;
        assert_eq!(now(&pulse), None, "the other one is open");
        pulse.ends(two, true);
        due_after(&pulse, IDLE, Cut::Idle).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_ends_it() {
        let pulse = Pulse::new();
        let request = pulse.begins(Version::HTTP_2);
        pulse.ready(request);
        pulse.taken(request);
        pass(STALLED * 100).await;
        assert_eq!(now(&pulse), None, "a stream that says nothing is no fault of the client");
        pulse.ready(request);
        pass(STALLED / 2).await;
        pulse.ready(request);
        due_after(&pulse, STALLED, Cut::Stalled).await;
        pulse.taken(request);
        pulse.blocked();
        pass(STALLED / 2).await;
        pulse.went();
        pulse.blocked();
        pass(STALLED / 2).await;
        pulse.blocked();
        due_after(&pulse, STALLED / 2, Cut::Stalled).await;
    }

    #[tokio::test(start_paused = true)]
    async fn floods_end_it() {
        let pulse = Pulse::new();
        for _ in 0..GIVEN_UP.0 {
            let request = pulse.begins(Version::HTTP_2);
            pulse.ends(request, false);
        }
        assert_eq!(now(&pulse), None, "as many as may be");
        pulse.breaks_off();
        assert_eq!(now(&pulse), Some(Cut::Flood));

        let pulse = Pulse::new();
        let request = pulse.begins(Version::HTTP_2);
        pulse.came(NOTHING.0 as usize);
        assert_eq!(now(&pulse), None, "as much as may be");
        pass(Duration::from_secs(1)).await;
        pulse.came(NOTHING.2 as usize);
        assert_eq!(now(&pulse), None, "and a little with time");
        pulse.ends(request, true);
        pulse.came(1);
        assert_eq!(now(&pulse), Some(Cut::Flood));
    }
}
