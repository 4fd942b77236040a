//! What is left behind is found by its labels, and what is not ours is not touched.

use anyhow::Result;
use portcall_shared::domain::ids::WorkerId;
use portcall_worker::fleet::{Kind, LabelKey, Object, Profile, Removal, SlotHealth, StartFailure};

use crate::world::{World, ask, fleet};

#[tokio::test]
async fn a_workload_that_was_dropped_is_found_by_its_labels() -> Result<()> {
    let world = World::new()?;
    let slot = world.fleet.open_slot(0).await?;
    let spec = world.spec("app", &world.image(&["serve"]).await?, Profile::Strict).await?;
    let owner = world.owner();
    let specs = [spec];
    let workload = world.fleet.start(&slot, &owner, &specs).await?;
    ask(&slot, &workload, 0, "/").await?;
    drop(workload);
    assert!(matches!(world.fleet.slot_alive(&slot).await, SlotHealth::Lost { .. }));
    let failure = world.fleet.start(&slot, &world.owner(), &specs).await.unwrap_err();
    assert!(matches!(failure, StartFailure::Engine(_)), "{failure:?}");

    let mut found = world.fleet.sweep().await?.found;
    found.retain(|found| found.worker == world.worker);
    let kinds: Vec<_> = found.iter().map(|found| (found.object, found.kind)).collect();
    assert!(kinds.contains(&(Object::Container, Kind::Workload)));
    assert!(kinds.contains(&(Object::Container, Kind::Prober)));
    assert!(kinds.contains(&(Object::Network, Kind::Slot)));
    assert_eq!(kinds.len(), 3);
    let workload = found.iter().find(|found| found.kind == Kind::Workload);
    assert_eq!(workload.and_then(|w| w.submission), Some((owner.submission, owner.generation)));

    // Another installation on the same engine neither sees nor touches them.
    let foreign = fleet(WorkerId::new(), LabelKey([1; 32]))?.sweep().await?;
    assert_eq!(foreign.found, []);
    assert!(foreign.foreign >= 3);

    for found in &found {
        assert_eq!(world.fleet.remove_found(found).await?, Removal::Removed, "{found:?}");
        assert_eq!(world.fleet.remove_found(found).await?, Removal::AlreadyGone, "{found:?}");
    }
    assert!(matches!(world.fleet.slot_alive(&slot).await, SlotHealth::Lost { .. }));
    world.fleet.close_slot(slot).await?;
    world.end().await
}

#[tokio::test]
async fn the_same_attempt_started_again_replaces_itself() -> Result<()> {
    let world = World::new()?;
    let (first, second) = tokio::try_join!(world.fleet.open_slot(0), world.fleet.open_slot(1))?;
    let image = world.image(&["serve", "again"]).await?;
    let specs = [world.spec("app", &image, Profile::Ordinary).await?];
    let owner = world.owner();
    drop(world.fleet.start(&first, &owner, &specs).await?);
    let workload = world.fleet.start(&second, &owner, &specs).await?;
    assert_eq!(ask(&second, &workload, 0, "/").await?, "again");
    workload.remove().await?;
    world.fleet.close_slot(first).await?;
    world.fleet.close_slot(second).await?;
    world.end().await
}

#[tokio::test]
async fn a_prober_that_is_gone_is_noticed() -> Result<()> {
    let world = World::new()?;
    let slot = world.fleet.open_slot(0).await?;
    let found = world.fleet.sweep().await?.found;
    let prober = found.iter().find(|f| f.worker == world.worker && f.kind == Kind::Prober);
    world.fleet.remove_found(prober.unwrap()).await?;
    assert!(matches!(world.fleet.slot_alive(&slot).await, SlotHealth::Lost { .. }));
    world.fleet.close_slot(slot).await?;
    world.end().await
}
