//! An orderer that dies, and an authority that does not find its proof.

use std::time::Duration;

use anyhow::{Result, ensure};
use bson::Document;
use portcall_tests::{parts::mongo, wait};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{By, NAMES, ORDERS, PATIENCE, Town};

fn is_of(document: &Document, kind: &str) -> bool {
    document.get_str("kind").is_ok_and(|own| own == kind)
}

#[tokio::test]
async fn an_orderer_that_is_killed_is_replaced() -> Result<()> {
    let mut town = Town::of(By::Http, Duration::from_secs(86_400)).await?;
    town.pebble.process.stop()?;
    for _ in 0..2 {
        town.apis.start().await?;
    }
    let orderer = town.orderer().await?;
    let other = 1 - orderer;
    town.apis.all[orderer].process.kill()?;
    town.lead_to(other)?;
    town.pebble.process.resume()?;
    let shown = town.certified(other).await?;
    let issued = town.apis.all[other].outcome(ORDERS, "issued").await?;
    ensure!(issued == 1.0, "the other ordered it: {}", town.logs());
    town.apis.restart(orderer).await?;
    ensure!(town.certified(orderer).await? == shown);
    ensure!(town.pebble.issued() == 1);
    town.end().await
}

async fn kept_order(town: &Town) -> Result<Option<Document>> {
    let (uri, database) = town.apis.database();
    let all = mongo::dump(uri, database).await?;
    Ok(all.into_iter().map(|(_, document)| document).find(|document| is_of(document, "order")))
}

/// What one ordered another goes on with: the authority is asked for one order.
#[tokio::test]
async fn an_order_outlives_who_made_it() -> Result<()> {
    let mut town = Town::of(By::Tls, Duration::from_secs(86_400)).await?;
    for _ in 0..2 {
        town.apis.start().await?;
    }
    let orderer = town.orderer().await?;
    let other = 1 - orderer;
    town.lead_to(other)?;
    // With this proof it waits for all to show it, so that there is time to die.
    let kept = wait::until("an order that is kept", PATIENCE, || kept_order(&town)).await?;
    town.apis.all[orderer].process.kill()?;
    let words = format!("{kept:?}");
    ensure!(!words.contains("http") && kept.get_binary_generic("sealed").is_ok(), "{words}");

    town.certified(other).await?;
    let log = town.apis.all[other].process.log();
    ensure!(log.contains("going on with the order that there is"), "{}", town.logs());
    ensure!(town.pebble.issued() == 1 && town.pebble.ordered() == 1, "{}", town.logs());
    ensure!(kept_order(&town).await?.is_none(), "what is over is taken away");
    town.end().await
}

#[tokio::test]
async fn a_proof_that_is_not_there_is_not_found() -> Result<()> {
    let mut town = Town::of(By::Http, Duration::from_secs(86_400)).await?;
    // Somebody who knows no challenge.
    let stranger = TcpListener::bind((town.apis.ip(8)?, town.plain)).await?;
    let stranger = tokio::spawn(async move {
        while let Ok((mut stream, _)) = stranger.accept().await {
            let mut request = [0; 1024];
            // Whoever asks sees it fail.
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    town.lead_to(8)?;
    let one = town.apis.start().await?;
    let words = ["no new certificate; will be tried again", "did not find the proof", NAMES[0]];
    town.apis.all[one].wait_log(&words, PATIENCE).await?;
    ensure!(town.pebble.issued() == 0);
    let (uri, database) = town.apis.database();
    let open = mongo::dump(uri, database).await?;
    let open = open.iter().filter(|(_, document)| is_of(document, "challenge"));
    ensure!(open.count() <= NAMES.len(), "what is over is taken away");

    // The next try finds it.
    town.lead_away_from(8)?;
    town.lead_to(one)?;
    town.certified(one).await?;
    let api = &town.apis.all[one];
    ensure!(api.outcome(ORDERS, "failed").await? >= 1.0);
    ensure!(api.outcome(ORDERS, "issued").await? == 1.0);
    stranger.abort();
    town.end().await
}
