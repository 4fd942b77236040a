//! Checks of the metrics: each name is described, and each that is described is counted.

use portcall_tests::tree::Source;
use portcall_tests::tree::nesting::line_of;
use std::collections::BTreeSet;

use crate::source::production;

/// The names in calls of the macros of `metrics`, with their lines; none where a name is not
/// written there.
pub(crate) fn metrics_of(source: &Source) -> Vec<(usize, Option<&str>)> {
    let plain = source.plain();
    let mut found = Vec::new();
    for makes in ["counter!(", "gauge!(", "histogram!("] {
        for (at, _) in plain.match_indices(makes) {
            if !plain[..at].ends_with("describe_") {
                let after = source.text[at + makes.len()..].trim_start();
                let name = after.strip_prefix('"').and_then(|rest| rest.split('"').next());
                found.push((line_of(&plain, at), name));
            }
        }
    }
    found
}

/// Each metric is described where people look it up, each that is described is counted, and tests
/// ask only for such: a name that is wrong there reads as zero.
pub(crate) fn undescribed(sources: &[Source]) -> Vec<String> {
    const TELEMETRY: &str = "shared/src/telemetry.rs";
    let table = sources.iter().find(|s| s.path == TELEMETRY).map(|s| s.text.as_str());
    let table = table.unwrap_or_default().split_once("DESCRIPTIONS").map_or("", |(_, rest)| rest);
    let table = table.split("];").next().unwrap_or_default();
    let names = table.match_indices("(\"portcall_").map(|(at, _)| &table[at + 2..]);
    let described: BTreeSet<&str> = names.filter_map(|rest| rest.split('"').next()).collect();
    let mut used = BTreeSet::new();
    let mut complaints = Vec::new();
    for source in sources.iter().filter(production).filter(|s| s.path != TELEMETRY) {
        for (n, name) in metrics_of(source) {
            match name {
                None => complaints.push(source.complain(n, "a metric's name is written out")),
                Some(name) if !described.contains(name) => {
                    complaints.push(source.complain(n, &format!("{name} is not described")));
                }
                Some(_) => {}
            }
            used.extend(name);
        }
    }
    for source in sources.iter().filter(|s| s.path.starts_with("tests/tests/")) {
        for (at, asks) in source.text.match_indices(concat!(".met", "ric(\"")) {
            let name = source.text[at + asks.len()..].split('"').next().unwrap_or_default();
            if !described.contains(name) {
                let line = line_of(&source.text, at);
                complaints.push(source.complain(line, &format!("there is no metric {name}")));
            }
        }
    }
    let unused = described.iter().filter(|name| !used.contains(*name));
    complaints.extend(unused.map(|name| format!("{TELEMETRY}: {name} is counted nowhere")));
    complaints
}
