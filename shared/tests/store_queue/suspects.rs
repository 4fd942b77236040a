//! Suspects: which losses are noted, against whom, and what comes of them.

use std::{collections::BTreeSet, time::Duration};

use bson::{Document, doc};
use portcall_shared::{
    domain::{
        evidence::Evidence,
        ids::WorkerId,
        image::Digest,
        state::{Loss, Pass, State, Step},
        submission::{Pinned, Submission, SubmittedImage},
        suspicion::{self, Standing},
        verdict::Fault,
    },
    store::{
        Store,
        queue::{
            Claimant, Expiry, InFlight, Lease, Queue as _, Record, Release, Settlement, Write,
        },
        submissions::{NewSubmission, Taken},
        suspects::{Suspect, Turned},
    },
};

use crate::subject::{InMongo, Subject, now, submission};

pub(crate) fn digest(n: u8) -> Digest {
    format!("sha256:{}", format!("{n:02x}").repeat(32)).parse().unwrap()
}

pub(crate) fn with(name: &str, images: &[u8]) -> Submission {
    let image = |n: &u8| SubmittedImage {
        image: "u/app:1".parse().unwrap(),
        pinned: Some(Pinned {
            digest: digest(*n),
            platform: "linux/amd64".into(),
            size: 7,
            layers: 2,
        }),
    };
    Submission { images: images.iter().map(image).collect(), ..submission(name, now()) }
}

/// Stores one as an api does.
pub(crate) async fn put(store: &Store, images: &[u8]) {
    let (submission, secret) = (with("Suspect", images), "secret".to_owned());
    let new = NewSubmission { submission, secret, idempotency: None, schema: 1 };
    assert!(matches!(store.take(new).await.unwrap(), Taken::Stored(_)));
}

/// Claims what waits, as a worker of that name, and goes on to a step on the node of that name.
pub(crate) async fn claim(store: &Store, name: &str, step: Step) -> Lease {
    let by = Claimant { id: WorkerId::new(), name: name.to_owned() };
    let claimed = store.claim(&by).await.unwrap().expect("one waits");
    let generation = claimed.life.generation;
    let lease = Lease { submission: claimed.id, worker: by.id, generation };
    store.note_place(lease, &format!("n-{name}")).await.unwrap();
    if step > Step::Resolving {
        assert_eq!(store.advance(lease, step, now()).await.unwrap(), Write::Applied);
    }
    lease
}

async fn seen(store: &Store, lease: Lease) -> InFlight {
    let flying = store.in_flight().await.unwrap();
    *flying.iter().find(|one| one.lease == lease).expect("it is graded")
}

/// The worker of that name falls silent in a step.
async fn lose(store: &Store, name: &str, step: Step) -> Lease {
    let lease = claim(store, name, step).await;
    let silent = seen(store, lease).await;
    assert_eq!(store.expire(silent, Expiry::Silent).await.unwrap(), Write::Applied);
    lease
}

async fn known(store: &Store, n: u8) -> Suspect {
    store.suspects_among(&[digest(n)]).await.unwrap().pop().expect("something is known")
}

async fn standing(store: &Store, n: u8) -> Standing {
    known(store, n).await.suspicion.standing
}

fn record() -> Record {
    let (steps, evidence) = (Vec::new(), Evidence::default());
    Record { at: now(), node: None, grading_ms: 1, steps, evidence }
}

