//! One static program that is every hostile image: each mode is an attack.
//!
//! The mode comes from `HOSTILE_MODE` or from the first argument; what a mode needs beside it comes
//! from further variables, which its own words name. **Attack modes run only inside their image**:
//! where this program does not lie at `/hostile`, it ends with code 99 and a sentence. A mode that
//! answers on port 80 says in JSON what it achieved (`outcome`), so that the ordinary grading brings
//! the evidence back and the rule of an event is the assertion.

mod http;
mod modes;
mod sys;

use std::{
    io::{self, Write},
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::ExitCode,
    thread,
    time::Duration,
};

use modes::{Act, escape};

/// Where the program lies in its image, and nowhere else.
const PLACE: &str = "/hostile";
/// The exit code of an attack outside its image.
const REFUSED: u8 = 99;
/// There is no such mode.
const WRONG_USE: u8 = 64;

fn main() -> ExitCode {
    let mode = match setting("HOSTILE_MODE") {
        mode if mode.is_empty() => std::env::args().nth(1).unwrap_or_default(),
        mode => mode,
    };
    // The two that harm nobody.
    match std::env::args().nth(1).as_deref() {
        Some("--list") => return list(),
        Some("identity") => return say(&escape::identity()),
        _ => {}
    }
    if !in_its_image() {
        complain(&format!("hostile: attacks run only as {PLACE} inside their image"));
        return ExitCode::from(REFUSED);
    }
    if std::env::args().nth(1).as_deref() == Some("check") {
        return escape::check().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    match run(&mode) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(&format!("hostile: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The safety catch: nothing here can be started by accident from a checkout.
fn in_its_image() -> bool {
    std::env::current_exe().is_ok_and(|exe| exe == Path::new(PLACE))
}

fn run(mode: &str) -> io::Result<u8> {
    if let Some(answer) = mode.strip_prefix("answer:") {
        portcall_hostile::answers::serve(answer, port()?)?;
        return Ok(0);
    }
    let Some(act) = modes::ALL.iter().find(|(name, _)| *name == mode).map(|(_, act)| act) else {
        complain(&format!("hostile: there is no mode `{mode}`"));
        return Ok(WRONG_USE);
    };
    match act {
        Act::Instead(attack) => Ok(attack()),
        Act::Before(attack) => {
            let outcome = attack();
            // So that whoever looks now and then has looked.
            thread::sleep(Duration::from_millis(number("HOSTILE_WAIT_MS", 0) as u64));
            http::answer(&port()?, &outcome)
        }
        Act::Beside(attack) => {
            let port = port()?;
            thread::Builder::new().stack_size(64 * 1024).spawn(attack)?;
            http::answer(&port, "served")
        }
    }
}

fn port() -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80))
}

fn list() -> ExitCode {
    for (name, _) in modes::ALL {
        say(name);
    }
    ExitCode::SUCCESS
}

/// A variable of the image, or nothing.
#[expect(
    clippy::disallowed_methods,
    reason = "this program is its own image; it has no settings file"
)]
pub(crate) fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// A number among them.
pub(crate) fn number(name: &str, default: usize) -> usize {
    setting(name).parse().unwrap_or(default)
}

/// A line on stdout; that nobody reads it is no reason to stop.
fn say(line: &str) -> ExitCode {
    let _ = writeln!(io::stdout(), "{line}");
    ExitCode::SUCCESS
}

pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
