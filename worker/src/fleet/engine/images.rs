//! Images: fetching strangers' by digest, reading what they declare, and loading our own.

use std::{io, time::Duration};

use bollard::{
    models::ImageInspect,
    query_parameters::{CreateImageOptionsBuilder, ImportImageOptionsBuilder},
};
use futures::TryStreamExt;
use tokio::time::timeout;

use super::{EngineFleet, Images, LOAD, READ};
use crate::fleet::{
    Came, Pulled,
    endpoint::within,
    error::{FleetError, PullFailure, cut},
    facts::NodeFacts,
    labels::Tenant,
    own_image::OwnImage,
    workload::ImageDeclares,
};

impl EngineFleet {
    pub(in crate::fleet) async fn pull(
        &self,
        image: &str,
        limit: Duration,
    ) -> Result<Pulled, PullFailure> {
        require_pinned(image)?;
        let looked = {
            let _looking = self.looking.read().await;
            self.uses.used(image);
            self.inspect_image(image).await
        };
        let (came, there) = match looked {
            Ok(there) => (Came::AlreadyThere, there),
            Err(error) if error.is_not_found() => {
                self.fetch(image, limit).await?;
                self.uses.fetched(image);
                (Came::Fetched, self.inspect_image(image).await?)
            }
            Err(error) => return Err(error.into()),
        };
        right_platform(&there, &*self.known_facts().await?)?;
        Ok(Pulled { came, declares: declares(there) })
    }

    async fn fetch(&self, image: &str, limit: Duration) -> Result<(), PullFailure> {
        let docker = self.docker()?;
        let options = CreateImageOptionsBuilder::new().from_image(image).build();
        // Dropping the stream at the deadline breaks the connection, and so the engine's pull.
        // Its lines are read and forgotten.
        let lines = docker.create_image(Some(options), None, None);
        match timeout(limit, lines.try_for_each(|_| async { Ok(()) })).await {
            Err(_) => Err(PullFailure::Slow { after: limit }),
            Ok(fetched) => {
                fetched.map_err(|error| sort(FleetError::from_client("pulling an image", error)))
            }
        }
    }

