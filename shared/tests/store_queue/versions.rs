//! Two versions side by side, on one database: what an older process reads, writes, leaves alone and
//! undoes of a newer one's, and the other way round.
//!
//! A newer version is made of what it would do: fields and words that this one does not know, written
//! past the store, and the stamp of a document.

use std::collections::BTreeSet;

use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use portcall_shared::{
    domain::{
        event_file,
        evidence::Evidence,
        ids::{SubmissionId, WorkerId},
        state::{Loss, Pass, State, Step},
        submission::{AttemptOutcome, Pinned, StepTime},
        verdict::{Outcome, Owner, Reason},
    },
    store::{
        SCHEMA, Store, StoreError,
        contract::{CONTRACTIONS, Contracted, Contraction, Superseded},
        events::AppliedEvent,
        migrations::VERSION,
        orders::Withheld,
        processes::Process,
        queue::{Claimant, Expiry, InFlight, Lease, Queue, Record, Release, Settlement, Write},
        submissions::{NewSubmission, Taken},
    },
};

use crate::subject::{InMongo, Subject, now, submission};

/// A field that no version knows.
const MARK: &str = "of_a_newer_version";

fn claimant(name: &str) -> Claimant {
    Claimant { id: WorkerId::new(), name: name.to_owned() }
}

fn lease(by: &Claimant, submission: &portcall_shared::domain::submission::Submission) -> Lease {
    let generation = submission.life.generation;
    Lease { submission: submission.id, worker: by.id, generation }
}

fn record() -> Record {
    let step = StepTime { step: Step::Resolving, at: now(), ms: Some(1) };
    let evidence = Evidence::default();
    Record { at: now(), node: Some("n1".into()), grading_ms: 1, steps: vec![step], evidence }
}

fn reason() -> Reason {
    Reason {
        code: "platform_error".into(),
        owner: Owner::Platform,
        message: "a test's".into(),
        hint: None,
        limit: None,
    }
}

fn key(id: SubmissionId) -> Bson {
    Bson::from(bson::Uuid::from_bytes(id.uuid().into_bytes()))
}

async fn raw(subject: &InMongo, id: SubmissionId) -> Document {
    let all = subject.database().await.collection::<Document>("submissions");
    all.find_one(doc! { "_id": key(id) }).await.unwrap().expect("it is there")
}

async fn set(subject: &InMongo, id: SubmissionId, set: Document) {
    let all = subject.database().await.collection::<Document>("submissions");
    let done = all.update_one(doc! { "_id": key(id) }, doc! { "$set": set }).await.unwrap();
    assert_eq!(done.matched_count, 1);
}

/// Where the mark is in a document.
fn marks(value: &Bson, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Bson::Document(document) => {
            for (name, value) in document {
                if name == MARK {
                    found.insert(path.to_owned());
                }
                marks(value, &format!("{path}/{name}"), found);
            }
        }
        Bson::Array(all) => {
            for (n, value) in all.iter().enumerate() {
                marks(value, &format!("{path}/{n}"), found);
            }
        }
        _ => {}
    }
}

fn marked(document: Document) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    marks(&Bson::Document(document), "", &mut found);
    found
}

