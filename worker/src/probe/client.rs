//! The worker's end of a prober: many questions over one pair of streams.
//!
//! ```text
//!  ask ─┐                   ┌─► writer task ── stdin of the prober
//!  ask ─┼─ waiters by id ───┤
//!  ping ┘        ▲          └── reader task ── stdout of the prober
//!                └──────────────────┘
//! ```
//!
//! A prober sits in a network with a stranger, so it is believed as little as the stranger: its
//! lines are bounded, an id that nobody waits for is ignored, an answer of another kind or
//! beyond the question's limits is `Garbled`, and a line that is no observation or one of more
//! lines than there were requests ends the conversation for everybody. Ids on the wire are the
//! client's own; callers see theirs.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use portcall_shared::domain::text::defused_line;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::{
    lines::{Line, Lines},
    wire::{
        AT_ONCE, AskLimits, DETAIL_CHARS, DiskSpace, KNOCK_MS, KNOCK_PORTS, LINE_BYTES,
        Observation, Question, Request,
    },
};

/// What an answer may take beyond its own limit: the way there and back.
const GRACE: Duration = Duration::from_secs(1);

/// Why there is no observation. All but `Refused` are the platform's to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProberError {
    /// Its streams ended.
    #[error("the prober is gone")]
    Gone,
    /// It did not answer in its time and a second.
    #[error("the prober did not answer within {waited_ms} ms")]
    Timeout {
        /// How long it was given.
        waited_ms: u64,
    },
    /// What it said makes no sense.
    #[error("the prober is not to be understood: {detail}")]
    Garbled {
        /// In which way.
        detail: String,
    },
    /// The request was not sent, or the prober would not carry it out.
    #[error("the prober was not allowed to ask: {detail}")]
    Refused {
        /// Why.
        detail: String,
    },
}

/// The conversation with one prober. Shared by reference; dropping it ends the conversation.
///
/// Every method may be dropped while it waits; the late observation is then ignored.
pub struct ProberClient {
    shared: Arc<Shared>,
    outbox: mpsc::Sender<Vec<u8>>,
    /// The prober reads no further while it is busy, so nobody's time runs before it is free.
    room: Semaphore,
    next_id: AtomicU64,
    allowed: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    tasks: [JoinHandle<()>; 2],
}

/// Who waits for what, and why nobody can any more.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiters: HashMap<u64, oneshot::Sender<Result<Observation, ProberError>>>,
    /// Requests that an observation may still come for, whether somebody waits for it or not.
    owed: u64,
    over: Option<ProberError>,
}

impl ProberClient {
    /// Begins the conversation; must be called within a tokio runtime.
    ///
    /// `reader` is the prober's stdout, `writer` its stdin, `allowed` says which addresses are in
    /// its slot: nothing else is ever sent to it.
    pub fn new<R, W, A>(reader: R, writer: W, allowed: A) -> Self
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
        A: Fn(IpAddr) -> bool + Send + Sync + 'static,
    {
        let shared = Arc::new(Shared::default());
        let (outbox, lines) = mpsc::channel(AT_ONCE);
        let tasks = [
            tokio::spawn(read(Lines::new(reader), Arc::clone(&shared))),
            tokio::spawn(write(writer, lines, Arc::clone(&shared))),
        ];
        let (room, next_id) = (Semaphore::new(AT_ONCE), AtomicU64::new(1));
        Self { shared, outbox, room, next_id, allowed: Box::new(allowed), tasks }
    }

    /// Asks one question; the observation is an `Answer` or a `Failed`, with the question's id.
    ///
    /// # Errors
    /// As [`ProberError`] says.
    pub async fn ask(&self, question: Question) -> Result<Observation, ProberError> {
        self.admit(question.address.ip())?;
        let (id, limits) = (question.id, question.limits.capped());
        let within = Duration::from_millis(limits.total_ms);
        let _room = self.room.acquire().await;
        let request = |own| Request::Ask(Question { id: own, limits, ..question });
        match self.exchange(request, within).await? {
            Observation::Answer { status, headers, body, body_ms, ms, .. } => {
                believable(status, &headers, &body, limits)
                    .map_err(|error| self.distrust(error))?;
                Ok(Observation::Answer { id, status, headers, body, body_ms, ms })
            }
            Observation::Failed { failure, detail, ms, .. } => {
                Ok(Observation::Failed { id, failure, detail: cut(&detail), ms })
            }
            other => Err(self.distrust(unexpected(other))),
        }
    }

