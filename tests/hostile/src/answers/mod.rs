//! Answers that a hostile web server gives, each under a name, to be served by the program in its
//! image on port 80 and by tests on loopback.
//!
//! ```text
//!  ROWS ── Row { id, mode, what, expect } ── serve(mode, listener) ──► at most 32 connections
//! ```
//!
//! What must come of a row is given for an event whose only check is [`CHECK`], with the default
//! limits: connect 1 s, head 3 s and 16 KiB with 64 fields, whole answer 5 s, body 64 KiB, JSON of
//! 32 levels with strings of 4 KiB, each question asked twice. Every answer that does not say
//! otherwise is `{"ok":true}`, so that nothing but the row's own fault can fail it.
//!
//! Only the standard library and plain sockets: one thread for a connection, 32 at most, none
//! longer than half a minute.

mod bodies;
mod framing;
mod head;
mod json;
mod play;
mod slow;
pub mod strings;

use std::{
    io,
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use play::Step;

/// The check that the expectations are for, as it stands in an event's file.
pub const CHECK: &str = "[[checks]]\nname = \"answer\"\nget = \"/\"\n\
                         json = [{ path = \"$.ok\", equals = true }]\n";

/// What a good server answers.
pub const GOOD: &str = r#"{"ok":true}"#;

/// The most connections that are served at once; the next waits unaccepted.
pub const AT_ONCE: usize = 32;

/// One hostile answer.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The row of the catalogue that it belongs to; several may share one.
    pub id: &'static str,
    /// Its name, for [`serve`]. No two rows have the same.
    pub mode: &'static str,
    /// What it does, in a few words.
    pub what: &'static str,
    /// What must come of it.
    pub expect: Expect,
    play: Play,
}

/// What must come of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// It holds.
    Passed,
    /// It fails for this reason.
    Failed(&'static str),
}

impl Expect {
    /// `passed` or the stable code of the reason.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(code) => code,
        }
    }
}

/// How an answer is made.
#[derive(Debug, Clone, Copy)]
enum Play {
    /// These bytes, then a close in good order.
    Says(&'static [u8]),
    /// The same, made when they are needed.
    Makes(fn() -> Vec<u8>),
    /// A good head and this body.
    Body(&'static [u8]),
    /// A good head and a body that is made when it is needed.
    MakesBody(fn() -> Vec<u8>),
    /// Steps once the request was read; they may depend on which request it is, from 0.
    Steps(fn(u64) -> Vec<Step>),
    /// Steps that depend on the request.
    Looks(fn(&[u8]) -> Vec<Step>),
    /// Steps without reading anything first.
    Unasked(fn() -> Vec<Step>),
    /// What stands behind the colon of the mode says it all.
    Parsed,
}

const NOT_HTTP: Expect = Expect::Failed("answer_not_http");
const TIMEOUT: Expect = Expect::Failed("answer_timeout");
const TOO_LARGE: Expect = Expect::Failed("answer_too_large");
const HEADERS: Expect = Expect::Failed("answer_headers_too_large");
const TRUNCATED: Expect = Expect::Failed("answer_truncated");
const ENCODING: Expect = Expect::Failed("answer_encoding");
const REDIRECT: Expect = Expect::Failed("answer_redirect");
const STATUS: Expect = Expect::Failed("answer_status");
const UNSTABLE: Expect = Expect::Failed("unstable_answer");
const NOT_LISTENING: Expect = Expect::Failed("not_listening");
const INVALID: Expect = Expect::Failed("json_invalid");
const TOO_DEEP: Expect = Expect::Failed("json_too_deep");
const DUPLICATE: Expect = Expect::Failed("json_duplicate_key");
const RULE: Expect = Expect::Failed("rule_failed:answer");
const CONTENT_TYPE: Expect = Expect::Failed("rule_failed:content_type");
const PASSED: Expect = Expect::Passed;

const fn row(
    id: &'static str,
    mode: &'static str,
    what: &'static str,
    expect: Expect,
    play: Play,
) -> Row {
    Row { id, mode, what, expect, play }
}

const TABLES: [&[Row]; 5] = [head::ROWS, framing::ROWS, bodies::ROWS, slow::ROWS, json::ROWS];

const COUNT: usize = {
    let (mut table, mut count) = (0, 0);
    while table < TABLES.len() {
        count += TABLES[table].len();
        table += 1;
    }
    count
};

/// Every hostile answer, and some good ones that a strict client must not refuse.
pub const ROWS: &[Row] = &joined();

const fn joined() -> [Row; COUNT] {
    let mut all = [TABLES[0][0]; COUNT];
    let (mut table, mut next) = (0, 0);
    while table < TABLES.len() {
        let mut at = 0;
        while at < TABLES[table].len() {
            all[next] = TABLES[table][at];
            next += 1;
            at += 1;
        }
        table += 1;
    }
    all
}

/// The row with this mode.
#[must_use]
pub fn find(mode: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.mode == mode)
}

/// Serves one mode on a listener until accepting fails. Beside the rows there are
/// `redirect:URL` (302 to there), `status:N` (that status with a good body), `delay:MS` (a good
/// answer after so long) and `body-delay:MS` (a good head, and the body after so long).
///
/// # Errors
/// When there is no such mode, or nothing more can be accepted.
pub fn serve(mode: &str, listener: TcpListener) -> io::Result<()> {
    let play = find(mode).map_or(Play::Parsed, |row| row.play);
    if matches!(play, Play::Parsed) && parsed(mode).is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no mode `{mode}`")));
    }
    let mode: Arc<str> = mode.into();
    let (asked, room) = (Arc::new(AtomicU64::new(0)), Arc::new(Room::default()));
    loop {
        room.enter();
        let (mut stream, _) = listener.accept()?;
        let (mode, asked, room) = (Arc::clone(&mode), Arc::clone(&asked), Arc::clone(&room));
        thread::spawn(move || {
            // The other end may leave whenever it likes.
            let _ = answer(play, &mode, &mut stream, &asked);
            drop(stream);
            room.leave();
        });
    }
}

