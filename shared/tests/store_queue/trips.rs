//! How often the store asks the server for what a grading and a participant wait for, and how much the
//! server looks at for it: by the server's own profiler, so that no clock decides.

use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use mongodb::Database;
use portcall_shared::{
    domain::{
        evidence::Evidence,
        ids::WorkerId,
        state::{Pass, Step},
        submission::{Pinned, StepTime, Submission},
    },
    store::{
        Store,
        queue::{Claimant, Lease, Queue, Record, Settlement, Write},
        submissions::{LOOKED_BACK, NewSubmission, Taken},
    },
};

use crate::{
    subject::{InMongo, Subject, now, submission},
    troubled::{Trouble, Troubled},
};

/// What the server did for somebody of that name while something was done.
async fn asked<T>(
    database: &Database,
    by: &str,
    doing: impl Future<Output = T>,
) -> (T, Vec<Document>) {
    let profile = database.collection::<Document>("system.profile");
    profile.drop().await.unwrap();
    database.run_command(doc! { "profile": 2 }).await.unwrap();
    let done = doing.await;
    database.run_command(doc! { "profile": 0 }).await.unwrap();
    let theirs = doc! { "appName": by, "op": { "$ne": "getmore" } };
    let found = profile.find(theirs).sort(doc! { "ts": 1 }).await.unwrap();
    (done, found.try_collect().await.unwrap())
}

fn operations(asked: &[Document]) -> Vec<&str> {
    asked.iter().map(|one| one.get_str("op").unwrap()).collect()
}

fn examined(asked: &[Document]) -> (i64, i64) {
    let sum = |field| {
        let number = |one: &Document| match one.get(field) {
            Some(Bson::Int32(n)) => i64::from(*n),
            Some(Bson::Int64(n)) => *n,
            _ => 0,
        };
        asked.iter().map(number).sum()
    };
    (sum("keysExamined"), sum("docsExamined"))
}

/// Others, behind whatever is put: they wait, or are being graded.
async fn fill(database: &Database, from: i64, to: i64) {
    let later = bson::DateTime::from_millis(bson::DateTime::now().timestamp_millis() + 3_600_000);
    let number = doc! { "$add": ["$_id", 0_i64] };
    let waits = doc! { "$eq": [{ "$mod": ["$_id", 2] }, 0] };
    let either =
        |one: Bson, other: Bson| doc! { "$cond": { "if": &waits, "then": one, "else": other } };
    let numbers = doc! { "$range": [from, to] };
    let made = [
        doc! { "$documents": [{ "_id": numbers }] },
        doc! { "$unwind": "$_id" },
        doc! { "$set": {
            "event": "others", "participant": { "key": { "$toString": "$_id" } }, "schema": 1,
            "state": either("queued".into(), "grading".into()),
            "ready": either(true.into(), "$$REMOVE".into()),
            "order": { "$add": [later, number] }, "created_at": later,
            "deadline": { "$add": [later, "$_id"] }, "generation": 1_i64, "attempts": [],
        } },
        doc! { "$merge": { "into": "submissions" } },
    ];
    database.aggregate(made).await.unwrap();
}

async fn put(store: &Store, name: &str) -> Submission {
    let (submission, secret) = (submission(name, now()), "secret".to_owned());
    let new = NewSubmission { submission, secret, idempotency: None, schema: 1 };
    match store.take(new).await.unwrap() {
        Taken::Stored(stored) => *stored,
        other => panic!("{other:?}"),
    }
}

fn claimant() -> Claimant {
    Claimant { id: WorkerId::new(), name: "w1".into() }
}

/// A claim, and the look for what an earlier try of it claimed, go by their indexes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_looks_at_as_much_in_a_long_queue_as_in_a_short_one() {
    let mut troubled = Troubled::start().await;
    let (store, database) = (troubled.store.clone(), troubled.database().await);
    let (mut there, mut seen) = (0, Vec::new());
    for many in [1_000, 100_000] {
        fill(&database, there, many).await;
        there = many;
        for name in ["one", "other"] {
            put(&store, &format!("{name} of {many}")).await;
        }
        let by = claimant();
        let (claimed, plain) = asked(&database, "troubled", store.claim(&by)).await;
        assert!(claimed.unwrap().is_some());
        assert_eq!(operations(&plain), ["command"], "it is asked once: {plain:?}");
        troubled.begin("findAndModify", Trouble::Torn, 2).await;
        let (claimed, again) = asked(&database, "troubled", store.claim(&by)).await;
        troubled.over(Trouble::Torn).await;
        assert_eq!(claimed.unwrap().expect("two were put").life.generation.0, 1);
        let look = &again[again.len() - 1..];
        let by_token = look[0].get_document("command").and_then(|it| it.get_document("query"));
        assert!(by_token.is_ok_and(|query| query.contains_key("claim")), "{again:?}");
        seen.push((examined(&plain), examined(look)));
    }
    println!("with 1,000 and 100,000, a claim and a look examined (keys, documents): {seen:?}");
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], ((1, 1), (1, 1)));
}

