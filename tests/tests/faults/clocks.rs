//! K42, K44 and K46: what is odd about a process. Its clock is off, it is of another version, or it has
//! no memory left.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use portcall_tests::{
    faults::{Ctx, Evidence, Ground, Permits, Row, Scale, Stage, cannot},
    parts::{
        given,
        mongo::ReplicaSet,
        process::Ended,
        wrapped::{self, Clock, Memory},
    },
};

const PATIENCE: Duration = Duration::from_secs(60);
/// By how much clocks are off, in seconds.
const OFF: i64 = 600;
const AN_HOUR: i64 = 3600;
/// Room that is left in a group before it runs out of memory, in bytes.
const ROOM: u64 = 4 * 1024 * 1024;

pub(crate) const ROWS: &[Row] = &[
    Row {
        id: "K42",
        what: "clocks are off by ten minutes either way, and one steps back by an hour",
        ground: Ground::World,
        takes_s: 50,
        // Waiting is told by two clocks.
        permits: Permits { unfair: None, ..Permits::NONE },
        how: |ctx| Box::pin(clocks(ctx)),
    },
    Row {
        id: "K44",
        what: "an earlier version runs beside this one, is replaced, and comes back",
        ground: Ground::Long,
        takes_s: 150,
        permits: Permits::NONE,
        how: |ctx| Box::pin(versions(ctx)),
    },
    Row {
        id: "K46",
        what: "the kernel kills a worker and an api that run out of memory",
        ground: Ground::World,
        takes_s: 45,
        permits: Permits::NONE,
        how: |ctx| Box::pin(out_of_memory(ctx)),
    },
];

/// Programs with a clock that is off by so much, in a folder of their own.
fn off_by(stage: &Stage, name: &str, seconds: i64) -> Result<(Clock, PathBuf)> {
    let dir = stage.world.dir().join(name);
    std::fs::create_dir_all(&dir)?;
    let clock = Clock::off_by(&dir, seconds)?;
    let clock = clock.ok_or_else(|| cannot("Debian's faketime is not installed"))?;
    let folder = wrapped::programs(&dir, &clock.lines())?;
    Ok((clock, folder))
}

async fn clocks(ctx: Ctx) -> Result<Evidence> {
    let mut set = match ctx.scale {
        Scale::Short => None,
        Scale::Full => Some(ReplicaSet::start(3).await?),
    };
    let uri = set.as_ref().map(ReplicaSet::uri);
    let mut stage = Stage::begin(&ctx, |plan| {
        let plan = plan.workers(0);
        match &uri {
            Some(uri) => plan.database(uri),
            None => plan,
        }
    })
    .await?;
    let fault = stage.fault("clocks are off");
    let (clock, ahead) = off_by(&stage, "ahead", OFF)?;
    let (_, behind) = off_by(&stage, "behind", -OFF)?;
    for folder in [&ahead, &behind] {
        stage.world.use_programs(Some(folder));
        stage.world.start_worker(&[]).await?;
    }
    stage.start_api().await?;
    stage.world.use_programs(None);
    if let Some(set) = &mut set {
        member_is_ahead(set, &stage).await?;
    }
    stage.load(ctx.of(20, 40), 3.0).await?;
    stage.until_ended(5).await?;
    // In the middle of gradings.
    clock.set(-AN_HOUR)?;
    stage.load(10, 3.0).await?;
    stage.until_ended(ctx.of(20, 40)).await?;
    stage.over(fault);
    let mut evidence = stage.end().await?;
    drop(set);
    // The control: what a worker wrote was written by another clock than that of the first api.
    let skews: Vec<i64> = evidence
        .stored
        .iter()
        .filter_map(|one| Some((one.attempts.first()?.started_ms - one.created_ms) / 1000))
        .collect();
    let (least, most) = (skews.iter().min().copied(), skews.iter().max().copied());
    evidence.figures.push(format!("first attempts began {least:?} s to {most:?} s after the post"));
    if most < Some(OFF / 2) || least > Some(-OFF / 2) {
        evidence.unmet.push(format!("no clock was off: {skews:?}"));
    }
    Ok(evidence)
}

