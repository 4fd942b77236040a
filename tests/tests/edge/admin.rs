//! Organisers' powers: who may do what (a table of all routes), what each act does, and that each
//! leaves its line in the audit log (rows W08, W21 and W22).

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use bson::{DateTime, doc};
use portcall_tests::{parts::process::Ended, wait};
use serde_json::{Value, json};

use super::organisers::{Answer, OTHER, OWN, Organisers, Token, portcall, token};

const PATIENCE: Duration = Duration::from_secs(20);

/// What a route is asked about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    Nothing,
    Event,
    /// A submission in this state.
    Submission(&'static str),
    Regrade,
    Webhook,
    /// An image, which is every event's: operators alone say what it is.
    Image,
}

/// One route.
struct Row {
    method: &'static str,
    path: &'static str,
    about: About,
    /// What is sent; `{id}` is that of a submission that passed.
    body: Option<&'static str>,
    /// What it is answered to whoever may.
    good: &'static [u16],
}

const fn row(
    method: &'static str,
    path: &'static str,
    about: About,
    body: Option<&'static str>,
    good: &'static [u16],
) -> Row {
    Row { method, path, about, body, good }
}

/// Every route below `/api/v1/admin`. One that is not here fails the test, and so does one that is
/// here and nowhere else.
const ROWS: &[Row] = &[
    row("GET", "/me", About::Nothing, None, &[200]),
    row("GET", "/fleet", About::Nothing, None, &[200]),
    row("GET", "/suspects", About::Nothing, None, &[200]),
    row(
        "POST",
        "/suspects/{digest}",
        About::Image,
        Some("{\"standing\":\"cleared\",\"event\":\"{event}\"}"),
        &[200],
    ),
    row("GET", "/events/{event}/submissions", About::Event, None, &[200]),
    row("GET", "/submissions/{id}", About::Submission("passed"), None, &[200]),
    row("POST", "/submissions/{id}/hide", About::Submission("passed"), None, &[200]),
    row("POST", "/submissions/{id}/unhide", About::Submission("passed"), None, &[200]),
    row("POST", "/submissions/{id}/cancel", About::Submission("queued"), None, &[200]),
    row("POST", "/submissions/{id}/requeue", About::Submission("undetermined"), None, &[200]),
    row("POST", "/submissions/{id}/erase", About::Submission("failed"), None, &[204]),
    row("POST", "/events/{event}/close", About::Event, None, &[200]),
    row("POST", "/events/{event}/reopen", About::Event, None, &[200]),
    row("GET", "/events/{event}/rules", About::Event, None, &[200]),
    row("PUT", "/events/{event}/rules", About::Event, Some("{\"source\":\"x\"}"), &[422]),
    row("GET", "/events/{event}/rules/versions", About::Event, None, &[200]),
    row("GET", "/events/{event}/export", About::Event, None, &[200]),
    row("GET", "/events/{event}/audit", About::Event, None, &[200]),
    row("GET", "/events/{event}/history", About::Event, None, &[200]),
    row("GET", "/events/{event}/regrades", About::Event, None, &[200]),
    row(
        "POST",
        "/events/{event}/regrades",
        About::Event,
        Some("{\"submissions\":[\"{id}\"]}"),
        &[202],
    ),
    row("GET", "/regrades/{id}", About::Regrade, None, &[200]),
    row("POST", "/regrades/{id}/apply", About::Regrade, None, &[200, 409]),
    row("POST", "/regrades/{id}/undo", About::Regrade, None, &[200, 409]),
    row("POST", "/regrades/{id}/discard", About::Regrade, None, &[200, 204]),
    row("GET", "/events/{event}/webhooks", About::Event, None, &[200]),
    row(
        "POST",
        "/events/{event}/webhooks",
        About::Event,
        Some("{\"url\":\"http://127.0.0.1:9/\"}"),
        &[201],
    ),
    row("GET", "/webhooks/{id}", About::Webhook, None, &[200]),
    row("DELETE", "/webhooks/{id}", About::Webhook, None, &[204]),
    row("POST", "/webhooks/{id}/ping", About::Webhook, None, &[202]),
    row("GET", "/webhooks/{id}/deliveries", About::Webhook, None, &[200]),
];

