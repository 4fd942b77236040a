//! What worker and prober say to each other: one JSON object per line.
//!
//! The worker writes [`Request`] lines to the prober's stdin, the prober writes [`Observation`]
//! lines to its stdout, in any order; the `id` says which belongs to which. No line is longer
//! than [`LINE_BYTES`], its end (`\n`) included; the bounds below make every legal observation
//! fit. Nothing here reads or writes a socket.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use serde::{Deserialize, Serialize};

use super::base64;

/// The longest line in either direction, in bytes with its `\n`.
pub const LINE_BYTES: usize = 1 << 20;

/// How many questions and knocks a prober works on at once; the next waits unread.
pub const AT_ONCE: usize = 8;

/// The most ports that one knock tries.
pub const KNOCK_PORTS: usize = 64;

/// The longest time that one knock may take, in milliseconds.
pub const KNOCK_MS: u64 = 5_000;

/// The longest `detail` sentence, in characters.
pub const DETAIL_CHARS: usize = 300;

/// What the worker asks of a prober.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// Send one HTTP request and report what came back.
    Ask(Question),
    /// Find out which TCP ports accept a connection.
    Knock {
        /// Comes back in the observation.
        id: u64,
        /// Whose ports.
        address: IpAddr,
        /// At most [`KNOCK_PORTS`].
        ports: Vec<u16>,
        /// For all ports together, in milliseconds; at most [`KNOCK_MS`].
        within_ms: u64,
    },
    /// Find out whether large packets arrive at an address and come back.
    Path {
        /// Comes back in the observation.
        id: u64,
        /// Whose.
        address: IpAddr,
        /// In milliseconds; at most [`KNOCK_MS`].
        within_ms: u64,
    },
    /// Show a sign of life.
    Ping {
        /// Comes back in the observation.
        id: u64,
    },
    /// Say how full the disk under the prober's own root is: the one that holds the engine's data.
    Disk {
        /// Comes back in the observation.
        id: u64,
    },
}

/// How full a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSpace {
    /// Bytes that anybody may still write; what is kept back for root is not in it.
    pub free_bytes: u64,
    /// Its size in bytes.
    pub total_bytes: u64,
    /// Files that may still be made; 0 with a total of 0 where they are not counted.
    pub free_inodes: u64,
    /// How many files there may be.
    pub total_inodes: u64,
}

/// One HTTP request to one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Comes back in the observation.
    pub id: u64,
    /// Exactly where to connect; nothing is looked up.
    pub address: SocketAddr,
    /// The `Host` field.
    pub host: String,
    /// The method.
    pub method: Method,
    /// Path and query, from the `/` on.
    pub path: String,
    /// Further fields; the ones that govern the connection are refused.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The body, if there is one.
    #[serde(default)]
    pub body: Option<String>,
    /// How much of what comes back is read, and for how long.
    #[serde(default)]
    pub limits: AskLimits,
}

/// The methods that a rule may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// `GET`
    #[default]
    Get,
    /// `POST`
    Post,
    /// `HEAD`
    Head,
}

impl Method {
    /// As in the request line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Head => "HEAD",
        }
    }
}

/// The limits of one question. Times count from the start of the connect, on the prober's
/// monotonic clock, and are absolute: a byte that trickles in extends nothing.
///
/// The defaults are the platform's promise to participants ("connect 1 s, headers 3 s and
/// 16 KiB, one request 5 s, body 64 KiB"). A prober never goes beyond [`AskLimits::MOST`],
/// whatever it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AskLimits {
    /// Until the connection stands, in milliseconds.
    pub connect_ms: u64,
    /// Until the head of the answer is complete, in milliseconds.
    pub headers_ms: u64,
    /// Until the body is complete, in milliseconds.
    pub total_ms: u64,
    /// Status line and header fields with all line ends, interim answers included, in bytes.
    pub head_bytes: usize,
    /// Header fields, interim answers included.
    pub header_fields: usize,
    /// The body after the chunks are put together, in bytes.
    pub body_bytes: usize,
}

