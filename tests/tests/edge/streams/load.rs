//! Two thousand who follow their own submission, and some who watch the map, while verdicts come a
//! hundred a second.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use portcall_tests::{parts::apis::Apis, wait};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::{
    PATIENCE, apis,
    reader::{Browser, Reader},
    written::{Id, Outcome, Written},
};

/// Who follow, in how many houses, and how many watch the map.
const STREAMS: usize = 2000;
const HOUSES: usize = 40;
const WATCHING: usize = 20;
/// Between two verdicts.
const PACE: Duration = Duration::from_millis(10);
/// So many are being graded at once.
const SLOTS: usize = 50;
/// What a stream may cost the api in memory.
const KIB_PER_STREAM: u64 = 100;
/// Until whoever follows gives up.
const LONGEST: Duration = Duration::from_secs(150);
/// Until the last word of one that has its verdict has come: it takes a fifth of a second where nothing
/// else runs, and this where the processors are wanted elsewhere.
const LATE: Duration = Duration::from_secs(30);

/// What one of them saw.
#[derive(Debug)]
struct Followed {
    state: String,
    ended: bool,
    got: Instant,
    /// How often it was told of the queue alone.
    places: u32,
    revisions: Vec<i64>,
    followed: Duration,
}

/// What the map's watchers saw.
#[derive(Debug, Default)]
struct Watched {
    pins: usize,
    resets: usize,
    last: Value,
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_streams_end_with_the_right_state() -> Result<()> {
    let (apis, written) = apis(1, &[]).await?;
    let pid = apis.all[0].process.pid();
    written.beat(SLOTS as i64).await?;
    let ids = written.queue(STREAMS).await?;
    // Whoever asks first pays for what all need.
    browsers(&apis)?[0].ask(&ids[0].path(), None).await?;
    let before = memory(pid)?;
    let seen = Arc::new(AtomicUsize::new(0));
    let opening = Instant::now();
    let (followers, stop) = (follow(&apis, &ids, &seen).await?, Arc::new(AtomicBool::new(false)));
    let watchers = watch(&apis, &stop).await?;
    wait::until("all have the first word", PATIENCE, || async {
        Ok((seen.load(Ordering::Relaxed) == STREAMS).then_some(()))
    })
    .await?;
    println!("{STREAMS} streams open, each with its first word, after {:?}", opening.elapsed());
    let open = apis.all[0].metric("portcall_live_streams").await?;
    ensure!(open == (STREAMS + WATCHING) as f64, "{open} streams are open");
    let with = memory(pid)?;

    let (started, cpu) = (Instant::now(), cpu(pid)?);
    let reads = apis.all[0].metric("portcall_queue_reads_total").await?;
    let peak = Peak::of(pid);
    let given = verdicts(&written, &ids).await?;
    let writing = started.elapsed();
    let followed = followers.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    let busy = (cpu_since(pid, cpu)?).as_secs_f64() / started.elapsed().as_secs_f64();
    let reads = apis.all[0].metric("portcall_queue_reads_total").await? - reads;
    let peak = peak.end();

    let late = right(&followed, &given)?;
    let words: u32 = followed.iter().map(|one| one.places).sum();
    println!("{STREAMS} verdicts in {writing:.1?}; from the write to the word: {}", late.line());
    println!("cpu of the api {:.0} %; the line was read {reads} times", busy * 100.0);
    println!("told of the queue alone {words} times, {:.1} each", f64::from(words) / 2000.0);
    ensure!(late.at(100) < LATE, "{}", late.line());
    ensure!(reads <= started.elapsed().as_secs_f64() + 2.0, "the line was read {reads} times");
    watched(&apis, watchers, &stop).await?;
    wait::until("no stream is open", PATIENCE, || async {
        Ok((apis.all[0].metric("portcall_live_streams").await? == 0.0).then_some(()))
    })
    .await?;
    let after = memory(pid)?;
    println!(
        "memory of the api: {before} KiB before, {with} with the streams ({} each), {peak} at most, \
         {after} after",
        with.saturating_sub(before) / (STREAMS + WATCHING) as u64
    );
    let most = KIB_PER_STREAM * (STREAMS + WATCHING) as u64;
    ensure!(peak.saturating_sub(before) < most, "a stream costs more than {KIB_PER_STREAM} KiB");
    let dropped = apis.all[0].metric("portcall_live_streams_dropped_total").await?;
    ensure!(dropped == 0.0, "{dropped} readers that read were dropped");
    let again = grows(&apis, &written, pid).await?;
    println!("and {again} KiB after as many streams again");
    ensure!(again < after + most / 5, "what streams took is not given back: {after}, {again}");
    apis.end().await
}

/// Each ended by itself with the verdict that its submission was given, in time, and never went back.
fn right(followed: &[Followed], given: &[(Instant, Outcome)]) -> Result<Times> {
    let mut late = Vec::new();
    for (one, (at, outcome)) in followed.iter().zip(given) {
        ensure!(one.ended && one.state == outcome.word(), "{one:?} was {outcome:?}");
        ensure!(one.revisions.is_sorted(), "it went back: {one:?}");
        let most = one.followed.as_secs() / 2 + 5;
        ensure!(u64::from(one.places) <= most, "told too often: {one:?}");
        late.push(one.got.saturating_duration_since(*at));
    }
    ensure!(late.len() == STREAMS, "{} streams", late.len());
    let late = Times::of(late);
    Ok(late)
}

/// A hundred verdicts a second, half of them passed, each of one that was taken half a second before.
async fn verdicts(written: &Written, ids: &[Id]) -> Result<Vec<(Instant, Outcome)>> {
    let mut tick = tokio::time::interval(PACE);
    let mut gradings = Vec::new();
    for (n, id) in ids.iter().copied().enumerate() {
        tick.tick().await;
        if n % 500 == 0 {
            written.beat(SLOTS as i64).await?;
        }
        let written = written.clone();
        let outcome = if n % 2 == 0 { Outcome::Passed } else { Outcome::Failed };
        gradings.push(tokio::spawn(async move {
            written.claim(id).await?;
            tokio::time::sleep(PACE * SLOTS as u32).await;
            let at = Instant::now();
            written.settle(id, outcome, 500).await?;
            anyhow::Ok((at, outcome))
        }));
    }
    let mut given = Vec::new();
    for grading in gradings {
        given.push(grading.await??);
    }
    Ok(given)
}

fn browsers(apis: &Apis) -> Result<Vec<Browser>> {
    let base = format!("http://{}", apis.all[0].address.context("an address")?);
    (0..HOUSES).map(|n| Browser::at([8, 0, u8::try_from(n + 1)?], &base)).collect()
}

/// Follows all of them. What comes of each is in their order.
async fn follow(
    apis: &Apis,
    ids: &[Id],
    seen: &Arc<AtomicUsize>,
) -> Result<Ordered<Result<Followed>>> {
    let browsers = browsers(apis)?;
    let mut tasks = Vec::new();
    for (at, ids) in ids.chunks(100).enumerate() {
        // Not all at once: they come as people do.
        let open = ids.iter().enumerate().map(|(n, id)| {
            let (browser, path) = (browsers[(at * 100 + n) % HOUSES].clone(), id.live());
            async move { browser.follow(&path, None).await }
        });
        for reader in try_join_all(open).await? {
            tasks.push(tokio::spawn(to_the_end(reader, Arc::clone(seen))));
        }
    }
    Ok(Ordered(tasks))
}

struct Ordered<T>(Vec<JoinHandle<T>>);

impl Ordered<Result<Followed>> {
    async fn join_all(self) -> Vec<Result<Followed>> {
        let mut all = Vec::new();
        for task in self.0 {
            all.push(task.await.unwrap_or_else(|error| Err(error.into())));
        }
        all
    }
}

async fn to_the_end(mut reader: Reader, seen: Arc<AtomicUsize>) -> Result<Followed> {
    let (mut revisions, mut places) = (Vec::new(), 0);
    let (mut state, mut got, begun) = (String::new(), Instant::now(), Instant::now());
    let last = tokio::time::Instant::now() + LONGEST;
    let mut ended = false;
    while let Ok(next) = tokio::time::timeout_at(last, reader.next()).await {
        let Some(event) = next? else {
            ended = true;
            break;
        };
        if event.name != "submission" {
            continue;
        }
        if revisions.is_empty() {
            seen.fetch_add(1, Ordering::Relaxed);
        }
        let revision = event.id.context("an event without an id")?.parse()?;
        places += u32::from(revisions.last() == Some(&revision));
        revisions.push(revision);
        state = event.data["state"].as_str().unwrap_or_default().to_owned();
        got = Instant::now();
    }
    let followed = got - begun;
    Ok(Followed { state, ended, got, places, revisions, followed })
}

async fn watch(apis: &Apis, stop: &Arc<AtomicBool>) -> Result<Vec<JoinHandle<Result<Watched>>>> {
    let browsers = browsers(apis)?;
    let path = "/api/v1/events/birthday-3/live";
    let readers =
        try_join_all(browsers[..WATCHING].iter().map(|one| one.follow(path, None))).await?;
    let watch = |mut reader: Reader| {
        let stop = Arc::clone(stop);
        tokio::spawn(async move {
            let mut watched = Watched::default();
            while !stop.load(Ordering::Relaxed) {
                for event in reader.during(Duration::from_millis(100)).await? {
                    match event.name.as_str() {
                        "pin" => watched.pins += 1,
                        "reset" => watched.resets += 1,
                        "stats" => watched.last = event.data,
                        _ => {}
                    }
                }
            }
            Ok(watched)
        })
    };
    Ok(readers.into_iter().map(watch).collect())
}

/// Those who watched saw every pin, or were told to read the map again, and the numbers at the end.
#[expect(clippy::print_stdout, reason = "the figures are what the run is for")]
async fn watched(
    apis: &Apis,
    watchers: Vec<JoinHandle<Result<Watched>>>,
    stop: &AtomicBool,
) -> Result<()> {
    let client = apis.client(0)?;
    let half = STREAMS / 2;
    let pins = wait::until("the map has all pins", PATIENCE, || async {
        let map = client.of_event("/pins?bbox=-180,-85,180,85&zoom=0").await?;
        Ok((map["total"] == half).then(|| map["total"].clone()))
    })
    .await?;
    // The numbers are told once a second.
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.store(true, Ordering::Relaxed);
    let mut fewest = (usize::MAX, 0);
    for watcher in watchers {
        let watched = watcher.await??;
        let totals = &watched.last["totals"];
        ensure!(totals["passed"] == half && totals["failed"] == half, "{watched:?}");
        ensure!(watched.last["pins"] == pins, "{watched:?}");
        ensure!(watched.pins == half || watched.resets > 0, "{watched:?}");
        fewest = fewest.min((watched.pins, watched.resets));
    }
    println!(
        "{WATCHING} watched the map: {} pins one by one and {} times the whole, at the least",
        fewest.0, fewest.1
    );
    Ok(())
}

/// As many streams again, opened and left; the memory after that.
async fn grows(apis: &Apis, written: &Written, pid: u32) -> Result<u64> {
    let ids = written.queue(STREAMS).await?;
    let seen = Arc::new(AtomicUsize::new(0));
    let Ordered(tasks) = follow(apis, &ids, &seen).await?;
    wait::until("all have the first word", PATIENCE, || async {
        Ok((seen.load(Ordering::Relaxed) == STREAMS).then_some(()))
    })
    .await?;
    tasks.iter().for_each(JoinHandle::abort);
    wait::until("no stream is open", PATIENCE, || async {
        Ok((apis.all[0].metric("portcall_live_streams").await? == 0.0).then_some(()))
    })
    .await?;
    memory(pid)
}

/// What a process has in memory, in KiB.
pub(super) fn memory(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let words = line.context("VmRSS")?.split_whitespace().next().context("a number")?;
    Ok(words.parse()?)
}

/// The time that a process has had a processor, in ticks of a hundredth of a second.
fn cpu(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit_once(')').context("stat")?.1.split_whitespace().collect();
    let field = |n: usize| anyhow::Ok(fields.get(n).context("stat")?.parse::<u64>()?);
    Ok(field(11)? + field(12)?)
}

fn cpu_since(pid: u32, before: u64) -> Result<Duration> {
    Ok(Duration::from_millis(10 * (cpu(pid)? - before)))
}

/// The most that a process has in memory while this lives.
struct Peak {
    most: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Peak {
    fn of(pid: u32) -> Self {
        let most = Arc::new(AtomicU64::new(0));
        let shared = Arc::clone(&most);
        let task = tokio::spawn(async move {
            while let Ok(now) = memory(pid) {
                shared.fetch_max(now, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        Self { most, task }
    }

    fn end(self) -> u64 {
        self.task.abort();
        self.most.load(Ordering::Relaxed)
    }
}

/// Times, in order.
struct Times(Vec<Duration>);

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    fn at(&self, percent: usize) -> Duration {
        let last = self.0.len().saturating_sub(1);
        self.0.get((self.0.len() * percent / 100).min(last)).copied().unwrap_or_default()
    }

    fn line(&self) -> String {
        format!("p50 {:.0?}, p99 {:.0?}, longest {:.0?}", self.at(50), self.at(99), self.at(100))
    }
}