/// Every write that a submission can see in its life keeps what a newer version wrote into it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_is_ignored_and_kept_by_every_write() {
    let subject = InMongo::open().await;
    let (store, by) = (&subject.0, claimant("w"));
    let id = subject.put(submission("Gordon", now())).await.id;
    let mark = |place: &str| (format!("{place}{MARK}"), Bson::from("kept"));
    let places = ["", "participant.", "place.", "images.0."];
    set(&subject, id, places.iter().map(|place| mark(place)).collect()).await;

    let claimed = store.claim(&by).await.unwrap().expect("it is read all the same");
    set(&subject, id, ["attempts.0.", "attempts.0.steps.0."].map(mark).into_iter().collect()).await;
    let held = lease(&by, &claimed);
    assert_eq!(store.renew(held).await.unwrap(), Write::Applied);
    let mut images = claimed.images.clone();
    let digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
    let pinned = Pinned { digest, platform: "linux/amd64".into(), size: 7, layers: 2 };
    images[0].pinned = Some(pinned.clone());
    assert_eq!(store.pin(held, &images).await.unwrap(), Write::Applied);
    assert_eq!(store.advance(held, Step::Pulling, now()).await.unwrap(), Write::Applied);
    let all = ["", "/participant", "/place", "/images/0", "/attempts/0", "/attempts/0/steps/0"];
    let all: BTreeSet<String> = all.map(str::to_owned).into();
    assert_eq!(marked(raw(&subject, id).await), all);

    let back = Release {
        fault: Some(reason()),
        loss: Loss::Counted,
        after: Default::default(),
        record: record(),
    };
    assert_eq!(store.release(held, &back).await.unwrap(), Write::Applied);
    // The steps of an attempt are told anew by its holder, at its end.
    let mut kept = all;
    kept.remove("/attempts/0/steps/0");
    let again = store.claim(&by).await.unwrap().expect("again");
    let held = lease(&by, &again);
    let settlement = Settlement { pass: Pass::Yes, reason: None, record: record() };
    assert_eq!(store.settle(held, &settlement).await.unwrap(), Write::Applied);
    let cleaning = StepTime { step: Step::Cleaning, at: now(), ms: Some(1) };
    assert_eq!(store.cleaned(held, &cleaning).await.unwrap(), Write::Applied);
    assert_eq!(marked(raw(&subject, id).await), kept);

    let shown = subject.get(id).await;
    assert_eq!((shown.life.state, shown.attempts.len()), (State::Passed, 2));
    assert_eq!(shown.images[0].pinned.as_ref(), Some(&pinned));
    assert_eq!(store.pins().await.unwrap().len(), 1);

    // The control: what a process that writes documents whole would leave of it.
    let fresh = raw(&subject, subject.put(submission("Other", now())).await.id).await;
    let whole: Document =
        raw(&subject, id).await.into_iter().filter(|(name, _)| fresh.contains_key(name)).collect();
    let mut whole = whole;
    whole.insert("participant", fresh.get("participant").cloned());
    assert!(marked(whole).len() < kept.len(), "the test would see it");
    subject.close().await;
}

/// The writes from outside of a lease: cancelling, ending leases and waiting.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_is_kept_by_those_who_hold_no_lease() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    let mark = || doc! { MARK: "kept", (format!("images.0.{MARK}")): "kept" };
    let kept: BTreeSet<String> = ["", "/images/0"].map(str::to_owned).into();

    let cancelled = subject.put(submission("a", now())).await.id;
    set(&subject, cancelled, mark()).await;
    assert_eq!(store.cancel(cancelled).await.unwrap(), Write::Applied);

    let lost = subject.put(submission("b", now())).await.id;
    set(&subject, lost, mark()).await;
    let by = claimant("w");
    let claimed = store.claim(&by).await.unwrap().expect("one");
    let seen = InFlight { lease: lease(&by, &claimed), beat: 0 };
    assert_eq!(store.expire(seen, Expiry::Silent).await.unwrap(), Write::Applied);

    let overdue = subject.put(submission("c", now())).await.id;
    let past = bson::DateTime::from_millis(1);
    let mut set_overdue = mark();
    set_overdue.extend(doc! { "deadline": past, "since": past });
    set(&subject, overdue, set_overdue).await;
    assert_eq!(store.sweep(now()).await.unwrap().overdue, 1);

    for id in [cancelled, lost, overdue] {
        assert_eq!(marked(raw(&subject, id).await), kept);
    }
    subject.close().await;
}

