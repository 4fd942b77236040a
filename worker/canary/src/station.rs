//! Where the canary may run: as the first process of a container, from the place that it has in its
//! own image, and nowhere else.

use std::{fs, path::Path};

/// The exit code of a canary that refuses to run.
pub const REFUSED: u8 = 99;
/// Where it lies in its image.
const PLACE: &str = "/canary";
/// The names of what an engine puts before a container's own program.
const INITS: [&str; 3] = ["docker-init", "tini", "catatonit"];

/// Whether this is the place.
///
/// # Errors
/// Why it is not, in one sentence.
pub fn check() -> Result<(), String> {
    let exe = fs::read_link("/proc/self/exe").map_err(|error| error.to_string())?;
    if exe != Path::new(PLACE) {
        return Err("it runs only in its image".to_owned());
    }
    if std::env::args_os().len() > 1 {
        return Err("it takes no arguments".to_owned());
    }
    if std::process::id() != 1 && !is_child_of_init() {
        return Err("it runs only as the program of a container".to_owned());
    }
    Ok(())
}

fn is_child_of_init() -> bool {
    let first = fs::read_to_string("/proc/1/comm").unwrap_or_default();
    rustix::process::getppid().is_some_and(rustix::process::Pid::is_init)
        && INITS.contains(&first.trim())
}

/// Whether the kernel that answers here is gVisor's, by the name that it gives itself.
pub(crate) fn is_gvisor() -> bool {
    let name = rustix::system::uname();
    name.release().to_bytes() == b"4.4.0"
        && name.version().to_bytes() == b"#1 SMP Sun Jan 10 15:06:54 PST 2016"
}

/// Waits until it is killed.
pub fn stay() -> ! {
    loop {
        std::thread::park();
    }
}
