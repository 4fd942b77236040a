//! The system calls that a container may make: one allow-list (`infra/nodes/seccomp.json`), used
//! as it is for `ordinary` images and, without its netlink rule, for `strict` ones and our own
//! prober. The same file can be a node's default profile, for what does not go through us.
//!
//! It is narrower than the engine's own: no io_uring, ptrace, personality tricks, POSIX queues,
//! secret memory or keys; sockets only of the families UNIX, INET and INET6; no 32-bit and x32
//! calls. `clone3` answers ENOSYS, so that every libc falls back to `clone`, whose flags a filter
//! can look at.

use std::sync::LazyLock;

use serde_json::Value;

use super::limits::Profile;

const ALLOW_LIST: &str = include_str!("../../../infra/nodes/seccomp.json");

/// Rules whose comment begins like this are left out of the strict profile.
const ORDINARY_ONLY: &str = "ordinary only";

static ORDINARY: LazyLock<String> = LazyLock::new(|| compact(|_| true));
static STRICT: LazyLock<String> = LazyLock::new(|| {
    compact(|rule| !rule["comment"].as_str().unwrap_or_default().starts_with(ORDINARY_ONLY))
});

/// The profile as the engine takes it: JSON in one line.
#[must_use]
pub fn profile(profile: Profile) -> &'static str {
    match profile {
        Profile::Ordinary => &ORDINARY,
        Profile::Strict => &STRICT,
    }
}

fn compact(keep: impl Fn(&Value) -> bool) -> String {
    let mut list: Value = serde_json::from_str(ALLOW_LIST).expect("the file is tested to be JSON");
    if let Some(rules) = list["syscalls"].as_array_mut() {
        rules.retain(&keep);
        for rule in rules {
            if let Some(rule) = rule.as_object_mut() {
                rule.remove("comment");
            }
        }
    }
    list.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(of: Profile) -> Vec<Value> {
        let list: Value = serde_json::from_str(profile(of)).unwrap();
        assert_eq!(list["defaultAction"], "SCMP_ACT_ERRNO");
        for arch in list["archMap"].as_array().unwrap() {
            assert_eq!(arch["subArchitectures"], serde_json::json!([]));
        }
        list["syscalls"].as_array().unwrap().clone()
    }

    fn names(rules: &[Value]) -> Vec<&str> {
        rules
            .iter()
            .flat_map(|r| r["names"].as_array().unwrap())
            .filter_map(Value::as_str)
            .collect()
    }

    #[test]
    fn what_helps_an_escape_is_not_on_the_list() {
        for of in [Profile::Ordinary, Profile::Strict] {
            let rules = rules(of);
            let names = names(&rules);
            for refused in [
                "io_uring_setup",
                "io_uring_enter",
                "io_uring_register",
                "ptrace",
                "process_vm_readv",
                "process_vm_writev",
                "pidfd_getfd",
                "kcmp",
                "userfaultfd",
                "mq_open",
                "mq_unlink",
                "memfd_secret",
                "add_key",
                "request_key",
                "keyctl",
                "bpf",
                "mount",
                "umount2",
                "unshare",
                "setns",
                "perf_event_open",
                "socketcall",
                "init_module",
                "kexec_load",
                "open_by_handle_at",
                "chroot",
                "pivot_root",
                "modify_ldt",
                "vmsplice",
                "syslog",
                "fsopen",
                "open_tree",
                "move_mount",
            ] {
                assert!(!names.contains(&refused), "{refused} is allowed");
            }
        }
    }

    #[test]
    fn sockets_and_clone_are_allowed_by_argument_only() {
        for (of, socket_rules) in [(Profile::Ordinary, 4), (Profile::Strict, 3)] {
            let rules = rules(of);
            let named = |name: &str| -> Vec<&Value> {
                rules.iter().filter(|r| r["names"] == serde_json::json!([name])).collect()
            };
            assert_eq!(named("socket").len(), socket_rules);
            for name in ["socket", "socketpair", "clone", "personality"] {
                assert_eq!(
                    named(name).len(),
                    names(&rules).iter().filter(|n| **n == name).count(),
                    "{name} stands in a rule without arguments"
                );
                assert!(named(name).iter().all(|r| !r["args"].as_array().unwrap().is_empty()));
            }
            assert_eq!(named("clone3")[0]["errnoRet"], 38);
            assert_eq!(named("clone3")[0]["action"], "SCMP_ACT_ERRNO");
        }
    }
}
