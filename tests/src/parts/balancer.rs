//! A real HAProxy as it stands before the apis: the configuration is the one that is deployed
//! (`infra/haproxy/haproxy.cfg`, or `passthrough.cfg` where the apis speak TLS themselves), with
//! addresses of the test's own.

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

use super::{given, net, process::Process, tls::Made};
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

/// What is spoken to it.
#[derive(Clone, Copy, Debug)]
pub enum Speaks<'a> {
    /// Plain HTTP, and all of it.
    Plain,
    /// TLS with this certificate; in plain HTTP there is the way to this address, or to none.
    Tls {
        /// The certificate with its key.
        made: &'a Made,
        /// `PUBLIC_URL`.
        public_url: Option<&'a str>,
    },
    /// What the apis speak: it hands TCP on, and the plain side of each has this port.
    Tcp {
        /// The port.
        plain: u16,
    },
}

impl Speaks<'_> {
    fn file(self) -> &'static str {
        match self {
            Self::Plain | Self::Tls { .. } => "infra/haproxy/haproxy.cfg",
            Self::Tcp { .. } => "infra/haproxy/passthrough.cfg",
        }
    }

    /// What sets it apart in the environment.
    fn environment(self, dir: &Path, name: &str) -> Result<Vec<(&'static str, String)>> {
        let mut all = Vec::new();
        match self {
            Self::Plain => all.push(("PLAIN", "yes".to_owned())),
            Self::Tls { made, public_url } => {
                let file = dir.join(format!("{name}.pem"));
                fs::write(&file, format!("{}{}", made.chain, made.key))?;
                all.push(("CERTIFICATE", file.display().to_string()));
                all.push(("OWN", net::free_address()?.to_string()));
                all.extend(public_url.map(|url| ("PUBLIC_URL", url.to_owned())));
            }
            Self::Tcp { plain } => all.push(("API_PLAIN_PORT", plain.to_string())),
        }
        Ok(all)
    }
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
    /// Where it listens for plain HTTP.
    pub address: SocketAddr,
    /// Where it listens for TLS, if it does.
    pub secure: SocketAddr,
    socket: PathBuf,
}

impl Balancer {
    /// Starts one that speaks plain HTTP, under a name for its files in `dir`, and waits until it
    /// answers.
    ///
    /// # Errors
    /// When the configuration is not what this expects, or HAProxy does not take it.
    pub async fn start(name: &str, dir: &Path, behind: &Behind, retries: Retries) -> Result<Self> {
        Self::speaking(name, dir, behind, retries, Speaks::Plain).await
    }

    /// Starts one, under a name for its files in `dir`, and waits until it answers.
    ///
    /// # Errors
    /// When the configuration is not what this expects, or HAProxy does not take it.
    pub async fn speaking(
        name: &str,
        dir: &Path,
        behind: &Behind,
        retries: Retries,
        speaks: Speaks<'_>,
    ) -> Result<Self> {
        let (address, secure) = (net::free_address()?, net::free_address()?);
        let socket = dir.join(format!("{name}.sock"));
        let file = speaks.file();
        let deployed = fs::read_to_string(given::checkout().join(file)).context(file)?;
        let config = dir.join(format!("{name}.cfg"));
        fs::write(&config, configuration(&deployed, &socket, retries).context(file)?)?;
        let arguments = ["-db", "-f", config.to_str().context("a path that is not UTF-8")?];
        let mut environment = vec![
            ("API_NAME", behind.name.clone()),
            ("API_PORT", behind.port.to_string()),
            ("API_TLS_PORT", behind.port.to_string()),
            ("API_OPS_PORT", behind.ops_port.to_string()),
            ("DNS", behind.names.to_string()),
            ("HTTP", address.to_string()),
            ("HTTPS", secure.to_string()),
            // A machine for tests may not have as many open files as one that serves.
            ("CONNECTIONS", "1000".to_owned()),
        ];
        environment.extend(speaks.environment(dir, name)?);
        let own = |(name, value): (&str, String)| (name.to_owned(), value);
        let environment: Vec<(String, String)> = environment.into_iter().map(own).collect();
        let process = Process::start(name, Path::new("haproxy"), &arguments, &environment, dir)?;
        let balancer = Self { process, address, secure, socket };
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

    /// What Prometheus is answered at a path.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn numbers(&self, path: &str) -> Result<String> {
        let mut stream = UnixStream::connect(numbers(&self.socket)).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        ensure!(answer.starts_with("HTTP/1."), "{path}: {answer}");
        Ok(answer)
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

fn numbers(socket: &Path) -> PathBuf {
    socket.with_extension("sock.numbers")
}

/// The deployed configuration with sockets of its own for operators and, if wished, without its
/// repetitions.
fn configuration(deployed: &str, socket: &Path, retries: Retries) -> Result<String> {
    let mut text = deployed.to_owned();
    let mut set = |old: &str, new: &str| {
        let found = text.matches(&format!("\n{old}\n")).count();
        ensure!(found == 1, "it has `{old}` {found} times");
        text = text.replace(&format!("\n{old}\n"), &format!("\n{new}\n"));
        Ok(())
    };
    let at = socket.display();
    set("  bind 127.0.0.1:8404", &format!("  bind unix@{at}.page"))?;
    set("  bind :8405", &format!("  bind unix@{}", numbers(socket).display()))?;
    set("global", &format!("global\n  stats socket {at} mode 600"))?;
    if retries == Retries::None {
        set("  retries 3", "  retries 0")?;
        set("  option redispatch 1", "")?;
        set("  retry-on conn-failure empty-response", "  retry-on none")?;
    }
    Ok(text)
}
