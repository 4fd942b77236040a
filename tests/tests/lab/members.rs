//! The replica set of a lab: it knows its clients, and goes on without its primary.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use mongodb::{Client, options::ClientOptions};
use portcall_tests::{
    Lab,
    lab::{Database, Plan},
    wait,
};

const ELECTED: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_replica_set_knows_its_clients_and_goes_on_without_its_primary() -> Result<()> {
    let plan = Plan { managers: 1, graders: 1, database: Database::WithUsers, ..Plan::default() };
    let lab = Lab::of(plan).await?;
    let uri = lab.database()?;
    let strange = uri.split_once('@').context("no password")?.1;
    let nobody = format!("mongodb://{}", strange.replace("&authSource=admin", ""));
    let list = doc! { "listDatabases": 1 };
    let refused = connect(&nobody).await?.database("admin").run_command(list.clone()).await;
    ensure!(refused.is_err_and(|error| error.to_string().contains("auth")), "without a password");

    let client = connect(&uri).await?;
    client.database("admin").run_command(list).await?;
    let notes = client.database("lab").collection::<Document>("notes");
    notes.insert_one(doc! { "before": true }).await?;
    let first = primary(&lab, &client).await?;
    lab.kill(&first).await?;
    let second = wait::until("another primary", ELECTED, || async {
        Ok(primary(&lab, &client).await.ok().filter(|name| *name != first))
    })
    .await?;
    ensure!(second != first && notes.count_documents(doc! { "before": true }).await? == 1);
    lab.start(&first).await?;
    wait::until("three members again", ELECTED, || async {
        let status = client.database("admin").run_command(doc! { "replSetGetStatus": 1 }).await?;
        let members = status.get_array("members").context("no members")?;
        let states = members.iter().filter_map(|m| m.as_document()?.get_i32("state").ok());
        Ok((states.filter(|state| matches!(state, 1 | 2)).count() == 3).then_some(()))
    })
    .await?;
    lab.down().await
}

async fn connect(uri: &str) -> Result<Client> {
    let mut options = ClientOptions::parse(uri).await?;
    options.server_selection_timeout = Some(Duration::from_secs(20));
    Ok(Client::with_options(options)?)
}

/// The host of the member that is primary.
async fn primary(lab: &Lab, client: &Client) -> Result<String> {
    let hello = client.database("admin").run_command(doc! { "hello": 1 }).await?;
    let address = hello.get_str("primary").context("no primary")?;
    let of = |address: &str| address.split(':').next().unwrap_or_default().to_owned();
    let hosts = lab.hosts()?.into_iter();
    let host = hosts.into_iter().find(|host| host.address.to_string() == of(address));
    Ok(host.context("a primary that is no host")?.name)
}
