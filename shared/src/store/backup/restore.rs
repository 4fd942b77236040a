//! Restoring: into an empty database only, and all of it or nothing that anybody takes for a database.
//!
//! Everything is looked at before anything is written. While it is written the database has a mark by
//! which every program of ours refuses it ([`StoreError::Restoring`]); a restore that did not end leaves
//! the mark, and the database is dropped and restored again.

use std::path::Path;

use bson::{RawDocumentBuf, doc};

use super::{AT_ONCE, BackupError, Manifest, Part, files};
use crate::{
    retry,
    store::{Store, migrations::TAKE_OVER},
};

/// The mark.
pub(in crate::store) const RESTORING: &str = "restoring";
/// How many bytes are written in one go: far below the largest message.
const BYTES_AT_ONCE: usize = 8 * 1024 * 1024;

impl Store {
    /// Writes what a folder holds into the database, which must be empty.
    ///
    /// # Errors
    /// When the folder is no whole backup or of a newer version, the database holds something, or the
    /// store cannot.
    pub async fn restore(&self, folder: &Path) -> Result<Manifest, BackupError> {
        let manifest = files::read_manifest(folder)?;
        for part in &manifest.collections {
            files::check(folder, part)?;
        }
        let there = self.collection_names().await?;
        if !there.is_empty() {
            return Err(BackupError::NotEmpty(there));
        }
        self.mark_restoring().await?;
        self.apply_migrations(TAKE_OVER).await?;
        for part in &manifest.collections {
            self.restore_collection(folder, part).await?;
        }
        // A version that kept it elsewhere may have made the backup.
        self.label_key().await?;
        self.unmark_restoring().await?;
        Ok(manifest)
    }

    async fn restore_collection(&self, folder: &Path, part: &Part) -> Result<(), BackupError> {
        let (mut some, mut bytes) = (Vec::new(), 0);
        for document in files::Reader::open(folder, &part.collection)? {
            let document = document?;
            // The migrations have just been applied, by this build.
            let own = part.collection == "meta"
                && document.get_str("_id").is_ok_and(|id| id.starts_with("migration-"));
            if own {
                continue;
            }
            bytes += document.as_bytes().len();
            some.push(document);
            if some.len() == AT_ONCE || bytes >= BYTES_AT_ONCE {
                self.insert_some(&part.collection, std::mem::take(&mut some)).await?;
                bytes = 0;
            }
        }
        match some.is_empty() {
            true => Ok(()),
            false => self.insert_some(&part.collection, some).await,
        }
    }

    async fn insert_some(
        &self,
        collection: &str,
        documents: Vec<RawDocumentBuf>,
    ) -> Result<(), BackupError> {
        let collection = self.database.collection::<RawDocumentBuf>(collection);
        let insert = async move { collection.insert_many(documents).await };
        self.call("restore a collection", insert).await?;
        Ok(())
    }

    async fn mark_restoring(&self) -> Result<(), BackupError> {
        let meta = self.meta.clone();
        // Of two that restore at once one fails here.
        let mark = async move { meta.insert_one(doc! { "_id": RESTORING }).await };
        self.call("mark the database", mark).await?;
        Ok(())
    }

    async fn unmark_restoring(&self) -> Result<(), BackupError> {
        let meta = self.meta.clone();
        self.persist(retry::INTERACTIVE, "take the mark off the database", move || {
            let meta = meta.clone();
            async move { meta.delete_one(doc! { "_id": RESTORING }).await }
        })
        .await?;
        Ok(())
    }
}
