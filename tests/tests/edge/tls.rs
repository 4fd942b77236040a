//! TLS as the world sees it: rows W18 and W20, and what is left of plain HTTP beside it.

use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use portcall_tests::{
    Event,
    parts::{
        apis::{Apis, OWN_IP},
        mongo, net,
        process::{Ended, run},
        tls::{Made, Trust},
    },
    wait,
};
use rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::aws_lc_rs};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::raw::{PATIENCE, address, from, median, rest, said, stranger};

const NAME: &str = "portcall.test";
const GET: &str = "GET /api/v1/events HTTP/1.1\r\nhost: portcall.test\r\nconnection: close\r\n\r\n";

/// An api that speaks TLS, its certificate, and where it answers in plain HTTP.
async fn api(settings: &[(&str, &str)]) -> Result<(Apis, Made, SocketAddr)> {
    let mut apis = Apis::on(&mongo::shared().await?, &Event::config(), &[]).await?;
    let made = Made::new(&[NAME], -60, 86_400)?;
    for (file, text, variable) in [
        ("cert.pem", &made.chain, "PORTCALL_TLS_CERT_FILE"),
        ("key.pem", &made.key, "PORTCALL_TLS_KEY_FILE"),
    ] {
        let path = apis.dir().join(file);
        std::fs::write(&path, text)?;
        apis.set(variable, path.display());
    }
    let port = net::free_address()?.port();
    apis.set("PORTCALL_TLS", "files");
    apis.set("PORTCALL_PUBLIC_URL", format!("https://{NAME}"));
    apis.set("PORTCALL_API_PLAIN_ADDR", format!("{OWN_IP}:{port}"));
    apis.set("PORTCALL_API_DRAIN_MS", 0);
    for (name, value) in settings {
        apis.set(name, value);
    }
    let n = apis.start().await?;
    let plain = SocketAddr::from((apis.ip(n)?, port));
    Ok((apis, made, plain))
}

/// What `openssl s_client` says when it has shaken hands, or could not.
async fn openssl(to: SocketAddr, arguments: &str) -> Result<(Ended, String)> {
    let words = format!(
        "sleep 0.2 | timeout 10 openssl s_client -connect {to} -servername {NAME} {arguments} 2>&1"
    );
    run(Path::new("sh"), &["-c", &words], &[], PATIENCE).await
}

