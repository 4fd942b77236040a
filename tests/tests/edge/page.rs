//! What the page asks for beside the map: the newest pins, the replay, names of images while they are
//! typed, and for organisers the fleet and an event along the time. Every parameter at both of its
//! ends.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use bson::{DateTime, doc};
use mongodb::Client as Mongo;
use portcall_tests::wait;
use reqwest::Method;
use serde_json::{Value, json};

use super::organisers::{Answer, OTHER, OWN, Organisers};

const PATIENCE: Duration = Duration::from_secs(20);

fn of_event(rest: &str) -> String {
    format!("/api/v1/events/{OWN}/{rest}")
}

fn milliseconds(ago: i64) -> DateTime {
    DateTime::from_millis(DateTime::now().timestamp_millis() - ago)
}

async fn get(all: &Organisers, path: &str) -> Result<Answer> {
    all.ask(None, "GET", path, None).await
}

/// Pins at these places, the first the oldest, a minute after one another.
async fn planted(all: &Organisers, places: &[(f64, f64)]) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for (n, (lat, lng)) in places.iter().enumerate() {
        let ago = i64::try_from(places.len() - 1 - n)? * 60_000;
        let fields = doc! {
            "verdict.at": milliseconds(ago), "place.lat": lat, "place.lng": lng,
        };
        ids.push(all.plant_with(&format!("P{n}"), "passed", fields).await?);
    }
    let wanted = places.len();
    wait::until(format!("{wanted} pins on the map"), PATIENCE, || async {
        let map = get(all, &of_event("pins?zoom=0")).await?.good(200)?;
        Ok((map.json["total"] == wanted).then_some(()))
    })
    .await?;
    Ok(ids)
}

fn ids(answer: &Answer) -> Vec<&str> {
    let items = answer.json["items"].as_array().into_iter().flatten();
    items.filter_map(|item| item["id"].as_str()).collect()
}

/// What is refused, with which code; and what is taken.
async fn bounds(
    all: &Organisers,
    base: &str,
    refused: &[(&str, u16, &str)],
    taken: &[&str],
) -> Result<()> {
    for (query, status, code) in refused {
        let path = format!("{base}?{query}");
        let answer = all.ask(Some(&all.own), "GET", &path, None).await?;
        ensure!((answer.status, answer.code()) == (*status, *code), "{path}: {answer:?}");
        ensure!(answer.headers["content-type"] == "application/problem+json", "{path}");
    }
    for query in taken {
        let path = format!("{base}?{query}");
        all.ask(Some(&all.own), "GET", &path, None).await?.good(200).context(path)?;
    }
    Ok(())
}

/// That a client that has it is told so, and one that has something else is sent it.
async fn is_tagged(all: &Organisers, path: &str) -> Result<()> {
    let first = get(all, path).await?.good(200)?;
    ensure!(first.headers["cache-control"] == "private, no-cache", "{:?}", first.headers);
    let tag = first.headers["etag"].to_str()?;
    let again = all.ask_with(0, "GET", path, &[("if-none-match", tag)], None).await?.good(304)?;
    ensure!(again.headers["etag"] == tag && again.json.is_null(), "{again:?}");
    all.ask_with(0, "GET", path, &[("if-none-match", "\"x\"")], None).await?.good(200)?;
    Ok(())
}

