//! Secrets are where they belong: twelve of them and a contact are planted, the system is used and abused, and
//! then none is in a log, a metric, a span, an export, or an answer other than the one that tells it.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use bson::doc;
use portcall_tests::parts::{
    client::{Answer, Client},
    collector::Collector,
    given, mongo,
    process::{Ended, run},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::stage::{JSON, POSTS, Stage};

const PATIENCE: Duration = Duration::from_secs(60);
const CONTACT: &str = "planted-contact@example.org";
const KEY: &str = "planted-idempotency-key-5f0c";
const REGISTRY: &str = "planted-registry-password-77";
const GARBAGE: &str = "planted-authorization-90ab";
const COOKIE: &str = "planted-cookie-4411";
const HOOK: &str = "planted-webhook-path-T0B1";
const QUERY: &str = "planted-query-token-d00d";
const PASSWORD: &str = "planted-mongo-password-3c";
/// What is no secret: the control that a search finds what is there.
const NAME: &str = "Planted Participant";

/// All that was seen, by where.
#[derive(Default)]
struct Seen(BTreeMap<String, String>);

impl Seen {
    fn answer(&mut self, place: &str, answer: &Answer) {
        let all = format!("{} {:?}\n{}\n", answer.status, answer.headers, answer.text);
        self.0.entry(place.to_owned()).or_default().push_str(&all);
    }

    fn of(&self, what: &str) -> Vec<&str> {
        self.0.iter().filter(|(_, text)| text.contains(what)).map(|(at, _)| at.as_str()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_secrets_are_found_nowhere() -> Result<()> {
    for format in ["text", "json"] {
        planted(format).await.with_context(|| format!("logs as {format}"))?;
    }
    Ok(())
}

async fn planted(format: &str) -> Result<()> {
    let settings = [("PORTCALL_LOG", "debug"), ("PORTCALL_LOG_FORMAT", format)];
    let mut stage = Stage::bare(&settings).await?;
    let seal = fresh("seal")?;
    let seal_file = stage.apis.dir().join("seal");
    std::fs::write(&seal_file, &seal)?;
    let with_password = user(&stage).await?;
    stage.apis = stage.apis.setting("PORTCALL_MONGODB_URI", &with_password);
    stage.apis = stage.apis.setting("PORTCALL_SEAL_KEY_FILE", seal_file.display());
    stage.apis.set("PORTCALL_PRIVATE_WEBHOOKS", "127.0.0.1:9");
    let collector = Collector::start().await?;
    stage.apis.set("PORTCALL_OTLP_ENDPOINT", collector.endpoint());
    stage.apis.start().await?;
    let tls = with_tls(&mut stage).await?;
    let token = token(&stage).await?;

    let client = stage.client()?;
    let mut seen = Seen::default();
    let secret = participant(&stage, &client, &mut seen).await?;
    abuse(&stage, &client, &secret, &mut seen).await?;
    let webhook = organiser(&client, &token, &mut seen).await?;
    for (n, api) in stage.apis.all.iter().enumerate() {
        let metrics = client.get(&format!("http://{}/metrics", api.ops)).await?;
        seen.0.insert(format!("metrics {n}"), metrics.text);
    }
    for n in 0..stage.apis.all.len() {
        seen.0.insert(format!("log {n}"), stage.apis.stop(n).await?);
    }
    // An api that ends has sent what it recorded.
    seen.0.insert("spans".to_owned(), collector.sent());

    let secrets: [(&str, &str, &[&str]); 13] = [
        ("the database's password", PASSWORD, &[]),
        ("the key that seals", &seal, &[]),
        ("the TLS key", &tls, &[]),
        ("the participant's secret", &secret, &["posted"]),
        ("the organiser's token", &token, &[]),
        ("the webhook's secret", &webhook, &["webhook made"]),
        ("an idempotency key", KEY, &[]),
        ("what a webhook's address ends with", HOOK, &["webhook made", "webhooks"]),
        (
            "a contact, which organisers are told",
            CONTACT,
            &["for the organiser", "export csv", "export json"],
        ),
        ("a registry's password", REGISTRY, &[]),
        ("an Authorization header", GARBAGE, &[]),
        ("a cookie", COOKIE, &[]),
        ("a token in a query", QUERY, &[]),
    ];
    for (what, text, told) in secrets {
        ensure!(text.len() >= 16, "{what} is too short to be looked for");
        let found: Vec<_> = seen.of(text).into_iter().filter(|at| !told.contains(at)).collect();
        ensure!(found.is_empty(), "{what} is in {found:?}");
    }
    // The controls: what is told is found where it is told, and logs and metrics are what was read.
    ensure!(seen.of(&secret) == ["posted"] && seen.of(&webhook) == ["webhook made"]);
    ensure!(seen.of(NAME).contains(&"posted"), "{:?}", seen.of(NAME));
    ensure!(seen.of("taken in").contains(&"log 0") && seen.of("mongodb://…@").contains(&"log 0"));
    ensure!(seen.of("POST /api/v1/events/{event}/submissions").contains(&"spans"), "no spans");
    ensure!(seen.of("portcall_admissions_total").contains(&"metrics 0"));
    ensure!(seen.of("birthday-3").iter().any(|at| at.starts_with("export")), "{:?}", seen.0.keys());
    stage.end().await
}

/// A user of the shared database, with the address that has its password.
async fn user(stage: &Stage) -> Result<String> {
    let (uri, database) = stage.apis.database();
    let rest = uri.strip_prefix("mongodb://").context("an address")?;
    let host = rest.split(['/', ',']).next().context("a host")?;
    let name = format!("planted-{database}");
    let roles = bson::bson!([{ "role": "readWrite", "db": database }]);
    let create = doc! { "createUser": &name, "pwd": PASSWORD, "roles": roles };
    mongo::ask(host.parse()?, create).await?;
    Ok(format!("mongodb://{name}:{PASSWORD}@{rest}&authSource=admin"))
}

/// One more api that has a key for TLS; the part of the key that is looked for.
async fn with_tls(stage: &mut Stage) -> Result<String> {
    let (key, certificate) = (stage.apis.dir().join("tls.key"), stage.apis.dir().join("tls.pem"));
    let path = |path: &Path| path.display().to_string();
    let (key_path, certificate_path) = (path(&key), path(&certificate));
    let arguments = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        &key_path,
        "-out",
        &certificate_path,
    ];
    let ran = run(Path::new("openssl"), &arguments, &[], PATIENCE).await?;
    ensure!(ran.0 == Ended::Code(0), "{ran:?}");
    for (name, value) in [
        ("PORTCALL_TLS", "files"),
        ("PORTCALL_TLS_CERT_FILE", &*certificate_path),
        ("PORTCALL_TLS_KEY_FILE", &key_path),
        ("PORTCALL_PUBLIC_URL", "https://localhost"),
    ] {
        stage.apis.set(name, value);
    }
    stage.apis.start().await?;
    let pem = std::fs::read_to_string(&key)?;
    Ok(pem.lines().nth(1).context("a key")?.to_owned())
}

async fn token(stage: &Stage) -> Result<String> {
    let (uri, database) = stage.apis.database();
    let settings = [("PORTCALL_MONGODB_URI", uri), ("PORTCALL_MONGODB_DATABASE", database)];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let arguments = ["token", "create", "--event", "birthday-3", "--name", "planted"];
    let (ended, output) =
        run(&given::program("portcall")?, &arguments, &settings, PATIENCE).await?;
    ensure!(ended == Ended::Code(0), "token create: {ended:?} {output}");
    let words = output.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'));
    words.max_by_key(|word| word.len()).map(str::to_owned).context("a token")
}

/// A participant with a contact and a key, who reads the document in every way; their secret.
async fn participant(stage: &Stage, client: &Client, seen: &mut Seen) -> Result<String> {
    let submission = stage.submission(NAME).with("/participant/contact", json!(CONTACT)).key(KEY);
    let posted = client.post(&submission).await?;
    ensure!(posted.status == 202, "{}", posted.text);
    seen.answer("posted", &posted);
    seen.answer("replayed", &client.post(&submission).await?);
    let reused = submission.clone().with("/answers/vote", json!("Dogs"));
    seen.answer("key reused", &client.post(&reused).await?);
    let id = posted.json["id"].as_str().context("an id")?;
    for path in [
        format!("/api/v1/submissions/{id}"),
        format!("/competition/{id}"),
        "/api/v1/events/birthday-3/stats".to_owned(),
        "/api/v1/events/birthday-3/pins?bbox=-180,-85,180,85&zoom=14".to_owned(),
    ] {
        seen.answer(&path, &client.get(&path).await?);
    }
    let live = format!("/api/v1/submissions/{id}/live");
    let live = client.live(&live, PATIENCE, |text| text.contains("data:")).await?;
    seen.0.insert("live".to_owned(), live);
    Ok(posted.json["secret"].as_str().context("a secret")?.to_owned())
}

/// Everything at the wrong place.
async fn abuse(stage: &Stage, client: &Client, secret: &str, seen: &mut Seen) -> Result<()> {
    let leaked = format!("http://user:{REGISTRY}@{}/app:1", stage.registry.host());
    let bare = format!("user:{REGISTRY}@{}/app:1", stage.registry.host());
    for image in [leaked, bare, stage.registry.reference("userinfo")] {
        let submission = stage.submission("Ann").with("/images/0", json!(image));
        seen.answer("refused image", &client.post(&submission).await?);
    }
    let bearer = format!("Bearer {GARBAGE}");
    let basic = format!("Basic {GARBAGE}");
    let own = format!("Bearer {secret}");
    let cookie = format!("session={COOKIE}");
    let body = stage.submission("Ann").body().to_string().into_bytes();
    for headers in [
        [JSON, ("authorization", &*bearer)],
        [JSON, ("authorization", &basic)],
        [JSON, ("authorization", &own)],
        [JSON, ("cookie", &cookie)],
        [JSON, ("x-api-key", GARBAGE)],
    ] {
        for path in ["/api/v1/admin/me", "/api/v1/events", "/nothing", "/api/v1/submissions/x"] {
            for method in [Method::GET, Method::DELETE, Method::POST] {
                let answer = client.request(method, path, &headers, Some(body.clone())).await?;
                seen.answer("abused", &answer);
            }
        }
    }
    for path in [
        format!("/api/v1/events?token={QUERY}"),
        format!("/api/v1/admin/me?token={QUERY}"),
        format!("/api/v1/admin/me?access_token={QUERY}"),
        format!("/api/v1/places?q=x&token={QUERY}"),
        format!("{POSTS}?token={QUERY}"),
    ] {
        for method in [Method::GET, Method::POST] {
            let body = Some(body.clone());
            seen.answer("in the query", &client.request(method, &path, &[JSON], body).await?);
        }
    }
    Ok(())
}

/// An organiser who makes a webhook, looks around and exports; the webhook's secret.
async fn organiser(client: &Client, token: &str, seen: &mut Seen) -> Result<String> {
    let authorization = format!("Bearer {token}");
    let headers = [JSON, ("authorization", &*authorization)];
    let base = "/api/v1/admin/events/birthday-3";
    let body = json!({ "url": format!("https://127.0.0.1:9/{HOOK}") });
    let made = client
        .request(Method::POST, &format!("{base}/webhooks"), &headers, Some(body.to_string().into()))
        .await?;
    ensure!(made.status.is_success(), "{} {}", made.status, made.text);
    seen.answer("webhook made", &made);
    for (place, path) in [
        ("webhooks", "/webhooks"),
        ("for the organiser", "/submissions?q=Planted"),
        ("export csv", "/export?format=csv"),
        ("export json", "/export?format=json"),
        ("audit", "/audit"),
        ("rules", "/rules"),
    ] {
        let answer = client.request(Method::GET, &format!("{base}{path}"), &headers, None).await?;
        ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.text);
        seen.answer(place, &answer);
    }
    let secret = |value: &Value| value["secret"].as_str().map(str::to_owned);
    secret(&made.json).context("a webhook's secret")
}

/// Thirty-two bytes in hex that nobody else has.
fn fresh(what: &str) -> Result<String> {
    let mut bytes = [0; 32];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)
        .with_context(|| what.to_owned())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
