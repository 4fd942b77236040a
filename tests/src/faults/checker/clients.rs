//! I7, I8, I11 and I12: what clients are told.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Found, Invariant, Run, repeated};
use crate::faults::{
    evidence::MapSeen,
    history::{What, is_final},
};

pub(super) fn idempotent(run: &Run<'_>, found: &mut Found) {
    let mut broken = |what: String| found.add(Invariant::I7Idempotent, what);
    let mut ids: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (id, told) in &run.acknowledged {
        ids.entry(told.key).or_default().insert(id);
    }
    for (key, ids) in ids.into_iter().filter(|(_, ids)| ids.len() > 1) {
        broken(format!("the key {key} was answered with {ids:?}"));
    }
    for key in repeated(run.evidence.stored.iter().filter_map(|stored| stored.key.as_deref())) {
        broken(format!("the key {key} has more than one submission"));
    }
    let posted: BTreeSet<&str> = run
        .begun
        .values()
        .filter_map(|(_, what)| match what {
            What::Post { key, .. } => Some(key.as_str()),
            _ => None,
        })
        .collect();
    for stored in &run.evidence.stored {
        match stored.key.as_deref() {
            Some(key) if posted.contains(key) => {}
            Some(key) => broken(format!("{} has the key {key}, which nobody sent", stored.id)),
            None => broken(format!("{} has no key", stored.id)),
        }
    }
    for (id, told) in &run.acknowledged {
        let stored = run.stored.get(id).and_then(|stored| stored.key.as_deref());
        if stored.is_some_and(|key| key != told.key) {
            broken(format!("{id} was answered to the key {}, and has {stored:?}", told.key));
        }
    }
}

pub(super) fn map(run: &Run<'_>, found: &mut Found) {
    let mut numbers: BTreeMap<(&str, u32), u64> = BTreeMap::new();
    // Whoever goes on from before gets only what is still worth telling.
    let mut fresh: BTreeSet<(&str, u32)> = BTreeSet::new();
    for entry in &run.evidence.history {
        let What::Told { by, connection, number: Some(number), topic } = &entry.what else {
            continue;
        };
        let follower = (by.as_str(), *connection);
        let before = numbers.insert(follower, *number);
        match before {
            None if topic == "hello" => drop(fresh.insert(follower)),
            Some(before) if fresh.contains(&follower) => {
                let follows = *number == before + 1;
                let begins_again = topic == "reset" && *number >= before;
                if !follows && !begins_again {
                    let what = format!("{by} was told {number} ({topic}) after {before}");
                    found.add(Invariant::I8Map, what);
                }
            }
            _ => {}
        }
    }
    if run.evidence.map == MapSeen::No {
        return;
    }
    let passed = run.stored.values().filter(|stored| stored.state == "passed").count();
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in &run.evidence.history {
        if let What::Map { by, pins } = &entry.what {
            last.insert(by, *pins);
        }
    }
    if last.is_empty() {
        found.add(Invariant::I8Map, "nobody looked at the map");
    }
    for (by, pins) in last.into_iter().filter(|(_, pins)| *pins != passed) {
        found.add(Invariant::I8Map, format!("{by} shows {pins} pins, and {passed} passed"));
    }
}

pub(super) fn available(run: &Run<'_>, found: &mut Found) {
    let (mut posts, mut reads) = (Vec::new(), Vec::new());
    for entry in run.evidence.history.iter().filter(|entry| entry.what == What::GaveUp) {
        match run.begun.get(&entry.op) {
            Some((_, What::Post { key, .. })) => posts.push(format!("{key} at {:?}", entry.at)),
            Some((_, What::Read { id })) => reads.push(format!("{id} at {:?}", entry.at)),
            _ => {}
        }
    }
    for (kind, failed, permitted) in
        [("posts", posts, run.permits.posts), ("reads", reads, run.permits.reads)]
    {
        if failed.len() > permitted {
            let what =
                format!("{} {kind} failed twice ({permitted} may): {failed:?}", failed.len());
            found.add(Invariant::I11Available, what);
        }
    }
}

pub(super) fn reads(run: &Run<'_>, found: &mut Found) {
    let mut broken = |what: String| found.add(Invariant::I12Reads, what);
    for entry in &run.evidence.history {
        let What::Absent { id } = &entry.what else { continue };
        let begun = run.begun.get(&entry.op).map_or(entry.at, |(at, _)| *at);
        if run.acknowledged.get(id.as_str()).is_some_and(|told| told.at <= begun) {
            broken(format!("{id} was acknowledged, and not found at {:?}", entry.at));
        }
    }
    for (id, sights) in &run.sights {
        for (n, later) in sights.iter().enumerate() {
            // Within one stream there is an order, and its numbers say which.
            let same = sights[..n].iter().rev().find(|before| before.op == later.op);
            if let Some(before) = same
                && later.seen.revision < before.seen.revision
            {
                let (was, is) = (before.seen.revision, later.seen.revision);
                broken(format!("the stream of {id} went from revision {was:?} to {is:?}"));
            }
            if later.seen.revision.is_some() {
                continue;
            }
            let known = sights[..n].iter().filter(|before| before.at <= later.begun);
            for before in known {
                let lost = later.seen.attempts < before.seen.attempts;
                let undone = is_final(&before.seen.state) && !is_final(&later.seen.state);
                if lost || undone {
                    broken(reverted(
                        id,
                        before.at,
                        &before.seen.state,
                        later.at,
                        &later.seen.state,
                    ));
                    break;
                }
            }
        }
    }
}

fn reverted(id: &str, was_at: Duration, was: &str, at: Duration, is: &str) -> String {
    format!("{id} was seen {was} at {was_at:?}, and at {at:?} as it was before ({is})")
}
