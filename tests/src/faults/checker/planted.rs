//! Planted bad histories: what becomes of submissions, and what clients are told of them.

use std::time::Duration;

use super::{Invariant::*, scenes::*};
use crate::faults::{
    evidence::{Evidence, Fault, Fenced, Permits, Undetermined},
    history::{Truth, What},
};

#[test]
fn a_good_run_is_good() {
    assert_eq!(found(&good()), []);
}

/// A post that nobody was answered to may be there or not.
#[test]
fn what_was_never_answered_may_be_there_or_not() {
    let mut lost = good();
    lost.history.push(entry(25, 20, post("k3", Truth::Passes)));
    lost.history.push(entry(26, 20, What::Unknown { why: "it broke".to_owned() }));
    assert_eq!(found(&lost), []);
    let three = stored("three", "k3", "passed", vec![attempt(1, 1, "w", "passed")]);
    lost.stored.push(three);
    lost.history.extend([entry(31, 21, map("map", 2)), entry(31, 22, map("Ann", 2))]);
    assert_eq!(found(&lost), []);
}

#[test]
fn an_acknowledged_one_that_is_gone_is_a_loss() {
    let mut run = good();
    run.stored.remove(1);
    assert_eq!(found(&run), [I1Durable]);
}

#[test]
fn one_that_never_ends_has_no_end() {
    let mut run = good();
    run.stored[1].state = "grading".to_owned();
    run.stored[1].attempts[0].outcome = None;
    run.history.retain(|entry| entry.op != 6);
    assert_eq!(found(&run), [I2OneEnd]);
}

#[test]
fn one_whose_client_was_never_told_has_no_end_for_it() {
    let mut run = good();
    run.history.retain(|entry| entry.op != 6);
    assert_eq!(found(&run), [I2OneEnd]);
}

#[test]
fn one_that_ends_too_late_is_late() {
    let mut run = good();
    run.history[12].at = s(9 + 601);
    assert_eq!(found(&run), [I2OneEnd]);
}

#[test]
fn one_that_nobody_cancelled_is_not_cancelled() {
    let mut run = good();
    run.history[12] = entry(23, 6, saw("two", "cancelled", 1));
    run.stored[1].state = "cancelled".to_owned();
    run.stored[1].attempts[0].outcome = Some("cancelled".to_owned());
    assert_eq!(found(&run), [I2OneEnd]);
}

#[test]
fn two_ends_are_one_too_many() {
    let mut run = good();
    run.history.push(entry(26, 30, read("two")));
    run.history.push(entry(27, 30, saw("two", "passed", 1)));
    assert_eq!(found(&run), [I3Immutable]);
    run.stored[1].regraded = true;
    assert_eq!(found(&run), [], "a re-grade is allowed to");
}

#[test]
fn a_verdict_that_changes_its_words_has_changed() {
    let mut run = good();
    run.history.push(entry(26, 30, read("two")));
    let mut other = saw("two", "failed", 1);
    if let What::Saw(seen) = &mut other {
        seen.verdict = Some("failed at one".to_owned());
    }
    run.history.push(entry(27, 30, other));
    assert_eq!(found(&run), [I3Immutable]);
}

#[test]
fn what_was_told_and_what_lies_there_agree() {
    let mut run = good();
    run.history[9] = entry(21, 5, saw("one", "failed", 2));
    assert_eq!(found(&run), [I3Immutable]);
}

/// The control of a worker that sleeps through its lease: without the generation in the filter of the
/// last write, its verdict would win.
#[test]
fn a_late_worker_whose_verdict_won_is_found() {
    let mut run = good();
    // Both wrote, and the later one is that of the worker that had lost the lease.
    run.stored[0].attempts[0].outcome = Some("passed".to_owned());
    run.stored[0].by_attempt = Some(1);
    assert_eq!(found(&run), [I4OneResult]);
    // Only the late one wrote.
    run.stored[0].attempts[1].outcome = Some("lost".to_owned());
    assert_eq!(found(&run), [I4OneResult]);
}

#[test]
fn a_verdict_of_no_attempt_is_nobodys() {
    let mut run = good();
    run.stored[1].by_attempt = Some(7);
    assert_eq!(found(&run), [I4OneResult]);
}

