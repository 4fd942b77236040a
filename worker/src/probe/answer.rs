//! One answer from the bytes of a connection, without the connection.
//!
//! ```text
//!  bytes ──► HeadCheck ──► BodyReader ──► Answer
//!              └── interim answers      └── chunks and trailer are taken out
//! ```
//!
//! The reader is the one place where a stranger's HTTP is understood: nothing is parsed twice, so
//! no two readers can disagree. It keeps at most one head and one body, each within its limit.

use std::mem;

use super::{
    body::BodyReader,
    fault::AskFault,
    head::{Head, HeadCheck},
    wire::{AskFailure, AskLimits, Method, Observation},
};

/// What came back, before it has an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 200 to 599.
    pub status: u16,
    /// In the order of arrival, names in lower case, values with U+FFFD for what is not UTF-8.
    pub headers: Vec<(String, String)>,
    /// As sent, without the chunks' framing.
    pub body: Vec<u8>,
}

/// What of an answer is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// The head is not complete.
    Head,
    /// The body is not complete.
    Body,
    /// Nothing: [`AnswerReader::finish`] gives the answer.
    Nothing,
}

/// Reads one answer, piece by piece.
#[derive(Debug)]
pub struct AnswerReader {
    method: Method,
    limits: AskLimits,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Head { check: HeadCheck, held: Vec<u8> },
    Body { head: Head, body: BodyReader },
}

impl AnswerReader {
    /// For the answer to a request with this method. The limits are capped, and their times are
    /// for whoever has a clock.
    #[must_use]
    pub fn new(method: Method, limits: AskLimits) -> Self {
        let limits = limits.capped();
        let stage = Stage::Head { check: HeadCheck::new(limits), held: Vec::new() };
        Self { method, limits, stage }
    }

    /// Reads what came since the last call. What follows a complete answer is dropped.
    ///
    /// # Errors
    /// As soon as the bytes cannot become an answer within the limits. The reader is of no use
    /// afterwards.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Awaited, AskFault> {
        match &mut self.stage {
            Stage::Head { check, held } => {
                held.extend_from_slice(bytes);
                if let Some((head, end)) = check.advance(held)? {
                    let held = mem::take(held);
                    let mut body = self.body_of(&head);
                    body.push(&held[end..])?;
                    self.stage = Stage::Body { head, body };
                }
            }
            Stage::Body { body, .. } => body.push(bytes)?,
        }
        Ok(self.awaited())
    }

    /// What is still to come.
    #[must_use]
    pub fn awaited(&self) -> Awaited {
        match &self.stage {
            Stage::Head { .. } => Awaited::Head,
            Stage::Body { body, .. } if body.is_whole() => Awaited::Nothing,
            Stage::Body { .. } => Awaited::Body,
        }
    }

    /// How many bytes of the answer are kept: at most a head and one piece, or a body and a line.
    #[must_use]
    pub fn held(&self) -> usize {
        match &self.stage {
            Stage::Head { held, .. } => held.len(),
            Stage::Body { body, .. } => body.held(),
        }
    }

    /// The answer, once nothing more is awaited or the connection was closed in good order.
    ///
    /// # Errors
    /// `truncated` when the answer is not complete.
    pub fn finish(self) -> Result<Answer, AskFault> {
        let truncated =
            |detail: &str| Err(AskFault { failure: AskFailure::Truncated, detail: detail.into() });
        match self.stage {
            Stage::Head { held, .. } if held.is_empty() => {
                truncated("the connection was closed without an answer")
            }
            Stage::Head { .. } => {
                truncated("the connection was closed within the head of the answer")
            }
            Stage::Body { head, body } => {
                let body = body.finish()?;
                Ok(Answer { status: head.status, headers: head.fields, body })
            }
        }
    }

    fn body_of(&self, head: &Head) -> BodyReader {
        match (self.method, head.status) {
            (Method::Head, _) | (_, 204 | 304) => BodyReader::none(self.limits),
            (Method::Get | Method::Post, _) => BodyReader::new(head.framing, self.limits),
        }
    }
}

impl Answer {
    /// As it is reported, with the question's id and the times that body and whole took.
    #[must_use]
    pub fn observed(self, id: u64, body_ms: u64, ms: u64) -> Observation {
        let Self { status, headers, body } = self;
        Observation::Answer { id, status, headers, body, body_ms, ms }
    }
}

