//! Two of three members are lost: nothing can be written and nothing that is true can be read, and
//! when they come back everything goes on by itself.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use portcall_tests::{
    faults::{Ctx, Evidence, Stage, follow::on_map},
    parts::{client::Answer, mongo::ReplicaSet},
    wait,
};
use reqwest::StatusCode;

use super::{address, failed_tries, readiness};

const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than the api holds a request (20 s): that it answers at all is looked at, not how soon.
const HELD: Duration = Duration::from_secs(26);

/// K26.
pub(super) async fn lost(ctx: Ctx) -> Result<Evidence> {
    let mut set = ReplicaSet::start(3).await?;
    // A lease that lasts through it all, so that a verdict is held and not made again.
    let mut stage = Stage::begin(&ctx, |plan| {
        plan.database(&address(&set))
            .worker_setting("PORTCALL_STALL_MS", 20_000)
            .worker_setting("PORTCALL_LEASE_MS", 30_000)
    })
    .await?;
    let count = ctx.of(12, 40);
    stage.load(count, 4.0).await?;
    stage.until_ended(2).await?;
    stage.until_accepted(count / 2).await?;
    let begun = Instant::now();
    let fault = stage.fault("two of three members are killed");
    let primary = set.primary().await?;
    let killed = set.others(primary);
    for member in &killed {
        set.kill(*member)?;
    }
    let late = stage.planned(1).await?.remove(0);
    let client = stage.world.client.clone();
    let (post, map) = tokio::join!(client.post(&late.submission), on_map(&client));
    stage.expect(!map?.is_empty(), "two had ended before, and one of them passed");
    let post = post?;
    let told = not_now(&post)?;
    readiness_becomes(&stage, StatusCode::SERVICE_UNAVAILABLE).await?;
    from_memory(&stage).await?;
    let away = ctx.of(Duration::from_secs(24), Duration::from_secs(120));
    tokio::time::sleep(away.saturating_sub(begun.elapsed())).await;
    for member in killed {
        set.restart(member)?;
    }
    set.settled().await?;
    stage.over(fault);
    // The very one that was told to come back, with its key.
    stage.load_of.post(vec![late], 1.0);
    readiness_becomes(&stage, StatusCode::OK).await?;
    stage.until_accepted(count + 1).await?;
    let held = post.took.as_secs_f64();
    stage.figure(format!("a post was held for {held:.1} s, then 503 with Retry-After {told} s"));
    let tries = failed_tries(&stage).await?;
    stage.figure(format!("{tries} tries of the store were repeated"));
    stage.end().await
}

/// That a post was answered, and how: 503 with the seconds after which to come back.
fn not_now(answer: &Answer) -> Result<u64> {
    ensure!(answer.status == StatusCode::SERVICE_UNAVAILABLE, "{} {}", answer.status, answer.text);
    ensure!(answer.json["code"] == "unavailable", "{}", answer.text);
    ensure!(answer.took < HELD, "it was held for {:?}", answer.took);
    Ok(answer.header("retry-after").parse()?)
}

/// That what is known in memory is answered while the database is away, and says since when it may be old.
async fn from_memory(stage: &Stage) -> Result<()> {
    let client = &stage.world.client;
    let map = client.event_path("/pins?bbox=-180,-85,180,85&zoom=14");
    let known = stage.history().accepted().first().cloned().context("one was taken in")?;
    for path in [map, client.event_path("/stats"), format!("/api/v1/submissions/{known}")] {
        wait::until(format!("{path} is answered from memory"), PATIENCE, || async {
            let answer = client.get(&path).await?;
            ensure!(answer.status == StatusCode::OK, "{path}: {} {}", answer.status, answer.text);
            Ok(answer.json["as_of"].is_string().then_some(()))
        })
        .await?;
    }
    Ok(())
}

async fn readiness_becomes(stage: &Stage, wanted: StatusCode) -> Result<()> {
    wait::until(format!("/readyz says {wanted}"), PATIENCE, || async {
        Ok((readiness(&stage.world.apis[0]).await?.status == wanted).then_some(()))
    })
    .await
}
