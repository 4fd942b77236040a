//! What posts are charged with, for what is known.

use portcall_shared::store::{
    nodes::{CanaryEntry, CanaryOutcome, NodeDescription, NodeState},
    orders::{NodeOrders, Order, SlotsOrder},
};
use time::OffsetDateTime;

use super::*;

fn own() -> WorkerId {
    WorkerId::from(uuid::Uuid::from_u128(1))
}

fn order() -> Order {
    Order { by: "somebody".to_owned(), at: OffsetDateTime::UNIX_EPOCH }
}

fn drained() -> NodeOrders {
    NodeOrders { drained: Some(order()), ..NodeOrders::default() }
}

fn slots(slots: u32) -> SlotsOrder {
    SlotsOrder { slots, order: order() }
}

/// Orders about nodes, and this worker alone on the list.
fn known(nodes: &[(&str, NodeOrders)]) -> Known {
    let nodes = nodes.iter().map(|(name, orders)| ((*name).to_owned(), orders.clone())).collect();
    Known {
        nodes: None,
        orders: Some(Orders { slots: None, nodes }),
        workers: BTreeSet::from([own()]),
        others: Vec::new(),
    }
}

/// A plain engine that has told its name.
fn engine() -> Sight {
    Sight {
        id: "engine".to_owned(),
        name: Some("n1".to_owned()),
        room: None,
        availability: Availability::Active,
        open: 0,
    }
}

/// A node of a swarm with so many slots.
fn grader(name: &str, room: u32) -> Sight {
    Sight { id: format!("id {name}"), name: Some(name.to_owned()), room: Some(room), ..engine() }
}

fn entry(post: &str, open: u32, duty: NodeDuty) -> NodeEntry {
    NodeEntry {
        worker: WorkerId::from(uuid::Uuid::from_u128(2)),
        worker_name: "w2".to_owned(),
        post: post.to_owned(),
        slots: open,
        open,
        busy: 0,
        room: None,
        duty,
        node: NodeDescription::unknown(),
        disk: None,
        canary: CanaryEntry {
            outcome: CanaryOutcome::Unknown,
            at: None,
            differences: Vec::new(),
            trouble: None,
            ordered: 0,
        },
        state: NodeState::Fit,
        why: None,
        seen_at: OffsetDateTime::UNIX_EPOCH,
    }
}

fn one(sight: &Sight, known: &Known) -> Charge {
    charges(std::slice::from_ref(sight), known, own(), 4).remove(0)
}

#[test]
fn a_plain_engine_has_the_slots_that_the_worker_was_told_unless_somebody_orders_otherwise() {
    let serving = one(&engine(), &known(&[]));
    assert_eq!((serving.slots, serving.room, serving.serves()), (4, None, true));
    let ordered = |order: u32| {
        let orders = NodeOrders { slots: Some(slots(order)), ..NodeOrders::default() };
        one(&engine(), &known(&[("n1", orders)])).slots
    };
    assert_eq!([1, 64, 65, 0].map(ordered), [1, 64, 64, 4]);
    let mut all = known(&[]);
    all.orders = Some(Orders { slots: Some(slots(2)), nodes: BTreeMap::new() });
    assert_eq!(one(&engine(), &all).slots, 2);
    // Others at their own engines have nothing to do with it.
    all.others = vec![entry("engine", 9, NodeDuty::Serving)];
    all.workers.insert(WorkerId::from(uuid::Uuid::from_u128(2)));
    assert_eq!(one(&engine(), &all).slots, 2);
}

#[test]
fn a_worker_has_that_part_of_a_node_which_is_its_share_of_the_slots() {
    assert_eq!(one(&engine(), &known(&[])).part, Some(Part::WHOLE));
    let mut two = known(&[]);
    assert_eq!(one(&grader("g1", 6), &two).part, Some(Part { slots: 6, room: 6 }), "4 are wanted");
    two.workers.insert(WorkerId::from(uuid::Uuid::from_u128(2)));
    assert_eq!(one(&grader("g1", 6), &two).part, Some(Part { slots: 3, room: 6 }));
    let fewer = NodeOrders { slots: Some(slots(2)), ..NodeOrders::default() };
    let ordered = Known { workers: two.workers.clone(), ..known(&[("g1", fewer)]) };
    assert_eq!(one(&grader("g1", 6), &ordered).part, Some(Part { slots: 1, room: 2 }));
    // On a node that takes no work, what runs keeps what it has.
    assert_eq!(one(&grader("g1", 6), &known(&[("g1", drained())])).part, None);
}

#[test]
fn nothing_is_offered_before_it_is_known_what_is_wanted() {
    let unnamed = Sight { name: None, ..engine() };
    let unknown = Known { orders: None, ..known(&[]) };
    for (sight, known) in [(&unnamed, &known(&[])), (&engine(), &unknown)] {
        let charge = one(sight, known);
        assert_eq!((charge.kept(), charge.serves()), (4, false), "it is opened meanwhile");
    }
    // Where slots are shared, nobody begins before he knows with whom.
    assert_eq!(one(&grader("g1", 4), &unknown).kept(), 0);
}

