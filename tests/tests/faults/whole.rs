//! K47: the power fails. The database, apis and workers are killed at once, and come back in an order
//! that a seed decides. (The engine that tests share stays; K32 restarts one.)

use std::time::Duration;

use anyhow::Result;
use portcall_tests::{
    faults::{Ctx, Evidence, Ground, Permits, Row, Stage, choice::Random},
    parts::mongo::ReplicaSet,
};

const MEMBERS: usize = 3;

pub(crate) const ROWS: &[Row] = &[Row {
    id: "K47",
    what: "everything is killed at once, and comes back in any order",
    ground: Ground::World,
    takes_s: 70,
    // While nothing is there, nobody is served.
    permits: Permits { posts: 40, reads: 400, ..Permits::NONE },
    how: |ctx| Box::pin(power_cut(ctx)),
}];

async fn power_cut(ctx: Ctx) -> Result<Evidence> {
    let mut random = Random::new(ctx.seed);
    let mut set = ReplicaSet::start(MEMBERS).await?;
    let uri = set.uri();
    let mut stage = Stage::begin(&ctx, |plan| plan.database(&uri).apis(2).workers(2)).await?;
    stage.load(ctx.of(20, 40), 3.0).await?;
    stage.until_accepted(8).await?;
    let fault = stage.fault("everything is killed");
    for member in 0..MEMBERS {
        set.kill(member)?;
    }
    for n in 0..2 {
        stage.kill_worker(n)?;
        stage.kill_api(n)?;
    }
    // Each member comes back by itself, an api before or after them, a worker before or after that.
    let pauses: Vec<Duration> =
        (0..MEMBERS).map(|_| Duration::from_millis(random.between(0, 6000))).collect();
    let order = random.below(2);
    let members = async {
        let mut waiting: Vec<(usize, Duration)> = pauses.iter().copied().enumerate().collect();
        waiting.sort_by_key(|(_, pause)| *pause);
        let begun = tokio::time::Instant::now();
        for (member, pause) in waiting {
            tokio::time::sleep_until(begun + pause).await;
            set.restart(member)?;
        }
        anyhow::Ok(())
    };
    let others = async {
        if order == 0 {
            stage.start_api().await?;
            stage.world.start_worker(&[]).await?;
        } else {
            stage.world.start_worker(&[]).await?;
            stage.start_api().await?;
        }
        stage.start_api().await?;
        anyhow::Ok(())
    };
    futures::try_join!(members, others)?;
    set.settled().await?;
    stage.over(fault);
    stage.figure(format!(
        "members came back after {pauses:?}, {} first",
        if order == 0 { "an api" } else { "a worker" }
    ));
    // Its own replica set lives until the end.
    let evidence = stage.end().await;
    drop(set);
    evidence
}
