//! `portcall check`: the whole grading on a participant's own machine, with the platform's reasons
//! and exit codes, and nothing left behind.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use portcall_tests::{
    Event, Recipe, Registry, Submission, World,
    parts::{
        engine::{Engine, Whose},
        given,
        process::{Ended, Finished, Process},
    },
    wait,
};
use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(90);
/// How often an image may be over before it was seen to run.
const TRIES: usize = 5;

/// A participant's machine: an engine, an event file, and nothing else of Portcall's.
struct Machine {
    engine: Engine,
    dir: TempDir,
    event: PathBuf,
    host: String,
}

/// A check that runs, and whose it is on the engine.
struct Check<'a> {
    machine: &'a Machine,
    process: Process,
    worker: String,
}

impl Machine {
    async fn with(event: &Event) -> Result<Self> {
        let engine = Engine::given().await?;
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("event.toml");
        std::fs::write(&path, event.toml())?;
        Ok(Self { host: engine.host.clone(), engine, dir, event: path })
    }

    /// A name that no other test has.
    fn name(&self) -> String {
        let of_its_own = self.dir.path().file_name().unwrap_or_default().to_string_lossy();
        let plain = of_its_own.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "");
        format!("local-{plain}:1")
    }

    fn start(&self, arguments: &[&str]) -> Result<Process> {
        let event = self.event.to_string_lossy();
        let arguments = [&["check", "--event", &event], arguments].concat();
        let settings = [
            ("PORTCALL_DOCKER_HOST", self.host.clone()),
            ("PORTCALL_PROBER_BIN", given::static_program("prober")?.display().to_string()),
            ("HTTPS_PROXY", "http://127.0.0.1:9".to_owned()),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value));
        let program = given::program("portcall")?;
        Process::start_apart("check", &program, &arguments, &settings, self.dir.path())
    }

    /// Starts a check, and waits until the image is seen to run; one that was over too soon to be seen is
    /// begun again.
    async fn running(&self, image_id: &str, arguments: &[&str]) -> Result<Check<'_>> {
        for _ in 1..TRIES {
            if let Ok(check) = self.seen(image_id, arguments).await {
                return Ok(check);
            }
        }
        self.seen(image_id, arguments).await
    }

    async fn seen(&self, image_id: &str, arguments: &[&str]) -> Result<Check<'_>> {
        let engine = &self.engine;
        wait::until("nobody else runs the image", PATIENCE, || async {
            Ok(engine.worker_of(image_id).await?.is_none().then_some(()))
        })
        .await?;
        let process = Mutex::new(self.start(arguments)?);
        let seen = wait::until("the image runs", PATIENCE, || async {
            let worker = engine.worker_of(image_id).await?;
            let mut process = process.lock().unwrap_or_else(PoisonError::into_inner);
            if worker.is_none() && process.ended()?.is_some() {
                bail!("it ended before: {} {}", process.stdout(), process.log());
            }
            Ok(worker)
        });
        let worker = seen.await?;
        let process = process.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Check { machine: self, process, worker })
    }

    /// A check to its end.
    async fn check(&self, image_id: &str, arguments: &[&str]) -> Result<Finished> {
        self.running(image_id, arguments).await?.finish().await
    }
}

