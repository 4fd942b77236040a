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
    quarantine::{CopyLimits, Quarantine},
};

/// How long a registry has for saying what a name stands for.
const RESOLVE: Duration = Duration::from_secs(10);
/// How many images are pulled at once for one submission.
const PULLS: usize = 3;
/// How large an image that the organiser chose may be, in bytes.
const SERVICE: u64 = 2 * 1024 * 1024 * 1024;
/// How many times larger it may be when it is unpacked.
const SERVICE_UNPACKED: u64 = 4;

/// What will be started: the participant's images first, then the event's services.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) specs: Vec<ContainerSpec>,
    /// Where each image comes from; none for one that is on the machine already.
    sources: Vec<Option<Source>>,
}

/// An image at its own registry.
#[derive(Debug)]
struct Source {
    image: ImageRef,
    pinned: Pinned,
    limits: ImageLimits,
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
        let (mut specs, mut sources) = (Vec::new(), Vec::new());
        let mut changed = false;
        for (index, image) in submission.images.iter_mut().enumerate() {
            let alias = event.alias(index);
            if let Some(id) = self.local(&image.image).await? {
                specs.push(spec(Role::Image, index, alias, id, profile, event));
                sources.push(None);
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
            image.pinned = Some(pinned.clone());
            sources.push(Some(Source {
                image: image.image.clone(),
                pinned,
                limits: limits.clone(),
            }));
            specs.push(spec(Role::Image, index, alias, name, profile, event));
        }
        if changed {
            progress.pinned(&submission.images).await?;
        }
        for (index, service) in event.services.iter().enumerate() {
            let name = match self.local(&service.image).await? {
                Some(id) => {
                    sources.push(None);
                    id
                }
                None => {
                    let source = self.service(&service.image, &service.alias, slot).await?;
                    let name = service.image.pinned(&source.pinned.digest);
                    sources.push(Some(source));
                    name
                }
            };
            let (role, alias) = (Role::Service, service.alias.clone());
            specs.push(spec(role, index, alias, name, Profile::Ordinary, event));
        }
        Ok(Prepared { specs, sources })
    }

    /// The id of an image that is on the machine already, where such may be used.
    async fn local(&self, image: &ImageRef) -> Result<Option<String>, Break> {
        let found = self.fleet.local_image(image.as_written()).await;
        found.map_err(|e| Break::Fault(platform("look for an image", &e)))
    }

    async fn service(&self, image: &ImageRef, alias: &str, slot: &Slot) -> Result<Source, Break> {
        let limits = ImageLimits {
            max_bytes: SERVICE,
            max_layers: portcall_shared::registry::MAX_LAYERS,
            architecture: slot.node().arch.clone(),
        };
        match self.registry.resolve(image, &limits, RESOLVE).await {
            Ok(pinned) => Ok(Source { image: image.clone(), pinned, limits }),
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
        for (spec, source) in prepared.specs.iter().zip(&prepared.sources) {
            pulls.push(self.pull_one(spec, source.as_ref(), by));
        }
        let pulled = stream::iter(pulls).buffered(PULLS).try_collect::<Vec<_>>();
        let pulled = tokio::select! {
            pulled = pulled => pulled?,
            stop = progress.stopped() => return Err(stop.into()),
        };
        for (spec, (name, declared)) in prepared.specs.iter_mut().zip(pulled) {
            (spec.image, spec.declared) = (name, declared);
        }
        Ok(prepared)
    }

    /// Brings one image onto the node; its name there, and what it declares.
    async fn pull_one(
        &self,
        spec: &ContainerSpec,
        source: Option<&Source>,
        by: Instant,
    ) -> Result<(String, ImageDeclares), Break> {
        let name = match (source, &self.quarantine) {
            (None, _) => spec.image.clone(),
            (Some(_), None) => {
                let within = by.saturating_duration_since(Instant::now());
                let pulled = self.fleet.pull(&spec.image, within).await;
                pulled.map_err(|failure| pull_fault(spec, &failure, within))?;
                spec.image.clone()
            }
            (Some(source), Some(quarantine)) => {
                self.pull_admitted(spec, source, quarantine, by).await?
            }
        };
        let declared = self.fleet.image_declares(&name).await;
        let declared = declared.map_err(|e| platform("read an image's configuration", &e))?;
        match declared.refusal() {
            None => Ok((name, declared)),
            Some(message) if spec.role == Role::Image => {
                let code = ParticipantCode::ImageConfigRefused;
                Err(ParticipantFault::new(code, message).into())
            }
            Some(message) => Err(super::service_failed(&spec.alias, &message).into()),
        }
    }
}

impl Grader {
    /// Copies an image into the quarantine and brings it onto the node from there.
    async fn pull_admitted(
        &self,
        spec: &ContainerSpec,
        source: &Source,
        quarantine: &Quarantine,
        by: Instant,
    ) -> Result<String, Fault> {
        let unpacked = match spec.role {
            Role::Image => quarantine.unpacked(),
            Role::Service => quarantine.unpacked().max(SERVICE * SERVICE_UNPACKED),
        };
        let limits = CopyLimits::of(source.limits.clone(), unpacked);
        let admitted = quarantine.admit(&source.image, &source.pinned, &limits, by).await;
        let name = admitted.map_err(|fault| match (fault, spec.role) {
            (Fault::Participant(fault), Role::Service) => {
                super::service_failed(&spec.alias, &fault.message).into()
            }
            (fault, _) => fault,
        })?;
        let within = by.saturating_duration_since(Instant::now());
        match self.fleet.pull(&name, within).await {
            Ok(_) => Ok(name),
            Err(failure @ PullFailure::WrongPlatform { .. }) => {
                Err(pull_fault(spec, &failure, within))
            }
            Err(PullFailure::Engine(error)) => Err(platform("pull an image", &error)),
            // It was looked at and is there: whatever fails now is ours.
            Err(failure) => {
                tracing::error!(image = name, error = %failure, "cannot pull from the quarantine");
                let message = "the platform could not bring the image onto the machine";
                Err(PlatformFault::new(PlatformCode::PlatformError, message).into())
            }
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
