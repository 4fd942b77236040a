//! Connections that cost and bring nothing: rows W01, W05, W06 and W38.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use portcall_tests::{parts::apis::Apis, wait};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::sleep,
};

use super::raw::{
    GET, PATIENCE, address, api, cost, from, honest, is_served, median, rest, said, stranger,
};

const POST: &str = "POST /api/v1/events/birthday-3/submissions HTTP/1.1\r\nhost: a\r\n\
                    content-type: application/json\r\n";
/// Ten gigabytes.
const HUGE: u64 = 10_000_000_000;
/// How much of such a body may get through to where it is refused, whatever the buffers between are.
const THROUGH: usize = 8 * 1024 * 1024;
/// What an api's memory may grow by, in KiB.
const FLAT: u64 = 24 * 1024;

async fn cut(apis: &Apis, cause: &str) -> Result<f64> {
    apis.all[0].metric(&format!("portcall_connections_cut_total{{cause=\"{cause}\"}}")).await
}

/// W01: a body that never ends is refused where it becomes too large, said beforehand or not.
#[tokio::test(flavor = "multi_thread")]
async fn ten_gigabytes_of_body_are_refused_at_sixteen_kibibytes() -> Result<()> {
    let apis = api(&[]).await?;
    let (to, pid) = (address(&apis)?, apis.all[0].process.pid());
    honest(to).await?;
    let before = cost(pid)?.0;
    for (head, chunk) in [
        (format!("{POST}content-length: {HUGE}\r\n\r\n"), vec![b' '; 64 * 1024]),
        (
            format!("{POST}transfer-encoding: chunked\r\n\r\n"),
            [&b"8000\r\n"[..], &[b' '; 0x8000], b"\r\n"].concat(),
        ),
    ] {
        let all = (0..20).map(|_| async {
            let mut stream = TcpStream::connect(to).await?;
            stream.write_all(head.as_bytes()).await?;
            let (mut reader, mut writer) = stream.split();
            let write = async {
                let mut sent = 0;
                while writer.write_all(&chunk).await.is_ok() {
                    sent += chunk.len();
                }
                sent
            };
            let (answer, sent) = tokio::join!(rest(&mut reader), write);
            let answer = String::from_utf8_lossy(&answer?).into_owned();
            ensure!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
            ensure!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
            ensure!(answer.contains("\"code\":\"body_too_large\""), "{answer}");
            ensure!(sent < THROUGH, "{sent} bytes were taken");
            Ok(sent)
        });
        let sent = try_join_all(all).await?;
        println!(
            "refused after at most {} KiB on the line",
            sent.iter().max().unwrap_or(&0) / 1024
        );
    }
    let after = cost(pid)?.0;
    println!("memory: {before} KiB before, {after} KiB after");
    ensure!(after < before + FLAT, "memory grew from {before} to {after} KiB");
    apis.end().await
}

