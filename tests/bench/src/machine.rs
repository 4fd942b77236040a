//! The line that says what was measured on.

use std::fs;

use anyhow::Result;
use bollard::Docker;
use bson::doc;
use portcall_tests::parts::given;

/// Processors, kernel, engine and MongoDB, as far as they are there.
///
/// # Errors
/// When one that is given does not answer.
pub async fn line() -> Result<String> {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let mut parts = vec![
        format!("{cpus} cpus ({model})"),
        format!("Linux {}", kernel.trim()),
        format!("load before {load}"),
    ];
    if let Ok(host) = given::docker_host() {
        let version = Docker::connect_with_host(&host)?.version().await?;
        parts.push(format!("engine {}", version.version.unwrap_or_default()));
    }
    if let Some(uri) = given::mongodb_uri() {
        let client = mongodb::Client::with_uri_str(uri).await?;
        let info = client.database("admin").run_command(doc! { "buildInfo": 1 }).await?;
        parts.push(format!("MongoDB {}", info.get_str("version").unwrap_or_default()));
        client.shutdown().await;
    }
    let built = if cfg!(debug_assertions) { "built for development" } else { "built for release" };
    parts.push(built.to_owned());
    Ok(parts.join(", "))
}
