//! The docker client as a child process, spoken to one endpoint.

use std::{collections::BTreeMap, io, iter, process::Stdio, time::Duration};

use serde_json::Value;
use tokio::process::Command;

use super::{say, variables::Variables};
use crate::failure::Failure;

/// How long a question may take.
const ASK: Duration = Duration::from_secs(60);
/// How long an endpoint may take to say whether it is a manager: some addresses lead nowhere from here.
const FIND: Duration = Duration::from_secs(20);
/// How long it may take to do something, such as a push.
const DO: Duration = Duration::from_secs(1800);

/// The client, for one endpoint.
#[derive(Clone, Debug, Default)]
pub(super) struct Docker {
    environment: BTreeMap<String, String>,
}

impl Docker {
    /// For the engine that the client itself takes.
    pub(super) fn local() -> Self {
        Self::default()
    }

    /// For an endpoint; over TLS with the certificates of this folder.
    fn at(host: &str, certs: Option<&str>) -> Self {
        let mut environment = BTreeMap::from([("DOCKER_HOST".to_owned(), host.to_owned())]);
        if let Some(folder) = certs.filter(|_| host.starts_with("tcp://")) {
            environment.insert("DOCKER_TLS_VERIFY".to_owned(), "1".to_owned());
            environment.insert("DOCKER_CERT_PATH".to_owned(), folder.to_owned());
        }
        Self { environment }
    }

    /// For the first manager of a swarm that answers: the one that is given; or whom the client itself
    /// takes, as in every other line that an operator types, and then the workers' managers, whose
    /// addresses often lead nowhere from outside.
    pub(super) async fn manager(
        given: Option<&str>,
        variables: &Variables,
    ) -> Result<Self, Failure> {
        let certs = variables.certs();
        let all = match given {
            Some(host) => vec![Self::at(host, certs)],
            None => {
                let others = variables.managers();
                let others = others.iter().map(|host| Self::at(host, certs));
                iter::once(Self::local()).chain(others).collect()
            }
        };
        let mut told = Vec::new();
        for docker in all {
            let host = docker.environment.get("DOCKER_HOST");
            let host = host.map_or("what the docker client takes", String::as_str).to_owned();
            match docker.manages().await {
                Ok(name) => {
                    say(&format!("the swarm is asked at its manager {name} ({host})"));
                    return Ok(docker);
                }
                Err(Failure::Unavailable(why) | Failure::Failed(why)) => {
                    told.push(format!("{host}: {why}"));
                }
                Err(other) => return Err(other),
            }
        }
        Err(Failure::Unavailable(told.join("\n")))
    }

    /// The name of the machine, if it is a manager.
    async fn manages(&self) -> Result<String, Failure> {
        let format = "{{.Swarm.ControlAvailable}} {{.Name}} {{json .ServerErrors}}";
        let (said, _) = self.run(&["info", "--format", format], FIND).await?;
        let mut words = said.split_whitespace();
        match (words.next(), words.next()) {
            (Some("true"), Some(name)) => Ok(name.to_owned()),
            _ => Err(Failure::Unavailable("no manager of a swarm answers there".to_owned())),
        }
    }

    /// The same with variables in its environment.
    pub(super) fn with(&self, variables: &Variables) -> Self {
        let mut environment = variables.all().clone();
        environment.extend(self.environment.clone());
        Self { environment }
    }

    /// What it says.
    pub(super) async fn ask(&self, words: &[&str]) -> Result<String, Failure> {
        self.run(words, ASK).await.map(|said| said.0)
    }

    /// The same with what it says to its standard error, where logs may come.
    pub(super) async fn hear(&self, words: &[&str]) -> Result<String, Failure> {
        self.run(words, ASK).await.map(|(said, complained)| said + &complained)
    }

    /// What it says as JSON, a value on each line.
    pub(super) async fn ask_json(&self, words: &[&str]) -> Result<Vec<Value>, Failure> {
        let said = self.ask(words).await?;
        let values = said.lines().filter(|line| !line.trim().is_empty()).map(serde_json::from_str);
        values.collect::<Result<_, _>>().map_err(|error| {
            Failure::Internal(format!("docker {} says what is not JSON: {error}", words.join(" ")))
        })
    }

    /// Has it do something, and passes on what it says.
    pub(super) async fn told(&self, words: &[&str]) -> Result<(), Failure> {
        let (said, complained) = self.run(words, DO).await?;
        for line in said.lines().chain(complained.lines()).filter(|line| !line.trim().is_empty()) {
            say(&format!("  {line}"));
        }
        Ok(())
    }

    async fn run(&self, words: &[&str], within: Duration) -> Result<(String, String), Failure> {
        let mut command = Command::new("docker");
        command.args(words).envs(&self.environment).stdin(Stdio::null()).kill_on_drop(true);
        let what = format!("docker {}", words.join(" "));
        let output = match tokio::time::timeout(within, command.output()).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Failure::Unavailable("the docker client is missing".to_owned()));
            }
            Ok(Err(error)) => return Err(Failure::Internal(format!("{what}: {error}"))),
            Err(_) => {
                let message = format!("{what}: no end after {} s", within.as_secs());
                return Err(Failure::Unavailable(message));
            }
        };
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.success() {
            true => Ok((said, complained)),
            false if unreachable(&complained) => {
                Err(Failure::Unavailable(complained.trim().to_owned()))
            }
            false => Err(Failure::Failed(format!("{what}: {}", complained.trim()))),
        }
    }
}

/// Whether the endpoint is at fault and not what was asked of it.
fn unreachable(complained: &str) -> bool {
    let words = [
        "Cannot connect to the Docker daemon",
        "error during connect",
        "connection refused",
        "no route to host",
        "i/o timeout",
        "does not have a leader",
    ];
    words.iter().any(|word| complained.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_is_away_is_told_from_a_refusal() {
        assert!(unreachable("Cannot connect to the Docker daemon at tcp://10.0.0.2:2376."));
        assert!(unreachable("rpc error: The swarm does not have a leader."));
        assert!(!unreachable("service portcall_api does not have a previous spec"));
        assert!(!unreachable("secret not found: portcall-front"));
    }
}
