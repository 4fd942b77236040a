//! How a body may be sent, and what a request may be: rows W01 (its limit), W04, W28, W30 and W34.

use anyhow::{Result, ensure};
use reqwest::Method;

use super::stage::{JSON, POSTS, Stage, problem, spoken};

/// Most that is read, in bytes.
const LIMIT: usize = 16 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn only_plain_json_is_read() -> Result<()> {
    let stage = Stage::set(&[]).await?;
    let client = stage.client()?;
    let body = stage.submission("Ann").body().to_string().into_bytes();
    let unsupported = "media_type_unsupported";
    let rows: [(&[(&str, &str)], u16); 20] = [
        (&[JSON], 202),
        (&[("content-type", "Application/JSON; Charset=\"UTF-8\"")], 202),
        (&[JSON, ("content-encoding", "identity")], 202),
        (&[], 415),
        (&[("content-type", "")], 415),
        (&[("content-type", "text/plain")], 415),
        (&[("content-type", "text/plain; application/json")], 415),
        (&[("content-type", "application/x-www-form-urlencoded")], 415),
        (&[("content-type", "multipart/form-data; boundary=x")], 415),
        (&[("content-type", "application/json; charset=utf-16")], 415),
        (&[("content-type", "application/json; charset=iso-8859-1")], 415),
        (&[("content-type", "application/json, text/plain")], 415),
        (&[("content-type", "application/jsonp")], 415),
        (&[("content-type", "application/vnd.api+json")], 415),
        (&[("content-type", "text/plain"), JSON], 415),
        (&[JSON, ("content-encoding", "gzip")], 415),
        (&[JSON, ("content-encoding", "br")], 415),
        (&[JSON, ("content-encoding", "GZIP, identity")], 415),
        (&[JSON, ("content-encoding", "identity"), ("content-encoding", "gzip")], 415),
        (&[JSON, ("content-encoding", "x\u{e9}")], 415),
    ];
    for (headers, status) in rows {
        let path = format!("{POSTS}?again=true");
        let answer = client.request(Method::POST, &path, headers, Some(body.clone())).await?;
        match status {
            202 => ensure!(answer.status == 202, "{headers:?}: {}", answer.text),
            _ => problem(&answer, status, unsupported)
                .map_err(|e| e.context(format!("{headers:?}")))?,
        }
    }
    stage.end().await
}

/// Read to the limit and not further, said beforehand or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_ends_at_its_limit() -> Result<()> {
    let stage = Stage::set(&[]).await?;
    let good = stage.submission("Ann").body().to_string();
    for (size, status) in [(LIMIT, " 202 "), (LIMIT + 1, " 413 "), (1 << 20, " 413 ")] {
        let body = format!("{good}{}", " ".repeat(size - good.len()));
        let head = format!("POST {POSTS}?again=true HTTP/1.1\r\nhost: a\r\nconnection: close\r\n");
        let head = format!("{head}content-type: application/json\r\n");
        let sized = format!("{head}content-length: {size}\r\n\r\n{body}");
        let chunk =
            format!("{head}transfer-encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n0\r\n\r\n");
        for words in [sized, chunk] {
            let answer = spoken(&stage, words.as_bytes()).await?;
            ensure!(
                answer.starts_with("HTTP/1.1") && answer[..20].contains(status),
                "{size}: {answer}"
            );
            let close = answer.to_lowercase().contains("connection: close");
            ensure!(status == " 202 " || close, "{answer}");
        }
    }
    // Ten gigabytes that are only promised are refused without a byte of them.
    let promised = format!(
        "POST {POSTS} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
         content-length: 10737418240\r\n\r\n"
    );
    let answer = spoken(&stage, promised.as_bytes()).await?;
    ensure!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    stage.end().await
}

