//! `infra/nodes/node` on a folder: what it installs, that it loses nothing, and that it notices when
//! any one of its settings is missing.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use portcall_tests::parts::{
    given,
    process::{Ended, Finished, ask},
};
use serde_json::{Value, json};

use crate::space::{SOON, lines_of};

const DAEMON: &str = "etc/docker/daemon.json";
const FILTER: &str = "etc/portcall/nftables.nft";
const SYSCTL: &str = "etc/sysctl.d/90-portcall.conf";

pub(crate) async fn node(arguments: &[&str]) -> Result<Finished> {
    let script = given::checkout().join("infra/nodes/node");
    ask(&script, arguments, &[], SOON).await
}

/// The script on a folder; its exit code has to be this one.
async fn on(root: &Path, words: &[&str], code: i32) -> Result<Finished> {
    let root = root.to_string_lossy();
    let arguments: Vec<&str> = words.iter().copied().chain(["--root", root.as_ref()]).collect();
    let done = node(&arguments).await?;
    ensure!(done.ended == Ended::Code(code), "{words:?}: {done:#?}");
    Ok(done)
}

/// The settings that fail, by name.
async fn failing(root: &Path, code: i32) -> Result<Vec<String>> {
    let told: Value = serde_json::from_str(&on(root, &["check", "--json"], code).await?.stdout)?;
    let settings = told["settings"].as_array().context("no settings")?;
    ensure!(settings.len() > 40, "{told:#}");
    Ok(settings
        .iter()
        .filter(|row| row["result"] == "fail")
        .filter_map(|row| row["setting"].as_str().map(str::to_owned))
        .collect())
}

fn applied(daemon: &Value) -> Result<tempfile::TempDir> {
    let root = tempfile::tempdir()?;
    fs::create_dir_all(root.path().join("etc/docker"))?;
    fs::write(root.path().join(DAEMON), daemon.to_string())?;
    Ok(root)
}

fn read(root: &Path, file: &str) -> Result<Value> {
    Ok(serde_json::from_str(&fs::read_to_string(root.join(file))?)?)
}

#[tokio::test]
async fn a_bare_machine_lacks_everything_and_nothing_once_it_is_applied() -> Result<()> {
    let root = tempfile::tempdir()?;
    let lacking = failing(root.path(), 1).await?;
    for name in [
        "daemon.json userns-remap",
        "daemon.json seccomp-profile",
        "daemon.json default-ulimits.core",
        "kernel.core_pattern",
        "/etc/portcall/nftables.nft",
        "packet filter at the machine's start",
    ] {
        ensure!(lacking.iter().any(|lacks| lacks == name), "{name} is not in {lacking:?}");
    }
    let told = on(root.path(), &["check"], 1).await?.stdout;
    ensure!(told.contains(&format!("0 pass, 0 warn, {} fail", lacking.len())), "{told}");

    let dry = on(root.path(), &["apply", "--dry-run"], 0).await?.stdout;
    ensure!(dry.contains("would change: /etc/docker/daemon.json"), "{dry}");
    assert_eq!(fs::read_dir(root.path())?.count(), 0, "a dry run changed something");

    on(root.path(), &["apply"], 0).await?;
    assert_eq!(failing(root.path(), 0).await?, [""; 0]);
    let again = on(root.path(), &["apply"], 0).await?.stdout;
    assert_eq!(again, "Everything is as wanted already.\n");
    Ok(())
}

