//! `infra/certificates`: what it makes, that what is there stays, and that each certificate is good for one
//! thing. `node_settings/manager.rs` shows an engine that uses them.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use portcall_tests::parts::given;

fn certificates(folder: &Path, words: &[&str]) -> Result<Output> {
    let script = given::checkout().join("infra/certificates");
    let mut command = Command::new(script);
    command.args(words).arg(folder).env_clear().env("PATH", "/usr/bin:/bin");
    Ok(command.output()?)
}

fn made(folder: &Path, words: &[&str]) -> Result<Vec<String>> {
    let output = certificates(folder, words)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(told.lines().map(|line| line.split(" is ").next().unwrap_or_default().to_owned()).collect())
}

/// Every file with what is in it.
fn files(folder: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let mode = fs::metadata(&path)?.permissions().mode() & 0o077;
        ensure!(mode == 0, "{} is for others too", path.display());
        match path.is_dir() {
            true => found.extend(files(&path)?),
            false => drop(found.insert(path.clone(), fs::read_to_string(&path)?)),
        }
    }
    Ok(found)
}

/// Whether openssl takes a certificate for something.
fn verifies(folder: &Path, words: &[&str], certificate: &str) -> Result<bool> {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(["verify", "-x509_strict", "-CAfile", "docker-ca"]);
    Ok(command.args(words).arg(certificate).output()?.status.success())
}

#[test]
fn each_certificate_is_good_for_one_thing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = dir.path().join("secrets");
    let words = ["--managers", "10.110.0.11,10.110.0.12", "--front", "portcall.example,192.0.2.9"];
    made(&folder, &words)?;
    let (server, client) = (["-purpose", "sslserver"], ["-purpose", "sslclient"]);
    let manager = "managers/10.110.0.11/cert.pem";
    let at = |address: &'static str| [&server[..], &["-verify_ip", address]].concat();
    ensure!(verifies(&folder, &at("10.110.0.11"), manager)?);
    ensure!(!verifies(&folder, &at("10.110.0.12"), manager)?);
    ensure!(!verifies(&folder, &client, manager)?);
    ensure!(verifies(&folder, &client, "docker-cert")?);
    ensure!(!verifies(&folder, &server, "docker-cert")?);

    let told = fs::read_to_string(folder.join("managers/10.110.0.11/engine.env"))?;
    ensure!(told.starts_with("ENGINE_API=-H tcp://10.110.0.11:2376 --tlsverify "), "{told}");
    let front = fs::read_to_string(folder.join("front"))?;
    ensure!(front.contains("BEGIN CERTIFICATE") && front.contains("PRIVATE KEY"));
    let own = |name: &[&str]| verifies(&folder, &[&["-CAfile", "front"], name].concat(), "front");
    ensure!(own(&["-verify_hostname", "portcall.example"])? && own(&["-verify_ip", "192.0.2.9"])?);
    ensure!(!own(&["-verify_hostname", "other.example"])?);
    Ok(())
}

#[test]
fn what_is_there_stays_and_what_was_taken_out_is_made_anew() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = dir.path().join("secrets");
    let both = ["--managers", "10.110.0.11,10.110.0.12", "--front", "a.example"];
    let all = made(&folder, &both)?;
    assert_eq!(all.len(), 5, "{all:?}");
    let first = files(&folder)?;
    assert_eq!(first.len(), 5 + 2 * 4, "{first:?}");
    assert_eq!(made(&folder, &both)?, [""; 0]);
    assert_eq!(files(&folder)?, first);

    // A manager more, by the same authority; then one alone anew.
    assert_eq!(made(&folder, &["--managers", "10.110.0.13"])?, ["managers/10.110.0.13"]);
    fs::remove_dir_all(folder.join("managers/10.110.0.12"))?;
    assert_eq!(made(&folder, &both)?, ["managers/10.110.0.12"]);
    let second = files(&folder)?;
    for name in ["docker-ca", "docker-key", "managers/10.110.0.11/key.pem"] {
        assert_eq!(second[&folder.join(name)], first[&folder.join(name)], "{name}");
    }
    let key = folder.join("managers/10.110.0.12/key.pem");
    assert_ne!(second[&key], first[&key]);

    // The key of the authority may be elsewhere until it is needed; one of one's own stays.
    fs::write(folder.join("front"), "mine")?;
    let authority = folder.join("docker-authority.key");
    fs::rename(&authority, dir.path().join("kept"))?;
    assert_eq!(made(&folder, &both)?, [""; 0]);
    assert_eq!(fs::read_to_string(folder.join("front"))?, "mine");
    let lacking = certificates(&folder, &["--managers", "10.110.0.14"])?;
    assert_eq!(lacking.status.code(), Some(69));
    ensure!(String::from_utf8_lossy(&lacking.stderr).contains("docker-authority.key"));
    fs::rename(dir.path().join("kept"), &authority)?;

    // Another authority signs everything anew.
    fs::remove_file(folder.join("docker-ca"))?;
    let anew = made(&folder, &["--managers", "10.110.0.11"])?;
    assert_eq!(anew, ["docker-ca", "docker-cert and docker-key are new", "managers/10.110.0.11"]);
    ensure!(!folder.join("managers/10.110.0.13").exists(), "signed by the one before");
    Ok(())
}

#[test]
fn every_secret_that_the_stack_takes_is_made_by_a_script() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = dir.path().join("secrets");
    made(&folder, &["--managers", "10.110.0.11", "--front", "a.example"])?;
    let mut command = Command::new(given::checkout().join("infra/mongo/secrets"));
    ensure!(command.arg(&folder).output()?.status.success());
    let stack = fs::read_to_string(given::checkout().join("infra/stack.yaml"))?;
    let stack: serde_json::Value = serde_saphyr::from_str(&stack)?;
    for name in stack["secrets"].as_object().context("no secrets")?.keys() {
        ensure!(folder.join(name).is_file(), "nobody makes {name}");
    }
    Ok(())
}

#[test]
fn a_wrong_use_is_told() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for words in [
        &["--managers"][..],
        &["--managers", "m1"],
        &["--managers", "10.0.0.1,$(id)"],
        &["--front", "a\nb"],
        &["--quick"],
        &["one"],
    ] {
        assert_eq!(certificates(dir.path(), words)?.status.code(), Some(64), "{words:?}");
    }
    assert_eq!(certificates(dir.path(), &["--help"])?.status.code(), Some(0));
    assert_eq!(fs::read_dir(dir.path())?.count(), 0);
    Ok(())
}
