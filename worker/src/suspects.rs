//! A grading of images that may take machines down: how it is let in, and what its end tells of them.
//!
//! It stands between the grading and its lease: when the digests are known and before anything is
//! pulled, it looks whether something is known of them ([`suspicion`]). Of most nothing is, and all
//! this is one question to the store. What is quarantined takes the turn for its images, waits until
//! this worker grades nothing else, and keeps others out until it has ended; what cannot be let in
//! here is given back as something for which there is no room, which costs no attempt.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use portcall_shared::{
    domain::{
        image::Digest,
        state::Step,
        submission::SubmittedImage,
        suspicion::{self, Standing, Treatment, Where},
        verdict::{Fault, PlatformCode, PlatformFault},
    },
    store::{
        Store, StoreError,
        queue::Lease,
        suspects::{Suspect, Turned},
    },
};

use crate::{
    company::{Alone, Company},
    grade::Ended,
    lease::{Holder, Progress, Stop},
    stage::Watch,
    worker::Worker,
};

/// How long the others may take to end. With what a grading may take, it is less than what an
/// observer gives the whole.
const OTHERS_END: Duration = Duration::from_secs(40);

/// A grading, as far as its images may be suspected.
pub(crate) struct Watched<'a> {
    worker: &'a Worker,
    holder: &'a Holder<Store>,
    node: String,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Those of its images of which something is known.
    known: Vec<Digest>,
    /// Its containers were started, or were about to be.
    started: bool,
    /// Nothing else is graded.
    alone: Option<Alone>,
}

/// How the node was at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeThen {
    /// It was there, as far as anybody asked.
    Standing,
    /// It was gone when it was asked for.
    Gone,
}

impl Worker {
    /// Notes where an attempt is graded, for when this worker cannot be asked any more.
    pub(crate) async fn note_place(self, lease: Lease, node: String) {
        if let Err(error) = self.store.note_place(lease, &node).await {
            tracing::debug!(%error, "cannot note where it is graded");
        }
    }

    /// Tells how many images are suspected.
    pub(crate) async fn tell_suspects(&self) -> Result<(), StoreError> {
        // There before the first one, so that it is seen to grow.
        metrics::counter!("portcall_image_losses_total").increment(0);
        for (standing, count) in self.store.count_suspects().await? {
            metrics::gauge!("portcall_suspected_images", "standing" => standing.as_str())
                .set(u32::try_from(count).unwrap_or(u32::MAX));
        }
        Ok(())
    }
}

impl<'a> Watched<'a> {
    /// Watches a grading on a node.
    pub(crate) fn new(worker: &'a Worker, holder: &'a Holder<Store>, node: String) -> Self {
        Self { worker, holder, node, seen: Mutex::default() }
    }

    fn store(&self) -> &Store {
        &self.worker.store
    }

    fn change<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        change(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets it in alone, or says why not.
    async fn quarantine(&self, known: &[Suspect], all: &[Digest]) -> Result<(), Fault> {
        let here =
            Where { worker: self.worker.claimant.name.clone(), node: Some(self.node.clone()) };
        let places = match self.store().nodes().await {
            Ok(nodes) => nodes.into_iter().filter(|node| node.takes_work()),
            Err(error) => {
                tracing::warn!(%error, "it is not known where else it could be graded");
                return Err(suspicion::waits_alone("it is not known now where that could be"));
            }
        };
        let places: Vec<Where> = places
            .map(|node| Where { worker: node.worker_name, node: Some(node.node.name) })
            .collect();
        let is_alone = |it: &&Suspect| it.suspicion.treatment(all) == Treatment::Alone;
        for suspect in known.iter().filter(is_alone) {
            if !suspect.suspicion.suits(&here, &places) {
                return Err(suspicion::waits_alone("this is not one of those that are left"));
            }
            match self.store().turn_alone(&suspect.digest, self.holder.lease()).await {
                Ok(Turned::Ours) => {}
                Ok(Turned::Theirs) => {
                    return Err(suspicion::waits_alone("another submission with it is first"));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot take the turn for an image");
                    return Err(suspicion::waits_alone("the turn could not be taken"));
                }
            }
        }
        let company: &Company = &self.worker.company;
        let alone = tokio::select! {
            alone = company.alone(OTHERS_END) => alone,
            // The next step tells it.
            _ = self.holder.stopped() => return Ok(()),
        };
        let Some(alone) = alone else {
            return Err(suspicion::waits_alone("other gradings have not ended yet"));
        };
        tracing::warn!(submission.id = %self.holder.lease().submission, "grading it alone");
        self.change(|seen| seen.alone = Some(alone));
        Ok(())
    }
}

impl Watch for Watched<'_> {
    async fn over(self, ended: Ended, node: NodeThen) -> (Ended, Option<Alone>) {
        let seen = self.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (store, lease) = (&self.worker.store, self.holder.lease());
        let noted = match tells(&ended, node) {
            _ if !seen.started => forget(store, &seen.known, lease).await,
            Tells::Lost => match store.lost_with_node(lease, &self.node).await {
                Ok(Some(reason)) => {
                    let fault = PlatformFault::new(PlatformCode::QuarantinedImage, reason.message);
                    return (Ended::Faulted(fault.into()), seen.alone);
                }
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            },
            Tells::Clean if seen.known.is_empty() => Ok(()),
            Tells::Clean => store.graded(&seen.known, lease).await,
            Tells::Nothing => forget(store, &seen.known, lease).await,
        };
        if let Err(error) = noted {
            tracing::warn!(%error, "cannot note what a grading told of its images");
        }
        (ended, seen.alone)
    }
}

