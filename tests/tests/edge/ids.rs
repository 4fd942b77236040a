//! Guessing ids (row W09), and what is for operators only (row W39).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Method;

use super::stage::Stage;

/// How often each is asked when time is taken.
const TIMES: usize = 200;

/// What is not there, what is no id, and what was never anybody's are answered alike.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_seen_looks_like_nothing() -> Result<()> {
    let stage = Stage::set(&[]).await?;
    let client = stage.client()?;
    let id = client.submit(&stage.submission("Ann")).await?.id;
    let uuid = id.replace('-', "");
    ensure!(uuid.len() == 32 && &uuid[12..13] == "7", "a UUIDv7: {id}");
    let mut near = id.clone();
    near.replace_range(35..36, if id.ends_with('0') { "1" } else { "0" });
    let mut bodies = Vec::new();
    for other in [&*near, "00000000-0000-7000-8000-000000000000", "1", "*", "%00", &uuid[..31]] {
        for (method, suffix) in [(Method::GET, ""), (Method::GET, "/live"), (Method::DELETE, "")] {
            let path = format!("/api/v1/submissions/{other}{suffix}");
            let headers = [("authorization", "Bearer wrong")];
            let answer = client.request(method, &path, &headers, None).await?;
            ensure!(answer.status == 404, "{path}: {} {}", answer.status, answer.text);
            let mut body = answer.json.clone();
            body["request_id"].take();
            bodies.push(body.to_string());
        }
    }
    bodies.dedup();
    ensure!(bodies.len() == 1, "{bodies:#?}");
    // No list has what was not made public: only what passed is on the map.
    for path in [
        "/api/v1/events",
        "/api/v1/events/birthday-3/stats",
        "/api/v1/events/birthday-3/pins?bbox=-180,-85,180,85&zoom=14",
    ] {
        let answer = client.get(path).await?;
        ensure!(answer.status == 200 && !answer.text.contains(&id), "{path}: {}", answer.text);
    }
    let near_miss = time(&stage, &near, 404).await?;
    let nothing = time(&stage, "00000000-0000-7000-8000-000000000000", 404).await?;
    let there = time(&stage, &id, 200).await?;
    println!("median time of a near miss {near_miss:?}, of nothing {nothing:?}, of 200 {there:?}");
    stage.end().await
}

async fn time(stage: &Stage, id: &str, status: u16) -> Result<Duration> {
    let client = stage.client()?;
    let mut took = Vec::new();
    for _ in 0..TIMES {
        let answer = client.get(&format!("/api/v1/submissions/{id}")).await?;
        ensure!(answer.status == status, "{}", answer.status);
        took.push(answer.took);
    }
    took.sort_unstable();
    took.get(TIMES / 2).copied().context("times")
}

/// Wrong secrets are counted; then the answer to a good one is the same as to a bad one, for a while.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_not_guessed() -> Result<()> {
    let stage = Stage::set(&[]).await?;
    let (guesser, owner) = (stage.from("127.1.0.1")?, stage.from("127.1.0.2")?);
    let accepted = stage.client()?.submit(&stage.submission("Ann")).await?;
    let secret = accepted.document["secret"].as_str().context("a secret")?;
    let path = format!("/api/v1/submissions/{}", accepted.id);
    let delete = async |who: &super::stage::From, secret: &str| {
        let authorization = format!("Bearer {secret}");
        who.ask(Method::DELETE, &path, &[("authorization", &authorization)], None).await
    };
    for _ in 0..5 {
        ensure!(delete(&guesser, "wrong").await?.0 == 403);
    }
    let mut answers = Vec::new();
    for secret in ["wrong", secret] {
        let (status, headers, mut body) = delete(&guesser, secret).await?;
        ensure!(status == 429 && headers.contains_key("retry-after"), "{status} {body}");
        body["request_id"].take();
        answers.push(body);
    }
    ensure!(answers[0] == answers[1], "{answers:?}");
    ensure!(guesser.ask(Method::DELETE, &path, &[], None).await?.0 == 401, "no guess, no count");
    let log = stage.apis.all[0].process.log();
    ensure!(log.contains("a token or secret was wrong") && !log.contains(secret), "{log}");
    let (status, _, body) = delete(&owner, secret).await?;
    ensure!(status.is_success(), "{status} {body}");
    stage.end().await
}

/// The same for organisers' tokens.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_not_guessed() -> Result<()> {
    let stage = Stage::set(&[]).await?;
    let (guesser, owner) = (stage.from("127.1.0.1")?, stage.from("127.1.0.2")?);
    let other = super::organisers::token(&stage, "Otto", &["--operator"]).await?.text;
    let good = super::organisers::token(&stage, "Olga", &["--operator"]).await?.text;
    let ask = async |who: &super::stage::From, token: &str| {
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", &*authorization)];
        who.ask(Method::GET, "/api/v1/admin/me", &headers, None).await
    };
    let secret = good.rsplit_once('_').context("a secret")?.1;
    let wrong = |n: usize| good.replace(secret, &format!("{n:0width$}", width = secret.len()));
    for n in 0..5 {
        let (status, _, body) = ask(&guesser, &wrong(n)).await?;
        ensure!(status == 401, "{n}: {status} {body}");
    }
    let mut answers = Vec::new();
    for token in [&wrong(5), &good, "guess"] {
        let (status, headers, mut body) = ask(&guesser, token).await?;
        ensure!(status == 429 && headers.contains_key("retry-after"), "{status} {body}");
        body["request_id"].take();
        answers.push(body);
    }
    answers.dedup();
    ensure!(answers.len() == 1, "whoever guesses learns nothing: {answers:?}");
    ensure!(ask(&owner, &good).await?.0 == 200, "elsewhere it is good");
    ensure!(ask(&guesser, &other).await?.0 == 200, "who shares the address is not kept out");
    let log = stage.apis.all[0].process.log();
    ensure!(!log.contains(secret) && !log.contains(&wrong(0)), "tokens are not logged");
    stage.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_operators_listens_elsewhere() -> Result<()> {
    let stage = Stage::set(&[]).await?;
    let client = stage.client()?;
    for path in ["/metrics", "/livez", "/readyz", "/healthz", "/debug", "/api/v1/metrics"] {
        let answer = client.get(path).await?;
        ensure!(answer.status == 404, "{path}: {} {}", answer.status, answer.text);
    }
    for (path, body) in [("/livez", "ok\n"), ("/readyz", "ok\n")] {
        let answer = client.get(&format!("http://{}{path}", stage.apis.all[0].ops)).await?;
        ensure!(answer.status == 200, "{path}: {}", answer.status);
        ensure!(
            answer.text.trim() == body.trim() || answer.text.len() < 16,
            "{path}: {}",
            answer.text
        );
    }
    stage.end().await
}
