//! What the worker writes down of its node for people to see (`portcall nodes`).

use portcall_shared::store::nodes::{
    CanaryEntry, CanaryOutcome, NodeDescription, NodeEntry, NodeState,
};
use time::OffsetDateTime;

use crate::{
    fleet::{CgroupVersion, Fleet, NodeFacts},
    gate::{Last, Standing, Verdict, room::stored},
    worker::Worker,
};

/// Writes a worker's node down.
#[derive(Debug, Default)]
pub(crate) struct NodeNotes {
    /// The id of the engine that was written last.
    last: Option<String>,
}

impl NodeNotes {
    /// Writes down what is known now. What cannot be written is written with the next beat.
    pub(crate) async fn write(&mut self, worker: &Worker) {
        let entry = entry(worker);
        let id = Some(entry.node.id.clone());
        if self.last.is_some() && self.last != id {
            // Another engine stands where that one was.
            if let Err(error) = worker.store.forget_nodes(worker.claimant.id).await {
                tracing::warn!(%error, "cannot take a node off the list");
            }
        }
        match worker.store.note_node(&entry).await {
            Ok(()) => self.last = id,
            Err(error) => tracing::warn!(%error, "cannot note the node"),
        }
    }
}

fn entry(worker: &Worker) -> NodeEntry {
    let (standing, verdict) = (worker.gate.standing(), worker.gate.verdict());
    NodeEntry {
        worker: worker.claimant.id,
        worker_name: worker.claimant.name.clone(),
        slots: worker.slots,
        node: match standing.node() {
            Some(node) => description(node, worker.fleet()),
            None => NodeDescription::unknown(),
        },
        disk: standing.space().map(stored),
        canary: canary(&standing),
        state: match &verdict {
            Verdict::Fit => NodeState::Fit,
            Verdict::Unfit(_) => NodeState::Unfit,
            Verdict::Unchecked(_) => NodeState::Unchecked,
            Verdict::Full(_) => NodeState::Full,
        },
        why: verdict.why().map(str::to_owned),
        seen_at: OffsetDateTime::now_utc(),
    }
}

fn canary(standing: &Standing) -> CanaryEntry {
    let (last, at) = standing.last();
    let (outcome, differences) = match last {
        Last::None => (CanaryOutcome::Unknown, Vec::new()),
        Last::Passed => (CanaryOutcome::Passed, Vec::new()),
        Last::Failed(differences) => (CanaryOutcome::Failed, differences.clone()),
    };
    CanaryEntry { outcome, at, differences, trouble: standing.trouble().map(str::to_owned) }
}

fn description(node: &NodeFacts, fleet: &Fleet) -> NodeDescription {
    let asked = fleet.node_settings().runtime.clone();
    NodeDescription {
        name: node.name.clone(),
        id: node.id.clone(),
        engine: node.engine.clone(),
        api: format!("{}.{}", node.api.0, node.api.1),
        platform: format!("{}/{}", node.os, node.arch),
        cpus: node.cpus,
        memory: node.memory,
        cgroup: match node.cgroup {
            CgroupVersion::V1 => 1,
            CgroupVersion::V2 => 2,
        },
        runtime: asked.unwrap_or_else(|| node.default_runtime.clone()),
        runtimes: node.runtimes.clone(),
        security: node.security.clone(),
        warnings: fleet.warnings(node),
    }
}