impl AskLimits {
    /// What no question can exceed. Chosen so that the observation fits in [`LINE_BYTES`]: a body
    /// grows by 4/3 in base64, a header byte by 3 when it is not UTF-8.
    pub const MOST: Self = Self {
        connect_ms: 30_000,
        headers_ms: 30_000,
        total_ms: 30_000,
        head_bytes: 64 * 1024,
        header_fields: 256,
        body_bytes: 256 * 1024,
    };

    /// The same limits, none above [`AskLimits::MOST`].
    #[must_use]
    pub fn capped(self) -> Self {
        Self {
            connect_ms: self.connect_ms.min(Self::MOST.connect_ms),
            headers_ms: self.headers_ms.min(Self::MOST.headers_ms),
            total_ms: self.total_ms.min(Self::MOST.total_ms),
            head_bytes: self.head_bytes.min(Self::MOST.head_bytes),
            header_fields: self.header_fields.min(Self::MOST.header_fields),
            body_bytes: self.body_bytes.min(Self::MOST.body_bytes),
        }
    }
}

impl Default for AskLimits {
    fn default() -> Self {
        Self {
            connect_ms: 1_000,
            headers_ms: 3_000,
            total_ms: 5_000,
            head_bytes: 16_384,
            header_fields: 64,
            body_bytes: 65_536,
        }
    }
}

/// What a prober reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Observation {
    /// A whole, well-formed answer, whatever its status: a redirect is one too.
    Answer {
        /// Of the question.
        id: u64,
        /// 200 to 599.
        status: u16,
        /// In the order of arrival, names in lower case, values with U+FFFD for what is not UTF-8.
        headers: Vec<(String, String)>,
        /// As sent, without the chunks' framing.
        #[serde(with = "base64")]
        body: Vec<u8>,
        /// From the end of the head to the end of the body, in milliseconds.
        body_ms: u64,
        /// From the start of the connect to the end of the body, in milliseconds.
        ms: u64,
    },
    /// No such answer.
    Failed {
        /// Of the question.
        id: u64,
        /// What went wrong.
        failure: AskFailure,
        /// A sentence about it, lower case, at most [`DETAIL_CHARS`]; holds no bytes of the answer.
        detail: String,
        /// From the start of the connect until then, in milliseconds.
        ms: u64,
    },
    /// The outcome of a knock.
    Knocked {
        /// Of the knock.
        id: u64,
        /// The ports that accepted, in the order of the knock.
        open: Vec<u16>,
    },
    /// Whether a path is clear.
    Path {
        /// Of the request.
        id: u64,
        /// One went there and came back.
        clear: bool,
    },
    /// A sign of life.
    Pong {
        /// Of the ping.
        id: u64,
    },
    /// How full the disk is.
    Disk {
        /// Of the request.
        id: u64,
        /// The numbers.
        space: DiskSpace,
    },
    /// The request was not carried out: no socket was opened.
    Refused {
        /// Of the request; 0 when it could not be read.
        id: u64,
        /// Why.
        detail: String,
    },
}

impl Observation {
    /// The id of the request that this belongs to.
    #[must_use]
    pub fn id(&self) -> u64 {
        match self {
            Self::Answer { id, .. }
            | Self::Failed { id, .. }
            | Self::Knocked { id, .. }
            | Self::Path { id, .. }
            | Self::Pong { id }
            | Self::Disk { id, .. }
            | Self::Refused { id, .. } => *id,
        }
    }
}

