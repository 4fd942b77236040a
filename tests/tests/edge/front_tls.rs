//! TLS as the balancer speaks it (W18), and what stands in the head of the answers that are its own.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use portcall_tests::parts::{
    balancer::{Balancer, Behind, Retries, Speaks},
    client::Answer,
    given,
    names::Names,
    process::run,
    tls::Made,
};
use reqwest::Method;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use super::{
    front_stage::{ANYBODY, Front, NAME, PUBLIC_URL, Somebody},
    headers::checked,
    raw::PATIENCE,
    stage::{JSON, POSTS, problem},
};

const HSTS: (&str, &str) = ("strict-transport-security", "max-age=31536000");

/// What `openssl s_client` says to these words on its standard input.
async fn openssl(to: SocketAddr, input: &str, arguments: &str) -> Result<String> {
    let words = format!(
        "({input}) | timeout 10 openssl s_client -connect {to} -servername {NAME} {arguments} 2>&1"
    );
    Ok(run(Path::new("sh"), &["-c", &words], &[], PATIENCE).await?.1)
}

/// W18: what is spoken, and that nothing older or weaker is.
#[tokio::test(flavor = "multi_thread")]
async fn the_balancer_speaks_only_good_tls() -> Result<()> {
    let front = Front::start(&[]).await?;
    let to = front.balancer.secure;
    let rows = [
        ("-tls1_3", Some("TLSv1.3")),
        ("-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256", Some("TLS_CHACHA20_POLY1305")),
        ("-tls1_3 -ciphersuites TLS_AES_128_CCM_SHA256", None),
        ("-tls1_2", Some("TLSv1.2")),
        ("-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256", Some("ECDHE-ECDSA-AES128-GCM-SHA256")),
        ("-tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384", Some("ECDHE-ECDSA-AES256-GCM-SHA384")),
        ("-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305", Some("ECDHE-ECDSA-CHACHA20-POLY1305")),
        ("-tls1_1 -cipher ALL:@SECLEVEL=0", None),
        ("-tls1 -cipher ALL:@SECLEVEL=0", None),
        // Without forward secrecy, without authentication, in CBC.
        ("-tls1_2 -cipher AES128-GCM-SHA256", None),
        ("-tls1_2 -cipher AES256-SHA", None),
        ("-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256", None),
        ("-tls1_2 -cipher ECDHE-ECDSA-AES256-SHA384", None),
        ("-tls1_2 -cipher ECDHE-ECDSA-AES256-SHA", None),
        ("-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256", None),
        ("-tls1_2 -cipher AECDH-AES128-SHA:@SECLEVEL=0", None),
        ("-groups X25519", Some("X25519")),
        ("-groups P-256", Some("prime256v1")),
        ("-groups P-521", None),
        ("-groups ffdhe2048", None),
        ("-alpn h2", Some("ALPN protocol: h2")),
        ("-alpn http/1.1", Some("ALPN protocol: http/1.1")),
        // HAProxy goes on without a protocol where the api ends the handshake.
        ("-alpn spdy/1,garbage", Some("No ALPN negotiated")),
    ];
    for (arguments, good) in rows {
        let output = openssl(to, "sleep 0.2", arguments).await?;
        let shaken = output.contains("Server certificate\n-----BEGIN");
        println!("{arguments}: {shaken}");
        ensure!(shaken == good.is_some(), "{arguments}: {output}");
        if let Some(words) = good {
            ensure!(output.contains(words), "{arguments}: {output}");
            ensure!(output.contains("Compression: NONE"), "{output}");
        }
    }
    // Nothing may be sent before the handshake is done; who comes again is known without a ticket.
    let file = front.stage.apis.dir().join("session.pem");
    let file = file.display();
    for version in ["-tls1_3", "-tls1_2"] {
        let first = openssl(to, "sleep 3", &format!("{version} -sess_out {file}")).await?;
        // What it is given to keep is an id of 32 bytes, not a session that a key of ours seals.
        ensure!(!first.contains("    0020 - "), "{version}: {first}");
        let output = openssl(to, "sleep 3", &format!("{version} -sess_in {file}")).await?;
        ensure!(output.contains("Reused, TLSv1"), "{version} is resumed: {output}");
        if version == "-tls1_3" {
            ensure!(output.contains("Max Early Data: 0"), "no 0-RTT: {output}");
        }
    }
    // A client that wants to shake hands again over TLS 1.2 is not heard.
    let output = openssl(to, "sleep 1; echo R; sleep 5", "-tls1_2").await?;
    let after = output.split_once("RENEGOTIATING").context("nothing was tried")?.1;
    ensure!(after.contains(":error:") && !after.contains("verify return"), "{output}");
    front.end().await
}

/// The headers of every answer, here over TLS.
fn safe(answer: &Answer) -> Result<()> {
    checked(answer, "")?;
    let hsts: Vec<_> = answer.headers.get_all(HSTS.0).iter().collect();
    ensure!(hsts.len() == 1 && hsts[0] == HSTS.1, "{hsts:?}");
    Ok(())
}

fn own(answer: &Answer, status: u16, code: &str) -> Result<()> {
    problem(answer, status, code)?;
    ensure!(answer.header("cache-control") == "no-store", "{:?}", answer.headers);
    ensure!(answer.json["request_id"] == answer.header("x-request-id"), "{}", answer.text);
    ensure!(answer.json["errors"] == serde_json::json!([]), "{}", answer.text);
    safe(answer)
}

