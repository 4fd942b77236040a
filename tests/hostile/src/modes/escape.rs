//! Attacks on the walls: more rights than one was given, and a life after the end.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    net::{Ipv4Addr, UdpSocket},
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::{name_of, result_of};
use crate::{
    number, setting,
    sys::{self, Fork},
};

/// Who this process is: user ids and capabilities, as the kernel says.
pub(crate) fn identity() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kept =
        |line: &&str| ["Uid:", "CapPrm:", "CapEff:"].iter().any(|name| line.starts_with(name));
    status.lines().filter(kept).map(|line| line.replace('\t', " ")).collect::<Vec<_>>().join("; ")
}

/// The program with the set-uid bit.
pub(super) fn set_uid() -> String {
    gained("/suid")
}

/// The program with capabilities of its file.
pub(super) fn file_capability() -> String {
    gained("/capped")
}

/// Whether that program, which is this one once more, is somebody else.
fn gained(program: &str) -> String {
    match Command::new(program).arg("identity").env_clear().output() {
        Ok(output) => {
            let other = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            let own = identity();
            if other == own { "gained=nothing".to_owned() } else { format!("{own} | {other}") }
        }
        Err(error) => name_of(&error),
    }
}

/// A crowd that no signal ends, whose parents are gone and whose dead nobody buries.
pub(super) fn immortal() {
    for n in 0..20 {
        match sys::fork() {
            Ok(Fork::Child) => {
                sys::ignore_signals();
                sys::leave_session();
                // The second fork: the one in between ends, and is not waited for.
                match sys::fork() {
                    Ok(Fork::Child) => {
                        sys::ignore_signals();
                        loop {
                            thread::sleep(Duration::from_secs(1 + n));
                        }
                    }
                    _ => std::process::exit(0),
                }
            }
            Ok(Fork::Parent(_)) => {}
            Err(_) => break,
        }
    }
    sys::ignore_signals();
}

/// Kills everybody that it may, and ends with `HOSTILE_EXIT`.
pub(super) fn kill_all() -> u8 {
    // That there is nobody else is fine.
    let _ = sys::kill(-1, libc::SIGKILL);
    let _ = sys::kill(1, libc::SIGKILL);
    u8::try_from(number("HOSTILE_EXIT", 7)).unwrap_or(7)
}

/// What the platform told it: names of variables, the host's name, secrets, and how many of the marks
/// that `HOSTILE_MARKS` holds backwards (so that the search does not find itself) are anywhere in what
/// it may read about itself, its neighbours and its mounts.
pub(super) fn environment() -> String {
    let mut names: Vec<String> = std::env::vars_os()
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .filter(|name| !name.starts_with("HOSTILE_"))
        .collect();
    names.sort();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let secrets = fs::read_dir("/run/secrets").map_or(0, Iterator::count);
    let told = told();
    let there = |mark: &&str| {
        let mark: String = mark.chars().rev().collect();
        told.windows(mark.len()).any(|piece| piece == mark.as_bytes())
    };
    let marks = setting("HOSTILE_MARKS");
    let found = marks.split(',').filter(|mark| !mark.is_empty()).filter(there).count();
    format!("found={found} env={} host={} secrets={secrets}", names.join(","), host.trim())
}

/// All that a container may read of what others wrote about it.
fn told() -> Vec<u8> {
    let mut files: Vec<PathBuf> = [
        "/proc/self/mountinfo",
        "/proc/cmdline",
        "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/domainname",
        "/etc/hosts",
        "/etc/hostname",
        "/etc/resolv.conf",
    ]
    .map(PathBuf::from)
    .into();
    let inside = |path: &str| fs::read_dir(path).into_iter().flatten().flatten();
    for process in inside("/proc").map(|entry| entry.path()) {
        files.extend(["environ", "cmdline", "cgroup"].map(|name| process.join(name)));
    }
    files.extend(inside("/run/secrets").map(|entry| entry.path()));
    let mut told = Vec::new();
    for file in files {
        // What may not be read tells nothing.
        told.extend(fs::read(file).unwrap_or_default());
        told.push(b'\n');
    }
    told
}

/// The program of whoever looks after it, through the kernel's links to it: whether the first
/// process's and its own may be opened for writing, and whether the file that the engine mounts as the
/// init, and its own, may be changed (to the permissions that they have).
pub(super) fn own_program() -> String {
    let open = |path: &str| OpenOptions::new().write(true).open(path).map(drop);
    let change = |path: &str| {
        fs::metadata(path).and_then(|about| fs::set_permissions(path, about.permissions()))
    };
    let (first, own) = (open("/proc/1/exe"), open("/proc/self/exe"));
    let (init, mine) = (change("/sbin/docker-init"), change("/hostile"));
    let told = [("first", &first), ("own", &own), ("init", &init), ("mine", &mine)];
    told.map(|(name, result)| format!("{name}={}", result_of(result))).join(" ")
}

/// Where checks of its health say that they ran.
const CHECKED: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 9998);

/// What its image calls a check of its health: says that it ran.
pub(crate) fn check() -> io::Result<()> {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?.send_to(b"checked", CHECKED).map(drop)
}

/// How often somebody ran its check within three seconds.
pub(super) fn checked() -> String {
    let Ok(socket) = UdpSocket::bind(CHECKED) else { return "no port".to_owned() };
    let (mut checks, until) = (0, Instant::now() + Duration::from_secs(3));
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || socket.set_read_timeout(Some(left)).is_err() {
            return format!("checks={checks}");
        }
        checks += u32::from(socket.recv(&mut [0; 16]).is_ok());
    }
}

/// Last words that are meant for another reader: terminal sequences, a forged line of a log, text
/// that runs backwards, bytes that are no text.
pub(super) fn spoof_log() -> u8 {
    let words: [&[u8]; 6] = [
        b"\x1b[2J\x1b]0;owned\x07\x1b[31mplanted-escape\x1b[0m\n",
        b"ok\r\n2026-11-21T00:00:00Z ERROR portcall_worker: planted-line\n",
        "planted-\u{202e}bidi\u{2066} \u{9b}31m planted-c1\n".as_bytes(),
        b"\xff\xfe planted-bytes \x00\x08\x08\x7f\n",
        b"{\"state\":\"passed\",\"planted\":\"json\"}\n",
        b"<script>alert('planted-script')</script> =HYPERLINK(\"planted-formula\")\n",
    ];
    for word in words {
        let _ = io::stderr().write_all(word);
        let _ = io::stdout().write_all(word);
    }
    2
}
