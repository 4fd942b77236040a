//! Room for one running submission: a private network and a prober in it. A slot is reused for
//! one submission after another, and replaced when anything about it is in doubt.

use std::{
    collections::HashSet,
    fmt,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use portcall_shared::domain::ids::WorkerId;

use super::{facts::NodeFacts, subnet::Subnet, swarm::Far};
use crate::probe::client::ProberClient;

/// A private network with a prober in it.
pub struct Slot {
    pub(super) number: u32,
    pub(super) uid: u32,
    pub(super) subnet: Subnet,
    pub(super) network: String,
    pub(super) network_name: String,
    pub(super) prober_id: String,
    pub(super) prober: ProberClient,
    pub(super) node: Arc<NodeFacts>,
    pub(super) tenancy: Tenancy,
    pub(super) side: Side,
}

/// The name of a slot's network, after which everything in the slot is named. It is drawn at random for
/// each opening: two nodes of one worker have slots of the same number, and what already has such a name
/// is one's own, made by a request whose answer was lost.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SlotName {
    pub(super) number: u32,
    network: String,
}

impl SlotName {
    /// A new one. What is named after it may be a service, whose name has 63 letters at the most.
    pub(super) fn new(worker: WorkerId, number: u32) -> Self {
        let worker = worker.to_string().replace('-', "");
        let drawn = rand::random::<u64>() >> 24;
        Self { number, network: format!("portcall-{worker}-{number}-{drawn:010x}") }
    }

    /// The name of the network.
    #[must_use]
    pub fn network(&self) -> &str {
        &self.network
    }
}

/// Where the strangers' side of a slot is, as seen from its prober.
pub(super) enum Side {
    /// On the same machine.
    Near,
    /// On another one, a grader node of a swarm.
    Far(Far),
}

/// User ids: a slot's place in the pool is its own, so these are too. Limits that the kernel counts
/// per user are thereby nobody else's.
pub(super) const FIRST_STRICT_UID: u32 = 20_000;
pub(super) const FIRST_PROBER_UID: u32 = 40_000;
/// Ids wrap here where a pool is larger, to stay within what a remapped node has (65,536).
pub(super) const UIDS: u32 = 20_000;

/// Whether a slot can still be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotHealth {
    /// Network and prober are there and answer.
    Alive,
    /// It must be closed and replaced.
    Lost {
        /// Why.
        why: String,
    },
}

impl Slot {
    /// Its number among the worker's slots.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its addresses.
    #[must_use]
    pub fn subnet(&self) -> Subnet {
        self.subnet
    }

    /// The name of its network on the node.
    #[must_use]
    pub fn network_name(&self) -> &str {
        &self.network_name
    }

    /// The node that it is on.
    #[must_use]
    pub fn node(&self) -> &NodeFacts {
        &self.node
    }

    /// The process in it that asks questions. It dials only addresses that the fleet reported
    /// for the workload that runs now.
    #[must_use]
    pub fn prober(&self) -> &ProberClient {
        &self.prober
    }

    /// Marks it as not to be used again, as when something in it could not be removed.
    pub fn doubt(&self) {
        self.tenancy.doubt();
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("number", &self.number)
            .field("subnet", &self.subnet)
            .field("network", &self.network_name)
            .finish_non_exhaustive()
    }
}

/// What the fleet knows about what runs in a slot now; shared with the workload in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Tenancy(Arc<TenancyState>);

#[derive(Debug, Default)]
struct TenancyState {
    addresses: RwLock<HashSet<Ipv4Addr>>,
    anchor: OnceLock<Ipv4Addr>,
    doubt: AtomicBool,
}

impl Tenancy {
    /// Says which addresses the prober may dial from now on.
    pub(super) fn report(&self, addresses: impl IntoIterator<Item = Ipv4Addr>) {
        let mut reported = self.0.addresses.write().unwrap_or_else(PoisonError::into_inner);
        *reported = addresses.into_iter().collect();
    }

    /// Says where our own process is on the strangers' side, which the prober may dial at any time.
    pub(super) fn anchored(&self, address: Ipv4Addr) {
        self.0.anchor.get_or_init(|| address);
    }

    pub(super) fn may_dial(&self, address: IpAddr) -> bool {
        let IpAddr::V4(address) = address else { return false };
        if self.0.anchor.get() == Some(&address) {
            return true;
        }
        self.0.addresses.read().unwrap_or_else(PoisonError::into_inner).contains(&address)
    }

    /// Something may be left in the slot.
    pub(super) fn doubt(&self) {
        self.0.doubt.store(true, Ordering::Relaxed);
    }

    /// The slot was seen to hold what it should.
    pub(super) fn trust(&self) {
        self.0.doubt.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_doubted(&self) -> bool {
        self.0.doubt.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_the_same_number_have_names_of_their_own_that_services_can_be_named_after() {
        let worker = WorkerId::new();
        let names = [SlotName::new(worker, 999), SlotName::new(worker, 999)];
        assert_ne!(names[0], names[1]);
        for name in names {
            assert!(name.network().starts_with("portcall-"), "{name:?}");
            assert!(format!("{}-anchor", name.network()).len() <= 63, "{name:?}");
        }
    }

    #[test]
    fn only_reported_addresses_may_be_dialled() {
        let tenancy = Tenancy::default();
        let address = Ipv4Addr::new(10, 213, 0, 3);
        assert!(!tenancy.may_dial(address.into()));
        tenancy.report([address]);
        assert!(tenancy.may_dial(address.into()));
        assert!(!tenancy.may_dial(address.to_ipv6_mapped().into()));
        tenancy.anchored(Ipv4Addr::new(10, 213, 0, 4));
        tenancy.report([]);
        assert!(!tenancy.may_dial(address.into()));
        assert!(tenancy.may_dial([10, 213, 0, 4].into()));
    }
}
