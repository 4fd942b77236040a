//! An engine that starts with our `daemon.json` gives a container that asks for nothing what ours
//! ask for: that is what a container relies on that does not go through our request, and what a
//! service of a swarm cannot carry in its own. The control is the same engine without the file.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use bollard::{
    Docker,
    container::LogOutput,
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{
        CreateContainerOptions, InspectContainerOptions, LogsOptionsBuilder,
        RemoveContainerOptionsBuilder, StartContainerOptions,
    },
};
use futures::StreamExt;
use portcall_tests::{
    Recipe,
    parts::{engine::Engine, process::Process},
    wait,
};
use serde_json::Value;

use crate::space::{Own, Space};

const STARTED: Duration = Duration::from_secs(60);

/// An engine in a namespace of its own, on settings of its own.
pub(crate) struct OwnEngine {
    pub(crate) space: Space,
    daemon: Process,
    pub(crate) docker: Docker,
    pub(crate) engine: Engine,
    run: tempfile::TempDir,
}

impl OwnEngine {
    /// Starts it on the `/etc` of the space.
    pub(crate) async fn start(space: Space) -> Result<Self> {
        // The path of a Unix socket may have 107 characters at most.
        let run = tempfile::tempdir_in("/run")?;
        let at = |name: &str| run.path().join(name).display().to_string();
        let host = format!("unix://{}", at("docker.sock"));
        let (data, exec, pid) = (space.dir.path().join("data"), at("exec"), at("pid"));
        let data = data.display().to_string();
        let namespace = format!("portcall-{}", space.pid());
        let plugins = format!("{namespace}-plugins");
        let arguments = [
            "--config-file",
            "/etc/docker/daemon.json",
            "--host",
            &host,
            "--group",
            "root",
            "--data-root",
            &data,
            "--exec-root",
            &exec,
            "--pidfile",
            &pid,
            "--containerd-namespace",
            &namespace,
            "--containerd-plugins-namespace",
            &plugins,
            "--shutdown-timeout",
            "3",
        ];
        let daemon = space.start("dockerd", Path::new("dockerd"), &arguments)?;
        // The client looks for the socket before it is one.
        let answers = wait::until("the engine answers", STARTED, || async {
            let Ok(docker) = Docker::connect_with_host(&host) else { return Ok(None) };
            Ok(docker.ping().await.is_ok().then_some(docker))
        });
        let docker = answers.await.with_context(|| daemon.log())?;
        let engine = Engine::connect(&host)?;
        Ok(Self { space, daemon, docker, engine, run })
    }

    /// Where it answers.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}/docker.sock", self.run.path().display())
    }

    /// What a container sees that is asked for with nothing but its image: the canary's report.
    async fn plain_container(&self) -> Result<Seen> {
        let image = self.engine.load("canary:plain", &Recipe::canary()?).await?;
        let body = ContainerCreateBody {
            image: Some(image),
            host_config: Some(HostConfig::default()),
            ..Default::default()
        };
        let made = self.docker.create_container(None::<CreateContainerOptions>, body).await?;
        self.docker.start_container(&made.id, None::<StartContainerOptions>).await?;
        let report = wait::until("the canary's report", STARTED, || async {
            let options = LogsOptionsBuilder::new().stdout(true).build();
            let mut pieces = self.docker.logs(&made.id, Some(options));
            let mut said = Vec::new();
            while let Some(piece) = pieces.next().await {
                if let LogOutput::StdOut { message } = piece? {
                    said.extend_from_slice(&message);
                }
            }
            Ok(serde_json::from_slice::<Value>(&said).ok())
        })
        .await?;
        let found =
            self.docker.inspect_container(&made.id, None::<InspectContainerOptions>).await?;
        let pid = found.state.and_then(|state| state.pid).context("no process")?;
        let of = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}"));
        let seen = Seen {
            report,
            status: of("status")?,
            users: of("uid_map")?,
            limits: of("limits")?,
            cgroups: of("cgroup")?,
            log_driver: found.host_config.and_then(|host| host.log_config?.typ).unwrap_or_default(),
        };
        let force = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        self.docker.remove_container(&made.id, Some(force)).await?;
        Ok(seen)
    }

    /// Ends it; see also what is done when it is dropped.
    pub(crate) async fn end(mut self) -> Result<()> {
        self.daemon.terminate()?;
        self.daemon.wait(STARTED).await?;
        Ok(())
    }
}

