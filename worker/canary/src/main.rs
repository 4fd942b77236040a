//! The canary: tries what must not work in its container, and tells what became of it.

use std::process::ExitCode;

use portcall_canary::{station, tell, try_everything};

fn main() -> ExitCode {
    if let Err(why) = station::check() {
        eprintln!("canary: {why}");
        return ExitCode::from(station::REFUSED);
    }
    let report = try_everything().to_json();
    // For whoever sees its output, and not its network.
    println!("{report}");
    match tell::serve(&report) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("canary: cannot serve its report: {error}");
            // It stays: who started it may want to look at it, and will remove it.
            station::stay()
        }
    }
}
