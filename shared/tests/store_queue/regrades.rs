//! Re-grades on MongoDB: trials that nobody sees, verdicts that are taken over once and put back,
//! whatever happens in between.
//!
//! A process that dies in the middle is made of what it leaves: a document in a state of work under
//! way, with half of the work done.

use std::collections::{BTreeMap, BTreeSet};

use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use portcall_shared::{
    domain::{
        event_file,
        ids::{EventSlug, RegradeId, SubmissionId, WorkerId},
        regrade::{Change, Fate, Order, Regrade, RegradeState},
        state::{Graded, Loss, MAX_LOST, Pass, State},
        submission::Submission,
        verdict::{Fault, ParticipantCode, ParticipantFault, PlatformCode, PlatformFault},
    },
    store::{
        Store,
        erasure::Withdrawal,
        pins::Pin,
        queue::{Claimant, Lease, Queue, Record, Release, Settlement, Write},
        regrades::{Candidate, NewRegrade, Ordered, Selection},
    },
};

use crate::subject::{InMongo, Subject, now, submission};

pub(crate) const FILE: &str =
    "slug = \"birthday-3\"\ntitle = \"One\"\n[[checks]]\nname = \"c\"\nget = \"/\"\n";

pub(crate) fn event() -> EventSlug {
    "birthday-3".parse().unwrap()
}

/// Applies the rules, up to that version.
pub(crate) async fn rules(store: &Store, file: &str, versions: usize) {
    for n in 0..versions {
        let source = file.replace("One", &format!("One {n}"));
        let event = event_file::parse(&source).unwrap();
        store.apply_event(&event, &source).await.unwrap();
    }
}

fn record() -> Record {
    let evidence = portcall_shared::domain::evidence::Evidence::default();
    Record { at: now(), node: Some("n".into()), grading_ms: 7, steps: Vec::new(), evidence }
}

/// What a worker that grades nothing really says of a submission; none: it could not find out.
pub(crate) async fn grade(store: &Store, judge: impl Fn(&Submission) -> Option<Pass>) -> usize {
    let by = Claimant { id: WorkerId::new(), name: "w".into() };
    let mut graded = 0;
    while let Some(one) = store.claim(&by).await.unwrap() {
        let generation = one.life.generation;
        let lease = Lease { submission: one.id, worker: by.id, generation };
        let write = match judge(&one) {
            Some(pass) => {
                let fault = ParticipantFault::new(ParticipantCode::Exited, "it ended");
                let reason = (pass == Pass::No).then(|| Fault::from(fault).reason());
                store.settle(lease, &Settlement { pass, reason, record: record() }).await
            }
            None => {
                let fault = PlatformFault::new(PlatformCode::NodeLost, "the node went away");
                let fault = Some(Fault::from(fault).reason());
                let after = Default::default();
                let back = Release { fault, loss: Loss::Counted, after, record: record() };
                store.release(lease, &back).await
            }
        };
        assert_eq!(write.unwrap(), Write::Applied);
        graded += 1;
    }
    graded
}

/// By the participant's name: `p…` passes, `f…` fails, nobody can find out about others.
pub(crate) fn by_name(one: &Submission) -> Option<Pass> {
    match one.participant.name.as_str().as_bytes()[0] {
        b'p' => Some(Pass::Yes),
        b'f' => Some(Pass::No),
        _ => None,
    }
}

/// The other way round.
fn turned(one: &Submission) -> Option<Pass> {
    match by_name(one) {
        Some(Pass::Yes) => Some(Pass::No),
        Some(Pass::No) | None => Some(Pass::Yes),
    }
}

pub(crate) async fn begin(store: &Store, selection: Selection<'_>) -> Regrade {
    let candidates = store.regradable(&event(), selection, 1001).await.unwrap();
    make(store, candidates).await
}