/// What the balancer answers itself has the headers that every answer of an api has, and an api's own are
/// as they were.
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_the_headers() -> Result<()> {
    let mut front = Front::start(&[]).await?;
    let somebody = front.somebody(ANYBODY)?;
    let ask = async |path: &str| somebody.ask(Method::GET, path, &[], None).await;
    for (path, status) in [("/", 200), ("/api/v1/events", 200), ("/api/v1/nothing", 404)] {
        let answer = ask(path).await?;
        ensure!(answer.status == status, "{path}: {}", answer.status);
        safe(&answer).with_context(|| path.to_owned())?;
    }
    std::fs::write(front.stage.apis.dir().join("web/assets/a-1.js"), "export {}")?;
    let asset = ask("/assets/a-1.js").await?;
    safe(&asset)?;
    ensure!(asset.header("cache-control").contains("immutable"), "{:?}", asset.headers);
    let large = somebody.ask(Method::POST, POSTS, &[JSON], Some(vec![b' '; 20_000])).await?;
    own(&large, 413, "body_too_large")?;

    // In plain HTTP: no more than that it is safe there.
    let plain = reqwest::Client::builder().no_proxy();
    let plain = plain.redirect(reqwest::redirect::Policy::none()).build()?;
    for (path, status) in
        [("/", 308), ("/api/v1/events", 403), ("/.well-known/acme-challenge/none", 404)]
    {
        let answer = plain.get(format!("{}{path}", front.balancer.url())).send().await?;
        ensure!(answer.status() == status, "{path}: {}", answer.status());
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await?;
        let (json, took) = (serde_json::from_str(&text).unwrap_or(Value::Null), Duration::ZERO);
        let answer = Answer { status, headers, json, text, took };
        checked(&answer, "").with_context(|| path.to_owned())?;
        ensure!(answer.headers.get(HSTS.0).is_none(), "{:?}", answer.headers);
        ensure!(answer.header("cache-control") == "no-store", "{:?}", answer.headers);
    }
    // A body that does not come, and nobody who could answer.
    let slow =
        "POST /competition HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\nconnection: close\r\n\r\n{";
    let answer = front.said(slow).await?;
    ensure!(
        answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"body_too_slow\""),
        "{answer}"
    );
    ensure!(answer.contains("content-security-policy: default-src 'none';"), "{answer}");
    ensure!(answer.contains(&format!("{}: {}", HSTS.0, HSTS.1)), "{answer}");
    front.stage.apis.stop(0).await?;
    front.balancer.wait_up(0).await?;
    let nobody = ask("/api/v1/events").await?;
    own(&nobody, 503, "unavailable")?;
    ensure!(nobody.header("retry-after") == "5", "{:?}", nobody.headers);
    front.end().await
}

/// Something that is ready, and hangs up on whoever asks.
async fn rude(ready: TcpListener, rude: TcpListener) -> std::io::Result<()> {
    let mut heard = [0; 4096];
    loop {
        tokio::select! {
            asked = ready.accept() => {
                let mut stream = asked?.0;
                let _ = stream.read(&mut heard).await;
                let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").await;
            }
            asked = rude.accept() => {
                let mut stream = asked?.0;
                let _ = stream.read(&mut heard).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_api_breaks_off_is_told_with_the_headers() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (ready, public) =
        (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    let names = Names::start().await?;
    let behind = Behind {
        name: "127.0.0.1".to_owned(),
        names: names.address(),
        port: public.local_addr()?.port(),
        ops_port: ready.local_addr()?.port(),
    };
    let task: JoinHandle<_> = tokio::spawn(rude(ready, public));
    let made = Made::new(&[NAME], -60, 86_400)?;
    let speaks = Speaks::Tls { made: &made, public_url: Some(PUBLIC_URL) };
    let balancer =
        Balancer::speaking("rude", dir.path(), &behind, Retries::AsDeployed, speaks).await?;
    let somebody = Somebody::new(&made.chain, ANYBODY, balancer.secure)?;
    let answer = somebody.ask_by_one(Method::POST, POSTS, &[JSON], Some(b"{}".to_vec())).await?;
    own(&answer, 502, "unavailable")?;
    ensure!(answer.header("retry-after") == "1", "{:?}", answer.headers);
    task.abort();
    Ok(())
}

/// Those that take too long to provoke, too, are documents of the shape that programs go by.
#[test]
fn every_answer_of_its_own_is_a_problem() -> Result<()> {
    let text = std::fs::read_to_string(given::checkout().join("infra/haproxy/haproxy.cfg"))?;
    let mut statuses = Vec::new();
    for line in text.lines().filter(|line| line.contains("problem+json")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let status = words.iter().find_map(|word| word.parse::<u16>().ok()).context("a status")?;
        let body = line.split('\'').nth(1).context("a body")?;
        let body = body.replace("%[var(txn.id)]", "id").replace("%[var(txn.most)]", "16384");
        ensure!(!body.contains('%'), "{body}");
        let json: Value = serde_json::from_str(&body).with_context(|| body.clone())?;
        let code = json["code"].as_str().context("a code")?;
        ensure!(json["status"] == status && json["request_id"] == "id", "{body}");
        ensure!(json["type"] == format!("urn:portcall:problem:{code}"), "{body}");
        ensure!(json["title"].is_string() && json["errors"].is_array(), "{body}");
        ensure!(json["detail"].as_str().is_some_and(|text| text.ends_with('.')), "{body}");
        statuses.push(status);
    }
    statuses.sort_unstable();
    ensure!(statuses == [400, 403, 404, 408, 413, 429, 500, 502, 503, 504], "{statuses:?}");
    Ok(())
}
