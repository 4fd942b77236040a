//! One run from beginning to end: everything that a [`Plan`] says, then calm, then a look at what came
//! of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Duration,
};

use portcall_shared::{
    chance,
    domain::{
        event::Event,
        event_file,
        ids::{SubmissionId, WorkerId},
        place::Place,
        state::Lifecycle,
        submission::{Marks, Participant, Submission, SubmittedImage},
    },
    store::{
        SCHEMA,
        entries::{Entries, cancel, requeue, take},
        submissions::{Before, Idempotency, NewSubmission, Taken},
    },
};
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use time::OffsetDateTime;
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::task::TaskTracker;

use crate::{
    database::{Client, Database},
    endpoint::Endpoint,
    history::{History, Key, Stand},
    invariants,
    process::{self, Process},
    weather::{Blow, Hit, Plan, STORMY, Truth},
    worker::Hands,
};

/// How long everything may take to end once nothing goes wrong any more: the longest delay, put off by
/// a clock that was ten minutes ahead.
const CALM: Duration = Duration::from_secs(900);
/// How long it may take until nothing is left at the endpoint after that.
const CLEAN: Duration = Duration::from_secs(90);
/// How often somebody has what is undetermined tried again, and when.
const REQUEUES: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(95)];

const RULES: &str = "slug = \"e\"\ntitle = \"E\"\n[[checks]]\nname = \"c\"\nget = \"/\"\n";

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// All that happened.
    pub(crate) history: History,
    /// How it ended for how many.
    pub(crate) ended: BTreeMap<&'static str, usize>,
}

/// Runs a plan.
pub(crate) fn run(plan: &Plan) -> Outcome {
    chance::seed(plan.seed);
    process::panicked();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let (hits, hit) = unbounded_channel();
        let database = Database::new(plan, Instant::now(), hits);
        World::new(plan, database).run(hit).await
    })
}

/// Everything that there is in a run. Cheap to clone; all clones are one.
#[derive(Clone)]
struct World {
    plan: Arc<Plan>,
    began: Instant,
    database: Database,
    endpoint: Endpoint,
    /// What participants and organisers do it through.
    client: Client,
    event: Arc<Event>,
    truths: Arc<Vec<Truth>>,
    /// What each participant was told that its submission is called.
    told: Arc<Mutex<BTreeMap<usize, SubmissionId>>>,
    workers: Arc<Mutex<Workers>>,
    /// What participants and organisers are about to do, or are doing.
    acts: TaskTracker,
}

struct Workers {
    /// Those that there are; none where one was killed.
    here: Vec<Option<Hands>>,
    /// How many there have been.
    born: u128,
    rng: StdRng,
}

/// What a POST gives the submission of that number when it is sent for the nth time.
fn submission_id(number: usize, nth: u32) -> SubmissionId {
    SubmissionId::from(uuid::Uuid::from_u128((u128::from(nth) << 32) + 0x5000 + number as u128))
}

/// The number of the submission that has such an id.
pub(crate) fn number(id: &Key) -> usize {
    usize::from(id[15])
}

impl World {
    fn new(plan: &Plan, database: Database) -> Self {
        let began = Instant::now();
        let who = Process::new(WorkerId::from(uuid::Uuid::nil()), began, 0);
        let truths = plan.submissions.iter().map(|(_, truth)| *truth);
        let rng = StdRng::seed_from_u64(plan.seed ^ 0x3030);
        let workers = Workers { here: vec![None; plan.workers], born: 0, rng };
        Self {
            plan: Arc::new(plan.clone()),
            began,
            client: Client { database: database.clone(), who },
            database,
            endpoint: Endpoint::new(plan),
            event: Arc::new(event_file::parse(RULES).expect("rules")),
            truths: Arc::new(truths.collect()),
            told: Arc::default(),
            workers: Arc::new(Mutex::new(workers)),
            acts: TaskTracker::new(),
        }
    }

