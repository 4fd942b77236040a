//! Apis alone, without workers or an engine: for what happens before the queue. Each has an address
//! of its own on loopback and the same ports, as containers behind one name have.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use super::{
    client::Client,
    given, mongo, net,
    process::{self as child, Ended, Process},
    service::{self, Service},
};
use crate::event::Event;

/// Until a command has done its work.
const DONE: Duration = Duration::from_secs(60);
/// Until an api that was told to stop has ended, whatever is open.
const END: Duration = Duration::from_secs(90);

/// What stands for an api's own address in a setting.
pub const OWN_IP: &str = "{ip}";

/// Apis on one database.
#[derive(Debug)]
pub struct Apis {
    /// All that were started, in that order; those that have ended stay in their places.
    pub all: Vec<Service>,
    uri: String,
    database: String,
    slug: String,
    port: u16,
    ops_port: u16,
    settings: Vec<(String, String)>,
    dir: TempDir,
}

impl Apis {
    /// None yet, on a database of their own with this event, which takes images from these
    /// registries.
    ///
    /// # Errors
    /// When the event cannot be applied.
    pub async fn on(uri: &str, event: &Event, registries: &[&str]) -> Result<Self> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let (port, ops_port) = (net::free_address()?.port(), net::free_address()?.port());
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let database = format!("front-{}-{port}-{number}", process::id());
        let dir = tempfile::Builder::new().prefix("portcall-front-").tempdir()?;
        fs::create_dir_all(dir.path().join("web/assets"))?;
        let page = "<!doctype html><title>Portcall</title>";
        fs::write(dir.path().join("web/index.html"), page)?;
        let (uri, slug, settings) = (uri.to_owned(), event.slug.clone(), Vec::new());
        let apis = Self { all: Vec::new(), uri, database, slug, port, ops_port, settings, dir };
        let file = apis.dir().join("event.toml");
        fs::write(&file, event.toml())?;
        let file = file.to_str().context("a path that is not UTF-8")?;
        let mut arguments = vec!["event", "apply", file];
        arguments.extend(registries.iter().flat_map(|host| ["--allow-registry", host]));
        let common = apis.common();
        let (ended, output) =
            child::run(&given::program("portcall")?, &arguments, &common, DONE).await?;
        ensure!(ended == Ended::Code(0), "event apply: {ended:?}\n{output}");
        Ok(apis)
    }

    /// With a setting for those that are started from now on; [`OWN_IP`] in it is the address of each.
    #[must_use]
    pub fn setting(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// Sets something for those that are started from now on.
    pub fn set(&mut self, name: &str, value: impl ToString) {
        self.settings.push((name.to_owned(), value.to_string()));
    }

    /// A folder for the test's own files, removed with this.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The address of the replica set, and the database in it.
    #[must_use]
    pub fn database(&self) -> (&str, &str) {
        (&self.uri, &self.database)
    }

    /// The ports of their public sides and of those for operators.
    #[must_use]
    pub fn ports(&self) -> (u16, u16) {
        (self.port, self.ops_port)
    }

    /// The address that one has, or will have.
    ///
    /// # Errors
    /// When there are too many.
    pub fn ip(&self, n: usize) -> Result<Ipv4Addr> {
        Ok(Ipv4Addr::new(127, 77, 0, u8::try_from(n + 1).context("too many apis")?))
    }

    /// A client of one of them.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn client(&self, n: usize) -> Result<Client> {
        self.all[n].client(&self.slug)
    }

    /// A client of whatever stands before them.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn client_at(&self, base: &str) -> Result<Client> {
        Client::new(base, &self.slug)
    }

    /// Starts one more, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start(&mut self) -> Result<usize> {
        let ready = self.launch(self.all.len())?.ready().await?;
        self.all.push(ready);
        Ok(self.all.len() - 1)
    }

    /// Starts one more that need not become ready.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn begin(&mut self) -> Result<usize> {
        let begun = self.launch(self.all.len())?;
        self.all.push(begun);
        Ok(self.all.len() - 1)
    }

    /// Starts one that has ended again, at its address, and waits until it is ready.
    ///
    /// # Errors
    /// When it runs, or does not become ready.
    pub async fn restart(&mut self, n: usize) -> Result<()> {
        if self.all[n].process.ended()?.is_none() {
            bail!("api {n} runs");
        }
        self.all[n] = self.launch(n)?.ready().await?;
        Ok(())
    }

    /// Tells one to stop, and waits until it has; its log.
    ///
    /// # Errors
    /// When it does not end, or not well.
    pub async fn stop(&mut self, n: usize) -> Result<String> {
        self.all[n].process.terminate()?;
        self.stopped(n).await
    }

    /// Waits until one that was told to stop has; its log.
    ///
    /// # Errors
    /// When it does not end, or not well.
    pub async fn stopped(&mut self, n: usize) -> Result<String> {
        let process = &mut self.all[n].process;
        let ended = process.wait(END).await?;
        ensure!(ended == Ended::Code(0), "api {n} ended: {ended:?}\n{}", process.log());
        Ok(process.log())
    }

    /// Stops those that run; fails where one does not end well or has panicked.
    ///
    /// # Errors
    /// When one did.
    pub async fn end(mut self) -> Result<()> {
        for n in 0..self.all.len() {
            if self.all[n].process.ended()?.is_none() {
                self.stop(n).await?;
            }
            let log = self.all[n].process.log();
            if let Some(at) = log.find("panicked at") {
                let told: Vec<&str> = log[at..].lines().take(12).collect();
                bail!("api {n} {}", told.join("\n"));
            }
        }
        mongo::drop_database(&self.uri, &self.database).await
    }

    fn launch(&self, n: usize) -> Result<Service> {
        let ip = self.ip(n)?;
        let (address, ops) =
            (SocketAddr::from((ip, self.port)), SocketAddr::from((ip, self.ops_port)));
        let mut settings = self.common();
        let mut set = |name: &str, value: String| settings.push((name.to_owned(), value));
        set("PORTCALL_API_ADDR", address.to_string());
        set("PORTCALL_API_OPS_ADDR", ops.to_string());
        set("PORTCALL_WEB_DIR", self.dir().join("web").display().to_string());
        set("PORTCALL_COMPETITION_EVENT", self.slug.clone());
        settings.extend(service::unlimited());
        let own = |(name, value): &(String, String)| {
            (name.clone(), value.replace(OWN_IP, &ip.to_string()))
        };
        settings.extend(self.settings.iter().map(own));
        let (program, name) = (given::program("portcall-api")?, format!("api{n}"));
        let process = Process::start(&name, &program, &[], &settings, self.dir())?;
        Ok(Service { process, address: Some(address), ops, worker: None })
    }

    fn common(&self) -> Vec<(String, String)> {
        let settings = [
            ("PORTCALL_MONGODB_URI", &*self.uri),
            ("PORTCALL_MONGODB_DATABASE", &self.database),
            ("PORTCALL_LOG", "info"),
            ("RUST_BACKTRACE", "1"),
            // Nothing of a test leaves the machine; loopback is asked without a proxy.
            ("HTTPS_PROXY", "http://127.0.0.1:9"),
            ("NO_PROXY", "127.0.0.0/8,localhost"),
        ];
        settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }
}
