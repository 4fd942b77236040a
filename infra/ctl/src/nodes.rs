//! `portcall nodes`: the machines that strangers' containers run on, and whether they may.

use clap::{Args, Subcommand};
use portcall_shared::store::{
    Store,
    nodes::{CanaryOutcome, NodeDuty, NodeEntry, NodeState},
};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    failure::Failure,
    orders::{self, OrderArgs, say},
};

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;
/// How many of a canary's differences the table names; `show` names all.
const NAMED: usize = 3;

#[derive(Args)]
pub(crate) struct NodesArgs {
    #[command(subcommand)]
    command: Option<NodesCommand>,
    /// Prints JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Exits with 1 if a node that is not drained takes no work.
    #[arg(long)]
    check: bool,
}

#[derive(Subcommand)]
enum NodesCommand {
    /// Shows all that is known of a node.
    Show {
        /// The name of the node, or of a worker on it.
        name: String,
    },
    /// Has a node take no work: its slots are closed when what is graded in them has ended; what
    /// takes too long is handed back and graded elsewhere.
    Drain(OrderArgs),
    /// Has a node that was drained take work again, once the canary has passed there.
    Undrain(OrderArgs),
    /// Has a node examined by the canary now; 1 if it does not pass.
    Canary(OrderArgs),
}

pub(crate) async fn run(args: NodesArgs, store: &Store) -> Result<(), Failure> {
    let (nodes, now) = (store.nodes().await?, OffsetDateTime::now_utc());
    match args.command {
        Some(NodesCommand::Show { name }) => show(&nodes, &name, args.json, now),
        Some(NodesCommand::Drain(args)) => orders::drain(args, store).await,
        Some(NodesCommand::Undrain(args)) => orders::undrain(args, store).await,
        Some(NodesCommand::Canary(args)) => orders::canary(args, store).await,
        None => {
            say(&if args.json { in_json(&nodes) } else { table(&nodes, now) });
            let unfit: Vec<&NodeEntry> =
                nodes.iter().filter(|node| !node.takes_work() && !is_drained(node)).collect();
            match (args.check, unfit.is_empty()) {
                (true, false) => Err(Failure::Failed(complaint(&unfit))),
                _ => Ok(()),
            }
        }
    }
}

fn show(nodes: &[NodeEntry], name: &str, json: bool, now: OffsetDateTime) -> Result<(), Failure> {
    let found: Vec<NodeEntry> = nodes
        .iter()
        .filter(|node| node.node.name == name || node.worker_name == name)
        .cloned()
        .collect();
    if found.is_empty() {
        return Err(Failure::Failed(format!("there is no node {name} (portcall nodes)")));
    }
    let told: Vec<String> = found.iter().map(|node| whole(node, now)).collect();
    say(&if json { in_json(&found) } else { told.join("\n") });
    Ok(())
}

/// Whether somebody wants it to take no work.
fn is_drained(node: &NodeEntry) -> bool {
    matches!(node.duty, NodeDuty::Draining | NodeDuty::Drained)
}

