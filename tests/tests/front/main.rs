//! The way in, whole: two apis behind a real balancer on a replica set of three, under a steady load
//! of submissions and with open live streams, while one part after the other is replaced or killed.
//!
//! No worker takes part. What is graded never passes this way, and what happens to it when a worker
//! or a database dies has tests of its own; submissions get their end here by being cancelled.

mod apart;
mod load;
mod rows;
mod streams;

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use bson::doc;
use futures::future::try_join_all;
use portcall_tests::{
    Event, Submission,
    parts::{
        apis::Apis,
        balancer::{Balancer, Behind, Retries},
        client::Client,
        mongo::{self, ReplicaSet},
        names::Names,
        silent::Silent,
    },
    wait,
};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::task::JoinHandle;

use self::{
    load::{Load, Plan, Post, twice},
    rows::{Row, Rows},
    streams::{Followed, follow},
};

const PATIENCE: Duration = Duration::from_secs(60);
/// Until a stream has what it waits for: the whole run.
const RUN: Duration = Duration::from_secs(240);
/// Through the balancer as it is deployed, and through one that never tries again.
const PACE: Duration = Duration::from_millis(50);
const BARE_PACE: Duration = Duration::from_millis(100);
/// How long each POST waits for a registry that says nothing: so several are on their way at once.
const ADMISSION_MS: u32 = 400;
/// Live streams: of one submission each, and of the event.
const FOLLOWED: usize = 80;
const WATCHING: usize = 20;
/// How many of the followed are cancelled while a row's fault lasts.
const CANCELLED: usize = 10;
/// How often a primary steps down, and for how many seconds it may not come back.
const STEPS: usize = 3;
const DOWN_S: i32 = 5;
/// What the driver's own repetition left over.
const FAILED_TRIES: &str = "portcall_store_failed_tries_total";
/// The name that stands for all apis.
const NAME: &str = "tasks.api";

/// Apis that are found by name.
struct Front {
    apis: Apis,
    names: Names,
}

/// A submission that somebody follows, and the secret to cancel it.
struct Own {
    id: String,
    secret: String,
}

impl Front {
    async fn start(uri: &str, registries: &[&str], settings: &[(&str, u32)]) -> Result<Self> {
        let mut apis = Apis::on(uri, &Event::config(), registries).await?;
        for (name, value) in settings {
            apis = apis.setting(name, value);
        }
        Ok(Self { apis, names: Names::start().await? })
    }

    /// One more, found by name once it is ready, as an engine does it.
    async fn add(&mut self) -> Result<usize> {
        let n = self.apis.start().await?;
        self.names.add(NAME, self.apis.ip(n)?);
        Ok(n)
    }

    async fn balancer(&self, name: &str, retries: Retries) -> Result<Balancer> {
        let (port, ops_port) = self.apis.ports();
        let behind = Behind { name: NAME.to_owned(), names: self.names.address(), port, ops_port };
        Balancer::start(name, self.apis.dir(), &behind, retries).await
    }

