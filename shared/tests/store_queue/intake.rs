//! Taking submissions in, on MongoDB: the cap, the fair order, repetition, the index; and that
//! whatever is overdue is counted.

use portcall_shared::{
    domain::{
        event_file,
        ids::{SubmissionId, WorkerId},
        state::{Loss, MAX_AGE, Pass, State},
        verdict::{Fault, Outcome, PlatformCode, PlatformFault},
    },
    store::{
        Store,
        events::AppliedEvent,
        line::{Line, Turn},
        queue::{Claimant, Lease, Queue, Record, Release, Settlement, Write},
        stats::Waiting,
        submissions::{FAIR_STEP, Idempotency, MAX_PENDING, NewSubmission, Taken},
    },
};

use crate::subject::{InMongo, Subject, now, submission};

fn new(name: &str, key: Option<(&str, &str)>) -> NewSubmission {
    let idempotency = key.map(|(k, b)| Idempotency { key: k.into(), body: b.into() });
    NewSubmission {
        submission: submission(name, now()),
        secret: "s".into(),
        idempotency,
        schema: 1,
    }
}

async fn pass(store: &Store) {
    let by = Claimant { id: WorkerId::new(), name: "w".into() };
    let claimed = store.claim(&by).await.unwrap().expect("one");
    let lease = portcall_shared::store::queue::Lease {
        submission: claimed.id,
        worker: by.id,
        generation: claimed.life.generation,
    };
    let record = Record {
        at: now(),
        node: None,
        grading_ms: 1,
        steps: Vec::new(),
        evidence: Default::default(),
    };
    let settlement = Settlement { pass: Pass::Yes, reason: None, record };
    assert_eq!(store.settle(lease, &settlement).await.unwrap(), Write::Applied);
}

