//! K01 to K09: a worker is killed at each step of a grading. Another one finishes, and nothing of the
//! dead one is left. Steps of our own are reached by hold points (`worker/src/hold.rs`); what lies
//! between a request to the engine and its answer, by withholding the answer.
//!
//! Slots are pooled, so no network is made for a grading: K03 is killed when the grading has its place
//! in a slot's network and its share of the node, and asks for its container next.

use std::time::Duration;

use anyhow::{Context, Result};
use portcall_tests::{
    Recipe,
    faults::{Ctx, Evidence, Ground, Permits, Row, Running, Stage, Truth, dump::submission_in},
    parts::{client::is_final, stack::generations, valve::Valve},
    wait,
};

const PATIENCE: Duration = Duration::from_secs(90);

/// Where it is killed.
#[derive(Clone, Copy, Debug)]
enum At {
    /// At a hold point, before the verdict is written.
    Before(&'static str),
    /// At a hold point, after that.
    After(&'static str),
    /// When it has asked the engine for a container and not read the answer.
    Creating,
    /// While it waits for port 80.
    Waiting,
    /// When it has asked the engine to remove the container and not read the answer.
    Removing,
}

pub(crate) const ROWS: &[Row] = &[
    row("K01", "a worker is killed after its claim", |ctx| {
        Box::pin(killed(ctx, At::Before("claimed")))
    }),
    row("K02", "a worker is killed after it resolved the name", |ctx| {
        Box::pin(killed(ctx, At::Before("resolved")))
    }),
    row("K03", "a worker is killed in its slot, before it asks for a container", |ctx| {
        Box::pin(killed(ctx, At::Before("admitted")))
    }),
    row("K04", "a worker is killed before it reads that its container was made", |ctx| {
        Box::pin(killed(ctx, At::Creating))
    }),
    row("K05", "a worker is killed after the start", |ctx| {
        Box::pin(killed(ctx, At::Before("started")))
    }),
    row("K06", "a worker is killed while it waits for port 80", |ctx| {
        Box::pin(killed(ctx, At::Waiting))
    }),
    row("K07", "a worker is killed after its questions, before the verdict", |ctx| {
        Box::pin(killed(ctx, At::Before("probed")))
    }),
    row("K08", "a worker is killed after the verdict, before it cleans up", |ctx| {
        Box::pin(killed(ctx, At::After("settled")))
    }),
    row("K09", "a worker is killed while it cleans up", |ctx| Box::pin(killed(ctx, At::Removing))),
];

const fn row(id: &'static str, what: &'static str, how: fn(Ctx) -> Running) -> Row {
    Row { id, what, ground: Ground::World, takes_s: 36, permits: Permits::NONE, how }
}

async fn killed(ctx: Ctx, at: At) -> Result<Evidence> {
    let mut stage = Stage::begin(&ctx, |plan| plan.workers(0)).await?;
    let valve = Valve::docker(&stage.world.engine.host, stage.world.dir()).await?;
    let point = match at {
        At::Before(point) | At::After(point) => point,
        At::Creating | At::Waiting | At::Removing => "",
    };
    let slots = if matches!(at, At::Removing) { "1" } else { "3" };
    let mut own = vec![("PORTCALL_DOCKER_HOST", valve.address()), ("PORTCALL_SLOTS", slots)];
    own.extend((!point.is_empty()).then_some(("PORTCALL_HOLD_AT", point)));
    let dying = stage.world.start_worker(&own).await?;
    match at {
        At::Creating => valve.withhold(|line| {
            line.starts_with("POST ")
                && line.contains("/containers/create")
                && submission_in(line).is_some()
        }),
        // Its canary was removed before it was ready.
        At::Removing => {
            valve.withhold(|line| line.starts_with("DELETE ") && line.contains("/containers/"));
        }
        At::Before(_) | At::After(_) | At::Waiting => {}
    }
    let slow = matches!(at, At::Waiting);
    if slow {
        let recipe = Recipe::app("late-listen")?.env("APP_NAME", "Gordon 0");
        let image = stage.world.push(&recipe.env("APP_DELAY_MS", "6000")).await?;
        let planned = stage.plan_of(&image.reference, Truth::Passes);
        stage.load_of.post(vec![planned], 1.0);
    }
    stage.load(ctx.of(14, 30), 4.0).await?;
    let victim = victim(&stage, dying, at, point, &valve).await?;
    let before = stage.world.client.document(&victim).await?;
    let fault = stage.fault(format!("killed {at:?}"));
    stage.kill_worker(dying)?;
    stage.world.start_worker(&[]).await?;
    stage.over(fault);
    stage.expect(is_final(&before) == at.is_decided(), format!("{victim} was {before:#}"));
    stage.expect(!slow || before["step"] == "probing", format!("{victim} was {before:#}"));

    let after = stage.world.client.wait_final(&victim, PATIENCE).await?;
    let (was, is) = (generations(&before), generations(&after));
    if at.is_decided() {
        stage.expect(was == is, format!("it was graded again: {was:?}, {is:?}"));
        stage.expect(before["verdict"] == after["verdict"], "its verdict was changed");
    } else {
        stage.expect(is.len() == was.len() + 1, format!("one more attempt: {was:?}, {is:?}"));
        let lost = &after["attempts"][was.len() - 1]["outcome"];
        stage.expect(lost == "lost", format!("the attempt of the dead worker is {lost}"));
    }
    stage.end().await
}

impl At {
    fn is_decided(self) -> bool {
        matches!(self, Self::After(_) | Self::Removing)
    }
}

/// The submission over which the worker will die, once it is where it shall be.
async fn victim(stage: &Stage, dying: usize, at: At, point: &str, valve: &Valve) -> Result<String> {
    match at {
        At::Before(_) | At::After(_) => {
            let held = format!("point=\"{point}\"");
            let line = stage.world.workers[dying].wait_log(&["holding", &held], PATIENCE).await?;
            submission_in(&line).with_context(|| line)
        }
        At::Creating => {
            let line = valve.caught(PATIENCE).await?;
            submission_in(&line).with_context(|| line)
        }
        At::Removing => {
            let line = valve.caught(PATIENCE).await?;
            // It has one slot, so the last verdict is that of what it removes.
            let log = stage.world.workers[dying].process.log();
            let last = log.lines().rev().find(|line| line.contains(" graded"));
            last.and_then(submission_in).with_context(|| line)
        }
        At::Waiting => {
            stage.until_accepted(1).await?;
            let first = stage.history().accepted().remove(0);
            wait::until("it waits for port 80", PATIENCE, || async {
                let document = stage.world.client.document(&first).await?;
                Ok((document["step"] == "probing").then_some(()))
            })
            .await?;
            Ok(first)
        }
    }
}
