//! K32, K39 to K41: what an engine and its neighbours do. It is restarted over a create, a run and a
//! removal; registries are silent, limit us, are down, or have a name that is lost; the disk of a
//! node is full, of bytes and of files; certificates are renewed under load (`engine/certificates.rs`).

mod certificates;

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use bollard::Docker;
use portcall_tests::{
    Recipe,
    faults::{
        Ctx, Evidence, Ground, Permits, Row, Stage, Truth,
        dump::{self, submission_in},
        evidence::Stored,
    },
    parts::{
        client::Client,
        given, mongo,
        own_engine::{Disk, OwnEngine},
        sick::{Illness, SickRegistry},
        valve::Valve,
        wrapped,
    },
    registry::Image,
    wait,
};

const PATIENCE: Duration = Duration::from_secs(120);
/// How long a claim may be under way that a slot asked for before its node was full.
const OFFERED: Duration = Duration::from_secs(2);
/// Under what a disk counts as full, in MiB, and what it holds.
const LEAST: u32 = 100;
const HOLDS: u32 = 500;
const FILES: u32 = 20_000;
/// A name that stands for loopback, and for a while for nothing.
const NAMED: &str = "named.test";

pub(crate) const ROWS: &[Row] = &[
    Row {
        id: "K32",
        what: "the engine is restarted over a create, a run and a removal",
        ground: Ground::World,
        takes_s: 90,
        // What an engine had when it went is removed when it is back.
        permits: Permits { left_within: Duration::from_secs(300), ..Permits::NONE },
        how: |ctx| Box::pin(restarted(ctx)),
    },
    Row {
        id: "K39",
        what: "registries are silent, limit us, are down, and have a name that is lost",
        ground: Ground::World,
        takes_s: 75,
        permits: Permits::NONE,
        how: |ctx| Box::pin(sick_registries(ctx)),
    },
    Row {
        id: "K40",
        what: "certificates are renewed under load, and then comes a broken pair",
        ground: Ground::Apis,
        takes_s: 40,
        permits: Permits::NONE,
        how: |ctx| Box::pin(certificates::renewed(ctx)),
    },
    Row {
        id: "K41",
        what: "the disk of a node is full, of bytes and then of files",
        ground: Ground::World,
        takes_s: 90,
        permits: Permits::NONE,
        how: |ctx| Box::pin(full_disk(ctx)),
    },
];

/// In the middle of what it is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Amid {
    Create,
    Run,
    Remove,
}

/// Once each, as whoever takes in a new version of it does.
async fn restarted(ctx: Ctx) -> Result<Evidence> {
    let mut own = OwnEngine::start(Disk::Machine).await?;
    let mut world = Stage::plan().workers(0).start().await?;
    world.engine = own.engine.clone();
    let mut stage = Stage::of(&ctx, world)?;
    let valve = Valve::docker(&own.host(), stage.world.dir()).await?;
    let worker = stage.world.start_worker(&[("PORTCALL_DOCKER_HOST", valve.address())]).await?;
    for amid in [Amid::Create, Amid::Run, Amid::Remove] {
        let before = stage.history().accepted().len();
        match amid {
            Amid::Create => valve.withhold(|line| {
                line.starts_with("POST ")
                    && line.contains("/containers/create")
                    && submission_in(line).is_some()
            }),
            Amid::Run => late(&mut stage, before).await?,
            Amid::Remove => {
                valve.withhold(|line| line.starts_with("DELETE ") && line.contains("/containers/"));
            }
        }
        let more = ctx.of(6, 15);
        stage.load(more, 3.0).await?;
        match amid {
            Amid::Run => one_waits(&stage, before).await?,
            Amid::Create | Amid::Remove => drop(valve.caught(PATIENCE).await?),
        }
        let fault = stage.fault(format!("the engine is restarted amid a {amid:?}"));
        own.restart().await?;
        valve.withhold_none();
        stage.over(fault);
        let posted = before + more + usize::from(amid == Amid::Run);
        stage.until_ended(posted).await?;
    }
    let retried = retried(&stage).await?;
    stage.expect(retried > 0, "nothing was lost with the engine: it met nobody");
    stage.figure(format!("{retried} attempts were lost or given back with the engine"));
    let ready = stage.world.workers[worker].metric("portcall_node_fit").await?;
    stage.expect(ready > 0.0, "its worker takes work again");
    let evidence = stage.end().await?;
    drop(own);
    Ok(evidence)
}

