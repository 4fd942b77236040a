//! The start and the end of an api, as whoever sends requests to it sees them: it takes nothing
//! before it can answer, says that it leaves before it does, answers what it has taken, and no
//! request hangs while its store is away.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::future::{join_all, try_join_all};
use portcall_tests::{
    Event, Submission,
    parts::{
        apis::Apis,
        client::{Answer, Client},
        mongo::{self, ReplicaSet},
        process::Ended,
        proxy::Proxy,
        silent::Silent,
    },
    wait,
};
use reqwest::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const PATIENCE: Duration = Duration::from_secs(60);
/// How many live streams are told, half of one submission and half of the event.
const STREAMS: usize = 500;
/// How many POSTs are on their way meanwhile.
const POSTS: usize = 150;
/// Longer than any test waits.
const NEVER_MS: u32 = 60_000;
const EVENT_LIVE: &str = "/api/v1/events/birthday-3/live";
/// What the log says when the grace period ran out.
const CUT_SHORT: &str = "the grace period ran out";

/// A refused connection: nobody asks it.
const NOBODY: &str = "127.0.0.1:1";

async fn apis(registries: &[&str]) -> Result<Apis> {
    Apis::on(&mongo::shared().await?, &Event::config(), registries).await
}

fn submission(n: usize, image: &str) -> Submission {
    Submission::of(&format!("Gordon {n}")).reference(image).key(&format!("key-{n}"))
}

fn somewhere(n: usize) -> Submission {
    submission(n, &format!("{NOBODY}/app:1"))
}

/// What `/readyz` of the first api says.
async fn readiness(apis: &Apis) -> Result<(StatusCode, String)> {
    let url = format!("http://{}/readyz", apis.all[0].ops);
    let answer = apis.client(0)?.get(&url).await?;
    Ok((answer.status, answer.text))
}

async fn wait_readiness(apis: &Apis, status: StatusCode, word: &str) -> Result<()> {
    wait::until(format!("/readyz says {status}: {word}"), PATIENCE, || async {
        let now = readiness(apis).await;
        Ok(now.is_ok_and(|(now, text)| now == status && text.contains(word)).then_some(()))
    })
    .await
}

/// POSTs that wait for a registry are answered, live streams end in order and with a pause that is
/// not the same for all, and the process ends well.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_its_way_is_answered_and_streams_are_told_to_come_back() -> Result<()> {
    let silent = Silent::start().await?;
    let mut apis = apis(&[NOBODY, &silent.host()])
        .await?
        .setting("PORTCALL_ADMISSION_BUDGET_MS", 10_000)
        .setting("PORTCALL_STREAMS_PER_ADDRESS", STREAMS)
        .setting("PORTCALL_API_DRAIN_MS", 0);
    apis.start().await?;
    let client = apis.client(0)?;
    let first = client.submit(&somewhere(POSTS)).await?;
    let own = format!("/api/v1/submissions/{}/live", first.id);
    let streams = join_all((0..STREAMS).map(|n| {
        let (client, path) = (client.clone(), if n % 2 == 0 { &*own } else { EVENT_LIVE });
        async move { client.live(path, PATIENCE, |_| false).await }
    }));
    let posts = async {
        wait::until("all streams are open", PATIENCE, || async {
            let open = apis.all[0].metric("portcall_live_streams").await?;
            Ok((open == STREAMS as f64).then_some(()))
        })
        .await?;
        try_join_all((0..POSTS).map(|n| {
            let (client, image) = (client.clone(), silent.image());
            async move { client.post(&submission(n, &image)).await }
        }))
        .await
    };
    let stop = async {
        wait::until("all POSTs are on their way", PATIENCE, || async {
            Ok((silent.asked() >= POSTS).then_some(()))
        })
        .await?;
        apis.all[0].process.terminate()
    };
    let (streams, posts, stopped) = tokio::join!(streams, posts, stop);
    stopped?;
    for answer in posts? {
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        assert_eq!(answer.header("connection"), "close");
    }
    let mut pauses = BTreeSet::new();
    for text in streams {
        pauses.insert(told(&text?)?);
    }
    assert!(pauses.len() > STREAMS / 10, "all come back at once: {pauses:?}");
    let log = apis.stopped(0).await?;
    assert!(log.contains("stopped") && !log.contains(CUT_SHORT), "{log}");
    apis.end().await
}

/// The control: the streams of a process that is killed break, and nothing tells them anything.
#[tokio::test(flavor = "multi_thread")]
async fn streams_of_a_killed_process_just_break() -> Result<()> {
    let mut apis = apis(&[NOBODY]).await?;
    apis.start().await?;
    let client = apis.client(0)?;
    let stream = client.live(EVENT_LIVE, PATIENCE, |_| false);
    let (api, others) = apis.all.split_first_mut().context("an api")?;
    assert!(others.is_empty());
    let kill = async {
        wait::until("the stream is open", PATIENCE, || async {
            Ok((api.metric("portcall_live_streams").await? == 1.0).then_some(()))
        })
        .await?;
        api.process.kill()
    };
    let (text, killed) = tokio::join!(stream, kill);
    killed?;
    assert!(text.is_err(), "it broke: {text:?}");
    apis.end().await
}

