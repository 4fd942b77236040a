//! A registry of the platform's own, as `infra/quarantine` starts it: apart from the one that
//! strangers push to.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use super::{given, net::free_address, process::Process};
use crate::{registry::Registry, wait};

const READY: Duration = Duration::from_secs(30);
/// Where a registry keeps things, below its folder.
const BLOBS: &str = "docker/registry/v2/blobs/sha256";
const IMAGES: &str = "docker/registry/v2/repositories/strangers/_manifests/revisions/sha256";
const BEGUN: &str = "docker/registry/v2/repositories/strangers/_uploads";

/// A running quarantine.
#[derive(Debug)]
pub struct Quarantine {
    host: String,
    files: PathBuf,
    _process: Process,
    _dir: TempDir,
}

/// What it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Images that are whole.
    pub images: usize,
    /// What they are made of, in bytes.
    pub wanted: u64,
    /// What is of no image, or was only begun, in bytes.
    pub stray: u64,
}

impl Quarantine {
    /// Starts one that is empty.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn start() -> Result<Self> {
        let (dir, host) = (tempfile::tempdir()?, free_address()?.to_string());
        let config = given::checkout().join("infra/quarantine/config.yml");
        let config = config.to_str().context("a path that is not UTF-8")?;
        let files = dir.path().join("files");
        let environment = [
            ("REGISTRY_HTTP_ADDR".to_owned(), host.clone()),
            ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY".to_owned(), files.display().to_string()),
        ];
        let (program, arguments) = (Path::new("docker-registry"), ["serve", config]);
        let process = Process::start("quarantine", program, &arguments, &environment, dir.path())?;
        let registry = Registry::at(&host)?;
        wait::until("the quarantine answers", READY, || async {
            Ok(registry.names().await.ok().map(drop))
        })
        .await
        .with_context(|| process.log())?;
        Ok(Self { host, files, _process: process, _dir: dir })
    }

    /// Its host and port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What it holds now, by its files.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn holdings(&self) -> Result<Holdings> {
        holdings(&self.files)
    }
}

fn holdings(files: &Path) -> Result<Holdings> {
    let mut blobs = BTreeMap::new();
    for first in names(&files.join(BLOBS))? {
        for hash in names(&files.join(BLOBS).join(&first))? {
            let data = files.join(BLOBS).join(&first).join(&hash).join("data");
            blobs.insert(format!("sha256:{hash}"), fs::metadata(data)?.len());
        }
    }
    let (mut images, mut wanted) = (0, BTreeSet::new());
    for hash in names(&files.join(IMAGES))? {
        // What was taken away leaves its folder.
        if !files.join(IMAGES).join(&hash).join("link").exists() {
            continue;
        }
        let first = hash.get(..2).context("a digest that is none")?;
        let manifest = fs::read(files.join(BLOBS).join(first).join(&hash).join("data"))?;
        let manifest: Value = serde_json::from_slice(&manifest)?;
        let layers = manifest["layers"].as_array().context("an image without layers")?;
        let parts = layers.iter().chain([&manifest["config"]]);
        wanted.extend(parts.filter_map(|part| Some(part["digest"].as_str()?.to_owned())));
        wanted.insert(format!("sha256:{hash}"));
        images += 1;
    }
    let sum = |of_an_image: bool| -> u64 {
        let those = blobs.iter().filter(|(digest, _)| wanted.contains(*digest) == of_an_image);
        those.map(|(_, bytes)| bytes).sum()
    };
    let mut begun = 0;
    for upload in names(&files.join(BEGUN))? {
        begun += fs::metadata(files.join(BEGUN).join(upload).join("data")).map_or(0, |m| m.len());
    }
    Ok(Holdings { images, wanted: sum(true), stray: sum(false) + begun })
}

/// What is in a folder; nothing where there is none.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| folder.display().to_string()),
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_of_no_image_is_counted_apart() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: String, bytes: &[u8]| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        assert_eq!(holdings(folder.path()).unwrap(), Holdings::default());
        let manifest = json!({
            "config": { "digest": "sha256:aa1" }, "layers": [{ "digest": "sha256:aa2" }],
        });
        let manifest = manifest.to_string();
        write(format!("{BLOBS}/aa/aa0/data"), manifest.as_bytes());
        write(format!("{BLOBS}/aa/aa1/data"), &[0; 10]);
        write(format!("{BLOBS}/aa/aa2/data"), &[0; 100]);
        write(format!("{IMAGES}/aa0/link"), b"sha256:aa0");
        let wanted = manifest.len() as u64 + 110;
        let whole = Holdings { images: 1, wanted, stray: 0 };
        assert_eq!(holdings(folder.path()).unwrap(), whole);
        // A layer of nobody's, an upload that was left, an image that was taken away.
        write(format!("{BLOBS}/bb/bb0/data"), &[0; 1000]);
        write(format!("{BEGUN}/some-id/data"), &[0; 5]);
        fs::create_dir_all(folder.path().join(IMAGES).join("bb1")).unwrap();
        assert_eq!(holdings(folder.path()).unwrap(), Holdings { stray: 1005, ..whole });
    }
}
