//! How we know our own: labels on every container and network, and an HMAC over them, so that
//! nothing that merely looks like ours is ever touched. The reaper finds orphans by them.

use std::{collections::HashMap, fmt};

use hmac::{Hmac, Mac};
use portcall_shared::domain::ids::{Generation, SubmissionId, WorkerId};
use sha2::Sha256;

/// The submission that a container runs for.
pub const SUBMISSION: &str = "portcall.submission";
/// The generation under which it was started.
pub const GENERATION: &str = "portcall.generation";
/// The worker that made it.
pub const WORKER: &str = "portcall.worker";
/// What it is for; see [`Kind`].
pub const KIND: &str = "portcall.kind";
/// HMAC-SHA256 over the others, in hexadecimal.
pub const MAC: &str = "portcall.mac";

/// What an object of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A stranger's container.
    Workload,
    /// A container given by the event.
    Service,
    /// Our process inside a slot's network.
    Prober,
    /// Our program that tries in a slot what must not work there.
    Canary,
    /// A slot's network.
    Slot,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Workload, Self::Service, Self::Prober, Self::Canary, Self::Slot];

    /// The word in the label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::Service => "service",
            Self::Prober => "prober",
            Self::Canary => "canary",
            Self::Slot => "slot",
        }
    }
}

/// For whom a workload runs, and who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The submission.
    pub submission: SubmissionId,
    /// The generation under which the worker holds it.
    pub generation: Generation,
    /// The worker.
    pub worker: WorkerId,
}

/// For whom the containers in a slot run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tenant {
    /// For a submission.
    Submission(Owner),
    /// For the worker itself, which wants to know what the slot's walls are worth.
    Canary(WorkerId),
}

impl Tenant {
    /// What the labels of such a container say.
    pub(super) fn identity(&self, kind: Kind) -> Identity {
        match self {
            Self::Submission(owner) => Identity::of_workload(kind, owner),
            Self::Canary(worker) => Identity::of_slot(Kind::Canary, *worker),
        }
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Submission(owner) => {
                write!(f, "submission {}, generation {}", owner.submission, owner.generation)
            }
            Self::Canary(_) => f.write_str("canary"),
        }
    }
}

/// What the labels of an object say, once their MAC was found good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What it is for.
    pub kind: Kind,
    /// The worker that made it.
    pub worker: WorkerId,
    /// For which submission and generation; none for slots, probers and canaries.
    pub submission: Option<(SubmissionId, Generation)>,
}

impl Identity {
    /// Of a container that runs for a submission.
    #[must_use]
    pub fn of_workload(kind: Kind, owner: &Owner) -> Self {
        let submission = Some((owner.submission, owner.generation));
        Self { kind, worker: owner.worker, submission }
    }

    /// Of a slot's network, prober or canary.
    #[must_use]
    pub fn of_slot(kind: Kind, worker: WorkerId) -> Self {
        Self { kind, worker, submission: None }
    }

    fn unsigned(&self) -> HashMap<String, String> {
        let mut labels = HashMap::from([
            (KIND.to_owned(), self.kind.as_str().to_owned()),
            (WORKER.to_owned(), self.worker.to_string()),
        ]);
        if let Some((submission, generation)) = self.submission {
            labels.insert(SUBMISSION.to_owned(), submission.to_string());
            labels.insert(GENERATION.to_owned(), generation.to_string());
        }
        labels
    }

    fn parse(labels: &HashMap<String, String>) -> Option<Self> {
        let kind = labels.get(KIND)?;
        let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind)?;
        let worker = labels.get(WORKER)?.parse().ok()?;
        let submission = match (labels.get(SUBMISSION), labels.get(GENERATION)) {
            (Some(submission), Some(generation)) => {
                Some((submission.parse().ok()?, Generation(generation.parse().ok()?)))
            }
            (None, None) => None,
            _ => return None,
        };
        Some(Self { kind, worker, submission })
    }
}

/// The key that the workers of one installation share.
#[derive(Clone)]
pub struct LabelKey(pub [u8; 32]);

impl fmt::Debug for LabelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LabelKey(…)")
    }
}

impl LabelKey {
    /// The labels of an object of ours.
    #[must_use]
    pub fn sign(&self, identity: &Identity) -> HashMap<String, String> {
        let mut labels = identity.unsigned();
        let mac = self.mac(&labels).finalize().into_bytes();
        labels.insert(MAC.to_owned(), mac.iter().map(|byte| format!("{byte:02x}")).collect());
        labels
    }

    /// What the labels say, or nothing if they are not ours. Other labels do not matter: an
    /// image may bring its own.
    #[must_use]
    pub fn verify(&self, labels: &HashMap<String, String>) -> Option<Identity> {
        let mac = unhex(labels.get(MAC)?)?;
        self.mac(labels).verify_slice(&mac).ok()?;
        Identity::parse(labels)
    }

    fn mac(&self, labels: &HashMap<String, String>) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(b"portcall labels 1");
        for name in [KIND, WORKER, SUBMISSION, GENERATION] {
            let value = labels.get(name).map(String::as_bytes);
            // A length before each value, and none for a missing one, so that no two sets of
            // labels give the same bytes.
            mac.update(&value.map_or(u64::MAX, |value| value.len() as u64).to_be_bytes());
            mac.update(value.unwrap_or_default());
        }
        mac
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identities() -> [Identity; 3] {
        let worker = WorkerId::new();
        let owner = Owner { submission: SubmissionId::new(), generation: Generation(7), worker };
        let canary = Tenant::Canary(worker).identity(Kind::Workload);
        assert_eq!(canary, Identity::of_slot(Kind::Canary, worker));
        [
            Tenant::Submission(owner).identity(Kind::Workload),
            Identity::of_slot(Kind::Slot, worker),
            canary,
        ]
    }

    #[test]
    fn what_was_signed_verifies_beside_foreign_labels() {
        let key = LabelKey([7; 32]);
        for identity in identities() {
            let mut labels = key.sign(&identity);
            labels.insert("maintainer".into(), "somebody".into());
            assert_eq!(key.verify(&labels), Some(identity));
        }
    }

    #[test]
    fn any_change_makes_it_foreign() {
        let key = LabelKey([7; 32]);
        for identity in identities() {
            let labels = key.sign(&identity);
            for name in labels.keys() {
                let mut fewer = labels.clone();
                fewer.remove(name);
                assert_eq!(key.verify(&fewer), None, "without {name}");
                let mut other = labels.clone();
                other.insert(name.clone(), "0".repeat(64));
                assert_eq!(key.verify(&other), None, "with another {name}");
            }
            assert_eq!(LabelKey([8; 32]).verify(&labels), None);
        }
    }

    #[test]
    fn the_key_is_not_shown() {
        assert_eq!(format!("{:?}", LabelKey([7; 32])), "LabelKey(…)");
    }
}
