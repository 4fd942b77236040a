//! An engine that a test may restart and whose disk it may fill: in a network of its own, so that its
//! packet filter is nobody else's, and in a mount namespace of its own. Only the registry of the tests
//! is reached from there, at the same address.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use super::{
    engine::Engine,
    given,
    process::{Ended, Process, run},
};
use crate::wait;

/// Until it answers, or has ended.
const SWITCHED: Duration = Duration::from_secs(90);
/// A command of the network.
const AT_ONCE: Duration = Duration::from_secs(20);

/// How much its disk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// As much as the machine's.
    Machine,
    /// So many MiB, and so many files.
    Small(u32, u32),
}

/// An engine of a test's own.
#[derive(Debug)]
pub struct OwnEngine {
    /// As a witness.
    pub engine: Engine,
    keeper: Process,
    daemon: Process,
    passes: JoinHandle<()>,
    run: TempDir,
    dir: TempDir,
}

impl OwnEngine {
    /// Starts one, and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn start(disk: Disk) -> Result<Self> {
        // The path of a Unix socket may have 107 characters at most.
        let (dir, run) = (tempfile::tempdir()?, tempfile::tempdir_in("/run")?);
        std::fs::create_dir(dir.path().join("data"))?;
        std::fs::write(dir.path().join("daemon.json"), "{}")?;
        let keeper = keeper(dir.path(), disk).await?;
        let passes = way_to_registry(&keeper).await?;
        let daemon = daemon(&keeper, dir.path(), run.path())?;
        let engine = answers(&host(run.path()), &daemon).await?;
        Ok(Self { engine, keeper, daemon, passes, run, dir })
    }

    /// Where it answers.
    #[must_use]
    pub fn host(&self) -> String {
        host(self.run.path())
    }

    /// Ends it, and all that runs on it, and starts it again on the same data; it answers when this returns.
    ///
    /// # Errors
    /// When it does not.
    pub async fn restart(&mut self) -> Result<()> {
        self.daemon.terminate()?;
        self.daemon.wait(SWITCHED).await?;
        self.daemon = daemon(&self.keeper, self.dir.path(), self.run.path())?;
        self.engine = answers(&self.host(), &self.daemon).await?;
        Ok(())
    }

    /// A shell's lines in its network and on its disk, whose folder is `$DATA`; what they printed.
    ///
    /// # Errors
    /// When they fail.
    pub async fn must(&self, script: &str) -> Result<String> {
        must(&self.keeper, &format!("DATA={}\n{script}", self.data().display())).await
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }
}

