//! The trials of re-grades on MongoDB: where they stand in the line, and that they are nobody's
//! submissions.

use std::collections::BTreeSet;

use portcall_shared::{
    domain::{
        ids::{RegradeId, WorkerId},
        regrade::{Order, RegradeState},
    },
    store::{
        queue::{Claimant, Queue, Write},
        regrades::{Ordered, Selection, UNDER_WAY},
        submissions::{FAIR_STEP, MAX_PENDING},
    },
};

use crate::{
    regrades::{ALL, FILE, begin, by_name, dump, event, grade, order, put, refused, rules},
    subject::{InMongo, Subject, now, submission},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_leaves_the_queue() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    rules(store, FILE, 1).await;
    put(&subject, &["f1", "f2"]).await;
    grade(store, by_name).await;
    let before = dump(&subject).await;
    let made = begin(store, ALL).await;
    assert_eq!(store.waiting().await.unwrap().ready, 2);
    assert_eq!(order(store, made.id, Order::Discard).await.state, RegradeState::Discarded);
    assert_eq!(store.waiting().await.unwrap().ready, 0);
    assert_eq!(order(store, made.id, Order::Discard).await.state, RegradeState::Discarded);
    for order in [Order::Apply, Order::Undo] {
        assert_eq!(refused(store, made.id, order).await, RegradeState::Discarded);
    }
    assert_eq!(dump(&subject).await, before);
    let nobody = store.order_regrade(RegradeId::new(), Order::Apply, "Olga").await.unwrap();
    assert_eq!(nobody, Ordered::Missing);
    subject.close().await;
}

/// However many re-grades there are, their trials stand a step of the fair order apart, so that one at
/// most is before what somebody sends in that time; and there are not many.
#[tokio::test(flavor = "multi_thread")]
async fn several_regrades_share_one_part_of_the_line() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    rules(store, FILE, 1).await;
    let names: Vec<String> = (0..4).map(|n| format!("f{n}")).collect();
    put(&subject, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    grade(store, by_name).await;
    let mut made = Vec::new();
    for n in 0..UNDER_WAY {
        assert_eq!(store.regrades_under_way(&event()).await.unwrap(), n);
        made.push(begin(store, ALL).await);
    }
    assert_eq!(store.regrades_under_way(&event()).await.unwrap(), UNDER_WAY);
    assert_eq!(store.regrades_under_way(&"another".parse().unwrap()).await.unwrap(), 0);

    let mut places = Vec::new();
    for item in made.iter().flat_map(|one| &one.items) {
        places.push(subject.get(item.trial).await.order);
    }
    places.sort_unstable();
    assert_eq!(places.len(), 4 * UNDER_WAY);
    assert!(places[0] > now());
    assert!(places.windows(2).all(|two| two[1] - two[0] >= FAIR_STEP), "{places:?}");

    // What has ended makes room, whether or not anybody looked.
    grade(store, by_name).await;
    assert_eq!(store.regrades_under_way(&event()).await.unwrap(), 0);
    subject.close().await;
}

/// To a worker a trial is a submission like any other, graded by the new rules and after what
/// participants send; to everything else it is none.
#[tokio::test(flavor = "multi_thread")]
async fn trials_are_nobodys_submissions() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    rules(store, FILE, 1).await;
    let ids = put(&subject, &["f1"]).await;
    grade(store, by_name).await;
    rules(store, FILE, 2).await;
    let made = begin(store, ALL).await;
    let trial = subject.get(made.items[0].trial).await;
    assert_eq!((trial.marks.trial_of, trial.event_version), (Some(ids[0]), 2));
    assert_eq!((&trial.images, trial.place.point), (&subject.get(ids[0]).await.images, None));
    assert!(!store.knows_secret(trial.id, "secret").await.unwrap());
    assert!(!store.knows_secret(trial.id, "").await.unwrap());
    // It takes none of its participant's places, and what they send comes first.
    let mut live = BTreeSet::new();
    for _ in 0..MAX_PENDING {
        live.insert(subject.put(submission("f1", now())).await.id);
    }
    let by = Claimant { id: WorkerId::new(), name: "w".into() };
    assert!(live.contains(&store.claim(&by).await.unwrap().unwrap().id));
    // Nobody grades a trial anew.
    let these = [made.items[0].trial];
    assert_eq!(store.regradable(&event(), Selection::These(&these), 9).await.unwrap(), []);
    assert_eq!(store.requeue(trial.id).await.unwrap(), Write::Stale);
    assert_eq!(store.stats(&event()).await.unwrap().states["failed"], 1);
    subject.close().await;
}