async fn make(store: &Store, candidates: Vec<Candidate>) -> Regrade {
    let version = store.event(&event()).await.unwrap().unwrap().version;
    let (id, event) = (RegradeId::new(), &event());
    let new = NewRegrade { id, event, version, by: "Olga", note: Some("new rules"), candidates };
    store.begin_regrade(new).await.unwrap()
}

async fn look(store: &Store, id: RegradeId) -> Regrade {
    store.regrade(id).await.unwrap().expect("there is one")
}

pub(crate) async fn order(store: &Store, id: RegradeId, order: Order) -> Regrade {
    match store.order_regrade(id, order, "Olga").await.unwrap() {
        Ordered::Done(regrade) => *regrade,
        other => panic!("{order:?}: {other:?}"),
    }
}

pub(crate) async fn refused(store: &Store, id: RegradeId, order: Order) -> RegradeState {
    match store.order_regrade(id, order, "Olga").await.unwrap() {
        Ordered::Refused(state) => state,
        other => panic!("{order:?}: {other:?}"),
    }
}

pub(crate) const ALL: Selection<'static> = Selection::Where { states: &[], reasons: &[] };

/// Every submission that is no trial, as it lies in the database.
pub(crate) async fn dump(subject: &InMongo) -> BTreeMap<String, Document> {
    let all = subject.database().await.collection::<Document>("submissions");
    let found = all.find(doc! { "trial_of": { "$exists": false } }).await.unwrap();
    let found: Vec<Document> = found.try_collect().await.unwrap();
    found.into_iter().map(|one| (one.get("_id").unwrap().to_string(), one)).collect()
}

pub(crate) async fn put(subject: &InMongo, names: &[&str]) -> Vec<SubmissionId> {
    let mut ids = Vec::new();
    for name in names {
        ids.push(subject.put(submission(name, now())).await.id);
    }
    ids
}

async fn state(subject: &InMongo, id: SubmissionId) -> State {
    subject.get(id).await.life.state
}

fn fates(regrade: &Regrade) -> Vec<Option<Fate>> {
    regrade.items.iter().map(|item| item.applied).collect()
}

async fn past(subject: &InMongo, collection: &str, filter: Document, update: Document) {
    let collection = subject.database().await.collection::<Document>(collection);
    assert!(collection.update_many(filter, update).await.unwrap().matched_count > 0);
}

fn key(id: impl Into<uuid::Uuid>) -> Bson {
    Bson::from(bson::Uuid::from_bytes(id.into().into_bytes()))
}

