//! How an answer is played on a connection: a list of steps, each of them bounded.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// The longest that one connection is held, whatever is played on it.
const LONGEST: Duration = Duration::from_secs(30);

/// How long the other end may take to leave after a whole answer.
const FAREWELL: Duration = Duration::from_secs(2);

/// The longest request that is read, in bytes.
const REQUEST: usize = 64 * 1024;

/// One thing that is done on a connection.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Writes these bytes.
    Send(Vec<u8>),
    /// Writes these bytes over and over, so many bytes at most.
    Repeat(Vec<u8>, u64),
    /// Writes these bytes one at a time, with a pause before each.
    Drip(Vec<u8>, Duration),
    /// Does nothing for so long.
    Wait(Duration),
    /// Waits until the other end leaves.
    Hold,
    /// Reads nothing and writes nothing.
    Ignore,
    /// Says that nothing more is written; the other direction stays open.
    HalfClose,
    /// Throws the connection away with an RST.
    Reset,
}

/// Reads a request to the end of its head and its announced body; none if the other end left.
pub(super) fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    stream.set_read_timeout(Some(LONGEST)).ok()?;
    let (mut request, mut piece) = (Vec::new(), [0; 4096]);
    while request.len() < REQUEST {
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        request.extend_from_slice(&piece[..count]);
        let head = request.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(head) = head
            && request.len() >= head + 4 + announced(&request[..head])
        {
            return Some(request);
        }
    }
    None
}

fn announced(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let after = head.split("\r\ncontent-length:").nth(1).unwrap_or_default();
    after.lines().next().and_then(|length| length.trim().parse().ok()).unwrap_or(0)
}

/// Plays the steps and closes the connection in good order, unless a step did otherwise.
pub(super) fn play(stream: &mut TcpStream, steps: Vec<Step>) -> io::Result<()> {
    let end = Instant::now() + LONGEST;
    stream.set_write_timeout(Some(LONGEST))?;
    for step in steps {
        match step {
            Step::Send(bytes) => stream.write_all(&bytes)?,
            Step::Repeat(bytes, most) => repeat(stream, &bytes, most, end)?,
            Step::Drip(bytes, pause) => drip(stream, &bytes, pause, end)?,
            Step::Wait(pause) => thread::sleep(pause.min(LONGEST)),
            Step::Hold => drain(stream, end)?,
            Step::Ignore => thread::sleep(end.saturating_duration_since(Instant::now())),
            Step::HalfClose => stream.shutdown(Shutdown::Write)?,
            Step::Reset => {
                return rustix::net::sockopt::set_socket_linger(&*stream, Some(Duration::ZERO))
                    .map_err(io::Error::from);
            }
        }
    }
    // Closing with unread bytes would throw away what was written.
    stream.shutdown(Shutdown::Write)?;
    drain(stream, end.min(Instant::now() + FAREWELL))
}

fn repeat(stream: &mut TcpStream, bytes: &[u8], most: u64, end: Instant) -> io::Result<()> {
    let times = bytes.len().max(1).div_ceil(16 * 1024).max(16 * 1024 / bytes.len().max(1));
    let many = bytes.repeat(times);
    let mut written = 0;
    while written < most && Instant::now() < end {
        stream.write_all(&many)?;
        written += many.len() as u64;
    }
    Ok(())
}

fn drip(stream: &mut TcpStream, bytes: &[u8], pause: Duration, end: Instant) -> io::Result<()> {
    for byte in bytes {
        if Instant::now() + pause >= end {
            break;
        }
        thread::sleep(pause);
        stream.write_all(&[*byte])?;
    }
    Ok(())
}

/// Reads and forgets until the other end leaves.
fn drain(stream: &mut TcpStream, end: Instant) -> io::Result<()> {
    let mut piece = [0; 4096];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        stream.set_read_timeout(Some(left))?;
        if stream.read(&mut piece)? == 0 {
            return Ok(());
        }
    }
}
