//! The control of `running`: the same program, started as an engine starts whatever it is given.
//! There, what must be refused in a slot is not refused: so those tests can fail.

use anyhow::{Result, ensure};
use bollard::models::{ContainerCreateBody, HostConfig};

use crate::{
    raw::{RawEngine, labels},
    world::World,
};

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
