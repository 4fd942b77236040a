//! Each write of a submission's life against each way in which a server fails (row K29): whatever goes
//! wrong, it is done once, and whoever asked is told so.
//!
//! Two commands in a row go wrong, so that the one repetition that the driver makes does not help.

use std::time::Duration;

use bson::{Document, doc};
use portcall_shared::{
    domain::{
        evidence::Evidence,
        ids::WorkerId,
        state::{Pass, State},
        submission::{AttemptOutcome, Submission},
    },
    store::{
        Store,
        queue::{Claimant, Lease, Queue, Record, Settlement, Write},
        submissions::{NewSubmission, Taken},
    },
};

use crate::{
    subject::{now, submission},
    troubled::{Trouble, Troubled},
};

/// What a server or a line says when the same may go better in a moment.
const TROUBLES: [Trouble; 16] = [
    Trouble::Code(11600),
    Trouble::Code(11602),
    Trouble::Code(10107),
    Trouble::Code(13435),
    Trouble::Code(13436),
    Trouble::Code(189),
    Trouble::Code(91),
    Trouble::Code(7),
    Trouble::Code(6),
    Trouble::Code(89),
    Trouble::Code(9001),
    Trouble::Code(262),
    Trouble::Unconfirmed(64),
    Trouble::Unconfirmed(100),
    Trouble::Closed,
    Trouble::Torn,
];
/// Longer than any call waits, in milliseconds.
const LATE: Trouble = Trouble::Late(20_000);

/// Once more than the driver repeats.
fn times(trouble: Trouble) -> u32 {
    match trouble {
        // The driver takes what was done for done, and gives up what is late.
        Trouble::Unconfirmed(_) | Trouble::Late(_) => 1,
        Trouble::Code(_) | Trouble::Closed | Trouble::Torn => 2,
    }
}

fn new(name: &str) -> NewSubmission {
    let (submission, secret) = (submission(name, now()), "secret".to_owned());
    NewSubmission { submission, secret, idempotency: None, schema: 1 }
}

async fn put(store: &Store, name: &str) -> Submission {
    match store.take(new(name)).await.unwrap() {
        Taken::Stored(stored) => *stored,
        other => panic!("{other:?}"),
    }
}

async fn claimed(store: &Store, name: &str) -> (Submission, Lease) {
    put(store, name).await;
    let by = Claimant { id: WorkerId::new(), name: "w1".into() };
    let submission = store.claim(&by).await.unwrap().expect("it was put");
    let lease =
        Lease { submission: submission.id, worker: by.id, generation: submission.life.generation };
    (submission, lease)
}

async fn now_is(store: &Store, of: &Submission) -> Submission {
    store.submission(of.id).await.unwrap().expect("it is there")
}

fn passed() -> Settlement {
    let evidence = Evidence::default();
    let record = Record { at: now(), node: None, grading_ms: 5, steps: Vec::new(), evidence };
    Settlement { pass: Pass::Yes, reason: None, record }
}

async fn count(troubled: &Troubled, filter: Document) -> u64 {
    let submissions = troubled.database().await.collection::<Document>("submissions");
    submissions.count_documents(filter).await.unwrap()
}

async fn take_in(troubled: &mut Troubled, trouble: Trouble) {
    let name = format!("{trouble:?}");
    troubled.begin("insert", trouble, times(trouble)).await;
    let taken = troubled.store.take(new(&name)).await.unwrap();
    troubled.over(trouble).await;
    let Taken::Stored(stored) = taken else { panic!("{trouble:?}: {taken:?}") };
    assert_eq!(count(troubled, doc! { "participant.name": &name }).await, 1, "{trouble:?}");
    assert_eq!(now_is(&troubled.store, &stored).await.life.state, State::Queued, "{trouble:?}");
}

async fn claim(troubled: &mut Troubled, trouble: Trouble) {
    let store = &troubled.store.clone();
    let by = Claimant { id: WorkerId::new(), name: "w1".into() };
    for _ in 0..2 {
        put(store, &format!("{trouble:?} {}", uuid::Uuid::new_v4().simple())).await;
    }
    let before = count(troubled, doc! { "state": "queued" }).await;
    troubled.begin("findAndModify", trouble, times(trouble)).await;
    let claimed = store.claim(&by).await.unwrap().expect("two were put");
    troubled.over(trouble).await;
    assert_eq!(claimed.life.generation.0, 1, "{trouble:?}");
    assert_eq!(claimed.attempts.len(), 1, "{trouble:?}");
    assert_eq!(now_is(store, &claimed).await.life, claimed.life, "{trouble:?}");
    assert_eq!(count(troubled, doc! { "state": "queued" }).await, before - 1, "{trouble:?}: one");
}

