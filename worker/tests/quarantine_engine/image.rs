//! Images made here: honest ones, and ones that no builder makes.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use portcall_shared::domain::image::Digest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub(crate) const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}").parse().unwrap()
}

/// A layer as it is kept, and what its image says of it.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) blob: Vec<u8>,
    pub(crate) diff_id: Digest,
    pub(crate) size: u64,
    pub(crate) media_type: &'static str,
}

impl Layer {
    /// Gzipped, from an archive of whatever kind.
    pub(crate) fn gzip(archive: &[u8]) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(archive).unwrap();
        Self::of(encoder.finish().unwrap(), digest(archive))
    }

    pub(crate) fn of(blob: Vec<u8>, diff_id: Digest) -> Self {
        Self { size: blob.len() as u64, blob, diff_id, media_type: LAYER }
    }

    /// An honest layer with one file.
    pub(crate) fn file(name: &str, content: &[u8]) -> Self {
        Self::gzip(&archive(&[(name, content)]))
    }

    /// An honest layer that cannot be compressed to less than so many bytes.
    pub(crate) fn noise(name: &str, bytes: usize) -> Self {
        let mut noise = Vec::with_capacity(bytes + 32);
        let mut seed = Sha256::digest(name);
        while noise.len() < bytes {
            noise.extend_from_slice(&seed);
            seed = Sha256::digest(seed);
        }
        Self::file(name, &noise)
    }

    pub(crate) fn digest(&self) -> Digest {
        digest(&self.blob)
    }
}

pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// An archive with one entry of this kind.
pub(crate) fn archive_with(kind: tar::EntryType, name: &str, link: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(0);
    header.set_mode(0o644);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_device_major(0).unwrap();
    header.set_device_minor(0).unwrap();
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend([0; 1024]);
    bytes
}

/// An image: what a registry keeps of it.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) layers: Vec<Layer>,
    pub(crate) config: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
}

impl Image {
    pub(crate) fn of(layers: Vec<Layer>) -> Self {
        Self::saying(layers, "x")
    }

    /// The same, with another configuration and so another digest.
    pub(crate) fn saying(layers: Vec<Layer>, word: &str) -> Self {
        let diff_ids: Vec<&str> = layers.iter().map(|l| l.diff_id.as_str()).collect();
        let config = json!({
            "architecture": "amd64", "os": "linux",
            "config": { "Cmd": ["/app", word] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = config.to_string().into_bytes();
        let listed: Vec<Value> = layers
            .iter()
            .map(|layer| {
                json!({ "mediaType": layer.media_type, "size": layer.size, "digest": layer.digest() })
            })
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "size": config.len(), "digest": digest(&config) },
            "layers": listed,
        });
        Self { layers, config, manifest: manifest.to_string().into_bytes() }
    }

    pub(crate) fn digest(&self) -> Digest {
        digest(&self.manifest)
    }

    pub(crate) fn config_digest(&self) -> Digest {
        digest(&self.config)
    }
}
