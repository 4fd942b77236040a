//! What does not start, and whose fault that is.

use std::time::Duration;

use anyhow::Result;
use portcall_worker::fleet::{
    Came, FleetError, Phase, Profile, PullFailure, SlotHealth, StartFailure,
};
use serde_json::json;

use crate::world::{World, ended};

const WITHIN: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_command_that_cannot_be_executed_is_the_participants_fault() -> Result<()> {
    let world = World::new()?;
    let slot = world.fleet.open_slot(0).await?;
    let nobody = json!({ "Entrypoint": ["/app"], "User": "nobody-here" });
    for (profile, config, why) in [
        (Profile::Ordinary, json!({ "Entrypoint": ["/garbage"] }), "exec format error"),
        (Profile::Ordinary, json!({ "Entrypoint": ["/missing"] }), "no such file or directory"),
        (Profile::Ordinary, json!({ "Entrypoint": ["/plain"] }), "permission denied"),
        (Profile::Ordinary, json!({ "Entrypoint": ["missing"] }), "executable file not found"),
        (Profile::Ordinary, nobody, "unable to find user"),
        (Profile::Ordinary, json!({}), "o command specified"),
        (Profile::Strict, json!({ "Entrypoint": ["/missing"] }), "No such file or directory"),
        (Profile::Strict, json!({ "Entrypoint": ["/plain"] }), "Permission denied"),
    ] {
        let image = world.image_with(config).await?;
        let spec = world.spec("app", &image, profile).await?;
        // In a strict container an init executes the command, and may be slower than our look.
        let detail = match world.fleet.start(&slot, &world.owner(), &[spec]).await {
            Err(StartFailure::StartFailed { index: 0, detail }) => detail,
            Err(other) => panic!("{why}: {other:?}"),
            Ok(workload) => {
                let states = ended(&world.fleet, &workload).await?;
                workload.remove().await?;
                let Phase::NotStarted { detail, .. } = states[0].phase.clone() else {
                    panic!("{why}: {states:?}")
                };
                detail
            }
        };
        println!("{why}: {detail}");
        assert!(detail.contains(why), "{detail}");
        assert_eq!(world.fleet.slot_alive(&slot).await, SlotHealth::Alive);
    }
    world.fleet.close_slot(slot).await?;
    world.end().await
}

#[tokio::test]
async fn tricks_in_the_configuration_are_refused() -> Result<()> {
    let world = World::new()?;
    let slot = world.fleet.open_slot(0).await?;
    for config in [
        json!({ "Entrypoint": ["/app"], "WorkingDir": "/proc/self/fd/7" }),
        json!({ "Entrypoint": ["/app"], "Volumes": { "/proc": {} } }),
        json!({ "Entrypoint": ["/app"], "User": "4294967296" }),
    ] {
        let image = world.image_with(config.clone()).await?;
        let spec = world.spec("app", &image, Profile::Ordinary).await?;
        let failure = world.fleet.start(&slot, &world.owner(), &[spec]).await.unwrap_err();
        assert!(matches!(failure, StartFailure::ConfigRefused { .. }), "{config}: {failure:?}");
    }
    world.fleet.close_slot(slot).await?;
    world.end().await
}

#[tokio::test]
async fn a_failed_pull_says_whose_fault_it_is() -> Result<()> {
    let world = World::new()?;
    let digest = "0".repeat(64);
    let missing = format!("{}/fleet/app@sha256:{digest}", world.registry);
    let failure = world.fleet.pull(&missing, WITHIN).await.unwrap_err();
    println!("{failure}");
    assert!(matches!(failure, PullFailure::NotFound { .. }), "{failure:?}");

    let nobody = format!("127.0.0.1:1/fleet/app@sha256:{digest}");
    let failure = world.fleet.pull(&nobody, WITHIN).await.unwrap_err();
    println!("{failure}");
    assert!(matches!(failure, PullFailure::RegistryDown { .. }), "{failure:?}");

    let tagged = format!("{}/fleet/app:latest", world.registry);
    let failure = world.fleet.pull(&tagged, WITHIN).await.unwrap_err();
    assert!(matches!(failure, PullFailure::Engine(FleetError::NotPinned(_))), "{failure:?}");

    let foreign = world.push("s390x", json!({ "Entrypoint": ["/app"] })).await?;
    let failure = world.fleet.pull(&foreign, WITHIN).await.unwrap_err();
    println!("{failure}");
    assert!(matches!(failure, PullFailure::WrongPlatform { .. }), "{failure:?}");

    let label = world.worker.to_string();
    let image = world.push("amd64", json!({ "Entrypoint": ["/app"], "Labels": { "x": label } }));
    let image = image.await?;
    assert_eq!(world.fleet.pull(&image, WITHIN).await?.came, Came::Fetched);
    assert_eq!(world.fleet.pull(&image, WITHIN).await?.came, Came::AlreadyThere);
    world.end().await
}

/// A registry that takes the connection and says nothing.
#[tokio::test]
async fn a_registry_that_stalls_is_given_up_at_the_deadline() -> Result<()> {
    let world = World::new()?;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let image = format!("{}/fleet/app@sha256:{}", silent.local_addr()?, "0".repeat(64));
    let began = tokio::time::Instant::now();
    let failure = world.fleet.pull(&image, Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(failure, PullFailure::Slow { .. }), "{failure:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
    world.end().await
}
