//! Everybody else: what must be as before after each batch, whatever ran in it (U2 to U6). U1, a
//! submission that harms nobody, runs beside each batch and is an outcome like the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bson::Bson;
use serde_json::Value;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

use super::{
    run::Outcome,
    scene::{Scene, marks},
};
use crate::{
    parts::{engine::Inventory, mongo, quarantine::Holdings, watch::Sight},
    wait,
};

/// How long removal may take (the specification's, for a plain engine).
const CLEANUP: Duration = Duration::from_secs(15);
/// How much more memory a worker may hold, in KiB.
const RSS: u64 = 64 * 1024;
/// Descriptors that a pool may have opened since: a grading may make two calls of the store at once. What is
/// lost by each grading is more after a dozen of them.
const DESCRIPTORS: usize = 12;
/// Largest log of one container: what is kept is bounded at 256 KiB, in a file or two.
const LOG: u64 = 1024 * 1024;
/// How long the engine may take to say that it is there.
const PING: Duration = Duration::from_secs(1);
/// The same for the slowest one in a hundred: what else a machine does may hold up any process once
/// in some minutes, and that is not the engine's.
const SLOWEST_PING: Duration = Duration::from_secs(5);
/// How long the api may take to answer, but for one time in a hundred. The specification's is 250 ms,
/// of an api that is built for use, on a machine that does nothing else; here it is built for
/// development, on the two cores on which everything is attacked. The figure is printed.
const ANSWER: Duration = Duration::from_secs(2);
/// How many bytes more the engine's folder may hold in the end.
const BYTES: u64 = 64 * 1024 * 1024;
/// The same in files. The specification's is one in a hundred of those that the disk has room for; on
/// a large disk that hides anything.
const FILES: u64 = 1000;
/// Until a live stream of something that is over ends by itself.
const STREAM: Duration = Duration::from_secs(20);
/// The row whose live streams are read.
const LIVE: &str = "C09";
/// What Portcall's own images are called.
pub const OWN_IMAGES: &str = "portcall";

/// What a process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Resident memory, in KiB.
    pub rss: u64,
    /// Open descriptors.
    pub descriptors: usize,
}

impl Held {
    /// What a process holds now.
    ///
    /// # Errors
    /// When it is gone.
    pub fn by(process: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let rss = rss.and_then(|text| text.split_whitespace().next()?.parse().ok());
        let descriptors = fs::read_dir(format!("/proc/{process}/fd"))?.count();
        Ok(Self { rss: rss.context("a process without memory")?, descriptors })
    }
}

/// What an idle world looks like.
#[derive(Clone, Debug)]
pub struct Idle {
    engine: Inventory,
    worker: Held,
}

impl Scene {
    /// Looks at the world while nothing is graded; the measure for later.
    ///
    /// # Errors
    /// When a part does not answer.
    pub async fn idle(&self) -> Result<Idle> {
        wait::until("the slots are free", CLEANUP, || async {
            let found = self.world.engine.inventory().await?;
            Ok(workloads(&found).is_empty().then_some(()))
        })
        .await?;
        Ok(Idle { engine: self.world.engine.inventory().await?, worker: Held::by(self.worker()?)? })
    }

    /// What came to harm since, one line each. Waits as long as removal may take.
    ///
    /// # Errors
    /// When a part does not answer.
    pub async fn harm(&self, idle: &Idle, outcomes: &[Outcome]) -> Result<Vec<String>> {
        let mut harm = self.engine_harm(idle).await?;
        harm.extend(self.lures.touched().into_iter().map(|who| format!("U4 {who}")));
        if let Err(touched) = self.elsewhere.untouched() {
            harm.push(format!("U4 {touched:#}"));
        }
        harm.extend(self.text_harm(outcomes).await?);
        harm.extend(self.stream_harm(outcomes).await?);
        harm.extend(self.worker_harm(idle).await?);
        Ok(harm)
    }