/// The pause that a stream was told at its end, in milliseconds.
fn told(text: &str) -> Result<u64> {
    let last = text.trim_end().rsplit("\n\n").next().unwrap_or_default();
    let pause = last.lines().find_map(|line| line.strip_prefix("retry:"));
    let pause = pause.with_context(|| format!("a stream ended without being told: {text}"))?;
    let pause = pause.trim().parse()?;
    ensure!((500..=2500).contains(&pause), "come back after {pause} ms");
    Ok(pause)
}

/// Whoever asks for readiness learns of the end while requests are still taken; a second signal
/// does not wait for anything.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_goes_first_and_a_second_signal_ends_it_at_once() -> Result<()> {
    let mut apis = apis(&[NOBODY]).await?.setting("PORTCALL_API_DRAIN_MS", NEVER_MS);
    apis.start().await?;
    let before = apis.client(0)?.post(&somewhere(0)).await?;
    assert_eq!((before.status, before.header("connection")), (StatusCode::ACCEPTED, ""));
    assert_eq!(readiness(&apis).await?.0, StatusCode::OK);
    apis.all[0].process.terminate()?;
    wait_readiness(&apis, StatusCode::SERVICE_UNAVAILABLE, "stopping").await?;
    // A new client has a new connection.
    for n in 1..10 {
        let after = apis.client(0)?.post(&somewhere(n)).await?;
        assert_eq!((after.status, after.header("connection")), (StatusCode::ACCEPTED, "close"));
    }
    assert_eq!(readiness(&apis).await?.0, StatusCode::SERVICE_UNAVAILABLE);
    apis.all[0].process.terminate()?;
    assert_eq!(apis.all[0].process.wait(PATIENCE / 2).await?, Ended::Code(143));
    Ok(())
}

/// The control: without the time to learn of it, a balancer that still believes in a process sends
/// requests into nothing; with it, none is lost.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_delay_a_believing_proxy_fails() -> Result<()> {
    for (drain_ms, lost) in [(0, true), (NEVER_MS, false)] {
        let silent = Silent::start().await?;
        let mut apis = apis(&[&silent.host()])
            .await?
            .setting("PORTCALL_ADMISSION_BUDGET_MS", 10_000)
            .setting("PORTCALL_API_DRAIN_MS", drain_ms);
        apis.start().await?;
        let address = apis.all[0].address.context("its address")?;
        let proxy = Proxy::tcp(address).await?;
        let believing = apis.client_at(&format!("http://{}", proxy.address()))?;
        // One that is on its way, so that the process is there all the time.
        let held = tokio::spawn({
            let (client, image) = (apis.client(0)?, silent.image());
            async move { client.post(&submission(0, &image)).await }
        });
        wait::until("it is on its way", PATIENCE, || async {
            Ok((silent.asked() > 0).then_some(()))
        })
        .await?;
        apis.all[0].process.terminate()?;
        wait_readiness(&apis, StatusCode::SERVICE_UNAVAILABLE, "stopping").await?;
        if lost {
            wait::until("it has closed", PATIENCE, || async {
                Ok(TcpStream::connect(address).await.is_err().then_some(()))
            })
            .await?;
        }
        let page = believing.get("/").await;
        assert_eq!(page.is_err(), lost, "a delay of {drain_ms} ms: {page:?}");
        if !lost {
            apis.all[0].process.terminate()?;
        }
        let held = held.await?;
        assert_eq!(held.is_ok_and(|answer| answer.status == StatusCode::ACCEPTED), lost);
    }
    Ok(())
}

