//! Backups: of one moment, byte by byte, into an empty database only, and refused when they are not
//! whole.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bson::{Bson, Document, RawDocumentBuf, doc};
use futures::TryStreamExt;
use mongodb::Database;
use portcall_shared::{
    domain::{event_file, evidence::Evidence, ids::WorkerId, state::Pass},
    store::{
        SCHEMA, StoreError,
        backup::BackupError,
        queue::{Claimant, Lease, Queue, Record, Settlement, Write},
        submissions::sha256_hex,
    },
};
use tempfile::TempDir;

use crate::subject::{InMongo, Subject, now, submission};

/// A place for a backup.
fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("backup");
    (dir, folder)
}

/// All that a database holds but who is there, byte by byte.
async fn all(database: &Database) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut all = BTreeMap::new();
    for name in database.list_collection_names().await.unwrap() {
        if ["workers", "nodes", "processes"].contains(&name.as_str()) {
            continue;
        }
        let found = database.collection::<RawDocumentBuf>(&name).find(doc! {}).await.unwrap();
        let found: Vec<RawDocumentBuf> = found.try_collect().await.unwrap();
        let mut found: Vec<Vec<u8>> = found.into_iter().map(RawDocumentBuf::into_bytes).collect();
        found.sort_unstable();
        all.insert(name, found);
    }
    all
}

async fn indexes(database: &Database) -> Vec<String> {
    let all = database.collection::<Document>("submissions").list_index_names().await;
    let mut all = all.unwrap_or_default();
    all.sort_unstable();
    all
}

/// One that passed and one that waits, with rules, a key, and something of a newer version's.
async fn filled() -> InMongo {
    let subject = InMongo::open().await;
    let store = &subject.0;
    let source = include_str!("../../../infra/events/birthday-3.toml");
    store.apply_event(&event_file::parse(source).unwrap(), source).await.unwrap();
    store.label_key().await.unwrap();
    store.order_drain("n1", "a test").await.unwrap();
    let by = Claimant { id: WorkerId::new(), name: "w".into() };
    store.beat(&by, 1).await.unwrap();
    subject.put(submission("Gordon", now())).await;
    let claimed = store.claim(&by).await.unwrap().expect("one");
    let lease =
        Lease { submission: claimed.id, worker: by.id, generation: claimed.life.generation };
    let evidence = Evidence::default();
    let record = Record { at: now(), node: None, grading_ms: 1, steps: Vec::new(), evidence };
    let settlement = Settlement { pass: Pass::Yes, reason: None, record };
    assert_eq!(store.settle(lease, &settlement).await.unwrap(), Write::Applied);
    subject.put(submission("Other", now())).await;
    let newer = doc! { "$set": { "of_a_newer_version": { "a": [1, Bson::Null, 1.5] } } };
    let submissions = subject.database().await.collection::<Document>("submissions");
    submissions.update_many(doc! {}, newer).await.unwrap();
    subject
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_restored_is_what_was_there() {
    let (_dir, folder) = place();
    let was = filled().await;
    let written = was.0.back_up(&folder).await.unwrap();
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    for file in fs::read_dir(&folder).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "nobody else reads it");
    }
    let names: Vec<&str> = written.collections.iter().map(|p| p.collection.as_str()).collect();
    assert!(!names.contains(&"workers") && names.contains(&"submissions"), "{names:?}");

    let is = InMongo::open_bare().await;
    assert_eq!(is.0.restore(&folder).await.unwrap(), written);
    let (before, after) = (was.database().await, is.database().await);
    assert_eq!(all(&after).await, all(&before).await);
    assert!(indexes(&after).await.len() > 1);
    assert_eq!(indexes(&after).await, indexes(&before).await);
    assert_eq!(is.0.label_key().await.unwrap(), was.0.label_key().await.unwrap());
    assert_eq!(is.0.pins().await.unwrap(), was.0.pins().await.unwrap());
    assert_eq!(is.0.pins().await.unwrap().len(), 1);

    // It is a database like any other: what waited is graded.
    is.0.migrate().await.unwrap();
    let by = Claimant { id: WorkerId::new(), name: "w".into() };
    let waited = is.0.claim(&by).await.unwrap().expect("the one that waited");
    assert_eq!(waited.participant.name.to_string(), "Other");
    assert!(is.0.knows_secret(waited.id, "secret").await.unwrap());
    assert!(!is.0.knows_secret(waited.id, "another").await.unwrap());
    was.close().await;
    is.close().await;
}

