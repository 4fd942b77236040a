//! What is known of a node that only a swarm's managers can be asked about, and its anchor: less than
//! an engine says of itself. What is not known is proven by the canary there.

use bollard::models::Node;

use super::{CgroupVersion, Component, NodeFacts, Requests};
use crate::{
    fleet::{
        endpoint::version,
        error::{FleetError, cut},
    },
    probe::anchor::{Cgroup, Users, Word},
};

/// The label by which an operator says which runtime the node's containers get (`runsc`), where it is
/// not the usual one: a service cannot ask for one, and managers do not know it.
const RUNTIME: &str = "portcall.runtime";
/// The longest version of an engine, system or architecture.
const LONGEST_WORD: usize = 64;

impl NodeFacts {
    /// Reads what a manager says of a node, what it is called if not by its id, and what its anchor
    /// said last. The node's own words are not believed beyond what they can be.
    pub(in crate::fleet) fn of_task_node(
        node: Node,
        name: Option<String>,
        told: Option<Word>,
    ) -> Result<Self, FleetError> {
        let missing = |what: &str| FleetError::Answer {
            doing: "reading facts",
            detail: format!("the swarm does not say the node's {what}"),
        };
        let id = node.id.ok_or_else(|| missing("id"))?;
        let description = node.description.ok_or_else(|| missing("description"))?;
        let engine = description.engine.and_then(|engine| engine.engine_version);
        let engine = word(engine.ok_or_else(|| missing("engine's version"))?)?;
        let api = version::of_engine(&engine).ok_or_else(|| {
            FleetError::Unfit(format!("its engine is {engine}, at least 20.10 is needed"))
        })?;
        let platform = description.platform.unwrap_or_default();
        let resources = description.resources.unwrap_or_default();
        let positive = |number: Option<i64>| number.and_then(|n| u64::try_from(n).ok());
        let labels = node.spec.and_then(|spec| spec.labels).unwrap_or_default();
        let cpus = positive(resources.nano_cpus).unwrap_or(0) / 1_000_000_000;
        let facts = Self {
            name: name.unwrap_or_else(|| id.clone()),
            id,
            components: vec![Component {
                name: "Engine".to_owned(),
                version: engine.clone(),
                package: None,
            }],
            engine,
            api,
            os: word(platform.os.ok_or_else(|| missing("system"))?)?,
            arch: architecture(&word(
                platform.architecture.ok_or_else(|| missing("architecture"))?,
            )?),
            cpus: u32::try_from(cpus).unwrap_or(1024).clamp(1, 1024),
            memory: positive(resources.memory_bytes).unwrap_or(0),
            cgroup: CgroupVersion::V1,
            runtimes: Vec::new(),
            limitless: Vec::new(),
            default_runtime: labels.get(RUNTIME).cloned().unwrap_or_default(),
            security: Vec::new(),
            requests: Requests::Services,
            swap: None,
        };
        Ok(told.map_or_else(|| facts.clone(), |word| facts.with(word)))
    }

    /// The same, with what its anchor says.
    pub(in crate::fleet) fn with(&self, word: Word) -> Self {
        let mut facts = self.clone();
        facts.cgroup = match word.cgroup {
            Cgroup::V1 => CgroupVersion::V1,
            Cgroup::V2 => CgroupVersion::V2,
        };
        facts.swap = Some(word.swap_bytes);
        facts.security = match word.users {
            Users::Remapped => vec!["userns".to_owned()],
            Users::Initial => Vec::new(),
        };
        facts
    }
}

/// A word that a node says of itself: short, and nothing but a word.
fn word(said: String) -> Result<String, FleetError> {
    if said.len() <= LONGEST_WORD && said.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(said);
    }
    Err(FleetError::Unfit(format!("it says of itself {}", cut(&said))))
}

/// As in images' configurations; managers use the kernel's words.
fn architecture(word: &str) -> String {
    match word {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::probe::wire::DiskSpace;

    fn document() -> Value {
        json!({
            "ID": "n1",
            "Spec": { "Labels": { "portcall.grader": "1" } },
            "Description": {
                "Hostname": "g1", "Platform": { "Architecture": "x86_64", "OS": "linux" },
                "Resources": { "NanoCPUs": 2_000_000_000_i64, "MemoryBytes": 4_000_000_000_i64 },
                "Engine": { "EngineVersion": "20.10.24+dfsg1" },
            },
        })
    }

    fn read(document: Value) -> Result<NodeFacts, FleetError> {
        let name = Some("g1".to_owned());
        NodeFacts::of_task_node(serde_json::from_value(document).unwrap(), name, None)
    }

    #[test]
    fn a_node_is_what_managers_and_its_anchor_say() {
        let node = read(document()).unwrap();
        assert_eq!((node.name.as_str(), node.id.as_str()), ("g1", "n1"));
        assert_eq!((node.api, node.cpus, node.memory), ((1, 41), 2, 4_000_000_000));
        assert_eq!((node.os.as_str(), node.arch.as_str()), ("linux", "amd64"));
        assert_eq!(node.requests, Requests::Services);
        assert!(!node.remaps_users());
        let disk = DiskSpace { free_bytes: 1, total_bytes: 2, free_inodes: 1, total_inodes: 2 };
        let word = Word { disk, swap_bytes: 5, users: Users::Remapped, cgroup: Cgroup::V2 };
        let told = node.with(word);
        assert!(told.remaps_users());
        assert_eq!((told.cgroup, node.swap, told.swap), (CgroupVersion::V2, None, Some(5)));
        assert!(!told.with(Word { users: Users::Initial, ..word }).remaps_users());
    }

    #[test]
    fn a_node_without_a_name_of_its_own_is_called_by_its_id() {
        // What it says itself was looked at already, beside what the others say.
        let node = serde_json::from_value(document()).unwrap();
        assert_eq!(NodeFacts::of_task_node(node, None, None).unwrap().name, "n1");
    }

    #[test]
    fn a_node_that_says_more_than_a_word_is_not_used() {
        for field in ["/Engine/EngineVersion", "/Platform/OS", "/Platform/Architecture"] {
            let read_with = |said: String| {
                let mut with = document();
                *with.pointer_mut(&format!("/Description{field}")).unwrap() = json!(said);
                read(with)
            };
            assert!(read_with(format!("20.10.{}", "1".repeat(58))).is_ok(), "{field}");
            for said in ["1".repeat(59), " x".to_owned(), "\u{1b}[2J".to_owned()] {
                let refused = read_with(format!("20.10.{said}"));
                assert!(matches!(refused, Err(FleetError::Unfit(_))), "{field}: {said:?}");
            }
        }
    }

    #[test]
    fn an_operator_says_which_runtime_a_node_has() {
        let mut with = document();
        with["Spec"]["Labels"]["portcall.runtime"] = json!("runsc");
        assert_eq!(read(with).unwrap().default_runtime, "runsc");
    }

    #[test]
    fn an_old_engine_is_refused_and_one_that_says_nothing_too() {
        let mut old = document();
        old["Description"]["Engine"]["EngineVersion"] = json!("19.03.15");
        assert!(matches!(read(old), Err(FleetError::Unfit(_))));
        for missing in ["Description", "ID"] {
            let mut without = document();
            without.as_object_mut().unwrap().remove(missing);
            assert!(matches!(read(without), Err(FleetError::Answer { .. })), "{missing}");
        }
    }
}
