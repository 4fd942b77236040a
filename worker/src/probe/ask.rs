//! One question: connect, send one HTTP/1.1 request, read one answer under hard limits.
//!
//! Each question has its own connection, which is dropped with the answer. Nothing is looked
//! up, followed, decoded, remembered or reused. The deadlines are absolute and on the monotonic
//! clock. What comes back is understood by [`super::answer`] alone.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use http::{HeaderName, HeaderValue, header, uri::PathAndQuery};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{
    answer::{Answer, AnswerReader, Awaited},
    fault::AskFault,
    wire::{AskFailure, AskLimits, Method, Observation, Question},
};

/// How much one read may bring, in bytes.
const READ: usize = 8 * 1024;

/// The constant `User-Agent` of every question.
pub const USER_AGENT: &str = "portcall-prober/1";

/// Fields that a question cannot set: they govern the connection or are set here.
const OURS: [HeaderName; 11] = [
    header::HOST,
    header::USER_AGENT,
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::EXPECT,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
];

/// The moments by which things must have happened.
#[derive(Debug, Clone, Copy)]
struct Deadlines {
    connect: Instant,
    head: Instant,
    total: Instant,
}

/// Asks one question. Whether its address may be dialled is for the caller to know.
///
/// Never takes longer than the question's `total_ms` and is safe to drop at any time. A
/// question that makes no HTTP request is `Refused`.
pub async fn ask(question: Question) -> Observation {
    let id = question.id;
    let limits = question.limits.capped();
    let request = match request(&question) {
        Ok(request) => request,
        Err(detail) => {
            return Observation::Refused { id, detail: detail.into() };
        }
    };
    let start = Instant::now();
    let deadlines = Deadlines::from(start, limits);
    match exchange(question.address, &request, question.method, limits, deadlines).await {
        Ok((answer, body_time)) => answer.observed(id, millis(body_time), millis(start.elapsed())),
        Err(fault) => fault.observed(id, millis(start.elapsed())),
    }
}

impl Deadlines {
    fn from(start: Instant, limits: AskLimits) -> Self {
        let after = |ms| start + Duration::from_millis(ms);
        let total = after(limits.total_ms);
        Self {
            connect: after(limits.connect_ms).min(total),
            head: after(limits.headers_ms).min(total),
            total,
        }
    }
}

/// The bytes of a request; every part is checked before it goes in.
fn request(question: &Question) -> Result<Vec<u8>, &'static str> {
    if !question.path.starts_with('/') {
        return Err("the path does not begin with a slash");
    }
    let path = PathAndQuery::try_from(question.path.as_str()).map_err(|_| "the path is no path")?;
    let value = |text: &str| HeaderValue::try_from(text);
    let host = value(&question.host).map_err(|_| "the host is no header value")?;
    let mut fields = vec![
        (header::HOST, host),
        (header::USER_AGENT, HeaderValue::from_static(USER_AGENT)),
        (header::ACCEPT, HeaderValue::from_static("*/*")),
        (header::ACCEPT_ENCODING, HeaderValue::from_static("identity")),
        (header::CONNECTION, HeaderValue::from_static("close")),
    ];
    let body = question.body.as_deref().unwrap_or_default();
    if question.method == Method::Post || !body.is_empty() {
        fields.push((header::CONTENT_LENGTH, HeaderValue::from(body.len())));
    }
    add_fields(&mut fields, &question.headers)?;
    let mut bytes = format!("{} {path} HTTP/1.1\r\n", question.method.as_str()).into_bytes();
    for (name, value) in fields {
        bytes.extend_from_slice(title_case(name.as_str()).as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body.as_bytes());
    Ok(bytes)
}

fn add_fields(
    fields: &mut Vec<(HeaderName, HeaderValue)>,
    more: &[(String, String)],
) -> Result<(), &'static str> {
    if more.len() > AskLimits::MOST.header_fields {
        return Err("the request has too many header fields");
    }
    for (name, value) in more {
        let name = HeaderName::try_from(name).map_err(|_| "a header name is none")?;
        let value = HeaderValue::try_from(value).map_err(|_| "a header value is none")?;
        if OURS.contains(&name) {
            return Err("a header field governs the connection and cannot be set");
        }
        if name == header::ACCEPT {
            fields.retain(|(other, _)| *other != name);
        }
        fields.push((name, value));
    }
    Ok(())
}

/// As people write header names, for servers that compare them letter by letter.
fn title_case(name: &str) -> String {
    let mut begins = true;
    let letter = |letter: char| {
        let upper = std::mem::replace(&mut begins, letter == '-');
        if upper { letter.to_ascii_uppercase() } else { letter }
    };
    name.chars().map(letter).collect()
}

