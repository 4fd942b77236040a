//! Images without an engine and without a Dockerfile: layers as gzipped tar archives, a
//! configuration and a manifest (Docker schema 2), all made here.
//!
//! What an honest builder would never make can be made too: a platform of another kind, the
//! same layer many times, a size that is not the layer's.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::LazyLock,
    sync::Mutex,
    sync::PoisonError,
};

use anyhow::{Context, Result};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::parts::given;

/// The manifest's media type.
pub const MANIFEST_TYPE: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG_TYPE: &str = "application/vnd.docker.container.image.v1+json";
const LAYER_TYPE: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// How an image is made.
#[derive(Clone, Debug)]
pub struct Recipe {
    layers: Vec<Layer>,
    config: BTreeMap<String, Value>,
    os: String,
    architecture: String,
    declared_size: Option<u64>,
    history: usize,
}

/// A layer: its archive, and the digest of what is in it.
#[derive(Clone, Debug)]
pub struct Layer {
    blob: Blob,
    diff_id: String,
}

/// Bytes with their digest.
#[derive(Clone, Debug)]
pub struct Blob {
    /// `sha256:…`
    pub digest: String,
    /// How many bytes.
    pub size: u64,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Bytes(Vec<u8>),
    File(PathBuf),
}

/// An image as the registry takes it.
#[derive(Clone, Debug)]
pub struct Packed {
    /// The configuration and each layer once.
    pub blobs: Vec<Blob>,
    /// The manifest.
    pub manifest: Vec<u8>,
    /// The digests of the layers in their order.
    order: Vec<String>,
}

impl Recipe {
    /// An empty image for this platform.
    #[must_use]
    pub fn scratch() -> Self {
        Self {
            layers: Vec::new(),
            config: BTreeMap::new(),
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            declared_size: None,
            history: 0,
        }
    }

    /// The sample app in one of its modes (`tests/app`).
    ///
    /// # Errors
    /// When the static binary is not given.
    pub fn app(mode: &str) -> Result<Self> {
        static LAYER: LazyLock<Mutex<Option<Layer>>> = LazyLock::new(Mutex::default);
        let mut kept = LAYER.lock().unwrap_or_else(PoisonError::into_inner);
        let layer = match kept.as_ref() {
            Some(layer) => layer.clone(),
            None => {
                let binary = fs::read(given::static_program("app")?)?;
                kept.insert(Layer::of(&[File::program("app", binary)])?).clone()
            }
        };
        Ok(Self::scratch()
            .layer(layer)
            .config("Entrypoint", json!(["/app"]))
            .config("StopSignal", json!("SIGKILL"))
            .env("APP_MODE", mode))
    }

    /// The hostile program in one of its modes (`tests/hostile`).
    ///
    /// # Errors
    /// When the static binary is not given.
    pub fn hostile(mode: &str) -> Result<Self> {
        static LAYER: LazyLock<Mutex<Option<Layer>>> = LazyLock::new(Mutex::default);
        let mut kept = LAYER.lock().unwrap_or_else(PoisonError::into_inner);
        let layer = match kept.as_ref() {
            Some(layer) => layer.clone(),
            None => kept.insert(Layer::of(&[File::hostile("hostile")?])?).clone(),
        };
        Ok(Self::scratch()
            .layer(layer)
            .config("Entrypoint", json!(["/hostile"]))
            .env("HOSTILE_MODE", mode))
    }

    /// The program of the canary (`worker/canary`).
    ///
    /// # Errors
    /// When the static binary is not given.
    pub fn canary() -> Result<Self> {
        let binary = fs::read(given::static_program("canary")?)?;
        let layer = Layer::of(&[File::program("canary", binary)])?;
        Ok(Self::scratch().layer(layer).config("Entrypoint", json!(["/canary"])))
    }

    /// Adds a layer on top.
    #[must_use]
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// Adds the newest layer so many times more.
    #[must_use]
    pub fn repeat_layer(mut self, times: usize) -> Self {
        if let Some(layer) = self.layers.last().cloned() {
            self.layers.extend(std::iter::repeat_n(layer, times));
        }
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        let variables = self.config.entry("Env".to_owned()).or_insert_with(|| json!([]));
        if let Some(variables) = variables.as_array_mut() {
            variables.push(json!(format!("{name}={value}")));
        }
        self
    }

    /// Sets what it runs.
    #[must_use]
    pub fn cmd(self, words: &[&str]) -> Self {
        self.config("Cmd", json!(words))
    }

    /// Sets a field of the configuration's `config` object, such as `User` or `WorkingDir`.
    #[must_use]
    pub fn config(mut self, field: &str, value: Value) -> Self {
        self.config.insert(field.to_owned(), value);
        self
    }

    /// Says that it is for another platform.
    #[must_use]
    pub fn platform(mut self, os: &str, architecture: &str) -> Self {
        os.clone_into(&mut self.os);
        architecture.clone_into(&mut self.architecture);
        self
    }

