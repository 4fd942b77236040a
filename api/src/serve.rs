//! The process around the router: waiting for the store, watching it, serving, draining.

use std::{future::IntoFuture as _, time::Duration};

use axum::serve::ListenerExt as _;
use portcall_shared::{
    gazetteer,
    ops::{Readiness, Ready},
    retry,
    shutdown::{self, Drained},
    store::{Store, StoreError},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{map::follow, problem::chain, router::router, state::AppState};

/// How long open requests may take to end after the process was told to stop.
const GRACE: Duration = Duration::from_secs(20);
/// How often it is looked whether the store answers.
const LOOK: Duration = Duration::from_secs(2);
/// How long the store may take to answer that.
const ANSWER: Duration = Duration::from_secs(5);

/// Brings the database up to date, however long it takes until it is there. Answers whether it is,
/// or the process was told to stop first.
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
            () = stop.cancelled() => return Ok(Reached::Stopped),
        };
        let error = match tried {
            Ok(()) => return Ok(Reached::Store),
            Err(error) if error.again() == retry::Again::No => return Err(error),
            Err(error) => error,
        };
        ready.set(Readiness::NotReady("the database does not answer".to_owned()));
        tracing::warn!(error = chain(&error), "the database does not answer, will retry");
        tokio::select! {
            _ = pauses.wait() => {}
            () = stop.cancelled() => return Ok(Reached::Stopped),
        }
    }
}

/// What waiting for the store came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// It is there.
    Store,
    /// The process was told to stop.
    Stopped,
}

/// Serves until the process is told to stop, then lets open requests end.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(listener: TcpListener, app: AppState, ready: Ready) -> std::io::Result<Drained> {
    follow::reload(&app).await;
    let places = tokio::task::spawn_blocking(gazetteer::warm).await.unwrap_or_default();
    let follower = tokio::spawn(follow::run(app.clone()));
    let watcher = tokio::spawn(watch(app.clone(), ready));
    let addr = listener.local_addr()?;
    tracing::info!(%addr, places, pins = app.map.total(), "listening");
    let (stop, store) = (app.stop.clone(), app.store.clone());
    let listener = listener.tap_io(|io| {
        // Live news are small and must not wait for more to send.
        if let Err(error) = io.set_nodelay(true) {
            tracing::debug!(%error, "cannot switch off delays");
        }
    });
    let serving = axum::serve(listener, router(app))
        .with_graceful_shutdown(stop.clone().cancelled_owned())
        .into_future();
    let mut result = Ok(());
    let drained = shutdown::drain(async { result = serving.await }, stop.clone(), GRACE).await;
    stop.cancel();
    for task in [follower, watcher] {
        if let Err(error) = task.await {
            tracing::error!(%error, "a task ended early");
        }
    }
    store.close(ANSWER).await;
    result.map(|()| drained)
}

/// Keeps the readiness in line with the store.
async fn watch(app: AppState, ready: Ready) {
    loop {
        let answered = tokio::select! {
            answered = tokio::time::timeout(ANSWER, app.store.ping()) => answered,
            () = app.stop.cancelled() => break,
        };
        ready.set(match answered {
            Ok(Ok(())) => Readiness::Ready,
            Ok(Err(_)) | Err(_) => Readiness::NotReady("the database does not answer".to_owned()),
        });
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = app.stop.cancelled() => break,
        }
    }
    ready.set(Readiness::NotReady("stopping".to_owned()));
}
