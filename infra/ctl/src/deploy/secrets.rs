//! The swarm's secrets: that those are there which the stack's services are given. The swarm would say so
//! only when it comes to the first service that lacks one, and leave the stack half changed.

use std::{collections::BTreeSet, path::PathBuf};

use super::{docker::Docker, file, variables::Variables};
use crate::failure::Failure;

/// Refuses where one is missing.
pub(super) async fn check(
    swarm: &Docker,
    files: &[PathBuf],
    variables: &Variables,
) -> Result<(), Failure> {
    let mut wanted = BTreeSet::new();
    for path in files {
        wanted.extend(named(&file::read(path)?, variables));
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let there = swarm.ask(&["secret", "ls", "--format", "{{.Name}}"]).await?;
    let there: BTreeSet<&str> = there.lines().map(str::trim).collect();
    all_there(&wanted, &there)
}

fn all_there(wanted: &BTreeSet<String>, there: &BTreeSet<&str>) -> Result<(), Failure> {
    let missing = wanted.iter().map(String::as_str).filter(|name| !there.contains(name));
    let missing: Vec<&str> = missing.collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Failure::Failed(format!(
            "the swarm has no secret {}: infra/mongo/secrets --create PREFIX FOLDER gives it what is missing, \
             from the folder that the others were made of (PORTCALL_STACK_SECRETS names the prefix)",
            missing.join(", ")
        ))),
    }
}

/// The names of the secrets that a file takes from the swarm: each `external` one below `secrets:`, by its
/// name with its variables filled in.
fn named(text: &str, variables: &Variables) -> BTreeSet<String> {
    let top = |line: &&str| !line.starts_with([' ', '\t']) && !line.trim().is_empty();
    let below = file::lines(text).skip_while(|line| line.trim_end() != "secrets:").skip(1);
    let mut entries: Vec<String> = Vec::new();
    for line in below.take_while(|line| !top(line)) {
        let indent = line.len() - line.trim_start().len();
        match entries.last_mut() {
            // What is further in belongs to the one above.
            Some(entry) if indent > 2 => entry.push_str(line),
            _ if indent == 2 => entries.push(line.to_owned()),
            _ => {}
        }
    }
    let external = entries.iter().filter(|entry| entry.contains("external: true"));
    external.map(|entry| filled(name(entry), variables)).collect()
}

/// What an entry's secret is called in the swarm: by `name`, or as the entry itself.
fn name(entry: &str) -> &str {
    let own = entry.trim_start().split(':').next().unwrap_or_default();
    let Some((_, rest)) = entry.split_once(" name:") else { return own };
    let rest = rest.trim_start();
    match rest.strip_prefix(['"', '\'']) {
        Some(quoted) => quoted.split(['"', '\'']).next().unwrap_or_default(),
        None => rest.split([' ', ',', '}']).next().unwrap_or_default(),
    }
}

/// With `${NAME}` and `${NAME:-DEFAULT}` filled in.
fn filled(text: &str, variables: &Variables) -> String {
    let mut parts = text.split("${");
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (inside, after) = part.split_once('}').unwrap_or((part, ""));
        let (name, default) = inside.split_once(":-").unwrap_or((inside, ""));
        let given = variables.all().get(name).filter(|value| !value.is_empty());
        all.push_str(given.map_or(default, String::as_str));
        all.push_str(after);
    }
    all
}

#[cfg(test)]
mod tests {
    use portcall_shared::settings::Reader;

    use super::*;

    fn given(prefix: &str) -> Variables {
        let own = [("PORTCALL_STACK_SECRETS".to_owned(), prefix.to_owned())];
        Variables::read(None, &Reader::from_map(own.into())).unwrap()
    }

    #[test]
    fn the_secrets_of_a_file_are_found() {
        let text = "services:\n  a:\n    secrets: [one]\nsecrets:\n\
            \n  one: { external: true, name: \"${PORTCALL_STACK_SECRETS:-portcall}-one\" }\n\
            \n  two:\n    external: true\n    name: plain-two\n  three: { external: true }\n\
            \n  # four: { external: true }\n  five: { file: ./five }\nvolumes:\n  six: { external: true }\n";
        for (prefix, one) in [("", "portcall-one"), ("p-2", "p-2-one")] {
            let found = named(text, &given(prefix));
            let found: Vec<&str> = found.iter().map(String::as_str).collect();
            let mut wanted = vec![one, "plain-two", "three"];
            wanted.sort_unstable();
            assert_eq!(found, wanted);
        }
        assert!(named("services: {}\n", &given("")).is_empty());
    }

    #[test]
    fn one_that_is_missing_is_named() {
        let wanted = named(include_str!("../../../stack.yaml"), &given("p-2"));
        assert_eq!(wanted.len(), 12, "{wanted:?}");
        assert!(wanted.contains("p-2-seal") && wanted.iter().all(|n| n.starts_with("p-2-")));
        let mut there: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
        there.insert("somebody-elses");
        assert!(all_there(&wanted, &there).is_ok());
        there.remove("p-2-seal");
        let told = all_there(&wanted, &there);
        let told = |why: &str| matches!(&told, Err(Failure::Failed(told)) if told.contains(why));
        assert!(told("no secret p-2-seal:") && told("infra/mongo/secrets --create"));
    }
}
