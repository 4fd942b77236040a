//! Re-grades over HTTP: what organisers see before, what changes by it, and that nothing does
//! otherwise. The verdicts are those of a grader that grades nothing ([`mongo::settle`]).

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use bson::Document;
use portcall_tests::{
    Event,
    parts::{
        client::Answer,
        given,
        mongo::{self, Said},
        process::{Ended, ask},
    },
};
use reqwest::Method;
use serde_json::{Value, json};

use super::stage::{JSON, Stage, problem};

const PATIENCE: Duration = Duration::from_secs(30);
const REGRADES: &str = "/api/v1/admin/events/birthday-3/regrades";
const STATS: &str = "/api/v1/events/birthday-3/stats";
const PINS: &str = "/api/v1/events/birthday-3/pins?bbox=-180,-85,180,85&zoom=14";

/// One api, with the token of somebody who runs an event there.
pub(crate) struct Office {
    pub(crate) stage: Stage,
    token: String,
}

impl Office {
    pub(crate) async fn open(role: &[&str]) -> Result<Self> {
        let stage = Stage::set(&[]).await?;
        let token = token(&stage, role).await?;
        Ok(Self { stage, token })
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answer> {
        self.ask_as(&self.token, method, path, body).await
    }

    async fn ask_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answer> {
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("authorization", bearer.as_str())];
        if body.is_some() {
            headers.push(JSON);
        }
        let body = body.map(|body| body.to_string().into_bytes());
        self.stage.client()?.request(method, path, &headers, body).await
    }

    async fn good(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let answer = self.ask(method, path, body).await?;
        ensure!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.text);
        Ok(answer.json)
    }

    /// Of everybody who is named `p…` the image passes; the others' fails.
    async fn settle_by_name(&self) -> Result<usize> {
        self.settle(|name| name.starts_with('p')).await
    }

    pub(crate) async fn settle(&self, passes: impl Fn(&str) -> bool) -> Result<usize> {
        let (uri, database) = self.stage.apis.database();
        mongo::settle(uri, database, |one| match passes(&name(one)) {
            true => Said::Passed,
            false => Said::Failed("it said that it ended".to_owned()),
        })
        .await
    }

    /// The documents of all submissions, trials among them.
    pub(crate) async fn documents(&self) -> Result<Vec<Document>> {
        let (uri, database) = self.stage.apis.database();
        let all = mongo::dump(uri, database).await?;
        Ok(all.into_iter().filter(|(c, _)| c == "submissions").map(|(_, one)| one).collect())
    }

    /// The id of a re-grade of these.
    async fn begin(&self, body: Value) -> Result<String> {
        let answer = self.ask(Method::POST, REGRADES, Some(body)).await?;
        ensure!(answer.status == 202, "{} {}", answer.status, answer.text);
        let id = answer.json["id"].as_str().context("an id")?.to_owned();
        ensure!(answer.header("location") == format!("/api/v1/admin/regrades/{id}"));
        Ok(id)
    }
}

async fn token(stage: &Stage, role: &[&str]) -> Result<String> {
    portcall(stage, &[&["token", "create", "--name", "Olga"], role].concat()).await
}

/// What `portcall` says on the database of a stage.
async fn portcall(stage: &Stage, arguments: &[&str]) -> Result<String> {
    let (uri, database) = stage.apis.database();
    let settings = [("PORTCALL_MONGODB_URI", uri), ("PORTCALL_MONGODB_DATABASE", database)];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let said = ask(&given::program("portcall")?, arguments, &settings, PATIENCE).await?;
    ensure!(said.ended == Ended::Code(0), "{arguments:?}: {said:?}");
    Ok(said.stdout.trim().to_owned())
}

fn name(one: &Document) -> String {
    let name = one.get_document("participant").and_then(|p| p.get_str("name"));
    name.unwrap_or_default().to_owned()
}

fn of(id: &str) -> String {
    format!("/api/v1/admin/regrades/{id}")
}

