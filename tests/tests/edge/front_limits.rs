//! How large a body may be that comes through the balancer: what the api reads, and no more.

use anyhow::{Context, Result, ensure};
use portcall_tests::parts::client::Answer;
use reqwest::Method;
use serde_json::json;

use super::{
    front_stage::{ANYBODY, Front, NAME},
    organisers::token,
    stage::{JSON, POSTS, problem},
};

const RULES: &str = "/api/v1/admin/events/birthday-3/rules";
/// What the api reads of rules, and of anything else.
const MOST: usize = 513 * 1024;
const USUAL: usize = 16 * 1024;

/// A file of rules with a comment, so that the body has this many bytes.
fn body(source: &str, comment: &str, bytes: usize) -> Result<Vec<u8>> {
    let mut body = json!({ "source": format!("{source}\n# {comment}\n") }).to_string().into_bytes();
    ensure!(body.len() <= bytes, "{} bytes already", body.len());
    // What JSON may end with.
    body.resize(bytes, b' ');
    Ok(body)
}

fn too_large(answer: &Answer, most: usize) -> Result<()> {
    problem(answer, 413, "body_too_large")?;
    let told = format!("At most {most} bytes of body are read.");
    ensure!(answer.json["detail"] == told, "{}", answer.text);
    ensure!(answer.json["request_id"] == answer.header("x-request-id"), "{}", answer.text);
    Ok(())
}

/// An organiser's file of 200 KiB comes through as it does without a balancer; so does the largest that
/// the api reads, and one byte more does not.
#[tokio::test(flavor = "multi_thread")]
async fn rules_are_as_large_as_the_api_takes_them() -> Result<()> {
    let front = Front::start(&[]).await?;
    let token = token(&front.stage, "rules", &["--event", "birthday-3"]).await?;
    let bearer = format!("Bearer {}", token.text);
    let headers = [JSON, ("authorization", &*bearer)];
    let somebody = front.somebody(ANYBODY)?;
    let shown = somebody.ask(Method::GET, RULES, &headers[1..], None).await?;
    let source = shown.json["source"].as_str().with_context(|| shown.text.clone())?;

    let large = "x".repeat(200 * 1024);
    let file = body(source, &large, 220 * 1024)?;
    let put = somebody.ask(Method::PUT, RULES, &headers, Some(file)).await?;
    ensure!(put.status == 200 && put.json["outcome"] == "applied", "{} {}", put.status, put.text);
    let shown = somebody.ask(Method::GET, RULES, &headers[1..], None).await?;
    ensure!(shown.json["source"].as_str().is_some_and(|s| s.contains(&large)), "all of it");

    for bytes in [USUAL + 1, MOST] {
        let file = body(source, "another", bytes)?;
        let put = somebody.ask_by_one(Method::PUT, RULES, &headers, Some(file)).await?;
        ensure!(put.status == 200, "{bytes}: {} {}", put.status, put.text);
    }
    // By the length that it tells: nothing of it is waited for.
    for bytes in [MOST + 1, 4 * MOST] {
        let answer = front
            .said(format!(
                "PUT {RULES} HTTP/1.1\r\nhost: {NAME}\r\nauthorization: {bearer}\r\n\
                 content-type: application/json\r\ncontent-length: {bytes}\r\n\r\n"
            ))
            .await?;
        ensure!(answer.starts_with("HTTP/1.1 413 "), "{bytes}: {answer}");
        ensure!(answer.contains(&format!("At most {MOST} bytes")), "{bytes}: {answer}");
    }
    // Without a length it is the api that counts.
    for (bytes, status) in [(MOST, "200"), (MOST + 1, "413")] {
        let file = String::from_utf8(body(source, "chunked", bytes)?)?;
        let answer = front
            .said(format!(
                "PUT {RULES} HTTP/1.1\r\nhost: {NAME}\r\nauthorization: {bearer}\r\n\
                 content-type: application/json\r\ntransfer-encoding: chunked\r\n\
                 connection: close\r\n\r\n{bytes:x}\r\n{file}\r\n0\r\n\r\n"
            ))
            .await?;
        ensure!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes}: {answer}");
    }
    // Who may not is told so, however much they bring.
    let file = body(source, "whose?", 200 * 1024)?;
    let refused = somebody.ask_by_one(Method::PUT, RULES, &[JSON], Some(file)).await?;
    problem(&refused, 401, "token_needed")?;
    front.end().await
}

/// It is the rules alone, and only to put them.
#[tokio::test(flavor = "multi_thread")]
async fn anything_else_is_as_large_as_before() -> Result<()> {
    let front = Front::start(&[]).await?;
    let somebody = front.somebody(ANYBODY)?;
    for (method, path) in [
        (Method::POST, POSTS),
        (Method::POST, "/competition"),
        (Method::POST, RULES),
        (Method::PATCH, RULES),
        (Method::PUT, "/api/v1/admin/events/birthday-3/rules/"),
        (Method::PUT, "/api/v1/admin/events/birthday-3/rules/versions"),
        (Method::PUT, "/api/v1/admin/events/a/b/rules"),
        (Method::PUT, "/x/api/v1/admin/events/a/rules"),
        (Method::PUT, "/api/v1/events/birthday-3/submissions?/api/v1/admin/events/a/rules"),
    ] {
        let ask = async |bytes: usize| {
            let body = Some(vec![b' '; bytes]);
            somebody.ask(method.clone(), path, &[JSON], body).await
        };
        let more = ask(USUAL + 1).await?;
        too_large(&more, USUAL).with_context(|| format!("{method} {path}"))?;
        let most = ask(USUAL).await?;
        ensure!(most.status != 413, "{method} {path}: {} {}", most.status, most.text);
    }
    front.end().await
}