/// Says one byte after the other, at a pace, until the other end closes; what came, and when it did.
async fn trickle(
    to: SocketAddr,
    start: &str,
    words: &[u8],
    pace: Duration,
) -> Result<(String, Duration)> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(start.as_bytes()).await?;
    let (mut reader, mut writer) = stream.split();
    let write = async {
        for byte in words {
            sleep(pace).await;
            if writer.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let answer = tokio::select! {
        answer = rest(&mut reader) => answer?,
        () = write => Vec::new(),
    };
    Ok((String::from_utf8_lossy(&answer).into_owned(), begun.elapsed()))
}

/// W05 and the slow half of W38: what is waited for, how long, and what is answered then. All at once,
/// since each only waits.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_waited_for_for_long() -> Result<()> {
    let apis = api(&[]).await?;
    let to = address(&apis)?;
    let second = Duration::from_secs(1);
    let slow = [b'x'; 100];
    let post = format!("{POST}content-length: 1000\r\n\r\n");
    let expect = format!("{POST}expect: 100-continue\r\ncontent-length: 1000\r\n\r\n");
    let chunked = format!("{POST}transfer-encoding: chunked\r\n\r\n3e8\r\n");
    // What is said at once, what byte by byte, after how many seconds it ends, how the answer begins.
    let rows: [(&str, &str, &[u8], u64, &str); 9] = [
        ("nothing", "", b"", 5, ""),
        ("a first byte", "G", b"", 10, ""),
        ("slow head", "GET / HTTP/1.1\r\nhost: a\r\nx: ", &slow, 10, ""),
        ("slow preface of HTTP/2", "PRI * HT", b"TP/2.0\r\n\r\nSM\r\n", 10, ""),
        ("no body", &post, b"", 5, "HTTP/1.1 408 "),
        ("slow body", &post, &slow, 5, "HTTP/1.1 408 "),
        ("slow chunks", &chunked, &slow, 5, "HTTP/1.1 408 "),
        ("expects to go on", &expect, b"", 5, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 408 "),
        ("kept", GET, b"", 60, "HTTP/1.1 200 "),
    ];
    let all = rows.map(|(name, start, words, seconds, begins)| async move {
        let (answer, took) = trickle(to, start, words, second).await?;
        println!("{name}: closed after {took:.1?}");
        ensure!(answer.starts_with(begins), "{name}: {answer}");
        ensure!(answer.is_empty() == begins.is_empty(), "{name}: {answer}");
        let expected = seconds as f64 - 0.2..seconds as f64 + 4.0;
        ensure!(expected.contains(&took.as_secs_f64()), "{name}: closed after {took:?}");
        Ok(())
    });
    // The control: who is slow, but not that slow, is heard to the end.
    let control = async {
        let body = " ".repeat(16_000);
        let mut stream = TcpStream::connect(to).await?;
        let head = format!("{POST}connection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        for part in head.as_bytes().chunks(40) {
            stream.write_all(part).await?;
            sleep(second).await;
        }
        for part in body.as_bytes().chunks(2000) {
            stream.write_all(part).await?;
            sleep(second).await;
        }
        let answer = String::from_utf8_lossy(&rest(&mut stream).await?).into_owned();
        ensure!(
            answer.starts_with("HTTP/1.1 400 ") && answer.contains("json_malformed"),
            "{answer}"
        );
        Ok(())
    };
    tokio::try_join!(try_join_all(all), control)?;
    for (cause, count) in [("silent", 1.0), ("slow_head", 3.0), ("idle", 1.0)] {
        let counted = cut(&apis, cause).await?;
        ensure!(counted == count, "{cause}: {counted}");
    }
    apis.end().await
}

/// A client that does not read is cut; one that reads slowly, and a live stream that says little, are not.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_reads_ends_the_connection() -> Result<()> {
    const LARGE: usize = 32 * 1024 * 1024;
    let apis = api(&[]).await?;
    let to = address(&apis)?;
    std::fs::write(apis.dir().join("web/assets/large-12345678.bin"), vec![0; LARGE])?;
    let get = "GET /assets/large-12345678.bin HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let unread = async {
        let mut stream = TcpStream::connect(to).await?;
        stream.write_all(get.as_bytes()).await?;
        let begun = Instant::now();
        wait::until("it is cut", Duration::from_secs(50), || async {
            Ok((cut(&apis, "stalled").await? > 0.0).then_some(()))
        })
        .await?;
        let took = begun.elapsed().as_secs_f64();
        ensure!((29.0..36.0).contains(&took), "cut after {took} s");
        let got = rest(&mut stream).await?.len();
        ensure!(got < LARGE, "all of it was sent");
        Ok(())
    };
    let slow = async {
        let mut stream = TcpStream::connect(to).await?;
        stream.write_all(get.as_bytes()).await?;
        let (mut got, mut part) = (0, vec![0; 1024 * 1024]);
        loop {
            sleep(Duration::from_millis(1000)).await;
            match stream.read(&mut part).await? {
                0 => break,
                length => got += length,
            }
            if got > LARGE / 2 {
                part.resize(LARGE, 0);
            }
        }
        ensure!(got > LARGE, "{got} of it came");
        Ok(())
    };
    let live = async {
        let mut stream = TcpStream::connect(to).await?;
        let get = "GET /api/v1/events/birthday-3/live HTTP/1.1\r\nhost: a\r\n\r\n";
        stream.write_all(get.as_bytes()).await?;
        let begun = Instant::now();
        let mut part = [0; 4096];
        while begun.elapsed() < Duration::from_secs(75) {
            let read = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut part)).await;
            ensure!(read.context("no heartbeat")?? > 0, "the live stream ended");
        }
        Ok(())
    };
    tokio::try_join!(unread, slow, live)?;
    ensure!(cut(&apis, "stalled").await? == 1.0, "only who does not read at all");
    apis.end().await
}

