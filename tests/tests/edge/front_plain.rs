//! What is left of plain HTTP where the balancer speaks TLS: the way there, as of the api's own (W18).

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    front_stage::{Front, PUBLIC_URL},
    raw::said,
};

/// What is asked of the host `evil.example`, the status, and where it is sent.
const ROWS: [(&str, u16, &str); 18] = [
    ("GET /", 308, "https://portcall.test/"),
    ("HEAD /events/birthday-3?a=b", 308, "https://portcall.test/events/birthday-3?a=b"),
    ("GET /apis", 308, "https://portcall.test/apis"),
    ("GET /openapi.jsonx", 308, "https://portcall.test/openapi.jsonx"),
    ("GET //evil.example/%0d%0ax:", 308, "https://portcall.test//evil.example/%0d%0ax:"),
    ("GET http://evil.example/x?y", 308, "https://portcall.test/x?y"),
    ("GET http://evil.example//x", 308, "https://portcall.test//x"),
    ("POST /", 403, ""),
    ("PUT /", 403, ""),
    ("OPTIONS *", 403, ""),
    ("DELETE /events", 403, ""),
    ("GET /api", 403, ""),
    ("GET /api/v1/events", 403, ""),
    ("HEAD /api/v1/events?token=x", 403, ""),
    ("GET http://evil.example/api/v1/events", 403, ""),
    ("POST /competition", 403, ""),
    ("GET /openapi.json", 403, ""),
    ("GET /.well-known/acme-challenge/none", 404, ""),
];

/// All that the api answered.
const REQUESTS: &str = "portcall_http_requests_total";

/// The head in lower case, and the body.
async fn asked(to: SocketAddr, words: &str) -> Result<(String, String)> {
    let ask = format!(
        "{words} HTTP/1.1\r\nhost: evil.example\r\nx-forwarded-proto: https\r\n\
         x-forwarded-host: evil.example\r\nforwarded: proto=https\r\nconnection: close\r\n\r\n"
    );
    let answer = said(to, ask).await?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| answer.clone())?;
    Ok((head.to_lowercase(), body.to_owned()))
}

fn refused(words: &str, head: &str, body: &str, status: u16, code: &str) -> Result<()> {
    ensure!(head.starts_with(&format!("http/1.1 {status} ")), "{words}: {head}");
    ensure!(!head.contains("\r\nlocation:"), "{words}: {head}");
    if !words.starts_with("HEAD ") {
        ensure!(head.contains("\r\ncontent-type: application/problem+json"), "{words}: {head}");
        let json: Value = serde_json::from_str(body).with_context(|| body.to_owned())?;
        ensure!(json["code"] == code && json["status"] == status, "{words}: {body}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_balancer_plain_http_is_only_the_way_to_tls() -> Result<()> {
    // As the api, it takes no notice of a slash at the end of its own address.
    for url in [PUBLIC_URL, "https://portcall.test/"] {
        let front = Front::with(&[], Some(url)).await?;
        for (words, status, there) in ROWS {
            let (head, body) = asked(front.balancer.address, words).await?;
            ensure!(!head.contains("strict-transport-security"), "{words}: {head}");
            match status {
                308 => {
                    ensure!(head.starts_with("http/1.1 308 "), "{words}: {head}");
                    let location = format!("\r\nlocation: {there}\r\n");
                    ensure!(format!("{head}\r\n").contains(&location), "{words}: {head}");
                    ensure!(body.is_empty(), "{words}: {body}");
                }
                403 => refused(words, &head, &body, 403, "https_required")?,
                _ => refused(words, &head, &body, status, "not_found")?,
            }
        }
        // An address that is of another host than the header is no request.
        let (head, _) = asked(front.balancer.address, "GET http://other.example/").await?;
        ensure!(head.starts_with("http/1.1 400 ") && !head.contains("location"), "{head}");
        // Nothing of it reached the api.
        let api = &front.stage.apis.all[0];
        ensure!(api.metric(REQUESTS).await? == 0.0, "the api was asked");
        // The control: over TLS the same is answered.
        let get = "GET /api/v1/events HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
        let answer = front.said(get).await?;
        ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        ensure!(api.metric(REQUESTS).await? == 1.0, "and counted");
        // Plain HTTP at the address of TLS is none.
        let answer = said(front.balancer.secure, get).await?;
        ensure!(!answer.contains("HTTP/1.1 200"), "{answer}");
        front.end().await?;
    }
    Ok(())
}

/// Who was not told how people reach it sends nobody anywhere, least of all to where a client says.
#[tokio::test(flavor = "multi_thread")]
async fn without_an_address_nobody_is_sent_anywhere() -> Result<()> {
    let front = Front::with(&[], None).await?;
    for (words, status, _) in ROWS {
        let (head, body) = asked(front.balancer.address, words).await?;
        let (status, code) =
            if status == 404 { (404, "not_found") } else { (403, "https_required") };
        refused(words, &head, &body, status, code)?;
    }
    front.end().await
}
