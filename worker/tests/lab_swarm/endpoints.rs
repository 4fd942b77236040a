//! Managers that change, and who may speak to them.

use std::fs;

use anyhow::{Context, Result, ensure};
use portcall_shared::domain::ids::WorkerId;
use portcall_tests::wait;
use portcall_worker::fleet::{
    EngineSettings, Fleet, FleetError, Images, LabelKey, NodeSettings, Nodes, SlotHealth,
    SubnetPool,
};

use crate::world::{SOON, World, ask, settings};

#[tokio::test]
async fn full_the_leader_is_killed_between_starts_and_every_start_succeeds() -> Result<()> {
    let mut world = World::of(3, 1).await?;
    // The prober is on one that does not lead.
    let leader = world.lab.leader().await?;
    let mut settings = settings(&world.lab, world.worker)?;
    let address = world.lab.host(&leader)?.address.to_string();
    settings.hosts.sort_by_key(|host| host.contains(&address));
    world.nodes = Nodes::swarm(settings)?;
    let fleet = world.fleet("g1").await?;
    let slot = fleet.open_slot(0).await?;
    let image = world.image(&["serve", "hello"]).await?;
    let spec = world.spec(&fleet, "app", &image).await?;
    for round in 0..3 {
        if round == 1 {
            world.lab.kill(&leader).await?;
        }
        let started = fleet.start(&slot, &world.owner(), std::slice::from_ref(&spec)).await;
        let workload = started.with_context(|| format!("round {round}"))?;
        assert_eq!(ask(&slot, &workload, 0, "/").await?, "hello");
        workload.remove().await?;
    }
    ensure!(world.lab.leader().await? != leader);
    wait::until("a slot that is fine", SOON, || async {
        Ok((fleet.slot_alive(&slot).await == SlotHealth::Alive).then_some(()))
    })
    .await?;
    fleet.close_slot(slot).await?;
    world.lab.start(&leader).await?;
    world.end().await
}

#[tokio::test]
async fn full_a_swarm_that_lost_its_quorum_is_a_fault_and_comes_back_by_itself() -> Result<()> {
    let world = World::of(3, 1).await?;
    let fleet = world.fleet("g1").await?;
    world.lab.kill("m2").await?;
    world.lab.kill("m3").await?;
    let failed = fleet.open_slot(0).await.err().context("without a quorum")?;
    ensure!(!matches!(failed, FleetError::Unfit(_)), "{failed}");
    world.lab.start("m2").await?;
    world.lab.start("m3").await?;
    let slot = wait::until("a slot", SOON, || async { Ok(fleet.open_slot(1).await.ok()) }).await?;
    fleet.close_slot(slot).await?;
    wait::until("nothing of ours", SOON, || async {
        let found = world.nodes.sweep().await?.found;
        for found in &found {
            let _ = world.nodes.remove_found(found).await;
        }
        Ok(found.is_empty().then_some(()))
    })
    .await?;
    world.end().await
}

#[tokio::test]
async fn only_whom_the_authority_vouches_for_is_spoken_to_on_either_side() -> Result<()> {
    let world = World::of(1, 1).await?;
    let engine = |certs| {
        Fleet::engine(EngineSettings {
            host: world.lab.endpoints()?,
            certs,
            worker: WorkerId::new(),
            key: LabelKey([1; 32]),
            prober: "/nonexistent".into(),
            canary: "/nonexistent".into(),
            pool: SubnetPool::default(),
            node: NodeSettings::default(),
            images: Images::Pinned,
        })
        .map_err(anyhow::Error::from)
    };
    let certificates = world.lab.certificates()?;
    let facts = engine(Some(certificates.clone()))?.facts().await?;
    assert_eq!(facts.name, "m1");
    // Without any certificate, and to an engine of another authority's.
    let plain = engine(None)?.facts().await;
    ensure!(plain.is_err(), "{plain:?}");
    let folder = tempfile::tempdir()?;
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        fs::copy(certificates.join(name), folder.path().join(name))?;
    }
    ensure!(engine(Some(folder.path().into()))?.facts().await.is_ok(), "the control");
    // Itself instead of whom it is vouched for by: the engine's own certificate is then nobody's.
    fs::copy(certificates.join("cert.pem"), folder.path().join("ca.pem"))?;
    let foreign = engine(Some(folder.path().into()))?.facts().await;
    ensure!(matches!(foreign, Err(FleetError::Unreachable { .. })), "{foreign:?}");
    world.end().await
}
