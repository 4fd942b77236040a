//! K10 to K15: leases. A worker sleeps through its own, with the same verdict and with another; two
//! reapers end one; a worker is cut off from the database, and from the engine over a container.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use portcall_tests::{
    Recipe,
    faults::{Ctx, Evidence, Ground, Permits, Row, Stage, Truth, dump::submission_in},
    parts::{mongo, stack::generations, valve::Valve},
    wait,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);
/// After which a worker of the stage's plan starts nothing more that others could see.
const STALL: Duration = Duration::from_secs(4);
/// After which an image turns, in seconds: it is graded before, also on a busy machine.
const TURNS_S: u64 = 25;
/// What a request takes that was under way by then, on a busy machine.
const UNDER_WAY: Duration = Duration::from_secs(4);

pub(crate) const ROWS: &[Row] = &[
    Row {
        id: "K10",
        what: "a worker is stopped for longer than its lease, and wakes with its verdict",
        ground: Ground::World,
        takes_s: 36,
        // The verdict at least, and perhaps a renewal before it.
        permits: Permits { fenced: 1..=8, ..Permits::NONE },
        how: |ctx| Box::pin(sleeps(ctx, Verdict::Same)),
    },
    Row {
        id: "K11",
        what: "a worker wakes too late with another verdict than the one there is",
        ground: Ground::World,
        takes_s: 60,
        permits: Permits { fenced: 1..=8, ..Permits::NONE },
        how: |ctx| Box::pin(sleeps(ctx, Verdict::Other)),
    },
    Row {
        id: "K13",
        what: "two reapers end one lease at the same moment",
        ground: Ground::World,
        takes_s: 36,
        permits: Permits { fenced: 0..=0, ..Permits::NONE },
        how: |ctx| Box::pin(two_reapers(ctx)),
    },
    Row {
        id: "K14",
        what: "a worker does not reach the database",
        ground: Ground::World,
        takes_s: 50,
        permits: Permits::NONE,
        how: |ctx| Box::pin(without_database(ctx)),
    },
    Row {
        id: "K15",
        what: "a worker does not reach its engine, over a container that was made",
        ground: Ground::World,
        takes_s: 45,
        permits: Permits::NONE,
        how: |ctx| Box::pin(without_engine(ctx)),
    },
];

/// What the sleeper found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Same,
    Other,
}

