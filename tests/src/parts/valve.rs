//! A way between two processes that a test can stop up: nothing is refused and nothing breaks, it just
//! does not come. Either direction can be stopped up, or only the answer to one request that is
//! described (and to whatever else comes over its connection), which has then been done without anybody
//! knowing.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::wait;

/// What passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Nothing of what is asked.
    pub asked_stopped: bool,
    /// Nothing of what is answered.
    pub answered_stopped: bool,
}

/// A request, told by how it begins on the wire.
pub type Wanted = fn(&str) -> bool;

/// How many of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum HowMany {
    #[default]
    One,
    All,
}

#[derive(Debug, Default)]
struct Trap {
    wanted: Option<Wanted>,
    how_many: HowMany,
    caught: Option<String>,
}

/// A way that can be stopped up.
#[derive(Debug)]
pub struct Valve {
    address: String,
    flow: watch::Sender<Flow>,
    trap: Arc<Mutex<Trap>>,
    task: JoinHandle<()>,
}

impl Valve {
    /// A free port of this machine in front of another.
    ///
    /// # Errors
    /// When there is none.
    pub async fn tcp(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (flow, trap) = (watch::Sender::new(Flow::default()), Arc::<Mutex<Trap>>::default());
        let (flows, traps) = (flow.clone(), Arc::clone(&trap));
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((here, _)) = listener.accept().await {
                let (flow, trap) = (flows.subscribe(), Arc::clone(&traps));
                open.spawn(async move {
                    if let Ok(there) = TcpStream::connect(to).await {
                        pass(here.into_split(), there.into_split(), flow, trap).await;
                    }
                });
            }
        });
        Ok(Self { address, flow, trap, task })
    }

    /// A unix socket in `dir` in front of the Docker engine at `unix://…`.
    ///
    /// # Errors
    /// When the engine is elsewhere, or the socket cannot be made.
    pub async fn docker(host: &str, dir: &Path) -> Result<Self> {
        let there = host.strip_prefix("unix://").context("the engine is no unix:// socket")?;
        let there = PathBuf::from(there);
        let here = dir.join("valve.sock");
        let listener = UnixListener::bind(&here)?;
        let address = format!("unix://{}", here.display());
        let (flow, trap) = (watch::Sender::new(Flow::default()), Arc::<Mutex<Trap>>::default());
        let (flows, traps) = (flow.clone(), Arc::clone(&trap));
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((here, _)) = listener.accept().await {
                let (there, flow, trap) = (there.clone(), flows.subscribe(), Arc::clone(&traps));
                open.spawn(async move {
                    if let Ok(there) = UnixStream::connect(there).await {
                        pass(here.into_split(), there.into_split(), flow, trap).await;
                    }
                });
            }
        });
        Ok(Self { address, flow, trap, task })
    }

    /// Where to connect: host and port, or `unix://…`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Lets pass what this says from now on.
    pub fn set(&self, flow: Flow) {
        self.flow.send_replace(flow);
    }

    /// Nothing passes any more.
    pub fn shut(&self) {
        self.set(Flow { asked_stopped: true, answered_stopped: true });
    }

    /// What is asked passes, and no answer does.
    pub fn shut_answers(&self) {
        self.set(Flow { asked_stopped: false, answered_stopped: true });
    }

    /// Everything passes, also what was held.
    pub fn open(&self) {
        self.set(Flow::default());
    }

    /// The answer to the next such request is never given; all else passes.
    pub fn withhold(&self, wanted: Wanted) {
        let mut trap = self.trap.lock().unwrap_or_else(PoisonError::into_inner);
        *trap = Trap { wanted: Some(wanted), how_many: HowMany::One, caught: None };
    }

    /// The same of every such request, until nothing is withheld any more.
    pub fn withhold_all(&self, wanted: Wanted) {
        let mut trap = self.trap.lock().unwrap_or_else(PoisonError::into_inner);
        *trap = Trap { wanted: Some(wanted), how_many: HowMany::All, caught: None };
    }

    /// No further answer is withheld.
    pub fn withhold_none(&self) {
        *self.trap.lock().unwrap_or_else(PoisonError::into_inner) = Trap::default();
    }

    /// Waits until there was such a request; its first line.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn caught(&self, within: Duration) -> Result<String> {
        wait::until("a request whose answer is withheld", within, || async {
            Ok(self.trap.lock().unwrap_or_else(PoisonError::into_inner).caught.clone())
        })
        .await
    }
}

