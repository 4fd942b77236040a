//! What must hold, each a function of what happened: I1 nothing acknowledged is lost, I2 each ends once,
//! I3 what has ended stands, I4 one accepted result for each attempt, I5 tokens grow, I6 nothing is
//! left, I7 a POST makes one submission however often it is sent, I9 nobody is passed over, I10 nobody
//! is blamed for the platform, K42 no clock ends a lease.
//!
//! I8 is of the map, which has no part in this: the fault tests hold it (`tests/tests/faults`).

use std::{collections::BTreeMap, time::Duration};

use crate::{
    history::{Change, Facts, Key, Stand},
    weather::Truth,
    world::number,
};

/// The silence after which a lease may be ended, and the time that a grading may take at the most.
pub(crate) const LEASE: Duration = Duration::from_secs(30);
pub(crate) const LONGEST: Duration = Duration::from_secs(240);

type Check = fn(&Change) -> Result<(), String>;

/// What is held against every change.
pub(crate) const OF_EACH_CHANGE: &[(&str, Check)] = &[
    ("I3", what_has_ended_stands),
    ("I3", attempts_are_only_added),
    ("I4", only_the_holder_gives_a_verdict),
    ("I5", each_claim_has_the_next_token),
    ("I9", a_place_in_the_line_is_kept),
    ("K42", no_lease_ends_early),
];

/// I3: a final state changes only when somebody has it tried again that nobody could determine.
pub(crate) fn what_has_ended_stands(change: &Change) -> Result<(), String> {
    let Some(before) = change.before.as_ref().filter(|before| before.stand.is_final()) else {
        return Ok(());
    };
    let requeued = before.stand == Stand::Undetermined
        && change.after.stand == Stand::Queued
        && change.doing == "queue a submission again";
    let same = before.stand == change.after.stand && before.verdict == change.after.verdict;
    match requeued || same {
        true => Ok(()),
        false => Err(format!("it had ended as {:?}", before.stand)),
    }
}

/// I3: attempts are only added, and how one ended stands.
pub(crate) fn attempts_are_only_added(change: &Change) -> Result<(), String> {
    let Some(before) = &change.before else { return Ok(()) };
    let kept = before.tries.iter().enumerate().all(|(index, old)| {
        change.after.tries.get(index).is_some_and(|new| {
            (old.generation, old.worker) == (new.generation, new.worker)
                && (old.outcome.is_none() || old.outcome == new.outcome)
        })
    });
    if kept { Ok(()) } else { Err("an attempt is not what it was".to_owned()) }
}

/// I4: a verdict is that of the attempt whose token was current.
pub(crate) fn only_the_holder_gives_a_verdict(change: &Change) -> Result<(), String> {
    let Some(before) = &change.before else { return Ok(()) };
    let ended = change.after.tries.iter().enumerate().find(|(index, new)| {
        new.outcome.is_some() && before.tries.get(*index).is_none_or(|old| old.outcome.is_none())
    });
    let judged = matches!(change.after.stand, Stand::Passed | Stand::Failed)
        && before.stand != change.after.stand;
    match ended {
        Some((_, ended)) if ended.generation != before.generation => {
            Err(format!("{} was written for an old attempt", ended.generation))
        }
        Some((_, ended)) if before.worker != Some(ended.worker) => {
            Err("somebody else held it".to_owned())
        }
        None if judged => Err("no attempt came to that".to_owned()),
        _ => Ok(()),
    }
}

/// I5: tokens grow by one with each claim and by nothing else.
pub(crate) fn each_claim_has_the_next_token(change: &Change) -> Result<(), String> {
    let Some(before) = &change.before else { return Ok(()) };
    let claimed = before.stand == Stand::Queued && change.after.stand == Stand::Grading;
    let wanted = before.generation + i64::from(claimed);
    let named = change.after.tries.last().is_none_or(|last| last.generation == wanted);
    match change.after.generation == wanted && (!claimed || named) {
        true => Ok(()),
        false => Err(format!("the token should be {wanted}")),
    }
}

