//! The fleet at a glance: put together from four lists.

use bson::{Document, doc};
use portcall_shared::{
    domain::ids::WorkerId,
    store::{
        Store,
        nodes::{NodeDuty, NodeEntry},
        processes::Process,
        queue::{Claimant, Queue},
    },
};

use crate::{
    nodes::node,
    subject::{InMongo, Subject, now, submission},
};

async fn listed(store: &Store, name: &str, slots: u32) -> Claimant {
    let by = Claimant { id: WorkerId::new(), name: name.to_owned() };
    store.beat(&by, slots).await.unwrap();
    by
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_who_is_listed_and_what_they_do() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    assert_eq!(store.fleet().await.unwrap(), Default::default());
    let (b, a) = (listed(store, "b", 4).await, listed(store, "a", 2).await);
    listed(store, "c", 1).await;
    let process = store.list_process(Process::worker(b.id, "b", "0.1.0 (abc)")).await.unwrap();
    let drained = |of: &Claimant, name: &str, duty| NodeEntry { duty, ..node(of, name) };
    for entry in [
        drained(&a, "n1", NodeDuty::Drained),
        drained(&a, "n2", NodeDuty::Draining),
        drained(&b, "n3", NodeDuty::Drained),
        drained(&b, "n4", NodeDuty::Serving),
    ] {
        store.note_node(&entry).await.unwrap();
    }
    for n in 0..3 {
        subject.put(submission(&format!("p{n}"), now())).await;
    }
    store.claim(&b).await.unwrap().expect("one waits");
    store.claim(&b).await.unwrap().expect("one waits");
    store.claim(&a).await.unwrap().expect("one waits");
    // Of a worker that is on no list any more nothing is told.
    let gone = listed(store, "gone", 9).await;
    subject.put(submission("p9", now())).await;
    store.claim(&gone).await.unwrap().expect("one waits");
    store.note_node(&node(&gone, "n5")).await.unwrap();
    store.forget_worker(gone.id).await.unwrap();

    let fleet = store.fleet().await.unwrap();
    let told: Vec<_> = fleet
        .workers
        .iter()
        .map(|w| (w.entry.name.as_str(), w.entry.slots, w.busy, w.build.as_deref(), w.draining))
        .collect();
    assert_eq!(
        told,
        [
            ("a", 2, 1, None, true),
            ("b", 4, 2, Some("0.1.0 (abc)"), false),
            // It has no node that could be drained.
            ("c", 1, 0, None, false),
        ]
    );
    let nodes: Vec<&str> = fleet.nodes.iter().map(|node| node.node.name.as_str()).collect();
    assert_eq!(nodes, ["n1", "n2", "n3", "n4"]);
    assert_eq!(fleet.nodes, store.nodes().await.unwrap());
    process.leave().await;
    subject.close().await;
}

/// An entry that is none is left out rather than the whole list.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_nobodys() {
    let subject = InMongo::open().await;
    listed(&subject.0, "a", 2).await;
    let database = subject.database().await;
    let odd = database.collection::<Document>("processes");
    odd.insert_one(doc! { "_id": "odd", "kind": "worker", "build": "1" }).await.unwrap();
    let leased = database.collection::<Document>("submissions");
    leased.insert_one(doc! { "state": "grading", "worker": "odd" }).await.unwrap();
    let fleet = subject.0.fleet().await.unwrap();
    assert_eq!((fleet.workers.len(), fleet.workers[0].busy), (1, 0));
    assert_eq!(fleet.workers[0].build, None);
    subject.close().await;
}
