//! What fails under a stream of submissions: the leader of the managers, a grader, the worker's way to
//! the managers. Each submission ends passed, whoever looks at one is answered, and nothing is left.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use portcall_tests::{
    Event, Lab,
    lab::{
        Plan,
        world::{Portcall, attempts, passed},
    },
    wait,
};
use serde_json::Value;

/// The swarm's heartbeats are seconds apart, and some have to be missed.
const NOTICED: Duration = Duration::from_secs(120);
/// What a grader that went away costs is done again.
const PATIENCE: Duration = Duration::from_secs(420);
/// How long an app takes to start, so that there is a middle to fail in.
const START: Duration = Duration::from_secs(3);

/// How much of it.
struct Scale {
    submissions: usize,
    /// How long the grader's plug is out after the swarm has noticed it.
    cut: Duration,
    /// How long the worker does not reach the managers; none for not at all.
    apart: Option<Duration>,
}

#[tokio::test(flavor = "multi_thread")]
async fn full_a_leader_and_a_grader_fail_and_nobody_notices() -> Result<()> {
    let short = Duration::from_secs(5);
    fails(&Scale { submissions: 8, cut: short, apart: None }).await
}

/// With all of the submissions and times; `--full` alone runs it.
#[tokio::test(flavor = "multi_thread")]
async fn full_a_leader_a_grader_and_the_way_to_them_fail_and_nobody_notices() -> Result<()> {
    let long = Duration::from_secs(120);
    fails(&Scale { submissions: 30, cut: long, apart: Some(Duration::from_secs(60)) }).await
}

async fn fails(scale: &Scale) -> Result<()> {
    let lab = Lab::of(Plan { slots: Some(2), ..Plan::default() }).await?;
    let event = Event::config().limits("ready_s = 20\nrequest_s = 5");
    let world = Portcall::start(lab, &event, 4, &["g1", "g2"]).await?;
    let mut told = Told { scale, at: Instant::now() };
    told.tell("the leader was killed", &the_leader_is_killed(&world, scale).await?);
    told.tell("a grader was cut off", &a_grader_is_cut_off(&world, scale).await?);
    if let Some(apart) = scale.apart {
        let documents = the_worker_is_cut_off(&world, scale, apart).await?;
        told.tell("the worker was cut off", &documents);
    }
    world.until_open(&["g1", "g2"]).await?;
    world.until_clean().await?;
    world.finish().await
}

/// What came of it, printed.
struct Told<'a> {
    scale: &'a Scale,
    at: Instant,
}

impl Told<'_> {
    #[expect(clippy::print_stdout, reason = "what a test measures is printed")]
    fn tell(&mut self, what: &str, documents: &[Value]) {
        let verdicts = documents.iter().filter(|d| d["verdict"]["outcome"] == "passed").count();
        assert_eq!((verdicts, documents.len()), (self.scale.submissions, verdicts), "{what}");
        let (seconds, attempts) = (self.at.elapsed().as_secs(), attempts(documents));
        println!("{what}: {verdicts} passed in {seconds} s; attempts {attempts:?}");
        self.at = Instant::now();
    }
}

/// While submissions are graded; it comes back when they have passed.
async fn the_leader_is_killed(world: &Portcall, scale: &Scale) -> Result<Vec<Value>> {
    let ids = world.submit("Leader", scale.submissions, START).await?;
    world.watch(&ids, PATIENCE, |all| passed(all) > 0 && probing(all) > 0).await?;
    let first = world.lab.leader().await?;
    world.lab.kill(&first).await?;
    let documents = world.all_passed(&ids, PATIENCE).await?;
    ensure!(world.lab.leader().await? != first, "{first} leads, and it is off");
    world.lab.start(&first).await?;
    world.lab.await_state(&first, "ready", NOTICED).await?;
    Ok(documents)
}

/// In the middle of a task of its own; it is back before all have passed, or after.
async fn a_grader_is_cut_off(world: &Portcall, scale: &Scale) -> Result<Vec<Value>> {
    world.until_open(&["g1", "g2"]).await?;
    let ids = world.submit("Grader", scale.submissions, START).await?;
    wait::until("a task runs on g1", PATIENCE, || async {
        let strangers = world.containers("workload").await?;
        Ok(strangers.into_iter().find(|(host, _)| host == "g1"))
    })
    .await?;
    world.lab.cut("g1").await?;
    let noticed = world.lab.await_state("g1", "down", NOTICED);
    let (_, ()) = futures::try_join!(world.watch_for(&ids, Duration::ZERO), noticed)?;
    world.watch_for(&ids, scale.cut).await?;
    world.lab.restore("g1").await?;
    world.lab.await_state("g1", "ready", NOTICED).await?;
    let documents = world.all_passed(&ids, PATIENCE).await?;
    // What a node goes down under has lost an attempt: it might be why.
    let counted = attempts(&documents);
    ensure!(!counted.contains_key("handed_back on g1"), "{counted:?}");
    Ok(documents)
}

/// By rules on its own host: the managers are well, and nobody else notices.
async fn the_worker_is_cut_off(
    world: &Portcall,
    scale: &Scale,
    apart: Duration,
) -> Result<Vec<Value>> {
    world.until_open(&["g1", "g2"]).await?;
    let ids = world.submit("Worker", scale.submissions, START).await?;
    world.watch(&ids, PATIENCE, |all| probing(all) > 0).await?;
    let managers = ["m1", "m2", "m3"].map(|host| world.lab.host(host));
    let managers = managers.into_iter().collect::<Result<Vec<_>>>()?;
    let addresses: Vec<String> = managers.iter().map(|host| host.address.to_string()).collect();
    let rules = format!(
        "nft 'add table ip apart; add chain ip apart out {{ type filter hook output priority 0; }};
         add rule ip apart out ip daddr {{ {} }} drop'",
        addresses.join(", ")
    );
    world.lab.must_on("f", &rules).await?;
    let ping =
        format!("timeout 2 bash -c ': </dev/tcp/{}/2376' && echo open || true", addresses[0]);
    ensure!(world.lab.must_on("f", &ping).await?.is_empty(), "the control: it is cut off");
    world.watch_for(&ids, apart).await?;
    world.lab.must_on("f", "nft delete table ip apart").await?;
    ensure!(world.lab.must_on("f", &ping).await?.contains("open"), "the control: it is not");
    world.all_passed(&ids, PATIENCE).await
}

/// How many of these are being asked.
fn probing(documents: &[Value]) -> usize {
    documents.iter().filter(|document| document["step"] == "probing").count()
}
