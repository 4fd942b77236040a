//! Where the apis speak TLS themselves and the balancer hands TCP on (`infra/stack.tls.yaml`): whose
//! connection it is, TLS from end to end, what plain HTTP is for, and an api that is replaced.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use portcall_tests::{
    Event,
    parts::{
        apis::{Apis, OWN_IP},
        balancer::{Balancer, Speaks},
        given, mongo,
        names::Names,
        net,
        pebble::{Pebble, Plan},
        process::{Ended, run},
        tls::{Made, Trust},
    },
    wait,
};
use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::{
    front_stage::{ANYBODY, NAME, PUBLIC_URL, Somebody, before, found, said as said_over_tls},
    raw::{PATIENCE, said},
    stage::{JSON, POSTS},
};

const GET: &str = "GET /api/v1/events HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
const KEY: &str = "5eaf00d5eaf00d5eaf00d5eaf00d5eaf00d5eaf00d5eaf00d5eaf00d5eaf00d5";
/// Between two requests of a load, and how many of each kind there are at least before, while and after an
/// api is replaced.
const PACE: Duration = Duration::from_millis(25);
const SOME: usize = 40;

/// What the deployment sets for each api.
fn overlay() -> Result<Value> {
    let text = fs::read_to_string(given::checkout().join("infra/stack.tls.yaml"))?;
    Ok(serde_saphyr::from_str(&text)?)
}

/// Apis behind a balancer that hands TCP on.
struct Through {
    apis: Apis,
    balancer: Balancer,
    names: Names,
}

impl Through {
    /// None yet, with what the deployment sets, and with these settings.
    async fn of(settings: &[(&str, &str)]) -> Result<Self> {
        let mut apis = Apis::on(&mongo::shared().await?, &Event::config(), &[]).await?;
        let plain = net::free_address()?.port();
        let environment = overlay()?["services"]["api"]["environment"].clone();
        for (name, value) in environment.as_object().context("an environment")? {
            let value = value.as_str().context("text")?;
            // What a deployment is given, a test gives by itself.
            if !value.contains("${") && !name.ends_with("_ADDR") && name != "PORTCALL_TLS" {
                apis.set(name, value);
            }
        }
        apis.set("PORTCALL_API_PLAIN_ADDR", format!("{OWN_IP}:{plain}"));
        apis.set("PORTCALL_PUBLIC_URL", PUBLIC_URL);
        apis.set("PORTCALL_TRUSTED_PROXIES", "127.0.0.1/32");
        for (name, value) in settings {
            apis.set(name, value);
        }
        let names = Names::start().await?;
        let balancer = before(&apis, &names, Speaks::Tcp { plain }).await?;
        Ok(Self { apis, balancer, names })
    }

    /// None yet, with a certificate in files.
    async fn with_files(settings: &[(&str, &str)]) -> Result<(Self, Made)> {
        let mut through = Self::of(settings).await?;
        let made = Made::new(&[NAME], -60, 86_400)?;
        through.apis.set("PORTCALL_TLS", "files");
        for (file, text, variable) in [
            ("cert.pem", &made.chain, "PORTCALL_TLS_CERT_FILE"),
            ("key.pem", &made.key, "PORTCALL_TLS_KEY_FILE"),
        ] {
            let path = through.apis.dir().join(file);
            fs::write(&path, text)?;
            through.apis.set(variable, path.display());
        }
        Ok((through, made))
    }

    /// One more api, found by name once it is ready.
    async fn add(&mut self) -> Result<()> {
        let n = self.apis.start().await?;
        found(&self.apis, &self.names, n)
    }

    async fn end(self) -> Result<()> {
        drop(self.balancer);
        self.apis.end().await
    }
}

