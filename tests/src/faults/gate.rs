//! A row of apis alone, without an engine: submissions get their end from the test, once the fault is
//! over, as a worker would write it ([`mongo::settle`]).

use std::{fs, time::Duration};

use anyhow::Result;

use super::{
    dump,
    evidence::{Bound, Evidence, Fault, MapSeen, OPEN_FILES},
    follow::look_at_map,
    history::{History, Truth, What},
    load::{Load, Planned, Targets},
    row::Ctx,
};
use crate::{
    parts::{
        apis::Apis,
        client::Client,
        mongo::{self, Said},
    },
    wait,
};

const PATIENCE: Duration = Duration::from_secs(120);
/// Until connections are closed that nobody uses any more.
const CLOSED: Duration = Duration::from_secs(20);

/// Apis under load.
#[derive(Debug)]
pub struct Gate {
    /// The apis.
    pub apis: Apis,
    /// The load.
    pub load_of: Load,
    /// What is known so far.
    pub evidence: Evidence,
    ctx: Ctx,
    targets: Targets,
    posted: usize,
    files: Vec<(u32, usize)>,
}

impl Gate {
    /// Before these apis, all of which run.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn of(ctx: &Ctx, apis: Apis) -> Result<Self> {
        let targets = Targets::default();
        let load_of = Load::new(targets.clone());
        let (evidence, ctx, files) = (Evidence::default(), ctx.clone(), open_files(&apis));
        let gate = Self { apis, load_of, evidence, ctx, targets, posted: 0, files };
        let all = (0..gate.apis.all.len()).map(|n| Ok(gate.apis.client(n)?.quietly()));
        gate.aim_at(all.collect::<Result<_>>()?);
        Ok(gate)
    }

    /// Clients ask these from now on.
    pub fn aim_at(&self, clients: Vec<Client>) {
        self.targets.set(clients);
    }

    /// The history.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.load_of.history
    }

    /// So many more submissions of this image.
    pub fn planned(&mut self, count: usize, image: &str) -> Vec<Planned> {
        let from = self.posted;
        self.posted += count;
        let nth = |n| Planned::nth(n, self.ctx.id, image, Truth::Either);
        (from..self.posted).map(nth).collect()
    }

    /// Notes what happens to a submission that is not posted by the load.
    pub fn posted_elsewhere(&self, planned: &Planned, why: &str) {
        let (key, truth) = (planned.key.clone(), planned.truth);
        let op = self.history().begin(What::Post { key, truth });
        self.history().note(op, What::Unknown { why: why.to_owned() });
    }

    /// Waits until every post was answered.
    ///
    /// # Errors
    /// When they are not in time.
    pub async fn until_answered(&self) -> Result<()> {
        wait::until("all posts are answered", PATIENCE, || async {
            Ok((self.load_of.on_way() == 0).then_some(()))
        })
        .await
    }

    /// How many submissions lie in the database.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn stored(&self) -> Result<usize> {
        let (uri, database) = self.apis.database();
        Ok(dump::stored(uri, database).await?.len())
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

    fn bounds(&self) -> Vec<Bound> {
        let mut bounds = Vec::new();
        for (pid, after) in open_files(&self.apis) {
            let before = self.files.iter().find(|(known, _)| *known == pid);
            bounds.extend(before.map(|(_, before)| Bound {
                what: format!("open files of the api with pid {pid}"),
                before: *before as f64,
                after: after as f64,
                slack: OPEN_FILES,
            }));
        }
        bounds
    }

    /// Gives everything its end, waits until everybody was told, and hands over what was found.
    ///
    /// # Errors
    /// When something cannot be looked at, or an api does not end well.
    pub async fn end(mut self) -> Result<Evidence> {
        // What does not come to its end in time is for the checker to say.
        let _ = self.until_answered().await;
        self.load_of.follow_map("Ann", 0);
        let (uri, database) = self.apis.database();
        let (uri, database) = (uri.to_owned(), database.to_owned());
        while mongo::settle(&uri, &database, |_| Said::Passed).await? > 0 {}
        let history = self.history().clone();
        let _ = wait::until("everybody was told", PATIENCE, || async {
            Ok((history.ended() >= history.accepted().len()).then_some(()))
        })
        .await;
        self.load_of.read_again().await;
        let stored = dump::stored(&uri, &database).await?;
        let passed = stored.iter().filter(|one| one.state == "passed").count();
        look_at_map(&self.load_of, &self.targets, passed).await;
        self.load_of.end().await;
        let mut evidence = std::mem::take(&mut self.evidence);
        evidence.map = MapSeen::Yes;
        evidence.stored = stored;
        // What clients keep open for their next request is none of the apis' doing.
        self.targets.set(Vec::new());
        let bounds = || self.bounds();
        let _ = wait::until("connections are closed", CLOSED, || async {
            Ok(bounds().iter().all(Bound::holds).then_some(()))
        })
        .await;
        evidence.bounds = self.bounds();
        for api in &self.apis.all {
            evidence.wrong.extend(dump::wrong(api));
        }
        evidence.history = history.entries();
        self.apis.end().await?;
        Ok(evidence)
    }
}

fn open_files(apis: &Apis) -> Vec<(u32, usize)> {
    let files = |pid| Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count());
    apis.all.iter().filter_map(|api| Some((api.process.pid(), files(api.process.pid())?))).collect()
}