const SLOW: usize = 10_000;
const SOURCES: usize = 40;
const ASKED: usize = 100;

/// Lets this process have as many files open as it may.
fn make_room() -> Result<()> {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })?;
    ensure!(most.is_none_or(|most| most > SLOW as u64 + 500), "too few open files: {most:?}");
    Ok(())
}

/// The median of some ordinary requests, one after the other.
async fn asked(to: SocketAddr) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..ASKED {
        times.push(honest(to).await?);
    }
    Ok(median(times))
}

/// The last of W05.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_slow_sockets_delay_nobody() -> Result<()> {
    make_room()?;
    let settings =
        [("PORTCALL_API_CONNECTIONS", "12000"), ("PORTCALL_API_CONNECTIONS_PER_ADDRESS", "512")];
    let apis = api(&settings).await?;
    let to = address(&apis)?;
    let quiet = asked(to).await?;
    let mut slow = JoinSet::new();
    for n in 0..SLOW {
        let source = stranger(u8::try_from(n % SOURCES + 1)?);
        slow.spawn(async move {
            // Who is cut comes again.
            loop {
                if let Ok(mut stream) = from(source, to).await {
                    let words: &[u8] = [b"GET / HTTP/1.1\r\nx: ".as_slice(), b"P", b"\r\n"][n % 3];
                    let _ = stream.write_all(words).await;
                    let _ = rest(&mut stream).await;
                }
                sleep(Duration::from_millis(200)).await;
            }
        });
    }
    let open = wait::until("most of them are open", PATIENCE, || async {
        let open = apis.all[0].metric("portcall_connections").await?;
        Ok((open > SLOW as f64 * 0.9).then_some(open))
    });
    let open = open.await?;
    let busy = asked(to).await?;
    let still = apis.all[0].metric("portcall_connections").await?;
    slow.shutdown().await;
    println!(
        "{open} to {still} slow sockets: an honest request takes {busy:.1?} instead of {quiet:.1?}: \
         {:.1} times",
        busy.as_secs_f64() / quiet.as_secs_f64()
    );
    ensure!(still > SLOW as f64 * 0.7, "they were open all the time: {still}");
    ensure!(busy < Duration::from_secs(1), "an honest request takes {busy:?}");
    apis.end().await
}

