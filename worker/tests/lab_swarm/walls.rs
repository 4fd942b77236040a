//! The walls around a task on a grader node, as the canary sees them: what a service cannot carry is
//! given by the node's own settings, and proven.

use std::fs;

use anyhow::{Context, Result, ensure};
use portcall_worker::{
    canary::{self, Examination},
    fleet::Profile,
};

use crate::world::{SOON, World};

#[tokio::test]
async fn full_a_grader_node_on_its_settings_passes_the_canary_under_both_profiles() -> Result<()> {
    let world = World::of(1, 1).await?;
    let fleet = world.fleet("g1").await?;
    for profile in [Profile::Ordinary, Profile::Strict] {
        let slot = fleet.open_slot(0).await?;
        let examined = canary::examine(&fleet, &slot, profile).await;
        let Examination { report, differences } = examined.context("examining")?;
        ensure!(report.names().count() > 150, "{} outcomes", report.names().count());
        ensure!(differences.is_empty(), "{profile:?}: {differences:#?}");
        fleet.close_slot(slot).await?;
    }
    world.end().await
}

/// The control: the same engine without them is found out, wall by wall.
#[tokio::test]
async fn a_grader_node_without_its_settings_fails_the_canary() -> Result<()> {
    let world = World::of(1, 1).await?;
    let file = world.lab.folder().join("g1/daemon.json");
    let mut settings: serde_json::Value = serde_json::from_slice(&fs::read(&file)?)?;
    let settings_map = settings.as_object_mut().context("no settings")?;
    // Not the remapping of users: with it an engine has another folder, and is another node.
    for name in ["no-new-privileges", "seccomp-profile", "default-cgroupns-mode"] {
        ensure!(settings_map.remove(name).is_some(), "{name}");
    }
    world.lab.kill("g1").await?;
    fs::write(&file, settings.to_string())?;
    world.lab.start("g1").await?;
    world.lab.await_state("g1", "ready", SOON).await?;
    let fleet = world.fleet("g1").await?;
    let slot = fleet.open_slot(0).await?;
    let Examination { differences, .. } = canary::examine(&fleet, &slot, Profile::Ordinary).await?;
    for attempt in ["no_new_privileges", "ptrace", "io_uring_setup", "af_alg", "ns_cgroup"] {
        let found = differences.iter().any(|difference| difference.attempt == attempt);
        ensure!(found, "{attempt} is not among {differences:#?}");
    }
    fleet.close_slot(slot).await?;
    world.end().await
}
