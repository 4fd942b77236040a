//! What bad input gets: a clear answer that names the field and the reason, and nothing stored.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, bail, ensure};
use futures::future::try_join_all;
use portcall_tests::{
    Event, Recipe, Registry, Submission, World,
    parts::{
        client::{Accepted, Answer, time_at},
        given, mongo, net,
        process::{self, Ended},
        sick::{Illness, SickRegistry},
    },
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;

const PATIENCE: Duration = Duration::from_secs(60);
/// Promised for the answer to a POST.
const ANSWER: Duration = Duration::from_secs(2);
const REFUSED: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;

/// A change to a good submission, and the field that the answer names.
fn cases() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("/participant/name", json!(""), "/participant/name"),
        ("/participant/name", Value::Null, "/participant/name"),
        ("/participant/name", json!("x".repeat(300)), "/participant/name"),
        ("/participant/name", json!("a\u{202e}b"), "/participant/name"),
        ("/participant/name", json!(7), "/participant/name"),
        ("/participant/handle", json!("not a handle\n"), "/participant/handle"),
        ("/participant/contact", json!("x".repeat(2000)), "/participant/contact"),
        ("/participant/role", json!("admin"), "/participant/role"),
        ("/participant", Value::Null, "/participant"),
        ("/place/label", json!(""), "/place/label"),
        ("/place/lat", json!(91), "/place/lat"),
        ("/place/lng", json!(-181.5), "/place/lng"),
        ("/place/lng", Value::Null, "/place"),
        ("/images", json!([]), "/images"),
        ("/images", json!("app"), "/images"),
        ("/images/0", json!("UPPER/case"), "/images/0"),
        ("/images/0", json!("-v /:/host"), "/images/0"),
        ("/images/0", json!("evil.example/app:1"), "/images/0"),
        ("/answers/vote", json!("Fish"), "/answers/vote"),
        ("/answers/vote", Value::Null, "/answers/vote"),
        ("/answers/colour", json!("red"), "/answers/colour"),
        ("/colour", json!("red"), "/colour"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_field_is_named() -> Result<()> {
    let world = World::of(Event::config()).workers(0).start().await?;
    let image = world.app("ok", "Gordon").await?;
    let mut wrong = Vec::new();
    for (pointer, value, named) in cases() {
        let submission = Submission::of("Gordon").image(&image).with(pointer, value.clone());
        let answer = world.client.post(&submission).await?;
        // A body of another shape is a bad request; a value that cannot be, unprocessable.
        let status = if answer.status == StatusCode::BAD_REQUEST { answer.status } else { REFUSED };
        if let Err(error) = problem(&answer, status, named) {
            wrong.push(format!("{pointer} = {value}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));

    let several = Submission::of("")
        .reference("UPPER/case")
        .with("/place/lat", json!(91))
        .with("/answers/vote", json!("Fish"));
    let (_, errors) = world.client.post(&several).await?.problem();
    assert_eq!(errors.len(), 4, "all at once: {errors:?}");
    nothing_stored(&world).await?;
    world.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_graded_is_refused_at_once() -> Result<()> {
    let world = World::of(Event::config()).workers(0).start().await?;
    let missing = world.registry.missing();
    let cases = [
        (Recipe::app("ok")?.platform("linux", "arm64"), "image_wrong_platform"),
        (Recipe::app("ok")?.platform("windows", "amd64"), "image_wrong_platform"),
        (Recipe::app("ok")?.repeat_layer(64), "image_too_many_layers"),
        (Recipe::app("ok")?.declare_layer_size(513 << 20), "image_too_large"),
        (Recipe::app("ok")?.config("WorkingDir", json!("/proc/self/fd/8")), "image_config_refused"),
        (Recipe::app("ok")?.env("PADDING", &"x".repeat(300_000)), "image_config_refused"),
    ];
    let mut wrong = Vec::new();
    let mut references = vec![(missing, "image_not_found")];
    for (recipe, code) in cases {
        references.push((world.push(&recipe).await?.reference, code));
    }
    for (reference, code) in references {
        let answer = world.client.post(&Submission::of("Gordon").reference(&reference)).await?;
        let checked = problem(&answer, REFUSED, "/images/0");
        let (_, errors) = answer.problem();
        if checked.is_err() || errors.get("/images/0").map(String::as_str) != Some(code) {
            wrong.push(format!("{code}: {} {}", answer.status, answer.text));
        }
        if answer.took >= ANSWER {
            wrong.push(format!("{code}: only after {:?}", answer.took));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    nothing_stored(&world).await?;

    // The other side of the limit.
    let edge = world.push(&Recipe::app("ok")?.repeat_layer(63)).await?;
    world.client.submit(&Submission::of("Gordon").image(&edge)).await?;
    Ok(())
}

/// How a registry can be ill, the reason that is shown, and for how many seconds it is left alone.
const ILL: [(Illness, &str, f64); 3] = [
    (Illness::Silent, "registry_down", 30.0),
    (Illness::Limited(45), "registry_limited", 45.0),
    (Illness::Down, "registry_down", 30.0),
];

async fn ill() -> Result<Vec<SickRegistry>> {
    let behind = Registry::given()?;
    try_join_all(ILL.map(|(illness, ..)| SickRegistry::start(illness, behind.host()))).await
}

/// What is the registry's is not found out at the participant's expense: the answer keeps its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_ill_refuses_nobody() -> Result<()> {
    let sick = ill().await?;
    let event = Event::config().aliases(&["a", "b", "c"]);
    let plan = sick.iter().fold(World::of(event), |p, s| p.allow_registry(&s.host()));
    let world = plan.workers(0).start().await?;
    let image = world.app("ok", "Gordon").await?;
    for (sick, (illness, ..)) in sick.iter().zip(ILL) {
        let submission = Submission::of(&format!("{illness:?}")).reference(&sick.reference(&image));
        let accepted = in_time(&world, &submission).await?;
        let document = world.client.document(&accepted.id).await?;
        for document in [&accepted.document, &document] {
            assert_eq!(document["state"], "queued", "{illness:?}: {document:#}");
            assert_eq!(document["images"][0]["digest"], Value::Null, "{illness:?}: {document:#}");
            assert_eq!(document["verdict"], Value::Null, "{illness:?}: {document:#}");
        }
    }
    // All of them in one submission share the one budget.
    let submission = Submission::of("Molly").reference(&sick[0].reference(&image));
    let submission = submission.reference(&sick[2].reference(&image)).image(&image);
    let accepted = in_time(&world, &submission).await?;
    let digests = (0..3).map(|n| accepted.document["images"][n]["digest"].as_str());
    assert_eq!(digests.collect::<Vec<_>>(), [None, None, Some(image.digest.as_str())]);
    world.leave().await
}

/// Accepted within the promised time; three times are enough for a moment in which the machine had
/// other things to do.
async fn in_time(world: &World, submission: &Submission) -> Result<Accepted> {
    let mut took = Vec::new();
    for _ in 0..3 {
        let accepted = world.client.submit(submission).await?;
        if accepted.took < ANSWER {
            return Ok(accepted);
        }
        took.push(accepted.took);
    }
    bail!("answered only after {took:?}")
}

/// The worker waits for it, says so and until when, and charges nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_ill_delays() -> Result<()> {
    let sick = ill().await?;
    let (world, delayed) = delayed(&sick).await?;
    assert_eq!(delayed.len(), ILL.len());
    world.leave().await
}

/// It is asked again when it was said, which takes half a minute; `--full` alone runs it.
#[tokio::test(flavor = "multi_thread")]
async fn full_a_registry_that_gets_well_is_asked_again() -> Result<()> {
    let sick = ill().await?;
    let (world, delayed) = delayed(&sick).await?;
    sick.iter().for_each(SickRegistry::heal);
    for (id, next_try) in delayed {
        let passed = world.client.wait_passed(&id, PATIENCE).await?;
        assert_eq!(passed["attempts"].as_array().map(Vec::len), Some(2), "{passed:#}");
        assert!(passed["images"][0]["digest"].is_string(), "{passed:#}");
        assert_eq!(passed["delayed"], Value::Null, "{passed:#}");
        let late = time_at(&passed, "/attempts/1/started_at")? - next_try;
        assert!(!late.is_negative(), "{late} before it was said: {passed:#}");
        assert!(late.whole_seconds() < 15, "{late} after it was said: {passed:#}");
    }
    assert_eq!(world.client.of_event("/stats").await?["totals"]["failed"], 0);
    world.finish().await
}

/// A world in which one submission waits for each of the registries, and until when.
async fn delayed(sick: &[SickRegistry]) -> Result<(World, Vec<(String, OffsetDateTime)>)> {
    let plan = sick.iter().fold(World::of(Event::config()), |p, s| p.allow_registry(&s.host()));
    let world = plan.worker_setting("PORTCALL_SLOTS", ILL.len()).start().await?;
    let waiting = sick.iter().zip(ILL).map(|(sick, (illness, reason, seconds))| {
        let world = &world;
        async move {
            let name = format!("{illness:?}");
            let image = world.app("ok", &name).await?;
            let submission = Submission::of(&name).reference(&sick.reference(&image));
            let id = world.client.submit(&submission).await?.id;
            let delayed = |document: &Value| document["delayed"]["reason"] == reason;
            let document = world.client.wait_state(&id, PATIENCE, delayed).await?;
            ensure!(document["state"] == "queued", "{document:#}");
            ensure!(document["delayed"]["detail"].as_str().is_some_and(|d| d.len() > 10));
            let lost = &document["attempts"][0];
            ensure!(lost["outcome"] == "released", "nobody is charged: {document:#}");
            ensure!(lost["reason"]["code"] == reason, "{document:#}");
            ensure!(lost["reason"]["owner"] == "registry", "{document:#}");
            let next_try = time_at(&document, "/delayed/next_try")?;
            let wait = next_try - time_at(&document, "/attempts/0/ended_at")?;
            let about = seconds - 0.5..seconds + 10.0;
            ensure!(about.contains(&wait.as_seconds_f64()), "{wait}: {document:#}");
            Ok((id, next_try))
        }
    });
    let waiting = try_join_all(waiting).await?;
    Ok((world, waiting))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_operators_is_not_on_the_public_side() -> Result<()> {
    let world = World::of(Event::config()).workers(0).start().await?;
    let ops = world.apis[0].ops;
    for path in ["/metrics", "/livez", "/readyz"] {
        let answer = world.client.get(path).await?;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {}", answer.text);
        let there = world.client.get(&format!("http://{ops}{path}")).await?;
        assert_eq!(there.status, StatusCode::OK, "the control: {path}: {}", there.text);
    }
    world.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_none_are_refused() -> Result<()> {
    let world = World::of(Event::config()).workers(0).start().await?;
    let path = "/api/v1/events/birthday-3/submissions";
    let json = [("content-type", "application/json")];
    let post =
        |path: &'static str, headers: &'static [(&'static str, &'static str)], body: Vec<u8>| {
            world.client.request(Method::POST, path, headers, Some(body))
        };
    let deep = format!("{}1{}", "[".repeat(8_000), "]".repeat(8_000));
    for body in [&b"{"[..], b"", b"\xff\xfe", b"null", b"[]", deep.as_bytes()] {
        let answer = world.client.request(Method::POST, path, &json, Some(body.to_vec())).await?;
        assert!(matches!(answer.status.as_u16(), 400 | 422), "{} {}", answer.status, answer.text);
        assert!(!answer.problem().0.is_empty(), "{}", answer.text);
    }
    let text = post(path, &[("content-type", "text/plain")], b"{}".to_vec()).await?;
    assert_eq!(text.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{}", text.text);
    let large = post(path, &[("content-type", "application/json")], vec![b' '; 1 << 20]).await?;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", large.text);
    let nowhere = post(
        "/api/v1/events/nowhere/submissions",
        &[("content-type", "application/json")],
        Submission::of("Gordon").reference("u/app:1").body().to_string().into_bytes(),
    )
    .await?;
    assert_eq!(nowhere.status, StatusCode::NOT_FOUND, "{}", nowhere.text);
    nothing_stored(&world).await?;
    world.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_are_none_are_problems_too() -> Result<()> {
    let world = World::of(Event::config()).workers(0).start().await?;
    for path in [
        "/api/v1/submissions/not-an-id",
        "/api/v1/submissions/01890000-0000-7000-8000-000000000000",
        "/api/v1/nothing",
    ] {
        let answer = world.client.get(path).await?;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {}", answer.text);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
    }
    for query in
        ["bbox=1,2,3&zoom=2", "bbox=-180,-85,180,85&zoom=99", "bbox=a,b,c,d&zoom=2", "zoom=two"]
    {
        let answer = world.client.get(&format!("/api/v1/events/birthday-3/pins?{query}")).await?;
        assert!(matches!(answer.status.as_u16(), 400 | 422), "{query}: {}", answer.text);
    }
    nothing_stored(&world).await?;
    world.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_one_submission() -> Result<()> {
    let world = World::of(Event::config()).start().await?;
    let image = world.app("ok", "Gordon").await?;
    let submission = Submission::of("Gordon").image(&image).key("a-key");
    let first = world.client.post(&submission).await?;
    let again = world.client.post(&submission).await?;
    assert_eq!((first.status, again.status), (StatusCode::ACCEPTED, StatusCode::ACCEPTED));
    assert_eq!(first.json["id"], again.json["id"]);
    let other = Submission::of("Gordon").image(&image).key("a-key");
    let other = other.with("/place/label", serde_json::json!("Berlin, Germany"));
    let conflict = world.client.post(&other).await?;
    assert!(matches!(conflict.status.as_u16(), 409 | 422), "{}", conflict.text);
    assert!(conflict.problem().0.contains("idempotency"), "{}", conflict.text);
    let id = first.json["id"].as_str().unwrap_or_default();
    world.client.wait_passed(id, PATIENCE).await?;
    assert_eq!(world.client.of_event("/stats").await?["totals"]["submissions"], 1);
    world.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn five_may_be_pending_and_a_closed_event_takes_none() -> Result<()> {
    let world = World::of(Event::config()).workers(0).start().await?;
    let image = world.app("ok", "Gordon").await?;
    let submission = Submission::of("Gordon").image(&image);
    for _ in 0..5 {
        world.client.submit(&submission).await?;
    }
    let sixth = world.client.post(&submission).await?;
    assert_eq!(sixth.status, StatusCode::TOO_MANY_REQUESTS, "{}", sixth.text);
    assert!(!sixth.problem().0.is_empty());
    let other = world.client.post(&Submission::of("Molly").image(&image)).await?;
    assert_eq!(other.status, StatusCode::ACCEPTED, "a flood is its author's: {}", other.text);

    for (line, told) in [
        ("closes = 2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
        ("opens = 2090-01-01T00:00:00Z", "2090-01-01T00:00:00Z"),
    ] {
        world.apply(&Event::config().field(line)).await?;
        // An api may know an event for a moment; it must not go on for long.
        let refused = portcall_tests::wait::until("the event is closed", PATIENCE, || async {
            let answer = world.client.post(&Submission::of("Ann").image(&image)).await?;
            Ok((answer.status != StatusCode::ACCEPTED).then_some(answer))
        })
        .await?;
        assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.text);
        assert!(refused.text.contains(told), "it says when: {}", refused.text);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_are_named_before_a_port_opens() -> Result<()> {
    let cases: &[(&str, &str, &str)] = &[
        ("portcall-api", "PORTCALL_API_ADDR", "nowhere"),
        ("portcall-api", "PORTCALL_MONGODB_URI", "http://127.0.0.1"),
        ("portcall-api", "PORTCALL_MONGODB_URI", "mongodb://h:99999/"),
        ("portcall-worker", "PORTCALL_MONGODB_URI", "mongodb://h:99999/"),
        ("portcall-api", "PORTCALL_LOG_FORMAT", "xml"),
        ("portcall-api", "PORTCALL_PUBLIC_URL", "ftp://x"),
        ("portcall-api", "PORTCALL_ADMISSION_BUDGET_MS", "soon"),
        ("portcall-api", "PORTCALL_SLOT", "2"),
        ("portcall-worker", "PORTCALL_SLOTS", "0"),
        ("portcall-worker", "PORTCALL_DOCKER_HOST", "carrier-pigeon://x"),
        ("portcall-worker", "PORTCALL_SLOT_POOL", "8.8.8.0/24"),
        ("portcall-worker", "PORTCALL_LEASE_MS", "1"),
        ("portcall-worker", "PORTCALL_PROBER_BIN", "/nowhere/prober"),
    ];
    let mut wrong = Vec::new();
    for (program, variable, value) in cases {
        let mut settings = vec![((*variable).to_owned(), (*value).to_owned())];
        for name in ["PORTCALL_API_OPS_ADDR", "PORTCALL_WORKER_OPS_ADDR"] {
            settings.push((name.to_owned(), net::free_address()?.to_string()));
        }
        let path: PathBuf = given::program(program)?;
        let (ended, output) = process::run(&path, &[], &settings, PATIENCE).await?;
        if ended != Ended::Code(64) || !output.contains(variable) || output.contains("listening") {
            wrong.push(format!("{program} {variable}={value}: {ended:?}\n{output}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_file_with_five_mistakes_is_told_all_five() -> Result<()> {
    let world = World::of(Event::config()).workers(0).start().await?;
    let toml = Event::config()
        .toml()
        .replace("slug = \"birthday-3\"", "slug = \"Birthday 3\"")
        .replace("ready_s = 4", "ready_secs = 4")
        .replace("name = \"vote\"", "name = \"vo te\"")
        .replace("status = 200", "status = \"ok\"")
        .replace("path = \"$.name\"", "path = \"name[\"");
    let file = world.dir().join("mistakes.toml");
    std::fs::write(&file, &toml)?;
    let (ended, output) = world.portcall(&["event", "apply", &file.to_string_lossy()]).await?;
    assert_eq!(ended, Ended::Code(64), "{output}");
    for wrong in ["slug = \"B", "ready_secs", "\"vo te\"", "\"ok\"", "\"name[\""] {
        let line = 1 + toml.lines().position(|line| line.contains(wrong)).unwrap_or_default();
        assert!(output.contains(&format!("line {line}: ")), "{wrong} (line {line}):\n{output}");
    }
    let stored = mongo::dump(world.database(), &world.name).await?;
    let events = stored.iter().filter(|(collection, _)| collection == "events").count();
    assert_eq!(events, 1, "{stored:#?}");
    world.finish().await
}

/// It is a problem that names this field, and shows nothing of the inside.
fn problem(answer: &Answer, status: StatusCode, pointer: &str) -> Result<()> {
    ensure!(answer.status == status, "{} {}", answer.status, answer.text);
    let kind = answer.header("content-type");
    ensure!(kind == "application/problem+json", "{kind}");
    for field in ["type", "title", "status", "code", "detail"] {
        ensure!(!answer.json[field].is_null(), "no {field}: {}", answer.text);
    }
    let (_, errors) = answer.problem();
    let code = errors.get(pointer);
    ensure!(code.is_some_and(|code| !code.is_empty()), "no {pointer} in {errors:?}");
    ensure!(!answer.text.contains("src/"), "something internal: {}", answer.text);
    Ok(())
}

async fn nothing_stored(world: &World) -> Result<()> {
    let stats = world.client.of_event("/stats").await?;
    ensure!(stats["totals"]["submissions"] == 0, "something is stored: {stats:#}");
    Ok(())
}