impl Row {
    /// What whoever organises another event is answered.
    fn to_others(&self) -> (u16, &'static str) {
        match self.about {
            About::Nothing => (200, ""),
            About::Event | About::Image => (403, "not_yours"),
            About::Submission(_) | About::Regrade | About::Webhook => (404, "not_found"),
        }
    }

    /// Asks about something of its own; the answer.
    async fn ask(&self, all: &Organisers, token: Option<&Token>, id: &str) -> Result<Answer> {
        let image = format!("sha256:{:064x}", 7);
        let path =
            self.path.replace("{event}", OWN).replace("{id}", id).replace("{digest}", &image);
        let body = self.body.map(|body| body.replace("{id}", id).replace("{event}", OWN));
        let body = body.map(|body| serde_json::from_str(&body)).transpose()?;
        all.ask(token, self.method, &path, body.as_ref()).await
    }

    /// Makes what it is asked about; the id.
    async fn subject(&self, all: &Organisers) -> Result<String> {
        let passed = all.plant("Passed", "passed").await?;
        let (path, body) = match self.about {
            About::Nothing | About::Event | About::Image => return Ok(passed),
            About::Submission(state) => return all.plant("Subject", state).await,
            About::Regrade => ("regrades", json!({ "submissions": [passed] })),
            About::Webhook => ("webhooks", json!({ "url": "http://127.0.0.1:9/" })),
        };
        let path = format!("/events/{OWN}/{path}");
        let made = all.ask(Some(&all.operator), "POST", &path, Some(&body)).await?;
        made.text("/id").with_context(|| format!("{path}: {}", made.status))
    }

    /// Takes away what an event may have few of.
    async fn clean_up(&self, all: &Organisers) -> Result<()> {
        let path = format!("/events/{OWN}/webhooks");
        let listed = all.ask(Some(&all.operator), "GET", &path, None).await?;
        for webhook in listed.json["webhooks"].as_array().into_iter().flatten() {
            let id = webhook["id"].as_str().context("an id")?;
            all.ask(Some(&all.operator), "DELETE", &format!("/webhooks/{id}"), None).await?;
        }
        all.give_up_regrades().await
    }
}

/// Without the id of the request, which is the only thing in which two refusals may differ.
fn plain(mut answer: Answer) -> String {
    answer.json["request_id"].take();
    let challenge = answer.headers.get("www-authenticate").cloned();
    format!("{} {challenge:?} {}", answer.status, answer.json)
}

