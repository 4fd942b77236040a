//! Identifiers as types: one way in, checked once.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not an identifier.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a valid {kind}: {detail}")]
pub struct InvalidId {
    /// What it should have been, in the words of the design.
    pub kind: &'static str,
    /// What is wrong with it.
    pub detail: &'static str,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh UUIDv7 (RFC 9562 §5.7): sortable by creation, 74 random bits.
            #[must_use]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The UUID inside.
            #[must_use]
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let invalid = |detail| InvalidId { kind: $kind, detail };
                if text.len() != 36 {
                    return Err(invalid("expected 36 characters"));
                }
                Uuid::try_parse(text).map(Self).map_err(|_| invalid("expected a UUID"))
            }
        }
    };
}

uuid_id!(
    /// A submission. Public.
    SubmissionId,
    "submission id"
);
uuid_id!(
    /// One worker process, new at every start, so that a restarted worker never takes
    /// itself for its predecessor.
    WorkerId,
    "worker id"
);
uuid_id!(
    /// A re-grade.
    RegradeId,
    "re-grade id"
);

uuid_id!(
    /// A webhook of an organiser's.
    WebhookId,
    "webhook id"
);

/// The fencing number of a submission: each claim adds one, and every write of a worker names
/// the one that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub i64);

impl Generation {
    /// Before the first claim.
    pub const ZERO: Self = Self(0);

    /// The generation of the next claim.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of an event in addresses: 1–64 characters of `a-z`, `0-9` and `-`, not beginning or
/// ending with `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventSlug(String);

impl EventSlug {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventSlug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for EventSlug {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = |detail| InvalidId { kind: "event slug", detail };
        if text.is_empty() || text.len() > 64 {
            return Err(invalid("expected 1 to 64 characters"));
        }
        if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(invalid("only a-z, 0-9 and - may stand in it"));
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(invalid("it may not begin or end with -"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for EventSlug {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<EventSlug> for String {
    fn from(slug: EventSlug) -> Self {
        slug.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_checked_on_both_sides_of_every_limit() {
        assert!("a".parse::<EventSlug>().is_ok());
        assert!("a".repeat(64).parse::<EventSlug>().is_ok());
        for bad in ["", &"a".repeat(65), "A", "a_b", "-a", "a-", "é", "a b", "a/b"] {
            assert!(bad.parse::<EventSlug>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ids_take_only_hyphenated_uuids() {
        let id = SubmissionId::new();
        assert_eq!(id.to_string().parse::<SubmissionId>(), Ok(id));
        let braced = format!("{{{id}}}");
        let simple = id.uuid().simple().to_string();
        for bad in ["", "x", &braced, &simple, &format!("{id} ")] {
            assert!(bad.parse::<SubmissionId>().is_err(), "{bad:?}");
        }
    }
}
