//! Files: what of the kernel and the machine can be read, what could be written, and what the
//! container was given. Files that are not the container's own are opened for writing and closed
//! again: nothing is ever written to them.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    process::{Command, Stdio},
};

use crate::attempt::{Attempt, Tried};

pub(crate) const READING: &[Attempt] = &[
    Attempt { name: "read_acpi", attempt: || read("/proc/acpi") },
    Attempt { name: "read_asound", attempt: || read("/proc/asound") },
    Attempt { name: "read_debug", attempt: || read("/sys/kernel/debug") },
    Attempt { name: "read_dev_kmsg", attempt: || read("/dev/kmsg") },
    Attempt { name: "read_dev_mem", attempt: || read("/dev/mem") },
    Attempt { name: "read_firmware", attempt: || read("/sys/firmware") },
    Attempt { name: "read_interrupts", attempt: || read("/proc/interrupts") },
    Attempt { name: "read_kcore", attempt: || read("/proc/kcore") },
    Attempt { name: "read_keys", attempt: || read("/proc/keys") },
    Attempt { name: "read_kmsg", attempt: || open_to_read("/proc/kmsg") },
    Attempt { name: "read_kpagecgroup", attempt: || read("/proc/kpagecgroup") },
    Attempt { name: "read_kpagecount", attempt: || read("/proc/kpagecount") },
    Attempt { name: "read_kpageflags", attempt: || read("/proc/kpageflags") },
    Attempt { name: "read_latency_stats", attempt: || read("/proc/latency_stats") },
    Attempt { name: "read_powercap", attempt: || read("/sys/devices/virtual/powercap") },
    Attempt { name: "read_pressure", attempt: || read("/proc/pressure") },
    Attempt { name: "read_sched_debug", attempt: || read("/proc/sched_debug") },
    Attempt { name: "read_scsi", attempt: || read("/proc/scsi") },
    Attempt { name: "read_security", attempt: || read("/sys/kernel/security") },
    Attempt { name: "read_slabinfo", attempt: || read("/proc/slabinfo") },
    Attempt { name: "read_thermal", attempt: || read(THERMAL) },
    Attempt { name: "read_timer_list", attempt: || read("/proc/timer_list") },
    Attempt { name: "read_tracing", attempt: || read("/sys/kernel/tracing") },
    Attempt { name: "read_vmallocinfo", attempt: || read("/proc/vmallocinfo") },
    Attempt { name: "read_zoneinfo", attempt: || read("/proc/zoneinfo") },
    Attempt { name: "engine_sockets", attempt: engine_sockets },
    Attempt { name: "devices_beyond", attempt: devices_beyond },
    Attempt { name: "mounts_beyond", attempt: mounts_beyond },
    Attempt { name: "variables_beyond", attempt: variables_beyond },
    Attempt { name: "files_inherited", attempt: files_inherited },
];

pub(crate) const WRITING: &[Attempt] = &[
    Attempt { name: "write_core_pattern", attempt: || open("/proc/sys/kernel/core_pattern") },
    Attempt { name: "write_modprobe", attempt: || open("/proc/sys/kernel/modprobe") },
    Attempt { name: "write_sysrq", attempt: || open("/proc/sys/kernel/sysrq") },
    Attempt { name: "write_sysrq_trigger", attempt: || open("/proc/sysrq-trigger") },
    Attempt { name: "write_ip_forward", attempt: || open("/proc/sys/net/ipv4/ip_forward") },
    Attempt { name: "write_binfmt", attempt: || open("/proc/sys/fs/binfmt_misc/register") },
    Attempt { name: "write_uevent_helper", attempt: || open("/sys/kernel/uevent_helper") },
    Attempt { name: "write_cgroup", attempt: write_cgroup },
    Attempt { name: "write_release_agent", attempt: write_release_agent },
    Attempt { name: "write_hosts", attempt: || open("/etc/hosts") },
    Attempt { name: "write_rootfs", attempt: || make("/canary-file") },
    Attempt { name: "write_dev", attempt: || make("/dev/canary-file") },
    Attempt { name: "write_tmp", attempt: || make("/tmp/canary-file") },
    Attempt { name: "exec_tmp", attempt: || execute("/tmp/canary-script") },
    Attempt { name: "exec_data", attempt: || execute("/data/canary-script") },
    Attempt { name: "exec_shm", attempt: || execute("/dev/shm/canary-script") },
];

const THERMAL: &str = "/sys/devices/system/cpu/cpu0/thermal_throttle";

/// Some bytes of a file, or some names of a directory.
fn read(path: &str) -> Tried {
    let some = || -> io::Result<bool> {
        if fs::metadata(path)?.is_dir() {
            return Ok(fs::read_dir(path)?.next().is_some());
        }
        // A file of news has none, perhaps; waiting for some would be no answer.
        let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        Ok(file.read(&mut [0; 64])? > 0)
    };
    match some() {
        Ok(true) => Tried::Done,
        Ok(false) => Tried::Empty,
        Err(error) => Tried::Refused(error),
    }
}

