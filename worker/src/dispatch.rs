//! Claiming: one dispatcher for all slots of a worker, so that a free slot is what claims wait for and
//! not the other way round.

use portcall_shared::{
    domain::submission::Submission,
    store::queue::{Claimant, Lease, Queue},
};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{company::Company, one, wake::Pace};

/// Where a free slot wants its submission.
pub type Offer = oneshot::Sender<Submission>;

/// Who claims for the slots.
#[derive(Clone, Debug)]
pub struct Dispatcher<Q> {
    /// From where.
    pub queue: Q,
    /// In whose name.
    pub claimant: Claimant,
    /// Whom the worker grades beside whom.
    pub company: Company,
}

impl<Q: Queue> Dispatcher<Q> {
    /// Claims for whoever is free, until `stop`.
    pub async fn run(
        &self,
        mut offered: mpsc::Receiver<Offer>,
        wake: &Notify,
        stop: CancellationToken,
    ) {
        let mut pace = Pace::default();
        loop {
            let offer = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                offer = offered.recv() => offer,
            };
            let Some(offer) = offer else { return };
            // A slot that went away meanwhile must not be claimed for.
            while !offer.is_closed() && !stop.is_cancelled() {
                // What is graded alone keeps others out.
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = self.company.open() => {}
                }
                match self.queue.claim(&self.claimant).await {
                    Ok(Some(submission)) => {
                        pace.found();
                        metrics::counter!("portcall_claims_total").increment(1);
                        self.hand(offer, submission).await;
                        break;
                    }
                    Ok(None) => pace.nothing(),
                    Err(error) => {
                        tracing::warn!(%error, "cannot claim");
                        pace.nothing();
                    }
                }
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = wake.notified() => {}
                    () = tokio::time::sleep(pace.pause()) => {}
                }
            }
        }
    }

    /// Hands a submission to the slot that it was claimed for; if that went away just then, the
    /// lease is given back.
    async fn hand(&self, offer: Offer, submission: Submission) {
        if let Err(submission) = offer.send(submission) {
            self.hand_back(&submission).await;
        }
    }

    /// Gives back a submission that nothing was done for.
    pub async fn hand_back(&self, submission: &Submission) {
        let lease = Lease {
            submission: submission.id,
            worker: self.claimant.id,
            generation: submission.life.generation,
        };
        hand_back(&self.queue, lease).await;
    }
}

/// Gives back a lease that nothing was done under.
pub(crate) async fn hand_back<Q: Queue>(queue: &Q, lease: Lease) {
    if let Err(error) = queue.release(lease, &one::handed_back(queue.now())).await {
        tracing::warn!(%error, "cannot give a lease back; it will expire");
    }
}
