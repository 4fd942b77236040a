//! Free ports, and private address ranges that no other test of the machine uses.

use std::{
    fs::{self, File, TryLockError},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr as Name, UnixListener},
    },
    sync::{Mutex, PoisonError},
};

use anyhow::{Result, bail};

/// The ports of tests: below those that the system gives to whoever asks for any
/// (`net.ipv4.ip_local_port_range`), so that none is gone before somebody listens there.
const PORTS: std::ops::Range<u16> = 12_000..25_000;

/// An address of this machine whose port nobody listens on, whatever the address, and that no other
/// test gets until this process has ended.
///
/// # Errors
/// When all are taken.
pub fn free_address() -> Result<SocketAddr> {
    /// A name without a file: it goes with the process.
    static HELD: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    // Each process begins somewhere else.
    let first = PORTS.start + (std::process::id() % u32::from(PORTS.end - PORTS.start)) as u16;
    for port in (first..PORTS.end).chain(PORTS.start..first) {
        let name = Name::from_abstract_name(format!("portcall-tests-port-{port}"))?;
        let Ok(held) = UnixListener::bind_addr(&name) else { continue };
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            HELD.lock().unwrap_or_else(PoisonError::into_inner).push(held);
            return Ok((Ipv4Addr::LOCALHOST, port).into());
        }
    }
    bail!("all ports for tests are taken")
}

/// A range of addresses for the slots of one world, held by a lock file until it is dropped,
/// so that tests in other processes take others.
#[derive(Debug)]
pub struct Range {
    base: Ipv4Addr,
    _lock: File,
}

/// Sixteen thousand addresses each.
const PREFIX: u32 = 18;

impl Range {
    /// Takes a range that nobody holds.
    ///
    /// # Errors
    /// When all are held.
    pub fn take() -> Result<Self> {
        let dir = std::env::temp_dir().join("portcall-tests-ranges");
        fs::create_dir_all(&dir)?;
        for n in 0..64_u8 {
            let lock = File::create(dir.join(n.to_string()))?;
            match lock.try_lock() {
                Ok(()) => {
                    let base = Ipv4Addr::new(10, 64 + n / 4, n % 4 * 64, 0);
                    return Ok(Self { base, _lock: lock });
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
        bail!("all 64 address ranges for tests are taken")
    }

    /// The range, as a setting is written.
    #[must_use]
    pub fn cidr(&self) -> String {
        format!("{}/{PREFIX}", self.base)
    }

    /// Whether a subnet (`address/prefix`) lies in it.
    #[must_use]
    pub fn holds(&self, subnet: &str) -> bool {
        let address = subnet.split('/').next().and_then(|text| text.parse().ok());
        let block = |address: Ipv4Addr| u32::from(address) >> (32 - PREFIX);
        address.is_some_and(|address| block(address) == block(self.base))
    }
}

/// The hosts of a subnet (`address/prefix`) that is small.
#[must_use]
pub fn hosts(subnet: &str) -> Vec<Ipv4Addr> {
    let parts = subnet.split_once('/');
    let parsed = parts.and_then(|(base, prefix)| {
        Some((u32::from(base.parse::<Ipv4Addr>().ok()?), prefix.parse::<u32>().ok()?))
    });
    match parsed {
        Some((base, prefix @ 24..=30)) => {
            (base + 1..base + (1 << (32 - prefix)) - 1).map(Ipv4Addr::from).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_port_is_given_twice_or_while_somebody_listens_there() {
        let ports = (0..200).map(|_| free_address().unwrap().port());
        let ports: BTreeSet<u16> = ports.collect();
        assert_eq!(ports.len(), 200);
        assert!(ports.iter().all(|port| PORTS.contains(port)));
        // At another address of the machine, as the apis of tests do: a port of 127.0.0.1 alone is free.
        let taken = free_address().unwrap().port();
        let _listens = TcpListener::bind((Ipv4Addr::new(127, 77, 0, 1), taken)).unwrap();
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, taken)).is_ok());
        assert!(TcpListener::bind((Ipv4Addr::UNSPECIFIED, taken)).is_err());
    }

    #[test]
    fn two_ranges_share_no_address() {
        let (one, other) = (Range::take().unwrap(), Range::take().unwrap());
        assert_ne!(one.cidr(), other.cidr());
        assert_eq!(
            hosts("10.64.0.16/30"),
            [Ipv4Addr::new(10, 64, 0, 17), Ipv4Addr::new(10, 64, 0, 18)]
        );
        assert!(one.holds(&one.cidr()) && !one.holds(&other.cidr()) && !one.holds("no subnet"));
    }
}
