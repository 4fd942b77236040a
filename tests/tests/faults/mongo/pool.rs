//! All connections of an api to the database are held, and hundreds ask: who reads is answered from memory, who
//! posts is served late or told to come back, and nobody hangs.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::Result;
use futures::future::join_all;
use portcall_tests::{
    faults::{Ctx, Evidence, Stage},
    parts::{
        fail_point::{FailPoint, Wrong, disarm},
        mongo::ReplicaSet,
    },
    wait,
};
use reqwest::StatusCode;

use super::{readiness, refused};

/// The connections of an api.
const POOL: usize = 5;
/// For how long each is held, so often.
const LATE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);
const AWAITED: &str = "portcall_store_connections{state=\"awaited\"}";
const OPEN: &str = "portcall_store_connections{state=\"open\"}";

/// K30.
pub(super) async fn exhausted(ctx: Ctx) -> Result<Evidence> {
    let set = ReplicaSet::start(1).await?;
    let uri = format!("{}&maxPoolSize={POOL}", set.uri());
    let mut stage = Stage::begin(&ctx, |plan| plan.database(&set.uri()).api_database(&uri)).await?;
    stage.load(8, 4.0).await?;
    stage.until_accepted(8).await?;
    stage.until_ended(8).await?;
    let known = stage.history().accepted();
    let (asking, held) = ctx.of((300, 3), (500, 6));
    let fault = stage.fault("every connection of the api is held");
    // The stream of changes has one of them, too.
    FailPoint::on(&["find", "insert", "aggregate"], Wrong::Late(LATE))
        .of("portcall-api")
        .times(i32::try_from(POOL)? * held)
        .arm(set.address(0))
        .await?;
    stage.load(8, 8.0).await?;
    let crowd = stage.world.apis[0].client(&stage.world.event.slug)?;
    let reads = (0..asking).map(|n| {
        let (client, id) = (&crowd, &known[n % known.len()]);
        async move { client.get(&format!("/api/v1/submissions/{id}")).await }
    });
    let asked = async { anyhow::Ok(join_all(reads).await) };
    let (answers, watched) = tokio::try_join!(asked, watch(&stage, LATE * held.unsigned_abs()))?;
    // It goes, and its connections with it.
    drop(crowd);
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    for answer in answers {
        // Nobody hangs: a client of these waits for thirty seconds.
        let answer = answer?;
        *statuses.entry(answer.status.as_u16()).or_default() += 1;
    }
    let all: Vec<u16> = statuses.keys().copied().collect();
    stage.expect(all == [200], format!("whoever reads is answered from memory: {statuses:?}"));
    stage.expect(refused(stage.history()) > 0, "who posted was told to come back");
    let (longest, ready) = watched;
    stage.expect(longest > POOL as f64, "calls waited for a connection");
    stage.expect(ready, "whoever asks whether the api is ready does not wait behind the others");
    disarm(set.address(0)).await?;
    stage.over(fault);
    let open = stage.world.apis[0].metric(OPEN).await?;
    stage.expect(open <= POOL as f64, format!("{open} connections are open"));
    stage.load(4, 4.0).await?;
    stage.until_accepted(20).await?;
    stage.figure(format!("{asking} reads over {POOL} connections: {statuses:?}"));
    stage.figure(format!("at most {longest} calls waited for one"));
    stage.end().await
}

/// How many calls waited for a connection at most while they were held, for so long at least, and whether the
/// api was ready each time that it was asked.
async fn watch(stage: &Stage, held: Duration) -> Result<(f64, bool)> {
    let api = &stage.world.apis[0];
    wait::until("calls wait for a connection", PATIENCE, || async {
        Ok((api.metric(AWAITED).await? > POOL as f64).then_some(()))
    })
    .await?;
    let seen = Mutex::new((0.0_f64, true));
    wait::until("nobody waits for a connection any more", held + PATIENCE, || async {
        let awaited = api.metric(AWAITED).await?;
        let said = readiness(api).await?.status;
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = (seen.0.max(awaited), seen.1 && said == StatusCode::OK);
        Ok((awaited <= 0.0).then_some(()))
    })
    .await?;
    Ok(seen.into_inner().unwrap_or_else(PoisonError::into_inner))
}
