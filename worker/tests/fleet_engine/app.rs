//! What runs in the containers of these tests: a static program, compiled by the tests
//! themselves, that serves on port 80 what it sees and what it is refused.

use std::{
    fmt::Write as _,
    fs,
    io::{Error, Read, Write},
    net::{TcpListener, TcpStream, ToSocketAddrs},
    time::Duration,
};

unsafe extern "C" {
    fn syscall(number: i64, ...) -> i64;
}

fn main() {
    // Some modes would harm the machine; they run only inside their image.
    if std::env::current_exe().ok().as_deref() != Some(std::path::Path::new("/app")) {
        eprintln!("this program runs only in its image");
        std::process::exit(99);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("serve") => serve(arguments.get(1).map_or("hello", String::as_str)),
        Some("report") => print!("{}{}", refused(), limits()),
        Some("exit") => {
            println!("first line");
            eprintln!("last words \u{1b}[31m");
            std::process::exit(3);
        }
        Some("chatter") => {
            for line in 0..40_000 {
                println!("line {line} of much");
            }
            println!("the end of it");
        }
        Some("memory") => {
            let mut held = Vec::new();
            loop {
                held.push(vec![1u8; 1 << 20]);
            }
        }
        Some("hold") => {
            let most = arguments.get(1).and_then(|most| most.parse().ok()).unwrap_or(0);
            println!("{}", hold(most));
            loop {
                std::thread::park();
            }
        }
        other => {
            eprintln!("unknown mode {other:?}");
            std::process::exit(64);
        }
    }
}

fn serve(name: &str) {
    let listener = TcpListener::bind("0.0.0.0:80").expect("port 80");
    for stream in listener.incoming().flatten() {
        let _ = answer(stream, name);
    }
}

