//! What strangers can do to the log (row W32), and what a fault of ours tells them (row W33).

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use super::stage::{JSON, POSTS, Stage, spoken};

/// Longest line, in bytes.
const LINE: usize = 16 * 1024;

/// Every line of the log is one of ours, whatever strangers send.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_ours() -> Result<()> {
    for format in ["json", "text"] {
        let settings = [("PORTCALL_LOG", "debug"), ("PORTCALL_LOG_FORMAT", format)];
        let mut stage = Stage::set(&settings).await?;
        provoke(&stage).await?;
        let log = stage.apis.stop(0).await?;
        ensure!(log.lines().count() > 20, "{log}");
        for line in log.lines() {
            ensure!(line.len() <= LINE, "{} bytes: {:.200}", line.len(), line);
            let hidden = line.chars().find(|c| is_hidden(*c));
            ensure!(hidden.is_none(), "{hidden:?} in {line}");
            ensure!(!line.starts_with("FORGED") && !line.contains("[31m"), "{line}");
            match format {
                "json" => {
                    let value: Value =
                        serde_json::from_str(line).with_context(|| line.to_owned())?;
                    ensure!(value["level"].is_string() && value["forged"].is_null(), "{line}");
                }
                _ => ensure!(line.starts_with("20"), "a line that is not ours: {line}"),
            }
        }
        stage.end().await?;
    }
    Ok(())
}

async fn provoke(stage: &Stage) -> Result<()> {
    let client = stage.client()?;
    let forged = "a\r\nFORGED 2030-01-01 INFO x\u{1b}[31m\u{202e}\u{2028}\",\"forged\":true,\"\u{9b}%n%s${jndi:x}";
    for pointer in
        ["/participant/name", "/place/label", "/answers/why", "/images/0", "/participant/contact"]
    {
        client.post(&stage.submission("Ann").with(pointer, json!(forged))).await?;
    }
    client
        .post(&stage.submission("Ann").with(&format!("/{}", forged.replace('/', "")), json!(1)))
        .await?;
    client.post(&stage.submission("Ann")).await?;
    // Bytes above ASCII may stand in a header; those below a space may not.
    let raw = "\u{202e}\u{9b}31m\u{2028}forged";
    for name in [
        "user-agent",
        "referer",
        "x-forwarded-for",
        "idempotency-key",
        "traceparent",
        "authorization",
        "cookie",
        "last-event-id",
        "accept",
    ] {
        for path in ["/api/v1/nothing", "/api/v1/events", "/api/v1/admin/me"] {
            client.request(Method::GET, path, &[(name, raw)], None).await?;
        }
        let body = stage.submission("Bob").body().to_string().into_bytes();
        client.request(Method::POST, POSTS, &[JSON, (name, raw)], Some(body)).await?;
    }
    for path in [
        "/api/v1/submissions/%0d%0aFORGED%20x",
        "/%1b%5b31m%e2%80%ae",
        "/api/v1/places?q=%0aFORGED%e2%80%a8",
        "/competition/%00",
    ] {
        client.get(path).await?;
        client.request(Method::DELETE, path, &[], None).await?;
        client.request(Method::POST, path, &[JSON], Some(b"{}".to_vec())).await?;
    }
    let method = "M".repeat(8_000);
    client.request(method.parse()?, "/api/v1/events", &[], None).await?;
    for words in [
        format!("GET / HTTP/1.1\r\nhost: a\r\nuser-agent: {}\r\n\r\n", "u".repeat(1 << 20)),
        "GET / HTTP/1.1\r\nhost: a\r\nuser-agent: a\u{1b}[31m\u{7}\r\n\r\n".to_owned(),
        "GET /\r\nFORGED line\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\r\nFORGED\r\n\r\n".to_owned(),
    ] {
        spoken(stage, words.as_bytes()).await?;
    }
    Ok(())
}

fn is_hidden(c: char) -> bool {
    matches!(
        c.general_category(),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::PrivateUse
    )
}

/// What goes wrong inside is not told outside: neither where, nor with what.
#[tokio::test(flavor = "multi_thread")]
async fn faults_are_told_without_the_inside() -> Result<()> {
    let stage = Stage::set(&[]).await?;
    let client = stage.client()?;
    let accepted = client.submit(&stage.submission("Ann")).await?;
    // What the store holds is made unreadable.
    let (uri, database) = stage.apis.database();
    portcall_tests::parts::mongo::spoil(uri, database, "place.label", "bad\u{0}label").await?;
    let path = format!("/api/v1/submissions/{}", accepted.id);
    for _ in 0..2 {
        let answer = client.get(&path).await?;
        ensure!(answer.status == 500, "{} {}", answer.status, answer.text);
        ensure!(answer.json["code"] == "internal", "{}", answer.text);
        let id = answer.json["request_id"].as_str().context("a request id")?;
        for inside in
            ["mongo", "127.0.0.1", "src/", ".rs", "place", "panicked", env!("CARGO_PKG_VERSION")]
        {
            ensure!(!answer.text.contains(inside), "{inside}: {}", answer.text);
        }
        ensure!(answer.headers.get("server").is_none(), "{:?}", answer.headers);
        let (api, patience) = (&stage.apis.all[0], std::time::Duration::from_secs(5));
        let line = api.wait_log(&[id, "place.label"], patience).await;
        line.context("the log has the cause under the id that was told")?;
    }
    ensure!(client.get("/api/v1/events").await?.status == 200, "it goes on");
    stage.end().await
}
