//! What lies in the database opens with the key of the apis' machines only.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use portcall_tests::{
    parts::{apis::Apis, client::Client, mongo, tls::Made},
    wait,
};
use reqwest::StatusCode;

use super::{By, ORDERS, PATIENCE, Town, put_key};

/// How a private key of this kind begins in PKCS #8 (an EC key on P-256), and how that reads in base64,
/// with both alphabets.
const BEGINS: [&[u8]; 3] = [
    &[0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07],
    b"MIGHAgEAMBMGByqGSM49",
    b"PRIVATE KEY",
];

fn lies_open(bytes: &[u8]) -> bool {
    BEGINS.iter().any(|begin| bytes.windows(begin.len()).any(|window| window == *begin))
}

/// No private key can be read in a dump of the database; and the look would find one.
pub(crate) async fn are_sealed(apis: &Apis) -> Result<()> {
    let control = Made::new(&["portcall.test"], 0, 60)?;
    ensure!(lies_open(control.key.as_bytes()) && lies_open(&control.key_der), "it would be found");
    let (uri, database) = apis.database();
    let all = mongo::dump(uri, database).await?;
    let own = all.iter().filter(|(collection, _)| collection == "certificates");
    let mut kinds: Vec<&str> =
        own.filter_map(|(_, document)| document.get_str("kind").ok()).collect();
    kinds.sort_unstable();
    ensure!(kinds == ["account", "certificate", "turn"], "{kinds:?}");
    for (collection, document) in &all {
        let bytes = bson::serialize_to_vec(document)?;
        ensure!(!lies_open(&bytes), "a key in {collection}: {document}");
    }
    // Nor in what they say.
    for api in &apis.all {
        ensure!(!lies_open(api.process.log().as_bytes()), "a key in a log");
    }
    Ok(())
}

#[tokio::test]
async fn an_api_with_another_key_says_so_and_is_not_ready() -> Result<()> {
    let mut town = Town::of(By::Http, Duration::from_secs(86_400)).await?;
    let one = town.apis.start().await?;
    town.lead_to(one)?;
    let shown = town.certified(one).await?;

    let key = put_key(town.apis.dir(), "other.key", &"b".repeat(64))?;
    town.apis = town.apis.setting("PORTCALL_SEAL_KEY_FILE", &key);
    let other = town.apis.begin()?;
    let words = ["another key than PORTCALL_SEAL_KEY_FILE has", "does not open with this key"];
    town.apis.all[other].wait_log(&words, PATIENCE).await?;
    let ops = Client::new(&format!("http://{}", town.apis.all[other].ops), "")?;
    wait::until("it is not ready", PATIENCE, || async {
        let answer = ops.get("/readyz").await?;
        let told = answer.text.contains("sealed with another key");
        Ok((answer.status == StatusCode::SERVICE_UNAVAILABLE && told).then_some(()))
    })
    .await?;
    // It leaves alone what the others use.
    ensure!(town.apis.all[other].metric(ORDERS).await? == 0.0);
    ensure!(town.certified(one).await? == shown && town.pebble.issued() == 1);

    // With the right one all is well.
    town.apis.stop(other).await?;
    let right = town.apis.dir().join("seal.key");
    fs::copy(&right, &key).context("the right key")?;
    town.apis.restart(other).await?;
    ensure!(town.certified(other).await? == shown);
    town.end().await
}
