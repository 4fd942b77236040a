//! Checks of the manifests: one version of each library for all.

use portcall_tests::tree::Source;

use crate::rules::OWN_DEPENDENCIES;

/// Each dependency of a member with its line, from all tables of dependencies.
pub(crate) fn dependencies(source: &Source) -> Vec<(usize, &str, &str)> {
    let mut table = "";
    let mut found = Vec::new();
    for (n, line) in source.text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_end_matches(']');
        } else if table.ends_with("dependencies")
            && let Some((name, value)) = line.split_once('=')
        {
            found.push((n + 1, name.trim(), value.trim()));
        } else if let Some((_, name)) = table.split_once("dependencies.") {
            // A table of its own for one of them; its first line is enough.
            found.push((n + 1, name, line));
            table = "";
        }
    }
    found
}

pub(crate) fn version(value: &str) -> Option<&str> {
    let after = value.split_once("version = ").map_or(value, |(_, after)| after);
    after.strip_prefix('"')?.split('"').next()
}

pub(crate) fn own_dependencies(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    let root = sources.iter().find(|s| s.path == "Cargo.toml").map(dependencies);
    let root = root.unwrap_or_default();
    let member = |s: &&Source| s.path.ends_with("/Cargo.toml");
    for source in sources.iter().filter(member) {
        for (n, name, value) in dependencies(source) {
            let excused =
                OWN_DEPENDENCIES.iter().any(|(p, d, _)| (source.path.as_str(), name) == (*p, *d));
            let shared = name.ends_with(".workspace") && value == "true"
                || value.contains("workspace = true");
            if !shared && !excused {
                complaints.push(source.complain(n, &format!("{name} is not the workspace's")));
            }
            let theirs = root.iter().find(|(_, other, _)| *other == name);
            let differs = theirs.is_some_and(|(_, _, of)| version(of) != version(value));
            if !shared && excused && differs {
                complaints.push(source.complain(n, &format!("{name} has another version")));
            }
        }
    }
    complaints
}
