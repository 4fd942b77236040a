//! Portcall's own programs with something around them: a clock of their own, or a group of processes
//! whose memory is bounded. Each is a script that becomes the program, so it has the same process id.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::given;

/// A clock that is off, and can be set.
#[derive(Clone, Debug)]
pub struct Clock {
    file: PathBuf,
    library: PathBuf,
}

impl Clock {
    /// One that is off by so many seconds; nothing where Debian's `faketime` is not installed.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn off_by(dir: &Path, seconds: i64) -> Result<Option<Self>> {
        let Some(library) = faketime() else { return Ok(None) };
        let clock = Self { file: dir.join("clock"), library };
        clock.set(seconds)?;
        Ok(Some(clock))
    }

    /// Sets it: it is off by so many seconds from now on.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn set(&self, seconds: i64) -> Result<()> {
        // Written beside and renamed: whoever reads it reads all of it.
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{seconds:+}s\n"))?;
        fs::rename(new, &self.file)?;
        Ok(())
    }

    /// The lines of a shell by which a program gets it. Only the clock on the wall is off.
    #[must_use]
    pub fn lines(&self) -> String {
        format!(
            "export FAKETIME_TIMESTAMP_FILE={} FAKETIME_CACHE_DURATION=1 \
             FAKETIME_DONT_FAKE_MONOTONIC=1 LD_PRELOAD={}\n",
            self.file.display(),
            self.library.display()
        )
    }
}

fn faketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    let files = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    files.into_iter().find(|file| file.exists())
}

/// A group of processes that may have so much memory together (cgroup v1).
#[derive(Debug)]
pub struct Memory(PathBuf);

impl Memory {
    /// An empty one without a bound; nothing where there are no such groups.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn group(name: &str) -> Result<Option<Self>> {
        let parent = Path::new("/sys/fs/cgroup/memory");
        if !parent.join("memory.limit_in_bytes").exists() {
            return Ok(None);
        }
        let folder = parent.join(format!("portcall-faults-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Some(Self(folder)))
    }

    /// The lines of a shell by which a program gets into it.
    #[must_use]
    pub fn lines(&self) -> String {
        format!("echo $$ >{}/cgroup.procs\n", self.0.display())
    }

    /// Leaves it so many bytes more than it has, and asks for many more in a smaller process: the
    /// kernel ends the largest one.
    ///
    /// # Errors
    /// When the bound cannot be set.
    pub fn run_out(&self, room: u64) -> Result<()> {
        let used: u64 = fs::read_to_string(self.0.join("memory.usage_in_bytes"))?.trim().parse()?;
        fs::write(self.0.join("memory.limit_in_bytes"), (used + room).to_string())?;
        let eats = format!("{}head -c 512M /dev/zero | tail >/dev/null", self.lines());
        // It may be ended too, when it is the largest one that is left.
        Command::new("sh").args(["-c", &eats]).status()?;
        Ok(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        for pid in fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default().lines() {
            // It may have ended.
            let _ = fs::write("/sys/fs/cgroup/memory/cgroup.procs", pid);
        }
        let _ = fs::remove_dir(&self.0);
    }
}

/// A folder in `dir` of all programs that a world needs, api and worker with these lines before them.
///
/// # Errors
/// When a program is not given, or the folder cannot be written.
pub fn programs(dir: &Path, lines: &str) -> Result<PathBuf> {
    let folder = dir.join("programs");
    fs::create_dir_all(&folder)?;
    for name in ["portcall-api", "portcall-worker"] {
        script(&folder.join(name), lines, &given::program(name)?)?;
    }
    for name in ["prober", "canary"] {
        fs::copy(given::static_program(name)?, folder.join(name))?;
    }
    fs::copy(given::checkout().join("infra/env.sample"), folder.join("env.sample"))?;
    Ok(folder)
}

/// A script at that path that becomes a program after these lines.
///
/// # Errors
/// When it cannot be written.
pub fn script(path: &Path, lines: &str, program: &Path) -> Result<()> {
    let program = program.to_str().context("a path that is not UTF-8")?;
    ensure!(!program.contains(' '), "a path with a space: {program}");
    fs::write(path, format!("#!/bin/sh\n{lines}exec {program} \"$@\"\n"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}
