//! What the whole run does not show: that the delay is what makes a replacement smooth, what a
//! client hears when no api is there, and that a stream may go on at another api.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use portcall_tests::{
    Submission,
    parts::{
        balancer::Retries,
        client::{Answer, Client},
        mongo,
        process::{Ended, run},
        silent::Silent,
    },
};
use reqwest::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    BARE_PACE, Front, Own, PATIENCE, cancel,
    load::{Load, Plan},
    rows::{self, Rows},
};

/// An image at a registry that refuses connections.
const NOWHERE: &str = "127.0.0.1:1/app:1";
/// As the client of 2016 sent it.
const OLD: &str = r#"{"name":"Gordon","twitter":"@docker","location":"San Francisco, CA, USA","repo":["127.0.0.1:1/app:1"],"vote":"Cats"}"#;

/// The control of the replacement rows: an api that closes as soon as it is told to is still
/// believed in, and a balancer that never tries again sends requests into nothing.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_delay_a_replacement_loses_requests() -> Result<()> {
    let silent = Silent::start().await?;
    let settings = [("PORTCALL_ADMISSION_BUDGET_MS", 400), ("PORTCALL_API_DRAIN_MS", 0)];
    let uri = mongo::shared().await?;
    let mut front = Front::start(&uri, &[&silent.host()], &settings).await?;
    for _ in 0..2 {
        front.add().await?;
    }
    let bare = front.balancer("bare", Retries::None).await?;
    bare.wait_up(2).await?;
    let plan = Plan { label: "bare", pace: BARE_PACE / 4, image: silent.image() };
    let load = Load::start(front.apis.client_at(&bare.url())?, plan);
    let mut rows = Rows::default();
    rows.next("replace without delay");
    load.more(40).await?;
    front.replace(0).await?;
    bare.wait_up(2).await?;
    load.more(40).await?;
    let figures = rows.of(&load.stop().await?);
    rows::print("through one that never tries again", &figures);
    ensure!(!figures[0].again.is_empty(), "nothing was lost");
    front.apis.end().await
}

/// What goes wrong is told as a problem, whoever tells it, also to clients that know nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn clients_hear_of_every_fault_through_the_balancer() -> Result<()> {
    let uri = mongo::shared().await?;
    let mut front = Front::start(&uri, &["127.0.0.1:1"], &[("PORTCALL_API_DRAIN_MS", 0)]).await?;
    let balancer = front.balancer("deployed", Retries::AsDeployed).await?;
    let client = front.apis.client_at(&balancer.url())?;
    // Nobody is there yet.
    for answer in [client.get("/").await?, competition(&client, OLD).await?] {
        problem(&answer, StatusCode::SERVICE_UNAVAILABLE)?;
        let after: u64 = answer.header("retry-after").parse().context("Retry-After")?;
        ensure!((1..=30).contains(&after), "come again after {after} s");
    }
    front.add().await?;
    balancer.wait_up(1).await?;
    let accepted = competition(&client, OLD).await?;
    ensure!(accepted.status == StatusCode::OK, "{} {}", accepted.status, accepted.text);
    problem(&competition(&client, "{}").await?, StatusCode::UNPROCESSABLE_ENTITY)?;
    problem(&client.get("/api/v1/submissions/none").await?, StatusCode::NOT_FOUND)?;
    let put = client.request(Method::PUT, "/competition", &[], None).await?;
    problem(&put, StatusCode::METHOD_NOT_ALLOWED)?;
    let garbage = spoken(&balancer.url(), "what is this?\r\n\r\n").await?;
    ensure!(garbage.starts_with("HTTP/1.1 400"), "{garbage}");
    // Larger than anybody keeps: the answer must not be lost with the rest of the body.
    for (kib, status) in
        [(15, " 422 "), (17, " 413 "), (40, " 413 "), (400, " 413 "), (4000, " 413 ")]
    {
        let large = format!("{{\"name\":\"{}\"}}", "x".repeat(kib * 1024));
        let answer = curl(&balancer.url(), &large).await?;
        ensure!(answer.contains(status), "{kib}: {answer}");
        ensure!(answer.contains("body_too_large") == (kib > 16), "{kib}: {answer}");
    }
    front.apis.end().await
}

