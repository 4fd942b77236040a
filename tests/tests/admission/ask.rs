//! A submission of two images, a good one and one of a row, and what its answer must be.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, stream};
use portcall_tests::{
    Event, Recipe, Submission, World,
    image::{File, Layer},
    parts::{
        misbehaving::{Lure, Misbehaving},
        stack::Plan,
    },
};
use reqwest::StatusCode;
use serde_json::Value;

/// Until a line is in the log.
const LOGGED: Duration = Duration::from_secs(10);
/// Rows that are asked at once.
const AT_ONCE: usize = 4;

/// What must come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// 422 with this code at the image, and these words in its sentence.
    Refused(&'static str, &'static str),
    /// 202 without a digest, for this reason of the registry's.
    Waits(&'static str),
    /// 202 with a digest.
    Pinned,
}

/// A world without a worker, whose event takes images from the registry.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) registry: Misbehaving,
    pub(crate) lure: Lure,
    asked: AtomicU32,
}

/// What came of a row.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) took: Duration,
    /// The digest that its image was pinned to.
    pub(crate) digest: Option<String>,
}

impl Scene {
    pub(crate) async fn set(plan: impl FnOnce(Plan, &Lure) -> Plan) -> Result<Self> {
        let layer = Layer::of(&[File::text("etc/motd", "hello")])?;
        let image = Recipe::scratch().layer(layer).cmd(&["/app"]);
        let lure = Lure::start().await?;
        let registry = Misbehaving::start(&image, &lure).await?;
        let event = Event::config().aliases(&["good", "row"]);
        let world = World::of(event).workers(0).allow_registry(&registry.host());
        let world = plan(world, &lure).start().await?;
        Ok(Self { world, registry, lure, asked: AtomicU32::new(0) })
    }

    /// Asks for a reference beside a good one.
    pub(crate) async fn ask(&self, reference: &str, want: &Want) -> Result<Asked> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let good = self.registry.reference("good");
        let submission = Submission::of(&format!("P{number}")).reference(&good);
        let answer = self.world.client.post(&submission.reference(reference)).await?;
        let digests = |n: usize| answer.json["images"][n]["digest"].as_str().map(str::to_owned);
        let told = || format!("{} {}", answer.status, answer.text);
        match want {
            Want::Refused(code, words) => {
                ensure!(answer.status == StatusCode::UNPROCESSABLE_ENTITY, "{}", told());
                let expected = BTreeMap::from([("/images/1".to_owned(), (*code).to_owned())]);
                ensure!(answer.problem().1 == expected, "{}", told());
                let detail = answer.json["errors"][0]["detail"].as_str().unwrap_or_default();
                ensure!(detail.contains(words), "no `{words}`: {}", told());
                let safe = |c: char| !c.is_control() && !('\u{202a}'..='\u{202e}').contains(&c);
                ensure!(detail.len() < 700 && detail.chars().all(safe), "{detail:?}");
            }
            Want::Waits(code) => {
                ensure!(answer.status == StatusCode::ACCEPTED, "{}", told());
                ensure!(answer.json["state"] == "queued" && digests(1).is_none(), "{}", told());
                self.world.apis[0].wait_log(&["without a digest", reference, code], LOGGED).await?;
            }
            Want::Pinned => {
                ensure!(answer.status == StatusCode::ACCEPTED, "{}", told());
                ensure!(digests(1).is_some(), "{}", told());
            }
        }
        if answer.status == StatusCode::ACCEPTED {
            ensure!(digests(0) == Some(self.registry.digest("good")?), "{}", told());
        }
        Ok(Asked { took: answer.took, digest: digests(1) })
    }

    /// Asks for each, and says of all that are not as wanted.
    pub(crate) async fn ask_all(&self, rows: Vec<(String, Want)>) -> Result<()> {
        let asked = rows.iter().map(|(reference, want)| async move {
            let asked = self.ask(reference, want).await;
            asked.err().map(|error| format!("{reference}: want {want:?}, got {error:#}"))
        });
        let wrong: Vec<Option<String>> = stream::iter(asked).buffered(AT_ONCE).collect().await;
        let wrong: Vec<String> = wrong.into_iter().flatten().collect();
        ensure!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
        Ok(())
    }

    /// Nothing but documents and configurations was asked for, and nobody was led astray.
    pub(crate) async fn leave(self) -> Result<()> {
        self.lure.untouched()?;
        let layer = self.registry.draft().manifest["layers"][0]["digest"].clone();
        let layer = layer.as_str().context("an image without a layer")?;
        for request in self.registry.requests("") {
            ensure!(!request.path.ends_with(layer), "a layer was asked for: {request:?}");
            ensure!(request.method == "GET", "{request:?}");
        }
        self.world.leave().await
    }
}

/// How many submissions there are.
pub(crate) async fn stored(world: &World) -> Result<u64> {
    let stats: Value = world.client.of_event("/stats").await?;
    stats["totals"]["submissions"].as_u64().context("no number of submissions")
}
