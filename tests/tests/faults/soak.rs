//! The soak: a random fault every few seconds while submissions arrive all the time, for as long as
//! PORTCALL_TEST_SOAK_MIN says. What happens is decided by the seed alone.

use std::time::Duration;

use anyhow::{Context, Result};
use bson::doc;
use portcall_tests::{
    faults::{Ctx, Evidence, Ground, Permits, Row, Scale, Stage, Undetermined, choice, play},
    parts::{
        given,
        mongo::{self, ReplicaSet},
        proxy::Proxy,
        valve::Valve,
    },
    wait,
};

/// How long it takes unless it is said.
const MINUTES: u64 = 2;
/// Submissions in a second: fewer than are graded in one.
const PER_SECOND: f64 = 0.8;
/// Between two faults, in milliseconds.
const BETWEEN_MS: (u64, u64) = (5_000, 20_000);
const MEMBERS: usize = 3;
const KEPT: usize = 2;

/// What may fail in each minute: faults overlap here, and what one single fault must not do, several may.
const POSTS: usize = 10;
const READS: usize = 200;

/// The row, for so many minutes.
fn soak_of(minutes: u64) -> Result<Row> {
    let minutes = usize::try_from(minutes)?;
    Ok(Row {
        id: "soak",
        what: "a random fault every 5 to 20 s",
        ground: Ground::Long,
        takes_s: 0,
        permits: Permits {
            posts: POSTS * minutes,
            reads: READS * minutes,
            undetermined: Undetermined::AfterLosses,
            unfair: None,
            ..Permits::NONE
        },
        how: |ctx| Box::pin(soak(ctx)),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn full_soak() -> Result<()> {
    play(&soak_of(minutes())?, given::seed(), Scale::Full).await
}

fn minutes() -> u64 {
    given::soak_min().unwrap_or(MINUTES)
}

/// What happens.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// A worker is killed, and another one comes.
    KillWorker,
    /// A worker stands still for so many milliseconds.
    FreezeWorker(u64),
    /// A worker is told to end, and another one comes.
    EndWorker,
    /// An api is killed, and another one comes.
    KillApi,
    /// An api stands still.
    FreezeApi(u64),
    /// The primary steps down.
    StepDown,
    /// The primary is killed, and comes back after that.
    KillPrimary(u64),
    /// A secondary stands still.
    FreezeSecondary(u64),
    /// Nothing passes between a worker and its engine.
    ShutEngine(u64),
    /// Connections of a worker to its engine break, and new ones are refused.
    CutEngine(u64),
}

impl Act {
    fn random(random: &mut choice::Random) -> Self {
        let long = random.between(1_000, 12_000);
        match random.below(10) {
            0 => Self::KillWorker,
            1 => Self::FreezeWorker(long),
            2 => Self::EndWorker,
            3 => Self::KillApi,
            4 => Self::FreezeApi(long / 3),
            5 => Self::StepDown,
            6 => Self::KillPrimary(long / 2),
            7 => Self::FreezeSecondary(long),
            8 => Self::ShutEngine(long),
            _ => Self::CutEngine(long),
        }
    }
}

/// What is broken.
struct Broken {
    stage: Stage,
    set: ReplicaSet,
    valve: Valve,
    proxy: Proxy,
    random: choice::Random,
}

async fn soak(ctx: Ctx) -> Result<Evidence> {
    let set = ReplicaSet::start(MEMBERS).await?;
    let uri = set.uri();
    let stage = Stage::begin(&ctx, |plan| plan.database(&uri).apis(KEPT).workers(0)).await?;
    let valve = Valve::docker(&stage.world.engine.host, stage.world.dir()).await?;
    let proxy = Proxy::docker(valve.address(), stage.world.dir()).await?;
    let random = choice::Random::new(ctx.seed);
    let mut ground = Broken { stage, set, valve, proxy, random };
    for _ in 0..KEPT {
        ground.worker().await?;
    }
    let minutes = minutes();
    let until = Duration::from_mins(minutes);
    let count = (until.as_secs_f64() * PER_SECOND) as usize;
    ground.stage.load(count, PER_SECOND).await?;
    let history = ground.stage.history().clone();
    let begun = history.now();
    let mut acts = 0;
    while history.now() < begun + until {
        let act = Act::random(&mut ground.random);
        let fault = ground.stage.fault(format!("{act:?}"));
        let told = ground.act(act).await.with_context(|| format!("{act:?}"));
        ground.stage.over(fault);
        told?;
        acts += 1;
        let pause = ground.random.between(BETWEEN_MS.0, BETWEEN_MS.1);
        rest(pause).await;
    }
    ground.stage.figure(format!("{acts} faults in {minutes} minutes, {count} submissions"));
    let evidence = ground.stage.end().await;
    drop((ground.set, ground.proxy, ground.valve));
    evidence
}

/// Lets things go on for so long: that is what a soak does.
async fn rest(ms: u64) {
    let end = tokio::time::Instant::now() + Duration::from_millis(ms);
    tokio::time::sleep_until(end).await;
}

impl Broken {
    /// One more worker. Its engine is behind the proxy and the valve.
    async fn worker(&mut self) -> Result<()> {
        let host = self.proxy.address();
        self.stage.world.start_worker(&[("PORTCALL_DOCKER_HOST", &host)]).await?;
        Ok(())
    }

    /// One of those that live.
    fn any_worker(&mut self) -> Result<usize> {
        let mut alive = Vec::new();
        for (n, worker) in self.stage.world.workers.iter_mut().enumerate() {
            if worker.process.ended()?.is_none() {
                alive.push(n);
            }
        }
        let n = self.random.below(alive.len());
        alive.get(n).copied().context("no worker lives")
    }

    fn any_api(&mut self) -> Result<usize> {
        let mut alive = Vec::new();
        for (n, api) in self.stage.world.apis.iter_mut().enumerate() {
            if api.process.ended()?.is_none() {
                alive.push(n);
            }
        }
        let n = self.random.below(alive.len());
        alive.get(n).copied().context("no api lives")
    }

    async fn act(&mut self, act: Act) -> Result<()> {
        match act {
            Act::KillWorker => {
                let n = self.any_worker()?;
                self.stage.kill_worker(n)?;
                self.worker().await?;
            }
            Act::EndWorker => {
                let n = self.any_worker()?;
                self.stage.end_worker(n).await?;
                self.worker().await?;
            }
            Act::FreezeWorker(ms) => {
                let n = self.any_worker()?;
                self.stage.world.workers[n].process.stop()?;
                rest(ms).await;
                self.stage.world.workers[n].process.resume()?;
            }
            Act::KillApi => {
                let n = self.any_api()?;
                self.stage.kill_api(n)?;
                self.stage.start_api().await?;
            }
            Act::FreezeApi(ms) => {
                let n = self.any_api()?;
                self.stage.world.apis[n].process.stop()?;
                rest(ms).await;
                self.stage.world.apis[n].process.resume()?;
            }
            Act::StepDown => {
                let primary = self.set.address(self.set.primary().await?);
                // Its connection ends with it.
                let down = doc! { "replSetStepDown": 5, "force": true };
                let _ = mongo::ask(primary, down).await;
                self.set.settled().await?;
            }
            Act::KillPrimary(ms) => {
                let primary = self.set.primary().await?;
                self.set.kill(primary)?;
                rest(ms).await;
                self.set.restart(primary)?;
                self.set.settled().await?;
            }
            Act::FreezeSecondary(ms) => {
                let secondary = (self.set.primary().await? + 1) % MEMBERS;
                self.set.stop(secondary)?;
                rest(ms).await;
                self.set.resume(secondary)?;
                self.set.settled().await?;
            }
            Act::ShutEngine(ms) => {
                self.valve.shut();
                rest(ms).await;
                self.valve.open();
            }
            Act::CutEngine(ms) => {
                self.proxy.close().await;
                rest(ms).await;
                self.proxy.open().await?;
            }
        }
        // Nothing is done to a world in which nobody is ready.
        let stage = &self.stage;
        wait::until("an api answers", Duration::from_mins(1), || async {
            Ok(stage.world.client.of_event("/stats").await.ok().map(drop))
        })
        .await
    }
}