/// Every route of the document, by everybody: nobody gets further than their token goes.
#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_for_those_who_may_and_nobody_else() -> Result<()> {
    let all = Organisers::with(1).await?;
    let unknown =
        Token { id: String::new(), text: all.own.text.replace("portcall_0", "portcall_1") };
    let nobody = [None, Some(&all.revoked), Some(&all.expired), Some(&unknown)];
    let mut refusals = BTreeSet::new();
    for row in ROWS {
        let name = format!("{} {}", row.method, row.path);
        let id = row.subject(&all).await.context(name.clone())?;
        for token in nobody {
            let answer = row.ask(&all, token, &id).await?;
            ensure!(answer.status == 401, "{name}: {token:?}: {} {}", answer.status, answer.json);
            refusals.insert(plain(answer));
        }
        let answer = row.ask(&all, Some(&all.theirs), &id).await?;
        let (status, code) = row.to_others();
        ensure!((answer.status, answer.code()) == (status, code), "{name}: {answer:?}");
        if status == 404 {
            // As what is not there.
            let nowhere = "01900000-0000-7000-8000-000000000000";
            let other = row.ask(&all, Some(&all.theirs), nowhere).await?;
            ensure!(plain(other) == plain(answer), "{name}");
        }
        for token in [&all.own, &all.operator] {
            all.give_up_regrades().await?;
            let id = row.subject(&all).await?;
            let answer = row.ask(&all, Some(token), &id).await?;
            let is_operators = row.about == About::Image && token.text != all.operator.text;
            let good = if is_operators { &[403][..] } else { row.good };
            ensure!(good.contains(&answer.status), "{name}: {} {}", answer.status, answer.json);
        }
        row.clean_up(&all).await?;
    }
    ensure!(refusals.len() == 1, "whoever may nothing is told the same: {refusals:#?}");
    all.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_routes_has_every_route() -> Result<()> {
    let all = Organisers::with(1).await?;
    let document = all.ask(None, "GET", "/openapi.json", None).await?.good(200)?;
    let mut routed = BTreeSet::new();
    for (path, item) in document.json["paths"].as_object().context("paths")? {
        let Some(path) = path.strip_prefix("/api/v1/admin") else { continue };
        for method in item.as_object().into_iter().flatten().map(|(method, _)| method) {
            routed.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let told: BTreeSet<String> =
        ROWS.iter().map(|row| format!("{} {}", row.method, row.path)).collect();
    ensure!(routed.len() > 10, "{routed:?}");
    let without_row: Vec<_> = routed.difference(&told).collect();
    let without_route: Vec<_> = told.difference(&routed).collect();
    ensure!(
        without_row.is_empty() && without_route.is_empty(),
        "{without_row:?} {without_route:?}"
    );
    all.end().await
}

/// Row W21: what is wrong with a token is not told, and every attempt is in the log without it.
/// Row W22: a token in an address is refused, whatever else comes along; cookies are nothing.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_come_in_a_header_and_are_in_no_log() -> Result<()> {
    let all = Organisers::with(1).await?;
    let (good, path) = (&all.own.text, format!("/events/{OWN}/submissions"));
    let bearer = format!("Bearer {good}");
    let asked = |headers: Vec<(&'static str, String)>, path: String| {
        let all = &all;
        async move {
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            all.ask_with(0, "GET", &path, &headers, None).await
        }
    };
    let header = || vec![("authorization", bearer.clone())];
    asked(header(), path.clone()).await?.good(200)?;
    for query in ["token", "access_token", "Token", "%74oken"] {
        for with in [header(), vec![]] {
            let answer = asked(with, format!("{path}?{query}={good}")).await?.good(400)?;
            ensure!(answer.code() == "token_in_query", "{query}: {}", answer.json);
            ensure!(!answer.json.to_string().contains(good), "{}", answer.json);
        }
    }
    let mut failed = 8;
    for headers in [
        vec![("cookie", format!("token={good}; access_token={good}"))],
        vec![("x-api-key", good.clone())],
        vec![("authorization", format!("Basic {good}"))],
        vec![("authorization", good.clone())],
        vec![("authorization", bearer.clone()), ("authorization", bearer.clone())],
        vec![("authorization", format!("Bearer {good}x"))],
        vec![("authorization", format!("Bearer {}", &good[..good.len() - 1]))],
        vec![("authorization", format!("Bearer {}", "x".repeat(5000)))],
        vec![("authorization", format!("Bearer {}", all.revoked.text))],
        vec![("authorization", format!("Bearer {}", all.expired.text))],
    ] {
        let answer = asked(headers.clone(), path.clone()).await?;
        ensure!(answer.status == 401, "{headers:?}: {}", answer.status);
        ensure!(answer.headers.get("set-cookie").is_none(), "no cookies");
        failed += 1;
    }
    let log = all.stage.apis.all[0].process.log();
    let noted = log.lines().filter(|line| line.contains("no token was accepted")).count();
    ensure!(noted == failed, "{noted} of {failed} attempts are in the log");
    for token in [&all.own, &all.revoked, &all.expired] {
        let secret = token.text.rsplit_once('_').context("a secret")?.1;
        ensure!(!log.contains(secret), "a token is in the log");
    }
    all.end().await
}

/// `portcall token`: the token alone is printed, once; what is wrong is told.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_made_listed_and_revoked_by_the_command() -> Result<()> {
    let all = Organisers::with(1).await?;
    let made = token(&all.stage, "Ann, laptop", &["--operator", "--expires", "30d"]).await?;
    let me = all.ask(Some(&made), "GET", "/me", None).await?.good(200)?;
    ensure!(me.json["id"] == made.id.as_str() && me.json["name"] == "Ann, laptop", "{}", me.json);
    ensure!(me.json["role"] == "operator" && me.json["event"].is_null(), "{}", me.json);
    ensure!(me.json["expires_at"].is_string(), "{}", me.json);
    let own = all.ask(Some(&all.own), "GET", "/me", None).await?.good(200)?;
    ensure!(own.json["role"] == "organiser" && own.json["event"] == OWN, "{}", own.json);

    let list = portcall(&all.stage, &["token", "list"]).await?;
    let secret = made.text.rsplit_once('_').context("a secret")?.1;
    ensure!(list.stdout.contains(&made.id) && !list.stdout.contains(secret), "{}", list.stdout);
    for (id, state) in
        [(&made.id, "good until"), (&all.revoked.id, "revoked"), (&all.expired.id, "expired")]
    {
        let line = list.stdout.lines().find(|line| line.contains(id.as_str())).context("a line")?;
        ensure!(line.contains(state), "{line}");
    }
    let revoked = portcall(&all.stage, &["token", "revoke", &made.id]).await?;
    ensure!(revoked.ended == Ended::Code(0), "{revoked:?}");
    all.ask(Some(&made), "GET", "/me", None).await?.good(401)?;

    let nobody = "01900000-0000-7000-8000-000000000000";
    for (arguments, code, said) in [
        (
            &["token", "create", "--name", "x", "--event", "nowhere"][..],
            1,
            "no such event: nowhere",
        ),
        (&["token", "create", "--name", "x"], 64, "required"),
        (&["token", "create", "--operator"], 64, "--name"),
        (&["token", "create", "--name", "x", "--operator", "--expires", "2020-01-01"], 64, "past"),
        (&["token", "create", "--name", "x", "--operator", "--expires", "soon"], 64, "30d"),
        (&["token", "revoke", nobody], 1, "no such token"),
        (&["token", "revoke", &made.text], 64, "takes its id only"),
    ] {
        let refused = portcall(&all.stage, arguments).await?;
        ensure!(refused.ended == Ended::Code(code), "{arguments:?}: {refused:?}");
        ensure!(refused.stderr.contains(said) && refused.stdout.is_empty(), "{refused:?}");
    }
    all.end().await
}

