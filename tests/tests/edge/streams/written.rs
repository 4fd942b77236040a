//! Submissions as the store writes them, written past it: as many, as fast and with what outcome a
//! test wants, without a worker.

use anyhow::{Context, Result, ensure};
use bson::{Bson, DateTime, Document, Uuid, doc};
use mongodb::{Client, Collection, options::ClientOptions};
use portcall_tests::{
    Submission,
    parts::{apis::Apis, client},
};

/// The database of some apis.
#[derive(Clone)]
pub(crate) struct Written {
    submissions: Collection<Document>,
    workers: Collection<Document>,
    template: Document,
    worker: Uuid,
}

/// One submission that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id(Uuid);

impl Id {
    /// Its address.
    pub(crate) fn path(self) -> String {
        format!("/api/v1/submissions/{}", self.0)
    }

    /// Where it is followed.
    pub(crate) fn live(self) -> String {
        format!("{}/live", self.path())
    }
}

impl Written {
    /// The database, with what a real POST made of it as the pattern for others. That one is not left
    /// in it.
    pub(crate) async fn of(apis: &Apis, client: &client::Client, image: &str) -> Result<Self> {
        let accepted = client.submit(&Submission::of("Gordon").reference(image)).await?;
        let (uri, database) = apis.database();
        let database = Client::with_options(ClientOptions::parse(uri).await?)?.database(database);
        let submissions: Collection<Document> = database.collection("submissions");
        let filter = doc! { "_id": Uuid::parse_str(&accepted.id)? };
        let template = submissions.find_one_and_delete(filter).await?.context("what was sent")?;
        ensure!(template.get_bool("ready")?, "it waits: {template}");
        let workers = database.collection("workers");
        Ok(Self { submissions, workers, template, worker: Uuid::new() })
    }

    /// So many that wait, in this order, each of another participant.
    pub(crate) async fn queue(&self, count: usize) -> Result<Vec<Id>> {
        let first = self.template.get_datetime("order")?.timestamp_millis();
        let mut ids = Vec::new();
        let mut all = Vec::new();
        for n in 0..i64::try_from(count)? {
            let mut one = self.template.clone();
            let id = Uuid::new();
            let name = format!("Molly {id}");
            let key = format!("name:molly{id}");
            one.insert("_id", id);
            one.insert("order", DateTime::from_millis(first + 1 + n));
            one.insert(
                "participant",
                doc! {
                    "key": key, "name": name, "handle": Bson::Null, "contact": Bson::Null,
                },
            );
            ids.push(Id(id));
            all.push(one);
        }
        self.submissions.insert_many(all).await?;
        Ok(ids)
    }

    /// A worker with so many slots shows that it lives.
    pub(crate) async fn beat(&self, slots: i64) -> Result<()> {
        let update = doc! {
            "$set": { "name": "w", "slots": slots, "seen_at": DateTime::now() },
            "$inc": { "beat": 1_i64 },
        };
        self.workers.update_one(doc! { "_id": self.worker }, update).upsert(true).await?;
        Ok(())
    }

    /// A worker takes it.
    pub(crate) async fn claim(&self, id: Id) -> Result<()> {
        let at = DateTime::now();
        let attempt = doc! {
            "number": 1, "worker": self.worker, "worker_name": "w", "node": Bson::Null,
            "generation": 1_i64, "started_at": at, "ended_at": Bson::Null,
            "steps": [{ "step": "resolving", "at": at, "ms": Bson::Null }],
            "outcome": Bson::Null, "reason": Bson::Null, "evidence": Bson::Null,
        };
        let set = doc! {
            "state": "grading", "step": "resolving", "worker": self.worker, "beat": 0_i64,
            "deadline": DateTime::from_millis(at.timestamp_millis() + 180_000), "updated_at": at,
            "attempts": [attempt], "generation": 1_i64,
        };
        self.change(id, doc! { "$set": set, "$unset": { "ready": "" } }).await
    }

    /// It gets its verdict from the worker that took it, after so many milliseconds of probing.
    pub(crate) async fn settle(&self, id: Id, outcome: Outcome, ms: i64) -> Result<()> {
        let at = DateTime::now();
        let word = outcome.word();
        let reason = match outcome {
            Outcome::Passed => Bson::Null,
            Outcome::Failed => Bson::Document(doc! {
                "code": "rule_failed:config", "owner": "participant",
                "message": "the answer is not the one that the rules ask for",
                "hint": Bson::Null, "limit": Bson::Null,
            }),
        };
        let steps = doc! { "step": "probing", "at": at, "ms": ms };
        let set = doc! {
            "state": word, "step": Bson::Null, "worker": Bson::Null, "lost": 0,
            "deadline": Bson::Null, "updated_at": at, "delay": Bson::Null,
            "attempts.0.ended_at": at, "attempts.0.outcome": word,
            "attempts.0.reason": reason.clone(), "attempts.0.steps": [steps],
            "verdict": {
                "outcome": word, "reason": reason, "at": at, "attempt": 1, "grading_ms": ms,
            },
        };
        self.change(id, doc! { "$set": set, "$unset": { "lane": "", "ready": "" } }).await
    }

    /// It is put off.
    pub(crate) async fn delay(&self, id: Id) -> Result<()> {
        let reason = doc! {
            "code": "registry_rate_limited", "owner": "registry",
            "message": "the registry asks for patience", "hint": Bson::Null, "limit": Bson::Null,
        };
        let next = DateTime::from_millis(DateTime::now().timestamp_millis() + 60_000);
        let set = doc! { "delay": { "reason": reason, "next_try": next } };
        self.change(id, doc! { "$set": set, "$unset": { "ready": "" } }).await
    }

    /// Any other change.
    pub(crate) async fn set(&self, id: Id, fields: Document) -> Result<()> {
        self.change(id, doc! { "$set": fields }).await
    }

    async fn change(&self, id: Id, mut update: Document) -> Result<()> {
        update.insert("$inc", doc! { "revision": 1_i64 });
        let done = self.submissions.update_one(doc! { "_id": id.0 }, update).await?;
        ensure!(done.matched_count == 1, "{id:?} is not there");
        Ok(())
    }
}

/// How a grading ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
}

impl Outcome {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
        }
    }
}
