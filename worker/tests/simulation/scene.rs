//! Where a simulated worker grades: the real story on a simulated node, with a registry that may be
//! away, a prober that may lose its node, and images that do what they truly do.

use std::{sync::Arc, time::Duration};

use portcall_shared::{
    domain::{
        event::Event,
        evidence::ContainerEvidence,
        ids::WorkerId,
        state::Step,
        submission::{Pinned, StepTime, Submission, SubmittedImage},
        verdict::{ParticipantFault, PlatformCode, PlatformFault, RegistryCode, RegistryFault},
    },
    store::{StoreError, queue::Lease},
};
use portcall_worker::{
    company::{Alone, Member},
    fleet::{FleetError, Owner},
    grade::{Break, Ended, Logs, Started, Steps, Unheard, platform},
    judge::{Presence, Seen},
    lease::{Holder, Keeper, LeaseTimes, Progress, Stop},
    probe::wire::{AskFailure, Observation},
    stage::{Stage, Watch},
    suspects::NodeThen,
    worker::BusyGuard,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    database::Client,
    endpoint::Workload,
    weather::Truth,
    worker::{Hands, TIMES},
    world::number,
};

/// A slot of a simulated worker, for one grading.
pub(crate) struct Scene {
    pub(crate) hands: Hands,
    pub(crate) node: usize,
    /// How often the node had been lost when the slot was offered.
    pub(crate) mark: u64,
}

impl Stage for Scene {
    type Queue = Client;
    type Ground = Self;

    fn queue(&self) -> &Client {
        &self.hands.store
    }

    fn ground(&self) -> &Self {
        self
    }

    fn worker(&self) -> WorkerId {
        self.hands.who.id()
    }

    fn times(&self) -> LeaseTimes {
        TIMES
    }

    fn begin(&self, lease: Lease) -> BusyGuard {
        self.hands.busy.enter(lease)
    }

    fn spawn(&self, keeper: Keeper) -> JoinHandle<()> {
        self.hands.who.run(keeper)
    }

    async fn rules(&self, _: &Submission) -> Result<Option<Arc<Event>>, StoreError> {
        Ok(Some(Arc::clone(&self.hands.event)))
    }

    fn enter(&self) -> Option<Member> {
        self.hands.company.enter()
    }

    fn watch<'h>(&'h self, holder: &'h Holder<Client>) -> impl Watch + 'h {
        Unwatched(holder)
    }

    fn node(&self) -> String {
        format!("node-{}", self.node)
    }

    async fn stands(&self) -> bool {
        let nodes = self.hands.endpoint.nodes(&self.hands.who).await;
        nodes.is_ok_and(|nodes| nodes[self.node])
    }

    fn is_emptied(&self) -> bool {
        false
    }

    fn is_trusted(&self) -> bool {
        self.hands.nodes(|nodes| nodes[self.node].lost == self.mark)
    }

    fn trace(&self, _: &StepTime) {}

    fn used(&self) {}
}

/// The progress of a grading of images of which nothing is known, whatever becomes of them.
struct Unwatched<'h>(&'h Holder<Client>);

impl Progress for Unwatched<'_> {
    async fn step(&self, step: Step) -> Result<(), Stop> {
        self.0.step(step).await
    }

    async fn during<T: Send, E: From<Stop> + Send>(
        &self,
        step: Step,
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        self.0.during(step, work).await
    }

    async fn pinned(&self, images: &[SubmittedImage]) -> Result<(), Stop> {
        self.0.pinned(images).await
    }

    async fn stopped(&self) -> Stop {
        self.0.stopped().await
    }
}

impl Watch for Unwatched<'_> {
    async fn over(self, ended: Ended, _: NodeThen) -> (Ended, Option<Alone>) {
        (ended, None)
    }
}

impl Scene {
    /// Something that takes a while, unless the grading must stop.
    async fn a_while(
        &self,
        millis: std::ops::Range<u64>,
        progress: &impl Progress,
    ) -> Result<(), Break> {
        tokio::select! {
            biased;
            stop = progress.stopped() => Err(stop.into()),
            () = sleep(self.hands.endpoint.millis(millis)) => Ok(()),
        }
    }

