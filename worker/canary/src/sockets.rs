//! Sockets by family and kind: which may be opened at all, without a way to anywhere.

use std::{io, net::Ipv6Addr};

use crate::{
    attempt::{Attempt, Tried},
    sys::{Arg, call},
};

pub(crate) const TABLE: &[Attempt] = &[
    // What every server needs: a wall that is too near is a fault of the node as well.
    Attempt { name: "socket_unix", attempt: || open(libc::AF_UNIX, libc::SOCK_STREAM, 0) },
    Attempt { name: "socket_inet", attempt: || open(libc::AF_INET, libc::SOCK_STREAM, 0) },
    Attempt { name: "bind_80", attempt: bind_80 },
    Attempt { name: "raw_icmp", attempt: || raw(libc::AF_INET, libc::IPPROTO_ICMP) },
    Attempt { name: "raw_icmp6", attempt: || raw(libc::AF_INET6, libc::IPPROTO_ICMPV6) },
    Attempt { name: "ping_socket", attempt: ping_socket },
    Attempt { name: "af_packet", attempt: || raw(libc::AF_PACKET, 0x0300) },
    Attempt { name: "af_netlink_route", attempt: || raw(libc::AF_NETLINK, libc::NETLINK_ROUTE) },
    Attempt { name: "af_netlink_audit", attempt: || raw(libc::AF_NETLINK, libc::NETLINK_AUDIT) },
    Attempt { name: "af_netlink_xfrm", attempt: || raw(libc::AF_NETLINK, libc::NETLINK_XFRM) },
    Attempt { name: "af_vsock", attempt: || open(libc::AF_VSOCK, libc::SOCK_STREAM, 0) },
    Attempt { name: "af_alg", attempt: || open(libc::AF_ALG, libc::SOCK_SEQPACKET, 0) },
    Attempt { name: "af_xdp", attempt: || raw(libc::AF_XDP, 0) },
    Attempt { name: "af_key", attempt: || raw(libc::AF_KEY, 2) },
    Attempt { name: "af_bluetooth", attempt: || raw(libc::AF_BLUETOOTH, 1) },
    Attempt { name: "af_can", attempt: || raw(libc::AF_CAN, 1) },
    Attempt { name: "af_tipc", attempt: || open(libc::AF_TIPC, libc::SOCK_SEQPACKET, 0) },
    Attempt { name: "af_rds", attempt: || open(libc::AF_RDS, libc::SOCK_SEQPACKET, 0) },
    Attempt { name: "af_smc", attempt: || open(AF_SMC, libc::SOCK_STREAM, 0) },
    Attempt { name: "bind_ipv6_loopback", attempt: bind_ipv6_loopback },
];

const AF_SMC: i32 = 43;

fn open(family: i32, kind: i32, protocol: i32) -> Tried {
    call(
        libc::SYS_socket,
        [
            Arg::Number(family.into()),
            Arg::Number((kind | libc::SOCK_CLOEXEC).into()),
            Arg::Number(protocol.into()),
        ],
    )
    .into()
}

fn raw(family: i32, protocol: i32) -> Tried {
    open(family, libc::SOCK_RAW, protocol)
}

fn ping_socket() -> Tried {
    open(libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP)
}

/// The report is told there later; here the port is free.
fn bind_80() -> Tried {
    std::net::TcpListener::bind(("0.0.0.0", 80)).into()
}

fn bind_ipv6_loopback() -> Tried {
    let bound: io::Result<_> = std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0));
    bound.into()
}
