//! `portcall rehearse` on a whole system: its report is what the database has, a wrong verdict makes it
//! fail, and nothing of it is left, however it ends.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use bson::Document;
use portcall_tests::{
    Event, World,
    parts::{
        given, mongo,
        process::{Ended, Finished, Process},
    },
    wait,
};
use reqwest::StatusCode;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(150);
const SHADOW: &str = "birthday-3-rehearsal-1";

/// A rehearsal of the world's event, with these arguments.
fn start(world: &World, arguments: &[&str]) -> Result<Process> {
    let address = world.apis[0].address.context("an api with an address")?;
    let (app, hostile) = (given::static_program("app")?, given::static_program("hostile")?);
    let settings = [
        ("PORTCALL_MONGODB_URI", world.database().to_owned()),
        ("PORTCALL_MONGODB_DATABASE", world.name.clone()),
        ("PORTCALL_PUBLIC_URL", format!("http://{address}")),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value));
    let programs = ["--app-bin", path(&app)?, "--hostile-bin", path(&hostile)?];
    let fixed = ["rehearse", "--event", &world.event.slug];
    let arguments = [&fixed[..], &programs, arguments].concat();
    Process::start_apart(
        "rehearse",
        &given::program("portcall")?,
        &arguments,
        &settings,
        world.dir(),
    )
}

fn path(path: &std::path::Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

async fn rehearse(world: &World, arguments: &[&str]) -> Result<Finished> {
    start(world, arguments)?.finish(PATIENCE).await
}

/// What the database has of the shadow: its submissions, and how many other documents.
async fn shadow(world: &World) -> Result<(Vec<Document>, usize)> {
    let (mut submissions, mut others) = (Vec::new(), 0);
    for (collection, document) in mongo::dump(world.database(), &world.name).await? {
        let names =
            ["event", "slug", "_id"].map(|field| document.get_str(field).ok() == Some(SHADOW));
        match (collection.as_str(), names.contains(&true)) {
            ("submissions", true) => submissions.push(document),
            (_, true) => others += 1,
            (_, false) => {}
        }
    }
    Ok((submissions, others))
}

async fn nothing_is_left(world: &World) -> Result<()> {
    let (submissions, others) = shadow(world).await?;
    ensure!((submissions.len(), others) == (0, 0), "left: {submissions:#?}, {others} others");
    let answer = world.client.get(&format!("/api/v1/events/{SHADOW}")).await?;
    ensure!(answer.status == StatusCode::NOT_FOUND, "{answer:#?}");
    Ok(())
}

/// The images of submissions, as paths of the registry's API.
fn manifests(submissions: &[Document]) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for submission in submissions {
        for image in submission.get_array("images")? {
            let reference = image.as_document().context("an image")?.get_str("ref")?;
            let (host, rest) = reference.split_once('/').context("a host")?;
            let (name, digest) = rest.split_once('@').context("a digest")?;
            paths.push(format!("http://{host}/v2/{name}/manifests/{digest}"));
        }
    }
    Ok(paths)
}

async fn there(manifests: &[String]) -> Result<usize> {
    let (client, mut there) = (reqwest::Client::builder().no_proxy().build()?, 0);
    for manifest in manifests {
        let kind = "application/vnd.docker.distribution.manifest.v2+json";
        let answer = client.head(manifest).header("accept", kind).send().await?;
        there += usize::from(answer.status() == StatusCode::OK);
    }
    Ok(there)
}

/// The time that half of those are done within, of those that have that step.
fn median(submissions: &[Document], step: &str) -> Option<i64> {
    let of = |submission: &Document| -> Option<i64> {
        let attempts = submission.get_array("attempts").ok()?;
        let steps = attempts.last()?.as_document()?.get_array("steps").ok()?;
        let mut steps = steps.iter().filter_map(|step| step.as_document());
        steps.find(|one| one.get_str("step").ok() == Some(step))?.get_i64("ms").ok()
    };
    let mut times: Vec<i64> = submissions.iter().filter_map(of).collect();
    times.sort_unstable();
    times.get(times.len().div_ceil(2).checked_sub(1)?).copied()
}

