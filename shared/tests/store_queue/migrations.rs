//! Migrations: applied once, whoever comes first and whoever dies half-way.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use bson::{Document, doc};
use futures::{TryStreamExt, future::try_join_all};
use mongodb::error::ErrorKind;
use portcall_shared::store::migrations::VERSION;

use crate::subject::{InMongo, Subject};

/// Longer than a migration takes, shorter than anybody wants to wait for a test.
const PATIENCE: Duration = Duration::from_millis(300);

/// The record of each migration, in order.
async fn recorded(subject: &InMongo) -> Vec<(String, bool)> {
    let meta = subject.database().await.collection::<Document>("meta");
    let found = meta.find(doc! { "_id": { "$regex": "^migration-" } }).sort(doc! { "_id": 1 });
    let found: Vec<Document> = found.await.unwrap().try_collect().await.unwrap();
    let read = |d: &Document| (d.get_str("_id").unwrap().to_owned(), d.get_bool("done").unwrap());
    found.iter().map(read).collect()
}

fn all_done() -> Vec<(String, bool)> {
    (1..=VERSION).map(|number| (format!("migration-{number}"), true)).collect()
}

async fn indexes(subject: &InMongo, collection: &str) -> BTreeSet<String> {
    let collection = subject.database().await.collection::<Document>(collection);
    match collection.list_index_names().await {
        Ok(names) => names.into_iter().collect(),
        Err(error) => match error.kind.as_ref() {
            ErrorKind::Command(e) if e.code_name == "NamespaceNotFound" => BTreeSet::new(),
            _ => panic!("{error}"),
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_at_once_run_each_migration_once() {
    let subject = InMongo::open_bare().await;
    let database = subject.database().await;
    database.run_command(doc! { "profile": 2 }).await.unwrap();
    let mut stores = Vec::new();
    for _ in 0..8 {
        stores.push(subject.another().await);
    }
    let migrations = stores.into_iter().map(|store| {
        let migration = async move { store.migrate().await };
        async { tokio::spawn(migration).await.expect("no panic") }
    });
    try_join_all(migrations).await.unwrap();
    database.run_command(doc! { "profile": 0 }).await.unwrap();

    assert_eq!(recorded(&subject).await, all_done());
    // Asked of the server's own profiler: no index was made twice.
    let profile = database.collection::<Document>("system.profile");
    let made = doc! { "command.createIndexes": { "$exists": true } };
    let commands: Vec<Document> = profile.find(made).await.unwrap().try_collect().await.unwrap();
    let named = commands.iter().flat_map(|profiled| {
        let command = profiled.get_document("command").unwrap();
        let collection = command.get_str("createIndexes").unwrap();
        let indexes = command.get_array("indexes").unwrap().iter();
        indexes
            .map(move |index| (collection, index.as_document().unwrap().get_str("name").unwrap()))
    });
    let named: Vec<_> = named.collect();
    let once: BTreeSet<_> = named.iter().collect();
    assert_eq!(named.len(), once.len(), "{named:?}");
    assert!(commands.len() >= usize::try_from(VERSION).unwrap(), "{named:?}");
    let of_submissions = indexes(&subject, "submissions").await;
    for name in ["claim", "lane", "idempotency", "state", "delayed", "event"] {
        assert!(of_submissions.contains(name), "no {name} in {of_submissions:?}");
    }
    assert!(indexes(&subject, "events").await.contains("version"));

    // Whoever comes later finds nothing to do.
    let key = subject.another().await.label_key().await.unwrap();
    subject.another().await.migrate().await.unwrap();
    assert_eq!(subject.0.label_key().await.unwrap(), key);
    assert_eq!(recorded(&subject).await, all_done());
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_whose_process_died_is_taken_over() {
    let subject = InMongo::open_bare().await;
    let meta = subject.database().await.collection::<Document>("meta");
    meta.insert_one(doc! { "_id": "migration-1", "done": false }).await.unwrap();
    let began = Instant::now();
    let several = (0..3).map(|_| {
        let store = subject.0.clone();
        async move { store.migrate_taking_over_after(PATIENCE).await }
    });
    try_join_all(several).await.unwrap();
    assert!(began.elapsed() >= PATIENCE, "it might still have been at work");
    assert_eq!(recorded(&subject).await, all_done());
    assert!(indexes(&subject, "submissions").await.contains("claim"));
    subject.close().await;
}

/// The control: while the one that began is patiently waited for, nobody runs it too.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_is_under_way_is_waited_for() {
    let subject = InMongo::open_bare().await;
    let meta = subject.database().await.collection::<Document>("meta");
    meta.insert_one(doc! { "_id": "migration-1", "done": false }).await.unwrap();
    let store = subject.0.clone();
    let waiting = tokio::spawn(async move { store.migrate().await });
    tokio::time::sleep(PATIENCE).await;
    assert!(!waiting.is_finished());
    assert!(indexes(&subject, "submissions").await.is_empty(), "it was left to the other one");
    let done = doc! { "$set": { "done": true } };
    meta.update_one(doc! { "_id": "migration-1" }, done).await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(recorded(&subject).await, all_done());
    assert!(!indexes(&subject, "submissions").await.contains("claim"), "and believed to be done");
    subject.close().await;
}
