//! The surge: ten thousand people at once (row W16), and one who comes from everywhere (row W15).

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use portcall_tests::{
    parts::mongo::{self, Said},
    wait,
};
use reqwest::Method;
use serde_json::Value;
use tokio::{time::sleep_until, try_join};

use super::stage::{From, POSTS, Stage};

/// So many wait for their answer at the same time.
const AT_ONCE: usize = 100;
/// So many are asked where they stand.
const LOOKED_AT: usize = 20;
/// Until the line was read twice.
const LINE_READ: Duration = Duration::from_secs(30);
/// Until all that passed are on the map.
const ON_THE_MAP: Duration = Duration::from_secs(120);
/// Most of one participant that wait.
const MOST_PENDING: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_people_are_taken_in_at_once() -> Result<()> {
    surge(1_000, Duration::ZERO).await
}

#[tokio::test(flavor = "multi_thread")]
async fn full_ten_thousand_people_are_taken_in_within_a_minute() -> Result<()> {
    surge(10_000, Duration::from_secs(60)).await
}

/// Nobody is refused, nobody is lost, and everybody is told a place in the line. They come one after the
/// other `within` that time, or as fast as they are answered where that takes longer.
#[expect(clippy::print_stdout, reason = "the figures are what the run is for")]
async fn surge(people: usize, within: Duration) -> Result<()> {
    let stage = Stage::set(&[("PORTCALL_RATE_PER_ADDRESS", "0")]).await?;
    let client = stage.client()?;
    let began = Instant::now();
    let posts = stream::iter(0..people).map(|n| {
        let (client, submission) = (&client, stage.submission(&format!("Visitor {n}")));
        async move {
            sleep_until((began + turn(n, people, within)).into()).await;
            let answer = client.post(&submission).await?;
            ensure!(answer.status == 202, "{n}: {} {}", answer.status, answer.text);
            let id = answer.json["id"].as_str().context("an id")?.to_owned();
            Ok((answer.took, id))
        }
    });
    let taken: Vec<(Duration, String)> = posts.buffer_unordered(AT_ONCE).try_collect().await?;
    let all = began.elapsed();
    let (took, mut ids): (Vec<_>, Vec<_>) = taken.into_iter().unzip();
    println!(
        "{people} taken in {all:.1?}, {AT_ONCE} at once: {:.0} a second; {}",
        people as f64 / all.as_secs_f64(),
        spread(took)
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
    drain(&stage, people).await?;
    stage.end().await
}

/// When the `n`th of so many comes.
fn turn(n: usize, of: usize, within: Duration) -> Duration {
    within.mul_f64(n as f64 / of as f64)
}

fn spread(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let [middle, most] = [took.len() / 2, took.len() * 99 / 100].map(|at| took[at]);
    format!("p50 {middle:?}, p99 {most:?}, longest {:?}", took[took.len() - 1])
}

/// One participant posts ten thousand times within a minute, and somebody else each quarter of a second: what
/// the one has in the line stays bounded, each further post is told when to come again, and everybody else is
/// taken in.
#[tokio::test(flavor = "multi_thread")]
async fn full_ten_thousand_posts_of_one_refuse_nobody_else() -> Result<()> {
    const POSTED: usize = 10_000;
    const OTHERS: usize = 240;
    let minute = Duration::from_secs(60);
    let stage = Stage::set(&[("PORTCALL_RATE_PER_ADDRESS", "0")]).await?;
    let client = stage.client()?;
    let began = Instant::now();
    let flood = stream::iter(0..POSTED).map(|n| {
        let (client, submission) = (&client, stage.submission("Mallory"));
        async move {
            sleep_until((began + turn(n, POSTED, minute)).into()).await;
            let answer = client.post_to("?again=true", &submission).await?;
            let told = answer.status == 429 && answer.headers.contains_key("retry-after");
            ensure!(told || answer.status == 202, "{n}: {} {}", answer.status, answer.text);
            Ok(usize::from(answer.status == 202))
        }
    });
    let others = stream::iter(0..OTHERS).map(|n| {
        let (client, submission) = (&client, stage.submission(&format!("Visitor {n}")));
        async move {
            sleep_until((began + turn(n, OTHERS, minute)).into()).await;
            let answer = client.post(&submission).await?;
            ensure!(answer.status == 202, "{n}: {} {}", answer.status, answer.text);
            Ok(answer.took)
        }
    });
    let (taken, took): (Vec<usize>, Vec<Duration>) = try_join!(
        flood.buffer_unordered(AT_ONCE).try_collect(),
        others.buffer_unordered(AT_ONCE).try_collect()
    )?;
    let (taken, all) = (taken.iter().sum::<usize>(), began.elapsed());
    println!(
        "{POSTED} posts of one in {all:.1?}: {taken} taken, the others told when to come again; \
         {OTHERS} of others meanwhile: {}",
        spread(took)
    );
    ensure!(taken == MOST_PENDING, "{taken} of one were taken");
    ensure!(stage.stored().await? == (taken + OTHERS) as u64);
    stage.end().await
}

/// All of them pass, as fast as somebody who grades nothing can say so: the map and the numbers keep up, and
/// nothing is lost on the way.
#[expect(clippy::print_stdout, reason = "the figures are what the run is for")]
async fn drain(stage: &Stage, people: usize) -> Result<()> {
    let (uri, database) = stage.apis.database();
    let client = stage.client()?;
    let began = Instant::now();
    ensure!(mongo::settle(uri, database, |_| Said::Passed).await? == people);
    let settled = began.elapsed();
    let all = wait::until("all are on the map and counted", ON_THE_MAP, || async {
        let pins = client.get("/api/v1/events/birthday-3/pins?zoom=0").await?;
        let stats = client.get("/api/v1/events/birthday-3/stats").await?;
        let whole = pins.json["total"] == people && stats.json["totals"]["passed"] == people;
        Ok(whole.then(|| began.elapsed()))
    });
    let all = all.await?;
    println!(
        "{people} settled in {settled:.1?}, {:.0} a second; on the map and counted {:.1?} later",
        people as f64 / settled.as_secs_f64(),
        all.saturating_sub(settled)
    );
    Ok(())
}

/// So many people come in one crowd.
const CROWD: usize = 60;
/// So often somebody else posts for each of them.
const FLOOD: usize = 4;

/// Who floods a crowd.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flood {
    Nobody,
    /// One participant, again and again.
    One,
    /// As many participants as there are posts.
    Many,
}