/// What only a newer version can grade waits for it, and does not keep others waiting.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_worker_leaves_to_a_newer_one_what_it_cannot_grade() {
    let subject = InMongo::open().await;
    let (older, newer) = (&subject.0, subject.another().await.of_version(SCHEMA + 1));
    let take = |name: &'static str, schema: i32| {
        let new = NewSubmission {
            submission: submission(name, now()),
            secret: "s".into(),
            idempotency: None,
            schema,
        };
        async {
            match newer.take(new).await.unwrap() {
                Taken::Stored(stored) => stored.id,
                other => panic!("{other:?}"),
            }
        }
    };
    let (first, second) = (take("a", SCHEMA + 1).await, take("b", SCHEMA).await);
    let by = claimant("older");
    let claimed = older.claim(&by).await.unwrap().expect("the one that it can grade");
    assert_eq!(claimed.id, second);
    assert!(older.claim(&by).await.unwrap().is_none());
    let left = subject.get(first).await;
    assert_eq!((left.life.state, left.life.lost, left.attempts.len()), (State::Queued, 0, 0));

    // It may be woken and taken back by an older process all the same.
    set(&subject, first, doc! { "ready": Bson::Null }).await;
    let delay = doc! { "reason": bson::serialize_to_bson(&reason()).unwrap(),
    "next_try": bson::DateTime::from_millis(1) };
    let delayed = doc! { "$set": { "delay": delay }, "$unset": { "ready": "" } };
    let all = subject.database().await.collection::<Document>("submissions");
    all.update_one(doc! { "_id": key(first) }, delayed).await.unwrap();
    assert_eq!(older.sweep(now()).await.unwrap().woken, 1);
    assert!(older.claim(&by).await.unwrap().is_none());

    // The control: a process that does not look at the stamp takes it.
    let claimed = newer.claim(&claimant("newer")).await.unwrap().expect("it is claimable");
    assert_eq!(claimed.id, first);
    subject.close().await;
}

/// Words of a newer version: each costs no more than itself.
#[tokio::test(flavor = "multi_thread")]
async fn words_that_are_not_known_are_shown_as_what_is_nearest() {
    let subject = InMongo::open().await;
    let (store, by) = (&subject.0, claimant("newer"));
    let id = subject.put(submission("Gordon", now())).await.id;
    let claimed = store.claim(&by).await.unwrap().expect("one");
    set(
        &subject,
        id,
        doc! {
            "schema": SCHEMA + 1,
            "step": "signing",
            "attempts.0.steps.0.step": "signing",
            "attempts.0.outcome": "shelved",
            "attempts.0.reason": { "code": "x", "owner": "sponsor", "message": "m", "hint": null,
                                   "limit": null },
        },
    )
    .await;
    let shown = subject.get(id).await;
    let worker = by.id;
    assert_eq!(shown.life.state, State::Grading { worker, step: Step::Resolving });
    assert_eq!(shown.attempts[0].outcome, Some(AttemptOutcome::Released));
    assert!(shown.attempts[0].steps.is_empty());
    let owner = shown.attempts[0].reason.as_ref().map(|reason| reason.owner);
    assert_eq!(owner, Some(Owner::Platform), "never the participant's");
    // Its worker dies: an older one ends its lease.
    let seen = InFlight { lease: lease(&by, &claimed), beat: 0 };
    assert_eq!(store.in_flight().await.unwrap(), [seen]);
    assert_eq!(store.expire(seen, Expiry::Silent).await.unwrap(), Write::Applied);
    assert_eq!(subject.get(id).await.life.state, State::Queued);

    let verdict = doc! { "outcome": "praised", "reason": null, "at": bson::DateTime::now(),
    "attempt": 1, "grading_ms": 1_i64 };
    set(&subject, id, doc! { "state": "passed", "verdict": verdict }).await;
    let shown = subject.get(id).await;
    assert_eq!(shown.verdict.map(|verdict| verdict.outcome), Some(Outcome::Undetermined));

    // A state is the one word without which nothing can be shown; it is told whose it is.
    set(&subject, id, doc! { "state": "appealed" }).await;
    let newer = store.submission(id).await.unwrap_err();
    assert!(matches!(newer, StoreError::Newer { schema, .. } if schema == SCHEMA + 1), "{newer}");
    set(&subject, id, doc! { "schema": SCHEMA }).await;
    let corrupt = store.submission(id).await.unwrap_err();
    assert!(matches!(corrupt, StoreError::Corrupt { what: "state", .. }), "{corrupt}");
    assert!(store.pins().await.unwrap().is_empty(), "and the map goes on without it");
    subject.close().await;
}

