//! Calls that speak to the kernel's less-trodden parts, or to the machine as a whole. What would
//! change the machine is asked for with arguments that cannot succeed: an allowed call then answers
//! with another error than a refused one.

use crate::{
    attempt::{Attempt, Tried},
    station,
    sys::{self, Arg, call, only_here},
};

/// A path that does not lead anywhere.
const NOWHERE: &std::ffi::CStr = c"/canary-nowhere";
/// No file.
const NO_FD: Arg<'static> = Arg::Number(-1);

pub(crate) const TABLE: &[Attempt] = &[
    Attempt { name: "whose_kernel", attempt: whose_kernel },
    Attempt { name: "io_uring_setup", attempt: io_uring_setup },
    Attempt { name: "bpf", attempt: bpf },
    Attempt { name: "perf_event_open", attempt: perf_event_open },
    Attempt { name: "userfaultfd", attempt: userfaultfd },
    Attempt { name: "memfd_secret", attempt: || call(libc::SYS_memfd_secret, [ZERO]).into() },
    Attempt { name: "fanotify_init", attempt: fanotify_init },
    Attempt { name: "keyctl", attempt: keyctl },
    Attempt { name: "add_key", attempt: add_key },
    Attempt { name: "request_key", attempt: request_key },
    Attempt { name: "open_by_handle_at", attempt: open_by_handle_at },
    Attempt { name: "mq_open", attempt: mq_open },
    Attempt { name: "shm_sysv", attempt: shm_sysv },
    Attempt { name: "syslog", attempt: syslog },
    Attempt { name: "init_module", attempt: init_module },
    Attempt { name: "finit_module", attempt: finit_module },
    Attempt { name: "delete_module", attempt: delete_module },
    Attempt { name: "kexec_load", attempt: kexec_load },
    Attempt { name: "kexec_file_load", attempt: kexec_file_load },
    Attempt { name: "reboot", attempt: reboot },
    Attempt {
        name: "swapon",
        attempt: || call(libc::SYS_swapon, [Arg::Text(NOWHERE), ZERO]).into(),
    },
    Attempt { name: "swapoff", attempt: || call(libc::SYS_swapoff, [Arg::Text(NOWHERE)]).into() },
    Attempt { name: "acct", attempt: || call(libc::SYS_acct, [Arg::Text(NOWHERE)]).into() },
    Attempt { name: "quotactl", attempt: quotactl },
    Attempt { name: "settimeofday", attempt: settimeofday },
    Attempt { name: "clock_settime", attempt: clock_settime },
    Attempt { name: "iopl", attempt: || call(only_here::IOPL, [Arg::Number(3)]).into() },
    Attempt { name: "ioperm", attempt: ioperm },
    Attempt { name: "modify_ldt", attempt: modify_ldt },
    Attempt { name: "vmsplice", attempt: vmsplice },
    Attempt { name: "move_pages", attempt: move_pages },
    Attempt { name: "uselib", attempt: || call(only_here::USELIB, [Arg::Text(NOWHERE)]).into() },
    Attempt { name: "sysfs", attempt: || call(only_here::SYSFS, [Arg::Number(3)]).into() },
    Attempt { name: "lookup_dcookie", attempt: lookup_dcookie },
    Attempt { name: "call_32_bit", attempt: || sys::call_as_32_bit().into() },
    Attempt { name: "call_x32", attempt: || call::<0>(only_here::X32_GETPID, []).into() },
    Attempt { name: "mknod_block", attempt: || mknod(libc::S_IFBLK, 8, 0) },
    Attempt { name: "mknod_memory", attempt: || mknod(libc::S_IFCHR, 1, 1) },
];

/// Much of what follows is an attempt on the kernel that answers; it need not be the machine's.
fn whose_kernel() -> Tried {
    Tried::Word(if station::is_gvisor() { "GVISOR" } else { "MACHINE" })
}

const ZERO: Arg<'static> = Arg::Number(0);

