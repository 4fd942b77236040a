//! The invariants that hold for the whole tree: who may import what, how a file begins and how
//! long it may be, which settings there are, what lies at the top.
//!
//! Each check is a function of the files; it runs on the checkout, and on a planted file that it
//! must complain about, so that a check which has stopped looking is noticed.

use std::{collections::BTreeSet, fs};

use portcall_tests::{
    parts::given::checkout,
    tree::{
        LEFT_OUT, Source,
        nesting::{around, line_of},
        tree,
    },
};

/// Longest file, in lines without its test module.
const LONGEST: usize = 500;

/// Where an outside library may be imported, and nowhere else under `shared`, `api`, `worker`
/// and `infra`.
const HOMES: &[(&str, &str)] = &[
    ("mongodb", "shared/src/store"),
    ("bollard", "worker/src/fleet"),
    ("axum", "api/"),
    ("backoff", "shared/src/retry.rs"),
    ("reqwest", "shared/src/registry"),
];

/// What a folder must not know.
const STRANGERS: &[(&str, &[&str])] = &[
    ("api/", &["portcall_worker"]),
    ("worker/", &["portcall_api"]),
    ("shared/", &["portcall_api", "portcall_worker"]),
    (
        "shared/src/domain/",
        &[
            "mongodb",
            "bson",
            "tokio",
            "hyper",
            "reqwest",
            "bollard",
            "axum",
            "crate::store",
            "crate::registry",
            "now_utc",
            "Instant::now",
            "SystemTime::now",
        ],
    ),
];

/// What may lie at the top.
const TOP: &[&str] =
    &["Cargo.toml", "Cargo.lock", "README.md", "api", "infra", "shared", "tests", "web", "worker"];

/// Paths of somebody's machine, split so that this file does not contain them.
const MACHINE: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// Hosts that packages come from; which one is the reader's affair.
const PACKAGE_HOSTS: &[&str] = &[
    concat!("registry.npm", "js.org"),
    concat!("py", "pi.org"),
    concat!("pythonh", "osted.org"),
    concat!("deb.deb", "ian.org"),
    concat!("archive.ubu", "ntu.com"),
    concat!("static.cra", "tes.io"),
    concat!("index.cra", "tes.io"),
    concat!("npm.pkg.git", "hub.com"),
    concat!("proxy.gol", "ang.org"),
];

/// What the worker never asks of the engine: to run something in a stranger's container, to reach
/// into its files, to give it the machine's.
const NEVER: &[(&str, &str)] = &[
    ("create_exec", "nothing is executed inside a stranger's container"),
    ("start_exec", "nothing is executed inside a stranger's container"),
    ("download_from_container", "nothing of ours touches a stranger's files"),
    ("upload_to_container", "nothing of ours touches a stranger's files"),
    ("export_container", "nothing of ours touches a stranger's files"),
    ("privileged: Some(true)", "no container is privileged"),
    ("publish_all_ports: Some(true)", "no port is published"),
];

/// Fields of a container request that stay empty.
const EMPTY: &[&str] =
    &["binds", "port_bindings", "volumes_from", "devices", "device_requests", "links"];

/// Methods of the driver that ask the server.
const DRIVER: &[&str] = &[
    "find_one",
    "find",
    "find_one_and_update",
    "find_one_and_replace",
    "find_one_and_delete",
    "insert_one",
    "insert_many",
    "update_one",
    "update_many",
    "replace_one",
    "delete_one",
    "delete_many",
    "aggregate",
    "distinct",
    "count_documents",
    "estimated_document_count",
    "create_index",
    "create_indexes",
    "run_command",
    "watch",
];

/// Whose arguments run in a task of their own, which nobody drops half-way.
const TASKS: &[&str] = &["call", "persist", "spawn"];

/// What may ask the driver directly, and why.
const DIRECT: &[(&str, &str)] = &[("initiate", "a client of its own, for a set that is made")];

/// Where something may be waited for with an end to it, in the store.
const MAY_GIVE_UP: &[&str] = &["shared/src/store/mod.rs", "shared/src/store/feed.rs"];

/// Dependencies of members that are not the workspace's, and why.
const OWN_DEPENDENCIES: &[(&str, &str, &str)] = &[
    ("worker/Cargo.toml", "hyper", "fewer features, for the prober"),
    ("worker/Cargo.toml", "tokio", "fewer features, for the prober"),
];

