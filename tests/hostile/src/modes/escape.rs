//! Attacks on the walls: more rights than one was given, and a life after the end.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    process::Command,
    thread,
    time::Duration,
};

use super::{name_of, result_of};
use crate::{
    number,
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

/// What the platform told it: names of variables, the host's name, secrets, mounts of the host's.
pub(super) fn environment() -> String {
    let mut names: Vec<String> = std::env::vars_os()
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .filter(|name| !name.starts_with("HOSTILE_"))
        .collect();
    names.sort();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let secrets = fs::read_dir("/run/secrets").map_or(0, Iterator::count);
    format!("env={} host={} secrets={secrets}", names.join(","), host.trim())
}

/// The program of whoever looks after it, through the kernel's links to it: a handle of the first
/// process's program, to be written to.
pub(super) fn own_program() -> String {
    let try_open = |path: &str| {
        OpenOptions::new().write(true).custom_flags(libc::O_TRUNC).open(path).map(drop)
    };
    let (first, own) = (try_open("/proc/1/exe"), try_open("/proc/self/exe"));
    match (first, own) {
        (Err(_), Err(_)) => "written=0".to_owned(),
        (first, own) => format!("first={} own={}", result_of(&first), result_of(&own)),
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
