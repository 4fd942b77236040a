//! What stands in the head of every answer: rows W26, W27, W28 and W33.

use anyhow::{Context, Result, ensure};
use portcall_tests::parts::client::Answer;
use reqwest::Method;

use super::stage::{JSON, POSTS, Stage, spoken};

const EVERY: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("permissions-policy", "geolocation=(), camera=(), microphone=()"),
];
const POLICY: [&str; 6] = [
    "default-src 'none'",
    "script-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
];
/// What no answer has.
const NEVER: [&str; 7] = [
    "server",
    "x-powered-by",
    "set-cookie",
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "www-authenticate",
    "trailer",
];
/// The status, and what is asked: method, path, headers, body.
type Row<'a> = (u16, Method, &'a str, Vec<(&'a str, &'a str)>, Option<Vec<u8>>);
const LISTED: &str = "https://club.example";

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_them() -> Result<()> {
    let stage = Stage::set(&[("PORTCALL_RATE_PER_ADDRESS", "20")]).await?;
    let client = stage.client()?;
    std::fs::write(stage.apis.dir().join("web/assets/a-1.js"), "export {}")?;
    let accepted = client.post(&stage.submission("Ann")).await?;
    let document = format!("/api/v1/submissions/{}", accepted.json["id"].as_str().context("id")?);
    let tag = client.get(&document).await?.header("etag").to_owned();
    let large = vec![b' '; 20_000];
    let rows: Vec<Row<'_>> = vec![
        (200, Method::GET, "/", vec![], None),
        (200, Method::GET, "/assets/a-1.js", vec![], None),
        (206, Method::GET, "/assets/a-1.js", vec![("range", "bytes=0-1")], None),
        (416, Method::GET, "/assets/a-1.js", vec![("range", "bytes=900-")], None),
        (200, Method::GET, "/api/v1/events", vec![], None),
        (200, Method::HEAD, "/api/v1/events", vec![], None),
        (200, Method::GET, "/api/v1/places?q=berlin", vec![], None),
        (200, Method::GET, "/api/v1/events/birthday-3/stats", vec![], None),
        (
            200,
            Method::GET,
            "/api/v1/events/birthday-3/pins?bbox=-180,-85,180,85&zoom=2",
            vec![],
            None,
        ),
        (200, Method::GET, &document, vec![], None),
        (304, Method::GET, &document, vec![("if-none-match", &tag)], None),
        (400, Method::GET, "/api/v1/events/birthday-3/pins?zoom=two&x=1", vec![], None),
        (400, Method::POST, POSTS, vec![JSON], Some(b"{".to_vec())),
        (401, Method::DELETE, &document, vec![], None),
        (404, Method::GET, "/api/v1/nothing", vec![], None),
        (404, Method::GET, "/nothing.js", vec![], None),
        (404, Method::GET, "/api/v1/submissions/x.css", vec![], None),
        (405, Method::PUT, "/api/v1/events", vec![], None),
        (413, Method::POST, POSTS, vec![JSON], Some(large)),
        (415, Method::POST, POSTS, vec![], Some(b"{}".to_vec())),
        (422, Method::POST, POSTS, vec![JSON], Some(b"{}".to_vec())),
    ];
    for (status, method, path, headers, body) in rows {
        let answer = client.request(method.clone(), path, &headers, body).await?;
        ensure!(answer.status == status, "{method} {path}: {} {}", answer.status, answer.text);
        let allowed = if status == 401 { "www-authenticate" } else { "" };
        checked(&answer, allowed).map_err(|e| e.context(format!("{status} {method} {path}")))?;
    }
    let mut limited = client.post(&stage.submission("Bob")).await?;
    while limited.status != 429 {
        limited = client.post(&stage.submission("Bob")).await?;
    }
    checked(&limited, "")?;
    stage.end().await
}

