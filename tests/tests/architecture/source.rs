//! Checks that read the source: imports, headers, lengths, settings, paths, the worker's reach.

use portcall_tests::tree::{LEFT_OUT, Source};
use std::collections::BTreeSet;

use crate::rules::{EMPTY, HOMES, LONGEST, MACHINE, NEVER, PACKAGE_HOSTS, STRANGERS, TOP};

/// Whether the word stands there by itself and is a path or an import.
pub(crate) fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let part = |c: char| c.is_alphanumeric() || c == '_';
        let starts = !before.is_some_and(part);
        let imported =
            line.trim_start().starts_with("use ") || line.trim_start().starts_with("pub use ");
        starts
            && (line[at + word.len()..].starts_with("::")
                || (word.contains("::") || word.contains("now")) && !after.is_some_and(part)
                || imported && !after.is_some_and(part))
    })
}

pub(crate) fn production(source: &&Source) -> bool {
    let ours = ["shared/", "api/", "worker/", "infra/"];
    source.is("rs") && !source.is_test() && ours.iter().any(|top| source.path.starts_with(top))
}

pub(crate) fn outside_home(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(production) {
        for (library, homes) in HOMES {
            if homes.iter().any(|home| source.path.starts_with(home)) {
                continue;
            }
            let homes = homes.join(" and ");
            for (n, _) in source.code().filter(|(_, line)| names(line, library)) {
                complaints.push(source.complain(n, &format!("{library} lives in {homes}")));
            }
        }
    }
    complaints
}

pub(crate) fn forbidden_imports(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(production) {
        for (folder, strangers) in STRANGERS.iter().filter(|(f, _)| source.path.starts_with(f)) {
            for stranger in *strangers {
                for (n, _) in source.code().filter(|(_, line)| names(line, stranger)) {
                    complaints.push(source.complain(n, &format!("{folder} knows no {stranger}")));
                }
            }
        }
    }
    complaints
}

pub(crate) fn without_header(sources: &[Source]) -> Vec<String> {
    let headless = |s: &&Source| s.is("rs") && !s.text.starts_with("//! ");
    let complain = |s: &Source| s.complain(1, "a module opens with what it is for (//!)");
    sources.iter().filter(headless).map(complain).collect()
}

pub(crate) fn too_long(sources: &[Source]) -> Vec<String> {
    // What a program writes is as long as it is.
    let made = |s: &Source| s.path == "web/src/api/schema.ts";
    let ours = |s: &&Source| (s.is("rs") || s.is("ts") || s.is("tsx")) && !s.is_test() && !made(s);
    let long = |s: &Source| {
        let lines = s.own_lines().count();
        (lines > LONGEST).then(|| s.complain(lines, &format!("longer than {LONGEST} lines")))
    };
    sources.iter().filter(ours).filter_map(long).collect()
}

pub(crate) fn unwraps(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|s| s.is("rs") && !s.is_test()) {
        for (n, _) in source.code().filter(|(_, line)| line.contains(".unwrap()")) {
            complaints.push(source.complain(n, "no unwrap() outside tests"));
        }
    }
    complaints
}

pub(crate) fn silenced(sources: &[Source]) -> Vec<String> {
    let words = [concat!("#[al", "low("), concat!("#![al", "low("), concat!("#[ig", "nore")];
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|s| s.is("rs")) {
        for (n, line) in source.text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                complaints.push(source.complain(n + 1, "neither allowed nor ignored: use expect"));
            }
        }
    }
    complaints
}

/// Each variable of the code is in the sample, and each of the sample's is in the code; those that
/// only tests are given may be in the table of `given.rs` instead.
pub(crate) fn undocumented(sources: &[Source]) -> Vec<String> {
    let text_of = |path: &str| {
        sources.iter().find(|s| s.path == path).map(|s| s.text.as_str()).unwrap_or_default()
    };
    let sample = variables(text_of("infra/env.sample"));
    let given = text_of("tests/src/parts/given.rs");
    let table: String = given.lines().filter(|line| line.starts_with("//!")).collect();
    let table = variables(&table);
    let mut used = BTreeSet::new();
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|s| is_program(s) && !s.is_test()) {
        for (n, line) in source.own_lines() {
            for name in variables(line) {
                let of_tests = name.starts_with("PORTCALL_TEST_") && table.contains(&name);
                if !of_tests && !sample.contains(&name) {
                    complaints.push(source.complain(n, &format!("{name} is not in the sample")));
                }
                used.insert(name);
            }
        }
    }
    for name in sample.iter().filter(|name| !used.contains(*name)) {
        complaints.push(format!("infra/env.sample: {name} is used nowhere"));
    }
    complaints
}

