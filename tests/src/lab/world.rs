//! Portcall on a lab: an api and workers as real processes on the host `f`, on the replica set, the
//! swarm and the quarantine of the lab. Participants are this process, which reaches the api through
//! its door.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use bollard::query_parameters::ListContainersOptions;
use futures::future::try_join_all;
use serde_json::Value;
use tempfile::TempDir;

use super::Lab;
use crate::{
    event::Event,
    image::Recipe,
    parts::{
        client::{Client, Submission, is_final},
        given, mongo,
        process::{self, Ended},
        service::{self, Service},
    },
    registry::{Image, Registry},
    wait,
};

/// What a swarm on a busy machine takes for anything.
const PATIENCE: Duration = Duration::from_secs(240);
/// Until a process that was asked to end has cleaned up and ended.
const DRAIN: Duration = Duration::from_secs(120);
/// The label that says what a container is for.
const KIND_LABEL: &str = "portcall.kind";
/// How many lines of a log are shown.
const END: usize = 120;
/// Between two looks of everybody at everything.
const LOOK: Duration = Duration::from_millis(300);
/// The host of our processes, and the ports there.
const HOST: &str = "f";
const API: u16 = 8080;
const API_OPS: u16 = 9080;
const WORKER_OPS: u16 = 9081;
/// The lab is this test's own, and so is its database.
pub const DATABASE: &str = "portcall";

/// Portcall on a lab.
#[derive(Debug)]
pub struct Portcall {
    /// Where it is.
    pub lab: Lab,
    /// A client of its api, for the event that it was started with.
    pub client: Client,
    /// The api.
    pub api: Service,
    /// The workers, in the order of their start.
    pub workers: Vec<Service>,
    registry: Registry,
    dir: TempDir,
    finished: bool,
}

impl Portcall {
    /// Starts an api and one worker, which keeps so many slots at the most, and waits until these
    /// nodes have all their slots open.
    ///
    /// # Errors
    /// When a part does not become ready.
    pub async fn start(lab: Lab, event: &Event, slots: u32, nodes: &[&str]) -> Result<Self> {
        let (dir, host) = (tempfile::tempdir()?, lab.host(HOST)?.address);
        let [address, ops] = [API, API_OPS].map(|port| SocketAddr::from((host, port)));
        apply(&lab, dir.path(), event).await?;
        fs::create_dir_all(dir.path().join("web/assets"))?;
        let page = "<!doctype html><title>Portcall</title>";
        fs::write(dir.path().join("web/index.html"), page)?;
        let mut settings = common(&lab)?;
        settings.extend([
            setting("PORTCALL_API_ADDR", address),
            setting("PORTCALL_API_OPS_ADDR", ops),
            setting("PORTCALL_PUBLIC_URL", format!("http://{address}")),
            setting("PORTCALL_WEB_DIR", dir.path().join("web").display()),
            setting("PORTCALL_COMPETITION_EVENT", &event.slug),
            setting("PORTCALL_API_DRAIN_MS", 0),
        ]);
        settings.extend(service::unlimited());
        let process = lab.start_on(HOST, &given::program("portcall-api")?, &[], &settings)?;
        let api = Service { process, address: Some(address), ops, worker: None }.ready().await?;
        let (client, registry) = (api.client(&event.slug)?, Registry::at(&lab.public()?)?);
        let client = client.quietly();
        let workers = Vec::new();
        let mut world = Self { lab, client, api, workers, registry, dir, finished: false };
        world.start_worker(slots).await?;
        world.until_open(nodes).await?;
        Ok(world)
    }

