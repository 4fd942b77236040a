//! What the balancer writes down: who asked for which path, and nothing that is secret (W22).

use anyhow::{Result, ensure};
use reqwest::Method;

use super::{
    front_stage::{ANYBODY, Front, NAME},
    raw::said,
    stage::{JSON, POSTS},
};

const QUERY: &str = "planted-query-token-d00d";
const BEARER: &str = "planted-authorization-90ab";
const COOKIE: &str = "planted-cookie-4411";
const KEY: &str = "planted-idempotency-key-5f0c";
const BODY: &str = "planted-contact@example.org";
const USER: &str = "planted-userinfo-password-77";
const REFERRER: &str = "planted-referrer-token-12";
const FRAGMENT: &str = "planted-fragment-7f";
const TITLED: &str = "planted-header-value-e0";

#[tokio::test(flavor = "multi_thread")]
async fn planted_secrets_are_not_in_its_log() -> Result<()> {
    let front = Front::start(&[]).await?;
    let somebody = front.somebody(ANYBODY)?;
    let body = front.stage.submission("Planted").with("/participant/contact", BODY.into());
    let body = body.body().to_string().into_bytes();
    let (bearer, cookie) = (format!("Bearer {BEARER}"), format!("session={COOKIE}"));
    let referrer = format!("https://{NAME}/?secret={REFERRER}");
    let headers = [
        JSON,
        ("authorization", &*bearer),
        ("cookie", &cookie),
        ("idempotency-key", KEY),
        ("referer", &referrer),
        ("user-agent", TITLED),
        ("x-api-key", TITLED),
    ];
    let mut ids = Vec::new();
    for path in [
        format!("{POSTS}?token={QUERY}"),
        format!("/api/v1/admin/me?access_token={QUERY}&a=?{QUERY}"),
        format!("/api/v1/places?q={QUERY}"),
        format!("/?{QUERY}"),
        format!("/planted-path?{QUERY}"),
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let asked = (method, path.as_str());
            let answer =
                somebody.ask(asked.0.clone(), asked.1, &headers, Some(body.clone())).await?;
            ids.push(answer.header("x-request-id").to_owned());
            let answer =
                somebody.ask_by_one(asked.0, asked.1, &headers, Some(body.clone())).await?;
            ids.push(answer.header("x-request-id").to_owned());
        }
    }
    // What is refused by the balancer itself, in plain HTTP and over TLS.
    let long = vec![b' '; 20_000];
    let path = format!("{POSTS}?token={QUERY}");
    let refused = somebody.ask(Method::POST, &path, &headers, Some(long)).await?;
    ensure!(refused.status == 413, "{}", refused.status);
    ids.push(refused.header("x-request-id").to_owned());
    let head = format!("authorization: {bearer}\r\ncookie: {cookie}\r\nreferer: {referrer}\r\n");
    for line in [
        format!("GET /?token={QUERY} HTTP/1.1"),
        format!("GET /planted-plain?token={QUERY} HTTP/1.1"),
        format!("GET /?token={QUERY}#{FRAGMENT} HTTP/1.1"),
        format!("GET /#{FRAGMENT}?token={QUERY} HTTP/1.1"),
        format!("POST /api/v1/events?token={QUERY} HTTP/1.1"),
        format!("GET http://user:{USER}@{NAME}/planted-absolute?token={QUERY} HTTP/1.1"),
        format!("CONNECT user:{USER}@{NAME}:443 HTTP/1.1"),
        format!("OPTIONS *?{QUERY} HTTP/1.1"),
        format!("GET /?token={QUERY} {USER} HTTP/1.1"),
        format!("GET /?token={QUERY} HTTP/9.9"),
        format!("{USER} /?token={QUERY}\u{1} HTTP/1.1"),
        format!("GET /{}?token={QUERY} HTTP/1.1", "x".repeat(70_000)),
    ] {
        let words = format!("{line}\r\nhost: {NAME}\r\n{head}connection: close\r\n\r\n");
        said(front.balancer.address, &words).await?;
        front.said(&words).await?;
    }
    let log = front.balancer.process.log();
    has_no_secret(&log)?;
    // The controls: what is no secret is there, each request under the id that its answer has.
    for path in
        ["\"/planted-path\"", "\"/planted-plain\"", "\"/planted-absolute\"", "\"/api/v1/admin/me\""]
    {
        ensure!(log.contains(path), "{path}: {log}");
    }
    ensure!(log.contains(&format!("{ANYBODY}:")) && log.contains("<BADREQ>"), "{log}");
    for id in ids {
        ensure!(id.len() == 36 && log.matches(&id).count() == 1, "{id}: {log}");
    }
    front.end().await
}

fn has_no_secret(log: &str) -> Result<()> {
    for (what, secret) in [
        ("a token in a query", QUERY),
        ("an Authorization header", BEARER),
        ("a cookie", COOKIE),
        ("an idempotency key", KEY),
        ("a contact", BODY),
        ("a password in an address", USER),
        ("a token in a referrer", REFERRER),
        ("what stands after #", FRAGMENT),
        ("a header", TITLED),
    ] {
        let line = log.lines().find(|line| line.contains(secret));
        ensure!(line.is_none(), "{what}: {line:?}");
    }
    Ok(())
}
