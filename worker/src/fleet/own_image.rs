//! Images of our own, made by the worker itself: nothing but a static program, in an archive as
//! `docker load` takes it. A tag carries the program's digest, so that a node with the right one
//! needs nothing, and an upgraded worker does not meet an old program.

use std::io;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::EntryType;

/// A program of ours that runs in an image of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnImage {
    /// Asks questions inside a slot.
    Prober,
    /// Tries inside a slot what must not work there.
    Canary,
}

impl OwnImage {
    fn name(self) -> &'static str {
        match self {
            Self::Prober => "prober",
            Self::Canary => "canary",
        }
    }

    fn config(self) -> Value {
        match self {
            Self::Prober => json!({ "Entrypoint": ["/prober"], "WorkingDir": "/" }),
            // A volume, as strangers declare them: what becomes of it is part of what is tried.
            Self::Canary => json!({
                "Entrypoint": ["/canary"], "WorkingDir": "/", "Volumes": { "/data": {} },
            }),
        }
    }

    /// Folders that are there as in any image, so that something can be tried in them.
    fn folders(self) -> &'static [&'static str] {
        match self {
            Self::Prober => &[],
            Self::Canary => &["tmp/"],
        }
    }

    /// The name of the image around a binary.
    pub(super) fn tag(self, binary: &[u8]) -> String {
        format!("portcall-{}:{}", self.name(), &hex_digest(binary)[..16])
    }

    /// The archive of the image around a binary, for the platform of a node.
    pub(super) fn archive(self, binary: &[u8], os: &str, arch: &str) -> io::Result<Vec<u8>> {
        let mut layer = tar::Builder::new(Vec::new());
        append(&mut layer, self.name(), EntryType::Regular, binary, 0o755)?;
        for folder in self.folders() {
            append(&mut layer, folder, EntryType::Directory, b"", 0o1777)?;
        }
        let layer = layer.into_inner()?;
        let config = json!({
            "architecture": arch,
            "os": os,
            "created": "1970-01-01T00:00:00Z",
            "config": self.config(),
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", hex_digest(&layer))] },
        })
        .to_string();
        let config_name = format!("{}.json", hex_digest(config.as_bytes()));
        let manifest = json!([{
            "Config": config_name, "RepoTags": [self.tag(binary)], "Layers": ["layer.tar"],
        }]);
        let mut archive = tar::Builder::new(Vec::new());
        append(&mut archive, &config_name, EntryType::Regular, config.as_bytes(), 0o644)?;
        append(&mut archive, "layer.tar", EntryType::Regular, &layer, 0o644)?;
        append(
            &mut archive,
            "manifest.json",
            EntryType::Regular,
            manifest.to_string().as_bytes(),
            0o644,
        )?;
        archive.into_inner()
    }
}

/// The same bytes give the same archive: no time and no user of ours goes into it.
fn append(
    archive: &mut tar::Builder<Vec<u8>>,
    name: &str,
    kind: EntryType,
    bytes: &[u8],
    mode: u32,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    archive.append_data(&mut header, name, bytes)
}

fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_binary_gives_the_same_image() {
        let own = OwnImage::Prober;
        let made =
            |binary: &[u8]| (own.tag(binary), own.archive(binary, "linux", "amd64").unwrap());
        let [first, again, other] = [made(b"one"), made(b"one"), made(b"two")];
        assert_eq!(first, again);
        assert_ne!(first.0, other.0);
        assert_eq!(first.0, "portcall-prober:7692c3ad3540bb80");
        assert_eq!(OwnImage::Canary.tag(b"one"), "portcall-canary:7692c3ad3540bb80");
    }

    #[test]
    fn the_archive_holds_what_the_manifest_names() {
        for own in [OwnImage::Prober, OwnImage::Canary] {
            let image = own.archive(b"binary", "linux", "arm64").unwrap();
            let mut archive = tar::Archive::new(image.as_slice());
            let mut names = Vec::new();
            for entry in archive.entries().unwrap() {
                names.push(entry.unwrap().path().unwrap().display().to_string());
            }
            assert_eq!(names.len(), 3);
            assert!(names[0].ends_with(".json"));
            assert_eq!(names[1..], ["layer.tar", "manifest.json"]);
        }
    }
}
