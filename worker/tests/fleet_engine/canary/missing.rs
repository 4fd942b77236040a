//! What must be seen without the walls, as data: what an engine's defaults allow, and which rows
//! may stay without a run that makes them fail, and why.

use std::collections::BTreeSet;

use super::capabilities::has;

/// What an engine's defaults allow or refuse in every version that can be used.
pub(crate) const DEFAULTS: &[(&str, &str)] = &[
    ("raw_icmp", "DONE"),
    ("af_packet", "DONE"),
    ("af_netlink_route", "DONE"),
    ("ping_socket", "DONE"),
    ("chroot", "DONE"),
    ("mknod_block", "DONE"),
    ("setuid_0", "DONE"),
    ("mq_open", "DONE"),
    ("write_rootfs", "DONE"),
    ("write_dev", "DONE"),
    ("exec_tmp", "DONE"),
    ("unshare_user", "EPERM"),
    ("unshare_net", "EPERM"),
    ("clone3_user", "ENOSYS"),
    ("keyctl", "EPERM"),
    ("bpf", "EPERM"),
    ("mount_tmpfs", "EPERM"),
    ("perf_event_open", "EPERM"),
    ("write_core_pattern", "EROFS"),
    ("no_new_privileges", "0"),
    ("processes", "300"),
    ("threads", "300"),
    ("memory_mib", "320"),
    ("tmp_bytes", "83886080"),
    ("tmp_inodes", "5000"),
    ("data_bytes", "83886080"),
    ("cpu_permille", "-1"),
    ("oom_score", "0"),
];

/// Why no run on this machine may show that a row can fail.
pub(crate) enum Missing {
    /// The kernel has no such thing, or not here: nobody gets more of it without the wall.
    NotThere,
    /// It is there, and there is nothing in it.
    Empty,
    /// The kernel lacks the call or the family, and says so where our filter does not come first.
    KernelLacks,
    /// It is no wall: every server needs it.
    Allowed,
    /// Whatever can be taken away here, it comes to this. Why.
    Always(&'static str, &'static str),
    /// A number in which others' uses count, so that it may be any. What shows it instead.
    Shared(&'static str),
    /// The machine itself lacks a capability, by its number, and so has none to give.
    LacksCapability(u32),
    /// Only without this wall, which cannot be taken away on this machine.
    OnlyWithout(&'static str),
}

impl Missing {
    /// In words.
    pub(crate) fn why(&self) -> &'static str {
        match self {
            Self::NotThere => "this machine has no such file",
            Self::Empty => "this machine has nothing in it",
            Self::KernelLacks => "this kernel has no such thing",
            Self::Allowed => "allowed on purpose",
            Self::Always(_, why) | Self::Shared(why) => why,
            Self::LacksCapability(_) => "the engine itself has no such capability",
            Self::OnlyWithout(_) => "the wall cannot be taken away on this machine",
        }
    }

    /// Whether what was said in all runs together bears it out; `stuck` are the walls that could
    /// not be taken away.
    pub(crate) fn is_borne_out(&self, said: &BTreeSet<String>, stuck: &[&str]) -> bool {
        let only = |words: &[&str]| said.iter().all(|word| words.contains(&word.as_str()));
        match self {
            Self::NotThere => only(&["ENOENT"]),
            Self::Empty => only(&["EMPTY", "EACCES"]),
            Self::KernelLacks => LACKING.iter().any(|word| said.contains(*word)),
            Self::Allowed => only(&["DONE"]),
            Self::Always(word, _) => only(&[word]),
            Self::Shared(_) => said.iter().all(|word| word.parse::<u32>().is_ok()),
            Self::LacksCapability(number) => !has(*number),
            Self::OnlyWithout(wall) => stuck.contains(wall),
        }
    }
}

/// A kernel that lacks something says so where a wall is away: that shows nothing.
pub(crate) const LACKING: [&str; 4] = ["EAFNOSUPPORT", "ENODEV", "ENOSYS", "EPROTONOSUPPORT"];

const NO_SYS_RESOURCE: Missing = Missing::LacksCapability(24);
const NOT_TO_ASK: Missing = Missing::Always("0", "no engine can be asked to give it");

/// Rows that may stay without a run that makes them fail. On another machine they need not.
pub(crate) const MISSING: &[(&str, Missing)] = &[
    ("read_acpi", Missing::Empty),
    ("read_asound", Missing::NotThere),
    ("read_debug", Missing::Empty),
    ("read_dev_mem", Missing::NotThere),
    ("read_kcore", Missing::NotThere),
    ("read_latency_stats", Missing::NotThere),
    ("read_powercap", Missing::NotThere),
    ("read_sched_debug", Missing::NotThere),
    ("read_scsi", Missing::NotThere),
    ("read_security", Missing::Empty),
    ("read_thermal", Missing::NotThere),
    ("read_tracing", Missing::Empty),
    ("files_inherited", NOT_TO_ASK),
    (
        "inotify_instances",
        Missing::Shared(
            "others of that user count too; control.rs shows what a user of its own is worth",
        ),
    ),
    ("write_modprobe", Missing::NotThere),
    ("write_sysrq", Missing::NotThere),
    ("write_sysrq_trigger", Missing::NotThere),
    ("write_binfmt", Missing::NotThere),
    ("write_uevent_helper", Missing::NotThere),
    ("write_cgroup", Missing::OnlyWithout("privileged")),
    ("write_release_agent", Missing::NotThere),
    ("write_tmp", Missing::Allowed),
    ("socket_unix", Missing::Allowed),
    ("socket_inet", Missing::Allowed),
    ("af_alg", Missing::KernelLacks),
    ("af_key", Missing::KernelLacks),
    ("af_bluetooth", Missing::KernelLacks),
    ("af_can", Missing::KernelLacks),
    ("af_tipc", Missing::KernelLacks),
    ("af_rds", Missing::KernelLacks),
    ("af_smc", Missing::KernelLacks),
    ("ns_user", Missing::Always("INITIAL", "this engine does not remap users")),
    ("cap_inheritable", NOT_TO_ASK),
    ("cap_ambient", NOT_TO_ASK),
    ("real_time", Missing::Always("EPERM", "an engine's containers get no real time to share")),
    ("oom_score_negative", NO_SYS_RESOURCE),
    ("raise_files", NO_SYS_RESOURCE),
    ("shm_sysv", Missing::Allowed),
    ("whose_kernel", Missing::Always("MACHINE", "under gVisor: another test")),
    ("init_module", Missing::KernelLacks),
    ("finit_module", Missing::KernelLacks),
    ("delete_module", Missing::KernelLacks),
    ("kexec_load", Missing::KernelLacks),
    ("kexec_file_load", Missing::KernelLacks),
    ("iopl", Missing::KernelLacks),
    ("ioperm", Missing::KernelLacks),
    ("uselib", Missing::KernelLacks),
    ("lookup_dcookie", Missing::KernelLacks),
    ("call_x32", Missing::KernelLacks),
];
