//! One question: connect, send one HTTP/1.1 request, read one answer under hard limits.
//!
//! Each question has its own connection, which is dropped with the answer. Nothing is looked
//! up, followed, decoded, remembered or reused. The deadlines are absolute and on the monotonic
//! clock. hyper writes the request and takes the body apart; [`super::head`] judges the head
//! before hyper sees it.

use std::{error::Error, io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Uri,
    body::Incoming,
    client::conn::http1,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{
    gate::Gate,
    wire::{AskFailure, AskLimits, DETAIL_CHARS, Method, Observation, Question},
};

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

/// Why there is no answer: the code and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(super) struct AskFault {
    pub(super) failure: AskFailure,
    pub(super) detail: String,
}

/// What came back, before it has an id.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    body_time: Duration,
}

/// The moments by which things must have happened.
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
    let address = question.address;
    let request = match request(question) {
        Ok(request) => request,
        Err(detail) => {
            return Observation::Refused { id, detail: detail.into() };
        }
    };
    let start = Instant::now();
    let outcome = exchange(address, request, limits, Deadlines::from(start, limits)).await;
    let ms = millis(start.elapsed());
    match outcome {
        Ok(Answer { status, headers, body, body_time }) => {
            Observation::Answer { id, status, headers, body, body_ms: millis(body_time), ms }
        }
        Err(AskFault { failure, detail }) => {
            let detail = detail.chars().take(DETAIL_CHARS).collect();
            Observation::Failed { id, failure, detail, ms }
        }
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

fn request(question: Question) -> Result<Request<Full<Bytes>>, &'static str> {
    if !question.path.starts_with('/') {
        return Err("the path does not begin with a slash");
    }
    let uri: Uri = question.path.parse().map_err(|_| "the path is no path")?;
    let body = question.body.map(Bytes::from);
    let mut request = Request::new(Full::new(body.clone().unwrap_or_default()));
    *request.uri_mut() = uri;
    *request.method_mut() = match question.method {
        Method::Get => hyper::Method::GET,
        Method::Post => hyper::Method::POST,
        Method::Head => hyper::Method::HEAD,
    };
    let host = HeaderValue::try_from(question.host).map_err(|_| "the host is no header value")?;
    let fields = request.headers_mut();
    fields.insert(header::HOST, host);
    fields.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    fields.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    fields.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    fields.insert(header::CONNECTION, HeaderValue::from_static("close"));
    if question.method == Method::Post && body.is_none_or(|body| body.is_empty()) {
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    add_fields(fields, question.headers)?;
    Ok(request)
}

fn add_fields(fields: &mut HeaderMap, more: Vec<(String, String)>) -> Result<(), &'static str> {
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
            fields.insert(name, value);
        } else {
            fields.append(name, value);
        }
    }
    Ok(())
}

async fn exchange(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
    limits: AskLimits,
    deadlines: Deadlines,
) -> Result<Answer, AskFault> {
    let stream = connect(address, deadlines.connect, limits).await?;
    let (mut sender, connection) = http1::Builder::new()
        .title_case_headers(true)
        .max_headers(limits.header_fields)
        .max_buf_size(limits.head_bytes + 16 * 1024)
        .handshake(Gate::new(stream, limits))
        .await
        .map_err(|error| classify(&error, Stage::Head))?;
    let talk = async {
        let late = |_| {
            let detail = format!("the head was not complete after {} ms", limits.headers_ms);
            AskFault { failure: AskFailure::HeadersTimeout, detail }
        };
        let answer = timeout_at(deadlines.head, sender.send_request(request)).await;
        let answer = answer.map_err(late)?.map_err(|error| classify(&error, Stage::Head))?;
        let head_at = Instant::now();
        let (head, body) = answer.into_parts();
        let late = |_| {
            let detail = format!("the body was not complete after {} ms", limits.total_ms);
            AskFault { failure: AskFailure::BodyTimeout, detail }
        };
        let body = timeout_at(deadlines.total, collect(body, limits)).await.map_err(late)??;
        let headers = readable(&head.headers);
        Ok(Answer { status: head.status.as_u16(), headers, body, body_time: head_at.elapsed() })
    };
    // The connection is driven here and dies here; what it has to say reaches `talk` as well.
    let driver = async {
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        answer = talk => answer,
        never = driver => never,
    }
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

/// The limit holds for what is read: at most one read more than is kept.
async fn collect(mut body: Incoming, limits: AskLimits) -> Result<Vec<u8>, AskFault> {
    let mut kept = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| classify(&error, Stage::Body))?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if data.len() > limits.body_bytes - kept.len() {
            let detail = format!("the body is larger than {} bytes", limits.body_bytes);
            return Err(AskFault { failure: AskFailure::BodyTooLarge, detail });
        }
        kept.extend_from_slice(data);
    }
    Ok(kept)
}

fn readable(fields: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    fields.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

/// What was being read when an error came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    Body,
}

fn classify(error: &hyper::Error, stage: Stage) -> AskFault {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            let ours = cause.get_ref().and_then(|inner| inner.downcast_ref::<AskFault>());
            return ours.cloned().unwrap_or_else(|| broken(cause, stage));
        }
        next = cause.source();
    }
    let (failure, detail) = if error.is_incomplete_message() {
        (AskFailure::Truncated, "the connection was closed before the answer was complete".into())
    } else {
        (AskFailure::NotHttp, format!("the answer is malformed: {error}"))
    };
    AskFault { failure, detail }
}

fn broken(error: &io::Error, stage: Stage) -> AskFault {
    use io::ErrorKind as Kind;
    let (failure, detail) = match (error.kind(), stage) {
        (Kind::InvalidInput | Kind::InvalidData, _) => {
            (AskFailure::NotHttp, format!("the chunks of the body are malformed: {error}"))
        }
        (Kind::UnexpectedEof, _) => {
            (AskFailure::Truncated, "the connection was closed within the body".into())
        }
        (_, Stage::Head) => {
            (AskFailure::ConnectReset, "the connection was reset before an answer".into())
        }
        (_, Stage::Body) => {
            (AskFailure::Truncated, "the connection was reset within the body".into())
        }
    };
    AskFault { failure, detail }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
