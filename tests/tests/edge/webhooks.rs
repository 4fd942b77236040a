//! Webhooks: what organisers' receivers are told, by whom, how often, and where nothing is sent.
//!
//! A receiver is told at least once, always with the same `webhook-id`; exactly once as long as no
//! process dies between sending and noting it, however many apis there are.

mod receiver;

use std::{fmt::Write as _, fs, time::Duration};

use anyhow::{Context, Result, ensure};
use bson::{Bson, Document};
use portcall_tests::{
    Event,
    parts::{
        client::{Answer, Client},
        given, mongo,
        process::{Ended, ask},
        silent::Silent,
    },
    wait,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use self::receiver::{Received, Receiver};
use super::stage::{JSON, Stage};

const PATIENCE: Duration = Duration::from_secs(30);
/// So long nothing more may come.
const QUIET: Duration = Duration::from_secs(4);
const EVENT: &str = "/api/v1/admin/events/birthday-3/webhooks";

/// Apis that may call these receivers, and an organiser.
struct World {
    stage: Stage,
    organiser: String,
}

impl World {
    async fn with(apis: usize, private: &str) -> Result<Self> {
        let mut world = Self::without_key(private).await?;
        let key = world.stage.apis.dir().join("seal.key");
        fs::write(&key, "5a".repeat(32))?;
        world.stage.apis.set("PORTCALL_SEAL_KEY_FILE", key.display());
        for _ in 0..apis {
            world.stage.apis.start().await?;
        }
        Ok(world)
    }

    async fn without_key(private: &str) -> Result<Self> {
        let stage = Stage::bare(&[("PORTCALL_PRIVATE_WEBHOOKS", private)]).await?;
        let organiser = token(&stage, "birthday-3").await?;
        Ok(Self { stage, organiser })
    }

    fn client(&self) -> Result<Client> {
        self.stage.client()
    }

    async fn admin(&self, method: Method, path: &str, body: Option<Value>) -> Result<Answer> {
        let bearer = format!("Bearer {}", self.organiser);
        let body = body.map(|body| body.to_string().into_bytes());
        let mut headers = vec![("authorization", bearer.as_str())];
        if body.is_some() {
            headers.push(JSON);
        }
        self.client()?.request(method, path, &headers, body).await
    }

    /// A webhook that leads there: its id and its secret.
    async fn webhook(&self, url: &str) -> Result<(String, String)> {
        let made = self.admin(Method::POST, EVENT, Some(json!({ "url": url }))).await?;
        ensure!(made.status == StatusCode::CREATED, "{} {}", made.status, made.text);
        let text = |name: &str| made.json[name].as_str().map(str::to_owned).context("a text");
        Ok((text("id")?, text("secret")?))
    }

    async fn ping(&self, webhook: &str) -> Result<String> {
        let path = format!("/api/v1/admin/webhooks/{webhook}/ping");
        let answer = self.admin(Method::POST, &path, None).await?;
        ensure!(answer.status == StatusCode::ACCEPTED, "{} {}", answer.status, answer.text);
        answer.json["delivery"].as_str().map(str::to_owned).context("a delivery")
    }

    async fn deliveries(&self, webhook: &str, query: &str) -> Result<Value> {
        let path = format!("/api/v1/admin/webhooks/{webhook}/deliveries{query}");
        let answer = self.admin(Method::GET, &path, None).await?;
        ensure!(answer.status == StatusCode::OK, "{} {}", answer.status, answer.text);
        Ok(answer.json)
    }

    /// The newest delivery, once it is like that.
    async fn newest(&self, webhook: &str, like: impl Fn(&Value) -> bool) -> Result<Value> {
        wait::until("the newest delivery", PATIENCE, || async {
            let newest = self.deliveries(webhook, "?limit=1").await?["deliveries"][0].take();
            Ok(like(&newest).then_some(newest))
        })
        .await
    }

    /// Submits and cancels; the submission's id.
    async fn cancelled(&self, name: &str) -> Result<String> {
        let submission = self.stage.submission(name).with("/participant/contact", json!("c@x.y"));
        let accepted = self.client()?.submit(&submission).await?;
        let secret = accepted.document["secret"].as_str().context("a secret")?;
        let headers = [("authorization", &*format!("Bearer {secret}"))];
        let path = format!("/api/v1/submissions/{}", accepted.id);
        let gone = self.client()?.request(Method::DELETE, &path, &headers, None).await?;
        ensure!(gone.status == StatusCode::NO_CONTENT, "{} {}", gone.status, gone.text);
        Ok(accepted.id)
    }

    fn logs(&self) -> String {
        self.stage.apis.all.iter().map(|api| api.process.log()).collect()
    }
}

/// A token for an event.
async fn token(stage: &Stage, event: &str) -> Result<String> {
    portcall(stage, &["token", "create", "--event", event, "--name", "hooks"]).await
}

/// What the operator's program answers.
async fn portcall(stage: &Stage, words: &[&str]) -> Result<String> {
    let (uri, database) = stage.apis.database();
    let settings = [("PORTCALL_MONGODB_URI", uri), ("PORTCALL_MONGODB_DATABASE", database)];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let made = ask(&given::program("portcall")?, words, &settings, PATIENCE).await?;
    ensure!(made.ended == Ended::Code(0), "{words:?}: {made:?}");
    Ok(made.stdout.trim().to_owned())
}

/// HMAC-SHA256 (RFC 2104), from scratch: this is what a receiver does.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let keyed = |pad: u8, words: &[u8]| {
        let mut hash = Sha256::new();
        hash.update(block.map(|byte| byte ^ pad));
        hash.update(words);
        hash.finalize().to_vec()
    };
    keyed(0x5c, &keyed(0x36, message))
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn from_base64(text: &str) -> Result<Vec<u8>> {
    let (mut bits, mut count, mut out) = (0u32, 0, Vec::new());
    for byte in text.trim_end_matches('=').bytes() {
        let digit = DIGITS.iter().position(|digit| *digit == byte).context("base64")?;
        bits = (bits << 6) | u32::try_from(digit)?;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from((bits >> count) & 0xff)?);
        }
    }
    Ok(out)
}

