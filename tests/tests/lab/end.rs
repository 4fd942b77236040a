//! A lab that is taken down leaves nothing: after its work, after an `up` that failed or was killed
//! half-way, after a test that was. What there is is looked for by names on the machine, not asked of
//! the script.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use portcall_tests::{
    Lab,
    lab::{Database, Filter, Plan, program},
    parts::{
        given,
        process::{self, Ended, Process},
    },
    wait,
};
use tempfile::TempDir;

const SMALL: Plan =
    Plan { managers: 1, graders: 1, database: Database::None, slots: None, filter: Filter::None };
const UP: Duration = Duration::from_secs(120);
const DOWN: Duration = Duration::from_secs(60);

/// What a lab of this name and folder has on the machine.
#[derive(Debug, Default, PartialEq, Eq)]
struct Traces {
    namespaces: BTreeSet<String>,
    interfaces: BTreeSet<String>,
    cgroups: BTreeSet<PathBuf>,
    mounts: BTreeSet<String>,
    folders: BTreeSet<PathBuf>,
    processes: BTreeSet<String>,
}

#[tokio::test]
async fn a_lab_that_worked_leaves_nothing_and_another_one_does_not_notice() -> Result<()> {
    let (one, other) = (Lab::of(SMALL).await?, Lab::of(SMALL).await?);
    ensure!(one.id() != other.id() && one.host("m1")?.address != other.host("m1")?.address);
    let app = portcall_tests::Recipe::app("ok")?;
    let image = one.engine("g1")?.load("lab-end:1", &app).await?;
    one.engine("g1")?.start_open("lab-end", &image, "bridge", &[], &[]).await?;
    // A program that a test forgot.
    let forgotten = one.start_on("f", Path::new("sleep"), &["1000"], &[])?;
    let (id, folder) = (one.id().to_owned(), one.folder().to_owned());

    let there = Traces::of(&id, &folder)?;
    ensure!(there.namespaces.len() == 13, "the control: {there:#?}");
    ensure!(there.processes.len() >= 8 && there.interfaces.len() == 1, "the control: {there:#?}");
    ensure!(there.cgroups.len() >= 5 && there.folders.len() == 2, "the control: {there:#?}");
    ensure!(!there.mounts.is_empty(), "the control: {there:#?}");
    ensure!(there.processes.iter().any(|process| process.contains("/app")), "{there:#?}");

    one.down().await?;
    drop(forgotten);
    assert_eq!(Traces::of(&id, &folder)?.among(&there), Traces::default());
    // Again, and while another one goes on.
    assert_eq!(script(&folder, &["down"], &[]).await?.0, Ended::Code(0));
    ensure!(other.node("g1").await?.is_some_and(|node| node.state == "ready"));
    ensure!(Traces::of(other.id(), other.folder())?.namespaces.len() == 13);
    other.down().await
}

/// A part that does not start: here the registries, in whose place a program that fails is found.
#[tokio::test]
async fn an_up_that_fails_half_way_leaves_nothing() -> Result<()> {
    let (dir, folder) = folder()?;
    let broken = dir.path().join("docker-registry");
    fs::write(&broken, "#!/bin/sh\necho planted >&2\nexit 1\n")?;
    process::run(Path::new("chmod"), &["+x", &broken.display().to_string()], &[], DOWN).await?;
    let path = format!(
        "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        dir.path().display()
    );
    let (ended, told) = script(
        &folder,
        &["up", "--managers", "1", "--graders", "1", "--no-mongo"],
        &[("PATH", &path)],
    )
    .await?;
    assert_eq!(ended, Ended::Code(1), "{told}");
    ensure!(told.contains("q does not answer") && told.contains("planted"), "{told}");
    let id = told.split_whitespace().find(|word| word.starts_with("portcall-lab"));
    let id = id.with_context(|| told.clone())?;
    assert_eq!(Traces::of(id, &folder)?, Traces::default());
    Ok(())
}