/// Whoever comes first wins, the other is told so, and what was graded is kept in either case.
#[tokio::test(flavor = "multi_thread")]
async fn cancelling_against_a_verdict_has_one_winner() {
    const ROUNDS: usize = 60;
    let subject = InMongo::open().await;
    let (other, by) = (subject.another().await, Claimant { id: WorkerId::new(), name: "w".into() });
    let mut cancelled = 0;
    for round in 0..ROUNDS {
        let one = subject.put(submission(&format!("p{round}"), now())).await;
        let claimed = subject.0.claim(&by).await.unwrap().expect("one");
        assert_eq!(claimed.id, one.id);
        let (id, generation) = (claimed.id, claimed.life.generation);
        let lease = Lease { submission: id, worker: by.id, generation };
        let record = Record {
            at: now(),
            node: None,
            grading_ms: 1,
            steps: Vec::new(),
            evidence: Default::default(),
        };
        let settlement = Settlement { pass: Pass::Yes, reason: None, record };
        let (cancel, settle) = tokio::join!(
            async {
                // Either has a head start now and then.
                tokio::time::sleep(std::time::Duration::from_micros(100 * (round as u64 % 8)))
                    .await;
                other.cancel(id).await.unwrap()
            },
            async {
                tokio::time::sleep(std::time::Duration::from_micros(300)).await;
                subject.0.settle(lease, &settlement).await.unwrap()
            },
        );
        let done = subject.get(id).await;
        match (cancel, settle) {
            (Write::Applied, Write::Stale) => {
                cancelled += 1;
                let outcome = done.verdict.map(|verdict| verdict.outcome);
                assert_eq!(done.life.state, State::Cancelled);
                assert_eq!(outcome, Some(Outcome::Cancelled));
            }
            (Write::Stale, Write::Applied) => {
                assert_eq!(done.life.state, State::Passed);
                assert_eq!(done.verdict.map(|verdict| verdict.outcome), Some(Outcome::Passed));
            }
            both => panic!("round {round}: {both:?}"),
        }
        assert_eq!(done.attempts.len(), 1, "round {round}");
        assert_eq!(done.life.deadline, None);
    }
    println!("{cancelled} of {ROUNDS} were cancelled in time");
    assert_eq!(subject.0.overdue().await.unwrap(), 0);
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cap_holds_against_a_crowd_at_once() {
    let subject = InMongo::open().await;
    let posts = (0..12).map(|_| {
        let store = subject.0.clone();
        tokio::spawn(async move { store.take(new("one person", None)).await.unwrap() })
    });
    let mut stored = 0;
    for post in posts.collect::<Vec<_>>() {
        match post.await.unwrap() {
            Taken::Stored(_) => stored += 1,
            Taken::TooManyPending => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(stored, MAX_PENDING);
    pass(&subject.0).await;
    assert!(matches!(subject.0.take(new("one person", None)).await.unwrap(), Taken::Stored(_)));
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_delays_only_its_author() {
    let subject = InMongo::open().await;
    let mut flood = Vec::new();
    for _ in 0..3 {
        let Taken::Stored(one) = subject.0.take(new("flooder", None)).await.unwrap() else {
            panic!("stored")
        };
        flood.push(*one);
    }
    assert!(flood[2].order - flood[0].order >= FAIR_STEP * 2);
    let other = subject.put(submission("other", now())).await;
    let line = subject.0.line().await.unwrap();
    let turns = [&flood[0], &other, &flood[1], &flood[2]].map(Turn::of);
    assert_eq!((line.ready, line.more, line.running), (turns.to_vec(), false, vec![]));
    let by = Claimant { id: WorkerId::new(), name: "w".into() };
    let mut order = Vec::new();
    while let Some(one) = subject.0.claim(&by).await.unwrap() {
        order.push(one.id);
    }
    assert_eq!(order, [flood[0].id, other.id, flood[1].id, flood[2].id]);
    let Line { ready, running, .. } = subject.0.line().await.unwrap();
    assert!(ready.is_empty(), "{ready:?}");
    let mut running: Vec<_> = running.into_iter().map(|(id, _)| id).collect();
    running.sort();
    order.sort();
    assert_eq!(running, order, "they have had their turn");
    let mut revisions = subject.0.revisions(&[other.id, SubmissionId::new()]).await.unwrap();
    assert_eq!(revisions.pop(), Some((other.id, other.revision + 1)));
    assert_eq!(revisions, [], "of those that are there");
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_makes_one_submission() {
    let subject = InMongo::open().await;
    let posts = (0..20).map(|_| {
        let store = subject.0.clone();
        tokio::spawn(async move { store.take(new("a", Some(("key", "body")))).await.unwrap() })
    });
    let mut ids = Vec::new();
    for post in posts.collect::<Vec<_>>() {
        match post.await.unwrap() {
            Taken::Stored(one) | Taken::Replayed(one) => ids.push(one.id),
            other => panic!("{other:?}"),
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    let other = subject.0.take(new("a", Some(("key", "other body")))).await.unwrap();
    assert!(matches!(other, Taken::KeyReused));
    let somebody = subject.0.take(new("b", Some(("key", "other body")))).await.unwrap();
    assert!(matches!(somebody, Taken::Stored(_)));
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_have_versions() {
    let subject = InMongo::open().await;
    let file = "slug = \"e\"\ntitle = \"One\"\n[[checks]]\nname = \"c\"\nget = \"/\"\n";
    let event = event_file::parse(file).unwrap();
    let apply = |source: String| {
        let (store, event) = (subject.0.clone(), event.clone());
        async move { store.apply_event(&event, &source).await.unwrap() }
    };
    assert_eq!(apply(file.into()).await, AppliedEvent::Version(1));
    assert_eq!(apply(file.into()).await, AppliedEvent::Unchanged(1));
    let second = file.replace("One", "Two");
    assert_eq!(apply(second).await, AppliedEvent::Version(2));
    let current = subject.0.event(&event.slug).await.unwrap().unwrap();
    assert_eq!((current.version, current.event.title.as_str()), (2, "Two"));
    let first = subject.0.event_version(&event.slug, 1).await.unwrap().unwrap();
    assert_eq!(first.event.title, "One");
    assert_eq!(subject.0.events().await.unwrap().len(), 1);
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_one_frees_its_place_and_is_no_pin() {
    let subject = InMongo::open().await;
    let one = subject.put(submission("a", now())).await;
    assert_eq!(subject.0.cancel(one.id).await.unwrap(), Write::Applied);
    assert_eq!(subject.0.cancel(one.id).await.unwrap(), Write::Stale);
    assert_eq!(subject.get(one.id).await.life.state, State::Cancelled);
    subject.put(submission("a", now())).await;
    pass(&subject.0).await;
    let pins = subject.0.pins().await.unwrap();
    assert_eq!(pins.len(), 1);
    let stats = subject.0.stats(&one.event).await.unwrap();
    assert_eq!((stats.states["cancelled"], stats.states["passed"]), (1, 1));
    assert_eq!(subject.0.overdue().await.unwrap(), 0);
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_known_by_their_hash() {
    let subject = InMongo::open().await;
    let one = subject.put(submission("a", now())).await;
    assert!(subject.0.knows_secret(one.id, "secret").await.unwrap());
    assert!(!subject.0.knows_secret(one.id, "Secret").await.unwrap());
    subject.close().await;
}

/// A claim looks at one entry of its index, however long the queue is; asked of the server's own
/// profiler.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_goes_by_its_index() {
    use bson::doc;

    let subject = InMongo::open().await;
    let waiting = (0..300).map(|i| subject.put(submission(&format!("p{i}"), now())));
    futures::future::join_all(waiting).await;
    let database = subject.database().await;
    database.run_command(doc! { "profile": 2 }).await.unwrap();
    pass(&subject.0).await;
    database.run_command(doc! { "profile": 0 }).await.unwrap();
    let claims = doc! { "op": "command", "command.findAndModify": "submissions" };
    let profile = database.collection::<bson::Document>("system.profile");
    let claim = profile.find_one(claims).await.unwrap().expect("the claim was profiled");
    let plan = claim.get_str("planSummary").unwrap();
    assert_eq!(plan, "IXSCAN { ready: 1, order: 1, _id: 1 }");
    assert_eq!(claim.get_i32("docsExamined").unwrap(), 1);
    assert_eq!(claim.get_i32("keysExamined").unwrap(), 1);
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_overdue_is_counted_until_it_is_swept() {
    let subject = InMongo::open().await;
    let long_ago = now() - MAX_AGE - time::Duration::minutes(10);
    let late = subject.put(submission("late", long_ago)).await;
    subject.put(submission("in time", now())).await;
    assert_eq!(subject.0.overdue().await.unwrap(), 1);
    assert_eq!(subject.0.sweep(now()).await.unwrap().overdue, 1);
    assert_eq!(subject.0.overdue().await.unwrap(), 0);
    assert_eq!(subject.get(late.id).await.life.state, State::Undetermined);
    assert_eq!(subject.0.sweep(now()).await.unwrap().overdue, 0, "once");
    subject.close().await;
}

/// What the scaler reads: how many wait and since when, and how many are graded.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_counted_over_all_events() {
    let subject = InMongo::open().await;
    assert_eq!(subject.0.waiting().await.unwrap(), Waiting::default());
    let old = now() - time::Duration::minutes(7);
    let mut of_another = submission("a", old);
    of_another.event = "another".parse().unwrap();
    subject.put(of_another).await;
    for name in ["b", "c"] {
        subject.put(submission(name, now())).await;
    }
    let waiting = subject.0.waiting().await.unwrap();
    assert_eq!(waiting, Waiting { ready: 3, oldest: Some(old), grading: 0 });
    // The oldest is graded, the next waits for its next try: neither waits for a node.
    let by = Claimant { id: WorkerId::new(), name: "w".into() };
    assert_eq!(subject.0.claim(&by).await.unwrap().expect("one").created_at, old);
    let later = subject.0.claim(&by).await.unwrap().expect("another");
    let lease = Lease { submission: later.id, worker: by.id, generation: later.life.generation };
    let record = Record {
        at: now(),
        node: None,
        grading_ms: 1,
        steps: vec![],
        evidence: Default::default(),
    };
    let fault = Fault::Platform(PlatformFault::new(PlatformCode::NodeLost, "a test's"));
    let after = std::time::Duration::from_secs(60);
    let back = Release { fault: Some(fault.reason()), loss: Loss::Counted, after, record };
    assert_eq!(subject.0.release(lease, &back).await.unwrap(), Write::Applied);
    let waiting = subject.0.waiting().await.unwrap();
    assert_eq!((waiting.ready, waiting.grading), (1, 1));
    assert!(waiting.oldest.is_some_and(|oldest| oldest > old));
    subject.close().await;
}
