//! Somebody who looks on while things happen: is the engine there, does the api answer, how large do
//! logs and tables get.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::{sync::watch, task::JoinHandle};

use super::{client::Client, engine::Engine};

/// Between two looks.
const EVERY: Duration = Duration::from_millis(250);

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// How long the engine took to answer, each time.
    pub pings: Vec<Duration>,
    /// How long the api took to answer, each time.
    pub answers: Vec<Duration>,
    /// What went wrong.
    pub wrong: Vec<String>,
    /// The largest log of a container, in bytes.
    pub largest_log: u64,
    /// The most flows that the host's table held, of how many; nothing where it cannot be read.
    pub flows: Option<(u64, u64)>,
}

impl Sight {
    /// The value below which that part of the times lies.
    #[must_use]
    pub fn quantile(times: &[Duration], part: f64) -> Duration {
        let mut times = times.to_vec();
        times.sort_unstable();
        let at = (times.len() as f64 * part) as usize;
        times.get(at.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// Somebody who looks on until it is asked what it saw.
#[derive(Debug)]
pub struct Watch {
    stop: watch::Sender<bool>,
    task: JoinHandle<Sight>,
}

impl Watch {
    /// Begins to look at an engine, its folder (if it is on this machine) and an api.
    #[must_use]
    pub fn begin(engine: Engine, folder: Option<PathBuf>, api: Client) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut sight = Sight::default();
            while !*stopped.borrow() {
                look(&mut sight, &engine, folder.as_deref(), &api).await;
                tokio::time::sleep(EVERY).await;
            }
            sight
        });
        Self { stop, task }
    }

    /// Ends the watch.
    ///
    /// # Errors
    /// When it ended by a panic.
    pub async fn end(self) -> Result<Sight> {
        self.stop.send_replace(true);
        Ok(self.task.await?)
    }
}

async fn look(sight: &mut Sight, engine: &Engine, folder: Option<&Path>, api: &Client) {
    let asked = Instant::now();
    match engine.ping().await {
        Ok(()) => sight.pings.push(asked.elapsed()),
        Err(error) => sight.wrong.push(format!("U3 the engine did not answer: {error:#}")),
    }
    match api.get("/api/v1/events").await {
        Ok(answer) if answer.status.is_server_error() => {
            sight.wrong.push(format!("U2 the api answered {}", answer.status));
        }
        Ok(answer) => sight.answers.push(answer.took),
        Err(error) => sight.wrong.push(format!("U2 the api did not answer: {error:#}")),
    }
    let logs = folder.map(|folder| largest_log(&folder.join("containers"))).unwrap_or_default();
    sight.largest_log = sight.largest_log.max(logs);
    let table = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/net/netfilter/{name}")).ok();
        text.and_then(|text| text.trim().parse().ok())
    };
    let now = table("nf_conntrack_count").zip(table("nf_conntrack_max"));
    if now.map(|(count, _)| count) >= sight.flows.map(|(count, _)| count) {
        sight.flows = now;
    }
}

/// What the engine itself writes into a container's folder, and what is mounted there: no log.
const NO_LOG: [&str; 8] = [
    "checkpoints",
    "config.v2.json",
    "hostconfig.json",
    "hostname",
    "hosts",
    "mounts",
    "resolv.conf",
    "resolv.conf.hash",
];

/// The largest log below the containers' folders, whichever kind it is (the bounded kind is in
/// `local-logs`, the engine's usual one beside it), in bytes.
fn largest_log(containers: &Path) -> u64 {
    let folders = fs::read_dir(containers).into_iter().flatten().flatten();
    let logs = |folder: PathBuf| {
        let there = fs::read_dir(folder).into_iter().flatten().flatten();
        let logs = there.filter(|file| NO_LOG.iter().all(|name| file.file_name() != *name));
        logs.map(|file| size(&file.path())).sum::<u64>()
    };
    folders.map(|folder| logs(folder.path())).max().unwrap_or(0)
}

/// What a file holds, or all files of a folder. One that is gone by now holds nothing.
fn size(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(about) if about.is_dir() => {
            let files = fs::read_dir(path).into_iter().flatten().flatten();
            files.map(|file| size(&file.path())).sum()
        }
        Ok(about) => about.len(),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bounded log is found, and so is the unbounded one that there would be without the bound.
    #[test]
    fn a_log_of_any_kind_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: usize| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![0; bytes]).unwrap();
        };
        assert_eq!(largest_log(folder.path()), 0);
        write("one/config.v2.json", 5000);
        write("one/mounts/shm/file", 5000);
        assert_eq!(largest_log(folder.path()), 0);
        write("one/local-logs/container.log", 300);
        write("one/local-logs/container.log.1", 200);
        assert_eq!(largest_log(folder.path()), 500);
        write("two/0123-json.log", 4000);
        write("two/0123-json.log.1", 1000);
        assert_eq!(largest_log(folder.path()), 5000);
    }

    #[test]
    fn a_quantile_lies_among_the_times() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(Sight::quantile(&times, 0.5), Duration::from_millis(51));
        assert_eq!(Sight::quantile(&times, 0.99), Duration::from_millis(100));
        assert_eq!(Sight::quantile(&[], 0.5), Duration::ZERO);
    }
}
