//! A node takes work only while its canary says that its walls stand and while there is room on it;
//! otherwise it says why, to probes, in its metrics, in its log and in `portcall nodes`, and what
//! waits is graded elsewhere.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use bollard::{Docker, query_parameters::CreateImageOptions};
use futures::TryStreamExt;
use portcall_tests::{
    Event, Recipe, Registry, Submission, World,
    image::{File, Layer},
    parts::{
        engine::Whose,
        given, mongo,
        net::{Range, free_address},
        process::{Ended, Process},
        proxy::Proxy,
        service::Service,
    },
    wait,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const PATIENCE: Duration = Duration::from_secs(120);
/// An attempt of the canary's, and another word of its length that no worker knows.
const ATTEMPT: (&[u8], &[u8]) = (b"af_packet", b"af_pocket");

/// A worker of a world's that is not waited for: it may never be ready.
fn start(world: &World, name: &str, own: &[(&str, &str)]) -> Result<(Service, Range)> {
    let (ops, range) = (free_address()?, Range::take()?);
    let all = [
        ("PORTCALL_MONGODB_URI", world.database().to_owned()),
        ("PORTCALL_MONGODB_DATABASE", world.name.clone()),
        ("PORTCALL_DOCKER_HOST", world.engine.host.clone()),
        ("PORTCALL_WORKER_NAME", name.to_owned()),
        ("PORTCALL_WORKER_OPS_ADDR", ops.to_string()),
        ("PORTCALL_SLOT_POOL", range.cidr()),
        ("PORTCALL_PROBER_BIN", given::static_program("prober")?.display().to_string()),
        ("PORTCALL_CANARY_BIN", given::static_program("canary")?.display().to_string()),
        ("PORTCALL_LOG", "info,portcall=debug".to_owned()),
        ("RUST_BACKTRACE", "1".to_owned()),
    ];
    let own = own.iter().map(|(name, value)| (*name, (*value).to_owned()));
    let settings: Vec<(String, String)> =
        all.into_iter().chain(own).map(|(name, value)| (name.to_owned(), value)).collect();
    let program = given::program("portcall-worker")?;
    let process = Process::start(name, &program, &[], &settings, world.dir())?;
    Ok((Service { process, address: None, ops, worker: None }, range))
}

/// It ends well, and leaves nothing on the list or in the engine.
async fn end(world: &World, mut service: Service, range: Range) -> Result<()> {
    let id = mongo::worker_id(world.database(), &world.name, service.process.name()).await?;
    let workers = [id.context("it is on the list")?];
    service.process.terminate()?;
    let ended = service.process.wait(PATIENCE).await?;
    ensure!(ended == Ended::Code(0), "{ended:?}\n{}", service.process.log());
    ensure!(!service.process.log().contains("panicked at"), "{}", service.process.log());
    let (_, nodes) = world.portcall(&["nodes"]).await?;
    ensure!(!nodes.contains(service.process.name()), "{nodes}");
    let left = world.engine.find(&Whose { workers: &workers, range: Some(&range) }).await?;
    ensure!(left.is_empty(), "left in the engine: {left:#?}");
    Ok(())
}

/// Waits until a worker is not ready for a reason with all of these words.
async fn wait_not_ready(world: &World, ops: SocketAddr, words: &[&str]) -> Result<String> {
    wait::until(format!("/readyz says {words:?}"), PATIENCE, || async {
        let Ok(answer) = world.client.get(&format!("http://{ops}/readyz")).await else {
            return Ok(None);
        };
        let says = words.iter().all(|word| answer.text.contains(word));
        Ok((answer.status.as_u16() == 503 && says).then_some(answer.text))
    })
    .await
}

/// What `portcall nodes` says of a worker's node.
async fn node(world: &World, worker: &str) -> Result<Value> {
    let (ended, text) = world.portcall(&["nodes", "--json"]).await?;
    ensure!(ended == Ended::Code(0), "{ended:?} {text}");
    let nodes: Value = serde_json::from_str(&text)?;
    let found = nodes.as_array().into_iter().flatten().find(|n| n["worker"]["name"] == worker);
    found.cloned().with_context(|| format!("no node of {worker} in {text}"))
}

async fn wait_node(world: &World, worker: &str, state: &str) -> Result<Value> {
    wait::until(format!("portcall nodes calls {worker} {state}"), PATIENCE, || async {
        let node = node(world, worker).await.ok();
        Ok(node.filter(|node| node["state"] == state))
    })
    .await
}

/// The canary's program, a little longer: it does the same, in an image of its own.
fn canary_of_its_own(world: &World, name: &str) -> Result<Vec<u8>> {
    let mut binary = fs::read(given::static_program("canary")?)?;
    // The world's name is nobody else's. What follows the last section is never loaded.
    binary.extend_from_slice(format!("{} {name}", world.name).as_bytes());
    Ok(binary)
}

/// A canary that does not tell of one attempt, and tells of one that nobody knows.
fn unfit(canary: &[u8]) -> Result<Vec<u8>> {
    let (known, unknown) = ATTEMPT;
    let mut binary = canary.to_vec();
    let mut changed = 0;
    let mut at = 0;
    while let Some(next) = binary[at..].windows(known.len()).position(|bytes| bytes == known) {
        binary[at + next..at + next + known.len()].copy_from_slice(unknown);
        (changed, at) = (changed + 1, at + next + known.len());
    }
    ensure!(changed > 0, "the canary's program does not hold the name of its attempt");
    Ok(binary)
}

fn program(world: &World, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = world.dir().join(name);
    fs::write(&path, bytes)?;
    Ok(path)
}

/// The image that a worker makes around a canary is named by its program.
fn image_of(canary: &[u8]) -> String {
    let digest = Sha256::digest(canary);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("portcall-canary:{}", &hex[..16])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_ready_when_its_canary_passed() -> Result<()> {
    let world = World::of(Event::config()).start().await?;
    let worker = &world.workers[0];
    let log = worker.process.log();
    let passed = log.find("the canary passed").context("the canary in the log")?;
    let ready = log.find("readiness=Ready").context("readiness in the log")?;
    assert!(passed < ready, "{log}");
    assert_eq!(worker.metric("portcall_node_fit").await?, 1.0);
    assert_eq!(worker.metric("portcall_canary_failures_total").await?, 0.0);

    let known = wait_node(&world, worker.process.name(), "fit").await?;
    assert_eq!(known["canary"]["outcome"], "passed", "{known:#}");
    assert_eq!(known["why"], Value::Null);
    assert_eq!(known["slots"], 2);
    let has_disk = || async {
        let node = node(&world, worker.process.name()).await?;
        let (free, total) = (node["disk"]["free"].as_u64(), node["disk"]["total"].as_u64());
        Ok((free > Some(0) && free < total).then_some(()))
    };
    wait::until("the node's disk is told", PATIENCE, has_disk).await?;
    assert!(worker.metric("portcall_node_free_bytes").await? > 0.0);

    let (ended, table) = world.portcall(&["nodes", "--check"]).await?;
    assert_eq!(ended, Ended::Code(0), "{table}");
    assert!(table.contains(worker.process.name()) && table.contains("passed"), "{table}");
    let name = known["node"]["name"].as_str().context("a name")?;
    let (ended, whole) = world.portcall(&["nodes", "show", name]).await?;
    assert_eq!(ended, Ended::Code(0), "{whole}");
    assert!(whole.contains(known["node"]["id"].as_str().context("an id")?), "{whole}");
    let (ended, told) = world.portcall(&["nodes", "show", "no-such-node"]).await?;
    assert_eq!(ended, Ended::Code(1), "{told}");
    world.finish().await
}

/// The control: a canary that finds anything keeps its worker from all work.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_canary_that_fails_nothing_is_claimed() -> Result<()> {
    let mut world = World::of(Event::config().limits("ready_s = 15")).workers(0).start().await?;
    let name = format!("{}-unfit", world.name);
    let canary = unfit(&canary_of_its_own(&world, "unfit")?)?;
    let file = program(&world, "unfit-canary", &canary)?;
    let file = file.to_str().context("a path that is not UTF-8")?;
    let (service, range) = start(&world, &name, &[("PORTCALL_CANARY_BIN", file)])?;
    let image = world.app("ok", "Gordon").await?;
    let id = world.client.submit(&Submission::of("Gordon").image(&image)).await?.id;

    wait_not_ready(&world, service.ops, &["failed the canary", "af_packet missing"]).await?;
    service.wait_log(&["ERROR", "the canary failed", "af_packet"], PATIENCE).await?;
    assert_eq!(service.metric("portcall_node_fit").await?, 0.0);
    assert_eq!(service.metric("portcall_canary_failures_total").await?, 1.0);
    let known = wait_node(&world, &name, "unfit").await?;
    let differences = known["canary"]["differences"].as_array().cloned().unwrap_or_default();
    let of = |attempt: &str| differences.iter().filter(|d| d["attempt"] == attempt).count();
    assert_eq!((of("af_packet"), of("af_pocket")), (2, 2), "in both profiles: {known:#}");
    let (ended, table) = world.portcall(&["nodes"]).await?;
    assert_eq!(ended, Ended::Code(0), "{table}");
    assert!(table.contains("UNFIT") && table.contains("af_packet missing"), "{table}");
    let (ended, told) = world.portcall(&["nodes", "--check"]).await?;
    assert_eq!(ended, Ended::Code(1), "{told}");
    assert!(told.contains("failed the canary: af_packet"), "{told}");

    // It has slots open and a queue that is not empty, and leaves it alone: another worker on the
    // same engine does it.
    service.wait_log(&["slot open"], PATIENCE).await?;
    assert_eq!(world.client.document(&id).await?["state"], "queued");
    world.start_worker(&[]).await?;
    let passed = world.client.wait_passed(&id, PATIENCE).await?;
    assert_eq!(passed["attempts"].as_array().map(Vec::len), Some(1), "{passed:#}");
    assert_eq!(service.metric("portcall_claims_total").await?, 0.0);
    assert_eq!(world.workers[0].metric("portcall_claims_total").await?, 1.0);
    end(&world, service, range).await?;
    world.engine.forget(&image_of(&canary)).await?;
    world.finish().await
}

/// A node that turns bad in the middle: what it saw is not believed, and nobody is charged.
#[tokio::test(flavor = "multi_thread")]
async fn full_what_is_graded_while_a_canary_fails_is_given_back() -> Result<()> {
    let event = Event::config().limits("ready_s = 15\nrequest_s = 20");
    let mut world = World::of(event).workers(0).start().await?;
    let name = format!("{}-turning", world.name);
    let canary = canary_of_its_own(&world, "turning")?;
    let file = program(&world, "turning-canary", &canary)?;
    let file = file.to_str().context("a path that is not UTF-8")?;
    let settings = [("PORTCALL_CANARY_BIN", file), ("PORTCALL_CANARY_EVERY_S", "1")];
    let (service, range) = start(&world, &name, &settings)?;
    let service = service.ready().await?;
    let slow = world.push(&Recipe::app("slow")?.env("APP_DELAY_MS", "7000")).await?;
    let id = world.client.submit(&Submission::of("Gordon").image(&slow)).await?.id;
    world.client.wait_state(&id, PATIENCE, |d| d["step"] == "probing").await?;

    // Under the name of its image lies another program.
    let layer = Layer::of(&[File::program("canary", unfit(&canary)?)])?;
    let other = Recipe::scratch().layer(layer).config("Entrypoint", json!(["/canary"]));
    world.engine.load(&image_of(&canary), &other).await?;
    wait_not_ready(&world, service.ops, &["failed the canary", "af_packet missing"]).await?;
    service.wait_log(&["graded", "outcome=\"released\""], PATIENCE).await?;
    let document = world.client.document(&id).await?;
    let attempt = &document["attempts"][0];
    assert_eq!(attempt["outcome"], "released", "{document:#}");
    assert_eq!(attempt["reason"]["code"], "platform_error", "{document:#}");
    assert_eq!(attempt["reason"]["message"], "the machine was taken out of service");
    assert_eq!(document["verdict"], Value::Null, "{document:#}");

    world.start_worker(&[]).await?;
    let passed = world.client.wait_passed(&id, PATIENCE).await?;
    assert_eq!(passed["verdict"]["attempt"], 2, "{passed:#}");
    end(&world, service, range).await?;
    world.engine.forget(&image_of(&canary)).await?;
    world.finish().await
}

/// With a timer of an hour only the order can have found it.
#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_somebody_wants_is_run_at_once_and_told() -> Result<()> {
    let world = World::of(Event::config()).workers(0).start().await?;
    let name = format!("{}-wanted", world.name);
    let canary = canary_of_its_own(&world, "wanted")?;
    let file = program(&world, "wanted-canary", &canary)?;
    let file = file.to_str().context("a path that is not UTF-8")?;
    let settings = [("PORTCALL_CANARY_BIN", file), ("PORTCALL_CANARY_EVERY_S", "3600")];
    let (service, range) = start(&world, &name, &settings)?;
    let service = service.ready().await?;
    let known = wait_node(&world, &name, "fit").await?;
    let before = known["canary"]["at"].clone();
    let host = known["node"]["name"].as_str().context("a name")?.to_owned();
    let (ended, told) = world.portcall(&["nodes", "canary", &host, "--wait"]).await?;
    assert_eq!(ended, Ended::Code(0), "{told}");
    assert!(told.contains(&format!("{host}: {name}: passed")), "{told}");
    let known = node(&world, &name).await?;
    assert_ne!(known["canary"]["at"], before, "{known:#}");
    assert_eq!(known["canary"]["ordered"], 1, "{known:#}");

    // The control: under the name of its image lies another program.
    let layer = Layer::of(&[File::program("canary", unfit(&canary)?)])?;
    let other = Recipe::scratch().layer(layer).config("Entrypoint", json!(["/canary"]));
    world.engine.load(&image_of(&canary), &other).await?;
    let (ended, told) = world.portcall(&["nodes", "canary", &host, "--wait"]).await?;
    assert_eq!(ended, Ended::Code(1), "{told}");
    assert!(told.contains("FAILED: ") && told.contains("af_packet missing"), "{told}");
    wait_not_ready(&world, service.ops, &["failed the canary", "af_packet missing"]).await?;
    end(&world, service, range).await?;
    world.engine.forget(&image_of(&canary)).await?;
    world.finish().await
}