/// W06: what is too large is refused with a problem like any other, and the connection closed.
#[tokio::test(flavor = "multi_thread")]
async fn bombs_in_the_head_are_refused() -> Result<()> {
    let apis = api(&[]).await?;
    let (to, pid) = (address(&apis)?, apis.all[0].process.pid());
    honest(to).await?;
    let before = cost(pid)?.0;
    let get = |path: &str, fields: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}\r\n")
    };
    let many = |count| (0..count).map(|n| format!("x-{n}: v\r\n")).collect::<String>();
    let path = |length: usize| format!("/{}", "p".repeat(length - 1));
    let query = format!("/?{}", "a=1&".repeat(10_000));
    let rows = [
        ("a field of 1 MB", get("/", &format!("x: {}\r\n", "x".repeat(1_000_000))), 431),
        ("a cookie of 40 KiB", get("/", &format!("cookie: {}\r\n", "x".repeat(40 * 1024))), 431),
        ("a cookie of 30 KiB", get("/", &format!("cookie: {}\r\n", "x".repeat(30 * 1024))), 200),
        ("1000 fields", get("/", &many(1000)), 431),
        ("65 fields", get("/", &many(63)), 431),
        ("64 fields", get("/", &many(62)), 200),
        ("a path of 64 KiB", get(&path(64 * 1024), ""), 414),
        ("a path of 1 MB", get(&path(1_000_000), ""), 414),
        ("a path of 8193 bytes", get(&path(8193), ""), 414),
        ("10,000 parameters", get(&query, ""), 414),
        ("a path of 8192 bytes", get(&path(8192), ""), 404),
        ("no HTTP", "what is this?\r\n\r\n".to_owned(), 400),
    ];
    for (name, words, status) in rows {
        let answer = said(to, words).await?;
        ensure!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {answer}");
        for header in ["content-security-policy", "x-content-type-options", "cache-control"] {
            ensure!(answer.matches(&format!("\r\n{header}: ")).count() == 1, "{name}: {answer}");
        }
        if status != 200 {
            ensure!(answer.contains("\r\ncontent-type: application/problem+json\r\n"), "{answer}");
            ensure!(answer.contains(&format!("\"status\":{status}")), "{name}: {answer}");
        }
    }
    let after = cost(pid)?.0;
    ensure!(after < before + FLAT, "memory grew from {before} to {after} KiB");
    apis.end().await
}

/// The rest of W38: nobody becomes anything else than HTTP/1.1 on an open connection.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_upgraded() -> Result<()> {
    let apis = api(&[]).await?;
    let to = address(&apis)?;
    let websocket = "GET /api/v1/events/birthday-3/live HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\n\
                     connection: upgrade, close\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                     sec-websocket-version: 13\r\n\r\n";
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(websocket.as_bytes()).await?;
    let mut first = [0; 12];
    stream.read_exact(&mut first).await?;
    ensure!(first == *b"HTTP/1.1 200", "{:?}", String::from_utf8_lossy(&first));
    drop(stream);
    let two = "GET /api/v1/events HTTP/1.1\r\nhost: a\r\nupgrade: h2c\r\n\
               connection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n\
               PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let answer = said(to, two).await?;
    ensure!(answer.starts_with("HTTP/1.1 200 ") && !answer.contains(" 101 "), "{answer}");
    ensure!(answer.matches("HTTP/1.1 ").count() == 1, "and no HTTP/2 after it: {answer}");
    let both = "GET /api/v1/events HTTP/1.1\r\nhost: a\r\nconnection: close, keep-alive\r\n\r\n";
    let answer = said(to, format!("{both}{both}")).await?;
    ensure!(answer.matches("HTTP/1.1 200 ").count() == 1, "close is close: {answer}");
    let connect =
        "CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\nconnection: close\r\n\r\n";
    let answer = said(to, connect).await?;
    ensure!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    apis.end().await
}

/// When an api closes, connections that wait for nothing are let go at once.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_do_not_keep_it_from_ending() -> Result<()> {
    let mut apis = api(&[]).await?;
    let to = address(&apis)?;
    let idle = (0..50).map(|_| async {
        let mut stream = TcpStream::connect(to).await?;
        ensure!(is_served(&mut stream).await, "served");
        Ok(stream)
    });
    let idle: Arc<[TcpStream]> = try_join_all(idle).await?.into();
    let begun = Instant::now();
    let log = apis.stop(0).await?;
    ensure!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    ensure!(!log.contains("the grace period ran out"), "{log}");
    drop(idle);
    apis.end().await
}
