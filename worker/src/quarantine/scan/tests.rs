//! Archives of honest packers and of others, and what is said of each.

use proptest::prelude::*;

use super::*;

mod accounts;

/// As long as one is.
const CAPABILITY: &str = "twenty bytes of caps";
const LIMITS: ScanLimits = ScanLimits { entries: 100, entry_bytes: 1 << 20 };

/// An entry as no honest packer would write it.
#[derive(Clone, Debug)]
struct Raw {
    block: [u8; BLOCK],
    content: Vec<u8>,
}

fn raw(flag: u8, name: impl AsRef<[u8]>) -> Raw {
    let mut block = [0; BLOCK];
    let name = name.as_ref();
    block[..name.len()].copy_from_slice(name);
    block[100..124].copy_from_slice(b"0000644\x000000000\x000000000\x00");
    block[124..148].copy_from_slice(b"00000000000\x0000000000000\x00");
    block[156] = flag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    Raw { block, content: Vec::new() }
}

impl Raw {
    fn field(mut self, at: usize, bytes: &[u8]) -> Self {
        self.block[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn link(self, target: &str) -> Self {
        self.field(157, target.as_bytes())
    }

    fn size(self, size: u64) -> Self {
        self.field(124, format!("{size:011o}\0").as_bytes())
    }

    fn device(self, major: u32, minor: u32) -> Self {
        self.field(329, format!("{major:07o}\0{minor:07o}\0").as_bytes())
    }

    fn content(mut self, content: &[u8]) -> Self {
        self.content = content.to_vec();
        self.size(content.len() as u64)
    }

    fn bytes(mut self) -> Vec<u8> {
        self.block[148..156].copy_from_slice(b"        ");
        let sum: u32 = self.block.iter().map(|byte| u32::from(*byte)).sum();
        self.block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let padding = self.content.len().next_multiple_of(BLOCK) - self.content.len();
        [&self.block[..], &self.content, &vec![0; padding]].concat()
    }
}

fn file(name: impl AsRef<[u8]>) -> Raw {
    raw(b'0', name)
}

fn dir(name: &str) -> Raw {
    raw(b'5', name)
}

fn symlink(name: &str, to: &str) -> Raw {
    raw(b'2', name).link(to)
}

fn hardlink(name: &str, to: &str) -> Raw {
    raw(b'1', name).link(to)
}

fn device(name: &str, major: u32, minor: u32) -> Raw {
    raw(b'3', name).device(major, minor)
}

fn records(records: &[(&str, &str)]) -> Vec<u8> {
    let mut text = String::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let digits = (1..6).find(|d| (rest + d).to_string().len() == *d).unwrap();
        text.push_str(&format!("{} {key}={value}\n", rest + digits));
    }
    text.into_bytes()
}

fn pax(said: &[(&str, &str)]) -> Raw {
    raw(b'x', "PaxHeaders/x").content(&records(said))
}

/// An archive of these entries, with its end.
fn archive(entries: &[Raw]) -> Vec<u8> {
    let mut bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.clone().bytes()).collect();
    bytes.extend([0; 2 * BLOCK]);
    bytes
}

fn scan_in(bytes: &[u8], limits: ScanLimits, cuts: &[usize]) -> Result<u64, TarFault> {
    let mut scanner = Scanner::new(limits);
    let (mut rest, mut cuts) = (bytes, cuts.iter().cycle());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((*cuts.next().unwrap_or(&rest.len())).min(rest.len()));
        scanner.feed(piece)?;
        rest = after;
    }
    let entries = scanner.entries();
    scanner.finish().map(|()| entries)
}

fn scan(entries: &[Raw]) -> Result<u64, TarFault> {
    scan_in(&archive(entries), LIMITS, &[])
}

#[track_caller]
fn taken(entries: &[Raw]) {
    let count = scan(entries);
    assert!(count.as_ref().is_ok_and(|count| *count >= entries.len() as u64), "{count:?}");
}

#[track_caller]
fn refused_for(entries: &[Raw], reason: &str) {
    match scan(entries) {
        Err(TarFault::Refused { why, .. }) if why.contains(reason) => {}
        other => panic!("{other:?} instead of {reason}"),
    }
}