fn io_uring_setup() -> Tried {
    call(libc::SYS_io_uring_setup, [Arg::Number(1), Arg::Room]).into()
}

/// A map of one small element, which ends with this child.
fn bpf() -> Tried {
    const MAP_CREATE: i64 = 0;
    const ATTRIBUTES_BYTES: i64 = 72;
    let mut map = [0; 32];
    // An array (2) with keys of 4 bytes, values of 4 bytes, one entry.
    map[0] = 2 | 4 << 32;
    map[1] = 4 | 1 << 32;
    let arguments = [Arg::Number(MAP_CREATE), Arg::Words(&map), Arg::Number(ATTRIBUTES_BYTES)];
    call(libc::SYS_bpf, arguments).into()
}

/// The software clock, of this child alone.
fn perf_event_open() -> Tried {
    const SOFTWARE_FIRST_SIZE: u64 = 1 | 64 << 32;
    let mut event = [0; 32];
    event[0] = SOFTWARE_FIRST_SIZE;
    call(libc::SYS_perf_event_open, [Arg::Words(&event), ZERO, NO_FD, NO_FD, ZERO]).into()
}

fn userfaultfd() -> Tried {
    const USER_MODE_ONLY: i64 = 1;
    call(libc::SYS_userfaultfd, [Arg::Number(USER_MODE_ONLY)]).into()
}

fn fanotify_init() -> Tried {
    call(libc::SYS_fanotify_init, [ZERO, ZERO]).into()
}

fn keyctl() -> Tried {
    const GET_KEYRING_ID: i64 = 0;
    const PROCESS_KEYRING: i64 = -2;
    // It is made for this child, and ends with it.
    let create = Arg::Number(1);
    call(libc::SYS_keyctl, [Arg::Number(GET_KEYRING_ID), Arg::Number(PROCESS_KEYRING), create])
        .into()
}

fn add_key() -> Tried {
    const PROCESS_KEYRING: i64 = -2;
    let arguments = [
        Arg::Text(c"user"),
        Arg::Text(c"canary"),
        Arg::Text(c"x"),
        Arg::Number(1),
        Arg::Number(PROCESS_KEYRING),
    ];
    call(libc::SYS_add_key, arguments).into()
}

/// For a key that nobody has; without call-out information nobody is asked to make it.
fn request_key() -> Tried {
    let arguments = [Arg::Text(c"user"), Arg::Text(c"canary-nobody-has-it"), Arg::Null, ZERO];
    call(libc::SYS_request_key, arguments).into()
}

/// With a handle of no kind that there is.
fn open_by_handle_at() -> Tried {
    let mut handle = [0; 32];
    handle[0] = 8 | 0xFE << 32;
    let here = Arg::Number(libc::AT_FDCWD.into());
    call(libc::SYS_open_by_handle_at, [here, Arg::Words(&handle), ZERO]).into()
}

/// The name goes again at once; the queue ends with this child.
fn mq_open() -> Tried {
    let flags = Arg::Number((libc::O_RDWR | libc::O_CREAT).into());
    let opened =
        call(libc::SYS_mq_open, [Arg::Text(c"canary"), flags, Arg::Number(0o600), Arg::Null]);
    if opened.is_ok() && call(libc::SYS_mq_unlink, [Arg::Text(c"canary")]).is_err() {
        return Tried::Word("DONE_AND_LEFT");
    }
    opened.into()
}

/// Allowed: it is charged to the container's memory, and gone with its namespace.
fn shm_sysv() -> Tried {
    let size = Arg::Number(4096);
    let made =
        call(libc::SYS_shmget, [Arg::Number(libc::IPC_PRIVATE.into()), size, Arg::Number(0o600)]);
    if let Ok(id) = made {
        let remove = Arg::Number(libc::IPC_RMID.into());
        if call(libc::SYS_shmctl, [Arg::Number(id), remove, Arg::Null]).is_err() {
            return Tried::Word("DONE_AND_LEFT");
        }
    }
    made.into()
}