#[tokio::test]
async fn an_up_that_is_killed_half_way_is_taken_down() -> Result<()> {
    let (dir, folder) = folder()?;
    let environment = environment(&folder, &[]);
    let arguments = ["up", "--managers", "1", "--graders", "1", "--no-mongo"];
    let mut up = Process::start("up", &program(), &arguments, &environment, dir.path())?;
    wait::until("an engine is being started", UP, || async {
        ensure!(up_is_young(&folder), "it was too quick: {}", up.log());
        Ok(folder.join("pid/m1").exists().then_some(()))
    })
    .await?;
    up.kill()?;
    let id = format!("portcall-lab{}", fs::read_to_string(folder.join("number"))?.trim());
    let there = Traces::of(&id, &folder)?;
    ensure!(!there.namespaces.is_empty() && !there.processes.is_empty(), "the control: {there:#?}");
    assert_eq!(script(&folder, &["down"], &[]).await?.0, Ended::Code(0));
    assert_eq!(Traces::of(&id, &folder)?.among(&there), Traces::default());
    Ok(())
}

/// Whoever wanted it is gone, without a word.
#[tokio::test]
async fn a_lab_ends_with_the_process_that_wanted_it() -> Result<()> {
    let (dir, folder) = folder()?;
    let mut owner = Process::start("owner", Path::new("sleep"), &["1000"], &[], dir.path())?;
    let pid = owner.pid().to_string();
    let arguments = ["up", "--managers", "1", "--graders", "1", "--no-mongo", "--with", &pid];
    let (ended, told) = script(&folder, &arguments, &[]).await?;
    assert_eq!(ended, Ended::Code(0), "{told}");
    let id = format!("portcall-lab{}", fs::read_to_string(folder.join("number"))?.trim());
    let there = Traces::of(&id, &folder)?;
    ensure!(!there.processes.is_empty(), "the control: {there:#?}");
    owner.kill()?;
    wait::until("it is gone", DOWN, || async {
        Ok((Traces::of(&id, &folder)?.among(&there) == Traces::default()).then_some(()))
    })
    .await
}

/// Somebody removed the folder, and with it what `down` would have read.
#[tokio::test]
async fn a_lab_whose_folder_is_gone_is_cleared_by_the_next_one() -> Result<()> {
    let (_dir, folder) = folder()?;
    let arguments = ["up", "--managers", "1", "--graders", "1", "--no-mongo"];
    assert_eq!(script(&folder, &arguments, &[]).await?.0, Ended::Code(0));
    let id = format!("portcall-lab{}", fs::read_to_string(folder.join("number"))?.trim());
    let there = Traces::of(&id, &folder)?;
    fs::remove_dir_all(&folder)?;
    ensure!(Traces::of(&id, &folder)?.among(&there) != Traces::default(), "the control");
    Lab::of(SMALL).await?.down().await?;
    assert_eq!(Traces::of(&id, &folder)?.among(&there), Traces::default());
    Ok(())
}

/// A lab is joined to no network that leads anywhere.
#[tokio::test]
async fn a_network_with_a_way_out_gets_no_door() -> Result<()> {
    let (_dir, folder) = folder()?;
    let way_out = "ip link add way type veth peer name out && ip address add 198.51.100.1/24 dev way &&
        ip link set way up && ip link set out up && ip route add default via 198.51.100.2 && exec \"$0\" up --door";
    let script = program().display().to_string();
    let arguments = ["--net", "bash", "-c", way_out, &script];
    let environment = environment(&folder, &[]);
    let (ended, told) = process::run(Path::new("unshare"), &arguments, &environment, UP).await?;
    assert_eq!(ended, Ended::Code(64), "{told}");
    ensure!(told.contains("has a way out") && !folder.exists(), "{told}");
    Ok(())
}

#[tokio::test]
async fn wrong_words_are_refused_and_change_nothing() -> Result<()> {
    let (_dir, folder) = folder()?;
    for arguments in [
        &["up", "--managers", "4"][..],
        &["up", "--graders", "0"],
        &["up", "--slots", "many"],
        &["up", "--with", "nobody"],
        &["up", "--loud"],
        &["away"],
        &[],
    ] {
        assert_eq!(script(&folder, arguments, &[]).await?.0, Ended::Code(64), "{arguments:?}");
    }
    for arguments in [&["status"][..], &["kill", "m1"], &["env"]] {
        assert_eq!(script(&folder, arguments, &[]).await?.0, Ended::Code(1), "{arguments:?}");
    }
    // What is in the folder is somebody's.
    fs::create_dir(&folder)?;
    fs::write(folder.join("letter"), "dear")?;
    assert_eq!(script(&folder, &["up"], &[]).await?.0, Ended::Code(1));
    assert_eq!(script(&folder, &["down"], &[]).await?.0, Ended::Code(0));
    assert_eq!(fs::read_to_string(folder.join("letter"))?, "dear");
    Ok(())
}

