//! gVisor as a node's runtime: strangers' containers speak to its kernel instead of the machine's, in
//! the same request. What of the canary's report then differs stands here as a table.

use anyhow::{Context, Result, ensure};
use portcall_worker::{
    canary::{self, Difference},
    fleet::{FleetError, NodeSettings, Phase, Profile},
};

use crate::world::{World, ask, ended};

fn under(runtime: &str) -> NodeSettings {
    NodeSettings { runtime: Some(runtime.to_owned()), ..NodeSettings::default() }
}

#[tokio::test]
async fn a_container_answers_from_gvisors_kernel() -> Result<()> {
    let world = World::with(under("runsc"))?;
    let slot = world.fleet.open_slot(0).await?;
    let image = world.image(&["serve", "vote"]).await?;
    for profile in [Profile::Ordinary, Profile::Strict] {
        let spec = world.spec("vote", &image, profile).await?;
        let workload = world.fleet.start(&slot, &world.owner(), &[spec]).await?;
        assert_eq!(ask(&slot, &workload, 0, "/").await?, "vote");
        workload.remove().await?;
    }
    world.fleet.close_slot(slot).await?;
    world.end().await
}

#[tokio::test]
async fn the_canary_under_gvisor() -> Result<()> {
    let world = World::with(under("runsc"))?;
    let slot = world.fleet.open_slot(0).await?;
    for profile in [Profile::Ordinary, Profile::Strict] {
        let examined = canary::examine(&world.fleet, &slot, profile).await?;
        for difference in &examined.differences {
            println!("{profile:?}: {difference}");
        }
    }
    world.fleet.close_slot(slot).await?;
    world.end().await
}

#[tokio::test]
async fn limits_hold_under_gvisor() -> Result<()> {
    let world = World::with(under("runsc"))?;
    let slot = world.fleet.open_slot(0).await?;
    let spec = world.spec("app", &world.image(&["memory"]).await?, Profile::Ordinary).await?;
    let workload = world.fleet.start(&slot, &world.owner(), &[spec]).await?;
    let states = ended(&world.fleet, &workload).await?;
    println!("{states:?}");
    ensure!(matches!(states[0].phase, Phase::Exited { .. }), "{states:?}");
    workload.remove().await?;
    world.fleet.close_slot(slot).await?;
    world.end().await
}

#[tokio::test]
async fn a_runtime_that_is_not_there_or_keeps_no_limits_is_refused() -> Result<()> {
    for (runtime, why) in [
        ("kata", "it has no runtime kata, which PORTCALL_RUNTIME asks for; it has "),
        (
            "runsc-without-limits",
            "its runtime runsc-without-limits is started with --ignore-cgroups",
        ),
    ] {
        let world = World::with(under(runtime))?;
        let refused = world.fleet.open_slot(0).await.err().context("a slot was opened")?;
        println!("{refused}");
        ensure!(matches!(&refused, FleetError::Unfit(told) if told.starts_with(why)), "{refused}");
        world.end().await?;
    }
    Ok(())
}
