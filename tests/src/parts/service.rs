//! One process of Portcall's, as its operators see it: readiness, metrics, log.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use reqwest::StatusCode;

use super::{client::Client, given, process::Process};
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

/// Those of these settings that the programs in a folder know: of another version, by the `env.sample` beside
/// them, since they end with 64 at a name that they do not know; all of them where no folder is meant.
///
/// # Errors
/// When that file cannot be read.
pub fn known_in(
    folder: Option<&Path>,
    settings: &[(String, String)],
) -> Result<Vec<(String, String)>> {
    let Some(folder) = folder else { return Ok(settings.to_vec()) };
    Ok(known_to(&given::sample_of(folder)?, settings))
}

fn known_to(sample: &str, settings: &[(String, String)]) -> Vec<(String, String)> {
    let listed = |name: &str| {
        let lines = sample.lines().map(|line| line.strip_prefix('#').unwrap_or(line));
        lines.filter_map(|line| line.split_once('=')).any(|(known, _)| known == name)
    };
    let known = |(name, _): &&(String, String)| !name.starts_with("PORTCALL_") || listed(name);
    settings.iter().filter(known).cloned().collect()
}

/// Whether that is because somebody else has the port by now.
#[must_use]
pub fn is_taken(error: &anyhow::Error) -> bool {
    format!("{error:#}").to_lowercase().contains("in use")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::given::checkout;

    fn names(sample: &str, settings: &[(String, String)]) -> Vec<String> {
        known_to(sample, settings).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn an_earlier_version_is_given_what_it_knows() {
        let sample = "# As PORTCALL_RATE_READS=0 would.\n#PORTCALL_RATE_PER_ADDRESS=60\n\
            PORTCALL_SLOTS=2\n#PORTCALL_STREAMS_PER_ADDRESS=64\n";
        let given = [
            ("PORTCALL_RATE_PER_ADDRESS", "0"),
            ("PORTCALL_RATE_READS", "0"),
            ("PORTCALL_SLOTS", "1"),
            ("PORTCALL_STREAMS", "1"),
            ("RUST_BACKTRACE", "1"),
            ("HTTPS_PROXY", "http://127.0.0.1:9"),
        ];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let known = known_to(sample, &given);
        assert_eq!(known, [given[0].clone(), given[2].clone(), given[4].clone(), given[5].clone()]);
        assert_eq!(names("", &given), ["RUST_BACKTRACE", "HTTPS_PROXY"]);
    }

    #[test]
    fn this_version_knows_all_that_tests_give_it() {
        let file = checkout().join("infra/env.sample");
        let sample = std::fs::read_to_string(file).expect("the sample can be read");
        assert_eq!(known_to(&sample, &unlimited()), unlimited());
        let older = sample.replace("#PORTCALL_API_CONNECTIONS_PER_ADDRESS=", "# ");
        assert_eq!(known_to(&older, &unlimited()), unlimited()[..3]);
    }

    #[test]
    fn it_is_asked_of_the_folder_that_has_the_programs() -> Result<()> {
        let dir = tempfile::tempdir()?;
        assert_eq!(known_in(None, &unlimited())?, unlimited());
        assert!(known_in(Some(dir.path()), &unlimited()).is_err(), "nobody guesses");
        std::fs::write(dir.path().join("env.sample"), "#PORTCALL_RATE_READS=6000\n")?;
        assert_eq!(known_in(Some(dir.path()), &unlimited())?, unlimited()[2..3]);
        Ok(())
    }
}