/// The answer, and how long its body took.
async fn exchange(
    address: SocketAddr,
    request: &[u8],
    method: Method,
    limits: AskLimits,
    deadlines: Deadlines,
) -> Result<(Answer, Duration), AskFault> {
    let mut stream = connect(address, deadlines.connect, limits).await?;
    let (mut from, mut to) = stream.split();
    // Somebody who does not take the request may answer all the same, and who does neither is
    // met by the deadlines: what becomes of the writing shows in what is read. But for one thing:
    // a reset is told once, to the writer if he comes first, and the reader then sees an end.
    let reset = AtomicBool::new(false);
    let writing = async {
        reset.store(to.write_all(request).await.is_err(), Ordering::Relaxed);
        std::future::pending().await
    };
    let answer = tokio::select! {
        answer = read_answer(&mut from, method, limits, deadlines) => answer,
        never = writing => never,
    };
    match answer {
        Err(Unread { fault, awaited: Awaited::Head })
            if fault.failure == AskFailure::Truncated && reset.load(Ordering::Relaxed) =>
        {
            Err(broken(&io::ErrorKind::ConnectionReset.into(), Awaited::Head))
        }
        answer => answer.map_err(|unread| unread.fault),
    }
}

/// Why there is no answer, and what was waited for.
struct Unread {
    fault: AskFault,
    awaited: Awaited,
}

async fn read_answer<R: AsyncRead + Unpin>(
    stream: &mut R,
    method: Method,
    limits: AskLimits,
    deadlines: Deadlines,
) -> Result<(Answer, Duration), Unread> {
    let mut reader = AnswerReader::new(method, limits);
    let mut piece = vec![0; READ];
    let mut head_at = None;
    loop {
        let deadline = match reader.awaited() {
            Awaited::Head => deadlines.head,
            Awaited::Body | Awaited::Nothing => {
                head_at.get_or_insert_with(Instant::now);
                deadlines.total
            }
        };
        if reader.awaited() == Awaited::Nothing {
            break;
        }
        let count = match timeout_at(deadline, stream.read(&mut piece)).await {
            // Bytes that come without end must not carry it over its deadline.
            _ if Instant::now() >= deadline => return Err(too_late(reader.awaited(), limits)),
            Ok(Ok(count)) => count,
            Ok(Err(error)) => {
                let awaited = reader.awaited();
                return Err(Unread { fault: broken(&error, awaited), awaited });
            }
            Err(_) => return Err(too_late(reader.awaited(), limits)),
        };
        if count == 0 {
            break;
        }
        let awaited = reader.awaited();
        reader.push(&piece[..count]).map_err(|fault| Unread { fault, awaited })?;
    }
    let awaited = reader.awaited();
    let answer = reader.finish().map_err(|fault| Unread { fault, awaited })?;
    Ok((answer, head_at.map_or(Duration::ZERO, |at| at.elapsed())))
}

fn too_late(awaited: Awaited, limits: AskLimits) -> Unread {
    let (failure, detail) = match awaited {
        Awaited::Head => {
            let ms = limits.headers_ms.min(limits.total_ms);
            (AskFailure::HeadersTimeout, format!("the head was not complete after {ms} ms"))
        }
        Awaited::Body | Awaited::Nothing => {
            let ms = limits.total_ms;
            (AskFailure::BodyTimeout, format!("the body was not complete after {ms} ms"))
        }
    };
    Unread { fault: AskFault { failure, detail }, awaited }
}

fn broken(error: &io::Error, awaited: Awaited) -> AskFault {
    let (failure, detail) = match (awaited, error.kind()) {
        (Awaited::Head, io::ErrorKind::TimedOut) => {
            (AskFailure::HeadersTimeout, "the connection timed out before an answer")
        }
        (Awaited::Head, _) => {
            (AskFailure::ConnectReset, "the connection was reset before an answer")
        }
        (Awaited::Body | Awaited::Nothing, _) => {
            (AskFailure::Truncated, "the connection was reset within the body")
        }
    };
    AskFault { failure, detail: detail.into() }
}

async fn connect(
    address: SocketAddr,
    deadline: Instant,
    limits: AskLimits,
) -> Result<TcpStream, AskFault> {
    let fault = |failure, detail| Err(AskFault { failure, detail });
    let error = match timeout_at(deadline, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => return Ok(stream),
        Ok(Err(error)) => error,
        Err(_) => {
            let detail = format!("no connection after {} ms", limits.connect_ms);
            return fault(AskFailure::ConnectTimeout, detail);
        }
    };
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            fault(AskFailure::ConnectRefused, format!("nothing listens on port {}", address.port()))
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            fault(AskFailure::ConnectReset, "the connection was reset".into())
        }
        io::ErrorKind::TimedOut => {
            fault(AskFailure::ConnectTimeout, "the connection timed out".into())
        }
        _ => {
            fault(AskFailure::Unreachable, format!("there is no way to {}: {error}", address.ip()))
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
