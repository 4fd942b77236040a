//! Manifests and indexes: hostile JSON in, what is needed out.
//!
//! Engines read the same documents, some with other parsers; what they might understand otherwise
//! is refused ([`strict`]), and so is a document that is both a manifest and an index, or says of
//! itself that it is another kind than the registry says. Of an index the entry for the nodes'
//! platform is taken, by system, architecture and variant; there is no fallback.

mod config;
mod shape;
mod strict;

use std::collections::BTreeMap;

use serde_json::Value;

pub(super) use self::config::too_large as config_too_large;
use self::strict::Object;
pub use self::{
    config::{Config, MAX_COMMAND, MAX_ID, MAX_VOLUMES, MAX_WORDS, check_config},
    strict::MAX_DEPTH,
};
use super::{ImageLimits, Unresolved, refuse};
use crate::domain::{
    image::Digest,
    text::{defused, defused_line},
    verdict::ParticipantCode,
};

/// Largest manifest that is read, in bytes.
pub const MAX_MANIFEST: usize = 1024 * 1024;
/// Largest image configuration that is read, in bytes.
pub const MAX_CONFIG: usize = 256 * 1024;
/// How many of an index's platforms are named when none of them fits.
const SHOWN_PLATFORMS: usize = 5;

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// What is asked for, and the only types that are read.
pub const ACCEPTED: [&str; 4] = [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST];
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
const LAYERS: [(&str, Compression); 4] = [
    ("application/vnd.docker.image.rootfs.diff.tar.gzip", Compression::Gzip),
    ("application/vnd.oci.image.layer.v1.tar+gzip", Compression::Gzip),
    ("application/vnd.oci.image.layer.v1.tar+zstd", Compression::Zstd),
    ("application/vnd.oci.image.layer.v1.tar", Compression::None),
];

/// A manifest, or the choice that an index offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A manifest.
    Manifest(Manifest),
    /// An index; this is the entry for the nodes' platform.
    Index(Chosen),
}

/// The entry of an index for the nodes' platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The manifest's digest.
    pub digest: Digest,
    /// Its size in bytes, as the index declares it.
    pub size: u64,
}

/// What is needed of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The configuration's digest.
    pub config: Digest,
    /// The configuration's size in bytes, as declared.
    pub config_size: u64,
    /// The layers, the lowest first; the same one may be there several times.
    pub layers: Vec<LayerEntry>,
}

/// A layer as a manifest declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerEntry {
    /// The digest of the blob, as it is compressed.
    pub digest: Digest,
    /// The size of the blob in bytes, as it is compressed.
    pub size: u64,
    /// How the tar archive is compressed, by its media type.
    pub compression: Compression,
}

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// It is a plain tar archive.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Manifest {
    /// The compressed size of all layers, in bytes, as declared.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.size))
    }
}

fn invalid(message: impl Into<String>) -> Unresolved {
    refuse(ParticipantCode::ImageManifestInvalid, message)
}

/// A stranger's word in a sentence of ours.
fn shown(text: &str) -> String {
    defused_line(text, 80)
}

/// Reads a manifest or an index.
///
/// # Errors
/// When it is not one that is understood, or has no entry for the nodes' platform.
pub fn read(body: &[u8], media_type: &str, limits: &ImageLimits) -> Result<Found, Unresolved> {
    let media_type = media_type.split(';').next().map(str::trim).unwrap_or_default();
    let (what, is_index) = match media_type {
        OCI_INDEX | DOCKER_LIST => ("index", true),
        OCI_MANIFEST | DOCKER_MANIFEST => ("manifest", false),
        "" => return Err(invalid("the registry does not say what it answered with")),
        other => {
            let other = shown(other);
            let message = format!("the registry answered with `{other}`, which is not an image");
            return Err(invalid(message));
        }
    };
    let wrong = |why: String| invalid(format!("the image's {what} is not valid: {why}"));
    let value = strict::parse(body).map_err(wrong)?;
    let top = top(&value, media_type, is_index).map_err(wrong)?;
    match is_index {
        true => choose(&entries(top).map_err(wrong)?, limits).map(Found::Index),
        false => manifest(top).map(Found::Manifest),
    }
}

