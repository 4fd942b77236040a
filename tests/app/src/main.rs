//! One static program that is every small test image: the sample app that passes, and the
//! ones that must fail for a reason of their own.
//!
//! The mode comes from the first argument or from `APP_MODE`. Nothing here is hostile; the
//! worst that a mode does is to exit, to keep silent, to answer late, to log or to write a lot.
//!
//! | mode | what it does |
//! | --- | --- |
//! | `ok` | any path: 200 and the JSON of `APP_NAME` and `APP_VOTE` |
//! | `wrong-json` | the same with another vote |
//! | `not-json` | 200 and a page of HTML |
//! | `status-500`, `redirect` | that status |
//! | `slow` | answers after `APP_DELAY_MS` (8000) |
//! | `late-listen` | listens only after `APP_DELAY_MS` |
//! | `flip` | every second answer carries another vote |
//! | `turn` | another vote until the second `APP_TURN_AT` of the clock (since 1970), then `ok` |
//! | `port-8080`, `localhost` | listens where nobody asks |
//! | `silent` | never listens |
//! | `exit` | three log lines, then exit code `APP_EXIT` (1) |
//! | `fill` | writes `APP_FILL_MIB` (1) to its root, then as `late-listen`; only inside its image |
//! | `log-flood` | `ok`, while it logs without end |
//! | `peer` | asks `APP_PEER` by alias and counts in the Redis at `APP_REDIS` |
//! | `redis` | a Redis of four commands |
//! | `chosen` | logs `/answers/log`; any path: the bytes of the file of that name in `/answers` (`index` for `/`) |

mod http;
mod redis;

