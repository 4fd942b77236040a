//! What an engine or a swarm calls an object. It is a type of its own because the names that we give are
//! texts, too: an object that is looked for among the ids by its name is not found, and counts as gone.

use std::fmt;

/// An id as it was given to us: never a name of ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct GivenId(String);

impl GivenId {
    /// From an answer that says the id.
    pub(super) fn of(answered: String) -> Self {
        Self(answered)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GivenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