/// The document, if it is one thing only.
fn top<'a>(value: &'a Value, media_type: &str, is_index: bool) -> Result<Object<'a>, String> {
    let own = [
        "schemaVersion",
        "mediaType",
        "artifactType",
        "config",
        "layers",
        "manifests",
        "subject",
        "annotations",
        "fsLayers",
        "history",
    ];
    let top = Object::of(value, "it", &own)?;
    if top.get("schemaVersion").and_then(Value::as_u64) != Some(2) {
        return Err("only schema version 2 is understood".to_owned());
    }
    match top.text("mediaType")? {
        Some(own) if own != media_type => {
            return Err(format!("it says that it is `{}`", shown(own)));
        }
        // Registries refuse to keep such a one of Docker's.
        None if media_type == DOCKER_MANIFEST => {
            return Err("it has no `mediaType`".to_owned());
        }
        Some(_) | None => {}
    }
    top.words("annotations")?;
    top.text("artifactType")?;
    if let Some(subject) = top.get("subject") {
        descriptor(subject, "its subject")?;
    }
    let others: &[&str] = match is_index {
        true => &["config", "layers", "fsLayers", "history"],
        false => &["manifests", "fsLayers", "history"],
    };
    match others.iter().find(|key| top.get(key).is_some()) {
        Some(other) => Err(format!("it also has `{other}`, so that it could be read as another")),
        None => Ok(top),
    }
}

/// What a manifest or an index says of something that it names.
struct Descriptor<'a> {
    media_type: &'a str,
    digest: &'a str,
    size: u64,
    urls: usize,
    platform: Option<Platform<'a>>,
}

#[derive(Clone, Copy)]
struct Platform<'a> {
    os: &'a str,
    architecture: &'a str,
    variant: &'a str,
}

fn descriptor<'a>(value: &'a Value, what: &str) -> Result<Descriptor<'a>, String> {
    let own =
        ["mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType"];
    let object = Object::of(value, what, &own)?;
    let platform = match object.get("platform") {
        Some(value) => {
            let own = ["os", "architecture", "variant", "os.version", "os.features", "features"];
            let platform = Object::of(value, "a platform", &own)?;
            platform.text("os.version")?;
            for key in ["os.features", "features"] {
                platform.texts(key)?;
            }
            Some(Platform {
                os: platform.text("os")?.unwrap_or_default(),
                architecture: platform.text("architecture")?.unwrap_or_default(),
                variant: platform.text("variant")?.unwrap_or_default(),
            })
        }
        None => None,
    };
    object.words("annotations").map_err(|why| format!("{what}: {why}"))?;
    object.text("artifactType")?;
    if object.text("data")?.is_some_and(|data| !shape::is_base64(data)) {
        return Err(format!("{what} has `data` that is not in Base64"));
    }
    Ok(Descriptor {
        media_type: object.text("mediaType")?.unwrap_or_default(),
        digest: object.text("digest")?.ok_or_else(|| format!("{what} has no digest"))?,
        size: object.size("size").map_err(|why| format!("{what}: {why}"))?,
        urls: object.list("urls")?.unwrap_or_default().len(),
        platform,
    })
}