/// What comes back on a connection over which this is sent.
async fn spoken(base: &str, words: &str) -> Result<String> {
    let address = base.strip_prefix("http://").context("an address in plain HTTP")?;
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(words.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn competition(client: &Client, body: &str) -> Result<Answer> {
    let headers = [("content-type", "application/json")];
    client.request(Method::POST, "/competition", &headers, Some(body.into())).await
}

fn problem(answer: &Answer, status: StatusCode) -> Result<()> {
    ensure!(answer.status == status, "{} {}", answer.status, answer.text);
    let media_type = answer.header("content-type");
    ensure!(media_type == "application/problem+json", "{media_type}: {}", answer.text);
    ensure!(answer.json["status"] == status.as_u16(), "{}", answer.text);
    ensure!(
        answer.json["code"].is_string() && answer.json["detail"].is_string(),
        "{}",
        answer.text
    );
    Ok(())
}

/// What `curl` is answered when it sends that to the contract of 2016.
async fn curl(base: &str, body: &str) -> Result<String> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), body)?;
    let data = format!("@{}", file.path().display());
    let url = format!("{base}/competition");
    let json = "content-type: application/json";
    let arguments = ["-sS", "-i", "-m", "20", "-H", json, "--data-binary", &data, &url];
    let (ended, output) = run(Path::new("curl"), &arguments, &[], PATIENCE).await?;
    ensure!(ended == Ended::Code(0), "curl: {ended:?} {output}");
    Ok(output)
}

/// An event's id means the same to every api: whoever comes back to another one goes on from the
/// document as it is, and is told when there is nothing more to come.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_at_another_api() -> Result<()> {
    let uri = mongo::shared().await?;
    let mut front = Front::start(&uri, &["127.0.0.1:1"], &[("PORTCALL_API_DRAIN_MS", 0)]).await?;
    for _ in 0..2 {
        front.add().await?;
    }
    let clients = [front.apis.client(0)?, front.apis.client(1)?];
    let submission = Submission::of("Gordon").reference(NOWHERE);
    let accepted = clients[0].submit(&submission).await?;
    let path = format!("/api/v1/submissions/{}/live", accepted.id);
    let one = |text: &str| text.contains("\nid:");
    let first = clients[0].live(&path, PATIENCE, one).await?;
    let (seen, state) = last(&first)?;
    ensure!(state == "queued", "{first}");
    // While nobody follows, it changes.
    let secret = accepted.document["secret"].as_str().context("a secret")?.to_owned();
    cancel(&clients[0], vec![Own { id: accepted.id, secret }]).await?;
    let missed = resume(&clients[1], &path, &seen).await?;
    let (now, state) = last(&missed.text)?;
    ensure!(state == "cancelled" && now != seen, "it was missed: {}", missed.text);
    ensure!(missed.text.matches("event:").count() == 1, "only what is now: {}", missed.text);
    for (client, status) in clients.iter().zip([StatusCode::NO_CONTENT; 2]) {
        ensure!(resume(client, &path, &now).await?.status == status, "nothing more to come");
    }
    // The controls: an id that is no more, and one that is none.
    for other in [seen.as_str(), "", "x"] {
        let again = resume(&clients[0], &path, other).await?;
        ensure!(last(&again.text)? == (now.clone(), "cancelled".to_owned()), "{}", again.text);
    }
    // Each api numbers the news of an event for itself, and none takes an id of another for one of
    // its own: whoever follows the event begins with its revision.
    let event = "/api/v1/events/birthday-3/live";
    let hello = |text: &str| text.contains("event: hello");
    let both = clients.iter().map(|client| client.live(event, PATIENCE, hello));
    let id =
        |text: String| text.lines().find_map(|line| Some(line.strip_prefix("id:")?.to_owned()));
    let ids: Vec<_> = try_join_all(both).await?.into_iter().map(id).collect();
    ensure!(ids.iter().all(Option::is_some) && ids[0] != ids[1], "{ids:?}");
    front.apis.end().await
}

async fn resume(client: &Client, path: &str, seen: &str) -> Result<Answer> {
    client.request(Method::GET, path, &[("last-event-id", seen)], None).await
}

/// The id and the state in the last event of a stream.
fn last(text: &str) -> Result<(String, String)> {
    let block = text.trim_end().rsplit("\n\n").next().unwrap_or_default();
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
    let id = field("id:").with_context(|| format!("no id: {text}"))?.trim().to_owned();
    let data: serde_json::Value = serde_json::from_str(field("data:").context("no data")?.trim())?;
    Ok((id, data["state"].as_str().unwrap_or_default().to_owned()))
}