/// What a receiver finds by the rules of the specification.
fn is_signed(received: &Received, secret: &str) -> Result<bool> {
    let key = from_base64(secret.strip_prefix("whsec_").context("a secret")?)?;
    let mut message = format!("{}.{}.", received.id(), received.header("webhook-timestamp"));
    message.push_str(&received.body);
    let sent = received.header("webhook-signature");
    Ok(from_base64(sent.strip_prefix("v1,").context("v1")?)? == hmac(&key, message.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_told_once_signed_and_without_anything_personal() -> Result<()> {
    let receiver = Receiver::start(&[200]).await?;
    let world = World::with(2, &receiver.host()).await?;
    world.cancelled("Before").await?;
    let (webhook, secret) = world.webhook(&receiver.url("/portcall?key=1")).await?;
    ensure!(from_base64(&secret[6..])?.len() == 32, "{secret}");
    let id = world.cancelled("Gordon").await?;
    let told = receiver.one(PATIENCE).await?;
    ensure!(told.line == "POST /portcall?key=1 HTTP/1.1", "{}", told.line);
    ensure!(told.header("content-type") == "application/json", "{told:?}");
    let message: Value = serde_json::from_str(&told.body)?;
    ensure!(message["type"] == "submission.cancelled", "{message:#}");
    ensure!(message["timestamp"].is_string(), "{message:#}");
    // The public document, as anybody may read it.
    let mut public = world.client()?.document(&id).await?;
    public.as_object_mut().context("a document")?.remove("queue");
    let mut data = message["data"].clone();
    data.as_object_mut().context("data")?.remove("queue");
    ensure!(data == public, "{data:#} {public:#}");
    ensure!(!told.body.contains("c@x.y") && told.body.contains("Gordon"), "{}", told.body);
    // The signature is good, and one of another secret or body is not.
    ensure!(is_signed(&told, &secret)?, "{told:?}");
    let other = Received { body: told.body.replace("Gordon", "Gordo"), ..told.clone() };
    ensure!(!is_signed(&other, &secret)?, "another body");
    ensure!(!is_signed(&told, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?, "another secret");

    let newest = world.newest(&webhook, |one| one["state"] == "delivered").await?;
    ensure!(newest["id"] == told.id() && newest["submission"] == id, "{newest:#}");
    ensure!(newest["last"]["code"] == 200 && newest["tries"] == 1, "{newest:#}");
    copies_are_told_unless_they_are_trials(&world, &receiver, &id).await?;
    secret_is_nowhere(&world, &webhook, &secret, &receiver).await?;
    world.stage.end().await
}

/// What is written into the database is told like anything else, and a trial of a re-grade is not.
async fn copies_are_told_unless_they_are_trials(
    world: &World,
    receiver: &Receiver,
    id: &str,
) -> Result<()> {
    copy(world, id, |copy| drop(copy.insert("trial_of", bson::Uuid::new()))).await?;
    copy(world, id, |_| {}).await?;
    receiver.one(PATIENCE).await?;
    tokio::time::sleep(QUIET).await;
    let all = receiver.all();
    ensure!(all.len() == 2, "each once, the trial never: {all:#?}");
    Ok(())
}

/// Stores a submission like that one, but for this.
async fn copy(world: &World, id: &str, change: impl FnOnce(&mut Document)) -> Result<()> {
    let (uri, database) = world.stage.apis.database();
    let original = Bson::from(bson::Uuid::parse_str(id)?);
    let all = mongo::dump(uri, database).await?;
    let found = all.into_iter().find(|(_, document)| document.get("_id") == Some(&original));
    let mut copy = found.context("the submission")?.1;
    copy.insert("_id", bson::Uuid::new());
    copy.remove("idempotency");
    change(&mut copy);
    let client = mongodb::Client::with_uri_str(uri).await?;
    client.database(database).collection("submissions").insert_one(copy).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_while_nobody_looked_is_told_later() -> Result<()> {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let receiver = Receiver::start(&[200]).await?;
    let mut world = World::with(1, &receiver.host()).await?;
    world.webhook(&receiver.url("/")).await?;
    let id = world.cancelled("Gordon").await?;
    receiver.one(PATIENCE).await?;
    world.stage.apis.stop(0).await?;
    let now = bson::DateTime::now();
    copy(&world, &id, |_| {}).await?;
    copy(&world, &id, |copy| drop(copy.insert("regraded", vec![bson::doc! { "at": now }]))).await?;
    // What was erased is not told, nor what happened before there was the webhook and only changed now.
    copy(&world, &id, |copy| drop(copy.insert("erased_at", now))).await?;
    copy(&world, &id, |copy| {
        let before = bson::DateTime::from_millis(now.timestamp_millis() - DAY);
        copy.get_document_mut("verdict").map(|verdict| verdict.insert("at", before)).ok();
    })
    .await?;
    world.stage.apis.restart(0).await?;
    let told = [receiver.one(PATIENCE).await?, receiver.one(PATIENCE).await?];
    let mut types = told.map(|one| serde_json::from_str::<Value>(&one.body).unwrap_or_default());
    types.sort_by_key(|message| message["type"].to_string());
    ensure!(types[0]["type"] == "submission.cancelled", "{types:#?}");
    ensure!(types[1]["type"] == "submission.regraded", "{types:#?}");
    tokio::time::sleep(QUIET).await;
    ensure!(receiver.all().len() == 3, "{:#?}", receiver.all());
    world.stage.end().await
}

async fn secret_is_nowhere(
    world: &World,
    webhook: &str,
    secret: &str,
    receiver: &Receiver,
) -> Result<()> {
    let plain = secret.trim_start_matches("whsec_");
    let bytes = from_base64(plain)?;
    let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let list = world.admin(Method::GET, EVENT, None).await?;
    let one = world.admin(Method::GET, &format!("/api/v1/admin/webhooks/{webhook}"), None).await?;
    let (uri, database) = world.stage.apis.database();
    let dump = mongo::dump(uri, database).await?;
    let mut raw = Vec::new();
    for (_, document) in &dump {
        document.to_writer(&mut raw)?;
    }
    let contains = |what: &[u8]| raw.windows(what.len()).any(|part| part == what);
    ensure!(contains(receiver.url("/portcall").as_bytes()), "the control: webhooks are dumped");
    let places = [("list", list.text), ("webhook", one.text), ("logs", world.logs())];
    for what in [plain, hex.as_str(), world.organiser.as_str()] {
        for (place, text) in &places {
            ensure!(!text.contains(what), "{what} in {place}: {text}");
        }
        ensure!(!contains(what.as_bytes()), "{what} is in the database");
    }
    ensure!(!contains(&bytes), "the secret's bytes are in the database");
    // Where it leads to may be its receiver's secret, and is told to organisers only.
    ensure!(!world.logs().contains("key=1"), "{}", world.logs());
    let acts = dump.iter().filter(|(at, line)| {
        let is = |field: &str, word: &str| line.get_str(field).ok() == Some(word);
        at == "audit" && is("what", "create_webhook") && is("outcome", "done")
    });
    ensure!(acts.count() == 1, "the audit log has a line of it");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_is_asked_again_with_the_same_id() -> Result<()> {
    let receiver = Receiver::start(&[500, 200]).await?;
    let world = World::with(2, &receiver.host()).await?;
    let (webhook, secret) = world.webhook(&receiver.url("/")).await?;
    let delivery = world.ping(&webhook).await?;
    let (first, second) = (receiver.one(PATIENCE).await?, receiver.one(PATIENCE).await?);
    ensure!(first.id() == delivery && second.id() == delivery, "{first:?} {second:?}");
    let apart = second.at - first.at;
    ensure!((3..=9).contains(&apart.as_secs()), "{apart:?}");
    ensure!(is_signed(&first, &secret)? && is_signed(&second, &secret)?, "each is signed");
    let times = [&first, &second].map(|one| one.header("webhook-timestamp").to_owned());
    ensure!(times[0] < times[1], "with the time at which it was sent: {times:?}");
    ensure!(first.body == second.body && first.body.contains("webhook.ping"), "{}", first.body);
    let newest = world.newest(&webhook, |one| one["state"] == "delivered").await?;
    ensure!(newest["tries"] == 2 && newest["next_try"].is_null(), "{newest:#}");
    ensure!(newest["last"]["excerpt"] == "answer 200", "{newest:#}");
    tokio::time::sleep(QUIET).await;
    ensure!(receiver.all().len() == 2, "that was all");
    let mut sum = 0.0;
    for api in &world.stage.apis.all {
        sum += api.metric("portcall_webhook_deliveries_total").await?;
    }
    ensure!(sum >= 2.0, "each try was counted: {sum}");
    world.stage.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_redirect_is_followed_and_more_time_is_given_to_whoever_asks_for_it() -> Result<()> {
    let elsewhere = Receiver::start(&[200]).await?;
    let there = format!("location: {}\r\n", elsewhere.url("/"));
    let receiver = Receiver::saying(&[(307, &there), (503, "retry-after: 600\r\n")]).await?;
    let private = format!("{},{}", receiver.host(), elsewhere.host());
    let world = World::with(1, &private).await?;
    let (webhook, _) = world.webhook(&receiver.url("/")).await?;
    world.ping(&webhook).await?;
    let newest = world.newest(&webhook, |one| one["last"]["code"] == 307).await?;
    ensure!(newest["state"] == "pending" && newest["next_try"].is_string(), "{newest:#}");
    let newest = world.newest(&webhook, |one| one["last"]["code"] == 503).await?;
    let next = newest["next_try"].as_str().context("a next try")?;
    let next = time::OffsetDateTime::parse(next, &time::format_description::well_known::Rfc3339)?;
    let left = (next - time::OffsetDateTime::now_utc()).whole_seconds();
    ensure!((560..=600).contains(&left), "{left}");
    ensure!(elsewhere.all().is_empty(), "{:?}", elsewhere.all());
    // The control: it would have been there.
    let (control, _) = world.webhook(&elsewhere.url("/")).await?;
    world.ping(&control).await?;
    elsewhere.one(PATIENCE).await?;
    world.stage.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_gone_is_told_nothing_more() -> Result<()> {
    let receiver = Receiver::start(&[410]).await?;
    let world = World::with(1, &receiver.host()).await?;
    let (webhook, _) = world.webhook(&receiver.url("/")).await?;
    world.ping(&webhook).await?;
    receiver.one(PATIENCE).await?;
    let path = format!("/api/v1/admin/webhooks/{webhook}");
    wait::until("a webhook that is disabled", PATIENCE, || async {
        let shown = world.admin(Method::GET, &path, None).await?;
        Ok(shown.json["disabled_at"].is_string().then_some(()))
    })
    .await?;
    let newest = world.newest(&webhook, |one| one["state"] == "failed").await?;
    ensure!(newest["last"]["code"] == 410 && newest["tries"] == 1, "{newest:#}");
    let refused = world.admin(Method::POST, &format!("{path}/ping"), None).await?;
    ensure!(refused.status == 409 && refused.json["code"] == "webhook_disabled", "{refused:?}");
    world.cancelled("Gordon").await?;
    tokio::time::sleep(QUIET).await;
    ensure!(receiver.all().len() == 1, "{:?}", receiver.all());
    world.stage.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_to_what_is_not_on_the_internet() -> Result<()> {
    let receiver = Receiver::start(&[200]).await?;
    let mut world = World::with(1, &receiver.host()).await?;
    // While it is allowed it is reached: the control.
    let (webhook, _) = world.webhook(&receiver.url("/")).await?;
    world.ping(&webhook).await?;
    receiver.one(PATIENCE).await?;
    // What was allowed and is not any more: refused when it is sent.
    world.stage.apis.stop(0).await?;
    world.stage.apis.set("PORTCALL_PRIVATE_WEBHOOKS", "");
    world.stage.apis.restart(0).await?;
    world.ping(&webhook).await?;
    let newest = world.newest(&webhook, |one| one["last"].is_object()).await?;
    ensure!(newest["state"] == "pending" && newest["last"]["code"].is_null(), "{newest:#}");
    let port = receiver.host().rsplit_once(':').context("a port")?.1.to_owned();
    for (url, code) in [
        (receiver.url("/"), "webhook_url_invalid"),
        ("https://127.0.0.1/".to_owned(), "webhook_host_denied"),
        ("https://localhost/".to_owned(), "webhook_host_denied"),
        ("https://[::1]/".to_owned(), "webhook_host_denied"),
        (format!("https://127.0.0.1:{port}/"), "webhook_url_invalid"),
        ("https://hooks.example:8443/".to_owned(), "webhook_url_invalid"),
        ("https://169.254.169.254/latest/meta-data".to_owned(), "webhook_host_denied"),
        ("https://10.0.0.1/".to_owned(), "webhook_host_denied"),
        ("https://0.0.0.0/".to_owned(), "webhook_host_denied"),
        ("https://[64:ff9b::7f00:1]/".to_owned(), "webhook_host_denied"),
        ("https://[::ffff:7f00:1]/".to_owned(), "webhook_host_denied"),
        (format!("https://[::ffff:127.0.0.1]:{port}/"), "webhook_url_invalid"),
        (format!("https://2130706433:{port}/"), "webhook_url_invalid"),
        (format!("https://0177.0.0.1:{port}/"), "webhook_url_invalid"),
        (format!("https://localhost.:{port}/"), "webhook_url_invalid"),
        (format!("https://u:p@127.0.0.1:{port}/"), "webhook_url_invalid"),
        ("file:///etc/passwd".to_owned(), "webhook_url_invalid"),
        ("https://no-such-host.invalid/".to_owned(), "webhook_host_denied"),
    ] {
        let refused = world.admin(Method::POST, EVENT, Some(json!({ "url": url }))).await?;
        ensure!(refused.status == StatusCode::UNPROCESSABLE_ENTITY, "{url}: {refused:?}");
        let error = &refused.json["errors"][0];
        ensure!(error["code"] == code && error["pointer"] == "/url", "{url}: {}", refused.text);
    }
    ensure!(receiver.all().len() == 1, "{:?}", receiver.all());
    world.stage.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_receiver_holds_up_nobody_else() -> Result<()> {
    let (silent, quick) = (Silent::start().await?, Receiver::start(&[200]).await?);
    let world = World::with(1, &format!("{},{}", silent.host(), quick.host())).await?;
    let (slow, _) = world.webhook(&format!("http://{}/", silent.host())).await?;
    let (webhook, _) = world.webhook(&quick.url("/")).await?;
    // More than one process calls at once.
    for _ in 0..20 {
        world.ping(&slow).await?;
    }
    world.ping(&webhook).await?;
    quick.one(Duration::from_secs(5)).await?;
    ensure!((1..=2).contains(&silent.asked()), "{} at once", silent.asked());
    // Pages of what waits: each once.
    let mut seen = std::collections::BTreeSet::new();
    let mut query = "?limit=7".to_owned();
    for page in 1.. {
        let deliveries = world.deliveries(&slow, &query).await?;
        let ids = deliveries["deliveries"].as_array().context("deliveries")?;
        seen.extend(ids.iter().filter_map(|one| Some(one["id"].as_str()?.to_owned())));
        match deliveries["next"].as_str() {
            Some(next) => query = format!("?limit=7&before={next}"),
            None => {
                ensure!(page == 3, "{page} pages");
                break;
            }
        }
    }
    ensure!(seen.len() == 20, "{}", seen.len());
    world.stage.end().await
}

/// An event with as many slow receivers as it may have, and a backlog for each, keeps no other waiting.
#[tokio::test(flavor = "multi_thread")]
async fn slow_receivers_of_one_event_hold_up_no_other() -> Result<()> {
    let (silent, quick) = (Silent::start().await?, Receiver::start(&[200]).await?);
    let mut world = World::with(1, &format!("{},{}", silent.host(), quick.host())).await?;
    let file = world.stage.apis.dir().join("other.toml");
    std::fs::write(&file, Event::config().slug("other").toml())?;
    let file = file.to_str().context("a path")?;
    portcall(&world.stage, &["event", "apply", file]).await?;
    world.organiser =
        portcall(&world.stage, &["token", "create", "--operator", "--name", "hooks"]).await?;
    let mut slow = Vec::new();
    for n in 0..10 {
        slow.push(world.webhook(&format!("http://{}/{n}", silent.host())).await?.0);
    }
    // Whose webhooks there are is looked up every second.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for webhook in &slow {
        for _ in 0..4 {
            world.ping(webhook).await?;
        }
    }
    wait::until("all places of that event are taken", PATIENCE, || async {
        Ok((silent.asked() >= 8).then_some(()))
    })
    .await?;
    // Each lasts for ten seconds.
    tokio::time::sleep(Duration::from_millis(300)).await;
    ensure!(silent.asked() == 8, "{} at once", silent.asked());
    let other = EVENT.replace("birthday-3", "other");
    let wish = Some(json!({ "url": quick.url("/") }));
    let made = world.admin(Method::POST, &other, wish).await?;
    world.ping(made.json["id"].as_str().context("an id")?).await?;
    quick.one(Duration::from_secs(5)).await?;
    world.stage.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_have_webhooks_and_how_many() -> Result<()> {
    let receiver = Receiver::start(&[200]).await?;
    let mut world = World::without_key(&receiver.host()).await?;
    world.stage.apis.start().await?;
    let wish = || Some(json!({ "url": receiver.url("/"), "on": ["verdict", "regrade"] }));
    let refused = world.admin(Method::POST, EVENT, wish()).await?;
    ensure!(refused.status == 409 && refused.json["code"] == "seal_key_missing", "{refused:?}");
    ensure!(refused.text.contains("PORTCALL_SEAL_KEY_FILE"), "{}", refused.text);
    world.stage.end().await?;

    let mut world = World::with(1, &receiver.host()).await?;
    for bad in [
        json!({}),
        json!({ "url": receiver.url("/"), "on": [] }),
        json!({ "url": receiver.url("/"), "on": ["verdicts"] }),
        json!({ "url": receiver.url("/"), "secret": "mine" }),
    ] {
        let refused = world.admin(Method::POST, EVENT, Some(bad.clone())).await?;
        ensure!(refused.status.is_client_error(), "{bad}: {refused:?}");
    }
    let mut made = Vec::new();
    for n in 1..=11 {
        let answer = world.admin(Method::POST, EVENT, wish()).await?;
        ensure!(answer.status == if n <= 10 { 201 } else { 409 }, "{n}: {answer:?}");
        made.push(answer);
    }
    ensure!(made[10].json["code"] == "too_many_webhooks", "{}", made[10].text);
    ensure!(made[0].json["on"] == json!(["verdict", "regrade"]), "{}", made[0].text);
    let path = format!("/api/v1/admin/webhooks/{}", made[0].json["id"].as_str().context("an id")?);
    // What it is not told of.
    world.cancelled("Gordon").await?;
    // Others' webhooks are not there for an organiser of another event, nor without a token.
    let file = world.stage.apis.dir().join("other.toml");
    fs::write(&file, Event::config().slug("other").toml())?;
    let file = file.to_str().context("a path that is not UTF-8")?;
    portcall(&world.stage, &["event", "apply", file]).await?;
    let own = std::mem::replace(&mut world.organiser, token(&world.stage, "other").await?);
    ensure!(world.admin(Method::GET, EVENT, None).await?.status == 403, "the event's");
    ensure!(world.admin(Method::POST, EVENT, wish()).await?.status == 403, "one more");
    for method in [Method::GET, Method::DELETE] {
        ensure!(world.admin(method, &path, None).await?.status == 404, "one of them");
    }
    for ending in ["/deliveries", "/deliveries?limit=0"] {
        let answer = world.admin(Method::GET, &format!("{path}{ending}"), None).await?;
        ensure!(answer.status == 404 || ending.ends_with('0'), "{answer:?}");
    }
    ensure!(world.client()?.get(&path).await?.status == 401, "without a token");
    world.organiser = own;
    for bad in ["?limit=0", "?limit=101", "?before=x", "?after=x"] {
        let answer = world.admin(Method::GET, &format!("{path}/deliveries{bad}"), None).await?;
        ensure!(answer.status.is_client_error(), "{bad}: {answer:?}");
    }
    ensure!(world.admin(Method::DELETE, &path, None).await?.status == 204, "deleted");
    ensure!(world.admin(Method::GET, &path, None).await?.status == 404, "gone");
    ensure!(world.admin(Method::POST, EVENT, wish()).await?.status == 201, "there is room again");
    tokio::time::sleep(QUIET).await;
    ensure!(receiver.all().is_empty(), "{:?}", receiver.all());
    world.stage.end().await
}