#[tokio::test(flavor = "multi_thread")]
async fn its_report_is_what_the_database_has() -> Result<()> {
    let world = World::of(Event::config()).start().await?;
    let load = ["--rate", "4/s", "--for", "6s", "--hostile", "0.2"];
    let refused = rehearse(&world, &load).await?;
    assert_eq!(refused.ended, Ended::Code(64), "{refused:#?}");
    assert!(refused.stderr.contains("--while-open"), "{refused:#?}");
    let foreign = ["--while-open", "--api", "http://192.0.2.1:8080"];
    let refused = rehearse(&world, &[&load[..], &foreign].concat()).await?;
    assert_eq!(refused.ended, Ended::Code(64), "{refused:#?}");
    assert!(refused.stderr.contains("--yes-really"), "{refused:#?}");
    nothing_is_left(&world).await?;

    let file = world.dir().join("report.json");
    let wanted = ["--while-open", "--keep", "--json", path(&file)?];
    let told = rehearse(&world, &[&load[..], &wanted].concat()).await?;
    assert_eq!(told.ended, Ended::Code(0), "{told:#?}");
    println!("{}", told.stdout);
    let report: Value = serde_json::from_str(&fs::read_to_string(&file)?)?;
    let (submissions, _) = shadow(&world).await?;
    let of =
        |state: &str| submissions.iter().filter(|s| s.get_str("state").ok() == Some(state)).count();
    assert_eq!((&report["accepted"], submissions.len()), (&24.into(), 24), "{report:#}");
    // Twelve calm ones, two with a mistake; nine that harm nobody, one with a mistake; three attacks.
    assert_eq!((of("passed"), of("failed")), (18, 6), "{report:#}");
    assert_eq!(report["states"], serde_json::json!({ "passed": 18, "failed": 6 }));
    for none in ["lost", "escaped", "wrong"] {
        assert_eq!(report[none], serde_json::json!([]), "{report:#}");
    }
    for step in ["resolving", "pulling", "starting", "probing", "cleaning"] {
        let told = report["times"][step]["p50_ms"].as_i64();
        assert_eq!(told, median(&submissions, step), "{step} of {report:#}");
        assert!(told.is_some(), "{step} was measured");
    }
    assert!(report["needs"]["nodes"].as_u64() >= Some(1), "{report:#}");

    // Nobody sees it who is not told of it, and it is on no other map.
    let listed = world.client.get("/api/v1/events").await?;
    let slugs: Vec<&Value> =
        listed.json["events"].as_array().into_iter().flatten().map(|e| &e["slug"]).collect();
    assert_eq!(slugs, [&Value::from("birthday-3")]);
    let stats = world.client.of_event("/stats").await?;
    assert_eq!(stats["totals"]["passed"], 0, "{stats:#}");
    wait::until("the control: its own numbers have them", PATIENCE, || async {
        let own = world.client.get(&format!("/api/v1/events/{SHADOW}/stats")).await?;
        Ok((own.json["totals"]["passed"] == 18).then_some(()))
    })
    .await?;

    let images = manifests(&submissions)?;
    assert_eq!(there(&images).await?, 24, "the control: they are there");
    let again = rehearse(&world, &[&load[..], &["--while-open"]].concat()).await?;
    assert_eq!(again.ended, Ended::Code(1), "{again:#?}");
    assert!(again.stderr.contains("--clean"), "one at a time: {again:#?}");
    let cleaned = rehearse(&world, &["--clean"]).await?;
    assert_eq!(cleaned.ended, Ended::Code(0), "{cleaned:#?}");
    // What has a mistake in it is the same image, whoever made it.
    assert!(cleaned.stdout.contains("24 submissions and 22 images"), "{cleaned:#?}");
    assert_eq!(there(&images).await?, 0);
    nothing_is_left(&world).await?;
    world.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_should_pass_and_fails_is_said() -> Result<()> {
    let world = World::of(Event::config()).start().await?;
    let image = world.app("wrong-json", "Gordon").await?;
    let load = ["--rate", "2/s", "--for", "3s", "--hostile", "0", "--while-open"];
    let told = rehearse(&world, &[&load[..], &["--image", &image.reference]].concat()).await?;
    assert_eq!(told.ended, Ended::Code(1), "{told:#?}");
    assert!(told.stdout.contains("wrong verdicts   6\n"), "{told:#?}");
    assert!(told.stdout.contains("a good image is failed (rule_failed:config)"), "{told:#?}");
    assert!(told.stderr.contains("not ready"), "{told:#?}");
    nothing_is_left(&world).await?;

    // The control: with an image that passes it is content.
    let image = world.app("ok", "Gordon").await?;
    let told = rehearse(&world, &[&load[..], &["--image", &image.reference]].concat()).await?;
    assert_eq!(told.ended, Ended::Code(0), "{told:#?}");
    assert!(told.stdout.contains("6 passed, 0 failed"), "{told:#?}");
    nothing_is_left(&world).await?;
    world.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_rehearsal_leaves_nothing() -> Result<()> {
    let world = World::of(Event::config()).start().await?;
    let process = start(&world, &["--rate", "4/s", "--for", "2m", "--while-open"])?;
    let submissions = wait::until("three are sent", PATIENCE, || async {
        let (submissions, _) = shadow(&world).await?;
        Ok((submissions.len() >= 3).then_some(submissions))
    })
    .await
    .with_context(|| process.log())?;
    let images = manifests(&submissions)?;
    assert_eq!(there(&images).await?, images.len(), "the control: they are there");
    process.interrupt()?;
    let told = process.finish(PATIENCE).await?;
    assert_eq!(told.ended, Ended::Code(1), "{told:#?}");
    assert!(told.stderr.contains("stopped; nothing is left behind"), "{told:#?}");
    assert_eq!(told.stdout, "", "no report");
    assert_eq!(there(&images).await?, 0);
    nothing_is_left(&world).await?;
    world.finish().await
}
