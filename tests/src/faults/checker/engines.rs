//! I4 to I6 as the engines show them: who holds a generation there, and what is left.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Found, Invariant, Run};
use crate::faults::evidence::Object;

/// What runs for somebody's submission itself, one container for each image: rows have one.
const STRANGER: &str = "workload";

pub(super) fn one_holder(run: &Run<'_>, found: &mut Found) {
    let mut holders: BTreeMap<&(String, i64), BTreeSet<&str>> = BTreeMap::new();
    for look in &run.evidence.looks {
        let mut running: BTreeMap<&(String, i64), BTreeSet<&str>> = BTreeMap::new();
        for object in &look.objects {
            let Some(tenant) = &object.tenant else { continue };
            holders.entry(tenant).or_default().insert(&object.worker);
            if object.runs && object.kind == STRANGER {
                running.entry(tenant).or_default().insert(&object.name);
            }
            let current = run.stored.get(tenant.0.as_str()).map(|stored| stored.generation);
            if current.is_some_and(|current| tenant.1 > current) {
                let what = format!("{tenant:?} has a container, and only {current:?} was claimed");
                found.add(Invariant::I5Generations, what);
            }
        }
        for (tenant, names) in running.into_iter().filter(|(_, names)| names.len() > 1) {
            let what = format!("two containers could answer for {tenant:?}: {names:?}");
            found.add(Invariant::I4OneResult, what);
        }
    }
    for (tenant, workers) in holders.into_iter().filter(|(_, workers)| workers.len() > 1) {
        let what = format!("{tenant:?} was held by {workers:?}");
        found.add(Invariant::I5Generations, what);
    }
}

pub(super) fn no_leak(run: &Run<'_>, found: &mut Found) {
    let deaths: BTreeMap<&str, Duration> =
        run.evidence.deaths.iter().map(|(id, at)| (id.as_str(), *at)).collect();
    for look in &run.evidence.looks {
        for object in &look.objects {
            let died = deaths.get(object.worker.as_str()).copied();
            if let Some(since) = outstayed(run, object, died, look.at) {
                let what = format!("{} is there {since:?} after its end", told(object));
                found.add(Invariant::I6NoLeak, what);
            }
        }
    }
    for object in &run.evidence.left {
        found.add(Invariant::I6NoLeak, format!("{} is left", told(object)));
    }
}

/// How long after its end something is still there, where that is too long.
fn outstayed(
    run: &Run<'_>,
    object: &Object,
    died: Option<Duration>,
    now: Duration,
) -> Option<Duration> {
    let (ended, within) = match (died, &object.tenant) {
        (Some(died), _) => (died, run.permits.dead_left_within),
        (None, Some((submission, _))) => {
            // What stands still cannot clean up: the time counts from when it goes on.
            let ended = run.ended(submission)?.max(run.evidence.last_fault());
            (ended, run.permits.left_within)
        }
        (None, None) => return None,
    };
    now.checked_sub(ended).filter(|since| *since > within)
}

fn told(object: &Object) -> String {
    let tenant = match &object.tenant {
        Some((submission, generation)) => format!(" for {submission}, generation {generation},"),
        None => String::new(),
    };
    format!("{} {}{tenant} of worker {}", object.kind, object.name, object.worker)
}
