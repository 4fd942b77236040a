//! The one place with `unsafe`: raw system calls, made by throw-away children, and the few calls
//! around processes that the standard library does not offer.
//!
//! A raw call takes its pointers only from references ([`Arg`]), so what the kernel reads and
//! writes is memory that is there. What it writes is never looked at.

#![expect(unsafe_code, reason = "raw system calls are what this program tries")]

use std::{
    ffi::CStr,
    io::{self, PipeReader},
    os::fd::AsRawFd,
    time::Duration,
};

/// One argument of a raw call.
pub(crate) enum Arg<'a> {
    /// A number or flags.
    Number(i64),
    /// A file descriptor.
    Fd(&'a dyn AsRawFd),
    /// A path or name.
    Text(&'a CStr),
    /// A structure that the kernel reads, larger than any that it might want to read.
    Words(&'a [u64; 32]),
    /// Room that the kernel writes, larger than any structure that it might write.
    Room,
    /// No pointer.
    Null,
}

/// Room for what a call writes, in words. The largest that any of them writes is a page.
const ROOM_WORDS: usize = 1024;

/// Makes a raw call.
///
/// # Errors
/// The kernel's.
pub(crate) fn call<const N: usize>(number: i64, arguments: [Arg<'_>; N]) -> io::Result<i64> {
    const { assert!(N <= 6, "no system call has more arguments") };
    let mut room = [0_u64; ROOM_WORDS];
    let mut values = [0_i64; 6];
    for (value, argument) in values.iter_mut().zip(&arguments) {
        *value = match argument {
            Arg::Number(number) => *number,
            Arg::Fd(fd) => fd.as_raw_fd().into(),
            Arg::Text(text) => text.as_ptr() as i64,
            Arg::Words(words) => words.as_ptr() as i64,
            Arg::Room => room.as_mut_ptr() as i64,
            Arg::Null => 0,
        };
    }
    let [a, b, c, d, e, f] = values;
    // SAFETY: every pointer comes from a reference that outlives the call, and leads to at least as
    // much memory as the kernel reads or writes there (see `Arg`). No call made here changes the
    // memory map or the flow of this process: those that would (clone, vfork, exec) have functions
    // of their own.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A child that was forked, as its number.
#[derive(Clone, Copy)]
pub(crate) struct Child(libc::pid_t);

/// On which side of a fork this is.
pub(crate) enum Forked {
    /// In the child.
    Child,
    /// In the parent.
    Parent(Child),
}

/// Forks. Nothing of this program runs in a second thread when it does.
///
/// # Errors
/// The kernel's.
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: the process has one thread, so the child finds every lock as it left it.
    sides(unsafe { libc::fork() }.into())
}

/// Forks with flags of `clone`, which make the child's namespaces.
///
/// # Errors
/// The kernel's.
pub(crate) fn fork_into(flags: libc::c_int) -> io::Result<Forked> {
    let flags = i64::from(flags | libc::SIGCHLD);
    // SAFETY: without CLONE_VM and with a null stack it is a fork, and the process has one thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0_i64, 0_i64, 0_i64, 0_i64) };
    sides(pid)
}

/// The same with `clone3`.
///
/// # Errors
/// The kernel's.
pub(crate) fn fork_into_3(flags: libc::c_int) -> io::Result<Forked> {
    // struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, …
    let mut arguments = [0_u64; 11];
    arguments[0] = u64::from(flags.cast_unsigned());
    arguments[4] = u64::from(libc::SIGCHLD.cast_unsigned());
    // SAFETY: as above; the structure is read within its given size.
    let pid =
        unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments)) };
    sides(pid)
}

fn sides(pid: i64) -> io::Result<Forked> {
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(Child(pid as libc::pid_t))),
    }
}

/// Ends a child at once, without what the parent left to be done at its own end.
pub(crate) fn exit_now(code: u8) -> ! {
    // SAFETY: ends the process and touches nothing.
    unsafe { libc::_exit(code.into()) }
}

/// Kills a child that was not reaped yet.
pub(crate) fn kill(child: Child) {
    // SAFETY: no memory is involved; the number is a child's that was not reaped, so nobody else's.
    unsafe { libc::kill(child.0, libc::SIGKILL) };
}

/// Waits for a child; says which signal ended it, if one did.
///
/// # Errors
/// The kernel's.
pub(crate) fn reap(child: Child) -> io::Result<Option<i32>> {
    let mut status = 0;
    loop {
        // SAFETY: `status` lives through the call.
        let pid = unsafe { libc::waitpid(child.0, &raw mut status, 0) };
        match pid {
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            -1 => return Err(io::Error::last_os_error()),
            _ if libc::WIFSIGNALED(status) => return Ok(Some(libc::WTERMSIG(status))),
            // A traced child stops on its way; it goes on by being killed.
            _ if libc::WIFSTOPPED(status) => kill(child),
            _ => return Ok(None),
        }
    }
}