/// It removes its containers first: whoever kept them would stay. What it mounted goes with its namespace.
impl Drop for OwnEngine {
    fn drop(&mut self) {
        self.passes.abort();
        let (host, run) = (self.host(), self.run.path().display().to_string());
        let clear = format!(
            "all=$(timeout 10 docker --host {host} ps --all --quiet) &&
               [ -z \"$all\" ] || timeout 20 docker --host {host} rm --force --volumes $all"
        );
        // Nobody is there to be told.
        let _ = Command::new("sh").args(["-c", &clear]).output();
        if matches!(self.daemon.ended(), Ok(None)) {
            let _ = self.daemon.kill();
        }
        let keepers = format!(
            "for file in $(grep -ls -- '{run}/exec' /proc/[0-9]*/cmdline); do
               pid=${{file#/proc/}}; pid=${{pid%%/*}}; [ $pid = $$ ] || kill -KILL $pid 2>/dev/null; done"
        );
        let _ = Command::new("sh").args(["-c", &keepers]).output();
    }
}

async fn answers(host: &str, daemon: &Process) -> Result<Engine> {
    wait::until("the engine answers", SWITCHED, || async {
        // The client looks for the socket before it is one.
        let Ok(engine) = Engine::connect(host) else { return Ok(None) };
        Ok(engine.ping().await.is_ok().then_some(engine))
    })
    .await
    .with_context(|| daemon.log())
}

fn host(run: &Path) -> String {
    format!("unix://{}/docker.sock", run.display())
}

/// The process that keeps its namespaces, with its disk mounted.
async fn keeper(dir: &Path, disk: Disk) -> Result<Process> {
    let mounted = match disk {
        Disk::Machine => String::new(),
        Disk::Small(mib, files) => {
            format!("mount -t tmpfs -o size={mib}m,nr_inodes={files} portcall data\n")
        }
    };
    let script = format!("set -e\n{mounted}ip link set lo up\n: >ready\nexec sleep infinity");
    let arguments = ["--net", "--mount", "--", "bash", "-c", &script];
    let mut keeper = Process::start("keeper", Path::new("unshare"), &arguments, &[], dir)?;
    wait::until("the namespaces are there", AT_ONCE, || {
        let (ended, ready) = (keeper.ended(), dir.join("ready").exists());
        let log = keeper.log();
        async move {
            let ended = ended?;
            ensure!(ended.is_none(), "{ended:?}: {log}");
            Ok(ready.then_some(()))
        }
    })
    .await?;
    Ok(keeper)
}

fn daemon(keeper: &Process, dir: &Path, run: &Path) -> Result<Process> {
    let at = |name: &str| run.join(name).display().to_string();
    let (net, mounts) = namespaces(keeper);
    let (file, data) = (dir.join("daemon.json"), dir.join("data"));
    let namespace = format!("portcall-{}", keeper.pid());
    let arguments = [
        net,
        mounts,
        "--".to_owned(),
        "dockerd".to_owned(),
        format!("--config-file={}", file.display()),
        format!("--host={}", host(run)),
        "--group=root".to_owned(),
        format!("--data-root={}", data.display()),
        format!("--exec-root={}", at("exec")),
        format!("--pidfile={}", at("pid")),
        format!("--containerd-namespace={namespace}"),
        format!("--containerd-plugins-namespace={namespace}-plugins"),
        "--shutdown-timeout=3".to_owned(),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Process::start("dockerd", Path::new("nsenter"), &arguments, &[], dir)
}

fn namespaces(keeper: &Process) -> (String, String) {
    let of = |kind: &str| format!("/proc/{}/ns/{kind}", keeper.pid());
    (format!("--net={}", of("net")), format!("--mount={}", of("mnt")))
}

/// A cable between here and there; what is sent to the registry's address over there comes out here.
async fn way_to_registry(keeper: &Process) -> Result<JoinHandle<()>> {
    let registry: SocketAddr = given::registry()?.parse()?;
    // The process is nobody else's, so its number makes names that are not taken.
    let (pid, number) = (keeper.pid(), keeper.pid() % 60 * 4);
    let (here, there) = (number + 1, number + 2);
    let words = format!(
        "ip link add pe{pid} type veth peer name cable netns {pid} &&
         ip address add 192.168.231.{here}/30 dev pe{pid} && ip link set pe{pid} up"
    );
    let (ended, told) = run(Path::new("sh"), &["-c", &words], &[], AT_ONCE).await?;
    ensure!(ended == Ended::Code(0), "{words}: {told}");
    let listener = TcpListener::bind(format!("192.168.231.{here}:0")).await?;
    let port = listener.local_addr()?.port();
    must(
        keeper,
        &format!(
            "ip address add 192.168.231.{there}/30 dev cable && ip link set cable up &&
             echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet &&
             iptables -w -t nat -A OUTPUT -d 127.0.0.1 -p tcp --dport {} \
               -j DNAT --to 192.168.231.{here}:{port} &&
             iptables -w -t nat -A POSTROUTING -o cable -j MASQUERADE",
            registry.port()
        ),
    )
    .await?;
    Ok(tokio::spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            open.spawn(async move {
                // Either end may hang up.
                let mut there = TcpStream::connect(registry).await?;
                copy_bidirectional(&mut stream, &mut there).await
            });
        }
    }))
}

async fn must(keeper: &Process, script: &str) -> Result<String> {
    let (net, mounts) = namespaces(keeper);
    let arguments = [net.as_str(), &mounts, "--", "bash", "-c", script];
    let (ended, told) = run(Path::new("nsenter"), &arguments, &[], AT_ONCE).await?;
    ensure!(ended == Ended::Code(0), "{script}: {told}");
    Ok(told)
}
