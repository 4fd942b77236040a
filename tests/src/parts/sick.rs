//! A registry that is ill: it takes connections and never answers, or refuses for now. It can be
//! healed, and then is the registry behind it.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::registry::Image;

/// Longest request head that is waited for, in bytes.
const HEAD: usize = 16 * 1024;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Illness {
    /// It reads and says nothing.
    Silent,
    /// 429, with a `Retry-After` of so many seconds.
    Limited(u32),
    /// 503.
    Down,
}

/// A registry that is ill.
#[derive(Debug)]
pub struct SickRegistry {
    address: SocketAddr,
    /// None once it is healed.
    illness: Arc<watch::Sender<Option<Illness>>>,
    task: JoinHandle<()>,
}

impl SickRegistry {
    /// One in front of the registry at that host and port.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(illness: Illness, behind: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let illness = Arc::new(watch::Sender::new(Some(illness)));
        let (told, behind) = (Arc::clone(&illness), behind.to_owned());
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(answer(stream, told.subscribe(), behind.clone()));
            }
        });
        Ok(Self { address, illness, task })
    }

    /// Its host and port.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The reference by which an image of the registry behind it is asked for here.
    #[must_use]
    pub fn reference(&self, image: &Image) -> String {
        let name = image.reference.split_once('/').map_or("", |(_, name)| name);
        format!("{}/{name}", self.address)
    }

    /// From now on it is well.
    pub fn heal(&self) {
        self.illness.send_replace(None);
    }
}

impl Drop for SickRegistry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Who asks may hang up at any time, which is what clients of such a registry do.
async fn answer(
    mut stream: TcpStream,
    illness: watch::Receiver<Option<Illness>>,
    behind: String,
) -> Option<()> {
    let now = *illness.borrow();
    let text = match now {
        None => {
            let mut behind = TcpStream::connect(behind).await.ok()?;
            copy_bidirectional(&mut stream, &mut behind).await.ok()?;
            return Some(());
        }
        Some(Illness::Silent) => {
            let mut sink = tokio::io::sink();
            tokio::io::copy(&mut stream, &mut sink).await.ok()?;
            return Some(());
        }
        Some(Illness::Limited(seconds)) => {
            format!("429 Too Many Requests\r\nretry-after: {seconds}")
        }
        Some(Illness::Down) => "503 Service Unavailable".to_owned(),
    };
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < HEAD {
        if stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let answer = format!("HTTP/1.1 {text}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_is_ill_until_it_is_healed() {
        let well = SickRegistry::start(Illness::Down, "").await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let ask = |host: String| client.get(format!("http://{host}/v2/")).send();
        assert_eq!(ask(well.host()).await.unwrap().status(), 503);

        let sick = SickRegistry::start(Illness::Limited(7), &well.host()).await.unwrap();
        let limited = ask(sick.host()).await.unwrap();
        assert_eq!(limited.status(), 429);
        assert_eq!(limited.headers()["retry-after"], "7");
        sick.heal();
        assert_eq!(ask(sick.host()).await.unwrap().status(), 503, "of the one behind");

        let silent = SickRegistry::start(Illness::Silent, "").await.unwrap();
        let within = Duration::from_millis(100);
        assert!(tokio::time::timeout(within, ask(silent.host())).await.is_err());
        let image = Image { reference: "127.0.0.1:5000/a/b:1".into(), digest: String::new() };
        assert_eq!(silent.reference(&image), format!("{}/a/b:1", silent.host()));
    }
}
