//! What runs as it should: an app that is asked across hosts, containers that reach each other and
//! nobody else, every way to end, and the removal.

use anyhow::{Context, Result, bail, ensure};
use bollard::{
    models::{Task, TaskState},
    query_parameters::{ListContainersOptions, ListTasksOptions},
};
use portcall_tests::wait;
use portcall_worker::fleet::{Phase, Profile, Role, SlotHealth, StartFailure};
use serde_json::json;

use crate::world::{SOON, World, ask, bare, ended};

/// On one swarm, since each of these takes less time than a swarm does to come.
#[tokio::test]
async fn what_runs_as_it_should_on_one_swarm() -> Result<()> {
    let world = World::of(3, 2).await?;
    an_app_on_a_grader_node_is_asked_from_a_manager(&world).await.context("an app")?;
    half_a_workload_is_gone_once_its_failure_is_told(&world).await.context("half a workload")?;
    slots_are_apart_and_one_that_is_dropped_is_swept(&world).await.context("slots")?;
    many_slots_are_opened_at_once_on_subnets_of_their_own(&world).await.context("many slots")?;
    world.end().await
}

#[tokio::test]
async fn full_what_ends_is_told_as_it_was() -> Result<()> {
    let world = World::of(1, 1).await?;
    every_end_is_told_as_it_was(&world).await.context("every end")?;
    an_image_without_a_command_that_can_run_is_its_authors(&world).await.context("commands")?;
    world.end().await
}

async fn an_app_on_a_grader_node_is_asked_from_a_manager(world: &World) -> Result<()> {
    let fleet = world.fleet("g1").await?;
    let facts = fleet.facts().await?;
    assert_eq!((facts.name.as_str(), facts.api, facts.arch.as_str()), ("g1", (1, 41), "amd64"));
    let node = world.node("g1").await?;
    assert_eq!(node.slots, Some(3), "by its label");
    let slot = fleet.open_slot(0).await?;
    ensure!(slot.node().remaps_users(), "the anchor says so");
    assert_eq!(fleet.slot_alive(&slot).await, SlotHealth::Alive);
    let disk = fleet.disk(&slot).await?;
    ensure!(disk.total_bytes > 0 && disk.free_bytes <= disk.total_bytes, "{disk:?}");

    // Two containers and a service that the event gives, under both profiles.
    let image = world.image(&["serve", "one"]).await?;
    let other = world.image(&["serve", "two"]).await?;
    let mut specs =
        vec![world.spec(&fleet, "vote", &image).await?, world.spec(&fleet, "redis", &other).await?];
    assert_eq!(specs[0].declared.volumes, ["/data"]);
    specs[1].role = Role::Service;
    let workload = fleet.start(&slot, &world.owner(), &specs).await?;
    assert_eq!(ask(&slot, &workload, 0, "/").await?, "one");
    assert_eq!(ask(&slot, &workload, 1, "/").await?, "two");
    assert_eq!(ask(&slot, &workload, 0, "/peer/redis").await?, "two");
    let states = fleet.states(&workload).await?;
    ensure!(states.iter().all(|state| state.phase == Phase::Running), "{states:#?}");
    ensure!(states.iter().all(|state| state.address.is_some() && state.started_at.is_some()));
    assert_eq!(states.iter().map(|s| s.address).collect::<Vec<_>>(), workload.addresses());
    ensure!(!fleet.counts_roots());
    assert_eq!(fleet.written(&workload).await?, [None, None]);
    // They are where they belong, and nowhere else.
    ensure!(tasks_on(world, "g1").await? == 3, "two and the anchor");
    ensure!(tasks_on(world, "g2").await? == 0);
    workload.remove().await?;
    assert_eq!(fleet.slot_alive(&slot).await, SlotHealth::Alive);

    // The slot serves again, under the other profile, where the root cannot be written.
    let mut spec = world.spec(&fleet, "vote", &image).await?;
    (spec.profile, spec.limits) = (Profile::Strict, bare("", "", Profile::Strict).limits);
    let workload = fleet.start(&slot, &world.owner(), &[spec]).await?;
    let written = ask(&slot, &workload, 0, "/write").await?;
    ensure!(written.contains("/written=Read-only") && written.contains("/tmp/written=ok"));
    ensure!(written.contains("/data/written=ok") && written.contains("shm_4_mib=false"));
    let limits = ask(&slot, &workload, 0, "/limits").await?;
    ensure!(limits.contains(&(256 << 20).to_string()), "{limits}");
    workload.remove().await?;
    fleet.close_slot(slot).await?;
    world.left_clean().await
}

