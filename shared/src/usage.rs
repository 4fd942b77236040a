//! The command line of a process that takes no arguments but `--help` and `--version`.

use std::process::ExitCode;

use crate::settings::EXIT_USAGE;

/// What the arguments ask for, if it is not to run: the help, the version, or to be told that there
/// is no such argument.
#[must_use]
pub fn asked(help: &str) -> Option<ExitCode> {
    match std::env::args().nth(1).as_deref() {
        None => None,
        Some("--help" | "-h") => Some(told(help, 0)),
        Some("--version" | "-V") => Some(told(env!("CARGO_PKG_VERSION"), 0)),
        Some(other) => Some(told(&format!("unknown argument `{other}`\n\n{help}"), EXIT_USAGE)),
    }
}

/// Says something before there is a log, and gives the exit code back.
#[must_use]
pub fn told(text: &str, code: u8) -> ExitCode {
    let text = text.trim_end();
    #[expect(clippy::print_stdout, clippy::print_stderr, reason = "there is no log yet")]
    match code {
        0 => println!("{text}"),
        _ => eprintln!("{text}"),
    }
    ExitCode::from(code)
}
