//! A row on one engine: a [`World`] under a [`Load`], with somebody who looks at the engine all the
//! time. It breaks its own parts, so that the history, the looks and the deaths agree with each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

use anyhow::{Context, Result};
use bollard::Docker;

use super::{
    dump,
    evidence::{Bound, Evidence, Fault, MapSeen, OPEN_FILES},
    follow::look_at_map,
    history::{History, Truth},
    load::{Load, Planned, Targets},
    looker::{self, Looker},
    row::Ctx,
};
use crate::{
    event::Event,
    parts::{
        process::Ended,
        stack::{Plan, World},
    },
    wait,
};

/// Until something happens under the load.
const PATIENCE: Duration = Duration::from_secs(180);
/// Until connections are closed that nobody uses any more.
const CLOSED: Duration = Duration::from_secs(20);
/// How many slots a worker has.
const SLOTS: usize = 3;
/// Of each so many submissions one deserves to fail.
const BAD: usize = 5;

/// A row's world, load and notes.
#[derive(Debug)]
pub struct Stage {
    /// The world.
    pub world: World,
    /// The load.
    pub load_of: Load,
    /// What is known so far; the rest comes at the end.
    pub evidence: Evidence,
    ctx: Ctx,
    targets: Targets,
    looker: Looker,
    posted: usize,
    before: BTreeMap<u32, Open>,
}

/// What a process holds open.
#[derive(Clone, Debug, Default)]
struct Open {
    name: String,
    files: usize,
    tasks: usize,
}

impl Stage {
    /// What a row's world is made by, unless it wants something else: leases that end soon, though not so
    /// soon that a busy machine loses them.
    #[must_use]
    pub fn plan() -> Plan {
        World::of(Event::config().limits("ready_s = 15\nrequest_s = 5"))
            .worker_setting("PORTCALL_SLOTS", SLOTS)
            .worker_setting("PORTCALL_BEAT_MS", 1000)
            .worker_setting("PORTCALL_STALL_MS", 4000)
            .worker_setting("PORTCALL_LEASE_MS", 6000)
    }

