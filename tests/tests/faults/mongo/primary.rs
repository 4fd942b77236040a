//! The primary goes, by force or by request, and another takes over.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bson::{Document, doc};
use portcall_tests::{
    faults::{Ctx, Evidence, Stage},
    parts::mongo::{ReplicaSet, ask, look},
    wait,
};

use super::{address, failed_tries, longest_post, refused};

const PATIENCE: Duration = Duration::from_secs(60);
/// Between two steps down.
const APART: Duration = Duration::from_secs(5);
/// For how long one that stepped down does not stand again, in seconds.
const DOWN_S: i32 = 5;
/// For how long the others do not stand, once: longer than the driver waits for a primary (4 s).
const NOBODY_S: i32 = 8;

/// K21: `kill -9` of the primary, which comes back.
pub(super) async fn killed(ctx: Ctx) -> Result<Evidence> {
    let mut set = ReplicaSet::start(3).await?;
    let mut stage = Stage::begin(&ctx, |plan| plan.database(&address(&set))).await?;
    let (count, rate) = ctx.of((24, 4.0), (150, 10.0));
    stage.load(count, rate).await?;
    stage.until_accepted(count / 4).await?;
    let fault = stage.fault("the primary is killed");
    let primary = set.primary().await?;
    let before = stage.history().accepted().len();
    set.kill(primary)?;
    let after = set.primary().await?;
    stage.expect(after != primary, "another one leads");
    stage.until_accepted(count * 3 / 4).await?;
    set.restart(primary)?;
    set.settled().await?;
    stage.over(fault);
    stage.expect(before < count, "it was killed while submissions arrived");
    let longest = longest_post(stage.history());
    let (told, tries) = (refused(stage.history()), failed_tries(&stage).await?);
    stage.figure(format!(
        "longest post {longest:.1?}; {told} answers 503; {tries} tries beyond the driver's own"
    ));
    stage.end().await
}

/// K22: it steps down every five seconds, and once nobody stands for a while: then the one repetition
/// that the driver makes does not help.
pub(super) async fn steps_down(ctx: Ctx) -> Result<Evidence> {
    let set = ReplicaSet::start(3).await?;
    let mut stage = Stage::begin(&ctx, |plan| plan.database(&address(&set))).await?;
    let times = ctx.of(4_u32, 10);
    let before = failed_tries(&stage).await?;
    stage.load(ctx.of(24, 60), 1.0).await?;
    stage.until_accepted(1).await?;
    let fault = stage.fault("the primary steps down");
    for n in 0..times {
        let (begun, primary) = (Instant::now(), set.primary().await?);
        if n == 1 {
            for other in set.others(primary) {
                ask(set.address(other), doc! { "replSetFreeze": NOBODY_S }).await?;
            }
        }
        ask(set.address(primary), doc! { "replSetStepDown": DOWN_S, "force": true }).await?;
        tokio::time::sleep(APART.saturating_sub(begun.elapsed())).await;
    }
    set.settled().await?;
    stage.over(fault);
    let tries = failed_tries(&stage).await? - before;
    stage.expect(tries > 0.0, "the one repetition of the driver did not help at least once");
    let longest = longest_post(stage.history());
    stage.figure(format!("longest post {longest:.1?}; {tries} tries beyond the driver's own"));
    stage.end().await
}

/// K27: a secondary that was frozen, and lags by all that happened meanwhile, becomes primary.
pub(super) async fn lagging(ctx: Ctx) -> Result<Evidence> {
    let set = ReplicaSet::start(3).await?;
    let mut stage = Stage::begin(&ctx, |plan| plan.database(&address(&set))).await?;
    let primary = set.primary().await?;
    let [lags, other] = set.others(primary)[..] else { anyhow::bail!("three members") };
    let fault = stage.fault("a secondary is frozen, and then it leads");
    let last = written(&set, primary, lags).await?;
    set.stop(lags)?;
    let frozen = Instant::now();
    let count = ctx.of(16, 60);
    stage.load(count, ctx.of(4.0, 1.0)).await?;
    stage.until_accepted(count).await?;
    let lag = ctx.of(Duration::from_secs(8), Duration::from_secs(120));
    tokio::time::sleep(lag.saturating_sub(frozen.elapsed())).await;
    let behind = (written(&set, primary, primary).await? - last) as f64 / 1000.0;
    stage.expect(behind >= 3.0, format!("it lags, and not only by {behind} s"));
    set.resume(lags)?;
    ask(set.address(other), doc! { "replSetFreeze": 60 }).await?;
    let step_down = doc! { "replSetStepDown": 60, "secondaryCatchUpPeriodSecs": 0, "force": true };
    ask(set.address(primary), step_down).await?;
    let leads = wait::until("the one that lagged leads", PATIENCE, || async {
        let hello = look(set.address(lags), doc! { "hello": 1 }).await;
        let leads = hello.is_ok_and(|hello| hello.get_bool("isWritablePrimary").unwrap_or(false));
        Ok(leads.then_some(()))
    });
    leads.await?;
    // Nothing that was acknowledged is missing from the first moment on.
    for id in stage.history().accepted() {
        let document = stage.world.client.document(&id).await;
        stage.expect(document.is_ok(), format!("{id} is found at the new primary: {document:?}"));
    }
    stage.over(fault);
    stage.load(4, 4.0).await?;
    stage.until_accepted(count + 4).await?;
    stage.figure(format!("it lagged by {behind:.0} s when it went on"));
    stage.end().await
}

/// When what a member has was written last, in milliseconds, as another one sees it.
async fn written(set: &ReplicaSet, seen_by: usize, member: usize) -> Result<i64> {
    let status = ask(set.address(seen_by), doc! { "replSetGetStatus": 1 }).await?;
    let members = status.get_array("members").context("members")?;
    let name = set.address(member).to_string();
    let mut all = members.iter().filter_map(bson::Bson::as_document);
    let named = |m: &&Document| m.get_str("name").is_ok_and(|is| is == name);
    let one = all.find(named).context("a member")?;
    Ok(one.get_datetime("optimeDate")?.timestamp_millis())
}
