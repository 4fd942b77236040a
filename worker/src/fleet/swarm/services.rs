//! Making one service under a name of ours, and giving it its one task. The name makes it idempotent:
//! a service whose answer was lost, or that another manager made just before it died, is found again,
//! and taken over if it is exactly what was asked for.

use std::{collections::HashMap, time::Duration};

use bollard::{Docker, models::ServiceSpec, query_parameters::UpdateServiceOptionsBuilder};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    READ, Swarm, WRITE,
    nodes::is_out_of_sequence,
    readback,
    request::with_its_task,
    tasks::{Stage, StartTimes, Task},
};
use crate::fleet::{engine::creation::CreateFailure, error::FleetError, given_id::GivenId};

/// How often a service is asked for: once, again after a lost answer, and once more after an older
/// one with its name was removed.
const TRIES: u32 = 3;
/// Between two looks at a task that is on its way, for the time in which most come to run; and after that.
const LOOK: Duration = Duration::from_millis(20);
const LOOK_LATER: Duration = Duration::from_millis(100);
const SOON: Duration = Duration::from_secs(1);

/// A service as it is stored.
struct Stored {
    id: GivenId,
    /// The version that the next change must name.
    version: u64,
    spec: Value,
}

impl Swarm {
    /// Makes a service without a task, and reads it back; gives its id.
    pub(super) async fn make_service(&self, spec: &ServiceSpec) -> Result<GivenId, CreateFailure> {
        let name = spec.name.as_deref().unwrap_or_default();
        let mut last = None;
        for _ in 0..TRIES {
            let create = |docker: Docker| {
                let spec = spec.clone();
                async move { docker.create_service(spec, None).await }
            };
            let doing = "making a service";
            let id = match self.endpoint.ask(WRITE, doing, create).await {
                Ok(created) => GivenId::of(created.id.unwrap_or_default()),
                Err(error @ FleetError::Refused { status: 409, .. }) => {
                    match self.take_over(name, spec).await? {
                        Some(id) => id,
                        None => {
                            last = Some(error);
                            continue;
                        }
                    }
                }
                Err(error) => return Err(error.into()),
            };
            let differing = readback::differences(spec, &self.stored(id.as_str()).await?.spec);
            if differing.is_empty() {
                return Ok(id);
            }
            self.delete_service(&id).await?;
            return Err(CreateFailure::Differs(differing));
        }
        let taken = || FleetError::NameTaken { name: name.to_owned() };
        Err(last.unwrap_or_else(taken).into())
    }

    /// The service that has our name already: taken over if it is ours, for the same purpose and
    /// without a task; removed if it is ours; not touched if it is not.
    async fn take_over(
        &self,
        name: &str,
        spec: &ServiceSpec,
    ) -> Result<Option<GivenId>, FleetError> {
        let there = match self.stored(name).await {
            Err(error) if error.is_not_found() => return Ok(None),
            answer => answer?,
        };
        let key = &self.settings.key;
        let ours = key
            .verify(&labels(&there.spec))
            .ok_or_else(|| FleetError::NameTaken { name: name.to_owned() })?;
        let wanted = spec.labels.as_ref().and_then(|labels| key.verify(labels));
        if wanted == Some(ours) && readback::differences(spec, &there.spec).is_empty() {
            tracing::info!(service = name, "took over a service whose answer was lost");
            return Ok(Some(there.id));
        }
        self.remove_services(&[there.id], None).await?;
        Ok(None)
    }

