//! A replica set in memory, as its clients see it: what is written is the primary's at once, a
//! majority's a little later, and only then acknowledged; another primary may lack what a majority did
//! not have. Clients are the processes of the simulation, and the network between is as its
//! [`Weather`] is.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bson::{DateTime, Document};
use portcall_shared::{
    domain::ids::WorkerId,
    store::{StoreError, workers::WorkerEntry},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{
    sync::mpsc::UnboundedSender,
    time::{Instant, sleep, timeout},
};

mod client;

pub(crate) use self::client::Client;
use crate::{
    documents,
    history::{Change, Facts, History, Key, key},
    invariants,
    process::Process,
    weather::{Aim, Hit, Plan, Plant, Side, Weather},
};

/// How long a client waits for an answer, as the real one does.
const CALL: Duration = Duration::from_secs(10);
/// How often a write looks whether a majority has it.
const LOOK: Duration = Duration::from_millis(4);
/// How long a client looks for a primary.
const SELECTION: Duration = Duration::from_secs(4);

/// The replica set. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct Database(Arc<Mutex<Inner>>);

/// What is in it.
pub(crate) struct Inner {
    began: Instant,
    rng: StdRng,
    weather: Weather,
    plant: Option<Plant>,
    primary: BTreeMap<Key, Document>,
    majority: BTreeMap<Key, Document>,
    /// What the primary has and a majority may not.
    pending: VecDeque<Written>,
    written: u64,
    committed: u64,
    term: u64,
    has_primary: bool,
    pub(crate) facts: BTreeMap<Key, Facts>,
    /// When each was claimed, and when its beat was seen to change.
    beats: BTreeMap<Key, (Instant, Instant)>,
    /// The last revision of each that somebody was told of.
    acknowledged: BTreeMap<Key, i64>,
    /// What the last commit was, and what was there before.
    last: Option<(Key, Document)>,
    roster: BTreeMap<WorkerId, WorkerEntry>,
    /// What is still to happen at which calls, and who is told that it did.
    aims: Vec<Aim>,
    hits: UnboundedSender<(WorkerId, Hit)>,
    pub(crate) history: History,
}

struct Written {
    number: u64,
    doing: &'static str,
    id: Key,
    before: Option<Document>,
    after: Document,
    at: Instant,
}

/// What becomes of a call on its way.
struct Fate {
    there: Duration,
    back: Duration,
    fails: bool,
    loses: bool,
    lags: Duration,
}

impl Inner {
    fn chance(&mut self, in_a_thousand: u32) -> bool {
        self.rng.random_range(0..1000) < in_a_thousand
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(range))
    }

    fn fate(&mut self) -> Fate {
        let weather = self.weather;
        let slow = self.chance(weather.store_slow);
        let there = if slow { self.millis(500..16_000) } else { self.millis(0..5) };
        let back = self.millis(0..3);
        let (fails, loses) = (self.chance(weather.store_fails), self.chance(weather.store_loses));
        let lags = self.chance(weather.store_lags);
        let lags = if lags { self.millis(300..5_000) } else { self.millis(0..6) };
        Fate { there, back, fails, loses, lags }
    }

    /// Writes a document to the primary.
    fn write(&mut self, doing: &'static str, id: Key, after: Document) {
        self.written += 1;
        let before = self.primary.insert(id, after.clone());
        let (number, at) = (self.written, Instant::now());
        self.pending.push_back(Written { number, doing, id, before, after, at });
    }

    /// A majority has everything up to this.
    fn commit(&mut self, up_to: u64) {
        while self.pending.front().is_some_and(|next| next.number <= up_to) {
            let Some(next) = self.pending.pop_front() else { return };
            self.committed = next.number;
            let before = self.majority.insert(next.id, next.after.clone());
            self.last = before.map(|before| (next.id, before));
            self.note(&next);
        }
    }

    fn note(&mut self, written: &Written) {
        let facts = Facts::of(&written.after);
        let before = self.facts.insert(written.id, facts.clone());
        let (claimed, beat) = self.beats.get(&written.id).copied().unzip();
        let same_token = before.as_ref().is_some_and(|it| it.generation == facts.generation);
        if !same_token {
            self.beats.insert(written.id, (written.at, written.at));
        } else if before.as_ref().is_some_and(|it| it.beat != facts.beat) {
            self.beats.entry(written.id).and_modify(|(_, beat)| *beat = written.at);
        }
        let change = Change {
            at: self.began.elapsed(),
            id: written.id,
            doing: written.doing,
            before,
            after: facts,
            silent: beat.map(|beat| written.at - beat),
            held: claimed.map(|claimed| written.at - claimed),
        };
        self.history.add(change, &self.facts);
    }

    /// Another member takes over: it may lack what a majority did not have.
    fn step_down(&mut self) {
        let lost = self.rng.random_range(0..=self.pending.len());
        let kept = self.pending.len() - lost;
        for written in self.pending.split_off(kept).into_iter().rev() {
            match written.before {
                Some(before) => _ = self.primary.insert(written.id, before),
                None => _ = self.primary.remove(&written.id),
            }
        }
        self.commit(self.written);
        self.written = self.committed;
        self.term += 1;
        self.has_primary = false;
        if self.plant == Some(Plant::LostAcknowledged)
            && let Some((id, before)) = self.last.take()
        {
            self.facts.insert(id, Facts::of(&before));
            self.primary.insert(id, before.clone());
            self.majority.insert(id, before);
        }
        self.check_acknowledged();
    }

    fn check_acknowledged(&mut self) {
        if let Err(what) = invariants::acknowledged_is_kept(&self.acknowledged, &self.facts) {
            self.history.violate("I1", what);
        }
    }

    /// Somebody is told that his write is there.
    fn acknowledge(&mut self, told: Option<(Key, i64)>) {
        let Some((id, revision)) = told else { return };
        let known = self.acknowledged.entry(id).or_insert(revision);
        *known = revision.max(*known);
        self.check_acknowledged();
    }

    /// The first documents that match, in the order of their ids.
    fn matching<'a>(
        among: &'a BTreeMap<Key, Document>,
        filter: &'a Document,
    ) -> impl Iterator<Item = (Key, &'a Document)> {
        let one = key(filter.get("_id"));
        let range = match one {
            Some(one) => among.range(one..=one),
            None => among.range::<Key, _>(..),
        };
        range.filter(|(_, it)| documents::matches(it, filter)).map(|(id, it)| (*id, it))
    }

    fn update(
        &mut self,
        doing: &'static str,
        filter: &Document,
        most: usize,
        change: impl Fn(&mut Document),
    ) -> Vec<Key> {
        let found: Vec<Key> =
            Self::matching(&self.primary, filter).take(most).map(|(id, _)| id).collect();
        for id in &found {
            let mut document = self.primary[id].clone();
            change(&mut document);
            self.write(doing, *id, document);
        }
        found
    }

    /// Whether a unique index refuses it: another one has its id, its lane or its key.
    fn is_taken(&self, new: &Document) -> bool {
        let of =
            |it: &Document, path: [&str; 2]| it.get_document(path[0]).ok()?.get(path[1]).cloned();
        let participant = ["participant", "key"];
        let idempotency = ["idempotency", "key"];
        let with_keys = self.plant != Some(Plant::KeysAreNotUnique);
        self.primary.values().any(|old| {
            let same = |path| of(new, path).is_some_and(|it| of(old, path) == Some(it));
            let same_lane = new.contains_key("lane") && new.get("lane") == old.get("lane");
            let same_key = with_keys && same(idempotency);
            let theirs = new.get("event") == old.get("event") && same(participant);
            new.get("_id") == old.get("_id") || theirs && (same_lane || same_key)
        })
    }

    fn revision(&self, id: Option<&Key>) -> Option<(Key, i64)> {
        let id = id?;
        Some((*id, self.primary.get(id)?.get_i64("revision").ok()?))
    }

    /// The filter and the update as they come to be, which is as they were if nothing is planted.
    fn planted(&self, doing: &'static str, filter: &mut Document, update: &mut Document) {
        let Ok(set) = update.get_document_mut("$set") else { return };
        let settles = matches!(set.get_str("state"), Ok("passed" | "failed"));
        match self.plant {
            Some(Plant::SettleWithoutGeneration) if settles => _ = filter.remove("generation"),
            Some(Plant::ExpireWithoutBeat) if doing == "end a lease" => _ = filter.remove("beat"),
            Some(Plant::BackToTheEnd) if doing == "end a lease" => {
                _ = set.insert("order", DateTime::MAX);
            }
            _ => {}
        }
    }
}

