//! Whether what is sent arrives, and comes back: asked of the kernel beside a process of ours, which says
//! again whatever an echo request holds (RFC 792, RFC 1122 3.2.2.6). So nobody has to listen there, and both
//! ways are tried with what is as large as an overlay carries.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket as StdSocket},
    time::Duration,
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};
use tokio::{
    net::UdpSocket,
    time::{Instant, sleep, timeout, timeout_at},
};

/// An echo request (RFC 792): its type, and a code, a checksum, an id and a number that are all the
/// kernel's, or nobody's.
const HEAD: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, 0];
/// What is sent, its head included. An overlay has room for 1450 bytes, 20 of which are IP's own; a way
/// that loses only what is large loses the answers of an app, too.
const BYTES: usize = 1400;
/// Until it is sent again.
const AGAIN: Duration = Duration::from_millis(200);

/// Whether something of that size went there and came back within the time. An ICMP socket of this kind
/// (icmp(7)) needs no capability, but the user's group in `net.ipv4.ping_group_range`; without it nothing
/// comes back.
pub(super) async fn is_clear(address: IpAddr, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    timeout_at(deadline, echoed(address)).await.is_ok()
}

async fn echoed(address: IpAddr) {
    while !matches!(timeout(AGAIN, once(address)).await, Ok(Ok(BYTES))) {
        sleep(AGAIN).await;
    }
}

/// Sends one and tells how many bytes come back. Each has a socket of its own, since what a socket receives
/// may be about what it sent before.
async fn once(address: IpAddr) -> io::Result<usize> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let echo = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, Some(ipproto::ICMP))?;
    // It is sent to and received from as a UDP socket is.
    let socket = UdpSocket::from_std(StdSocket::from(echo))?;
    socket.connect(SocketAddr::new(address, 0)).await?;
    let mut request = [0; BYTES];
    request[..HEAD.len()].copy_from_slice(&HEAD);
    socket.send(&request).await?;
    socket.recv(&mut [0; BYTES + 1]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn where_nobody_is_nothing_comes_back() {
        // A documentation network's (RFC 5737): nobody's.
        assert!(!is_clear([192, 0, 2, 1].into(), Duration::from_millis(900)).await);
    }
}
