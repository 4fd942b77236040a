//! The canary: a container of our own that tries in a slot what must not work there, and tells
//! what became of it. So a node shows by itself whether its walls stand, in the same container
//! request, network and conversation as a stranger's.
//!
//! ```text
//!   run ──► Fleet::start_canary ──► GET /report (twice) ──► removed, seen to be gone
//!                                        │
//!                             Report ────┴── differences ◄── Expected (table, limits, node)
//! ```
//!
//! What is tried is written in the program (`worker/canary`), what must become of it in
//! [`table`]. When it runs, and what follows for the node, is the gate's.

use std::{net::SocketAddr, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{
    fleet::{Fleet, FleetError, Phase, Profile, Slot, StartFailure, Workload},
    probe::{
        client::ProberError,
        wire::{AskFailure, AskLimits, Method, Observation, Question},
    },
};

pub mod expected;
pub mod report;
pub mod scene;
pub mod table;

pub use expected::{Difference, Expected, differences};
pub use report::Report;

/// From the start of the container to its answer. It takes two seconds on half a processor; a busy
/// node gets more.
const READY: Duration = Duration::from_secs(20);
/// Between two questions to a canary that does not listen yet.
const LOOK: Duration = Duration::from_millis(100);
/// How much of its output is shown when it does not answer.
const LOG_BYTES: usize = 1000;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
    /// It could not be started.
    #[error("the canary did not start")]
    Start(#[from] StartFailure),
    /// The engine could not be asked, or the canary not be removed.
    #[error("the engine failed beside the canary")]
    Engine(#[from] FleetError),
    /// The slot's prober is of no use; the slot must be replaced.
    #[error("the prober failed beside the canary")]
    Prober(#[from] ProberError),
    /// It ended without an answer.
    #[error("the canary ended: {detail}")]
    Ended {
        /// How, and its last words.
        detail: String,
    },
    /// It did not answer in time.
    #[error("the canary did not answer within {} s", after.as_secs())]
    Silent {
        /// How long was waited.
        after: Duration,
    },
    /// What it said is no report.
    #[error("the canary's report makes no sense: {detail}")]
    Report {
        /// In which way.
        detail: String,
    },
}

/// What a canary told, and in what that differs from what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examination {
    /// All that it told.
    pub report: Report,
    /// Empty if every wall stands.
    pub differences: Vec<Difference>,
}

/// Runs the canary in a slot that is empty, and compares what it tells with what it must tell on
/// this node.
///
/// # Errors
/// As [`run`].
pub async fn examine(
    fleet: &Fleet,
    slot: &Slot,
    profile: Profile,
) -> Result<Examination, CanaryError> {
    let report = run(fleet, slot, profile).await?;
    let expected = Expected::of(profile, slot.node(), fleet.node_settings());
    let differences = differences(&report, &expected);
    Ok(Examination { report, differences })
}

/// Runs the canary in a slot that is empty: starts it as a stranger's container under `profile`,
/// asks for its report twice, and removes it. Whatever the outcome, it was seen to be gone, or the
/// slot is marked as not to be used again ([`Slot::doubt`]).
///
/// # Errors
/// [`CanaryError`]: a node without a report has not shown that its walls stand.
pub async fn run(fleet: &Fleet, slot: &Slot, profile: Profile) -> Result<Report, CanaryError> {
    let workload = fleet.start_canary(slot, profile).await?;
    let told = hear(fleet, slot, &workload).await;
    let removed = workload.remove().await;
    let report = told?;
    removed?;
    Ok(report)
}

/// A canary that tells two things is none.
async fn hear(fleet: &Fleet, slot: &Slot, workload: &Workload) -> Result<Report, CanaryError> {
    let until = Instant::now() + READY;
    let first = answer(fleet, slot, workload, until).await?;
    let again = answer(fleet, slot, workload, until).await?;
    if first != again {
        return Err(CanaryError::Report { detail: "it is another one each time".to_owned() });
    }
    Report::parse(&first).map_err(|detail| CanaryError::Report { detail })
}

/// Asks until it answers; `until` also ends a conversation that never gets to one.
async fn answer(
    fleet: &Fleet,
    slot: &Slot,
    workload: &Workload,
    until: Instant,
) -> Result<Vec<u8>, CanaryError> {
    let unplaced = || FleetError::Answer {
        doing: "starting the canary",
        detail: "it has no address".to_owned(),
    };
    let address = workload.addresses().first().copied().flatten().ok_or_else(unplaced)?;
    loop {
        match slot.prober().ask(question((address, 80).into())).await? {
            Observation::Answer { status: 200, body, .. } => return Ok(body),
            Observation::Answer { status, .. } => {
                return Err(CanaryError::Report { detail: format!("status {status}") });
            }
            Observation::Failed { failure, .. } if is_not_ready(failure) => {
                if Instant::now() >= until {
                    return Err(CanaryError::Silent { after: READY });
                }
            }
            Observation::Failed { failure, detail, .. } => {
                let detail = format!("{failure:?}: {detail}");
                return Err(CanaryError::Report { detail });
            }
            other => {
                let detail = format!("an observation of another kind, {}", other.id());
                return Err(ProberError::Garbled { detail }.into());
            }
        }
        still_there(fleet, workload).await?;
        sleep(LOOK).await;
    }
}

fn is_not_ready(failure: AskFailure) -> bool {
    matches!(
        failure,
        AskFailure::ConnectRefused | AskFailure::ConnectTimeout | AskFailure::ConnectReset
    )
}

fn question(address: SocketAddr) -> Question {
    Question {
        id: 0,
        address,
        host: "canary".to_owned(),
        method: Method::Get,
        path: "/report".to_owned(),
        headers: Vec::new(),
        body: None,
        limits: AskLimits::default(),
    }
}

async fn still_there(fleet: &Fleet, workload: &Workload) -> Result<(), CanaryError> {
    let states = fleet.states(workload).await?;
    let detail = match states.first().map(|state| &state.phase) {
        Some(Phase::Created | Phase::Running) => return Ok(()),
        Some(Phase::NotStarted { detail, .. }) => detail.clone(),
        Some(Phase::Exited { exit_code }) => {
            let words = fleet.logs(workload, 0, LOG_BYTES).await?;
            let plain = |c: char| if c.is_control() { ' ' } else { c };
            let words: String = words.trim().chars().map(plain).collect();
            format!("exit code {exit_code}: {words}")
        }
        Some(Phase::Missing) | None => "somebody else removed it".to_owned(),
    };
    Err(CanaryError::Ended { detail })
}
