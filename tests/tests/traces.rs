//! The trace of a submission from its POST to its verdict, in a collector of OTLP.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portcall_tests::{
    Event, Submission, World,
    parts::collector::{Collector, Span},
    wait,
};
use reqwest::{Method, StatusCode};

const PATIENCE: Duration = Duration::from_secs(60);
const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
const STEPS: [&str; 6] = ["resolving", "pulling", "starting", "probing", "judging", "cleaning"];

/// What was recorded of one submission, when its last step has come.
async fn trace_of(collector: &Collector, id: &str) -> Result<Vec<Span>> {
    wait::until("the whole trace", PATIENCE, async || {
        let spans = collector.spans();
        let grading = spans
            .iter()
            .find(|span| span.attribute("submission.id") == id && span.name == "grading");
        let trace = grading.map(|grading| grading.trace.clone()).unwrap_or_default();
        let own: Vec<Span> = spans.into_iter().filter(|span| span.trace == trace).collect();
        // Each process sends what it has every two seconds.
        let whole = own.iter().any(|span| span.service == "portcall-api")
            && ["grading", "cleaning"]
                .iter()
                .chain(&STEPS)
                .all(|name| own.iter().any(|s| s.name == *name));
        Ok(whole.then_some(own))
    })
    .await
}

fn named<'a>(spans: &'a [Span], name: &str) -> Result<&'a Span> {
    spans.iter().find(|span| span.name == name).with_context(|| format!("no {name} in {spans:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_is_traced_from_its_post_to_its_verdict() -> Result<()> {
    let collector = Collector::start().await?;
    let world = World::of(Event::config())
        .api_setting("PORTCALL_OTLP_ENDPOINT", collector.endpoint())
        .worker_setting("PORTCALL_OTLP_ENDPOINT", collector.endpoint())
        .start()
        .await?;
    let image = world.app("ok", "Gordon").await?;
    let submission = Submission::of("Gordon").image(&image);
    let path = format!("/api/v1/events/{}/submissions", world.event.slug);
    let headers = [("content-type", "application/json"), ("traceparent", GIVEN)];
    let body = submission.body().to_string();
    let answer = world.client.request(Method::POST, &path, &headers, Some(body.into())).await?;
    ensure!(answer.status == StatusCode::ACCEPTED, "{}", answer.text);
    let id = answer.json["id"].as_str().context("an id")?.to_owned();
    world.client.wait_passed(&id, PATIENCE).await?;

    let spans = trace_of(&collector, &id).await?;
    let route = "POST /api/v1/events/{event}/submissions";
    let (request, grading) = (named(&spans, route)?, named(&spans, "grading")?);
    ensure!(request.trace == GIVEN[3..35] && request.parent == GIVEN[36..52], "{request:?}");
    ensure!(grading.parent == request.id, "{grading:?} is no child of {request:?}");
    ensure!(request.service == "portcall-api" && grading.service == "portcall-worker");
    ensure!(request.attribute("http.response.status_code") == "202", "{request:?}");
    let mut before = request.start;
    for name in STEPS {
        let step = named(&spans, name)?;
        ensure!(step.parent == grading.id, "{step:?} is no child of {grading:?}");
        ensure!(
            before <= step.start && step.start <= step.end,
            "{name} is out of order: {spans:#?}"
        );
        before = step.start;
    }
    println!("{} spans:", spans.len());
    for span in &spans {
        let ms = (span.end - span.start) / 1_000_000;
        println!("  {:16} {:44} {ms} ms", span.service, span.name);
    }

    // The control: without a traceparent the trace is one of its own.
    let other =
        world.client.submit(&Submission::of("Moby").image(&world.app("ok", "Moby").await?)).await?;
    world.client.wait_passed(&other.id, PATIENCE).await?;
    let others = trace_of(&collector, &other.id).await?;
    ensure!(others.iter().all(|span| span.trace != GIVEN[3..35]), "{others:#?}");
    ensure!(named(&others, route)?.parent.is_empty(), "{others:#?}");
    world.finish().await
}

/// A collector that is away costs nothing but its spans.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_collector_everything_goes_on() -> Result<()> {
    let nowhere = "http://127.0.0.1:1";
    let world = World::of(Event::config())
        .api_setting("PORTCALL_OTLP_ENDPOINT", nowhere)
        .worker_setting("PORTCALL_OTLP_ENDPOINT", nowhere)
        .start()
        .await?;
    let image = world.app("ok", "Gordon").await?;
    let accepted = world.client.submit(&Submission::of("Gordon").image(&image)).await?;
    world.client.wait_passed(&accepted.id, PATIENCE).await?;
    world.finish().await
}
