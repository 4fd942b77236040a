//! Attacks that take what is finite: processes, memory, disk, descriptors, time.

use std::{
    fs::{self, File, OpenOptions},
    hint,
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{name_of, result_of};
use crate::{
    number, setting,
    sys::{self, Fork},
};

const MIB: usize = 1024 * 1024;
/// No attack goes on beyond this, whatever is open to it.
const MOST_MIB: usize = 2048;
const MOST_THINGS: usize = 300_000;

/// Forks without end, in every child too, and never listens.
pub(super) fn fork_bomb() -> u8 {
    loop {
        if sys::fork().is_err() {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// How many children it can have.
pub(super) fn forks() -> String {
    let mut children = Vec::new();
    while children.len() < 4096 {
        match sys::fork() {
            Ok(Fork::Child) => sys::pause(),
            Ok(Fork::Parent(child)) => children.push(child),
            Err(_) => break,
        }
    }
    for child in &children {
        // It may have ended.
        let _ = sys::kill(*child, libc::SIGKILL);
        sys::wait(*child);
    }
    format!("forks={}", children.len())
}

/// As many threads as it gets, which stay.
pub(super) fn threads() -> String {
    let mut count = 0;
    while count < 4096 {
        let thread = thread::Builder::new().stack_size(16 * 1024);
        if thread
            .spawn(|| {
                loop {
                    thread::park()
                }
            })
            .is_err()
        {
            break;
        }
        count += 1;
    }
    format!("threads={count}")
}

/// Touches `HOSTILE_MIB` of memory (all there is), page by page.
pub(super) fn memory() -> String {
    let most = number("HOSTILE_MIB", MOST_MIB);
    let mut kept = Vec::with_capacity(most);
    for _ in 0..most {
        kept.push(hint::black_box(vec![0x5a_u8; MIB]));
    }
    format!("mem={}", kept.len())
}

/// Fills the folder `HOSTILE_PATH` with one file, up to `HOSTILE_MIB`.
pub(super) fn fill() -> String {
    let path = folder().join("filled");
    match File::create(&path) {
        Ok(file) => pour(file, number("HOSTILE_MIB", MOST_MIB)),
        Err(error) => format!("{} 0", name_of(&error)),
    }
}

/// The same with a file that has no name any more, which nobody finds by looking.
pub(super) fn fill_unlinked() -> String {
    let path = folder().join("nameless");
    match File::create(&path).and_then(|file| fs::remove_file(&path).map(|()| file)) {
        Ok(file) => pour(file, number("HOSTILE_MIB", MOST_MIB)),
        Err(error) => format!("{} 0", name_of(&error)),
    }
}

/// The same below a tree that is deeper than a path may be long: whoever walks it by paths fails.
pub(super) fn fill_deep() -> String {
    let step = "d".repeat(200);
    let deep = std::env::set_current_dir(folder()).and_then(|()| {
        for _ in 0..40 {
            fs::create_dir(&step)?;
            std::env::set_current_dir(&step)?;
        }
        File::create("filled")
    });
    match deep {
        Ok(file) => pour(file, number("HOSTILE_MIB", MOST_MIB)),
        Err(error) => format!("{} 0", name_of(&error)),
    }
}

/// Makes empty files in the folder `HOSTILE_PATH`, up to `HOSTILE_COUNT`.
pub(super) fn inodes() -> String {
    let (folder, most) = (folder(), number("HOSTILE_COUNT", MOST_THINGS));
    for count in 0..most {
        if let Err(error) = File::create(folder.join(count.to_string())) {
            return format!("{} {count}", name_of(&error));
        }
    }
    format!("DONE {most}")
}

fn folder() -> PathBuf {
    PathBuf::from(setting("HOSTILE_PATH"))
}

/// Writes up to so many MiB; how it ended, and how many MiB there are.
fn pour(mut file: File, most: usize) -> String {
    let piece = vec![0x5a; 64 * 1024];
    let mut written = 0;
    while written < most * MIB {
        match file.write(&piece) {
            Ok(bytes) => written += bytes,
            Err(error) => {
                // Held open while it answers, so that what it took stays taken.
                std::mem::forget(file);
                return format!("{} {}", name_of(&error), written / MIB);
            }
        }
    }
    std::mem::forget(file);
    format!("DONE {}", written / MIB)
}

/// Logs as fast as it can.
pub(super) fn log_flood() {
    let line = [b'x'; 16 * 1024];
    loop {
        // A full pipe is where it is held back.
        let _ = io::stdout().write_all(&line);
    }
}

/// Sixteen threads that compute nothing.
pub(super) fn spin() {
    let spin = || loop {
        hint::spin_loop()
    };
    for _ in 0..15 {
        if thread::Builder::new().stack_size(16 * 1024).spawn(spin).is_err() {
            break;
        }
    }
    spin();
}

/// How many files it can have open.
pub(super) fn descriptors() -> String {
    let mut open = Vec::new();
    while let Ok(file) = File::open("/hostile") {
        open.push(file);
    }
    format!("fds={}", open.len())
}

/// How many inotify instances it gets, which it keeps: they are counted for each user.
pub(super) fn inotify() -> String {
    let mut kept = Vec::new();
    while let Ok(instance) = rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC) {
        kept.push(instance);
    }
    let count = kept.len();
    std::mem::forget(kept);
    format!("inotify={count}")
}

/// Touches `HOSTILE_MIB` of System V memory, which outlives a process.
pub(super) fn shared_memory() -> String {
    let most = number("HOSTILE_MIB", MOST_MIB);
    for count in 0..most {
        if let Err(error) = sys::hoard_shared_memory(MIB) {
            return format!("{} {count}", name_of(&error));
        }
    }
    format!("DONE {most}")
}

/// System V semaphores and queues, as many as there may be, and a POSIX queue.
pub(super) fn ipc() -> String {
    let count = |hoard: fn() -> io::Result<()>| (0..40_000).take_while(|_| hoard().is_ok()).count();
    let (semaphores, queues) = (count(sys::hoard_semaphores), count(sys::hoard_queue));
    let posix = sys::open_queue();
    format!("semaphores={semaphores} queues={queues} mq_open={}", result_of(&posix))
}

/// The kernel's keyrings, which no namespace separates.
pub(super) fn keys() -> String {
    let payload = [0x5a; 1024];
    let (add, join) = (sys::add_key(&payload), sys::join_keyring());
    format!("add_key={} keyctl={}", result_of(&add), result_of(&join))
}

/// Reads its own program from the disk again and again, past the page cache.
pub(super) fn read_storm() {
    let mut buffer = vec![0; 2 * MIB];
    let aligned = buffer.as_ptr().align_offset(4096);
    loop {
        let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open("/hostile");
        let Ok(mut file) = file else { return };
        while matches!(file.read(&mut buffer[aligned..aligned + MIB]), Ok(read) if read > 0) {}
    }
}

/// How fast it can read its own program from the disk, past the page cache: at most `HOSTILE_MIB` a
/// second, or how much.
pub(super) fn read_speed() -> String {
    let most = number("HOSTILE_MIB", MOST_MIB);
    let mut buffer = vec![0; 2 * MIB];
    let aligned = buffer.as_ptr().align_offset(4096);
    let (began, mut bytes) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(5) {
        let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open("/hostile");
        let mut file = match file {
            Ok(file) => file,
            Err(error) => return name_of(&error),
        };
        loop {
            match file.read(&mut buffer[aligned..aligned + MIB]) {
                Ok(0) => break,
                Ok(read) => bytes += read,
                Err(error) => return name_of(&error),
            }
        }
    }
    let rate = (bytes as f64 / MIB as f64 / began.elapsed().as_secs_f64()).ceil() as usize;
    if rate <= most { format!("at most {most} MiB/s") } else { format!("{rate} MiB/s") }
}

/// Children that crash one after the other, each of which would leave a core.
pub(super) fn crash_loop() -> u8 {
    loop {
        match sys::fork() {
            Ok(Fork::Child) => sys::crash(),
            Ok(Fork::Parent(child)) => sys::wait(child),
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
        if Path::new("/core").exists() {
            return 3;
        }
    }
}

/// Ends at once with `HOSTILE_EXIT`.
pub(super) fn exit() -> u8 {
    u8::try_from(number("HOSTILE_EXIT", 0)).unwrap_or(1)
}

/// Waits for ever.
pub(super) fn nothing() -> u8 {
    sys::pause()
}