/// One that cannot be read though it should be does not keep the queue waiting, and does not hang.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_claimed_and_cannot_be_read_is_put_off_and_at_last_ended() {
    let subject = InMongo::open().await;
    let (store, by) = (&subject.0, claimant("w"));
    let broken = subject.put(submission("a", now())).await.id;
    set(&subject, broken, doc! { "images.0.ref": "NOT AN IMAGE" }).await;
    let good = subject.put(submission("b", now())).await.id;
    let state = |document: &Document| document.get_str("state").unwrap().to_owned();
    for lost in 1..=3 {
        assert!(store.claim(&by).await.is_err(), "it is told");
        let document = raw(&subject, broken).await;
        let told = document.get_i64("lost").or(document.get_i32("lost").map(i64::from));
        assert_eq!(told.ok(), Some(lost));
        if lost == 1 {
            assert_eq!(state(&document), "queued");
            assert_eq!(store.claim(&by).await.unwrap().expect("the other").id, good);
        }
        let all = subject.database().await.collection::<Document>("submissions");
        let due = doc! { "$set": { "delay.next_try": bson::DateTime::from_millis(1) } };
        let delayed = doc! { "_id": key(broken), "delay.next_try": { "$exists": true } };
        all.update_one(delayed, due).await.unwrap();
        store.sweep(now()).await.unwrap();
    }
    let document = raw(&subject, broken).await;
    assert_eq!(state(&document), "undetermined", "after three tries");
    assert!(store.claim(&by).await.unwrap().is_none());
    subject.close().await;
}

/// Events: an unknown field is ignored, rules that only a newer version reads are told as such.
#[tokio::test(flavor = "multi_thread")]
async fn rules_of_a_newer_version_are_told_as_such() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    let source = include_str!("../../../infra/events/birthday-3.toml");
    let event = event_file::parse(source).unwrap();
    assert_eq!(store.apply_event(&event, source).await.unwrap(), AppliedEvent::Version(1));
    let events = subject.database().await.collection::<Document>("events");
    events.update_one(doc! {}, doc! { "$set": { MARK: "kept" } }).await.unwrap();
    let read = store.event(&event.slug).await.unwrap().expect("it is there");
    assert_eq!((read.version, read.schema), (1, 1));

    let newer = format!("{source}\n[of_a_newer_version]\nkey = 1\n");
    assert!(event_file::parse(&newer).is_err());
    let slug = event.slug.as_str();
    let second = |schema: i32| {
        doc! { "slug": slug, "version": 2, "title": "t", "source": &newer, "schema": schema,
        "applied_at": bson::DateTime::now() }
    };
    events.insert_one(second(SCHEMA + 1)).await.unwrap();
    let error = store.event(&event.slug).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { .. }), "{error}");
    assert!(store.event_version(&event.slug, 1).await.unwrap().is_some(), "earlier ones are read");
    let stamp = doc! { "$set": { "schema": SCHEMA } };
    events.update_one(doc! { "version": 2 }, stamp).await.unwrap();
    let error = store.event(&event.slug).await.unwrap_err();
    assert!(matches!(error, StoreError::Event { .. }), "{error}");
    subject.close().await;
}

