//! What would come of a row without the protection that it is about: each limit raised, and in
//! the place of what cannot be switched off a reader that does without it.

use std::{
    io::Read,
    net::{SocketAddr, TcpStream as StdStream},
    time::Duration,
};

use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use portcall_hostile::answers::{self, GOOD};
use portcall_worker::probe::{
    asking::TIMES,
    json::{self, JsonFault},
    wire::AskLimits,
};
use rstest::rstest;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};

use crate::judged::{code, judged, judged_at, played, prober};

/// How long a reader without deadlines is waited for here.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long nobody comes before nobody will.
const UNMET: Duration = Duration::from_millis(300);

/// An answer by hyper's own rules, with bodies kept to 4 MiB.
async fn lenient(address: SocketAddr) -> Option<(u16, Option<String>, Vec<u8>)> {
    let exchange = async {
        let stream = TokioIo::new(TcpStream::connect(address).await.ok()?);
        let (mut sender, connection) = http1::handshake(stream).await.ok()?;
        tokio::spawn(connection);
        let request = Request::get("/").header("host", "app").body(Empty::<Bytes>::new()).ok()?;
        let answer = sender.send_request(request).await.ok()?;
        let (head, mut body) = answer.into_parts();
        let location = head.headers.get("location");
        let location = location.map(|to| String::from_utf8_lossy(to.as_bytes()).into_owned());
        let mut kept = Vec::new();
        while let Some(frame) = body.frame().await {
            kept.extend(frame.ok()?.into_data().unwrap_or_default());
            if kept.len() > 4 << 20 {
                break;
            }
        }
        Some((head.status.as_u16(), location, kept))
    };
    timeout(PATIENCE, exchange).await.ok().flatten()
}

/// The body of a mode as it comes over the wire, behind the first empty line.
async fn raw_body(mode: &str) -> Vec<u8> {
    let (_, _, body) = lenient(played(mode)).await.expect("an answer");
    body
}

/// The limits that participants are promised.
fn promised() -> AskLimits {
    AskLimits::default()
}

/// Limits that make a short wait a long one.
fn short() -> AskLimits {
    AskLimits { headers_ms: 400, total_ms: 400, ..promised() }
}

#[rstest]
#[case::body("body-65537", "answer_too_large", promised(), AskLimits { body_bytes: 65_537, ..promised() })]
#[case::body_to_close("close-65537", "answer_too_large", promised(), AskLimits { body_bytes: 65_537, ..promised() })]
#[case::body_in_chunks("chunks-65537", "answer_too_large", promised(), AskLimits { body_bytes: 65_537, ..promised() })]
#[case::head("head-16385", "answer_headers_too_large", promised(), AskLimits { head_bytes: 16_385, ..promised() })]
#[case::fields("fields-65", "answer_headers_too_large", promised(), AskLimits { header_fields: 65, ..promised() })]
#[case::head_in_time("delay:800", "answer_timeout", AskLimits { headers_ms: 400, ..promised() }, promised())]
#[case::answer_in_time("body-delay:800", "answer_timeout", short(), promised())]
#[tokio::test]
async fn a_limit_that_is_raised_lets_its_row_pass(
    #[case] mode: &str,
    #[case] expected: &str,
    #[case] limits: AskLimits,
    #[case] raised: AskLimits,
) {
    let address = played(mode);
    let (limited, raised) =
        tokio::join!(judged_at(address, limits, TIMES), judged_at(address, raised, TIMES));
    assert_eq!((code(&limited), code(&raised)), (expected.to_owned(), "passed".to_owned()));
}

#[tokio::test]
async fn without_the_deadline_for_the_connection_a_full_queue_is_waited_for() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        waiting.push(stream.unwrap());
        assert!(waiting.len() < 100, "the queue of the listener has no end");
    }
    let short = AskLimits { connect_ms: 300, ..AskLimits::default() };
    assert_eq!(code(&judged_at(address, short, TIMES).await), "not_listening");
    let raised = AskLimits { connect_ms: 5_000, headers_ms: 10_000, total_ms: 10_000, ..short };
    let patient = tokio::spawn(judged_at(address, raised, TIMES));
    drop(waiting);
    let listener = listener.into_std().unwrap();
    listener.set_nonblocking(false).unwrap();
    std::thread::spawn(move || answers::serve("good", listener));
    assert_eq!(code(&patient.await.unwrap()), "passed");
}

/// B03: what a reader without a limit would take in.
#[test]
fn without_a_limit_an_endless_body_is_read_for_ever() {
    let mut stream = StdStream::connect(played("infinite")).unwrap();
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut taken = 0;
    let mut piece = vec![0; 1 << 16];
    while taken < 32 << 20 {
        taken += stream.read(&mut piece).unwrap();
    }
}