/// What an engine leaves behind, the more if its test failed: keepers of containers, which are known
/// by its folder in their command line, and mounts in that folder.
impl Drop for OwnEngine {
    fn drop(&mut self) {
        // It kills the containers it knows before it ends.
        if matches!(self.daemon.ended(), Ok(None)) {
            let _ = self.daemon.kill();
        }
        let run = self.run.path().display();
        let clear = format!(
            "for file in $(grep -ls -- '{run}/exec' /proc/[0-9]*/cmdline); do
               pid=${{file#/proc/}}; pid=${{pid%%/*}}; [ $pid = $$ ] || kill -KILL $pid 2>/dev/null; done
             cut -d' ' -f5 /proc/self/mountinfo | grep -F '{run}/' | sort -r | xargs -r umount -l"
        );
        // Nobody is there to be told.
        let _ = std::process::Command::new("sh").args(["-c", &clear]).status();
    }
}

/// How a container is held, from inside and as the machine sees it.
struct Seen {
    report: Value,
    status: String,
    users: String,
    limits: String,
    cgroups: String,
    log_driver: String,
}

impl Seen {
    fn attempt(&self, name: &str) -> Result<&str> {
        let outcome = self.report["attempts"][name].as_str();
        outcome.with_context(|| format!("{name} was not tried: {:#}", self.report))
    }

    fn has_limit(&self, name: &str, value: &str) -> bool {
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let wanted = format!("{name} {value} {value}");
        self.limits.lines().any(|line| words(line).starts_with(&wanted))
    }
}

/// Calls that the engine's own filter lets pass and ours does not.
const OURS_REFUSES: [&str; 3] = ["io_uring_setup", "ptrace", "af_packet"];

#[tokio::test]
async fn a_container_that_asks_for_nothing_is_held_all_the_same() -> Result<()> {
    let space = Space::new(Own::Settings).await?;
    space.must("\"$NODES/node\" apply").await?;
    // Nobody in a user namespace may mount a /proc where parts of the machine's are covered.
    space.must("umount /proc/sys/kernel /proc/sys/user /proc/sys/fs /proc/sys/vm").await?;
    let engine = OwnEngine::start(space).await?;
    let seen = engine.plain_container().await?;
    println!("{}\n{}\n{}\n{:#}", seen.status, seen.limits, seen.cgroups, seen.report);

    ensure!(seen.status.contains("NoNewPrivs:\t1") && seen.status.contains("Seccomp:\t2"));
    for name in OURS_REFUSES {
        assert_eq!(seen.attempt(name)?, "EPERM", "{name}");
    }
    // Root inside is nobody outside.
    let users: Vec<&str> = seen.users.split_whitespace().collect();
    ensure!(users[0] == "0" && users[1] != "0" && users[2] == "65536", "{users:?}");
    for (name, value) in [
        ("Max open files", "1024"),
        ("Max core file size", "0"),
        ("Max locked memory", "0"),
        ("Max msgqueue size", "0"),
        ("Max pending signals", "128"),
        ("Max file locks", "64"),
    ] {
        ensure!(seen.has_limit(name, value), "{name} is not {value} in {}", seen.limits);
    }
    ensure!(seen.cgroups.contains("/grader.slice/"), "{}", seen.cgroups);
    assert_eq!(seen.log_driver, "local");

    // The script sees it too, on the engine that runs.
    let host = format!("DOCKER_HOST={}", engine.host());
    let check = engine.space.run(&format!("{host} \"$NODES/node\" check")).await?.stdout;
    for row in ["the running engine: users", "the running engine: system calls"] {
        let line = check.lines().find(|line| line.contains(row)).unwrap_or_default();
        ensure!(line.starts_with("pass"), "{row}: {line}");
    }
    engine.end().await
}

#[tokio::test]
async fn without_our_settings_the_same_container_is_free() -> Result<()> {
    let space = Space::new(Own::Settings).await?;
    space.must("mkdir -p /etc/docker && echo '{}' >/etc/docker/daemon.json").await?;
    let engine = OwnEngine::start(space).await?;
    let seen = engine.plain_container().await?;
    ensure!(seen.status.contains("NoNewPrivs:\t0"), "{}", seen.status);
    for name in OURS_REFUSES {
        assert_eq!(seen.attempt(name)?, "DONE", "{name} without us");
    }
    ensure!(seen.users.split_whitespace().nth(1) == Some("0"), "{}", seen.users);
    ensure!(!seen.has_limit("Max core file size", "0") && !seen.cgroups.contains("grader.slice"));
    let host = format!("DOCKER_HOST={}", engine.host());
    let check = engine.space.run(&format!("{host} \"$NODES/node\" check")).await?.stdout;
    for row in ["the running engine: users", "the running engine: system calls"] {
        let line = check.lines().find(|line| line.contains(row)).unwrap_or_default();
        ensure!(line.starts_with("fail"), "{row}: {line}");
    }
    engine.end().await
}
