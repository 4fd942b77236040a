//! Both sides of each limit, and who is not condemned by having stood by.

use super::*;

const LIMIT: u32 = QUARANTINE_AFTER;

fn digest(n: u8) -> Digest {
    format!("sha256:{}", format!("{n:02x}").repeat(32)).parse().unwrap()
}

fn attempt(n: i64) -> Attempt {
    Attempt { submission: SubmissionId::from(uuid::Uuid::nil()), generation: Generation(n) }
}

fn at(minutes: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::minutes(minutes)
}

/// A loss at the `n`-th minute on a machine of that number.
fn loss(n: i64, machine: u8) -> Loss {
    Loss {
        attempt: attempt(n),
        at: at(n),
        machine: format!("worker w{machine}"),
        worker: format!("w{machine}"),
        node: Some(format!("n{machine}")),
        with: BTreeSet::new(),
        alone: false,
    }
}

fn turn(n: i64) -> Event {
    Event::Turned(Turn { attempt: attempt(n), worker: WorkerId::from(uuid::Uuid::nil()) })
}

fn lost(n: i64, machine: u8) -> Event {
    Event::Lost(loss(n, machine), Machine::Sound)
}

fn after(events: &[Event]) -> Suspicion {
    events
        .iter()
        .fold(Suspicion::default(), |known, event| known.apply(event, LIMIT).unwrap_or(known))
}

fn standing(events: &[Event]) -> Standing {
    after(events).standing
}

#[test]
fn two_losses_quarantine_and_one_does_not() {
    assert_eq!(standing(&[lost(1, 1)]), Standing::Suspected);
    assert_eq!(standing(&[lost(1, 1), lost(2, 2)]), Standing::Quarantined);
    assert_eq!(standing(&[lost(1, 1), lost(1, 1)]), Standing::Suspected, "one attempt is one loss");
    let two = after(&[lost(1, 1)]).apply(&lost(2, 2), 3).unwrap();
    assert_eq!(two.standing, Standing::Suspected, "the limit is the setting's");
}

#[test]
fn only_a_loss_alone_condemns() {
    let two = [lost(1, 1), lost(2, 2)];
    let beside = [&two[..], &[lost(3, 3)]].concat();
    assert_eq!(standing(&beside), Standing::Quarantined, "it stood by a third time");
    let alone = [&two[..], &[turn(3), lost(3, 3)]].concat();
    assert_eq!(standing(&alone), Standing::Poison);
    assert!(after(&alone).losses[2].alone && !after(&beside).losses[2].alone);
    let fewer = [Event::Ordered(Standing::Quarantined), turn(1), lost(1, 1)];
    assert_eq!(standing(&fewer), Standing::Quarantined, "also what an operator quarantined");
}

#[test]
fn a_machine_that_loses_others_too_is_at_fault_itself() {
    let third = |machine, how| {
        let two = after(&[lost(1, 1), lost(2, 1), turn(3)]);
        two.apply(&Event::Lost(loss(3, machine), how), LIMIT).unwrap().standing
    };
    assert_eq!(third(1, Machine::Doubtful), Standing::Quarantined);
    assert_eq!(third(1, Machine::Sound), Standing::Poison, "the only machine, and a sound one");
    assert_eq!(third(2, Machine::Doubtful), Standing::Poison, "two machines are enough");

    let known = after(&[lost(1, 1)]);
    let machine = |others: &[OffsetDateTime]| known.machine(&loss(9, 1), others);
    assert_eq!(machine(&[]), Machine::Sound);
    assert_eq!(machine(&[at(1) + AT_ONCE, at(9) - AT_ONCE]), Machine::Sound, "they stood by");
    assert_eq!(machine(&[at(1) + AT_ONCE + Duration::seconds(1)]), Machine::Doubtful);
}

#[test]
fn each_verdict_takes_one_loss_off() {
    let graded = |n| Event::Graded(attempt(n));
    assert_eq!(standing(&[lost(1, 1), graded(2)]), Standing::Cleared);
    let again = [lost(1, 1), graded(2), lost(3, 2)];
    assert_eq!(standing(&again), Standing::Suspected, "it counts from the beginning");
    assert_eq!(after(&again).losses.len(), 2, "what was is kept for people");
    assert_eq!(standing(&[&again[..], &[lost(4, 3)]].concat()), Standing::Quarantined);
}

