//! Admin commands of one member of a replica set, each over a connection of its own.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use bson::Document;

use super::connect;

/// One admin command over a direct connection, of a member that is there.
///
/// # Errors
/// When the member does not answer or refuses.
pub async fn ask(address: SocketAddr, command: Document) -> Result<Document> {
    ask_within(address, command, Duration::from_secs(15)).await
}

/// The same of one that may be away, and is asked again then.
///
/// # Errors
/// When it does not answer in a second, or refuses.
pub async fn look(address: SocketAddr, command: Document) -> Result<Document> {
    ask_within(address, command, Duration::from_secs(1)).await
}

async fn ask_within(address: SocketAddr, command: Document, limit: Duration) -> Result<Document> {
    let ms = limit.as_millis();
    let uri = format!(
        "mongodb://{address}/?directConnection=true&serverSelectionTimeoutMS={ms}&connectTimeoutMS={ms}"
    );
    Ok(connect(&uri).await?.database("admin").run_command(command).await?)
}
