//! The files of a deployment, read by the programs that will read them; each also with a mistake in it,
//! so that a reader who has stopped looking is noticed.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use portcall_tests::parts::{
    given,
    process::{self, Ended},
};

const PATIENCE: Duration = Duration::from_secs(60);

fn infra(name: &str) -> PathBuf {
    given::checkout().join("infra").join(name)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

/// Whether a program takes it, and what it says.
async fn takes(
    program: &str,
    words: &[&str],
    environment: &[(&str, &str)],
) -> Result<(Ended, String)> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let environment: Vec<(String, String)> = environment.iter().map(own).collect();
    process::run(Path::new(program), words, &environment, PATIENCE).await
}

async fn good(program: &str, words: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let (ended, said) = takes(program, words, environment).await?;
    ensure!(ended == Ended::Code(0), "{program} {words:?}: {said}");
    ensure!(!said.contains("[WARNING]"), "{program} {words:?}: {said}");
    Ok(())
}

async fn bad(program: &str, words: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let (ended, said) = takes(program, words, environment).await?;
    ensure!(ended != Ended::Code(0), "{program} {words:?} takes a mistake: {said}");
    Ok(())
}

/// Copies of these files in a folder, with a change in the first.
fn changed(folder: &Path, files: &[&str], from: &str, to: &str) -> Result<()> {
    for (n, file) in files.iter().enumerate() {
        let path = infra(file);
        let mut content = fs::read_to_string(&path)?;
        if n == 0 {
            ensure!(content.contains(from), "{file} has no {from}");
            content = content.replacen(from, to, 1);
        }
        fs::write(folder.join(path.file_name().context("a name")?), content)?;
    }
    Ok(())
}

#[tokio::test]
async fn haproxy_takes_its_files() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (key, crt) = (dir.path().join("key"), dir.path().join("crt"));
    let words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=a"];
    let to = ["-keyout", text(&key)?, "-out", text(&crt)?];
    good("openssl", &[&words[..], &to[..]].concat(), &[]).await?;
    let front = dir.path().join("front.pem");
    fs::write(&front, fs::read_to_string(crt)? + &fs::read_to_string(key)?)?;

    let few = ("CONNECTIONS", "1000");
    for (file, environment) in [
        ("haproxy/haproxy.cfg", vec![few]),
        ("haproxy/haproxy.cfg", vec![few, ("CERTIFICATE", text(&front)?), ("PLAIN", "yes")]),
        ("haproxy/quarantine.cfg", vec![]),
        ("haproxy/quarantine.cfg", vec![("WRITERS", "10.0.0.1 10.1.0.0/16")]),
    ] {
        good("haproxy", &["-c", "-f", text(&infra(file))?], &environment).await?;
    }
    let missing = [few, ("CERTIFICATE", "/nowhere/front.pem")];
    bad("haproxy", &["-c", "-f", text(&infra("haproxy/haproxy.cfg"))?], &missing).await?;
    changed(dir.path(), &["haproxy/haproxy.cfg"], "balance leastconn", "balance fairly")?;
    bad("haproxy", &["-c", "-f", text(&dir.path().join("haproxy.cfg"))?], &[few]).await
}