/// An order outlives the worker that followed it.
#[tokio::test(flavor = "multi_thread")]
async fn full_a_worker_that_starts_on_a_drained_node_takes_nothing() -> Result<()> {
    let mut world = World::of(Event::config().limits("ready_s = 15")).start().await?;
    let known = wait_node(&world, world.workers[0].process.name(), "fit").await?;
    let host = known["node"]["name"].as_str().context("a name")?.to_owned();
    let (ended, told) = world.portcall(&["nodes", "drain", &host, "--wait"]).await?;
    assert_eq!(ended, Ended::Code(0), "{told}");
    world.workers[0].process.terminate()?;
    world.workers[0].process.wait(PATIENCE).await?;
    let image = world.app("ok", "Gordon").await?;
    let id = world.client.submit(&Submission::of("Gordon").image(&image)).await?.id;

    let name = format!("{}-later", world.name);
    let (service, range) = start(&world, &name, &[])?;
    wait_not_ready(&world, service.ops, &[&host, "was drained by"]).await?;
    wait::until("it has nothing there any more", PATIENCE, || async {
        let node = node(&world, &name).await.ok();
        Ok(node.filter(|node| node["duty"] == "drained"))
    })
    .await?;
    assert_eq!(service.metric("portcall_claims_total").await?, 0.0);
    assert_eq!(world.client.document(&id).await?["state"], "queued");
    let (ended, told) = world.portcall(&["nodes", "undrain", &host]).await?;
    assert_eq!(ended, Ended::Code(0), "{told}");
    world.client.wait_passed(&id, PATIENCE).await?;
    end(&world, service, range).await?;
    world.finish().await
}

