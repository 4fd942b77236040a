//! What is left on the engines of a lab.

use anyhow::Result;
use bollard::query_parameters::{ListServicesOptions, ListTasksOptions};

use super::Lab;

/// Networks that every engine has, and those of every swarm.
const ALWAYS: [&str; 5] = ["bridge", "host", "none", "docker_gwbridge", "ingress"];

impl Lab {
    /// Everything that somebody made and did not remove, on each engine that is on: containers,
    /// networks, volumes, and of the swarm services and tasks.
    ///
    /// # Errors
    /// When an engine does not answer.
    pub async fn left_over(&self) -> Result<Vec<String>> {
        let mut left = Vec::new();
        let hosts = self.hosts()?;
        for host in hosts.iter().filter(|host| host.socket.is_some() && host.pid.is_some()) {
            let found = self.engine(&host.name)?.inventory().await?;
            let networks = found.networks.iter().filter(|name| !ALWAYS.contains(&name.as_str()));
            let kinds = [
                ("container", found.containers.iter().collect::<Vec<_>>()),
                ("network", networks.collect()),
                ("volume", found.volumes.iter().collect()),
            ];
            for (kind, names) in kinds {
                left.extend(names.into_iter().map(|name| format!("{}: {kind} {name}", host.name)));
            }
        }
        let docker = self.docker(&self.leader().await?)?;
        for service in docker.list_services(None::<ListServicesOptions>).await? {
            let name = service.spec.and_then(|spec| spec.name).unwrap_or_default();
            left.push(format!("swarm: service {name}"));
        }
        for task in docker.list_tasks(None::<ListTasksOptions>).await? {
            left.push(format!("swarm: task {}", task.id.unwrap_or_default()));
        }
        Ok(left)
    }
}
