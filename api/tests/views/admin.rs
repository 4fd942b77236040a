//! What organisers and operators are shown.

use portcall_api::views::admin::{
    fleet::FleetView,
    history::HistoryView,
    suspects::{SuspectsView, Whose},
};
use portcall_shared::{
    domain::{
        ids::Generation,
        image::Digest,
        suspicion::{Attempt, Loss, Standing, Suspicion, Turn},
    },
    store::{
        fleet::{Fleet, FleetWorker},
        history::{Happened, Span},
        nodes::{CanaryEntry, CanaryOutcome, NodeDescription, NodeDuty, NodeEntry, NodeState},
        suspects::{Order, Suspect},
        workers::WorkerEntry,
    },
};

use super::{NOW, id};

#[test]
fn an_event_along_the_time() {
    let count = |pairs: &[(&str, u64)]| pairs.iter().map(|(w, n)| ((*w).to_owned(), *n)).collect();
    let judged = Happened {
        submitted: 9,
        outcomes: count(&[("passed", 5), ("failed", 2), ("undetermined", 1), ("cancelled", 1)]),
        reasons: count(&[("not_listening", 2), ("rule_failed:config", 1)]),
    };
    let (slug, span) = ("birthday-3".parse().unwrap(), Span::until(NOW, 3600, 2));
    let view = HistoryView::of(&slug, 3600, span, vec![Happened::default(), judged]);
    insta::assert_json_snapshot!(view);
}

#[test]
fn the_fleet() {
    let worker = |n: u128, seen_at| FleetWorker {
        entry: WorkerEntry { id: id(n).into(), name: format!("w{n}"), slots: 2, beat: 9, seen_at },
        busy: 1,
        build: (n == 1).then(|| "0.1.0".to_owned()),
        draining: n == 2,
    };
    let node = |n: u128, state, duty, why: Option<&str>| NodeEntry {
        worker: id(n).into(),
        worker_name: format!("w{n}"),
        post: "tcp://10.0.0.5:2376".to_owned(),
        slots: 2,
        open: 2,
        busy: 1,
        room: None,
        duty,
        node: NodeDescription { name: format!("g{n}"), ..NodeDescription::unknown() },
        disk: None,
        canary: CanaryEntry {
            outcome: if n == 1 { CanaryOutcome::Passed } else { CanaryOutcome::Unknown },
            at: (n == 1).then_some(NOW),
            differences: Vec::new(),
            trouble: Some("no route to 10.0.0.5:2376".to_owned()),
            ordered: 0,
        },
        state,
        why: why.map(str::to_owned),
        seen_at: NOW,
    };
    let why = "node g2 is not to be reached: no route to 10.0.0.5:2376";
    let fleet = Fleet {
        workers: vec![worker(1, NOW), worker(2, NOW - time::Duration::minutes(1))],
        nodes: vec![
            node(1, NodeState::Fit, NodeDuty::Serving, None),
            node(2, NodeState::Unchecked, NodeDuty::Down, Some(why)),
        ],
    };
    let view = FleetView::of(&fleet, NOW);
    assert!(!serde_json::to_string(&view).unwrap().contains("10.0.0.5"));
    insta::assert_json_snapshot!(view);
}

#[test]
fn images_that_machines_went_down_under() {
    let attempt = |n| Attempt { submission: id(n).into(), generation: Generation(1) };
    let digest = |n: u32| -> Digest { format!("sha256:{n:064x}").parse().unwrap() };
    let loss = |n, machine: &str, alone| Loss {
        attempt: attempt(n),
        at: NOW,
        machine: machine.to_owned(),
        worker: "w1".to_owned(),
        node: machine.strip_prefix("node ").map(str::to_owned),
        with: [digest(9)].into(),
        alone,
    };
    let quarantined = Suspect {
        digest: digest(1),
        suspicion: Suspicion {
            standing: Standing::Quarantined,
            losses: vec![loss(1, "node g1", false), loss(2, "worker w1", true)],
            counting: vec![attempt(2)],
            turn: Some(Turn { attempt: attempt(3), worker: id(4).into() }),
        },
        changed_at: NOW,
        orders: Vec::new(),
    };
    let order = Order {
        standing: "cleared".to_owned(),
        by: "ann".to_owned(),
        at: NOW,
        note: Some("it was the machine".to_owned()),
    };
    let cleared = Suspect {
        digest: digest(2),
        suspicion: Suspicion {
            standing: Standing::Cleared,
            losses: vec![loss(5, "node g1", false)],
            counting: Vec::new(),
            turn: None,
        },
        changed_at: NOW,
        orders: vec![order],
    };
    let suspects = [quarantined, cleared];
    insta::assert_json_snapshot!(SuspectsView::of(&suspects, Whose::Shown));
    let to_organisers = SuspectsView::of(&suspects, Whose::Hidden);
    assert!(
        to_organisers.images.iter().flat_map(|it| &it.losses).all(|it| it.submission.is_none())
    );
}
