//! The strict reading of an answer's head.
//!
//! HTTP libraries are lenient where two readers of the same bytes may disagree: a bare LF for a
//! line end, `Transfer-Encoding` that silently wins over `Content-Length`, a body to the end of
//! the connection when the last transfer coding is unknown, any number of interim answers. Here
//! each of them is a fault with a sentence. The check is incremental and looks at each byte once;
//! whoever calls it keeps the bytes.

use super::{
    fault::AskFault,
    wire::{AskFailure, AskLimits},
};

/// The most interim (1xx) answers before the real one.
const INTERIM: usize = 2;

/// A head that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// 200 to 599.
    pub(super) status: u16,
    /// In the order of arrival, without those of interim answers.
    pub(super) fields: Vec<(String, String)>,
    pub(super) framing: Framing,
}

/// How the head says where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    Close,
}

/// The state of one check.
#[derive(Debug)]
pub(super) struct HeadCheck {
    limits: AskLimits,
    /// Where the line that is being read begins.
    line: usize,
    /// Up to where there is no line end.
    scanned: usize,
    interim: usize,
    fields: usize,
    draft: Option<Draft>,
}

/// What one head says; there once its status line was read.
#[derive(Debug)]
struct Draft {
    status: u16,
    minor: u8,
    fields: Vec<(String, String)>,
    length: Option<u64>,
    chunked: bool,
}

impl HeadCheck {
    pub(super) fn new(limits: AskLimits) -> Self {
        Self { limits, line: 0, scanned: 0, interim: 0, fields: 0, draft: None }
    }

    /// Reads on; `bytes` is everything since the connection began. Gives the final head and the
    /// offset behind it once it is complete.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<Option<(Head, usize)>, AskFault> {
        while let Some(gap) = bytes[self.scanned..].iter().position(|byte| *byte == b'\n') {
            let end = self.scanned + gap;
            if end >= self.limits.head_bytes {
                // Said first, as when the line comes in pieces.
                if self.draft.is_none() {
                    status_prefix(&bytes[self.line..end])?;
                }
                return Err(self.too_many_bytes());
            }
            let line = &bytes[self.line..end];
            self.scanned = end + 1;
            self.line = end + 1;
            if let Some(head) = self.read_line(line)? {
                return Ok(Some((head, self.line)));
            }
        }
        self.scanned = bytes.len();
        if self.draft.is_none() {
            status_prefix(&bytes[self.line..])?;
        }
        if bytes.len() >= self.limits.head_bytes {
            return Err(self.too_many_bytes());
        }
        Ok(None)
    }

    /// The final head, if it ended with this line.
    fn read_line(&mut self, line: &[u8]) -> Result<Option<Head>, AskFault> {
        let Some(draft) = &mut self.draft else {
            status_prefix(line)?;
            self.draft = Some(status_line(without_cr(line)?)?);
            return Ok(None);
        };
        let line = without_cr(line)?;
        if !line.is_empty() {
            self.fields += 1;
            if self.fields > self.limits.header_fields {
                return Err(too_many_fields(self.limits));
            }
            draft.field(line)?;
            return Ok(None);
        }
        let draft = self.draft.take();
        if let Some(draft) = draft.filter(|draft| draft.status >= 200) {
            return Ok(Some(draft.finish()));
        }
        self.interim += 1;
        if self.interim > INTERIM {
            return Err(not_http(format!("more than {INTERIM} interim (1xx) answers came first")));
        }
        Ok(None)
    }

    fn too_many_bytes(&self) -> AskFault {
        let limit = self.limits.head_bytes;
        let detail = format!("the head of the answer is larger than {limit} bytes");
        AskFault { failure: AskFailure::HeadersTooLarge, detail }
    }
}