#[track_caller]
fn damaged_in(bytes: &[u8], reason: &str) {
    match scan_in(bytes, LIMITS, &[]) {
        Err(TarFault::Damaged { why }) if why.contains(reason) => {}
        other => panic!("{other:?} instead of {reason}"),
    }
}

#[test]
fn what_honest_packers_write_is_taken() {
    let mut builder = tar::Builder::new(Vec::new());
    let deep = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    for name in ["./bin/sh", "usr/lib/x", "/absolute", deep.as_str()] {
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        header.set_mode(0o4755);
        builder.append_data(&mut header, name.trim_start_matches('/'), &b"hello"[..]).unwrap();
    }
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "usr/sh", format!("../{}", "x".repeat(200))).unwrap();
    assert_eq!(
        scan_in(&builder.into_inner().unwrap(), LIMITS, &[]),
        Ok(11),
        "seven, and bin, usr, usr/lib, d…"
    );

    taken(&[dir("./"), dir("bin/"), file("bin/a"), hardlink("bin/b", "bin/a")]);
    taken(&[file("/x"), hardlink("y", "/x"), hardlink("z", "./y")]);
    taken(&[symlink("bin", "usr/bin"), dir("usr/bin/"), file("usr/bin/a")]);
    taken(&[symlink("a", "../../../../etc/passwd"), symlink("b", "/proc/self/fd/1")]);
    taken(&[symlink("x", "y"), hardlink("z", "x")]);
    taken(&[file("twice").content(b"one"), file("twice").content(b"two")]);
    taken(&[symlink("a", "b"), dir("a/"), file("a/x")]);
    taken(&[file("etc/.wh.passwd"), file("etc/.wh..wh..opq"), file(".wh.x"), file("x")]);
    let capability =
        [("SCHILY.xattr.security.capability", CAPABILITY), ("mtime", "1.5"), ("path", "p")];
    taken(&[pax(&capability), file("su").field(100, b"0004755\0")]);
    taken(&[raw(b'g', "g").content(&records(&[("comment", "abc")])), file("a")]);
    taken(&[raw(0, "old/"), raw(0, "old/file").field(257, &[0; 8])]);
    taken(&[file(vec![b'p'; 90]).field(345, &[b'q'; 155])]);
}

#[test]
fn an_archive_may_lack_its_end_or_have_more_of_it() {
    let one = file("a").content(b"1").bytes();
    for zeros in [0, 1, 511, 512, 513, 1024, 1536, 10_240] {
        let bytes = [one.clone(), vec![0; zeros]].concat();
        let whole = zeros % BLOCK == 0 || zeros > BLOCK;
        assert_eq!(scan_in(&bytes, LIMITS, &[]).is_ok(), whole, "{zeros}");
    }
    assert_eq!(scan_in(&[], LIMITS, &[]), Ok(0));
}

#[test]
fn names_that_lead_out_are_refused() {
    for name in ["../etc/cron.d/x", "a/../../x", "..", "a/..", "/../x", "./a/b/../c"] {
        refused_for(&[file(name)], "`..`");
        refused_for(&[pax(&[("path", name)]), file("a")], "`..`");
        refused_for(&[raw(b'L', "L").content(name.as_bytes()), file("a")], "`..`");
        for kind in [b'x', b'g', b'L', b'K'] {
            refused_for(&[raw(kind, name), file("a")], "`..`");
        }
        refused_for(&[file("a"), hardlink("b", name)], "`..`");
    }
    refused_for(&[file("."), file("a")], "the root");
    refused_for(&[symlink("/", "x")], "the root");
    refused_for(&[file("")], "empty path");
    refused_for(&[pax(&[("path", "a\0b")]), file("a")], "NUL");
    taken(&[file("..a"), file("a.."), file("...")]);
}

#[test]
fn paths_through_what_the_archive_brings_are_refused() {
    refused_for(&[symlink("a", "/etc"), file("a/passwd")], "symbolic link");
    refused_for(&[symlink("a", "/etc"), file("./a//b/c")], "symbolic link");
    refused_for(&[symlink("a", "/dev"), symlink("a/null", "/x")], "symbolic link");
    refused_for(&[symlink("a", "/etc"), file("a/.wh.passwd")], "symbolic link");
    refused_for(&[symlink("a", "/etc"), file("a/.wh..wh..opq")], "symbolic link");
    refused_for(&[file("a"), file("a/b")], "something else");
    refused_for(&[symlink("s", "/"), hardlink("h", "s"), file("h/x")], "symbolic link");
    refused_for(&[dir("a"), file("a/x"), symlink("a", "/etc")], "replace a directory");
}

