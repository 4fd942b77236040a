//! Grading: how many submissions a worker grades in a second and how long one takes, against the bare
//! engine with as many at once ([`crate::bare`]), in turns on the very same engine.
//!
//! All submissions of a round lie in the queue when it begins, and a round ends when the last one is
//! cleaned up. What is told of ours is what the documents say: from the claim to the verdict, and from
//! the first claim to the end of the last cleaning.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bson::{DateTime, Document, doc};
use futures::{TryStreamExt as _, future::try_join_all};
use mongodb::Collection;
use portcall_tests::{
    Event, Image, Submission, World,
    parts::{client::Client, process::Ended},
    wait,
};

use crate::{
    Size,
    bare::Lane,
    load::{Act, Much, closed_loop},
    report::{Figure, Report, Row, Unit, Wanted},
    rounds::{Pairs, median},
    stock::driver,
};

/// Until all of a round is graded, or a worker has started or ended.
const PATIENCE: Duration = Duration::from_secs(180);
/// How much longer a grading may take than the bare engine.
const OVERHEAD: Figure = Figure(60.0, Unit::Millis);
const STEPS: [&str; 6] = ["resolving", "pulling", "starting", "probing", "judging", "cleaning"];

/// How many slots there are, how many gradings of each a round has, and how many rounds there are.
struct Plan {
    slots: &'static [usize],
    each: usize,
    rounds: usize,
}

impl Plan {
    fn of(size: Size) -> Self {
        match size {
            Size::Tiny => Self { slots: &[2], each: 1, rounds: 1 },
            Size::Usual => Self { slots: &[1, 2, 4, 8], each: 5, rounds: 7 },
        }
    }
}

/// What one grading took, from its document.
#[derive(Clone, Debug, Default)]
pub struct Graded {
    /// When it was taken in, claimed, judged and cleaned up, in milliseconds of the clock.
    pub at: [i64; 4],
    /// What each of the steps took, in milliseconds.
    pub steps: Vec<(String, i64)>,
}

impl Graded {
    /// Reads it.
    ///
    /// # Errors
    /// When it has not passed, or not at the first attempt, or is not cleaned up.
    pub fn read(document: &Document) -> Result<Self> {
        let at = |found: &DateTime| found.timestamp_millis();
        let attempts = document.get_array("attempts")?;
        ensure!(attempts.len() == 1, "{} attempts: {document}", attempts.len());
        let attempt = attempts[0].as_document().context("no attempt")?;
        let verdict = document.get_document("verdict")?;
        ensure!(verdict.get_str("outcome")? == "passed", "{verdict}");
        let mut steps = Vec::new();
        let mut ended = 0;
        for step in attempt.get_array("steps")? {
            let step = step.as_document().context("no step")?;
            let took = step.get_i64("ms").or_else(|_| step.get_i32("ms").map(i64::from))?;
            steps.push((step.get_str("step")?.to_owned(), took));
            ended = at(step.get_datetime("at")?) + took;
        }
        let names: Vec<&str> = steps.iter().map(|(name, _)| name.as_str()).collect();
        ensure!(names == STEPS, "these steps: {names:?}");
        let times = [
            document.get_datetime("created_at")?,
            attempt.get_datetime("started_at")?,
            verdict.get_datetime("at")?,
        ];
        let [created, claimed, judged] = times.map(at);
        Ok(Self { at: [created, claimed, judged, ended], steps })
    }

    /// From the claim to the verdict, in milliseconds.
    #[must_use]
    pub fn took_ms(&self) -> f64 {
        millis(self.at[2] - self.at[1])
    }
}

#[expect(clippy::cast_precision_loss, reason = "times of minutes")]
fn millis(between: i64) -> f64 {
    between as f64
}

/// The medians of the steps, as a sentence.
#[must_use]
pub fn steps_told(graded: &[Graded]) -> String {
    let of = |name: &str| {
        let all = graded.iter().flat_map(|one| &one.steps).filter(|(step, _)| step == name);
        median(&all.map(|(_, took)| millis(*took)).collect::<Vec<_>>())
    };
    let told = STEPS.map(|name| format!("{name} {:.0}", of(name)));
    format!("{} ms", told.join(", "))
}