/// What a grading waits for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grading_asks_once_for_each_thing_that_it_notes() {
    let subject = InMongo::open().await;
    let (store, database) = (&subject.0, subject.database().await);
    put(store, "one").await;
    let by = claimant();
    let (claimed, did) = asked(&database, "store tests", store.claim(&by)).await;
    let claimed = claimed.unwrap().expect("it was put");
    assert_eq!(operations(&did), ["command"]);
    let (submission, generation) = (claimed.id, claimed.life.generation);
    let lease = Lease { submission, worker: by.id, generation };
    let evidence = Evidence::default();
    let record = Record { at: now(), node: None, grading_ms: 1, steps: Vec::new(), evidence };
    let settlement = Settlement { pass: Pass::Yes, reason: None, record };
    let cleaning = StepTime { step: Step::Cleaning, at: now(), ms: Some(1) };
    let stale = Lease { generation: generation.next(), ..lease };

    let mut total = 1;
    for step in [Step::Pulling, Step::Starting, Step::Probing, Step::Judging] {
        let advance = store.advance(lease, step, now());
        let (write, did) = asked(&database, "store tests", advance).await;
        assert_eq!(
            (write.unwrap(), operations(&did)),
            (Write::Applied, vec!["update"]),
            "{step:?}"
        );
        total += did.len();
    }
    let (write, did) = asked(&database, "store tests", store.renew(lease)).await;
    assert_eq!((write.unwrap(), operations(&did)), (Write::Applied, vec!["update"]));
    let (write, did) = asked(&database, "store tests", store.pin(lease, &claimed.images)).await;
    assert_eq!((write.unwrap(), operations(&did)), (Write::Applied, vec!["update"]));
    total += did.len();
    let late = store.advance(stale, Step::Judging, now());
    let (write, did) = asked(&database, "store tests", late).await;
    assert_eq!((write.unwrap(), operations(&did)), (Write::Stale, vec!["update", "query"]));
    let (write, did) = asked(&database, "store tests", store.settle(lease, &settlement)).await;
    assert_eq!((write.unwrap(), operations(&did)), (Write::Applied, vec!["query", "update"]));
    total += did.len();
    let (write, did) = asked(&database, "store tests", store.cleaned(lease, &cleaning)).await;
    assert_eq!((write.unwrap(), operations(&did)), (Write::Applied, vec!["update"]));
    total += did.len();
    println!("from the claim to the cleaning, beats not counted, it asked {total} times");
    subject.close().await;
}

/// What a participant waits for: one look at the door, one at what they sent before, and the insert.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submission_is_three_questions() {
    let subject = InMongo::open().await;
    let (store, database) = (&subject.0, subject.database().await);
    let digest = format!("sha256:{}", "0".repeat(64));
    let pinned = |name: &str| {
        let mut one = submission(name, now());
        let digest = digest.parse().unwrap();
        let platform = "linux/amd64".to_owned();
        one.images[0].pinned = Some(Pinned { digest, platform, size: 1, layers: 1 });
        one
    };
    for n in 0..LOOKED_BACK {
        let take = async {
            let one = pinned("Ann");
            let door = store.door(&one.event).await.unwrap();
            assert_eq!(door, None, "nobody applied one");
            let before = store.before(&one).await.unwrap();
            assert_eq!(store.same_as(&before).await.unwrap().map(|same| same.id), None);
            let secret = "secret".to_owned();
            let new = NewSubmission { submission: one, secret, idempotency: None, schema: 1 };
            store.take_after(new, before).await.unwrap()
        };
        let (taken, did) = asked(&database, "store tests", take).await;
        assert_eq!(operations(&did), ["command", "query", "insert"], "the one after {n}");
        let Taken::Stored(stored) = taken else { panic!("{taken:?}") };
        assert_eq!(store.cancel(stored.id).await.unwrap(), Write::Applied);
    }
    // Where there may be more than was looked at, lanes are asked for.
    let ann = pinned("Ann");
    let secret = "secret".to_owned();
    let take = async {
        let before = store.before(&ann).await.unwrap();
        let new = NewSubmission { submission: ann.clone(), secret, idempotency: None, schema: 1 };
        store.take_after(new, before).await.unwrap()
    };
    let (_, did) = asked(&database, "store tests", take).await;
    assert_eq!(operations(&did), ["query", "query", "insert"]);
    let before = store.before(&pinned("Ann")).await.unwrap();
    assert_eq!(store.same_as(&before).await.unwrap().map(|same| same.id), Some(ann.id));
    subject.close().await;
}
