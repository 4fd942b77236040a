//! K35 to K38: what takes several machines. A grader is lost and comes back; the leader of the managers
//! is killed; most managers are; the overlay between a grader and the rest is cut in three ways. Each has
//! a lab of its own, so they are played with `--full`, or by name.

use std::time::Duration;

use anyhow::{Context, Result};
use portcall_tests::{
    faults::{Ctx, Evidence, Ground, Machines, Permits, Row, Running, Undetermined, dump},
    lab::world::DATABASE,
    wait,
};

/// The swarm's heartbeats are seconds apart, and some have to be missed.
const NOTICED: Duration = Duration::from_secs(120);
/// How long a grader is away once the swarm has noticed. What the swarm and the worker do about it is
/// done within a minute; the specification's five would only take longer.
const AWAY: Duration = Duration::from_secs(120);
/// How long most managers are away, in the place of the specification's three minutes.
const WITHOUT_QUORUM: Duration = Duration::from_secs(40);
/// How long a way is cut at least.
const CUT: Duration = Duration::from_secs(30);

/// What a machine had when it went is removed when it is back.
const MACHINES: Permits = Permits {
    left_within: Duration::from_secs(300),
    unfair: Some(Duration::from_secs(300)),
    ..Permits::NONE
};

pub(crate) const ROWS: &[Row] = &[
    row(
        "K35",
        "a grader is lost in the middle of its tasks and comes back",
        330,
        MACHINES,
        |ctx| Box::pin(grader_lost(ctx)),
    ),
    row("K36", "the leader of the managers is killed", 240, MACHINES, |ctx| {
        Box::pin(leader_killed(ctx))
    }),
    row("K37", "two of three managers are killed", 300, MACHINES, |ctx| Box::pin(quorum_lost(ctx))),
    row(
        "K38",
        "between a grader and the rest no data passes, no gossip, no large packet",
        330,
        Permits { undetermined: Undetermined::AfterLosses, ..MACHINES },
        |ctx| Box::pin(overlay_cut(ctx)),
    ),
];

const fn row(
    id: &'static str,
    what: &'static str,
    takes_s: u64,
    permits: Permits,
    how: fn(Ctx) -> Running,
) -> Row {
    Row { id, what, ground: Ground::Lab, takes_s, permits, how }
}

async fn grader_lost(ctx: Ctx) -> Result<Evidence> {
    let mut row = Machines::begin(&ctx, 1).await?;
    row.load(ctx.of(6, 20), 2.0).await?;
    row.until_runs_on("g1").await?;
    let fault = row.fault("a grader's plug is pulled");
    row.world.lab.cut("g1").await?;
    row.world.lab.await_state("g1", "down", NOTICED).await?;
    row.load(ctx.of(4, 10), 1.0).await?;
    // The other one does it all.
    row.until_ended(row.posted()).await?;
    row.until_passed(ctx.of(CUT, AWAY)).await?;
    row.world.lab.restore("g1").await?;
    row.world.lab.await_state("g1", "ready", NOTICED).await?;
    row.over(fault);
    let retried = retried(&row).await?;
    row.expect(retried > 0, "the grader went in the middle of nothing");
    row.figure(format!("{retried} attempts were lost with the grader"));
    row.world.until_open(&["g1", "g2"]).await?;
    row.load(4, 2.0).await?;
    row.until_ended(row.posted()).await?;
    row.end().await
}

async fn leader_killed(ctx: Ctx) -> Result<Evidence> {
    let mut row = Machines::begin(&ctx, 3).await?;
    row.load(ctx.of(8, 20), 2.0).await?;
    row.until_runs_on("g1").await?;
    let first = row.world.lab.leader().await?;
    let fault = row.fault("the leader is killed");
    row.world.lab.kill(&first).await?;
    row.load(ctx.of(4, 10), 1.0).await?;
    let elected = row.history().now();
    let next = wait::until("another one leads", NOTICED, || async {
        let leader = row.world.lab.leader().await.ok();
        Ok(leader.filter(|leader| *leader != first))
    })
    .await?;
    let took = row.history().now().saturating_sub(elected);
    row.until_ended(row.posted()).await?;
    row.world.lab.start(&first).await?;
    row.world.lab.await_state(&first, "ready", NOTICED).await?;
    row.over(fault);
    let retried = retried(&row).await?;
    row.figure(format!(
        "{next} leads instead of {first} within {:.0} s; {retried} attempts were lost with it",
        took.as_secs_f64()
    ));
    row.end().await
}