    /// Another takes the place of one: it is started first, then the old one is told to stop, and
    /// its name goes when it has ended, so that nothing but its readiness tells of that.
    async fn replace(&mut self, old: usize) -> Result<()> {
        self.add().await?;
        self.apis.stop(old).await?;
        self.names.remove(NAME, self.apis.ip(old)?);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn full_nothing_fails_while_apis_are_replaced_and_killed_and_a_primary_dies() -> Result<()> {
    let silent = Silent::start().await?;
    let mut set = ReplicaSet::start(3).await?;
    // All come through the balancer, and so from one address.
    let settings =
        [("PORTCALL_ADMISSION_BUDGET_MS", ADMISSION_MS), ("PORTCALL_STREAMS_PER_ADDRESS", 1000)];
    let mut front = Front::start(&set.uri(), &[&silent.host()], &settings).await?;
    for _ in 0..2 {
        front.add().await?;
    }
    let deployed = front.balancer("deployed", Retries::AsDeployed).await?;
    let bare = front.balancer("bare", Retries::None).await?;
    try_join_all([&deployed, &bare].map(|balancer| balancer.wait_up(2))).await?;
    let client = front.apis.client_at(&deployed.url())?;
    let mut own = submit_own(&client, &silent.image()).await?;
    let streams = follow_all(&deployed, &own);
    wait::until("all streams are open", PATIENCE, || async {
        let open =
            try_join_all(front.apis.all.iter().map(|api| api.metric("portcall_live_streams")));
        Ok((open.await?.iter().sum::<f64>() == (FOLLOWED + WATCHING) as f64).then_some(()))
    })
    .await?;

    let plan = |label, pace| Plan { label, pace, image: silent.image() };
    let load = Load::start(client.clone(), plan("deployed", PACE));
    let bare_client = front.apis.client_at(&bare.url())?;
    let bare_load = Load::start(bare_client, plan("bare", BARE_PACE));
    let mut rows = Rows::default();
    rows.next("quiet");
    load.more(100).await?;
    for (old, name) in ["replace one", "replace the other"].into_iter().enumerate() {
        rows.next(name);
        load.more(20).await?;
        let now = own.split_off(own.len() - CANCELLED);
        tokio::try_join!(front.replace(old), cancel(&client, now))?;
        try_join_all([&deployed, &bare].map(|balancer| balancer.wait_up(2))).await?;
        load.more(40).await?;
    }
    rows.next("kill an api");
    load.more(20).await?;
    front.apis.all[2].process.kill()?;
    cancel(&client, own.split_off(own.len() - CANCELLED)).await?;
    try_join_all([&deployed, &bare].map(|balancer| balancer.wait_up(1))).await?;
    front.apis.restart(2).await?;
    try_join_all([&deployed, &bare].map(|balancer| balancer.wait_up(2))).await?;
    load.more(40).await?;
    rows.next("kill the primary");
    load.more(20).await?;
    let primary = set.primary().await?;
    set.kill(primary)?;
    cancel(&client, own.split_off(own.len() - CANCELLED)).await?;
    let next = set.primary().await?;
    ensure!(next != primary, "another is primary");
    set.restart(primary)?;
    set.settled().await?;
    load.more(40).await?;
    rows.next("primaries step down");
    for _ in 0..STEPS {
        load.more(60).await?;
        step_down(&set).await?;
    }
    load.more(60).await?;
    rows.next("quiet again");
    load.more(60).await?;

    let (posts, bare_posts) = tokio::try_join!(load.stop(), bare_load.stop())?;
    cancel(&client, own).await?;
    let (figures, bare_figures) = (rows.of(&posts), rows.of(&bare_posts));
    rows::print("through the balancer as it is deployed", &figures);
    rows::print("through one that never tries again", &bare_figures);
    let tries = front.apis.all[2..].iter().map(|api| api.metric(FAILED_TRIES));
    let tries = try_join_all(tries).await?.into_iter().sum::<f64>() + 0.0;
    println!("tries of the store that failed and were repeated by the apis that live: {tries}");
    let followed = try_join_all(streams).await?;
    let followed = followed.into_iter().collect::<Result<Vec<_>>>()?;
    nobody_missed_anything(&followed)?;
    requests_went_well(&figures, &bare_figures)?;
    each_is_there_once(&front.apis, posts.iter().chain(&bare_posts)).await?;
    front.apis.end().await
}

/// Nothing failed with one repetition; nothing had to be repeated where apis were replaced in order,
/// not even through a balancer that never tries again; and the control: through that one, the
/// kill is felt.
fn requests_went_well(figures: &[Row], bare: &[Row]) -> Result<()> {
    for row in figures {
        ensure!(row.requests >= 100, "{}: only {} requests", row.name, row.requests);
        ensure!(row.failed.is_empty(), "{}: {:#?}", row.name, row.failed);
    }
    for row in figures.iter().chain(bare).filter(|row| row.name.starts_with("replace")) {
        ensure!(row.again.is_empty(), "{}: {:#?}", row.name, row.again);
    }
    let felt = bare.iter().any(|row| row.name == "kill an api" && !row.again.is_empty());
    ensure!(felt, "the load did not feel the kill");
    Ok(())
}

/// Every stream came to its end, whatever happened between; each began again with all there is.
#[expect(clippy::print_stdout, reason = "the figures are what the run is for")]
fn nobody_missed_anything(followed: &[Followed]) -> Result<()> {
    let sum = |count: fn(&Followed) -> usize| followed.iter().map(count).sum::<usize>();
    let (opened, told) = (sum(|f| f.opened), sum(|f| f.told));
    let (broken, refused) = (sum(|f| f.broken), sum(|f| f.refused.len()));
    println!(
        "{} live streams: opened {opened} times, told to come back {told} times, broken {broken} \
         times, refused {refused} times",
        followed.len()
    );
    ensure!(told > 0, "the control: replaced apis ended streams");
    ensure!(broken > 0, "the control: the killed api broke streams");
    for one in followed {
        ensure!(one.ids.is_sorted(), "it went back: {one:#?}");
        ensure!(one.firsts.iter().all(|name| name == "submission" || name == "hello"), "{one:#?}");
        ensure!(one.firsts.len() == one.opened, "each begins with what there is: {one:#?}");
        let ended = one.last["state"] == "cancelled";
        let after = if ended { StatusCode::NO_CONTENT } else { StatusCode::OK };
        ensure!(one.after == Some(after), "{one:#?}");
    }
    let refusals: Vec<&String> = followed.iter().flat_map(|one| &one.refused).collect();
    ensure!(refusals.is_empty(), "coming back was refused: {refusals:?}");
    Ok(())
}

/// Every acknowledged submission is in the database under its key, and nothing else is.
#[expect(clippy::print_stdout, reason = "the figures are what the run is for")]
async fn each_is_there_once<'a>(apis: &Apis, posts: impl Iterator<Item = &'a Post>) -> Result<()> {
    let (uri, database) = apis.database();
    let mut stored: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (collection, document) in mongo::dump(uri, database).await? {
        if collection == "submissions" {
            let key = document.get_document("idempotency")?.get_str("key")?.to_owned();
            let id = document.get("_id").and_then(|id| match id {
                bson::Bson::Binary(binary) => Some(binary.to_uuid().ok()?.to_string()),
                _ => None,
            });
            stored.entry(key).or_default().push(id.context("a submission without an id")?);
        }
    }
    let mut acknowledged = 0;
    for post in posts {
        let there = stored.remove(&post.key).unwrap_or_default();
        match &post.id {
            Some(id) => ensure!(there == [id.clone()], "{post:#?} is {there:?}"),
            None => ensure!(there.len() <= 1, "{post:#?} is {there:?}"),
        }
        acknowledged += usize::from(post.id.is_some());
    }
    println!("{acknowledged} acknowledged, each in the database once");
    ensure!(stored.len() == FOLLOWED, "nobody sent {stored:?}");
    Ok(())
}

/// The primary gives up its office, and another takes it.
async fn step_down(set: &ReplicaSet) -> Result<()> {
    let old = set.primary().await?;
    mongo::ask(set.address(old), doc! { "replSetStepDown": DOWN_S, "force": true }).await?;
    let new = set.primary().await?;
    ensure!(new != old, "it came back within {DOWN_S} s");
    set.settled().await
}

/// The submissions that are followed.
async fn submit_own(client: &Client, image: &str) -> Result<Vec<Own>> {
    try_join_all((0..FOLLOWED).map(|n| {
        let (client, image) = (client.clone(), image.to_owned());
        async move {
            let key = format!("own-{n}");
            let submission = Submission::of(&format!("Molly {n}")).reference(&image).key(&key);
            let accepted = client.submit(&submission).await?;
            let secret = accepted.document["secret"].as_str().context("a secret")?.to_owned();
            anyhow::Ok(Own { id: accepted.id, secret })
        }
    }))
    .await
}

/// Takes submissions back, by the rule of the load; what was taken back already is.
async fn cancel(client: &Client, all: Vec<Own>) -> Result<()> {
    for own in all {
        let path = format!("/api/v1/submissions/{}", own.id);
        let secret = format!("Bearer {}", own.secret);
        let headers = [("authorization", secret.as_str())];
        let ask = || client.request(Method::DELETE, &path, &headers, None);
        let (tries, _) = twice(StatusCode::NO_CONTENT, ask).await;
        let done = tries.second.as_ref().is_none_or(|why| why.starts_with("409"));
        ensure!(done, "{path}: {tries:?}");
    }
    Ok(())
}

/// Followers of each submission until it is cancelled, and of the event until all are.
fn follow_all(balancer: &Balancer, own: &[Own]) -> Vec<JoinHandle<Result<Followed>>> {
    let base = balancer.url();
    let submissions = own.iter().map(|own| {
        let url = format!("{base}/api/v1/submissions/{}/live", own.id);
        let cancelled = |document: &Value| document["state"] == "cancelled";
        tokio::spawn(async move { follow(url, "submission", cancelled, RUN).await })
    });
    let event = format!("{base}/api/v1/events/birthday-3/live");
    let events = (0..WATCHING).map(|_| {
        let all = |stats: &Value| stats["totals"]["cancelled"] == FOLLOWED;
        let url = event.clone();
        tokio::spawn(async move { follow(url, "stats", all, RUN).await })
    });
    submissions.chain(events).collect()
}
