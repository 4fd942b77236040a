//! The change stream is lost, in every way there is: what it would have told is found all the same.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use mongodb::Client;
use portcall_tests::{
    faults::{Ctx, Evidence, Stage, dump, follow::on_map},
    parts::{
        fail_point::{FailPoint, Wrong, disarm},
        mongo::{ReplicaSet, ask},
    },
    wait,
};

/// Until what passed is on the map, whatever became of the stream.
const SHOWN: Duration = Duration::from_secs(40);
const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than a stream is waited for, and than the test.
const SILENT: Duration = Duration::from_secs(120);
/// The server's word for a token whose place in its log is gone.
const HISTORY_LOST: i32 = 286;

#[derive(Clone, Copy, Debug)]
enum Loss {
    /// The collection has another name for a moment: the stream is told that it is over.
    Renamed,
    /// It is too late to go on from where it was.
    HistoryLost,
    /// The server forgets its cursor.
    Killed,
    /// Nothing comes any more, and nothing says why.
    Silent,
}

/// K31.
pub(super) async fn lost(ctx: Ctx) -> Result<Evidence> {
    let set = ReplicaSet::start(1).await?;
    let mut stage = Stage::begin(&ctx, |plan| plan.database(&set.uri())).await?;
    // All is quiet after each: while a collection has another name, nothing in it is found.
    let mut posted = round(&mut stage, 0, ctx.of(3, 10)).await?;
    for loss in [Loss::Renamed, Loss::HistoryLost, Loss::Killed, Loss::Silent] {
        let before = feeds_lost(&stage).await?;
        let fault = stage.fault(format!("the change stream is lost: {loss:?}"));
        lose(&stage, set.address(0), loss).await?;
        posted = round(&mut stage, posted, ctx.of(3, 10)).await?;
        disarm(set.address(0)).await?;
        stage.over(fault);
        let losses = feeds_lost(&stage).await? - before;
        // The driver itself opens a stream again whose cursor is gone, where it was.
        let told = losses > 0.0 || matches!(loss, Loss::Killed);
        stage.expect(told, format!("{loss:?}: somebody noticed"));
        stage.figure(format!("{loss:?}: {losses} streams were opened again"));
    }
    stage.end().await
}

/// Posts some, and waits until they have ended and what passed is on the map; how many there are now.
async fn round(stage: &mut Stage, posted: usize, more: usize) -> Result<usize> {
    let posted = posted + more;
    stage.load(more, 4.0).await?;
    stage.until_accepted(posted).await?;
    stage.until_ended(posted).await?;
    let stored = dump::stored(stage.world.database(), &stage.world.name).await?;
    let passed = stored.iter().filter(|one| one.state == "passed").count();
    wait::until(format!("{passed} pins are on the map"), SHOWN, || async {
        Ok((on_map(&stage.world.client).await?.len() == passed).then_some(()))
    })
    .await?;
    wait::until("nothing is graded", PATIENCE, || async {
        let stats = stage.world.client.of_event("/stats").await?;
        Ok((stats["totals"]["grading"] == 0 && stats["totals"]["queued"] == 0).then_some(()))
    })
    .await?;
    Ok(posted)
}

async fn lose(stage: &Stage, server: SocketAddr, loss: Loss) -> Result<()> {
    let name = &stage.world.name;
    let of_submissions = format!("{name}.submissions");
    match loss {
        Loss::Renamed => {
            let away = format!("{name}.elsewhere");
            ask(server, doc! { "renameCollection": &of_submissions, "to": &away }).await?;
            ask(server, doc! { "renameCollection": &away, "to": &of_submissions }).await?;
        }
        Loss::HistoryLost => {
            for app in ["portcall-api", "portcall-worker"] {
                let before = feeds_lost(stage).await?;
                let point = FailPoint::on(&["getMore"], Wrong::Code(HISTORY_LOST)).of(app);
                point.at(&of_submissions).times(1).arm(server).await?;
                wait::until(format!("{app} has lost its stream"), PATIENCE, || async {
                    Ok((feeds_lost(stage).await? > before).then_some(()))
                })
                .await?;
            }
        }
        Loss::Killed => kill_cursors(stage, &of_submissions).await?,
        Loss::Silent => {
            let point = FailPoint::on(&["getMore"], Wrong::Late(SILENT)).of("portcall-api");
            point.at(&of_submissions).times(1).arm(server).await?;
            ask(
                server,
                doc! { "waitForFailPoint": "failCommand", "timesEntered": 1, "maxTimeMS": 20_000 },
            )
            .await?;
        }
    }
    Ok(())
}

/// The cursors of the streams, as the server has them.
async fn kill_cursors(stage: &Stage, namespace: &str) -> Result<()> {
    let client = Client::with_uri_str(stage.world.database()).await?;
    let all = doc! { "$currentOp": { "allUsers": true, "idleCursors": true } };
    let all: Vec<Document> = client.database("admin").aggregate([all]).await?.try_collect().await?;
    let cursors: Vec<Bson> = all
        .iter()
        .filter(|one| one.get_str("ns").is_ok_and(|is| is == namespace))
        .filter_map(|one| one.get_document("cursor").ok()?.get("cursorId").cloned())
        .collect();
    anyhow::ensure!(!cursors.is_empty(), "no stream is open at {namespace}");
    let kill = doc! { "killCursors": "submissions", "cursors": cursors };
    let killed = client.database(&stage.world.name).run_command(kill).await?;
    killed.get_array("cursorsKilled").context("none was killed")?;
    Ok(())
}

/// How many streams were lost so far, over all processes.
async fn feeds_lost(stage: &Stage) -> Result<f64> {
    let mut lost = 0.0;
    for service in stage.world.apis.iter().chain(&stage.world.workers) {
        lost += service.metric("portcall_feed_lost_total").await?;
    }
    Ok(lost)
}
