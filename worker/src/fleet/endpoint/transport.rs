//! One request over one connection, in whichever way a peer is reached.
//!
//! The client library would do this by itself, but for two things: over TLS it also trusts every
//! authority that the machine trusts, where an engine's certificate is to be from ours alone; and it
//! names no version in its paths. Nothing is followed, kept or tried again here.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bollard::{BollardRequest, errors::Error as Bollard};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header::HOST};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    body::{Body, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::version::Version;

/// Until a connection is there.
const CONNECT: Duration = Duration::from_secs(3);

/// Who is connected to.
pub(super) enum Peer {
    Unix(PathBuf),
    Tcp(String),
    Tls { address: String, name: ServerName<'static>, client: TlsConnector },
}

impl Peer {
    /// Over mutual TLS, with `ca.pem`, `cert.pem` and `key.pem` of a folder. They are read now, and
    /// no others are trusted.
    pub(super) fn tls(address: &str, folder: &Path) -> Result<Self, String> {
        let read = |name: &str| {
            let file = folder.join(name);
            std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))
        };
        let certificates = |name: &str| -> Result<Vec<CertificateDer<'static>>, String> {
            let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(name)?).collect();
            match found {
                Ok(found) if !found.is_empty() => Ok(found),
                Ok(_) => Err(format!("{name} holds no certificate")),
                Err(error) => Err(format!("{name}: {error}")),
            }
        };
        let mut roots = RootCertStore::empty();
        for authority in certificates("ca.pem")? {
            roots.add(authority).map_err(|error| format!("ca.pem: {error}"))?;
        }
        let key = PrivateKeyDer::from_pem_slice(&read("key.pem")?)
            .map_err(|error| format!("key.pem: {error}"))?;
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates("cert.pem")?, key)
            .map_err(|error| format!("cert.pem and key.pem: {error}"))?;
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
        let name = name.map_err(|error| format!("{host}: {error}"))?;
        let client = TlsConnector::from(Arc::new(config));
        Ok(Self::Tls { address: address.to_owned(), name, client })
    }
}

/// Sends a request and gives the beginning of its answer; the rest comes as it is read.
pub(super) async fn send(
    peer: Arc<Peer>,
    version: Option<Version>,
    request: BollardRequest,
) -> Result<Response<Incoming>, Bollard> {
    exchange(&peer, addressed(request, version)?).await
}

/// Asks for a document, and reads at most so many bytes of it.
pub(super) async fn read(
    peer: &Peer,
    version: Option<Version>,
    path: &str,
    most: usize,
) -> Result<serde_json::Value, Bollard> {
    let request = Request::get(path).body(Empty::<Bytes>::new()).map_err(Bollard::from)?;
    let response = exchange(peer, addressed(request, version)?).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), most).collect().await;
    let body = body.map_err(|error| io::Error::other(error.to_string()))?.to_bytes();
    if status.is_success() {
        return Ok(serde_json::from_slice(&body)?);
    }
    let said: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let message = said["message"].as_str().unwrap_or_default().to_owned();
    Err(Bollard::DockerResponseServerError { status_code: status.as_u16(), message })
}

/// A request whose path names the version, and which names no host.
fn addressed<B>(request: Request<B>, version: Option<Version>) -> Result<Request<B>, Bollard> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let path = match version {
        Some((major, minor)) => format!("/v{major}.{minor}{path}"),
        None => path.to_owned(),
    };
    parts.uri = path.parse::<Uri>().map_err(io::Error::other)?;
    parts.headers.insert(HOST, HeaderValue::from_static("engine"));
    Ok(Request::from_parts(parts, body))
}

async fn exchange<B>(peer: &Peer, request: Request<B>) -> Result<Response<Incoming>, Bollard>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let late = || io::Error::new(ErrorKind::TimedOut, "no connection in time");
    let connect = async {
        match peer {
            Peer::Unix(path) => begin(UnixStream::connect(path).await?).await,
            Peer::Tcp(address) => begin(tcp(address).await?).await,
            Peer::Tls { address, name, client } => {
                begin(client.connect(name.clone(), tcp(address).await?).await?).await
            }
        }
    };
    let mut sender = timeout(CONNECT, connect).await.map_err(|_| late())??;
    Ok(sender.send_request(request).await?)
}

/// A connection on which nothing waits for the answer to what went before: with Nagle's algorithm (RFC 896)
/// the last part of a handshake, and so each request, waits for the 40 ms of a delayed acknowledgement.
async fn tcp(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Speaks HTTP over a stream; the conversation goes on by itself until its answer was read.
async fn begin<S, B>(stream: S) -> Result<http1::SendRequest<B>, Bollard>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (sender, conversation) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the sender and the answer; what is wrong with it is told there.
    tokio::spawn(conversation.with_upgrades());
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn nothing_waits_for_acknowledgements() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert!(tcp(&address).await.unwrap().nodelay().unwrap());
    }
}