impl Draft {
    fn field(&mut self, line: &[u8]) -> Result<(), AskFault> {
        let (name, value) = field(line)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            self.content_length(value)?;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.transfer_encoding(value)?;
        } else if name.eq_ignore_ascii_case(b"content-encoding") {
            content_encoding(value)?;
        }
        if self.chunked && self.length.is_some() {
            return Err(not_http("the answer has both Content-Length and Transfer-Encoding"));
        }
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        self.fields.push((text(name).to_ascii_lowercase(), text(value)));
        Ok(())
    }

    fn finish(self) -> Head {
        let framing = match (self.chunked, self.length) {
            (true, _) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::Close,
        };
        Head { status: self.status, fields: self.fields, framing }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), AskFault> {
        for one in value.split(|byte| *byte == b',') {
            let one = trimmed(one);
            let digits = !one.is_empty() && one.len() <= 18 && one.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(one).ok().filter(|_| digits);
            let Some(length) = length.and_then(|text| text.parse().ok()) else {
                return Err(not_http("Content-Length is not a length"));
            };
            if self.length.is_some_and(|earlier| earlier != length) {
                return Err(not_http("the answer has two different lengths"));
            }
            self.length = Some(length);
        }
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), AskFault> {
        if self.minor == 0 {
            return Err(not_http("HTTP/1.0 has no Transfer-Encoding"));
        }
        if self.chunked {
            return Err(not_http("the answer has more than one Transfer-Encoding"));
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            let known = [&b"gzip"[..], b"x-gzip", b"deflate", b"compress", b"x-compress"];
            let first = trimmed(value.split(|byte| *byte == b',').next().unwrap_or_default());
            if known.iter().any(|name| first.eq_ignore_ascii_case(name)) {
                return Err(encoded());
            }
            return Err(not_http("Transfer-Encoding is not `chunked`"));
        }
        self.chunked = true;
        Ok(())
    }
}

/// Takes one line apart, strictly.
pub(super) fn field(line: &[u8]) -> Result<(&[u8], &[u8]), AskFault> {
    if matches!(line, [b' ' | b'\t', ..]) {
        return Err(not_http("a header field is folded over two lines"));
    }
    let Some(colon) = line.iter().position(|byte| *byte == b':') else {
        return Err(not_http("a header field has no colon"));
    };
    let (name, value) = (&line[..colon], trimmed(&line[colon + 1..]));
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return Err(not_http("the name of a header field has characters that it must not have"));
    }
    if !value.iter().all(|byte| is_text(*byte)) {
        return Err(not_http("a header field holds control characters"));
    }
    Ok((name, value))
}

/// Without the white space that HTTP knows, which is less than what others call so.
fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn content_encoding(value: &[u8]) -> Result<(), AskFault> {
    let mut codings = value.split(|byte| *byte == b',').map(trimmed);
    if codings.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    Err(encoded())
}

fn encoded() -> AskFault {
    AskFault {
        failure: AskFailure::Encoding,
        detail: "the answer is compressed though the request said Accept-Encoding: identity".into(),
    }
}

pub(super) fn too_many_fields(limits: AskLimits) -> AskFault {
    let detail = format!("the answer has more than {} header fields", limits.header_fields);
    AskFault { failure: AskFailure::TooManyFields, detail }
}

/// As early as possible, so that another protocol is named at once and not after a deadline.
fn status_prefix(line: &[u8]) -> Result<(), AskFault> {
    const PREFIX: &[u8] = b"HTTP/1.";
    let seen = line.len().min(PREFIX.len());
    if line[..seen] == PREFIX[..seen] {
        return Ok(());
    }
    let detail = match line {
        // The next byte tells.
        [0x15 | 0x16] => return Ok(()),
        [0x15 | 0x16, 3, ..] => "the answer is TLS; port 80 is asked in plain HTTP",
        _ => "the answer does not begin with `HTTP/1.`",
    };
    Err(not_http(detail))
}

