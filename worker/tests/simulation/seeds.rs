//! Many seeds, on all cores.
//!
//! A seed that finds something becomes a test of its own at the end of this file, named after what it
//! found: `hold(4711..4712)`.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use crate::{
    history::History,
    weather::Plan,
    world::{Outcome, run},
};

/// How many seeds are run if nobody says otherwise.
const SEEDS: u64 = 1_000;
/// The last lines of a history that are shown.
const SHOWN: usize = 200;

#[expect(clippy::disallowed_methods, reason = "a test that is told what to run")]
fn told(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs these on all cores; what came of each, in no order.
pub(crate) fn run_all<T: Send>(seeds: Range<u64>, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let (next, done) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let came = run(seed);
            done.lock().expect("nobody panics").push(came);
        }
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        (0..cores).for_each(|_| _ = scope.spawn(work));
    });
    done.into_inner().expect("nobody panics")
}

fn complaint(seed: u64, history: &History) -> String {
    let told = history.told();
    let lines: Vec<&str> = told.lines().collect();
    let shown = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
    let all: Vec<_> =
        history.violations.iter().map(|it| format!("{}: {}", it.invariant, it.what)).collect();
    format!(
        "{shown}\nseed {seed} breaks {}\nrepeat it with PORTCALL_TEST_SIM_SEED={seed} \
         ./infra/test simulation -- every_invariant\n",
        all.join("\n")
    )
}

/// Fails if an invariant does not hold, and says how to repeat it.
#[expect(clippy::print_stdout, reason = "what was run is what people read")]
pub(crate) fn hold(seeds: Range<u64>) {
    let is_one = seeds.end - seeds.start == 1;
    if is_one {
        // What was set up before it stays.
        let said = tracing_subscriber::fmt().with_test_writer().without_time();
        _ = said.with_max_level(tracing::Level::DEBUG).try_init();
    }
    let all = run_all(seeds, |seed| {
        let Outcome { history, ended } = run(&Plan::of(seed, None));
        if is_one {
            println!("{:?}\n{}", Plan::of(seed, None), history.told());
        }
        let broken = (!history.violations.is_empty()).then(|| complaint(seed, &history));
        (seed, history.changes.len(), ended, broken)
    });
    let changes: usize = all.iter().map(|(_, changes, ..)| changes).sum();
    let mut ends = BTreeMap::<&str, usize>::new();
    for (word, count) in all.iter().flat_map(|(_, _, ended, _)| ended) {
        *ends.entry(word).or_default() += count;
    }
    println!("{} seeds, {changes} changes, ended: {ends:?}", all.len());
    let broken: BTreeMap<u64, &String> =
        all.iter().filter_map(|(seed, .., broken)| Some((*seed, broken.as_ref()?))).collect();
    broken.values().take(2).for_each(|complaint| println!("{complaint}"));
    assert!(broken.is_empty(), "seeds that break an invariant: {:?}", broken.keys());
}

#[test]
fn every_invariant_holds_whatever_the_seed() {
    hold(match told("PORTCALL_TEST_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..told("PORTCALL_TEST_SIM_SEEDS").unwrap_or(SEEDS) + 1,
    });
}

#[test]
fn the_same_seed_is_the_same_history() {
    let of = |seed| run(&Plan::of(seed, None)).history;
    for (seed, first) in run_all(1..31, |seed| (seed, of(seed))) {
        let again = of(seed);
        if again.fingerprint() != first.fingerprint() {
            let (first, again) = (first.told(), again.told());
            let differs = first.lines().zip(again.lines()).find(|(a, b)| a != b);
            panic!("seed {seed} has two histories, which differ here: {differs:#?}");
        }
    }
    assert_ne!(of(1).fingerprint(), of(2).fingerprint());
}

/// The world once looked for the end while somebody was still about to queue a submission again.
#[test]
fn what_is_queued_again_at_the_last_moment_ends() {
    hold(496..497);
}

/// A worker once beat on when it had left the list, and was on it again.
#[test]
fn what_a_worker_leaves_behind_is_removed_by_another() {
    hold(45_083..45_084);
}
