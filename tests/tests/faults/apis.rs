//! K16 to K20: apis. One is killed over posts, at three moments; clients hang up; one ends while posts
//! and streams are open; one is starved. No worker takes part.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, future::join_all, stream};
use portcall_tests::{
    Event,
    faults::{
        Ctx, Evidence, Gate, Ground, Permits, Row, What, cannot, choice::Random, load::Planned,
    },
    parts::{
        apis::Apis,
        balancer::{Balancer, Behind, Retries},
        mongo,
        names::Names,
        silent::Silent,
        valve::Valve,
    },
    wait,
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

const PATIENCE: Duration = Duration::from_secs(90);
/// A registry that refuses: what names it is taken in, and its image is looked for later.
const NOBODY: &str = "127.0.0.1:1";
const IMAGE: &str = "127.0.0.1:1/app:1";
const URI: &str = "PORTCALL_MONGODB_URI";
const EVENT_LIVE: &str = "/api/v1/events/birthday-3/live";
const NAME: &str = "tasks.api";

pub(crate) const ROWS: &[Row] = &[
    row(
        "K16",
        "an api is killed before it stores a post, before it answers, and over its answer",
        40,
        |ctx| Box::pin(killed_over_posts(ctx)),
    ),
    row("K17", "a thousand clients hang up over their posts", 45, |ctx| Box::pin(hung_up(ctx))),
    row("K18", "an api is told to end with posts on their way and streams open", 30, |ctx| {
        Box::pin(ended(ctx))
    }),
    row("K20", "an api has a twentieth of a processor", 50, |ctx| Box::pin(starved(ctx))),
];

const fn row(
    id: &'static str,
    what: &'static str,
    takes_s: u64,
    how: fn(Ctx) -> portcall_tests::faults::Running,
) -> Row {
    Row { id, what, ground: Ground::Apis, takes_s, permits: Permits::NONE, how }
}

/// Where the api is when it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    BeforeInsert,
    BeforeAnswer,
    OverAnswer,
}

async fn killed_over_posts(ctx: Ctx) -> Result<Evidence> {
    let shared = mongo::shared().await?;
    let store = Valve::tcp(first_host(&shared)?).await?;
    let through = format!("mongodb://{}/?directConnection=true", store.address());
    let mut apis = Apis::on(&shared, &Event::config(), &[NOBODY]).await?;
    apis.set("PORTCALL_API_DRAIN_MS", 0);
    apis.set(URI, &through);
    apis.start().await?;
    apis.set(URI, &shared);
    apis.start().await?;
    let front = Valve::tcp(apis.all[0].address.context("an api's address")?).await?;
    let first = apis.client_at(&format!("http://{}", front.address()))?.quietly();
    let second = apis.client(1)?.quietly();
    let mut gate = Gate::of(&ctx, apis)?;
    gate.aim_at(vec![first, second]);
    let each = ctx.of(6, 40);
    for moment in [Moment::BeforeInsert, Moment::BeforeAnswer, Moment::OverAnswer] {
        let before = gate.stored().await?;
        match moment {
            Moment::BeforeInsert => store.shut(),
            Moment::BeforeAnswer => store.withhold_all(|bytes| {
                bytes.contains("insert\0") && bytes.contains("submissions\0")
            }),
            Moment::OverAnswer => front.withhold_all(|bytes| bytes.starts_with("POST ")),
        }
        // Every second one asks the first api, and the other if that is gone.
        let planned = gate.planned(each * 2, IMAGE);
        gate.load_of.post(planned, 100.0);
        let stored = match moment {
            Moment::BeforeInsert => each,
            Moment::BeforeAnswer | Moment::OverAnswer => each * 2,
        };
        wait::until(
            format!("{moment:?}: {stored} are stored, {each} answered"),
            PATIENCE,
            || async {
                let half = gate.load_of.on_way() == each;
                Ok((half && gate.stored().await? == before + stored).then_some(()))
            },
        )
        .await?;
        let fault = gate.fault(format!("an api is killed: {moment:?}"));
        gate.apis.all[0].process.kill()?;
        gate.until_answered().await?;
        gate.over(fault);
        let now = gate.stored().await?;
        gate.expect(now == before + each * 2, format!("{moment:?}: {before} and then {now}"));
        store.open();
        store.withhold_none();
        front.withhold_none();
        gate.apis.set(URI, &through);
        gate.apis.restart(0).await?;
        gate.apis.set(URI, &shared);
    }
    gate.end().await
}

fn first_host(uri: &str) -> Result<SocketAddr> {
    let hosts = uri.strip_prefix("mongodb://").and_then(|rest| rest.split('/').next());
    let first = hosts.and_then(|hosts| hosts.split(',').next()).context("a replica set's uri")?;
    Ok(first.replace("localhost", "127.0.0.1").parse()?)
}

