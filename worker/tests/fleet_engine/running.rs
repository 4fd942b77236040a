//! What runs: slots, workloads, who reaches whom, and the limits as seen from inside.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portcall_worker::{
    fleet::facts::CgroupVersion,
    fleet::{ContainerSpec, Phase, Profile, Role, SlotHealth},
    probe::client::ProberError,
};

use crate::world::{World, ask, ended};

#[tokio::test]
async fn a_slot_opens_answers_and_leaves_nothing() -> Result<()> {
    let world = World::new()?;
    let facts = world.fleet.facts().await?;
    println!("{facts:?}");
    let one_wall =
        world.fleet.warnings(&facts).iter().any(|w| w.contains("root inside an ordinary"));
    assert_eq!(one_wall, !facts.remaps_users());
    let slots = tokio::try_join!(world.fleet.open_slot(0), world.fleet.open_slot(1))?;
    assert_ne!(slots.0.subnet(), slots.1.subnet());
    for slot in [slots.0, slots.1] {
        assert_eq!(world.fleet.slot_alive(&slot).await, SlotHealth::Alive);
        world.fleet.close_slot(slot).await?;
    }
    world.end().await
}

#[tokio::test]
async fn two_containers_reach_each_other_and_nothing_else() -> Result<()> {
    let world = World::new()?;
    let (slot, other) = tokio::try_join!(world.fleet.open_slot(0), world.fleet.open_slot(1))?;
    let vote = world.image(&["serve", "vote"]).await?;
    let vote = world.spec("vote", &vote, Profile::Ordinary).await?;
    let redis = world.image(&["serve", "redis"]).await?;
    let redis = ContainerSpec {
        role: Role::Service,
        ..world.spec("redis", &redis, Profile::Ordinary).await?
    };
    let specs = [vote, redis];
    let workload = world.fleet.start(&slot, &world.owner(), &specs).await?;
    let stranger = world.fleet.start(&other, &world.owner(), &specs[..1]).await?;

    assert_eq!(ask(&slot, &workload, 0, "/").await?, "vote");
    assert_eq!(ask(&slot, &workload, 0, "/peer/redis").await?, "redis");
    assert_eq!(ask(&slot, &workload, 1, "/peer/vote").await?, "vote");

    // The control: the same dial succeeds where it may.
    let peer = workload.addresses()[1].context("no address")?;
    assert_eq!(ask(&slot, &workload, 0, &format!("/dial/{peer}/80")).await?, "connected");
    let (_, registry_port) = world.registry.split_once(':').context("no port")?;
    let neighbour = stranger.addresses()[0].context("no address")?;
    assert_eq!(ask(&other, &stranger, 0, "/").await?, "vote");
    for (host, port) in [
        (slot.subnet().gateway().to_string(), registry_port),
        (other.subnet().gateway().to_string(), registry_port),
        (neighbour.to_string(), "80"),
        ("192.0.2.1".into(), "53"),
        ("169.254.169.254".into(), "80"),
    ] {
        let outcome = ask(&slot, &workload, 0, &format!("/dial/{host}/{port}")).await?;
        println!("dial {host}:{port}: {outcome}");
        // Refused would mean that somebody is there to refuse.
        let silent = outcome.starts_with("error") && !outcome.contains("refused");
        ensure!(silent, "{host}:{port} was reached: {outcome}");
    }
    for name in ["example.com", "data.evil.test"] {
        let outcome = ask(&slot, &workload, 0, &format!("/lookup/{name}")).await?;
        ensure!(outcome.starts_with("error"), "{name}: {outcome}");
    }

    // The prober of one slot is not allowed to ask in the other.
    let refused = slot.prober().knock(neighbour.into(), vec![80], Duration::from_millis(500)).await;
    ensure!(matches!(refused, Err(ProberError::Refused { .. })), "{refused:?}");

    workload.remove().await?;
    stranger.remove().await?;
    for slot in [slot, other] {
        assert_eq!(world.fleet.slot_alive(&slot).await, SlotHealth::Alive);
        world.fleet.close_slot(slot).await?;
    }
    world.end().await
}

fn value<'a>(report: &'a str, name: &str) -> &'a str {
    let line = report.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("{name} is not in {report}"))
}

