//! The images of a rehearsal: made here of two static programs, the sample app and the hostile one, and
//! pushed without an engine. Each participant has an image of their own, as in life; the large layer is
//! the same in all. They are named by digest, without a tag, and taken away by it.

use std::{collections::BTreeSet, fs, io::Write as _, path::Path, sync::Arc};

use flate2::{Compression, write::GzEncoder};
use portcall_shared::{
    domain::{
        ids::EventSlug,
        image::{Digest, RegistryHost},
    },
    registry::push::{Deleted, OwnRegistry, PushError, Put},
    store::submissions::sha256_hex,
};
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet};
use uuid::Uuid;

use super::{derive::Answers, plan::Attack};
use crate::failure::{Failure, chain};

/// The folder in the registry that holds the images of rehearsals.
const FOLDER: &str = "portcall-rehearsal";
/// How many hexadecimal digits of its repository's name are drawn.
const DRAWN: usize = 12;
/// How many images are pushed at once.
const AT_ONCE: usize = 8;

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// Bytes with their digest.
#[derive(Clone)]
struct Blob {
    digest: Digest,
    bytes: Arc<Vec<u8>>,
}

/// A layer, with the digest of what is in it.
#[derive(Clone)]
pub(crate) struct Layer {
    blob: Blob,
    inside: String,
}

/// An image that is to be made.
#[derive(Clone)]
pub(super) struct Recipe {
    layers: Vec<Layer>,
    program: &'static str,
    env: Vec<String>,
}

/// The registry that images are pushed to, and what was pushed.
pub(super) struct Shelf {
    registry: OwnRegistry,
    place: String,
    manifests: BTreeSet<Digest>,
    blobs: BTreeSet<Digest>,
}

impl Blob {
    fn of(bytes: Vec<u8>) -> Result<Self, Failure> {
        let digest = format!("sha256:{}", sha256_hex(&bytes));
        let digest = digest.parse().map_err(|_| Failure::Internal("a digest is none".into()))?;
        Ok(Self { digest, bytes: Arc::new(bytes) })
    }
}

impl Layer {
    /// One with a program at the root.
    pub(super) fn program(name: &str, file: &Path) -> Result<Self, Failure> {
        let cannot = |error| Failure::Usage(format!("{}: {error}", file.display()));
        Self::of(&[(name.to_owned(), fs::read(file).map_err(cannot)?)], 0o755)
    }

    fn of(files: &[(String, Vec<u8>)], mode: u32) -> Result<Self, Failure> {
        let packed = || -> std::io::Result<(Vec<u8>, Vec<u8>)> {
            let mut archive = tar::Builder::new(Vec::new());
            for (name, bytes) in files {
                let mut header = tar::Header::new_gnu();
                header.set_size(bytes.len() as u64);
                header.set_mode(mode);
                archive.append_data(&mut header, name, &bytes[..])?;
            }
            let archive = archive.into_inner()?;
            let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
            packed.write_all(&archive)?;
            Ok((packed.finish()?, archive))
        };
        let (packed, archive) =
            packed().map_err(|e| Failure::Internal(format!("cannot pack a layer: {e}")))?;
        let inside = format!("sha256:{}", sha256_hex(&archive));
        Ok(Self { blob: Blob::of(packed)?, inside })
    }
}

impl Recipe {
    /// The sample app with these answers.
    pub(super) fn sample(app: &Layer, answers: &Answers) -> Result<Self, Failure> {
        let files: Vec<_> = answers
            .iter()
            .map(|(name, answer)| (format!("answers/{name}"), answer.clone()))
            .collect();
        let layers = vec![app.clone(), Layer::of(&files, 0o644)?];
        Ok(Self { layers, program: "/app", env: vec!["APP_MODE=chosen".to_owned()] })
    }

    /// The hostile program in a mode; what it dials is told it.
    pub(super) fn hostile(program: &Layer, attack: &Attack, targets: &str) -> Self {
        let mut env = vec![format!("HOSTILE_MODE={}", attack.mode)];
        env.extend(attack.env.iter().map(|(name, value)| format!("{name}={value}")));
        env.push(format!("HOSTILE_TARGETS={targets}"));
        Self { layers: vec![program.clone()], program: "/hostile", env }
    }

