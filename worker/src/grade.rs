//! The grading of one submission, as a story: resolve, pull, start, probe, judge.
//!
//! It knows neither the queue nor sleeping: it tells its [`Progress`] and stops when that says so.
//! What comes out is a result for the submission and, if containers were started, the guard that
//! removes them: the verdict is written first, then the removal begins.

mod admission;
mod disk;
mod prepare;
mod probing;
mod steps;
mod unheard;

use std::time::Duration;

use portcall_shared::{
    domain::{
        event::Event,
        evidence::{ContainerEvidence, EXCERPT, Evidence},
        state::Step,
        submission::Submission,
        text::{defused, defused_line},
        verdict::{Fault, PlatformCode, PlatformFault},
    },
    registry::Registry,
};
use tokio::time::Instant;

pub use self::{
    admission::{Admission, Admitted},
    disk::DiskFloor,
    prepare::Prepared,
    steps::{InSlot, Steps},
    unheard::Unheard,
};
use crate::{
    fleet::{
        ContainerState, Fleet, FleetError, Owner, Phase, Role, Slot, StartFailure, StartTimes,
        Workload,
    },
    hold,
    judge::{self, Judgement, Presence, Seen},
    lease::{Progress, Stop},
    quarantine::Quarantine,
};

/// What a grading came to.
#[derive(Debug)]
pub enum Ended {
    /// It was judged: passed or failed.
    Judged(Judgement),
    /// It could not be judged, or failed before there was anything to judge.
    Faulted(Fault),
    /// It had to stop.
    Stopped(Stop),
}

/// A grading that is over, but for the cleaning.
#[derive(Debug)]
pub struct Graded<W = Workload, A = Admitted> {
    /// How it ended.
    pub ended: Ended,
    /// What was seen.
    pub evidence: Evidence,
    /// What still runs.
    pub workload: Option<W>,
    /// What it has of the node, to be kept until it is removed.
    pub admitted: Option<A>,
}

/// What the story leaves behind, however it ends.
struct Left<S: Steps> {
    workload: Option<S::Workload>,
    admitted: Option<S::Admitted>,
}

/// Why the story ends before its end.
#[derive(Debug)]
pub enum Break {
    /// Something went wrong.
    Fault(Fault),
    /// It must stop.
    Stop(Stop),
}

