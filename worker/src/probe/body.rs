//! The strict reading of an answer's body, however its end is announced.
//!
//! What counts against the limit is the body itself; around it chunks may have extensions of
//! [`EXTENSION_BYTES`] and trailer fields within the limits of a head. So what is read is bounded
//! by what is kept, whatever is sent. The reader is incremental and looks at each byte once.

use super::{
    fault::AskFault,
    head::{self, Framing, not_http},
    wire::{AskFailure, AskLimits},
};

/// The most bytes that the extensions of all chunks may have together.
const EXTENSION_BYTES: usize = 4 * 1024;

/// The most hexadecimal digits of a chunk's size, which is a 63-bit number.
const SIZE_DIGITS: u8 = 16;

/// The state of one body.
#[derive(Debug)]
pub(super) struct BodyReader {
    limits: AskLimits,
    kept: Vec<u8>,
    state: State,
}

#[derive(Debug)]
enum State {
    Sized { left: u64 },
    ToClose,
    Chunks(Chunks),
    Whole,
}

#[derive(Debug)]
struct Chunks {
    at: At,
    /// Bytes of extensions until now.
    extensions: usize,
    /// The line of a trailer field that is being read.
    line: Vec<u8>,
    trailer_bytes: usize,
    trailer_fields: usize,
}

/// Where in the chunks the next byte belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Size {
        digits: u8,
        value: u64,
    },
    /// White space after the size; only an extension may follow.
    Space {
        value: u64,
    },
    Extension {
        value: u64,
    },
    SizeEnd {
        value: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    Trailer,
}

impl BodyReader {
    pub(super) fn new(framing: Framing, limits: AskLimits) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Whole,
            Framing::Length(left) => State::Sized { left },
            Framing::Close => State::ToClose,
            Framing::Chunked => State::Chunks(Chunks {
                at: At::Size { digits: 0, value: 0 },
                extensions: 0,
                line: Vec::new(),
                trailer_bytes: 0,
                trailer_fields: 0,
            }),
        };
        Self { limits, kept: Vec::new(), state }
    }

    /// The body of an answer that cannot have one, whatever its head says.
    pub(super) fn none(limits: AskLimits) -> Self {
        Self { limits, kept: Vec::new(), state: State::Whole }
    }

    /// Whether the body is complete; what follows it is nobody's.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.state, State::Whole)
    }

    /// How many bytes are kept.
    pub(super) fn held(&self) -> usize {
        let line = match &self.state {
            State::Chunks(chunks) => chunks.line.len(),
            State::Sized { .. } | State::ToClose | State::Whole => 0,
        };
        self.kept.len() + line
    }

    /// Reads on; `bytes` is what came since the last call.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), AskFault> {
        match &mut self.state {
            State::Whole => Ok(()),
            State::ToClose => keep(&mut self.kept, bytes, self.limits),
            State::Sized { left } => {
                let count = bytes.len().min(clamp(*left));
                *left -= count as u64;
                let done = *left == 0;
                keep(&mut self.kept, &bytes[..count], self.limits)?;
                if done {
                    self.state = State::Whole;
                }
                Ok(())
            }
            State::Chunks(chunks) => {
                if chunks.push(bytes, &mut self.kept, self.limits)? {
                    self.state = State::Whole;
                }
                Ok(())
            }
        }
    }

    /// The body, now that the connection has ended or nothing more is needed.
    pub(super) fn finish(self) -> Result<Vec<u8>, AskFault> {
        match self.state {
            State::Whole | State::ToClose => Ok(self.kept),
            State::Sized { .. } | State::Chunks(_) => Err(AskFault {
                failure: AskFailure::Truncated,
                detail: "the connection was closed within the body".into(),
            }),
        }
    }
}

impl Chunks {
    /// Whether the last chunk and the trailer ended within these bytes.
    fn push(
        &mut self,
        mut bytes: &[u8],
        kept: &mut Vec<u8>,
        limits: AskLimits,
    ) -> Result<bool, AskFault> {
        while let [first, rest @ ..] = bytes {
            if let At::Data { left } = self.at {
                let count = bytes.len().min(clamp(left));
                keep(kept, &bytes[..count], limits)?;
                let left = left - count as u64;
                self.at = if left == 0 { At::DataCr } else { At::Data { left } };
                bytes = &bytes[count..];
                continue;
            }
            bytes = rest;
            if self.at == At::Trailer {
                if self.trailer(*first, limits)? {
                    return Ok(true);
                }
            } else {
                self.at = self.frame(*first)?;
            }
        }
        Ok(false)
    }

