//! Row W40: the api does what its document says. schemathesis reads /openapi.json and tries every
//! operation: its examples, the edges of what it takes, shapes at random, chains of requests; and
//! looks at each answer: its status, its type, its headers, its shape, and whether what should be
//! refused is.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use portcall_tests::parts::{
    given,
    process::{Ended, Finished, ask},
};
use serde_json::{Value, json};

use super::{organisers::Organisers, stage::Stage};

/// Fewer requests than that are no look at the whole document.
const REQUESTS: f64 = 5_000.0;
/// After so many rounds there have to be enough.
const MOST_ROUNDS: u64 = 4;
/// What the api counts them as.
const COUNTED: &str = "portcall_http_requests_total";

/// Where nothing listens.
const NOBODY: &str = "127.0.0.1:9";

/// An api, an organiser's token, and an image that the event takes.
async fn world() -> Result<Organisers> {
    // Who sends wrong tokens is not listened to for a while, so each case has an address of its own.
    let trusted = ("PORTCALL_TRUSTED_PROXIES", "127.0.0.0/8");
    let webhooks = ("PORTCALL_PRIVATE_WEBHOOKS", NOBODY);
    Organisers::on(Stage::bare(&[trusted, webhooks]).await?, 1).await
}

fn base(world: &Organisers) -> Result<String> {
    let address = world.stage.apis.all[0].address.context("an api has an address")?;
    Ok(format!("http://{address}"))
}

/// Has schemathesis try what this document says.
async fn tried(world: &Organisers, document: &str, more: &[&str], within: u64) -> Result<Finished> {
    let parts = given::schemathesis()?;
    let ours = given::checkout().join("tests/openapi");
    let shown = |path: &Path| path.display().to_string();
    let environment = [
        ("PYTHONPATH", format!("{}:{}", shown(&parts), shown(&ours))),
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ("TRIED_WITH_IMAGE", world.stage.registry.reference("good")),
        ("TRIED_WITH_TOKEN", world.own.text.clone()),
        ("TRIED_WITH_WEBHOOK", format!("http://{NOBODY}/hook")),
        ("NO_PROXY", "127.0.0.0/8".to_owned()),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let (config, url) = (shown(&ours.join("schemathesis.toml")), base(world)?);
    let mut arguments = vec!["-m", "schemathesis.cli", "--config-file", &config, "run", document];
    arguments.extend(["--url", &url, "--checks", "all", "--no-color"]);
    arguments.extend(more);
    ask(&PathBuf::from("python3"), &arguments, &environment, Duration::from_secs(within)).await
}

/// Two of it at once, which take the two cores of a small machine, and again with other seeds until
/// there were enough requests; a machine that is busy with something else takes more rounds.
#[expect(clippy::print_stdout, reason = "the figures are what the run is for")]
async fn conforms(seconds: u64, least: f64, seed: u64) -> Result<()> {
    let world = world().await?;
    let api = &world.stage.apis.all[0];
    let document = format!("{}/openapi.json", base(&world)?);
    let (before, began) = (api.metric(COUNTED).await?, Instant::now());
    let (mut requests, mut round) = (0.0, 0);
    while requests < least {
        ensure!(round < MOST_ROUNDS, "only {requests} requests in {round} rounds");
        let (shapes, chains) = tokio::try_join!(
            once(&world, &document, "examples,coverage,fuzzing", seconds, seed + 2 * round),
            once(&world, &document, "fuzzing,stateful", seconds, seed + 2 * round + 1),
        )?;
        for finished in [shapes, chains] {
            let good = finished.ended == Ended::Code(0);
            ensure!(good, "it found something:\n{}{}", finished.stdout, finished.stderr);
        }
        requests = api.metric(COUNTED).await? - before;
        round += 1;
    }
    let took = began.elapsed().as_secs();
    println!("schemathesis: {requests} requests in {took} s, seeds from {seed}, no failure");
    world.stage.apis.end().await
}

async fn once(
    world: &Organisers,
    document: &str,
    phases: &str,
    seconds: u64,
    seed: u64,
) -> Result<Finished> {
    let (time, seed) = (seconds.to_string(), seed.to_string());
    let more = ["--phases", phases, "--max-time", &time, "--seed", &seed];
    tried(world, document, &more, seconds * 2 + 60).await
}

#[tokio::test(flavor = "multi_thread")]
async fn w40_the_api_does_what_its_document_says() -> Result<()> {
    conforms(20, 1_500.0, 5).await
}

#[tokio::test(flavor = "multi_thread")]
async fn full_w40_the_api_does_what_its_document_says_for_longer() -> Result<()> {
    conforms(60, REQUESTS, 55).await
}

/// What is said, where in the document, and how.
type Lie<'a> = (&'a str, &'a str, &'a dyn Fn(&mut Value));

/// The control: of a document that tells lies it is found out that it does.
#[tokio::test(flavor = "multi_thread")]
async fn w40_lies_in_the_document_are_found() -> Result<()> {
    let world = world().await?;
    let served = world.stage.client()?.get("/openapi.json").await?.json;
    let get = "/paths/~1api~1v1~1events~1{event}/get";
    let lies: [Lie<'_>; 3] = [
        ("an unmentioned status", get, &|operation| {
            operation["responses"].as_object_mut().map(|all| all.remove("404"));
        }),
        ("another shape", "/components/schemas/EventSummary", &|schema| {
            schema["properties"]["title"] = json!({ "type": "integer" });
        }),
        ("a header that does not come", get, &|operation| {
            operation["responses"]["200"]["headers"]["X-Promised"] =
                json!({ "required": true, "schema": { "type": "string" } });
        }),
    ];
    for (n, (lie, pointer, tell)) in lies.into_iter().enumerate() {
        let mut document = served.clone();
        tell(document.pointer_mut(pointer).with_context(|| pointer.to_owned())?);
        let file = world.stage.apis.dir().join(format!("lie-{n}.json"));
        fs::write(&file, serde_json::to_vec(&document)?)?;
        let file = file.to_str().context("a path that is not UTF-8")?;
        let more = ["--include-operation-id", "getEvent", "--phases", "coverage"];
        let more = [&more[..], &["--seed", "5"]].concat();
        let found = tried(&world, file, &more, 60).await?;
        let told = found.stdout.contains("FAILURES");
        ensure!(found.ended == Ended::Code(1) && told, "{lie}:\n{}{}", found.stdout, found.stderr);
    }
    world.stage.apis.end().await
}
