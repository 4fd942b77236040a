//! A service's one task: what its states mean, how long each may last, and who is to blame for its
//! end.
//!
//! ```text
//!   new, allocated, pending ──► assigned, accepted ──► preparing ──► ready, starting ──► running
//!    nobody takes it: start      node's: start        pull            start                │
//!                                                                                          ▼
//!   rejected, failed without an exit code: the node's, or the image's command     complete, failed
//!   shutdown, orphaned, remove, or not wanted to run any more: somebody else's     with exit code
//! ```
//!
//! The client library's type for a task lacks the addresses, so the document is read as it came.

use std::{net::Ipv4Addr, time::Duration};

use serde_json::Value;

use super::super::error::{FleetError, cut};

/// A task as a manager sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) service: String,
    /// What became of it.
    pub(super) stage: Stage,
    /// What the scheduler or the node says about it, cut.
    pub(super) words: String,
    /// When it came to this state (RFC 3339).
    pub(super) since: Option<String>,
    /// Its addresses, by the id of the network.
    addresses: Vec<(String, Ipv4Addr)>,
}

/// Where a task is in its short life, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// No node has it.
    Unplaced,
    /// A node has it, and has not begun.
    Assigned,
    /// The node fetches its image and makes its container.
    Preparing,
    /// Its container is being started.
    Starting,
    /// It runs, and is to run.
    Running,
    /// Its command ended.
    Exited {
        /// The exit code.
        code: i64,
    },
    /// The node could not make or start its container.
    Refused,
    /// Somebody else ended it, or its node is not there any more.
    Taken,
}

/// How long a task may be in the stages before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartTimes {
    /// For fetching its image.
    pub pull: Duration,
    /// For every other stage.
    pub start: Duration,
}

impl Task {
    /// Reads one; none if it says not even who it is.
    pub(super) fn read(document: &Value) -> Option<Self> {
        let text = |at: &str| document.pointer(at).and_then(Value::as_str);
        let attachments = document["NetworksAttachments"].as_array().into_iter().flatten();
        let addresses = attachments.filter_map(|attached| {
            let network = attached.pointer("/Network/ID")?.as_str()?;
            let first = attached.pointer("/Addresses/0")?.as_str()?;
            let address = first.split('/').next()?.parse().ok()?;
            Some((network.to_owned(), address))
        });
        let (err, message) = (text("/Status/Err"), text("/Status/Message"));
        Some(Self {
            id: text("/ID")?.to_owned(),
            service: text("/ServiceID").unwrap_or_default().to_owned(),
            stage: stage(
                text("/Status/State").unwrap_or_default(),
                text("/DesiredState").unwrap_or_default(),
                err.unwrap_or_default(),
                document.pointer("/Status/ContainerStatus/ExitCode").and_then(Value::as_i64),
            ),
            words: cut(err.filter(|err| !err.is_empty()).or(message).unwrap_or_default()),
            since: text("/Status/Timestamp").map(str::to_owned),
            addresses: addresses.collect(),
        })
    }

    /// Its address in a network.
    pub(super) fn address(&self, network: &str) -> Option<Ipv4Addr> {
        let at = |(id, _): &&(String, Ipv4Addr)| id == network;
        self.addresses.iter().find(at).map(|(_, address)| *address)
    }
}

fn stage(state: &str, desired: &str, err: &str, exit_code: Option<i64>) -> Stage {
    // A stage that is not the last one counts only while the task is to go on.
    let wanted = matches!(desired, "running" | "ready" | "accepted" | "");
    match state {
        "complete" => Stage::Exited { code: exit_code.unwrap_or(0) },
        // "task: non-zero exit (1)", and with a cause after it on some engines.
        "failed" if err.starts_with("task: non-zero exit") => {
            Stage::Exited { code: exit_code.or_else(|| told_code(err)).unwrap_or(-1) }
        }
        "failed" | "rejected" => Stage::Refused,
        _ if !wanted => Stage::Taken,
        "new" | "allocated" | "pending" => Stage::Unplaced,
        "assigned" | "accepted" => Stage::Assigned,
        "preparing" => Stage::Preparing,
        "ready" | "starting" => Stage::Starting,
        "running" => Stage::Running,
        // "shutdown", "orphaned", "remove", and what nobody knows.
        _ => Stage::Taken,
    }
}

/// `task: non-zero exit (137)` → 137.
fn told_code(err: &str) -> Option<i64> {
    let (_, rest) = err.split_once('(')?;
    rest.split(')').next()?.parse().ok()
}

