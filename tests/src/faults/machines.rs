//! A row on several machines: Portcall on a lab under a load, with somebody who looks at every engine
//! all the time.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::{
    dump,
    evidence::{Evidence, Fault, MapSeen},
    follow::look_at_map,
    history::{History, Truth, is_final},
    load::{Load, Planned, Targets},
    looker::Looker,
    row::Ctx,
};
use crate::{
    event::Event,
    image::{File, Layer, Recipe},
    lab::{
        Lab, Plan,
        world::{DATABASE, Portcall},
    },
    wait,
};

/// Until something happens under the load.
const PATIENCE: Duration = Duration::from_secs(420);
/// How long an app takes to start, so that there is a middle to fail in.
const START_MS: &str = "2500";
/// More than one packet holds, in bytes.
const LARGE: usize = 6000;

/// A lab under load.
#[derive(Debug)]
pub struct Machines {
    /// Portcall on it.
    pub world: Portcall,
    /// The load.
    pub load_of: Load,
    /// What is known so far.
    pub evidence: Evidence,
    ctx: Ctx,
    targets: Targets,
    looker: Looker,
    graders: Vec<&'static str>,
    posted: usize,
}

impl Machines {
    /// So many managers and two graders with two slots each, an api and a worker, and one who follows
    /// the map.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn begin(ctx: &Ctx, managers: u8) -> Result<Self> {
        let lab = Lab::of(Plan { managers, slots: Some(2), ..Plan::default() }).await?;
        let (event, graders) =
            (Event::config().limits("ready_s = 20\nrequest_s = 5"), vec!["g1", "g2"]);
        let world = Portcall::start(lab, &event, 4, &graders).await?;
        let targets = Targets::default();
        targets.set(vec![world.client.clone()]);
        let mut load_of = Load::new(targets.clone());
        // A host that may join later is off until then.
        let sockets = world.lab.hosts()?.into_iter().filter_map(|host| host.socket);
        let sockets = sockets.filter(|socket| socket.exists());
        let engines: Vec<String> =
            sockets.map(|socket| format!("unix://{}", socket.display())).collect();
        let looker = Looker::begin_at(&engines, load_of.history.clone())?;
        load_of.follow_map("Ann", 0);
        let (evidence, ctx) = (Evidence::default(), ctx.clone());
        Ok(Self { world, load_of, evidence, ctx, targets, looker, graders, posted: 0 })
    }

    /// The history.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.load_of.history
    }

    /// Posts so many more of an app that listens a little late, in the background.
    ///
    /// # Errors
    /// When an image cannot be pushed.
    pub async fn load(&mut self, count: usize, per_second: f64) -> Result<()> {
        let mut planned = Vec::with_capacity(count);
        for _ in 0..count {
            let recipe = Recipe::app("late-listen")?.env("APP_DELAY_MS", START_MS);
            planned.push(self.planned(recipe).await?);
        }
        self.load_of.post(planned, per_second);
        Ok(())
    }

    /// The same of an app whose answer takes several packets.
    ///
    /// # Errors
    /// When an image cannot be pushed.
    pub async fn large(&mut self, count: usize, per_second: f64) -> Result<()> {
        let mut planned = Vec::with_capacity(count);
        for _ in 0..count {
            let name = format!("Gordon {}", self.posted);
            // No string of it may be longer than 4 KiB.
            let notes = vec!["x".repeat(1000); LARGE / 1000];
            let body = json!({ "name": name, "vote": "Cats", "notes": notes }).to_string();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                 connection: close\r\n\r\n{body}",
                body.len()
            );
            let files = [File::folder("answers"), File::text("answers/getconfig", &answer)];
            let recipe = Recipe::app("chosen")?.layer(Layer::of(&files)?);
            planned.push(self.planned(recipe).await?);
        }
        self.load_of.post(planned, per_second);
        Ok(())
    }

    async fn planned(&mut self, recipe: Recipe) -> Result<Planned> {
        let n = self.posted;
        self.posted += 1;
        let recipe = recipe.env("APP_NAME", &format!("Gordon {n}"));
        let image = self.world.push(&format!("row:{n}"), &recipe).await?;
        Ok(Planned::nth(n, self.ctx.id, &image.reference, Truth::Passes))
    }

    /// How many were posted, or will be.
    #[must_use]
    pub fn posted(&self) -> usize {
        self.posted
    }

    /// Waits until so many were acknowledged.
    ///
    /// # Errors
    /// When they are not in time.
    pub async fn until_accepted(&self, count: usize) -> Result<()> {
        wait::until(format!("{count} are acknowledged"), PATIENCE, || async {
            Ok((self.history().accepted().len() >= count).then_some(()))
        })
        .await
    }

    /// Waits until so many were seen to have ended.
    ///
    /// # Errors
    /// When they are not in time.
    pub async fn until_ended(&self, count: usize) -> Result<()> {
        wait::until(format!("{count} have ended"), PATIENCE, || async {
            Ok((self.history().ended() >= count).then_some(()))
        })
        .await
    }

    /// Waits until a stranger's container runs on a host.
    ///
    /// # Errors
    /// When none does in time.
    pub async fn until_runs_on(&self, host: &str) -> Result<()> {
        wait::until(format!("a stranger runs on {host}"), PATIENCE, || async {
            let strangers = self.world.containers("workload").await?;
            Ok(strangers.iter().any(|(on, _)| on == host).then_some(()))
        })
        .await
    }

    /// Lets that much time pass.
    ///
    /// # Errors
    /// Never: it is waited for all the same.
    pub async fn until_passed(&self, time: Duration) -> Result<()> {
        let until = self.history().now() + time;
        wait::until(format!("{time:?} have passed"), time * 2, || async {
            Ok((self.history().now() >= until).then_some(()))
        })
        .await
    }

    /// Notes that a fault begins now; which one it is.
    pub fn fault(&mut self, what: impl Into<String>) -> usize {
        let from = self.history().now();
        self.evidence.faults.push(Fault { what: what.into(), from, to: None });
        self.evidence.faults.len() - 1
    }

    /// Notes that it is over.
    pub fn over(&mut self, fault: usize) {
        let now = self.history().now();
        if let Some(fault) = self.evidence.faults.get_mut(fault) {
            fault.to = Some(now);
        }
    }

    /// Notes what the row itself expects, if that is not so.
    pub fn expect(&mut self, holds: bool, what: impl Into<String>) {
        if !holds {
            self.evidence.unmet.push(what.into());
        }
    }

    /// A figure for people.
    pub fn figure(&mut self, what: impl Into<String>) {
        self.evidence.figures.push(what.into());
    }

    /// Waits until all is quiet, looks at everything, takes the lab down, and hands over what was found.
    ///
    /// # Errors
    /// When something cannot be looked at.
    pub async fn end(mut self) -> Result<Evidence> {
        let (uri, within) = (self.world.lab.database()?, self.ctx.permits.ends_within);
        // What does not come to its end in time is for the checker to say.
        let _ = wait::until("all have ended", within, || async {
            let all = self.load_of.on_way() == 0
                && self.history().ended() >= self.history().accepted().len();
            let stored = dump::stored(&uri, DATABASE).await.unwrap_or_default();
            Ok((all && stored.iter().all(|one| is_final(&one.state))).then_some(()))
        })
        .await;
        self.load_of.read_again().await;
        let mut evidence = std::mem::take(&mut self.evidence);
        evidence.stored = dump::stored(&uri, DATABASE).await?;
        let passed = evidence.stored.iter().filter(|one| one.state == "passed").count();
        look_at_map(&self.load_of, &self.targets, passed).await;
        evidence.map = MapSeen::Yes;
        self.load_of.end().await;
        evidence.history = self.history().entries();
        for found in [
            self.world.until_open(&self.graders).await,
            // Also what machines still had that were away.
            self.world.until_clean().await,
        ] {
            evidence.wrong.extend(found.err().map(|error| format!("{error:#}")));
        }
        evidence.looks = self.looker.looks();
        for service in self.world.workers.iter().chain([&self.world.api]) {
            evidence.wrong.extend(dump::wrong(service));
        }
        evidence.fenced.extend(self.world.workers.iter().map(dump::fenced));
        if let Err(error) = self.world.finish().await {
            evidence.wrong.push(format!("{error:#}"));
        }
        Ok(evidence)
    }
}
