//! Before anything starts: what the names stand for, and the images on the node.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use portcall_shared::{
    domain::{
        event::{self, Event},
        image::ImageRef,
        submission::{Pinned, Submission},
        text::defused,
        verdict::{
            Fault, Limit, ParticipantCode, ParticipantFault, PlatformCode, PlatformFault,
            RegistryCode, RegistryFault,
        },
    },
    registry::{ImageLimits, Unresolved},
};
use tokio::time::Instant;

use super::{Break, Grader, platform};
use crate::{
    fleet::{ContainerSpec, ImageDeclares, Limits, Profile, PullFailure, Role, Slot},
    lease::Progress,
};

/// How long a registry has for saying what a name stands for.
const RESOLVE: Duration = Duration::from_secs(10);
/// How many images are pulled at once for one submission.
const PULLS: usize = 3;

/// What will be started: the participant's images first, then the event's services.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) specs: Vec<ContainerSpec>,
}

impl Prepared {
    /// The participant's images with their positions among the specs.
    pub(super) fn images(&self) -> impl Iterator<Item = (usize, &str)> {
        self.specs
            .iter()
            .enumerate()
            .filter(|(_, spec)| spec.role == Role::Image)
            .map(|(position, spec)| (position, spec.alias.as_str()))
    }
}

impl Grader {
    /// Pins what could not be pinned when it was submitted, and the services of the event.
    pub(super) async fn resolve(
        &self,
        submission: &mut Submission,
        event: &Event,
        slot: &Slot,
        progress: &impl Progress,
    ) -> Result<Prepared, Break> {
        let mut limits = ImageLimits::of(&event.limits);
        limits.architecture.clone_from(&slot.node().arch);
        let profile = profile(event);
        let mut specs = Vec::new();
        let mut changed = false;
        for (index, image) in submission.images.iter_mut().enumerate() {
            let alias = event.alias(index);
            if let Some(id) = self.local(&image.image).await? {
                specs.push(spec(Role::Image, index, alias, id, profile, event));
                continue;
            }
            let pinned = match image.pinned.take() {
                Some(pinned) => pinned,
                None => {
                    changed = true;
                    let found = self.registry.resolve(&image.image, &limits, RESOLVE).await;
                    found.map_err(Fault::from)?
                }
            };
            let name = image.image.pinned(&pinned.digest);
            image.pinned = Some(pinned);
            specs.push(spec(Role::Image, index, alias, name, profile, event));
        }
        if changed {
            progress.pinned(&submission.images).await?;
        }
        for (index, service) in event.services.iter().enumerate() {
            let name = match self.local(&service.image).await? {
                Some(id) => id,
                None => {
                    let pinned = self.service(&service.image, &service.alias, slot).await?;
                    service.image.pinned(&pinned.digest)
                }
            };
            let (role, alias) = (Role::Service, service.alias.clone());
            specs.push(spec(role, index, alias, name, Profile::Ordinary, event));
        }
        Ok(Prepared { specs })
    }

    /// The id of an image that is on the machine already, where such may be used.
    async fn local(&self, image: &ImageRef) -> Result<Option<String>, Break> {
        let found = self.fleet.local_image(image.as_written()).await;
        found.map_err(|e| Break::Fault(platform("look for an image", &e)))
    }

    async fn service(&self, image: &ImageRef, alias: &str, slot: &Slot) -> Result<Pinned, Break> {
        let limits = ImageLimits {
            max_bytes: 2 * 1024 * 1024 * 1024,
            max_layers: portcall_shared::registry::MAX_LAYERS,
            architecture: slot.node().arch.clone(),
        };
        match self.registry.resolve(image, &limits, RESOLVE).await {
            Ok(pinned) => Ok(pinned),
            Err(Unresolved::Registry(fault)) => Err(fault.into()),
            Err(Unresolved::Participant(fault)) => {
                tracing::error!(
                    service.alias = alias, image.ref = %image, reason = fault.code.as_str(),
                    "a service of the event cannot be had"
                );
                let message = format!("`{alias}`, which the event provides, cannot be had");
                Err(PlatformFault::new(PlatformCode::PlatformError, message).into())
            }
        }
    }

