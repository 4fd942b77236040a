//! gVisor as a node's runtime: strangers' containers speak to its kernel instead of the machine's, by
//! the same request. It is its own wall in place of our filter of system calls, which it does not
//! load, so the canary comes to other outcomes, which stand here as a table.
//!
//! What ends otherwise than under the machine's kernel: whoever goes over a limit of memory or tasks
//! takes gVisor itself down with him, so the whole container ends and nothing else; and old versions
//! know no `ip_unprivileged_port_start`, so that a `strict` container, without a capability, cannot
//! listen on port 80.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use bollard::models::{ContainerCreateBody, HostConfig};
use portcall_worker::{
    canary::{
        self, CanaryError, Report,
        table::{ROWS, Want},
    },
    fleet::{ContainerSpec, FleetError, NodeSettings, Phase, Profile, SlotHealth, Workload},
};
use serde_json::json;

use crate::{
    push::{File, push},
    raw::{RawEngine, labels},
    world::{World, ask, ended, variable},
};

/// What `/proc/version` says there, and nowhere else.
const ITS_KERNEL: &str = "Linux version 4.4.0";

fn under(runtime: &str) -> NodeSettings {
    NodeSettings { runtime: Some(runtime.to_owned()), ..NodeSettings::default() }
}

#[tokio::test]
async fn an_ordinary_container_answers_from_gvisors_kernel() -> Result<()> {
    for (settings, from_gvisor) in [(under("runsc"), true), (NodeSettings::default(), false)] {
        let world = World::with(settings)?;
        let slot = world.fleet.open_slot(0).await?;
        let spec =
            world.spec("vote", &world.image(&["serve", "vote"]).await?, Profile::Ordinary).await?;
        let workload = world.fleet.start(&slot, &world.owner(), &[spec]).await?;
        assert_eq!(ask(&slot, &workload, 0, "/").await?, "vote");
        let limits = ask(&slot, &workload, 0, "/limits").await?;
        assert_eq!(limits.contains(ITS_KERNEL), from_gvisor, "{limits}");
        let written = ask(&slot, &workload, 0, "/write").await?;
        ensure!(written.contains("/tmp/written=ok"), "{written}");
        workload.remove().await?;
        assert_eq!(world.fleet.slot_alive(&slot).await, SlotHealth::Alive);
        world.fleet.close_slot(slot).await?;
        world.end().await?;
    }
    Ok(())
}

/// The version that knows no `ip_unprivileged_port_start`, as it tells itself.
const WITHOUT_PORTS: &str = "runsc version 0.0~20221219";

/// Whether a strict container can listen on port 80 under the gVisor of this machine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Port80 {
    Given,
    Refused,
}

/// A version that is not known must give it.
fn port_80() -> Result<Port80> {
    let told = Command::new("runsc").arg("--version").output().context("running runsc")?;
    let old = String::from_utf8_lossy(&told.stdout).starts_with(WITHOUT_PORTS);
    Ok(if old { Port80::Refused } else { Port80::Given })
}

/// It answers, or where gVisor is too old for that, it is told why it could not listen.
#[tokio::test]
async fn a_strict_container_under_gvisor_listens_where_gvisor_knows_how() -> Result<()> {
    let world = World::with(under("runsc"))?;
    let slot = world.fleet.open_slot(0).await?;
    let spec = world.spec("vote", &world.image(&["serve", "vote"]).await?, Profile::Strict).await?;
    let workload = world.fleet.start(&slot, &world.owner(), &[spec]).await?;
    match port_80()? {
        Port80::Given => assert_eq!(ask(&slot, &workload, 0, "/").await?, "vote"),
        Port80::Refused => {
            let states = ended(&world.fleet, &workload).await?;
            assert_eq!(states[0].phase, Phase::Exited { exit_code: 101 }, "{states:?}");
            let log = world.fleet.logs(&workload, 0, 4096).await?;
            ensure!(log.contains("port 80") && log.contains("Permission denied"), "{log}");
        }
    }
    workload.remove().await?;
    world.fleet.close_slot(slot).await?;
    world.end().await
}

