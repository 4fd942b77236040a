//! Submissions of several images beside such of one, on a grader with more slots than it has
//! processors for: what a swarm does not place is not started before there is room, whoever needs
//! much is not overtaken for ever, and nobody loses an attempt by it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portcall_tests::{
    Event, Lab, Recipe, Submission,
    lab::{
        Plan,
        world::{Portcall, attempts},
    },
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(600);
/// How long an app takes to start, so that they are there at the same time.
const START: Duration = Duration::from_secs(3);
const SLOTS: u32 = 4;
/// The images of a large submission.
const IMAGES: usize = 4;
/// So many large ones, and twice as many small ones between them.
const LARGE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn full_four_images_and_one_share_the_processors_of_a_grader() -> Result<()> {
    let world = start().await?;
    let ids = submit(&world).await?;
    let passed = world.all_passed(&ids, PATIENCE).await?;
    only_waited(&passed)?;
    let counted = attempts(&passed);
    println!("one worker: {counted:?}");
    ensure!(counted.keys().all(|what| what == "passed on g1"), "nobody was put off: {counted:?}");
    world.until_clean().await?;
    world.finish().await
}

/// Each of two workers has half of the grader, and a large submission needs more than that.
#[tokio::test(flavor = "multi_thread")]
async fn full_two_workers_grade_what_is_larger_than_the_part_of_either() -> Result<()> {
    let mut world = start().await?;
    world.start_worker(SLOTS).await?;
    world.until_open(&["g1"]).await?;
    let ids = submit(&world).await?;
    let passed = world.all_passed(&ids, PATIENCE).await?;
    only_waited(&passed)?;
    println!("two workers: {:?}", attempts(&passed));
    world.until_clean().await?;
    world.finish().await
}

/// One grader, on which four containers of the event and no fifth have room.
async fn start() -> Result<Portcall> {
    let plan = Plan { managers: 1, graders: 1, slots: Some(SLOTS), ..Plan::default() };
    let lab = Lab::of(plan).await?;
    let processors = lab.docker("g1")?.info().await?.ncpu.context("no processors")?;
    let limits =
        format!("ready_s = 30\nrequest_s = 5\ncpus = {}.{}", processors / 5, processors % 5 * 2);
    let rule = "{ path = \"$.name\", equals = \"{participant.name}\" }";
    let event = Event::with_check("\"all\"", &[rule]).aliases(&["a", "b", "c", "d"]);
    Portcall::start(lab, &event.limits(&limits), SLOTS, &["g1"]).await
}

async fn submit(world: &Portcall) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for n in 0..LARGE {
        ids.push(one(world, &format!("Large {n}"), IMAGES).await?);
        for small in 0..2 {
            ids.push(one(world, &format!("Small {n} {small}"), 1).await?);
        }
    }
    Ok(ids)
}

/// One submission of so many images.
async fn one(world: &Portcall, name: &str, images: usize) -> Result<String> {
    let recipe = Recipe::app("late-listen")?
        .env("APP_NAME", name)
        .env("APP_DELAY_MS", &START.as_millis().to_string());
    let tag = name.to_lowercase().replace(' ', "-");
    let mut submission = Submission::of(name);
    for image in 0..images {
        submission = submission.image(&world.push(&format!("{tag}:{image}"), &recipe).await?);
    }
    Ok(world.client.submit(&submission).await?.id)
}

/// Nothing went wrong with any attempt: whoever was put off was so for want of room.
fn only_waited(documents: &[Value]) -> Result<()> {
    for attempt in documents.iter().flat_map(|d| d["attempts"].as_array().into_iter().flatten()) {
        let waited = attempt["outcome"] == "released" && attempt["reason"]["code"] == "no_capacity";
        ensure!(attempt["outcome"] == "passed" || waited, "{attempt:#}");
    }
    Ok(())
}
