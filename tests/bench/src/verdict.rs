//! From the POST to the verdict and to the pin on an open map, on a stack where nothing else happens,
//! step by step; and how soon a worker that is idle takes what came, beside what a bare change stream
//! and a bare claim take.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bson::{Document, doc};
use futures::StreamExt as _;
use portcall_tests::Submission;
use time::OffsetDateTime;
use tokio::time::timeout;

use crate::{
    Size,
    bare::Lane,
    grading::{Floor as _, Graded, Stage, steps_told},
    load::{Much, closed_loop},
    map::OpenMap,
    report::{Figure, Report, Row, Unit, Wanted},
    rounds::{Pairs, median, quantile},
};

/// How soon an idle worker claims what came.
const WAKE: Figure = Figure(50.0, Unit::Millis);
/// How late a pin may be.
const LATE: Figure = Figure(300.0, Unit::Millis);
const PATIENCE: Duration = Duration::from_secs(20);

/// How many are sent, one after the other, and how long nothing happens before each.
struct Plan {
    sent: usize,
    idle: Duration,
}

impl Plan {
    fn of(size: Size) -> Self {
        match size {
            Size::Tiny => Self { sent: 2, idle: Duration::from_millis(50) },
            // By then a worker looks every few seconds by itself.
            Size::Usual => Self { sent: 20, idle: Duration::from_millis(4000) },
        }
    }
}

/// What each of them took, in milliseconds.
#[derive(Debug, Default)]
struct Times {
    answered: Vec<f64>,
    stored: Vec<f64>,
    woken: Pairs,
    sent_to_claim: Vec<f64>,
    verdict: Pairs,
    pin: Vec<f64>,
    graded: Vec<Graded>,
}

fn between(from: OffsetDateTime, to_ms: i64) -> f64 {
    let from = from.unix_timestamp_nanos() / 1_000;
    #[expect(clippy::cast_precision_loss, reason = "times of minutes")]
    let micros = (i128::from(to_ms) * 1_000 - from) as f64;
    micros / 1000.0
}

/// A bare insert, what a bare change stream says of it, and a bare claim: what waking takes at the least.
async fn bare_wake(stage: &Stage) -> Result<f64> {
    let database =
        stage.crowd.submissions.client().database(&stage.crowd.submissions.namespace().db);
    let beside = database.collection::<Document>("beside");
    let mut changes = beside.watch().await?;
    let mut document = stage.crowd.submissions.find_one(doc! {}).await?.context("no document")?;
    document.insert("_id", bson::Uuid::new());
    let began = Instant::now();
    beside.insert_one(document).await?;
    let Some(change) = timeout(PATIENCE, changes.next()).await? else { bail!("no change stream") };
    change?;
    let update = doc! { "$set": { "state": "grading" } };
    beside.find_one_and_update(doc! {}, update).await?.context("nothing to claim")?;
    let took = began.elapsed().as_secs_f64() * 1000.0;
    drop(changes);
    beside.delete_many(doc! {}).await?;
    Ok(took)
}

async fn one(stage: &mut Stage, map: &mut OpenMap, n: usize, times: &mut Times) -> Result<()> {
    let submission = Submission::of(&format!("Bob {n}")).image(&stage.crowd.image);
    let (sent, began) = (OffsetDateTime::now_utc(), Instant::now());
    let accepted = stage.world.client.submit(&submission).await?;
    times.answered.push(accepted.took.as_secs_f64() * 1000.0);
    let pin = map.hears(&accepted.id).await? - began;
    let graded = stage.crowd.last().await?;
    let [created, claimed, judged, _] = graded.at;
    times.stored.push(between(sent, created));
    #[expect(clippy::cast_precision_loss, reason = "times of minutes")]
    times.woken.ours.push((claimed - created) as f64);
    times.sent_to_claim.push(between(sent, claimed));
    times.verdict.ours.push(between(sent, judged));
    times.pin.push(pin.as_secs_f64() * 1000.0 - between(sent, judged));
    times.graded.push(graded);
    Ok(())
}

fn told(times: &Times, report: &mut Report) {
    let alone = |values: &[f64]| Figure(median(values), Unit::Millis);
    let mut row = |what: &str, values: &[f64], wanted| {
        report.rows.push(Row::alone(what, alone(values), wanted));
    };
    row("quiet stack: POST to 202", &times.answered, Wanted::Nothing);
    row("quiet stack: POST to stored", &times.stored, Wanted::Nothing);
    row("quiet stack: POST to claim", &times.sent_to_claim, Wanted::Nothing);
    row("quiet stack: verdict to the pin on an open map", &times.pin, Wanted::AtMost(LATE));
    let what = "quiet stack: stored to claim, against a bare change stream and claim";
    report.rows.push(Row::of(what, &times.woken, Unit::Millis, Wanted::AtMost(WAKE)));
    let what = "quiet stack: POST to verdict, against create to answer of the bare engine";
    report.rows.push(Row::of(what, &times.verdict, Unit::Millis, Wanted::Nothing));
    report.note(format!("steps on a quiet stack: {}", steps_told(&times.graded)));
    let [p90, most] = [0.9, 1.0].map(|share| quantile(&times.woken.ours, share));
    report.note(format!("stored to claim: p90 {p90:.0} ms, most {most:.0} ms"));
    let [p90, most] = [0.9, 1.0].map(|share| quantile(&times.verdict.ours, share));
    report.note(format!("POST to verdict: p90 {p90:.0} ms, most {most:.0} ms"));
}

/// Measures it.
///
/// # Errors
/// When a part does not do what it should.
pub async fn run(size: Size) -> Result<Report> {
    let plan = Plan::of(size);
    let mut report = Report::new("verdict");
    let mut stage = Stage::open().await?;
    let worker = stage.start_worker(2).await?;
    // The first brings the image, and does not count.
    stage.crowd.grade(1).await?;
    let address = stage.world.apis[0].address.context("an api has an address")?;
    let mut map = OpenMap::at(address).await?;
    let mut lanes = Lane::several(1, &stage.pinned()).await?;
    let mut times = Times::default();
    for n in 0..plan.sent {
        times.woken.floor.push(bare_wake(&stage).await?);
        lanes = closed_loop(lanes, Much::Times(1)).await?.1;
        times.verdict.floor.extend(lanes[0].answered());
        tokio::time::sleep(plan.idle).await;
        one(&mut stage, &mut map, n, &mut times).await?;
    }
    drop(map);
    Lane::close(lanes).await?;
    told(&times, &mut report);
    stage.stop_worker(worker).await?;
    stage.end().await?;
    Ok(report)
}
