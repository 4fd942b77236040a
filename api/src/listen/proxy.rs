//! The PROXY protocol (versions 1 and 2): whom a trusted balancer speaks for. Nothing beyond its
//! header is read, since what follows may be TLS.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;
use ppp::{HeaderResult, v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What both versions have at least.
const FIRST: usize = 12;
const SIGNATURE: &[u8; FIRST] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest header of version 1, by the protocol.
const LONGEST_1: usize = 107;
/// Longest rest of a header of version 2: addresses, and what a balancer may add to them.
const LONGEST_2: usize = 2048;

/// Whether somebody is among those who are trusted to name others.
#[must_use]
pub(super) fn trusts(proxies: &[IpNet], peer: IpAddr) -> bool {
    proxies.iter().any(|network| network.contains(&peer))
}

/// Reads the header. None is named when the balancer speaks for itself, as in its own checks.
///
/// # Errors
/// When there is no such header, or the connection breaks.
pub(super) async fn named(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let mut header = vec![0; FIRST];
    stream.read_exact(&mut header).await?;
    if header == SIGNATURE {
        let mut rest = [0; 4];
        stream.read_exact(&mut rest).await?;
        header.extend(rest);
        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        if length > LONGEST_2 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        header.resize(FIRST + rest.len() + length, 0);
        stream.read_exact(&mut header[FIRST + rest.len()..]).await?;
    } else if header.starts_with(b"PROXY ") {
        while !header.ends_with(b"\r\n") {
            if header.len() == LONGEST_1 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            header.push(stream.read_u8().await?);
        }
    } else {
        return Err(io::ErrorKind::InvalidData.into());
    }
    read(&header).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Whom a whole header names; none at all if it is not one.
fn read(header: &[u8]) -> Option<Option<SocketAddr>> {
    match HeaderResult::parse(header) {
        HeaderResult::V1(header) => match header.ok()?.addresses {
            v1::Addresses::Unknown => Some(None),
            v1::Addresses::Tcp4(a) => Some(Some((a.source_address, a.source_port).into())),
            v1::Addresses::Tcp6(a) => Some(Some((a.source_address, a.source_port).into())),
        },
        HeaderResult::V2(header) => {
            let header = header.ok()?;
            match (header.command, header.addresses) {
                (v2::Command::Local, _) | (_, v2::Addresses::Unspecified) => Some(None),
                (_, v2::Addresses::IPv4(a)) => Some(Some((a.source_address, a.source_port).into())),
                (_, v2::Addresses::IPv6(a)) => Some(Some((a.source_address, a.source_port).into())),
                (_, v2::Addresses::Unix(_)) => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn two(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[0x20 | command, family], &length, addresses].concat()
    }

    async fn of(bytes: &[u8]) -> (Result<Option<String>, io::ErrorKind>, Vec<u8>) {
        let mut rest = bytes;
        let named = named(&mut rest).await.map_err(|error| error.kind());
        (named.map(|address| address.map(|a| a.to_string())), rest.to_vec())
    }

    const FOUR: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x34, 0, 80];

    #[tokio::test]
    async fn both_versions_name_the_client_and_leave_what_follows() {
        let mut six = vec![0; 36];
        (six[0], six[1], six[15], six[33]) = (0x20, 0x01, 9, 7);
        for (mut header, name) in [
            (two(1, 0x11, &FOUR), Some("192.0.2.7:4660")),
            (two(1, 0x11, &[&FOUR[..], &[4, 0, 1, 0]].concat()), Some("192.0.2.7:4660")),
            (two(1, 0x21, &six), Some("[2001::9]:7")),
            (two(0, 0x00, &[]), None),
            (two(1, 0x00, &[]), None),
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 7 80\r\n".to_vec(), Some("192.0.2.7:7")),
            (b"PROXY TCP6 2001:db8::1 ::1 7 80\r\n".to_vec(), Some("[2001:db8::1]:7")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
        ] {
            header.extend(b"GET / HTTP/1.1\r\n");
            let (named, rest) = of(&header).await;
            assert_eq!(named, Ok(name.map(str::to_owned)), "{header:?}");
            assert_eq!(rest, b"GET / HTTP/1.1\r\n");
        }
    }

    #[rstest]
    #[case(b"GET / HTTP/1.1\r\n\r\n".to_vec())]
    #[case(b"PROXY TCP4 192.0.2.700 198.51.100.1 7 80\r\n".to_vec())]
    #[case(two(3, 0x11, &FOUR))]
    #[case(two(1, 0x11, &FOUR[..11]))]
    #[case(two(1, 0x31, &[0; 216]))]
    #[case(two(1, 0x11, &vec![0; LONGEST_2 + 1]))]
    #[case([&b"PROXY UNKNOWN "[..], &[b'x'; 200], b"\r\n"].concat())]
    #[tokio::test]
    async fn anything_else_is_refused(#[case] bytes: Vec<u8>) {
        assert_eq!(of(&bytes).await.0, Err(io::ErrorKind::InvalidData));
    }

    #[tokio::test]
    async fn as_long_as_may_be() {
        let mut longest = FOUR.to_vec();
        longest.resize(LONGEST_2, 0);
        // What follows the addresses is not looked into.
        assert!(of(&two(1, 0x11, &longest)).await.0.is_ok());
        let half = two(1, 0x11, &FOUR);
        assert_eq!(of(&half[..20]).await.0, Err(io::ErrorKind::UnexpectedEof));
    }

    #[test]
    fn networks_are_trusted() {
        let proxies: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        for (peer, trusted) in [("10.1.2.3", true), ("11.0.0.1", false), ("::1", true)] {
            assert_eq!(trusts(&proxies, peer.parse().unwrap()), trusted, "{peer}");
        }
        assert!(!trusts(&[], "127.0.0.1".parse().unwrap()), "nobody unless somebody says so");
    }

    proptest! {
        #[test]
        fn no_header_is_too_strange(start in 0..3_usize, rest: Vec<u8>) {
            let start = [&SIGNATURE[..], b"PROXY TCP4 ", b""][start];
            let bytes = [start, &rest].concat();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(of(&bytes));
        }
    }
}
