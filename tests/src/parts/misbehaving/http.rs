//! Just enough HTTP/1.1 to serve one request of a connection, rightly or wrongly.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

/// Longest request head, in bytes.
const HEAD: usize = 16 * 1024;
/// How much an answer without end sends at once, and how long it rests.
const PIECE: usize = 16 * 1024;
const REST: Duration = Duration::from_millis(2);

/// A request, as far as it matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `HEAD`…
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The field `Authorization`, if it is there.
    pub authorization: Option<String>,
}

pub(super) async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > HEAD || stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let authorization = lines
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("authorization"))
        .map(|(_, value)| value.to_owned());
    Some(Request { method, path, authorization })
}

/// An answer with its fields, one to a line; the length comes by itself.
pub(super) struct Answer<'a> {
    pub(super) status: &'a str,
    pub(super) fields: Vec<String>,
    pub(super) body: &'a [u8],
}

impl<'a> Answer<'a> {
    pub(super) fn new(status: &'a str) -> Self {
        Self { status, fields: Vec::new(), body: b"" }
    }

    pub(super) fn field(mut self, line: impl Into<String>) -> Self {
        self.fields.push(line.into());
        self
    }

    pub(super) fn body(self, body: &'a [u8]) -> Self {
        Self { body, ..self }
    }

    fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {}\r\nconnection: close\r\n", self.status);
        for field in &self.fields {
            head.push_str(field);
            head.push_str("\r\n");
        }
        head
    }

    /// As it should be.
    pub(super) async fn send(&self, stream: &mut TcpStream) -> Option<()> {
        self.send_part(stream, self.body.len()).await?;
        stream.shutdown().await.ok()
    }

    /// The whole head, and so many bytes of the body.
    pub(super) async fn send_part(&self, stream: &mut TcpStream, part: usize) -> Option<()> {
        let head = format!("{}content-length: {}\r\n\r\n", self.head(), self.body.len());
        stream.write_all(head.as_bytes()).await.ok()?;
        stream.write_all(self.body.get(..part)?).await.ok()
    }

    /// The head, and then one byte of the body after the other.
    pub(super) async fn drip(&self, stream: &mut TcpStream, every: Duration) -> Option<()> {
        self.send_part(stream, 0).await?;
        for byte in self.body {
            stream.write_all(&[*byte]).await.ok()?;
            sleep(every).await;
        }
        stream.shutdown().await.ok()
    }

    /// The head without a length, the body, and then white space for so many bytes.
    pub(super) async fn go_on(&self, stream: &mut TcpStream, mut bytes: u64) -> Option<()> {
        let head = format!("{}\r\n", self.head());
        stream.write_all(head.as_bytes()).await.ok()?;
        stream.write_all(self.body).await.ok()?;
        while bytes > 0 {
            let piece = PIECE.min(usize::try_from(bytes).unwrap_or(PIECE));
            stream.write_all(&[b' '; PIECE][..piece]).await.ok()?;
            bytes -= piece as u64;
            sleep(REST).await;
        }
        stream.shutdown().await.ok()
    }

    /// Fields of the head for ever.
    pub(super) async fn go_on_with_fields(&self, stream: &mut TcpStream) -> Option<()> {
        stream.write_all(self.head().as_bytes()).await.ok()?;
        for n in 0_u64.. {
            stream.write_all(format!("x-{n}: {}\r\n", "y".repeat(100)).as_bytes()).await.ok()?;
            sleep(REST).await;
        }
        None
    }
}

/// Reads until the other side is gone, and says nothing.
pub(super) async fn silence(stream: &mut TcpStream) -> Option<()> {
    tokio::io::copy(stream, &mut tokio::io::sink()).await.ok().map(drop)
}