/// Two counters, of which one runs before the other by one at most, in collections that are read one
/// after the other with much between them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_of_one_moment() {
    let subject = InMongo::open().await;
    let database = subject.database().await;
    let bulk = database.collection::<Document>("m_between");
    let some = (0..2_000).map(|n| doc! { "_id": n, "text": "x".repeat(2_000) });
    bulk.insert_many(some).await.unwrap();
    let counter = |name: &str| database.collection::<Document>(name);
    for name in ["a_second", "z_first"] {
        counter(name).insert_one(doc! { "_id": 0, "n": 0_i64 }).await.unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, writing) = (Arc::clone(&stop), database.clone());
    let writer = tokio::spawn(async move {
        let mut n = 0_i64;
        while !stopped.load(Ordering::Relaxed) {
            n += 1;
            for name in ["z_first", "a_second"] {
                let to = writing.collection::<Document>(name);
                to.update_one(doc! {}, doc! { "$set": { "n": n } }).await.unwrap();
            }
        }
    });
    let apart = |a: &Document, z: &Document| z.get_i64("n").unwrap() - a.get_i64("n").unwrap();

    // The control: read one after the other, without a snapshot, they are further apart.
    let read =
        |name: &'static str| async move { counter(name).find_one(doc! {}).await.unwrap().unwrap() };
    let mut control = 0;
    for _ in 0..20 {
        let a = read("a_second").await;
        let between: Vec<Document> = bulk.find(doc! {}).await.unwrap().try_collect().await.unwrap();
        assert_eq!(between.len(), 2_000);
        control = control.max(apart(&a, &read("z_first").await));
    }
    assert!(control > 1, "the writer wrote nothing meanwhile");

    for _ in 0..3 {
        let (_dir, folder) = place();
        subject.0.back_up(&folder).await.unwrap();
        let restored = InMongo::open_bare().await;
        restored.0.restore(&folder).await.unwrap();
        let restored_database = restored.database().await;
        let one = |name: &str| {
            let from = restored_database.collection::<Document>(name);
            async move { from.find_one(doc! {}).await.unwrap().unwrap() }
        };
        let apart = apart(&one("a_second").await, &one("z_first").await);
        assert!((0..=1).contains(&apart), "{apart} apart");
        restored.close().await;
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    subject.close().await;
}