    /// Says in the manifest that each layer has this size, whatever it has.
    #[must_use]
    pub fn declare_layer_size(mut self, bytes: u64) -> Self {
        self.declared_size = Some(bytes);
        self
    }

    /// Says that it was made in so many steps.
    #[must_use]
    pub fn history(mut self, steps: usize) -> Self {
        self.history = steps;
        self
    }

    /// The image as a registry takes it.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn pack(&self) -> Result<Packed> {
        let config = Blob::of(serde_json::to_vec(&json!({
            "os": self.os,
            "architecture": self.architecture,
            "created": "2026-01-01T00:00:00Z",
            "config": self.config,
            "history": vec![json!({ "created_by": "RUN it", "empty_layer": true }); self.history],
            "rootfs": {
                "type": "layers",
                "diff_ids": self.layers.iter().map(|l| &l.diff_id).collect::<Vec<_>>(),
            },
        }))?);
        let layers: Vec<Value> = self
            .layers
            .iter()
            .map(|layer| {
                let size = self.declared_size.unwrap_or(layer.blob.size);
                json!({ "mediaType": LAYER_TYPE, "size": size, "digest": layer.blob.digest })
            })
            .collect();
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": { "mediaType": CONFIG_TYPE, "size": config.size, "digest": config.digest },
            "layers": layers,
        }))?;
        let order = self.layers.iter().map(|layer| layer.blob.digest.clone()).collect();
        let mut blobs = vec![config];
        for layer in &self.layers {
            if !blobs.iter().any(|blob| blob.digest == layer.blob.digest) {
                blobs.push(layer.blob.clone());
            }
        }
        Ok(Packed { blobs, manifest, order })
    }
}

impl Packed {
    /// The id under which an engine knows the image: its configuration's digest.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.blobs[0].digest
    }

    /// The image as `docker load` takes it, under that name.
    ///
    /// # Errors
    /// When a layer's file cannot be read.
    pub async fn archive(&self, name: &str) -> Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        for blob in &self.blobs {
            put(&mut archive, file_name(&blob.digest), &blob.read().await?)?;
        }
        let layers: Vec<&str> = self.order.iter().map(|digest| file_name(digest)).collect();
        let listed =
            json!([{ "Config": file_name(self.id()), "RepoTags": [name], "Layers": layers }]);
        put(&mut archive, "manifest.json", &serde_json::to_vec(&listed)?)?;
        Ok(archive.into_inner()?)
    }
}

fn file_name(digest: &str) -> &str {
    digest.trim_start_matches("sha256:")
}

fn put(archive: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    Ok(archive.append_data(&mut header, name, bytes)?)
}

/// An entry of a layer.
#[derive(Clone, Debug)]
pub struct File {
    path: String,
    mode: u32,
    bytes: Vec<u8>,
    kind: Kind,
    /// Extended attributes, as they stand in a PAX header.
    attributes: Vec<(String, Vec<u8>)>,
}

#[derive(Clone, Debug)]
enum Kind {
    Plain,
    Folder,
    Link(String),
    HardLink(String),
    Fifo,
    /// A character device with its numbers.
    Device(u32, u32),
}

impl File {
    /// A file that everybody may read.
    #[must_use]
    pub fn text(path: &str, text: &str) -> Self {
        Self::new(path, 0o644, text.as_bytes().to_vec(), Kind::Plain)
    }

    /// A file that everybody may run.
    #[must_use]
    pub fn program(path: &str, bytes: Vec<u8>) -> Self {
        Self::new(path, 0o755, bytes, Kind::Plain)
    }

    /// The hostile program under another name.
    ///
    /// # Errors
    /// When the static binary is not given.
    pub fn hostile(path: &str) -> Result<Self> {
        Ok(Self::program(path, fs::read(given::static_program("hostile")?)?))
    }

    /// A folder.
    #[must_use]
    pub fn folder(path: &str) -> Self {
        Self::new(path, 0o755, Vec::new(), Kind::Folder)
    }

    /// A symbolic link.
    #[must_use]
    pub fn link(path: &str, to: &str) -> Self {
        Self::new(path, 0o777, Vec::new(), Kind::Link(to.to_owned()))
    }

    /// A second name of a file.
    #[must_use]
    pub fn hard_link(path: &str, to: &str) -> Self {
        Self::new(path, 0o644, Vec::new(), Kind::HardLink(to.to_owned()))
    }

    /// A pipe with a name: who opens it to read waits until somebody writes.
    #[must_use]
    pub fn fifo(path: &str) -> Self {
        Self::new(path, 0o666, Vec::new(), Kind::Fifo)
    }

    /// A character device.
    #[must_use]
    pub fn device(path: &str, major: u32, minor: u32) -> Self {
        Self::new(path, 0o666, Vec::new(), Kind::Device(major, minor))
    }