async fn settle(store: &Store, lease: Lease) {
    let settlement = Settlement { pass: Pass::Yes, reason: None, record: record() };
    assert_eq!(store.settle(lease, &settlement).await.unwrap(), Write::Applied);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_silent_workers_quarantine_and_a_verdict_alone_clears() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    let id = subject.put(with("Gordon", &[1])).await.id;
    let first = lose(store, "w1", Step::Probing).await;
    assert_eq!(standing(store, 1).await, Standing::Suspected);
    lose(store, "w2", Step::Starting).await;
    let suspect = known(store, 1).await;
    assert_eq!(suspect.suspicion.standing, Standing::Quarantined);
    let told: Vec<_> = suspect.suspicion.losses.iter().map(|l| (&*l.machine, &l.node)).collect();
    let node = |name: &str| Some(name.to_owned());
    assert_eq!(told, [("worker w1", &node("n-w1")), ("worker w2", &node("n-w2"))]);
    assert_eq!(suspect.suspicion.losses[0].attempt.submission, first.submission);

    let third = claim(store, "w3", Step::Resolving).await;
    assert_eq!(store.turn_alone(&digest(1), third).await.unwrap(), Turned::Ours);
    assert_eq!(store.turn_alone(&digest(1), third).await.unwrap(), Turned::Ours, "once more");
    settle(store, third).await;
    store.graded(&[digest(1)], third).await.unwrap();
    let cleared = known(store, 1).await.suspicion;
    assert_eq!((cleared.standing, cleared.losses.len()), (Standing::Cleared, 2));
    assert_eq!(subject.get(id).await.life.state, State::Passed);
    let counts = store.count_suspects().await.unwrap();
    assert!(counts.contains(&(Standing::Cleared, 1)), "{counts:?}");
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_a_third_one_down_alone_is_poison_and_its_submission_says_so() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    let id = subject.put(with("Gordon", &[1])).await.id;
    lose(store, "w1", Step::Probing).await;
    lose(store, "w2", Step::Probing).await;
    let third = claim(store, "w3", Step::Probing).await;
    assert_eq!(store.turn_alone(&digest(1), third).await.unwrap(), Turned::Ours);
    assert!(store.poison().await.unwrap().is_empty());
    store.expire(seen(store, third).await, Expiry::Silent).await.unwrap();
    let poison = store.poison().await.unwrap();
    assert_eq!(poison.iter().map(|it| &it.digest).collect::<Vec<_>>(), [&digest(1)]);
    let submission = subject.get(id).await;
    assert_eq!(submission.life.state, State::Undetermined);
    let reason = submission.verdict.unwrap().reason.unwrap();
    assert_eq!(reason.code, "quarantined_image");
    assert!(reason.hint.is_some(), "there is a next step");

    // Another submission with it is given up by whoever claims it, and an operator clears it.
    let other = subject.put(with("Molly", &[1])).await.id;
    let lease = claim(store, "w4", Step::Resolving).await;
    let fault: Fault = suspicion::refused(&digest(1));
    let (fault, after) = (Some(fault.reason()), Duration::ZERO);
    let back = Release { fault, loss: Loss::Final, after, record: record() };
    assert_eq!(store.release(lease, &back).await.unwrap(), Write::Applied);
    assert_eq!(store.release(lease, &back).await.unwrap(), Write::Applied, "once more");
    let given_up = subject.get(other).await;
    assert_eq!((given_up.life.state, given_up.life.lost), (State::Undetermined, 0));

    let note = Some("new kernels");
    let cleared = store.order_standing(&digest(1), Standing::Cleared, "ann", note).await.unwrap();
    assert_eq!((cleared.suspicion.standing, cleared.suspicion.counted()), (Standing::Cleared, 0));
    assert_eq!((&*cleared.orders[0].by, cleared.orders[0].note.as_deref()), ("ann", note));
    assert_eq!(store.requeue(other).await.unwrap(), Write::Applied);
    assert!(store.poison().await.unwrap().is_empty());
    let by_hand = store.order_standing(&digest(9), Standing::Poison, "ann", None).await.unwrap();
    assert_eq!((by_hand.suspicion.standing, by_hand.orders.len()), (Standing::Poison, 1));
    assert_eq!(store.suspects().await.unwrap().len(), 2);
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_had_started_nothing_is_not_suspected() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    subject.put(with("Gordon", &[1])).await;
    lose(store, "w1", Step::Resolving).await;
    lose(store, "w1", Step::Pulling).await;
    assert_eq!(store.suspects().await.unwrap(), []);
    // The control: the next step counts.
    lose(store, "w1", Step::Starting).await;
    assert_eq!(standing(store, 1).await, Standing::Suspected);
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_held_after_all_is_no_loss_and_an_overdue_one_is_none() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    subject.put(with("Gordon", &[1])).await;
    let lease = claim(store, "w1", Step::Probing).await;
    let silent = seen(store, lease).await;
    store.renew(lease).await.unwrap();
    assert_eq!(store.expire(silent, Expiry::Silent).await.unwrap(), Write::Stale);
    assert_eq!(known(store, 1).await.suspicion.losses, []);
    assert_eq!(standing(store, 1).await, Standing::Cleared);

    let late = seen(store, lease).await;
    assert_eq!(store.expire(late, Expiry::Overdue).await.unwrap(), Write::Applied);
    assert_eq!(known(store, 1).await.suspicion.losses, [], "its worker is alive");

    // Two reapers see the same; it is one loss.
    let again = claim(store, "w1", Step::Probing).await;
    let silent = seen(store, again).await;
    assert_eq!(store.expire(silent, Expiry::Silent).await.unwrap(), Write::Applied);
    assert_eq!(store.expire(silent, Expiry::Silent).await.unwrap(), Write::Stale);
    assert_eq!(known(store, 1).await.suspicion.losses.len(), 1);
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_one_attempts_until_its_lease_is_over() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    for name in ["Gordon", "Molly"] {
        subject.put(with(name, &[1])).await;
    }
    store.order_standing(&digest(1), Standing::Quarantined, "ann", None).await.unwrap();
    let first = claim(store, "w1", Step::Resolving).await;
    let second = claim(store, "w2", Step::Resolving).await;
    let turn = async |lease| store.turn_alone(&digest(1), lease).await.unwrap();
    assert_eq!((turn(first).await, turn(second).await), (Turned::Ours, Turned::Theirs));
    store.turn_over(&[digest(1)], first).await.unwrap();
    assert_eq!((turn(second).await, turn(first).await), (Turned::Ours, Turned::Theirs));
    // Whoever has it goes away without a word.
    store.cancel(second.submission).await.unwrap();
    assert_eq!(turn(first).await, Turned::Ours);
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_a_machine_too_and_all_images_of_a_submission_are_noted() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    subject.put(with("Gordon", &[1, 2, 2])).await;
    let lease = claim(store, "w1", Step::Probing).await;
    assert_eq!(store.lost_with_node(lease, "n7").await.unwrap(), None);
    assert_eq!(store.lost_with_node(lease, "n7").await.unwrap(), None, "once more");
    for (own, other) in [(1, 2), (2, 1)] {
        let losses = known(store, own).await.suspicion.losses;
        assert_eq!(losses.len(), 1);
        let told = (&*losses[0].machine, losses[0].node.as_deref(), &losses[0].with);
        assert_eq!(told, ("node n7", Some("n7"), &BTreeSet::from([digest(other)])));
    }
    subject.close().await;
}

