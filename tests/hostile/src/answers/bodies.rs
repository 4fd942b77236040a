//! Bodies that are large or not what they seem: endless, at the limit, compressed.

use super::{ENCODING, GOOD, NOT_HTTP, PASSED, Play, Row, TOO_LARGE, good_head, play::Step, row};

/// A good body that says it is encoded in this way.
macro_rules! encoded {
    ($fields:literal) => {
        Play::Says(
            concat!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n",
                $fields,
                "\r\nContent-Length: 11\r\n\r\n{\"ok\":true}"
            )
            .as_bytes(),
        )
    };
}

/// How large a body may be by default.
const LIMIT: usize = 65_536;

/// How much is endless for a reader with limits.
const ENDLESS: u64 = 1 << 30;

#[rustfmt::skip] // a table: one row, one or two lines
pub(super) const ROWS: &[Row] = &[
    row("B03", "infinite", "a body without end and without length", TOO_LARGE, Play::Steps(|_| {
        endless("", b"x")
    })),
    row("B03", "infinite-chunks", "chunks without end", TOO_LARGE, Play::Steps(|_| {
        endless("Transfer-Encoding: chunked\r\n", b"8\r\nxxxxxxxx\r\n")
    })),
    row("B03", "infinite-announced", "a terabyte, announced", TOO_LARGE, Play::Steps(|_| {
        endless("Content-Length: 1000000000000\r\n", b"x")
    })),
    row("B03", "infinite-json", "JSON that goes on and on", TOO_LARGE, Play::Steps(|_| {
        endless("", b"{\"ok\":true},")
    })),
    row("B03", "body-65536", "a body of exactly 64 KiB", PASSED, Play::MakesBody(|| padded(LIMIT))),
    row("B03", "body-65537", "a body of 64 KiB and a byte", TOO_LARGE, Play::MakesBody(|| padded(LIMIT + 1))),
    row("B03", "close-65536", "64 KiB to the end of the connection", PASSED, Play::Makes(|| to_close(LIMIT))),
    row("B03", "close-65537", "64 KiB and a byte to the end of the connection", TOO_LARGE, Play::Makes(|| to_close(LIMIT + 1))),
    row("B03", "chunks-65536", "64 KiB in chunks", PASSED, Play::Makes(|| in_chunks(LIMIT, 1000))),
    row("B03", "chunks-65537", "64 KiB and a byte in chunks", TOO_LARGE, Play::Makes(|| in_chunks(LIMIT + 1, 1000))),
    row("B03", "tiny-chunks", "64 KiB in chunks of one byte", PASSED, Play::Makes(|| in_chunks(LIMIT, 1))),
    row("B07", "gzipbomb", "1 MiB of gzip that unpacks to 160 MiB", ENCODING, Play::Makes(|| {
        encoded_body("gzip", &gzip_bomb(1 << 20))
    })),
    row("B07", "gzip-true", "a good body, truly compressed", ENCODING, Play::Makes(|| {
        encoded_body("gzip", &gzip_stored(GOOD.as_bytes()))
    })),
    row("B07", "gzip-te", "gzip as a transfer coding", ENCODING, Play::Makes(|| {
        let body = gzip_stored(GOOD.as_bytes());
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";
        [head.as_bytes(), format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat()
    })),
    row("B07", "gzip-undeclared", "gzip that does not say so", super::INVALID, Play::MakesBody(|| gzip_stored(GOOD.as_bytes()))),
    row("B08", "encoding-br", "br", ENCODING, encoded!("Content-Encoding: br")),
    row("B08", "encoding-zstd", "zstd", ENCODING, encoded!("Content-Encoding: zstd")),
    row("B08", "encoding-deflate", "deflate", ENCODING, encoded!("Content-Encoding: deflate")),
    row("B08", "encoding-stacked", "gzip, gzip", ENCODING, encoded!("Content-Encoding: gzip, gzip")),
    row("B08", "encoding-hidden", "identity, gzip", ENCODING, encoded!("Content-Encoding: identity, gzip")),
    row("B08", "encoding-second", "gzip in a second field", ENCODING, encoded!("Content-Encoding: identity\r\nContent-Encoding: gzip")),
    row("B08", "encoding-unknown", "a coding that nobody knows", ENCODING, encoded!("Content-Encoding: rot13")),
    row("B08", "encoding-case", "GZIP", ENCODING, encoded!("CONTENT-ENCODING: GZIP")),
    row("B08", "encoding-identity", "identity, which is none", PASSED, encoded!("Content-Encoding: identity")),
    row("B08", "encoding-empty", "an empty coding", PASSED, encoded!("Content-Encoding:")),
    row("B08", "encoding-dcb", "a dictionary from elsewhere", ENCODING, encoded!("Content-Encoding: dcb\r\nUse-As-Dictionary: match=\"/*\"")),
    row("B08", "te-deflate", "deflate as a transfer coding", ENCODING, encoded!("Transfer-Encoding: deflate")),
    row("B08", "te-br", "br as a transfer coding", NOT_HTTP, encoded!("Transfer-Encoding: br")),
];

fn endless(fields: &str, then: &[u8]) -> Vec<Step> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    vec![
        Step::Send(format!("{head}{fields}\r\n").into_bytes()),
        Step::Repeat(then.to_vec(), ENDLESS),
    ]
}

