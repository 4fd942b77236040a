//! What an engine reads whole before it starts anything: `/etc/passwd` and `/etc/group`.

use super::*;

const ROOMY: ScanLimits = ScanLimits { entries: 100, entry_bytes: 60 << 20 };

fn sized(name: &str, bytes: u64) -> Raw {
    file(name).content(&vec![b'\n'; usize::try_from(bytes).unwrap()])
}

fn roomy(entries: &[Raw]) -> Result<u64, TarFault> {
    scan_in(&archive(entries), ROOMY, &[])
}

#[track_caller]
fn too_large(entries: &[Raw], name: &str) {
    match roomy(entries) {
        Err(TarFault::Refused { name: told, why }) if why.contains("1 MiB") => {
            assert_eq!(told, name);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn accounts_have_a_limit_with_two_sides() {
    assert_eq!(MAX_ACCOUNTS, 1024 * 1024, "which the words name");
    for name in [
        "etc/passwd",
        "./etc/passwd",
        "/etc/passwd",
        "etc//passwd",
        "etc/./passwd",
        "etc/group",
        "usr/etc/group",
        "nix/store/x-fake-nss/etc/passwd",
    ] {
        assert!(roomy(&[sized(name, MAX_ACCOUNTS)]).is_ok(), "{name}");
        too_large(&[sized(name, MAX_ACCOUNTS + 1)], name);
        let renamed = [pax(&[("path", name)]), sized("innocent", MAX_ACCOUNTS)];
        assert!(roomy(&renamed).is_ok(), "{name}");
        too_large(&[pax(&[("path", name)]), sized("innocent", MAX_ACCOUNTS + 1)], name);
        let long = raw(b'L', "L").content(format!("{name}\0").as_bytes());
        too_large(&[long, sized("innocent", MAX_ACCOUNTS + 1)], name);
        // The size that an extension says is the one that holds.
        let larger = [pax(&[("size", "1048577")]), sized(name, 1)];
        too_large(&larger, name);
        too_large(&[raw(0, name).content(&vec![b'\n'; 1024 * 1024 + 1])], name);
    }
    let split = sized("passwd", MAX_ACCOUNTS + 1).field(345, b"etc");
    too_large(&[split], "etc/passwd");
    too_large(&[file("etc/passwd"), sized("etc/passwd", MAX_ACCOUNTS + 1)], "etc/passwd");
    too_large(&[file("etc/.wh.group"), sized("etc/passwd", MAX_ACCOUNTS + 1)], "etc/passwd");
}

#[test]
fn what_only_looks_like_accounts_has_no_such_limit() {
    for name in
        ["passwd", "etc/passwd-", "etc/shadow", "etc/passwd/x", "usr/bin/passwd", "xetc/group"]
    {
        assert!(roomy(&[sized(name, MAX_ACCOUNTS + 1)]).is_ok(), "{name}");
    }
    taken(&[file("etc/.wh.passwd"), file("etc/.wh.group")]);
    taken(&[file(".wh.etc")]);
    taken(&[dir("etc/passwd"), dir("etc/group/")]);
}

/// Each layer is scanned by itself: a link that leads to another layer must lead to what was bounded
/// there.
#[test]
fn links_to_accounts_lead_only_to_accounts() {
    taken(&[symlink("etc", "usr/etc"), symlink("usr/etc", "../nix/store/x/etc/")]);
    taken(&[symlink("etc/passwd", "/nix/store/x-fake-nss/etc/passwd")]);
    taken(&[symlink("etc/group", "../usr/./etc//group")]);
    taken(&[file("usr/etc/passwd"), hardlink("etc/passwd", "usr/etc/passwd")]);
    for target in ["/big", "passwd", "../usr/passwd", "../etc/group", "../etc/passwd/..", "/"] {
        refused_for(&[symlink("etc/passwd", target)], "not called so");
        refused_for(&[symlink("usr/etc/passwd", target)], "not called so");
        refused_for(
            &[pax(&[("path", "etc/passwd"), ("linkpath", target)]), symlink("x", "y")],
            "not called so",
        );
    }
    for target in ["/big", "/", "usr/etc/..", "usr/etcetera", "etc/passwd"] {
        refused_for(&[symlink("etc", target)], "not called so");
        refused_for(&[symlink("./usr/etc", target)], "not called so");
    }
    refused_for(&[file("big"), hardlink("etc/group", "big")], "not called so");
    refused_for(&[symlink("big", "/"), hardlink("etc", "big")], "not called so");
    // What those names may be elsewhere.
    taken(&[symlink("usr/bin/passwd", "/bin/bbsuid"), symlink("x/group", "/y")]);
    taken(&[symlink("etc/mtab", "/proc/mounts"), symlink("etc/passwd-", "/x")]);
}

#[test]
fn accounts_are_no_devices() {
    refused_for(&[raw(b'6', "etc/passwd")], "a pipe");
    refused_for(&[device("etc/group", 5, 0)], "device");
}