/// Every call about a submission that has passed, as the api makes it, with somebody who grades
/// meanwhile; their names.
pub(crate) async fn as_the_api(
    store: &Store,
    grader: &Store,
    id: SubmissionId,
) -> [&'static str; 10] {
    grade(grader, |_| Some(Pass::Yes)).await;
    let these = Selection::These(&[id]);
    let made = begin(store, these).await;
    grade(grader, |_| Some(Pass::No)).await;
    let ready = look(store, made.id).await;
    assert_eq!(store.preview(&ready).await.unwrap()[0].change, Change::WouldFail);
    assert_eq!(fates(&order(store, made.id, Order::Apply).await), [Some(Fate::Applied)]);
    order(store, made.id, Order::Undo).await;
    let another = begin(store, these).await;
    order(store, another.id, Order::Discard).await;
    assert_eq!(store.regrades(&event(), None, 9).await.unwrap().len(), 2);
    assert_eq!(store.event_of_regrade(made.id).await.unwrap(), Some(event()));
    assert_eq!(store.regrades_under_way(&event()).await.unwrap(), 0);
    assert_eq!(store.erase(id).await.unwrap(), Write::Applied);
    assert_eq!(store.withdraw(id, Withdrawal::TakeBack).await.unwrap(), Write::Applied);
    [
        "regradable",
        "begin_regrade",
        "regrade",
        "preview",
        "order_regrade",
        "regrades",
        "event_of_regrade",
        "regrades_under_way",
        "erase",
        "withdraw",
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_regrade_is_looked_at_applied_and_undone() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    rules(store, FILE, 1).await;
    let ids = put(&subject, &["p1", "p2", "f1", "x1"]).await;
    grade(store, by_name).await;
    store.sweep(now()).await.unwrap();
    rules(store, FILE, 2).await;
    let before = dump(&subject).await;
    let (pins, stats) = (store.pins().await.unwrap(), store.stats(&event()).await.unwrap());
    assert_eq!((pins.len(), state(&subject, ids[3]).await), (2, State::Undetermined));

    let made = begin(store, ALL).await;
    assert_eq!((made.state, made.items.len()), (RegradeState::Grading, 4));
    let rows = store.preview(&made).await.unwrap();
    assert!(rows.iter().all(|row| row.change == Change::Waiting && row.after.is_none()));
    for order in [Order::Apply, Order::Undo] {
        assert_eq!(refused(store, made.id, order).await, RegradeState::Grading);
    }
    // One stays what it is, of one nobody finds out, the others turn.
    let judge = |one: &Submission| match one.participant.name.as_str() {
        "p1" => Some(Pass::Yes),
        "p2" => None,
        _ => turned(one),
    };
    assert_eq!(grade(store, judge).await, 3 + usize::try_from(MAX_LOST).unwrap());
    let ready = look(store, made.id).await;
    assert_eq!(ready.state, RegradeState::Ready);
    let rows = store.preview(&ready).await.unwrap();
    let changes: Vec<&str> = rows.iter().map(|row| row.change.as_str()).collect();
    assert_eq!(changes, ["unchanged", "undetermined", "would_pass", "would_pass"]);
    assert_eq!(rows[2].item.before.reason.as_deref(), Some("exited"));
    assert_eq!(rows[1].after.as_ref().unwrap().1.as_deref(), Some("node_lost"));
    // Nothing is to be seen of it.
    assert_eq!(dump(&subject).await, before);
    assert_eq!(store.pins().await.unwrap(), pins);
    assert_eq!(store.stats(&event()).await.unwrap(), stats);

    let applied = order(store, made.id, Order::Apply).await;
    assert_eq!(applied.state, RegradeState::Applied);
    applied_whole(&subject, &applied, &ids).await;
    // What was a success before keeps its time, and so its place among the pins.
    let at = |id, all: &[Pin]| all.iter().find(|pin| pin.submission == id).map(|pin| pin.at);
    assert_eq!(at(ids[0], &store.pins().await.unwrap()), at(ids[0], &pins));
    let once = dump(&subject).await;
    assert_eq!(order(store, made.id, Order::Apply).await, applied);
    assert_eq!(dump(&subject).await, once, "to apply it again does nothing");
    assert_eq!(refused(store, made.id, Order::Discard).await, RegradeState::Applied);

    let undone = order(store, made.id, Order::Undo).await;
    assert_eq!(undone.state, RegradeState::Undone);
    undone_whole(&subject, &before).await;
    let once = dump(&subject).await;
    assert_eq!(order(store, made.id, Order::Undo).await, undone);
    assert_eq!(dump(&subject).await, once);
    assert_eq!(refused(store, made.id, Order::Apply).await, RegradeState::Undone);
    subject.close().await;
}

/// All but the second were taken over, with their whole history.
async fn applied_whole(subject: &InMongo, applied: &Regrade, ids: &[SubmissionId]) {
    let [done, left] = [Some(Fate::Applied), Some(Fate::Left)];
    assert_eq!(fates(applied), [done, left, done, done]);
    for (n, id) in ids.iter().enumerate() {
        let one = subject.get(*id).await;
        assert_eq!(one.life.state, State::Passed, "{n}");
        let numbers: Vec<u32> = one.attempts.iter().map(|attempt| attempt.number).collect();
        assert_eq!(numbers, (1..=u32::try_from(numbers.len()).unwrap()).collect::<Vec<_>>());
        let generations: BTreeSet<_> = one.attempts.iter().map(|a| a.generation).collect();
        assert_eq!(generations.len(), numbers.len(), "each attempt has its own");
        let regraded = n != 1;
        assert_eq!(one.event_version, if regraded { 2 } else { 1 });
        assert_eq!(one.verdict.unwrap().attempt, *numbers.last().unwrap());
        let raw = &dump(subject).await[&key(id.uuid()).to_string()];
        let entries = raw.get_array("regraded").map_or(0, Vec::len);
        assert_eq!(entries, usize::from(regraded));
    }
    assert_eq!(subject.0.pins().await.unwrap().len(), 4);
}

/// All is as it was, but for what is only ever added.
async fn undone_whole(subject: &InMongo, before: &BTreeMap<String, Document>) {
    for (id, old) in before {
        let now = &dump(subject).await[id];
        for field in ["state", "verdict", "event_version", "lost", "participant", "images"] {
            assert_eq!(now.get(field), old.get(field), "{field}");
        }
        // Attempts are only ever added.
        let (old, now) = (old.get_array("attempts").unwrap(), now.get_array("attempts").unwrap());
        assert_eq!(&now[..old.len()], &old[..]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_that_died_left_is_finished_once() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    rules(store, FILE, 1).await;
    let ids = put(&subject, &["p1", "p2", "f1", "f2"]).await;
    grade(store, by_name).await;
    let made = begin(store, ALL).await;
    let database = subject.database().await;
    let (all, regrades) = (
        database.collection::<Document>("submissions"),
        database.collection::<Document>("regrades"),
    );
    let this = doc! { "_id": key(made.id.uuid()) };

    // It died with half of the trials in the queue.
    let gone: Vec<Bson> = made.items[1..3].iter().map(|item| key(item.trial.uuid())).collect();
    all.delete_many(doc! { "_id": { "$in": gone } }).await.unwrap();
    let set = doc! { "$set": { "state": "preparing" } };
    past(&subject, "regrades", this.clone(), set).await;
    let then = Regrade { state: RegradeState::Preparing, ..made.clone() };
    let rows = store.preview(&then).await.unwrap();
    assert!(rows.iter().all(|row| row.change == Change::Waiting));
    assert_eq!(look(store, made.id).await.state, RegradeState::Grading);
    assert_eq!(grade(store, turned).await, 4, "each trial is there once");

    // It died with half of the verdicts taken over: the document of a re-grade of these two.
    assert_eq!(look(store, made.id).await.state, RegradeState::Ready);
    let whole = regrades.find_one(this.clone()).await.unwrap().unwrap();
    let half: Vec<Bson> = whole.get_array("items").unwrap()[..2].to_vec();
    past(&subject, "regrades", this.clone(), doc! { "$set": { "items": half } }).await;
    order(store, made.id, Order::Apply).await;
    assert_eq!(state(&subject, ids[1]).await, State::Failed);
    assert_eq!(state(&subject, ids[2]).await, State::Failed, "not yet");
    let items = whole.get_array("items").unwrap().clone();
    let set = doc! { "$set": { "state": "applying", "items": items } };
    past(&subject, "regrades", this.clone(), set).await;
    let finished = look(store, made.id).await;
    assert_eq!(finished.state, RegradeState::Applied);
    assert_eq!(fates(&finished), [Some(Fate::Applied); 4]);
    for (n, id) in ids.iter().enumerate() {
        let one = subject.get(*id).await;
        let wanted = if n < 2 { State::Failed } else { State::Passed };
        assert_eq!((one.life.state, one.attempts.len()), (wanted, 2), "once");
    }

    // It died with half of them put back.
    let whole = regrades.find_one(this.clone()).await.unwrap().unwrap();
    let half: Vec<Bson> = whole.get_array("items").unwrap()[2..].to_vec();
    past(&subject, "regrades", this.clone(), doc! { "$set": { "items": half } }).await;
    order(store, made.id, Order::Undo).await;
    let items = whole.get_array("items").unwrap().clone();
    let set = doc! { "$set": { "state": "undoing", "items": items } };
    past(&subject, "regrades", this, set).await;
    // Whoever orders it finishes it, too.
    let undone = order(store, made.id, Order::Undo).await;
    assert!(undone.items.iter().all(|item| item.undone == Some(Fate::Undone)));
    for (id, name) in ids.iter().zip(["p", "p", "f", "f"]) {
        let wanted = if name == "p" { State::Passed } else { State::Failed };
        assert_eq!(state(&subject, *id).await, wanted);
    }
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_apply_at_once_apply_once() {
    let subject = InMongo::open().await;
    rules(&subject.0, FILE, 1).await;
    let names: Vec<String> = (0..30).map(|n| format!("f{n}")).collect();
    let ids = put(&subject, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    grade(&subject.0, by_name).await;
    let made = begin(&subject.0, ALL).await;
    grade(&subject.0, turned).await;
    let stores = [subject.another().await, subject.another().await, subject.another().await];
    let orders = stores.iter().map(|store| order(store, made.id, Order::Apply));
    for done in futures::future::join_all(orders).await {
        assert_eq!(fates(&done), [Some(Fate::Applied); 30]);
    }
    let undos = stores.iter().map(|store| order(store, made.id, Order::Undo));
    for done in futures::future::join_all(undos).await {
        assert!(done.items.iter().all(|item| item.undone == Some(Fate::Undone)));
    }
    for id in ids {
        let one = subject.get(id).await;
        assert_eq!((one.attempts.len(), one.life.state), (2, State::Failed));
    }
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_in_between_is_left_alone() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    rules(store, FILE, 1).await;
    let ids = put(&subject, &["f1", "f2", "x1", "f3"]).await;
    grade(store, by_name).await;
    store.sweep(now()).await.unwrap();
    let slow = begin(store, ALL).await;
    // Of the trials all pass; meanwhile one is graded anew by another re-grade, one is erased, one
    // is tried again by an operator.
    grade(store, turned).await;
    let fast = begin(store, Selection::These(&ids[..1])).await;
    grade(store, |_| Some(Pass::No)).await;
    assert_eq!(order(store, fast.id, Order::Apply).await.state, RegradeState::Applied);
    assert_eq!(store.erase(ids[1]).await.unwrap(), Write::Applied);
    assert_eq!(store.requeue(ids[2]).await.unwrap(), Write::Applied);
    let before = dump(&subject).await;
    let applied = order(store, slow.id, Order::Apply).await;
    let conflict = Some(Fate::Conflict);
    assert_eq!(fates(&applied), [conflict, conflict, conflict, Some(Fate::Applied)]);
    let after = dump(&subject).await;
    for id in &ids[..3] {
        let id = key(id.uuid()).to_string();
        assert_eq!(after[&id], before[&id]);
    }
    assert_eq!(state(&subject, ids[3]).await, State::Passed);
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_regrade_wrote_is_not_undone() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    rules(store, FILE, 1).await;
    let ids = put(&subject, &["f1", "f2"]).await;
    grade(store, by_name).await;
    let first = begin(store, ALL).await;
    grade(store, |_| Some(Pass::Yes)).await;
    order(store, first.id, Order::Apply).await;
    // The second changes one of them, and one back and forth.
    let [second, third] = [begin(store, Selection::These(&ids[..1])).await, {
        begin(store, Selection::These(&ids[1..])).await
    }];
    grade(store, |_| Some(Pass::No)).await;
    order(store, second.id, Order::Apply).await;
    order(store, third.id, Order::Apply).await;
    order(store, third.id, Order::Undo).await;
    assert_eq!(state(&subject, ids[0]).await, State::Failed);
    assert_eq!(state(&subject, ids[1]).await, State::Passed);
    let undone = order(store, first.id, Order::Undo).await;
    let fates: Vec<_> = undone.items.iter().map(|item| item.undone).collect();
    assert_eq!(fates, [Some(Fate::Conflict), Some(Fate::Undone)]);
    let (one, other) = (subject.get(ids[0]).await, subject.get(ids[1]).await);
    assert_eq!(one.verdict.unwrap().attempt, 3, "the second's still stands");
    let verdict = other.verdict.unwrap();
    assert_eq!((other.life.state, verdict.attempt), (State::Failed, 1));
    assert_eq!(other.attempts.len(), 3);
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_has_a_verdict_is_selected() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    rules(store, FILE, 1).await;
    let ids = put(&subject, &["p1", "f1", "x1", "c1", "e1"]).await;
    store.cancel(ids[3]).await.unwrap();
    grade(store, by_name).await;
    store.erase(ids[4]).await.unwrap();
    let queued = put(&subject, &["q1"]).await;
    let select = async |selection: Selection<'_>| {
        let found = store.regradable(&event(), selection, 9).await.unwrap();
        found.into_iter().map(|one| one.submission).collect::<Vec<_>>()
    };
    assert_eq!(select(ALL).await, ids[..3]);
    let everything: Vec<_> = ids.iter().chain(&queued).copied().collect();
    assert_eq!(select(Selection::These(&everything)).await, ids[..3]);
    let (failed, passed) = (&[Graded::Failed][..], &[Graded::Passed][..]);
    let (lost, exited) = (&["node_lost".to_owned()][..], &["exited".to_owned()][..]);
    for (states, reasons, found) in [
        (failed, &[][..], &ids[1..2]),
        (&[], lost, &ids[2..3]),
        (failed, exited, &ids[1..2]),
        (passed, exited, &[]),
    ] {
        assert_eq!(select(Selection::Where { states, reasons }).await, found);
    }
    let other = "another".parse().unwrap();
    assert!(store.regradable(&other, ALL, 9).await.unwrap().is_empty());
    assert_eq!(store.regradable(&event(), ALL, 2).await.unwrap().len(), 2);
    subject.close().await;
}

/// The attempt of a re-grade has a generation of its own: what is claimed after it was undone does
/// not take it for its own.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_tried_again_after_an_undo_has_its_own_attempt() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    rules(store, FILE, 1).await;
    let ids = put(&subject, &["x1"]).await;
    grade(store, by_name).await;
    let made = begin(store, ALL).await;
    // Its trial is lost once, so its attempt has the generation that the next claim would have.
    let lost = std::cell::Cell::new(MAX_LOST);
    let judge = |_: &Submission| {
        lost.set(lost.get() - 1);
        (lost.get() == 0).then_some(Pass::No)
    };
    grade(store, judge).await;
    order(store, made.id, Order::Apply).await;
    order(store, made.id, Order::Undo).await;
    assert_eq!(store.requeue(ids[0]).await.unwrap(), Write::Applied);
    assert_eq!(grade(store, |_| Some(Pass::Yes)).await, 1);
    let one = subject.get(ids[0]).await;
    let last = one.attempts.last().unwrap();
    assert_eq!((one.life.state, one.verdict.unwrap().attempt), (State::Passed, last.number));
    assert_eq!(last.outcome.unwrap().as_str(), "passed");
    assert_eq!(one.attempts[one.attempts.len() - 2].outcome.unwrap().as_str(), "failed");
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_listed_the_newest_first() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    rules(store, FILE, 1).await;
    put(&subject, &["f1"]).await;
    grade(store, by_name).await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(begin(store, ALL).await.id);
    }
    made.reverse();
    let list = async |before, most| {
        let found = store.regrades(&event(), before, most).await.unwrap();
        found.into_iter().map(|one| one.id).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 9).await, made);
    assert_eq!(list(None, 2).await, made[..2]);
    assert_eq!(list(Some(made[1]), 2).await, made[2..]);
    let other = "another".parse().unwrap();
    assert!(store.regrades(&other, None, 9).await.unwrap().is_empty());
    assert_eq!(store.regrade(RegradeId::new()).await.unwrap(), None);
    subject.close().await;
}
