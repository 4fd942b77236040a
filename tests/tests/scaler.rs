//! `portcall scaler` on a whole system: what it wants, what it publishes, what it drains, and what it
//! tells the operator's command.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use portcall_tests::{
    Event, Submission, World,
    parts::{
        given,
        net::free_address,
        process::{self, Ended, Process},
    },
    wait,
};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(120);

/// A scaler with a command that writes down what it was told.
struct Scaler {
    process: Process,
    ops: std::net::SocketAddr,
    told: PathBuf,
}

impl Scaler {
    fn start(world: &World, name: &str, hook: &str, arguments: &[&str]) -> Result<Self> {
        let (ops, told) = (free_address()?, world.dir().join(format!("{name}-told")));
        let hook = hook.replace("TOLD", told.to_str().context("a path that is not UTF-8")?);
        let ops_address = ops.to_string();
        let fixed = [
            "scaler",
            "--json",
            "--every",
            "1",
            "--up-every",
            "0",
            "--hook",
            &hook,
            "--ops",
            &ops_address,
        ];
        let settings = [
            ("PORTCALL_MONGODB_URI", world.database()),
            ("PORTCALL_MONGODB_DATABASE", &world.name),
            ("PORTCALL_LOG", "info"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let all = [&fixed[..], arguments].concat();
        let program = given::program("portcall")?;
        let process = Process::start(name, &program, &all, &settings, world.dir())?;
        Ok(Self { process, ops, told })
    }

    fn told(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.told).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    async fn wait_told(&self, line: &str) -> Result<()> {
        wait::until(format!("the hook is told {line:?}"), PATIENCE, || async {
            Ok(self.told().iter().any(|told| told == line).then_some(()))
        })
        .await
        .with_context(|| format!("{:?}\n{}", self.told(), self.process.log()))
    }

    async fn metric(&self, world: &World, name: &str) -> Result<Option<f64>> {
        let Ok(answer) = world.client.get(&format!("http://{}/metrics", self.ops)).await else {
            return Ok(None);
        };
        let line = answer.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.and_then(|value| value.trim().parse().ok()))
    }

    async fn end(mut self) -> Result<()> {
        self.process.terminate()?;
        let ended = self.process.wait(PATIENCE).await?;
        ensure!(ended == Ended::Code(0), "{ended:?}\n{}", self.process.log());
        Ok(())
    }
}

const WRITE_DOWN: &str =
    r#"echo "$SCALER_WANTED of $SCALER_PRESENT, may go: $SCALER_REMOVE" >>TOLD"#;

async fn node_name(world: &World) -> Result<String> {
    let (ended, told) = world.portcall(&["nodes", "--json"]).await?;
    ensure!(ended == Ended::Code(0), "{told}");
    let nodes: Value = serde_json::from_str(&told)?;
    Ok(nodes[0]["node"]["name"].as_str().context("a node has a name")?.to_owned())
}

/// A queue makes it want more, and publish that; the command is told once, is told again when it
/// failed, and nothing is drained.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_wants_more_nodes_and_the_hook_is_called_until_it_goes_well() -> Result<()> {
    // One slot, in which one hangs: the others wait.
    let world = World::of(Event::config().limits("ready_s = 60"))
        .worker_setting("PORTCALL_SLOTS", 1)
        .start()
        .await?;
    let quiet = Scaler::start(&world, "quiet", WRITE_DOWN, &["--min", "1", "--max", "5"])?;
    wait::until("it wants one", PATIENCE, || async {
        let wanted = quiet.metric(&world, "portcall_nodes_wanted").await?;
        Ok((wanted == Some(1.0)).then_some(()))
    })
    .await?;
    let hook = format!("{WRITE_DOWN}; [ $(wc -l <TOLD) -ge 2 ]");
    let arguments = ["--max", "4", "--wait", "10", "--grading", "10"];
    let busy = Scaler::start(&world, "busy", &hook, &arguments)?;
    for n in 0..5 {
        let name = format!("Gordon {n}");
        let image = world.app("silent", &name).await?;
        world.client.submit(&Submission::of(&name).image(&image)).await?;
    }
    wait::until("it wants four", PATIENCE, || async {
        let wanted = busy.metric(&world, "portcall_nodes_wanted").await?;
        Ok((wanted == Some(4.0)).then_some(()))
    })
    .await
    .with_context(|| busy.process.log())?;
    wait::until("it went well the second time", PATIENCE, || async {
        let done = r#"portcall_scaler_hooks_total{outcome="done"}"#;
        Ok((busy.metric(&world, done).await? >= Some(1.0)).then_some(()))
    })
    .await?;
    let told = busy.told();
    ensure!(told.iter().all(|told| told.ends_with(" of 1, may go: ")), "{told:?}");
    ensure!(told.last().is_some_and(|told| told.starts_with("4 ")), "{told:?}");
    ensure!(busy.process.log().contains("the hook failed: exit status: 1"), "it is told");
    ensure!(quiet.told().is_empty() || quiet.told()[0].contains(" of 1, may go: "));
    let (_, nodes) = world.portcall(&["nodes"]).await?;
    ensure!(!nodes.contains("drain"), "{nodes}");
    quiet.end().await?;
    busy.end().await?;
    world.leave().await
}

