//! One process of Portcall's, as its operators see it: readiness, metrics, log.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use reqwest::StatusCode;

use super::{client::Client, process::Process};
use crate::wait;

/// Until a process is ready; a build for development on a busy machine is slow.
const READY: Duration = Duration::from_secs(60);

/// One process of Portcall's.
#[derive(Debug)]
pub struct Service {
    /// The process.
    pub process: Process,
    /// Where it serves, if it does.
    pub address: Option<SocketAddr>,
    /// Its listener for operators.
    pub ops: SocketAddr,
    /// The id by which a worker labels what it makes.
    pub worker: Option<String>,
}

/// The settings by which an api counts nobody: all of a test's participants have one address.
#[must_use]
pub fn unlimited() -> [(String, String); 4] {
    [
        ("PORTCALL_RATE_PER_ADDRESS", "0"),
        ("PORTCALL_RATE_PER_PARTICIPANT", "0"),
        ("PORTCALL_RATE_READS", "0"),
        ("PORTCALL_API_CONNECTIONS_PER_ADDRESS", "1000000"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
}

impl Service {
    /// A client of an api.
    ///
    /// # Errors
    /// When it is a worker.
    pub fn client(&self, event: &str) -> Result<Client> {
        Client::new(
            &format!("http://{}", self.address.context("a worker has no public side")?),
            event,
        )
    }

    /// The sum of a metric over its labels; zero where it was never counted.
    ///
    /// # Errors
    /// When the process does not answer.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let text = self.ask_ops("/metrics").await?.1;
        let series = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let value = match rest.strip_prefix('{') {
                Some(labels) => labels.rsplit_once('}')?.1,
                None => rest.strip_prefix(' ')?,
            };
            value.trim().parse::<f64>().ok()
        });
        Ok(series.sum())
    }

    /// A metric with one of its values for `outcome`; zero where it was never counted.
    ///
    /// # Errors
    /// When the process does not answer.
    pub async fn outcome(&self, name: &str, outcome: &str) -> Result<f64> {
        self.metric(&format!("{name}{{outcome=\"{outcome}\"}}")).await
    }

    /// Waits until the log has a line with all of these words.
    ///
    /// # Errors
    /// When it has none in time.
    pub async fn wait_log(&self, words: &[&str], within: Duration) -> Result<String> {
        wait::until(format!("{words:?} in the log"), within, || async {
            let log = self.process.log();
            let line = log.lines().find(|line| words.iter().all(|word| line.contains(word)));
            Ok(line.map(str::to_owned))
        })
        .await
    }

    /// Waits until its `/readyz` says so.
    ///
    /// # Errors
    /// When it ends before, or the time is over.
    pub async fn ready(mut self) -> Result<Self> {
        let name = self.process.name().to_owned();
        let started = Instant::now();
        loop {
            if let Some(ended) = self.process.ended()? {
                bail!("{name} ended before it was ready: {ended:?}\n{}", self.process.log());
            }
            if self.ask_ops("/readyz").await.is_ok_and(|(status, _)| status == StatusCode::OK) {
                return Ok(self);
            }
            if started.elapsed() > READY {
                bail!("{name} is not ready after {READY:?}\n{}", self.process.log());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn ask_ops(&self, path: &str) -> Result<(StatusCode, String)> {
        let client = Client::new(&format!("http://{}", self.ops), "")?;
        let answer = client.get(path).await?;
        Ok((answer.status, answer.text))
    }
}