/// Whoever is next in the slot meets nothing of it.
async fn half_a_workload_is_gone_once_its_failure_is_told(world: &World) -> Result<()> {
    let fleet = world.fleet("g1").await?;
    let slot = fleet.open_slot(0).await?;
    // The first process of its container: only what cannot be ignored ends it.
    let stays = world.image(&["serve", "stays"]).await?;
    let broken = json!({ "Entrypoint": ["/app"], "User": "nobody-here" });
    let broken = world.image_with(broken).await?;
    let mut specs =
        vec![world.spec(&fleet, "app", &stays).await?, world.spec(&fleet, "bad", &broken).await?];
    specs[1].index = 1;
    for round in 0..3 {
        match fleet.start(&slot, &world.owner(), &specs).await {
            Err(StartFailure::StartFailed { index: 1, .. }) => {}
            other => bail!("round {round}: {other:?}"),
        }
        // Now, and not soon: this is when the slot is given to the next one.
        let (running, tasks) =
            tokio::try_join!(running_on(world, "g1"), unfinished_tasks(world, "m1"))?;
        assert_eq!(fleet.slot_alive(&slot).await, SlotHealth::Alive);
        assert_eq!((running, tasks), (1, 1), "round {round}: the anchor alone");
    }
    // The control: the same looks find it when it runs.
    let workload = fleet.start(&slot, &world.owner(), &specs[..1]).await?;
    assert_eq!(ask(&slot, &workload, 0, "/").await?, "stays");
    assert_eq!((running_on(world, "g1").await?, unfinished_tasks(world, "m1").await?), (2, 2));
    workload.remove().await?;
    fleet.close_slot(slot).await?;
    world.left_clean().await
}

/// Containers that run on a host.
async fn running_on(world: &World, host: &str) -> Result<usize> {
    let options = None::<ListContainersOptions>;
    Ok(world.lab.docker(host)?.list_containers(options).await?.len())
}

/// Services' tasks whose nodes have not told that they are over.
async fn unfinished_tasks(world: &World, manager: &str) -> Result<usize> {
    let tasks = world.lab.docker(manager)?.list_tasks(None::<ListTasksOptions>).await?;
    let over = |task: &Task| {
        let state = task.status.as_ref().and_then(|status| status.state);
        let over =
            [TaskState::COMPLETE, TaskState::FAILED, TaskState::REJECTED, TaskState::SHUTDOWN];
        state.is_some_and(|state| over.contains(&state))
    };
    Ok(tasks.iter().filter(|task| task.service_id.is_some() && !over(task)).count())
}

/// Containers on a grader node.
async fn tasks_on(world: &World, host: &str) -> Result<usize> {
    Ok(world.lab.engine(host)?.inventory().await?.containers.len())
}

async fn every_end_is_told_as_it_was(world: &World) -> Result<()> {
    let fleet = world.fleet("g1").await?;
    let slot = fleet.open_slot(0).await?;
    for (arguments, code, words) in [
        (&["exit"][..], 3, "last words"),
        (&["report"], 0, "/etc/resolv.conf"),
        (&["chatter"], 0, "the end of it"),
        // The kernel ends it: nobody tells, but the code does.
        (&["memory"], 137, ""),
        (&["nonsense"], 64, "unknown mode"),
    ] {
        let image = world.image(arguments).await?;
        let spec = world.spec(&fleet, "app", &image).await?;
        let workload = fleet.start(&slot, &world.owner(), &[spec]).await?;
        let states = ended(&fleet, &workload).await?;
        assert_eq!(states[0].phase, Phase::Exited { exit_code: code }, "{arguments:?}");
        ensure!(states[0].address.is_none() && !states[0].oom_killed, "{states:?}");
        assert_eq!(fleet.states(&workload).await?, states, "and so it stays");
        let log = fleet.logs(&workload, 0, 2000).await?;
        ensure!(log.len() <= 2000 && log.contains(words), "{arguments:?}: {log}");
        workload.remove().await?;
    }
    assert_eq!(fleet.slot_alive(&slot).await, SlotHealth::Alive);
    fleet.close_slot(slot).await?;
    world.left_clean().await
}