/// Workers, orders and what the quarantine knows: fields of a newer version survive what this one
/// writes.
#[tokio::test(flavor = "multi_thread")]
async fn other_collections_keep_what_is_not_known_too() {
    let subject = InMongo::open().await;
    let (store, by) = (&subject.0, claimant("w"));
    let digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
    let write = || async {
        store.beat(&by, 2).await.unwrap();
        store.order_drain("n1", "a test").await.unwrap();
        store.use_image(&digest).await.unwrap();
        store.keep_config(&digest, 7).await.unwrap();
        store.label_key().await.unwrap();
        store.note_withheld("n1", Withheld::ByWorker).await.unwrap();
    };
    write().await;
    let database = subject.database().await;
    let collections = ["workers", "orders", "withheld", "quarantine", "meta", "keys"];
    for name in collections {
        let all = database.collection::<Document>(name);
        all.update_many(doc! {}, doc! { "$set": { MARK: "kept" } }).await.unwrap();
    }
    write().await;
    store.order_undrain("n1", "a test").await.unwrap();
    for name in collections {
        let all = database.collection::<Document>(name).find(doc! {}).await.unwrap();
        let all: Vec<Document> = all.try_collect().await.unwrap();
        assert!(!all.is_empty() && all.iter().all(|d| d.contains_key(MARK)), "{name}: {all:#?}");
    }
    assert_eq!(store.workers().await.unwrap().len(), 1);
    assert_eq!(store.orders().await.unwrap().nodes.len(), 1);
    subject.close().await;
}

/// What a worker withheld was noted with the orders, which the worker's user may not write.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_worker_withheld_is_given_back_by_a_newer_one() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    let orders = subject.database().await.collection::<Document>("orders");
    let older_notes = async |node: &str| {
        let (one, noted) = (doc! { "_id": format!("node {node}") }, doc! { "withheld": true });
        orders.update_one(one, doc! { "$set": noted }).upsert(true).await.unwrap();
    };
    let withheld = async || {
        let orders = store.orders().await.unwrap();
        ["n1", "n2", "n3"].map(|node| orders.withheld(node))
    };
    older_notes("n1").await;
    older_notes("n2").await;
    assert_eq!(withheld().await, [true, true, false]);
    store.note_withheld("n1", Withheld::NotByWorker).await.unwrap();
    store.note_withheld("n3", Withheld::ByWorker).await.unwrap();
    assert_eq!(withheld().await, [false, true, true]);
    // What an older one reads is as it was: the newer one's user could not change it.
    let kept = orders.count_documents(doc! { "withheld": true }).await.unwrap();
    assert_eq!(kept, 2);

    let done = Contracted::Done { floor: SCHEMA };
    for _ in 0..2 {
        assert_eq!(store.contract(CONTRACTIONS).await.unwrap(), done);
        assert_eq!(withheld().await, [false, true, true]);
        let there = doc! { "withheld": { "$exists": true } };
        assert_eq!(orders.count_documents(there).await.unwrap(), 0);
    }
    subject.close().await;
}

/// An older process beside a database that a newer one migrated goes on, and undoes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_process_undoes_no_migration() {
    let subject = InMongo::open().await;
    let database = subject.database().await;
    let next = format!("migration-{}", VERSION + 1);
    let meta = database.collection::<Document>("meta");
    meta.insert_one(doc! { "_id": &next, "done": true }).await.unwrap();
    let submissions = database.collection::<Document>("submissions");
    let index = mongodb::IndexModel::builder().keys(doc! { MARK: 1 }).build();
    submissions.create_index(index).await.unwrap();
    let before: BTreeSet<String> =
        submissions.list_index_names().await.unwrap().into_iter().collect();

    let older = subject.another().await;
    older.migrate().await.unwrap();
    let id = subject.put(submission("Gordon", now())).await.id;
    assert_eq!(older.claim(&claimant("w")).await.unwrap().map(|s| s.id), Some(id));
    let after: BTreeSet<String> =
        submissions.list_index_names().await.unwrap().into_iter().collect();
    assert_eq!(after, before);
    assert!(meta.find_one(doc! { "_id": &next }).await.unwrap().is_some());
    subject.close().await;
}

