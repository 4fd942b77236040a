//! One connection over which one request after another is asked, with as little around it as goes: what
//! the client itself takes of the machine is taken from what is measured.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// An open connection.
#[derive(Debug)]
pub struct Wire {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Wire {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| address.to_string())?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with the sender.
        tokio::spawn(connection);
        Ok(Self { sender, host: address.to_string() })
    }

    /// So many.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn several(address: SocketAddr, count: usize) -> Result<Vec<Self>> {
        let mut wires = Vec::with_capacity(count);
        for _ in 0..count {
            wires.push(Self::open(address).await?);
        }
        Ok(wires)
    }

    /// Asks, and reads the answer to its end.
    ///
    /// # Errors
    /// When there is none, or one with another status.
    pub async fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: Vec<u8>,
        wanted: StatusCode,
    ) -> Result<Bytes> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        ensure!(status == wanted, "{method} {path}: {status} {}", String::from_utf8_lossy(&body));
        Ok(body)
    }
}
