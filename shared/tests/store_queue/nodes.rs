//! Nodes: rewritten whole by their worker, shown while it is on the list, gone with it.

use std::collections::HashSet;

use bson::{Document, doc};
use portcall_shared::{
    domain::ids::WorkerId,
    store::{
        Store,
        nodes::{
            CanaryDifference, CanaryEntry, CanaryOutcome, DIFFERENCES, NodeDescription, NodeDisk,
            NodeEntry, NodeState,
        },
        queue::Claimant,
    },
};

use crate::subject::{InMongo, Subject, now};

async fn listed(store: &Store, name: &str) -> Claimant {
    let claimant = Claimant { id: WorkerId::new(), name: name.to_owned() };
    store.beat(&claimant, 2).await.unwrap();
    claimant
}

fn node(of: &Claimant, name: &str) -> NodeEntry {
    NodeEntry {
        worker: of.id,
        worker_name: of.name.clone(),
        slots: 2,
        node: NodeDescription {
            name: name.to_owned(),
            id: format!("id of {name}"),
            engine: "28.2.2".to_owned(),
            memory: u64::from(u32::MAX) * 16,
            runtimes: vec!["runc".to_owned(), "runsc".to_owned()],
            warnings: vec!["root is root".to_owned()],
            ..NodeDescription::unknown()
        },
        disk: Some(NodeDisk {
            free: 5 << 40,
            total: 9 << 40,
            free_inodes: u64::from(u32::MAX),
            total_inodes: u64::from(u32::MAX),
        }),
        canary: CanaryEntry {
            outcome: CanaryOutcome::Passed,
            at: Some(now()),
            differences: Vec::new(),
            trouble: None,
        },
        state: NodeState::Fit,
        why: None,
        seen_at: now(),
    }
}

fn difference(number: usize) -> CanaryDifference {
    CanaryDifference {
        profile: "strict".to_owned(),
        attempt: format!("attempt_{number}"),
        expected: "EPERM".to_owned(),
        got: "DONE".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_writes_takes_the_place_of_what_it_wrote() {
    let subject = InMongo::open().await;
    let worker = listed(&subject.0, "w1").await;
    let fit = node(&worker, "n1");
    subject.0.note_node(&fit).await.unwrap();
    assert_eq!(subject.0.nodes().await.unwrap(), std::slice::from_ref(&fit));

    let mut unfit = fit;
    unfit.canary.outcome = CanaryOutcome::Failed;
    unfit.canary.differences = (0..=DIFFERENCES).map(difference).collect();
    unfit.canary.trouble = Some("engine unreachable".to_owned());
    (unfit.state, unfit.why) = (NodeState::Unfit, Some("node n1 failed the canary".to_owned()));
    unfit.disk = None;
    subject.0.note_node(&unfit).await.unwrap();
    unfit.canary.differences.truncate(DIFFERENCES);
    assert_eq!(subject.0.nodes().await.unwrap(), [unfit]);
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_shown_in_order_and_only_of_workers_on_the_list() {
    let subject = InMongo::open().await;
    let (first, second) = (listed(&subject.0, "w1").await, listed(&subject.0, "w2").await);
    let gone = Claimant { id: WorkerId::new(), name: "w0".to_owned() };
    let [a, b, c] = [node(&second, "n1"), node(&first, "n1"), node(&first, "n0")];
    for entry in [&a, &b, &c, &node(&gone, "n9")] {
        subject.0.note_node(entry).await.unwrap();
    }
    assert_eq!(subject.0.nodes().await.unwrap(), [c, b.clone(), a]);

    // The other engine of the first has taken the place of both.
    subject.0.forget_nodes(first.id).await.unwrap();
    subject.0.note_node(&b).await.unwrap();
    subject.0.forget_nodes(second.id).await.unwrap();
    assert_eq!(subject.0.nodes().await.unwrap(), [b]);
    subject.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_worker_left_is_removed_and_nothing_else() {
    let subject = InMongo::open().await;
    let worker = listed(&subject.0, "w1").await;
    let lost = Claimant { id: WorkerId::new(), name: "w0".to_owned() };
    let kept = node(&worker, "n1");
    for entry in [&kept, &node(&lost, "n1"), &node(&lost, "n2")] {
        subject.0.note_node(entry).await.unwrap();
    }
    let live = HashSet::from([worker.id]);
    assert_eq!(subject.0.forget_nodes_without(&live).await.unwrap(), 2);
    assert_eq!(subject.0.forget_nodes_without(&live).await.unwrap(), 0, "and then no more");
    assert_eq!(subject.0.nodes().await.unwrap(), [kept]);
    subject.close().await;
}

/// Two versions side by side: a field that this one does not know is no trouble, a word that it does
/// not know is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_worker_is_understood_as_far_as_its_words_are_known() {
    let subject = InMongo::open().await;
    let worker = listed(&subject.0, "w1").await;
    subject.0.note_node(&node(&worker, "n1")).await.unwrap();
    let nodes = subject.database().await.collection::<Document>("nodes");
    nodes.update_one(doc! {}, doc! { "$set": { "kernel": "7.0" } }).await.unwrap();
    assert_eq!(subject.0.nodes().await.unwrap().len(), 1);
    nodes.update_one(doc! {}, doc! { "$set": { "state": "drained" } }).await.unwrap();
    assert!(subject.0.nodes().await.is_err());
    subject.close().await;
}
