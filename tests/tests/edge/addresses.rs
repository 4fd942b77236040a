//! Whose request it is, and how many one may send: rows W13 and W15.

use anyhow::{Context, Result, ensure};
use portcall_tests::parts::{
    balancer::{Balancer, Behind, Retries},
    names::Names,
};
use reqwest::Method;
use serde_json::json;

use super::stage::{From, POSTS, Stage};

const LIMITED: &str = "address_rate";

/// Whatever a stranger claims about where they come from, it is their own address that counts.
#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_say_of_their_address_is_not_believed() -> Result<()> {
    let stage = Stage::set(&[("PORTCALL_RATE_PER_ADDRESS", "3")]).await?;
    let stranger = stage.from("127.1.0.1")?;
    for n in 0..5 {
        let claimed = format!("203.0.113.{n}");
        let forwarded = format!("for={claimed}");
        let headers =
            [("x-forwarded-for", &*claimed), ("x-real-ip", &claimed), ("forwarded", &forwarded)];
        let submission = stage.submission(&format!("P{n}"));
        let (status, code, answered) = stranger.post(&submission, &headers).await?;
        let expected = if n < 3 { (202, "") } else { (429, LIMITED) };
        ensure!((status, &*code) == expected, "{n}: {status} {code}");
        if status == 429 {
            let after: u64 = answered["retry-after"].to_str()?.parse()?;
            ensure!((1..=20).contains(&after), "a third of a minute at most: {after}");
        }
    }
    let other = stage.from("127.1.0.2")?;
    ensure!(other.post(&stage.submission("Other"), &[]).await?.0 == 202, "others go on");
    let reads = stranger.ask(Method::GET, "/api/v1/events", &[], None).await?;
    ensure!(reads.0 == 200, "and so does reading");
    let log = stage.apis.all[0].process.log();
    ensure!(log.matches("no trusted proxy").count() == 1, "it is said once: {log}");
    stage.end().await
}

/// Behind a balancer that is trusted it is the address that the balancer saw.
#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_balancer_says_whose_request_it_is() -> Result<()> {
    let settings =
        [("PORTCALL_RATE_PER_ADDRESS", "3"), ("PORTCALL_TRUSTED_PROXIES", "127.1.0.0/24")];
    let stage = Stage::set(&settings).await?;
    let (balancer, untrusted) = (stage.from("127.1.0.1")?, stage.from("127.2.0.1")?);
    // Whose name stands in the header, and how many of them are one.
    let rows: [(&From, &[&str], &str); 6] = [
        (&balancer, &["203.0.113.5"; 3], "203.0.113.5"),
        (
            &balancer,
            &["203.0.113.6", "198.51.100.1, 203.0.113.6", "10.0.0.1,203.0.113.6"],
            "::1, 203.0.113.6",
        ),
        (&balancer, &["203.0.113.7, 127.1.0.9", "203.0.113.7:99", "203.0.113.7"], "203.0.113.7"),
        (&balancer, &["2001:db8:1::1", "2001:db8:1::2", "[2001:db8:1::3]:99"], "2001:db8:1::4"),
        (
            &balancer,
            &["2001:db8:1:1::1", "2001:db8:1:1:ffff::1", "2001:db8:1:1::2"],
            "2001:db8:1:1::3",
        ),
        (&untrusted, &["203.0.113.20", "203.0.113.21", "203.0.113.22"], "203.0.113.23"),
    ];
    for (n, (client, good, last)) in rows.into_iter().enumerate() {
        for (m, forwarded) in good.iter().chain([&last]).enumerate() {
            let submission = stage.submission(&format!("P{n}-{m}"));
            let (status, code, _) =
                client.post(&submission, &[("x-forwarded-for", forwarded)]).await?;
            let expected = if m < 3 { (202, "") } else { (429, LIMITED) };
            ensure!((status, &*code) == expected, "{n} {forwarded}: {status} {code}");
        }
    }
    stage.end().await
}

