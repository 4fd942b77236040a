//! The platform's own registry, as the swarm's nodes pull from it: our own images are put there, and
//! what a stranger's image declares is read there.

use std::{collections::HashMap, path::PathBuf, time::Duration};

use portcall_shared::{
    domain::image::{Digest, ImageRef, RegistryHost},
    registry::{
        ImageLimits, MAX_LAYERS, Registry, Unresolved,
        manifest::MAX_CONFIG,
        push::{OwnRegistry, PushError, Put},
    },
};
use serde_json::Value;
use tokio::{sync::Mutex, time::timeout};

use super::super::{
    error::{FleetError, cut},
    own_image::{MANIFEST, OwnImage, digest},
    workload::ImageDeclares,
};

/// Where our own images lie: apart from strangers'.
const REPOSITORY: &str = "portcall";
/// Reading a manifest and a configuration.
const READ: Duration = Duration::from_secs(20);

/// The registry as one worker sees it.
#[derive(Debug)]
pub(super) struct OwnImages {
    push: OwnRegistry,
    read: Registry,
    prober: PathBuf,
    canary: PathBuf,
    /// Which manifests our images are, for each platform.
    made: Mutex<HashMap<Platform, Digest>>,
}

/// One of our images, for a system and an architecture.
type Platform = (OwnImage, String, String);

impl OwnImages {
    pub(super) fn new(
        host: &RegistryHost,
        plain_http: &[RegistryHost],
        prober: PathBuf,
        canary: PathBuf,
    ) -> Self {
        Self {
            push: OwnRegistry::new(host, REPOSITORY, plain_http),
            read: Registry::with_private(plain_http.to_vec(), vec![host.clone()]),
            prober,
            canary,
            made: Mutex::default(),
        }
    }

    /// Sees to it that the registry has an image of ours; gives the name by which nodes pull it.
    pub(super) async fn put(
        &self,
        own: OwnImage,
        os: &str,
        arch: &str,
    ) -> Result<String, FleetError> {
        let platform = (own, os.to_owned(), arch.to_owned());
        // One at a time: whoever comes next finds it there.
        let mut made = self.made.lock().await;
        if let Some(manifest) = made.get(&platform)
            && self.push.has_manifest(manifest).await.map_err(|e| failed(&e))?
        {
            return Ok(self.push.pinned(manifest));
        }
        let manifest = self.put_now(&platform).await?;
        let name = self.push.pinned(&manifest);
        made.insert(platform, manifest);
        Ok(name)
    }

    /// Whether this is our own image of that kind, as it was put there.
    pub(super) async fn is(&self, own: OwnImage, image: &str) -> bool {
        let made = self.made.lock().await;
        let mut ours = made.iter().filter(|((kind, _, _), _)| *kind == own);
        ours.any(|(_, manifest)| self.push.pinned(manifest) == image)
    }

    async fn put_now(&self, (own, os, arch): &Platform) -> Result<Digest, FleetError> {
        let path = match own {
            OwnImage::Prober => self.prober.clone(),
            OwnImage::Canary => self.canary.clone(),
        };
        let unreadable = |source| FleetError::OwnBinary { path: path.clone(), source };
        let (own, os, arch, path) = (*own, os.clone(), arch.clone(), path.clone());
        let made =
            tokio::task::spawn_blocking(move || own.parts(&std::fs::read(path)?, &os, &arch));
        let parts = made.await.map_err(std::io::Error::other).flatten().map_err(unreadable)?;
        let manifest = parsed(&digest(&parts.manifest))?;
        if self.push.has_manifest(&manifest).await.map_err(|e| failed(&e))? {
            return Ok(manifest);
        }
        for blob in [parts.layer, parts.config] {
            let name = parsed(&digest(&blob))?;
            if !self.push.has_blob(&name).await.map_err(|e| failed(&e))? {
                self.push.put_blob(&name, blob).await.map_err(|e| failed(&e))?;
            }
        }
        match self.push.put_manifest(&manifest, MANIFEST, parts.manifest).await {
            Ok(Put::Stored) => Ok(manifest),
            Ok(put) => Err(FleetError::Registry { doing: KEEPING, detail: format!("{put:?}") }),
            Err(error) => Err(failed(&error)),
        }
    }

