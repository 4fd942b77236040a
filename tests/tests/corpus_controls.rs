//! Controls of the corpus that take an engine without Portcall's walls, or a machine's own setting:
//! each bait is real, and each wall is what it founders on.

use std::{fs, os::unix::fs::MetadataExt, time::Duration};

use anyhow::{Context, Result, ensure};
use portcall_tests::{
    Event, Recipe,
    corpus::{
        rows::{escape, image},
        scene::open_the_node,
    },
    parts::{
        client::{Client, Submission, reason},
        engine::Engine,
        lure::Lures,
        stack::World,
    },
    wait,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
/// A little more than Portcall lets a container read (20 MB/s), and what any disk does better.
const SLOWED: &str = "at most 24 MiB/s";

/// A container that gets what the engine gives to everybody.
struct Open<'a> {
    engine: &'a Engine,
    name: &'a str,
}

impl Open<'_> {
    /// What the image's program achieved by itself.
    async fn outcome(&self, recipe: Recipe, env: &[String]) -> Result<String> {
        let image = format!("{}:1", self.name);
        self.engine.load(&image, &recipe).await?;
        let started = self.engine.start_open(self.name, &image, self.name, env, &[]).await;
        let outcome = match started {
            Ok(address) => {
                let client = Client::new(&format!("http://{address}"), "")?;
                wait::until("its outcome", PATIENCE, || async {
                    let answer = client.get("/").await.ok();
                    Ok(answer.and_then(|answer| Some(answer.json["outcome"].as_str()?.to_owned())))
                })
                .await
            }
            Err(error) => Err(error),
        };
        self.engine.remove_open(self.name).await;
        self.engine.forget(&image).await?;
        outcome
    }
}

/// E07, D12 and F11: without the walls the set-uid program is root, the forged packet arrives, and the
/// image's health check is run.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_walls_the_bait_is_real() -> Result<()> {
    open_the_node();
    let lures = Lures::set().await?;
    let engine = Engine::given().await?;
    let name = format!("bait-{}", std::process::id());
    engine.open_network(&name).await?;
    let seen = baits(&Open { engine: &engine, name: &name }, &lures).await;
    engine.close(&[&name], &name).await;
    seen
}

async fn baits(open: &Open<'_>, lures: &Lures) -> Result<()> {
    let gained = open.outcome(escape::set_uid(Recipe::hostile("suid")?)?, &[]).await?;
    let (own, other) = gained.split_once(" | ").with_context(|| format!("nothing: {gained}"))?;
    ensure!(own.starts_with("Uid: 10001 10001 "), "{gained}");
    ensure!(other.starts_with("Uid: 10001 0 0 0"), "it did not become root: {gained}");

    let check = Recipe::hostile("checked")?.config("Healthcheck", image::health_check());
    let checks = open.outcome(check, &[]).await?;
    ensure!(checks.starts_with("checks=") && checks != "checks=0", "{checks}");

    let _before = lures.touched();
    let node = ["HOSTILE_TARGETS=192.168.77.1:4789".to_owned()];
    open.outcome(Recipe::hostile("overlay")?, &node).await?;
    let came = lures.touched();
    let arrived = |who: &String| who.contains("bytes to node (192.168.77.1:4789)");
    ensure!(came.iter().any(arrived), "no packet of an overlay arrived: {came:?}");
    Ok(())
}

/// A20: an image reads its own layer past the page cache. With `PORTCALL_THROTTLED_DISK` it is slow;
/// without, the same image is not.
#[tokio::test(flavor = "multi_thread")]
async fn reads_of_a_named_disk_are_slow() -> Result<()> {
    let folder = Engine::given().await?.folder().await?;
    let device = device_of(fs::metadata(&folder)?.dev())?;
    let slowed = read(Some(&device)).await?;
    ensure!(slowed["state"] == "passed", "{device} is not slowed down: {slowed:#}");
    let free = read(None).await?;
    ensure!(reason(&free) == "rule_failed:config", "not even without it: {free:#}");
    let failures = &free["attempts"][0]["evidence"]["checks"][0]["failures"];
    ensure!(failures.to_string().contains(" MiB/s"), "{failures}");
    Ok(())
}

/// The verdict over an image that must read at most so much.
async fn read(disk: Option<&str>) -> Result<Value> {
    let told = "{ path = \"$.outcome\", equals = \"{answers.outcome}\" }";
    let event = Event::with_check("\"any\"", &[told]).answer("outcome");
    let plan = World::of(event.limits("ready_s = 20\nrequest_s = 2"));
    let plan = disk
        .into_iter()
        .fold(plan, |plan, disk| plan.worker_setting("PORTCALL_THROTTLED_DISK", disk));
    let world = plan.start().await?;
    let recipe = Recipe::hostile("readspeed")?.env("HOSTILE_MIB", "24");
    let image = world.push(&recipe).await?;
    let submission = Submission::of("reader").with("/answers/outcome", SLOWED.into());
    let accepted = world.client.submit(&submission.image(&image)).await?;
    let document = world.client.wait_final(&accepted.id, PATIENCE).await?;
    world.finish().await?;
    Ok(document)
}

/// The whole disk that a file system lies on, such as `/dev/vda`.
fn device_of(number: u64) -> Result<String> {
    let (major, minor) = (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xfff00);
    let there = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}"))
        .context("the engine's folder lies on no disk of this machine")?;
    let whole = if there.join("partition").exists() { there.parent() } else { Some(&*there) };
    let name = whole.and_then(|path| path.file_name()).context("a disk without a name")?;
    Ok(format!("/dev/{}", name.to_string_lossy()))
}
