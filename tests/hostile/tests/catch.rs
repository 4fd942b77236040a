//! The safety catch: no attack runs where this program was built.

use std::process::{Command, Output};

fn hostile(mode: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hostile"));
    command.env_clear().env("HOSTILE_MODE", mode).output().expect("it can be started")
}

#[test]
fn no_attack_runs_outside_its_image() {
    let listed = Command::new(env!("CARGO_BIN_EXE_hostile")).arg("--list").output();
    let listed = String::from_utf8(listed.expect("it can be started").stdout).expect("text");
    let modes: Vec<&str> = listed.lines().collect();
    assert!(modes.len() > 30, "{modes:?}");
    for mode in modes.into_iter().chain(["answer:ok", "no such mode", ""]) {
        let output = hostile(mode);
        assert_eq!(output.status.code(), Some(99), "{mode}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("only as /hostile inside their image"), "{mode}: {said}");
        assert!(output.stdout.is_empty(), "{mode}: {output:?}");
    }
}

#[test]
fn identity_says_who_one_is() {
    let output = Command::new(env!("CARGO_BIN_EXE_hostile")).arg("identity").output();
    let said = String::from_utf8(output.expect("it can be started").stdout).expect("text");
    assert!(said.contains("CapEff:") && said.contains("Uid:"), "{said}");
}
