//! The world of one test: its own database and event, apis and workers as real processes.
//!
//! Worlds share an engine. What a world leaves there is found by the labels of its workers, and,
//! should a label be missing, by the addresses that only its slots have.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

pub use super::client::generations;
use super::{
    client::Client,
    engine::{Engine, Found, Whose},
    given, mongo,
    net::{Range, free_address, hosts},
    process::{self as child, Ended, Process},
    service::{self, Service},
};
use crate::{
    event::Event,
    image::Recipe,
    registry::{Image, Registry},
    wait,
};

/// Until a command has done its work, a worker is on the list, or nothing is left.
const DONE: Duration = Duration::from_secs(60);
/// Until a process that was asked to end has cleaned up and ended.
const DRAIN: Duration = Duration::from_secs(60);
/// A port that was free may be taken by the time it is used.
const STARTS: usize = 3;

/// A world in the making.
#[derive(Debug)]
pub struct Plan {
    event: Event,
    apis: usize,
    workers: usize,
    name: Option<String>,
    database: Option<String>,
    api_database: Option<String>,
    worker_database: Option<String>,
    api_settings: Vec<(String, String)>,
    worker_settings: Vec<(String, String)>,
    registries: Vec<String>,
    programs: Option<PathBuf>,
}

/// A running world.
#[derive(Debug)]
pub struct World {
    /// Its name and that of its database.
    pub name: String,
    /// The event that was applied.
    pub event: Event,
    /// The engine.
    pub engine: Engine,
    /// The registry.
    pub registry: Registry,
    /// A client of the first api.
    pub client: Client,
    /// The apis, in the order of their start.
    pub apis: Vec<Service>,
    /// The workers, in the order of their start; killed ones stay in their places.
    pub workers: Vec<Service>,
    plan: Plan,
    database: String,
    pushed: AtomicU32,
    finished: bool,
    range: Range,
    dir: TempDir,
}

impl Plan {
    /// So many apis (1).
    #[must_use]
    pub fn apis(self, apis: usize) -> Self {
        Self { apis, ..self }
    }

    /// So many workers (1).
    #[must_use]
    pub fn workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// On this replica set instead of the shared one.
    #[must_use]
    pub fn database(self, uri: &str) -> Self {
        Self { database: Some(uri.to_owned()), ..self }
    }

    /// With this name, which is that of its database, instead of a fresh one.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    /// Apis reach the replica set by this address.
    #[must_use]
    pub fn api_database(self, uri: &str) -> Self {
        Self { api_database: Some(uri.to_owned()), ..self }
    }

    /// Workers reach the replica set by this address.
    #[must_use]
    pub fn worker_database(self, uri: &str) -> Self {
        Self { worker_database: Some(uri.to_owned()), ..self }
    }

    /// With a setting for every api.
    #[must_use]
    pub fn api_setting(mut self, name: &str, value: impl ToString) -> Self {
        self.api_settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// With a setting for every worker.
    #[must_use]
    pub fn worker_setting(mut self, name: &str, value: impl ToString) -> Self {
        self.worker_settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// With leases that run out soon, so that a test of them does not take long, and not so soon that one slow
    /// write loses one.
    #[must_use]
    pub fn short_leases(self) -> Self {
        self.worker_setting("PORTCALL_BEAT_MS", 500)
            .worker_setting("PORTCALL_STALL_MS", 4000)
            .worker_setting("PORTCALL_LEASE_MS", 6000)
    }

    /// With the api's and the worker's programs from this folder, the prober, the canary and `env.sample` too.
    #[must_use]
    pub fn programs(self, folder: &Path) -> Self {
        Self { programs: Some(folder.to_owned()), ..self }
    }

    /// The event also takes images from this registry.
    #[must_use]
    pub fn allow_registry(mut self, host: &str) -> Self {
        self.registries.push(host.to_owned());
        self
    }

    /// Starts everything and waits until it is ready.
    ///
    /// # Errors
    /// When a part is not given, or does not become ready.
    pub async fn start(self) -> Result<World> {
        let engine = Engine::given().await?;
        let registry = Registry::given()?;
        let database = match &self.database {
            Some(uri) => uri.clone(),
            None => mongo::shared().await?,
        };
        let name = self.name.clone().unwrap_or_else(fresh_name);
        let dir = tempfile::Builder::new().prefix(&format!("portcall-{name}-")).tempdir()?;
        let mut world = World {
            client: Client::new("http://127.0.0.1:0", &self.event.slug)?,
            event: self.event.clone(),
            range: Range::take()?,
            apis: Vec::new(),
            workers: Vec::new(),
            pushed: AtomicU32::new(0),
            finished: false,
            plan: self,
            name,
            engine,
            registry,
            database,
            dir,
        };
        for _ in 0..world.plan.apis {
            world.start_api().await?;
        }
        world.apply(&world.event.clone()).await?;
        for _ in 0..world.plan.workers {
            world.start_worker(&[]).await?;
        }
        Ok(world)
    }
}

impl World {
    /// Plans a world with this event.
    #[must_use]
    pub fn of(event: Event) -> Plan {
        Plan {
            event,
            apis: 1,
            workers: 1,
            name: None,
            database: None,
            api_database: None,
            worker_database: None,
            api_settings: Vec::new(),
            worker_settings: Vec::new(),
            registries: Vec::new(),
            programs: None,
        }
    }

    /// From now on apis and workers are started from this folder, or from the one that is given to
    /// all tests.
    pub fn use_programs(&mut self, folder: Option<&Path>) {
        self.plan.programs = folder.map(Path::to_owned);
    }

    /// A folder for the test's own files, removed with the world.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The address of the replica set.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The addresses of this world's slots, as the engine has them now.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn slot_addresses(&self) -> Result<Vec<Ipv4Addr>> {
        let subnets = self.engine.subnets().await?;
        let own = subnets.iter().filter(|subnet| self.range.holds(subnet));
        Ok(own.flat_map(|subnet| hosts(subnet)).collect())
    }

    /// Applies an event (again).
    ///
    /// # Errors
    /// When `portcall event apply` refuses it.
    pub async fn apply(&self, event: &Event) -> Result<()> {
        let file = self.dir.path().join(format!("{}.toml", event.slug));
        fs::write(&file, event.toml())?;
        let file = file.to_str().context("a path that is not UTF-8")?;
        let mut arguments = vec!["event", "apply", file, "--allow-registry", self.registry.host()];
        for host in &self.plan.registries {
            arguments.extend(["--allow-registry", host]);
        }
        let (ended, output) = self.portcall(&arguments).await?;
        ensure!(ended == Ended::Code(0), "event apply: {ended:?}\n{output}\n{}", event.toml());
        Ok(())
    }

    /// Runs `portcall` on the world's database.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn portcall(&self, arguments: &[&str]) -> Result<(Ended, String)> {
        let settings = self.settings(&self.database);
        child::run(&given::program("portcall")?, arguments, &settings, DONE).await
    }

