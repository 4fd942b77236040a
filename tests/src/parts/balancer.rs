//! A real HAProxy as it stands before the apis: the configuration is the one that is deployed
//! (`infra/haproxy/haproxy.cfg`), with addresses of the test's own.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use super::{given, net, process::Process};
use crate::wait;

const PATIENCE: Duration = Duration::from_secs(20);
/// The backend in the configuration, and the column of a server's state in its statistics.
const BACKEND: &str = "api";
const STATE: usize = 17;

/// Where it finds its apis.
#[derive(Clone, Debug)]
pub struct Behind {
    /// The name that stands for all of them.
    pub name: String,
    /// Who knows it.
    pub names: SocketAddr,
    /// The port of their public side.
    pub port: u16,
    /// The port of their side for operators.
    pub ops_port: u16,
}

/// What it does with a request that an api did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retries {
    /// As it is deployed.
    AsDeployed,
    /// Nothing: it says so to the client.
    None,
}

/// A running HAProxy.
#[derive(Debug)]
pub struct Balancer {
    /// The process.
    pub process: Process,
    address: SocketAddr,
    socket: PathBuf,
}

impl Balancer {
    /// Starts one, under a name for its files in `dir`, and waits until it answers.
    ///
    /// # Errors
    /// When the configuration is not what this expects, or HAProxy does not take it.
    pub async fn start(name: &str, dir: &Path, behind: &Behind, retries: Retries) -> Result<Self> {
        let address = net::free_address()?;
        let socket = dir.join(format!("{name}.sock"));
        let deployed = given::checkout().join("infra/haproxy/haproxy.cfg");
        let deployed = fs::read_to_string(&deployed).context("infra/haproxy/haproxy.cfg")?;
        let config = dir.join(format!("{name}.cfg"));
        fs::write(&config, configuration(&deployed, &socket, retries)?)?;
        let arguments = ["-db", "-f", config.to_str().context("a path that is not UTF-8")?];
        let environment = [
            ("API_NAME", behind.name.clone()),
            ("API_PORT", behind.port.to_string()),
            ("API_OPS_PORT", behind.ops_port.to_string()),
            ("DNS", behind.names.to_string()),
            ("HTTP", address.to_string()),
            // A machine for tests may not have as many open files as one that serves.
            ("CONNECTIONS", "1000".to_owned()),
            ("PLAIN", "yes".to_owned()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value));
        let process = Process::start(name, Path::new("haproxy"), &arguments, &environment, dir)?;
        let balancer = Self { process, address, socket };
        wait::until("the balancer listens", PATIENCE, || async {
            Ok(balancer.servers().await.ok().map(drop))
        })
        .await
        .with_context(|| balancer.process.log())?;
        Ok(balancer)
    }

    /// Its public address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The states of the servers that it has an address for, as its statistics name them (`UP`,
    /// `DOWN`, `DOWN 1/2`, …).
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn servers(&self) -> Result<Vec<String>> {
        let mut stream = UnixStream::connect(&self.socket).await?;
        stream.write_all(b"show stat\n").await?;
        let mut table = String::new();
        stream.read_to_string(&mut table).await?;
        ensure!(table.starts_with('#'), "no statistics: {table}");
        let rows = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let servers = rows.filter(|row| {
            row.first() == Some(&BACKEND) && !matches!(row[1], "BACKEND" | "FRONTEND")
        });
        let states = servers.filter_map(|row| row.get(STATE).map(|state| (*state).to_owned()));
        Ok(states.filter(|state| !state.starts_with("MAINT")).collect())
    }

    /// Waits until it sends requests to exactly so many apis.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn wait_up(&self, count: usize) -> Result<()> {
        let waited = wait::until(format!("the balancer has {count} apis"), PATIENCE, || async {
            let up = self.servers().await?.iter().filter(|state| state.starts_with("UP")).count();
            Ok((up == count).then_some(()))
        });
        let waited = waited.await;
        match waited {
            Ok(()) => Ok(()),
            Err(error) => Err(error.context(format!("{:?}", self.servers().await?))),
        }
    }
}

/// The deployed configuration with sockets of its own for operators and, if wished, without its
/// repetitions.
fn configuration(deployed: &str, socket: &Path, retries: Retries) -> Result<String> {
    let mut text = deployed.to_owned();
    let mut set = |old: &str, new: &str| {
        let found = text.matches(&format!("\n{old}\n")).count();
        ensure!(found == 1, "infra/haproxy/haproxy.cfg has `{old}` {found} times");
        text = text.replace(&format!("\n{old}\n"), &format!("\n{new}\n"));
        Ok(())
    };
    let at = socket.display();
    set("  bind 127.0.0.1:8404", &format!("  bind unix@{at}.page"))?;
    set("  bind :8405", &format!("  bind unix@{at}.numbers"))?;
    set("global", &format!("global\n  stats socket {at} mode 600"))?;
    if retries == Retries::None {
        set("  retries 3", "  retries 0")?;
        set("  option redispatch 1", "")?;
        set("  retry-on conn-failure empty-response", "  retry-on none")?;
    }
    Ok(text)
}
