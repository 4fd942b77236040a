//! The life of one connection, from when it was accepted.

use std::{
    future::poll_fn,
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use portcall_shared::shutdown::Stop;
use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, Sleep},
};

use super::{
    accept::{Side, Way},
    heads, proxy,
    pulse::{Cut, Pulse},
    seats::{Counts, Full, Seat},
    service::Requests,
    wire::Wire,
};
use crate::{
    peer::{Client, Connection},
    settings::ProxyProtocol,
};

/// Until a balancer has said for whom it speaks.
const NAMED: Duration = Duration::from_secs(5);
/// How long the other end may be silent about what was sent to it, in milliseconds.
const UNACKNOWLEDGED_MS: u32 = 30_000;
/// Most streams of one connection in HTTP/2.
const STREAMS: u32 = 32;
/// How many of them may be given up before they were looked at.
const RESETS: usize = 20;
/// How many faults of a client in HTTP/2 are answered with a reset before it ends.
const FAULTS: usize = 64;
/// What a client may send ahead on one stream and in all. A body has at most 16 KiB.
const WINDOWS: (u32, u32) = (32 * 1024, 128 * 1024);
/// What is kept of an answer until the client takes it.
const AHEAD: usize = 64 * 1024;
/// How often a client in HTTP/2 is asked whether it is there, and how long it may take to say so.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// Why a connection was refused before anything was read of it that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// There is no seat.
    Full(Full),
    /// Only trusted balancers may come, and it is none.
    Stranger,
    /// It did not say for whom it speaks.
    Unnamed,
}

impl Refused {
    /// For the metric.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Full(full) => full.word(),
            Self::Stranger => "stranger",
            Self::Unnamed => "unnamed",
        }
    }

    /// Counts it.
    pub(super) fn count(self) {
        let cause = self.word();
        metrics::counter!("portcall_connections_refused_total", "cause" => cause).increment(1);
    }
}

/// How HTTP is spoken.
pub(super) fn http() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // The pulse has the deadlines. Uncounted heads are bounded by what is read of them.
    builder.http1().header_read_timeout(None).max_buf_size(heads::READ);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(FAULTS)
        .max_header_list_size(HEADER_LIST)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .max_send_buf_size(AHEAD)
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1);
    builder
}

/// What HTTP/2 takes of a header list: the same as ours, counted as it counts, with 32 bytes for
/// each field, and with the path among the fields.
const HEADER_LIST: u32 = (heads::FIELDS + heads::PATH + heads::COUNT * 32) as u32;

/// Serves one connection to its end.
pub(super) async fn run(mut stream: TcpStream, peer: SocketAddr, way: Arc<Way>, seat: Seat) {
    let _seat = seat;
    // Live news are small and must not wait for more to send.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot switch off delays");
    }
    if let Err(error) = sockopt::set_tcp_user_timeout(&stream, UNACKNOWLEDGED_MS) {
        tracing::debug!(%error, "cannot bound what is not acknowledged");
    }
    let (peer, network, _own_seat) = match introduced(&mut stream, peer, &way).await {
        Ok(who) => who,
        Err(refused) => return refused.count(),
    };
    let connection = Connection { peer, tls: way.side.tls().is_some() };
    match &way.side {
        Side::Public { router, tls: Some(tls) } => {
            match tls.accept(stream, network).await {
                Ok(Some(stream)) => spoken(stream, connection, router.clone(), &way).await,
                Ok(None) => {}
                Err(failed) => tracing::debug!(error = %failed, "no handshake"),
            };
        }
        Side::Public { router, tls: None } | Side::Plain { router } => {
            spoken(stream, connection, router.clone(), &way).await;
        }
    }
}

type Who = (SocketAddr, Option<IpAddr>, Option<Seat>);

/// Who is there, by which network it counts, and the seat of that network. Trusted proxies speak
/// for many: they count by no network unless they name whom they speak for.
async fn introduced(stream: &mut TcpStream, peer: SocketAddr, way: &Way) -> Result<Who, Refused> {
    let trusted = proxy::trusts(&way.trusted, peer.ip());
    let (peer, network) = match (way.proxy_protocol, trusted) {
        (ProxyProtocol::Off, true) => (peer, None),
        (ProxyProtocol::Off, false) => (peer, Some(Client(peer.ip()).network())),
        (ProxyProtocol::On, false) => return Err(Refused::Stranger),
        (ProxyProtocol::On, true) => {
            let named = tokio::time::timeout(NAMED, proxy::named(stream)).await;
            match named.map_err(|_| Refused::Unnamed)?.map_err(|_| Refused::Unnamed)? {
                Some(named) => {
                    let named = SocketAddr::new(named.ip().to_canonical(), named.port());
                    (named, Some(Client(named.ip()).network()))
                }
                None => (peer, None),
            }
        }
    };
    let seat = network.map(|network| way.seats.take(Counts::For(network))).transpose();
    Ok((peer, network, seat.map_err(Refused::Full)?))
}

/// Speaks HTTP until one of the two has enough.
async fn spoken<S>(stream: S, connection: Connection, router: Router, way: &Way)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let pulse = Arc::new(Pulse::new());
    let wire = Wire::new(stream, pulse.clone(), connection.tls);
    let requests = Requests { router, connection, pulse: pulse.clone() };
    let mut talk = pin!(way.http.serve_connection(TokioIo::new(wire), requests));
    let mut overdue = pin!(Overdue::of(&pulse));
    let (Stop { closing, .. }, cut) = (&way.stop, &way.cut);
    let mut asked = false;
    loop {
        let due = tokio::select! {
            biased;
            ended = talk.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error, "a connection broke");
                }
                return;
            }
            due = poll_fn(|cx| overdue.as_mut().poll(&pulse, cx)) => due,
            () = closing.cancelled(), if !asked => {
                asked = true;
                talk.as_mut().graceful_shutdown();
                continue;
            }
            () = cut.cancelled() => return,
        };
        if due != Cut::Leaving {
            metrics::counter!("portcall_connections_cut_total", "cause" => due.word()).increment(1);
        }
        if due != Cut::Idle {
            return;
        }
        // Whoever was just about to ask is told that nothing was heard.
        asked = true;
        pulse.leave();
        talk.as_mut().graceful_shutdown();
    }
}

/// Ends when the pulse says so. It is looked at whenever anything happens to the connection.
struct Overdue(Pin<Box<Sleep>>);

impl Overdue {
    fn of(pulse: &Pulse) -> Self {
        let at = pulse.due().map_or_else(Instant::now, |(at, _)| at);
        Self(Box::pin(tokio::time::sleep_until(at)))
    }

    fn poll(self: Pin<&mut Self>, pulse: &Pulse, cx: &mut std::task::Context<'_>) -> Poll<Cut> {
        let sleep = &mut self.get_mut().0;
        loop {
            let Some((at, cut)) = pulse.due() else { return Poll::Pending };
            if at <= Instant::now() {
                return Poll::Ready(cut);
            }
            if sleep.deadline() != at {
                sleep.as_mut().reset(at);
            }
            ready!(sleep.as_mut().poll(cx));
        }
    }
}
