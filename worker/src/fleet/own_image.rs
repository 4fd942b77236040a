//! Images of our own, made by the worker itself: nothing but a static program, in an archive as
//! `docker load` takes it, or in the parts that a registry keeps. A tag carries the program's digest,
//! so that a node with the right one needs nothing, and an upgraded worker does not meet an old
//! program.

use std::io::{self, Write};

use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::EntryType;

/// A program of ours that runs in an image of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
        let layer = self.layer(binary)?;
        let config = self.configuration(&layer, os, arch);
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

    /// What a registry keeps of it, for the platform of a node.
    pub(super) fn parts(self, binary: &[u8], os: &str, arch: &str) -> io::Result<Parts> {
        let layer = self.layer(binary)?;
        let config = self.configuration(&layer, os, arch).into_bytes();
        let mut zipped = GzBuilder::new().write(Vec::new(), Compression::default());
        zipped.write_all(&layer)?;
        let layer = zipped.finish()?;
        let entry = |kind: &str, blob: &[u8]| {
            json!({
                "mediaType": kind, "size": blob.len(), "digest": digest(blob),
            })
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": entry("application/vnd.docker.container.image.v1+json", &config),
            "layers": [entry("application/vnd.docker.image.rootfs.diff.tar.gzip", &layer)],
        });
        Ok(Parts { layer, config, manifest: manifest.to_string().into_bytes() })
    }

    fn layer(self, binary: &[u8]) -> io::Result<Vec<u8>> {
        let mut layer = tar::Builder::new(Vec::new());
        append(&mut layer, self.name(), EntryType::Regular, binary, 0o755)?;
        for folder in self.folders() {
            append(&mut layer, folder, EntryType::Directory, b"", 0o1777)?;
        }
        layer.into_inner()
    }

    fn configuration(self, layer: &[u8], os: &str, arch: &str) -> String {
        json!({
            "architecture": arch,
            "os": os,
            "created": "1970-01-01T00:00:00Z",
            "config": self.config(),
            "rootfs": { "type": "layers", "diff_ids": [digest(layer)] },
        })
        .to_string()
    }
}

/// The media type of [`Parts::manifest`].
pub(super) const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// What a registry keeps of an image.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// The only layer, compressed.
    pub(super) layer: Vec<u8>,
    /// The configuration.
    pub(super) config: Vec<u8>,
    /// The manifest, which names both.
    pub(super) manifest: Vec<u8>,
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

/// As registries write it.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex_digest(bytes))
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

    #[test]
    fn a_registry_is_given_what_the_manifest_names() {
        for own in [OwnImage::Prober, OwnImage::Canary] {
            let parts = own.parts(b"binary", "linux", "arm64").unwrap();
            assert_eq!(parts, own.parts(b"binary", "linux", "arm64").unwrap(), "always the same");
            let manifest: Value = serde_json::from_slice(&parts.manifest).unwrap();
            assert_eq!(manifest["config"]["digest"], digest(&parts.config));
            assert_eq!(manifest["layers"][0]["digest"], digest(&parts.layer));
            let config: Value = serde_json::from_slice(&parts.config).unwrap();
            let mut layer = Vec::new();
            io::copy(&mut flate2::read::GzDecoder::new(&*parts.layer), &mut layer).unwrap();
            assert_eq!(config["rootfs"]["diff_ids"][0], digest(&layer));
        }
    }
}
