//! A tap between a worker and its engine: everything is passed on unchanged, and every request is
//! recorded with its head, its body and the beginning of its answer. Attached streams, which are no HTTP any more, only pass.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream, UnixStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
        unix,
    },
    task::{JoinHandle, JoinSet},
};

/// Of longer bodies (our own images, as archives) only the beginning is kept, in bytes.
pub const KEPT_BODY: usize = 256 * 1024;
/// Of an answer only the beginning is kept, in bytes: its status, and the id of what was made.
pub const KEPT_ANSWER: usize = 2 * 1024;
/// Longest head that is understood, in bytes.
const HEAD: usize = 256 * 1024;

/// One request, as it went over the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path with its query, and without the version of the API.
    pub path: String,
    /// The header fields; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The beginning of the body.
    pub body: Vec<u8>,
    /// The beginning of the answer, head and body.
    pub answer: Vec<u8>,
}

impl Call {
    /// The path without its query.
    #[must_use]
    pub fn resource(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The id of what it made, as the engine answered.
    #[must_use]
    pub fn made(&self) -> Option<String> {
        let answer = String::from_utf8_lossy(&self.answer);
        let status = answer.lines().next().unwrap_or_default().split(' ').nth(1);
        let (_, rest) = answer.split_once("\"Id\":\"").filter(|_| status == Some("201"))?;
        Some(rest.split('"').next()?.to_owned())
    }
}

/// A tap in front of an engine.
#[derive(Debug)]
pub struct Tap {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
    task: JoinHandle<()>,
}

impl Tap {
    /// A free port of this machine in front of the engine at `unix://…`.
    ///
    /// # Errors
    /// When the engine is elsewhere or there is no free port.
    pub async fn start(engine: &str) -> Result<Self> {
        let socket = engine.strip_prefix("unix://").context("the engine is no unix:// socket")?;
        let socket = PathBuf::from(socket);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let calls = Arc::<Mutex<Vec<Call>>>::default();
        let kept = Arc::clone(&calls);
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (socket, kept) = (socket.clone(), Arc::clone(&kept));
                // Either end may hang up at any time.
                open.spawn(async move { drop(pass(stream, socket, kept).await) });
            }
        });
        Ok(Self { address, calls, task })
    }

    /// The address of the tap, as a setting is written.
    #[must_use]
    pub fn host(&self) -> String {
        format!("tcp://{}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(here: TcpStream, socket: PathBuf, kept: Arc<Mutex<Vec<Call>>>) -> Result<()> {
    here.set_nodelay(true)?;
    let there = UnixStream::connect(socket).await?;
    let (from_worker, to_worker) = here.into_split();
    let (from_engine, to_engine) = there.into_split();
    let reader = Arc::new(Mutex::new(Reader::default()));
    let asked = requests(from_worker, to_engine, Arc::clone(&reader), Arc::clone(&kept));
    let (asked, answered) = tokio::join!(asked, answers(from_engine, to_worker, reader, kept));
    asked.and(answered)
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: unix::OwnedWriteHalf,
    reader: Arc<Mutex<Reader>>,
    kept: Arc<Mutex<Vec<Call>>>,
) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            // A half-closed stream stays open in the other direction.
            return Ok(to.shutdown().await?);
        }
        {
            let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            let calls = reader.asked(&buffer[..read]);
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            // What is answered next on this connection is the last of them.
            if !calls.is_empty() {
                kept.extend(calls);
                reader.last = Some(kept.len() - 1);
            }
        }
        to.write_all(&buffer[..read]).await?;
    }
}

async fn answers(
    mut from: unix::OwnedReadHalf,
    mut to: OwnedWriteHalf,
    reader: Arc<Mutex<Reader>>,
    kept: Arc<Mutex<Vec<Call>>>,
) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(to.shutdown().await?);
        }
        {
            let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            reader.answered(&buffer[..read]);
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(call) = reader.last.and_then(|last| kept.get_mut(last)) {
                let room = KEPT_ANSWER.saturating_sub(call.answer.len());
                call.answer.extend_from_slice(&buffer[..room.min(read)]);
            }
        }
        to.write_all(&buffer[..read]).await?;
    }
}