/// Why a question got no well-formed answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskFailure {
    /// Nothing listens there.
    ConnectRefused,
    /// The connection did not come about within `connect_ms`.
    ConnectTimeout,
    /// The connection was accepted and then reset before the head of an answer.
    ConnectReset,
    /// The head was not complete within `headers_ms`.
    HeadersTimeout,
    /// The body was not complete within `total_ms`.
    BodyTimeout,
    /// The body has more than `body_bytes`.
    BodyTooLarge,
    /// The head or the trailer has more than `head_bytes`.
    HeadersTooLarge,
    /// The head or the trailer has more than `header_fields`.
    TooManyFields,
    /// What came back is not HTTP/1.1 by the letter.
    NotHttp,
    /// The connection ended before the answer did.
    Truncated,
    /// The answer is encoded though `identity` was asked for.
    Encoding,
    /// There is no way to that address.
    Unreachable,
}

impl AskFailure {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectReset => "connect_reset",
            Self::HeadersTimeout => "headers_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::HeadersTooLarge => "headers_too_large",
            Self::TooManyFields => "too_many_fields",
            Self::NotHttp => "not_http",
            Self::Truncated => "truncated",
            Self::Encoding => "encoding",
            Self::Unreachable => "unreachable",
        }
    }
}

impl fmt::Display for AskFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_question_is_one_flat_object_and_the_rest_is_default() {
        let line = json!({
            "op": "ask", "id": 7, "address": "10.213.4.2:80", "host": "app",
            "method": "GET", "path": "/getconfig",
        });
        let Request::Ask(question) = serde_json::from_value(line).unwrap() else { panic!() };
        assert_eq!(question.limits, AskLimits::default());
        assert_eq!((question.id, question.method), (7, Method::Get));
        let text = serde_json::to_string(&Request::Ask(question.clone())).unwrap();
        assert!(text.starts_with(r#"{"op":"ask","id":7,"address":"10.213.4.2:80""#), "{text}");
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), Request::Ask(question));
    }

    #[test]
    fn an_observation_carries_any_bytes() {
        let answer = Observation::Answer {
            id: 7,
            status: 200,
            headers: vec![("content-type".into(), "application/json".into())],
            body: vec![0, 255, b'\n'],
            body_ms: 1,
            ms: 2,
        };
        let text = serde_json::to_string(&answer).unwrap();
        assert_eq!(
            text,
            r#"{"kind":"answer","id":7,"status":200,"headers":[["content-type","application/json"]],"body":"AP8K","body_ms":1,"ms":2}"#
        );
        assert_eq!(serde_json::from_str::<Observation>(&text).unwrap(), answer);
    }

    #[test]
    fn the_largest_legal_observation_fits_in_a_line() {
        let most = AskLimits::MOST;
        let each = most.head_bytes / most.header_fields;
        let answer = Observation::Answer {
            id: u64::MAX,
            status: 599,
            headers: vec![(String::new(), "\u{fffd}".repeat(each)); most.header_fields],
            body: vec![255; most.body_bytes],
            body_ms: u64::MAX,
            ms: u64::MAX,
        };
        assert!(serde_json::to_vec(&answer).unwrap().len() < LINE_BYTES);
    }

    #[test]
    fn a_failure_has_the_same_name_everywhere() {
        for failure in [
            AskFailure::ConnectRefused,
            AskFailure::ConnectTimeout,
            AskFailure::ConnectReset,
            AskFailure::HeadersTimeout,
            AskFailure::BodyTimeout,
            AskFailure::BodyTooLarge,
            AskFailure::HeadersTooLarge,
            AskFailure::TooManyFields,
            AskFailure::NotHttp,
            AskFailure::Truncated,
            AskFailure::Encoding,
            AskFailure::Unreachable,
        ] {
            assert_eq!(serde_json::to_value(failure).unwrap(), json!(failure.as_str()));
        }
    }

    #[test]
    fn limits_are_capped() {
        let greedy =
            AskLimits { body_bytes: usize::MAX, total_ms: u64::MAX, ..AskLimits::default() };
        let capped = greedy.capped();
        assert_eq!(capped.body_bytes, AskLimits::MOST.body_bytes);
        assert_eq!(capped.total_ms, AskLimits::MOST.total_ms);
        assert_eq!(AskLimits::default().capped(), AskLimits::default());
    }
}
