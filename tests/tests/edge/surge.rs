//! The surge: ten thousand people at once (row W16), and one who comes from everywhere (row W15).

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::Method;
use serde_json::Value;

use super::stage::{From, POSTS, Stage};

/// So many wait for their answer at the same time.
const AT_ONCE: usize = 100;
/// So many are asked where they stand.
const LOOKED_AT: usize = 20;
/// Most of one participant that wait.
const MOST_PENDING: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_people_are_taken_in_at_once() -> Result<()> {
    surge(1_000).await
}

#[tokio::test(flavor = "multi_thread")]
async fn full_ten_thousand_people_are_taken_in_at_once() -> Result<()> {
    surge(10_000).await
}

/// Nobody is refused, nobody is lost, and everybody is told a place in the line.
#[expect(clippy::print_stdout, reason = "the figures are what the run is for")]
async fn surge(people: usize) -> Result<()> {
    let stage = Stage::set(&[("PORTCALL_RATE_PER_ADDRESS", "0")]).await?;
    let client = stage.client()?;
    let began = Instant::now();
    let posts = stream::iter(0..people).map(|n| {
        let (client, submission) = (&client, stage.submission(&format!("Visitor {n}")));
        async move {
            let answer = client.post(&submission).await?;
            ensure!(answer.status == 202, "{n}: {} {}", answer.status, answer.text);
            let id = answer.json["id"].as_str().context("an id")?.to_owned();
            Ok((answer.took, id))
        }
    });
    let taken: Vec<(Duration, String)> = posts.buffer_unordered(AT_ONCE).try_collect().await?;
    let all = began.elapsed();
    let (mut took, mut ids): (Vec<_>, Vec<_>) = taken.into_iter().unzip();
    took.sort_unstable();
    println!(
        "{people} taken in {all:.1?}, {AT_ONCE} at once: {:.0} a second; p50 {:?}, p99 {:?}, longest {:?}",
        people as f64 / all.as_secs_f64(),
        took[people / 2],
        took[people * 99 / 100],
        took[people - 1]
    );
    ids.sort_unstable();
    ids.dedup();
    ensure!(ids.len() == people && stage.stored().await? == people as u64);
    let stats = client.get("/api/v1/events/birthday-3/stats").await?;
    ensure!(stats.json["totals"]["queued"] == people, "{}", stats.text);

    // Their ids are in the order of time, and so is the line: nobody has more than one in it.
    let mut before = 0;
    for id in ids.iter().step_by(people / LOOKED_AT) {
        let document = client.get(&format!("/api/v1/submissions/{id}")).await?;
        let place = document.json["queue"]["position"].as_u64();
        let place = place.with_context(|| format!("no position in {}", document.text))?;
        ensure!(place >= before.max(1), "{place} after {before}");
        ensure!(before > 0 || place <= AT_ONCE as u64, "the first one stands at {place}");
        before = place;
    }
    ensure!(before > 1, "all stand at the same place");
    stage.end().await
}

/// Whoever comes from many addresses is still one participant.
#[tokio::test(flavor = "multi_thread")]
async fn one_participant_is_one_from_wherever() -> Result<()> {
    let stage = Stage::set(&[]).await?;
    let base = format!("http://{}", stage.apis.all[0].address.context("an address")?);
    let mut taken = 0;
    for n in 0..60 {
        let somewhere = From::new(&base, &format!("127.9.{n}.1"))?;
        let vote = if n % 2 == 0 { "Cats" } else { "Dogs" };
        let submission = stage.submission("Ann").with("/answers/vote", Value::from(vote));
        // Without that it would be shown the one before.
        let path = format!("{POSTS}?again=true");
        let asked = somewhere.ask(Method::POST, &path, &[], Some(submission.body())).await?;
        match (asked.0.as_u16(), asked.1) {
            (202, _) => taken += 1,
            (429, headers) => ensure!(headers.contains_key("retry-after"), "{headers:?}"),
            (status, _) => anyhow::bail!("{n}: {status} {}", asked.2),
        }
    }
    ensure!(taken == MOST_PENDING, "{taken} were taken");
    ensure!(stage.stored().await? <= MOST_PENDING as u64);
    // The control: somebody else is taken in from one of those addresses.
    let other = From::new(&base, "127.9.1.1")?;
    ensure!(other.post(&stage.submission("Bob"), &[]).await?.0 == 202);
    stage.end().await
}