/// I5: no two workers ever hold the same token.
pub(crate) fn one_holder_of_each_token(
    holders: &mut BTreeMap<(Key, i64), Key>,
    change: &Change,
) -> Result<(), String> {
    let (Stand::Grading, Some(worker)) = (change.after.stand, change.after.worker) else {
        return Ok(());
    };
    let token = (change.id, change.after.generation);
    match *holders.entry(token).or_insert(worker) == worker {
        true => Ok(()),
        false => Err("two workers have held this token".to_owned()),
    }
}

/// K42: whoever shows that it lives keeps its lease, whatever the clocks say, until it has graded
/// longer than anybody may.
pub(crate) fn no_lease_ends_early(change: &Change) -> Result<(), String> {
    let (Some(silent), Some(held)) = (change.silent, change.held) else { return Ok(()) };
    match change.doing == "end a lease" && silent < LEASE && held < LONGEST {
        true => Err(format!("its holder was silent for {silent:?} only")),
        false => Ok(()),
    }
}

/// I7: what has one idempotency key is one submission.
pub(crate) fn one_submission_of_each_post(
    posts: &mut BTreeMap<String, Key>,
    change: &Change,
) -> Result<(), String> {
    let first = *posts.entry(change.after.posted.clone()).or_insert(change.id);
    match first == change.id {
        true => Ok(()),
        false => Err(format!("{first:02x?} came by the same POST")),
    }
}

/// I9: whatever befell it, it stands in the line where it stood.
pub(crate) fn a_place_in_the_line_is_kept(change: &Change) -> Result<(), String> {
    match change.before.as_ref().is_none_or(|before| before.order == change.after.order) {
        true => Ok(()),
        false => Err("it has another place in the line".to_owned()),
    }
}

/// I9: what is claimed is the first of those that may be. With the places kept, nothing that may be
/// claimed ever waits for more than what was in front of it, also when workers crash.
pub(crate) fn nobody_is_passed_over(
    change: &Change,
    all: &BTreeMap<Key, Facts>,
) -> Result<(), String> {
    let was_queued = change.before.as_ref().is_some_and(|it| it.stand == Stand::Queued);
    if !was_queued || change.after.stand != Stand::Grading {
        return Ok(());
    }
    let turn = (change.after.order, change.id);
    let waits = |(id, it): &(&Key, &Facts)| {
        it.stand == Stand::Queued && it.ready && (it.order, **id) < turn
    };
    match all.iter().find(waits) {
        Some((id, _)) => Err(format!("{id:02x?} was before it")),
        None => Ok(()),
    }
}

/// I1: what was acknowledged is there: the last revision that somebody was told of, or a later one.
pub(crate) fn acknowledged_is_kept(
    acknowledged: &BTreeMap<Key, i64>,
    facts: &BTreeMap<Key, Facts>,
) -> Result<(), String> {
    for (id, revision) in acknowledged {
        let stored = facts.get(id).map(|facts| facts.revision);
        if stored.is_none_or(|stored| stored < *revision) {
            return Err(format!(
                "of {id:02x?} revision {revision} was acknowledged, not {stored:?}"
            ));
        }
    }
    Ok(())
}

/// I2: each submission has come to an end.
pub(crate) fn everything_has_ended(facts: &BTreeMap<Key, Facts>) -> Result<(), String> {
    let waiting = facts.iter().find(|(_, facts)| !facts.stand.is_final());
    match waiting {
        Some((id, facts)) => Err(format!("{id:02x?} has not ended: {facts:?}")),
        None => Ok(()),
    }
}

/// I2, I10: each has ended as its image deserves: whatever the platform did is nobody's failure.
pub(crate) fn nobody_is_blamed(
    facts: &BTreeMap<Key, Facts>,
    truths: &[Truth],
) -> Result<(), String> {
    for (id, facts) in facts {
        let truth = truths[number(id)];
        let wrong = match facts.stand {
            Stand::Passed => truth == Truth::Fails,
            Stand::Failed => truth == Truth::Passes,
            Stand::Queued | Stand::Grading | Stand::Undetermined | Stand::Cancelled => false,
        };
        if wrong {
            return Err(format!("{id:02x?} has {:?}, and in truth it {truth:?}", facts.stand));
        }
    }
    Ok(())
}

/// I6: nothing is left at the endpoint that nobody uses.
pub(crate) fn nothing_is_left(left: &[String]) -> Result<(), String> {
    if left.is_empty() { Ok(()) } else { Err(format!("left: {left:?}")) }
}
