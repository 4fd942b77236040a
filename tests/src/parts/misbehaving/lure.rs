//! A listener that nobody may ever connect to: whoever does has been led astray.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::timeout,
};

/// How long it waits for the first words of a visitor, and how many bytes of them it keeps.
const FIRST_WORDS: Duration = Duration::from_secs(2);
const KEPT: usize = 1024;
/// It answers as a token service would, so that a visitor goes on.
const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\
    content-length: 15\r\n\r\n{\"token\":\"lure\"}";

/// A listener on loopback that keeps who came.
#[derive(Debug)]
pub struct Lure {
    address: SocketAddr,
    visits: Arc<Mutex<Vec<Visit>>>,
    task: JoinHandle<()>,
}

/// A connection to a lure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visit {
    /// From where.
    pub from: String,
    /// Its first bytes, once they came; a visit counts from its connection on.
    pub words: String,
}

impl Lure {
    /// One on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let visits = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&visits);
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, from)) = listener.accept().await {
                let index = {
                    let mut visits = lock(&kept);
                    visits.push(Visit { from: from.to_string(), words: String::new() });
                    visits.len() - 1
                };
                open.spawn(listen(stream, Arc::clone(&kept), index));
            }
        });
        Ok(Self { address, visits, task })
    }

    /// Its host and port.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Who came so far.
    #[must_use]
    pub fn connections(&self) -> Vec<Visit> {
        lock(&self.visits).clone()
    }

    /// Fails when anybody came.
    ///
    /// # Errors
    /// When somebody did.
    pub fn untouched(&self) -> Result<()> {
        let visits = self.connections();
        ensure!(visits.is_empty(), "connections to the lure: {visits:#?}");
        Ok(())
    }
}

impl Drop for Lure {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(visits: &Mutex<Vec<Visit>>) -> std::sync::MutexGuard<'_, Vec<Visit>> {
    visits.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn listen(mut stream: TcpStream, visits: Arc<Mutex<Vec<Visit>>>, index: usize) -> Option<()> {
    let mut words = vec![0; KEPT];
    let read = timeout(FIRST_WORDS, stream.read(&mut words)).await.ok()?.ok()?;
    lock(&visits)[index].words = String::from_utf8_lossy(&words[..read]).into_owned();
    stream.write_all(ANSWER.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait;

    #[tokio::test]
    async fn who_came_is_kept() {
        let lure = Lure::start().await.unwrap();
        lure.untouched().unwrap();
        let mut visitor = TcpStream::connect(lure.host()).await.unwrap();
        visitor.write_all(b"hello").await.unwrap();
        let told = wait::until("its words", Duration::from_secs(5), || async {
            Ok(lure.connections().first().filter(|v| v.words == "hello").cloned())
        });
        assert!(told.await.is_ok());
        assert!(lure.untouched().unwrap_err().to_string().contains("hello"));
    }
}
