//! The attacks, by name.

pub(crate) mod escape;
mod exhaust;
mod network;

use std::io;

/// When an attack answers on port 80.
pub(crate) enum Act {
    /// Never; it ends with this exit code, if it ends.
    Instead(fn() -> u8),
    /// Once it is over, with what it achieved.
    Before(fn() -> String),
    /// All the time.
    Beside(fn()),
}

/// Every mode.
pub(crate) const ALL: &[(&str, Act)] = &[
    // What is hostile about it is its image.
    ("serve", Act::Beside(|| {})),
    // The same, once `HOSTILE_WAIT_MS` are over.
    ("late", Act::Before(|| "served".to_owned())),
    // What is finite.
    ("forkbomb", Act::Instead(exhaust::fork_bomb)),
    ("forks", Act::Before(exhaust::forks)),
    ("threads", Act::Before(exhaust::threads)),
    ("mem", Act::Before(exhaust::memory)),
    ("fill", Act::Before(exhaust::fill)),
    ("fill-unlinked", Act::Before(exhaust::fill_unlinked)),
    ("fill-deep", Act::Before(exhaust::fill_deep)),
    ("inodes", Act::Before(exhaust::inodes)),
    ("logflood", Act::Beside(exhaust::log_flood)),
    ("cpu", Act::Beside(exhaust::spin)),
    ("fds", Act::Before(exhaust::descriptors)),
    ("inotify-hold", Act::Before(exhaust::inotify)),
    ("shm", Act::Before(exhaust::shared_memory)),
    ("ipc", Act::Before(exhaust::ipc)),
    ("keys", Act::Before(exhaust::keys)),
    ("readstorm", Act::Beside(exhaust::read_storm)),
    ("readspeed", Act::Before(exhaust::read_speed)),
    ("segvloop", Act::Instead(exhaust::crash_loop)),
    ("exit", Act::Instead(exhaust::exit)),
    ("nothing", Act::Instead(exhaust::nothing)),
    // Others.
    ("scan", Act::Before(network::scan)),
    ("reach", Act::Before(network::reach)),
    ("listener", Act::Before(network::listener)),
    ("dialler", Act::Before(network::dialler)),
    ("dns", Act::Before(network::dns)),
    ("multicast", Act::Before(network::multicast)),
    ("overlay", Act::Before(network::overlay)),
    ("connflood", Act::Beside(network::connection_flood)),
    ("flood", Act::Beside(network::flood)),
    ("harass", Act::Beside(network::harass)),
    // The walls.
    ("suid", Act::Before(escape::set_uid)),
    ("filecap", Act::Before(escape::file_capability)),
    ("immortal", Act::Beside(escape::immortal)),
    ("killall", Act::Instead(escape::kill_all)),
    ("environ", Act::Before(escape::environment)),
    ("own-exe", Act::Before(escape::own_program)),
    ("checked", Act::Before(escape::checked)),
    ("spoof-log", Act::Instead(escape::spoof_log)),
];

/// The name of the error that the kernel gave.
pub(crate) fn name_of(error: &io::Error) -> String {
    let named = match error.raw_os_error() {
        Some(libc::EPERM) => "EPERM",
        Some(libc::EACCES) => "EACCES",
        Some(libc::EROFS) => "EROFS",
        Some(libc::ENOSPC) => "ENOSPC",
        Some(libc::ENOSYS) => "ENOSYS",
        Some(libc::EMFILE) => "EMFILE",
        Some(libc::EAGAIN) => "EAGAIN",
        Some(libc::ENOENT) => "ENOENT",
        Some(libc::ETXTBSY) => "ETXTBSY",
        Some(libc::ENETUNREACH) => "ENETUNREACH",
        Some(libc::EFBIG) => "EFBIG",
        Some(libc::ENOMEM) => "ENOMEM",
        _ => return format!("{error}"),
    };
    named.to_owned()
}

/// `DONE`, or the name of the error.
pub(crate) fn result_of<T>(result: &io::Result<T>) -> String {
    result.as_ref().map_or_else(name_of, |_| "DONE".to_owned())
}