impl From<Stop> for Break {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl<F: Into<Fault>> From<F> for Break {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

/// A fault of the fleet as people see it: nothing internal, the cause goes to the log.
pub fn platform(doing: &str, error: &FleetError) -> Fault {
    tracing::warn!(error = %error, doing, "the fleet failed");
    // What a scheduler says of its own nodes is nothing internal, and says what is lacking.
    let (code, words) = match error {
        FleetError::Unplaced { detail, .. } => (PlatformCode::NoCapacity, Some(detail)),
        FleetError::Stuck { detail, .. } => (PlatformCode::NodeLost, Some(detail)),
        FleetError::Unreachable { .. } | FleetError::Deadline { .. } | FleetError::Ended { .. } => {
            (PlatformCode::NodeLost, None)
        }
        _ => (PlatformCode::PlatformError, None),
    };
    let words = words.filter(|words| !words.is_empty());
    let words = words.map_or_else(String::new, |words| format!(": {words}"));
    PlatformFault::new(code, format!("the platform could not {doing}{words}")).into()
}

/// What gradings share.
#[derive(Clone, Debug)]
pub struct Grader {
    /// Where containers run.
    pub fleet: Fleet,
    /// Who is asked what a name stands for.
    pub registry: Registry,
    /// Where nodes pull from, if not from the images' own registries.
    pub quarantine: Option<Quarantine>,
    /// How little may be left of a node's disk.
    pub floor: DiskFloor,
    /// What gradings take of the node.
    pub admission: Admission,
}

/// Grades a submission.
pub async fn grade<S: Steps>(
    steps: &S,
    submission: &mut Submission,
    event: &Event,
    owner: Owner,
    progress: &impl Progress,
) -> Graded<S::Workload, S::Admitted> {
    let until = Instant::now() + event.limits.grading;
    let mut left = Left { workload: None, admitted: None };
    let ended = match tell(steps, submission, event, owner, progress, until, &mut left).await {
        Ok(judgement) => Ended::Judged(judgement),
        Err(Break::Fault(fault)) => Ended::Faulted(fault),
        Err(Break::Stop(stop)) => Ended::Stopped(stop),
    };
    let evidence = match &ended {
        Ended::Stopped(_) => Evidence::default(),
        _ => evidence(steps, &ended, submission, event, left.workload.as_ref()).await,
    };
    Graded { ended, evidence, workload: left.workload, admitted: left.admitted }
}

async fn tell<S: Steps>(
    steps: &S,
    submission: &mut Submission,
    event: &Event,
    owner: Owner,
    progress: &impl Progress,
    until: Instant,
    left: &mut Left<S>,
) -> Result<Judgement, Break> {
    let began = Instant::now();
    hold::point("claimed").await;
    let prepared = steps.resolve(submission, event, progress, until).await?;
    hold::point("resolved").await;
    let asked = Instant::now();
    progress.let_in(&submission.images).await?;
    // It is not charged for waiting until others end.
    let until = until + asked.elapsed();
    let pulled = steps.pull(prepared, event, progress, until);
    let prepared = progress.during(Step::Pulling, pulled).await?;
    hold::point("pulled").await;

    progress.step(Step::Starting).await?;
    left.admitted = Some(steps.admit(&prepared, event, progress, until).await?);
    hold::point("admitted").await;
    let started = steps.start(owner, &prepared, event).await;
    let running = match started {
        Ok(running) => left.workload.insert(running),
        Err(Started::NotAtAll(broken)) => return Err(broken),
        Err(Started::Refused { failed, seen }) => {
            let judgement = judge::judge(event, submission, &seen);
            let fault = judge::absent(&seen[failed], "");
            return Ok(judgement.with_fault(event, fault));
        }
    };
    hold::point("started").await;

    let seen = steps.probe(running, &prepared, submission, event, progress, until);
    let seen = progress.during(Step::Probing, seen).await?;
    hold::point("probed").await;

    let full = steps.last_look(running, &prepared, progress);
    let full = progress.during(Step::Judging, full).await?;
    let judgement = judge::judge(event, submission, &seen);
    let judgement = match full {
        Some(fault) => judgement.with_fault(event, fault),
        None => unheard::charged(judgement, event, &seen, steps.unheard(began)).await?,
    };
    if judgement.outcome.is_err() {
        steps.services_run(running).await?;
    }
    hold::point("judged").await;
    Ok(judgement)
}

/// What is kept of a grading: how every container stands and, unless it passed, the end of its
/// log.
async fn evidence<S: Steps>(
    steps: &S,
    ended: &Ended,
    submission: &Submission,
    event: &Event,
    workload: Option<&S::Workload>,
) -> Evidence {
    let checks = match ended {
        Ended::Judged(judgement) => judgement.checks.clone(),
        _ => Vec::new(),
    };
    let logs = match ended {
        Ended::Judged(Judgement { outcome: Ok(()), .. }) => Logs::Without,
        _ => Logs::With,
    };
    let containers = match workload {
        Some(workload) => steps.containers(workload, logs).await,
        None => Vec::new(),
    };
    Evidence { checks, containers, reproduce: reproduce(submission, event) }
}

impl Grader {
    async fn start(
        &self,
        slot: &Slot,
        owner: Owner,
        prepared: &Prepared,
        event: &Event,
    ) -> Result<Workload, Started> {
        let start = event.limits.start.max(Duration::from_secs(1));
        let times = StartTimes { pull: event.limits.pull, start };
        let within = self.fleet.longest_start(&times);
        let starting = self.fleet.start_within(slot, &owner, &prepared.specs, &times);
        let failure = match tokio::time::timeout(within, starting).await {
            Ok(Ok(workload)) => return Ok(workload),
            Ok(Err(failure)) => failure,
            Err(_) => {
                // What was made by then is found by its labels; the slot is not used again.
                slot.doubt();
                let message = format!("the containers did not start within {} s", within.as_secs());
                let fault = PlatformFault::new(PlatformCode::NodeLost, message);
                return Err(Started::NotAtAll(fault.into()));
            }
        };
        let (index, detail) = match failure {
            StartFailure::StartFailed { index, detail }
            | StartFailure::ConfigRefused { index, detail } => (index, detail),
            StartFailure::LimitDropped { fields } => {
                tracing::error!(?fields, "the engine dropped limits");
                let message = "the machine does not keep every limit that a container needs";
                let fault = PlatformFault::new(PlatformCode::PlatformError, message);
                return Err(Started::NotAtAll(fault.into()));
            }
            StartFailure::Engine(error) => {
                return Err(Started::NotAtAll(Break::Fault(platform(
                    "start the containers",
                    &error,
                ))));
            }
        };
        let spec = &prepared.specs[index.min(prepared.specs.len().saturating_sub(1))];
        if spec.role == Role::Service {
            return Err(Started::NotAtAll(service_failed(&spec.alias, &detail).into()));
        }
        let detail = defused_line(&detail, 300);
        let seen = prepared.images().map(|(position, alias)| Seen {
            alias: alias.to_owned(),
            presence: match position == index {
                true => Presence::NotStarted { detail: detail.clone() },
                false => Presence::NotAwaited,
            },
            answers: Vec::new(),
        });
        Err(Started::Refused { failed: index, seen: seen.collect() })
    }

