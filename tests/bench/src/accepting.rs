//! Accepting submissions, from the POST to the 202, against the bare driver's majority insert of the very
//! document that comes of it, by as many at once; and reading where one stands against an empty route
//! behind the same listener.
//!
//! The registry is one that answers at once, so that no registry's own work is measured. Participants are
//! all different, as in a crowd. What a round stored is removed after it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bson::{Bson, Document, Uuid, doc};
use http::StatusCode;
use mongodb::Collection;
use portcall_shared::domain::ids::SubmissionId;
use portcall_tests::{
    Event, Recipe, Submission,
    image::{File, Layer},
    parts::{apis::Apis, mongo},
};
use serde_json::{Value, json};

use crate::{
    Size,
    empty::Server,
    load::{Act, Done, Much, closed_loop},
    report::{Report, Row, Unit, Wanted},
    rounds::{Pairs, quantile},
    stock::{EVENT, Indexes, beside, driver},
    wire::Wire,
};

/// How many come at once, how long a round is, and how many rounds there are.
struct Plan {
    crowds: &'static [usize],
    round: Duration,
    rounds: usize,
    /// How many documents are there to be read.
    readable: usize,
}

impl Plan {
    fn of(size: Size) -> Self {
        match size {
            Size::Tiny => {
                Self { crowds: &[4], round: Duration::from_millis(80), rounds: 2, readable: 3 }
            }
            Size::Usual => Self {
                crowds: &[1, 8, 64],
                round: Duration::from_millis(1500),
                rounds: 7,
                readable: 100,
            },
        }
    }
}

/// Posts submissions.
struct Post {
    wire: Wire,
    path: String,
    body: Value,
}

impl Act for Post {
    async fn act(&mut self, number: usize) -> Result<()> {
        self.body["participant"]["name"] = format!("Ann {number}").into();
        let body = serde_json::to_vec(&self.body)?;
        self.wire.ask("POST", &self.path, body, StatusCode::ACCEPTED).await.map(drop)
    }
}

/// Inserts what comes of one.
struct Insert {
    to: Collection<Document>,
    document: Document,
}

impl Act for Insert {
    async fn act(&mut self, number: usize) -> Result<()> {
        let mut document = self.document.clone();
        document.insert("_id", Uuid::from_bytes(*SubmissionId::new().uuid().as_bytes()));
        let participant = document.get_document_mut("participant")?;
        participant.insert("name", format!("Ann {number}"));
        participant.insert("key", format!("name:ann{number}"));
        self.to.insert_one(document).await?;
        Ok(())
    }
}

/// Reads the same again and again.
struct Read {
    wire: Wire,
    paths: Vec<String>,
}

impl Act for Read {
    async fn act(&mut self, number: usize) -> Result<()> {
        let path = &self.paths[number % self.paths.len()];
        self.wire.ask("GET", path, Vec::new(), StatusCode::OK).await.map(drop)
    }
}

/// What all of it is measured on.
struct Stage {
    apis: Apis,
    registry: Server,
    empty: Server,
    submissions: Collection<Document>,
    /// The same collection but for what is in it, and one without indexes.
    beside: [Collection<Document>; 2],
    body: Value,
    document: Document,
}

impl Stage {
    async fn open() -> Result<Self> {
        let uri = mongo::shared().await?;
        let layer = Layer::of(&[File::text("etc/motd", "hello\n")])?;
        let image = Recipe::scratch().layer(layer).config("Entrypoint", json!(["/app"]));
        let registry = Server::registry(&image).await?;
        let host = registry.address.to_string();
        let mut apis = Apis::on(&uri, &Event::config(), &[&host]).await?;
        apis.start().await?;
        let body = Submission::of("Ann").reference(&format!("{host}/sample:1")).body().clone();
        let database = apis.database().1.to_owned();
        let submissions = driver(&uri).await?.database(&database).collection("submissions");
        let mut stage = Self {
            beside: [
                beside(&submissions, "beside", Indexes::Same).await?,
                beside(&submissions, "bare", Indexes::None).await?,
            ],
            empty: Server::empty().await?,
            document: Document::new(),
            apis,
            registry,
            submissions,
            body,
        };
        let mut one = stage.posts(1).await?;
        one[0].act(0).await?;
        let stored = stage.submissions.find_one_and_delete(doc! {}).await?;
        stage.document = stored.context("nothing was stored")?;
        let images = stage.document.get_array("images")?;
        let digest = images.first().and_then(Bson::as_document).context("no image")?.get("digest");
        ensure!(digest.is_some_and(|d| d.as_str().is_some()), "it was not pinned: {digest:?}");
        Ok(stage)
    }

    fn path(&self) -> String {
        format!("/api/v1/events/{EVENT}/submissions")
    }

