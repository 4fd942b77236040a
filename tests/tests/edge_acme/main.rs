//! Certificates from a real authority (RFC 8555), Pebble: two apis on one database, of which one
//! orders and the other is where all names lead, so that only what is shared can prove anything.
//!
//! Who orders is the apis' affair. Where a test must know it before the authority looks, the authority
//! is frozen until one of them has the turn.

mod faults;
mod renewal;
mod secrets;

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use portcall_tests::{
    Event,
    parts::{
        apis::{Apis, OWN_IP},
        mongo, net,
        pebble::{Pebble, Plan},
        tls::Trust,
    },
    wait,
};

/// The names on the certificate; the first is how people reach us.
const NAMES: [&str; 2] = ["portcall.test", "www.portcall.test"];
/// Until there is a certificate; a dead orderer is waited for, for 20 s.
const PATIENCE: Duration = Duration::from_secs(60);
const ORDERS: &str = "portcall_acme_orders_total";
const ORDERING: &str = "ordering a certificate";
const KEY: &str = "5eaf00d5eaf00d5eaf00d5eaf00d5eaf00d5eaf00d5eaf00d5eaf00d5eaf00d5";

/// How names are shown to be ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Http,
    Tls,
}

/// An authority and apis.
struct Town {
    apis: Apis,
    pebble: Pebble,
    /// The port that speaks plain HTTP, or would.
    plain: u16,
}

impl Town {
    /// No api yet; certificates are good for so long.
    async fn of(by: By, good: Duration) -> Result<Self> {
        let apis = Apis::on(&mongo::shared().await?, &Event::config(), &[]).await?;
        let (plain, (port, _)) = (net::free_address()?.port(), apis.ports());
        let pebble = Pebble::start(apis.dir(), Plan { http: plain, tls: port, good }).await?;
        let key = put_key(apis.dir(), "seal.key", KEY)?;
        let mut apis = apis
            .setting("PORTCALL_SEAL_KEY_FILE", key)
            .setting("PORTCALL_PUBLIC_URL", format!("https://{}", NAMES[0]))
            .setting("PORTCALL_ACME_DOMAINS", NAMES.join(","))
            .setting("PORTCALL_ACME_CONTACT", "mailto:ops@portcall.test")
            .setting("PORTCALL_ACME_RETRY_S", 1)
            .setting("PORTCALL_API_DRAIN_MS", 0);
        for (name, value) in pebble.settings() {
            apis = apis.setting(name, value);
        }
        if by == By::Http {
            apis = apis.setting("PORTCALL_API_PLAIN_ADDR", format!("{OWN_IP}:{plain}"));
        }
        Ok(Self { apis, pebble, plain })
    }

    /// Has all names lead to one api.
    fn lead_to(&self, n: usize) -> Result<()> {
        for name in NAMES {
            self.pebble.names.add(name, self.apis.ip(n)?);
        }
        Ok(())
    }

    fn lead_away_from(&self, n: usize) -> Result<()> {
        for name in NAMES {
            self.pebble.names.remove(name, self.apis.ip(n)?);
        }
        Ok(())
    }

    fn address(&self, n: usize) -> Result<SocketAddr> {
        self.apis.all[n].address.context("an api without an address")
    }

    /// Waits until one of them orders; which.
    async fn orderer(&self) -> Result<usize> {
        wait::until("somebody orders", PATIENCE, || async {
            let orders = |n: &usize| self.apis.all[*n].process.log().contains(ORDERING);
            Ok((0..self.apis.all.len()).find(orders))
        })
        .await
    }

    /// Waits until an api shows a certificate of the authority for each name; the certificate.
    async fn certified(&self, n: usize) -> Result<Vec<u8>> {
        let (trust, at) = (Trust::in_roots(&[&self.pebble.root().await?])?, self.address(n)?);
        let shown = wait::until(format!("a certificate at api {n}"), PATIENCE, || async {
            Ok(trust.shown(at, NAMES[0]).await.ok())
        });
        let shown = shown.await.with_context(|| self.logs())?;
        ensure!(trust.shown(at, NAMES[1]).await? == shown, "one for all names");
        Ok(shown)
    }

    fn logs(&self) -> String {
        let apis = self.apis.all.iter().map(|api| api.process.log());
        let all: Vec<String> = apis.chain([self.pebble.process.log()]).collect();
        all.join("\n----\n")
    }

    async fn end(self) -> Result<()> {
        self.apis.end().await
    }
}

/// A file with a key; where it is.
fn put_key(dir: &Path, name: &str, key: &str) -> Result<String> {
    let path = dir.join(name);
    fs::write(&path, format!("{key}\n"))?;
    Ok(path.display().to_string())
}

/// Two apis order one certificate, which is proven at the one that did not.
async fn the_other_answers(by: By) -> Result<()> {
    let mut town = Town::of(by, Duration::from_secs(86_400)).await?;
    town.pebble.process.stop()?;
    for _ in 0..2 {
        town.apis.start().await?;
    }
    let orderer = town.orderer().await?;
    let other = 1 - orderer;
    let trust = Trust::in_roots(&[&fs::read_to_string(town.apis.dir().join("pebble.pem"))?])?;
    let at = town.address(other)?;
    ensure!(trust.shown(at, NAMES[0]).await.is_err(), "what stands in is not believed");
    town.lead_to(other)?;
    town.pebble.process.resume()?;
    let first = town.certified(orderer).await?;
    ensure!(first == town.certified(other).await?, "both show the same");
    ensure!(town.pebble.issued() == 1, "and it was ordered once:\n{}", town.logs());
    let orders = town.apis.all[orderer].metric(ORDERS).await?;
    ensure!(orders == 1.0, "{orders} orders");
    ensure!(town.apis.all[other].metric(ORDERS).await? == 0.0);
    secrets::are_sealed(&town.apis).await?;

    // Who comes later finds it in the database.
    let late = town.apis.start().await?;
    ensure!(town.certified(late).await? == first);
    // One that is over is not known any more, and nobody is shown a proof outside of an order.
    let trust = Trust::in_roots(&[&town.pebble.root().await?])?.offering(&["acme-tls/1"]);
    ensure!(trust.connect(town.address(other)?, NAMES[0]).await.is_err(), "no proof is left");
    town.end().await
}

#[tokio::test]
async fn a_process_that_did_not_order_answers_over_http() -> Result<()> {
    the_other_answers(By::Http).await
}

#[tokio::test]
async fn a_process_that_did_not_order_answers_over_tls() -> Result<()> {
    the_other_answers(By::Tls).await
}
