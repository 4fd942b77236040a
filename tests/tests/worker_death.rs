//! A worker that dies, at each step of a grading, or that only seems to: another finishes,
//! there is one verdict, and nothing of the dead one is left.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use portcall_tests::{
    Event, Recipe, Submission, World,
    parts::{
        client::is_final,
        stack::{Plan, generations},
    },
    wait,
};
use serde_json::Value;

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
    let stats = world.client.of_event("/stats").await?;
    assert_eq!(stats["pins"], POINTS.len());
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
