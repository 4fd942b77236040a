//! The private addresses that slots live in: a pool, cut into pieces of sixteen. Explicit pieces,
//! because an engine's own choice is few and may collide with the machine's routes.

use std::{fmt, net::Ipv4Addr, str::FromStr};

/// Length of a slot's prefix: sixteen addresses, of which thirteen can be given to containers.
const SLOT_PREFIX: u32 = 28;

/// A block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subnet {
    base: u32,
    prefix: u32,
}

/// Why a text is no pool of subnets.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a pool of private IPv4 addresses such as 10.213.0.0/16 (/8 to /28): {0}")]
pub struct InvalidPool(pub String);

/// Where the subnets of slots come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubnetPool(Subnet);

impl Subnet {
    /// The address of the host's side of the bridge, which nothing may dial.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.base + 1)
    }

    /// Whether the address lies inside.
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask() == self.base
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let mask = self.mask() & other.mask();
        self.base & mask == other.base & mask
    }

    fn mask(&self) -> u32 {
        u32::MAX.checked_shl(32 - self.prefix).unwrap_or(0)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = InvalidPool;

    fn from_str(text: &str) -> Result<Self, InvalidPool> {
        let invalid = || InvalidPool(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let address: Ipv4Addr = address.parse().map_err(|_| invalid())?;
        let prefix: u32 = prefix.parse().map_err(|_| invalid())?;
        let subnet = Self { base: address.into(), prefix };
        if prefix > 32 || subnet.base & subnet.mask() != subnet.base {
            return Err(invalid());
        }
        Ok(subnet)
    }
}

impl SubnetPool {
    /// How many slots fit.
    #[must_use]
    pub fn len(&self) -> u32 {
        1 << (SLOT_PREFIX - self.0.prefix)
    }

    /// Never: a pool holds at least one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The subnet at a place, counted round.
    #[must_use]
    pub fn nth(&self, place: u32) -> Subnet {
        Subnet { base: self.0.base + (place % self.len()) * 16, prefix: SLOT_PREFIX }
    }

    /// The places from `first` on, counted round, whose subnet overlaps none of `used`.
    pub(super) fn free(&self, first: u32, used: &[Subnet]) -> impl Iterator<Item = u32> {
        let length = self.len();
        (0..length).map(move |step| (first % length + step) % length).filter(|place| {
            let subnet = self.nth(*place);
            !used.iter().any(|other| other.overlaps(&subnet))
        })
    }
}

impl Default for SubnetPool {
    fn default() -> Self {
        Self(Subnet { base: u32::from(Ipv4Addr::new(10, 213, 0, 0)), prefix: 16 })
    }
}

impl fmt::Display for SubnetPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SubnetPool {
    type Err = InvalidPool;

    fn from_str(text: &str) -> Result<Self, InvalidPool> {
        let subnet: Subnet = text.parse()?;
        let private = Ipv4Addr::from(subnet.base).is_private();
        // 172.16.0.0/12 and 192.168.0.0/16 end before a /8 does.
        let last = Ipv4Addr::from(subnet.base | !subnet.mask());
        if !(8..=SLOT_PREFIX).contains(&subnet.prefix) || !private || !last.is_private() {
            return Err(InvalidPool(text.to_owned()));
        }
        Ok(Self(subnet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(text: &str) -> SubnetPool {
        text.parse().unwrap()
    }

    #[test]
    fn a_pool_is_cut_into_sixteens() {
        let pool = SubnetPool::default();
        assert_eq!(pool.to_string(), "10.213.0.0/16");
        assert_eq!(pool.len(), 4096);
        assert_eq!(pool.nth(0).to_string(), "10.213.0.0/28");
        assert_eq!(pool.nth(4095).to_string(), "10.213.255.240/28");
        assert_eq!(pool.nth(4096), pool.nth(0));
        assert_eq!(pool.nth(1).gateway(), Ipv4Addr::new(10, 213, 0, 17));
        assert!(pool.nth(1).contains(Ipv4Addr::new(10, 213, 0, 31)));
        assert!(!pool.nth(1).contains(Ipv4Addr::new(10, 213, 0, 32)));
    }

    #[test]
    fn what_is_used_is_passed_over() {
        let pool = pool("10.0.0.0/26");
        let used = ["10.0.0.16/28", "10.0.0.33/32"].map(|text| text.parse::<Subnet>().unwrap());
        assert_eq!(pool.free(0, &used).collect::<Vec<_>>(), [0, 3]);
        assert_eq!(pool.free(3, &used).collect::<Vec<_>>(), [3, 0]);
        assert_eq!(pool.free(0, &["0.0.0.0/0".parse().unwrap()]).next(), None);
    }

    #[test]
    fn only_private_pools_of_a_sensible_size() {
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.0/7",
            "10.0.0.0/29",
            "10.0.0.1/16",
            "8.8.8.0/24",
            "172.16.0.0/11",
            "192.168.0.0/8",
            "10.0.0.0/16/1",
            "10.0.0.0/-1",
            "a/16",
        ] {
            assert!(bad.parse::<SubnetPool>().is_err(), "{bad:?}");
        }
        for good in ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "10.213.7.0/28"] {
            assert!(good.parse::<SubnetPool>().is_ok(), "{good:?}");
        }
    }
}
