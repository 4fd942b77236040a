//! What goes away under a running task, and comes back: it is the platform's, never the stranger's, and
//! what was left is found.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portcall_tests::wait;
use portcall_worker::fleet::{
    Availability, ContainerState, Fleet, FleetError, Found, Object, Phase, Slot, SlotHealth,
    Workload,
};
use tokio::time::{Instant, sleep};

use crate::world::{SOON, World, ask};

const UNHEARD: &str = "nothing was heard from its node";

/// Waits until a slot is lost for that reason; while something runs in it, it is not free either.
async fn until_lost(fleet: &Fleet, slot: &Slot, reason: &str) -> Result<()> {
    wait::until(format!("the slot to be lost: {reason}"), SOON, || async {
        let health = fleet.slot_alive(slot).await;
        let lost = matches!(health, SlotHealth::Lost { why } if why.contains(reason));
        Ok(lost.then_some(()))
    })
    .await
}

/// Waits until the one container is not told to run any more.
async fn until_not_running(fleet: &Fleet, workload: &Workload) -> Result<ContainerState> {
    wait::until("the container not to run", SOON, || async {
        let states = fleet.states(workload).await?;
        let over = states.into_iter().next().filter(|state| state.phase != Phase::Running);
        Ok(over)
    })
    .await
}

/// Removes whatever there is of ours, until nothing is.
async fn clear(world: &World) -> Result<()> {
    wait::until("nothing of ours", SOON, || async {
        let found = world.nodes.sweep().await?.found;
        for found in &found {
            // What is still in use is removed the next time.
            let _ = world.nodes.remove_found(found).await;
        }
        Ok(found.is_empty().then_some(()))
    })
    .await
}

#[tokio::test]
async fn full_a_node_that_is_cut_off_is_noticed_and_comes_back_clean() -> Result<()> {
    let world = World::of(1, 2).await?;
    let fleet = world.fleet("g1").await?;
    let slot = fleet.open_slot(0).await?;
    let image = world.image(&["serve", "hello"]).await?;
    let spec = world.spec(&fleet, "app", &image).await?;
    let workload = fleet.start(&slot, &world.owner(), std::slice::from_ref(&spec)).await?;
    assert_eq!(ask(&slot, &workload, 0, "/").await?, "hello");

    world.lab.cut("g1").await?;
    until_lost(&fleet, &slot, UNHEARD).await?;
    let ended = until_not_running(&fleet, &workload).await?;
    assert_eq!(ended.phase, Phase::Missing, "never the stranger's");
    let nodes = world.nodes.list().await?;
    let down = nodes.iter().find(|node| node.name.as_deref() == Some("g1")).context("g1")?;
    ensure!(matches!(down.availability, Availability::Down { .. }), "{:?}", down.availability);
    // The others go on.
    let other = world.fleet("g2").await?;
    let beside = other.open_slot(0).await?;
    let running = other.start(&beside, &world.owner(), &[spec]).await?;
    assert_eq!(ask(&beside, &running, 0, "/").await?, "hello");
    running.remove().await?;
    other.close_slot(beside).await?;

    world.lab.restore("g1").await?;
    world.lab.await_state("g1", "ready", SOON).await?;
    drop((workload, slot));
    clear(&world).await?;
    // And it serves again.
    let slot = fleet.open_slot(1).await?;
    assert_eq!(fleet.slot_alive(&slot).await, SlotHealth::Alive);
    fleet.close_slot(slot).await?;
    world.end().await
}

/// It has a task and does nothing about it: each try would leave one more there, with its overlay.
#[tokio::test]
async fn full_a_node_that_does_not_end_what_it_began_gets_no_second_slot() -> Result<()> {
    let world = World::of(1, 1).await?;
    let fleet = world.fleet("g1").await?;
    // The managers do not know it yet, and give it the anchor.
    world.lab.cut("g1").await?;
    let failed = fleet.open_slot(0).await.err().context("on a node that is cut off")?;
    // It hangs, until the managers give the node up.
    ensure!(matches!(failed, FleetError::Stuck { .. } | FleetError::Ended { .. }), "{failed}");
    let networks = |found: &[Found]| found.iter().filter(|it| it.object == Object::Network).count();
    assert_eq!(networks(&world.nodes.sweep().await?.found), 1);
    for _ in 0..2 {
        let refused = fleet.open_slot(0).await.err().context("beside what is left")?;
        ensure!(matches!(refused, FleetError::LeftOver { .. }), "{refused}");
        assert_eq!(networks(&world.nodes.sweep().await?.found), 1, "no more than before");
    }
    world.lab.restore("g1").await?;
    world.lab.await_state("g1", "ready", SOON).await?;
    let slot = wait::until("a slot", SOON, || async { Ok(fleet.open_slot(0).await.ok()) }).await?;
    fleet.close_slot(slot).await?;
    clear(&world).await?;
    world.end().await
}