fn syslog() -> Tried {
    const READ_ALL: i64 = 3;
    call(libc::SYS_syslog, [Arg::Number(READ_ALL), Arg::Room, Arg::Number(4096)]).into()
}

/// No module has no bytes.
fn init_module() -> Tried {
    call(libc::SYS_init_module, [Arg::Room, ZERO, Arg::Text(c"")]).into()
}

fn finit_module() -> Tried {
    call(libc::SYS_finit_module, [NO_FD, Arg::Text(c""), ZERO]).into()
}

fn delete_module() -> Tried {
    let nonblocking = Arg::Number(libc::O_NONBLOCK.into());
    call(libc::SYS_delete_module, [Arg::Text(c"canary_nowhere"), nonblocking]).into()
}

/// With flags that no kernel knows.
fn kexec_load() -> Tried {
    call(libc::SYS_kexec_load, [ZERO, ZERO, Arg::Null, Arg::Number(0x0F00)]).into()
}

fn kexec_file_load() -> Tried {
    let unknown = Arg::Number(0x0F00);
    call(libc::SYS_kexec_file_load, [NO_FD, NO_FD, ZERO, Arg::Text(c""), unknown]).into()
}

/// Without the numbers that a reboot must be asked for with.
fn reboot() -> Tried {
    call(libc::SYS_reboot, [ZERO, ZERO, ZERO, Arg::Null]).into()
}

/// Of a device that is none.
fn quotactl() -> Tried {
    const GET_FORMAT: i64 = 0x80_0004 << 8;
    call(libc::SYS_quotactl, [Arg::Number(GET_FORMAT), Arg::Text(NOWHERE), ZERO, Arg::Room]).into()
}

/// To no time, which changes nothing.
fn settimeofday() -> Tried {
    call(libc::SYS_settimeofday, [Arg::Null, Arg::Null]).into()
}

/// Of the clock that counts from the start of the machine, which nobody may set.
fn clock_settime() -> Tried {
    let monotonic = Arg::Number(libc::CLOCK_MONOTONIC.into());
    call(libc::SYS_clock_settime, [monotonic, Arg::Words(&[0; 32])]).into()
}

/// The port that nothing listens on and that is written to for a pause. For this child alone.
fn ioperm() -> Tried {
    call(only_here::IOPERM, [Arg::Number(0x80), Arg::Number(1), Arg::Number(1)]).into()
}

/// Reading.
fn modify_ldt() -> Tried {
    call(only_here::MODIFY_LDT, [ZERO, Arg::Room, Arg::Number(16)]).into()
}

fn vmsplice() -> Tried {
    let (_hear, say) = match std::io::pipe() {
        Ok(ends) => ends,
        Err(error) => return Tried::Refused(error),
    };
    call(libc::SYS_vmsplice, [Arg::Fd(&say), Arg::Words(&[0; 32]), Arg::Number(1), ZERO]).into()
}

/// Of no pages.
fn move_pages() -> Tried {
    call(libc::SYS_move_pages, [ZERO, ZERO, Arg::Null, Arg::Null, Arg::Null, ZERO]).into()
}

fn lookup_dcookie() -> Tried {
    call(libc::SYS_lookup_dcookie, [ZERO, Arg::Room, Arg::Number(4096)]).into()
}

/// A device file, which goes again at once. It is never opened.
fn mknod(kind: u32, major: u32, minor: u32) -> Tried {
    const FILE: &std::ffi::CStr = c"/tmp/canary-device";
    let device = Arg::Number(libc::makedev(major, minor).cast_signed());
    let here = || Arg::Number(libc::AT_FDCWD.into());
    let made = call(
        libc::SYS_mknodat,
        [here(), Arg::Text(FILE), Arg::Number((kind | 0o600).into()), device],
    );
    if made.is_ok() && call(libc::SYS_unlinkat, [here(), Arg::Text(FILE), ZERO]).is_err() {
        return Tried::Word("DONE_AND_LEFT");
    }
    made.into()
}
