//! `--health`: asks the process that runs with the same settings whether it is well, for engines
//! that look after containers in which there is nothing else that could ask.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use crate::{settings::Reader, usage};

/// How long each of connecting, asking and listening may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// As much of an answer as is looked at, in bytes.
const ANSWER: u64 = 4096;

/// Answers when the first argument is `--health`: 0 when the process whose operators' listener
/// `variable` names says that it is well, else 1 with what it says.
#[must_use]
pub fn asked(variable: &'static str) -> Option<ExitCode> {
    if std::env::args().nth(1).as_deref() != Some("--health") {
        return None;
    }
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = Reader::from_environment().parsed(variable, nowhere);
    Some(match ask(listener) {
        Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => usage::told("ok", 0),
        Ok(answer) => usage::told(answer.lines().last().unwrap_or("no answer"), 1),
        Err(error) => usage::told(&format!("{listener}: {error}"), 1),
    })
}

fn ask(listener: SocketAddr) -> io::Result<String> {
    let here = match listener.ip().is_unspecified() {
        true => SocketAddr::from((Ipv4Addr::LOCALHOST, listener.port())),
        false => listener,
    };
    let mut stream = TcpStream::connect_timeout(&here, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: ops\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        ops::{self, Readiness, Ready},
        telemetry,
    };

    #[tokio::test]
    async fn it_is_well_once_it_was_ready() {
        let (ready, stop) = (Ready::default(), CancellationToken::new());
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let bound = ops::serve(any, telemetry::metrics(), ready.clone(), stop.clone()).await;
        let bound = bound.expect("a port");
        let says = || async {
            tokio::task::spawn_blocking(move || ask(bound)).await.expect("no panic").expect("it")
        };
        let starting = says().await;
        assert!(starting.starts_with("HTTP/1.1 503 "), "{starting}");
        assert!(starting.ends_with("not ready: starting\n"), "{starting}");
        ready.set(Readiness::Ready);
        assert!(says().await.starts_with("HTTP/1.1 200 "));
        ready.set(Readiness::NotReady("the database does not answer".to_owned()));
        assert!(says().await.starts_with("HTTP/1.1 200 "));
        stop.cancel();
    }

    #[test]
    fn nobody_there_is_not_well() {
        // Bound and not listened on, so that nobody else has it meanwhile.
        let nobodys = tokio::net::TcpSocket::new_v4().expect("a socket");
        nobodys.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
        let address = nobodys.local_addr().expect("an address");
        assert_eq!(ask(address).expect_err("nobody").kind(), io::ErrorKind::ConnectionRefused);
    }
}
