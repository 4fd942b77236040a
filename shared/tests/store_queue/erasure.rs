//! Erasure on MongoDB: nothing personal is left, in no document, however far a submission has come.

use bson::{Document, doc};
use futures::TryStreamExt;
use portcall_shared::{
    domain::{
        evidence::{ContainerEvidence, Evidence},
        ids::{SubmissionId, WorkerId},
        regrade::{Order, RegradeState},
        state::{Pass, State, Step},
        submission::{Participant, Pinned, StepTime, Submission},
        verdict::{Fault, ParticipantCode, ParticipantFault},
    },
    store::{
        Store,
        audit::Act,
        erasure::{ERASED, Withdrawal},
        queue::{Claimant, Lease, Queue, Record, Settlement, Write},
        regrades::{Ordered, Selection},
        submissions::{Idempotency, NewSubmission, Taken},
        tokens::Role,
    },
};

use crate::{
    regrades::{begin, dump, event, grade, rules},
    subject::{InMongo, Subject, now, submission},
};

const FILE: &str = "slug = \"birthday-3\"\ntitle = \"One\"\n[[answers]]\nname = \"vote\"\n\
    one_of = [\"Cats\", \"Dogs\"]\n[[answers]]\nname = \"motto\"\n[[checks]]\nname = \"c\"\nget = \"/\"\n";

/// Each stands in one place of a submission that is personal.
const PLANTED: [&str; 12] = [
    "planted-name",
    "planted-handle",
    "planted-contact",
    "planted-place",
    "planted-motto",
    "planted-image",
    "planted-key",
    "planted-log",
    "planted-message",
    "planted-hint",
    "planted-note",
    "planted-why",
];

fn personal() -> Submission {
    let mut one = submission(PLANTED[0], now());
    one.participant = Participant {
        name: PLANTED[0].parse().unwrap(),
        handle: Some(PLANTED[1].parse().unwrap()),
        contact: Some(PLANTED[2].parse().unwrap()),
    };
    one.place.label = PLANTED[3].parse().unwrap();
    one.answers.insert("motto".into(), PLANTED[4].parse().unwrap());
    one.images[0].image = format!("u/{}:1", PLANTED[5]).parse().unwrap();
    let digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
    one.images[0].pinned =
        Some(Pinned { digest, platform: "linux/amd64".into(), size: 7, layers: 2 });
    one
}

async fn put(store: &Store) -> SubmissionId {
    let idempotency = Some(Idempotency { key: PLANTED[6].into(), body: "b".into() });
    let new =
        NewSubmission { submission: personal(), secret: "secret".into(), idempotency, schema: 1 };
    match store.take(new).await.unwrap() {
        Taken::Stored(stored) => stored.id,
        other => panic!("{other:?}"),
    }
}

fn failure() -> Settlement {
    let log = PLANTED[7].into();
    let containers = vec![ContainerEvidence { log, ..ContainerEvidence::default() }];
    let evidence = Evidence { containers, ..Evidence::default() };
    let fault = ParticipantFault::new(ParticipantCode::Exited, PLANTED[8]).hint(PLANTED[9]);
    let record = Record { at: now(), node: None, grading_ms: 1, steps: Vec::new(), evidence };
    Settlement { pass: Pass::No, reason: Some(Fault::from(fault).reason()), record }
}

async fn claim(store: &Store) -> Option<Lease> {
    let by = Claimant { id: WorkerId::new(), name: "w".into() };
    let one = store.claim(&by).await.unwrap()?;
    Some(Lease { submission: one.id, worker: by.id, generation: one.life.generation })
}

async fn fail_all(store: &Store) {
    while let Some(lease) = claim(store).await {
        assert_eq!(store.settle(lease, &failure()).await.unwrap(), Write::Applied);
    }
}

/// What of the planted words is anywhere in the database.
async fn left(subject: &InMongo) -> Vec<&'static str> {
    let database = subject.database().await;
    let mut all = String::new();
    for name in database.list_collection_names().await.unwrap() {
        let found = database.collection::<Document>(&name).find(doc! {}).await.unwrap();
        let found: Vec<Document> = found.try_collect().await.unwrap();
        all += &format!("{found:?}");
    }
    PLANTED.into_iter().filter(|word| all.contains(word)).collect()
}