fn own(documents: &[Document]) -> Vec<&Document> {
    documents.iter().filter(|one| !one.contains_key("trial_of")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_is_graded_anew_looked_at_applied_and_undone() -> Result<()> {
    let office = Office::open(&["--event", "birthday-3"]).await?;
    let client = office.stage.client()?;
    let mut ids = Vec::new();
    for name in ["p1", "f1", "f2"] {
        ids.push(client.submit(&office.stage.submission(name)).await?.id);
    }
    office.settle_by_name().await?;
    let before = office.documents().await?;
    let id = office.begin(json!({ "where": {}, "note": "the rules were too hard" })).await?;
    let looked = office.good(Method::GET, &of(&id), None).await?;
    ensure!((&looked["state"], &looked["counts"]["waiting"]) == (&json!("grading"), &json!(3)));
    invisible(&office, &ids).await?;
    for act in ["apply", "undo"] {
        let early = office.ask(Method::POST, &format!("{}/{act}", of(&id)), None).await?;
        problem(&early, 409, "regrade_state")?;
    }
    // The first would fail now, the second pass, the third stays what it is.
    ensure!(office.settle(|name| name == "f1").await? == 3);
    let ready = office.good(Method::GET, &format!("{}?limit=2", of(&id)), None).await?;
    ensure!(ready["state"] == "ready", "{ready:#}");
    let counts = json!({
        "waiting": 0, "unchanged": 1, "would_pass": 1, "would_fail": 1, "undetermined": 0,
    });
    ensure!(ready["counts"] == counts, "{ready:#}");
    let changes: Vec<&Value> =
        ready["rows"].as_array().into_iter().flatten().map(|row| &row["change"]).collect();
    ensure!(changes == ["would_fail", "would_pass"] && ready["next"] == "2", "{ready:#}");
    let rest = office.good(Method::GET, &format!("{}?after=2", of(&id)), None).await?;
    ensure!(rest["rows"][0]["submission"] == ids[2] && rest["next"].is_null(), "{rest:#}");
    let now = office.documents().await?;
    ensure!(own(&now) == own(&before), "something changed by looking");

    let applied = office.good(Method::POST, &format!("{}/apply", of(&id)), None).await?;
    ensure!(applied["state"] == "applied" && applied["applied"]["applied"] == 3, "{applied:#}");
    for (id, state) in ids.iter().zip(["failed", "passed", "failed"]) {
        let document = client.document(id).await?;
        ensure!(document["state"] == state && document["verdict"]["attempt"] == 2, "{document:#}");
        ensure!(document["attempts"].as_array().map(Vec::len) == Some(2), "{document:#}");
    }
    client.wait_pin(&ids[1], PATIENCE).await?;
    let again = office.good(Method::POST, &format!("{}/apply", of(&id)), None).await?;
    ensure!(again["updated_at"] == applied["updated_at"], "{again:#}");

    let undone = office.good(Method::POST, &format!("{}/undo", of(&id)), None).await?;
    ensure!(undone["state"] == "undone" && undone["undone"]["undone"] == 3, "{undone:#}");
    for (id, state) in ids.iter().zip(["passed", "failed", "failed"]) {
        let document = client.document(id).await?;
        ensure!(document["state"] == state && document["verdict"]["attempt"] == 1, "{document:#}");
        ensure!(document["attempts"].as_array().map(Vec::len) == Some(2), "{document:#}");
    }
    client.wait_pin(&ids[0], PATIENCE).await?;
    audited(&office, &id).await?;
    office.stage.end().await
}

/// Nothing shows a trial: not by its id, not in numbers, on the map, in a search or an export.
async fn invisible(office: &Office, ids: &[String]) -> Result<()> {
    let client = office.stage.client()?;
    let documents = office.documents().await?;
    let trials: Vec<&Document> =
        documents.iter().filter(|one| one.contains_key("trial_of")).collect();
    ensure!(trials.len() == ids.len(), "the control: they are there");
    let id = match trials[0].get("_id") {
        Some(bson::Bson::Binary(id)) => id.to_uuid()?.to_string(),
        other => anyhow::bail!("an id: {other:?}"),
    };
    for path in [
        format!("/api/v1/submissions/{id}"),
        format!("/api/v1/submissions/{id}/live"),
        format!("/competition/{id}"),
    ] {
        problem(&client.get(&path).await?, 404, "not_found")?;
    }
    let bearer = [("authorization", "Bearer ")];
    for secret in [&bearer[..], &[]] {
        let path = format!("/api/v1/submissions/{id}");
        let gone = client.request(Method::DELETE, &path, secret, None).await?;
        problem(&gone, 404, "not_found")?;
    }
    let admin = format!("/api/v1/admin/submissions/{id}");
    problem(&office.ask(Method::GET, &admin, None).await?, 404, "not_found")?;
    for act in ["hide", "cancel", "requeue", "erase"] {
        let answer = office.ask(Method::POST, &format!("{admin}/{act}"), None).await?;
        problem(&answer, 404, "not_found")?;
    }
    let stats = client.get(STATS).await?.json;
    ensure!(stats["totals"]["submissions"] == 3 && stats["totals"]["queued"] == 0, "{stats:#}");
    ensure!(client.get(PINS).await?.json["total"] == 1);
    for path in ["submissions", "export?format=json", "export?format=csv"] {
        let path = format!("/api/v1/admin/events/birthday-3/{path}");
        let answer = office.ask(Method::GET, &path, None).await?;
        ensure!(answer.status == 200 && !answer.text.contains(&id), "{path}: {}", answer.text);
        ensure!(answer.text.contains(&ids[0]), "the control: {path}: {}", answer.text);
    }
    Ok(())
}

/// Every order has its line, and names who gave it and which re-grade it was about.
async fn audited(office: &Office, id: &str) -> Result<()> {
    let path = "/api/v1/admin/events/birthday-3/audit?limit=50";
    let log = office.good(Method::GET, path, None).await?.to_string();
    for act in ["\"regrade\"", "apply_regrade", "undo_regrade", "the rules were too hard", "Olga"] {
        ensure!(log.contains(act), "{act}: {log}");
    }
    // Made, three orders to apply and two to undo, one of each of them refused.
    ensure!(log.matches(id).count() == 6, "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_must_be_there_and_theirs() -> Result<()> {
    let office = Office::open(&["--operator"]).await?;
    let client = office.stage.client()?;
    let graded = client.submit(&office.stage.submission("p1")).await?.id;
    office.settle_by_name().await?;
    let pending = client.submit(&office.stage.submission("p2")).await?.id;
    let many = vec![graded.as_str(); 401];
    for (body, code, pointer) in [
        (json!({}), "either_or", ""),
        (json!({ "submissions": [graded], "where": {} }), "either_or", ""),
        (json!({ "submissions": [] }), "count", "/submissions"),
        (json!({ "submissions": many }), "count", "/submissions"),
        (json!({ "submissions": [graded, pending] }), "not_regradable", "/submissions/1"),
        (json!({ "where": { "states": ["failed"] } }), "nothing_to_regrade", "/where"),
        (json!({ "where": { "states": ["queued"] } }), "invalid_value", "/where/states/0"),
        (json!({ "where": { "reasons": [{ "$ne": 1 }] } }), "wrong_type", "/where/reasons/0"),
        (json!({ "where": {}, "note": "x".repeat(501) }), "too_long", "/note"),
        (json!({ "where": {}, "state": "applied" }), "unknown_field", "/state"),
    ] {
        let answer = office.ask(Method::POST, REGRADES, Some(body)).await?;
        let (told, errors) = answer.problem();
        ensure!(told == code && errors.contains_key(pointer), "{code}: {}", answer.text);
    }
    let id = office.begin(json!({ "submissions": [graded], "note": "x".repeat(500) })).await?;
    let listed = office.good(Method::GET, REGRADES, None).await?;
    ensure!(listed["regrades"][0]["id"] == id && listed["next"].is_null(), "{listed:#}");
    for query in ["limit=0", "limit=201", "after=1001", "after=-1"] {
        let answer = office.ask(Method::GET, &format!("{}?{query}", of(&id)), None).await?;
        ensure!(answer.status == 422, "{query}: {} {}", answer.status, answer.text);
    }
    for path in [of("x"), of(&graded)] {
        problem(&office.ask(Method::GET, &path, None).await?, 404, "not_found")?;
    }

    // Of another event's organiser it is like none, and nobody else has a say.
    let file = office.stage.apis.dir().join("another.toml");
    fs::write(&file, Event::config().slug("another").toml())?;
    portcall(&office.stage, &["event", "apply", file.to_str().context("a path")?]).await?;
    let other = token(&office.stage, &["--event", "another"]).await?;
    problem(&office.ask_as(&other, Method::GET, &of(&id), None).await?, 404, "not_found")?;
    for act in ["apply", "undo", "discard"] {
        let path = format!("{}/{act}", of(&id));
        problem(&office.ask_as(&other, Method::POST, &path, None).await?, 404, "not_found")?;
        problem(&office.ask_as("x", Method::POST, &path, None).await?, 401, "token_needed")?;
    }
    let erase = format!("/api/v1/admin/submissions/{graded}/erase");
    problem(&office.ask_as(&other, Method::POST, &erase, None).await?, 404, "not_found")?;
    for (method, body) in [(Method::GET, None), (Method::POST, Some(json!({ "where": {} })))] {
        let answer = office.ask_as(&other, method, REGRADES, body).await?;
        problem(&answer, 403, "not_yours")?;
    }
    ensure!(office.good(Method::GET, &of(&id), None).await?["state"] == "grading");
    let discarded = office.good(Method::POST, &format!("{}/discard", of(&id)), None).await?;
    ensure!(discarded["state"] == "discarded", "{discarded:#}");
    ensure!(office.settle_by_name().await? == 1, "only what was pending before");
    office.stage.end().await
}

/// Two apis, each told to apply while the other does: the verdicts are taken over once.
#[tokio::test(flavor = "multi_thread")]
async fn two_apis_apply_once() -> Result<()> {
    let mut office = Office::open(&["--operator"]).await?;
    office.stage.apis.start().await?;
    let client = office.stage.client()?;
    for n in 0..12 {
        client.submit(&office.stage.submission(&format!("f{n}"))).await?;
    }
    office.settle_by_name().await?;
    let id = office.begin(json!({ "where": { "reasons": ["exited"] } })).await?;
    office.settle(|_| true).await?;
    office.good(Method::GET, &of(&id), None).await?;
    let (path, bearer) = (format!("{}/apply", of(&id)), format!("Bearer {}", office.token));
    let headers = [("authorization", bearer.as_str())];
    let clients = [office.stage.apis.client(0)?, office.stage.apis.client(1)?];
    let orders = clients.iter().map(|one| one.request(Method::POST, &path, &headers, None));
    for answer in futures::future::try_join_all(orders).await? {
        ensure!(answer.json["applied"] == json!({ "applied": 12 }), "{}", answer.text);
    }
    for one in own(&office.documents().await?) {
        let attempts = one.get_array("attempts")?.len();
        ensure!((one.get_str("state")?, attempts) == ("passed", 2), "{one:#?}");
    }
    office.stage.end().await
}
