//! The control of `running`: the same program, started as an engine starts whatever it is given, or
//! by our request without one of its parts. There, what must be refused or bounded in a slot is not:
//! so those tests can fail.

use anyhow::{Context, Result, ensure};
use bollard::models::{ContainerCreateBody, HostConfig};
use portcall_worker::fleet::{
    Limits, Profile,
    request::{self, Place},
};

use crate::{
    raw::{RawEngine, labels},
    world::{World, ask},
};

/// Two users of strict containers, at the end of what slots have.
const USERS: [u32; 2] = [39_990, 39_991];

#[tokio::test]
async fn without_our_request_the_same_program_is_free_to_do_it() -> Result<()> {
    let world = World::new()?;
    let image = world.image(&["report"]).await?;
    let report = under_defaults(&image).await?;
    println!("{report}");
    for name in ["socket_packet", "ptrace"] {
        let line = format!("{name}=0");
        ensure!(
            report.lines().any(|l| l == line),
            "{name} is refused by the engine's defaults too"
        );
    }
    for line in ["NoNewPrivs:\t0", "CapBnd:\t00000000a80425fb"] {
        ensure!(report.contains(line), "{line}");
    }
    for kept in ["memory.limit_in_bytes=268435456", "memory.max=268435456", "pids.max=128"] {
        ensure!(!report.contains(kept), "{kept}");
    }
    ensure!(!report.contains("Max core file size        0                    0"));
    world.end().await
}

/// What the program reports in a container of the engine's defaults, without a network.
async fn under_defaults(image: &str) -> Result<String> {
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        labels: Some(labels()),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    RawEngine::new()?.all_words(body).await
}

/// What the kernel counts by user is shared by all containers of one: each slot has a user of its
/// own, so that nobody takes from his neighbour.
#[tokio::test]
async fn containers_of_one_user_take_from_each_other_and_those_of_slots_do_not() -> Result<()> {
    let world = World::new()?;
    let slots = [world.fleet.open_slot(0).await?, world.fleet.open_slot(1).await?];
    let image = world.image(&["serve"]).await?;
    let mut workloads = Vec::new();
    for (slot, (path, given)) in slots.iter().zip([("/hold/100", "100"), ("/hold/200", "128")]) {
        let spec = world.spec("app", &image, Profile::Strict).await?;
        let workload = world.fleet.start(slot, &world.owner(), &[spec]).await?;
        assert_eq!(ask(slot, &workload, 0, path).await?, given, "a user of its own");
        workloads.push(workload);
    }
    for workload in workloads {
        workload.remove().await?;
    }
    let node = slots[0].node().clone();
    for slot in slots {
        world.fleet.close_slot(slot).await?;
    }

    let engine = RawEngine::new()?;
    let (holder, other) = (world.image(&["hold", "100"]).await?, world.image(&["hold", "200"]));
    let settings = world.fleet.node_settings();
    let network = engine.network(&node, |_| ()).await?;
    let place = |uid| Place { network: &network.id, uid, node: &node, settings };
    let holder = world.spec("app", &holder, Profile::Strict).await?;
    let other = world.spec("app", &other.await?, Profile::Strict).await?;
    for (user, given) in [(USERS[0], "28"), (USERS[1], "128")] {
        let beside = engine.first_line(request::container(&other, &place(user), labels()));
        let holder = request::container(&holder, &place(USERS[0]), labels());
        assert_eq!(engine.beside(holder, beside).await?, given, "user {user} beside {}", USERS[0]);
    }
    engine.remove_network(network).await?;
    world.end().await
}

/// Whoever writes without end fills the node's disk, unless his log is bounded.
#[tokio::test]
async fn without_its_bound_a_log_grows_with_whatever_is_written() -> Result<()> {
    let world = World::new()?;
    let slot = world.fleet.open_slot(0).await?;
    let image = world.image(&["chatter"]).await?;
    let spec = world.spec("app", &image, Profile::Ordinary).await?;
    let settings = world.fleet.node_settings();
    let bound = u64::from(Limits::of(Profile::Ordinary).log_kib) * 1024;

    let engine = RawEngine::new()?;
    let network = engine.network(slot.node(), |_| ()).await?;
    let place = Place { network: &network.id, uid: USERS[0], node: slot.node(), settings };
    let body = request::container(&spec, &place, labels());
    let kept = engine.all_words(body.clone()).await?;
    ensure!(kept.len() as u64 <= bound, "{} bytes are kept", kept.len());
    ensure!(kept.ends_with("the end of it\n"), "the last is kept");
    let mut unbounded = body;
    unbounded.host_config.as_mut().context("no host's part")?.log_config = None;
    let all = engine.all_words(unbounded).await?;
    ensure!(all.len() as u64 > bound, "{} bytes are no control of {bound}", all.len());
    ensure!(all.starts_with("line 0 of much\n") && all.ends_with("the end of it\n"));
    engine.remove_network(network).await?;
    world.fleet.close_slot(slot).await?;
    world.end().await
}