/// The event of all that is graded here: it asks for nothing that is a participant's own, so that all can
/// send the same image.
#[must_use]
pub fn event() -> Event {
    Event::with_check("\"any\"", &["{ path = \"$.vote\", equals = \"{answers.vote}\" }"])
        .limits("ready_s = 20")
}

/// Who submits: everybody the same image, each with a name of their own.
#[derive(Debug)]
pub struct Crowd {
    /// The way to the api.
    pub client: Client,
    /// What everybody sends.
    pub image: Image,
    /// The documents.
    pub submissions: Collection<Document>,
    sent: usize,
}

impl Crowd {
    /// Of whoever sends this image.
    #[must_use]
    pub fn of(client: Client, image: Image, submissions: Collection<Document>) -> Self {
        Self { client, image, submissions, sent: 0 }
    }

    /// Posts so many at once, and waits until all of them are graded and cleaned up.
    ///
    /// # Errors
    /// When one does not pass.
    pub async fn grade(&mut self, count: usize) -> Result<Vec<Graded>> {
        let first = self.sent;
        self.sent += count;
        let posts = (first..self.sent).map(|n| {
            let submission = Submission::of(&format!("Ann {n}")).image(&self.image);
            let client = &self.client;
            async move { client.submit(&submission).await }
        });
        let sent = try_join_all(posts).await?;
        ensure!(sent.len() == count, "{} of {count} were taken in", sent.len());
        self.graded(count).await
    }

    /// The one that came last, once it is cleaned up.
    ///
    /// # Errors
    /// When it has not passed.
    pub async fn last(&mut self) -> Result<Graded> {
        self.sent += 1;
        Ok(self.graded(1).await?.remove(0))
    }

    /// The newest, when all are graded and cleaned up.
    async fn graded(&self, count: usize) -> Result<Vec<Graded>> {
        // The cleaning is noted after the verdict.
        let cleaned = doc! { "attempts.steps.step": "cleaning" };
        wait::until(format!("{count} more are graded"), PATIENCE, || async {
            let done = self.submissions.count_documents(cleaned.clone()).await?;
            Ok((done >= self.sent as u64).then_some(()))
        })
        .await?;
        let newest = self.submissions.find(doc! {}).sort(doc! { "_id": -1 });
        let newest: Vec<Document> =
            newest.limit(i64::try_from(count)?).await?.try_collect().await?;
        newest.iter().map(Graded::read).collect()
    }
}

/// What all of it is measured on.
#[derive(Debug)]
pub struct Stage {
    /// An api, and workers as they are wanted.
    pub world: World,
    /// Who submits.
    pub crowd: Crowd,
}

impl Stage {
    /// An api without a worker.
    ///
    /// # Errors
    /// When a part does not become ready.
    pub async fn open() -> Result<Self> {
        let plan = World::of(event()).workers(0);
        // As it is by itself, not as tests have it.
        let plan = plan.api_setting("PORTCALL_LOG", "info").worker_setting("PORTCALL_LOG", "info");
        let world = plan.start().await?;
        let image = world.app("ok", "Gordon").await?;
        let client = driver(world.database()).await?;
        let submissions = client.database(&world.name).collection("submissions");
        let crowd = Crowd::of(world.client.clone(), image, submissions);
        Ok(Self { world, crowd })
    }

    /// The image as it is on the engine.
    #[must_use]
    pub fn pinned(&self) -> String {
        let Image { reference, digest } = &self.crowd.image;
        let name = reference.rsplit_once(':').map_or("", |(name, _)| name);
        format!("{name}@{digest}")
    }

    /// Starts a worker with so many slots, and waits until all of them are open.
    ///
    /// # Errors
    /// When they do not open in time.
    pub async fn start_worker(&mut self, slots: usize) -> Result<usize> {
        let number = self.world.start_worker(&[("PORTCALL_SLOTS", &slots.to_string())]).await?;
        let worker = &self.world.workers[number];
        wait::until(format!("{slots} slots are open"), PATIENCE, || async {
            let open = worker.metric("portcall_slots_open").await?;
            #[expect(clippy::cast_precision_loss, reason = "a few")]
            let all = open >= slots as f64;
            Ok(all.then_some(()))
        })
        .await?;
        Ok(number)
    }

