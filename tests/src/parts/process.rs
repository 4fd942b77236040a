//! A child process with its log in a file, its own process group, and an end.
//!
//! It dies with the test: when the guard is dropped its group is killed, and should the test
//! process be killed itself, the kernel kills the child (`setpriv --pdeathsig`). Since that
//! signal is tied to the thread that started the child, one thread that lives as long as the
//! process starts them all.

use std::{
    fs::{self, File},
    io,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{LazyLock, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};

use crate::wait;

/// A running child.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// The part of the log before this start.
    from: usize,
    /// Where its standard output goes, if not into the log.
    output: Option<PathBuf>,
}

/// Which group of users a child runs under: packet filters can tell processes apart by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// That of the test.
    Same,
    /// One of its own, and no other. It takes root.
    Own(u32),
}

/// Where a child's standard output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    /// Into the log, between what goes to standard error.
    Log,
    /// Into a file of its own.
    Apart,
}

/// What a program that ran to its end left.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How it ended.
    pub ended: Ended,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Process {
    /// Starts `program` with nothing in its environment but `PATH` and what is given. The log
    /// is `<name>.log` in `dir`, appended to.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        name: &str,
        program: &Path,
        arguments: &[&str],
        environment: &[(String, String)],
        dir: &Path,
    ) -> Result<Self> {
        Self::start_with(name, program, arguments, environment, dir, (Output::Log, Group::Same))
    }

    /// The same, under this group.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_in_group(
        name: &str,
        group: Group,
        program: &Path,
        arguments: &[&str],
        environment: &[(String, String)],
        dir: &Path,
    ) -> Result<Self> {
        Self::start_with(name, program, arguments, environment, dir, (Output::Log, group))
    }

    /// The same, with what it writes to its standard output in `<name>.out` instead.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_apart(
        name: &str,
        program: &Path,
        arguments: &[&str],
        environment: &[(String, String)],
        dir: &Path,
    ) -> Result<Self> {
        Self::start_with(name, program, arguments, environment, dir, (Output::Apart, Group::Same))
    }

    fn start_with(
        name: &str,
        program: &Path,
        arguments: &[&str],
        environment: &[(String, String)],
        dir: &Path,
        (output, group): (Output, Group),
    ) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let from = fs::metadata(&log).map_or(0, |found| found.len() as usize);
        let file = File::options().create(true).append(true).open(&log)?;
        let (stdout, output) = match output {
            Output::Log => (file.try_clone()?, None),
            Output::Apart => {
                let path = dir.join(format!("{name}.out"));
                (File::create(&path)?, Some(path))
            }
        };
        let mut command = Command::new("setpriv");
        if let Group::Own(number) = group {
            command.args(["--regid", &number.to_string(), "--clear-groups"]);
        }
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(environment.iter().cloned())
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(file)
            .process_group(0);
        let child = spawn(command).with_context(|| format!("starting {}", program.display()))?;
        Ok(Self { name: name.to_owned(), child, log, from, output })
    }

    /// What the test calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written since it was started.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(self.from..).unwrap_or_default()).into_owned()
    }

    /// What it has written to its standard output, where that is kept apart.
    #[must_use]
    pub fn stdout(&self) -> String {
        let bytes = self.output.as_ref().map(|path| fs::read(path).unwrap_or_default());
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    }

    /// Waits until it ends; how, and what it wrote.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn finish(mut self, within: Duration) -> Result<Finished> {
        let ended = self.wait(within).await.with_context(|| self.log())?;
        Ok(Finished { ended, stdout: self.stdout(), stderr: self.log() })
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn ended(&mut self) -> Result<Option<Ended>> {
        Ok(self.child.try_wait()?.map(Ended::from))
    }

    /// Waits until it ends.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn wait(&mut self, within: Duration) -> Result<Ended> {
        let what = format!("{} (pid {}) ends", self.name, self.pid());
        let child = Mutex::new(&mut self.child);
        wait::until(what, within, || async {
            Ok(child.lock().unwrap_or_else(PoisonError::into_inner).try_wait()?.map(Ended::from))
        })
        .await
    }

    /// `kill -9`, and gone when this returns.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn terminate(&self) -> Result<()> {
        self.signal("TERM")
    }

    /// Asks it to end, as Ctrl-C does.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn interrupt(&self) -> Result<()> {
        self.signal("INT")
    }

    /// Freezes it.
    ///
    /// # Errors
    /// When it is gone.
    pub fn stop(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// Lets a frozen one go on.
    ///
    /// # Errors
    /// When it is gone.
    pub fn resume(&self) -> Result<()> {
        self.signal("CONT")
    }

    fn signal(&self, signal: &str) -> Result<()> {
        send(signal, &self.pid().to_string()).with_context(|| format!("{signal} to {}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Both may find nobody left, which is what they are for.
            let _ = send("KILL", &format!("-{}", self.child.id()));
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, signal) => Self::Signal(signal.unwrap_or(0)),
        }
    }
}