#[tokio::test]
async fn prometheus_takes_its_files_and_alerts_come_when_they_should() -> Result<()> {
    good("promtool", &["check", "config", text(&infra("prometheus/prometheus.yml"))?], &[]).await?;
    good("promtool", &["test", "rules", text(&infra("prometheus/rules.test.yml"))?], &[]).await?;
    let dir = tempfile::tempdir()?;
    let tests = dir.path().join("rules.test.yml");
    for (from, to) in [
        ("max(portcall_overdue) > 0", "max(portcall_overdue) > 3"),
        ("for: 2m", "for: 0m"),
        ("(sum(portcall_slots_open) or vector(0)) == 0", "sum(portcall_slots_open) == 0"),
    ] {
        let files = ["prometheus/rules.yml", "prometheus/rules.test.yml"];
        changed(dir.path(), &files, from, to)?;
        bad("promtool", &["test", "rules", text(&tests)?], &[]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_swarms_client_takes_the_stack() -> Result<()> {
    let stack = infra("stack.yaml");
    let words = ["stack", "config", "--compose-file", text(&stack)?];
    let given = [
        ("HOME", "/nowhere"),
        ("PORTCALL_STACK_TAG", "1"),
        ("PORTCALL_PUBLIC_URL", "https://portcall.example"),
        ("PORTCALL_DOCKER_HOST", "tcp://10.0.0.2:2376"),
    ];
    good("docker", &words, &given).await?;
    for (n, (name, _)) in given.iter().enumerate().skip(1) {
        let mut fewer = given.to_vec();
        fewer.remove(n);
        let (ended, said) = takes("docker", &words, &fewer).await?;
        ensure!(ended != Ended::Code(0) && said.contains(name), "without {name}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_deploy_says_what_it_would_do_and_what_it_lacks() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let settings = dir.path().join("settings");
    fs::write(&settings, "PORTCALL_STACK_IMAGES=10.0.0.9:5000/portcall\n")?;
    let portcall = given::program("portcall")?;
    let stack = infra("stack.yaml");
    let run = async |words: &[&str], settings: &Path| -> Result<(Ended, String)> {
        let host = ["--docker-host", "unix:///nowhere.sock", "--settings", text(settings)?];
        let all = [&["deploy", "--file", text(&stack)?], &host[..], words].concat();
        takes(text(&portcall)?, &all, &[]).await
    };
    // It names the variable that is missing, also without a swarm.
    let (ended, said) = run(&["--tag", "v1", "--dry-run"], &settings).await?;
    ensure!(ended == Ended::Code(64) && said.contains("variable PORTCALL_"), "{ended:?} {said}");
    let more = "PORTCALL_STACK_IMAGES=10.0.0.9:5000/portcall\nPORTCALL_PUBLIC_URL=https://a.example\n\
        PORTCALL_DOCKER_HOST=tcp://10.0.0.2:2376\n";
    fs::write(&settings, more)?;
    let (ended, said) = run(&["--tag", "v1", "--dry-run"], &settings).await?;
    ensure!(ended == Ended::Code(69), "{ended:?} {said}");
    for words in ["10.0.0.9:5000/portcall/api:v1", "in order", "nowhere.sock"] {
        ensure!(said.contains(words), "{said}");
    }
    // What would change something needs the swarm, at once.
    for words in [&["--tag", "v1"][..], &["--rollback"], &["--stay"]] {
        let (ended, said) = run(words, &settings).await?;
        ensure!(ended == Ended::Code(69), "{words:?}: {ended:?} {said}");
        ensure!(!said.contains("deploying"), "{said}");
    }
    fs::write(&settings, "STACK=1\n")?;
    let (ended, said) = run(&["--tag", "v1", "--dry-run"], &settings).await?;
    ensure!(ended == Ended::Code(64) && said.contains("line 1"), "{ended:?} {said}");
    let (ended, said) = run(&["--tag", "a b", "--dry-run"], &infra("env.sample")).await?;
    ensure!(ended == Ended::Code(64) && said.contains("not the tag"), "{ended:?} {said}");
    Ok(())
}

#[tokio::test]
async fn what_is_in_no_commit_is_not_deployed_unawares() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = text(dir.path())?;
    let stack = dir.path().join("stack.yaml");
    let service =
        "version: \"3.9\"\nservices: { api: { image: \"api:${PORTCALL_STACK_TAG:?}\" } }\n";
    fs::write(&stack, service)?;
    let git = async |words: &[&str]| -> Result<()> {
        let who = ["-c", "user.name=a", "-c", "user.email=a@a.example"];
        let (ended, said) = takes("git", &[&["-C", folder], &who[..], words].concat(), &[]).await?;
        ensure!(ended == Ended::Code(0), "{words:?} {said}");
        Ok(())
    };
    let portcall = given::program("portcall")?;
    let deploy = async |words: &[&str]| {
        let host = ["deploy", "--docker-host", "unix:///nowhere.sock", "--dry-run", "--file"];
        let file = [text(&stack)?];
        takes(text(&portcall)?, &[&host[..], &file, words].concat(), &[]).await
    };
    let (ended, said) = deploy(&[]).await?;
    ensure!(ended == Ended::Code(64) && said.contains("give --tag"), "{ended:?} {said}");
    git(&["init", "--quiet"]).await?;
    git(&["add", "."]).await?;
    git(&["commit", "--quiet", "--message", "one"]).await?;
    let (_, clean) = deploy(&[]).await?;
    ensure!(clean.contains("would build") && !clean.contains("-dirty"), "{clean}");
    fs::write(dir.path().join("another"), "")?;
    let (ended, said) = deploy(&[]).await?;
    ensure!(ended == Ended::Code(1) && said.contains("?? another"), "{ended:?} {said}");
    let (_, said) = deploy(&["--dirty"]).await?;
    ensure!(said.contains("-dirty"), "{said}");
    Ok(())
}
