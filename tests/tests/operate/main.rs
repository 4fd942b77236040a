//! `infra/operate`: an operator's command, run once inside a stack. Its words, its output and its exit
//! code are those of the command, whatever the swarm makes of it is told, and nothing of it stays.

mod swarm;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use portcall_tests::{
    Event,
    parts::process::{self, Ended, Finished},
};

use crate::swarm::{DATABASE, SOON, Swarm, Told, environment, script};

/// A command that goes on until it is ended.
const ENDLESS: [&str; 2] = ["scaler", "--dry-run"];

/// Runs the script where there is no engine.
async fn alone(words: &[&str]) -> Result<Finished> {
    let dir = tempfile::tempdir()?;
    process::ask(&script(), words, &environment("unix:///nowhere.sock", dir.path()), SOON).await
}

#[tokio::test]
async fn help_says_every_option_and_exit_code() -> Result<()> {
    for word in ["--help", "-h"] {
        let told = alone(&[word]).await?.done()?;
        ensure!(
            told.starts_with("usage: infra/operate ") && !told.contains("shellcheck"),
            "{told}"
        );
        for option in ["--stack", "--secrets", "--tag", "--folder", "--within"] {
            ensure!(told.contains(&format!("\n  {option} ")), "{told}");
        }
        for code in ["64", "69", "130", "143"] {
            ensure!(told.contains(code), "{told}");
        }
    }
    // What follows the command is the command's.
    alone(&["status", "--help"]).await?.failed(69, "nowhere.sock")
}

