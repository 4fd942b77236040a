//! The steps that the story of a grading is made of, and the real ones.

use portcall_shared::domain::{
    event::Event, evidence::ContainerEvidence, submission::Submission, verdict::ParticipantFault,
};
use tokio::time::Instant;

use super::{Admitted, Break, Grader, Logs, Prepared, Started, Unheard};
use crate::{
    fleet::{Owner, Slot, Workload},
    judge::Seen,
    lease::Progress,
    stage::Remains,
};

/// The steps of a grading, wherever they are taken: in a [`Slot`], or in the simulation
/// (`worker/tests/simulation`).
pub trait Steps: Sync {
    /// What will be started.
    type Prepared: Send + Sync;
    /// What runs, until it is removed.
    type Workload: Remains;
    /// What it has of the node until then.
    type Admitted: Send;

    /// Finds out what the names stand for.
    fn resolve(
        &self,
        submission: &mut Submission,
        event: &Event,
        progress: &impl Progress,
        until: Instant,
    ) -> impl Future<Output = Result<Self::Prepared, Break>> + Send;

    /// Brings the images onto the node.
    fn pull(
        &self,
        prepared: Self::Prepared,
        event: &Event,
        progress: &impl Progress,
        until: Instant,
    ) -> impl Future<Output = Result<Self::Prepared, Break>> + Send;

    /// Waits until there is room for its containers.
    fn admit(
        &self,
        prepared: &Self::Prepared,
        event: &Event,
        progress: &impl Progress,
        until: Instant,
    ) -> impl Future<Output = Result<Self::Admitted, Break>> + Send;

    /// Starts its containers.
    fn start(
        &self,
        owner: Owner,
        prepared: &Self::Prepared,
        event: &Event,
    ) -> impl Future<Output = Result<Self::Workload, Started>> + Send;

    /// Asks them what the event wants to know.
    fn probe(
        &self,
        running: &Self::Workload,
        prepared: &Self::Prepared,
        submission: &Submission,
        event: &Event,
        progress: &impl Progress,
        until: Instant,
    ) -> impl Future<Output = Result<Vec<Seen>, Break>> + Send;

    /// Whether one wrote more than it may.
    fn last_look(
        &self,
        running: &Self::Workload,
        prepared: &Self::Prepared,
        progress: &impl Progress,
    ) -> impl Future<Output = Result<Option<ParticipantFault>, Break>> + Send;

    /// What may explain that something from there did not arrive since then.
    fn unheard(&self, since: Instant) -> impl Future<Output = Option<Unheard>> + Send;

    /// Makes sure that no failure is charged to the participant that a dead service explains.
    fn services_run(
        &self,
        running: &Self::Workload,
    ) -> impl Future<Output = Result<(), Break>> + Send;

    /// How every container stands.
    fn containers(
        &self,
        running: &Self::Workload,
        logs: Logs,
    ) -> impl Future<Output = Vec<ContainerEvidence>> + Send;
}

/// A slot to grade in.
#[derive(Clone, Copy, Debug)]
pub struct InSlot<'a> {
    /// Who grades.
    pub grader: &'a Grader,
    /// Where.
    pub slot: &'a Slot,
}

impl Steps for InSlot<'_> {
    type Prepared = Prepared;
    type Workload = Workload;
    type Admitted = Admitted;

    async fn resolve(
        &self,
        submission: &mut Submission,
        event: &Event,
        progress: &impl Progress,
        until: Instant,
    ) -> Result<Prepared, Break> {
        let architecture = &self.slot.node().arch;
        self.grader.resolve(submission, event, architecture, progress, until).await
    }

    async fn pull(
        &self,
        prepared: Prepared,
        event: &Event,
        progress: &impl Progress,
        until: Instant,
    ) -> Result<Prepared, Break> {
        self.grader.pull(prepared, event, progress, until).await
    }

    async fn admit(
        &self,
        prepared: &Prepared,
        event: &Event,
        progress: &impl Progress,
        until: Instant,
    ) -> Result<Admitted, Break> {
        self.grader.admit(self.slot, prepared, event, progress, until).await
    }

    async fn start(
        &self,
        owner: Owner,
        prepared: &Prepared,
        event: &Event,
    ) -> Result<Workload, Started> {
        self.grader.start(self.slot, owner, prepared, event).await
    }

    async fn probe(
        &self,
        running: &Workload,
        prepared: &Prepared,
        submission: &Submission,
        event: &Event,
        progress: &impl Progress,
        until: Instant,
    ) -> Result<Vec<Seen>, Break> {
        let Self { grader, slot } = self;
        grader.probe(slot, running, prepared, submission, event, progress, until).await
    }

    async fn last_look(
        &self,
        running: &Workload,
        prepared: &Prepared,
        progress: &impl Progress,
    ) -> Result<Option<ParticipantFault>, Break> {
        self.grader.last_look(running, prepared, progress).await
    }

    async fn unheard(&self, since: Instant) -> Option<Unheard> {
        let fleet = &self.grader.fleet;
        match fleet.silence(self.slot, since).await {
            Some(lasted) => Some(Unheard::Silence(lasted)),
            None => (!fleet.is_clear(self.slot).await).then_some(Unheard::NoWay),
        }
    }

    async fn services_run(&self, running: &Workload) -> Result<(), Break> {
        self.grader.services_run(running).await
    }

    async fn containers(&self, running: &Workload, logs: Logs) -> Vec<ContainerEvidence> {
        self.grader.containers(running, logs).await
    }
}
