//! W19: certificates in files. What is wrong with them at the start ends the process before it listens;
//! what is wrong with a new pair is said, and the one before it stays, for handshakes and for readiness;
//! a good pair is taken without a connection lost.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use portcall_tests::{
    Event,
    parts::{
        apis::Apis,
        client::Client,
        mongo,
        process::Ended,
        tls::{Made, Trust},
    },
    wait,
};
use reqwest::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const NAME: &str = "portcall.test";
const PATIENCE: Duration = Duration::from_secs(20);
const DAY: i64 = 86_400;
const REFUSED: &str = "a new certificate is not used; the one before it stays";
const REQUEST: &str = "GET /api/v1/events HTTP/1.1\r\nHost: portcall.test\r\n\r\n";

/// Apis that take their certificate from the folder of the test.
async fn apis() -> Result<Apis> {
    let apis = Apis::on(&mongo::shared().await?, &Event::config(), &[]).await?;
    let file = |name| apis.dir().join(name).display().to_string();
    let (certificate, key) = (file("cert.pem"), file("key.pem"));
    let apis = apis.setting("PORTCALL_TLS", "files");
    let apis = apis.setting("PORTCALL_TLS_CERT_FILE", certificate);
    let apis = apis.setting("PORTCALL_TLS_KEY_FILE", key);
    let apis = apis.setting("PORTCALL_API_DRAIN_MS", 0);
    Ok(apis.setting("PORTCALL_PUBLIC_URL", format!("https://{NAME}")))
}

fn put(dir: &Path, chain: &str, key: &str) -> Result<()> {
    fs::write(dir.join("cert.pem"), chain)?;
    Ok(fs::write(dir.join("key.pem"), key)?)
}

fn good() -> Result<Made> {
    Made::new(&["other.test", NAME], -60, 30 * DAY)
}

async fn readiness(apis: &Apis) -> Result<(StatusCode, String)> {
    let ops = Client::new(&format!("http://{}", apis.all[0].ops), "")?;
    let answer = ops.get("/readyz").await?;
    Ok((answer.status, answer.text))
}