    /// Starts one more api.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_api(&mut self) -> Result<usize> {
        self.start_api_with(&[]).await
    }

    /// The same, with settings of its own.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_api_with(&mut self, own: &[(&str, &str)]) -> Result<usize> {
        let web = self.dir.path().join("web");
        fs::create_dir_all(web.join("assets"))?;
        fs::write(web.join("index.html"), "<!doctype html><title>Portcall</title>")?;
        let name = format!("api{}", self.apis.len());
        for start in 1.. {
            let (address, ops) = (free_address()?, free_address()?);
            let uri = self.plan.api_database.as_ref().unwrap_or(&self.database);
            let mut settings = self.settings(uri);
            settings.extend([
                setting("PORTCALL_API_ADDR", address),
                setting("PORTCALL_API_OPS_ADDR", ops),
                setting("PORTCALL_PUBLIC_URL", format!("http://{address}")),
                setting("PORTCALL_WEB_DIR", web.display()),
                setting("PORTCALL_COMPETITION_EVENT", &self.event.slug),
            ]);
            // Nothing stands before it.
            settings.push(setting("PORTCALL_API_DRAIN_MS", 0));
            settings.extend(service::unlimited());
            settings.extend(self.plan.api_settings.iter().cloned());
            settings.extend(own.iter().map(|(name, value)| setting(name, value)));
            let process = self.launch("portcall-api", &name, &settings)?;
            let service = Service { process, address: Some(address), ops, worker: None };
            match service.ready().await {
                Ok(service) => {
                    if self.apis.is_empty() {
                        self.client = service.client(&self.event.slug)?;
                    }
                    self.apis.push(service);
                    break;
                }
                Err(error) if start == STARTS || !service::is_taken(&error) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(self.apis.len() - 1)
    }

    /// Starts one more worker, with settings of its own.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_worker(&mut self, own: &[(&str, &str)]) -> Result<usize> {
        let name = format!("{}-w{}", self.name, self.workers.len());
        let folder = self.plan.programs.as_deref();
        let ours = |name| given::in_place(folder, name, given::static_program);
        for start in 1.. {
            let ops = free_address()?;
            let uri = self.plan.worker_database.as_ref().unwrap_or(&self.database);
            let mut settings = self.settings(uri);
            settings.extend([
                setting("PORTCALL_DOCKER_HOST", &self.engine.host),
                setting("PORTCALL_WORKER_NAME", &name),
                setting("PORTCALL_WORKER_OPS_ADDR", ops),
                setting("PORTCALL_SLOT_POOL", self.range.cidr()),
                setting("PORTCALL_PROBER_BIN", ours("prober")?.display()),
                setting("PORTCALL_CANARY_BIN", ours("canary")?.display()),
            ]);
            settings.extend(self.plan.worker_settings.iter().cloned());
            settings.extend(own.iter().map(|(name, value)| setting(name, value)));
            let process = self.launch("portcall-worker", &name, &settings)?;
            match (Service { process, address: None, ops, worker: None }).ready().await {
                Ok(mut service) => {
                    let id = wait::until(format!("{name} on the list"), DONE, || {
                        mongo::worker_id(&self.database, &self.name, &name)
                    });
                    service.worker = Some(id.await?);
                    self.workers.push(service);
                    break;
                }
                Err(error) if start == STARTS || !service::is_taken(&error) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(self.workers.len() - 1)
    }

    /// Pushes the sample app in a mode, as this participant's.
    ///
    /// # Errors
    /// When the registry refuses.
    pub async fn app(&self, mode: &str, participant: &str) -> Result<Image> {
        self.push(&Recipe::app(mode)?.env("APP_NAME", participant)).await
    }

    /// Pushes an image under a name of this world's own.
    ///
    /// # Errors
    /// When the registry refuses.
    pub async fn push(&self, recipe: &Recipe) -> Result<Image> {
        let tag = self.pushed.fetch_add(1, Ordering::Relaxed);
        self.registry.push(&format!("{}/app:{tag}", self.name), recipe).await
    }

    /// What of one worker's is in the engine.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn traces_of(&self, worker: usize) -> Result<Vec<Found>> {
        let workers: Vec<String> = self.workers[worker].worker.iter().cloned().collect();
        self.engine.find(&Whose { workers: &workers, range: None }).await
    }

    /// What of the world's is in the engine.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn traces(&self) -> Result<Vec<Found>> {
        let workers = self.worker_ids();
        self.engine.find(&Whose { workers: &workers, range: Some(&self.range) }).await
    }

    fn worker_ids(&self) -> Vec<String> {
        self.workers.iter().filter_map(|service| service.worker.clone()).collect()
    }

    /// Ends the world, and fails when it left anything: work that is not final, a process that
    /// does not end well, a panic in a log, a container or a network.
    ///
    /// # Errors
    /// When it did.
    pub async fn finish(self) -> Result<()> {
        // The numbers may be a second old.
        wait::until("no work left", DONE / 3, || async {
            let Ok(stats) = self.client.of_event("/stats").await else { return Ok(None) };
            let totals = &stats["totals"];
            Ok((totals["queued"] == 0 && totals["grading"] == 0).then_some(()))
        })
        .await?;
        self.leave().await
    }

    /// The same for a world that leaves work on purpose, having no worker that would do it.
    ///
    /// # Errors
    /// When it left anything else.
    pub async fn leave(mut self) -> Result<()> {
        for service in self.workers.iter_mut().chain(&mut self.apis) {
            if service.process.ended()?.is_none() {
                service.process.terminate()?;
                let ended = service.process.wait(DRAIN).await?;
                ensure!(ended == Ended::Code(0), "{} ended: {ended:?}", service.process.name());
            }
        }
        for service in self.workers.iter().chain(&self.apis) {
            let log = service.process.log();
            if let Some(at) = log.find("panicked at") {
                let told: String = log[at..].lines().take(12).collect::<Vec<_>>().join("\n");
                bail!("{} {told}", service.process.name());
            }
        }
        let left = wait::until("nothing left in the engine", DONE, || async {
            Ok(self.traces().await?.is_empty().then_some(()))
        });
        if left.await.is_err() {
            bail!("left in the engine: {:#?}", self.traces().await?);
        }
        mongo::drop_database(&self.database, &self.name).await?;
        self.finished = true;
        Ok(())
    }

    fn settings(&self, uri: &str) -> Vec<(String, String)> {
        vec![
            setting("PORTCALL_MONGODB_URI", uri),
            setting("PORTCALL_MONGODB_DATABASE", &self.name),
            setting("PORTCALL_LOG", "info,portcall=debug"),
            setting("RUST_BACKTRACE", "1"),
            // Nothing of a test leaves the machine; loopback is asked without a proxy.
            setting("HTTPS_PROXY", "http://127.0.0.1:9"),
            setting("NO_PROXY", "127.0.0.1,localhost"),
        ]
    }

    fn launch(&self, program: &str, name: &str, settings: &[(String, String)]) -> Result<Process> {
        let folder = self.plan.programs.as_deref();
        let path = given::in_place(folder, program, given::program)?;
        let settings = service::known_in(folder, settings)?;
        Process::start(name, &path, &[], &settings, self.dir.path())
    }
}

impl Drop for World {
    /// A test that failed: the ends of the logs, and nothing left for the next one.
    #[expect(clippy::print_stderr, reason = "why a test failed is in the logs")]
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        for service in self.apis.iter_mut().chain(&mut self.workers) {
            let log = service.process.log();
            let lines: Vec<&str> = log.lines().collect();
            let end = &lines[lines.len().saturating_sub(60)..];
            eprintln!("--- {} ---\n{}", service.process.name(), end.join("\n"));
            // It may have been killed by the test.
            let _ = service.process.kill();
        }
        let workers = self.worker_ids();
        let whose = Whose { workers: &workers, range: Some(&self.range) };
        thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                // What cannot be cleared is not this test's failure.
                if let (Ok(runtime), Ok(engine)) = (runtime, Engine::connect(&self.engine.host)) {
                    runtime.block_on(engine.clear(&whose));
                }
            });
        });
    }
}

fn setting(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

fn fresh_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
    format!("t{now:x}-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