/// What each act does is seen at another api, and each has its line with who, what, why and in which
/// request; also those that failed and those that were refused.
#[tokio::test(flavor = "multi_thread")]
async fn every_act_does_what_it_says_and_leaves_a_line() -> Result<()> {
    let all = Organisers::with(2).await?;
    let [queued, undetermined, passed] = [
        all.plant("Queued", "queued").await?,
        all.plant("Undetermined", "undetermined").await?,
        all.plant("Passed", "passed").await?,
    ];
    let submission = |id: &str, what: &str| format!("/submissions/{id}/{what}");
    let event = |what: &str| format!("/events/{OWN}/{what}");
    for (path, what, status, outcome) in [
        (submission(&queued, "cancel"), "cancel", 200, "done"),
        (submission(&queued, "cancel"), "cancel", 409, "failed"),
        (submission(&undetermined, "requeue"), "requeue", 200, "done"),
        (submission(&undetermined, "requeue"), "requeue", 409, "failed"),
        (submission(&passed, "hide"), "hide", 200, "done"),
        (submission(&passed, "hide"), "hide", 200, "done"),
        (submission(&passed, "unhide"), "unhide", 200, "done"),
        (event("close"), "close", 200, "done"),
        (event("reopen"), "reopen", 200, "done"),
    ] {
        let note = json!({ "note": format!("because of {what}") });
        let answer = all.ask(Some(&all.own), "POST", &path, Some(&note)).await?.good(status)?;
        let line = all.audit(OWN).await?.into_iter().next().context("a line")?;
        let request = answer.headers.get("x-request-id").context("an id")?.to_str()?;
        ensure!(line["what"] == what && line["outcome"] == outcome, "{path}: {line}");
        ensure!(line["by"] == "Ann" && line["role"] == "organiser", "{line}");
        ensure!(line["token"] == all.own.id.as_str() && line["request"] == request, "{line}");
        ensure!(line["note"] == note["note"], "{line}");
        let about = path.contains("/submissions/").then(|| path.split('/').nth(2)).flatten();
        ensure!(line["submission"].as_str() == about, "{line}");
        if about.is_some() && status == 200 {
            ensure!(answer.json["audit"][0]["what"] == what, "{}", answer.json);
        }
    }
    for path in [submission(&queued, "hide"), event("close")] {
        let answer = all.ask(Some(&all.theirs), "POST", &path, None).await?;
        ensure!([403, 404].contains(&answer.status), "{path}: {}", answer.status);
        let line = all.audit(OWN).await?.into_iter().next().context("a line")?;
        ensure!(line["outcome"] == "refused" && line["by"] == "Theo", "{line}");
    }
    let before = all.audit(OWN).await?.len();
    all.ask(Some(&all.theirs), "POST", "/events/nowhere/close", None).await?.good(403)?;
    all.ask(Some(&all.operator), "POST", "/events/nowhere/close", None).await?.good(404)?;
    let nobody = "/submissions/01900000-0000-7000-8000-000000000000/hide";
    all.ask(Some(&all.operator), "POST", nobody, None).await?.good(404)?;
    ensure!(all.audit(OWN).await?.len() == before, "what is not there has no line");
    for (body, code) in [
        (json!({ "note": "x".repeat(501) }), "too_long"),
        (json!({ "note": "a\u{202e}b" }), "character_not_allowed"),
        (json!({ "note": { "$ne": 1 } }), "wrong_type"),
        (json!({ "why": "x" }), "unknown_field"),
    ] {
        let answer = all.ask(Some(&all.own), "POST", &event("close"), Some(&body)).await?;
        ensure!(answer.code() == code, "{body}: {}", answer.json);
    }
    ensure!(all.audit(OWN).await?.len() == before, "what cannot be read is no act");
    pages_of_lines(&all, before).await?;
    all.end().await
}