fn answer(play: Play, mode: &str, stream: &mut TcpStream, asked: &AtomicU64) -> io::Result<()> {
    if let Play::Unasked(steps) = play {
        return play::play(stream, steps());
    }
    // Somebody who only knocks asks nothing.
    let Some(request) = play::read_request(stream) else { return Ok(()) };
    let nth = asked.fetch_add(1, Ordering::SeqCst);
    let steps = match play {
        Play::Says(bytes) => vec![Step::Send(bytes.to_vec())],
        Play::Makes(bytes) => vec![Step::Send(bytes())],
        Play::Body(body) => vec![Step::Send(good_head(body))],
        Play::MakesBody(body) => vec![Step::Send(good_head(&body()))],
        Play::Steps(steps) => steps(nth),
        Play::Looks(steps) => steps(&request),
        Play::Unasked(_) => Vec::new(),
        Play::Parsed => parsed(mode).unwrap_or_default(),
    };
    play::play(stream, steps)
}

/// A good head with a body.
fn good_head(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn parsed(mode: &str) -> Option<Vec<Step>> {
    let (kind, value) = mode.split_once(':')?;
    let millis = || value.parse().ok().map(Duration::from_millis);
    match kind {
        "redirect" => {
            let head = format!("HTTP/1.1 302 Found\r\nLocation: {value}\r\n");
            Some(vec![Step::Send(format!("{head}Content-Length: 0\r\n\r\n").into_bytes())])
        }
        "status" => {
            let status: u16 = value.parse().ok()?;
            let good = String::from_utf8_lossy(&good_head(GOOD.as_bytes())).into_owned();
            Some(vec![Step::Send(good.replacen("200 OK", &format!("{status} X"), 1).into_bytes())])
        }
        "delay" => Some(vec![Step::Wait(millis()?), Step::Send(good_head(GOOD.as_bytes()))]),
        "body-delay" => {
            let mut head = good_head(GOOD.as_bytes());
            let body = head.split_off(head.len() - GOOD.len());
            Some(vec![Step::Send(head), Step::Wait(millis()?), Step::Send(body)])
        }
        _ => None,
    }
}

/// Room for so many connections.
#[derive(Default)]
struct Room {
    taken: Mutex<usize>,
    left: Condvar,
}

impl Room {
    fn enter(&self) {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |taken: &mut usize| *taken >= AT_ONCE;
        let mut taken = self.left.wait_while(taken, full).unwrap_or_else(PoisonError::into_inner);
        *taken += 1;
    }

    fn leave(&self) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        io::{Read, Write},
    };

    use super::*;

    fn served(mode: &'static str) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || serve(mode, listener));
        address
    }

    fn ask(address: std::net::SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: app\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[test]
    fn every_mode_has_one_row() {
        let modes: HashSet<_> = ROWS.iter().map(|row| row.mode).collect();
        assert_eq!(modes.len(), ROWS.len());
        for row in ROWS {
            assert!(!matches!(row.play, Play::Parsed) || parsed(row.mode).is_some(), "{row:?}");
            assert!(row.id.starts_with(['B', 'C']) && !row.what.is_empty(), "{row:?}");
        }
    }

    #[test]
    fn a_mode_is_served_again_and_again() {
        let address = served("flipflop");
        drop(TcpStream::connect(address).unwrap());
        assert!(ask(address).ends_with(GOOD), "a knock is no request");
        assert!(!ask(address).ends_with(GOOD));
        assert!(ask(address).ends_with(GOOD));
    }

    #[test]
    fn a_mode_may_have_a_value() {
        assert!(ask(served("redirect:http://lure/")).contains("\r\nLocation: http://lure/\r\n"));
        assert!(ask(served("status:418")).starts_with("HTTP/1.1 418 X\r\n"));
        assert!(ask(served("body-delay:1")).ends_with(GOOD));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(serve("delay:soon", listener).is_err());
    }

    #[test]
    fn connections_are_bounded() {
        let address = served("head-then-hold");
        let wait = |stream: &mut TcpStream, time| {
            stream.set_read_timeout(Some(time)).unwrap();
            stream.read_exact(&mut [0]).is_ok()
        };
        let connect = |_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: app\r\n\r\n").unwrap();
            stream
        };
        let mut first: Vec<_> = (0..AT_ONCE).map(connect).collect();
        assert!(first.iter_mut().all(|stream| wait(stream, Duration::from_secs(10))));
        let mut one_more = connect(0);
        assert!(!wait(&mut one_more, Duration::from_millis(200)), "it was served at once");
        first.pop();
        assert!(wait(&mut one_more, Duration::from_secs(10)), "it was never served");
    }
}
