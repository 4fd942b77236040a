//! The key of the workers' labels: one, whichever version asks for it first, and out of `meta` once no
//! older version needs it there.

use bson::{Binary, Bson, Document, doc, spec::BinarySubtype};
use futures::future::join_all;
use mongodb::options::ReturnDocument;
use portcall_shared::{
    domain::ids::WorkerId,
    store::{
        SCHEMA,
        contract::{CONTRACTIONS, Contracted},
        processes::Process,
    },
};

use crate::subject::{InMongo, Subject};

/// How often a race is run.
const RACES: usize = 12;

/// From then on no version before the one that moved it starts.
const DONE: Contracted = Contracted::Done { floor: 2 };

type Key = [u8; 32];

fn bytes(document: Option<&Document>) -> Option<Key> {
    match document?.get("key") {
        Some(Bson::Binary(key)) => key.bytes.as_slice().try_into().ok(),
        _ => None,
    }
}

/// What a worker of version 1 does for its key; none if it does not start.
async fn asked_by_an_older_one(subject: &InMongo) -> Option<Key> {
    let bytes_of_it = rand::random::<Key>().to_vec();
    let fresh = Binary { subtype: BinarySubtype::Generic, bytes: bytes_of_it };
    let meta = subject.database().await.collection::<Document>("meta");
    let unless_there = doc! { "$setOnInsert": { "key": fresh } };
    let found = meta.find_one_and_update(doc! { "_id": "label-key" }, unless_there).upsert(true);
    bytes(found.return_document(ReturnDocument::After).await.unwrap().as_ref())
}

/// The key in a collection.
async fn lies_in(subject: &InMongo, collection: &str) -> Option<Key> {
    let collection = subject.database().await.collection::<Document>(collection);
    bytes(collection.find_one(doc! { "_id": "label-key" }).await.unwrap().as_ref())
}

/// As it was before anybody asked.
async fn forget(subject: &InMongo) {
    for name in ["meta", "keys"] {
        let collection = subject.database().await.collection::<Document>(name);
        collection.delete_one(doc! { "_id": "label-key" }).await.unwrap();
    }
}

async fn contract(subject: &InMongo) -> Contracted {
    subject.another().await.contract(CONTRACTIONS).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_has_a_key_keeps_it() {
    let subject = InMongo::open().await;
    let key = asked_by_an_older_one(&subject).await.expect("it makes one");
    assert_eq!(subject.0.label_key().await.unwrap(), key);
    assert_eq!(lies_in(&subject, "keys").await, Some(key));
    // Both go on to find it, also those that start later.
    assert_eq!(asked_by_an_older_one(&subject).await, Some(key));
    assert_eq!(subject.another().await.label_key().await.unwrap(), key);
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_worker_finds_the_key_that_a_newer_one_made() {
    let subject = InMongo::open().await;
    let key = subject.0.label_key().await.unwrap();
    assert_eq!(asked_by_an_older_one(&subject).await, Some(key));
    assert_eq!(subject.another().await.label_key().await.unwrap(), key);
    subject.close().await;
    // The control: of another database it is another.
    let other = InMongo::open().await;
    assert_ne!(other.0.label_key().await.unwrap(), key);
    other.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_versions_that_start_first_at_once_both_have_one_key() {
    let subject = InMongo::open().await;
    let newer = join_all((0..4).map(|_| subject.another())).await;
    for _ in 0..RACES {
        let older = join_all((0..4).map(|_| asked_by_an_older_one(&subject)));
        let asked = join_all(newer.iter().map(|store| store.label_key()));
        let (older, asked) = tokio::join!(older, asked);
        let mut keys: Vec<Key> = older.into_iter().flatten().collect();
        keys.extend(asked.into_iter().map(Result::unwrap));
        assert_eq!(keys.len(), 8);
        let key = keys[0];
        assert!(keys.iter().all(|other| *other == key), "{keys:?}");
        assert_eq!(lies_in(&subject, "meta").await, Some(key));
        assert_eq!(lies_in(&subject, "keys").await, Some(key));
        forget(&subject).await;
    }
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_taken_out_of_meta_once_nobody_older_is_there() {
    let subject = InMongo::open().await;
    let key = subject.0.label_key().await.unwrap();
    let older = subject.another().await.of_version(1);
    let worker = Process::worker(WorkerId::new(), "w1", "1");
    let worker = older.list_process(worker).await.unwrap();
    let refused = contract(&subject).await;
    assert!(matches!(&refused, Contracted::Refused(older) if older[0].name == "w1"), "{refused:?}");
    assert_eq!(asked_by_an_older_one(&subject).await, Some(key), "it starts again, and finds it");

    worker.leave().await;
    assert_eq!(contract(&subject).await, DONE);
    assert_eq!(lies_in(&subject, "meta").await, None);
    assert_eq!(subject.another().await.label_key().await.unwrap(), key);
    assert_eq!(asked_by_an_older_one(&subject).await, None, "and makes no other one");
    assert_eq!(contract(&subject).await, DONE, "and again changes nothing");
    assert_eq!(lies_in(&subject, "keys").await, Some(key));
    assert_eq!(lies_in(&subject, "meta").await, None);
    subject.close().await;
}

/// Where no worker of this version was there before it is contracted.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_contracted_early_is_not_lost() {
    let subject = InMongo::open().await;
    let key = asked_by_an_older_one(&subject).await.expect("it makes one");
    assert_eq!(contract(&subject).await, DONE);
    assert_eq!(lies_in(&subject, "meta").await, None);
    assert_eq!(subject.0.label_key().await.unwrap(), key);
    subject.close().await;

    let fresh = InMongo::open().await;
    assert_eq!(contract(&fresh).await, DONE);
    let newer = join_all((0..8).map(|_| fresh.another())).await;
    let keys = join_all(newer.iter().map(|store| store.label_key())).await;
    let keys: Vec<Key> = keys.into_iter().map(Result::unwrap).collect();
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert_eq!(lies_in(&fresh, "meta").await, None, "it never was there");
    fresh.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contracting_while_workers_start_for_the_first_time_leaves_one_key() {
    let subject = InMongo::open().await;
    let newer = join_all((0..4).map(|_| subject.another())).await;
    for race in 0..RACES {
        let before = if race % 2 == 0 { asked_by_an_older_one(&subject).await } else { None };
        let asked = join_all(newer.iter().map(|store| store.label_key()));
        let (asked, contracted) = tokio::join!(asked, contract(&subject));
        assert_eq!(contracted, DONE);
        let keys: Vec<Key> = asked.into_iter().map(Result::unwrap).collect();
        let key = before.unwrap_or(keys[0]);
        assert!(keys.iter().all(|other| *other == key), "{before:?}: {keys:?}");
        assert_eq!(lies_in(&subject, "keys").await, Some(key));
        assert_eq!(lies_in(&subject, "meta").await, None);
        forget(&subject).await;
    }
    assert_eq!(subject.0.floor().await.unwrap(), SCHEMA);
    subject.close().await;
}
