//! The files of a backup: one writer, one reader, and what makes a folder whole.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use bson::RawDocumentBuf;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use sha2::{Digest, Sha256};

use super::{BackupError, FORMAT, MANIFEST, Manifest, Part};
use crate::store::{SCHEMA, migrations::VERSION};

/// The largest document, in bytes: MongoDB's own limit of 16 MiB with some room for its overhead.
const LARGEST: usize = 16 * 1024 * 1024 + 16 * 1024;
/// The largest manifest, in bytes.
const LARGEST_MANIFEST: u64 = 1024 * 1024;

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::File { doing, path, source }
}

fn damaged(path: &Path, what: impl Into<String>) -> BackupError {
    BackupError::Damaged { path: path.to_owned(), what: what.into() }
}

fn file_of(folder: &Path, collection: &str) -> PathBuf {
    folder.join(format!("{collection}.bson.gz"))
}

/// Makes the folder of a backup, for its owner only.
pub(super) fn make_folder(folder: &Path) -> Result<(), BackupError> {
    DirBuilder::new().mode(0o700).create(folder).map_err(failed("make the folder", folder))
}

fn create(path: &Path) -> Result<File, BackupError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(path).map_err(failed("write", path))
}

/// Writes the file that makes a folder a backup.
pub(super) fn write_manifest(folder: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let (path, new) = (folder.join(MANIFEST), folder.join(format!("{MANIFEST}.new")));
    let text = serde_json::to_vec_pretty(manifest).map_err(io::Error::other);
    let text = text.map_err(failed("write", &new))?;
    let mut file = create(&new)?;
    let written = file.write_all(&text).and_then(|()| file.sync_all());
    written.and_then(|()| fs::rename(&new, &path)).map_err(failed("write", &path))?;
    // The names, too, are to be there after a loss of power.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("write", folder))
}

/// Reads what a folder is a backup of.
pub(super) fn read_manifest(folder: &Path) -> Result<Manifest, BackupError> {
    let path = folder.join(MANIFEST);
    let mut text = Vec::new();
    let file = File::open(&path).map_err(failed("read", &path))?;
    file.take(LARGEST_MANIFEST).read_to_end(&mut text).map_err(failed("read", &path))?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| damaged(&path, error.to_string()))?;
    if manifest.format != FORMAT {
        return Err(damaged(&path, format!("format {} is not known", manifest.format)));
    }
    let newer = [(manifest.schema, SCHEMA), (manifest.migrations, VERSION)];
    if let Some((made, own)) = newer.into_iter().find(|(made, own)| made > own) {
        return Err(BackupError::Newer { made, own });
    }
    let plain = |name: &str| {
        !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    };
    match manifest.collections.iter().find(|part| !plain(&part.collection)) {
        Some(part) => Err(damaged(&path, format!("`{}` is no collection", part.collection))),
        None => Ok(manifest),
    }
}

/// Counts and hashes what goes through.
struct Measured<W> {
    to: W,
    bytes: u64,
    hash: Sha256,
}

impl<W: Write> Write for Measured<W> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        let written = self.to.write(part)?;
        self.bytes += written as u64;
        self.hash.update(&part[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Writes a collection.
pub(super) struct Writer {
    path: PathBuf,
    file: GzEncoder<Measured<BufWriter<File>>>,
    documents: u64,
}

impl Writer {
    pub(super) fn new(folder: &Path, collection: &str) -> Result<Self, BackupError> {
        let path = file_of(folder, collection);
        let to = BufWriter::new(create(&path)?);
        let measured = Measured { to, bytes: 0, hash: Sha256::new() };
        Ok(Self { path, file: GzEncoder::new(measured, Compression::default()), documents: 0 })
    }

    pub(super) fn put(&mut self, document: &[u8]) -> Result<(), BackupError> {
        self.documents += 1;
        self.file.write_all(document).map_err(failed("write", &self.path))
    }

    pub(super) fn finish(self, collection: String) -> Result<Part, BackupError> {
        let Self { path, file, documents } = self;
        let finish = || {
            let mut measured = file.finish()?;
            measured.flush()?;
            measured.to.get_ref().sync_all()?;
            Ok(measured)
        };
        let measured = finish().map_err(failed("write", &path))?;
        let sha256 = hex(&measured.hash.finalize());
        Ok(Part { collection, documents, bytes: measured.bytes, sha256 })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Looks at a whole collection: its digest, and that every document in it is one.
pub(super) fn check(folder: &Path, part: &Part) -> Result<(), BackupError> {
    let path = file_of(folder, &part.collection);
    let mut file = File::open(&path).map_err(failed("read", &path))?;
    let mut hash = Sha256::new();
    let bytes = io::copy(&mut file, &mut hash).map_err(failed("read", &path))?;
    if bytes != part.bytes || hex(&hash.finalize()) != part.sha256 {
        return Err(damaged(&path, "it is not the file that was written"));
    }
    let mut documents = 0;
    for document in Reader::open(folder, &part.collection)? {
        document?;
        documents += 1;
    }
    match documents == part.documents {
        true => Ok(()),
        false => Err(damaged(&path, format!("{documents} documents, not {}", part.documents))),
    }
}

/// Reads a collection, document by document.
pub(super) struct Reader {
    path: PathBuf,
    file: GzDecoder<BufReader<File>>,
}

impl Reader {
    pub(super) fn open(folder: &Path, collection: &str) -> Result<Self, BackupError> {
        let path = file_of(folder, collection);
        let file = File::open(&path).map_err(failed("read", &path))?;
        Ok(Self { path, file: GzDecoder::new(BufReader::new(file)) })
    }

    fn read(&mut self) -> Result<Option<RawDocumentBuf>, BackupError> {
        let mut length = [0; 4];
        // A file that ends within a length was cut; only its whole absence is the end.
        match self.file.read(&mut length[..1]).map_err(failed("read", &self.path))? {
            0 => return Ok(None),
            _ => self.file.read_exact(&mut length[1..]).map_err(failed("read", &self.path))?,
        }
        let size = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if !(5..=LARGEST).contains(&size) {
            return Err(damaged(&self.path, format!("a document of {size} bytes")));
        }
        let mut document = vec![0; size];
        document[..4].copy_from_slice(&length);
        self.file.read_exact(&mut document[4..]).map_err(failed("read", &self.path))?;
        let document = RawDocumentBuf::from_bytes(document);
        document.map(Some).map_err(|error| damaged(&self.path, error.to_string()))
    }
}

impl Iterator for Reader {
    type Item = Result<RawDocumentBuf, BackupError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
