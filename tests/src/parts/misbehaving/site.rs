//! What a name of the misbehaving registry holds: documents by tag and digest, and blobs.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::bombs;
use crate::image::{MANIFEST_TYPE, Packed, digest};

const LIST_TYPE: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// Of an image of this size nobody wants a byte: 40 GB.
const HUGE: u64 = 40_000_000_000;

/// A document as a registry serves it.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its `Content-Type`.
    pub media_type: String,
    /// It.
    pub bytes: Vec<u8>,
}

/// An image in the making: its two documents, to be made worse.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The configuration.
    pub config: Value,
    /// The manifest. The digest and size of its configuration are put in at the end, unless they
    /// are text and number already.
    pub manifest: Value,
}

/// What a name holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Site {
    /// By tag and by digest.
    pub(super) documents: BTreeMap<String, Document>,
    pub(super) blobs: BTreeMap<String, Vec<u8>>,
    /// The digest of the configuration.
    pub(super) config: String,
}

impl Document {
    /// A manifest.
    #[must_use]
    pub fn manifest(bytes: Vec<u8>) -> Self {
        Self { media_type: MANIFEST_TYPE.to_owned(), bytes }
    }

    /// A list of manifests.
    #[must_use]
    pub fn list(bytes: Vec<u8>) -> Self {
        Self { media_type: LIST_TYPE.to_owned(), bytes }
    }
}

impl Draft {
    pub(super) async fn of(packed: &Packed) -> Result<Self> {
        let config = packed.blobs.first().context("an image without a configuration")?;
        let mut manifest: Value = serde_json::from_slice(&packed.manifest)?;
        if let Some(config) = manifest["config"].as_object_mut() {
            config.remove("digest");
            config.remove("size");
        }
        Ok(Self { config: serde_json::from_slice(&config.read().await?)?, manifest })
    }

    /// With another value at this pointer of the configuration.
    #[must_use]
    pub fn config(mut self, pointer: &str, value: Value) -> Self {
        put(&mut self.config, pointer, value);
        self
    }

    /// With another value at this pointer of the manifest.
    #[must_use]
    pub fn manifest(mut self, pointer: &str, value: Value) -> Self {
        put(&mut self.manifest, pointer, value);
        self
    }

    /// With a layer that is this blob, instead of all others.
    #[must_use]
    pub fn only_layer(self, media_type: &str, blob: &[u8]) -> Self {
        let digest = digest(blob);
        let layer = json!({ "mediaType": media_type, "digest": digest, "size": blob.len() });
        self.manifest("/layers", json!([layer])).config("/rootfs/diff_ids", json!([digest]))
    }
}

/// Puts a value at a pointer whose parent is there; null takes it away.
fn put(document: &mut Value, pointer: &str, value: Value) {
    let (parent, field) = pointer.rsplit_once('/').unwrap_or(("", pointer));
    match document.pointer_mut(parent) {
        Some(Value::Object(object)) if value.is_null() => drop(object.remove(field)),
        Some(Value::Object(object)) => drop(object.insert(field.to_owned(), value)),
        Some(Value::Array(items)) => {
            if let Some(item) = field.parse().ok().and_then(|n: usize| items.get_mut(n)) {
                *item = value;
            }
        }
        _ => {}
    }
}

impl Site {
    /// A document by its digest, and by the tag.
    pub(super) fn put(&mut self, tag: &str, document: Document) -> String {
        let digest = digest(&document.bytes);
        self.documents.insert(tag.to_owned(), document.clone());
        self.documents.insert(digest.clone(), document);
        digest
    }

    /// The image under the tag `1`, and what it points to.
    pub(super) fn image(draft: &Draft, blobs: &BTreeMap<String, Vec<u8>>) -> Result<Self> {
        let mut site = Self { blobs: blobs.clone(), ..Self::default() };
        let config = serde_json::to_vec(&draft.config)?;
        let mut manifest = draft.manifest.clone();
        if let Some(about) = manifest["config"].as_object_mut() {
            about.entry("digest").or_insert_with(|| json!(digest(&config)));
            about.entry("size").or_insert_with(|| json!(config.len()));
        }
        site.config = digest(&config);
        site.blobs.insert(site.config.clone(), config);
        site.put("1", Document::manifest(serde_json::to_vec(&manifest)?));
        Ok(site)
    }

    /// The same image behind a list with these entries.
    fn listed(mut self, entries: impl Fn(&str, usize) -> Value) -> Result<Self> {
        let manifest = &self.documents["1"];
        let list = entries(&digest(&manifest.bytes), manifest.bytes.len());
        let list = json!({ "schemaVersion": 2, "mediaType": LIST_TYPE, "manifests": list });
        self.put("1", Document::list(serde_json::to_vec(&list)?));
        Ok(self)
    }

    /// What a name holds, by its first part.
    pub(super) fn named(
        name: &str,
        good: &Draft,
        blobs: &BTreeMap<String, Vec<u8>>,
    ) -> Result<Self> {
        let mut blobs = blobs.clone();
        let mut bomb = |media_type: &str, bomb: Vec<u8>| {
            let draft = good.clone().only_layer(media_type, &bomb);
            blobs.insert(digest(&bomb), bomb);
            draft
        };
        let draft = match name {
            "bomb" => bomb(&format!("{OCI_LAYER}+gzip"), bombs::gzip()?),
            "zbomb" => bomb(&format!("{OCI_LAYER}+zstd"), bombs::zstd()?),
            "nolayers" => good.clone().manifest("/layers", json!([])),
            "huge" => good.clone().manifest("/layers/0/size", json!(HUGE)),
            "foreign" => good.clone().manifest("/layers/0/urls", json!(["http://127.0.0.1:1/"])),
            "otherarch" => good.clone().config("/architecture", json!("s390x")),
            "500layers" => layers(good, 500),
            _ => good.clone(),
        };
        let site = Self::image(&draft, &blobs)?;
        let is = |os: &str, architecture: &str| json!({ "os": os, "architecture": architecture });
        let entry = |digest: &str, size: usize, platform: Value| {
            json!({ "mediaType": MANIFEST_TYPE, "digest": digest, "size": size,
                "platform": platform })
        };
        match name {
            "index" | "swap" => site.listed(|digest, size| {
                let none = super::NOTHING;
                json!([
                    entry(none, 7, is("linux", "s390x")),
                    entry(none, 7, is("unknown", "unknown")),
                    entry(digest, size, is("linux", "amd64")),
                ])
            }),
            "noplatform" => site.listed(|digest, size| {
                json!([{ "mediaType": MANIFEST_TYPE, "digest": digest, "size": size }])
            }),
            "attestations" => {
                site.listed(|digest, size| json!([entry(digest, size, is("unknown", "unknown"))]))
            }
            "nested" => {
                let fits = |digest: &str, size: usize| entry(digest, size, is("linux", "amd64"));
                let site = site.listed(|digest, size| json!([fits(digest, size)]))?;
                site.listed(|digest, size| json!([fits(digest, size)]))
            }
            _ => Ok(site),
        }
    }
}

/// The first layer so many times.
fn layers(good: &Draft, count: usize) -> Draft {
    let first = |value: &Value| json!(vec![value.clone(); count]);
    let (layer, id) = (&good.manifest["layers"][0], &good.config["rootfs"]["diff_ids"][0]);
    let (layers, ids) = (first(layer), first(id));
    good.clone().manifest("/layers", layers).config("/rootfs/diff_ids", ids)
}
