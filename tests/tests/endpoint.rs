//! A worker that loses its Docker endpoint or its database waits, charges nobody, and comes
//! back by itself.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use portcall_tests::{
    Event, Recipe, Submission, World,
    parts::{engine::Engine, mongo, proxy::Proxy},
    wait,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn without_its_docker_endpoint_a_worker_waits_for_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut proxy = Proxy::docker(&Engine::given().await?.host, dir.path()).await?;
    let world = World::of(Event::config().limits("ready_s = 15\nrequest_s = 8"))
        .short_leases()
        .worker_setting("PORTCALL_DOCKER_HOST", proxy.address())
        .start()
        .await?;
    let pid = world.workers[0].process.pid();

    // Lost in the middle of a grading.
    let slow = world.push(&Recipe::app("slow")?.env("APP_DELAY_MS", "2000")).await?;
    let first = world.client.submit(&Submission::of("Gordon").image(&slow)).await?.id;
    world.client.wait_state(&first, PATIENCE, |d| d["step"] == "probing").await?;
    proxy.close().await;
    world.client.wait_state(&first, PATIENCE, |d| d["step"] != "probing").await?;

    // And lost before one.
    let image = world.app("ok", "Molly").await?;
    let second = world.client.submit(&Submission::of("Molly").image(&image)).await?.id;
    wait_ready(&world, "503").await?;
    let waiting = world.client.document(&second).await?;
    assert_eq!(waiting["verdict"], Value::Null, "{waiting:#}");

    proxy.open().await?;
    let passed = world.client.wait_passed(&first, PATIENCE).await?;
    assert_ne!(passed["attempts"][0]["outcome"], "failed", "nobody is charged: {passed:#}");
    world.client.wait_passed(&second, PATIENCE).await?;
    wait_ready(&world, "200").await?;
    assert_eq!(world.workers[0].process.pid(), pid);
    world.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_a_worker_waits_for_it() -> Result<()> {
    let set = mongo::ReplicaSet::start(1).await?;
    let mut proxy = Proxy::tcp(set.address(0)).await?;
    let through = format!("mongodb://{}/?directConnection=true", proxy.address());
    let world = World::of(Event::config().limits("ready_s = 15\nrequest_s = 8"))
        .database(&set.uri())
        .worker_database(&through)
        .short_leases()
        .start()
        .await?;

    let slow = world.push(&Recipe::app("slow")?.env("APP_DELAY_MS", "2000")).await?;
    let first = world.client.submit(&Submission::of("Gordon").image(&slow)).await?.id;
    world.client.wait_state(&first, PATIENCE, |d| d["step"] == "probing").await?;
    proxy.close().await;
    let image = world.app("ok", "Molly").await?;
    let second = world.client.submit(&Submission::of("Molly").image(&image)).await?.id;
    wait_ready(&world, "503").await?;

    proxy.open().await?;
    for id in [&first, &second] {
        let passed = world.client.wait_passed(id, PATIENCE).await?;
        assert_ne!(passed["attempts"][0]["outcome"], "failed", "nobody is charged: {passed:#}");
    }
    wait_ready(&world, "200").await?;
    world.finish().await
}

/// An api without its database says so, and answers again afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_an_api_says_so() -> Result<()> {
    let mut set = mongo::ReplicaSet::start(1).await?;
    let world = World::of(Event::config()).database(&set.uri()).workers(0).start().await?;
    // Whoever looked at the map before can go on.
    assert_eq!(world.client.of_event("/pins?bbox=-180,-85,180,85&zoom=2").await?["total"], 0);
    set.kill(0)?;
    let unknown = "/api/v1/submissions/0190f5fe-7c00-7a00-8000-000000000001";
    let answer = world.client.get(unknown).await?;
    assert_eq!(answer.status.as_u16(), 503, "{}", answer.text);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|s| s >= 1));
    for from_memory in ["/pins?bbox=-180,-85,180,85&zoom=2", "/stats"] {
        let told = world.client.of_event(from_memory).await.context(from_memory)?;
        assert!(told["as_of"].is_string(), "as of when it is: {told:#}");
    }
    set.restart(0)?;
    wait::until("the api answers again", PATIENCE, || async {
        let answer = world.client.get(unknown).await?;
        Ok((answer.status.as_u16() == 404).then_some(()))
    })
    .await?;
    world.finish().await
}

async fn wait_ready(world: &World, status: &str) -> Result<()> {
    let ops: SocketAddr = world.workers[0].ops;
    wait::until(format!("the worker's /readyz answers {status}"), PATIENCE, || async {
        let answer = world.client.get(&format!("http://{ops}/readyz")).await?;
        Ok((answer.status.as_str() == status).then_some(()))
    })
    .await
}
