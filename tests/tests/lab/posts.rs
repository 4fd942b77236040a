//! Two workers on the graders of a swarm, of which one more joins and one is drained while
//! submissions run: the slots of each are shared, none is lost, and none fails by it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use portcall_tests::{
    Event, Lab, Recipe, Registry, Submission,
    lab::{Database, Plan},
    parts::{
        apis::Apis,
        client::Client,
        given,
        net::free_address,
        process::{self, Ended, Process},
        service::Service,
    },
    wait,
};
use serde_json::Value;

/// A swarm on two cores takes its time.
const PATIENCE: Duration = Duration::from_secs(240);
/// What a worker needs to hand back what it grades, and to clean up.
const END: Duration = Duration::from_secs(120);
/// How many slots each grader has, by its label.
const SLOTS: u32 = 2;

/// The parts of Portcall on a lab.
struct Stage {
    lab: Lab,
    apis: Apis,
    workers: Vec<Service>,
}

impl Stage {
    async fn start(plan: Plan) -> Result<Self> {
        let lab = Lab::of(plan).await?;
        let registries = [lab.public()?, lab.quarantine()?];
        let event = Event::config().limits("ready_s = 20\nrequest_s = 5");
        let mut apis = Apis::on(&lab.database()?, &event, &[&registries[0]])
            .await?
            .setting("PORTCALL_HTTP_REGISTRIES", registries.join(","));
        apis.start().await?;
        Ok(Self { lab, apis, workers: Vec::new() })
    }

    fn client(&self) -> Result<Client> {
        self.apis.client(0)
    }

    /// Starts one more worker, and waits until it can grade.
    async fn start_worker(&mut self) -> Result<()> {
        let (uri, database) = self.apis.database();
        let (name, ops) = (format!("w{}", self.workers.len()), free_address()?);
        let mut settings = self.lab.worker_settings()?;
        settings.retain(|(name, _)| name != "PORTCALL_MONGODB_URI");
        for (setting, value) in [
            ("PORTCALL_MONGODB_URI", uri.to_owned()),
            ("PORTCALL_MONGODB_DATABASE", database.to_owned()),
            ("PORTCALL_WORKER_NAME", name.clone()),
            ("PORTCALL_WORKER_OPS_ADDR", ops.to_string()),
            ("PORTCALL_SLOTS", "16".to_owned()),
            ("PORTCALL_PROBER_BIN", given::static_program("prober")?.display().to_string()),
            ("PORTCALL_CANARY_BIN", given::static_program("canary")?.display().to_string()),
            ("PORTCALL_LOG", "info,portcall=debug".to_owned()),
            ("RUST_BACKTRACE", "1".to_owned()),
        ] {
            settings.push((setting.to_owned(), value));
        }
        let program = given::program("portcall-worker")?;
        let process = Process::start(&name, &program, &[], &settings, self.apis.dir())?;
        let service = Service { process, address: None, ops, worker: None };
        self.workers.push(service.ready().await?);
        Ok(())
    }

    async fn portcall(&self, arguments: &[&str], code: i32) -> Result<String> {
        let (uri, database) = self.apis.database();
        let settings = [("PORTCALL_MONGODB_URI", uri), ("PORTCALL_MONGODB_DATABASE", database)];
        let settings: Vec<(String, String)> =
            settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let program = given::program("portcall")?;
        let done = process::ask(&program, arguments, &settings, PATIENCE).await?;
        ensure!(done.ended == Ended::Code(code), "portcall {arguments:?}: {done:#?}");
        ensure!(done.stderr.is_empty(), "portcall {arguments:?}: {}", done.stderr);
        Ok(done.stdout)
    }

    /// What workers say of each node.
    async fn nodes(&self) -> Result<BTreeMap<String, Vec<Value>>> {
        let nodes: Value = serde_json::from_str(&self.portcall(&["nodes", "--json"], 0).await?)?;
        let mut by_name: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for node in nodes.as_array().context("a list")? {
            let name = node["node"]["name"].as_str().unwrap_or_default();
            by_name.entry(name.to_owned()).or_default().push(node.clone());
        }
        Ok(by_name)
    }

    /// Waits until these nodes, and no others, have all their slots open among the workers.
    async fn wait_open(&self, names: &[&str]) -> Result<()> {
        let wanted: BTreeSet<&str> = names.iter().copied().collect();
        wait::until(format!("the slots of {names:?} are open"), PATIENCE, || async {
            let nodes = self.nodes().await?;
            let open = |name: &String, entries: &Vec<Value>| {
                let sum = |field: &str| entries.iter().filter_map(|e| e[field].as_u64()).sum();
                let (open, kept): (u64, u64) = (sum("open"), sum("slots"));
                let wanted = if wanted.contains(name.as_str()) { u64::from(SLOTS) } else { 0 };
                (open, kept) == (wanted, wanted)
            };
            let all = names.iter().all(|name| nodes.contains_key(*name));
            Ok((all && nodes.iter().all(|(name, entries)| open(name, entries))).then_some(()))
        })
        .await
    }