fn entries(top: Object<'_>) -> Result<Vec<Descriptor<'_>>, String> {
    let entries = top.list("manifests")?.ok_or("it lists no manifests")?;
    entries.iter().map(|value| descriptor(value, "an entry")).collect()
}

/// The first entry whose platform is the nodes': same system, same architecture, and no variant
/// but the one that every processor of that architecture has. Two such entries are one platform
/// twice; engines take the first too.
fn choose(entries: &[Descriptor<'_>], limits: &ImageLimits) -> Result<Chosen, Unresolved> {
    let fits = |entry: &&Descriptor<'_>| {
        entry.platform.is_some_and(|p| {
            p.os == "linux"
                && p.architecture == limits.architecture
                && is_baseline(&limits.architecture, p.variant)
        })
    };
    let Some(chosen) = entries.iter().find(fits) else {
        return Err(refuse(ParticipantCode::ImageWrongPlatform, no_entry(entries, limits)));
    };
    match chosen.media_type {
        OCI_MANIFEST | DOCKER_MANIFEST => {}
        OCI_INDEX | DOCKER_LIST => return Err(invalid("the index points to another index")),
        other => {
            let message = format!("the index points to `{}`, which is not an image", shown(other));
            return Err(invalid(message));
        }
    }
    if chosen.urls > 0 {
        return Err(foreign("the index"));
    }
    let digest = chosen.digest.parse();
    let digest =
        digest.map_err(|_| invalid("the index holds an entry without a SHA-256 digest"))?;
    Ok(Chosen { digest, size: chosen.size })
}

/// Whether every processor of the architecture has this variant of it.
fn is_baseline(architecture: &str, variant: &str) -> bool {
    matches!((architecture, variant), (_, "") | ("amd64", "v1") | ("arm64", "v8"))
}

fn no_entry(entries: &[Descriptor<'_>], limits: &ImageLimits) -> String {
    let mut offered: Vec<String> = entries
        .iter()
        .filter_map(|entry| entry.platform)
        .filter(|p| p.os != "unknown")
        .map(|p| named(p.os, p.architecture, p.variant))
        .collect();
    offered.dedup();
    let more = if offered.len() > SHOWN_PLATFORMS { ", …" } else { "" };
    offered.truncate(SHOWN_PLATFORMS);
    let offered = match offered.is_empty() {
        true => "it names no platform".to_owned(),
        false => format!("it has {}{more}", offered.join(", ")),
    };
    format!("the image has no variant for {}: {offered}", limits.platform())
}

/// A platform in a sentence; whatever stands in it is harmless and short.
fn named(os: &str, architecture: &str, variant: &str) -> String {
    let word = |text: &str| -> String {
        match text.is_empty() {
            true => "(nothing)".to_owned(),
            false => defused(text.as_bytes(), 30).replace(['\n', '\t'], "\u{fffd}"),
        }
    };
    let variant = if variant.is_empty() { String::new() } else { format!("/{}", word(variant)) };
    format!("{}/{}{variant}", word(os), word(architecture))
}

fn manifest(top: Object<'_>) -> Result<Manifest, Unresolved> {
    let wrong = |why: String| invalid(format!("the image's manifest is not valid: {why}"));
    let config = top.get("config").ok_or_else(|| wrong("it has no configuration".to_owned()))?;
    let config = descriptor(config, "its configuration").map_err(wrong)?;
    if !CONFIGS.contains(&config.media_type) {
        let kind = shown(config.media_type);
        let message = format!("it is an artifact (`{kind}`), not an image that can be run");
        return Err(invalid(message));
    }
    if config.urls > 0 {
        return Err(foreign("the configuration"));
    }
    if config.size > MAX_CONFIG as u64 {
        return Err(config_too_large());
    }
    let layers = top.list("layers").map_err(wrong)?.unwrap_or_default();
    if layers.is_empty() {
        return Err(invalid("the image has no layers, so that there is nothing to run"));
    }
    let layers: Vec<LayerEntry> = layers.iter().map(layer).collect::<Result<_, _>>()?;
    let mut sizes = BTreeMap::new();
    if layers.iter().any(|l| *sizes.entry(&l.digest).or_insert(l.size) != l.size) {
        return Err(wrong("it gives the same layer two sizes".to_owned()));
    }
    let digest = config.digest.parse();
    Ok(Manifest {
        config: digest.map_err(|_| invalid("the configuration has no SHA-256 digest"))?,
        config_size: config.size,
        layers,
    })
}

fn foreign(what: &str) -> Unresolved {
    let message = format!("{what} of the image is kept outside its registry");
    refuse(ParticipantCode::ImageForeignLayer, message)
}

fn layer(value: &Value) -> Result<LayerEntry, Unresolved> {
    let entry = descriptor(value, "a layer");
    let entry =
        entry.map_err(|why| invalid(format!("the image's manifest is not valid: {why}")))?;
    let kind = entry.media_type;
    if kind.contains("foreign") || kind.contains("nondistributable") || entry.urls > 0 {
        return Err(foreign("a layer"));
    }
    let Some((_, compression)) = LAYERS.iter().find(|(known, _)| *known == kind) else {
        let message = format!("a layer of the image is `{}`, which is not known", shown(kind));
        return Err(invalid(message));
    };
    Ok(LayerEntry {
        digest: entry.digest.parse().map_err(|_| invalid("a layer has no SHA-256 digest"))?,
        size: entry.size,
        compression: *compression,
    })
}

#[cfg(test)]
mod tests;