/// What a client has already is not sent again, and what it has of another time is.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_already_is_not_sent_again() -> Result<()> {
    let stage = Stage::set(&[]).await?;
    let client = stage.client()?;
    for path in [
        "/api/v1/events",
        "/api/v1/events/birthday-3",
        "/api/v1/events/birthday-3/stats",
        "/api/v1/events/birthday-3/pins?bbox=-180,-85,180,85&zoom=2",
        "/api/v1/places?q=berlin",
        "/openapi.json",
        "/docs",
    ] {
        let ask = async |tag: &str| {
            let headers = [("if-none-match", tag)];
            client.request(Method::GET, path, &headers, None).await
        };
        let first = client.get(path).await?;
        let tag = first.header("etag").to_owned();
        ensure!(first.status == 200 && tag.len() > 2, "{path}: {} {tag:?}", first.status);
        let again = ask(&tag).await?;
        ensure!(again.status == 304 && again.text.is_empty(), "{path}: {}", again.status);
        ensure!(again.header("etag") == tag, "{path}: {}", again.header("etag"));
        checked(&again, "").map_err(|e| e.context(path))?;
        ensure!(ask("\"another\"").await?.status == 200, "{path}");
    }
    stage.end().await
}

/// What is answered before there is a request has no body, or one that nobody could take for something else.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_gets_nothing() -> Result<()> {
    let stage = Stage::set(&[]).await?;
    let long = "x".repeat(1 << 20);
    for (words, statuses) in [
        (format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"), &["414", "431", "400"][..]),
        (format!("GET / HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"), &["431", "400"]),
        (format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(1000)), &["431", "400"]),
        ("what is this?\r\n\r\n".to_owned(), &["400"]),
    ] {
        let answer = spoken(&stage, words.as_bytes()).await?;
        // It may hang up on who goes on talking, before that has read the answer.
        let Some(status) = answer.get(9..12) else { continue };
        ensure!(statuses.contains(&status), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").context("a whole head")?;
        let head = head.to_lowercase();
        let said = head.contains("content-type: application/problem+json");
        let safe = said && head.contains("x-content-type-options: nosniff");
        ensure!(body.is_empty() || safe, "{answer}");
        ensure!(!head.contains("\r\nserver:") && !body.contains("xxx"), "{answer}");
    }
    ensure!(stage.client()?.get("/api/v1/events").await?.status == 200, "it goes on");
    stage.end().await
}

/// Whatever a client claims about the host or the way here stands in no answer.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_client_claims_is_reflected() -> Result<()> {
    let stage = Stage::set(&[("PORTCALL_PUBLIC_URL", "https://portcall.example")]).await?;
    let client = stage.client()?;
    let claims = [
        "host",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-prefix",
        "x-original-url",
        "x-rewrite-url",
        "forwarded",
        "x-host",
        "origin",
        "referer",
        "user-agent",
        "x-request-id",
        "x-forwarded-for",
    ];
    let body = stage.submission("Ann").body().to_string().into_bytes();
    for claim in claims {
        let headers = [JSON, (claim, "evil.example")];
        let path = format!("{POSTS}?again=true");
        let posted = client.request(Method::POST, &path, &headers, Some(body.clone())).await?;
        if posted.status != 202 {
            // Five may be pending.
            ensure!(posted.status == 429, "{claim}: {} {}", posted.status, posted.text);
        }
        let mut answers = vec![posted];
        for path in ["/", "/api/v1/events", "/api/v1/nothing", "/api/v1/submissions/x"] {
            answers.push(client.request(Method::GET, path, &headers[1..], None).await?);
        }
        for answer in answers {
            let head = format!("{:?}", answer.headers);
            ensure!(!head.contains("evil.example"), "{claim}: {head}");
            ensure!(!answer.text.contains("evil.example"), "{claim}: {}", answer.text);
        }
    }
    stage.end().await
}

