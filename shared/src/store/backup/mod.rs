//! Backups: all that a database holds, as it was at one moment, in a folder of files.
//!
//! Every collection is read in one snapshot (read concern `snapshot`, which a replica set has), so a
//! submission that is settled meanwhile is in all of it or in none. Documents are kept byte by byte, as
//! they lie in the database: also fields of a newer version. The files are what `mongodump --gzip`
//! writes, `COLLECTION.bson.gz`, beside `backup.json` with their sizes and digests, which is written
//! last: a folder without it is no backup.
//!
//! What says who is there at the moment (workers, nodes, processes) is left out; leases of workers that
//! are not there end by observation, as those of a dead worker do. Indexes are made by the migrations.
//!
//! The files hold what participants said of themselves and the key of the workers' labels: only their
//! owner can read them, and they are kept like a password.

mod files;
mod restore;

use std::path::{Path, PathBuf};

use bson::{RawDocumentBuf, doc};
use futures::StreamExt;
use mongodb::{
    ClientSession, SessionCursor,
    options::{CollectionOptions, ReadConcern},
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use self::files::Writer;
pub(super) use self::restore::RESTORING;
use super::{SCHEMA, Store, StoreError, migrations::VERSION};

/// What this build writes; it reads this and nothing else.
const FORMAT: u32 = 1;
/// The file that makes a folder a backup.
const MANIFEST: &str = "backup.json";
/// Collections that say who is there at the moment.
const PRESENT: [&str; 3] = ["workers", "nodes", "processes"];
/// How many documents are read or written in one go.
const AT_ONCE: usize = 200;

/// Why there is no backup, or why it was not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file could not be read or written.
    #[error("cannot {doing} {path}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what was written.
    #[error("{path} is damaged: {what}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The backup is of a newer version.
    #[error("the backup was made by version {made} and this is version {own}")]
    Newer {
        /// The version that made it.
        made: i32,
        /// The version of this build.
        own: i32,
    },
    /// The server did not read at one moment.
    #[error("the server made no snapshot: is it a replica set?")]
    NoSnapshot,
    /// The database holds something.
    #[error("the database is not empty: it has {}", .0.join(", "))]
    NotEmpty(Vec<String>),
}

/// What a backup is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// The name of the database.
    pub database: String,
    /// When it was begun, by the clock of whoever made it, in seconds since 1970.
    pub taken_at: i64,
    /// The cluster time that it is of: seconds since 1970, and a count within the second.
    pub moment: (u32, u32),
    /// The version of documents that the build which made it reads.
    pub schema: i32,
    /// The last migration of that build.
    pub migrations: i32,
    /// One for each collection, by name.
    pub collections: Vec<Part>,
}

impl Manifest {
    /// How many documents there are in all collections.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.collections.iter().map(|part| part.documents).sum()
    }
}

/// One collection of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name.
    pub collection: String,
    /// How many documents it has.
    pub documents: u64,
    /// The size of its file in bytes.
    pub bytes: u64,
    /// The SHA-256 of its file, in hex.
    pub sha256: String,
}

impl Store {
    /// Writes a backup into a folder, which must not be there yet.
    ///
    /// # Errors
    /// When the store cannot, or a file cannot be written. What was written stays and is no backup.
    pub async fn back_up(&self, folder: &Path) -> Result<Manifest, BackupError> {
        files::make_folder(folder)?;
        let taken_at = OffsetDateTime::now_utc().unix_timestamp();
        let mut names = self.collection_names().await?;
        names.retain(|name| !PRESENT.contains(&name.as_str()));
        let client = self.database.client().clone();
        let mut session = self
            .call("begin a snapshot", async move { client.start_session().snapshot(true).await })
            .await?;
        let mut collections = Vec::with_capacity(names.len());
        for name in names {
            let (part, same) = self.write_collection(folder, name, session).await?;
            session = same;
            collections.push(part);
        }
        // Without it each collection was read at a time of its own.
        let moment = session.snapshot_time().ok_or(BackupError::NoSnapshot)?;
        let manifest = Manifest {
            format: FORMAT,
            moment: (moment.time, moment.increment),
            database: self.database.name().to_owned(),
            taken_at,
            schema: SCHEMA,
            migrations: VERSION,
            collections,
        };
        files::write_manifest(folder, &manifest)?;
        Ok(manifest)
    }

    /// The names of what the database holds, in order.
    async fn collection_names(&self) -> Result<Vec<String>, StoreError> {
        let database = self.database.clone();
        let names = async move { database.list_collection_names().await };
        let mut names = self.call("list the collections", names).await?;
        names.retain(|name| !name.starts_with("system."));
        names.sort_unstable();
        Ok(names)
    }

    /// A session is in one pair of hands at a time: here each call hands it back.
    async fn write_collection(
        &self,
        folder: &Path,
        name: String,
        mut session: ClientSession,
    ) -> Result<(Part, ClientSession), BackupError> {
        let mut writer = Writer::new(folder, &name)?;
        // Said once more: the driver leaves what a client reads with otherwise as it is, session or not.
        let options = CollectionOptions::builder().read_concern(ReadConcern::snapshot()).build();
        let collection = self.database.collection_with_options::<RawDocumentBuf>(&name, options);
        let begin = async move {
            let cursor = collection.find(doc! {}).sort(doc! { "_id": 1 }).session(&mut session);
            let cursor = cursor.await?;
            Ok((cursor, session))
        };
        let mut open = self.call("read a collection", begin).await?;
        loop {
            let (cursor, session) = open;
            let more = async move { read_some(cursor, session).await };
            let (cursor, session, documents) = self.call("read a collection", more).await?;
            let last = documents.len() < AT_ONCE;
            for document in &documents {
                writer.put(document.as_bytes())?;
            }
            if last {
                return Ok((writer.finish(name)?, session));
            }
            open = (cursor, session);
        }
    }
}

type Read = (SessionCursor<RawDocumentBuf>, ClientSession, Vec<RawDocumentBuf>);

async fn read_some(
    mut cursor: SessionCursor<RawDocumentBuf>,
    mut session: ClientSession,
) -> Result<Read, mongodb::error::Error> {
    let documents = {
        let mut stream = cursor.stream(&mut session);
        let mut documents = Vec::new();
        while documents.len() < AT_ONCE
            && let Some(document) = stream.next().await
        {
            documents.push(document?);
        }
        documents
    };
    Ok((cursor, session, documents))
}