#[test]
fn hard_links_stay_in_their_layer() {
    refused_for(&[hardlink("a", "/etc/shadow")], "not in its layer");
    refused_for(&[hardlink("a", "a")], "itself");
    refused_for(&[file("a"), hardlink("a", "./a")], "itself");
    refused_for(&[dir("a"), hardlink("b", "a")], "directory");
    refused_for(&[hardlink("b", "a"), file("a")], "not in its layer");
    refused_for(&[device("dev/null", 1, 3), hardlink("x", "dev/null")], "mounts");
    refused_for(&[file("a"), hardlink("dev/null", "a")], "mounts its own");
    refused_for(&[file("a"), raw(b'1', "b")], "empty path");
}

/// An engine opens `/etc/passwd` of every container that it starts, and waits at a pipe.
#[test]
fn pipes_are_refused() {
    refused_for(&[raw(b'6', "etc/passwd")], "a pipe");
    refused_for(&[raw(b'6', "x")], "a pipe");
}

#[test]
fn what_lies_under_the_mounts_is_what_packers_leave_there() {
    let honest = [
        dir("dev/"),
        dir("dev/pts"),
        dir("proc"),
        dir("sys"),
        device("dev/null", 1, 3),
        file("dev/console"),
        symlink("dev/fd", "/proc/self/fd"),
        symlink("dev/stdin", "/proc/self/fd/0"),
        symlink("dev/ptmx", "pts/ptmx"),
        symlink("dev/core", "/proc/kcore"),
        file("dev/.wh.x"),
        file("proc/.wh..wh..opq"),
    ];
    taken(&honest);
    for bait in [
        symlink("dev/null", "/proc/sys/kernel/core_pattern"),
        symlink("dev/pts/0", "/proc/sysrq-trigger"),
        symlink("dev/console", "/etc/passwd"),
        symlink("dev/stdin", "/etc/passwd"),
        symlink("dev/pts/stdin", "/proc/self/fd/0"),
        symlink("dev", "/etc"),
        symlink("proc", "/tmp"),
        symlink("sys", "dev"),
        file("proc"),
        file("proc/x"),
        file("sys/x"),
        symlink("proc/self", "1"),
        symlink("./dev//null", "x"),
        file("dev/x").content(b"1"),
        device("dev/mem", 1, 1),
        device("dev/urandom", 1, 9),
        device("dev/console", 5, 1),
        device("proc/null", 1, 3),
        raw(b'4', "dev/sda").device(8, 0),
        raw(b'6', "dev/fifo"),
    ] {
        let name = text(&bait.block[..100]);
        refused_for(std::slice::from_ref(&bait), "mounts its own");
        let mut hidden = bait;
        hidden.block[..100].fill(0);
        let innocent = hidden.field(0, b"innocent");
        refused_for(&[pax(&[("path", &name)]), innocent], "mounts its own");
    }
    refused_for(&[device("x/null", 1, 3)], "device");
    refused_for(&[raw(b'4', "x/sda").device(8, 0)], "device");
    refused_for(&[device("whiteout", 0, 0)], "device");
    taken(&[file("device"), file("proc2"), file("var/dev/x").content(b"1")]);
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(header::text(field)).into_owned()
}

#[test]
fn whiteouts_name_what_they_take_away() {
    for name in [".wh.", "a/.wh..", "a/.wh...", ".wh..wh.opq", ".wh..wh.aufs", ".wh..wh.plnk/x"] {
        let why = if name.ends_with("/x") { "taken away" } else { "no name" };
        refused_for(&[file(name)], why);
    }
    refused_for(&[file(".wh.a").content(b"x")], "not an empty file");
    refused_for(&[symlink(".wh.a", "/etc")], "not an empty file");
    refused_for(&[dir(".wh.a")], "not an empty file");
    refused_for(&[dir("a"), file("a/.wh.x/y")], "taken away");
    refused_for(&[file("a/x"), file("a/.wh.x")], "the same layer");
    refused_for(&[file("a/x"), file(".wh.a")], "the same layer");
    refused_for(&[file(".wh.a"), file("./.wh.a")], "twice");
    refused_for(&[file(".wh.a"), file("a/x")], "taken away");
    refused_for(&[file(".wh.a"), hardlink("b", "a")], "not in its layer");
    taken(&[file(".wh.a"), dir("a"), file("a/x")]);
}