async fn slots_are_apart_and_one_that_is_dropped_is_swept(world: &World) -> Result<()> {
    let (one, other) = (world.fleet("g1").await?, world.fleet("g2").await?);
    let (first, second, third) =
        tokio::try_join!(one.open_slot(0), one.open_slot(1), other.open_slot(0))?;
    let image = world.image(&["serve", "hello"]).await?;
    let spec = world.spec(&one, "app", &image).await?;
    let workload = one.start(&first, &world.owner(), std::slice::from_ref(&spec)).await?;
    let beside = one.start(&second, &world.owner(), std::slice::from_ref(&spec)).await?;
    let far = other.start(&third, &world.owner(), std::slice::from_ref(&spec)).await?;
    for (slot, workload) in [(&first, &workload), (&second, &beside), (&third, &far)] {
        assert_eq!(ask(slot, workload, 0, "/").await?, "hello");
    }
    let address =
        |workload: &portcall_worker::fleet::Workload| workload.addresses()[0].context("no address");
    // Neither a neighbour on the same node nor one on another is reached, nor a manager.
    let manager = world.lab.host("m1")?.address;
    for target in [address(&beside)?, address(&far)?, manager] {
        for port in [80, 2376, 2377] {
            let dialled = ask(&first, &workload, 0, &format!("/dial/{target}/{port}")).await?;
            ensure!(dialled.starts_with("error"), "{target}:{port}: {dialled}");
        }
    }
    let own = ask(&first, &workload, 0, &format!("/dial/{}/80", address(&workload)?)).await?;
    assert_eq!(own, "connected", "the control");
    beside.remove().await?;
    far.remove().await?;

    // A worker that dies: everything of it is found, and nothing else is.
    drop((workload, first, second, third));
    let sweep = world.nodes.sweep().await?;
    let mut kinds: Vec<String> = sweep
        .found
        .iter()
        .map(|found| format!("{:?} {}", found.object, found.kind.as_str()))
        .collect();
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds, ["Container prober", "Network slot", "Service prober", "Service workload"]);
    assert_eq!(sweep.found.len(), 3 + 3 + 3 + 1);
    for found in &sweep.found {
        wait::until(format!("{} gone", found.name), SOON, || async {
            Ok(world.nodes.remove_found(found).await.ok())
        })
        .await?;
    }
    assert_eq!(world.nodes.sweep().await?.found, []);
    world.left_clean().await
}

/// A manager answers for a network before its leader has furnished it: here four at the same time.
async fn many_slots_are_opened_at_once_on_subnets_of_their_own(world: &World) -> Result<()> {
    let (one, other) = (world.fleet("g1").await?, world.fleet("g2").await?);
    let opened = (0..4).map(|number| {
        let fleet = if number % 2 == 0 { &one } else { &other };
        async move { Ok::<_, anyhow::Error>((fleet, fleet.open_slot(number).await?)) }
    });
    let opened = futures::future::try_join_all(opened).await?;
    let subnets: std::collections::HashSet<_> =
        opened.iter().map(|(_, slot)| slot.subnet()).collect();
    assert_eq!(subnets.len(), 4);
    for (fleet, slot) in &opened {
        assert_eq!(fleet.slot_alive(slot).await, SlotHealth::Alive);
    }
    let closed = opened.into_iter().map(|(fleet, slot)| fleet.close_slot(slot));
    futures::future::try_join_all(closed).await?;
    world.left_clean().await
}

async fn an_image_without_a_command_that_can_run_is_its_authors(world: &World) -> Result<()> {
    let fleet = world.fleet("g1").await?;
    let slot = fleet.open_slot(0).await?;
    for (config, words) in [
        (json!({ "Entrypoint": ["/nowhere"] }), "no such file or directory"),
        (json!({ "Entrypoint": ["/garbage"] }), "exec format error"),
        (json!({ "Entrypoint": ["/app"], "User": "nobody-here" }), "unable to find user"),
    ] {
        let image = world.image_with(config.clone()).await?;
        let spec = world.spec(&fleet, "app", &image).await?;
        // What the runtime finds out at last may have run by then, as the manager sees it.
        let detail = match fleet.start(&slot, &world.owner(), &[spec]).await {
            Err(StartFailure::StartFailed { index: 0, detail }) => detail,
            Err(failure) => bail!("{config}: {failure}"),
            Ok(workload) => {
                let states = ended(&fleet, &workload).await?;
                workload.remove().await?;
                match &states[0].phase {
                    Phase::NotStarted { detail, .. } => detail.clone(),
                    other => bail!("{config}: {other:?}"),
                }
            }
        };
        ensure!(detail.contains(words), "{config}: {detail}");
        assert_eq!(fleet.slot_alive(&slot).await, SlotHealth::Alive, "{config}");
    }
    fleet.close_slot(slot).await?;
    world.left_clean().await
}
