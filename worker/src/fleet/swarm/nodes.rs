//! Which nodes a swarm has for strangers' containers, and what it says of them.
//!
//! What a node is called it says itself, and one that was taken over may say anything: another's name, so
//! that orders for that one are its, or what ends an operator's terminal. So a name counts only if it is a
//! plain one and no other node's; a node without such a name is called by its id, which the managers gave
//! it.

use std::sync::Arc;

use bollard::{
    models::{Node as Stored, NodeSpec, NodeSpecAvailabilityEnum, NodeSpecRoleEnum, NodeState},
    query_parameters::{ListNodesOptions, UpdateNodeOptionsBuilder},
};
use portcall_shared::domain::host_name::HostName;

use super::{READ, Swarm, WRITE, request::GRADER};
use crate::fleet::{
    Availability, Fleet, Limits, Node, Profile,
    error::{FleetError, cut},
};

/// The label that says how many submissions at once a node has room for.
const SLOTS: &str = "portcall.slots";
/// The most that are taken to fit on one node.
const MOST_SLOTS: u32 = 64;
/// Of a node's memory strangers may have so much, in per cent; the rest is the node's own.
const SHARE: u64 = 80;
const MIB: u64 = 1024 * 1024;
/// How often a change of a node is tried that somebody else changed meanwhile.
const TRIES: u32 = 3;

impl Swarm {
    /// The grader nodes: workers of the swarm that wear our label.
    pub(in crate::fleet) async fn list(self: &Arc<Self>) -> Result<Vec<Node>, FleetError> {
        let nodes = self.all_nodes().await?;
        let mut found: Vec<Node> = nodes
            .iter()
            .filter(|node| is_grader(node))
            .filter_map(|node| {
                let id = node.id.clone()?;
                Some(Node {
                    name: Some(name(node, &nodes).unwrap_or_else(|| id.clone())),
                    slots: Some(slots(node)),
                    availability: availability(node),
                    fleet: Fleet::Swarm(self.fleet(&id)),
                    id,
                })
            })
            .collect();
        found.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        Ok(found)
    }

    /// Every node of the swarm as it is stored, managers too.
    pub(super) async fn all_nodes(&self) -> Result<Vec<Stored>, FleetError> {
        let list = |docker: bollard::Docker| async move {
            docker.list_nodes(None::<ListNodesOptions>).await
        };
        self.endpoint.ask(READ, "listing nodes", list).await
    }

    /// A node as it is stored, and its name among all of them; none if it is called by its id.
    pub(super) async fn named_node(
        &self,
        id: &str,
    ) -> Result<(Stored, Option<String>), FleetError> {
        let nodes = self.all_nodes().await?;
        let Some(node) = nodes.iter().find(|node| node.id.as_deref() == Some(id)) else {
            return Err(FleetError::Refused {
                doing: "looking at a node",
                status: 404,
                message: format!("node {id} not found"),
            });
        };
        let name = name(node, &nodes);
        Ok((node.clone(), name))
    }

    /// A node as it is stored.
    pub(super) async fn node(&self, id: &str) -> Result<Stored, FleetError> {
        let look = |docker: bollard::Docker| async move { docker.inspect_node(id).await };
        self.endpoint.ask(READ, "looking at a node", look).await
    }