/// A request whose body does not come ends with the grace period, which is a warning; one whose body
/// comes meanwhile is answered.
#[tokio::test(flavor = "multi_thread")]
async fn the_grace_period_bounds_it_and_is_long_enough() -> Result<()> {
    for (grace_ms, completes) in [(300, false), (NEVER_MS, true)] {
        let mut apis = apis(&[NOBODY])
            .await?
            .setting("PORTCALL_API_DRAIN_MS", 0)
            .setting("PORTCALL_API_GRACE_MS", grace_ms);
        apis.start().await?;
        let mut open = TcpStream::connect(apis.all[0].address.context("its address")?).await?;
        let head = "POST /api/v1/events/birthday-3/submissions HTTP/1.1\r\nhost: api\r\n\
                    content-type: application/json\r\ncontent-length: 2\r\n\
                    expect: 100-continue\r\n\r\n";
        open.write_all(head.as_bytes()).await?;
        // It says so when it begins to wait for the body.
        let mut said = [0; 12];
        open.read_exact(&mut said).await?;
        assert_eq!(&said, b"HTTP/1.1 100");
        apis.all[0].process.terminate()?;
        apis.all[0].wait_log(&["closing"], PATIENCE).await?;
        if completes {
            open.write_all(b"{}").await?;
        }
        let log = apis.stopped(0).await?;
        assert_eq!(log.contains(CUT_SHORT), !completes, "{log}");
        assert_eq!(log.contains("stopped with requests unanswered"), !completes, "{log}");
        let mut rest = String::new();
        // Cut short, it may also be reset.
        let _ = open.read_to_string(&mut rest).await;
        assert_eq!(rest.contains("HTTP/1.1 422"), completes, "{rest}");
        apis.end().await?;
    }
    Ok(())
}

/// A process that cannot reach its store refuses connections; one that waited would hang.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_before_it_can_be_answered() -> Result<()> {
    let set = ReplicaSet::start(1).await?;
    let mut apis = Apis::on(&set.uri(), &Event::config(), &[NOBODY]).await?;
    set.stop(0)?;
    apis.begin()?;
    wait_readiness(&apis, StatusCode::SERVICE_UNAVAILABLE, "not ready").await?;
    let address = apis.all[0].address.context("its address")?;
    wait_readiness(&apis, StatusCode::SERVICE_UNAVAILABLE, "does not answer").await?;
    let refused = TcpStream::connect(address).await.map(drop).map_err(|e| e.kind());
    assert_eq!(refused, Err(std::io::ErrorKind::ConnectionRefused));
    set.resume(0)?;
    wait_readiness(&apis, StatusCode::OK, "ok").await?;
    assert_eq!(apis.client(0)?.post(&somewhere(0)).await?.status, StatusCode::ACCEPTED);
    // Told to stop before it was ready, it has nobody to wait for.
    set.stop(0)?;
    let second = apis.begin()?;
    apis.all[second].wait_log(&["does not answer"], PATIENCE).await?;
    apis.all[second].process.terminate()?;
    apis.stopped(second).await?;
    set.resume(0)?;
    apis.end().await
}

/// A store that is frozen, the worst of all: connections stand and nothing answers. Requests are held,
/// then told to come again; the readiness outlasts an election and not more; nothing is there twice.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_silent_requests_are_held_and_then_told() -> Result<()> {
    let set = ReplicaSet::start(1).await?;
    let mut apis = Apis::on(&set.uri(), &Event::config(), &[NOBODY])
        .await?
        .setting("PORTCALL_API_DRAIN_MS", 0);
    apis.start().await?;
    let client = apis.client(0)?;
    let known = client.submit(&somewhere(0)).await?;
    set.stop(0)?;
    let frozen = Instant::now();
    let unknown = "/api/v1/submissions/0190f5fe-7c00-7a00-8000-000000000001";
    let again = somewhere(1);
    let (posted, read) = tokio::join!(client.post(&again), client.get(unknown));
    println!("held for {:?}", frozen.elapsed());
    for answer in [posted?, read?] {
        unavailable(&answer)?;
    }
    // The map goes on from memory, and so does the page of whoever has submitted.
    client.of_event("/pins?bbox=-180,-85,180,85&zoom=2").await?;
    assert!(client.document(&known.id).await?["as_of"].is_string(), "as of when it is");
    wait_readiness(&apis, StatusCode::SERVICE_UNAVAILABLE, "does not answer").await?;
    let silent = frozen.elapsed();
    assert!(silent > Duration::from_secs(12), "an election takes longer than {silent:?}");

    set.resume(0)?;
    wait_readiness(&apis, StatusCode::OK, "ok").await?;
    let id = client.submit(&again).await?.id;
    assert_eq!(client.submit(&again).await?.id, id);
    assert_eq!(stored(&apis).await?.len(), 2);
    apis.end().await
}

fn unavailable(answer: &Answer) -> Result<()> {
    ensure!(answer.status == StatusCode::SERVICE_UNAVAILABLE, "{} {}", answer.status, answer.text);
    ensure!(answer.problem().0 == "unavailable", "{}", answer.text);
    ensure!(answer.header("content-type") == "application/problem+json", "{:?}", answer.headers);
    let after: u64 = answer.header("retry-after").parse().context("Retry-After")?;
    ensure!((1..=30).contains(&after), "come again after {after} s");
    Ok(())
}