/// Whether the word stands there by itself and is a path or an import.
fn names(line: &str, word: &str) -> bool {
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

fn production(source: &&Source) -> bool {
    let ours = ["shared/", "api/", "worker/", "infra/"];
    source.is("rs") && !source.is_test() && ours.iter().any(|top| source.path.starts_with(top))
}

fn outside_home(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(production) {
        for (library, home) in HOMES {
            if source.path.starts_with(home) {
                continue;
            }
            for (n, _) in source.code().filter(|(_, line)| names(line, library)) {
                complaints.push(source.complain(n, &format!("{library} lives in {home}")));
            }
        }
    }
    complaints
}

fn forbidden_imports(sources: &[Source]) -> Vec<String> {
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

fn without_header(sources: &[Source]) -> Vec<String> {
    let headless = |s: &&Source| s.is("rs") && !s.text.starts_with("//! ");
    let complain = |s: &Source| s.complain(1, "a module opens with what it is for (//!)");
    sources.iter().filter(headless).map(complain).collect()
}

fn too_long(sources: &[Source]) -> Vec<String> {
    let ours = |s: &&Source| (s.is("rs") || s.is("ts") || s.is("tsx")) && !s.is_test();
    let long = |s: &Source| {
        let lines = s.own_lines().count();
        (lines > LONGEST).then(|| s.complain(lines, &format!("longer than {LONGEST} lines")))
    };
    sources.iter().filter(ours).filter_map(long).collect()
}

fn unwraps(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|s| s.is("rs") && !s.is_test()) {
        for (n, _) in source.code().filter(|(_, line)| line.contains(".unwrap()")) {
            complaints.push(source.complain(n, "no unwrap() outside tests"));
        }
    }
    complaints
}

fn silenced(sources: &[Source]) -> Vec<String> {
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
fn undocumented(sources: &[Source]) -> Vec<String> {
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

fn is_program(source: &Source) -> bool {
    let by_name = ["rs", "ts", "tsx", "js", "mjs", "sh", "py"].iter().any(|e| source.is(e));
    by_name || source.text.starts_with("#!")
}

fn variables(text: &str) -> BTreeSet<String> {
    let prefix = concat!("PORT", "CALL_");
    let part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let starts = |at: usize| !text[..at].ends_with(part);
    text.match_indices(prefix)
        .filter(|(at, _)| starts(*at))
        .map(|(at, _)| text[at..].chars().take_while(|c| part(*c)).collect::<String>())
        .filter(|name| name != prefix && !name.ends_with('_'))
        .collect()
}

fn strange_at_top(names: &[String]) -> Vec<String> {
    let known =
        |name: &str| name.starts_with('.') || LEFT_OUT.contains(&name) || TOP.contains(&name);
    names.iter().filter(|name| !known(name)).map(|name| format!("{name} at the top")).collect()
}

fn of_a_machine(sources: &[Source]) -> Vec<String> {
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

fn reaching_in(sources: &[Source]) -> Vec<String> {
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

/// A future of the driver that is dropped half-way can break its pool (RUST-937), so each is made
/// inside a task. A function that returns the driver's error is part of what runs there, and is
/// itself called only there.
fn driver_outside_tasks(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    let store = |s: &&Source| s.path.starts_with("shared/src/store/");
    for source in sources.iter().filter(production).filter(store) {
        let plain = source.plain();
        let driving: Vec<String> = plain
            .match_indices("fn ")
            .filter(|(at, _)| drives(plain[*at..].split('{').next().unwrap_or_default()))
            .map(|(at, _)| plain[at + 3..].split(['(', '<']).next().unwrap_or_default().to_owned())
            .collect();
        let methods = DRIVER.iter().map(|name| format!(".{name}("));
        for wanted in methods.chain(driving.iter().map(|name| format!("{name}("))) {
            for (at, heads) in around(&plain, &wanted) {
                let (before, after) = (&plain[..at], plain[at + wanted.len()..].trim_start());
                let part = |c: char| c.is_alphanumeric() || c == '_';
                let other = before.ends_with("fn ")
                    // The store's own of that name.
                    || before.ends_with("self")
                    || !wanted.starts_with('.') && before.ends_with(part)
                    // A method of iterators has the same name.
                    || wanted == ".find(" && (after.starts_with('|') || after.starts_with("fits"));
                if !other && !heads.iter().any(|head| is_task(head) || is_given(&plain, head)) {
                    let line = line_of(&plain, at);
                    complaints.push(source.complain(line, &format!("{wanted}…) outside a task")));
                }
            }
        }
    }
    complaints
}

/// Whether a function returns the driver's error.
fn drives(signature: &str) -> bool {
    let returned = signature.split_once("->").map_or("", |(_, returned)| returned);
    let returned = returned.split("where").next().unwrap_or_default();
    ["DriverError", "mongodb::error::Error"].iter().any(|error| returned.contains(error))
}

fn is_task(head: &str) -> bool {
    let named = |name: &str| {
        let before = head.strip_suffix(name);
        before.is_some_and(|b| !b.ends_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    let direct = |name: &str| head.contains(&format!("fn {name}("));
    TASKS.iter().any(|name| named(name))
        || head.contains("fn ") && drives(head)
        || DIRECT.iter().any(|(name, _)| direct(name))
}

/// Whether it is a block that gets a name and, by it, is given to a task.
fn is_given(plain: &str, head: &str) -> bool {
    let name = head.strip_prefix("let ").and_then(|rest| rest.strip_suffix(" = async move"));
    name.is_some_and(|name| {
        let uses = around(plain, &format!(" {name})"));
        uses.iter().any(|(_, heads)| heads.first().is_some_and(|head| is_task(head)))
    })
}

fn giving_up(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    let store = |s: &&Source| {
        s.path.starts_with("shared/src/store/") && !MAY_GIVE_UP.contains(&s.path.as_str())
    };
    for source in sources.iter().filter(production).filter(store) {
        let plain = source.plain();
        for word in ["timeout(", "timeout_at(", "select!", "select_biased!", ".abort()"] {
            for (at, _) in plain.match_indices(word) {
                let what = format!("{word} may drop a call half-way: use Store::call");
                complaints.push(source.complain(line_of(&plain, at), &what));
            }
        }
    }
    complaints
}

/// Each dependency of a member with its line, from all tables of dependencies.
fn dependencies(source: &Source) -> Vec<(usize, &str, &str)> {
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

fn version(value: &str) -> Option<&str> {
    let after = value.split_once("version = ").map_or(value, |(_, after)| after);
    after.strip_prefix('"')?.split('"').next()
}

fn own_dependencies(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    let root = sources.iter().find(|s| s.path == "Cargo.toml").map(dependencies);
    let root = root.unwrap_or_default();
    let member =
        |s: &&Source| s.path.ends_with("/Cargo.toml") && !s.path.starts_with("tests/fuzz/");
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

/// The names in calls of the macros of `metrics`, with their lines; none where a name is not
/// written there.
fn metrics_of(source: &Source) -> Vec<(usize, Option<&str>)> {
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
fn undescribed(sources: &[Source]) -> Vec<String> {
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

type Check = fn(&[Source]) -> Vec<String>;

/// The check is silent about the checkout, and complains once about the planted file.
fn holds(check: Check, path: &str, planted: &str) {
    let complaints = check(&[Source::new(path, planted)]);
    assert_eq!(complaints.len(), 1, "planted at {path}: {complaints:?}");
    let tree = tree();
    assert!(tree.iter().any(|s| s.path == "shared/src/lib.rs"), "this is no checkout");
    let complaints = check(&tree);
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn each_library_has_one_home() {
    let quiet = "//! mongodb::Client is not used, see axum.\nlet uri = \"mongodb://x\";\n";
    assert!(outside_home(&[Source::new("worker/src/a.rs", quiet)]).is_empty());
    assert!(outside_home(&[Source::new("api/src/a.rs", "use axum::Router;")]).is_empty());
    for (library, _) in HOMES {
        let planted = format!("fn f() {{ {library}::f() }}");
        assert_eq!(outside_home(&[Source::new("infra/ctl/src/a.rs", &planted)]).len(), 1);
    }
    holds(outside_home, "worker/src/grade.rs", "use mongodb::Client;");
}

#[test]
fn dependencies_point_inwards() {
    for (folder, strangers) in STRANGERS {
        for stranger in *strangers {
            let source = Source::new(&format!("{folder}a.rs"), &format!("    {stranger}::x();"));
            assert_eq!(forbidden_imports(&[source]).len(), 1, "{stranger} in {folder}");
        }
    }
    holds(forbidden_imports, "shared/src/domain/a.rs", "use {serde::Serialize, tokio::time};");
}

#[test]
fn manifests_point_inwards() {
    let check: Check = |sources| {
        let wrong = [
            ("api/Cargo.toml", "portcall-worker"),
            ("api/Cargo.toml", "bollard"),
            ("worker/Cargo.toml", "portcall-api"),
            ("worker/Cargo.toml", "mongodb"),
            ("worker/Cargo.toml", "axum"),
            ("shared/Cargo.toml", "axum"),
            ("shared/Cargo.toml", "bollard"),
            ("infra/ctl/Cargo.toml", "mongodb"),
        ];
        let mut complaints = Vec::new();
        for (path, library) in wrong {
            for source in sources.iter().filter(|s| s.path == path) {
                let lines = source.text.lines().enumerate();
                for (n, _) in lines.filter(|(_, line)| {
                    line.strip_prefix(library).is_some_and(|rest| rest.starts_with([' ', '.', '=']))
                }) {
                    complaints.push(source.complain(n + 1, &format!("no {library} here")));
                }
            }
        }
        complaints
    };
    holds(check, "worker/Cargo.toml", "[dependencies]\nmongodb.workspace = true\n");
}

#[test]
fn each_module_says_what_it_is_for() {
    holds(without_header, "shared/src/a.rs", "use std::fmt;\n");
}

#[test]
fn no_file_is_too_long() {
    let tested = format!("{}#[cfg(test)]\nmod tests {{\n{}}}", "x\n".repeat(500), "y\n".repeat(99));
    assert!(too_long(&[Source::new("api/src/a.rs", &tested)]).is_empty());
    holds(too_long, "api/src/a.rs", &"x\n".repeat(LONGEST + 1));
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    let tested = "fn f() {}\n#[cfg(test)]\nmod tests {\n  fn g() { h().unwrap(); }\n}";
    assert!(unwraps(&[Source::new("api/src/a.rs", tested)]).is_empty());
    let named = Source::new("api/src/a/tests.rs", "fn g() { h().unwrap(); }");
    assert!(unwraps(&[named]).is_empty());
    holds(unwraps, "api/src/a.rs", "fn f() { g().unwrap(); }");
}

#[test]
fn no_lint_is_silenced_and_no_test_is_left_out() {
    holds(silenced, "api/src/a.rs", concat!("#[al", "low(dead_code)]"));
}

#[test]
fn every_setting_is_documented() {
    let name = concat!("PORT", "CALL_NEW");
    let sample = Source::new("infra/env.sample", &format!("# {name}=1\n"));
    let code = Source::new("api/src/a.rs", &format!("read(\"{name}\")"));
    assert!(undocumented(&[sample, code]).is_empty());
    let unused = [Source::new("infra/env.sample", &format!("{name}=1\n"))];
    assert_eq!(undocumented(&unused).len(), 1);
    holds(undocumented, "api/src/a.rs", &format!("read(\"{name}\")"));
}

#[test]
fn the_top_holds_only_what_belongs_there() {
    let planted = ["README.md", ".cargo", "notes.md"].map(str::to_owned);
    assert_eq!(strange_at_top(&planted), ["notes.md at the top"]);
    let names: Vec<String> = fs::read_dir(checkout())
        .expect("a checkout can be read")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(strange_at_top(&names), [""; 0]);
}

#[test]
fn nothing_is_tied_to_one_machine() {
    let host = Source::new("infra/up", &format!("curl {}", PACKAGE_HOSTS[0]));
    assert_eq!(of_a_machine(&[host]).len(), 1);
    let inside = format!("$HERE{}x a{0}x", MACHINE[0]);
    assert!(of_a_machine(&[Source::new("infra/up", &inside)]).len() <= 1);
    holds(of_a_machine, "infra/up", &format!("cd {}main", MACHINE[0]));
}

#[test]
fn the_worker_never_reaches_into_a_container() {
    let quiet = "//! create_exec is not used.\nbinds: None,\nprivileged: Some(false),\n";
    assert_eq!(reaching_in(&[Source::new("worker/src/a.rs", quiet)]), [""; 0]);
    for (word, _) in NEVER {
        let planted = Source::new("worker/src/a.rs", &format!("    {word},\n"));
        assert_eq!(reaching_in(&[planted]).len(), 1, "{word}");
    }
    for field in EMPTY {
        let planted = format!("    {field}: Some(vec![mine]),\n");
        assert_eq!(reaching_in(&[Source::new("worker/src/a.rs", &planted)]).len(), 1, "{field}");
    }
    holds(reaching_in, "worker/src/fleet/a.rs", "docker.create_exec(id, options).await");
}

#[test]
fn the_driver_is_asked_in_tasks_only() {
    let inside = "impl Store { async fn f(&self) -> Result<(), StoreError> {\n\
        let first = all.iter().find(|one| one.is_first());\n\
        self.persist(policy, \"ask (it)\", move || { let c = c.clone(); async move { c.find_one(x).await } }).await;\n\
        let asked = async move { c.delete_one(x).await };\n\
        self.call(\"ask\", asked).await; self.aggregate(x).await\n\
        } }\n\
        async fn g(d: Database) -> Result<(), DriverError> { d.run_command(x).await }\n\
        fn h(error: &DriverError) {}\n";
    assert_eq!(driver_outside_tasks(&[Source::new("shared/src/store/a.rs", inside)]), [""; 0]);
    for name in DRIVER {
        let planted = format!("async fn f(&self) -> X {{ self.call(a).await; c.{name}(x).await }}");
        let found = driver_outside_tasks(&[Source::new("shared/src/store/a.rs", &planted)]);
        assert_eq!(found.len(), 1, "{name}: {found:?}");
    }
    let named = "async fn f() { let asked = async move { c.watch().await }; asked.await }";
    let found = driver_outside_tasks(&[Source::new("shared/src/store/a.rs", named)]);
    assert_eq!(found.len(), 1, "{found:?}");
    let indirect = "fn g() -> Result<(), DriverError> {}\nfn f() { g(1); recall(g(2)) }\n";
    let found = driver_outside_tasks(&[Source::new("shared/src/store/a.rs", indirect)]);
    assert_eq!(found.len(), 2, "{found:?}");
    holds(driver_outside_tasks, "shared/src/store/a.rs", "fn f() { c.update_one(a, b).await }");
}

#[test]
fn the_store_gives_up_in_two_places() {
    let there = Source::new("shared/src/store/feed.rs", "tokio::select! {}");
    assert_eq!(giving_up(&[there]), [""; 0]);
    holds(giving_up, "shared/src/store/pins.rs", "tokio::time::timeout(SHORT, future).await");
}

#[test]
fn dependencies_are_the_workspaces() {
    let root = "[workspace.dependencies]\nhyper = { version = \"1.12\" }\nbytes = \"1\"\n";
    let root = || Source::new("Cargo.toml", root);
    let good = "[package]\nname = \"a\"\n[dependencies]\nbytes.workspace = true\n\
        hyper = { version = \"1.12\", features = [] }\ntar = { workspace = true, optional = true }\n";
    assert_eq!(own_dependencies(&[root(), Source::new("worker/Cargo.toml", good)]), [""; 0]);
    assert_eq!(own_dependencies(&[root(), Source::new("api/Cargo.toml", good)]).len(), 1);
    let other = good.replace("1.12", "1.13");
    assert_eq!(own_dependencies(&[root(), Source::new("worker/Cargo.toml", &other)]).len(), 1);
    let table = "[dev-dependencies.bytes]\nversion = \"1\"\nfeatures = []\n";
    assert_eq!(own_dependencies(&[Source::new("api/Cargo.toml", table)]).len(), 1);
    let manifests = tree();
    for (path, name, _) in OWN_DEPENDENCIES {
        let source = manifests.iter().find(|s| s.path == *path).expect("a manifest");
        let own = dependencies(source).into_iter().any(|(_, other, _)| other == *name);
        assert!(own, "{name} in {path} needs no excuse any more");
    }
    holds(own_dependencies, "api/Cargo.toml", "[dependencies]\nbytes = \"1\"\n");
}

#[test]
fn each_metric_is_described_and_counted() {
    let table = "DESCRIPTIONS: &[(&str, &str)] = &[(\"portcall_a_total\", \"A\")];\n";
    let table = || Source::new("shared/src/telemetry.rs", table);
    let counted = "metrics::counter!(\n  \"portcall_a_total\", \"b\" => c).increment(1);";
    let counted = || Source::new("api/src/a.rs", counted);
    assert_eq!(undescribed(&[table(), counted()]), [""; 0]);
    assert_eq!(undescribed(&[table()]).len(), 1, "described and never counted");
    let unnamed = Source::new("api/src/b.rs", "gauge!(NAME).set(1.0)");
    assert_eq!(undescribed(&[table(), counted(), unnamed]).len(), 1);
    let asked = Source::new("tests/tests/a.rs", concat!("w.met", "ric(\"portcall_b_total\")"));
    assert_eq!(undescribed(&[table(), counted(), asked]).len(), 1);
    holds(undescribed, "worker/src/a.rs", "metrics::gauge!(\"portcall_new\").set(1);");
}