/// What is not a method of an address is refused with those that are, and no header changes one.
#[tokio::test(flavor = "multi_thread")]
async fn methods_are_what_they_are() -> Result<()> {
    let stage = Stage::set(&[]).await?;
    let client = stage.client()?;
    let submission = client.submit(&stage.submission("Ann")).await?.id;
    let document = format!("/api/v1/submissions/{submission}");
    let addresses = [
        ("/api/v1/events", "GET,HEAD"),
        (POSTS, "POST"),
        (&*document, "DELETE,GET,HEAD"),
        ("/competition", "POST"),
        ("/api/v1/places", "GET,HEAD"),
        ("/", "GET,HEAD"),
    ];
    for (path, allowed) in addresses {
        for method in ["TRACE", "DEBUG", "PATCH", "PUT", "PROPFIND", "OPTIONS", "TRACK", "get"] {
            let body = Some(b"{}".to_vec());
            let answer = client.request(method.parse()?, path, &[JSON], body).await?;
            problem(&answer, 405, "method_not_allowed")
                .map_err(|e| e.context(format!("{method} {path}")))?;
            let mut listed: Vec<&str> = answer.header("allow").split(',').map(str::trim).collect();
            listed.sort_unstable();
            ensure!(listed.join(",") == allowed, "{method} {path}: {listed:?}");
        }
        let connect = format!("CONNECT {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answer = spoken(&stage, connect.as_bytes()).await?;
        ensure!(answer.starts_with("HTTP/1.1 4"), "CONNECT {path}: {answer}");
    }
    for header in ["x-http-method-override", "x-http-method", "x-method-override"] {
        let answer = client.request(Method::GET, &document, &[(header, "DELETE")], None).await?;
        ensure!(answer.status == 200 && answer.json["state"] == "queued", "{}", answer.text);
    }
    let overridden = format!("{POSTS}?_method=DELETE");
    let body = stage.submission("Bob").body().to_string().into_bytes();
    let answer = client.request(Method::POST, &overridden, &[JSON], Some(body)).await?;
    problem(&answer, 400, "unknown_field")?;
    stage.end().await
}

/// A GET with a body is a GET, and neither a longer path nor many ranges are another file.
#[tokio::test(flavor = "multi_thread")]
async fn gets_that_pretend() -> Result<()> {
    let stage = Stage::set(&[]).await?;
    let client = stage.client()?;
    let id = client.submit(&stage.submission("Ann")).await?.id;
    let document = format!("/api/v1/submissions/{id}");
    let plain = client.get(&document).await?;
    let body = Some(br#"{"id":"other"}"#.to_vec());
    let fat = client.request(Method::GET, &document, &[JSON], body).await?;
    ensure!(fat.status == 200 && fat.json["id"] == plain.json["id"], "{}", fat.text);
    for suffix in
        [".css", "/x.css", "%2fx.css", "%0d%0aSet-Cookie:a=b", "/../x.js", ";a=b.css", "/"]
    {
        let answer = client.get(&format!("{document}{suffix}")).await?;
        ensure!(answer.status == 404, "{suffix}: {} {}", answer.status, answer.text);
        ensure!(answer.header("cache-control") == "no-store", "{suffix}");
        ensure!(answer.headers.get("set-cookie").is_none(), "{suffix}");
    }
    std::fs::write(stage.apis.dir().join("web/assets/a-1.js"), "0123456789".repeat(100))?;
    let many = format!("bytes={}0-1", "0-1,".repeat(1000));
    for (range, statuses) in [
        ("bytes=0-9", &[206][..]),
        ("bytes=0-1,2-3,4-5,6-7,8-9", &[200, 416]),
        (&many, &[200, 416]),
        ("bytes=5000-", &[416]),
        ("bytes=9-1", &[200, 416]),
        ("lines=1-2", &[200, 416]),
    ] {
        let answer =
            client.request(Method::GET, "/assets/a-1.js", &[("range", range)], None).await?;
        let status = answer.status.as_u16();
        ensure!(statuses.contains(&status), "{:.40}: {status}", range);
        ensure!(answer.text.len() <= 1000, "{:.40}: {} bytes", range, answer.text.len());
    }
    stage.end().await
}