#[test]
fn late_writes_are_kept_out_as_often_as_expected() {
    let once = Permits { fenced: 1..=1, ..Permits::NONE };
    let mut run = good();
    assert_eq!(found_with(&run, &once), [I4OneResult], "none was, and one was awaited");
    run.fenced.push(Fenced { worker: "v".to_owned(), writes: 1 });
    assert_eq!(found_with(&run, &once), []);
    run.fenced.push(Fenced { worker: "w".to_owned(), writes: 1 });
    assert_eq!(found_with(&run, &once), [I4OneResult]);
}

#[test]
fn generations_only_grow() {
    let mut run = good();
    run.stored[0].attempts[0].generation = 2;
    assert_eq!(found(&run), [I5Generations], "two workers had one generation");
    let mut run = good();
    run.stored[0].attempts[0].generation = 3;
    assert_eq!(found(&run), [I5Generations]);
}

#[test]
fn attempts_are_counted() {
    let mut run = good();
    run.stored[0].attempts[0].number = 2;
    // Whose verdict it is cannot be told either.
    assert_eq!(found(&run), [I4OneResult, I5Generations]);
}

#[test]
fn who_is_passed_over_waits_too_long() {
    let mut run = good();
    for n in 3..9 {
        let (id, key) = (format!("n{n}"), format!("k{n}"));
        run.history.push(entry(25, 20 + n, post(&key, Truth::Either)));
        run.stored.push(stored(&id, &key, "failed", vec![attempt(1, 1, "w", "failed")]));
    }
    assert_eq!(found(&run), []);
    run.stored[5].attempts[0].started_ms = 1000 + 95_000;
    assert_eq!(found(&run), [I9Fair]);
    assert_eq!(found_with(&run, &Permits { unfair: None, ..Permits::NONE }), []);
}

#[test]
fn nobody_is_charged_for_the_platform() {
    let mut run = good();
    run.history[0].what = post("k1", Truth::Fails);
    assert_eq!(found(&run), [I10Blame], "bad, and passed");
    let mut run = good();
    run.history[2].what = post("k2", Truth::Passes);
    assert_eq!(found(&run), [I10Blame], "good, and failed");
    run.history[2].what = post("k2", Truth::Either);
    assert_eq!(found(&run), []);
}

#[test]
fn undetermined_comes_after_losses_where_it_is_permitted() {
    let mut run = good();
    run.history[12] = entry(23, 6, saw("two", "undetermined", 1));
    let lost = |n| attempt(n, n, "v", "lost");
    run.stored[1] = stored("two", "k2", "undetermined", vec![lost(1)]);
    let permits = Permits { undetermined: Undetermined::AfterLosses, ..Permits::NONE };
    assert_eq!(found(&run), [I10Blame]);
    assert_eq!(found_with(&run, &permits), [I10Blame], "given up after one");
    run.stored[1] = stored("two", "k2", "undetermined", vec![lost(1), lost(2), lost(3)]);
    assert_eq!(found_with(&run, &permits), []);
}

#[test]
fn one_key_is_one_submission() {
    let mut run = good();
    run.history.push(entry(5, 2, accepted("three")));
    run.history.push(entry(23, 31, read("three")));
    run.history.push(entry(24, 31, saw("three", "failed", 1)));
    run.stored.push(stored("three", "k2", "failed", vec![attempt(1, 1, "w", "failed")]));
    assert_eq!(found(&run), [I7Idempotent]);
}

#[test]
fn a_second_one_under_a_key_is_found_without_its_answer() {
    let mut run = good();
    run.stored.push(stored("three", "k2", "failed", vec![attempt(1, 1, "w", "failed")]));
    assert_eq!(found(&run), [I7Idempotent]);
}

#[test]
fn what_nobody_posted_is_not_there() {
    let mut run = good();
    run.stored.push(stored("three", "k9", "failed", vec![attempt(1, 1, "w", "failed")]));
    assert_eq!(found(&run), [I7Idempotent]);
    run.stored[2].key = None;
    assert_eq!(found(&run), [I7Idempotent]);
}

#[test]
fn a_key_leads_to_its_own_submission() {
    let mut run = good();
    (run.stored[0].key, run.stored[1].key) = (run.stored[1].key.clone(), run.stored[0].key.clone());
    assert_eq!(found(&run), [I7Idempotent]);
}

