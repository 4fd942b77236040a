//! Everybody else: what must be as before after each batch, whatever ran in it (U2 to U6). U1, a
//! submission that harms nobody, runs beside each batch and is an outcome like the others.

use std::{
    collections::BTreeSet,
    fs,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use bson::Bson;
use serde_json::Value;

use super::{run::Outcome, scene::Scene};
use crate::{
    parts::{engine::Inventory, mongo, watch::Sight},
    wait,
};

/// How long removal may take (the specification's, for a plain engine).
const CLEANUP: Duration = Duration::from_secs(15);
/// How much more memory a worker may hold, in KiB.
const RSS: u64 = 64 * 1024;
/// Descriptors that a pool may have opened since.
const DESCRIPTORS: usize = 6;
/// Largest log of one container: what is kept is bounded at 256 KiB, in a file or two.
const LOG: u64 = 1024 * 1024;
/// How long the engine may take to say that it is there.
const PING: Duration = Duration::from_secs(5);
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
        harm.extend(self.worker_harm(idle).await?);
        Ok(harm)
    }

    async fn engine_harm(&self, idle: &Idle) -> Result<Vec<String>> {
        let began = Instant::now();
        loop {
            let now = self.world.engine.inventory().await?;
            let mut harm = Vec::new();
            for left in workloads(&now) {
                harm.push(format!("U3 a container is left: {left}"));
            }
            if now.networks.len() != idle.engine.networks.len() {
                let (is, was) = (now.networks.len(), idle.engine.networks.len());
                harm.push(format!("U3 there are {is} networks instead of {was}"));
            }
            for volume in now.volumes.difference(&idle.engine.volumes) {
                harm.push(format!("U3 a volume is left: {volume}"));
            }
            for tag in now.tags.difference(&self.before.tags).filter(|tag| !is_own(tag)) {
                harm.push(format!("U3 an image has a tag: {tag}"));
            }
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

    async fn worker_harm(&self, idle: &Idle) -> Result<Vec<String>> {
        let process = self.worker()?;
        let began = Instant::now();
        loop {
            let now = Held::by(process)?;
            let mut harm = Vec::new();
            if now.rss > idle.worker.rss + RSS {
                harm.push(format!(
                    "U6 the worker holds {} KiB, it was {}",
                    now.rss, idle.worker.rss
                ));
            }
            if now.descriptors > idle.worker.descriptors + DESCRIPTORS {
                let (is, was) = (now.descriptors, idle.worker.descriptors);
                harm.push(format!("U6 the worker holds {is} descriptors, it was {was}"));
            }
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

    /// Takes the images off the engine that were pulled since the scene began; how many.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn forget_images(&self) -> Result<usize> {
        let now = self.world.engine.inventory().await?;
        let pulled: BTreeSet<&String> = now.images.difference(&self.before.images).collect();
        let mut gone = 0;
        for image in pulled {
            // One that a prober runs on stays, and is Portcall's own.
            gone += usize::from(self.world.engine.forget_unused(image).await.is_ok());
        }
        Ok(gone)
    }
}

/// What whoever looked on calls harm.
#[must_use]
pub fn of_sight(sight: &Sight) -> Vec<String> {
    let mut harm = sight.wrong.clone();
    let slowest = sight.pings.iter().max().copied().unwrap_or_default();
    if slowest > PING {
        harm.push(format!("U3 the engine took {slowest:?} to answer"));
    }
    if sight.largest_log > LOG {
        harm.push(format!("U3 the log of a container grew to {} bytes", sight.largest_log));
    }
    let (flows, most) = sight.flows;
    if most > 0 && flows * 10 > most {
        harm.push(format!("U3 the host's table held {flows} of {most} flows"));
    }
    harm
}

fn workloads(found: &Inventory) -> Vec<&String> {
    let kinds = ["workload ", "service "];
    found.containers.iter().filter(|c| kinds.iter().any(|kind| c.starts_with(kind))).collect()
}

fn is_own(tag: &str) -> bool {
    tag.starts_with(OWN_IMAGES)
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

/// What in a text could do something to a terminal, to a log or to the eye of a reader.
#[must_use]
pub fn unfit(text: &str) -> Option<String> {
    let bad = |c: &char| {
        let c = *c;
        (c.is_control() && c != '\n' && c != '\t')
            || ('\u{202a}'..='\u{202e}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c)
            || ['\u{2028}', '\u{2029}', '\u{200e}', '\u{200f}', '\u{feff}'].contains(&c)
    };
    text.chars().find(bad).map(|c| format!("U+{:04X}", u32::from(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_do_something_is_found() {
        for bad in ["\u{1b}[2J", "a\rb", "\u{202e}", "\u{9b}31m", "\0", "\u{2028}", "\u{7f}"] {
            assert!(unfit(bad).is_some(), "{bad:?}");
        }
        assert_eq!(unfit("Zoë\n\t<script> 👩\u{200d}🚀"), None);
    }
}
