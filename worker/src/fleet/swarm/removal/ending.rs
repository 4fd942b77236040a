//! Whether the tasks of removed services are over.
//!
//! ```text
//!   look ─► delete the services ─► look ─► look ─► …
//!                                    │ going          wait
//!                                    │ over           its container was stopped, the node says
//!                                    └ not there ──── seen over before: it is
//!                                                     vanished: it is, if nobody else led meanwhile
//! ```
//!
//! The store does not keep what was. A task whose service is gone is deleted from it by the reaper of
//! tasks, once its node has told that it is over, and 250 ms later at the earliest: between two looks
//! its last state is seen. But a manager that begins to lead deletes such tasks at once
//! (swarmkit's `CheckTasks`), whether their containers run or not, and so does one that gives up a node.
//!
//! So a task that vanished, without having been seen over, counts as over only if the same manager led
//! before and after, no more time than [`QUICK`] passed without a sight of it, and its node is a ready
//! one. The same manager cannot come to lead again within that time: where it has others beside it, an
//! election takes ten seconds, and where it has none, the look itself fails while it is away. Otherwise
//! the container may run, and that is told: the slot is then not used again, which costs a new slot, and
//! not the next participant's privacy. An anchor could not tell instead: it sees nothing of its
//! neighbours but what they answer.

use std::collections::BTreeMap;

use bollard::models::{Node, NodeState};
use futures::future::join_all;
use serde_json::Value;
use tokio::time::{Duration, Instant, sleep};

use super::{LOOK_AGAIN, READ, Swarm};
use crate::fleet::{error::FleetError, given_id::GivenId, swarm::services::filter, sweep::Removal};

/// For so long at the most a task may have been out of sight that ended meanwhile.
const QUICK: Duration = Duration::from_secs(2);

/// Tasks that were not over when they were seen last, and when that look began.
#[derive(Debug, Default)]
struct Going(BTreeMap<String, Instant>);

impl Going {
    /// Takes note of a look that began then; gives those that vanished, and since when.
    fn look(
        &mut self,
        tasks: &Value,
        ids: &[GivenId],
        began: Instant,
    ) -> BTreeMap<String, Instant> {
        let of_these = |task: &&Value| {
            task["ServiceID"].as_str().is_some_and(|of| ids.iter().any(|id| id.as_str() == of))
        };
        let mut vanished = std::mem::take(&mut self.0);
        for task in tasks.as_array().into_iter().flatten().filter(of_these) {
            let Some(id) = task["ID"].as_str() else { continue };
            vanished.remove(id);
            if !is_over(task) {
                self.0.insert(id.to_owned(), began);
            }
        }
        vanished
    }