/// A flood by one moves the others by less than a tenth, counted in places and not in time: the crowd comes
/// alone, then with the flood, and, as the control, with as many posts of different people.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_by_one_delays_nobody_else() -> Result<()> {
    three_crowds().await
}

#[expect(clippy::print_stdout, reason = "the figures are what the run is for")]
async fn three_crowds() -> Result<()> {
    let stage = Stage::set(&[("PORTCALL_RATE_PER_ADDRESS", "0")]).await?;
    let mut waited = Vec::new();
    for flood in [Flood::Nobody, Flood::One, Flood::Many] {
        waited.push(crowd(&stage, flood).await?);
    }
    let [alone, flooded, crowded] = waited[..] else { anyhow::bail!("three crowds") };
    println!(
        "{CROWD} people wait for {alone:.1} places alone, for {flooded:.1} with {} posts of one \
         participant, for {crowded:.1} with as many of others",
        CROWD * FLOOD
    );
    ensure!(flooded < alone * 1.1, "{flooded} against {alone}");
    ensure!(crowded > alone * 2.0, "the control: {crowded} against {alone}");
    stage.end().await
}

/// How many stand before somebody of a crowd in the middle, of those that came with it.
async fn crowd(stage: &Stage, flood: Flood) -> Result<f64> {
    let client = stage.client()?;
    let before = stage.stored().await?;
    let floods = |n: usize| (0..FLOOD).map(move |m| (n, m)).filter(move |_| flood != Flood::Nobody);
    let people = stream::iter(0..CROWD).map(|n| {
        let client = &client;
        async move {
            for (n, m) in floods(n) {
                let name = match flood {
                    Flood::Many => format!("Stranger {n} {m}"),
                    _ => "Mallory".to_owned(),
                };
                let answer = client.post_to("?again=true", &stage.submission(&name)).await?;
                let accepted = answer.status == 202;
                ensure!(accepted || answer.status == 429, "{} {}", answer.status, answer.text);
                ensure!(accepted || flood == Flood::One, "{name} was refused: {}", answer.text);
            }
            let person = stage.submission(&format!("Person {n} of {flood:?}"));
            let answer = client.post(&person).await?;
            ensure!(answer.status == 202, "{n}: {} {}", answer.status, answer.text);
            Ok(answer.json["id"].as_str().context("an id")?.to_owned())
        }
    });
    let ids: Vec<String> = people.buffer_unordered(4).try_collect().await?;
    line_is_read(stage, &ids[0]).await?;
    let mut places = 0;
    for id in &ids {
        places += place(stage, id).await?;
    }
    Ok(places as f64 / CROWD as f64 - before as f64)
}

async fn place(stage: &Stage, id: &str) -> Result<u64> {
    let document = stage.client()?.get(&format!("/api/v1/submissions/{id}")).await?;
    let place = document.json["queue"]["position"].as_u64();
    place.with_context(|| format!("no position in {}", document.text))
}

/// The line is read once more as a whole, and that began after this was called.
async fn line_is_read(stage: &Stage, id: &str) -> Result<()> {
    let reads = || stage.apis.all[0].metric("portcall_queue_reads_total");
    let before = reads().await?;
    wait::until("the line is read", LINE_READ, || async {
        place(stage, id).await?;
        Ok((reads().await? >= before + 2.0).then_some(()))
    })
    .await
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