/// Reaps whatever an attempt left behind: the first process of a container inherits it.
pub(crate) fn reap_strays() {
    // SAFETY: no memory is involved.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } > 0 {}
}

/// Whether a pipe has something to read, or its end, within this time.
pub(crate) fn is_readable(pipe: &PipeReader, within: Duration) -> bool {
    let mut poll = libc::pollfd { fd: pipe.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let within = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one structure, which lives through the call.
    unsafe { libc::poll(&raw mut poll, 1, within) == 1 }
}

/// A limit of this process: what holds now, and how far it may be raised.
pub(crate) fn limit(of: Limit) -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives through the call.
    match unsafe { libc::getrlimit(of as _, &raw mut limit) } {
        0 => Ok((limit.rlim_cur, limit.rlim_max)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets a limit of this process, which is a child that ends soon.
pub(crate) fn set_limit(of: Limit, now: u64, most: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: now, rlim_max: most };
    // SAFETY: `limit` lives through the call.
    match unsafe { libc::setrlimit(of as _, &raw const limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The limits that are looked at.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    Core = libc::RLIMIT_CORE as isize,
    Files = libc::RLIMIT_NOFILE as isize,
    Locked = libc::RLIMIT_MEMLOCK as isize,
    Locks = libc::RLIMIT_LOCKS as isize,
    Queues = libc::RLIMIT_MSGQUEUE as isize,
    Signals = libc::RLIMIT_SIGPENDING as isize,
}

/// Puts a signal into this process's own queue, where it waits.
///
/// # Errors
/// The kernel's, when the queue is full.
pub(crate) fn queue_signal() -> io::Result<()> {
    let signal = libc::SIGRTMIN();
    // SAFETY: the set is made by the call before it is read.
    unsafe {
        let mut blocked = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut blocked);
        libc::sigaddset(&raw mut blocked, signal);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const blocked, std::ptr::null_mut());
    }
    let value = libc::sigval { sival_ptr: std::ptr::null_mut() };
    // SAFETY: no memory is handed over.
    match unsafe { libc::sigqueue(libc::getpid(), signal, value) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes memory and uses it, a MiB at a time, until somebody ends this process or `most` is
/// reached.
pub(crate) fn use_memory(most_mib: u64, mut after_each: impl FnMut()) {
    const MIB: usize = 1 << 20;
    for _ in 0..most_mib {
        // SAFETY: a new private mapping, which nothing else knows of; it is used within its size.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let piece = libc::mmap(std::ptr::null_mut(), MIB, access, flags, -1, 0);
            if piece == libc::MAP_FAILED {
                return;
            }
            piece.cast::<u8>().write_bytes(1, MIB);
        }
        after_each();
    }
}

/// Locks a page of memory.
///
/// # Errors
/// The kernel's.
pub(crate) fn lock_page() -> io::Result<()> {
    let page = vec![0_u8; 4096];
    // SAFETY: the memory lives through the call, and the lock ends with the process.
    match unsafe { libc::mlock(page.as_ptr().cast(), page.len()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Asks for the process's number as a 32-bit program asks.
///
/// # Errors
/// The kernel's; a filter or a kernel without such calls ends the process instead.
#[cfg(target_arch = "x86_64")]
pub(crate) fn call_as_32_bit() -> io::Result<()> {
    const GETPID: i32 = 20;
    let mut result = GETPID;
    // SAFETY: the call reads one register and writes one, and takes no pointer.
    unsafe {
        std::arch::asm!(
            "int 0x80",
            inout("eax") result,
            out("r8") _,
            out("r9") _,
            out("r10") _,
            out("r11") _,
        );
    }
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(()) }
}

/// There are no such programs on this processor.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn call_as_32_bit() -> io::Result<()> {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}

/// The numbers of calls that only some processors have.
#[cfg(target_arch = "x86_64")]
pub(crate) mod only_here {
    pub(crate) const IOPL: i64 = libc::SYS_iopl;
    pub(crate) const IOPERM: i64 = libc::SYS_ioperm;
    pub(crate) const MODIFY_LDT: i64 = libc::SYS_modify_ldt;
    pub(crate) const USELIB: i64 = libc::SYS_uselib;
    pub(crate) const SYSFS: i64 = libc::SYS_sysfs;
    /// `getpid` by the numbers of the x32 kind.
    pub(crate) const X32_GETPID: i64 = libc::SYS_getpid | 0x4000_0000;
}

/// The numbers of calls that only some processors have: none of them here.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) mod only_here {
    pub(crate) const IOPL: i64 = -1;
    pub(crate) const IOPERM: i64 = -1;
    pub(crate) const MODIFY_LDT: i64 = -1;
    pub(crate) const USELIB: i64 = -1;
    pub(crate) const SYSFS: i64 = -1;
    pub(crate) const X32_GETPID: i64 = -1;
}
