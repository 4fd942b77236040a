//! An event with organisers, operators, others and strangers, and submissions in every state: what
//! the rows about organisers' powers begin with.
//!
//! Tokens are made by the real `portcall token create`. Submissions are written into the database as
//! a worker would have left them: one is posted, the others are copies of it.

use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use bson::{Bson, DateTime, Document, doc};
use mongodb::{Client as Mongo, Collection};
use portcall_tests::{
    Event,
    parts::{
        given,
        process::{Ended, Finished, ask},
    },
};
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::Value;

use super::stage::{From, Stage};

const PATIENCE: Duration = Duration::from_secs(60);
/// The event that most of it is about.
pub(crate) const OWN: &str = "birthday-3";
/// Another one, with an organiser of its own.
pub(crate) const OTHER: &str = "other";

/// Where webhooks lead: a port of this machine at which nobody listens.
pub(crate) const NOWHERE: &str = "127.0.0.1:9";

/// A token, as `portcall token create` printed it, and its id.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) text: String,
}

/// A stage with people who may do something.
#[derive(Debug)]
pub(crate) struct Organisers {
    pub(crate) stage: Stage,
    pub(crate) operator: Token,
    pub(crate) own: Token,
    pub(crate) theirs: Token,
    pub(crate) revoked: Token,
    pub(crate) expired: Token,
    template: Document,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
}

impl Answer {
    /// The code of a problem.
    pub(crate) fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    /// Itself, if it has this status.
    pub(crate) fn good(self, status: u16) -> Result<Self> {
        ensure!(self.status == status, "{status}: {} {}", self.status, self.json);
        Ok(self)
    }

    pub(crate) fn text(&self, pointer: &str) -> Result<String> {
        let text = self.json.pointer(pointer).and_then(Value::as_str);
        Ok(text.with_context(|| format!("{pointer} of {}", self.json))?.to_owned())
    }
}

impl Organisers {
    /// So many apis.
    pub(crate) async fn with(apis: usize) -> Result<Self> {
        Self::on(Stage::bare(&[]).await?, apis).await
    }

    /// The same on a stage without apis yet.
    pub(crate) async fn on(mut stage: Stage, apis: usize) -> Result<Self> {
        let seal = stage.apis.dir().join("seal");
        std::fs::write(&seal, "5f".repeat(32))?;
        stage.apis = stage.apis.setting("PORTCALL_SEAL_KEY_FILE", seal.display());
        stage.apis = stage.apis.setting("PORTCALL_PRIVATE_WEBHOOKS", NOWHERE);
        let file = stage.apis.dir().join("other.toml");
        std::fs::write(&file, Event::config().slug(OTHER).toml())?;
        good(portcall(&stage, &["event", "apply", path(&file)?]).await?)?;
        for _ in 0..apis {
            stage.apis.start().await?;
        }
        let organiser = ["--event", OWN];
        let operator = token(&stage, "Olga", &["--operator"]).await?;
        let own = token(&stage, "Ann", &organiser).await?;
        let theirs = token(&stage, "Theo", &["--event", OTHER]).await?;
        let revoked = token(&stage, "Rita", &organiser).await?;
        good(portcall(&stage, &["token", "revoke", &revoked.id]).await?)?;
        let expired = token(&stage, "Ed", &["--event", OWN, "--expires", "1h"]).await?;
        let id = bson::Uuid::parse_str(&expired.id)?;
        let past = doc! { "$set": { "expires_at": DateTime::from_millis(1) } };
        let tokens = collection(&stage, "tokens").await?;
        ensure!(tokens.update_one(doc! { "_id": id }, past).await?.matched_count == 1);
        let accepted = stage.client()?.submit(&stage.submission("Template")).await?;
        let submissions = collection(&stage, "submissions").await?;
        let template = submissions.find_one(doc! {}).await?.context("a template")?;
        let id = bson::Uuid::parse_str(&accepted.id)?;
        submissions.delete_one(doc! { "_id": id }).await?;
        Ok(Self { stage, operator, own, theirs, revoked, expired, template })
    }