async fn note(store: &Store, id: SubmissionId) {
    act(store, Some(id), PLANTED[10], serde_json::Value::Null).await;
}

async fn act(
    store: &Store,
    submission: Option<SubmissionId>,
    note: &str,
    detail: serde_json::Value,
) {
    let (token, _) = store.create_token("Olga", Role::Operator, None).await.unwrap();
    let (note, event) = (Some(note.to_owned()), event());
    let (by, what) = (&token, "hide");
    let act = Act { by, event: &event, what, submission, note, detail, request: None };
    store.audited(act, async { Ok::<_, portcall_shared::store::StoreError>(()) }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_personal_is_left_anywhere() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    rules(store, FILE, 1).await;
    let id = put(store).await;
    let other = subject.put(submission("somebody else", now())).await;
    fail_all(store).await;
    // It was graded anew, and that was applied: the old verdict stands in it, too.
    let made = begin(store, Selection::These(&[id])).await;
    fail_all(store).await;
    let applied = store.order_regrade(made.id, Order::Apply, "Olga").await.unwrap();
    assert!(matches!(applied, Ordered::Done(done) if done.state == RegradeState::Applied));
    // Another one is being graded.
    begin(store, Selection::These(&[id])).await;
    note(store, id).await;
    note(store, other.id).await;
    // Why it was graded anew is said about a set of which it may be the only one.
    act(store, None, PLANTED[11], serde_json::json!({ "regrade": made.id })).await;
    assert_eq!(left(&subject).await, PLANTED, "the control: it is all there before");
    let before = subject.get(id).await;

    assert_eq!(store.erase(id).await.unwrap(), Write::Applied);
    assert_eq!(left(&subject).await, [PLANTED[7], PLANTED[8], PLANTED[9], PLANTED[10]]);
    let regrades = store.regrades(&event(), None, 9).await.unwrap();
    assert!(regrades.len() == 2 && regrades.iter().all(|one| one.note.is_none()), "{regrades:?}");
    let of_others = subject.get(other.id).await;
    assert_eq!(of_others.participant.name.as_str(), "somebody else", "what is another's stays");
    assert_eq!(store.erase(other.id).await.unwrap(), Write::Applied);
    assert_eq!(left(&subject).await, [""; 0]);

    // What is left can be read, and says what it may.
    let erased = subject.get(id).await;
    assert!(erased.marks.erased_at.is_some());
    let Participant { name, handle, contact } = &erased.participant;
    assert_eq!((name.as_str(), handle, contact), (ERASED, &None, &None));
    assert_eq!((erased.place.point, &erased.place.country), (None, &None));
    assert_eq!(erased.images[0].pinned, before.images[0].pinned, "the digest stays");
    assert_eq!(erased.answers.len(), 1);
    assert_eq!(erased.answers["vote"].as_str(), "Cats", "a choice among the event's own stays");
    assert_eq!(erased.life, before.life);
    let (verdict, old) = (erased.verdict.unwrap(), before.verdict.unwrap());
    assert_eq!((verdict.attempt, verdict.at, verdict.outcome), (old.attempt, old.at, old.outcome));
    assert_eq!(verdict.reason.unwrap().code, "exited");
    assert_eq!(erased.attempts.len(), before.attempts.len());
    assert!(erased.attempts.iter().all(|attempt| attempt.evidence.is_none()));
    // Its trial is no longer graded, and its re-grade goes on without it.
    assert!(claim(store).await.is_none());
    // To ask again is the same, and who may ask is still known.
    let once = dump(&subject).await;
    assert_eq!(store.erase(id).await.unwrap(), Write::Applied);
    assert_eq!(dump(&subject).await, once);
    assert!(store.knows_secret(id, "secret").await.unwrap());
    assert!(!store.knows_secret(id, "other").await.unwrap());
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_participants_other_success_stays_on_the_map() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    rules(store, FILE, 1).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(subject.put(submission("a", now())).await.id);
    }
    grade(store, |_| Some(Pass::Yes)).await;
    assert_eq!(store.pins().await.unwrap().len(), 2);
    store.erase(ids[1]).await.unwrap();
    let pins = store.pins().await.unwrap();
    assert_eq!(pins.iter().map(|pin| pin.submission).collect::<Vec<_>>(), [ids[0]]);
    assert_eq!(store.requeue(ids[1]).await.unwrap(), Write::Stale);
    subject.close().await;
}