    /// Finds out which of the ports accept a connection, in the order given.
    ///
    /// # Errors
    /// As [`ProberError`] says.
    pub async fn knock(
        &self,
        address: IpAddr,
        ports: Vec<u16>,
        within: Duration,
    ) -> Result<Vec<u16>, ProberError> {
        self.admit(address)?;
        if ports.len() > KNOCK_PORTS {
            let detail = format!("a knock has at most {KNOCK_PORTS} ports");
            return Err(ProberError::Refused { detail });
        }
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX).min(KNOCK_MS);
        let _room = self.room.acquire().await;
        let asked = ports.clone();
        let request = |id| Request::Knock { id, address, ports, within_ms };
        match self.exchange(request, Duration::from_millis(within_ms)).await? {
            Observation::Knocked { open, .. } => {
                Ok(asked.into_iter().filter(|port| open.contains(port)).collect())
            }
            other => Err(self.distrust(unexpected(other))),
        }
    }

    /// Whether large packets arrive at an address and come back.
    ///
    /// # Errors
    /// As [`ProberError`] says.
    pub async fn is_clear(&self, address: IpAddr, within: Duration) -> Result<bool, ProberError> {
        self.admit(address)?;
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX).min(KNOCK_MS);
        let _room = self.room.acquire().await;
        let request = |id| Request::Path { id, address, within_ms };
        match self.exchange(request, Duration::from_millis(within_ms)).await? {
            Observation::Path { clear, .. } => Ok(clear),
            other => Err(self.distrust(unexpected(other))),
        }
    }

    /// Waits for a sign of life, at most two seconds.
    ///
    /// # Errors
    /// As [`ProberError`] says.
    pub async fn ping(&self) -> Result<(), ProberError> {
        match self.exchange(|id| Request::Ping { id }, GRACE).await? {
            Observation::Pong { .. } => Ok(()),
            other => Err(self.distrust(unexpected(other))),
        }
    }

    /// How full the disk is that the prober's root lies on: the one that holds the engine's data.
    ///
    /// # Errors
    /// As [`ProberError`] says.
    pub async fn disk(&self) -> Result<DiskSpace, ProberError> {
        match self.exchange(|id| Request::Disk { id }, GRACE).await? {
            Observation::Disk { space, .. } if space.free_bytes <= space.total_bytes => Ok(space),
            Observation::Disk { .. } => Err(self.distrust(ProberError::Garbled {
                detail: "more of the disk is free than there is".into(),
            })),
            other => Err(self.distrust(unexpected(other))),
        }
    }

    /// Why the conversation is over, if it is.
    #[must_use]
    pub fn over(&self) -> Option<ProberError> {
        self.shared.lock().over.clone()
    }

    /// Who says what cannot be is not asked again.
    fn distrust(&self, error: ProberError) -> ProberError {
        if matches!(error, ProberError::Garbled { .. }) {
            self.shared.end(error.clone());
        }
        error
    }

    fn admit(&self, address: IpAddr) -> Result<(), ProberError> {
        if (self.allowed)(address) {
            return Ok(());
        }
        Err(ProberError::Refused { detail: format!("{address} is outside the slot") })
    }

    async fn exchange(
        &self,
        request: impl FnOnce(u64) -> Request,
        within: Duration,
    ) -> Result<Observation, ProberError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let line = line(&request(id))?;
        let seat = self.shared.wait(id)?;
        let talk = async {
            if self.outbox.send(line).await.is_err() {
                return Err(self.over().unwrap_or(ProberError::Gone));
            }
            seat.answer().await
        };
        let patience = within + GRACE;
        timeout(patience, talk).await.unwrap_or_else(|_| {
            let waited_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
            Err(ProberError::Timeout { waited_ms })
        })
    }
}

