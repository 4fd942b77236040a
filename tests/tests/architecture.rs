//! The invariants that hold for the whole tree: who may import what, how a file begins and how
//! long it may be, which settings there are, what lies at the top.
//!
//! Each check is a function of the files; it runs on the checkout, and on a planted file that it
//! must complain about, so that a check which has stopped looking is noticed.

use std::{collections::BTreeSet, fs};

use portcall_tests::{
    parts::given::checkout,
    tree::{LEFT_OUT, Source, tree},
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
