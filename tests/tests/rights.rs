//! The whole system on a database with access control, each process as the user that a deployment gives
//! it: whatever it does is within its rights, and what it must not do for itself it waits for. Each call
//! for itself is tried in `shared/tests/store_queue/rights.rs`.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use portcall_tests::{
    Event, Recipe, Submission, World,
    parts::{
        client::Client,
        given, mongo, net,
        process::{self, Ended, Process},
    },
    wait,
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(90);
const DATABASE: &str = "portcall";
const USERS: [&str; 3] = ["api", "worker", "operator"];

/// One member that lets nobody in without a password.
struct Guarded {
    mongod: Process,
    address: SocketAddr,
    dir: TempDir,
}

impl Guarded {
    async fn prepared() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("portcall-rights-").tempdir()?;
        let (key, address) = (dir.path().join("key"), net::free_address()?);
        fs::write(&key, "QUJDREVGR0hJSktMTU5PUA==\n")?;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
        fs::create_dir(dir.path().join("data"))?;
        let arguments = [
            "--replSet=rs",
            "--bind_ip=127.0.0.1",
            "--nounixsocket",
            &format!("--keyFile={}", key.display()),
            "--wiredTigerCacheSizeGB=0.25",
            &format!("--dbpath={}", dir.path().join("data").display()),
            &format!("--port={}", address.port()),
            "--setParameter=diagnosticDataCollectionEnabled=false",
        ];
        let mongod = Process::start("mongod", &given::mongod()?, &arguments, &[], dir.path())?;
        let guarded = Self { mongod, address, dir };
        for user in USERS {
            let settings = format!("mongodb_uri = \"{}\"\n", guarded.uri(user));
            fs::write(guarded.dir.path().join(user), settings)?;
        }
        guarded.prepare().await?;
        Ok(guarded)
    }

    fn uri(&self, user: &str) -> String {
        format!("mongodb://portcall-{user}:secret@{}/?replicaSet=rs&authSource=admin", self.address)
    }

    /// Runs the deployment's job.
    async fn prepare(&self) -> Result<()> {
        let file = |name: &str| self.dir.path().join(name).display().to_string();
        let (members, key) = (self.address.to_string(), file("key"));
        let mut words = vec!["store", "prepare", "--members", &members, "--key-file", &key];
        let users = USERS.map(file);
        words.extend(users.iter().flat_map(|user| ["--user", user.as_str()]));
        let program = given::program("portcall")?;
        let (ended, said) = process::run(&program, &words, &[], PATIENCE).await?;
        ensure!(ended == Ended::Code(0), "{said}");
        Ok(())
    }
}

/// The lines of a log that tell of a refusal.
fn refusals(log: &str) -> Vec<&str> {
    log.lines()
        .filter(|line| line.contains("not authorized on") || line.contains("Unauthorized"))
        .collect()
}

async fn portcall(world: &World, words: &[&str]) -> Result<String> {
    let (ended, said) = world.portcall(words).await?;
    ensure!(ended == Ended::Code(0), "portcall {words:?}: {ended:?}\n{said}");
    Ok(said)
}

async fn submit(world: &World, number: usize, mode: &str) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for n in 0..number {
        let name = format!("Gordon {mode} {n}");
        let recipe = Recipe::app(mode)?.env("APP_NAME", &name).env("APP_DELAY_MS", "5000");
        let image = world.push(&recipe).await?;
        ids.push(world.client.submit(&Submission::of(&name).image(&image)).await?.id);
    }
    Ok(ids)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_event_is_run_within_the_access_of_each_user() -> Result<()> {
    let guarded = Guarded::prepared().await?;
    let mut world = World::of(Event::config().limits("ready_s = 15"))
        .named(DATABASE)
        .database(&guarded.uri("operator"))
        .api_database(&guarded.uri("api"))
        .worker_database(&guarded.uri("worker"))
        .workers(2)
        .short_leases()
        .worker_setting("PORTCALL_SLOTS", 1)
        .start()
        .await?;
    let ids = submit(&world, 2, "ok").await?;
    try_join_all(ids.iter().map(|id| world.client.wait_passed(id, PATIENCE))).await?;
    world.client.wait_pin(&ids[0], PATIENCE).await?;

    let nodes: serde_json::Value =
        serde_json::from_str(&portcall(&world, &["nodes", "--json"]).await?)?;
    let node = nodes[0]["node"]["name"].as_str().context("a name")?.to_owned();
    portcall(&world, &["nodes", "drain", &node, "--wait"]).await?;
    portcall(&world, &["nodes", "undrain", &node, "--wait"]).await?;
    portcall(&world, &["scale", "--slots", "2", "--node", &node]).await?;
    for worker in &world.workers {
        wait::until("two slots are open", PATIENCE, || async {
            Ok((worker.metric("portcall_slots_open").await? == 2.0).then_some(()))
        })
        .await?;
    }
    portcall(&world, &["nodes", "canary", &node]).await?;
    portcall(&world, &["status"]).await?;
    portcall(&world, &["store", "versions"]).await?;

    // One dies; what it graded is taken from it, graded again, and what it left is removed.
    let ids = submit(&world, 4, "late-listen").await?;
    wait::until("both are at work", PATIENCE, || async {
        let all = try_join_all(ids.iter().map(|id| world.client.document(id))).await?;
        Ok((all.iter().filter(|document| document["step"] == "probing").count() > 2).then_some(()))
    })
    .await?;
    world.workers[0].process.kill()?;
    try_join_all(ids.iter().map(|id| world.client.wait_passed(id, PATIENCE))).await?;

    for service in world.apis.iter().chain(&world.workers) {
        let log = service.process.log();
        assert_eq!(refusals(&log), [""; 0], "{}", service.process.name());
    }
    world.finish().await?;
    assert_eq!(refusals(&guarded.mongod.log()), [""; 0]);
    // The control: the server tells of what it refuses.
    assert!(mongo::drop_database(&guarded.uri("worker"), DATABASE).await.is_err());
    assert_eq!(refusals(&guarded.mongod.log()).len(), 1);
    Ok(())
}

