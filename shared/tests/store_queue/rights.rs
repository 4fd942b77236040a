//! Rights: every call of the store that the api or the worker makes, made as the user that it comes as,
//! with no right more than a deployment gives it; and what those users may not do.
//!
//! Which calls there are is read from the sources of both: one that is new and not made here fails.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
    time::Duration,
};

use bson::{Document, doc};
use mongodb::error::{Error, ErrorKind, WriteFailure};
use portcall_shared::{
    domain::{
        event_file,
        evidence::Evidence,
        ids::{EventSlug, WorkerId},
        image::Digest,
        state::{Loss, Pass, Step},
        submission::StepTime,
        suspicion::Standing,
    },
    store::{
        SCHEMA, Store, StoreError,
        audit::Act,
        contract::{CONTRACTIONS, Contracted},
        feed::{Feed, Interest},
        history::Span,
        moderation::Visibility,
        orders::Withheld,
        processes::Process,
        quarantine::{CopyEnd, ImageBlobs, LayerFacts},
        queue::{Claimant, Expiry, InFlight, Lease, Queue, Record, Release, Settlement, Write},
        search::{Detail, Search},
        submissions::{Idempotency, NewSubmission, Taken},
        suspects::Turned,
        tokens::Role,
        workers::WorkerObserver,
    },
};
use regex::Regex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    certificates,
    guarded::{API, Guarded, OPERATOR, WORKER},
    nodes::node,
    regrades,
    subject::{now, submission},
    suspects, webhooks,
};

/// The names of the calls that were made.
type Made = BTreeSet<&'static str>;

/// Makes a call, and notes its name.
macro_rules! call {
    ($made:ident: $store:ident.$name:ident($($argument:expr),* $(,)?)) => {{
        $made.insert(stringify!($name));
        $store.$name($($argument),*).await
    }};
}

/// Calls of the store whose names others have too: they count where a store or a queue is asked.
const NAMES_OF_OTHERS: [&str; 15] = [
    "advance", "cancel", "close", "event", "fleet", "follow", "holds", "line", "nodes", "pin",
    "ping", "renew", "settle", "stats", "sweep",
];

fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|is| is == "rs") && !path.ends_with("tests.rs") {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
}

fn sources_of(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    sources(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(folder), &mut found);
    assert!(found.len() > 5, "{folder}");
    found
}

/// The calls that there are.
static CALLS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let one = Regex::new(r"(?m)^    pub async fn (\w+)").unwrap();
    let of_queues = Regex::new(r"(?m)^    (?:async )?fn (\w+)").unwrap();
    let mut names = BTreeSet::from(["take".to_owned()]);
    for source in sources_of("shared/src/store") {
        // The queue's are the trait's.
        let trait_of_queues =
            source.split("pub trait Queue").nth(1).and_then(|t| t.split("\n}").next());
        let all = one
            .captures_iter(&source)
            .chain(of_queues.captures_iter(trait_of_queues.unwrap_or("")));
        names.extend(all.map(|found| found[1].to_owned()));
    }
    // Of what a listed process has, of who has the members' key, and of a clock.
    for of_others in ["leave", "initiate", "grant", "prepare", "open", "now"] {
        names.remove(of_others);
    }
    names
});

/// Those that are made in these sources.
fn calls_in(sources: &[String]) -> BTreeSet<String> {
    let comment = Regex::new(r"//.*").unwrap();
    let call = Regex::new(r"(\w+)\)?\??\.(\w+)\(").unwrap();
    let mut found = BTreeSet::new();
    for source in sources {
        let own = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let dense: String = comment.replace_all(own, "").split_whitespace().collect();
        for made in call.captures_iter(&dense) {
            let (of, name) = (&made[1], &made[2]);
            let stores = of.ends_with("store") || of.ends_with("queue");
            let others = NAMES_OF_OTHERS.contains(&name) || name == "take";
            if CALLS.contains(name) && (stores || !others) {
                found.insert(name.to_owned());
            }
        }
    }
    found
}

#[track_caller]
fn all_were_made(folder: &str, made: &Made) {
    let missing: Vec<String> = calls_in(&sources_of(folder))
        .into_iter()
        .filter(|call| !made.contains(call.as_str()))
        .collect();
    assert!(missing.is_empty(), "{folder} calls these, and no test does as its user: {missing:?}");
}

