//! How many connections there may be, in all and of one network, and who may name others by the PROXY
//! protocol (W13): row W05 as far as it counts.

use std::time::Instant;

use anyhow::{Result, ensure};
use futures::future::join_all;
use portcall_tests::{parts::apis::Apis, wait};
use tokio::io::AsyncWriteExt;

use super::raw::{GET, PATIENCE, address, api, from, is_served, rest, said_on, stranger};

async fn refused(apis: &Apis, cause: &str) -> Result<f64> {
    apis.all[0].metric(&format!("portcall_connections_refused_total{{cause=\"{cause}\"}}")).await
}

/// How many there may be, on both sides of each bound; whoever is beyond it is closed and counted.
#[tokio::test(flavor = "multi_thread")]
async fn connections_are_bounded_in_all_and_by_network() -> Result<()> {
    let settings = [
        ("PORTCALL_API_CONNECTIONS", "20"),
        ("PORTCALL_API_CONNECTIONS_PER_ADDRESS", "8"),
        ("PORTCALL_TRUSTED_PROXIES", "127.9.0.100/32"),
    ];
    let apis = api(&settings).await?;
    let to = address(&apis)?;
    let mut open = Vec::new();
    for (source, count) in [(1, 8), (2, 3)] {
        for n in 0..count {
            let mut stream = from(stranger(source), to).await?;
            ensure!(is_served(&mut stream).await, "{n} of {source}");
            open.push(stream);
        }
    }
    ensure!(!is_served(&mut from(stranger(1), to).await?).await, "the ninth of one address");
    ensure!(refused(&apis, "network").await? == 1.0, "it was counted");
    // The balancer may have more, until there are no more at all.
    for n in 0..9 {
        let mut stream = from(stranger(100), to).await?;
        ensure!(is_served(&mut stream).await, "{n} of the balancer");
        open.push(stream);
    }
    for source in [3, 100] {
        ensure!(!is_served(&mut from(stranger(source), to).await?).await, "the twenty-first");
    }
    ensure!(refused(&apis, "full").await? == 2.0, "they were counted");
    // And those that are there are served all the same.
    ensure!(join_all(open.iter_mut().map(is_served)).await.into_iter().all(|served| served), "all");
    open.swap_remove(0);
    let free = wait::until("a seat is free again", PATIENCE, || async {
        let mut stream = from(stranger(1), to).await?;
        Ok(is_served(&mut stream).await.then_some(stream))
    });
    free.await?;
    drop(open);
    apis.end().await?;

    // The control: without the bound one address has them all.
    let apis = api(&[("PORTCALL_API_CONNECTIONS", "20")]).await?;
    let to = address(&apis)?;
    let mut open = Vec::new();
    for n in 0..20 {
        let mut stream = from(stranger(1), to).await?;
        ensure!(is_served(&mut stream).await, "{n} of one");
        open.push(stream);
    }
    ensure!(!is_served(&mut from(stranger(2), to).await?).await, "nobody else has one");
    apis.end().await
}

/// The header of version 2 for a client of 192.0.2.
fn named(last: u8) -> Vec<u8> {
    let addresses = [192, 0, 2, last, 127, 77, 0, 1, 0x12, 0x34, 0, 80];
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &addresses].concat()
}

/// Whom a trusted balancer names counts for himself; nobody else may name anybody.
#[tokio::test(flavor = "multi_thread")]
async fn only_trusted_balancers_speak_for_others() -> Result<()> {
    let settings = [
        ("PORTCALL_PROXY_PROTOCOL", "on"),
        ("PORTCALL_TRUSTED_PROXIES", "127.9.0.100/32"),
        ("PORTCALL_API_CONNECTIONS_PER_ADDRESS", "2"),
    ];
    let apis = api(&settings).await?;
    let to = address(&apis)?;
    let by = async |source, header: Vec<u8>| {
        let mut stream = from(stranger(source), to).await?;
        stream.write_all(&header).await?;
        let served = is_served(&mut stream).await;
        anyhow::Ok((served, stream))
    };
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
    let one = b"PROXY TCP4 192.0.2.9 127.77.0.1 7 80\r\n".to_vec();
    let mut open = Vec::new();
    for (what, source, header, good) in [
        ("the first of 7", 100, named(7), true),
        ("the second of 7", 100, named(7), true),
        ("the third of 7", 100, named(7), false),
        ("the first of 8", 100, named(8), true),
        ("in version 1", 100, one, true),
        ("for itself", 100, local.clone(), true),
        ("for itself again", 100, local.clone(), true),
        ("for itself once more", 100, local, true),
        ("without a header", 100, Vec::new(), false),
        ("a stranger", 1, named(6), false),
        ("a stranger without a header", 1, Vec::new(), false),
    ] {
        let (served, stream) = by(source, header).await?;
        ensure!(served == good, "{what}: {served}");
        open.push(stream);
    }
    let begun = Instant::now();
    let mut silent = from(stranger(100), to).await?;
    silent.write_all(&named(5)[..10]).await?;
    ensure!(rest(&mut silent).await?.is_empty(), "half a header is not answered");
    let took = begun.elapsed().as_secs_f64();
    ensure!((4.8..8.0).contains(&took), "it was waited for for {took} s");
    for (cause, count) in [("network", 1.0), ("stranger", 2.0), ("unnamed", 2.0)] {
        let counted = refused(&apis, cause).await?;
        ensure!(counted == count, "{cause}: {counted}");
    }
    drop(open);
    apis.end().await?;

    // Without the setting the same bytes are no HTTP, whoever sends them.
    let apis = api(&[("PORTCALL_TRUSTED_PROXIES", "127.9.0.100/32")]).await?;
    let to = address(&apis)?;
    for source in [1, 100] {
        for header in [named(7), b"PROXY TCP4 192.0.2.9 127.77.0.1 7 80\r\n".to_vec()] {
            let mut stream = from(stranger(source), to).await?;
            let answer = said_on(&mut stream, [&header, GET.as_bytes()].concat()).await?;
            ensure!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
            ensure!(answer.matches("HTTP/1.1").count() == 1, "{answer}");
        }
    }
    apis.end().await
}