/// Reads requests from a stream of bytes (RFC 9112), until it becomes something else.
#[derive(Debug, Default)]
struct Reader {
    buffer: Vec<u8>,
    state: State,
    /// Which of all recorded requests came last on this connection.
    last: Option<usize>,
}

#[derive(Debug, Default)]
enum State {
    /// A head comes next.
    #[default]
    Head,
    /// So many bytes of a body are to come.
    Length(Call, usize),
    /// A chunked body.
    Chunks(Call),
    /// It was asked to become another protocol; the answer decides.
    Asked,
    /// It is another protocol.
    Other,
}

impl Reader {
    fn asked(&mut self, bytes: &[u8]) -> Vec<Call> {
        if matches!(self.state, State::Other) {
            return Vec::new();
        }
        self.buffer.extend_from_slice(bytes);
        let mut calls = Vec::new();
        while let Some(call) = self.next() {
            calls.extend(call);
        }
        calls
    }

    /// What the engine says decides whether an upgrade came about.
    fn answered(&mut self, bytes: &[u8]) {
        if matches!(self.state, State::Asked) {
            let upgraded = bytes.starts_with(b"HTTP/1.1 101") || bytes.starts_with(b"HTTP/1.0 101");
            self.state = if upgraded { State::Other } else { State::Head };
        }
    }

    /// One step; nothing when more bytes are needed.
    fn next(&mut self) -> Option<Option<Call>> {
        match std::mem::take(&mut self.state) {
            State::Head => self.head(),
            State::Length(mut call, left) => {
                let taken = left.min(self.buffer.len());
                keep(&mut call, &self.buffer[..taken]);
                self.buffer.drain(..taken);
                match left - taken {
                    0 => Some(Some(call)),
                    left => {
                        self.state = State::Length(call, left);
                        None
                    }
                }
            }
            State::Chunks(call) => self.chunk(call),
            asked => {
                self.state = asked;
                None
            }
        }
    }

