//! The system calls that have no safe wrapper elsewhere: forking, ending by a signal, and the
//! kernel objects that this program hoards.

#![expect(unsafe_code, reason = "raw system calls are what this program is for")]

use std::io;

/// Who one is after a fork.
pub(crate) enum Fork {
    /// The new process.
    Child,
    /// The old one, with the id of the new one.
    Parent(i32),
}

/// Splits the process in two.
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: it takes no pointer. The child goes on with a copy of the calling thread only; the
    // callers either have no other thread, or do nothing in the child but wait and end.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        child => Ok(Fork::Parent(child)),
    }
}

/// Waits for a signal that ends the process; any other wakes it for nothing.
pub(crate) fn pause() -> ! {
    loop {
        // SAFETY: it takes nothing and changes nothing.
        unsafe { libc::pause() };
    }
}

/// Sends a signal; -1 stands for everybody.
pub(crate) fn kill(process: i32, signal: i32) -> io::Result<()> {
    // SAFETY: two numbers; a wrong one is an error.
    done(unsafe { libc::kill(process, signal) })
}

/// Waits until a child has ended.
pub(crate) fn wait(child: i32) {
    // SAFETY: a null pointer says that the status is not wanted.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
}

/// Ignores every signal that can be ignored.
pub(crate) fn ignore_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: no handler is installed; a signal that cannot be ignored is an error.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Leaves the session and its terminal.
pub(crate) fn leave_session() {
    // SAFETY: it takes nothing; that one leads a session already is an error.
    unsafe { libc::setsid() };
}

/// Ends by a segmentation fault, which wants to leave a core.
pub(crate) fn crash() -> ! {
    // SAFETY: the default action is put back, and the process ends by it.
    unsafe {
        libc::signal(libc::SIGSEGV, libc::SIG_DFL);
        libc::raise(libc::SIGSEGV);
    }
    std::process::exit(1)
}

/// Takes a System V segment of so many bytes and touches each of its pages.
pub(crate) fn hoard_shared_memory(bytes: usize) -> io::Result<()> {
    // SAFETY: a new segment is private to this process, mapped by the kernel where it likes, and
    // written within its length.
    unsafe {
        let id = libc::shmget(libc::IPC_PRIVATE, bytes, 0o600);
        done(id.min(0))?;
        let at = libc::shmat(id, std::ptr::null(), 0);
        if at.addr() == usize::MAX {
            return Err(io::Error::last_os_error());
        }
        at.cast::<u8>().write_bytes(0x5a, bytes);
    }
    Ok(())
}

/// Takes a set of 32 System V semaphores.
pub(crate) fn hoard_semaphores() -> io::Result<()> {
    // SAFETY: three numbers.
    done(unsafe { libc::semget(libc::IPC_PRIVATE, 32, 0o600) }.min(0))
}

/// Takes a System V message queue.
pub(crate) fn hoard_queue() -> io::Result<()> {
    // SAFETY: two numbers.
    done(unsafe { libc::msgget(libc::IPC_PRIVATE, 0o600) }.min(0))
}

/// Opens a POSIX message queue.
pub(crate) fn open_queue() -> io::Result<()> {
    // SAFETY: the name ends with a zero; a null pointer asks for the default attributes.
    let queue = unsafe { libc::mq_open(c"/q".as_ptr(), libc::O_CREAT | libc::O_RDWR, 0o600, 0) };
    done(queue.min(0))
}

/// Puts a key of `bytes` into the process's keyring, which no namespace bounds.
pub(crate) fn add_key(bytes: &[u8]) -> io::Result<()> {
    const PROCESS_KEYRING: libc::c_long = -2;
    // SAFETY: two texts that end with a zero, and a payload with its length.
    let key = unsafe {
        libc::syscall(
            libc::SYS_add_key,
            c"user".as_ptr(),
            c"hostile".as_ptr(),
            bytes.as_ptr(),
            bytes.len(),
            PROCESS_KEYRING,
        )
    };
    if key < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Joins a new session keyring.
pub(crate) fn join_keyring() -> io::Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: a null pointer asks for a keyring without a name.
    let keyring = unsafe {
        libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>())
    };
    if keyring < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn done(answer: i32) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
