//! A worker that dies, at each step of a grading, or that only seems to: another finishes,
//! there is one verdict, and nothing of the dead one is left. One that is told to end sees to that
//! itself.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use bollard::{
    Docker,
    models::{ContainerCreateBody, HostConfig, NetworkCreateRequest},
    query_parameters::CreateContainerOptions,
};
use futures::future::try_join_all;
use portcall_tests::{
    Event, Recipe, Submission, World,
    parts::{
        client::is_final,
        engine::Found,
        process::Ended,
        proxy::Proxy,
        stack::{Plan, generations},
    },
    wait,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{UnixListener, UnixStream},
    task::JoinSet,
};

/// Where a grading can be held (`worker/src/hold.rs`), in order.
const POINTS: [&str; 8] =
    ["claimed", "pulled", "started", "ready", "probed", "judged", "settled", "cleaned"];
const PATIENCE: Duration = Duration::from_secs(120);
/// Promised for what a dead worker leaves.
const SWEPT: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_step_another_worker_finishes() -> Result<()> {
    killed_at_each_step(Plan::short_leases).await
}

/// With the times that a worker has unless it is told otherwise; `--full` alone runs it.
#[tokio::test(flavor = "multi_thread")]
async fn full_killed_at_each_step_with_the_default_times() -> Result<()> {
    killed_at_each_step(|plan| plan).await
}

async fn killed_at_each_step(times: fn(Plan) -> Plan) -> Result<()> {
    let plan = World::of(Event::config().limits("ready_s = 15")).workers(0);
    let mut world = times(plan).start().await?;
    let all = POINTS.join(",");
    let dying = world.start_worker(&[("PORTCALL_HOLD_AT", &all), ("PORTCALL_SLOTS", "8")]).await?;

    let mut ids = Vec::new();
    for n in 0..POINTS.len() {
        let name = format!("Gordon {n}");
        let image = world.app("ok", &name).await?;
        ids.push(world.client.submit(&Submission::of(&name).image(&image)).await?.id);
    }
    for point in POINTS {
        let held = format!("point=\"{point}\"");
        world.workers[dying].wait_log(&["holding", &held], PATIENCE).await?;
    }
    let before = try_join_all(ids.iter().map(|id| world.client.document(id))).await?;
    assert_eq!(before.iter().filter(|d| is_final(d)).count(), 2, "settled and cleaned are final");
    ensure!(!world.traces_of(dying).await?.is_empty(), "it has containers and networks");

    world.workers[dying].process.kill()?;
    world.start_worker(&[("PORTCALL_SLOTS", "4")]).await?;
    let swept = wait::until("nothing of the dead worker", SWEPT, || async {
        Ok(world.traces_of(dying).await?.is_empty().then_some(()))
    });
    let finished = try_join_all(ids.iter().map(|id| world.client.wait_passed(id, PATIENCE)));
    let ((), after) = futures::try_join!(swept, finished)?;

    for (before, after) in before.iter().zip(&after) {
        one_verdict(after)?;
        if is_final(before) {
            assert_eq!(before["verdict"], after["verdict"], "a verdict stands");
            assert_eq!(generations(after).len(), 1);
        } else {
            assert_eq!(generations(after).len(), 2, "{after:#}");
            assert_eq!(after["attempts"][0]["outcome"], "lost", "{after:#}");
        }
    }
    wait::until("all are on the map", PATIENCE, || async {
        let stats = world.client.of_event("/stats").await?;
        Ok((stats["pins"] == POINTS.len()).then_some(()))
    })
    .await?;
    world.finish().await
}

/// A worker that was stopped for longer than its lease finds its writes refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_wakes_too_late_changes_nothing() -> Result<()> {
    let mut world = World::of(Event::config().limits("ready_s = 15\nrequest_s = 8"))
        .short_leases()
        .start()
        .await?;
    let recipe = Recipe::app("slow")?.env("APP_DELAY_MS", "2500");
    let image = world.push(&recipe).await?;
    let accepted = world.client.submit(&Submission::of("Gordon").image(&image)).await?;
    let probing = |document: &Value| document["step"] == "probing";
    world.client.wait_state(&accepted.id, PATIENCE, probing).await?;
    world.workers[0].process.stop()?;

    world.start_worker(&[]).await?;
    let passed = world.client.wait_passed(&accepted.id, PATIENCE).await?;
    assert_eq!(generations(&passed).len(), 2, "{passed:#}");
    assert_eq!(passed["verdict"]["attempt"], 2);

    world.workers[0].process.resume()?;
    wait::until("a write of the late worker was refused", PATIENCE, || async {
        let refused = world.workers[0].metric("portcall_fenced_writes_total").await;
        Ok(refused.is_ok_and(|n| n >= 1.0).then_some(()))
    })
    .await?;
    let after = world.client.document(&accepted.id).await?;
    assert_eq!(after["verdict"], passed["verdict"]);
    assert_eq!(after["attempts"].as_array().map(Vec::len), Some(2));
    one_verdict(&after)?;
    assert_eq!(world.workers[1].metric("portcall_fenced_writes_total").await?, 0.0, "the control");

    // It is a worker as good as any again.
    world.workers[1].process.terminate()?;
    world.workers[1].process.wait(PATIENCE).await?;
    let image = world.app("ok", "Molly").await?;
    let accepted = world.client.submit(&Submission::of("Molly").image(&image)).await?;
    world.client.wait_passed(&accepted.id, PATIENCE).await?;
    world.finish().await
}