/// One more that listens late, so that it can be met while it runs.
async fn late(stage: &mut Stage, before: usize) -> Result<()> {
    let recipe = Recipe::app("late-listen")?.env("APP_NAME", &format!("Gordon {before}"));
    let image = stage.world.push(&recipe.env("APP_DELAY_MS", "6000")).await?;
    let planned = stage.plan_of(&image.reference, Truth::Passes);
    stage.load_of.post(vec![planned], 1.0);
    Ok(())
}

/// Waits until the one that listens late, the first of those that came since, is waited for.
async fn one_waits(stage: &Stage, before: usize) -> Result<()> {
    wait::until("somebody's port is waited for", PATIENCE, || async {
        for id in stage.history().accepted().iter().skip(before) {
            if stage.world.client.document(id).await?["step"] == "probing" {
                return Ok(Some(()));
            }
        }
        Ok(None)
    })
    .await
}

/// How many attempts ended without a verdict.
async fn retried(stage: &Stage) -> Result<usize> {
    let stored = dump::stored(stage.world.database(), &stage.world.name).await?;
    Ok(stored.iter().map(lost).sum())
}

/// The same of one submission.
fn lost(one: &Stored) -> usize {
    let over = one.attempts.iter().filter_map(|attempt| attempt.outcome.as_deref());
    over.filter(|outcome| !matches!(*outcome, "passed" | "failed")).count()
}

/// Names of the api's and the worker's own.
struct OwnNames {
    hosts: std::path::PathBuf,
    dir: tempfile::TempDir,
}

impl OwnNames {
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let hosts = dir.path().join("hosts");
        fs::write(dir.path().join("resolv.conf"), "nameserver 127.0.0.1\noptions attempts:1\n")?;
        let names = Self { hosts, dir };
        names.set(true)?;
        Ok(names)
    }

    /// Whether the name is known from now on. The file stays the same one: it is mounted.
    fn set(&self, known: bool) -> Result<()> {
        let also = if known { format!("127.0.0.1 {NAMED}\n") } else { String::new() };
        fs::write(&self.hosts, format!("127.0.0.1 localhost\n{also}"))?;
        Ok(())
    }

    /// The folder of programs that know them.
    fn programs(&self) -> Result<std::path::PathBuf> {
        let dir = self.dir.path();
        let lines = format!(
            "[ -n \"$OWN_NAMES\" ] || OWN_NAMES=1 exec unshare --mount -- \"$0\" \"$@\"\n\
             unset OWN_NAMES\n\
             mount --bind {0}/hosts /etc/hosts && mount --bind {0}/resolv.conf /etc/resolv.conf || exit 1\n",
            dir.display()
        );
        wrapped::programs(dir, &lines)
    }
}

async fn sick_registries(ctx: Ctx) -> Result<Evidence> {
    let real = given::registry()?;
    let mut sick = Vec::new();
    for illness in [Illness::Silent, Illness::Limited(2), Illness::Down] {
        sick.push(SickRegistry::start(illness, &real).await?);
    }
    let names = OwnNames::new()?;
    let port = real.rsplit_once(':').context("a registry without a port")?.1;
    let named = format!("{NAMED}:{port}");
    let folder = names.programs()?;
    let mut stage = Stage::begin(&ctx, |plan| {
        let plan = sick.iter().fold(plan, |plan, one| plan.allow_registry(&one.host()));
        plan.allow_registry(&named)
            .api_setting("PORTCALL_HTTP_REGISTRIES", &named)
            .worker_setting("PORTCALL_HTTP_REGISTRIES", &named)
            .worker_setting("PORTCALL_QUARANTINE", &real)
            .programs(&folder)
    })
    .await?;
    // Admission knows the name; the workers' tries do not.
    let each = ctx.of(1, 3);
    let mut ill = Vec::new();
    for n in 0..each * (sick.len() + 1) {
        // They are the first that are posted.
        let image = stage.world.app("ok", &format!("Gordon {n}")).await?;
        let at = match sick.get(n % (sick.len() + 1)) {
            Some(one) => one.reference(&image),
            None => elsewhere(&image, &named)?,
        };
        ill.push(stage.plan_of(&at, Truth::Passes));
    }
    let waiting = ill.len();
    let fault = stage.fault("registries are ill");
    names.set(false)?;
    stage.load_of.post(ill, 20.0);
    stage.until_accepted(waiting).await?;
    let others = ctx.of(10, 30);
    stage.load(others, 4.0).await?;
    stage.until_ended(others).await?;
    stage.expect(stage.history().ended() == others, "of the ill none has ended, of the others all");
    let stored = || dump::stored(stage.world.database(), &stage.world.name);
    wait::until("each of the ill was tried", PATIENCE, || async {
        let tried = stored().await?.iter().filter(|one| lost(one) > 0).count();
        Ok((tried >= waiting).then_some(()))
    })
    .await?;
    for one in &sick {
        one.heal();
    }
    names.set(true)?;
    stage.over(fault);
    // The pauses between tries take minutes.
    wait::until("all have ended", PATIENCE, || async {
        mongo::hurry(stage.world.database(), &stage.world.name).await?;
        Ok((stage.history().ended() == others + waiting).then_some(()))
    })
    .await?;
    let retried = retried(&stage).await?;
    stage.figure(format!("{others} others ended before {waiting} whose registries were ill"));
    stage.figure(format!("{retried} tries met an ill registry"));
    stage.end().await
}