    fn workers<T>(&self, with: impl FnOnce(&mut Workers) -> T) -> T {
        with(&mut self.workers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn worker(&self, number: usize) -> Option<Hands> {
        self.workers(|workers| workers.here[number].clone())
    }

    /// A worker comes in the place of one that is gone, if one is.
    fn bring_worker(&self, number: usize) {
        let clock = self.plan.clocks[number];
        let hands = self.workers(|workers| {
            if workers.here[number].is_some() {
                return None;
            }
            workers.born += 1;
            let id = WorkerId::from(uuid::Uuid::from_u128(0xA000 + workers.born));
            let who = Process::new(id, self.began, clock);
            let hands = Hands::new(
                who.clone(),
                Client { database: self.database.clone(), who },
                self.endpoint.clone(),
                Arc::clone(&self.truths),
                Arc::clone(&self.event),
                self.plan.nodes,
            );
            workers.here[number] = Some(hands.clone());
            Some(hands)
        });
        let Some(hands) = hands else { return };
        self.database.note(format!("worker {number} comes as {}", hands.who.id()));
        hands.begin(&self.plan);
    }

    async fn run(self, mut hits: UnboundedReceiver<(WorkerId, Hit)>) -> Outcome {
        let world = self.clone();
        tokio::spawn(async move {
            while let Some((id, hit)) = hits.recv().await {
                let world = world.clone();
                tokio::spawn(async move { world.after(id, hit).await });
            }
        });
        (0..self.plan.workers).for_each(|number| self.bring_worker(number));
        for (number, (at, _)) in self.plan.submissions.iter().enumerate() {
            let (world, at) = (self.clone(), self.began + *at);
            self.acts.spawn(async move { world.submit(number, at).await });
        }
        for (at, number) in self.plan.cancels.clone() {
            let (world, at) = (self.clone(), self.began + at);
            self.acts.spawn(async move { world.take_back(number, at).await });
        }
        for at in REQUEUES {
            let (world, at) = (self.clone(), self.began + at);
            self.acts.spawn(async move { world.requeue(at).await });
        }
        for (at, blow) in self.plan.blows.clone() {
            let (world, at) = (self.clone(), self.began + at);
            tokio::spawn(async move {
                sleep_until(at).await;
                world.strike(blow).await;
            });
        }
        self.until(self.began + STORMY, || false).await;
        self.calm();
        self.until(Instant::now() + CALM, || self.has_ended()).await;
        let left = || self.left().is_empty();
        self.until(Instant::now() + CLEAN, left).await;
        self.look();
        self.outcome()
    }

    /// Waits until then, or until it is so; no longer once something is wrong.
    async fn until(&self, at: Instant, is: impl Fn() -> bool) {
        let is_wrong = || self.database.with(|inner| !inner.history.violations.is_empty());
        while Instant::now() < at && !is() && !is_wrong() {
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Whether everything has an end, and nobody is about to change that.
    fn has_ended(&self) -> bool {
        let count = self.plan.submissions.len();
        self.acts.is_empty()
            && self.database.with(|inner| {
                inner.facts.len() == count && inner.facts.values().all(|it| it.stand.is_final())
            })
    }

    /// What is at the endpoint that no worker has open.
    fn left(&self) -> Vec<String> {
        let open = self.workers(|workers| {
            workers.here.iter().flatten().flat_map(Hands::open_slots).collect::<BTreeSet<_>>()
        });
        self.endpoint.beside(&open)
    }

    /// Whoever gets no answer sends it again; one has it sent by two at once, another once more when it
    /// was answered.
    async fn submit(&self, number: usize, at: Instant) {
        sleep_until(at).await;
        match (self.plan.seed + number as u64) % 3 {
            0 => self.post(number, 0).await,
            1 => _ = tokio::join!(self.post(number, 0), self.post(number, 1)),
            _ => {
                self.post(number, 0).await;
                sleep(Duration::from_secs(5)).await;
                self.post(number, 1).await;
            }
        }
    }

    /// Posts it until that is answered.
    async fn post(&self, number: usize, client: u32) {
        let posted = format!("post {number}");
        let idempotency = Some(Idempotency { key: posted.clone(), body: String::new() });
        let mut nth = client;
        loop {
            let new = NewSubmission {
                submission: self.submission(number, nth),
                secret: String::new(),
                idempotency: idempotency.clone(),
                schema: SCHEMA,
            };
            match take(&self.client, new, Before::default()).await {
                Ok(Taken::Stored(one) | Taken::Replayed(one)) => {
                    self.told().insert(number, one.id);
                    let id = one.id.uuid().into_bytes();
                    return self.database.with(|inner| inner.history.answered(&posted, id));
                }
                Ok(other) => panic!("{posted} was answered with {other:?}"),
                Err(_) => sleep(Duration::from_secs(1)).await,
            }
            nth += 2;
        }
    }

    fn told(&self) -> MutexGuard<'_, BTreeMap<usize, SubmissionId>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submission(&self, number: usize, nth: u32) -> Submission {
        let now: OffsetDateTime = self.client.now();
        let image = SubmittedImage { image: "a/b".parse().expect("a name"), pinned: None };
        // Every two are of one participant.
        let name = format!("Ann {}", number / 2).parse().expect("a name");
        Submission {
            id: submission_id(number, nth),
            event: self.event.slug.clone(),
            event_version: 1,
            participant: Participant { name, handle: None, contact: None },
            place: Place { label: "X".parse().expect("a label"), point: None, country: None },
            images: vec![image],
            answers: BTreeMap::new(),
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

    async fn take_back(&self, number: usize, at: Instant) {
        sleep_until(at).await;
        let id = loop {
            if let Some(id) = self.told().get(&number).copied() {
                break id;
            }
            sleep(Duration::from_secs(1)).await;
        };
        let answer = cancel(&self.client, id).await;
        self.database.note(format!("submission {number} is taken back: {answer:?}"));
    }

    async fn requeue(&self, at: Instant) {
        sleep_until(at).await;
        let facts = self.database.facts();
        let undetermined = facts.iter().find(|(_, it)| it.stand == Stand::Undetermined);
        if let Some((id, _)) = undetermined {
            let id = SubmissionId::from(uuid::Uuid::from_bytes(*id));
            let answer = requeue(&self.client, id).await;
            self.database.note(format!("{id} is queued again: {answer:?}"));
        }
    }

    async fn strike(&self, blow: Blow) {
        self.database.note(format!("{blow:?}"));
        match blow {
            Blow::Failover(within) => self.database.fail_over(within).await,
            Blow::NodeLost(node, long) => {
                self.endpoint.take_away(node);
                sleep(long).await;
                self.endpoint.bring_back(node);
            }
            Blow::Crash(number, _)
            | Blow::Stop(number, _)
            | Blow::Freeze(number, _)
            | Blow::NoStore(number, _)
            | Blow::NoFleet(number, _)
            | Blow::Clock(number, _) => {
                if let Some(hands) = self.worker(number) {
                    self.strike_worker(number, &hands, blow).await;
                }
            }
        }
    }

    async fn strike_worker(&self, number: usize, hands: &Hands, blow: Blow) {
        let who = &hands.who;
        match blow {
            Blow::Crash(_, back) => {
                self.kill(number, who.id());
                sleep(back).await;
                self.bring_worker(number);
            }
            Blow::Stop(_, back) => {
                hands.stop();
                sleep(back + Duration::from_secs(30)).await;
                self.kill(number, who.id());
                self.bring_worker(number);
            }
            Blow::Freeze(_, long) => {
                who.freeze();
                sleep(long).await;
                self.thaw(who);
            }
            Blow::NoStore(_, long) => {
                who.cut_store(true);
                sleep(long).await;
                who.cut_store(false);
            }
            Blow::NoFleet(_, long) => {
                who.cut_fleet(true);
                sleep(long).await;
                who.cut_fleet(false);
            }
            Blow::Clock(_, seconds) => who.set_clock(seconds),
            Blow::Failover(_) | Blow::NodeLost(..) => {}
        }
        self.database.note(format!("that was {blow:?}"));
    }

    /// What follows when a worker was hit at one of its calls.
    async fn after(&self, id: WorkerId, hit: Hit) {
        let number = self.workers(|workers| {
            workers.here.iter().position(|it| it.as_ref().is_some_and(|it| it.who.id() == id))
        });
        let (Some(number), Hit::Freeze(long) | Hit::Crash(long)) = (number, hit) else { return };
        if let Hit::Crash(_) = hit {
            self.kill(number, id);
        }
        sleep(long).await;
        match (hit, self.worker(number)) {
            (Hit::Freeze(_), Some(hands)) if hands.who.id() == id => self.thaw(&hands.who),
            (Hit::Freeze(_), _) => {}
            (Hit::Crash(_), _) => self.bring_worker(number),
        }
    }

    /// Ends a worker where it is, if it is still the same.
    fn kill(&self, number: usize, id: WorkerId) {
        let gone = self.workers(|workers| workers.here[number].take_if(|it| it.who.id() == id));
        if let Some(hands) = gone {
            hands.who.kill();
        }
    }

    fn thaw(&self, who: &Process) {
        let mix = |asleep: &mut Vec<Waker>| self.workers(|it| asleep.shuffle(&mut it.rng));
        who.thaw(mix);
    }

    /// From now on nothing goes wrong any more, and everybody is there.
    fn calm(&self) {
        self.database.note("calm".to_owned());
        self.database.calm();
        self.endpoint.calm();
        for number in 0..self.plan.workers {
            if let Some(hands) = self.worker(number) {
                hands.who.set_clock(0);
                hands.who.cut_store(false);
                hands.who.cut_fleet(false);
                self.thaw(&hands.who);
            }
            self.bring_worker(number);
        }
    }

    /// Holds how it ended against what must be so in the end.
    fn look(&self) {
        let facts = self.database.facts();
        let left = self.left();
        let checks = [
            (
                "I1",
                match facts.len() == self.plan.submissions.len() {
                    true => Ok(()),
                    false => Err(format!("{} submissions are there", facts.len())),
                },
            ),
            ("I2", invariants::everything_has_ended(&facts)),
            ("I10", invariants::nobody_is_blamed(&facts, &self.truths)),
            ("I6", invariants::nothing_is_left(&left)),
            (
                "panic",
                match process::panicked() {
                    true => Err("a task panicked".to_owned()),
                    false => Ok(()),
                },
            ),
        ];
        self.database.with(|inner| {
            let is_well = inner.history.violations.is_empty();
            for (name, check) in checks {
                // What else is wrong follows from what was wrong first.
                if let (Err(what), true) = (check, is_well || name == "panic") {
                    inner.history.violate(name, what);
                }
            }
        });
    }

    fn outcome(&self) -> Outcome {
        let mut ended = BTreeMap::new();
        for facts in self.database.facts().values() {
            let word = match facts.stand {
                Stand::Passed => "passed",
                Stand::Failed => "failed",
                Stand::Undetermined => "undetermined",
                Stand::Cancelled => "cancelled",
                Stand::Queued | Stand::Grading => "not ended",
            };
            *ended.entry(word).or_default() += 1;
        }
        let history = self.database.with(|inner| std::mem::take(&mut inner.history));
        Outcome { history, ended }
    }
}
