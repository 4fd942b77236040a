//! Before anything starts: what the names stand for, and the images on the node.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use portcall_shared::{
    domain::{
        event::{self, Event, Service},
        event_file,
        image::ImageRef,
        submission::{Pinned, Submission},
        text::defused_line,
        verdict::{
            Fault, Limit, ParticipantCode, ParticipantFault, PlatformCode, PlatformFault,
            RegistryCode, RegistryFault,
        },
    },
    registry::{ImageLimits, Unresolved},
};
use tokio::time::{Instant, timeout_at};

use super::{Break, Grader, platform};
use crate::{
    fleet::{ContainerSpec, ImageDeclares, Limits, Profile, PullFailure, Role},
    lease::Progress,
    quarantine::{CopyLimits, Quarantine},
};

/// How long a registry has for saying what a name stands for.
const RESOLVE: Duration = Duration::from_secs(10);
/// How many services are asked for at once: all of them, so that they take no longer than one.
const ASKED: usize = event_file::MAX_SERVICES;
/// How many images are pulled at once for one submission.
const PULLS: usize = 3;
/// How large an image that the organiser chose may be, in bytes.
const SERVICE: u64 = 2 * 1024 * 1024 * 1024;
/// How many times larger it may be when it is unpacked.
const SERVICE_UNPACKED: u64 = 4;

/// What will be started: the participant's images first, then the event's services.
#[derive(Debug)]
pub struct Prepared {
    pub(super) specs: Vec<ContainerSpec>,
    /// Where each image comes from; none for one that is on the machine already.
    sources: Vec<Option<Source>>,
}