fn answer(mut stream: TcpStream, name: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut request = [0; 4096];
    let length = stream.read(&mut request)?;
    let text = String::from_utf8_lossy(&request[..length]).into_owned();
    let path = text.split(' ').nth(1).unwrap_or("/").to_owned();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let body = match parts.as_slice() {
        ["peer", alias] => peer(alias),
        ["dial", address, port] => dial(&format!("{address}:{port}")),
        ["lookup", host] => lookup(host),
        ["refused"] => refused(),
        ["limits"] => limits(),
        ["write"] => write_files(),
        ["hold", most] => hold(most.parse().unwrap_or(0)).to_string(),
        _ => name.to_owned(),
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

fn peer(alias: &str) -> String {
    let ask = || -> std::io::Result<String> {
        let address = (alias, 80).to_socket_addrs()?.next().ok_or(Error::other("no address"))?;
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: peer\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.rsplit("\r\n").next().unwrap_or_default().to_owned())
    };
    ask().unwrap_or_else(|error| format!("error: {error}"))
}

fn dial(address: &str) -> String {
    let Ok(address) = address.parse() else { return "no address".into() };
    match TcpStream::connect_timeout(&address, Duration::from_millis(700)) {
        Ok(_) => "connected".into(),
        Err(error) => format!("error: {error}"),
    }
}

fn lookup(host: &str) -> String {
    match (host, 80).to_socket_addrs() {
        Ok(mut addresses) => format!("found {:?}", addresses.next()),
        Err(error) => format!("error: {error}"),
    }
}

/// Name and errno of each call that must be refused; 0 means that it was not.
fn refused() -> String {
    let zeros = [0u64; 32];
    let pointer = zeros.as_ptr();
    let calls: &[(&str, i64, [i64; 3])] = &[
        ("io_uring_setup", 425, [1, pointer as i64, 0]),
        ("ptrace", 101, [0, 0, 0]),
        ("socket_alg", 41, [38, 5, 0]),
        ("socket_packet", 41, [17, 3, 0]),
        ("socket_vsock", 41, [40, 1, 0]),
        ("socket_netlink_route", 41, [16, 3, 0]),
        ("socket_netlink_audit", 41, [16, 3, 9]),
        ("socket_raw", 41, [2, 3, 1]),
        ("socket_ping", 41, [2, 2, 1]),
        ("socket_inet", 41, [2, 1, 0]),
        ("clone3", 435, [pointer as i64, 88, 0]),
        ("unshare_user", 272, [0x1000_0000, 0, 0]),
        ("mount", 165, [0, 0, 0]),
        ("keyctl", 250, [0, -3, 0]),
        ("bpf", 321, [0, pointer as i64, 64]),
        ("userfaultfd", 323, [1, 0, 0]),
        ("memfd_secret", 447, [0, 0, 0]),
        ("perf_event_open", 298, [pointer as i64, 0, -1]),
        ("personality_no_random", 135, [0x004_0000, 0, 0]),
        ("chroot", 161, [c"/".as_ptr() as i64, 0, 0]),
        ("mq_open", 240, [c"/q".as_ptr() as i64, 0x42, 0]),
    ];
    let mut text = String::new();
    for (name, number, arguments) in calls {
        let [a, b, c] = *arguments;
        let errno = match unsafe { syscall(*number, a, b, c, 0i64, 0i64) } {
            -1 => Error::last_os_error().raw_os_error().unwrap_or(-1),
            _ => 0,
        };
        let _ = writeln!(text, "{name}={errno}");
    }
    text
}

fn limits() -> String {
    let mut text = String::new();
    for file in [
        "/proc/self/status",
        "/proc/self/limits",
        "/proc/1/cmdline",
        "/proc/self/mounts",
        "/proc/version",
    ] {
        let _ = writeln!(text, "== {file}\n{}", fs::read_to_string(file).unwrap_or_default());
    }
    for file in [
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/pids/pids.max",
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/pids.max",
        "/sys/fs/cgroup/cpu.max",
        "/proc/sys/net/ipv4/ip_unprivileged_port_start",
        "/proc/sys/net/ipv6/conf/eth0/disable_ipv6",
        "/proc/interrupts",
        "/proc/self/oom_score_adj",
        "/etc/hostname",
        "/etc/resolv.conf",
    ] {
        let value = fs::read_to_string(file).unwrap_or_else(|error| format!("error: {error}"));
        let value: String = value.trim().chars().take(200).collect();
        let _ = writeln!(text, "{file}={}", value.replace('\n', "|"));
    }
    text
}

/// How many inotify instances it was given, at most so many. They are held until it ends.
fn hold(most: u32) -> usize {
    const INOTIFY_INIT1: i64 = 294;
    (0..most).take_while(|_| unsafe { syscall(INOTIFY_INIT1, 0i64) } >= 0).count()
}

fn write_files() -> String {
    let mut text = String::new();
    for path in ["/written", "/tmp/written", "/run/written", "/data/written", "/proc/sys/kernel/x"]
    {
        let outcome = fs::write(path, "x").map_or_else(|e| format!("{e}"), |()| "ok".into());
        let _ = writeln!(text, "{path}={outcome}");
    }
    for path in [
        "/sys/fs/cgroup/pids/pids.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/pids.max",
        "/sys/fs/cgroup/memory.max",
    ] {
        let outcome = fs::OpenOptions::new().write(true).open(path);
        let outcome = outcome.and_then(|mut file| file.write_all(b"100000000000"));
        let outcome = outcome.map_or_else(|e| format!("{e}"), |()| "ok".into());
        let _ = writeln!(text, "{path}={outcome}");
    }
    let mut most = 0;
    while most < 5000 && fs::write(format!("/tmp/f{most}"), "").is_ok() {
        most += 1;
    }
    let big = fs::File::create("/dev/shm/big")
        .and_then(|mut file| (0..64).try_for_each(|_| file.write_all(&[0; 1 << 16])));
    let _ = writeln!(text, "tmp_files={most}\nshm_4_mib={}", big.is_ok());
    text
}