    fn head(&mut self) -> Option<Option<Call>> {
        let end = self.buffer.windows(4).position(|end| end == b"\r\n\r\n");
        let Some(end) = end else {
            if self.buffer.len() > HEAD {
                self.state = State::Other;
            }
            return None;
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let text = String::from_utf8_lossy(&head).into_owned();
        let mut lines = text.lines();
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let fields = lines.filter_map(|line| line.split_once(':'));
        let headers: Vec<(String, String)> =
            fields.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
        let call = Call {
            method: method.to_owned(),
            path: without_version(target),
            headers,
            ..Call::default()
        };
        let length = call.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        if call.header("transfer-encoding").is_some() {
            self.state = State::Chunks(call);
            return Some(None);
        }
        if length > 0 {
            self.state = State::Length(call, length);
            return Some(None);
        }
        if call.header("upgrade").is_some() {
            self.state = State::Asked;
        }
        Some(Some(call))
    }

    fn chunk(&mut self, mut call: Call) -> Option<Option<Call>> {
        let line = self.buffer.windows(2).position(|end| end == b"\r\n");
        let size = line.and_then(|end| {
            let text = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
            let size = text.split(';').next().unwrap_or_default().trim().to_owned();
            usize::from_str_radix(&size, 16).ok().map(|size| (end + 2, size))
        });
        match size {
            Some((start, size)) if self.buffer.len() >= start + size + 2 => {
                keep(&mut call, &self.buffer[start..start + size]);
                self.buffer.drain(..start + size + 2);
                if size == 0 {
                    return Some(Some(call));
                }
                self.state = State::Chunks(call);
                Some(None)
            }
            _ => {
                self.state = State::Chunks(call);
                None
            }
        }
    }
}

fn keep(call: &mut Call, bytes: &[u8]) {
    let room = KEPT_BODY.saturating_sub(call.body.len());
    call.body.extend_from_slice(&bytes[..room.min(bytes.len())]);
}

fn without_version(target: &str) -> String {
    let rest = target.strip_prefix("/v1.").and_then(|rest| rest.split_once('/'));
    match rest {
        Some((minor, path)) if minor.bytes().all(|b| b.is_ascii_digit()) => format!("/{path}"),
        _ => target.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stream: &[u8], step: usize) -> Vec<Call> {
        let mut reader = Reader::default();
        stream.chunks(step).flat_map(|piece| reader.asked(piece)).collect()
    }

    #[test]
    fn requests_are_read_however_they_are_cut() {
        let stream = b"GET /v1.41/_ping HTTP/1.1\r\nHost: x\r\n\r\n\
            POST /containers/create?name=a HTTP/1.1\r\nContent-Length: 7\r\nX-Registry-Auth: y\r\n\r\n{\"a\":1}\
            POST /images/load HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n\
            DELETE /v1.41/networks/n HTTP/1.1\r\n\r\n";
        for step in [1, 2, 7, 4096] {
            let calls = read(stream, step);
            let paths: Vec<&str> = calls.iter().map(|call| call.path.as_str()).collect();
            let wanted = ["/_ping", "/containers/create?name=a", "/images/load", "/networks/n"];
            assert_eq!(paths, wanted, "{step}");
            assert_eq!(calls[1].body, b"{\"a\":1}");
            assert_eq!(calls[1].header("x-registry-auth"), Some("y"));
            assert_eq!(calls[1].resource(), "/containers/create");
            assert_eq!(calls[2].body, b"abcde");
        }
    }

    /// Two connections at once: each answer belongs to the request that it followed.
    #[tokio::test]
    async fn what_was_made_is_known_by_its_answer() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine");
        let engine = tokio::net::UnixListener::bind(&socket).unwrap();
        let answering = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut stream, _)) = engine.accept().await {
                open.spawn(async move {
                    let mut buffer = [0; 1024];
                    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                        let asked = String::from_utf8_lossy(&buffer[..read]).into_owned();
                        let name = asked.split([' ', '=']).nth(2).unwrap().to_owned();
                        let body = format!("{{\"Id\":\"id-of-{name}\",\"Warnings\":[]}}");
                        let status = if name == "bad" { "409 Conflict" } else { "201 Created" };
                        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}", body.len());
                        stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
                    }
                });
            }
        });
        let tap = Tap::start(&format!("unix://{}", socket.display())).await.unwrap();
        let mut streams = [
            TcpStream::connect(tap.address()).await.unwrap(),
            TcpStream::connect(tap.address()).await.unwrap(),
        ];
        for (n, name) in [(0, "a"), (1, "b"), (0, "bad"), (1, "c")] {
            let request = format!("POST /containers/create?name={name} HTTP/1.1\r\n\r\n");
            streams[n].write_all(request.as_bytes()).await.unwrap();
            assert!(streams[n].read(&mut [0; 1024]).await.unwrap() > 0);
        }
        let made: Vec<Option<String>> = tap.calls().iter().map(Call::made).collect();
        let id = |name: &str| Some(format!("id-of-{name}"));
        assert_eq!(made, [id("a"), id("b"), None, id("c")]);
        answering.abort();
    }

    #[test]
    fn what_was_upgraded_is_not_read_and_what_was_refused_is() {
        let attach = b"POST /containers/x/attach HTTP/1.1\r\nUpgrade: tcp\r\n\r\n";
        let other = b"GET /info HTTP/1.1\r\n\r\n";
        for (answer, wanted) in [("HTTP/1.1 101 UPGRADED", 0), ("HTTP/1.1 404 Not Found", 1)] {
            let mut reader = Reader::default();
            assert_eq!(reader.asked(attach).len(), 1);
            reader.answered(answer.as_bytes());
            assert_eq!(reader.asked(other).len(), wanted, "{answer}");
        }
    }
}
