//! What is not started, by whose fault, and in whose words; and that nothing of it is left.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use portcall_worker::fleet::{
    ContainerSpec, Fleet, FleetError, Profile, Slot, SlotHealth, StartFailure, StartTimes,
};
use serde_json::json;

use crate::world::{World, ask, bare};

/// Short, so that what never comes is not waited for long.
const TIMES: StartTimes =
    StartTimes { pull: Duration::from_secs(4), start: Duration::from_secs(4) };

async fn failure(
    world: &World,
    fleet: &Fleet,
    slot: &Slot,
    spec: &ContainerSpec,
) -> Result<StartFailure> {
    let owner = world.owner();
    let started = fleet.start_within(slot, &owner, std::slice::from_ref(spec), &TIMES);
    let failed = started.await.err().with_context(|| format!("{spec:?} was started"))?;
    assert_eq!(fleet.slot_alive(slot).await, SlotHealth::Alive, "after {failed}");
    Ok(failed)
}

#[tokio::test]
async fn full_what_is_not_started_on_one_swarm() -> Result<()> {
    let world = World::of(1, 1).await?;
    nothing_is_asked_of_the_swarm_for_what_may_not_be_started(&world).await.context("nothing")?;
    what_a_node_or_the_scheduler_cannot_do_is_the_platforms_in_their_words(&world).await?;
    world.end().await
}

async fn what_a_node_or_the_scheduler_cannot_do_is_the_platforms_in_their_words(
    world: &World,
) -> Result<()> {
    let fleet = world.fleet("g1").await?;
    let slot = fleet.open_slot(0).await?;
    let image = world.image(&["serve", "hello"]).await?;

    // Nothing of that digest is in the quarantine.
    let (name, _) = image.split_once('@').context("no digest")?;
    let missing = bare("app", &format!("{name}@sha256:{}", "0".repeat(64)), Profile::Ordinary);
    match failure(world, &fleet, &slot, &missing).await? {
        StartFailure::Engine(FleetError::Ended { state: "refused", detail, .. }) => {
            ensure!(detail.contains("No such image"), "{detail}");
        }
        other => bail!("{other}"),
    }
    let declared = fleet.image_declares(&missing.image).await;
    ensure!(matches!(declared, Err(FleetError::Registry { .. })), "{declared:?}");

    // More processors than the node has; and, on the other side, as many as it has left.
    let mut greedy = world.spec(&fleet, "app", &image).await?;
    greedy.limits.cpus = 8.0;
    match failure(world, &fleet, &slot, &greedy).await? {
        StartFailure::Engine(FleetError::Unplaced { detail, .. }) => {
            ensure!(detail.contains("no suitable node"), "{detail}");
            ensure!(detail.contains("insufficient resources"), "{detail}");
        }
        other => bail!("{other}"),
    }
    greedy.limits.cpus = f64::from(slot.node().cpus) - 0.1;
    let workload = fleet.start(&slot, &world.owner(), &[greedy]).await?;
    assert_eq!(ask(&slot, &workload, 0, "/").await?, "hello");
    workload.remove().await?;

    // The quarantine is away: the node fetches, and fetches.
    let image = world.image(&["serve", "later"]).await?;
    let spec = world.spec(&fleet, "app", &image).await?;
    world.lab.cut("q").await?;
    let owner = world.owner();
    let started = fleet.start_within(&slot, &owner, std::slice::from_ref(&spec), &TIMES).await;
    match started.err().context("it was started")? {
        StartFailure::Engine(FleetError::Stuck { state: "preparing", .. }) => {}
        other => bail!("{other}"),
    }
    world.lab.restore("q").await?;
    assert_eq!(fleet.slot_alive(&slot).await, SlotHealth::Alive);
    let workload = fleet.start(&slot, &owner, &[spec]).await?;
    assert_eq!(ask(&slot, &workload, 0, "/").await?, "later");
    workload.remove().await?;
    fleet.close_slot(slot).await?;
    world.left_clean().await
}

async fn nothing_is_asked_of_the_swarm_for_what_may_not_be_started(world: &World) -> Result<()> {
    let fleet = world.fleet("g1").await?;
    let slot = fleet.open_slot(0).await?;
    let image = world.image(&["serve", "hello"]).await?;
    let digest = image.split_once('@').context("no digest")?.1.to_owned();
    let public = world.lab.public()?;
    let quarantine = world.lab.quarantine()?;
    for refused in [
        format!("{public}/strangers@{digest}"),
        format!("{quarantine}.evil.test/strangers@{digest}"),
        format!("{quarantine}/strangers:latest"),
        digest.clone(),
    ] {
        let spec = bare("app", &refused, Profile::Ordinary);
        match failure(world, &fleet, &slot, &spec).await? {
            StartFailure::Engine(FleetError::NotPinned(image)) => assert_eq!(image, refused),
            other => bail!("{other}"),
        }
    }
    let config = json!({ "Entrypoint": ["/app"], "Volumes": { "/proc/x": {} } });
    let image = world.image_with(config).await?;
    let spec = world.spec(&fleet, "app", &image).await?;
    let refused = failure(world, &fleet, &slot, &spec).await?;
    ensure!(matches!(refused, StartFailure::ConfigRefused { index: 0, .. }), "{refused}");
    // Our own canary is started as a canary and in no other way.
    let canary = fleet.start_canary(&slot, Profile::Strict).await?;
    canary.remove().await?;
    let manager = world.lab.docker("m1")?;
    ensure!(manager.list_services(None).await?.len() == 1, "the anchor alone");
    fleet.close_slot(slot).await?;
    world.left_clean().await
}