    /// With other permissions, such as `0o4755`.
    #[must_use]
    pub fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    /// With an extended attribute, such as `security.capability`.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: &[u8]) -> Self {
        self.attributes.push((name.to_owned(), value.to_vec()));
        self
    }

    fn new(path: &str, mode: u32, bytes: Vec<u8>, kind: Kind) -> Self {
        Self { path: path.to_owned(), mode, bytes, kind, attributes: Vec::new() }
    }

    /// Writes it with its path as it is, however that leads.
    fn put(&self, archive: &mut tar::Builder<Vec<u8>>) -> Result<()> {
        use tar::EntryType as Type;
        let named =
            |(name, value): &(String, Vec<u8>)| (format!("SCHILY.xattr.{name}"), value.clone());
        let extensions: Vec<_> = self.attributes.iter().map(named).collect();
        archive
            .append_pax_extensions(extensions.iter().map(|(n, v)| (n.as_str(), v.as_slice())))?;
        let mut header = tar::Header::new_gnu();
        header.set_mode(self.mode);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(self.bytes.len() as u64);
        let (kind, link) = match &self.kind {
            Kind::Plain => (Type::Regular, None),
            Kind::Folder => (Type::Directory, None),
            Kind::Link(to) => (Type::Symlink, Some(to)),
            Kind::HardLink(to) => (Type::Link, Some(to)),
            Kind::Fifo => (Type::Fifo, None),
            Kind::Device(major, minor) => {
                header.set_device_major(*major)?;
                header.set_device_minor(*minor)?;
                (Type::Char, None)
            }
        };
        header.set_entry_type(kind);
        let raw = header.as_gnu_mut().context("a GNU header")?;
        write_name(&mut raw.name, &self.path)?;
        if let Some(to) = link {
            write_name(&mut raw.linkname, to)?;
        }
        header.set_cksum();
        Ok(archive.append(&header, self.bytes.as_slice())?)
    }
}

/// The library refuses names that climb; an attacker does not.
fn write_name(field: &mut [u8; 100], name: &str) -> Result<()> {
    let room = field.get_mut(..name.len()).context("a name of at most 100 bytes")?;
    room.copy_from_slice(name.as_bytes());
    Ok(())
}

impl Layer {
    /// A layer of these files, owned by root.
    ///
    /// # Errors
    /// When a path does not fit in an archive.
    pub fn of(files: &[File]) -> Result<Self> {
        let mut archive = tar::Builder::new(Vec::new());
        for file in files {
            file.put(&mut archive)?;
        }
        let plain = archive.into_inner()?;
        Self::packed(plain)
    }

    /// A layer of so many MiB of zeros, which are next to nothing when they are packed.
    ///
    /// # Errors
    /// When it cannot be packed.
    pub fn zeros(mib: usize) -> Result<Self> {
        Self::of(&[File::new("zeros", 0o644, vec![0; mib * 1024 * 1024], Kind::Plain)])
    }

    fn packed(plain: Vec<u8>) -> Result<Self> {
        let diff_id = digest(&plain);
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(&plain)?;
        Ok(Self { blob: Blob::of(packer.finish()?), diff_id })
    }

    /// The layer in a folder that holds `layer.tar.gz` and `layer.json` (`digest`, `size`,
    /// `diff_id`).
    ///
    /// # Errors
    /// When it does not hold them.
    pub fn at(folder: &Path) -> Result<Self> {
        let about = folder.join("layer.json");
        let text = fs::read(&about).with_context(|| format!("reading {}", about.display()))?;
        let about: Value = serde_json::from_slice(&text)?;
        let word = |name: &str| about[name].as_str().map(str::to_owned).context("layer.json");
        let blob = Blob {
            digest: word("digest")?,
            size: about["size"].as_u64().context("layer.json")?,
            content: Content::File(folder.join("layer.tar.gz")),
        };
        Ok(Self { blob, diff_id: word("diff_id")? })
    }
}

impl Blob {
    fn of(bytes: Vec<u8>) -> Self {
        Self { digest: digest(&bytes), size: bytes.len() as u64, content: Content::Bytes(bytes) }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub async fn read(&self) -> Result<Vec<u8>> {
        match &self.content {
            Content::Bytes(bytes) => Ok(bytes.clone()),
            Content::File(path) => Ok(tokio::fs::read(path).await?),
        }
    }
}

/// The SHA-256 of these bytes, as `sha256:…`.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_is_packed_with_each_blob_once() {
        let layer = Layer::of(&[File::text("etc/motd", "hello\n")]).unwrap();
        let recipe = Recipe::scratch()
            .layer(layer)
            .repeat_layer(2)
            .env("A", "1")
            .env("B", "2")
            .platform("linux", "arm64")
            .declare_layer_size(7);
        let packed = recipe.pack().unwrap();
        assert_eq!(packed.blobs.len(), 2);
        let manifest: Value = serde_json::from_slice(&packed.manifest).unwrap();
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 3);
        assert_eq!(manifest["layers"][2]["size"], 7);
        let Content::Bytes(config) = &packed.blobs[0].content else { panic!("not bytes") };
        let config: Value = serde_json::from_slice(config).unwrap();
        assert_eq!(config["architecture"], "arm64");
        assert_eq!(config["config"]["Env"], json!(["A=1", "B=2"]));
        assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 3);
    }
}