#[tokio::test]
async fn an_engine_that_is_restarted_takes_its_tasks_along_and_nobody_is_blamed() -> Result<()> {
    let world = World::of(1, 1).await?;
    let fleet = world.fleet("g1").await?;
    let slot = fleet.open_slot(0).await?;
    let image = world.image(&["serve", "hello"]).await?;
    let spec = world.spec(&fleet, "app", &image).await?;
    let workload = fleet.start(&slot, &world.owner(), &[spec]).await?;
    assert_eq!(ask(&slot, &workload, 0, "/").await?, "hello");
    a_way_that_loses_is_noticed(&world, &fleet, &slot).await?;
    // A cut that nobody else notices: what was lost in it is not the stranger's either.
    let asked = Instant::now();
    assert_eq!(fleet.silence(&slot, asked).await, None, "the control");
    world.lab.cut("g1").await?;
    sleep(Duration::from_secs(5)).await;
    world.lab.restore("g1").await?;
    wait::until("the anchor to be heard again", SOON, || async {
        Ok(fleet.disk(&slot).await.ok())
    })
    .await?;
    ensure!(fleet.silence(&slot, asked).await >= Some(Duration::from_secs(3)));
    world.lab.restart("g1").await?;
    let ended = until_not_running(&fleet, &workload).await?;
    assert_eq!(ended.phase, Phase::Missing, "an engine's end is no stranger's");
    until_lost(&fleet, &slot, UNHEARD).await?;
    world.lab.await_state("g1", "ready", SOON).await?;
    drop((workload, slot));
    clear(&world).await?;
    let slot = fleet.open_slot(1).await?;
    fleet.close_slot(slot).await?;
    world.end().await
}

/// Everything that an overlay carries, or only what is large: the node is heard from all the time, and what
/// a stranger answered is not known.
async fn a_way_that_loses_is_noticed(world: &World, fleet: &Fleet, slot: &Slot) -> Result<()> {
    for what in ["", "meta length > 1300"] {
        let asked = Instant::now();
        ensure!(fleet.is_clear(slot).await, "the control");
        let rules = format!(
            "nft 'add table inet gone; add chain inet gone out {{ type filter hook output priority 0; }}; \
             add rule inet gone out udp dport 4789 {what} counter drop'"
        );
        world.lab.must_on("g1", &rules).await?;
        let is_clear = fleet.is_clear(slot).await;
        let health = fleet.slot_alive(slot).await;
        world.lab.must_on("g1", "nft delete table inet gone").await?;
        ensure!(!is_clear, "{what:?} is lost on the way back");
        ensure!(matches!(health, SlotHealth::Lost { .. }), "{what:?}: {health:?}");
        assert_eq!(fleet.silence(slot, asked).await, None, "{what:?}: the node was heard");
    }
    Ok(())
}

#[tokio::test]
async fn full_a_manager_that_dies_takes_its_prober_along_and_the_next_one_is_used() -> Result<()> {
    let world = World::of(3, 1).await?;
    let fleet = world.fleet("g1").await?;
    let slot = fleet.open_slot(0).await?;
    let image = world.image(&["serve", "hello"]).await?;
    let spec = world.spec(&fleet, "app", &image).await?;
    let workload = fleet.start(&slot, &world.owner(), std::slice::from_ref(&spec)).await?;
    assert_eq!(ask(&slot, &workload, 0, "/").await?, "hello");

    // The first of the endpoint, where the prober is; it also leads the others.
    assert_eq!(world.lab.leader().await?, "m1");
    world.lab.kill("m1").await?;
    until_lost(&fleet, &slot, "prober").await?;
    // The stranger's container is nobody's loss, and it is seen through another manager.
    let states = fleet.states(&workload).await?;
    assert_eq!(states[0].phase, Phase::Running);
    let fresh = fleet.open_slot(1).await?;
    let again = fleet.start(&fresh, &world.owner(), &[spec]).await?;
    assert_eq!(ask(&fresh, &again, 0, "/").await?, "hello");
    again.remove().await?;
    workload.remove().await?;
    ensure!(fleet.close_slot(slot).await.is_err(), "its prober cannot be seen to be gone");
    fleet.close_slot(fresh).await?;

    // Back again, with what it had: found there by its labels.
    world.lab.start("m1").await?;
    let found = wait::until("the dead manager's prober", SOON, || async {
        let found = world.nodes.sweep().await?.found;
        Ok(found.into_iter().find(|found| found.object == Object::Container))
    })
    .await?;
    ensure!(found.name.ends_with("-prober"), "{found:?}");
    clear(&world).await?;
    world.end().await
}