    async fn engine_harm(&self, idle: &Idle) -> Result<Vec<String>> {
        let began = Instant::now();
        loop {
            let now = self.world.engine.inventory().await?;
            let harm = left(&now, &idle.engine, &self.before);
            if harm.is_empty() || began.elapsed() > CLEANUP {
                return Ok(harm);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn text_harm(&self, outcomes: &[Outcome]) -> Result<Vec<String>> {
        let mut harm = Vec::new();
        for (collection, document) in mongo::dump(self.world.database(), &self.world.name).await? {
            let mut texts = Vec::new();
            collect(&Bson::Document(document), &mut texts);
            let found = texts.iter().find_map(|text| unfit(text));
            harm.extend(found.map(|why| format!("U5 {collection} holds {why}")));
            let told = texts.iter().any(|text| marks().any(|mark| text.contains(mark)));
            harm.extend(told.then(|| format!("U5 {collection} holds a secret of the worker's")));
        }
        let services = self.world.apis.iter().chain(&self.world.workers);
        for service in services {
            let log = service.process.log();
            let found = log.lines().find_map(|line| unfit(line).map(|why| (why, line)));
            let name = service.process.name();
            harm.extend(
                found.map(|(why, line)| format!("U5 the log of {name} holds {why}: {line:?}")),
            );
            let forged = log.lines().find(|line| line.starts_with("2026-11-21T00:00:00Z ERROR"));
            harm.extend(
                forged.map(|line| format!("U5 the log of {name} has a forged line: {line}")),
            );
            if log.contains("panicked at") {
                harm.push(format!("U6 {name} panicked"));
            }
        }
        for outcome in outcomes {
            let mut texts = Vec::new();
            words(&outcome.document, &mut texts);
            let found = texts.iter().find_map(|text| unfit(text));
            harm.extend(found.map(|why| format!("U5 the status of {} holds {why}", outcome.id)));
        }
        Ok(harm)
    }

    /// Reads the live streams of what must not be seen as it came (C09), as a browser would.
    async fn stream_harm(&self, outcomes: &[Outcome]) -> Result<Vec<String>> {
        let mut harm = Vec::new();
        for outcome in outcomes.iter().filter(|outcome| outcome.id == LIVE) {
            let id = outcome.document["id"].as_str().context("a row without a document")?;
            let path = format!("/api/v1/submissions/{id}/live");
            let stream = self.world.client.live(&path, STREAM, |_| false).await?;
            let found = of_stream(&stream, id);
            harm.extend(found.into_iter().map(|why| format!("U5 the live stream of C09 {why}")));
        }
        Ok(harm)
    }

    async fn worker_harm(&self, idle: &Idle) -> Result<Vec<String>> {
        let process = self.worker()?;
        let began = Instant::now();
        loop {
            let harm = grown(Held::by(process)?, idle.worker);
            // A connection that was used a moment ago is closed after a while.
            if harm.is_empty() || began.elapsed() > CLEANUP {
                return Ok(harm);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// How much the engine's folder holds, in bytes and in files, as far as images that were pulled
    /// are not counted: those are taken off first, as an operator would.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn disk(&self) -> Result<(u64, u64)> {
        let size = |flags: &[&str]| -> Result<u64> {
            let output = Command::new("du").args(flags).arg(&self.folder).output()?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let number = text.split_whitespace().next().and_then(|word| word.parse().ok());
            number.with_context(|| format!("du: {}", String::from_utf8_lossy(&output.stderr)))
        };
        Ok((size(&["-sxB1"])?, size(&["-sx", "--inodes"])?))
    }

    /// Takes the images off the engine that its worker pulled from the quarantine since the scene
    /// began, and nothing else; how many. What it did not pull stays, so that it is seen.
    ///
    /// # Errors
    /// When the engine does not answer or keeps one of them, or when it has an image that is neither
    /// Portcall's own nor one of those that the worker pulled.
    pub async fn forget_images(&self, pulled: &BTreeSet<String>) -> Result<usize> {
        let engine = &self.world.engine;
        let now = engine.inventory().await?;
        let new = now.images.difference(&self.before.images);
        let new: BTreeMap<&str, &BTreeSet<String>> =
            new.filter_map(|id| Some((id.as_str(), now.names.get(id)?))).collect();
        let (strangers, others) = sorted(new, pulled);
        ensure!(others.is_empty(), "the engine has images that nobody pulled: {others:?}");
        for id in &strangers {
            engine.forget_unused(id).await.with_context(|| format!("taking off {id}"))?;
        }
        Ok(strangers.len())
    }
}

/// New images by their ids: those that were pulled, and, with their names, those that were neither
/// pulled nor are Portcall's own, which is loaded and has no other name.
fn sorted<'a>(
    new: BTreeMap<&'a str, &'a BTreeSet<String>>,
    pulled: &BTreeSet<String>,
) -> (Vec<&'a str>, Vec<(&'a str, &'a BTreeSet<String>)>) {
    let all = |names: &BTreeSet<String>, known: &dyn Fn(&String) -> bool| {
        !names.is_empty() && names.iter().all(known)
    };
    let strange =
        new.into_iter().filter(|(_, names)| !all(names, &|name| name.starts_with(OWN_IMAGES)));
    let (strangers, others): (Vec<_>, Vec<_>) =
        strange.partition(|(_, names)| all(names, &|name| pulled.contains(name)));
    (strangers.into_iter().map(|(id, _)| id).collect(), others)
}

/// What is on an engine that was not there when nothing was graded.
fn left(now: &Inventory, idle: &Inventory, before: &Inventory) -> Vec<String> {
    let mut harm = Vec::new();
    for left in workloads(now) {
        harm.push(format!("U3 a container is left: {left}"));
    }
    if now.networks.len() != idle.networks.len() {
        let (is, was) = (now.networks.len(), idle.networks.len());
        harm.push(format!("U3 there are {is} networks instead of {was}"));
    }
    for volume in now.volumes.difference(&idle.volumes) {
        harm.push(format!("U3 a volume is left: {volume}"));
    }
    for tag in now.tags.difference(&before.tags).filter(|tag| !tag.starts_with(OWN_IMAGES)) {
        harm.push(format!("U3 an image has a tag: {tag}"));
    }
    harm
}

/// What a worker holds more than when it had nothing to do.
fn grown(now: Held, idle: Held) -> Vec<String> {
    let mut harm = Vec::new();
    if now.rss > idle.rss + RSS {
        harm.push(format!("U6 the worker holds {} KiB, it was {}", now.rss, idle.rss));
    }
    if now.descriptors > idle.descriptors + DESCRIPTORS {
        let (is, was) = (now.descriptors, idle.descriptors);
        harm.push(format!("U6 the worker holds {is} descriptors, it was {was}"));
    }
    harm
}

/// What the engine's folder holds more than before, in bytes and in files.
#[must_use]
pub fn of_disk(now: (u64, u64), before: (u64, u64)) -> Vec<String> {
    let mut harm = Vec::new();
    if now.0 > before.0 + BYTES {
        harm.push(format!("U3 the engine holds {} bytes, it was {}", now.0, before.0));
    }
    if now.1 > before.1 + FILES {
        harm.push(format!("U3 the engine holds {} files, it was {}", now.1, before.1));
    }
    harm
}

/// What the quarantine keeps that is of no image: of copies that were refused or came to no end.
#[must_use]
pub fn of_quarantine(held: Holdings) -> Vec<String> {
    let (images, stray) = (held.images, held.stray);
    let empty = (images == 0).then(|| "U3 the quarantine is empty".to_owned());
    let strays = (stray > BYTES)
        .then(|| format!("U3 the quarantine holds {stray} bytes that are of no image"));
    empty.into_iter().chain(strays).collect()
}

/// What of a live stream's bytes is not as it must be: lines of known fields, with nothing in them
/// that is not to be seen, before or after they are read as JSON.
#[must_use]
pub fn of_stream(stream: &str, id: &str) -> Vec<String> {
    let mut harm = Vec::new();
    let mut documents = 0;
    // It begins with when to come back, and says so nowhere else.
    let first = stream.split_once('\n').filter(|(first, _)| {
        let pause = first.strip_prefix("retry: ").and_then(|pause| pause.parse().ok());
        pause.is_some_and(|pause: u64| (1000..=5000).contains(&pause))
    });
    let stream = first.map_or(stream, |(_, rest)| rest);
    for line in stream.split('\n').filter(|line| !line.is_empty()) {
        harm.extend(unfit(line).map(|why| format!("has {why}")));
        let fields = ["id: ", "data: ", ":"];
        if line != "event: submission" && !fields.iter().any(|field| line.starts_with(field)) {
            harm.push(format!("has a line of its own: {line:?}"));
        }
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let document: Value = serde_json::from_str(data).unwrap_or_default();
        let mut texts = Vec::new();
        words(&document, &mut texts);
        harm.extend(texts.iter().find_map(|text| unfit(text)).map(|why| format!("holds {why}")));
        documents += usize::from(document["id"] == id);
    }
    if documents == 0 {
        harm.push("does not hold its document".to_owned());
    }
    harm
}

/// What whoever looked on calls harm. Where it could not look, that is harm as well.
#[must_use]
pub fn of_sight(sight: &Sight) -> Vec<String> {
    let mut harm = sight.wrong.clone();
    let mut slow = |rule: &str, who: &str, times: &[Duration], bound: Duration| {
        let most = Sight::quantile(times, 0.99);
        if times.is_empty() {
            harm.push(format!("{rule} {who} was never asked"));
        } else if most > bound {
            harm.push(format!("{rule} {who} took {most:?} to answer (p99)"));
        }
    };
    slow("U2", "the api", &sight.answers, ANSWER);
    slow("U3", "the engine", &sight.pings, PING);
    let slowest = sight.pings.iter().max().copied().unwrap_or_default();
    if slowest > SLOWEST_PING {
        harm.push(format!("U3 the engine took {slowest:?} to answer once"));
    }
    if sight.largest_log > LOG {
        harm.push(format!("U3 the log of a container grew to {} bytes", sight.largest_log));
    }
    match sight.flows {
        Some((flows, most)) if most > 0 && flows * 10 <= most => {}
        Some((flows, most)) => {
            harm.push(format!("U3 the host's table held {flows} of {most} flows"));
        }
        None => harm.push("U3 the host's table of flows could not be read".to_owned()),
    }
    harm
}

fn workloads(found: &Inventory) -> Vec<&String> {
    let kinds = ["workload ", "service "];
    found.containers.iter().filter(|c| kinds.iter().any(|kind| c.starts_with(kind))).collect()
}

fn collect(value: &Bson, texts: &mut Vec<String>) {
    match value {
        Bson::String(text) => texts.push(text.clone()),
        Bson::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Bson::Document(document) => {
            for (name, item) in document {
                texts.push(name.clone());
                collect(item, texts);
            }
        }
        _ => {}
    }
}

fn words(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| words(item, texts)),
        Value::Object(fields) => {
            for (name, item) in fields {
                texts.push(name.clone());
                words(item, texts);
            }
        }
        _ => {}
    }
}

/// What in a text could do something to a terminal, to a log or to the eye of a reader: every
/// character that is not to be seen, but newline and tab, and what joins two pictures to one.
#[must_use]
pub fn unfit(text: &str) -> Option<String> {
    let picture =
        |p: char| !p.is_ascii() && !p.is_alphanumeric() && !p.is_whitespace() && !is_unseen(p);
    let mut previous = ' ';
    for c in text.chars() {
        let joins = c == '\u{200d}' && picture(previous);
        if is_unseen(c) && !['\n', '\t'].contains(&c) && !joins {
            return Some(format!("U+{:04X}", u32::from(c)));
        }
        previous = c;
    }
    None
}

fn is_unseen(c: char) -> bool {
    // Letters and a sign that are blank.
    ['\u{115f}', '\u{1160}', '\u{2800}', '\u{3164}', '\u{ffa0}'].contains(&c)
        || c.general_category_group() == GeneralCategoryGroup::Other
        || [GeneralCategory::LineSeparator, GeneralCategory::ParagraphSeparator]
            .contains(&c.general_category())
}

#[cfg(test)]
mod tests;
