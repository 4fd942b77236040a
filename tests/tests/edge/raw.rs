//! Connections that say exactly what a test wants, from any address of loopback.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use portcall_tests::{
    Event,
    parts::{apis::Apis, mongo},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// Something that is always there.
pub(crate) const GET: &str = "GET /api/v1/events HTTP/1.1\r\nhost: a\r\n\r\n";

/// One api with these settings beside the usual.
pub(crate) async fn api(settings: &[(&str, &str)]) -> Result<Apis> {
    let mut apis = Apis::on(&mongo::shared().await?, &Event::config(), &[]).await?;
    apis.set("PORTCALL_API_DRAIN_MS", 0);
    for (name, value) in settings {
        apis.set(name, value);
    }
    apis.start().await?;
    Ok(apis)
}

/// Its address.
pub(crate) fn address(apis: &Apis) -> Result<SocketAddr> {
    apis.all[0].address.context("an api without an address")
}

/// An address of loopback that strangers have.
pub(crate) fn stranger(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 9, 0, n)
}

/// A connection from an address.
pub(crate) async fn from(source: Ipv4Addr, to: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    Ok(socket.connect(to).await?)
}

/// All that comes until the other end closes, however it does.
pub(crate) async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut part = vec![0; 64 * 1024];
    let read = async {
        while let Ok(length @ 1..) = stream.read(&mut part).await {
            all.extend_from_slice(&part[..length]);
        }
    };
    tokio::time::timeout(PATIENCE, read).await.context("it does not close")?;
    Ok(all)
}

/// What comes back on a new connection over which this is said, until it closes.
pub(crate) async fn said(to: SocketAddr, words: impl AsRef<[u8]>) -> Result<String> {
    let mut stream = TcpStream::connect(to).await?;
    said_on(&mut stream, words).await
}

/// What comes back on a connection over which this is said, until it closes.
pub(crate) async fn said_on(stream: &mut TcpStream, words: impl AsRef<[u8]>) -> Result<String> {
    let (mut reader, mut writer) = stream.split();
    let write = async {
        // Whoever closes before all was said has heard enough.
        let _ = writer.write_all(words.as_ref()).await;
    };
    let (answer, ()) = tokio::join!(rest(&mut reader), write);
    Ok(String::from_utf8_lossy(&answer?).into_owned())
}

/// Whether an ordinary request on an open connection is answered well.
pub(crate) async fn is_served(stream: &mut TcpStream) -> bool {
    let served = async {
        stream.write_all(GET.as_bytes()).await?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await?;
        let mut body = [0; 64 * 1024];
        // The rest of it comes at once; the next answer begins after it.
        let _ = stream.read(&mut body).await?;
        anyhow::Ok(answer == *b"HTTP/1.1 200")
    };
    matches!(tokio::time::timeout(Duration::from_secs(5), served).await, Ok(Ok(true)))
}

/// How long an ordinary request on a connection of its own takes.
pub(crate) async fn honest(to: SocketAddr) -> Result<Duration> {
    let begun = Instant::now();
    let answer = said(to, GET.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n")).await?;
    anyhow::ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(begun.elapsed())
}

/// The median of some.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// What a process has in memory, in KiB, and how long it has run on processors.
pub(crate) fn cost(pid: u32) -> Result<(u64, Duration)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let rss = rss.trim().trim_end_matches(" kB").parse()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> =
        stat.rsplit_once(") ").context("a name")?.1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok((rss, Duration::from_millis(ticks * 10)))
}
