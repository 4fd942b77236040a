//! `infra/terraform/graders`: which machines it makes and removes, and that nothing else goes. The
//! cloud is outside: Terraform and SSH are programs that write down what they were asked, and answer as
//! the real ones do.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Result, ensure};
use portcall_tests::parts::given;
use tempfile::TempDir;

/// A copy of what the script needs, with a cloud of its own.
struct Cloud {
    dir: TempDir,
}

const TERRAFORM: &str = r#"#!/bin/sh
echo "terraform $*" >>"$LOG"
case "$*" in
  *"output -json graders"*)
    numbers=$(jq -r '.graders[]' "$STATE/graders.auto.tfvars.json" 2>/dev/null || echo "$FIRST")
    [ -n "$numbers" ] || numbers=$FIRST
    for n in $numbers; do echo "{\"portcall-g$n\": \"10.110.0.$((128 + n))\"}"; done | jq -s add ;;
  *"output -json trusted"*)
    echo '{"portcall-m1": {"ssh": "192.0.2.1", "private": "10.110.0.11"}}' ;;
  *"show -json"*)
    graders=$(jq -c .graders "$STATE/graders.auto.tfvars.json")
    jq --argjson given "${STRONGER:-$graders}" '. + {variables: {graders: {value: $given}}}' "$PLAN" ;;
  *" plan "*) [ -z "${NO_TOKEN:-}" ] || { echo "no token" >&2; exit 1; } ;;
esac
"#;

const SSH: &str = r#"#!/bin/sh
echo "ssh $*" >>"$LOG"
case "$*" in
  *join-token*) echo SWMTKN-of-a-test ;;
  *"docker info"*) echo inactive ;;
  *"swarm join "*) read -r token; [ "$token" = SWMTKN-of-a-test ] || exit 1 ;;
esac
"#;

impl Cloud {
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        for folder in ["bin", "infra/lib", "infra/terraform/upcloud"] {
            fs::create_dir_all(dir.path().join(folder))?;
        }
        for file in ["infra/terraform/graders", "infra/lib/say.sh"] {
            fs::copy(given::checkout().join(file), dir.path().join(file))?;
        }
        for (name, text) in [("terraform", TERRAFORM), ("ssh", SSH)] {
            let path = dir.path().join("bin").join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { dir })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs it with machines 1 and 2 and a plan that destroys these resources.
    fn run(&self, wanted: u32, present: u32, remove: &str, destroys: &[&str]) -> Result<Output> {
        self.run_with(wanted, present, remove, destroys, ("NOTHING", ""))
    }

    /// The same with something more in the environment.
    fn run_with(
        &self,
        wanted: u32,
        present: u32,
        remove: &str,
        destroys: &[&str],
        (name, value): (&str, &str),
    ) -> Result<Output> {
        let changes: Vec<String> = destroys
            .iter()
            .map(|address| {
                let address = serde_json::Value::from(*address);
                format!(r#"{{"address": {address}, "change": {{"actions": ["delete"]}}}}"#)
            })
            .collect();
        let plan = format!(r#"{{"resource_changes": [{}]}}"#, changes.join(", "));
        fs::write(self.file("plan"), plan)?;
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.file("bin").display());
        let script = self.file("infra/terraform/graders");
        Ok(Command::new(script)
            .args(["--cloud", "upcloud", "--manager", "root@192.0.2.1"])
            .env_clear()
            .env("PATH", path)
            .env("LOG", self.file("log"))
            .env("PLAN", self.file("plan"))
            .env("FIRST", "1 2")
            .env("STATE", self.file("infra/terraform/upcloud"))
            .env("SCALER_WANTED", wanted.to_string())
            .env("SCALER_PRESENT", present.to_string())
            .env("SCALER_REMOVE", remove)
            .env(name, value)
            .output()?)
    }

    fn numbers(&self) -> Result<String> {
        let path = self.file("infra/terraform/upcloud/graders.auto.tfvars.json");
        let text = fs::read_to_string(path)?;
        Ok(text.split_whitespace().collect())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }
}

fn done(output: &Output) -> Result<()> {
    let told = [&output.stdout[..], &output.stderr[..]].concat();
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&told));
    Ok(())
}

