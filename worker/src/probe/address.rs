//! Which addresses may be dialled: those of one slot's network, and nothing else.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

/// The addresses of one IPv4 network, without the network's own, its broadcast address and
/// those that were taken out.
///
/// Parsed from CIDR notation (`10.213.4.0/28`); bits below the prefix must be zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressSet {
    network: Ipv4Addr,
    prefix: u32,
    except: Vec<Ipv4Addr>,
}

/// Why a text is not a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NetworkFault {
    /// Not `a.b.c.d/n`.
    #[error("a network is written like 10.213.4.0/28")]
    Form,
    /// A prefix that would make almost everything reachable, or no prefix at all.
    #[error("the prefix of a network is between 8 and 32")]
    Prefix,
    /// `10.213.4.1/28`: the address is in the network, not its name.
    #[error("the address has bits below the prefix")]
    HostBits,
}

impl AddressSet {
    /// The same set without one address (the gateway, say).
    #[must_use]
    pub fn except(mut self, address: Ipv4Addr) -> Self {
        self.except.push(address);
        self
    }

    /// Whether this address may be dialled. An IPv6 address never may, mapped ones included.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        let IpAddr::V4(address) = address else {
            return false;
        };
        let mask = mask(self.prefix);
        let (bits, network) = (address.to_bits(), self.network.to_bits());
        let inside = bits & mask == network;
        let reserved = self.prefix < 31 && (bits == network || bits == network | !mask);
        inside && !reserved && !self.except.contains(&address)
    }
}

impl FromStr for AddressSet {
    type Err = NetworkFault;

    fn from_str(text: &str) -> Result<Self, NetworkFault> {
        let (address, prefix) = text.split_once('/').ok_or(NetworkFault::Form)?;
        let network: Ipv4Addr = address.parse().map_err(|_| NetworkFault::Form)?;
        if prefix.len() > 2 || !prefix.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(NetworkFault::Form);
        }
        let prefix: u32 = prefix.parse().map_err(|_| NetworkFault::Form)?;
        if !(8..=32).contains(&prefix) {
            return Err(NetworkFault::Prefix);
        }
        if network.to_bits() & !mask(prefix) != 0 {
            return Err(NetworkFault::HostBits);
        }
        Ok(Self { network, prefix, except: Vec::new() })
    }
}

impl fmt::Display for AddressSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.network, self.prefix)
    }
}

fn mask(prefix: u32) -> u32 {
    u32::MAX << (32 - prefix)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("10.213.4.1", false)] // taken out
    #[case("10.213.4.2", true)]
    #[case("10.213.4.14", true)]
    #[case("10.213.4.0", false)] // the network
    #[case("10.213.4.15", false)] // broadcast
    #[case("10.213.4.16", false)]
    #[case("10.213.3.255", false)]
    #[case("127.0.0.1", false)]
    #[case("169.254.169.254", false)]
    #[case("0.0.0.0", false)]
    #[case("::1", false)]
    #[case("::ffff:10.213.4.2", false)]
    fn only_the_slot_is_allowed(#[case] address: IpAddr, #[case] allowed: bool) {
        let set: AddressSet = "10.213.4.0/28".parse().unwrap();
        let set = set.except(Ipv4Addr::new(10, 213, 4, 1));
        assert_eq!(set.allows(address), allowed);
    }

    #[rstest]
    #[case("10.213.4.0", NetworkFault::Form)]
    #[case("10.213.4/24", NetworkFault::Form)]
    #[case("10.213.4.0/", NetworkFault::Form)]
    #[case("10.213.4.0/+8", NetworkFault::Form)]
    #[case("fd00::/64", NetworkFault::Form)]
    #[case("0.0.0.0/0", NetworkFault::Prefix)]
    #[case("10.0.0.0/33", NetworkFault::Prefix)]
    #[case("10.213.4.1/28", NetworkFault::HostBits)]
    fn what_is_not_a_network_is_refused(#[case] text: &str, #[case] fault: NetworkFault) {
        assert_eq!(text.parse::<AddressSet>(), Err(fault));
    }

    #[test]
    fn a_network_of_one_is_its_address() {
        let set: AddressSet = "10.213.4.7/32".parse().unwrap();
        assert!(set.allows("10.213.4.7".parse().unwrap()));
        assert!(!set.allows("10.213.4.8".parse().unwrap()));
        assert_eq!(set.to_string(), "10.213.4.7/32");
    }
}
