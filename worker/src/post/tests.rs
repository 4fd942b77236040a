//! What a post is charged with, and what ends the gradings there.

use std::time::Duration;

use portcall_shared::{
    domain::{
        ids::{Generation, SubmissionId, WorkerId},
        state::Step,
    },
    registry::Registry,
    store::{
        Store,
        memory::MemoryQueue,
        queue::{Claimant, Lease},
    },
    telemetry::traces::{TraceSettings, Traces},
};

use super::*;
use crate::{
    fleet::{EngineSettings, Images, LabelKey, NodeSettings, Nodes, SubnetPool},
    lease::{Holder, LeaseTimes, Progress, Stop},
};

#[test]
fn a_post_keeps_slots_and_offers_them_only_when_it_serves() {
    let why = || Some("why".to_owned());
    let serving = Charge { slots: 2, known: true, ..Charge::default() };
    for (charge, kept, serves) in [
        (serving.clone(), 2, true),
        (Charge { known: false, ..serving.clone() }, 2, false),
        (Charge { drained: why(), ..serving.clone() }, 0, false),
        (Charge { down: why(), ..serving.clone() }, 0, false),
        (Charge { slots: 0, ..serving }, 0, true),
    ] {
        assert_eq!((charge.kept(), charge.serves()), (kept, serves), "{charge:?}");
        assert_eq!([0, 1, 2].map(|n| charge.keeps(n)), [0, 1, 2].map(|n| n < kept));
    }
}

#[test]
fn a_worker_without_a_share_is_a_spare_one_where_others_have_the_slots() {
    let spare = Charge { known: true, room: Some(1), ..Charge::default() };
    assert!(spare.is_spare());
    for other in [
        Charge { slots: 1, ..spare.clone() },
        Charge { known: false, ..spare.clone() },
        Charge { room: Some(0), ..spare.clone() },
        Charge { room: None, ..spare.clone() },
        Charge { down: Some("away".to_owned()), ..spare.clone() },
    ] {
        assert!(!other.is_spare(), "{other:?}");
    }
}

/// A worker whose database and engine are not there, on a node that is not either.
async fn post(finish: &CancellationToken) -> Post {
    let id = WorkerId::new();
    let settings = EngineSettings {
        host: "unix:///nonexistent/docker.sock".to_owned(),
        certs: None,
        worker: id,
        key: LabelKey([0; 32]),
        prober: "/nonexistent/prober".into(),
        canary: "/nonexistent/canary".into(),
        pool: SubnetPool::default(),
        node: NodeSettings::default(),
        images: Images::Pinned,
    };
    let fleet = Fleet::engine(settings).unwrap();
    let second = Duration::from_secs(1);
    let worker = Worker {
        store: Store::open("mongodb://127.0.0.1:9", "nowhere", "tests").await.unwrap(),
        nodes: Nodes::One(fleet.clone()),
        registry: Registry::new(Vec::new()),
        quarantine: None,
        ours: None,
        claimant: Claimant { id, name: "w".to_owned() },
        slots: 2,
        times: LeaseTimes { beat: second, stall: second * 2, lease: second * 3 },
        canary_every: second * 60,
        node_free: 0,
        ready: Default::default(),
        store_answers: Default::default(),
        company: Default::default(),
        posts: Default::default(),
        registry_turn: Default::default(),
        traces: Traces::new("test", &TraceSettings::default()),
    };
    Post::new(&worker, "n1".to_owned(), None, fleet, &CancellationToken::new(), finish)
}

#[tokio::test]
async fn what_is_graded_on_a_node_that_goes_down_ends_as_lost_with_it() {
    let finish = CancellationToken::new();
    let post = post(&finish).await;
    let why = || Some("why".to_owned());
    let serving = Charge { slots: 2, known: true, ..Charge::default() };
    let down = Charge { down: why(), ..serving.clone() };
    let drained = Charge { drained: why(), ..serving.clone() };

    let ends = post.ends();
    assert_eq!(post.ease(&serving, None, &finish), None);
    assert_eq!(ends.told(), None);
    assert_eq!(post.ease(&down, None, &finish), None);
    assert_eq!(ends.told(), Some(Stop::NodeLost));
    assert_eq!(ends.until_told().await, Stop::NodeLost);
    // Still then when an operator drains it, or the worker stops.
    assert_eq!(post.ease(&Charge { drained: why(), ..down.clone() }, None, &finish), None);
    assert_eq!(post.ends().told(), Some(Stop::NodeLost));
    // Back again: what begins now is another matter.
    post.ease(&serving, None, &finish);
    assert_eq!((post.ends().told(), ends.told()), (None, Some(Stop::NodeLost)));

    // A drain is none: there is a while, and then it is handed back.
    let patience = post.ease(&drained, None, &finish);
    assert!(patience.is_some());
    assert_eq!(post.ease(&drained, patience, &finish), patience, "it does not begin anew");
    assert_eq!(post.ends().told(), None);
    post.ends().stopping.cancel();
    assert_eq!(post.ends().told(), Some(Stop::Stopping));

    post.ease(&serving, None, &finish);
    finish.cancel();
    assert_eq!(post.ends().told(), Some(Stop::Stopping), "the worker is stopping");
}

#[tokio::test]
async fn a_grading_is_told_that_its_node_went_down() {
    let finish = CancellationToken::new();
    let post = post(&finish).await;
    let lease = Lease {
        submission: SubmissionId::new(),
        worker: post.worker.claimant.id,
        generation: Generation(1),
    };
    let minute = Duration::from_secs(60);
    let times = LeaseTimes { beat: minute, stall: minute * 2, lease: minute * 3 };
    let holder = Holder::hold(MemoryQueue::default(), lease, times, post.ends());
    let down = Charge { down: Some("heartbeat failure".to_owned()), ..Charge::default() };
    post.ease(&down, None, &finish);
    assert_eq!(holder.stopped().await, Stop::NodeLost);
    assert_eq!(holder.step(Step::Probing).await, Err(Stop::NodeLost));
}
