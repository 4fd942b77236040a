//! Who is at the other end of a request.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The connection that a request came by. The accept loop puts one into the extensions of every
/// request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Whoever made it: the other end, or whom a trusted balancer names by the PROXY protocol.
    pub peer: SocketAddr,
    /// Whether it is encrypted up to here.
    pub tls: bool,
}

/// The client of a request: the peer, or whom trusted proxies name in `X-Forwarded-For`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client(pub IpAddr);

impl Client {
    /// What counts as one address when addresses are counted: an IPv4 address, or the /64 network
    /// of an IPv6 address, which is what one subscriber has.
    #[must_use]
    pub fn network(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => IpAddr::V4(v4),
                None => {
                    let bits = v6.to_bits() & !u128::from(u64::MAX);
                    IpAddr::V6(Ipv6Addr::from_bits(bits))
                }
            },
        }
    }
}

impl Default for Client {
    /// Nobody that could be told apart.
    fn default() -> Self {
        Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_is_one_address() {
        let network = |text: &str| Client(text.parse().unwrap()).network().to_string();
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("2001:db8:1:2::"), "2001:db8:1:2::");
    }
}
