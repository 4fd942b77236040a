//! How much a copy may take: sizes against bombs, a rate against registries that drip.

use std::time::Duration;

use portcall_shared::registry::ImageLimits;

/// Most entries of an image: the largest official images have about 100,000.
pub const MOST_ENTRIES: u64 = 200_000;

/// What an image may be, and how it must come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyLimits {
    /// What its manifest may say.
    pub image: ImageLimits,
    /// Its size when unpacked, in bytes.
    pub unpacked: u64,
    /// Entries of all its layers.
    pub entries: u64,
    /// How much larger a layer may become.
    pub ratio: Ratio,
    /// How fast its registry must deliver.
    pub rate: Rate,
}

/// How many times larger than it came a layer may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    /// So many times.
    pub most: u64,
    /// Judged only of what is larger when unpacked than so many bytes. A layer that only adds a
    /// user has an honest ratio of 700: `lastlog` is a file of zeros, 29 MiB for the user 100,000.
    pub above: u64,
}

/// The least that a registry must deliver while it is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bytes a second.
    pub least: u64,
    /// On average over this time.
    pub over: Duration,
}

impl CopyLimits {
    /// The limits of an image.
    #[must_use]
    pub fn of(image: ImageLimits, unpacked: u64) -> Self {
        Self {
            image,
            unpacked,
            entries: MOST_ENTRIES,
            ratio: Ratio { most: 200, above: 64 * 1024 * 1024 },
            rate: Rate { least: 64 * 1024, over: Duration::from_secs(20) },
        }
    }
}
