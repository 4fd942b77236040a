//! Asking a registry what an image name stands for, before a single layer is fetched.
//!
//! The api does it inside the POST; the worker does it for what could not be asked then. What is
//! found wrong with the image is the participant's fault; a registry that does not answer, or
//! answers 429 or 5xx, is the registry's. Nothing here follows a redirect or a token realm to a
//! host that the registry is not known to use.

mod client;
mod headers;
mod hosts;
pub mod manifest;
pub mod push;

use std::time::Duration;

pub use self::client::Blob;
use self::{
    client::{Client, Own, Session},
    manifest::{Found, MAX_CONFIG, Manifest},
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

/// A manifest of an image for one platform, as it came, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawImage {
    /// The document whose digest it was asked by.
    pub body: Vec<u8>,
    /// What the registry says it is, without parameters.
    pub media_type: String,
    /// What is in it.
    pub manifest: Manifest,
}

/// How long a registry may take until a blob begins to come.
const BLOB_BEGINS: Duration = Duration::from_secs(10);

/// Asks registries. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry {
    client: Client,
}

impl Registry {
    /// A client that speaks plain HTTP to loopback and to these hosts, HTTPS to all others.
    ///
    /// It connects to addresses of the internet only; these hosts, being the operator's own, may
    /// have any.
    #[must_use]
    pub fn new(plain_http: Vec<RegistryHost>) -> Self {
        Self::with_private(plain_http, Vec::new())
    }

    /// The same, with hosts that may have any address and are spoken to in HTTPS.
    #[must_use]
    pub fn with_private(plain_http: Vec<RegistryHost>, private: Vec<RegistryHost>) -> Self {
        let own = Own { plain: plain_http, private };
        Self { client: Client::new(own, hosts::system()) }
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
        in_time(image, within, self.resolve_now(image, limits)).await
    }

    /// The manifest that was pinned: of one platform, checked like when it was.
    ///
    /// # Errors
    /// What is wrong with the image, or that the registry did not say within the time.
    pub async fn manifest(
        &self,
        image: &ImageRef,
        digest: &Digest,
        limits: &ImageLimits,
        within: Duration,
    ) -> Result<RawImage, Unresolved> {
        let asked = async { of_platform(&mut self.client.session(image)?, digest, limits).await };
        in_time(image, within, asked).await
    }

    /// A blob of the image, of which nothing has been read yet. It may come from another host that
    /// the registry is known to use.
    ///
    /// # Errors
    /// When the registry does not have it, or does not begin to send it within 10 seconds.
    pub async fn blob(&self, image: &ImageRef, digest: &Digest) -> Result<Blob, Unresolved> {
        let asked = async { self.client.session(image)?.blob(digest).await };
        let response = in_time(image, BLOB_BEGINS, asked).await?;
        Ok(Blob::new(response, image.host().clone()))
    }

    async fn resolve_now(
        &self,
        image: &ImageRef,
        limits: &ImageLimits,
    ) -> Result<Pinned, Unresolved> {
        let mut session = self.client.session(image)?;
        let asked = image.digest();
        let reference = match asked {
            Some(digest) => digest.as_str(),
            None => image.tag().unwrap_or("latest"),
        };
        let raw = session.manifest(reference).await?;
        let digest = raw.digest(asked)?;
        let (digest, manifest) = match manifest::read(&raw.body, &raw.media_type, limits)? {
            Found::Manifest(manifest) => (digest, manifest),
            Found::Index(chosen) => {
                let image = of_platform(&mut session, &chosen.digest, limits).await?;
                if image.body.len() as u64 != chosen.size {
                    let message = "the index gives the manifest another size than it has";
                    return Err(refuse(ParticipantCode::ImageManifestInvalid, message));
                }
                (chosen.digest, image.manifest)
            }
        };
        check(&manifest, limits)?;
        check_config(&mut session, &manifest, limits).await?;
        Ok(pinned(digest, &manifest, limits))
    }
}

async fn in_time<T>(
    image: &ImageRef,
    within: Duration,
    asked: impl Future<Output = Result<T, Unresolved>>,
) -> Result<T, Unresolved> {
    match tokio::time::timeout(within, asked).await {
        Ok(result) => result,
        Err(_) => {
            let seconds = within.as_secs_f32();
            Err(down(format!("{} did not answer within {seconds:.1} s", image.host())))
        }
    }
}

/// One platform's manifest. An index cannot be one.
async fn of_platform(
    session: &mut Session<'_>,
    digest: &Digest,
    limits: &ImageLimits,
) -> Result<RawImage, Unresolved> {
    let raw = session.manifest(digest.as_str()).await?;
    raw.digest(Some(digest))?;
    match manifest::read(&raw.body, &raw.media_type, limits)? {
        Found::Manifest(manifest) => {
            check(&manifest, limits)?;
            Ok(RawImage { body: raw.body, media_type: raw.media_type, manifest })
        }
        Found::Index(_) => {
            let message = "the index points to another index";
            Err(refuse(ParticipantCode::ImageManifestInvalid, message))
        }
    }
}

async fn check_config(
    session: &mut Session<'_>,
    manifest: &Manifest,
    limits: &ImageLimits,
) -> Result<(), Unresolved> {
    let body = session.small_blob(&manifest.config, MAX_CONFIG).await?;
    let body = body.ok_or_else(manifest::config_too_large)?;
    if body.len() as u64 != manifest.config_size {
        let message = "the manifest gives the configuration another size than it has";
        return Err(refuse(ParticipantCode::ImageManifestInvalid, message));
    }
    manifest.check_layers(&manifest::check_config(&body, limits)?)
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

#[cfg(test)]
mod tests;
