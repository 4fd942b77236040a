//! The harness itself: that a replica set survives what tests do to it, and that the registry
//! takes the images that are made here.

use std::time::Duration;

use anyhow::Result;
use bson::doc;
use portcall_tests::{
    Event, Recipe, Registry, Submission, World,
    ordinary::Ordinary,
    parts::mongo::{ReplicaSet, look},
    wait,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_set_elects_another_primary_and_takes_the_old_one_back() -> Result<()> {
    let mut set = ReplicaSet::start(3).await?;
    let first = set.primary().await?;
    set.kill(first)?;
    let second = set.primary().await?;
    assert_ne!(first, second);
    set.settled().await?;
    set.restart(first)?;
    set.settled().await?;

    let primary = set.primary().await?;
    let frozen = (primary + 1) % 3;
    set.stop(frozen)?;
    assert!(look(set.address(frozen), doc! { "ping": 1 }).await.is_err());
    set.resume(frozen)?;
    wait::until("an answer", Duration::from_secs(10), || async {
        Ok(look(set.address(frozen), doc! { "ping": 1 }).await.ok())
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_world_that_leaves_work_does_not_finish() -> Result<()> {
    let world = World::of(Event::config()).workers(0).start().await?;
    let image = world.app("ok", "Gordon").await?;
    world.client.submit(&Submission::of("Gordon").image(&image)).await?;
    let error = world.finish().await.err().map(|e| e.to_string()).unwrap_or_default();
    assert!(error.contains("no work left"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_registry_takes_honest_and_dishonest_images() -> Result<()> {
    let registry = Registry::given()?;
    let first = registry.push("harness/app:ok", &Recipe::app("ok")?).await?;
    let again = registry.push("harness/app:ok", &Recipe::app("ok")?).await?;
    assert_eq!(first, again);
    assert!(first.reference.ends_with("/harness/app:ok") && first.digest.starts_with("sha256:"));
    let other = Recipe::app("ok")?.platform("linux", "arm64");
    assert_ne!(first.digest, registry.push("harness/app:other", &other).await?.digest);
    registry.push("harness/app:many", &Recipe::app("ok")?.repeat_layer(70)).await?;
    registry.push("harness/app:large", &Recipe::app("ok")?.declare_layer_size(1 << 40)).await?;
    assert!(registry.names().await?.contains(&"harness/app".to_owned()));
    Ok(())
}

#[tokio::test]
async fn the_ordinary_images_share_one_layer() -> Result<()> {
    let registry = Registry::given()?;
    for image in Ordinary::WEB.into_iter().chain([Ordinary::Redis]) {
        let pushed = image.push(&registry).await?;
        assert!(pushed.reference.ends_with(&format!("/ordinary:{}", image.tag())));
    }
    Ok(())
}