    /// Starts a world that follows from that plan, and two who follow its map.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn begin(ctx: &Ctx, with: impl FnOnce(Plan) -> Plan) -> Result<Self> {
        let world = with(Self::plan()).start().await?;
        Self::of(ctx, world)
    }

    /// The same in a world that runs already.
    ///
    /// # Errors
    /// When its engine has no address that can be asked.
    pub fn of(ctx: &Ctx, world: World) -> Result<Self> {
        let targets = Targets::default();
        let load_of = Load::new(targets.clone());
        let looker = Looker::begin(&world.engine.host, load_of.history.clone())?;
        let mut stage = Self {
            world,
            load_of,
            evidence: Evidence::default(),
            ctx: ctx.clone(),
            targets,
            looker,
            posted: 0,
            before: BTreeMap::new(),
        };
        stage.aim()?;
        for (turn, name) in ["Ann", "Bob"].into_iter().enumerate() {
            stage.load_of.follow_map(name, turn);
        }
        stage.before = stage.open()?;
        Ok(stage)
    }

    /// The history.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.load_of.history
    }

    /// The apis that clients ask: to be told when a row starts or ends one by itself.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn aim(&mut self) -> Result<()> {
        let mut clients = Vec::new();
        for api in &mut self.world.apis {
            if api.process.ended()?.is_none() {
                clients.push(api.client(&self.world.event.slug)?.quietly());
            }
        }
        if let Some(first) = clients.first() {
            self.world.client = first.clone();
        }
        self.targets.set(clients);
        Ok(())
    }

    /// Clients ask elsewhere: through a proxy or a balancer, by these clients.
    pub fn aim_at(&mut self, clients: Vec<crate::parts::client::Client>) {
        self.targets.set(clients);
    }

    /// Posts so many more submissions at that rate, in the background.
    ///
    /// # Errors
    /// When an image cannot be pushed.
    pub async fn load(&mut self, count: usize, per_second: f64) -> Result<()> {
        let planned = self.planned(count).await?;
        self.load_of.post(planned, per_second);
        Ok(())
    }

    /// So many submissions, of people and with images of their own: one of five deserves to fail.
    ///
    /// # Errors
    /// When an image cannot be pushed.
    pub async fn planned(&mut self, count: usize) -> Result<Vec<Planned>> {
        let mut planned = Vec::with_capacity(count);
        for _ in 0..count {
            let n = self.posted;
            let (mode, truth) = match n % BAD {
                3 if n.is_multiple_of(2) => ("exit", Truth::Fails),
                3 => ("wrong-json", Truth::Fails),
                _ => ("ok", Truth::Passes),
            };
            let image = self.world.app(mode, &format!("Gordon {n}")).await?;
            planned.push(self.plan_of(&image.reference, truth));
        }
        Ok(planned)
    }

    /// One more submission, with an image of the row's own.
    pub fn plan_of(&mut self, image: &str, truth: Truth) -> Planned {
        self.posted += 1;
        Planned::nth(self.posted - 1, self.ctx.id, image, truth)
    }

    /// Waits until so many were acknowledged.
    ///
    /// # Errors
    /// When they are not in time.
    pub async fn until_accepted(&self, count: usize) -> Result<()> {
        let history = self.history();
        wait::until(format!("{count} are acknowledged"), PATIENCE, || async {
            Ok((history.accepted().len() >= count).then_some(()))
        })
        .await
    }

    /// Waits until so many were seen to have ended.
    ///
    /// # Errors
    /// When they are not in time.
    pub async fn until_ended(&self, count: usize) -> Result<()> {
        let history = self.history();
        wait::until(format!("{count} have ended"), PATIENCE, || async {
            Ok((history.ended() >= count).then_some(()))
        })
        .await
    }

    /// Notes that a fault begins now; which one it is.
    pub fn fault(&mut self, what: impl Into<String>) -> usize {
        let from = self.history().now();
        self.evidence.faults.push(Fault { what: what.into(), from, to: None });
        self.evidence.faults.len() - 1
    }

    /// Notes that it is over.
    pub fn over(&mut self, fault: usize) {
        let now = self.history().now();
        if let Some(fault) = self.evidence.faults.get_mut(fault) {
            fault.to = Some(now);
        }
    }

    /// Notes what the row itself expects, if that is not so.
    pub fn expect(&mut self, holds: bool, what: impl Into<String>) {
        if !holds {
            self.evidence.unmet.push(what.into());
        }
    }

    /// A figure for people.
    pub fn figure(&mut self, what: impl Into<String>) {
        self.evidence.figures.push(what.into());
    }

    /// `kill -9` of a worker; its death is noted.
    ///
    /// # Errors
    /// When it is dead already.
    pub fn kill_worker(&mut self, n: usize) -> Result<()> {
        self.world.workers[n].process.kill()?;
        self.mourn(n)
    }

    /// Notes that a worker is dead by another hand.
    ///
    /// # Errors
    /// When it has no id.
    pub fn mourn(&mut self, n: usize) -> Result<()> {
        let id = self.world.workers[n].worker.clone().context("a worker without an id")?;
        let now = self.history().now();
        self.evidence.deaths.push((id, now));
        Ok(())
    }

    /// `kill -9` of an api; clients go to the others.
    ///
    /// # Errors
    /// When it is dead already.
    pub fn kill_api(&mut self, n: usize) -> Result<()> {
        self.world.apis[n].process.kill()?;
        self.aim()
    }

    /// Starts one more api; clients ask it too.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_api(&mut self) -> Result<usize> {
        let n = self.world.start_api().await?;
        self.aim()?;
        Ok(n)
    }

    /// Waits until all is quiet, looks at everything, ends the world, and hands over what was found.
    ///
    /// # Errors
    /// When something cannot be looked at.
    pub async fn end(mut self) -> Result<Evidence> {
        // What does not come to its end in time is for the checker to say.
        let _ = self.until_quiet().await;
        self.load_of.read_again().await;
        self.look_at_map().await;
        self.load_of.end().await;
        // What clients keep open for their next request is none of the apis' doing.
        self.targets.set(Vec::new());
        self.world.client = self.world.client.fresh()?;
        let _ = self.until_closed().await;
        let history = self.history().clone();
        let mut evidence = std::mem::take(&mut self.evidence);
        evidence.stored = dump::stored(self.world.database(), &self.world.name).await?;
        let ours: BTreeSet<String> =
            self.world.workers.iter().filter_map(|worker| worker.worker.clone()).collect();
        let mut looks = self.looker.looks();
        for look in &mut looks {
            look.objects.retain(|object| ours.contains(&object.worker));
        }
        evidence.looks = looks;
        for service in self.world.workers.iter().chain(&self.world.apis) {
            evidence.wrong.extend(dump::wrong(service));
        }
        let docker = Docker::connect_with_host(&self.world.engine.host)?;
        evidence.fenced.extend(self.world.workers.iter().map(dump::fenced));
        if let Err(error) = self.world.finish().await {
            evidence.wrong.push(format!("{error:#}"));
        }
        let left = dump::objects(&docker).await?.into_iter();
        evidence.left = left.filter(|object| ours.contains(&object.worker)).collect();
        evidence.history = history.entries();
        Ok(evidence)
    }

    /// Waits until every post was answered, everything has ended, and nothing of the dead is left.
    async fn until_quiet(&self) -> Result<()> {
        let permits = &self.ctx.permits;
        let history = self.history();
        wait::until("all have ended", permits.ends_within, || async {
            let all = self.load_of.on_way() == 0 && history.ended() >= history.accepted().len();
            Ok(all.then_some(()))
        })
        .await?;
        // Also those whose clients never learned of them.
        wait::until("the database is quiet", permits.ends_within, || async {
            let stored = dump::stored(self.world.database(), &self.world.name).await;
            let quiet = |all: Vec<super::evidence::Stored>| {
                all.iter().all(|one| super::history::is_final(&one.state)).then_some(())
            };
            Ok(stored.ok().and_then(quiet))
        })
        .await?;
        for (id, died) in &self.evidence.deaths {
            let left = permits.dead_left_within.saturating_sub(history.now().saturating_sub(*died));
            // One look later than promised, so that what is still there then is seen.
            wait::until("nothing is left of a dead worker", left + looker::EVERY * 2, || async {
                Ok((!self.looker.sees(id)).then_some(()))
            })
            .await?;
        }
        Ok(())
    }

    /// What the map and its followers show once they had the time to.
    async fn look_at_map(&mut self) {
        let database = dump::stored(self.world.database(), &self.world.name).await;
        let passed = |all: Vec<super::evidence::Stored>| {
            all.iter().filter(|one| one.state == "passed").count()
        };
        let passed = database.map_or(0, passed);
        look_at_map(&self.load_of, &self.targets, passed).await;
        self.evidence.map = MapSeen::Yes;
    }

    /// What the processes hold that have been there all the time (I13). A pool of connections to the
    /// database grows with the load and shrinks by and by.
    fn bounds(&mut self) -> Result<Vec<Bound>> {
        let (after, mut bounds) = (self.open()?, Vec::new());
        for (pid, before) in &self.before {
            let Some(after) = after.get(pid) else { continue };
            for (what, before_n, after_n, slack) in [
                ("open files", before.files, after.files, OPEN_FILES),
                ("threads", before.tasks, after.tasks, 24.0),
            ] {
                bounds.push(Bound {
                    what: format!("{what} of {}", before.name),
                    before: before_n as f64,
                    after: after_n as f64,
                    slack,
                });
            }
        }
        Ok(bounds)
    }

    /// Waits until processes hold about what they held before, or have had the time to.
    async fn until_closed(&mut self) -> Result<()> {
        let history = self.history().clone();
        let until = history.now() + CLOSED;
        loop {
            self.evidence.bounds = self.bounds()?;
            if self.evidence.bounds.iter().all(Bound::holds) || history.now() > until {
                return Ok(());
            }
            let look = history.now() + looker::EVERY;
            wait::until("the next look", CLOSED, || async {
                Ok((history.now() > look).then_some(()))
            })
            .await?;
        }
    }

    fn open(&mut self) -> Result<BTreeMap<u32, Open>> {
        let mut open = BTreeMap::new();
        for service in self.world.workers.iter_mut().chain(&mut self.world.apis) {
            if service.process.ended()?.is_some() {
                continue;
            }
            let pid = service.process.pid();
            let count =
                |what: &str| fs::read_dir(format!("/proc/{pid}/{what}")).map_or(0, Iterator::count);
            let name = service.process.name().to_owned();
            open.insert(pid, Open { name, files: count("fd"), tasks: count("task") });
        }
        Ok(open)
    }

    /// Tells a worker to end, and waits until it has.
    ///
    /// # Errors
    /// When it does not end well.
    pub async fn end_worker(&mut self, n: usize) -> Result<()> {
        let process = &mut self.world.workers[n].process;
        process.terminate()?;
        let ended = process.wait(PATIENCE).await?;
        anyhow::ensure!(ended == Ended::Code(0), "{}: {ended:?}", process.name());
        Ok(())
    }
}