/// Runs a program to its end; its exit code and all that it wrote.
///
/// # Errors
/// When it cannot be started or does not end in time.
pub async fn run(
    program: &Path,
    arguments: &[&str],
    environment: &[(String, String)],
    within: Duration,
) -> Result<(Ended, String)> {
    let dir = tempfile::tempdir()?;
    let mut process = Process::start("run", program, arguments, environment, dir.path())?;
    let ended = process.wait(within).await.with_context(|| process.log())?;
    Ok((ended, process.log()))
}

/// The same, with its two outputs apart.
///
/// # Errors
/// When it cannot be started or does not end in time.
pub async fn ask(
    program: &Path,
    arguments: &[&str],
    environment: &[(String, String)],
    within: Duration,
) -> Result<Finished> {
    let dir = tempfile::tempdir()?;
    let process = Process::start_apart("ask", program, arguments, environment, dir.path())?;
    process.finish(within).await
}

/// Through the shell's own `kill`: a bare machine has no other, and signals from Rust need
/// `unsafe`.
fn send(signal: &str, target: &str) -> Result<()> {
    let status = Command::new("sh")
        .args(["-c", "kill -s \"$0\" -- \"$1\"", signal, target])
        .stderr(Stdio::null())
        .status()?;
    if status.success() { Ok(()) } else { Err(anyhow!("no process {target}")) }
}

type Order = (Command, mpsc::Sender<io::Result<Child>>);

fn spawn(command: Command) -> io::Result<Child> {
    static STARTER: LazyLock<Mutex<mpsc::Sender<Order>>> = LazyLock::new(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                // Whoever gave the order waits for this.
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (reply, answer) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts processes is gone");
    let orders = STARTER.lock().unwrap_or_else(PoisonError::into_inner).clone();
    orders.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_can_be_frozen_killed_and_read() {
        let dir = tempfile::tempdir().unwrap();
        let script = "echo up; sleep 60";
        let mut child =
            Process::start("sh", Path::new("sh"), &["-c", script], &[], dir.path()).unwrap();
        wait::until("its line", Duration::from_secs(5), || async {
            Ok(child.log().contains("up").then_some(()))
        })
        .await
        .unwrap();
        child.stop().unwrap();
        child.resume().unwrap();
        assert_eq!(child.ended().unwrap(), None);
        child.kill().unwrap();
        assert_eq!(child.ended().unwrap(), Some(Ended::Signal(9)));
    }

    #[tokio::test]
    async fn a_program_is_run_to_its_end() {
        let environment = [("WORD".to_owned(), "hello".to_owned())];
        let within = Duration::from_secs(5);
        let (ended, output) =
            run(Path::new("sh"), &["-c", "echo $WORD >&2; exit 3"], &environment, within)
                .await
                .unwrap();
        assert_eq!((ended, output.as_str()), (Ended::Code(3), "hello\n"));
        let asked = ask(Path::new("sh"), &["-c", "echo a; echo b >&2"], &[], within).await.unwrap();
        assert_eq!(asked.ended, Ended::Code(0));
        assert_eq!((asked.stdout.as_str(), asked.stderr.as_str()), ("a\n", "b\n"));
    }
}
