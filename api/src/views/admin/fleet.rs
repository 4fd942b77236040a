//! Who grades, on which machines: enough to see whether it goes on, and no address of any of them.

use portcall_shared::store::{
    fleet::{Fleet, FleetWorker},
    nodes::{CanaryOutcome, NodeEntry},
    workers::SHOWN,
};
use serde::Serialize;
use time::OffsetDateTime;

use crate::views::moment;

/// Who grades, on which machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FleetView {
    /// How many submissions can be graded at once, by workers that live.
    pub slots: u32,
    /// How many are being graded, by workers on the list.
    pub busy: u32,
    /// Every worker on the list, by name.
    pub workers: Vec<WorkerView>,
    /// What each of them says of each of its machines.
    pub nodes: Vec<NodeView>,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct WorkerView {
    /// Its name.
    pub name: String,
    /// How many submissions it can grade at once.
    pub slots: u32,
    /// How many it grades now.
    pub busy: u32,
    /// When it was last heard of. One that is silent for long is taken off the list.
    #[schema(format = DateTime)]
    pub seen_at: String,
    /// Whether all of its machines are drained or being drained, so that it takes no more work.
    pub draining: bool,
    /// Its build; none of one that does not say.
    pub version: Option<String>,
}

/// A machine that strangers' containers run on, as one of its workers sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct NodeView {
    /// The machine's name.
    pub name: String,
    /// Whose word this is: two workers may share a machine.
    pub worker: String,
    /// What it is good for: `fit`, `unfit`, `unchecked` or `full`; `other` is a newer version's word.
    pub state: String,
    /// What is done with it: `serving`, `draining`, `drained` or `down`; `other` is a newer version's
    /// word.
    pub duty: String,
    /// How many slots the worker keeps there.
    pub slots: Option<u32>,
    /// How many submissions it grades there now.
    pub busy: u32,
    /// Whether it takes work.
    pub takes_work: bool,
    /// Why it takes none.
    pub why: Option<String>,
    /// When it was last examined.
    #[schema(format = DateTime)]
    pub checked_at: Option<String>,
    /// How that ended: `passed` or `failed`; none if it never was.
    pub canary: Option<String>,
}

impl FleetView {
    /// As it is at a time.
    #[must_use]
    pub fn of(fleet: &Fleet, now: OffsetDateTime) -> Self {
        let live = fleet.workers.iter().filter(|worker| worker.entry.seen_at > now - SHOWN);
        Self {
            slots: live.map(|worker| worker.entry.slots).sum(),
            busy: fleet.workers.iter().map(|worker| worker.busy).sum(),
            workers: fleet.workers.iter().map(WorkerView::of).collect(),
            nodes: fleet.nodes.iter().map(NodeView::of).collect(),
        }
    }
}

impl WorkerView {
    fn of(worker: &FleetWorker) -> Self {
        Self {
            name: worker.entry.name.clone(),
            slots: worker.entry.slots,
            busy: worker.busy,
            seen_at: moment(worker.entry.seen_at),
            draining: worker.draining,
            version: worker.build.clone(),
        }
    }
}

impl NodeView {
    fn of(node: &NodeEntry) -> Self {
        let canary = match node.canary.outcome {
            CanaryOutcome::Unknown => None,
            known => Some(known.as_str().to_owned()),
        };
        Self {
            name: node.node.name.clone(),
            worker: node.worker_name.clone(),
            state: node.state.as_str().to_owned(),
            duty: node.duty.as_str().to_owned(),
            slots: Some(node.slots),
            busy: node.busy,
            takes_work: node.takes_work(),
            why: node.why.as_deref().map(without_addresses),
            checked_at: node.canary.at.map(moment),
            canary,
        }
    }
}

/// A sentence without the addresses in it: what an engine says when it cannot be reached names the
/// machine's.
fn without_addresses(text: &str) -> String {
    let words = text.split_inclusive(|c: char| c.is_whitespace() || "()\"'`,;".contains(c));
    words
        .map(|word| {
            let end =
                word.trim_end_matches(|c: char| c.is_whitespace() || "()\"'`,;.:".contains(c));
            match is_address(end) {
                true => format!("(address){}", &word[end.len()..]),
                false => word.to_owned(),
            }
        })
        .collect()
}

/// An IP address, with or without a port; a host with a port; a URL.
fn is_address(word: &str) -> bool {
    use std::net::{IpAddr, SocketAddr};
    let with_port = word.rsplit_once(':').is_some_and(|(host, port)| {
        host.contains(char::is_alphabetic) && port.parse::<u16>().is_ok()
    });
    let word = word.trim_start_matches('[').trim_end_matches(']');
    let ip = word.split('/').next().unwrap_or_default().parse::<IpAddr>().is_ok();
    ip || word.parse::<SocketAddr>().is_ok() || with_port || word.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_left_out() {
        for (told, shown) in [
            ("heartbeat failure", "heartbeat failure"),
            ("tcp connect error: 10.0.0.5:2376 refused", "tcp connect error: (address) refused"),
            ("asking tcp://10.0.0.5:2376, no answer", "asking (address), no answer"),
            ("node g1 (10.0.0.5) is away.", "node g1 ((address)) is away."),
            ("at 10.1.2.3/24: none", "at (address): none"),
            ("no route to [fd00::1]:2376", "no route to (address)"),
            ("no route to fd00::1.", "no route to (address)."),
            ("lookup of \"g1.internal:2376\" failed", "lookup of \"(address)\" failed"),
            ("ordinary/caps: expected EPERM, got 3", "ordinary/caps: expected EPERM, got 3"),
            ("it has been so since 12:05", "it has been so since 12:05"),
        ] {
            assert_eq!(without_addresses(told), shown);
        }
    }
}