/// Changes a file of a backup.
fn change(folder: &Path, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = folder.join(file);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

type Harm = (&'static str, fn(&Path));

const HARMS: &[Harm] = &[
    ("a byte is another", |folder| change(folder, "submissions.bson.gz", |b| b[20] ^= 1)),
    ("it ends early", |folder| change(folder, "submissions.bson.gz", |b| b.truncate(b.len() - 9))),
    ("a file is missing", |folder| fs::remove_file(folder.join("events.bson.gz")).unwrap()),
    ("it was never finished", |folder| fs::remove_file(folder.join("backup.json")).unwrap()),
    ("it is another's", |folder| {
        let text = fs::read_to_string(folder.join("backup.json")).unwrap();
        let text = text.replace("\"documents\": 2", "\"documents\": 3");
        fs::write(folder.join("backup.json"), text).unwrap();
    }),
    ("it leads elsewhere", |folder| {
        let text = fs::read_to_string(folder.join("backup.json")).unwrap();
        let text = text.replace("\"submissions\"", "\"../submissions\"");
        fs::write(folder.join("backup.json"), text).unwrap();
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_whole_is_refused_before_anything_is_written() {
    let was = filled().await;
    let is = InMongo::open_bare().await;
    for (what, harm) in HARMS {
        let (_dir, folder) = place();
        was.0.back_up(&folder).await.unwrap();
        harm(&folder);
        let error = is.0.restore(&folder).await.expect_err(what);
        let refused = matches!(error, BackupError::Damaged { .. } | BackupError::File { .. });
        assert!(refused, "{what}: {error}");
        assert!(is.database().await.list_collection_names().await.unwrap().is_empty(), "{what}");
    }
    let (_dir, folder) = place();
    was.0.back_up(&folder).await.unwrap();
    let again = was.0.back_up(&folder).await.unwrap_err();
    assert!(matches!(again, BackupError::File { .. }), "a backup takes no other's place: {again}");
    let newer = fs::read_to_string(folder.join("backup.json")).unwrap();
    let own = format!("\"schema\": {SCHEMA}");
    assert!(newer.contains(&own));
    let newer = newer.replace(&own, &format!("\"schema\": {}", SCHEMA + 1));
    let kept = fs::read(folder.join("backup.json")).unwrap();
    fs::write(folder.join("backup.json"), newer).unwrap();
    let error = is.0.restore(&folder).await.unwrap_err();
    assert!(matches!(error, BackupError::Newer { made, own } if made > own), "{error}");
    // The control: as it was written it is taken.
    fs::write(folder.join("backup.json"), kept).unwrap();
    is.0.restore(&folder).await.unwrap();
    was.close().await;
    is.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_holds_something_is_left_alone() {
    let (_dir, folder) = place();
    let was = filled().await;
    was.0.back_up(&folder).await.unwrap();
    let before = all(&was.database().await).await;
    let error = was.0.restore(&folder).await.unwrap_err();
    assert!(
        matches!(&error, BackupError::NotEmpty(has) if has.contains(&"meta".into())),
        "{error}"
    );
    assert_eq!(all(&was.database().await).await, before);
    was.close().await;
}

/// A restore that did not end: nobody takes what is there for a database.
#[tokio::test(flavor = "multi_thread")]
async fn a_half_restored_database_is_refused_by_every_process() {
    let (_dir, folder) = place();
    let was = filled().await;
    // Two documents with one id cannot both be written: the restore ends in the middle.
    let twice = was.database().await.collection::<Document>("zz_twice");
    twice.insert_many([doc! { "_id": 1 }, doc! { "_id": 2 }]).await.unwrap();
    was.0.back_up(&folder).await.unwrap();
    let path = folder.join("zz_twice.bson.gz");
    let one = bson::serialize_to_vec(&doc! { "_id": 1 }).unwrap();
    let mut file = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    file.write_all(&[one.clone(), one].concat()).unwrap();
    let file = file.finish().unwrap();
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("backup.json")).unwrap()).unwrap();
    let parts = manifest["collections"].as_array_mut().unwrap();
    let part = parts.iter_mut().find(|part| part["collection"] == "zz_twice").unwrap();
    part["bytes"] = file.len().into();
    part["sha256"] = sha256_hex(&file).into();
    fs::write(path, file).unwrap();
    fs::write(folder.join("backup.json"), manifest.to_string()).unwrap();

    let is = InMongo::open_bare().await;
    let error = is.0.restore(&folder).await.unwrap_err();
    assert!(matches!(error, BackupError::Store(StoreError::Driver { .. })), "{error}");
    let refused = is.another().await.migrate().await.unwrap_err();
    assert!(matches!(refused, StoreError::Restoring), "{refused}");
    let again = is.0.restore(&folder).await.unwrap_err();
    assert!(matches!(again, BackupError::NotEmpty(_)), "{again}");
    // The control: without the mark it would be taken for whole.
    let meta = is.database().await.collection::<Document>("meta");
    meta.delete_one(doc! { "_id": "restoring" }).await.unwrap();
    is.another().await.migrate().await.unwrap();
    was.close().await;
    is.close().await;
}
