//! Tables and properties of how many nodes are wanted.

use proptest::prelude::*;

use super::*;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn rules() -> Rules {
    Rules {
        min: 1,
        max: 10,
        wait: seconds(60),
        up_every: seconds(120),
        down_after: seconds(600),
        slots: 2,
        grading: seconds(10),
    }
}

/// Two nodes with two slots each, an open event, gradings of ten seconds.
fn look(waiting: u64) -> Look {
    Look {
        waiting,
        oldest: Duration::ZERO,
        grading: 0,
        takes: Some(seconds(10)),
        nodes: 2,
        slots: 4,
        with_slots: 2,
        open: true,
    }
}

fn first(look: &Look) -> Wanted {
    decide(look, &rules(), Past::default(), seconds(0)).0
}

#[test]
fn so_many_as_do_the_work_in_time() {
    // A slot does six gradings in a minute, a node of two slots twelve.
    for (waiting, nodes) in [(12, 2), (24, 2), (25, 3), (36, 3), (37, 4), (120, 10), (10_000, 10)] {
        assert_eq!(first(&look(waiting)).nodes, nodes, "{waiting} wait");
    }
    let grading = Look { grading: 24, ..look(12) };
    assert_eq!(first(&grading).nodes, 3, "what is being graded is work too");
    let slow = Look { takes: Some(seconds(20)), ..look(24) };
    assert_eq!(first(&slow).nodes, 4, "and takes as long as it was measured");
    let unmeasured = Look { takes: None, nodes: 0, slots: 0, with_slots: 0, ..look(25) };
    assert_eq!(first(&unmeasured).nodes, 3, "or as long as was said");
    let big = Look { slots: 16, ..look(97) };
    assert_eq!(first(&big).nodes, 3, "nodes are as large as they are");
}

#[test]
fn one_more_when_somebody_waits_too_long() {
    let on_time = Look { oldest: seconds(60), ..look(1) };
    assert_eq!(first(&on_time), Wanted { nodes: 2, why: Why::PerhapsFewer });
    let late = Look { oldest: seconds(61), ..look(1) };
    assert_eq!(first(&late), Wanted { nodes: 3, why: Why::Waiting });
    let nobody = Look { waiting: 0, ..late };
    assert_eq!(first(&nobody).nodes, 2, "an age without anybody is none");
    let most = Look { nodes: 10, ..late };
    assert_eq!(first(&most).nodes, 10, "never more than the most");
}

#[test]
fn more_at_once_but_not_more_and_more() {
    let (wanted, past) = decide(&look(36), &rules(), Past::default(), seconds(0));
    assert_eq!(wanted, Wanted { nodes: 3, why: Why::Work });
    let (wanted, past) = decide(&look(60), &rules(), past, seconds(119));
    assert_eq!(wanted, Wanted { nodes: 3, why: Why::GrowingAlready });
    let (wanted, _) = decide(&look(60), &rules(), past, seconds(120));
    assert_eq!(wanted, Wanted { nodes: 5, why: Why::Work });
}

#[test]
fn fewer_one_at_a_time_after_a_while() {
    let large = Look { nodes: 5, slots: 10, with_slots: 5, ..look(0) };
    let (wanted, past) = decide(&large, &rules(), Past::default(), seconds(0));
    assert_eq!(wanted, Wanted { nodes: 5, why: Why::PerhapsFewer });
    let (wanted, past) = decide(&large, &rules(), past, seconds(599));
    assert_eq!(wanted.nodes, 5);
    let (wanted, past) = decide(&large, &rules(), past, seconds(600));
    assert_eq!(wanted, Wanted { nodes: 4, why: Why::Fewer });
    let (wanted, past) = decide(&large, &rules(), past, seconds(1199));
    assert_eq!(wanted.nodes, 4);
    assert_eq!(decide(&large, &rules(), past, seconds(1200)).0.nodes, 3);
    // Work in between begins the wait anew.
    let (_, past) = decide(&Look { waiting: 48, ..large }, &rules(), past, seconds(1199));
    let (wanted, _) = decide(&large, &rules(), past, seconds(1200));
    assert_eq!(wanted, Wanted { nodes: 4, why: Why::PerhapsFewer });
}

