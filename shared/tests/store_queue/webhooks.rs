//! Webhooks and their outbox.

use portcall_shared::{
    domain::{
        ids::{SubmissionId, WebhookId},
        state::{Lifecycle, State, Step},
        submission::{Attempt, Marks, StepTime, Submission},
        verdict::{Outcome, Verdict},
    },
    store::{
        Store,
        deliveries::{Before, KEPT, LEASE, NewDelivery, Standing, Then, Tried},
        stats::Quantiles,
        webhooks::{MOST, Made, Topic, Webhook},
    },
};
use time::{Duration, OffsetDateTime};

use crate::subject::{InMongo, Subject as _, now, submission};

fn webhook(event: &str) -> Webhook {
    Webhook {
        id: WebhookId::new(),
        event: event.parse().unwrap(),
        url: "https://hooks.example/".to_owned(),
        on: vec![Topic::Verdict, Topic::Regrade],
        sealed: vec![0, 159, 146, 150],
        created_at: now(),
        created_by: "Ada".to_owned(),
        disabled_at: None,
    }
}

fn delivery(webhook: WebhookId) -> NewDelivery {
    NewDelivery::of(webhook, SubmissionId::new(), "submission.passed", "1", now())
}

fn tried(code: i32) -> Tried {
    Tried { code: Some(code), why: None, excerpt: "no".to_owned(), ms: 7 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_has_so_many_webhooks_and_no_more() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    // All at once, one more than there may be.
    let all: Vec<Webhook> = (0..=MOST).map(|_| webhook("birthday-3")).collect();
    let made = all.iter().map(|webhook| store.create_webhook(webhook));
    let made = futures::future::try_join_all(made).await.unwrap();
    assert_eq!(made.iter().filter(|made| **made == Made::TooMany).count(), 1);
    let stored = store.webhooks(&"birthday-3".parse().unwrap()).await.unwrap();
    assert_eq!(stored.len(), usize::try_from(MOST).unwrap());
    let first = all.iter().find(|one| one.id == stored[0].id).unwrap();
    assert_eq!(&stored[0], first, "it is read as it was stored");
    // It is not stored again, takes no place twice, and other events have places of their own.
    assert_eq!(store.create_webhook(&webhook("other")).await.unwrap(), Made::Stored);
    store.delete_webhook(first.id).await.unwrap();
    assert_eq!(store.webhook(first.id).await.unwrap(), None);
    assert_eq!(store.create_webhook(&webhook("birthday-3")).await.unwrap(), Made::Stored);
    assert_eq!(store.create_webhook(&webhook("birthday-3")).await.unwrap(), Made::TooMany);
    assert_eq!(store.enabled_webhooks().await.unwrap().len(), stored.len() + 1);
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_is_stored_once_whoever_sees_it() {
    let subject = InMongo::open().await;
    let (store, other) = (&subject.0, subject.another().await);
    let webhook = WebhookId::new();
    let all: Vec<NewDelivery> = (0..20).map(|_| delivery(webhook)).collect();
    let (some, reversed) = (all[..12].to_vec(), all.iter().rev().cloned().collect::<Vec<_>>());
    let told = tokio::join!(
        store.tell_webhooks(&all),
        other.tell_webhooks(&some),
        store.tell_webhooks(&reversed)
    );
    assert!(told.0.is_ok() && told.1.is_ok() && told.2.is_ok(), "{told:?}");
    assert_eq!(store.tell_webhooks(&all).await.unwrap(), 0);
    assert_eq!(store.deliveries(webhook, None, 100).await.unwrap().len(), all.len());
    // Each is claimed once, by whomever.
    let mut claimed = Vec::new();
    loop {
        let (a, b) = tokio::join!(store.claim_delivery(&[]), other.claim_delivery(&[]));
        let both = [a.unwrap(), b.unwrap()];
        if both.iter().all(Option::is_none) {
            break;
        }
        claimed.extend(both.into_iter().flatten().map(|one| one.new.id));
    }
    claimed.sort_unstable();
    claimed.dedup();
    assert_eq!(claimed.len(), all.len());
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_is_a_lease_and_busy_webhooks_are_passed_over() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    let (slow, quick) = (WebhookId::new(), WebhookId::new());
    store.tell_webhooks(&[delivery(slow)]).await.unwrap();
    store.tell_webhooks(&[delivery(quick)]).await.unwrap();
    let first = store.claim_delivery(&[]).await.unwrap().unwrap();
    assert_eq!((first.new.webhook, first.tries, first.standing), (slow, 1, Standing::Pending));
    let left = first.due_at.unwrap() - OffsetDateTime::now_utc();
    assert!(left > LEASE - Duration::seconds(5) && left <= LEASE, "{left}");
    assert_eq!(store.claim_delivery(&[quick]).await.unwrap(), None);
    assert_eq!(store.claim_delivery(&[slow]).await.unwrap().unwrap().new.webhook, quick);
    // It is due again, by its end or when its lease is over; then it belongs to somebody else.
    let again = Then::Again(now() - Duration::seconds(1));
    store.end_try(&first, &tried(500), again).await.unwrap();
    let second = store.claim_delivery(&[]).await.unwrap().unwrap();
    assert_eq!((second.new.id, second.tries), (first.new.id, 2));
    assert_eq!(second.last, Some(tried(500)));
    store.end_try(&first, &tried(200), Then::End(Standing::Delivered)).await.unwrap();
    let stands = async || store.deliveries(slow, None, 1).await.unwrap().remove(0);
    assert_eq!(stands().await.standing, Standing::Pending, "whoever lost it changes nothing");
    store.end_try(&second, &tried(204), Then::End(Standing::Delivered)).await.unwrap();
    let ended = stands().await;
    assert_eq!(
        (ended.standing, ended.due_at, ended.last),
        (Standing::Delivered, None, Some(tried(204)))
    );
    assert_eq!(store.claim_delivery(&[]).await.unwrap(), None);
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_are_listed_by_pages_and_removed_in_time() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    let webhook = WebhookId::new();
    let all: Vec<NewDelivery> = (0..7).map(|_| delivery(webhook)).collect();
    store.tell_webhooks(&all).await.unwrap();
    store.tell_webhooks(&[delivery(WebhookId::new())]).await.unwrap();
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = store.deliveries(webhook, before, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(Before { at: last.created_at, id: last.new.id });
        seen.extend(page.iter().map(|one| one.new.id));
    }
    let unique: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), unique.len()), (7, 7));

    store.forget_deliveries_of(all[0].submission.unwrap()).await.unwrap();
    assert_eq!(store.deliveries(webhook, None, 100).await.unwrap().len(), 6);
    store.remove_old_deliveries(now() + KEPT - Duration::minutes(1)).await.unwrap();
    assert_eq!(store.deliveries(webhook, None, 100).await.unwrap().len(), 6, "they are kept");
    assert!(store.oldest_due_delivery().await.unwrap().is_some());
    store.remove_old_deliveries(now() + KEPT + Duration::minutes(1)).await.unwrap();
    assert_eq!(store.deliveries(webhook, None, 100).await.unwrap().len(), 0);
    assert_eq!(store.oldest_due_delivery().await.unwrap(), None);
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_is_gone_is_told_nothing_more() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    let (one, other) = (webhook("birthday-3"), webhook("birthday-3"));
    for webhook in [&one, &other] {
        store.create_webhook(webhook).await.unwrap();
        store.tell_webhooks(&[delivery(webhook.id), delivery(webhook.id)]).await.unwrap();
    }
    let ended = store.claim_delivery(&[other.id]).await.unwrap().unwrap();
    store.end_try(&ended, &tried(200), Then::End(Standing::Delivered)).await.unwrap();
    store.disable_webhook(one.id, "gone").await.unwrap();
    let at = store.webhook(one.id).await.unwrap().unwrap().disabled_at;
    store.disable_webhook(one.id, "gone").await.unwrap();
    assert_eq!(store.webhook(one.id).await.unwrap().unwrap().disabled_at, at);
    assert!(at.is_some());
    let mut stands: Vec<Standing> = standings(store, one.id).await;
    stands.sort_by_key(|standing| standing.as_str());
    assert_eq!(stands, [Standing::Delivered, Standing::Dropped], "what has ended stays so");
    assert_eq!(standings(store, other.id).await, [Standing::Pending; 2]);
    assert_eq!(store.enabled_webhooks().await.unwrap(), std::slice::from_ref(&other));
    store.delete_webhook(one.id).await.unwrap();
    assert_eq!(standings(store, one.id).await, []);
    subject.close().await;
}