    /// The id of an image that is on the machine under a name, if it is and may be used.
    pub(in crate::fleet) async fn local_image(
        &self,
        name: &str,
    ) -> Result<Option<String>, FleetError> {
        if self.settings.images != Images::LocalToo {
            return Ok(None);
        }
        match self.inspect_image(name).await {
            Ok(image) => Ok(image.id),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(in crate::fleet) async fn image_declares(
        &self,
        image: &str,
    ) -> Result<ImageDeclares, FleetError> {
        Ok(declares(self.inspect_image(image).await?))
    }

    /// Sees to it that the node has an image of ours; gives its name.
    pub(in crate::fleet) async fn own_image(
        &self,
        own: OwnImage,
        node: &NodeFacts,
    ) -> Result<String, FleetError> {
        let tag = match own {
            OwnImage::Prober => &self.prober_tag,
            OwnImage::Canary => &self.canary_tag,
        };
        let tag = tag.get_or_try_init(|| self.with_binary(own, move |binary| Ok(own.tag(binary))));
        let tag = tag.await?;
        match self.inspect_image(tag).await {
            Ok(_) => return Ok(tag.clone()),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        let (os, arch) = (node.os.clone(), node.arch.clone());
        let archive = self.with_binary(own, move |binary| own.archive(binary, &os, &arch)).await?;
        let docker = self.docker()?;
        let options = ImportImageOptionsBuilder::new().quiet(true).build();
        let lines = docker.import_image(options, bollard::body_full(archive.into()), None);
        let load = lines.try_for_each(|_| async { Ok(()) });
        within(LOAD, "loading an image of ours", load).await?;
        self.inspect_image(tag).await?;
        Ok(tag.clone())
    }

    /// Reads the binary of one of ours and works on it, off the threads that answer.
    async fn with_binary<T: Send + 'static>(
        &self,
        own: OwnImage,
        work: impl FnOnce(&[u8]) -> io::Result<T> + Send + 'static,
    ) -> Result<T, FleetError> {
        let path = match own {
            OwnImage::Prober => &self.settings.prober,
            OwnImage::Canary => &self.settings.canary,
        };
        let unreadable = |source| FleetError::OwnBinary { path: path.clone(), source };
        let read = path.clone();
        let done = tokio::task::spawn_blocking(move || work(&std::fs::read(read)?)).await;
        done.map_err(io::Error::other).flatten().map_err(unreadable)
    }

    async fn inspect_image(&self, image: &str) -> Result<ImageInspect, FleetError> {
        let docker = self.docker()?;
        within(READ, "inspecting an image", docker.inspect_image(image)).await
    }
}

impl EngineFleet {
    /// Refuses what may not be started here: of our own images, a canary is started as a canary and
    /// in no other way.
    pub(super) fn check_startable(&self, image: &str, tenant: &Tenant) -> Result<(), FleetError> {
        match tenant {
            Tenant::Submission(_) => require_startable(image, self.settings.images),
            Tenant::Canary(_) if self.canary_tag.get().is_some_and(|own| own == image) => Ok(()),
            Tenant::Canary(_) => Err(FleetError::NotPinned(image.to_owned())),
        }
    }
}

fn require_startable(image: &str, images: Images) -> Result<(), FleetError> {
    let id = image.strip_prefix("sha256:").is_some_and(|id| id.len() == 64);
    if images == Images::LocalToo && id { Ok(()) } else { require_pinned(image) }
}

/// A tag may move between check and run; a digest may not.
fn require_pinned(image: &str) -> Result<(), FleetError> {
    let pinned = image.split_once("@sha256:").is_some_and(|(name, digest)| {
        !name.is_empty() && digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit())
    });
    if pinned { Ok(()) } else { Err(FleetError::NotPinned(image.to_owned())) }
}

fn declares(image: ImageInspect) -> ImageDeclares {
    let config = image.config.unwrap_or_default();
    let mut volumes = config.volumes.unwrap_or_default();
    volumes.sort();
    let mut exposed_ports = config.exposed_ports.unwrap_or_default();
    exposed_ports.sort();
    let entrypoint = config.entrypoint.unwrap_or_default().into_iter();
    ImageDeclares {
        volumes,
        user: config.user.filter(|user| !user.is_empty()),
        working_dir: config.working_dir.filter(|dir| !dir.is_empty()),
        exposed_ports,
        command: entrypoint.chain(config.cmd.unwrap_or_default()).collect(),
    }
}

fn right_platform(image: &ImageInspect, node: &NodeFacts) -> Result<(), PullFailure> {
    let (os, arch) = (image.os.as_deref(), image.architecture.as_deref());
    if os == Some(&node.os) && arch == Some(&node.arch) {
        return Ok(());
    }
    let (os, arch) = (os.unwrap_or("?"), arch.unwrap_or("?"));
    let detail = format!("it is for {os}/{arch}, the node is {}/{}", node.os, node.arch);
    Err(PullFailure::WrongPlatform { detail: cut(&detail) })
}

/// Whose fault a refused pull is. The engine speaks for itself and for the registry in the same
/// words; they are told apart by the registry's error codes and by what only a network says.
fn sort(error: FleetError) -> PullFailure {
    let FleetError::Refused { message, .. } = &error else { return error.into() };
    let detail = message.clone();
    let said = message.to_lowercase();
    let says = |any: &[&str]| any.iter().any(|words| said.contains(words));
    if says(&["toomanyrequests", "too many requests", "rate limit", "status: 429"]) {
        PullFailure::Limited { detail }
    } else if says(&["no space left on device", "disk quota exceeded", "cannot allocate memory"]) {
        error.into()
    } else if says(&[
        "no matching manifest for",
        "does not match the specified platform",
        "cannot be used on this platform",
        "image operating system",
    ]) {
        PullFailure::WrongPlatform { detail }
    } else if says(&[
        "pull access denied",
        "unauthorized",
        "authentication required",
        "denied: requested access",
        "no basic auth credentials",
        "status: 403 ",
    ]) {
        PullFailure::Denied { detail }
    } else if says(&[
        "manifest unknown",
        "name unknown",
        "repository name not known",
        "not found: manifest",
        "manifest for ",
        "repository does not exist",
        "status: 404 ",
    ]) {
        PullFailure::NotFound { detail }
    } else if says(&[
        "failed to register layer",
        "filesystem layer verification failed",
        "invalid tar header",
        "archive/tar",
        "unsupported media type",
        "unexpected media type",
        "invalid checksum digest",
        "mediatype in manifest",
        "missing signature key",
    ]) {
        PullFailure::Broken { detail }
    } else if says(&[
        "connection refused",
        "no such host",
        "i/o timeout",
        "tls handshake",
        "server gave http response",
        "unexpected http status",
        "unexpected status",
        "x509",
        "connection reset",
        "network is unreachable",
        "no route to host",
        "eof",
        "request canceled",
        "deadline exceeded",
        "error parsing http",
        "http: server",
    ]) {
        PullFailure::RegistryDown { detail }
    } else {
        error.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pinned_images_are_run() {
        let digest = "a".repeat(64);
        assert!(require_pinned(&format!("r.example:5000/u/app@sha256:{digest}")).is_ok());
        for bad in [
            "u/app",
            "u/app:1",
            &format!("sha256:{digest}"),
            &format!("@sha256:{digest}"),
            "u/app@sha256:abc",
            &format!("u/app@sha256:{digest}0"),
            &digest,
        ] {
            assert!(require_pinned(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_id_is_startable_only_where_local_images_are_allowed() {
        let id = format!("sha256:{}", "a".repeat(64));
        assert!(require_startable(&id, Images::LocalToo).is_ok());
        assert!(require_startable(&id, Images::Pinned).is_err());
        assert!(require_startable("u/app:1", Images::LocalToo).is_err());
    }

    #[test]
    fn the_engines_words_are_sorted_by_fault() {
        let sorted = |message: &str| {
            let message = message.to_owned();
            let error = FleetError::Refused { doing: "pulling an image", status: 500, message };
            match sort(error) {
                PullFailure::NotFound { .. } => "not found",
                PullFailure::Denied { .. } => "denied",
                PullFailure::Broken { .. } => "broken",
                PullFailure::WrongPlatform { .. } => "platform",
                PullFailure::Limited { .. } => "limited",
                PullFailure::Slow { .. } => "slow",
                PullFailure::RegistryDown { .. } => "down",
                PullFailure::Engine(_) => "engine",
            }
        };
        for (message, fault) in [
            (
                "manifest for r/u/app@sha256:ab not found: manifest unknown: manifest unknown",
                "not found",
            ),
            ("name unknown: repository name not known to registry", "not found"),
            (
                "pull access denied for u/app, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
                "denied",
            ),
            (
                "Head \"https://r/v2/u/app/manifests/1\": unauthorized: authentication required",
                "denied",
            ),
            ("toomanyrequests: You have reached your pull rate limit.", "limited"),
            (
                "Get \"http://127.0.0.1:5999/v2/\": dial tcp 127.0.0.1:5999: connect: connection refused",
                "down",
            ),
            ("Get \"https://r/v2/\": dial tcp: lookup r on 192.0.2.1:53: no such host", "down"),
            ("received unexpected HTTP status: 503 Service Unavailable", "down"),
            ("Get \"https://r/v2/\": http: server gave HTTP response to HTTPS client", "down"),
            ("unexpected EOF", "down"),
            ("filesystem layer verification failed for digest sha256:ab", "broken"),
            (
                "failed to register layer: Error processing tar file(exit status 1): archive/tar: invalid tar header",
                "broken",
            ),
            ("failed to register layer: write /x: no space left on device", "engine"),
            ("no matching manifest for linux/amd64 in the manifest list entries", "platform"),
            ("image operating system \"windows\" cannot be used on this platform", "platform"),
            ("something new", "engine"),
        ] {
            assert_eq!(sorted(message), fault, "{message}");
        }
    }
}