async fn quorum_lost(ctx: Ctx) -> Result<Evidence> {
    let mut row = Machines::begin(&ctx, 3).await?;
    row.load(ctx.of(6, 12), 2.0).await?;
    row.until_runs_on("g1").await?;
    let leader = row.world.lab.leader().await?;
    let mut others = ["m1", "m2", "m3"].into_iter().filter(|name| **name != *leader);
    let other = others.next().context("three managers")?;
    let fault = row.fault("two of three managers are killed");
    row.world.lab.kill(&leader).await?;
    row.world.lab.kill(other).await?;
    wait::until("no manager knows the nodes", NOTICED, || async {
        Ok(row.world.lab.nodes().await?.is_empty().then_some(()))
    })
    .await?;
    let ended = row.history().ended();
    row.load(ctx.of(4, 10), 2.0).await?;
    // Participants notice nothing but that they wait.
    row.until_accepted(row.posted()).await?;
    row.until_passed(WITHOUT_QUORUM).await?;
    let meanwhile = row.history().ended() - ended;
    let posted = row.posted();
    row.expect(row.history().ended() < posted, "all has ended, and nobody could start anything");
    row.figure(format!("{meanwhile} ended while there was no quorum, of {posted}"));
    for host in [leader.as_str(), other] {
        row.world.lab.start(host).await?;
    }
    row.world.lab.leader().await?;
    row.over(fault);
    row.until_ended(row.posted()).await?;
    let retried = retried(&row).await?;
    row.figure(format!("{retried} attempts were lost"));
    row.end().await
}

/// A way between a grader and the rest that nothing passes any more, as a rule of its packet filter.
const WAYS: [(&str, &str); 3] = [
    ("no data passes", "udp dport 4789"),
    ("no gossip passes", "meta l4proto { tcp, udp } th dport 7946"),
    ("no large packet passes", "udp dport 4789 meta length > 1300"),
];

async fn overlay_cut(ctx: Ctx) -> Result<Evidence> {
    let mut row = Machines::begin(&ctx, 1).await?;
    let mut before = 0;
    for (what, way) in WAYS {
        row.world.until_open(&["g1", "g2"]).await?;
        let large = what.contains("large");
        let fault = row.fault(what);
        let hook =
            |name| format!("add chain inet gone {name} {{ type filter hook {name} priority 0; }}");
        let rule = |name| format!("add rule inet gone {name} {way} counter drop");
        let rules = format!(
            "nft 'add table inet gone; {}; {}; {}; {}'",
            hook("input"),
            hook("output"),
            rule("input"),
            rule("output")
        );
        row.world.lab.must_on("g1", &rules).await?;
        match large {
            true => row.large(ctx.of(6, 12), 2.0).await?,
            false => row.load(ctx.of(6, 12), 2.0).await?,
        }
        row.until_passed(CUT).await?;
        let kept = row.world.lab.must_on("g1", "nft list table inet gone").await?;
        row.world.lab.must_on("g1", "nft delete table inet gone").await?;
        row.over(fault);
        row.expect(dropped(&kept) > 0, format!("{what}: the control: something was dropped"));
        row.until_ended(row.posted()).await?;
        let lost = retried(&row).await?;
        row.figure(format!(
            "{what}: {} packets dropped, {} attempts were lost",
            dropped(&kept),
            lost - before
        ));
        before = lost;
    }
    row.end().await
}

/// How many packets rules with a counter dropped.
fn dropped(listed: &str) -> u64 {
    let counts = listed.split("packets ").skip(1);
    counts.filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok()).sum()
}

/// How many attempts ended without a verdict.
async fn retried(row: &Machines) -> Result<usize> {
    let stored = dump::stored(&row.world.lab.database()?, DATABASE).await?;
    let all = stored.iter().flat_map(|one| &one.attempts);
    let over = all.filter_map(|attempt| attempt.outcome.as_deref());
    Ok(over.filter(|outcome| !matches!(*outcome, "passed" | "failed")).count())
}