#[test]
fn more_are_made_and_join() -> Result<()> {
    let cloud = Cloud::new()?;
    done(&cloud.run(4, 2, "", &[])?)?;
    assert_eq!(cloud.numbers()?, r#"{"graders":[1,2,3,4]}"#);
    let log = cloud.log();
    for name in ["portcall-g3", "portcall-g4"] {
        let labelled = format!("docker node update --label-add portcall.grader=1 {name}");
        ensure!(log.contains(&labelled), "{log}");
    }
    ensure!(!log.contains("portcall-g2\n") && !log.contains("node rm"), "{log}");
    ensure!(!log.contains("SWMTKN"), "a token is on no command line: {log}");
    Ok(())
}

#[test]
fn what_may_go_goes_and_its_number_is_free_again() -> Result<()> {
    let cloud = Cloud::new()?;
    let gone = [r#"upcloud_server.grader["1"]"#, r#"upcloud_storage.grader["1"]"#];
    done(&cloud.run(1, 2, "portcall-g1", &gone)?)?;
    assert_eq!(cloud.numbers()?, r#"{"graders":[2]}"#);
    ensure!(cloud.log().contains("docker node rm --force portcall-g1"));
    done(&cloud.run(2, 1, "", &[])?)?;
    assert_eq!(cloud.numbers()?, r#"{"graders":[1,2]}"#);
    Ok(())
}

/// A plan that destroys anything but what was drained is not carried out.
#[test]
fn nothing_else_is_destroyed() -> Result<()> {
    for other in [
        r#"upcloud_server.grader["2"]"#,
        r#"upcloud_server.trusted["1"]"#,
        r#"upcloud_network.machines"#,
        r#"upcloud_server.grader["11"]"#,
    ] {
        let cloud = Cloud::new()?;
        let plan = [r#"upcloud_server.grader["1"]"#, other];
        let output = cloud.run(1, 2, "portcall-g1", &plan)?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.code() == Some(1) && told.contains("destroys more"),
            "{other}: {told}"
        );
        let log = cloud.log();
        ensure!(!log.contains(" apply ") && !log.contains("node rm"), "{other}: {log}");
        ensure!(cloud.numbers().is_err(), "{other}: the next apply would do it");
    }
    Ok(())
}

/// What is stronger than the file with the numbers, such as `-var`, would take away what nobody
/// drained; a plan that fails leaves no trace either.
#[test]
fn numbers_are_in_one_place() -> Result<()> {
    let cloud = Cloud::new()?;
    let numbers = cloud.file("infra/terraform/upcloud/graders.auto.tfvars.json");
    let before = "{\"graders\": [1, 2, 3]}\n";
    for (environment, told) in [
        (("STRONGER", "[1, 2]"), "belongs in graders.auto.tfvars.json alone"),
        (("NO_TOKEN", "1"), "terraform.tfvars"),
    ] {
        fs::write(&numbers, before)?;
        let output = cloud.run_with(4, 3, "", &[], environment)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(1) && said.contains(told), "{environment:?}: {said}");
        ensure!(!cloud.log().contains(" apply "), "{}", cloud.log());
        assert_eq!(fs::read_to_string(&numbers)?, before, "{environment:?}");
    }
    fs::write(&numbers, before)?;
    done(&cloud.run(4, 3, "", &[])?)?;
    assert_eq!(cloud.numbers()?, r#"{"graders":[1,2,3,4]}"#);
    Ok(())
}

#[test]
fn a_wrong_use_is_told() -> Result<()> {
    let cloud = Cloud::new()?;
    let script = cloud.file("infra/terraform/graders");
    let run = |arguments: &[&str]| -> Result<Option<i32>> {
        let mut command = Command::new(&script);
        Ok(command.args(arguments).env_clear().env("PATH", path(&cloud)).output()?.status.code())
    };
    assert_eq!(run(&["--cloud", "nowhere", "--manager", "x"])?, Some(64));
    assert_eq!(run(&["--cloud", "upcloud"])?, Some(64));
    assert_eq!(run(&["--cloud", "upcloud", "--manager", "x"])?, Some(64), "how many?");
    assert_eq!(run(&["--help"])?, Some(0));
    Ok(())
}

fn path(cloud: &Cloud) -> String {
    let own: &Path = &cloud.file("bin");
    format!("{}:/usr/local/bin:/usr/bin:/bin", own.display())
}
