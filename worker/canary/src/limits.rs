//! How much there is of everything that is limited. Each is taken until it is refused, or until a
//! bound of the canary's own that lies above every usual limit; what cannot be taken harmlessly is
//! read from the kernel's own account of the container.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    sync::mpsc,
    thread,
};

use crate::{
    attempt::{Attempt, Tried},
    station,
    sys::{self, Forked, Limit},
};

/// The canary's own bounds, above the limits of either profile.
const PROCESSES: u64 = 300;
const FILES: u64 = 4096;
const INOTIFY: u64 = 128;
const SIGNALS: u64 = 512;
const BYTES: u64 = 80 << 20;
const INODES: u64 = 5000;
const MEMORY_MIB: u64 = 320;

pub(crate) const TABLE: &[Attempt] = &[
    Attempt { name: "processes", attempt: || of_the_machine(processes) },
    Attempt { name: "threads", attempt: || of_the_machine(|| Ok(threads())) },
    Attempt { name: "files_open", attempt: || Tried::counted(files_open()) },
    Attempt { name: "inotify_instances", attempt: || Tried::counted(Ok(inotify())) },
    Attempt { name: "signals_pending", attempt: || Tried::counted(Ok(signals())) },
    Attempt { name: "memory_mib", attempt: || of_the_machine(memory) },
    Attempt { name: "tmp_bytes", attempt: || Tried::counted(bytes("/tmp/canary-bytes")) },
    Attempt { name: "tmp_inodes", attempt: || Tried::counted(inodes("/tmp")) },
    Attempt { name: "run_bytes", attempt: || Tried::counted(bytes("/run/canary-bytes")) },
    Attempt { name: "run_inodes", attempt: || Tried::counted(inodes("/run")) },
    Attempt { name: "data_bytes", attempt: || Tried::counted(bytes("/data/canary-bytes")) },
    Attempt { name: "data_inodes", attempt: || Tried::counted(inodes("/data")) },
    Attempt { name: "shm_bytes", attempt: || Tried::counted(bytes("/dev/shm/canary-bytes")) },
    Attempt { name: "limit_core", attempt: || limit(Limit::Core) },
    Attempt { name: "limit_files", attempt: || limit(Limit::Files) },
    Attempt { name: "limit_locked", attempt: || limit(Limit::Locked) },
    Attempt { name: "limit_locks", attempt: || limit(Limit::Locks) },
    Attempt { name: "limit_queues", attempt: || limit(Limit::Queues) },
    Attempt { name: "limit_signals", attempt: || limit(Limit::Signals) },
    Attempt { name: "cpu_permille", attempt: cpu_permille },
    Attempt { name: "swap_mib", attempt: swap_mib },
    Attempt { name: "oom_score", attempt: || number("/proc/self/oom_score_adj") },
    Attempt {
        name: "ports_from",
        attempt: || number("/proc/sys/net/ipv4/ip_unprivileged_port_start"),
    },
    Attempt {
        name: "ipv6_disabled",
        attempt: || number("/proc/sys/net/ipv6/conf/all/disable_ipv6"),
    },
];

/// What only the machine's kernel keeps within bounds. gVisor lives under the container's limits
/// itself: going over them ends it, and everybody in it.
fn of_the_machine(count: fn() -> io::Result<u64>) -> Tried {
    if station::is_gvisor() { Tried::Word("NOT_TRIED") } else { Tried::counted(count()) }
}

/// Children that wait until this process closes its end of a pipe.
fn processes() -> io::Result<u64> {
    let (mut wait, go) = io::pipe()?;
    let mut children = Vec::new();
    while (children.len() as u64) < PROCESSES {
        match sys::fork() {
            Ok(Forked::Child) => {
                drop(go);
                let _ = wait.read(&mut [0]);
                sys::exit_now(0);
            }
            Ok(Forked::Parent(child)) => children.push(child),
            Err(_) => break,
        }
    }
    let count = children.len() as u64;
    drop(go);
    for child in children {
        sys::reap(child)?;
    }
    Ok(count)
}

/// They end with this process.
fn threads() -> u64 {
    let (_hold, wait) = mpsc::channel::<()>();
    let wait = std::sync::Arc::new(std::sync::Mutex::new(wait));
    let spawn = || {
        let wait = std::sync::Arc::clone(&wait);
        thread::Builder::new().stack_size(16 << 10).spawn(move || {
            let _ = wait.lock().map(|wait| wait.recv());
        })
    };
    (0..PROCESSES).take_while(|_| spawn().is_ok()).count() as u64
}