    async fn posts(&self, crowd: usize) -> Result<Vec<Post>> {
        let address = self.apis.all[0].address.context("an api has an address")?;
        let wires = Wire::several(address, crowd).await?.into_iter();
        let (path, body) = (self.path(), &self.body);
        Ok(wires.map(|wire| Post { wire, path: path.clone(), body: body.clone() }).collect())
    }

    fn inserts(&self, to: &Collection<Document>, crowd: usize) -> Vec<Insert> {
        let one = |_| Insert { to: to.clone(), document: self.document.clone() };
        (0..crowd).map(one).collect()
    }

    /// As many were stored as were answered; they are removed.
    async fn clear(&self, from: &Collection<Document>, done: &Done) -> Result<()> {
        let stored = from.delete_many(doc! {}).await?.deleted_count;
        let answered = done.each_ms.len();
        ensure!(stored == answered as u64, "{answered} were answered and {stored} stored");
        Ok(())
    }

    async fn end(self) -> Result<()> {
        self.apis.end().await?;
        self.registry.end().await?;
        self.empty.end().await
    }
}

/// How fast a crowd posts, beside how fast it could insert: with the indexes and without.
async fn accepting(stage: &Stage, plan: &Plan, crowd: usize, report: &mut Report) -> Result<()> {
    let (mut with, mut without) = (Pairs::default(), Pairs::default());
    let mut took = Vec::new();
    for round in 0..=plan.rounds {
        let posted = closed_loop(stage.posts(crowd).await?, Much::For(plan.round)).await?.0;
        stage.clear(&stage.submissions, &posted).await?;
        let mut rates = [0.0; 2];
        for (rate, to) in rates.iter_mut().zip(&stage.beside) {
            let much = Much::For(plan.round);
            let inserted = closed_loop(stage.inserts(to, crowd), much).await?.0;
            stage.clear(to, &inserted).await?;
            *rate = inserted.rate();
        }
        // The first warms everything, and does not count.
        if round > 0 {
            for (pairs, rate) in [&mut with, &mut without].into_iter().zip(rates) {
                pairs.ours.push(posted.rate());
                pairs.floor.push(rate);
            }
            took.extend(posted.each_ms);
        }
    }
    let what = format!("accepting, {crowd} at once, against a majority insert");
    report.rows.push(Row::of(&what, &with, Unit::PerSecond, Wanted::RatioAtLeast(0.8)));
    let what = format!("{what} without indexes");
    report.rows.push(Row::of(what, &without, Unit::PerSecond, Wanted::Nothing));
    let [p50, p99] = [0.5, 0.99].map(|share| quantile(&took, share));
    report.note(format!("accepting, {crowd} at once: p50 {p50:.1} ms, p99 {p99:.1} ms of a POST"));
    Ok(())
}

/// How fast a crowd reads, beside how fast an empty route is.
async fn reading(stage: &Stage, plan: &Plan, crowd: usize, report: &mut Report) -> Result<()> {
    let address = stage.apis.all[0].address.context("an api has an address")?;
    let mut paths = Vec::new();
    let mut one = Wire::open(address).await?;
    for n in 0..plan.readable {
        let mut body = stage.body.clone();
        body["participant"]["name"] = format!("Bob {n}").into();
        let body = serde_json::to_vec(&body)?;
        let answer = one.ask("POST", &stage.path(), body, StatusCode::ACCEPTED).await?;
        let answer: Value = serde_json::from_slice(&answer)?;
        let id = answer["id"].as_str().context("an answer without id")?;
        paths.push(format!("/api/v1/submissions/{id}"));
    }
    let mut pairs = Pairs::default();
    for round in 0..=plan.rounds {
        let mut rates = [0.0; 2];
        let sides = [(address, paths.clone()), (stage.empty.address, vec!["/".to_owned()])];
        for (rate, (address, paths)) in rates.iter_mut().zip(sides) {
            let wires = Wire::several(address, crowd).await?.into_iter();
            let readers = wires.map(|wire| Read { wire, paths: paths.clone() }).collect();
            *rate = closed_loop(readers, Much::For(plan.round)).await?.0.rate();
        }
        if round > 0 {
            pairs.ours.push(rates[0]);
            pairs.floor.push(rates[1]);
        }
    }
    let removed = stage.submissions.delete_many(doc! {}).await?.deleted_count;
    ensure!(removed == plan.readable as u64, "{removed} were there to be read");
    let what = format!("reading a status, {crowd} at once, against an empty route");
    report.rows.push(Row::of(what, &pairs, Unit::PerSecond, Wanted::Nothing));
    Ok(())
}

/// Measures it.
///
/// # Errors
/// When a part does not do what it should.
pub async fn run(size: Size) -> Result<Report> {
    let plan = Plan::of(size);
    let stage = Stage::open().await?;
    let mut report = Report::new("accepting");
    for &crowd in plan.crowds {
        accepting(&stage, &plan, crowd, &mut report).await?;
    }
    for &crowd in plan.crowds {
        reading(&stage, &plan, crowd, &mut report).await?;
    }
    stage.end().await?;
    Ok(report)
}