/// The only machine there is takes everything down with it: then it is not the image.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_lost_others_before_condemns_nobody() {
    for (others, expected) in [(true, Standing::Quarantined), (false, Standing::Poison)] {
        let subject = InMongo::open().await;
        let store = &subject.0;
        if others {
            let id = subject.put(with("Molly", &[2])).await.id;
            lose(store, "w1", Step::Probing).await;
            store.cancel(id).await.unwrap();
            let long_ago = doc! { "$set": { "losses.0.at": bson::DateTime::from_millis(0) } };
            let all = subject.database().await.collection::<Document>("suspects");
            all.update_one(doc! { "_id": digest(2).as_str() }, long_ago).await.unwrap();
        }
        subject.put(with("Gordon", &[1])).await;
        lose(store, "w1", Step::Probing).await;
        lose(store, "w1", Step::Probing).await;
        let third = claim(store, "w1", Step::Probing).await;
        assert_eq!(store.turn_alone(&digest(1), third).await.unwrap(), Turned::Ours);
        store.expire(seen(store, third).await, Expiry::Silent).await.unwrap();
        assert_eq!(standing(store, 1).await, expected, "{others}");
        subject.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_is_a_setting() {
    let subject = InMongo::open().await;
    let patient = subject.another().await.quarantining_after(3);
    subject.put(with("Gordon", &[1])).await;
    lose(&patient, "w1", Step::Probing).await;
    lose(&patient, "w2", Step::Probing).await;
    assert_eq!(standing(&patient, 1).await, Standing::Suspected);
    lose(&patient, "w3", Step::Probing).await;
    assert_eq!(standing(&patient, 1).await, Standing::Quarantined);
    patient.close(Duration::from_secs(5)).await;
    subject.close().await;
}

/// Two versions side by side.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_version_knows_of_an_image_survives_and_is_no_trouble() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    subject.put(with("Gordon", &[1])).await;
    lose(store, "w1", Step::Probing).await;
    let all = subject.database().await.collection::<Document>("suspects");
    let one = doc! { "_id": digest(1).as_str() };
    let newer = doc! { "$set": { "more": 1, "losses.0.more": 2, "standing": "trusted" } };
    all.update_one(one.clone(), newer).await.unwrap();
    assert_eq!(standing(store, 1).await, Standing::Quarantined, "with care");
    lose(store, "w2", Step::Probing).await;
    let kept = all.find_one(one).await.unwrap().unwrap();
    assert_eq!(kept.get_i32("more").unwrap(), 1);
    let first = kept.get_array("losses").unwrap()[0].as_document().unwrap();
    assert_eq!(first.get_i32("more").unwrap(), 2);
    subject.close().await;
}
