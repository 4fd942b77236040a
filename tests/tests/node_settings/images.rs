//! `infra/nodes/images` on an engine of its own: what nobody uses goes in time, or before its time when the
//! disk is nearly full, and never what somebody has. How long something was unused is in a file, and the
//! test writes there when that was.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use bollard::{
    models::ContainerCreateBody,
    query_parameters::{CreateContainerOptions, RemoveContainerOptions},
};
use portcall_tests::Recipe;

use crate::{
    engine::OwnEngine,
    space::{Own, Space},
};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
/// The disk is never as free as that, and always.
const FULL: &str = "--alone --free 101";
const ROOMY: &str = "--alone --free 0";

struct Node {
    engine: OwnEngine,
    /// Images by the names that the test gave them.
    images: BTreeMap<&'static str, String>,
}

impl Node {
    async fn with(names: &[&'static str]) -> Result<Self> {
        let space = Space::new(Own::Settings).await?;
        space.must("mkdir -p /etc/docker && echo '{}' >/etc/docker/daemon.json").await?;
        let engine = OwnEngine::start(space).await?;
        let mut images = BTreeMap::new();
        for name in names {
            let recipe = Recipe::app("ok")?.env("NAME", name);
            let id = engine.engine.load(&format!("quarantine/{name}:1"), &recipe).await?;
            images.insert(*name, id);
        }
        Ok(Self { engine, images })
    }

    fn notes(&self) -> PathBuf {
        self.engine.space.dir.path().join("state/unused")
    }

    /// Runs the script, and gives the images that are left.
    async fn run(&self, options: &str) -> Result<Vec<&'static str>> {
        let state = self.engine.space.dir.path().join("state");
        let script = format!(
            "DOCKER_HOST={} STATE_DIRECTORY={} bash \"$NODES/images\" {options}",
            self.engine.host(),
            state.display()
        );
        self.engine.space.must(&script).await?;
        let mut left = Vec::new();
        for (name, id) in &self.images {
            if self.engine.docker.inspect_image(id).await.is_ok() {
                left.push(*name);
            }
        }
        Ok(left)
    }

    /// Which images the script has noted as unused.
    fn noted(&self) -> Result<Vec<&'static str>> {
        let notes = fs::read_to_string(self.notes())?;
        let noted = |id: &str| notes.lines().any(|line| line.starts_with(id));
        Ok(self.images.iter().filter(|(_, id)| noted(id)).map(|(name, _)| *name).collect())
    }

    /// Has an image unused for so many seconds.
    fn unused_for(&self, ages: &[(&str, u64)]) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let line = |(name, age): &(&str, u64)| format!("{} {}\n", self.images[name], now - age);
        Ok(fs::write(self.notes(), ages.iter().map(line).collect::<String>())?)
    }
}

#[tokio::test]
async fn unused_images_go_in_time_and_used_ones_never() -> Result<()> {
    let node = Node::with(&["later", "old", "used", "young"]).await?;
    let body = ContainerCreateBody {
        image: Some(node.images["used"].clone()),
        ..ContainerCreateBody::default()
    };
    let docker = &node.engine.docker;
    // It is made and never started, as a task of a swarm is for a moment.
    let made = docker.create_container(None::<CreateContainerOptions>, body).await?;

    // Where no swarm is, workers do it: nothing is touched.
    let all = ["later", "old", "used", "young"];
    assert_eq!(node.run("--free 101").await?, all);
    assert!(!node.notes().exists());
    // What it sees for the first time has just come, however full the disk is.
    assert_eq!(node.run(FULL).await?, all);
    assert_eq!(node.noted()?, ["later", "old", "young"]);

    let ages = [("old", 7 * HOUR), ("used", 7 * HOUR), ("later", 5 * HOUR), ("young", 7 * MINUTE)];
    node.unused_for(&ages)?;
    assert_eq!(node.run(ROOMY).await?, ["later", "used", "young"]);
    assert_eq!(node.noted()?, ["later", "young"], "one that is used is not counted as unused");
    assert_eq!(node.run(&format!("{ROOMY} --hours 4")).await?, ["used", "young"]);
    docker.remove_container(&made.id, None::<RemoveContainerOptions>).await?;
    // It has been unused since now.
    assert_eq!(node.run(FULL).await?, ["used", "young"]);
    assert_eq!(node.noted()?, ["used", "young"]);
    node.engine.end().await
}

#[tokio::test]
async fn on_a_full_disk_they_go_before_their_time() -> Result<()> {
    let node = Node::with(&["first", "second", "young"]).await?;
    assert_eq!(node.run(ROOMY).await?.len(), 3);
    let ages = [("first", HOUR), ("second", 9 * MINUTE), ("young", 7 * MINUTE)];
    node.unused_for(&ages)?;
    // The control: with room they stay.
    assert_eq!(node.run(ROOMY).await?.len(), 3);
    assert_eq!(node.run(FULL).await?, ["young"]);
    node.engine.end().await
}
