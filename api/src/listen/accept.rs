//! The loop that accepts connections.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{rt::TokioExecutor, server::conn::auto::Builder};
use ipnet::IpNet;
use portcall_shared::shutdown::Stop;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    connection::{self, Refused},
    seats::{Counts, Seats},
    tls::Tls,
};
use crate::settings::{ProxyProtocol, Settings};

/// How long nothing is accepted when the system has no room for it.
const NO_ROOM: Duration = Duration::from_millis(100);
/// Files that the process needs beside those of connections.
const OTHER_FILES: u64 = 256;

/// What is behind an address.
#[derive(Clone, Debug)]
pub enum Side {
    /// All of the public side.
    Public {
        /// Its addresses.
        router: Router,
        /// What is needed to speak TLS, where it does.
        tls: Option<Tls>,
    },
    /// What there is in plain HTTP beside TLS.
    Plain {
        /// The little that it answers.
        router: Router,
    },
}

impl Side {
    /// What is needed to speak TLS, where it does.
    pub(super) fn tls(&self) -> Option<&Tls> {
        match self {
            Self::Public { tls, .. } => tls.as_ref(),
            Self::Plain { .. } => None,
        }
    }
}

/// A way in: what is behind it, and what may come through.
#[derive(Debug)]
pub struct Way {
    pub(super) side: Side,
    pub(super) seats: Seats,
    pub(super) trusted: Vec<IpNet>,
    pub(super) proxy_protocol: ProxyProtocol,
    pub(super) http: Builder<TokioExecutor>,
    pub(super) stop: Stop,
    /// Ends what is still open.
    pub(super) cut: CancellationToken,
}

impl Way {
    /// A way in with seats of its own.
    #[must_use]
    pub fn new(side: Side, settings: &Settings, stop: Stop) -> Self {
        let seats = Seats::new(settings.connections, settings.connections_per_address);
        Self {
            side,
            seats,
            trusted: settings.trusted_proxies.clone(),
            proxy_protocol: settings.proxy_protocol,
            http: connection::http(),
            stop,
            cut: CancellationToken::new(),
        }
    }
}

/// Accepts connections until the process closes, and waits for those that are open to end. Dropped
/// before that, it cuts them.
pub async fn serve(listener: TcpListener, way: Way) {
    let _cut = way.cut.clone().drop_guard();
    let (way, tasks) = (Arc::new(way), TaskTracker::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = way.stop.closing.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => seated(stream, peer, &way, &tasks),
            Err(error) => failed(&error).await,
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// Gives a connection a seat, or closes it.
fn seated(stream: TcpStream, peer: SocketAddr, way: &Arc<Way>, tasks: &TaskTracker) {
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    match way.seats.take(Counts::InAll) {
        Ok(seat) => {
            let way = way.clone();
            tasks.spawn(async move {
                let _open = Open::begin();
                connection::run(stream, peer, way, seat).await;
            });
        }
        Err(full) => Refused::Full(full).count(),
    }
}

/// An open connection, counted while it lives.
struct Open;

impl Open {
    fn begin() -> Self {
        metrics::gauge!("portcall_connections").increment(1);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("portcall_connections").decrement(1);
    }
}

/// What is wrong with one connection is no reason to wait; but when the system has no room, asking
/// again at once would only burn what is left of it.
async fn failed(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    metrics::counter!("portcall_accept_failures_total").increment(1);
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::warn!(%error, "cannot accept connections");
        tokio::time::sleep(NO_ROOM).await;
    }
}

/// Lets the process have as many files open as it may, and says so if that is too few.
pub fn make_room(connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    let all = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current < limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, all)
    {
        tracing::warn!(%error, "cannot have more files open");
    }
    match getrlimit(Resource::Nofile).current {
        Some(files) if files < wanted => {
            tracing::warn!(files, wanted, "too few open files for so many connections");
        }
        _ => {}
    }
}