    /// Brings every image onto the node and reads what it declares.
    pub(super) async fn pull(
        &self,
        mut prepared: Prepared,
        event: &Event,
        progress: &impl Progress,
        until: Instant,
    ) -> Result<Prepared, Break> {
        // All images share the time for pulling; what comes after it keeps its own.
        let limits = &event.limits;
        let rest = limits.start + limits.ready + limits.request;
        let by = (Instant::now() + limits.pull).min(until - rest);
        let mut pulls = Vec::with_capacity(prepared.specs.len());
        for spec in &prepared.specs {
            pulls.push(self.pull_one(spec, by));
        }
        let declared = stream::iter(pulls).buffered(PULLS).try_collect::<Vec<ImageDeclares>>();
        let declared = tokio::select! {
            declared = declared => declared?,
            stop = progress.stopped() => return Err(stop.into()),
        };
        for (spec, declared) in prepared.specs.iter_mut().zip(declared) {
            spec.declared = declared;
        }
        Ok(prepared)
    }

    async fn pull_one(&self, spec: &ContainerSpec, by: Instant) -> Result<ImageDeclares, Break> {
        let within = by.saturating_duration_since(Instant::now());
        let local = spec.image.starts_with("sha256:");
        let pulled = match local {
            true => Ok(()),
            false => self.fleet.pull(&spec.image, within).await.map(drop),
        };
        if let Err(failure) = pulled {
            return Err(pull_fault(spec, &failure, within).into());
        }
        let declared = self.fleet.image_declares(&spec.image).await;
        let declared = declared.map_err(|e| platform("read an image's configuration", &e))?;
        match declared.refusal() {
            None => Ok(declared),
            Some(message) if spec.role == Role::Image => {
                let code = ParticipantCode::ImageConfigRefused;
                Err(ParticipantFault::new(code, message).into())
            }
            Some(message) => Err(super::service_failed(&spec.alias, &message).into()),
        }
    }
}

fn profile(event: &Event) -> Profile {
    match event.profile {
        event::Profile::Ordinary => Profile::Ordinary,
        event::Profile::Strict => Profile::Strict,
    }
}

fn spec(
    role: Role,
    index: usize,
    alias: String,
    image: String,
    profile: Profile,
    event: &Event,
) -> ContainerSpec {
    let default = Limits::of(profile);
    let limits = Limits {
        memory_mib: event.limits.memory_mib,
        cpus: event.limits.cpus,
        pids: event.limits.pids.unwrap_or(default.pids),
        ..default
    };
    let declared = ImageDeclares::default();
    ContainerSpec { role, index, alias, image, profile, limits, declared }
}

fn pull_fault(spec: &ContainerSpec, failure: &PullFailure, within: Duration) -> Fault {
    let image = &spec.image;
    let detail = |text: &str| defused(text.as_bytes(), 200).replace('\n', " ");
    let participant = |code, message: String| Fault::from(ParticipantFault::new(code, message));
    let registry =
        |code, message: String| Fault::from(RegistryFault { code, message, retry_after: None });
    let fault = match failure {
        PullFailure::NotFound { .. } => participant(
            ParticipantCode::ImageNotFound,
            format!("`{image}` is no longer at its registry"),
        ),
        PullFailure::Denied { .. } => {
            participant(ParticipantCode::ImagePrivate, format!("`{image}` wants credentials"))
        }
        PullFailure::Broken { detail: why } => participant(
            ParticipantCode::ImageManifestInvalid,
            format!("`{image}` cannot be unpacked: {}", detail(why)),
        ),
        PullFailure::WrongPlatform { detail: why } => participant(
            ParticipantCode::ImageWrongPlatform,
            format!("`{image}` is for another platform: {}", detail(why)),
        ),
        PullFailure::Limited { .. } => registry(
            RegistryCode::RegistryLimited,
            "the registry limits how often we may pull".to_owned(),
        ),
        PullFailure::Slow { .. } => registry(
            RegistryCode::RegistryDown,
            format!("the registry did not deliver the image within {} s", within.as_secs()),
        ),
        PullFailure::RegistryDown { .. } => {
            registry(RegistryCode::RegistryDown, "the registry cannot be reached".to_owned())
        }
        PullFailure::Engine(error) => platform("pull an image", error),
    };
    match (fault, spec.role) {
        (Fault::Participant(fault), Role::Service) => {
            super::service_failed(&spec.alias, &fault.message).into()
        }
        (Fault::Participant(fault), Role::Image) => {
            let seconds = within.as_secs();
            fault.limit(Limit::new("pull", seconds, "s")).into()
        }
        (fault, _) => fault,
    }
}
