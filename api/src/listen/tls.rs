//! The TLS handshake of a connection: bounded in time, and in how many there are at once.
//!
//! A seat is taken when the `ClientHello` has come: whoever sends none costs a file and no more,
//! and keeps nobody else from being served.

use std::{
    io,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{ServerConfig, server::Acceptor};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use super::seats::{Counts, Full, Seats};
use crate::certificates::ACME_TLS;

/// Until a handshake is done.
const TIME: Duration = Duration::from_secs(5);
/// Most handshakes at once, and of one network.
const AT_ONCE: (usize, usize) = (1024, 64);

/// What is needed to speak TLS. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ServerConfig>,
    seats: Seats,
}

/// Why there was no handshake.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// It did not come in time.
    #[error("the handshake took too long")]
    Slow,
    /// Too many are going on.
    #[error("too many handshakes at once")]
    Full(Full),
    /// The two cannot agree, or the connection broke.
    #[error("no handshake")]
    Refused(#[source] io::Error),
}

impl Failed {
    /// For the metric.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Full(full) => full.word(),
            Self::Refused(_) => "refused",
        }
    }
}

impl Tls {
    /// TLS with this configuration.
    #[must_use]
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self { config, seats: Seats::new(AT_ONCE.0, AT_ONCE.1) }
    }

    /// Shakes hands. None when that was all that was wanted.
    ///
    /// # Errors
    /// When there is no handshake in time, or no seat for it.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        network: Option<IpAddr>,
    ) -> Result<Option<TlsStream<S>>, Failed> {
        let begun = Instant::now();
        let accepted = tokio::time::timeout(TIME, self.shake(stream, network)).await;
        let accepted = accepted.unwrap_or(Err(Failed::Slow));
        match &accepted {
            Ok(_) => {
                metrics::histogram!("portcall_handshake_seconds").record(begun.elapsed());
            }
            Err(failed) => {
                let cause = failed.word();
                metrics::counter!("portcall_handshakes_failed_total", "cause" => cause)
                    .increment(1);
            }
        }
        let stream = accepted?;
        Ok((stream.get_ref().1.alpn_protocol() != Some(ACME_TLS)).then_some(stream))
    }

    async fn shake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        network: Option<IpAddr>,
    ) -> Result<TlsStream<S>, Failed> {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await;
        let hello = hello.map_err(Failed::Refused)?;
        let counts = network.map_or(Counts::InAll, Counts::Both);
        let _seat = self.seats.take(counts).map_err(Failed::Full)?;
        hello.into_stream(self.config.clone()).await.map_err(Failed::Refused)
    }
}