/// Held when it knows its verdict and has not written it, stopped, and woken when another has decided.
async fn sleeps(ctx: Ctx, verdict: Verdict) -> Result<Evidence> {
    let mut stage = Stage::begin(&ctx, |plan| plan.workers(0)).await?;
    let release = stage.world.dir().join("go-on");
    let path = release.to_str().context("a path that is not UTF-8")?.to_owned();
    // One slot, so that what it holds is the one that is meant.
    let own = [
        ("PORTCALL_HOLD_AT", "judged"),
        ("PORTCALL_HOLD_UNTIL", path.as_str()),
        ("PORTCALL_SLOTS", "1"),
    ];
    let sleeper = stage.world.start_worker(&own).await?;
    let turns = now_s() + TURNS_S;
    let recipe = match verdict {
        Verdict::Same => Recipe::app("ok")?,
        Verdict::Other => Recipe::app("turn")?.env("APP_TURN_AT", &turns.to_string()),
    };
    let image = stage.world.push(&recipe.env("APP_NAME", "Gordon 0")).await?;
    let planned = stage.plan_of(&image.reference, Truth::Passes);
    stage.load_of.post(vec![planned], 1.0);
    let line = stage.world.workers[sleeper].wait_log(&["holding", "judged"], PATIENCE).await?;
    let id = submission_in(&line).context(line)?;
    stage.expect(verdict == Verdict::Same || now_s() < turns, "it was asked before it turned");

    let fault = stage.fault("a worker is stopped");
    stage.world.workers[sleeper].process.stop()?;
    wait::until("the image has turned", PATIENCE, || async {
        Ok((verdict == Verdict::Same || now_s() > turns).then_some(()))
    })
    .await?;
    stage.world.start_worker(&[]).await?;
    stage.load(ctx.of(14, 30), 4.0).await?;
    let decided = stage.world.client.wait_passed(&id, PATIENCE).await?;
    stage.expect(generations(&decided).len() == 2, format!("two attempts: {decided:#}"));
    let new = stage.world.traces_of(1).await?;

    fs::write(&release, "")?;
    stage.world.workers[sleeper].process.resume()?;
    stage.over(fault);
    let late = ["no longer holds the lease", "write the verdict"];
    stage.world.workers[sleeper].wait_log(&late, PATIENCE).await?;
    // All of it stands: the slots and probers of the other, and the verdict.
    let slots = |traces: &[portcall_tests::parts::engine::Found]| -> BTreeSet<String> {
        let networks = traces.iter().filter_map(|found| match found {
            portcall_tests::parts::engine::Found::Network(id, _) => Some(id.clone()),
            portcall_tests::parts::engine::Found::Container(..) => None,
        });
        networks.collect()
    };
    let still = stage.world.traces_of(1).await?;
    stage.expect(
        slots(&new).is_subset(&slots(&still)),
        format!("it touched {new:?}, now {still:?}"),
    );
    let after = stage.world.client.document(&id).await?;
    stage.expect(after["verdict"] == decided["verdict"], format!("the verdict is now {after:#}"));
    stage.expect(after["verdict"]["attempt"] == 2, format!("the second one's: {after:#}"));
    stage.end().await
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A worker dies, and two others see its lease run out; both are held before they write that, and let
/// go together.
async fn two_reapers(ctx: Ctx) -> Result<Evidence> {
    let mut stage = Stage::begin(&ctx, |plan| plan.workers(0)).await?;
    let dying = stage
        .world
        .start_worker(&[("PORTCALL_HOLD_AT", "probed"), ("PORTCALL_SLOTS", "1")])
        .await?;
    stage.load(1, 1.0).await?;
    let line = stage.world.workers[dying].wait_log(&["holding"], PATIENCE).await?;
    let id = submission_in(&line).context(line)?;
    let release: PathBuf = stage.world.dir().join("expire");
    let path = release.to_str().context("a path that is not UTF-8")?.to_owned();
    let own = [("PORTCALL_HOLD_AT", "expiring"), ("PORTCALL_HOLD_UNTIL", path.as_str())];
    let reapers = [stage.world.start_worker(&own).await?, stage.world.start_worker(&own).await?];
    let fault = stage.fault("a worker is killed, and two reapers see it");
    stage.kill_worker(dying)?;
    for reaper in reapers {
        stage.world.workers[reaper].wait_log(&["holding", "expiring"], PATIENCE).await?;
    }
    fs::write(&release, "")?;
    stage.over(fault);
    stage.load(ctx.of(12, 30), 4.0).await?;
    let passed = stage.world.client.wait_final(&id, PATIENCE).await?;
    let outcomes: Vec<&Value> = attempts(&passed).iter().map(|a| &a["outcome"]).collect();
    stage.expect(outcomes == ["lost", "passed"], format!("one requeue: {outcomes:?}"));
    let mut ended = 0;
    for reaper in reapers {
        let log = stage.world.workers[reaper].process.log();
        let line = |line: &&str| line.contains("ended a lease") && line.contains(&id);
        ended += log.lines().filter(line).count();
    }
    stage.expect(ended == 1, format!("{ended} reapers ended it"));
    stage.end().await
}

fn attempts(document: &Value) -> &[Value] {
    document["attempts"].as_array().map_or(&[], Vec::as_slice)
}

/// Nothing passes between one worker and the database, and nothing is refused either.
async fn without_database(ctx: Ctx) -> Result<Evidence> {
    let mut stage = Stage::begin(&ctx, |plan| plan.workers(0)).await?;
    let member = member(stage.world.database())?;
    let valve = Valve::tcp(member).await?;
    let through = format!("mongodb://{}/?directConnection=true", valve.address());
    let apart = stage.world.start_worker(&[("PORTCALL_MONGODB_URI", &through)]).await?;
    // Slow enough that some of its gradings are under way when the way is cut.
    stage.load(ctx.of(10, 30), 3.0).await?;
    stage.until_ended(1).await?;
    stage.world.start_worker(&[]).await?;
    stage.load(6, 3.0).await?;
    let fault = stage.fault("a worker does not reach the database");
    let cut = stage.history().now();
    valve.shut();
    let long = ctx.of(Duration::from_secs(14), Duration::from_secs(60));
    let history = stage.history().clone();
    wait::until("it was cut off for long enough", long * 2, || async {
        Ok((history.now() >= cut + long).then_some(()))
    })
    .await?;
    let healed = stage.history().now();
    valve.open();
    stage.over(fault);
    let worker = stage.world.workers[apart].worker.clone().unwrap_or_default();
    let mut evidence = stage.end().await?;
    // Whatever was made after that would be seen by others.
    let (from, to) = (cut + STALL + UNDER_WAY, healed);
    let mut known = BTreeSet::new();
    for look in &evidence.looks {
        let own = look.objects.iter().filter(|one| one.worker == worker && one.tenant.is_some());
        for object in own {
            if known.insert(object.name.clone()) && look.at > from && look.at < to {
                evidence.unmet.push(format!("{} was made at {:?}", object.name, look.at));
            }
        }
    }
    Ok(evidence)
}

/// The one member of the shared replica set.
fn member(uri: &str) -> Result<std::net::SocketAddr> {
    let hosts = uri.strip_prefix("mongodb://").and_then(|rest| rest.split('/').next());
    let first = hosts.and_then(|hosts| hosts.split(',').next()).context("a replica set's uri")?;
    Ok(first.replace("localhost", "127.0.0.1").parse()?)
}

/// The answer that a container was made never comes, and then nothing at all for a while.
async fn without_engine(ctx: Ctx) -> Result<Evidence> {
    let mut stage = Stage::begin(&ctx, |plan| plan.workers(0)).await?;
    let valve = Valve::docker(&stage.world.engine.host, stage.world.dir()).await?;
    let apart = stage.world.start_worker(&[("PORTCALL_DOCKER_HOST", valve.address())]).await?;
    valve.withhold(|line| {
        line.starts_with("POST ")
            && line.contains("/containers/create")
            && submission_in(line).is_some()
    });
    stage.load(ctx.of(12, 30), 4.0).await?;
    let line = valve.caught(PATIENCE).await?;
    let id = submission_in(&line).context(line)?;
    let fault = stage.fault("a worker does not reach its engine");
    valve.shut();
    stage.world.start_worker(&[]).await?;
    let long = ctx.of(Duration::from_secs(10), Duration::from_secs(60));
    let (history, cut) = (stage.history().clone(), stage.history().now());
    wait::until("it was cut off for long enough", long * 2, || async {
        Ok((history.now() >= cut + long).then_some(()))
    })
    .await?;
    valve.open();
    stage.over(fault);
    let ended = stage.world.client.wait_final(&id, PATIENCE).await?;
    let outcomes: Vec<&Value> = attempts(&ended).iter().map(|a| &a["outcome"]).collect();
    stage.figure(format!("the attempts over the container without an answer: {outcomes:?}"));
    let log = stage.world.workers[apart].process.log();
    let found = log.contains("took over a container whose answer was lost");
    stage.figure(format!("it was found again by its name: {found}"));
    let waiting = mongo::dump(stage.world.database(), &stage.world.name).await?;
    stage.expect(waiting.iter().any(|(name, _)| name == "submissions"), "the database answers");
    stage.end().await
}