/// Without room nothing is claimed; and what another worker may have just pulled stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_takes_no_work_and_takes_nothing_from_other_workers() -> Result<()> {
    let mut world = World::of(Event::config().limits("ready_s = 15")).workers(0).start().await?;
    // An address of the registry's that is this test's own, so that no other test's images go.
    let registry: SocketAddr = Registry::given()?.host().parse()?;
    let own = Proxy::tcp(registry).await?;
    let mut left = Vec::new();
    for repository in ["strangers", "others"] {
        let recipe = Recipe::app("ok")?.env("APP_NAME", &format!("{} {repository}", world.name));
        let image = Registry::given()?.push(repository, &recipe).await?;
        let name = format!("{}/{repository}@{}", own.address(), image.digest);
        let options = CreateImageOptions { from_image: Some(name.clone()), ..Default::default() };
        let docker = Docker::connect_with_host(&world.engine.host)?;
        let _: Vec<_> = docker.create_image(Some(options), None, None).try_collect().await?;
        left.push(name);
    }

    let name = format!("{}-full", world.name);
    let more_than_any_disk =
        [("PORTCALL_NODE_FREE_MIB", "1048576"), ("PORTCALL_QUARANTINE", &own.address())];
    let (service, range) = start(&world, &name, &more_than_any_disk)?;
    let image = world.app("ok", "Gordon").await?;
    let id = world.client.submit(&Submission::of("Gordon").image(&image)).await?.id;
    wait_not_ready(&world, service.ops, &["MiB of free disk, and 1048576 are needed"]).await?;
    assert_eq!(service.metric("portcall_node_fit").await?, 0.0);
    assert_eq!(service.metric("portcall_canary_failures_total").await?, 0.0, "its walls stand");
    let known = wait_node(&world, &name, "full").await?;
    assert_eq!(known["canary"]["outcome"], "passed", "{known:#}");
    let (ended, told) = world.portcall(&["nodes", "--check"]).await?;
    assert_eq!(ended, Ended::Code(1), "{told}");
    assert!(told.contains("1048576 are needed"), "{told}");

    assert!(world.engine.image_id(&left[0]).await?.is_some(), "it was seen just now");
    assert!(world.engine.image_id(&left[1]).await?.is_some(), "somebody else's");
    assert_eq!(service.metric("portcall_images_evicted_total").await?, 0.0);
    assert_eq!(world.client.document(&id).await?["state"], "queued");
    assert_eq!(service.metric("portcall_claims_total").await?, 0.0);

    // With room for what it needs, a worker on the same disk takes it.
    world.start_worker(&[]).await?;
    world.client.wait_passed(&id, PATIENCE).await?;
    assert_eq!(service.metric("portcall_claims_total").await?, 0.0);
    end(&world, service, range).await?;
    for name in &left {
        world.engine.forget(name).await?;
    }
    world.finish().await
}