/// The same image, where the registry has another name.
fn elsewhere(image: &Image, host: &str) -> Result<String> {
    let name = image.reference.split_once('/').context("a reference without a host")?.1;
    Ok(format!("{host}/{name}"))
}

/// What fills a disk, what a worker says of it then, and what clears it.
const FULL: [(&str, &str, &str, &str); 2] = [
    (
        "the disk of a node is full",
        "fallocate -l $(($(stat -f -c '%a * %S' $DATA) - 20 * 1048576)) $DATA/much",
        "MiB of free disk",
        "rm $DATA/much",
    ),
    (
        "a node has no file to spare",
        "mkdir $DATA/many && cd $DATA/many && (seq -f f%.0f 30000 | xargs touch 2>/dev/null || true); \
         ls $DATA/many | tail -n 60 | xargs rm",
        "files",
        "rm -r $DATA/many",
    ),
];

async fn full_disk(ctx: Ctx) -> Result<Evidence> {
    let own = OwnEngine::start(Disk::Small(HOLDS, FILES)).await?;
    let mut stage = Stage::begin(&ctx, |plan| plan.workers(0)).await?;
    let (host, least) = (own.host(), LEAST.to_string());
    let settings = [("PORTCALL_DOCKER_HOST", &*host), ("PORTCALL_NODE_FREE_MIB", &least)];
    let small = stage.world.start_worker(&settings).await?;
    stage.load(3, 4.0).await?;
    // The control: with room it works there.
    stage.until_ended(3).await?;
    let worker = stage.world.workers[small].worker.clone().context("a worker without an id")?;
    stage.world.start_worker(&[]).await?;
    let mut posted = 3;
    for (what, fill, says, clear) in FULL {
        stage.load(ctx.of(8, 20), 4.0).await?;
        stage.until_accepted(posted + 2).await?;
        posted += ctx.of(8, 20);
        let fault = stage.fault(what);
        own.must(fill).await?;
        let ops = stage.world.workers[small].ops;
        let told = wait::until(format!("it says {says}"), PATIENCE, || async {
            let text = readiness(&stage.world.client, ops).await.unwrap_or_default();
            Ok(text.contains(says).then_some(text))
        })
        .await?;
        stage.figure(format!("{what}: {}", told.trim()));
        // From here on it has nothing to do, but for what its slots were offered for just before.
        tokio::time::sleep(OFFERED).await;
        let claims = stage.world.workers[small].metric("portcall_claims_total").await?;
        stage.load(6, 4.0).await?;
        posted += 6;
        stage.until_ended(posted).await?;
        let after = stage.world.workers[small].metric("portcall_claims_total").await?;
        stage.expect(claims == after, format!("{what}: it claimed {claims}, then {after}"));
        own.must(clear).await?;
        stage.over(fault);
        wait::until("it takes work again", PATIENCE, || async {
            let text = readiness(&stage.world.client, ops).await.unwrap_or_default();
            Ok((!text.contains(says)).then_some(()))
        })
        .await?;
        stage.load(4, 4.0).await?;
        posted += 4;
        stage.until_ended(posted).await?;
    }
    let retried = retried(&stage).await?;
    stage.figure(format!("{retried} attempts were given back by the node without room"));
    let mut evidence = stage.end().await?;
    let left = dump::objects(&Docker::connect_with_host(&own.host())?).await?;
    evidence.left.extend(left.into_iter().filter(|object| object.worker == worker));
    Ok(evidence)
}

/// What a worker says of itself.
async fn readiness(client: &Client, ops: std::net::SocketAddr) -> Result<String> {
    Ok(client.get(&format!("http://{ops}/readyz")).await?.text)
}
