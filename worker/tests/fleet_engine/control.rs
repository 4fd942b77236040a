//! The control of `running`: the same program, started as an engine starts whatever it is given.
//! There, what must be refused in a slot is not refused: so those tests can fail.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bollard::{
    API_DEFAULT_VERSION, Docker,
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{
        CreateContainerOptions, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
        StartContainerOptions, WaitContainerOptions,
    },
};
use futures::StreamExt;

use crate::world::{World, engine_host};

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
    let host = engine_host()?;
    let docker = match host.strip_prefix("unix://") {
        Some(path) => Docker::connect_with_unix(path, 60, API_DEFAULT_VERSION)?,
        None => Docker::connect_with_http(&host, 60, API_DEFAULT_VERSION)?,
    };
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let id = docker.create_container(None::<CreateContainerOptions>, body).await?.id;
    let reported = async {
        docker.start_container(&id, None::<StartContainerOptions>).await?;
        let mut ends = docker.wait_container(&id, None::<WaitContainerOptions>);
        let end = tokio::time::timeout(Duration::from_secs(30), ends.next()).await?;
        end.context("it did not end")??;
        let options = LogsOptionsBuilder::new().stdout(true).build();
        let mut pieces = docker.logs(&id, Some(options));
        let mut report = Vec::new();
        while let Some(piece) = pieces.next().await {
            report.extend_from_slice(&piece?.into_bytes());
        }
        anyhow::Ok(String::from_utf8_lossy(&report).into_owned())
    };
    let reported = reported.await;
    let force = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    docker.remove_container(&id, Some(force)).await?;
    reported
}