    /// What is seen of an image.
    fn see(&self, submission: &Submission, since: Instant) -> Result<Seen, Break> {
        let (hands, alias) = (&self.hands, "app".to_owned());
        if hands.endpoint.was_away(self.node, since) {
            // Whoever asks a node that goes away may notice, or take it for the image.
            return match hands.endpoint.millis(0..3).as_millis() {
                0 => Err(node_lost("the platform lost its prober")),
                1 => {
                    let presence =
                        Presence::Silent { open: Vec::new(), exposed: Vec::new(), waited_s: 10 };
                    Ok(Seen { alias, presence, answers: Vec::new() })
                }
                _ => {
                    let failure = AskFailure::HeadersTimeout;
                    let lost = Observation::Failed { id: 1, failure, detail: String::new(), ms: 9 };
                    let answers = vec![(0, vec![lost.clone(), lost])];
                    Ok(Seen { alias, presence: Presence::Listening, answers })
                }
            };
        }
        let truth = hands.truths[number(&submission.id.uuid().into_bytes())];
        let works = match truth {
            Truth::Passes => true,
            Truth::Fails => false,
            Truth::FlipFlop => hands.endpoint.millis(0..2).is_zero(),
        };
        if !works && hands.endpoint.millis(0..2).is_zero() {
            let presence = Presence::Exited { code: 1 };
            return Ok(Seen { alias, presence, answers: Vec::new() });
        }
        let status = if works { 200 } else { 500 };
        let answer = Observation::Answer {
            id: 1,
            status,
            headers: Vec::new(),
            body: Vec::new(),
            body_ms: 0,
            ms: 1,
        };
        let answers = vec![(0, vec![answer.clone(), answer])];
        Ok(Seen { alias, presence: Presence::Listening, answers })
    }
}

fn node_lost(message: &str) -> Break {
    Break::Fault(PlatformFault::new(PlatformCode::NodeLost, message).into())
}

/// The simulation needs nothing of what is prepared.
pub(crate) struct Prepared;

impl Steps for Scene {
    type Prepared = Prepared;
    type Workload = Workload;
    type Admitted = ();

    async fn resolve(
        &self,
        submission: &mut Submission,
        _: &Event,
        progress: &impl Progress,
        _: Instant,
    ) -> Result<Prepared, Break> {
        self.a_while(5..800, progress).await?;
        if self.hands.endpoint.chance(|weather| weather.registry_fails) {
            let (code, message) = (RegistryCode::RegistryDown, "it is away".to_owned());
            let retry_after = Some(Duration::from_secs(10));
            return Err(Break::Fault(RegistryFault { code, message, retry_after }.into()));
        }
        let mut pins = false;
        for image in submission.images.iter_mut().filter(|image| image.pinned.is_none()) {
            let digest = format!("sha256:{}", "ab".repeat(32)).parse().expect("a digest");
            let platform = "linux/amd64".to_owned();
            image.pinned = Some(Pinned { digest, platform, size: 1, layers: 1 });
            pins = true;
        }
        if pins {
            progress.pinned(&submission.images).await?;
        }
        Ok(Prepared)
    }

    async fn pull(
        &self,
        prepared: Prepared,
        _: &Event,
        progress: &impl Progress,
        _: Instant,
    ) -> Result<Prepared, Break> {
        self.a_while(10..3_000, progress).await?;
        match self.hands.endpoint.nodes(&self.hands.who).await {
            Ok(_) => Ok(prepared),
            Err(error) => Err(Break::Fault(platform("pull an image", &error))),
        }
    }

    async fn admit(
        &self,
        _: &Prepared,
        _: &Event,
        _: &impl Progress,
        _: Instant,
    ) -> Result<(), Break> {
        Ok(())
    }

    async fn start(&self, owner: Owner, _: &Prepared, _: &Event) -> Result<Workload, Started> {
        let started = self.hands.endpoint.start(&self.hands.who, owner, self.node).await;
        started.map_err(|error: FleetError| {
            Started::NotAtAll(Break::Fault(platform("start the containers", &error)))
        })
    }

    async fn probe(
        &self,
        running: &Workload,
        _: &Prepared,
        submission: &Submission,
        _: &Event,
        progress: &impl Progress,
        _: Instant,
    ) -> Result<Vec<Seen>, Break> {
        let began = Instant::now();
        self.a_while(200..20_000, progress).await?;
        if !self.hands.who.reaches_fleet() {
            return Err(node_lost("the platform lost its prober"));
        }
        let seen = self.see(submission, began)?;
        if !self.hands.endpoint.has(&running.name) {
            return Err(node_lost("a container was removed while it was graded"));
        }
        Ok(vec![seen])
    }

    async fn last_look(
        &self,
        _: &Workload,
        _: &Prepared,
        _: &impl Progress,
    ) -> Result<Option<ParticipantFault>, Break> {
        Ok(None)
    }

    async fn unheard(&self, since: Instant) -> Option<Unheard> {
        let was_away = self.hands.endpoint.was_away(self.node, since);
        was_away.then(|| Unheard::Silence(since.elapsed()))
    }

    async fn services_run(&self, _: &Workload) -> Result<(), Break> {
        Ok(())
    }

    async fn containers(&self, _: &Workload, _: Logs) -> Vec<ContainerEvidence> {
        Vec::new()
    }
}