#[test]
fn a_call_that_is_new_would_be_missed_by_the_test_of_access() {
    let planted =
        "let a = self\n    .store\n    .order_drain(name).await?; // store.pace()\nb.take();";
    assert_eq!(calls_in(&[planted.to_owned()]), BTreeSet::from(["order_drain".to_owned()]));
    let worker = calls_in(&sources_of("worker/src"));
    for known in ["claim", "note_withheld", "renew", "forget_blob", "label_key", "sweep"] {
        assert!(worker.contains(known), "{known} is not found: {worker:?}");
    }
    assert!(!worker.contains("order_drain") && !worker.contains("take"));
}

/// What a user was told it may not do, if it was.
fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> bool {
    match result.as_ref().map_err(|error| error.kind.as_ref()) {
        Err(ErrorKind::Command(e)) => e.code == 13,
        Err(ErrorKind::Write(WriteFailure::WriteError(e))) => e.code == 13,
        _ => false,
    }
}

fn digest(letter: &str) -> Digest {
    format!("sha256:{}", letter.repeat(64)).parse().unwrap()
}

fn record() -> Record {
    Record {
        at: now(),
        node: None,
        grading_ms: 1,
        steps: Vec::new(),
        evidence: Evidence::default(),
    }
}

async fn put(store: &Store, name: &str) -> portcall_shared::domain::submission::Submission {
    let new = NewSubmission {
        submission: submission(name, now()),
        secret: "secret".into(),
        idempotency: Some(Idempotency { key: name.to_owned(), body: "b".into() }),
        schema: 1,
    };
    match store.take(new).await.unwrap() {
        Taken::Stored(stored) => *stored,
        other => panic!("{other:?}"),
    }
}

async fn feed_begins(store: &Store, interest: Interest) {
    let ((to, mut from), stop) = (mpsc::channel(8), CancellationToken::new());
    let followed = tokio::spawn({
        let (store, stop) = (store.clone(), stop.clone());
        async move { store.follow(interest, to, stop).await }
    });
    let first = tokio::time::timeout(Duration::from_secs(10), from.recv()).await;
    assert!(matches!(first, Ok(Some(Feed::Gap))), "{first:?}");
    stop.cancel();
    followed.await.unwrap();
}

/// A claim, and all that becomes of it.
async fn grade(made: &mut Made, api: &Store, store: &Store, by: &Claimant) {
    for end in ["settled", "handed back", "expired"] {
        let id = put(api, end).await.id;
        let claimed = call!(made: store.claim(by)).unwrap().expect("one waits");
        assert_eq!(claimed.id, id);
        let lease = Lease { submission: id, worker: by.id, generation: claimed.life.generation };
        call!(made: store.renew(lease)).unwrap();
        call!(made: store.pin(lease, &claimed.images)).unwrap();
        call!(made: store.advance(lease, Step::Pulling, now())).unwrap();
        assert!(call!(made: store.holds(lease)).unwrap());
        let flying = call!(made: store.in_flight()).unwrap();
        let seen: InFlight = *flying.iter().find(|one| one.lease == lease).expect("it is graded");
        match end {
            "settled" => {
                let settlement = Settlement { pass: Pass::Yes, reason: None, record: record() };
                call!(made: store.settle(lease, &settlement)).unwrap();
                let cleaning = StepTime { step: Step::Cleaning, at: now(), ms: Some(1) };
                call!(made: store.cleaned(lease, &cleaning)).unwrap();
            }
            "handed back" => {
                let (fault, loss, after) = (None, Loss::Waived, Duration::ZERO);
                let back = Release { fault, loss, after, record: record() };
                call!(made: store.release(lease, &back)).unwrap();
                api.cancel(id).await.unwrap();
            }
            _ => {
                call!(made: store.expire(seen, Expiry::Silent)).unwrap();
                api.cancel(id).await.unwrap();
            }
        }
    }
    call!(made: store.sweep(now())).unwrap();
    call!(made: store.overdue()).unwrap();
}

