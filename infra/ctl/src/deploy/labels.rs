//! What is where: that the machines have the labels that a deployment goes by. Without a grader no worker
//! ever becomes ready, and the swarm would take the version back after a quarter of an hour.

use std::{collections::BTreeSet, path::PathBuf};

use serde_json::Value;

use super::{docker::Docker, file, say};
use crate::failure::Failure;

/// What a machine wears that runs strangers' containers; managers do not, whatever they wear.
const GRADER: (&str, &str) = ("portcall.grader", "1");

/// A machine of the swarm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    name: String,
    manages: bool,
    labels: BTreeSet<(String, String)>,
}

impl Node {
    /// From what `docker node inspect` says.
    fn of(value: &Value) -> Self {
        let spec = &value["Spec"];
        let labels = spec["Labels"].as_object().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            name: text(&value["Description"]["Hostname"]),
            manages: spec["Role"] == "manager",
            labels: labels.map(|(name, value)| (name.clone(), text(value))).collect(),
        }
    }

    fn wears(&self, name: &str, value: &str) -> bool {
        self.labels.contains(&(name.to_owned(), value.to_owned()))
    }
}

/// Refuses where there is no grader, and says which of the stack's places are nowhere.
pub(super) async fn check(swarm: &Docker, files: &[PathBuf]) -> Result<(), Failure> {
    let ids = swarm.ask(&["node", "ls", "--quiet"]).await?;
    let mut words = vec!["node", "inspect", "--format", "{{json .}}"];
    words.extend(ids.split_whitespace());
    let nodes: Vec<Node> = swarm.ask_json(&words).await?.iter().map(Node::of).collect();
    some_grader(&nodes)?;
    let mut text = String::new();
    for file in files {
        text.push_str(&file::read(file)?);
    }
    for (name, value) in places(&text) {
        if !nodes.iter().any(|node| node.wears(&name, &value)) {
            say(&format!("nobody has the label {name}={value}: what is to be there waits for it"));
        }
    }
    Ok(())
}

fn some_grader(nodes: &[Node]) -> Result<(), Failure> {
    let (name, value) = GRADER;
    let wear: Vec<&Node> = nodes.iter().filter(|node| node.wears(name, value)).collect();
    if wear.iter().any(|node| !node.manages) {
        return Ok(());
    }
    let also = match wear.first() {
        Some(node) => format!("; {} does, and is a manager, which runs no strangers", node.name),
        None => String::new(),
    };
    Err(Failure::Failed(format!(
        "no node of the swarm has the label {name}={value}{also}: no worker would become ready. Let a \
         grader join, and docker node update --label-add {name}={value} NODE"
    )))
}

/// The labels by which the stack's services find their places.
fn places(text: &str) -> BTreeSet<(String, String)> {
    let part = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let word = |text: &str| text.chars().take_while(|c| part(*c)).collect::<String>();
    let all = file::lines(text).flat_map(|line| line.split("node.labels.").skip(1));
    all.filter_map(|rest| {
        let name = word(rest);
        let value = word(rest[name.len()..].trim_start().strip_prefix("==")?.trim_start());
        (!value.is_empty()).then_some((name, value))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, role: &str, label: &str) -> Node {
        Node::of(&json!({
            "Description": { "Hostname": name },
            "Spec": { "Role": role, "Labels": { label: "1" } },
        }))
    }

    #[test]
    fn without_a_grader_it_is_refused() {
        let told = |nodes: &[Node]| match some_grader(nodes) {
            Ok(()) => String::new(),
            Err(Failure::Failed(told)) => told,
            Err(other) => panic!("{other:?}"),
        };
        let manager = node("m1", "manager", "portcall.trusted");
        assert!(
            told(std::slice::from_ref(&manager)).contains("no node of the swarm has the label")
        );
        let both = node("m2", "manager", "portcall.grader");
        assert!(told(&[manager.clone(), both]).contains("m2 does, and is a manager"));
        assert_eq!(told(&[manager, node("g1", "worker", "portcall.grader")]), "");
    }

    #[test]
    fn the_places_of_a_stack_are_read() {
        let text = "# node.labels.portcall.no == 1\n constraints: [node.labels.portcall.db == 2]\n\
            - node.labels.a==b\n- node.labels.c != d\n";
        let found = places(text);
        let found: Vec<(&str, &str)> =
            found.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(found, [("a", "b"), ("portcall.db", "2")]);
    }

    #[test]
    fn the_stack_has_places() {
        let found = places(include_str!("../../../stack.yaml"));
        for label in ["portcall.trusted", "portcall.front", "portcall.quarantine", "portcall.db"] {
            assert!(found.iter().any(|(name, _)| name == label), "{label}: {found:?}");
        }
    }
}
