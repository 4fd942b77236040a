//! What must become of every attempt, as data: one row each, in the order of the canary's own
//! tables (`worker/canary/src`). `DONE` says that it is allowed; where a wall is the kernel's or
//! the engine's and not ours alone, every refusal will do.

use std::ops::RangeInclusive;

use super::scene::Scene;
use crate::fleet::Profile;

/// What one attempt must come to, under one profile.
#[derive(Clone, Copy, Debug)]
pub enum Want {
    /// One of these outcomes, with `|` between them.
    Said(&'static str),
    /// The same, where the node decides.
    SaidIn(fn(&Scene<'_>) -> &'static str),
    /// A number from a range that follows from limits, profile and node.
    Counted(fn(&Scene<'_>) -> RangeInclusive<i64>),
    /// Whatever it is.
    Anything,
}

/// One attempt.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name in the report.
    pub name: &'static str,
    /// Under [`Profile::Ordinary`].
    pub ordinary: Want,
    /// Under [`Profile::Strict`].
    pub strict: Want,
}

/// Refused by our filter of system calls, before the kernel looks at it.
const FILTERED: &str = "EPERM";
/// A file of the kernel's that is hidden, that this user may not read, or that is not there.
const HIDDEN: &str = "EMPTY|EACCES|EPERM|ENOENT";
/// A file of the kernel's that cannot be opened for writing, or is not there.
const UNWRITABLE: &str = "EROFS|EACCES|EPERM|ENOENT";
/// An address to which there is no way. Where a packet is swallowed, only time tells.
const UNREACHED: &str = "ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|EACCES|EPERM";
/// An address of a kind that the network does not have.
const NO_IPV6: &str = "EADDRNOTAVAIL|ENETUNREACH|EAFNOSUPPORT";
/// A call of another kind than the processor's own: ended or refused.
const NO_OTHER_CALLS: &str = "SIGSYS|SIGSEGV|EPERM|ENOSYS";
/// CHOWN, DAC_OVERRIDE, SETGID, SETUID, NET_BIND_SERVICE.
const ORDINARY_CAPABILITIES: i64 = 1 | 1 << 1 | 1 << 6 | 1 << 7 | 1 << 10;

/// All of them.
pub const ROWS: &[Row] = &[
    // What can be read of the machine.
    both("read_acpi", HIDDEN),
    both("read_asound", HIDDEN),
    both("read_debug", HIDDEN),
    both("read_dev_kmsg", HIDDEN),
    both("read_dev_mem", HIDDEN),
    both("read_firmware", HIDDEN),
    both("read_interrupts", HIDDEN),
    both("read_kcore", HIDDEN),
    both("read_keys", HIDDEN),
    both("read_kmsg", HIDDEN),
    both("read_kpagecgroup", HIDDEN),
    both("read_kpagecount", HIDDEN),
    both("read_kpageflags", HIDDEN),
    both("read_latency_stats", HIDDEN),
    both("read_powercap", HIDDEN),
    both("read_pressure", HIDDEN),
    both("read_sched_debug", HIDDEN),
    both("read_scsi", HIDDEN),
    both("read_security", HIDDEN),
    both("read_slabinfo", HIDDEN),
    both("read_thermal", HIDDEN),
    both("read_timer_list", HIDDEN),
    both("read_tracing", HIDDEN),
    both("read_vmallocinfo", HIDDEN),
    both("read_zoneinfo", HIDDEN),
    // What the container was given.
    number("engine_sockets", |_| 0..=0),
    number("devices_beyond", |_| 0..=0),
    number("mounts_beyond", |_| 0..=0),
    number("variables_beyond", |_| 0..=0),
    number("files_inherited", |_| 0..=0),
    // What could be written.
    both("write_core_pattern", UNWRITABLE),
    both("write_modprobe", UNWRITABLE),
    both("write_sysrq", UNWRITABLE),
    both("write_sysrq_trigger", UNWRITABLE),
    both("write_ip_forward", UNWRITABLE),
    both("write_binfmt", UNWRITABLE),
    both("write_uevent_helper", UNWRITABLE),
    both("write_cgroup", UNWRITABLE),
    both("write_release_agent", UNWRITABLE),
    each("write_hosts", "DONE", UNWRITABLE),
    each("write_rootfs", "DONE", "EROFS"),
    each("write_dev", "DONE", UNWRITABLE),
    both("write_tmp", "DONE"),
    each("exec_tmp", "DONE", "EACCES"),
    each("exec_data", "DONE", "EACCES"),
    both("exec_shm", "EACCES"),
    // Sockets by family and kind.
    both("socket_unix", "DONE"),
    both("socket_inet", "DONE"),
    both("bind_80", "DONE"),
    both("raw_icmp", FILTERED),
    both("raw_icmp6", FILTERED),
    both("ping_socket", "EACCES"),
    both("af_packet", FILTERED),
    each("af_netlink_route", "DONE", FILTERED),
    both("af_netlink_audit", FILTERED),
    both("af_netlink_xfrm", FILTERED),
    both("af_vsock", FILTERED),
    both("af_alg", FILTERED),
    both("af_xdp", FILTERED),
    both("af_key", FILTERED),
    both("af_bluetooth", FILTERED),
    both("af_can", FILTERED),
    both("af_tipc", FILTERED),
    both("af_rds", FILTERED),
    both("af_smc", FILTERED),
    both("bind_ipv6_loopback", NO_IPV6),
    // Namespaces and mounts.
    both("unshare_user", FILTERED),
    both("unshare_net", FILTERED),
    both("unshare_mount", FILTERED),
    both("unshare_pid", FILTERED),
    both("unshare_ipc", FILTERED),
    both("unshare_uts", FILTERED),
    both("unshare_cgroup", FILTERED),
    both("clone_user", FILTERED),
    // So that every libc falls back to a call whose flags a filter can see.
    both("clone3_user", "ENOSYS"),
    both("setns", FILTERED),
    both("mount_tmpfs", FILTERED),
    both("mount_bind", FILTERED),
    both("umount", FILTERED),
    both("pivot_root", FILTERED),
    both("chroot", FILTERED),
    both("fsopen", FILTERED),
    both("open_tree", FILTERED),
    both("mount_setattr", FILTERED),
    both("sethostname", FILTERED),
    both("setdomainname", FILTERED),
    both("ns_cgroup", "PRIVATE"),
    both("ns_ipc", "PRIVATE"),
    both("ns_pid", "PRIVATE"),
    said("ns_user", |scene| if scene.node.remaps_users() { "PRIVATE" } else { "INITIAL" }),
    both("ns_uts", "PRIVATE"),
    each("init", "NONE", "DONE"),
    // Rights of the process.
    number("uid", user),
    number("gid", user),
    number("cap_effective", capabilities),
    number("cap_permitted", capabilities),
    number("cap_bounding", capabilities),
    number("cap_inheritable", |_| 0..=0),
    number("cap_ambient", |_| 0..=0),
    number("no_new_privileges", |_| 1..=1),
    number("seccomp_mode", |_| 2..=2),
    each("setuid_0", "DONE", "EPERM"),
    each("setgid_0", "DONE", "EPERM"),
    each("setgroups", "DONE", "EPERM"),
    both("capset_net_raw", "EPERM"),
    both("ptrace", FILTERED),
    both("process_vm_readv", FILTERED),
    both("process_vm_writev", FILTERED),
    both("pidfd_getfd", FILTERED),
    both("kcmp", FILTERED),
    both("nice_first", "EACCES|EPERM"),
    both("real_time", "EPERM"),
    both("io_real_time", "EPERM"),
    both("personality", FILTERED),
    both("oom_score_negative", "EACCES|EPERM"),
    both("raise_files", "EPERM"),
    both("raise_core", "EPERM"),
    both("lock_memory", "EPERM|ENOMEM|EAGAIN"),
    // The kernel's less-trodden parts.
    both("whose_kernel", "MACHINE"),
    both("io_uring_setup", FILTERED),
    both("bpf", FILTERED),
    both("perf_event_open", FILTERED),
    both("userfaultfd", FILTERED),
    both("memfd_secret", FILTERED),
    both("fanotify_init", FILTERED),
    both("keyctl", FILTERED),
    both("add_key", FILTERED),
    both("request_key", FILTERED),
    both("open_by_handle_at", FILTERED),
    both("mq_open", FILTERED),
    both("shm_sysv", "DONE"),
    both("syslog", FILTERED),
    both("init_module", FILTERED),
    both("finit_module", FILTERED),
    both("delete_module", FILTERED),
    both("kexec_load", FILTERED),
    both("kexec_file_load", FILTERED),
    both("reboot", FILTERED),
    both("swapon", FILTERED),
    both("swapoff", FILTERED),
    both("acct", FILTERED),
    both("quotactl", FILTERED),
    both("settimeofday", FILTERED),
    both("clock_settime", FILTERED),
    both("iopl", FILTERED_WHERE_THERE),
    both("ioperm", FILTERED_WHERE_THERE),
    both("modify_ldt", FILTERED_WHERE_THERE),
    both("vmsplice", FILTERED),
    both("move_pages", FILTERED),
    both("uselib", FILTERED_WHERE_THERE),
    both("sysfs", FILTERED_WHERE_THERE),
    both("lookup_dcookie", FILTERED),
    both("call_32_bit", NO_OTHER_CALLS),
    both("call_x32", NO_OTHER_CALLS),
    both("mknod_block", "EPERM"),
    both("mknod_memory", "EPERM"),
    // Ways out.
    both("metadata", UNREACHED),
    both("metadata_ipv6", NO_IPV6),
    both("egress_tcp", UNREACHED),
    both("egress_udp", UNREACHED),
    both("egress_private", UNREACHED),
    both("multicast_ipv6", NO_IPV6),
    both("gateway", UNREACHED),
    both("resolve_name", "SERVFAIL|ETIMEDOUT|REFUSED|ECONNREFUSED|ENETUNREACH"),
    number("interfaces", |_| 1..=1),
    number("addresses_ipv6", |_| 0..=0),
    number("sockets_abstract", |_| 0..=0),
    // What could be changed of the network.
    both("add_address", "EPERM"),
    both("set_mac", "EPERM"),
    both("set_link", "EPERM"),
    // How much there is of what is limited.
    number("processes", |scene| nearly(scene.limits.pids)),
    number("threads", |scene| nearly(scene.limits.pids)),
    number("files_open", |scene| nearly(scene.limits.nofile)),
    number("inotify_instances", |scene| of_one_user(scene.limits.nofile)),
    number("signals_pending", |_| of_one_user(128)),
    number("memory_mib", |scene| {
        let most = i64::from(scene.limits.memory_mib);
        most * 3 / 4..=most
    }),
    number("tmp_bytes", |scene| mib(scene.limits.tmp_mib)),
    number("tmp_inodes", |scene| nearly(scene.limits.tmp_inodes)),
    number("run_bytes", |scene| in_run(scene, mib(1))),
    number("run_inodes", |scene| in_run(scene, nearly(64))),
    number("data_bytes", |scene| mib(scene.limits.volume_mib)),
    number("data_inodes", |scene| nearly(scene.limits.volume_inodes)),
    number("shm_bytes", |scene| mib(scene.limits.shm_mib)),
    number("limit_core", |_| 0..=0),
    number("limit_files", |scene| exactly(scene.limits.nofile.into())),
    number("limit_locked", |_| 0..=0),
    number("limit_locks", |_| 64..=64),
    number("limit_queues", |_| 0..=0),
    number("limit_signals", |_| 128..=128),
    number("cpu_permille", |scene| exactly((scene.limits.cpus * 1000.0).round() as i64)),
    number("swap_mib", |_| 0..=0),
    number("oom_score", |_| 500..=500),
    number("ports_from", |_| 0..=0),
    number("ipv6_disabled", |_| 1..=1),
];

/// What becomes of attempts where gVisor's kernel answers instead of the machine's. It loads no
/// filter of ours: what it grants, it grants within itself, and what it lacks it need not refuse.
/// So of all calls that are filtered elsewhere nothing is asked here; and of these rows, where it has
/// ways of its own:
const UNDER_GVISOR: &[(&str, Want)] = &[
    ("whose_kernel", Want::Said("GVISOR")),
    ("write_ip_forward", Want::Anything),
    ("af_netlink_route", Want::Anything),
    ("ping_socket", Want::Said("EACCES|EPERM|EAFNOSUPPORT")),
    ("clone3_user", Want::Anything),
    ("ns_cgroup", Want::Said("PRIVATE|ENOENT")),
    ("ns_ipc", Want::Said("PRIVATE|ENOENT")),
    ("ns_pid", Want::Said("PRIVATE|ENOENT")),
    ("ns_user", Want::Said("PRIVATE|ENOENT")),
    ("ns_uts", Want::Said("PRIVATE|ENOENT")),
    ("cap_ambient", Want::Anything),
    ("no_new_privileges", Want::Anything),
    ("seccomp_mode", Want::Anything),
    ("capset_net_raw", Want::Said("EPERM")),
    ("nice_first", Want::Anything),
    ("real_time", Want::Anything),
    ("io_real_time", Want::Anything),
    ("oom_score_negative", Want::Anything),
    ("raise_core", Want::Anything),
    ("call_32_bit", Want::Anything),
    ("call_x32", Want::Anything),
    ("iopl", Want::Anything),
    ("ioperm", Want::Anything),
    ("modify_ldt", Want::Anything),
    ("uselib", Want::Anything),
    ("sysfs", Want::Anything),
    // Some waits have no end of their own there.
    ("egress_udp", Want::Said(UNREACHED_OR_LATE)),
    ("egress_private", Want::Said(UNREACHED_OR_LATE)),
    ("resolve_name", Want::Said("SERVFAIL|ETIMEDOUT|REFUSED|ECONNREFUSED|ENETUNREACH|TOO_LATE")),
    // Of its own network stack.
    ("add_address", Want::Anything),
    ("set_mac", Want::Anything),
    ("set_link", Want::Anything),
    // gVisor is itself under these, and would end with everybody in it.
    ("processes", Want::Said("NOT_TRIED")),
    ("threads", Want::Said("NOT_TRIED")),
    ("memory_mib", Want::Said("NOT_TRIED")),
    // Of no other user's, and charged to its memory.
    ("inotify_instances", Want::Anything),
    ("signals_pending", Want::Anything),
    ("tmp_inodes", Want::Anything),
    ("run_inodes", Want::Anything),
    ("data_inodes", Want::Anything),
    // It does not show them; the machine's kernel keeps them all the same.
    ("cpu_permille", Want::Anything),
    ("swap_mib", Want::Anything),
    ("oom_score", Want::Anything),
    ("ports_from", Want::Anything),
    ("ipv6_disabled", Want::Anything),
];

/// What becomes of attempts in a swarm's task, where it is something else than in a container that was
/// asked for with a request of its own. A service cannot carry these at API 1.41 (the table in
/// `fleet::swarm::request`); what the node's own settings give instead (`infra/nodes/daemon.json`) must
/// be there all the same, and is in no row here.
const IN_TASKS: &[(&str, Want)] = &[
    // The engine's own list of masked paths holds; it leaves what everybody may read on a machine.
    // What only root may read there is nobody's where users are remapped, and must not be read.
    ("read_interrupts", Want::Anything),
    ("read_pressure", Want::Anything),
    ("read_thermal", Want::Anything),
    ("read_zoneinfo", Want::Anything),
    // A tmpfs of a service is never one to execute from.
    ("exec_tmp", Want::Said("EACCES")),
    ("exec_data", Want::Said("EACCES")),
    // The node's filter of system calls is the one for both profiles, unless the service has its own.
    ("af_netlink_route", Want::SaidIn(netlink_in_tasks)),
    // The overlay's own namespace has that address; nobody listens there.
    ("gateway", Want::Said("ECONNREFUSED|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|EACCES|EPERM")),
    // Of a tmpfs only the bytes are bounded; its files are charged to the container's memory.
    ("tmp_inodes", Want::Counted(some)),
    ("run_inodes", Want::Counted(some_in_run)),
    ("data_inodes", Want::Counted(some)),
    // The engine would let it swap as much as it has memory. So the node must have no swap, which the
    // anchor tells.
    ("swap_mib", Want::Counted(swap_in_tasks)),
    // As any process of the machine; nothing here may be harder to end.
    ("oom_score", Want::Counted(|_| 0..=1000)),
];

fn netlink_in_tasks(scene: &Scene<'_>) -> &'static str {
    match scene.profile {
        Profile::Ordinary => "DONE",
        Profile::Strict if scene.node.services_filter_calls() => FILTERED,
        Profile::Strict => "DONE|EPERM",
    }
}

fn some(_: &Scene<'_>) -> RangeInclusive<i64> {
    1..=i64::MAX
}

fn some_in_run(scene: &Scene<'_>) -> RangeInclusive<i64> {
    in_run(scene, some(scene))
}

fn swap_in_tasks(scene: &Scene<'_>) -> RangeInclusive<i64> {
    match scene.node.swap {
        Some(0) => 0..=scene.limits.memory_mib.into(),
        _ => 0..=0,
    }
}

const UNREACHED_OR_LATE: &str = "ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|EACCES|EPERM|TOO_LATE";

impl Row {
    /// What it must come to where gVisor's kernel answers, if that is something else.
    pub(super) fn under_gvisor(&self) -> Option<Want> {
        let own = UNDER_GVISOR.iter().find(|(name, _)| *name == self.name).map(|(_, want)| *want);
        let filtered =
            [self.ordinary, self.strict].iter().all(|want| matches!(want, Want::Said(FILTERED)));
        own.or(filtered.then_some(Want::Anything))
    }

    /// What it must come to in a swarm's task, if that is something else.
    pub(super) fn in_tasks(&self) -> Option<Want> {
        IN_TASKS.iter().find(|(name, _)| *name == self.name).map(|(_, want)| *want)
    }
}

/// Filtered where there is such a call; some are of one kind of processor only.
const FILTERED_WHERE_THERE: &str = "EPERM|ENOSYS";

const fn both(name: &'static str, words: &'static str) -> Row {
    each(name, words, words)
}

const fn each(name: &'static str, ordinary: &'static str, strict: &'static str) -> Row {
    Row { name, ordinary: Want::Said(ordinary), strict: Want::Said(strict) }
}

const fn said(name: &'static str, words: fn(&Scene<'_>) -> &'static str) -> Row {
    Row { name, ordinary: Want::SaidIn(words), strict: Want::SaidIn(words) }
}

const fn number(name: &'static str, range: fn(&Scene<'_>) -> RangeInclusive<i64>) -> Row {
    Row { name, ordinary: Want::Counted(range), strict: Want::Counted(range) }
}

fn exactly(number: i64) -> RangeInclusive<i64> {
    number..=number
}

/// A few are taken before the canary begins to count: by itself, by an init, by a root directory.
fn nearly(limit: u32) -> RangeInclusive<i64> {
    let limit = i64::from(limit);
    limit - 8..=limit
}

fn mib(limit: u32) -> RangeInclusive<i64> {
    exactly(i64::from(limit) << 20)
}

/// The image has no `/run`; a strict container has one all the same.
fn in_run(scene: &Scene<'_>, range: RangeInclusive<i64>) -> RangeInclusive<i64> {
    const NO_SUCH_FOLDER: i64 = -2;
    match scene.profile {
        Profile::Ordinary => exactly(NO_SUCH_FOLDER),
        Profile::Strict => range,
    }
}

fn user(scene: &Scene<'_>) -> RangeInclusive<i64> {
    match scene.profile {
        Profile::Ordinary => 0..=0,
        Profile::Strict => 20_000..=39_999,
    }
}

fn capabilities(scene: &Scene<'_>) -> RangeInclusive<i64> {
    match scene.profile {
        Profile::Ordinary => exactly(ORDINARY_CAPABILITIES),
        Profile::Strict => 0..=0,
    }
}

/// The kernel counts them per user over the whole machine, and with user namespaces for the whole
/// machine: others may hold some, or all. That is no fault of the node's, or a stranger could bring
/// it down.
fn of_one_user(most: u32) -> RangeInclusive<i64> {
    0..=most.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So that canary and worker are of one mind when they are built together.
    #[test]
    fn every_attempt_of_the_canary_has_its_row() {
        let tried: Vec<&str> = portcall_canary::attempts().map(|attempt| attempt.name).collect();
        let rows: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(tried, rows);
    }

    #[test]
    fn what_is_otherwise_somewhere_are_rows() {
        for (name, _) in UNDER_GVISOR.iter().chain(IN_TASKS) {
            assert!(ROWS.iter().any(|row| row.name == *name), "{name}");
        }
    }

    #[test]
    fn no_attempt_stands_twice() {
        let mut names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
