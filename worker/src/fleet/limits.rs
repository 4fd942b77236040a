//! How much a stranger's container may use: a value, so that it can be shown, stored with a
//! verdict and tested. Which fields of a container request carry it is `request`'s affair.

use std::ops::RangeInclusive;

/// How tightly a container is held. An event chooses one for its images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// For unmodified images that start as root and bind port 80: the image's own user, a
    /// writable root, five capabilities.
    Ordinary,
    /// In addition a read-only root, a user id of the slot's own, no capability at all.
    Strict,
}

/// The limits of one container. Every container has all of them; there is no "unlimited".
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Memory in MiB, without swap. 16 to 4096; 256.
    pub memory_mib: u32,
    /// Processors. 0.05 to 8; 0.5.
    pub cpus: f64,
    /// Tasks (processes and threads together). 32 to 512; 128 in `ordinary` (Apache holds 55),
    /// 64 in `strict`.
    pub pids: u32,
    /// Open files for each process. 64 to 65,536; 1024 in `ordinary` (nginx and Apache reckon
    /// with it), 256 in `strict`.
    pub nofile: u32,
    /// Size of the tmpfs on `/tmp` in MiB; it counts against the memory. 1 to 1024; 16.
    pub tmp_mib: u32,
    /// Files and directories in `/tmp`. 16 to 65,536; 1024.
    pub tmp_inodes: u32,
    /// Size of the tmpfs on each path that the image declares as a volume, in MiB; it counts
    /// against the memory. 1 to 1024; 64 in `ordinary` (a database starts in it), 16 in `strict`.
    pub volume_mib: u32,
    /// Files and directories in each volume. 16 to 65,536; 4096.
    pub volume_inodes: u32,
    /// Size of `/dev/shm` in MiB. 1 to 64; 1.
    pub shm_mib: u32,
    /// What is kept of the container's output, in KiB. 16 to 4096; 256.
    pub log_kib: u32,
    /// What may be written to the root in MiB, where it is writable. 1 to 4096; 256. Carried by
    /// a project quota where the node has one, else by whoever watches [`super::Fleet::written`].
    pub root_mib: u32,
}

/// A limit outside the range in which the platform works.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("limit {name} is {value}, it must lie between {least} and {most}")]
pub struct LimitOutOfRange {
    /// The field.
    pub name: &'static str,
    /// What was asked for.
    pub value: f64,
    /// The smallest value that works.
    pub least: f64,
    /// The largest value that is allowed.
    pub most: f64,
}

impl Limits {
    /// What holds where an event says nothing else.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        let ordinary = Self {
            memory_mib: 256,
            cpus: 0.5,
            pids: 128,
            nofile: 1024,
            tmp_mib: 16,
            tmp_inodes: 1024,
            volume_mib: 64,
            volume_inodes: 4096,
            shm_mib: 1,
            log_kib: 256,
            root_mib: 256,
        };
        match profile {
            Profile::Ordinary => ordinary,
            Profile::Strict => Self { pids: 64, nofile: 256, volume_mib: 16, ..ordinary },
        }
    }

    /// Every limit that lies outside its documented range.
    #[must_use]
    pub fn out_of_range(&self) -> Vec<LimitOutOfRange> {
        let ranges: [(&'static str, f64, RangeInclusive<f64>); 11] = [
            ("memory_mib", self.memory_mib.into(), 16.0..=4096.0),
            ("cpus", self.cpus, 0.05..=8.0),
            ("pids", self.pids.into(), 32.0..=512.0),
            ("nofile", self.nofile.into(), 64.0..=65_536.0),
            ("tmp_mib", self.tmp_mib.into(), 1.0..=1024.0),
            ("tmp_inodes", self.tmp_inodes.into(), 16.0..=65_536.0),
            ("volume_mib", self.volume_mib.into(), 1.0..=1024.0),
            ("volume_inodes", self.volume_inodes.into(), 16.0..=65_536.0),
            ("shm_mib", self.shm_mib.into(), 1.0..=64.0),
            ("log_kib", self.log_kib.into(), 16.0..=4096.0),
            ("root_mib", self.root_mib.into(), 1.0..=4096.0),
        ];
        ranges
            .into_iter()
            .filter(|(_, value, range)| !range.contains(value))
            .map(|(name, value, range)| LimitOutOfRange {
                name,
                value,
                least: *range.start(),
                most: *range.end(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_lie_within_their_ranges() {
        for profile in [Profile::Ordinary, Profile::Strict] {
            assert_eq!(Limits::of(profile).out_of_range(), []);
        }
    }

    #[test]
    fn every_limit_outside_its_range_is_named() {
        let mut limits = Limits::of(Profile::Strict);
        limits.memory_mib = 0;
        limits.pids = 100_000;
        limits.cpus = f64::NAN;
        let names: Vec<_> = limits.out_of_range().into_iter().map(|limit| limit.name).collect();
        assert_eq!(names, ["memory_mib", "cpus", "pids"]);
    }
}