/// A copy into the quarantine, and room that is made there.
async fn quarantine(made: &mut Made, store: &Store) {
    let (image, layer, config) = (digest("a"), digest("b"), digest("c"));
    let blobs = ImageBlobs { config: config.clone(), layers: vec![layer.clone()] };
    let facts = LayerFacts { bytes: 3, unpacked: 4, entries: 1, diff_id: digest("d") };
    call!(made: store.use_image(&image)).unwrap();
    call!(made: store.image_consists(&image, &blobs, "copy")).unwrap();
    call!(made: store.layer_facts(&blobs.layers)).unwrap();
    call!(made: store.copy_brings(&image, "copy", 7)).unwrap();
    call!(made: store.keep_layer(&layer, &facts)).unwrap();
    call!(made: store.keep_config(&config, 4)).unwrap();
    call!(made: store.copy_brought(&image, "copy", 7)).unwrap();
    call!(made: store.copy_ended(&image, "copy", CopyEnd::Whole)).unwrap();
    store.use_image(&digest("e")).await.unwrap();
    store.copy_ended(&digest("e"), "copy", CopyEnd::Refused).await.unwrap();
    assert_eq!(call!(made: store.quarantine_bytes()).unwrap().kept, 7);

    // By the server's clock, which counts in milliseconds.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let idle = call!(made: store.idle_images(Duration::ZERO)).unwrap();
    assert!(call!(made: store.forget_image(&idle[0])).unwrap());
    call!(made: store.remember_image(&idle[0])).unwrap();
    call!(made: store.forget_unknown(Duration::ZERO)).unwrap();
    assert!(call!(made: store.blobs_of(&blobs)).unwrap().is_empty(), "they are the image's again");
    assert!(store.forget_image(&idle[0]).await.unwrap());
    let strays = call!(made: store.stray_blobs(Duration::ZERO)).unwrap();
    assert_eq!(strays.len(), 2);
    assert!(call!(made: store.give_up_blob(&strays[0])).unwrap());
    assert_eq!(call!(made: store.unswept_blobs()).unwrap().len(), 1);
    assert!(call!(made: store.forget_blob(&strays[0])).unwrap());
}

/// What a worker notes of images that machines went down under.
async fn suspect(made: &mut Made, api: &Store, store: &Store) {
    suspects::put(api, &[1]).await;
    let lease = suspects::claim(store, "w1", Step::Probing).await;
    let all = [suspects::digest(1)];
    call!(made: store.note_place(lease, "n1")).unwrap();
    assert_eq!(call!(made: store.lost_with_node(lease, "n1")).unwrap(), None);
    assert_eq!(call!(made: store.suspects_among(&all)).unwrap().len(), 1);
    assert_eq!(call!(made: store.turn_alone(&all[0], lease)).unwrap(), Turned::Ours);
    call!(made: store.turn_over(&all, lease)).unwrap();
    call!(made: store.graded(&all, lease)).unwrap();
    assert_eq!(call!(made: store.count_suspects()).unwrap().map(|it| it.1).iter().sum::<u64>(), 1);
    api.cancel(lease.submission).await.unwrap();
}