    fn manifest(&self) -> Result<(Blob, Blob), Failure> {
        let inside: Vec<&str> = self.layers.iter().map(|layer| layer.inside.as_str()).collect();
        let config = Blob::of(bytes(&json!({
            "os": "linux",
            "architecture": "amd64",
            "created": "2026-01-01T00:00:00Z",
            "config": {
                "Entrypoint": [self.program], "Env": self.env, "StopSignal": "SIGKILL",
            },
            "rootfs": { "type": "layers", "diff_ids": inside },
        })))?;
        let descriptor = |kind: &str, blob: &Blob| json!({ "mediaType": kind, "size": blob.bytes.len(), "digest": blob.digest.as_str() });
        let layers: Vec<Value> =
            self.layers.iter().map(|layer| descriptor(LAYER, &layer.blob)).collect();
        let manifest = Blob::of(bytes(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &config),
            "layers": layers,
        })))?;
        Ok((config, manifest))
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// A repository of its own for the images of one rehearsal: another database may have a shadow of the same
/// name, and use the same registry.
pub(super) fn repository(shadow: &EventSlug) -> String {
    let drawn = Uuid::new_v4().simple().to_string();
    format!("{FOLDER}/{shadow}-{}", &drawn[..DRAWN])
}

/// Whether a repository is one of a rehearsal in this shadow.
pub(super) fn is_of(repository: &str, shadow: &EventSlug) -> bool {
    let name = repository.strip_prefix(FOLDER).and_then(|rest| rest.strip_prefix('/'));
    name.and_then(|name| name.rsplit_once('-'))
        .is_some_and(|(of, drawn)| of == shadow.as_str() && drawn.len() == DRAWN)
}

impl Shelf {
    /// A place in a registry.
    pub(super) fn at(host: &RegistryHost, repository: &str, plain_http: &[RegistryHost]) -> Self {
        Self {
            registry: OwnRegistry::new(host, repository, plain_http),
            place: format!("{host}/{repository}"),
            manifests: BTreeSet::new(),
            blobs: BTreeSet::new(),
        }
    }

    /// Pushes images; their references, in the same order.
    pub(super) async fn push(&mut self, recipes: Vec<Recipe>) -> Result<Vec<String>, Failure> {
        // What many have in common goes first, and once.
        let mut common: Vec<Blob> = Vec::new();
        for layer in recipes.iter().filter_map(|recipe| recipe.layers.first()) {
            if !self.blobs.contains(&layer.blob.digest) {
                self.blobs.insert(layer.blob.digest.clone());
                common.push(layer.blob.clone());
            }
        }
        for blob in common {
            put_blob(&self.registry, &blob).await.map_err(|e| self.refused(&e))?;
        }
        let (room, mut pushes) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
        let mut references = Vec::with_capacity(recipes.len());
        let mut begun = BTreeSet::new();
        for recipe in recipes {
            let (config, manifest) = recipe.manifest()?;
            references.push(format!("{}@{}", self.place, manifest.digest));
            if !begun.insert(manifest.digest.clone()) {
                continue;
            }
            let own = recipe.layers.iter().skip(1).map(|layer| layer.blob.clone());
            let blobs: Vec<Blob> = own.chain([config]).collect();
            // Noted before it is there, so that it is taken away however this ends.
            self.blobs.extend(blobs.iter().map(|blob| blob.digest.clone()));
            self.manifests.insert(manifest.digest.clone());
            let (registry, room) = (self.registry.clone(), Arc::clone(&room));
            pushes.spawn(async move {
                let _turn = room.acquire_owned().await;
                for blob in &blobs {
                    put_blob(&registry, blob).await?;
                }
                registry.put_manifest(&manifest.digest, MANIFEST, manifest.bytes.to_vec()).await
            });
        }
        while let Some(pushed) = pushes.join_next().await {
            match pushed {
                Ok(Ok(Put::Stored)) => {}
                Ok(Ok(Put::BlobUnknown | Put::Invalid)) => {
                    let place = &self.place;
                    return Err(Failure::Unavailable(format!("{place} took no image of ours")));
                }
                Ok(Err(error)) => return Err(self.refused(&error)),
                Err(error) => return Err(Failure::Internal(error.to_string())),
            }
        }
        Ok(references)
    }

