//! One slot of a post: opened, offered, graded in, closed; again and again.
//!
//! It says that it is free only with a slot that has just been seen alive, while its post serves and
//! while the [`gate`](crate::gate) is open.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt;
use portcall_shared::{
    domain::submission::Submission,
    retry::{self, Again},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{
    dispatch::Offer,
    fleet::{FleetError, Slot, SlotHealth},
    gate::{
        Mark,
        room::{OnNode, Room},
    },
    post::Post,
    run::IDLE_LOOK,
    worker::SlotUse,
};

/// What a waiting slot is given.
enum Given {
    /// A submission to grade.
    One(Box<Submission>),
    /// A submission, when the slot is no longer good: somebody else shall grade it.
    Late(Box<Submission>),
    /// Nothing any more.
    None,
}

/// One slot's place at a post.
pub(crate) struct Seat {
    post: Arc<Post>,
    number: u32,
    offers: mpsc::Sender<Offer>,
}

impl Seat {
    pub(crate) fn new(post: Arc<Post>, number: u32, offers: mpsc::Sender<Offer>) -> Self {
        Self { post, number, offers }
    }

    /// Keeps a slot while the post wants one here, until the post is closed.
    pub(crate) async fn keep(self) {
        let post = &self.post;
        while self.wanted().await {
            let Some(slot) = self.open().await else { continue };
            post.worker.tell_readiness(&post.close);
            post.worker.posts.tell_news();
            let slot = self.serve(slot).await;
            let closed = post.close_slot(slot).await;
            post.worker.tell_readiness(&post.close);
            post.worker.posts.tell_news();
            if let Err(error) = closed {
                let (node, number) = (post.name(), self.number);
                tracing::warn!(
                    node.name = node, slot.number = number, %error, "a slot is left to the reaper"
                );
            }
        }
    }

    /// Completes when a slot is to be here; false when the post is closed.
    async fn wanted(&self) -> bool {
        tokio::select! {
            () = self.post.until(|charge| charge.keeps(self.number)) => {}
            () = self.post.close.cancelled() => {}
        }
        !self.post.close.is_cancelled()
    }

    /// Whether the slot is to be given up.
    fn is_over(&self) -> bool {
        self.post.close.is_cancelled() || !self.post.charge().keeps(self.number)
    }

    /// Completes when it is.
    async fn over(&self) {
        tokio::select! {
            () = self.post.until(|charge| !charge.keeps(self.number)) => {}
            () = self.post.close.cancelled() => {}
        }
    }

    /// Opens a slot, however long it takes; none when it is to be given up.
    async fn open(&self) -> Option<Slot> {
        let (post, number) = (&self.post, self.number);
        let mut pauses = retry::RECONNECT.pauses();
        while !self.is_over() {
            match post.open_once(number, SlotUse::Grading).await {
                Ok(slot) => {
                    post.gate.seen(slot.node());
                    post.worker.posts.tell_learned();
                    // Once for the node is enough.
                    let warnings = post.fleet().warnings(slot.node());
                    for warning in warnings.iter().filter(|_| number == 0) {
                        tracing::warn!(node.name = slot.node().name, "{warning}");
                    }
                    tracing::info!(
                        node.name = slot.node().name,
                        slot.number = number,
                        slot.subnet = %slot.subnet(),
                        "slot open"
                    );
                    return Some(slot);
                }
                Err(error) => {
                    let node = post.name();
                    tracing::warn!(
                        node.name = node, slot.number = number, %error, "cannot open a slot"
                    );
                    if matches!(error, FleetError::Unreachable { .. }) {
                        post.gate.engine_lost();
                    }
                    post.worker.posts.look_again();
                }
            }
            tokio::select! {
                again = pauses.wait() => if again == Again::No { return None },
                () = self.over() => return None,
            }
        }
        None
    }

    /// Grades in a slot until it is no longer good or to be given up.
    async fn serve(&self, slot: Slot) -> Slot {
        while !self.is_over() {
            let mark = self.post.gate.mark();
            let alive = async { self.alive(&slot).await.then_some(()).ok_or(()) };
            let admitted = async { Ok(self.admitted(&slot).await) };
            match tokio::try_join!(alive, admitted) {
                Ok(((), true)) => {}
                Ok(((), false)) => continue,
                Err(()) => break,
            }
            let permit = tokio::select! {
                permit = self.offers.reserve() => permit,
                // Behind other offers: look at the slot again before it is offered.
                () = tokio::time::sleep(IDLE_LOOK) => continue,
                () = self.over() => break,
            };
            let Ok(permit) = permit else { break };
            let (offer, given) = oneshot::channel();
            permit.send(offer);
            match self.wait(&slot, given).await {
                Given::One(submission) => self.guarded(&slot, *submission, mark).await,
                Given::Late(submission) => {
                    self.post.worker.dispatcher().hand_back(&submission).await
                }
                Given::None => {}
            }
        }
        slot
    }

    /// Whether the slot may be offered; if not, a while has passed.
    async fn admitted(&self, slot: &Slot) -> bool {
        let post = &self.post;
        let opened = async {
            post.until(|charge| charge.serves()).await;
            post.gate.opened().await;
        };
        tokio::select! {
            () = opened => {}
            // The slot itself is to be looked at now and then.
            () = tokio::time::sleep(IDLE_LOOK) => return false,
            () = self.over() => return false,
        }
        let node = OnNode { fleet: post.fleet(), slot };
        let room = async {
            self.make_room_in_registry().await;
            post.room.keep(&node, post.busy.since(), &post.gate).await
        };
        let room = tokio::select! {
            room = room => room,
            () = self.over() => return false,
        };
        if let (Some(node), Some(space)) = (post.name(), post.gate.standing().space()) {
            #[expect(clippy::cast_precision_loss, reason = "a gauge; nobody counts single bytes")]
            metrics::gauge!("portcall_node_free_bytes", "node" => node)
                .set(space.free_bytes as f64);
        }
        if room == Room::Lacking {
            tokio::select! {
                () = tokio::time::sleep(IDLE_LOOK) => {}
                () = self.over() => {}
            }
        }
        room == Room::Enough
    }

    /// What the platform's own registry holds is bounded before anything is claimed that would add
    /// to it.
    async fn make_room_in_registry(&self) {
        let worker = &self.post.worker;
        let Some(quarantine) = &worker.quarantine else { return };
        if !worker.registry_turn.is_due(Instant::now()) {
            return;
        }
        match quarantine.make_room().await {
            Ok(made) if made.images + made.blobs > 0 => tracing::info!(
                images = made.images,
                blobs = made.blobs,
                held_bytes = made.held,
                "made room in the quarantine"
            ),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "cannot make room in the quarantine"),
        }
    }

    /// Waits for a submission while the slot is good.
    async fn wait(&self, slot: &Slot, mut given: oneshot::Receiver<Submission>) -> Given {
        let post = &self.post;
        let no_longer_good = async {
            let node = OnNode { fleet: post.fleet(), slot };
            loop {
                tokio::time::sleep(IDLE_LOOK).await;
                if !self.alive(slot).await || post.room.look(&node).await == Room::Lacking {
                    return;
                }
            }
        };
        // What is given while the slot is looked at does not wait for the end of that.
        tokio::select! {
            given = &mut given => {
                let good = |_: &Submission| {
                    slot.prober().over().is_none() && post.gate.examined() && !self.is_over()
                };
                return match given {
                    Ok(one) if good(&one) => Given::One(Box::new(one)),
                    Ok(one) => Given::Late(Box::new(one)),
                    Err(_) => Given::None,
                };
            }
            () = self.over() => {}
            () = post.gate.shut() => {}
            () = no_longer_good => {}
        }
        // From here on nothing can be given; what was given just before must not be lost.
        given.close();
        given.await.map_or(Given::None, |one| Given::Late(Box::new(one)))
    }

    /// Grades one submission; a panic of ours costs the slot, not the worker.
    async fn guarded(&self, slot: &Slot, submission: Submission, mark: Mark) {
        let id = submission.id;
        let ends = self.post.ends();
        let one = AssertUnwindSafe(self.post.one(slot, submission, mark, &ends)).catch_unwind();
        if one.await.is_err() {
            slot.doubt();
            tracing::error!(submission.id = %id, "a grading panicked; the reaper hands its lease back");
        }
        self.post.worker.tell_readiness(&self.post.close);
    }

    async fn alive(&self, slot: &Slot) -> bool {
        let post = &self.post;
        match post.fleet().slot_alive(slot).await {
            SlotHealth::Alive => true,
            SlotHealth::Lost { why } => {
                let (node, number) = (post.name(), slot.number());
                tracing::warn!(node.name = node, slot.number = number, why, "a slot is lost");
                metrics::counter!("portcall_slots_lost_total").increment(1);
                if slot.prober().over().is_some() {
                    post.gate.slot_lost();
                }
                post.worker.posts.look_again();
                false
            }
        }
    }
}
