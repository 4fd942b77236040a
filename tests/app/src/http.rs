//! HTTP/1.1, as little of it as a small app needs: the head of a request is read, `GET` and
//! `HEAD` are answered, the connection is closed. And one `GET` of our own, for the peer.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// The most that is read of a request's head.
const HEAD_LIMIT: u64 = 16 * 1024;
/// A peer that has not answered by then does not answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// For so long a peer that refuses may just not listen yet.
const NOT_YET: Duration = Duration::from_millis(1500);

/// What is sent back.
pub(crate) struct Answer {
    status: u16,
    content_type: &'static str,
    location: Option<&'static str>,
    body: String,
}

impl Answer {
    pub(crate) fn json(body: String) -> Self {
        Self { status: 200, content_type: "application/json", location: None, body }
    }

    pub(crate) fn html(body: &str) -> Self {
        let body = body.to_owned();
        Self { status: 200, content_type: "text/html; charset=utf-8", location: None, body }
    }

    pub(crate) fn redirect(to: &'static str) -> Self {
        Self { status: 302, location: Some(to), ..Self::html("<h1>elsewhere</h1>") }
    }

    pub(crate) fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    fn write(&self, stream: &mut TcpStream, method: &str) -> io::Result<()> {
        let phrase = match self.status {
            200 => "OK",
            302 => "Found",
            405 => "Method Not Allowed",
            502 => "Bad Gateway",
            _ => "Internal Server Error",
        };
        let mut head = format!(
            "HTTP/1.1 {} {phrase}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n",
            self.status,
            self.content_type,
            self.body.len()
        );
        if let Some(location) = self.location {
            head.push_str(&format!("Location: {location}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        if method != "HEAD" {
            stream.write_all(self.body.as_bytes())?;
        }
        stream.flush()
    }
}

/// Serves for ever, one thread per connection.
pub(crate) fn serve<F>(listener: &TcpListener, answer: F) -> io::Result<ExitCode>
where
    F: Fn(&str) -> Answer + Send + Sync + 'static,
{
    let answer = Arc::new(answer);
    loop {
        let (stream, _) = listener.accept()?;
        let answer = Arc::clone(&answer);
        thread::spawn(move || {
            // A caller that hangs up is its own affair.
            let _ = converse(stream, answer.as_ref());
        });
    }
}

/// Serves for ever, one thread per connection: whole answers, head and all, as they are given. A path
/// that has none is not answered.
pub(crate) fn serve_bytes(
    listener: &TcpListener,
    answer: fn(&str) -> io::Result<Vec<u8>>,
) -> io::Result<ExitCode> {
    loop {
        let (mut stream, _) = listener.accept()?;
        thread::spawn(move || -> io::Result<()> {
            let Some((_, path)) = read_request(&stream)? else { return Ok(()) };
            stream.write_all(&answer(&path)?)
        });
    }
}

fn converse(mut stream: TcpStream, answer: &dyn Fn(&str) -> Answer) -> io::Result<()> {
    let Some((method, path)) = read_request(&stream)? else { return Ok(()) };
    match &*method {
        "GET" | "HEAD" => answer(&path).write(&mut stream, &method),
        _ => Answer::html("<h1>only GET and HEAD</h1>").status(405).write(&mut stream, &method),
    }
}

/// The method and the path of a request, once its head has been read.
fn read_request(stream: &TcpStream) -> io::Result<Option<(String, String)>> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?.take(HEAD_LIMIT));
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 && line != "\r\n" && line != "\n" {
        line.clear();
    }
    let mut words = request.split_whitespace().map(str::to_owned);
    Ok(words.next().zip(words.next()))
}

/// A connection to another container, which may have been started a moment ago and not listen yet.
pub(crate) fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let deadline = Instant::now() + NOT_YET;
    loop {
        match TcpStream::connect((host, port)) {
            Err(error)
                if error.kind() == io::ErrorKind::ConnectionRefused
                    && Instant::now() < deadline =>
            {
                thread::sleep(Duration::from_millis(20));
            }
            connected => return connected,
        }
    }
}

/// The body of `http://host/path`, which must answer 200.
pub(crate) fn get(host: &str, path: &str) -> io::Result<String> {
    let mut stream = connect(host, 80)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.take(64 * 1024).read_to_string(&mut text)?;
    match text.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => Err(io::Error::other(format!("`{host}` answered {:?}", text.lines().next()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(request: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || serve(&listener, |path| Answer::json(format!("{path:?}"))));
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_get_is_answered_and_a_head_has_no_body() {
        let get = ask("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(get.starts_with("HTTP/1.1 200 OK\r\n") && get.ends_with("\r\n\r\n\"/a\""), "{get}");
        let head = ask("HEAD /a HTTP/1.1\r\n\r\n");
        assert!(head.contains("Content-Length: 4") && head.ends_with("\r\n\r\n"), "{head}");
    }

    #[test]
    fn chosen_bytes_are_sent_as_they_are() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            serve_bytes(&listener, |path| match path {
                "/1" => Ok(b"HTTP/1.1 299 <b>\xff\r\n\r\n".to_vec()),
                _ => Err(io::ErrorKind::NotFound.into()),
            })
        });
        for (path, expected) in [("/2", &b""[..]), ("/1", &b"HTTP/1.1 299 <b>\xff\r\n\r\n"[..])] {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert_eq!(answer, expected);
        }
    }

    #[test]
    fn another_method_is_refused() {
        assert!(ask("DELETE /a HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    }
}