    fn names(&self) -> String {
        self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// Whether a task's container was stopped: the swarm then takes it away by itself, since its service
/// is gone.
fn is_over(task: &Value) -> bool {
    let state = task.pointer("/Status/State").and_then(Value::as_str);
    matches!(state, Some("complete" | "failed" | "rejected" | "shutdown"))
}

/// Who can be believed that a task which vanished is over: the manager that leads, while the node is
/// one that tells.
fn witness(nodes: &[Node], node: Option<&str>) -> Option<String> {
    let ready = |id: &str| {
        let mut nodes = nodes.iter().filter(|node| node.id.as_deref() == Some(id));
        nodes.any(|node| node.status.as_ref().and_then(|it| it.state) == Some(NodeState::READY))
    };
    let leads = |node: &&Node| node.manager_status.as_ref().and_then(|it| it.leader) == Some(true);
    let leader = nodes.iter().find(leads)?.id.clone()?;
    node.is_none_or(ready).then_some(leader)
}

impl Swarm {
    /// Removes services, at the same time, and looks that their tasks are over: on one node, if it is
    /// known which.
    pub(in crate::fleet::swarm) async fn end_services(
        &self,
        ids: &[GivenId],
        node: Option<&str>,
        within: Duration,
    ) -> Result<Removal, FleetError> {
        if ids.is_empty() {
            return Ok(Removal::AlreadyGone);
        }
        let mut going = Going::default();
        // What cannot be looked at is taken away all the same.
        let before = tokio::try_join!(self.look(ids, node, &mut going), self.witness(node));
        let removals = join_all(ids.iter().map(|id| self.delete_service(id))).await;
        let (mut removal, mut left) = (Removal::AlreadyGone, Vec::new());
        for (id, removed) in ids.iter().zip(removals) {
            match removed {
                Ok(Removal::Removed) => removal = Removal::Removed,
                Ok(Removal::AlreadyGone) => {}
                Err(error) => left.push(format!("{id}: {error}")),
            }
        }
        if !left.is_empty() {
            return Err(FleetError::LeftOver { detail: left.join("; ") });
        }
        let (_, witness) = before?;
        self.until_over(ids, node, within, going, witness).await?;
        Ok(removal)
    }

    async fn until_over(
        &self,
        ids: &[GivenId],
        node: Option<&str>,
        within: Duration,
        mut going: Going,
        before: Option<String>,
    ) -> Result<(), FleetError> {
        let until = Instant::now() + within;
        loop {
            let vanished = self.look(ids, node, &mut going).await?;
            let unseen = vanished.values().map(Instant::elapsed).max();
            if let Some(unseen) = unseen
                && (unseen > QUICK || before.is_none() || self.witness(node).await? != before)
            {
                let tasks: Vec<String> = vanished.into_keys().collect();
                let detail = format!("tasks {} vanished and may still run", tasks.join(", "));
                return Err(FleetError::LeftOver { detail });
            }
            if going.0.is_empty() {
                return Ok(());
            }
            if Instant::now() >= until {
                let detail = format!("tasks {} are still there", going.names());
                return Err(FleetError::LeftOver { detail });
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Looks at the tasks of services; those that vanished, and since when.
    async fn look(
        &self,
        ids: &[GivenId],
        node: Option<&str>,
        going: &mut Going,
    ) -> Result<BTreeMap<String, Instant>, FleetError> {
        // Not by their services: those are not known any more once they are removed.
        let path = match node {
            Some(node) => format!("/tasks?filters={}", filter("node", node)),
            None => "/tasks".to_owned(),
        };
        let began = Instant::now();
        let tasks = self.endpoint.read(READ, "looking for removed tasks", &path).await?;
        Ok(going.look(&tasks, ids, began))
    }

    async fn witness(&self, node: Option<&str>) -> Result<Option<String>, FleetError> {
        Ok(witness(&self.all_nodes().await?, node))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nodes(leader: &str, grader: &str) -> Vec<Node> {
        let nodes = json!([
            { "ID": "m1", "Status": { "State": "ready" }, "ManagerStatus": { "Leader": leader == "m1" } },
            { "ID": "m2", "Status": { "State": "ready" }, "ManagerStatus": { "Leader": leader == "m2" } },
            { "ID": "g1", "Status": { "State": grader } },
        ]);
        serde_json::from_value(nodes).unwrap()
    }

    #[test]
    fn who_leads_is_believed_of_a_node_that_is_there() {
        for (leader, grader, node, believed) in [
            ("m1", "ready", Some("g1"), Some("m1")),
            ("m2", "ready", Some("g1"), Some("m2")),
            ("none", "ready", Some("g1"), None),
            ("m1", "down", Some("g1"), None),
            ("m1", "ready", Some("removed"), None),
            ("m1", "down", None, Some("m1")),
        ] {
            let told = witness(&nodes(leader, grader), node);
            assert_eq!(told.as_deref(), believed, "{leader}, {grader}, {node:?}");
        }
    }

    #[test]
    fn only_tasks_of_these_services_are_looked_for_by_their_ids() {
        let task = |id: &str, of: &str, state: &str| json!({ "ID": id, "ServiceID": of, "Status": { "State": state } });
        let (mut going, now) = (Going::default(), Instant::now());
        let ids = [GivenId::of("s1".to_owned()), GivenId::of("s2".to_owned())];
        let tasks = json!([
            task("t1", "s1", "running"),
            task("t2", "s2", "shutdown"),
            task("t3", "s3", "running"),
            { "ID": "t4", "ServiceID": "s1" },
        ]);
        assert!(going.look(&tasks, &ids, now).is_empty());
        assert_eq!(going.names(), "t1, t4");
        let tasks = json!([task("t1", "s1", "shutdown")]);
        assert_eq!(going.look(&tasks, &ids, now).into_keys().collect::<Vec<_>>(), ["t4"]);
        assert!(going.look(&json!([]), &ids, now).is_empty(), "it was seen over");
    }

    #[test]
    fn over_is_what_the_node_said_is_over() {
        for (state, over) in [
            ("new", false),
            ("pending", false),
            ("assigned", false),
            ("preparing", false),
            ("starting", false),
            ("running", false),
            ("complete", true),
            ("failed", true),
            ("rejected", true),
            ("shutdown", true),
            ("orphaned", false),
            ("remove", false),
            ("something new", false),
        ] {
            assert_eq!(is_over(&json!({ "Status": { "State": state } })), over, "{state}");
        }
        assert!(!is_over(&json!({})));
    }
}
