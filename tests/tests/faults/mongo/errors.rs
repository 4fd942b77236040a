//! The database answers with each error after which the same may go better. What each call makes of each
//! error is in `shared/tests/store_queue/troubles.rs`; here whole processes bear them at random.

use anyhow::{Result, bail};
use portcall_tests::{
    Recipe,
    faults::{Ctx, Evidence, Stage, Truth, choice::Random},
    parts::{
        fail_point::{FailPoint, Wrong, disarm},
        mongo::ReplicaSet,
    },
};

/// What goes wrong with a command.
const WRONG: [Wrong; 15] = [
    Wrong::Code(11600),
    Wrong::Code(11602),
    Wrong::Code(10107),
    Wrong::Code(13435),
    Wrong::Code(13436),
    Wrong::Code(189),
    Wrong::Code(91),
    Wrong::Code(7),
    Wrong::Code(6),
    Wrong::Code(89),
    Wrong::Code(9001),
    Wrong::Code(262),
    Wrong::Unconfirmed(64),
    Wrong::Unconfirmed(100),
    Wrong::Closed,
];
/// The commands of a submission's life, and what a process notes when a try of it failed.
const COMMANDS: [&str; 3] = ["insert", "findAndModify", "update"];
const DOING: [&str; 4] = [
    "store a submission",
    "claim a submission",
    "renew a lease",
    "write what became of a submission",
];
/// Two in a row fail often enough that the one repetition of the driver does not help.
const PROBABILITY: f64 = 0.5;
/// So many at once, until every call was hit.
const AT_ONCE: usize = 4;
const ROUNDS: usize = 8;
/// How long an app takes to listen: its lease is renewed meanwhile.
const STARTS_MS: &str = "3500";

/// K29.
pub(super) async fn every_code(ctx: Ctx) -> Result<Evidence> {
    let set = ReplicaSet::start(1).await?;
    // To such a code the driver takes the server for unknown until it hears of it next. One that really
    // changed says so at once; this one only pretends, so it is heard when it is asked again.
    let uri = format!("{}&heartbeatFrequencyMS=500", set.uri());
    // Leases outlast what goes wrong. A renewal has the time of a beat: enough for the driver to give up.
    let mut stage = Stage::begin(&ctx, |plan| {
        plan.database(&uri)
            .worker_setting("PORTCALL_BEAT_MS", 1500)
            .worker_setting("PORTCALL_STALL_MS", 15_000)
            .worker_setting("PORTCALL_LEASE_MS", 25_000)
    })
    .await?;
    let mut random = Random::new(ctx.seed);
    let chosen: Vec<Wrong> = match ctx.of(1, WRONG.len()) {
        all if all == WRONG.len() => WRONG.to_vec(),
        some => (0..some).map(|_| WRONG[random.below(WRONG.len())]).collect(),
    };
    let mut number = 0;
    for wrong in chosen {
        one(&mut stage, &set, wrong, &mut number).await?;
    }
    stage.end().await
}

/// Submissions come until each call of their life has met it; `number` is that of the next one.
async fn one(stage: &mut Stage, set: &ReplicaSet, wrong: Wrong, number: &mut usize) -> Result<()> {
    let before = failed(stage).await?;
    let fault = stage.fault(format!("{wrong:?}"));
    let namespace = format!("{}.submissions", stage.world.name);
    let mut planned = Vec::new();
    for _ in 0..AT_ONCE * ROUNDS {
        let name = format!("Gordon {number}");
        *number += 1;
        let app = Recipe::app("late-listen")?.env("APP_DELAY_MS", STARTS_MS).env("APP_NAME", &name);
        let image = stage.world.push(&app).await?;
        planned.push(stage.plan_of(&image.reference, Truth::Passes));
    }
    FailPoint::on(&COMMANDS, wrong)
        .at(&namespace)
        .sometimes(PROBABILITY)
        .arm(set.address(0))
        .await?;
    let mut planned = planned.into_iter().peekable();
    let mut posted = stage.history().accepted().len();
    while planned.peek().is_some() {
        let some: Vec<_> = planned.by_ref().take(AT_ONCE).collect();
        posted += some.len();
        stage.load_of.post(some, 4.0);
        stage.until_accepted(posted).await?;
        stage.until_ended(posted).await?;
        if missed(&before, &failed(stage).await?).is_empty() {
            break;
        }
    }
    let met = disarm(set.address(0)).await?;
    stage.over(fault);
    let after = failed(stage).await?;
    let missed = missed(&before, &after);
    // What was done and not confirmed is an error to whoever inserts or updates.
    let not_told =
        |doing: &&str| matches!(wrong, Wrong::Unconfirmed(_)) && *doing == "claim a submission";
    let missed: Vec<&str> = missed.into_iter().filter(|doing| !not_told(doing)).collect();
    if !missed.is_empty() {
        bail!("{wrong:?} was never met by: {missed:?}");
    }
    let grown: Vec<f64> = before.iter().zip(&after).map(|(was, is)| is - was).collect();
    stage.figure(format!("{wrong:?}: {met} commands; tries repeated {grown:?} of {DOING:?}"));
    Ok(())
}

/// Which calls have no more failed tries than before.
fn missed(before: &[f64], after: &[f64]) -> Vec<&'static str> {
    let calls = DOING.iter().zip(before).zip(after);
    calls.filter(|((_, was), is)| was >= is).map(|((doing, _), _)| *doing).collect()
}

/// How many tries of each call failed so far, over all processes.
async fn failed(stage: &Stage) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for doing in DOING {
        let name = format!("portcall_store_failed_tries_total{{doing=\"{doing}\"}}");
        let mut tries = 0.0;
        for service in stage.world.apis.iter().chain(&stage.world.workers) {
            tries += service.metric(&name).await?;
        }
        all.push(tries);
    }
    Ok(all)
}