    /// Keeps the scheduler away from a node, or lets it come again.
    pub(in crate::fleet) async fn set_availability(
        &self,
        id: &str,
        wanted: NodeSpecAvailabilityEnum,
    ) -> Result<(), FleetError> {
        let doing = "changing a node";
        let mut last = None;
        for _ in 0..TRIES {
            let node = self.node(id).await?;
            let spec = node.spec.clone().unwrap_or_default();
            if spec.availability == Some(wanted) {
                return Ok(());
            }
            let index = node.version.and_then(|version| version.index).unwrap_or_default();
            let version = i64::try_from(index).unwrap_or_default();
            let spec = NodeSpec { availability: Some(wanted), ..spec };
            let update = |docker: bollard::Docker| {
                let spec = spec.clone();
                let options = UpdateNodeOptionsBuilder::new().version(version).build();
                async move { docker.update_node(id, spec, options).await }
            };
            match self.endpoint.ask(WRITE, doing, update).await {
                Ok(()) => return Ok(()),
                Err(error) if is_out_of_sequence(&error) => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        let changing = || FleetError::Answer { doing, detail: "it changes on and on".to_owned() };
        Err(last.unwrap_or_else(changing))
    }
}

/// "update out of sequence": somebody else was faster, or it was ourselves, and the answer was lost.
pub(super) fn is_out_of_sequence(error: &FleetError) -> bool {
    matches!(error, FleetError::Refused { message, .. } if message.contains("out of sequence"))
}

/// What a node calls itself, if that is a plain name, and none or the id of any other of these.
fn name(node: &Stored, all: &[Stored]) -> Option<String> {
    let said = told_name(node)?.parse::<HostName>().ok()?;
    let same = |told: &str| told.eq_ignore_ascii_case(said.as_str());
    let another = |other: &&Stored| other.id != node.id;
    let taken = all
        .iter()
        .filter(another)
        .any(|other| told_name(other).is_some_and(same) || other.id.as_deref().is_some_and(same));
    (!taken).then(|| said.to_string())
}

fn told_name(node: &Stored) -> Option<&str> {
    node.description.as_ref()?.hostname.as_deref()
}

fn is_grader(node: &Stored) -> bool {
    let Some(spec) = &node.spec else { return false };
    let label = spec.labels.as_ref().and_then(|labels| labels.get(GRADER));
    spec.role == Some(NodeSpecRoleEnum::WORKER) && label.is_some_and(|value| value == "1")
}

fn availability(node: &Stored) -> Availability {
    let status = node.status.clone().unwrap_or_default();
    let spec = node.spec.clone().unwrap_or_default();
    if status.state != Some(NodeState::READY) {
        let state = status.state.map_or_else(|| "unknown".to_owned(), |state| state.to_string());
        let why = match status.message.filter(|message| !message.is_empty()) {
            Some(message) => format!("{state}: {}", cut(&message)),
            None => state,
        };
        return Availability::Down { why };
    }
    match spec.availability {
        Some(NodeSpecAvailabilityEnum::ACTIVE) => Availability::Active,
        _ => Availability::Drained,
    }
}

/// What its label says, or how many usual containers fit beside the two canaries of an examination.
fn slots(node: &Stored) -> u32 {
    let labels = node.spec.as_ref().and_then(|spec| spec.labels.as_ref());
    let said = labels.and_then(|labels| labels.get(SLOTS)).and_then(|text| text.parse().ok());
    if let Some(said) = said {
        return u32::min(said, MOST_SLOTS);
    }
    let usual = Limits::of(Profile::Ordinary);
    let resources = node.description.as_ref().and_then(|it| it.resources.clone());
    let resources = resources.unwrap_or_default();
    let memory = resources.memory_bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
    let by_memory = memory / MIB * SHARE / 100 / u64::from(usual.memory_mib);
    let milli = resources.nano_cpus.unwrap_or(0) / 1_000_000;
    // With each goes an anchor.
    let each = (usual.cpus * 1000.0) as i64 + super::request::ANCHOR_MILLI_CPUS;
    let by_cpus = u64::try_from(milli / each).unwrap_or(0);
    let fit = by_memory.min(by_cpus).saturating_sub(2);
    u32::try_from(fit).unwrap_or(MOST_SLOTS).clamp(1, MOST_SLOTS)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(changes: &[(&str, Value)]) -> Stored {
        let mut document = json!({
            "ID": "n1",
            "Spec": {
                "Role": "worker", "Availability": "active", "Labels": { "portcall.grader": "1" },
            },
            "Description": {
                "Hostname": "g1", "Platform": { "Architecture": "x86_64", "OS": "linux" },
                "Resources": { "NanoCPUs": 8_000_000_000_i64, "MemoryBytes": 16_u64 << 30 },
                "Engine": { "EngineVersion": "20.10.24" },
            },
            "Status": { "State": "ready", "Addr": "10.0.0.1" },
        });
        for (path, value) in changes {
            let (parent, field) = path.rsplit_once('/').unwrap();
            document.pointer_mut(parent).unwrap()[field] = value.clone();
        }
        serde_json::from_value(document).unwrap()
    }

    fn called(id: &str, hostname: Value) -> Stored {
        node(&[("/ID", json!(id)), ("/Description/Hostname", hostname)])
    }

    fn names(nodes: &[Stored]) -> Vec<Option<String>> {
        nodes.iter().map(|node| name(node, nodes)).collect()
    }

    #[test]
    fn a_node_has_the_name_that_it_says_if_it_is_a_plain_one() {
        let longest = "g".repeat(63);
        for said in ["g1", "portcall-g1.example.test", &longest] {
            assert_eq!(names(&[called("n1", json!(said))]), [Some(said.to_owned())]);
        }
        for said in [
            json!(""),
            json!(null),
            json!("x portcall-g1 portcall-g2"),
            json!("-g1"),
            json!(".g1"),
            json!("g1\u{1b}[2J"),
            json!("g".repeat(64)),
            json!("g".repeat(1 << 20)),
        ] {
            assert_eq!(names(&[called("n1", said.clone())]), [None], "{said:.40}");
        }
    }

    #[test]
    fn no_node_has_the_name_of_another_or_its_id() {
        let managers = called("n0", json!("m1"));
        let manager = Stored {
            spec: Some(NodeSpec { role: Some(NodeSpecRoleEnum::MANAGER), ..NodeSpec::default() }),
            ..managers
        };
        let own = |name: &str| Some(name.to_owned());
        for (second, third, named) in [
            ("g1", "g2", [own("m1"), own("g1"), own("g2")]),
            ("g1", "g1", [own("m1"), None, None]),
            ("g1", "G1", [own("m1"), None, None]),
            ("g1", "m1", [None, own("g1"), None]),
            ("g1", "n1", [own("m1"), own("g1"), None]),
            // Its own id is no other's.
            ("g1", "n2", [own("m1"), own("g1"), own("n2")]),
        ] {
            let nodes = [manager.clone(), called("n1", json!(second)), called("n2", json!(third))];
            assert_eq!(names(&nodes), named, "{second}, {third}");
        }
    }

    #[test]
    fn only_labelled_workers_are_grader_nodes() {
        assert!(is_grader(&node(&[])));
        for (path, value) in [
            ("/Spec/Role", json!("manager")),
            ("/Spec/Labels", json!({})),
            ("/Spec/Labels", json!({ "portcall.grader": "0" })),
            ("/Spec/Labels", json!({ "portcall.grader": "" })),
            ("/Spec", json!(null)),
        ] {
            assert!(!is_grader(&node(&[(path, value.clone())])), "{path} {value}");
        }
    }

    #[test]
    fn a_node_is_there_only_if_it_is_ready_and_active() {
        assert_eq!(availability(&node(&[])), Availability::Active);
        for word in ["drain", "pause"] {
            let node = node(&[("/Spec/Availability", json!(word))]);
            assert_eq!(availability(&node), Availability::Drained, "{word}");
        }
        let down = node(&[
            ("/Status/State", json!("down")),
            ("/Status/Message", json!("heartbeat\nfailure")),
            ("/Spec/Availability", json!("drain")),
        ]);
        let why = "down: heartbeat failure".to_owned();
        assert_eq!(availability(&down), Availability::Down { why });
        for state in ["unknown", "disconnected"] {
            let node = node(&[("/Status/State", json!(state))]);
            assert_eq!(availability(&node), Availability::Down { why: state.to_owned() });
        }
    }

    #[test]
    fn slots_follow_from_what_can_be_reserved_unless_a_label_says_them() {
        assert_eq!(slots(&node(&[])), 12, "8 processors: 14 containers, 2 of them for canaries");
        let little = node(&[("/Description/Resources/MemoryBytes", json!(2_u64 << 30))]);
        assert_eq!(slots(&little), 4, "2 GiB: 6 containers in four fifths of it");
        let small = node(&[("/Description/Resources/NanoCPUs", json!(1_000_000_000))]);
        assert_eq!(slots(&small), 1, "never none");
        let labels = |text: &str| json!({ "portcall.grader": "1", "portcall.slots": text });
        for (text, want) in [("3", 3), ("0", 0), ("1000", 64), ("many", 12)] {
            let node = node(&[("/Spec/Labels", labels(text))]);
            assert_eq!(slots(&node), want, "{text}");
        }
    }
}
