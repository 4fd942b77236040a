//! Which addresses a call that a stranger caused may go to: those that everybody on the internet
//! could reach, unless the operator says otherwise of a host.
//!
//! A name is turned into addresses in one place ([`Names`]), for each connection anew, and the
//! connection is made to an address that was checked there; so a name that stands for another
//! address the second time gains nothing.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Turns a name into addresses; the port of each is of no meaning.
pub(crate) type Lookup =
    Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Asks the system.
pub(crate) fn system() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
    })
}

/// A name that stands for no public address.
#[derive(Debug, thiserror::Error)]
#[error("{name} stands for no address on the internet")]
pub(crate) struct NotPublic {
    name: String,
}

/// Whether that is why a request failed.
pub(crate) fn is_not_public(error: &reqwest::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.is::<NotPublic>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Which addresses a client may connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Those of the internet.
    Internet,
    /// Any.
    Anywhere,
}

/// Turns names into the addresses within reach.
pub(crate) struct Names {
    pub(crate) lookup: Lookup,
    pub(crate) reach: Reach,
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        let (lookup, reach) = (Arc::clone(&self.lookup), self.reach);
        Box::pin(async move {
            let mut found = lookup(name.clone()).await?;
            let any = !found.is_empty();
            found.retain(|address| reach == Reach::Anywhere || is_public(address.ip()));
            if any && found.is_empty() {
                return Err(NotPublic { name }.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one of the internet's, by IANA's registries of special-purpose addresses.
///
/// Nothing that carries another address inside it is (IPv4-mapped, NAT64, 6to4, Teredo), nor is
/// Azure's 168.63.129.16, which belongs to the host of a virtual machine.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    const SPECIAL: [([u8; 4], u32); 17] = [
        ([0, 0, 0, 0], 8),
        ([10, 0, 0, 0], 8),
        ([100, 64, 0, 0], 10),
        ([127, 0, 0, 0], 8),
        ([168, 63, 129, 16], 32),
        ([169, 254, 0, 0], 16),
        ([172, 16, 0, 0], 12),
        ([192, 0, 0, 0], 24),
        ([192, 0, 2, 0], 24),
        ([192, 31, 196, 0], 24),
        ([192, 52, 193, 0], 24),
        ([192, 88, 99, 0], 24),
        ([192, 168, 0, 0], 16),
        ([192, 175, 48, 0], 24),
        ([198, 18, 0, 0], 15),
        ([198, 51, 100, 0], 24),
        ([203, 0, 113, 0], 24),
    ];
    let number = u32::from(address);
    let within = |(base, prefix): &([u8; 4], u32)| {
        let mask = u32::MAX << (32 - prefix);
        number & mask == u32::from_be_bytes(*base)
    };
    // Multicast and what is reserved begins at 224.
    address.octets()[0] < 224 && !SPECIAL.iter().any(within)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    // 2000::/3 is what is given out; the rest, and these in it, are not.
    first & 0xe000 == 0x2000
        && !(first == 0x2001 && second < 0x0200)
        && !(first == 0x2001 && second == 0x0db8)
        && first != 0x2002
        && !(first == 0x2620 && second == 0x004f)
        && !(first == 0x3fff && second < 0x1000)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("0.0.0.0", "0.255.255.255", "1.0.0.0")]
    #[case("10.0.0.0", "10.255.255.255", "11.0.0.0")]
    #[case("100.64.0.0", "100.127.255.255", "100.128.0.0")]
    #[case("127.0.0.0", "127.255.255.255", "128.0.0.0")]
    #[case("168.63.129.16", "168.63.129.16", "168.63.129.17")]
    #[case("169.254.0.0", "169.254.255.255", "169.255.0.0")]
    #[case("172.16.0.0", "172.31.255.255", "172.32.0.0")]
    #[case("192.0.0.0", "192.0.0.255", "192.0.1.0")]
    #[case("192.0.2.0", "192.0.2.255", "192.0.3.0")]
    #[case("192.88.99.0", "192.88.99.255", "192.88.100.0")]
    #[case("192.168.0.0", "192.168.255.255", "192.169.0.0")]
    #[case("198.18.0.0", "198.19.255.255", "198.20.0.0")]
    #[case("198.51.100.0", "198.51.100.255", "198.51.101.0")]
    #[case("203.0.113.0", "203.0.113.255", "203.0.114.0")]
    #[case("2001::", "2001:1ff:ffff::", "2001:200::")]
    #[case("2001:db8::", "2001:db8:ffff::", "2001:db9::")]
    #[case("2002::", "2002:7f00:1::", "2003::")]
    #[case("3fff::", "3fff:fff::1", "3fff:1000::")]
    #[case("0::", "1fff:ffff::", "2000::")]
    fn ranges_end_where_they_end(#[case] first: &str, #[case] last: &str, #[case] after: &str) {
        let public = |text: &str| is_public(text.parse().unwrap());
        assert!(!public(first) && !public(last), "{first} {last}");
        assert!(public(after), "{after}");
    }

    #[rstest]
    #[case("::1")]
    #[case("::")]
    #[case("::ffff:127.0.0.1")]
    #[case("::ffff:8.8.8.8")]
    #[case("::127.0.0.1")]
    #[case("64:ff9b::7f00:1")]
    #[case("64:ff9b:1::a00:1")]
    #[case("2002:7f00:1::")]
    #[case("2001:0:7f00:1::")]
    #[case("fc00::1")]
    #[case("fd00:ec2::254")]
    #[case("fe80::1")]
    #[case("fec0::1")]
    #[case("ff02::1")]
    #[case("100::1")]
    #[case("5f00::1")]
    #[case("4000::1")]
    #[case("169.254.169.254")]
    #[case("100.100.100.200")]
    #[case("224.0.0.1")]
    #[case("255.255.255.255")]
    fn these_are_not_on_the_internet(#[case] address: &str) {
        assert!(!is_public(address.parse().unwrap()));
    }

    #[rstest]
    #[case("8.8.8.8")]
    #[case("223.255.255.255")]
    #[case("2606:4700::1111")]
    #[case("2001:4860:4860::8888")]
    fn these_are(#[case] address: &str) {
        assert!(is_public(address.parse().unwrap()));
    }

    /// Answers with the first of these, then the second, and with the last from then on.
    fn answering(reach: Reach, answers: &'static [&'static [&'static str]]) -> Names {
        let asked = AtomicUsize::new(0);
        let lookup: Lookup = Arc::new(move |_| {
            let time = asked.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1);
            let address = |a: &&str| SocketAddr::new(a.parse().unwrap(), 0);
            Box::pin(std::future::ready(Ok(answers[time].iter().map(address).collect())))
        });
        Names { lookup, reach }
    }

    async fn found(names: &Names) -> Option<Vec<String>> {
        match names.resolve("a.test".parse().unwrap()).await {
            Ok(found) => Some(found.map(|address| address.ip().to_string()).collect()),
            Err(error) => {
                assert!(error.is::<NotPublic>());
                None
            }
        }
    }

    #[tokio::test]
    async fn a_name_is_only_ever_its_public_addresses() {
        const MIXED: &[&[&str]] = &[&["10.0.0.1", "8.8.8.8", "::1", "::ffff:8.8.8.8"]];
        const OWN: &[&[&str]] = &[&["127.0.0.1", "::1"]];
        let internet = |answers| answering(Reach::Internet, answers);
        assert_eq!(found(&internet(MIXED)).await.unwrap(), ["8.8.8.8"]);
        assert_eq!(found(&internet(OWN)).await, None);
        assert_eq!(found(&internet(&[&[]])).await.unwrap().len(), 0, "unknown is not forbidden");
        let anywhere = answering(Reach::Anywhere, OWN);
        assert_eq!(found(&anywhere).await.unwrap(), ["127.0.0.1", "::1"], "the control");
    }

    #[tokio::test]
    async fn a_name_that_stands_for_another_address_the_second_time_is_checked_again() {
        let names = answering(Reach::Internet, &[&["8.8.8.8"], &["127.0.0.1"], &["8.8.4.4"]]);
        assert_eq!(found(&names).await.unwrap(), ["8.8.8.8"]);
        assert_eq!(found(&names).await, None);
        assert_eq!(found(&names).await.unwrap(), ["8.8.4.4"]);
    }
}