#[test]
fn lengths_have_two_sides() {
    let part = |n: usize| "n".repeat(n);
    let path = |n: usize| format!("{}{}", "dir/".repeat(n / 4), part(n % 4));
    let long = |name: &str| [raw(b'L', "L").content(format!("{name}\0").as_bytes()), file("a")];
    taken(&long(&part(MAX_PART)));
    refused_for(&long(&part(MAX_PART + 1)), "name is too long");
    let wide = |n: usize| format!("{}{}", format!("{}/", part(199)).repeat(n / 200), part(n % 200));
    taken(&long(&wide(MAX_PATH)));
    refused_for(&long(&wide(MAX_PATH + 1)), "path is too long");
    let deepest = format!("{}f", "d/".repeat(MAX_DEPTH - 1));
    let deepest = archive(&[raw(b'L', "L").content(deepest.as_bytes()), file("a")]);
    let roomy = ScanLimits { entries: 1000, ..LIMITS };
    assert_eq!(scan_in(&deepest, roomy, &[]), Ok(2 + MAX_DEPTH as u64 - 1));
    let deeper = format!("{}f", "d/".repeat(MAX_DEPTH));
    refused_for(&[raw(b'L', "L").content(deeper.as_bytes()), file("a")], "too many parts");
    taken(&[pax(&[("linkpath", &path(MAX_PATH))]), symlink("a", "b")]);
    refused_for(&[pax(&[("linkpath", &path(MAX_PATH + 1))]), symlink("a", "b")], "to nothing");
    refused_for(&[raw(b'2', "a")], "to nothing");
}

#[test]
fn extension_headers_are_bounded_before_they_are_read() {
    let all = ScanLimits { entry_bytes: u64::MAX, ..LIMITS };
    for (flag, most) in [(b'x', MAX_EXTENSION), (b'g', MAX_EXTENSION), (b'L', 7800), (b'K', 7800)] {
        let mut scanner = Scanner::new(all);
        assert_eq!(scanner.feed(&raw(flag, "h").size(most).bytes()), Ok(()));
        let mut scanner = Scanner::new(all);
        let fault = scanner.feed(&raw(flag, "h").size(most + 1).bytes());
        assert!(matches!(fault, Err(TarFault::Refused { .. })), "{fault:?}");
        let mut scanner = Scanner::new(all);
        assert!(scanner.feed(&raw(flag, "h").size(1 << 30).bytes()).is_err());
    }
    refused_for(&[pax(&[("path", "a")]), pax(&[("path", "b")]), file("c")], "contradict");
    let long = raw(b'L', "L").content(b"name");
    refused_for(&[long.clone(), long.clone(), file("c")], "contradict");
    refused_for(&[long.clone(), pax(&[("path", "b")]), file("c")], "contradict");
    refused_for(&[pax(&[]), raw(b'g', "g"), file("c")], "contradict");
    refused_for(&[raw(b'g', "g").content(&records(&[("path", "x")])), file("a")], "speaks for all");
    damaged_in(&archive(&[long]), "followed by nothing");
    damaged_in(&archive(&[raw(b'x', "x").content(b"garbage"), file("a")]), "not one");
    taken(&[raw(b'L', "L").content(b"name"), pax(&[("mtime", "1")]), file("c")]);
}