    /// Where one byte of the framing leads.
    fn frame(&mut self, byte: u8) -> Result<At, AskFault> {
        match (self.at, byte) {
            (At::Size { digits, value }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                let value = (value << 4) | u64::from(digit);
                if digits == SIZE_DIGITS || value > i64::MAX as u64 {
                    return Err(not_http("the size of a chunk is larger than any chunk"));
                }
                Ok(At::Size { digits: digits + 1, value })
            }
            (At::Size { digits: 0, .. }, _) => {
                Err(not_http("the size of a chunk is not a hexadecimal number"))
            }
            (At::Size { value, .. } | At::Extension { value }, b'\r') => Ok(At::SizeEnd { value }),
            (At::Size { value, .. } | At::Space { value }, b' ' | b'\t') => {
                self.extension_byte()?;
                Ok(At::Space { value })
            }
            (At::Size { value, .. } | At::Space { value }, b';') => Ok(At::Extension { value }),
            (At::Extension { value }, _) if head::is_text(byte) => {
                self.extension_byte()?;
                Ok(At::Extension { value })
            }
            (At::SizeEnd { value: 0 }, b'\n') => Ok(At::Trailer),
            (At::SizeEnd { value: left }, b'\n') => Ok(At::Data { left }),
            (At::DataCr, b'\r') => Ok(At::DataLf),
            (At::DataLf, b'\n') => Ok(At::Size { digits: 0, value: 0 }),
            (At::DataCr | At::DataLf, _) => {
                Err(not_http("a chunk is longer than its size or does not end in CR LF"))
            }
            (At::Size { .. } | At::Space { .. } | At::SizeEnd { .. }, _) => {
                Err(not_http("the line with the size of a chunk is malformed"))
            }
            (At::Extension { .. } | At::Data { .. } | At::Trailer, _) => {
                Err(not_http("a chunk's extension holds control characters"))
            }
        }
    }

    fn extension_byte(&mut self) -> Result<(), AskFault> {
        self.extensions += 1;
        if self.extensions <= EXTENSION_BYTES {
            return Ok(());
        }
        Err(not_http(format!(
            "the extensions of the chunks have more than {EXTENSION_BYTES} bytes"
        )))
    }

    /// Whether this byte ended the trailer. Its fields are checked and dropped.
    fn trailer(&mut self, byte: u8, limits: AskLimits) -> Result<bool, AskFault> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > limits.head_bytes {
            let detail = format!("the trailer is larger than {} bytes", limits.head_bytes);
            return Err(AskFault { failure: AskFailure::HeadersTooLarge, detail });
        }
        if byte != b'\n' {
            self.line.push(byte);
            return Ok(false);
        }
        let line = std::mem::take(&mut self.line);
        let line = head::without_cr(&line)?;
        if line.is_empty() {
            return Ok(true);
        }
        self.trailer_fields += 1;
        if self.trailer_fields > limits.header_fields {
            return Err(head::too_many_fields(limits));
        }
        let (name, _) = head::field(line)?;
        let governs = [&b"content-length"[..], b"transfer-encoding", b"content-encoding"];
        if governs.iter().any(|one| name.eq_ignore_ascii_case(one)) {
            return Err(not_http("a trailer field says how the body is sent, which is too late"));
        }
        Ok(false)
    }
}

fn keep(kept: &mut Vec<u8>, bytes: &[u8], limits: AskLimits) -> Result<(), AskFault> {
    if bytes.len() > limits.body_bytes - kept.len() {
        let detail = format!("the body is larger than {} bytes", limits.body_bytes);
        return Err(AskFault { failure: AskFailure::BodyTooLarge, detail });
    }
    kept.extend_from_slice(bytes);
    Ok(())
}

