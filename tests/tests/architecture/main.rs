//! The invariants that hold for the whole tree: who may import what, how a file begins and how
//! long it may be, which settings there are, what lies at the top.
//!
//! Each check is a function of the files; it runs on the checkout, and on a planted file that it
//! must complain about, so that a check which has stopped looking is noticed.

mod deployment;
mod driver;
mod manifests;
mod metrics;
mod rules;
mod source;

use portcall_tests::parts::given::checkout;
use portcall_tests::tree::{Source, tree};
use std::fs;

use crate::driver::{driver_outside_tasks, giving_up, opened_elsewhere};
use crate::manifests::{dependencies, own_dependencies};
use crate::metrics::undescribed;
use crate::rules::{
    DRIVER, EMPTY, HOMES, LONGEST, MACHINE, NEVER, OWN_DEPENDENCIES, PACKAGE_HOSTS, STRANGERS,
};
use crate::source::{
    forbidden_imports, of_a_machine, outside_home, reaching_in, silenced, strange_at_top, too_long,
    undocumented, unknown_to_the_tree, unwraps, without_header,
};

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
            // Tests have the programs as operators do; what links them all is measured with them.
            ("tests/Cargo.toml", "portcall-api"),
            ("tests/Cargo.toml", "portcall-shared"),
            ("tests/Cargo.toml", "portcall-worker"),
            ("tests/Cargo.toml", "portcall-bench"),
            // A static index is what the map is measured against, and nothing that it uses.
            ("api/Cargo.toml", "rstar"),
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
fn what_the_readme_names_is_there() {
    let test = || Source::new("tests/a.rs", "fn a_b_c_d_e() {}");
    let names = |text| [Source::new("README.md", text), test()];
    assert_eq!(unknown_to_the_tree(&names("`a_b_c_d_e`, `tests/a.rs`, `tests`")), [""; 0]);
    assert_eq!(unknown_to_the_tree(&names("`a_b_c_d_f`")).len(), 1);
    holds(unknown_to_the_tree, "README.md", "see `worker/src/nowhere.rs`");
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
fn each_program_opens_its_database_in_one_place() {
    let opened = "let store = Store::open(uri, name, app).await?;";
    let there = Source::new("infra/ctl/src/database.rs", opened);
    assert_eq!(opened_elsewhere(&[there]), [""; 0]);
    holds(opened_elsewhere, "infra/ctl/src/status.rs", opened);
}

#[test]
fn dependencies_are_the_workspaces() {
    let root = "[workspace.dependencies]\ntokio = { version = \"1.54\" }\nbytes = \"1\"\n";
    let root = || Source::new("Cargo.toml", root);
    let good = "[package]\nname = \"a\"\n[dependencies]\nbytes.workspace = true\n\
        tokio = { version = \"1.54\", features = [] }\ntar = { workspace = true, optional = true }\n";
    assert_eq!(own_dependencies(&[root(), Source::new("worker/Cargo.toml", good)]), [""; 0]);
    assert_eq!(own_dependencies(&[root(), Source::new("api/Cargo.toml", good)]).len(), 1);
    let other = good.replace("1.54", "1.55");
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