impl Drop for ProberClient {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// A place among the waiters, given up on drop.
struct Seat<'a> {
    shared: &'a Shared,
    id: u64,
    answer: oneshot::Receiver<Result<Observation, ProberError>>,
}

impl Seat<'_> {
    async fn answer(mut self) -> Result<Observation, ProberError> {
        (&mut self.answer).await.unwrap_or(Err(ProberError::Gone))
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.shared.lock().waiters.remove(&self.id);
    }
}

impl Shared {
    /// Nothing panics while it holds the lock, so a poisoned state is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, id: u64) -> Result<Seat<'_>, ProberError> {
        let mut state = self.lock();
        if let Some(over) = &state.over {
            return Err(over.clone());
        }
        let (sender, answer) = oneshot::channel();
        state.waiters.insert(id, sender);
        state.owed += 1;
        Ok(Seat { shared: self, id, answer })
    }

    /// # Errors
    /// When the prober says more than it was asked: listening to it could go on for ever.
    fn deliver(&self, observation: Observation) -> Result<(), ProberError> {
        let mut state = self.lock();
        state.owed = state.owed.checked_sub(1).ok_or_else(|| ProberError::Garbled {
            detail: "there are more answers than requests".into(),
        })?;
        if let Some(waiter) = state.waiters.remove(&observation.id()) {
            let _ = waiter.send(Ok(observation));
        }
        Ok(())
    }

    /// The first reason stays.
    fn end(&self, reason: ProberError) {
        let mut state = self.lock();
        let reason = state.over.get_or_insert(reason).clone();
        for (_, waiter) in state.waiters.drain() {
            let _ = waiter.send(Err(reason.clone()));
        }
    }
}

async fn read<R: AsyncRead + Unpin>(mut lines: Lines<R>, shared: Arc<Shared>) {
    loop {
        let reason = match lines.next().await {
            Ok(Some(Line::Whole(line))) => match serde_json::from_slice(&line) {
                Ok(observation) => match shared.deliver(observation) {
                    Ok(()) => continue,
                    Err(reason) => reason,
                },
                Err(error) => ProberError::Garbled { detail: cut(&error.to_string()) },
            },
            Ok(Some(Line::TooLong)) => {
                ProberError::Garbled { detail: format!("a line has more than {LINE_BYTES} bytes") }
            }
            Ok(None) | Err(_) => ProberError::Gone,
        };
        return shared.end(reason);
    }
}

async fn write<W: AsyncWrite + Unpin>(
    mut writer: W,
    mut lines: mpsc::Receiver<Vec<u8>>,
    shared: Arc<Shared>,
) {
    while let Some(line) = lines.recv().await {
        let written = async {
            writer.write_all(&line).await?;
            writer.flush().await
        };
        if written.await.is_err() {
            return shared.end(ProberError::Gone);
        }
    }
}

fn line(request: &Request) -> Result<Vec<u8>, ProberError> {
    let refused = |detail| ProberError::Refused { detail };
    let mut line = serde_json::to_vec(request).map_err(|error| refused(error.to_string()))?;
    line.push(b'\n');
    if line.len() > LINE_BYTES {
        return Err(refused(format!("the request has more than {LINE_BYTES} bytes")));
    }
    Ok(line)
}

fn believable(
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
    limits: AskLimits,
) -> Result<(), ProberError> {
    // A byte that is not UTF-8 comes as U+FFFD, which has three.
    let head = headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let within = (200..=599).contains(&status)
        && headers.len() <= limits.header_fields
        && head <= 3 * limits.head_bytes
        && body.len() <= limits.body_bytes;
    if within {
        return Ok(());
    }
    Err(ProberError::Garbled { detail: "an answer goes beyond its limits".into() })
}

fn unexpected(observation: Observation) -> ProberError {
    match observation {
        Observation::Refused { detail, .. } => ProberError::Refused { detail: cut(&detail) },
        _ => ProberError::Garbled { detail: "an answer to another kind of request".into() },
    }
}

/// A sentence of the other side, short and safe to show.
fn cut(detail: &str) -> String {
    let detail: String = detail.chars().take(DETAIL_CHARS).collect();
    defused_line(&detail, 4 * DETAIL_CHARS)
}

#[cfg(test)]
mod tests;
