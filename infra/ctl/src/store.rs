//! `portcall store`: what the database needs.

use std::time::Duration;

use clap::Subcommand;
use portcall_shared::{
    settings::{Common, Reader},
    store::{
        SCHEMA, Store,
        contract::{CONTRACTIONS, Contracted},
        processes::ProcessEntry,
        replica_set,
    },
};

use crate::{
    database::{For, with},
    deploy_store::{PrepareArgs, prepare},
    failure::Failure,
};

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
    /// Makes members that know each other by a key a replica set, its database as this version needs it,
    /// and gives it its roles and users. May be repeated: what is as it should be stays so.
    Prepare(PrepareArgs),
    /// Lists the members of the replica set with their states; exits with 1 if one is not well.
    Members,
    /// Puts a new, empty member in the place of one that is lost, and waits until it has all the
    /// data. May be repeated: it goes on where it was.
    ReplaceMember {
        /// The address of the lost one, host:port as `members` shows it.
        old: String,
        /// The address of the new one, host:port.
        new: String,
        /// How long to wait, in seconds.
        #[arg(long, default_value_t = 3600)]
        within: u64,
    },
    /// Makes the members that are left a set of their own, when most are lost for good. What the
    /// lost ones alone had is gone.
    ForceMembers {
        /// The address of one that is left, such as mongodb://10.0.0.11:27017/?directConnection=true
        #[arg(long)]
        uri: String,
        /// Those that are left, host:port as `members` showed them.
        #[arg(required = true)]
        keep: Vec<String>,
    },
    /// Lists every api and worker with its version, and which versions the database is for.
    Versions,
    /// Takes away what only older versions need, when none of them is there any more. They do not
    /// start again on this database.
    Contract,
    /// Removes the database, with all that it holds, before a backup is restored in its place. Refuses
    /// while an api or a worker is listed.
    Drop {
        /// Its name once more, so that it is this one.
        #[arg(long)]
        database: String,
    },
}

/// How long a primary is waited for.
const PRIMARY: Duration = Duration::from_secs(20);

impl StoreCommand {
    pub(crate) async fn run(self, reader: Reader) -> Result<(), Failure> {
        match self {
            Self::InitReplicaSet { uri, within } => {
                let host = uri
                    .strip_prefix("mongodb://")
                    .map(|rest| rest.split(['/', '?']).next().unwrap_or_default())
                    .map(|host| host.rsplit('@').next().unwrap_or_default())
                    .filter(|host| !host.is_empty() && !host.contains(','));
                let Some(host) = host else {
                    let message = "--uri: expected mongodb://HOST:PORT/ with one host".to_owned();
                    return Err(Failure::Usage(message));
                };
                Ok(replica_set::initiate(&uri, host, Duration::from_secs(within)).await?)
            }
            Self::Prepare(args) => prepare(args, reader).await,
            Self::Members => members(&address(reader)?).await,
            Self::ReplaceMember { old, new, within } => {
                let within = Duration::from_secs(within);
                let uri = address(reader)?;
                replica_set::replace(&uri, &old, &new, within).await?;
                members(&uri).await
            }
            Self::ForceMembers { uri, keep } => Ok(replica_set::force(&uri, &keep, PRIMARY).await?),
            Self::Versions => with(reader, For::Care, versions).await,
            Self::Contract => with(reader, For::Care, contract).await,
            Self::Drop { database } => {
                let named = reader.text("PORTCALL_MONGODB_DATABASE");
                if named != database {
                    let message =
                        format!("PORTCALL_MONGODB_DATABASE names {named}, not {database}");
                    return Err(Failure::Usage(message));
                }
                with(reader, For::Care, async |store| remove(store, &database).await).await
            }
        }
    }
}

fn address(reader: Reader) -> Result<String, Failure> {
    let common = Common::read(&reader);
    reader.finish().map_err(|e| Failure::Usage(e.to_string()))?;
    Ok(common.mongodb_uri)
}

#[expect(clippy::print_stdout, reason = "this is what the command says to its user")]
async fn members(uri: &str) -> Result<(), Failure> {
    let members = replica_set::members(uri, PRIMARY).await?;
    for member in &members {
        println!("{}\t{}", member.host, member.state);
    }
    let ill: Vec<&str> =
        members.iter().filter(|m| !m.healthy).map(|member| member.host.as_str()).collect();
    match ill.is_empty() {
        true => Ok(()),
        false => Err(Failure::Failed(format!("not well: {}", ill.join(", ")))),
    }
}

fn line(process: &ProcessEntry) -> String {
    let ProcessEntry { kind, name, build, schema, seen_at: _ } = process;
    format!("{kind}\t{name}\tbuild {build}\tversion {schema}")
}

#[expect(clippy::print_stdout, reason = "this is what the command says to its user")]
async fn versions(store: &Store) -> Result<(), Failure> {
    for process in store.processes().await? {
        println!("{}", line(&process));
    }
    let floor = store.floor().await?;
    println!("the database is for version {floor} and later; this is version {SCHEMA}");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is what the command says to its user")]
async fn contract(store: &Store) -> Result<(), Failure> {
    match store.contract(CONTRACTIONS).await? {
        Contracted::Done { floor } => {
            println!("the database is for version {floor} and later");
            Ok(())
        }
        Contracted::Refused(older) => {
            let lines: Vec<String> = older.iter().map(line).collect();
            let message = format!("these still need it, nothing was done:\n{}", lines.join("\n"));
            Err(Failure::Failed(message))
        }
    }
}

#[expect(clippy::print_stdout, reason = "this is what the command says to its user")]
async fn remove(store: &Store, database: &str) -> Result<(), Failure> {
    let there = store.processes().await?;
    if !there.is_empty() {
        let lines: Vec<String> = there.iter().map(line).collect();
        let message = format!("these use it, nothing was done:\n{}", lines.join("\n"));
        return Err(Failure::Failed(message));
    }
    store.drop_database().await?;
    println!("the database {database} is gone");
    Ok(())
}