pub(crate) fn is_program(source: &Source) -> bool {
    let by_name = ["rs", "ts", "tsx", "js", "mjs", "sh", "py", "yaml"].iter().any(|e| source.is(e));
    by_name || source.text.starts_with("#!")
}

pub(crate) fn variables(text: &str) -> BTreeSet<String> {
    let prefix = concat!("PORT", "CALL_");
    let part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let starts = |at: usize| !text[..at].ends_with(part);
    text.match_indices(prefix)
        .filter(|(at, _)| starts(*at))
        .map(|(at, _)| text[at..].chars().take_while(|c| part(*c)).collect::<String>())
        .filter(|name| name != prefix && !name.ends_with('_'))
        .collect()
}

pub(crate) fn strange_at_top(names: &[String]) -> Vec<String> {
    let known =
        |name: &str| name.starts_with('.') || LEFT_OUT.contains(&name) || TOP.contains(&name);
    names.iter().filter(|name| !known(name)).map(|name| format!("{name} at the top")).collect()
}

pub(crate) fn of_a_machine(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|s| !s.path.ends_with(".lock")) {
        for (n, line) in source.text.lines().enumerate() {
            let path = MACHINE.iter().find(|path| {
                line.match_indices(**path).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || "._-/}$\\".contains(c))
                })
            });
            let host = PACKAGE_HOSTS.iter().find(|host| line.contains(**host));
            if let Some(found) = path.or(host) {
                complaints.push(source.complain(n + 1, &format!("{found} is of one machine")));
            }
        }
    }
    complaints
}

pub(crate) fn reaching_in(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(production).filter(|s| s.path.starts_with("worker/src/")) {
        let plain = source.plain();
        for (n, line) in plain.lines().enumerate() {
            let never = NEVER.iter().filter(|(word, _)| line.contains(word));
            complaints.extend(never.map(|(_, why)| source.complain(n + 1, why)));
            let filled = EMPTY.iter().filter(|field| {
                let value = line.trim_start().strip_prefix(**field);
                let value = value.and_then(|rest| rest.strip_prefix(": "));
                value.is_some_and(|value| value.trim_end() != "None,")
            });
            complaints.extend(filled.map(|f| source.complain(n + 1, &format!("{f} stays empty"))));
        }
    }
    complaints
}

/// Names of tests and files in the README's code words that lead nowhere.
pub(crate) fn unknown_to_the_tree(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|s| s.is("md")) {
        for (n, line) in source.text.lines().enumerate() {
            let words = line.split('`').skip(1).step_by(2);
            for word in words.filter(|word| !known(word, sources)) {
                complaints.push(source.complain(n + 1, &format!("there is no {word}")));
            }
        }
    }
    complaints
}

/// Whether a code word is no name of a test or file, or one that is there.
fn known(word: &str, sources: &[Source]) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let sentence = word.chars().all(plain) && word.split('_').count() > 4;
    let folders = ["api/", "infra/", "shared/", "tests/", "web/", "worker/"];
    let path = folders.iter().any(|folder| word.starts_with(folder))
        && word.chars().all(|c| plain(c) || c.is_ascii_uppercase() || "/.-".contains(c));
    if sentence {
        let function = format!("fn {word}(");
        sources.iter().any(|s| s.is("rs") && s.text.contains(&function))
    } else if path {
        let folder = format!("{}/", word.trim_end_matches('/'));
        sources.iter().any(|s| s.path == word || s.path.starts_with(&folder))
    } else {
        true
    }
}
