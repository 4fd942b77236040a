//! What a test does to the hosts of a lab.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::Lab;
use crate::{
    parts::process::{Ended, Finished, Process},
    wait,
};

/// A host is switched on, or off, or joins.
const SWITCHED: Duration = Duration::from_secs(90);
/// A command of the network.
const AT_ONCE: Duration = Duration::from_secs(20);
/// Managers elect a leader.
const ELECTED: Duration = Duration::from_secs(60);

impl Lab {
    /// Pulls the plug: nothing reaches the host any more, and nothing leaves it.
    ///
    /// # Errors
    /// When there is no such host.
    pub async fn cut(&self, host: &str) -> Result<()> {
        self.script(&["cut", host], AT_ONCE).await.map(drop)
    }

    /// Puts the plug back.
    ///
    /// # Errors
    /// When there is no such host.
    pub async fn restore(&self, host: &str) -> Result<()> {
        self.script(&["restore", host], AT_ONCE).await.map(drop)
    }

    /// Switches a host off: everything on it is killed at once, as when its power fails.
    ///
    /// # Errors
    /// When it is off.
    pub async fn kill(&self, host: &str) -> Result<()> {
        self.script(&["kill", host], SWITCHED).await.map(drop)
    }

    /// Switches it on again, on its own data; it answers when this returns.
    ///
    /// # Errors
    /// When it is on, or does not answer in time.
    pub async fn start(&self, host: &str) -> Result<()> {
        self.script(&["start", host], SWITCHED).await.map(drop)
    }

    /// Kills a host's daemon only, and starts it again at once.
    ///
    /// # Errors
    /// When it is off, or does not answer in time.
    pub async fn restart(&self, host: &str) -> Result<()> {
        self.script(&["restart", host], SWITCHED).await.map(drop)
    }

    /// Puts a machine of the same name and address in a host's place that was never used, and is off:
    /// [`Lab::join`] or [`Lab::start`] comes next. What the swarm knew of the old one stays known.
    ///
    /// # Errors
    /// When the old one does not end.
    pub async fn renew(&self, host: &str) -> Result<()> {
        self.script(&["renew", host], SWITCHED).await.map(drop)
    }

    /// Starts one more grader or manager, or one that left or is new; it joins the swarm.
    ///
    /// # Errors
    /// When it is in a swarm already, or cannot.
    pub async fn join(&self, host: &str) -> Result<()> {
        self.script(&["join", host], SWITCHED).await.map(drop)
    }

    /// The docker client on the engine of a host; what it printed.
    ///
    /// # Errors
    /// When it fails, or does not end in time.
    pub async fn client(&self, host: &str, words: &[&str], within: Duration) -> Result<String> {
        let arguments: Vec<&str> = ["docker", host].iter().chain(words).copied().collect();
        self.script(&arguments, within).await
    }

    /// The manager that leads; waits for one.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn leader(&self) -> Result<String> {
        wait::until("a manager that leads", ELECTED, || async {
            let nodes = self.nodes().await?;
            // A leader that was killed may still be listed as one.
            let leader = nodes.into_iter().find(|(_, state)| state.leads);
            let leader = leader.map(|(name, _)| name);
            let on = |name: &String| self.host(name).is_ok_and(|host| host.pid.is_some());
            Ok(leader.filter(on))
        })
        .await
    }

    /// Waits until the swarm says this of a host: `ready`, `down`.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn await_state(&self, host: &str, state: &str, within: Duration) -> Result<()> {
        wait::until(format!("{host} is {state}"), within, || async {
            let node = self.node(host).await?;
            Ok(node.filter(|node| node.state == state).map(drop))
        })
        .await
    }

    /// Starts a program in the network of a host, and otherwise on this machine. It ends when its
    /// guard is dropped.
    ///
    /// # Errors
    /// When there is no such host.
    pub fn start_on(
        &self,
        host: &str,
        program: &Path,
        arguments: &[&str],
        environment: &[(String, String)],
    ) -> Result<Process> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let net = format!("--net={}", self.host(host)?.namespace.display());
        let path = program.to_str().context("a path that is not UTF-8")?;
        let mut inside = vec![net.as_str(), "--", path];
        inside.extend(arguments);
        let file = program.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{host}-{file}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Process::start(&name, Path::new("nsenter"), &inside, environment, self.logs.path())
    }

    /// The same, to its end.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn run_on(
        &self,
        host: &str,
        program: &str,
        arguments: &[&str],
        within: Duration,
    ) -> Result<Finished> {
        self.run_in(&self.host(host)?.namespace, program, arguments, within).await
    }

    /// A shell's lines on a host that have to succeed; what they printed.
    ///
    /// # Errors
    /// When they do not.
    pub async fn must_on(&self, host: &str, script: &str) -> Result<String> {
        let done = self.run_on(host, "bash", &["-c", script], AT_ONCE).await?;
        ensure!(done.ended == Ended::Code(0), "{script} on {host}: {done:#?}");
        Ok(done.stdout)
    }

    /// Runs a program in the network of a container, and otherwise on this machine: what the
    /// container could reach, without a program of ours in it.
    ///
    /// # Errors
    /// When the container does not run there, or the program does not end in time.
    pub async fn run_inside(
        &self,
        host: &str,
        container: &str,
        program: &str,
        arguments: &[&str],
        within: Duration,
    ) -> Result<Finished> {
        let namespace = self.namespace_of(host, container).await?;
        self.run_in(&namespace, program, arguments, within).await
    }

    /// The network namespace of a container.
    async fn namespace_of(&self, host: &str, container: &str) -> Result<PathBuf> {
        let first = self.host(host)?.pid.with_context(|| format!("{host} is off"))?;
        let found = self.docker(host)?.inspect_container(container, None).await?;
        let key = found.network_settings.and_then(|settings| settings.sandbox_key);
        let key = key.filter(|key| !key.is_empty()).context("a container without a network")?;
        // As the host's own processes see it.
        let key = key.replace("/var/run/", "/run/");
        Ok(PathBuf::from(format!("/proc/{first}/root{key}")))
    }

    async fn run_in(
        &self,
        namespace: &Path,
        program: &str,
        arguments: &[&str],
        within: Duration,
    ) -> Result<Finished> {
        let net = format!("--net={}", namespace.display());
        let mut inside = vec![net.as_str(), "--", program];
        inside.extend(arguments);
        let dir = tempfile::tempdir_in(self.logs.path())?;
        let process = Process::start_apart("run", Path::new("nsenter"), &inside, &[], dir.path())?;
        process.finish(within).await
    }
}