/// When it is over the node is drained first; only then may it go. A node that a person drained stays.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_drained_may_go() -> Result<()> {
    let closed = Event::config()
        .field("opens = 2020-01-01T00:00:00Z")
        .field("closes = 2020-01-02T00:00:00Z");
    let world = World::of(closed).start().await?;
    let name = node_name(&world).await?;
    let arguments = ["--min", "0", "--down-after", "2"];

    // The control: what would be done is said, and nothing is.
    let (ended, told) = world
        .portcall(&["scaler", "--once", "--json", "--dry-run", "--min", "0", "--hook", "exit 1"])
        .await?;
    ensure!(ended == Ended::Code(0), "{told}");
    let line = told.lines().find(|line| line.starts_with('{')).context("a line of JSON")?;
    let said: Value = serde_json::from_str(line)?;
    assert_eq!((&said["wanted"], &said["drain"][0]), (&0.into(), &name.as_str().into()), "{said}");
    let (_, nodes) = world.portcall(&["nodes"]).await?;
    ensure!(!nodes.contains("drain"), "{nodes}");

    let scaler = Scaler::start(&world, "scaler", WRITE_DOWN, &arguments)?;
    scaler.wait_told(&format!("0 of 1, may go: {name}")).await?;
    let (_, nodes) = world.portcall(&["nodes"]).await?;
    ensure!(nodes.contains("drained"), "{nodes}");
    assert_eq!(scaler.told().len(), 1, "it is told once: {:?}", scaler.told());
    scaler.end().await?;

    // What a person drained is that person's.
    let undrain = world.portcall(&["nodes", "undrain", &name]).await?;
    ensure!(undrain.0 == Ended::Code(0), "{}", undrain.1);
    let drain = world.portcall(&["nodes", "drain", &name, "--wait"]).await?;
    ensure!(drain.0 == Ended::Code(0), "{}", drain.1);
    let again = Scaler::start(&world, "again", WRITE_DOWN, &["--min", "0", "--down-after", "0"])?;
    wait::until("it has looked", PATIENCE, || async {
        Ok(again.metric(&world, "portcall_nodes_wanted").await?.map(drop))
    })
    .await?;
    let (ended, told) =
        world.portcall(&["scaler", "--once", "--json", "--min", "0", "--hook", "exit 1"]).await?;
    ensure!(ended == Ended::Code(0), "the hook is not called for it: {told}");
    ensure!(again.told().is_empty(), "{:?}", again.told());
    again.end().await?;
    world.leave().await
}

