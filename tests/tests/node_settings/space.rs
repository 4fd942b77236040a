//! A machine of one's own: a network namespace, and where asked for a mount namespace in which
//! `/etc` and the kernel's settings are copies. All of it is gone with the process that keeps it.

use std::{fs, path::Path, time::Duration};

use anyhow::{Result, ensure};
use portcall_tests::{
    parts::{
        given,
        process::{Ended, Finished, Process},
    },
    wait,
};

pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Longer than a script takes on a machine that is busy with other tests.
const SCRIPT: Duration = Duration::from_secs(60);

/// How much of a machine is one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// The network.
    Network,
    /// Also `/etc`, and what the script sets of the kernel that is not of a network.
    Settings,
}

/// A namespace that lives as long as this.
#[derive(Debug)]
pub(crate) struct Space {
    keeper: Process,
    pub(crate) dir: tempfile::TempDir,
}

/// Copies of everything that `node apply` writes to lie over it.
const COPIES: &str = r#"
set -e
mkdir -p "$DIR/etc" "$DIR/sys"
cp -a /etc/. "$DIR/etc"
mount --bind "$DIR/etc" /etc
# The machine's own systemd, where there is one, is not spoken to.
[ ! -d /run/systemd ] || mount -t tmpfs space /run/systemd
for folder in kernel user fs vm; do
  mkdir -p "$DIR/sys/$folder"
  for name in $(sed -nE "s/^-?($folder\.[a-z_.]+) *=.*/\1/p" "$NODES/sysctl.conf"); do
    file=${name//.//}
    [ ! -e "/proc/sys/$file" ] || { mkdir -p "$DIR/sys/${file%/*}" && cat "/proc/sys/$file" >"$DIR/sys/$file"; }
  done
  mount --bind "$DIR/sys/$folder" "/proc/sys/$folder"
done
"#;

impl Space {
    pub(crate) async fn new(own: Own) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let ready = dir.path().join("ready");
        let copies = if own == Own::Settings { COPIES } else { "" };
        let script = format!("{copies}\nip link set lo up\n: >\"$DIR/ready\"\nexec sleep infinity");
        let arguments = ["--net", "--mount", "--", "bash", "-c", &script];
        let environment = environment(dir.path());
        let keeper =
            Process::start("space", Path::new("unshare"), &arguments, &environment, dir.path())?;
        let mut space = Self { keeper, dir };
        for _ in 0..200 {
            if ready.exists() {
                return Ok(space);
            }
            let ended = space.keeper.ended()?;
            ensure!(ended.is_none(), "{ended:?}: {}", space.keeper.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("the namespace was not made: {}", space.keeper.log())
    }

    /// The process that keeps it, by which other namespaces hand it an interface.
    pub(crate) fn pid(&self) -> u32 {
        self.keeper.pid()
    }

    /// Runs a script inside to its end.
    pub(crate) async fn run(&self, script: &str) -> Result<Finished> {
        let inside = self.inside(&["bash", "-c", script]);
        let inside: Vec<&str> = inside.iter().map(String::as_str).collect();
        let environment = environment(self.dir.path());
        let dir = tempfile::tempdir()?;
        let program = Path::new("nsenter");
        let process = Process::start_apart("script", program, &inside, &environment, dir.path())?;
        process.finish(SCRIPT).await
    }

    /// The same, for what has to succeed; what it printed.
    pub(crate) async fn must(&self, script: &str) -> Result<String> {
        let done = self.run(script).await?;
        ensure!(done.ended == Ended::Code(0), "{script}\n{done:#?}");
        Ok(done.stdout)
    }

    /// Starts a program inside that stays.
    pub(crate) fn start(&self, name: &str, program: &Path, arguments: &[&str]) -> Result<Process> {
        let program = program.to_string_lossy();
        let command: Vec<&str> = [program.as_ref()].iter().chain(arguments).copied().collect();
        let inside = self.inside(&command);
        let inside: Vec<&str> = inside.iter().map(String::as_str).collect();
        let environment = environment(self.dir.path());
        Process::start(name, Path::new("nsenter"), &inside, &environment, self.dir.path())
    }

    /// A listener of the sample app's at this port; there when this returns.
    pub(crate) async fn listen(&self, port: u16) -> Result<Process> {
        let app = given::static_program("app")?;
        let at = format!("listen:0.0.0.0:{port}");
        let process = self.start(&format!("listener-{port}"), &app, &[&at])?;
        let check = format!("ss -Hltn 'sport = :{port}' | grep -q .");
        wait::until(format!("a listener on {port}"), SOON, || async {
            let there = self.run(&check).await?.ended == Ended::Code(0);
            Ok(there.then_some(()))
        })
        .await?;
        Ok(process)
    }

    fn inside(&self, command: &[&str]) -> Vec<String> {
        let of = format!("/proc/{}/ns", self.pid());
        let enter = [format!("--net={of}/net"), format!("--mount={of}/mnt"), "--".to_owned()];
        enter.into_iter().chain(command.iter().map(|&word| word.to_owned())).collect()
    }
}

fn environment(dir: &Path) -> Vec<(String, String)> {
    let nodes = given::checkout().join("infra/nodes");
    // No engine but one that a test names: the machine's own is nobody's business.
    let nowhere = format!("unix://{}/no-engine", dir.display());
    [
        ("DIR", dir.display().to_string()),
        ("NODES", nodes.display().to_string()),
        ("DOCKER_HOST", nowhere),
        ("LC_ALL", "C".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// The lines of a file of `infra/nodes` that say something, with their numbers from 0.
pub(crate) fn lines_of(file: &Path) -> Result<Vec<(usize, String)>> {
    let text = fs::read_to_string(file)?;
    let says = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    Ok(text
        .lines()
        .enumerate()
        .filter(|(_, line)| says(line))
        .map(|(n, line)| (n, line.to_owned()))
        .collect())
}
