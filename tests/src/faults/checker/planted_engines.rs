//! Planted bad histories: what engines, lures and processes show.

use super::{Invariant::*, scenes::*};
use crate::faults::evidence::{Bound, Permits};

#[test]
fn what_is_left_at_the_end_is_a_leak() {
    for object in [container("one", 2, "w"), slot("w")] {
        let mut run = good();
        run.left.push(object);
        assert_eq!(found(&run), [I6NoLeak]);
    }
}

#[test]
fn a_container_may_not_outstay_its_grading() {
    let mut run = good();
    // It was seen to have ended at 21.
    run.looks.push(look(21 + 30, vec![container("one", 2, "w")]));
    assert_eq!(found(&run), []);
    run.looks.push(look(21 + 31, vec![container("one", 2, "w")]));
    assert_eq!(found(&run), [I6NoLeak]);
    let longer = Permits { left_within: s(300), ..Permits::NONE };
    assert_eq!(found_with(&run, &longer), []);
}

#[test]
fn what_stood_still_has_its_time_from_when_it_goes_on() {
    let mut run = good();
    run.faults[0].to = Some(s(50));
    run.looks.push(look(80, vec![container("one", 2, "w")]));
    assert_eq!(found(&run), []);
    run.looks.push(look(81, vec![container("one", 2, "w")]));
    assert_eq!(found(&run), [I6NoLeak]);
}

#[test]
fn what_a_dead_worker_left_goes_in_time() {
    for object in [slot("v"), container("one", 1, "v")] {
        let mut run = good();
        run.looks.push(look(8 + 90, vec![object.clone()]));
        assert_eq!(found(&run), []);
        run.looks.push(look(8 + 91, vec![object]));
        assert_eq!(found(&run), [I6NoLeak]);
    }
    let mut run = good();
    run.looks.push(look(500, vec![slot("w")]));
    assert_eq!(found(&run), [], "one that lives keeps its slots");
}

#[test]
fn two_containers_for_one_generation_could_both_answer() {
    let mut run = good();
    let mut second = container("one", 2, "w");
    second.name.push_str("-again");
    run.looks[2].objects.push(second.clone());
    assert_eq!(found(&run), [I4OneResult]);
    let mut run = good();
    second.runs = false;
    run.looks[2].objects.push(second);
    assert_eq!(found(&run), [], "one that was made and never started answers nobody");
}

#[test]
fn one_generation_has_one_worker() {
    let mut run = good();
    run.looks[3].objects.push(container("one", 2, "x"));
    assert_eq!(found(&run), [I5Generations]);
}

#[test]
fn a_generation_that_nobody_claimed_is_nobodys() {
    let mut run = good();
    run.looks[2].objects.push(container("two", 2, "w"));
    assert_eq!(found(&run), [I5Generations]);
}

#[test]
fn processes_are_as_before() {
    let bound = |after| Bound { what: "open files".to_owned(), before: 100.0, after, slack: 5.0 };
    let mut run = good();
    run.bounds.push(bound(115.0));
    assert_eq!(found(&run), []);
    run.bounds.push(bound(116.0));
    assert_eq!(found(&run), [I13Bounded]);
}

#[test]
fn lures_and_panics_are_found() {
    let mut run = good();
    run.lured.push("from 10.0.0.2".to_owned());
    assert_eq!(found(&run), [Escape]);
    let mut run = good();
    run.wrong.push("api0 panicked at".to_owned());
    assert_eq!(found(&run), [Process]);
}
