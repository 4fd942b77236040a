//! Where a body ends: lengths, chunks, trailers, and answers that break off.

use super::{
    GOOD, HEADERS, INVALID, NOT_HTTP, NOT_LISTENING, PASSED, Play, RULE, Row, TRUNCATED, good_head,
    play::Step, row,
};

/// An answer with these fields and this body.
macro_rules! answer {
    ($rest:literal) => {
        Play::Says(
            concat!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n", $rest).as_bytes(),
        )
    };
}

/// An answer in chunks.
macro_rules! chunked {
    ($chunks:literal) => {
        Play::Says(
            concat!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n",
                "Transfer-Encoding: chunked\r\n\r\n",
                $chunks
            )
            .as_bytes(),
        )
    };
}

const CHUNKED: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";

#[rustfmt::skip] // a table: one row, one or two lines
pub(super) const ROWS: &[Row] = &[
    // Chunks.
    row("B09", "chunkjunk", "a chunk's size that is no number", NOT_HTTP, chunked!("ZZZZ\r\n")),
    row("B09", "chunk-empty", "a chunk without a size", NOT_HTTP, chunked!("\r\n{\"ok\":true}\r\n0\r\n\r\n")),
    row("B09", "chunk-minus", "a negative size", NOT_HTTP, chunked!("-b\r\n{\"ok\":true}\r\n0\r\n\r\n")),
    row("B09", "chunk-plus", "a size with a sign", NOT_HTTP, chunked!("+b\r\n{\"ok\":true}\r\n0\r\n\r\n")),
    row("B09", "chunk-0x", "a size with 0x", NOT_HTTP, chunked!("0xb\r\n{\"ok\":true}\r\n0\r\n\r\n")),
    row("B09", "chunk-space-before", "white space before a size", NOT_HTTP, chunked!(" b\r\n{\"ok\":true}\r\n0\r\n\r\n")),
    row("B09", "chunk-space-after", "white space after a size", NOT_HTTP, chunked!("b \r\n{\"ok\":true}\r\n0\r\n\r\n")),
    row("B09", "chunk-lf", "a size that ends in LF alone", NOT_HTTP, chunked!("b\n{\"ok\":true}\r\n0\r\n\r\n")),
    row("B09", "chunk-cr", "a size that ends in CR alone", NOT_HTTP, chunked!("b\r{\"ok\":true}\r\n0\r\n\r\n")),
    row("B09", "chunk-data-lf", "a chunk that ends in LF alone", NOT_HTTP, chunked!("b\r\n{\"ok\":true}\n0\r\n\r\n")),
    row("B09", "chunk-longer", "a chunk longer than its size", NOT_HTTP, chunked!("9\r\n{\"ok\":true}\r\n0\r\n\r\n")),
    row("B09", "chunk-upper", "a size in capital letters", PASSED, chunked!("B\r\n{\"ok\":true}\r\n0\r\n\r\n")),
    row("B09", "chunk-zeros", "a size with leading zeros", PASSED, chunked!("000b\r\n{\"ok\":true}\r\n000\r\n\r\n")),
    row("B09", "chunk-ones", "chunks of one byte", PASSED, Play::Makes(|| {
        let ones: String = GOOD.chars().map(|byte| format!("1\r\n{byte}\r\n")).collect();
        [CHUNKED, ones.as_bytes(), b"0\r\n\r\n"].concat()
    })),
    row("B10", "chunkhuge", "a size of ffffffffffffffff", NOT_HTTP, chunked!("ffffffffffffffff\r\n{\"ok\":true}")),
    row("B10", "chunk-overflow", "a size that is 11 for a reader with 64 bits", NOT_HTTP, chunked!("1000000000000000b\r\n{\"ok\":true}\r\n0\r\n\r\n")),
    row("B10", "chunk-signed", "a size that is negative for a reader with a sign", NOT_HTTP, chunked!("800000000000000b\r\n{\"ok\":true}\r\n0\r\n\r\n")),
    row("B10", "chunk-digits", "a size with a thousand zeros", NOT_HTTP, Play::Makes(|| {
        [CHUNKED, "0".repeat(1000).as_bytes(), b"b\r\n{\"ok\":true}\r\n0\r\n\r\n"].concat()
    })),
    row("B10", "chunk-largest", "the largest size there can be, and no more", TRUNCATED, chunked!("7fffffffffffffff\r\n{\"ok\":true}")),
    row("B38", "extension", "an extension", PASSED, chunked!("b;a=\"b;c\"\r\n{\"ok\":true}\r\n0;d\r\n\r\n")),
    row("B38", "extension-1m", "an extension of 1 MiB", NOT_HTTP, Play::Steps(|_| {
        vec![Step::Send([CHUNKED, b"b;"].concat()), Step::Repeat(b"e".to_vec(), 1 << 20)]
    })),
    row("B38", "extension-many", "five thousand small extensions", NOT_HTTP, Play::Makes(|| {
        [CHUNKED, "1;e\r\n \r\n".repeat(5000).as_bytes(), b"0\r\n\r\n"].concat()
    })),
    row("B38", "extension-lf", "an extension that ends in LF alone", NOT_HTTP, chunked!("b;a\n{\"ok\":true}\r\n0\r\n\r\n")),
    row("B38", "extension-nul", "NUL in an extension", NOT_HTTP, chunked!("b;a\0\r\n{\"ok\":true}\r\n0\r\n\r\n")),
    row("B39", "trailer", "trailer fields", PASSED, chunked!("b\r\n{\"ok\":true}\r\n0\r\nX-Sum: 1\r\nY: z\r\n\r\n")),
    row("B39", "trailer-huge", "a trailer field of 1 MiB", HEADERS, Play::Steps(|_| {
        vec![Step::Send([CHUNKED, b"b\r\n{\"ok\":true}\r\n0\r\nX: "].concat()), Step::Repeat(b"x".to_vec(), 1 << 20)]
    })),
    row("B39", "trailer-many", "a thousand trailer fields", HEADERS, Play::Makes(|| {
        [CHUNKED, b"b\r\n{\"ok\":true}\r\n0\r\n", "A: b\r\n".repeat(1000).as_bytes(), b"\r\n"].concat()
    })),
    row("B39", "trailer-length", "a length in the trailer", NOT_HTTP, chunked!("b\r\n{\"ok\":true}\r\n0\r\nContent-Length: 5\r\n\r\n")),
    row("B39", "trailer-fold", "a folded trailer field", NOT_HTTP, chunked!("b\r\n{\"ok\":true}\r\n0\r\nX: y\r\n z\r\n\r\n")),
    row("B39", "trailer-junk", "a trailer that is no field", NOT_HTTP, chunked!("b\r\n{\"ok\":true}\r\n0\r\nnonsense\r\n\r\n")),
    // Two ways to say where the body ends.
    row("B12", "clte", "Content-Length, then Transfer-Encoding", NOT_HTTP, answer!("Content-Length: 11\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n{\"ok\":true}\r\n0\r\n\r\n")),
    row("B12", "tecl", "Transfer-Encoding, then Content-Length", NOT_HTTP, answer!("Transfer-Encoding: chunked\r\nContent-Length: 11\r\n\r\nb\r\n{\"ok\":true}\r\n0\r\n\r\n")),
    row("B12", "te-twice", "Transfer-Encoding twice", NOT_HTTP, answer!("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n{\"ok\":true}\r\n0\r\n\r\n")),
    row("B12", "te-list", "chunked, chunked", NOT_HTTP, answer!("Transfer-Encoding: chunked, chunked\r\n\r\nb\r\n{\"ok\":true}\r\n0\r\n\r\n")),
    row("B12", "te-gzip-last", "chunked, gzip", NOT_HTTP, answer!("Transfer-Encoding: chunked, gzip\r\n\r\nb\r\n{\"ok\":true}\r\n0\r\n\r\n")),
    row("B12", "te-identity", "identity", NOT_HTTP, answer!("Transfer-Encoding: identity\r\n\r\n{\"ok\":true}")),
    row("B12", "te-x", "xchunked", NOT_HTTP, answer!("Transfer-Encoding: xchunked\r\n\r\n{\"ok\":true}")),
    row("B12", "te-empty", "an empty Transfer-Encoding", NOT_HTTP, answer!("Transfer-Encoding:\r\n\r\n{\"ok\":true}")),
    row("B12", "te-vtab", "a vertical tab before `chunked`", NOT_HTTP, answer!("Transfer-Encoding: \x0bchunked\r\n\r\nb\r\n{\"ok\":true}\r\n0\r\n\r\n")),
    row("B12", "te-quoted", "`chunked` in quotes", NOT_HTTP, answer!("Transfer-Encoding: \"chunked\"\r\n\r\n{\"ok\":true}")),
    row("B12", "te-case", "CHUNKED", PASSED, answer!("TRANSFER-ENCODING: CHUNKED\r\n\r\nb\r\n{\"ok\":true}\r\n0\r\n\r\n")),
    row("B12", "te-underscore", "Transfer_Encoding, which is no such field", INVALID, answer!("Transfer_Encoding: chunked\r\n\r\nb\r\n{\"ok\":true}\r\n0\r\n\r\n")),
    row("B12", "te-http10", "chunks in HTTP/1.0", NOT_HTTP, Play::Says(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n{\"ok\":true}\r\n0\r\n\r\n")),
    row("B13", "twocl", "two different lengths", NOT_HTTP, answer!("Content-Length: 11\r\nContent-Length: 24\r\n\r\n{\"ok\":true},{\"ok\":false}")),
    row("B13", "cl-list", "two lengths in one field", NOT_HTTP, answer!("Content-Length: 11, 24\r\n\r\n{\"ok\":true},{\"ok\":false}")),
    row("B13", "cl-same", "one length twice", PASSED, answer!("Content-Length: 11\r\nContent-Length: 11, 11\r\n\r\n{\"ok\":true}")),
    row("B13", "cl-plus", "a length with a sign", NOT_HTTP, answer!("Content-Length: +11\r\n\r\n{\"ok\":true}")),
    row("B13", "cl-minus", "a negative length", NOT_HTTP, answer!("Content-Length: -1\r\n\r\n{\"ok\":true}")),
    row("B13", "cl-hex", "a length with 0x", NOT_HTTP, answer!("Content-Length: 0x0b\r\n\r\n{\"ok\":true}")),
    row("B13", "cl-dot", "a length with a point", NOT_HTTP, answer!("Content-Length: 11.0\r\n\r\n{\"ok\":true}")),
    row("B13", "cl-space", "a length with a space in it", NOT_HTTP, answer!("Content-Length: 1 1\r\n\r\n{\"ok\":true}")),
    row("B13", "cl-empty", "an empty length", NOT_HTTP, answer!("Content-Length:\r\n\r\n{\"ok\":true}")),
    row("B13", "cl-digits", "a length of 20 digits", NOT_HTTP, answer!("Content-Length: 18446744073709551627\r\n\r\n{\"ok\":true}")),
    row("B13", "cl-formfeed", "lengths apart by a form feed", NOT_HTTP, answer!("Content-Length: 11,\x0c11\r\n\r\n{\"ok\":true}")),
    row("B13", "cl-zeros", "a length with leading zeros", PASSED, answer!("Content-Length: 00011\r\n\r\n{\"ok\":true}")),
    row("B13", "cl-short", "a length that cuts the body", INVALID, answer!("Content-Length: 5\r\n\r\n{\"ok\":true}")),
    row("B13", "cl-zero", "a length of 0 before a body", INVALID, answer!("Content-Length: 0\r\n\r\n{\"ok\":true}")),
    row("B13", "to-close", "a body to the end of the connection", PASSED, answer!("\r\n{\"ok\":true}")),
    // More than was asked for.
    row("B40", "more-data", "bytes behind the body", PASSED, answer!("Content-Length: 11\r\n\r\n{\"ok\":true}{\"ok\":false}")),
    row("B40", "second-answer", "a second answer behind the first", PASSED, answer!("Content-Length: 11\r\n\r\n{\"ok\":true}HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")),
    row("B40", "second-flood", "answers for ever", PASSED, Play::Steps(|_| {
        vec![Step::Repeat(good_head(GOOD.as_bytes()), 8 << 20)]
    })),
    // Connections that end early, late or in the wrong way.
    row("B19", "hold", "the connection is held open after the answer", PASSED, Play::Steps(|_| {
        let held = String::from_utf8_lossy(&good_head(GOOD.as_bytes())).into_owned();
        vec![Step::Send(held.replacen("\r\n", "\r\nConnection: keep-alive\r\n", 1).into_bytes()), Step::Hold]
    })),
    row("B20", "shortbody", "fewer bytes than announced", TRUNCATED, answer!("Content-Length: 9999\r\n\r\n{\"ok\":true}")),
    row("B20", "short-chunk", "less than a chunk", TRUNCATED, chunked!("ff\r\n{\"ok\":true}")),
    row("B20", "no-last-chunk", "a whole body without its last chunk", TRUNCATED, chunked!("b\r\n{\"ok\":true}\r\n")),
    row("B20", "no-trailer-end", "a trailer that does not end", TRUNCATED, chunked!("b\r\n{\"ok\":true}\r\n0\r\n")),
    row("B20", "short-head", "half a head", TRUNCATED, answer!("Content-Len")),
    row("B20", "nothing", "a close without an answer", TRUNCATED, Play::Says(b"")),
    row("B20", "half-close-first", "the write side closed before the request came", TRUNCATED, Play::Unasked(|| {
        vec![Step::HalfClose, Step::Hold]
    })),
    row("B20", "half-close", "the write side closed after the answer", PASSED, Play::Steps(|_| {
        vec![Step::Send(good_head(GOOD.as_bytes())), Step::HalfClose, Step::Hold]
    })),
    row("B21", "rst", "a reset after the accept", NOT_LISTENING, Play::Unasked(|| vec![Step::Reset])),
    row("B21", "rst-asked", "a reset instead of an answer", NOT_LISTENING, Play::Steps(|_| vec![Step::Reset])),
    row("B21", "rst-body", "a reset within the body", TRUNCATED, Play::Steps(|_| {
        vec![Step::Send(answer_head(9999)), Step::Wait(std::time::Duration::from_millis(100)), Step::Reset]
    })),
    row("B41", "unasked", "the answer before the request", PASSED, Play::Unasked(|| {
        vec![Step::Send(good_head(GOOD.as_bytes())), Step::Hold]
    })),
    row("B41", "unasked-wrong", "a wrong answer before the request", RULE, Play::Unasked(|| {
        vec![Step::Send(good_head(b"{\"ok\":false}")), Step::Hold]
    })),
];

fn answer_head(length: usize) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    format!("{head}Content-Length: {length}\r\n\r\n{{").into_bytes()
}
