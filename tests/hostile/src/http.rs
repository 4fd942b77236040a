//! The smallest server that a grading is content with: every path is answered with the outcome.

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use serde_json::json;

use crate::setting;

/// Longest request that is waited for, in bytes.
const REQUEST: usize = 8 * 1024;

/// Answers every question with the outcome and the name that the image was given, one at a time
/// and without a thread, since some attacks leave none. Ends only with an error.
pub(crate) fn answer(listener: &TcpListener, outcome: &str) -> io::Result<u8> {
    let name = setting("HOSTILE_NAME");
    let body = json!({ "name": name, "vote": "Cats", "outcome": outcome }).to_string();
    loop {
        match listener.accept() {
            // Whoever hangs up is none of ours.
            Ok((stream, _)) => drop(respond(stream, &body)),
            // A program without a free descriptor waits for one.
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn respond(mut stream: TcpStream, body: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut head = [0; REQUEST];
    let mut filled = 0;
    while filled < REQUEST && !head[..filled].windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut head[filled..])? {
            0 => return Ok(()),
            read => filled += read,
        }
    }
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
}