fn status_line(line: &[u8]) -> Result<Draft, AskFault> {
    let fault = || not_http("the status line is malformed");
    let rest = line.strip_prefix(b"HTTP/1.").ok_or_else(fault)?;
    let [minor @ (b'0' | b'1'), b' ', code @ ..] = rest else {
        return Err(fault());
    };
    let (digits, reason) = code.split_at_checked(3).ok_or_else(fault)?;
    if !digits.iter().all(u8::is_ascii_digit) || !matches!(reason, [] | [b' ', ..]) {
        return Err(fault());
    }
    if !reason.iter().all(|byte| is_text(*byte)) {
        return Err(fault());
    }
    let status = digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    match status {
        101 => Err(not_http("the answer switches protocols, which nobody asked for")),
        100..=599 => {
            let minor = minor - b'0';
            Ok(Draft { status, minor, fields: Vec::new(), length: None, chunked: false })
        }
        _ => Err(not_http(format!("there is no status {status:03}"))),
    }
}

pub(super) fn without_cr(line: &[u8]) -> Result<&[u8], AskFault> {
    line.strip_suffix(b"\r").ok_or_else(|| not_http("a line of the answer ends in LF without CR"))
}

pub(super) fn not_http(detail: impl Into<String>) -> AskFault {
    AskFault { failure: AskFailure::NotHttp, detail: detail.into() }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

pub(super) fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn check(bytes: &[u8]) -> Result<Option<(Head, usize)>, AskFailure> {
        HeadCheck::new(AskLimits::default()).advance(bytes).map_err(|fault| fault.failure)
    }

    #[rstest]
    #[case("HTTP/1.1 200 OK\r\n\r\n", Framing::Close)]
    #[case("HTTP/1.0 200 OK\r\nServer: Werkzeug/0.11\r\n\r\n", Framing::Close)]
    #[case("HTTP/1.1 204\r\n\r\n", Framing::Close)]
    #[case("HTTP/1.1 200 \r\nX:\r\n\r\n", Framing::Close)]
    #[case(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\ncontent-length: 5, 5\r\n\r\n",
        Framing::Length(5)
    )]
    #[case("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", Framing::Chunked)]
    #[case("HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\n\r\n", Framing::Close)]
    #[case("HTTP/1.1 200 \u{e9}t\u{e9}\r\nX: \u{e9}\r\n\r\n", Framing::Close)]
    #[case("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Framing::Close)]
    #[case(
        "HTTP/1.1 102\r\n\r\nHTTP/1.1 103\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        Framing::Close
    )]
    fn a_good_head_passes(#[case] head: &str, #[case] framing: Framing) {
        let (read, end) = check(head.as_bytes()).unwrap().unwrap();
        assert_eq!((read.framing, end), (framing, head.len()));
        let with_body = [head.as_bytes(), b"body"].concat();
        assert_eq!(check(&with_body), Ok(Some((read, end))));
    }

    #[test]
    fn fields_are_kept_as_they_came() {
        let head = b"HTTP/1.1 103\r\nLink: x\r\n\r\nHTTP/1.1 404 No\r\nX-A: \t1 \r\nx-a: \xff\r\nB:\r\n\r\n";
        let (read, _) = check(head).unwrap().unwrap();
        let fields = [("x-a", "1"), ("x-a", "\u{fffd}"), ("b", "")];
        assert_eq!(read.fields, fields.map(|(name, value)| (name.into(), value.into())));
        assert_eq!(read.status, 404);
    }

    #[rstest]
    #[case("hello")]
    #[case("\r\nHTTP/1.1 200 OK\r\n\r\n")]
    #[case("\u{16}\u{3}\u{1}")]
    #[case("HTTP/2")]
    #[case("http/1.1 200 OK\r\n\r\n")]
    #[case("HTTP/1.2 200 OK\r\n")]
    #[case("HTTP/1.1  200 OK\r\n")]
    #[case("HTTP/1.1 20 OK\r\n")]
    #[case("HTTP/1.1 2000 OK\r\n")]
    #[case("HTTP/1.1 099 OK\r\n")]
    #[case("HTTP/1.1 600 OK\r\n")]
    #[case("HTTP/1.1 200 a\rb\r\n")]
    #[case("HTTP/1.1 101 Switching Protocols\r\n")]
    #[case("HTTP/1.1 200 OK\n\n")]
    #[case("HTTP/1.1 200 OK\r\nA: b\n")]
    #[case("HTTP/1.1 200 OK\r\n\n")]
    #[case("HTTP/1.1 200 OK\r\nA\r\n")]
    #[case("HTTP/1.1 200 OK\r\nA : b\r\n")]
    #[case("HTTP/1.1 200 OK\r\n: b\r\n")]
    #[case("HTTP/1.1 200 OK\r\n A: b\r\n")]
    #[case("HTTP/1.1 200 OK\r\nA: b\r\n\tc\r\n")]
    #[case("HTTP/1.1 200 OK\r\nA: b\0c\r\n")]
    #[case("HTTP/1.1 200 OK\r\nA: b\rc\r\n")]
    #[case("HTTP/1.1 200 OK\r\nA: \u{c}b\r\n")]
    #[case("HTTP/1.1 200 OK\r\nContent-Length: 5,\u{c}5\r\n")]
    #[case("HTTP/1.1 200 OK\r\nContent-Length: 5,\r\n")]
    #[case("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n")]
    #[case("HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n")]
    #[case("HTTP/1.1 200 OK\r\nContent-Length:\r\n")]
    #[case("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n")]
    #[case("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n")]
    #[case("HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n")]
    #[case("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n")]
    #[case("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n")]
    #[case("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n")]
    #[case("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")]
    #[case("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n")]
    #[case("HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n")]
    #[case("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n")]
    #[case("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n")]
    #[case("HTTP/1.1 103\r\n\r\nHTTP/1.1 103\r\n\r\nHTTP/1.1 103\r\n\r\n")]
    #[case("HTTP/1.1 100 Continue\r\n\r\nhello")]
    fn a_bad_head_is_named_at_once(#[case] head: &str) {
        assert_eq!(check(head.as_bytes()), Err(AskFailure::NotHttp));
    }

    #[rstest]
    #[case("Content-Encoding: gzip")]
    #[case("content-encoding: br")]
    #[case("Content-Encoding: zstd")]
    #[case("Content-Encoding: deflate")]
    #[case("Content-Encoding: gzip, gzip")]
    #[case("Content-Encoding: identity, gzip")]
    #[case("Transfer-Encoding: gzip, chunked")]
    fn an_encoding_is_named(#[case] field: &str) {
        let head = format!("HTTP/1.1 200 OK\r\n{field}\r\n");
        assert_eq!(check(head.as_bytes()), Err(AskFailure::Encoding));
    }

    #[test]
    fn the_size_of_a_head_is_limited_on_both_sides() {
        let head = |bytes: usize| {
            let frame = "HTTP/1.1 200 OK\r\nX: \r\n\r\n".len();
            format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(bytes - frame))
        };
        assert_eq!(head(16_384).len(), 16_384);
        assert!(check(head(16_384).as_bytes()).is_ok());
        assert_eq!(check(head(16_385).as_bytes()), Err(AskFailure::HeadersTooLarge));
        let unfinished = &head(20_000)[..16_384];
        assert_eq!(check(unfinished.as_bytes()), Err(AskFailure::HeadersTooLarge));
    }

    #[test]
    fn the_number_of_fields_is_limited_on_both_sides() {
        let head = |fields: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(fields));
        assert!(check(head(64).as_bytes()).is_ok());
        assert_eq!(check(head(65).as_bytes()), Err(AskFailure::TooManyFields));
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(
            head in "(HTTP/1\\.1 [12]0[0-4]( OK)?\r\n(A: b\r\n|Content-Length: [12]\r\n| c\r\n){0,3}\r\n){1,2}x{0,3}",
            cut in 0_usize..60,
        ) {
            let bytes = head.as_bytes();
            let mut check_in_pieces = HeadCheck::new(AskLimits::default());
            let first = check_in_pieces.advance(&bytes[..cut.min(bytes.len())]);
            let pieces = match first {
                Ok(None) => check_in_pieces.advance(bytes),
                done => done,
            };
            prop_assert_eq!(pieces.map_err(|fault| fault.failure), check(bytes));
        }

        #[test]
        fn any_bytes_get_an_answer(bytes: Vec<u8>) {
            let _ = check(&bytes);
            let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
            head.extend(bytes);
            let _ = check(&head);
        }
    }
}
