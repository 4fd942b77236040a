//! Where a canary runs: what the rows of the table may look at.

use crate::fleet::{Limits, NodeFacts, NodeSettings, Profile};

/// Where a canary runs, as far as it changes what it must tell.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// How tightly it is held.
    pub profile: Profile,
    /// How much it may use.
    pub limits: Limits,
    /// The node that it is on.
    pub node: &'a NodeFacts,
    /// What the node's operator decided.
    pub settings: &'a NodeSettings,
}
