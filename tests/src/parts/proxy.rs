//! A connection that a test can cut: everything is passed on to a part while the proxy is open;
//! closed, its address refuses and all that ran over it breaks.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    task::{JoinHandle, JoinSet},
};

use super::net;

/// What is on one side of the proxy, or the other.
#[derive(Clone, Debug)]
enum Side {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A proxy in front of one part.
#[derive(Debug)]
pub struct Proxy {
    here: Side,
    there: Side,
    task: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A unix socket in `dir` in front of a Docker endpoint (`unix://…` or `tcp://…`), open.
    ///
    /// # Errors
    /// When the address is of another kind or the socket cannot be made.
    pub async fn docker(host: &str, dir: &Path) -> Result<Self> {
        let there = match host.strip_prefix("unix://") {
            Some(path) => Side::Unix(path.into()),
            None => Side::Tcp(
                host.strip_prefix("tcp://").context("neither unix:// nor tcp://")?.parse()?,
            ),
        };
        Self::open_at(Side::Unix(dir.join("docker.sock")), there).await
    }

    /// A free port of this machine in front of another, open.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn tcp(to: SocketAddr) -> Result<Self> {
        Self::open_at(Side::Tcp(net::free_address()?), Side::Tcp(to)).await
    }

    async fn open_at(here: Side, there: Side) -> Result<Self> {
        let mut proxy = Self { here, there, task: None };
        proxy.open().await?;
        Ok(proxy)
    }

    /// Where to connect: `unix://…`, or host and port.
    #[must_use]
    pub fn address(&self) -> String {
        match &self.here {
            Side::Tcp(address) => address.to_string(),
            Side::Unix(path) => format!("unix://{}", path.display()),
        }
    }

    /// Cuts every connection and refuses new ones.
    pub async fn close(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            // Aborted is how it ends.
            let _ = task.await;
        }
        if let Side::Unix(path) = &self.here {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Takes connections again.
    ///
    /// # Errors
    /// When the address was taken meanwhile.
    pub async fn open(&mut self) -> Result<()> {
        let there = self.there.clone();
        self.task = Some(match &self.here {
            Side::Tcp(address) => {
                let listener = TcpListener::bind(address).await?;
                tokio::spawn(async move {
                    let mut open = JoinSet::new();
                    while let Ok((stream, _)) = listener.accept().await {
                        open.spawn(pass(stream, there.clone()));
                    }
                })
            }
            Side::Unix(path) => {
                let listener = UnixListener::bind(path)?;
                tokio::spawn(async move {
                    let mut open = JoinSet::new();
                    while let Ok((stream, _)) = listener.accept().await {
                        open.spawn(pass(stream, there.clone()));
                    }
                })
            }
        });
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

async fn pass<S: AsyncRead + AsyncWrite + Unpin>(mut here: S, there: Side) {
    // Either end may hang up; that is what a proxy passes on.
    let _ = match there {
        Side::Tcp(address) => match TcpStream::connect(address).await {
            Ok(mut there) => copy_bidirectional(&mut here, &mut there).await,
            Err(error) => Err(error),
        },
        Side::Unix(path) => match UnixStream::connect(path).await {
            Ok(mut there) => copy_bidirectional(&mut here, &mut there).await,
            Err(error) => Err(error),
        },
    };
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_closed_proxy_refuses_and_an_opened_one_passes_on() {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut proxy = Proxy::tcp(echo.local_addr().unwrap()).await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = echo.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        let mut held = TcpStream::connect(proxy.address()).await.unwrap();
        held.write_all(b"hello").await.unwrap();
        let mut back = [0; 5];
        held.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"hello");

        proxy.close().await;
        assert!(matches!(held.read(&mut back).await, Ok(0) | Err(_)));
        assert!(TcpStream::connect(proxy.address()).await.is_err());

        proxy.open().await.unwrap();
        let mut again = TcpStream::connect(proxy.address()).await.unwrap();
        again.write_all(b"again").await.unwrap();
        again.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"again");
    }
}
