//! Live streams: how many there may be, what becomes of readers that never read, how whoever lost one
//! goes on, and that what they say of the queue is true.

mod load;
pub(crate) mod reader;
mod written;

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bson::doc;
use futures::future::try_join_all;
use portcall_tests::{
    Event,
    parts::{apis::Apis, mongo, silent::Silent},
    wait,
};
use reqwest::StatusCode;
use tokio::{io::AsyncWriteExt as _, net::TcpSocket};

use self::{
    load::memory,
    reader::{Browser, Reader},
    written::{Id, Outcome, Written},
};

const PATIENCE: Duration = Duration::from_secs(60);
const EVENT: &str = "/api/v1/events/birthday-3/live";
const OPEN: &str = "portcall_live_streams";

/// So many apis, and their database with nothing in it.
async fn apis(count: usize, settings: &[(&str, u32)]) -> Result<(Apis, Written)> {
    let silent = Silent::start().await?;
    let uri = mongo::shared().await?;
    let mut apis = Apis::on(&uri, &Event::config(), &[&silent.host()]).await?;
    apis = apis.setting("PORTCALL_ADMISSION_BUDGET_MS", 100).setting("PORTCALL_API_DRAIN_MS", 0);
    for (name, value) in settings {
        apis = apis.setting(name, value);
    }
    for _ in 0..count {
        apis.start().await?;
    }
    let written = Written::of(&apis, &apis.client(0)?, &silent.image()).await?;
    Ok((apis, written))
}

fn base(apis: &Apis, n: usize) -> Result<String> {
    Ok(format!("http://{}", apis.all[n].address.context("an address")?))
}

async fn until_open(apis: &Apis, n: usize, count: usize) -> Result<()> {
    wait::until(format!("{count} streams are open"), PATIENCE, || async {
        Ok((apis.all[n].metric(OPEN).await? == count as f64).then_some(()))
    })
    .await
}

/// W17: one address has its share and no more, and so has the process; the document is there for all.
#[tokio::test(flavor = "multi_thread")]
async fn streams_are_bounded_for_each_address_and_in_all() -> Result<()> {
    let bounds = [("PORTCALL_STREAMS", 10), ("PORTCALL_STREAMS_PER_ADDRESS", 4)];
    let (apis, written) = apis(1, &bounds).await?;
    let id = written.queue(1).await?[0];
    let base = base(&apis, 0)?;
    let browsers: Vec<_> = (1..=4).map(|n| Browser::at([9, 0, n], &base)).collect::<Result<_>>()?;
    let mut open: Vec<Reader> = Vec::new();
    for n in 0..4 {
        let path = if n % 2 == 0 { id.live() } else { EVENT.to_owned() };
        open.push(browsers[0].follow(&path, None).await?);
    }
    let here = (StatusCode::TOO_MANY_REQUESTS, "too_many_streams_here".to_owned(), true);
    for path in [&*id.live(), EVENT] {
        ensure!(browsers[0].refusal(path).await? == here, "the fifth of an address: {path}");
    }
    ensure!(browsers[0].ask(&id.path(), None).await?.status() == StatusCode::OK, "asking goes on");
    for browser in [1, 1, 1, 1, 2, 2] {
        open.push(browsers[browser].follow(&id.live(), None).await?);
    }
    let full = (StatusCode::SERVICE_UNAVAILABLE, "too_many_streams".to_owned(), true);
    for browser in &browsers[2..] {
        for path in [&*id.live(), EVENT] {
            ensure!(browser.refusal(path).await? == full, "the eleventh of all: {path}");
        }
        ensure!(browser.ask(&id.path(), None).await?.status() == StatusCode::OK, "asking goes on");
    }
    // Whoever leaves makes room.
    open.remove(0);
    until_open(&apis, 0, 9).await?;
    let mut again = browsers[0].follow(EVENT, None).await?;
    again.until(PATIENCE, |event| event.name == "hello").await?;
    drop((open, again));
    until_open(&apis, 0, 0).await?;
    apis.end().await
}