/// W18: what is spoken, and that nothing older or weaker is.
#[tokio::test(flavor = "multi_thread")]
async fn only_good_tls_is_spoken() -> Result<()> {
    let (apis, _, _) = api(&[]).await?;
    let to = address(&apis)?;
    let rows = [
        ("-tls1_3", Some("TLSv1.3")),
        ("-tls1_2", Some("TLSv1.2")),
        ("-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256", Some("ECDHE-ECDSA-AES128-GCM-SHA256")),
        ("-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305", Some("ECDHE-ECDSA-CHACHA20-POLY1305")),
        ("-tls1_1 -cipher ALL:@SECLEVEL=0", None),
        ("-tls1 -cipher ALL:@SECLEVEL=0", None),
        // Without forward secrecy, without authentication, in CBC.
        ("-tls1_2 -cipher AES128-GCM-SHA256", None),
        ("-tls1_2 -cipher AES256-SHA", None),
        ("-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256", None),
        ("-tls1_2 -cipher ECDHE-ECDSA-AES256-SHA", None),
        ("-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256", None),
        ("-tls1_2 -cipher AECDH-AES128-SHA:@SECLEVEL=0", None),
        ("-alpn h2", Some("ALPN protocol: h2")),
        ("-alpn http/1.1", Some("ALPN protocol: http/1.1")),
        ("-alpn spdy/1,garbage", None),
    ];
    for (arguments, good) in rows {
        let (_, output) = openssl(to, arguments).await?;
        let shaken = output.contains("Server certificate\n-----BEGIN");
        println!("{arguments}: {shaken}");
        ensure!(shaken == good.is_some(), "{arguments}: {output}");
        if let Some(words) = good {
            ensure!(output.contains(words), "{arguments}: {output}");
            ensure!(output.contains("Compression: NONE"), "{output}");
        }
    }
    // Nothing may be sent before the handshake is done, so nothing can be sent twice.
    let sessions = apis.dir().join("session.pem");
    let file = sessions.display();
    let again = "(cat; sleep 3)";
    for version in ["-tls1_3", "-tls1_2"] {
        let first = format!(
            "sleep 3 | timeout 10 openssl s_client -connect {to} -servername {NAME} {version} \
             -sess_out {file} 2>&1; {again} </dev/null | timeout 10 openssl s_client -connect {to} \
             -servername {NAME} {version} -sess_in {file} 2>&1"
        );
        let (_, output) = run(Path::new("sh"), &["-c", &first], &[], PATIENCE).await?;
        ensure!(output.contains("Reused, TLSv1"), "{version} is resumed: {output}");
        if version == "-tls1_3" {
            ensure!(output.contains("Max Early Data: 0"), "no 0-RTT: {output}");
        }
    }
    // A client that wants to shake hands again over TLS 1.2 is not heard.
    let words = format!(
        "(sleep 1; echo R; sleep 5) | timeout 10 openssl s_client -connect {to} -servername {NAME} -tls1_2 2>&1"
    );
    let (_, output) = run(Path::new("sh"), &["-c", &words], &[], PATIENCE).await?;
    // Done again, the certificate would be looked at again.
    let after = output.split_once("RENEGOTIATING").context("nothing was tried")?.1;
    ensure!(after.contains(":error:") && !after.contains("verify return"), "{output}");
    apis.end().await
}

/// Every answer over TLS says to stay there, also those that no route gives; in plain HTTP there is
/// nothing but the way to it.
#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_only_the_way_to_tls() -> Result<()> {
    let (apis, made, plain) = api(&[]).await?;
    let to = address(&apis)?;
    let trust = Trust::in_roots(&[&made.chain])?;
    let bad = "what is this?\r\n\r\n".to_owned();
    let close = |line: &str| format!("{line} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    for (words, status) in [
        (close("GET /"), 200),
        (close("GET /api/v1/submissions/none"), 404),
        (format!("GET /?{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(100_000)), 414),
        (bad, 400),
    ] {
        let mut stream = trust.connect(to, NAME).await?;
        // It may be refused before all of it was said.
        let _ = stream.write_all(words.as_bytes()).await;
        let answer = String::from_utf8_lossy(&rest(&mut stream).await?).into_owned();
        ensure!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let hsts = "\r\nstrict-transport-security: max-age=31536000\r\n";
        ensure!(answer.matches(hsts).count() == 1, "{answer}");
    }
    for (words, status, there) in [
        ("GET /", 308, "https://portcall.test/"),
        ("HEAD /events/birthday-3?a=b", 308, "https://portcall.test/events/birthday-3?a=b"),
        ("GET //evil.example/%0d%0ax:", 308, "https://portcall.test//evil.example/%0d%0ax:"),
        ("POST /", 403, ""),
        ("GET /api/v1/events", 403, ""),
        ("POST /competition", 403, ""),
        ("GET /openapi.json", 403, ""),
        ("GET /.well-known/acme-challenge/none", 404, ""),
    ] {
        let answer = said(plain, close(words)).await?;
        ensure!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{words}: {answer}");
        ensure!(!answer.contains("strict-transport-security"), "{words}: {answer}");
        match status {
            308 => ensure!(answer.contains(&format!("\r\nlocation: {there}\r\n")), "{answer}"),
            403 => ensure!(answer.contains("\"code\":\"https_required\""), "{words}: {answer}"),
            _ => ensure!(!answer.contains("location:"), "{words}: {answer}"),
        }
    }
    // Plain HTTP at the address of TLS is none, and TLS at that of plain HTTP is none.
    let answer = said(to, close("GET /")).await?;
    ensure!(!answer.contains("HTTP/1.1 200"), "{answer}");
    ensure!(trust.connect(plain, NAME).await.is_err(), "TLS where there is none");
    apis.end().await
}

/// The first that a client says.
fn hello() -> Result<Vec<u8>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(config), NAME.try_into()?)?;
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes)?;
    }
    Ok(bytes)
}

