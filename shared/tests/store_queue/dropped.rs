//! Whoever waits for the store may go away at any moment: a time limit, a shutdown, a client that
//! hung up. Nothing may be half-done by it, and the driver's pool must survive.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use bson::{Document, doc};
use futures::future::{join_all, try_join_all};
use portcall_shared::{
    domain::{
        ids::{SubmissionId, WorkerId},
        state::{Pass, State},
        submission::Submission,
    },
    store::{
        Store,
        queue::{Claimant, Expiry, InFlight, Lease, Queue, Record, Settlement, Write},
    },
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::subject::{InMongo, Subject, now, submission};

const SUBMISSIONS: usize = 80;
const TASKS: u64 = 4;
const CALLS: usize = 50;
const PINGS: usize = 50;
/// For fifty pings over a pool of as many connections.
const SOON: Duration = Duration::from_secs(10);

/// Somebody who waits for a call for a random time, up to twice what calls took lately: about half
/// of them are dropped, whatever else the machine does.
struct Impatient {
    random: StdRng,
    usual: Duration,
    ended: usize,
    dropped: usize,
}

impl Impatient {
    fn of(seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self { random, usual: Duration::from_millis(20), ended: 0, dropped: 0 }
    }

    /// What the call answered, if it was waited for long enough.
    async fn wait<T>(&mut self, call: impl Future<Output = T>) -> Option<T> {
        let began = Instant::now();
        let patience = self.usual.mul_f64(self.random.random_range(0.0..2.0));
        let done = tokio::select! {
            done = call => Some(done),
            () = tokio::time::sleep(patience) => None,
        };
        if done.is_some() {
            self.ended += 1;
            self.usual = (self.usual * 3 + began.elapsed()) / 4;
        } else {
            self.dropped += 1;
            self.usual = self.usual * 5 / 4;
        }
        done
    }
}

fn settlement() -> Settlement {
    let record = Record {
        at: now(),
        node: None,
        grading_ms: 1,
        steps: Vec::new(),
        evidence: Default::default(),
    };
    Settlement { pass: Pass::Yes, reason: None, record }
}

/// Claims, renews and settles, and drops half of it; how many calls ended and how many were
/// dropped.
async fn somebody_impatient(store: Store, seed: u64) -> (usize, usize) {
    let mut somebody = Impatient::of(seed);
    let by = Claimant { id: WorkerId::new(), name: format!("impatient {seed}") };
    let mut held: Vec<Lease> = Vec::new();
    for _ in 0..CALLS {
        let choice = somebody.random.random_range(0..3);
        match (choice, held.last().copied()) {
            (1, Some(lease)) => {
                if let Some(write) = somebody.wait(store.renew(lease)).await {
                    assert_eq!(write.unwrap(), Write::Applied);
                }
            }
            (2, Some(lease)) => {
                held.pop();
                if let Some(write) = somebody.wait(store.settle(lease, &settlement())).await {
                    assert_eq!(write.unwrap(), Write::Applied);
                }
            }
            _ => {
                if let Some(claimed) = somebody.wait(store.claim(&by)).await {
                    held.extend(claimed.unwrap().as_ref().map(lease_of));
                }
            }
        }
    }
    (somebody.ended, somebody.dropped)
}

fn lease_of(submission: &Submission) -> Lease {
    let State::Grading { worker, .. } = submission.life.state else { panic!("not claimed") };
    Lease { submission: submission.id, worker, generation: submission.life.generation }
}

async fn all_of(subject: &InMongo, ids: &[SubmissionId]) -> BTreeMap<SubmissionId, Submission> {
    join_all(ids.iter().map(|id| subject.get(*id))).await.into_iter().map(|s| (s.id, s)).collect()
}

/// The submissions once the calls that were dropped have ended in their tasks.
async fn settled_down(
    subject: &InMongo,
    ids: &[SubmissionId],
) -> BTreeMap<SubmissionId, Submission> {
    let began = Instant::now();
    let mut before = all_of(subject, ids).await;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let after = all_of(subject, ids).await;
        if before == after {
            return after;
        }
        assert!(began.elapsed() < SOON, "it never comes to rest");
        before = after;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_may_be_dropped_at_any_point() {
    let subject = InMongo::open().await;
    let mut ids = Vec::new();
    for n in 0..SUBMISSIONS {
        ids.push(subject.put(submission(&format!("p{n}"), now())).await.id);
    }
    let tasks = (0..TASKS).map(|n| tokio::spawn(somebody_impatient(subject.0.clone(), n)));
    let counts = try_join_all(tasks).await.unwrap();
    let ended: usize = counts.iter().map(|c| c.0).sum();
    let dropped: usize = counts.iter().map(|c| c.1).sum();
    println!("{ended} calls ended, {dropped} were dropped");
    assert!(ended >= 30 && dropped >= 30, "{ended} ended, {dropped} dropped: nothing was tried");

    // The pool gives as many connections as it has, and each of them answers.
    let pings = try_join_all((0..PINGS).map(|_| subject.0.ping()));
    tokio::time::timeout(SOON, pings).await.expect("the pool is exhausted").unwrap();

    let all = settled_down(&subject, &ids).await;
    let flying = subject.0.in_flight().await.unwrap();
    let seen: BTreeSet<SubmissionId> = flying.iter().map(|one| one.lease.submission).collect();
    for one in all.values() {
        let grading = matches!(one.life.state, State::Grading { .. });
        assert_eq!(grading, seen.contains(&one.id), "claimed is in flight: {one:#?}");
        let generations: Vec<_> = one.attempts.iter().map(|a| a.generation).collect();
        assert!(
            generations.is_sorted() && generations.last().is_none_or(|g| *g == one.life.generation)
        );
        assert_eq!(
            one.attempts.len() as i64,
            one.life.generation.0,
            "a claim is an attempt: {one:#?}"
        );
        assert_eq!(one.verdict.is_some(), one.life.state.is_final(), "{one:#?}");
        assert_eq!(one.life.deadline.is_none(), one.life.state.is_final(), "{one:#?}");
    }
    nothing_is_claimable_but_the_queued(&subject, &all).await;
    everybody_passes(&subject, flying).await;
    for one in all_of(&subject, &ids).await.values() {
        assert_eq!(one.life.state, State::Passed, "{one:#?}");
        let passed =
            one.attempts.iter().filter(|a| a.outcome.is_some_and(|o| o.as_str() == "passed"));
        assert_eq!(passed.count(), 1, "one verdict: {one:#?}");
    }
    subject.close().await;
}

/// What is opened for some work is closed after it: calls that nobody waits for any more have ended,
/// and no other begins.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_closed_after_the_work_it_was_for_however_that_ended() {
    let subject = InMongo::open().await;
    for outcome in [Ok(7), Err("it failed")] {
        let store = subject.another().await;
        let done = store.clone().closing(async |store| {
            store.ping().await.unwrap();
            let mut given_up = std::pin::pin!(store.workers());
            assert!(futures::poll!(&mut given_up).is_pending());
            outcome
        });
        assert_eq!(tokio::time::timeout(SOON, done).await.expect("nothing is under way"), outcome);
        assert!(store.ping().await.is_err(), "it is closed");
    }
    subject.0.ping().await.expect("the control: another is not");
    subject.close().await;
}

/// Past the store: the field that claims go by says the same as the state.
async fn nothing_is_claimable_but_the_queued(
    subject: &InMongo,
    all: &BTreeMap<SubmissionId, Submission>,
) {
    let queued = all.values().filter(|one| one.life.state == State::Queued).count();
    let submissions = subject.database().await.collection::<Document>("submissions");
    for filter in [doc! { "ready": true }, doc! { "ready": true, "state": "queued" }] {
        let ready = submissions.count_documents(filter).await.unwrap();
        assert_eq!(ready, queued as u64);
    }
}

/// What the impatient left is taken over and ended by somebody with time.
async fn everybody_passes(subject: &InMongo, flying: Vec<InFlight>) {
    for seen in flying {
        assert_eq!(subject.0.expire(seen, Expiry::Silent).await.unwrap(), Write::Applied);
    }
    let by = Claimant { id: WorkerId::new(), name: "patient".into() };
    while let Some(claimed) = subject.0.claim(&by).await.unwrap() {
        let settled = subject.0.settle(lease_of(&claimed), &settlement()).await.unwrap();
        assert_eq!(settled, Write::Applied);
    }
}
