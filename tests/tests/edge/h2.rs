//! W07: HTTP/2 by hand. Each frame is within the protocol, or just beyond it, and together they only
//! cost; what happens to the connection, to the memory and to everybody else.

use std::{
    net::SocketAddr,
    ops::Range,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use portcall_tests::parts::apis::Apis;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use super::raw::{PATIENCE, address, api, cost, honest};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;
/// What an api's memory may grow by while it is attacked, in KiB.
const FLAT: u64 = 24 * 1024;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A literal field that nothing remembers (RFC 7541 §6.2.2), of less than 127 bytes each.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).unwrap_or(0);
    [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

/// The head of a request: `:method` and `:scheme` from the static table.
fn head(method: u8, path: &str) -> Vec<u8> {
    let path = [&[4, u8::try_from(path.len()).unwrap_or(0)], path.as_bytes()].concat();
    [&[method, 0x86][..], &path, &[0x41, 1, b'a']].concat()
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;
const EVENTS: &str = "/api/v1/events";
const LIVE: &str = "/api/v1/events/birthday-3/live";
const SUBMIT: &str = "/api/v1/events/birthday-3/submissions";

fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &head(GET, path))
}

/// A frame that came.
#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    /// The error in it.
    fn reason(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        self.payload.get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }
}

/// A connection in HTTP/2.
struct Two {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
}

impl Two {
    /// With these settings of the client.
    async fn to(to: SocketAddr, settings: &[u8]) -> Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let (reader, mut writer) = stream.into_split();
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        writer.write_all(&[&preface[..], &frame(SETTINGS, 0, 0, settings)].concat()).await?;
        Ok(Self { reader, writer })
    }

    async fn say(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.writer.write_all(bytes).await?)
    }

    /// Says it, and waits until it was read: what comes behind it comes in another batch, however
    /// busy the machine is.
    async fn heard(&mut self, bytes: &[u8]) -> Result<()> {
        self.say(&[bytes, &frame(PING, 0, 0, &[0; 8])].concat()).await?;
        self.until(PING).await.map(|_| ())
    }

    /// The next frame of a kind.
    async fn until(&mut self, kind: u8) -> Result<Frame> {
        while let Some(frame) = next(&mut self.reader).await? {
            if frame.kind == kind {
                return Ok(frame);
            }
            ensure!(frame.kind != GOAWAY, "told to go: {}", frame.reason());
        }
        bail!("it ended before a frame of kind {kind}")
    }

    /// Reads to the end, and answers pings or not; the reason of the last GOAWAY, and when it ended.
    async fn ended(&mut self, pings: Pings) -> Result<(Option<u32>, Duration)> {
        let (begun, mut told) = (Instant::now(), None);
        while let Some(came) = next(&mut self.reader).await? {
            match came.kind {
                GOAWAY => told = Some(came.reason()),
                PING if came.flags & ACK == 0 && pings == Pings::Answered => {
                    let _ = self.say(&frame(PING, ACK, 0, &came.payload)).await;
                }
                _ => {}
            }
        }
        Ok((told, begun.elapsed()))
    }
}

/// The next frame; none when the connection ends.
async fn next(reader: &mut OwnedReadHalf) -> Result<Option<Frame>> {
    let read = async {
        let mut head = [0; 9];
        reader.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        reader.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    };
    timeout(PATIENCE, read).await.context("nothing comes and it does not end")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pings {
    Answered,
    Ignored,
}

async fn cut(apis: &Apis, cause: &str) -> Result<f64> {
    apis.all[0].metric(&format!("portcall_connections_cut_total{{cause=\"{cause}\"}}")).await
}

/// What is announced, and that it is meant: the control of everything else here.
#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_client_is_served_within_what_is_announced() -> Result<()> {
    let apis = api(&[]).await?;
    let mut two = Two::to(address(&apis)?, &[]).await?;
    let settings = two.until(SETTINGS).await?;
    let announced: Vec<(u16, u32)> = settings
        .payload
        .chunks_exact(6)
        .map(|s| (u16::from_be_bytes([s[0], s[1]]), u32::from_be_bytes([s[2], s[3], s[4], s[5]])))
        .collect();
    for expected in [(3, 32), (4, 32 * 1024), (6, 43_008)] {
        ensure!(announced.contains(&expected), "{expected:?} in {announced:?}");
    }
    two.say(&frame(SETTINGS, ACK, 0, &[])).await?;
    two.say(&get(1, EVENTS)).await?;
    let answer = two.until(HEADERS).await?;
    ensure!(answer.stream == 1 && answer.payload.first() == Some(&0x88), "200: {answer:?}");
    ensure!(two.until(DATA).await?.stream == 1, "and its body");
    // As many streams as may be, and one more.
    for n in 0..33 {
        two.say(&get(3 + 2 * n, LIVE)).await?;
    }
    let refused = two.until(RST_STREAM).await?;
    ensure!((refused.stream, refused.reason()) == (67, REFUSED_STREAM), "{refused:?}");
    apis.end().await
}

