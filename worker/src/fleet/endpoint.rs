//! How engines are reached: addresses, mutual TLS, the version of their API, and which of several
//! managers is spoken to.
//!
//! ```text
//!   ask ──► the address that answered last ──► an answer, or a refusal of the request: done
//!                │ no answer, "no leader", not a manager any more
//!                └──► the next ──► … ──► once round, and round again for a while
//! ```
//!
//! Every request takes a connection of its own, so what was away is found again by the next one.
//! A request may be made twice, at two managers: whoever makes something gives it a name, and takes
//! a conflict of names for the sign that it was made already.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bollard::{Docker, errors::Error as Bollard};
use tokio::time::{Instant, sleep, timeout};

use super::error::FleetError;

mod address;
mod transport;
pub(super) mod version;

pub(super) use address::{Address, CLIENT_TIMEOUT};

/// How long a swarm may be without a leader before a request that waits for one fails. An election
/// takes seconds where the others are there.
const LEADERLESS: Duration = Duration::from_secs(20);
/// Between two rounds over all managers.
const AGAIN: Duration = Duration::from_millis(300);

/// The managers of a swarm, as one.
#[derive(Debug)]
pub(super) struct Endpoint {
    managers: Vec<Arc<Address>>,
    /// Which of them answered last.
    last: AtomicUsize,
    /// How long a leader is waited for.
    patience: Duration,
}

impl Endpoint {
    /// Reads the addresses. Nothing is connected yet.
    pub(super) fn new(hosts: &[String], certs: Option<&Path>) -> Result<Self, FleetError> {
        let parse = |host: &String| Address::parse(host, certs).map(Arc::new);
        let managers = hosts.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        if managers.is_empty() {
            return Err(FleetError::Address("none is given".to_owned()));
        }
        Ok(Self { managers, last: AtomicUsize::new(0), patience: LEADERLESS })
    }

    /// All of them, in the order in which they were given.
    pub(super) fn managers(&self) -> &[Arc<Address>] {
        &self.managers
    }

    /// Which of them answered last.
    pub(super) fn last(&self) -> usize {
        self.last.load(Ordering::Relaxed)
    }

    /// A client of the manager that answers.
    pub(super) async fn answering(&self) -> Result<Docker, FleetError> {
        self.move_on(|address| async move { address.settled().await }).await
    }

    /// Makes a request at the manager that answered last, or else at the first that answers. While
    /// none has a leader, all are asked again.
    pub(super) async fn ask<T, F>(
        &self,
        deadline: Duration,
        doing: &'static str,
        call: impl Fn(Docker) -> F,
    ) -> Result<T, FleetError>
    where
        F: Future<Output = Result<T, Bollard>>,
    {
        let at = |address: Arc<Address>| {
            let call = &call;
            async move {
                let docker = address.settled().await?;
                within(deadline, doing, call(docker)).await
            }
        };
        self.move_on(at).await
    }

    /// The same for what the client library has no type for.
    pub(super) async fn read(
        &self,
        deadline: Duration,
        doing: &'static str,
        path: &str,
    ) -> Result<serde_json::Value, FleetError> {
        let at = |address: Arc<Address>| async move {
            address.settled().await?;
            address.read(deadline, doing, path).await
        };
        self.move_on(at).await
    }

    async fn move_on<T, F>(&self, at: impl Fn(Arc<Address>) -> F) -> Result<T, FleetError>
    where
        F: Future<Output = Result<T, FleetError>>,
    {
        let until = Instant::now() + self.patience;
        loop {
            let (first, mut leaderless, mut error) = (self.last(), false, None);
            for step in 0..self.managers.len() {
                let which = (first + step) % self.managers.len();
                let address = &self.managers[which];
                match at(Arc::clone(address)).await {
                    Err(failed) if is_the_managers(&failed) => {
                        address.forget();
                        leaderless |= may_be_electing(&failed);
                        tracing::debug!(manager = %address, error = %failed, "moving on");
                        error = Some(failed);
                    }
                    answer => {
                        self.last.store(which, Ordering::Relaxed);
                        return answer;
                    }
                }
            }
            if let Some(error) = error
                && (!leaderless || Instant::now() >= until)
            {
                return Err(error);
            }
            sleep(AGAIN).await;
        }
    }
}

/// One call under its deadline.
pub(super) async fn within<T>(
    deadline: Duration,
    doing: &'static str,
    call: impl Future<Output = Result<T, Bollard>>,
) -> Result<T, FleetError> {
    match timeout(deadline, call).await {
        Ok(answer) => answer.map_err(|error| FleetError::from_client(doing, error)),
        Err(_) => Err(FleetError::Deadline { doing, after: deadline }),
    }
}

/// Whether it says something of the manager that was asked, and nothing of the request.
pub(super) fn is_the_managers(error: &FleetError) -> bool {
    match error {
        FleetError::Unreachable { .. } | FleetError::Deadline { .. } | FleetError::Unfit(_) => true,
        FleetError::Refused { status, message, .. } => {
            let said = message.to_lowercase();
            // "This node is not a swarm manager" is a 503, as is a swarm that is locked.
            *status == 503
                || is_leaderless(error)
                || ["not a swarm manager", "is not part of a swarm", "swarm is encrypted"]
                    .iter()
                    .any(|words| said.contains(words))
        }
        _ => false,
    }
}

/// Whether its swarm may have a leader soon: it says that there is none, or it was there and went
/// silent, as managers do over a request that they hand on to a leader who is just gone.
fn may_be_electing(error: &FleetError) -> bool {
    let fell_silent = |doing: &str| doing != address::GREETS;
    is_leaderless(error)
        || matches!(error, FleetError::Deadline { doing, .. } if fell_silent(doing))
}

/// "The swarm does not have a leader", and what managers say while they look for one.
fn is_leaderless(error: &FleetError) -> bool {
    let FleetError::Refused { status, message, .. } = error else { return false };
    let said = message.to_lowercase();
    let words = ["does not have a leader", "no elected primary", "lost leadership", "raft:"];
    *status != 404
        && (words.iter().any(|words| said.contains(words))
            || said.contains("rpc error: code = unavailable")
            || said.contains("context deadline exceeded"))
}

#[cfg(test)]
pub(super) mod tests;
