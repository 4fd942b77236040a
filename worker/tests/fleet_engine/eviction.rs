//! Images are taken off the node again, and none that is counted on.

use std::time::Duration;

use anyhow::{Context, Result};
use portcall_worker::fleet::{Came, Eviction, Profile};
use serde_json::json;
use tokio::time::Instant;

use crate::world::{World, ask};

const PULL: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_image_goes_when_nothing_counts_on_it() -> Result<()> {
    let world = World::new()?;
    // An image of this test's own: others that run meanwhile use theirs.
    let own =
        json!({ "Entrypoint": ["/app", "serve"], "Labels": { "of": world.worker.to_string() } });
    let before = Instant::now();
    let image = world.image_with(own).await?;
    assert!(world.fleet.image_names().await?.contains(&image));
    let used = world.fleet.used_images();
    let known = used.iter().find(|used| used.name == image).context("its use is known")?;
    assert!(known.fetched && known.last >= before);

    // It was asked for since a grading began that is still under way.
    assert_eq!(world.fleet.evict(&image, before).await?, Eviction::InUse);
    // Or it runs.
    let slot = world.fleet.open_slot(0).await?;
    let spec = world.spec("app", &image, Profile::Strict).await?;
    let workload = world.fleet.start(&slot, &world.owner(), &[spec]).await?;
    ask(&slot, &workload, 0, "/").await?;
    assert_eq!(world.fleet.evict(&image, Instant::now()).await?, Eviction::InUse);
    workload.remove().await?;
    assert!(world.fleet.image_names().await?.contains(&image));

    assert_eq!(world.fleet.evict(&image, Instant::now()).await?, Eviction::Removed);
    assert!(!world.fleet.image_names().await?.contains(&image));
    assert!(world.fleet.used_images().iter().all(|used| used.name != image));
    assert_eq!(world.fleet.evict(&image, Instant::now()).await?, Eviction::AlreadyGone);
    assert_eq!(world.fleet.pull(&image, PULL).await?.came, Came::Fetched, "it is had again");
    assert_eq!(world.fleet.evict(&image, Instant::now()).await?, Eviction::Removed);
    world.fleet.close_slot(slot).await?;
    world.end().await
}

#[tokio::test]
async fn the_prober_tells_how_full_the_engines_disk_is() -> Result<()> {
    let world = World::new()?;
    let slot = world.fleet.open_slot(0).await?;
    let space = slot.prober().disk().await?;
    assert!(space.total_bytes > 1 << 30, "{space:?}");
    assert!(space.free_bytes > 0 && space.free_bytes < space.total_bytes, "{space:?}");
    world.fleet.close_slot(slot).await?;
    world.end().await
}
