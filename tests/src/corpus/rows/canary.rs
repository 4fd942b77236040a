//! E and the like, by the canary's own report: our program that tries in a container what must not
//! work there, submitted as any image is. The event's rules are the assertion.

use std::fmt::Write as _;

use crate::{
    corpus::row::{Expected::Passed, Profile, Row, Rules, Stage, Submits},
    image::Recipe,
};

/// An attempt of the canary's: the row that it shows, its name, and what may become of it
/// (`ordinary`, `strict`), with `|` between several; nothing where nothing is said.
pub const ATTEMPTS: &[(&str, &str, &str, &str)] = &[
    ("E02", "write_core_pattern", "EROFS", "EROFS|EACCES"),
    ("E02", "write_sysrq_trigger", "EROFS|ENOENT", "EROFS|EACCES|ENOENT"),
    ("E02", "write_ip_forward", "EROFS", "EROFS|EACCES"),
    ("E02", "write_cgroup", "EROFS", "EROFS|EACCES"),
    ("E03", "read_kcore", "EMPTY|ENOENT", "EMPTY|ENOENT"),
    ("E03", "read_interrupts", "EMPTY", "EMPTY"),
    ("E03", "read_keys", "EMPTY", "EMPTY"),
    ("E04", "ptrace", "EPERM", "EPERM"),
    ("E05", "keyctl", "EPERM", "EPERM"),
    ("E05", "add_key", "EPERM", "EPERM"),
    ("E05", "request_key", "EPERM", "EPERM"),
    ("E06", "unshare_user", "EPERM", "EPERM"),
    ("E06", "unshare_net", "EPERM", "EPERM"),
    ("E06", "clone_user", "EPERM", "EPERM"),
    ("E06", "clone3_user", "ENOSYS", "ENOSYS"),
    ("E06", "setns", "EPERM", "EPERM"),
    ("E09", "mknod_block", "EPERM", "EPERM"),
    ("E10", "io_uring_setup", "EPERM", "EPERM"),
    ("D03", "raw_icmp", "EPERM", "EPERM"),
    ("D03", "af_packet", "EPERM", "EPERM"),
    ("D04", "af_netlink_xfrm", "EPERM", "EPERM"),
    ("E11", "af_alg", "EPERM", "EPERM"),
    ("E12", "af_vsock", "EPERM", "EPERM"),
    ("E12", "af_xdp", "EPERM", "EPERM"),
    ("E12", "af_key", "EPERM", "EPERM"),
    ("E12", "call_32_bit", "SIGSEGV|SIGSYS|EPERM|ENOSYS", "SIGSEGV|SIGSYS|EPERM|ENOSYS"),
    ("E13", "bpf", "EPERM", "EPERM"),
    ("E13", "perf_event_open", "EPERM", "EPERM"),
    ("E13", "userfaultfd", "EPERM", "EPERM"),
    ("E13", "open_by_handle_at", "EPERM", "EPERM"),
    ("E13", "kexec_load", "EPERM", "EPERM"),
    ("E13", "init_module", "EPERM", "EPERM"),
    ("E17", "write_binfmt", "EROFS|ENOENT", "EROFS|EACCES|ENOENT"),
    ("E17", "write_uevent_helper", "EROFS|ENOENT", "EROFS|EACCES|ENOENT"),
];

/// What is counted instead: the row, its name, and the number.
pub const NUMBERS: &[(&str, &str, i64)] = &[("E01", "engine_sockets", 0)];

pub(super) const ROWS: &[Row] = &[Row {
    id: "E01",
    what: "the canary: E01-E06, E09-E13, E17, D03, D04",
    profiles: crate::corpus::row::BOTH,
    rules: Rules::Canary,
    stage: Stage::Any,
    submits: Submits::Image(|_| Recipe::canary()),
    expected: Passed,
}];

/// The check of an event for the canary, as it stands in a file.
pub(crate) fn check(profile: Profile) -> String {
    let mut check = String::from("[[checks]]\nname = \"report\"\nget = \"/report\"\njson = [\n");
    for (_, name, ordinary, strict) in ATTEMPTS {
        let said = if profile == Profile::Ordinary { ordinary } else { strict };
        let said: Vec<String> = said.split('|').map(|word| format!("\"{word}\"")).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            check,
            "  {{ path = \"$.attempts.{name}\", one_of = [{}] }},",
            said.join(", ")
        );
    }
    for (_, name, number) in NUMBERS {
        let _ = writeln!(check, "  {{ path = \"$.numbers.{name}\", equals = {number} }},");
    }
    check + "]\n"
}

/// The rows that the canary shows.
#[must_use]
pub fn ids() -> Vec<&'static str> {
    let attempts = ATTEMPTS.iter().map(|(id, ..)| *id);
    attempts.chain(NUMBERS.iter().map(|(id, ..)| *id)).collect()
}