/// How long an honest client takes to shake hands and to be answered.
async fn served(trust: &Trust, to: SocketAddr) -> Result<Duration> {
    let begun = Instant::now();
    let mut stream = trust.connect(to, NAME).await?;
    stream.write_all(GET.as_bytes()).await?;
    let mut first = [0; 12];
    stream.read_exact(&mut first).await?;
    ensure!(first == *b"HTTP/1.1 200", "{:?}", String::from_utf8_lossy(&first));
    Ok(begun.elapsed())
}

async fn honest(trust: &Trust, to: SocketAddr) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..50 {
        times.push(served(trust, to).await?);
    }
    Ok(median(times))
}

async fn failed(apis: &Apis, cause: &str) -> Result<f64> {
    apis.all[0].metric(&format!("portcall_handshakes_failed_total{{cause=\"{cause}\"}}")).await
}

/// W20, and the `ClientHello` of W05: handshakes that are never finished do not keep an honest one
/// from its own, and each ends after five seconds.
#[tokio::test(flavor = "multi_thread")]
async fn half_open_handshakes_stop_nobody() -> Result<()> {
    /// How many networks, and how many handshakes each begins; it may have 64 at once.
    const NETWORKS: u8 = 8;
    const EACH: usize = 100;
    const SEATS: usize = 64;
    let (apis, made, _) = api(&[]).await?;
    let (to, hello) = (address(&apis)?, hello()?);
    let trust = Trust::in_roots(&[&made.chain])?;
    let quiet = honest(&trust, to).await?;
    let open = (1..=NETWORKS).flat_map(|n| (0..EACH).map(move |_| n)).map(|n| {
        let hello = hello.clone();
        async move {
            let mut silent = from(stranger(n), to).await?;
            silent.write_all(&hello[..20]).await?;
            let mut half = from(stranger(n), to).await?;
            half.write_all(&hello).await?;
            anyhow::Ok((silent, half))
        }
    });
    let begun = Instant::now();
    let mut open = try_join_all(open).await?;
    // The control: those beyond the seats of their network were refused, and counted.
    wait::until("the others are refused", Duration::from_secs(4), || async {
        let refused = failed(&apis, "network").await?;
        Ok((refused >= (usize::from(NETWORKS) * (EACH - SEATS)) as f64).then_some(()))
    })
    .await?;
    let busy = honest(&trust, to).await?;
    ensure!(begun.elapsed() < Duration::from_secs(5), "they were half open all the time");
    println!(
        "{} half-open handshakes: an honest one takes {busy:.1?} instead of {quiet:.1?}",
        2 * EACH * usize::from(NETWORKS)
    );
    ensure!(busy < Duration::from_secs(1), "an honest handshake takes {busy:?}");
    let last = open.last_mut().context("none")?;
    ensure!(rest(&mut last.0).await?.is_empty(), "nothing is said to half a hello");
    let took = begun.elapsed().as_secs_f64();
    ensure!((4.8..9.0).contains(&took), "closed after {took} s");

    // One byte after the other.
    let mut slow = from(stranger(1), to).await?;
    let begun = Instant::now();
    for byte in &hello {
        if slow.write_all(&[*byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    ensure!(begun.elapsed() < Duration::from_secs(9), "closed after {:?}", begun.elapsed());
    ensure!(failed(&apis, "slow").await? > 0.0, "and counted");
    apis.end().await
}
