//! The contract of 2016: an unchanged client can still submit, and its link shows the status.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portcall_tests::{Event, World, parts::client::Answer};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// As the client of 2016 sent it.
const UNCHANGED: &str = r#"{"name":"Gordon","twitter":"@docker","location":"San Francisco, CA, USA","repo":["example/votingapp_voting-app","example/votingapp_result-app"],"vote":"Cats"}"#;

fn event() -> Event {
    Event::config().aliases(&["vote", "result"])
}

async fn post(world: &World, body: &str) -> Result<Answer> {
    let headers = [("content-type", "application/json")];
    world.client.request(Method::POST, "/competition", &headers, Some(body.into())).await
}

/// The link of a 200, and the document behind it.
async fn follow(world: &World, answer: &Answer) -> Result<(String, Value)> {
    ensure!(answer.status == StatusCode::OK, "{} {}", answer.status, answer.text);
    let link = answer.json["response"].as_str().context("a response link")?;
    ensure!(link.starts_with("http://"), "{link}");
    let id = link.rsplit('/').next().context("an id")?.to_owned();
    let page = world.client.get(link).await?;
    ensure!(page.status == StatusCode::OK, "{link}: {}", page.status);
    let document = world.client.document(&id).await?;
    Ok((id, document))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_body_is_accepted() -> Result<()> {
    // Its registry cannot be reached from a test, which is the registry's fault, not Gordon's.
    let world = World::of(event()).workers(0).allow_registry("docker.io").start().await?;
    let (_, document) = follow(&world, &post(&world, UNCHANGED).await?).await?;
    assert_eq!(document["participant"], json!({ "name": "Gordon", "handle": "@docker" }));
    assert_eq!(document["place"]["label"], "San Francisco, CA, USA");
    assert_eq!(document["answers"]["vote"], "Cats");
    assert_eq!(document["images"].as_array().map(Vec::len), Some(2));
    assert_eq!(document["state"], "queued");
    world.leave().await
}

#[tokio::test(flavor = "multi_thread")]
async fn strings_or_lists_reach_a_verdict() -> Result<()> {
    let world = World::of(event()).start().await?;
    let image = world.app("ok", "Gordon").await?;
    let mut ids = Vec::new();
    for (repo, vote) in [
        (json!(image.reference), json!("Cats")),
        (json!([image.reference, image.reference]), json!(["Cats"])),
    ] {
        let mut body: Value = serde_json::from_str(UNCHANGED)?;
        body["repo"] = repo;
        body["vote"] = vote;
        let (id, _) = follow(&world, &post(&world, &body.to_string()).await?).await?;
        world.client.wait_passed(&id, PATIENCE).await?;
        ids.push(id);
    }
    let stats = world.client.get("/competition/stats").await?;
    assert_eq!(stats.status, StatusCode::OK, "{}", stats.text);
    for id in ids {
        let old = world.client.get(&format!("/competition/{id}")).await?;
        assert_eq!(old.status, StatusCode::OK, "{}", old.text);
        assert!(!old.json.is_null(), "{}", old.text);
    }
    world.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_body_is_a_problem() -> Result<()> {
    let world = World::of(event()).workers(0).start().await?;
    for (field, value) in [
        ("name", json!("")),
        ("repo", json!([])),
        ("repo", json!("NOT A NAME")),
        ("vote", json!("Fish")),
    ] {
        let mut body: Value = serde_json::from_str(UNCHANGED)?;
        body[field] = value;
        let answer = post(&world, &body.to_string()).await?;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}: {}", answer.text);
        let (_, errors) = answer.problem();
        let named = errors.keys().any(|pointer| pointer.starts_with(&format!("/{field}")));
        assert!(named, "{field}: {errors:?}");
    }
    assert_eq!(world.client.of_event("/stats").await?["totals"]["submissions"], 0);
    world.finish().await
}