#[test]
fn what_grows_out_of_nothing_is_refused() {
    refused_for(&[raw(b'S', "a")], "sparse");
    for key in ["GNU.sparse.major", "GNU.sparse.map", "GNU.sparse.realsize"] {
        refused_for(&[pax(&[(key, "1")]), file("a")], "sparse");
    }
    let redirect = [("SCHILY.xattr.trusted.overlay.redirect", "/x")];
    refused_for(&[pax(&redirect), dir("a")], "trusted");
    let opaque = [("SCHILY.xattr.trusted.overlay.opaque", "y")];
    refused_for(&[pax(&opaque), dir("a")], "trusted");
    for length in [0, 11, 13, 19, 21, 25] {
        let value = "x".repeat(length);
        let bad = [("SCHILY.xattr.security.capability", value.as_str())];
        refused_for(&[pax(&bad), file("a")], "no capability");
    }
    for length in [12, 20, 24] {
        let value = "x".repeat(length);
        taken(&[pax(&[("SCHILY.xattr.security.capability", &value)]), file("a")]);
    }
    taken(&[pax(&[("SCHILY.xattr.user.x", &"x".repeat(2048))]), file("a")]);
    refused_for(&[pax(&[("SCHILY.xattr.user.x", &"x".repeat(2049))]), file("a")], "longer than");
    refused_for(&[pax(&[("uname", "a\0b")]), file("a")], "NUL");
    for flag in [b'7', b'M', b'V', b'D', b'A', 0xff] {
        refused_for(&[raw(flag, "a")], "of a kind");
    }
    for kind in [b'1', b'2', b'3', b'5', b'6'] {
        refused_for(&[raw(kind, "a").link("b").content(b"x")], "yet has a size");
    }
    refused_for(&[raw(0, "a/").content(b"x")], "yet has a size");
    refused_for(&[file("a/")], "name of a directory");
}