/// The api sees whose connection it is, whatever is claimed; it is the api's own certificate that is
/// shown; and in plain HTTP there is only the way there.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_knows_who_comes_through() -> Result<()> {
    let (mut through, made) = Through::with_files(&[("PORTCALL_RATE_PER_ADDRESS", "3")]).await?;
    through.add().await?;
    through.balancer.wait_up(1).await?;
    let secure = through.balancer.secure;
    for address in ["127.3.0.1", "127.3.0.2"] {
        let somebody = Somebody::new(&made.chain, address, secure)?;
        for n in 0..4 {
            let claimed = format!("203.0.113.{n}");
            let headers = [JSON, ("x-forwarded-for", &*claimed), ("x-real-ip", &claimed)];
            let answer = somebody.ask(Method::POST, POSTS, &headers, Some(b"{}".to_vec())).await?;
            let expected = if n < 3 { 422 } else { 429 };
            ensure!(answer.status == expected, "{address} {n}: {} {}", answer.status, answer.text);
            let hsts = answer.header("strict-transport-security");
            ensure!(hsts == "max-age=31536000", "{:?}", answer.headers);
        }
    }
    let trust = Trust::in_roots(&[&made.chain])?;
    ensure!(trust.shown(secure, NAME).await? == made.der, "the api's own certificate");
    let answer = said_over_tls(&trust, secure, GET).await?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    let plain = through.balancer.address;
    for (words, status, there) in [
        ("GET /events?a=b", 308, "https://portcall.test/events?a=b"),
        ("POST /", 403, ""),
        ("GET /api/v1/events", 403, ""),
        ("GET /.well-known/acme-challenge/none", 404, ""),
    ] {
        let ask = format!("{words} HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n");
        let answer = said(plain, ask).await?;
        ensure!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{words}: {answer}");
        ensure!(answer.contains("x-request-id: "), "the api answered: {answer}");
        let location = format!("\r\nlocation: {there}\r\n");
        ensure!(answer.contains(&location) == (status == 308), "{words}: {answer}");
    }
    let answer = said(secure, GET).await?;
    ensure!(!answer.contains("HTTP/1.1 200"), "plain HTTP where TLS is: {answer}");
    ensure!(trust.connect(plain, NAME).await.is_err(), "TLS where plain HTTP is");
    // The control: who comes to the api itself says nothing of whose connection it is, and is not heard.
    let direct = through.apis.all[0].address.context("an address")?;
    ensure!(trust.connect(direct, NAME).await.is_err(), "an api that is asked past the balancer");
    // The balancer writes down who came, and nothing of what was said.
    let log = through.balancer.process.log();
    ensure!(log.contains("127.3.0.2:") && !log.contains("/events"), "{log}");
    through.end().await
}

/// Requests one after the other until told to stop: how many were answered well.
fn load(
    somebody: Arc<Somebody>,
    fresh: Option<(Trust, std::net::SocketAddr)>,
    stop: Arc<AtomicBool>,
) -> JoinHandle<Result<usize>> {
    tokio::spawn(async move {
        let mut count = 0;
        while !stop.load(Ordering::Relaxed) {
            match &fresh {
                Some((trust, to)) => {
                    let answer = said_over_tls(trust, *to, GET).await?;
                    ensure!(answer.starts_with("HTTP/1.1 200 "), "{count}: {answer}");
                }
                None if count % 2 == 0 => {
                    let answer = somebody.ask(Method::GET, "/api/v1/events", &[], None).await;
                    let answer = answer.with_context(|| format!("{count} over HTTP/2"))?;
                    ensure!(answer.status == 200, "{count}: {}", answer.text);
                }
                None => {
                    let ask = somebody.ask_by_one(Method::GET, "/api/v1/events", &[], None).await;
                    let answer = ask.with_context(|| format!("{count} over HTTP/1.1"))?;
                    ensure!(answer.status == 200, "{count}: {}", answer.text);
                }
            }
            count += 1;
            tokio::time::sleep(PACE).await;
        }
        Ok(count)
    })
}

/// Each of two apis is told to stop, ends, and comes again, and nobody notices: neither who comes anew nor
/// who keeps connections.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_is_replaced_and_nobody_notices() -> Result<()> {
    let (mut through, made) = Through::with_files(&[]).await?;
    for _ in 0..2 {
        through.add().await?;
    }
    through.balancer.wait_up(2).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let secure = through.balancer.secure;
    let somebody = Arc::new(Somebody::new(&made.chain, ANYBODY, secure)?);
    let trust = Trust::in_roots(&[&made.chain])?;
    let kept = load(somebody.clone(), None, stop.clone());
    let fresh = load(somebody, Some((trust, secure)), stop.clone());
    for n in 0..2 {
        through.apis.stop(n).await?;
        through.apis.restart(n).await?;
        through.balancer.wait_up(2).await?;
    }
    stop.store(true, Ordering::Relaxed);
    let (kept, fresh) = (kept.await??, fresh.await??);
    println!("{kept} requests on connections that were kept, {fresh} on new ones: all answered");
    ensure!(kept > 4 * SOME && fresh > 4 * SOME, "{kept} {fresh}");
    through.end().await
}