/// The log in pages has each line once.
async fn pages_of_lines(all: &Organisers, count: usize) -> Result<()> {
    let (mut ids, mut next) = (Vec::new(), String::new());
    loop {
        let path = format!("/events/{OWN}/audit?limit=4{next}");
        let page = all.ask(Some(&all.own), "GET", &path, None).await?.good(200)?;
        let items = page.json["items"].as_array().context("items")?;
        ids.extend(items.iter().map(|line| line["id"].to_string()));
        let Some(cursor) = page.json["next"].as_str() else { break };
        next = format!("&before={cursor}");
    }
    ensure!(ids.len() == count, "{} of {count}", ids.len());
    ensure!(ids.iter().collect::<BTreeSet<_>>().len() == count, "each once");
    Ok(())
}

/// The submissions that an api has on its map.
async fn pins(all: &Organisers, api: usize) -> Result<Vec<String>> {
    let path = format!("/api/v1/events/{OWN}/pins?bbox=-180,-85,180,85&zoom=14");
    let map = all.ask_with(api, "GET", &path, &[], None).await?.good(200)?;
    let pins = map.json["features"].as_array().context("features")?.iter();
    let id = |pin: &Value| pin["properties"]["submission"].as_str().map(str::to_owned);
    Ok(pins.filter_map(id).collect())
}

