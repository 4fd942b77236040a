//! Rights of the process: who it is, what it may become, and whether it can look into or pull ahead
//! of others.

use std::fs;

use rustix::process::getppid;

use crate::{
    attempt::{Attempt, Tried},
    sys::{self, Arg, Limit, call},
};

pub(crate) const TABLE: &[Attempt] = &[
    Attempt { name: "uid", attempt: || Tried::Number(rustix::process::getuid().as_raw().into()) },
    Attempt { name: "gid", attempt: || Tried::Number(rustix::process::getgid().as_raw().into()) },
    Attempt { name: "cap_effective", attempt: || status("CapEff", 16) },
    Attempt { name: "cap_permitted", attempt: || status("CapPrm", 16) },
    Attempt { name: "cap_bounding", attempt: || status("CapBnd", 16) },
    Attempt { name: "cap_inheritable", attempt: || status("CapInh", 16) },
    Attempt { name: "cap_ambient", attempt: || status("CapAmb", 16) },
    Attempt { name: "no_new_privileges", attempt: || status("NoNewPrivs", 10) },
    Attempt { name: "seccomp_mode", attempt: || status("Seccomp", 10) },
    Attempt { name: "setuid_0", attempt: || call(libc::SYS_setuid, [Arg::Number(0)]).into() },
    Attempt { name: "setgid_0", attempt: || call(libc::SYS_setgid, [Arg::Number(0)]).into() },
    Attempt { name: "setgroups", attempt: setgroups },
    Attempt { name: "capset_net_raw", attempt: capset_net_raw },
    Attempt { name: "ptrace", attempt: ptrace },
    Attempt { name: "process_vm_readv", attempt: process_vm_readv },
    Attempt { name: "process_vm_writev", attempt: process_vm_writev },
    Attempt { name: "pidfd_getfd", attempt: pidfd_getfd },
    Attempt { name: "kcmp", attempt: kcmp },
    Attempt { name: "nice_first", attempt: nice_first },
    Attempt { name: "real_time", attempt: real_time },
    Attempt { name: "io_real_time", attempt: io_real_time },
    Attempt { name: "personality", attempt: personality },
    Attempt { name: "oom_score_negative", attempt: oom_score_negative },
    Attempt { name: "raise_files", attempt: || raise(Limit::Files) },
    Attempt { name: "raise_core", attempt: || raise(Limit::Core) },
    Attempt { name: "lock_memory", attempt: || sys::lock_page().into() },
];

/// A line of what the kernel says of this process.
fn status(name: &str, radix: u32) -> Tried {
    let text = match fs::read_to_string("/proc/self/status") {
        Ok(text) => text,
        Err(error) => return Tried::Refused(error),
    };
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = value.and_then(|value| i64::from_str_radix(value.trim(), radix).ok());
    // A kernel that does not say it has not got it.
    number.map_or(Tried::Word("UNKNOWN"), Tried::Number)
}

fn setgroups() -> Tried {
    call(libc::SYS_setgroups, [Arg::Number(1), Arg::Words(&[0; 32])]).into()
}

/// For this child; every ordinary container of an engine's defaults has it.
fn capset_net_raw() -> Tried {
    const VERSION_3: u64 = 0x2008_0522;
    let mut header = [0; 32];
    header[0] = VERSION_3;
    // The lower halves of effective and permitted, then of inheritable; the upper halves are none.
    const NET_RAW: u64 = 1 << 13;
    let mut wanted = [0; 32];
    wanted[0] = NET_RAW | NET_RAW << 32;
    call(libc::SYS_capset, [Arg::Words(&header), Arg::Words(&wanted)]).into()
}

fn ptrace() -> Tried {
    const TRACE_ME: i64 = 0;
    call(libc::SYS_ptrace, [Arg::Number(TRACE_ME), Arg::Null, Arg::Null, Arg::Null]).into()
}

/// One vector of no bytes at either end.
fn process_vm_readv() -> Tried {
    other_memory(libc::SYS_process_vm_readv)
}

fn process_vm_writev() -> Tried {
    other_memory(libc::SYS_process_vm_writev)
}

fn other_memory(number: i64) -> Tried {
    let nothing = [0; 32];
    let arguments = [
        Arg::Number(parent()),
        Arg::Words(&nothing),
        Arg::Number(1),
        Arg::Words(&nothing),
        Arg::Number(1),
        Arg::Number(0),
    ];
    call(number, arguments).into()
}

/// The canary's own standard input, taken from it by its child.
fn pidfd_getfd() -> Tried {
    let pidfd = match call(libc::SYS_pidfd_open, [Arg::Number(parent()), Arg::Number(0)]) {
        Ok(pidfd) => pidfd,
        Err(error) => return Tried::Refused(error),
    };
    call(libc::SYS_pidfd_getfd, [Arg::Number(pidfd), Arg::Number(0), Arg::Number(0)]).into()
}

fn kcmp() -> Tried {
    const KCMP_VM: i64 = 1;
    let own = i64::from(std::process::id());
    let arguments =
        [Arg::Number(own), Arg::Number(own), Arg::Number(KCMP_VM), Arg::Number(0), Arg::Number(0)];
    call(libc::SYS_kcmp, arguments).into()
}

fn nice_first() -> Tried {
    let first = [Arg::Number(libc::PRIO_PROCESS.into()), Arg::Number(0), Arg::Number(-20)];
    call(libc::SYS_setpriority, first).into()
}

fn real_time() -> Tried {
    let mut parameters = [0; 32];
    parameters[0] = 1;
    let fifo = Arg::Number(libc::SCHED_FIFO.into());
    call(libc::SYS_sched_setscheduler, [Arg::Number(0), fifo, Arg::Words(&parameters)]).into()
}

fn io_real_time() -> Tried {
    const WHO_PROCESS: i64 = 1;
    const CLASS_REAL_TIME: i64 = 1 << 13;
    let arguments = [Arg::Number(WHO_PROCESS), Arg::Number(0), Arg::Number(CLASS_REAL_TIME)];
    call(libc::SYS_ioprio_set, arguments).into()
}

fn personality() -> Tried {
    let no_random = Arg::Number(libc::ADDR_NO_RANDOMIZE.into());
    call(libc::SYS_personality, [no_random]).into()
}

/// Before what every process of the machine has that nobody cared for. (Down to that, an engine
/// that lacks CAP_SYS_RESOURCE leaves the way open.) For this child.
fn oom_score_negative() -> Tried {
    fs::write("/proc/self/oom_score_adj", "-1").into()
}

/// By one over what was given.
fn raise(limit: Limit) -> Tried {
    let raised = sys::limit(limit).and_then(|(_, most)| match most.checked_add(1) {
        Some(more) if most != u64::MAX => sys::set_limit(limit, more, more),
        // There is no limit that could be raised.
        _ => Ok(()),
    });
    raised.into()
}

fn parent() -> i64 {
    getppid().map_or(0, |pid| pid.as_raw_nonzero().get().into())
}