/// Good JSON of so many bytes.
fn padded(bytes: usize) -> Vec<u8> {
    format!("{GOOD}{}", " ".repeat(bytes - GOOD.len())).into_bytes()
}

fn to_close(bytes: usize) -> Vec<u8> {
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
    [head.as_slice(), &padded(bytes)].concat()
}

fn in_chunks(bytes: usize, each: usize) -> Vec<u8> {
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut answer = head.as_bytes().to_vec();
    for chunk in padded(bytes).chunks(each) {
        answer.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        answer.extend_from_slice(chunk);
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"0\r\n\r\n");
    answer
}

fn encoded_body(coding: &str, body: &[u8]) -> Vec<u8> {
    let good = String::from_utf8_lossy(&good_head(b"")).into_owned();
    let head = good.replacen(
        "Content-Length: 0",
        &format!("Content-Encoding: {coding}\r\nContent-Length: {}", body.len()),
        1,
    );
    [head.as_bytes(), body].concat()
}

const GZIP: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// A gzip member that holds these bytes as they are.
fn gzip_stored(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    let [low, high] = length.to_le_bytes();
    let crc = crc32(body).to_le_bytes();
    let size = u32::from(length).to_le_bytes();
    [&GZIP[..], &[1, low, high, !low, !high], body, &crc, &size].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// About so many bytes that unpack to 158 times as many zeros: one zero, and then over and over
/// the longest match there is, 258 bytes in 13 bits. Its check sum is wrong; by the time that
/// anybody sees it, it is too late.
fn gzip_bomb(bytes: usize) -> Vec<u8> {
    let mut bits = Bits { bytes: GZIP.to_vec(), pending: 0, count: 0 };
    bits.push(0b011, 3); // the last block, with fixed codes
    bits.push_code(0b0011_0000, 8); // the literal 0
    while bits.bytes.len() < bytes {
        bits.push_code(0b1100_0101, 8); // length 258
        bits.push_code(0, 5); // distance 1
    }
    bits.push_code(0, 7); // the end
    bits.push(0, 7);
    bits.bytes.extend_from_slice(&[0; 8]);
    bits.bytes
}

struct Bits {
    bytes: Vec<u8>,
    pending: u32,
    count: u32,
}

impl Bits {
    /// Numbers begin with their lowest bit.
    fn push(&mut self, value: u32, width: u32) {
        for bit in 0..width {
            self.pending |= (value >> bit & 1) << self.count;
            self.count += 1;
            if self.count == 8 {
                self.bytes.push(self.pending as u8);
                (self.pending, self.count) = (0, 0);
            }
        }
    }

    /// Codes begin with their highest bit.
    fn push_code(&mut self, code: u32, width: u32) {
        self.push(code.reverse_bits() >> (32 - width), width);
    }
}