/// One of the secondaries comes back with a clock that is ahead.
async fn member_is_ahead(set: &mut ReplicaSet, stage: &Stage) -> Result<()> {
    let (dir, mongod) = (stage.world.dir().join("mongod-ahead"), given::mongod()?);
    std::fs::create_dir_all(&dir)?;
    let clock = Clock::off_by(&dir, OFF)?.context("it was there before")?;
    let program = dir.join("mongod");
    wrapped::script(&program, &clock.lines(), &mongod)?;
    let secondary = (set.primary().await? + 1) % 3;
    set.kill(secondary)?;
    set.restart_by(secondary, &program)?;
    set.settled().await
}

async fn versions(ctx: Ctx) -> Result<Evidence> {
    let before = given::before().map_err(|error| cannot(&format!("{error:#}")))?;
    let old: Option<&Path> = Some(&before);
    let mut stage = Stage::begin(&ctx, |plan| plan.programs(&before)).await?;
    let fault = stage.fault("two versions run side by side");
    stage.load(ctx.of(10, 30), 2.0).await?;
    stage.until_ended(2).await?;
    // This version comes, and the earlier one goes.
    stage.world.use_programs(None);
    stage.start_api().await?;
    stage.world.start_worker(&[]).await?;
    stage.load(ctx.of(10, 30), 2.0).await?;
    stage.until_ended(ctx.of(10, 30)).await?;
    ends(&mut stage, 0).await?;
    stage.load(6, 2.0).await?;
    stage.until_ended(ctx.of(20, 60)).await?;
    // It is taken back.
    stage.world.use_programs(old);
    stage.start_api().await?;
    stage.world.start_worker(&[]).await?;
    stage.load(6, 2.0).await?;
    ends(&mut stage, 1).await?;
    stage.until_ended(ctx.of(26, 66)).await?;
    stage.over(fault);
    stage.end().await
}

/// The api and the worker that came so many-th end; clients are told before they are.
async fn ends(stage: &mut Stage, which: usize) -> Result<()> {
    let event = stage.world.event.slug.clone();
    let others = stage.world.apis.iter().enumerate().skip(which + 1);
    let others = others.map(|(_, api)| Ok(api.client(&event)?.quietly()));
    stage.aim_at(others.collect::<Result<_>>()?);
    stage.end_worker(which).await?;
    let api = &mut stage.world.apis[which].process;
    api.terminate()?;
    let ended = api.wait(PATIENCE).await?;
    stage.expect(ended == Ended::Code(0), format!("an api ended: {ended:?}"));
    stage.aim()
}

async fn out_of_memory(ctx: Ctx) -> Result<Evidence> {
    let no_groups = || cannot("there is no group of processes for memory (cgroup v1)");
    let memory = Memory::group("worker")?.ok_or_else(no_groups)?;
    let of_api = Memory::group("api")?.ok_or_else(no_groups)?;
    let mut stage = Stage::begin(&ctx, |plan| plan.workers(0)).await?;
    let bounded = |stage: &Stage, name: &str, memory: &Memory| {
        let dir = stage.world.dir().join(name);
        std::fs::create_dir_all(&dir)?;
        wrapped::programs(&dir, &memory.lines())
    };
    let folder = bounded(&stage, "bounded-worker", &memory)?;
    stage.world.use_programs(Some(&folder));
    let worker = stage.world.start_worker(&[]).await?;
    let folder = bounded(&stage, "bounded-api", &of_api)?;
    stage.world.use_programs(Some(&folder));
    let api = stage.start_api().await?;
    stage.world.use_programs(None);
    stage.load(ctx.of(20, 40), 4.0).await?;
    stage.until_ended(3).await?;

    let fault = stage.fault("a worker and an api run out of memory");
    let began = Instant::now();
    tokio::task::spawn_blocking(move || memory.run_out(ROOM).map(|()| memory)).await??;
    let ended = stage.world.workers[worker].process.wait(PATIENCE).await?;
    stage.expect(ended == Ended::Signal(9), format!("the worker ended: {ended:?}"));
    stage.mourn(worker)?;
    stage.world.start_worker(&[]).await?;
    stage.figure(format!("another worker is there after {:.1} s", began.elapsed().as_secs_f64()));
    tokio::task::spawn_blocking(move || of_api.run_out(ROOM).map(|()| of_api)).await??;
    let ended = stage.world.apis[api].process.wait(PATIENCE).await?;
    stage.expect(ended == Ended::Signal(9), format!("the api ended: {ended:?}"));
    stage.aim()?;
    stage.over(fault);
    stage.end().await
}