    /// The ids of services by their names, of those that are there and ours.
    pub(super) async fn ours_named(&self, names: &[String]) -> Result<Vec<GivenId>, FleetError> {
        let mut ids = Vec::new();
        for name in names {
            match self.stored(name).await {
                Ok(there) if self.settings.key.verify(&labels(&there.spec)).is_some() => {
                    ids.push(there.id);
                }
                Ok(_) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(ids)
    }

    /// Gives a service its one task.
    pub(super) async fn give_task(
        &self,
        id: &GivenId,
        spec: &ServiceSpec,
    ) -> Result<(), FleetError> {
        let id = id.as_str();
        let doing = "giving a service its task";
        let mut last = None;
        for _ in 0..TRIES {
            let stored = self.stored(id).await?;
            let replicas = stored.spec.pointer("/Mode/Replicated/Replicas");
            if replicas.and_then(Value::as_u64) == Some(1) {
                return Ok(());
            }
            let version = i32::try_from(stored.version).unwrap_or(i32::MAX);
            let update = |docker: Docker| {
                let spec = with_its_task(spec);
                let options = UpdateServiceOptionsBuilder::new().version(version).build();
                async move { docker.update_service(id, spec, options, None).await }
            };
            match self.endpoint.ask(WRITE, doing, update).await {
                Ok(_) => return Ok(()),
                Err(error) if is_out_of_sequence(&error) => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        let changing = || FleetError::Answer { doing, detail: "it changes on and on".to_owned() };
        Err(last.unwrap_or_else(changing))
    }

    /// Waits until a service's task runs, or is over.
    pub(super) async fn until_it_runs(
        &self,
        id: &GivenId,
        name: &str,
        times: &StartTimes,
    ) -> Result<Task, FleetError> {
        let began = Instant::now();
        let (mut stage, mut since) = (Stage::Unplaced, began);
        loop {
            let task = self.task_of(id).await?;
            let now = task.as_ref().map_or(Stage::Unplaced, |task| task.stage);
            if now != stage {
                (stage, since) = (now, Instant::now());
            }
            match (stage.may_last(times), task) {
                (None, Some(task)) => return Ok(task),
                (Some(most), task) if since.elapsed() >= most => {
                    let words = task.map(|task| task.words).unwrap_or_default();
                    return Err(stage.too_long(name, most, &words));
                }
                _ if began.elapsed() < SOON => sleep(LOOK).await,
                _ => sleep(LOOK_LATER).await,
            }
        }
    }

    /// A service's task: the last one, should there ever have been several.
    pub(super) async fn task_of(&self, service: &GivenId) -> Result<Option<Task>, FleetError> {
        let path = format!("/tasks?filters={}", filter("service", service.as_str()));
        match self.endpoint.read(READ, "looking at a task", &path).await {
            Ok(tasks) => Ok(latest(&tasks)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn stored(&self, name: &str) -> Result<Stored, FleetError> {
        let doing = "looking at a service";
        let mut document = self.endpoint.read(READ, doing, &format!("/services/{name}")).await?;
        let missing = || FleetError::Answer { doing, detail: "no id or version in it".to_owned() };
        let id = GivenId::of(document["ID"].as_str().ok_or_else(missing)?.to_owned());
        let version = document.pointer("/Version/Index").and_then(Value::as_u64);
        Ok(Stored { id, version: version.ok_or_else(missing)?, spec: document["Spec"].take() })
    }
}

fn labels(spec: &Value) -> HashMap<String, String> {
    let labels = spec["Labels"].as_object().into_iter().flatten();
    labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn latest(tasks: &Value) -> Option<Task> {
    let made = |task: &&Value| task["CreatedAt"].as_str().unwrap_or_default().to_owned();
    Task::read(tasks.as_array()?.iter().max_by_key(made)?)
}

/// A filter of lists, as it stands in a path. Ids have letters and digits, nothing to be escaped.
pub(super) fn filter(by: &str, value: &str) -> String {
    format!("%7B%22{by}%22%3A%5B%22{value}%22%5D%7D")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_several_tasks_the_last_one_counts() {
        let task = |id: &str, made: &str| json!({ "ID": id, "CreatedAt": made, "Status": { "State": "running" } });
        let tasks = json!([
            task("b", "2026-11-21T06:00:01.1Z"),
            task("c", "2026-11-21T06:00:01.2Z"),
            task("a", "2026-11-21T05:59:59.9Z"),
        ]);
        assert_eq!(latest(&tasks).map(|task| task.id).as_deref(), Some("c"));
        assert_eq!(latest(&json!([])), None);
        assert_eq!(latest(&json!(null)), None);
    }

    #[test]
    fn a_filter_is_the_document_that_it_stands_for() {
        let written = filter("service", "abc123");
        let plain = written.replace("%7B", "{").replace("%7D", "}").replace("%22", "\"");
        let plain = plain.replace("%3A", ":").replace("%5B", "[").replace("%5D", "]");
        let read: Value = serde_json::from_str(&plain).unwrap();
        assert_eq!(read, json!({ "service": ["abc123"] }));
    }
}
