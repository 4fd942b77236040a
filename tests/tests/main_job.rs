//! The main job: a participant posts an image name, sees a verdict seconds later, and everybody
//! sees the pin.

use std::time::Duration;

use anyhow::{Context, Result};
use portcall_tests::{
    Event, Submission, World,
    parts::client::{Client, time_at},
};
use serde_json::Value;
use time::OffsetDateTime;

/// Promised to a participant on a quiet machine.
const ANSWER: Duration = Duration::from_secs(2);
const VERDICT: Duration = Duration::from_secs(10);
const PIN: Duration = Duration::from_secs(1);

/// Until a test gives up; what is promised is asserted on what was measured.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_is_answered_graded_and_on_the_map_in_time() -> Result<()> {
    let world = World::of(Event::config()).start().await?;
    let (mut answers, mut verdicts, mut pins) = (Vec::new(), Vec::new(), Vec::new());
    for name in ["Gordon", "Moby", "Molly"] {
        let image = world.app("ok", name).await?;
        let accepted = world.client.submit(&Submission::of(name).image(&image)).await?;
        let (client, id) = (world.client.clone(), accepted.id.clone());
        let pin = tokio::spawn(async move { client.wait_pin(&id, PATIENCE).await });
        let document = world.client.wait_passed(&accepted.id, PATIENCE).await?;
        let at = time_at(&document, "/verdict/at")?;
        answers.push(accepted.took);
        verdicts.push(between(time_at(&document, "/created_at")?, at));
        pins.push(between(at, pin.await??));
    }
    println!("answers {answers:?}, verdicts {verdicts:?}, pins {pins:?}");
    assert!(median(answers) < ANSWER);
    assert!(median(verdicts) < VERDICT);
    assert!(median(pins) < PIN);
    world.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_tells_the_whole_story() -> Result<()> {
    let world = World::of(Event::config()).start().await?;
    let image = world.app("ok", "Gordon").await?;
    let submission = Submission::of("Gordon")
        .image(&image)
        .with("/participant/handle", "@docker".into())
        .with("/participant/contact", "gordon@example.com".into());
    let posted = world.client.post(&submission).await?;
    let id = posted.json["id"].as_str().context("an id")?.to_owned();
    assert_eq!(posted.header("location"), format!("/api/v1/submissions/{id}"));
    assert!(posted.json["secret"].as_str().is_some_and(|secret| secret.len() >= 20));
    assert!(posted.json["deadline"].is_string(), "{:#}", posted.json);

    world.client.wait_passed(&id, PATIENCE).await?;
    // The cleaning is noted after the verdict.
    let cleaned = |d: &Value| d["attempts"][0]["steps"][5]["step"] == "cleaning";
    let document = portcall_tests::wait::until("its cleaning is noted", PATIENCE, || async {
        Ok(Some(world.client.document(&id).await?).filter(cleaned))
    })
    .await?;
    assert_eq!(document["images"][0]["digest"], image.digest.as_str());
    assert_eq!(document["images"][0]["platform"], "linux/amd64");
    assert!(document["images"][0]["size"].as_u64().is_some_and(|size| size > 1000));
    assert_eq!(document["verdict"]["outcome"], "passed");
    assert_eq!(document["verdict"]["reason"], Value::Null);
    assert_eq!(document["attempts"].as_array().map(Vec::len), Some(1));
    let attempt = &document["attempts"][0];
    assert_eq!((&attempt["n"], &attempt["generation"]), (&1.into(), &1.into()));
    let steps: Vec<&str> = attempt["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|s| s["step"].as_str())
        .collect();
    assert_eq!(steps, ["resolving", "pulling", "starting", "probing", "judging", "cleaning"]);
    let check = &attempt["evidence"]["checks"][0];
    assert_eq!((&check["name"], &check["passed"]), (&"config".into(), &true.into()));
    let transcripts = check["transcripts"].as_array().context("transcripts")?;
    assert!(transcripts.len() >= 2, "each endpoint is asked at least twice: {transcripts:#?}");
    assert!(transcripts.iter().all(|t| t["status"] == 200), "{transcripts:#?}");
    assert!(!document.to_string().contains("gordon@example.com"), "contact is never public");
    assert_eq!(document["secret"], Value::Null);

    let path = format!("/api/v1/submissions/{id}");
    let first = world.client.get(&path).await?;
    let headers = [("if-none-match", first.header("etag"))];
    let again = world.client.request("GET".parse()?, &path, &headers, None).await?;
    assert_eq!((again.status.as_u16(), again.text.as_str()), (304, ""));
    world.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn live_streams_end_with_the_verdict_and_bring_the_pin() -> Result<()> {
    let world = World::of(Event::config()).start().await?;
    let image = world.app("ok", "Gordon").await?;
    let client = world.client.clone();
    let pin = tokio::spawn(async move {
        client
            .live("/api/v1/events/birthday-3/live", PATIENCE, |text| text.contains("event: pin"))
            .await
    });
    let accepted = world.client.submit(&Submission::of("Gordon").image(&image)).await?;
    let path = format!("/api/v1/submissions/{}/live", accepted.id);
    // It ends by itself after the final state.
    let text = world.client.live(&path, PATIENCE, |_| false).await?;
    let states: Vec<String> = data_of(&text, "submission")
        .filter_map(|document| document["state"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(states.last().map(String::as_str), Some("passed"), "{states:?}");
    assert!(text.contains("\nid:") || text.contains("\nid: "), "{text}");
    let text = pin.await??;
    let features: Vec<Value> = data_of(&text, "pin").collect();
    assert_eq!(features[0]["properties"]["submission"], accepted.id.as_str());
    assert!(data_of(&text, "hello").all(|hello| hello["revision"].is_number()), "{text}");
    world.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_map_and_the_numbers_agree() -> Result<()> {
    let world = World::of(Event::config()).workers(2).start().await?;
    let client = &world.client;
    let places = [("San Francisco, CA, USA", 37.77, -122.42), ("Suva, Fiji", -18.14, 178.44)];
    for (n, name) in ["Ann", "Bob", "Cat", "Dan"].into_iter().enumerate() {
        let image = world.app("ok", name).await?;
        let (label, lat, lng) = places[n % 2];
        let submission = Submission::of(name)
            .image(&image)
            .with("/place", serde_json::json!({ "label": label, "lat": lat, "lng": lng }));
        // Twice, since a participant is one pin.
        for _ in 0..if n == 0 { 2 } else { 1 } {
            let accepted = client.submit(&submission).await?;
            client.wait_passed(&accepted.id, PATIENCE).await?;
            client.wait_state(&accepted.id, PATIENCE, |d| d["state"] == "passed").await?;
        }
    }
    wait_total(client, 4).await?;
    for zoom in 0..=14 {
        let map = client.of_event(&format!("/pins?bbox=-180,-85,180,85&zoom={zoom}")).await?;
        assert_eq!((count(&map), &map["total"]), (4, &4.into()), "zoom {zoom}: {map:#}");
    }
    let whole = client.of_event("/pins?bbox=-180,-85,180,85&zoom=0").await?;
    // Each place's two are one count.
    assert_eq!(whole["features"].as_array().map(Vec::len), Some(2), "{whole:#}");
    let across = client.of_event("/pins?bbox=170,-85,-170,85&zoom=14").await?;
    assert_eq!(count(&across), 2, "a box across the antimeridian: {across:#}");
    let stats = client.of_event("/stats").await?;
    assert_eq!(
        (&stats["totals"]["passed"], &stats["totals"]["submissions"]),
        (&5.into(), &5.into())
    );
    assert_eq!((&stats["pins"], &stats["places"]), (&4.into(), &2.into()));
    assert_eq!(stats["queue"]["workers"], 2);
    world.finish().await
}

async fn wait_total(client: &Client, total: u64) -> Result<()> {
    portcall_tests::wait::until(format!("{total} pins"), PATIENCE, || async {
        let map = client.of_event("/pins?bbox=-180,-85,180,85&zoom=2").await?;
        Ok((map["total"] == total).then_some(()))
    })
    .await
}

fn count(map: &Value) -> u64 {
    let features = map["features"].as_array().into_iter().flatten();
    features.filter_map(|feature| feature["properties"]["count"].as_u64()).sum()
}

/// The data of a stream's events of one name.
fn data_of<'a>(text: &'a str, event: &'a str) -> impl Iterator<Item = Value> + 'a {
    text.split("\n\n").filter_map(move |block| {
        let named =
            block.lines().any(|l| l.strip_prefix("event:").is_some_and(|n| n.trim() == event));
        let data: String = block.lines().filter_map(|l| l.strip_prefix("data:")).collect();
        named.then(|| serde_json::from_str(data.trim()).ok()).flatten()
    })
}

fn between(from: OffsetDateTime, to: OffsetDateTime) -> Duration {
    Duration::try_from(to - from).unwrap_or_default()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