#[tokio::test]
async fn a_memory_bomb_under_gvisor_ends_itself_alone() -> Result<()> {
    let world = World::with(under("runsc"))?;
    let slot = world.fleet.open_slot(0).await?;
    let bomb = world.image(&["memory"]).await?;
    let bomb = ContainerSpec { index: 1, ..world.spec("bomb", &bomb, Profile::Ordinary).await? };
    let vote =
        world.spec("vote", &world.image(&["serve", "vote"]).await?, Profile::Ordinary).await?;
    let workload = world.fleet.start(&slot, &world.owner(), &[vote, bomb]).await?;
    bomb_goes_off(&world, &workload).await?;
    assert_eq!(ask(&slot, &workload, 0, "/").await?, "vote");
    workload.remove().await?;
    assert_eq!(world.fleet.slot_alive(&slot).await, SlotHealth::Alive);
    world.fleet.close_slot(slot).await?;
    world.end().await
}

/// Waits until the second container was killed for its memory.
async fn bomb_goes_off(world: &World, workload: &Workload) -> Result<()> {
    for _ in 0..400 {
        let states = world.fleet.states(workload).await?;
        if let Phase::Exited { exit_code } = states[1].phase {
            ensure!(exit_code == 137, "{states:?}");
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("it did not end")
}

/// The canary too has to listen: where a `strict` one cannot, the node does not pass, and only there.
#[tokio::test]
async fn a_node_whose_strict_containers_cannot_listen_does_not_pass() -> Result<()> {
    let world = World::with(under("runsc"))?;
    let slot = world.fleet.open_slot(0).await?;
    let examined = canary::examine(&world.fleet, &slot, Profile::Strict).await;
    match port_80()? {
        Port80::Given => assert_eq!(examined?.differences, []),
        Port80::Refused => {
            ensure!(matches!(examined, Err(CanaryError::Silent { .. })), "{examined:?}")
        }
    }
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
        ensure!(matches!(&refused, FleetError::Unfit(told) if told.starts_with(why)), "{refused}");
        world.end().await?;
    }
    Ok(())
}

/// What gVisor grants, to a container of the engine's defaults, that the filter would refuse: all of
/// it within its own kernel. A newer one may grant less.
const GRANTED_INSIDE: [&str; 16] = [
    "af_netlink_route",
    "chroot",
    "clone_user",
    "io_uring_setup",
    "mknod_block",
    "mknod_memory",
    "mq_open",
    "ptrace",
    "raise_core",
    "setgid_0",
    "setgroups",
    "setuid_0",
    "syslog",
    "unshare_cgroup",
    "unshare_mount",
    "unshare_user",
];

/// What is not there at all, where the machine's kernel has something to refuse or to hide.
const NOT_THERE: [(&str, &str); 12] = [
    ("af_alg", "EAFNOSUPPORT"),
    ("af_packet", "EAFNOSUPPORT"),
    ("af_vsock", "EAFNOSUPPORT"),
    ("af_xdp", "EAFNOSUPPORT"),
    ("memfd_secret", "ENOSYS"),
    ("open_tree", "ENOSYS"),
    ("pidfd_getfd", "ENOSYS"),
    ("process_vm_readv", "ENOSYS"),
    ("read_interrupts", "ENOENT"),
    ("read_kcore", "ENOENT"),
    ("read_timer_list", "ENOENT"),
    ("perf_event_open", "ENODEV"),
];

#[tokio::test]
async fn the_canary_under_gvisor_speaks_to_another_kernel() -> Result<()> {
    let world = World::new()?;
    let binary = fs::read(variable("PORTCALL_CANARY_BIN", "path of the static canary")?)?;
    let files = [File { path: "canary", bytes: &binary, mode: 0o755 }];
    let config = json!({ "Entrypoint": ["/canary"] });
    let image = push(&world.registry, "fleet/canary", "amd64", config, &files).await?;
    world.fleet.pull(&image, Duration::from_secs(60)).await?;
    // Without limits: it tries to go over them.
    let body = ContainerCreateBody {
        image: Some(image),
        labels: Some(labels()),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            runtime: Some("runsc".to_owned()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let told = RawEngine::new()?.first_line(body).await?;
    let report = Report::parse(told.as_bytes()).map_err(anyhow::Error::msg)?;
    let mut wrong = Vec::new();
    for (name, outcome) in NOT_THERE {
        let got = report.outcome(name);
        if got.as_deref() != Some(outcome) {
            wrong.push(format!("{name} is {got:?} instead of {outcome}"));
        }
    }
    for row in ROWS {
        let granted = report.outcome(row.name).as_deref() == Some("DONE");
        let filtered = matches!(row.strict, Want::Said("EPERM"));
        if granted && filtered && !GRANTED_INSIDE.contains(&row.name) {
            wrong.push(format!("{} is granted", row.name));
        }
    }
    ensure!(wrong.is_empty(), "{}\n{told}", wrong.join("\n"));
    world.end().await
}