/// What an operation answers, and which submission's revision its answer vouches for.
type Answer<T> = (T, Option<(Key, i64)>);

impl Database {
    pub(crate) fn new(plan: &Plan, began: Instant, hits: UnboundedSender<(WorkerId, Hit)>) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            began,
            rng: StdRng::seed_from_u64(plan.seed ^ 0xDB),
            weather: plan.weather,
            plant: plan.plant,
            primary: BTreeMap::new(),
            majority: BTreeMap::new(),
            pending: VecDeque::new(),
            written: 0,
            committed: 0,
            term: 0,
            has_primary: true,
            facts: BTreeMap::new(),
            beats: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            last: None,
            roster: BTreeMap::new(),
            aims: plan.aims.clone(),
            hits,
            history: History::default(),
        })))
    }

    /// Looks at it, or changes it, past everything.
    pub(crate) fn with<T>(&self, with: impl FnOnce(&mut Inner) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn note(&self, note: String) {
        self.with(|inner| inner.history.note(inner.began.elapsed(), note));
    }

    pub(crate) fn facts(&self) -> BTreeMap<Key, Facts> {
        self.with(|inner| inner.facts.clone())
    }

    /// From now on nothing goes wrong.
    pub(crate) fn calm(&self) {
        self.with(|inner| {
            (inner.weather, inner.has_primary) = (Weather::default(), true);
            inner.aims.clear();
        });
    }

    /// Another member takes over.
    pub(crate) async fn fail_over(&self, within: Duration) {
        self.with(Inner::step_down);
        sleep(within).await;
        self.with(|inner| inner.has_primary = true);
    }

    /// One call: in a task of its own, as the real one is, so that it goes on when whoever made it
    /// does not wait any more.
    async fn call<T: Send + 'static>(
        &self,
        who: &Process,
        doing: &'static str,
        operation: impl FnOnce(&mut Inner) -> Answer<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.aimed(who, doing, Side::Before).await;
        let exchange = self.clone().exchange(who.clone(), doing, operation);
        let answer = match timeout(CALL, tokio::spawn(exchange)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(StoreError::Task { doing }),
            Err(_) => Err(StoreError::Timeout { doing }),
        };
        self.aimed(who, doing, Side::After).await;
        answer
    }

    /// Whatever the plan has for this side of this call.
    async fn aimed(&self, who: &Process, doing: &'static str, side: Side) {
        let hit = self.with(|inner| {
            let is_here = |it: &Aim| it.doing == doing && it.side == side;
            let here = inner.aims.iter_mut().filter(|it| is_here(it));
            here.for_each(|it| it.nth = it.nth.saturating_sub(1));
            let due = inner.aims.iter().position(|it| is_here(it) && it.nth == 0);
            let hit = due.map(|due| inner.aims.swap_remove(due).hit)?;
            inner.history.note(inner.began.elapsed(), format!("{hit:?} {side:?} {doing}"));
            _ = inner.hits.send((who.id(), hit));
            Some(hit)
        });
        match hit {
            Some(Hit::Freeze(_)) => who.freeze(),
            Some(Hit::Crash(_)) => who.kill(),
            None => return,
        }
        // Here it stands still, or ends.
        tokio::task::yield_now().await;
    }

    async fn exchange<T>(
        self,
        who: Process,
        doing: &'static str,
        operation: impl FnOnce(&mut Inner) -> Answer<T>,
    ) -> Result<T, StoreError> {
        let broken = || StoreError::broken(doing, io::Error::from(io::ErrorKind::ConnectionReset));
        let fate = self.with(Inner::fate);
        sleep(fate.there).await;
        if !who.reaches_store() || self.with(|inner| !inner.has_primary) {
            let looked = self.with(|inner| inner.millis(50..4_000)).min(SELECTION);
            sleep(looked).await;
            return Err(broken());
        }
        if fate.fails {
            return Err(broken());
        }
        let ((answer, told), number, term) = self.with(|inner| {
            let answer = operation(inner);
            (answer, inner.written, inner.term)
        });
        if self.with(|inner| inner.committed < number) {
            sleep(fate.lags).await;
            self.with(|inner| {
                if inner.term == term {
                    inner.commit(number);
                }
            });
            if self.with(|inner| inner.term != term) {
                return Err(broken());
            }
        }
        if fate.loses {
            sleep(LOOK).await;
            return Err(broken());
        }
        sleep(fate.back).await;
        if !who.reaches_store() {
            sleep(CALL).await;
            return Err(broken());
        }
        self.with(|inner| inner.acknowledge(told));
        Ok(answer)
    }
}