impl Progress for Watched<'_> {
    async fn step(&self, step: Step) -> Result<(), Stop> {
        self.holder.step(step).await?;
        self.change(|seen| seen.started |= step >= Step::Starting);
        Ok(())
    }

    async fn during<T: Send, E: From<Stop> + Send>(
        &self,
        step: Step,
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        self.holder.during(step, work).await
    }

    async fn pinned(&self, images: &[SubmittedImage]) -> Result<(), Stop> {
        self.holder.pinned(images).await
    }

    async fn let_in(&self, images: &[SubmittedImage]) -> Result<(), Fault> {
        let pinned = images.iter().filter_map(|image| image.pinned.as_ref());
        let all: Vec<Digest> = pinned.map(|pinned| pinned.digest.clone()).collect();
        let known = match self.store().suspects_among(&all).await {
            Ok(known) => known,
            // What nobody can ask now keeps nobody waiting: a store that is away ends it anyway.
            Err(error) => {
                tracing::warn!(%error, "cannot ask what is known of the images");
                return Ok(());
            }
        };
        let own = known.iter().filter(|it| it.suspicion.standing != Standing::Cleared);
        self.change(|seen| seen.known = own.map(|it| it.digest.clone()).collect());
        let treatment = |it: &Suspect| it.suspicion.treatment(&all);
        if let Some(poison) = known.iter().find(|it| treatment(it) == Treatment::Never) {
            return Err(suspicion::refused(&poison.digest));
        }
        match known.iter().any(|it| treatment(it) == Treatment::Alone) {
            true => self.quarantine(&known, &all).await,
            false => Ok(()),
        }
    }

    async fn stopped(&self) -> Stop {
        self.holder.stopped().await
    }
}

/// What the end of a grading tells of its images, if their containers were started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tells {
    /// The machine went down under them.
    Lost,
    /// They came to a verdict.
    Clean,
    /// Nothing.
    Nothing,
}

fn tells(ended: &Ended, node: NodeThen) -> Tells {
    match ended {
        _ if node == NodeThen::Gone => Tells::Lost,
        Ended::Judged(_) | Ended::Faulted(Fault::Participant(_)) => Tells::Clean,
        Ended::Faulted(Fault::Platform(fault)) if fault.code == PlatformCode::NodeLost => {
            Tells::Lost
        }
        Ended::Stopped(Stop::NodeLost) => Tells::Lost,
        Ended::Faulted(Fault::Platform(_) | Fault::Registry(_)) | Ended::Stopped(_) => {
            Tells::Nothing
        }
    }
}

async fn forget(store: &Store, known: &[Digest], lease: Lease) -> Result<(), StoreError> {
    match known {
        [] => Ok(()),
        known => store.turn_over(known, lease).await,
    }
}

#[cfg(test)]
mod tests {
    use portcall_shared::domain::verdict::{
        ParticipantCode, ParticipantFault, RegistryCode, RegistryFault,
    };

    use super::*;
    use crate::judge::Judgement;

    #[test]
    fn only_a_machine_that_went_down_is_a_loss() {
        let platform = |code| Ended::Faulted(PlatformFault::new(code, "x").into());
        let participant = || ParticipantFault::new(ParticipantCode::Exited, "x");
        let judged = |outcome| Ended::Judged(Judgement { outcome, checks: Vec::new() });
        let (code, message) = (RegistryCode::RegistryDown, "x".to_owned());
        let registry = RegistryFault { code, message, retry_after: None };
        for (ended, told) in [
            (judged(Ok(())), Tells::Clean),
            (judged(Err(participant())), Tells::Clean),
            (Ended::Faulted(participant().into()), Tells::Clean),
            (platform(PlatformCode::NodeLost), Tells::Lost),
            (Ended::Stopped(Stop::NodeLost), Tells::Lost),
            (platform(PlatformCode::PlatformError), Tells::Nothing),
            (platform(PlatformCode::NoCapacity), Tells::Nothing),
            (Ended::Faulted(registry.into()), Tells::Nothing),
            (Ended::Stopped(Stop::Stopping), Tells::Nothing),
            (Ended::Stopped(Stop::LeaseLost), Tells::Nothing),
        ] {
            assert_eq!(tells(&ended, NodeThen::Standing), told, "{ended:?}");
            assert_eq!(tells(&ended, NodeThen::Gone), Tells::Lost, "{ended:?}");
        }
    }
}