/// The keys and ids of what is in the database.
async fn stored(apis: &Apis) -> Result<Vec<(String, String)>> {
    let (uri, database) = apis.database();
    let all = mongo::dump(uri, database).await?;
    let submissions = all.iter().filter(|(collection, _)| collection == "submissions");
    let submissions = submissions.map(|(_, document)| {
        let key = document.get_document("idempotency").and_then(|i| i.get_str("key"))?;
        let id = document.get("_id").map(ToString::to_string).unwrap_or_default();
        anyhow::Ok((key.to_owned(), id))
    });
    submissions.collect()
}

const DISCONNECTS: usize = 1000;
const AT_ONCE: usize = 25;

/// Clients that hang up as soon as they have sent leave nothing broken behind: as many ordinary
/// requests after them all go well, and no key is there twice.
#[tokio::test(flavor = "multi_thread")]
async fn full_a_thousand_clients_that_hang_up_break_nothing() -> Result<()> {
    let mut apis = apis(&[NOBODY]).await?.setting("PORTCALL_API_DRAIN_MS", 0);
    apis.start().await?;
    let client = apis.client(0)?;
    let address = apis.all[0].address.context("its address")?;
    for start in (0..DISCONNECTS).step_by(AT_ONCE) {
        // They hang up when somebody who came at the same time is answered.
        let pilot = somewhere(DISCONNECTS + start);
        let pilot = client.submit(&pilot);
        let gone = try_join_all((start..start + AT_ONCE).map(|n| async move {
            let body = serde_json::to_vec(somewhere(n).body())?;
            let mut stream = TcpStream::connect(address).await?;
            let head = format!(
                "POST /api/v1/events/birthday-3/submissions HTTP/1.1\r\nhost: api\r\n\
                 content-type: application/json\r\nidempotency-key: key-{n}\r\n\
                 content-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body).await?;
            anyhow::Ok(stream)
        }));
        let (_answered, _open) = tokio::try_join!(pilot, gone)?;
    }
    let pilots = DISCONNECTS / AT_ONCE;
    let dropped = stored(&apis).await?.len() - pilots;
    for start in (0..DISCONNECTS).step_by(AT_ONCE) {
        let answers = try_join_all((start..start + AT_ONCE).map(|n| {
            let client = client.clone();
            async move { client.submit(&somewhere(n)).await }
        }));
        answers.await.with_context(|| format!("from {start}"))?;
    }
    let stored = stored(&apis).await?;
    println!("{dropped} of {DISCONNECTS} were stored though nobody waited for the answer");
    let keys: BTreeSet<_> = stored.iter().map(|(key, _)| key).collect();
    assert_eq!((keys.len(), stored.len()), (DISCONNECTS + pilots, DISCONNECTS + pilots));
    assert!(dropped > 0 && dropped < DISCONNECTS, "they hung up at various times: {dropped}");
    apis.end().await
}

const ROUNDS: usize = 12;
const BATCH: usize = 40;

/// An api that is killed while it answers: whatever it had stored by then, the same key finds it.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_answers_each_key_is_one_submission() -> Result<()> {
    let mut apis = apis(&[NOBODY]).await?.setting("PORTCALL_API_DRAIN_MS", 0);
    apis.start().await?;
    let (mut unanswered_but_stored, mut never_stored) = (0, 0);
    for round in 0..ROUNDS {
        let client = apis.client(0)?;
        let keys = round * BATCH..(round + 1) * BATCH;
        let posts = keys.clone().map(|n| {
            let client = client.clone();
            tokio::spawn(async move { client.submit(&somewhere(n)).await })
        });
        let posts: Vec<_> = posts.collect();
        wait::until("some of them are stored", PATIENCE, || async {
            Ok((stored(&apis).await?.len() > round * BATCH).then_some(()))
        })
        .await?;
        apis.all[0].process.kill()?;
        let mut acknowledged = Vec::new();
        for (n, post) in keys.clone().zip(posts) {
            acknowledged.extend(post.await?.ok().map(|accepted| (format!("key-{n}"), accepted.id)));
        }
        let there = stored(&apis).await?.len() - round * BATCH;
        unanswered_but_stored += there - acknowledged.len();
        never_stored += BATCH - there;
        apis.restart(0).await?;
        let client = apis.client(0)?;
        let ids = try_join_all(keys.clone().map(|n| submit(&client, n))).await?;
        for (key, id) in &acknowledged {
            assert!(ids.contains(&(key.clone(), id.clone())), "{key} was {id}");
        }
        assert_eq!(stored(&apis).await?.len(), (round + 1) * BATCH, "each key once");
        if unanswered_but_stored > 0 && never_stored > 0 {
            break;
        }
    }
    println!("{unanswered_but_stored} stored and not answered, {never_stored} not stored");
    assert!(unanswered_but_stored > 0 && never_stored > 0, "it was killed in the middle");
    apis.end().await
}

async fn submit(client: &Client, n: usize) -> Result<(String, String)> {
    Ok((format!("key-{n}"), client.submit(&somewhere(n)).await?.id))
}
