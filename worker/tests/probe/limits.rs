//! Time and size, from both sides of each limit.

use std::time::Duration;

use portcall_worker::probe::{
    ask::ask,
    wire::{AskFailure, AskLimits, Method, Observation, Question},
};
use proptest::prelude::*;
use rstest::rstest;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

use crate::server::{OK, Then, asked, body, failure, question};

/// Limits for servers that would use them up.
fn short() -> AskLimits {
    AskLimits { connect_ms: 5_000, headers_ms: 300, total_ms: 500, ..AskLimits::default() }
}

/// Limits for servers that send a head at once, and would use up what there is for a body.
fn short_body() -> AskLimits {
    AskLimits { headers_ms: 1_000, total_ms: 1_000, ..AskLimits::default() }
}

#[tokio::test]
async fn b01_a_slow_head_times_out() {
    let drip = Then::Drip(b"X".to_vec(), Duration::from_millis(20));
    let observation = asked(format!("{OK}X: "), drip, short()).await;
    assert_eq!(failure(&observation), AskFailure::HeadersTimeout);
}

#[tokio::test]
async fn b02_a_slow_body_times_out() {
    let drip = Then::Drip(b"X".to_vec(), Duration::from_millis(20));
    let observation =
        asked(format!("{OK}Content-Length: 1000000\r\n\r\n"), drip, short_body()).await;
    assert_eq!(failure(&observation), AskFailure::BodyTimeout);
    let drip = Then::Drip(b"1\r\nx\r\n".to_vec(), Duration::from_millis(20));
    let observation =
        asked(format!("{OK}Transfer-Encoding: chunked\r\n\r\n"), drip, short_body()).await;
    assert_eq!(failure(&observation), AskFailure::BodyTimeout);
}

#[tokio::test]
async fn b22_a_server_that_never_speaks_times_out() {
    let observation = asked("", Then::Hold, short()).await;
    assert_eq!(failure(&observation), AskFailure::HeadersTimeout);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let never_read = Question {
        method: Method::Post,
        body: Some("x".repeat(8 << 20)),
        limits: short(),
        ..question(listener.local_addr().unwrap())
    };
    assert_eq!(failure(&ask(never_read).await), AskFailure::HeadersTimeout);
}

/// B23: a delay within a limit is waited for, and one beyond it for as long as the limit is. That the limits
/// are exact is shown by `rows`.
#[rstest]
#[case::head_in_time("", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 250, None)]
#[case::head_late("", "HTTP/1.1 200 OK\r\n\r\n", 60_000, Some(AskFailure::HeadersTimeout))]
#[case::body_in_time("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", "}", 750, None)]
#[case::body_late(
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{",
    "}",
    60_000,
    Some(AskFailure::BodyTimeout)
)]
#[tokio::test]
async fn b23_a_delay_is_measured(
    #[case] first: &str,
    #[case] last: &str,
    #[case] delay_ms: u64,
    #[case] fails: Option<AskFailure>,
) {
    let limits = match fails {
        None => AskLimits { headers_ms: 10_000, total_ms: 20_000, ..AskLimits::default() },
        Some(_) => AskLimits { headers_ms: 500, total_ms: 1_000, ..AskLimits::default() },
    };
    let then = Then::After(Duration::from_millis(delay_ms), last.into());
    let observation = asked(first, then, limits).await;
    match fails {
        None => assert_eq!(body(&observation), (200, &b"{}"[..])),
        Some(expected) => {
            assert_eq!(failure(&observation), expected);
            let limit = if expected == AskFailure::BodyTimeout { 1_000 } else { 500 };
            let Observation::Failed { ms, .. } = observation else { panic!() };
            assert!((limit..limit + 20_000).contains(&ms), "{ms}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_times_out() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        waiting.push(stream.unwrap());
        assert!(waiting.len() < 100, "the queue of the listener has no end");
    }
    let limits = AskLimits { connect_ms: 200, ..short() };
    let observation = ask(Question { limits, ..question(address) }).await;
    assert_eq!(failure(&observation), AskFailure::ConnectTimeout);
}

#[rstest]
#[case(65_536, None)]
#[case(65_537, Some(AskFailure::BodyTooLarge))]
#[tokio::test]
async fn the_body_is_limited_on_both_sides(#[case] size: usize, #[case] fails: Option<AskFailure>) {
    let content = "x".repeat(size);
    let chunks: String = content
        .as_bytes()
        .chunks(1000)
        .map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), "x".repeat(chunk.len())))
        .collect();
    for answer in [
        format!("{OK}Content-Length: {size}\r\n\r\n{content}"),
        format!("{OK}\r\n{content}"),
        format!("{OK}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"),
    ] {
        let observation = asked(answer, Then::Close, AskLimits::default()).await;
        match fails {
            None => assert_eq!(body(&observation), (200, content.as_bytes())),
            Some(expected) => assert_eq!(failure(&observation), expected),
        }
    }
}

#[rstest]
#[case(16_384, 64, None)]
#[case(16_385, 64, Some(AskFailure::HeadersTooLarge))]
#[case(16_384, 65, Some(AskFailure::TooManyFields))]
#[tokio::test]
async fn the_head_is_limited_on_both_sides(
    #[case] bytes: usize,
    #[case] fields: usize,
    #[case] fails: Option<AskFailure>,
) {
    let mut head = format!("{OK}Content-Length: 2\r\n{}X: ", "A: b\r\n".repeat(fields - 2));
    head.push_str(&"x".repeat(bytes - head.len() - 4));
    let observation = asked(format!("{head}\r\n\r\n{{}}"), Then::Close, AskLimits::default()).await;
    match fails {
        None => assert_eq!(body(&observation), (200, &b"{}"[..])),
        Some(expected) => assert_eq!(failure(&observation), expected),
    }
}

/// Whatever takes as long as this would never have ended.
const UNENDED: Duration = Duration::from_secs(20);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever a server writes, and whenever, the whole limit ends it, also where the server would never end.
    #[test]
    fn a_question_never_takes_longer_than_its_limit(
        pieces in prop::collection::vec(
            (
                prop_oneof![
                    Just(b"HTTP/1.1 200 OK\r\n".to_vec()),
                    Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
                    Just(b"Content-Length: 10\r\n".to_vec()),
                    Just(b"\r\n".to_vec()),
                    Just(b"5\r\nhello\r\n".to_vec()),
                    prop::collection::vec(any::<u8>(), 0..2000),
                ],
                0_u64..40,
            ),
            0..12,
        ),
        end in prop::sample::select(vec!["close", "hold", "drip"]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ended = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let script = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                for (bytes, pause) in pieces {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                while end == "drip" && stream.write_all(b"X").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                if end == "hold" {
                    std::future::pending::<()>().await;
                }
            };
            let limits = AskLimits { headers_ms: 60, total_ms: 100, ..AskLimits::default() };
            tokio::select! {
                biased;
                _ = ask(Question { limits, ..question(address) }) => true,
                () = async { script.await; tokio::time::sleep(UNENDED).await } => false,
                () = tokio::time::sleep(UNENDED) => false,
            }
        });
        prop_assert!(ended);
    }
}