async fn wait_pins(all: &Organisers, wanted: &[&str]) -> Result<()> {
    for api in 0..all.stage.apis.all.len() {
        wait::until(format!("{wanted:?} on the map of api {api}"), PATIENCE, || async {
            Ok((pins(all, api).await? == wanted).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// What is hidden leaves every map, an earlier success of the same participant shows again, and the
/// participant's own document says what it said.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_leaves_every_map_at_once() -> Result<()> {
    let all = Organisers::with(2).await?;
    let same = || doc! { "participant.key": "name:gordon" };
    let at =
        |seconds: i64| DateTime::from_millis(DateTime::now().timestamp_millis() + seconds * 1000);
    let early = doc! { "verdict.at": at(-60) };
    let first = all
        .plant_with("Gordon", "passed", {
            let mut d = same();
            d.extend(early);
            d
        })
        .await?;
    wait_pins(&all, &[&first]).await?;
    let second = all.plant_with("Gordon", "passed", same()).await?;
    wait_pins(&all, &[&second]).await?;
    let act = |id: &str, what: &str| format!("/submissions/{id}/{what}");
    let shown = all.ask(None, "GET", &format!("/api/v1/submissions/{second}"), None).await?;

    let hidden = all.ask(Some(&all.own), "POST", &act(&second, "hide"), None).await?.good(200)?;
    ensure!(hidden.json["hidden"] == true && hidden.json["state"] == "passed", "{}", hidden.json);
    let text = "Gordon <contact@example.org>";
    ensure!(hidden.json["contact"] == text, "organisers see how to reach them");
    wait_pins(&all, &[&first]).await?;
    let public = all.ask(None, "GET", &format!("/api/v1/submissions/{second}"), None).await?;
    for field in ["state", "verdict", "participant", "place"] {
        ensure!(public.json[field] == shown.json[field], "{field}: {}", public.json);
    }
    ensure!(!public.json.to_string().contains("contact@"), "{}", public.json);
    all.ask(Some(&all.operator), "POST", &act(&first, "hide"), None).await?.good(200)?;
    wait_pins(&all, &[]).await?;
    let revision = hidden.json["revision"].as_i64().context("a revision")?;
    let again = all.ask(Some(&all.own), "POST", &act(&second, "hide"), None).await?.good(200)?;
    ensure!(again.json["revision"] == revision, "again changes nothing: {}", again.json);
    let back = all.ask(Some(&all.own), "POST", &act(&second, "unhide"), None).await?.good(200)?;
    ensure!(back.json["hidden"] == false && back.json["revision"] == revision + 1);
    wait_pins(&all, &[&second]).await?;
    all.end().await
}

/// A closed event takes nothing at any api, says since when and by whom it is closed, and what was
/// taken in before goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_event_takes_nothing_until_it_is_reopened() -> Result<()> {
    let all = Organisers::with(2).await?;
    let client = all.stage.apis.client(1)?;
    let keyed = all.stage.submission("Early").key("k1");
    ensure!(client.post(&keyed).await?.status == 202);
    let closed = all.ask(Some(&all.own), "POST", &format!("/events/{OWN}/close"), None).await?;
    let closed = closed.good(200)?;
    ensure!(
        closed.json["open"] == false && closed.json["closed"]["by"] == "Ann",
        "{}",
        closed.json
    );
    let since = closed.text("/closed/at")?;

    let refused = client.post(&all.stage.submission("Late")).await?;
    ensure!(refused.status == 409 && refused.json["code"] == "event_closed", "{}", refused.text);
    let detail = refused.json["detail"].as_str().unwrap_or_default();
    ensure!(detail.contains("organisers") && detail.contains(&since[..19]), "{detail}");
    let old = json!({ "name": "Late", "location": "Berlin", "repo": ["x/y"], "vote": "Cats" });
    let old = all.ask_with(1, "POST", "/api/../competition", &[], Some(&old)).await?;
    ensure!(old.status != 200, "{}", old.json);
    let replayed = client.post(&keyed).await?;
    ensure!(replayed.status == 202, "what came before is told again: {}", replayed.text);
    for api in 0..2 {
        let path = format!("/api/v1/events/{OWN}");
        // An api remembers for a second which are closed.
        let shown = wait::until("it is shown as closed", PATIENCE, || async {
            let shown = all.ask_with(api, "GET", &path, &[], None).await?.good(200)?;
            Ok((shown.json["open"] == false).then_some(shown))
        })
        .await?;
        ensure!(shown.json["closed_at"] == since.as_str(), "{}", shown.json);
        ensure!(!shown.json.to_string().contains("Ann"), "who did it is not public");
        let listed = all.ask_with(api, "GET", "/api/v1/events", &[], None).await?;
        let events = listed.json["events"].as_array().context("events")?;
        let open = |slug: &str| events.iter().any(|e| e["slug"] == slug && e["open"] == true);
        ensure!(!open(OWN) && open(OTHER), "{}", listed.json);
    }
    let listed = portcall(&all.stage, &["event", "list"]).await?;
    ensure!(listed.stdout.contains("closed by Ann"), "{listed:?}");
    // Another version of the rules opens nothing.
    let rules = all.ask(Some(&all.own), "GET", &format!("/events/{OWN}/rules"), None).await?;
    let source = rules.text("/source")?.replace("Birthday", "Anniversary");
    let body = json!({ "source": source });
    all.ask(Some(&all.own), "PUT", &format!("/events/{OWN}/rules"), Some(&body))
        .await?
        .good(200)?;
    ensure!(client.post(&all.stage.submission("Late")).await?.status == 409);

    let path = format!("/events/{OWN}/reopen");
    let open = all.ask(Some(&all.operator), "POST", &path, None).await?.good(200)?;
    ensure!(open.json["open"] == true && open.json["closed"].is_null(), "{}", open.json);
    ensure!(client.post(&all.stage.submission("Late")).await?.status == 202);
    all.end().await
}

/// Row W08: a search compares text; what would be an operator elsewhere is refused or found as text.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_by_text_and_obeys_nothing() -> Result<()> {
    let all = Organisers::with(1).await?;
    let path = format!("/events/{OWN}/submissions");
    let [ann, ben, odd] = [
        all.plant("Ann", "passed").await?,
        all.plant("Ben", "failed").await?,
        all.plant("a.*(b)$", "queued").await?,
    ];
    let of_another = doc! { "event": OTHER };
    all.plant_with("Ann of another event", "passed", of_another).await?;
    let of = bson::Uuid::parse_str(&ann)?;
    all.plant_with("Ann's trial", "passed", doc! { "trial_of": of }).await?;
    all.ask(Some(&all.own), "POST", &format!("/submissions/{ben}/hide"), None).await?.good(200)?;
    for (query, found) in [
        ("", vec![&odd, &ben, &ann]),
        ("?q=ann", vec![&ann]),
        (&*format!("?q={ben}"), vec![&ben]),
        ("?q=.*", vec![&odd]),
        ("?q=^A", vec![]),
        ("?q=.", vec![&odd, &ben, &ann]),
        ("?q=$where", vec![]),
        ("?q={%22$gt%22:%22%22}", vec![]),
        ("?state=passed", vec![&ann]),
        ("?reason=not_listening", vec![&ben]),
        ("?hidden=true", vec![&ben]),
        ("?hidden=false&q=nn", vec![&ann]),
        ("?country=us", vec![&odd, &ben, &ann]),
        ("?country=DE", vec![]),
    ] {
        let page =
            all.ask(Some(&all.own), "GET", &format!("{path}{query}"), None).await?.good(200)?;
        let ids: Vec<&str> = page.json["items"]
            .as_array()
            .context("items")?
            .iter()
            .filter_map(|item| item["id"].as_str())
            .collect();
        // An image's reference has a dot, and a registry's address does.
        ensure!(ids == found, "{query}: {ids:?}, {found:?}");
        ensure!(!page.json.to_string().contains("contact@"), "a list has no contacts");
    }
    for (query, status, code) in [
        ("?q[$regex]=.*", 400, "unknown_field"),
        ("?state[$ne]=passed", 400, "unknown_field"),
        ("?$where=1", 400, "unknown_field"),
        ("?q=a&q=b", 400, "duplicate_field"),
        ("?state=open", 422, "state_unknown"),
        ("?hidden=1", 422, "invalid_value"),
        ("?country=USA", 422, "country_invalid"),
        ("?limit=0", 422, "limit_invalid"),
        ("?limit=201", 422, "limit_invalid"),
        ("?after=x", 422, "cursor_invalid"),
        ("?q=%00", 422, "character_not_allowed"),
    ] {
        let answer = all.ask(Some(&all.own), "GET", &format!("{path}{query}"), None).await?;
        ensure!((answer.status, answer.code()) == (status, code), "{query}: {}", answer.json);
    }
    for n in 0..5 {
        all.plant(&format!("More {n}"), "queued").await?;
    }
    let (mut ids, mut next) = (Vec::new(), String::new());
    loop {
        let query = format!("{path}?limit=3{next}");
        let page = all.ask(Some(&all.own), "GET", &query, None).await?.good(200)?;
        let items = page.json["items"].as_array().context("items")?;
        ids.extend(items.iter().map(|item| item["id"].to_string()));
        let Some(cursor) = page.json["next"].as_str() else { break };
        next = format!("&after={cursor}");
    }
    ensure!(ids.len() == 8 && ids.is_sorted_by(|a, b| a > b), "{ids:?}");
    all.end().await
}
