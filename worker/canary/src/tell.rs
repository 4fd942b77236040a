//! Telling: the report on port 80, the same to whoever asks.

use std::{
    convert::Infallible,
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    time::Duration,
};

/// How long one conversation may pause.
const PATIENCE: Duration = Duration::from_secs(2);
/// How much of a request is read.
const REQUEST_BYTES: usize = 4096;

/// Answers `GET /report` until it is killed.
///
/// # Errors
/// If port 80 cannot be had.
pub fn serve(report: &str) -> io::Result<Infallible> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80))?;
    loop {
        // Who hangs up early asks again.
        let _ = listener.accept().and_then(|(stream, _)| answer(stream, report));
    }
}

fn answer(mut stream: TcpStream, report: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = Vec::new();
    let mut piece = [0; 512];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < REQUEST_BYTES {
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            length => request.extend_from_slice(&piece[..length]),
        }
    }
    let (status, body) = match request.strip_prefix(b"GET /report ") {
        Some(_) => ("200 OK", report),
        None => ("404 Not Found", "{}"),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(request: &str) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            answer(stream, r#"{"attempts":{}}"#).unwrap();
        });
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answered = String::new();
        stream.read_to_string(&mut answered).unwrap();
        server.join().unwrap();
        answered
    }

    #[test]
    fn the_report_is_told_and_nothing_else() {
        let told = ask("GET /report HTTP/1.1\r\nHost: canary\r\n\r\n");
        assert!(told.starts_with("HTTP/1.1 200 OK\r\n"), "{told}");
        assert!(told.ends_with("Content-Length: 15\r\nConnection: close\r\n\r\n{\"attempts\":{}}"));
        assert!(ask("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
    }
}