/// W17: readers that never read cost little, hold up nobody, and are let go of.
#[tokio::test(flavor = "multi_thread")]
async fn readers_that_never_read_are_let_go_of() -> Result<()> {
    const READERS: usize = 40;
    const CHANGES: usize = 150;
    /// What is kept for one that does not read, by the api; the system keeps its part beside.
    const KIB_EACH: u64 = 1024;
    let (apis, written) = apis(1, &[]).await?;
    let pid = apis.all[0].process.pid();
    let id = written.queue(1).await?[0];
    let address = apis.all[0].address.context("an address")?;
    let mut reader = Browser::at([10, 0, 1], &base(&apis, 0)?)?.follow(&id.live(), None).await?;
    let mut deaf = Vec::new();
    for _ in 0..READERS {
        deaf.push(deaf_reader(address, &id.live()).await?);
    }
    until_open(&apis, 0, READERS + 1).await?;
    let before = memory(pid)?;
    let words = "x".repeat(60_000);
    let started = Instant::now();
    for n in 0..CHANGES {
        // As large as what a grading leaves behind may be.
        let attempt = doc! {
            "number": 1, "worker": bson::Uuid::new(), "worker_name": "w", "node": bson::Bson::Null,
            "generation": 1_i64, "started_at": bson::DateTime::now(), "ended_at": bson::Bson::Null,
            "steps": [], "outcome": "lost", "reason": bson::Bson::Null,
            "evidence": { "reproduce": [&words, n.to_string()] },
        };
        written.set(id, doc! { "attempts": [attempt] }).await?;
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    let last = (CHANGES - 1).to_string();
    reader
        .until(PATIENCE, |e| e.data["attempts"][0]["evidence"]["reproduce"][1] == *last)
        .await
        .context("whoever reads has the last of it")?;
    let held = memory(pid)?.saturating_sub(before);
    println!("{READERS} readers that never read are kept {} KiB each", held / READERS as u64);
    ensure!(held < KIB_EACH * READERS as u64, "{held} KiB are kept for {READERS} readers");
    // They never come back for it: the api lets go of them, and of nobody else.
    until_open(&apis, 0, 1).await?;
    println!("and let go of after {:.0?}", started.elapsed());
    let heartbeat = reader.until(PATIENCE, |event| event.comment).await?;
    ensure!(heartbeat.name.is_empty(), "whoever reads hears that it lives");
    drop((reader, deaf));
    apis.end().await
}

/// A connection that asks, and never reads what comes.
async fn deaf_reader(address: SocketAddr, path: &str) -> Result<tokio::net::TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 10, 0, 2), 0)))?;
    let mut stream = socket.connect(address).await?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    Ok(stream)
}

/// W17: a process that ends tells all who follow to come back, each at another time; those it could not
/// tell were told at the beginning. All find what they had at another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_lost_its_process_comes_back_spread() -> Result<()> {
    const CROWD: usize = 300;
    let (mut apis, written) = apis(2, &[]).await?;
    let ids = written.queue(CROWD).await?;
    let bases = [base(&apis, 0)?, base(&apis, 1)?];
    let mut browsers = Vec::new();
    for n in 0..10 {
        browsers.push(bases.each_ref().map(|base| Browser::at([11, 0, n + 1], base)));
    }
    let browser = |n: usize, api: usize| match &browsers[n % 10][api] {
        Ok(browser) => Ok(browser.clone()),
        Err(error) => bail!("{error}"),
    };
    let mut crowd = Vec::new();
    let mut untold = BTreeSet::new();
    for (n, id) in ids.iter().enumerate() {
        let mut reader = browser(n, 0)?.follow(&id.live(), None).await?;
        let first = reader.until(PATIENCE, |event| event.name == "submission").await?;
        untold.insert(first.retry.context("when to come back")?);
        crowd.push((*id, reader, first.id.context("an id")?));
    }
    let told = tokio::join!(apis.stop(0), async {
        try_join_all(crowd.iter_mut().map(|(_, reader, _)| async {
            let last = reader.until(PATIENCE, |event| event.comment && event.retry.is_some());
            let after = last.await?.retry.context("when to come back")?;
            ensure!(reader.next().await?.is_none(), "it ends with that");
            Ok(after)
        }))
        .await
    });
    let (stopped, told) = told;
    stopped?;
    let told = told?;
    let spread: BTreeSet<u64> = told.iter().copied().collect();
    ensure!(told.iter().all(|after| (500..=2500).contains(after)), "{spread:?}");
    ensure!(untold.iter().all(|after| (1000..=5000).contains(after)), "{untold:?}");
    ensure!(spread.len() > CROWD / 2 && untold.len() > CROWD / 2, "they come at one time");
    let back = Instant::now();
    let back_again = crowd.iter().zip(&told).enumerate().map(|(n, ((id, _, seen), after))| {
        let browser = browser(n, 1);
        async move {
            tokio::time::sleep(Duration::from_millis(*after)).await;
            let mut reader = browser?.follow(&id.live(), Some(seen)).await?;
            let first = reader.until(PATIENCE, |event| event.name == "submission").await?;
            ensure!(first.id.as_ref() == Some(seen), "{first:?}");
            anyhow::Ok(reader)
        }
    });
    let readers = try_join_all(back_again).await?;
    println!("{CROWD} came back within {:.1?}", back.elapsed());
    until_open(&apis, 1, CROWD).await?;
    drop(readers);
    until_open(&apis, 1, 0).await?;
    apis.end().await
}

