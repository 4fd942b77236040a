//! RESP, as little of it as the two-image case needs: a client for `SET`, `GET`, `INCR`, and
//! a server of the same commands for where no real Redis is at hand.

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use crate::http;

const PORT: u16 = 6379;
/// No argument of ours is longer.
const ARGUMENT_LIMIT: usize = 64 * 1024;

/// One connection to a Redis.
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) fn connect(host: &str) -> io::Result<Self> {
        let stream = http::connect(host, PORT)?;
        stream.set_read_timeout(Some(Duration::from_secs(3)))?;
        Ok(Self(BufReader::new(stream)))
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) -> io::Result<()> {
        self.command(&["SET", key, value]).map(drop)
    }

    pub(crate) fn increment(&mut self, key: &str) -> io::Result<i64> {
        let answer = self.command(&["INCR", key])?;
        answer
            .as_deref()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| io::Error::other("redis counted no number"))
    }

    pub(crate) fn get(&mut self, key: &str) -> io::Result<Option<String>> {
        self.command(&["GET", key])
    }

    fn command(&mut self, words: &[&str]) -> io::Result<Option<String>> {
        self.0.get_mut().write_all(&array(words))?;
        let line = line(&mut self.0)?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(broken)?;
        match kind {
            "+" | ":" => Ok(Some(rest.to_owned())),
            "-" => Err(io::Error::other(format!("redis: {rest}"))),
            "$" if rest == "-1" => Ok(None),
            "$" => bulk(&mut self.0, rest).map(Some),
            _ => Err(broken()),
        }
    }
}

/// Serves for ever, one thread per connection, all in memory.
pub(crate) fn serve(listener: &TcpListener) -> io::Result<ExitCode> {
    let kept = Arc::new(Mutex::new(HashMap::new()));
    loop {
        let (stream, _) = listener.accept()?;
        let kept = Arc::clone(&kept);
        thread::spawn(move || {
            // A caller that hangs up is its own affair.
            let _ = converse(stream, &kept);
        });
    }
}

fn converse(mut stream: TcpStream, kept: &Mutex<HashMap<String, String>>) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let head = line(&mut reader)?;
        let count: usize =
            head.strip_prefix('*').and_then(|n| n.parse().ok()).ok_or_else(broken)?;
        let mut words = Vec::new();
        for _ in 0..count.min(8) {
            let head = line(&mut reader)?;
            words.push(bulk(&mut reader, head.strip_prefix('$').ok_or_else(broken)?)?);
        }
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        stream.write_all(answer(&words, &mut kept).as_bytes())?;
    }
}

fn answer(words: &[String], kept: &mut HashMap<String, String>) -> String {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [name] if name.eq_ignore_ascii_case("ping") => "+PONG\r\n".to_owned(),
        [name, key, value] if name.eq_ignore_ascii_case("set") => {
            kept.insert((*key).to_owned(), (*value).to_owned());
            "+OK\r\n".to_owned()
        }
        [name, key] if name.eq_ignore_ascii_case("get") => match kept.get(*key) {
            Some(value) => format!("${}\r\n{value}\r\n", value.len()),
            None => "$-1\r\n".to_owned(),
        },
        [name, key] if name.eq_ignore_ascii_case("incr") => {
            let value = kept.entry((*key).to_owned()).or_insert_with(|| "0".to_owned());
            match value.parse::<i64>() {
                Ok(n) => {
                    *value = (n + 1).to_string();
                    format!(":{value}\r\n")
                }
                Err(_) => "-ERR value is not an integer or out of range\r\n".to_owned(),
            }
        }
        _ => "-ERR unknown command\r\n".to_owned(),
    }
}

fn array(words: &[&str]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len());
    for word in words {
        out.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    out.into_bytes()
}

fn line(reader: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if reader.by_ref().take(1024).read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

fn bulk(reader: &mut BufReader<TcpStream>, length: &str) -> io::Result<String> {
    let length: usize = length.parse().map_err(|_| broken())?;
    if length > ARGUMENT_LIMIT {
        return Err(broken());
    }
    let mut bytes = vec![0; length + 2];
    reader.read_exact(&mut bytes)?;
    bytes.truncate(length);
    String::from_utf8(bytes).map_err(|_| broken())
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not RESP")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_and_server_understand_each_other() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || serve(&listener));
        let mut client = Client(BufReader::new(TcpStream::connect(address).unwrap()));
        assert_eq!(client.command(&["PING"]).unwrap().as_deref(), Some("PONG"));
        assert_eq!(client.get("visits").unwrap(), None);
        client.set("visits", "41").unwrap();
        assert_eq!(client.increment("visits").unwrap(), 42);
        assert_eq!(client.get("visits").unwrap().as_deref(), Some("42"));
        client.set("word", "a b").unwrap();
        assert!(client.increment("word").is_err());
        assert!(client.command(&["FLUSHALL"]).is_err());
    }
}