async fn renew(troubled: &mut Troubled, trouble: Trouble) {
    let (submission, lease) = claimed(&troubled.store, &format!("{trouble:?}")).await;
    let store = troubled.store.clone();
    let beat = async || {
        let in_flight = store.in_flight().await.unwrap();
        in_flight.into_iter().find(|seen| seen.lease == lease).map(|seen| seen.beat)
    };
    assert_eq!(beat().await, Some(0));
    troubled.begin("update", trouble, times(trouble)).await;
    assert_eq!(troubled.store.renew(lease).await.unwrap(), Write::Applied, "{trouble:?}");
    troubled.over(trouble).await;
    // Whoever observes sees that it lives; how often it was told so is nothing to anybody.
    assert!(beat().await > Some(0), "{trouble:?}");
    let after = now_is(&troubled.store, &submission).await;
    assert_eq!((after.life, after.revision), (submission.life, submission.revision), "{trouble:?}");
}

async fn finalise(troubled: &mut Troubled, trouble: Trouble) {
    let (submission, lease) = claimed(&troubled.store, &format!("{trouble:?}")).await;
    troubled.begin("update", trouble, times(trouble)).await;
    let written = troubled.store.settle(lease, &passed()).await.unwrap();
    troubled.over(trouble).await;
    assert_eq!(written, Write::Applied, "{trouble:?}");
    let after = now_is(&troubled.store, &submission).await;
    assert_eq!(after.life.state, State::Passed, "{trouble:?}");
    assert_eq!(after.revision, submission.revision + 1, "{trouble:?}: once");
    let outcomes: Vec<_> = after.attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [Some(AttemptOutcome::Passed)], "{trouble:?}");
    assert!(after.verdict.is_some(), "{trouble:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k29_one_is_stored_once_whatever_the_server_says() {
    let mut troubled = Troubled::start().await;
    for trouble in TROUBLES {
        take_in(&mut troubled, trouble).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k29_one_is_claimed_once_whatever_the_server_says() {
    let mut troubled = Troubled::start().await;
    for trouble in TROUBLES {
        claim(&mut troubled, trouble).await;
    }
    // What is not confirmed is sometimes not seen by who reads what a majority has: it has to be looked for
    // in another way, or a second one is claimed for nobody.
    for _ in 0..12 {
        claim(&mut troubled, Trouble::Unconfirmed(64)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k29_a_lease_is_renewed_whatever_the_server_says() {
    let mut troubled = Troubled::start().await;
    for trouble in TROUBLES {
        renew(&mut troubled, trouble).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k29_a_verdict_is_written_once_whatever_the_server_says() {
    let mut troubled = Troubled::start().await;
    for trouble in TROUBLES {
        finalise(&mut troubled, trouble).await;
    }
}

/// What was given up is never done later: it would be done for nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k29_one_is_claimed_once_though_the_server_is_late() {
    let mut troubled = Troubled::start().await;
    claim(&mut troubled, LATE).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(count(&troubled, doc! { "state": "grading" }).await, 1, "the other waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_k29_the_rest_is_done_once_though_the_server_is_late() {
    let mut troubled = Troubled::start().await;
    take_in(&mut troubled, LATE).await;
    renew(&mut troubled, LATE).await;
    finalise(&mut troubled, LATE).await;
}

/// The control: what the driver alone makes of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k29_the_driver_alone_gives_up() {
    let mut troubled = Troubled::start().await;
    let uri = troubled.uri();
    let plain = mongodb::Client::with_uri_str(&uri).await.unwrap();
    let submissions = plain.database("portcall").collection::<Document>("submissions");
    for trouble in [Trouble::Code(10107), Trouble::Torn] {
        troubled.begin("insert", trouble, times(trouble)).await;
        assert!(submissions.insert_one(doc! {}).await.is_err(), "{trouble:?}");
        troubled.over(trouble).await;
    }
}
