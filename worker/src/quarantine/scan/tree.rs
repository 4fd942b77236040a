//! Where the entries of an archive lie, and what may not lie there.
//!
//! Engines unpack each layer in a directory of its own, as its root, so a symbolic link of an
//! earlier layer is not there to be followed; only this archive's are remembered, by a keyed hash
//! of the path.
//!
//! Refused is what no packer writes and what would make an engine write, link, mount or wait
//! elsewhere than the name says. What is merely odd (absolute names, links that climb over the
//! root) engines put under the container's root, and so it is let through.
//!
//! Under `dev`, `proc` and `sys` an engine mounts its own, so what `docker export` leaves there is
//! harmless: directories, empty files, the usual links, a few devices. Anything else there is bait
//! for the engine's runtime (CVE-2025-31133, CVE-2025-52565, CVE-2019-19921).
//!
//! Engines read `/etc/passwd` and `/etc/group` whole. Debian, Alpine and distroless images have
//! them as plain files, those of Nix and Guix as links into their stores, or all of `/etc` as one,
//! and which layer a link leads to cannot be known here. So whatever is called `etc/passwd`
//! anywhere in an image is a file of bounded size or a link to another `etc/passwd`, and what is
//! called `etc` is a directory or a link to another `etc`: from links to links, only a bounded file
//! can be at the end.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, Hasher, RandomState},
};

use super::{
    MAX_ACCOUNTS, MAX_DEPTH, MAX_PART, MAX_PATH, TarFault,
    header::{Header, Kind},
    refused,
};

/// Where an engine mounts its own.
const MOUNTED: [&[u8]; 3] = [b"dev", b"proc", b"sys"];

/// Devices that packers find in a `dev`, by major and minor number: null, zero, full. Not those that
/// never end (random) or wait (terminals): an engine reads `/etc/passwd` itself before every start,
/// and a link leads it to them.
const DEVICES: [(i64, i64); 3] = [(1, 3), (1, 5), (1, 7)];

/// The links that packers find in a `dev`.
const LINKS: [(&[u8], &[u8]); 14] = [
    (b"fd", b"/proc/self/fd"),
    (b"stdin", b"/proc/self/fd/0"),
    (b"stdout", b"/proc/self/fd/1"),
    (b"stderr", b"/proc/self/fd/2"),
    (b"fd", b"../proc/self/fd"),
    (b"stdin", b"../proc/self/fd/0"),
    (b"stdout", b"../proc/self/fd/1"),
    (b"stderr", b"../proc/self/fd/2"),
    (b"core", b"/proc/kcore"),
    (b"ptmx", b"pts/ptmx"),
    (b"ptmx", b"/dev/pts/ptmx"),
    (b"shm", b"/run/shm"),
    (b"initctl", b"/run/initctl"),
    (b"log", b"/run/systemd/journal/dev-log"),
];

/// Before the name of what a layer takes away.
const WHITEOUT: &[u8] = b".wh.";
/// Says that a directory hides what earlier layers have in it.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What lies at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Directory,
    Symlink,
    /// Taken away, which engines do by a device of its name.
    Gone,
    Other,
}

#[derive(Debug, Default)]
pub(super) struct Tree {
    keys: RandomState,
    nodes: HashMap<u64, Node>,
}

/// A name as the parts of a path under the root.
type Path<'a> = Vec<&'a [u8]>;

impl Tree {
    /// Adds an entry, if it may be. Gives how many directories an engine makes for it that the
    /// archive did not name.
    pub(super) fn add(&mut self, header: &Header) -> Result<u64, TarFault> {
        let name = header.name.as_slice();
        let path = parts(name, name)?;
        let Some((last, above)) = path.split_last() else {
            return match header.kind {
                Kind::Directory => Ok(0),
                _ => Err(refused(name, "it would replace the root")),
            };
        };
        let made = self.enter_above(name, above)?;
        if last.starts_with(WHITEOUT) {
            return self.whiteout(header, last, above).map(|()| made);
        }
        check_accounts(header, &path)?;
        if MOUNTED.contains(&path[0]) {
            check_mounted(header, &path)?;
        } else if matches!(header.kind, Kind::CharDevice | Kind::BlockDevice | Kind::Fifo) {
            return Err(refused(name, "it is a device or a pipe"));
        }
        let node = match header.kind {
            Kind::Directory => Node::Directory,
            Kind::Symlink => {
                check_target(header)?;
                Node::Symlink
            }
            Kind::HardLink => self.linked(header, &path)?,
            _ => Node::Other,
        };
        let before = self.nodes.insert(self.key(&path), node);
        if before == Some(Node::Directory) && node != Node::Directory {
            return Err(refused(name, "it would replace a directory of the same layer"));
        }
        Ok(made)
    }

    /// Every part but the last must be a directory. One that is not there yet is made, as engines
    /// make it.
    fn enter_above(&mut self, name: &[u8], above: &[&[u8]]) -> Result<u64, TarFault> {
        let mut hasher = self.keys.build_hasher();
        let mut made = 0;
        for part in above {
            if part.starts_with(WHITEOUT) {
                return Err(refused(name, "it lies in something that is taken away"));
            }
            step(&mut hasher, part);
            match self.nodes.entry(hasher.clone().finish()) {
                Entry::Vacant(free) => {
                    free.insert(Node::Directory);
                    made += 1;
                }
                Entry::Occupied(there) => match there.get() {
                    Node::Directory => {}
                    Node::Symlink => {
                        return Err(refused(name, "its path goes through a symbolic link"));
                    }
                    Node::Gone => {
                        return Err(refused(name, "it lies in something that is taken away"));
                    }
                    Node::Other => {
                        return Err(refused(name, "its path goes through something else"));
                    }
                },
            }
        }
        Ok(made)
    }