/// What older ones need is taken away only when none of them is there, and none starts after that.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_away_while_somebody_needs_it() {
    let subject = InMongo::open().await;
    let newer = subject.another().await.of_version(SCHEMA + 1);
    let what = [Contraction {
        needs: SCHEMA + 1,
        gone: &[
            Superseded::Index { collection: "submissions", name: "event" },
            Superseded::Field { collection: "submissions", name: "beat" },
        ],
    }];
    let id = subject.put(submission("Gordon", now())).await.id;
    let indexes = || async {
        let all = subject.database().await.collection::<Document>("submissions");
        all.list_index_names().await.unwrap()
    };
    let has_index = || async { indexes().await.contains(&"event".to_owned()) };

    let api = subject.0.list_process(Process::api("1")).await.unwrap();
    let new = newer.list_process(Process::api("2")).await.unwrap();
    let Contracted::Refused(older) = newer.contract(&what).await.unwrap() else {
        panic!("an api of this version is there")
    };
    let told: Vec<_> = older.iter().map(|p| (p.kind.as_str(), p.schema)).collect();
    assert_eq!(told, [("api", SCHEMA)]);
    assert!(has_index().await && raw(&subject, id).await.contains_key("beat"));
    subject.another().await.migrate().await.unwrap();

    // A worker from before there was a list of processes is one that is too old.
    api.leave().await;
    let by = claimant("w");
    subject.0.beat(&by, 1).await.unwrap();
    let refused = newer.contract(&what).await.unwrap();
    assert!(matches!(&refused, Contracted::Refused(older) if older[0].schema == 0), "{refused:?}");
    assert!(has_index().await);

    // The control: without anybody older all of it goes.
    subject.0.forget_worker(by.id).await.unwrap();
    let done = Contracted::Done { floor: SCHEMA + 1 };
    assert_eq!(newer.contract(&what).await.unwrap(), done);
    assert!(!has_index().await && !raw(&subject, id).await.contains_key("beat"));
    assert_eq!(newer.contract(&what).await.unwrap(), done, "and again changes nothing");
    let older = subject.another().await;
    let refused = older.migrate().await.unwrap_err();
    assert!(matches!(refused, StoreError::TooOld { .. }), "{refused}");
    let refused = older.list_process(Process::api("1")).await.unwrap_err();
    assert!(matches!(refused, StoreError::TooOld { .. }), "{refused}");
    newer.migrate().await.unwrap();
    new.leave().await;
    let there: Vec<_> = newer.processes().await.unwrap();
    assert!(there.iter().all(|p| p.schema == SCHEMA), "only the one that was refused: {there:?}");
    subject.close().await;
}

/// Who is listed, and who is not any more.
#[tokio::test(flavor = "multi_thread")]
async fn processes_are_listed_while_they_are_there() {
    let subject = InMongo::open().await;
    let store: &Store = &subject.0;
    let by = claimant("w1");
    let worker = store.list_process(Process::worker(by.id, &by.name, "abc")).await.unwrap();
    store.beat(&by, 1).await.unwrap();
    let listed = store.processes().await.unwrap();
    assert_eq!(listed.len(), 1, "the worker's beat is the same one: {listed:?}");
    let one = &listed[0];
    let said = (one.kind.as_str(), one.name.as_str(), one.build.as_str(), one.schema);
    assert_eq!(said, ("worker", "w1", "abc", SCHEMA));
    store.forget_worker(by.id).await.unwrap();
    // One that died without a word is forgotten.
    let processes = subject.database().await.collection::<Document>("processes");
    let long_ago = doc! { "_id": "x", "kind": "api", "schema": 1,
    "seen_at": bson::DateTime::from_millis(1) };
    processes.insert_one(long_ago).await.unwrap();
    assert_eq!(store.processes().await.unwrap().len(), 1);
    worker.leave().await;
    assert!(store.processes().await.unwrap().is_empty());
    let api = store.list_process(Process::api("1")).await.unwrap();
    assert_eq!(processes.count_documents(doc! {}).await.unwrap(), 1, "and removed by the next");
    api.leave().await;
    subject.close().await;
}