/// `infra/terraform/scale` beside an `infra/operate` that says what it is given, and notes how it was
/// asked.
fn outside(dir: &std::path::Path, says: &[Value]) -> Result<PathBuf> {
    let infra = dir.join("infra");
    for folder in ["lib", "terraform"] {
        fs::create_dir_all(infra.join(folder))?;
    }
    for file in ["lib/say.sh", "terraform/scale"] {
        fs::copy(given::checkout().join("infra").join(file), infra.join(file))?;
    }
    for (n, line) in says.iter().enumerate() {
        fs::write(dir.join(format!("says-{}", n + 1)), format!("a warning\n{line}\n"))?;
    }
    let operate = infra.join("operate");
    // Each time the next one, and the last one for ever.
    let script = r#"#!/bin/sh
cd "$(dirname "$0")/.." && echo "$*" >>asked
n=$(grep -c . asked); while [ ! -e "says-$n" ]; do n=$((n - 1)); done; cat "says-$n"
"#;
    fs::write(&operate, script)?;
    fs::set_permissions(&operate, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(infra.join("terraform/scale"))
}

/// What the scaler says of a queue and nodes.
fn said(drain: &[&str], hook: &Value) -> Value {
    json!({ "wanted": 2, "drain": drain, "undrain": [], "forget": [], "hook": hook })
}

#[tokio::test]
async fn where_the_database_is_not_reached_machines_come_and_go_by_what_the_scaler_says()
-> Result<()> {
    let more = json!({ "wanted": 4, "present": 2, "remove": [], "reason": "the queue" });
    let fewer = json!({ "wanted": 1, "present": 2, "remove": ["g2", "g3"], "reason": "idle" });
    let hook = r#"echo "$SCALER_WANTED/$SCALER_PRESENT/$SCALER_REMOVE/$SCALER_REASON" >>"$TOLD""#;
    let once = async |says: &[Value], words: &[&str]| -> Result<(Ended, String, String, String)> {
        let dir = tempfile::tempdir()?;
        let (script, told) = (outside(dir.path(), says)?, dir.path().join("told"));
        let told_in = ("TOLD".to_owned(), told.display().to_string());
        let (ended, log) = process::run(&script, words, &[told_in], PATIENCE).await?;
        let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
        Ok((ended, read(told), read(dir.path().join("asked")), log))
    };
    let words = ["--once", "--min", "1", "--max", "4", "--hook", hook];
    let dry = "scaler --once --json --min 1 --max 4 --dry-run\n";
    let really = "scaler --once --json --min 1 --max 4\n";

    let (ended, told, asked, log) = once(&[said(&[], &more)], &words).await?;
    ensure!(ended == Ended::Code(0) && told == "4/2//the queue\n" && asked == dry, "{told} {log}");
    // What may go is drained first, by an order, and goes when the scaler says that it is drained.
    let says = [said(&["g2"], &Value::Null), said(&["g2"], &Value::Null)];
    let (ended, told, asked, log) = once(&says, &words).await?;
    ensure!(ended == Ended::Code(0) && told.is_empty(), "{told} {log}");
    ensure!(asked == format!("{dry}{really}"), "{asked}");
    let (_, told, ..) = once(&[said(&[], &fewer)], &words).await?;
    ensure!(told == "1/2/g2 g3/idle\n", "{told}");
    let (ended, told, asked, log) = once(&[said(&["g2"], &more)], &["--dry-run"]).await?;
    ensure!(ended == Ended::Code(0) && told.is_empty() && log.contains("\"wanted\":4"), "{log}");
    ensure!(asked.lines().count() == 1 && asked.contains("--dry-run"), "{asked}");

    let failing = ["--once", "--hook", "exit 3"];
    let (ended, _, _, log) = once(&[said(&[], &more)], &failing).await?;
    ensure!(ended == Ended::Code(1) && log.contains("the hook failed"), "{log}");
    let (ended, ..) = once(&[], &["--min", "3", "--max", "2", "--dry-run"]).await?;
    ensure!(ended == Ended::Code(64));
    Ok(())
}

/// Too many for a moment are not drained; too many at several looks in a row are.
#[tokio::test]
async fn nodes_are_drained_only_when_there_were_too_many_for_a_while() -> Result<()> {
    let (too_many, enough) = (said(&["g2"], &Value::Null), said(&[], &Value::Null));
    let dir = tempfile::tempdir()?;
    let says = [&too_many, &too_many, &enough, &too_many, &too_many, &too_many, &enough];
    let script = outside(dir.path(), &says.map(Clone::clone))?;
    let words = ["--hook", "true", "--every", "0", "--looks", "3"];
    let mut process = Process::start("scale", &script, &words, &[], dir.path())?;
    let asked = || fs::read_to_string(dir.path().join("asked")).unwrap_or_default();
    wait::until("some looks", PATIENCE, || async {
        Ok((asked().lines().count() > 8).then_some(()))
    })
    .await?;
    process.terminate()?;
    let ended = process.wait(PATIENCE).await?;
    ensure!(ended == Ended::Code(0), "{ended:?} {}", process.log());
    let asked = asked();
    let really: Vec<usize> = (1..)
        .zip(asked.lines())
        .filter(|(_, line)| !line.contains("--dry-run"))
        .map(|(n, _)| n)
        .collect();
    ensure!(really == [7], "{asked}");
    Ok(())
}