/// A certificate by ACME through the balancer: the authority looks at port 80, which leads to any of the apis.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_had_through_it() -> Result<()> {
    let (key, domains) = ("seal.key", ("PORTCALL_ACME_DOMAINS", NAME));
    let mut through = Through::of(&[domains, ("PORTCALL_ACME_RETRY_S", "1")]).await?;
    let (http, tls) = (through.balancer.address.port(), through.balancer.secure.port());
    let good = Duration::from_secs(86_400);
    let pebble = Pebble::start(through.apis.dir(), Plan { http, tls, good }).await?;
    pebble.names.add(NAME, [127, 0, 0, 1].into());
    let seal = through.apis.dir().join(key);
    fs::write(&seal, KEY)?;
    through.apis.set("PORTCALL_SEAL_KEY_FILE", seal.display());
    for (name, value) in pebble.settings() {
        through.apis.set(name, value);
    }
    for _ in 0..2 {
        through.add().await?;
    }
    let trust = Trust::in_roots(&[&pebble.root().await?])?;
    let secure = through.balancer.secure;
    // Whichever api a connection comes to.
    wait::until("a certificate at both", PATIENCE, || async {
        let mut shown = Vec::new();
        for api in &through.apis.all {
            let until = api.metric("portcall_tls_cert_not_after_seconds").await?;
            shown.push(until > 0.0);
        }
        Ok(shown.iter().all(|shown| *shown).then_some(()))
    })
    .await
    .with_context(|| pebble.process.log())?;
    through.balancer.wait_up(2).await?;
    let first = trust.shown(secure, NAME).await?;
    for _ in 0..8 {
        let answer = said_over_tls(&trust, secure, GET).await?;
        ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        ensure!(trust.shown(secure, NAME).await? == first, "one for both");
    }
    ensure!(pebble.issued() == 1, "{}", pebble.process.log());
    through.end().await
}

/// What the overlay says of ports is what the balancer's file goes by, and the file is one without a warning.
#[tokio::test]
async fn its_files_fit_together() -> Result<()> {
    let overlay = overlay()?;
    let config = overlay["configs"]["haproxy"]["file"].as_str().context("a file")?;
    let file = given::checkout().join("infra").join(config);
    let text = fs::read_to_string(&file)?;
    let environment = &overlay["services"]["api"]["environment"];
    for (name, variable) in
        [("PORTCALL_API_ADDR", "API_TLS_PORT"), ("PORTCALL_API_PLAIN_ADDR", "API_PLAIN_PORT")]
    {
        let address = environment[name].as_str().context("an address")?;
        let port = address.strip_prefix("0.0.0.0:").context("every interface")?;
        ensure!(text.contains(&format!("\n  presetenv {variable} {port}\n")), "{variable} {port}");
    }
    let behind: Vec<&str> = text
        .lines()
        .filter(|line| line.trim_start().starts_with("default-server resolvers "))
        .collect();
    let told = behind.iter().filter(|line| line.ends_with(" send-proxy-v2")).count();
    ensure!(
        environment["PORTCALL_PROXY_PROTOCOL"] == "on" && told == behind.len() && told > 1,
        "{told} of {} backends are told whose connection it is",
        behind.len()
    );
    // It is named as in the file that it lies over, so that it takes its place.
    let stack = fs::read_to_string(given::checkout().join("infra/stack.yaml"))?;
    let stack: Value = serde_saphyr::from_str(&stack)?;
    ensure!(stack["configs"]["haproxy"]["name"] == overlay["configs"]["haproxy"]["name"]);
    let few = [("CONNECTIONS".to_owned(), "1000".to_owned())];
    for (replaced, good) in [("leastconn", true), ("fairly", false)] {
        let dir = tempfile::tempdir()?;
        let changed = dir.path().join("haproxy.cfg");
        fs::write(&changed, text.replace("leastconn", replaced))?;
        let words = ["-c", "-f", changed.to_str().context("a path that is not UTF-8")?];
        let (ended, said) = run(Path::new("haproxy"), &words, &few, PATIENCE).await?;
        ensure!((ended == Ended::Code(0)) == good, "{said}");
        ensure!(!good || !said.contains("[WARNING]"), "{said}");
    }
    Ok(())
}
