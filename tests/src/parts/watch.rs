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
    /// The most flows that the host's table held, of how many.
    pub flows: (u64, u64),
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
        text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    };
    let count = table("nf_conntrack_count");
    if count >= sight.flows.0 {
        sight.flows = (count, table("nf_conntrack_max"));
    }
}

/// The largest folder of logs below the containers' folders, in bytes.
fn largest_log(containers: &Path) -> u64 {
    let folders = fs::read_dir(containers).into_iter().flatten().flatten();
    let size = |folder: PathBuf| {
        let files = fs::read_dir(folder.join("local-logs")).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|about| about.len()).sum::<u64>()
    };
    folders.map(|folder| size(folder.path())).max().unwrap_or(0)
}