    fn whiteout(&mut self, header: &Header, last: &[u8], above: &[&[u8]]) -> Result<(), TarFault> {
        let name = header.name.as_slice();
        if header.kind != Kind::File || header.size != 0 {
            return Err(refused(name, "it takes something away and is not an empty file"));
        }
        if last == OPAQUE {
            return Ok(());
        }
        let hidden = &last[WHITEOUT.len()..];
        if matches!(hidden, b"" | b"." | b"..") || hidden.starts_with(WHITEOUT) {
            return Err(refused(name, "what it takes away has no name"));
        }
        let gone: Path<'_> = above.iter().copied().chain([hidden]).collect();
        match self.nodes.insert(self.key(&gone), Node::Gone) {
            None => Ok(()),
            Some(Node::Gone) => Err(refused(name, "it takes the same away twice")),
            Some(_) => Err(refused(name, "it takes away what the same layer brings")),
        }
    }

    /// What a hard link becomes: its target, which must lie in the same layer before it.
    fn linked(&self, header: &Header, path: &[&[u8]]) -> Result<Node, TarFault> {
        let name = header.name.as_slice();
        let target = parts(&header.link, name)?;
        if target.first().is_some_and(|first| MOUNTED.contains(first)) {
            return Err(refused(name, "it is a hard link to what an engine mounts"));
        }
        if target == path {
            return Err(refused(name, "it is a hard link to itself"));
        }
        match self.nodes.get(&self.key(&target)) {
            Some(node @ (Node::Symlink | Node::Other)) => Ok(*node),
            Some(Node::Directory) => Err(refused(name, "it is a hard link to a directory")),
            None | Some(Node::Gone) => {
                Err(refused(name, "it is a hard link to what is not in its layer"))
            }
        }
    }

    fn key(&self, path: &[&[u8]]) -> u64 {
        let mut hasher = self.keys.build_hasher();
        for part in path {
            step(&mut hasher, part);
        }
        hasher.finish()
    }
}

fn step(hasher: &mut impl Hasher, part: &[u8]) {
    hasher.write(part);
    hasher.write_u8(b'/');
}

/// A name as engines normalise it: under the root, without empty parts and single dots.
fn parts<'a>(path: &'a [u8], name: &[u8]) -> Result<Path<'a>, TarFault> {
    if path.len() > MAX_PATH {
        return Err(refused(name, "its path is too long"));
    }
    if path.is_empty() {
        return Err(refused(name, "it has an empty path"));
    }
    let mut kept = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(refused(name, "its path contains `..`")),
            part if part.len() > MAX_PART => return Err(refused(name, "its name is too long")),
            part => kept.push(part),
        }
    }
    if kept.len() > MAX_DEPTH {
        return Err(refused(name, "its path has too many parts"));
    }
    Ok(kept)
}

fn check_target(header: &Header) -> Result<(), TarFault> {
    if header.link.is_empty() || header.link.len() > MAX_PATH {
        return Err(refused(&header.name, "it is a symbolic link to nothing"));
    }
    Ok(())
}

/// What leads to the accounts, or is them.
fn check_accounts(header: &Header, path: &[&[u8]]) -> Result<(), TarFault> {
    let tail = match path {
        [.., b"etc", b"passwd" | b"group"] => &path[path.len() - 2..],
        [.., b"etc"] => &path[path.len() - 1..],
        _ => return Ok(()),
    };
    let name = &header.name;
    match header.kind {
        Kind::Directory => Ok(()),
        Kind::Symlink | Kind::HardLink => {
            let mut target: Path<'_> = header.link.split(|byte| *byte == b'/').collect();
            target.retain(|part| !matches!(*part, b"" | b"."));
            match target.ends_with(tail) {
                true => Ok(()),
                false if tail.len() == 1 => {
                    Err(refused(name, "it is `etc` and a link to what is not called so"))
                }
                false => Err(refused(
                    name,
                    "it holds the accounts and is a link to what is not called so",
                )),
            }
        }
        // The words name the limit.
        _ if tail.len() == 2 && header.size > MAX_ACCOUNTS => {
            Err(refused(name, "it holds the accounts, for which 1 MiB is the limit"))
        }
        _ => Ok(()),
    }
}

fn check_mounted(header: &Header, path: &[&[u8]]) -> Result<(), TarFault> {
    let fine = match header.kind {
        Kind::Directory => true,
        _ if path.len() == 1 || path[0] != b"dev" => false,
        Kind::File => header.size == 0,
        Kind::CharDevice => DEVICES.contains(&header.device),
        Kind::Symlink => path.len() == 2 && LINKS.contains(&(path[1], header.link.as_slice())),
        _ => false,
    };
    if fine { Ok(()) } else { Err(refused(&header.name, "it lies where an engine mounts its own")) }
}
