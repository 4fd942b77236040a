//! A server for one connection that plays a script.

use std::{net::SocketAddr, time::Duration};

use portcall_worker::probe::{
    ask::ask,
    wire::{AskFailure, AskLimits, Method, Observation, Question},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

/// How long a socket may take to be closed, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// The first line of most answers.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\n";

/// What a server does after the bytes that it begins with.
pub(crate) enum Then {
    Close,
    Reset,
    Hold,
    Repeat(Vec<u8>),
    Drip(Vec<u8>, Duration),
    After(Duration, Vec<u8>),
}

/// A server for one connection: where it is, and what became of it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// The request as it came; then the client's end was seen.
    pub(crate) request: oneshot::Receiver<String>,
    pub(crate) left: oneshot::Receiver<()>,
}

pub(crate) async fn server(first: impl Into<Vec<u8>>, then: Then) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, request) = oneshot::channel();
    let (leave, left) = oneshot::channel();
    let first = first.into();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        let _ = asked.send(request);
        let _ = play(stream, &first, then).await;
        let _ = leave.send(());
    });
    Server { address, request, left }
}

pub(crate) async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => break,
        }
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    if let Some((_, rest)) = head.split_once("Content-Length: ") {
        let length: usize = rest.split("\r\n").next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        request.extend(body);
    }
    String::from_utf8(request).unwrap()
}

async fn play(mut stream: TcpStream, first: &[u8], then: Then) -> std::io::Result<()> {
    stream.write_all(first).await?;
    match then {
        Then::Close => stream.shutdown().await?,
        Then::Reset => {
            stream.set_zero_linger()?;
            return Ok(());
        }
        Then::Hold => {}
        Then::Repeat(bytes) => loop {
            stream.write_all(&bytes).await?;
        },
        Then::Drip(bytes, pause) => loop {
            tokio::time::sleep(pause).await;
            stream.write_all(&bytes).await?;
        },
        Then::After(pause, bytes) => {
            tokio::time::sleep(pause).await;
            stream.write_all(&bytes).await?;
        }
    }
    let _ = stream.read(&mut [0; 64]).await?;
    Ok(())
}

pub(crate) fn question(address: SocketAddr) -> Question {
    Question {
        id: 7,
        address,
        host: "app".into(),
        method: Method::Get,
        path: "/getconfig?x=1".into(),
        headers: Vec::new(),
        body: None,
        limits: AskLimits::default(),
    }
}

pub(crate) async fn asked(first: impl Into<Vec<u8>>, then: Then, limits: AskLimits) -> Observation {
    let server = server(first, then).await;
    ask(Question { limits, ..question(server.address) }).await
}

pub(crate) fn failure(observation: &Observation) -> AskFailure {
    match observation {
        Observation::Failed { id: 7, failure, detail, .. } => {
            assert!(!detail.is_empty() && !detail.ends_with('.'), "{detail}");
            *failure
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn body(observation: &Observation) -> (u16, &[u8]) {
    match observation {
        Observation::Answer { id: 7, status, body, .. } => (*status, body),
        other => panic!("{other:?}"),
    }
}
