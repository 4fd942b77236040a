//! W12: requests that two readers would end at different places. An api refuses them and closes; behind
//! a balancer nobody is answered what somebody else asked.

use anyhow::{Context, Result, ensure};
use portcall_tests::parts::{
    balancer::{Balancer, Behind, Retries},
    names::Names,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::raw::{address, api, said};

/// What is hidden in the body of another request: nothing else asks for it.
const HIDDEN: &str = "GET /competition/stats HTTP/1.1\r\nhost: hidden\r\n\r\n";
/// What an honest client asks, and how its answer is told from any other.
const HONEST: &str = "GET /api/v1/submissions/honest HTTP/1.1\r\nhost: a\r\n\r\n";

const POST: &str = "POST /competition HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n";

/// Requests that hide another one, and whether an api has to refuse them as no HTTP.
fn attacks() -> Vec<(&'static str, String, bool)> {
    let length = HIDDEN.len();
    let chunk = format!("{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n");
    let coded = |fields: &str| format!("{POST}{fields}\r\n0\r\n\r\n{HIDDEN}");
    vec![
        ("CL.TE", coded("content-length: 5\r\ntransfer-encoding: chunked\r\n"), false),
        (
            "TE.CL",
            format!("{POST}transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n{chunk}"),
            false,
        ),
        (
            "CL.0",
            format!(
                "GET /competition/x HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{HIDDEN}"
            ),
            false,
        ),
        (
            "two lengths",
            format!("{POST}content-length: 0\r\ncontent-length: {length}\r\n\r\n{HIDDEN}"),
            true,
        ),
        ("a list of lengths", format!("{POST}content-length: 0, {length}\r\n\r\n{HIDDEN}"), true),
        ("a signed length", format!("{POST}content-length: +0\r\n\r\n{HIDDEN}"), true),
        ("TE.TE", coded("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n"), true),
        ("TE of another name", coded("transfer-encoding: xchunked\r\n"), true),
        ("TE with a tab before it", coded("transfer-encoding:\tchunked, identity\r\n"), true),
        ("TE quoted", coded("transfer-encoding: \"chunked\"\r\n"), true),
        (
            "TE in HTTP/1.0",
            coded("transfer-encoding: chunked\r\n")
                .replace("HTTP/1.1\r\nhost: a", "HTTP/1.0\r\nhost: a"),
            true,
        ),
        ("space before the colon", coded("transfer-encoding : chunked\r\n"), true),
        ("a folded field", coded("x: y\r\n transfer-encoding: chunked\r\n"), true),
        ("a bare CR", coded("x: y\rtransfer-encoding: chunked\r\n"), true),
        ("a NUL", coded("x: y\0\r\n"), true),
        ("no name", coded(": chunked\r\n"), true),
        ("bytes of HTTP/2", format!("{POST}\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{HIDDEN}"), false),
        (
            "a wrong size of a chunk",
            format!("{POST}transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n{HIDDEN}"),
            false,
        ),
        (
            "a chunk without an end",
            format!("{POST}transfer-encoding: chunked\r\n\r\n1\r\nxx{HIDDEN}"),
            false,
        ),
    ]
}

/// How many answers there are to what was hidden.
fn revealed(answer: &str) -> usize {
    answer.matches("\"participants\":").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_refuses_what_can_be_read_in_two_ways() -> Result<()> {
    let apis = api(&[]).await?;
    let to = address(&apis)?;
    // The control: what is hidden is answered when it is not hidden.
    let open = said(to, HIDDEN.replace("host: hidden", "host: a\r\nconnection: close")).await?;
    ensure!(open.starts_with("HTTP/1.1 200 ") && revealed(&open) > 0, "{open}");
    for (name, words, must) in attacks() {
        let answer = said(to, &words).await?;
        println!("{name}: {}", answer.lines().next().unwrap_or("closed"));
        if must {
            ensure!(answer.starts_with("HTTP/1.1 400 "), "{name}: {answer}");
            ensure!(answer.matches("HTTP/1.1 ").count() == 1, "{name}: {answer}");
        }
        // A length beside a coding is read by the coding, and the connection ends there. What no length
        // claims is a request of its own, to any reader.
        let own = matches!(name, "CL.0" | "bytes of HTTP/2");
        ensure!(own || revealed(&answer) == 0, "{name}: what was hidden is answered: {answer}");
    }
    // Lines that end with a bare LF end there for every reader that takes them.
    let bare = format!("{POST}content-length: 0\n\n").replace("\r\n", "\n");
    let answer =
        said(to, format!("{bare}{HIDDEN}").replace("host: hidden", "host: a\r\nconnection: close"))
            .await?;
    println!("bare LF: {}", answer.lines().next().unwrap_or("closed"));
    apis.end().await
}

/// One answer, whole.
async fn one(stream: &mut TcpStream) -> Result<String> {
    let mut text = Vec::new();
    loop {
        let mut part = [0; 16 * 1024];
        let length = stream.read(&mut part).await?;
        text.extend_from_slice(&part[..length]);
        let so_far = String::from_utf8_lossy(&text);
        let whole = so_far.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let head = head.to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1);
            let length = length.and_then(|l| l.lines().next()?.parse().ok()).unwrap_or(0);
            body.len() >= length
        });
        if whole || length == 0 {
            return Ok(so_far.into_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_balancer_nobody_gets_anothers_answer() -> Result<()> {
    let apis = api(&[]).await?;
    let (port, ops_port) = apis.ports();
    let names = Names::start().await?;
    names.add("tasks.api", apis.ip(0)?);
    let behind = Behind { name: "tasks.api".to_owned(), names: names.address(), port, ops_port };
    let balancer = Balancer::start("smuggling", apis.dir(), &behind, Retries::AsDeployed).await?;
    balancer.wait_up(1).await?;
    let url = balancer.url();
    let to = url.strip_prefix("http://").context("plain HTTP")?;
    for (name, words, _) in attacks() {
        // An honest client's connection is open and used before, while and after.
        let mut honest = TcpStream::connect(to).await?;
        let mut attacker = TcpStream::connect(to).await?;
        for round in 0..5 {
            let _ = attacker.write_all(words.as_bytes()).await;
            honest.write_all(HONEST.as_bytes()).await?;
            let answer = one(&mut honest).await?;
            ensure!(answer.starts_with("HTTP/1.1 404 "), "{name}, {round}: {answer}");
            ensure!(revealed(&answer) == 0, "{name}, {round}: {answer}");
            ensure!(answer.matches("HTTP/1.1 ").count() == 1, "{name}, {round}: {answer}");
        }
    }
    apis.end().await
}
