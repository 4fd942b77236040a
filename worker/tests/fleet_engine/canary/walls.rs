//! The walls as data: how each is taken away, and which rows must fail then.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, HostConfigCgroupnsModeEnum, IpamConfig,
    NetworkCreateRequest, ResourcesUlimits,
};
use portcall_worker::fleet::Profile;
use portcall_worker::fleet::Profile::{Ordinary, Strict};

use super::{capabilities::capabilities, lab::host};

/// One protection, and a run without it.
pub(crate) struct Wall {
    /// What is away.
    pub(crate) name: &'static str,
    /// Under which profile the run is.
    pub(crate) profile: Profile,
    /// How it is taken away.
    pub(crate) change: Change,
    /// What must come of it.
    pub(crate) then: Then,
}

/// What must come of a wall that is away.
pub(crate) enum Then {
    /// These rows fail; a space between them.
    Fail(&'static str),
    /// The canary refuses to run, and says nothing of this row or any other.
    NoReport(&'static str),
}

impl Then {
    /// The rows, one by one.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &'static str> {
        let (Self::Fail(rows) | Self::NoReport(rows)) = self;
        rows.split_whitespace()
    }
}

/// How a wall is taken away.
pub(crate) enum Change {
    /// From the request for the container.
    Container(fn(&mut ContainerCreateBody)),
    /// Likewise, with a folder of the machine's that the container is given.
    Folder(fn(&mut ContainerCreateBody, &str)),
    /// From the request for its network, behind the others of which nothing gets out.
    Network(fn(&mut NetworkCreateRequest), fn(&mut ContainerCreateBody)),
    /// Likewise, with names asked for at the machine's side of the network.
    Resolver(fn(&mut NetworkCreateRequest)),
    /// Every wall around the network; outside are lures, and no way any further.
    WayOut(fn(&mut NetworkCreateRequest)),
    /// The container has no network of its own.
    MachinesNetwork(fn(&mut ContainerCreateBody)),
}

use Change::{Container, Folder, MachinesNetwork, Network, Resolver, WayOut};

/// Every protection that a container can see.
pub(crate) const WALLS: &[Wall] = &[
    Wall {
        name: "seccomp",
        profile: Ordinary,
        change: Container(|body| security(body, "seccomp=", Some("seccomp=unconfined"))),
        then: Then::Fail(
            "af_netlink_audit af_netlink_xfrm af_vsock unshare_user clone_user clone3_user \
             ptrace process_vm_readv process_vm_writev pidfd_getfd kcmp personality \
             io_uring_setup perf_event_open userfaultfd memfd_secret keyctl add_key \
             request_key mq_open modify_ldt vmsplice move_pages sysfs call_32_bit \
             seccomp_mode",
        ),
    },
    Wall {
        name: "seccomp, strict",
        profile: Strict,
        change: Container(|body| security(body, "seccomp=", Some("seccomp=unconfined"))),
        then: Then::Fail("af_netlink_route io_uring_setup ptrace unshare_user seccomp_mode"),
    },
    Wall {
        name: "cap_drop",
        profile: Ordinary,
        change: Container(|body| host(body).cap_drop = None),
        then: Then::Fail(
            "cap_effective cap_permitted cap_bounding mknod_block mknod_memory raw_icmp \
             raw_icmp6",
        ),
    },
    Wall {
        name: "cap_drop, strict",
        profile: Strict,
        change: Container(|body| host(body).cap_drop = None),
        then: Then::Fail("cap_bounding"),
    },
    Wall {
        name: "cap_add",
        profile: Ordinary,
        change: Container(|body| host(body).cap_add = Some(capabilities())),
        then: Then::Fail(
            "cap_effective nice_first io_real_time read_kmsg add_address set_mac set_link",
        ),
    },
    Wall {
        name: "seccomp and capabilities",
        profile: Ordinary,
        change: Container(|body| {
            security(body, "seccomp=", Some("seccomp=unconfined"));
            host(body).cap_add = Some(capabilities());
        }),
        then: Then::Fail(
            "unshare_net unshare_mount unshare_pid unshare_ipc unshare_uts unshare_cgroup \
             setns mount_tmpfs mount_bind umount pivot_root chroot fsopen open_tree \
             mount_setattr sethostname setdomainname af_packet af_xdp capset_net_raw bpf \
             fanotify_init open_by_handle_at syslog reboot swapon swapoff acct quotactl \
             settimeofday clock_settime",
        ),
    },
    Wall {
        name: "no-new-privileges",
        profile: Strict,
        change: Container(|body| security(body, "no-new-privileges", None)),
        then: Then::Fail("no_new_privileges"),
    },
    Wall {
        name: "user",
        profile: Strict,
        change: Container(|body| body.user = None),
        then: Then::Fail("uid gid"),
    },
    Wall {
        name: "user and cap_drop",
        profile: Strict,
        change: Container(|body| {
            body.user = None;
            host(body).cap_drop = None;
        }),
        then: Then::Fail("cap_effective cap_permitted setuid_0 setgid_0 setgroups write_dev"),
    },
    Wall {
        name: "readonly_rootfs",
        profile: Strict,
        change: Container(|body| {
            body.user = None;
            host(body).readonly_rootfs = Some(false);
        }),
        then: Then::Fail("write_rootfs write_hosts"),
    },
    Wall {
        name: "masked_paths",
        profile: Ordinary,
        change: Container(|body| host(body).masked_paths = Some(vec![])),
        then: Then::Fail(
            "read_firmware read_interrupts read_keys read_kpagecgroup read_kpagecount \
             read_kpageflags read_pressure read_slabinfo read_timer_list read_vmallocinfo read_zoneinfo",
        ),
    },
    Wall {
        name: "readonly_paths",
        profile: Ordinary,
        change: Container(|body| host(body).readonly_paths = Some(vec![])),
        then: Then::Fail("write_core_pattern write_ip_forward"),
    },
    Wall {
        name: "ipc_mode",
        profile: Strict,
        change: Container(|body| host(body).ipc_mode = Some("host".to_owned())),
        then: Then::Fail("ns_ipc"),
    },
    Wall {
        name: "cgroupns_mode",
        profile: Strict,
        change: Container(|body| {
            host(body).cgroupns_mode = Some(HostConfigCgroupnsModeEnum::HOST);
        }),
        then: Then::Fail("ns_cgroup"),
    },
    Wall {
        name: "uts_mode",
        profile: Strict,
        change: Container(|body| {
            body.hostname = None;
            body.domainname = None;
            host(body).uts_mode = Some("host".to_owned());
        }),
        then: Then::Fail("ns_uts"),
    },
    Wall {
        // The canary sees that it is not alone, and does nothing.
        name: "pid_mode",
        profile: Strict,
        change: Container(|body| host(body).pid_mode = Some("host".to_owned())),
        then: Then::NoReport("ns_pid"),
    },
    Wall {
        name: "init",
        profile: Strict,
        change: Container(|body| host(body).init = Some(false)),
        then: Then::Fail("init"),
    },
    Wall {
        name: "privileged",
        profile: Ordinary,
        change: Container(|body| {
            let host = host(body);
            (host.privileged, host.cap_drop, host.cap_add) = (Some(true), None, None);
        }),
        then: Then::Fail("devices_beyond cap_effective write_cgroup"),
    },
    Wall {
        // One that says something to whoever may ask it.
        name: "devices",
        profile: Ordinary,
        change: Container(|body| {
            let host = host(body);
            host.cap_add = Some(capabilities());
            host.devices = Some(vec![DeviceMapping {
                path_on_host: Some("/dev/kmsg".to_owned()),
                path_in_container: Some("/dev/kmsg".to_owned()),
                cgroup_permissions: Some("r".to_owned()),
            }]);
        }),
        then: Then::Fail("devices_beyond read_dev_kmsg"),
    },
    Wall {
        name: "binds",
        profile: Strict,
        change: Folder(|body, folder| {
            host(body).binds = Some(vec![format!("{folder}:/run/docker:ro")]);
        }),
        then: Then::Fail("mounts_beyond engine_sockets"),
    },
    Wall {
        name: "env",
        profile: Strict,
        change: Container(|body| body.env = Some(vec!["CONTROL=1".to_owned()])),
        then: Then::Fail("variables_beyond"),
    },
    Wall {
        name: "tmpfs on /tmp: size",
        profile: Strict,
        change: Container(|body| tmpfs(body, "/tmp", "size=16m", "size=256m")),
        then: Then::Fail("tmp_bytes"),
    },
    Wall {
        name: "tmpfs on /tmp: nr_inodes",
        profile: Strict,
        change: Container(|body| tmpfs(body, "/tmp", "nr_inodes=1024", "nr_inodes=0")),
        then: Then::Fail("tmp_inodes"),
    },
    Wall {
        name: "tmpfs on /tmp: noexec",
        profile: Strict,
        change: Container(|body| tmpfs(body, "/tmp", "noexec", "exec")),
        then: Then::Fail("exec_tmp"),
    },
    Wall {
        name: "tmpfs on /run",
        profile: Strict,
        change: Container(|body| without_tmpfs(body, "/run")),
        then: Then::Fail("run_bytes run_inodes"),
    },
    Wall {
        name: "tmpfs on volumes",
        profile: Ordinary,
        change: Container(|body| without_tmpfs(body, "/data")),
        then: Then::Fail("mounts_beyond data_bytes data_inodes"),
    },
    Wall {
        name: "tmpfs on volumes: noexec",
        profile: Strict,
        change: Container(|body| tmpfs(body, "/data", "noexec", "exec")),
        then: Then::Fail("exec_data"),
    },
    Wall {
        name: "shm_size",
        profile: Strict,
        change: Container(|body| host(body).shm_size = None),
        then: Then::Fail("shm_bytes"),
    },
    Wall {
        // An engine mounts it so that nothing in it is executed.
        name: "noexec on /dev/shm",
        profile: Strict,
        change: Container(|body| {
            let mounts = host(body).tmpfs.get_or_insert_default();
            mounts.insert("/dev/shm".to_owned(), "rw,exec,nosuid,nodev,mode=1777".to_owned());
        }),
        then: Then::Fail("exec_shm"),
    },
    Wall {
        name: "pids_limit",
        profile: Strict,
        change: Container(|body| host(body).pids_limit = None),
        then: Then::Fail("processes threads"),
    },
    Wall {
        name: "memory",
        profile: Strict,
        change: Container(|body| {
            let host = host(body);
            (host.memory, host.memory_swap, host.memory_swappiness) = (None, None, None);
        }),
        then: Then::Fail("memory_mib swap_mib"),
    },
    Wall {
        name: "memory_swap",
        profile: Strict,
        change: Container(|body| host(body).memory_swap = Some(-1)),
        then: Then::Fail("swap_mib"),
    },
    Wall {
        name: "nano_cpus",
        profile: Strict,
        change: Container(|body| host(body).nano_cpus = None),
        then: Then::Fail("cpu_permille"),
    },
    Wall {
        name: "oom_score_adj",
        profile: Strict,
        change: Container(|body| host(body).oom_score_adj = None),
        then: Then::Fail("oom_score"),
    },
    Wall {
        name: "ulimit core",
        profile: Strict,
        change: Container(|body| ulimit(body, "core", None)),
        then: Then::Fail("limit_core raise_core"),
    },
    Wall {
        name: "ulimit locks",
        profile: Strict,
        change: Container(|body| ulimit(body, "locks", None)),
        then: Then::Fail("limit_locks"),
    },
    Wall {
        name: "ulimit memlock",
        profile: Strict,
        change: Container(|body| ulimit(body, "memlock", Some(64 << 10))),
        then: Then::Fail("limit_locked lock_memory"),
    },
    Wall {
        name: "ulimit msgqueue",
        profile: Strict,
        change: Container(|body| ulimit(body, "msgqueue", None)),
        then: Then::Fail("limit_queues"),
    },
    Wall {
        name: "ulimit nofile",
        profile: Strict,
        change: Container(|body| ulimit(body, "nofile", None)),
        then: Then::Fail("limit_files files_open"),
    },
    Wall {
        name: "ulimit sigpending",
        profile: Strict,
        change: Container(|body| ulimit(body, "sigpending", None)),
        then: Then::Fail("limit_signals signals_pending"),
    },
    Wall {
        name: "sysctl for port 80",
        profile: Strict,
        change: Container(|body| {
            sysctl(body, "net.ipv4.ip_unprivileged_port_start", Some("1024"));
        }),
        then: Then::Fail("ports_from bind_80"),
    },
    Wall {
        name: "sysctl for ping",
        profile: Strict,
        change: Container(|body| sysctl(body, "net.ipv4.ping_group_range", Some("0 2147483647"))),
        then: Then::Fail("ping_socket"),
    },
    Wall {
        name: "sysctl for IPv6",
        profile: Strict,
        change: Container(|body| sysctl(body, "net.ipv6.conf.all.disable_ipv6", Some("0"))),
        then: Then::Fail("ipv6_disabled bind_ipv6_loopback"),
    },
    Wall {
        name: "gateway",
        profile: Strict,
        change: Network(|network| network.options = None, |_| ()),
        then: Then::Fail("gateway"),
    },
    Wall {
        name: "dns",
        profile: Strict,
        change: Resolver(|network| network.options = None),
        then: Then::Fail("resolve_name"),
    },
    Wall {
        name: "internal",
        profile: Strict,
        change: WayOut(|network| (network.internal, network.options) = (Some(false), None)),
        then: Then::Fail("metadata egress_tcp egress_udp egress_private"),
    },
    Wall {
        name: "network without IPv6",
        profile: Strict,
        change: Network(with_ipv6, |body| {
            sysctl(body, "net.ipv6.conf.all.disable_ipv6", Some("0"));
        }),
        then: Then::Fail("addresses_ipv6 multicast_ipv6 metadata_ipv6 bind_ipv6_loopback"),
    },
    Wall {
        name: "network of its own",
        profile: Strict,
        change: MachinesNetwork(|body| {
            let host = host(body);
            (host.sysctls, host.dns, host.dns_search, host.dns_options) = (None, None, None, None);
            body.networking_config = None;
        }),
        then: Then::Fail("interfaces sockets_abstract"),
    },
];

fn security(body: &mut ContainerCreateBody, option: &str, instead: Option<&str>) {
    let options = host(body).security_opt.get_or_insert_default();
    options.retain(|given| !given.starts_with(option));
    options.extend(instead.map(str::to_owned));
}

/// One word of a tmpfs's options becomes another.
fn tmpfs(body: &mut ContainerCreateBody, path: &str, word: &str, instead: &str) {
    let mounts: &mut HashMap<String, String> = host(body).tmpfs.get_or_insert_default();
    if let Some(options) = mounts.get_mut(path) {
        assert!(options.contains(word), "{path} is mounted with {options}");
        *options = options.replacen(word, instead, 1);
    }
}

fn without_tmpfs(body: &mut ContainerCreateBody, path: &str) {
    let mount = host(body).tmpfs.get_or_insert_default().remove(path);
    assert!(mount.is_some(), "there is none on {path}");
}

fn ulimit(body: &mut ContainerCreateBody, name: &str, instead: Option<i64>) {
    let limits = host(body).ulimits.get_or_insert_default();
    limits.retain(|limit| limit.name.as_deref() != Some(name));
    limits.extend(instead.map(|most| ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(most),
        hard: Some(most),
    }));
}

fn sysctl(body: &mut ContainerCreateBody, name: &str, instead: Option<&str>) {
    let sysctls = host(body).sysctls.get_or_insert_default();
    sysctls.remove(name);
    sysctls.extend(instead.map(|value| (name.to_owned(), value.to_owned())));
}

fn with_ipv6(network: &mut NetworkCreateRequest) {
    network.enable_ipv6 = Some(true);
    let block = rand::random::<u16>();
    let configs = network.ipam.get_or_insert_default().config.get_or_insert_default();
    configs.push(IpamConfig {
        subnet: Some(format!("fd00:db8:{block:x}::/64")),
        ..IpamConfig::default()
    });
}