async fn standings(store: &Store, id: WebhookId) -> Vec<Standing> {
    let all = store.deliveries(id, None, 100).await.unwrap();
    all.into_iter().map(|one| one.standing).collect()
}

/// One that has ended, with steps that took so long.
fn ended(name: &str, state: State, took: &[(Step, u64)]) -> Submission {
    let at = now();
    let mut submission = submission(name, at);
    submission.life = Lifecycle { state, deadline: None, ..submission.life };
    let outcome = if state == State::Passed { Outcome::Passed } else { Outcome::Failed };
    let verdict = Verdict { outcome, reason: None, at, attempt: 1, grading_ms: 1 };
    submission.verdict = Some(verdict);
    let step = |(step, ms): &(Step, u64)| StepTime { step: *step, at, ms: Some(*ms) };
    submission.attempts = vec![Attempt {
        number: 1,
        worker: portcall_shared::domain::ids::WorkerId::new(),
        worker_name: "w".to_owned(),
        node: None,
        generation: submission.life.generation,
        started_at: at,
        ended_at: Some(at),
        steps: took.iter().map(step).collect(),
        outcome: None,
        reason: None,
        evidence: None,
    }];
    submission
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_ended_is_found_by_pages() {
    let subject = InMongo::open().await;
    let (store, event) = (&subject.0, "birthday-3".parse().unwrap());
    let since = now() - Duration::minutes(1);
    for n in 0..5 {
        subject.put(ended(&format!("Ada {n}"), State::Passed, &[])).await;
    }
    subject.put(submission("Queued", now())).await;
    let mut old = ended("Old", State::Failed, &[]);
    old.updated_at = since - Duration::minutes(1);
    subject.put(old).await;
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.ended_since(&event, since, after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.updated_at, last.id));
        seen.extend(page.iter().map(|one| one.participant.name.to_string()));
    }
    seen.sort();
    assert_eq!(seen, ["Ada 0", "Ada 1", "Ada 2", "Ada 3", "Ada 4"]);
    let none = store.ended_since(&"other".parse().unwrap(), since, None, 2).await.unwrap();
    assert_eq!(none, []);
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_are_of_the_event_alone_and_of_nobodys_trials() {
    let subject = InMongo::open().await;
    let (store, event) = (&subject.0, "birthday-3".parse().unwrap());
    for (n, ms) in [10, 20, 30].into_iter().enumerate() {
        let took = [(Step::Pulling, ms), (Step::Probing, 1)];
        subject.put(ended(&format!("Ada {n}"), State::Passed, &took)).await;
    }
    let mut elsewhere = ended("Grace", State::Failed, &[(Step::Pulling, 40)]);
    elsewhere.place.country = Some("FR".to_owned());
    subject.put(elsewhere).await;
    let mut nowhere = ended("Edsger", State::Passed, &[]);
    nowhere.place.country = None;
    let original = subject.put(nowhere).await;
    let mut trial = ended("Trial", State::Passed, &[(Step::Pulling, 9999)]);
    trial.marks = Marks { trial_of: Some(original.id), ..Marks::default() };
    subject.put(trial).await;
    let mut other = ended("Other", State::Passed, &[(Step::Pulling, 9999)]);
    other.event = "other".parse().unwrap();
    subject.put(other).await;

    let stats = store.stats(&event).await.unwrap();
    assert_eq!(stats.countries, [("US".to_owned(), 3)], "of those that passed");
    assert_eq!((stats.states["passed"], stats.states["failed"]), (4, 1));
    assert_eq!(stats.participants, 5);
    let times = store.step_times(&event).await.unwrap();
    assert_eq!(times.iter().map(|one| one.step).collect::<Vec<_>>(), Step::ALL);
    let of = |step: Step| times.iter().find(|one| one.step == step).unwrap();
    let pulling = of(Step::Pulling);
    assert_eq!((pulling.measured, pulling.took), (4, Some(Quantiles { p50: 30, p90: 40 })));
    assert_eq!((of(Step::Probing).measured, of(Step::Cleaning).took), (3, None));
    subject.close().await;
}

