//! What is wrong on purpose is found, and by the invariant that it breaks: so the others say something
//! when they find nothing.

use std::collections::BTreeSet;

use rstest::rstest;

use crate::{
    seeds::run_all,
    weather::{Plan, Plant},
    world::run,
};

/// Within how many seeds.
const SEEDS: u64 = 100;

#[rstest]
#[case::settle(Plant::SettleWithoutGeneration, &["I4"])]
#[case::beat(Plant::ExpireWithoutBeat, &["K42"])]
#[case::clock(Plant::ExpireByWallClock, &["K42"])]
#[case::create(Plant::LostCreateStays, &["I6"])]
#[case::claim(Plant::ClaimWithoutGeneration, &["I5"])]
#[case::acknowledged(Plant::LostAcknowledged, &["I1"])]
#[case::keys(Plant::KeysAreNotUnique, &["I7"])]
#[case::order(Plant::ClaimTheLast, &["I9"])]
#[case::place(Plant::BackToTheEnd, &["I9"])]
fn what_is_planted_is_found(#[case] plant: Plant, #[case] breaks: &[&str]) {
    let found = run_all(1..SEEDS + 1, |seed| {
        let outcome = run(&Plan::of(seed, Some(plant)));
        let broken: BTreeSet<_> =
            outcome.history.violations.iter().map(|it| it.invariant).collect();
        (!broken.is_empty()).then_some((seed, broken))
    });
    let mut found: Vec<_> = found.into_iter().flatten().collect();
    found.sort_unstable();
    let by_it = found.iter().filter(|(_, broken)| breaks.iter().any(|it| broken.contains(it)));
    let by_it: Vec<u64> = by_it.map(|(seed, _)| *seed).collect();
    println!("{plant:?}: found by {} of {SEEDS} seeds, first {:?}", by_it.len(), by_it.first());
    assert!(!by_it.is_empty(), "{plant:?} is not found: {found:?}");
}