    /// Makes sure that no failure is charged to the participant that a dead service explains.
    async fn services_run(&self, workload: &Workload) -> Result<(), Break> {
        let states = self.fleet.states(workload).await;
        let states = states.map_err(|e| Break::Fault(platform("look at the containers", &e)))?;
        let dead = |s: &&ContainerState| s.role == Role::Service && !s.is_running();
        match states.iter().find(dead) {
            None => Ok(()),
            Some(service) => {
                let detail = format!("{:?}", service.phase);
                Err(service_failed(&service.alias, &detail).into())
            }
        }
    }

    async fn containers(&self, workload: &Workload, logs: Logs) -> Vec<ContainerEvidence> {
        let Ok(states) = self.fleet.states(workload).await else { return Vec::new() };
        let mut out = Vec::with_capacity(states.len());
        for (position, state) in states.iter().enumerate() {
            let log = match logs {
                Logs::With => self.fleet.logs(workload, position, EXCERPT).await,
                Logs::Without => Ok(String::new()),
            };
            let log = log.unwrap_or_default();
            out.push(container(state, &log));
        }
        out
    }
}

/// Whether the containers' logs are fetched: of a submission that passed nobody needs them.
#[derive(Clone, Copy, Debug)]
pub enum Logs {
    /// They are.
    With,
    /// They are not.
    Without,
}

/// Why there is nothing to ask.
#[derive(Debug)]
pub enum Started {
    /// Something went wrong that is nobody's image.
    NotAtAll(Break),
    /// The participant's image of that index cannot be started.
    Refused {
        /// Which.
        failed: usize,
        /// How all of them are.
        seen: Vec<Seen>,
    },
}

/// A service of the event that does not do its part: nothing that the participant could mend.
fn service_failed(alias: &str, detail: &str) -> PlatformFault {
    tracing::error!(service.alias = alias, detail, "a service of the event failed");
    let message = format!("`{alias}`, which the event provides, does not run");
    PlatformFault::new(PlatformCode::PlatformError, message)
}

fn container(state: &ContainerState, log: &str) -> ContainerEvidence {
    let exit_code = match &state.phase {
        Phase::Exited { exit_code } | Phase::NotStarted { exit_code, .. } => Some(*exit_code),
        Phase::Created | Phase::Running | Phase::Missing => None,
    };
    ContainerEvidence {
        image: match state.role {
            Role::Image => u32::try_from(state.index).ok(),
            Role::Service => None,
        },
        alias: state.alias.clone(),
        exit_code,
        oom_killed: state.oom_killed,
        log: defused(log.as_bytes(), EXCERPT),
    }
}

/// Shell lines that do the same on the participant's machine.
fn reproduce(submission: &Submission, event: &Event) -> Vec<String> {
    let several = submission.images.len() + event.services.len() > 1;
    let mut lines = Vec::new();
    let network = if several {
        lines.push("docker network create portcall-try".to_owned());
        "--network portcall-try "
    } else {
        ""
    };
    for service in &event.services {
        let alias = &service.alias;
        lines
            .push(format!("docker run -d --rm {network}--network-alias {alias} {}", service.image));
    }
    for (index, image) in submission.images.iter().enumerate() {
        let pinned = image.pinned.as_ref();
        let name = pinned
            .map_or_else(|| image.image.to_string(), |pinned| image.image.pinned(&pinned.digest));
        let alias = match several {
            true => format!("--network-alias {} ", event.alias(index)),
            false => String::new(),
        };
        let port = 8080 + index;
        lines.push(format!("docker run -d --rm {network}{alias}-p {port}:80 {name}"));
    }
    for check in &event.checks {
        let port = match check.target {
            portcall_shared::domain::event::Target::Index(index) => 8080 + index,
            _ => 8080,
        };
        let method = match check.method.as_str() {
            "GET" => String::new(),
            "HEAD" => "-I ".to_owned(),
            other => format!("-X {other} "),
        };
        let path = check.path.fill_encoded(submission).replace('\'', "%27");
        lines.push(format!("curl -i {method}'http://127.0.0.1:{port}{path}'"));
    }
    lines
}
