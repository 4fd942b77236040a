//! What may stand in the fields of a submission: rows W02, W03, W08, W10, W11 and W37, each with its
//! status, its code and where it points to.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use portcall_tests::parts::client::Client;
use reqwest::Method;
use serde_json::{Value, json};

use super::stage::{JSON, POSTS, Stage};

/// A change to a good submission: where, what, and what is answered (status, code, pointer); a status
/// of 202 means that it is taken.
type Row = (&'static str, Value, u16, &'static str, &'static str);

fn names() -> Vec<Row> {
    const AT: &str = "/participant/name";
    let bad = |value: &str, code| (AT, json!(value), 422, code, AT);
    let good = |value: &str| (AT, json!(value), 202, "", "");
    let zalgo = |marks: usize| format!("Z{}", "\u{35c}".repeat(marks));
    vec![
        bad("", "empty"),
        bad("   ", "empty"),
        bad("\u{3000}", "empty"),
        bad(" Ann", "surrounding_space"),
        bad("Ann\u{a0}", "surrounding_space"),
        bad("An\u{0}n", "character_not_allowed"),
        bad("An\nn", "character_not_allowed"),
        bad("An\r\nSet-Cookie: a=b", "character_not_allowed"),
        bad("\u{1b}[31mAnn", "character_not_allowed"),
        bad("An\u{202e}n", "character_not_allowed"),
        bad("An\u{2066}n", "character_not_allowed"),
        bad("An\u{200b}n", "character_not_allowed"),
        bad("\u{feff}Ann", "character_not_allowed"),
        bad("An\u{2028}n", "character_not_allowed"),
        bad("An\u{e000}n", "character_not_allowed"),
        bad("An\u{e0041}n", "character_not_allowed"),
        bad("\u{3164}", "character_not_allowed"),
        bad(&zalgo(5), "too_many_marks"),
        good(&zalgo(4)),
        bad(&"x".repeat(65), "too_long"),
        good(&"x".repeat(64)),
        bad(&"\u{1f469}\u{200d}\u{1f4bb}".repeat(40), "too_long"),
        good("\u{1f469}\u{200d}\u{1f4bb} Ann"),
        good("<b>Ann</b> & \"Co\"; DROP TABLE"),
        good("=1+1"),
        good("{participant.name} $where %s %n ${HOME}"),
        good("аdmin"),
        good("مريم"),
        (AT, json!(null), 422, "required", AT),
        (AT, json!(7), 400, "wrong_type", AT),
        (AT, json!(["Ann"]), 400, "wrong_type", AT),
        (
            "/participant/handle",
            json!("@a b\u{7f}"),
            422,
            "character_not_allowed",
            "/participant/handle",
        ),
        (
            "/participant/contact",
            json!("a\u{0}b"),
            422,
            "character_not_allowed",
            "/participant/contact",
        ),
        ("/answers/why", json!("a\u{202d}b"), 422, "character_not_allowed", "/answers/why"),
        ("/answers/vote", json!("cats"), 422, "answer_not_allowed", "/answers/vote"),
    ]
}

fn places() -> Vec<Row> {
    const LAT: &str = "/place/lat";
    const LNG: &str = "/place/lng";
    let range = |at: &'static str, value: Value| (at, value, 422, "coordinate_out_of_range", at);
    let good = |at: &'static str, value: Value| (at, value, 202, "", "");
    vec![
        range(LAT, json!(90.000_001)),
        range(LAT, json!(-91)),
        good(LAT, json!(90)),
        good(LAT, json!(-90.0)),
        range(LNG, json!(180.000_001)),
        range(LNG, json!(-181)),
        good(LNG, json!(180)),
        good(LNG, json!(-0.0)),
        range(LAT, json!("51.5")),
        range(LAT, json!("NaN")),
        range(LAT, json!([51.5])),
        range(LAT, json!({ "$gt": 0 })),
        range(LAT, json!(true)),
        good(LAT, json!(1.123_456_789_012_345_6)),
        (LNG, Value::Null, 422, "coordinates_incomplete", "/place"),
        (LAT, json!(-122.4), 422, "coordinate_out_of_range", LAT),
        ("/place/label", json!("a\u{202e}b"), 422, "character_not_allowed", "/place/label"),
        ("/place/label", json!("x".repeat(500)), 422, "too_long", "/place/label"),
        ("/place", json!("Berlin"), 400, "wrong_type", "/place"),
        ("/place", json!([51, 0]), 400, "wrong_type", "/place"),
    ]
}

fn shapes() -> Vec<Row> {
    let unknown = |at: &'static str| (at, json!("passed"), 400, "unknown_field", at);
    let operator = |at: &'static str| (at, json!({ "$gt": "" }), 400, "wrong_type", at);
    vec![
        unknown("/state"),
        unknown("/_id"),
        unknown("/id"),
        unknown("/lease"),
        unknown("/verdict"),
        unknown("/attempts"),
        unknown("/created_at"),
        unknown("/order"),
        unknown("/secret"),
        unknown("/marks"),
        unknown("/__proto__"),
        unknown("/participant/key"),
        unknown("/participant/role"),
        unknown("/participant/constructor"),
        unknown("/place/country"),
        unknown("/place/$where"),
        operator("/participant/name"),
        ("/participant", json!({ "$gt": "" }), 400, "unknown_field", "/participant/$gt"),
        operator("/images/0"),
        operator("/answers/vote"),
        operator("/images"),
        ("/answers/$where", json!("1"), 422, "answer_unknown", "/answers/$where"),
        ("/answers/a.b", json!("1"), 422, "answer_unknown", "/answers/a.b"),
        ("/answers", json!([]), 400, "wrong_type", "/answers"),
        ("/images", json!(vec!["a"; 17]), 422, "too_many_images", "/images"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_is_judged_by_itself() -> Result<()> {
    let stage = Stage::set(&[]).await?;
    let client = stage.client()?;
    let (mut wrong, mut good) = (Vec::new(), 0);
    for (n, (at, value, status, code, named)) in
        names().into_iter().chain(places()).chain(shapes()).enumerate()
    {
        let submission = stage.submission(&format!("Ann {n}")).with(at, value.clone());
        let answer = client.post(&submission).await?;
        let (told, errors) = answer.problem();
        let first = errors.iter().next().map(|(at, code)| (at.as_str(), code.as_str()));
        let as_wanted = match status {
            202 => answer.status == 202,
            _ => answer.status == status && told == code && first == Some((named, code)),
        };
        good += u64::from(answer.status == 202);
        if !as_wanted {
            wrong.push(format!("{at} = {value}: {} {}", answer.status, answer.text));
        }
    }
    ensure!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    ensure!(stage.stored().await? == good, "what is refused is not stored");
    stage.end().await
}

/// Text comes back as it was sent, and points rounded to what may be on a map.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_comes_back_as_it_was() -> Result<()> {
    let stage = Stage::set(&[]).await?;
    let client = stage.client()?;
    for name in ["<b>Ann</b> & \"Co\"", "👩\u{200d}💻 Ann", "=HYPERLINK(\"x\")", "مريم"] {
        let accepted = client.submit(&stage.submission(name)).await?;
        let document = client.document(&accepted.id).await?;
        ensure!(document["participant"]["name"] == name, "{document}");
    }
    let precise = stage.submission("Rounded").with("/place/lat", json!(1.123_456_789));
    let precise = precise.with("/place/lng", json!(-0.000_1));
    let document = client.submit(&precise).await?.document;
    ensure!(document["place"]["lat"] == 1.12 && document["place"]["lng"] == 0.0, "{document}");
    ensure!(!document["place"]["lng"].to_string().starts_with('-'), "{document}");
    // A composed letter and its parts are one name: NFC, and said so.
    let parts = client.submit(&stage.submission("Zoe\u{308}")).await?.document;
    ensure!(parts["participant"]["name"] == "Zo\u{eb}", "{parts}");
    stage.end().await
}

/// Bodies that are no JSON of ours, each refused at once. The time is printed; what a reader costs has
/// a unit test.
#[tokio::test(flavor = "multi_thread")]
async fn texts_that_are_made_to_hurt_a_reader() -> Result<()> {
    let stage = Stage::set(&[]).await?;
    let client = stage.client()?;
    let good = stage.submission("Ann").body().to_string();
    let twice = good.replacen('{', r#"{"images":[],"#, 1);
    let inner = good.replacen(r#""name":"#, r#""name":"Bob","n\u0061me":"#, 1);
    let number = |text: &str| good.replacen("37.7749", text, 1);
    let keys: String = (0..1_600).map(|n| format!("\"k{n}\":1,")).collect();
    let rows: Vec<(&str, String, u16, &str)> = vec![
        ("lists", "[".repeat(16_000), 400, "json_malformed"),
        ("objects", "{\"a\":".repeat(3_000), 400, "json_malformed"),
        ("a list", format!("[{}1]", "1,".repeat(8_000)), 400, "wrong_type"),
        ("keys", format!("{{{keys}\"z\":1}}"), 400, "unknown_field"),
        (
            "images",
            good.replacen("\"images\":[", &format!("\"images\":[{}", "\"a\",".repeat(3_000)), 1),
            422,
            "too_many_images",
        ),
        ("a key twice", twice, 400, "duplicate_field"),
        ("a key twice in disguise", inner, 400, "duplicate_field"),
        ("no number", number("NaN"), 400, "json_malformed"),
        ("infinity", number("1e309"), 422, "number_out_of_range"),
        ("a long number", number(&"1".repeat(400)), 422, "number_out_of_range"),
        ("forty digits", number("1.1234567890123456789012345678901234567890"), 202, ""),
        ("a key of 8 KiB", format!("{{\"{}\":1}}", "k".repeat(8_000)), 400, "unknown_field"),
        ("half a letter", good.replacen("Ann", "\\ud800", 1), 400, "json_malformed"),
        ("two", format!("{good}{good}"), 400, "json_malformed"),
        ("a comment", format!("/* */{good}"), 400, "json_malformed"),
        ("nothing", String::new(), 400, "json_malformed"),
        ("null", "null".to_owned(), 400, "wrong_type"),
    ];
    let mut wrong = Vec::new();
    for (name, body, status, code) in rows {
        ensure!(body.len() <= 16 * 1024, "{name} is read: {}", body.len());
        let asked = Instant::now();
        let answer = post(&client, body.into_bytes()).await?;
        println!("{name}: {} in {:.1} ms", answer.status, asked.elapsed().as_secs_f64() * 1e3);
        if answer.status != status || (status != 202 && answer.problem().0 != code) {
            wrong.push(format!("{name}: {} {}", answer.status, answer.text));
        }
        ensure!(answer.text.len() < 4096, "{name}: an answer of {} bytes", answer.text.len());
    }
    ensure!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    stage.end().await
}

/// Whatever a client says about time is not read.
#[tokio::test(flavor = "multi_thread")]
async fn the_time_is_the_servers() -> Result<()> {
    let stage = Stage::set(&[]).await?;
    let client = stage.client()?;
    let before = time::OffsetDateTime::now_utc();
    let headers = [
        JSON,
        ("date", "Fri, 01 Jan 1999 00:00:00 GMT"),
        ("if-unmodified-since", "Fri, 01 Jan 1999 00:00:00 GMT"),
        ("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT"),
        ("x-request-start", "t=1"),
    ];
    let body = stage.submission("Ann").body().to_string().into_bytes();
    let answer = client.request(Method::POST, POSTS, &headers, Some(body)).await?;
    ensure!(answer.status == 202, "{} {}", answer.status, answer.text);
    let created = portcall_tests::parts::client::time_at(&answer.json, "/created_at")?;
    ensure!((created - before).whole_seconds().abs() < 60, "{created}");
    let path = format!("/api/v1/submissions/{}", answer.json["id"].as_str().context("an id")?);
    let read = client.request(Method::GET, &path, &headers[1..], None).await?;
    ensure!(read.status == 200, "{} {}", read.status, read.text);
    stage.end().await
}

async fn post(client: &Client, body: Vec<u8>) -> Result<portcall_tests::parts::client::Answer> {
    client.request(Method::POST, &format!("{POSTS}?again=true"), &[JSON], Some(body)).await
}

/// Places: a name that several have is shown with all of them, and the answer says which was taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_may_be_several_is_shown() -> Result<()> {
    let stage = Stage::set(&[]).await?;
    let client = stage.client()?;
    let found = client.get("/api/v1/places?q=springfield").await?;
    let labels: Vec<&str> = found.json["places"]
        .as_array()
        .context("places")?
        .iter()
        .filter_map(|place| place["label"].as_str())
        .collect();
    let distinct: std::collections::BTreeSet<_> = labels.iter().collect();
    ensure!(labels.len() > 3 && distinct.len() == labels.len(), "{labels:?}");
    let bare = |name: &str, label: &str| {
        let place = json!({ "label": label });
        stage.submission(name).with("/place", place)
    };
    let taken = client.submit(&bare("Ambiguous", "Springfield")).await?.document;
    let place = &taken["place"];
    ensure!(place["lat"].is_f64() && place["lng"].is_f64() && place["country"] == "US", "{place}");
    let same = &found.json["places"][0];
    ensure!(
        close(&place["lat"], &same["lat"]) && close(&place["lng"], &same["lng"]),
        "{place} {same}"
    );
    let exact = client.submit(&bare("Exact", labels[2])).await?.document;
    let wanted = &found.json["places"][2];
    ensure!(close(&exact["place"]["lat"], &wanted["lat"]), "{exact} {wanted}");
    let nowhere = client.submit(&bare("Nowhere", "Xyzzy Plugh 123")).await?.document;
    ensure!(nowhere["place"]["lat"].is_null(), "{nowhere}");
    stage.end().await
}

fn close(a: &Value, b: &Value) -> bool {
    a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| (a - b).abs() < 0.011)
}
