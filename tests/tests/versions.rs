//! Two versions of our own processes on one database, as during a deploy and after one that was taken
//! back, in both orders: with the programs of an earlier revision, which `./infra/test --full` builds. What
//! is not tied to one earlier version is tried on the store alone, in
//! `shared/tests/store_queue/versions.rs`.

use std::{path::Path, time::Duration};

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use portcall_tests::{
    Event, Submission, World,
    parts::{client::Client, given, process::Ended},
};

const PATIENCE: Duration = Duration::from_secs(150);
/// While both are there; each is graded by either.
const TOGETHER: usize = 8;

#[derive(Clone, Copy)]
enum First {
    Earlier,
    This,
}

#[tokio::test(flavor = "multi_thread")]
async fn full_this_version_is_deployed_beside_an_earlier_one_and_taken_back() -> Result<()> {
    side_by_side(First::Earlier).await
}

#[tokio::test(flavor = "multi_thread")]
async fn full_an_earlier_version_is_deployed_beside_this_one_and_taken_back() -> Result<()> {
    side_by_side(First::This).await
}

async fn side_by_side(first: First) -> Result<()> {
    let before = given::before()?;
    let (old, new): (Option<&Path>, Option<&Path>) = match first {
        First::Earlier => (Some(&before), None),
        First::This => (None, Some(&before)),
    };
    let plan =
        World::of(Event::config().limits("ready_s = 15")).worker_setting("PORTCALL_SLOTS", 2);
    let mut world = match old {
        Some(folder) => plan.programs(folder).start().await?,
        None => plan.start().await?,
    };
    let alone = submit(&world, &[&world.client], "alone", 2).await?;
    passed(&[&world.client], &alone).await?;

    // Beside it.
    world.use_programs(new);
    let api = world.start_api().await?;
    world.start_worker(&[]).await?;
    let other = world.apis[api].client(&world.event.slug)?;
    let both = [&world.client, &other];
    let together = submit(&world, &both, "together", TOGETHER).await?;
    passed(&both, &together).await?;
    passed(&both, &alone).await?;
    let workers = graders(&other, &together).await?;
    ensure!(workers.len() == 2, "both have graded: {workers:?}");

    // The first one goes while there is work, and nothing of it is lost.
    let moved = submit(&world, &both, "moved", 4).await?;
    end(&mut world, 0).await?;
    passed(&[&other], &moved).await?;

    // And it is taken back: the first one comes again, and the second one goes.
    world.use_programs(old);
    let api = world.start_api().await?;
    world.start_worker(&[]).await?;
    let back = world.apis[api].client(&world.event.slug)?;
    let returned = submit(&world, &[&other, &back], "returned", 4).await?;
    end(&mut world, 1).await?;
    passed(&[&back], &returned).await?;
    let all = [alone, together, moved, returned].concat();
    passed(&[&back], &all).await?;
    world.client = back;
    let totals = world.client.of_event("/stats").await?["totals"].clone();
    assert_eq!((&totals["submissions"], &totals["passed"]), (&all.len().into(), &all.len().into()));
    world.finish().await
}

/// Submits so many, by one api and the other in turn.
async fn submit(world: &World, to: &[&Client], what: &str, count: usize) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for n in 0..count {
        let name = format!("Gordon {what} {n}");
        let image = world.app("ok", &name).await?;
        let accepted = to[n % to.len()].submit(&Submission::of(&name).image(&image)).await?;
        ids.push(accepted.id);
    }
    Ok(ids)
}

/// Each has passed, and each of these apis shows it.
async fn passed(at: &[&Client], ids: &[String]) -> Result<()> {
    for client in at {
        try_join_all(ids.iter().map(|id| client.wait_passed(id, PATIENCE))).await?;
    }
    Ok(())
}

/// Who has graded these.
async fn graders(client: &Client, ids: &[String]) -> Result<std::collections::BTreeSet<String>> {
    let documents = try_join_all(ids.iter().map(|id| client.document(id))).await?;
    let workers = documents.iter().filter_map(|document| {
        let last = document["attempts"].as_array()?.last()?;
        Some(last["worker"].as_str()?.to_owned())
    });
    Ok(workers.collect())
}

/// Ends an api and the worker that came with it.
async fn end(world: &mut World, which: usize) -> Result<()> {
    for service in [&mut world.workers[which], &mut world.apis[which]] {
        service.process.terminate()?;
        let ended = service.process.wait(PATIENCE).await?;
        ensure!(ended == Ended::Code(0), "{ended:?}\n{}", service.process.log());
    }
    Ok(())
}
