//! A stranger's registry: HTTP by hand, so that it can do what no server would.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use portcall_shared::domain::image::Digest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use crate::image::{Image, MANIFEST};

/// How it delivers a blob.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// As it should.
    Well,
    /// With these bytes instead.
    Instead(Vec<u8>),
    /// The same, without saying how many they are.
    Unannounced(Vec<u8>),
    /// It announces all, sends so many bytes and breaks off.
    BreaksOff(usize),
    /// It sends so many bytes and then nothing more.
    Stalls(usize),
    /// It sends one byte at a time, with pauses.
    Drips(Duration),
    /// It waits for a sign before it answers.
    Waits,
}

pub(crate) struct Source {
    pub(crate) host: String,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

struct State {
    manifests: Mutex<HashMap<String, Vec<u8>>>,
    blobs: Mutex<HashMap<String, (Vec<u8>, Manner)>>,
    asked: Mutex<Vec<String>>,
    go: watch::Sender<bool>,
}

impl Source {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State {
            manifests: Mutex::default(),
            blobs: Mutex::default(),
            asked: Mutex::default(),
            go: watch::Sender::new(false),
        });
        let serving = {
            let state = Arc::clone(&state);
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let state = Arc::clone(&state);
                    tokio::spawn(async move {
                        // A client that goes away is what some tests are about.
                        let _ = answer(stream, &state).await;
                    });
                }
            })
        };
        Self { host, state, serving }
    }

    /// Offers an image, every blob of it well.
    pub(crate) fn offer(&self, image: &Image) {
        let mut manifests = self.state.manifests.lock().unwrap();
        manifests.insert(image.digest().to_string(), image.manifest.clone());
        let mut blobs = self.state.blobs.lock().unwrap();
        let layers = image.layers.iter().map(|l| (l.digest(), l.blob.clone()));
        for (digest, bytes) in layers.chain([(image.config_digest(), image.config.clone())]) {
            blobs.entry(digest.to_string()).or_insert((bytes, Manner::Well));
        }
    }

    /// Delivers a blob in this manner from now on.
    pub(crate) fn deliver(&self, blob: &Digest, manner: Manner) {
        self.state.blobs.lock().unwrap().get_mut(blob.as_str()).unwrap().1 = manner;
    }

    /// Lets those go on that wait for a sign.
    pub(crate) fn go(&self) {
        self.state.go.send_replace(true);
    }

    /// How often this was asked for.
    pub(crate) fn asked(&self, digest: &Digest) -> usize {
        let asked = self.state.asked.lock().unwrap();
        asked.iter().filter(|path| path.ends_with(digest.as_str())).count()
    }

    /// How often anything was asked for.
    pub(crate) fn asked_at_all(&self) -> usize {
        self.state.asked.lock().unwrap().len()
    }

    /// Is there no more.
    pub(crate) fn close(&self) {
        self.serving.abort();
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(mut stream: TcpStream, state: &State) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await?;
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    state.asked.lock().unwrap().push(path.clone());
    if path.contains("/manifests/") {
        let found = state.manifests.lock().unwrap().get(&name).cloned();
        return match found {
            Some(body) => whole(&mut stream, MANIFEST, &body).await,
            None => missing(&mut stream).await,
        };
    }
    let found = state.blobs.lock().unwrap().get(&name).cloned();
    let Some((bytes, manner)) = found else { return missing(&mut stream).await };
    deliver(&mut stream, state, &bytes, manner).await
}

async fn deliver(
    stream: &mut TcpStream,
    state: &State,
    bytes: &[u8],
    manner: Manner,
) -> std::io::Result<()> {
    let kind = "application/octet-stream";
    match manner {
        Manner::Well => whole(stream, kind, bytes).await,
        Manner::Instead(other) => whole(stream, kind, &other).await,
        Manner::Unannounced(other) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await?;
            stream.write_all(&other).await?;
            stream.shutdown().await
        }
        Manner::BreaksOff(after) => {
            begin(stream, kind, bytes.len()).await?;
            stream.write_all(&bytes[..after]).await?;
            stream.shutdown().await
        }
        Manner::Stalls(after) => {
            begin(stream, kind, bytes.len()).await?;
            stream.write_all(&bytes[..after]).await?;
            // Until the client has had enough.
            stream.read_u8().await.map(drop)
        }
        Manner::Drips(pause) => {
            begin(stream, kind, bytes.len()).await?;
            for byte in bytes {
                stream.write_all(&[*byte]).await?;
                tokio::time::sleep(pause).await;
            }
            Ok(())
        }
        Manner::Waits => {
            let mut go = state.go.subscribe();
            // The sender lives as long as the source.
            let _ = go.wait_for(|go| *go).await;
            whole(stream, kind, bytes).await
        }
    }
}

async fn begin(stream: &mut TcpStream, kind: &str, length: usize) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await
}

async fn whole(stream: &mut TcpStream, kind: &str, body: &[u8]) -> std::io::Result<()> {
    begin(stream, kind, body.len()).await?;
    stream.write_all(body).await?;
    stream.shutdown().await
}

async fn missing(stream: &mut TcpStream) -> std::io::Result<()> {
    let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    stream.write_all(answer.as_bytes()).await
}
