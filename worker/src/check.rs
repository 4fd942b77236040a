//! A grading without a queue: what `portcall check` does on a participant's own machine, by the
//! same story, rules and reasons as on the platform.

use std::{collections::BTreeMap, path::PathBuf};

use portcall_shared::{
    domain::{
        event::Event,
        evidence::Evidence,
        ids::{Generation, SubmissionId, WorkerId},
        image::{ImageRef, RegistryHost},
        place::Place,
        state::{Event as Change, Lifecycle, Step},
        submission::{Marks, Participant, Submission, SubmittedImage},
        text::Answer,
        verdict::{Fault, PlatformCode, PlatformFault},
    },
    registry::Registry,
};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::{
    fleet::{EngineSettings, Fleet, FleetError, Images, LabelKey, NodeSettings, Owner, SubnetPool},
    grade::{Admission, DiskFloor, Ended, Grader, InSlot, grade},
    judge::Judgement,
    lease::{Progress, Stop},
    settings::program_beside,
};

/// What to check, and where.
#[derive(Clone, Debug)]
pub struct CheckRequest {
    /// The rules.
    pub event: Event,
    /// The images; those that are on the machine are taken as they are there.
    pub images: Vec<ImageRef>,
    /// The answers to the event's questions.
    pub answers: BTreeMap<String, Answer>,
    /// The participant, as the rules may want the name back.
    pub participant: Participant,
    /// The place, likewise.
    pub place: Place,
    /// The engine.
    pub docker_host: String,
    /// The static prober binary.
    pub prober: PathBuf,
    /// Registries spoken to in plain HTTP.
    pub http_registries: Vec<RegistryHost>,
}

/// What it came to.
#[derive(Debug)]
pub struct Checked {
    /// It passed, or why not.
    pub outcome: Result<(), Fault>,
    /// What was seen.
    pub evidence: Evidence,
}

/// Why there is no answer at all.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The engine cannot be used.
    #[error("the Docker engine cannot be used")]
    Fleet(#[from] FleetError),
    /// It was told to stop.
    #[error("stopped")]
    Stopped,
}

/// Told of every step as it begins.
pub trait Listener: Sync {
    /// A step begins.
    fn step(&self, step: Step);
}

struct Teller<'a, L> {
    listener: &'a L,
    stop: CancellationToken,
}

impl<L: Listener> Progress for Teller<'_, L> {
    async fn step(&self, step: Step) -> Result<(), Stop> {
        self.listener.step(step);
        if self.stop.is_cancelled() { Err(Stop::Stopping) } else { Ok(()) }
    }

    async fn pinned(&self, _images: &[SubmittedImage]) -> Result<(), Stop> {
        Ok(())
    }

    async fn stopped(&self) -> Stop {
        self.stop.cancelled().await;
        Stop::Stopping
    }
}

/// Grades the images here, and leaves nothing behind.
///
/// # Errors
/// When the engine cannot be used or `stop` was told.
pub async fn check(
    request: CheckRequest,
    listener: &impl Listener,
    stop: CancellationToken,
) -> Result<Checked, CheckError> {
    let worker = WorkerId::new();
    let mut key = [0; 32];
    rand::RngCore::fill_bytes(&mut rand::rng(), &mut key);
    let fleet = Fleet::engine(EngineSettings {
        host: request.docker_host.clone(),
        certs: None,
        worker,
        key: LabelKey(key),
        prober: request.prober.clone(),
        canary: program_beside("canary"),
        pool: SubnetPool::default(),
        node: NodeSettings::default(),
        images: Images::LocalToo,
    })?;
    let (event, mut submission) = (request.event.clone(), submission(&request, worker));
    let owner = Owner { submission: submission.id, generation: Generation(1), worker };
    let registry = Registry::new(request.http_registries);
    let grader = Grader {
        fleet: fleet.clone(),
        registry,
        quarantine: None,
        // Whose machine it is sees to its disk.
        floor: DiskFloor::default(),
        admission: Admission::default(),
    };
    let teller = Teller { listener, stop };
    let slot = match fleet.open_slot(0).await {
        Ok(slot) => slot,
        Err(error) => {
            clear(&fleet).await?;
            return Err(error.into());
        }
    };
    let graded =
        grade(&InSlot { grader: &grader, slot: &slot }, &mut submission, &event, owner, &teller)
            .await;
    listener.step(Step::Cleaning);
    if let Some(workload) = graded.workload
        && let Err(error) = workload.remove().await
    {
        tracing::warn!(%error, "not all containers could be removed at once");
    }
    if let Err(error) = fleet.close_slot(slot).await {
        tracing::warn!(%error, "the slot could not be removed at once");
    }
    clear(&fleet).await?;
    let outcome = match graded.ended {
        Ended::Judged(Judgement { outcome, .. }) => outcome.map_err(Fault::from),
        Ended::Faulted(fault) => Err(fault),
        Ended::Stopped(Stop::Stopping) => return Err(CheckError::Stopped),
        Ended::Stopped(Stop::LeaseLost | Stop::NodeLost) => {
            Err(PlatformFault::new(PlatformCode::PlatformError, "there is no lease here").into())
        }
    };
    Ok(Checked { outcome, evidence: graded.evidence })
}

/// Removes whatever of ours is still there: nobody else could, since the key of the labels ends with
/// this process.
async fn clear(fleet: &Fleet) -> Result<(), FleetError> {
    for found in &fleet.sweep().await?.found {
        fleet.remove_found(found).await?;
    }
    Ok(())
}

fn submission(request: &CheckRequest, worker: WorkerId) -> Submission {
    let now = OffsetDateTime::now_utc();
    let life = Lifecycle::submitted(now);
    let image = |image: &ImageRef| SubmittedImage { image: image.clone(), pinned: None };
    Submission {
        id: SubmissionId::new(),
        event: request.event.slug.clone(),
        event_version: 0,
        participant: request.participant.clone(),
        place: request.place.clone(),
        images: request.images.iter().map(image).collect(),
        answers: request.answers.clone(),
        life: life.apply(Change::Claim { worker }, now).unwrap_or(life),
        created_at: now,
        updated_at: now,
        revision: 0,
        order: now,
        delay: None,
        attempts: Vec::new(),
        verdict: None,
        marks: Marks::default(),
    }
}