/// The same through the balancer that is deployed: it takes away what clients say.
#[tokio::test(flavor = "multi_thread")]
async fn clients_behind_the_balancer_are_told_apart() -> Result<()> {
    let settings =
        [("PORTCALL_RATE_PER_ADDRESS", "3"), ("PORTCALL_TRUSTED_PROXIES", "127.0.0.1/32")];
    let stage = Stage::set(&settings).await?;
    let names = Names::start().await?;
    names.add("tasks.api", stage.apis.ip(0)?);
    let (port, ops_port) = stage.apis.ports();
    let behind = Behind { name: "tasks.api".into(), names: names.address(), port, ops_port };
    let balancer =
        Balancer::start("balancer", stage.apis.dir(), &behind, Retries::AsDeployed).await?;
    balancer.wait_up(1).await?;
    for address in ["127.3.0.1", "127.3.0.2"] {
        let client = From::new(&balancer.url(), address)?;
        for n in 0..4 {
            let claimed = format!("203.0.113.{n}");
            let submission = stage.submission(&format!("{address} {n}"));
            let (status, code, _) =
                client.post(&submission, &[("x-forwarded-for", &claimed)]).await?;
            let expected = if n < 3 { (202, "") } else { (429, LIMITED) };
            ensure!((status, &*code) == expected, "{address} {n}: {status} {code}");
        }
    }
    stage.end().await
}

/// Only what is taken in counts against a participant, and the cap on pending ones stands beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_participant_sends_five_at_once_and_then_one_at_a_time() -> Result<()> {
    let stage = Stage::set(&[("PORTCALL_RATE_PER_PARTICIPANT", "12")]).await?;
    let client = stage.client()?;
    let submission = stage.submission("Gordon");
    for _ in 0..10 {
        let refused = client.post(&submission.clone().with("/answers/vote", json!("Fish"))).await?;
        ensure!(refused.status == 422, "{}", refused.text);
    }
    for n in 0..5 {
        let accepted = client.submit(&submission.clone().key(&format!("k{n}"))).await?;
        let replay = client.post(&submission.clone().key(&format!("k{n}"))).await?;
        ensure!(replay.json["id"] == accepted.id, "a repetition costs nothing: {}", replay.text);
        let secret = accepted.document["secret"].as_str().context("a secret")?;
        let authorization = format!("Bearer {secret}");
        let path = format!("/api/v1/submissions/{}", accepted.id);
        let headers = [("authorization", &*authorization)];
        let cancelled = client.request(Method::DELETE, &path, &headers, None).await?;
        ensure!(cancelled.status.is_success(), "{}", cancelled.text);
    }
    let refused = client.post(&submission).await?;
    ensure!(refused.problem().0 == "too_many_requests", "{} {}", refused.status, refused.text);
    let named = refused.problem().1;
    ensure!(named["/participant"] == "participant_rate", "{named:?}");
    let after: u64 = refused.header("retry-after").parse()?;
    ensure!((1..=5).contains(&after), "a twelfth of a minute: {after}");
    ensure!(client.post(&stage.submission("Molly")).await?.status == 202, "others go on");
    tokio::time::sleep(std::time::Duration::from_secs(after)).await;
    ensure!(client.post(&submission).await?.status == 202, "whoever waits as told is let in");
    stage.end().await
}

/// The controls: without a limit there is none; and the defaults are what is documented.
#[tokio::test(flavor = "multi_thread")]
async fn off_and_default() -> Result<()> {
    let off = Stage::set(&[]).await?;
    let client = off.from("127.1.0.1")?;
    for _ in 0..80 {
        let (status, ..) = client.ask(Method::POST, POSTS, &[], Some(&json!({}))).await?;
        ensure!(status == 422, "{status}");
    }
    off.end().await?;
    let names =
        ["PORTCALL_RATE_PER_ADDRESS", "PORTCALL_RATE_PER_PARTICIPANT", "PORTCALL_RATE_READS"];
    let default = Stage::set(&names.map(|name| (name, ""))).await?;
    let client = default.from("127.1.0.1")?;
    let mut counts = [0; 2];
    for _ in 0..80 {
        let (status, ..) = client.ask(Method::POST, POSTS, &[], Some(&json!({}))).await?;
        counts[usize::from(status == 429)] += 1;
    }
    ensure!((60..=66).contains(&counts[0]), "sixty a minute: {counts:?}");
    let metric = default.apis.all[0].metric("portcall_http_limited_total").await?;
    ensure!(metric == f64::from(counts[1]), "{metric} {counts:?}");
    default.end().await
}