/// What a client says to be a nuisance: once, and then over and over.
struct Flood {
    name: &'static str,
    once: Vec<u8>,
    again: Vec<u8>,
    ends: Ends,
}

/// What it comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// It is told why.
    Told(u32),
    /// It is closed, whether it is told or not.
    Closed,
}

/// How much is said of each, in bytes: more than anybody honest has to say about nothing.
const ALL: usize = 64 * 1024 * 1024;

fn floods() -> Vec<Flood> {
    let resets = (0..200_u32).flat_map(|n| {
        [get(1 + 2 * n, EVENTS), frame(RST_STREAM, 0, 1 + 2 * n, &8_u32.to_be_bytes())].concat()
    });
    let field = literal("x", &"y".repeat(100)).repeat(100);
    let begun = frame(HEADERS, END_STREAM, 1, &head(GET, EVENTS));
    // A field of 4,000 bytes that is remembered, and then named again in one byte each.
    let value = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'y'; 4000]].concat();
    let bomb = [head(GET, EVENTS), value, vec![0xbe; 12_000]].concat();
    let bomb = frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb);
    let settings = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]);
    let flood = |name, once, again, ends| Flood { name, once, again, ends };
    let (none, calm) = (Vec::new, Ends::Told(ENHANCE_YOUR_CALM));
    vec![
        flood("streams that are given up", resets.collect(), none(), calm),
        flood("CONTINUATION", begun.clone(), frame(CONTINUATION, 0, 1, &field), calm),
        flood("empty CONTINUATION", begun, frame(CONTINUATION, 0, 1, &[]), Ends::Closed),
        flood("PING", none(), frame(PING, 0, 0, &[0; 8]), Ends::Closed),
        flood("SETTINGS", none(), settings, Ends::Closed),
        flood(
            "empty DATA",
            frame(HEADERS, END_HEADERS, 1, &head(POST, SUBMIT)),
            frame(DATA, 0, 1, &[]),
            Ends::Closed,
        ),
        flood("PRIORITY", none(), frame(2, 0, 1, &[0, 0, 0, 3, 1]), Ends::Closed),
        flood("unknown frames", none(), frame(0xfa, 0, 0, &[0; 64]), Ends::Closed),
        flood("bomb of HPACK", bomb, none(), calm),
    ]
}

/// Says it as fast as it is taken; what comes of it.
async fn flood(to: SocketAddr, flood: &Flood) -> Result<Ends> {
    let Two { mut reader, mut writer } = Two::to(to, &[]).await?;
    let (once, again) =
        (flood.once.clone(), flood.again.repeat(64 * 1024 / flood.again.len().max(1)));
    let rounds = ALL / again.len().max(1);
    let write = tokio::spawn(async move {
        let mut result = writer.write_all(&once).await;
        for _ in 0..if again.is_empty() { 0 } else { rounds } {
            if result.is_err() {
                break;
            }
            result = writer.write_all(&again).await;
        }
        (result.is_err(), writer)
    });
    let mut ends = Ends::Closed;
    while let Some(came) = next(&mut reader).await? {
        if came.kind == GOAWAY && came.reason() != 0 {
            ends = Ends::Told(came.reason());
        }
    }
    let closed = if write.is_finished() { write.await?.0 } else { true };
    ensure!(closed || flood.again.is_empty(), "{}: all of it was taken", flood.name);
    Ok(ends)
}

/// The row, but for what only time shows.
#[tokio::test(flavor = "multi_thread")]
async fn floods_end_the_connection_and_nobody_else_notices() -> Result<()> {
    let apis = api(&[]).await?;
    let (to, pid) = (address(&apis)?, apis.all[0].process.pid());
    honest(to).await?;
    let rss = cost(pid)?.0;
    for one in floods() {
        let (begun, ran) = (Instant::now(), cost(pid)?.1);
        let (ends, while_it_lasts) = tokio::try_join!(flood(to, &one), honest(to))?;
        println!(
            "{}: {ends:?} after {:.1?}, for {:?} of a processor; an honest request took {:.1?}",
            one.name,
            begun.elapsed(),
            cost(pid)?.1 - ran,
            while_it_lasts,
        );
        let told = matches!((one.ends, ends), (Ends::Closed, Ends::Told(_)));
        ensure!(ends == one.ends || told, "{}: {ends:?}", one.name);
        ensure!(while_it_lasts < Duration::from_secs(10), "{}: {while_it_lasts:?}", one.name);
    }
    let after = cost(pid)?.0;
    println!("memory: {rss} KiB before, {after} KiB after");
    ensure!(after < rss + FLAT, "memory grew from {rss} to {after} KiB");
    apis.end().await
}

