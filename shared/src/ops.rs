//! The operators' listener of a process: `/livez`, `/readyz`, `/healthz`, `/metrics`, on its own
//! address so that the public never reaches it.
//!
//! `/readyz` is for whoever sends it work. `/healthz` is for whoever would kill it: it says no until
//! the process was ready once, and yes from then on, since nothing gets better by killing a process
//! that waits for its database.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

/// Whether a process can do its work, and if not why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It can.
    Ready,
    /// It cannot, for this reason.
    NotReady(String),
}

/// Sets a process's readiness.
#[derive(Clone, Debug)]
pub struct Ready {
    now: Arc<watch::Sender<Readiness>>,
    once: Arc<AtomicBool>,
}

impl Default for Ready {
    fn default() -> Self {
        let now = watch::Sender::new(Readiness::NotReady("starting".to_owned()));
        Self { now: Arc::new(now), once: Arc::default() }
    }
}

impl Ready {
    /// Sets it.
    pub fn set(&self, readiness: Readiness) {
        self.once.fetch_or(readiness == Readiness::Ready, Ordering::Relaxed);
        self.now.send_if_modified(|current| {
            let changed = *current != readiness;
            if changed {
                tracing::info!(?readiness, "readiness");
                *current = readiness;
            }
            changed
        });
    }

    /// As it is.
    #[must_use]
    pub fn get(&self) -> Readiness {
        self.now.borrow().clone()
    }

    /// Whether it ever was.
    #[must_use]
    pub fn was(&self) -> bool {
        self.once.load(Ordering::Relaxed)
    }
}

/// Opens the listener and serves until `stop`. Returns the address that it listens on.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(
    addr: SocketAddr,
    metrics: PrometheusHandle,
    ready: Ready,
    stop: CancellationToken,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(addr).await?;
    let bound = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            let Ok((stream, _)) = accepted else { continue };
            let (metrics, ready) = (metrics.clone(), ready.clone());
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let response = answer(&request, &metrics, &ready);
                    async move { Ok::<_, Infallible>(response) }
                });
                let served = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                if let Err(error) = served {
                    tracing::debug!(%error, "operators' connection ended early");
                }
            });
        }
    });
    Ok(bound)
}

fn answer(
    request: &Request<Incoming>,
    metrics: &PrometheusHandle,
    ready: &Ready,
) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
    }
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "ok\n".to_owned()),
        "/healthz" if ready.was() => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" | "/healthz" => match ready.get() {
            Readiness::Ready => text(StatusCode::OK, "ok\n".to_owned()),
            Readiness::NotReady(why) => {
                text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n"))
            }
        },
        "/metrics" => {
            metrics.run_upkeep();
            text(StatusCode::OK, metrics.render())
        }
        _ => {
            let known = "there are /livez, /readyz, /healthz and /metrics\n";
            text(StatusCode::NOT_FOUND, known.to_owned())
        }
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let plain = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, plain);
    response
}