/// Each sends its request whole and closes soon, so that handlers are dropped wherever they are.
async fn hung_up(ctx: Ctx) -> Result<Evidence> {
    let times = ctx.of(300, 1000);
    let mut apis = Apis::on(&mongo::shared().await?, &Event::config(), &[NOBODY]).await?;
    apis.set("PORTCALL_API_DRAIN_MS", 0);
    apis.start().await?;
    let address = apis.all[0].address.context("an api's address")?;
    let mut gate = Gate::of(&ctx, apis)?;
    let fault = gate.fault(format!("{times} clients hang up"));
    let planned = gate.planned(times, IMAGE);
    for one in &planned {
        gate.posted_elsewhere(one, "hung up");
    }
    let mut random = Random::new(ctx.seed);
    let planned: Vec<_> = planned
        .into_iter()
        .map(|one| (one, Duration::from_millis(random.between(0, 300))))
        .collect();
    let hanging = stream::iter(planned)
        .map(|(one, after)| async move { hang_up(address, &one, after).await });
    let hung: Vec<Result<()>> = hanging.buffer_unordered(20).collect().await;
    let broke = hung.iter().filter(|one| one.is_err()).count();
    gate.over(fault);
    gate.expect(broke == 0, format!("{broke} could not even ask"));
    let after = gate.stored().await?;
    gate.expect(after > 0, "all hung up before anything was done");
    gate.figure(format!("{after} of {times} were stored although nobody waited for the answer"));

    // And now as many that do wait: posts and reads.
    let posts = times / 5;
    let ordinary = gate.planned(posts, IMAGE);
    gate.load_of.post(ordinary, 60.0);
    gate.until_answered().await?;
    let ids = gate.history().accepted();
    gate.expect(ids.len() == posts, format!("{} of {posts} were taken", ids.len()));
    let client = gate.apis.client(0)?;
    let asked = Instant::now();
    let reads = (0..times - posts).map(|n| {
        let (client, id) = (client.clone(), ids[n % ids.len()].clone());
        async move { client.document(&id).await }
    });
    let reads: Vec<_> = stream::iter(reads).buffer_unordered(20).collect().await;
    let failed = reads.iter().filter(|read| read.is_err()).count();
    gate.expect(failed == 0, format!("{failed} reads failed"));
    gate.figure(format!("{} reads in {:.1} s", reads.len(), asked.elapsed().as_secs_f64()));
    let no_undone: Vec<_> = gate.history().entries();
    let refused = no_undone.iter().filter(|e| matches!(e.what, What::Refused { .. })).count();
    gate.expect(refused == 0, format!("{refused} posts were refused"));
    gate.end().await
}

/// Sends it whole, and closes so much later, in the middle of whatever is done with it then.
async fn hang_up(address: SocketAddr, planned: &Planned, after: Duration) -> Result<()> {
    let body = serde_json::to_vec(planned.submission.body())?;
    let head = format!(
        "POST /api/v1/events/birthday-3/submissions?again=true HTTP/1.1\r\nhost: api\r\n\
         content-type: application/json\r\nidempotency-key: {}\r\ncontent-length: {}\r\n\r\n",
        planned.key,
        body.len()
    );
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&[head.as_bytes(), &body].concat()).await?;
    tokio::time::sleep(after).await;
    drop(stream);
    Ok(())
}