#[tokio::test]
async fn what_was_in_the_engines_settings_stays_and_comes_back() -> Result<()> {
    let nproc = json!({ "Name": "nproc", "Soft": 5, "Hard": 5 });
    let before = json!({
        "data-root": "/data/docker", "log-driver": "journald", "default-ulimits": { "nproc": nproc },
    });
    let root = applied(&before)?;
    let told = on(root.path(), &["apply"], 0).await?.stdout;
    ensure!(told.contains(r#"log-driver: "journald" -> "local""#), "{told}");
    let now = read(root.path(), DAEMON)?;
    assert_eq!(now["data-root"], "/data/docker");
    assert_eq!(now["log-driver"], "local");
    assert_eq!(now["default-ulimits"]["nproc"], nproc);
    assert_eq!(now["default-ulimits"]["core"]["Hard"], 0);

    // What somebody changes afterwards is his when ours goes.
    let mut since = now.clone();
    since["max-concurrent-downloads"] = json!(3);
    fs::write(root.path().join(DAEMON), since.to_string())?;
    assert_eq!(failing(root.path(), 1).await?, ["daemon.json max-concurrent-downloads"]);
    on(root.path(), &["remove"], 0).await?;
    let mut expected = before;
    expected["max-concurrent-downloads"] = json!(3);
    assert_eq!(read(root.path(), DAEMON)?, expected);
    for gone in [FILTER, SYSCTL, "etc/portcall"] {
        ensure!(!root.path().join(gone).exists(), "{gone} is left");
    }
    assert_eq!(on(root.path(), &["remove"], 0).await?.stdout, "Nothing of it is here.\n");

    let bare = tempfile::tempdir()?;
    on(bare.path(), &["apply"], 0).await?;
    on(bare.path(), &["remove"], 0).await?;
    ensure!(!bare.path().join(DAEMON).exists(), "a file that was not there before is left");
    Ok(())
}

/// The control of `check`: whichever setting is missing, it says so and names it.
#[tokio::test]
async fn full_each_setting_that_is_taken_away_is_missed() -> Result<()> {
    let root = tempfile::tempdir()?;
    on(root.path(), &["apply", "--nodes", "10.0.0.1", "--egress", "closed"], 0).await?;
    let whole = read(root.path(), DAEMON)?;
    for (key, value) in whole.as_object().context("no object")? {
        let mut less = whole.clone();
        less.as_object_mut().context("no object")?.remove(key);
        fs::write(root.path().join(DAEMON), less.to_string())?;
        let name = format!("daemon.json {key}");
        let missed = failing(root.path(), 1).await?;
        let inner = value.as_object().map_or(1, serde_json::Map::len);
        ensure!(missed.len() == inner, "{key}: {missed:?}");
        ensure!(missed.iter().all(|missed| missed.starts_with(&name)), "{key}: {missed:?}");
    }
    fs::write(root.path().join(DAEMON), whole.to_string())?;

    for file in [
        SYSCTL,
        FILTER,
        "etc/portcall/seccomp.json",
        "etc/portcall/images",
        "etc/systemd/system/grader.slice",
        "etc/systemd/system/portcall-images.service",
        "etc/systemd/system/portcall-images.timer",
    ] {
        let path = root.path().join(file);
        let text = fs::read_to_string(&path)?;
        let lines = lines_of(&path)?;
        // In long files some lines stand for all; each rule as loaded is in `live`.
        let step = if file.ends_with(".json") || file.ends_with("/images") {
            20
        } else if file == FILTER {
            5
        } else {
            1
        };
        for (number, line) in lines.iter().step_by(step) {
            let rest = text.lines().enumerate().filter(|(n, _)| n != number);
            let less: Vec<&str> = rest.map(|(_, line)| line).collect();
            fs::write(&path, less.join("\n"))?;
            let missed = failing(root.path(), 1).await?;
            ensure!(missed[0] == format!("/{file}"), "without {line}: {missed:?}");
            if file == SYSCTL {
                let name = line.trim_start_matches('-').split(' ').next().unwrap_or_default();
                ensure!(missed.iter().any(|missed| missed == name), "{line}: {missed:?}");
            }
        }
        fs::write(&path, text)?;
    }
    assert_eq!(failing(root.path(), 0).await?, [""; 0]);
    for (link, name) in [
        (
            "multi-user.target.wants/portcall-firewall.service",
            "packet filter at the machine's start",
        ),
        ("timers.target.wants/portcall-images.timer", "unused images go, by a timer"),
    ] {
        fs::remove_file(root.path().join("etc/systemd/system").join(link))?;
        assert_eq!(failing(root.path(), 1).await?, [name]);
        on(root.path(), &["apply"], 0).await?;
    }
    Ok(())
}

#[tokio::test]
async fn addresses_are_kept_until_others_are_given() -> Result<()> {
    let root = tempfile::tempdir()?;
    let added = || -> Result<Vec<String>> {
        let text = fs::read_to_string(root.path().join(FILTER))?;
        Ok(text.lines().filter(|line| line.starts_with("add ")).map(str::to_owned).collect())
    };
    let words = [
        "apply",
        "--pool",
        "10.64.0.0/18",
        "--workers",
        "10.0.0.3,10.0.0.4",
        "--quarantine",
        "10.0.0.9:5000,10.0.0.8:443",
        "--overlay-rate",
        "9",
        "--egress",
        "closed",
    ];
    on(root.path(), &words, 0).await?;
    let expected = [
        "add element inet portcall containers { 10.64.0.0/18, 172.20.0.0/14 }",
        "add element inet portcall bridges { \"br-*\" }",
        "add element inet portcall workers { 10.0.0.3, 10.0.0.4 }",
        "add element inet portcall registries { 10.0.0.9 . 5000, 10.0.0.8 . 443 }",
        "add rule inet portcall overlays udp dport 4789 meter rates size 4096 { @th,96,24 timeout 60s \
         limit rate over 9 mbytes/second burst 9 mbytes } counter name over_rate drop",
        "add rule inet portcall output jump way_out",
    ];
    assert_eq!(added()?, expected);
    on(root.path(), &["apply", "--workers", "", "--egress", "open"], 0).await?;
    assert_eq!(added()?, [expected[0], expected[1], expected[3], expected[4]]);
    on(root.path(), &["apply", "--overlay-rate", "1000"], 0).await?;
    assert_eq!(failing(root.path(), 0).await?, [""; 0]);
    Ok(())
}

/// gVisor takes the place of user namespaces; without the runtime it would take nobody's.
#[tokio::test]
async fn the_wall_is_users_or_gvisor() -> Result<()> {
    let root = applied(&json!({ "data-root": "/data" }))?;
    on(root.path(), &["apply", "--wall", "runsc"], 0).await?;
    assert_eq!(read(root.path(), DAEMON)?["userns-remap"], Value::Null);
    assert_eq!(failing(root.path(), 1).await?, ["daemon.json runtimes.runsc"]);
    let mut with = read(root.path(), DAEMON)?;
    with["runtimes"] = json!({ "runsc": { "path": "/usr/bin/runsc" } });
    fs::write(root.path().join(DAEMON), with.to_string())?;
    assert_eq!(failing(root.path(), 0).await?, [""; 0]);
    on(root.path(), &["apply", "--wall", "userns", "--cgroups", "systemd"], 0).await?;
    assert_eq!(read(root.path(), DAEMON)?["userns-remap"], "default");
    assert_eq!(read(root.path(), DAEMON)?["cgroup-parent"], "grader.slice");
    assert_eq!(read(root.path(), DAEMON)?["runtimes"], with["runtimes"]);
    assert_eq!(failing(root.path(), 0).await?, [""; 0]);
    Ok(())
}

/// What is allowed and still wants a look.
#[tokio::test]
async fn what_weakens_a_node_is_warned_about() -> Result<()> {
    let root = applied(&json!({
        "hosts": ["tcp://0.0.0.0:2375"], "experimental": true, "live-restore": true,
        "insecure-registries": ["127.0.0.0/8", "10.0.0.9:5000", "registry.example"],
    }))?;
    on(root.path(), &["apply", "--quarantine", "10.0.0.9:5000"], 0).await?;
    let told: Value =
        serde_json::from_str(&on(root.path(), &["check", "--json"], 0).await?.stdout)?;
    assert_eq!(told["result"], "warn");
    let rows = told["settings"].as_array().context("no settings")?;
    let warned: Vec<_> = rows.iter().filter(|row| row["result"] == "warn").collect();
    let names: Vec<_> = warned.iter().filter_map(|row| row["setting"].as_str()).collect();
    assert_eq!(
        names,
        [
            "daemon.json live-restore",
            "daemon.json experimental",
            "daemon.json insecure-registries",
            "daemon.json hosts"
        ]
    );
    assert_eq!(warned[2]["found"], r#"["registry.example"]"#);
    Ok(())
}

#[tokio::test]
async fn wrong_use_is_64_and_a_broken_file_is_1() -> Result<()> {
    for words in [
        &["mend"][..],
        &[],
        &["check", "--dry-run"],
        &["apply", "--json"],
        &["check", "--root", "/no/such/folder"],
        &["apply", "--pool", "10.213.0.0/33"],
        &["apply", "--workers", "10.0.0.256"],
        &["apply", "--nodes", "node-1"],
        &["apply", "--quarantine", "10.0.0.9"],
        &["apply", "--quarantine", "10.0.0.9:70000"],
        &["apply", "--egress", "ajar"],
        &["apply", "--overlay-rate", "0"],
        &["apply", "--overlay-rate", "1001"],
        &["apply", "--overlay-rate", "fast"],
        &["apply", "--pool"],
    ] {
        let done = node(words).await?;
        ensure!(done.ended == Ended::Code(64) && !done.stderr.is_empty(), "{words:?}: {done:?}");
    }
    for words in [&["--help"][..], &["-h"], &["check", "--help"]] {
        let done = node(words).await?;
        ensure!(done.ended == Ended::Code(0) && done.stdout.lines().count() > 30, "{done:?}");
    }
    let root = applied(&json!([]))?;
    for action in ["check", "apply", "remove"] {
        let told = on(root.path(), &[action], 1).await?.stderr;
        ensure!(told.contains("is no JSON object"), "{told}");
    }
    Ok(())
}