impl Drop for Valve {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass<R, W, S, V>(
    here: (R, W),
    there: (S, V),
    flow: watch::Receiver<Flow>,
    trap: Arc<Mutex<Trap>>,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    S: AsyncRead + Unpin,
    V: AsyncWrite + Unpin,
{
    let (mut from_here, mut to_here) = here;
    let (mut from_there, mut to_there) = there;
    let withheld = AtomicBool::new(false);
    let (mut asking, mut answering) = (flow.clone(), flow);
    let up = async {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_here.read(&mut bytes).await {
            let _ = asking.wait_for(|flow| !flow.asked_stopped).await;
            if is_wanted(&bytes[..count], &trap) {
                withheld.store(true, Ordering::Relaxed);
            }
            if to_there.write_all(&bytes[..count]).await.is_err() {
                break;
            }
        }
        let _ = to_there.shutdown().await;
    };
    let down = async {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_there.read(&mut bytes).await {
            let _ = answering.wait_for(|flow| !flow.answered_stopped).await;
            // Whoever waits for it learns when the other side is gone, and nothing else.
            if withheld.load(Ordering::Relaxed) {
                continue;
            }
            if to_here.write_all(&bytes[..count]).await.is_err() {
                break;
            }
        }
        let _ = to_here.shutdown().await;
    };
    tokio::join!(up, down);
}

fn is_wanted(bytes: &[u8], trap: &Mutex<Trap>) -> bool {
    let mut trap = trap.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(wanted) = trap.wanted else { return false };
    let text = String::from_utf8_lossy(bytes);
    if !wanted(&text) {
        return false;
    }
    trap.caught = Some(text.lines().next().unwrap_or_default().to_owned());
    if trap.how_many == HowMany::One {
        trap.wanted = None;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> SocketAddr {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = echo.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = echo.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        address
    }

    async fn comes_within(stream: &mut TcpStream, limit: Duration) -> bool {
        let mut back = [0; 5];
        tokio::time::timeout(limit, stream.read_exact(&mut back)).await.is_ok()
    }

    async fn comes(stream: &mut TcpStream) -> bool {
        comes_within(stream, Duration::from_secs(10)).await
    }

    async fn stays_away(stream: &mut TcpStream) -> bool {
        !comes_within(stream, Duration::from_millis(200)).await
    }

    #[tokio::test]
    async fn what_is_held_comes_when_it_is_opened() {
        let valve = Valve::tcp(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(valve.address()).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        assert!(comes(&mut stream).await);
        for stop in [Valve::shut, Valve::shut_answers] {
            stop(&valve);
            stream.write_all(b"hello").await.unwrap();
            assert!(stays_away(&mut stream).await);
            valve.open();
            assert!(comes(&mut stream).await);
        }
    }

    #[tokio::test]
    async fn only_the_answer_to_what_was_described_is_withheld() {
        let valve = Valve::tcp(echo().await).await.unwrap();
        valve.withhold(|line| line.starts_with("DELETE /containers/"));
        let mut other = TcpStream::connect(valve.address()).await.unwrap();
        other.write_all(b"GET /containers/").await.unwrap();
        assert!(comes(&mut other).await);
        let mut stream = TcpStream::connect(valve.address()).await.unwrap();
        stream.write_all(b"DELETE /containers/x HTTP/1.1\r\n").await.unwrap();
        assert!(stays_away(&mut stream).await);
        let line = valve.caught(Duration::from_secs(5)).await.unwrap();
        assert_eq!(line, "DELETE /containers/x HTTP/1.1");
        let mut next = TcpStream::connect(valve.address()).await.unwrap();
        next.write_all(b"DELETE /containers/y").await.unwrap();
        assert!(comes(&mut next).await, "only one");
    }
}