/// What a prober would report of a connection on which exactly these pieces came before its end,
/// in no time and with the id 0.
#[must_use]
pub fn observe<'a>(
    method: Method,
    limits: AskLimits,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Observation {
    let mut reader = AnswerReader::new(method, limits);
    for piece in pieces {
        match reader.push(piece) {
            Ok(Awaited::Nothing) => break,
            Ok(Awaited::Head | Awaited::Body) => {}
            Err(fault) => return fault.observed(0, 0),
        }
    }
    match reader.finish() {
        Ok(answer) => answer.observed(0, 0, 0),
        Err(fault) => fault.observed(0, 0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    fn read(method: Method, text: &str) -> Observation {
        observe(method, AskLimits::default(), [text.as_bytes()])
    }

    fn body(observation: &Observation) -> (u16, &[u8]) {
        match observation {
            Observation::Answer { status, body, .. } => (*status, body),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_that_can_have_no_body_has_none() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx";
        assert_eq!(body(&read(Method::Head, text)), (200, &b""[..]));
        for status in [204, 304] {
            let text = format!("HTTP/1.1 {status} No\r\nContent-Length: 9\r\n\r\nx");
            assert_eq!(body(&read(Method::Get, &text)), (status, &b""[..]));
        }
    }

    #[test]
    fn what_follows_an_answer_is_dropped() {
        let second = "HTTP/1.1 500 No\r\n\r\n";
        let first = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(body(&read(Method::Get, &format!("{first}{second}"))), (200, &b"{}"[..]));
        let first = format!("{CHUNKED}2\r\n{{}}\r\n0\r\n\r\n");
        assert_eq!(body(&read(Method::Get, &format!("{first}{second}"))), (200, &b"{}"[..]));
    }

    #[test]
    fn tls_is_named_in_whatever_pieces_it_comes() {
        for (bytes, told) in [
            (&b"\x16\x03\x01"[..], "the answer is TLS; port 80 is asked in plain HTTP"),
            (b"\x16HTTP/1.", "the answer does not begin with `HTTP/1.`"),
        ] {
            for size in [1, bytes.len()] {
                match observe(Method::Get, AskLimits::default(), bytes.chunks(size)) {
                    Observation::Failed { detail, .. } => assert_eq!(detail, told, "{size}"),
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    /// Pieces that look like an answer often enough to come far.
    fn likely() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            Just(b"HTTP/1.1 200 OK\r\n".to_vec()),
            Just(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
            Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
            Just(b"Content-Length: 10\r\n".to_vec()),
            Just(b"X: y\r\n".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"5\r\nhello\r\n".to_vec()),
            Just(b"5;e=1\r\n".to_vec()),
            Just(b"0\r\n".to_vec()),
            prop::collection::vec(any::<u8>(), 0..300),
        ]
    }

    proptest! {
        /// Whatever comes, in whatever pieces: one observation, the same one, and never more kept
        /// than the limits and a piece.
        #[test]
        fn any_bytes_become_an_observation(
            pieces in prop::collection::vec(likely(), 0..24),
            split in 1_usize..40,
            head: bool,
        ) {
            let limits = AskLimits { head_bytes: 200, header_fields: 6, body_bytes: 64, ..AskLimits::default() };
            let method = if head { Method::Head } else { Method::Get };
            let bytes = pieces.concat();
            let whole = observe(method, limits, [bytes.as_slice()]);
            prop_assert_eq!(&whole, &observe(method, limits, bytes.chunks(split)));
            let mut reader = AnswerReader::new(method, limits);
            for piece in bytes.chunks(split) {
                if reader.push(piece).is_err() {
                    break;
                }
                prop_assert!(reader.held() <= limits.head_bytes + limits.body_bytes + split);
            }
            match whole {
                Observation::Answer { status, headers, body, .. } => {
                    prop_assert!((200..=599).contains(&status));
                    prop_assert!(headers.len() <= limits.header_fields);
                    prop_assert!(body.len() <= limits.body_bytes);
                }
                Observation::Failed { detail, .. } => prop_assert!(!detail.is_empty()),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
