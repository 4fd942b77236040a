//! Registries that stay ill: nobody is charged, others overtake, and in the end it is said.
//!
//! The pauses between the tries (half a minute, two minutes, up to a quarter of an hour) are looked
//! at, and then cut short in the database; the tries themselves are real.

use std::time::Duration;

use anyhow::{Result, ensure};
use portcall_tests::{
    Event, Recipe,
    parts::{
        client::{Submission, is_final, reason, time_at},
        misbehaving::{Lure, Misbehaving},
        mongo,
        stack::World,
    },
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);
/// The longest pause, in seconds.
const LONGEST: i64 = 15 * 60;

/// F23: limits and failures. With one slot, what waits for its registry lets another one by.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_stays_ill_is_said_in_the_end_and_overtaken() -> Result<()> {
    stay_ill(&[("r429", "registry_limited"), ("r503", "registry_down")]).await
}

/// F21 and F22: silence, and next to no speed.
#[tokio::test(flavor = "multi_thread")]
async fn full_a_registry_that_stalls_is_said_in_the_end_and_overtaken() -> Result<()> {
    stay_ill(&[("stall", "registry_down"), ("slow", "registry_slow")]).await
}

async fn stay_ill(ill: &[(&str, &str)]) -> Result<()> {
    let elsewhere = Lure::start().await?;
    let image = Recipe::hostile("serve")?.env("HOSTILE_NAME", "nobody");
    let registry = Misbehaving::start(&image, &elsewhere).await?;
    let plan = World::of(Event::config()).allow_registry(&registry.host());
    let plan =
        plan.worker_setting("PORTCALL_QUARANTINE", portcall_tests::parts::given::registry()?);
    let world = plan.worker_setting("PORTCALL_SLOTS", 1).start().await?;
    let mut waiting = Vec::new();
    for (name, code) in ill {
        let submission = Submission::of(name).reference(&registry.reference(name));
        let accepted = world.client.submit(&submission).await?;
        delayed(&world, &accepted.id, 1, code).await?;
        waiting.push((accepted.id, *code));
    }
    let honest = world.app("ok", "honest").await?;
    let honest = world.client.submit(&Submission::of("honest").image(&honest)).await?;
    world.client.wait_passed(&honest.id, PATIENCE).await?;
    for (id, code) in &waiting {
        let document = world.client.document(id).await?;
        ensure!(document["delayed"]["reason"] == *code, "it was overtaken: {document:#}");
    }
    for attempt in 2..=3 {
        mongo::hurry(world.database(), &world.name).await?;
        for (id, code) in &waiting {
            match attempt {
                3 => undetermined(&world, id, code).await?,
                _ => delayed(&world, id, attempt, code).await?,
            }
        }
    }
    let totals = &world.client.of_event("/stats").await?["totals"];
    ensure!(totals["failed"] == 0, "somebody was charged: {totals}");
    world.finish().await
}

/// Waits until so many attempts are over and it waits for the next.
async fn delayed(world: &World, id: &str, attempts: usize, code: &str) -> Result<()> {
    let waits = |document: &Value| {
        is_final(document) || (!document["delayed"].is_null() && over(document) == attempts)
    };
    let document = world.client.wait_state(id, PATIENCE, waits).await?;
    ensure!(document["delayed"]["reason"] == code, "at attempt {attempts}: {document:#}");
    let last = format!("/attempts/{}/ended_at", attempts - 1);
    let pause = time_at(&document, "/delayed/next_try")? - time_at(&document, &last)?;
    let least = 30 * 4_i64.pow(u32::try_from(attempts)? - 1) - 1;
    ensure!((least..=LONGEST + 1).contains(&pause.whole_seconds()), "{pause}: {document:#}");
    Ok(())
}

async fn undetermined(world: &World, id: &str, code: &str) -> Result<()> {
    let document = world.client.wait_final(id, PATIENCE).await?;
    ensure!(document["state"] == "undetermined", "{document:#}");
    ensure!(reason(&document) == code, "{document:#}");
    ensure!(document["verdict"]["reason"]["owner"] == "registry", "{document:#}");
    ensure!(over(&document) == 3, "{document:#}");
    Ok(())
}

fn over(document: &Value) -> usize {
    let attempts = document["attempts"].as_array().into_iter().flatten();
    attempts.filter(|attempt| !attempt["ended_at"].is_null()).count()
}