    fn refused(&self, error: &PushError) -> Failure {
        Failure::Unavailable(format!("{}: {}", self.place, chain(error)))
    }

    /// One that holds these manifests, of a rehearsal that did not take them away itself.
    pub(super) fn holding(mut self, manifests: BTreeSet<Digest>) -> Self {
        self.manifests = manifests;
        self
    }

    /// Takes away what was pushed.
    ///
    /// # Errors
    /// What is left, and why, in a sentence.
    pub(super) async fn clear(&mut self) -> Result<usize, String> {
        let mut deleted = 0;
        for digest in std::mem::take(&mut self.manifests) {
            match self.registry.delete_manifest(&digest).await {
                Ok(Deleted::Yes) => deleted += 1,
                Ok(Deleted::NotThere) => {}
                Err(error) => {
                    let (place, why) = (&self.place, chain(&error));
                    return Err(format!("images are left at {place}: {why}"));
                }
            }
        }
        for digest in std::mem::take(&mut self.blobs) {
            // The registry collects what no manifest names.
            let _ = self.registry.delete_blob(&digest).await;
        }
        Ok(deleted)
    }
}

async fn put_blob(registry: &OwnRegistry, blob: &Blob) -> Result<(), PushError> {
    registry.put_blob(&blob.digest, blob.bytes.to_vec()).await
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use portcall_shared::domain::{
        ids::SubmissionId,
        place::Place,
        state::Lifecycle,
        submission::{Marks, Participant, Submission},
    };
    use time::OffsetDateTime;

    use super::*;
    use crate::rehearse::plan::ATTACKS;

    /// A submission of somebody of that name, who votes for cats.
    pub(crate) fn somebody(name: &str) -> Submission {
        let now = OffsetDateTime::UNIX_EPOCH;
        Submission {
            id: SubmissionId::new(),
            event: "e".parse().unwrap(),
            event_version: 1,
            participant: Participant { name: name.parse().unwrap(), handle: None, contact: None },
            place: Place { label: "Lisbon".parse().unwrap(), point: None, country: None },
            images: Vec::new(),
            answers: BTreeMap::from([("vote".to_owned(), "Cats".parse().unwrap())]),
            life: Lifecycle::submitted(now),
            created_at: now,
            updated_at: now,
            revision: 1,
            order: now,
            delay: None,
            attempts: Vec::new(),
            verdict: None,
            marks: Marks::default(),
        }
    }

    pub(crate) fn layer() -> Layer {
        Layer::of(&[("app".to_owned(), b"program".to_vec())], 0o755).unwrap()
    }

    #[test]
    fn an_image_is_one_that_registries_take() {
        let answers =
            Answers::from([("getconfig".to_owned(), b"HTTP/1.1 200 OK\r\n\r\n".to_vec())]);
        let recipe = Recipe::sample(&layer(), &answers).unwrap();
        let (config, manifest) = recipe.manifest().unwrap();
        let told: Value = serde_json::from_slice(&manifest.bytes).unwrap();
        assert_eq!(told["config"]["digest"], config.digest.as_str());
        assert_eq!(told["layers"].as_array().map(Vec::len), Some(2));
        let told: Value = serde_json::from_slice(&config.bytes).unwrap();
        assert_eq!(told["config"]["Entrypoint"], json!(["/app"]));
        assert_eq!(told["rootfs"]["diff_ids"].as_array().map(Vec::len), Some(2));
        let again = Recipe::sample(&layer(), &answers).unwrap().manifest().unwrap().1;
        assert_eq!(again.digest, manifest.digest, "the same image has the same digest");
    }

    #[test]
    fn an_attack_is_told_its_mode_and_whom_it_dials() {
        let fill = ATTACKS.iter().find(|attack| attack.mode == "fill").unwrap();
        let (config, _) = Recipe::hostile(&layer(), fill, "192.0.2.1:9").manifest().unwrap();
        let told: Value = serde_json::from_slice(&config.bytes).unwrap();
        let env = told["config"]["Env"].as_array().unwrap();
        for line in ["HOSTILE_MODE=fill", "HOSTILE_PATH=/", "HOSTILE_TARGETS=192.0.2.1:9"] {
            assert!(env.contains(&json!(line)), "{env:?}");
        }
    }
}