/// An event's ids mean something to the process that gave them; another one, or one that was started
/// again, has everything read again. Nobody is told of a pin that has left the map.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_lost_an_event_goes_on_or_reads_the_map_again() -> Result<()> {
    let (apis, written) = apis(2, &[]).await?;
    let ids = written.queue(3).await?;
    let here = Browser::at([12, 0, 1], &base(&apis, 0)?)?;
    let there = Browser::at([12, 0, 1], &base(&apis, 1)?)?;
    let mut reader = here.follow(EVENT, None).await?;
    let hello = reader.next().await?.context("an event")?;
    ensure!(hello.name == "hello" && hello.data["revision"].is_u64(), "{hello:?}");
    let seen = hello.id.context("an id")?;
    passes(&written, ids[0], 1000).await?;
    let pin = reader.until(PATIENCE, |event| event.name == "pin").await?;
    ensure!(ids[0].path().ends_with(pin.data["id"].as_str().context("an id")?), "{pin:?}");
    drop(reader);
    passes(&written, ids[1], 1000).await?;
    pins(&apis, 0, 2).await?;
    pins(&apis, 1, 2).await?;
    let mut reader = here.follow(EVENT, Some(&seen)).await?;
    for id in &ids[..2] {
        let pin = reader.until(PATIENCE, |event| !matches!(&*event.name, "stats" | "")).await?;
        ensure!(pin.name == "pin" && id.path().ends_with(pin.data["id"].as_str().unwrap_or("?")));
    }
    for (browser, id) in [(&there, &*seen), (&here, "1-1"), (&here, "x")] {
        let mut again = browser.follow(EVENT, Some(id)).await?;
        let begins = [again.next().await?, again.next().await?];
        let names = begins.map(|event| event.map(|event| event.name).unwrap_or_default());
        ensure!(names == ["hello", "reset"], "{id}: {names:?}");
    }
    // One is hidden: whoever watches is told to look again, and whoever comes back is not shown it.
    written.set(ids[0], doc! { "hidden_at": bson::DateTime::now() }).await?;
    let hidden = Instant::now();
    reader.until(PATIENCE, |event| event.name == "reset").await?;
    // By the news of it: all is compared every 15 seconds.
    ensure!(hidden.elapsed() < Duration::from_secs(10), "it took {:?}", hidden.elapsed());
    pins(&apis, 0, 1).await?;
    let mut back = here.follow(EVENT, Some(&seen)).await?;
    let told = back.until(PATIENCE, |event| event.name == "reset" || event.name == "pin").await?;
    ensure!(told.name == "reset", "it is told of again: {told:?}");
    let missed = back.during(Duration::from_secs(1)).await?;
    ensure!(missed.iter().all(|event| event.name != "pin"), "it is told of again: {missed:?}");
    // It is shown again: it is news.
    written.set(ids[0], doc! { "hidden_at": bson::Bson::Null }).await?;
    back.until(PATIENCE, |event| event.name == "pin").await?;
    apis.end().await
}

