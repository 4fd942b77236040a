//! `portcall backup` and `portcall restore`: all that the database holds, in a folder of files.

use std::path::PathBuf;

use clap::Args;
use portcall_shared::store::{Store, backup::BackupError, backup::Manifest};

use crate::failure::{Failure, chain};

#[derive(Args)]
pub(crate) struct BackupArgs {
    /// The folder to write it to, which must not be there yet. Only its owner can read it: it holds
    /// what participants said of themselves, and the key of the workers' labels.
    folder: PathBuf,
}

#[derive(Args)]
pub(crate) struct RestoreArgs {
    /// The folder that `portcall backup` wrote.
    folder: PathBuf,
}

pub(crate) async fn back_up(args: BackupArgs, store: &Store) -> Result<(), Failure> {
    let manifest = store.back_up(&args.folder).await.map_err(failure)?;
    tell(&manifest, "written to", &args.folder);
    Ok(())
}

pub(crate) async fn restore(args: RestoreArgs, store: &Store) -> Result<(), Failure> {
    let manifest = store.restore(&args.folder).await.map_err(failure)?;
    tell(&manifest, "restored from", &args.folder);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is what the command says to its user")]
fn tell(manifest: &Manifest, done: &str, folder: &std::path::Path) {
    for part in &manifest.collections {
        println!("{}\t{}", part.collection, part.documents);
    }
    println!("{} documents {done} {}", manifest.documents(), folder.display());
}

fn failure(error: BackupError) -> Failure {
    match error {
        BackupError::Store(error) => error.into(),
        BackupError::NotEmpty(_) => Failure::Failed(format!(
            "{error}\nname another with PORTCALL_MONGODB_DATABASE, or remove it: portcall store drop"
        )),
        BackupError::File { .. }
        | BackupError::Damaged { .. }
        | BackupError::Newer { .. }
        | BackupError::NoSnapshot => Failure::Failed(chain(&error)),
    }
}