/// One line for each node that may take no work.
fn complaint(unfit: &[&NodeEntry]) -> String {
    let one = |node: &&NodeEntry| {
        let why = node.why.as_deref().unwrap_or("it is not said why");
        format!("{} ({}): {why}", node.node.name, node.worker_name)
    };
    unfit.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// A row for each node, in columns as wide as what stands in them.
fn table(nodes: &[NodeEntry], now: OffsetDateTime) -> String {
    if nodes.is_empty() {
        return "no worker has a node".to_owned();
    }
    let head = ["NODE", "WORKER", "STATE", "SLOTS", "ENGINE", "RUNTIME", "FREE DISK", "CANARY"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(nodes.iter().map(|node| {
        [
            node.node.name.clone(),
            node.worker_name.clone(),
            state(node).to_owned(),
            slots(node),
            node.node.engine.clone(),
            node.node.runtime.clone(),
            disk(node),
            canary(node, now),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..head.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
        if let Some(node) = number.checked_sub(1).map(|at| &nodes[at]) {
            notes(node, &mut text);
        }
    }
    text
}

/// What the columns have no room for.
fn notes(node: &NodeEntry, text: &mut String) {
    let is_told = node.state == NodeState::Unfit && node.duty == NodeDuty::Serving;
    if let Some(why) = node.why.as_ref().filter(|_| !is_told) {
        text.push_str(&format!("  takes no work: {why}\n"));
    }
    for warning in &node.node.warnings {
        text.push_str(&format!("  warning: {warning}\n"));
    }
}

/// What nobody wanted stands out: it is written large.
fn state(node: &NodeEntry) -> &'static str {
    match (node.duty, node.state) {
        (NodeDuty::Draining, _) => "draining",
        (NodeDuty::Drained, _) => "drained",
        (NodeDuty::Down, _) => "DOWN",
        (NodeDuty::Serving, NodeState::Fit) => "fit",
        (NodeDuty::Serving, NodeState::Unfit) => "UNFIT",
        (NodeDuty::Serving, NodeState::Unchecked) => "UNCHECKED",
        (NodeDuty::Serving, NodeState::Full) => "FULL",
        (NodeDuty::Other, _) | (_, NodeState::Other) => "?",
    }
}

/// Those in use, and those that are kept; more are open while some are given up.
fn slots(node: &NodeEntry) -> String {
    format!("{}/{}", node.busy, node.slots.max(node.open))
}

#[expect(clippy::cast_precision_loss, reason = "a tenth of a GiB is enough for people")]
fn disk(node: &NodeEntry) -> String {
    let Some(disk) = node.disk else { return "?".to_owned() };
    format!("{:.1} of {:.1} GiB", disk.free as f64 / GIB, disk.total as f64 / GIB)
}

fn canary(node: &NodeEntry, now: OffsetDateTime) -> String {
    let canary = &node.canary;
    let ago = canary.at.map(|at| ago(now - at)).unwrap_or_default();
    let said = match canary.outcome {
        CanaryOutcome::Passed => format!("passed {ago}"),
        CanaryOutcome::Unknown => "not yet".to_owned(),
        CanaryOutcome::Failed => {
            let (all, differences) = (canary.differences.len(), canary.differences.iter());
            let one = differences.take(NAMED).map(|d| {
                format!("{} {}, expected {} ({})", d.attempt, d.got, d.expected, d.profile)
            });
            let more = all.checked_sub(NAMED).filter(|more| *more > 0);
            let more = more.map(|more| format!("and {more} more"));
            let named: Vec<String> = one.chain(more).collect();
            format!("FAILED {ago}: {}", named.join("; "))
        }
    };
    match &canary.trouble {
        Some(_) => format!("{said}, and could not be run since"),
        None => said,
    }
}

fn ago(time: Duration) -> String {
    match time.whole_seconds() {
        ..=89 => format!("{} s ago", time.whole_seconds().max(0)),
        90..=5_399 => format!("{} min ago", (time.whole_seconds() + 30) / 60),
        _ => format!("{} h ago", (time.whole_seconds() + 1_800) / 3_600),
    }
}

/// All of one node, a fact to a line.
fn whole(node: &NodeEntry, now: OffsetDateTime) -> String {
    let facts = &node.node;
    let engine = format!("{}, API {}, {}", facts.engine, facts.api, facts.platform);
    let runtime = format!("{} (of {})", facts.runtime, facts.runtimes.join(", "));
    let memory = format!("{} processors, {} MiB", facts.cpus, facts.memory / (1024 * 1024));
    let mut text = String::new();
    for (name, value) in [
        ("node", facts.name.clone()),
        ("worker", format!("{} ({})", node.worker_name, node.worker)),
        ("state", state(node).to_owned()),
        ("why", node.why.clone().unwrap_or_default()),
        ("seen", ago(now - node.seen_at)),
        ("slots", format!("{} kept, {} open, {} in use", node.slots, node.open, node.busy)),
        ("room", node.room.map(|room| format!("{room} for all workers")).unwrap_or_default()),
        ("engine", engine),
        ("engine id", facts.id.clone()),
        ("machine", memory),
        ("cgroup", format!("version {}", facts.cgroup)),
        ("runtime", runtime),
        ("security", facts.security.join(", ")),
        ("free disk", disk(node)),
        ("canary", canary(node, now)),
        ("trouble", node.canary.trouble.clone().unwrap_or_default()),
    ] {
        if !value.is_empty() {
            text.push_str(&format!("{name:<10} {value}\n"));
        }
    }
    for d in &node.canary.differences {
        let line =
            format!("{} under {}: {} instead of {}", d.attempt, d.profile, d.got, d.expected);
        text.push_str(&format!("{:<10} {line}\n", "difference"));
    }
    for warning in &facts.warnings {
        text.push_str(&format!("{:<10} {warning}\n", "warning"));
    }
    text
}

fn in_json(nodes: &[NodeEntry]) -> String {
    let one = |node: &NodeEntry| {
        json!({
            "worker": { "id": node.worker.to_string(), "name": node.worker_name },
            "slots": node.slots,
            "open": node.open,
            "busy": node.busy,
            "room": node.room,
            "duty": node.duty,
            "node": node.node,
            "disk": node.disk,
            "canary": {
                "outcome": node.canary.outcome,
                "at": node.canary.at.and_then(|at| at.format(&Rfc3339).ok()),
                "differences": node.canary.differences,
                "trouble": node.canary.trouble,
                "ordered": node.canary.ordered,
            },
            "state": node.state,
            "why": node.why,
            "seen_at": node.seen_at.format(&Rfc3339).ok(),
        })
    };
    let all: Vec<Value> = nodes.iter().map(one).collect();
    format!("{:#}", Value::Array(all))
}

#[cfg(test)]
pub(crate) mod tests {
    use portcall_shared::{
        domain::ids::WorkerId,
        store::nodes::{CanaryDifference, CanaryEntry, NodeDescription, NodeDisk},
    };

    use super::*;

    /// One that takes work.
    pub(crate) fn node() -> NodeEntry {
        node_with(CanaryOutcome::Passed, 0)
    }

    fn node_with(outcome: CanaryOutcome, differences: usize) -> NodeEntry {
        let difference = |number| CanaryDifference {
            profile: "strict".to_owned(),
            attempt: format!("attempt_{number}"),
            expected: "EPERM".to_owned(),
            got: "DONE".to_owned(),
        };
        let now = OffsetDateTime::UNIX_EPOCH;
        NodeEntry {
            worker: WorkerId::new(),
            worker_name: "w1".to_owned(),
            post: "engine".to_owned(),
            slots: 2,
            open: 2,
            busy: 1,
            room: None,
            duty: NodeDuty::Serving,
            node: NodeDescription {
                name: "n1".to_owned(),
                engine: "28.2.2".to_owned(),
                runtime: "runc".to_owned(),
                warnings: vec!["root is root".to_owned()],
                ..NodeDescription::unknown()
            },
            disk: Some(NodeDisk {
                free: 3 << 30,
                total: 10 << 30,
                free_inodes: 1,
                total_inodes: 2,
            }),
            canary: CanaryEntry {
                outcome,
                at: Some(now - Duration::minutes(3)),
                differences: (0..differences).map(difference).collect(),
                trouble: None,
                ordered: 0,
            },
            state: match outcome {
                CanaryOutcome::Passed => NodeState::Fit,
                CanaryOutcome::Failed => NodeState::Unfit,
                CanaryOutcome::Unknown => NodeState::Unchecked,
            },
            why: (outcome != CanaryOutcome::Passed).then(|| "a reason".to_owned()),
            seen_at: now,
        }
    }

    fn lines(nodes: &[NodeEntry]) -> Vec<String> {
        table(nodes, OffsetDateTime::UNIX_EPOCH).lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_table_says_what_passed_and_what_did_not() {
        let shown = lines(&[node(), node_with(CanaryOutcome::Failed, 4)]);
        assert_eq!(
            shown,
            [
                "NODE  WORKER  STATE  SLOTS  ENGINE  RUNTIME  FREE DISK        CANARY",
                "n1    w1      fit    1/2    28.2.2  runc     3.0 of 10.0 GiB  passed 3 min ago",
                "  warning: root is root",
                "n1    w1      UNFIT  1/2    28.2.2  runc     3.0 of 10.0 GiB  FAILED 3 min ago: \
                 attempt_0 DONE, expected EPERM (strict); attempt_1 DONE, expected EPERM (strict); \
                 attempt_2 DONE, expected EPERM (strict); and 1 more",
                "  warning: root is root",
            ]
        );
        let unchecked = lines(&[node_with(CanaryOutcome::Unknown, 0)]);
        assert!(unchecked[1].ends_with("not yet"), "{unchecked:#?}");
        assert_eq!(unchecked[2], "  takes no work: a reason");
    }

    #[test]
    fn the_table_says_who_drained_a_node() {
        for (duty, word) in [
            (NodeDuty::Draining, "draining"),
            (NodeDuty::Drained, "drained"),
            (NodeDuty::Down, "DOWN"),
        ] {
            let why = Some("node n1 was drained by ann@m1".to_owned());
            let away = NodeEntry { duty, slots: 0, why, ..node_with(CanaryOutcome::Failed, 1) };
            assert!(!away.takes_work());
            let shown = lines(&[away]);
            assert!(shown[1].contains(&format!("  {word}  ")), "{shown:#?}");
            assert!(shown[1].contains("  1/2  "), "its slots are not closed yet: {shown:#?}");
            assert_eq!(shown[2], "  takes no work: node n1 was drained by ann@m1");
        }
    }

    #[test]
    fn all_of_a_node_is_shown_when_it_is_asked_for() {
        let text = whole(&node_with(CanaryOutcome::Failed, 4), OffsetDateTime::UNIX_EPOCH);
        assert!(
            text.contains("difference attempt_3 under strict: DONE instead of EPERM\n"),
            "{text}"
        );
        assert!(text.contains("why        a reason\n"));
        assert!(!text.contains("trouble"), "nothing is said of what is not there");
    }

    #[test]
    fn times_are_as_people_say_them() {
        for (seconds, said) in
            [(-5, "0 s ago"), (89, "89 s ago"), (90, "2 min ago"), (5_400, "2 h ago")]
        {
            assert_eq!(ago(Duration::seconds(seconds)), said);
        }
    }

    #[test]
    fn the_json_has_the_words_of_the_store() {
        let text = in_json(&[node_with(CanaryOutcome::Failed, 1)]);
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        assert_eq!(value[0]["state"], "unfit");
        assert_eq!(value[0]["canary"]["differences"][0]["attempt"], "attempt_0");
        assert_eq!(value[0]["canary"]["at"], "1969-12-31T23:57:00Z");
    }
}
