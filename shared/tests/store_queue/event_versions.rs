//! Many versions of an event's rules: what is read of them is what is needed.

use bson::{DateTime, Document, doc};
use portcall_shared::{
    domain::event_file,
    store::events::{AppliedEvent, MAX_VERSIONS},
};

use crate::subject::{InMongo, Subject};

fn file(slug: &str, title: &str, question: &str) -> String {
    format!(
        "slug = \"{slug}\"\ntitle = \"{title}\"\n[[answers]]\nname = \"{question}\"\n\
         [[checks]]\nname = \"c\"\nget = \"/\"\n"
    )
}

/// A version as it was stored before its questions were.
fn version(slug: &str, number: i32, source: &str) -> Document {
    doc! {
        "slug": slug, "version": number, "title": "T", "source": source, "schema": 1,
        "applied_at": DateTime::now(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_each_event_the_newest_version_alone_is_listed() {
    let subject = InMongo::open().await;
    let (store, database) = (&subject.0, subject.database().await);
    let events = database.collection::<Document>("events");
    for slug in ["a", "b"] {
        let of = |n: i32| version(slug, n, &file(slug, &format!("{slug} {n}"), "vote"));
        events.insert_many((1..=300).map(of)).await.unwrap();
    }
    events.insert_one(version("unreadable", 1, &file("unreadable", "U", "vote"))).await.unwrap();
    events.insert_one(version("unreadable", 2, "no = 1")).await.unwrap();
    let listed = store.events().await.unwrap();
    let told: Vec<(&str, i32, &str)> =
        listed.iter().map(|e| (e.event.slug.as_str(), e.version, e.event.title.as_str())).collect();
    assert_eq!(told, [("a", 300, "a 300"), ("b", 300, "b 300")]);

    // The index says which they are: no more files are read than there are events.
    let newest = doc! { "$group": { "_id": "$slug", "newest": { "$first": "$$ROOT" } } };
    let pipeline = vec![doc! { "$sort": { "slug": 1, "version": -1 } }, newest];
    let explain = doc! {
        "explain": { "aggregate": "events", "pipeline": pipeline, "cursor": {} },
        "verbosity": "executionStats",
    };
    let plan = database.run_command(explain).await.unwrap().to_string();
    assert!(plan.contains("DISTINCT_SCAN"), "{plan}");
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_versions_are_listed_and_no_more() {
    let subject = InMongo::open().await;
    let events = subject.database().await.collection::<Document>("events");
    let of = |n: i32| version("e", n, &file("e", "E", &format!("q{n}")));
    events.insert_many((1..=MAX_VERSIONS).map(of)).await.unwrap();
    let slug = "e".parse().unwrap();
    let numbers = async || {
        let all = subject.0.event_versions(&slug).await.unwrap();
        (all.len(), all[0].version, all[all.len() - 1].version)
    };
    assert_eq!(numbers().await, (500, 500, 1));
    assert!(subject.0.event_questions(&slug).await.unwrap().contains("q1"));
    let source = file("e", "E", "newest");
    let event = event_file::parse(&source).unwrap();
    assert_eq!(subject.0.apply_event(&event, &source).await.unwrap(), AppliedEvent::Version(501));
    assert_eq!(numbers().await, (500, 501, 2));
    let questions = subject.0.event_questions(&slug).await.unwrap();
    assert!(questions.contains("newest") && !questions.contains("q1") && questions.len() == 500);
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_questions_of_all_versions_are_known_without_their_files() {
    let subject = InMongo::open().await;
    let events = subject.database().await.collection::<Document>("events");
    events.insert_one(version("e", 1, &file("e", "E", "of_old"))).await.unwrap();
    events.insert_one(version("e", 2, "no = 1")).await.unwrap();
    let source = file("e", "E", "of_now");
    let event = event_file::parse(&source).unwrap();
    // What cannot be read any more is there to be replaced.
    assert_eq!(subject.0.apply_event(&event, &source).await.unwrap(), AppliedEvent::Version(3));
    let gone = doc! { "$set": { "source": "no = 1" } };
    events.update_one(doc! { "version": 3 }, gone).await.unwrap();
    let questions = subject.0.event_questions(&event.slug).await.unwrap();
    assert_eq!(questions.into_iter().collect::<Vec<_>>(), ["of_now", "of_old"]);
    assert!(subject.0.event_questions(&"o".parse().unwrap()).await.unwrap().is_empty());
    subject.close().await;
}