fn files_open() -> io::Result<u64> {
    let mut files = vec![File::open("/canary")?];
    while (files.len() as u64) < FILES {
        match files[0].try_clone() {
            Ok(file) => files.push(file),
            Err(_) => break,
        }
    }
    Ok(files.len() as u64)
}

fn inotify() -> u64 {
    let flags = rustix::fs::inotify::CreateFlags::empty();
    let taken: Vec<_> = (0..INOTIFY).map_while(|_| rustix::fs::inotify::init(flags).ok()).collect();
    taken.len() as u64
}

fn signals() -> u64 {
    (0..SIGNALS).take_while(|_| sys::queue_signal().is_ok()).count() as u64
}

/// A child of its own takes it, tells after each MiB, and is the first that the kernel ends.
fn memory() -> io::Result<u64> {
    let (mut hear, mut say) = io::pipe()?;
    match sys::fork()? {
        Forked::Child => {
            drop(hear);
            let _ = fs::write("/proc/self/oom_score_adj", "1000");
            sys::use_memory(MEMORY_MIB, || _ = say.write_all(b"."));
            sys::exit_now(0)
        }
        Forked::Parent(child) => {
            drop(say);
            let mut told = Vec::new();
            hear.read_to_end(&mut told)?;
            sys::reap(child)?;
            Ok(told.len() as u64)
        }
    }
}

/// How large one file can become. It goes again.
fn bytes(path: &str) -> io::Result<u64> {
    const PIECE: usize = 64 << 10;
    let mut file = File::create(path)?;
    let piece = vec![1; PIECE];
    let mut written = 0;
    while written < BYTES {
        match file.write(&piece) {
            Ok(0) | Err(_) => break,
            Ok(length) => written += length as u64,
        }
    }
    fs::remove_file(path)?;
    Ok(written)
}

/// How many files there can be. They go again.
fn inodes(folder: &str) -> io::Result<u64> {
    let name = |n: u64| format!("{folder}/canary-{n}");
    drop(File::create(name(0))?);
    let more = (1..INODES).take_while(|n| File::create(name(*n)).is_ok()).count() as u64;
    for n in 0..=more {
        fs::remove_file(name(n))?;
    }
    Ok(more + 1)
}

/// The most that a limit may be raised to; -1 if there is none.
fn limit(of: Limit) -> Tried {
    match sys::limit(of) {
        Ok((_, u64::MAX)) => Tried::Number(-1),
        Ok((_, most)) => Tried::Number(most.cast_signed()),
        Err(error) => Tried::counted(Err(error)),
    }
}

/// Processor time in thousandths of one processor; -1 if it is not limited.
fn cpu_permille() -> Tried {
    if let Ok(text) = fs::read_to_string("/sys/fs/cgroup/cpu.max") {
        let mut words = text.split_whitespace().map(str::parse::<i64>);
        return match (words.next(), words.next()) {
            (Some(Ok(quota)), Some(Ok(period))) => Tried::Number(quota * 1000 / period.max(1)),
            _ => Tried::Number(-1),
        };
    }
    let read = |name: &str| parsed(&format!("/sys/fs/cgroup/cpu/cpu.cfs_{name}_us"));
    match (read("quota"), read("period")) {
        (Ok(quota), _) if quota < 0 => Tried::Number(-1),
        (Ok(quota), Ok(period)) => Tried::Number(quota * 1000 / period.max(1)),
        (Err(error), _) | (_, Err(error)) => Tried::counted(Err(error)),
    }
}

/// How much of the container may be swapped out; -1 if there is no limit.
fn swap_mib() -> Tried {
    const NO_LIMIT: i64 = 1 << 60;
    if let Ok(text) = fs::read_to_string("/sys/fs/cgroup/memory.swap.max") {
        return Tried::Number(text.trim().parse::<i64>().map_or(-1, |bytes| bytes >> 20));
    }
    let read = |name: &str| parsed(&format!("/sys/fs/cgroup/memory/memory.{name}"));
    match (read("memsw.limit_in_bytes"), read("limit_in_bytes")) {
        (Ok(both), _) if both >= NO_LIMIT => Tried::Number(-1),
        (Ok(both), Ok(memory)) => Tried::Number((both - memory) >> 20),
        (Err(error), _) | (_, Err(error)) => Tried::counted(Err(error)),
    }
}

fn number(path: &str) -> Tried {
    match parsed(path) {
        Ok(number) => Tried::Number(number),
        Err(error) => Tried::counted(Err(error)),
    }
}

fn parsed(path: &str) -> io::Result<i64> {
    fs::read_to_string(path)?.trim().parse().map_err(io::Error::other)
}