/// A worker that grades it cannot write back what was erased.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_graded_meanwhile_leaves_nothing() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    rules(store, FILE, 1).await;
    let id = put(store).await;
    let lease = claim(store).await.unwrap();
    assert_eq!(store.erase(id).await.unwrap(), Write::Applied);
    assert_eq!(left(&subject).await, [""; 0]);
    assert_eq!(store.settle(lease, &failure()).await.unwrap(), Write::Stale);
    assert_eq!(store.pin(lease, &personal().images).await.unwrap(), Write::Stale);
    assert!(!store.holds(lease).await.unwrap(), "its worker is told");
    let step = StepTime { step: Step::Cleaning, at: now(), ms: Some(1) };
    store.cleaned(lease, &step).await.unwrap();
    assert_eq!(left(&subject).await, [""; 0]);
    let erased = subject.get(id).await;
    assert_eq!(erased.life.state, State::Cancelled);
    assert!(erased.attempts[0].evidence.is_none());
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_it_is_taken_back() {
    use Withdrawal::{Cancel, Erase, TakeBack};

    let subject = InMongo::open().await;
    let store = &subject.0;
    rules(store, FILE, 1).await;
    let erased = async |id| subject.get(id).await.marks.erased_at.is_some();
    for (how, of_pending, of_ended) in [
        (Cancel, (Write::Applied, false), (Write::Stale, false)),
        (TakeBack, (Write::Applied, false), (Write::Applied, true)),
        (Erase, (Write::Applied, true), (Write::Applied, true)),
    ] {
        let ended = subject.put(submission("ended", now())).await.id;
        grade(store, |_| Some(Pass::Yes)).await;
        let pending = subject.put(submission("pending", now())).await.id;
        // Twice is as once.
        for _ in 0..2 {
            let pair = (store.withdraw(pending, how).await.unwrap(), erased(pending).await);
            assert_eq!(pair, of_pending, "{how:?}");
            let pair = (store.withdraw(ended, how).await.unwrap(), erased(ended).await);
            assert_eq!(pair, of_ended, "{how:?}");
        }
        assert_eq!(subject.get(pending).await.life.state, State::Cancelled);
        assert_eq!(subject.get(ended).await.life.state, State::Passed);
        let nobody = store.withdraw(SubmissionId::new(), how).await.unwrap();
        assert_eq!(nobody, Write::Missing);
    }
    subject.close().await;
}

/// Erased while a re-grade puts its trials into the queue: whichever comes first, none is left that
/// tells who it was.
#[tokio::test(flavor = "multi_thread")]
async fn no_trial_outlives_an_erasure() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    rules(store, FILE, 1).await;
    let id = put(store).await;
    fail_all(store).await;
    let made = begin(store, Selection::These(&[id])).await;
    let trial = made.items[0].trial;
    assert_eq!(store.erase(trial).await.unwrap(), Write::Missing, "nobody asks for a trial");
    // The erasure looked for trials before this one was there.
    let key = |id: SubmissionId| bson::Uuid::from_bytes(id.uuid().into_bytes());
    let database = subject.database().await;
    let all = database.collection::<Document>("submissions");
    let (whose, hidden) = (doc! { "_id": key(trial) }, doc! { "$set": { "trial_of": key(trial) } });
    all.update_one(whose.clone(), hidden).await.unwrap();
    store.erase(id).await.unwrap();
    let back = doc! { "$set": { "trial_of": key(id) } };
    all.update_one(whose.clone(), back).await.unwrap();
    assert!(left(&subject).await.contains(&PLANTED[0]), "the control");
    let regrades = database.collection::<Document>("regrades");
    let preparing = doc! { "$set": { "state": "preparing" } };
    regrades.update_one(doc! {}, preparing.clone()).await.unwrap();
    let looked = store.regrade(made.id).await.unwrap().unwrap();
    assert_eq!((looked.state, left(&subject).await), (RegradeState::Ready, vec![]));
    // Or it was erased before its trial was made.
    all.delete_one(whose.clone()).await.unwrap();
    regrades.update_one(doc! {}, preparing).await.unwrap();
    let looked = store.regrade(made.id).await.unwrap().unwrap();
    assert_eq!(looked.state, RegradeState::Ready);
    assert!(all.find_one(whose).await.unwrap().is_none());
    subject.close().await;
}