#[tokio::test]
async fn the_limits_hold_from_inside() -> Result<()> {
    let world = World::new()?;
    let slot = world.fleet.open_slot(0).await?;
    let image = world.image(&["serve"]).await?;
    for profile in [Profile::Ordinary, Profile::Strict] {
        let strict = profile == Profile::Strict;
        let spec = world.spec("app", &image, profile).await?;
        let workload = world.fleet.start(&slot, &world.owner(), &[spec]).await?;

        let limits = ask(&slot, &workload, 0, "/limits").await?;
        println!("{limits}");
        for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
            ensure!(limits.contains(line), "{line}");
        }
        // CHOWN, DAC_OVERRIDE, SETGID, SETUID, NET_BIND_SERVICE are bits 0, 1, 6, 7, 10.
        let bounding =
            if strict { "CapBnd:\t0000000000000000" } else { "CapBnd:\t00000000000004c3" };
        ensure!(limits.contains(bounding), "{bounding}");
        let files = if strict { "256" } else { "1024" };
        let files_line = format!("Max open files            {files:<21}{files:<21}files");
        ensure!(limits.contains(&files_line), "{files_line}");
        ensure!(limits.contains("Max core file size        0                    0"));
        let tasks = if strict { "64" } else { "128" };
        for (v1, v2, kept) in [
            ("memory/memory.limit_in_bytes", "memory.max", ["268435456"; 2]),
            ("pids/pids.max", "pids.max", [tasks; 2]),
            ("cpu/cpu.cfs_quota_us", "cpu.max", ["50000", "50000 100000"]),
        ] {
            let (file, kept) = match slot.node().cgroup {
                CgroupVersion::V1 => (v1, kept[0]),
                CgroupVersion::V2 => (v2, kept[1]),
            };
            assert_eq!(value(&limits, &format!("/sys/fs/cgroup/{file}")), kept);
        }
        assert_eq!(value(&limits, "/proc/sys/net/ipv6/conf/eth0/disable_ipv6"), "1");
        assert_eq!(value(&limits, "/proc/interrupts"), "");
        assert_eq!(value(&limits, "/proc/self/oom_score_adj"), "500");
        assert_eq!(value(&limits, "/etc/hostname"), "app");

        let written = ask(&slot, &workload, 0, "/write").await?;
        println!("{written}");
        assert_eq!(value(&written, "/written") == "ok", !strict);
        assert_eq!(value(&written, "/tmp/written"), "ok");
        // Whoever could write here would set himself free of every limit above.
        for file in ["pids/pids.max", "memory/memory.limit_in_bytes", "pids.max", "memory.max"] {
            assert_ne!(value(&written, &format!("/sys/fs/cgroup/{file}")), "ok");
        }
        assert_eq!(value(&written, "/data/written"), "ok");
        ensure!(value(&written, "tmp_files").parse::<u32>()? < 1024);
        assert_eq!(value(&written, "shm_4_mib"), "false");
        let bytes = world.fleet.written(&workload).await?;
        assert_eq!(bytes.len(), 1);
        ensure!((bytes[0] > Some(0)) != strict, "{bytes:?}");
        workload.remove().await?;
    }
    world.fleet.close_slot(slot).await?;
    world.end().await
}

#[tokio::test]
async fn forbidden_calls_are_refused_and_needed_ones_are_not() -> Result<()> {
    const EPERM: &str = "1";
    const ENOSYS: &str = "38";
    let world = World::new()?;
    let slot = world.fleet.open_slot(0).await?;
    let image = world.image(&["serve"]).await?;
    for profile in [Profile::Ordinary, Profile::Strict] {
        let spec = world.spec("app", &image, profile).await?;
        let workload = world.fleet.start(&slot, &world.owner(), &[spec]).await?;
        let report = ask(&slot, &workload, 0, "/refused").await?;
        println!("{profile:?}\n{report}");
        for line in report.lines() {
            let (name, errno) = line.split_once('=').context("no =")?;
            match name {
                "socket_inet" => assert_eq!(errno, "0", "{name}"),
                "socket_netlink_route" => {
                    assert_eq!(errno, if profile == Profile::Strict { EPERM } else { "0" });
                }
                "clone3" => assert_eq!(errno, ENOSYS),
                "socket_ping" => assert_eq!(errno, "13", "{name}"),
                _ => assert_eq!(errno, EPERM, "{name}"),
            }
        }
        workload.remove().await?;
    }
    world.fleet.close_slot(slot).await?;
    world.end().await
}

#[tokio::test]
async fn how_a_container_ended_is_seen() -> Result<()> {
    let world = World::new()?;
    let slot = world.fleet.open_slot(0).await?;
    for (mode, code, out_of_memory) in
        [("exit", 3, false), ("chatter", 0, false), ("memory", 137, true)]
    {
        let spec = world.spec("app", &world.image(&[mode]).await?, Profile::Ordinary).await?;
        let workload = world.fleet.start(&slot, &world.owner(), &[spec]).await?;
        let states = ended(&world.fleet, &workload).await?;
        assert_eq!(states[0].phase, Phase::Exited { exit_code: code }, "{mode}");
        // The engine may miss the memory killer's event; it never invents one.
        assert!(out_of_memory || !states[0].oom_killed, "{mode}");
        let log = world.fleet.logs(&workload, 0, 4096).await?;
        ensure!(log.len() <= 4096);
        match mode {
            "exit" => ensure!(log.contains("first line\n") && log.contains("last words")),
            "chatter" => ensure!(log.ends_with("the end of it\n"), "{log}"),
            _ => {}
        }
        workload.remove().await?;
    }
    world.fleet.close_slot(slot).await?;
    world.end().await
}
