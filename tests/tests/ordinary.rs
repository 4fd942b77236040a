//! Ordinary images pass as they are; a strict event says what they would have to change.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use portcall_tests::{Event, Submission, World, ordinary::Ordinary, parts::client::reason};

const PATIENCE: Duration = Duration::from_secs(180);

/// The limits that an organiser gets who names none: these images are to pass under those.
const DEFAULT: &str = "";

#[tokio::test(flavor = "multi_thread")]
async fn web_servers_from_packages_pass_unmodified() -> Result<()> {
    let world = World::of(Event::config().limits(DEFAULT)).start().await?;
    for server in Ordinary::WEB {
        let image = server.push(&world.registry).await?;
        let accepted = world.client.submit(&Submission::of("Gordon").image(&image)).await?;
        let passed = world.client.wait_passed(&accepted.id, PATIENCE).await;
        passed.with_context(|| format!("{server:?}"))?;
    }
    world.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_event_tells_what_to_change() -> Result<()> {
    let world = World::of(Event::config().strict()).start().await?;
    let good = world.app("ok", "Gordon").await?;
    let accepted = world.client.submit(&Submission::of("Gordon").image(&good)).await?;
    world.client.wait_passed(&accepted.id, PATIENCE).await?;

    let refused = [Ordinary::Nginx, Ordinary::Apache];
    try_join_all(refused.map(|server| {
        let world = &world;
        async move {
            let image = server.push(&world.registry).await?;
            let submission = Submission::of("Gordon").image(&image);
            let accepted = world.client.submit(&submission).await?;
            let document = world.client.wait_final(&accepted.id, PATIENCE).await?;
            assert_eq!(document["state"], "failed", "{server:?}: {document:#}");
            assert_eq!(reason(&document), "exited", "{server:?}: {document:#}");
            let hint = document["verdict"]["reason"]["hint"].as_str().unwrap_or_default();
            assert!(hint.contains("read-only") || hint.contains("root"), "{server:?}: {hint}");
            anyhow::Ok(())
        }
    }))
    .await?;
    world.finish().await
}