use std::{
    fs,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::Answer;

fn main() -> ExitCode {
    let app = App::from_environment();
    say(&format!("app: mode {} of {}", app.mode, app.name));
    match app.run() {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("app: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// What the environment asked for.
struct App {
    mode: String,
    name: String,
    vote: String,
    exit: u8,
    delay: Duration,
    turn_at: u64,
    fill_mib: u32,
    peer: String,
    redis: String,
    asked: AtomicU64,
}

impl App {
    fn from_environment() -> Self {
        let mode = std::env::args().nth(1).unwrap_or_else(|| setting("APP_MODE", "ok"));
        Self {
            mode,
            name: setting("APP_NAME", "Gordon"),
            vote: setting("APP_VOTE", "Cats"),
            exit: setting("APP_EXIT", "1").parse().unwrap_or(1),
            delay: Duration::from_millis(setting("APP_DELAY_MS", "8000").parse().unwrap_or(8000)),
            turn_at: setting("APP_TURN_AT", "0").parse().unwrap_or(0),
            fill_mib: setting("APP_FILL_MIB", "1").parse().unwrap_or(1),
            peer: setting("APP_PEER", "app"),
            redis: setting("APP_REDIS", "redis"),
            asked: AtomicU64::new(0),
        }
    }

    fn run(self) -> io::Result<ExitCode> {
        let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80));
        match self.mode.as_str() {
            "exit" => Ok(self.give_up()),
            "silent" => park(),
            "redis" => redis::serve(&TcpListener::bind((Ipv4Addr::UNSPECIFIED, 6379))?),
            "port-8080" => self.listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080))),
            "localhost" => self.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 80))),
            "late-listen" => {
                thread::sleep(self.delay);
                self.listen(everywhere)
            }
            "fill" => {
                fill(self.fill_mib)?;
                thread::sleep(self.delay);
                self.listen(everywhere)
            }
            "log-flood" => {
                thread::spawn(flood);
                self.listen(everywhere)
            }
            "ok" | "wrong-json" | "not-json" | "status-500" | "redirect" | "slow" | "flip"
            | "turn" | "peer" => self.listen(everywhere),
            "chosen" => {
                say(&fs::read_to_string("/answers/log").unwrap_or_default());
                http::serve_bytes(&TcpListener::bind(everywhere)?, |path| {
                    let name = path.trim_start_matches('/').replace(['/', '.'], "_");
                    let name = if name.is_empty() { "index" } else { &name };
                    fs::read(Path::new("/answers").join(name))
                })
            }
            // Where there are no containers, a port may be given: `listen:127.0.0.1:8000`.
            other => match other.strip_prefix("listen:").and_then(|text| text.parse().ok()) {
                Some(address) => self.listen(address),
                None => {
                    complain(&format!("app: there is no mode `{other}`"));
                    Ok(ExitCode::from(64))
                }
            },
        }
    }

    fn listen(self, address: SocketAddr) -> io::Result<ExitCode> {
        let listener = TcpListener::bind(address)?;
        say(&format!("app: listening on {}", listener.local_addr()?));
        let app = Arc::new(self);
        http::serve(&listener, move |_path| app.answer())
    }

    fn answer(&self) -> Answer {
        let nth = self.asked.fetch_add(1, Ordering::Relaxed);
        match self.mode.as_str() {
            "wrong-json" => Answer::json(config(&self.name, other(&self.vote))),
            "not-json" => Answer::html("<!doctype html><title>It works</title><h1>It works</h1>"),
            "status-500" => Answer::html("<h1>the database is gone</h1>").status(500),
            "redirect" => Answer::redirect("/elsewhere"),
            "slow" => {
                thread::sleep(self.delay);
                Answer::json(config(&self.name, &self.vote))
            }
            "flip" if nth % 2 == 1 => Answer::json(config(&self.name, other(&self.vote))),
            "turn" if now_s() < self.turn_at => Answer::json(config(&self.name, other(&self.vote))),
            "peer" => self.ask_around().unwrap_or_else(|error| {
                complain(&format!("app: {error}"));
                Answer::json(format!("{{\"error\":{}}}", quoted(&error.to_string()))).status(502)
            }),
            _ => Answer::json(config(&self.name, &self.vote)),
        }
    }

    /// The two-image case: the other image's answer, and a counter kept in Redis. The counter
    /// is set back to one first, so that the answer is the same each time.
    fn ask_around(&self) -> io::Result<Answer> {
        let peer = http::get(&self.peer, "/getconfig")?;
        let mut redis = redis::Client::connect(&self.redis)?;
        redis.set("visits", "0")?;
        let visits = redis.increment("visits")?;
        let kept = redis.get("visits")?;
        Ok(Answer::json(format!(
            "{{\"name\":{},\"vote\":{},\"peer\":{},\"visits\":{visits},\"kept\":{}}}",
            quoted(&self.name),
            quoted(&self.vote),
            peer.trim(),
            quoted(kept.as_deref().unwrap_or("")),
        )))
    }

    fn give_up(&self) -> ExitCode {
        for line in ["reading the configuration", "no database given", "giving up"] {
            complain(&format!("app: {line}"));
        }
        ExitCode::from(self.exit)
    }
}

/// The clock, in seconds since 1970.
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn config(name: &str, vote: &str) -> String {
    format!("{{\"name\":{},\"vote\":{}}}", quoted(name), quoted(vote))
}

fn other(vote: &str) -> &'static str {
    if vote == "Dogs" { "Cats" } else { "Dogs" }
}

/// A JSON string (RFC 8259 §7).
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn flood() {
    let line = "a line of log that nobody asked for ".repeat(8);
    loop {
        say(&line);
    }
}

/// Writes to the root file system, and to nobody's but its own image's.
fn fill(mib: u32) -> io::Result<()> {
    if std::env::current_exe()? != Path::new("/app") {
        return Err(io::Error::other("this mode runs only inside its image"));
    }
    let mut file = std::fs::File::create("/filled")?;
    let piece = vec![0x5a; 1024 * 1024];
    for _ in 0..mib {
        file.write_all(&piece)?;
    }
    Ok(())
}

fn park() -> ! {
    loop {
        thread::park();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this program is its own image; it has no settings file"
)]
fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// A line on stdout; a closed stdout is no reason to stop serving.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_quotes_stays_json() {
        assert_eq!(
            config("Go\"rd\\on\n", "Cats"),
            "{\"name\":\"Go\\\"rd\\\\on\\u000a\",\"vote\":\"Cats\"}"
        );
    }
}