#[test]
fn the_map_shows_what_passed() {
    for by in ["map", "Ann"] {
        for pins in [0, 2] {
            let mut run = good();
            run.history.push(entry(31, 40, map(by, pins)));
            assert_eq!(found(&run), [I8Map], "{by} shows {pins}");
        }
    }
    let mut run = good();
    run.history.retain(|entry| !matches!(entry.what, What::Map { .. }));
    assert_eq!(found(&run), [I8Map], "nobody looked");
}

#[test]
fn a_gap_in_a_stream_is_found_unless_it_begins_again() {
    let mut run = good();
    run.history.push(entry(25, 3, told(0, 5, "pin")));
    assert_eq!(found(&run), [I8Map]);
    run.history.pop();
    run.history.push(entry(25, 3, told(0, 5, "reset")));
    assert_eq!(found(&run), []);
    // One that goes on from before gets only what is worth telling.
    run.history.push(entry(26, 3, told(1, 9, "stats")));
    run.history.push(entry(27, 3, told(1, 11, "pin")));
    assert_eq!(found(&run), []);
    run.history.push(entry(28, 3, told(2, 3, "hello")));
    run.history.push(entry(29, 3, told(2, 3, "pin")));
    assert_eq!(found(&run), [I8Map], "told twice");
}

#[test]
fn who_tries_again_once_is_served() {
    let mut run = good();
    run.history.push(entry(5, 2, What::GaveUp));
    assert_eq!(found(&run), [I11Available]);
    assert_eq!(found_with(&run, &Permits { posts: 1, ..Permits::NONE }), []);
    let mut run = good();
    run.history.push(entry(7, 4, What::GaveUp));
    assert_eq!(found(&run), [I11Available]);
    assert_eq!(found_with(&run, &Permits { reads: 1, ..Permits::NONE }), []);
}

#[test]
fn what_was_acknowledged_is_found_again() {
    let mut run = good();
    run.history.push(entry(25, 32, read("one")));
    run.history.push(entry(26, 32, What::Absent { id: "one".to_owned() }));
    assert_eq!(found(&run), [I12Reads]);
    // Nobody knew of it when that was asked.
    let mut run = good();
    run.history.insert(1, entry(1, 32, read("one")));
    run.history.insert(2, entry(1, 32, What::Absent { id: "one".to_owned() }));
    assert_eq!(found(&run), []);
}

#[test]
fn what_was_seen_is_not_undone() {
    let mut run = good();
    run.history.push(entry(26, 33, read("one")));
    run.history.push(entry(27, 33, saw("one", "grading", 2)));
    assert_eq!(found(&run), [I12Reads], "an end that is none any more");
    let mut run = good();
    run.history.insert(8, entry(8, 33, read("one")));
    run.history.insert(9, entry(9, 33, saw("one", "queued", 0)));
    assert_eq!(found(&run), [I12Reads], "an attempt that is gone");
    // What was asked before that is allowed to be older.
    let mut run = good();
    run.history.insert(6, entry(6, 33, read("one")));
    run.history.insert(9, entry(9, 33, saw("one", "queued", 0)));
    assert_eq!(found(&run), []);
}

#[test]
fn a_stream_never_goes_back() {
    let at = |time, revision| {
        let mut what = saw("one", "grading", 1);
        if let What::Saw(seen) = &mut what {
            seen.revision = Some(revision);
        }
        entry(time, 34, what)
    };
    let mut run = good();
    run.history.splice(8..8, [entry(8, 34, read("one")), at(9, 3), at(10, 4)]);
    assert_eq!(found(&run), []);
    run.history.insert(11, at(11, 2));
    assert_eq!(found(&run), [I12Reads]);
}

#[test]
fn a_run_in_which_nothing_happened_proves_nothing() {
    assert_eq!(found(&Evidence::default()), [Row]);
    let mut run = good();
    run.faults.clear();
    assert_eq!(found(&run), [Row]);
    let mut run = good();
    run.unmet.push("the old primary was another one".to_owned());
    assert_eq!(found(&run), [Row]);
}

/// A fault that is not over when the row ends counts from its begin.
#[test]
fn the_last_fault_counts() {
    let mut run = good();
    let fault = |from, to| Fault { what: "away".to_owned(), from: s(from), to };
    run.faults.extend([fault(100, Some(s(400))), fault(200, None)]);
    assert_eq!(run.last_fault(), Duration::from_secs(400));
}
