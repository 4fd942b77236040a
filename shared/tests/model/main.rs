//! An exhaustive small model of the queue: two workers and two submissions, every order in which a
//! claim, a renewal, an expiry by observation, a crash, a verdict, a hand-back, a cancelling, a
//! re-grade, its undoing, a second try and a failover that takes back what was not acknowledged can
//! happen to them.
//!
//! It is built on the real [`Lifecycle::apply`] and on what the store's filters name
//! ([`world::Rules`]). Each write is what a write is: something read that the majority has, an update
//! under a filter on what the primary has, an answer when the majority has it as well, if at all. That
//! a worker pauses needs no step of its own: any may take its next one arbitrarily late.
//!
//! On every state that can be reached there hold, of the invariants that fault tests check too:
//!
//! - I2 one end: a verdict is of one attempt, and that one alone came to it;
//! - I3 what is final changes only by an operator's or organiser's act;
//! - I4 a verdict is written under the lease that is current then, and a lease that was renewed since
//!   it was observed does not end;
//! - I5 generations grow with each claim, and no two claims that were answered have the same.
//!
//! A search of its own, breadth first, so that a counterexample is a shortest one: the crate
//! `stateright` would bring a web server for its explorer along, and what is needed of it is below.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "what the search came to is read by people")]

mod code;
mod things;
mod world;

use std::collections::{HashSet, VecDeque};

use code::key;
use world::{Rules, Step, World};

/// What the search came to.
struct Searched {
    states: usize,
    steps: usize,
    deepest: u32,
    /// The shortest way to a state that must not be, and what is wrong there.
    violation: Option<(Vec<Step>, &'static str)>,
}

/// Goes through all states that can be reached.
fn search(rules: Rules) -> Searched {
    let first = World::begin(rules);
    let mut known = HashSet::from([key(&first)]);
    // How each was reached: from which, by what.
    let mut ways: Vec<(u32, Option<Step>)> = vec![(0, None)];
    let mut open = VecDeque::from([(0_u32, 0_u32, first)]);
    let mut found = Searched { states: 1, steps: 0, deepest: 0, violation: None };
    while let Some((at, depth, world)) = open.pop_front() {
        found.deepest = depth;
        for (step, next) in world.steps(rules) {
            found.steps += 1;
            let next = match next {
                Ok(next) => next,
                Err(wrong) => {
                    found.violation = Some((way(&ways, at, step), wrong));
                    return found;
                }
            };
            if known.insert(key(&next)) {
                ways.push((at, Some(step)));
                open.push_back((u32::try_from(ways.len() - 1).unwrap(), depth + 1, next));
                found.states += 1;
            }
        }
    }
    found
}

fn way(ways: &[(u32, Option<Step>)], mut at: u32, last: Step) -> Vec<Step> {
    let mut steps = vec![last];
    while let (from, Some(step)) = ways[at as usize] {
        steps.push(step);
        at = from;
    }
    steps.reverse();
    steps
}

fn shown(way: &[Step]) -> String {
    way.iter().map(|step| format!("\n    {step}")).collect()
}

#[track_caller]
fn holds(rules: Rules) {
    let began = std::time::Instant::now();
    let found = search(rules);
    if let Some((way, wrong)) = &found.violation {
        panic!("{wrong}, after{}", shown(way));
    }
    println!(
        "{} states, {} steps between them, the longest way {}; at most {} claims of each and {} \
         misfortunes together; {} s",
        found.states,
        found.steps,
        found.deepest,
        rules.claims,
        rules.misfortunes,
        began.elapsed().as_secs(),
    );
}

#[test]
fn whatever_happens_the_invariants_hold() {
    holds(Rules::default());
}

#[test]
fn full_whatever_happens_with_more_claims_and_misfortunes() {
    holds(Rules { claims: 3, ..Rules::default() });
    holds(Rules { misfortunes: 2, ..Rules::default() });
}

/// Without a protection there is a way to what must not be.
#[track_caller]
fn breaks(rules: Rules, wrong: &str) {
    let (way, found) = search(rules).violation.expect("a counterexample");
    println!("{found}, after{}", shown(&way));
    assert!(found.contains(wrong), "{found}, after{}", shown(&way));
}

#[test]
fn a_verdict_without_its_generation_is_found() {
    breaks(Rules { settle_names_generation: false, ..Rules::default() }, "I4");
}

#[test]
fn an_expiry_without_the_beat_is_found() {
    breaks(Rules { expiry_names_beat: false, ..Rules::default() }, "I4");
}

#[test]
fn a_claim_that_does_not_raise_the_generation_is_found() {
    breaks(Rules { claim_raises_generation: false, ..Rules::default() }, "I5");
}

#[test]
fn an_act_that_does_not_name_the_state_is_found() {
    breaks(Rules { acts_name_state: false, ..Rules::default() }, "I3");
}

#[test]
fn a_claim_answered_before_the_majority_has_it_is_found() {
    breaks(Rules { answers_wait_for_majority: false, ..Rules::default() }, "I5");
}