/// Every call, as the api makes it; their names.
pub(crate) async fn as_the_api(store: &Store) -> [&'static str; 14] {
    let (one, event) = (webhook("rights"), "rights".parse().unwrap());
    store.create_webhook(&one).await.unwrap();
    assert_eq!(store.webhooks(&event).await.unwrap().len(), 1);
    assert_eq!(store.enabled_webhooks().await.unwrap().len(), 1);
    assert!(store.webhook(one.id).await.unwrap().is_some());
    store.tell_webhooks(&[delivery(one.id)]).await.unwrap();
    assert!(store.oldest_due_delivery().await.unwrap().is_some());
    let claimed = store.claim_delivery(&[]).await.unwrap().unwrap();
    store.end_try(&claimed, &tried(204), Then::End(Standing::Delivered)).await.unwrap();
    assert_eq!(store.deliveries(one.id, None, 9).await.unwrap().len(), 1);
    store.forget_deliveries_of(SubmissionId::new()).await.unwrap();
    store.remove_old_deliveries(now() + KEPT + Duration::DAY).await.unwrap();
    assert!(store.ended_since(&event, now(), None, 9).await.unwrap().is_empty());
    store.disable_webhook(one.id, "gone").await.unwrap();
    store.delete_webhook(one.id).await.unwrap();
    [
        "create_webhook",
        "webhooks",
        "enabled_webhooks",
        "webhook",
        "tell_webhooks",
        "oldest_due_delivery",
        "claim_delivery",
        "end_try",
        "deliveries",
        "forget_deliveries_of",
        "remove_old_deliveries",
        "ended_since",
        "disable_webhook",
        "delete_webhook",
    ]
}
