//! Answers that take their time, in each phase of an answer, on both sides of each deadline.

use std::time::Duration;

use super::{GOOD, PASSED, Play, Row, TIMEOUT, good_head, play::Step, row};

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";

/// A pause that is a little shorter than the time for a head: who starts a new clock with each
/// byte waits for ever.
const NEARLY: Duration = Duration::from_millis(2_900);

/// The pause of a classic slow-loris.
const SECOND: Duration = Duration::from_secs(1);

#[rustfmt::skip] // a table: one row, one or two lines
pub(super) const ROWS: &[Row] = &[
    row("B01", "slowloris", "a byte of a header field each second", TIMEOUT, Play::Steps(|_| {
        vec![Step::Send([HEAD, b"X: "].concat()), Step::Drip(b"x".repeat(60), SECOND)]
    })),
    row("B01", "slow-status", "a byte of the status line just before each deadline", TIMEOUT, Play::Steps(|_| {
        vec![Step::Drip(HEAD.to_vec(), NEARLY)]
    })),
    row("B01", "slow-field", "a byte of a field just before each deadline", TIMEOUT, Play::Steps(|_| {
        vec![Step::Send(HEAD.to_vec()), Step::Drip(b"X: yyyyyyyy\r\n".to_vec(), NEARLY)]
    })),
    row("B01", "slow-fields", "a whole field each second", TIMEOUT, Play::Steps(|_| {
        let fields = (0..20).flat_map(|_| [Step::Wait(SECOND), Step::Send(b"A: b\r\n".to_vec())]);
        [Step::Send(HEAD.to_vec())].into_iter().chain(fields).collect()
    })),
    row("B01", "slow-interim", "two interim answers, a second apart, and no more", TIMEOUT, Play::Steps(|_| {
        let interim = || Step::Send(b"HTTP/1.1 103 Early\r\n\r\n".to_vec());
        vec![interim(), Step::Wait(SECOND), interim(), Step::Hold]
    })),
    row("B01", "head-then-hold", "a head without its last line", TIMEOUT, Play::Steps(|_| {
        vec![Step::Send(HEAD.to_vec()), Step::Hold]
    })),
    row("B02", "slowbody", "a byte of the body each second", TIMEOUT, Play::Steps(|_| {
        let head = [HEAD, b"Content-Length: 1000000\r\n\r\n"].concat();
        vec![Step::Send(head), Step::Drip(b"x".repeat(60), SECOND)]
    })),
    row("B02", "slow-data", "a byte of the body just before each deadline", TIMEOUT, Play::Steps(|_| {
        vec![Step::Send([HEAD, b"Content-Length: 11\r\n\r\n"].concat()), Step::Drip(GOOD.into(), NEARLY)]
    })),
    row("B02", "slow-to-close", "a body to the end of the connection that does not end", TIMEOUT, Play::Steps(|_| {
        vec![Step::Send([HEAD, b"\r\n", GOOD.as_bytes()].concat()), Step::Hold]
    })),
    row("B02", "slow-size", "a byte of a chunk's size just before each deadline", TIMEOUT, Play::Steps(|_| {
        vec![chunked(b""), Step::Drip(b"0000000b\r\n".to_vec(), NEARLY)]
    })),
    row("B02", "slow-chunk", "a byte of a chunk just before each deadline", TIMEOUT, Play::Steps(|_| {
        vec![chunked(b"b\r\n"), Step::Drip(GOOD.into(), NEARLY)]
    })),
    row("B02", "slow-chunks", "a whole chunk each second", TIMEOUT, Play::Steps(|_| {
        let chunks = (0..20).flat_map(|_| [Step::Wait(SECOND), Step::Send(b"1\r\n \r\n".to_vec())]);
        [chunked(b"")].into_iter().chain(chunks).collect()
    })),
    row("B02", "slow-extension", "a byte of an extension each second", TIMEOUT, Play::Steps(|_| {
        vec![chunked(b"b;"), Step::Drip(b"e".repeat(60), SECOND)]
    })),
    row("B02", "slow-trailer", "a byte of the trailer just before each deadline", TIMEOUT, Play::Steps(|_| {
        vec![chunked(b"b\r\n{\"ok\":true}\r\n0\r\n"), Step::Drip(b"X: y\r\n\r\n".to_vec(), NEARLY)]
    })),
    row("B02", "body-then-hold", "everything but the last byte", TIMEOUT, Play::Steps(|_| {
        let mut answer = good_head(GOOD.as_bytes());
        answer.pop();
        vec![Step::Send(answer), Step::Hold]
    })),
    row("B22", "accept-never-read", "accepts, reads nothing, says nothing", TIMEOUT, Play::Unasked(|| vec![Step::Ignore])),
    row("B22", "silent", "reads the request and says nothing", TIMEOUT, Play::Steps(|_| vec![Step::Hold])),
    row("B23", "delay:2000", "the head after 2 s", PASSED, Play::Parsed),
    row("B23", "delay:3300", "the head after 3.3 s", TIMEOUT, Play::Parsed),
    row("B23", "body-delay:4000", "the body after 4 s", PASSED, Play::Parsed),
    row("B23", "body-delay:5300", "the body after 5.3 s", TIMEOUT, Play::Parsed),
    row("B23", "drip-in-time", "a byte each 5 ms, to a good end", PASSED, Play::Steps(|_| {
        vec![Step::Drip(good_head(GOOD.as_bytes()), Duration::from_millis(5))]
    })),
];

fn chunked(first: &[u8]) -> Step {
    Step::Send([HEAD, b"Transfer-Encoding: chunked\r\n\r\n", first].concat())
}