/// Whether images were pinned that were not before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pins {
    New,
    AsTheyWere,
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
        architecture: &str,
        progress: &impl Progress,
        until: Instant,
    ) -> Result<Prepared, Break> {
        let by = pulled_by(event, until);
        let mut prepared = Prepared { specs: Vec::new(), sources: Vec::new() };
        let images = self.images(submission, event, architecture, &mut prepared);
        if in_time(images, progress, by).await? == Pins::New {
            progress.pinned(&submission.images).await?;
        }
        let mut services = Vec::with_capacity(event.services.len());
        for (index, service) in event.services.iter().enumerate() {
            services.push(self.service(index, service, event, architecture));
        }
        let services = stream::iter(services).buffered(ASKED).try_collect::<Vec<_>>();
        for (spec, source) in in_time(services, progress, by).await? {
            prepared.specs.push(spec);
            prepared.sources.push(source);
        }
        Ok(prepared)
    }

    /// The participant's images, pinned.
    async fn images(
        &self,
        submission: &mut Submission,
        event: &Event,
        architecture: &str,
        prepared: &mut Prepared,
    ) -> Result<Pins, Break> {
        let mut limits = ImageLimits::of(&event.limits);
        architecture.clone_into(&mut limits.architecture);
        let profile = profile(event);
        let mut pins = Pins::AsTheyWere;
        for (index, image) in submission.images.iter_mut().enumerate() {
            let alias = event.alias(index);
            if let Some(id) = self.local(&image.image).await? {
                prepared.specs.push(spec(Role::Image, index, alias, id, profile, event));
                prepared.sources.push(None);
                continue;
            }
            let pinned = match image.pinned.take() {
                Some(pinned) => pinned,
                None => {
                    pins = Pins::New;
                    let found = self.registry.resolve(&image.image, &limits, RESOLVE).await;
                    found.map_err(Fault::from)?
                }
            };
            let name = image.image.pinned(&pinned.digest);
            image.pinned = Some(pinned.clone());
            let limits = limits.clone();
            prepared.sources.push(Some(Source { image: image.image.clone(), pinned, limits }));
            prepared.specs.push(spec(Role::Image, index, alias, name, profile, event));
        }
        Ok(pins)
    }

    /// A service of the event, pinned.
    async fn service(
        &self,
        index: usize,
        service: &Service,
        event: &Event,
        architecture: &str,
    ) -> Result<(ContainerSpec, Option<Source>), Break> {
        let (name, source) = match self.local(&service.image).await? {
            Some(id) => (id, None),
            None => {
                let source = self.source(&service.image, &service.alias, architecture).await?;
                (service.image.pinned(&source.pinned.digest), Some(source))
            }
        };
        let (role, alias) = (Role::Service, service.alias.clone());
        Ok((spec(role, index, alias, name, Profile::Ordinary, event), source))
    }

    /// The id of an image that is on the machine already, where such may be used.
    async fn local(&self, image: &ImageRef) -> Result<Option<String>, Break> {
        let found = self.fleet.local_image(image.as_written()).await;
        found.map_err(|e| Break::Fault(platform("look for an image", &e)))
    }

    async fn source(
        &self,
        image: &ImageRef,
        alias: &str,
        architecture: &str,
    ) -> Result<Source, Break> {
        let limits = ImageLimits {
            max_bytes: SERVICE,
            max_layers: portcall_shared::registry::MAX_LAYERS,
            architecture: architecture.to_owned(),
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
        // All images share the time for pulling.
        let by = (Instant::now() + event.limits.pull).min(pulled_by(event, until));
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
        let (name, declared) = match (source, &self.quarantine) {
            (None, _) => {
                let declared = self.fleet.image_declares(&spec.image).await;
                let declared = declared.map_err(|e| platform("read an image's configuration", &e));
                (spec.image.clone(), declared?)
            }
            (Some(_), None) => {
                let within = by.saturating_duration_since(Instant::now());
                let pulled = self.fleet.pull(&spec.image, within).await;
                let pulled = pulled.map_err(|failure| pull_fault(spec, &failure, within))?;
                (spec.image.clone(), pulled.declares)
            }
            (Some(source), Some(quarantine)) => {
                self.pull_admitted(spec, source, quarantine, by).await?
            }
        };
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
    /// Copies an image into the quarantine and brings it onto the node from there; its name there,
    /// and what it declares.
    async fn pull_admitted(
        &self,
        spec: &ContainerSpec,
        source: &Source,
        quarantine: &Quarantine,
        by: Instant,
    ) -> Result<(String, ImageDeclares), Fault> {
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
            Ok(pulled) => Ok((name, pulled.declares)),
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

/// Until when the images must be there: what comes after keeps its own time.
fn pulled_by(event: &Event, until: Instant) -> Instant {
    let limits = &event.limits;
    until - (limits.start + limits.ready + limits.request)
}

/// Asks registries until the time is over or the grading must stop.
async fn in_time<T>(
    asked: impl Future<Output = Result<T, Break>>,
    progress: &impl Progress,
    by: Instant,
) -> Result<T, Break> {
    tokio::select! {
        told = timeout_at(by, asked) => told.unwrap_or_else(|_| {
            let message = "the registries did not say in time what the images' names stand for";
            let code = RegistryCode::RegistryDown;
            Err(RegistryFault { code, message: message.to_owned(), retry_after: None }.into())
        }),
        stop = progress.stopped() => Err(stop.into()),
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
    let detail = |text: &str| defused_line(text, 200);
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

#[cfg(test)]
mod tests {
    use std::{future::pending, net::TcpListener, path::PathBuf};

    use portcall_shared::{
        domain::{
            ids::{SubmissionId, WorkerId},
            place::Place,
            state::{Lifecycle, Step},
            submission::{Marks, Participant, SubmittedImage},
        },
        registry::Registry,
    };
    use time::OffsetDateTime;

    use super::*;
    use crate::{
        fleet::{EngineSettings, Fleet, Images, LabelKey, NodeSettings, SubnetPool},
        grade::{Admission, DiskFloor},
        lease::Stop,
    };

    /// Told to stop, or never.
    struct Told(Option<Stop>);

    impl Progress for Told {
        async fn step(&self, _: Step) -> Result<(), Stop> {
            Ok(())
        }

        async fn pinned(&self, _: &[SubmittedImage]) -> Result<(), Stop> {
            Ok(())
        }

        async fn stopped(&self) -> Stop {
            match self.0 {
                Some(stop) => stop,
                None => pending().await,
            }
        }
    }

    /// On an engine that is asked nothing before there is something to pull.
    fn grader() -> Grader {
        portcall_shared::tls::install_provider();
        let settings = EngineSettings {
            host: "unix:///nowhere".into(),
            certs: None,
            worker: WorkerId::new(),
            key: LabelKey([0; 32]),
            prober: PathBuf::new(),
            canary: PathBuf::new(),
            pool: SubnetPool::default(),
            node: NodeSettings::default(),
            images: Images::Pinned,
        };
        Grader {
            fleet: Fleet::engine(settings).unwrap(),
            registry: Registry::new(Vec::new()),
            quarantine: None,
            floor: DiskFloor::default(),
            admission: Admission::default(),
        }
    }

    fn submission(images: &[&str]) -> Submission {
        let now = OffsetDateTime::UNIX_EPOCH;
        let image = |name: &&str| SubmittedImage { image: name.parse().unwrap(), pinned: None };
        Submission {
            id: SubmissionId::new(),
            event: "e".parse().unwrap(),
            event_version: 1,
            participant: Participant { name: "Ann".parse().unwrap(), handle: None, contact: None },
            place: Place { label: "X".parse().unwrap(), point: None, country: None },
            images: images.iter().map(image).collect(),
            answers: [].into(),
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

    /// As many services as there may be, at a registry that takes calls and answers none, with so many
    /// seconds for them; how it ended, and after how long.
    async fn resolved(images: &[&str], told: &Told, seconds: u64) -> (Break, Duration) {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = silent.local_addr().unwrap().to_string();
        let service = |n| format!("[[services]]\nalias = \"s{n}\"\nimage = \"{host}/a/s{n}\"\n");
        let services: String = (0..event_file::MAX_SERVICES).map(service).collect();
        let file = format!(
            "slug = \"e\"\ntitle = \"E\"\n{services}[[checks]]\nname = \"c\"\nget = \"/\"\n\
             [limits]\nstart_s = 1\nready_s = 1\nrequest_s = 1\ngrading_s = {}\n",
            seconds + 3
        );
        let event = event_file::parse(&file).unwrap();
        let images: Vec<String> = images.iter().map(|name| format!("{host}/{name}")).collect();
        let images: Vec<&str> = images.iter().map(String::as_str).collect();
        let (grader, mut submission) = (grader(), submission(&images));
        let began = Instant::now();
        let until = began + event.limits.grading;
        let resolved = grader.resolve(&mut submission, &event, "amd64", told, until).await;
        (resolved.unwrap_err(), began.elapsed())
    }

    #[tokio::test]
    async fn registries_that_do_not_answer_leave_the_rest_its_time() {
        for images in [&[][..], &["a/b"]] {
            let (ended, after) = resolved(images, &Told(None), 1).await;
            let Break::Fault(Fault::Registry(fault)) = ended else { panic!("{ended:?}") };
            assert_eq!(fault.code, RegistryCode::RegistryDown);
            assert!(after >= Duration::from_secs(1), "{after:?}");
        }
    }

    #[tokio::test]
    async fn a_grading_that_must_stop_waits_for_no_registry() {
        for images in [&[][..], &["a/b"]] {
            let (ended, after) = resolved(images, &Told(Some(Stop::Stopping)), 30).await;
            assert!(matches!(ended, Break::Stop(Stop::Stopping)), "{ended:?}");
            assert!(after < Duration::from_secs(20), "{after:?}");
        }
    }
}
