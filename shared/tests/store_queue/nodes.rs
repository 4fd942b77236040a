//! Nodes: rewritten whole by their worker, shown while it is on the list, gone with it.

use std::collections::HashSet;

use bson::{Document, doc};
use portcall_shared::{
    domain::ids::WorkerId,
    store::{
        Store,
        nodes::{
            CanaryDifference, CanaryEntry, CanaryOutcome, DIFFERENCES, NodeDescription, NodeDisk,
            NodeDuty, NodeEntry, NodeState,
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

pub(crate) fn node(of: &Claimant, name: &str) -> NodeEntry {
    NodeEntry {
        worker: of.id,
        worker_name: of.name.clone(),
        post: format!("post of {name}"),
        slots: 2,
        open: 3,
        busy: 1,
        room: Some(4),
        duty: NodeDuty::Serving,
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
            ordered: 7,
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
    (unfit.duty, unfit.room) = (NodeDuty::Draining, None);
    unfit.node.name = "n2".to_owned();
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
    assert_eq!(subject.0.nodes().await.unwrap(), [c, b.clone(), a.clone()]);

    // One of the first's is no longer there, and then the second itself.
    subject.0.forget_node(first.id, "post of n0").await.unwrap();
    subject.0.forget_node(first.id, "post of n7").await.unwrap();
    assert_eq!(subject.0.nodes().await.unwrap(), [b.clone(), a]);
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
/// not know costs it that word, and what an older one does not write is as it was then.
#[tokio::test(flavor = "multi_thread")]
async fn other_versions_are_understood_as_far_as_their_words_are_known() {
    let subject = InMongo::open().await;
    let worker = listed(&subject.0, "w1").await;
    subject.0.note_node(&node(&worker, "n1")).await.unwrap();
    let nodes = subject.database().await.collection::<Document>("nodes");
    let newer = doc! { "kernel": "7.0", "state": "new", "duty": "new", "canary.outcome": "new" };
    nodes.update_one(doc! {}, doc! { "$set": newer }).await.unwrap();
    let read = subject.0.nodes().await.unwrap().remove(0);
    assert_eq!((read.state, read.duty), (NodeState::Other, NodeDuty::Other));
    assert_eq!(read.canary.outcome, CanaryOutcome::Unknown);
    assert!(!read.takes_work());

    let older = doc! {
        "post": "", "open": "", "busy": "", "room": "", "duty": "", "canary.ordered": "",
    };
    let set = doc! { "state": "fit" };
    nodes.update_one(doc! {}, doc! { "$unset": older, "$set": set }).await.unwrap();
    let read = subject.0.nodes().await.unwrap().remove(0);
    assert_eq!((read.open, read.room, read.canary.ordered), (0, None, 0));
    assert!(read.takes_work());
    subject.close().await;
}