impl Check<'_> {
    /// How it ended; nothing of it is on the engine then.
    async fn finish(self) -> Result<Finished> {
        let finished = self.process.finish(PATIENCE).await?;
        let whose = Whose { workers: &[self.worker], range: None };
        let left = self.machine.engine.find(&whose).await?;
        ensure!(left.is_empty(), "left on the engine: {left:#?}\n{finished:#?}");
        Ok(finished)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_image_that_no_registry_has_passes() -> Result<()> {
    let machine = Machine::with(&Event::config()).await?;
    let name = machine.name();
    let recipe = Recipe::app("ok")?.env("APP_NAME", "Gordon").env("OF", &name);
    let id = machine.engine.load(&name, &recipe).await?;
    let told = machine.check(&id, &[&name]).await?;
    assert_eq!(told.ended, Ended::Code(0), "{told:#?}");
    assert!(told.stdout.starts_with("passed: 1 check"), "{told:#?}");
    let steps = ["pulling", "starting", "probing", "judging", "cleaning"];
    let at: Vec<_> = steps.iter().map(|step| told.stderr.find(&format!("{step} …"))).collect();
    assert!(at.is_sorted() && at[0].is_some(), "it says what it does: {told:#?}");

    let json = machine.check(&id, &["--json", &name]).await?;
    assert_eq!(json.ended, Ended::Code(0), "{json:#?}");
    let shown: Value = serde_json::from_str(&json.stdout).context("JSON and nothing else")?;
    assert_eq!((&shown["outcome"], &shown["reason"]), (&"passed".into(), &Value::Null));
    assert_eq!(shown["evidence"]["checks"][0]["passed"], true, "{shown:#}");
    machine.engine.forget(&name).await
}

/// The same image, on the platform and before it is pushed.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_fails_as_the_platform_does() -> Result<()> {
    let world = World::of(Event::config()).start().await?;
    let machine = Machine::with(&world.event).await?;
    let name = machine.name();
    let recipe = Recipe::app("wrong-json")?.env("APP_NAME", "Gordon").env("OF", &name);
    let pushed = world.push(&recipe).await?;
    let accepted = world.client.submit(&Submission::of("Gordon").image(&pushed)).await?;
    let document = world.client.wait_final(&accepted.id, PATIENCE).await?;
    let theirs = &document["attempts"][0]["evidence"]["checks"][0]["failures"];
    assert_eq!(document["state"], "failed", "{document:#}");

    let id = machine.engine.load(&name, &recipe).await?;
    let json = machine.check(&id, &["--json", &name]).await?;
    assert_eq!(json.ended, Ended::Code(1), "{json:#?}");
    let shown: Value = serde_json::from_str(&json.stdout)?;
    assert_eq!(shown["outcome"], "failed");
    for field in ["code", "owner", "message", "hint", "limit"] {
        let reason = &document["verdict"]["reason"][field];
        assert_eq!(&shown["reason"][field], reason, "{field} of {shown:#}");
    }
    let ours = &shown["evidence"]["checks"][0]["failures"];
    assert_eq!(differences(ours), differences(theirs));
    assert_eq!(differences(ours), [["$.vote", "\"Cats\"", "\"Dogs\""]], "{shown:#}");

    let told = machine.check(&id, &[&name]).await?;
    assert_eq!(told.ended, Ended::Code(1), "{told:#?}");
    for words in ["failed: rule_failed:config", "$.vote: expected \"Cats\", got \"Dogs\"", "< 200"]
    {
        assert!(told.stdout.contains(words), "no {words} in {told:#?}");
    }
    machine.engine.forget(&name).await?;
    world.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_here_is_pulled() -> Result<()> {
    let machine = Machine::with(&Event::config()).await?;
    let name = machine.name();
    let recipe = Recipe::app("ok")?.env("APP_NAME", "Molly").env("OF", &name);
    let pushed = Registry::given()?.push(&format!("check/{name}"), &recipe).await?;
    let packed = recipe.pack()?;
    assert_eq!(machine.engine.image_id(packed.id()).await?, None, "it is not here yet");
    let told = machine.check(packed.id(), &["--name", "Molly", &pushed.reference]).await?;
    assert_eq!(told.ended, Ended::Code(0), "{told:#?}");
    assert!(machine.engine.image_id(packed.id()).await?.is_some(), "it was pulled");
    machine.engine.forget(packed.id()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_is_interrupted_leaves_nothing() -> Result<()> {
    let machine = Machine::with(&Event::config().limits("request_s = 20")).await?;
    let name = machine.name();
    let recipe = Recipe::app("slow")?.env("APP_DELAY_MS", "15000").env("OF", &name);
    let id = machine.engine.load(&name, &recipe).await?;
    let check = machine.running(&id, &[&name]).await?;
    check.process.interrupt()?;
    let told = check.finish().await?;
    assert_eq!(told.ended, Ended::Code(1), "{told:#?}");
    assert!(told.stderr.contains("stopped"), "{told:#?}");
    assert_eq!(told.stdout, "", "no verdict");
    machine.engine.forget(&name).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_event_file_is_told_with_its_lines() -> Result<()> {
    let machine = Machine::with(&Event::config().limits("ready_secs = 4")).await?;
    let text = std::fs::read_to_string(&machine.event)?;
    let line = 1 + text.lines().position(|line| line.contains("ready_secs")).context("a line")?;
    let told = machine.start(&["u/app:1"])?.finish(PATIENCE).await?;
    assert_eq!(told.ended, Ended::Code(64), "{told:#?}");
    assert!(told.stderr.contains(&format!("line {line}: ")), "{told:#?}");
    assert!(told.stderr.contains("ready_secs") && told.stdout.is_empty(), "{told:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_engine_it_says_so() -> Result<()> {
    let mut machine = Machine::with(&Event::config()).await?;
    machine.host = format!("unix://{}", machine.dir.path().join("nobody.sock").display());
    let told = machine.start(&["u/app:1"])?.finish(PATIENCE).await?;
    assert_eq!(told.ended, Ended::Code(69), "{told:#?}");
    assert!(told.stderr.contains("engine") && told.stdout.is_empty(), "{told:#?}");
    Ok(())
}

/// Path, expected and got of each failure.
fn differences(failures: &Value) -> Vec<[&str; 3]> {
    let all = failures.as_array().into_iter().flatten();
    let fields = ["path", "expected", "got"];
    all.map(|failure| fields.map(|field| failure[field].as_str().unwrap_or_default())).collect()
}
