//! What the worker writes down of its nodes, for people (`portcall nodes`) and for other workers on
//! them.

use std::collections::BTreeMap;

use portcall_shared::store::nodes::{CanaryEntry, CanaryOutcome, NodeDescription, NodeEntry};
use time::OffsetDateTime;

use crate::{
    fleet::{CgroupVersion, Fleet, NodeFacts},
    gate::{Last, Standing, room::stored},
    post::Post,
    worker::Worker,
};

/// Writes a worker's nodes down.
#[derive(Debug, Default)]
pub(crate) struct NodeNotes {
    /// What was written last, by the nodes' ids.
    written: BTreeMap<String, NodeEntry>,
}

impl NodeNotes {
    /// Writes down what is known now, and what did not change only if all is to be written. What
    /// cannot be written is written with the next beat.
    pub(crate) async fn write(&mut self, worker: &Worker, all: What) {
        let entries: Vec<NodeEntry> = worker.posts.all().iter().map(|post| entry(post)).collect();
        let gone: Vec<String> = self.written.keys().cloned().collect();
        for post in gone.iter().filter(|post| entries.iter().all(|entry| entry.post != **post)) {
            match worker.store.forget_node(worker.claimant.id, post).await {
                Ok(()) => _ = self.written.remove(post),
                Err(error) => tracing::warn!(%error, "cannot take a node off the list"),
            }
        }
        for entry in entries {
            let same = self.written.get(&entry.post).is_some_and(|last| is_same(last, &entry));
            if same && all == What::Changed {
                continue;
            }
            match worker.store.note_node(&entry).await {
                Ok(()) => _ = self.written.insert(entry.post.clone(), entry),
                Err(error) => tracing::warn!(%error, "cannot note a node"),
            }
        }
    }
}

/// What is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Every node, to show that it is still so.
    All,
    /// What changed.
    Changed,
}

fn is_same(last: &NodeEntry, entry: &NodeEntry) -> bool {
    NodeEntry { seen_at: entry.seen_at, ..last.clone() } == *entry
}

fn entry(post: &Post) -> NodeEntry {
    let (worker, charge, standing) = (&post.worker, post.charge(), post.gate.standing());
    let (state, why) = post.state();
    let mut node = match standing.node() {
        Some(node) => description(node, post.fleet()),
        None => NodeDescription::unknown(),
    };
    if let Some(name) = post.name() {
        node.name = name;
    }
    let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
    NodeEntry {
        worker: worker.claimant.id,
        worker_name: worker.claimant.name.clone(),
        post: post.id.clone(),
        slots: charge.kept(),
        open: count(post.open_slots.count()),
        busy: count(post.busy.count()),
        room: charge.room,
        duty: post.duty(),
        node,
        disk: standing.space().map(stored),
        canary: canary(&standing),
        state,
        why,
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
    let trouble = standing.trouble().map(str::to_owned);
    CanaryEntry { outcome, at, differences, trouble, ordered: standing.answered() }
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