impl Traces {
    fn of(id: &str, folder: &Path) -> Result<Self> {
        let mut found = Self::default();
        let named = |name: &str| name == id || name.starts_with(&format!("{id}-"));
        for name in names(Path::new("/run/netns")) {
            if named(&name) {
                found.namespaces.insert(name);
            }
        }
        let links = fs::read_to_string("/proc/self/net/dev")?;
        let links = links.lines().filter_map(|line| line.split(':').next()).map(str::trim);
        found.interfaces.extend(links.filter(|name| named(name)).map(str::to_owned));
        let cgroups = Path::new("/sys/fs/cgroup");
        for controller in names(cgroups).into_iter().map(|name| cgroups.join(name)) {
            found.cgroups.extend([controller.join(id)].into_iter().filter(|path| path.exists()));
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        let below = folder.display().to_string();
        let ours = points.filter(|p| p.split('/').any(named) || p.starts_with(&below));
        found.mounts.extend(ours.map(str::to_owned));
        let folders = [Path::new("/run").join(id), folder.to_owned()];
        found.folders.extend(folders.into_iter().filter(|path| path.exists()));
        found.processes = processes(&found.namespaces, id)?;
        Ok(found)
    }

    /// Of what was there before: processes that are still there.
    fn among(mut self, before: &Self) -> Self {
        self.processes.extend(before.processes.iter().filter(|process| runs(process)).cloned());
        self
    }
}

/// Processes in these namespaces or in cgroups of that name: their id, when they began, and what
/// they are.
fn processes(namespaces: &BTreeSet<String>, id: &str) -> Result<BTreeSet<String>> {
    use std::os::unix::fs::MetadataExt;
    let inode = |path: &Path| fs::metadata(path).map(|found| found.ino()).ok();
    let named = namespaces.iter().map(|name| inode(&Path::new("/run/netns").join(name)));
    let spaces: BTreeSet<u64> = named.flatten().collect();
    let mut found = BTreeSet::new();
    for pid in names(Path::new("/proc")).into_iter().filter(|name| name.parse::<u32>().is_ok()) {
        let of = Path::new("/proc").join(&pid);
        let cgroups = fs::read_to_string(of.join("cgroup")).unwrap_or_default();
        let inside = inode(&of.join("ns/net")).is_some_and(|space| spaces.contains(&space));
        if inside || cgroups.contains(&format!("/{id}/")) {
            let command = fs::read_to_string(of.join("cmdline")).unwrap_or_default();
            // It may have ended meanwhile.
            let Some(began) = began(&pid) else { continue };
            found.insert(format!("{pid} {began} {}", command.replace('\0', " ")));
        }
    }
    Ok(found)
}

fn runs(process: &str) -> bool {
    let mut words = process.split(' ');
    let (pid, start) = (words.next().unwrap_or_default(), words.next());
    began(pid).as_deref() == start
}

/// When a process began, if it is one and no zombie.
fn began(pid: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = stat.rsplit_once(") ")?.1.split(' ');
    let state = words.next()?;
    (state != "Z").then(|| words.nth(18).map(str::to_owned))?
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Whether the lab has not come up yet.
fn up_is_young(folder: &Path) -> bool {
    !folder.join("lab.json").exists()
}

fn folder() -> Result<(TempDir, PathBuf)> {
    let dir = tempfile::tempdir()?;
    let folder = dir.path().join("lab");
    Ok((dir, folder))
}

fn environment(folder: &Path, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let folder = [("PORTCALL_TEST_LAB".to_owned(), folder.display().to_string())];
    let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    folder.into_iter().chain(more).collect()
}

async fn script(folder: &Path, words: &[&str], more: &[(&str, &str)]) -> Result<(Ended, String)> {
    ensure!(given::mongod().is_ok(), "not given by ./infra/test");
    process::run(&program(), words, &environment(folder, more), UP).await
}