#[tokio::test]
async fn wrong_use_is_told_before_anybody_is_asked() -> Result<()> {
    for (words, why) in [
        (&[][..], "no command is given"),
        (&["--"], "no command is given"),
        (&["--stack", "a"], "no command is given"),
        (&["--stack"], "--stack takes a value"),
        (&["--secrets", ""], "--secrets takes a value"),
        (&["--tag"], "--tag takes a value"),
        (&["--folder", "", "status"], "--folder takes a value"),
        (&["--within", "soon", "status"], "--within takes a number"),
        (&["--within", "0", "status"], "--within takes a number"),
        (&["--zip", "status"], "unknown option --zip"),
        (&["--stack=a", "status"], "unknown option --stack=a"),
    ] {
        alone(words).await?.failed(64, why)?;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_not_there_is_told() -> Result<()> {
    for words in [&["status"][..], &["--", "status"], &["--folder", "/a", "backup", "/folder/b"]] {
        alone(words).await?.failed(69, "no manager of a swarm answers")?;
    }
    // A machine without docker.
    let dir = tempfile::tempdir()?;
    for name in ["bash", "dirname", "setpriv"] {
        let found = std::env::split_paths("/usr/bin:/bin").map(|folder| folder.join(name));
        let found: PathBuf = found.into_iter().find(|path| path.exists()).context(name)?;
        symlink(found, dir.path().join(name))?;
    }
    let path = [("PATH".to_owned(), dir.path().display().to_string())];
    process::ask(&script(), &["status"], &path, SOON).await?.failed(69, "docker is missing")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_once_inside_the_stack() -> Result<()> {
    let swarm = Swarm::start().await?;
    let told = swarm.operate(&["status"]).await?.done()?;
    ensure!(told.contains("workers   0") && told.contains("overdue   0"), "{told}");
    let told = swarm.operate(&["--", "store", "members"]).await?.done()?;
    ensure!(told.trim() == "10.99.0.1:27017\tPRIMARY", "{told}");
    let options =
        ["--stack", "portcall", "--secrets", "portcall-2", "--tag", "v1", "--within", "60"];
    let told = swarm.operate(&[&options[..], &["--", "--version"]].concat()).await?.done()?;
    ensure!(told.starts_with("portcall "), "{told}");

    // The words are the command's own, whatever is in them, and so is the code.
    let odd = "a b'c\"$HOME{{.Node.ID}}";
    swarm.operate(&[odd]).await?.failed(64, odd)?;
    let drop = ["store", "drop", "--database"];
    let why = format!("PORTCALL_MONGODB_DATABASE names {DATABASE}, not portcall");
    swarm.operate(&[&drop[..], &["portcall"]].concat()).await?.failed(64, &why)?;
    swarm.operate(&["event", "show", "nobodys"]).await?.failed(1, "nobodys")?;

    // Several at once do not meet, also where their processes have the same number.
    let same = ["--pid", "--fork", "--kill-child", "--"];
    let operate = script().display().to_string();
    let words = [&same[..], &[operate.as_str(), "status"]].concat();
    let host = format!("unix://{}", swarm.socket().display());
    let home = tempfile::tempdir()?;
    let environment = environment(&host, home.path());
    let one = || process::ask(Path::new("unshare"), &words, &environment, SOON);
    let (first, second, third) = tokio::try_join!(one(), one(), one())?;
    for told in [first.done()?, second.done()?, third.done()?] {
        ensure!(told.contains("workers   0"), "{told}");
    }
    swarm.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn full_a_folder_is_handed_in() -> Result<()> {
    let swarm = Swarm::start().await?;
    // Named from where the operator is, and with what docker's own option would stumble over.
    let name = "b,a\"c k";
    let folder = swarm.folder(name)?;
    let event = Event::config();
    fs::write(folder.join("event.toml"), event.toml())?;
    let apply = ["event", "apply", "/folder/event.toml", "--allow-registry", "10.99.0.1:5000"];
    let applied = swarm.operate(&[&["--folder", name], &apply[..]].concat()).await?;
    ensure!(applied.ended == Ended::Code(0), "{applied:?}");
    let told = swarm.operate(&["--folder", name, "backup", "/folder/one"]).await?.done()?;
    ensure!(told.contains("written to /folder/one"), "{told}");
    ensure!(folder.join("one/backup.json").exists());
    let whole = folder.display().to_string();
    let restore = ["--folder", &whole, "restore", "/folder/one"];
    swarm.operate(&restore).await?.failed(1, "not empty")?;
    let drop = ["store", "drop", "--database", DATABASE];
    ensure!(swarm.operate(&drop).await?.ended == Ended::Code(0));
    let told = swarm.operate(&restore).await?.done()?;
    ensure!(told.contains("events\t1"), "{told}");
    ensure!(swarm.operate(&["event", "list"]).await?.done()?.contains(&event.slug));
    // Nothing else can be written to, and nobody else's folder.
    swarm.operate(&["backup", "/folder/two"]).await?.failed(1, "/folder")?;
    fs::create_dir(swarm.file("roots"))?;
    let others = swarm.operate(&["--folder", "roots", "backup", "/folder/one"]).await?;
    others.failed(1, "denied")?;
    let missing = swarm.operate(&["--folder", "missing", "backup", "/folder/one"]).await?;
    missing.failed(69, "bind source path does not exist")?;
    swarm.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn full_what_the_swarm_cannot_run_is_told() -> Result<()> {
    let swarm = Swarm::start().await?;
    for (words, why) in [
        (["--stack", "nope", "status"], "it has no stack nope"),
        (["--secrets", "nobodys", "status"], "secret not found: nobodys-"),
        (["--tag", "v9", "status"], "No such image"),
    ] {
        swarm.operate(&words).await?.failed(69, why)?;
    }
    // A service of that name that no deploy made.
    let odd = "docker service create --quiet --detach --no-resolve-image --replicas 0 --name odd_api other:1";
    swarm.shell(odd).await?;
    swarm.operate(&["--stack", "odd", "status"]).await?.failed(69, "no image of a deploy")?;
    swarm.shell("docker service rm odd_api").await?;
    // An image without the program.
    let api = "10.99.0.1:5000/portcall/api:v1";
    let empty = format!(
        "echo 'FROM {api}
        ENTRYPOINT [\"/portcall\"]' | DOCKER_BUILDKIT=0 docker build --tag 10.99.0.1:5000/portcall/portcall:empty - 2>&1
        docker push --quiet 10.99.0.1:5000/portcall/portcall:empty"
    );
    swarm.shell(&empty).await?;
    swarm.operate(&["--tag", "empty", "status"]).await?.failed(69, "no such file")?;

    // No machine for it: said at once, and given up in time.
    swarm.shell("docker node update --label-rm portcall.trusted $(docker node ls --quiet)").await?;
    let given_up = swarm.operate(&["--within", "4", "status"]).await?;
    ensure!(given_up.stderr.contains("waiting: no suitable node"), "{given_up:?}");
    given_up.failed(69, "given up after 4 s, pending: no suitable node")?;
    swarm.nothing_of_a_command_is_left().await?;
    // It does not start afterwards either.
    swarm.trust().await?;
    swarm.operate(&["status"]).await?.done()?;
    swarm.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn full_a_command_that_is_ended_is_gone() -> Result<()> {
    let swarm = Swarm::start().await?;
    for (end, code) in [("INT", 130), ("TERM", 143)] {
        let mut command = swarm.begin(&ENDLESS)?;
        swarm.runs().await?;
        if end == "INT" {
            command.interrupt()?
        } else {
            command.terminate()?
        }
        let ended = command.wait(SOON).await?;
        ensure!(ended == Ended::Code(code), "{end}: {ended:?} {}", command.log());
        swarm.nothing_of_a_command_is_left().await?;
    }

    // Its own end by a signal is told, with what it wrote until then.
    let command = swarm.begin(&ENDLESS)?;
    swarm.runs().await?;
    swarm.shell("docker kill $(docker ps --quiet --filter name=once)").await?;
    let killed = command.finish(SOON).await?;
    ensure!(killed.stderr.contains("listening for operators"), "{killed:?}");
    killed.failed(137, "the command was killed (task: non-zero exit (137))")?;
    swarm.nothing_of_a_command_is_left().await?;

    // Managers that fall silent are waited for, for a while; what may be left is named.
    let link = swarm.file("link.sock");
    symlink(swarm.socket(), &link)?;
    let host = format!("unix://{}", link.display());
    let command = swarm.begin_at(&host, &[&["--within", "4"], &ENDLESS[..]].concat())?;
    swarm.runs().await?;
    fs::remove_file(&link)?;
    let silent = command.finish(SOON).await?;
    let words = silent.stderr.split("take it away by ").nth(1).unwrap_or_default();
    let words = words.split(" (").next().unwrap_or_default().to_owned();
    silent.failed(69, "given up after 4 s: no manager answers")?;
    ensure!(words.starts_with("docker service rm portcall-once-"), "{words}");
    ensure!(swarm.commands().await?.contains("running"));
    swarm.shell(&words).await?;
    swarm.end().await
}
