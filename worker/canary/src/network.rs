//! Ways out of the slot: addresses that must not be reached, names that must not be resolved, and
//! what the container sees of the network that it is in, and may change of it. Every wait is short: what is refused is
//! refused at once, and what is swallowed must not keep a node waiting.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use crate::{
    attempt::{Attempt, Tried},
    sys::{Arg, call},
};

/// For one connection or answer.
const PATIENCE: Duration = Duration::from_millis(200);
/// For an answer of a resolver, which asks others.
const RESOLVER_PATIENCE: Duration = Duration::from_millis(500);

pub(crate) const TABLE: &[Attempt] = &[
    Attempt { name: "metadata", attempt: || dial(Ipv4Addr::new(169, 254, 169, 254), 80) },
    Attempt { name: "metadata_ipv6", attempt: || dial(METADATA_6, 80) },
    // TEST-NET-1: nobody's.
    Attempt { name: "egress_tcp", attempt: || dial(Ipv4Addr::new(192, 0, 2, 1), 443) },
    Attempt { name: "egress_udp", attempt: || ask(Ipv4Addr::new(192, 0, 2, 1), 53) },
    Attempt { name: "egress_private", attempt: || ask(Ipv4Addr::new(10, 0, 0, 1), 9) },
    Attempt { name: "multicast_ipv6", attempt: || say(ALL_NODES, 9) },
    Attempt { name: "gateway", attempt: gateway },
    Attempt { name: "resolve_name", attempt: resolve_name },
    Attempt {
        name: "interfaces",
        attempt: || {
            lines("/proc/net/dev", |line| {
                line.contains(':') && !line.trim_start().starts_with("lo:")
            })
        },
    },
    Attempt { name: "addresses_ipv6", attempt: || lines("/proc/net/if_inet6", |_| true) },
    Attempt {
        name: "sockets_abstract",
        attempt: || lines("/proc/net/unix", |line| line.contains(" @")),
    },
    // Of no family, and of no kind of device: who may ask is told so only after that.
    Attempt { name: "add_address", attempt: || change(SIOCSIFADDR, [0; 2]) },
    Attempt { name: "set_mac", attempt: || change(SIOCSIFHWADDR, [0xFF; 2]) },
    Attempt { name: "set_link", attempt: set_link },
];

// The same on every processor, and of another type in every libc.
const SIOCSIFFLAGS: i64 = 0x8914;
const SIOCSIFADDR: i64 = 0x8916;
const SIOCSIFHWADDR: i64 = 0x8924;

const METADATA_6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

fn dial(address: impl Into<IpAddr>, port: u16) -> Tried {
    in_time(TcpStream::connect_timeout(&SocketAddr::new(address.into(), port), PATIENCE))
}

/// One byte, and an answer if there is one.
fn ask(address: Ipv4Addr, port: u16) -> Tried {
    let asked = || -> io::Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((address, port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send(b"?")?;
        socket.recv(&mut [0; 16]).map(drop)
    };
    in_time(asked())
}

/// One byte that nobody answers.
fn say(address: Ipv6Addr, port: u16) -> Tried {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0));
    socket.and_then(|socket| socket.send_to(b"?", (address, port))).into()
}

/// Time that is over has many names.
fn in_time<T>(result: io::Result<T>) -> Tried {
    use io::ErrorKind::{TimedOut, WouldBlock};
    match result {
        Err(error) if matches!(error.kind(), TimedOut | WouldBlock) => Tried::Word("ETIMEDOUT"),
        outcome => outcome.into(),
    }
}

/// The machine's side of the container's network, at a port where it would refuse.
fn gateway() -> Tried {
    match own_network() {
        Ok(first) => dial(first, 9),
        Err(error) => Tried::Refused(error),
    }
}

/// The first address of the network that the container is in, from the kernel's table of routes.
fn own_network() -> io::Result<Ipv4Addr> {
    let table = fs::read_to_string("/proc/net/route")?;
    // Addresses and masks stand there as the processor reads them. A default route and a kernel's
    // routes to single addresses are no networks.
    let network = table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| u32::from_str_radix(fields.get(at)?, 16).ok();
        let (network, mask) = (number(1)?, number(7)?);
        let inside = fields[0] != "lo" && network != 0 && mask != u32::MAX;
        inside.then_some(network)
    });
    let network = network.ok_or_else(|| io::Error::from_raw_os_error(libc::ENETUNREACH))?;
    let mut first = network.to_ne_bytes();
    first[3] |= 1;
    Ok(Ipv4Addr::from(first))
}

/// Asks the engine's resolver for a name that it does not know itself.
fn resolve_name() -> Tried {
    // An id, "recursion desired", one question: portcall-canary.test, A, IN.
    const QUESTION: &[u8] = b"\x70\x63\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\
        \x0fportcall-canary\x04test\x00\x00\x01\x00\x01";
    let asked = || -> io::Result<[u8; 512]> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((Ipv4Addr::new(127, 0, 0, 11), 53))?;
        socket.set_read_timeout(Some(RESOLVER_PATIENCE))?;
        socket.send(QUESTION)?;
        let mut answer = [0; 512];
        socket.recv(&mut answer)?;
        Ok(answer)
    };
    match asked() {
        Ok(answer) => match answer[3] & 0x0F {
            0 if answer[6..8] != [0, 0] => Tried::Done,
            0 => Tried::Empty,
            2 => Tried::Word("SERVFAIL"),
            3 => Tried::Word("NXDOMAIN"),
            5 => Tried::Word("REFUSED"),
            _ => Tried::Word("OTHER"),
        },
        Err(error) => in_time(Err::<(), _>(error)),
    }
}

/// How many lines of a file are of a kind; none where there is no such file.
fn lines(file: &str, of_kind: fn(&str) -> bool) -> Tried {
    match fs::read_to_string(file) {
        Ok(text) => Tried::counted(Ok(text.lines().filter(|line| of_kind(line)).count() as u64)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Tried::Number(0),
        Err(error) => Tried::counted(Err(error)),
    }
}

/// Sets the flags of the loopback that it has already: up or down, it stays as it is.
fn set_link() -> Tried {
    let flags = || -> io::Result<u16> {
        let text = fs::read_to_string("/sys/class/net/lo/flags")?;
        let digits = text.trim().trim_start_matches("0x");
        u16::from_str_radix(digits, 16).map_err(|_| io::Error::from_raw_os_error(libc::EIO))
    };
    match flags() {
        Ok(flags) => change(SIOCSIFFLAGS, flags.to_ne_bytes()),
        Err(error) => Tried::Refused(error),
    }
}

/// Asks for a change of the loopback: the beginning of what it shall be, the rest is zeros.
fn change(request: i64, beginning: [u8; 2]) -> Tried {
    let socket = match UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)) {
        Ok(socket) => socket,
        Err(error) => return Tried::Refused(error),
    };
    // struct ifreq: sixteen bytes of name, then the value.
    let mut wanted = [0; 32];
    wanted[0] = u64::from_ne_bytes(*b"lo\0\0\0\0\0\0");
    let [first, second] = beginning;
    wanted[2] = u64::from_ne_bytes([first, second, 0, 0, 0, 0, 0, 0]);
    call(libc::SYS_ioctl, [Arg::Fd(&socket), Arg::Number(request), Arg::Words(&wanted)]).into()
}
