//! The majority of the database is gone (row K26): what only reads goes on from memory and says as of when it
//! is, nobody who posts is held for ever, and when the database is back so is everything, without a restart.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portcall_tests::{
    Event, Submission,
    parts::{
        apis::Apis,
        balancer::{Balancer, Behind, Retries},
        client::{Answer, Client},
        mongo::{self, ReplicaSet, Said},
        names::Names,
        silent::Silent,
    },
    wait,
};
use serde_json::Value;

use super::streams::reader::Browser;

const PATIENCE: Duration = Duration::from_secs(90);
const PINS: &str = "/api/v1/events/birthday-3/pins";
const STATS: &str = "/api/v1/events/birthday-3/stats";
const LIVE: &str = "/api/v1/events/birthday-3/live";
/// What is answered from memory and says as of when it is.
const MARKED: [&str; 2] = [PINS, STATS];
/// What is answered from memory, with its age.
const AGED: [&str; 5] = [
    "/api/v1/events",
    "/api/v1/events/birthday-3",
    "/api/v1/events/birthday-3/recent",
    "/api/v1/events/birthday-3/replay",
    "/competition/stats",
];

#[tokio::test(flavor = "multi_thread")]
async fn reading_goes_on_from_memory_while_the_majority_is_gone() -> Result<()> {
    let mut set = ReplicaSet::start(3).await?;
    let silent = Silent::start().await?;
    let mut apis = Apis::on(&set.uri(), &Event::config(), &[&silent.host()]).await?;
    apis = apis.setting("PORTCALL_ADMISSION_BUDGET_MS", 100).setting("PORTCALL_API_DRAIN_MS", 0);
    apis.start().await?;
    let client = apis.client(0)?;
    let submission = |name: &str| Submission::of(name).reference(&silent.image());
    let passed = client.submit(&submission("Ann")).await?.id;
    let (uri, database) = (set.uri(), apis.database().1.to_owned());
    mongo::settle(&uri, &database, |_| Said::Passed).await?;
    let waits = client.submit(&submission("Bob")).await?.id;
    wait::until("the pin", PATIENCE, || async {
        Ok((client.get(PINS).await?.json["total"] == 1).then_some(()))
    })
    .await?;
    let documents =
        [format!("/api/v1/submissions/{passed}"), format!("/api/v1/submissions/{waits}")];
    let told = told(&client, &documents).await?;
    // The control: nothing is marked while the database answers.
    ensure!(told.iter().all(|answer| answer.headers.get("age").is_none()));
    ensure!(told.iter().all(|answer| answer.json["as_of"].is_null()));
    let base = format!("http://{}", apis.all[0].address.context("an address")?);
    let browser = Browser::at([9, 7, 1], &base)?;
    let mut event = browser.follow(LIVE, None).await?;
    let mut one = browser.follow(&format!("{}/live", documents[1]), None).await?;
    one.until(PATIENCE, |news| news.name == "submission").await?;

    let names = Names::start().await?;
    let balancer = balancer(&apis, &names).await?;
    let primary = set.primary().await?;
    let other = (primary + 1) % 3;
    set.kill(primary)?;
    set.kill(other)?;
    let posted = tokio::spawn({
        let (client, submission) = (apis.client(0)?, submission("Cid"));
        async move { client.post(&submission).await }
    });
    one.until(PATIENCE, |news| news.name == "submission" && news.data["as_of"].is_string()).await?;
    event.until(PATIENCE, |news| news.name == "stats" && news.data["as_of"].is_string()).await?;
    from_memory(&client, &told, &documents).await?;
    // Of what nobody asked for it is not known that there is no such thing.
    let unknown = client.get("/api/v1/submissions/0190f5fe-7c00-7a00-8000-000000000001").await?;
    is_unavailable(&unknown)?;
    let posted = posted.await??;
    is_unavailable(&posted)?;
    ensure!(posted.took < Duration::from_secs(30), "it was held for {:?}", posted.took);

    // By now the balancer has nobody who is ready: who only reads is answered all the same.
    balancer.wait_up(0).await?;
    let through = apis.client_at(&balancer.url())?;
    from_memory(&through, &told, &documents).await?;
    is_unavailable(&through.post(&submission("Eve")).await?)?;

    set.restart(primary)?;
    set.restart(other)?;
    one.until(PATIENCE, |news| news.name == "submission" && news.data["as_of"].is_null()).await?;
    let taken = wait::until("it takes in again", PATIENCE, || async {
        let answer = client.post(&submission("Dan")).await?;
        Ok((answer.status == 202).then_some(answer))
    })
    .await?;
    let id = taken.json["id"].as_str().context("an id")?;
    wait::until("the numbers are of now", PATIENCE, || async {
        let stats = client.get(STATS).await?;
        let (queued, as_of) = (&stats.json["totals"]["queued"], &stats.json["as_of"]);
        Ok((as_of.is_null() && queued.as_u64() >= Some(2)).then_some(()))
    })
    .await?;
    ensure!(client.document(id).await?["state"] == "queued");
    let again = told_of(&client, &documents).await?;
    ensure!(again.iter().all(|answer| answer.headers.get("age").is_none()));
    balancer.wait_up(1).await?;
    ensure!(through.post(&submission("Eve")).await?.status == 202);
    set.settled().await?;
    apis.end().await
}

/// The one that is deployed.
async fn balancer(apis: &Apis, names: &Names) -> Result<Balancer> {
    names.add("tasks.api", apis.ip(0)?);
    let (port, ops_port) = apis.ports();
    let behind = Behind { name: "tasks.api".into(), names: names.address(), port, ops_port };
    let balancer = Balancer::start("balancer", apis.dir(), &behind, Retries::AsDeployed).await?;
    balancer.wait_up(1).await?;
    Ok(balancer)
}

async fn told_of(client: &Client, paths: &[String]) -> Result<Vec<Answer>> {
    let mut all = Vec::new();
    for path in paths {
        let answer = client.get(path).await?;
        ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.text);
        all.push(answer);
    }
    Ok(all)
}

/// Everything that is told from memory: first what is marked, then what has an age only.
async fn told(client: &Client, documents: &[String]) -> Result<Vec<Answer>> {
    let others = MARKED.into_iter().chain(AGED).map(str::to_owned);
    told_of(client, &documents.iter().cloned().chain(others).collect::<Vec<_>>()).await
}

/// It is told as before, and said as of when it is.
async fn from_memory(client: &Client, before: &[Answer], documents: &[String]) -> Result<()> {
    let now = told(client, documents).await?;
    let marked = documents.len() + MARKED.len();
    for (n, (answer, before)) in now.iter().zip(before).enumerate() {
        let age = answer.header("age").parse::<u64>();
        ensure!(age.is_ok_and(|age| age >= 5), "{n}: {:?}", answer.headers);
        ensure!((n < marked) == answer.json["as_of"].is_string(), "{n}: {}", answer.text);
        for field in
            ["state", "participant", "total", "totals", "features", "pins", "slug", "items"]
        {
            let (old, new) = (&before.json[field], &answer.json[field]);
            ensure!(old == new, "{n}: {field} was {old} and is {new}");
        }
        ensure!(answer.json != Value::Null);
    }
    Ok(())
}

fn is_unavailable(answer: &Answer) -> Result<()> {
    let after = answer.header("retry-after").parse::<u64>();
    ensure!(answer.status == 503, "{} {}", answer.status, answer.text);
    ensure!(after.is_ok_and(|seconds| (1..=60).contains(&seconds)), "{:?}", answer.headers);
    Ok(())
}