#[test]
fn sizes_have_two_sides() {
    let most = LIMITS.entry_bytes;
    taken(&[file("a").content(&vec![0; usize::try_from(most).unwrap()])]);
    for huge in [
        file("a").size(most + 1),
        file("a").field(124, &[0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
    ] {
        assert!(matches!(scan(&[huge]), Err(TarFault::TooLarge { .. })));
    }
    let huge = [pax(&[("size", "9223372036854775807")]), file("a")];
    assert!(matches!(scan(&huge), Err(TarFault::TooLarge { .. })));
    damaged_in(&archive(&[file("a").field(124, &[0xff; 12])]), "less than nothing");
    damaged_in(&archive(&[file("a").field(124, b"-0000000001\0")]), "not one");
    damaged_in(&archive(&[file("a").field(124, &[0xbf; 12])]), "too large");
    damaged_in(&archive(&[pax(&[("size", "-1")]), file("a")]), "size is not one");
    // The one in the extension holds, as engines read it.
    let both = [pax(&[("size", "3")]), file("a").content(b"abc").size(2000)];
    taken(&both);
}

#[test]
fn users_that_cannot_be_are_refused() {
    taken(&[file("a").field(108, b"\x80\x00\x00\x00\x7f\xff\xff\xff")]);
    refused_for(&[file("a").field(108, b"\x80\x00\x00\x00\x80\x00\x00\x00")], "no user");
    refused_for(&[file("a").field(116, &[0xff; 8])], "no user");
    taken(&[pax(&[("uid", "2147483647")]), file("a")]);
    refused_for(&[pax(&[("uid", "2147483648")]), file("a")], "no user");
}

#[test]
fn entries_are_counted() {
    let many: Vec<Raw> = (0..100).map(|n| file(format!("f{n}"))).collect();
    taken(&many);
    let more: Vec<Raw> = many.into_iter().chain([file("x")]).collect();
    assert_eq!(scan(&more), Err(TarFault::TooMany { limit: 100 }));
    let globals: Vec<Raw> = (0..101).map(|_| raw(b'g', "g")).collect();
    assert_eq!(scan(&globals), Err(TarFault::TooMany { limit: 100 }));
    assert_eq!(scan_in(&archive(&more), ScanLimits { entries: 101, ..LIMITS }, &[]), Ok(101));
}

/// An engine makes every directory on the way to an entry.
#[test]
fn directories_that_nobody_names_are_counted() {
    assert_eq!(scan(&[file("a/b/c"), file("a/b/d"), dir("a/"), file("x")]), Ok(6));
    assert_eq!(scan(&[file("etc/.wh.passwd")]), Ok(2));
    let deep = |n: usize| file(format!("{n}/{}", "d/".repeat(9) + "f"));
    let many: Vec<Raw> = (0..9).map(deep).collect();
    assert_eq!(scan(&many), Ok(9 * 11), "each brings ten directories and itself");
    let more: Vec<Raw> = many.into_iter().chain([file("a/b")]).collect();
    assert_eq!(scan(&more), Err(TarFault::TooMany { limit: 100 }));
    assert_eq!(scan_in(&archive(&more), ScanLimits { entries: 101, ..LIMITS }, &[]), Ok(101));
}

#[test]
fn damage_is_told_from_tricks() {
    let good = archive(&[file("a").content(b"hello")]);
    for cut in [1, 511, 512, 513, 1023] {
        damaged_in(&good[..cut], "too early");
    }
    let mut sum = good.clone();
    sum[0] ^= 1;
    damaged_in(&sum, "sum is wrong");
    damaged_in(&[good.clone(), vec![1]].concat(), "follows its end");
    damaged_in(&[good.clone(), good.clone()].concat(), "follows its end");
    let one_zero = [file("a").bytes(), vec![0; BLOCK], file("b").bytes()].concat();
    damaged_in(&one_zero, "lone zero block");
    damaged_in(b"<html>not a layer</html>".repeat(100).as_slice(), "not one");
    let mixed = file("a").field(257, b"ustar  \0").field(345, b"prefix");
    damaged_in(&archive(&[mixed]), "mixes two forms");
}

#[test]
fn a_fault_stays() {
    let mut scanner = Scanner::new(LIMITS);
    let fault = scanner.feed(&file("../x").bytes()).unwrap_err();
    assert_eq!(scanner.feed(&[0; BLOCK]), Err(fault.clone()));
    assert_eq!(scanner.finish(), Err(fault));
}

#[test]
fn a_refused_name_is_shown_without_tricks() {
    let fault = scan(&[file(b"../\x1b[31m`\xff\n/x")]).unwrap_err();
    let TarFault::Refused { name, .. } = &fault else { panic!("{fault:?}") };
    assert!(!name.contains(['\u{1b}', '\n', '`']), "{name:?}");
    let long = raw(b'L', "L").content(&vec![b'x'; 7000]);
    let TarFault::Refused { name, .. } = scan(&[long, file("a")]).unwrap_err() else { panic!() };
    assert!(name.len() <= 200);
}

fn any_entry() -> impl Strategy<Value = Raw> {
    let names = ["a", "b", "a/b", "dev/null", "../x", ".wh.a", "/c", "d/", "proc", "./"];
    let flags = b"\x0001234567xgLKS";
    (prop::sample::select(names.to_vec()), prop::sample::select(flags.to_vec()), 0..1500_usize)
        .prop_map(|(name, flag, size)| match flag {
            b'x' | b'g' => raw(flag, name).content(&records(&[("path", name)])),
            b'0' | 0 => raw(flag, name).content(&vec![7; size]),
            b'L' | b'K' => raw(flag, name).content(name.as_bytes()),
            _ => raw(flag, name).link("a"),
        })
}

proptest! {
    #[test]
    fn pieces_make_no_difference(
        entries in prop::collection::vec(any_entry(), 0..8),
        damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        cuts in prop::collection::vec(1_usize..1100, 1..6),
    ) {
        let mut bytes = archive(&entries);
        if let Some((at, byte)) = damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let whole = scan_in(&bytes, LIMITS, &[]);
        prop_assert_eq!(&scan_in(&bytes, LIMITS, &cuts), &whole);
        prop_assert_eq!(&scan_in(&bytes, LIMITS, &[1]), &whole);
    }

    #[test]
    fn anything_is_read_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..3000),
        flag in any::<u8>(),
        field in 0_usize..512,
    ) {
        let _ = scan_in(&bytes, LIMITS, &[]);
        let mut entry = raw(flag, "a").content(&bytes[..bytes.len().min(600)]);
        let room = (BLOCK - field).min(bytes.len()).min(20);
        entry.block[field..field + room].copy_from_slice(&bytes[..room]);
        let _ = scan_in(&archive(&[entry, file("b")]), LIMITS, &[]);
    }

    /// What is taken unpacks by a reader of its own to the same names.
    #[test]
    fn another_reader_finds_the_same_entries(entries in prop::collection::vec(any_entry(), 0..8)) {
        let bytes = archive(&entries);
        if let Ok(count) = scan_in(&bytes, LIMITS, &[]) {
            let mut other = tar::Archive::new(bytes.as_slice());
            let found = other.entries().unwrap().map(|entry| {
                let entry = entry.unwrap();
                assert!(!entry.path_bytes().split(|b| *b == b'/').any(|part| part == b".."));
            });
            prop_assert!(found.count() as u64 <= count);
        }
    }
}