/// Asks on a connection that stays open, and is answered.
async fn asked(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<()> {
    stream.write_all(REQUEST.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head)?.to_lowercase();
    ensure!(head.starts_with("http/1.1 200"), "{head}");
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    let mut body = vec![0; length.context("an answer without a length")?.parse()?];
    stream.read_exact(&mut body).await?;
    Ok(())
}

/// Pairs that are not used, what the log says of them, and the variable that it names.
fn bad(good: &Made) -> Result<Vec<(String, String, &'static str, &'static str)>> {
    let (certificate, key) = ("PORTCALL_TLS_CERT_FILE", "PORTCALL_TLS_KEY_FILE");
    let made = |names: &[&str], from, until| Made::new(names, from, until);
    let (other, over) = (made(&[NAME], -60, DAY)?, made(&[NAME], -2 * DAY, -60)?);
    let (early, foreign) = (made(&[NAME], 3600, DAY)?, made(&["other.test"], -60, DAY)?);
    let wild = made(&["*.portcall.test"], -60, DAY)?;
    Ok(vec![
        (other.chain, good.key.clone(), "the private key is not the certificate's", key),
        (over.chain, over.key, "has expired", certificate),
        (early.chain, early.key, "is not valid before", certificate),
        (foreign.chain, foreign.key, "is not for portcall.test", certificate),
        (wild.chain, wild.key, "is not for portcall.test", certificate),
        ("no certificate".to_owned(), good.key.clone(), "there is no certificate", certificate),
        (good.chain.clone(), "no key".to_owned(), "there is no private key", key),
        (good.chain[..300].to_owned(), good.key.clone(), "there is no certificate", certificate),
        (String::new(), String::new(), "there is no certificate", certificate),
    ])
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_at_the_start_is_told() -> Result<()> {
    let mut apis = apis().await?;
    let good = good()?;
    let mut rows = bad(&good)?;
    rows.push((good.chain.clone(), "x".repeat(300_000), "more than", "PORTCALL_TLS_KEY_FILE"));
    for (chain, key, words, variable) in rows {
        put(apis.dir(), &chain, &key)?;
        let n = apis.begin()?;
        let process = &mut apis.all[n].process;
        let (ended, log) = (process.wait(PATIENCE).await?, process.log());
        ensure!(ended == Ended::Code(64), "{words}: {ended:?}\n{log}");
        ensure!(log.contains(&format!("{variable}: ")) && log.contains(words), "{words}: {log}");
    }
    fs::remove_file(apis.dir().join("cert.pem"))?;
    let n = apis.begin()?;
    let process = &mut apis.all[n].process;
    ensure!(process.wait(PATIENCE).await? == Ended::Code(64), "without a file");
    ensure!(process.log().contains("cannot be read"), "{}", process.log());
    apis.end().await
}

#[tokio::test]
async fn a_broken_pair_is_refused_and_a_good_one_taken_without_a_connection_lost() -> Result<()> {
    let mut apis = apis().await?;
    let (first, second) = (good()?, good()?);
    put(apis.dir(), &first.chain, &first.key)?;
    let n = apis.start().await?;
    let at = apis.all[n].address.context("an api without an address")?;
    let trust = Trust::in_roots(&[&first.chain, &second.chain])?;
    ensure!(trust.shown(at, NAME).await? == first.der, "what is there at the start");
    // Opened before all that, and used through it.
    let mut open = trust.connect(at, NAME).await?;
    let mut refused = 0.0;
    for (chain, key, words, variable) in bad(&first)? {
        put(apis.dir(), &chain, &key)?;
        refused += 1.0;
        let told = wait::until(format!("`{words}` in the log"), PATIENCE, || async {
            let log = apis.all[n].process.log();
            let lines: Vec<&str> = log.lines().filter(|line| line.contains(REFUSED)).collect();
            let last = lines.last().map(|line| (*line).to_owned());
            Ok(last.filter(|_| lines.len() as f64 >= refused))
        });
        let told = told.await?;
        ensure!(told.contains(words) && told.contains(variable), "{words}: {told}");
        ensure!(trust.shown(at, NAME).await? == first.der, "{words}: the one before stays");
        ensure!(readiness(&apis).await?.0 == StatusCode::OK, "{words}: and it is ready");
        asked(&mut open).await?;
    }
    let counted = apis.all[n].outcome("portcall_tls_reloads_total", "refused").await?;
    ensure!(counted == refused, "each was counted once: {counted}");

    put(apis.dir(), &second.chain, &second.key)?;
    wait::until("the new certificate", PATIENCE, || async {
        Ok((trust.shown(at, NAME).await? == second.der).then_some(()))
    })
    .await?;
    let until = apis.all[n].metric("portcall_tls_cert_not_after_seconds").await?;
    let now = time::OffsetDateTime::now_utc().unix_timestamp() as f64;
    ensure!((until - now - 30.0 * DAY as f64).abs() < 120.0, "{until}");

    asked(&mut open).await?;
    apis.end().await
}

#[tokio::test]
async fn an_api_whose_certificate_has_expired_is_not_ready() -> Result<()> {
    let mut apis = apis().await?;
    let short = Made::new(&[NAME], -60, 15)?;
    put(apis.dir(), &short.chain, &short.key)?;
    apis.start().await?;
    wait::until("it is not ready", PATIENCE, || async {
        let (status, text) = readiness(&apis).await?;
        Ok((status == StatusCode::SERVICE_UNAVAILABLE && text.contains("has expired"))
            .then_some(()))
    })
    .await?;
    let next = good()?;
    put(apis.dir(), &next.chain, &next.key)?;
    wait::until("it is ready again", PATIENCE, || async {
        Ok((readiness(&apis).await?.0 == StatusCode::OK).then_some(()))
    })
    .await?;
    apis.end().await
}