    /// Asks, as whoever has this token; from an address of its own, so that no limit counts it.
    pub(crate) async fn ask(
        &self,
        token: Option<&Token>,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer> {
        let authorization = token.map(|token| format!("Bearer {}", token.text));
        let headers: Vec<(&str, &str)> =
            authorization.iter().map(|value| ("authorization", value.as_str())).collect();
        self.ask_with(0, method, path, &headers, body).await
    }

    /// The same with any header, of any api.
    pub(crate) async fn ask_with(
        &self,
        api: usize,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer> {
        let path = match path.starts_with("/api/") || path.starts_with("/openapi") {
            true => path.to_owned(),
            false => format!("/api/v1/admin{path}"),
        };
        let method = Method::from_bytes(method.as_bytes())?;
        let asked = self.stranger(api)?.ask(method, &path, headers, body).await?;
        let (status, headers, json) = asked;
        Ok(Answer { status: status.as_u16(), headers, json })
    }

    /// Somebody whose address nobody had before.
    pub(crate) fn stranger(&self, api: usize) -> Result<From> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let base = self.stage.apis.all[api].address.context("an api without an address")?;
        let address = format!("127.{}.{}.{}", 100 + n / 62_500, n / 250 % 250, 1 + n % 250);
        From::new(&format!("http://{base}"), &address)
    }

    pub(crate) async fn submissions(&self) -> Result<Collection<Document>> {
        collection(&self.stage, "submissions").await
    }

    /// A submission's document that is not stored yet: of this name, in this state.
    pub(crate) fn document(&self, name: &str, state: &str) -> Result<(String, Document)> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let mut document = self.template.clone();
        let Some(Bson::Binary(id)) = document.get("_id") else { anyhow::bail!("an id") };
        let number = u128::from_be_bytes(id.to_uuid()?.bytes());
        let number = number + u128::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let id = bson::Uuid::from_bytes(number.to_be_bytes());
        document.insert("_id", id);
        let participant = document.get_document_mut("participant")?;
        participant.insert("name", name);
        participant.insert("key", format!("name:{id}"));
        participant.insert("contact", format!("{name} <contact@example.org>"));
        document.remove("lane");
        if state != "queued" {
            document.remove("ready");
            document.insert("state", state);
            document.insert("deadline", Bson::Null);
            document.insert("verdict", verdict(state));
        }
        Ok((id.to_string(), document))
    }

    /// A submission, stored; its id.
    pub(crate) async fn plant(&self, name: &str, state: &str) -> Result<String> {
        self.plant_with(name, state, doc! {}).await
    }

    /// The same with other fields.
    pub(crate) async fn plant_with(
        &self,
        name: &str,
        state: &str,
        fields: Document,
    ) -> Result<String> {
        let (id, document) = self.document(name, state)?;
        let submissions = self.submissions().await?;
        submissions.insert_one(document).await?;
        if !fields.is_empty() {
            let own = doc! { "_id": bson::Uuid::parse_str(&id)? };
            submissions.update_one(own, doc! { "$set": fields }).await?;
        }
        Ok(id)
    }

    /// The audit lines of an event, the newest first.
    pub(crate) async fn audit(&self, event: &str) -> Result<Vec<Value>> {
        let path = format!("/events/{event}/audit?limit=200");
        let answer = self.ask(Some(&self.operator), "GET", &path, None).await?.good(200)?;
        Ok(answer.json["items"].as_array().cloned().unwrap_or_default())
    }

    /// Gives up every re-grade of the event that is under way.
    pub(crate) async fn give_up_regrades(&self) -> Result<()> {
        let path = format!("/events/{OWN}/regrades");
        let listed = self.ask(Some(&self.operator), "GET", &path, None).await?;
        for regrade in listed.json["regrades"].as_array().into_iter().flatten() {
            if ["preparing", "grading"].contains(&regrade["state"].as_str().unwrap_or_default()) {
                let id = regrade["id"].as_str().context("an id")?;
                let path = format!("/regrades/{id}/discard");
                self.ask(Some(&self.operator), "POST", &path, None).await?.good(200)?;
            }
        }
        Ok(())
    }

    pub(crate) async fn end(self) -> Result<()> {
        self.stage.end().await
    }
}

fn verdict(state: &str) -> Document {
    let reason = match state {
        "passed" | "cancelled" => Bson::Null,
        _ => Bson::from(doc! {
            "code": "not_listening",
            "owner": "participant",
            "message": "nothing listens on port 80",
            "hint": Bson::Null,
            "limit": Bson::Null,
        }),
    };
    doc! {
        "outcome": state, "reason": reason, "at": DateTime::now(), "attempt": 1,
        "grading_ms": 5_i64,
    }
}

async fn collection(stage: &Stage, name: &str) -> Result<Collection<Document>> {
    let (uri, database) = stage.apis.database();
    Ok(Mongo::with_uri_str(uri).await?.database(database).collection(name))
}

/// `portcall`, as operators type it.
pub(crate) async fn portcall(stage: &Stage, arguments: &[&str]) -> Result<Finished> {
    let (uri, database) = stage.apis.database();
    let settings = [("PORTCALL_MONGODB_URI", uri), ("PORTCALL_MONGODB_DATABASE", database)];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    ask(&given::program("portcall")?, arguments, &settings, PATIENCE).await
}

pub(crate) fn good(finished: Finished) -> Result<Finished> {
    ensure!(finished.ended == Ended::Code(0), "{finished:?}");
    Ok(finished)
}

/// Makes a token. All that the command says on its standard output is the token.
pub(crate) async fn token(stage: &Stage, name: &str, role: &[&str]) -> Result<Token> {
    let arguments = [&["token", "create", "--name", name], role].concat();
    let made = good(portcall(stage, &arguments).await?)?;
    let text = made.stdout.strip_suffix('\n').context("one line")?.to_owned();
    ensure!(text.starts_with("portcall_") && !text.contains(char::is_whitespace), "{made:?}");
    let id = made.stderr.split_whitespace().nth(1).context("an id")?.to_owned();
    Ok(Token { id, text })
}

fn path(file: &Path) -> Result<&str> {
    file.to_str().context("a path that is not UTF-8")
}

/// That an answer is 200.
pub(crate) fn is_ok(status: StatusCode) -> Result<()> {
    ensure!(status == StatusCode::OK, "{status}");
    Ok(())
}
