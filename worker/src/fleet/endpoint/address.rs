//! One engine's address, and the version that is spoken there.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::time::Instant;

use super::{
    super::error::FleetError,
    transport::{self, Peer},
    version::{self, Version},
    within,
};

/// Asking a manager for its version: also how it is seen to be there at all.
const GREETING: Duration = Duration::from_secs(3);
/// What a manager that was not heard yet did not do in time.
pub(super) const GREETS: &str = "greeting a manager";
/// For so long an engine is taken for the one that it was.
const SETTLED: Duration = Duration::from_secs(60);
/// The client's own limit on one request; above every deadline, and below none of a pull.
pub(in crate::fleet) const CLIENT_TIMEOUT: Duration = Duration::from_secs(3600);
/// The most that is read of an answer which we read ourselves, in bytes.
const ANSWER: usize = 16 * 1024 * 1024;

/// An engine's address.
pub(in crate::fleet) struct Address {
    written: String,
    peer: Arc<Peer>,
    spoken: Mutex<Option<Spoken>>,
}

/// What an engine was found to speak.
#[derive(Clone, Copy, Debug)]
struct Spoken {
    newest: Version,
    until: Instant,
}

impl Address {
    /// `unix://PATH`, `tcp://HOST:PORT` or `http://HOST:PORT`; with certificates, `tcp://` is spoken
    /// to over mutual TLS.
    pub(in crate::fleet) fn parse(host: &str, certs: Option<&Path>) -> Result<Self, FleetError> {
        let invalid = || FleetError::Address(host.to_owned());
        let (scheme, rest) = host.split_once("://").ok_or_else(invalid)?;
        let rest = rest.trim_end_matches('/');
        let peer = match (scheme, certs) {
            ("unix", _) if !rest.is_empty() => Peer::Unix(PathBuf::from(rest)),
            ("tcp", Some(folder)) if !rest.is_empty() => Peer::tls(rest, folder)
                .map_err(|detail| FleetError::Certificates { folder: folder.to_owned(), detail })?,
            ("tcp" | "http", _) if !rest.is_empty() => Peer::Tcp(rest.to_owned()),
            _ => return Err(invalid()),
        };
        Ok(Self { written: host.to_owned(), peer: Arc::new(peer), spoken: Mutex::default() })
    }

    /// A client. It holds no connection, so making one is how a lost engine is found again.
    pub(in crate::fleet) fn docker(&self) -> Result<Docker, FleetError> {
        let (peer, version) = (Arc::clone(&self.peer), self.version());
        let send = move |request| transport::send(Arc::clone(&peer), version, request);
        let seconds = CLIENT_TIMEOUT.as_secs();
        let docker = Docker::connect_with_custom_transport(
            send,
            // Where a request goes is known by its peer; this only makes a path of it.
            Some("http://engine"),
            seconds,
            API_DEFAULT_VERSION,
        );
        docker.map_err(|error| FleetError::from_client("connecting", error))
    }

    /// A client of an engine that was greeted within the last minute.
    pub(in crate::fleet) async fn settled(&self) -> Result<Docker, FleetError> {
        if self.spoken().is_none() {
            let answer = within(GREETING, GREETS, self.docker()?.version()).await?;
            self.speaks(version::within_bounds(&answer)?);
        }
        self.docker()
    }

    /// It was found to speak this as its newest version, within our bounds.
    pub(in crate::fleet) fn speaks(&self, newest: Version) {
        *self.lock() = Some(Spoken { newest, until: Instant::now() + SETTLED });
    }

    /// What is spoken with it: the oldest that we know until it was greeted.
    pub(in crate::fleet) fn api(&self) -> Version {
        (*self.lock()).map_or(version::LEAST, |spoken| spoken.newest.min(version::MOST))
    }

    /// It is to be greeted anew.
    pub(in crate::fleet) fn forget(&self) {
        *self.lock() = None;
    }

    /// An answer as it came, of bounded length.
    pub(in crate::fleet) async fn read(
        &self,
        deadline: Duration,
        doing: &'static str,
        path: &str,
    ) -> Result<serde_json::Value, FleetError> {
        let asked = transport::read(&self.peer, self.version(), path, ANSWER);
        within(deadline, doing, asked).await
    }

    /// The version that paths name; none where the engine's newest is meant.
    fn version(&self) -> Option<Version> {
        // One that was not greeted for a while is still what it was, most likely.
        (*self.lock()).and_then(|it| (it.newest > version::MOST).then_some(version::MOST))
    }

    fn spoken(&self) -> Option<Spoken> {
        (*self.lock()).filter(|spoken| Instant::now() < spoken.until)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Spoken>> {
        self.spoken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.written)
    }
}
