//! The prober's loop, in this process and as one of its own.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use portcall_worker::probe::{
    address::AddressSet,
    serve::serve,
    wire::{Observation, Question, Request},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
    time::timeout,
};

use crate::server::{OK, Then, body, question, read_request, server};

fn line(request: &Request) -> String {
    serde_json::to_string(request).unwrap() + "\n"
}

#[tokio::test]
async fn the_loop_asks_eight_at_once_and_the_ninth_waits() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::io::duplex(1 << 20);
    let (mut requests, prober_requests) = tokio::io::duplex(1 << 20);
    let allowed: AddressSet = "127.0.0.0/8".parse().unwrap();
    let prober = tokio::spawn(serve(prober_requests, far, allowed));
    for id in 0..9 {
        let question = Request::Ask(Question { id, ..question(address) });
        requests.write_all(line(&question).as_bytes()).await.unwrap();
    }
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(listener.accept().await.unwrap().0);
    }
    for stream in &mut streams {
        read_request(stream).await;
    }
    // All that were begun have asked, and the ninth is not among them.
    let ninth = timeout(Duration::from_millis(100), listener.accept()).await;
    assert!(ninth.is_err(), "a ninth question was asked");
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    streams.remove(0).write_all(answer).await.unwrap();
    streams.push(listener.accept().await.unwrap().0);
    for stream in &mut streams {
        stream.write_all(answer).await.unwrap();
    }
    drop(requests);
    let mut lines = tokio::io::BufReader::new(near).lines();
    let mut ids = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        let observation: Observation = serde_json::from_str(&line).unwrap();
        assert!(matches!(observation, Observation::Answer { status: 200, .. }), "{line}");
        ids.push(observation.id());
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..9).collect::<Vec<_>>());
    prober.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_prober_is_a_process() {
    let open = server(format!("{OK}Content-Length: 2\r\n\r\n{{}}"), Then::Hold).await;
    let knocked = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let knocked = (knocked.local_addr().unwrap().port(), knocked);
    // Bound and not listened on, so that nobody else has it meanwhile.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = socket.local_addr().unwrap().port();
    let address = [127, 0, 0, 1].into();
    let outside = SocketAddr::from(([127, 0, 0, 2], 80));
    let requests = [
        line(&Request::Ping { id: 1 }),
        "nonsense\n".into(),
        line(&Request::Ask(Question { id: 2, ..question(outside) })),
        line(&Request::Ask(question(open.address))),
        line(&Request::Knock { id: 3, address, ports: vec![closed, knocked.0], within_ms: 20_000 }),
    ];
    let observations = tokio::task::spawn_blocking(move || {
        let mut prober = Command::new(env!("CARGO_BIN_EXE_prober"))
            .args(["--within", "127.0.0.0/8", "--except", "127.0.0.2"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        prober.stdin.take().unwrap().write_all(requests.concat().as_bytes()).unwrap();
        let mut observations: Vec<Observation> = BufReader::new(prober.stdout.take().unwrap())
            .lines()
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .collect();
        assert_eq!(prober.wait().unwrap().code(), Some(0));
        observations.sort_by_key(Observation::id);
        observations
    })
    .await
    .unwrap();
    assert!(matches!(observations[0], Observation::Refused { id: 0, .. }), "{observations:?}");
    assert_eq!(observations[1], Observation::Pong { id: 1 });
    assert!(matches!(observations[2], Observation::Refused { id: 2, .. }), "{observations:?}");
    assert_eq!(observations[3], Observation::Knocked { id: 3, open: vec![knocked.0] });
    assert_eq!(body(&observations[4]), (200, &b"{}"[..]));
}

#[test]
fn the_prober_explains_itself() {
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_prober")).args(arguments).output().unwrap()
    };
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(String::from_utf8(help.stdout).unwrap().contains("--within CIDR"));
    let version = run(&["--version"]);
    assert_eq!(version.stdout, concat!("prober ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
    let misuse = run(&[]);
    assert_eq!(misuse.status.code(), Some(64));
    assert_eq!(misuse.stderr, b"prober: `--within` is missing\n");
}

#[cfg(feature = "worker")]
#[tokio::test]
async fn a_worker_and_a_prober_understand_each_other() {
    use portcall_worker::probe::client::{ProberClient, ProberError};

    let (worker, prober) = tokio::io::duplex(1 << 12);
    let (reader, writer) = tokio::io::split(worker);
    let (requests, answers) = tokio::io::split(prober);
    let narrow: AddressSet = "127.0.0.1/32".parse().unwrap();
    let prober = tokio::spawn(serve(requests, answers, narrow));
    let wide: AddressSet = "127.0.0.0/8".parse().unwrap();
    let client = ProberClient::new(reader, writer, move |address| wide.allows(address));

    client.ping().await.unwrap();
    let open = server(format!("{OK}Content-Length: 2\r\n\r\n{{}}"), Then::Hold).await;
    assert_eq!(body(&client.ask(question(open.address)).await.unwrap()), (200, &b"{}"[..]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let knocked = client.knock([127, 0, 0, 1].into(), vec![port], Duration::from_secs(20)).await;
    assert_eq!(knocked, Ok(vec![port]));
    let outside = client.ask(question(([127, 0, 0, 2], 80).into())).await;
    let detail = "127.0.0.2 is not within 127.0.0.1/32".into();
    assert_eq!(outside, Err(ProberError::Refused { detail }), "the prober says so itself");

    prober.abort();
    let _ = prober.await;
    assert_eq!(client.ping().await, Err(ProberError::Gone));
}

/// D09: the prober listens nowhere, and the stranger that it asks finds nothing where it came
/// from. Its one socket is the connection that it made, from a port that the kernel chose.
#[tokio::test]
async fn the_prober_opens_no_door() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut prober = Command::new(env!("CARGO_BIN_EXE_prober"))
        .args(["--within", "127.0.0.0/8"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = prober.stdin.take().unwrap();
    stdin.write_all(line(&Request::Ask(question(address))).as_bytes()).unwrap();
    let (mut stream, peer) = listener.accept().await.unwrap();
    read_request(&mut stream).await;

    let sockets = inet_sockets(prober.id());
    let ours = vec![("tcp".to_owned(), peer, address, ESTABLISHED)];
    assert_eq!(sockets, ours, "one connection and nothing else");
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let range: Vec<u16> = range.split_whitespace().map(|port| port.parse().unwrap()).collect();
    assert!((range[0]..=range[1]).contains(&peer.port()), "{peer} is not of the kernel's choice");
    let back = tokio::net::TcpStream::connect(peer).await.map_err(|error| error.kind());
    assert_eq!(back.err(), Some(std::io::ErrorKind::ConnectionRefused), "somebody listens");

    // The control: a socket that listens is seen by the same look.
    let own = inet_sockets(std::process::id());
    assert!(own.iter().any(|(_, local, _, state)| *local == address && *state == LISTEN));

    drop((stream, stdin));
    tokio::task::spawn_blocking(move || prober.wait()).await.unwrap().unwrap();
}

const ESTABLISHED: u8 = 1;
const LISTEN: u8 = 10;

/// The IP sockets of a process: which kind, from where, to where, in which state.
fn inet_sockets(process: u32) -> Vec<(String, SocketAddr, SocketAddr, u8)> {
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let links = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let inodes: Vec<String> = links
        .filter_map(|link| {
            let name = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(name.to_owned())
        })
        .collect();
    let mut found = Vec::new();
    for kind in ["tcp", "tcp6", "udp", "udp6", "udplite", "raw", "raw6", "icmp", "icmp6"] {
        let table = std::fs::read_to_string(format!("/proc/{process}/net/{kind}"));
        for row in table.unwrap_or_default().lines().skip(1) {
            let columns: Vec<&str> = row.split_whitespace().collect();
            if inodes.iter().any(|inode| inode == columns[9]) {
                let state = u8::from_str_radix(columns[3], 16).unwrap();
                found.push((kind.to_owned(), place(columns[1]), place(columns[2]), state));
            }
        }
    }
    found
}

/// `0100007F:1F90`, as the kernel writes an IPv4 address and a port; of IPv6 only the port.
fn place(text: &str) -> SocketAddr {
    let (address, port) = text.split_once(':').unwrap();
    let port = u16::from_str_radix(port, 16).unwrap();
    let address = u32::from_str_radix(address, 16).unwrap_or_default();
    SocketAddr::from((address.to_le_bytes(), port))
}
