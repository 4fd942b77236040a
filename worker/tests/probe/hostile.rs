//! The rows of the corpus that are the same bytes for everybody, each with its failure.

use std::{net::SocketAddr, time::Instant};

use portcall_worker::probe::{
    ask::ask,
    wire::{AskFailure, AskLimits},
};
use rstest::rstest;
use tokio::{
    net::{TcpListener, TcpSocket},
    time::timeout,
};

use crate::server::{OK, PATIENCE, Then, asked, failure, question, server};

/// The rows that are the same bytes for everybody, each with its failure.
#[rstest]
#[case::b07_gzip("Content-Encoding: gzip\r\n\r\n\u{1f}", AskFailure::Encoding)]
#[case::b08_br("Content-Encoding: br\r\n\r\nx", AskFailure::Encoding)]
#[case::b08_stacked("Content-Encoding: gzip, gzip\r\n\r\nx", AskFailure::Encoding)]
#[case::b09_chunk_junk("Transfer-Encoding: chunked\r\n\r\nZZZZ\r\n", AskFailure::NotHttp)]
#[case::b10_chunk_huge(
    "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\nx",
    AskFailure::NotHttp
)]
#[case::b10_chunk_max(
    "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
    AskFailure::NotHttp
)]
#[case::chunk_without_end("Transfer-Encoding: chunked\r\n\r\n1\r\nxy", AskFailure::NotHttp)]
#[case::b12_cl_te(
    "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    AskFailure::NotHttp
)]
#[case::b12_te_cl(
    "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    AskFailure::NotHttp
)]
#[case::b13_two_lengths("Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", AskFailure::NotHttp)]
#[case::obs_fold("X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}", AskFailure::NotHttp)]
#[case::b20_short("Content-Length: 9999\r\n\r\n{\"ok\":true}", AskFailure::Truncated)]
#[case::b20_short_chunk("Transfer-Encoding: chunked\r\n\r\n5\r\nab", AskFailure::Truncated)]
#[case::b20_no_last_chunk("Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n", AskFailure::Truncated)]
#[case::within_the_head("Content-Len", AskFailure::Truncated)]
#[tokio::test]
async fn what_follows_a_status_line(#[case] rest: &str, #[case] expected: AskFailure) {
    let observation = asked(format!("{OK}{rest}"), Then::Close, AskLimits::default()).await;
    assert_eq!(failure(&observation), expected);
}

#[rstest]
#[case::b14_tls(&b"\x15\x03\x01\x00\x02\x02\x0a"[..])]
#[case::b14_random(&b"\x00\xff\x8a\x01\x9c"[..])]
#[case::b15_http_0_9(&b"{\"ok\":true}"[..])]
#[case::http_2(&b"\x00\x00\x12\x04\x00"[..])]
#[case::ssh(&b"SSH-2.0-OpenSSH_9.2\r\n"[..])]
#[tokio::test]
async fn other_protocols_are_named_at_once(#[case] bytes: &[u8]) {
    let start = Instant::now();
    let observation = asked(bytes, Then::Hold, AskLimits::default()).await;
    assert_eq!(failure(&observation), AskFailure::NotHttp);
    assert!(start.elapsed() < PATIENCE, "the connection was held open");
}

#[rstest]
#[case::without_length("\r\n", "xxxxxxxx")]
#[case::chunked("Transfer-Encoding: chunked\r\n\r\n", "8\r\nxxxxxxxx\r\n")]
#[case::announced("Content-Length: 999999999999\r\n\r\n", "xxxxxxxx")]
#[tokio::test]
async fn b03_an_endless_body_is_cut_off(#[case] head: &str, #[case] chunk: &str) {
    let server = server(format!("{OK}{head}"), Then::Repeat(chunk.repeat(1000).into())).await;
    let observation = ask(question(server.address)).await;
    assert_eq!(failure(&observation), AskFailure::BodyTooLarge);
    timeout(PATIENCE, server.left).await.expect("the socket was dropped").unwrap();
}

#[rstest]
#[case::b04_one_header("X: ", "xxxxxxxx", AskFailure::HeadersTooLarge)]
#[case::b05_many_headers("", "A: b\r\n", AskFailure::TooManyFields)]
#[case::status_line("", "x", AskFailure::HeadersTooLarge)]
#[tokio::test]
async fn an_endless_head_is_cut_off(
    #[case] head: &str,
    #[case] chunk: &str,
    #[case] fails: AskFailure,
) {
    let line = if chunk == "x" { "HTTP/1.1 200 " } else { OK };
    let server = server(format!("{line}{head}"), Then::Repeat(chunk.repeat(1000).into())).await;
    let observation = ask(question(server.address)).await;
    assert_eq!(failure(&observation), fails);
    timeout(PATIENCE, server.left).await.expect("the socket was dropped").unwrap();
}

#[tokio::test]
async fn b21_a_reset_is_named() {
    for _ in 0..20 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let question = question(listener.local_addr().unwrap());
        let (observation, ()) = tokio::join!(ask(question), async {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_zero_linger().unwrap();
        });
        assert_eq!(failure(&observation), AskFailure::ConnectReset);
    }
    for (first, expected) in [
        (String::new(), AskFailure::ConnectReset),
        (OK.to_owned(), AskFailure::ConnectReset),
        (format!("{OK}Content-Length: 9\r\n\r\n"), AskFailure::Truncated),
        (format!("{OK}\r\n"), AskFailure::Truncated),
    ] {
        let observation = asked(first, Then::Reset, AskLimits::default()).await;
        assert_eq!(failure(&observation), expected);
    }
}

#[tokio::test]
async fn a_close_without_an_answer_is_truncated() {
    let observation = asked("", Then::Close, AskLimits::default()).await;
    assert_eq!(failure(&observation), AskFailure::Truncated);
}

#[tokio::test]
async fn what_cannot_be_connected_is_named() {
    // Bound and not listened on, so that nobody else has it meanwhile.
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = closed.local_addr().unwrap();
    assert_eq!(failure(&ask(question(address)).await), AskFailure::ConnectRefused);
    // No packet leaves for the broadcast address.
    let broadcast = SocketAddr::from(([255, 255, 255, 255], 80));
    assert_eq!(failure(&ask(question(broadcast)).await), AskFailure::Unreachable);
}
