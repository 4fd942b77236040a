//! That the quarantine is swept wherever it is deployed: by `infra/quarantine/sweep` beside the registry, in
//! its image, on its data, again and again. What a sweep gives back is in
//! `worker/tests/quarantine_engine/room.rs`.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use portcall_tests::parts::given;
use serde_json::Value;

fn yaml(name: &str) -> Result<Value> {
    let path = given::checkout().join("infra").join(name);
    Ok(serde_saphyr::from_str(&fs::read_to_string(path)?)?)
}

/// Where the first volume of a service with this name is, in its container.
fn volume<'a>(service: &'a Value, name: &str) -> Option<&'a str> {
    let volumes = service["volumes"].as_array()?.iter().filter_map(Value::as_str);
    volumes.filter_map(|volume| volume.strip_prefix(name)).next()
}

#[test]
fn each_deployment_sweeps_its_registry() -> Result<()> {
    for file in ["stack.yaml", "compose.yaml"] {
        let services = &yaml(file)?["services"];
        let (registry, sweep) = (&services["registry"], &services["sweep"]);
        assert_eq!(sweep["image"], registry["image"], "{file}");
        let data = volume(registry, "quarantine:").context("a registry without data")?;
        assert_eq!(volume(sweep, "quarantine:"), Some(data), "{file}");
        let config = given::checkout().join("infra/quarantine/config.yml");
        ensure!(fs::read_to_string(config)?.contains(&format!("rootdirectory: {data}\n")));
        let words = sweep["entrypoint"].as_array().context("no command")?;
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        assert_eq!(
            words,
            ["sh", "/sweep", "--every", "600", "/etc/docker/registry/config.yml"],
            "{file}"
        );
        let place = &registry["deploy"]["placement"];
        assert_eq!(sweep["deploy"]["placement"], *place, "{file}");
    }
    Ok(())
}

/// A registry that notes its garbage collections, a pause that ends when the test says so, and what
/// else the image of the registry has.
fn programs(bin: &Path) -> Result<()> {
    fs::create_dir(bin)?;
    for name in ["sh", "cut", "du", "flock", "sed", "basename", "dirname", "find", "rm", "rmdir"] {
        let found = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(name));
        let found = found.iter().find(|path| path.exists()).context(name)?;
        std::os::unix::fs::symlink(found, bin.join(name))?;
    }
    for (name, text) in [
        ("registry", "echo collects >&2; [ -e \"$STATE/well\" ]"),
        (
            "sleep",
            "echo \"sleeps $1\" >&2; [ -e \"$STATE/well\" ] && n=2 || n=1; read -r _ <\"$STATE/wake$n\"",
        ),
    ] {
        let path = bin.join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

#[test]
fn one_that_fails_is_tried_again_and_it_ends_when_it_is_told() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (bin, data) = (dir.path().join("bin"), dir.path().join("data"));
    programs(&bin)?;
    for folder in ["repositories", "blobs"] {
        fs::create_dir_all(data.join("docker/registry/v2").join(folder))?;
    }
    let wakes = ["wake1", "wake2"].map(|name| dir.path().join(name));
    ensure!(Command::new("mkfifo").args(&wakes).status()?.success());
    let log = fs::File::create(dir.path().join("log"))?;
    let mut sweep = Command::new(bin.join("sh"))
        .arg(given::checkout().join("infra/quarantine/sweep"))
        .args(["--every", "600"])
        .arg(given::checkout().join("infra/quarantine/config.yml"))
        .env_clear()
        .env("PATH", &bin)
        .env("STATE", dir.path())
        .env("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", &data)
        .stdout(log.try_clone()?)
        .stderr(log)
        .stdin(Stdio::null())
        .spawn()?;
    // Whoever opens it waits until it pauses.
    let pauses = |wake: &Path| fs::File::options().write(true).open(wake);
    let mut pause = pauses(&wakes[0])?;
    fs::write(dir.path().join("well"), "")?;
    pause.write_all(b"on\n")?;
    let pause = pauses(&wakes[1])?;
    let told = fs::read_to_string(dir.path().join("log"))?;
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(
        lines,
        [
            "collects",
            "sweep: tries again in 600 s",
            "sleeps 600",
            "collects",
            "sweep: 0 MiB given back, 0 MiB held",
            "sleeps 600"
        ]
    );
    let pid = sweep.id().to_string();
    ensure!(Command::new("kill").arg(&pid).status()?.success());
    assert_eq!(sweep.wait()?.code(), Some(0));
    drop(pause);
    Ok(())
}