/// Opens a file whose words are gone for others once they are read, and does not read it.
fn open_to_read(path: &str) -> Tried {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).into()
}

/// Opens a file for writing, and writes nothing.
fn open(path: &str) -> Tried {
    OpenOptions::new().write(true).open(path).into()
}

/// A file of the container's own, which goes again at once.
fn make(path: &str) -> Tried {
    let made = fs::write(path, "canary");
    if made.is_ok() && fs::remove_file(path).is_err() {
        return Tried::Word("DONE_AND_LEFT");
    }
    made.into()
}

/// The limits that the container is under.
fn write_cgroup() -> Tried {
    first_that_is_there(&["/sys/fs/cgroup/pids/pids.max", "/sys/fs/cgroup/pids.max"])
}

fn write_release_agent() -> Tried {
    first_that_is_there(&[
        "/sys/fs/cgroup/memory/release_agent",
        "/sys/fs/cgroup/pids/release_agent",
        "/sys/fs/cgroup/release_agent",
    ])
}

fn first_that_is_there(paths: &[&str]) -> Tried {
    let there = paths.iter().find(|path| Path::new(path).exists());
    there.map_or(Tried::Word("ENOENT"), |path| open(path))
}

/// Whether a file written here can be executed: a script whose interpreter is the canary, which
/// takes no arguments and ends at once.
fn execute(path: &str) -> Tried {
    let run = || -> io::Result<()> {
        fs::write(path, "#!/canary\n")?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        let mut command = Command::new(path);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().map(drop)
    };
    let ran = run();
    let removed = fs::remove_file(path);
    if ran.is_ok() && removed.is_err() {
        return Tried::Word("DONE_AND_LEFT");
    }
    ran.into()
}

/// An engine's socket anywhere that one usually is.
fn engine_sockets() -> Tried {
    let places = [
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/docker.sock",
        "/run/containerd/containerd.sock",
        "/run/podman/podman.sock",
        "/run/crio/crio.sock",
        "/run/docker",
        "/var/lib/docker",
    ];
    Tried::counted(Ok(places.iter().filter(|place| Path::new(place).exists()).count() as u64))
}

/// Files in `/dev` that not every container has.
fn devices_beyond() -> Tried {
    const USUAL: [&str; 17] = [
        "console", "core", "fd", "full", "fuse", "mqueue", "net", "null", "ptmx", "pts", "random",
        "shm", "stderr", "stdin", "stdout", "tty", "urandom",
    ];
    let beyond = || -> io::Result<u64> {
        let mut count = 0;
        for entry in fs::read_dir("/dev")? {
            let name = entry?.file_name();
            count += u64::from(name != "zero" && !USUAL.iter().any(|usual| name == *usual));
        }
        Ok(count)
    };
    Tried::counted(beyond())
}

/// Mounts that a container of this image has no need of.
fn mounts_beyond() -> Tried {
    const KERNEL: [&str; 8] =
        ["cgroup", "cgroup2", "devpts", "mqueue", "overlay", "proc", "sysfs", "tmpfs"];
    const GIVEN: [&str; 5] =
        ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/sbin/docker-init", "/"];
    // Where users are remapped nobody may make these, and the machine's own are laid over them.
    const DEVICES: [&str; 6] =
        ["/dev/full", "/dev/null", "/dev/random", "/dev/tty", "/dev/urandom", "/dev/zero"];
    let beyond = fs::read_to_string("/proc/self/mounts").map(|mounts| {
        let beyond = mounts.lines().filter(|line| {
            let mut fields = line.split(' ').skip(1);
            let (target, kind) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
            // The kernel's own files are hidden by what is put over them.
            let hidden = target.starts_with("/proc/") || target.starts_with("/sys/");
            let known = GIVEN.contains(&target) || DEVICES.contains(&target);
            !hidden && !KERNEL.contains(&kind) && !known
        });
        beyond.count() as u64
    });
    Tried::counted(beyond)
}

/// Variables that neither the engine nor the image sets.
fn variables_beyond() -> Tried {
    const USUAL: [&str; 3] = ["HOME", "HOSTNAME", "PATH"];
    let beyond = std::env::vars_os().filter(|(name, _)| !USUAL.iter().any(|usual| name == *usual));
    Tried::counted(Ok(beyond.count() as u64))
}

/// Open files beyond the three streams, and beyond the two that an attempt takes: its pipe, and the
/// directory that is read for this.
fn files_inherited() -> Tried {
    let open = fs::read_dir("/proc/self/fd").map(|open| (open.count() as u64).saturating_sub(5));
    Tried::counted(open)
}
