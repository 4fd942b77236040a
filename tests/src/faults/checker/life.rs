//! I1 to I5, I9 and I10: what became of each submission, as the database and the client have it.

use std::collections::BTreeSet;

use super::{Found, Invariant, Run, repeated};
use crate::faults::{
    evidence::{Stored, Undetermined},
    history::{Truth, is_final},
};

/// Those that came within so many milliseconds of each other are neighbours.
const NEIGHBOURS_MS: i64 = 10_000;
/// How many attempts are lost before nobody tries again.
const LOSSES: usize = 3;

pub(super) fn durable(run: &Run<'_>, found: &mut Found) {
    for (id, told) in &run.acknowledged {
        if !run.stored.contains_key(id) {
            let what = format!("{id} (key {}) was acknowledged and is not there", told.key);
            found.add(Invariant::I1Durable, what);
        }
    }
}

pub(super) fn one_end(run: &Run<'_>, found: &mut Found) {
    let latest = run.evidence.last_fault() + run.permits.ends_within;
    for (id, told, stored) in run.known() {
        if !is_final(&stored.state) {
            found.add(Invariant::I2OneEnd, format!("{id} is {} for ever", stored.state));
            continue;
        }
        if stored.state == "cancelled" {
            found.add(Invariant::I2OneEnd, format!("{id} was cancelled by nobody"));
        }
        let latest = latest.max(told.at + run.permits.ends_within);
        match run.ended(id) {
            None => {
                let what = format!("{id} is {}, and its client was never told", stored.state);
                found.add(Invariant::I2OneEnd, what);
            }
            Some(at) if at > latest => {
                found.add(Invariant::I2OneEnd, format!("{id} ended at {at:?}, after {latest:?}"));
            }
            Some(_) => {}
        }
    }
}

pub(super) fn immutable(run: &Run<'_>, found: &mut Found) {
    for (id, sights) in &run.sights {
        let stored = run.stored.get(id);
        if stored.is_some_and(|stored| stored.regraded) {
            continue;
        }
        let ends = sights.iter().filter(|sight| is_final(&sight.seen.state));
        let ends: BTreeSet<(&str, Option<&str>)> =
            ends.map(|sight| (sight.seen.state.as_str(), sight.seen.verdict.as_deref())).collect();
        if ends.len() > 1 {
            found.add(Invariant::I3Immutable, format!("{id} ended more than once: {ends:?}"));
        }
        let (Some(stored), Some((state, _))) = (stored, ends.iter().next_back()) else { continue };
        if *state != stored.state {
            let what = format!("{id} was told to be {state} and is {}", stored.state);
            found.add(Invariant::I3Immutable, what);
        }
    }
}

pub(super) fn one_result(run: &Run<'_>, found: &mut Found) {
    let mut broken = |what: String| found.add(Invariant::I4OneResult, what);
    for stored in run.stored.values().filter(|stored| !stored.regraded) {
        let id = &stored.id;
        let judged =
            |outcome: &Option<String>| matches!(outcome.as_deref(), Some("passed" | "failed"));
        let results = stored.attempts.iter().filter(|attempt| judged(&attempt.outcome)).count();
        let decided = matches!(stored.state.as_str(), "passed" | "failed");
        if results > 1 || (results == 1) != decided {
            broken(format!("{id} is {} by {results} results", stored.state));
            continue;
        }
        if !decided {
            continue;
        }
        let by = stored.attempts.iter().find(|attempt| Some(attempt.number) == stored.by_attempt);
        let Some(by) = by else {
            broken(format!("{id} has a verdict of attempt {:?}, which is none", stored.by_attempt));
            continue;
        };
        if by.generation != stored.generation {
            broken(format!(
                "{id} has a verdict of generation {}, and {} holds it",
                by.generation, stored.generation
            ));
        }
        if by.outcome.as_deref() != Some(&stored.state)
            || stored.outcome.as_deref() != Some(&stored.state)
        {
            broken(format!(
                "{id} is {}, its verdict {:?}, its attempt {:?}",
                stored.state, stored.outcome, by.outcome
            ));
        }
    }
}

pub(super) fn generations(run: &Run<'_>, found: &mut Found) {
    let mut broken = |what: String| found.add(Invariant::I5Generations, what);
    for Stored { id, generation, attempts, .. } in run.stored.values().copied() {
        let all: Vec<i64> = attempts.iter().map(|attempt| attempt.generation).collect();
        if !all.is_sorted_by(|one, next| one < next) {
            broken(format!("{id} has attempts of the generations {all:?}"));
        }
        if all.last().is_some_and(|last| last > generation) {
            broken(format!("{id} is at generation {generation}, and had attempts of {all:?}"));
        }
        let numbers: Vec<i64> = attempts.iter().map(|attempt| attempt.number).collect();
        if !numbers.is_sorted() || !repeated(&numbers).is_empty() {
            broken(format!("{id} has the attempts {numbers:?}"));
        }
    }
}

pub(super) fn fair(run: &Run<'_>, found: &mut Found) {
    let Some(slack) = run.permits.unfair else { return };
    let first = |stored: &Stored| Some(stored.attempts.first()?.started_ms - stored.created_ms);
    let waits: Vec<(&str, i64, i64)> = run
        .stored
        .values()
        .filter_map(|stored| Some((stored.id.as_str(), stored.created_ms, first(stored)?)))
        .collect();
    for &(id, came, waited) in &waits {
        let near = waits.iter().filter(|(_, other, _)| (other - came).abs() <= NEIGHBOURS_MS);
        let mut near: Vec<i64> = near.map(|(_, _, waited)| *waited).collect();
        near.sort_unstable();
        let median = near.get(near.len() / 2).copied().unwrap_or_default();
        let most = median * 2 + i64::try_from(slack.as_millis()).unwrap_or(i64::MAX);
        if waited > most {
            let what = format!("{id} waited {waited} ms for its turn, its neighbours {median} ms");
            found.add(Invariant::I9Fair, what);
        }
    }
}

pub(super) fn blame(run: &Run<'_>, found: &mut Found) {
    for (id, told, stored) in run.known() {
        match (told.truth, stored.state.as_str()) {
            (Truth::Passes, "failed") => {
                let what = format!("{id} is good and was failed: {:?}", stored.reason);
                found.add(Invariant::I10Blame, what);
            }
            (Truth::Fails, "passed") => {
                found.add(Invariant::I10Blame, format!("{id} is bad and passed"));
            }
            (_, "undetermined") => match run.permits.undetermined {
                Undetermined::Never => {
                    let what = format!("{id} is undetermined: {:?}", stored.reason);
                    found.add(Invariant::I10Blame, what);
                }
                Undetermined::AfterLosses if stored.attempts.len() < LOSSES => {
                    let tried = stored.attempts.len();
                    let what = format!("{id} is undetermined after {tried} attempts");
                    found.add(Invariant::I10Blame, what);
                }
                Undetermined::AfterLosses => {}
            },
            _ => {}
        }
    }
}
