//! `Idempotency-Key` (row W14), and what comes twice without one.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use portcall_tests::{
    Event, Submission,
    parts::{
        client::{Answer, Client},
        given,
        process::{Ended, run},
    },
};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::stage::{JSON, POSTS, Stage, problem};

/// A hundred at once over two apis, pinned and not: one submission, and everybody hears of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_one_submission_however_often_it_comes() -> Result<()> {
    let mut stage = Stage::bare(&[("PORTCALL_ADMISSION_BUDGET_MS", "300")]).await?;
    for _ in 0..2 {
        stage.apis.start().await?;
    }
    let clients = [stage.apis.client(0)?, stage.apis.client(1)?];
    let silent = Submission::of("Silent").with("/answers/why", json!("because"));
    let pinned = stage.submission("Pinned").key("a-key");
    let unpinned = silent.reference(&stage.silent.image()).key("a-key");
    for (n, submission) in [pinned, unpinned].iter().enumerate() {
        for query in ["", "?again=true"] {
            let posts = (0..50).map(|m| clients[m % 2].post_to(query, submission));
            let answers = try_join_all(posts).await?;
            let ids: BTreeSet<&str> =
                answers.iter().filter_map(|a| a.json["id"].as_str()).collect();
            ensure!(ids.len() == 1, "{ids:?}");
            let odd = answers.iter().find(|a| a.status != StatusCode::ACCEPTED);
            ensure!(odd.is_none(), "{odd:?}");
            let new = answers.iter().filter(|a| a.header("idempotent-replay") != "true");
            ensure!(new.clone().count() == usize::from(query.is_empty()), "the others are replays");
            let secrets = answers.iter().filter(|a| a.json["secret"].is_string()).count();
            ensure!(secrets == new.count(), "only the first has the secret");
        }
        ensure!(stage.stored().await? == n as u64 + 1);
    }
    stage.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_key_it_is_and_what_may_be_one() -> Result<()> {
    let stage = Stage::set(&[]).await?;
    let client = stage.client()?;
    let first = client.submit(&stage.submission("Gordon").key("a-key")).await?;
    let other = stage.submission("Gordon").with("/answers/vote", json!("Dogs")).key("a-key");
    problem(&client.post(&other).await?, 422, "idempotency_key_reused")?;
    let theirs = client.post(&stage.submission("Molly").key("a-key")).await?;
    ensure!(theirs.status == 202 && theirs.json["id"] != first.id, "{}", theirs.text);
    // It is kept as long as the submission is, whatever became of that.
    let secret = first.document["secret"].as_str().context("a secret")?;
    let authorization = format!("Bearer {secret}");
    let path = format!("/api/v1/submissions/{}", first.id);
    let headers = [("authorization", &*authorization)];
    client.request(Method::DELETE, &path, &headers, None).await?;
    let again = client.post(&stage.submission("Gordon").key("a-key")).await?;
    ensure!(again.json["id"] == first.id && again.json["state"] == "cancelled", "{}", again.text);

    let body = stage.submission("Ann").body().to_string().into_bytes();
    let long = ["k".repeat(64), "k".repeat(65), "k".repeat(10_000)];
    let rows: [(&[(&str, &str)], u16); 8] = [
        (&[("idempotency-key", &long[0])], 202),
        (&[("idempotency-key", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")], 202),
        (&[("idempotency-key", &long[1])], 400),
        (&[("idempotency-key", &long[2])], 400),
        (&[("idempotency-key", "")], 400),
        (&[("idempotency-key", "a b")], 400),
        (&[("idempotency-key", "k\u{e9}")], 400),
        (&[("idempotency-key", "a"), ("idempotency-key", "a")], 400),
    ];
    for (headers, status) in rows {
        let headers: Vec<_> = headers.iter().copied().chain([JSON]).collect();
        let path = format!("{POSTS}?again=true");
        let answer = client.request(Method::POST, &path, &headers, Some(body.clone())).await?;
        match status {
            202 => ensure!(answer.status == 202, "{headers:?}: {}", answer.text),
            _ => problem(&answer, status, "idempotency_key_invalid")?,
        }
    }
    stage.end().await
}

/// What is the same is shown, and graded again only where that is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_again_is_the_earlier_one() -> Result<()> {
    // What is not looked up in time is not known to be the same.
    let stage = Stage::set(&[("PORTCALL_ADMISSION_BUDGET_MS", "10000")]).await?;
    let client = stage.client()?;
    let submission = stage.submission("Gordon").with("/participant/handle", json!("@gordon"));
    let first = client.post_to("", &submission).await?;
    ensure!(first.status == 202 && first.json["secret"].is_string(), "{}", first.text);
    let id = first.json["id"].as_str().context("an id")?.to_owned();
    let contact = submission.clone().with("/participant/contact", json!("g@example.org"));
    for same in [submission.clone(), contact, submission.clone().key("new-key")] {
        shown(&client.post_to("", &same).await?, &id)?;
    }
    shown(&client.post_to("?again=false", &submission).await?, &id)?;
    let old = json!({
        "name": "Old", "location": "San Francisco, CA, USA", "vote": "Cats",
        "repo": [stage.registry.reference("good")],
    });
    let event = Event::config().slug("birthday-3");
    apply(&stage, &event).await?;
    let links: Vec<String> = try_join_all([(); 2].map(|()| competition(&client, &old))).await?;
    let again = competition(&client, &old).await?;
    ensure!(links.contains(&again), "the same link as before: {links:?} {again}");
    stage.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_same_is_taken_in() -> Result<()> {
    let stage = Stage::set(&[("PORTCALL_ADMISSION_BUDGET_MS", "300")]).await?;
    let client = stage.client()?;
    let gordon = |n: usize| stage.submission(&format!("Gordon {n}"));
    let other = stage.registry.draft().config("/config/Cmd/0", json!("/other"));
    let other = stage.registry.put("other", &other)?;
    let with = |pointer: &'static str, value: serde_json::Value| {
        move |submission: Submission| submission.with(pointer, value.clone())
    };
    let handle = with("/participant/handle", json!("gordon"));
    type Change = Box<dyn Fn(Submission) -> Submission>;
    let rows: [(&str, Change); 6] = [
        ("", Box::new(with("/answers/vote", json!("Dogs")))),
        ("", Box::new(with("/answers/why", json!("why not")))),
        ("", Box::new(with("/place/label", json!("Berlin, Germany")))),
        ("", Box::new(with("/place/lat", json!(1.5)))),
        ("", Box::new(with("/images/0", json!(other)))),
        ("?again=true", Box::new(|submission| submission)),
    ];
    for (n, (query, change)) in rows.iter().enumerate() {
        new(&client.post_to("", &gordon(n)).await?)?;
        new(&client.post_to(query, &change(gordon(n))).await?)?;
    }
    // One participant under two names: answers are judged by the name.
    new(&client.post_to("", &handle(stage.submission("A"))).await?)?;
    new(&client.post_to("", &handle(stage.submission("B"))).await?)?;
    // What is not known cannot be the same.
    let silent = stage.submission("Silent").with("/images/0", json!(stage.silent.image()));
    new(&client.post_to("", &silent).await?)?;
    new(&client.post_to("", &silent).await?)?;
    // What was taken back was not graded.
    let first = client.post_to("", &stage.submission("Back")).await?;
    let authorization = format!("Bearer {}", first.json["secret"].as_str().context("a secret")?);
    let path = format!("/api/v1/submissions/{}", first.json["id"].as_str().context("an id")?);
    let headers = [("authorization", &*authorization)];
    client.request(Method::DELETE, &path, &headers, None).await?;
    new(&client.post_to("", &stage.submission("Back")).await?)?;
    // Under other rules it may come out otherwise.
    new(&client.post_to("", &stage.submission("Rules")).await?)?;
    apply(&stage, &Event::config().answer("why").field("profile = \"strict\"")).await?;
    new(&client.post_to("", &stage.submission("Rules")).await?)?;
    for (query, status, code) in
        [("?again=maybe", 422, "invalid_value"), ("?twice=true", 400, "unknown_field")]
    {
        problem(&client.post_to(query, &stage.submission("Rules")).await?, status, code)?;
    }
    stage.end().await
}

fn shown(answer: &Answer, id: &str) -> Result<()> {
    ensure!(answer.status == StatusCode::OK, "{} {}", answer.status, answer.text);
    ensure!(answer.json["id"] == id && answer.header("duplicate-of") == id, "{}", answer.text);
    let path = format!("/api/v1/submissions/{id}");
    ensure!(answer.header("content-location") == path && answer.header("location") == path);
    ensure!(answer.json["secret"].is_null(), "the secret is not told again: {}", answer.text);
    let note = answer.json["note"].as_str().unwrap_or_default();
    ensure!(note.contains("?again=true"), "it says what to do: {note}");
    ensure!(!answer.text.contains("example.org"), "nothing that is not public: {}", answer.text);
    Ok(())
}

fn new(answer: &Answer) -> Result<()> {
    ensure!(answer.status == StatusCode::ACCEPTED, "{} {}", answer.status, answer.text);
    ensure!(answer.json["secret"].is_string() && answer.json.get("note").is_none());
    Ok(())
}

async fn competition(client: &Client, body: &serde_json::Value) -> Result<String> {
    let body = Some(body.to_string().into_bytes());
    let answer = client.request(Method::POST, "/competition", &[JSON], body).await?;
    ensure!(answer.status == StatusCode::OK, "{}", answer.text);
    Ok(answer.json["response"].as_str().context("a link")?.to_owned())
}

/// Applies other rules to the event of the stage.
async fn apply(stage: &Stage, event: &Event) -> Result<()> {
    let file = stage.apis.dir().join("other.toml");
    std::fs::write(&file, event.toml())?;
    let (uri, database) = stage.apis.database();
    let settings = [("PORTCALL_MONGODB_URI", uri), ("PORTCALL_MONGODB_DATABASE", database)];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (registry, silent) = (stage.registry.host(), stage.silent.host());
    let file = file.to_str().context("a path that is not UTF-8")?;
    let hosts = ["--allow-registry", &registry, "--allow-registry", &silent];
    let arguments: Vec<&str> = ["event", "apply", file].into_iter().chain(hosts).collect();
    let patience = std::time::Duration::from_secs(60);
    let ran = run(&given::program("portcall")?, &arguments, &settings, patience).await?;
    ensure!(ran.0 == Ended::Code(0), "event apply: {ran:?}");
    Ok(())
}
