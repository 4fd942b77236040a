//! What organisers do to submissions and events, on MongoDB: hiding, queueing again, closing.

use bson::{Bson, Document, doc};
use portcall_shared::{
    domain::{
        ids::{EventSlug, SubmissionId, WorkerId},
        state::{MAX_AGE, Pass, State},
    },
    store::{
        Store,
        moderation::Visibility,
        pins::Pin,
        queue::{Claimant, Lease, Queue, Record, Settlement, Write},
        tokens::{Role, Token},
    },
};

use crate::subject::{InMongo, Subject, now, submission};

async fn set(subject: &InMongo, id: SubmissionId, fields: Document) {
    let all = subject.database().await.collection::<Document>("submissions");
    let id = bson::Uuid::from_bytes(id.uuid().into_bytes());
    all.update_one(doc! { "_id": id }, doc! { "$set": fields }).await.unwrap();
}

async fn settle(store: &Store, pass: Pass) -> SubmissionId {
    let by = Claimant { id: WorkerId::new(), name: "w".into() };
    let claimed = store.claim(&by).await.unwrap().expect("one waits");
    let generation = claimed.life.generation;
    let lease = Lease { submission: claimed.id, worker: by.id, generation };
    let record = Record {
        at: now(),
        node: None,
        grading_ms: 1,
        steps: Vec::new(),
        evidence: Default::default(),
    };
    let settlement = Settlement { pass, reason: None, record };
    assert_eq!(store.settle(lease, &settlement).await.unwrap(), Write::Applied);
    claimed.id
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_is_no_pin_until_it_is_shown_again() {
    let subject = InMongo::open().await;
    let (store, id) = (&subject.0, subject.put(submission("a", now())).await.id);
    settle(store, Pass::Yes).await;
    let before = subject.get(id).await;
    assert!(Pin::of(&before).is_some());

    assert_eq!(store.show_as(id, Visibility::Hidden).await.unwrap(), Write::Applied);
    let hidden = subject.get(id).await;
    assert!(hidden.marks.hidden && Pin::of(&hidden).is_none());
    assert_eq!(hidden.revision, before.revision + 1);
    assert_eq!(store.pins().await.unwrap(), []);
    assert_eq!(hidden.verdict, before.verdict, "the verdict stays");

    assert_eq!(store.show_as(id, Visibility::Hidden).await.unwrap(), Write::Applied);
    assert_eq!(subject.get(id).await, hidden, "again changes nothing");
    assert_eq!(store.show_as(id, Visibility::Shown).await.unwrap(), Write::Applied);
    let shown = subject.get(id).await;
    assert_eq!((shown.marks.hidden, shown.revision), (false, hidden.revision + 1));
    assert_eq!(store.show_as(id, Visibility::Shown).await.unwrap(), Write::Applied);
    assert_eq!(subject.get(id).await, shown);
    assert_eq!(store.pins().await.unwrap().len(), 1);

    let nobody = SubmissionId::new();
    assert_eq!(store.show_as(nobody, Visibility::Hidden).await.unwrap(), Write::Missing);
    let of = bson::Uuid::from_bytes(nobody.uuid().into_bytes());
    set(&subject, id, doc! { "trial_of": of }).await;
    assert_eq!(store.show_as(id, Visibility::Hidden).await.unwrap(), Write::Missing, "a trial");
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_undetermined_is_queued_again() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    let long_ago = now() - MAX_AGE - time::Duration::minutes(10);
    let late = subject.put(submission("late", long_ago)).await;
    assert_eq!(store.requeue(late.id).await.unwrap(), Write::Stale, "while it is queued");
    store.sweep(now()).await.unwrap();
    let ended = subject.get(late.id).await;
    assert_eq!(ended.life.state, State::Undetermined);

    assert_eq!(store.requeue(late.id).await.unwrap(), Write::Applied);
    let again = subject.get(late.id).await;
    assert_eq!((again.life.state, again.life.lost, &again.verdict), (State::Queued, 0, &None));
    assert_eq!(again.revision, ended.revision + 1);
    let deadline = again.life.deadline.expect("when something happens at the latest");
    assert!(deadline > now() + MAX_AGE - time::Duration::minutes(1), "it has its time again");
    assert_eq!(store.requeue(late.id).await.unwrap(), Write::Stale, "once");
    assert_eq!(store.sweep(now()).await.unwrap().overdue, 0);
    // It is graded like any other, and takes none of its participant's places.
    assert_eq!(settle(store, Pass::Yes).await, late.id);
    let graded = subject.get(late.id).await;
    assert_eq!((graded.life.state, graded.attempts.len()), (State::Passed, 1));
    assert_eq!(store.requeue(late.id).await.unwrap(), Write::Stale, "it has a verdict");
    assert_eq!(store.requeue(SubmissionId::new()).await.unwrap(), Write::Missing);
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_and_trials_are_not_queued_again() {
    let subject = InMongo::open().await;
    let long_ago = now() - MAX_AGE - time::Duration::minutes(10);
    let late = subject.put(submission("late", long_ago)).await;
    subject.0.sweep(now()).await.unwrap();
    let of = bson::Uuid::from_bytes(SubmissionId::new().uuid().into_bytes());
    for mark in [
        doc! { "erased_at": bson::DateTime::now() },
        doc! { "erased_at": Bson::Null, "trial_of": of },
    ] {
        set(&subject, late.id, mark.clone()).await;
        assert_eq!(subject.0.requeue(late.id).await.unwrap(), Write::Stale, "{mark}");
        assert_eq!(subject.get(late.id).await.life.state, State::Undetermined);
    }
    set(&subject, late.id, doc! { "trial_of": Bson::Null }).await;
    assert_eq!(subject.0.requeue(late.id).await.unwrap(), Write::Applied, "the control");
    subject.close().await;
}

/// Twenty at once queue it once: one attempt comes of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_queues_it_again_once() {
    let subject = InMongo::open().await;
    let long_ago = now() - MAX_AGE - time::Duration::minutes(10);
    let late = subject.put(submission("late", long_ago)).await;
    subject.0.sweep(now()).await.unwrap();
    let before = subject.get(late.id).await.revision;
    let crowd = (0..20).map(|_| subject.0.requeue(late.id));
    let writes = futures::future::join_all(crowd).await;
    assert!(writes.iter().any(|write| matches!(write, Ok(Write::Applied))));
    assert_eq!(subject.get(late.id).await.revision, before + 1);
    subject.close().await;
}

async fn token(store: &Store, name: &str) -> Token {
    store.create_token(name, Role::Operator, None).await.unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_closed_until_it_is_reopened() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    let (ann, ben) = (token(store, "Ann").await, token(store, "Ben").await);
    let (event, other): (EventSlug, EventSlug) = ("e".parse().unwrap(), "o".parse().unwrap());
    assert_eq!(store.event_closing(&event).await.unwrap(), None);
    store.reopen_event(&event, &ann).await.unwrap();
    assert_eq!(store.event_closing(&event).await.unwrap(), None, "it was open");

    store.close_event(&event, &ann).await.unwrap();
    let closing = store.event_closing(&event).await.unwrap().expect("it is closed");
    assert_eq!(closing.by, "Ann");
    assert!((now() - closing.at).abs() < time::Duration::seconds(5));
    store.close_event(&event, &ben).await.unwrap();
    assert_eq!(store.event_closing(&event).await.unwrap().as_ref(), Some(&closing), "since then");
    assert_eq!(store.event_closing(&other).await.unwrap(), None);
    let all = store.event_closings().await.unwrap();
    assert_eq!(all.get("e"), Some(&closing));
    assert_eq!(all.len(), 1);

    store.reopen_event(&event, &ben).await.unwrap();
    assert_eq!(store.event_closing(&event).await.unwrap(), None);
    assert!(store.event_closings().await.unwrap().is_empty());
    store.close_event(&event, &ben).await.unwrap();
    assert_eq!(store.event_closing(&event).await.unwrap().expect("again").by, "Ben");
    // What a newer version wrote beside it stays.
    let doors = subject.database().await.collection::<Document>("doors");
    doors.update_one(doc! {}, doc! { "$set": { "newer": 1 } }).await.unwrap();
    store.reopen_event(&event, &ann).await.unwrap();
    assert_eq!(doors.find_one(doc! {}).await.unwrap().unwrap().get_i32("newer").ok(), Some(1));
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_of_an_event_is_listed() {
    use portcall_shared::domain::event_file;

    let subject = InMongo::open().await;
    let file = "slug = \"e\"\ntitle = \"One\"\n[[checks]]\nname = \"c\"\nget = \"/\"\n";
    for title in ["One", "Two", "Three"] {
        let source = file.replace("One", title);
        let event = event_file::parse(&source).unwrap();
        subject.0.apply_event(&event, &source).await.unwrap();
    }
    // One that this version cannot read is in the list all the same.
    let events = subject.database().await.collection::<Document>("events");
    let newer = doc! { "$set": { "source": "of a newer version", "schema": 99 } };
    events.update_one(doc! { "version": 2 }, newer).await.unwrap();
    let versions = subject.0.event_versions(&"e".parse().unwrap()).await.unwrap();
    let told: Vec<(i32, &str)> = versions.iter().map(|v| (v.version, v.title.as_str())).collect();
    assert_eq!(told, [(3, "Three"), (2, "Two"), (1, "One")]);
    assert_eq!(subject.0.event_versions(&"o".parse().unwrap()).await.unwrap(), []);
    subject.close().await;
}