/// No page of others reads anything, unless its origin is on the list, exactly.
#[tokio::test(flavor = "multi_thread")]
async fn pages_of_others_are_named_or_kept_out() -> Result<()> {
    let asked = ("access-control-request-method", "POST");
    let none = Stage::set(&[]).await?;
    let client = none.client()?;
    for origin in [LISTED, "null", "http://127.0.0.1:8080"] {
        let answer =
            client.request(Method::GET, "/api/v1/events", &[("origin", origin)], None).await?;
        checked(&answer, "")?;
        let preflight =
            client.request(Method::OPTIONS, POSTS, &[("origin", origin), asked], None).await?;
        ensure!(preflight.status == 405, "{}", preflight.status);
        checked(&preflight, "")?;
    }
    none.end().await?;

    let listed = format!("{LISTED},http://other.example:8080");
    let stage = Stage::set(&[("PORTCALL_CORS_ORIGINS", &listed)]).await?;
    let client = stage.client()?;
    for origin in [LISTED, "http://other.example:8080"] {
        let headers = [("origin", origin), asked];
        let preflight = client.request(Method::OPTIONS, POSTS, &headers, None).await?;
        ensure!(preflight.status == 204 && preflight.text.is_empty(), "{}", preflight.status);
        ensure!(preflight.header("access-control-allow-methods") == "GET, POST");
        let body = Some(stage.submission("Ann").body().to_string().into_bytes());
        let posted = client.request(Method::POST, POSTS, &[JSON, headers[0]], body).await?;
        let missing = client.request(Method::GET, "/api/v1/none", &headers[..1], None).await?;
        for answer in [&preflight, &posted, &missing] {
            ensure!(answer.header("access-control-allow-origin") == origin);
            ensure!(answer.header("vary").contains("origin"), "{:?}", answer.headers);
            ensure!(answer.headers.get("access-control-allow-credentials").is_none());
        }
    }
    for origin in [
        "null",
        "https://evil.example",
        "https://club.example.evil.example",
        "https://x.club.example",
        "http://club.example",
        "https://club.example:444",
        "https://club.example/",
        "HTTPS://club.example",
    ] {
        let headers = [("origin", origin), asked];
        let preflight = client.request(Method::OPTIONS, POSTS, &headers, None).await?;
        ensure!(preflight.status == 405, "{origin}: {}", preflight.status);
        let answer = client.request(Method::GET, "/api/v1/events", &headers[..1], None).await?;
        for answer in [preflight, answer] {
            checked(&answer, "")?;
            ensure!(answer.header("vary").contains("origin"), "{origin}: {:?}", answer.headers);
        }
    }
    // What organisers do is for no page of others.
    let admin = "/api/v1/admin/me";
    let answer = client.request(Method::OPTIONS, admin, &[("origin", LISTED), asked], None).await?;
    ensure!(answer.headers.get("access-control-allow-origin").is_none());
    stage.end().await
}

pub(crate) fn checked(answer: &Answer, allowed: &str) -> Result<()> {
    for (name, value) in EVERY {
        let all: Vec<_> = answer.headers.get_all(name).iter().collect();
        ensure!(all.len() == 1 && all[0] == value, "{name}: {all:?}");
    }
    let policy = answer.header("content-security-policy");
    for part in POLICY {
        ensure!(policy.contains(part), "{part}: {policy}");
    }
    ensure!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    for name in NEVER.into_iter().filter(|name| *name != allowed) {
        ensure!(answer.headers.get(name).is_none(), "{name}: {:?}", answer.headers);
    }
    ensure!(!answer.header("cache-control").is_empty(), "{:?}", answer.headers);
    ensure!(answer.header("x-request-id").len() == 36, "{:?}", answer.headers);
    let media_type = answer.header("content-type");
    if media_type.starts_with("text/") || media_type.starts_with("application/json") {
        ensure!(media_type.ends_with("charset=utf-8"), "{media_type}");
    }
    ensure!(answer.text.is_empty() || !media_type.is_empty(), "a body of no type");
    Ok(())
}
