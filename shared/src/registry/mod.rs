//! Asking a registry what an image name stands for, before a single layer is fetched.
//!
//! The api does it inside the POST; the worker does it for what could not be asked then. What is
//! found wrong with the image is the participant's fault; a registry that does not answer, or
//! answers 429 or 5xx, is the registry's. Nothing here follows a redirect or a token realm to a
//! host that the registry is not known to use.

mod client;
pub mod manifest;

use std::time::Duration;

use self::{
    client::Client,
    manifest::{Found, Manifest},
};
use crate::domain::{
    image::{Digest, ImageRef, RegistryHost},
    submission::Pinned,
    verdict::{Fault, Limit, ParticipantCode, ParticipantFault, RegistryCode, RegistryFault},
};

/// What an image may be at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageLimits {
    /// Compressed size of all layers, in bytes.
    pub max_bytes: u64,
    /// Number of layers.
    pub max_layers: usize,
    /// Architecture of the nodes, such as `amd64`; the system is always `linux`.
    pub architecture: String,
}

/// Most layers of an image.
pub const MAX_LAYERS: usize = 64;

impl ImageLimits {
    /// The limits of an event for `linux/amd64` nodes.
    #[must_use]
    pub fn of(limits: &crate::domain::event::Limits) -> Self {
        Self {
            max_bytes: u64::from(limits.image_mib) * 1024 * 1024,
            max_layers: MAX_LAYERS,
            architecture: "amd64".to_owned(),
        }
    }

    fn platform(&self) -> String {
        format!("linux/{}", self.architecture)
    }
}

/// Why an image could not be pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// There is something wrong with the image.
    Participant(ParticipantFault),
    /// The registry did not say.
    Registry(RegistryFault),
}

impl From<Unresolved> for Fault {
    fn from(unresolved: Unresolved) -> Self {
        match unresolved {
            Unresolved::Participant(fault) => Self::Participant(fault),
            Unresolved::Registry(fault) => Self::Registry(fault),
        }
    }
}

pub(crate) fn refuse(code: ParticipantCode, message: impl Into<String>) -> Unresolved {
    Unresolved::Participant(ParticipantFault::new(code, message))
}

fn down(message: impl Into<String>) -> Unresolved {
    let code = RegistryCode::RegistryDown;
    Unresolved::Registry(RegistryFault { code, message: message.into(), retry_after: None })
}

/// Asks registries. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry {
    client: Client,
}

impl Registry {
    /// A client that speaks plain HTTP to loopback and to these hosts, HTTPS to all others.
    #[must_use]
    pub fn new(plain_http: Vec<RegistryHost>) -> Self {
        Self { client: Client::new(plain_http) }
    }

    /// Finds the manifest for the nodes' platform, checks it and its configuration, and pins its
    /// digest.
    ///
    /// # Errors
    /// What is wrong with the image, or that the registry did not say within the time.
    pub async fn resolve(
        &self,
        image: &ImageRef,
        limits: &ImageLimits,
        within: Duration,
    ) -> Result<Pinned, Unresolved> {
        match tokio::time::timeout(within, self.resolve_now(image, limits)).await {
            Ok(result) => result,
            Err(_) => {
                let seconds = within.as_secs_f32();
                Err(down(format!("{} did not answer within {seconds:.1} s", image.host())))
            }
        }
    }

    async fn resolve_now(
        &self,
        image: &ImageRef,
        limits: &ImageLimits,
    ) -> Result<Pinned, Unresolved> {
        let mut session = self.client.session(image);
        let reference = match (image.digest(), image.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.unwrap_or("latest").to_owned(),
        };
        let raw = session.manifest(&reference).await?;
        let mut digest = raw.digest(image.digest())?;
        let manifest = match manifest::read(&raw.body, &raw.media_type, limits)? {
            Found::Manifest(manifest) => manifest,
            Found::Index(chosen) => {
                let raw = session.manifest(chosen.as_str()).await?;
                digest = raw.digest(Some(&chosen))?;
                match manifest::read(&raw.body, &raw.media_type, limits)? {
                    Found::Manifest(manifest) => manifest,
                    Found::Index(_) => {
                        let message = "the index points to another index";
                        return Err(refuse(ParticipantCode::ImageManifestInvalid, message));
                    }
                }
            }
        };
        check(&manifest, limits)?;
        let config = session.blob(&manifest.config, manifest::MAX_CONFIG).await?;
        manifest::check_config(&config, limits)?;
        Ok(pinned(digest, &manifest, limits))
    }
}

fn check(manifest: &Manifest, limits: &ImageLimits) -> Result<(), Unresolved> {
    let mib = |bytes: u64| bytes.div_ceil(1024 * 1024);
    if manifest.layers.len() > limits.max_layers {
        let message = format!("the image has {} layers", manifest.layers.len());
        let fault = ParticipantFault::new(ParticipantCode::ImageTooManyLayers, message)
            .limit(Limit::new("layers", limits.max_layers as u64, "layers"))
            .hint("join RUN lines, or squash the image");
        return Err(Unresolved::Participant(fault));
    }
    let size = manifest.size();
    if size > limits.max_bytes {
        let message = format!("the image is {} MiB compressed", mib(size));
        let fault = ParticipantFault::new(ParticipantCode::ImageTooLarge, message)
            .limit(Limit::new("image size", mib(limits.max_bytes), "MiB"))
            .hint("use a smaller base image or a multi-stage build");
        return Err(Unresolved::Participant(fault));
    }
    Ok(())
}

fn pinned(digest: Digest, manifest: &Manifest, limits: &ImageLimits) -> Pinned {
    Pinned {
        digest,
        platform: limits.platform(),
        size: manifest.size(),
        layers: u32::try_from(manifest.layers.len()).unwrap_or(u32::MAX),
    }
}
