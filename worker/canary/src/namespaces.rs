//! Namespaces and mounts: leaving those of the container, making new ones, and whether those that
//! it is in are its own.

use std::{fs, io, io::Error};

use crate::{
    attempt::{Attempt, Tried},
    sys::{self, Arg, Forked, call},
};

/// A path that does not lead anywhere: calls that get as far as to look for it were not refused,
/// and change nothing.
const NOWHERE: &std::ffi::CStr = c"/canary-nowhere";

pub(crate) const TABLE: &[Attempt] = &[
    Attempt { name: "unshare_user", attempt: || unshare(libc::CLONE_NEWUSER) },
    Attempt { name: "unshare_net", attempt: || unshare(libc::CLONE_NEWNET) },
    Attempt { name: "unshare_mount", attempt: || unshare(libc::CLONE_NEWNS) },
    Attempt { name: "unshare_pid", attempt: || unshare(libc::CLONE_NEWPID) },
    Attempt { name: "unshare_ipc", attempt: || unshare(libc::CLONE_NEWIPC) },
    Attempt { name: "unshare_uts", attempt: || unshare(libc::CLONE_NEWUTS) },
    Attempt { name: "unshare_cgroup", attempt: || unshare(libc::CLONE_NEWCGROUP) },
    Attempt { name: "clone_user", attempt: || ended(sys::fork_into(libc::CLONE_NEWUSER)) },
    Attempt { name: "clone3_user", attempt: || ended(sys::fork_into_3(libc::CLONE_NEWUSER)) },
    Attempt { name: "setns", attempt: setns },
    Attempt { name: "mount_tmpfs", attempt: mount_tmpfs },
    Attempt { name: "mount_bind", attempt: mount_bind },
    Attempt { name: "umount", attempt: umount },
    Attempt { name: "pivot_root", attempt: pivot_root },
    Attempt { name: "chroot", attempt: || call(libc::SYS_chroot, [Arg::Text(c"/")]).into() },
    Attempt { name: "fsopen", attempt: fsopen },
    Attempt { name: "open_tree", attempt: open_tree },
    Attempt { name: "mount_setattr", attempt: mount_setattr },
    Attempt { name: "sethostname", attempt: sethostname },
    Attempt { name: "setdomainname", attempt: setdomainname },
    Attempt { name: "ns_cgroup", attempt: || whose("cgroup", 0xEFFF_FFFB) },
    Attempt { name: "ns_ipc", attempt: || whose("ipc", 0xEFFF_FFFF) },
    Attempt { name: "ns_pid", attempt: || whose("pid", 0xEFFF_FFFC) },
    Attempt { name: "ns_user", attempt: || whose("user", 0xEFFF_FFFD) },
    Attempt { name: "ns_uts", attempt: || whose("uts", 0xEFFF_FFFE) },
    Attempt { name: "init", attempt: init },
];

fn unshare(flag: i32) -> Tried {
    call(libc::SYS_unshare, [Arg::Number(flag.into())]).into()
}

fn ended(forked: io::Result<Forked>) -> Tried {
    match forked {
        Ok(Forked::Child) => sys::exit_now(0),
        Ok(Forked::Parent(child)) => sys::reap(child).into(),
        Err(error) => Tried::Refused(error),
    }
}

/// Into the namespace that it is in already.
fn setns() -> Tried {
    match fs::File::open("/proc/self/ns/uts") {
        Ok(own) => call(libc::SYS_setns, [Arg::Fd(&own), Arg::Number(0)]).into(),
        Err(error) => Tried::Refused(error),
    }
}

fn mount_tmpfs() -> Tried {
    let mounted = call(
        libc::SYS_mount,
        [Arg::Text(c"none"), Arg::Text(c"/tmp"), Arg::Text(c"tmpfs"), Arg::Number(0), Arg::Null],
    );
    unmounted(mounted, c"/tmp")
}

fn mount_bind() -> Tried {
    let flags = Arg::Number(libc::MS_BIND.cast_signed());
    let mounted = call(
        libc::SYS_mount,
        [Arg::Text(c"/proc"), Arg::Text(c"/tmp"), Arg::Null, flags, Arg::Null],
    );
    unmounted(mounted, c"/tmp")
}

/// The mounts of a container are its own; all the same none of ours stays.
fn unmounted(mounted: io::Result<i64>, path: &std::ffi::CStr) -> Tried {
    if mounted.is_ok() {
        let gone = call(libc::SYS_umount2, [Arg::Text(path), Arg::Number(0)]);
        if gone.is_err() {
            return Tried::Word("DONE_AND_LEFT");
        }
    }
    mounted.into()
}

fn umount() -> Tried {
    call(libc::SYS_umount2, [Arg::Text(NOWHERE), Arg::Number(0)]).into()
}

fn pivot_root() -> Tried {
    call(libc::SYS_pivot_root, [Arg::Text(NOWHERE), Arg::Text(NOWHERE)]).into()
}

fn fsopen() -> Tried {
    call(libc::SYS_fsopen, [Arg::Text(c"tmpfs"), Arg::Number(0)]).into()
}

fn open_tree() -> Tried {
    const OPEN_TREE_CLONE: i64 = 1;
    let here = Arg::Number(libc::AT_FDCWD.into());
    call(libc::SYS_open_tree, [here, Arg::Text(c"/"), Arg::Number(OPEN_TREE_CLONE)]).into()
}

/// With a structure that says to change nothing.
fn mount_setattr() -> Tried {
    const ATTRIBUTES_BYTES: i64 = 32;
    let (here, flags) = (Arg::Number(libc::AT_FDCWD.into()), Arg::Number(0));
    let nothing = [0; 32];
    let arguments =
        [here, Arg::Text(NOWHERE), flags, Arg::Words(&nothing), Arg::Number(ATTRIBUTES_BYTES)];
    call(libc::SYS_mount_setattr, arguments).into()
}

/// The name that it has already, so that nothing changes where names are the machine's own.
fn sethostname() -> Tried {
    named_again(libc::SYS_sethostname, rustix::system::uname().nodename())
}

fn setdomainname() -> Tried {
    named_again(libc::SYS_setdomainname, rustix::system::uname().domainname())
}

fn named_again(number: i64, name: &std::ffi::CStr) -> Tried {
    let length = i64::try_from(name.count_bytes()).unwrap_or(0);
    call(number, [Arg::Text(name), Arg::Number(length)]).into()
}

/// Whether a namespace of the container's is the machine's own, which has a number that is the same
/// everywhere.
fn whose(kind: &str, initial: u64) -> Tried {
    let link = match fs::read_link(format!("/proc/self/ns/{kind}")) {
        Ok(link) => link.to_string_lossy().into_owned(),
        Err(error) => return Tried::Refused(error),
    };
    let number = link.split_once('[').and_then(|(_, rest)| rest.strip_suffix(']'));
    match number.and_then(|number| number.parse::<u64>().ok()) {
        Some(number) if number == initial => Tried::Word("INITIAL"),
        Some(_) => Tried::Word("PRIVATE"),
        None => Tried::Refused(Error::from_raw_os_error(libc::EINVAL)),
    }
}

/// Whether an init of the engine's stands before it and reaps what strangers leave. The canary
/// itself runs only as the first process or as that one's child.
fn init() -> Tried {
    // This is a child of the canary.
    match rustix::process::getppid() {
        Some(canary) if canary.is_init() => Tried::Word("NONE"),
        _ => Tried::Done,
    }
}