/// Starts a process as its user, on a database that is not prepared.
fn launch(guarded: &Guarded, user: &str, ops: SocketAddr) -> Result<Process> {
    let (web, pool) = (guarded.dir.path().join("web"), "10.211.0.0/24".to_owned());
    fs::create_dir_all(web.join("assets"))?;
    fs::write(web.join("index.html"), "<!doctype html><title>Portcall</title>")?;
    let address = net::free_address()?;
    let program = |found: Result<PathBuf>| Ok::<_, anyhow::Error>(found?.display().to_string());
    let own = match user {
        "api" => vec![
            ("PORTCALL_API_ADDR", address.to_string()),
            ("PORTCALL_API_OPS_ADDR", ops.to_string()),
            ("PORTCALL_PUBLIC_URL", format!("http://{address}")),
            ("PORTCALL_WEB_DIR", web.display().to_string()),
        ],
        _ => vec![
            ("PORTCALL_WORKER_OPS_ADDR", ops.to_string()),
            ("PORTCALL_DOCKER_HOST", "unix:///nowhere/docker.sock".to_owned()),
            ("PORTCALL_SLOT_POOL", pool),
            ("PORTCALL_PROBER_BIN", program(given::static_program("prober"))?),
            ("PORTCALL_CANARY_BIN", program(given::static_program("canary"))?),
        ],
    };
    let all = [
        ("PORTCALL_MONGODB_URI", guarded.uri(user)),
        ("PORTCALL_MONGODB_DATABASE", DATABASE.to_owned()),
    ];
    let settings: Vec<(String, String)> =
        all.into_iter().chain(own).map(|(name, value)| (name.to_owned(), value)).collect();
    let name = format!("portcall-{user}");
    let path: &Path = &given::program(&name)?;
    Process::start(&name, path, &[], &settings, guarded.dir.path())
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_without_access_to_indexes_say_that_they_wait_for_prepare() -> Result<()> {
    let guarded = Guarded::prepared().await?;
    mongo::drop_database(&guarded.uri("operator"), DATABASE).await?;
    let client = Client::new("http://127.0.0.1:0", "birthday-3")?;
    let mut started = Vec::new();
    for user in ["api", "worker"] {
        let ops = net::free_address()?;
        let process = launch(&guarded, user, ops)?;
        let readyz = format!("http://{ops}/readyz");
        wait::until(format!("{user} says what it waits for"), PATIENCE, || async {
            let Ok(answer) = client.get(&readyz).await else { return Ok(None) };
            ensure!(answer.status.as_u16() == 503, "{user}: {}", answer.text);
            Ok(answer.text.contains("`portcall store prepare`").then_some(()))
        })
        .await
        .with_context(|| process.log())?;
        assert!(process.log().contains("cannot begin: "), "{}", process.log());
        started.push((user, process, readyz));
    }
    // None of them begins what it could not end.
    assert_eq!(mongo::dump(&guarded.uri("operator"), DATABASE).await?, []);
    assert_eq!(refusals(&guarded.mongod.log()), [""; 0]);

    guarded.prepare().await?;
    for (user, process, readyz) in &started {
        wait::until(format!("{user} begins"), PATIENCE, || async {
            let answer = client.get(readyz).await?;
            Ok((!answer.text.contains("prepare") && !answer.text.contains("starting"))
                .then_some(()))
        })
        .await
        .with_context(|| process.log())?;
    }
    assert_eq!(refusals(&guarded.mongod.log()), [""; 0]);
    Ok(())
}