/// What is on its way is answered, streams are told to come back, and readiness goes first.
async fn ended(ctx: Ctx) -> Result<Evidence> {
    let (posts, streams) = ctx.of((100, 100), (150, 500));
    let silent = Silent::start().await?;
    let shared = mongo::shared().await?;
    let mut apis = Apis::on(&shared, &Event::config(), &[NOBODY, &silent.host()]).await?;
    apis.set("PORTCALL_ADMISSION_BUDGET_MS", 10_000);
    apis.set("PORTCALL_STREAMS_PER_ADDRESS", streams);
    apis.set("PORTCALL_API_DRAIN_MS", 3000);
    apis.start().await?;
    apis.start().await?;
    let client = apis.client(0)?;
    let mut gate = Gate::of(&ctx, apis)?;
    gate.aim_at(vec![client.clone()]);
    let planned = gate.planned(posts, &silent.image());
    let following = join_all((0..streams).map(|_| {
        let client = client.clone();
        async move { client.live(EVENT_LIVE, PATIENCE, |_| false).await }
    }));
    let following = tokio::spawn(following);
    let api = &gate.apis.all[0];
    wait::until("all streams are open", PATIENCE, || async {
        let open = api.metric("portcall_live_streams").await?;
        Ok((open >= streams as f64).then_some(()))
    })
    .await?;
    gate.load_of.post(planned, 10_000.0);
    wait::until("all posts are on their way", PATIENCE, || async {
        Ok((silent.asked() >= posts).then_some(()))
    })
    .await?;
    // Whoever asks from now on is led elsewhere.
    gate.aim_at(vec![gate.apis.client(1)?.quietly()]);
    let fault = gate.fault("an api is told to end");
    gate.apis.all[0].process.terminate()?;
    let told = Instant::now();
    let ready = format!("http://{}/readyz", gate.apis.all[0].ops);
    let first = wait::until("it says that it ends", PATIENCE, || async {
        let answer = client.get(&ready).await;
        Ok(answer.is_ok_and(|answer| answer.status.as_u16() == 503).then_some(()))
    })
    .await;
    gate.expect(first.is_ok(), "readiness goes first");
    gate.until_answered().await?;
    let log = gate.apis.stopped(0).await?;
    gate.over(fault);
    gate.figure(format!("it ended within {:.1} s", told.elapsed().as_secs_f64()));
    gate.expect(!log.contains("the grace period ran out"), "it had to cut nothing short");
    let entries = gate.history().entries();
    let posted = entries.iter().filter(|e| matches!(e.what, What::Post { .. })).map(|e| e.op);
    let posted: BTreeSet<u64> = posted.collect();
    let broke = entries.iter().filter(|e| matches!(e.what, What::Unknown { .. }));
    let dropped = broke.filter(|e| posted.contains(&e.op)).count();
    gate.expect(dropped == 0, format!("{dropped} posts were dropped"));
    let taken = gate.history().accepted().len();
    gate.expect(taken == posts, format!("{taken} of {posts} posts were answered"));
    let mut pauses = BTreeSet::new();
    for text in following.await? {
        let text = text?;
        let last = text.trim_end().rsplit("\n\n").next().filter(|last| last.contains("come back"));
        let pause = last.and_then(|last| last.lines().find_map(|line| line.strip_prefix("retry:")));
        pauses.extend(pause.map(|pause| pause.trim().to_owned()));
        gate.expect(pause.is_some(), "a stream was not told to come back");
    }
    gate.expect(pauses.len() > streams / 10, format!("all come back at once: {pauses:?}"));
    gate.end().await
}

/// A group of processes with a share of the processors, until it is dropped.
struct Starved(PathBuf);

impl Starved {
    /// A twentieth of one processor for that process.
    fn begin(pid: u32) -> Result<Self> {
        let folder = PathBuf::from(format!("/sys/fs/cgroup/cpu/portcall-faults-{pid}"));
        if !folder.parent().is_some_and(|parent| parent.join("cpu.cfs_quota_us").exists()) {
            return Err(cannot("there is no group of processes for the processor (cgroup v1)"));
        }
        fs::create_dir_all(&folder)?;
        let starved = Self(folder);
        fs::write(starved.0.join("cpu.cfs_period_us"), "100000")?;
        fs::write(starved.0.join("cpu.cfs_quota_us"), "5000")?;
        fs::write(starved.0.join("cgroup.procs"), pid.to_string())?;
        Ok(starved)
    }

    fn end(&self) {
        let members = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        for pid in members.lines() {
            // It may have ended.
            let _ = fs::write("/sys/fs/cgroup/cpu/cgroup.procs", pid);
        }
    }
}

impl Drop for Starved {
    fn drop(&mut self) {
        self.end();
        let _ = fs::remove_dir(&self.0);
    }
}

/// The balancer turns away from it, or waits; whatever is answered is right.
async fn starved(ctx: Ctx) -> Result<Evidence> {
    let names = Names::start().await?;
    let mut apis = Apis::on(&mongo::shared().await?, &Event::config(), &[NOBODY]).await?;
    for _ in 0..2 {
        let n = apis.start().await?;
        names.add(NAME, apis.ip(n)?);
    }
    let (port, ops_port) = apis.ports();
    let behind = Behind { name: NAME.to_owned(), names: names.address(), port, ops_port };
    let balancer = Balancer::start("faults", apis.dir(), &behind, Retries::AsDeployed).await?;
    balancer.wait_up(2).await?;
    let client = apis.client_at(&balancer.url())?.quietly();
    let mut gate = Gate::of(&ctx, apis)?;
    gate.aim_at(vec![client]);
    let fault = gate.fault("an api has a twentieth of a processor");
    let starved = Starved::begin(gate.apis.all[0].process.pid())?;
    let planned = gate.planned(ctx.of(60, 400), IMAGE);
    let posted = planned.len();
    gate.load_of.post(planned, 10.0);
    let ejected = wait::until("the balancer turns away from it", PATIENCE, || async {
        let up = balancer.servers().await?.iter().filter(|state| *state == "UP").count();
        Ok((up < 2 || gate.load_of.on_way() == 0).then_some(up))
    })
    .await?;
    gate.figure(format!("the balancer had {ejected} of 2 apis meanwhile"));
    gate.until_answered().await?;
    starved.end();
    gate.over(fault);
    balancer.wait_up(2).await?;
    let taken = gate.history().accepted().len();
    gate.expect(taken == posted, format!("{taken} of {posted} were taken"));
    let evidence = gate.end().await?;
    ensure!(balancer.process.pid() > 0, "the balancer lived until here");
    Ok(evidence)
}