/// What is of its own, and of no slot that it knows, goes when it ends, also if that does not succeed
/// at once: there may be no other worker that would find it. What only looks like it stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_ends_takes_along_what_was_left_of_its_own() -> Result<()> {
    let mut world = World::of(Event::config()).workers(0).start().await?;
    let losing = Losing::before(&world).await?;
    world.start_worker(&[("PORTCALL_DOCKER_HOST", &losing.host)]).await?;
    let docker = Docker::connect_with_host(&world.engine.host)?;
    let (left, looks_alike) = leave_like_its_own(&world, &docker).await?;
    losing.lose_removal_of(&left);

    world.workers[0].process.terminate()?;
    let ended = world.workers[0].process.wait(PATIENCE).await?;
    let traces = world.traces_of(0).await?;
    docker.remove_network(&looks_alike).await?;
    assert_eq!(ended, Ended::Code(0));
    let ids: Vec<&String> = traces
        .iter()
        .map(|found| match found {
            Found::Container(id, _) | Found::Network(id, _) => id,
        })
        .collect();
    assert_eq!(ids, [&looks_alike], "all that is signed goes, and nothing else: {traces:#?}");
    assert!(losing.has_lost(), "the first try was to fail");
    let log = world.workers[0].process.log();
    assert!(log.contains("cannot remove an orphan"), "{log}");
    assert!(!log.contains("stopping with something left"), "{log}");
    world.finish().await
}

/// A network and a container in it, with the labels of what the worker has, and so its signature; and
/// a network whose signature is none. The ids of the networks.
async fn leave_like_its_own(world: &World, docker: &Docker) -> Result<(String, String)> {
    let (mut slot, mut prober) = (None, None);
    for found in world.traces_of(0).await? {
        match found {
            Found::Network(id, _) => slot = Some(docker.inspect_network(&id, None).await?),
            Found::Container(id, _) => prober = docker.inspect_container(&id, None).await?.config,
        }
    }
    let labels = slot.and_then(|slot| slot.labels).context("a slot's labels")?;
    let unsigned = labels.iter().map(|(name, value)| match name.as_str() {
        "portcall.mac" => (name.clone(), "0".repeat(64)),
        _ => (name.clone(), value.clone()),
    });
    let name = format!("{}-left", world.name);
    let network = |name: &str, labels| NetworkCreateRequest {
        name: name.to_owned(),
        internal: Some(true),
        labels: Some(labels),
        ..Default::default()
    };
    let foreign = network(&format!("{name}-unsigned"), unsigned.collect());
    let foreign = docker.create_network(foreign).await?.id;
    let left = docker.create_network(network(&name, labels)).await?.id;
    let prober = prober.context("a prober")?;
    let inside = ContainerCreateBody {
        image: prober.image,
        cmd: prober.cmd,
        labels: prober.labels,
        // It waits for questions, and nobody asks any.
        open_stdin: Some(true),
        host_config: Some(HostConfig { network_mode: Some(name.clone()), ..Default::default() }),
        ..Default::default()
    };
    let options = CreateContainerOptions { name: Some(name.clone()), ..Default::default() };
    docker.create_container(Some(options), inside).await?;
    docker.start_container(&name, None).await?;
    let running = docker.inspect_container(&name, None).await?.state.and_then(|it| it.running);
    ensure!(running == Some(true), "it is to be in the way");
    Ok((left, foreign))
}

/// A way to the engine on which one request is lost.
struct Losing {
    host: String,
    /// The id of what shall not be removed by it; none when that came to pass.
    id: Arc<Mutex<Option<String>>>,
    _engine: Proxy,
    _ways: JoinSet<()>,
}

impl Losing {
    async fn before(world: &World) -> Result<Self> {
        let engine = Proxy::docker(&world.engine.host, world.dir()).await?;
        let there = engine.address().trim_start_matches("unix://").to_owned();
        let here = world.dir().join("losing.sock");
        let (listener, id) = (UnixListener::bind(&here)?, Arc::<Mutex<_>>::default());
        let (host, lost) = (format!("unix://{}", here.display()), Arc::clone(&id));
        let mut ways = JoinSet::new();
        ways.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (there, lost) = (there.clone(), Arc::clone(&lost));
                // Either end may hang up at any time.
                open.spawn(async move { drop(pass_unless(stream, &there, &lost).await) });
            }
        });
        Ok(Self { host, id, _engine: engine, _ways: ways })
    }

    fn lose_removal_of(&self, id: &str) {
        *self.id.lock().unwrap_or_else(PoisonError::into_inner) = Some(id.to_owned());
    }

    fn has_lost(&self) -> bool {
        self.id.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

async fn pass_unless(
    mut here: UnixStream,
    there: &str,
    lost: &Mutex<Option<String>>,
) -> Result<()> {
    let mut first = vec![0; 4096];
    let length = here.read(&mut first).await?;
    first.truncate(length);
    let asked = String::from_utf8_lossy(&first);
    let line = asked.lines().next().unwrap_or_default();
    let is_it = |id: &mut String| line.starts_with("DELETE ") && line.contains(id.as_str());
    if lost.lock().unwrap_or_else(PoisonError::into_inner).take_if(is_it).is_some() {
        return Ok(());
    }
    let mut there = UnixStream::connect(there).await?;
    there.write_all(&first).await?;
    copy_bidirectional(&mut here, &mut there).await?;
    Ok(())
}

/// One attempt passed, and each attempt has a generation of its own, in order.
fn one_verdict(document: &Value) -> Result<()> {
    let attempts = document["attempts"].as_array().cloned().unwrap_or_default();
    let passed = attempts.iter().filter(|attempt| attempt["outcome"] == "passed").count();
    ensure!(passed == 1, "{passed} attempts passed: {document:#}");
    let generations = generations(document);
    let distinct: BTreeSet<u64> = generations.iter().copied().collect();
    ensure!(distinct.len() == generations.len() && generations.is_sorted(), "{generations:?}");
    ensure!(document["verdict"]["outcome"] == "passed", "{document:#}");
    Ok(())
}