/// What a worker tells of itself and its nodes, and reads of others and of orders.
async fn belong(made: &mut Made, operator: &Store, store: &Store, by: &Claimant) {
    call!(made: store.beat(by, 2)).unwrap();
    call!(made: store.ages(time::OffsetDateTime::now_utc())).unwrap();
    call!(made: store.note_node(&node(by, "n1"))).unwrap();
    assert_eq!(call!(made: store.nodes()).unwrap().len(), 1);
    operator.order_drain("n1", "ann").await.unwrap();
    call!(made: store.note_withheld("n1", Withheld::ByWorker)).unwrap();
    let orders = call!(made: store.orders()).unwrap();
    assert!(orders.drained("n1").is_some() && orders.withheld("n1"));
    assert!(operator.orders().await.unwrap().withheld("n1"));
    operator.order_undrain("n1", "ann").await.unwrap();
    call!(made: store.note_withheld("n1", Withheld::NotByWorker)).unwrap();
    assert!(!store.orders().await.unwrap().withheld("n1"));

    call!(made: store.forget_node(by.id, "post of n1")).unwrap();
    call!(made: store.forget_nodes(by.id)).unwrap();
    call!(made: store.forget_nodes_without(&Default::default())).unwrap();
    let workers = call!(made: store.workers()).unwrap();
    let silent = WorkerObserver::new(Duration::ZERO).observe(&workers, std::time::Instant::now());
    assert!(call!(made: store.forget_silent(&silent[0])).unwrap());
    call!(made: store.forget_worker(by.id)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_the_worker_is_within_its_access() {
    let guarded = Guarded::prepared().await;
    let (api, operator) = (guarded.store(API).await, guarded.store(OPERATOR).await);
    let (store, mut made) = (guarded.store(WORKER).await, Made::new());
    let by = Claimant { id: WorkerId::new(), name: "w".to_owned() };

    let all = &mut made;
    call!(all: store.migrate()).unwrap();
    call!(all: store.label_key()).unwrap();
    let worker = Process::worker(by.id, &by.name, "1");
    let listed = call!(all: store.list_process(worker)).unwrap();
    let slug = event(&operator).await;
    assert!(call!(all: store.event_version(&slug, 1)).unwrap().is_some());
    belong(all, &operator, &store, &by).await;
    grade(all, &api, &store, &by).await;
    quarantine(all, &store).await;
    suspect(all, &api, &store).await;
    all.insert("follow");
    feed_begins(&store, Interest::Claimable).await;
    listed.leave().await;
    assert!(operator.processes().await.unwrap().is_empty(), "it could leave");
    call!(all: store.close(Duration::from_secs(5)));
    all_were_made("worker/src", &made);
    guarded.nobody_was_refused();
}

async fn event(operator: &Store) -> portcall_shared::domain::ids::EventSlug {
    let source = include_str!("../../../infra/events/birthday-3.toml");
    let event = event_file::parse(source).unwrap();
    operator.apply_event(&event, source).await.unwrap();
    event.slug
}

/// What organisers have an api do.
async fn organise(made: &mut Made, operator: &Store, store: &Store, slug: &EventSlug) {
    let (_, text) = operator.create_token("ann", Role::Operator, None).await.unwrap();
    let by = call!(made: store.token(&text)).unwrap().expect("it is good");
    let id = put(store, "organised").await.id;
    let act = || Act {
        by: &by,
        event: slug,
        what: "hide",
        submission: Some(id),
        note: None,
        detail: serde_json::Value::Null,
        request: None,
    };
    made.insert("audited");
    let hide = store.show_as(id, Visibility::Hidden);
    assert_eq!(store.audited(act(), hide).await.unwrap(), Write::Applied);
    call!(made: store.show_as(id, Visibility::Shown)).unwrap();
    call!(made: store.refused_act(&act())).unwrap();
    assert_eq!(call!(made: store.audit_lines(slug, Some(id), None, 9)).unwrap().len(), 2);
    assert_eq!(call!(made: store.requeue(id)).unwrap(), Write::Stale);
    assert!(
        !call!(made: store.search(slug, &Search::default(), None, 9)).unwrap().items.is_empty()
    );
    assert!(!call!(made: store.all_of_event(slug, Detail::Whole, None, 9)).unwrap().is_empty());
    call!(made: store.close_event(slug, &by)).unwrap();
    assert!(call!(made: store.event_closing(slug)).unwrap().is_some());
    assert_eq!(call!(made: store.event_closings()).unwrap().len(), 1);
    call!(made: store.reopen_event(slug, &by)).unwrap();
    let source = "slug = \"e\"\ntitle = \"E\"\n[[checks]]\nname = \"c\"\nget = \"/\"\n";
    let event = event_file::parse(source).unwrap();
    call!(made: store.apply_event(&event, source)).unwrap();
    assert_eq!(call!(made: store.event_versions(&event.slug)).unwrap().len(), 1);
    assert!(call!(made: store.event_questions(&event.slug)).unwrap().is_empty());
    store.cancel(id).await.unwrap();
    let image = suspects::digest(7);
    call!(made: store.order_standing(&image, Standing::Poison, "ann", None)).unwrap();
    assert_eq!(call!(made: store.poison()).unwrap().len(), 1);
    assert_eq!(call!(made: store.suspects()).unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_the_api_is_within_its_access() {
    let guarded = Guarded::prepared().await;
    let operator = guarded.store(OPERATOR).await;
    let (store, mut made) = (guarded.store(API).await, Made::new());
    let slug = event(&operator).await;

    call!(made: store.migrate()).unwrap();
    let listed = call!(made: store.list_process(Process::api("1"))).unwrap();
    call!(made: store.ping()).unwrap();
    assert!(call!(made: store.event(&slug)).unwrap().is_some());
    assert!(call!(made: store.event_version(&slug, 1)).unwrap().is_some());
    assert_eq!(call!(made: store.events()).unwrap().len(), 1);
    made.insert("take");
    let taken = put(&store, "Gordon").await;
    let (key, again) =
        (taken.participant.key(), Idempotency { key: "Gordon".into(), body: "b".into() });
    assert!(call!(made: store.replay(&slug, &key, &again)).unwrap().is_some());
    assert!(call!(made: store.submission(taken.id)).unwrap().is_some());
    assert!(call!(made: store.knows_secret(taken.id, "secret")).unwrap());
    assert_eq!(call!(made: store.line()).unwrap().ready.len(), 1);
    assert_eq!(call!(made: store.revisions(&[taken.id])).unwrap().len(), 1);
    call!(made: store.stats(&slug)).unwrap();
    call!(made: store.pace()).unwrap();
    call!(made: store.pins()).unwrap();
    let (mut all, mut lately) = (0, 0);
    call!(made: store.glances(None, |page| all += page.len())).unwrap();
    call!(made: store.glances_since(&slug, taken.created_at, |page| lately += page.len())).unwrap();
    assert_eq!((all, lately), (1, 1));
    assert_eq!(call!(made: store.came_before(&slug, now())).unwrap(), 1);
    assert_eq!(call!(made: store.current_version(&slug)).unwrap(), Some(1));
    let door = call!(made: store.door(&slug)).unwrap();
    assert_eq!(door.map(|door| door.version), Some(1));
    made.extend(certificates::as_the_api(&store).await);
    made.extend(webhooks::as_the_api(&store).await);
    let before = call!(made: store.before(&taken)).unwrap();
    assert_eq!(call!(made: store.same_as(&before)).unwrap(), None);
    let (submission, secret) = (submission("another", now()), "s".to_owned());
    let (id, idempotency) = (submission.id, None);
    let new = NewSubmission { submission, secret, idempotency, schema: 1 };
    let another = call!(made: store.take_after(new, before)).unwrap();
    assert!(matches!(another, Taken::Stored(_)), "{another:?}");
    store.cancel(id).await.unwrap();
    call!(made: store.step_times(&slug)).unwrap();
    assert_eq!(call!(made: store.history(&slug, Span::until(now(), 60, 3))).unwrap().len(), 3);
    call!(made: store.fleet()).unwrap();
    call!(made: store.cancel(taken.id)).unwrap();
    organise(&mut made, &operator, &store, &slug).await;
    let graded = put(&store, "graded").await.id;
    made.extend(regrades::as_the_api(&store, &operator, graded).await);
    made.insert("follow");
    feed_begins(&store, Interest::All).await;
    listed.leave().await;
    assert!(operator.processes().await.unwrap().is_empty(), "it could leave");
    call!(made: store.close(Duration::from_secs(5)));
    all_were_made("api/src", &made);
    guarded.nobody_was_refused();
}

/// What would remove documents, or keep every process from starting.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_operators_has_access_to_indexes_orders_or_the_floor() {
    let guarded = Guarded::prepared().await;
    event(&guarded.store(OPERATOR).await).await;
    let expiring = |collection: &str| {
        let index = doc! { "key": { "applied_at": 1 }, "name": "x", "expireAfterSeconds": 0 };
        doc! { "createIndexes": collection, "indexes": [index] }
    };
    for user in [API, WORKER] {
        let database = guarded.database(user).await;
        for collection in ["events", "orders", "submissions", "processes", "quarantine", "new"] {
            assert!(
                refused(database.run_command(expiring(collection)).await),
                "{user}, {collection}"
            );
        }
        let index = doc! { "name": "version", "expireAfterSeconds": 1 };
        for command in [
            doc! { "collMod": "events", "index": index },
            doc! { "create": "new", "capped": true, "size": 4096 },
            doc! { "dropIndexes": "submissions", "index": "lane" },
            doc! { "convertToCapped": "processes", "size": 4096 },
            doc! { "renameCollection": "portcall.processes", "to": "portcall.orders" },
        ] {
            assert!(refused(database.run_command(command.clone()).await), "{user}, {command}");
        }
        let raised = doc! { "$set": { "schema": 99, "done": true } };
        for (collection, id) in [
            ("meta", "floor"),
            ("meta", "restoring"),
            ("meta", "migration-4"),
            ("meta", "label-key"),
            ("keys", "label-key"),
            ("orders", "node n1"),
            ("events", "x"),
        ] {
            let collection = database.collection::<Document>(collection);
            let (one, what) = (doc! { "_id": id }, format!("{user}, {id}"));
            let write = collection.update_one(one.clone(), raised.clone()).upsert(true).await;
            // Organisers change rules over HTTP: an api adds versions, and changes none.
            let adds = (user, collection.name()) == (API, "events");
            let added = collection.insert_one(one.clone()).await;
            assert!(refused(write) && (adds || refused(added)), "{what}");
            assert!(refused(collection.delete_one(one).await), "{what}");
        }
    }
    // The control: operators may, and what is refused is in the server's log.
    let operator = guarded.database(OPERATOR).await;
    operator.run_command(expiring("events")).await.unwrap();
    assert!(guarded.refusals() > 0, "{}", guarded.log());
}

/// A database that nobody prepared is left alone by those who may not prepare it.
#[tokio::test(flavor = "multi_thread")]
async fn without_access_to_indexes_a_process_waits_until_it_is_prepared() {
    let guarded = Guarded::granted().await;
    for user in [API, WORKER] {
        let waiting = guarded.store(user).await.migrate().await.unwrap_err();
        assert!(matches!(waiting, StoreError::Unprepared { .. }), "{waiting}");
        assert_eq!(waiting.again(), portcall_shared::retry::Again::Yes);
        assert!(waiting.obstacle().contains("portcall store prepare"), "{}", waiting.obstacle());
    }
    let waiting = guarded.store(WORKER).await.label_key().await.unwrap_err();
    assert!(matches!(waiting, StoreError::Unprepared { .. }), "{waiting}");
    let names = guarded.database(OPERATOR).await.list_collection_names().await.unwrap();
    assert!(names.is_empty(), "nothing was begun: {names:?}");

    assert_eq!(guarded.prepare().await, SCHEMA, "no older version was ever there");
    guarded.store(API).await.migrate().await.unwrap();
    let worker = guarded.store(WORKER).await;
    worker.migrate().await.unwrap();
    worker.label_key().await.unwrap();
    guarded.nobody_was_refused();
}

/// Older workers ask for their key in a way that takes more rights: they have them while they may come.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_worker_keeps_its_access_until_it_is_contracted_away() {
    let guarded = Guarded::granted().await;
    let operator = guarded.store(OPERATOR).await;
    // As a version before left it.
    operator.migrate().await.unwrap();
    let started = async || {
        let meta = guarded.database(WORKER).await.collection::<Document>("meta");
        let unless_there = doc! { "$setOnInsert": { "key": "k" } };
        meta.find_one_and_update(doc! { "_id": "label-key" }, unless_there).upsert(true).await
    };
    assert!(refused(started().await), "the rights were given to a new database");
    guarded
        .database(OPERATOR)
        .await
        .collection::<Document>("meta")
        .delete_one(doc! { "_id": "floor" })
        .await
        .unwrap();
    assert_eq!(guarded.prepare().await, 0);
    guarded.grant().await;
    started().await.unwrap();
    let meta = guarded.database(API).await.collection::<Document>("meta");
    assert!(refused(meta.insert_one(doc! { "_id": "x" }).await));

    assert!(matches!(operator.contract(CONTRACTIONS).await.unwrap(), Contracted::Done { .. }));
    guarded.grant().await;
    assert!(refused(started().await));
    guarded.store(WORKER).await.label_key().await.unwrap();
}