fn clamp(left: u64) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(framing: Framing, bytes: &[u8]) -> Result<Vec<u8>, AskFailure> {
        let mut body = BodyReader::new(framing, AskLimits::default());
        body.push(bytes).and_then(|()| body.finish()).map_err(|fault| fault.failure)
    }

    fn chunks(bytes: &[u8]) -> Result<Vec<u8>, AskFailure> {
        let whole = read(Framing::Chunked, bytes);
        let mut body = BodyReader::new(Framing::Chunked, AskLimits::default());
        let one_by_one = bytes.iter().try_for_each(|byte| body.push(&[*byte]));
        let one_by_one = one_by_one.and_then(|()| body.finish()).map_err(|fault| fault.failure);
        assert_eq!(whole, one_by_one, "the pieces do not matter");
        whole
    }

    #[rstest]
    #[case(b"0\r\n\r\n", b"")]
    #[case(b"5\r\nhello\r\n0\r\n\r\n", b"hello")]
    #[case(b"0005\r\nhello\r\n000\r\n\r\n", b"hello")]
    #[case(b"A\r\n0123456789\r\n0\r\n\r\nmore", b"0123456789")]
    #[case(b"1;a=\"b;c\"\r\nx\r\n0;d\r\n\r\n", b"x")]
    #[case(b"1 \t;a\r\nx\r\n0\r\n\r\n", b"x")]
    #[case(b"1\r\nx\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n", b"x")]
    fn good_chunks_are_read(#[case] bytes: &[u8], #[case] body: &[u8]) {
        assert_eq!(chunks(bytes).as_deref(), Ok(body));
    }

    #[rstest]
    #[case(b"ZZZZ\r\n")]
    #[case(b"\r\n")]
    #[case(b";a\r\n")]
    #[case(b"-1\r\nx\r\n")]
    #[case(b"+1\r\nx\r\n")]
    #[case(b"0x1\r\nx\r\n")]
    #[case(b" 1\r\nx\r\n")]
    #[case(b"1 \r\nx\r\n")]
    #[case(b"1\nx\r\n")]
    #[case(b"1\r\rx\r\n")]
    #[case(b"1\r\nxy\r\n")]
    #[case(b"1\r\nx\n")]
    #[case(b"1\r\nx\r\r")]
    #[case(b"1;a\nx\r\n")]
    #[case(b"1;a\0\r\nx\r\n")]
    #[case(b"ffffffffffffffff\r\nx")]
    #[case(b"8000000000000000\r\nx")]
    #[case(b"10000000000000001\r\nx")]
    #[case(b"00000000000000001\r\nx")]
    #[case(b"0\r\nX\r\n")]
    #[case(b"0\r\nX: y\n")]
    #[case(b"0\r\n X: y\r\n")]
    #[case(b"0\r\nContent-Length: 3\r\n")]
    #[case(b"0\r\ntransfer-encoding: chunked\r\n")]
    fn bad_chunks_are_no_http(#[case] bytes: &[u8]) {
        assert_eq!(chunks(bytes), Err(AskFailure::NotHttp));
    }

    #[test]
    fn a_body_that_stops_is_truncated() {
        for bytes in
            [&b""[..], b"1", b"1\r\n", b"1\r\nx", b"1\r\nx\r\n", b"0\r\n", b"0\r\nX: y\r\n"]
        {
            assert_eq!(chunks(bytes), Err(AskFailure::Truncated), "{bytes:?}");
        }
        assert_eq!(chunks(b"7fffffffffffffff\r\nx"), Err(AskFailure::Truncated));
        assert_eq!(read(Framing::Length(3), b"ab"), Err(AskFailure::Truncated));
        assert_eq!(read(Framing::Length(2), b"abc"), Ok(b"ab".to_vec()));
        assert_eq!(read(Framing::Close, b"abc"), Ok(b"abc".to_vec()));
    }

    #[test]
    fn extensions_and_trailers_are_limited_on_both_sides() {
        let extension =
            |bytes: usize| chunks(format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(bytes)).as_bytes());
        assert_eq!(extension(4096), Ok(b"x".to_vec()));
        assert_eq!(extension(4097), Err(AskFailure::NotHttp));
        let split = "1;eeee\r\nx\r\n".repeat(1025);
        assert_eq!(chunks(split.as_bytes()), Err(AskFailure::NotHttp), "all chunks together");
        let fields =
            |count: usize| chunks(format!("0\r\n{}\r\n", "A: b\r\n".repeat(count)).as_bytes());
        assert_eq!(fields(64), Ok(Vec::new()));
        assert_eq!(fields(65), Err(AskFailure::TooManyFields));
        let trailer = |bytes: usize| {
            let line = "x".repeat(bytes - "X: \r\n\r\n".len());
            chunks(format!("0\r\nX: {line}\r\n\r\n").as_bytes())
        };
        assert_eq!(trailer(16_384), Ok(Vec::new()));
        assert_eq!(trailer(16_385), Err(AskFailure::HeadersTooLarge));
    }

    #[test]
    fn the_body_is_limited_on_both_sides() {
        for framing in [Framing::Close, Framing::Length(1 << 40)] {
            let mut body = BodyReader::new(framing, AskLimits::default());
            body.push(&[b'x'; 65_536]).unwrap();
            assert_eq!(body.held(), 65_536);
            assert_eq!(body.push(b"x").unwrap_err().failure, AskFailure::BodyTooLarge);
        }
    }
}