/// Streams that are given up one by one, after each was begun: no batch that h2 would see.
#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_all_that_it_asks_for_is_cut() -> Result<()> {
    let apis = api(&[]).await?;
    let to = address(&apis)?;
    for (count, cuts) in [(150, 0.0), (600, 1.0)] {
        let mut two = Two::to(to, &[]).await?;
        for n in 0..count {
            // Its body never comes, so it is not answered before it is given up.
            let fields = literal("content-type", "application/json");
            let head = [head(POST, SUBMIT), fields].concat();
            let begun = frame(HEADERS, END_HEADERS, 1 + 2 * n, &head);
            let reset = frame(RST_STREAM, 0, 1 + 2 * n, &8_u32.to_be_bytes());
            if two.heard(&begun).await.is_err() || two.say(&reset).await.is_err() {
                break;
            }
        }
        let counted = cut(&apis, "flood").await?;
        ensure!(counted == cuts, "after {count}: {counted}");
    }
    apis.end().await
}

/// Who it is, its settings, what it says, whether it answers pings, and after how many seconds it ends.
type Idle<'a> = (&'a str, &'a [u8], Vec<u8>, Pings, Range<f64>);

/// What only time shows, all at once: who says nothing, who does not answer pings, who takes no bytes.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_nothing_is_not_kept() -> Result<()> {
    let apis = api(&[]).await?;
    let to = address(&apis)?;
    std::fs::write(apis.dir().join("web/assets/large-12345678.bin"), vec![0; 1 << 20])?;
    // INITIAL_WINDOW_SIZE 0.
    let no_window = [0, 4, 0, 0, 0, 0];
    let large = get(1, "/assets/large-12345678.bin");
    let rows: [Idle<'_>; 5] = [
        ("no request", &[], Vec::new(), Pings::Answered, 9.5..14.0),
        ("no pong", &[], get(1, LIVE), Pings::Ignored, 28.0..36.0),
        ("an answer, then only pongs", &[], get(1, EVENTS), Pings::Answered, 58.0..84.0),
        ("no window", &no_window, large.clone(), Pings::Answered, 29.0..56.0),
        ("half a window", &[], large, Pings::Answered, 29.0..56.0),
    ];
    let all = rows.map(|(name, settings, words, pings, within)| async move {
        let mut two = Two::to(to, settings).await?;
        two.say(&words).await?;
        let (told, took) = two.ended(pings).await?;
        println!("{name}: ended after {took:.1?}, told {told:?}");
        ensure!(within.contains(&took.as_secs_f64()), "{name}: {took:?}");
        Ok(())
    });
    // The control: who follows something and answers pings is kept for longer than any of these.
    let control = async {
        let mut two = Two::to(to, &[]).await?;
        two.say(&get(1, LIVE)).await?;
        let ended = timeout(Duration::from_secs(88), two.ended(Pings::Answered)).await;
        ensure!(ended.is_err(), "a live stream ended: {:?}", ended.ok());
        Ok(())
    };
    tokio::try_join!(futures::future::try_join_all(all), control)?;
    apis.end().await
}

/// When an api closes, clients are told to go; what is being answered is answered.
#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_clients_are_told_to_go() -> Result<()> {
    let mut apis = api(&[]).await?;
    let to = address(&apis)?;
    let mut idle = Two::to(to, &[]).await?;
    idle.say(&get(1, EVENTS)).await?;
    idle.until(DATA).await?;
    let mut follows = Two::to(to, &[]).await?;
    follows.say(&get(1, LIVE)).await?;
    follows.until(DATA).await?;
    let (stopped, idle, follows) =
        tokio::join!(apis.stop(0), idle.ended(Pings::Answered), follows.ended(Pings::Answered),);
    ensure!(!stopped?.contains("the grace period ran out"), "in time");
    for (told, took) in [idle?, follows?] {
        ensure!(told == Some(0), "GOAWAY without an error: {told:?}");
        ensure!(took < Duration::from_secs(10), "it took {took:?}");
    }
    apis.end().await
}
