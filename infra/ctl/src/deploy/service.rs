//! A service of the stack, and its tasks, as the swarm tells of them.

use serde_json::Value;

use super::docker::Docker;
use crate::failure::Failure;

/// A service of the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// Its name in the stack.
    pub(super) name: String,
    /// The image that its tasks are to have, perhaps with a digest.
    pub(super) image: String,
    /// That of the specification before this one.
    pub(super) previous: Option<String>,
    /// How many tasks there are to be.
    pub(super) replicas: u64,
    /// How its last change goes, in the swarm's word; empty where there was none.
    pub(super) state: String,
    /// What the swarm says about that.
    pub(super) message: String,
}

/// One task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    /// Its id.
    pub(super) id: String,
    /// Its name: the service's and a number.
    pub(super) name: String,
    /// Its image, without a digest.
    pub(super) image: String,
    /// The machine it is on.
    pub(super) node: String,
    /// Whether it is to run.
    pub(super) wanted: bool,
    /// What it does, such as `Running`, `Starting`, `Failed`.
    pub(super) state: String,
    /// Why it ended.
    pub(super) error: String,
}

/// An image's name without its digest.
pub(super) fn plain(image: &str) -> &str {
    image.split('@').next().unwrap_or_default()
}

/// The tag of an image.
pub(super) fn tag(image: &str) -> &str {
    plain(image).rsplit('/').next().and_then(|name| name.split_once(':')).map_or("latest", |t| t.1)
}

impl Service {
    pub(super) fn image(&self) -> &str {
        plain(&self.image)
    }

    pub(super) fn tag(&self) -> &str {
        tag(&self.image)
    }

    /// From what `docker service inspect` says.
    fn of(stack: &str, value: &Value) -> Option<Self> {
        let spec = &value["Spec"];
        let image = |spec: &Value| {
            spec["TaskTemplate"]["ContainerSpec"]["Image"].as_str().map(str::to_owned)
        };
        let update = &value["UpdateStatus"];
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Some(Self {
            name: spec["Name"].as_str()?.strip_prefix(stack)?.strip_prefix('_')?.to_owned(),
            image: image(spec)?,
            previous: image(&value["PreviousSpec"]),
            replicas: spec["Mode"]["Replicated"]["Replicas"].as_u64().unwrap_or(1),
            state: word(&update["State"]),
            message: word(&update["Message"]),
        })
    }
}

impl Task {
    /// From a line of `docker service ps`.
    fn of(value: &Value) -> Self {
        let word = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        // "Running 3 seconds ago".
        let state = word("CurrentState").split(' ').next().unwrap_or_default().to_owned();
        Self {
            id: word("ID"),
            // What has ended is drawn below what came after it.
            name: word("Name").trim().trim_start_matches("\\_").trim().to_owned(),
            image: plain(&word("Image")).to_owned(),
            node: word("Node"),
            wanted: matches!(word("DesiredState").as_str(), "Running" | "Ready"),
            state,
            error: word("Error").trim_matches('"').to_owned(),
        }
    }

    pub(super) fn tag(&self) -> &str {
        tag(&self.image)
    }

    /// Whether it runs, and is well as far as its health is looked at.
    pub(super) fn runs(&self) -> bool {
        self.wanted && self.state == "Running"
    }
}

/// Those of these services that the stack has.
pub(super) async fn all(
    swarm: &Docker,
    stack: &str,
    names: &[&str],
) -> Result<Vec<Service>, Failure> {
    let label = format!("label=com.docker.stack.namespace={stack}");
    let there = swarm.ask(&["service", "ls", "--filter", &label, "--format", "{{.Name}}"]).await?;
    let mut found = Vec::new();
    for name in names {
        let full = format!("{stack}_{name}");
        if there.lines().any(|line| line == full) {
            let words = ["service", "inspect", "--format", "{{json .}}", full.as_str()];
            let values = swarm.ask_json(&words).await?;
            found.extend(values.iter().filter_map(|value| Service::of(stack, value)));
        }
    }
    Ok(found)
}

/// The tasks of a service, those that ended last among them.
pub(super) async fn tasks(swarm: &Docker, stack: &str, name: &str) -> Result<Vec<Task>, Failure> {
    let full = format!("{stack}_{name}");
    let words = ["service", "ps", "--no-trunc", "--format", "{{json .}}", full.as_str()];
    Ok(swarm.ask_json(&words).await?.iter().map(Task::of).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_is_read_from_what_the_swarm_says() {
        let value = json!({
            "Spec": {
                "Name": "portcall_api",
                "TaskTemplate": { "ContainerSpec": { "Image": "10.0.0.9:5000/portcall/api:b@sha256:00" } },
                "Mode": { "Replicated": { "Replicas": 3 } },
            },
            "PreviousSpec": {
                "TaskTemplate": { "ContainerSpec": { "Image": "10.0.0.9:5000/portcall/api:a" } },
            },
            "UpdateStatus": { "State": "updating", "Message": "update in progress" },
        });
        let service = Service::of("portcall", &value).unwrap();
        assert_eq!((service.name.as_str(), service.replicas), ("api", 3));
        assert_eq!((service.tag(), service.image()), ("b", "10.0.0.9:5000/portcall/api:b"));
        assert_eq!(service.previous.as_deref().map(tag), Some("a"));
        assert_eq!(service.state, "updating");
        assert_eq!(Service::of("port", &value), None);
    }

    #[test]
    fn a_task_is_read_from_a_line() {
        let line = json!({
            "ID": "x1", "Name": " \\_ portcall_api.2", "Image": "p/api:a@sha256:00", "Node": "m1",
            "DesiredState": "Shutdown", "CurrentState": "Failed 3 seconds ago",
            "Error": "\"task: non-zero exit (64)\"",
        });
        let task = Task::of(&serde_json::from_str(&line.to_string()).unwrap());
        assert_eq!((task.tag(), task.state.as_str()), ("a", "Failed"));
        assert_eq!(task.error, "task: non-zero exit (64)");
        assert!(!task.runs());
        assert_eq!(task.name, "portcall_api.2");
    }

    #[test]
    fn a_port_is_no_tag() {
        assert_eq!(tag("10.0.0.9:5000/portcall/api"), "latest");
        assert_eq!(tag("api:1@sha256:00"), "1");
    }
}