    /// So many submissions that are graded for three seconds and a little.
    async fn submit(&self, from: usize, number: usize) -> Result<Vec<String>> {
        let (client, registry) = (self.client()?, Registry::at(&self.lab.public()?)?);
        let mut ids = Vec::new();
        for n in from..from + number {
            let name = format!("Gordon {n}");
            let recipe =
                Recipe::app("late-listen")?.env("APP_NAME", &name).env("APP_DELAY_MS", "3000");
            let image = registry.push(&format!("strangers/app:{n}"), &recipe).await?;
            ids.push(client.submit(&Submission::of(&name).image(&image)).await?.id);
        }
        Ok(ids)
    }

    async fn wait_passed(&self, ids: &[String]) -> Result<Vec<Value>> {
        let client = self.client()?;
        try_join_all(ids.iter().map(|id| client.wait_passed(id, PATIENCE))).await
    }

    /// Ends everything; fails when anything of it is left.
    async fn end(self) -> Result<()> {
        for mut worker in self.workers {
            worker.process.terminate()?;
            let ended = worker.process.wait(END).await?;
            let log = worker.process.log();
            ensure!(ended == Ended::Code(0), "{ended:?}\n{log}");
            ensure!(!log.contains("panicked at"), "{log}");
        }
        self.apis.end().await?;
        assert_eq!(self.lab.left_over().await?, [""; 0]);
        self.lab.down().await
    }
}

/// How the attempts of these submissions ended, and on which nodes those that passed.
fn attempts(documents: &[Value]) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for attempt in documents.iter().flat_map(|d| d["attempts"].as_array().into_iter().flatten()) {
        let outcome = attempt["outcome"].as_str().unwrap_or("none");
        let node = attempt["node"].as_str().unwrap_or("nowhere");
        *found.entry(format!("{outcome} on {node}")).or_default() += 1;
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn full_slots_follow_the_graders_that_come_and_are_drained_while_submissions_run()
-> Result<()> {
    let plan = Plan {
        managers: 1,
        graders: 2,
        database: Database::Open,
        slots: Some(SLOTS),
        ..Plan::default()
    };
    let began = Instant::now();
    let told = |what: &str| println!("{:>6.1} s  {what}", began.elapsed().as_secs_f64());
    let mut stage = Stage::start(plan).await?;
    told("the lab is up");
    stage.start_worker().await?;
    stage.wait_open(&["g1", "g2"]).await?;
    told("one worker has all slots");
    // The slots of a node are one worker's until another comes, and then they are shared.
    stage.start_worker().await?;
    stage.wait_open(&["g1", "g2"]).await?;
    told("two workers share them");
    for (name, entries) in stage.nodes().await? {
        let slots: Vec<u64> = entries.iter().filter_map(|entry| entry["slots"].as_u64()).collect();
        assert_eq!(slots, [1, 1], "{name}: {entries:#?}");
    }

    let before = stage.submit(0, 8).await?;
    stage.lab.join("g3").await?;
    stage.wait_open(&["g1", "g2", "g3"]).await?;
    told("g3 has joined, and its slots are open");
    let during = stage.submit(8, 12).await?;
    let drained = stage.portcall(&["nodes", "drain", "g1", "--wait"], 0).await?;
    assert!(drained.contains("is drained"), "{drained}");
    told("g1 is drained");
    wait::until("the swarm is told", PATIENCE, || async {
        let node = stage.lab.node("g1").await?;
        Ok(node.filter(|node| node.availability == "drain").map(drop))
    })
    .await?;
    let after = stage.submit(20, 6).await?;
    let passed = stage.wait_passed(&[before, during, after.clone()].concat()).await?;
    let counted = attempts(&passed);
    told(&format!("all have passed: {counted:?}"));
    assert!(!counted.keys().any(|what| what.starts_with("failed") || what.starts_with("lost")));
    assert!(counted.contains_key("passed on g3"), "{counted:?}");
    let late = attempts(&stage.wait_passed(&after).await?);
    assert!(!late.keys().any(|what| what.ends_with("on g1")), "{late:?}");

    stage.portcall(&["nodes", "undrain", "g1", "--wait"], 0).await?;
    let back = stage.lab.node("g1").await?.context("g1 is unknown")?;
    assert_eq!(back.availability, "active");
    stage.wait_open(&["g1", "g2", "g3"]).await?;
    told("g1 is back, and its slots are open");
    stage.end().await
}