/// One passes, after so many milliseconds.
async fn passes(written: &Written, id: Id, ms: i64) -> Result<()> {
    written.claim(id).await?;
    written.settle(id, Outcome::Passed, ms).await
}

/// Waits until the map of an api has so many pins.
async fn pins(apis: &Apis, n: usize, count: usize) -> Result<()> {
    let client = apis.client(n)?;
    wait::until(format!("{count} pins"), PATIENCE, || async {
        let map = client.of_event("/pins?bbox=-180,-85,180,85&zoom=0").await?;
        Ok((map["total"] == count).then_some(()))
    })
    .await
}

/// The place and the estimate are those of the fair order, and are told as they change; what is put
/// off says so. The trials of re-grades are nobody's, and take their turn like others.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_the_queue_is_true() -> Result<()> {
    const WAITING: usize = 40;
    let (apis, written) = apis(1, &[]).await?;
    let browser = Browser::at([13, 0, 1], &base(&apis, 0)?)?;
    let ids = written.queue(WAITING).await?;
    let mut far = browser.follow(&ids[WAITING - 1].live(), None).await?;
    let mut near = browser.follow(&ids[2].live(), None).await?;
    let first = near.until(PATIENCE, |event| event.data["queue"]["position"] == 3).await?;
    ensure!(first.data["queue"]["eta"].is_null(), "nothing was measured, and nobody grades");
    far.until(PATIENCE, |event| event.data["queue"]["position"] == WAITING).await?;
    // One slot, in which a grading took four seconds, and in which the next has just begun.
    written.beat(1).await?;
    passes(&written, ids[0], 4000).await?;
    written.claim(ids[1]).await?;
    let first = near
        .until(PATIENCE, |event| {
            let queue = &event.data["queue"];
            queue["position"] == 1 && queue["eta"].is_object()
        })
        .await?;
    let eta = &first.data["queue"]["eta"];
    let (p50, p90) = (eta["p50_s"].as_u64(), eta["p90_s"].as_u64());
    ensure!(p50 >= Some(4) && p50 <= Some(8) && p90 >= p50, "one before it, and its own: {eta}");
    // Far from the front it is told of a part of the way, not of every step.
    let told = far.during(Duration::from_secs(8)).await?;
    let told: Vec<_> = told.iter().filter(|event| event.name == "submission").collect();
    ensure!(!told.is_empty() && told.len() <= 5, "{told:#?}");
    let eta = &told[told.len() - 1].data["queue"]["eta"];
    ensure!(eta["p50_s"].as_u64() > Some(4 * 30), "thirty-seven before it: {eta}");
    // What is put off says until when and why, and is in nobody's way.
    written.delay(ids[2]).await?;
    let delayed = near.until(PATIENCE, |event| event.data["delayed"].is_object()).await?;
    ensure!(delayed.data["queue"].is_null(), "{delayed:?}");
    ensure!(delayed.data["delayed"]["reason"] == "registry_rate_limited", "{delayed:?}");
    ensure!(delayed.data["delayed"]["next_try"].is_string(), "{delayed:?}");
    let client = apis.client(0)?;
    let comes_to = async |id: Id, position: u64| {
        wait::until(format!("it is number {position}"), PATIENCE, || async {
            let queue = &client.get(&id.path()).await?.json["queue"];
            Ok((queue["position"] == position).then_some(()))
        })
        .await
    };
    comes_to(ids[3], 1).await?;
    // A trial is not shown.
    written.set(ids[3], doc! { "trial_of": bson::Uuid::new() }).await?;
    for path in [ids[3].path(), ids[3].live()] {
        let answer = browser.ask(&path, None).await?;
        ensure!(answer.status() == StatusCode::NOT_FOUND, "{path}: {}", answer.status());
    }
    // It waits like others.
    comes_to(ids[4], 2).await?;
    apis.end().await
}
