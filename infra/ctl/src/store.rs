//! `portcall store`: what the database needs.

use std::time::Duration;

use clap::Subcommand;
use portcall_shared::store::replica_set;

use crate::failure::Failure;

#[derive(Subcommand)]
pub(crate) enum StoreCommand {
    /// Makes a lone mongod (started with --replSet rs) a replica set of one member, and waits until
    /// it can be written to. Harmless if it is one already.
    InitReplicaSet {
        /// Its address, such as mongodb://127.0.0.1:27017/?directConnection=true
        #[arg(long)]
        uri: String,
        /// How long to wait, in seconds.
        #[arg(long, default_value_t = 60)]
        within: u64,
    },
}

impl StoreCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let Self::InitReplicaSet { uri, within } = self;
        let host = uri
            .strip_prefix("mongodb://")
            .map(|rest| rest.split(['/', '?']).next().unwrap_or_default())
            .map(|host| host.rsplit('@').next().unwrap_or_default())
            .filter(|host| !host.is_empty() && !host.contains(','));
        let Some(host) = host else {
            let message = "--uri: expected mongodb://HOST:PORT/ with one host".to_owned();
            return Err(Failure::Usage(message));
        };
        replica_set::initiate(&uri, host, Duration::from_secs(within)).await?;
        Ok(())
    }
}
