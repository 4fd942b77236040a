//! The process around the router: waiting for the store, watching it, serving, and the end of it:
//!
//! ```text
//!  told to stop ──► not ready, still accepting ──► closing ──────────────────► ended
//!                   (PORTCALL_API_DRAIN_MS, so     no new connection, open
//!                   that balancers see it first)   requests are answered, live
//!                                                  streams are told to come back
//!                                                  (PORTCALL_API_GRACE_MS at most)
//! ```

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use portcall_shared::{
    gazetteer,
    ops::{Readiness, Ready},
    retry,
    shutdown::{self, Drained},
    store::{
        Store, StoreError,
        processes::{Listed, Process},
    },
};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;

use crate::{
    certificates::Certificates,
    layers::HELD,
    listen::{self, Side, Tls, Way, accept, plain},
    map::{follow, reading},
    problem::chain,
    router::router,
    state::AppState,
    webhooks,
};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;
/// What the system keeps of an answer that was not acknowledged, in bytes; it takes twice as much.
const SEND_BUFFER: u32 = 128 * 1024;
/// What it keeps of what was not read, likewise.
const RECEIVE_BUFFER: u32 = 64 * 1024;
/// How often it is looked whether the store answers.
const LOOK: Duration = Duration::from_secs(2);
/// How long the store may take to answer that.
const ANSWER: Duration = Duration::from_secs(5);
/// How long it may be silent before a process that was ready no longer is. An election is no reason
/// to take every process from the balancer: who comes meanwhile is held, and answered after it.
const SILENCE: Duration = HELD;

/// Brings the database up to date, or waits until it has been, however long it takes until it is there.
/// Answers whether it is, or the process was told to stop first.
///
/// # Errors
/// When the database is there and cannot be brought up to date.
pub async fn migrate(
    store: &Store,
    ready: &Ready,
    stop: &CancellationToken,
) -> Result<Reached, StoreError> {
    let mut pauses = retry::RECONNECT.pauses();
    loop {
        let tried = tokio::select! {
            tried = store.migrate() => tried,
            () = stop.cancelled() => return Ok(stopped(store).await),
        };
        let error = match tried {
            Ok(()) => return Ok(Reached::Store),
            Err(error) if error.again() == retry::Again::No => return Err(error),
            Err(error) => error,
        };
        ready.set(Readiness::NotReady(error.obstacle()));
        tracing::warn!(error = chain(&error), "cannot begin: {}; will retry", error.obstacle());
        tokio::select! {
            _ = pauses.wait() => {}
            () = stop.cancelled() => return Ok(stopped(store).await),
        }
    }
}

async fn stopped(store: &Store) -> Reached {
    store.close(ANSWER).await;
    Reached::Stopped
}

/// What waiting for the store came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// It is there.
    Store,
    /// The process was told to stop.
    Stopped,
}

/// Takes the address of the public side. Whoever connects is refused until there is something to
/// serve, which a balancer mends by trying another; a connection that waited would hang.
///
/// # Errors
/// When the address is taken, or is none of this machine's.
pub fn take(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // What the system keeps for one connection; by itself it would keep megabytes.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(addr)?;
    Ok(socket)
}

/// The ways in of the public side.
#[derive(Debug)]
pub struct Doors {
    /// Its address.
    pub public: TcpSocket,
    /// Its address for plain HTTP beside TLS.
    pub plain: Option<TcpSocket>,
    /// Its certificate, where it speaks TLS.
    pub certificates: Option<Certificates>,
}

/// Accepts connections at all of them, and ends when those that were open have ended.
async fn open(
    public: TcpListener,
    plain: Option<TcpListener>,
    app: &AppState,
    certificates: Option<Certificates>,
) {
    let (settings, stop) = (&app.settings, &app.stop);
    let tls = certificates.as_ref().map(|all| Tls::new(all.server_config()));
    let side = Side::Public { router: router(app.clone()), tls };
    let public = listen::serve(public, Way::new(side, settings, stop.clone()));
    let plain = async {
        if let Some(listener) = plain {
            let router = plain::router(&settings.public_url, certificates);
            let way = Way::new(Side::Plain { router }, settings, stop.clone());
            listen::serve(listener, way).await;
        }
    };
    tokio::join!(public, plain);
}

/// Serves until the process is told to stop, then lets open requests end.
///
/// # Errors
/// When the socket cannot listen, or the database is no longer for this version.
pub async fn serve(doors: Doors, app: AppState, ready: Ready) -> io::Result<Drained> {
    let Doors { public, plain, certificates } = doors;
    let (stop, store, grace) = (app.stop.clone(), app.store.clone(), app.settings.grace);
    let listed = tokio::select! {
        listed = start(&app) => listed.map_err(io::Error::other)?,
        () = stop.told.cancelled() => {
            store.close(ANSWER).await;
            return Ok(Drained::InTime);
        }
    };
    let places = tokio::task::spawn_blocking(gazetteer::warm).await.unwrap_or_default();
    accept::make_room(app.settings.connections);
    let listener = public.listen(BACKLOG)?;
    let plain = plain.map(|socket| socket.listen(BACKLOG)).transpose()?;
    let addr = listener.local_addr()?;
    tracing::info!(%addr, places, pins = app.map.total(), "listening");
    let follower = tokio::spawn(follow::run(app.clone()));
    let watcher = tokio::spawn(watch(app.clone(), certificates.clone(), ready));
    let teller = tokio::spawn(webhooks::run(app.clone()));
    let work = open(listener, plain, &app, certificates.clone());
    let keeper = certificates.map(|all| tokio::spawn(all.keep(stop.told.clone())));
    let drained = shutdown::drain(work, stop.closing.clone(), grace).await;
    stop.told.cancel();
    stop.closing.cancel();
    for task in [follower, watcher, teller].into_iter().chain(keeper) {
        if let Err(error) = task.await {
            tracing::error!(%error, "a task ended early");
        }
    }
    listed.leave().await;
    store.close(ANSWER).await;
    Ok(drained)
}

/// Lists the process and reads what is kept in memory, however long that takes.
async fn start(app: &AppState) -> Result<Listed, StoreError> {
    let process = Process::api(env!("CARGO_PKG_VERSION"));
    let list = || app.store.list_process(process.clone());
    let listed = retry::RECONNECT.run(StoreError::again, list).await?;
    reading::whole_at_last(app).await;
    Ok(listed)
}

/// Keeps the readiness in line with the store until the process is told to stop; then it is not
/// ready at once, and closes when whoever sends to it has had the time to see that.
async fn watch(app: AppState, certificates: Option<Certificates>, ready: Ready) {
    let told = &app.stop.told;
    let mut answered = None;
    loop {
        let answer = tokio::select! {
            answer = tokio::time::timeout(ANSWER, app.store.ping()) => answer,
            () = told.cancelled() => break,
        };
        if let Ok(Ok(())) = answer {
            answered = Some(Instant::now());
            app.away.heard();
            let obstacle = certificates.as_ref().and_then(Certificates::obstacle);
            ready.set(obstacle.map_or(Readiness::Ready, Readiness::NotReady));
        } else {
            app.away.not_heard();
            if answered.is_none_or(|at| at.elapsed() >= SILENCE) {
                ready.set(Readiness::NotReady("the database does not answer".to_owned()));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = told.cancelled() => break,
        }
    }
    // Nobody sends to what is not ready.
    let used = ready.get() == Readiness::Ready;
    ready.set(Readiness::NotReady("stopping".to_owned()));
    app.stop.linger(if used { app.settings.drain } else { Duration::ZERO }).await;
}