/// Every address that the page makes sense of can be reloaded, with the headers of any other answer.
#[tokio::test(flavor = "multi_thread")]
async fn every_address_of_the_page_can_be_reloaded() -> Result<()> {
    let all = Organisers::with(1).await?;
    let client = all.stage.client()?;
    let id = "01900000-0000-7000-8000-000000000000";
    for path in [
        "/".to_owned(),
        format!("/events/{OWN}"),
        format!("/events/{OWN}/submit"),
        format!("/events/{OWN}/board"),
        format!("/submissions/{id}"),
        "/console".to_owned(),
        format!("/console/{OWN}"),
        format!("/console/{OWN}/submissions?q=x&state=failed"),
        format!("/console/{OWN}/submissions/{id}"),
        format!("/console/{OWN}/regrades"),
        format!("/console/{OWN}/regrades/{id}"),
        format!("/console/{OWN}/rules"),
        format!("/console/{OWN}/audit"),
        format!("/console/{OWN}/webhooks"),
    ] {
        let answer = client.get(&path).await?;
        ensure!(answer.status == 200, "{path}: {}", answer.status);
        ensure!(answer.header("content-type") == "text/html; charset=utf-8", "{path}");
        ensure!(answer.header("cache-control") == "no-cache", "{path}");
        ensure!(answer.header("content-security-policy").contains("script-src 'self'"), "{path}");
        ensure!(answer.text.contains("<title>Portcall</title>"), "{path}: {}", answer.text);
        let answer = client.request(Method::POST, &path, &[], None).await?;
        ensure!(answer.status == 405, "POST {path}: {}", answer.status);
    }
    for path in [
        format!("/events/{OWN}/board/x"),
        "/console/".to_owned(),
        format!("/console/{OWN}/x"),
        format!("/console/{OWN}/rules/x"),
        format!("/console/{OWN}/submissions/{id}/x"),
    ] {
        let answer = client.get(&path).await?;
        ensure!(answer.status == 404, "{path}: {}", answer.status);
    }
    all.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_pins_come_first() -> Result<()> {
    let all = Organisers::with(1).await?;
    let empty = get(&all, &of_event("recent")).await?.good(200)?;
    ensure!(empty.json == json!({ "items": [] }), "{}", empty.json);
    let places: Vec<(f64, f64)> = (0..51_u8).map(|n| (f64::from(n), f64::from(n))).collect();
    let mut newest = planted(&all, &places).await?;
    newest.reverse();
    for (query, most) in [("", 20), ("?limit=1", 1), ("?limit=50", 50)] {
        let answer = get(&all, &of_event(&format!("recent{query}"))).await?.good(200)?;
        ensure!(ids(&answer) == newest[..most], "{query}: {}", answer.json);
    }
    // Each is as the map has it.
    let recent = get(&all, &of_event("recent?limit=50")).await?.good(200)?;
    let map = get(&all, &of_event("pins?zoom=14")).await?.good(200)?;
    let features = map.json["features"].as_array().context("features")?;
    for item in recent.json["items"].as_array().context("items")? {
        ensure!(features.contains(item), "{item}");
    }
    is_tagged(&all, &of_event("recent?limit=50")).await?;
    // One that is hidden is not among them.
    let path = format!("/submissions/{}/hide", newest[0]);
    all.ask(Some(&all.own), "POST", &path, None).await?.good(200)?;
    wait::until("the next one is the newest", PATIENCE, || async {
        let answer = get(&all, &of_event("recent?limit=1")).await?.good(200)?;
        Ok((ids(&answer) == newest[1..2]).then_some(()))
    })
    .await?;
    let refused = [
        ("limit=0", 422, "limit_invalid"),
        ("limit=51", 422, "limit_invalid"),
        ("limit=%2B5", 422, "limit_invalid"),
        ("limit=", 422, "limit_invalid"),
        ("limit=1&limit=2", 400, "duplicate_field"),
        ("after=x", 400, "unknown_field"),
    ];
    bounds(&all, &of_event("recent"), &refused, &["limit=1", "limit=50"]).await?;
    let nowhere = get(&all, "/api/v1/events/nowhere/recent").await?.good(404)?;
    ensure!(nowhere.code() == "not_found", "{}", nowhere.json);
    all.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_counts_every_pin_once() -> Result<()> {
    let all = Organisers::with(1).await?;
    let empty = get(&all, &of_event("replay")).await?.good(200)?;
    let expected = json!({
        "event": OWN, "from": null, "to": null, "steps": 240, "total": 0, "places": [], "pins": [],
    });
    ensure!(empty.json == expected, "{}", empty.json);
    let places =
        [(-33.87, 151.21), (48.86, 2.35), (48.86, 2.35), (37.77, -122.42), (-33.87, 151.21)];
    planted(&all, &places).await?;
    let told = wait::until("the replay has them all", PATIENCE, || async {
        let told = get(&all, &of_event("replay?steps=10")).await?.good(200)?;
        Ok((told.json["total"] == 5).then_some(told.json))
    })
    .await?;
    let expected = json!([[151.21, -33.87], [2.35, 48.86], [-122.42, 37.77]]);
    ensure!(told["places"] == expected, "{told}");
    // Four minutes in ten steps: a pin a minute is one every two and a half of them. The store's times
    // are some milliseconds off each other, which may be the end of a step.
    let pins = told["pins"].as_array().context("pins")?;
    let of = |n: usize| pins[n].as_array().cloned().unwrap_or_default();
    ensure!(pins.len() == 5 && of(0) == [0, 0, 1] && of(4) == [9, 0, 1], "{told}");
    let places: Vec<&Value> = pins.iter().map(|pin| &pin[1]).collect();
    ensure!(places == [0, 1, 1, 2, 0], "{told}");
    let counted: u64 = pins.iter().filter_map(|pin| pin[2].as_u64()).sum();
    ensure!(counted == 5 && told["steps"] == 10, "{told}");
    ensure!(told["from"].is_string() && told["to"].is_string(), "{told}");
    is_tagged(&all, &of_event("replay")).await?;
    let refused = [
        ("steps=9", 422, "steps_invalid"),
        ("steps=601", 422, "steps_invalid"),
        ("steps=10.5", 422, "steps_invalid"),
        ("steps=ten", 422, "steps_invalid"),
        ("step=10", 400, "unknown_field"),
    ];
    bounds(&all, &of_event("replay"), &refused, &["steps=10", "steps=600"]).await?;
    get(&all, "/api/v1/events/nowhere/replay").await?.good(404)?;
    all.end().await
}

/// A name is told what a submission with it is told, as far as its letters go: no registry is asked.
#[tokio::test(flavor = "multi_thread")]
async fn names_of_images_are_checked_as_a_submissions_are() -> Result<()> {
    let all = Organisers::with(1).await?;
    let check = async |name: &str| -> Result<Value> {
        let mut query = url(name);
        query.insert_str(0, &of_event("images/check?ref="));
        let answer = get(&all, &query).await?.good(200)?;
        ensure!(answer.json["ref"] == name, "{}", answer.json);
        Ok(answer.json)
    };
    let hosts = (all.stage.registry.host(), all.stage.silent.host());
    let long = format!("{}/{}", hosts.0, "x".repeat(600));
    for name in ["Nope", "", " ", "https://x/y", "a b", "evil.test/x", "x@sha256:1", "é", &long] {
        let told = check(name).await?;
        let submission = all.stage.submission("Ann").with("/images", json!([name]));
        let posts = of_event("submissions");
        let posted = all.ask(None, "POST", &posts, Some(submission.body())).await?.good(422)?;
        let error = &posted.json["errors"][0];
        ensure!(error["pointer"] == "/images/0", "{name}: {}", posted.json);
        for key in ["code", "detail"] {
            ensure!(told["problem"][key] == error[key], "{name}: {told} {error}");
        }
        ensure!(told["problem"]["hint"] == error["hint"], "{name}: {told} {error}");
        let denied = name == "evil.test/x";
        let canonical = if denied { json!("evil.test/x:latest") } else { Value::Null };
        ensure!(told["canonical"] == canonical, "{told}");
    }
    // There is no such image; what would find that out is not asked.
    for host in [&hosts.0, &hosts.1] {
        let told = check(&format!("{host}/nobody/has-this")).await?;
        let expected = format!("{host}/nobody/has-this:latest");
        ensure!(told["canonical"] == expected && told["problem"].is_null(), "{told}");
    }
    ensure!(all.stage.silent.asked() == 0, "a registry was asked");
    let (most, more) = (format!("ref={}", "x".repeat(1000)), format!("ref={}", "x".repeat(1001)));
    let refused = [
        ("", 422, "required"),
        (&more, 422, "too_long"),
        ("ref=a&ref=b", 400, "duplicate_field"),
        ("ref=a&image=b", 400, "unknown_field"),
    ];
    bounds(&all, &of_event("images/check"), &refused, &[&most]).await?;
    get(&all, "/api/v1/events/nowhere/images/check?ref=nginx").await?.good(404)?;
    all.end().await
}

fn url(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

/// Every token sees the fleet, and no address of a machine in it.
#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_is_shown_without_addresses() -> Result<()> {
    let all = Organisers::with(1).await?;
    let empty = all.ask(Some(&all.own), "GET", "/fleet", None).await?.good(200)?;
    let expected = json!({ "slots": 0, "busy": 0, "workers": [], "nodes": [] });
    ensure!(empty.json == expected, "{}", empty.json);
    let (uri, database) = all.stage.apis.database();
    let database = Mongo::with_uri_str(uri).await?.database(database);
    let (live, silent) = (bson::Uuid::new(), bson::Uuid::new());
    for (id, name, ago) in [(live, "w1", 0), (silent, "w2", 600_000)] {
        let worker = doc! {
            "_id": id, "name": name, "slots": 3_i64, "beat": 9_i64, "seen_at": milliseconds(ago),
        };
        database.collection("workers").insert_one(worker).await?;
    }
    let node = doc! {
        "_id": "w1 tcp://10.9.8.7:2376", "worker": live, "worker_name": "w1",
        "post": "tcp://10.9.8.7:2376", "slots": 3_i64, "open": 3_i64, "busy": 1_i64, "room": bson::Bson::Null,
        "duty": "down",
        "node": {
            "name": "g1", "id": "10.9.8.7", "engine": "28", "api": "1.47", "platform": "linux/amd64",
            "cpus": 2_i64, "memory": 1_i64, "cgroup": 2_i64, "runtime": "runc", "runtimes": ["runc"],
            "security": [], "warnings": ["10.9.8.7"],
        },
        "disk": bson::Bson::Null,
        "canary": {
            "outcome": "passed", "at": milliseconds(5), "differences": [],
            "trouble": "no route to 10.9.8.7", "ordered": 0_i64,
        },
        "state": "fit", "why": "node g1 is not to be reached: dial tcp 10.9.8.7:2376: timeout",
        "seen_at": milliseconds(0),
    };
    database.collection("nodes").insert_one(node).await?;
    all.plant_with("Busy", "queued", doc! { "state": "grading", "worker": live }).await?;
    for token in [&all.own, &all.theirs, &all.operator] {
        let fleet = all.ask(Some(token), "GET", "/fleet", None).await?.good(200)?;
        ensure!(!fleet.json.to_string().contains("10.9.8.7"), "{}", fleet.json);
        let fleet = fleet.json;
        ensure!(fleet["slots"] == 3 && fleet["busy"] == 1, "only who lives has slots: {fleet}");
        let named: Vec<&Value> =
            fleet["workers"].as_array().context("workers")?.iter().map(|w| &w["name"]).collect();
        ensure!(named == ["w1", "w2"], "{fleet}");
        ensure!(fleet["workers"][0]["busy"] == 1 && fleet["workers"][1]["busy"] == 0, "{fleet}");
        let node = &fleet["nodes"][0];
        ensure!(node["name"] == "g1" && node["takes_work"] == false, "{fleet}");
        ensure!(node["duty"] == "down" && node["canary"] == "passed", "{fleet}");
        let why = node["why"].as_str().context("why")?;
        ensure!(why.starts_with("node g1 is not to be reached: dial tcp "), "{why}");
    }
    bounds(&all, "/fleet", &[], &[""]).await?;
    all.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_along_the_time_counts_by_verdict() -> Result<()> {
    let all = Organisers::with(1).await?;
    let path = format!("/events/{OWN}/history");
    let ask = async |query: &str| -> Result<Value> {
        let path = format!("{path}?{query}");
        Ok(all.ask(Some(&all.own), "GET", &path, None).await?.good(200)?.json)
    };
    let usual = ask("").await?;
    let buckets = usual["buckets"].as_array().context("buckets")?;
    ensure!(buckets.len() == 48 && usual["step_s"] == 3600 && usual["event"] == OWN, "{usual}");
    let times: Vec<&str> = buckets.iter().filter_map(|bucket| bucket["at"].as_str()).collect();
    ensure!(times.len() == 48 && times.is_sorted() && times[0] != times[47], "{times:?}");

    let day = 86_400_000;
    for (state, ago) in
        [("passed", 0), ("failed", 0), ("failed", 2 * day), ("undetermined", 3 * day)]
    {
        let at = doc! { "verdict.at": milliseconds(ago), "created_at": milliseconds(4 * day) };
        all.plant_with(state, state, at).await?;
    }
    let queued = all.plant("Queued", "queued").await?;
    let cancel = format!("/submissions/{queued}/cancel");
    all.ask(Some(&all.own), "POST", &cancel, None).await?.good(200)?;
    let told = ask("step_s=86400&buckets=5").await?;
    let count = |pointer: &str| -> Result<Vec<u64>> {
        let buckets = told["buckets"].as_array().context("buckets")?.iter();
        Ok(buckets.map(|b| b.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)).collect())
    };
    for (pointer, expected) in [
        ("/submitted", [4, 0, 0, 0, 1]),
        ("/passed", [0, 0, 0, 0, 1]),
        ("/failed", [0, 0, 1, 0, 1]),
        ("/undetermined", [0, 1, 0, 0, 0]),
        ("/cancelled", [0, 0, 0, 0, 1]),
        ("/reasons/not_listening", [0, 1, 1, 0, 1]),
    ] {
        ensure!(count(pointer)? == expected, "{pointer}: {told}");
    }
    let keys: BTreeMap<String, Value> = serde_json::from_value(told["buckets"][0].clone())?;
    ensure!(keys.len() == 7, "{keys:?}");
    let refused = [
        ("step_s=59", 422, "step_s_invalid"),
        ("step_s=86401", 422, "step_s_invalid"),
        ("buckets=0", 422, "buckets_invalid"),
        ("buckets=201", 422, "buckets_invalid"),
        ("buckets=x", 422, "buckets_invalid"),
        ("from=x", 400, "unknown_field"),
    ];
    let taken = ["step_s=60&buckets=1", "step_s=86400&buckets=200"];
    bounds(&all, &path, &refused, &taken).await?;
    let other = all.ask(Some(&all.own), "GET", &format!("/events/{OTHER}/history"), None).await?;
    ensure!((other.status, other.code()) == (403, "not_yours"), "{other:?}");
    let nowhere = all.ask(Some(&all.operator), "GET", "/events/nowhere/history", None).await?;
    ensure!((nowhere.status, nowhere.code()) == (404, "not_found"), "{nowhere:?}");
    all.end().await
}