#[test]
fn a_queue_that_breathes_makes_no_node_come_or_go() {
    // 24 need two nodes, and with a quarter more three: from three nobody goes, to three nobody comes.
    let mut past = Past::default();
    let three = Look { nodes: 3, slots: 6, with_slots: 3, ..look(24) };
    for minute in 0..60 {
        let waiting = if minute % 2 == 0 { 24 } else { 36 };
        let (wanted, after) =
            decide(&Look { waiting, ..three }, &rules(), past, seconds(60 * minute));
        assert_eq!(wanted, Wanted { nodes: 3, why: Why::Enough });
        past = after;
    }
}

#[test]
fn when_it_is_over_all_but_the_fewest_go_together() {
    let large = Look { nodes: 8, slots: 16, with_slots: 8, open: false, ..look(0) };
    let (_, past) = decide(&large, &rules(), Past::default(), seconds(0));
    let (wanted, past) = decide(&large, &rules(), past, seconds(600));
    assert_eq!(wanted, Wanted { nodes: 1, why: Why::Over });
    let (wanted, _) = decide(&Look { nodes: 1, ..large }, &rules(), past, seconds(601));
    assert_eq!(wanted, Wanted { nodes: 1, why: Why::Enough });
    for last in [Look { grading: 1, ..large }, Look { open: true, ..large }] {
        let (_, past) = decide(&last, &rules(), Past::default(), seconds(0));
        assert_eq!(decide(&last, &rules(), past, seconds(600)).0.nodes, 7, "{last:?}");
    }
}

prop_compose! {
    fn any_look()(
        waiting in 0u64..5_000,
        oldest in 0u64..1_000,
        grading in 0u64..200,
        takes in proptest::option::of(1u64..200_000),
        nodes in 0u32..50,
        per_node in 0u32..20,
        open: bool,
    ) -> Look {
        Look {
            waiting,
            oldest: seconds(oldest),
            grading,
            takes: takes.map(Duration::from_millis),
            nodes,
            slots: nodes * per_node,
            with_slots: nodes,
            open,
        }
    }
}

prop_compose! {
    fn any_past()(
        wanted in proptest::option::of(0u32..60),
        grown in proptest::option::of(0u64..2_000),
        enough in proptest::option::of(0u64..2_000),
    ) -> Past {
        Past { wanted, grown: grown.map(seconds), enough: enough.map(seconds) }
    }
}

proptest! {
    #[test]
    fn never_fewer_than_the_fewest_nor_more_than_the_most(
        look in any_look(), past in any_past(), min in 0u32..20, more in 0u32..20, now in 0u64..3_000,
    ) {
        let rules = Rules { min, max: min + more, ..rules() };
        let (wanted, after) = decide(&look, &rules, past, seconds(now));
        prop_assert!((rules.min..=rules.max).contains(&wanted.nodes));
        prop_assert_eq!(after.wanted, Some(wanted.nodes));
    }

    #[test]
    fn more_work_never_wants_fewer(
        look in any_look(), past in any_past(), more in 1u64..3_000, older in 0u64..600,
        busier in 0u64..100, now in 0u64..3_000,
    ) {
        let longer = Look {
            waiting: look.waiting + more,
            oldest: look.oldest + seconds(older),
            grading: look.grading + busier,
            ..look
        };
        let fewer = decide(&look, &rules(), past, seconds(now)).0;
        let more = decide(&longer, &rules(), past, seconds(now)).0;
        prop_assert!(more.nodes >= fewer.nodes, "{fewer:?} {more:?}");
    }

    #[test]
    fn whatever_was_before_it_ends_with_the_fewest(look in any_look(), past in any_past()) {
        let over = Look { waiting: 0, grading: 0, open: false, ..look };
        let mut past = past;
        let mut wanted = None;
        for minute in 0..60 {
            let decided = decide(&over, &rules(), past, seconds(3_000 + 60 * minute));
            (wanted, past) = (Some(decided.0.nodes), decided.1);
        }
        prop_assert_eq!(wanted, Some(rules().min));
    }

    #[test]
    fn in_one_step_at_most_one_goes_while_an_event_is_open(
        look in any_look(), past in any_past(), now in 0u64..3_000,
    ) {
        let open = Look { open: true, ..look };
        let before = past.wanted.unwrap_or(look.nodes).clamp(rules().min, rules().max);
        let wanted = decide(&open, &rules(), past, seconds(now)).0;
        prop_assert!(wanted.nodes + 1 >= before);
    }
}