    /// What an image declares that is there under its digest.
    pub(super) async fn declares(
        &self,
        image: &str,
        arch: &str,
    ) -> Result<ImageDeclares, FleetError> {
        let doing = "reading an image's configuration";
        let not_pinned = || FleetError::NotPinned(image.to_owned());
        let name: ImageRef = image.parse().map_err(|_| not_pinned())?;
        let digest = name.digest().cloned().ok_or_else(not_pinned)?;
        let said = |unresolved: Unresolved| {
            let detail = match unresolved {
                Unresolved::Participant(fault) => fault.message,
                Unresolved::Registry(fault) => fault.message,
            };
            FleetError::Registry { doing, detail: cut(&detail) }
        };
        // It was looked at when it was copied; here it is only read again.
        let limits = ImageLimits {
            max_bytes: u64::MAX,
            max_layers: MAX_LAYERS,
            architecture: arch.to_owned(),
        };
        let reading = async {
            let raw = self.read.manifest(&name, &digest, &limits, READ).await.map_err(said)?;
            let mut blob = self.read.blob(&name, &raw.manifest.config).await.map_err(said)?;
            let mut config = Vec::new();
            while let Some(piece) = blob.chunk().await.map_err(said)? {
                config.extend_from_slice(&piece);
                if config.len() > MAX_CONFIG {
                    let detail = "the configuration is larger than any that was let in".to_owned();
                    return Err(FleetError::Registry { doing, detail });
                }
            }
            if self::digest(&config) != raw.manifest.config.as_str() {
                let detail = "it answered with another configuration".to_owned();
                return Err(FleetError::Registry { doing, detail });
            }
            Ok(config)
        };
        let late = || FleetError::Deadline { doing, after: READ };
        let config = timeout(READ, reading).await.map_err(|_| late())??;
        let config: Value = serde_json::from_slice(&config)
            .map_err(|error| FleetError::Answer { doing, detail: error.to_string() })?;
        Ok(declared(&config["config"]))
    }
}

const KEEPING: &str = "keeping an image of ours";

fn failed(error: &PushError) -> FleetError {
    FleetError::Registry { doing: KEEPING, detail: cut(&error.to_string()) }
}

fn parsed(digest: &str) -> Result<Digest, FleetError> {
    digest.parse().map_err(|_| FleetError::NotPinned(digest.to_owned()))
}

fn declared(config: &Value) -> ImageDeclares {
    let text =
        |name: &str| config[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let keys = |name: &str| {
        let mut keys: Vec<String> =
            config[name].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
        keys.sort();
        keys
    };
    let words = |name: &str| {
        let words = config[name].as_array().into_iter().flatten();
        words.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    ImageDeclares {
        volumes: keys("Volumes"),
        user: text("User"),
        working_dir: text("WorkingDir"),
        exposed_ports: keys("ExposedPorts"),
        command: [words("Entrypoint"), words("Cmd")].concat(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_configuration_is_read_as_an_engine_reads_it() {
        let config = json!({
            "User": "web", "WorkingDir": "/srv", "Entrypoint": ["/app"], "Cmd": ["-p", "80"],
            "Volumes": { "/b": {}, "/a": {} }, "ExposedPorts": { "80/tcp": {} }, "Env": ["A=1"],
        });
        assert_eq!(
            declared(&config),
            ImageDeclares {
                volumes: vec!["/a".into(), "/b".into()],
                user: Some("web".into()),
                working_dir: Some("/srv".into()),
                exposed_ports: vec!["80/tcp".into()],
                command: vec!["/app".into(), "-p".into(), "80".into()],
            }
        );
        for nothing in [json!(null), json!({}), json!({ "Volumes": null, "User": "" })] {
            assert_eq!(declared(&nothing), ImageDeclares::default());
        }
    }
}