/// B07: what a reader that unpacks would take in.
#[tokio::test]
async fn a_reader_that_unpacks_meets_the_bomb() {
    assert_eq!(code(&judged("gzipbomb").await), "answer_encoding");
    let packed = raw_body("gzipbomb").await;
    let mut unpacked = GzDecoder::new(packed.as_slice()).take(100 << 20);
    let bytes = std::io::copy(&mut unpacked, &mut std::io::sink()).unwrap();
    assert!(packed.len() < 2 << 20 && bytes == 100 << 20, "{} to {bytes}", packed.len());
    let mut text = String::new();
    let body = raw_body("gzip-true").await;
    GzDecoder::new(body.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(text, GOOD, "which would have passed");
}

/// B16: the lure is met by who follows, and by us never.
#[tokio::test]
async fn a_reader_that_follows_meets_the_lure() {
    let lure = &TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = lure.local_addr().unwrap();
    let address = played(&format!("redirect:http://{place}/"));
    let met = |within| async move { timeout(within, lure.accept()).await.is_ok() };
    assert_eq!(code(&judged_at(address, AskLimits::default(), TIMES).await), "answer_redirect");
    assert!(!met(UNMET).await, "we followed");
    let (_, location, _) = lenient(address).await.unwrap();
    let to = location.unwrap();
    let to = to.strip_prefix("http://").and_then(|rest| rest.strip_suffix('/')).unwrap();
    let (_, met) = tokio::join!(lenient(to.parse().unwrap()), met(PATIENCE));
    assert!(met, "the lure is none");
}

/// B09, B12, B35, B36: what a library lets through, and would have judged as passed.
#[tokio::test]
async fn a_lenient_reader_takes_what_is_no_http() {
    let refused = answers::ROWS.iter().filter(|row| row.expect.code() == "answer_not_http");
    let asked: JoinSet<_> =
        refused.map(|row| async move { (row.mode, lenient(played(row.mode)).await) }).collect();
    let passes = |answer: &Option<(u16, _, Vec<u8>)>| matches!(answer, Some((200, _, body)) if body == GOOD.as_bytes());
    let answers = asked.join_all().await.into_iter();
    let taken: Vec<_> = answers.filter(|(_, a)| passes(a)).map(|(mode, _)| mode).collect();
    for mode in [
        "clte",
        "tecl",
        "bare-lf",
        "one-bare-lf",
        "chunk-space-after",
        "trailer-length",
        "interim-3",
    ] {
        assert!(taken.contains(&mode), "{mode} is not among {taken:?}");
    }
}

/// B13: with two lengths, what an answer says depends on who reads it.
#[tokio::test]
async fn two_lengths_are_two_answers() {
    let mut stream = StdStream::connect(played("twocl")).unwrap();
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let (head, body) = std::str::from_utf8(&answer).unwrap().split_once("\r\n\r\n").unwrap();
    let mut lengths = head.lines().filter_map(|line| line.strip_prefix("Content-Length: "));
    let mut read = || &body[..lengths.next().unwrap().parse::<usize>().unwrap()];
    let (first, second) = (read(), read());
    assert!(json::parse(first.as_bytes()).is_ok() && json::parse(second.as_bytes()).is_err());
}

/// C01, C02, C07, C13: what `serde_json` alone takes, with the value that the check wants.
#[rstest]
#[case("depth-33", JsonFault::TooDeep { limit: 32 })]
#[case("dupkeys", JsonFault::DuplicateKey { key: "ok".into() })]
#[case("dupkeys-escaped", JsonFault::DuplicateKey { key: "ok".into() })]
#[case("string-4097", JsonFault::StringTooLong { limit: 4096 })]
#[tokio::test]
async fn a_lenient_parser_takes_what_we_refuse(#[case] mode: &str, #[case] fault: JsonFault) {
    let body = raw_body(mode).await;
    assert_eq!(json::parse(&body), Err(fault));
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["ok"], true);
}

/// B24: asked once, an answer that changes passes.
#[tokio::test]
async fn asked_once_a_flip_flop_passes() {
    for mode in ["flipflop", "flip-status", "flip-garbage", "flip-close"] {
        let once = judged_at(played(mode), AskLimits::default(), 1).await;
        assert_eq!(code(&once), "passed", "{mode}");
        assert_eq!(code(&judged(mode).await), "unstable_answer", "{mode}");
    }
}

/// D09: only where both ends allow it is a connection made.
#[tokio::test]
async fn an_address_that_was_not_reported_is_not_dialled() {
    let listener = &TcpListener::bind("127.0.0.2:0").await.unwrap();
    let question = crate::server::question(listener.local_addr().unwrap());
    let met = |within| async move { timeout(within, listener.accept()).await.is_ok() };
    let only_first = |address: std::net::IpAddr| address.to_string() == "127.0.0.1";
    for client in [prober(only_first, "127.0.0.0/8"), prober(|_| true, "127.0.0.1/32")] {
        let (asked, met) = tokio::join!(client.ask(question.clone()), met(UNMET));
        assert!(asked.is_err() && !met, "{asked:?}");
    }
    let client = prober(|_| true, "127.0.0.0/8");
    tokio::select! {
        biased;
        met = met(PATIENCE) => assert!(met, "it was not dialled"),
        asked = client.ask(question) => panic!("{asked:?}"),
    }
}
