//! Which nodes a Docker endpoint offers: one for a plain engine, every grader node of a swarm.
//!
//! A [`Fleet`] is the way to one of them. What is of the endpoint as a whole, such as looking for
//! what was left behind, is asked here.

use std::sync::Arc;

use bollard::models::NodeSpecAvailabilityEnum;

use super::{
    EngineSettings, Fleet, FleetError, Found, Removal, SwarmSettings, Sweep, swarm::Swarm,
};

/// A Docker endpoint, and the nodes behind it. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Nodes {
    /// A plain engine, which is one node for ever.
    One(Fleet),
    /// A swarm, whose labelled workers are the nodes: they come and go.
    Swarm(Arc<Swarm>),
}

/// A node on which strangers' containers may run.
#[derive(Clone, Debug)]
pub struct Node {
    /// What tells it from every other of its endpoint, for as long as that knows it.
    pub id: String,
    /// Its name for people; none for a plain engine, which tells it with its facts.
    pub name: Option<String>,
    /// How many submissions at once it has room for; none if that is for the worker to say.
    pub slots: Option<u32>,
    /// Whether it may be used.
    pub availability: Availability,
    /// The way to it.
    pub fleet: Fleet,
}

/// Whether a node may be used, as its endpoint sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It may; a plain engine always, since only using it shows whether it is there.
    Active,
    /// An operator keeps work away from it.
    Drained,
    /// It is not to be reached.
    Down {
        /// The endpoint's own words.
        why: String,
    },
}

/// The id of the node that a plain engine is.
const ITSELF: &str = "engine";

impl Nodes {
    /// A plain engine. Nothing is connected yet: the engine may come later.
    ///
    /// # Errors
    /// [`FleetError::Address`] if the engine's address is none.
    pub fn engine(settings: EngineSettings) -> Result<Self, FleetError> {
        Ok(Self::One(Fleet::engine(settings)?))
    }

    /// A swarm. Nothing is connected yet: its managers may come later.
    ///
    /// # Errors
    /// [`FleetError::Address`] if one of its addresses is none, [`FleetError::Certificates`].
    pub fn swarm(settings: SwarmSettings) -> Result<Self, FleetError> {
        Ok(Self::Swarm(Arc::new(Swarm::new(settings)?)))
    }

    /// The nodes that there are now.
    ///
    /// # Errors
    /// [`FleetError`] if the endpoint cannot be asked; a plain engine always answers.
    pub async fn list(&self) -> Result<Vec<Node>, FleetError> {
        match self {
            Self::One(fleet) => Ok(vec![Node {
                id: ITSELF.to_owned(),
                name: None,
                slots: None,
                availability: Availability::Active,
                fleet: fleet.clone(),
            }]),
            Self::Swarm(swarm) => swarm.list().await,
        }
    }

    /// Has the endpoint keep all work away from a node, or no longer; where it is the only node,
    /// there is nobody who would bring other work there.
    ///
    /// # Errors
    /// [`FleetError`] if it cannot be asked, or will not.
    pub async fn set_availability(
        &self,
        node: &str,
        availability: &Availability,
    ) -> Result<(), FleetError> {
        let wanted = match availability {
            Availability::Active => NodeSpecAvailabilityEnum::ACTIVE,
            Availability::Drained => NodeSpecAvailabilityEnum::DRAIN,
            // Nobody brings that about.
            Availability::Down { .. } => return Ok(()),
        };
        match self {
            Self::One(_) => Ok(()),
            Self::Swarm(swarm) => swarm.set_availability(node, wanted).await,
        }
    }

    /// Everything of ours at the endpoint.
    ///
    /// # Errors
    /// [`FleetError`] if it cannot be asked.
    pub async fn sweep(&self) -> Result<Sweep, FleetError> {
        match self {
            Self::One(fleet) => fleet.sweep().await,
            Self::Swarm(swarm) => swarm.sweep().await,
        }
    }

    /// Removes what a sweep found, and looks that it is gone.
    ///
    /// # Errors
    /// [`FleetError`] if that could not be verified.
    pub async fn remove_found(&self, found: &Found) -> Result<Removal, FleetError> {
        match self {
            Self::One(fleet) => fleet.remove_found(found).await,
            Self::Swarm(swarm) => swarm.remove_found(found).await,
        }
    }
}
