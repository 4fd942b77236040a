//! The quarantine in the whole system: what nodes pull, and from where.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portcall_tests::{
    Event, Recipe, Submission, World,
    image::{File, Layer},
    parts::{client::reason, net::free_address, quarantine::Quarantine},
    registry::Image,
    wait,
};

const PATIENCE: Duration = Duration::from_secs(90);

/// The name by which nodes pull an image from the quarantine.
fn kept_name(quarantine: &Quarantine, image: &Image) -> String {
    format!("{}/strangers@{}", quarantine.host(), image.digest)
}

/// The name by which nodes pull an image from where it was pushed.
fn own_name(image: &Image) -> Result<String> {
    let (name, _tag) = image.reference.rsplit_once(':').context("a name with a tag")?;
    Ok(format!("{name}@{}", image.digest))
}

/// An image that passes and yet has bait for the engine's runtime.
fn baited(name: &str) -> Result<Recipe> {
    let bait = Layer::of(&[File::link("dev/console", "/etc/passwd")])?;
    Ok(Recipe::app("ok")?.env("APP_NAME", name).layer(bait))
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_pull_from_the_quarantine_and_from_nowhere_else() -> Result<()> {
    let quarantine = Quarantine::start().await?;
    let world = World::of(Event::config())
        .worker_setting("PORTCALL_QUARANTINE", quarantine.host())
        .start()
        .await?;
    let worker = &world.workers[0];
    for (n, name) in ["Gordon", "Moby"].into_iter().enumerate() {
        let image = world.app("ok", name).await?;
        let accepted = world.client.submit(&Submission::of(name).image(&image)).await?;
        let document = world.client.wait_passed(&accepted.id, PATIENCE).await?;
        assert!(world.engine.image_id(&kept_name(&quarantine, &image)).await?.is_some());
        assert_eq!(world.engine.image_id(&own_name(&image)?).await?, None, "it was pulled past it");
        // People see their own name.
        assert_eq!(document["images"][0]["digest"], image.digest.as_str());
        let lines = document["attempts"][0]["evidence"]["reproduce"].to_string();
        assert!(lines.contains(&own_name(&image)?) && !lines.contains("strangers"), "{lines}");
        assert_eq!(worker.metric("portcall_quarantine_copies_total").await?, n as f64 + 1.0);
        // Both are of the same program: its layer is copied for the first.
        assert_eq!(worker.metric("portcall_quarantine_reused_total").await?, n as f64);
        world.engine.forget(&kept_name(&quarantine, &image)).await?;
    }
    // The control: without it, nodes pull from wherever the image is.
    let plain = World::of(Event::config()).start().await?;
    let image = plain.app("ok", "Gordon").await?;
    let accepted = plain.client.submit(&Submission::of("Gordon").image(&image)).await?;
    plain.client.wait_passed(&accepted.id, PATIENCE).await?;
    assert!(plain.engine.image_id(&own_name(&image)?).await?.is_some());
    assert_eq!(plain.workers[0].metric("portcall_quarantine_copies_total").await?, 0.0);
    plain.finish().await?;
    world.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_quarantine_refuses_never_reaches_a_node() -> Result<()> {
    let quarantine = Quarantine::start().await?;
    let world = World::of(Event::config())
        .worker_setting("PORTCALL_QUARANTINE", quarantine.host())
        .start()
        .await?;
    let image = world.push(&baited("Gordon")?).await?;
    let accepted = world.client.submit(&Submission::of("Gordon").image(&image)).await?;
    let document = world.client.wait_final(&accepted.id, PATIENCE).await?;
    ensure!(document["state"] == "failed", "{document:#}");
    assert_eq!(reason(&document), "image_config_refused");
    let told = &document["verdict"]["reason"];
    assert!(told["message"].as_str().is_some_and(|m| m.contains("`dev/console`")), "{told}");
    assert!(told["hint"].is_string(), "{told}");
    for name in [kept_name(&quarantine, &image), own_name(&image)?] {
        assert_eq!(world.engine.image_id(&name).await?, None, "{name}");
    }
    // The control: without it, the same image is run.
    let plain = World::of(Event::config()).start().await?;
    let image = plain.push(&baited("Gordon")?).await?;
    let accepted = plain.client.submit(&Submission::of("Gordon").image(&image)).await?;
    plain.client.wait_passed(&accepted.id, PATIENCE).await?;
    plain.finish().await?;
    world.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantine_that_is_away_is_the_platforms_fault() -> Result<()> {
    let nobody = free_address()?;
    let mut world =
        World::of(Event::config()).worker_setting("PORTCALL_QUARANTINE", nobody).start().await?;
    let image = world.app("ok", "Gordon").await?;
    let accepted = world.client.submit(&Submission::of("Gordon").image(&image)).await?;
    let document = wait::until("an attempt is over", PATIENCE, || async {
        let document = world.client.document(&accepted.id).await?;
        Ok(document["attempts"][0]["outcome"].is_string().then_some(document))
    })
    .await?;
    let attempt = &document["attempts"][0];
    assert_eq!(attempt["outcome"], "released", "{document:#}");
    assert_eq!(attempt["reason"]["code"], "platform_error", "{document:#}");
    assert_eq!(attempt["reason"]["owner"], "platform", "{document:#}");
    // Another worker, whose quarantine is there, grades it.
    world.workers[0].process.terminate()?;
    let quarantine = Quarantine::start().await?;
    world.start_worker(&[("PORTCALL_QUARANTINE", quarantine.host())]).await?;
    world.client.wait_passed(&accepted.id, PATIENCE).await?;
    world.finish().await
}
