//! A receiver of webhooks: it keeps what comes, and answers by a script.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use portcall_tests::wait;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    pub(crate) at: Instant,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }
}

#[derive(Debug)]
pub(crate) struct Receiver {
    address: SocketAddr,
    all: Arc<Mutex<Vec<Received>>>,
    taken: AtomicUsize,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// Answers with these statuses, one after the other, and with the last from then on.
    pub(crate) async fn start(statuses: &[u16]) -> Result<Self> {
        let script: Vec<(u16, &str)> = statuses.iter().map(|status| (*status, "")).collect();
        Self::saying(&script).await
    }

    /// The same, with lines of the head.
    pub(crate) async fn saying(script: &[(u16, &str)]) -> Result<Self> {
        let script: Vec<(u16, String)> =
            script.iter().map(|(status, lines)| (*status, (*lines).to_owned())).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let all: Arc<Mutex<Vec<Received>>> = Arc::default();
        let kept = Arc::clone(&all);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&kept), script.clone()));
            }
        });
        Ok(Self { address, all, taken: AtomicUsize::new(0), task })
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn all(&self) -> Vec<Received> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next one, once it has come.
    pub(crate) async fn one(&self, within: Duration) -> Result<Received> {
        let next = self.taken.fetch_add(1, Ordering::Relaxed);
        let come = || async { Ok(self.all().get(next).cloned()) };
        wait::until("a message to the webhook", within, come).await
    }
}

async fn answer(
    mut stream: TcpStream,
    all: Arc<Mutex<Vec<Received>>>,
    script: Vec<(u16, String)>,
) -> Option<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = head.lines();
    let line = lines.next()?.to_owned();
    let header = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_lowercase(), value.to_owned()))
    };
    let headers: Vec<(String, String)> = lines.filter_map(header).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    let received =
        Received { line, headers, body: String::from_utf8(body).ok()?, at: Instant::now() };
    let number = {
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(received);
        all.len() - 1
    };
    let (status, extra) = script.get(number).or(script.last())?;
    let said = format!("answer {status}");
    let words = format!(
        "HTTP/1.1 {status} X\r\n{extra}connection: close\r\ncontent-length: {}\r\n\r\n{said}",
        said.len()
    );
    stream.write_all(words.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}