    /// Stops a worker.
    ///
    /// # Errors
    /// When it does not end well.
    pub async fn stop_worker(&mut self, number: usize) -> Result<()> {
        let process = &mut self.world.workers[number].process;
        process.terminate()?;
        let ended = process.wait(PATIENCE).await?;
        ensure!(ended == Ended::Code(0), "a worker ended: {ended:?}\n{}", process.log());
        Ok(())
    }

    /// Ends it; nothing may be left.
    ///
    /// # Errors
    /// When something is.
    pub async fn end(self) -> Result<()> {
        self.crowd.submissions.client().clone().shutdown().await;
        self.world.finish().await
    }
}

/// How many there were in a second, from the first claim to the end of the last cleaning.
fn rate(graded: &[Graded]) -> f64 {
    let first = graded.iter().map(|one| one.at[1]).min().unwrap_or_default();
    let last = graded.iter().map(|one| one.at[3]).max().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "a few")]
    let count = graded.len() as f64;
    count * 1000.0 / millis(last - first)
}

/// One who runs containers bare.
pub trait Floor: Act {
    /// How long each took until it had answered, in milliseconds, since this was asked last.
    fn answered(&mut self) -> Vec<f64>;
}

/// Measures a worker that has so many slots open beside as many bare lanes, in turns.
///
/// # Errors
/// When one does not do what it should.
pub async fn beside<F: Floor>(
    what: &str,
    crowd: &mut Crowd,
    mut lanes: Vec<F>,
    [each, rounds]: [usize; 2],
    report: &mut Report,
) -> Result<Vec<F>> {
    let count = lanes.len() * each;
    let (mut rates, mut latencies) = (Pairs::default(), Pairs::default());
    let mut all = Vec::new();
    for _ in 0..rounds {
        let graded = crowd.grade(count).await?;
        rates.ours.push(rate(&graded));
        latencies.ours.push(median(&graded.iter().map(Graded::took_ms).collect::<Vec<_>>()));
        all.extend(graded);
        let (bare, back) = closed_loop(lanes, Much::Times(count)).await?;
        lanes = back;
        rates.floor.push(bare.rate());
        let took: Vec<f64> = lanes.iter_mut().flat_map(Floor::answered).collect();
        latencies.floor.push(median(&took));
    }
    let slots =
        if lanes.len() == 1 { "1 slot".to_owned() } else { format!("{} slots", lanes.len()) };
    let grading = format!("grading, {what}, {slots}, against the bare engine");
    report.rows.push(Row::of(grading, &rates, Unit::PerSecond, Wanted::RatioAtLeast(0.95)));
    let latency = format!("claim to verdict, {what}, {slots}, against create to answer");
    report.rows.push(Row::of(latency, &latencies, Unit::Millis, Wanted::OverFloor(OVERHEAD)));
    report.note(format!("steps, {what}, {slots}: {}", steps_told(&all)));
    Ok(lanes)
}

async fn at_slots(stage: &mut Stage, slots: usize, plan: &Plan, report: &mut Report) -> Result<()> {
    let worker = stage.start_worker(slots).await?;
    // The first brings the image, and does not count.
    stage.crowd.grade(slots).await?;
    let lanes = Lane::several(slots, &stage.pinned()).await?;
    let much = [plan.each, plan.rounds];
    let lanes = beside("plain", &mut stage.crowd, lanes, much, report).await?;
    Lane::close(lanes).await?;
    stage.stop_worker(worker).await
}

/// Measures it on a plain engine.
///
/// # Errors
/// When a part does not do what it should.
pub async fn run(size: Size) -> Result<Report> {
    let plan = Plan::of(size);
    let mut report = Report::new("grading");
    let mut stage = Stage::open().await?;
    for &slots in plan.slots {
        at_slots(&mut stage, slots, &plan, &mut report).await?;
    }
    stage.end().await?;
    Ok(report)
}