#[test]
fn a_node_is_away_when_somebody_drained_it_or_it_cannot_be_reached() {
    let down = Availability::Down { why: "heartbeat failure".to_owned() };
    let says = |availability: &Availability, orders: &[(&str, NodeOrders)]| {
        let sight = Sight { availability: availability.clone(), ..grader("g1", 2) };
        let charge = one(&sight, &known(orders));
        (charge.drained.unwrap_or_default(), charge.down.unwrap_or_default())
    };
    let ordered = [("g1", drained())];
    let elsewhere = [("g2", drained())];
    let none = String::new;
    assert_eq!(says(&Availability::Active, &elsewhere), (none(), none()));
    let by = "node g1 was drained by somebody".to_owned();
    assert_eq!(says(&Availability::Active, &ordered), (by.clone(), none()));
    let there = "node g1 is drained at its endpoint".to_owned();
    assert_eq!(says(&Availability::Drained, &[]), (there, none()));
    assert_eq!(says(&Availability::Drained, &ordered), (by.clone(), none()));
    let lost = "node g1 is not to be reached: heartbeat failure".to_owned();
    assert_eq!(says(&down, &[]), (none(), lost.clone()));
    assert_eq!(says(&down, &ordered), (by, lost), "both are so");
}

#[test]
fn slots_of_a_swarm_are_spread_over_the_nodes_that_serve() {
    let down = Availability::Down { why: "it is off".to_owned() };
    let sights = [
        grader("g1", 4),
        Sight { availability: down, ..grader("g2", 4) },
        grader("g3", 4),
        grader("g4", 1),
    ];
    let kept = |most, known: &Known| -> Vec<u32> {
        charges(&sights, known, own(), most).iter().map(Charge::kept).collect()
    };
    assert_eq!(kept(64, &known(&[])), [4, 0, 4, 1], "all that there is");
    assert_eq!(kept(3, &known(&[])), [1, 0, 1, 1]);
    assert_eq!(kept(5, &known(&[])).iter().sum::<u32>(), 5);
    assert_eq!(kept(64, &known(&[("g1", drained())])), [0, 0, 4, 1]);
    let fewer = NodeOrders { slots: Some(slots(2)), ..NodeOrders::default() };
    assert_eq!(kept(64, &known(&[("g1", fewer)])), [2, 0, 4, 1]);
    let more = NodeOrders { slots: Some(slots(9)), ..NodeOrders::default() };
    assert_eq!(kept(64, &known(&[("g1", more)])), [4, 0, 4, 1], "no more than it has room for");
}

#[test]
fn a_newcomer_waits_for_slots_that_others_still_grade_in() {
    let mut two = known(&[]);
    two.workers.insert(WorkerId::from(uuid::Uuid::from_u128(2)));
    let kept = |open: u32, others: u32, known: &Known| {
        let mut known =
            Known { others: vec![entry("id g1", others, NodeDuty::Serving)], ..known_of(known) };
        known.others.push(entry("id g9", 40, NodeDuty::Serving));
        one(&Sight { open, ..grader("g1", 4) }, &known).kept()
    };
    assert_eq!(kept(0, 4, &two), 0);
    assert_eq!(kept(0, 3, &two), 1);
    assert_eq!(kept(0, 2, &two), 2);
    assert_eq!(kept(0, 0, &two), 2, "its share and no more");
    assert_eq!(kept(4, 0, &two), 2, "what is beyond its share it gives up");
    assert_eq!(kept(2, 4, &two), 2, "what it has it keeps");
}

fn known_of(known: &Known) -> Known {
    Known {
        nodes: None,
        orders: known.orders.clone(),
        workers: known.workers.clone(),
        others: Vec::new(),
    }
}

#[test]
fn the_endpoint_is_told_when_nobody_has_anything_on_a_drained_node() {
    let active = grader("g1", 2);
    let ordered = known(&[("g1", drained())]);
    let withhold = Some(Wish { name: "g1".to_owned(), withheld: Withheld::ByWorker, noted: false });
    assert_eq!(wish(&active, true, &ordered), withhold);
    assert_eq!(wish(&active, false, &ordered), None, "not while this worker has something there");
    for (duty, told) in [
        (NodeDuty::Serving, false),
        (NodeDuty::Draining, false),
        (NodeDuty::Down, false),
        (NodeDuty::Other, false),
        (NodeDuty::Drained, true),
    ] {
        let others = vec![entry("id g1", 0, duty), entry("id g2", 1, NodeDuty::Serving)];
        let known = Known { others, ..known_of(&ordered) };
        assert_eq!(wish(&active, true, &known).is_some(), told, "{duty:?}");
    }
    assert_eq!(wish(&active, true, &known(&[])), None, "nobody wants it");
    assert_eq!(wish(&engine(), true, &known(&[("n1", drained())])), None, "a plain engine");
    let there = Sight { availability: Availability::Drained, ..grader("g1", 2) };
    assert_eq!(wish(&there, true, &ordered), None, "it is so already");
}

#[test]
fn only_what_a_worker_had_withheld_is_given_back() {
    let there = Sight { availability: Availability::Drained, ..grader("g1", 2) };
    assert_eq!(wish(&there, true, &known(&[])), None, "somebody else's word is not taken back");
    let noted = NodeOrders { withheld: true, ..NodeOrders::default() };
    let back = Wish { name: "g1".to_owned(), withheld: Withheld::NotByWorker, noted: true };
    assert_eq!(wish(&there, true, &known(&[("g1", noted)])), Some(back));
    let again = NodeOrders { withheld: true, ..drained() };
    assert_eq!(wish(&there, true, &known(&[("g1", again)])), None, "it is still drained");
}