impl Stage {
    /// Its name in an error.
    fn name(self) -> &'static str {
        match self {
            Self::Unplaced => "pending",
            Self::Assigned => "assigned",
            Self::Preparing => "preparing",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Exited { .. } => "ended",
            Self::Refused => "refused",
            Self::Taken => "taken away",
        }
    }

    /// How long a task may stay in it before it runs; none if it does not change by waiting.
    pub(super) fn may_last(self, times: &StartTimes) -> Option<Duration> {
        match self {
            Self::Unplaced | Self::Assigned | Self::Starting => Some(times.start),
            Self::Preparing => Some(times.pull),
            Self::Running | Self::Exited { .. } | Self::Refused | Self::Taken => None,
        }
    }

    /// What it means that a task did not leave it in time.
    pub(super) fn too_long(self, name: &str, after: Duration, words: &str) -> FleetError {
        let (name, detail) = (name.to_owned(), words.to_owned());
        match self {
            Self::Unplaced => FleetError::Unplaced { name, after, detail },
            state => FleetError::Stuck { name, state: state.name(), after, detail },
        }
    }

    /// What it means that a task came to it instead of running.
    pub(super) fn instead(self, name: &str, words: &str) -> FleetError {
        let (name, detail) = (name.to_owned(), words.to_owned());
        FleetError::Ended { name, state: self.name(), detail }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_state_has_its_meaning() {
        for (state, desired, err, code, want) in [
            ("new", "running", "", None, Stage::Unplaced),
            ("allocated", "running", "", None, Stage::Unplaced),
            ("pending", "running", "no suitable node (…)", None, Stage::Unplaced),
            ("assigned", "running", "", None, Stage::Assigned),
            ("accepted", "running", "", None, Stage::Assigned),
            ("preparing", "running", "", None, Stage::Preparing),
            ("ready", "running", "", None, Stage::Starting),
            ("starting", "running", "", None, Stage::Starting),
            ("running", "running", "", Some(0), Stage::Running),
            ("complete", "shutdown", "", Some(0), Stage::Exited { code: 0 }),
            ("complete", "running", "", None, Stage::Exited { code: 0 }),
            ("failed", "shutdown", "task: non-zero exit (3)", Some(3), Stage::Exited { code: 3 }),
            ("failed", "shutdown", "task: non-zero exit (137)", None, Stage::Exited { code: 137 }),
            ("failed", "shutdown", "starting container failed: x", Some(127), Stage::Refused),
            ("failed", "shutdown", "node is down", None, Stage::Refused),
            ("rejected", "shutdown", "No such image: x", None, Stage::Refused),
            ("shutdown", "shutdown", "", Some(137), Stage::Taken),
            ("orphaned", "shutdown", "", None, Stage::Taken),
            ("remove", "remove", "", None, Stage::Taken),
            ("running", "shutdown", "", Some(0), Stage::Taken),
            ("preparing", "remove", "", None, Stage::Taken),
            ("pending", "shutdown", "", None, Stage::Taken),
            ("something new", "running", "", None, Stage::Taken),
        ] {
            assert_eq!(stage(state, desired, err, code), want, "{state}, {desired}, {err}");
        }
    }

    #[test]
    fn only_what_changes_by_waiting_is_waited_for() {
        let times = StartTimes { pull: Duration::from_secs(60), start: Duration::from_secs(15) };
        for (stage, lasts) in [
            (Stage::Unplaced, Some(15)),
            (Stage::Assigned, Some(15)),
            (Stage::Preparing, Some(60)),
            (Stage::Starting, Some(15)),
            (Stage::Running, None),
            (Stage::Exited { code: 0 }, None),
            (Stage::Refused, None),
            (Stage::Taken, None),
        ] {
            assert_eq!(stage.may_last(&times).map(|lasts| lasts.as_secs()), lasts, "{stage:?}");
        }
    }

    #[test]
    fn what_takes_too_long_is_told_in_the_schedulers_words() {
        let after = Duration::from_secs(15);
        let words = "no suitable node (insufficient resources on 1 node)";
        let unplaced = Stage::Unplaced.too_long("portcall-1", after, words);
        assert!(matches!(&unplaced, FleetError::Unplaced { detail, .. } if detail == words));
        assert_eq!(
            unplaced.to_string(),
            format!("no node took the task of portcall-1 within 15 s: {words}")
        );
        for (stage, state) in [
            (Stage::Assigned, "assigned"),
            (Stage::Preparing, "preparing"),
            (Stage::Starting, "starting"),
        ] {
            let stuck = stage.too_long("portcall-1", after, "");
            assert!(matches!(stuck, FleetError::Stuck { state: s, .. } if s == state), "{state}");
        }
    }

    #[test]
    fn a_task_is_read_as_it_came() {
        let document = json!({
            "ID": "t1", "ServiceID": "s1", "NodeID": "n1", "DesiredState": "running",
            "Status": {
                "Timestamp": "2026-11-21T06:00:00.5Z", "State": "running", "Message": "started",
                "ContainerStatus": { "ContainerID": "c1", "PID": 7, "ExitCode": 0 },
            },
            "NetworksAttachments": [
                { "Network": { "ID": "other" }, "Addresses": ["10.0.0.2/24"] },
                { "Network": { "ID": "slot" }, "Addresses": ["10.213.0.4/28"] },
                { "Network": { "ID": "none" } },
            ],
        });
        let task = Task::read(&document).unwrap();
        assert_eq!((task.id.as_str(), task.service.as_str()), ("t1", "s1"));
        assert_eq!(task.stage, Stage::Running);
        assert_eq!(task.address("slot"), Some(Ipv4Addr::new(10, 213, 0, 4)));
        assert_eq!(task.address("none"), None);
        assert_eq!(task.words, "started");
        assert_eq!(Task::read(&json!({})), None);
        assert_eq!(Task::read(&json!({ "ID": "t" })).map(|task| task.stage), Some(Stage::Taken));
    }

    #[test]
    fn a_nodes_words_are_one_bounded_line() {
        let said = format!("starting container failed:\n{}", "x".repeat(500));
        let document = json!({ "ID": "t", "Status": { "State": "failed", "Err": said } });
        let words = Task::read(&document).unwrap().words;
        assert!(words.starts_with("starting container failed: x") && words.ends_with('…'));
    }
}
