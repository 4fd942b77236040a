//! Where the [story](crate::one) of a submission is told: in a slot of a post, or in one of the
//! simulation's (`worker/tests/simulation`). The story knows only what is in here.

use std::{sync::Arc, time::Duration};

use portcall_shared::{
    domain::{
        event::Event,
        ids::WorkerId,
        submission::{StepTime, Submission},
    },
    store::{
        Store, StoreError,
        queue::{Lease, Queue},
    },
};
use tokio::task::JoinHandle;
use tracing::Span;

use crate::{
    company::{Alone, Member},
    fleet::{FleetError, Workload},
    gate::Mark,
    grade::{Ended, InSlot, Steps},
    lease::{Holder, Keeper, LeaseTimes, Progress},
    post::Post,
    suspects::{NodeThen, Watched},
    worker::BusyGuard,
};

/// Where the story of a submission is told.
pub trait Stage: Sync {
    /// The queue.
    type Queue: Queue;
    /// Where its steps are taken.
    type Ground: Steps;

    /// The queue.
    fn queue(&self) -> &Self::Queue;

    /// Where its steps are taken.
    fn ground(&self) -> &Self::Ground;

    /// Who grades.
    fn worker(&self) -> WorkerId;

    /// The times of its lease.
    fn times(&self) -> LeaseTimes;

    /// Notes that something is done under this lease, until the guard is dropped.
    fn begin(&self, lease: Lease) -> BusyGuard;

    /// Has the lease renewed beside the story.
    fn spawn(&self, keeper: Keeper) -> JoinHandle<()> {
        tokio::spawn(keeper)
    }

    /// The rules that it is graded by.
    fn rules(
        &self,
        submission: &Submission,
    ) -> impl Future<Output = Result<Option<Arc<Event>>, StoreError>> + Send;

    /// Begins to grade it beside the others of this worker; none while one of them is graded alone.
    fn enter(&self) -> Option<Member>;

    /// The same progress as the holder's, with an eye on what is known of the images.
    fn watch<'h>(&'h self, holder: &'h Holder<Self::Queue>) -> impl Watch + 'h;

    /// The node that it runs on, for people.
    fn node(&self) -> String;

    /// Whether the node is there to be used, asked anew.
    fn stands(&self) -> impl Future<Output = bool> + Send;

    /// Whether what ends on the node now may end because the node is being emptied.
    fn is_emptied(&self) -> bool;

    /// Whether nothing happened since it was offered for which nothing seen here would count.
    fn is_trusted(&self) -> bool;

    /// Records a step that is over.
    fn trace(&self, step: &StepTime);

    /// Has it noted how long the cleaning took; the slot need not wait for that.
    fn cleaned(&self, lease: Lease, step: StepTime) -> impl Future<Output = ()> + Send {
        note_cleaned(self.queue(), lease, step)
    }

    /// Its containers are gone, and what they needed is free.
    fn used(&self);
}

async fn note_cleaned(queue: &impl Queue, lease: Lease, step: StepTime) {
    if let Err(error) = queue.cleaned(lease, &step).await {
        tracing::debug!(%error, "cannot note how long the cleaning took");
    }
}

/// The progress of a grading, with an eye on what is known of its images.
pub trait Watch: Progress + Send {
    /// Notes what the end tells of them; what it ended with, and what keeps others out until the
    /// cleaning is done.
    fn over(
        self,
        ended: Ended,
        node: NodeThen,
    ) -> impl Future<Output = (Ended, Option<Alone>)> + Send;
}

/// What a grading leaves running.
pub trait Remains: Send + Sync {
    /// Removes it, and looks that it is gone.
    fn remove(self) -> impl Future<Output = Result<(), FleetError>> + Send;
}

impl Remains for Workload {
    async fn remove(self) -> Result<(), FleetError> {
        Workload::remove(self).await
    }
}

/// A slot of a post, for one grading.
pub(crate) struct OnSlot<'a> {
    pub(crate) post: &'a Post,
    pub(crate) ground: InSlot<'a>,
    pub(crate) mark: Mark,
}

impl<'a> Stage for OnSlot<'a> {
    type Queue = Store;
    type Ground = InSlot<'a>;

    fn queue(&self) -> &Store {
        &self.post.worker.store
    }

    fn ground(&self) -> &InSlot<'a> {
        &self.ground
    }

    fn worker(&self) -> WorkerId {
        self.post.worker.claimant.id
    }

    fn times(&self) -> LeaseTimes {
        self.post.worker.times
    }

    fn begin(&self, lease: Lease) -> BusyGuard {
        let busy = self.post.busy.enter(lease);
        self.post.worker.tell_readiness(&self.post.close);
        busy
    }

    async fn rules(&self, submission: &Submission) -> Result<Option<Arc<Event>>, StoreError> {
        let store = &self.post.worker.store;
        let version = store.event_version(&submission.event, submission.event_version).await?;
        Ok(version.map(|version| version.event))
    }

    fn enter(&self) -> Option<Member> {
        self.post.worker.company.enter()
    }

    fn watch<'h>(&'h self, holder: &'h Holder<Store>) -> impl Watch + 'h {
        let worker = &self.post.worker;
        tokio::spawn(worker.clone().note_place(holder.lease(), self.node()));
        Watched::new(worker, holder, self.node())
    }

    fn node(&self) -> String {
        self.post.name().unwrap_or_else(|| self.ground.slot.node().name.clone())
    }

    async fn stands(&self) -> bool {
        self.post.stands(self.ground.slot).await
    }

    fn is_emptied(&self) -> bool {
        self.post.charge().drained.is_some()
    }

    fn is_trusted(&self) -> bool {
        self.post.gate.trusted_since(self.mark)
    }

    fn trace(&self, step: &StepTime) {
        let took = Duration::from_millis(step.ms.unwrap_or_default());
        self.post.worker.traces.step(&Span::current(), step.step.as_str(), step.at, took);
    }

    async fn cleaned(&self, lease: Lease, step: StepTime) {
        let store = self.post.worker.store.clone();
        self.post.notes.spawn(async move { note_cleaned(&store, lease, step).await });
    }

    fn used(&self) {
        self.post.room.used();
    }
}