    /// Starts one more worker, and waits until it can grade.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_worker(&mut self, slots: u32) -> Result<()> {
        let number = u16::try_from(self.workers.len())?;
        let ops = SocketAddr::from((self.lab.host(HOST)?.address, WORKER_OPS + number));
        let mut settings = common(&self.lab)?;
        settings.extend(self.lab.worker_settings()?);
        settings.extend([
            setting("PORTCALL_WORKER_NAME", format!("w{number}")),
            setting("PORTCALL_WORKER_OPS_ADDR", ops),
            setting("PORTCALL_SLOTS", slots),
            setting("PORTCALL_PROBER_BIN", given::static_program("prober")?.display()),
            setting("PORTCALL_CANARY_BIN", given::static_program("canary")?.display()),
        ]);
        let program = given::program("portcall-worker")?;
        let process = self.lab.start_on(HOST, &program, &[], &settings)?;
        let service = Service { process, address: None, ops, worker: None };
        self.workers.push(service.ready().await?);
        Ok(())
    }

    /// Applies one more event; a client for it.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn also(&self, event: &Event) -> Result<Client> {
        apply(&self.lab, self.dir.path(), event).await?;
        Ok(self.api.client(&event.slug)?.quietly())
    }

    /// Runs `portcall` on the world's database; what it printed.
    ///
    /// # Errors
    /// When it does not end well.
    pub async fn portcall(&self, arguments: &[&str]) -> Result<String> {
        portcall(&self.lab, arguments).await
    }

    /// What workers say of each node.
    ///
    /// # Errors
    /// When `portcall nodes` fails.
    pub async fn nodes(&self) -> Result<BTreeMap<String, Vec<Value>>> {
        let nodes: Value = serde_json::from_str(&self.portcall(&["nodes", "--json"]).await?)?;
        let mut by_name: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for node in nodes.as_array().context("a list of nodes")? {
            let name = node["node"]["name"].as_str().unwrap_or_default();
            by_name.entry(name.to_owned()).or_default().push(node.clone());
        }
        Ok(by_name)
    }

    /// Waits until these nodes have all the slots open that workers keep there.
    ///
    /// # Errors
    /// When they do not in time.
    pub async fn until_open(&self, names: &[&str]) -> Result<()> {
        wait::until(format!("the slots of {names:?} are open"), PATIENCE, || async {
            let nodes = self.nodes().await?;
            let is_open = |name: &&str| {
                let entries = nodes.get(*name).map(Vec::as_slice).unwrap_or_default();
                let sum = |field: &str| entries.iter().filter_map(|e| e[field].as_u64()).sum();
                let (open, kept): (u64, u64) = (sum("open"), sum("slots"));
                open > 0 && open == kept
            };
            Ok(names.iter().all(is_open).then_some(()))
        })
        .await
    }

    /// Pushes an image to the registry of strangers.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn push(&self, name: &str, recipe: &Recipe) -> Result<Image> {
        self.registry.push(&format!("strangers/{name}"), recipe).await
    }

    /// Posts so many submissions of an app that takes that long to start, and passes.
    ///
    /// # Errors
    /// When one is not accepted.
    pub async fn submit(&self, who: &str, number: usize, delay: Duration) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        for n in 0..number {
            let name = format!("{who} {n}");
            let recipe = Recipe::app("late-listen")?
                .env("APP_NAME", &name)
                .env("APP_DELAY_MS", &delay.as_millis().to_string());
            let tag = format!("{}:{n}", who.to_lowercase());
            let image = self.push(&tag, &recipe).await?;
            ids.push(self.client.submit(&Submission::of(&name).image(&image)).await?.id);
        }
        Ok(ids)
    }

    /// The documents of submissions; every one has to be answered at once.
    ///
    /// # Errors
    /// When one is not.
    pub async fn documents(&self, ids: &[String]) -> Result<Vec<Value>> {
        try_join_all(ids.iter().map(|id| self.client.document(id))).await
    }

    /// Looks at submissions, as their participants do, until it is enough. Nobody may see an error:
    /// every look is answered, and none has ended but passed.
    ///
    /// # Errors
    /// When somebody sees one, or the time is over.
    pub async fn watch(
        &self,
        ids: &[String],
        within: Duration,
        enough: impl Fn(&[Value]) -> bool,
    ) -> Result<Vec<Value>> {
        let started = tokio::time::Instant::now();
        loop {
            let documents = self.documents(ids).await?;
            for document in documents.iter().filter(|document| is_final(document)) {
                ensure!(document["state"] == "passed", "it did not pass: {document:#}");
            }
            if enough(&documents) {
                return Ok(documents);
            }
            if started.elapsed() > within {
                let open: Vec<_> = documents.iter().filter(|d| d["state"] != "passed").collect();
                bail!("after {within:?}: {open:#?}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Watches them for so long.
    ///
    /// # Errors
    /// When somebody sees an error.
    pub async fn watch_for(&self, ids: &[String], time: Duration) -> Result<Vec<Value>> {
        let until = tokio::time::Instant::now() + time;
        self.watch(ids, time + PATIENCE, |_| tokio::time::Instant::now() >= until).await
    }

    /// Watches submissions until all have passed.
    ///
    /// # Errors
    /// When somebody sees an error, or the time is over.
    pub async fn all_passed(&self, ids: &[String], within: Duration) -> Result<Vec<Value>> {
        self.watch(ids, within, |documents| passed(documents) == documents.len()).await
    }

    /// The running containers of a kind: their hosts, and the id of each network that they are in.
    ///
    /// # Errors
    /// When an engine that is on does not answer.
    pub async fn containers(&self, kind: &str) -> Result<Vec<(String, String)>> {
        let mut all = Vec::new();
        let hosts = self.lab.hosts()?.into_iter();
        for host in hosts.filter(|host| host.socket.is_some() && host.pid.is_some()) {
            let docker = self.lab.docker(&host.name)?;
            for container in docker.list_containers(None::<ListContainersOptions>).await? {
                let labels = container.labels.unwrap_or_default();
                if labels.get(KIND_LABEL).is_none_or(|is| is != kind) {
                    continue;
                }
                let networks = container.network_settings.and_then(|settings| settings.networks);
                let ids = networks.into_iter().flatten().filter_map(|(_, its)| its.network_id);
                all.extend(ids.map(|id| (host.name.clone(), id)));
            }
        }
        Ok(all)
    }

    /// Waits until everything of ours on the lab belongs to a slot that is open: what managers and
    /// graders that were away had kept is gone too.
    ///
    /// # Errors
    /// When it does not in time; with what is left.
    pub async fn until_clean(&self) -> Result<()> {
        let clean = wait::until("only open slots", PATIENCE, || async {
            let nodes = self.nodes().await?;
            let open = nodes.values().flatten().filter_map(|entry| entry["open"].as_u64()).sum();
            Ok((Furniture::of(&self.lab.left_over().await?) == Furniture::of_slots(open))
                .then_some(()))
        });
        match clean.await {
            Ok(()) => Ok(()),
            Err(error) => Err(error.context(format!("{:#?}", self.lab.left_over().await))),
        }
    }

    /// Ends it all, and fails when anything is left: a process that does not end well, a panic, a
    /// service, a task, a container or a network on any daemon, and what a lab may leave.
    ///
    /// # Errors
    /// When it is.
    pub async fn finish(mut self) -> Result<()> {
        for service in self.workers.iter_mut().chain([&mut self.api]) {
            service.process.terminate()?;
            let ended = service.process.wait(DRAIN).await?;
            let (name, log) = (service.process.name(), service.process.log());
            ensure!(ended == Ended::Code(0), "{name} ended: {ended:?}");
            if let Some(at) = log.find("panicked at") {
                let told: Vec<_> = log[at..].lines().take(12).collect();
                bail!("{name} {}", told.join("\n"));
            }
        }
        let gone = wait::until("nothing left on the daemons", DRAIN, || async {
            Ok(self.lab.left_over().await?.is_empty().then_some(()))
        });
        if gone.await.is_err() {
            bail!("left on the daemons: {:#?}", self.lab.left_over().await?);
        }
        mongo::drop_database(&self.lab.database()?, DATABASE).await?;
        self.finished = true;
        self.lab.take_down().await
    }
}

impl Drop for Portcall {
    /// A test that failed: the ends of the logs.
    #[expect(clippy::print_stderr, reason = "why a test failed is in the logs")]
    fn drop(&mut self) {
        for service in self.workers.iter().chain([&self.api]).filter(|_| !self.finished) {
            let log = service.process.log();
            let lines: Vec<&str> = log.lines().collect();
            let end = &lines[lines.len().saturating_sub(END)..];
            eprintln!("--- {} ---\n{}", service.process.name(), end.join("\n"));
        }
    }
}

/// What there is of ours on all daemons, each kind counted; networks by how many names they have,
/// since every manager and every grader that has a part in one tells of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Furniture {
    networks: u64,
    probers: u64,
    services: u64,
    others: u64,
}

impl Furniture {
    fn of(left: &[String]) -> Self {
        let (mut found, mut networks) = (Self::default(), BTreeSet::new());
        for line in left {
            let (_, what) = line.split_once(": ").unwrap_or(("", line));
            match what.split(' ').next() {
                Some("network") => drop(networks.insert(what)),
                Some("service") => found.services += 1,
                // The anchors' tasks, and their containers on graders.
                Some("task") => {}
                Some("container") if what.contains("-anchor.") => {}
                Some("container") if what.ends_with("-prober") => found.probers += 1,
                _ => found.others += 1,
            }
        }
        found.networks = networks.len() as u64;
        found
    }

    /// What belongs to so many slots in which nothing is graded.
    fn of_slots(slots: u64) -> Self {
        Self { networks: slots, probers: slots, services: slots, others: 0 }
    }
}

/// How many of these have passed.
#[must_use]
pub fn passed(documents: &[Value]) -> usize {
    documents.iter().filter(|document| document["state"] == "passed").count()
}

/// How many attempts ended how, and on which node.
#[must_use]
pub fn attempts(documents: &[Value]) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for attempt in documents.iter().flat_map(|d| d["attempts"].as_array().into_iter().flatten()) {
        let outcome = attempt["outcome"].as_str().unwrap_or("none");
        let node = attempt["node"].as_str().unwrap_or("nowhere");
        *found.entry(format!("{outcome} on {node}")).or_default() += 1;
    }
    found
}

async fn apply(lab: &Lab, dir: &Path, event: &Event) -> Result<()> {
    let file = dir.join(format!("{}.toml", event.slug));
    fs::write(&file, event.toml())?;
    let file = file.to_str().context("a path that is not UTF-8")?;
    portcall(lab, &["event", "apply", file, "--allow-registry", &lab.public()?]).await.map(drop)
}

async fn portcall(lab: &Lab, arguments: &[&str]) -> Result<String> {
    let program = given::program("portcall")?;
    let done = process::ask(&program, arguments, &common(lab)?, PATIENCE).await?;
    ensure!(done.ended == Ended::Code(0), "portcall {arguments:?}: {done:#?}");
    Ok(done.stdout)
}

fn common(lab: &Lab) -> Result<Vec<(String, String)>> {
    let registries = format!("{},{}", lab.public()?, lab.quarantine()?);
    Ok(vec![
        setting("PORTCALL_MONGODB_URI", lab.database()?),
        setting("PORTCALL_MONGODB_DATABASE", DATABASE),
        setting("PORTCALL_HTTP_REGISTRIES", registries),
        setting("PORTCALL_LOG", "info,portcall=debug"),
        setting("RUST_BACKTRACE", "1"),
    ])
}

fn setting(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn furniture_is_counted_by_what_it_is() {
        let of = |lines: &[&str]| {
            Furniture::of(&lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>())
        };
        let slot = [
            "m1: container prober /portcall-ab-0-7-prober",
            "m1: network portcall-ab-0-7",
            "m2: network portcall-ab-0-7",
            "g1: container prober /portcall-ab-0-7-anchor.1.xyz",
            "swarm: service portcall-ab-0-7-anchor",
            "swarm: task xyz",
        ];
        assert_eq!(of(&slot), Furniture::of_slots(1));
        assert_eq!(of(&[]), Furniture::of_slots(0));
        for more in [
            "m3: container prober /portcall-ab-1-8-prober",
            "g1: container workload /portcall-ab-app.1.xyz",
            "g2: network portcall-ab-1-9",
            "swarm: service portcall-ab-app",
            "g1: volume 0123",
        ] {
            assert_ne!(of(&[&slot[..], &[more]].concat()), Furniture::of_slots(1), "{more}");
        }
    }
}
