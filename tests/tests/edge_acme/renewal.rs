//! A renewal while people come: no handshake fails, and both certificates are seen.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use portcall_tests::{
    parts::tls::{Trust, leaf},
    wait,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{By, NAMES, ORDERS, PATIENCE, Town};

/// How long a certificate is good: it is renewed after two thirds of it.
const GOOD: Duration = Duration::from_secs(30);
/// How many come to each api at once.
const EACH: usize = 4;
const REQUEST: &[u8] =
    b"GET /api/v1/events HTTP/1.1\r\nHost: portcall.test\r\nConnection: close\r\n\r\n";

/// What somebody saw who came again and again.
#[derive(Default)]
struct Seen {
    certificates: BTreeMap<Vec<u8>, usize>,
    failed: Vec<String>,
}

async fn visit(trust: &Trust, at: SocketAddr) -> Result<Vec<u8>> {
    let mut stream = trust.connect(at, NAMES[0]).await?;
    stream.write_all(REQUEST).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    leaf(&stream)
}

async fn come_again(trust: Trust, at: SocketAddr, enough: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    while !enough.load(Ordering::Relaxed) {
        match visit(&trust, at).await {
            Ok(certificate) => *seen.certificates.entry(certificate).or_default() += 1,
            Err(error) => seen.failed.push(format!("{at}: {error:#}")),
        }
    }
    seen
}

#[tokio::test]
async fn a_renewal_under_load_fails_no_handshake() -> Result<()> {
    let mut town = Town::of(By::Http, GOOD).await?;
    for n in 0..2 {
        town.apis.start().await?;
        town.lead_to(n)?;
    }
    let first = town.certified(0).await?;
    ensure!(first == town.certified(1).await?);
    let trust = Trust::in_roots(&[&town.pebble.root().await?])?;
    let enough = Arc::new(AtomicBool::new(false));
    let mut visitors = Vec::new();
    for n in 0..2 {
        for _ in 0..EACH {
            let visitor = come_again(trust.clone(), town.address(n)?, Arc::clone(&enough));
            visitors.push((n, tokio::spawn(visitor)));
        }
    }
    let mut second = Vec::new();
    for n in 0..2 {
        second = wait::until(format!("a new certificate at api {n}"), PATIENCE, || async {
            let shown = trust.shown(town.address(n)?, NAMES[0]).await?;
            Ok((shown != first).then_some(shown))
        })
        .await?;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    enough.store(true, Ordering::Relaxed);
    let mut counts = [[0; 2]; 2];
    let mut failed = Vec::new();
    for (n, visitor) in visitors {
        let seen = visitor.await?;
        for (which, certificate) in [&first, &second].into_iter().enumerate() {
            counts[n][which] += seen.certificates.get(certificate).copied().unwrap_or_default();
        }
        failed.extend(seen.failed);
    }
    println!(
        "handshakes at each api, with the old and the new certificate: {counts:?}; failed: {}",
        failed.len()
    );
    ensure!(
        failed.is_empty(),
        "{} failed, such as {:?}",
        failed.len(),
        &failed[..failed.len().min(3)]
    );
    ensure!(counts.iter().flatten().all(|count| *count > 0), "{counts:?}");
    let orders = town.apis.all[0].metric(ORDERS).await? + town.apis.all[1].metric(ORDERS).await?;
    ensure!(orders >= 2.0, "{orders} orders");
    town.end().await
}