#[test]
fn a_verdict_alone_clears_and_another_does_not() {
    let two = [lost(1, 1), lost(2, 2), turn(4)];
    let ends = |n| standing(&[&two[..], &[Event::Graded(attempt(n))]].concat());
    assert_eq!(ends(3), Standing::Quarantined, "it may have begun before");
    assert_eq!(ends(4), Standing::Cleared);
    let cleared = after(&[&two[..], &[Event::Graded(attempt(4))]].concat());
    assert_eq!((cleared.counted(), cleared.losses.len(), cleared.turn), (0, 2, None));
}

#[test]
fn one_at_a_time() {
    let two = after(&[lost(1, 1), lost(2, 2), turn(3)]);
    assert_eq!(two.apply(&turn(4), LIMIT), None, "somebody has the turn");
    let over = two.apply(&Event::Ended(attempt(3)), LIMIT).unwrap();
    assert_eq!((over.standing, &over.turn), (Standing::Quarantined, &None));
    assert!(over.apply(&turn(4), LIMIT).is_some());
    assert_eq!(two.apply(&Event::Ended(attempt(9)), LIMIT), None);
}

#[test]
fn what_was_not_lost_after_all_does_not_count() {
    let back = |n| Event::Retracted(attempt(n));
    assert_eq!(standing(&[lost(1, 1), back(1)]), Standing::Cleared);
    assert_eq!(standing(&[lost(1, 1), lost(2, 2), back(2)]), Standing::Suspected);
    assert_eq!(after(&[lost(1, 1)]).apply(&back(2), LIMIT), None);
    let more = [lost(1, 1), lost(2, 2), lost(3, 3), back(3)];
    assert_eq!(standing(&more), Standing::Quarantined);
}

#[test]
fn images_that_were_always_lost_together_are_refused_together() {
    let together = |n: i64, machine, with: &[u8]| {
        let with = with.iter().map(|n| digest(*n)).collect();
        Event::Lost(Loss { with, ..loss(n, machine) }, Machine::Sound)
    };
    let poison =
        after(&[together(1, 1, &[2, 3]), together(2, 2, &[2]), turn(3), together(3, 3, &[2, 4])]);
    assert_eq!(poison.standing, Standing::Poison);
    assert_eq!(poison.treatment(&[digest(1), digest(2)]), Treatment::Never);
    assert_eq!(poison.treatment(&[digest(1), digest(3)]), Treatment::Alone, "2 may be the one");
    let on = |event| poison.apply(&turn(4), LIMIT).and_then(|known| known.apply(&event, LIMIT));
    assert_eq!(on(Event::Graded(attempt(4))).unwrap().standing, Standing::Cleared);
    let alone = on(together(4, 4, &[])).unwrap();
    assert_eq!(alone.treatment(&[digest(1), digest(3)]), Treatment::Never);
}

#[test]
fn an_operator_has_the_last_word() {
    for standing in Standing::ALL {
        assert_eq!(Standing::from_word(standing.as_str()), Some(standing));
    }
    let poison = after(&[lost(1, 1), lost(2, 2), turn(3), lost(3, 3)]);
    let cleared = poison.apply(&Event::Ordered(Standing::Cleared), LIMIT).unwrap();
    assert_eq!((cleared.treatment(&[]), cleared.counted()), (Treatment::Ordinary, 0));
    let of = |standing| after(&[Event::Ordered(standing)]).treatment(&[digest(1)]);
    assert_eq!(of(Standing::Poison), Treatment::Never);
    assert_eq!(of(Standing::Quarantined), Treatment::Alone);
}

#[test]
fn elsewhere_if_there_is_an_elsewhere() {
    let known = after(&[lost(1, 1), lost(2, 2)]);
    let place = |worker: &str, node: &str| Where { worker: worker.into(), node: Some(node.into()) };
    let all = [place("w1", "n1"), place("w3", "n2"), place("w3", "n3")];
    assert!(known.suits(&all[2], &all));
    assert!(!known.suits(&all[1], &all) && !known.suits(&all[0], &all));
    assert!(known.suits(&all[1], &all[..2]), "where only the node went down, before its worker");
    assert!(known.suits(&all[0], &all[..1]), "nowhere else");
    assert!(known.suits(&all[0], &[]));
}

#[test]
fn what_is_kept_is_bounded() {
    let most = i64::try_from(KEPT_LOSSES).unwrap();
    let events: Vec<Event> = (1..=most + 1).map(|n| lost(n, 1)).collect();
    let known = after(&events);
    assert_eq!((known.losses.len(), known.counted()), (KEPT_LOSSES, KEPT_LOSSES));
    assert_eq!(known.losses[0].attempt, attempt(2));
}
